//! The task of one output: gathers events, finds the leader of their partition, sends, and tries again.
//!
//! All events of a program have one key, its host's name, and so one partition: one request at a time keeps their order and is
//! enough. A batch is tried until a broker takes it or says that it never will; meanwhile events wait in the bounded queue.

use std::sync::Arc;
use std::time::Duration;

use net::Dialer;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::Waiting;
use super::batch::{Event, Sequence, batch, partition_of};
use super::config::{Acks, Broker, KafkaConfig};
use super::connection::Connection;
use super::failure::{Failure, Verdict};
use super::wire;

/// How long the first event of a batch waits for others. From Alertmanager.
const LINGER: Duration = Duration::from_millis(5);
/// Most bytes of a batch; one event that is larger goes alone. Below what brokers take by default, 1,048,588.
const BATCH_BYTES_MAX: usize = 1_000_000;
/// Most events of a batch. Chosen: keeps a lost answer cheap.
const BATCH_EVENTS_MAX: usize = 4_096;
/// Waits between attempts. From Alertmanager's producer.
const BACKOFF: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_millis(2_500);
/// Attempts while the topic is not there; then the events are given up. From Alertmanager's producer, which fails at the fifth.
const NO_TOPIC_ATTEMPTS_MAX: u32 = 5;
/// How often the same trouble is logged.
const LOG_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Producer {
    config: Arc<KafkaConfig>,
    dialer: Dialer,
    /// Of every record.
    key: Vec<u8>,
    waiting: Arc<Waiting>,
    route: Option<Route>,
    /// Under `acks: all` and once it was asked for: of which partition, and under which number the next batch goes.
    sequence: Option<(i32, Sequence)>,
    /// Who is asked next where the leader is; goes round.
    next_broker: usize,
    trouble: Trouble,
}

/// The way to the leader.
struct Route {
    connection: Connection,
    partition: i32,
}

/// What is the matter, for the log.
#[derive(Default)]
struct Trouble {
    n_failures: u32,
    logged: Option<Instant>,
}

impl Producer {
    pub(super) fn new(config: Arc<KafkaConfig>, dialer: Dialer, key: Vec<u8>, waiting: Arc<Waiting>) -> Self {
        let trouble = Trouble::default();
        Self { config, dialer, key, waiting, route: None, sequence: None, next_broker: 0, trouble }
    }

