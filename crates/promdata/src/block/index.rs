//! Parts of the index that reader and writer share: the table of contents.

use stdx::varint;

use super::{INDEX_MAGIC, INDEX_VERSION, SERIES_ALIGN};
use crate::bytes::{Cursor, put_crc};

/// Size of the table of contents at the end of the file.
pub(super) const TOC_BYTES: usize = 52;

/// Where the sections begin; 0 for one that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Toc {
    pub(super) symbols: u64,
    pub(super) series: u64,
    pub(super) label_indices: u64,
    pub(super) label_table: u64,
    pub(super) postings: u64,
    pub(super) postings_table: u64,
}

impl Toc {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let crc = Cursor::new(bytes.get(TOC_BYTES - 4..TOC_BYTES)?).u32()?;
        if crc32c::crc32c(&bytes[..TOC_BYTES - 4]) != crc {
            return None;
        }
        let mut cursor = Cursor::new(bytes);
        Some(Self {
            symbols: cursor.u64()?,
            series: cursor.u64()?,
            label_indices: cursor.u64()?,
            label_table: cursor.u64()?,
            postings: cursor.u64()?,
            postings_table: cursor.u64()?,
        })
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let places = [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_table,
            self.postings,
            self.postings_table,
        ];
        let mut out: Vec<u8> = places.iter().flat_map(|place| place.to_be_bytes()).collect();
        put_crc(&mut out, 0);
        out
    }

    /// Where the section of series ends.
    pub(super) fn series_end(self) -> u64 {
        [self.label_indices, self.postings, self.label_table, self.postings_table]
            .into_iter()
            .filter(|place| *place > self.series)
            .min()
            .unwrap_or(self.series)
    }
}

/// An index with these symbols and one series: for fuzzing.
pub(crate) fn sealed_index(symbols: &[u8], entry: &[u8]) -> Vec<u8> {
    let mut out = INDEX_MAGIC.to_be_bytes().to_vec();
    out.push(INDEX_VERSION);
    let symbols_at = out.len() as u64;
    out.extend_from_slice(&(symbols.len() as u32).to_be_bytes());
    let from = out.len();
    out.extend_from_slice(symbols);
    put_crc(&mut out, from);
    out.resize(out.len().next_multiple_of(SERIES_ALIGN as usize), 0);
    let series_at = out.len() as u64;
    varint::put_u64(&mut out, entry.len() as u64);
    let from = out.len();
    out.extend_from_slice(entry);
    put_crc(&mut out, from);
    let postings_at = out.len() as u64;
    let toc = Toc { symbols: symbols_at, series: series_at, postings: postings_at, ..Toc::default() };
    out.extend_from_slice(&toc.encode());
    out
}
