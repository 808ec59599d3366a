//! The series log written anew: what is live, without what has died.

use std::path::{Path, PathBuf};

use stdx::{Dir, File};

use super::frame::{FileHeader, FileKind, put_record};
use super::record::{NewColumn, NewSeries, encode_definitions, encode_end};
use super::{WAL_DIR, snapshot_path};
use crate::error::TsdbError;

/// Writes are gathered to this size. Chosen.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes `snapshot-N`, which stands for all segments of the series log before number N.
#[derive(Debug)]
pub(crate) struct SnapshotWriter<'a> {
    dir: &'a dyn Dir,
    path: PathBuf,
    tmp: PathBuf,
    file: Box<dyn File>,
    buffer: Vec<u8>,
    n_series: u64,
}

impl<'a> SnapshotWriter<'a> {
    pub(crate) fn begin(dir: &'a dyn Dir, number: u64) -> Result<Self, TsdbError> {
        let path = snapshot_path(number);
        let mut tmp = path.clone().into_os_string();
        tmp.push(".tmp");
        let tmp = PathBuf::from(tmp);
        let file = dir.create(&tmp).map_err(TsdbError::io("create", &tmp))?;
        let header = FileHeader { kind: FileKind::Snapshot, number, previous_bytes: 0 };
        Ok(Self { dir, path, tmp, file, buffer: header.encode().to_vec(), n_series: 0 })
    }

    pub(crate) fn add(&mut self, series: &[NewSeries], columns: &[NewColumn]) -> Result<(), TsdbError> {
        self.n_series += series.len() as u64;
        for record in encode_definitions(series, columns) {
            put_record(&mut self.buffer, &record);
        }
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), TsdbError> {
        self.file.append(&self.buffer).map_err(TsdbError::io("write", &self.tmp))?;
        self.buffer.clear();
        Ok(())
    }

    /// Makes it durable under its name.
    pub(crate) fn finish(mut self, next_series: u32, floor: &[u8]) -> Result<(), TsdbError> {
        put_record(&mut self.buffer, floor);
        put_record(&mut self.buffer, &encode_end(next_series, self.n_series));
        self.flush()?;
        self.file.sync().map_err(TsdbError::io("sync", &self.tmp))?;
        self.dir.rename(&self.tmp, &self.path).map_err(TsdbError::io("rename", &self.tmp))?;
        self.dir.sync_dir(Path::new(WAL_DIR)).map_err(TsdbError::io("sync", Path::new(WAL_DIR)))
    }
}

/// Removes a file that a crash left.
pub(crate) fn remove_leftover(dir: &dyn Dir, path: &Path) -> Result<(), TsdbError> {
    dir.remove_file(path).map_err(TsdbError::io("remove", path))
}
