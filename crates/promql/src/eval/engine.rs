//! The engine: what callers hold and ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::Labels;
use stdx::Clock;
use storage::{Queryable, Stop};

use super::column::{Column, Evaluated, Grid, same_labelset, without_metadata};
use super::counted::Counts;
use super::evaluator::Evaluator;
use super::pace::{LABELS_VALUES, Pace};
use super::range::{self, Samples};
use super::shared::Shared;
use crate::cache::ResultCache;
use crate::error::{EvalError, ParseError};
use crate::features::Features;
use crate::guard::{Guard, Meter};
use crate::limits::{LOOKBACK_DEFAULT_MS, SAMPLES_MAX_DEFAULT, SPLIT_SAMPLES_MIN, STEPS_MAX, TIME_MAX_MS};
use crate::parse::ast::{Expr, ValueType};
use crate::plan::duration::QueryTimes;
use crate::value::{MatrixSeries, Output, Value, VectorSample};

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

/// Tells a running query to stop. Clones share one switch.
#[derive(Debug, Clone, Default)]
pub struct CancelToken {
    canceled: Arc<AtomicBool>,
    /// Another switch that counts, too.
    other: Option<Arc<AtomicBool>>,
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
            || self.other.as_ref().is_some_and(|other| other.load(Ordering::Relaxed))
    }

    /// A token that is used when this one is, or `other` is (`other`'s own second switch does not count).
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self { canceled: Arc::clone(&self.canceled), other: Some(Arc::clone(&other.canceled)) }
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
    fn why(&self, err: EvalError) -> EvalError {
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

/// Evaluates expressions. Cheap to clone and to share.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    options: EngineOptions,
    guard: Guard,
    cache: Option<ResultCache>,
}

impl Engine {
    /// An engine with these options.
    #[must_use]
    pub fn new(options: EngineOptions) -> Self {
        Self { options, guard: Guard::default(), cache: None }
    }

    /// The same engine, with `guard` to know its queries.
    #[must_use]
    pub fn with_guard(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    /// The same engine, which keeps answers of range queries in `cache`. Only for engines with equal options.
    #[must_use]
    pub fn with_cache(self, cache: Option<ResultCache>) -> Self {
        Self { cache, ..self }
    }

    /// Where callers enter their queries; the engine itself does not.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Its options.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Parses `query`, which may use what this engine's features allow.
    ///
    /// # Errors
    /// As [`crate::parse`].
    pub fn parse(&self, query: &str) -> Result<Expr, ParseError> {
        crate::parse_with(query, self.options.features)
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
        let _span = tracing::info_span!("promqlEval").entered();
        self.at(queryable, expr, t_ms, opts).map_err(|err| opts.why(err))
    }

    fn at(
        &self,
        queryable: &dyn Queryable,
        expr: &Expr,
        t_ms: i64,
        opts: &QueryOptions,
    ) -> Result<Output, EvalError> {
        check_time(t_ms)?;
        let times = QueryTimes { start_ms: t_ms, end_ms: t_ms, step_ms: 0 };
        let mut ev = self.evaluator(queryable, expr, times, 1, opts);
        if expr.value_type() == ValueType::Matrix {
            let series = range::raw(&mut ev, expr, t_ms)?;
            return Ok(ev.output(raw_matrix(series, opts)?));
        }
        let value = match ev.eval(expr, Grid::instant(t_ms))? {
            Evaluated::Scalar(values) => Value::Scalar { t_ms, value: values[0] },
            Evaluated::Text(text) => Value::String { t_ms, text },
            Evaluated::Vector(columns) => {
                let sample = |mut c: Column| {
                    let histogram = c.histograms.first_mut().and_then(Option::take);
                    VectorSample { value: c.values[0], labels: c.labels, t_ms, histogram }
                };
                Value::Vector(ev.finish(columns)?.into_iter().map(sample).collect())
            }
        };
        Ok(ev.output(value))
    }

    /// The values of `expr`, a scalar or instant vector, at each step; a [`Value::Matrix`].
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
        let _span = tracing::info_span!("promqlEval").entered();
        let output = match self.cache.as_ref().filter(|_| !opts.counts_samples) {
            Some(cache) => cache.range(self, queryable, expr, params, opts),
            None => self.range_whole(queryable, expr, params, opts),
        };
        output.map_err(|err| opts.why(err))
    }

