//! Appends records to the current segment and begins new ones.
//!
//! In from commits, under the commit lock; out to files. Invariant: bytes up to `len_bytes` of the current segment are
//! whole records; what may lie behind after a failed write is cut, or named invalid by the next segment's header,
//! before anything else is written.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use stdx::{Dir, File};

use super::frame::{FILE_HEADER_BYTES, FileHeader, put_record};
use super::{Log, WAL_DIR, WalFile, classify, snapshot_path};
use crate::error::TsdbError;

/// A second handle of the current segment, so that syncing does not hold up commits.
pub(crate) type SyncHandle = Arc<Mutex<Box<dyn File>>>;

/// The writing end of the log.
#[derive(Debug)]
pub(crate) struct WalWriter {
    dir: Arc<dyn Dir>,
    log: Log,
    segment_bytes: u64,
    number: u64,
    file: Box<dyn File>,
    handle: SyncHandle,
    /// Length of whole records.
    len_bytes: u64,
    /// Bytes that are no record may lie behind `len_bytes`.
    tail_dirty: bool,
    /// The next segment was begun and could neither be finished nor removed.
    next_half_made: bool,
    /// The last segment with a failed sync: what the system still holds of its writes is unknown.
    suspect: Option<u64>,
    /// Sizes of the segments before this one.
    older: BTreeMap<u64, u64>,
}

impl WalWriter {
    /// Begins segment `number` of `log` after `previous_bytes` valid bytes of the one before it. On a full disk the one before is gone on
    /// with, so that what is there is served, and written to once there is room.
    pub(crate) fn begin(
        dir: Arc<dyn Dir>,
        log: Log,
        segment_bytes: u64,
        number: u64,
        previous_bytes: u64,
        older: BTreeMap<u64, u64>,
    ) -> Result<Self, TsdbError> {
        let (file, handle) = match make_segment(&*dir, log, number, previous_bytes) {
            Ok(made) => made,
            Err(source) => {
                let is_full = matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
                let before = number.checked_sub(1).filter(|before| is_full && older.contains_key(before));
                return match before {
                    Some(before) => Self::go_on(dir, log, segment_bytes, (before, previous_bytes), older),
                    None => Err(TsdbError::io("create", &log.segment_path(number))(source)),
                };
            }
        };
        Ok(Self {
            dir,
            log,
            segment_bytes,
            number,
            file,
            handle,
            len_bytes: FILE_HEADER_BYTES as u64,
            tail_dirty: false,
            next_half_made: false,
            suspect: None,
            older,
        })
    }

    /// Goes on with a segment and its valid bytes, after which another may have been begun.
    fn go_on(
        dir: Arc<dyn Dir>,
        log: Log,
        segment_bytes: u64,
        (number, len_bytes): (u64, u64),
        mut older: BTreeMap<u64, u64>,
    ) -> Result<Self, TsdbError> {
        older.remove(&number);
        let path = log.segment_path(number);
        let open = || dir.open(&path).map_err(TsdbError::io("open", &path));
        let (file, handle) = (open()?, Arc::new(Mutex::new(open()?)));
        Ok(Self {
            dir,
            log,
            segment_bytes,
            number,
            file,
            handle,
            len_bytes,
            tail_dirty: true,
            next_half_made: true,
            suspect: None,
            older,
        })
    }

    /// Number of the current segment.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Number of the oldest segment that is kept.
    pub(crate) fn oldest(&self) -> u64 {
        self.older.keys().next().copied().unwrap_or(self.number)
    }

