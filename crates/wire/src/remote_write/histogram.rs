//! Native histograms: the message `Histogram`, the same in both versions, to [`model::Histogram`].
//!
//! Checks what Prometheus checks before it stores one. Integer counts come as differences from bucket to bucket and leave
//! as absolute counts. Finer schemas than 8 are brought down to 8, as Prometheus does.

use std::sync::Arc;

use model::Histogram;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};

use super::HISTOGRAM_BUCKETS_MAX;
use super::error::{DecodeError, HistogramError};
use super::proto::{Field, Fields};

/// The finest and the coarsest exponential schema that is stored, and the finest that is understood. From Prometheus.
const SCHEMA_MAX: i32 = 8;
const SCHEMA_MIN: i32 = -4;
const SCHEMA_RESERVED_MAX: i32 = 52;

/// A histogram as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// When, in Unix milliseconds.
    pub t_ms: i64,
    /// Since when it counts; 0 when not said.
    pub start_ms: i64,
    /// The histogram, or what is wrong with it.
    pub histogram: Result<Histogram, HistogramError>,
}

/// One side as it stands in the message: counts come as differences or as they are, by the kind of the histogram.
#[derive(Debug, Clone, Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// A histogram as it stands in a message, of remote write or of an exposition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Raw {
    count_int: u64,
    count_float: f64,
    is_float: bool,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count_int: u64,
    zero_count_float: f64,
    negative: Side,
    positive: Side,
    bounds: Vec<f64>,
    is_too_large: bool,
}

/// Reads the message `Histogram`.
///
/// # Errors
/// When the bytes are no such message. A histogram that contradicts itself is an error within [`Decoded`].
pub fn decode(message: &[u8]) -> Result<Decoded, DecodeError> {
    let mut raw = Raw::default();
    let (mut t_ms, mut start_ms, mut hint) = (0, 0, ResetHint::Unknown);
    let mut fields = Fields::new(message, "Histogram");
    while let Some(field) = fields.next()? {
        match field.number {
            14 => hint = reset_hint(field.varint()?),
            15 => t_ms = field.int64()?,
            17 => start_ms = field.int64()?,
            _ => raw.take(&field)?,
        }
    }
    let histogram = raw.finish().map(|histogram| Histogram { reset_hint: hint, ..histogram });
    Ok(Decoded { t_ms, start_ms, histogram })
}

