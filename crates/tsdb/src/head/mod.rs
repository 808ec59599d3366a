//! The newest samples, in memory: what was committed and is not in a block yet.
//!
//! In from [`appender`] after the WAL has a batch, and from replay; out to `query` as snapshots and to `compact` as
//! chunks. One lock over everything: a commit is applied under its write half, a reader takes its snapshot under the
//! read half, so that **a reader sees all of a batch or nothing of it**.
//! Invariant: every sample here is in the WAL or in its checkpoint.

mod appender;
mod series;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use model::{Labels, Matcher, TimeRange};

use crate::index::{LabelIndex, MemIndex, label_names, label_values, resolve};
use crate::report::Stats;
use crate::wal::{CheckpointSeries, NewSeries, WalSample};

pub(crate) use appender::DbAppender;
pub(crate) use series::{MemChunk, Series};

/// Series numbers are counted up, so multiplying spreads them well enough.
#[derive(Debug, Default, Clone)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

pub(crate) type ByNumber<T> = HashMap<u64, T, BuildHasherDefault<NumberHasher>>;

/// A series as a reader holds it: its chunks are shared, the open one is copied.
#[derive(Debug)]
pub(crate) struct SeriesSnapshot {
    pub(crate) number: u64,
    pub(crate) labels: Labels,
    pub(crate) chunks: Vec<MemChunk>,
}

/// Why a sample cannot be taken at commit, or that it is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Take,
    /// Same time, same bits: silently fine.
    AlreadyThere,
    OutOfOrder,
    Duplicate,
}

/// Everything in the head.
#[derive(Debug)]
pub(crate) struct Head {
    block_ms: i64,
    ahead_max_ms: i64,
    series: ByNumber<Box<Series>>,
    by_labels: HashTable<(u64, u64)>,
    hasher: DefaultHashBuilder,
    index: MemIndex,
    /// Series that came in under another number before, from replay: old number → the one in use.
    aliases: ByNumber<u64>,
    next_series: u64,
    n_chunks: u64,
    min_ms: i64,
    max_ms: i64,
}

impl Head {
    pub(crate) fn new(block_ms: i64, ahead_max_ms: i64) -> Self {
        Self {
            block_ms,
            ahead_max_ms,
            series: HashMap::default(),
            by_labels: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            index: MemIndex::default(),
            aliases: HashMap::default(),
            next_series: 1,
            n_chunks: 0,
            min_ms: i64::MAX,
            max_ms: i64::MIN,
        }
    }

