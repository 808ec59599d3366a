//! Pages stored as rows: a scrape is one row of one group, and names only what changed.
//!
//! In from [`crate::ingest::cache::ScrapeCache`]; out to an [`Appender`]. Pure. Per series it holds some twenty bytes: the text of the last
//! value ([`Page`]), the column, a hash of the labels. Labels themselves are made again from the page's keys when they are needed,
//! which is seldom.
//!
//! Invariant: while `is_live`, the group's last row in the store holds, for each line that is a column, the value that stands in
//! `page`. Whatever breaks that sets `is_full_due`: the next row then names every column.

mod counters;
mod plan;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use model::{Labels, LabelsBuilder, STALE_NAN};
use storage::{AppendError, Appender, ColumnIdx, GroupRef, RowError, SeriesRef};
use wire::exposition::diff::{Blocks, Changed, Draft, Page, exemplar_at};
use wire::exposition::{SampleEntry, Translation};

use crate::ingest::families::Families;
use crate::ingest::labelling::resolve;
use crate::ingest::report::ReportSeries;
use crate::ingest::starts::Counters;
use crate::ingest::{IngestError, IngestOptions, IngestStats, Report, Scrape};
use plan::{Fresh, Plan};

/// How many columns more than twice a page's lines a group may have before a new one takes its place. Chosen: series that come and go
/// leave columns behind.
const COLUMNS_SLACK: usize = 1_000;

/// Where a line's samples go: a column below [`SINGLE`], or one of the below.
type Place = u32;
/// With the number of a [`Single`] added: to `append`, one by one.
const SINGLE: Place = 1 << 31;
/// Not yet known, within a scrape.
const UNKNOWN: Place = u32::MAX - 1;
/// Nowhere: relabelling drops it.
const DROPPED: Place = u32::MAX;

fn is_column(place: Place) -> bool {
    place < SINGLE
}

/// A line whose samples are appended one by one: it has timestamps of its own, its series is another group's column too, or
/// the store refused to make it one.
#[derive(Debug)]
struct Single {
    labels: Labels,
    series: Option<SeriesRef>,
    is_live: bool,
    is_new: bool,
}

/// A column whose line is gone from the page; it may come back.
#[derive(Debug)]
struct Retired {
    labels: Labels,
    column: ColumnIdx,
}

/// Why a page is not stored as a row.
#[derive(Debug)]
pub(crate) enum PageError {
    /// Nobody may store it.
    Refused(IngestError),
    /// A series stands in it twice: only sample by sample is it said which of them counts.
    Doubled,
    /// The store takes no rows.
    NoRows,
}

/// Memory that is used again from scrape to scrape, whichever the target.
#[derive(Debug, Default)]
pub struct Scratch {
    draft: Draft,
    row: Vec<(ColumnIdx, f64)>,
    exemplars: Vec<(Labels, model::Exemplar)>,
    /// Of a page that is not read as it came.
    pub(crate) translation: Translation,
    /// By line.
    starts: Vec<(u32, i64)>,
    /// The row ends everything.
    is_end: bool,
}

/// What is known of one target's series.
#[derive(Debug, Default)]
pub(crate) struct RowsCache {
    page: Page,
    /// By line.
    places: Vec<Place>,
    n_dropped: usize,
    group: Option<GroupRef>,
    n_columns: usize,
    is_live: bool,
    is_full_due: bool,
    /// Columns whose lines are gone and that no row has ended yet.
    to_end: Vec<ColumnIdx>,
    /// By hash of labels.
    retired: HashMap<u64, Retired>,
    /// Of the labels of all lines and reports that are stored; sorted.
    hashes: Vec<u64>,
    hasher: DefaultHashBuilder,
    singles: Vec<Option<Single>>,
    free_singles: Vec<Place>,
    /// Of pages that say starts, where those are wanted.
    counters: Option<Box<Counters>>,
    /// Columns of the reports, and the values of the last one.
    reports: Vec<(Place, f64)>,
}

impl RowsCache {
    pub(crate) fn page(&self) -> &Page {
        &self.page
    }

