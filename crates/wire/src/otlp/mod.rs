//! OTLP metrics: `ExportMetricsServiceRequest`, protobuf or JSON, to values; and the answer back.
//!
//! In: a body, decompressed. Out: resources with scopes with metrics with points, as OTLP has them; what becomes of them is the caller's
//! business. Never panics and never grows beyond the limits here.
//! Method: opentelemetry-proto 1.x, `metrics.proto` and `metrics_service.proto`; for JSON the mapping of the OTLP specification.

mod answer;
mod json;
mod protobuf;
mod span;
#[cfg(test)]
mod tests;
mod value;

use serde::Deserialize;

pub use answer::Partial;
pub use json::decode as decode_json;
pub use protobuf::decode as decode_protobuf;
pub use span::{Span, SpanKind, decode_rejected_spans, encode_spans};
pub use value::{KeyValue, Value};

use crate::remote_write::DecodeError;

/// Bytes of a request after decompression. From Prometheus.
pub const DECODED_BYTES_MAX: usize = 32 << 20;
/// Messages within one request: metrics, points, attributes and so on. Chosen: a hundred times what an SDK sends at once; they bound memory, since
/// an empty point takes two bytes as it is sent.
pub const MESSAGES_MAX: usize = 1 << 20;
/// Values within values within values. Chosen: attributes are flat in practice.
pub const VALUE_DEPTH_MAX: usize = 32;
/// Buckets of one side of a histogram. As for remote write.
pub const BUCKETS_MAX: usize = 1 << 16;

/// Why a body is no request; nothing of it may be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// Broken protobuf.
    #[error("{0}")]
    Protobuf(#[from] DecodeError),
    /// Text that is none.
    #[error("protobuf: text that is not UTF-8")]
    NotUtf8,
    /// Broken JSON, or JSON of something else.
    #[error("json: {0}")]
    Json(String),
    /// More than anybody sends.
    #[error("more than {MESSAGES_MAX} metrics, points and attributes in one request: send smaller batches")]
    TooMany,
    /// More buckets than anybody has.
    #[error("a histogram has more than {BUCKETS_MAX} buckets")]
    TooManyBuckets,
    /// Deeper than anybody nests.
    #[error("attribute values nest more than {VALUE_DEPTH_MAX} levels deep")]
    TooDeep,
}

/// `ExportMetricsServiceRequest`
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Request {
    /// By who sends.
    pub resource_metrics: Vec<ResourceMetrics>,
}

/// What one resource has measured.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceMetrics {
    /// Who.
    pub resource: Resource,
    /// By the library that measures.
    pub scope_metrics: Vec<ScopeMetrics>,
}

/// Who sends.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Resource {
    /// `service.name` and so on.
    pub attributes: Vec<KeyValue>,
}

/// What one library has measured.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScopeMetrics {
    /// The library.
    pub scope: Scope,
    /// Its metrics.
    pub metrics: Vec<Metric>,
    /// Which conventions its names follow.
    pub schema_url: String,
}

/// A library that measures.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// Its name; empty when unknown.
    pub name: String,
    /// Its version.
    pub version: String,
    /// More of it.
    pub attributes: Vec<KeyValue>,
}

/// A metric: one of the kinds of points is there.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "named as in the message")]
pub struct Metric {
    pub name: String,
    pub description: String,
    /// UCUM, such as `s` or `By`.
    pub unit: String,
    pub gauge: Option<Points<NumberPoint>>,
    pub sum: Option<Points<NumberPoint>>,
    pub histogram: Option<Points<HistogramPoint>>,
    pub exponential_histogram: Option<Points<ExponentialPoint>>,
    pub summary: Option<Points<SummaryPoint>>,
}

/// What the counts of points mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Temporality {
    /// Not said; wrong where counts are.
    #[default]
    Unspecified,
    /// Since the point before.
    Delta,
    /// Since the start.
    Cumulative,
}

