//! The result cache: a range query that was asked before is answered from its old answer, as far as nothing it depends on has
//! changed, and only the rest is evaluated.
//!
//! In from the engine and the store's [`ChangeLog`]; out the very answer that evaluation would give, to the bit: a step is kept
//! only when no sample up to the furthest it looks at was touched since. What may not be answered in parts is evaluated whole
//! (`plan`), as is whatever has annotations or native histograms. Bounded in bytes, the least recently used goes first.

mod plan;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use stdx::metrics::{Counter, Registry};
use storage::ChangeLog;

use crate::error::EvalError;
use crate::guard::{Mark, Meter, SAMPLE_BYTES};
use crate::limits::STEPS_PER_SAMPLE;
use crate::options::{EngineOptions, QueryOptions, RangeParams};
use crate::parse::ast::Expr;
use crate::value::{MatrixSeries, Output, Value};

/// Bytes of an entry beside its samples and labels, and of a series in it. Chosen: what their structures take.
const ENTRY_BYTES: u64 = 256;
const SERIES_BYTES: u64 = 96;
/// An answer that takes more than this share of the cache is not kept.
const SHARE_MAX: u64 = 4;

/// A range query, as it was asked.
pub(crate) struct Question<'a> {
    pub(crate) engine: &'a EngineOptions,
    pub(crate) query: &'a QueryOptions,
    pub(crate) expr: &'a Expr,
    pub(crate) params: RangeParams,
}

/// What must be equal for an old answer to be of use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    /// The expression in canonical form.
    expr: String,
    step_ms: i64,
    /// Of the first step, modulo the step.
    phase_ms: i64,
    n_steps: i64,
    lookback_ms: i64,
    subquery_step_ms: i64,
}

/// An answer, as it was at `epoch` of the store's change log.
#[derive(Debug)]
struct Entry {
    epoch: u64,
    start_ms: i64,
    /// Last step.
    end_ms: i64,
    series: Vec<MatrixSeries>,
    bytes: u64,
    cost: Cost,
}

/// What evaluating the whole of an answer costs at most.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Samples held at once.
    peak: u64,
    /// Series read.
    n_series: u64,
}

impl Cost {
    /// What was counted for an evaluation that began at `mark`.
    fn since(mark: &Mark, meter: &Meter) -> Self {
        Self { peak: meter.n_samples_peak(), n_series: meter.n_series().saturating_sub(mark.n_series) }
    }

    /// Both parts.
    fn and(self, other: Self) -> Self {
        Self { peak: self.peak + other.peak, n_series: self.n_series + other.n_series }
    }

    /// Whether the limits surely allow all `n_steps` at once; a quarter more makes good for rounding. A column counts for a share of
    /// the steps even where it has no value, and a series that is in one part only has a column as long as the whole: two, since
    /// results are held beside what they come from.
    fn fits(self, n_steps: i64, options: &EngineOptions) -> bool {
        let share = n_steps.unsigned_abs().div_ceil(STEPS_PER_SAMPLE as u64);
        let absent = self.n_series.saturating_mul(2 * share);
        let peak = self.peak.saturating_add(self.peak / 4).saturating_add(absent);
        peak <= options.samples_max
            && peak.saturating_mul(SAMPLE_BYTES) <= options.memory_bytes_max
            && self.n_series <= options.series_max
    }
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, (u64, Arc<Entry>)>,
    /// When each was used last, oldest first.
    by_use: BTreeMap<u64, Key>,
    n_uses: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Metrics {
    full: Arc<Counter>,
    partial: Arc<Counter>,
    missed: Arc<Counter>,
    bypassed: Arc<Counter>,
}

#[derive(Debug)]
struct Inner {
    bytes_max: u64,
    state: Mutex<State>,
    metrics: Metrics,
}

/// Answers of range queries. Clones are the same cache.
#[derive(Debug, Clone)]
pub struct ResultCache {
    inner: Arc<Inner>,
}

impl ResultCache {
    /// A cache of at most `bytes_max`. Its metrics are `hinomi_query_cache_…`.
    #[must_use]
    pub fn new(bytes_max: u64, registry: &Registry) -> Self {
        let requests = registry.counters(
            "hinomi_query_cache_requests_total",
            "Range queries, by what the result cache had: all, a part, nothing; or bypassed, as they must be answered whole.",
            &["result"],
        );
        let metrics = Metrics {
            full: requests.with(&["full"]),
            partial: requests.with(&["partial"]),
            missed: requests.with(&["missed"]),
            bypassed: requests.with(&["bypassed"]),
        };
        let inner = Arc::new(Inner { bytes_max, state: Mutex::default(), metrics });
        let (of_bytes, of_count) = (Arc::clone(&inner), Arc::clone(&inner));
        registry.gauge_fn("hinomi_query_cache_bytes", "Memory that the result cache takes.", move || {
            of_bytes.state.lock().bytes as f64
        });
        registry.gauge_fn("hinomi_query_cache_entries", "Answers in the result cache.", move || {
            of_count.state.lock().entries.len() as f64
        });
        Self { inner }
    }

