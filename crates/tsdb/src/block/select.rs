//! The answer of one block to a selection: series by series, each timestamp column decoded once.
//!
//! Which pages of a series are in the range, and the times of their rows, is worked out once for all series with the same
//! rows of the same columns ([`Plan`]); what is left for each series is to decode its values straight into the answer.
//! Damaged pages are left out with their rows.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use model::{Labels, TimeRange};
use roaring::RoaringBitmap;
use storage::{
    HistogramSample, QueryError, SelectHints, Series, SeriesSet, Stop, StorageError, Summary, share_of,
};

use super::Block;
use super::pages::{Columns, PageReader, damaged_page};
use super::reader::Deleted;
use crate::error::TsdbError;
use crate::index::{LabelCursor, PAGE_CRC_BYTES, PageCursor, PagePlace, PageRef, ReadError};
use crate::page;
use crate::page::PageKind;

/// Plans remembered. Chosen: more than there are targets; with a day of pages each takes some 50 KB.
const PLANS_MAX: usize = 4096;
/// Timestamps in remembered plans. Chosen: 64 MB.
const PLAN_TIMES_MAX: usize = 8 << 20;

/// Samples between two looks whether to stop. Chosen: some hundred microseconds of work.
const SAMPLES_PER_LOOK: usize = 1 << 16;
/// What a native histogram counts for. Chosen: one is decoded in some hundred nanoseconds.
const HISTOGRAM_SAMPLES: usize = 128;

/// A page within the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Its place among the pages of the series.
    pub(super) page: usize,
    pub(super) kind: PageKind,
    /// For start timestamps: those of histograms.
    of_histograms: bool,
    pub(super) n_rows: usize,
    /// Rows to leave out before those to take.
    pub(super) skip: usize,
    pub(super) take: usize,
}

/// What series with the same rows have in common.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) parts: Vec<Part>,
    times: Arc<Vec<i64>>,
    histogram_times: Vec<i64>,
    /// A column was damaged: say so again for each series.
    pub(super) lost: Option<String>,
}

impl Plan {
    /// When the last float is.
    pub(super) fn last_ms(&self) -> Option<i64> {
        self.times.last().copied()
    }
}

/// See the module.
pub(super) struct BlockSet {
    block: Arc<Block>,
    numbers: roaring::bitmap::IntoIter,
    /// Where the index could not tell which series are this set's: of how many sets this one is which, and the cuts.
    share: Option<(usize, usize, Arc<[Labels]>)>,
    range: TimeRange,
    labels_only: bool,
    /// Pages wholly in the range are summarised for this function.
    summarised_for: Option<String>,
    /// Of roll-ups: a column other than the last values, handed out as floats.
    column: Option<PageKind>,
    deleted: Arc<Deleted>,
    /// Series below are in a leaf that is damaged.
    skip_below: u32,
    labels: LabelCursor,
    pages: PageCursor,
    reader: PageReader,
    columns: Columns,
    plans: HashMap<Box<[u32]>, Arc<Plan>>,
    n_plan_times: usize,
    key: Vec<u32>,
    stop: Stop,
    /// Samples since the last look whether to stop.
    n_unlooked: usize,
}

pub(super) fn fail(err: TsdbError) -> QueryError {
    QueryError::Storage(StorageError::from(err))
}

impl BlockSet {
    pub(super) fn new(
        block: Arc<Block>,
        numbers: RoaringBitmap,
        range: TimeRange,
        hints: &SelectHints,
    ) -> Self {
        let summarised_for = hints.summaries.then(|| hints.function.clone());
        let (numbers, stop) = (numbers.into_iter(), hints.stop.clone());
        Self { numbers, summarised_for, stop, ..Self::over(block, range, hints.labels_only) }
    }

    /// Over no series yet.
    fn over(block: Arc<Block>, range: TimeRange, labels_only: bool) -> Self {
        Self {
            deleted: block.deleted(),
            block,
            numbers: RoaringBitmap::new().into_iter(),
            share: None,
            range,
            labels_only,
            summarised_for: None,
            column: None,
            skip_below: 0,
            labels: LabelCursor::default(),
            pages: PageCursor::default(),
            reader: PageReader::default(),
            columns: Columns::default(),
            plans: HashMap::new(),
            n_plan_times: 0,
            key: Vec::new(),
            stop: Stop::default(),
            n_unlooked: 0,
        }
    }

