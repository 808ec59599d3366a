//! Starts for counters that do not say theirs: the first sample is what the later ones are counted from, and is not stored itself.
//!
//! In from [`crate::ingest::plain`] and [`crate::ingest::natives`], one [`Reference`] for each series; out how much was counted since, and since when. Pure.
//! Semantics of Prometheus 3.14's `st-synthesis`, which are those of OpenTelemetry's `metricstarttime` processor, "subtract initial point".

use model::histogram::ResetHint;
use model::{Histogram, MetricType};

/// A family as the page's last metadata line names it.
#[derive(Debug, Default)]
pub(crate) struct Family {
    name: String,
    metric_type: MetricType,
}

impl Family {
    /// A line of metadata; only `# TYPE` says the type.
    pub(crate) fn see(&mut self, name: &str, metric_type: Option<MetricType>) {
        if self.name != name {
            name.clone_into(&mut self.name);
            self.metric_type = MetricType::Unknown;
        }
        self.metric_type = metric_type.unwrap_or(self.metric_type);
    }

    /// Whether `metric` is of the family, and counts up.
    pub(crate) fn counts(&self, metric: &str) -> bool {
        let family = self.name.as_str();
        let base = |suffixes: &[&str]| suffixes.iter().find_map(|suffix| metric.strip_suffix(suffix));
        match self.metric_type {
            MetricType::Counter => {
                let without = |name| str::strip_suffix(name, "_total").unwrap_or(name);
                metric.starts_with(family) && without(metric) == without(family)
            }
            MetricType::Histogram => base(&["_bucket", "_sum", "_count"]).unwrap_or(metric) == family,
            MetricType::Summary => base(&["_sum", "_count"]) == Some(family),
            _ => false,
        }
    }
}

/// What a counter holds.
pub(crate) trait Counted: Clone {
    /// Whether it began anew after `last`.
    fn fell_since(&self, last: &Self) -> bool;

    /// What was counted since it was `first`.
    fn above(&self, first: &Self) -> Self;
}

impl Counted for f64 {
    fn fell_since(&self, last: &Self) -> bool {
        self < last
    }

    fn above(&self, first: &Self) -> Self {
        self - first
    }
}

impl Counted for Histogram {
    fn fell_since(&self, last: &Self) -> bool {
        self.is_reset_after(last)
    }

    fn above(&self, first: &Self) -> Self {
        let mut above = self.clone();
        // Of two kinds of buckets one fell since the other.
        if above.subtract(first).is_ok() {
            above.compact();
            (above.is_integer, above.reset_hint) = (self.is_integer, self.reset_hint);
        }
        above
    }
}

/// Whether a histogram of a page counts up.
pub(crate) fn is_counter(histogram: &Histogram) -> bool {
    histogram.reset_hint != ResetHint::Gauge
}

/// What is known of a counter without a start.
#[derive(Debug)]
pub(crate) struct Reference<V> {
    start_ms: i64,
    /// What it is counted from; nothing since it began anew.
    first: Option<V>,
    last: V,
    last_ms: i64,
}

/// What becomes of a sample.
#[derive(Debug, PartialEq)]
pub(crate) enum Step<V> {
    /// It is the first one, and is not stored.
    First,
    /// Stored is so much, counted since then.
    Next(V, i64),
    /// It is before the last one, so that nobody knows what it counts from.
    TooLate,
}

/// Takes the next sample of a counter whose `reference` is this.
pub(crate) fn step<V: Counted>(reference: &mut Option<Box<Reference<V>>>, t_ms: i64, value: &V) -> Step<V> {
    let Some(known) = reference else {
        *reference = Some(Box::new(Reference::new(t_ms, value)));
        return Step::First;
    };
    match known.next(t_ms, value) {
        Some((above, start_ms)) => Step::Next(above, start_ms),
        None => {
            *reference = None;
            Step::TooLate
        }
    }
}

impl<V: Counted> Reference<V> {
    fn new(t_ms: i64, first: &V) -> Self {
        Self { start_ms: t_ms, first: Some(first.clone()), last: first.clone(), last_ms: t_ms }
    }

    fn next(&mut self, t_ms: i64, value: &V) -> Option<(V, i64)> {
        if t_ms < self.last_ms {
            return None;
        }
        if value.fell_since(&self.last) {
            self.first = None;
            // Some time since the last sample: the shortest guess, as there.
            self.start_ms = t_ms - 1;
        }
        (self.last, self.last_ms) = (value.clone(), t_ms);
        let above = self.first.as_ref().map_or_else(|| value.clone(), |first| value.above(first));
        Some((above, self.start_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_counted_from_their_first_sample() {
        use Step::{First, Next, TooLate};
        let check = |samples: &[(i64, f64)], expected: &[Step<f64>]| {
            let mut reference = None;
            let got: Vec<_> =
                samples.iter().map(|(t_ms, value)| step(&mut reference, *t_ms, value)).collect();
            assert_eq!(got, expected, "{samples:?}");
        };
        check(&[(10, 5.0), (20, 7.0), (30, 7.0)], &[First, Next(2.0, 10), Next(2.0, 10)]);
        check(&[(10, 5.0), (20, 3.0), (30, 9.0)], &[First, Next(3.0, 19), Next(9.0, 19)]);
        check(&[(10, 5.0), (10, 5.0), (9, 6.0), (20, 7.0)], &[First, Next(0.0, 10), TooLate, First]);
    }

    #[test]
    fn families_are_told_by_name_and_type() {
        let check = |family: &str, metric_type, metrics: &[(&str, bool)]| {
            let mut it = Family::default();
            it.see(family, Some(metric_type));
            it.see(family, None);
            for (metric, expected) in metrics {
                assert_eq!(it.counts(metric), *expected, "{family} {metric_type} {metric}");
            }
            it.see("other", None);
            assert!(!it.counts(family));
        };
        check("c", MetricType::Counter, &[("c", true), ("c_total", true), ("c_sum", false), ("b", false)]);
        check("c_total", MetricType::Counter, &[("c_total", true), ("c", false)]);
        check(
            "h",
            MetricType::Histogram,
            &[("h", true), ("h_bucket", true), ("h_sum", true), ("h_x", false)],
        );
        check("s", MetricType::Summary, &[("s", false), ("s_count", true), ("s_sum", true)]);
        check("g", MetricType::Gauge, &[("g", false), ("g_sum", false)]);
    }
}
