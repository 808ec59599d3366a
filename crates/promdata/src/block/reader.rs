//! Reads a block series by series, in label order, tombstones applied.
//!
//! Symbols are held in memory; series and chunks are read in windows of a megabyte.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Labels, TimeRange};
use stdx::dir::{Dir, File};
use storage::Series;

use super::index::{TOC_BYTES, Toc};
use super::meta::BlockMeta;
use super::tombstones::{self, Tombstones};
use super::{CHUNKS_MAGIC, CHUNKS_VERSION, INDEX_MAGIC, INDEX_VERSION, SERIES_ALIGN};
use crate::bytes::Cursor;
use crate::chunk::{ChunkError, Decoded, decode_chunk};
use crate::error::PromDataError;

/// Bytes read ahead. Chosen: few system calls, little memory.
const WINDOW_BYTES: usize = 1 << 20;
/// A series entry or chunk longer than this is damage, in bytes. Chosen: far above the largest that Prometheus writes.
const ENTRY_BYTES_MAX: u64 = 64 << 20;
/// A symbol table longer than this is refused, in bytes: the format's length has 32 bits, memory has less.
const SYMBOLS_BYTES_MAX: u64 = 4 << 30;
/// A varint of 64 bits takes up to this.
const VARINT_BYTES_MAX: u64 = 10;

/// A file read through a window.
struct Windowed {
    path: PathBuf,
    file: Box<dyn File>,
    len: u64,
    start: u64,
    window: Vec<u8>,
}

impl Windowed {
    fn open(dir: &dyn Dir, path: PathBuf) -> Result<Self, PromDataError> {
        let file = dir.open(&path).map_err(PromDataError::io("open", &path))?;
        let len = file.len().map_err(PromDataError::io("read", &path))?;
        Ok(Self { path, file, len, start: 0, window: Vec::new() })
    }

    /// `n_bytes` at `at`, fewer at the end of the file.
    fn at(&mut self, at: u64, n_bytes: u64) -> Result<&[u8], PromDataError> {
        let n_bytes = n_bytes.min(self.len.saturating_sub(at)) as usize;
        let inside = at >= self.start && at + n_bytes as u64 <= self.start + self.window.len() as u64;
        if !inside {
            let want = n_bytes.max(WINDOW_BYTES).min(self.len.saturating_sub(at) as usize);
            self.window.resize(want, 0);
            let got =
                self.file.read_at(&mut self.window, at).map_err(PromDataError::io("read", &self.path))?;
            self.window.truncate(got);
            self.start = at;
            if got < n_bytes {
                return Err(self.corrupt(at, "the file became shorter while it was read"));
            }
        }
        let from = (at - self.start) as usize;
        Ok(&self.window[from..from + n_bytes])
    }

    fn corrupt(&self, at: u64, reason: impl Into<String>) -> PromDataError {
        PromDataError::corrupt(&self.path, at, reason)
    }
}

/// Where one chunk is.
#[derive(Debug, Clone, Copy)]
struct ChunkRef {
    range: TimeRange,
    reference: u64,
}

/// An open block. [`BlockReader::next_series`] walks through it once.
pub struct BlockReader {
    meta: BlockMeta,
    folder: PathBuf,
    dir: Arc<dyn Dir>,
    index: Windowed,
    toc: Toc,
    symbols: Vec<Arc<str>>,
    next: u64,
    tombstones: Tombstones,
    segments: HashMap<u32, Windowed>,
}

