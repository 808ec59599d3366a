//! Native histogram chunks, with integer and with float counts.
//!
//! A chunk has one layout (schema, zero threshold, spans, bounds); counts are deltas of deltas or XOR'd floats. A stale
//! histogram becomes a staleness marker among the floats, which is how our series end.

use std::sync::Arc;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::{Histogram, STALE_NAN, is_stale};
use stdx::bits::{BitReader, BitWriter};
use storage::HistogramSample;

use super::starts::Starts;
use super::varbit::{XorState, get_f64, get_int, get_uint, put_int, put_uint};
use super::{ChunkError, ChunkOut, Decoded, ENCODING_FLOAT_HISTOGRAM, ENCODING_HISTOGRAM};

/// Custom bounds up to this, in thousandths, are written as integers.
const BOUND_THOUSANDTHS_MAX: f64 = 33_554_430.0;
/// Number of samples and flags stand before the bit stream.
const HEADER_BYTES: usize = 3;
/// Where the header has start timestamps, the flags share two bytes with the number of samples.
const SAMPLES_BESIDE_FLAGS: u16 = 0x3fff;
/// Spans and buckets of all histograms of a chunk together; more is damage. Chosen: 128 MB of them, a hundred times what Prometheus
/// puts into a chunk.
const CHUNK_NUMBERS_MAX: usize = 16 << 20;

/// What all histograms of a chunk share.
#[derive(Debug, Clone, PartialEq)]
struct Layout {
    schema: i32,
    zero_threshold: f64,
    positive_spans: Vec<Span>,
    negative_spans: Vec<Span>,
    custom_bounds: Arc<[f64]>,
}

impl Layout {
    fn of(histogram: &Histogram) -> Self {
        Self {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            positive_spans: histogram.positive_spans.clone(),
            negative_spans: histogram.negative_spans.clone(),
            custom_bounds: Arc::clone(&histogram.custom_bounds),
        }
    }

    fn n_buckets(&self) -> (usize, usize) {
        let count = |spans: &[Span]| spans.iter().map(|span| span.length as usize).sum();
        (count(&self.positive_spans), count(&self.negative_spans))
    }

