//! Upstream's inputs for protobuf and for classic histograms that become native ones: the same samples, histograms and exemplars.

use model::histogram::{ResetHint, Span};
use model::{Histogram, Labels, LabelsBuilder};
use wire::exposition::{
    Entry, Format, HistogramOptions, Parser, Translation, translate_protobuf, translate_text,
};

use crate::golang::{Go, literal};
use crate::prototext::delimited;

/// The counts of these histograms contradict their buckets, and some are negative. Upstream's parser passes them on and its storage refuses
/// the page; ours refuses it at once. To compare what is read, counts are made to fit: 19 observations, none below zero.
fn mended(source: &str) -> String {
    let source = source.replace("175", "19").replace(", 147}", ", -9}").replace("_count: -", "_count: ");
    let lines = source.lines().map(|line| {
        let is_float = line.contains("Buckets: []float64{");
        if is_float { line.replace('-', "") } else { line.to_owned() }
    });
    lines.map(|line| line + "\n").collect()
}

/// The text of a function of Go.
fn function<'a>(source: &'a str, name: &str) -> &'a str {
    let start = source.find(&format!("func {name}(")).unwrap_or_else(|| panic!("no function {name}"));
    let end = source[start..].find("\n}\n").unwrap_or_else(|| panic!("no end of {name}"));
    &source[start..start + end]
}

/// All metric families written in it, as one body.
fn families(text: &str) -> Vec<u8> {
    let texts = text.split('`').skip(1).step_by(2).filter(|part| part.trim_start().starts_with("name: "));
    texts.flat_map(delimited).collect()
}

/// The page behind `marker`, with what is added to it.
fn page(text: &str, marker: &str) -> Vec<u8> {
    let (_, rest) = text.split_once(marker).unwrap_or_else(|| panic!("no {marker}"));
    let (mut page, mut rest) = literal(rest).unwrap();
    while let Some((_, more)) = rest.split_once("\n\tinput += ") {
        let (tail, after) = literal(more).unwrap();
        page.extend(tail);
        rest = after;
    }
    page
}

/// Each list of entries in it.
fn expected(text: &str) -> Vec<Vec<String>> {
    let lists = text.split("= []parsedEntry{").chain(text.split("expected: []parsedEntry{").skip(1));
    lists
        .skip(1)
        .map(|list| {
            let list = format!("{{{list} ");
            let (list, _) = Go::read(&list).unwrap();
            let mut all: Vec<String> =
                list.items().iter().filter_map(|(_, entry)| shown_entry(entry)).collect();
            all.sort();
            all
        })
        .collect()
}

fn labels(call: &Go) -> Labels {
    let Go::Call(pairs) = call else { panic!("{call:?} are no labels") };
    let mut builder = LabelsBuilder::new();
    for pair in pairs.chunks(2) {
        builder.set(&pair[0].text(), &pair[1].text());
    }
    builder.build()
}

/// A sample or histogram as one line; `None` for metadata.
fn shown_entry(entry: &Go) -> Option<String> {
    let labels = labels(entry.field("lset")?);
    let t_ms = entry.field("t").map(|t| t.number() as i64);
    let mut exemplars: Vec<(Labels, f64, Option<i64>)> = Vec::new();
    for (_, exemplar) in entry.field("es").map_or(&[][..], Go::items) {
        let field = |name: &str| exemplar.field(name);
        let has_time = field("HasTs").is_some_and(|value| value.text() == "true");
        let t_ms = has_time.then(|| field("Ts").map_or(0, |t| t.number() as i64));
        exemplars.push((self::labels(field("Labels").unwrap()), field("Value").unwrap().number(), t_ms));
    }
    let Some((is_integer, found)) =
        entry.field("shs").map(|h| (true, h)).or(entry.field("fhs").map(|h| (false, h)))
    else {
        let value = entry.field("v").map_or(0.0, Go::number);
        return Some(format!("{labels} {value} {t_ms:?} {exemplars:?}"));
    };
    // Upstream's scrape leaves those of histograms without a time out.
    exemplars.retain(|(_, _, t_ms)| t_ms.is_some());
    let start_ms = entry.field("st").map_or(0, |st| st.number() as i64);
    Some(shown_histogram(&labels, &histogram(found, is_integer), t_ms, start_ms, &exemplars))
}