    /// The same that reads nothing ahead from here on.
    pub(super) fn with_pages_end(mut self, pages_end: u64) -> Self {
        self.reader = PageReader::up_to(pages_end);
        self
    }

    /// The same of another column of roll-ups.
    pub(super) fn with_column(self, column: PageKind) -> Self {
        Self { column: Some(column), ..self }
    }

    /// The series, or `None` when it has nothing in the range.
    pub(super) fn read(&mut self, number: u32) -> Result<Option<Series>, ReadOrFail> {
        let block = Arc::clone(&self.block);
        let mut labels = None;
        if let Some((n, share, cuts)) = &self.share {
            let own = self.labels.labels(block.index(), number)?;
            if share_of(&own, *n, cuts) != *share {
                return Ok(None);
            }
            labels = Some(own);
        }
        let whole =
            self.range.start_ms <= block.range().start_ms && block.range().end_ms <= self.range.end_ms;
        if self.labels_only && whole {
            let labels = match labels {
                Some(labels) => labels,
                None => self.labels.labels(block.index(), number)?,
            };
            return Ok(Some(Series::floats(labels, Arc::default(), Vec::new())));
        }
        let mut pages = std::mem::take(&mut self.pages);
        let read = self.read_pages(&block, &mut pages, number);
        self.pages = pages;
        let Some((mut series, lost)) = read? else { return Ok(None) };
        for reason in lost {
            damaged_page(&block, &reason);
        }
        let deletions = self.deleted.tombstones.of(number);
        if !deletions.is_empty() {
            delete(&mut series, deletions);
        }
        if series.is_empty() && !self.labels_only {
            return Ok(None);
        }
        series.labels = match labels {
            Some(labels) => labels,
            None => self.labels.labels(block.index(), number)?,
        };
        Ok(Some(series))
    }

    fn read_pages(
        &mut self,
        block: &Arc<Block>,
        cursor: &mut PageCursor,
        number: u32,
    ) -> Result<Option<(Series, Vec<String>)>, ReadOrFail> {
        let (pages, here) = cursor.pages(block.index(), number)?;
        let plan = self.plan(block, pages)?;
        if plan.parts.is_empty() && plan.lost.is_none() {
            return Ok(None);
        }
        let mut out = Series::floats(Labels::default(), Arc::clone(&plan.times), Vec::new());
        if self.labels_only {
            out.timestamps = Arc::default();
            return Ok(Some((out, Vec::new())));
        }
        prefetch(&mut self.reader, block, pages, &plan.parts)?;
        if let Some(function) = &self.summarised_for
            && self.deleted.tombstones.of(number).is_empty()
            && let Some(series) = summarised(&mut self.reader, block, (pages, here), &plan, function)?
        {
            return Ok(Some((series, Vec::new())));
        }
        let mut lost: Vec<String> = plan.lost.iter().cloned().collect();
        out.values.reserve_exact(plan.times.len());
        let mut rows = Rows { series: out, lost: Vec::new(), n_histogram_rows: 0, owner_lost: false };
        for part in &plan.parts {
            let weight = if part.kind == PageKind::Histograms { HISTOGRAM_SAMPLES } else { 1 };
            self.n_unlooked += part.take * weight;
            if self.n_unlooked >= SAMPLES_PER_LOOK {
                self.n_unlooked = 0;
                if self.stop.is_told() {
                    return Err(ReadOrFail::Stopped);
                }
            }
            let page = self.reader.page(block, &pages[part.page].place, here)?;
            let taken = page.and_then(|bytes| {
                rows.take(part, bytes, &plan)
                    .map_err(|reason| format!("page at {:?}: {reason}", pages[part.page].place))
            });
            if let Err(reason) = taken {
                lost.push(reason);
                rows.lose(part);
            }
        }
        Ok(Some((rows.finish(), lost)))
    }

    pub(super) fn plan(&mut self, block: &Arc<Block>, pages: &[PageRef]) -> Result<Arc<Plan>, ReadOrFail> {
        self.key.clear();
        for page in pages {
            let (first, n) = page.rows.unwrap_or((0, 0));
            self.key.extend_from_slice(&[page.column, first, n, page.kind as u32]);
        }
        if let Some(plan) = self.plans.get(&self.key[..]) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(self.make_plan(block, pages)?);
        let n_times = plan.times.len() + plan.histogram_times.len();
        if self.plans.len() >= PLANS_MAX || self.n_plan_times + n_times > PLAN_TIMES_MAX {
            self.plans.clear();
            self.n_plan_times = 0;
        }
        self.n_plan_times += n_times;
        self.plans.insert(self.key.clone().into_boxed_slice(), Arc::clone(&plan));
        Ok(plan)
    }

