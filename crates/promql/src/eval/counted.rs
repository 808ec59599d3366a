//! Samples that a query looks at, step by step, as Prometheus counts them for `stats`.
//!
//! In from selectors, for each series; out with the answer. An instant selector counts the sample it found, a function of a range
//! vector the whole window, each time it looks; a native histogram counts for as many as its memory holds. Counted only when asked.

use model::Histogram;
use storage::{HistogramSample, Series};

use super::bounds::{Bounds, Edges};
use super::column::Column;

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
pub(crate) fn of_column(column: &Column) -> Vec<u64> {
    let at = |step: usize| match column.histogram(step) {
        Some(histogram) => histogram_size(histogram),
        None => u64::from(column.present[step]),
    };
    (0..column.present.len()).map(at).collect()
}

/// The windows of a series.
pub(crate) fn of_windows(edges: &Edges, bounds: &Bounds, histograms: &[HistogramSample]) -> Vec<u64> {
    let mut counts: Vec<u64> =
        bounds.from.iter().zip(&bounds.to).map(|(from, to)| u64::from(to.saturating_sub(*from))).collect();
    if histograms.is_empty() {
        return counts;
    }
    // How many samples come before each histogram.
    let mut before = vec![0];
    before.extend(histograms.iter().scan(0, |sum, h| {
        *sum += histogram_size(&h.histogram);
        Some(*sum)
    }));
    for (step, count) in counts.iter_mut().enumerate() {
        let own = edges.of(step);
        let until = |t_ms: i64| before[histograms.partition_point(|h| h.t_ms <= t_ms)];
        *count += until(own.until_ms).saturating_sub(until(own.after_ms));
    }
    counts
}

/// One window of which the store gave summaries.
pub(crate) fn of_summaries(series: &Series) -> Vec<u64> {
    let summarised: u64 = series.summaries.iter().map(|summary| u64::from(summary.n)).sum();
    vec![summarised + series.values.len() as u64]
}

/// What is counted at the steps of the grid that is being evaluated; nothing unless asked for.
#[derive(Debug, Default)]
pub(crate) struct Counts(Option<Vec<u64>>);

impl Counts {
    pub(crate) fn new(is_asked: bool, n_steps: usize) -> Self {
        Self(is_asked.then(|| vec![0; n_steps]))
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.is_some()
    }

    /// Adds what was counted of a series.
    pub(crate) fn add(&mut self, counts: &[u64]) {
        for (sum, count) in self.0.iter_mut().flatten().zip(counts) {
            *sum += count;
        }
    }

    /// Begins to count at other steps; returns what was counted so far.
    pub(crate) fn child(&mut self, n_steps: usize) -> Self {
        let child = Self::new(self.is_asked(), n_steps);
        std::mem::replace(self, child)
    }

    /// Goes back to `outside`; returns all that was counted since.
    pub(crate) fn leave(&mut self, outside: Self) -> u64 {
        let child = std::mem::replace(self, outside);
        child.0.iter().flatten().sum()
    }

    /// Adds `n` at every step: so often does upstream count what it evaluates once.
    pub(crate) fn add_at_each(&mut self, n: u64) {
        self.0.iter_mut().flatten().for_each(|count| *count += n);
    }

    pub(crate) fn into_steps(self) -> Vec<u64> {
        self.0.unwrap_or_default()
    }
}
