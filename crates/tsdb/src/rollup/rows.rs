//! Samples become rows: what is kept of each interval. Pure. Layout: docs/formats/rollup.md.

use std::sync::Arc;

use model::{Sum, is_stale};
use storage::HistogramSample;

use crate::page::PageKind;

/// The columns of a row besides the last value, in the order in which they are written.
pub(super) const COLUMNS: [PageKind; 6] =
    [PageKind::First, PageKind::Count, PageKind::Sum, PageKind::Min, PageKind::Max, PageKind::Correction];

/// The rows of one series.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rows {
    /// The last millisecond of each interval.
    pub(super) times: Vec<i64>,
    pub(super) last: Vec<f64>,
    /// As [`COLUMNS`].
    pub(super) columns: [Vec<f64>; COLUMNS.len()],
}

/// An interval while its samples come.
struct Open {
    end_ms: i64,
    first: f64,
    last: f64,
    count: u64,
    sum: Sum,
    min: f64,
    max: f64,
    correction: f64,
}

impl Open {
    fn begin(end_ms: i64, value: f64) -> Self {
        let sum = Sum::of(value);
        Self { end_ms, first: value, last: value, count: 1, sum, min: value, max: value, correction: 0.0 }
    }

    fn add(&mut self, value: f64) {
        if value < self.last {
            self.correction += self.last;
        }
        self.last = value;
        self.count += 1;
        self.sum = self.sum.add(value);
        // The first number replaces NaN.
        if value < self.min || self.min.is_nan() {
            self.min = value;
        }
        if value > self.max || self.max.is_nan() {
            self.max = value;
        }
    }
}

impl Rows {
    /// The rows of samples by rising time, of intervals of `interval_ms`.
    pub(super) fn of(times: &[i64], values: &[f64], interval_ms: i64) -> Self {
        let mut rows = Self::default();
        let mut open: Option<Open> = None;
        for (t_ms, value) in times.iter().zip(values).filter(|(_, value)| !is_stale(**value)) {
            match &mut open {
                Some(interval) if *t_ms <= interval.end_ms => interval.add(*value),
                _ => {
                    let next = Open::begin(end_of_interval(*t_ms, interval_ms), *value);
                    rows.close(open.replace(next));
                }
            }
        }
        rows.close(open);
        rows
    }

    fn close(&mut self, open: Option<Open>) {
        let Some(open) = open else { return };
        self.times.push(open.end_ms);
        self.last.push(open.last);
        let sum = open.sum.total();
        let values = [open.first, open.count as f64, sum, open.min, open.max, open.correction];
        self.columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
    }
}

/// The last millisecond of the interval that `t_ms` is in.
pub(super) fn end_of_interval(t_ms: i64, interval_ms: i64) -> i64 {
    t_ms.div_euclid(interval_ms).saturating_add(1).saturating_mul(interval_ms).saturating_sub(1)
}

/// Of each interval the last histogram, and of each reset both sides.
pub(super) fn thinned(samples: &[HistogramSample], interval_ms: i64) -> Vec<HistogramSample> {
    let is_live = |sample: &&HistogramSample| !is_stale(sample.histogram.sum);
    let live: Vec<&HistogramSample> = samples.iter().filter(is_live).collect();
    let is_gauge =
        |sample: &HistogramSample| sample.histogram.reset_hint == model::histogram::ResetHint::Gauge;
    let is_reset = |idx: usize| {
        idx > 0
            && idx < live.len()
            && !is_gauge(live[idx])
            && live[idx].histogram.is_reset_after(&live[idx - 1].histogram)
    };
    let interval = |idx: usize| live[idx].t_ms.div_euclid(interval_ms);
    let is_kept = |idx: usize| {
        idx + 1 == live.len() || interval(idx) != interval(idx + 1) || is_reset(idx) || is_reset(idx + 1)
    };
    let kept = (0..live.len()).filter(|idx| is_kept(*idx));
    kept.map(|idx| without_hint(live[idx], is_reset(idx), is_gauge(live[idx]))).collect()
}

/// «Not reset» was said of the neighbour before, which may have gone.
fn without_hint(sample: &HistogramSample, is_reset: bool, is_gauge: bool) -> HistogramSample {
    use model::histogram::ResetHint;
    if is_gauge {
        return HistogramSample { start_ms: 0, ..sample.clone() };
    }
    let mut histogram = (*sample.histogram).clone();
    histogram.reset_hint = if is_reset { ResetHint::Reset } else { ResetHint::Unknown };
    HistogramSample { t_ms: sample.t_ms, start_ms: 0, histogram: Arc::new(histogram) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::STALE_NAN_BITS;

    type Row = (i64, [f64; 7]);

    /// Samples, and rows of ten milliseconds: last, first, count, sum, min, max, correction.
    fn check(samples: &[(i64, f64)], expected: &[Row]) {
        let (times, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
        let rows = Rows::of(&times, &values, 10);
        let found: Vec<Row> = (0..rows.times.len())
            .map(|idx| {
                let [a, b, c, d, e, f] = rows.columns.each_ref().map(|column| column[idx]);
                (rows.times[idx], [rows.last[idx], a, b, c, d, e, f])
            })
            .collect();
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{samples:?}");
    }

    #[test]
    fn an_interval_becomes_a_row_and_a_gap_none() {
        check(&[], &[]);
        check(&[(0, 5.0)], &[(9, [5.0, 5.0, 1.0, 5.0, 5.0, 5.0, 0.0])]);
        check(
            &[(-1, 1.0), (0, 2.0), (9, 3.0), (30, 4.0)],
            &[
                (-1, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]),
                (9, [3.0, 2.0, 2.0, 5.0, 2.0, 3.0, 0.0]),
                (39, [4.0, 4.0, 1.0, 4.0, 4.0, 4.0, 0.0]),
            ],
        );
    }

    #[test]
    fn resets_are_made_good_stale_is_no_sample_and_nan_is_one() {
        let stale = f64::from_bits(STALE_NAN_BITS);
        check(
            &[(0, 5.0), (1, 7.0), (2, 1.0), (3, 9.0), (4, 2.0), (5, stale)],
            &[(9, [2.0, 5.0, 5.0, 24.0, 1.0, 9.0, 16.0])],
        );
        check(&[(0, stale)], &[]);
        check(&[(0, f64::NAN), (1, 3.0), (2, 4.0)], &[(9, [4.0, f64::NAN, 3.0, f64::NAN, 3.0, 4.0, 0.0])]);
    }
}
