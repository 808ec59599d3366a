//! What one target's last scrapes looked like: raw text → series, and which series are alive.
//!
//! In from [`crate::ingest`]; nothing out. Pure. A page that lists its series in the same order as last time costs one
//! comparison per sample: the entry expected next is tried before the table is asked.
//! Invariant: `live` holds the entries whose last stored sample is a value that staleness tracking must end.

use std::collections::HashSet;

use hashbrown::HashMap;
use model::{Labels, Metadata};
use storage::SeriesRef;

/// How many scrapes a family's metadata outlives its last mention. From Prometheus.
const METADATA_SCRAPES_KEPT: u64 = 10;

/// How many entries more than twice a good page bad pages may leave. From Prometheus.
const ENTRIES_SLACK: usize = 1_000;

/// Number of an entry.
pub(crate) type EntryIdx = u32;

/// One series as the target writes it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Name and labels as they stand in the page.
    pub(crate) raw: Box<str>,
    /// After conflicts and relabelling; `None` when relabelling dropped it.
    pub(crate) labels: Option<Labels>,
    /// From the last append.
    pub(crate) series: Option<SeriesRef>,
    /// Number of the scrape that mentioned it last.
    pub(crate) last_seen: u64,
}

/// A family's metadata.
#[derive(Debug)]
struct Family {
    metadata: Metadata,
    last_seen: u64,
}

/// The cache of one target.
#[derive(Debug, Default)]
pub struct ScrapeCache {
    entries: Vec<Option<Entry>>,
    free: Vec<EntryIdx>,
    by_raw: HashMap<Box<str>, EntryIdx>,
    /// Entries in the order of the last good scrape.
    order: Vec<EntryIdx>,
    /// Entries in the order of this scrape.
    next_order: Vec<EntryIdx>,
    cursor: usize,
    /// Alive after the last good scrape.
    live: Vec<EntryIdx>,
    /// Alive series of an earlier configuration, whose entries are gone.
    orphans: Vec<Labels>,
    scrape_no: u64,
    has_new: bool,
    families: HashMap<Box<str>, Family>,
}

impl ScrapeCache {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets how pages map to series, after a change of relabelling, but not which series are alive.
    pub fn forget_series(&mut self) {
        let live = std::mem::take(&mut self.live);
        self.orphans
            .extend(live.into_iter().filter_map(|idx| self.entries[idx as usize].as_ref()?.labels.clone()));
        let (orphans, families, scrape_no) =
            (std::mem::take(&mut self.orphans), std::mem::take(&mut self.families), self.scrape_no);
        *self = Self { orphans, families, scrape_no, ..Self::default() };
    }