    /// What `evaluate` would answer for the whole of `asked`, from as few steps as may be. `log` is of the store that it reads.
    pub(crate) fn range(
        &self,
        asked: &Question<'_>,
        log: Option<&ChangeLog>,
        evaluate: impl Fn(RangeParams) -> Result<Output, EvalError>,
    ) -> Result<Output, EvalError> {
        let (params, meter) = (asked.params, &asked.query.meter);
        let Some((log, (ahead_ms, key))) = log.and_then(|log| Some((log, cacheable(asked)?))) else {
            self.inner.metrics.bypassed.inc();
            return evaluate(params);
        };
        // Before anything is read: later changes are then newer than the answer.
        let (epoch, mark) = (log.epoch(), meter.mark());
        let last_ms = params.start_ms + (key.n_steps - 1) * params.step_ms;
        if let Some(entry) = self.find(&key) {
            let until_ms = log.unchanged_before_ms(entry.epoch).saturating_sub(ahead_ms);
            let kept = kept_steps(&entry, params, last_ms, until_ms);
            if kept == key.n_steps {
                self.inner.metrics.full.inc();
                return Ok(answer(part(&entry.series, params.start_ms, last_ms)));
            }
            if kept > 0 {
                let tail_ms = params.start_ms + kept * params.step_ms;
                let tail = RangeParams { start_ms: tail_ms, ..params };
                match evaluate(tail) {
                    Ok(output) => {
                        // What would not be allowed whole is not answered in parts either: it must not depend on what was asked
                        // before whether there is an answer.
                        let cost = entry.cost.and(Cost::since(&mark, meter));
                        if let Some(tail) = plain(output).filter(|_| cost.fits(key.n_steps, asked.engine)) {
                            self.inner.metrics.partial.inc();
                            let head = part(&entry.series, params.start_ms, tail_ms - 1);
                            let series = joined(head, tail);
                            self.keep(key, Entry::new(epoch, params.start_ms, last_ms, &series, cost));
                            return Ok(answer(series));
                        }
                    }
                    Err(err @ (EvalError::Canceled | EvalError::Timeout)) => return Err(err),
                    // Whatever the whole query says to it.
                    Err(_) => {}
                }
                meter.rewind(&mark);
            }
        }
        self.inner.metrics.missed.inc();
        let output = evaluate(params)?;
        if output.annotations.is_empty()
            && let Value::Matrix(series) = &output.value
            && series.iter().all(|one| one.histograms.is_empty())
        {
            let cost = Cost::since(&mark, meter);
            self.keep(key, Entry::new(epoch, params.start_ms, last_ms, series, cost));
        }
        Ok(output)
    }

    fn find(&self, key: &Key) -> Option<Arc<Entry>> {
        let mut state = self.inner.state.lock();
        state.n_uses += 1;
        let now = state.n_uses;
        let (used, entry) = state.entries.get_mut(key)?;
        let before = std::mem::replace(used, now);
        let entry = Arc::clone(entry);
        if let Some(key) = state.by_use.remove(&before) {
            state.by_use.insert(now, key);
        }
        Some(entry)
    }

