//! Requests from values, for tests, load generators and senders. The mirror of the decoders; plain rather than quick.

use std::collections::HashMap;

use model::histogram::Span;
use model::{Exemplar, Histogram, Labels, Metadata, MetricType};
use stdx::varint::{put_bytes, put_u64};

use super::proto::{BYTES, FIXED64, VARINT};
use super::sample::Sample;

/// A series to send.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TimeSeries {
    /// Its labels.
    pub labels: Labels,
    /// Floats, by rising time. Starts are sent by version 2 only.
    pub samples: Vec<Sample>,
    /// Native histograms: time and start in Unix milliseconds, 0 for no start.
    pub histograms: Vec<(i64, i64, Histogram)>,
    /// Exemplars.
    pub exemplars: Vec<Exemplar>,
    /// Sent within the series by version 2, beside the series by version 1.
    pub metadata: Option<Metadata>,
}

/// A request of version 1.0, not compressed.
///
/// A series' exemplars come behind its histograms, in a message of their own: Prometheus 3.14 reads those of one message before its
/// histograms, and drops exemplars of a series that it does not know yet.
#[must_use]
pub fn encode_v1(series: &[TimeSeries]) -> Vec<u8> {
    let mut out = Vec::new();
    for series in series {
        let mut message = Vec::new();
        put_label_pairs(&mut message, &series.labels);
        for sample in &series.samples {
            put_sample(&mut message, 2, &Sample { start_ms: 0, ..*sample });
        }
        for (t_ms, _, histogram) in &series.histograms {
            put_field(&mut message, 4, &encode_histogram(*t_ms, 0, histogram));
        }
        if !series.histograms.is_empty() && !series.exemplars.is_empty() {
            put_field(&mut out, 1, &message);
            message.clear();
            put_label_pairs(&mut message, &series.labels);
        }
        for exemplar in &series.exemplars {
            let mut inner = Vec::new();
            put_label_pairs(&mut inner, &exemplar.labels);
            put_exemplar(&mut message, 3, inner, exemplar);
        }
        put_field(&mut out, 1, &message);
    }
    for series in series {
        if let Some(metadata) = &series.metadata {
            put_metadata_v1(&mut out, series.labels.metric_name(), metadata);
        }
    }
    out
}

/// A request of version 1.0 with nothing but what is known of metric families, not compressed.
#[must_use]
pub fn encode_metadata_v1<'a>(families: impl IntoIterator<Item = (&'a str, &'a Metadata)>) -> Vec<u8> {
    let mut out = Vec::new();
    families.into_iter().for_each(|(name, metadata)| put_metadata_v1(&mut out, name, metadata));
    out
}

fn put_metadata_v1(out: &mut Vec<u8>, name: &str, metadata: &Metadata) {
    let mut message = Vec::new();
    put_number(&mut message, 1, type_number(metadata.metric_type));
    put_field(&mut message, 2, name.as_bytes());
    put_field(&mut message, 4, metadata.help.as_bytes());
    put_field(&mut message, 5, metadata.unit.as_bytes());
    put_field(out, 3, &message);
}

/// A request of version 2.0, not compressed.
#[must_use]
pub fn encode_v2(series: &[TimeSeries]) -> Vec<u8> {
    let mut symbols = Symbols::default();
    symbols.number("");
    let mut messages = Vec::new();
    for series in series {
        let mut message = Vec::new();
        put_field(&mut message, 1, &symbols.refs(&series.labels));
        for sample in &series.samples {
            put_sample(&mut message, 2, sample);
        }
        for (t_ms, start_ms, histogram) in &series.histograms {
            put_field(&mut message, 3, &encode_histogram(*t_ms, *start_ms, histogram));
        }
        for exemplar in &series.exemplars {
            let mut inner = Vec::new();
            put_field(&mut inner, 1, &symbols.refs(&exemplar.labels));
            put_exemplar(&mut message, 4, inner, exemplar);
        }
        if let Some(metadata) = &series.metadata {
            let mut inner = Vec::new();
            put_number(&mut inner, 1, type_number(metadata.metric_type));
            put_number(&mut inner, 3, symbols.number(&metadata.help));
            put_number(&mut inner, 4, symbols.number(&metadata.unit));
            put_field(&mut message, 5, &inner);
        }
        put_field(&mut messages, 5, &message);
    }
    let mut out = Vec::new();
    symbols.texts.iter().for_each(|text| put_field(&mut out, 4, text.as_bytes()));
    out.extend_from_slice(&messages);
    out
}

