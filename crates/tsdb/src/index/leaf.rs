//! Leaves and their tables: how sections of an index are cut, packed and found again. Layout: docs/formats/index.md.
//!
//! Pure but for [`read_checked`], which reads through `stdx::File`. Never holds a section whole.

use std::ops::Range;

use stdx::{File, varint};

/// A leaf ends after the entry that fills so much. Chosen: one read from disk, and small next to a query.
pub(super) const LEAF_BYTES: usize = 16 << 10;
/// For postings, which compress better in company. Chosen.
pub(super) const POSTINGS_LEAF_BYTES: usize = 64 << 10;
/// No leaf is longer, so that no damaged length makes a reader ask for all memory. Chosen: postings of 16 M series without order.
pub(super) const LEAF_BYTES_MAX: usize = 64 << 20;
/// Compression has to save one part in so many. Chosen.
const SAVING: usize = 8;
/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;
/// Entries between restarts, and the bytes after which one comes earlier. Chosen.
pub(super) const RESTART_ENTRIES: u32 = 32;
pub(super) const RESTART_BYTES: usize = 1 << 10;

/// Where a leaf is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fence {
    /// Number of its first entry, and of how many there are.
    pub(super) first: u32,
    pub(super) n_entries: u32,
    offset: u64,
    stored_bytes: u32,
    raw_bytes: u32,
    crc: u32,
    /// The first value, for pairs.
    pub(super) value: Box<str>,
}

/// Collects the leaves of one section.
#[derive(Debug, Default)]
pub(super) struct LeafWriter {
    fences: Vec<Fence>,
    n_entries: u32,
}

impl LeafWriter {
    /// How many entries are in finished leaves.
    pub(super) fn n_entries(&self) -> u32 {
        self.n_entries
    }

    /// Appends a leaf of `n_entries` to `file`, whose end is at `end`. `false` when it is longer than a leaf may be.
    #[must_use]
    pub(super) fn put(
        &mut self,
        raw: &[u8],
        n_entries: u32,
        value: &str,
        end: u64,
        file: &mut Vec<u8>,
    ) -> bool {
        if raw.len() > LEAF_BYTES_MAX {
            return false;
        }
        let packed = zstd::bulk::compress(raw, ZSTD_LEVEL).ok();
        let stored = packed.as_deref().filter(|packed| packed.len() <= raw.len() - raw.len() / SAVING);
        let stored = stored.filter(|packed| packed.len() < raw.len()).unwrap_or(raw);
        self.fences.push(Fence {
            first: self.n_entries,
            n_entries,
            offset: end,
            stored_bytes: stored.len() as u32,
            raw_bytes: raw.len() as u32,
            crc: crc32c::crc32c(stored),
            value: value.into(),
        });
        self.n_entries += n_entries;
        file.extend_from_slice(stored);
        true
    }

    /// Where its leaves are.
    pub(super) fn fences(&self) -> &[Fence] {
        &self.fences
    }

    /// The section's table.
    pub(super) fn table(&self, with_values: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut end = 0u64;
        for fence in &self.fences {
            varint::put_u64(&mut out, u64::from(fence.n_entries));
            varint::put_i64(&mut out, fence.offset.wrapping_sub(end) as i64);
            varint::put_u64(&mut out, u64::from(fence.stored_bytes));
            varint::put_u64(&mut out, u64::from(fence.raw_bytes));
            out.extend_from_slice(&fence.crc.to_le_bytes());
            if with_values {
                varint::put_bytes(&mut out, fence.value.as_bytes());
            }
            end = fence.offset + u64::from(fence.stored_bytes);
        }
        out
    }
}

/// A section's table, read.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) fences: Vec<Fence>,
}

impl Table {
    /// `None` when malformed, or when not all of `n_entries` are there.
    pub(super) fn parse(mut src: &[u8], with_values: bool, n_entries: u32) -> Option<Self> {
        let src = &mut src;
        let small = |src: &mut &[u8]| u32::try_from(varint::get_u64(src)?).ok();
        let (mut fences, mut first, mut end) = (Vec::new(), 0u32, 0u64);
        while !src.is_empty() {
            let count = small(src).filter(|count| *count > 0)?;
            let offset = end.wrapping_add(varint::get_i64(src)? as u64);
            let (stored_bytes, raw_bytes) = (small(src)?, small(src)?);
            let (crc, rest) = src.split_first_chunk::<4>()?;
            *src = rest;
            let value: Box<str> = match with_values {
                true => std::str::from_utf8(varint::get_bytes(src)?).ok()?.into(),
                false => "".into(),
            };
            if stored_bytes > raw_bytes || raw_bytes as usize > LEAF_BYTES_MAX {
                return None;
            }
            end = offset.checked_add(u64::from(stored_bytes))?;
            let crc = u32::from_le_bytes(*crc);
            fences.push(Fence { first, n_entries: count, offset, stored_bytes, raw_bytes, crc, value });
            first = first.checked_add(count)?;
        }
        (first == n_entries).then_some(Self { fences })
    }

