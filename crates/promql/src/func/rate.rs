//! rate, increase, delta, irate, idelta, resets, changes, deriv, predict_linear, double_exponential_smoothing.

use super::start_time;
use super::sum::Sum;
use super::window::{PIECE, Stamp, Window};

/// Which of the extrapolating functions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateKind {
    pub(crate) is_counter: bool,
    pub(crate) is_per_second: bool,
}

/// rate, increase and delta: the difference of the last and first sample, with resets made good, stretched to the
/// window's edges where the samples come close enough to them.
pub(crate) fn extrapolated(window: &Window<'_>, kind: RateKind) -> Option<f64> {
    let n_gaps = window.len().checked_sub(1)?;
    let (first, last) = (window.values[0], window.values[n_gaps]);
    let mut result = last - first;
    if kind.is_counter {
        if window.starts.is_empty() {
            for pair in window.values.windows(2) {
                if pair[1] < pair[0] {
                    result += pair[0];
                }
            }
        } else {
            for idx in 1..=n_gaps {
                let previous = window.values[idx - 1];
                let began_anew = start_time::is_reset(window.stamp(idx - 1), window.stamp(idx));
                if window.values[idx] < previous || began_anew {
                    result += previous;
                }
            }
        }
    }
    stretched(window, kind, result)
}

/// `difference` between the window's first and last sample, stretched to its edges.
pub(crate) fn stretched(window: &Window<'_>, kind: RateKind, difference: f64) -> Option<f64> {
    let (n_gaps, first) = (window.len().checked_sub(1)?, window.values[0]);
    let extent = Extent { first: window.stamp(0), last_ms: window.t_ms[n_gaps], n_gaps };
    let stretch = stretch(window, kind, extent, first, difference)?;
    let result = if stretch.begins_at_zero { difference + first } else { difference };
    Some(result * stretch.factor)
}

/// Where samples lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) first: Stamp,
    pub(crate) last_ms: i64,
    /// One less than there are samples.
    pub(crate) n_gaps: usize,
}

/// How to get from what samples show to what the whole window holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) factor: f64,
    /// The counter began within the window, at zero: the first sample counts in full.
    pub(crate) begins_at_zero: bool,
    /// Seconds before the first sample that are made good.
    pub(crate) to_start: f64,
}

