//! Opens blocks, and reads chunks in place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use model::TimeRange;
use stdx::{Dir, File};

use super::meta::is_block_name;
use super::{BlockMeta, CHUNKS_FILE, CHUNKS_HEADER, INDEX_FILE, META_FILE, TMP_SUFFIX, quarantine};
use crate::error::TsdbError;
use crate::index::{BlockIndex, CHUNK_HEADER_BYTES, ChunkEntry};
use crate::report::Quarantined;

/// An open block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) meta: BlockMeta,
    pub(crate) index: BlockIndex,
    pub(crate) size_bytes: u64,
    path: PathBuf,
    chunks: Box<dyn File>,
    /// A chunk was found damaged; compaction leaves this block alone.
    damaged: AtomicBool,
}

impl Block {
    /// Opens the block in the folder `name`, checking everything but its chunks, which are checked when read.
    pub(crate) fn open(dir: &dyn Dir, name: &str) -> Result<Self, TsdbError> {
        let path = PathBuf::from(name);
        let read = |file: &str| {
            let path = path.join(file);
            match dir.read(&path) {
                Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
                    Err(TsdbError::corrupt(&path, "the file is missing"))
                }
                other => other.map_err(TsdbError::io("read", &path)),
            }
        };
        let meta_json = read(META_FILE)?;
        let meta = BlockMeta::parse(&meta_json)
            .map_err(|reason| TsdbError::corrupt(&path.join(META_FILE), reason))?;
        let index_bytes = read(INDEX_FILE)?;
        let index = BlockIndex::parse(&index_bytes)
            .map_err(|reason| TsdbError::corrupt(&path.join(INDEX_FILE), reason))?;
        check_agreement(name, &meta, &index).map_err(|reason| TsdbError::corrupt(&path, reason))?;
        let chunks_path = path.join(CHUNKS_FILE);
        let chunks = match dir.open(&chunks_path) {
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
                return Err(TsdbError::corrupt(&chunks_path, "the file is missing"));
            }
            other => other.map_err(TsdbError::io("open", &chunks_path))?,
        };
        let chunks_bytes = chunks.len().map_err(TsdbError::io("open", &chunks_path))?;
        if chunks_bytes != index.summary().chunks_bytes {
            return Err(TsdbError::corrupt(
                &chunks_path,
                format!("{chunks_bytes} bytes long, not as the index says"),
            ));
        }
        let mut header = [0; CHUNKS_HEADER.len()];
        chunks.read_at(&mut header, 0).map_err(TsdbError::io("read", &chunks_path))?;
        if header != CHUNKS_HEADER {
            return Err(TsdbError::corrupt(&chunks_path, "not a file of chunks"));
        }
        let size_bytes = chunks_bytes + (meta_json.len() + index_bytes.len()) as u64;
        Ok(Self { meta, index, size_bytes, path, chunks, damaged: AtomicBool::new(false) })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.meta.ulid
    }

    /// From the first to the last sample.
    pub(crate) fn range(&self) -> TimeRange {
        TimeRange::new(self.meta.min_time, self.meta.max_time.saturating_sub(1))
    }

    /// Whether a damaged chunk was met.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// The chunk, its checksum verified.
    pub(crate) fn chunk(&self, entry: &ChunkEntry) -> Result<Vec<u8>, TsdbError> {
        let path = self.path.join(CHUNKS_FILE);
        // The index says how long the file is, and passed its checksum; still nothing larger than the file is read.
        let n_bytes = CHUNK_HEADER_BYTES + u64::from(entry.n_bytes);
        let end = entry.offset_bytes.checked_add(n_bytes);
        if end.is_none_or(|end| end > self.index.summary().chunks_bytes) {
            return Err(self.corrupt(entry, "lies outside the file"));
        }
        let mut record = vec![0; n_bytes as usize];
        let n_read =
            self.chunks.read_at(&mut record, entry.offset_bytes).map_err(TsdbError::io("read", &path))?;
        let (header, chunk) = record.split_at(CHUNK_HEADER_BYTES as usize);
        let field =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if n_read as u64 != n_bytes || field(0) != entry.n_bytes {
            return Err(self.corrupt(entry, "has another length than the index says"));
        }
        if crc32c::crc32c(chunk) != field(4) {
            return Err(self.corrupt(entry, "checksum mismatch"));
        }
        record.drain(..CHUNK_HEADER_BYTES as usize);
        Ok(record)
    }

    /// The error for a chunk that is not what was written; the block is left alone by compaction from then on.
    pub(crate) fn corrupt(&self, entry: &ChunkEntry, reason: &str) -> TsdbError {
        self.damaged.store(true, Ordering::Relaxed);
        let path = self.path.join(CHUNKS_FILE);
        TsdbError::corrupt(&path, format!("chunk at byte {}: {reason}", entry.offset_bytes))
    }

    /// The error for an index that is not what was written.
    pub(crate) fn corrupt_index(&self, reason: String) -> TsdbError {
        self.damaged.store(true, Ordering::Relaxed);
        TsdbError::corrupt(&self.path.join(INDEX_FILE), reason)
    }
}

