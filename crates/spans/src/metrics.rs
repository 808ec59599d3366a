//! What becomes of spans.

use std::sync::Arc;

use stdx::metrics::{Counter, Family, Registry};

#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) sent: Arc<Counter>,
    pub(crate) dropped: Arc<Family<Counter>>,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let dropped = registry.counters(
            "hinomi_tracing_spans_dropped_total",
            "Spans that were not sent: the queue was full, the receiver could not be reached in time, or it refused them.",
            &["reason"],
        );
        // Zeros from the start, so that rate() sees the first failure.
        for reason in ["queue_full", "unreachable", "refused"] {
            dropped.with(&[reason]);
        }
        let sent = registry.counter("hinomi_tracing_spans_sent_total", "Spans that the receiver took.");
        Self { sent, dropped }
    }
}