    fn put(&self, bits: &mut BitWriter) {
        put_threshold(bits, self.zero_threshold);
        put_int(bits, i64::from(self.schema));
        for spans in [&self.positive_spans, &self.negative_spans] {
            put_uint(bits, spans.len() as u64);
            for span in spans {
                put_uint(bits, u64::from(span.length));
                put_int(bits, i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            put_uint(bits, self.custom_bounds.len() as u64);
            self.custom_bounds.iter().for_each(|bound| put_bound(bits, *bound));
        }
    }

    /// `bits_max` bounds every count: nothing takes less than a bit.
    fn get(bits: &mut BitReader<'_>, bits_max: usize) -> Result<Self, ChunkError> {
        let zero_threshold = get_threshold(bits)?;
        let schema = i32::try_from(get_int(bits)?).map_err(|_| ChunkError::Field("schema"))?;
        let positive_spans = get_spans(bits, bits_max)?;
        let negative_spans = get_spans(bits, bits_max)?;
        let mut custom_bounds = Vec::new();
        if schema == CUSTOM_BUCKETS_SCHEMA {
            for _ in 0..get_count(bits, bits_max)? {
                custom_bounds.push(get_bound(bits)?);
            }
        }
        Ok(Self {
            schema,
            zero_threshold,
            positive_spans,
            negative_spans,
            custom_bounds: custom_bounds.into(),
        })
    }

    fn histogram(&self, hint: ResetHint, is_integer: bool) -> Histogram {
        Histogram {
            is_integer,
            reset_hint: hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            custom_bounds: Arc::clone(&self.custom_bounds),
            ..Histogram::default()
        }
    }
}

fn get_count(bits: &mut BitReader<'_>, bits_max: usize) -> Result<usize, ChunkError> {
    let n = usize::try_from(get_uint(bits)?).unwrap_or(usize::MAX);
    if n <= bits_max { Ok(n) } else { Err(ChunkError::Truncated) }
}

fn get_spans(bits: &mut BitReader<'_>, bits_max: usize) -> Result<Vec<Span>, ChunkError> {
    let mut spans = Vec::new();
    let mut n_buckets = 0usize;
    for _ in 0..get_count(bits, bits_max)? {
        let length = get_count(bits, bits_max)?;
        n_buckets += length;
        if n_buckets > bits_max {
            return Err(ChunkError::Truncated);
        }
        let offset = i32::try_from(get_int(bits)?).map_err(|_| ChunkError::Field("span"))?;
        spans.push(Span { offset, length: length as u32 });
    }
    Ok(spans)
}

/// Powers of two from 2^-243 to 2^10 take a byte: the exponent of 0.5·2^e, plus 243.
fn put_threshold(bits: &mut BitWriter, threshold: f64) {
    if threshold == 0.0 {
        return bits.put(0, 8);
    }
    let exponent = (1..=254).find(|byte| 2f64.powi(byte - 244) == threshold);
    match exponent {
        Some(byte) => bits.put(byte as u64, 8),
        None => {
            bits.put(255, 8);
            bits.put(threshold.to_bits(), 64);
        }
    }
}

fn get_threshold(bits: &mut BitReader<'_>) -> Result<f64, ChunkError> {
    match bits.get(8).ok_or(ChunkError::Truncated)? {
        0 => Ok(0.0),
        255 => get_f64(bits),
        byte => Ok(2f64.powi(byte as i32 - 244)),
    }
}

fn put_bound(bits: &mut BitWriter, bound: f64) {
    let thousandths = bound * 1000.0;
    let is_whole =
        (0.0..=BOUND_THOUSANDTHS_MAX).contains(&thousandths) && thousandths.round() / 1000.0 == bound;
    if is_whole {
        return put_uint(bits, thousandths.round() as u64 + 1);
    }
    bits.put(0, 1);
    bits.put(bound.to_bits(), 64);
}

fn get_bound(bits: &mut BitReader<'_>) -> Result<f64, ChunkError> {
    match get_uint(bits)? {
        0 => get_f64(bits),
        number => Ok((number - 1) as f64 / 1000.0),
    }
}

/// The hints of a chunk's first and later histograms.
fn hints(flags: u8) -> (ResetHint, ResetHint) {
    match flags >> 6 {
        0b10 => (ResetHint::Reset, ResetHint::NotReset),
        0b01 => (ResetHint::NotReset, ResetHint::NotReset),
        0b11 => (ResetHint::Gauge, ResetHint::Gauge),
        _ => (ResetHint::Unknown, ResetHint::NotReset),
    }
}

/// A chunk's header, read, and what follows it.
struct Opened<'a> {
    n_samples: usize,
    first_hint: ResetHint,
    later_hint: ResetHint,
    starts: Starts,
    bits: BitReader<'a>,
}

impl Opened<'_> {
    fn hint(&self, idx: usize) -> ResetHint {
        if idx == 0 { self.first_hint } else { self.later_hint }
    }

    /// What all have in common; within what a chunk may hold.
    fn layout(&mut self, bits_max: usize) -> Result<Layout, ChunkError> {
        let layout = Layout::get(&mut self.bits, bits_max)?;
        let (n_positive, n_negative) = layout.n_buckets();
        let n = layout.positive_spans.len() + layout.negative_spans.len() + n_positive + n_negative;
        if n.saturating_mul(self.n_samples) > CHUNK_NUMBERS_MAX {
            return Err(ChunkError::Field("number of buckets"));
        }
        Ok(layout)
    }
}

fn open(data: &[u8], has_starts: bool) -> Result<Opened<'_>, ChunkError> {
    let (header, rest) = data.split_first_chunk::<HEADER_BYTES>().ok_or(ChunkError::Truncated)?;
    let count = u16::from_be_bytes([header[0], header[1]]);
    let (count, flags, starts) =
        if has_starts { (count & SAMPLES_BESIDE_FLAGS, header[0], header[2]) } else { (count, header[2], 0) };
    let (first_hint, later_hint) = hints(flags);
    Ok(Opened {
        n_samples: usize::from(count),
        first_hint,
        later_hint,
        starts: Starts::new(starts),
        bits: BitReader::new(rest),
    })
}

