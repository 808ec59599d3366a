//! What rules and templates ask of PromQL: an instant vector.

use std::sync::Arc;
use std::time::Duration;

use model::{Histogram, Labels};
use promql::{
    CancelToken, Deadline, Engine, EvalError, Expr, MatrixSeries, QueryInfo, QueryKind, QueryOptions,
    QueryOrigin, QueryState, RangeParams, Value,
};
use stdx::Clock;
use storage::Queryable;

/// One series of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) labels: Labels,
    /// 0 for a native histogram.
    pub(crate) value: f64,
    pub(crate) histogram: Option<Arc<Histogram>>,
}

impl Sample {
    /// A sample that is a float.
    pub(crate) fn float(labels: Labels, value: f64) -> Self {
        Self { labels, value, histogram: None }
    }
}

/// Asks one store through one engine. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Querier {
    pub(crate) engine: Engine,
    pub(crate) queryable: Arc<dyn Queryable>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cancel: CancelToken,
    /// For the list of running queries.
    pub(crate) origin: QueryOrigin,
}

impl Querier {
    /// The value of `expr` at `t_ms` as a vector; a scalar is a vector of one series without labels.
    pub(crate) fn vector(&self, expr: &Expr, t_ms: i64) -> Result<Vec<Sample>, String> {
        let steps = RangeParams { start_ms: t_ms, end_ms: t_ms, step_ms: 0 };
        let value = self.ask(expr, steps, |options| {
            self.engine.instant(&*self.queryable, expr, t_ms, options).map(|output| output.value)
        })?;
        match value {
            Value::Vector(samples) => Ok(samples
                .into_iter()
                .map(|sample| Sample {
                    labels: sample.labels,
                    value: sample.value,
                    histogram: sample.histogram,
                })
                .collect()),
            Value::Scalar { value, .. } => Ok(vec![Sample::float(Labels::empty(), value)]),
            _ => Err("rule result is not a vector or scalar".to_owned()),
        }
    }

    /// The values of `expr` at many times at once.
    pub(crate) fn matrix(&self, expr: &Expr, steps: RangeParams) -> Result<Vec<MatrixSeries>, String> {
        let value = self.ask(expr, steps, |options| {
            self.engine.range(&*self.queryable, expr, steps, options).map(|output| output.value)
        })?;
        match value {
            Value::Matrix(series) => Ok(series),
            _ => Err("rule result is not a vector or scalar".to_owned()),
        }
    }

    /// Enters a query in the list of those that run, with limits on its time and memory.
    fn ask(
        &self,
        expr: &Expr,
        RangeParams { start_ms, end_ms, step_ms }: RangeParams,
        evaluate: impl FnOnce(&QueryOptions) -> Result<Value, EvalError>,
    ) -> Result<Value, String> {
        let deadline = Deadline::after(Arc::clone(&self.clock), self.engine.options().timeout);
        let (text, origin) = (expr.query().to_owned(), self.origin.clone());
        let kind = match origin {
            QueryOrigin::Http { .. } => QueryKind::Instant,
            QueryOrigin::Rule { .. } => QueryKind::Rule,
        };
        let info = QueryInfo { kind, text, start_ms, end_ms, step_ms, origin };
        let mut ticket = self.engine.guard().begin(info, &self.clock);
        ticket.write_down();
        ticket.set_state(QueryState::Evaluating);
        let options = QueryOptions {
            cancel: ticket.cancel_token().or(&self.cancel),
            deadline: Some(deadline),
            meter: ticket.meter(),
            ..QueryOptions::default()
        };
        let value = evaluate(&options).map_err(|err| err.to_string());
        ticket.evaluated(Duration::ZERO, ticket.elapsed(), value.as_ref().err().map(String::as_str));
        value
    }

    /// As [`Querier::vector`], for the text of a template's `query`.
    pub(crate) fn text(&self, query: &str, t_ms: i64) -> Result<Vec<Sample>, String> {
        let expr = self.engine.parse(query).map_err(|err| err.to_string())?;
        self.vector(&expr, t_ms)
    }
}
