//! A body recorded from client_golang 1.20 beside the OpenMetrics page of the same moment, messages written here, and damage.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::LabelsBuilder;
use proptest::prelude::*;
use stdx::varint::put_u64;

use super::*;
use crate::exposition::diff::{Blocks, Draft, Page};
use crate::exposition::{Entry, Format, Parser};

const RECORDED: &[u8] = include_bytes!("client_golang.pb");
const RECORDED_TEXT: &[u8] = include_bytes!("client_golang.om.txt");

const CLASSIC: HistogramOptions = HistogramOptions {
    natives: false,
    classic_too: false,
    classic_to_custom: false,
    starts: false,
    type_and_unit: false,
};

fn translated(body: &[u8], options: HistogramOptions) -> Translation {
    let mut out = Translation::new();
    translate_protobuf(body, options, &mut out).unwrap();
    out
}

/// Labels with value, time and exemplar of all samples.
fn samples(body: &[u8], format: Format) -> BTreeMap<String, String> {
    let (mut parser, mut builder, mut all) =
        (Parser::new(body, format), LabelsBuilder::new(), BTreeMap::new());
    while let Some(entry) = parser.next_entry().unwrap() {
        if let Entry::Sample(sample) = entry {
            sample.fill_labels(&mut builder).unwrap();
            let labels = builder.build().to_string();
            let mut said = format!("{} {:?}", sample.value, sample.t_ms);
            if let Some(exemplar) = sample.exemplar {
                let _ = write!(said, " {} {} {:?}", exemplar.labels, exemplar.value, exemplar.t_ms);
            }
            assert_eq!(all.insert(labels, said), None);
        }
    }
    all
}

#[test]
fn a_recorded_body_says_what_its_page_of_text_says() {
    let translation = translated(RECORDED, CLASSIC);
    assert!(translation.natives.is_empty());
    let ours = samples(translation.text.as_bytes(), Format::Protobuf);
    assert_eq!(ours, samples(RECORDED_TEXT, Format::OpenMetrics100));
    assert_eq!(ours.len(), 31);
    let help = r##"# HELP demo_requests_total Requests with \"quotes\", \\ and\nbreaks."##;
    assert!(translation.text.contains(help), "{}", translation.text);
}

#[test]
fn native_histograms_of_a_recorded_body_are_read() {
    let natives = HistogramOptions { natives: true, starts: true, ..CLASSIC };
    let translation = translated(RECORDED, natives);
    let shown: Vec<String> = translation
        .natives
        .iter()
        .map(|native| {
            let h = &native.histogram;
            let n = h.positive_buckets.len() + h.negative_buckets.len();
            format!("{} {} {} {} {} {n}", native.raw, h.count, h.sum, h.schema, h.zero_count)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "demo_empty_seconds 0 0 3 0 0",
            "demo_latency_seconds{route=\"/never\"} 0 0 3 0 0",
            "demo_latency_seconds{route=\"/slow\"} 100 721.4285714285714 3 0 36",
            "demo_pure_seconds 101 221.42857142857142 0 2 13",
        ]
    );
    assert!(translation.natives.iter().all(|native| native.start_ms > 1_700_000_000_000));
    assert_eq!(translation.natives[2].exemplars.len(), 10);
    assert!(!translation.text.contains("demo_latency_seconds_bucket"));
    // The classic histogram stays one, and says its start to the millisecond.
    assert!(translation.text.contains("demo_size_bytes_bucket{le=\"10.0\"} 7\n"));
    let created = samples(translation.text.as_bytes(), Format::Protobuf);
    assert!(created.contains_key("{__name__=\"demo_size_bytes_created\"}"), "{created:?}");
    let both = translated(RECORDED, HistogramOptions { classic_too: true, ..natives });
    assert!(both.text.contains("demo_latency_seconds_bucket{route=\"/slow\",le=\"1.0\"} 7 # {trace_id"));
}

/// One field of a message: its number and what it holds.
enum F<'a> {
    N(u64, u64),
    D(u64, f64),
    B(u64, &'a [u8]),
}

