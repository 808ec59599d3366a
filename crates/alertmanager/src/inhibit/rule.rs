//! One rule of what hides what: alerts of its source side hide those of its target side whose shared labels are equal.
//!
//! The sources are indexed by the values of the shared labels, all of them, so that hiding lasts until the last one resolves.
//! Pure. A missing label equals an empty one.

use std::collections::{BTreeSet, HashMap};

use model::{Labels, Matcher};

use crate::alert::Fingerprint;

/// One inhibition rule.
#[derive(Debug, Clone)]
pub(crate) struct InhibitRuleConfig {
    /// May be empty.
    pub(crate) name: String,
    pub(crate) source: Vec<Matcher>,
    pub(crate) target: Vec<Matcher>,
    pub(crate) equal: Vec<String>,
}

/// One rule and the alerts that match its source side.
#[derive(Debug)]
pub(crate) struct Rule {
    config: InhibitRuleConfig,
    sources: HashMap<Vec<String>, BTreeSet<Fingerprint>>,
}

fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(labels))
}

impl Rule {
    /// Without sources yet.
    pub(crate) fn new(config: &InhibitRuleConfig) -> Self {
        Self { config: config.clone(), sources: HashMap::new() }
    }

    /// As it is written.
    pub(crate) fn config(&self) -> &InhibitRuleConfig {
        &self.config
    }

    /// Whether `labels` are on the side that is hidden.
    pub(crate) fn takes(&self, labels: &Labels) -> bool {
        all_match(&self.config.target, labels)
    }

    /// Whether `labels` are on the side that hides.
    pub(crate) fn is_source(&self, labels: &Labels) -> bool {
        all_match(&self.config.source, labels)
    }

    /// Names of the labels that both sides share.
    pub(crate) fn equal(&self) -> &[String] {
        &self.config.equal
    }

    /// The alerts that hide and whose shared labels have these values.
    pub(crate) fn sources(&self, values: &[String]) -> impl Iterator<Item = Fingerprint> {
        self.sources.get(values).into_iter().flatten().copied()
    }

    /// Takes note of a stored alert, if it may hide others.
    pub(crate) fn insert(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        if self.is_source(labels) {
            self.sources.entry(self.equal_values(labels)).or_default().insert(fingerprint);
        }
    }

    /// Forgets an alert that is stored no more.
    pub(crate) fn remove(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        let values = self.equal_values(labels);
        if let Some(sources) = self.sources.get_mut(&values) {
            sources.remove(&fingerprint);
            if sources.is_empty() {
                self.sources.remove(&values);
            }
        }
    }

    /// The values of the shared labels; a missing label is an empty one.
    pub(crate) fn equal_values(&self, labels: &Labels) -> Vec<String> {
        self.config.equal.iter().map(|name| labels.get(name).unwrap_or("").to_owned()).collect()
    }
}
