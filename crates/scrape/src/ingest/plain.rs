//! Pages stored sample by sample: for stores that take no rows, for pages that have a series twice, and where starts are synthesized.
//!
//! In from [`crate::ingest::cache::ScrapeCache`]; out to an [`Appender`]. Pure. A page that lists its series in the same order as last time
//! costs one comparison per sample: the entry expected next is tried before the table is asked.
//! Invariant: `live` holds the entries whose last stored sample is a value that staleness tracking must end.

use std::collections::HashSet;

use hashbrown::HashMap;
use model::{Labels, LabelsBuilder};
use storage::{AppendError, SeriesRef};
use wire::exposition::{Entry as Line, Parser, SampleEntry};

use crate::ingest::labelling::{no_name, resolve};
use crate::ingest::starts::PageStarts;
use crate::ingest::synthesis::{self, Family, Reference, Step};
use crate::ingest::{IngestError, Scrape};

/// How many entries more than twice a good page bad pages may leave. From Prometheus.
const ENTRIES_SLACK: usize = 1_000;

/// Number of an entry.
type EntryIdx = u32;

/// One series as the target writes it.
#[derive(Debug)]
struct Entry {
    /// Name and labels as they stand in the page.
    raw: Box<str>,
    /// After conflicts and relabelling; `None` when relabelling dropped it.
    labels: Option<Labels>,
    /// From the last append.
    series: Option<SeriesRef>,
    /// Number of the scrape that mentioned it last.
    last_seen: u64,
    /// Of a counter that is given a start.
    reference: Option<Box<Reference<f64>>>,
}

/// What is known of one target's series.
#[derive(Debug, Default)]
pub(crate) struct PlainCache {
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
    /// What the lines at hand are of.
    family: Family,
    scrape_no: u64,
    has_new: bool,
    /// Good pages so far.
    pub(crate) n_good: u64,
}

impl PlainCache {
    /// How many series it knows, dropped ones included.
    pub(crate) fn len(&self) -> usize {
        self.by_raw.len()
    }

