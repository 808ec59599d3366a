//! Native histograms as values: spans of exponential or custom buckets with absolute counts.
//!
//! One type for both of Prometheus' kinds: counts are floats, and [`Histogram::is_integer`] says that they came as integers.
//! Method of schemas, spans and the zero bucket: Prometheus' native histogram specification 1.0.

mod arith;
mod bounds;
mod buckets;
mod reset;
#[cfg(test)]
mod tests;
mod text;
mod trim;

use std::sync::Arc;

pub use arith::{HistogramSum, IncompatibleBuckets, Reconciled};
pub use buckets::Bucket;

/// The schema number that says «bounds are listed», as classic histograms have them (NHCB).
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// What is known about a histogram and the one before it in its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResetHint {
    /// Nothing: compare to find out.
    #[default]
    Unknown,
    /// The counter began anew with this one.
    Reset,
    /// It did not.
    NotReset,
    /// Not a counter: counts go up and down.
    Gauge,
}

/// `length` neighbouring buckets, `offset` after the end of the span before (the first: from bucket 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Distance in buckets.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Whether counts came as integers.
    pub is_integer: bool,
    /// Relation to the one before.
    pub reset_hint: ResetHint,
    /// Resolution: bucket bounds grow by 2^(2^-schema), −4 to 8; or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Width of the zero bucket: |x| up to this.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations; the staleness marker in a stale histogram.
    pub sum: f64,
    /// Where the positive buckets are.
    pub positive_spans: Vec<Span>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Absolute counts, one for each bucket of the spans.
    pub positive_buckets: Vec<f64>,
    /// Likewise.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds, rising, without +Inf; only with [`CUSTOM_BUCKETS_SCHEMA`].
    pub custom_bounds: Arc<[f64]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            is_integer: false,
            reset_hint: ResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            positive_buckets: Vec::new(),
            negative_buckets: Vec::new(),
            custom_bounds: Arc::from([]),
        }
    }
}