impl std::fmt::Debug for BlockReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockReader").field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl BlockReader {
    /// Opens the block in `folder`.
    ///
    /// # Errors
    /// When a file is missing, damaged, or of a version that is not read.
    pub fn open(dir: Arc<dyn Dir>, folder: &Path) -> Result<Self, PromDataError> {
        let meta_path = folder.join("meta.json");
        let meta = dir.read(&meta_path).map_err(PromDataError::io("read", &meta_path))?;
        let meta = BlockMeta::parse(&meta_path, &meta)?;
        let mut index = Windowed::open(&*dir, folder.join("index"))?;
        let toc = read_toc(&mut index)?;
        let symbols = read_symbols(&mut index, toc)?;
        let tombstones = tombstones::read(&*dir, &folder.join("tombstones"))?;
        Ok(Self {
            meta,
            folder: folder.to_owned(),
            dir,
            index,
            toc,
            symbols,
            next: toc.series,
            tombstones,
            segments: HashMap::new(),
        })
    }

    /// What the block says about itself.
    #[must_use]
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// How much of the block has been walked through, 0 to 1.
    #[must_use]
    pub fn progress(&self) -> f64 {
        let (from, end) = (self.toc.series, self.toc.series_end());
        if end > from { (self.next.min(end) - from) as f64 / (end - from) as f64 } else { 1.0 }
    }

    /// The next series, with all samples that are not deleted; `None` at the end.
    ///
    /// # Errors
    /// When the block is damaged here. The walk cannot go on.
    pub fn next_series(&mut self) -> Result<Option<Series>, PromDataError> {
        let end = self.toc.series_end();
        let at = self.next.next_multiple_of(SERIES_ALIGN);
        if at >= end || self.index.at(at, 1)?.first().is_none_or(|byte| *byte == 0) {
            self.next = end;
            return Ok(None);
        }
        let (labels, chunks, after) = self.read_entry(at)?;
        self.next = after;
        let deleted = self.tombstones.get(&(at / SERIES_ALIGN)).cloned().unwrap_or_default();
        let mut out = Decoded::default();
        for chunk in chunks {
            let is_gone =
                |gone: &TimeRange| gone.contains(chunk.range.start_ms) && gone.contains(chunk.range.end_ms);
            if !deleted.iter().any(is_gone) {
                self.read_chunk(chunk.reference, &mut out)?;
            }
        }
        let mut series = out.into_series(labels);
        if !deleted.is_empty() {
            remove(&mut series, &deleted);
        }
        Ok(Some(series))
    }

    fn read_entry(&mut self, at: u64) -> Result<(Labels, Vec<ChunkRef>, u64), PromDataError> {
        let mut head = Cursor::new(self.index.at(at, VARINT_BYTES_MAX)?);
        let left = head.left();
        let n_bytes = head.uvarint().filter(|n| *n <= ENTRY_BYTES_MAX);
        let n_head = (left - head.left()) as u64;
        let n_bytes = n_bytes.ok_or_else(|| self.index.corrupt(at, "impossible length of a series"))?;
        let after = at + n_head + n_bytes + 4;
        let entry = self.index.at(at + n_head, n_bytes + 4)?;
        let Some(body) = checked(entry, n_bytes as usize) else {
            return Err(self.index.corrupt(at, "checksum mismatch of a series"));
        };
        match parse_entry(body, &self.symbols) {
            Some((labels, chunks)) => Ok((labels, chunks, after)),
            None => Err(self.index.corrupt(at, "a series that makes no sense")),
        }
    }

    fn read_chunk(&mut self, reference: u64, out: &mut Decoded) -> Result<(), PromDataError> {
        let (number, at) = ((reference >> 32) as u32, reference & 0xffff_ffff);
        if !self.segments.contains_key(&number) {
            let path = self.folder.join("chunks").join(format!("{:06}", u64::from(number) + 1));
            let mut file = Windowed::open(&*self.dir, path)?;
            let mut header = Cursor::new(file.at(0, 5)?);
            if (header.u32(), header.u8()) != (Some(CHUNKS_MAGIC), Some(CHUNKS_VERSION)) {
                return Err(file.corrupt(0, "not a chunks file of version 1"));
            }
            self.segments.insert(number, file);
        }
        let file = self.segments.get_mut(&number).expect("inserted above");
        let mut head = Cursor::new(file.at(at, VARINT_BYTES_MAX)?);
        let left = head.left();
        let n_bytes = head.uvarint().filter(|n| *n <= ENTRY_BYTES_MAX);
        let n_head = (left - head.left()) as u64;
        let n_bytes = n_bytes.ok_or_else(|| file.corrupt(at, "impossible length of a chunk"))?;
        let chunk = file.at(at + n_head, n_bytes + 5)?;
        // The checksum covers the encoding's byte, too.
        let Some((encoding, data)) = checked(chunk, n_bytes as usize + 1).and_then(<[u8]>::split_first)
        else {
            return Err(file.corrupt(at, "checksum mismatch of a chunk"));
        };
        decode_chunk(*encoding, data, out).map_err(|err| match err {
            ChunkError::Encoding(_) => {
                PromDataError::Unsupported { path: file.path.clone(), what: err.to_string() }
            }
            err => file.corrupt(at, err.to_string()),
        })
    }
}

