//! One queue: what it sends, how far it has come, and where that is written down.
//!
//! Made by [`crate::manager`]; run by [`crate::driver`], which asks for steps and says what was sent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Metadata;
use net::HttpClient;
use parking_lot::Mutex;
use stdx::{Clock, Dir};
use storage::Followed;

use crate::RemoteError;
use crate::config::RemoteWriteConfig;
use crate::journal::{Journal, io};
use crate::metrics::Metrics;
use crate::position::{At, Mark, Position, Step};
use crate::shape::Shaper;

/// In the data directory.
pub(crate) const FOLDER: &str = "remote-write";
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
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) metrics: Metrics,
}

/// One receiver.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: String,
    /// As metrics call it: name and URL.
    pub(crate) names: [String; 2],
    pub(crate) config: RemoteWriteConfig,
    pub(crate) shaper: Arc<Shaper>,
    pub(crate) client: HttpClient,
    /// Also of the queue's successor, when its settings change.
    pub(crate) position: Arc<Mutex<Position>>,
}

pub(crate) fn hash(key: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key.as_bytes())
}

fn path_of(key: &str) -> PathBuf {
    PathBuf::from(format!("{:016x}.position", hash(key)))
}

impl Shared {
    /// Raises the horizon to nearly now.
    pub(crate) fn raise(&self) -> (i64, Mark) {
        let to_ms = self.env.clock.now_ms().saturating_sub(LAG_MS);
        let (horizon_ms, mark) = self.journal.raise(&*self.env.store, to_ms);
        self.metrics.horizon.set(horizon_ms as f64 / 1_000.0);
        (horizon_ms, mark)
    }

    pub(crate) fn save(&self, key: &str, position: &Position) -> Result<(), RemoteError> {
        let path = path_of(key);
        self.dir.create_dir_all(Path::new("")).map_err(io("create", Path::new(FOLDER)))?;
        self.dir.write_atomic(&path, &position.encode(key)).map_err(io("write", &path))
    }

    pub(crate) fn forget(&self, key: &str) {
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
