//! What is done with histograms, as a job says.

/// The coarsest exponential schema and the finest. From Prometheus.
pub(crate) const SCHEMA_MIN: i32 = -4;
const SCHEMA_MAX: i32 = 8;
/// What growth of buckets a limit at or below 1 means. From Prometheus.
const FACTOR_LEAST: f64 = 1.00271;

/// What is done with histograms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistogramPolicy {
    /// `scrape_native_histograms`
    pub natives: bool,
    /// `always_scrape_classic_histograms`
    pub classic_too: bool,
    /// `convert_classic_histograms_to_nhcb`
    pub classic_to_custom: bool,
    /// `native_histogram_bucket_limit`; 0 is no limit.
    pub buckets_max: u64,
    /// The finest schema that is stored, after `native_histogram_min_bucket_factor`.
    pub schema_max: i32,
}

impl Default for HistogramPolicy {
    fn default() -> Self {
        let (buckets_max, schema_max) = (0, SCHEMA_MAX);
        Self { natives: false, classic_too: false, classic_to_custom: false, buckets_max, schema_max }
    }
}

impl HistogramPolicy {
    /// The finest schema whose buckets grow by at least `factor`.
    pub(super) fn schema_of(factor: f64) -> i32 {
        let factor = if factor <= 1.0 { FACTOR_LEAST } else { factor };
        let schema = (-factor.log2().log2()).floor();
        (schema.clamp(f64::from(SCHEMA_MIN), f64::from(SCHEMA_MAX))) as i32
    }
}