    pub(crate) fn n_series(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn n_chunks(&self) -> u64 {
        self.n_chunks
    }

    /// First and last sample; `i64::MAX, i64::MIN` when empty.
    pub(crate) fn span(&self) -> (i64, i64) {
        (self.min_ms, self.max_ms)
    }

    pub(crate) fn next_series(&self) -> u64 {
        self.next_series
    }

    pub(crate) fn reserve_numbers(&mut self, below: u64) {
        self.next_series = self.next_series.max(below);
    }

    /// Samples before this are too old: half a block behind the newest one, as in Prometheus.
    ///
    /// What lies further ahead of the clock than allowed came from a clock that was wrong, and does not count.
    pub(crate) fn floor_ms(&self, now_ms: i64) -> i64 {
        if self.max_ms == i64::MIN {
            return i64::MIN;
        }
        self.trusted_max_ms(now_ms).saturating_sub(self.block_ms / 2)
    }

    /// The newest sample; now, when a clock that was wrong made that one.
    pub(crate) fn trusted_max_ms(&self, now_ms: i64) -> i64 {
        let wrong_clock = self.max_ms > now_ms.saturating_add(self.ahead_max_ms);
        if wrong_clock { now_ms } else { self.max_ms }
    }

    /// The series with these labels, by the number that the caller remembers or by look-up.
    pub(crate) fn find(&self, known: Option<u64>, labels: &Labels) -> Option<(u64, &Series)> {
        if let Some(number) = known
            && let Some(series) = self.series.get(&number)
            && series.labels == *labels
        {
            return Some((number, series));
        }
        let hash = self.hasher.hash_one(labels);
        let same = |entry: &(u64, u64)| {
            entry.0 == hash && self.series.get(&entry.1).is_some_and(|series| series.labels == *labels)
        };
        let (_, number) = *self.by_labels.find(hash, same)?;
        Some((number, self.series.get(&number)?))
    }

    /// Whether `series` takes this sample. One rule for append and commit.
    ///
    /// A newest sample further ahead of the clock than allowed came from a wrong clock and does not hold up the series.
    pub(crate) fn judge(&self, last: Option<(i64, u64)>, t_ms: i64, value: f64, now_ms: i64) -> Verdict {
        match last {
            Some((last_ms, bits)) if t_ms == last_ms => {
                if bits == value.to_bits() {
                    Verdict::AlreadyThere
                } else {
                    Verdict::Duplicate
                }
            }
            Some((last_ms, _)) if t_ms < last_ms => {
                let wrong_clock = last_ms > now_ms.saturating_add(self.ahead_max_ms);
                if wrong_clock { Verdict::Take } else { Verdict::OutOfOrder }
            }
            _ => Verdict::Take,
        }
    }

    /// Adds a series, or gives its labels' series another number beside the one it has.
    pub(crate) fn insert(&mut self, new: &NewSeries) {
        self.next_series = self.next_series.max(new.series.saturating_add(1));
        if let Some((number, _)) = self.find(Some(new.series), &new.labels) {
            if number != new.series {
                self.aliases.insert(new.series, number);
            }
            return;
        }
        let hash = self.hasher.hash_one(&new.labels);
        self.index.insert(new.series, &new.labels);
        self.by_labels.insert_unique(hash, (hash, new.series), |entry| entry.0);
        self.series.insert(new.series, Box::new(Series::new(new.labels.clone())));
    }

    /// Applies samples that were judged before and are in the WAL. Returns how many belong to no series.
    pub(crate) fn apply(&mut self, samples: &[WalSample]) -> u64 {
        let mut n_orphans = 0;
        for sample in samples {
            let number = match self.series.contains_key(&sample.series) {
                true => sample.series,
                false => self.aliases.get(&sample.series).copied().unwrap_or(sample.series),
            };
            let Some(series) = self.series.get_mut(&number) else {
                n_orphans += 1;
                continue;
            };
            self.n_chunks += u64::from(series.push(sample.t_ms, sample.value, self.block_ms));
            self.min_ms = self.min_ms.min(sample.t_ms);
            self.max_ms = self.max_ms.max(sample.t_ms);
        }
        n_orphans
    }

    /// A series of a checkpoint. Returns its samples, or what is wrong with a chunk; good chunks before it stay.
    pub(crate) fn restore(
        &mut self,
        new: &NewSeries,
        chunks: &[&[u8]],
    ) -> Result<u64, crate::chunk::ChunkError> {
        self.insert(new);
        let number = self.aliases.get(&new.series).copied().unwrap_or(new.series);
        let Some(series) = self.series.get_mut(&number) else { return Ok(0) };
        let mut n_samples = 0;
        for (idx, chunk) in chunks.iter().enumerate() {
            let span = series.restore(chunk, idx + 1 == chunks.len())?;
            self.n_chunks += 1;
            self.min_ms = self.min_ms.min(span.first_ms);
            self.max_ms = self.max_ms.max(span.last_ms);
            n_samples += crate::chunk::n_samples(chunk)? as u64;
        }
        Ok(n_samples)
    }

    /// The series that match, with their chunks that overlap `range`; not sorted.
    pub(crate) fn snapshot(&self, matchers: &[Matcher], range: TimeRange) -> Vec<SeriesSnapshot> {
        if !range.overlaps(TimeRange::new(self.min_ms, self.max_ms)) {
            return Vec::new();
        }
        let numbers = resolve(&self.index, matchers);
        let take = |number: u64| {
            let series = self.series.get(&number)?;
            let chunks = series.chunks_in(range);
            (!chunks.is_empty()).then(|| SeriesSnapshot { number, labels: series.labels.clone(), chunks })
        };
        numbers.into_iter().filter_map(take).collect()
    }

    /// All series with chunks that begin in `range`, for a block; not sorted.
    pub(crate) fn cut_snapshot(&self, range: TimeRange) -> Vec<SeriesSnapshot> {
        let mut all = Vec::new();
        for (number, series) in &self.series {
            let chunks = series.chunks_from(range);
            if !chunks.is_empty() {
                all.push(SeriesSnapshot { number: *number, labels: series.labels.clone(), chunks });
            }
        }
        all
    }

    /// The names of labels on series that match and have samples in `range`.
    pub(crate) fn label_names(&self, matchers: &[Matcher], range: TimeRange, out: &mut BTreeSet<String>) {
        if let Some(among) = self.among(matchers, range) {
            label_names(&self.index, among.as_deref(), out);
        }
    }

    /// The values of `name` on series that match and have samples in `range`.
    pub(crate) fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        out: &mut BTreeSet<String>,
    ) {
        if let Some(among) = self.among(matchers, range) {
            label_values(&self.index, name, among.as_deref(), out);
        }
    }

