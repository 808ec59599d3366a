//! The queues of a configuration: which run, which stay undisturbed when it changes, and where their positions are.
//!
//! In from the binary; out to `driver`, one task for each queue. A queue is known by its name, or by its URL when it has none, so that other
//! settings may change without losing what waits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Labels, Metadata};
use net::HttpClient;
use parking_lot::Mutex;
use stdx::metrics::Registry;
use stdx::{Clock, Dir, SubDir};
use storage::Followed;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::RemoteError;
use crate::config::RemoteWriteConfig;
use crate::driver;
use crate::journal::{Journal, io};
use crate::metrics::Metrics;
use crate::position::{At, Mark, Position, Step};
use crate::shape::Shaper;

/// In the data directory.
const FOLDER: &str = "remote-write";
/// How far the horizon stays behind the clock. Chosen: nearly all scrapes are committed within it, so that nearly
/// nothing is late.
const LAG_MS: i64 = 2_000;
/// Most time of one step. Chosen: pages hold half an hour, and a restart looks through a step again.
const STEP_MS_MAX: i64 = 15 * 60 * 1_000;

/// What is known of metric families, by name.
pub type MetadataOf = Arc<dyn Fn() -> std::collections::BTreeMap<String, Metadata> + Send + Sync>;

/// What queues live on.
pub struct Env {
    /// What is sent.
    pub store: Arc<dyn Followed>,
    /// The data directory.
    pub dir: Arc<dyn Dir>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What is sent of metric families.
    pub metadata: MetadataOf,
    /// Series carry their metrics' types and units (`type-and-unit-labels`): what 2.0 says of them is what their labels say.
    pub type_and_unit_labels: bool,
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}

/// What all queues share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) env: Env,
    dir: Arc<dyn Dir>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) metrics: Metrics,
}

/// One receiver.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) shared: Arc<Shared>,
    key: String,
    /// As metrics call it: name and URL.
    names: [String; 2],
    pub(crate) config: RemoteWriteConfig,
    pub(crate) shaper: Arc<Shaper>,
    pub(crate) client: HttpClient,
    /// Also of the queue's successor, when its settings change.
    position: Arc<Mutex<Position>>,
}

/// A queue with its task.
#[derive(Debug)]
struct Running {
    queue: Arc<Queue>,
    external: Labels,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A checked configuration, ready to be taken.
#[derive(Debug)]
pub struct Prepared {
    external: Labels,
    queues: Vec<(String, RemoteWriteConfig, HttpClient)>,
}

/// Sends to every receiver of the configuration.
#[derive(Debug)]
pub struct Manager {
    shared: Arc<Shared>,
    running: Mutex<Vec<Running>>,
    /// Positions found at the start, until their queues come.
    found: Mutex<HashMap<String, Position>>,
}

impl Manager {
    /// Reads positions, and follows the store from now on: to be called before anything is committed. Without queues it costs nothing.
    ///
    /// # Errors
    /// When the disk refuses, or a position is damaged.
    pub fn open(env: Env, registry: &Registry) -> Result<Self, RemoteError> {
        let dir: Arc<dyn Dir> = Arc::new(SubDir::new(Arc::clone(&env.dir), FOLDER));
        let found = read_positions(&*dir)?;
        let last_known = found.values().map(Position::last_segment).max().unwrap_or(0);
        let journal = Arc::new(Journal::open(Arc::clone(&dir), last_known, registry)?);
        env.store.follow(journal.clone());
        let shared = Arc::new(Shared { env, dir, journal, metrics: Metrics::register(registry) });
        Ok(Self { shared, running: Mutex::default(), found: Mutex::new(found) })
    }

    /// Makes what can fail.
    ///
    /// # Errors
    /// When a TLS file cannot be read.
    pub fn prepare(&self, configs: &[RemoteWriteConfig], external: &Labels) -> Result<Prepared, RemoteError> {
        let mut queues: Vec<(String, RemoteWriteConfig, HttpClient)> = Vec::new();
        for config in configs {
            let client = HttpClient::reaching(&config.http, config.signing.as_ref(), config.reach.clone())
                .map_err(|source| RemoteError::Client { url: shown(config), source })?;
            let n_before = queues.iter().filter(|(_, other, _)| is_same_place(other, config)).count();
            let key = match config.name.as_str() {
                "" => format!("url {} {n_before}", config.url),
                name => format!("name {name}"),
            };
            queues.push((key, config.clone(), client));
        }
        Ok(Prepared { external: external.clone(), queues })
    }

