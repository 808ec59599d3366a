//! The query guard: which queries run, what they cost so far, the memory they share, and a way to stop one.
//!
//! In from `api` and `rules`, which begin a [`Ticket`] for each query; out to `status/queries`, to metrics and to the file
//! that the next start reads. Knows no clock: callers hand one in. Names of metrics are Prometheus'.

mod brief;
mod journal;
mod look_up;
mod meter;
mod stop;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use stdx::metrics::{Counter, Family, Histogram, Registry};
use stdx::{Clock, Dir};

pub use self::brief::BRIEF_COST_MAX;
use self::brief::Brief;
use self::journal::Journal;
pub use self::look_up::LookUp;
pub use self::meter::Meter;
use self::meter::Pool;
pub(crate) use self::meter::{Mark, SAMPLE_BYTES};
pub use self::stop::{CancelToken, Deadline};

/// Which way a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    /// `/api/v1/query`
    Instant,
    /// `/api/v1/query_range`
    Range,
    /// A recording or alerting rule, or its template.
    Rule,
}

impl QueryKind {
    /// As `status/queries` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Instant => "instant",
            Self::Range => "range",
            Self::Rule => "rule",
        }
    }
}

/// What a query is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryState {
    /// Waits for a place among `--query.max-concurrency`.
    Queued,
    /// Reads and computes.
    Evaluating,
    /// Its answer is written.
    Answering,
}

impl QueryState {
    /// As `status/queries` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Evaluating => "evaluating",
            Self::Answering => "answering",
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Queued,
            1 => Self::Evaluating,
            _ => Self::Answering,
        }
    }
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryOrigin {
    /// A request.
    Http {
        /// Address of the client, without its port.
        client: String,
        /// What the client calls itself.
        user_agent: String,
        /// `GET` or `POST`.
        method: String,
        /// Path of the request.
        path: String,
    },
    /// A rule.
    Rule {
        /// File of its group.
        file: String,
        /// Name of its group.
        group: String,
    },
}

/// A query that is over, for logs.
#[derive(Debug)]
pub struct FinishedQuery<'a> {
    /// What was known before.
    pub info: &'a QueryInfo,
    /// How long it waited for its place.
    pub queued: Duration,
    /// How long it was evaluated.
    pub evaluated: Duration,
    /// What it cost.
    pub meter: &'a Meter,
    /// Why it has no answer.
    pub error: Option<&'a str>,
}

/// Takes every query that is over. Called on the query's own thread.
pub type QueryLog = Arc<dyn Fn(&FinishedQuery<'_>) + Send + Sync>;

/// What is known of a query before it runs.
#[derive(Debug, Clone)]
pub struct QueryInfo {
    /// Which way it came.
    pub kind: QueryKind,
    /// Its text.
    pub text: String,
    /// First step, Unix milliseconds.
    pub start_ms: i64,
    /// Last step, Unix milliseconds.
    pub end_ms: i64,
    /// Distance of steps in milliseconds; 0 for a single one.
    pub step_ms: i64,
    /// Who asked.
    pub origin: QueryOrigin,
}

struct Running {
    info: QueryInfo,
    /// Unix milliseconds.
    started_at_ms: i64,
    /// Monotonic.
    started_at: Duration,
    clock: Arc<dyn Clock>,
    state: AtomicU8,
    cancel: CancelToken,
    meter: Meter,
}

/// A running query, as it was when asked.
#[derive(Debug, Clone)]
pub struct RunningQuery {
    /// Unique within this run of the process.
    pub id: u64,
    /// What was known before.
    pub info: QueryInfo,
    /// When it came, Unix milliseconds.
    pub started_at_ms: i64,
    /// How long ago that was.
    pub elapsed: Duration,
    /// What it does.
    pub state: QueryState,
    /// Whether it was told to stop.
    pub is_canceled: bool,
    /// What it has cost so far.
    pub meter: Meter,
}

struct Metrics {
    seconds: Arc<Family<Histogram>>,
    samples: Arc<Counter>,
}

#[derive(Default)]
struct Inner {
    pool: Arc<Pool>,
    next_id: AtomicU64,
    brief: Brief,
    running: Mutex<BTreeMap<u64, Arc<Running>>>,
    journal: Option<Journal>,
    metrics: Option<Metrics>,
    log: RwLock<Option<QueryLog>>,
}

/// Knows every running query. Clones are the same guard.
#[derive(Clone, Default)]
pub struct Guard {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("n_running", &self.inner.running.lock().len()).finish_non_exhaustive()
    }
}

