//! What Prometheus 3 has beside the floats of `differential::data`: native histograms of both kinds, facts about targets, names in UTF-8.
//! No start timestamps: Prometheus 3.14 stores none of those that come by remote write.
//!
//! Out: requests of remote write 2.0, in order of time, for both servers. Deterministic for a seed.

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::{Histogram, Labels, Metadata, MetricType};
use wire::remote_write::{Sample, TimeSeries, compress, encode_v2};

use super::Rng;
use super::data::{HOSTS, SPAN_MS, START_MS, STEP_MS, WITHIN_MS, floats};

/// How much time one request spans. Chosen: well within the hour that a head takes samples out of order between series.
const REQUEST_MS: i64 = 20 * 60_000;
/// A name that needs quotes.
pub const UTF8_NAME: &str = "http.server.duration";
/// Most buckets on one side of a histogram. Chosen.
const BUCKETS_MAX: usize = 12;

/// The data of `seed` as snappy blocks of remote write 2.0.
#[must_use]
pub fn requests(seed: u64) -> Vec<Vec<u8>> {
    let mut all = series(seed);
    let mut out = Vec::new();
    for until_ms in (START_MS..=START_MS + SPAN_MS).step_by(REQUEST_MS as usize).map(|t_ms| t_ms + REQUEST_MS)
    {
        let mut now = Vec::new();
        for series in &mut all {
            let n_samples = series.samples.partition_point(|sample| sample.t_ms < until_ms);
            let n_histograms = series.histograms.partition_point(|(t_ms, ..)| *t_ms < until_ms);
            if n_samples + n_histograms > 0 {
                now.push(TimeSeries {
                    labels: series.labels.clone(),
                    samples: series.samples.drain(..n_samples).collect(),
                    histograms: series.histograms.drain(..n_histograms).collect(),
                    exemplars: Vec::new(),
                    metadata: series.metadata.clone(),
                });
            }
        }
        if !now.is_empty() {
            out.push(compress(&encode_v2(&now)));
        }
    }
    out
}

fn series(seed: u64) -> Vec<TimeSeries> {
    let mut out = Vec::new();
    for (labels, samples) in floats(seed) {
        let number = |text: &str| text.parse().expect("written by differential::data");
        let samples =
            samples.iter().map(|(t_ms, text)| Sample { t_ms: *t_ms, start_ms: 0, value: number(text) });
        out.push(TimeSeries {
            metadata: Some(metadata(labels.metric_name())),
            samples: samples.collect(),
            labels,
            ..TimeSeries::default()
        });
    }
    // Another sequence than that of the floats.
    let mut rng = Rng::new(seed ^ 0x5eed);
    for host in HOSTS {
        for kind in [Kind::Counter, Kind::Gauge, Kind::Floats, Kind::Custom, Kind::Mixed, Kind::Delta] {
            out.push(histograms(&mut rng, host, kind));
        }
        out.push(facts(&mut rng, host, "target_info", "version"));
        out.push(facts(&mut rng, host, "build_info", "revision"));
        out.push(utf8(&mut rng, host));
    }
    out
}

fn metadata(name: &str) -> Metadata {
    let metric_type = if name.ends_with("_total") { MetricType::Counter } else { MetricType::Gauge };
    Metadata { metric_type, help: format!("About {name}."), unit: String::new() }
}

fn times() -> impl Iterator<Item = i64> {
    (0..SPAN_MS / STEP_MS).map(|step| START_MS + step * STEP_MS + WITHIN_MS)
}

/// What a series of histograms is like.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Counts as integers, set back now and then.
    Counter,
    /// Counts that go up and down.
    Gauge,
    /// Counts with digits after the point.
    Floats,
    /// Listed bounds.
    Custom,
    /// Floats for a while, histograms for a while.
    Mixed,
    /// A counter that begins anew with each sample.
    Delta,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "latency_seconds",
            Self::Gauge => "queue_sizes",
            Self::Floats => "weights",
            Self::Custom => "bytes_custom",
            Self::Mixed => "mixed",
            Self::Delta => "delta_seconds",
        }
    }
}

fn histograms(rng: &mut Rng, host: &str, kind: Kind) -> TimeSeries {
    let labels =
        Labels::from_pairs([("__name__", kind.name()), ("host", host), ("job", "h"), ("instance", host)]);
    let metric_type = if kind == Kind::Gauge { MetricType::GaugeHistogram } else { MetricType::Histogram };
    let metadata = Metadata { metric_type, help: String::new(), unit: "seconds".to_owned() };
    let mut out = TimeSeries { labels, metadata: Some(metadata), ..TimeSeries::default() };
    let mut histogram = shaped(rng, kind);
    let (mut gap, mut are_floats) = (0, false);
    for t_ms in times() {
        if rng.one_in(200) {
            gap = 1 + rng.below(40);
        }
        // Set back, and sometimes with another resolution or other bounds.
        if rng.one_in(250) || kind == Kind::Delta {
            histogram = if rng.one_in(2) { shaped(rng, kind) } else { emptied(histogram) };
        }
        // A request has only one kind for a series: Prometheus takes its floats first, and then refuses what is older.
        let is_new_request = (t_ms - START_MS) / REQUEST_MS != (t_ms - STEP_MS - START_MS) / REQUEST_MS;
        are_floats ^= kind == Kind::Mixed && is_new_request && rng.one_in(2);
        observe(rng, &mut histogram, kind);
        if gap > 0 {
            gap -= 1;
        } else if are_floats {
            out.samples.push(Sample { t_ms, start_ms: 0, value: histogram.count });
        } else {
            out.histograms.push((t_ms, 0, histogram.clone()));
        }
    }
    out
}

