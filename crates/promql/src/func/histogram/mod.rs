//! Functions of histograms: classic ones, whose buckets are series, and native ones.

pub(crate) mod calls;
mod classic;
mod native;
pub(crate) mod over_time;
pub(crate) mod rate;
