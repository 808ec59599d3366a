//! The engine: what callers hold and ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stdx::Clock;
use storage::Queryable;

use crate::error::EvalError;
use crate::limits::{LOOKBACK_DEFAULT_MS, SAMPLES_MAX_DEFAULT};
use crate::parse::ast::Expr;
use crate::value::Output;

/// How all queries of an engine run.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How far back instant selectors look (`--query.lookback-delta`).
    pub lookback_ms: i64,
    /// Samples one query may hold in memory (`--query.max-samples`).
    pub samples_max: u64,
    /// How long one query may take (`--query.timeout`); counts only for queries that bring a clock.
    pub timeout: Duration,
    /// Step of subqueries that name none: the configuration's `evaluation_interval`.
    pub subquery_step_ms: i64,
    /// Metric names are dropped at the end rather than at each operation (Prometheus' feature
    /// `promql-delayed-name-removal`, off by default).
    pub delayed_name_removal: bool,
    /// `__type__` and `__unit__` are dropped with the name (Prometheus' feature `type-and-unit-labels`).
    pub type_and_unit_labels: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: LOOKBACK_DEFAULT_MS,
            samples_max: SAMPLES_MAX_DEFAULT,
            timeout: Duration::from_secs(120),
            subquery_step_ms: 60_000,
            delayed_name_removal: false,
            type_and_unit_labels: false,
        }
    }
}

/// Tells a running query to stop. Clones share one switch.
#[derive(Debug, Clone, Default)]
pub struct CancelToken {
    canceled: Arc<AtomicBool>,
}

impl CancelToken {
    /// A token that has not been used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops every query that holds a clone of this token.
    pub fn cancel(&self) {
        self.canceled.store(true, Ordering::Relaxed);
    }

    /// Whether it was used.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Relaxed)
    }
}

/// When a query must be over, on a monotonic clock.
#[derive(Debug, Clone)]
pub struct Deadline {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The end, as [`Clock::monotonic`] counts.
    pub at: Duration,
}

impl Deadline {
    /// `timeout` from now.
    #[must_use]
    pub fn after(clock: Arc<dyn Clock>, timeout: Duration) -> Self {
        let at = clock.monotonic().saturating_add(timeout);
        Self { clock, at }
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.clock.monotonic() >= self.at
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

/// Evaluates expressions. Cheap to clone and to share.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// An engine with these options.
    #[must_use]
    pub fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    /// Its options.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The value of `expr` at `t_ms`, Unix milliseconds.
    ///
    /// # Errors
    /// When the data does not allow an answer, a limit is hit, the query is told to stop, or the store fails.
    pub fn instant(
        &self,
        queryable: &dyn Queryable,
        expr: &Expr,
        t_ms: i64,
        opts: &QueryOptions,
    ) -> Result<Output, EvalError> {
        let _ = (queryable, expr, t_ms, opts);
        Err(EvalError::Unsupported("any expression".to_owned()))
    }

    /// The values of `expr`, a scalar or instant vector, at each step; a [`Value::Matrix`](crate::Value::Matrix).
    ///
    /// # Errors
    /// As [`Engine::instant`], and when `expr` has another type or `params` name no step.
    pub fn range(
        &self,
        queryable: &dyn Queryable,
        expr: &Expr,
        params: RangeParams,
        opts: &QueryOptions,
    ) -> Result<Output, EvalError> {
        let _ = (queryable, expr, params, opts);
        Err(EvalError::Unsupported("any expression".to_owned()))
    }
}