    /// Reads a page and prepares its row in `scratch`, which [`RowsCache::finish`] appends. Adds its new series.
    ///
    /// # Errors
    /// Then nothing has changed here, but for [`PageError::NoRows`], after which this cache is of no more use.
    pub(crate) fn ingest(
        &mut self,
        scrape: &mut Scrape<'_>,
        scratch: &mut Scratch,
        blocks: &Blocks,
        report: &ReportSeries,
    ) -> Result<(), PageError> {
        if let Err(error) = self.page.read(scrape.body, scrape.format, blocks, &mut scratch.draft) {
            return Err(plan::refuse(scrape, error.into()));
        }
        let plan = self.plan(scrape, &scratch.draft, report)?;
        let (n_lines, n_dropped) =
            (scratch.draft.n_lines(), self.n_dropped + plan.n_dropped - plan.n_undropped);
        scrape.stats.n_scraped = n_lines as u64;
        scrape.stats.n_kept = (n_lines - n_dropped) as u64;
        if scrape.is_over_limit() {
            return Err(PageError::Refused(IngestError::SampleLimit));
        }
        self.n_dropped = n_dropped;
        self.accept(plan, scrape, &mut scratch.draft, report)?;
        self.see_starts(&scratch.draft, scrape, &mut scratch.starts);
        self.append_singles(&scratch.draft.changed, scrape);
        self.end_orphans(scrape, report);
        scratch.is_end = false;
        self.fill_row(&scratch.draft.changed, &mut scratch.row);
        self.find_exemplars(&scratch.draft.changed, scrape, &mut scratch.exemplars);
        Ok(())
    }

    /// Makes the page's shape the current one, and finds a place for each new series.
    fn accept(
        &mut self,
        plan: Plan,
        scrape: &mut Scrape<'_>,
        draft: &mut Draft,
        report: &ReportSeries,
    ) -> Result<(), PageError> {
        for edit in &draft.edits {
            self.page.old_metadata(edit, |entry| scrape.families.saw_last(&entry));
        }
        self.update_hashes(&plan);
        self.page.accept(draft);
        for (edit, places) in draft.edits.iter().zip(plan.places).rev() {
            self.places.splice(edit.old_lines.start as usize..edit.old_lines.end as usize, places);
        }
        if self.places.capacity() > self.places.len() + self.places.len() / 4 {
            self.places.shrink_to_fit();
        }
        scrape.stats.n_added += plan.revived.len() as u64;
        for (hash, column) in plan.revived {
            self.retired.remove(&hash);
            self.to_end.retain(|other| *other != column);
        }
        for gone in plan.vanished {
            self.retire(gone, scrape);
        }
        let mut fresh = plan.fresh;
        if scrape.options.honor_timestamps {
            self.separate_timed(&mut fresh, &draft.changed, scrape);
        }
        let n_refused =
            self.add_columns(&fresh, scrape.scrape_ms, scrape.appender, scrape.options, report)?;
        scrape.stats.n_over_series_limit += n_refused as u64;
        scrape.stats.n_added += (fresh.len() - n_refused) as u64;
        Ok(())
    }

    /// A line is gone.
    fn retire(&mut self, gone: plan::Gone, scrape: &mut Scrape<'_>) {
        if is_column(gone.place) {
            if self.is_live {
                self.to_end.push(gone.place);
                scrape.ended.push(gone.labels.clone());
            }
            self.retired.insert(gone.hash, Retired { labels: gone.labels, column: gone.place });
        } else if let Some(single) = self.take_single(gone.place)
            && single.is_live
        {
            scrape.end_series(single.series, &single.labels);
        }
    }

    /// Lines with timestamps of their own are no part of a row.
    fn separate_timed(&mut self, fresh: &mut Vec<Fresh>, changed: &[Changed], scrape: &mut Scrape<'_>) {
        for changed in changed.iter().filter(|changed| changed.t_ms.is_some()) {
            let line = changed.line as usize;
            let place = self.places[line];
            if place == UNKNOWN {
                let at = fresh.binary_search_by_key(&line, |fresh| fresh.line);
                let new = fresh.remove(at.expect("the place of each fresh line is unknown"));
                self.make_single(line, new.labels, true);
            } else if is_column(place)
                && let Some(labels) = self.labels_of(|other| other == place, scrape.options).pop()
            {
                // Its column must not be repeated, and must not end either: in a group without rows it does neither.
                let _ = scrape.appender.add_columns(None, std::slice::from_ref(&labels.1));
                self.make_single(line, labels.1, false);
            }
        }
    }

    fn make_single(&mut self, line: usize, labels: Labels, is_new: bool) {
        let single = Single { labels, series: None, is_live: false, is_new };
        self.places[line] = match self.free_singles.pop() {
            Some(free) => {
                self.singles[(free - SINGLE) as usize] = Some(single);
                free
            }
            None => {
                self.singles.push(Some(single));
                let idx = Place::try_from(self.singles.len() - 1);
                SINGLE + idx.expect("a body of half a gigabyte has fewer series")
            }
        };
    }

