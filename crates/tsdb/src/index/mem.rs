//! The head's index: grows with new series, shrinks when they leave.

use std::collections::{BTreeMap, BTreeSet};

use model::Labels;
use model::labels::METRIC_NAME;

use super::postings::LabelIndex;
use crate::report::NamedCount;

/// Name → value → series. Lists rise, since series numbers do.
#[derive(Debug, Default)]
pub(crate) struct MemIndex {
    names: BTreeMap<Box<str>, BTreeMap<Box<str>, Vec<u64>>>,
    all: Vec<u64>,
}

impl MemIndex {
    /// Adds a series. Usually its number is the highest so far.
    pub(crate) fn insert(&mut self, series: u64, labels: &Labels) {
        insert_sorted(&mut self.all, series);
        for (name, value) in labels {
            if !self.names.contains_key(name) {
                self.names.insert(name.into(), BTreeMap::new());
            }
            let values = self.names.get_mut(name).expect("inserted above");
            match values.get_mut(value) {
                Some(list) => insert_sorted(list, series),
                None => {
                    values.insert(value.into(), vec![series]);
                }
            }
        }
    }

    /// Removes series, of which these are the labels.
    pub(crate) fn remove(&mut self, gone: &BTreeMap<u64, Labels>) {
        self.all.retain(|series| !gone.contains_key(series));
        let pairs: BTreeSet<(&str, &str)> = gone.values().flat_map(Labels::iter).collect();
        for (name, value) in pairs {
            let Some(values) = self.names.get_mut(name) else { continue };
            if let Some(list) = values.get_mut(value) {
                list.retain(|series| !gone.contains_key(series));
                if list.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.names.remove(name);
            }
        }
    }

    /// Fills the index' part of the statistics.
    pub(crate) fn stats(&self, limit: usize, out: &mut crate::report::Stats) {
        let (mut values_of, mut memory, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        let mut metrics = Vec::new();
        for (name, values) in &self.names {
            out.n_label_pairs += values.len() as u64;
            values_of.push(NamedCount { name: name.to_string(), value: values.len() as u64 });
            let n_bytes = values.iter().map(|(value, list)| (value.len() * list.len()) as u64).sum();
            memory.push(NamedCount { name: name.to_string(), value: n_bytes });
            for (value, list) in values {
                let n_series = list.len() as u64;
                pairs.push(NamedCount { name: format!("{name}={value}"), value: n_series });
                if &**name == METRIC_NAME {
                    metrics.push(NamedCount { name: value.to_string(), value: n_series });
                }
            }
        }
        out.series_by_metric_name = largest(metrics, limit);
        out.values_by_label_name = largest(values_of, limit);
        out.memory_by_label_name = largest(memory, limit);
        out.series_by_label_pair = largest(pairs, limit);
    }
}

fn largest(mut counts: Vec<NamedCount>, limit: usize) -> Vec<NamedCount> {
    counts.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.name.cmp(&b.name)));
    counts.truncate(limit);
    counts
}

fn insert_sorted(list: &mut Vec<u64>, series: u64) {
    match list.last() {
        Some(last) if *last >= series => {
            if let Err(at) = list.binary_search(&series) {
                list.insert(at, series);
            }
        }
        _ => list.push(series),
    }
}

impl LabelIndex for MemIndex {
    fn all(&self) -> Vec<u64> {
        self.all.clone()
    }

    fn pair(&self, name: &str, value: &str) -> Vec<u64> {
        self.names.get(name).and_then(|values| values.get(value)).cloned().unwrap_or_default()
    }

    fn values(&self, name: &str, keep: &mut dyn FnMut(&str) -> bool) -> Vec<Vec<u64>> {
        let values = self.names.get(name).into_iter().flatten();
        values.filter(|(value, _)| keep(value)).map(|(_, list)| list.clone()).collect()
    }

    fn names(&self) -> Vec<String> {
        self.names.keys().map(|name| name.to_string()).collect()
    }
}
