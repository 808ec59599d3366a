//! Metadata of metric families that a page's own lines do not hold: of lines that are gone, and of pages read without [`Page`].
//!
//! In from [`crate::ingest::rows`] and [`crate::ingest::plain`]; out to [`crate::ingest::cache::ScrapeCache::metadata`]. Pure.

use hashbrown::HashMap;
use model::Metadata;
use wire::exposition::Entry;
use wire::exposition::diff::Page;

/// How many scrapes a family's metadata outlives its last mention. From Prometheus.
const METADATA_SCRAPES_KEPT: u64 = 10;

/// A family's metadata.
#[derive(Debug, Clone, Default)]
struct Family {
    metadata: Metadata,
    last_seen: u64,
}

/// The families of one target.
#[derive(Debug, Default)]
pub(crate) struct Families {
    by_name: HashMap<Box<str>, Family>,
    scrape_no: u64,
}

impl Families {
    /// Another page begins.
    pub(crate) fn begin(&mut self) {
        self.scrape_no += 1;
    }

    /// A line of this page.
    pub(crate) fn see(&mut self, entry: &Entry<'_>) {
        see(&mut self.by_name, entry, self.scrape_no);
    }

    /// A line of the page before, which this one may not have.
    pub(crate) fn saw_last(&mut self, entry: &Entry<'_>) {
        see(&mut self.by_name, entry, self.scrape_no.saturating_sub(1));
    }

    /// Forgets those not mentioned for long. Called after each page.
    pub(crate) fn expire(&mut self) {
        let scrape_no = self.scrape_no;
        self.by_name.retain(|_, family| scrape_no - family.last_seen < METADATA_SCRAPES_KEPT);
    }

    /// Changes whenever families come or go.
    pub(crate) fn shape(&self, page: &Page) -> (usize, usize) {
        (self.by_name.len(), page.n_lines())
    }

    /// How many there are with those of `page`, and the bytes of what is said of them.
    pub(crate) fn size(&self, page: &Page) -> (usize, usize) {
        let said = |metadata: &Metadata| {
            metadata.help.len() + metadata.unit.len() + metadata.metric_type.as_str().len()
        };
        let mut size =
            (self.by_name.len(), self.by_name.values().map(|family| said(&family.metadata)).sum::<usize>());
        let mut last: Option<Box<str>> = None;
        page.metadata(|entry| {
            let (name, n_bytes) = match &entry {
                Entry::Type { name, metric_type, .. } => (name, metric_type.as_str().len()),
                Entry::Help { name, text, .. } => (name, text.len()),
                Entry::Unit { name, unit, .. } => (name, unit.len()),
                _ => return,
            };
            if self.by_name.contains_key(name.as_ref()) {
                return;
            }
            size.1 += n_bytes;
            // The lines of one family stand together.
            if last.as_deref() != Some(name.as_ref()) {
                size.0 += 1;
                last = Some(name.as_ref().into());
            }
        });
        size
    }

    /// All of them with those of `page`, sorted by name.
    pub(crate) fn with(&self, page: &Page) -> Vec<(String, Metadata)> {
        let mut all = self.by_name.clone();
        page.metadata(|entry| see(&mut all, &entry, self.scrape_no));
        let mut all: Vec<_> =
            all.into_iter().map(|(name, family)| (name.into_string(), family.metadata)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

fn see(by_name: &mut HashMap<Box<str>, Family>, entry: &Entry<'_>, scrape_no: u64) {
    let (Entry::Type { name, .. } | Entry::Help { name, .. } | Entry::Unit { name, .. }) = entry else {
        return;
    };
    let family = by_name.entry_ref(name.as_ref()).or_default();
    family.last_seen = family.last_seen.max(scrape_no);
    match entry {
        Entry::Type { metric_type, .. } => family.metadata.metric_type = *metric_type,
        Entry::Help { text, .. } if family.metadata.help != *text => {
            text.as_ref().clone_into(&mut family.metadata.help);
        }
        Entry::Unit { unit, .. } if family.metadata.unit != *unit => {
            (*unit).clone_into(&mut family.metadata.unit);
        }
        _ => {}
    }
}
