//! A series as it is read: its labels and its columns.

use std::sync::Arc;

use model::{Histogram, Labels};

/// Sorted, strictly rising Unix milliseconds; shared between series that were sampled together.
pub type TimestampColumn = Arc<Vec<i64>>;

/// One series of an answer: labels and two columns of equal length.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its identity.
    pub labels: Labels,
    /// When. May be shared between series.
    pub timestamps: TimestampColumn,
    /// What, bit for bit as stored; staleness markers included.
    pub values: Vec<f64>,
    /// Start timestamps of `timestamps`, of equal length, 0 where not known; empty when none is known.
    pub starts: Vec<i64>,
    /// Native histograms, by rising time; no time is both here and in `timestamps`. A histogram series ends with a
    /// staleness marker among `values`.
    pub histograms: Vec<HistogramSample>,
    /// What stands for floats that were left out, by rising time. Empty unless asked for.
    pub summaries: Vec<Summary>,
}

/// Facts of consecutive floats that were left out of an answer, as [`SelectHints::summaries`] allows. None of them is NaN or stale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// So many of the series' own floats come before those left out.
    pub before: usize,
    /// How many were left out, above zero.
    pub n: u32,
    /// When the first was.
    pub first_ms: i64,
    /// When the last was.
    pub last_ms: i64,
    /// The first.
    pub first: f64,
    /// The last.
    pub last: f64,
    /// The least; of equals the first.
    pub min: f64,
    /// The greatest; of equals the first.
    pub max: f64,
    /// All of them added up; right to an ulp or so, and only for functions that add.
    pub sum: f64,
    /// The value before the only fall, 0 when there is none; only for functions of counters.
    pub fallen_from: f64,
    /// How many are below the one before.
    pub n_resets: u32,
    /// How many differ from the one before.
    pub n_changes: u32,
}

impl Series {
    /// A series of floats.
    #[must_use]
    pub fn floats(labels: Labels, timestamps: TimestampColumn, values: Vec<f64>) -> Self {
        Self { labels, timestamps, values, starts: Vec::new(), histograms: Vec::new(), summaries: Vec::new() }
    }

    /// Whether it has no sample of any kind.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.histograms.is_empty() && self.summaries.is_empty()
    }

    /// With all of `later`, which must begin after this ends.
    pub fn append(&mut self, later: Self) {
        let n = self.values.len();
        if !self.starts.is_empty() || !later.starts.is_empty() {
            self.starts.resize(n, 0);
            self.starts.extend_from_slice(&later.starts);
            self.starts.resize(n + later.values.len(), 0);
        }
        if n == 0 {
            (self.timestamps, self.values) = (later.timestamps, later.values);
        } else if !later.values.is_empty() {
            Arc::make_mut(&mut self.timestamps).extend_from_slice(&later.timestamps);
            self.values.extend_from_slice(&later.values);
        }
        self.histograms.extend(later.histograms);
        let moved = |summary: Summary| Summary { before: summary.before + n, ..summary };
        self.summaries.extend(later.summaries.into_iter().map(moved));
    }
}

/// A native histogram in a series.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// When, in Unix milliseconds.
    pub t_ms: i64,
    /// Since when it counts; 0 when not known.
    pub start_ms: i64,
    /// The histogram.
    pub histogram: Arc<Histogram>,
}
