//! Records: series, samples, histograms, tombstones, exemplars, metadata; markers are passed over.

use std::sync::Arc;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::{Exemplar, Histogram, Labels, Metadata, MetricType, TimeRange};

use crate::bytes::Cursor;

/// A sample of the series with this number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<T> {
    pub(super) series: u64,
    pub(super) t_ms: i64,
    /// 0 where not known.
    pub(super) start_ms: i64,
    pub(super) value: T,
}

/// A record that matters here. Series are known by number.
#[derive(Debug)]
pub(super) enum Record {
    Series(Vec<(u64, Labels)>),
    Samples(Vec<Sample<f64>>),
    Histograms(Vec<Sample<Histogram>>),
    Tombstones(Vec<(u64, TimeRange)>),
    Exemplars(Vec<Sample<Exemplar>>),
    Metadata(Vec<(u64, Metadata)>),
    /// Markers.
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
const SAMPLES_2: u8 = 11;
const HISTOGRAMS_2: u8 = 12;
const FLOAT_HISTOGRAMS_2: u8 = 13;

/// Where a sample of the later records has its start timestamp from: nowhere, the sample before; any other byte says that it
/// follows, relative to the first sample's.
const START_NONE: u8 = 0;
const START_SAME: u8 = 1;

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
        SAMPLES_2 => chained(&mut cursor, |cursor| cursor.f64()).map(Record::Samples).ok_or_else(early),
        HISTOGRAMS_2 => chained(&mut cursor, integer_histogram).map(Record::Histograms).ok_or_else(early),
        FLOAT_HISTOGRAMS_2 => chained(&mut cursor, float_histogram).map(Record::Histograms).ok_or_else(early),
        EXEMPLARS => exemplars(&mut cursor).map(Record::Exemplars).ok_or_else(early),
        METADATA => all(&mut cursor, metadata).map(Record::Metadata).ok_or_else(early),
        MMAP_MARKERS => Ok(Record::Other),
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
fn based<T>(cursor: &mut Cursor<'_>, value: impl Fn(&mut Cursor<'_>) -> Option<T>) -> Option<Vec<Sample<T>>> {
    if cursor.left() == 0 {
        return Some(Vec::new());
    }
    let (number, t_ms) = (cursor.u64()?, cursor.u64()? as i64);
    all(cursor, |cursor| {
        let number = number.wrapping_add(cursor.varint()? as u64);
        let t_ms = t_ms.wrapping_add(cursor.varint()?);
        Some(Sample { series: number, t_ms, start_ms: 0, value: value(cursor)? })
    })
}

