//! The event recorder of Alertmanager 0.34: what happens, told to files, HTTP endpoints, Kafka and standard
//! output as it happens.
//!
//! In from the core as [`Note`]s, through the driver; out as JSON or protobuf in Alertmanager's shape. Never holds dispatch up:
//! queues are bounded, and what does not fit is dropped and counted. What is kept and searched is the history's affair.
//! Keys: docs/user/event-recorder.md.

mod config;
mod json;
mod kafka;
mod note;
mod protobuf;
mod shape;
mod webhook;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use net::{BuildError, Dialer, HttpClient};
use parking_lot::Mutex;
use stdx::Dir;
use stdx::metrics::{Counter, Family, Registry};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

pub(crate) use config::{EventsConfig, RawEvents};
pub use kafka::read_kafka_answer;
pub(crate) use note::{GroupInfo, Note, Sent, What};

use crate::config::ConfigError;
use kafka::Kafka;
use webhook::Webhook;

/// Most events that wait to be written; more are dropped and counted. From Alertmanager.
const QUEUE_MAX: usize = 8_192;
/// Most events that are written at once. Chosen: a few hundred kilobytes.
const BATCH_MAX: usize = 512;
/// How long outputs may take at the end; the whole program has five seconds.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long those of an older configuration may take. From Alertmanager.
const OLD_TIMEOUT: Duration = Duration::from_secs(30);

/// Takes notes, and tells them.
#[derive(Debug)]
pub(crate) struct EventRecorder {
    queue: Mutex<Option<mpsc::Sender<Note>>>,
    next: Arc<NextOutputs>,
    metrics: Arc<EventMetrics>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// The outputs of a new configuration, until the task takes them.
#[derive(Debug, Default)]
struct NextOutputs {
    outputs: Mutex<Option<NewOutputs>>,
    given: Notify,
}

/// Outputs that are checked and not yet at work.
#[derive(Debug)]
pub(crate) struct NewOutputs {
    config: EventsConfig,
    /// Of the webhooks, in order.
    clients: Vec<HttpClient>,
    /// Of the topics, in order.
    dialers: Vec<Dialer>,
}

impl NewOutputs {
    /// Makes the clients.
    ///
    /// # Errors
    /// When a certificate of one is not usable.
    pub(crate) fn new(config: &EventsConfig) -> Result<Self, ConfigError> {
        let unusable = |key: &str, err: BuildError| ConfigError::Client {
            receiver: format!("event_recorder.{key}"),
            message: err.to_string(),
        };
        let clients = config
            .webhooks
            .iter()
            .map(|webhook| HttpClient::new(&webhook.http).map_err(|err| unusable("webhook_outputs", err)));
        let dialers = config
            .kafkas
            .iter()
            .map(|kafka| Dialer::new(kafka.tls.clone()).map_err(|err| unusable("kafka_outputs", err)));
        Ok(Self {
            clients: clients.collect::<Result<_, _>>()?,
            dialers: dialers.collect::<Result<_, _>>()?,
            config: config.clone(),
        })
    }
}

/// Under upstream's names.
#[derive(Debug)]
struct EventMetrics {
    recorded: Arc<Family<Counter>>,
    bytes: Arc<Family<Counter>>,
    dropped: Arc<Family<Counter>>,
    output_drops: Arc<Family<Counter>>,
    kafka_errors: Arc<Family<Counter>>,
}

impl EventMetrics {
    fn new(registry: &Registry) -> Self {
        Self {
            recorded: registry.counters(
                "alertmanager_events_recorded_total",
                "Events told to outputs of the event recorder.",
                &["event_type", "output", "result"],
            ),
            bytes: registry.counters(
                "alertmanager_event_recorder_bytes_written_total",
                "Bytes told to outputs of the event recorder.",
                &["event_type", "output"],
            ),
            dropped: registry.counters(
                "alertmanager_events_dropped_total",
                "Events that the event recorder dropped because too many waited.",
                &["event_type"],
            ),
            output_drops: registry.counters(
                "alertmanager_event_output_drops_total",
                "Events that an output of the event recorder dropped because too many waited for it.",
                &["output"],
            ),
            kafka_errors: registry.counters(
                "alertmanager_event_kafka_produce_errors_total",
                "Events that brokers of Kafka refused or did not take before the end.",
                &["output", "error_type"],
            ),
        }
    }
}

/// Who we are, in events.
pub(crate) struct Teller {
    /// The host's name.
    pub(crate) instance: String,
    /// How many managers speak before this one.
    pub(crate) position: Box<dyn Fn() -> usize + Send + Sync>,
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teller").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl EventRecorder {
    /// Starts to tell on the current runtime.
    pub(crate) fn start(
        outputs: NewOutputs,
        files: Arc<dyn Dir>,
        teller: Teller,
        registry: &Registry,
    ) -> Self {
        let (queue, notes) = mpsc::channel(QUEUE_MAX);
        let (next, metrics) = (Arc::new(NextOutputs::default()), Arc::new(EventMetrics::new(registry)));
        let weak = queue.downgrade();
        registry.gauge_fn(
            "alertmanager_event_recorder_queue_length",
            "Events that wait in the event recorder.",
            move || weak.upgrade().map_or(0.0, |queue| (QUEUE_MAX - queue.capacity()) as f64),
        );
        let outputs = Outputs::start(outputs, files, Arc::clone(&metrics), &teller.instance);
        let task = tokio::spawn(tell(notes, outputs, Arc::clone(&next), teller));
        Self { queue: Mutex::new(Some(queue)), next, metrics, task: Mutex::new(Some(task)) }
    }

