//! Runs the scrapes: the one module of this crate that awaits.
//!
//! One task per target sleeps until its schedule says so, fetches, and reads and stores the page ([`crate::record`]), a large one
//! on a blocking thread. One task per job asks discovery. A reload touches only what it changes.
//! Invariant: after [`Manager::stop`] returned, nothing of this crate runs or writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use discovery::{Owner, Subscription};
use net::Line;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};
use url::Url;
use wire::exposition::diff::Blocks;

use crate::config::{GlobalConfig, ScrapeConfig, ScrapeConfigFile};
use crate::failures::{self, FailureLogs};
use crate::fetch::{FetchError, Page, Question};
use crate::lanes::Lanes;
use crate::local::LocalTarget;
use crate::metrics::ScrapeMetrics;
use crate::options::ManagerOptions;
use crate::pool::{Pool, Source, TargetState};
use crate::record;
use crate::schedule::{Schedule, Step, fnv1a};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::target::Target;
use crate::view::View;

/// Longest sleep, so that a wall clock that was set is noticed. Chosen.
const SLEEP_MS_MAX: i64 = 10_000;
/// How long [`Manager::stop`] waits for pages that are being stored.
const STOP_TIMEOUT: StdDuration = StdDuration::from_secs(4);
/// Pages being read at once are as many as there are processors, but no more than this. Chosen.
const INGESTS_MAX: usize = 16;
/// Between two looks at what discovery says. Chosen: a service that changes all the time costs one round of relabelling a second.
const SYNC_PAUSE: StdDuration = StdDuration::from_secs(1);
/// Largest body, as sent, that is read and stored where it arrived, in bytes. Chosen: under a millisecond of work once its series are
/// known; larger ones go to a blocking thread, so that they do not hold up others.
const INLINE_BYTES_MAX: usize = 256 << 10;

/// Why a configuration was not taken. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// A job's settings make no client.
    #[error("error creating HTTP client for scrape config with job name {job:?}: {why}")]
    Client {
        /// Which job.
        job: String,
        /// What is wrong.
        why: net::BuildError,
    },
    /// A file for failed scrapes.
    #[error("scrape_failure_log_file: cannot open {}: {why}", path.display())]
    FailureLog {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: std::io::Error,
    },
}

/// Runs all scrapes of a server. Must be used within a tokio runtime.
pub struct Manager {
    shared: Arc<Shared>,
    runtime: Handle,
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager").field("view", &self.view()).finish_non_exhaustive()
    }
}

