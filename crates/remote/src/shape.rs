//! What of a series is sent, and under which labels.
//!
//! In from `read`; out to requests. Pure. External labels come first, then `write_relabel_configs`, as in Prometheus.

use model::relabel::{self, RelabelConfig};
use model::{Labels, MetricType};
use wire::remote_write::{Sample, TimeSeries};

use crate::config::{RemoteWriteConfig, WriteMessage};

/// What a queue's configuration makes of series.
#[derive(Debug, Clone)]
pub(crate) struct Shaper {
    external: Labels,
    rules: Vec<RelabelConfig>,
    pub(crate) exemplars: bool,
    histograms: bool,
    /// Older samples are dropped; 0 for none.
    age_max_ms: i64,
}

/// What was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Dropped {
    pub(crate) n_samples: u64,
    pub(crate) n_histograms: u64,
    pub(crate) n_exemplars: u64,
}

impl Shaper {
    pub(crate) fn new(config: &RemoteWriteConfig, external: &Labels) -> Self {
        let all = config.message == WriteMessage::V2;
        Self {
            external: external.clone(),
            rules: config.relabel.clone(),
            exemplars: all || config.send_exemplars,
            histograms: all || config.send_native_histograms,
            age_max_ms: config.queue.sample_age_limit.as_ms(),
        }
    }

    /// `None` when the rules drop the series.
    pub(crate) fn labels(&self, labels: &Labels) -> Option<Labels> {
        let mut labels = labels.clone();
        if self.external.iter().any(|(name, _)| labels.get(name).is_none()) {
            let mut builder = labels.to_builder();
            for (name, value) in &self.external {
                if labels.get(name).is_none() {
                    builder.set(name, value);
                }
            }
            labels = builder.build();
        }
        if self.rules.is_empty() {
            return Some(labels);
        }
        relabel::process(&labels, &self.rules).filter(|labels| !labels.is_empty())
    }

    /// The parts of `series` that are sent, each either of floats or of histograms, by rising time.
    pub(crate) fn shape(
        &self,
        mut series: TimeSeries,
        now_ms: i64,
        dropped: &mut Dropped,
    ) -> Vec<TimeSeries> {
        if !self.exemplars {
            series.exemplars.clear();
        }
        if !self.histograms {
            series.histograms.clear();
        }
        let Some(labels) = self.labels(&series.labels) else {
            dropped.count(&series);
            return Vec::new();
        };
        series.labels = labels;
        self.drop_old(&mut series, now_ms, dropped);
        runs(series)
    }

    /// Drops what is older than the limit of age.
    pub(crate) fn drop_old(&self, series: &mut TimeSeries, now_ms: i64, dropped: &mut Dropped) {
        if self.age_max_ms <= 0 {
            return;
        }
        let oldest_ms = now_ms.saturating_sub(self.age_max_ms);
        let before = (series.samples.len(), series.histograms.len(), series.exemplars.len());
        series.samples.retain(|sample| sample.t_ms >= oldest_ms);
        series.histograms.retain(|(t_ms, ..)| *t_ms >= oldest_ms);
        series.exemplars.retain(|exemplar| exemplar.t_ms >= oldest_ms);
        dropped.n_samples += (before.0 - series.samples.len()) as u64;
        dropped.n_histograms += (before.1 - series.histograms.len()) as u64;
        dropped.n_exemplars += (before.2 - series.exemplars.len()) as u64;
    }

    pub(crate) fn has_age_limit(&self) -> bool {
        self.age_max_ms > 0
    }
}

impl Dropped {
    fn count(&mut self, series: &TimeSeries) {
        self.n_samples += series.samples.len() as u64;
        self.n_histograms += series.histograms.len() as u64;
        self.n_exemplars += series.exemplars.len() as u64;
    }
}

