//! Imports inside a running server: one at a time, on a thread of its own, gone on with after a restart.
//!
//! In from the admin API; out to `super`. What is asked for and what of it is done is kept in the data directory
//! (docs/formats/import.md), written after each item, so that an end at any moment costs the item that was being read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use api::{ImportKind, ImportState, ImportStatus, Importer};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use stdx::{Clock, Dir};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};
use tsdb::Db;

use super::{Ended, Import, Tracker, not_imported};

/// In the data directory.
const FILE: &str = "import.json";
/// Of docs/formats/import.md.
const VERSION: u32 = 1;

/// The file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    version: u32,
    kind: ImportKind,
    path: PathBuf,
    state: ImportState,
    started_at_ms: i64,
    /// Samples written by earlier runs.
    n_samples: u64,
    /// Sources that are in the store, or were.
    done: BTreeSet<String>,
    /// Why it failed.
    error: Option<String>,
}

/// The newest import.
struct Job {
    record: Arc<Mutex<Record>>,
    tracker: Arc<Tracker>,
    /// When this run began, on the monotonic clock, and what was left to it.
    began: std::time::Duration,
    cancelled: Arc<std::sync::atomic::AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// See the module.
pub(crate) struct Imports {
    db: Arc<Db>,
    dir: Arc<dyn Dir>,
    clock: Arc<dyn Clock>,
    job: Mutex<Option<Job>>,
}

impl Imports {
    /// Goes on with what a former run left unfinished. Must be called within a tokio runtime.
    pub(crate) fn start(db: Arc<Db>, dir: Arc<dyn Dir>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let imports = Arc::new(Self { db, dir, clock, job: Mutex::new(None) });
        match imports.read() {
            Ok(Some(record)) if record.state == ImportState::Running => {
                info!(path = %record.path.display(), done = record.done.len(), "going on with an import");
                imports.run(record);
            }
            Ok(Some(record)) => *imports.job.lock() = Some(imports.idle(record)),
            Ok(None) => {}
            Err(err) => {
                warn!(error = %format!("{err:#}"), "cannot read {FILE}; an import that was cut off is not gone on with");
            }
        }
        imports
    }

    fn read(&self) -> Result<Option<Record>> {
        let path = Path::new(FILE);
        if !self.dir.exists(path) {
            return Ok(None);
        }
        let record: Record = serde_json::from_slice(&self.dir.read(path)?).context("malformed")?;
        if record.version != VERSION {
            bail!("written in version {}, which this program does not know", record.version);
        }
        Ok(Some(record))
    }

    fn idle(&self, record: Record) -> Job {
        Job {
            record: Arc::new(Mutex::new(record)),
            tracker: Arc::default(),
            began: self.clock.monotonic(),
            cancelled: Arc::default(),
            thread: None,
        }
    }

    fn run(&self, record: Record) {
        let mut job = self.idle(record);
        let run = Run {
            db: self.db.clone(),
            dir: self.dir.clone(),
            record: job.record.clone(),
            tracker: job.tracker.clone(),
            cancelled: job.cancelled.clone(),
        };
        job.thread = Some(tokio::task::spawn_blocking(move || run.run()));
        *self.job.lock() = Some(job);
    }

