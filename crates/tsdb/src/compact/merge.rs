//! Makes one block, or one for each stretch of time, out of several.
//!
//! Series come in label order from all of them at once, so that memory holds one series and the pages of it. A page goes over
//! as it is, unless it overlaps another, is small and has a small neighbour, or is partly deleted.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use model::{Labels, TimeRange};
use stdx::Dir;

use super::rows::{Rows, is_in};
use crate::block::{
    Block, BlockWriter, Column, Columns, Compaction, Deleted, KnownPage, PageReader, Parent, RolledUpFrom,
    damaged_page,
};
use crate::error::TsdbError;
use crate::index::{LabelCursor, PageCursor, PageRef, ReadError};
use crate::page::PageKind;

/// Pages of fewer rows are joined with their neighbours. Chosen: below, places and heads weigh as much as values.
const ROWS_SMALL: usize = 240;
/// Joined pages have at most so many rows. Chosen: two hours at 15 s; longer ones gain under 2 % (reference engine, §3c).
pub(super) const ROWS_MAX: usize = 480;
/// Timestamps remembered in joined columns. Chosen: 8 MB.
const JOINED_TIMES_MAX: usize = 1 << 20;

/// From when on samples of a series are kept, for series that have a retention of their own.
pub(crate) type KeepFrom<'a> = &'a dyn Fn(&Labels) -> Option<i64>;

/// What to make.
pub(crate) struct Job<'a> {
    /// In the order in which the sample of the first counts.
    pub(crate) blocks: &'a [Arc<Block>],
    /// Where one new block ends and the next begins; empty for a single one.
    pub(crate) cuts: &'a [i64],
    pub(crate) keep_from: KeepFrom<'a>,
}

/// Writes the blocks of `job`. Returns their names; none when nothing is left.
pub(crate) fn compact_blocks(dir: &Arc<dyn Dir>, job: &Job<'_>) -> Result<Vec<String>, TsdbError> {
    let blocks = job.blocks;
    let label = format!("compact-{}", blocks.first().map_or("none", |block| block.name()));
    let level = blocks.iter().map(|block| block.meta().compaction.level).max().unwrap_or(0) + 1;
    let sources: BTreeSet<String> =
        blocks.iter().flat_map(|block| block.meta().compaction.sources.clone()).collect();
    let compaction = Compaction {
        level,
        sources: sources.into_iter().collect(),
        parents: Vec::new(),
        late: blocks.iter().all(|block| block.meta().compaction.late),
        stored: blocks.iter().map(|block| block.meta().compaction.stored).min().unwrap_or(0),
        rollup: RolledUpFrom::join(blocks.iter().filter_map(|block| block.meta().compaction.rollup.as_ref())),
    };
    let mut starts: Vec<i64> = vec![i64::MIN];
    starts.extend_from_slice(job.cuts);
    let mut names: Vec<String> = Vec::new();
    let mut pending: Option<BlockWriter> = None;
    for (idx, start_ms) in starts.iter().enumerate() {
        let end_ms = starts.get(idx + 1).map_or(i64::MAX, |next| next.saturating_sub(1));
        let mut writer = BlockWriter::begin(Arc::clone(dir), &format!("{label}-{idx}"))?;
        let merged =
            Merge::begin(job, TimeRange::new(*start_ms, end_ms)).and_then(|merge| merge.run(&mut writer));
        if let Err(err) = merged {
            writer.abandon();
            return Err(err);
        }
        if writer.is_empty() {
            writer.abandon();
        } else if let Some(done) = pending.replace(writer) {
            names.push(done.finish(compaction.clone())?);
        }
    }
    if let Some(last) = pending {
        // Only the last says what all replace, so that a crash before it loses nothing.
        let replaced = blocks.iter().filter(|block| names.iter().all(|name| name != block.name()));
        let parent = |block: &Arc<Block>| Parent {
            ulid: block.meta().ulid.clone(),
            min_time: block.meta().min_time,
            max_time: block.meta().max_time,
            which: Some(block.meta().compaction.which()),
        };
        names.push(last.finish(Compaction { parents: replaced.map(parent).collect(), ..compaction })?);
    }
    Ok(names)
}

/// Where one block's series are being read.
struct Cursor {
    block: Arc<Block>,
    deleted: Arc<Deleted>,
    number: u32,
    peeked: Option<Labels>,
    labels: LabelCursor,
    pages: PageCursor,
    reader: PageReader,
    columns: Columns,
    /// Columns of the block → columns of the new one.
    known: HashMap<u32, Column>,
}

impl Cursor {
    fn begin(block: &Arc<Block>) -> Result<Self, TsdbError> {
        let mut cursor = Self {
            block: Arc::clone(block),
            deleted: block.deleted(),
            number: 0,
            peeked: None,
            labels: LabelCursor::default(),
            pages: PageCursor::default(),
            reader: PageReader::default(),
            columns: Columns::default(),
            known: HashMap::new(),
        };
        cursor.peek()?;
        Ok(cursor)
    }