    fn single(&self, place: Place) -> Option<&Single> {
        self.singles.get(place.checked_sub(SINGLE)? as usize)?.as_ref()
    }

    fn take_single(&mut self, place: Place) -> Option<Single> {
        let single = self.singles.get_mut(place.checked_sub(SINGLE)? as usize)?.take();
        self.free_singles.extend(single.is_some().then_some(place));
        single
    }

    /// Makes `fresh` columns, beginning a new group where there is none; returns how many of them the store refused.
    fn add_columns(
        &mut self,
        fresh: &[Fresh],
        t_ms: i64,
        appender: &mut dyn Appender,
        options: &IngestOptions<'_>,
        report: &ReportSeries,
    ) -> Result<usize, PageError> {
        let is_sparse = self.n_columns > 2 * (self.places.len() + report.len()) + COLUMNS_SLACK;
        if let Some(group) = self.group.filter(|_| !is_sparse) {
            if fresh.is_empty() {
                return Ok(0);
            }
            let labels: Vec<Labels> = fresh.iter().map(|fresh| fresh.labels.clone()).collect();
            match appender.add_columns(Some(group), &labels) {
                Ok((_, columns)) => {
                    self.n_columns += columns.len();
                    let lines = fresh.iter().map(|fresh| (fresh.line, &fresh.labels));
                    return Ok(self.place(lines, columns));
                }
                Err(RowError::UnknownGroup) => {}
                Err(_) => return Err(PageError::NoRows),
            }
        }
        self.begin_group(fresh, t_ms, appender, options, report).map_err(|_| PageError::NoRows)
    }

    /// Puts each line into its column; refused ones are tried again one by one. Returns how many were refused.
    fn place<'l>(
        &mut self,
        lines: impl Iterator<Item = (usize, &'l Labels)>,
        columns: Vec<Result<ColumnIdx, AppendError>>,
    ) -> usize {
        let mut n_refused = 0;
        for ((line, labels), column) in lines.zip(columns) {
            match column {
                Ok(column) => self.places[line] = column,
                Err(_) => {
                    self.make_single(line, labels.clone(), true);
                    n_refused += 1;
                }
            }
        }
        n_refused
    }

    /// All series move to a new group; `fresh` ones have no place yet. Returns how many of those were refused.
    fn begin_group(
        &mut self,
        fresh: &[Fresh],
        t_ms: i64,
        appender: &mut dyn Appender,
        options: &IngestOptions<'_>,
        report: &ReportSeries,
    ) -> Result<usize, RowError> {
        let mut lines = self.labels_of(is_column, options);
        lines.extend(fresh.iter().map(|fresh| (fresh.line, fresh.labels.clone())));
        let mut labels: Vec<Labels> = report.labels().cloned().collect();
        labels.extend(lines.iter().map(|(_, labels)| labels.clone()));
        let (group, mut columns) = appender.add_columns(None, &labels)?;
        self.end_retired(t_ms, appender);
        self.group = Some(group);
        self.n_columns = columns.len();
        self.is_full_due = true;
        let of_lines = columns.split_off(report.len());
        self.reports = columns.into_iter().map(|column| (column.unwrap_or(SINGLE), f64::NAN)).collect();
        Ok(self.place(lines.iter().map(|(line, labels)| (*line, labels)), of_lines))
    }

    /// What the group's next row would have ended is ended without it.
    fn end_retired(&mut self, t_ms: i64, appender: &mut dyn Appender) {
        let to_end = std::mem::take(&mut self.to_end);
        for retired in self.retired.drain().map(|(_, retired)| retired) {
            if to_end.contains(&retired.column) {
                let _ = appender.append(None, &retired.labels, t_ms, STALE_NAN);
            }
        }
    }

    /// Lines whose place is as wanted, with their labels; some µs each.
    fn labels_of(&self, wanted: impl Fn(Place) -> bool, options: &IngestOptions<'_>) -> Vec<(usize, Labels)> {
        let mut builder = LabelsBuilder::new();
        let lines = self.page.keys().zip(&self.places).enumerate();
        let wanted = lines.filter(|(_, (_, place))| wanted(**place));
        let resolved = wanted.filter_map(|(line, ((raw, metric_type), _))| {
            let sample = SampleEntry { raw, value: 0.0, t_ms: None, exemplar: None, metric_type };
            Some((line, resolve(&sample, &mut builder, options).ok()??))
        });
        resolved.collect()
    }

