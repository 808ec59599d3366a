//! The newest sample of each series, as head and blocks say it to `query`, which makes one answer of them.
//!
//! Each part of the store has numbers of its own for series, groups and label pairs.

mod groups;
mod pairs;

use storage::NewestSample;

pub(crate) use groups::GroupNumbers;
pub(crate) use pairs::{Pairs, Translation};

/// The newest sample that one part of the store has of a series.
pub(crate) struct Part {
    /// Its number there.
    pub(crate) series: u32,
    /// The number of its group there.
    pub(crate) group: u32,
    /// When it was; of no meaning where the sample is a whole series.
    pub(crate) t_ms: i64,
    pub(crate) sample: NewestSample,
}
