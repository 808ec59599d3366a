//! Starts of a page that is stored as a row.
//!
//! In from a [`RowsCache`] that has accepted a page; out what its row adds, and zeros to the [`Appender`]. Which line says whose start is
//! found out again only when lines came or went.

use std::collections::HashMap;

use model::{Labels, LabelsBuilder};
use storage::{Appender, GroupRef};
use wire::exposition::SampleEntry;
use wire::exposition::diff::Draft;

use super::{RowsCache, is_column};
use crate::ingest::Scrape;
use crate::ingest::labelling::resolve;
use crate::ingest::starts::{Counters, start_ms};

impl RowsCache {
    /// What the page says of starts goes to `starts`, by line; new counters get their zeros.
    pub(super) fn see_starts(
        &mut self,
        draft: &Draft,
        scrape: &mut Scrape<'_>,
        starts: &mut Vec<(u32, i64)>,
    ) {
        starts.clear();
        let before = self.counters.take();
        if !scrape.options.starts.read(scrape.format) {
            // What holds until now is taken back.
            starts.extend(before.iter().flat_map(|before| before.with.iter()).map(|(line, _)| (*line, 0)));
            starts.retain(|(line, _)| (*line as usize) < self.places.len());
            return;
        }
        let had_some = before.as_ref().is_some_and(|before| !before.with.is_empty());
        let is_same = draft.edits.is_empty();
        let known = before.filter(|_| is_same).unwrap_or_else(|| {
            let fresh = Counters::new(self.page.keys());
            if had_some {
                starts.extend(fresh.without.iter().map(|line| (*line, 0)));
            }
            Box::new(fresh)
        });
        let counters = self.counters.insert(known);
        scrape.stats.n_scraped -= counters.n_created as u64;
        if counters.with.is_empty() {
            return;
        }
        let values: Vec<f64> =
            self.page.values().map(|tail| tail.map_or(f64::NAN, |(value, _)| value)).collect();
        let mut begun = HashMap::new();
        for ((line, said), last) in counters.with.iter().zip(&mut counters.last) {
            let start_ms = start_ms(values[*said as usize]);
            if scrape.options.starts.stored {
                starts.push((*line, start_ms));
            }
            if std::mem::replace(last, start_ms) != start_ms && start_ms != 0 {
                begun.insert(*line, start_ms);
            }
        }
        if scrape.options.starts.zeros {
            self.append_zeros(&begun, scrape);
        }
    }

    /// Refused ones are as a rule of counters that are known already: before a restart of this program, or under another line.
    fn append_zeros(&self, begun: &HashMap<u32, i64>, scrape: &mut Scrape<'_>) {
        let mut builder = LabelsBuilder::new();
        for (line, (raw, metric_type)) in (0u32..).zip(self.page.keys()) {
            let Some(start_ms) = begun.get(&line) else { continue };
            let sample = SampleEntry { raw, value: 0.0, t_ms: None, exemplar: None, metric_type };
            if let Ok(Some(labels)) = resolve(&sample, &mut builder, scrape.options) {
                let _ = scrape.appender.append_zero(&labels, scrape.scrape_ms, *start_ms);
            }
        }
    }

    /// Adds `starts` to the row at `t_ms` that is in the batch.
    pub(super) fn append_starts(
        &self,
        group: GroupRef,
        t_ms: i64,
        starts: &[(u32, i64)],
        appender: &mut dyn Appender,
    ) {
        if starts.is_empty() {
            return;
        }
        let places = starts.iter().map(|(line, start_ms)| (self.places[*line as usize], *start_ms));
        let columns: Vec<_> = places.filter(|(place, _)| is_column(*place)).collect();
        // Without their starts the samples are still right.
        let _ = appender.append_row_starts(group, t_ms, &columns);
    }

    /// The start of the counter in this line; 0 when it is not said.
    pub(super) fn start_of(&self, line: usize) -> i64 {
        let Some(counters) = &self.counters else { return 0 };
        let at = counters.with.binary_search_by_key(&line, |(line, _)| *line as usize);
        at.map_or(0, |at| counters.last[at])
    }

    /// Appends one by one what has no column.
    pub(super) fn append_single(
        appender: &mut dyn Appender,
        known: Option<storage::SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        (value, start_ms): (f64, i64),
    ) -> Result<storage::SeriesRef, storage::AppendError> {
        if start_ms == 0 {
            return appender.append(known, labels, t_ms, value);
        }
        appender.append_with_start(known, labels, t_ms, start_ms, value)
    }
}
