//! The layer of the crate `tracing` that makes spans of ours into spans of OpenTelemetry.
//!
//! In from every crate's `info_span!`; out to [`crate::queue`]. Knows of each live span which trace it is of; keeps what it says of itself
//! only when that trace is sent.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context as Surroundings, Filter, Layer};
use tracing_subscriber::registry::{LookupSpan, Registry};
use wire::otlp::{KeyValue, Span, SpanKind, Value};

use crate::context::{Context, Sampler};
use crate::queue::Shared;

/// Attributes of one span; more are left out. From OpenTelemetry.
const ATTRIBUTES_MAX: usize = 128;
/// Longest text of an attribute, in bytes; the rest is cut off. Chosen: queries are longer than anything else that is said, and a few
/// pages of one say what it is.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// Collects spans while there is somebody to send them to.
#[derive(Debug)]
pub struct SpanLayer {
    shared: Arc<Shared>,
}

/// Whether spans are wanted at all. Asked once for each call site, and again when the answer changes.
#[derive(Debug)]
pub(crate) struct Wanted(pub(crate) Arc<Shared>);

/// What is known of a span that is not over.
#[derive(Debug)]
struct Live {
    context: Context,
    /// From the monotonic clock to Unix time, in nanoseconds: one for a whole trace, so that a clock that is set does not tear it.
    offset_ns: i128,
    /// Of a trace that is sent.
    span: Option<Box<Span>>,
}

impl SpanLayer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The span that begins now below `parent`, which is of this process.
    fn below(&self, parent: &Live, name: &str) -> Live {
        let context = Context { span_id: random(), ..parent.context };
        self.live(context, Some(parent.context.span_id), parent.offset_ns, name)
    }

    /// The span that begins now with nothing above it in this process.
    fn root(&self, remote: Option<Context>, name: &str) -> Live {
        let offset_ns = i128::from(self.shared.clock.now_ms()) * 1_000_000
            - self.shared.clock.monotonic().as_nanos() as i128;
        let context = match remote {
            Some(remote) => Context { span_id: random(), ..remote },
            None => {
                let trace_id = random();
                let is_sampled = Sampler::from_bound(self.shared.bound()).takes(&trace_id);
                Context { trace_id, span_id: random(), is_sampled }
            }
        };
        let mut live = self.live(context, remote.map(|remote| remote.span_id), offset_ns, name);
        if let Some(span) = &mut live.span {
            span.has_remote_parent = remote.is_some();
        }
        live
    }

    fn live(&self, context: Context, parent_id: Option<[u8; 8]>, offset_ns: i128, name: &str) -> Live {
        let span = context.is_sampled.then(|| {
            Box::new(Span {
                trace_id: context.trace_id,
                span_id: context.span_id,
                parent_id,
                name: name.to_owned(),
                start_ns: self.unix_ns(offset_ns),
                ..Span::default()
            })
        });
        Live { context, offset_ns, span }
    }

    fn unix_ns(&self, offset_ns: i128) -> u64 {
        u64::try_from(self.shared.clock.monotonic().as_nanos() as i128 + offset_ns).unwrap_or(0)
    }
}

/// Not all zeros.
fn random<const N: usize>() -> [u8; N] {
    let mut id = [0; N];
    // Without random numbers the machine has other troubles; ids need only differ.
    if getrandom::fill(&mut id).is_err() || id == [0; N] {
        id[N - 1] = 1;
    }
    id
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, surroundings: Surroundings<'_, S>) {
        let Some(span) = surroundings.span(id) else { return };
        let name = span.name();
        let above = span
            .parent()
            .and_then(|parent| parent.extensions().get::<Live>().map(|above| self.below(above, name)));
        let mut live = above.unwrap_or_else(|| {
            let mut header = ParentHeader(None);
            attributes.record(&mut header);
            self.root(header.0, name)
        });
        if let Some(span) = &mut live.span {
            attributes.record(&mut Fields(span));
        }
        span.extensions_mut().insert(live);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, surroundings: Surroundings<'_, S>) {
        let Some(span) = surroundings.span(id) else { return };
        if let Some(span) = span.extensions_mut().get_mut::<Live>().and_then(|live| live.span.as_mut()) {
            record.record(&mut Fields(span));
        }
    }

    fn on_close(&self, id: Id, surroundings: Surroundings<'_, S>) {
        let Some(span) = surroundings.span(&id) else { return };
        let Some(live) = span.extensions_mut().remove::<Live>() else { return };
        if let Some(mut span) = live.span {
            span.end_ns = self.unix_ns(live.offset_ns).max(span.start_ns);
            self.shared.offer(*span);
        }
    }
}

impl<S> Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Surroundings<'_, S>) -> bool {
        self.0.is_on() && is_ours(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.0.is_on() && is_ours(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if self.0.is_on() { LevelFilter::INFO } else { LevelFilter::OFF })
    }
}

/// Libraries have spans, too, of lower levels.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() == Level::INFO
}

/// The header `traceparent` of a request that goes out of what this thread does now.
pub(crate) fn current_parent() -> Option<HeaderValue> {
    let context = tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let current = dispatch.current_span();
        let span = registry.span(current.id()?)?;
        span.extensions().get::<Live>().map(|live| live.context)
    })?;
    HeaderValue::try_from(context.header()).ok()
}

/// Looks for the field `otel.parent`.
struct ParentHeader(Option<Context>);

impl Visit for ParentHeader {
    fn record_str(&mut self, field: &Field, text: &str) {
        if field.name() == "otel.parent" {
            self.0 = Context::parse(text);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Takes what a span says of itself.
struct Fields<'a>(&'a mut Span);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        let (key, attributes) = (field.name(), &mut self.0.attributes);
        if let Some(known) = attributes.iter_mut().find(|attribute| attribute.key == key) {
            known.value = value;
        } else if attributes.len() < ATTRIBUTES_MAX {
            attributes.push(KeyValue { key: key.to_owned(), value });
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, text: &str) {
        let text = || text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned();
        match field.name() {
            "otel.parent" => {}
            "otel.name" => self.0.name = text(),
            "otel.kind" => {
                self.0.kind = match text().as_str() {
                    "server" => SpanKind::Server,
                    "client" => SpanKind::Client,
                    "producer" => SpanKind::Producer,
                    "consumer" => SpanKind::Consumer,
                    _ => SpanKind::Internal,
                }
            }
            "error" => self.0.error = Some(text()),
            _ => self.put(field, Value::Text(text())),
        }
    }

    fn record_i64(&mut self, field: &Field, number: i64) {
        match field.name() {
            "otel.start_ms" => self.0.start_ns = u64::try_from(number).unwrap_or(0).saturating_mul(1_000_000),
            _ => self.put(field, Value::Int(number)),
        }
    }

    fn record_u64(&mut self, field: &Field, number: u64) {
        self.record_i64(field, i64::try_from(number).unwrap_or(i64::MAX));
    }

    fn record_f64(&mut self, field: &Field, number: f64) {
        self.put(field, Value::Double(number));
    }

    fn record_bool(&mut self, field: &Field, is_true: bool) {
        self.put(field, Value::Bool(is_true));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