    fn make_plan(&mut self, block: &Arc<Block>, pages: &[PageRef]) -> Result<Plan, ReadOrFail> {
        let mut plan = Plan::default();
        let mut times: Vec<i64> = Vec::new();
        let mut whole: Option<Arc<Vec<i64>>> = None;
        // The part that a page of start timestamps belongs to.
        let mut owner: Option<Part> = None;
        for (idx, page) in pages.iter().enumerate() {
            if page.kind == PageKind::Starts {
                if let Some(owner) = owner.take() {
                    let of_histograms = owner.kind == PageKind::Histograms;
                    plan.parts.push(Part { page: idx, kind: PageKind::Starts, of_histograms, ..owner });
                }
                continue;
            }
            owner = None;
            let kind = match self.column {
                Some(column) if page.kind == column => PageKind::Floats,
                None if page.kind.is_counted() => page.kind,
                _ => continue,
            };
            let column = match self.rows_of(block, page) {
                Ok(Some(column)) => column,
                Ok(None) => continue,
                Err(ReadError::Damaged(reason)) => {
                    plan.lost = Some(reason);
                    continue;
                }
                Err(err) => return Err(err.into()),
            };
            let PageRows { column, first, n_rows } = column;
            let rows = &column[first..first + n_rows];
            let skip = rows.partition_point(|t_ms| *t_ms < self.range.start_ms);
            let take = rows.partition_point(|t_ms| *t_ms <= self.range.end_ms).saturating_sub(skip);
            if take == 0 {
                continue;
            }
            let part = Part { page: idx, kind, of_histograms: false, n_rows, skip, take };
            plan.parts.push(part);
            owner = Some(part);
            let taken = &rows[skip..skip + take];
            if kind == PageKind::Histograms {
                plan.histogram_times.extend_from_slice(taken);
            } else if times.is_empty() && whole.is_none() && take == column.len() {
                whole = Some(Arc::clone(&column));
            } else {
                if let Some(whole) = whole.take() {
                    times.extend_from_slice(&whole);
                }
                times.extend_from_slice(taken);
            }
        }
        plan.times = whole.unwrap_or_else(|| Arc::new(times));
        Ok(plan)
    }

    /// The rows of a page, when it may have some in the range.
    fn rows_of(&mut self, block: &Arc<Block>, page: &PageRef) -> Result<Option<PageRows>, ReadError> {
        let head = block.index().column(page.column, |head, _| *head)?;
        if !TimeRange::new(head.first_ms, head.last_ms).overlaps(self.range) {
            return Ok(None);
        }
        let column = self.columns.times(block, page.column)?;
        let (first, n_rows) = page.rows.map_or((0, column.len()), |(first, n)| (first as usize, n as usize));
        if first.checked_add(n_rows).is_none_or(|end| end > column.len()) {
            return Err(ReadError::Damaged(format!("rows outside column {}", page.column)));
        }
        Ok(Some(PageRows { column, first, n_rows }))
    }
}

/// Rows of a column.
struct PageRows {
    column: Arc<Vec<i64>>,
    first: usize,
    n_rows: usize,
}

/// Why a series could not be read: damage in the index, a disk that refuses, or nobody waits for it.
pub(super) enum ReadOrFail {
    Index(ReadError),
    Fail(TsdbError),
    Stopped,
}

impl From<ReadError> for ReadOrFail {
    fn from(err: ReadError) -> Self {
        Self::Index(err)
    }
}

impl From<TsdbError> for ReadOrFail {
    fn from(err: TsdbError) -> Self {
        Self::Fail(err)
    }
}

fn prefetch(
    reader: &mut PageReader,
    block: &Block,
    pages: &[PageRef],
    parts: &[Part],
) -> Result<(), TsdbError> {
    let mut span: Option<(u64, u64)> = None;
    for part in parts {
        if let PagePlace::File(offset, n_bytes) = pages[part.page].place {
            let end = offset.saturating_add(u64::from(n_bytes) + PAGE_CRC_BYTES);
            span = Some((span.map_or(offset, |(from, _)| from), end));
        }
    }
    span.map_or(Ok(()), |(from, to)| reader.prefetch(block, from, to))
}

/// A sum above this is added value by value, lest sums of sums overflow. Chosen.
const SUM_MAX: f64 = 1e300;

