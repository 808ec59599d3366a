//! Pages and timestamp columns of one block on their way to a reader: read ahead, checked, decoded columns remembered.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Block, PAGES_FILE};
use crate::error::TsdbError;
use crate::index::{ColumnHead, PAGE_CRC_BYTES, PagePlace, ReadError};
use crate::page;

/// Bytes read at once when reading goes from one place to the next. Chosen: one read for hundreds of pages, and little to wait for where the
/// disk has to fetch it.
const AHEAD_BYTES: u64 = 64 << 10;
/// Bytes behind those that the disk is told to fetch meanwhile. Chosen: what takes it a millisecond.
const TOLD_BYTES: u64 = 512 << 10;
/// Bytes read at once for one series. Chosen.
const AT_ONCE_BYTES: u64 = 1 << 20;
/// Timestamps remembered in decoded columns. Chosen: 8 MB.
const TIMES_MAX: usize = 1 << 20;

/// Reads pages, forward best.
#[derive(Debug)]
pub(crate) struct PageReader {
    buffer: Vec<u8>,
    start: u64,
    /// Behind this no page is needed.
    end_max: u64,
}

impl Default for PageReader {
    fn default() -> Self {
        Self::up_to(u64::MAX)
    }
}

impl PageReader {
    /// One that reads ahead up to `end_max`.
    pub(super) fn up_to(end_max: u64) -> Self {
        Self { buffer: Vec::new(), start: 0, end_max }
    }

    /// Another for the same pages.
    pub(super) fn another(&self) -> Self {
        Self::up_to(self.end_max)
    }

    fn end(&self) -> u64 {
        self.start + self.buffer.len() as u64
    }

    /// Has `from..to` of the file at hand, as far as that is reasonable.
    pub(crate) fn prefetch(&mut self, block: &Block, from: u64, to: u64) -> Result<(), TsdbError> {
        if self.start <= from && to <= self.end() {
            return Ok(());
        }
        let limit = block.index().toc().pages_bytes;
        // Close behind what was read last: more of the same will follow.
        let forward = !self.buffer.is_empty() && from >= self.start && from <= self.end() + AHEAD_BYTES / 4;
        let to = to.min(from.saturating_add(AT_ONCE_BYTES));
        let to = if forward { to.max(self.end_max.min(from + AHEAD_BYTES)) } else { to }.min(limit);
        if forward {
            // The disk reads what comes next while this is decoded.
            block.will_need(to..self.end_max.min(to.saturating_add(TOLD_BYTES)));
        }
        let n_bytes = to.saturating_sub(from) as usize;
        self.buffer.resize(n_bytes, 0);
        self.start = from;
        let read = block.read_pages(&mut self.buffer, from);
        self.buffer.truncate(*read.as_ref().unwrap_or(&0));
        read.map(|_| ())
    }

    /// The page at `place`; `here` is what [`PagePlace::Here`] refers to. `Err(Ok(_))` says that it is damaged, and how.
    pub(crate) fn page<'a>(
        &'a mut self,
        block: &Block,
        place: &PagePlace,
        here: &'a [u8],
    ) -> Result<Result<&'a [u8], String>, TsdbError> {
        let (offset, n_bytes) = match *place {
            // Covered by the checksum of its leaf.
            PagePlace::Here(from, to) => return Ok(Ok(&here[from..to])),
            PagePlace::File(offset, n_bytes) => (offset, u64::from(n_bytes)),
        };
        let end = offset.saturating_add(n_bytes + PAGE_CRC_BYTES);
        if end > block.index().toc().pages_bytes {
            return Ok(Err(format!("page at byte {offset} lies outside the file")));
        }
        if offset < self.start || end > self.end() {
            self.prefetch(block, offset, end)?;
            if end > self.end() && n_bytes > AT_ONCE_BYTES - PAGE_CRC_BYTES {
                self.buffer.resize((end - offset) as usize, 0);
                let n_read = block.read_pages(&mut self.buffer, offset)?;
                self.buffer.truncate(n_read);
            }
        }
        let at = (offset - self.start) as usize;
        let found = self.buffer.get(at..at + n_bytes as usize + PAGE_CRC_BYTES as usize);
        let Some((page, crc)) = found.and_then(|record| record.split_last_chunk::<4>()) else {
            return Ok(Err(format!("page at byte {offset} is cut short")));
        };
        if crc32c::crc32c(page) != u32::from_le_bytes(*crc) {
            return Ok(Err(format!("checksum of the page at byte {offset} mismatches")));
        }
        Ok(Ok(page))
    }
}

/// Decoded columns of one block.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    decoded: HashMap<u32, Arc<Vec<i64>>>,
    n_times: usize,
}

impl Columns {
    /// The times of column `number`.
    pub(crate) fn times(&mut self, block: &Block, number: u32) -> Result<Arc<Vec<i64>>, ReadError> {
        if let Some(times) = self.decoded.get(&number) {
            return Ok(Arc::clone(times));
        }
        let times = block.index().column(number, |head, bytes| {
            let mut times = Vec::with_capacity(head.n_rows.min(page::ROWS_MAX as u32) as usize);
            let decoded = page::decode_times(bytes, &mut times);
            (decoded.is_ok() && agrees(head, &times)).then_some(times)
        })?;
        let times = times.ok_or_else(|| ReadError::Damaged(format!("column {number} malformed")))?;
        if self.n_times + times.len() > TIMES_MAX {
            self.decoded.clear();
            self.n_times = 0;
        }
        self.n_times += times.len();
        let times = Arc::new(times);
        self.decoded.insert(number, Arc::clone(&times));
        Ok(times)
    }
}

fn agrees(head: &ColumnHead, times: &[i64]) -> bool {
    times.len() == head.n_rows as usize
        && times.first() == Some(&head.first_ms)
        && times.last() == Some(&head.last_ms)
        && times.windows(2).all(|pair| pair[0] < pair[1])
}

/// The error for a page that is damaged.
pub(crate) fn damaged_page(block: &Block, reason: &str) -> TsdbError {
    block.note_damage(PAGES_FILE, reason)
}
