//! The texts of annotations about native histograms and start timestamps, in Prometheus' words.

use model::labels::quoted;

use crate::civil;

/// What was being done when histograms had to be reconciled.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Doing {
    Addition,
    Subtraction,
    Aggregation,
}

impl Doing {
    fn as_str(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// Ours: Prometheus has no roll-ups.
pub(crate) fn rolled_up(interval_ms: i64, before_ms: i64) -> String {
    let interval = model::Duration::from_ms(interval_ms);
    format!("answered from {interval} roll-ups before {}", civil::rfc3339(before_ms.div_euclid(1000)))
}

pub(crate) fn last_values_only(function: &str, interval_ms: i64, before_ms: i64) -> String {
    let interval = model::Duration::from_ms(interval_ms);
    let before = civil::rfc3339(before_ms.div_euclid(1000));
    format!(
        "{function} sees one value for every {interval} before {before}: roll-ups do not keep what it needs"
    )
}

pub(crate) fn mixed_samples(metric: &str) -> String {
    format!("encountered a mix of histograms and floats for metric name {}", quoted(metric))
}

pub(crate) const MIXED_SAMPLES_IN_AGGREGATION: &str =
    "encountered a mix of histograms and floats for aggregation";

pub(crate) fn mixed_schemas(metric: &str) -> String {
    let metric = quoted(metric);
    format!(
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {metric}"
    )
}

pub(crate) fn not_counter(metric: &str) -> String {
    format!("this native histogram metric is not a counter: {}", quoted(metric))
}

pub(crate) fn not_gauge(metric: &str) -> String {
    format!("this native histogram metric is not a gauge: {}", quoted(metric))
}

pub(crate) fn bounds_reconciled(doing: Doing) -> String {
    format!("mismatched custom buckets were reconciled during {}", doing.as_str())
}

pub(crate) fn resets_collide(doing: Doing) -> String {
    format!("conflicting counter resets during histogram {}", doing.as_str())
}

pub(crate) fn ignored_in_range(metric: &str) -> String {
    format!(
        "ignored histograms in a range containing both floats and histograms for metric name {}",
        quoted(metric)
    )
}

pub(crate) fn ignored_in_aggregation(aggregation: &str) -> String {
    format!("ignored histogram in {aggregation} aggregation")
}

pub(crate) fn start_time_overlap(metric: &str) -> String {
    format!(
        "sample has start time that overlaps with previous sample timestamp for metric {}",
        quoted(metric)
    )
}

pub(crate) fn incompatible_types(lhs: &str, op: &str, rhs: &str) -> String {
    format!("incompatible sample types encountered for binary operator {}: {lhs} {op} {rhs}", quoted(op))
}

pub(crate) fn incompatible_buckets(op: &str) -> String {
    format!("incompatible bucket layout encountered for binary operator {op}")
}

fn for_metric(text: &str, metric: &str) -> String {
    if metric.is_empty() { text.to_owned() } else { format!("{text} for metric name {}", quoted(metric)) }
}

pub(crate) fn mixed_classic_native(metric: &str) -> String {
    for_metric("vector contains a mix of classic and native histograms", metric)
}

pub(crate) fn quantile_is_nan(metric: &str) -> String {
    for_metric("input to histogram_quantile has NaN observations, result is NaN", metric)
}

pub(crate) fn quantile_is_skewed(metric: &str) -> String {
    for_metric("input to histogram_quantile has NaN observations, result is skewed higher", metric)
}

pub(crate) fn fraction_without_nans(metric: &str) -> String {
    let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
    for_metric(text, metric)
}