/// The floats of a series in the range, with a summary for each page wholly in it. `None` when there is more to it than floats, or
/// damage: then it is read as usual.
fn summarised(
    reader: &mut PageReader,
    block: &Block,
    (pages, here): (&[PageRef], &[u8]),
    plan: &Plan,
    function: &str,
) -> Result<Option<Series>, TsdbError> {
    if plan.lost.is_some() || plan.parts.iter().any(|part| part.kind != PageKind::Floats) {
        return Ok(None);
    }
    let mut series = Series::floats(Labels::default(), Arc::default(), Vec::new());
    let (mut times, mut all_times) = (Vec::new(), &plan.times[..]);
    for part in &plan.parts {
        let Ok(bytes) = reader.page(block, &pages[part.page].place, here)? else { return Ok(None) };
        let Some((own_times, rest)) = all_times.split_at_checked(part.take) else { return Ok(None) };
        all_times = rest;
        let before = series.values.len();
        if part.take == part.n_rows
            && let Ok(facts) = page::summary(bytes)
            && let Some(summary) = summary_for(function, &facts, before, own_times)
        {
            series.summaries.push(summary);
            continue;
        }
        if page::decode_values(bytes, &mut series.values).is_err()
            || series.values.len() - before != part.n_rows
        {
            return Ok(None);
        }
        cut(&mut series.values, before, part);
        times.extend_from_slice(own_times);
    }
    series.timestamps = if series.summaries.is_empty() { Arc::clone(&plan.times) } else { Arc::new(times) };
    Ok(Some(series))
}

/// The facts as a reader gets them, if all that `function` needs is among them, to the bit or an ulp for sums.
fn summary_for(function: &str, facts: &page::Summary, before: usize, times: &[i64]) -> Option<Summary> {
    if facts.n == 0 || facts.n_numbers != facts.n || facts.n as usize != times.len() {
        return None;
    }
    let is_enough = match function {
        // What is added up must not cancel out, or rounding shows.
        "sum_over_time" | "avg_over_time" => facts.min >= 0.0 && facts.sum <= SUM_MAX,
        // Of several falls only the sum is known, and the order of additions shows in the last bit.
        "increase" | "rate" => facts.n_resets <= 1,
        _ => true,
    };
    is_enough.then_some(Summary {
        before,
        n: facts.n,
        first_ms: *times.first()?,
        last_ms: *times.last()?,
        first: facts.first,
        last: facts.last,
        min: facts.min,
        max: facts.max,
        sum: facts.sum,
        fallen_from: facts.reset_sum,
        n_resets: facts.n_resets,
        n_changes: facts.n_changes,
    })
}

/// A series while its pages are decoded.
struct Rows {
    series: Series,
    /// Rows of floats, in the answer without loss, that are damaged.
    lost: Vec<(usize, usize)>,
    /// Histograms, in the answer without loss, so far.
    n_histogram_rows: usize,
    /// The last page was damaged, so that start timestamps behind it belong to nothing.
    owner_lost: bool,
}

impl Rows {
    /// Rows of floats, in the answer without loss, so far.
    fn n_rows(&self) -> usize {
        self.series.values.len() + self.lost.iter().map(|(_, n)| n).sum::<usize>()
    }

    /// Adds the rows of a page. On failure nothing of it was added.
    fn take(&mut self, part: &Part, bytes: &[u8], plan: &Plan) -> Result<(), String> {
        if part.kind == PageKind::Starts && self.owner_lost {
            return Ok(());
        }
        match part.kind {
            PageKind::Floats => {
                let before = self.series.values.len();
                let decoded =
                    page::decode_values(bytes, &mut self.series.values).map_err(|err| err.to_string());
                let n_rows = self.series.values.len() - before;
                if decoded.is_err() || n_rows != part.n_rows {
                    self.series.values.truncate(before);
                    return Err(decoded
                        .err()
                        .unwrap_or_else(|| format!("{n_rows} rows, not {}", part.n_rows)));
                }
                cut(&mut self.series.values, before, part);
                if !self.series.starts.is_empty() {
                    self.series.starts.resize(self.series.values.len(), 0);
                }
            }
            PageKind::Histograms => {
                let mut histograms = Vec::new();
                page::decode_histograms(bytes, &mut histograms).map_err(|err| err.to_string())?;
                if histograms.len() != part.n_rows {
                    return Err(format!("{} histograms, not {}", histograms.len(), part.n_rows));
                }
                let times = &plan.histogram_times[self.n_histogram_rows..];
                let taken = histograms.into_iter().skip(part.skip).take(part.take);
                self.series.histograms.extend(taken.zip(times).map(|(histogram, t_ms)| HistogramSample {
                    t_ms: *t_ms,
                    start_ms: 0,
                    histogram: Arc::new(histogram),
                }));
                self.n_histogram_rows += part.take;
            }
            PageKind::Starts => {
                let mut starts = Vec::new();
                page::decode_starts(bytes, &mut starts).map_err(|err| err.to_string())?;
                if starts.len() != part.n_rows {
                    return Err(format!("{} start timestamps, not {}", starts.len(), part.n_rows));
                }
                let starts = starts.into_iter().skip(part.skip).take(part.take);
                if part.of_histograms {
                    let from = self.series.histograms.len().saturating_sub(part.take);
                    let owners = &mut self.series.histograms[from..];
                    owners.iter_mut().zip(starts).for_each(|(owner, start_ms)| owner.start_ms = start_ms);
                } else {
                    let from = self.series.values.len().saturating_sub(part.take);
                    self.series.starts.resize(from, 0);
                    self.series.starts.extend(starts);
                }
            }
            // Columns of roll-ups are planned as floats.
            _ => {}
        }
        self.owner_lost = false;
        Ok(())
    }

