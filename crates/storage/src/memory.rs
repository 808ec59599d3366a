//! The reference store: a map in memory, plainly right, against which engines are tested.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use parking_lot::RwLock;

use crate::error::{AppendError, QueryError, StorageError};
use crate::seam::{
    AppendStats, Appendable, Appender, Queryable, SelectHints, Series, SeriesRef, SeriesSet, VecSeriesSet,
};

/// Series and their samples in memory.
#[derive(Debug, Default)]
pub struct MemStore {
    series: RwLock<BTreeMap<Labels, BTreeMap<i64, f64>>>,
}

impl MemStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn matching<T>(
        &self,
        matchers: &[Matcher],
        mut pick: impl FnMut(&Labels, &BTreeMap<i64, f64>) -> T,
    ) -> Vec<T> {
        let series = self.series.read();
        let matching = series.iter().filter(|(labels, _)| matchers.iter().all(|m| m.matches_labels(labels)));
        matching.map(|(labels, samples)| pick(labels, samples)).collect()
    }
}

impl Appendable for MemStore {
    fn appender(&self, _now_ms: i64) -> Box<dyn Appender + '_> {
        Box::new(MemAppender { store: self, batch: Vec::new() })
    }
}

struct MemAppender<'a> {
    store: &'a MemStore,
    batch: Vec<(Labels, i64, f64)>,
}

impl Appender for MemAppender<'_> {
    fn append(
        &mut self,
        _known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        if labels.is_empty() {
            return Err(AppendError::NoName);
        }
        let last =
            self.store.series.read().get(labels).and_then(|s| s.last_key_value().map(|(t, v)| (*t, *v)));
        match last {
            Some((last_ms, _)) if t_ms < last_ms => return Err(AppendError::OutOfOrder),
            Some((last_ms, last)) if t_ms == last_ms && last.to_bits() != value.to_bits() => {
                return Err(AppendError::DuplicateForTimestamp);
            }
            _ => self.batch.push((labels.clone(), t_ms, value)),
        }
        Ok(SeriesRef(0))
    }

    fn commit(self: Box<Self>) -> Result<AppendStats, StorageError> {
        let mut series = self.store.series.write();
        let mut stats = AppendStats::default();
        for (labels, t_ms, value) in self.batch {
            stats.n_new_series += u64::from(!series.contains_key(&labels));
            stats.n_samples += 1;
            series.entry(labels).or_default().insert(t_ms, value);
        }
        Ok(stats)
    }
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
        let series = self.matching(matchers, |labels, samples| {
            let (timestamps, values) = samples.range(range.start_ms..=range.end_ms).unzip();
            Series::floats(labels.clone(), Arc::new(timestamps), values)
        });
        Ok(Box::new(VecSeriesSet::new(series.into_iter().filter(|s| !s.values.is_empty()).collect())))
    }

    fn label_names(&self, matchers: &[Matcher], _range: TimeRange) -> Result<Vec<String>, QueryError> {
        let mut names = BTreeSet::new();
        self.matching(matchers, |labels, _| names.extend(labels.iter().map(|(name, _)| name.to_owned())));
        Ok(names.into_iter().collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        _range: TimeRange,
    ) -> Result<Vec<String>, QueryError> {
        let mut values = BTreeSet::new();
        self.matching(matchers, |labels, _| values.extend(labels.get(name).map(str::to_owned)));
        Ok(values.into_iter().collect())
    }
}
