//! Both formats as data: a body, and the entries or the refusal that come of it.

use super::*;
use model::labels::{Labels, LabelsBuilder};
use proptest::prelude::*;

/// One line for each entry, or what is wrong.
fn show(body: &[u8], format: Format) -> String {
    let mut parser = Parser::new(body, format);
    let mut out = Vec::new();
    loop {
        match parser.next_entry() {
            Ok(None) => return out.join("\n"),
            Ok(Some(entry)) => match show_entry(&entry) {
                Ok(line) => out.push(line),
                Err(err) => return format!("labels: {err}"),
            },
            Err(err) => return err.to_string(),
        }
    }
}

fn show_entry(entry: &Entry<'_>) -> Result<String, ParseError> {
    Ok(match entry {
        Entry::Comment => "comment".to_owned(),
        Entry::Type { name, metric_type } => format!("type {name} {metric_type}"),
        Entry::Help { name, text } => format!("help {name} {text:?}"),
        Entry::Unit { name, unit } => format!("unit {name} {unit}"),
        Entry::Sample(sample) => {
            let mut labels = LabelsBuilder::new();
            sample.fill_labels(&mut labels)?;
            let mut line = format!("{} {:?}", labels.build(), sample.value);
            if let Some(t_ms) = sample.t_ms {
                line.push_str(&format!(" @{t_ms}"));
            }
            if let Some(exemplar) = sample.exemplar {
                exemplar.fill_labels(&mut labels)?;
                line.push_str(&format!(" # {} {:?} {:?}", labels.build(), exemplar.value, exemplar.t_ms));
            }
            line
        }
    })
}

fn check(body: &str, expected: &str) {
    assert_eq!(show(body.as_bytes(), Format::Text004), expected, "{body:?}");
}

/// An OpenMetrics page; `# EOF` is added.
fn check_om(body: &str, expected: &str) {
    let body = format!("{body}# EOF\n");
    assert_eq!(show(body.as_bytes(), Format::OpenMetrics100), expected, "{body:?}");
}

#[test]
fn text_metadata_and_remarks() {
    check("# HELP a  two \\\\ back\\nslashes \\\"\n", "help a \" two \\\\ back\\nslashes \\\\\\\"\"");
    check("# HELP a\n# HELP b \n", "help a \"\"\nhelp b \"\"");
    check("# TYPE a counter\n#\tTYPE\tb\tuntyped", "type a counter\ntype b unknown");
    check(
        "# just so\n#HELP a b\n# HELPLESS\n#\n# TYPE\n\n \t\n",
        "comment\ncomment\ncomment\ncomment\ncomment",
    );
    check("# TYPE \"a b\" gauge\n", "type a b gauge");
    check("# TYPE a  counter\n", "line 1, column 10: invalid metric type \" counter\"");
    check("# TYPE a info\n", "line 1, column 10: invalid metric type \"info\"");
    check("# TYPE a counter \n", "line 1, column 10: invalid metric type \"counter \"");
    check("# HELP  \nb 1\n", "line 1, column 9: expected metric name after HELP, got end of line");
}

