//! The newest sample of each series of a selection, and which group it is in: for readers who group series and do not look at each.
//!
//! Labels are neither built nor compared: a store tells groups apart by its own numbers, and says the labels of those it is asked for.

use model::{Labels, Matcher, TimeRange};

use crate::error::QueryError;
use crate::series::Series;

/// What is asked of [`crate::Queryable::newest`].
#[derive(Debug, Clone, Copy)]
pub struct NewestAsk<'a> {
    /// Which series.
    pub matchers: &'a [Matcher],
    /// Where the newest sample is looked for, both ends included.
    pub range: TimeRange,
    /// Names of the labels that groups keep, or, with `without`, do not keep.
    pub by: &'a [String],
    /// Groups keep all labels but those in `by` and the metric's name.
    pub without: bool,
    /// Values do not matter, as long as it shows which are staleness markers.
    pub presence: bool,
}

/// A series as it stands.
#[derive(Debug, Clone)]
pub struct Newest {
    /// For [`NewestSet::series_labels`].
    pub series: u32,
    /// For [`NewestSet::group_labels`]; dense.
    pub group: u32,
    /// Its newest sample.
    pub sample: NewestSample,
}

/// See [`Newest`].
#[derive(Debug, Clone)]
pub enum NewestSample {
    /// A float, bit for bit as stored; where values do not matter any number for a number. May be the staleness marker.
    Float(f64),
    /// There is more to it than floats: labels, and all samples of the range.
    Whole(Box<Series>),
}

/// Series in the order of their labels, as [`crate::SeriesSet`].
pub trait NewestSet: Send {
    /// The next series that has a sample in the range.
    ///
    /// # Errors
    /// When the store cannot be read; the set is then over.
    fn next(&mut self) -> Result<Option<Newest>, QueryError>;

    /// What the series of a group have in common.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn group_labels(&mut self, group: u32) -> Result<Labels, QueryError>;

    /// The labels of a series; `None` when the store has dropped it since: ask again with [`crate::Queryable::select`].
    ///
    /// # Errors
    /// When the store cannot be read.
    fn series_labels(&mut self, series: u32) -> Result<Option<Labels>, QueryError>;
}
