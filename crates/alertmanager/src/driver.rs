//! The only part that awaits: carries out the core's actions and writes its journal.
//!
//! In from the binary, which spawns it; out through [`crate::notify`] to receivers and through `state` to disk.
//! One task. Attempts run beside it and report back; the file is synced beside it too.

use std::collections::BTreeSet;
use std::iter;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};
use stdx::dir::SubDir;
use stdx::metrics::{Family, Gauge};
use stdx::{Clock, Dir};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::cluster::{self, Cluster, ClusterOptions, Prepared};
use crate::config::{Config, ConfigError};
use crate::dispatch::{Action, Core, CoreOptions, Counts, JobId};
use crate::events::{EventRecorder, NewOutputs, Teller, What};
use crate::handle::Handle;
use crate::history::{History, HistoryLimits};
use crate::hosts::{Host, Samples};
use crate::limits::Limits;
use crate::metrics::{MetricDetail, Metrics};
use crate::notification::{Outcome, Reason};
use crate::notify::Notifier;
use crate::record::Record;
use crate::state::Store;
use crate::trying::Tests;

/// The longest sleep: the wall clock may be set while we wait, and nothing tells us.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// How long what was appended may wait to be synced.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// How often gauges are brought up to date.
const GAUGES_INTERVAL: Duration = Duration::from_secs(10);
/// How long attempts under way may take to end at shutdown; the whole program has five seconds.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// What the alertmanager is built from.
#[derive(Debug)]
pub struct Options {
    /// Checked; see [`Config::load`] and [`Config::builtin`].
    pub config: Config,
    /// Where the state file is kept, for this process alone.
    pub dir: Arc<dyn Dir>,
    /// Where files that the configuration names are read, usually `DiskDir::anywhere()`.
    pub files: Arc<dyn Dir>,
    /// Reads time.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are declared.
    pub registry: stdx::metrics::Registry,
    /// Where people reach the web page; links in messages begin with it. Without a slash at the end.
    pub external_url: String,
    /// How long silences are kept after their end; Alertmanager's default is 120h.
    pub retention: model::Duration,
    /// No group is notified before this long after the start, so that alerts can gather.
    pub start_delay: model::Duration,
    /// What `GET /api/v2/status` says about the program.
    pub build: BuildInfo,
    /// How much is kept.
    pub limits: Limits,
    /// Whether changes of silences are said in the log.
    pub logs_silences: bool,
    /// How to share silences and the notification log with other managers; `None` to run alone.
    pub cluster: Option<ClusterOptions>,
    /// Which labels metrics have besides the usual ones.
    pub metric_detail: MetricDetail,
    /// What this instance is called in recorded events: the host's name.
    pub instance: String,
    /// Knows which hosts send samples, where the configuration names nobody; `None` for a program without a store.
    pub samples: Option<Arc<dyn Samples>>,
}

/// About the program, for `GET /api/v2/status`.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "named as in the answer")]
pub struct BuildInfo {
    pub version: String,
    pub revision: String,
    pub branch: String,
    pub build_user: String,
    pub build_date: String,
    /// Shown as `goVersion`, which clients require.
    pub compiler: String,
}

/// The core and its file, always changed together.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) core: Core,
    pub(crate) store: Store,
}

/// What handles and the driver share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inner: Mutex<Inner>,
    pub(crate) notifier: RwLock<Arc<Notifier>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) files: Arc<dyn Dir>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) history: Arc<History>,
    pub(crate) events: EventRecorder,
    pub(crate) tests: Mutex<Tests>,
    pub(crate) external_url: String,
    pub(crate) build: BuildInfo,
    pub(crate) started_at_ms: i64,
    pub(crate) logs_silences: bool,
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) samples: Option<Arc<dyn Samples>>,
    pub(crate) wake: Notify,
    pub(crate) stop: CancellationToken,
    pub(crate) task: Mutex<Option<JoinHandle<()>>>,
}

impl Shared {
    /// Runs `change` on the core and writes down what it did, before anybody hears of it. Wakes the driver.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Core, i64) -> T) -> T {
        let now_ms = self.clock.now_ms();
        let mut inner = self.inner.lock();
        let answer = change(&mut inner.core, now_ms);
        let journal = inner.core.take_journal();
        let Inner { core, store } = &mut *inner;
        store.append(core, &journal, now_ms);
        self.spread(&journal);
        self.history.offer(core.take_events());
        self.events.offer(core.take_notes());
        drop(inner);
        self.wake.notify_one();
        answer
    }

    /// Tells other managers what happened here. Under the core's lock, so that it is told in order.
    fn spread(&self, journal: &[Record]) {
        if let Some(cluster) = &self.cluster {
            cluster.spread(journal);
        }
    }

    /// Runs `look` on the core.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Core, i64) -> T) -> T {
        look(&self.inner.lock().core, self.clock.now_ms())
    }
}