    fn peek(&mut self) -> Result<(), TsdbError> {
        self.peeked = None;
        if self.number < self.block.index().toc().n_series {
            let labels = self.labels.labels(self.block.index(), self.number);
            self.peeked = Some(labels.map_err(|err| self.block.index_error(err))?);
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<(), TsdbError> {
        self.number += 1;
        self.peek()
    }

    fn column(&mut self, number: u32, writer: &mut BlockWriter) -> Result<Column, TsdbError> {
        if let Some(column) = self.known.get(&number) {
            return Ok(*column);
        }
        let copied = self
            .block
            .index()
            .column(number, |head, bytes| writer.column(bytes, head.n_rows, head.first_ms, head.last_ms));
        let column = copied.map_err(|err| self.block.index_error(err))??;
        self.known.insert(number, column);
        Ok(column)
    }

    fn times(&mut self, number: u32) -> Result<Arc<Vec<i64>>, TsdbError> {
        self.columns.times(&self.block, number).map_err(|err| self.block.index_error(err))
    }
}

/// A page of the series that is being merged.
#[derive(Debug, Clone)]
struct Item {
    source: usize,
    kind: PageKind,
    column: u32,
    /// `None` for all rows of the column.
    rows: Option<(u32, u32)>,
    n_rows: usize,
    span: TimeRange,
    /// Where its bytes and those of its start timestamps are in the arena.
    bytes: Range<usize>,
    starts: Option<Range<usize>>,
    /// Some of its rows go.
    is_cut: bool,
}

/// Which rows of which columns of which sources were joined.
type JoinKey = Vec<(usize, u32, Option<(u32, u32)>)>;

struct Merge<'a> {
    job: &'a Job<'a>,
    window: TimeRange,
    cursors: Vec<Cursor>,
    arena: Vec<u8>,
    items: Vec<Item>,
    joined: HashMap<JoinKey, Arc<Vec<i64>>>,
    n_joined_times: usize,
}

/// A page that is ready: its times in a known column, or in rows of their own.
struct Ready {
    kind: PageKind,
    column: Column,
    rows: Option<(u32, u32)>,
    span: (i64, i64),
    bytes: Bytes,
}

enum Bytes {
    Arena(Range<usize>),
    Own(Vec<u8>),
}

impl<'a> Merge<'a> {
    fn begin(job: &'a Job<'a>, window: TimeRange) -> Result<Self, TsdbError> {
        let within = job.blocks.iter().filter(|block| block.range().overlaps(window));
        let cursors = within.map(Cursor::begin).collect::<Result<Vec<_>, _>>()?;
        let (arena, items, joined) = (Vec::new(), Vec::new(), HashMap::new());
        Ok(Self { job, window, cursors, arena, items, joined, n_joined_times: 0 })
    }

    fn run(mut self, writer: &mut BlockWriter) -> Result<(), TsdbError> {
        loop {
            let peeked = self.cursors.iter().filter_map(|cursor| cursor.peeked.as_ref());
            let Some(labels) = peeked.min().cloned() else { return Ok(()) };
            let keep_from = (self.job.keep_from)(&labels).unwrap_or(i64::MIN);
            self.arena.clear();
            self.items.clear();
            for source in 0..self.cursors.len() {
                if self.cursors[source].peeked.as_ref() == Some(&labels) {
                    self.gather(source, keep_from)?;
                    self.cursors[source].advance()?;
                }
            }
            self.write(&labels, writer)?;
        }
    }

    /// Takes the pages of one source's series, of which something stays.
    fn gather(&mut self, source: usize, keep_from: i64) -> Result<(), TsdbError> {
        let Self { cursors, arena, items, window, .. } = self;
        let cursor = &mut cursors[source];
        if cursor.deleted.wholly.contains(cursor.number) {
            return Ok(());
        }
        let block = Arc::clone(&cursor.block);
        let deletions = cursor.deleted.tombstones.of(cursor.number);
        let mut copy = |reader: &mut PageReader, page: &PageRef, here: &[u8]| {
            let from = arena.len();
            match reader.page(&block, &page.place, here)? {
                Ok(bytes) => arena.extend_from_slice(bytes),
                Err(reason) => return Err(damaged_page(&block, &reason)),
            }
            Ok(from..arena.len())
        };
        let mut owner_kept = false;
        let (pages, here) =
            cursor.pages.pages(block.index(), cursor.number).map_err(|err| block.index_error(err))?;
        for page in pages {
            if page.kind == PageKind::Starts {
                if let Some(owner) = items.last_mut().filter(|_| owner_kept) {
                    owner.starts = Some(copy(&mut cursor.reader, page, here)?);
                }
                owner_kept = false;
                continue;
            }
            let (span, n_rows) =
                span_of(&block, &mut cursor.columns, page).map_err(|err| block.index_error(err))?;
            // Pages that are too old go as a whole only, which is cheaper than cutting them.
            owner_kept = span.overlaps(*window) && span.end_ms >= keep_from;
            if !owner_kept {
                continue;
            }
            let is_inside = window.start_ms <= span.start_ms && span.end_ms <= window.end_ms;
            let is_cut = !is_inside || deletions.iter().any(|deleted| deleted.overlaps(span));
            let bytes = copy(&mut cursor.reader, page, here)?;
            let (kind, column, rows) = (page.kind, page.column, page.rows);
            items.push(Item { source, kind, column, rows, n_rows, span, bytes, starts: None, is_cut });
        }
        Ok(())
    }