impl Manager {
    /// A manager without targets.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(options: ManagerOptions) -> Self {
        let n_ingests = std::thread::available_parallelism().map_or(2, usize::from).min(INGESTS_MAX);
        let seed = fnv1a(&[options.host_name.as_bytes()]);
        let runtime = Handle::current();
        Self {
            shared: Arc::new(Shared {
                metrics: Arc::new(ScrapeMetrics::new(&options.registry)),
                options,
                pools: RwLock::default(),
                locals: RwLock::default(),
                seed: RwLock::new(seed),
                ingests: Arc::new(Semaphore::new(n_ingests)),
                buffers: Arc::default(),
                blocks: Arc::new(Blocks::new()),
                tools: Mutex::default(),
                failure_logs: FailureLogs::default(),
                lanes: Lanes::start(&runtime),
                tasks: TaskTracker::new(),
                stopping: CancellationToken::new(),
            }),
            runtime,
        }
    }

    /// What the API shows.
    #[must_use]
    pub fn view(&self) -> View {
        View { shared: Arc::clone(&self.shared) }
    }

    /// Adds a target inside this process and begins to scrape it. It stays through every reload.
    pub fn add_local(&self, local: LocalTarget) {
        let file: ScrapeConfigFile = model::yaml::parse("local", &format!("job_name: {:?}", local.job))
            .expect("a job with nothing but a name");
        let mut config = file
            .resolve(&GlobalConfig::default(), std::path::Path::new(""))
            .expect("a job with nothing but a name fits the defaults");
        config.honor_labels = local.honor_labels;
        config.scrape_interval = local.interval;
        config.scrape_timeout = config.scrape_timeout.min(local.interval);
        let settings = Arc::new(Settings::new(config, false).expect("a client without files cannot fail"));
        let pool = Arc::new(Pool::new(&local.job, Arc::clone(&settings), self.shared.stopping.child_token()));
        let mut labels = local.labels.to_builder();
        labels.set("job", &local.job);
        let labels = labels.build();
        let target = Target {
            discovered: labels.clone(),
            hash: fnv1a(&[labels.to_string().as_bytes(), local.shown_url.as_bytes()]),
            labels,
            url: Url::parse("local:///").expect("a constant"),
            shown_url: local.shown_url,
            interval: settings.config.scrape_interval,
            timeout: settings.config.scrape_timeout,
            histograms: settings.config.histograms,
        };
        let hash = target.hash;
        let source = Source::Local(local.source, local.natives);
        let told = self.shared.metrics.pools.told(&local.job);
        let gone = pool.gone.child_token();
        let state = TargetState::new(target, source, settings, (&self.shared.blocks, told), gone);
        let state = Arc::new(state);
        pool.state.lock().targets.insert(hash, Arc::clone(&state));
        self.shared.locals.write().push(Arc::clone(&pool));
        self.shared.metrics.pools.targets.with(&[&local.job]).set(1.0);
        spawn_loop(&self.shared, pool, state);
    }

    /// Takes away the local target of `job`, if there is one; its series end with staleness markers.
    pub fn remove_local(&self, job: &str) {
        self.shared.locals.write().retain(|pool| {
            let stays = pool.job != job;
            if !stays {
                pool.gone.cancel();
                self.shared.metrics.pools.forget(job);
            }
            stays
        });
    }

    /// Makes `jobs` what is scraped. Jobs that did not change go on undisturbed; of changed ones, targets that stay
    /// keep their history; those that are gone end with staleness markers.
    ///
    /// # Errors
    /// When a job's TLS files cannot be used, or a file for failed scrapes cannot be opened; then nothing has changed.
    pub fn apply_config(&self, jobs: &[ScrapeConfig], global: &GlobalConfig) -> Result<(), ApplyError> {
        let extra = self.shared.options.features.extra_scrape_metrics;
        let mut jobs = jobs.to_vec();
        for job in &mut jobs {
            job.extra_scrape_metrics = job.extra_scrape_metrics.or(Some(extra));
        }
        let jobs = &jobs[..];
        let mut fresh = Vec::new();
        for config in jobs {
            let known = self.shared.pools.read().get(&config.job).cloned();
            let is_same = known.as_ref().is_some_and(|pool| pool.settings.load().config == *config);
            if !is_same {
                let settings = Settings::new(config.clone(), self.shared.options.starts.is_on())
                    .map_err(|why| ApplyError::Client { job: config.job.clone(), why })?;
                fresh.push((known, Arc::new(settings)));
            }
        }
        let opened = failures::open(jobs, &*self.shared.options.dir)
            .map_err(|(path, why)| ApplyError::FailureLog { path, why })?;
        self.shared.failure_logs.replace(opened);
        *self.shared.seed.write() =
            fnv1a(&[self.shared.options.host_name.as_bytes(), global.external_labels.to_string().as_bytes()]);
        self.shared.pools.write().retain(|name, pool| {
            let is_wanted = jobs.iter().any(|config| config.job == *name);
            if !is_wanted {
                pool.gone.cancel();
                self.shared.metrics.pools.forget(name);
                self.shared.options.discovery.forget(&owner(name));
            }
            is_wanted
        });
        for (known, settings) in fresh {
            self.start_pool(known, settings);
        }
        Ok(())
    }

    /// Starts a job, or gives `known` its changed settings: its targets go on, and discovery begins anew.
    fn start_pool(&self, known: Option<Arc<Pool>>, settings: Arc<Settings>) {
        let job = settings.config.job.clone();
        let pool = match known {
            Some(known) => {
                self.shared.metrics.pools.reloads.inc();
                known.settings.store(Arc::clone(&settings));
                known
            }
            None => {
                self.shared.metrics.pools.begun.inc();
                Arc::new(Pool::new(&job, Arc::clone(&settings), self.shared.stopping.child_token()))
            }
        };
        self.shared.pools.write().insert(job, Arc::clone(&pool));
        let owner = owner(&pool.job);
        let subscribe = |sd| self.shared.options.discovery.subscribe(sd, &owner);
        // Taken before those of before the reload are dropped, so that what did not change goes on.
        let sources: Vec<Subscription> = settings.config.sd.iter().map(subscribe).collect();
        let token = pool.begin_discovery(sources.iter().map(Subscription::health).collect());
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn_on(discover(shared, pool, sources, token), &self.runtime);
    }

    /// Stops everything and waits until pages that are being stored are. Writes no staleness markers: after a restart
    /// the series go on.
    pub async fn stop(&self) {
        self.shared.stopping.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("scrapes did not stop in time");
        }
        self.shared.lanes.stop();
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.shared.stopping.cancel();
        self.shared.lanes.stop();
    }
}