    /// Ends the one that runs, so that the next start goes on with it.
    pub(crate) async fn stop(&self) {
        let thread = self.job.lock().as_mut().and_then(|job| {
            job.tracker.stop();
            job.thread.take()
        });
        if let Some(thread) = thread {
            let _ = thread.await;
        }
    }
}

/// What the thread has.
struct Run {
    db: Arc<Db>,
    dir: Arc<dyn Dir>,
    record: Arc<Mutex<Record>>,
    tracker: Arc<Tracker>,
    cancelled: Arc<std::sync::atomic::AtomicBool>,
}

impl Run {
    fn run(self) {
        let record = self.record.lock().clone();
        let before = record.n_samples;
        let import = Import {
            db: &self.db,
            kind: record.kind,
            path: &record.path,
            labels: &[],
            done: &record.done,
            tracker: &self.tracker,
        };
        let ended = import.run(&mut |source, line| {
            info!("import: {line}");
            let mut now = self.record.lock();
            if !source.is_empty() {
                now.done.insert(source.to_owned());
            }
            now.n_samples = before + self.tracker.numbers().n_samples;
            self.write(&now)
        });
        let numbers = self.tracker.numbers();
        let mut now = self.record.lock();
        now.n_samples = before + numbers.n_samples;
        match ended {
            Ok(Ended::Whole) if numbers.failed.is_empty() => {
                now.state = ImportState::Done;
                info!(samples = now.n_samples, "import done");
            }
            Ok(Ended::Whole) => {
                now.state = ImportState::Failed;
                now.error = Some(not_imported(&numbers.failed));
                numbers.failed.iter().for_each(|(name, why)| warn!("import: {name}: {why}"));
            }
            Ok(Ended::Stopped) if self.cancelled.load(std::sync::atomic::Ordering::Relaxed) => {
                now.state = ImportState::Cancelled;
                info!("import cancelled; what was done stays");
            }
            // The server stops: the next start goes on.
            Ok(Ended::Stopped) => return,
            Err(_) if self.db.is_closed() => return,
            Err(err) => {
                now.state = ImportState::Failed;
                now.error = Some(format!("{err:#}"));
                error!(error = %format!("{err:#}"), "import failed");
            }
        }
        if let Err(err) = self.write(&now) {
            error!(error = %format!("{err:#}"), "cannot write {FILE}");
        }
    }

    fn write(&self, record: &Record) -> Result<()> {
        write(&*self.dir, record)
    }
}

fn write(dir: &dyn Dir, record: &Record) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(record)?;
    json.push(b'\n');
    dir.write_atomic(Path::new(FILE), &json).with_context(|| format!("cannot write {FILE}"))
}

fn check(kind: ImportKind, path: &Path) -> Result<(), String> {
    if !path.is_absolute() {
        let shown = path.display();
        return Err(format!("{shown} is not absolute: the server has a working directory of its own"));
    }
    super::check(kind, path).map_err(|why| format!("{why}; the path is one of the server's machine"))
}

impl Importer for Imports {
    fn start(&self, kind: ImportKind, path: &Path) -> Result<ImportStatus, String> {
        check(kind, path)?;
        if let Some(status) = self.status().filter(|status| status.state == ImportState::Running) {
            return Err(format!(
                "an import of {} is running; wait for it, or cancel it with DELETE",
                status.path
            ));
        }
        // What was finished of the same import before stays finished; a new one begins with nothing.
        let former = self.job.lock().as_ref().map(|job| job.record.lock().clone());
        let former = former
            .filter(|former| former.kind == kind && former.path == path && former.state != ImportState::Done);
        let record = Record {
            version: VERSION,
            kind,
            path: path.to_owned(),
            state: ImportState::Running,
            started_at_ms: self.clock.now_ms(),
            n_samples: 0,
            done: former.map(|former| former.done).unwrap_or_default(),
            error: None,
        };
        write(&*self.dir, &record).map_err(|err| format!("{err:#}"))?;
        self.run(record);
        self.status().ok_or_else(|| anyhow!("the import did not start").to_string())
    }

    fn status(&self) -> Option<ImportStatus> {
        let job = self.job.lock();
        let job = job.as_ref()?;
        let (record, numbers) = (job.record.lock().clone(), job.tracker.numbers());
        let elapsed = self.clock.monotonic().saturating_sub(job.began).as_secs_f64();
        let left = numbers.bytes.saturating_sub(numbers.bytes_done) as f64;
        let running = record.state == ImportState::Running;
        let eta_seconds = (running && numbers.bytes_done > 0)
            .then(|| (left * elapsed / numbers.bytes_done as f64).ceil() as u64);
        Some(ImportStatus {
            state: record.state,
            kind: record.kind,
            path: record.path.display().to_string(),
            started_at_ms: record.started_at_ms,
            n_items: numbers.n_items.max(record.done.len() as u64),
            n_done: numbers.n_done.max(if running { 0 } else { record.done.len() as u64 }),
            n_here: numbers.n_here,
            n_samples: if job.thread.is_some() && running {
                record.n_samples.max(numbers.n_samples)
            } else {
                record.n_samples
            },
            bytes: numbers.bytes,
            bytes_done: numbers.bytes_done,
            eta_seconds,
            current: if running { numbers.current } else { String::new() },
            failed: numbers.failed,
            error: record.error,
        })
    }

    fn cancel(&self) -> Option<ImportStatus> {
        if let Some(job) = self.job.lock().as_ref() {
            job.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
            job.tracker.stop();
        }
        self.status()
    }
}
