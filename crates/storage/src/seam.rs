//! The traits. What dies when, and what is sorted how, is said here and nowhere else.

use std::sync::Arc;

use model::{Exemplar, Histogram, Labels, Matcher, Metadata, TimeRange};

use crate::changes::ChangeLog;
use crate::error::{AppendError, QueryError, RowError, StorageError};
use crate::newest::{NewestAsk, NewestSet};
use crate::series::Series;

/// A series within one store and one run of it; never written to disk by callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u64);

/// Series that are sampled together, within one store and one run of it; never written to disk by callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupRef(pub u64);

/// Where a series stands in its group.
pub type ColumnIdx = u32;

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

/// What the store says about a row it took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowOutcome {
    /// Columns that have become part of another group since the last row: from now on the writer must hand their samples to
    /// [`Appender::append`], one by one. This row left them out.
    pub moved: Vec<ColumnIdx>,
}

/// A sample of a series that is known by its reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RefSample {
    /// Whose it is.
    pub series: SeriesRef,
    /// When, in milliseconds.
    pub t_ms: i64,
    /// What.
    pub value: f64,
}

/// Something that takes samples in batches.
pub trait Appendable: Send + Sync {
    /// Begins a batch. `now_ms` bounds which samples are too old.
    fn appender(&self, now_ms: i64) -> Box<dyn Appender + '_>;

    /// Whether memory is so short that those who can should come again later.
    fn is_overloaded(&self) -> bool {
        false
    }

    /// Makes all batches committed before the call survive power loss. Calls at the same time share the work.
    ///
    /// # Errors
    /// When the disk refuses, or the store keeps nothing on a disk: the batches stay committed, and what power loss leaves of them is
    /// not known.
    fn sync(&self) -> Result<(), StorageError> {
        let source = std::io::Error::from(std::io::ErrorKind::Unsupported);
        Err(StorageError::Io { action: "sync a store that is in memory only".to_owned(), source })
    }
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

    /// Adds samples of series that earlier appends of this run returned: the fast way of remote write, which then need not decode
    /// labels. References are never given to another series within a run. What is not taken is added to `refused` by its place
    /// among `samples`, rising; [`AppendError::UnknownSeries`] when the store has dropped the series or keeps no references:
    /// append with labels.
    fn append_refs(&mut self, samples: &[RefSample], refused: &mut Vec<(usize, AppendError)>) {
        refused.extend((0..samples.len()).map(|at| (at, AppendError::UnknownSeries)));
    }

    /// One sample of [`Appender::append_refs`].
    ///
    /// # Errors
    /// When it is not taken.
    fn append_ref(&mut self, series: SeriesRef, t_ms: i64, value: f64) -> Result<(), AppendError> {
        let mut refused = Vec::new();
        self.append_refs(&[RefSample { series, t_ms, value }], &mut refused);
        refused.pop().map_or(Ok(()), |(_, err)| Err(err))
    }

    /// As [`Appender::append`], and says since when the counter has been counting. Stores without start timestamps keep the sample.
    ///
    /// # Errors
    /// As [`Appender::append`].
    fn append_with_start(
        &mut self,
        known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        _start_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        self.append(known, labels, t_ms, value)
    }

    /// Adds a zero at `start_ms`, when the counter whose sample at `t_ms` this batch has began to count. Stores without it leave it out.
    ///
    /// # Errors
    /// [`AppendError::OutOfOrder`] when `start_ms` is not before `t_ms`, or the series has a sample there or later: as a rule, since a
    /// counter keeps its start. Otherwise as [`Appender::append`].
    fn append_zero(&mut self, _labels: &Labels, _t_ms: i64, _start_ms: i64) -> Result<(), AppendError> {
        Ok(())
    }

    /// Adds a native histogram; `start_ms` as in [`Appender::append_with_start`], 0 when not known.
    ///
    /// # Errors
    /// As [`Appender::append`]; [`AppendError::Unsupported`] where a store keeps floats only.
    fn append_histogram(
        &mut self,
        _known: Option<SeriesRef>,
        _labels: &Labels,
        _t_ms: i64,
        _start_ms: i64,
        _histogram: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        Err(AppendError::Unsupported)
    }

    /// Adds an exemplar to the series with `labels`. Stores without exemplars drop it.
    ///
    /// # Errors
    /// When it cannot be taken; the batch stays usable.
    fn append_exemplar(
        &mut self,
        _known: Option<SeriesRef>,
        _labels: &Labels,
        _exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        Ok(())
    }

    /// Remembers what a writer says of the metric family `name`, where the writer is not a scrape target of ours.
    fn append_metadata(&mut self, _name: &str, _metadata: &Metadata) {}

    /// Makes each of `labels` the next column of `group`, or of a new group. Column numbers go up from the group's last by one,
    /// also for those refused, whose place stays empty. A series that was a column elsewhere moves here. Counts
    /// only once this batch is committed: the numbers of a dropped batch are given again.
    ///
    /// # Errors
    /// [`RowError::UnknownGroup`] when the store no longer has the group: begin a new one with all columns.
    /// [`RowError::Unsupported`] when the store takes single samples only.
    fn add_columns(
        &mut self,
        _group: Option<GroupRef>,
        _labels: &[Labels],
    ) -> Result<(GroupRef, Vec<Result<ColumnIdx, AppendError>>), RowError> {
        Err(RowError::Unsupported)
    }

    /// Adds a row: at `t_ms` every live column of `group` has its last value again, but for those in `changed`, each named
    /// once. The staleness marker ends a column until it is changed again; a new column lives from its first change on.
    /// All samples of the row are taken, or none.
    ///
    /// # Errors
    /// See [`RowError`]; the batch stays usable without the row.
    fn append_row(
        &mut self,
        _group: GroupRef,
        _t_ms: i64,
        _changed: &[(ColumnIdx, f64)],
    ) -> Result<RowOutcome, RowError> {
        Err(RowError::Unsupported)
    }

