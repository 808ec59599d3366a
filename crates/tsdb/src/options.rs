//! What an operator may set about the store, with the defaults.

use std::sync::Arc;

use model::{Labels, Matcher};
use stdx::metrics::Registry;

use crate::report::OpenProgress;

/// Two hours, the length of blocks cut from the head. From Prometheus.
pub(crate) const BLOCK_MS_DEFAULT: i64 = 2 * 60 * 60 * 1000;
/// Fifteen days. From Prometheus.
pub(crate) const RETENTION_MS_DEFAULT: i64 = 15 * 24 * 60 * 60 * 1000;
/// Series the head takes before it refuses new ones. Chosen: six times the fleet of `cargo xtask bench fleet`; on most machines the
/// memory budget refuses sooner, and this holds where there is none.
pub(crate) const SERIES_MAX_DEFAULT: u64 = 20_000_000;
/// Bytes after which the WAL begins a new segment. Chosen: replay holds one segment in memory.
pub(crate) const SEGMENT_BYTES_DEFAULT: u64 = 32 << 20;
/// How far ahead of the clock a sample may lie. From Prometheus' scrape loop.
pub(crate) const AHEAD_MAX_MS_DEFAULT: i64 = 10 * 60 * 1000;

/// Parts of block indexes held in memory. Chosen: the labels of a million series.
pub(crate) const INDEX_CACHE_BYTES_DEFAULT: u64 = 64 << 20;

/// Half an hour. Chosen: the head stays small, and a start reads little.
pub(crate) const SEAL_MS_DEFAULT: i64 = 30 * 60 * 1000;
/// Exemplars kept. From Prometheus.
pub(crate) const EXEMPLARS_MAX_DEFAULT: usize = 100_000;

/// What the return of a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The batch survives `kill -9`; power loss only after the next [`crate::Db::sync`].
    #[default]
    Interval,
    /// The batch survives power loss: every commit waits for the disk.
    Strict,
}

/// How long samples of some series are kept.
#[derive(Debug, Clone)]
pub struct RetentionRule {
    /// All of them hold for the series meant.
    pub matchers: Vec<Matcher>,
    /// As [`Options::retention_ms`].
    pub retention_ms: i64,
}

impl RetentionRule {
    pub(crate) fn fits(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }
}

/// What is kept of samples that are past their retention: a row for each interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollUp {
    /// Length of an interval; must divide [`Options::block_ms`].
    pub interval_ms: i64,
    /// How long rows are kept; 0 for ever. Longer than [`Options::retention_ms`].
    pub retention_ms: i64,
}

/// Settings of a [`crate::Db`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Blocks wholly older than this go; 0 keeps them for ever.
    pub retention_ms: i64,
    /// The oldest blocks go while blocks and WAL are larger than this; 0 for no limit.
    pub retention_bytes: u64,
    /// As `retention_bytes`, in percent of the disk's size; 0 for no limit. Of two limits the smaller one counts.
    pub retention_percent: f64,
    /// Series that are kept for longer or shorter than `retention_ms`; the first rule that fits a series counts. Applied when
    /// a block is wholly too old for them, so samples stay up to a block's length longer.
    pub retention_rules: Vec<RetentionRule>,
    /// Tiers of roll-ups, in any order; none by default. Those that are on the disk already are answered from all the same.
    pub roll_ups: Vec<RollUp>,
    /// Whether selections are answered from roll-ups too; tools that want samples as they came say no.
    pub serves_roll_ups: bool,
    /// Length of the ranges that a block of sealed rows keeps to; must be positive.
    pub block_ms: i64,
    /// Series in the head before new ones are refused.
    pub series_max: u64,
    /// Size at which the WAL begins a new segment.
    pub segment_bytes: u64,
    /// How far ahead of `now_ms` a sample may lie before it is out of bounds.
    pub ahead_max_ms: i64,
    /// Parts of block indexes held in memory at most.
    pub index_cache_bytes: u64,
    /// Data time that the head holds before it is sealed to a block; must be positive.
    pub seal_ms: i64,
    /// How far behind the newest sample one may be that is older than its series' newest; 0 refuses them, and anything
    /// beyond the retention reaches as far as that.
    pub out_of_order_window_ms: i64,
    /// Exemplars kept, over all series.
    pub exemplars_max: usize,
    /// Memory of head and caches that the store tries to stay under; 0 for no limit.
    pub memory_budget_bytes: u64,
    /// What a commit promises.
    pub durability: Durability,
    /// Is told how far [`crate::Db::open`] is.
    pub progress: Arc<OpenProgress>,
    /// Where the store's own metrics are registered.
    pub registry: Registry,
}

/// Those of the settings that may change while the store is open, see [`crate::Db::set_limits`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// As [`Options::retention_ms`].
    pub retention_ms: i64,
    /// As [`Options::retention_bytes`].
    pub retention_bytes: u64,
    /// As [`Options::retention_percent`].
    pub retention_percent: f64,
    /// As [`Options::exemplars_max`].
    pub exemplars_max: usize,
}

impl Options {
    /// The longest that any series is kept when those without a rule are kept `other_ms`; 0 for ever.
    pub(crate) fn longest_retention_ms(&self, other_ms: i64) -> i64 {
        let all = || self.retention_rules.iter().map(|rule| rule.retention_ms).chain([other_ms]);
        if all().any(|ms| ms == 0) { 0 } else { all().max().unwrap_or(0) }
    }

    /// The part that may change.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            retention_ms: self.retention_ms,
            retention_bytes: self.retention_bytes,
            retention_percent: self.retention_percent,
            exemplars_max: self.exemplars_max,
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        let Limits { retention_ms, retention_bytes, retention_percent, exemplars_max } = limits;
        Self { retention_ms, retention_bytes, retention_percent, exemplars_max, ..self }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retention_ms: RETENTION_MS_DEFAULT,
            retention_bytes: 0,
            retention_percent: 0.0,
            retention_rules: Vec::new(),
            roll_ups: Vec::new(),
            serves_roll_ups: true,
            block_ms: BLOCK_MS_DEFAULT,
            series_max: SERIES_MAX_DEFAULT,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            ahead_max_ms: AHEAD_MAX_MS_DEFAULT,
            index_cache_bytes: INDEX_CACHE_BYTES_DEFAULT,
            seal_ms: SEAL_MS_DEFAULT,
            out_of_order_window_ms: i64::MAX,
            exemplars_max: EXEMPLARS_MAX_DEFAULT,
            memory_budget_bytes: 0,
            durability: Durability::default(),
            progress: Arc::default(),
            registry: Registry::new(),
        }
    }
}