/// The points of a metric.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Points<P> {
    /// Series by series, moment by moment.
    pub data_points: Vec<P>,
    /// Of counts.
    #[serde(deserialize_with = "json::temporality")]
    pub aggregation_temporality: Temporality,
    /// Whether a sum only grows.
    pub is_monotonic: bool,
}

/// A number at a moment.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "named as in the message")]
pub struct NumberPoint {
    pub attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "json::u64")]
    pub start_time_unix_nano: u64,
    #[serde(deserialize_with = "json::u64")]
    pub time_unix_nano: u64,
    #[serde(deserialize_with = "json::some_double")]
    pub as_double: Option<f64>,
    #[serde(deserialize_with = "json::some_i64")]
    pub as_int: Option<i64>,
    pub exemplars: Vec<Exemplar>,
    pub flags: u32,
}

/// A histogram with explicit bounds at a moment.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "named as in the message")]
pub struct HistogramPoint {
    pub attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "json::u64")]
    pub start_time_unix_nano: u64,
    #[serde(deserialize_with = "json::u64")]
    pub time_unix_nano: u64,
    #[serde(deserialize_with = "json::u64")]
    pub count: u64,
    #[serde(deserialize_with = "json::some_double")]
    pub sum: Option<f64>,
    #[serde(deserialize_with = "json::u64_list")]
    pub bucket_counts: Vec<u64>,
    #[serde(deserialize_with = "json::double_list")]
    pub explicit_bounds: Vec<f64>,
    pub exemplars: Vec<Exemplar>,
    pub flags: u32,
}

/// A histogram with bounds that grow by a factor, at a moment.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "named as in the message")]
pub struct ExponentialPoint {
    pub attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "json::u64")]
    pub start_time_unix_nano: u64,
    #[serde(deserialize_with = "json::u64")]
    pub time_unix_nano: u64,
    #[serde(deserialize_with = "json::u64")]
    pub count: u64,
    #[serde(deserialize_with = "json::some_double")]
    pub sum: Option<f64>,
    pub scale: i32,
    #[serde(deserialize_with = "json::u64")]
    pub zero_count: u64,
    pub positive: Buckets,
    pub negative: Buckets,
    pub exemplars: Vec<Exemplar>,
    pub flags: u32,
}

/// One side of an exponential histogram.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Buckets {
    /// Index of the first one.
    pub offset: i32,
    /// Counts of it and those after it.
    #[serde(deserialize_with = "json::u64_list")]
    pub bucket_counts: Vec<u64>,
}

/// Quantiles at a moment.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "named as in the message")]
pub struct SummaryPoint {
    pub attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "json::u64")]
    pub start_time_unix_nano: u64,
    #[serde(deserialize_with = "json::u64")]
    pub time_unix_nano: u64,
    #[serde(deserialize_with = "json::u64")]
    pub count: u64,
    #[serde(deserialize_with = "json::double")]
    pub sum: f64,
    pub quantile_values: Vec<Quantile>,
    pub flags: u32,
}

/// The value below which a share of the observations lies.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Quantile {
    /// The share, 0 to 1.
    #[serde(deserialize_with = "json::double")]
    pub quantile: f64,
    /// The value.
    #[serde(deserialize_with = "json::double")]
    pub value: f64,
}

/// An observation worth remembering.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "named as in the message")]
pub struct Exemplar {
    pub filtered_attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "json::u64")]
    pub time_unix_nano: u64,
    #[serde(deserialize_with = "json::some_double")]
    pub as_double: Option<f64>,
    #[serde(deserialize_with = "json::some_i64")]
    pub as_int: Option<i64>,
    /// Hexadecimal; empty when there is none.
    pub span_id: String,
    /// Likewise.
    pub trace_id: String,
}

/// Set in `flags` when there was nothing to measure: the series ends here.
pub const NO_RECORDED_VALUE: u32 = 1;
