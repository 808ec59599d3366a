//! The reference store: a map in memory, plainly right, against which engines are tested.
//!
//! A row is spelled out sample by sample when it is appended. Slow on purpose: each rule of the seam is one line of code here.

mod appender;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{Exemplar, Histogram, Labels, Matcher, TimeRange};
use parking_lot::RwLock;

use crate::error::QueryError;
use crate::seam::{Appendable, Appender, Queryable, SelectHints, SeriesSet, VecSeriesSet};
use crate::series::{HistogramSample, Series};
use appender::{Group, MemAppender};

/// Series and their samples in memory.
#[derive(Debug, Default)]
pub struct MemStore {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    series: BTreeMap<Labels, Samples>,
    /// By reference. Series that a dropped batch brought keep theirs.
    refs: Vec<Labels>,
    ref_of: HashMap<Labels, u64>,
    /// Only committed ones.
    groups: BTreeMap<u64, Group>,
    /// Numbers given, also to batches that were dropped.
    n_groups: u64,
    /// Which group and column a series is, where it is one.
    column_of: HashMap<Labels, (u64, usize)>,
    exemplars: Vec<(Labels, Exemplar)>,
}

type Samples = BTreeMap<i64, Sample>;

#[derive(Debug, Clone)]
struct Sample {
    start_ms: i64,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl Value {
    /// Equal to the bit.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => a == b,
            _ => false,
        }
    }
}

impl MemStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All exemplars with the series they were given for, in the order of their commits.
    #[must_use]
    pub fn exemplars(&self) -> Vec<(Labels, Exemplar)> {
        self.state.read().exemplars.clone()
    }

    fn matching<T>(&self, matchers: &[Matcher], mut pick: impl FnMut(&Labels, &Samples) -> T) -> Vec<T> {
        let state = self.state.read();
        let matching =
            state.series.iter().filter(|(labels, _)| matchers.iter().all(|m| m.matches_labels(labels)));
        matching.map(|(labels, samples)| pick(labels, samples)).collect()
    }
}

impl Appendable for MemStore {
    fn appender(&self, _now_ms: i64) -> Box<dyn Appender + '_> {
        Box::new(MemAppender::new(self))
    }
}

/// The samples of one series within `range`.
fn series_of(labels: &Labels, samples: &Samples, range: TimeRange) -> Series {
    let mut series = Series::floats(labels.clone(), Arc::default(), Vec::new());
    let mut timestamps = Vec::new();
    for (&t_ms, sample) in samples.range(range.start_ms..=range.end_ms) {
        match &sample.value {
            Value::Float(value) => {
                timestamps.push(t_ms);
                series.values.push(*value);
                series.starts.push(sample.start_ms);
            }
            Value::Histogram(histogram) => series.histograms.push(HistogramSample {
                t_ms,
                start_ms: sample.start_ms,
                histogram: Arc::clone(histogram),
            }),
        }
    }
    if series.starts.iter().all(|start_ms| *start_ms == 0) {
        series.starts.clear();
    }
    series.timestamps = Arc::new(timestamps);
    series
}

impl Queryable for MemStore {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        _hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        if range.start_ms > range.end_ms {
            return Ok(Box::new(VecSeriesSet::new(Vec::new())));
        }
        let series = self.matching(matchers, |labels, samples| series_of(labels, samples, range));
        Ok(Box::new(VecSeriesSet::new(series.into_iter().filter(|s| !s.is_empty()).collect())))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        _range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        let mut names = BTreeSet::new();
        self.matching(matchers, |labels, _| names.extend(labels.iter().map(|(name, _)| name.to_owned())));
        Ok(names.into_iter().take(limit).collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        _range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        let mut values = BTreeSet::new();
        self.matching(matchers, |labels, _| values.extend(labels.get(name).map(str::to_owned)));
        Ok(values.into_iter().take(limit).collect())
    }
}

#[cfg(test)]
mod tests;