/// Starts the alertmanager on the current tokio runtime.
///
/// State from the last run is put back first; damaged state is set aside and named, never an error.
///
/// # Errors
/// When a template or a certificate of the configuration, or an option of the cluster, is not usable.
pub fn spawn(options: Options) -> Result<Handle, ConfigError> {
    let metrics = Arc::new(Metrics::with_detail(&options.registry, options.metric_detail));
    options.config.require_samples(options.samples.is_some())?;
    let notifier = Notifier::new(&options.config, &options.external_url, Arc::clone(&options.files))?;
    let now_ms = options.clock.now_ms();
    let config = Arc::new(options.config);
    metrics.know(&config, now_ms);
    metrics.keeping.per_name_limit.set(options.limits.alerts_per_name_max as f64);
    let core_options = CoreOptions {
        retention_ms: options.retention.as_ms(),
        start_ms: now_ms.saturating_add(options.start_delay.as_ms()),
        limits: options.limits,
    };
    let mut core = Core::new(config, core_options, Arc::clone(&metrics));
    let history = open_history(&options.dir, options.limits, &options.registry);
    let outputs = NewOutputs::new(&core.config.events)?;
    let build = format!(
        "(compiler={}, user={}, date={}, revision={})",
        options.build.compiler, options.build.build_user, options.build.build_date, options.build.revision
    );
    core.note_life(What::Started { version: options.build.version.clone(), build }, now_ms);
    let store = Store::open(options.dir, &mut core, Arc::clone(&metrics), now_ms);
    core.know_what_stands(now_ms);
    let (clock, registry) = (Arc::clone(&options.clock), &options.registry);
    let joined = options.cluster.map(|own| cluster::prepare(own, clock, registry, &core)).transpose()?;
    let cluster = joined.as_ref().map(|joined| Arc::clone(&joined.cluster));
    metrics.cluster_enabled.set(f64::from(u8::from(cluster.is_some())));
    let others = cluster.clone();
    let position = Box::new(move || others.as_ref().map_or(0, |cluster| cluster.position()));
    let teller = Teller { instance: options.instance, position };
    let events = EventRecorder::start(outputs, Arc::clone(&options.files), teller, registry);
    let mut inner = Inner { core, store };
    if let Some(joined) = &joined {
        joined.cluster.set_turn(&mut inner);
    }
    let shared = Arc::new(Shared {
        inner: Mutex::new(inner),
        notifier: RwLock::new(Arc::new(notifier)),
        clock: options.clock,
        files: options.files,
        metrics,
        history: Arc::new(history),
        events,
        tests: Mutex::default(),
        external_url: options.external_url,
        build: options.build,
        started_at_ms: now_ms,
        logs_silences: options.logs_silences,
        cluster,
        samples: options.samples,
        wake: Notify::new(),
        stop: CancellationToken::new(),
        task: Mutex::new(None),
    });
    let speaking = joined.map(|joined| {
        let Prepared { cluster, listener, web, server_metrics } = joined;
        tokio::spawn(cluster.run(Arc::clone(&shared), listener, web, server_metrics))
    });
    let task = tokio::spawn(run(Arc::clone(&shared), speaking));
    *shared.task.lock() = Some(task);
    Ok(Handle::new(shared))
}

fn open_history(dir: &Arc<dyn Dir>, limits: Limits, registry: &stdx::metrics::Registry) -> History {
    let limits = HistoryLimits { keep_ms: limits.history_keep.as_ms(), bytes_max: limits.history_bytes_max };
    History::open(Arc::new(SubDir::new(Arc::clone(dir), "history")), limits, registry)
}

/// What a task beside the core came to.
enum Done {
    Attempt(JobId, Outcome),
    Hosts(Vec<(Host, Option<bool>)>),
}

type Attempts = JoinSet<Done>;