    /// Takes notes to be told; returns at once.
    pub(crate) fn offer(&self, notes: Vec<Note>) {
        let queue = self.queue.lock();
        let Some(queue) = queue.as_ref().filter(|_| !notes.is_empty()) else { return };
        for note in notes {
            if let Err(mpsc::error::TrySendError::Full(note)) = queue.try_send(note) {
                self.metrics.dropped.with(&[note.what.word()]).inc();
            }
        }
    }

    /// Takes the outputs of a new configuration.
    pub(crate) fn apply(&self, outputs: NewOutputs) {
        *self.next.outputs.lock() = Some(outputs);
        self.next.given.notify_one();
    }

    /// Tells what waits, and ends.
    pub(crate) async fn close(&self) {
        self.queue.lock().take();
        let task = self.task.lock().take();
        if let Some(task) = task
            && let Err(err) = task.await
        {
            tracing::error!(error = %err, "the event recorder broke off");
        }
    }
}

async fn tell(mut notes: mpsc::Receiver<Note>, mut outputs: Outputs, next: Arc<NextOutputs>, teller: Teller) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            n_notes = notes.recv_many(&mut batch, BATCH_MAX) => {
                if n_notes == 0 {
                    break;
                }
                outputs.write(&std::mem::take(&mut batch), &teller).await;
            }
            () = next.given.notified() => {
                let new = next.outputs.lock().take();
                // The same ones stay, with what waits for them.
                if let Some(new) = new.filter(|new| new.config != outputs.config) {
                    let files = Arc::clone(&outputs.dir);
                    let new = Outputs::start(new, files, Arc::clone(&outputs.metrics), &teller.instance);
                    // What waits for the old ones is sent beside what comes.
                    tokio::spawn(std::mem::replace(&mut outputs, new).close(OLD_TIMEOUT));
                }
            }
        }
    }
    outputs.close(CLOSE_TIMEOUT).await;
}

/// Where events go.
struct Outputs {
    config: EventsConfig,
    dir: Arc<dyn Dir>,
    webhooks: Vec<Webhook>,
    kafkas: Vec<Kafka>,
    metrics: Arc<EventMetrics>,
}

