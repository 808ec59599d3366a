//! The seams between engines and services, and what composes them.
//!
//! In from `scrape`, `rules` and other writers through [`Appendable`]; out to `promql` and `api` through
//! [`Queryable`]. The engine behind them (`tsdb`, [`MemStore`], a merge of several) is the binary's choice.
//! Sync: no tokio, no sockets, no clock.

mod changes;
mod error;
mod first;
mod follow;
mod memory;
mod merge;
mod newest;
mod seam;
mod series;

pub use changes::ChangeLog;
pub use error::{AppendError, QueryError, RowError, StorageError};
pub use first::FirstTexts;
pub use follow::{Behind, BehindValue, Followed, Follower};
pub use memory::MemStore;
pub use merge::{Joiner, Merged, merge_series, merge_sets};
pub use newest::{Newest, NewestAsk, NewestSample, NewestSet};
pub use seam::{
    AppendStats, Appendable, Appender, ColumnIdx, GroupRef, Queryable, RefSample, RolledUp, RowOutcome,
    SelectHints, SeriesRef, SeriesSet, Stop, VecSeriesSet, share_of,
};
pub use series::{HistogramSample, Series, Summary, TimestampColumn};