fn reset_hint(number: u64) -> ResetHint {
    match number {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

impl Raw {
    fn take(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        match field.number {
            1 => (self.count_int, self.is_float) = (field.varint()?, false),
            2 => (self.count_float, self.is_float) = (field.double()?, true),
            3 => self.sum = field.double()?,
            4 => self.schema = field.sint32()?,
            5 => self.zero_threshold = field.double()?,
            6 => self.zero_count_int = field.varint()?,
            7 => self.zero_count_float = field.double()?,
            8 => self.is_too_large |= self.negative.take_span(field)?,
            9 => self.is_too_large |= self.negative.take_deltas(field)?,
            10 => self.is_too_large |= take_doubles(&mut self.negative.counts, field)?,
            11 => self.is_too_large |= self.positive.take_span(field)?,
            12 => self.is_too_large |= self.positive.take_deltas(field)?,
            13 => self.is_too_large |= take_doubles(&mut self.positive.counts, field)?,
            16 => self.is_too_large |= take_doubles(&mut self.bounds, field)?,
            _ => {}
        }
        Ok(())
    }

    /// As [`Raw::take`], of a histogram in the message `io.prometheus.client.Histogram`, but for what [`Raw::set_counts`] sets.
    pub(crate) fn take_exposed(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        match field.number {
            5 => self.schema = field.sint32()?,
            6 => self.zero_threshold = field.double()?,
            7 => self.zero_count_int = field.varint()?,
            9 => self.is_too_large |= self.negative.take_span(field)?,
            10 => self.is_too_large |= self.negative.take_deltas(field)?,
            11 => self.is_too_large |= take_doubles(&mut self.negative.counts, field)?,
            12 => self.is_too_large |= self.positive.take_span(field)?,
            13 => self.is_too_large |= self.positive.take_deltas(field)?,
            14 => self.is_too_large |= take_doubles(&mut self.positive.counts, field)?,
            _ => {}
        }
        Ok(())
    }

    /// Count and sum; with a count of floats above zero, of all or of the zero bucket, it is a histogram of floats.
    pub(crate) fn set_counts(&mut self, count: u64, sum: f64, (count_float, zero_float): (f64, f64)) {
        (self.count_int, self.sum) = (count, sum);
        (self.count_float, self.zero_count_float) = (count_float, zero_float);
        self.is_float = count_float > 0.0 || zero_float > 0.0;
    }

    /// Whether an exposed histogram has native parts; an empty span is enough.
    pub(crate) fn is_native(&self) -> bool {
        let has_spans = !self.positive.spans.is_empty() || !self.negative.spans.is_empty();
        has_spans || self.zero_threshold > 0.0 || self.zero_count_int > 0
    }

    /// The histogram, when it is one.
    pub(crate) fn finish(mut self) -> Result<Histogram, HistogramError> {
        if self.is_too_large {
            return Err(HistogramError::TooMany);
        }
        let is_custom = self.schema == CUSTOM_BUCKETS_SCHEMA;
        if !is_custom && !(SCHEMA_MIN..=SCHEMA_RESERVED_MAX).contains(&self.schema) {
            return Err(HistogramError::Schema(self.schema));
        }
        let (positive_side, negative_side) = ("positive side", "negative side");
        let mut in_buckets = u128::from(self.zero_count_int);
        if !self.is_float {
            self.positive.counts = absolute(&self.positive.deltas, positive_side, &mut in_buckets)?;
            self.negative.counts = absolute(&self.negative.deltas, negative_side, &mut in_buckets)?;
        }
        if is_custom {
            self.check_custom()?;
        } else {
            check_spans(&self.positive, positive_side, true)?;
            check_spans(&self.negative, negative_side, true)?;
            if !self.bounds.is_empty() {
                return Err(HistogramError::Mixed(
                    "histogram with exponential schema must not have custom bounds",
                ));
            }
        }
        self.check_counts(in_buckets)?;
        let (count, zero_count) = match self.is_float {
            true => (self.count_float, self.zero_count_float),
            false => (self.count_int as f64, self.zero_count_int as f64),
        };
        if !is_custom && self.schema > SCHEMA_MAX {
            let by = (self.schema - SCHEMA_MAX) as u32;
            if !self.positive.coarser(by) || !self.negative.coarser(by) {
                return Err(HistogramError::Schema(self.schema));
            }
            self.schema = SCHEMA_MAX;
        }
        Ok(Histogram {
            is_integer: !self.is_float,
            reset_hint: ResetHint::Unknown,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count,
            count,
            sum: self.sum,
            positive_spans: self.positive.spans,
            negative_spans: self.negative.spans,
            positive_buckets: self.positive.counts,
            negative_buckets: self.negative.counts,
            custom_bounds: Arc::from(self.bounds),
        })
    }

    fn check_custom(&self) -> Result<(), HistogramError> {
        if self.bounds.iter().any(|bound| bound.is_nan()) {
            return Err(HistogramError::Bounds("not NaN"));
        }
        if self.bounds.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(HistogramError::Bounds("in strictly increasing order"));
        }
        if self.bounds.last() == Some(&f64::INFINITY) {
            return Err(HistogramError::Bounds("finite"));
        }
        check_spans(&self.positive, "custom buckets", false)?;
        let lengths = self.positive.spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length));
        let length = lengths.sum::<i64>().unsigned_abs();
        if self.bounds.len() as u64 + 1 < length {
            return Err(HistogramError::FewBounds { bounds: self.bounds.len(), length });
        }
        let zero_count = if self.is_float { self.zero_count_float } else { self.zero_count_int as f64 };
        if zero_count != 0.0 {
            return Err(HistogramError::Mixed("custom buckets: must have zero count of 0"));
        }
        if self.zero_threshold != 0.0 {
            return Err(HistogramError::Mixed("custom buckets: must have zero threshold of 0"));
        }
        if !self.negative.spans.is_empty() {
            return Err(HistogramError::Mixed("custom buckets: must not have negative spans"));
        }
        if !self.negative.counts.is_empty() {
            return Err(HistogramError::Mixed("custom buckets: must not have negative buckets"));
        }
        Ok(())
    }

    fn check_counts(&self, in_buckets: u128) -> Result<(), HistogramError> {
        if self.is_float {
            for (side, counts) in
                [("positive side", &self.positive.counts), ("negative side", &self.negative.counts)]
            {
                if let Some(idx) = counts.iter().position(|count| *count < 0.0) {
                    return Err(HistogramError::NegativeBucket { side, number: idx + 1, count: counts[idx] });
                }
            }
            if self.zero_count_float < 0.0 {
                let count = self.zero_count_float;
                return Err(HistogramError::NegativeBucket { side: "zero bucket", number: 1, count });
            }
            if self.count_float < 0.0 {
                return Err(HistogramError::NegativeCount(self.count_float));
            }
            return Ok(());
        }
        // Observations that are no numbers are counted and in no bucket.
        let (fits, relation) = match self.sum.is_nan() {
            true => (in_buckets <= u128::from(self.count_int), "be at least"),
            false => (in_buckets == u128::from(self.count_int), "equal"),
        };
        if fits {
            return Ok(());
        }
        Err(HistogramError::CountMismatch { in_buckets, count: self.count_int, relation })
    }
}

