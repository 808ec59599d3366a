//! Takes Influx line protocol into the store.
//!
//! In: bodies from `v1::influx`; out: one batch of the store's for each request, a series for each field that is a number. Sync: the caller runs it on a
//! blocking thread. A line that cannot be taken is counted and named with its number, the others are stored.

use std::sync::Arc;
use std::time::Duration;

use model::labels::{LabelsBuilder, METRIC_NAME};
use stdx::Clock;
use stdx::metrics::{Counter, Registry};
use storage::{Appendable, StorageError};
use wire::influx::{Line, Lines, Value};
use wire::otlp::Partial;

use crate::otlp::batch::{Batch, Moment};

/// Requests that are decoded and stored at once, and that may wait. As for remote write.
const REQUESTS_MAX: usize = 8;
const REQUESTS_WAITING_MAX: usize = 64;
/// How long a request may wait. Chosen: as senders wait for an answer.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request after decompression. As for remote write.
pub(crate) const DECODED_BYTES_MAX: usize = 32 << 20;
/// Samples may be so far in the future. As for remote write.
const AHEAD_MS_MAX: i64 = 10 * 60 * 1_000;
/// The field that needs no name of its own.
const VALUE: &str = "value";

/// What a receiver needs.
pub struct InfluxOptions {
    /// Where samples go.
    pub store: Arc<dyn Appendable>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// For its metrics.
    pub registry: Registry,
}

/// Takes requests. Shared by all connections.
pub struct InfluxReceiver {
    store: Arc<dyn Appendable>,
    clock: Arc<dyn Clock>,
    pub(crate) gate: net::Gate,
    samples: Arc<Counter>,
    refused: Arc<Counter>,
    texts: Arc<Counter>,
    shed: Arc<Counter>,
}

impl std::fmt::Debug for InfluxReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InfluxReceiver").finish_non_exhaustive()
    }
}

/// How much of a sender's unit of time a millisecond is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    /// So many to a millisecond.
    PerMs(i64),
    /// So many milliseconds.
    Ms(i64),
}

impl Precision {
    /// From the parameter `precision`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | "n" | "ns" => Self::PerMs(1_000_000),
            "u" | "us" | "µ" => Self::PerMs(1_000),
            "ms" => Self::Ms(1),
            "s" => Self::Ms(1_000),
            "m" => Self::Ms(60_000),
            "h" => Self::Ms(3_600_000),
            _ => return None,
        })
    }

    fn to_ms(self, time: i64) -> i64 {
        match self {
            Self::PerMs(n) => time.div_euclid(n),
            Self::Ms(n) => time.saturating_mul(n),
        }
    }
}

impl InfluxReceiver {
    /// A receiver.
    #[must_use]
    pub fn new(options: InfluxOptions) -> Self {
        let registry = &options.registry;
        Self {
            gate: net::Gate::new("influx", REQUESTS_MAX, REQUESTS_WAITING_MAX, registry),
            samples: registry
                .counter("hinomi_influx_received_samples_total", "Samples stored from Influx line protocol."),
            refused: registry.counter(
                "hinomi_influx_refused_total",
                "Lines or fields of line protocol that were not stored.",
            ),
            texts: registry.counter(
                "hinomi_influx_dropped_texts_total",
                "Fields of line protocol left out, since they are text and no number.",
            ),
            shed: registry.counter(
                "hinomi_influx_shed_total",
                "Requests and packets of line protocol put off or dropped, since memory is short (--storage.memory.budget-bytes).",
            ),
            store: options.store,
            clock: options.clock,
        }
    }

    /// Whether memory is short. Counts those that are told so.
    pub(crate) fn sheds(&self) -> bool {
        let sheds = self.store.is_overloaded();
        self.shed.add(u64::from(sheds));
        sheds
    }

    /// Stores what `body` holds. Blocks on the store.
    pub(crate) fn receive(&self, body: &[u8], precision: Precision) -> Result<Partial, StorageError> {
        let now_ms = self.clock.now_ms();
        let mut batch = Batch::new(self.store.appender(now_ms), now_ms.saturating_add(AHEAD_MS_MAX));
        let mut n_texts = 0;
        for (number, line) in Lines::new(body) {
            match line {
                Ok(line) => {
                    let t_ms = line.time.map_or(now_ms, |time| precision.to_ms(time));
                    put(&mut batch, number, &line, t_ms);
                    n_texts += line.fields.iter().filter(|(_, value)| *value == Value::Text).count();
                }
                Err(err) => batch.reject(1, || format!("line {number}: {err}")),
            }
        }
        let done = batch.commit()?;
        self.samples.add(done.n_samples);
        self.refused.add(done.partial.n_rejected);
        self.texts.add(n_texts as u64);
        Ok(done.partial)
    }
}

fn put(batch: &mut Batch<'_>, number: u64, line: &Line<'_>, t_ms: i64) {
    let mut labels = LabelsBuilder::new();
    for (name, value) in &line.tags {
        let name = plain(name, false);
        if name == METRIC_NAME {
            return batch.reject(1, || format!("line {number}: a tag must not be named {METRIC_NAME}"));
        }
        labels.set(&name, value);
    }
    for (field, value) in &line.fields {
        let Value::Number(value) = value else { continue };
        let name = match &**field {
            VALUE => plain(&line.measurement, true),
            field => plain(&format!("{}_{field}", line.measurement), true),
        };
        let done = batch
            .named(&mut labels, &name)
            .and_then(|labels| batch.put(&labels, Moment { t_ms, start_ms: 0 }, *value));
        if let Err(why) = done {
            batch.reject(1, || format!("line {number}: {why}"));
        }
    }
}

/// Underscores for all that a query would have to quote.
fn plain(name: &str, takes_colons: bool) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || takes_colons && c == ':';
    let mut out = String::with_capacity(name.len() + 1);
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    out.extend(name.chars().map(|c| if is_plain(c) { c } else { '_' }));
    out
}
