//! Payloads of records: commits, and what a checkpoint holds.
//!
//! Pure: values in, bytes out, and back. Bytes from disk passed a checksum, and are still not trusted.

use model::{Labels, is_stale};
use stdx::varint;

const TYPE_COMMIT: u8 = 1;
const TYPE_SERIES: u8 = 2;
const TYPE_END: u8 = 3;

const KIND_RAW: u64 = 0;
const KIND_INTEGER: u64 = 1;
const KIND_STALE: u64 = 2;

/// Integers up to this magnitude take fewer bytes as varints than as floats.
const INTEGER_MAX: f64 = (1u64 << 48) as f64;

/// A series' first mention in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewSeries {
    pub(crate) series: u64,
    pub(crate) labels: Labels,
}

/// A sample by its series' number, which stays below 2^60.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WalSample {
    pub(crate) series: u64,
    pub(crate) t_ms: i64,
    pub(crate) value: f64,
}

/// What a reader of commits is given, in order.
#[derive(Debug)]
pub(crate) enum CommitRecord {
    Series(NewSeries),
    Sample(WalSample),
}

/// A payload that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadRecord(pub(crate) &'static str);

/// One record: series first mentioned, then samples.
pub(crate) fn encode_commit(series: &[NewSeries], samples: &[WalSample]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + samples.len() * 6 + series.len() * 128);
    out.push(TYPE_COMMIT);
    varint::put_u64(&mut out, series.len() as u64);
    for new in series {
        varint::put_u64(&mut out, new.series);
        put_labels(&mut out, &new.labels);
    }
    varint::put_u64(&mut out, samples.len() as u64);
    let (mut last_series, mut last_ms) = (0u64, 0i64);
    for sample in samples {
        put_sample(&mut out, sample, last_series, last_ms);
        (last_series, last_ms) = (sample.series, sample.t_ms);
    }
    out
}

/// Samples in one record; with at most 21 bytes each, far under the longest payload.
const RECORD_SAMPLES_MAX: usize = 1 << 20;
/// Bytes of new labels in one record, a quarter of the longest payload.
const RECORD_LABEL_BYTES_MAX: usize = 64 << 20;

/// The records of a batch: one, unless the batch is huge.
pub(crate) fn encode_batch(series: &[NewSeries], samples: &[WalSample]) -> Vec<Vec<u8>> {
    let n_label_bytes: usize = series.iter().map(|new| new.labels.packed_bytes()).sum();
    if n_label_bytes <= RECORD_LABEL_BYTES_MAX && samples.len() <= RECORD_SAMPLES_MAX {
        return vec![encode_commit(series, samples)];
    }
    let mut n_bytes = 0;
    let fits = |_: &NewSeries, next: &NewSeries| {
        n_bytes += next.labels.packed_bytes();
        let fits = n_bytes <= RECORD_LABEL_BYTES_MAX;
        n_bytes = if fits { n_bytes } else { 0 };
        fits
    };
    let definitions = series.chunk_by(fits).map(|part| encode_commit(part, &[]));
    definitions.chain(samples.chunks(RECORD_SAMPLES_MAX).map(|part| encode_commit(&[], part))).collect()
}

fn put_sample(out: &mut Vec<u8>, sample: &WalSample, last_series: u64, last_ms: i64) {
    let step = sample.series.wrapping_sub(last_series) as i64;
    let step = ((step << 1) ^ (step >> 63)) as u64;
    let same_time = sample.t_ms == last_ms;
    let value = sample.value;
    let kind = if is_stale(value) {
        KIND_STALE
    } else if value.abs() < INTEGER_MAX && (value as i64 as f64).to_bits() == value.to_bits() {
        KIND_INTEGER
    } else {
        KIND_RAW
    };
    varint::put_u64(out, step << 3 | u64::from(same_time) << 2 | kind);
    if !same_time {
        varint::put_i64(out, sample.t_ms.wrapping_sub(last_ms));
    }
    match kind {
        KIND_STALE => {}
        KIND_INTEGER => varint::put_i64(out, value as i64),
        _ => out.extend_from_slice(&value.to_bits().to_le_bytes()),
    }
}

/// Hands the parts of a commit to `take`, in order.
pub(crate) fn decode_commit(payload: &[u8], take: &mut impl FnMut(CommitRecord)) -> Result<(), BadRecord> {
    let Some((&TYPE_COMMIT, mut src)) = payload.split_first() else {
        return Err(BadRecord("not a commit record"));
    };
    let src = &mut src;
    let bad = || BadRecord("commit record ends early");
    let n_series = varint::get_u64(src).ok_or_else(bad)?;
    for _ in 0..n_series {
        let series = varint::get_u64(src).ok_or_else(bad)?;
        take(CommitRecord::Series(NewSeries { series, labels: get_labels(src)? }));
    }
    let n_samples = varint::get_u64(src).ok_or_else(bad)?;
    let (mut series, mut t_ms) = (0u64, 0i64);
    for _ in 0..n_samples {
        let head = varint::get_u64(src).ok_or_else(bad)?;
        let step = head >> 3;
        series = series.wrapping_add(((step >> 1) as i64 ^ -((step & 1) as i64)) as u64);
        if head & 4 == 0 {
            t_ms = t_ms.wrapping_add(varint::get_i64(src).ok_or_else(bad)?);
        }
        let value = match head & 3 {
            KIND_RAW => {
                let (bytes, rest) = src.split_first_chunk::<8>().ok_or_else(bad)?;
                *src = rest;
                f64::from_bits(u64::from_le_bytes(*bytes))
            }
            KIND_INTEGER => varint::get_i64(src).ok_or_else(bad)? as f64,
            KIND_STALE => model::STALE_NAN,
            _ => return Err(BadRecord("unknown kind of value")),
        };
        take(CommitRecord::Sample(WalSample { series, t_ms, value }));
    }
    if src.is_empty() { Ok(()) } else { Err(BadRecord("bytes after the end of a commit record")) }
}

