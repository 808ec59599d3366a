//! Traces of our own work: what `tracing:` of the configuration asks for.
//!
//! In from every crate, as spans of the crate `tracing`; out to an OpenTelemetry receiver. Off until a configuration says where to send,
//! and then a span that nobody wants costs one look at its call site. Nothing here ever waits for the receiver: what finds no room is
//! dropped, and counted.
//!
//! What a span says of itself stands in its fields. Of those that begin with `otel.` the layer knows: `otel.name` (instead of the
//! span's name), `otel.kind` (`server`, `client`), `otel.start_ms` (when it really began, Unix milliseconds), and
//! `otel.parent`, the header `traceparent` of a request that came in. A field `error` says that the work failed, and why.
//! Spans are of level `INFO`.
//! Method: OpenTelemetry's specification of the trace SDK and of OTLP; W3C Trace Context.

mod config;
mod context;
mod export;
mod layer;
mod metrics;
mod queue;
mod tracer;

pub use config::{ManagerTracing, TracingConfig};
pub use context::Context;
pub use layer::SpanLayer;
pub use tracer::{Program, Tracer};

#[cfg(test)]
mod tests;
