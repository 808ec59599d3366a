//! Sealing: open rows of all groups become blocks, and the log is shortened.
//!
//! Takes nothing from writers: under each group's lock its page is swapped out, which moves pointers; encoding and writing happen
//! without locks. Until its block is published a page is still read, and its log kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use roaring::RoaringBitmap;

use super::compact::{next_stored, publish};
use super::{Db, sweep};
use crate::block::{BlockWriter, Compaction, PageIn, TimesSlice};
use crate::error::TsdbError;
use crate::head::{Page, SharedGroup, SideTables};
use crate::page;
use crate::page::PageKind;
use crate::wal::{CommitWriter, NewColumn, NewSeries, SnapshotWriter, encode_floor};

/// Series whose labels are looked up under one lock. Chosen: some tens of microseconds.
const LABELS_AT_ONCE: usize = 256;

/// What a seal writes and then lets go of.
struct Sealing {
    pages: Vec<(SharedGroup, Arc<Page>)>,
    side: Vec<Arc<SideTables>>,
    /// Segments of rows before this hold nothing else.
    boundary: u64,
}

/// Writes all that is in the head to blocks. Returns their names and how many segments of the log went.
pub(super) fn seal(db: &Db, now_ms: i64) -> Result<(Vec<String>, usize), TsdbError> {
    let sealing = begin(db)?;
    let names = write_blocks(db, &sealing).inspect_err(|_| db.metrics.compactions_failed.inc())?;
    publish(db, &names, &[])?;
    db.metrics.compactions.add(names.len() as u64);
    let n_segments = finish(db, now_ms, &sealing)?;
    Ok((names, n_segments))
}

/// After a failed sync nothing in the log is sure: writes everything that matters elsewhere, and the series log anew.
pub(super) fn rescue(db: &Db) -> Result<(), TsdbError> {
    rescue_and(db, || Ok(()))
}

/// As [`rescue`]; `once_durable` runs before anything goes that is now elsewhere.
pub(super) fn rescue_and(
    db: &Db,
    once_durable: impl FnOnce() -> Result<(), TsdbError>,
) -> Result<(), TsdbError> {
    db.metrics.checkpoints.inc();
    let done = (|| {
        let sealing = begin(db)?;
        let names = write_blocks(db, &sealing)?;
        publish(db, &names, &[])?;
        let number = write_snapshot(db)?;
        once_durable()?;
        finish(db, i64::MAX, &sealing)?;
        db.log.lock().series.remove_before(number);
        Ok(())
    })();
    done.inspect_err(|_| db.metrics.checkpoints_failed.inc())
}

fn begin(db: &Db) -> Result<Sealing, TsdbError> {
    let (epoch, boundary, side) = {
        let mut log = db.log.lock();
        let sync_old = log.rows.sync_handle().is_some();
        log.rows.roll(sync_old)?;
        log.epoch += 1;
        // Segments before now go; exemplars stay in memory, so they are said again.
        let mut again = CommitWriter::default();
        db.head.exemplars.lock().iter().for_each(|(series, exemplar)| again.exemplar(*series, exemplar));
        if !again.is_empty() {
            log.write(&[], &again.finish(), false)?;
        }
        (log.epoch, log.rows.number(), db.head.side.lock().begin_seal())
    };
    let groups: Vec<SharedGroup> = db.head.table.read().groups.values().cloned().collect();
    let mut pages = Vec::new();
    for shared in groups {
        let mut group = shared.lock();
        if group.page.epoch < epoch {
            group.turn_page(epoch);
        }
        let due = group.closed.iter().filter(|page| page.epoch < epoch).cloned();
        pages.extend(due.map(|page| (shared.clone(), page)));
    }
    Ok(Sealing { pages, side, boundary })
}

/// A column of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    series: u32,
    page: u32,
    column: u32,
}

/// The part of a page in one range of time.
struct PagePart {
    first_row: u32,
    times: Arc<Vec<i64>>,
}