#[test]
fn text_samples() {
    check("a 1\nb:c_2 -0.5\n", "{__name__=\"a\"} 1.0\n{__name__=\"b:c_2\"} -0.5");
    check("a 1", "{__name__=\"a\"} 1.0");
    check("  a\t 1  \t 1500  \n", "{__name__=\"a\"} 1.0 @1500");
    check("a{} 1", "{__name__=\"a\"} 1.0");
    check("a{b=\"c\"} 1", "{__name__=\"a\", b=\"c\"} 1.0");
    check("a { b = \"c\" , d=\"e\" , } 1", "{__name__=\"a\", b=\"c\", d=\"e\"} 1.0");
    check("a{b=\"c\" d=\"e\"}1", "{__name__=\"a\", b=\"c\", d=\"e\"} 1.0");
    check("a{b=\"\"} 1", "{__name__=\"a\"} 1.0");
    check(r#"a{b="\\ \n \" \x é"} 1"#, r#"{__name__="a", b="\\ \n \" \\x é"} 1.0"#);
    check("a{b=\"c\nd\"} 1", "{__name__=\"a\", b=\"c\\nd\"} 1.0");
    check("a{b=\"}{#\"} 1", "{__name__=\"a\", b=\"}{#\"} 1.0");
    check(r#"{"a.b",x="y"} 1"#, r#"{__name__="a.b", x="y"} 1.0"#);
    check(r#"{x="y","a.b"} 1"#, r#"{__name__="a.b", x="y"} 1.0"#);
    check(r#"a{"x y"="z"} 1"#, r#"{__name__="a", "x y"="z"} 1.0"#);
    check("{\"a\"} 1", "{__name__=\"a\"} 1.0");
    check(
        "{__name__=\"x\",\"a\"} 1",
        "labels: line 1, column 15: label name \"__name__\" is not unique: invalid sample",
    );
}

#[test]
fn values_are_read_as_prometheus_reads_them() {
    let value = |text: &str| show(format!("a {text}").as_bytes(), Format::Text004);
    for (text, expected) in [
        ("1.7043464E7", "17043464.0"),
        ("1.0E9", "1000000000.0"),
        ("+1e-3", "0.001"),
        ("NaN", "NaN"),
        ("nan", "NaN"),
        ("+Inf", "inf"),
        ("-inf", "-inf"),
        ("Infinity", "inf"),
        ("18446744073709551615", "1.8446744073709552e19"),
        ("1e-400", "0.0"),
    ] {
        assert_eq!(value(text), format!("{{__name__=\"a\"}} {expected}"), "{text}");
    }
    for (text, expected) in [
        ("0x1p4", "unsupported character in float"),
        ("1_000", "unsupported character in float"),
        ("0x10", "invalid syntax"),
        ("1e400", "value out of range"),
        ("1,5", "invalid syntax"),
        ("+NaN", "invalid syntax"),
        ("none", "invalid syntax"),
        ("1\r", "invalid syntax"),
    ] {
        let got = value(text);
        assert!(got.starts_with(&format!("line 1, column 3: {expected} while parsing")), "{text}: {got}");
    }
    let mut parser = Parser::new(b"a NaN", Format::Text004);
    let Ok(Some(Entry::Sample(sample))) = parser.next_entry() else { panic!("a sample") };
    assert_eq!(sample.value.to_bits(), model::float::NORMAL_NAN_BITS);
}

#[test]
fn text_refusals_name_line_and_column() {
    check("a 1\nb\n", "line 2, column 2: expected value after metric, got end of line");
    check("a{b=\"c\"}\n", "line 1, column 9: expected value after metric, got end of line");
    check("a 1 2 3\n", "line 1, column 7: expected next entry after timestamp, got \"3\"");
    check("a 1 b\n", "line 1, column 5: expected timestamp or new record, got \"b\"");
    check(
        "a 1 99999999999999999999",
        "line 1, column 5: timestamp out of range while parsing: \"99999999999999999999\"",
    );
    check("9a 1", "line 1, column 1: expected a valid start token, got \"9a 1\"");
    check("\0a 1", "line 1, column 1: expected a valid start token, got \"\\x00a 1\"");
    check("a{b=c} 1", "line 1, column 5: expected label value, got \"c} 1\"");
    check("a{b} 1", "line 1, column 4: expected equal, got \"} 1\"");
    check("a{9=\"1\"} 1", "line 1, column 3: expected label name, got \"9=\\\"1\\\"} 1\"");
    check("a{,} 1", "line 1, column 3: expected label name, got \",} 1\"");
    check("a{b=\"c\",,} 1", "line 1, column 9: expected label name, got \",} 1\"");
    check("a{b=\"c} 1\n", "line 1, column 5: quoted text without end");
    check("a{b=\"c\\", "line 1, column 5: quoted text without end");
    check("a{b=\"c\"", "line 1, column 8: expected label name, got end of data");
    check("{b=\"c\"} 1", "line 1, column 7: metric name not set");
    check("{} 1", "line 1, column 2: metric name not set");
    check("a{\"b\"} 1", "line 1, column 3: metric name already set");
    check("{\"\"} 1", "labels: line 1, column 2: metric name is empty");
    check("a{\"\"=\"b\"} 1", "labels: line 1, column 3: label name is empty");
    check("a{b=\"1\",b=\"1\"} 1", "labels: line 1, column 9: label name \"b\" is not unique: invalid sample");
    let bad_utf8 = show(b"ok 1\na{b=\"\xff\"} 1\n", Format::Text004);
    assert_eq!(bad_utf8, "line 2, column 1: invalid UTF-8 label value: \"a{b=\\\"\u{fffd}\\\"}\"");
    assert!(show(b"# HELP a \xff\n", Format::Text004).contains("invalid UTF-8 help text"));
    // In a remark nobody reads it.
    assert_eq!(show(b"# \xff\na 1\n", Format::Text004), "comment\n{__name__=\"a\"} 1.0");
}

#[test]
fn bounds_of_buckets_have_one_spelling() {
    check(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_bucket{le=\"1e6\"} 2\nh_bucket{le=\"x\"} 2",
        "type h histogram\n{__name__=\"h_bucket\", le=\"1.0\"} 1.0\n{__name__=\"h_bucket\", le=\"+Inf\"} 2.0\n\
         {__name__=\"h_bucket\", le=\"1e+06\"} 2.0\n{__name__=\"h_bucket\", le=\"x\"} 2.0",
    );
    check("# TYPE s summary\ns{quantile=\"0\"} 1", "type s summary\n{__name__=\"s\", quantile=\"0.0\"} 1.0");
    check("# TYPE g gauge\ng{le=\"1\"} 1", "type g gauge\n{__name__=\"g\", le=\"1\"} 1.0");
}

#[test]
fn openmetrics_samples_and_metadata() {
    check_om("", "");
    check_om(
        "# TYPE a counter\n# HELP a b \\\" c\na_total 1\n",
        "type a counter\nhelp a \"b \\\" c\"\n{__name__=\"a_total\"} 1.0",
    );
    check_om(
        "# TYPE a info\n# TYPE b stateset\n# TYPE c gaugehistogram\n",
        "type a info\ntype b stateset\ntype c gaugehistogram",
    );
    check_om("# UNIT a_seconds seconds\n# UNIT b \n", "unit a_seconds seconds\nunit b ");
    check_om("a{b=\"c\",d=\"e\",} 1.5 2.5\n", "{__name__=\"a\", b=\"c\", d=\"e\"} 1.5 @2500");
    check_om("a 1 -1.0005\n", "{__name__=\"a\"} 1.0 @-1000");
    check_om("{\"a.b\",c=\"d\"} 1\n", "{__name__=\"a.b\", c=\"d\"} 1.0");
    check_om(
        "a_bucket{le=\"1\"} 5 1 # {id=\"x\\ny\"} 0.5 1.25\na 2 # {} 3\n",
        "{__name__=\"a_bucket\", le=\"1\"} 5.0 @1000 # {id=\"x\\ny\"} 0.5 Some(1250)\n{__name__=\"a\"} 2.0 # {} 3.0 None",
    );
    assert_eq!(show(b"a 1\n# EOF", Format::OpenMetrics100), "{__name__=\"a\"} 1.0");
}

#[test]
fn openmetrics_refusals() {
    let refuse = |body: &str, expected: &str| {
        assert_eq!(show(body.as_bytes(), Format::OpenMetrics100), expected, "{body:?}");
    };
    refuse("", "line 1, column 1: data does not end with # EOF");
    refuse("a 1\n", "line 2, column 1: data does not end with # EOF");
    refuse("a 1", "line 1, column 4: data does not end with # EOF");
    refuse("# EOF\na 1\n", "line 1, column 6: unexpected data after # EOF");
    refuse("# EOF\n\n", "line 1, column 6: unexpected data after # EOF");
    refuse("\n# EOF\n", "line 1, column 1: expected a valid start token, got end of line");
    refuse("# note\n# EOF\n", "line 1, column 1: expected a valid start token, got \"# note\"");
    refuse("a  1\n# EOF\n", "line 1, column 3: expected value after metric, got \" 1\"");
    refuse("a 1 \n# EOF\n", "line 1, column 5: expected timestamp, got end of line");
    refuse("a{b=\"c\" ,} 1\n# EOF\n", "line 1, column 8: expected comma or brace close, got \" ,} 1\"");
    refuse("a{b=\"c\nd\"} 1\n# EOF\n", "line 1, column 5: quoted text without end on its line");
    refuse("a 1 NaN\n# EOF\n", "line 1, column 5: invalid timestamp NaN");
    refuse("a 1 1e300\n# EOF\n", "line 1, column 5: invalid timestamp 1e300");
    refuse(
        "# UNIT a_bytes seconds\n# EOF\n",
        "line 1, column 16: unit \"seconds\" not a suffix of metric \"a_bytes\"",
    );
    refuse("# TYPE a untyped\n# EOF\n", "line 1, column 10: invalid metric type \"untyped\"");
    refuse("# HELP a\n# EOF\n", "line 1, column 9: expected text in HELP, got end of line");
    refuse("a 1 # {\"x\"} 1\n# EOF\n", "line 1, column 11: expected equal, got \"} 1\"");
    refuse(
        "a 1 # {x=\"y\"}\n# EOF\n",
        "line 1, column 14: expected value after exemplar labels, got end of line",
    );
}

#[test]
fn limits_hold() {
    let long = format!("a{{b=\"{}\"}} 1", "x".repeat(LABEL_BYTES_MAX + 1));
    assert!(show(long.as_bytes(), Format::Text004).contains("longer than 1048576 bytes"));
    let many: String = (0..=LABELS_MAX).map(|i| format!("l{i}=\"\",")).collect();
    let many = format!("a{{{many}}} 1");
    assert!(show(many.as_bytes(), Format::Text004).contains("more than 4096 labels"));
}

#[test]
fn writer_and_parser_agree() {
    let mut writer = Writer::new();
    writer.family("a_total", "Back\\slash and\nline.", MetricType::Counter);
    writer.sample(&[("b", "quote \" back \\ line \n é"), ("c", "")], 1e6).sample(&[], f64::NAN);
    writer.family("h", "", MetricType::Histogram).sample_with_suffix("_bucket", &[("le", "+Inf")], 2.0);
    let page = writer.finish();
    assert_eq!(page.lines().nth(2), Some(r#"a_total{b="quote \" back \\ line \n é",c=""} 1e+06"#));
    check(
        &page,
        "help a_total \"Back\\\\slash and\\nline.\"\ntype a_total counter\n\
         {__name__=\"a_total\", b=\"quote \\\" back \\\\ line \\n é\"} 1000000.0\n{__name__=\"a_total\"} NaN\n\
         help h \"\"\ntype h histogram\n{__name__=\"h_bucket\", le=\"+Inf\"} 2.0",
    );
}

#[test]
fn after_an_error_the_page_is_over() {
    let mut parser = Parser::new(b"a\nb 1\n", Format::Text004);
    assert!(parser.next_entry().is_err());
    assert_eq!(parser.next_entry(), Ok(None));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        show(&body, Format::Text004);
        show(&body, Format::OpenMetrics100);
    }

    #[test]
    fn any_likely_bytes_are_read_or_refused(body in "([ab{}=\"\\\\, 1#\n]|le=|# TYPE |# HELP |# EOF|é){0,40}") {
        show(body.as_bytes(), Format::Text004);
        show(body.as_bytes(), Format::OpenMetrics100);
    }

    #[test]
    fn what_is_written_is_read(
        pairs in proptest::collection::btree_map("[a-z_][a-z0-9_]{0,6}", "\\PC{1,20}|[\\\\\"\n]{1,4}", 0..6),
        bits in any::<u64>(),
    ) {
        let value = f64::from_bits(bits);
        let labels: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut writer = Writer::new();
        writer.family("m", "Help.", MetricType::Gauge).sample(&labels, value);
        let page = writer.finish();
        let mut parser = Parser::new(page.as_bytes(), Format::Text004);
        let sample = loop {
            match parser.next_entry() {
                Ok(Some(Entry::Sample(sample))) => break sample,
                Ok(Some(_)) => {}
                other => panic!("{other:?} in {page:?}"),
            }
        };
        let mut builder = LabelsBuilder::new();
        sample.fill_labels(&mut builder).expect("labels are valid");
        let expected = Labels::from_pairs(labels.into_iter().chain([("__name__", "m")]));
        prop_assert_eq!(builder.build(), expected);
        let bits = if value.is_nan() { model::float::NORMAL_NAN_BITS } else { bits };
        prop_assert_eq!(sample.value.to_bits(), bits);
    }
}
