//! Prometheus' own inputs for its parsers of text, OpenMetrics and protobuf, read from a checkout of its repository that `HINOMI_UPSTREAM` names:
//! accepted and refused alike, by the cold parser and by the one that compares pages, with the same values and times.
//!
//! They are not kept here; without a checkout the test says so and passes. What they taught stands as cases of our own beside the parsers.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test outside the product: it reads a folder"
)]

mod golang;
mod histograms;
mod prototext;

use std::path::{Path, PathBuf};

use model::MetricType;
use wire::exposition::diff::{Blocks, Draft, Page};
use wire::exposition::{Entry, Format, Parser};

use crate::golang::literal;

/// The folder of upstream's tests, if there is one.
fn folder() -> Option<PathBuf> {
    let upstream = std::env::var_os("HINOMI_UPSTREAM");
    if upstream.is_none() {
        println!("skipped: set HINOMI_UPSTREAM to a checkout of Prometheus' repository");
    }
    upstream.map(|upstream| Path::new(&upstream).join("model/textparse"))
}

/// A value and its time.
type Point = (f64, Option<i64>);

struct Case {
    input: Vec<u8>,
    is_good: bool,
    /// Of good ones that say what they hold: values and times.
    expected: Option<Vec<Point>>,
}

/// The tables of refused inputs: `input: …` and the `err: …` behind it.
fn judged(source: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for part in source.split("\n\t\t\tinput:").skip(1) {
        let Some((input, rest)) = literal(part) else { continue };
        let Some((_, said)) = rest.split_once("err:") else { continue };
        let Some((message, _)) = literal(said) else { continue };
        cases.push(Case { input, is_good: message.is_empty() || message == b"EOF", expected: None });
    }
    cases
}

/// The long pages: `input := …`, with `input += …` behind it, and the values of the entries that follow.
fn whole(source: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for part in source.split("\n\tinput := ").skip(1) {
        let Some((mut input, mut rest)) = literal(part) else { continue };
        let end = rest.find("\n}\n").unwrap_or(rest.len());
        rest = &rest[..end];
        while let Some((_, more)) = rest.split_once("\n\tinput += ") {
            let Some((tail, after)) = literal(more) else { break };
            input.extend(tail);
            rest = after;
        }
        let mut expected: Vec<Point> = Vec::new();
        for line in rest.lines().map(str::trim) {
            let field = |name: &str| line.strip_prefix(name).map(|text| text.trim().trim_end_matches(','));
            if field("m:").is_some() {
                expected.push((0.0, None));
            } else if let (Some(text), Some(last)) = (field("v:"), expected.last_mut()) {
                last.0 = number(text);
            } else if let (Some(text), Some(last)) = (field("t:"), expected.last_mut()) {
                last.1 = text.trim_start_matches("int64p(").trim_end_matches(')').parse().ok();
            }
            // Metadata entries have a name as well, and a type, help or unit.
            if ["typ:", "help:", "unit:", "comment:"].iter().any(|name| line.starts_with(name)) {
                let is_sample = line.starts_with("comment:");
                if !is_sample {
                    expected.pop();
                }
            }
        }
        cases.push(Case { input, is_good: true, expected: Some(expected) });
    }
    cases
}

fn number(text: &str) -> f64 {
    match text {
        "math.Inf(+1)" | "math.Inf(1)" => f64::INFINITY,
        "math.Inf(-1)" => f64::NEG_INFINITY,
        text if text.contains("NaN") => f64::NAN,
        text => text.parse().unwrap_or_else(|_| panic!("{text} is no number")),
    }
}

/// What the cold parser makes of it; labels are read too. Lines that say when a counter began are left out, as upstream's test has it.
fn cold(input: &[u8], format: Format) -> Result<Vec<Point>, String> {
    let (mut parser, mut builder, mut samples) =
        (Parser::new(input, format), model::LabelsBuilder::new(), Vec::new());
    while let Some(entry) = parser.next_entry().map_err(|err| err.to_string())? {
        if let Entry::Sample(sample) = entry {
            sample.fill_labels(&mut builder).map_err(|err| err.to_string())?;
            let counts = !matches!(sample.metric_type, MetricType::Gauge | MetricType::Unknown);
            if !(counts && builder.get("__name__").is_some_and(|name| name.ends_with("_created"))) {
                samples.push((sample.value, sample.t_ms));
            }
        }
    }
    Ok(samples)
}

/// Whether the one that compares pages takes it, as a first page and behind another.
fn compared(input: &[u8], format: Format) -> [bool; 2] {
    [b"".as_slice(), b"a 1\n# EOF\n"].map(|before| {
        let (blocks, mut page, mut draft) = (Blocks::new(), Page::new(), Draft::new());
        if !before.is_empty() && page.read(before, format, &blocks, &mut draft).is_ok() {
            page.accept(&mut draft);
        }
        page.read(input, format, &blocks, &mut draft).is_ok()
    })
}

#[test]
fn upstreams_inputs_are_judged_as_upstream_judges_them() {
    let Some(folder) = folder() else { return };
    let (mut wrong, mut n_cases, mut n_samples) = (Vec::new(), 0, 0);
    for (file, format) in
        [("promparse_test.go", Format::Text004), ("openmetricsparse_test.go", Format::OpenMetrics100)]
    {
        let source = std::fs::read_to_string(folder.join(file)).unwrap();
        for case in judged(&source).into_iter().chain(whole(&source)) {
            n_cases += 1;
            let shown = String::from_utf8_lossy(&case.input[..case.input.len().min(120)]).into_owned();
            let found = cold(&case.input, format);
            if found.is_ok() != case.is_good {
                wrong.push(format!("{file}: {shown:?}: expected good={}, got {found:?}", case.is_good));
                continue;
            }
            let is_lazy = found.as_ref().is_err_and(|_| compared(&case.input, format) == [true; 2]);
            // Labels are read when a series is new, which the page itself does not do.
            if compared(&case.input, format) != [found.is_ok(); 2] && !is_lazy {
                wrong.push(format!("{file}: {shown:?}: compared {:?}", compared(&case.input, format)));
            }
            if let (Ok(found), Some(expected)) = (found, case.expected) {
                n_samples += found.len();
                let same =
                    |(a, b): (&Point, &Point)| (a.0 == b.0 || a.0.is_nan() && b.0.is_nan()) && a.1 == b.1;
                if found.len() != expected.len() || !found.iter().zip(&expected).all(same) {
                    let at = found.iter().zip(&expected).position(|pair| !same(pair));
                    wrong.push(format!(
                        "{file}: {shown:?}: {} samples for {}, first other at {at:?}",
                        found.len(),
                        expected.len()
                    ));
                }
            }
        }
    }
    println!("{n_cases} inputs, {n_samples} samples of good pages");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(n_cases > 100, "{n_cases}");
}