    fn write(&mut self, labels: &Labels, writer: &mut BlockWriter) -> Result<(), TsdbError> {
        let mut items = std::mem::take(&mut self.items);
        // Stable: of equal times the first source stays first.
        items.sort_by_key(|item| (item.kind, item.span.start_ms));
        // Histograms of roll-ups have times of their own, and all other columns of a source the same rows.
        let is_rollup = self.cursors.iter().any(|cursor| cursor.block.meta().compaction.rollup.is_some());
        let mixed = !is_rollup
            && items.first().map(|item| item.kind) != items.last().map(|item| item.kind)
            && items.iter().any(|item| item.source != items[0].source);
        let mut ready = Vec::with_capacity(items.len());
        if mixed {
            self.rebuild_mixed(&items, writer, &mut ready)?;
        } else {
            let mut at = 0;
            while at < items.len() {
                let n = run_len(&items[at..]);
                self.put_run(&items[at..at + n], writer, &mut ready)?;
                at += n;
            }
        }
        let known: Vec<KnownPage<'_>> = ready
            .iter()
            .map(|page| KnownPage {
                kind: page.kind,
                column: page.column,
                rows: page.rows,
                span: page.span,
                bytes: match &page.bytes {
                    Bytes::Arena(range) => &self.arena[range.clone()],
                    Bytes::Own(bytes) => bytes,
                },
            })
            .collect();
        writer.add_known(labels, &known)?;
        self.items = items;
        Ok(())
    }

    /// Pages that belong together: one that goes over as it is, or several to be joined.
    fn put_run(
        &mut self,
        run: &[Item],
        writer: &mut BlockWriter,
        ready: &mut Vec<Ready>,
    ) -> Result<(), TsdbError> {
        if let [item] = run
            && !item.is_cut
        {
            let column = self.cursors[item.source].column(item.column, writer)?;
            let (kind, rows, span) = (item.kind, item.rows, (item.span.start_ms, item.span.end_ms));
            ready.push(Ready { kind, column, rows, span, bytes: Bytes::Arena(item.bytes.clone()) });
            if let Some(starts) = item.starts.clone() {
                ready.push(Ready { kind: PageKind::Starts, column, rows, span, bytes: Bytes::Arena(starts) });
            }
            return Ok(());
        }
        let overlap = run.windows(2).any(|pair| pair[1].span.start_ms <= pair[0].span.end_ms);
        let rows = if overlap {
            // Of rows at the same time the first source's stays.
            let mut by_source = run.to_vec();
            by_source.sort_by_key(|item| item.source);
            self.decode(&by_source)?
        } else {
            self.decode(run)?
        };
        let is_plain = run.iter().all(|item| !item.is_cut) && rows.rises();
        if is_plain && rows.times.len() <= ROWS_MAX {
            let times = self.joined_times(run, &rows.times);
            return put_rows(&rows, run[0].kind, &times, writer, ready);
        }
        let mut rows = rows;
        if !rows.rises() {
            rows.sort();
        }
        let times = Arc::new(std::mem::take(&mut rows.times));
        put_rows(&rows, run[0].kind, &times, writer, ready)
    }

    /// The joined times, the same ones for all series that join the same rows.
    fn joined_times(&mut self, run: &[Item], times: &[i64]) -> Arc<Vec<i64>> {
        let key: JoinKey = run.iter().map(|item| (item.source, item.column, item.rows)).collect();
        if let Some(known) = self.joined.get(&key) {
            return Arc::clone(known);
        }
        if self.n_joined_times + times.len() > JOINED_TIMES_MAX {
            self.joined.clear();
            self.n_joined_times = 0;
        }
        self.n_joined_times += times.len();
        let times = Arc::new(times.to_vec());
        self.joined.insert(key, Arc::clone(&times));
        times
    }