    /// Values and own times by line. A tail that was too long to keep is always among `changed`.
    fn values<'c>(&'c self, changed: &'c [Changed]) -> impl Iterator<Item = (f64, Option<i64>)> + 'c {
        self.page.values().enumerate().map(|(line, value)| {
            value.unwrap_or_else(|| {
                let at = changed.binary_search_by_key(&line, |changed| changed.line as usize);
                at.map_or((f64::NAN, None), |at| (changed[at].value, changed[at].t_ms))
            })
        })
    }

    fn append_singles(&mut self, changed: &[Changed], scrape: &mut Scrape<'_>) {
        if self.singles.len() == self.free_singles.len() {
            return;
        }
        let values = self.values(changed).zip(&self.places).enumerate();
        let values = values.filter(|(_, (_, place))| !is_column(**place) && **place != DROPPED);
        let stored = scrape.options.starts.stored;
        let start_of = |line: usize| if stored { self.start_of(line) } else { 0 };
        let values: Vec<_> =
            values.map(|(line, ((value, t_ms), place))| (*place, (value, start_of(line)), t_ms)).collect();
        for (place, value, t_ms) in values {
            let Some(Some(single)) = self.singles.get_mut((place - SINGLE) as usize) else { continue };
            let own_ms = t_ms.filter(|_| scrape.options.honor_timestamps);
            let t_ms = own_ms.unwrap_or(scrape.scrape_ms);
            match Self::append_single(scrape.appender, single.series, &single.labels, t_ms, value) {
                Ok(series) => single.series = Some(series),
                Err(error) => {
                    if scrape.stats.count(error) {
                        continue;
                    }
                }
            }
            scrape.stats.n_added += u64::from(std::mem::take(&mut single.is_new));
            single.is_live = own_ms.is_none() || scrape.options.track_timestamps_staleness;
        }
    }

    /// Series of an earlier configuration that the page does not have any more.
    fn end_orphans(&mut self, scrape: &mut Scrape<'_>, report: &ReportSeries) {
        for labels in std::mem::take(scrape.orphans) {
            let hash = self.hash(&labels);
            if self.hashes.binary_search(&hash).is_err() && !report.labels().any(|other| *other == labels) {
                scrape.end_series(None, &labels);
            }
        }
    }

    /// The columns a row has to name.
    fn fill_row(&self, changed: &[Changed], row: &mut Vec<(ColumnIdx, f64)>) {
        row.clear();
        if self.is_full_due || !self.is_live {
            let all = self.values(changed).zip(&self.places).filter(|(_, place)| is_column(**place));
            row.extend(all.map(|((value, _), place)| (*place, value)));
        } else {
            let all = changed.iter().map(|changed| (self.places[changed.line as usize], changed.value));
            row.extend(all.filter(|(place, _)| is_column(*place)));
        }
        row.extend(self.to_end.iter().map(|column| (*column, STALE_NAN)));
    }

    fn find_exemplars(
        &self,
        changed: &[Changed],
        scrape: &Scrape<'_>,
        found: &mut Vec<(Labels, model::Exemplar)>,
    ) {
        found.clear();
        let mut with = changed.iter().filter(|changed| changed.has_exemplar).peekable();
        if with.peek().is_none() {
            return;
        }
        let mut builder = LabelsBuilder::new();
        for (line, ((raw, metric_type), place)) in self.page.keys().zip(&self.places).enumerate() {
            let Some(changed) = with.next_if(|changed| changed.line as usize == line) else { continue };
            let sample = SampleEntry { raw, value: 0.0, t_ms: None, exemplar: None, metric_type };
            let labels = Some(*place).filter(|place| *place != DROPPED);
            let labels = labels.and_then(|_| resolve(&sample, &mut builder, scrape.options).ok()?);
            let own_ms = changed.t_ms.filter(|_| scrape.options.honor_timestamps);
            let exemplar = exemplar_at(scrape.body, scrape.format, changed)
                .and_then(|exemplar| crate::ingest::exemplar(&exemplar, own_ms.unwrap_or(scrape.scrape_ms)));
            found.extend(labels.zip(exemplar));
        }
    }