async fn run(shared: Arc<Shared>, speaking: Option<JoinHandle<()>>) {
    let mut attempts = Attempts::new();
    let mut syncing: Option<JoinHandle<()>> = None;
    let (mut last_sync, mut last_gauges) = (Duration::ZERO, None);
    loop {
        let actions = shared.poll();
        for action in actions {
            start(&shared, &mut attempts, action);
        }
        let now = shared.clock.monotonic();
        if last_gauges.is_none_or(|last| now.saturating_sub(last) >= GAUGES_INTERVAL) {
            shared.set_gauges();
            last_gauges = Some(now);
        }
        if now.saturating_sub(last_sync) >= SYNC_INTERVAL
            && syncing.as_ref().is_none_or(JoinHandle::is_finished)
        {
            syncing = shared.sync_files();
            last_sync = now;
            rewrite_state(&shared);
        }
        tokio::select! {
            () = shared.stop.cancelled() => break,
            () = shared.wake.notified() => {}
            () = tokio::time::sleep(shared.sleep()) => {}
            Some(done) = attempts.join_next() => shared.finish(done),
        }
    }
    drain(&shared, attempts).await;
    if let Some(speaking) = speaking {
        let _ = speaking.await;
    }
}

/// Writes the state file anew where it has grown long, beside everything else.
fn rewrite_state(shared: &Arc<Shared>) {
    let Some(mut rewrite) = shared.inner.lock().store.begin_rewrite() else { return };
    let (shared, dir) = (Arc::clone(shared), Arc::clone(&rewrite.dir));
    tokio::task::spawn_blocking(move || {
        let write = || {
            loop {
                let inner = shared.inner.lock();
                let is_more = rewrite.take(&inner.core, shared.clock.now_ms());
                // Whoever waits comes first.
                MutexGuard::unlock_fair(inner);
                rewrite.write()?;
                if !is_more {
                    return rewrite.sync().map(|()| rewrite);
                }
            }
        };
        let written = write();
        shared.inner.lock().store.end_rewrite(written);
        if let Err(err) = dir.sync_dir(Path::new("")) {
            tracing::error!(error = %err, "cannot sync the directory of the alertmanager's state");
            shared.metrics.state_failures.inc();
        }
    });
}

/// Lets attempts under way end, then writes everything down.
async fn drain(shared: &Shared, mut attempts: Attempts) {
    shared.inner.lock().core.stop();
    let all = async {
        while let Some(done) = attempts.join_next().await {
            shared.finish(done);
        }
    };
    if tokio::time::timeout(DRAIN_TIMEOUT, all).await.is_err() {
        tracing::warn!(
            attempts = attempts.len(),
            "notifications were under way at shutdown; they are sent again at the next start"
        );
    }
    let now_ms = shared.clock.now_ms();
    {
        let mut inner = shared.inner.lock();
        let Inner { core, store } = &mut *inner;
        store.close(core, now_ms);
        shared.history.offer(core.take_events());
        core.note_life(What::Stopped, now_ms);
        shared.events.offer(core.take_notes());
    }
    shared.history.flush(now_ms);
    shared.events.close().await;
}

fn start(shared: &Arc<Shared>, attempts: &mut Attempts, action: Action) {
    let notifier = Arc::clone(&shared.notifier.read());
    let (job, integration, notification, deadline_ms) = match action {
        Action::Send { job, integration, notification, deadline_ms } => {
            (job, integration, notification, deadline_ms)
        }
        Action::AskHosts { hosts, fresh } => {
            let named = notifier.samples.clone().map(|remote| remote as Arc<dyn Samples>);
            let samples = named.or_else(|| shared.samples.clone());
            attempts.spawn(async move { Done::Hosts(ask(samples, hosts, fresh).await) });
            return;
        }
    };
    let left_ms = deadline_ms.saturating_sub(shared.clock.now_ms()).max(1);
    let timeout = Duration::from_millis(left_ms.unsigned_abs());
    let (clock, metrics) = (Arc::clone(&shared.clock), Arc::clone(&shared.metrics));
    attempts.spawn(async move {
        let began = clock.monotonic();
        let receiving = Arc::clone(&integration);
        // A task of its own, so that a panic of one receiver is one failed attempt.
        let attempt = tokio::spawn(async move { notifier.send(&integration, &notification, timeout).await });
        let outcome = attempt.await.unwrap_or_else(|err| Outcome::Failed {
            is_retryable: false,
            reason: Reason::Other,
            message: format!("the attempt broke off: {err}"),
            wait_ms: 0,
        });
        let took = clock.monotonic().saturating_sub(began);
        metrics.deliveries.note_latency(&receiving, took.as_secs_f64());
        Done::Attempt(job, outcome)
    });
}

/// Asks about one host after another; one failure is enough to know that nobody answers now.
async fn ask(
    samples: Option<Arc<dyn Samples>>,
    hosts: Vec<Host>,
    fresh: Duration,
) -> Vec<(Host, Option<bool>)> {
    let mut answers = Vec::with_capacity(hosts.len());
    let mut samples = samples;
    for host in hosts {
        let is_active = match &samples {
            Some(asked) => asked.is_active(&host, fresh).await.map(Some).unwrap_or_else(|err| {
                tracing::warn!(host = %host.value, error = %err,
                    "cannot find out whether a host is active; no success is said for its alerts meanwhile");
                None
            }),
            None => None,
        };
        if is_active.is_none() {
            samples = None;
        }
        answers.push((host, is_active));
    }
    answers
}

