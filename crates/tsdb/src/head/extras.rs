//! Exemplars and metadata: bounded, beside the samples.

use std::collections::{BTreeMap, VecDeque};

use model::{Exemplar, Metadata};

use crate::families::FAMILIES_MAX;

/// The newest exemplars of all series.
#[derive(Debug)]
pub(crate) struct ExemplarRing {
    max: usize,
    ring: VecDeque<(u32, Exemplar)>,
}

impl ExemplarRing {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, ring: VecDeque::new() }
    }

    pub(crate) fn put(&mut self, series: u32, exemplar: Exemplar) {
        if self.max == 0 {
            return;
        }
        while self.ring.len() >= self.max {
            self.ring.pop_front();
        }
        self.ring.push_back((series, exemplar));
    }

    /// The oldest beyond it go at once.
    pub(crate) fn set_max(&mut self, max: usize) {
        self.max = max;
        self.ring.drain(..self.ring.len().saturating_sub(max));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(u32, Exemplar)> {
        self.ring.iter()
    }

    /// Drops those of series that are gone.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        self.ring.retain(|(series, _)| keep(*series));
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.ring.iter().map(|(_, one)| 48 + one.labels.packed_bytes()).sum()
    }
}

/// What writers said of metric families.
#[derive(Debug, Default)]
pub(crate) struct MetadataMap(BTreeMap<String, Metadata>);

impl MetadataMap {
    pub(crate) fn put(&mut self, name: &str, metadata: &Metadata) {
        if let Some(known) = self.0.get_mut(name) {
            if known != metadata {
                known.clone_from(metadata);
            }
        } else if self.0.len() < FAMILIES_MAX {
            self.0.insert(name.to_owned(), metadata.clone());
        }
    }

    pub(crate) fn all(&self) -> &BTreeMap<String, Metadata> {
        &self.0
    }
}