impl Guard {
    /// A guard that lets all queries together hold `total_bytes` and writes those that run into `dir`. Returns, too, the queries
    /// that ran when the last process died, each as `<start, Unix ms> "<text>"`.
    #[must_use]
    pub fn open(total_bytes: u64, dir: Arc<dyn Dir>, registry: &Registry) -> (Self, Vec<String>) {
        let (journal, unfinished) = Journal::open(dir);
        let metrics = Metrics {
            seconds: registry.seconds(
                "prometheus_engine_query_duration_seconds",
                "Query timings, by what was done: queue_time, inner_eval.",
                &["slice"],
            ),
            samples: registry.counter(
                "prometheus_engine_query_samples_total",
                "The total number of samples loaded by all queries.",
            ),
        };
        let pool = Arc::new(Pool::new(total_bytes));
        let (journal, metrics) = (Some(journal), Some(metrics));
        let inner = Arc::new(Inner { pool, journal, metrics, ..Inner::default() });
        let (of_count, of_bytes) = (Arc::clone(&inner), Arc::clone(&inner.pool));
        registry.gauge_fn(
            "prometheus_engine_queries",
            "The current number of queries being executed or waiting.",
            move || of_count.running.lock().len() as f64,
        );
        registry.gauge_fn(
            "hinomi_engine_queries_memory_bytes",
            "Memory set aside for running queries, out of --query.total-memory-bytes.",
            move || of_bytes.used_bytes() as f64,
        );
        (Self { inner }, unfinished)
    }

    /// A query begins. It is listed until the ticket is dropped, but not yet in the file: see [`Ticket::write_down`].
    #[must_use]
    pub fn begin(&self, info: QueryInfo, clock: &Arc<dyn Clock>) -> Ticket {
        let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let running = Arc::new(Running {
            started_at_ms: clock.now_ms(),
            started_at: clock.monotonic(),
            clock: Arc::clone(clock),
            state: AtomicU8::new(QueryState::Queued as u8),
            cancel: CancelToken::new(),
            meter: Meter::of(&self.inner.pool),
            info,
        });
        self.inner.running.lock().insert(id, Arc::clone(&running));
        Ticket { id, running, guard: self.clone(), is_written: false }
    }

    /// Whether the query of this text cost at most [`BRIEF_COST_MAX`] when it ran last, as far as is remembered.
    #[must_use]
    pub fn is_brief(&self, text: &str) -> bool {
        self.inner.brief.knows(text)
    }

    /// Remembers whether the query of this text was brief.
    pub fn set_brief(&self, text: &str, is_brief: bool) {
        self.inner.brief.remember(text, is_brief);
    }

    /// From now on `log` is told of every query that is over.
    pub fn set_log(&self, log: Option<QueryLog>) {
        *self.inner.log.write() = log;
    }

    /// Memory set aside for running queries, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.inner.pool.used_bytes()
    }

    /// Every query that runs or waits, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<RunningQuery> {
        let running = self.inner.running.lock().clone();
        let shown = |(id, running): (u64, Arc<Running>)| RunningQuery {
            id,
            info: running.info.clone(),
            started_at_ms: running.started_at_ms,
            elapsed: running.clock.monotonic().saturating_sub(running.started_at),
            state: QueryState::from_code(running.state.load(Ordering::Relaxed)),
            is_canceled: running.cancel.is_canceled(),
            meter: running.meter.clone(),
        };
        running.into_iter().map(shown).collect()
    }

    /// Tells the query `id` to stop; false when it does not run.
    #[must_use]
    pub fn cancel(&self, id: u64) -> bool {
        let found = self.inner.running.lock().get(&id).cloned();
        found.inspect(|running| running.cancel.cancel()).is_some()
    }
}

/// A query's place in the list; dropping it ends it.
#[derive(Debug)]
pub struct Ticket {
    id: u64,
    running: Arc<Running>,
    guard: Guard,
    /// It is in the file, and its end must be.
    is_written: bool,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Ticket {
    /// What was known of it before.
    #[must_use]
    pub fn info(&self) -> &QueryInfo {
        &self.running.info
    }

    /// Writes it into the file of those that run, for the next start. Not for brief ones, which cannot do harm and would spend a good
    /// part of their time there.
    pub fn write_down(&mut self) {
        let Some(journal) = &self.guard.inner.journal else { return };
        if !self.is_written {
            self.is_written = true;
            journal.begin(self.id, self.running.started_at_ms, &self.running.info.text);
        }
    }

    /// Stops it.
    #[must_use]
    pub fn cancel_token(&self) -> CancelToken {
        self.running.cancel.clone()
    }

    /// Counts its cost.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.running.meter.clone()
    }

    /// Says what it does now.
    pub fn set_state(&self, state: QueryState) {
        self.running.state.store(state as u8, Ordering::Relaxed);
    }

    /// How long ago it began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.running.clock.monotonic().saturating_sub(self.running.started_at)
    }

    /// Counts and logs it, once it is evaluated or has failed.
    pub fn evaluated(&self, queued: Duration, evaluated: Duration, error: Option<&str>) {
        if let Some(metrics) = &self.guard.inner.metrics {
            metrics.seconds.with(&["queue_time"]).observe(queued.as_secs_f64());
            metrics.seconds.with(&["inner_eval"]).observe(evaluated.as_secs_f64());
            metrics.samples.add(self.running.meter.n_samples());
        }
        let log = self.guard.inner.log.read().clone();
        if let Some(log) = log {
            log(&FinishedQuery {
                info: &self.running.info,
                queued,
                evaluated,
                meter: &self.running.meter,
                error,
            });
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let inner = &self.guard.inner;
        inner.running.lock().remove(&self.id);
        if let Some(journal) = inner.journal.as_ref().filter(|_| self.is_written) {
            journal.end(self.id);
        }
    }
}
