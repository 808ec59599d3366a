//! Writes the protobuf format: what `/federate` sends to those who read native histograms.
//!
//! In: one sample of each series, those of a name behind each other; out: messages `io.prometheus.client.MetricFamily`, each after its
//! length. Numbers of fields: `io/prometheus/client/metrics.proto` of Prometheus' client model.

use model::Histogram;
use model::histogram::{ResetHint, Span};
use stdx::varint::put_bytes;

use crate::remote_write::{put_double, put_field, put_number, put_side, zigzag};

/// Values of `MetricType`.
const UNTYPED: u64 = 3;
const HISTOGRAM: u64 = 4;
const GAUGE_HISTOGRAM: u64 = 5;

/// What a series has at a time.
#[derive(Debug, Clone, Copy)]
pub enum Point<'a> {
    /// A number of which no more is known.
    Untyped(f64),
    /// A histogram; one with custom buckets becomes a classic one.
    Histogram(&'a Histogram),
}

impl Point<'_> {
    fn kind(self) -> u64 {
        match self {
            Self::Untyped(_) => UNTYPED,
            Self::Histogram(histogram) if histogram.reset_hint == ResetHint::Gauge => GAUGE_HISTOGRAM,
            Self::Histogram(_) => HISTOGRAM,
        }
    }
}

/// A body in the making.
#[derive(Debug, Default)]
pub struct FamilyWriter {
    out: Vec<u8>,
    /// The one that metrics are added to, with its name and type.
    family: Option<(String, u64, Vec<u8>)>,
}

impl FamilyWriter {
    /// Adds a metric; a family begins where the name or the type is another than before.
    pub fn metric<'l>(
        &mut self,
        name: &str,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        t_ms: i64,
        point: Point<'_>,
    ) {
        let kind = point.kind();
        if !self.family.as_ref().is_some_and(|(of, known, _)| of == name && *known == kind) {
            self.end_family();
            let mut message = Vec::new();
            put_field(&mut message, 1, name.as_bytes());
            put_number(&mut message, 3, kind);
            self.family = Some((name.to_owned(), kind, message));
        }
        let mut metric = Vec::new();
        for (name, value) in labels {
            let mut pair = Vec::new();
            put_field(&mut pair, 1, name.as_bytes());
            put_field(&mut pair, 2, value.as_bytes());
            put_field(&mut metric, 1, &pair);
        }
        match point {
            Point::Untyped(value) => {
                let mut untyped = Vec::new();
                put_double(&mut untyped, 1, value);
                put_field(&mut metric, 5, &untyped);
            }
            Point::Histogram(histogram) => put_field(&mut metric, 7, &histogram_message(histogram)),
        }
        put_number(&mut metric, 6, t_ms as u64);
        if let Some((.., message)) = &mut self.family {
            put_field(message, 4, &metric);
        }
    }

    fn end_family(&mut self) {
        if let Some((.., message)) = self.family.take() {
            put_bytes(&mut self.out, &message);
        }
    }

    /// The body.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.end_family();
        self.out
    }
}

fn histogram_message(histogram: &Histogram) -> Vec<u8> {
    let mut out = Vec::new();
    put_double(&mut out, 2, histogram.sum);
    put_double(&mut out, 4, histogram.count);
    if histogram.uses_custom_buckets() {
        for (upper, below) in histogram.cumulative() {
            let mut bucket = Vec::new();
            put_double(&mut bucket, 2, upper);
            put_double(&mut bucket, 4, below);
            put_field(&mut out, 3, &bucket);
        }
        return out;
    }
    put_number(&mut out, 5, u64::from(zigzag(i64::from(histogram.schema)) as u32));
    put_double(&mut out, 6, histogram.zero_threshold);
    put_double(&mut out, 8, histogram.zero_count);
    put_side(&mut out, 9, &histogram.negative_spans, &histogram.negative_buckets, false);
    // Readers tell native histograms by their spans: one without buckets has an empty one, as clients write it.
    let no_buckets = [Span { offset: 0, length: 0 }];
    let has_spans = !histogram.positive_spans.is_empty() || !histogram.negative_spans.is_empty();
    let positive_spans = if has_spans { &histogram.positive_spans[..] } else { &no_buckets[..] };
    put_side(&mut out, 12, positive_spans, &histogram.positive_buckets, false);
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::histogram::CUSTOM_BUCKETS_SCHEMA;

    use super::*;
    use crate::exposition::{HistogramOptions, Translation, translate_protobuf};

    #[test]
    fn what_is_written_is_read_again() {
        let native = Histogram {
            schema: 3,
            zero_threshold: 0.001,
            zero_count: 1.5,
            count: 6.5,
            sum: 12.25,
            positive_spans: vec![Span { offset: -2, length: 2 }],
            positive_buckets: vec![2.0, 3.0],
            ..Histogram::default()
        };
        let custom = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 6.0,
            sum: 7.0,
            positive_spans: vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 1 }],
            positive_buckets: vec![2.0, 4.0],
            custom_bounds: Arc::from([0.5, 1.0]),
            ..Histogram::default()
        };
        let mut writer = FamilyWriter::default();
        writer.metric("up", [("job", "a")], 7, Point::Untyped(1.0));
        writer.metric("up", [("job", "b")], 8, Point::Untyped(0.0));
        writer.metric("h", [("job", "a")], 9, Point::Histogram(&native));
        writer.metric("c", [("job", "a")], 9, Point::Histogram(&custom));
        let mut read = Translation::default();
        let options = HistogramOptions { natives: true, ..HistogramOptions::default() };
        translate_protobuf(&writer.finish(), options, &mut read).unwrap();
        for line in [
            "up{job=\"a\"} 1",
            "up{job=\"b\"} 0",
            "c_bucket{job=\"a\",le=\"0.5\"} 2",
            "c_bucket{job=\"a\",le=\"1.0\"} 2",
            "c_count{job=\"a\"} 6",
        ] {
            assert!(read.text.contains(line), "{line} in {}", read.text);
        }
        let [found] = &read.natives[..] else { panic!("{:?}", read.natives) };
        assert_eq!((found.t_ms, &found.histogram), (Some(9), &native));
    }
}
