//! Windows that slide: what the window of the last step told is not read again.
//!
//! In from `range_calls`, the windows of one series in the order of steps; out the same values that reading each window anew gives.
//! resets and changes remember where neighbours differ, min and max keep a rising or falling queue: to the
//! bit. Sums of wide windows are kept as two stacks of compensated sums: within an ulp or two.

use std::collections::VecDeque;

use model::Sum;

use super::over_time;
use super::window::Window;

/// Narrower windows are summed anew, which is as fast and to the bit the same. Chosen.
const SUMMED_ANEW_MAX: usize = 64;

/// What one function remembers between the windows of one series. Floats only: not for series with histograms or start
/// timestamps, nor for anchored and smoothed selectors.
#[derive(Debug)]
pub(crate) enum Slide {
    Resets(Pairs),
    Changes(Pairs),
    Max(Extreme),
    Min(Extreme),
    Sum(Stacks),
    Mean(Stacks),
}

impl Slide {
    /// For the functions that gain from it.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "resets" => Self::Resets(Pairs::default()),
            "changes" => Self::Changes(Pairs::default()),
            "max_over_time" => Self::Max(Extreme::default()),
            "min_over_time" => Self::Min(Extreme::default()),
            "sum_over_time" => Self::Sum(Stacks::default()),
            "avg_over_time" => Self::Mean(Stacks::default()),
            _ => return None,
        })
    }

    /// The function's value for `window`, which begins and ends no earlier than the one before.
    pub(crate) fn value(&mut self, window: &Window<'_>) -> Option<f64> {
        let fell = |a: f64, b: f64| b < a;
        match self {
            Self::Resets(falls) => Some(falls.pass(window, fell) as f64),
            Self::Changes(changes) => {
                Some(changes.pass(window, |a, b| a != b && !(a.is_nan() && b.is_nan())) as f64)
            }
            Self::Max(extreme) => extreme.pass(window, |a, b| a < b),
            Self::Min(extreme) => extreme.pass(window, |a, b| a > b),
            Self::Sum(_) if window.len() <= SUMMED_ANEW_MAX => Some(over_time::sum(window)),
            Self::Sum(stacks) => {
                let sum = stacks.pass(window);
                Some(if sum.sum.is_infinite() { sum.sum } else { sum.total() })
            }
            Self::Mean(_) if window.len() <= SUMMED_ANEW_MAX => Some(over_time::avg(window)),
            Self::Mean(stacks) => {
                let (sum, n) = (stacks.pass(window), window.len() as f64);
                // A sum that overflows is averaged step by step instead.
                let fits = sum.sum.is_finite();
                Some(if fits { sum.sum / n + sum.lost / n } else { over_time::avg(window) })
            }
        }
    }
}

/// Places where a sample and the one before it, both in the window, fulfil a condition.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    /// Numbers of the later samples, counted from the series' first.
    places: VecDeque<usize>,
    /// All before this were looked at.
    end: usize,
}

impl Pairs {
    /// Moves on to `window`. Returns how many places lie in it.
    fn pass(&mut self, window: &Window<'_>, holds: impl Fn(f64, f64) -> bool) -> usize {
        let (from, to) = (window.offset, window.offset + window.len());
        for idx in self.end.max(from + 1)..to {
            if holds(window.values[idx - 1 - from], window.values[idx - from]) {
                self.places.push_back(idx);
            }
        }
        self.end = self.end.max(to);
        while self.places.front().is_some_and(|idx| *idx <= from) {
            self.places.pop_front();
        }
        self.places.len()
    }
}

/// Candidates for the greatest or least value, the best one first.
#[derive(Debug, Default)]
pub(crate) struct Extreme {
    candidates: VecDeque<(usize, f64)>,
    end: usize,
}