fn shown_histogram(
    labels: &Labels,
    histogram: &Histogram,
    t_ms: Option<i64>,
    start_ms: i64,
    exemplars: &[(Labels, f64, Option<i64>)],
) -> String {
    // A bucket without observations may stand or not: that says the same.
    let mut histogram = histogram.clone();
    histogram.compact();
    format!("{labels} {histogram:?} {t_ms:?} {start_ms} {exemplars:?}")
}

fn histogram(found: &Go, is_integer: bool) -> Histogram {
    let number = |name: &str| found.field(name).map_or(0.0, Go::number);
    let spans = |name: &str| -> Vec<Span> {
        let spans = found.field(name).map_or(&[][..], Go::items).iter().map(|(_, span)| {
            let part = |name: &str| span.field(name).map_or(0.0, Go::number);
            Span { offset: part("Offset") as i32, length: part("Length") as u32 }
        });
        spans.collect()
    };
    let buckets = |name: &str| -> Vec<f64> {
        let mut at = 0.0;
        let said = found.field(name).map(Go::numbers).unwrap_or_default();
        let absolute = said.iter().map(|count| {
            at = if is_integer { at + count } else { *count };
            at
        });
        absolute.collect()
    };
    let is_gauge = found.field("CounterResetHint").is_some_and(|hint| hint.text() == "histogram.GaugeType");
    Histogram {
        is_integer,
        reset_hint: if is_gauge { ResetHint::Gauge } else { ResetHint::Unknown },
        schema: number("Schema") as i32,
        zero_threshold: number("ZeroThreshold"),
        zero_count: number("ZeroCount"),
        count: number("Count"),
        sum: number("Sum"),
        positive_spans: spans("PositiveSpans"),
        negative_spans: spans("NegativeSpans"),
        positive_buckets: buckets("PositiveBuckets"),
        negative_buckets: buckets("NegativeBuckets"),
        custom_bounds: found.field("CustomValues").map(Go::numbers).unwrap_or_default().into(),
    }
}

/// What we make of a body: a line for each sample and each histogram, sorted. Without `format` it is protobuf.
fn ours(body: &[u8], format: Option<Format>, options: HistogramOptions) -> Result<Vec<String>, String> {
    let mut out = Translation::new();
    let read = match format {
        None => translate_protobuf(body, options, &mut out),
        Some(format) if options.classic_to_custom => translate_text(body, format, options, &mut out),
        Some(_) => {
            out.text = String::from_utf8(body.to_vec()).unwrap();
            Ok(())
        }
    };
    read.map_err(|error| error.to_string())?;
    let (mut all, mut builder) = (Vec::new(), LabelsBuilder::new());
    let mut parser = Parser::new(out.text.as_bytes(), format.unwrap_or(Format::Protobuf));
    while let Some(entry) = parser.next_entry().map_err(|error| error.to_string())? {
        let Entry::Sample(sample) = entry else { continue };
        sample.fill_labels(&mut builder).map_err(|error| error.to_string())?;
        let labels = builder.build();
        let counts = !matches!(sample.metric_type, model::MetricType::Gauge | model::MetricType::Unknown);
        if counts && labels.metric_name().ends_with("_created") {
            continue;
        }
        let mut exemplars = Vec::new();
        if let Some(found) = sample.exemplar {
            found.fill_labels(&mut builder).map_err(|error| error.to_string())?;
            exemplars.push((builder.build(), found.value, found.t_ms));
        }
        all.push(format!("{labels} {} {:?} {exemplars:?}", sample.value, sample.t_ms));
    }
    for native in &out.natives {
        let line = format!("{} 0\n", native.raw);
        let mut parser = Parser::new(line.as_bytes(), Format::Text004);
        let Ok(Some(Entry::Sample(sample))) = parser.next_entry() else { panic!("{line}") };
        sample.fill_labels(&mut builder).unwrap();
        let exemplars: Vec<_> =
            native.exemplars.iter().map(|e| (e.labels.clone(), e.value, Some(e.t_ms))).collect();
        let (labels, start_ms) = (builder.build(), native.start_ms);
        all.push(shown_histogram(&labels, &native.histogram, native.t_ms, start_ms, &exemplars));
    }
    all.sort();
    Ok(all)
}