fn spawn_loop(shared: &Arc<Shared>, pool: Arc<Pool>, state: Arc<TargetState>) {
    let lane = shared.lanes.of(state.target.lock().hash);
    shared.tasks.spawn_on(run(Arc::clone(shared), pool, state), lane);
}

/// Who asks for the targets of a job.
fn owner(job: &str) -> Owner {
    Owner { name: "scrape", config: job.to_owned() }
}

/// Follows the sources of one job until `token` says that it is over.
async fn discover(
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    mut sources: Vec<Subscription>,
    token: CancellationToken,
) {
    loop {
        let answers = sources.iter_mut().map(Subscription::take).collect();
        pool.take_groups(&token, answers);
        let (worker, worked_on) = (Arc::clone(&shared), Arc::clone(&pool));
        let began = shared.options.clock.monotonic();
        // Relabelling ten thousand targets takes its time.
        let synced =
            tokio::task::spawn_blocking(move || worked_on.sync(&worker.metrics, &worker.blocks)).await;
        match synced {
            Ok((started, n_discovered)) => {
                shared
                    .metrics
                    .pools
                    .synced(&pool.job, shared.options.clock.monotonic().saturating_sub(began));
                shared.options.discovery.note_targets(&owner(&pool.job), n_discovered);
                for state in started {
                    spawn_loop(&shared, Arc::clone(&pool), state);
                }
            }
            Err(err) => {
                tracing::error!(scrape_pool = pool.job, error = %err, "targets stay as they are");
            }
        }
        let paused = async {
            tokio::time::sleep(SYNC_PAUSE).await;
            if sources.is_empty() {
                std::future::pending::<()>().await;
            }
            let changes = sources.iter_mut().map(|source| Box::pin(source.changed()));
            futures_util::future::select_all(changes).await;
        };
        if token.run_until_cancelled(paused).await.is_none() {
            return;
        }
    }
}

fn millis(ms: i64) -> StdDuration {
    StdDuration::from_millis(ms.max(0).unsigned_abs())
}

/// Scrapes one target until it is gone.
async fn run(shared: Arc<Shared>, pool: Arc<Pool>, state: Arc<TargetState>) {
    let clock = Arc::clone(&shared.options.clock);
    let schedule_of = |shared: &Shared, is_start: bool| {
        let target = Arc::clone(&state.target.lock());
        let hash = target.hash ^ *shared.seed.read();
        match state.source {
            Source::Local(..) if is_start => {
                Schedule::with_warm_up(target.interval.as_ms(), hash, clock.now_ms())
            }
            _ => Schedule::new(target.interval.as_ms(), hash, clock.now_ms()),
        }
    };
    let intervals_of = |shared: &Shared| shared.metrics.intervals(state.target.lock().interval);
    let mut schedule = schedule_of(&shared, true);
    let mut intervals = intervals_of(&shared);
    let mut line = Line::new(Arc::clone(&shared.buffers));
    let mut question = None;
    loop {
        match schedule.poll(clock.now_ms()) {
            Step::Wait { ms } => tokio::select! {
                biased;
                () = state.gone.cancelled() => break,
                () = state.changed.notified() => {
                    let interval_ms = state.target.lock().interval.as_ms();
                    if interval_ms != schedule.interval_ms() {
                        schedule = schedule_of(&shared, false);
                        intervals = intervals_of(&shared);
                    }
                }
                () = tokio::time::sleep(millis(ms.min(SLEEP_MS_MAX))) => {}
            },
            Step::Scrape { t_ms, n_missed } => {
                shared.metrics.missed.add(n_missed);
                intervals.note(clock.monotonic());
                tokio::select! {
                    biased;
                    () = state.gone.cancelled() => break,
                    () = scrape(&shared, &pool, &state, (&mut question, &mut line), t_ms) => {}
                }
            }
        }
    }
    if !shared.stopping.is_cancelled() {
        end(&shared, &state, schedule.next_ms(), schedule.interval_ms()).await;
    }
}

