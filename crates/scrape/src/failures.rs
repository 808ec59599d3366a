//! The files of `scrape_failure_log_file`: a line of JSON for each scrape that failed.
//!
//! In from [`crate::driver`], which opens them with each configuration, and [`crate::record`]; out to files. A line that cannot be
//! written is lost, and the failure is on the page of targets all the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use serde_json::json;
use stdx::dir::{Dir, File};

use crate::config::ScrapeConfig;
use crate::target::Target;

type OpenFile = Arc<Mutex<Box<dyn File>>>;

/// Files by name.
pub(crate) type Opened = BTreeMap<PathBuf, OpenFile>;

/// The files of the configuration that holds.
#[derive(Debug, Default)]
pub(crate) struct FailureLogs {
    files: RwLock<Opened>,
}

/// Opens the files that `jobs` name, to be written at their end; those that are missing are made.
///
/// # Errors
/// The file that cannot be opened, and why.
pub(crate) fn open(jobs: &[ScrapeConfig], dir: &dyn Dir) -> Result<Opened, (PathBuf, std::io::Error)> {
    let mut opened = Opened::new();
    for path in jobs.iter().filter_map(|job| job.failure_log.as_deref()) {
        if opened.contains_key(path) {
            continue;
        }
        let open = |path: &Path| if dir.exists(path) { dir.open(path) } else { dir.create(path) };
        let file = open(path).map_err(|error| (path.to_owned(), error))?;
        opened.insert(path.to_owned(), Arc::new(Mutex::new(file)));
    }
    Ok(opened)
}

impl FailureLogs {
    /// From now on lines go to `opened`.
    pub(crate) fn replace(&self, opened: Opened) {
        *self.files.write() = opened;
    }

    /// Writes down that a scrape failed.
    pub(crate) fn write(&self, config: &ScrapeConfig, target: &Target, now_ms: i64, error: &str) {
        let Some(path) = &config.failure_log else { return };
        let Some(file) = self.files.read().get(path).cloned() else { return };
        let time =
            Timestamp::from_millisecond(now_ms).map_or_else(|_| now_ms.to_string(), |t| format!("{t:.3}"));
        let line = json!({
            "time": time,
            "level": "ERROR",
            "msg": error,
            "job_name": config.job,
            "target": target.shown_url,
        });
        if let Err(err) = file.lock().append(format!("{line}\n").as_bytes()) {
            tracing::warn!(file = %path.display(), error = %err, "cannot write a scrape failure");
        }
    }
}