fn message(fields: &[F<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        match field {
            F::N(number, value) => {
                put_u64(&mut out, number << 3);
                put_u64(&mut out, *value);
            }
            F::D(number, value) => {
                put_u64(&mut out, number << 3 | 1);
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            F::B(number, bytes) => {
                put_u64(&mut out, number << 3 | 2);
                put_u64(&mut out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
        }
    }
    out
}

/// A body of one family with one metric.
fn family(name: &str, kind: u64, metric: &[F<'_>]) -> Vec<u8> {
    let metric = message(metric);
    let family = message(&[F::B(1, name.as_bytes()), F::N(3, kind), F::B(4, &metric), F::B(5, b"volts")]);
    let mut body = Vec::new();
    put_u64(&mut body, family.len() as u64);
    body.extend_from_slice(&family);
    body
}

fn check(body: &[u8], options: HistogramOptions, text: &str, natives: &[&str]) {
    let translation = translated(body, options);
    let lines: Vec<&str> = translation.text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.join("\n"), text);
    let shown = translation.natives.iter();
    let shown: Vec<String> = shown
        .map(|n| format!("{} {:?} {} {:?}", n.raw, n.t_ms, n.histogram, n.histogram.reset_hint))
        .collect();
    assert_eq!(shown, natives);
    samples(translation.text.as_bytes(), Format::Protobuf);
}

#[test]
fn names_times_and_starts_are_written_so_that_they_read_back() {
    let label = message(&[F::B(1, b"my.label"), F::B(2, "a\"\\\nü".as_bytes())]);
    let start = message(&[F::N(1, 1_700_000_000), F::N(2, 123_999_999)]);
    let counter = message(&[F::D(1, 1e300), F::B(3, &start)]);
    let body = family("my.metric", 0, &[F::B(1, &label), F::B(3, &counter), F::N(6, 1_700_000_001_001)]);
    let starts = HistogramOptions { starts: true, ..CLASSIC };
    check(
        &body,
        starts,
        "{\"my.metric\",\"my.label\"=\"a\\\"\\\\\\nü\"} 1e+300 1700000001001\n\
         {\"my.metric_created\",\"my.label\"=\"a\\\"\\\\\\nü\"} 1700000000.1235 1700000001001",
        &[],
    );
    let read = samples(translated(&body, starts).text.as_bytes(), Format::Protobuf);
    assert!(read.values().any(|said| said.ends_with("Some(1700000001001)")), "{read:?}");
    // `scrape` cuts it to milliseconds.
    let created = read.iter().find(|(labels, _)| labels.contains("_created")).unwrap();
    let seconds: f64 = created.1.split(' ').next().unwrap().parse().unwrap();
    assert_eq!((seconds * 1_000.0) as i64, 1_700_000_000_123);
}

#[test]
fn histograms_of_floats_and_gauges_are_told_apart() {
    let bucket = message(&[F::D(4, 2.5), F::D(2, 1.0)]);
    let span = message(&[F::N(1, 2), F::N(2, 2)]);
    let counts = [1.5f64, 1.0].map(f64::to_le_bytes).concat();
    let native = message(&[
        F::D(4, 2.5),
        F::D(2, 9.0),
        F::B(3, &bucket),
        F::N(5, 0),
        F::B(12, &span),
        F::B(14, &counts),
    ]);
    let body = family("h", 5, &[F::B(7, &native)]);
    let natives = HistogramOptions { natives: true, ..CLASSIC };
    let classic = "h_count 2.5\nh_sum 9\nh_bucket{le=\"1.0\"} 2.5\nh_bucket{le=\"+Inf\"} 2.5";
    check(&body, CLASSIC, classic, &[]);
    let shown = "h None {count:2.5, sum:9, (1,2]:1.5, (2,4]:1} Gauge";
    check(&body, natives, "", &[shown]);
    check(&body, HistogramOptions { classic_too: true, ..natives }, classic, &[shown]);
    let custom = HistogramOptions { classic_to_custom: true, ..CLASSIC };
    check(&body, custom, "", &["h None {count:2.5, sum:9, [-Inf,1]:2.5} Gauge"]);
}

#[test]
fn what_is_no_body_is_refused() {
    fn refused(body: &[u8], expected: &str) {
        let natives = HistogramOptions { natives: true, ..CLASSIC };
        let err = translate_protobuf(body, natives, &mut Translation::new()).unwrap_err().to_string();
        assert!(err.contains(expected), "{err}");
    }
    refused(&[5, 1], "byte 0: the body ends within a metric family");
    refused(&family("", 0, &[]), "invalid metric name");
    refused(&family("m", 9, &[]), "unknown metric type for metric \"m\": 9");
    let label = message(&[F::B(1, b"a"), F::B(2, &[0xff])]);
    refused(&family("m", 0, &[F::B(1, &label)]), "invalid label value");
    let span = message(&[F::N(1, 2), F::N(2, 2)]);
    let short = message(&[F::N(1, 1), F::B(12, &span), F::N(13, 2)]);
    refused(&family("h", 4, &[F::B(7, &short)]), "histogram \"h\": positive side: spans need 2 buckets");
}

fn options() -> impl Strategy<Value = HistogramOptions> {
    any::<[bool; 5]>().prop_map(|[natives, classic_too, classic_to_custom, starts, type_and_unit]| {
        HistogramOptions { natives, classic_too, classic_to_custom, starts, type_and_unit }
    })
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_is_taken_reads_back(
        bytes: Vec<u8>, options in options(), at in 0..RECORDED.len(), byte: u8, cut: bool,
    ) {
        let mut damaged = RECORDED.to_vec();
        damaged[at] = byte;
        damaged.truncate(if cut { at } else { RECORDED.len() });
        for body in [&bytes, &damaged] {
            let mut out = Translation::new();
            if translate_protobuf(body, options, &mut out).is_ok() {
                let read = Page::new().read(out.text.as_bytes(), Format::Protobuf, &Blocks::new(), &mut Draft::new());
                prop_assert_eq!(read, Ok(()), "{}", out.text);
            }
        }
    }
}
