//! What does not fit rows of floats: late samples, native histograms, start timestamps. Float series in order pay nothing for it.
//!
//! In from `commit` and replay; out to `query` and the seal. Behind one lock, of which in-order ingest takes no notice.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Histogram;

use super::ByNumber;

/// A histogram and since when it counts; 0 when not known.
pub(crate) type StoredHistogram = (i64, Arc<Histogram>);

/// Samples beside the rows, until a seal takes them.
#[derive(Debug, Default)]
pub(crate) struct SideTables {
    /// By series and time; bits.
    pub(crate) late: ByNumber<BTreeMap<i64, u64>>,
    pub(crate) histograms: ByNumber<BTreeMap<i64, StoredHistogram>>,
    /// What was stored first where a row has something else, by series and time; bits. Stands in place of the row's.
    pub(crate) firsts: ByNumber<BTreeMap<i64, u64>>,
}

impl SideTables {
    pub(crate) fn is_empty(&self) -> bool {
        self.late.is_empty() && self.histograms.is_empty() && self.firsts.is_empty()
    }
}

/// Start timestamps of a series: each holds from its time on.
#[derive(Debug, Default, Clone)]
pub(crate) struct Starts {
    /// The seal since which the log has it.
    pub(crate) epoch: u32,
    /// Time and start, by rising time.
    pub(crate) changes: Vec<(i64, i64)>,
}

impl Starts {
    pub(crate) fn at(&self, t_ms: i64) -> i64 {
        let idx = self.changes.partition_point(|(from_ms, _)| *from_ms <= t_ms);
        if idx == 0 { 0 } else { self.changes[idx - 1].1 }
    }

    pub(crate) fn put(&mut self, t_ms: i64, start_ms: i64) {
        match self.changes.binary_search_by_key(&t_ms, |(from_ms, _)| *from_ms) {
            Ok(idx) => self.changes[idx].1 = start_ms,
            Err(idx) => self.changes.insert(idx, (t_ms, start_ms)),
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) open: SideTables,
    /// Being sealed, oldest first; still read.
    pub(crate) sealing: Vec<Arc<SideTables>>,
    pub(crate) starts: ByNumber<Starts>,
    /// Time of the newest histogram of each series that has any.
    pub(crate) newest_histogram: ByNumber<i64>,
}

impl Side {
    fn tables(&self) -> impl Iterator<Item = &SideTables> {
        self.sealing.iter().map(|tables| &**tables).chain([&self.open])
    }

    /// The sample beside the rows at this time, or in place of a row's.
    pub(crate) fn late_at(&self, series: u32, t_ms: i64) -> Option<u64> {
        let first = self.tables().find_map(|tables| tables.firsts.get(&series)?.get(&t_ms));
        first.or_else(|| self.tables().find_map(|tables| tables.late.get(&series)?.get(&t_ms))).copied()
    }

    /// Time of the newest late sample of a series.
    pub(crate) fn newest_late(&self, series: u32) -> Option<i64> {
        self.tables()
            .filter_map(|tables| tables.late.get(&series)?.last_key_value())
            .map(|(t_ms, _)| *t_ms)
            .max()
    }

    pub(crate) fn histogram_at(&self, series: u32, t_ms: i64) -> Option<&StoredHistogram> {
        self.tables().find_map(|tables| tables.histograms.get(&series)?.get(&t_ms))
    }

    /// Late samples of a series.
    pub(crate) fn late_of(&self, series: u32) -> BTreeMap<i64, u64> {
        let parts = self.tables().filter_map(|tables| tables.late.get(&series));
        parts.flatten().map(|(t_ms, bits)| (*t_ms, *bits)).collect()
    }

    /// What stands in place of values in rows of a series.
    pub(crate) fn firsts_of(&self, series: u32) -> BTreeMap<i64, u64> {
        let parts = self.tables().filter_map(|tables| tables.firsts.get(&series));
        parts.flatten().map(|(t_ms, bits)| (*t_ms, *bits)).collect()
    }

    /// Histograms of a series.
    pub(crate) fn histograms_of(&self, series: u32) -> BTreeMap<i64, StoredHistogram> {
        let parts = self.tables().filter_map(|tables| tables.histograms.get(&series));
        parts.flatten().map(|(t_ms, stored)| (*t_ms, stored.clone())).collect()
    }

    pub(crate) fn has_samples(&self, series: u32) -> bool {
        self.tables().any(|tables| {
            tables.late.contains_key(&series)
                || tables.histograms.contains_key(&series)
                || tables.firsts.contains_key(&series)
        })
    }

    pub(crate) fn put_late(&mut self, series: u32, t_ms: i64, bits: u64) {
        self.open.late.entry(series).or_default().entry(t_ms).or_insert(bits);
    }

    pub(crate) fn put_first(&mut self, series: u32, t_ms: i64, bits: u64) {
        self.open.firsts.entry(series).or_default().entry(t_ms).or_insert(bits);
    }

    pub(crate) fn put_histogram(&mut self, series: u32, t_ms: i64, stored: StoredHistogram) {
        self.open.histograms.entry(series).or_default().entry(t_ms).or_insert(stored);
        let newest = self.newest_histogram.entry(series).or_insert(t_ms);
        *newest = (*newest).max(t_ms);
    }

    /// Moves the open tables where they are read until [`Side::sealed`].
    pub(crate) fn begin_seal(&mut self) -> Vec<Arc<SideTables>> {
        if !self.open.is_empty() {
            self.sealing.push(Arc::new(std::mem::take(&mut self.open)));
        }
        self.sealing.clone()
    }

    /// Drops what was sealed; of starts stays what still holds.
    pub(crate) fn sealed(&mut self, done: &[Arc<SideTables>], before_ms: i64) {
        self.sealing.retain(|tables| done.iter().all(|done| !Arc::ptr_eq(done, tables)));
        for starts in self.starts.values_mut() {
            let gone = starts.changes.partition_point(|(from_ms, _)| *from_ms <= before_ms).saturating_sub(1);
            starts.changes.drain(..gone);
        }
    }

    /// First and last time of late samples and histograms.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        let firsts_and_lasts = self.tables().flat_map(|tables| {
            let late = tables
                .late
                .values()
                .filter_map(|one| Some((*one.first_key_value()?.0, *one.last_key_value()?.0)));
            let histograms = tables
                .histograms
                .values()
                .filter_map(|one| Some((*one.first_key_value()?.0, *one.last_key_value()?.0)));
            late.chain(histograms)
        });
        firsts_and_lasts.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// First time of a histogram; `i64::MAX` for none.
    pub(crate) fn oldest_histogram_ms(&self) -> i64 {
        let firsts = self.tables().flat_map(|tables| tables.histograms.values());
        firsts.filter_map(|one| Some(*one.first_key_value()?.0)).min().unwrap_or(i64::MAX)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        // A map's entry with its share of nodes; a histogram as exponential ones of some twenty buckets take.
        const LATE_BYTES: usize = 24;
        const HISTOGRAM_BYTES: usize = 600;
        let of = |tables: &SideTables| {
            let floats = tables.late.values().chain(tables.firsts.values());
            let late: usize = floats.map(|one| 64 + one.len() * LATE_BYTES).sum();
            let histograms: usize =
                tables.histograms.values().map(|one| 64 + one.len() * HISTOGRAM_BYTES).sum();
            late + histograms
        };
        let starts: usize = self.starts.values().map(|one| 64 + one.changes.capacity() * 16).sum();
        self.tables().map(of).sum::<usize>() + starts
    }
}
