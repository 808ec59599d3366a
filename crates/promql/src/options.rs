//! How an engine runs, and one query of it.

use std::time::Duration;

use storage::Stop;

use crate::error::EvalError;
use crate::guard::{CancelToken, Deadline, Meter};
use crate::limits::{LOOKBACK_DEFAULT_MS, SAMPLES_MAX_DEFAULT, SPLIT_SAMPLES_MIN};
use crate::parse::features::Features;

/// How all queries of an engine run.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How far back instant selectors look (`--query.lookback-delta`).
    pub lookback_ms: i64,
    /// Samples one query may hold in memory (`--query.max-samples`).
    pub samples_max: u64,
    /// Series one query may read (`--query.max-series`).
    pub series_max: u64,
    /// Bytes of samples one query may hold in memory (`--query.max-memory-bytes`).
    pub memory_bytes_max: u64,
    /// How long one query may take (`--query.timeout`). The engine has no clock: callers make a [`Deadline`] of it.
    pub timeout: Duration,
    /// Step of subqueries that name none: the configuration's `evaluation_interval`.
    pub subquery_step_ms: i64,
    /// Metric names are dropped at the end rather than at each operation (Prometheus' feature
    /// `promql-delayed-name-removal`, off by default).
    pub delayed_name_removal: bool,
    /// `__type__` and `__unit__` are dropped with the name (Prometheus' feature `type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// Counters' start timestamps tell resets and where to begin (Prometheus' feature `use-start-timestamps`, off by
    /// default).
    pub start_timestamps: bool,
    /// Threads that read and compute series of one selector (`--query.threads`); 1 for the caller's own.
    pub threads: usize,
    /// A selector with fewer samples than these, as far as can be guessed, is read by one thread.
    pub split_samples_min: u64,
    /// What queries may use.
    pub features: Features,
    /// One long window is answered from the store's summaries where that is exact, sums within an ulp or two.
    pub summaries: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: LOOKBACK_DEFAULT_MS,
            samples_max: SAMPLES_MAX_DEFAULT,
            series_max: u64::MAX,
            memory_bytes_max: u64::MAX,
            timeout: Duration::from_secs(120),
            subquery_step_ms: 60_000,
            delayed_name_removal: false,
            type_and_unit_labels: false,
            start_timestamps: false,
            threads: 1,
            split_samples_min: SPLIT_SAMPLES_MIN,
            features: Features::ALL,
            summaries: true,
        }
    }
}

/// How one query runs.
#[derive(Debug, Clone, Default)]
pub struct QueryOptions {
    /// Overrides the engine's lookback.
    pub lookback_ms: Option<i64>,
    /// Checked while the query runs.
    pub cancel: CancelToken,
    /// Checked while the query runs; `None` for no limit.
    pub deadline: Option<Deadline>,
    /// Counts what the query costs.
    pub meter: Meter,
    /// Counts the samples that each step looks at, see [`Output::samples_by_step`]. The result cache is not asked then: what it keeps
    /// costs no samples.
    pub counts_samples: bool,
    /// Ends the query with [`EvalError::TooDear`] where [`Meter::cost`] would go beyond; `None` for no limit.
    pub cost_max: Option<u64>,
}

impl QueryOptions {
    /// Ends the query when it was told to, or has run too long.
    ///
    /// # Errors
    /// [`EvalError::Canceled`] or [`EvalError::Timeout`].
    pub fn check_stop(&self) -> Result<(), EvalError> {
        if self.cancel.is_canceled() {
            return Err(EvalError::Canceled);
        }
        if self.deadline.as_ref().is_some_and(Deadline::has_passed) {
            return Err(EvalError::Timeout);
        }
        Ok(())
    }

    /// For who reads samples: when to stop.
    pub(crate) fn stop(&self) -> Stop {
        let (cancel, deadline) = (self.cancel.clone(), self.deadline.clone());
        Stop::when(move || cancel.is_canceled() || deadline.as_ref().is_some_and(Deadline::has_passed))
    }

    /// A reader that was told to stop does not know why.
    pub(crate) fn why(&self, err: EvalError) -> EvalError {
        match err {
            EvalError::Canceled => self.check_stop().err().unwrap_or(err),
            other => other,
        }
    }

    /// Adds what is about to be spent to the expected cost.
    pub(crate) fn expect(&self, cost: u64) -> Result<(), EvalError> {
        let total = self.meter.expect(cost);
        if self.cost_max.is_some_and(|limit| total > limit) { Err(EvalError::TooDear) } else { Ok(()) }
    }

    /// Counts a series of `n` samples that was read from the store.
    pub(crate) fn take_series(&self, engine: &EngineOptions, n: usize) -> Result<(), EvalError> {
        self.check_stop()?;
        let limit = engine.series_max;
        if self.meter.read(n as u64) > limit {
            return Err(EvalError::TooManySeries { limit });
        }
        Ok(())
    }
}

impl QueryOptions {
    /// Counts `n` series of which the newest sample was read.
    pub(crate) fn take_newest(&self, engine: &EngineOptions, n: usize) -> Result<(), EvalError> {
        self.check_stop()?;
        let limit = engine.series_max;
        if self.meter.read_newest(n as u64) > limit {
            return Err(EvalError::TooManySeries { limit });
        }
        Ok(())
    }
}

/// The steps of a range query: `start_ms`, `start_ms + step_ms`, … up to `end_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeParams {
    /// First step, Unix milliseconds.
    pub start_ms: i64,
    /// No step after this, Unix milliseconds.
    pub end_ms: i64,
    /// Distance of steps in milliseconds, above zero.
    pub step_ms: i64,
}