fn check_agreement(name: &str, meta: &BlockMeta, index: &BlockIndex) -> Result<(), String> {
    let summary = index.summary();
    if meta.ulid != name {
        return Err(format!("meta.json names it {}", meta.ulid));
    }
    if super::meta::block_name(summary.first_ms, index.toc()) != name {
        return Err("its name is not that of its content".to_owned());
    }
    let meta_says = (meta.min_time, meta.max_time, meta.stats.num_samples, meta.stats.num_series);
    let index_says =
        (summary.first_ms, summary.last_ms.saturating_add(1), summary.n_samples, u64::from(summary.n_series));
    if meta_says != index_says {
        return Err("meta.json and index disagree".to_owned());
    }
    Ok(())
}

/// Opens all blocks, clears leftovers away, and sets damaged ones aside.
pub(crate) fn open_all(dir: &dyn Dir) -> Result<(Vec<Block>, Vec<Quarantined>), TsdbError> {
    let root = Path::new("");
    let (mut blocks, mut set_aside) = (Vec::new(), Vec::new());
    for entry in dir.list(root).map_err(TsdbError::io("list", Path::new(".")))? {
        if !entry.is_dir {
            continue;
        }
        let path = PathBuf::from(&entry.name);
        if entry.name.ends_with(TMP_SUFFIX) {
            dir.remove_dir_all(&path).map_err(TsdbError::io("remove", &path))?;
            continue;
        }
        if !is_block_name(&entry.name) {
            continue;
        }
        match Block::open(dir, &entry.name) {
            Ok(block) => blocks.push(block),
            Err(TsdbError::Corrupt { path: file, reason }) => {
                let moved_to = quarantine(dir, &path).map_err(TsdbError::io("move", &path))?;
                set_aside.push(Quarantined { path: file, moved_to: moved_to.display().to_string(), reason });
            }
            Err(other) => return Err(other),
        }
    }
    // A crash came between the commit of a larger block and the removal of those it replaces.
    let parents: BTreeSet<String> = blocks
        .iter()
        .flat_map(|block| &block.meta.compaction.parents)
        .map(|parent| parent.ulid.clone())
        .collect();
    let (replaced, mut kept): (Vec<Block>, Vec<Block>) =
        blocks.into_iter().partition(|block| parents.contains(block.name()));
    for block in replaced {
        remove_block(dir, block.name())?;
    }
    sort(&mut kept);
    Ok((kept, set_aside))
}

fn sort(blocks: &mut [Block]) {
    blocks.sort_by(|a, b| (a.meta.min_time, a.name()).cmp(&(b.meta.min_time, b.name())));
}

/// Removes a block from disk so that a crash in between leaves it whole or not at all.
pub(crate) fn remove_block(dir: &dyn Dir, name: &str) -> Result<(), TsdbError> {
    let path = PathBuf::from(name);
    let tmp = PathBuf::from(format!("{name}{TMP_SUFFIX}"));
    if dir.exists(&tmp) {
        dir.remove_dir_all(&tmp).map_err(TsdbError::io("remove", &tmp))?;
    }
    dir.rename(&path, &tmp).map_err(TsdbError::io("rename", &path))?;
    dir.remove_dir_all(&tmp).map_err(TsdbError::io("remove", &tmp))?;
    dir.sync_dir(Path::new("")).map_err(TsdbError::io("sync", Path::new(".")))
}
