//! Takes samples over from elsewhere: a Prometheus data directory, or a file of samples with timestamps.
//!
//! In from `hinomi tsdb import`, which has the data directory for itself, and from [`job`], which imports while a server is
//! serving. What comes in is written as blocks that name their source, so that a second run passes over what is there.
//! Memory holds one series of a block, two hours of a log at most, or one piece of a file.

pub(crate) mod client;
pub(crate) mod job;
mod openmetrics;
mod prometheus;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use parking_lot::Mutex;
use stdx::{Dir, DiskDir};
use tsdb::Db;

pub(crate) use api::ImportKind as Kind;

/// What has been done so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Numbers {
    /// Blocks, stretches of the log, pieces of a file.
    pub n_items: u64,
    /// Of these, done or found to be here.
    pub n_done: u64,
    /// Of these, found to be here already.
    pub n_here: u64,
    /// Series written, once for each item.
    pub n_series: u64,
    /// Samples written.
    pub n_samples: u64,
    /// Bytes to read.
    pub bytes: u64,
    /// Bytes read.
    pub bytes_done: u64,
    /// What is being read.
    pub current: String,
    /// What could not be imported, and why.
    pub failed: Vec<(String, String)>,
}

/// Shared by the one who imports and those who watch.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    numbers: Mutex<Numbers>,
    stop: AtomicBool,
}

impl Tracker {
    /// As of now.
    pub(crate) fn numbers(&self) -> Numbers {
        self.numbers.lock().clone()
    }

    /// Asks for an early end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn update(&self, change: impl FnOnce(&mut Numbers)) {
        change(&mut self.numbers.lock());
    }

    /// One item is done; `line` says so to people.
    fn item(&self, source: &str, bytes_done: u64, on_item: &mut OnItem<'_>, line: &str) -> Result<()> {
        self.update(|numbers| {
            numbers.n_done += 1;
            numbers.bytes_done = bytes_done;
        });
        on_item(source, line)
    }
}

/// Is told the source of each item that is done, and a line for people.
pub(crate) type OnItem<'a> = dyn FnMut(&str, &str) -> Result<()> + 'a;

/// How an import ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Everything is here, but for what [`Numbers::failed`] names.
    Whole,
    /// [`Tracker::stop`] was called.
    Stopped,
}

/// What to import, and where to.
pub(crate) struct Import<'a> {
    pub(crate) db: &'a Db,
    pub(crate) kind: Kind,
    pub(crate) path: &'a Path,
    /// Put beside the labels of each series of a file, in the place of those of the same names.
    pub(crate) labels: &'a [(String, String)],
    /// Sources known to be done, besides those that blocks name.
    pub(crate) done: &'a BTreeSet<String>,
    pub(crate) tracker: &'a Tracker,
}

impl Import<'_> {
    /// Does it.
    ///
    /// # Errors
    /// When the source cannot be read or the store cannot write. What was done stays.
    pub(crate) fn run(&self, on_item: &mut OnItem<'_>) -> Result<Ended> {
        let files: Arc<dyn Dir> = Arc::new(DiskDir::anywhere());
        match self.kind {
            Kind::Prometheus => prometheus::run(self, &files, on_item),
            Kind::OpenMetrics => openmetrics::run(self, &files, on_item),
        }
    }

    /// Whether all of a source is in the store.
    fn is_here(&self, source: &str) -> bool {
        self.done.contains(source) || self.db.has_source(source)
    }
}

/// Whether `path` looks like something to import; on failure says why not.
pub(crate) fn check(kind: Kind, path: &Path) -> Result<(), String> {
    let files = DiskDir::anywhere();
    match kind {
        Kind::Prometheus => prometheus::check(&files, path),
        Kind::OpenMetrics => openmetrics::check(&files, path),
    }
}

/// What went wrong, for the end: everything else is there.
pub(crate) fn not_imported(failed: &[(String, String)]) -> String {
    let names: Vec<&str> = failed.iter().map(|(name, _)| name.as_str()).collect();
    format!("not imported: {}; everything else was", names.join(", "))
}
