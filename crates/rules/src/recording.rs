//! Recording rules: a vector renamed and relabelled. Pure.

use std::collections::{BTreeMap, HashSet};

use model::Labels;
use model::labels::METRIC_NAME;

use crate::query::Sample;

/// The series to store for `samples`.
///
/// # Errors
/// In Prometheus' words: two results with one label set, or more results than `limit` (0 for any).
pub(crate) fn apply(
    record: &str,
    labels: &BTreeMap<String, String>,
    samples: Vec<Sample>,
    limit: usize,
) -> Result<Vec<Sample>, String> {
    let mut seen = HashSet::with_capacity(samples.len());
    let mut renamed = Vec::with_capacity(samples.len());
    for sample in samples {
        let labels = renamed_labels(record, labels, &sample.labels);
        if !seen.insert(labels.clone()) {
            return Err(
                "vector contains metrics with the same labelset after applying rule labels".to_owned()
            );
        }
        renamed.push(Sample { labels, ..sample });
    }
    if limit > 0 && renamed.len() > limit {
        return Err(format!("exceeded limit of {limit} with {} series", renamed.len()));
    }
    Ok(renamed)
}

/// The labels under which a result with the labels `of` is stored.
pub(crate) fn renamed_labels(record: &str, labels: &BTreeMap<String, String>, of: &Labels) -> Labels {
    let mut builder = of.to_builder();
    builder.set(METRIC_NAME, record);
    for (name, value) in labels {
        builder.set(name, value);
    }
    builder.build()
}