    /// Bytes of all leaves, as they are in the file.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.fences.iter().map(|fence| u64::from(fence.stored_bytes)).sum()
    }

    /// For measuring.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.fences.iter().map(|fence| size_of::<Fence>() + fence.value.len()).sum()
    }

    /// The place of the leaf that has entry `number`.
    pub(super) fn leaf_of(&self, number: u32) -> Option<usize> {
        let at = self.fences.partition_point(|fence| fence.first <= number).checked_sub(1)?;
        (number - self.fences[at].first < self.fences[at].n_entries).then_some(at)
    }
}

/// Why a part of an index could not be had.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The disk refused.
    Io(std::io::Error),
    /// It is not what was written; says what.
    Damaged(String),
}

impl From<std::io::Error> for ReadError {
    fn from(err: std::io::Error) -> Self {
        Self::Io(err)
    }
}

/// The error for malformed bytes of `what`.
pub(super) fn damaged(what: &str) -> ReadError {
    ReadError::Damaged(format!("{what} malformed"))
}

/// Reads `len` bytes and checks them.
pub(super) fn read_checked(
    file: &dyn File,
    offset: u64,
    len: usize,
    crc: u32,
    what: &str,
) -> Result<Vec<u8>, ReadError> {
    if offset.checked_add(len as u64).is_none_or(|end| end > file.len().unwrap_or(0)) {
        return Err(ReadError::Damaged(format!("{what} at byte {offset} lies outside the file")));
    }
    let mut bytes = vec![0; len];
    let n_read = file.read_at(&mut bytes, offset)?;
    if n_read != len || crc32c::crc32c(&bytes) != crc {
        return Err(ReadError::Damaged(format!("checksum of {what} at byte {offset} mismatches")));
    }
    Ok(bytes)
}

impl Fence {
    /// Where the leaf is in the index.
    pub(super) fn place(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.stored_bytes))
    }

    /// For tests of places alone.
    #[cfg(test)]
    pub(super) fn at(offset: u64, stored_bytes: u32) -> Self {
        let raw_bytes = stored_bytes;
        Self { first: 0, n_entries: 1, offset, stored_bytes, raw_bytes, crc: 0, value: "".into() }
    }

    /// The leaf, as it was before compression; `read` gets the stored bytes from a place, a length and their checksum.
    pub(super) fn read(
        &self,
        read: impl FnOnce(u64, usize, u32) -> Result<Vec<u8>, ReadError>,
        what: &str,
    ) -> Result<Vec<u8>, ReadError> {
        let stored = read(self.offset, self.stored_bytes as usize, self.crc)?;
        if self.stored_bytes == self.raw_bytes {
            return Ok(stored);
        }
        let raw = zstd::bulk::decompress(&stored, self.raw_bytes as usize).ok();
        raw.filter(|raw| raw.len() == self.raw_bytes as usize).ok_or_else(|| damaged(what))
    }
}

/// Gathers entries with restarts.
#[derive(Debug, Default)]
pub(super) struct RestartBuilder {
    pub(super) bytes: Vec<u8>,
    restarts: Vec<(u32, u32)>,
    pub(super) n_entries: u32,
}

impl RestartBuilder {
    /// Whether the next entry has to be coded as if nothing stood before it.
    pub(super) fn is_due(&self) -> bool {
        self.restarts.last().is_none_or(|(entry, at)| {
            self.n_entries - entry >= RESTART_ENTRIES || self.bytes.len() - *at as usize >= RESTART_BYTES
        })
    }

    /// Notes that the next entry is.
    pub(super) fn restart(&mut self) {
        self.restarts.push((self.n_entries, self.bytes.len() as u32));
    }

    /// Whether the leaf should end.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= LEAF_BYTES
    }

    /// The leaf and its number of entries; begins the next one.
    pub(super) fn take(&mut self) -> (Vec<u8>, u32) {
        let mut leaf = std::mem::take(self);
        for (entry, at) in &leaf.restarts {
            leaf.bytes.extend_from_slice(&entry.to_le_bytes());
            leaf.bytes.extend_from_slice(&at.to_le_bytes());
        }
        leaf.bytes.extend_from_slice(&(leaf.restarts.len() as u32).to_le_bytes());
        (leaf.bytes, leaf.n_entries)
    }
}

/// A leaf with restarts, read.
#[derive(Debug)]
pub(super) struct RestartLeaf {
    bytes: Vec<u8>,
    /// Where entries end.
    end: usize,
    n_restarts: usize,
}

impl RestartLeaf {
    pub(super) fn parse(bytes: Vec<u8>) -> Option<Self> {
        let n_restarts = u32::from_le_bytes(*bytes.last_chunk::<4>()?) as usize;
        let end = bytes.len().checked_sub(4 + n_restarts.checked_mul(8)?)?;
        (n_restarts > 0).then_some(Self { bytes, end, n_restarts })
    }

    fn restart(&self, idx: usize) -> (u32, usize) {
        let at = self.end + idx * 8;
        let field =
            |at: usize| u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("counted in parse"));
        (field(at), field(at + 4) as usize)
    }

    /// The last restart at or before `entry`: its entry and its place.
    pub(super) fn seek(&self, entry: u32) -> (u32, usize) {
        let (mut low, mut high) = (0, self.n_restarts);
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            if self.restart(middle).0 <= entry { low = middle } else { high = middle }
        }
        self.restart(low)
    }

    /// The entries from the place `at` on.
    pub(super) fn entries_from(&self, at: usize) -> Option<&[u8]> {
        self.bytes.get(at..self.end)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }
}