fn write_blocks(db: &Db, sealing: &Sealing) -> Result<Vec<String>, TsdbError> {
    let block_ms = db.options.block_ms;
    let times: Vec<Vec<i64>> = sealing.pages.iter().map(|(_, page)| page.times.decode()).collect();
    let mut windows: BTreeSet<i64> = BTreeSet::new();
    for times in &times {
        windows.extend(times.iter().map(|t_ms| t_ms.div_euclid(block_ms)));
    }
    let mut late_windows: BTreeSet<i64> = BTreeSet::new();
    for tables in &sealing.side {
        let late = tables.late.values().flat_map(|samples| samples.keys());
        late_windows.extend(late.map(|t_ms| t_ms.div_euclid(block_ms)));
        let histograms = tables.histograms.values().flat_map(|samples| samples.keys());
        windows.extend(histograms.map(|t_ms| t_ms.div_euclid(block_ms)));
    }
    let mut names = Vec::new();
    for window in windows {
        names.extend(write_window(db, sealing, &times, window)?);
    }
    for window in late_windows {
        names.extend(write_late(db, &sealing.side, window)?);
    }
    Ok(names)
}

fn write_window(
    db: &Db,
    sealing: &Sealing,
    times: &[Vec<i64>],
    window: i64,
) -> Result<Option<String>, TsdbError> {
    let range = window_of(db, window);
    let mut parts: Vec<Option<PagePart>> = Vec::with_capacity(times.len());
    let mut pieces: Vec<Piece> = Vec::new();
    for (idx, ((_, page), times)) in sealing.pages.iter().zip(times).enumerate() {
        let first = times.partition_point(|t_ms| *t_ms < range.0);
        let last = times.partition_point(|t_ms| *t_ms <= range.1);
        if first >= last {
            parts.push(None);
            continue;
        }
        parts.push(Some(PagePart { first_row: first as u32, times: Arc::new(times[first..last].to_vec()) }));
        let n_rows = page.n_rows();
        let columns = page.columns.iter().enumerate().filter(|(_, column)| column.has_samples(n_rows));
        pieces.extend(columns.map(|(column, state)| Piece {
            series: state.series,
            page: idx as u32,
            column: column as u32,
        }));
    }
    pieces.sort_unstable();
    let mut ids: RoaringBitmap = pieces.iter().map(|piece| piece.series).collect();
    for tables in &sealing.side {
        ids.extend(
            tables
                .histograms
                .iter()
                .filter(|(_, all)| all.range(range.0..=range.1).next().is_some())
                .map(|(id, _)| *id),
        );
    }
    let mut block = None;
    each_series(db, &ids, &mut block, &format!("seal-{window}"), |series, out| {
        let from = pieces.partition_point(|piece| piece.series < series);
        let to = pieces.partition_point(|piece| piece.series <= series);
        floats_of(db, sealing, &parts, &pieces[from..to], out);
        histograms_of(sealing, series, range, out);
    })?;
    let compaction = Compaction { stored: next_stored(db), ..Compaction::default() };
    block.map(|writer| writer.finish(compaction)).transpose()
}

fn window_of(db: &Db, window: i64) -> (i64, i64) {
    let start_ms = window.saturating_mul(db.options.block_ms);
    (start_ms, start_ms.saturating_add(db.options.block_ms - 1))
}

/// Writes series in the order of their labels; `pages` says what each has. The block is begun with the first that has any.
fn each_series(
    db: &Db,
    ids: &RoaringBitmap,
    block: &mut Option<BlockWriter>,
    label: &str,
    mut pages: impl FnMut(u32, &mut Vec<PageIn>),
) -> Result<(), TsdbError> {
    let sorted = db.head.table.read().series.sorted_by_labels(ids);
    for some in sorted.chunks(LABELS_AT_ONCE) {
        let labels: Vec<_> = {
            let table = db.head.table.read();
            some.iter().map(|series| table.series.labels(*series)).collect()
        };
        for (series, labels) in some.iter().zip(labels) {
            let mut out = Vec::new();
            pages(*series, &mut out);
            // A series leaves the table only after its samples.
            let Some(labels) = labels.filter(|_| !out.is_empty()) else { continue };
            let writer = match block {
                Some(writer) => writer,
                None => block.insert(BlockWriter::begin(Arc::clone(&db.dir), label)?),
            };
            if let Err(err) = writer.add(&labels, &out) {
                if let Some(writer) = block.take() {
                    writer.abandon();
                }
                return Err(err);
            }
        }
    }
    Ok(())
}

