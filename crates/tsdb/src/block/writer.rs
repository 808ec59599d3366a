//! Writes a block: chunks as they come, then the index, then `meta.json`; the rename makes it one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Labels;
use stdx::{Dir, File};

use super::meta::block_name;
use super::{
    BlockMeta, BlockStats, CHUNKS_FILE, CHUNKS_HEADER, Compaction, INDEX_FILE, META_FILE, TMP_SUFFIX,
};
use crate::error::TsdbError;
use crate::index::{ChunkEntry, IndexWriter};

/// Bytes gathered before each write. Chosen.
const BUFFER_BYTES: usize = 1 << 20;

/// A chunk on its way into a block.
#[derive(Debug, Clone)]
pub(crate) struct SeriesChunk {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) n_samples: u32,
    pub(crate) bytes: Vec<u8>,
}

/// A block being written.
#[derive(Debug)]
pub(crate) struct BlockWriter {
    dir: Arc<dyn Dir>,
    tmp: PathBuf,
    chunks: Box<dyn File>,
    buffer: Vec<u8>,
    written_bytes: u64,
    crc: u32,
    index: IndexWriter,
}

impl BlockWriter {
    /// Begins a block in a temporary folder `label.tmp`. `symbols` holds every name and value to come, sorted.
    pub(crate) fn begin(dir: Arc<dyn Dir>, label: &str, symbols: Vec<String>) -> Result<Self, TsdbError> {
        let tmp = PathBuf::from(format!("{label}{TMP_SUFFIX}"));
        if dir.exists(&tmp) {
            dir.remove_dir_all(&tmp).map_err(TsdbError::io("remove", &tmp))?;
        }
        dir.create_dir_all(&tmp).map_err(TsdbError::io("create", &tmp))?;
        let path = tmp.join(CHUNKS_FILE);
        let chunks = dir.create(&path).map_err(TsdbError::io("create", &path))?;
        let index = IndexWriter::new(symbols);
        Ok(Self { dir, tmp, chunks, buffer: CHUNKS_HEADER.to_vec(), written_bytes: 0, crc: 0, index })
    }

    /// Adds the next series by labels; its chunks rise and do not overlap. A series without chunks is left out.
    pub(crate) fn add(&mut self, labels: &Labels, chunks: &[SeriesChunk]) -> Result<(), TsdbError> {
        if chunks.is_empty() {
            return Ok(());
        }
        let start = self.written_bytes + self.buffer.len() as u64;
        let mut offset_bytes = start;
        let mut entries = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let n_bytes = u32::try_from(chunk.bytes.len()).expect("chunks are far under 4 GB");
            self.buffer.extend_from_slice(&n_bytes.to_le_bytes());
            self.buffer.extend_from_slice(&crc32c::crc32c(&chunk.bytes).to_le_bytes());
            self.buffer.extend_from_slice(&chunk.bytes);
            let (first_ms, last_ms, n_samples) = (chunk.first_ms, chunk.last_ms, chunk.n_samples);
            entries.push(ChunkEntry { first_ms, last_ms, n_samples, n_bytes, offset_bytes });
            offset_bytes = self.written_bytes + self.buffer.len() as u64;
        }
        if !self.index.add(labels, start, &entries) {
            return Err(TsdbError::corrupt(&self.tmp, "more series than an index can hold"));
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TsdbError> {
        let path = self.tmp.join(CHUNKS_FILE);
        self.chunks.append(&self.buffer).map_err(TsdbError::io("write", &path))?;
        self.crc = crc32c::crc32c_append(self.crc, &self.buffer);
        self.written_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes it a block and returns its name; the one that is already there, when it has the same content.
    ///
    /// A `compaction` without sources is that of a block cut from the head: it is its own source.
    pub(crate) fn finish(mut self, mut compaction: Compaction) -> Result<String, TsdbError> {
        self.flush()?;
        let path = self.tmp.join(CHUNKS_FILE);
        self.chunks.sync().map_err(TsdbError::io("sync", &path))?;
        let (index, toc, summary) = self.index.finish(self.written_bytes, self.crc);
        let name = block_name(summary.first_ms, &toc.bytes);
        if compaction.sources.is_empty() {
            compaction.sources.push(name.clone());
        }
        let stats = BlockStats {
            num_samples: summary.n_samples,
            num_series: u64::from(summary.n_series),
            num_chunks: summary.n_chunks,
        };
        let max_time = summary.last_ms.saturating_add(1);
        let meta = BlockMeta::new(name.clone(), summary.first_ms, max_time, stats, compaction);
        write_file(&*self.dir, &self.tmp.join(INDEX_FILE), &index)?;
        write_file(&*self.dir, &self.tmp.join(META_FILE), &meta.to_json())?;
        self.dir.sync_dir(&self.tmp).map_err(TsdbError::io("sync", &self.tmp))?;
        let target = Path::new(&name);
        if self.dir.exists(target) {
            let _ = self.dir.remove_dir_all(&self.tmp);
        } else {
            self.dir.rename(&self.tmp, target).map_err(TsdbError::io("rename", &self.tmp))?;
        }
        self.dir.sync_dir(Path::new("")).map_err(TsdbError::io("sync", Path::new(".")))?;
        Ok(name)
    }
}

fn write_file(dir: &dyn Dir, path: &Path, bytes: &[u8]) -> Result<(), TsdbError> {
    let mut file = dir.create(path).map_err(TsdbError::io("create", path))?;
    file.append(bytes).map_err(TsdbError::io("write", path))?;
    file.sync().map_err(TsdbError::io("sync", path))
}
