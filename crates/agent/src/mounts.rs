//! Asks mounted file systems for their size without ever hanging.
//!
//! A mount may not answer for ever (a stale NFS server, a dead disk), and such a call cannot be cancelled. So a helper
//! thread asks; when it does not come back in time it is left behind, its mount is passed over until the call
//! returns, and a new helper takes the rest. At most [`STUCK_MAX`] are left behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;

/// Most helpers that may wait for mounts that do not answer. Chosen: a thread each, and hosts with more dead mounts
/// have other troubles.
const STUCK_MAX: usize = 32;

/// How large a file system is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FsSize {
    pub(crate) size_bytes: f64,
    pub(crate) free_bytes: f64,
    /// For users other than root.
    pub(crate) available_bytes: f64,
    pub(crate) n_files: f64,
    pub(crate) n_files_free: f64,
}

/// Why a size is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MountError {
    /// It does not answer.
    Timeout,
    /// The kernel refuses.
    Refused,
}

impl MountError {
    /// As node_exporter words it in the label `device_error`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "mountpoint timeout",
            Self::Refused => "statfs failed",
        }
    }
}

type Answer = Result<FsSize, MountError>;
type Ask = fn(&Path) -> Answer;

/// The helper and the mounts that keep its predecessors.
#[derive(Debug)]
pub(crate) struct MountStats {
    timeout: Duration,
    ask: Ask,
    stuck: Arc<Mutex<BTreeSet<PathBuf>>>,
    helper: Mutex<Option<Helper>>,
}

#[derive(Debug)]
struct Helper {
    questions: SyncSender<PathBuf>,
    answers: Receiver<Answer>,
}

impl MountStats {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self::asking(timeout, statfs)
    }

    fn asking(timeout: Duration, ask: Ask) -> Self {
        Self { timeout, ask, stuck: Arc::default(), helper: Mutex::new(None) }
    }

    /// The size of the file system at `path`.
    pub(crate) fn size(&self, path: &Path) -> Answer {
        // One question at a time: others wait here, at most as long as this one may take.
        let mut slot = self.helper.lock();
        {
            let stuck = self.stuck.lock();
            if stuck.contains(path) || stuck.len() >= STUCK_MAX {
                return Err(MountError::Timeout);
            }
        }
        let helper = match slot.take() {
            Some(helper) => helper,
            None => self.start().ok_or(MountError::Refused)?,
        };
        if helper.questions.send(path.to_owned()).is_err() {
            return Err(MountError::Refused);
        }
        // Stuck until the answer shows otherwise; the helper takes it back itself when it comes too late.
        self.stuck.lock().insert(path.to_owned());
        let answer = helper.answers.recv_timeout(self.timeout).map_err(|_| MountError::Timeout)?;
        self.stuck.lock().remove(path);
        *slot = Some(helper);
        answer
    }

    fn start(&self) -> Option<Helper> {
        let (questions, inbox) = sync_channel::<PathBuf>(1);
        let (outbox, answers) = sync_channel::<Answer>(1);
        let (stuck, ask) = (Arc::clone(&self.stuck), self.ask);
        let work = move || {
            while let Ok(path) = inbox.recv() {
                let answer = ask(&path);
                if outbox.send(answer).is_err() {
                    // Nobody waits any more: the mount answers again, and this helper has a successor.
                    stuck.lock().remove(&path);
                    return;
                }
            }
        };
        std::thread::Builder::new().name("mount-stats".to_owned()).spawn(work).ok()?;
        Some(Helper { questions, answers })
    }
}

fn statfs(path: &Path) -> Answer {
    let stat = rustix::fs::statfs(path).map_err(|_| MountError::Refused)?;
    let block_bytes = stat.f_bsize as f64;
    Ok(FsSize {
        size_bytes: stat.f_blocks as f64 * block_bytes,
        free_bytes: stat.f_bfree as f64 * block_bytes,
        available_bytes: stat.f_bavail as f64 * block_bytes,
        n_files: stat.f_files as f64,
        n_files_free: stat.f_ffree as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;

    #[test]
    fn the_root_has_a_size() {
        let stats = MountStats::new(Duration::from_secs(5));
        let size = stats.size(Path::new("/")).expect("the root is mounted");
        assert!(size.size_bytes >= size.free_bytes && size.free_bytes >= size.available_bytes);
        assert_eq!(stats.size(Path::new("/no/such/mount")), Err(MountError::Refused));
    }

    /// Opens once the test says so.
    static GATE: OnceLock<Arc<Mutex<()>>> = OnceLock::new();

    fn ask_or_hang(path: &Path) -> Answer {
        if path == Path::new("/stale") {
            let gate = GATE.get().expect("set by the test");
            drop(gate.lock());
        }
        Ok(FsSize { size_bytes: 1.0, free_bytes: 1.0, available_bytes: 1.0, n_files: 1.0, n_files_free: 1.0 })
    }

    #[test]
    fn a_mount_that_hangs_costs_one_timeout_and_comes_back() {
        let gate = Arc::new(Mutex::new(()));
        GATE.set(Arc::clone(&gate)).expect("set once");
        let closed = gate.lock();
        let stats = MountStats::asking(Duration::from_millis(20), ask_or_hang);
        assert_eq!(stats.size(Path::new("/stale")), Err(MountError::Timeout));
        // Others are answered, and the stale one is passed over at once.
        assert!(stats.size(Path::new("/ok")).is_ok());
        assert_eq!(stats.size(Path::new("/stale")), Err(MountError::Timeout));
        assert_eq!(stats.stuck.lock().len(), 1);
        drop(closed);
        while stats.stuck.lock().contains(Path::new("/stale")) {
            std::thread::yield_now();
        }
        assert!(stats.size(Path::new("/stale")).is_ok());
    }
}
