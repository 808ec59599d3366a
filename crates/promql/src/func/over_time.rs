//! Aggregations over the samples of a window: sum_over_time and its siblings.

use super::sum::{Mean, Sum, quantile, quantile_of_many};
use super::window::{PIECE, Window};

pub(crate) fn sum(window: &Window<'_>) -> f64 {
    let mut sum = Sum::default();
    for piece in window.pieces() {
        sum = piece.iter().fold(sum, |sum, v| sum.add(*v));
    }
    if sum.sum.is_infinite() { sum.sum } else { sum.total() }
}

pub(crate) fn avg(window: &Window<'_>) -> f64 {
    let Some(first) = window.values.first() else {
        return f64::NAN;
    };
    let mut mean = Mean::first(*first);
    for (nth, piece) in window.pieces().enumerate() {
        for value in &piece[usize::from(nth == 0)..] {
            mean.add(*value);
        }
    }
    mean.mean()
}

/// Population variance, by Welford's method with compensated sums.
pub(crate) fn stdvar(window: &Window<'_>) -> f64 {
    let (mut n, mut mean, mut squares) = (0.0, Sum::default(), Sum::default());
    for piece in window.pieces() {
        for value in piece {
            n += 1.0;
            let delta = value - mean.total();
            mean = mean.add(delta / n);
            squares = squares.add(delta * (value - mean.total()));
        }
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
pub(crate) fn mad(window: &Window<'_>) -> f64 {
    if window.values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let median = quantile_in_pieces(0.5, window, window.values);
    let deviations: Vec<f64> = window.values.iter().map(|value| (value - median).abs()).collect();
    quantile_in_pieces(0.5, window, &deviations)
}

/// The quantile of `values`, which are those of the window or as many.
pub(crate) fn quantile_in_pieces(q: f64, window: &Window<'_>, values: &[f64]) -> f64 {
    if values.len() <= PIECE {
        return quantile(q, &mut values.to_vec());
    }
    let pieces = window.pieces_of(values.len(), PIECE).map(|range| &values[range]);
    quantile_of_many(q, values, pieces)
}