/// The body of `bytes`, if the checksum behind it is right.
fn checked(bytes: &[u8], n_bytes: usize) -> Option<&[u8]> {
    let (body, crc) = bytes.split_at_checked(n_bytes)?;
    (Cursor::new(crc).u32()? == crc32c::crc32c(body)).then_some(body)
}

fn read_toc(index: &mut Windowed) -> Result<Toc, PromDataError> {
    let mut header = Cursor::new(index.at(0, 5)?);
    match (header.u32(), header.u8()) {
        (Some(INDEX_MAGIC), Some(INDEX_VERSION)) => {}
        (Some(INDEX_MAGIC), Some(version)) => {
            let what = format!("index version {version}");
            return Err(PromDataError::Unsupported { path: index.path.clone(), what });
        }
        _ => return Err(index.corrupt(0, "not an index")),
    }
    let at = index.len.saturating_sub(TOC_BYTES as u64);
    let toc = Toc::parse(index.at(at, TOC_BYTES as u64)?);
    let toc =
        toc.filter(|toc| toc.series <= index.len && toc.series_end() <= index.len && toc.symbols < index.len);
    toc.ok_or_else(|| index.corrupt(at, "the table of contents is damaged"))
}

fn read_symbols(index: &mut Windowed, toc: Toc) -> Result<Vec<Arc<str>>, PromDataError> {
    let at = toc.symbols;
    let n_bytes = Cursor::new(index.at(at, 4)?).u32().map(u64::from);
    let n_bytes = n_bytes.filter(|n| *n <= SYMBOLS_BYTES_MAX && at + 8 + n <= index.len);
    let n_bytes = n_bytes.ok_or_else(|| index.corrupt(at, "impossible length of the symbols"))?;
    let section = index.at(at + 4, n_bytes + 4)?;
    let Some(body) = checked(section, n_bytes as usize) else {
        return Err(index.corrupt(at, "checksum mismatch of the symbols"));
    };
    let mut cursor = Cursor::new(body);
    let symbols: Option<Vec<Arc<str>>> =
        cursor.u32().and_then(|n| (0..n).map(|_| cursor.label().map(Arc::from)).collect());
    symbols.ok_or_else(|| index.corrupt(at, "the symbols end early"))
}

fn parse_entry(body: &[u8], symbols: &[Arc<str>]) -> Option<(Labels, Vec<ChunkRef>)> {
    let mut cursor = Cursor::new(body);
    let n_labels = cursor.count()?;
    let mut pairs = Vec::with_capacity(n_labels);
    for _ in 0..n_labels {
        let mut symbol = || symbols.get(usize::try_from(cursor.uvarint()?).ok()?);
        let (name, value) = (symbol()?, symbol()?);
        pairs.push((name, value));
    }
    let n_chunks = cursor.count()?;
    let mut chunks: Vec<ChunkRef> = Vec::with_capacity(n_chunks);
    for _ in 0..n_chunks {
        let (start_ms, before) = match chunks.last() {
            None => (cursor.varint()?, None),
            Some(last) => (last.range.end_ms.checked_add_unsigned(cursor.uvarint()?)?, Some(last.reference)),
        };
        let end_ms = start_ms.checked_add_unsigned(cursor.uvarint()?)?;
        let reference = match before {
            None => cursor.uvarint()?,
            Some(before) => before.checked_add_signed(cursor.varint()?)?,
        };
        chunks.push(ChunkRef { range: TimeRange::new(start_ms, end_ms), reference });
    }
    Some((Labels::from_pairs(pairs), chunks))
}

/// Takes the samples within `deleted` out.
fn remove(series: &mut Series, deleted: &[TimeRange]) {
    let is_gone = |t_ms: i64| deleted.iter().any(|gone| gone.contains(t_ms));
    let kept: Vec<usize> = (0..series.values.len()).filter(|idx| !is_gone(series.timestamps[*idx])).collect();
    if !series.starts.is_empty() {
        series.starts = kept.iter().map(|idx| series.starts[*idx]).collect();
    }
    series.values = kept.iter().map(|idx| series.values[*idx]).collect();
    series.timestamps = Arc::new(kept.iter().map(|idx| series.timestamps[*idx]).collect());
    series.histograms.retain(|sample| !is_gone(sample.t_ms));
}
