//! How far a backfill is, on disk: docs/formats/rule-backfill.md says its bytes.
//!
//! In from [`super::Backfills`] and [`super::run`]; out to a [`Dir`]. A disk that refuses does not stop a backfill: it costs no more than
//! windows done twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stdx::Dir;

use super::BackfillRequest;
use super::run::WINDOW_MS;

const VERSION: u32 = 1;
/// Longest accepted file, in bytes. Chosen: a rule file and some names.
const BYTES_MAX: usize = 64 << 20;

/// Where it is kept.
#[derive(Debug, Clone)]
pub struct ProgressFile {
    /// The file system.
    pub dir: Arc<dyn Dir>,
    /// The file.
    pub path: PathBuf,
}

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    version: u32,
    request: BackfillRequest,
    reached_ms: i64,
}

impl ProgressFile {
    /// What was saved; a file that cannot be read is removed.
    pub(super) fn read(&self) -> Option<Saved> {
        if !self.dir.exists(&self.path) {
            return None;
        }
        match decode(&*self.dir, &self.path) {
            Ok(saved) => Some(saved),
            Err(why) => {
                tracing::warn!(file = %self.path.display(), why, "the file of a backfill of rules is removed");
                self.remove();
                None
            }
        }
    }

    pub(super) fn remove(&self) {
        if let Err(error) = self.dir.remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "cannot remove the file of a backfill of rules");
        }
    }
}

fn decode(dir: &dyn Dir, path: &Path) -> Result<Saved, String> {
    let bytes = dir.read(path).map_err(|err| err.to_string())?;
    if bytes.len() > BYTES_MAX {
        return Err(format!("it is longer than {BYTES_MAX} bytes"));
    }
    let saved: Saved = serde_json::from_slice(&bytes).map_err(|err| err.to_string())?;
    if saved.version != VERSION {
        return Err(format!("it has version {}", saved.version));
    }
    Ok(saved)
}

/// What is left of it, and a window more: which series end there is known only to whoever has seen them.
pub(super) fn resumed(saved: Saved) -> BackfillRequest {
    let Saved { request, reached_ms, .. } = saved;
    let start_ms =
        reached_ms.saturating_sub(WINDOW_MS).clamp(request.start_ms, request.end_ms.max(request.start_ms));
    BackfillRequest { start_ms, ..request }
}

/// Of one backfill.
#[derive(Debug)]
pub(super) struct Progress {
    file: Option<ProgressFile>,
    request: BackfillRequest,
}

impl Progress {
    pub(super) fn new(file: Option<ProgressFile>, request: &BackfillRequest) -> Self {
        Self { file, request: request.clone() }
    }

    /// Everything before `reached_ms` is done.
    pub(super) fn reached(&self, reached_ms: i64) {
        let Some(ProgressFile { dir, path }) = &self.file else { return };
        let saved = Saved { version: VERSION, request: self.request.clone(), reached_ms };
        let bytes = serde_json::to_vec(&saved).expect("texts and whole numbers");
        if let Err(error) = dir.write_atomic(path, &bytes) {
            tracing::warn!(file = %path.display(), %error, "cannot note how far a backfill of rules is");
        }
    }

    /// It is not to be gone on with.
    pub(super) fn ended(&self) {
        if let Some(file) = self.file.as_ref().filter(|file| file.dir.exists(&file.path)) {
            file.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use stdx::MemDir;

    use super::*;

    #[test]
    fn what_is_left_begins_a_window_before() {
        let file = ProgressFile { dir: Arc::new(MemDir::new()), path: PathBuf::from("rule-backfill") };
        assert_eq!(file.read(), None);
        let request = BackfillRequest {
            start_ms: 1_000,
            end_ms: 100 * WINDOW_MS,
            records: vec!["r".to_owned()],
            rules: Some("groups: []".to_owned()),
            ..BackfillRequest::default()
        };
        let progress = Progress::new(Some(file.clone()), &request);
        for (reached_ms, start_ms) in [(1_000, 1_000), (WINDOW_MS, 1_000), (9 * WINDOW_MS, 8 * WINDOW_MS)] {
            progress.reached(reached_ms);
            let expected = BackfillRequest { start_ms, ..request.clone() };
            assert_eq!(resumed(file.read().unwrap()), expected);
        }
        progress.ended();
        progress.ended();
        assert_eq!(file.read(), None);
        for bad in [&b"{"[..], br#"{"version": 2, "request": {"start_ms": 0}, "reached_ms": 0}"#] {
            file.dir.write_atomic(&file.path, bad).unwrap();
            assert_eq!(file.read(), None);
            assert!(!file.dir.exists(&file.path));
        }
    }
}
