//! Where series and their labels are many: the tables of `/api/v1/status/tsdb`.
//!
//! From counts kept for each name and pair; series are not walked.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::labels::METRIC_NAME;

use super::SeriesTable;
use crate::report::NamedCount;

/// Counts of a series table. Lists are sorted by falling count and then by name; of equal counts at the end of a list, any may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CardinalityStats {
    /// Series.
    pub n_series: u64,
    /// Distinct label names.
    pub n_label_names: u64,
    /// Distinct label pairs.
    pub n_label_pairs: u64,
    /// Series for each metric name.
    pub series_by_metric_name: Vec<NamedCount>,
    /// Distinct values for each label name.
    pub values_by_label_name: Vec<NamedCount>,
    /// Bytes of values, counted once for each series that has them, for each label name.
    pub memory_by_label_name: Vec<NamedCount>,
    /// Series for each `name=value`.
    pub series_by_label_pair: Vec<NamedCount>,
}

impl SeriesTable {
    /// The `top_n` first of each table. O(label pairs).
    #[must_use]
    pub fn statistics(&self, top_n: usize) -> CardinalityStats {
        let names = || self.pairs.names().map(|(id, _)| id);
        let name = |id| self.pairs.name(id);
        let name_text = |id| name(id).text.to_string();
        let metrics = self.pairs.find_name(METRIC_NAME).map(|id| &name(id).values);
        let metrics = metrics.into_iter().flat_map(|values| values.iter());
        let n_series = |pair| self.pairs.get(pair).postings.len() as u64;
        let pairs = self.pairs.iter().map(|(id, pair)| (id, pair.postings.len() as u64));
        CardinalityStats {
            n_series: self.len() as u64,
            n_label_names: names().count() as u64,
            n_label_pairs: self.pairs.len() as u64,
            series_by_metric_name: largest(metrics.map(|pair| (pair, n_series(pair))), top_n, |pair| {
                self.pairs.value(pair).to_owned()
            }),
            values_by_label_name: largest(
                names().map(|id| (id, name(id).values.len() as u64)),
                top_n,
                name_text,
            ),
            memory_by_label_name: largest(names().map(|id| (id, name(id).value_bytes)), top_n, name_text),
            series_by_label_pair: largest(pairs, top_n, |pair| {
                let (name, value) = self.pairs.texts(pair);
                format!("{name}={value}")
            }),
        }
    }
}

fn largest(
    counts: impl Iterator<Item = (u32, u64)>,
    top_n: usize,
    text: impl Fn(u32) -> String,
) -> Vec<NamedCount> {
    // The smallest of the kept ones on top. Of equal counts the lower number stays.
    let mut kept = BinaryHeap::new();
    for (id, count) in counts {
        let entry = Reverse((count, Reverse(id)));
        if kept.len() < top_n {
            kept.push(entry);
        } else if let Some(mut least) = kept.peek_mut()
            && entry < *least
        {
            *least = entry;
        }
    }
    let counts = kept.into_iter().map(|Reverse((count, Reverse(id)))| (id, count));
    let named = counts.map(|(id, value)| NamedCount { name: text(id), value });
    let mut named: Vec<NamedCount> = named.collect();
    named.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.name.cmp(&b.name)));
    named
}