    /// Prepares a row in `scratch` that ends everything; what ends at once goes to `ended`.
    pub(crate) fn end(
        &mut self,
        t_ms: i64,
        scratch: &mut Scratch,
        appender: &mut dyn Appender,
        ended: &mut Vec<Labels>,
    ) {
        scratch.is_end = true;
        scratch.exemplars.clear();
        scratch.starts.clear();
        scratch.draft.changed.clear();
        scratch.row.clear();
        if self.is_live {
            let columns = self.places.iter().filter(|place| is_column(**place)).chain(&self.to_end);
            scratch.row.extend(columns.map(|column| (*column, STALE_NAN)));
        }
        for single in self.singles.iter_mut().flatten() {
            if std::mem::take(&mut single.is_live) {
                let _ = appender.append(single.series, &single.labels, t_ms, STALE_NAN);
                ended.push(single.labels.clone());
            }
        }
    }

    /// Appends the row in `scratch` with the report's values; no report means that its series end.
    pub(crate) fn finish(
        &mut self,
        t_ms: i64,
        scratch: &mut Scratch,
        appender: &mut dyn Appender,
        options: &IngestOptions<'_>,
        report: (&mut ReportSeries, Option<&Report>),
        stats: &mut IngestStats,
    ) {
        let (series, values) = (report.0, ReportSeries::values(report.1));
        let has_group = self.group.is_some()
            || self.begin_group(&[], t_ms, appender, options, series).is_ok_and(|_| self.refill(scratch));
        let mut outcome = Err(RowError::UnknownGroup);
        if has_group {
            outcome = self.append_row(t_ms, scratch, &values, appender);
            if let Err(RowError::UnknownGroup | RowError::BadColumn(_) | RowError::Unsupported) = outcome
                && self.begin_group(&[], t_ms, appender, options, series).is_ok()
            {
                self.refill(scratch);
                outcome = self.append_row(t_ms, scratch, &values, appender);
            }
        }
        let is_taken = outcome.is_ok();
        match outcome {
            Ok(moved) => {
                self.is_live = !scratch.is_end;
                self.is_full_due = false;
                self.to_end.clear();
                if let Some(group) = self.group {
                    self.append_starts(group, t_ms, &scratch.starts, appender);
                }
                self.append_moved(&moved, t_ms, scratch, appender, options, stats);
            }
            Err(RowError::OutOfBounds) => {
                let n_columns = self.places.iter().filter(|place| is_column(**place)).count();
                stats.n_out_of_bounds += if scratch.is_end { 0 } else { n_columns as u64 };
                self.is_full_due = true;
            }
            Err(_) => {
                self.append_each(t_ms, scratch, appender, options, stats);
                self.is_full_due = true;
                if scratch.is_end {
                    // The group would go on with series that have ended.
                    self.group = None;
                }
                self.is_live = !scratch.is_end;
            }
        }
        for (idx, value) in values.iter().enumerate().take(series.len()) {
            let is_column = self.reports.get(idx).is_some_and(|(place, _)| is_column(*place));
            if !(is_taken && is_column) {
                series.append(idx, *value, t_ms, appender);
            }
        }
        for (labels, exemplar) in scratch.exemplars.drain(..) {
            let _ = appender.append_exemplar(None, &labels, &exemplar);
        }
    }

    /// After a new group began, the row names all of its columns.
    fn refill(&mut self, scratch: &mut Scratch) -> bool {
        if scratch.is_end {
            scratch.row.clear();
            if self.is_live {
                let columns = self.places.iter().filter(|place| is_column(**place));
                scratch.row.extend(columns.map(|column| (*column, STALE_NAN)));
            }
        } else {
            self.fill_row(&scratch.draft.changed, &mut scratch.row);
        }
        true
    }

    /// Adds the report to the row, and the row to the batch. Returns the columns that have moved.
    fn append_row(
        &mut self,
        t_ms: i64,
        scratch: &mut Scratch,
        values: &[f64],
        appender: &mut dyn Appender,
    ) -> Result<Vec<ColumnIdx>, RowError> {
        let Some(group) = self.group else { return Err(RowError::UnknownGroup) };
        let n_of_page = scratch.row.len();
        for ((place, last), value) in self.reports.iter().zip(values) {
            if is_column(*place) && (self.is_full_due || last.to_bits() != value.to_bits()) {
                scratch.row.push((*place, *value));
            }
        }
        // The report's columns are the first of the group, and stores like rows in order.
        let n_of_report = scratch.row.len() - n_of_page;
        scratch.row.rotate_right(n_of_report);
        let outcome = appender.append_row(group, t_ms, &scratch.row);
        scratch.row.drain(..n_of_report);
        let moved = outcome?.moved;
        for (idx, value) in values.iter().enumerate().take(self.reports.len()) {
            self.reports[idx].1 = *value;
            if moved.contains(&self.reports[idx].0) {
                self.reports[idx].0 = SINGLE;
            }
        }
        Ok(moved)
    }

