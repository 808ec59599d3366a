//! What the store tells its caller: while and after opening, after maintenance, and when asked about its size.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// How far [`crate::Db::open`] is, for those who wait.
#[derive(Debug, Default)]
pub struct OpenProgress {
    step: AtomicU8,
    /// Of the log, in bytes.
    done: AtomicU64,
    total: AtomicU64,
}

/// What an open does, in this order; 0 is before all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenStep {
    Blocks = 1,
    Log,
    Sync,
    Rescue,
    Done,
}

impl OpenProgress {
    pub(crate) fn begin(&self, step: OpenStep) {
        self.step.store(step as u8, Ordering::Relaxed);
    }

    /// Bytes of the log to be read.
    pub(crate) fn expect(&self, n_bytes: u64) {
        self.total.store(n_bytes, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, n_bytes: usize) {
        self.done.fetch_add(n_bytes as u64, Ordering::Relaxed);
    }

    /// What is being done now, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let step = self.step.load(Ordering::Relaxed);
        let is = |other: OpenStep| step == other as u8;
        if is(OpenStep::Log) {
            let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
            // Records have heads and files ends that count for nothing.
            let percent = (done * 100).checked_div(total).unwrap_or(0).min(100);
            return format!("replaying the log: {percent} % of {} MB", total.div_ceil(1_000_000));
        }
        let text = match step {
            _ if is(OpenStep::Blocks) => "opening blocks",
            _ if is(OpenStep::Sync) => "waiting for the disk to have all of the log",
            _ if is(OpenStep::Rescue) => "writing what is whole of a damaged log to blocks",
            _ if is(OpenStep::Done) => "the data directory is open",
            _ => "opening the data directory",
        };
        text.to_owned()
    }
}

/// Something damaged that was moved out of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it was, relative to the data directory.
    pub path: String,
    /// Where it is now.
    pub moved_to: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What [`crate::Db::open`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Blocks opened.
    pub n_blocks: usize,
    /// WAL segments read.
    pub n_segments: usize,
    /// Series in the head.
    pub n_series: usize,
    /// Samples brought back into the head.
    pub n_samples: u64,
    /// Bytes of an unfinished write cut from the end of the WAL. Nothing acknowledged was in them.
    pub torn_bytes: u64,
    /// Samples in the WAL whose series was not; lost together with what was set aside.
    pub n_orphans: u64,
    /// What was damaged. Its data is not served.
    pub quarantined: Vec<Quarantined>,
    /// What is damaged and was left where it is, by [`crate::Db::open_to_look`]: file, and what is wrong with it.
    pub left_out: Vec<(String, String)>,
}

impl OpenReport {
    /// One line for the log for each thing an operator should know.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut lines: Vec<String> = (self.quarantined.iter())
            .map(|q| format!("{} is damaged ({}); moved to {}", q.path, q.reason, q.moved_to))
            .collect();
        let left_out = self.left_out.iter();
        lines.extend(left_out.map(|(path, reason)| format!("{path} is damaged ({reason}) and left out")));
        if self.torn_bytes > 0 {
            lines.push(format!("cut {} bytes of an unfinished write from the WAL", self.torn_bytes));
        }
        if self.n_orphans > 0 {
            lines.push(format!("{} samples in the WAL belong to no known series", self.n_orphans));
        }
        lines
    }
}

/// What [`crate::Db::maintain`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Names of blocks cut from the head.
    pub cut: Vec<String>,
    /// Names of blocks made from several smaller ones.
    pub compacted: Vec<String>,
    /// Names of blocks of roll-ups, each with its tier before it, as `5m/01HF…`.
    pub rolled_up: Vec<String>,
    /// Names of blocks removed by retention.
    pub expired: Vec<String>,
    /// What was found damaged in blocks since the last time: where, and what is wrong. Such blocks are served without
    /// it, and left out of compaction.
    pub damaged: Vec<String>,
    /// WAL segments removed after a checkpoint.
    pub n_segments_removed: usize,
}

/// A name and how often, or how large.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NamedCount {
    /// What is counted.
    pub name: String,
    /// How much.
    pub value: u64,
}

/// Sizes of the head, as `/api/v1/status/tsdb` shows them. Lists are sorted by falling value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series.
    pub n_series: u64,
    /// Distinct label pairs.
    pub n_label_pairs: u64,
    /// Chunks in memory.
    pub n_chunks: u64,
    /// First sample; `i64::MAX` when the head is empty, as Prometheus says it.
    pub min_time_ms: i64,
    /// Last sample; `i64::MIN` when the head is empty.
    pub max_time_ms: i64,
    /// Series for each metric name.
    pub series_by_metric_name: Vec<NamedCount>,
    /// Distinct values for each label name.
    pub values_by_label_name: Vec<NamedCount>,
    /// Bytes of values, counted once for each series that has them, for each label name.
    pub memory_by_label_name: Vec<NamedCount>,
    /// Series for each `name=value`.
    pub series_by_label_pair: Vec<NamedCount>,
}
