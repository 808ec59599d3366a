//! Chunks: up to [`SAMPLES_MAX`] samples of one series, coded without loss.
//!
//! In from the head, one sample at a time ([`XorAppender`]), and from compaction, whole columns ([`encode`]); out to
//! readers, whole columns ([`decode`]). Pure and sync: no clock, no files, no threads.
//! Layout: docs/formats/chunk.md; every encoding has a number, a file here, and round-trip tests.
//! Invariant: timestamps strictly rise within a chunk, and every bit of every value comes back.
//!
//! This module is the example for the others: format page, header, named limits, error facts, property tests,
//! fuzz targets (`chunk_roundtrip`, `chunk_decode`) and a bench (`chunk_xor/…`).

mod columns;
mod xor;

use storage::TimestampColumn;

pub use xor::XorAppender;

/// Samples in one chunk. Chosen: an hour at 15 s; longer chunks save under 2 % and cost short queries (reference §3c).
pub const SAMPLES_MAX: usize = 240;

/// Bytes before the payload: encoding and number of samples.
pub const HEADER_BYTES: usize = 3;

/// Encoding number of [`xor`].
const ENCODING_XOR: u8 = 1;
/// Encoding number of [`columns`].
const ENCODING_COLUMNS: u8 = 2;

/// Why bytes are no chunk, or a sample does not fit into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// [`SAMPLES_MAX`] samples are in.
    #[error("chunk is full")]
    Full,
    /// Not after the sample before it.
    #[error("timestamp {t_ms} does not rise at sample {sample_idx}")]
    NotRising {
        /// Its place, from 0.
        sample_idx: usize,
        /// The timestamp.
        t_ms: i64,
    },
    /// The bytes end before the samples do.
    #[error("chunk ends within sample {sample_idx}")]
    Truncated {
        /// Which sample was being read.
        sample_idx: usize,
    },
    /// An encoding, or a kind within it, that nobody wrote.
    #[error("unknown {what} {number}")]
    Unknown {
        /// What the number stands for.
        what: &'static str,
        /// The number.
        number: u8,
    },
    /// A count outside its limits.
    #[error("{n_samples} samples, not 1 to {SAMPLES_MAX}")]
    Count {
        /// The count.
        n_samples: usize,
    },
    /// A field says something impossible.
    #[error("impossible {what} at sample {sample_idx}")]
    Field {
        /// Which field.
        what: &'static str,
        /// Where.
        sample_idx: usize,
    },
}

/// A decoded chunk: two columns of equal length.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// When, strictly rising.
    pub timestamps: Vec<i64>,
    /// What.
    pub values: Vec<f64>,
}

impl Columns {
    /// Equal to the bit: NaNs with equal payloads are equal, 0 and -0 are not.
    #[must_use]
    pub fn same_bits(&self, other: &Self) -> bool {
        self.timestamps == other.timestamps
            && self.values.len() == other.values.len()
            && self.values.iter().zip(&other.values).all(|(a, b)| a.to_bits() == b.to_bits())
    }

    /// As a series' columns.
    #[must_use]
    pub fn into_parts(self) -> (TimestampColumn, Vec<f64>) {
        (TimestampColumn::new(self.timestamps), self.values)
    }
}

/// Number of samples a chunk says it has.
///
/// # Errors
/// When the header is cut short or the count is out of range.
pub fn n_samples(chunk: &[u8]) -> Result<usize, ChunkError> {
    let &[_, low, high, ..] = chunk else { return Err(ChunkError::Truncated { sample_idx: 0 }) };
    let n_samples = usize::from(u16::from_le_bytes([low, high]));
    if n_samples == 0 || n_samples > SAMPLES_MAX {
        return Err(ChunkError::Count { n_samples });
    }
    Ok(n_samples)
}

/// Decodes `chunk` and adds its samples to `out`.
///
/// # Errors
/// When the bytes are no chunk; `out` may then hold samples of it.
pub fn decode(chunk: &[u8], out: &mut Columns) -> Result<(), ChunkError> {
    let n_samples = n_samples(chunk)?;
    let payload = &chunk[HEADER_BYTES..];
    out.timestamps.reserve(n_samples);
    out.values.reserve(n_samples);
    match chunk[0] {
        ENCODING_XOR => xor::decode(payload, n_samples, out),
        ENCODING_COLUMNS => columns::decode(payload, n_samples, out),
        number => Err(ChunkError::Unknown { what: "encoding", number }),
    }
}

/// Encodes columns of equal length, choosing the smallest encoding.
///
/// # Errors
/// When there are none or more than [`SAMPLES_MAX`] samples, or timestamps do not strictly rise.
pub fn encode(timestamps: &[i64], values: &[f64]) -> Result<Vec<u8>, ChunkError> {
    assert_eq!(timestamps.len(), values.len(), "columns have equal length");
    if timestamps.is_empty() {
        return Err(ChunkError::Count { n_samples: 0 });
    }
    let mut xor = XorAppender::new();
    for (t_ms, value) in timestamps.iter().zip(values) {
        xor.append(*t_ms, *value)?;
    }
    let columns = columns::encode(timestamps, values);
    Ok(if columns.len() < xor.bytes().len() { columns } else { xor.into_bytes() })
}

/// Codes a finished chunk anew when that makes it smaller.
#[must_use]
pub fn shrink(chunk: Vec<u8>) -> Vec<u8> {
    let mut samples = Columns::default();
    if decode(&chunk, &mut samples).is_err() {
        return chunk;
    }
    let columns = columns::encode(&samples.timestamps, &samples.values);
    if columns.len() >= chunk.len() {
        return chunk;
    }
    debug_assert!(
        {
            let mut back = Columns::default();
            decode(&columns, &mut back).is_ok() && back.same_bits(&samples)
        },
        "an encoding must give back what it was given"
    );
    columns
}

fn header(encoding: u8, n_samples: usize) -> [u8; HEADER_BYTES] {
    let [low, high] = u16::try_from(n_samples).expect("at most SAMPLES_MAX").to_le_bytes();
    [encoding, low, high]
}

#[cfg(test)]
mod tests;
