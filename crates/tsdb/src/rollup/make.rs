//! Makes blocks of rows out of raw blocks: one pass over the samples, a block for each tier.

use std::sync::Arc;

use model::{Labels, TimeRange};
use stdx::Dir;
use storage::{HistogramSample, QueryError, Series, SeriesSet as _};

use super::rows::{COLUMNS, Rows, thinned};
use crate::block::{Block, BlockWriter, Compaction, PageIn, RolledUpFrom, TimesSlice};
use crate::compact::PageRows;
use crate::error::TsdbError;
use crate::merged::select_blocks;
use crate::page;
use crate::page::PageKind;

/// Rows of a page. Chosen: as compaction makes them.
const PAGE_ROWS: usize = 480;

/// What to roll up.
pub(crate) struct Stretch<'a> {
    /// Raw blocks, in the order in which the sample of the first counts.
    pub(crate) blocks: &'a [Arc<Block>],
    /// Multiples of every interval, but for the very beginning; the second is exclusive.
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    /// Series that are not rolled up.
    pub(crate) is_left_out: &'a dyn Fn(&Labels) -> bool,
    /// Rows that are there already stay.
    pub(crate) late: bool,
}

/// Where to.
struct Target {
    interval_ms: i64,
    writer: BlockWriter,
    times: SharedTimes,
}

/// Writes a block for each of `tiers`, folders and intervals. Returns its name for each; none where there was no row.
pub(crate) fn roll_up(
    stretch: &Stretch<'_>,
    tiers: &[(Arc<dyn Dir>, i64)],
) -> Result<Vec<Option<String>>, TsdbError> {
    let mut targets = Vec::new();
    for (dir, interval_ms) in tiers {
        let (interval_ms, times) = (*interval_ms, SharedTimes::default());
        let writer = BlockWriter::begin(Arc::clone(dir), "roll-up")?;
        targets.push(Target { interval_ms, writer, times });
    }
    let written = write_rows(stretch, &mut targets);
    let mut names = Vec::new();
    for target in targets {
        if written.is_err() || target.writer.is_empty() {
            target.writer.abandon();
            names.push(None);
            continue;
        }
        let rollup =
            RolledUpFrom { interval_ms: target.interval_ms, covers: vec![(stretch.from_ms, stretch.to_ms)] };
        let compaction = Compaction { late: stretch.late, rollup: Some(rollup), ..Compaction::default() };
        names.push(Some(target.writer.finish(compaction)?));
    }
    written.map(|()| names)
}

fn write_rows(stretch: &Stretch<'_>, targets: &mut [Target]) -> Result<(), TsdbError> {
    let range = TimeRange::new(stretch.from_ms, stretch.to_ms.saturating_sub(1));
    let mut set = select_blocks(stretch.blocks, range).map_err(unreadable)?;
    while let Some(series) = set.next().map_err(unreadable)? {
        if (stretch.is_left_out)(&series.labels) {
            continue;
        }
        for target in &mut *targets {
            let pages = pages(&series, target.interval_ms, &mut target.times);
            target.writer.add(&series.labels, &pages)?;
        }
    }
    Ok(())
}

fn unreadable(err: QueryError) -> TsdbError {
    match err {
        QueryError::Storage(storage::StorageError::Io { source, .. }) => {
            TsdbError::io("read", std::path::Path::new("blocks"))(source)
        }
        other => TsdbError::corrupt(std::path::Path::new("blocks"), other.to_string()),
    }
}

/// Pages and columns of series that have the same rows.
#[derive(Default)]
struct SharedTimes {
    times: Vec<i64>,
    columns: Vec<Arc<Vec<i64>>>,
}

impl SharedTimes {
    /// One column for each page, so that a reader decodes no more than it needs.
    fn columns(&mut self, times: &[i64]) -> &[Arc<Vec<i64>>] {
        if self.times != times {
            self.times = times.to_vec();
            self.columns = times.chunks(PAGE_ROWS).map(|part| Arc::new(part.to_vec())).collect();
        }
        &self.columns
    }
}

fn pages(series: &Series, interval_ms: i64, shared: &mut SharedTimes) -> Vec<PageIn> {
    let rows = Rows::of(&series.timestamps, &series.values, interval_ms);
    let columns = shared.columns(&rows.times);
    let mut pages = Vec::new();
    let mut put = |kind: PageKind, values: &[f64]| {
        for (values, column) in values.chunks(PAGE_ROWS).zip(columns) {
            let mut bytes = Vec::new();
            page::encode_values(values, &mut bytes);
            let times = TimesSlice { column: Arc::clone(column), first: 0, len: values.len() as u32 };
            pages.push(PageIn { times, kind, bytes });
        }
    };
    put(PageKind::Floats, &rows.last);
    COLUMNS.iter().zip(&rows.columns).for_each(|(kind, values)| put(*kind, values));
    if !series.histograms.is_empty() {
        let histograms = thinned(&series.histograms, interval_ms);
        put_histograms(&histograms, &mut pages);
    }
    pages
}

fn put_histograms(samples: &[HistogramSample], pages: &mut Vec<PageIn>) {
    let rows = PageRows::of_histograms(
        samples.iter().map(|sample| sample.t_ms).collect(),
        samples.iter().map(|sample| (*sample.histogram).clone()).collect(),
    );
    let times = rows.times();
    let mut from = 0;
    while from < times.len() {
        let to = rows.page_end(from, times.len().min(from + PAGE_ROWS));
        let (bytes, _) = rows.encode(PageKind::Histograms, from, to);
        let column = Arc::new(times[from..to].to_vec());
        let slice = TimesSlice { column, first: 0, len: (to - from) as u32 };
        pages.push(PageIn { times: slice, kind: PageKind::Histograms, bytes });
        from = to;
    }
}
