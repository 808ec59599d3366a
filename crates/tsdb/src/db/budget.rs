//! One budget for the store's memory, and what happens as it is used up.
//!
//! 70 %: the head is sealed early. 80 %: caches are held small. 90 %: new series are refused, never old ones. 95 %: remote writers are
//! told to come back later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::Labels;
use parking_lot::Mutex;
use stdx::metrics::{Counter, Family, Gauge};
use storage::AppendError;

use crate::head::{Head, NEW_SERIES_BYTES};
use crate::options::Options;

const SEAL_PERCENT: u64 = 70;
const CACHE_PERCENT: u64 = 80;
const NEW_SERIES_PERCENT: u64 = 90;
const OVERLOAD_PERCENT: u64 = 95;

/// Metric names and jobs counted apart when their series are refused; the rest is counted together. Chosen.
const OFFENDERS_MAX: usize = 100;

/// The budget.
#[derive(Debug)]
pub(super) struct Budget {
    /// 0 for none.
    bytes: u64,
    /// By metric name and job.
    refused: Mutex<BTreeMap<(String, String), u64>>,
    n_refused: Arc<Counter>,
    /// Likewise.
    by_offender: Arc<Family<Counter>>,
    held: Arc<Gauge>,
    early_seals: Arc<Counter>,
    small_caches: Arc<Counter>,
}

impl Budget {
    pub(super) fn new(options: &Options) -> Self {
        let n_refused = options.registry.counter(
            "tsdb_memory_limit_hits_total",
            "New series refused since memory is short (--storage.memory.budget-bytes).",
        );
        let by_offender = options.registry.counters(
            "hinomi_storage_refused_series_total",
            "New series refused since memory is short, by metric name and job; without either, for all beyond the first hundred.",
            &["metric", "job"],
        );
        let held =
            options.registry.gauge("tsdb_head_memory_bytes", "Memory of the head and of caches, as counted.");
        let early_seals = options.registry.counter(
            "tsdb_memory_early_seals_total",
            "Times the head was sealed early, since it held more than 70 % of the budget.",
        );
        let small_caches = options.registry.counter(
            "tsdb_memory_small_caches_total",
            "Times caches were made small, since head and caches held more than 80 % of the budget.",
        );
        let bytes = options.memory_budget_bytes;
        let budget = options.registry.gauge(
            "tsdb_memory_budget_bytes",
            "What tsdb_head_memory_bytes is held below (--storage.memory.budget-bytes); 0 for no limit.",
        );
        budget.set(bytes as f64);
        Self { bytes, refused: Mutex::default(), n_refused, by_offender, held, early_seals, small_caches }
    }

    /// Takes note of what head and caches hold.
    pub(super) fn counted(&self, head: &Head, n_bytes: u64) {
        head.memory_bytes.store(n_bytes, Ordering::Release);
        self.held.set(n_bytes as f64);
    }

    fn is_over(&self, head: &Head, percent: u64, more: u64) -> bool {
        let used = head.memory_bytes.load(Ordering::Acquire).saturating_add(more);
        self.bytes > 0 && used >= self.bytes / 100 * percent
    }

    pub(super) fn wants_seal(&self, head: &Head) -> bool {
        self.is_over(head, SEAL_PERCENT, 0)
    }

    /// Counts a seal that came early for want of memory.
    pub(super) fn sealed_early(&self) {
        self.early_seals.inc();
    }

    /// Counts that caches were made small.
    pub(super) fn made_caches_small(&self) {
        self.small_caches.inc();
    }

    pub(super) fn wants_small_caches(&self, head: &Head) -> bool {
        self.is_over(head, CACHE_PERCENT, 0)
    }

    pub(super) fn is_overloaded(&self, head: &Head) -> bool {
        self.is_over(head, OVERLOAD_PERCENT, 0)
    }

    pub(super) fn check_new_series(
        &self,
        head: &Head,
        labels: &Labels,
        n_planned: usize,
    ) -> Result<(), AppendError> {
        if !self.is_over(head, NEW_SERIES_PERCENT, n_planned as u64 * NEW_SERIES_BYTES) {
            return Ok(());
        }
        let mut refused = self.refused.lock();
        let offender = (labels.metric_name().to_owned(), labels.get("job").unwrap_or_default().to_owned());
        let known = refused.len() < OFFENDERS_MAX || refused.contains_key(&offender);
        let offender = if known { offender } else { Default::default() };
        self.n_refused.inc();
        self.by_offender.with(&[&offender.0, &offender.1]).inc();
        *refused.entry(offender).or_default() += 1;
        Err(AppendError::MemoryLimit)
    }

    /// How many new series were refused, by metric name and job; both empty for all beyond the first hundred.
    pub(super) fn refused(&self) -> BTreeMap<(String, String), u64> {
        self.refused.lock().clone()
    }

    pub(super) fn refuses_new_series(&self, head: &Head) -> bool {
        self.is_over(head, NEW_SERIES_PERCENT, 0)
    }
}
