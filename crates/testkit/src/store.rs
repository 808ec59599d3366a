//! The store of the scripts.
//!
//! Of histograms it hands out the hints that upstream's store does: what was said on loading decides whether a new chunk
//! begins, the first of a chunk is unknown, and those after it were not reset.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::histogram::ResetHint;
use model::{Histogram, Labels, Matcher, TimeRange, is_stale};
use storage::{HistogramSample, QueryError, Queryable, SelectHints, Series, SeriesSet, VecSeriesSet};

use promql::notation::Sample;

#[derive(Debug)]
enum Stored {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// Series and their samples.
#[derive(Debug, Default)]
pub(crate) struct ScriptStore {
    /// By time; with each when it began to count, 0 where not known.
    series: BTreeMap<Labels, BTreeMap<i64, (i64, Stored)>>,
}

impl ScriptStore {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds a sample; `start_ms` is 0 where not known.
    pub(crate) fn insert(&mut self, labels: &Labels, t_ms: i64, start_ms: i64, sample: Sample) {
        let stored = match sample {
            Sample::Float(value) => Stored::Float(value),
            Sample::Histogram(written) => Stored::Histogram(Arc::new(written.histogram)),
        };
        self.series.entry(labels.clone()).or_default().insert(t_ms, (start_ms, stored));
    }
}

/// Whether `h` continues the chunk that ends with `previous`.
fn continues(previous: &Histogram, h: &Histogram) -> bool {
    let is_gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
    let same_layout = previous.schema == h.schema
        && previous.zero_threshold == h.zero_threshold
        && previous.custom_bounds == h.custom_bounds;
    same_layout
        && !is_gauge(previous)
        && !is_gauge(h)
        && h.reset_hint != ResetHint::Reset
        && !h.fell_since(previous)
}

/// The hint with which each histogram is read.
fn hinted(samples: &BTreeMap<i64, (i64, Stored)>) -> BTreeMap<i64, Arc<Histogram>> {
    let mut previous: Option<&Histogram> = None;
    let mut hinted = BTreeMap::new();
    for (t_ms, (_, stored)) in samples {
        let Stored::Histogram(h) = stored else {
            previous = None;
            continue;
        };
        let hint = match previous {
            _ if h.reset_hint == ResetHint::Gauge => ResetHint::Gauge,
            Some(previous) if continues(previous, h) => ResetHint::NotReset,
            _ => ResetHint::Unknown,
        };
        previous = (!is_stale(h.sum)).then_some(&**h);
        let with_hint = if h.reset_hint == hint {
            Arc::clone(h)
        } else {
            Arc::new(Histogram { reset_hint: hint, ..(**h).clone() })
        };
        hinted.insert(*t_ms, with_hint);
    }
    hinted
}

impl Queryable for ScriptStore {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        _hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        let mut found = Vec::new();
        if range.start_ms > range.end_ms {
            return Ok(Box::new(VecSeriesSet::new(found)));
        }
        for (labels, samples) in &self.series {
            if !matchers.iter().all(|m| m.matches_labels(labels)) {
                continue;
            }
            let (mut timestamps, mut values, mut starts) = (Vec::new(), Vec::new(), Vec::new());
            let mut histograms = Vec::new();
            let hinted = hinted(samples);
            for (t_ms, (start_ms, stored)) in samples.range(range.start_ms..=range.end_ms) {
                match stored {
                    Stored::Float(value) => {
                        timestamps.push(*t_ms);
                        values.push(*value);
                        starts.push(*start_ms);
                    }
                    Stored::Histogram(_) => histograms.push(HistogramSample {
                        t_ms: *t_ms,
                        start_ms: *start_ms,
                        histogram: Arc::clone(&hinted[t_ms]),
                    }),
                }
            }
            if starts.iter().all(|start_ms| *start_ms == 0) {
                starts.clear();
            }
            let series = Series {
                labels: labels.clone(),
                timestamps: Arc::new(timestamps),
                values,
                starts,
                histograms,
                summaries: Vec::new(),
            };
            if !series.is_empty() {
                found.push(series);
            }
        }
        Ok(Box::new(VecSeriesSet::new(found)))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        _range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        let matching = self.series.keys().filter(|labels| matchers.iter().all(|m| m.matches_labels(labels)));
        let names: BTreeSet<_> =
            matching.flat_map(|labels| labels.iter().map(|(n, _)| n.to_owned())).collect();
        Ok(names.into_iter().take(limit).collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        _range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        let matching = self.series.keys().filter(|labels| matchers.iter().all(|m| m.matches_labels(labels)));
        let values: BTreeSet<_> = matching.filter_map(|labels| labels.get(name).map(str::to_owned)).collect();
        Ok(values.into_iter().take(limit).collect())
    }
}