    /// Runs the queues of `prepared`. Those whose settings are the same are left alone; those that are gone are forgotten, with what
    /// they had not sent.
    ///
    /// # Errors
    /// When the position of a new queue cannot be written; that queue does not run then.
    pub fn take(&self, prepared: Prepared) -> Result<(), RemoteError> {
        let Prepared { external, queues } = prepared;
        let mut running = self.running.lock();
        let mut old: HashMap<String, Running> =
            running.drain(..).map(|one| (one.queue.key.clone(), one)).collect();
        let mut failed = None;
        if !queues.is_empty() {
            self.raise_to_found();
        }
        for (key, config, client) in queues {
            let before = old.remove(&key);
            if let Some(before) = before {
                if before.queue.config == config && before.external == external {
                    running.push(before);
                    continue;
                }
                before.stop.cancel();
                let position = Arc::clone(&before.queue.position);
                running.push(self.start(key, config, client, &external, position, Some(before.task)));
                continue;
            }
            match self.position_of(&key) {
                Ok(position) => running.push(self.start(key, config, client, &external, position, None)),
                Err(err) => failed = Some(err),
            }
        }
        let wants_exemplars = running.iter().any(|one| one.queue.shaper.exemplars);
        self.shared.journal.want_exemplars(wants_exemplars);
        let is_idle = running.is_empty();
        drop(running);
        self.forget(old, is_idle);
        failed.map_or(Ok(()), Err)
    }

    /// Stops all queues; what they have not sent waits for the next start.
    pub async fn stop(&self) {
        let running: Vec<Running> = self.running.lock().drain(..).collect();
        running.iter().for_each(|one| one.stop.cancel());
        for one in running {
            let _ = one.task.await;
        }
    }

    /// The horizon as the last run left it: samples that come now for a time before it are late.
    fn raise_to_found(&self) {
        if let Some(horizon_ms) = self.found.lock().values().map(Position::horizon_ms).max() {
            self.shared.journal.raise(&*self.shared.env.store, horizon_ms);
        }
    }

    /// Where the queue was, or from where a new one begins: what comes from now on.
    fn position_of(&self, key: &str) -> Result<Arc<Mutex<Position>>, RemoteError> {
        if let Some(position) = self.found.lock().remove(key) {
            return Ok(Arc::new(Mutex::new(position)));
        }
        let (done_ms, mark) = self.shared.raise();
        let position = Position { done_ms, mark, step: None, ahead: None };
        self.shared.save(key, &position)?;
        Ok(Arc::new(Mutex::new(position)))
    }

    fn start(
        &self,
        key: String,
        config: RemoteWriteConfig,
        client: HttpClient,
        external: &Labels,
        position: Arc<Mutex<Position>>,
        before: Option<JoinHandle<()>>,
    ) -> Running {
        self.shared.journal.need(&key, Some(position.lock().mark));
        let shaper = Arc::new(Shaper::new(&config, external));
        let shown_name = match config.name.as_str() {
            "" => format!("{:06x}", hash(&key) >> 40),
            name => name.to_owned(),
        };
        let names = [shown_name, shown(&config)];
        let shared = Arc::clone(&self.shared);
        let queue = Arc::new(Queue { shared, key, names, config, shaper, client, position });
        let stop = CancellationToken::new();
        let task = tokio::spawn(driver::run(Arc::clone(&queue), before, stop.clone()));
        Running { queue, external: external.clone(), stop, task }
    }

    /// Ends queues that the configuration no longer has, and those of an earlier one that were found at the start.
    fn forget(&self, gone: HashMap<String, Running>, is_idle: bool) {
        let never_came: Vec<String> = self.found.lock().drain().map(|(key, _)| key).collect();
        for key in never_came {
            self.shared.forget(&key);
        }
        for one in gone.values() {
            one.stop.cancel();
        }
        if gone.is_empty() {
            if is_idle {
                self.shared.journal.shut(&*self.shared.env.store);
            }
            return;
        }
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            for one in gone.into_values() {
                let _ = one.task.await;
                shared.metrics.remove(&one.queue.labels());
                shared.forget(&one.queue.key);
            }
            if is_idle {
                shared.journal.shut(&*shared.env.store);
            }
        });
    }
}