    /// Sends what comes until the queue is closed and empty.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Event>) {
        // A wrong address is better known before there is something to tell.
        if let Err(failure) = self.ready().await {
            self.note(&failure);
        }
        let mut carried = None;
        while let Some(events) = gather(&mut queue, &mut carried).await {
            self.deliver(events).await;
        }
    }

    /// Sends all, in halves where a broker finds them too large together.
    async fn deliver(&mut self, events: Vec<Event>) {
        let mut parts = vec![events];
        while let Some(mut part) = parts.pop() {
            match self.send(&part).await {
                Ok(()) => self.waiting.leave(&part),
                Err(failure) if failure.verdict() == Verdict::TooLarge && part.len() > 1 => {
                    parts.push(part.split_off(part.len() / 2));
                    parts.push(part);
                }
                Err(failure) => {
                    let output = &self.config.name;
                    tracing::error!(%output, events = part.len(), error = %failure, "events dropped: Kafka does not take them");
                    self.waiting.refuse(&part);
                }
            }
        }
    }

    /// Tries until it is done or will never be.
    async fn send(&mut self, events: &[Event]) -> Result<(), Failure> {
        let mut no_topic = 0;
        loop {
            let Err(failure) = self.attempt(events).await else {
                self.note_success();
                return Ok(());
            };
            // Another broker may lead now, or this connection is broken.
            self.route = None;
            match failure.verdict() {
                Verdict::NoTopic if no_topic + 1 < NO_TOPIC_ATTEMPTS_MAX => no_topic += 1,
                Verdict::TooLarge if events.len() > 1 => return Err(failure),
                Verdict::NoTopic | Verdict::TooLarge | Verdict::Refused => {
                    // Whether an attempt before arrived is not known, so that its numbers are not used again.
                    self.sequence = None;
                    return Err(failure);
                }
                Verdict::NewProducer => self.sequence = None,
                Verdict::Again | Verdict::Done => {}
            }
            self.note(&failure);
            sleep(wait_after(self.trouble.n_failures)).await;
        }
    }

    async fn attempt(&mut self, events: &[Event]) -> Result<(), Failure> {
        let partition = self.ready().await?.partition;
        let sequence = self.sequence(partition).await?;
        let batch = batch(&self.key, events, self.config.compression, sequence);
        let acks = self.config.acks;
        let body = wire::ask_produce(acks, &self.config.topic, partition, &batch);
        let connection = &mut self.ready().await?.connection;
        if acks == Acks::None {
            return connection.tell(wire::PRODUCE, &body).await;
        }
        let answer = connection.ask(wire::PRODUCE, &body).await?;
        connection.check(wire::read_produce(&answer).map(|code| (code, ())))?;
        if let Some((_, sequence)) = &mut self.sequence {
            sequence.advance(events.len());
        }
        Ok(())
    }

    /// Under which number the next batch goes.
    async fn sequence(&mut self, partition: i32) -> Result<Sequence, Failure> {
        if self.config.acks != Acks::All {
            return Ok(Sequence::NONE);
        }
        if let Some((_, sequence)) = self.sequence.filter(|(of, _)| *of == partition) {
            return Ok(sequence);
        }
        let connection = &mut self.ready().await?.connection;
        let answer = connection.ask(wire::INIT_PRODUCER, &wire::ask_producer()).await?;
        let producer = connection.check(wire::read_producer(&answer))?;
        Ok(self.sequence.insert((partition, Sequence { producer, first: 0 })).1)
    }

    /// The way to the leader: the one at hand, or a new one.
    async fn ready(&mut self) -> Result<&mut Route, Failure> {
        let is_usable = match &mut self.route {
            Some(route) => route.connection.is_usable().await,
            None => false,
        };
        if !is_usable {
            self.route = None;
            self.route = Some(self.find().await?);
        }
        Ok(self.route.as_mut().expect("there, or just set"))
    }

    async fn find(&mut self) -> Result<Route, Failure> {
        let seed = &self.config.brokers[self.next_broker % self.config.brokers.len()];
        self.next_broker = self.next_broker.wrapping_add(1);
        let mut connection = Connection::open(&self.dialer, seed, &self.config.client_id).await?;
        let answer = connection.ask(wire::METADATA, &wire::ask_metadata(&self.config.topic)).await?;
        let broker = connection.broker().to_owned();
        let metadata = connection.check(wire::read_metadata(&answer).map(|found| (found.topic, found)))?;
        let n_partitions = metadata.leaders.len();
        let leader = metadata.leaders.into_iter().nth(partition_of(&self.key, n_partitions));
        let Some(leader) = leader else { return Err(Failure::Malformed { broker }) };
        let partition = leader.partition;
        let (host, port) = leader.listens.ok_or(Failure::NoLeader { broker, partition })?;
        let leader = Broker { host, port };
        let connection = if leader == *seed {
            connection
        } else {
            Connection::open(&self.dialer, &leader, &self.config.client_id).await?
        };
        Ok(Route { connection, partition })
    }

    fn note(&mut self, failure: &Failure) {
        self.trouble.n_failures = self.trouble.n_failures.saturating_add(1);
        if self.trouble.logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            self.trouble.logged = Some(Instant::now());
            let (output, n_waiting) = (&self.config.name, self.waiting.n_events());
            tracing::warn!(%output, n_waiting, error = %failure, "Kafka is not reached, trying again");
        }
    }

    fn note_success(&mut self) {
        let trouble = std::mem::take(&mut self.trouble);
        if trouble.logged.is_some() {
            let output = &self.config.name;
            tracing::info!(%output, failures = trouble.n_failures, "Kafka takes events again");
        }
    }
}

fn wait_after(n_failures: u32) -> Duration {
    BACKOFF.saturating_mul(1 << n_failures.saturating_sub(1).min(16)).min(BACKOFF_MAX)
}

/// The next events that go together; `None` at the end. One that does not fit is left in `carried`.
async fn gather(queue: &mut mpsc::Receiver<Event>, carried: &mut Option<Event>) -> Option<Vec<Event>> {
    let first = match carried.take() {
        Some(event) => event,
        None => queue.recv().await?,
    };
    let mut n_bytes = first.value.len();
    let mut events = vec![first];
    let full = Instant::now() + LINGER;
    while events.len() < BATCH_EVENTS_MAX {
        let Ok(Some(event)) = timeout_at(full, queue.recv()).await else { break };
        n_bytes += event.value.len();
        if n_bytes > BATCH_BYTES_MAX {
            *carried = Some(event);
            break;
        }
        events.push(event);
    }
    Some(events)
}