impl Extreme {
    /// Moves on to `window`. Of equals the first stays, NaN counts only where there is nothing else.
    fn pass(&mut self, window: &Window<'_>, is_worse: impl Fn(f64, f64) -> bool) -> Option<f64> {
        let (from, to) = (window.offset, window.offset + window.len());
        for idx in self.end.max(from)..to {
            let value = window.values[idx - from];
            if value.is_nan() {
                continue;
            }
            while self.candidates.back().is_some_and(|(_, last)| is_worse(*last, value)) {
                self.candidates.pop_back();
            }
            self.candidates.push_back((idx, value));
        }
        self.end = self.end.max(to);
        while self.candidates.front().is_some_and(|(idx, _)| *idx < from) {
            self.candidates.pop_front();
        }
        self.candidates.front().map(|(_, value)| *value).or_else(|| window.values.last().copied())
    }
}

/// A queue's sum without subtracting: sums from each place up to a middle, and one from there on.
#[derive(Debug, Default)]
pub(crate) struct Stacks {
    /// Of the samples from `start + i` to `middle`.
    left: Vec<Sum>,
    start: usize,
    middle: usize,
    right: Sum,
    end: usize,
}

impl Stacks {
    fn pass(&mut self, window: &Window<'_>) -> Sum {
        let (from, to) = (window.offset, window.offset + window.len());
        if from >= self.middle || from < self.start || to < self.end {
            self.begin_anew(window, from, to);
        }
        for value in &window.values[self.end - from..] {
            self.right = self.right.add(*value);
        }
        self.end = to;
        let left = self.left[from - self.start];
        let sum = left.add(self.right.sum);
        Sum { sum: sum.sum, lost: sum.lost + self.right.lost }
    }

    /// Each sample is read here once, and once from the right, whatever the number of windows it lies in.
    fn begin_anew(&mut self, window: &Window<'_>, from: usize, to: usize) {
        self.left.clear();
        let mut sum = Sum::default();
        for value in window.values.iter().rev() {
            sum = sum.add(*value);
            self.left.push(sum);
        }
        self.left.reverse();
        (self.start, self.middle, self.end) = (from, to, to);
        self.right = Sum::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{fast, merged};
    use proptest::prelude::*;

    fn window<'a>(t_ms: &'a [i64], values: &'a [f64], from: usize, to: usize) -> Window<'a> {
        let (start_ms, end_ms) = (t_ms[from] - 1, t_ms[to - 1]);
        Window {
            t_ms: &t_ms[from..to],
            values: &values[from..to],
            offset: from,
            starts: &[],
            histograms: &[],
            eval_ms: end_ms,
            start_ms,
            end_ms,
            range_ms: end_ms - start_ms,
            query: None,
        }
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => (0u32..1000).prop_map(|n| f64::from(n) / 8.0),
            1 => Just(f64::NAN),
            1 => Just(-0.0),
            1 => Just(f64::INFINITY),
        ]
    }

    proptest! {
        #[test]
        fn sliding_is_as_reading_each_window(
            values in proptest::collection::vec(value(), 1..300),
            moves in proptest::collection::vec((0usize..40, 0usize..40), 1..60),
        ) {
            let t_ms: Vec<i64> = (0..values.len() as i64).map(|idx| idx * 15_000 + idx % 7).collect();
            let read = |name: &str, w: &Window<'_>| match name {
                "resets" => merged::resets(w, false),
                "changes" => merged::changes(w, false),
                "max_over_time" => fast::max(w.values),
                "min_over_time" => fast::min(w.values),
                "sum_over_time" => Some(over_time::sum(w)),
                _ => Some(over_time::avg(w)),
            };
            for name in ["resets", "changes", "max_over_time", "min_over_time", "sum_over_time", "avg_over_time"] {
                let mut slide = Slide::of(name).expect("one of those");
                let (mut from, mut to) = (0, 1);
                for (left, right) in &moves {
                    to = (to + right).min(values.len());
                    from = (from + left).min(to - 1);
                    let window = window(&t_ms, &values, from, to);
                    let (got, expected) = (slide.value(&window), read(name, &window));
                    // Eighths below 2^50 are summed without loss, so even sums are equal to the bit.
                    let bits = |value: Option<f64>| value.map(|v| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() });
                    prop_assert_eq!(bits(got), bits(expected), "{} {}..{}", name, from, to);
                }
            }
        }
    }
}