    /// Series that another writer has made columns of its own: from now on one by one, beginning with this scrape's values.
    fn append_moved(
        &mut self,
        moved: &[ColumnIdx],
        t_ms: i64,
        scratch: &Scratch,
        appender: &mut dyn Appender,
        options: &IngestOptions<'_>,
        stats: &mut IngestStats,
    ) {
        if moved.is_empty() {
            return;
        }
        let moved: HashSet<ColumnIdx> = moved.iter().copied().collect();
        // The row left them out, so what it would have ended is ended here.
        let is_in_row = |column| scratch.row.iter().any(|(other, _)| *other == column);
        for (_, retired) in self.retired.extract_if(|_, retired| moved.contains(&retired.column)) {
            if is_in_row(retired.column) {
                let _ = appender.append(None, &retired.labels, t_ms, STALE_NAN);
            }
        }
        let lines = self.labels_of(|place| moved.contains(&place), options);
        let values: Vec<f64> = self.values(&scratch.draft.changed).map(|(value, _)| value).collect();
        for (line, labels) in lines {
            if scratch.is_end {
                if !scratch.row.is_empty() {
                    let _ = appender.append(None, &labels, t_ms, STALE_NAN);
                }
                self.make_single(line, labels, false);
                continue;
            }
            self.make_single(line, labels, false);
            let Some(Some(single)) = self.singles.get_mut((self.places[line] - SINGLE) as usize) else {
                continue;
            };
            match appender.append(None, &single.labels, t_ms, values[line]) {
                Ok(series) => {
                    single.series = Some(series);
                    single.is_live = true;
                }
                Err(error) => {
                    single.is_live = !stats.count(error);
                }
            }
        }
    }

    /// The store refused the row: its samples are handed over one by one, as far as it takes them.
    fn append_each(
        &mut self,
        t_ms: i64,
        scratch: &Scratch,
        appender: &mut dyn Appender,
        options: &IngestOptions<'_>,
        stats: &mut IngestStats,
    ) {
        if scratch.is_end && !self.is_live {
            return;
        }
        let lines = self.labels_of(is_column, options);
        let values: Vec<f64> = self.values(&scratch.draft.changed).map(|(value, _)| value).collect();
        for (line, labels) in lines {
            let value = if scratch.is_end { STALE_NAN } else { values[line] };
            let appended = appender.append(None, &labels, t_ms, value);
            if let (Err(error), false) = (appended, scratch.is_end) {
                stats.count(error);
            }
        }
        let to_end = std::mem::take(&mut self.to_end);
        let ended = self.retired.extract_if(|_, retired| to_end.contains(&retired.column));
        let ended: Vec<Labels> = ended.map(|(_, retired)| retired.labels).collect();
        for labels in &ended {
            let _ = appender.append(None, labels, t_ms, STALE_NAN);
        }
        if !ended.is_empty() {
            // The group's next row must not go on with them: a group without rows takes them over.
            let _ = appender.add_columns(None, &ended);
        }
    }

    /// The batch was lost. The group may not exist, and the store's last row is an older one: all begins anew, and nothing is
    /// believed to have ended.
    pub(crate) fn lost(&mut self) {
        self.group = None;
        self.is_live = true;
        self.to_end.clear();
        self.retired.clear();
    }

    /// Labels of all series that are alive; the cache is then empty, and its page's metadata with `families`.
    pub(crate) fn take(&mut self, options: &IngestOptions<'_>, families: &mut Families) -> Vec<Labels> {
        let mut alive: Vec<Labels> = Vec::new();
        if self.is_live {
            alive.extend(self.labels_of(is_column, options).into_iter().map(|(_, labels)| labels));
            let pending = self.retired.values().filter(|retired| self.to_end.contains(&retired.column));
            alive.extend(pending.map(|retired| retired.labels.clone()));
        }
        let singles = self.singles.drain(..).flatten().filter(|single| single.is_live);
        alive.extend(singles.map(|single| single.labels));
        self.page.metadata(|entry| families.saw_last(&entry));
        *self = Self::default();
        alive
    }

    fn hash(&self, labels: &Labels) -> u64 {
        use std::hash::BuildHasher;
        self.hasher.hash_one(labels)
    }

    /// Bytes of memory, shared blocks and what is seldom there left out.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.page.memory_bytes() + 4 * self.places.capacity() + 8 * self.hashes.capacity()
    }
}