impl Shared {
    fn poll(&self) -> Vec<Action> {
        let now_ms = self.clock.now_ms();
        let mut inner = self.inner.lock();
        let actions = inner.core.poll(now_ms);
        let journal = inner.core.take_journal();
        let Inner { core, store } = &mut *inner;
        store.append(core, &journal, now_ms);
        self.spread(&journal);
        self.history.offer(core.take_events());
        self.events.offer(core.take_notes());
        actions
    }

    fn finish(&self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Hosts(answers)) => self.change(|core, now_ms| core.on_hosts(answers, now_ms)),
            Ok(Done::Attempt(job, outcome)) => {
                self.change(|core, now_ms| core.on_outcome(job, &outcome, now_ms));
            }
            // The task does nothing that panics; an attempt that does is caught above.
            Err(err) => tracing::error!(error = %err, "a notification attempt was lost"),
        }
    }

    fn sleep(&self) -> Duration {
        let inner = self.inner.lock();
        let wait_ms = inner.core.next_deadline_ms().saturating_sub(self.clock.now_ms());
        let max = if inner.store.is_dirty() || self.history.is_dirty() { SYNC_INTERVAL } else { SLEEP_MAX };
        Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)).min(max)
    }

    /// Makes durable what was appended, and writes what waits for the history, beside everything else.
    fn sync_files(&self) -> Option<JoinHandle<()>> {
        let file = self.inner.lock().store.take_unsynced();
        let history = self.history.is_dirty().then(|| Arc::clone(&self.history));
        if file.is_none() && history.is_none() {
            return None;
        }
        let (metrics, now_ms) = (Arc::clone(&self.metrics), self.clock.now_ms());
        Some(tokio::task::spawn_blocking(move || {
            if let Some(Err(err)) = file.map(|mut file| file.sync()) {
                tracing::error!(error = %err, "cannot sync the alertmanager's state");
                metrics.state_failures.inc();
            }
            if let Some(history) = history {
                history.flush(now_ms);
            }
        }))
    }

    fn set_gauges(&self) {
        let (mut counts, mut after) = (Counts::default(), None);
        loop {
            let mut inner = self.inner.lock();
            let (more, last) = inner.core.look_around(after, self.clock.now_ms());
            self.history.offer(inner.core.take_events());
            // Whoever waits comes first.
            MutexGuard::unlock_fair(inner);
            counts += more;
            after = last;
            if after.is_none() {
                break;
            }
        }
        self.look(|core, now_ms| {
            let metrics = &self.metrics;
            if !metrics.detail.group_keys {
                set_states(&metrics.alerts, &counts, None);
            }
            for state in ["active", "pending", "expired"] {
                let n =
                    core.silences.iter().filter(|silence| silence.state_at(now_ms).text() == state).count();
                metrics.silences.with(&[state]).set(n as f64);
            }
            metrics.keeping.silences_kept.set(core.silences.iter().count() as f64);
            metrics.on_call.acknowledged.set(core.n_held(now_ms) as f64);
            metrics.groups.set(core.n_groups() as f64);
            metrics.log_entries.set(core.nflog.len() as f64);
        });
        if self.metrics.detail.group_keys {
            self.set_group_gauges();
        }
    }

    /// Alerts by state and group; of groups that are gone nothing is left.
    fn set_group_gauges(&self) {
        let (mut keys, mut after) = (BTreeSet::new(), None);
        loop {
            let inner = self.inner.lock();
            let (groups, last) = inner.core.count_groups(after.as_ref(), self.clock.now_ms());
            // Whoever waits comes first.
            MutexGuard::unlock_fair(inner);
            for (key, counts) in groups {
                set_states(&self.metrics.alerts, &counts, Some(&key));
                keys.insert(key);
            }
            after = last;
            if after.is_none() {
                break;
            }
        }
        self.metrics.alerts.retain(|values| keys.contains(&values[1]));
    }
}

/// How many alerts, of all or of one group.
fn set_states(alerts: &Family<Gauge>, counts: &Counts, group_key: Option<&str>) {
    for (state, n_alerts) in [("active", counts.n_active), ("suppressed", counts.n_suppressed)] {
        let labels: Vec<&str> = iter::once(state).chain(group_key).collect();
        alerts.with(&labels).set(f64::from(n_alerts));
    }
}
