//! What the lines that came and went mean: which series are new, which are gone, which only moved. Changes nothing yet.
//!
//! In: the edits of a [`Draft`]; out: a [`Plan`] that [`RowsCache`] carries out once the whole page is accepted.

use hashbrown::{HashMap, HashSet};
use model::{Labels, LabelsBuilder};
use storage::ColumnIdx;
use wire::exposition::diff::Draft;
use wire::exposition::{Entry, Parser, SampleEntry};

use super::{DROPPED, PageError, Place, RowsCache, UNKNOWN, is_column};
use crate::ingest::labelling::resolve;
use crate::ingest::report::ReportSeries;
use crate::ingest::starts::is_created;
use crate::ingest::{IngestError, IngestOptions, Scrape};

/// From how many changed hashes on the sorted list is built anew. Chosen.
const HASHES_FEW: usize = 16;

/// A series without a place.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) line: usize,
    pub(super) labels: Labels,
    hash: u64,
}

/// A series that the page no longer has.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) place: Place,
    pub(super) labels: Labels,
    pub(super) hash: u64,
}

/// What to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// For each edit, of its new lines.
    pub(super) places: Vec<Vec<Place>>,
    /// By rising line.
    pub(super) fresh: Vec<Fresh>,
    pub(super) vanished: Vec<Gone>,
    /// Columns of lines that were gone for a while, with the hash of their labels.
    pub(super) revived: Vec<(u64, ColumnIdx)>,
    pub(super) n_dropped: usize,
    pub(super) n_undropped: usize,
}