    /// As [`Engine::range`], without the cache.
    pub(crate) fn range_whole(
        &self,
        queryable: &dyn Queryable,
        expr: &Expr,
        params: RangeParams,
        opts: &QueryOptions,
    ) -> Result<Output, EvalError> {
        let value_type = expr.value_type();
        if !matches!(value_type, ValueType::Scalar | ValueType::Vector) {
            let quoted = model::labels::quoted(&value_type.to_string());
            let message =
                format!("invalid expression type {quoted} for range query, must be Scalar or instant Vector");
            return Err(EvalError::Execution(message));
        }
        let grid = grid_of(params)?;
        let RangeParams { start_ms, end_ms, step_ms } = params;
        let times = QueryTimes { start_ms, end_ms, step_ms };
        let mut ev = self.evaluator(queryable, expr, times, grid.n_steps, opts);
        let columns = match ev.eval(expr, grid)? {
            Evaluated::Scalar(values) => vec![Column::full(Labels::empty(), values)],
            Evaluated::Text(_) => Vec::new(),
            Evaluated::Vector(columns) => ev.finish(columns)?,
        };
        let mut pace = Pace::new(opts);
        let series = columns.into_iter().map(|column| {
            pace.pass(LABELS_VALUES + grid.n_steps)?;
            Ok(to_series(column, grid))
        });
        let mut series = series.collect::<Result<Vec<MatrixSeries>, EvalError>>()?;
        pace.sort_by(&mut series, |a, b| a.labels.cmp(&b.labels))?;
        Ok(ev.output(Value::Matrix(series)))
    }

    fn evaluator<'a>(
        &'a self,
        queryable: &'a dyn Queryable,
        expr: &'a Expr,
        times: QueryTimes,
        n_steps: usize,
        opts: &'a QueryOptions,
    ) -> Evaluator<'a> {
        Evaluator {
            queryable,
            options: &self.options,
            query_options: opts,
            query: expr.query(),
            times,
            annotations: crate::Annotations::default(),
            n_samples: 0,
            buckets: super::evaluator::Buckets::default(),
            counts: Counts::new(opts.counts_samples, n_steps),
            // Whoever counts wants each place counted.
            shared: if opts.counts_samples { Shared::default() } else { Shared::of(expr) },
        }
    }
}

fn check_time(t_ms: i64) -> Result<(), EvalError> {
    if (-TIME_MAX_MS..=TIME_MAX_MS).contains(&t_ms) {
        return Ok(());
    }
    Err(EvalError::Execution(format!("time {t_ms} ms is more than {TIME_MAX_MS} ms away from 1970")))
}

fn grid_of(params: RangeParams) -> Result<Grid, EvalError> {
    let RangeParams { start_ms, end_ms, step_ms } = params;
    if step_ms <= 0 {
        return Err(EvalError::Execution(
            "zero or negative query resolution step widths are not accepted".to_owned(),
        ));
    }
    check_time(start_ms)?;
    check_time(end_ms)?;
    if end_ms < start_ms {
        return Ok(Grid { start_ms, step_ms, n_steps: 0 });
    }
    let n_steps = end_ms.saturating_sub(start_ms) / step_ms + 1;
    if n_steps > STEPS_MAX {
        return Err(EvalError::Execution(format!("query has {n_steps} steps, more than {STEPS_MAX}")));
    }
    Ok(Grid { start_ms, step_ms, n_steps: n_steps as usize })
}

fn to_series(column: Column, grid: Grid) -> MatrixSeries {
    let points = (0..grid.n_steps).filter_map(|step| Some((grid.t_ms(step), column.get(step)?))).collect();
    let histograms = column.histograms.into_iter().enumerate();
    let histograms = histograms.filter_map(|(step, h)| Some((grid.t_ms(step), h?))).collect();
    MatrixSeries { labels: column.labels, points, histograms }
}

/// The range vector of an instant query.
fn raw_matrix(series: Vec<Samples>, opts: &QueryOptions) -> Result<Value, EvalError> {
    let mut pace = Pace::new(opts);
    let to_series = |mut s: Samples| {
        if s.drop_name {
            s.labels = without_metadata(&s.labels);
        }
        MatrixSeries {
            labels: s.labels,
            points: s.t_ms.iter().copied().zip(s.values).collect(),
            histograms: s.histograms.into_iter().map(|h| (h.t_ms, h.histogram)).collect(),
        }
    };
    let series = series.into_iter().map(|samples| {
        pace.pass(LABELS_VALUES + samples.values.len())?;
        Ok(to_series(samples))
    });
    let mut series = series.collect::<Result<Vec<MatrixSeries>, EvalError>>()?;
    pace.sort_by(&mut series, |a, b| a.labels.cmp(&b.labels))?;
    if series.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
        return Err(same_labelset());
    }
    Ok(Value::Matrix(series))
}
