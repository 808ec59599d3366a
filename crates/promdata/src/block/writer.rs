//! Writes a block that Prometheus and its tools open.
//!
//! Series come in label order; symbols must be known before, since the index begins with them. Written to a
//! temporary folder, made durable, then renamed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Labels;
use stdx::dir::{Dir, File};
use stdx::varint;
use storage::Series;

use super::index::Toc;
use super::meta::{BlockMeta, MetaCompaction, MetaStats};
use super::{
    CHUNKS_HEADER_BYTES, CHUNKS_MAGIC, CHUNKS_VERSION, INDEX_MAGIC, INDEX_VERSION, SERIES_ALIGN, tombstones,
};
use crate::bytes::{put_crc, put_text};
use crate::chunk::{ChunkOut, encode_chunks};
use crate::error::PromDataError;

/// A chunks file is not made longer, in bytes. From Prometheus.
const SEGMENT_BYTES_MAX: u64 = 512 << 20;
/// Bytes gathered before each write. Chosen.
const BUFFER_BYTES: usize = 1 << 20;
/// Sections say their length in 32 bits.
const SECTION_BYTES_MAX: usize = u32::MAX as usize;

/// A file written through a buffer.
struct Out {
    path: PathBuf,
    file: Box<dyn File>,
    buffer: Vec<u8>,
    written: u64,
}

impl Out {
    fn create(dir: &dyn Dir, path: PathBuf) -> Result<Self, PromDataError> {
        let file = dir.create(&path).map_err(PromDataError::io("create", &path))?;
        Ok(Self { path, file, buffer: Vec::new(), written: 0 })
    }

