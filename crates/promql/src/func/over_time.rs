//! Aggregations over the samples of a window: sum_over_time and its siblings.

use super::sum::{Mean, Sum, quantile};
use super::window::Window;

pub(crate) fn sum(values: &[f64]) -> f64 {
    let sum = values.iter().fold(Sum::default(), |sum, v| sum.add(*v));
    if sum.sum.is_infinite() { sum.sum } else { sum.total() }
}

pub(crate) fn avg(values: &[f64]) -> f64 {
    let Some((first, rest)) = values.split_first() else {
        return f64::NAN;
    };
    let mut mean = Mean::first(*first);
    for value in rest {
        mean.add(*value);
    }
    mean.mean()
}

/// Population variance, by Welford's method with compensated sums.
pub(crate) fn stdvar(values: &[f64]) -> f64 {
    let (mut n, mut mean, mut squares) = (0.0, Sum::default(), Sum::default());
    for value in values {
        n += 1.0;
        let delta = value - mean.total();
        mean = mean.add(delta / n);
        squares = squares.add(delta * (value - mean.total()));
    }
    squares.total() / n
}

/// Index of the greatest value; NaN loses.
fn best(values: &[f64], is_better: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (idx, value) in values.iter().enumerate() {
        if is_better(*value, values[best]) || values[best].is_nan() {
            best = idx;
        }
    }
    best
}

/// When the greatest value occurred last, in seconds.
pub(crate) fn ts_of_max(window: &Window<'_>) -> f64 {
    window.t_ms[best(window.values, |a, b| a >= b)] as f64 / 1000.0
}

/// When the least value occurred last, in seconds.
pub(crate) fn ts_of_min(window: &Window<'_>) -> f64 {
    window.t_ms[best(window.values, |a, b| a <= b)] as f64 / 1000.0
}

/// Median absolute deviation; NaN when any value is.
pub(crate) fn mad(values: &[f64]) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let mut sorted = values.to_vec();
    let median = quantile(0.5, &mut sorted);
    for value in &mut sorted {
        *value = (*value - median).abs();
    }
    quantile(0.5, &mut sorted)
}
