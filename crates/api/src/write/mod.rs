//! Takes requests of remote write, 1.0 and 2.0, into the store.
//!
//! In: bodies from `v1::write`; out: one batch of the store's for each request. Series that were met before are
//! found by the hash of their labels as they were sent and appended by reference: their labels are not decoded.
//! Sync: the caller runs it on a blocking thread. A request that cannot be read stores nothing; a sample that cannot be
//! taken is counted and the others are stored, in both versions.

mod batch;
mod outcome;

use std::hash::{BuildHasher as _, RandomState};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use stdx::Clock;
use stdx::metrics::{Counter, Family, Registry};
use storage::{Appendable, StorageError};
use wire::remote_write::{
    DecodeError, HashSecret, Item, RequestV1, RequestV2, SeriesMemo, SeriesV2, decompress,
};

use self::batch::{Batch, Chunk, Of};
pub(crate) use self::outcome::Outcome;

/// Requests that are decoded and stored at once. Chosen: more than cores only wait for one another.
const WRITES_MAX: usize = 8;
/// Requests that may wait. Chosen: each holds a body; senders come again.
const WRITES_WAITING_MAX: usize = 64;
/// How long a request may wait. Chosen: below the 30 s after which Prometheus gives up a request.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(10);
/// Samples may be so far in the future. From Prometheus.
const AHEAD_MS_MAX: i64 = 10 * 60 * 1_000;
/// Longest decompressed body whose buffer is kept for the next one. Chosen: ten times what Prometheus sends.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Series that are looked up together, so that the processor fetches many places of the memo at once. Chosen; they
/// fit its nearer caches.
const CHUNK: usize = 128;

/// The message that a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMessage {
    /// `prometheus.WriteRequest`, remote write 1.0.
    V1,
    /// `io.prometheus.write.v2.Request`, remote write 2.0.
    V2,
}

impl WriteMessage {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// Its full name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

impl FromStr for WriteMessage {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|message| message.name() == name).ok_or_else(|| {
            format!(
                "unknown type for remote write protobuf message {name}, supported: {}, {}",
                Self::V1.name(),
                Self::V2.name()
            )
        })
    }
}

/// What a receiver needs.
pub struct ReceiverOptions {
    /// Where samples go.
    pub store: Arc<dyn Appendable>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// For its metrics.
    pub registry: Registry,
    /// `--web.remote-write-receiver.accepted-protobuf-messages`
    pub accepted: Vec<WriteMessage>,
    /// Most series that are remembered, at 24 bytes each.
    pub memo_series_max: usize,
    /// Whether types and units that 2.0 says beside series become their labels.
    pub type_and_unit_labels: bool,
    /// Whether a counter that begins gets a zero where its sender says it began.
    pub start_zeros: bool,
}

/// Takes requests. Shared by all connections.
pub struct Receiver {
    store: Arc<dyn Appendable>,
    clock: Arc<dyn Clock>,
    pub(crate) accepted: Vec<WriteMessage>,
    pub(crate) gate: net::Gate,
    type_and_unit_labels: bool,
    start_zeros: bool,
    secret: HashSecret,
    memo: Arc<RwLock<SeriesMemo>>,
    /// Buffers for decompressed bodies, at most as many as requests at once.
    buffers: Mutex<Vec<Vec<u8>>>,
    metrics: Metrics,
}

