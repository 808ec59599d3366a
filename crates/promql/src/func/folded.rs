//! Functions of one long window, from samples and the summaries that stand for those that the store left out.
//!
//! In: a series as [`SelectHints::summaries`](storage::SelectHints) brings it; out: the function's value: to the bit, sums and means within an
//! ulp or two.

use model::is_stale;
use storage::{Series, Summary};

use super::rate::{Extent, RateKind, stretch};
use super::sum::Sum;
use super::window::{Stamp, Window};

/// Functions that summaries are enough for, sorted.
const FUNCTIONS: [&str; 13] = [
    "avg_over_time",
    "changes",
    "count_over_time",
    "delta",
    "first_over_time",
    "increase",
    "last_over_time",
    "max_over_time",
    "min_over_time",
    "present_over_time",
    "rate",
    "resets",
    "sum_over_time",
];

/// Shorter windows are read sample by sample: pages hold half an hour and more, so few would lie within. Chosen.
const RANGE_MIN_MS: i64 = 2 * 3_600_000;

/// Whether `function` of a window of `range_ms` gains from summaries.
pub(crate) fn gains(function: &str, range_ms: i64) -> bool {
    range_ms >= RANGE_MIN_MS && FUNCTIONS.contains(&function)
}

/// What was met so far.
#[derive(Debug, Default)]
struct Fold {
    n: u64,
    first: Option<(i64, f64)>,
    last: Option<(i64, f64)>,
    min: f64,
    max: f64,
    sum: Sum,
    /// Values before each fall.
    falls: Vec<f64>,
    n_resets: u64,
    n_changes: u64,
}

impl Fold {
    fn of(series: &Series) -> Self {
        let mut fold = Self::default();
        let mut at = 0;
        for summary in &series.summaries {
            fold.add_samples(series, at, summary.before);
            fold.add_summary(summary);
            at = summary.before;
        }
        fold.add_samples(series, at, series.values.len());
        fold
    }

    fn add_samples(&mut self, series: &Series, from: usize, to: usize) {
        let times = series.timestamps.get(from..to).unwrap_or(&[]);
        let values = series.values.get(from..to).unwrap_or(&[]);
        for (t_ms, value) in times.iter().zip(values).filter(|(_, value)| !is_stale(**value)) {
            self.follow(*t_ms, *value, *value, *value);
            self.sum = self.sum.add(*value);
            self.n += 1;
            self.last = Some((*t_ms, *value));
        }
    }

    fn add_summary(&mut self, summary: &Summary) {
        self.follow(summary.first_ms, summary.first, summary.min, summary.max);
        self.sum = self.sum.add(summary.sum);
        self.n += u64::from(summary.n);
        if summary.n_resets > 0 {
            self.falls.push(summary.fallen_from);
        }
        self.n_resets += u64::from(summary.n_resets);
        self.n_changes += u64::from(summary.n_changes);
        self.last = Some((summary.last_ms, summary.last));
    }

    /// Something that begins with `first` comes after what there was.
    fn follow(&mut self, t_ms: i64, first: f64, min: f64, max: f64) {
        let Some((_, before)) = self.last else {
            self.first = Some((t_ms, first));
            (self.min, self.max) = (min, max);
            return;
        };
        if first < before {
            self.falls.push(before);
            self.n_resets += 1;
        }
        self.n_changes += u64::from(first != before && !(first.is_nan() && before.is_nan()));
        if min < self.min || self.min.is_nan() {
            self.min = min;
        }
        if max > self.max || self.max.is_nan() {
            self.max = max;
        }
    }

    /// As `rate::extrapolated`.
    fn extrapolated(&self, window: &Window<'_>, kind: RateKind) -> Option<f64> {
        let ((first_ms, first), (last_ms, last)) = self.first.zip(self.last)?;
        let mut difference = last - first;
        if kind.is_counter {
            difference = self.falls.iter().fold(difference, |sum, before| sum + before);
        }
        let first_stamp = Stamp { t_ms: first_ms, start_ms: 0 };
        let extent = Extent { first: first_stamp, last_ms, n_gaps: self.n as usize - 1 };
        Some(difference * stretch(window, kind, extent, first, difference)?.factor)
    }
}

/// The value of `function`, one of those that gain, for the one window that `series` was read for; `kind` is that of a function
/// that extrapolates. `window` gives its edges.
pub(crate) fn value(
    function: &str,
    kind: Option<RateKind>,
    series: &Series,
    window: &Window<'_>,
) -> Option<f64> {
    let fold = Fold::of(series);
    let ((_, first), (_, last)) = fold.first.zip(fold.last)?;
    if let Some(kind) = kind {
        return fold.extrapolated(window, kind);
    }
    Some(match function {
        "count_over_time" => fold.n as f64,
        "first_over_time" => first,
        "last_over_time" => last,
        "max_over_time" => fold.max,
        "min_over_time" => fold.min,
        "present_over_time" => 1.0,
        "resets" => fold.n_resets as f64,
        "changes" => fold.n_changes as f64,
        "sum_over_time" if fold.sum.sum.is_infinite() => fold.sum.sum,
        "sum_over_time" => fold.sum.total(),
        "avg_over_time" => fold.sum.sum / fold.n as f64 + fold.sum.lost / fold.n as f64,
        _ => return None,
    })
}