    /// The rows of pages, one page after another, without those that go.
    fn decode(&mut self, run: &[Item]) -> Result<Rows, TsdbError> {
        let mut all = Rows::default();
        for item in run {
            let cursor = &mut self.cursors[item.source];
            let column = cursor.times(item.column)?;
            let (first, n) = item.rows.map_or((0, column.len()), |(first, n)| (first as usize, n as usize));
            let starts = item.starts.clone().map(|starts| &self.arena[starts]);
            let mut rows = Rows::default();
            let bytes = &self.arena[item.bytes.clone()];
            rows.decode(item.kind, &column[first..first + n], bytes, starts)
                .map_err(|err| damaged_page(&cursor.block, &err.to_string()))?;
            if item.is_cut {
                // `advance` has gone on to the next series.
                let deletions = cursor.deleted.tombstones.of(cursor.number - 1);
                let window = self.window;
                rows.retain(|t_ms| window.contains(t_ms) && !is_in(deletions, t_ms));
            }
            all.append(rows);
        }
        Ok(all)
    }

    /// A series with floats and histograms in several sources: each time once over both kinds.
    fn rebuild_mixed(
        &mut self,
        items: &[Item],
        writer: &mut BlockWriter,
        ready: &mut Vec<Ready>,
    ) -> Result<(), TsdbError> {
        let mut taken: BTreeSet<i64> = BTreeSet::new();
        let mut kinds: [Rows; 2] = Default::default();
        for source in 0..self.cursors.len() {
            let mut times = Vec::new();
            for (kind, out) in [PageKind::Floats, PageKind::Histograms].into_iter().zip(&mut kinds) {
                let of_source = items.iter().filter(|item| item.source == source && item.kind == kind);
                let mut rows = self.decode(&of_source.cloned().collect::<Vec<_>>())?;
                rows.retain(|t_ms| !taken.contains(&t_ms));
                times.extend_from_slice(&rows.times);
                out.append(rows);
            }
            taken.extend(times);
        }
        for (kind, mut rows) in [PageKind::Floats, PageKind::Histograms].into_iter().zip(kinds) {
            rows.sort();
            if !rows.times.is_empty() {
                let times = Arc::new(std::mem::take(&mut rows.times));
                put_rows(&rows, kind, &times, writer, ready)?;
            }
        }
        Ok(())
    }
}

/// Encodes rows as pages of at most [`ROWS_MAX`]. `times` are those of `rows`.
fn put_rows(
    rows: &Rows,
    kind: PageKind,
    times: &Arc<Vec<i64>>,
    writer: &mut BlockWriter,
    ready: &mut Vec<Ready>,
) -> Result<(), TsdbError> {
    let mut from = 0;
    while from < times.len() {
        let to = rows.page_end(from, times.len().min(from + ROWS_MAX));
        let (bytes, starts) = rows.encode(kind, from, to);
        // Columns are as long as pages, so that a reader decodes no more than it needs.
        let column = if to - from == times.len() {
            writer.column_of(times)?
        } else {
            writer.column_of(&Arc::new(times[from..to].to_vec()))?
        };
        let span = (times[from], times[to - 1]);
        ready.push(Ready { kind, column, rows: None, span, bytes: Bytes::Own(bytes) });
        if let Some(bytes) = starts {
            ready.push(Ready { kind: PageKind::Starts, column, rows: None, span, bytes: Bytes::Own(bytes) });
        }
        from = to;
    }
    Ok(())
}

/// First and last time of a page, and its rows.
fn span_of(block: &Block, columns: &mut Columns, page: &PageRef) -> Result<(TimeRange, usize), ReadError> {
    let Some((first, n)) = page.rows else {
        let head = block.index().column(page.column, |head, _| *head)?;
        return Ok((TimeRange::new(head.first_ms, head.last_ms), head.n_rows as usize));
    };
    let times = columns.times(block, page.column)?;
    let rows = times.get(first as usize..(first as usize).saturating_add(n as usize)).unwrap_or(&[]);
    match (rows.first(), rows.last()) {
        (Some(first_ms), Some(last_ms)) => Ok((TimeRange::new(*first_ms, *last_ms), rows.len())),
        _ => Err(ReadError::Damaged(format!("rows outside column {}", page.column))),
    }
}

/// How many of `items`, which are sorted, belong together from the first on: those that overlap, and small neighbours.
fn run_len(items: &[Item]) -> usize {
    let (mut last_ms, mut n_rows, mut n) = (items[0].span.end_ms, items[0].n_rows, 1);
    for item in &items[1..] {
        let overlaps = item.span.start_ms <= last_ms;
        let is_small = n_rows.min(item.n_rows) < ROWS_SMALL && n_rows + item.n_rows <= ROWS_MAX;
        if item.kind != items[0].kind || !overlaps && !is_small {
            break;
        }
        last_ms = last_ms.max(item.span.end_ms);
        n_rows += item.n_rows;
        n += 1;
    }
    n
}