fn put_out(out: &mut Decoded, t_ms: i64, start_ms: i64, histogram: Histogram) {
    if is_stale(histogram.sum) {
        out.put_float(t_ms, STALE_NAN, start_ms);
    } else {
        out.histograms.push(HistogramSample { t_ms, start_ms, histogram: Arc::new(histogram) });
    }
}

/// An integer that goes by deltas of deltas.
#[derive(Debug, Clone, Copy, Default)]
struct Dod {
    value: i64,
    delta: i64,
}

impl Dod {
    /// One that begins with `value`.
    fn at(value: i64) -> Self {
        Self { value, delta: 0 }
    }

    fn get(&mut self, bits: &mut BitReader<'_>) -> Result<i64, ChunkError> {
        self.delta = self.delta.wrapping_add(get_int(bits)?);
        self.value = self.value.wrapping_add(self.delta);
        Ok(self.value)
    }

    fn put(&mut self, bits: &mut BitWriter, value: i64) {
        let delta = value.wrapping_sub(self.value);
        put_int(bits, delta.wrapping_sub(self.delta));
        *self = Self { value, delta };
    }
}

/// Bucket counts from their distances: each bucket is stored relative to the one before it.
fn absolute(deltas: impl Iterator<Item = i64>) -> Vec<f64> {
    deltas
        .scan(0i64, |count, delta| {
            *count = count.wrapping_add(delta);
            Some(*count as f64)
        })
        .collect()
}

fn relative(counts: &[f64]) -> Vec<i64> {
    let mut last = 0;
    let step = |count: &f64| {
        let count = *count as i64;
        count - std::mem::replace(&mut last, count)
    };
    counts.iter().map(step).collect()
}

/// What a chunk has of each histogram besides its time: the first as it is, each other by how it differs from the one before.
trait Columns: Sized {
    const IS_INTEGER: bool;

    /// Writes the first.
    fn begin(bits: &mut BitWriter, first: &Histogram) -> Self;

    /// Writes another.
    fn put(&mut self, bits: &mut BitWriter, next: &Histogram);