/// Rows of a series with values, all of one piece.
struct Floats {
    times: TimesSlice,
    values: Vec<f64>,
}

impl Floats {
    fn times(&self) -> &[i64] {
        let first = self.times.first as usize;
        &self.times.column[first..first + self.times.len as usize]
    }
}

fn read_piece(part: &PagePart, page: &Page, column: u32) -> Option<Floats> {
    let column = page.columns.get(column as usize)?;
    let n_part = part.times.len() as u32;
    let end_row = part.first_row + n_part;
    let mut values: Vec<f64> = Vec::with_capacity(part.times.len());
    let mut runs: Vec<(u32, u32)> = Vec::new();
    column.runs(page.n_rows(), |from, to, bits| {
        let (from, to) = (from.max(part.first_row), to.min(end_row));
        if from < to {
            let (from, to) = (from - part.first_row, to - part.first_row);
            values.resize(values.len() + (to - from) as usize, f64::from_bits(bits));
            match runs.last_mut() {
                Some(last) if last.1 == from => last.1 = to,
                _ => runs.push((from, to)),
            }
        }
    });
    let times = match runs[..] {
        [] => return None,
        [(first, to)] => TimesSlice { column: part.times.clone(), first, len: to - first },
        _ => {
            let rows = runs.iter().flat_map(|(from, to)| part.times[*from as usize..*to as usize].iter());
            let own: Vec<i64> = rows.copied().collect();
            TimesSlice { first: 0, len: own.len() as u32, column: Arc::new(own) }
        }
    };
    Some(Floats { times, values })
}

fn floats_of(
    db: &Db,
    sealing: &Sealing,
    parts: &[Option<PagePart>],
    pieces: &[Piece],
    out: &mut Vec<PageIn>,
) {
    let Some(series) = pieces.first().map(|piece| piece.series) else { return };
    let read = |piece: &Piece| {
        let part = parts[piece.page as usize].as_ref()?;
        read_piece(part, &sealing.pages[piece.page as usize].1, piece.column)
    };
    let mut found: Vec<Floats> = pieces.iter().filter_map(read).collect();
    found.sort_by_key(|floats| floats.times().first().copied());
    let apart = found.windows(2).all(|pair| pair[0].times().last() < pair[1].times().first());
    if !apart {
        let mut all: Vec<(i64, f64)> = Vec::new();
        for floats in &found {
            all.extend(floats.times().iter().copied().zip(floats.values.iter().copied()));
        }
        // Stable, so that of equal times the older page's stays.
        all.sort_by_key(|(t_ms, _)| *t_ms);
        all.dedup_by_key(|(t_ms, _)| *t_ms);
        let (times, values): (Vec<i64>, Vec<f64>) = all.into_iter().unzip();
        found = vec![Floats {
            times: TimesSlice { first: 0, len: times.len() as u32, column: Arc::new(times) },
            values,
        }];
    }
    for mut floats in found {
        put_firsts(sealing, series, &mut floats);
        put_floats(db, series, &floats, out);
    }
}

/// Of two values at one time the one stored first goes into the block.
fn put_firsts(sealing: &Sealing, series: u32, floats: &mut Floats) {
    let firsts = sealing.side.iter().filter_map(|tables| tables.firsts.get(&series)).flatten();
    for (t_ms, bits) in firsts {
        if let Ok(row) = floats.times().binary_search(t_ms) {
            floats.values[row] = f64::from_bits(*bits);
        }
    }
}

