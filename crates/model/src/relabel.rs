//! Relabelling: rules that rewrite, keep or drop label sets.
//!
//! In from `relabel_configs`, `metric_relabel_configs`, `alert_relabel_configs`; semantics of Prometheus'
//! `model/relabel`.

use crate::labels::{Labels, LabelsBuilder};

/// One rule. Built by its `Deserialize`, which checks it.
#[derive(Debug, Clone, PartialEq)]
pub struct RelabelConfig {}

/// Applies `rules` in order; `None` when one of them drops the set.
#[must_use]
pub fn process(labels: &Labels, rules: &[RelabelConfig]) -> Option<Labels> {
    let mut builder = labels.to_builder();
    process_builder(&mut builder, rules).then(|| builder.build())
}

/// As [`process`], in place; `false` when one of the rules drops the set.
#[must_use]
pub fn process_builder(_builder: &mut LabelsBuilder, _rules: &[RelabelConfig]) -> bool {
    true
}
