//! Records: series, samples, histograms, tombstones; the rest is passed over.

use std::sync::Arc;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::{Histogram, Labels, TimeRange};

use crate::bytes::Cursor;

/// A record that matters here. Series are known by number.
#[derive(Debug)]
pub(super) enum Record {
    Series(Vec<(u64, Labels)>),
    Samples(Vec<(u64, i64, f64)>),
    Histograms(Vec<(u64, i64, Histogram)>),
    Tombstones(Vec<(u64, TimeRange)>),
    /// Exemplars, metadata, markers.
    Other,
}

const SERIES: u8 = 1;
const SAMPLES: u8 = 2;
const TOMBSTONES: u8 = 3;
const EXEMPLARS: u8 = 4;
const MMAP_MARKERS: u8 = 5;
const METADATA: u8 = 6;
const HISTOGRAMS: u8 = 7;
const FLOAT_HISTOGRAMS: u8 = 8;
const CUSTOM_HISTOGRAMS: u8 = 9;
const CUSTOM_FLOAT_HISTOGRAMS: u8 = 10;

/// Decodes one record.
pub(super) fn decode(payload: &[u8]) -> Result<Record, String> {
    let mut cursor = Cursor::new(payload);
    let kind = cursor.u8().ok_or("an empty record")?;
    let early = || format!("a record of kind {kind} that ends early");
    match kind {
        SERIES => all(&mut cursor, series).map(Record::Series).ok_or_else(early),
        SAMPLES => based(&mut cursor, |cursor| cursor.f64()).map(Record::Samples).ok_or_else(early),
        TOMBSTONES => all(&mut cursor, tombstone).map(Record::Tombstones).ok_or_else(early),
        HISTOGRAMS | CUSTOM_HISTOGRAMS => {
            based(&mut cursor, integer_histogram).map(Record::Histograms).ok_or_else(early)
        }
        FLOAT_HISTOGRAMS | CUSTOM_FLOAT_HISTOGRAMS => {
            based(&mut cursor, float_histogram).map(Record::Histograms).ok_or_else(early)
        }
        EXEMPLARS | MMAP_MARKERS | METADATA => Ok(Record::Other),
        other => Err(format!(
            "a record of kind {other}, which is not read: let Prometheus put its head into a block first (a snapshot by its admin API does)"
        )),
    }
}

fn all<T>(cursor: &mut Cursor<'_>, one: impl Fn(&mut Cursor<'_>) -> Option<T>) -> Option<Vec<T>> {
    let mut out = Vec::new();
    while cursor.left() > 0 {
        out.push(one(cursor)?);
    }
    Some(out)
}

/// Samples relative to the number and time that stand first.
fn based<T>(
    cursor: &mut Cursor<'_>,
    value: impl Fn(&mut Cursor<'_>) -> Option<T>,
) -> Option<Vec<(u64, i64, T)>> {
    if cursor.left() == 0 {
        return Some(Vec::new());
    }
    let (number, t_ms) = (cursor.u64()?, cursor.u64()? as i64);
    all(cursor, |cursor| {
        let number = number.wrapping_add(cursor.varint()? as u64);
        let t_ms = t_ms.wrapping_add(cursor.varint()?);
        Some((number, t_ms, value(cursor)?))
    })
}

fn series(cursor: &mut Cursor<'_>) -> Option<(u64, Labels)> {
    let number = cursor.u64()?;
    let pairs: Option<Vec<(&str, &str)>> =
        (0..cursor.count()?).map(|_| Some((cursor.text()?, cursor.text()?))).collect();
    Some((number, Labels::from_pairs(pairs?)))
}

fn tombstone(cursor: &mut Cursor<'_>) -> Option<(u64, TimeRange)> {
    Some((cursor.u64()?, TimeRange::new(cursor.varint()?, cursor.varint()?)))
}

fn spans(cursor: &mut Cursor<'_>) -> Option<Vec<Span>> {
    let span = |cursor: &mut Cursor<'_>| {
        let offset = i32::try_from(cursor.varint()?).ok()?;
        Some(Span { offset, length: u32::try_from(cursor.uvarint()?).ok()? })
    };
    (0..cursor.count()?).map(|_| span(cursor)).collect()
}

/// What both kinds have before their counts.
fn begin(cursor: &mut Cursor<'_>, is_integer: bool) -> Option<Histogram> {
    let reset_hint = match cursor.u8()? {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    let schema = i32::try_from(cursor.varint()?).ok()?;
    Some(Histogram { is_integer, reset_hint, schema, zero_threshold: cursor.f64()?, ..Histogram::default() })
}

fn custom_bounds(cursor: &mut Cursor<'_>, schema: i32) -> Option<Arc<[f64]>> {
    if schema != CUSTOM_BUCKETS_SCHEMA {
        return Some(Arc::from([]));
    }
    (0..cursor.count()?).map(|_| cursor.f64()).collect()
}

fn integer_histogram(cursor: &mut Cursor<'_>) -> Option<Histogram> {
    let mut out = begin(cursor, true)?;
    (out.zero_count, out.count) = (cursor.uvarint()? as f64, cursor.uvarint()? as f64);
    out.sum = cursor.f64()?;
    (out.positive_spans, out.negative_spans) = (spans(cursor)?, spans(cursor)?);
    for buckets in [&mut out.positive_buckets, &mut out.negative_buckets] {
        let mut count = 0i64;
        for _ in 0..cursor.count()? {
            count = count.wrapping_add(cursor.varint()?);
            buckets.push(count as f64);
        }
    }
    out.custom_bounds = custom_bounds(cursor, out.schema)?;
    Some(out)
}

fn float_histogram(cursor: &mut Cursor<'_>) -> Option<Histogram> {
    let mut out = begin(cursor, false)?;
    (out.zero_count, out.count, out.sum) = (cursor.f64()?, cursor.f64()?, cursor.f64()?);
    (out.positive_spans, out.negative_spans) = (spans(cursor)?, spans(cursor)?);
    for buckets in [&mut out.positive_buckets, &mut out.negative_buckets] {
        *buckets = (0..cursor.count()?).map(|_| cursor.f64()).collect::<Option<_>>()?;
    }
    out.custom_bounds = custom_bounds(cursor, out.schema)?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(kind in 0u8..16, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&[&[kind][..], &bytes].concat());
        }
    }
}