    /// All series that are alive, as they are.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Labels> {
        self.live.iter().filter_map(|idx| self.entries[*idx as usize].as_ref()?.labels.as_ref())
    }

    /// All series that are alive, which a failed scrape or the target's end makes stale.
    pub(crate) fn take_live(&mut self) -> Vec<(Labels, Option<SeriesRef>)> {
        let live = std::mem::take(&mut self.live);
        let alive = live.into_iter().filter_map(|idx| {
            let entry = self.entries[idx as usize].as_ref()?;
            Some((entry.labels.clone()?, entry.series))
        });
        alive.collect()
    }

    /// Whether bad pages have left so much behind that it has to be forgotten.
    pub(crate) fn is_bloated(&self) -> bool {
        self.by_raw.len() > 2 * self.order.len() + ENTRIES_SLACK
    }

    /// Reads a page and appends its samples, with staleness markers for what it no longer has.
    ///
    /// # Errors
    /// When the page as a whole is refused; what was appended must then be dropped.
    pub(crate) fn page(&mut self, scrape: &mut Scrape<'_>) -> Result<(), IngestError> {
        self.scrape_no += 1;
        self.next_order.clear();
        self.cursor = 0;
        self.has_new = false;
        self.family = Family::default();
        let mut parser = Parser::new(scrape.body, scrape.format);
        let starts = if scrape.options.starts.read(scrape.format) {
            PageStarts::read(scrape.body, scrape.format)
        } else {
            PageStarts::default()
        };
        // Stored by this scrape and tracked for staleness.
        let mut live = Vec::new();
        let mut builder = LabelsBuilder::new();
        while let Some(line) = parser.next_entry()? {
            match line {
                Line::Sample(sample) if scrape.is_start(sample.raw, sample.metric_type) => {}
                Line::Sample(sample) => {
                    let start_ms = starts.of(&sample, &mut builder);
                    self.sample(&sample, start_ms, scrape, &mut builder, &mut live)?;
                }
                line => {
                    match &line {
                        Line::Type { name, metric_type } => self.family.see(name, Some(*metric_type)),
                        Line::Help { name, .. } | Line::Unit { name, .. } => self.family.see(name, None),
                        _ => {}
                    }
                    scrape.families.see(&line);
                }
            }
        }
        // Only now, so that the report's counts are of the whole page.
        if scrape.is_over_limit() {
            return Err(IngestError::SampleLimit);
        }
        for (labels, known) in self.vanished(&live, scrape.orphans) {
            scrape.end_series(known, &labels);
        }
        scrape.orphans.clear();
        self.finish(live);
        self.n_good += 1;
        Ok(())
    }

    fn sample(
        &mut self,
        sample: &SampleEntry<'_>,
        start_ms: i64,
        scrape: &mut Scrape<'_>,
        builder: &mut LabelsBuilder,
        live: &mut Vec<EntryIdx>,
    ) -> Result<(), IngestError> {
        scrape.stats.n_scraped += 1;
        let (idx, is_new) = match self.find(sample.raw) {
            Some(idx) => (idx, false),
            None => (self.insert(sample.raw, resolve(sample, builder, scrape.options)?), true),
        };
        let (scrape_no, family) = (self.scrape_no, &self.family);
        let entry =
            self.entries[idx as usize].as_mut().expect("indices come from find and insert of this scrape");
        let is_second = std::mem::replace(&mut entry.last_seen, scrape_no) == scrape_no;
        let Some(labels) = &entry.labels else { return Ok(()) };
        scrape.stats.n_kept += 1;
        if scrape.is_over_limit() {
            return Ok(());
        }
        let own_ms = sample.t_ms.filter(|_| scrape.options.honor_timestamps);
        if is_second && own_ms.is_none() {
            scrape.stats.n_duplicates += 1;
            return Ok(());
        }
        let t_ms = own_ms.unwrap_or(scrape.scrape_ms);
        let is_tracked = (own_ms.is_none() || scrape.options.track_timestamps_staleness) && !is_second;
        let (mut value, mut start_ms) = (sample.value, start_ms);
        let is_unsaid = scrape.options.starts.synthesized && start_ms == 0;
        if is_unsaid && (entry.reference.is_some() || family.counts(labels.metric_name())) {
            match synthesis::step(&mut entry.reference, t_ms, &value) {
                Step::First => {
                    // What is stored already goes on with the next sample.
                    live.extend((is_tracked && entry.series.is_some()).then_some(idx));
                    scrape.stats.n_added += u64::from(is_new);
                    return Ok(());
                }
                Step::Next(above, since_ms) => (value, start_ms) = (above, since_ms),
                Step::TooLate => {
                    scrape.stats.count(AppendError::OutOfOrder);
                    return Ok(());
                }
            }
        } else {
            entry.reference = None;
        }
        let appended = append(scrape, entry.series, labels, t_ms, (value, start_ms));
        match appended {
            Ok(series) => {
                entry.series = Some(series);
                if let Some(exemplar) = sample.exemplar {
                    scrape.exemplar(labels, &exemplar, t_ms);
                }
            }
            Err(AppendError::NoName) => return Err(no_name()),
            Err(error) => {
                entry.reference = None;
                if scrape.stats.count(error) {
                    return Ok(());
                }
            }
        }
        if is_tracked {
            live.push(idx);
        }
        scrape.stats.n_added += u64::from(is_new);
        Ok(())
    }

    /// The entry of `raw`, if there is one.
    fn find(&mut self, raw: &str) -> Option<EntryIdx> {
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

    fn insert(&mut self, raw: &str, labels: Option<Labels>) -> EntryIdx {
        let raw: Box<str> = raw.into();
        let entry = Entry { raw: raw.clone(), labels, series: None, last_seen: 0, reference: None };
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

    /// Series that were alive and are not in `now_live`, with what is known of them.
    fn vanished(&self, now_live: &[EntryIdx], orphans: &[Labels]) -> Vec<(Labels, Option<SeriesRef>)> {
        let is_gone = |idx: &&EntryIdx| {
            self.entries[**idx as usize].as_ref().is_some_and(|entry| entry.last_seen != self.scrape_no)
        };
        let gone = self.live.iter().filter(is_gone).filter_map(|idx| {
            let entry = self.entries[*idx as usize].as_ref()?;
            Some((entry.labels.clone()?, entry.series))
        });
        let mut gone: Vec<_> = gone.chain(orphans.iter().map(|labels| (labels.clone(), None))).collect();
        if !gone.is_empty() && (self.has_new || !orphans.is_empty()) {
            // The same series may have come back in another spelling.
            let now: HashSet<&Labels> = now_live
                .iter()
                .filter_map(|idx| self.entries[*idx as usize].as_ref()?.labels.as_ref())
                .collect();
            gone.retain(|(labels, _)| !now.contains(labels));
        }
        gone
    }

    /// A good scrape is over: `now_live` are alive, entries not mentioned are forgotten.
    fn finish(&mut self, now_live: Vec<EntryIdx>) {
        self.live = now_live;
        std::mem::swap(&mut self.order, &mut self.next_order);
        let scrape_no = self.scrape_no;
        // Equal counts mean that nothing is gone, or that a series stands there twice: then at most as many as the page
        // has lines are kept too long, until the counts differ.
        if self.by_raw.len() == self.order.len() {
            return;
        }
        for idx in 0..self.entries.len() {
            if self.entries[idx].as_ref().is_some_and(|entry| entry.last_seen != scrape_no) {
                let entry = self.entries[idx].take().expect("checked to be some");
                self.by_raw.remove(&entry.raw);
                self.free.push(EntryIdx::try_from(idx).expect("indices are made from EntryIdx"));
            }
        }
    }
}

/// Appends a sample, after a zero where its counter began.
fn append(
    scrape: &mut Scrape<'_>,
    series: Option<SeriesRef>,
    labels: &Labels,
    t_ms: i64,
    (value, start_ms): (f64, i64),
) -> Result<SeriesRef, AppendError> {
    let starts = scrape.options.starts;
    if starts.zeros && start_ms != 0 {
        // Refused for all but new counters.
        let _ = scrape.appender.append_zero(labels, t_ms, start_ms);
    }
    if starts.stored && start_ms != 0 {
        scrape.appender.append_with_start(series, labels, t_ms, start_ms, value)
    } else {
        scrape.appender.append(series, labels, t_ms, value)
    }
}