impl Side {
    /// Whether there are too many.
    fn take_span(&mut self, field: &Field<'_>) -> Result<bool, DecodeError> {
        let mut span = Span { offset: 0, length: 0 };
        let mut fields = Fields::new(field.bytes()?, "BucketSpan");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => span.offset = field.sint32()?,
                2 => span.length = field.uint32()?,
                _ => {}
            }
        }
        let has_room = self.spans.len() < HISTOGRAM_BUCKETS_MAX;
        if has_room {
            self.spans.push(span);
        }
        Ok(!has_room)
    }

    fn take_deltas(&mut self, field: &Field<'_>) -> Result<bool, DecodeError> {
        let mut is_full = false;
        field.repeated_varint(|raw| {
            is_full |= self.deltas.len() >= HISTOGRAM_BUCKETS_MAX;
            if !is_full {
                self.deltas.push((raw >> 1) as i64 ^ -((raw & 1) as i64));
            }
        })?;
        Ok(is_full)
    }

    /// Adds 2^`by` buckets to one. A bucket's number is that of its upper bound, so that the first of the coarser ones ends
    /// where bucket 0 does: number `n` goes to the next multiple of 2^`by` at or above it, divided. Returns whether the new
    /// offsets fit.
    fn coarser(&mut self, by: u32) -> bool {
        let mut merged: Vec<(i64, f64)> = Vec::new();
        let mut number = 0i64;
        let mut counts = self.counts.iter();
        for span in &self.spans {
            number += i64::from(span.offset);
            for count in counts.by_ref().take(span.length as usize) {
                let target = ((number - 1) >> by) + 1;
                number += 1;
                match merged.last_mut() {
                    Some((last, sum)) if *last == target => *sum += count,
                    _ => merged.push((target, *count)),
                }
            }
        }
        self.spans.clear();
        let mut end = 0i64;
        for (target, _) in &merged {
            match self.spans.last_mut() {
                Some(span) if *target == end => span.length += 1,
                _ => {
                    let Ok(offset) = i32::try_from(*target - end) else { return false };
                    self.spans.push(Span { offset, length: 1 });
                }
            }
            end = target + 1;
        }
        self.counts = merged.into_iter().map(|(_, count)| count).collect();
        true
    }
}

fn take_doubles(doubles: &mut Vec<f64>, field: &Field<'_>) -> Result<bool, DecodeError> {
    let mut is_full = false;
    field.repeated_double(|value| {
        is_full |= doubles.len() >= HISTOGRAM_BUCKETS_MAX;
        if !is_full {
            doubles.push(value);
        }
    })?;
    Ok(is_full)
}

fn absolute(deltas: &[i64], side: &'static str, in_buckets: &mut u128) -> Result<Vec<f64>, HistogramError> {
    let mut count = 0i64;
    let mut counts = Vec::with_capacity(deltas.len());
    for (idx, delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(*delta);
        if count < 0 {
            return Err(HistogramError::NegativeBucket { side, number: idx + 1, count: count as f64 });
        }
        *in_buckets += u128::from(count.unsigned_abs());
        counts.push(count as f64);
    }
    Ok(counts)
}

/// The first span of exponential buckets may begin below zero.
fn check_spans(side: &Side, name: &'static str, first_may_be_negative: bool) -> Result<(), HistogramError> {
    for (idx, span) in side.spans.iter().enumerate() {
        if span.offset < 0 && !(idx == 0 && first_may_be_negative) {
            return Err(HistogramError::SpanOffset { side: name, number: idx + 1, offset: span.offset });
        }
    }
    let need: u64 = side.spans.iter().map(|span| u64::from(span.length)).sum();
    if need != side.counts.len() as u64 {
        return Err(HistogramError::SpanBuckets { side: name, need, have: side.counts.len() });
    }
    Ok(())
}
