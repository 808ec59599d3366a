//! Series from elsewhere become a block beside the others: import and backfill.
//!
//! Writers are not held up: nothing of the head is touched. Where a block overlaps with others, readers and compaction join them.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Exemplar, Histogram, Labels, Metadata};
use storage::{Appender, Series, SeriesSet, StorageError};

use super::Db;
use super::append::DbAppender;
use crate::block::{BlockWriter, Compaction, PageIn, TimesSlice};
use crate::error::TsdbError;
use crate::page;
use crate::page::PageKind;

/// Rows of a page. Chosen: as many as two hours at 15 s have.
const PAGE_ROWS: usize = 480;

impl Db {
    /// Whether a block made from `source` is here, be it as a part of a larger one.
    #[must_use]
    pub fn has_source(&self, source: &str) -> bool {
        let blocks = self.blocks().read();
        blocks.iter().any(|block| block.meta().compaction.sources.iter().any(|one| one == source))
    }

    /// Writes `series`, which come by rising labels, to a block of its own that names `source` as where it came from.
    /// Returns the block's name; `None` when there was no sample. While series are read no lock is held, so that writers and
    /// maintenance go on; several calls may run at once.
    ///
    /// # Errors
    /// When the series cannot be read or the block cannot be written: then nothing of it is there.
    pub fn import(&self, source: &str, series: &mut dyn SeriesSet) -> Result<Option<String>, TsdbError> {
        // Two imports at once must not write to one folder.
        let number = self.n_imports.fetch_add(1, Ordering::Relaxed);
        let mut writer = BlockWriter::begin(Arc::clone(&self.dir), &format!("import-{number}"))?;
        match fill(&mut writer, series) {
            Ok(0) => {
                writer.abandon();
                return Ok(None);
            }
            Ok(_) => {}
            Err(err) => {
                writer.abandon();
                return Err(err);
            }
        }
        let _alone = self.maintenance.lock();
        if self.closed.load(Ordering::Acquire) {
            writer.abandon();
            return Err(TsdbError::Closed);
        }
        let compaction = Compaction {
            level: 1,
            sources: vec![source.to_owned()],
            stored: super::compact::next_stored(self),
            ..Compaction::default()
        };
        let name = writer.finish(compaction)?;
        super::compact::publish(self, std::slice::from_ref(&name), &[])?;
        Ok(Some(name))
    }
}

impl Db {
    /// Takes over what stands beside samples elsewhere. Exemplars that are here are passed over, and so is metadata of families that a
    /// writer has spoken of here. Exemplars stay while their series has samples in memory, or until the next seal. Returns how many
    /// were taken.
    ///
    /// # Errors
    /// When the log cannot be written: then no exemplar is taken.
    pub fn import_beside(
        &self,
        exemplars: &[(Labels, Exemplar)],
        metadata: &BTreeMap<String, Metadata>,
    ) -> Result<u64, StorageError> {
        {
            let mut known = self.head().metadata.lock();
            for (name, said) in metadata {
                if !known.all().contains_key(name) {
                    known.put(name, said);
                }
            }
        }
        let here: HashSet<(u32, i64)> =
            self.head().exemplars.lock().iter().map(|(series, one)| (*series, one.t_ms)).collect();
        let mut appender = DbAppender::new(self, 0);
        let taken = exemplars.iter().filter(|(labels, one)| appender.take_exemplar(labels, one, &here));
        let n_taken = taken.count() as u64;
        Box::new(appender).commit()?;
        Ok(n_taken)
    }
}

/// Returns how many series had samples.
pub(crate) fn fill(writer: &mut BlockWriter, set: &mut dyn SeriesSet) -> Result<u64, TsdbError> {
    let mut n_series = 0;
    // Series of a target come together and have the same times: one column is then shared by pointer.
    let mut times: Option<Arc<Vec<i64>>> = None;
    while let Some(mut series) =
        set.next().map_err(|err| TsdbError::corrupt(Path::new("import"), err.to_string()))?
    {
        if series.is_empty() {
            continue;
        }
        match &times {
            Some(last) if **last == *series.timestamps => series.timestamps = Arc::clone(last),
            _ => times = Some(Arc::clone(&series.timestamps)),
        }
        let mut pages = float_pages(&series);
        pages.extend(histogram_pages(&series));
        writer.add(&series.labels, &pages)?;
        n_series += 1;
    }
    Ok(n_series)
}

fn float_pages(series: &Series) -> Vec<PageIn> {
    let mut pages = Vec::new();
    for (idx, values) in series.values.chunks(PAGE_ROWS).enumerate() {
        let first = idx * PAGE_ROWS;
        let slice = || TimesSlice {
            column: Arc::clone(&series.timestamps),
            first: first as u32,
            len: values.len() as u32,
        };
        let mut bytes = Vec::new();
        page::encode_values(values, &mut bytes);
        pages.push(PageIn { times: slice(), kind: PageKind::Floats, bytes });
        let starts = series.starts.get(first..first + values.len()).unwrap_or_default();
        if starts.iter().any(|start_ms| *start_ms != 0) {
            let mut bytes = Vec::new();
            page::encode_starts(starts, &mut bytes);
            pages.push(PageIn { times: slice(), kind: PageKind::Starts, bytes });
        }
    }
    pages
}

fn histogram_pages(series: &Series) -> Vec<PageIn> {
    let column = Arc::new(series.histograms.iter().map(|sample| sample.t_ms).collect::<Vec<_>>());
    let mut pages = Vec::new();
    for (idx, samples) in series.histograms.chunks(PAGE_ROWS).enumerate() {
        let slice = || TimesSlice {
            column: Arc::clone(&column),
            first: (idx * PAGE_ROWS) as u32,
            len: samples.len() as u32,
        };
        let histograms: Vec<&Histogram> = samples.iter().map(|sample| &*sample.histogram).collect();
        let mut bytes = Vec::new();
        page::encode_histograms(&histograms, &mut bytes);
        pages.push(PageIn { times: slice(), kind: PageKind::Histograms, bytes });
        let starts: Vec<i64> = samples.iter().map(|sample| sample.start_ms).collect();
        if starts.iter().any(|start_ms| *start_ms != 0) {
            let mut bytes = Vec::new();
            page::encode_starts(&starts, &mut bytes);
            pages.push(PageIn { times: slice(), kind: PageKind::Starts, bytes });
        }
    }
    pages
}