    /// Size of all segments.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.older.values().sum::<u64>() + self.len_bytes
    }

    /// Writes `payloads` as records, in one write; durable before the return when `strict`.
    ///
    /// # Errors
    /// When they could not be written; then none of them is ever replayed.
    pub(crate) fn append(&mut self, payloads: &[Vec<u8>], strict: bool) -> Result<u64, TsdbError> {
        self.mend()?;
        // A segment that cannot be ended is gone on with; the next commit tries again.
        if self.len_bytes >= self.segment_bytes && self.roll(true).is_err() {
            self.mend()?;
        }
        let mut bytes = Vec::with_capacity(payloads.iter().map(|p| p.len() + 16).sum());
        payloads.iter().for_each(|payload| put_record(&mut bytes, payload));
        let mut written = self.file.append(&bytes);
        if strict && written.is_ok() {
            written = self.file.sync();
            if written.is_err() {
                self.mark_suspect();
            }
        }
        if let Err(source) = written {
            self.tail_dirty = true;
            // Tried at once, so that the tail is whole also when nobody commits again.
            let _ = self.mend();
            return Err(TsdbError::io("write", &self.log.segment_path(self.number))(source));
        }
        self.len_bytes += bytes.len() as u64;
        Ok(bytes.len() as u64)
    }

    /// Makes the end of the log a place where records can be added.
    fn mend(&mut self) -> Result<(), TsdbError> {
        if self.next_half_made {
            self.undo_half_made()
                .map_err(TsdbError::io("remove", &self.log.segment_path(self.number + 1)))?;
        }
        if self.tail_dirty {
            if self.file.truncate(self.len_bytes).is_ok() {
                self.tail_dirty = false;
                return Ok(());
            }
            // The next segment's header says how much of this one is valid.
            self.roll(true)?;
        }
        Ok(())
    }

    /// Begins the next segment. `sync_old` makes the current one durable first; without it a checkpoint must follow.
    pub(crate) fn roll(&mut self, sync_old: bool) -> Result<(), TsdbError> {
        if self.next_half_made {
            self.undo_half_made()
                .map_err(TsdbError::io("remove", &self.log.segment_path(self.number + 1)))?;
        }
        if sync_old && let Err(source) = self.file.sync() {
            self.mark_suspect();
            return Err(TsdbError::io("sync", &self.log.segment_path(self.number))(source));
        }
        let next = self.number + 1;
        match make_segment(&*self.dir, self.log, next, self.len_bytes) {
            Ok((file, handle)) => {
                self.older.insert(self.number, self.len_bytes);
                if !sync_old {
                    self.mark_suspect();
                }
                (self.number, self.file, self.handle) = (next, file, handle);
                (self.len_bytes, self.tail_dirty) = (FILE_HEADER_BYTES as u64, false);
                Ok(())
            }
            Err(source) => {
                // Its header would make later records of the current segment invalid.
                self.next_half_made = true;
                let _ = self.undo_half_made();
                Err(TsdbError::io("create", &self.log.segment_path(next))(source))
            }
        }
    }

    fn undo_half_made(&mut self) -> io::Result<()> {
        let path = self.log.segment_path(self.number + 1);
        if self.dir.exists(&path) {
            self.dir.remove_file(&path)?;
        }
        self.dir.sync_dir(Path::new(WAL_DIR))?;
        self.next_half_made = false;
        Ok(())
    }

    /// What to sync so that everything written so far is durable; `None` when only a checkpoint can do that.
    pub(crate) fn sync_handle(&self) -> Option<SyncHandle> {
        self.suspect.is_none().then(|| Arc::clone(&self.handle))
    }

    /// After a sync failed.
    pub(crate) fn mark_suspect(&mut self) {
        self.suspect = Some(self.number);
    }

    /// Removes the segments before `number`, which nothing needs any more, and snapshots before it. Returns how many
    /// segments went. A file that cannot be removed is no harm; the next start or the next call removes it.
    pub(crate) fn remove_before(&mut self, number: u64) -> usize {
        self.suspect = self.suspect.filter(|suspect| *suspect >= number);
        let covered: Vec<u64> = self.older.range(..number).map(|(number, _)| *number).collect();
        for number in &covered {
            let _ = self.dir.remove_file(&self.log.segment_path(*number));
            self.older.remove(number);
        }
        if self.log == Log::Series {
            let entries = self.dir.list(Path::new(WAL_DIR)).unwrap_or_default();
            for entry in entries {
                if let WalFile::Snapshot(old) = classify(&entry.name)
                    && old < number
                {
                    let _ = self.dir.remove_file(&snapshot_path(old));
                }
            }
        }
        let _ = self.dir.sync_dir(Path::new(WAL_DIR));
        covered.len()
    }

    /// The end of the log, for [`WalWriter::rollback`].
    pub(crate) fn mark(&self) -> (u64, u64) {
        (self.number, self.len_bytes)
    }

    /// Takes back what was written since `mark`: it is never replayed.
    pub(crate) fn rollback(&mut self, (number, len_bytes): (u64, u64)) {
        // A segment begun since then begins with what is taken back.
        self.len_bytes = if number == self.number { len_bytes } else { FILE_HEADER_BYTES as u64 };
        self.tail_dirty = true;
        let _ = self.mend();
    }
}

fn make_segment(
    dir: &dyn Dir,
    log: Log,
    number: u64,
    previous_bytes: u64,
) -> io::Result<(Box<dyn File>, SyncHandle)> {
    let path = log.segment_path(number);
    let mut file = dir.create(&path)?;
    file.append(&FileHeader { kind: log.segment_kind(), number, previous_bytes }.encode())?;
    dir.sync_dir(Path::new(WAL_DIR))?;
    let handle = Arc::new(Mutex::new(dir.open(&path)?));
    Ok((file, handle))
}
