//! Chunks: one series' samples over a short time, as floats or native histograms.
//!
//! In from `block`, bytes of one chunk without length and checksum; out as samples. Layout: Prometheus' `tsdb/docs/format/chunks.md`.

mod histogram;
mod starts;
mod varbit;
mod xor;
mod xor2;

use std::sync::Arc;

use storage::{HistogramSample, Series};

/// Floats.
pub(crate) const ENCODING_XOR: u8 = 1;
/// Native histograms with integer counts.
pub(crate) const ENCODING_HISTOGRAM: u8 = 2;
/// Native histograms with float counts.
pub(crate) const ENCODING_FLOAT_HISTOGRAM: u8 = 3;
/// Floats, with start timestamps.
const ENCODING_XOR2: u8 = 4;
/// Native histograms with integer counts and start timestamps.
const ENCODING_HISTOGRAM_ST: u8 = 5;
/// Native histograms with float counts and start timestamps.
const ENCODING_FLOAT_HISTOGRAM_ST: u8 = 6;
/// Samples in a chunk we write. From Prometheus, whose tools expect about as many.
const SAMPLES_PER_CHUNK: usize = 120;

/// Samples of a chunk.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Times of `values`.
    pub timestamps: Vec<i64>,
    /// Floats.
    pub values: Vec<f64>,
    /// Start timestamps of the floats, as far as the last one known; 0 where not known.
    pub starts: Vec<i64>,
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
        ENCODING_XOR2 => xor2::decode(data, out),
        ENCODING_HISTOGRAM | ENCODING_HISTOGRAM_ST => {
            histogram::decode_integer(data, encoding == ENCODING_HISTOGRAM_ST, out)
        }
        ENCODING_FLOAT_HISTOGRAM | ENCODING_FLOAT_HISTOGRAM_ST => {
            histogram::decode_float(data, encoding == ENCODING_FLOAT_HISTOGRAM_ST, out)
        }
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
    fn put_float(&mut self, t_ms: i64, value: f64, start_ms: i64) {
        if start_ms != 0 {
            // Chunks without start timestamps may stand before.
            self.starts.resize(self.values.len(), 0);
            self.starts.push(start_ms);
        }
        self.timestamps.push(t_ms);
        self.values.push(value);
    }

    /// As a series with these labels. Samples out of order, as chunks that overlap have them, are put in order; of two at the
    /// same time the first stays.
    #[must_use]
    pub fn into_series(mut self, labels: model::Labels) -> Series {
        self.put_in_order();
        let mut series = Series::floats(labels, Arc::new(self.timestamps), self.values);
        series.starts = self.starts;
        series.histograms = self.histograms;
        series
    }

    fn put_in_order(&mut self) {
        if !self.starts.is_empty() {
            self.starts.resize(self.values.len(), 0);
        }
        if !self.timestamps.is_sorted_by(|a, b| a < b) {
            let mut order: Vec<usize> = (0..self.timestamps.len()).collect();
            order.sort_by_key(|idx| self.timestamps[*idx]);
            order.dedup_by_key(|idx| self.timestamps[*idx]);
            self.values = order.iter().map(|idx| self.values[*idx]).collect();
            if !self.starts.is_empty() {
                self.starts = order.iter().map(|idx| self.starts[*idx]).collect();
            }
            self.timestamps = order.iter().map(|idx| self.timestamps[*idx]).collect();
        }
        if !self.histograms.is_sorted_by(|a, b| a.t_ms < b.t_ms) {
            self.histograms.sort_by_key(|sample| sample.t_ms);
            self.histograms.dedup_by_key(|sample| sample.t_ms);
        }
        if !self.timestamps.is_empty() {
            self.histograms.retain(|sample| self.timestamps.binary_search(&sample.t_ms).is_err());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a string of hexadecimal digits.
    pub(super) fn bytes_of(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2);
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// Floats as time, bits, start timestamp.
    pub(super) fn shown(out: &Decoded) -> Vec<(i64, u64, i64)> {
        let start = |idx: usize| out.starts.get(idx).copied().unwrap_or(0);
        let floats = out.timestamps.iter().zip(&out.values).enumerate();
        floats.map(|(idx, (t_ms, value))| (*t_ms, value.to_bits(), start(idx))).collect()
    }

    #[test]
    fn samples_of_overlapping_chunks_are_put_in_order() {
        let mut out = Decoded::default();
        for (t_ms, value, start_ms) in [(1, 1.0, 0), (3, 3.0, 2), (2, 2.0, 0), (3, 9.0, 0), (4, 4.0, 0)] {
            out.put_float(t_ms, value, start_ms);
        }
        for t_ms in [6, 5, 4] {
            out.histograms.push(HistogramSample { t_ms, start_ms: 0, histogram: Arc::default() });
        }
        let series = out.into_series(model::Labels::empty());
        assert_eq!(
            (&series.timestamps[..], &series.values[..]),
            (&[1, 2, 3, 4][..], &[1.0, 2.0, 3.0, 4.0][..])
        );
        assert_eq!(series.starts, [0, 0, 2, 0]);
        assert_eq!(series.histograms.iter().map(|sample| sample.t_ms).collect::<Vec<_>>(), [5, 6]);
    }
}
