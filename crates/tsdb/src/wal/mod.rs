//! The write-ahead log: what a commit writes before anything is visible, and what a start reads.
//!
//! Two logs in one folder: *series* says which series and columns there are, *rows* what was sampled. In from `head::commit`; out to
//! `db::open` at start. Layout and what is durable when: docs/formats/wal.md.
//! A commit's return promises that it survives `kill -9`; [`crate::Db::sync`], that it survives power loss.

mod frame;
mod histogram;
mod reader;
mod record;
mod row;
mod snapshot;
mod writer;

use std::path::{Path, PathBuf};

use frame::FileKind;

pub(crate) use reader::{Replay, replay};
pub(crate) use record::{
    BadRecord, CommitWriter, Definition, Item, NewColumn, NewSeries, decode_commit, decode_definitions,
    encode_definitions, encode_floor,
};
pub(crate) use row::{COLUMNS_MAX, RowBase, get_row, put_row};
pub(crate) use snapshot::SnapshotWriter;
pub(crate) use writer::{SyncHandle, WalWriter};

/// For fuzzing: decodes one record payload of any type; `true` when it is one.
#[doc(hidden)]
#[must_use]
pub fn fuzz_record(payload: &[u8]) -> bool {
    let against =
        RowBase { kind: crate::row::GroupKind::Following, last_ms: 0, step_ms: 0, n_rows: 1, mask: &[1] };
    let commit = decode_commit(payload, &mut |item| match item {
        Item::Row { full, join, body, kind, .. } => {
            get_row(body, full, join, RowBase { kind, ..against }, |_| None).map(drop)
        }
        _ => Ok(()),
    });
    commit.is_ok() || decode_definitions(payload, &mut |_| {}).is_ok()
}

/// A first segment of `log` with these payloads: for fuzzing, which goes past the checksums.
pub(crate) fn segment_of(log: Log, payloads: &[&[u8]]) -> Vec<u8> {
    let header = frame::FileHeader { kind: log.segment_kind(), number: 1, previous_bytes: 0 };
    let mut out = header.encode().to_vec();
    payloads.iter().filter(|payload| !payload.is_empty()).for_each(|one| frame::put_record(&mut out, one));
    out
}

/// The payloads of a segment.
#[cfg(test)]
pub(crate) fn payloads_of(segment: &[u8]) -> Vec<&[u8]> {
    let mut rest = &segment[frame::FILE_HEADER_BYTES..];
    std::iter::from_fn(|| {
        let (payload, after) = frame::get_record(rest).expect("it was just written")?;
        rest = after;
        Some(payload)
    })
    .collect()
}

/// Folder of the log, in the data directory.
pub(crate) const WAL_DIR: &str = "wal";

/// One of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    Series,
    Rows,
}

impl Log {
    pub(crate) fn segment_path(self, number: u64) -> PathBuf {
        let name = match self {
            Self::Series => "series",
            Self::Rows => "rows",
        };
        Path::new(WAL_DIR).join(format!("{name}-{number:08}"))
    }

    fn segment_kind(self) -> FileKind {
        match self {
            Self::Series => FileKind::Series,
            Self::Rows => FileKind::Rows,
        }
    }
}

/// What stands for all segments of the series log before `number`.
pub(crate) fn snapshot_path(number: u64) -> PathBuf {
    Path::new(WAL_DIR).join(format!("snapshot-{number:08}"))
}

/// What a name in the folder means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WalFile {
    Segment(Log, u64),
    Snapshot(u64),
    /// Of the log's first version, which this program does not read.
    Version1,
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
    if number(name).is_some() {
        return WalFile::Version1;
    }
    let Some((what, rest)) = name.split_once('-') else { return WalFile::Foreign };
    match (what, number(rest)) {
        ("series", Some(n)) => WalFile::Segment(Log::Series, n),
        ("rows", Some(n)) => WalFile::Segment(Log::Rows, n),
        ("snapshot", Some(n)) => WalFile::Snapshot(n),
        ("checkpoint", Some(_)) => WalFile::Version1,
        _ => WalFile::Foreign,
    }
}
