//! A file that is written once, from front to back, in large pieces, and then synced.

use std::path::{Path, PathBuf};

use stdx::{Dir, File};

use crate::error::TsdbError;

/// Bytes gathered before each write. Chosen.
const BUFFER_BYTES: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sink {
    path: PathBuf,
    file: Box<dyn File>,
    pub(crate) buffer: Vec<u8>,
    written_bytes: u64,
    crc: u32,
}

impl Sink {
    /// Creates the file and begins it with `header`.
    pub(crate) fn create(dir: &dyn Dir, path: &Path, header: &[u8]) -> Result<Self, TsdbError> {
        let file = dir.create(path).map_err(TsdbError::io("create", path))?;
        Ok(Self { path: path.to_owned(), file, buffer: header.to_vec(), written_bytes: 0, crc: 0 })
    }

    /// Length so far.
    pub(crate) fn end(&self) -> u64 {
        self.written_bytes + self.buffer.len() as u64
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what has gathered, when that is worth it.
    pub(crate) fn flush_if_large(&mut self) -> Result<(), TsdbError> {
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), TsdbError> {
        self.file.append(&self.buffer).map_err(TsdbError::io("write", &self.path))?;
        self.crc = crc32c::crc32c_append(self.crc, &self.buffer);
        self.written_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes it durable; returns length and CRC32C.
    pub(crate) fn finish(mut self) -> Result<(u64, u32), TsdbError> {
        self.flush()?;
        self.file.sync().map_err(TsdbError::io("sync", &self.path))?;
        Ok((self.written_bytes, self.crc))
    }
}