    /// Reads the first.
    fn read(bits: &mut BitReader<'_>, n_buckets: usize) -> Result<Self, ChunkError>;

    /// Reads another. A stale one has no buckets.
    fn get(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError>;

    /// The one read last, of which so many buckets are positive.
    fn fill(&self, histogram: &mut Histogram, n_positive: usize);
}

/// Of histograms whose counts are whole numbers.
struct Integers {
    count: Dod,
    zero: Dod,
    sum: f64,
    sums: XorState,
    /// Relative to the bucket before, positive ones first.
    buckets: Vec<Dod>,
}

impl Integers {
    fn buckets_of(histogram: &Histogram) -> Vec<i64> {
        [relative(&histogram.positive_buckets), relative(&histogram.negative_buckets)].concat()
    }
}

impl Columns for Integers {
    const IS_INTEGER: bool = true;

    fn begin(bits: &mut BitWriter, first: &Histogram) -> Self {
        let (count, zero) = (first.count as u64, first.zero_count as u64);
        put_uint(bits, count);
        put_uint(bits, zero);
        bits.put(first.sum.to_bits(), 64);
        let buckets: Vec<Dod> = Self::buckets_of(first).into_iter().map(Dod::at).collect();
        buckets.iter().for_each(|bucket| put_int(bits, bucket.value));
        let (count, zero) = (Dod::at(count as i64), Dod::at(zero as i64));
        Self { count, zero, sum: first.sum, sums: XorState::after(first.sum), buckets }
    }

    fn put(&mut self, bits: &mut BitWriter, next: &Histogram) {
        self.count.put(bits, next.count as u64 as i64);
        self.zero.put(bits, next.zero_count as u64 as i64);
        self.sums.put(bits, next.sum);
        for (bucket, value) in self.buckets.iter_mut().zip(Self::buckets_of(next)) {
            bucket.put(bits, value);
        }
    }

    fn read(bits: &mut BitReader<'_>, n_buckets: usize) -> Result<Self, ChunkError> {
        let count = Dod::at(get_uint(bits)? as i64);
        let zero = Dod::at(get_uint(bits)? as i64);
        let sum = get_f64(bits)?;
        let mut buckets = vec![Dod::default(); n_buckets];
        for bucket in &mut buckets {
            bucket.value = get_int(bits)?;
        }
        Ok(Self { count, zero, sum, sums: XorState::after(sum), buckets })
    }

    fn get(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
        self.count.get(bits)?;
        self.zero.get(bits)?;
        self.sum = self.sums.get(bits)?;
        if !is_stale(self.sum) {
            self.buckets.iter_mut().try_for_each(|bucket| bucket.get(bits).map(drop))?;
        }
        Ok(())
    }

    fn fill(&self, histogram: &mut Histogram, n_positive: usize) {
        let whole = |number: Dod| number.value as u64 as f64;
        (histogram.count, histogram.zero_count, histogram.sum) =
            (whole(self.count), whole(self.zero), self.sum);
        let counts = |buckets: &[Dod]| absolute(buckets.iter().map(|bucket| bucket.value));
        histogram.positive_buckets = counts(&self.buckets[..n_positive]);
        histogram.negative_buckets = counts(&self.buckets[n_positive..]);
    }
}

/// Of histograms whose counts are floats: count, zero count, sum, then the buckets, each with what its next one is coded against.
struct Floats(Vec<(f64, XorState)>);

/// Columns before the buckets.
const FACTS: usize = 3;

impl Floats {
    fn columns_of(histogram: &Histogram) -> Vec<f64> {
        let facts: [f64; FACTS] = [histogram.count, histogram.zero_count, histogram.sum];
        [&facts[..], &histogram.positive_buckets, &histogram.negative_buckets].concat()
    }
}

impl Columns for Floats {
    const IS_INTEGER: bool = false;

    fn begin(bits: &mut BitWriter, first: &Histogram) -> Self {
        let first = Self::columns_of(first);
        first.iter().for_each(|value| bits.put(value.to_bits(), 64));
        Self(first.into_iter().map(|value| (value, XorState::after(value))).collect())
    }

    fn put(&mut self, bits: &mut BitWriter, next: &Histogram) {
        for ((_, state), value) in self.0.iter_mut().zip(Self::columns_of(next)) {
            state.put(bits, value);
        }
    }

    fn read(bits: &mut BitReader<'_>, n_buckets: usize) -> Result<Self, ChunkError> {
        let first =
            (0..FACTS + n_buckets).map(|_| get_f64(bits).map(|value| (value, XorState::after(value))));
        first.collect::<Result<_, _>>().map(Self)
    }

    fn get(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
        let mut read = |columns: &mut [(f64, XorState)]| {
            columns.iter_mut().try_for_each(|(value, state)| state.get(bits).map(|next| *value = next))
        };
        let (facts, buckets) = self.0.split_at_mut(FACTS);
        read(facts)?;
        if is_stale(facts[FACTS - 1].0) { Ok(()) } else { read(buckets) }
    }

    fn fill(&self, histogram: &mut Histogram, n_positive: usize) {
        let (facts, buckets) = self.0.split_at(FACTS);
        (histogram.count, histogram.zero_count, histogram.sum) = (facts[0].0, facts[1].0, facts[2].0);
        let counts = |buckets: &[(f64, XorState)]| buckets.iter().map(|(value, _)| *value).collect();
        histogram.positive_buckets = counts(&buckets[..n_positive]);
        histogram.negative_buckets = counts(&buckets[n_positive..]);
    }
}

pub(super) fn decode_integer(data: &[u8], has_starts: bool, out: &mut Decoded) -> Result<(), ChunkError> {
    decode::<Integers>(data, has_starts, out)
}

pub(super) fn decode_float(data: &[u8], has_starts: bool, out: &mut Decoded) -> Result<(), ChunkError> {
    decode::<Floats>(data, has_starts, out)
}

fn decode<C: Columns>(data: &[u8], has_starts: bool, out: &mut Decoded) -> Result<(), ChunkError> {
    let mut opened = open(data, has_starts)?;
    if opened.n_samples == 0 {
        return Ok(());
    }
    let layout = opened.layout(data.len() * 8)?;
    let (n_positive, n_negative) = layout.n_buckets();
    let mut time = Dod::at(get_int(&mut opened.bits)?);
    let mut columns = C::read(&mut opened.bits, n_positive + n_negative)?;
    for idx in 0..opened.n_samples {
        let (before_ms, bits) = (time.value, &mut opened.bits);
        if idx > 0 {
            time.get(bits)?;
            columns.get(bits)?;
        }
        let start_ms = opened.starts.get(bits, idx, time.value, before_ms)?;
        let mut histogram = layout.histogram(opened.hint(idx), C::IS_INTEGER);
        columns.fill(&mut histogram, n_positive);
        put_out(out, time.value, start_ms, histogram);
    }
    Ok(())
}

/// Histograms as chunks: a new one where the layout changes, a counter resets, or `samples_max` is reached.
pub(super) fn encode(samples: &[HistogramSample], samples_max: usize) -> Vec<ChunkOut> {
    let mut chunks = Vec::new();
    let mut rest = samples;
    while let Some(first) = rest.first() {
        let joins = |pair: &[HistogramSample]| continues(&pair[0].histogram, &pair[1].histogram);
        let n = 1 + rest.windows(2).take(samples_max - 1).take_while(|pair| joins(pair)).count();
        let (chunk, after) = rest.split_at(n);
        let is_integer = first.histogram.is_integer;
        chunks.push(ChunkOut {
            min_ms: first.t_ms,
            max_ms: chunk[n - 1].t_ms,
            encoding: if is_integer { ENCODING_HISTOGRAM } else { ENCODING_FLOAT_HISTOGRAM },
            data: if is_integer {
                encode_as::<Integers>(chunk, |_, _| {})
            } else {
                encode_as::<Floats>(chunk, |_, _| {})
            },
            n_samples: n,
        });
        rest = after;
    }
    chunks
}

/// Whether `next` may stand in the chunk of `last`.
fn continues(last: &Histogram, next: &Histogram) -> bool {
    let is_gauge = |histogram: &Histogram| histogram.reset_hint == ResetHint::Gauge;
    let same = last.is_integer == next.is_integer
        && is_gauge(last) == is_gauge(next)
        && Layout::of(last) == Layout::of(next);
    let grew = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a <= b);
    let no_reset = next.reset_hint != ResetHint::Reset
        && last.count <= next.count
        && last.zero_count <= next.zero_count
        && grew(&last.positive_buckets, &next.positive_buckets)
        && grew(&last.negative_buckets, &next.negative_buckets);
    same && (is_gauge(next) || no_reset)
}

fn begin(samples: &[HistogramSample]) -> BitWriter {
    let first = &samples[0].histogram;
    let flags = match first.reset_hint {
        ResetHint::Unknown => 0b00,
        ResetHint::NotReset => 0b01,
        ResetHint::Reset => 0b10,
        ResetHint::Gauge => 0b11u8,
    } << 6;
    let [high, low] = (samples.len() as u16).to_be_bytes();
    let mut bits = BitWriter::after(vec![high, low, flags]);
    Layout::of(first).put(&mut bits);
    put_int(&mut bits, samples[0].t_ms);
    bits
}

/// `after` each sample may write what stands behind it.
fn encode_as<C: Columns>(
    samples: &[HistogramSample],
    mut after: impl FnMut(&mut BitWriter, usize),
) -> Vec<u8> {
    let mut bits = begin(samples);
    let mut time = Dod::at(samples[0].t_ms);
    let mut columns = C::begin(&mut bits, &samples[0].histogram);
    after(&mut bits, 0);
    for (idx, sample) in samples.iter().enumerate().skip(1) {
        time.put(&mut bits, sample.t_ms);
        columns.put(&mut bits, &sample.histogram);
        after(&mut bits, idx);
    }
    bits.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::starts::StartsOut;
    use crate::chunk::tests::{bytes_of, shown};
    use crate::chunk::{ENCODING_FLOAT_HISTOGRAM_ST, ENCODING_HISTOGRAM_ST, decode_chunk};
    use proptest::prelude::*;

    fn histogram(is_integer: bool, schema: i32, counts: &[u32], scale: f64) -> Histogram {
        let counts: Vec<f64> = counts.iter().map(|count| f64::from(*count) * scale).collect();
        let custom = schema == CUSTOM_BUCKETS_SCHEMA;
        Histogram {
            is_integer,
            schema,
            zero_threshold: if custom { 0.0 } else { 2f64.powi(-128) },
            zero_count: if custom { 0.0 } else { scale },
            count: counts.iter().sum(),
            sum: 1.25 * counts.iter().sum::<f64>(),
            positive_spans: vec![
                Span { offset: 2, length: 2 },
                Span { offset: 1, length: counts.len() as u32 - 2 },
            ],
            positive_buckets: counts,
            custom_bounds: if custom { vec![0.005, 0.1, -3.0, 1e9].into() } else { Arc::from([]) },
            ..Histogram::default()
        }
    }

    proptest! {
        #[test]
        fn histograms_come_back(
            is_integer in any::<bool>(),
            schema in prop_oneof![-4i32..9, Just(CUSTOM_BUCKETS_SCHEMA)],
            rows in proptest::collection::vec((1i64..1_000_000, [0u32..99, 0..99, 0..99, 0..99]), 1..150),
        ) {
            let mut t_ms = 1_700_000_000_000;
            let scale = if is_integer { 1.0 } else { 0.3 };
            let samples: Vec<HistogramSample> = rows.iter().map(|(delta_ms, counts)| {
                t_ms += delta_ms;
                let histogram = Arc::new(histogram(is_integer, schema, counts, scale));
                HistogramSample { t_ms, start_ms: 0, histogram }
            }).collect();
            let mut out = Decoded::default();
            for chunk in encode(&samples, 120) {
                decode_chunk(chunk.encoding, &chunk.data, &mut out).unwrap();
            }
            prop_assert_eq!(out.histograms.len(), samples.len());
            for (got, sample) in out.histograms.iter().zip(&samples) {
                let hint = got.histogram.reset_hint;
                let expected = Histogram { reset_hint: hint, ..(*sample.histogram).clone() };
                prop_assert_eq!((got.t_ms, &*got.histogram), (sample.t_ms, &expected));
            }
        }

        #[test]
        fn histograms_with_start_timestamps_come_back(
            is_integer in any::<bool>(),
            rows in proptest::collection::vec((1i64..1_000_000, [0u32..99, 0..99, 0..99, 0..99], 0u8..4), 1..120),
        ) {
            let mut t_ms = 1_700_000_000_000;
            let mut start_ms = 0;
            let samples: Vec<HistogramSample> = rows.iter().map(|(delta_ms, counts, begins)| {
                // Mostly the start before; sometimes another, or none any more.
                start_ms = match begins {
                    0 => t_ms + delta_ms / 2,
                    1 if t_ms % 2 == 0 => 0,
                    _ => start_ms,
                };
                t_ms += delta_ms;
                let histogram = Arc::new(histogram(is_integer, 3, counts, 1.0));
                HistogramSample { t_ms, start_ms, histogram }
            }).collect();
            let mut starts = StartsOut::new();
            let after = |bits: &mut BitWriter, idx: usize| {
                let before_ms = samples[idx.saturating_sub(1)].t_ms;
                starts.put(bits, idx, samples[idx].t_ms, before_ms, samples[idx].start_ms);
            };
            let encoding = if is_integer { ENCODING_HISTOGRAM_ST } else { ENCODING_FLOAT_HISTOGRAM_ST };
            let mut data = if is_integer { encode_as::<Integers>(&samples, after) } else { encode_as::<Floats>(&samples, after) };
            data[2] = starts.header;
            let mut out = Decoded::default();
            decode_chunk(encoding, &data, &mut out).unwrap();
            let facts = |all: &[HistogramSample]| -> Vec<_> {
                all.iter().map(|one| (one.t_ms, one.start_ms, one.histogram.positive_buckets.clone())).collect()
            };
            prop_assert_eq!(facts(&out.histograms), facts(&samples));
        }

        #[test]
        fn any_bytes_are_refused_or_read(encoding in 2u8..7, data in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode_chunk(encoding, &data, &mut Decoded::default());
        }
    }

    /// What Prometheus 3.14 wrote for six samples: four histograms and two staleness markers.
    #[test]
    fn chunks_with_start_timestamps_that_prometheus_wrote_are_read() {
        let integer = concat!(
            "000683ff3f50624dd2f1a9fc8ca48c631bff0000c5e7f2b40058000000000000000118a39003f0753148e22fffc40c25fff01ac4d0",
            "b8c5effc4000000000007e0ea603f800062f3f985f24",
        );
        let float = concat!(
            "000683ff3f50624dd2f1a9fc8ca48c631bff0000c5e7f2b400200c000000000000000000000000000000000000000000001ff80000",
            "00000000200000000000000020000000000000001ff80000000000006400fc1d4c6a13f115ffe22fffe12fffec07b0191612fffe12",
            "fffec07ac2f5859ac4fd80f589bac2f683da0d7613a019c26400e2f7fe2000000000003f075301fc0003179fcc2f92",
        );
        let t_ms = 1_700_000_000_000i64;
        for (encoding, hex) in [(5, integer), (6, float)] {
            let mut out = Decoded::default();
            decode_chunk(encoding, &bytes_of(hex), &mut out).unwrap();
            let starts_ms: Vec<i64> = out.histograms.iter().map(|sample| sample.start_ms - t_ms).collect();
            assert_eq!(starts_ms, [-100, -100, -100, 30_001]);
            for (idx, sample) in out.histograms.iter().enumerate() {
                let n = idx as f64;
                let hint = if idx == 0 { ResetHint::Unknown } else { ResetHint::NotReset };
                let expected = Histogram {
                    is_integer: encoding == 5,
                    reset_hint: hint,
                    schema: 1,
                    zero_threshold: 0.001,
                    zero_count: n,
                    count: 6.0 + 4.0 * n,
                    sum: 1.5 * n,
                    positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
                    positive_buckets: vec![1.0 + n, 2.0 + n, 2.0 + n],
                    negative_spans: vec![Span { offset: -1, length: 1 }],
                    negative_buckets: vec![1.0],
                    ..Histogram::default()
                };
                assert_eq!((sample.t_ms, &*sample.histogram), (t_ms + idx as i64 * 15_000, &expected));
            }
            let stale = STALE_NAN.to_bits();
            assert_eq!(shown(&out), [(t_ms + 60_000, stale, t_ms + 30_001), (t_ms + 75_000, stale, 0)]);
        }
    }

    #[test]
    fn a_small_chunk_cannot_claim_many_buckets_for_many_samples() {
        let mut bits = BitWriter::after(vec![0x3f, 0xff, 0]);
        let spans = vec![Span { offset: 0, length: 0 }; 2000];
        Layout::of(&Histogram { positive_spans: spans, ..Histogram::default() }).put(&mut bits);
        let mut data = bits.finish();
        data.extend([0; 9000]);
        let decoded = decode_chunk(ENCODING_HISTOGRAM, &data, &mut Decoded::default());
        assert_eq!(decoded, Err(ChunkError::Field("number of buckets")));
    }

    #[test]
    fn thresholds_and_bounds_come_back() {
        for threshold in [0.0, 2f64.powi(-243), 2f64.powi(-128), 1.0, 1024.0, 2048.0, 0.3] {
            let mut bits = BitWriter::default();
            put_threshold(&mut bits, threshold);
            let bytes = bits.finish();
            assert_eq!(get_threshold(&mut BitReader::new(&bytes)), Ok(threshold), "{threshold}");
        }
        for bound in [0.0, 0.001, 0.005, 33_554.43, 33_554.431, -1.0, 0.1 + 0.2, f64::INFINITY] {
            let mut bits = BitWriter::default();
            put_bound(&mut bits, bound);
            let bytes = bits.finish();
            assert_eq!(get_bound(&mut BitReader::new(&bytes)), Ok(bound), "{bound}");
        }
    }
}
