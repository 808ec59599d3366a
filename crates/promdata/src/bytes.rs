//! Reading and writing big-endian numbers, varints and strings, with every length checked.

use model::labels::TEXT_BYTES_MAX;
use stdx::varint;

/// What is left of a section. A `None` anywhere means that it ended early.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, n_bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n_bytes)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four bytes")))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take(8).map(|bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
    }

    pub(crate) fn f64(&mut self) -> Option<f64> {
        self.u64().map(f64::from_bits)
    }

    pub(crate) fn uvarint(&mut self) -> Option<u64> {
        varint::get_u64(&mut self.rest)
    }

    pub(crate) fn varint(&mut self) -> Option<i64> {
        varint::get_i64(&mut self.rest)
    }

    /// A count of things that take at least one byte each, so that no count makes memory grow beyond the section.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let n = usize::try_from(self.uvarint()?).ok()?;
        (n <= self.left()).then_some(n)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let n_bytes = usize::try_from(self.uvarint()?).ok()?;
        std::str::from_utf8(self.take(n_bytes)?).ok()
    }

    /// A label's name or value, no longer than labels can be.
    pub(crate) fn label(&mut self) -> Option<&'a str> {
        self.text().filter(|text| text.len() <= TEXT_BYTES_MAX)
    }
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    varint::put_u64(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends the checksum of everything from `from` on.
pub(crate) fn put_crc(out: &mut Vec<u8>, from: usize) {
    let crc = crc32c::crc32c(&out[from..]);
    out.extend_from_slice(&crc.to_be_bytes());
}