/// Collects what differs.
#[derive(Default)]
struct Judge {
    wrong: Vec<String>,
    n_inputs: usize,
    n_entries: usize,
}

impl Judge {
    fn same(&mut self, what: &str, found: Result<Vec<String>, String>, expected: &[String]) {
        self.n_inputs += 1;
        self.n_entries += expected.len();
        match found {
            Err(error) => self.wrong.push(format!("{what}: refused: {error}")),
            Ok(found) => {
                let missing =
                    expected.iter().filter(|line| !found.contains(line)).map(|line| format!("- {line}"));
                let more =
                    found.iter().filter(|line| !expected.contains(line)).map(|line| format!("+ {line}"));
                let lines: Vec<String> = missing.chain(more).collect();
                if !lines.is_empty() || found.len() != expected.len() {
                    self.wrong.push(format!("{what}:\n{}", lines.join("\n")));
                }
            }
        }
    }
}

const ALL: HistogramOptions = HistogramOptions {
    natives: true,
    classic_too: false,
    classic_to_custom: false,
    starts: true,
    type_and_unit: false,
};

fn protobuf(source: &str, judge: &mut Judge) {
    let body = families(function(source, "createTestProtoBuf"));
    for scenario in function(source, "TestProtobufParse").split("\n\t\t\tparser: ").skip(1) {
        let arguments = scenario.split_once("Bytes(), ").unwrap().1.split_once(", labels").unwrap().0;
        let of: Vec<bool> = arguments.split(", ").map(|word| word == "true").collect();
        let options = HistogramOptions {
            natives: !of[0],
            classic_too: of[1],
            classic_to_custom: of[2],
            type_and_unit: of[3],
            ..ALL
        };
        judge.same(arguments, ours(&body, None, options), &expected(scenario)[0]);
    }
    let text = function(source, "TestProtobufParseWithNHCB");
    let body = families(text);
    for scenario in text.split("\n\t\t\tignoreNative: ").skip(1) {
        let is = |name: &str| {
            let (_, rest) = scenario.split_once(&format!("\t{name}:")).unwrap();
            rest.trim_start().starts_with("true")
        };
        let options = HistogramOptions {
            natives: !scenario.starts_with("true"),
            classic_too: is("keepClassic"),
            classic_to_custom: true,
            type_and_unit: is("typeAndUnit"),
            ..ALL
        };
        judge.same(
            &format!("with custom buckets, {options:?}"),
            ours(&body, None, options),
            &expected(scenario)[0],
        );
    }
    let body = families(function(source, "TestProtobufParseSummaryNoQuantilesNoPanic"));
    let expected = [
        "{__name__=\"no_quantile_summary_count\"} 10 None []",
        "{__name__=\"no_quantile_summary_sum\"} 1.5 None []",
    ];
    judge.same("a summary without quantiles", ours(&body, None, ALL), &expected.map(str::to_owned));
    let mismatches = function(source, "TestProtobufParseHistogramSpanBucketMismatch");
    for family in mismatches.split('`').skip(1).step_by(2) {
        judge.n_inputs += 1;
        if let Ok(found) = ours(&delimited(family), None, ALL) {
            judge.wrong.push(format!("buckets beyond the spans are taken: {found:?}"));
        }
    }
}