    /// Says since when counters of a row of this batch have been counting, as [`Appender::append_with_start`] does; 0 takes an earlier word
    /// back. Stores without start timestamps leave it out.
    ///
    /// # Errors
    /// [`RowError::UnknownGroup`] or [`RowError::BadColumn`]; the row is not touched.
    fn append_row_starts(
        &mut self,
        _group: GroupRef,
        _t_ms: i64,
        _starts: &[(ColumnIdx, i64)],
    ) -> Result<(), RowError> {
        Ok(())
    }

    /// Makes the batch survive `kill -9`, then visible. This return is the acknowledgement.
    ///
    /// # Errors
    /// When the batch could not be written; then nothing of it is visible.
    fn commit(self: Box<Self>) -> Result<AppendStats, StorageError>;
}

/// Says whether nobody waits for an answer any more. Readers of long series ask now and then, and end with [`QueryError::Canceled`].
#[derive(Clone, Default)]
pub struct Stop(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Stop {
    /// Told once `is_over` says so, which may read a clock.
    pub fn when(is_over: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_over)))
    }

    /// Whether the reader is to stop.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.0.as_ref().is_some_and(|is_over| is_over())
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stop").finish_non_exhaustive()
    }
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
    /// How far back an instant selector looks for its sample; 0 for range selectors and where nobody looks back.
    pub lookback_ms: i64,
    /// The function is applied to all of the selection's range at once and knows what to do with [`Series::summaries`]: samples
    /// may be left out for which they stand. Of one series the summarised and the others do not overlap in time.
    pub summaries: bool,
    /// Only labels matter; samples may be left out.
    pub labels_only: bool,
    /// When to stop within a series.
    pub stop: Stop,
}

/// A part of an answer that was not made of samples as they came, but of what was kept of several each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolledUp {
    /// Samples of so many milliseconds became one row.
    pub interval_ms: i64,
    /// Samples before this are of that kind, in Unix milliseconds.
    pub before_ms: i64,
}

/// Series one after another, sorted by labels, each at most once.
pub trait SeriesSet: Send {
    /// The next series, or `None` at the end. Samples lie within the range asked for and may be none.
    ///
    /// # Errors
    /// When the store cannot be read; the set is then over.
    fn next(&mut self) -> Result<Option<Series>, QueryError>;

    /// What of the answer comes from roll-ups, newest first; known before the first series. Readers tell their users.
    fn rolled_up(&self) -> &[RolledUp] {
        &[]
    }

    /// What is missing from the answer, and why, in words for users; known before the first series. Readers tell their users.
    fn warnings(&self) -> &[String] {
        &[]
    }

    /// How many series there are at most; 0 when that is not known.
    fn n_series_max(&self) -> usize {
        0
    }

    /// The labels of at most `n` series, rising, that divide a set that has not begun in about equal parts. Empty when it cannot
    /// be split.
    fn cuts(&mut self, _n: usize) -> Vec<Labels> {
        Vec::new()
    }

    /// Deals the series of a set that has not begun to `n` sets, so that as many threads can read at once: each series is in one
    /// of them, by [`share_of`]. The set is over then. Only where there are `cuts` at all.
    fn split<'s>(&mut self, _n: usize, _cuts: &[Labels]) -> Vec<Box<dyn SeriesSet + 's>>
    where
        Self: 's,
    {
        Vec::new()
    }
}

/// Which of `n` sets has the series with `labels`: those between two cuts go to one set, those behind them to the next.
#[must_use]
pub fn share_of(labels: &Labels, n: usize, cuts: &[Labels]) -> usize {
    cuts.partition_point(|cut| cut <= labels) % n.max(1)
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

    /// The newest sample of each series, grouped; what [`Queryable::select`] says to the bit. `None` where the store has no quicker way
    /// for this question than that.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn newest(&self, _ask: &NewestAsk<'_>) -> Result<Option<Box<dyn NewestSet + '_>>, QueryError> {
        Ok(None)
    }

    /// Whether a selection may wait for other servers: it is then asked for on threads that may block.
    fn may_wait(&self) -> bool {
        false
    }

    /// What changes here, for those who keep answers; `None` where nobody can tell.
    fn changes(&self) -> Option<&ChangeLog> {
        None
    }

    /// Names of labels on series for which all of `matchers` hold and that may have samples in `range`: the first `limit` of
    /// them, sorted. Neither memory nor, where nothing is to be matched, time grows with what is beyond.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError>;

    /// Values of the label `name`, otherwise as [`Queryable::label_names`].
    ///
    /// # Errors
    /// When the store cannot be read.
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
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

    fn n_series_max(&self) -> usize {
        self.series.len()
    }

    fn cuts(&mut self, n: usize) -> Vec<Labels> {
        let width = self.series.len().div_ceil(n.max(1)).max(1);
        self.series.as_slice().iter().step_by(width).skip(1).map(|series| series.labels.clone()).collect()
    }

    fn split<'s>(&mut self, n: usize, cuts: &[Labels]) -> Vec<Box<dyn SeriesSet + 's>>
    where
        Self: 's,
    {
        let mut shares = vec![Vec::new(); n];
        for series in self.series.by_ref() {
            shares[share_of(&series.labels, n, cuts)].push(series);
        }
        let set = |series: Vec<Series>| -> Box<dyn SeriesSet + 's> {
            Box::new(Self { series: series.into_iter() })
        };
        shares.into_iter().map(set).collect()
    }
}
