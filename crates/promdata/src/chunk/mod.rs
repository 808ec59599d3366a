//! Chunks: one series' samples over a short time, as floats or native histograms.
//!
//! In from `block`, bytes of one chunk without length and checksum; out as samples. Layout: Prometheus' `tsdb/docs/format/chunks.md`.

mod histogram;
mod varbit;
mod xor;

use std::sync::Arc;

use storage::{HistogramSample, Series};

/// Floats.
pub(crate) const ENCODING_XOR: u8 = 1;
/// Native histograms with integer counts.
pub(crate) const ENCODING_HISTOGRAM: u8 = 2;
/// Native histograms with float counts.
pub(crate) const ENCODING_FLOAT_HISTOGRAM: u8 = 3;
/// Samples in a chunk we write. From Prometheus, whose tools expect about as many.
const SAMPLES_PER_CHUNK: usize = 120;

/// Samples of a chunk.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Times of `values`.
    pub timestamps: Vec<i64>,
    /// Floats.
    pub values: Vec<f64>,
    /// Histograms.
    pub histograms: Vec<HistogramSample>,
}

/// Decodes the data of a chunk of the given encoding and adds its samples to `out`.
///
/// # Errors
/// What is wrong with it, or which encoding is not read.
pub fn decode_chunk(encoding: u8, data: &[u8], out: &mut Decoded) -> Result<(), ChunkError> {
    match encoding {
        ENCODING_XOR => xor::decode(data, &mut out.timestamps, &mut out.values),
        ENCODING_HISTOGRAM => histogram::decode_integer(data, out),
        ENCODING_FLOAT_HISTOGRAM => histogram::decode_float(data, out),
        other => Err(ChunkError::Encoding(other)),
    }
}

/// Why a chunk could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// It ends before its samples do.
    #[error("it ends early")]
    Truncated,
    /// A number that cannot be.
    #[error("impossible {0}")]
    Field(&'static str),
    /// An encoding of a later version.
    #[error("chunk encoding {0}")]
    Encoding(u8),
}

/// A chunk to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkOut {
    /// First and last time.
    pub min_ms: i64,
    /// Last time.
    pub max_ms: i64,
    /// Its encoding's number.
    pub encoding: u8,
    /// Its data.
    pub data: Vec<u8>,
    /// How many samples it holds.
    pub n_samples: usize,
}

/// A run of samples of one kind, in time order.
enum Run<'a> {
    Floats(std::ops::Range<usize>),
    Histograms(&'a [HistogramSample]),
}

/// The samples of a series as chunks, in time order. Where floats and histograms alternate, chunks end.
#[must_use]
pub fn encode_chunks(series: &Series) -> Vec<ChunkOut> {
    let mut chunks = Vec::new();
    for run in runs(series) {
        match run {
            Run::Floats(range) => {
                let times = series.timestamps[range.clone()].chunks(SAMPLES_PER_CHUNK);
                let pieces = times.zip(series.values[range].chunks(SAMPLES_PER_CHUNK));
                chunks.extend(pieces.map(|(timestamps, values)| ChunkOut {
                    min_ms: timestamps[0],
                    max_ms: timestamps[timestamps.len() - 1],
                    encoding: ENCODING_XOR,
                    data: xor::encode(timestamps, values),
                    n_samples: values.len(),
                }));
            }
            Run::Histograms(samples) => chunks.extend(histogram::encode(samples, SAMPLES_PER_CHUNK)),
        }
    }
    chunks
}

fn runs(series: &Series) -> Vec<Run<'_>> {
    let (times, histograms) = (&series.timestamps, &series.histograms[..]);
    let mut runs = Vec::new();
    let (mut float, mut histogram) = (0, 0);
    while float < times.len() || histogram < histograms.len() {
        let next_histogram = histograms.get(histogram).map_or(i64::MAX, |sample| sample.t_ms);
        let end = float + times[float..].partition_point(|t_ms| *t_ms < next_histogram);
        if end > float {
            runs.push(Run::Floats(float..end));
            float = end;
        }
        let next_float = times.get(float).copied().unwrap_or(i64::MAX);
        let end = histogram + histograms[histogram..].partition_point(|sample| sample.t_ms < next_float);
        if end > histogram {
            runs.push(Run::Histograms(&histograms[histogram..end]));
            histogram = end;
        } else if float == times.len() {
            // Only a histogram at the very time of a float could stand here: the float stays.
            histogram += 1;
        } else if next_histogram == next_float {
            histogram += 1;
        }
    }
    runs
}

impl Decoded {
    /// As a series with these labels.
    #[must_use]
    pub fn into_series(self, labels: model::Labels) -> Series {
        let mut series = Series::floats(labels, Arc::new(self.timestamps), self.values);
        series.histograms = self.histograms;
        series
    }
}
