//! The store of the scripts: floats as [`storage::MemStore`] keeps them, and the knowledge of what it cannot keep.
//!
//! Native histograms and start timestamps are not part of [`storage::Series`] yet. A selection that would need them
//! fails with [`io::ErrorKind::Unsupported`], so that no query silently answers without them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use storage::{QueryError, Queryable, SelectHints, Series, SeriesSet, StorageError, VecSeriesSet};

/// Functions whose result depends on start timestamps.
const START_TIMESTAMP_FUNCTIONS: [&str; 4] = ["rate", "irate", "increase", "resets"];

/// What a series holds at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sample {
    /// A float, staleness markers included.
    Float(f64),
    /// A native histogram, of which only its existence is kept.
    Histogram,
}

/// Series and their samples.
#[derive(Debug, Default)]
pub struct ScriptStore {
    series: BTreeMap<Labels, BTreeMap<i64, Sample>>,
    /// Series that were loaded with start timestamps.
    with_start: BTreeSet<Labels>,
}

impl ScriptStore {
    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds a sample.
    pub fn insert(&mut self, labels: &Labels, t_ms: i64, sample: Sample) {
        self.series.entry(labels.clone()).or_default().insert(t_ms, sample);
    }

    /// Remembers that the samples of a series have start timestamps.
    pub fn mark_start_timestamps(&mut self, labels: &Labels) {
        self.with_start.insert(labels.clone());
    }
}

fn unsupported(what: &str) -> QueryError {
    let source = io::Error::new(io::ErrorKind::Unsupported, "not stored yet");
    QueryError::Storage(StorageError::Io { action: format!("read {what}"), source })
}

impl Queryable for ScriptStore {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        let mut found = Vec::new();
        if range.start_ms > range.end_ms {
            return Ok(Box::new(VecSeriesSet::new(found)));
        }
        for (labels, samples) in &self.series {
            if !matchers.iter().all(|m| m.matches_labels(labels)) {
                continue;
            }
            let (mut timestamps, mut values) = (Vec::new(), Vec::new());
            for (t_ms, sample) in samples.range(range.start_ms..=range.end_ms) {
                match sample {
                    Sample::Float(value) => {
                        timestamps.push(*t_ms);
                        values.push(*value);
                    }
                    Sample::Histogram => return Err(unsupported("native histograms")),
                }
            }
            if values.is_empty() {
                continue;
            }
            let needs_start = START_TIMESTAMP_FUNCTIONS.contains(&hints.function.as_str());
            if needs_start && self.with_start.contains(labels) {
                return Err(unsupported("start timestamps"));
            }
            found.push(Series::floats(labels.clone(), Arc::new(timestamps), values));
        }
        Ok(Box::new(VecSeriesSet::new(found)))
    }

    fn label_names(&self, matchers: &[Matcher], _range: TimeRange) -> Result<Vec<String>, QueryError> {
        let matching = self.series.keys().filter(|labels| matchers.iter().all(|m| m.matches_labels(labels)));
        let names: BTreeSet<_> =
            matching.flat_map(|labels| labels.iter().map(|(n, _)| n.to_owned())).collect();
        Ok(names.into_iter().collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        _range: TimeRange,
    ) -> Result<Vec<String>, QueryError> {
        let matching = self.series.keys().filter(|labels| matchers.iter().all(|m| m.matches_labels(labels)));
        let values: BTreeSet<_> = matching.filter_map(|labels| labels.get(name).map(str::to_owned)).collect();
        Ok(values.into_iter().collect())
    }
}