    /// How many series the cache knows, dropped ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_raw.len()
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_raw.is_empty()
    }

    /// The metadata of all families mentioned lately, sorted by name.
    #[must_use]
    pub fn metadata(&self) -> Vec<(String, Metadata)> {
        let mut all: Vec<_> =
            self.families.iter().map(|(name, family)| (name.to_string(), family.metadata.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    pub(crate) fn begin(&mut self) {
        self.scrape_no += 1;
        self.next_order.clear();
        self.cursor = 0;
        self.has_new = false;
    }

    pub(crate) fn scrape_no(&self) -> u64 {
        self.scrape_no
    }

    /// The entry of `raw`, if there is one.
    pub(crate) fn find(&mut self, raw: &str) -> Option<EntryIdx> {
        // Fast path: the same order as last time.
        if let Some(idx) = self.order.get(self.cursor).copied()
            && self.entries[idx as usize].as_ref().is_some_and(|entry| *entry.raw == *raw)
        {
            self.cursor += 1;
            self.next_order.push(idx);
            return Some(idx);
        }
        // Slow path: by name; the order goes on from there, where series were left out or came in between.
        let idx = *self.by_raw.get(raw)?;
        let window = self.order.get(self.cursor..).unwrap_or_default();
        if let Some(skipped) = window.iter().take(8).position(|expected| *expected == idx) {
            self.cursor += skipped + 1;
        }
        self.next_order.push(idx);
        Some(idx)
    }

    pub(crate) fn insert(&mut self, raw: &str, labels: Option<Labels>) -> EntryIdx {
        let raw: Box<str> = raw.into();
        let entry = Entry { raw: raw.clone(), labels, series: None, last_seen: 0 };
        let idx = match self.free.pop() {
            Some(idx) => {
                self.entries[idx as usize] = Some(entry);
                idx
            }
            None => {
                self.entries.push(Some(entry));
                EntryIdx::try_from(self.entries.len() - 1)
                    .expect("a body of half a gigabyte has fewer series")
            }
        };
        self.by_raw.insert(raw, idx);
        self.next_order.push(idx);
        self.has_new = true;
        idx
    }

    pub(crate) fn entry(&mut self, idx: EntryIdx) -> &mut Entry {
        self.entries[idx as usize].as_mut().expect("indices come from find and insert of this scrape")
    }

    /// Series that were alive and are not in `now_live`, with what is known of them.
    pub(crate) fn vanished(&self, now_live: &[EntryIdx]) -> Vec<(Labels, Option<SeriesRef>)> {
        let is_gone = |idx: &&EntryIdx| {
            self.entries[**idx as usize].as_ref().is_some_and(|entry| entry.last_seen != self.scrape_no)
        };
        let gone = self.live.iter().filter(is_gone).filter_map(|idx| {
            let entry = self.entries[*idx as usize].as_ref()?;
            Some((entry.labels.clone()?, entry.series))
        });
        let mut gone: Vec<_> = gone.chain(self.orphans.iter().map(|labels| (labels.clone(), None))).collect();
        if !gone.is_empty() && (self.has_new || !self.orphans.is_empty()) {
            // The same series may have come back in another spelling.
            let now: HashSet<&Labels> = now_live
                .iter()
                .filter_map(|idx| self.entries[*idx as usize].as_ref()?.labels.as_ref())
                .collect();
            gone.retain(|(labels, _)| !now.contains(labels));
        }
        gone
    }

    /// All series that are alive, which a failed scrape or the target's end makes stale.
    pub(crate) fn take_live(&mut self) -> Vec<(Labels, Option<SeriesRef>)> {
        let live = std::mem::take(&mut self.live);
        let alive = live.into_iter().filter_map(|idx| {
            let entry = self.entries[idx as usize].as_ref()?;
            Some((entry.labels.clone()?, entry.series))
        });
        alive.chain(std::mem::take(&mut self.orphans).into_iter().map(|labels| (labels, None))).collect()
    }

    /// A good scrape is over: `now_live` are alive, entries not mentioned are forgotten.
    pub(crate) fn finish(&mut self, now_live: Vec<EntryIdx>) {
        self.live = now_live;
        self.orphans.clear();
        std::mem::swap(&mut self.order, &mut self.next_order);
        let scrape_no = self.scrape_no;
        // Equal counts mean that nothing is gone, or that a series stands there twice: then at most as many as the page
        // has lines are kept too long, until the counts differ.
        if self.by_raw.len() != self.order.len() {
            for idx in 0..self.entries.len() {
                if self.entries[idx].as_ref().is_some_and(|entry| entry.last_seen != scrape_no) {
                    let entry = self.entries[idx].take().expect("checked to be some");
                    self.by_raw.remove(&entry.raw);
                    self.free.push(EntryIdx::try_from(idx).expect("indices are made from EntryIdx"));
                }
            }
        }
        self.families.retain(|_, family| scrape_no - family.last_seen < METADATA_SCRAPES_KEPT);
    }

    /// A bad scrape is over. What it left behind is kept for the next one, unless that grows far beyond a good page.
    pub(crate) fn abandon(&mut self) {
        if self.by_raw.len() > 2 * self.order.len() + ENTRIES_SLACK {
            self.forget_series();
        }
        let scrape_no = self.scrape_no;
        self.families.retain(|_, family| scrape_no - family.last_seen < METADATA_SCRAPES_KEPT);
    }

    pub(crate) fn family(&mut self, name: &str, set: impl FnOnce(&mut Metadata)) {
        let scrape_no = self.scrape_no;
        if let Some(family) = self.families.get_mut(name) {
            family.last_seen = scrape_no;
            set(&mut family.metadata);
            return;
        }
        let mut metadata = Metadata::default();
        set(&mut metadata);
        self.families.insert(name.into(), Family { metadata, last_seen: scrape_no });
    }
}
