//! The traits. What dies when, and what is sorted how, is said here and nowhere else.

use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};

use crate::error::{AppendError, QueryError, StorageError};

/// A series within one store and one run of it; never written to disk by callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u64);

/// Sorted, strictly rising Unix milliseconds; shared between series that were sampled together.
pub type TimestampColumn = Arc<Vec<i64>>;

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AppendStats {
    /// Samples that are now stored and visible.
    pub n_samples: u64,
    /// Samples found out of order, duplicate or out of bounds only at commit, since another writer came between.
    pub n_refused: u64,
    /// Series seen for the first time.
    pub n_new_series: u64,
}

/// Something that takes samples in batches.
pub trait Appendable: Send + Sync {
    /// Begins a batch. `now_ms` bounds which samples are too old.
    fn appender(&self, now_ms: i64) -> Box<dyn Appender + '_>;
}

/// One batch: collected by `append`, made durable and visible by `commit`, forgotten when dropped.
pub trait Appender: Send {
    /// Adds a sample of the series with `labels`. `known` is what an earlier append for these very labels returned; it
    /// saves the look-up, and a stale one does no harm.
    ///
    /// # Errors
    /// When this sample cannot be taken; the batch stays usable.
    fn append(
        &mut self,
        known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError>;

    /// Makes the batch survive `kill -9`, then visible. This return is the acknowledgement.
    ///
    /// # Errors
    /// When the batch could not be written; then nothing of it is visible.
    fn commit(self: Box<Self>) -> Result<AppendStats, StorageError>;
}

/// What a reader will do with the data: an engine may use it to read less, and may ignore it.
#[derive(Debug, Clone, Default)]
pub struct SelectHints {
    /// The function applied to the selector, or the aggregation around it; empty for none.
    pub function: String,
    /// Range selector's width, 0 for instant selectors.
    pub range_ms: i64,
    /// Distance of evaluation steps, 0 for instant queries.
    pub step_ms: i64,
    /// Only labels matter; samples may be left out.
    pub labels_only: bool,
}

/// One series of an answer: labels and two columns of equal length.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its identity.
    pub labels: Labels,
    /// When. May be shared between series.
    pub timestamps: TimestampColumn,
    /// What, bit for bit as stored; staleness markers included.
    pub values: Vec<f64>,
}

/// Series one after another, sorted by labels, each at most once.
pub trait SeriesSet: Send {
    /// The next series, or `None` at the end. Samples lie within the range asked for and may be none.
    ///
    /// # Errors
    /// When the store cannot be read; the set is then over.
    fn next(&mut self) -> Result<Option<Series>, QueryError>;
}

/// Something that answers selections.
pub trait Queryable: Send + Sync {
    /// The series for which all of `matchers` hold, with their samples within `range`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError>;

    /// Names of labels on series for which all of `matchers` hold and that may have samples in `range`. Sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>, QueryError>;

    /// Values of the label `name`, otherwise as [`Queryable::label_names`]. Sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, QueryError>;
}

/// A [`SeriesSet`] over series already in memory, which must be sorted.
#[derive(Debug)]
pub struct VecSeriesSet {
    series: std::vec::IntoIter<Series>,
}

impl VecSeriesSet {
    /// Hands out `series`, sorting them by labels first.
    #[must_use]
    pub fn new(mut series: Vec<Series>) -> Self {
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Self { series: series.into_iter() }
    }
}

impl SeriesSet for VecSeriesSet {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        Ok(self.series.next())
    }
}