    fn at(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), PromDataError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), PromDataError> {
        self.file.append(&self.buffer).map_err(PromDataError::io("write", &self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(), PromDataError> {
        self.flush()?;
        self.file.sync().map_err(PromDataError::io("sync", &self.path))
    }
}

/// A section of the index with its length before and checksum behind.
fn section(body: &[u8]) -> Result<Vec<u8>, PromDataError> {
    if body.len() > SECTION_BYTES_MAX {
        return Err(PromDataError::TooLarge { what: "a section of the index" });
    }
    let mut out = (body.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(body);
    put_crc(&mut out, 4);
    Ok(out)
}

/// A block being written.
pub struct BlockWriter {
    dir: Arc<dyn Dir>,
    folder: PathBuf,
    tmp: PathBuf,
    ulid: String,
    symbols: HashMap<Arc<str>, u64>,
    index: Out,
    toc: Toc,
    segment: Option<(u32, Out)>,
    postings: BTreeMap<(Arc<str>, Arc<str>), Vec<u32>>,
    all: Vec<u32>,
    last: Option<Labels>,
    stats: MetaStats,
    span: Option<(i64, i64)>,
}

impl std::fmt::Debug for BlockWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockWriter")
            .field("ulid", &self.ulid)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl BlockWriter {
    /// Begins a block named `ulid` in the data directory `folder`. `symbols` are all names and values that will come.
    ///
    /// # Errors
    /// When files cannot be made.
    pub fn begin(
        dir: Arc<dyn Dir>,
        folder: &Path,
        ulid: &str,
        symbols: impl IntoIterator<Item = String>,
    ) -> Result<Self, PromDataError> {
        let tmp = folder.join(format!("{ulid}.tmp-for-creation"));
        let chunks = tmp.join("chunks");
        dir.create_dir_all(&chunks).map_err(PromDataError::io("create", &chunks))?;
        let mut index = Out::create(&*dir, tmp.join("index"))?;
        index.put(&INDEX_MAGIC.to_be_bytes())?;
        index.put(&[INDEX_VERSION])?;
        let mut symbols: Vec<String> = symbols.into_iter().collect();
        symbols.sort_unstable();
        symbols.dedup();
        let mut body = (symbols.len() as u32).to_be_bytes().to_vec();
        symbols.iter().for_each(|symbol| put_text(&mut body, symbol));
        let mut toc = Toc { symbols: index.at(), ..Toc::default() };
        index.put(&section(&body)?)?;
        toc.series = index.at();
        let numbered =
            symbols.into_iter().enumerate().map(|(number, symbol)| (Arc::from(symbol), number as u64));
        Ok(Self {
            dir,
            folder: folder.to_owned(),
            tmp,
            ulid: ulid.to_owned(),
            symbols: numbered.collect(),
            index,
            toc,
            segment: None,
            postings: BTreeMap::new(),
            all: Vec::new(),
            last: None,
            stats: MetaStats::default(),
            span: None,
        })
    }

    /// Adds a series; one without samples is left out.
    ///
    /// # Errors
    /// When its labels do not come after those of the series before, or files cannot be written.
    pub fn add(&mut self, series: &Series) -> Result<(), PromDataError> {
        if series.is_empty() {
            return Ok(());
        }
        if self.last.as_ref().is_some_and(|last| *last >= series.labels) {
            return Err(PromDataError::Order { labels: series.labels.to_string() });
        }
        let chunks = encode_chunks(series);
        let references = chunks.iter().map(|chunk| self.put_chunk(chunk)).collect::<Result<Vec<_>, _>>()?;
        let at = self.index.at();
        let padding = at.next_multiple_of(SERIES_ALIGN) - at;
        self.index.put(&[0; SERIES_ALIGN as usize][..padding as usize])?;
        let number = u32::try_from(self.index.at() / SERIES_ALIGN)
            .map_err(|_| PromDataError::TooLarge { what: "the number of series" })?;
        let body = self.entry(&series.labels, &chunks, &references);
        let mut entry = Vec::new();
        varint::put_u64(&mut entry, body.len() as u64);
        let from = entry.len();
        entry.extend_from_slice(&body);
        put_crc(&mut entry, from);
        self.index.put(&entry)?;
        self.all.push(number);
        self.last = Some(series.labels.clone());
        self.stats.num_series += 1;
        Ok(())
    }

    fn entry(&mut self, labels: &Labels, chunks: &[ChunkOut], references: &[u64]) -> Vec<u8> {
        let number = (self.index.at() / SERIES_ALIGN) as u32;
        let mut body = Vec::new();
        varint::put_u64(&mut body, labels.len() as u64);
        for (name, value) in labels {
            let (name, name_no) = self.symbols.get_key_value(name).expect("the caller named all symbols");
            let (value, value_no) = self.symbols.get_key_value(value).expect("the caller named all symbols");
            varint::put_u64(&mut body, *name_no);
            varint::put_u64(&mut body, *value_no);
            self.postings.entry((Arc::clone(name), Arc::clone(value))).or_default().push(number);
        }
        varint::put_u64(&mut body, chunks.len() as u64);
        let mut before: Option<(i64, u64)> = None;
        for (chunk, reference) in chunks.iter().zip(references) {
            match before {
                None => varint::put_i64(&mut body, chunk.min_ms),
                Some((end_ms, _)) => varint::put_u64(&mut body, chunk.min_ms.abs_diff(end_ms)),
            }
            varint::put_u64(&mut body, chunk.max_ms.abs_diff(chunk.min_ms));
            match before {
                None => varint::put_u64(&mut body, *reference),
                Some((_, last)) => varint::put_i64(&mut body, reference.wrapping_sub(last) as i64),
            }
            before = Some((chunk.max_ms, *reference));
        }
        body
    }

    fn put_chunk(&mut self, chunk: &ChunkOut) -> Result<u64, PromDataError> {
        let mut bytes = Vec::with_capacity(chunk.data.len() + 16);
        varint::put_u64(&mut bytes, chunk.data.len() as u64);
        let from = bytes.len();
        bytes.push(chunk.encoding);
        bytes.extend_from_slice(&chunk.data);
        put_crc(&mut bytes, from);
        let is_full = |(_, file): &(u32, Out)| file.at() + bytes.len() as u64 > SEGMENT_BYTES_MAX;
        if self.segment.as_ref().is_none_or(is_full) {
            let number = match self.segment.take() {
                Some((number, full)) => full.finish().map(|()| number + 1)?,
                None => 0,
            };
            let mut file =
                Out::create(&*self.dir, self.tmp.join("chunks").join(format!("{:06}", number + 1)))?;
            file.put(&CHUNKS_MAGIC.to_be_bytes())?;
            file.put(&[CHUNKS_VERSION, 0, 0, 0])?;
            debug_assert_eq!(file.at(), CHUNKS_HEADER_BYTES);
            self.segment = Some((number, file));
        }
        let (number, file) = self.segment.as_mut().expect("made above");
        let reference = u64::from(*number) << 32 | file.at();
        file.put(&bytes)?;
        self.stats.num_chunks += 1;
        self.stats.num_samples += chunk.n_samples as u64;
        let (min_ms, max_ms) = self.span.unwrap_or((chunk.min_ms, chunk.max_ms));
        self.span = Some((min_ms.min(chunk.min_ms), max_ms.max(chunk.max_ms)));
        Ok(reference)
    }

    /// Finishes the block. Returns what it says about itself; `None` when it had no samples and was not written.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn finish(mut self) -> Result<Option<BlockMeta>, PromDataError> {
        let Some((min_ms, max_ms)) = self.span else {
            self.dir.remove_dir_all(&self.tmp).map_err(PromDataError::io("remove", &self.tmp))?;
            return Ok(None);
        };
        self.put_postings()?;
        if let Some((_, file)) = self.segment.take() {
            file.finish()?;
        }
        let meta = BlockMeta {
            ulid: self.ulid.clone(),
            min_time: min_ms,
            max_time: max_ms.saturating_add(1),
            stats: self.stats,
            compaction: MetaCompaction { level: 1, sources: vec![self.ulid.clone()] },
            version: 1,
        };
        self.index.finish()?;
        for (name, bytes) in [("tombstones", tombstones::empty()), ("meta.json", meta.to_json())] {
            let mut out = Out::create(&*self.dir, self.tmp.join(name))?;
            out.put(&bytes)?;
            out.finish()?;
        }
        let target = self.folder.join(&self.ulid);
        self.dir.sync_dir(&self.tmp.join("chunks")).map_err(PromDataError::io("sync", &self.tmp))?;
        self.dir.sync_dir(&self.tmp).map_err(PromDataError::io("sync", &self.tmp))?;
        self.dir.rename(&self.tmp, &target).map_err(PromDataError::io("rename", &self.tmp))?;
        self.dir.sync_dir(&self.folder).map_err(PromDataError::io("sync", &self.folder))?;
        Ok(Some(meta))
    }

    fn put_postings(&mut self) -> Result<(), PromDataError> {
        // Lists are aligned to four bytes, as Prometheus writes them.
        let at = self.index.at();
        let padding = at.next_multiple_of(4) - at;
        self.index.put(&[0; 4][..padding as usize])?;
        self.toc.postings = self.index.at();
        let empty: Arc<str> = Arc::from("");
        let all = ((Arc::clone(&empty), empty), std::mem::take(&mut self.all));
        let lists: Vec<_> = std::iter::once(all).chain(std::mem::take(&mut self.postings)).collect();
        let mut table = (lists.len() as u32).to_be_bytes().to_vec();
        for ((name, value), numbers) in lists {
            varint::put_u64(&mut table, 2);
            put_text(&mut table, &name);
            put_text(&mut table, &value);
            varint::put_u64(&mut table, self.index.at());
            let mut body = (numbers.len() as u32).to_be_bytes().to_vec();
            numbers.iter().for_each(|number| body.extend_from_slice(&number.to_be_bytes()));
            self.index.put(&section(&body)?)?;
        }
        // Tables that nobody reads any more, but whose places must be there.
        self.toc.label_table = self.index.at();
        self.index.put(&section(&0u32.to_be_bytes())?)?;
        self.toc.postings_table = self.index.at();
        self.index.put(&section(&table)?)?;
        let toc = self.toc.encode();
        self.index.put(&toc)
    }
}