    fn keep(&self, key: Key, entry: Entry) {
        if entry.bytes > self.inner.bytes_max / SHARE_MAX {
            return;
        }
        let mut state = self.inner.state.lock();
        state.n_uses += 1;
        let now = state.n_uses;
        state.bytes += entry.bytes + key.expr.len() as u64;
        state.by_use.insert(now, key.clone());
        if let Some((used, old)) = state.entries.insert(key.clone(), (now, Arc::new(entry))) {
            state.bytes -= old.bytes + key.expr.len() as u64;
            state.by_use.remove(&used);
        }
        while state.bytes > self.inner.bytes_max
            && let Some((_, oldest)) = state.by_use.pop_first()
        {
            if let Some((_, gone)) = state.entries.remove(&oldest) {
                state.bytes -= gone.bytes + oldest.expr.len() as u64;
            }
        }
    }
}

/// How far a step looks ahead, and the key; `None` when the query must be answered whole.
fn cacheable(asked: &Question<'_>) -> Option<(i64, Key)> {
    let Question { engine: options, query, expr, params } = asked;
    let RangeParams { start_ms, end_ms, step_ms } = *params;
    // Equal names of other metrics may meet at the end only.
    let is_plain = !options.delayed_name_removal && !options.type_and_unit_labels;
    if step_ms <= 0 || end_ms < start_ms || !is_plain || expr.selectors().is_empty() {
        return None;
    }
    let lookback_ms = query.lookback_ms.unwrap_or(options.lookback_ms);
    let ahead_ms = plan::ahead_ms(expr, lookback_ms.max(0))?;
    let key = Key {
        expr: expr.to_string(),
        step_ms,
        phase_ms: start_ms.rem_euclid(step_ms),
        n_steps: end_ms.checked_sub(start_ms)? / step_ms + 1,
        lookback_ms,
        subquery_step_ms: options.subquery_step_ms,
    };
    Some((ahead_ms, key))
}

/// How many of the first steps asked for are in `entry` and before `until_ms`.
fn kept_steps(entry: &Entry, params: RangeParams, last_ms: i64, until_ms: i64) -> i64 {
    let last_kept_ms = entry.end_ms.min(last_ms).min(until_ms.saturating_sub(1));
    if entry.start_ms > params.start_ms || last_kept_ms < params.start_ms {
        return 0;
    }
    (last_kept_ms - params.start_ms) / params.step_ms + 1
}

impl Entry {
    fn new(epoch: u64, start_ms: i64, end_ms: i64, series: &[MatrixSeries], cost: Cost) -> Self {
        let of_labels = |one: &MatrixSeries| -> u64 {
            one.labels.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
        };
        let of_series = |one: &MatrixSeries| {
            SERIES_BYTES + of_labels(one) + (one.points.len() * size_of::<(i64, f64)>()) as u64
        };
        let bytes = ENTRY_BYTES + series.iter().map(of_series).sum::<u64>();
        Self { epoch, start_ms, end_ms, series: series.to_vec(), bytes, cost }
    }
}

/// The series of an answer that may be kept.
fn plain(output: Output) -> Option<Vec<MatrixSeries>> {
    match output.value {
        Value::Matrix(series)
            if output.annotations.is_empty() && series.iter().all(|one| one.histograms.is_empty()) =>
        {
            Some(series)
        }
        _ => None,
    }
}

fn answer(series: Vec<MatrixSeries>) -> Output {
    let annotations = crate::Annotations::default();
    Output { value: Value::Matrix(series), annotations, samples_by_step: Vec::new() }
}

/// The steps from `first_ms` to `last_ms`; series without any are left out.
fn part(series: &[MatrixSeries], first_ms: i64, last_ms: i64) -> Vec<MatrixSeries> {
    let cut = |one: &MatrixSeries| {
        let from = one.points.partition_point(|(t_ms, _)| *t_ms < first_ms);
        let to = one.points.partition_point(|(t_ms, _)| *t_ms <= last_ms);
        let points = one.points.get(from..to).unwrap_or(&[]).to_vec();
        let labels = one.labels.clone();
        (!points.is_empty()).then_some(MatrixSeries { labels, points, histograms: Vec::new() })
    };
    series.iter().filter_map(cut).collect()
}

/// Earlier and later steps of the same series, both sorted by labels, as one.
fn joined(earlier: Vec<MatrixSeries>, later: Vec<MatrixSeries>) -> Vec<MatrixSeries> {
    let mut out = Vec::with_capacity(earlier.len().max(later.len()));
    let mut later = later.into_iter().peekable();
    for mut one in earlier {
        while let Some(first) = later.next_if(|next| next.labels < one.labels) {
            out.push(first);
        }
        if let Some(same) = later.next_if(|next| next.labels == one.labels) {
            one.points.extend(same.points);
        }
        out.push(one);
    }
    out.extend(later);
    out
}