    fn lose(&mut self, part: &Part) {
        self.owner_lost = part.kind != PageKind::Starts;
        match part.kind {
            PageKind::Floats => {
                let at = self.n_rows();
                self.lost.push((at, part.take));
            }
            PageKind::Histograms => self.n_histogram_rows += part.take,
            _ => {}
        }
    }

    fn finish(mut self) -> Series {
        if !self.lost.is_empty() {
            let is_lost = |idx: usize| self.lost.iter().any(|(from, n)| (*from..from + n).contains(&idx));
            let times = self.series.timestamps.iter().enumerate();
            let kept: Vec<i64> = times.filter(|(idx, _)| !is_lost(*idx)).map(|(_, t_ms)| *t_ms).collect();
            self.series.timestamps = Arc::new(kept);
        }
        self.series
    }
}

/// Leaves of the values from `before` on those that `part` takes.
fn cut(values: &mut Vec<f64>, before: usize, part: &Part) {
    if part.take == part.n_rows {
        return;
    }
    values.truncate(before + part.skip + part.take);
    values.drain(before..before + part.skip);
}

/// Leaves out what was deleted.
fn delete(series: &mut Series, deletions: &[TimeRange]) {
    let is_deleted = |t_ms: i64| {
        let at = deletions.partition_point(|interval| interval.end_ms < t_ms);
        deletions.get(at).is_some_and(|interval| interval.contains(t_ms))
    };
    series.histograms.retain(|sample| !is_deleted(sample.t_ms));
    if !series.timestamps.iter().any(|t_ms| is_deleted(*t_ms)) {
        return;
    }
    let keep: Vec<bool> = series.timestamps.iter().map(|t_ms| !is_deleted(*t_ms)).collect();
    let mut kept = keep.iter();
    series.values.retain(|_| *kept.next().unwrap_or(&true));
    let mut kept = keep.iter();
    series.starts.retain(|_| *kept.next().unwrap_or(&true));
    let times = series.timestamps.iter().copied();
    series.timestamps = Arc::new(times.zip(&keep).filter(|(_, keep)| **keep).map(|(t_ms, _)| t_ms).collect());
}

/// For who reads series number by number.
impl BlockSet {
    /// The next series that can be read.
    pub(super) fn next_number(&mut self) -> Option<u32> {
        let skip_below = self.skip_below;
        self.numbers.by_ref().find(|number| *number >= skip_below)
    }

    /// Damage in the index costs the leaf in which `number` is; a disk that refuses fails the query.
    pub(super) fn pass_over(&mut self, number: u32, err: ReadOrFail) -> Result<(), QueryError> {
        match err {
            ReadOrFail::Index(err) => {
                self.block.or_nothing(Err::<(), _>(err))?;
                self.skip_below = self.block.index().after_leaf_of(number);
                Ok(())
            }
            ReadOrFail::Fail(err) => Err(fail(err)),
            ReadOrFail::Stopped => Err(QueryError::Canceled),
        }
    }

    pub(super) fn has_deletions(&self, number: u32) -> bool {
        !self.deleted.tombstones.of(number).is_empty()
    }

    pub(super) fn cursor(&mut self) -> &mut LabelCursor {
        &mut self.labels
    }

