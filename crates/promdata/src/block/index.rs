//! Parts of the index that reader and writer share: the table of contents.

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
