//! Exemplars: one observation behind a counter or bucket, usually with a trace id.

use crate::labels::Labels;

/// An observation worth remembering beside its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// What it points to, such as `trace_id`.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When, in Unix milliseconds.
    pub t_ms: i64,
}
