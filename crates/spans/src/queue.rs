//! Between those who work and the one who sends: whether spans are wanted, which, and a queue that never makes anybody wait.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use stdx::Clock;
use tokio::sync::mpsc;
use wire::otlp::Span;

use crate::context::Sampler;
use crate::metrics::Metrics;

/// Spans that wait to be sent; more are dropped. From OpenTelemetry.
pub(crate) const QUEUE_SPANS_MAX: usize = 2048;

/// What the layer and the tracer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    is_on: AtomicBool,
    bound: AtomicU64,
    queue: ArcSwapOption<mpsc::Sender<Span>>,
    metrics: OnceLock<Metrics>,
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            is_on: AtomicBool::new(false),
            bound: AtomicU64::new(0),
            queue: ArcSwapOption::empty(),
            metrics: OnceLock::new(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Of [`Sampler`].
    pub(crate) fn bound(&self) -> u64 {
        self.bound.load(Ordering::Relaxed)
    }

    pub(crate) fn metrics(&self) -> Option<&Metrics> {
        self.metrics.get()
    }

    pub(crate) fn count_in(&self, metrics: Metrics) {
        let _ = self.metrics.set(metrics);
    }

    /// Sends to `queue` from now on what `sampler` takes; nothing without one. Who sent until now learns of it by the end of its queue.
    pub(crate) fn switch(&self, queue: Option<mpsc::Sender<Span>>, sampler: Sampler) {
        let is_on = queue.is_some();
        self.bound.store(sampler.bound(), Ordering::Relaxed);
        self.queue.store(queue.map(Arc::new));
        if self.is_on.swap(is_on, Ordering::Relaxed) != is_on {
            tracing::callsite::rebuild_interest_cache();
        }
    }

    /// Takes a span that is over, or drops it.
    pub(crate) fn offer(&self, span: Span) {
        let queue = self.queue.load();
        let Some(queue) = &*queue else { return };
        if queue.try_send(span).is_err()
            && let Some(metrics) = self.metrics()
        {
            metrics.dropped.with(&["queue_full"]).inc();
        }
    }
}
