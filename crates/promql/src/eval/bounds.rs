//! Which samples of a timestamp column each step looks at, worked out once for all series that share the column.
//!
//! In: a column, and the edges of the steps' windows; out: for each step where its window begins and ends among the samples,
//! and for functions that extrapolate how far. Remembered by the column's identity, up to a limit.

use std::collections::HashMap;
use std::sync::Arc;

use storage::TimestampColumn;

use super::column::Grid;
use super::selector::Reference;
use crate::func::rate::{Extent, RateKind, Stretch, stretch};
use crate::func::window::{Stamp, Window};

/// Bytes that remembered bounds may take, for each thread of a query. Chosen: a day by the minute of some 400 targets.
const REMEMBERED_BYTES_MAX: usize = 32 << 20;

/// How much surer than rounding one must be that a counter does not reach zero within the window. Chosen.
const SURE: f64 = 1.000_001;

/// Where the windows of a selector lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edges {
    pub(crate) grid: Grid,
    pub(crate) reference: Reference,
    /// Width as written.
    pub(crate) range_ms: i64,
    /// How far samples beyond the window are of interest, to the left and to the right.
    pub(crate) reach_ms: (i64, i64),
    /// The function extrapolates.
    pub(crate) kind: Option<RateKind>,
}

/// How an extrapolating function stretches the difference of a window's samples.
#[derive(Debug, Default)]
pub(crate) struct Stretches {
    /// 0 where there are less than two samples, so that there is no result.
    pub(crate) factors: Vec<f64>,
    /// A counter that rises by `d` from `first` reaches back to zero within the window only if `first <= d * share`.
    pub(crate) shares: Vec<f64>,
}

/// Where the samples of each step's window are in their column.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) from: Vec<u32>,
    pub(crate) to: Vec<u32>,
    pub(crate) stretches: Stretches,
}

/// The first of `times`, from `at` on, that is after `until_ms`. O(log distance).
pub(crate) fn first_after(times: &[i64], at: usize, until_ms: i64) -> usize {
    let (mut at, mut width) = (at, 1);
    while times.get(at + width - 1).is_some_and(|t_ms| *t_ms <= until_ms) {
        at += width;
        width *= 2;
    }
    let end = (at + width).min(times.len());
    at + times[at.min(end)..end].partition_point(|t_ms| *t_ms <= until_ms)
}

impl Edges {
    /// The edges of the window of `step`, when it is evaluated, and from after when until when its samples are.
    pub(crate) fn of(&self, step: usize) -> StepEdges {
        let eval_ms = self.grid.t_ms(step);
        let end_ms = self.reference.of(eval_ms);
        let start_ms = end_ms.saturating_sub(self.range_ms);
        let (left_ms, right_ms) = self.reach_ms;
        let (after_ms, until_ms) = (start_ms.saturating_sub(left_ms), end_ms.saturating_add(right_ms));
        StepEdges { eval_ms, start_ms, end_ms, after_ms, until_ms }
    }

    pub(crate) fn bounds(&self, times: &[i64]) -> Bounds {
        let n_steps = self.grid.n_steps;
        let (mut from, mut to) = (Vec::with_capacity(n_steps), Vec::with_capacity(n_steps));
        let (mut left, mut right) = (0, 0);
        for step in 0..n_steps {
            let edges = self.of(step);
            right = first_after(times, right, edges.until_ms);
            left = first_after(times, left, edges.after_ms).min(right);
            from.push(left as u32);
            to.push(right as u32);
        }
        let stretches = self.kind.map(|kind| self.stretches(kind, times, &from, &to)).unwrap_or_default();
        Bounds { from, to, stretches }
    }

    fn stretches(&self, kind: RateKind, times: &[i64], from: &[u32], to: &[u32]) -> Stretches {
        let mut out = Stretches::default();
        for (step, (from, to)) in from.iter().zip(to).enumerate() {
            let t_ms = &times[*from as usize..*to as usize];
            let edges = self.of(step);
            // Without resets and far above zero, so that nothing depends on values.
            let found = self.stretch(kind, t_ms, edges);
            let (factor, share) = found.unwrap_or((0.0, 0.0));
            out.factors.push(factor);
            out.shares.push(share);
        }
        out
    }

    fn stretch(&self, kind: RateKind, t_ms: &[i64], edges: StepEdges) -> Option<(f64, f64)> {
        let (first_ms, last_ms) = (*t_ms.first()?, *t_ms.last()?);
        let n_gaps = t_ms.len() - 1;
        let window = edges.window(t_ms, &[], 0, self.range_ms);
        let extent = Extent { first: Stamp { t_ms: first_ms, start_ms: 0 }, last_ms, n_gaps };
        // A difference of zero is never cut short.
        let Stretch { factor, to_start, .. } = stretch(&window, kind, extent, 0.0, 0.0)?;
        let sampled = (last_ms - first_ms) as f64 / 1000.0;
        Some((factor, if kind.is_counter { to_start / sampled * SURE } else { 0.0 }))
    }
}

/// See [`Edges::of`]. Samples of interest are after `after_ms`, until `until_ms`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepEdges {
    pub(crate) eval_ms: i64,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) after_ms: i64,
    pub(crate) until_ms: i64,
}

impl StepEdges {
    /// A window of floats, the first of which has number `offset` in its series.
    pub(crate) fn window<'a>(
        &self,
        t_ms: &'a [i64],
        values: &'a [f64],
        offset: usize,
        range_ms: i64,
    ) -> Window<'a> {
        let Self { eval_ms, start_ms, end_ms, .. } = *self;
        let (starts, histograms, query) = (&[][..], &[][..], None);
        Window { t_ms, values, offset, starts, histograms, eval_ms, start_ms, end_ms, range_ms, query }
    }
}

/// What was worked out for columns that are shared.
#[derive(Debug)]
pub(crate) struct Remembered<T> {
    /// By the column's address; the column is held, so that the address stays its own.
    known: HashMap<usize, (TimestampColumn, Arc<T>)>,
    n_bytes: usize,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), n_bytes: 0 }
    }
}

impl<T> Remembered<T> {
    /// What `make` makes of `column`, which takes some `n_bytes`.
    pub(crate) fn get(
        &mut self,
        column: &TimestampColumn,
        n_bytes: usize,
        make: impl FnOnce(&[i64]) -> T,
    ) -> Arc<T> {
        if Arc::strong_count(column) == 1 {
            return Arc::new(make(column));
        }
        let key = Arc::as_ptr(column) as usize;
        if let Some((_, known)) = self.known.get(&key) {
            return Arc::clone(known);
        }
        let made = Arc::new(make(column));
        // The column is held as well.
        let n_bytes = n_bytes + size_of_val(&column[..]);
        if self.n_bytes + n_bytes > REMEMBERED_BYTES_MAX {
            self.known.clear();
            self.n_bytes = 0;
        }
        self.n_bytes += n_bytes;
        self.known.insert(key, (Arc::clone(column), Arc::clone(&made)));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_after_is_found_from_wherever_one_begins(
            mut times in proptest::collection::vec(0i64..200, 0..60),
            until_ms in -5i64..210,
            skip in 0usize..60,
        ) {
            times.sort_unstable();
            times.dedup();
            let expected = times.partition_point(|t_ms| *t_ms <= until_ms);
            prop_assert_eq!(first_after(&times, skip.min(expected), until_ms), expected);
        }
    }
}
