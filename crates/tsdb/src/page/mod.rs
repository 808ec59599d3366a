//! Pages: the values, times, start timestamps or histograms of one column over a slice of rows, as bytes.
//!
//! In from sealing and compaction, out to readers. Layout: docs/formats/page.md. Floats come back bit for bit. Pure functions:
//! no files, no clock, no state. Bytes that no encoder wrote are refused, and never grow more than [`ROWS_MAX`] rows.
//! Method: runs are cut away, decimals become integers over 10^e and a common divisor, those become levels, deltas or
//! second deltas in fixed-width fields with outliers beside them (ALP, FastLanes and Lemire's PFOR are the lineage); floats
//! that are no short decimals stay bit patterns or go through XOR as in Facebook's Gorilla.

mod decimal;
mod encode;
mod exceptions;
mod histograms;
mod ints;
mod kind;
mod pack;
mod point;
mod runs;
mod summary;
mod times;
mod values;
mod xor;

#[cfg(test)]
mod tests;

pub use encode::encode_values;
pub use histograms::{HISTOGRAM_CELLS_MAX, decode_histograms, encode_histograms, histogram_cells};
pub(crate) use kind::PageKind;
pub use point::{PointBuffer, has_only_numbers, value_at};
pub use summary::Summary;
pub use times::{decode_starts, decode_times, encode_starts, encode_times};
pub use values::{decode_values, form_name, n_values, summary};

/// Rows a page can hold: row numbers fit 16 bits. Chosen; usual pages have 120 to 480.
pub const ROWS_MAX: usize = 65_535;

/// Why bytes are no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// The bytes end too early.
    #[error("page ends early, in its {part}")]
    Short {
        /// Where.
        part: &'static str,
    },
    /// A field has a value that no encoder writes.
    #[error("page is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
}

/// Reads one byte and moves `src` past it.
fn take_byte(src: &mut &[u8], part: &'static str) -> Result<u8, PageError> {
    let (&byte, rest) = src.split_first().ok_or(PageError::Short { part })?;
    *src = rest;
    Ok(byte)
}

/// Reads eight bytes, little endian, and moves `src` past them.
fn take_u64(src: &mut &[u8], part: &'static str) -> Result<u64, PageError> {
    let (bytes, rest) = src.split_first_chunk().ok_or(PageError::Short { part })?;
    *src = rest;
    Ok(u64::from_le_bytes(*bytes))
}

/// Reads a LEB128 integer and moves `src` past it.
fn take_varint(src: &mut &[u8], part: &'static str) -> Result<u64, PageError> {
    stdx::varint::get_u64(src).ok_or(PageError::Short { part })
}

/// Reads a zigzag LEB128 integer and moves `src` past it.
fn take_zigzag(src: &mut &[u8], part: &'static str) -> Result<i64, PageError> {
    stdx::varint::get_i64(src).ok_or(PageError::Short { part })
}

/// Reads a number of rows, at most [`ROWS_MAX`].
fn take_count(src: &mut &[u8], part: &'static str) -> Result<usize, PageError> {
    let count = take_varint(src, part)?;
    match usize::try_from(count) {
        Ok(count) if count <= ROWS_MAX => Ok(count),
        _ => Err(PageError::Damaged { what: "more rows than a page can hold" }),
    }
}

/// Refuses bytes behind the end of a page.
fn at_end(src: &[u8]) -> Result<(), PageError> {
    if src.is_empty() { Ok(()) } else { Err(PageError::Damaged { what: "bytes behind the end" }) }
}

/// Length of `value` in LEB128.
fn varint_len(value: u64) -> usize {
    ((70 - (value | 1).leading_zeros()) / 7) as usize
}

/// Zigzag: small magnitudes of either sign become small.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