/// The error a cold reading of the page ends with, which also counts what came before. `or` when there is none.
pub(super) fn refuse(scrape: &mut Scrape<'_>, or: IngestError) -> PageError {
    let mut parser = Parser::new(scrape.body, scrape.format);
    let mut builder = LabelsBuilder::new();
    loop {
        match parser.next_entry() {
            Ok(Some(Entry::Sample(sample))) if scrape.is_start(sample.raw, sample.metric_type) => {}
            Ok(Some(Entry::Sample(sample))) => {
                scrape.stats.n_scraped += 1;
                match resolve(&sample, &mut builder, scrape.options) {
                    Ok(labels) => scrape.stats.n_kept += u64::from(labels.is_some()),
                    Err(error) => return PageError::Refused(error),
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => return PageError::Refused(or),
            Err(error) => return PageError::Refused(error.into()),
        }
    }
}

impl RowsCache {
    pub(super) fn plan(
        &self,
        scrape: &mut Scrape<'_>,
        draft: &Draft,
        report: &ReportSeries,
    ) -> Result<Plan, PageError> {
        let mut plan = Plan::default();
        if draft.edits.is_empty() {
            return Ok(plan);
        }
        let mut builder = LabelsBuilder::new();
        let mut old = HashMap::new();
        for edit in &draft.edits {
            for (line, (key, metric_type)) in edit.old_lines.clone().zip(self.page.old_keys(edit)) {
                let place = self.places[line as usize];
                plan.n_undropped += usize::from(place == DROPPED);
                // What was a start is a series in another format.
                if place != DROPPED || !scrape.options.starts.is_on() || !is_created(key, metric_type) {
                    old.insert(key, (place, metric_type));
                }
            }
        }
        for edit in &draft.edits {
            let mut places = Vec::with_capacity(edit.new_lines.len());
            for (line, (raw, metric_type)) in edit.new_lines.clone().zip(edit.new_keys()) {
                if scrape.is_start(raw, metric_type) {
                    plan.n_dropped += 1;
                    places.push(DROPPED);
                    continue;
                }
                if let Some((place, _)) = old.remove(raw) {
                    plan.n_dropped += usize::from(place == DROPPED);
                    places.push(place);
                    continue;
                }
                let sample = SampleEntry { raw, value: 0.0, t_ms: None, exemplar: None, metric_type };
                match resolve(&sample, &mut builder, scrape.options) {
                    Ok(Some(labels)) => {
                        let hash = self.hash(&labels);
                        plan.fresh.push(Fresh { line: line as usize, labels, hash });
                        places.push(UNKNOWN);
                    }
                    Ok(None) => {
                        plan.n_dropped += 1;
                        places.push(DROPPED);
                    }
                    Err(error) => return Err(refuse(scrape, error)),
                }
            }
            plan.places.push(places);
        }
        let left = old.into_iter().filter(|(_, (place, _))| *place != DROPPED);
        for (raw, (place, metric_type)) in left {
            let sample = SampleEntry { raw, value: 0.0, t_ms: None, exemplar: None, metric_type };
            plan.vanished.extend(self.gone(place, &sample, &mut builder, scrape.options));
        }
        // By column: a hash map has no order, and rows should not differ from run to run.
        plan.vanished.sort_by_key(|gone| gone.place);
        self.check_doubled(&plan, report)?;
        self.reuse_places(&mut plan, draft);
        Ok(plan)
    }

    fn gone(
        &self,
        place: Place,
        sample: &SampleEntry<'_>,
        builder: &mut LabelsBuilder,
        options: &IngestOptions<'_>,
    ) -> Option<Gone> {
        let labels = if is_column(place) {
            resolve(sample, builder, options).ok()??
        } else {
            self.single(place)?.labels.clone()
        };
        let hash = self.hash(&labels);
        Some(Gone { place, labels, hash })
    }

    /// Whether a new series is one that the page, or the report, has already.
    fn check_doubled(&self, plan: &Plan, report: &ReportSeries) -> Result<(), PageError> {
        if plan.fresh.is_empty() {
            return Ok(());
        }
        let gone: HashSet<u64> = plan.vanished.iter().map(|gone| gone.hash).collect();
        let mut taken: HashSet<u64> = report.labels().map(|labels| self.hash(labels)).collect();
        for fresh in &plan.fresh {
            let is_there = self.hashes.binary_search(&fresh.hash).is_ok() && !gone.contains(&fresh.hash);
            if is_there || !taken.insert(fresh.hash) {
                return Err(PageError::Doubled);
            }
        }
        Ok(())
    }

    /// New lines that are known series in another spelling, or series that were there before, have their places already.
    fn reuse_places(&self, plan: &mut Plan, draft: &Draft) {
        let by_hash: HashMap<u64, usize> =
            plan.vanished.iter().enumerate().map(|(idx, gone)| (gone.hash, idx)).collect();
        let mut respelled = HashSet::new();
        let mut reused: Vec<(usize, Place)> = Vec::new();
        for fresh in &plan.fresh {
            if let Some(idx) = by_hash.get(&fresh.hash)
                && plan.vanished[*idx].labels == fresh.labels
            {
                respelled.insert(*idx);
                reused.push((fresh.line, plan.vanished[*idx].place));
            } else if let Some(retired) = self.retired.get(&fresh.hash)
                && retired.labels == fresh.labels
            {
                plan.revived.push((fresh.hash, retired.column));
                reused.push((fresh.line, retired.column));
            }
        }
        if reused.is_empty() {
            return;
        }
        for (line, place) in &reused {
            let at = draft.edits.partition_point(|edit| edit.new_lines.end as usize <= *line);
            plan.places[at][line - draft.edits[at].new_lines.start as usize] = *place;
        }
        let lines: HashSet<usize> = reused.into_iter().map(|(line, _)| line).collect();
        plan.fresh.retain(|fresh| !lines.contains(&fresh.line));
        let mut idx = 0;
        plan.vanished.retain(|_| {
            idx += 1;
            !respelled.contains(&(idx - 1))
        });
    }

    /// Brings the list of hashes in line with what `plan` adds and takes away.
    pub(super) fn update_hashes(&mut self, plan: &Plan) {
        let new = plan.fresh.iter().map(|fresh| fresh.hash).chain(plan.revived.iter().map(|(hash, _)| *hash));
        let gone = plan.vanished.iter().map(|gone| gone.hash);
        if plan.fresh.len() + plan.revived.len() + plan.vanished.len() <= HASHES_FEW {
            for hash in gone {
                if let Ok(at) = self.hashes.binary_search(&hash) {
                    self.hashes.remove(at);
                }
            }
            for hash in new {
                let at = self.hashes.binary_search(&hash).unwrap_or_else(|at| at);
                self.hashes.insert(at, hash);
            }
            return;
        }
        let gone: HashSet<u64> = gone.collect();
        self.hashes.retain(|hash| !gone.contains(hash));
        self.hashes.extend(new);
        self.hashes.sort_unstable();
        self.hashes.shrink_to_fit();
    }
}