    /// See [`PageReader::page`].
    pub(super) fn page<'a>(
        &'a mut self,
        block: &Block,
        place: &PagePlace,
        here: &'a [u8],
    ) -> Result<Result<&'a [u8], String>, TsdbError> {
        self.reader.page(block, place, here)
    }
}

impl SeriesSet for BlockSet {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        while let Some(number) = self.next_number() {
            match self.read(number) {
                Ok(Some(series)) => return Ok(Some(series)),
                Ok(None) => {}
                Err(err) => self.pass_over(number, err)?,
            }
        }
        Ok(None)
    }

    fn n_series_max(&self) -> usize {
        self.numbers.len()
    }

    fn cuts(&mut self, n: usize) -> Vec<Labels> {
        let width = self.numbers.len().div_ceil(n.max(1)).max(1);
        let numbers: Vec<u32> = self.numbers.clone().step_by(width).skip(1).collect();
        let block = Arc::clone(&self.block);
        let cuts = numbers.into_iter().map(|number| self.labels.labels(block.index(), number));
        cuts.collect::<Result<_, _>>().unwrap_or_default()
    }

    fn split<'s>(&mut self, n: usize, cuts: &[Labels]) -> Vec<Box<dyn SeriesSet + 's>>
    where
        Self: 's,
    {
        let numbers: Vec<u32> =
            std::mem::replace(&mut self.numbers, RoaringBitmap::new().into_iter()).collect();
        let parts = self.parts(&numbers, cuts);
        let all: Arc<[Labels]> = cuts.into();
        let part = |share: usize| -> Box<dyn SeriesSet + 's> {
            let own: RoaringBitmap = match &parts {
                Some(parts) => {
                    parts.iter().skip(share).step_by(n).flat_map(|part| &numbers[part.clone()]).collect()
                }
                None => numbers.iter().collect(),
            };
            Box::new(Self {
                numbers: own.into_iter(),
                share: parts.is_none().then(|| (n, share, Arc::clone(&all))),
                deleted: Arc::clone(&self.deleted),
                summarised_for: self.summarised_for.clone(),
                column: self.column,
                stop: self.stop.clone(),
                reader: self.reader.another(),
                ..Self::over(Arc::clone(&self.block), self.range, self.labels_only)
            })
        };
        (0..n).map(part).collect()
    }
}

impl BlockSet {
    /// Which of `numbers` lie between one cut and the next. `None` where the index cannot be read.
    fn parts(&mut self, numbers: &[u32], cuts: &[Labels]) -> Option<Vec<Range<usize>>> {
        let block = Arc::clone(&self.block);
        let mut parts = Vec::with_capacity(cuts.len() + 1);
        let mut from = 0;
        for (nth, cut) in cuts.iter().enumerate() {
            // Blocks mostly have the same series, so that the place is where even parts would end.
            let guess = numbers.len().div_ceil(cuts.len() + 1) * (nth + 1);
            let is_below = |at: usize| self.labels.labels(block.index(), numbers[at]).map(|own| own < *cut);
            let to = first_not(from, numbers.len(), guess, is_below).ok()?;
            parts.push(from..to);
            from = to;
        }
        parts.push(from..numbers.len());
        Some(parts)
    }
}

/// The first of `from..to` for which `holds` does not, where it holds for all before: looked for around `guess` first.
fn first_not<E>(
    from: usize,
    to: usize,
    guess: usize,
    mut holds: impl FnMut(usize) -> Result<bool, E>,
) -> Result<usize, E> {
    let (mut low, mut high) = (from, to);
    let mut width = 1;
    let mut probe = guess.clamp(from, to);
    while low < high {
        // What is looked for is in `low..=high`.
        let at = probe.clamp(low, high - 1);
        if holds(at)? {
            low = at + 1;
            probe = at + width;
        } else {
            high = at;
            probe = at.saturating_sub(width);
        }
        width *= 2;
        if width > (high - low) / 2 {
            probe = low + (high - low) / 2;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_whatever_the_guess() {
        for n in 0..20 {
            for place in 0..=n {
                for guess in 0..25 {
                    let mut n_probes = 0;
                    let found = first_not(0, n, guess, |at| {
                        n_probes += 1;
                        Ok::<_, ()>(at < place)
                    });
                    assert_eq!(found, Ok(place), "{n} {guess}");
                    assert!(n_probes <= 12, "{n_probes} probes for {place} of {n} from {guess}");
                }
            }
        }
    }
}