/// One scrape of one target.
async fn scrape(
    shared: &Arc<Shared>,
    pool: &Arc<Pool>,
    state: &Arc<TargetState>,
    (question, line): (&mut Option<Question>, &mut Line),
    t_ms: i64,
) {
    let started = shared.options.clock.monotonic();
    let settings = pool.settings.load_full();
    let target = Arc::clone(&state.target.lock());
    let (job, url) = (settings.config.job.as_str(), target.shown_url.as_str());
    let span = info_span!(
        "scrape",
        job,
        url,
        samples_scraped = Empty,
        samples_added = Empty,
        series_added = Empty,
        bytes = Empty,
        error = Empty
    );
    let over_limit = pool.state.lock().over_limit.clone();
    let page = match (&state.source, over_limit) {
        (_, Some(reason)) => Err(FetchError::TargetLimit(reason.to_string())),
        (Source::Http, None) => {
            let known = question.take().filter(|question| question.is_of(&settings, &target));
            let asked = known.unwrap_or_else(|| Question::new(&settings, &target));
            let span = info_span!(parent: &span, "scrapeRequest", otel.kind = "client", url);
            question.insert(asked).fetch(line).instrument(span).await
        }
        (Source::Local(source, natives), None) => {
            let (source, natives) = (Arc::clone(source), natives.clone());
            let written = tokio::task::spawn_blocking(move || {
                (source(), natives.map(|natives| natives()).unwrap_or_default())
            });
            written.await.map_err(|err| FetchError::Local(err.to_string())).map(|(text, natives)| Page {
                body: bytes::Bytes::from(text).into(),
                natives,
                encoding: String::new(),
                content_type: "text/plain; version=0.0.4".to_owned(),
            })
        }
    };
    let is_small = page.as_ref().map_or(true, |page| page.body.len() <= INLINE_BYTES_MAX);
    let scrape = record::Scraped { settings, target, page, t_ms, started };
    if is_small {
        // Fast path: what takes some hundred microseconds does not wake another thread.
        let stored = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| store(shared, state, scrape))));
        if stored.is_err() {
            tracing::error!(scrape_pool = pool.job, "a scrape could not be stored: its reading panicked");
        }
        return;
    }
    let permit = Arc::clone(&shared.ingests).acquire_owned().await.expect("the semaphore is never closed");
    let (shared, state) = (Arc::clone(shared), Arc::clone(state));
    // Tracked, so that a stop waits for it even when this scrape is cut off.
    let tasks = shared.tasks.clone();
    let recorded = tasks.spawn_blocking(move || {
        let (_permit, _span) = (permit, span.entered());
        store(&shared, &state, scrape);
    });
    if let Err(err) = recorded.await {
        tracing::error!(error = %err, "a scrape could not be stored");
    }
}

fn store(shared: &Shared, state: &TargetState, scrape: record::Scraped) {
    let mut tools = shared.tools.lock().pop().unwrap_or_default();
    let logs = (&*shared.metrics, &shared.failure_logs);
    record::record(&shared.options, logs, state, scrape, &mut tools);
    shared.tools.lock().push(tools);
}

/// The target is gone: its series end with staleness markers where its next scrape would have been. Written only after
/// another interval, as in Prometheus, so that a target that comes back in the meantime, in another job or after a
/// second reload, goes on without a gap: the markers are then older than its samples, and refused.
async fn end(shared: &Arc<Shared>, state: &Arc<TargetState>, next_ms: i64, interval_ms: i64) {
    let wait_ms = next_ms - shared.options.clock.now_ms() + interval_ms + interval_ms / 10;
    tokio::select! {
        () = shared.stopping.cancelled() => return,
        () = tokio::time::sleep(millis(wait_ms)) => {}
    }
    if shared.has_successor(state) {
        return;
    }
    let (options, state) = (shared.options.clone(), Arc::clone(state));
    let ended = shared.tasks.spawn_blocking(move || record::end(&options, &state, next_ms));
    if let Err(err) = ended.await {
        tracing::error!(error = %err, "staleness markers could not be stored");
    }
}

#[cfg(test)]
mod tests;
