//! Functions of histograms: classic ones, whose buckets are series, and native ones.

pub(crate) mod classic;
pub(crate) mod native;
pub(crate) mod over_time;
pub(crate) mod rate;
