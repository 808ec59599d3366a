//! One native histogram in a record.
//!
//! Pure. Counts are whole numbers as a rule and take a byte or two each.

use std::sync::Arc;

use model::Histogram;
use model::histogram::{ResetHint, Span};
use stdx::varint;

use super::record::BadRecord;
use crate::coded::{Base, Coded};

/// Buckets and bounds of one histogram. From Prometheus' limit on resolution, many times over.
const BUCKETS_MAX: u64 = 1 << 16;

const RAW: u8 = u8::MAX;

pub(super) fn put_value(out: &mut Vec<u8>, value: f64) {
    match Base::code(None, value.to_bits()).0 {
        Coded::Decimal(exp, mantissa) => {
            out.push(exp);
            varint::put_i64(out, mantissa);
        }
        _ => {
            out.push(RAW);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
}

pub(super) fn get_value(src: &mut &[u8]) -> Option<f64> {
    let (&exp, rest) = src.split_first()?;
    *src = rest;
    if exp == RAW {
        let (bytes, rest) = src.split_first_chunk::<8>()?;
        *src = rest;
        return Some(f64::from_bits(u64::from_le_bytes(*bytes)));
    }
    let base = Base::decode(None, Coded::Decimal(exp, varint::get_i64(src)?))?;
    Some(f64::from_bits(base.bits))
}

fn put_values(out: &mut Vec<u8>, values: &[f64]) {
    varint::put_u64(out, values.len() as u64);
    values.iter().for_each(|value| put_value(out, *value));
}

fn put_spans(out: &mut Vec<u8>, spans: &[Span]) {
    varint::put_u64(out, spans.len() as u64);
    for span in spans {
        varint::put_i64(out, i64::from(span.offset));
        varint::put_u64(out, u64::from(span.length));
    }
}

pub(super) fn put_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    let hint = match histogram.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    };
    out.push(u8::from(histogram.is_integer) << 2 | hint);
    varint::put_i64(out, i64::from(histogram.schema));
    for value in [histogram.zero_threshold, histogram.zero_count, histogram.count, histogram.sum] {
        put_value(out, value);
    }
    put_spans(out, &histogram.positive_spans);
    put_spans(out, &histogram.negative_spans);
    put_values(out, &histogram.positive_buckets);
    put_values(out, &histogram.negative_buckets);
    put_values(out, &histogram.custom_bounds);
}

fn get_n(src: &mut &[u8]) -> Option<u64> {
    varint::get_u64(src).filter(|n| *n <= BUCKETS_MAX)
}

fn get_values(src: &mut &[u8]) -> Option<Vec<f64>> {
    (0..get_n(src)?).map(|_| get_value(src)).collect()
}

fn get_spans(src: &mut &[u8]) -> Option<Vec<Span>> {
    let n = get_n(src)?;
    let span = |_| {
        let offset = i32::try_from(varint::get_i64(src)?).ok()?;
        Some(Span { offset, length: u32::try_from(varint::get_u64(src)?).ok()? })
    };
    (0..n).map(span).collect()
}

fn get(src: &mut &[u8]) -> Option<Histogram> {
    let (&flags, rest) = src.split_first()?;
    *src = rest;
    Some(Histogram {
        is_integer: flags & 4 != 0,
        reset_hint: match flags & 3 {
            0 => ResetHint::Unknown,
            1 => ResetHint::Reset,
            2 => ResetHint::NotReset,
            _ => ResetHint::Gauge,
        },
        schema: i32::try_from(varint::get_i64(src)?).ok()?,
        zero_threshold: get_value(src)?,
        zero_count: get_value(src)?,
        count: get_value(src)?,
        sum: get_value(src)?,
        positive_spans: get_spans(src)?,
        negative_spans: get_spans(src)?,
        positive_buckets: get_values(src)?,
        negative_buckets: get_values(src)?,
        custom_bounds: Arc::from(get_values(src)?),
    })
}

pub(super) fn get_histogram(src: &mut &[u8]) -> Result<Histogram, BadRecord> {
    get(src).ok_or(BadRecord("histogram is not as it must be"))
}
