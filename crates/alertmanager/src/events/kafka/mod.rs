//! Events to a topic of Kafka: a bounded queue, and a producer of our own that takes from it.
//!
//! Why our own: the binary is one static file, which rules librdkafka out; of the producers in pure Rust rskafka acknowledges by all
//! replicas only, and krafka is a client of 120,000 lines for a producer of one partition. What is needed here are three
//! requests and one format.
//! In from the recorder; out to brokers. Never holds the recorder up: what does not fit is dropped and counted.

mod batch;
mod config;
mod connection;
mod failure;
mod producer;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use net::Dialer;
use parking_lot::Mutex;
use stdx::metrics::{Counter, Family};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(super) use config::{KafkaConfig, RawKafka};
pub use wire::read_any as read_kafka_answer;

use super::note::Note;
use super::protobuf;
use batch::Event;
use config::Format;
use producer::Producer;

/// Events that may wait for a broker beside `buffer_size`: what Alertmanager's producer holds itself.
const HELD_EVENTS_MAX: usize = 10_000;
/// Most bytes of events that wait. Chosen: six thousand bytes for each of those.
const HELD_BYTES_MAX: usize = 64 << 20;
/// How often drops are logged; each is counted.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// One topic and the producer that speaks to its brokers.
#[derive(Debug)]
pub(super) struct Kafka {
    pub(super) name: String,
    format: Format,
    queue: mpsc::Sender<Event>,
    waiting: Arc<Waiting>,
    task: JoinHandle<()>,
}

impl Kafka {
    /// Starts the producer on the current runtime. `instance` is the key of every record.
    pub(super) fn start(
        config: KafkaConfig,
        dialer: Dialer,
        instance: &str,
        dropped: Arc<Counter>,
        failed: Arc<Family<Counter>>,
    ) -> Self {
        let (queue, events) = mpsc::channel(config.buffer_events.saturating_add(HELD_EVENTS_MAX));
        let waiting = Waiting {
            output: config.name.clone(),
            n_events: AtomicUsize::new(0),
            n_bytes: AtomicUsize::new(0),
            dropped,
            failed,
            logged: Mutex::new(None),
        };
        let (name, format, waiting) = (config.name.clone(), config.format, Arc::new(waiting));
        let key = instance.as_bytes().to_vec();
        let producer = Producer::new(Arc::new(config), dialer, key, Arc::clone(&waiting));
        Self { name, format, queue, waiting, task: tokio::spawn(producer.run(events)) }
    }

    /// Takes an event to be sent, of which `line` is the JSON; returns its size at once.
    pub(super) fn offer(&self, note: &Note, line: &str, instance: &str, position: u32) -> usize {
        let value = match self.format {
            Format::Json => line.as_bytes().to_vec(),
            Format::Protobuf => protobuf::message(note, instance, position),
        };
        let n_bytes = value.len();
        let event = Event { at_ms: note.at_ms, value };
        if !self.waiting.enter(&event) {
            self.waiting.drop_one();
        } else if let Err(refused) = self.queue.try_send(event) {
            self.waiting.leave(&[refused.into_inner()]);
            self.waiting.drop_one();
        }
        n_bytes
    }

    /// Lets what waits be sent; what is not within `time` is given up.
    pub(super) async fn close(self, time: Duration) {
        let Self { queue, waiting, mut task, .. } = self;
        drop(queue);
        if tokio::time::timeout(time, &mut task).await.is_err() {
            task.abort();
            waiting.give_up();
        }
    }
}

/// What waits for an output, and what became of what does not.
#[derive(Debug)]
struct Waiting {
    output: String,
    n_events: AtomicUsize,
    n_bytes: AtomicUsize,
    dropped: Arc<Counter>,
    failed: Arc<Family<Counter>>,
    /// When drops were last logged.
    logged: Mutex<Option<Instant>>,
}

impl Waiting {
    fn n_events(&self) -> usize {
        self.n_events.load(Ordering::Relaxed)
    }

    /// Takes it in, unless too many bytes wait. Only the recorder's task does so.
    fn enter(&self, event: &Event) -> bool {
        if self.n_bytes.load(Ordering::Relaxed) + event.value.len() > HELD_BYTES_MAX {
            return false;
        }
        self.n_events.fetch_add(1, Ordering::Relaxed);
        self.n_bytes.fetch_add(event.value.len(), Ordering::Relaxed);
        true
    }

    fn leave(&self, events: &[Event]) {
        self.n_events.fetch_sub(events.len(), Ordering::Relaxed);
        self.n_bytes.fetch_sub(events.iter().map(|event| event.value.len()).sum(), Ordering::Relaxed);
    }

    fn drop_one(&self) {
        self.dropped.inc();
        let mut logged = self.logged.lock();
        if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            *logged = Some(Instant::now());
            tracing::warn!(output = %self.output, n_waiting = self.n_events(), "events dropped: too many wait for this output");
        }
    }

    /// A broker does not want them.
    fn refuse(&self, events: &[Event]) {
        self.failed.with(&[&self.output, "broker"]).add(events.len() as u64);
        self.leave(events);
    }

    /// The time is over.
    fn give_up(&self) {
        let n_events = self.n_events();
        if n_events > 0 {
            self.failed.with(&[&self.output, "timeout"]).add(n_events as u64);
            tracing::warn!(output = %self.output, n_events, "events given up at the end: Kafka took none");
        }
    }
}

#[cfg(test)]
mod tests;