/// `message` as a snappy block.
///
/// # Panics
/// When it is longer than 4 GiB.
#[must_use]
pub fn compress(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).expect("only texts over 4 GiB are refused")
}

#[derive(Default)]
struct Symbols {
    texts: Vec<String>,
    numbers: HashMap<String, u64>,
}

impl Symbols {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u64;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn refs(&mut self, labels: &Labels) -> Vec<u8> {
        let mut packed = Vec::new();
        for (name, value) in labels {
            put_u64(&mut packed, self.number(name));
            put_u64(&mut packed, self.number(value));
        }
        packed
    }
}

pub(crate) fn put_tag(out: &mut Vec<u8>, number: u64, kind: u8) {
    put_u64(out, number << 3 | u64::from(kind));
}

pub(crate) fn put_field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_tag(out, number, BYTES);
    put_bytes(out, bytes);
}

pub(crate) fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
    put_tag(out, number, VARINT);
    put_u64(out, value);
}

pub(crate) fn put_double(out: &mut Vec<u8>, number: u64, value: f64) {
    put_tag(out, number, FIXED64);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

pub(super) fn put_label_pairs(out: &mut Vec<u8>, labels: &Labels) {
    for (name, value) in labels {
        let mut pair = Vec::new();
        put_field(&mut pair, 1, name.as_bytes());
        put_field(&mut pair, 2, value.as_bytes());
        put_field(out, 1, &pair);
    }
}

fn put_sample(out: &mut Vec<u8>, number: u64, sample: &Sample) {
    let mut message = Vec::new();
    put_double(&mut message, 1, sample.value);
    put_number(&mut message, 2, sample.t_ms as u64);
    if sample.start_ms != 0 {
        put_number(&mut message, 3, sample.start_ms as u64);
    }
    put_field(out, number, &message);
}

fn put_exemplar(out: &mut Vec<u8>, number: u64, mut labels: Vec<u8>, exemplar: &Exemplar) {
    put_double(&mut labels, 2, exemplar.value);
    put_number(&mut labels, 3, exemplar.t_ms as u64);
    put_field(out, number, &labels);
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn encode_histogram(t_ms: i64, start_ms: i64, histogram: &Histogram) -> Vec<u8> {
    let mut out = Vec::new();
    match histogram.is_integer {
        true => put_number(&mut out, 1, histogram.count as u64),
        false => put_double(&mut out, 2, histogram.count),
    }
    put_double(&mut out, 3, histogram.sum);
    put_number(&mut out, 4, u64::from(zigzag(i64::from(histogram.schema)) as u32));
    put_double(&mut out, 5, histogram.zero_threshold);
    match histogram.is_integer {
        true => put_number(&mut out, 6, histogram.zero_count as u64),
        false => put_double(&mut out, 7, histogram.zero_count),
    }
    let (spans, buckets) = (&histogram.negative_spans, &histogram.negative_buckets);
    put_side(&mut out, 8, spans, buckets, histogram.is_integer);
    let (spans, buckets) = (&histogram.positive_spans, &histogram.positive_buckets);
    put_side(&mut out, 11, spans, buckets, histogram.is_integer);
    put_number(&mut out, 14, histogram.reset_hint as u64);
    put_number(&mut out, 15, t_ms as u64);
    if !histogram.custom_bounds.is_empty() {
        put_field(&mut out, 16, &packed_doubles(&histogram.custom_bounds));
    }
    if start_ms != 0 {
        put_number(&mut out, 17, start_ms as u64);
    }
    out
}

/// Spans have the number `first`, differences the next one, counts the one after.
pub(crate) fn put_side(out: &mut Vec<u8>, first: u64, spans: &[Span], buckets: &[f64], is_integer: bool) {
    for span in spans {
        let mut message = Vec::new();
        put_number(&mut message, 1, u64::from(zigzag(i64::from(span.offset)) as u32));
        put_number(&mut message, 2, u64::from(span.length));
        put_field(out, first, &message);
    }
    if !is_integer {
        return put_field(out, first + 2, &packed_doubles(buckets));
    }
    let (mut packed, mut last) = (Vec::new(), 0);
    for count in buckets {
        put_u64(&mut packed, zigzag(*count as i64 - last));
        last = *count as i64;
    }
    put_field(out, first + 1, &packed);
}

fn packed_doubles(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect()
}

/// The same numbers in both versions.
fn type_number(metric_type: MetricType) -> u64 {
    match metric_type {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}
