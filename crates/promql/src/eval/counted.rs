//! Samples that a query looks at, step by step, as Prometheus counts them for `stats`.
//!
//! In from selectors, for each series; out with the answer. An instant selector counts the sample it found, a function of a range
//! vector the whole window, each time it looks, and as read what the window before did not hold; a native histogram counts for as
//! many as its memory holds. Counted only when asked.

use model::Histogram;
use storage::Series;

use super::bounds::{Bounds, Edges};
use super::column::{Column, Grid};
use super::range::{Samples, Windows};
use crate::value::SampleCounts;

/// Samples that a native histogram counts for: sixteen bytes each, with its time. As upstream: 168 bytes of structure, eight for each
/// span, bucket and bound.
pub(crate) fn histogram_size(h: &Histogram) -> u64 {
    let n_words = h.positive_spans.len()
        + h.negative_spans.len()
        + h.positive_buckets.len()
        + h.negative_buckets.len()
        + h.custom_bounds.len();
    (168 + 8 * n_words as u64 + 8) / 16
}

/// What an instant selector found of a series.
pub(crate) fn of_column(column: &Column) -> Vec<SampleCounts> {
    let at = |step: usize| match column.histogram(step) {
        Some(histogram) => histogram_size(histogram),
        None => u64::from(column.present[step]),
    };
    (0..column.present.len()).map(|step| SampleCounts::once(at(step))).collect()
}

/// The windows of a series; `is_stored` where it comes from the store rather than from a subquery, which has counted what it read.
pub(crate) fn of_windows(
    edges: &Edges,
    bounds: &Bounds,
    samples: &Samples,
    is_stored: bool,
) -> Vec<SampleCounts> {
    // How many samples come before each histogram.
    let mut before = vec![0];
    before.extend(samples.histograms.iter().scan(0, |sum, h| {
        *sum += histogram_size(&h.histogram);
        Some(*sum)
    }));
    let until = |t_ms: i64| before[samples.histograms.partition_point(|h| h.t_ms <= t_ms)];
    let windows = bounds.from.iter().zip(&bounds.to).enumerate();
    let counts = windows.map(|(step, (from, to))| {
        let own = edges.of(step);
        let n_until = until(own.until_ms);
        let n_of_histograms = |after_ms: i64| n_until.saturating_sub(until(after_ms));
        let (from, to) = (*from as usize, (*to).max(*from) as usize);
        let looked = (to - from) as u64 + n_of_histograms(own.after_ms);
        let read = match (is_stored, step) {
            (false, _) => 0,
            (true, 0) => looked,
            // One fixed window is read once.
            (true, _) if edges.reference.at_ms.is_some() => 0,
            (true, _) => {
                let after_ms = own.after_ms.max(own.until_ms.saturating_sub(edges.grid.step_ms));
                let known = samples.t_ms[from..to].partition_point(|t_ms| *t_ms <= after_ms);
                (to - from - known) as u64 + n_of_histograms(after_ms)
            }
        };
        SampleCounts { looked, read }
    });
    counts.collect()
}

/// One window of which the store gave summaries.
pub(crate) fn of_summaries(series: &Series) -> Vec<SampleCounts> {
    let summarised: u64 = series.summaries.iter().map(|summary| u64::from(summary.n)).sum();
    vec![SampleCounts::once(summarised + series.values.len() as u64)]
}

/// What is counted at the steps of the grid that is being evaluated; nothing unless asked for.
#[derive(Debug, Default)]
pub(crate) struct Counts(Option<Vec<SampleCounts>>);

impl Counts {
    pub(crate) fn new(is_asked: bool, n_steps: usize) -> Self {
        Self(is_asked.then(|| vec![SampleCounts::default(); n_steps]))
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.is_some()
    }

    /// Adds what was counted of a series.
    pub(crate) fn add(&mut self, counts: &[SampleCounts]) {
        for (sum, count) in self.0.iter_mut().flatten().zip(counts) {
            *sum += *count;
        }
    }

    /// Begins to count at other steps; returns what was counted so far.
    pub(crate) fn child(&mut self, n_steps: usize) -> Self {
        let child = Self::new(self.is_asked(), n_steps);
        std::mem::replace(self, child)
    }

    /// Goes back to `outside`; returns what was counted since.
    pub(crate) fn leave(&mut self, outside: Self) -> Self {
        std::mem::replace(self, outside)
    }

    /// All steps together.
    pub(crate) fn total(&self) -> SampleCounts {
        self.0.iter().flatten().copied().sum()
    }

    /// Adds what was evaluated once for all steps: looked at at each of them, read at the first.
    pub(crate) fn add_at_each(&mut self, once: SampleCounts) {
        for (step, count) in self.0.iter_mut().flatten().enumerate() {
            *count += SampleCounts { looked: once.looked, read: if step == 0 { once.read } else { 0 } };
        }
    }

    /// Adds what the steps `inner` of a subquery have read to the first step of `grid` whose window holds them; what falls
    /// between the windows is not added.
    pub(crate) fn add_subquery(&mut self, child: &Self, inner: Grid, windows: Windows, grid: Grid) {
        let (Some(counts), Some(child)) = (&mut self.0, &child.0) else { return };
        for (nth, read) in child.iter().enumerate().map(|(nth, counts)| (nth, counts.read)) {
            let t_ms = inner.t_ms(nth).saturating_add(windows.reference.offset_ms);
            let late_ms = t_ms.saturating_sub(grid.start_ms).max(0);
            let step = (late_ms as u64).div_ceil(grid.step_ms.max(1) as u64) as usize;
            let step = step.min(grid.n_steps.saturating_sub(1));
            let is_between = !grid.is_instant() && t_ms <= grid.t_ms(step).saturating_sub(windows.range_ms);
            if let Some(count) = counts.get_mut(step).filter(|_| !is_between) {
                count.read += read;
            }
        }
    }

    pub(crate) fn into_steps(self) -> Vec<SampleCounts> {
        self.0.unwrap_or_default()
    }
}