    /// `None` when the range misses the head, `Some(None)` for all series.
    fn among(&self, matchers: &[Matcher], range: TimeRange) -> Option<Option<Vec<u64>>> {
        if !range.overlaps(TimeRange::new(self.min_ms, self.max_ms)) {
            return None;
        }
        Some((!matchers.is_empty()).then(|| resolve(&self.index, matchers)))
    }

    /// All series with all chunks, for a checkpoint.
    pub(crate) fn checkpoint(&self) -> Vec<CheckpointSeries> {
        let all = self.index.all();
        let take = |number: u64| {
            let series = self.series.get(&number)?;
            let chunks = series.chunks_in(TimeRange::ALL).into_iter().map(|chunk| chunk.bytes).collect();
            Some(CheckpointSeries { series: number, labels: series.labels.clone(), chunks })
        };
        all.into_iter().filter_map(take).collect()
    }

    /// The lowest block range that has chunks.
    pub(crate) fn first_range(&self) -> Option<TimeRange> {
        (self.min_ms <= self.max_ms).then(|| range_of(self.min_ms, self.block_ms))
    }

    /// Removes the chunks of `range` that end no later than `cut` says for their series, and series left without any.
    ///
    /// A chunk that grew since is kept whole: readers take samples once. Returns how many series went.
    pub(crate) fn truncate(&mut self, range: TimeRange, cut: &BTreeMap<u64, u64>) -> usize {
        for (number, n_samples) in cut {
            if let Some(series) = self.series.get_mut(number) {
                self.n_chunks -= series.truncate(range, *n_samples) as u64;
            }
        }
        let mut gone = BTreeMap::new();
        for (number, series) in self.series.iter().filter(|(_, series)| series.is_empty()) {
            gone.insert(*number, series.labels.clone());
        }
        for (number, labels) in &gone {
            self.series.remove(number);
            let hash = self.hasher.hash_one(labels);
            if let Ok(entry) = self.by_labels.find_entry(hash, |entry| entry.1 == *number) {
                entry.remove();
            }
        }
        self.index.remove(&gone);
        self.aliases.retain(|_, number| !gone.contains_key(number));
        self.recompute_span();
        gone.len()
    }

    fn recompute_span(&mut self) {
        let spans = self.series.values().filter_map(|series| series.span());
        let (mut min_ms, mut max_ms) = (i64::MAX, i64::MIN);
        for span in spans {
            (min_ms, max_ms) = (min_ms.min(span.first_ms), max_ms.max(span.last_ms));
        }
        (self.min_ms, self.max_ms) = (min_ms, max_ms);
    }

    pub(crate) fn stats(&self, limit: usize) -> Stats {
        let mut stats = Stats {
            n_series: self.series.len() as u64,
            n_chunks: self.n_chunks,
            min_time_ms: self.min_ms,
            max_time_ms: self.max_ms,
            ..Stats::default()
        };
        self.index.stats(limit, &mut stats);
        stats
    }
}

/// The block range of `block_ms` that holds `t_ms`.
pub(crate) fn range_of(t_ms: i64, block_ms: i64) -> TimeRange {
    let start_ms = t_ms.saturating_sub(t_ms.rem_euclid(block_ms));
    TimeRange::new(start_ms, start_ms.saturating_add(block_ms - 1))
}

/// Shared by everything that holds a finished chunk.
pub(crate) type ChunkBytes = Arc<[u8]>;