/// Samples of the later records: numbers relative to the sample before, times and start timestamps to the first.
fn chained<T>(
    cursor: &mut Cursor<'_>,
    value: impl Fn(&mut Cursor<'_>) -> Option<T>,
) -> Option<Vec<Sample<T>>> {
    let mut out: Vec<Sample<T>> = Vec::new();
    let mut first: Option<(i64, i64)> = None;
    while cursor.left() > 0 {
        let (step, t_ms) = (cursor.varint()?, cursor.varint()?);
        let sample = match (first, out.last()) {
            (Some((first_ms, first_start_ms)), Some(last)) => {
                let start_ms = match cursor.u8()? {
                    START_NONE => 0,
                    START_SAME => last.start_ms,
                    _ => first_start_ms.wrapping_add(cursor.varint()?),
                };
                let series = last.series.wrapping_add(step as u64);
                Sample { series, t_ms: first_ms.wrapping_add(t_ms), start_ms, value: value(cursor)? }
            }
            _ => {
                let start_ms = cursor.varint()?;
                first = Some((t_ms, start_ms));
                Sample { series: step as u64, t_ms, start_ms, value: value(cursor)? }
            }
        };
        out.push(sample);
    }
    Some(out)
}

fn series(cursor: &mut Cursor<'_>) -> Option<(u64, Labels)> {
    let number = cursor.u64()?;
    let pairs: Option<Vec<(&str, &str)>> =
        (0..cursor.count()?).map(|_| Some((cursor.label()?, cursor.label()?))).collect();
    Some((number, Labels::from_pairs(pairs?)))
}

fn exemplars(cursor: &mut Cursor<'_>) -> Option<Vec<Sample<Exemplar>>> {
    let mut samples = based(cursor, |cursor| {
        let value = cursor.f64()?;
        let pairs: Option<Vec<(&str, &str)>> =
            (0..cursor.count()?).map(|_| Some((cursor.label()?, cursor.label()?))).collect();
        Some(Exemplar { labels: Labels::from_pairs(pairs?), value, t_ms: 0 })
    })?;
    samples.iter_mut().for_each(|sample| sample.value.t_ms = sample.t_ms);
    Some(samples)
}

/// Fields of other names are of later versions.
fn metadata(cursor: &mut Cursor<'_>) -> Option<(u64, Metadata)> {
    let number = cursor.uvarint()?;
    let metric_type = match cursor.u8()? {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    };
    let mut out = Metadata { metric_type, ..Metadata::default() };
    for _ in 0..cursor.count()? {
        match (cursor.text()?, cursor.text()?) {
            ("HELP", help) => help.clone_into(&mut out.help),
            ("UNIT", unit) => unit.clone_into(&mut out.unit),
            _ => {}
        }
    }
    Some((number, out))
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
    use stdx::varint;

    /// Writes the later records as their page says.
    fn encode(samples: &[Sample<f64>]) -> Vec<u8> {
        let mut out = vec![SAMPLES_2];
        for (idx, sample) in samples.iter().enumerate() {
            let first = &samples[0];
            let Some(last) = idx.checked_sub(1).map(|before| &samples[before]) else {
                varint::put_i64(&mut out, sample.series as i64);
                varint::put_i64(&mut out, sample.t_ms);
                varint::put_i64(&mut out, sample.start_ms);
                out.extend(sample.value.to_bits().to_be_bytes());
                continue;
            };
            varint::put_i64(&mut out, sample.series as i64 - last.series as i64);
            varint::put_i64(&mut out, sample.t_ms - first.t_ms);
            match sample.start_ms {
                0 => out.push(START_NONE),
                same if same == last.start_ms => out.push(START_SAME),
                other => {
                    out.push(2);
                    varint::put_i64(&mut out, other - first.start_ms);
                }
            }
            out.extend(sample.value.to_bits().to_be_bytes());
        }
        out
    }

    #[test]
    fn a_later_record_is_read_byte_by_byte() {
        // Series 5 at 1000 from 900; series 7 at 1001, same start; series 6 at 999, from 950; series 6 at 1002, none.
        let value = |number: f64| number.to_bits().to_be_bytes();
        let bytes = [
            &[11, 10, 0xd0, 0x0f, 0x88, 0x0e][..],
            &value(1.5),
            &[4, 2, 1],
            &value(2.5),
            &[1, 1, 2, 100],
            &value(3.5),
            &[0, 4, 0],
            &value(4.5),
        ]
        .concat();
        let Ok(Record::Samples(samples)) = decode(&bytes) else { panic!("samples were written") };
        let expected = [(5, 1000, 900, 1.5), (7, 1001, 900, 2.5), (6, 999, 950, 3.5), (6, 1002, 0, 4.5)]
            .map(|(series, t_ms, start_ms, value)| Sample { series, t_ms, start_ms, value });
        assert_eq!(samples, expected);
    }

    #[test]
    fn later_histogram_records_are_read() {
        // Hint 2, schema 1, a zero bucket of 1, count 3, sum 4.5, one span of one bucket with 2.
        let float = |number: f64| number.to_bits().to_be_bytes();
        let integer = [&[2, 2][..], &float(0.001), &[1, 3], &float(4.5), &[1, 0, 1, 0, 1, 4, 0]].concat();
        let floats = [
            &[2, 2][..],
            &float(0.001),
            &float(1.0),
            &float(3.0),
            &float(4.5),
            &[1, 0, 1, 0, 1],
            &float(2.0),
            &[0],
        ]
        .concat();
        for (kind, histogram) in [(HISTOGRAMS_2, integer), (FLOAT_HISTOGRAMS_2, floats)] {
            let head = [kind, 10, 0xd0, 0x0f, 0x88, 0x0e];
            let bytes = [&head[..], &histogram, &[4, 2, 1], &histogram].concat();
            let Ok(Record::Histograms(samples)) = decode(&bytes) else { panic!("histograms were written") };
            let facts: Vec<_> = samples.iter().map(|one| (one.series, one.t_ms, one.start_ms)).collect();
            assert_eq!(facts, [(5, 1000, 900), (7, 1001, 900)]);
            for one in samples {
                assert_eq!((one.value.schema, one.value.count, one.value.sum), (1, 3.0, 4.5));
                assert_eq!(one.value.positive_buckets, [2.0]);
                assert_eq!(one.value.is_integer, kind == HISTOGRAMS_2);
            }
        }
    }

    #[test]
    fn exemplars_and_metadata_are_read_byte_by_byte() {
        // From series 5 at 1000: series 6 at 1001, 1.5, {trace="x"}; series 5 at 999, 2.5, no labels.
        let float = |number: f64| number.to_bits().to_be_bytes();
        let bytes = [
            &[EXEMPLARS][..],
            &5u64.to_be_bytes(),
            &1000u64.to_be_bytes(),
            &[2, 2],
            &float(1.5),
            b"\x01\x05trace\x01x",
            &[0, 1],
            &float(2.5),
            &[0],
        ]
        .concat();
        let Ok(Record::Exemplars(found)) = decode(&bytes) else { panic!("exemplars were written") };
        let facts: Vec<_> = found.iter().map(|one| (one.series, one.value.t_ms, one.value.value)).collect();
        assert_eq!(facts, [(6, 1001, 1.5), (5, 999, 2.5)]);
        assert_eq!(found[0].value.labels, Labels::from_pairs([("trace", "x")]));
        // Series 300 is a counter of bytes; a field of a later version is read over. Series 1 is nothing known.
        let bytes = b"\x06\xac\x02\x01\x03\x04HELP\x01h\x04UNIT\x05bytes\x03NEW\x01?\x01\x63\x00";
        let Ok(Record::Metadata(found)) = decode(bytes) else { panic!("metadata was written") };
        let counter =
            Metadata { metric_type: MetricType::Counter, help: "h".to_owned(), unit: "bytes".to_owned() };
        assert_eq!(found, [(300, counter), (1, Metadata::default())]);
        for len in 1..bytes.len() - 3 {
            assert!(decode(&bytes[..len]).is_err() || len == 1, "{len}");
        }
    }

    #[test]
    fn a_label_longer_than_labels_can_be_is_refused() {
        for (n_bytes, is_read) in [(1 << 20, true), (0x10_f7ff, true), (0x10_f800, false)] {
            let mut bytes = [&[SERIES][..], &7u64.to_be_bytes(), &[1, 1, b'a']].concat();
            varint::put_bytes(&mut bytes, &vec![b'x'; n_bytes]);
            assert_eq!(decode(&bytes).is_ok(), is_read, "{n_bytes}");
        }
    }

    proptest! {
        #[test]
        fn later_samples_come_back(
            rows in proptest::collection::vec((0u64..1 << 40, -1i64 << 40..1 << 40, prop_oneof![Just(0i64), Just(77), any::<i32>().prop_map(i64::from)], any::<u32>()), 0..40),
        ) {
            let samples: Vec<_> = rows.into_iter().map(|(series, t_ms, start_ms, value)| {
                Sample { series, t_ms, start_ms, value: f64::from(value) }
            }).collect();
            let Ok(Record::Samples(got)) = decode(&encode(&samples)) else { panic!("samples were written") };
            prop_assert_eq!(got, samples);
        }

        #[test]
        fn any_bytes_are_refused_or_read(kind in 0u8..16, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&[&[kind][..], &bytes].concat());
        }
    }
}
