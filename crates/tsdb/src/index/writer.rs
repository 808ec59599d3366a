//! Writes a block's index. Layout: docs/formats/index.md.
//!
//! In from the block writer, series by series in the order of their labels; out one byte string.

use std::collections::BTreeMap;

use model::Labels;
use stdx::varint;

use super::reader::ChunkEntry;

pub(super) const MAGIC: [u8; 4] = *b"HIDX";
pub(super) const VERSION: u8 = 1;
pub(super) const HEADER_BYTES: usize = 8;
pub(super) const TOC_MAGIC: [u8; 4] = *b"HTOC";
pub(super) const TOC_BYTES: usize = 160;
pub(super) const N_SECTIONS: usize = 5;

/// Totals that stand in the table of contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TocSummary {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) n_samples: u64,
    pub(crate) n_chunks: u64,
    pub(crate) chunks_bytes: u64,
    pub(crate) chunks_crc: u32,
    pub(crate) n_series: u32,
}

/// A finished table of contents.
#[derive(Debug)]
pub(crate) struct Toc {
    pub(crate) bytes: Vec<u8>,
}

/// Gathers an index.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    symbols: Vec<String>,
    series: Vec<u8>,
    offsets: Vec<u8>,
    n_series: u32,
    postings: BTreeMap<(u32, u32), Vec<u32>>,
    first_ms: i64,
    last_ms: i64,
    n_samples: u64,
    n_chunks: u64,
}

impl IndexWriter {
    /// `symbols` holds every name and value that will come, sorted and without duplicates.
    pub(crate) fn new(symbols: Vec<String>) -> Self {
        debug_assert!(symbols.is_sorted(), "symbols are numbered by their order");
        Self {
            symbols,
            series: Vec::new(),
            offsets: Vec::new(),
            n_series: 0,
            postings: BTreeMap::new(),
            first_ms: i64::MAX,
            last_ms: i64::MIN,
            n_samples: 0,
            n_chunks: 0,
        }
    }

    fn symbol(&self, text: &str) -> u32 {
        let at = self.symbols.binary_search_by(|symbol| symbol.as_str().cmp(text));
        at.expect("the caller gave all symbols") as u32
    }

    /// Adds the next series by labels. `chunks` is not empty, rises, and lies in one row from `offset_bytes` on.
    ///
    /// `false` when the index is full; nothing changed then.
    #[must_use]
    pub(crate) fn add(&mut self, labels: &Labels, offset_bytes: u64, chunks: &[ChunkEntry]) -> bool {
        let (Ok(offset), Some(next)) = (u32::try_from(self.series.len()), self.n_series.checked_add(1))
        else {
            return false;
        };
        self.offsets.extend_from_slice(&offset.to_le_bytes());
        varint::put_u64(&mut self.series, labels.len() as u64);
        for (name, value) in labels {
            let pair = (self.symbol(name), self.symbol(value));
            varint::put_u64(&mut self.series, u64::from(pair.0));
            varint::put_u64(&mut self.series, u64::from(pair.1));
            self.postings.entry(pair).or_default().push(self.n_series);
        }
        varint::put_u64(&mut self.series, chunks.len() as u64);
        varint::put_u64(&mut self.series, offset_bytes);
        let mut last_ms = None;
        for chunk in chunks {
            match last_ms {
                None => varint::put_i64(&mut self.series, chunk.first_ms),
                Some(last_ms) => {
                    varint::put_u64(&mut self.series, chunk.first_ms.wrapping_sub(last_ms) as u64);
                }
            }
            last_ms = Some(chunk.last_ms);
            varint::put_u64(&mut self.series, chunk.last_ms.wrapping_sub(chunk.first_ms) as u64);
            varint::put_u64(&mut self.series, u64::from(chunk.n_samples));
            varint::put_u64(&mut self.series, u64::from(chunk.n_bytes));
            self.first_ms = self.first_ms.min(chunk.first_ms);
            self.last_ms = self.last_ms.max(chunk.last_ms);
            self.n_samples += u64::from(chunk.n_samples);
            self.n_chunks += 1;
        }
        self.n_series = next;
        true
    }

    /// The whole file, and its table of contents, which names the block.
    pub(crate) fn finish(self, chunks_bytes: u64, chunks_crc: u32) -> (Vec<u8>, Toc, TocSummary) {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&[VERSION, 0, 0, 0]);
        let mut toc = Vec::with_capacity(TOC_BYTES);
        let mut section = |out: &mut Vec<u8>, bytes: &[u8]| {
            toc.extend_from_slice(&(out.len() as u64).to_le_bytes());
            toc.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            toc.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
            out.extend_from_slice(bytes);
        };
        let mut symbols = Vec::new();
        varint::put_u64(&mut symbols, self.symbols.len() as u64);
        self.symbols.iter().for_each(|symbol| varint::put_bytes(&mut symbols, symbol.as_bytes()));
        section(&mut out, &symbols);
        section(&mut out, &self.series);
        section(&mut out, &self.offsets);
        let (postings, labels) = put_postings(&self.postings);
        section(&mut out, &postings);
        section(&mut out, &labels);
        let summary = TocSummary {
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            n_samples: self.n_samples,
            n_chunks: self.n_chunks,
            chunks_bytes,
            chunks_crc,
            n_series: self.n_series,
        };
        put_summary(&mut toc, &summary);
        let crc = crc32c::crc32c(&toc);
        toc.extend_from_slice(&crc.to_le_bytes());
        toc.extend_from_slice(&TOC_MAGIC);
        debug_assert_eq!(toc.len(), TOC_BYTES, "as the format page says");
        out.extend_from_slice(&toc);
        (out, Toc { bytes: toc }, summary)
    }
}

fn put_summary(toc: &mut Vec<u8>, summary: &TocSummary) {
    toc.extend_from_slice(&summary.first_ms.to_le_bytes());
    toc.extend_from_slice(&summary.last_ms.to_le_bytes());
    toc.extend_from_slice(&summary.n_samples.to_le_bytes());
    toc.extend_from_slice(&summary.n_chunks.to_le_bytes());
    toc.extend_from_slice(&summary.chunks_bytes.to_le_bytes());
    toc.extend_from_slice(&summary.chunks_crc.to_le_bytes());
    toc.extend_from_slice(&summary.n_series.to_le_bytes());
    toc.extend_from_slice(&[0; 4]);
}

fn put_postings(lists: &BTreeMap<(u32, u32), Vec<u32>>) -> (Vec<u8>, Vec<u8>) {
    let mut postings = Vec::new();
    let mut names: Vec<(u32, Vec<_>)> = Vec::new();
    for ((name, value), list) in lists {
        let entry = (*value, postings.len(), list.len());
        let mut last = 0;
        for series in list {
            varint::put_u64(&mut postings, u64::from(series - last));
            last = *series;
        }
        match names.last_mut() {
            Some((last_name, values)) if last_name == name => values.push(entry),
            _ => names.push((*name, vec![entry])),
        }
    }
    let mut labels = Vec::new();
    varint::put_u64(&mut labels, names.len() as u64);
    for (name, values) in names {
        varint::put_u64(&mut labels, u64::from(name));
        varint::put_u64(&mut labels, values.len() as u64);
        for (value, offset, n_series) in values {
            varint::put_u64(&mut labels, u64::from(value));
            varint::put_u64(&mut labels, offset as u64);
            varint::put_u64(&mut labels, n_series as u64);
        }
    }
    (postings, labels)
}
