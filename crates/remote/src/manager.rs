//! The queues of a configuration: which run, which stay undisturbed when it changes, and where their positions are.
//!
//! In from the binary; out to `driver`, one task for each queue. A queue is known by its name, or by its URL when it has none, so that other
//! settings may change without losing what waits.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use model::Labels;
use net::HttpClient;
use parking_lot::Mutex;
use stdx::metrics::Registry;
use stdx::{Dir, SubDir};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::RemoteError;
use crate::config::RemoteWriteConfig;
use crate::driver;
use crate::journal::{Journal, io};
use crate::metrics::Metrics;
use crate::position::Position;
use crate::queue::{Env, FOLDER, Queue, Shared, hash};
use crate::shape::Shaper;

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