fn put_floats(db: &Db, series: u32, floats: &Floats, out: &mut Vec<PageIn>) {
    for (idx, values) in floats.values.chunks(page::ROWS_MAX).enumerate() {
        let first = floats.times.first + (idx * page::ROWS_MAX) as u32;
        let times = TimesSlice { column: floats.times.column.clone(), first, len: values.len() as u32 };
        let mut bytes = Vec::new();
        page::encode_values(values, &mut bytes);
        let rows = &times.column[first as usize..first as usize + values.len()];
        let starts = starts_of(db, series, rows);
        out.push(PageIn { times: times.clone(), kind: PageKind::Floats, bytes });
        if let Some(starts) = starts {
            put_starts(&starts, times, out);
        }
    }
}

/// Start timestamps at these times; `None` when none is known.
fn starts_of(db: &Db, series: u32, times: &[i64]) -> Option<Vec<i64>> {
    if !db.head.has_starts.load(Ordering::Acquire) {
        return None;
    }
    let side = db.head.side.lock();
    let starts = side.starts.get(&series)?;
    let all: Vec<i64> = times.iter().map(|t_ms| starts.at(*t_ms)).collect();
    all.iter().any(|start_ms| *start_ms != 0).then_some(all)
}

fn put_starts(starts: &[i64], times: TimesSlice, out: &mut Vec<PageIn>) {
    let mut bytes = Vec::new();
    page::encode_starts(starts, &mut bytes);
    out.push(PageIn { times, kind: PageKind::Starts, bytes });
}

fn histograms_of(sealing: &Sealing, series: u32, range: (i64, i64), out: &mut Vec<PageIn>) {
    let mut all = std::collections::BTreeMap::new();
    for tables in &sealing.side {
        for (t_ms, stored) in
            tables.histograms.get(&series).into_iter().flat_map(|all| all.range(range.0..=range.1))
        {
            all.entry(*t_ms).or_insert(stored);
        }
    }
    let rows: Vec<_> = all.into_iter().collect();
    for rows in rows.chunks(page::ROWS_MAX) {
        let column: Vec<i64> = rows.iter().map(|(t_ms, _)| *t_ms).collect();
        let times = TimesSlice { first: 0, len: column.len() as u32, column: Arc::new(column) };
        let histograms: Vec<&model::Histogram> =
            rows.iter().map(|(_, (_, histogram))| &**histogram).collect();
        let mut bytes = Vec::new();
        page::encode_histograms(&histograms, &mut bytes);
        out.push(PageIn { times: times.clone(), kind: PageKind::Histograms, bytes });
        let starts: Vec<i64> = rows.iter().map(|(_, (start_ms, _))| *start_ms).collect();
        if starts.iter().any(|start_ms| *start_ms != 0) {
            put_starts(&starts, times, out);
        }
    }
}

fn write_late(db: &Db, side: &[Arc<SideTables>], window: i64) -> Result<Option<String>, TsdbError> {
    let range = window_of(db, window);
    let of = |series: u32| {
        let mut all = std::collections::BTreeMap::new();
        for tables in side {
            for (t_ms, bits) in
                tables.late.get(&series).into_iter().flat_map(|all| all.range(range.0..=range.1))
            {
                all.entry(*t_ms).or_insert(*bits);
            }
        }
        all
    };
    let ids: RoaringBitmap = side.iter().flat_map(|tables| tables.late.keys().copied()).collect();
    let mut block = None;
    each_series(db, &ids, &mut block, &format!("late-{window}"), |series, out| {
        let samples = of(series);
        if samples.is_empty() {
            return;
        }
        let (times, values): (Vec<i64>, Vec<f64>) =
            samples.into_iter().map(|(t_ms, bits)| (t_ms, f64::from_bits(bits))).unzip();
        let times = TimesSlice { first: 0, len: times.len() as u32, column: Arc::new(times) };
        put_floats(db, series, &Floats { times, values }, out);
    })?;
    let compaction = Compaction { late: true, stored: next_stored(db), ..Compaction::default() };
    block.map(|writer| writer.finish(compaction)).transpose()
}