/// Why nothing of a request was stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("{0}")]
    Decode(#[from] DecodeError),
    #[error("{0}")]
    Store(#[from] StorageError),
}

struct Metrics {
    samples: Arc<Counter>,
    histograms: Arc<Counter>,
    exemplars: Arc<Counter>,
    refused: Arc<Family<Counter>>,
    invalid_labels: Arc<Counter>,
    shed: Arc<Counter>,
    strict: Arc<Counter>,
    memo_inserts: Arc<Counter>,
}

impl Metrics {
    fn register(registry: &Registry) -> Self {
        Self {
            samples: registry.counter(
                "hinomi_remote_write_received_samples_total",
                "Float samples stored from requests of remote write.",
            ),
            histograms: registry.counter(
                "hinomi_remote_write_received_histograms_total",
                "Native histograms stored from requests of remote write.",
            ),
            exemplars: registry.counter(
                "hinomi_remote_write_received_exemplars_total",
                "Exemplars taken from requests of remote write.",
            ),
            refused: registry.counters(
                "hinomi_remote_write_refused_total",
                "Samples, histograms and exemplars of remote write that were not stored, by reason.",
                &["reason"],
            ),
            invalid_labels: registry.counter(
                "prometheus_api_remote_write_invalid_labels_samples_total",
                "Samples and histograms of remote write refused for their labels.",
            ),
            shed: registry.counter(
                "hinomi_remote_write_shed_total",
                "Requests of remote write put off, since memory is short (--storage.memory.budget-bytes).",
            ),
            strict: registry.counter(
                "hinomi_remote_write_strict_total",
                "Requests of remote write that asked to be on the disk before they are answered.",
            ),
            memo_inserts: registry.counter(
                "hinomi_remote_write_memo_inserts_total",
                "Series of requests that were found by their labels and then remembered.",
            ),
        }
    }
}

/// A secret that nobody can guess: the hasher's keys are random, and what it makes of a counter is as good.
pub(crate) fn random_secret() -> HashSecret {
    let (keys, mut counter) = (RandomState::new(), 0u64);
    HashSecret::new(|| {
        counter += 1;
        keys.hash_one(counter)
    })
}

impl Receiver {
    /// Whether the store asks senders to come again later. Counts those that are asked to.
    pub(crate) fn sheds(&self) -> bool {
        let sheds = self.store.is_overloaded();
        self.metrics.shed.add(u64::from(sheds));
        sheds
    }

    /// A receiver that remembers no series yet.
    #[must_use]
    pub fn new(options: ReceiverOptions) -> Self {
        let memo = Arc::new(RwLock::new(SeriesMemo::new(options.memo_series_max)));
        let seen = Arc::clone(&memo);
        options.registry.gauge_fn(
            "hinomi_remote_write_memo_series",
            "Series of remote write that are known by the hash of their labels.",
            move || seen.read().len() as f64,
        );
        Self {
            store: options.store,
            clock: options.clock,
            accepted: options.accepted,
            gate: net::Gate::new("write", WRITES_MAX, WRITES_WAITING_MAX, &options.registry),
            type_and_unit_labels: options.type_and_unit_labels,
            start_zeros: options.start_zeros,
            secret: random_secret(),
            memo,
            buffers: Mutex::default(),
            metrics: Metrics::register(&options.registry),
        }
    }

    /// Stores what `body`, a snappy block, holds; on the disk before the return when `strict`. Blocks on the store.
    pub(crate) fn receive(
        &self,
        message: WriteMessage,
        body: &[u8],
        strict: bool,
    ) -> Result<Outcome, WriteError> {
        let mut buffer = self.buffers.lock().pop().unwrap_or_default();
        let stored = decompress(body, &mut buffer)
            .map_err(WriteError::from)
            .and_then(|decoded| self.store(message, decoded));
        if buffer.len() <= KEPT_BYTES_MAX {
            let mut buffers = self.buffers.lock();
            if buffers.len() < WRITES_MAX {
                buffers.push(buffer);
            }
        }
        let outcome = stored?;
        self.metrics.samples.add(outcome.n_samples);
        self.metrics.histograms.add(outcome.n_histograms);
        self.metrics.exemplars.add(outcome.n_exemplars);
        for (reason, n_refused) in outcome.refused() {
            self.metrics.refused.with(&[reason.name()]).add(n_refused);
        }
        self.metrics.invalid_labels.add(outcome.n_invalid_labels());
        if strict {
            self.metrics.strict.inc();
            // Also when this request added nothing: it may be one that comes again after a sync that failed.
            self.store.sync()?;
        }
        Ok(outcome)
    }

    fn store(&self, message: WriteMessage, decoded: &[u8]) -> Result<Outcome, WriteError> {
        let now_ms = self.clock.now_ms();
        if !self.memo.read().is_now(now_ms) {
            self.memo.write().set_now(now_ms);
        }
        let appender = self.store.appender(now_ms);
        let mut batch = Batch::new(appender, now_ms.saturating_add(AHEAD_MS_MAX), message);
        batch.is_typed = self.type_and_unit_labels;
        batch.has_zeros = self.start_zeros;
        match message {
            WriteMessage::V1 => self.store_v1(&mut batch, decoded)?,
            WriteMessage::V2 => self.store_v2(&mut batch, decoded)?,
        }
        let (outcome, fresh) = batch.commit()?;
        if !fresh.is_empty() {
            self.metrics.memo_inserts.add(fresh.len() as u64);
            let mut memo = self.memo.write();
            fresh.into_iter().for_each(|(hash, number)| memo.insert(hash, number));
        }
        Ok(outcome)
    }

    fn store_v1(&self, batch: &mut Batch<'_>, decoded: &[u8]) -> Result<(), DecodeError> {
        let mut request = RequestV1::new(decoded);
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut hashes = Vec::with_capacity(CHUNK);
        let mut known = Vec::with_capacity(CHUNK);
        loop {
            let item = request.next()?;
            let is_end = item.is_none();
            match item {
                Some(Item::Series(series)) => {
                    hashes.push(series.hash(&self.secret));
                    chunk.push(series);
                }
                Some(Item::Metadata(metadata)) => {
                    let (name, metadata) = metadata.decode()?;
                    batch.append_metadata(&name, &metadata);
                }
                None => {}
            }
            if chunk.len() == CHUNK || is_end {
                self.look_up(&hashes, &mut known);
                batch.take(&Chunk { views: &chunk, hashes: &hashes }, &known)?;
                chunk.clear();
                hashes.clear();
            }
            if is_end {
                return Ok(());
            }
        }
    }

    fn store_v2(&self, batch: &mut Batch<'_>, decoded: &[u8]) -> Result<(), DecodeError> {
        let request = RequestV2::new(decoded, &self.secret)?;
        let mut chunk: Vec<SeriesV2<'_>> =
            (0..CHUNK.min(request.n_series())).map(|_| SeriesV2::new()).collect();
        let mut hashes = Vec::with_capacity(CHUNK);
        let mut known = Vec::with_capacity(CHUNK);
        let mut scratch = Vec::new();
        for first in (0..request.n_series()).step_by(CHUNK) {
            hashes.clear();
            let len = CHUNK.min(request.n_series() - first);
            for (idx, series) in chunk[..len].iter_mut().enumerate() {
                request.read(first + idx, series)?;
                hashes.push(request.hash(series, &self.secret, &mut scratch));
            }
            self.look_up(&hashes, &mut known);
            let views: Vec<_> = chunk[..len].iter().map(|series| Of { request: &request, series }).collect();
            batch.take(&Chunk { views: &views, hashes: &hashes }, &known)?;
        }
        Ok(())
    }

    /// One look-up after another without anything between, so that the misses of the processor's caches overlap.
    fn look_up(&self, hashes: &[Option<u128>], known: &mut Vec<Option<u32>>) {
        known.clear();
        let memo = self.memo.read();
        known.extend(hashes.iter().map(|hash| memo.get((*hash)?)));
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}