/// A histogram without observations.
fn shaped(rng: &mut Rng, kind: Kind) -> Histogram {
    let mut out = Histogram {
        is_integer: kind != Kind::Floats,
        reset_hint: if kind == Kind::Gauge { ResetHint::Gauge } else { ResetHint::Unknown },
        ..Histogram::default()
    };
    if kind == Kind::Custom {
        let all = [0.1, 0.5, 1.0, 2.5, 10.0, 50.0];
        let n_bounds = *rng.pick(&[3, 5, 6]);
        out.schema = CUSTOM_BUCKETS_SCHEMA;
        out.custom_bounds = all[..n_bounds].into();
        out.positive_spans = vec![Span { offset: 0, length: n_bounds as u32 + 1 }];
        out.positive_buckets = vec![0.0; n_bounds + 1];
        return out;
    }
    out.schema = *rng.pick(&[0, 1, 3, -1]);
    out.zero_threshold = *rng.pick(&[0.0, 1e-3, 2.938_735_877_055_719e-39, 0.5]);
    let mut side = || {
        let (first, second) = (1 + rng.below(BUCKETS_MAX / 2), rng.below(BUCKETS_MAX / 2));
        let offset = rng.below(9) as i32 - 2;
        let mut spans = vec![Span { offset, length: first as u32 }];
        if second > 0 {
            spans.push(Span { offset: 1 + rng.below(3) as i32, length: second as u32 });
        }
        (spans, vec![0.0; first + second])
    };
    (out.positive_spans, out.positive_buckets) = side();
    if kind != Kind::Delta {
        (out.negative_spans, out.negative_buckets) = side();
    }
    out
}

fn emptied(mut histogram: Histogram) -> Histogram {
    (histogram.count, histogram.sum, histogram.zero_count) = (0.0, 0.0, 0.0);
    histogram.positive_buckets.fill(0.0);
    histogram.negative_buckets.fill(0.0);
    histogram
}

/// Adds some observations; of a gauge, they may go away again.
fn observe(rng: &mut Rng, histogram: &mut Histogram, kind: Kind) {
    for _ in 0..rng.below(6) {
        let (n_positive, n_negative) = (histogram.positive_buckets.len(), histogram.negative_buckets.len());
        let idx = rng.below(n_positive + n_negative + usize::from(kind != Kind::Custom));
        let count = match idx {
            idx if idx < n_positive => &mut histogram.positive_buckets[idx],
            idx if idx < n_positive + n_negative => &mut histogram.negative_buckets[idx - n_positive],
            _ => &mut histogram.zero_count,
        };
        let one = if kind == Kind::Floats { 0.75 } else { 1.0 };
        let change = if kind == Kind::Gauge && *count >= one && rng.one_in(2) { -one } else { one };
        *count += change;
        histogram.sum += change * (rng.below(2_000) as f64 / 100.0 - if n_negative > 0 { 10.0 } else { 0.0 });
    }
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    histogram.count = histogram.zero_count + buckets.sum::<f64>();
}

/// Facts about a target.
fn facts(rng: &mut Rng, host: &str, name: &str, label: &str) -> TimeSeries {
    let value = ["1.0", "1.1", "2.0"][rng.below(3)];
    let labels = Labels::from_pairs([
        ("__name__", name),
        ("job", "h"),
        ("instance", host),
        (label, value),
        ("zone", "north"),
    ]);
    let samples = times().map(|t_ms| Sample { t_ms, start_ms: 0, value: 1.0 });
    let metadata = Metadata { metric_type: MetricType::Info, help: String::new(), unit: String::new() };
    TimeSeries { labels, samples: samples.collect(), metadata: Some(metadata), ..TimeSeries::default() }
}

fn utf8(rng: &mut Rng, host: &str) -> TimeSeries {
    let labels = Labels::from_pairs([
        ("__name__", UTF8_NAME),
        ("job", "h"),
        ("instance", host),
        ("http.method", "GET"),
    ]);
    let mut value = 0.0;
    let samples = times().map(|t_ms| {
        value += rng.below(300) as f64 / 7.0;
        Sample { t_ms, start_ms: 0, value }
    });
    TimeSeries {
        labels,
        samples: samples.collect(),
        metadata: Some(metadata(UTF8_NAME)),
        ..TimeSeries::default()
    }
}
