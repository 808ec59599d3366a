//! The engine: what callers hold and ask.

use model::Labels;
use storage::Queryable;

use crate::cache::{Question, ResultCache};
use crate::error::EvalError;
use crate::eval::column::{Column, Evaluated, Grid, same_labelset, without_metadata};
use crate::eval::counted::Counts;
use crate::eval::evaluator::{Buckets, Evaluator};
use crate::eval::pace::{LABELS_VALUES, Pace};
use crate::eval::range::{self, Samples};
use crate::eval::shared::Shared;
use crate::guard::Guard;
use crate::limits::{STEPS_MAX, TIME_MAX_MS};
use crate::options::{EngineOptions, QueryOptions, RangeParams};
use crate::parse::ast::{Expr, ValueType};
use crate::parse::error::ParseError;
use crate::plan::duration::QueryTimes;
use crate::value::{MatrixSeries, Output, Value, VectorSample};

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
        let value = match inner(&mut ev, expr, Grid::instant(t_ms))? {
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
            Some(cache) => {
                let asked = Question { engine: &self.options, query: opts, expr, params };
                cache.range(&asked, queryable.changes(), |part| self.range_whole(queryable, expr, part, opts))
            }
            None => self.range_whole(queryable, expr, params, opts),
        };
        output.map_err(|err| opts.why(err))
    }

    /// As [`Engine::range`], without the cache.
    fn range_whole(
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
        let columns = match inner(&mut ev, expr, grid)? {
            Evaluated::Scalar(values) => vec![Column::full(Labels::empty(), values)],
            Evaluated::Text(_) => Vec::new(),
            Evaluated::Vector(columns) => ev.finish(columns)?,
        };
        let _sort = tracing::info_span!("promqlSort").entered();
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
        let _span = tracing::info_span!("promqlPrepare").entered();
        Evaluator {
            queryable,
            options: &self.options,
            query_options: opts,
            query: expr.query(),
            times,
            annotations: crate::Annotations::default(),
            n_samples: 0,
            buckets: Buckets::default(),
            counts: Counts::new(opts.counts_samples, n_steps),
            // Whoever counts wants each place counted.
            shared: if opts.counts_samples { Shared::default() } else { Shared::of(expr) },
        }
    }
}

/// Evaluates all of a query. Spans are called as Prometheus' are.
fn inner<'q>(ev: &mut Evaluator<'q>, expr: &'q Expr, grid: Grid) -> Result<Evaluated, EvalError> {
    let _span = tracing::info_span!("promqlInnerEval").entered();
    ev.eval(expr, grid)
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