/// As logs and metrics show it: without a password.
fn shown(config: &RemoteWriteConfig) -> String {
    let mut url = config.url.clone();
    if url.password().is_some() {
        let _ = url.set_password(Some("xxxxx"));
    }
    url.to_string()
}

fn is_same_place(a: &RemoteWriteConfig, b: &RemoteWriteConfig) -> bool {
    a.name.is_empty() && b.name.is_empty() && a.url == b.url
}

fn hash(key: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key.as_bytes())
}

fn path_of(key: &str) -> PathBuf {
    PathBuf::from(format!("{:016x}.position", hash(key)))
}

fn read_positions(dir: &dyn Dir) -> Result<HashMap<String, Position>, RemoteError> {
    let (mut found, root) = (HashMap::new(), Path::new(""));
    if !dir.exists(root) {
        return Ok(found);
    }
    for entry in dir.list(root).map_err(io("list", root))? {
        if !entry.name.ends_with(".position") {
            continue;
        }
        let path = Path::new(&entry.name);
        let bytes = dir.read(path).map_err(io("read", path))?;
        let (key, position) = Position::decode(&bytes).map_err(|reason| RemoteError::Position {
            path: Path::new(FOLDER).join(path).display().to_string(),
            reason,
        })?;
        found.insert(key, position);
    }
    Ok(found)
}

impl Shared {
    /// Raises the horizon to nearly now.
    fn raise(&self) -> (i64, Mark) {
        let to_ms = self.env.clock.now_ms().saturating_sub(LAG_MS);
        let (horizon_ms, mark) = self.journal.raise(&*self.env.store, to_ms);
        self.metrics.horizon.set(horizon_ms as f64 / 1_000.0);
        (horizon_ms, mark)
    }

    fn save(&self, key: &str, position: &Position) -> Result<(), RemoteError> {
        let path = path_of(key);
        self.dir.create_dir_all(Path::new("")).map_err(io("create", Path::new(FOLDER)))?;
        self.dir.write_atomic(&path, &position.encode(key)).map_err(io("write", &path))
    }

    fn forget(&self, key: &str) {
        self.journal.need(key, None);
        self.journal.trim();
        let path = path_of(key);
        if self.dir.exists(&path) {
            tracing::info!(
                queue = key,
                "this queue of remote write is no longer configured, its position is forgotten"
            );
            if let Err(err) = self.dir.remove_file(&path) {
                tracing::warn!(queue = key, error = %err, "its position cannot be removed");
            }
        }
    }
}

impl Queue {
    /// Of its metrics.
    pub(crate) fn labels(&self) -> [&str; 2] {
        [&self.names[0], &self.names[1]]
    }

    /// The step under way, or the next one, and where it begins; and whether there is more behind it.
    pub(crate) fn step(&self) -> Option<(Position, Step, bool)> {
        let (horizon_ms, end) = self.shared.raise();
        let mut position = self.position.lock();
        if position.step.is_none() {
            let to_ms = horizon_ms.min(position.done_ms.saturating_add(STEP_MS_MAX)).max(position.done_ms);
            if to_ms == position.done_ms && end == position.mark {
                return None;
            }
            position.step = Some(Step { to_ms, to_mark: end, at: At::Late(position.mark), ahead: None });
        }
        let step = position.step.clone()?;
        let is_behind = step.to_ms < horizon_ms;
        self.shared.metrics.highest.with(&self.labels()).set(horizon_ms as f64 / 1_000.0);
        Some((position.clone(), step, is_behind))
    }

    /// Takes note of what was sent; in memory only.
    pub(crate) fn reach(&self, at: Option<At>, ahead: Option<Mark>) {
        let mut position = self.position.lock();
        position.reach(at, ahead);
        self.shared.metrics.highest_sent.with(&self.labels()).set(position.done_ms as f64 / 1_000.0);
    }

    /// Writes the position down, and lets go of what it no longer needs.
    pub(crate) fn save(&self) {
        let position = self.position.lock().clone();
        // What the position says is behind it must be there after power loss, too.
        let saved = self.shared.journal.sync().and_then(|()| self.shared.save(&self.key, &position));
        match saved {
            Ok(()) => {
                self.shared.journal.need(&self.key, Some(position.mark));
                self.shared.journal.trim();
            }
            Err(err) => {
                let source = std::error::Error::source(&err).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(queue = self.key, error = %err, source, "a restart would send some samples again");
            }
        }
    }
}