/// The factor for the difference `result` of samples that begin with `first`; none when one sample is all there is.
pub(crate) fn stretch(
    window: &Window<'_>,
    kind: RateKind,
    extent: Extent,
    first: f64,
    result: f64,
) -> Option<Stretch> {
    let Extent { first: stamp, last_ms, n_gaps } = extent;
    let (first_ms, from_ms) = (stamp.t_ms, stamp.start_ms);
    let mut to_start = (first_ms - window.start_ms) as f64 / 1000.0;
    let mut to_end = (window.end_ms - last_ms) as f64 / 1000.0;
    let mut sampled = (last_ms - first_ms) as f64 / 1000.0;
    let mean_gap = if n_gaps > 0 { sampled / n_gaps as f64 } else { 0.0 };
    // A sample is expected within a tenth over the usual gap; when none came, the series began or ended inside.
    let threshold = mean_gap * 1.1;
    let begins_at_zero = kind.is_counter && from_ms != 0 && from_ms > window.start_ms && from_ms < first_ms;
    if begins_at_zero {
        to_start = 0.0;
        sampled = (last_ms - from_ms) as f64 / 1000.0;
    } else if n_gaps == 0 {
        return None;
    } else {
        if to_start >= threshold {
            to_start = mean_gap / 2.0;
        }
        if kind.is_counter {
            let mut to_zero = to_start;
            if result > 0.0 && first >= 0.0 {
                to_zero = sampled * (first / result);
            }
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
    }
    if to_end >= threshold {
        to_end = mean_gap / 2.0;
    }
    let mut factor = 1.0;
    if sampled != 0.0 {
        factor = (sampled + to_start + to_end) / sampled;
    }
    if kind.is_per_second {
        factor /= window.range_s();
    }
    Some(Stretch { factor, begins_at_zero, to_start })
}

/// The value at `t_ms` on the line between two samples; a counter that fell began at zero.
pub(crate) fn interpolate(from: (i64, f64), to: (i64, f64), t_ms: i64, is_counter: bool) -> f64 {
    let start = if is_counter && to.1 < from.1 { 0.0 } else { from.1 };
    start + (to.1 - start) * (t_ms - from.0) as f64 / (to.0 - from.0) as f64
}

/// The samples at and around the window's edges.
pub(crate) struct Edges {
    pub(crate) first: usize,
    pub(crate) last: usize,
    pub(crate) left: f64,
    pub(crate) right: f64,
}

/// Finds the values at the edges of an anchored or smoothed window, whose samples reach beyond it.
pub(crate) fn edges(window: &Window<'_>, is_smoothed: bool, is_counter: bool) -> Option<Edges> {
    let t_ms = window.t_ms;
    let mut last = t_ms.len().checked_sub(1)?;
    let first = t_ms[..last].partition_point(|t| *t <= window.start_ms).saturating_sub(1);
    if is_smoothed {
        last = t_ms[..last].partition_point(|t| *t < window.end_ms);
    }
    if t_ms[last] <= window.start_ms || (is_smoothed && t_ms[first] > window.end_ms) {
        return None;
    }
    let at = |idx: usize| (t_ms[idx], window.values[idx]);
    let left = if is_smoothed && t_ms[first] < window.start_ms {
        interpolate(at(first), at(first + 1), window.start_ms, is_counter)
    } else {
        window.values[first]
    };
    let right = if is_smoothed && last > 0 && t_ms[last] > window.end_ms {
        interpolate(at(last - 1), at(last), window.end_ms, is_counter)
    } else {
        window.values[last]
    };
    Some(Edges { first, last, left, right })
}

/// rate, increase and delta of anchored and smoothed selectors: no extrapolation.
pub(crate) fn extended(window: &Window<'_>, kind: RateKind, is_smoothed: bool) -> Option<f64> {
    let Edges { first, last, left, right } = edges(window, is_smoothed, kind.is_counter)?;
    let mut result = right - left;
    if kind.is_counter {
        let from = if window.t_ms[first] <= window.start_ms { first + 1 } else { first };
        let to = if window.t_ms[last] >= window.end_ms { last } else { last + 1 };
        let mut previous = left;
        let between = window.values.get(from..to).unwrap_or(&[]);
        let mut correction = 0.0;
        for value in between.iter().chain([&right]) {
            if *value < previous {
                correction += previous;
            }
            previous = *value;
        }
        result += correction;
    }
    if kind.is_per_second {
        result /= window.range_s();
    }
    Some(result)
}

/// irate and idelta: from the last two samples.
pub(crate) fn last_two(window: &Window<'_>, is_rate: bool) -> Option<f64> {
    let n = window.len();
    if n < 2 {
        return None;
    }
    let (previous, last) = (window.values[n - 2], window.values[n - 1]);
    let gap_ms = window.t_ms[n - 1] - window.t_ms[n - 2];
    let is_reset = last < previous || start_time::is_reset(window.stamp(n - 2), window.stamp(n - 1));
    let result = if is_rate && is_reset { last } else { last - previous };
    Some(if is_rate { result / (gap_ms as f64 / 1000.0) } else { result })
}

/// Slope per second and value at `origin_ms` of the least-squares line.
fn regression(window: &Window<'_>, origin_ms: i64) -> (f64, f64) {
    let first = window.values[0];
    if window.values.iter().skip(1).all(|v| *v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut x_sum, mut y_sum, mut xy_sum, mut xx_sum) =
        (Sum::default(), Sum::default(), Sum::default(), Sum::default());
    for range in window.pieces_of(window.len(), PIECE) {
        for (t_ms, y) in window.t_ms[range.clone()].iter().zip(&window.values[range]) {
            let x = (t_ms - origin_ms) as f64 / 1e3;
            x_sum = x_sum.add(x);
            y_sum = y_sum.add(*y);
            xy_sum = xy_sum.add(x * y);
            xx_sum = xx_sum.add(x * x);
        }
    }
    let n = window.len() as f64;
    let (x, y, xy, xx) = (x_sum.total(), y_sum.total(), xy_sum.total(), xx_sum.total());
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}

pub(crate) fn deriv(window: &Window<'_>) -> Option<f64> {
    (window.len() >= 2).then(|| regression(window, window.t_ms[0]).0)
}

/// The line's value `seconds` after the step.
pub(crate) fn predict_linear(window: &Window<'_>, seconds: f64) -> Option<f64> {
    if window.len() < 2 {
        return None;
    }
    let (slope, intercept) = regression(window, window.eval_ms);
    Some(slope * seconds + intercept)
}

/// Holt's double exponential smoothing, with factors within (0, 1).
pub(crate) fn double_exponential_smoothing(
    window: &Window<'_>,
    smoothing: f64,
    trending: f64,
) -> Option<f64> {
    let values = window.values;
    if values.len() < 2 {
        return None;
    }
    let (mut before, mut level) = (0.0, values[0]);
    let mut trend = values[1] - values[0];
    for range in window.pieces_of(values.len(), PIECE) {
        let (first, piece) = (range.start.max(1), &values[range.start.max(1)..range.end]);
        for (idx, value) in (first..).zip(piece) {
            let scaled = smoothing * value;
            if idx > 1 {
                trend = trending * (level - before) + (1.0 - trending) * trend;
            }
            let next = scaled + (1.0 - smoothing) * (level + trend);
            (before, level) = (level, next);
        }
    }
    Some(level)
}