/// A record of a checkpoint.
#[derive(Debug)]
pub(crate) enum CheckpointRecord<'a> {
    Series { series: NewSeries, chunks: Vec<&'a [u8]> },
    End { next_series: u64, n_series: u64 },
}

pub(crate) fn encode_checkpoint_series<'a>(
    series: u64,
    labels: &Labels,
    chunks: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut out = vec![TYPE_SERIES];
    varint::put_u64(&mut out, series);
    put_labels(&mut out, labels);
    varint::put_u64(&mut out, chunks.len() as u64);
    for chunk in chunks {
        varint::put_bytes(&mut out, chunk);
    }
    out
}

pub(crate) fn encode_checkpoint_end(next_series: u64, n_series: u64) -> Vec<u8> {
    let mut out = vec![TYPE_END];
    varint::put_u64(&mut out, next_series);
    varint::put_u64(&mut out, n_series);
    out
}

pub(crate) fn decode_checkpoint(payload: &[u8]) -> Result<CheckpointRecord<'_>, BadRecord> {
    let bad = || BadRecord("checkpoint record ends early");
    let (&kind, mut src) = payload.split_first().ok_or_else(bad)?;
    let src = &mut src;
    let record = match kind {
        TYPE_SERIES => {
            let series = varint::get_u64(src).ok_or_else(bad)?;
            let labels = get_labels(src)?;
            let n_chunks = varint::get_u64(src).ok_or_else(bad)?;
            let mut chunks = Vec::new();
            for _ in 0..n_chunks {
                chunks.push(varint::get_bytes(src).ok_or_else(bad)?);
            }
            CheckpointRecord::Series { series: NewSeries { series, labels }, chunks }
        }
        TYPE_END => {
            let next_series = varint::get_u64(src).ok_or_else(bad)?;
            CheckpointRecord::End { next_series, n_series: varint::get_u64(src).ok_or_else(bad)? }
        }
        _ => return Err(BadRecord("unknown checkpoint record")),
    };
    if src.is_empty() { Ok(record) } else { Err(BadRecord("bytes after the end of a checkpoint record")) }
}

fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    varint::put_u64(out, labels.len() as u64);
    for (name, value) in labels {
        varint::put_bytes(out, name.as_bytes());
        varint::put_bytes(out, value.as_bytes());
    }
}

fn get_labels(src: &mut &[u8]) -> Result<Labels, BadRecord> {
    let bad = || BadRecord("series ends early");
    let n_pairs = varint::get_u64(src).ok_or_else(bad)?;
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for _ in 0..n_pairs {
        let name = get_text(src)?;
        let value = get_text(src)?;
        let rises = pairs.last().is_none_or(|(last, _)| *last < name);
        if !rises || name.is_empty() || value.is_empty() {
            return Err(BadRecord("labels are not sorted"));
        }
        pairs.push((name, value));
    }
    Ok(Labels::from_sorted(pairs))
}

/// Longest name or value: what `Labels` can pack.
const TEXT_BYTES_MAX: usize = 0x10_ffff - 0x800;

fn get_text<'a>(src: &mut &'a [u8]) -> Result<&'a str, BadRecord> {
    let bytes = varint::get_bytes(src).ok_or(BadRecord("label ends early"))?;
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(BadRecord("label is too long"));
    }
    std::str::from_utf8(bytes).map_err(|_| BadRecord("label is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_commit_comes_back(
            samples in proptest::collection::vec((0..1u64 << 60, any::<i64>(), any::<u64>()), 0..40),
            names in proptest::collection::vec("[a-z]{1,4}", 0..5),
        ) {
            let samples: Vec<WalSample> = samples.iter().enumerate().map(|(idx, (series, t_ms, bits))| {
                let value = match idx % 4 {
                    0 => model::STALE_NAN,
                    1 => (*bits >> 20) as f64,
                    2 => -0.0,
                    _ => f64::from_bits(*bits),
                };
                WalSample { series: if idx % 3 == 0 { *series } else { idx as u64 }, t_ms: *t_ms, value }
            }).collect();
            let labels = Labels::from_pairs(names.iter().map(|name| (name, "v")));
            let series = vec![NewSeries { series: 7, labels }];
            let payload = encode_commit(&series, &samples);
            let (mut got_series, mut got) = (Vec::new(), Vec::new());
            decode_commit(&payload, &mut |part| match part {
                CommitRecord::Series(new) => got_series.push(new),
                CommitRecord::Sample(s) => got.push((s.series, s.t_ms, s.value.to_bits())),
            }).unwrap();
            let sent: Vec<_> = samples.iter().map(|s| (s.series, s.t_ms, s.value.to_bits())).collect();
            prop_assert_eq!(got, sent);
            prop_assert_eq!(got_series, series);
            for len in 0..payload.len() {
                let cut = decode_commit(&payload[..len], &mut |_| {});
                prop_assert!(cut.is_err());
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read(kind in 0u8..4, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let payload = [&[kind][..], &bytes].concat();
            let _ = super::super::fuzz_record(&payload);
        }
    }

    #[test]
    fn a_scrape_takes_few_bytes() {
        let at = |series: u64| WalSample { series, t_ms: 1_700_000_000_000, value: series as f64 };
        let samples: Vec<_> = (1..=1_000).map(at).collect();
        assert!(encode_commit(&[], &samples).len() < 3_100);
    }
}