/// Lets go of what is in blocks now, in memory and of the log.
fn finish(db: &Db, now_ms: i64, sealing: &Sealing) -> Result<usize, TsdbError> {
    for (shared, page) in &sealing.pages {
        shared.lock().closed.retain(|closed| !Arc::ptr_eq(closed, page));
    }
    let before_ms = sealing.pages.iter().filter_map(|(_, page)| page.times.last_ms()).max();
    db.head.side.lock().sealed(&sealing.side, before_ms.unwrap_or(i64::MIN));
    let n_series = sweep::sweep(db, now_ms, false);
    db.metrics.series_removed.add(n_series);
    super::maintain::recount(db);
    let floor = encode_floor(sealing.boundary);
    let n_dead = {
        let mut log = db.log.lock();
        log.series.append(std::slice::from_ref(&floor), true)?;
        log.rows.remove_before(sealing.boundary)
    };
    if is_series_log_mostly_dead(db) {
        rewrite_series(db)?;
    }
    Ok(n_dead)
}

/// Whether more than half of the series log says what is no longer so.
fn is_series_log_mostly_dead(db: &Db) -> bool {
    /// What a series takes in the log, roughly; below this size nothing is worth it. Chosen.
    const SERIES_BYTES: u64 = 64;
    const LEAST_BYTES: u64 = 1 << 20;
    let n_bytes = db.log.lock().series.total_bytes();
    n_bytes > LEAST_BYTES && n_bytes > 2 * SERIES_BYTES * db.head.n_series() as u64
}

/// Writes the series log anew, of what lives.
fn rewrite_series(db: &Db) -> Result<(), TsdbError> {
    db.metrics.checkpoints.inc();
    let number = write_snapshot(db).inspect_err(|_| db.metrics.checkpoints_failed.inc())?;
    db.log.lock().series.remove_before(number);
    Ok(())
}

/// Writes what stands for all segments of the series log before the number it returns. Commits go on meanwhile, in
/// the segment of that number.
fn write_snapshot(db: &Db) -> Result<u64, TsdbError> {
    let (number, rows_number) = {
        let mut log = db.log.lock();
        let sync_old = log.series.sync_handle().is_some();
        log.series.roll(sync_old)?;
        (log.series.number(), log.rows.oldest())
    };
    let mut writer = SnapshotWriter::begin(&*db.dir, number)?;
    let ids: Vec<u32> = db.head.table.read().series.ids().into_iter().collect();
    for some in ids.chunks(LABELS_AT_ONCE) {
        let table = db.head.table.read();
        let known = |series: &u32| Some(NewSeries { series: *series, labels: table.series.labels(*series)? });
        let series: Vec<NewSeries> = some.iter().filter_map(known).collect();
        drop(table);
        writer.add(&series, &[])?;
    }
    let groups: Vec<SharedGroup> = db.head.table.read().groups.values().cloned().collect();
    // Former places first, so that the last one said is the one in use.
    for is_current in [false, true] {
        for shared in &groups {
            let columns = columns_of(db, shared, is_current);
            writer.add(&[], &columns)?;
        }
    }
    writer.finish(db.head.next_series.load(Ordering::Relaxed), &encode_floor(rows_number))?;
    Ok(number)
}

fn columns_of(db: &Db, shared: &SharedGroup, is_current: bool) -> Vec<NewColumn> {
    let table = db.head.table.read();
    let group = shared.lock();
    let of = |(idx, column): (usize, &crate::head::Column)| {
        let at = crate::head::Place { group: group.id, column: idx as u32 };
        let current = table.places.get(column.series) == Some(at);
        let wanted = column.series != crate::head::NO_SERIES && current == is_current;
        wanted.then(|| NewColumn {
            group: group.id,
            kind: group.kind,
            column: idx as u32,
            series: column.series,
        })
    };
    group.page.columns.iter().enumerate().filter_map(of).collect()
}
