//! Expected against got, and how promtool says that they differ.

use std::fmt::Write as _;
use std::sync::Arc;

use model::Labels;
use promql::VectorSample;
use promql::notation::{self, Sample, format_histogram};

use super::diff;
use super::file::ExpectedSample;

/// What tests written for promtool say of histograms.
const RESET_HINTS: [&str; 2] = [" counter_reset_hint:not_reset", " counter_reset_hint:reset"];

/// An alert that fires.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AlertOf {
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
}

/// One series of a result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SampleOf {
    pub(super) labels: Labels,
    pub(super) value: f64,
    /// In the notation.
    pub(super) histogram: Option<String>,
}

impl SampleOf {
    pub(super) fn got(sample: VectorSample) -> Self {
        let histogram = sample.histogram.as_ref().map(Arc::as_ref).map(format_histogram);
        Self { labels: sample.labels, value: sample.value, histogram }
    }

    /// On failure says what is wrong with the test.
    pub(super) fn expected(sample: &ExpectedSample) -> Result<Self, String> {
        let labels = match sample.labels.as_str() {
            "" => Labels::empty(),
            text => notation::labels(text)?,
        };
        if sample.histogram.is_empty() {
            return Ok(Self { labels, value: sample.value, histogram: None });
        }
        let places = notation::places(&sample.histogram)?;
        let [place] = &places[..] else { return Err(format!("expected 1 value, got {}", places.len())) };
        match place {
            Some(Sample::Histogram(written)) => {
                let histogram = Some(format_histogram(&written.histogram));
                Ok(Self { labels, value: sample.value, histogram })
            }
            _ => Err("expected histogram, got float".to_owned()),
        }
    }

    fn is_like(&self, other: &Self, fuzzy: bool) -> bool {
        let same_value = self.value == other.value
            || fuzzy && (self.value.next_up() == other.value || self.value.next_down() == other.value);
        self.labels == other.labels && same_value && self.has_histogram_like(other)
    }

    /// Whether a counter was reset before a histogram the store does not say: what a test expects of that is read over.
    fn has_histogram_like(&self, other: &Self) -> bool {
        let plain = |sample: &Self| {
            let text = sample.histogram.clone()?;
            Some(RESET_HINTS.iter().fold(text, |text, hint| text.replace(hint, "")))
        };
        self.histogram == other.histogram || plain(self) == plain(other)
    }

    fn text(&self) -> String {
        match &self.histogram {
            Some(histogram) => format!("{} {histogram}", self.labels),
            None => format!("{} {}", self.labels, exponent(self.value)),
        }
    }
}

/// As Go's `%E` with the fewest digits: `1.5E+01`.
fn exponent(value: f64) -> String {
    if !value.is_finite() {
        return model::float::format_g(value);
    }
    let text = format!("{value:E}");
    let (mantissa, exponent) = text.split_once('E').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}E{sign}{digits:0>2}")
}

/// Every line but the first moved to the right.
fn indented(text: &str, by: &str) -> String {
    text.replace('\n', &format!("\n{by}"))
}

fn alerts_text(alerts: &[AlertOf]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let mut text = "[".to_owned();
    for (idx, alert) in alerts.iter().enumerate() {
        let comma = if idx == 0 { "" } else { "," };
        let lines = format!("\nLabels:{}\nAnnotations:{}", alert.labels, alert.annotations);
        let _ = write!(text, "{comma}\n{idx}:{}", indented(&lines, "  "));
    }
    text + "\n]"
}

/// `None` when they are the same.
pub(super) fn alerts_differ(
    mut expected: Vec<AlertOf>,
    mut got: Vec<AlertOf>,
    as_diff: bool,
) -> Option<String> {
    expected.sort();
    got.sort();
    if expected == got {
        return None;
    }
    let by = "            ";
    let (expected, got) = (alerts_text(&expected), alerts_text(&got));
    Some(if as_diff {
        format!("        diff: {}", indented(&diff::lines(&expected, &got), by))
    } else {
        format!("        exp:{}, \n        got:{}", indented(&expected, by), indented(&got, by))
    })
}

fn samples_text(samples: &[SampleOf]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    samples.iter().map(SampleOf::text).collect::<Vec<_>>().join(", ")
}

/// `None` when they are the same.
pub(super) fn samples_differ(
    mut expected: Vec<SampleOf>,
    mut got: Vec<SampleOf>,
    fuzzy: bool,
    as_diff: bool,
) -> Option<String> {
    expected.sort_by(|a, b| a.labels.cmp(&b.labels));
    got.sort_by(|a, b| a.labels.cmp(&b.labels));
    let same = expected.len() == got.len() && expected.iter().zip(&got).all(|(a, b)| a.is_like(b, fuzzy));
    if same {
        return None;
    }
    if as_diff {
        let text = |samples: &[SampleOf]| samples.iter().map(SampleOf::text).collect::<Vec<_>>().join("\n");
        let lines = diff::lines(&text(&expected), &text(&got));
        return Some(format!("\n        diff: {}", indented(&lines, "            ")));
    }
    Some(format!("\n        exp: {}\n        got: {}", samples_text(&expected), samples_text(&got)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (value, expected) in
            [(15.0, "1.5E+01"), (0.0, "0E+00"), (-1e-7, "-1E-07"), (1e100, "1E+100"), (f64::INFINITY, "+Inf")]
        {
            assert_eq!(exponent(value), expected);
        }
    }

    #[test]
    fn fuzzy_is_the_last_bit() {
        let sample = |value: f64| vec![SampleOf { labels: Labels::empty(), value, histogram: None }];
        let differ =
            |a: f64, b: f64, fuzzy: bool| samples_differ(sample(a), sample(b), fuzzy, false).is_some();
        let near = 0.3f64.next_up();
        assert!(differ(0.3, near, false) && !differ(0.3, near, true) && differ(0.3, near.next_up(), true));
    }
}