fn custom(source: &str, judge: &mut Judge) {
    let to_custom = HistogramOptions { classic_to_custom: true, ..ALL };
    for name in [
        "TestNHCBParserOnOMParser",
        "TestNHCBParserOMParser_MultipleHistograms",
        "TestNHCBParserErrorHandling",
    ] {
        let text = function(source, name);
        let found = ours(&page(text, "\n\tinput := "), Some(Format::OpenMetrics100), to_custom);
        judge.same(name, found, &expected(text)[0]);
    }
    let text = function(source, "TestNHCBParserResetLastExponential");
    judge.same("an exponential one before", ours(&families(text), None, to_custom), &expected(text)[0]);
    let text = function(source, "TestNHCBNotCorruptMetricNameAfterRead");
    let om = page(text, "inputOM := ");
    let of_protobuf = ours(&families(text), None, to_custom).unwrap();
    judge.same("names, OpenMetrics", ours(&om, Some(Format::OpenMetrics100), to_custom), &of_protobuf);
    judge.same("names, text", ours(&om, Some(Format::Text004), to_custom), &of_protobuf);
    requirements(source, judge);
}

/// Which histograms come of what is exposed, by what a job asks for.
fn requirements(source: &str, judge: &mut Judge) {
    let table = function(source, "TestNHCBParser_NoNHCBWhenExponential");
    let protobuf = families(function(source, "createTestProtoBufHistogram"));
    let om = page(function(source, "createTestOpenMetricsHistogram"), "return ");
    let text = page(function(source, "createTestPromHistogram"), "return ");
    let mut cases: Vec<Vec<(bool, bool, [bool; 3])>> = Vec::new();
    for line in table.lines().map(str::trim) {
        if line.starts_with("// Case ") {
            cases.push(Vec::new());
        }
        if let Some((asked, said)) = line.strip_prefix("\"classic=").and_then(|rest| rest.split_once("\":")) {
            let says = |name: &str| said.contains(&format!("{name}: true"));
            let said = [says("expectClassic"), says("expectExponential"), says("expectNHCB")];
            cases.last_mut().unwrap().push((asked.starts_with("true"), asked.ends_with("nhcb=true"), said));
        }
    }
    let bodies =
        [(&protobuf, None, 3), (&om, Some(Format::OpenMetrics100), 1), (&text, Some(Format::Text004), 1)];
    for (body, format, n_cases) in bodies {
        for (idx, case) in cases.iter().take(n_cases).enumerate() {
            for (classic_too, classic_to_custom, said) in case {
                let options = HistogramOptions {
                    classic_too: *classic_too,
                    classic_to_custom: *classic_to_custom,
                    ..ALL
                };
                let found = ours(body, format, options).unwrap();
                let name = format!("test_histogram{}", idx + 1);
                let has = |suffix: &str, inside: &str| {
                    let start = format!("{{__name__=\"{name}{suffix}\"");
                    found.iter().any(|line| line.starts_with(&start) && line.contains(inside))
                };
                let is = [has("_bucket", ""), has("", "schema: 3"), has("", "schema: -53")];
                judge.n_inputs += 1;
                if is != *said {
                    judge.wrong.push(format!("{name} {format:?} {options:?}: {is:?} for {said:?}"));
                }
            }
        }
    }
}

#[test]
fn upstreams_histograms_become_what_upstream_makes_of_them() {
    let Some(folder) = crate::folder() else { return };
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (of_protobuf, of_custom) = (read("protobufparse_test.go"), read("nhcbparse_test.go"));
    let mut judge = Judge::default();
    protobuf(&mended(&of_protobuf), &mut judge);
    custom(&mended(&of_custom), &mut judge);
    let contradiction = ours(&families(function(&of_protobuf, "createTestProtoBuf")), None, ALL).unwrap_err();
    assert!(contradiction.contains("19 observations found in buckets"), "{contradiction}");
    println!("{} inputs, {} samples and histograms", judge.n_inputs, judge.n_entries);
    assert!(judge.wrong.is_empty(), "{} wrong:\n{}", judge.wrong.len(), judge.wrong.join("\n"));
    assert!(judge.n_inputs > 30, "{}", judge.n_inputs);
}
