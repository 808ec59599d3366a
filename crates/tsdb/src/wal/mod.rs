//! The write-ahead log: what a commit writes before anything is visible, and what a start reads.
//!
//! In from `head::commit` and checkpoints; out to `head` at start. Layout and what is durable when: docs/formats/wal.md.
//! A commit's return promises that it survives `kill -9`; [`crate::Db::sync`], that it survives power loss.

mod checkpoint;
mod frame;
mod reader;
mod record;
mod writer;

pub(crate) use checkpoint::{CheckpointSeries, write_checkpoint};
pub(crate) use reader::{Replay, ReplayEvent, replay};
pub(crate) use record::{NewSeries, WalSample, encode_batch};
pub(crate) use writer::{SyncHandle, WalWriter};

/// For fuzzing: decodes one record payload of any type; `true` when it is one.
#[doc(hidden)]
#[must_use]
pub fn fuzz_record(payload: &[u8]) -> bool {
    let commit = record::decode_commit(payload, &mut |_| {}).is_ok();
    commit || record::decode_checkpoint(payload).is_ok()
}

use std::path::{Path, PathBuf};

/// Folder of the log, in the data directory.
pub(crate) const WAL_DIR: &str = "wal";

pub(crate) fn segment_path(number: u64) -> PathBuf {
    Path::new(WAL_DIR).join(format!("{number:08}"))
}

pub(crate) fn checkpoint_path(number: u64) -> PathBuf {
    Path::new(WAL_DIR).join(format!("checkpoint-{number:08}"))
}

/// What a name in the folder means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WalFile {
    Segment(u64),
    Checkpoint(u64),
    /// Left by a crash: to be removed.
    Leftover,
    /// Not ours.
    Foreign,
}

pub(crate) fn classify(name: &str) -> WalFile {
    if name.ends_with(".tmp") {
        return WalFile::Leftover;
    }
    let number = |text: &str| -> Option<u64> {
        let digits = text.len() >= 8 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().filter(|number| *number > 0)
    };
    match (number(name), name.strip_prefix("checkpoint-").and_then(number)) {
        (Some(n), _) => WalFile::Segment(n),
        (None, Some(n)) => WalFile::Checkpoint(n),
        (None, None) => WalFile::Foreign,
    }
}