impl Outputs {
    fn start(new: NewOutputs, dir: Arc<dyn Dir>, metrics: Arc<EventMetrics>, instance: &str) -> Self {
        let NewOutputs { config, clients, dialers } = new;
        let webhooks = config.webhooks.iter().cloned().zip(clients).map(|(webhook, client)| {
            let dropped = metrics.output_drops.with(&[&webhook::name_of(&webhook.url)]);
            Webhook::start(webhook, client, dropped)
        });
        let kafkas = config.kafkas.iter().cloned().zip(dialers).map(|(kafka, dialer)| {
            let dropped = metrics.output_drops.with(&[&kafka.name]);
            Kafka::start(kafka, dialer, instance, dropped, Arc::clone(&metrics.kafka_errors))
        });
        let (webhooks, kafkas) = (webhooks.collect(), kafkas.collect());
        Self { config, dir, webhooks, kafkas, metrics }
    }

    async fn write(&self, notes: &[Note], teller: &Teller) {
        let position = u32::try_from((teller.position)()).unwrap_or(u32::MAX);
        let lines: Vec<String> =
            notes.iter().map(|note| json::line(note, &teller.instance, position)).collect();
        // As upstream counts: what waits for its endpoint or broker is told.
        for webhook in &self.webhooks {
            for (note, line) in notes.iter().zip(&lines) {
                webhook.offer(line.clone());
                self.count(note, &webhook.name, Some(line.len()));
            }
        }
        for kafka in &self.kafkas {
            for (note, line) in notes.iter().zip(&lines) {
                let n_bytes = kafka.offer(note, line, &teller.instance, position);
                self.count(note, &kafka.name, Some(n_bytes));
            }
        }
        if !self.config.files.is_empty() || self.config.n_stdout > 0 {
            self.write_lines(notes, &lines).await;
        }
    }

    /// Into files and to standard output.
    async fn write_lines(&self, notes: &[Note], lines: &[String]) {
        let text: Arc<str> = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>().into();
        let (dir, config) = (Arc::clone(&self.dir), self.config.clone());
        let written = tokio::task::spawn_blocking(move || {
            let mut results: Vec<(String, std::io::Result<()>)> = Vec::new();
            for path in &config.files {
                let written = append(&*dir, path, text.as_bytes());
                results.push((format!("file:{}", path.display()), written));
            }
            results.extend((0..config.n_stdout).map(|_| ("stdout".to_owned(), print(text.as_bytes()))));
            results
        });
        for (name, result) in written.await.unwrap_or_default() {
            if let Err(err) = &result {
                tracing::error!(output = %name, events = lines.len(), error = %err, "events not written");
            }
            for (note, line) in notes.iter().zip(lines) {
                self.count(note, &name, result.is_ok().then_some(line.len() + 1));
            }
        }
    }

    /// Counts an event that was told in so many bytes, or could not be.
    fn count(&self, note: &Note, output: &str, n_bytes: Option<usize>) {
        let (word, result) = (note.what.word(), if n_bytes.is_some() { "success" } else { "error" });
        self.metrics.recorded.with(&[word, output, result]).inc();
        if let Some(n_bytes) = n_bytes {
            self.metrics.bytes.with(&[word, output]).add(n_bytes as u64);
        }
    }

    /// Lets what waits be sent within `time`.
    async fn close(self, time: Duration) {
        let mut all: tokio::task::JoinSet<()> = tokio::task::JoinSet::new();
        for webhook in self.webhooks {
            all.spawn(webhook.close(time));
        }
        for kafka in self.kafkas {
            all.spawn(kafka.close(time));
        }
        while all.join_next().await.is_some() {}
    }
}

/// Opens the file anew each time, so that one that was rotated away is written no further.
fn append(dir: &dyn Dir, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let file = if dir.exists(path) { dir.open(path) } else { dir.create(path) };
    file?.append(bytes)
}

fn print(bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

#[cfg(test)]
mod tests;
