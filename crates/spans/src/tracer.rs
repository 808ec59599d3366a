//! What the binary holds: the layer for its log, and the switch that a configuration turns.

use std::sync::Arc;
use std::time::Duration;

use net::BuildError;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use stdx::Clock;
use stdx::metrics::Registry;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::Subscriber;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;
use wire::otlp::{KeyValue, Value};

use crate::config::TracingConfig;
use crate::context::Sampler;
use crate::export::Exporter;
use crate::layer::{SpanLayer, Wanted, current_parent};
use crate::metrics::Metrics;
use crate::queue::{QUEUE_SPANS_MAX, Shared};

/// How long [`Tracer::stop`] waits for the last spans. Chosen, within the five seconds that all parts have.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Who works, as the receiver is told.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// `service.name`
    pub name: &'static str,
    /// `service.version`
    pub version: &'static str,
}

/// Collects spans and sends them, when a configuration says where to.
#[derive(Debug)]
pub struct Tracer {
    shared: Arc<Shared>,
    program: Program,
    running: Mutex<Option<Running>>,
}

/// What sends now.
#[derive(Debug)]
struct Running {
    config: TracingConfig,
    task: JoinHandle<()>,
}

/// A configuration that can be taken.
#[derive(Debug)]
pub struct Prepared(Change);

#[derive(Debug)]
enum Change {
    None,
    Off,
    On(Box<(TracingConfig, Exporter)>),
}

impl Tracer {
    /// Off.
    #[must_use]
    pub fn new(program: Program, clock: Arc<dyn Clock>) -> Self {
        net::trace::ask(current_parent);
        Self { shared: Arc::new(Shared::new(clock)), program, running: Mutex::new(None) }
    }

    /// Collects for this tracer; belongs to the subscriber of the whole program.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        SpanLayer::new(Arc::clone(&self.shared)).with_filter(Wanted(Arc::clone(&self.shared)))
    }

    /// Counts what becomes of spans.
    pub fn register(&self, registry: &Registry) {
        self.shared.count_in(Metrics::register(registry));
    }

    /// Reads what `config` needs, and changes nothing. What sends already as `config` says goes on; certificates are read again at
    /// every request anyway.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub fn prepare(&self, config: Option<&TracingConfig>) -> Result<Prepared, BuildError> {
        let running = self.running.lock();
        let change = match config {
            None if running.is_none() => Change::None,
            None => Change::Off,
            Some(config) if running.as_ref().is_some_and(|running| running.config == *config) => Change::None,
            Some(config) => Change::On(Box::new((config.clone(), Exporter::new(config, self.resource())?))),
        };
        Ok(Prepared(change))
    }

    /// Takes what was prepared. What was collected for another receiver is still sent there. Needs a tokio runtime.
    pub fn take(&self, prepared: Prepared) {
        let mut running = self.running.lock();
        match prepared.0 {
            Change::None => {}
            Change::Off => {
                *running = None;
                self.shared.switch(None, Sampler::new(0.0));
                tracing::info!("no more spans are sent");
            }
            Change::On(change) => {
                let (config, exporter) = *change;
                let (sender, queue) = mpsc::channel(QUEUE_SPANS_MAX);
                let sampler = Sampler::new(config.sampling_fraction);
                tracing::info!(
                    endpoint = config.endpoint,
                    sampling_fraction = config.sampling_fraction,
                    "spans are sent"
                );
                let task = tokio::spawn(exporter.run(queue, Arc::clone(&self.shared)));
                self.shared.switch(Some(sender), sampler);
                *running = Some(Running { config, task });
            }
        }
    }

    /// Sends what is left, for at most two seconds, and nothing after it.
    pub async fn stop(&self) {
        self.shared.switch(None, Sampler::new(0.0));
        let Some(mut running) = self.running.lock().take() else { return };
        if tokio::time::timeout(STOP_TIMEOUT, &mut running.task).await.is_err() {
            running.task.abort();
            tracing::warn!("the last spans could not be sent in time");
        }
    }

    /// Shows spans to a test instead of sending them.
    #[cfg(test)]
    pub(crate) fn replace_queue(&self, queue: mpsc::Sender<wire::otlp::Span>) {
        self.shared.switch(Some(queue), Sampler::new(1.0));
    }

    fn resource(&self) -> Vec<KeyValue> {
        let own = [
            ("service.name", self.program.name),
            ("service.version", self.program.version),
            ("telemetry.sdk.name", "hinomi"),
            ("telemetry.sdk.language", "rust"),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        let given = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let mut resource = from_environment(&given);
        resource.retain(|attribute| own.iter().all(|(key, _)| attribute.key != *key));
        let text = |(key, value): (&str, &str)| KeyValue {
            key: key.to_owned(),
            value: Value::Text(value.to_owned()),
        };
        resource.extend(own.map(text));
        resource
    }
}

/// `key=value,key=value`, values percent-encoded, as OpenTelemetry has it; what is not of that form is passed over.
fn from_environment(text: &str) -> Vec<KeyValue> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let attribute = |(key, value): (&str, &str)| KeyValue {
        key: key.trim().to_owned(),
        value: Value::Text(percent_decode_str(value.trim()).decode_utf8_lossy().into_owned()),
    };
    pairs.map(attribute).filter(|attribute| !attribute.key.is_empty()).collect()
}
