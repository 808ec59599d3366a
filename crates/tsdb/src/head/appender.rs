//! One batch: judged at append, judged again at commit, written to the WAL, then applied and visible.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use model::Labels;
use storage::{AppendError, AppendStats, Appender, SeriesRef, StorageError};

use super::{ByNumber, Verdict};
use crate::db::Db;
use crate::options::Durability;
use crate::wal::{NewSeries, WalSample, encode_batch};

/// A sample on its way.
struct Pending {
    sample: WalSample,
    /// Kept since the series may leave the head before the commit.
    labels: Labels,
}

/// A batch being collected. Nothing of it is visible or written yet.
pub(crate) struct DbAppender<'a> {
    db: &'a Db,
    now_ms: i64,
    batch: Vec<Pending>,
    /// Series that were not in the head when they came up, and the number they will get.
    new_series: HashMap<Labels, u64>,
}

impl<'a> DbAppender<'a> {
    pub(crate) fn new(db: &'a Db, now_ms: i64) -> Self {
        Self { db, now_ms, batch: Vec::new(), new_series: HashMap::new() }
    }

    fn number_for_new(&mut self, labels: &Labels, n_in_head: usize) -> Result<u64, AppendError> {
        if let Some(number) = self.new_series.get(labels) {
            return Ok(*number);
        }
        if (n_in_head + self.new_series.len()) as u64 >= self.db.options().series_max {
            self.db.metrics().series_limit.inc();
            return Err(AppendError::SeriesLimit);
        }
        let number = self.db.take_series_number();
        self.new_series.insert(labels.clone(), number);
        Ok(number)
    }

    /// Keeps what the head takes now, in the order of the batch.
    fn judge_again(&self) -> (Vec<NewSeries>, Vec<WalSample>, AppendStats) {
        let head = self.db.head().read();
        let floor_ms = head.floor_ms(self.now_ms);
        let series_max = usize::try_from(self.db.options().series_max).unwrap_or(usize::MAX);
        let room = series_max.saturating_sub(head.n_series());
        let mut stats = AppendStats::default();
        let mut series = Vec::new();
        let mut samples = Vec::with_capacity(self.batch.len());
        // What this very batch adds, should a series come twice.
        let mut newest: ByNumber<(i64, u64)> = ByNumber::default();
        newest.reserve(self.batch.len());
        for Pending { sample, labels } in &self.batch {
            let found = head.find(Some(sample.series), labels);
            let number = found.map_or(sample.series, |(number, _)| number);
            let added = newest.get(&number).copied();
            let last = added.or_else(|| found.and_then(|(_, series)| series.last()));
            let is_new = found.is_none() && added.is_none();
            let verdict = head.judge(last, sample.t_ms, sample.value, self.now_ms);
            if verdict == Verdict::AlreadyThere {
                stats.n_samples += 1;
                continue;
            }
            if verdict != Verdict::Take || sample.t_ms < floor_ms || (is_new && series.len() >= room) {
                stats.n_refused += 1;
                continue;
            }
            if is_new {
                series.push(NewSeries { series: number, labels: labels.clone() });
            }
            newest.insert(number, (sample.t_ms, sample.value.to_bits()));
            samples.push(WalSample { series: number, ..*sample });
        }
        stats.n_samples += samples.len() as u64;
        stats.n_new_series = series.len() as u64;
        (series, samples, stats)
    }
}

impl Appender for DbAppender<'_> {
    fn append(
        &mut self,
        known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        if labels.is_empty() {
            return Err(AppendError::NoName);
        }
        let db = self.db;
        let head = db.head().read();
        let too_far = t_ms > self.now_ms.saturating_add(db.options().ahead_max_ms);
        if too_far || t_ms < head.floor_ms(self.now_ms) {
            db.metrics().out_of_bounds.inc();
            return Err(AppendError::OutOfBounds);
        }
        let series = match head.find(known.map(|known| known.0), labels) {
            Some((number, series)) => {
                match head.judge(series.last(), t_ms, value, self.now_ms) {
                    Verdict::Take | Verdict::AlreadyThere => {}
                    Verdict::OutOfOrder => {
                        db.metrics().out_of_order.inc();
                        return Err(AppendError::OutOfOrder);
                    }
                    Verdict::Duplicate => {
                        db.metrics().out_of_order.inc();
                        return Err(AppendError::DuplicateForTimestamp);
                    }
                }
                number
            }
            None => self.number_for_new(labels, head.n_series())?,
        };
        let sample = WalSample { series, t_ms, value };
        self.batch.push(Pending { sample, labels: labels.clone() });
        Ok(SeriesRef(series))
    }

    fn commit(self: Box<Self>) -> Result<AppendStats, StorageError> {
        let db = self.db;
        let mut wal = db.wal().lock();
        if db.closed().load(Ordering::Acquire) {
            return Err(StorageError::Closed);
        }
        let (series, samples, stats) = self.judge_again();
        if series.is_empty() && samples.is_empty() {
            db.metrics().out_of_order.add(stats.n_refused);
            return Ok(stats);
        }
        let strict = db.options().durability == Durability::Strict;
        let n_bytes = wal.append(&encode_batch(&series, &samples), strict).inspect_err(|_| {
            db.metrics().commits_failed.inc();
        })?;
        {
            let mut head = db.head().write();
            series.iter().for_each(|new| head.insert(new));
            head.apply(&samples);
            db.metrics().head_series.set(head.n_series() as f64);
            db.metrics().head_chunks.set(head.n_chunks() as f64);
            let (min_ms, max_ms) = head.span();
            db.metrics().head_min_time_ms.set(min_ms as f64);
            db.metrics().head_max_time_ms.set(max_ms as f64);
        }
        db.metrics().samples_appended.add(samples.len() as u64);
        db.metrics().series_created.add(series.len() as u64);
        db.metrics().out_of_order.add(stats.n_refused);
        db.metrics().wal_written_bytes.add(n_bytes);
        db.metrics().wal_bytes.set(wal.total_bytes() as f64);
        db.metrics().wal_segment.set(wal.number() as f64);
        Ok(stats)
    }
}