/// A receiver takes the floats of a series before its histograms, so that both in one would come out of order.
fn runs(series: TimeSeries) -> Vec<TimeSeries> {
    let is_empty =
        |one: &TimeSeries| one.samples.is_empty() && one.histograms.is_empty() && one.exemplars.is_empty();
    if series.samples.is_empty() || series.histograms.is_empty() {
        return if is_empty(&series) { Vec::new() } else { vec![series] };
    }
    let TimeSeries { labels, samples, histograms, exemplars, metadata } = series;
    let mut out: Vec<TimeSeries> = Vec::new();
    let begin = |out: &mut Vec<TimeSeries>| {
        out.push(TimeSeries { labels: labels.clone(), metadata: metadata.clone(), ..TimeSeries::default() });
    };
    let (mut floats, mut histograms) = (samples.into_iter().peekable(), histograms.into_iter().peekable());
    let mut last_is_float = None;
    loop {
        let float_first = match (floats.peek(), histograms.peek()) {
            (Some(Sample { t_ms, .. }), Some((other_ms, ..))) => t_ms <= other_ms,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        if last_is_float != Some(float_first) {
            begin(&mut out);
            last_is_float = Some(float_first);
        }
        let last = out.last_mut().expect("begun above");
        if float_first {
            last.samples.extend(floats.next());
        } else {
            last.histograms.extend(histograms.next());
        }
    }
    if let Some(last) = out.last_mut() {
        last.exemplars = exemplars;
    }
    out
}

/// The name of the family that a series of this name belongs to may end before one of these.
const SUFFIXES: [(&str, &[MetricType]); 7] = [
    ("_total", &[MetricType::Counter]),
    ("_created", &[MetricType::Counter, MetricType::Histogram, MetricType::Summary]),
    ("_bucket", &[MetricType::Histogram, MetricType::GaugeHistogram]),
    ("_count", &[MetricType::Histogram, MetricType::Summary]),
    ("_sum", &[MetricType::Histogram, MetricType::Summary]),
    ("_gcount", &[MetricType::GaugeHistogram]),
    ("_gsum", &[MetricType::GaugeHistogram]),
];

/// What is known of the family of the metric `name`.
pub(crate) fn metadata_of<'m>(
    families: &'m std::collections::BTreeMap<String, model::Metadata>,
    name: &str,
) -> Option<&'m model::Metadata> {
    families.get(name).or_else(|| {
        let known = SUFFIXES.iter().find_map(|(suffix, types)| {
            let metadata = families.get(name.strip_suffix(suffix)?)?;
            types.contains(&metadata.metric_type).then_some(metadata)
        });
        known.or_else(|| families.get(name.strip_suffix("_info")?))
    })
}

#[cfg(test)]
mod tests {
    use model::{Histogram, Metadata};

    use super::*;

    fn config(text: &str) -> RemoteWriteConfig {
        model::yaml::parse("c.yml", &format!("url: 'http://h'\n{text}")).unwrap()
    }

    #[test]
    fn external_labels_come_before_rules_and_never_over_a_series_own() {
        let external = Labels::from_pairs([("region", "eu"), ("job", "other")]);
        let rules = "write_relabel_configs: [{source_labels: [region], regex: eu, target_label: seen, replacement: 'yes'}, {source_labels: [job], regex: b, action: drop}]";
        let shaper = Shaper::new(&config(rules), &external);
        let labels = |job: &str| shaper.labels(&Labels::from_pairs([("__name__", "up"), ("job", job)]));
        let expected =
            Labels::from_pairs([("__name__", "up"), ("job", "a"), ("region", "eu"), ("seen", "yes")]);
        assert_eq!((labels("a"), labels("b")), (Some(expected), None));
    }

    #[test]
    fn floats_and_histograms_of_a_series_are_sent_in_turn() {
        let sample = |t_ms| Sample { t_ms, start_ms: 0, value: 1.0 };
        let series = TimeSeries {
            labels: Labels::from_pairs([("__name__", "h")]),
            samples: vec![sample(1), sample(2), sample(5)],
            histograms: vec![(3, 0, Histogram::default()), (4, 0, Histogram::default())],
            ..TimeSeries::default()
        };
        let shaper = Shaper::new(&config("send_native_histograms: true"), &Labels::empty());
        let parts = shaper.shape(series.clone(), 9, &mut Dropped::default());
        let shape: Vec<_> = parts.iter().map(|part| (part.samples.len(), part.histograms.len())).collect();
        assert_eq!(shape, [(2, 0), (0, 2), (1, 0)]);
        let mut dropped = Dropped::default();
        let shaper = Shaper::new(&config("queue_config: {sample_age_limit: 5ms}"), &Labels::empty());
        let parts = shaper.shape(series, 9, &mut dropped);
        assert_eq!((parts[0].samples.len(), dropped.n_samples, parts.len()), (1, 2, 1));
    }

    #[test]
    fn series_find_what_is_known_of_their_family() {
        let of = |metric_type| Metadata { metric_type, ..Metadata::default() };
        let families = [("a", of(MetricType::Counter)), ("h", of(MetricType::Histogram))];
        let families = families.into_iter().map(|(name, of)| (name.to_owned(), of)).collect();
        let found = |name| metadata_of(&families, name).map(|metadata| metadata.metric_type);
        assert_eq!(found("a_total"), Some(MetricType::Counter));
        assert_eq!(found("h_bucket"), Some(MetricType::Histogram));
        assert_eq!(
            (found("a_bucket"), found("b_total"), found("a")),
            (None, None, Some(MetricType::Counter))
        );
    }
}
