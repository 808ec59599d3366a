//! `query`, `query_range`, `format_query`, `parse_query`: parameters to a worker thread to JSON.
//!
//! A query waits for a permit, then runs on a blocking thread until the text of its answer is complete; when the client
//! goes away or the time is over, its token stops it.

use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use model::Histogram;
use promql::{
    CancelToken, Deadline, Engine, EvalError, Expr, Output, QueryInfo, QueryKind, QueryOptions, QueryState,
    RangeParams, Value, ValueType,
};
use storage::Queryable;

use crate::error::{ApiError, ErrorKind};
use crate::json::Json;
use crate::params::{POINTS_MAX, Params};
use crate::respond::{Remarks, envelope, json_response, success};
use crate::state::{Services, Shared};
use crate::v1::queries::Asker;

/// `GET|POST /api/v1/query`
pub(crate) async fn instant(Shared(api): Shared, asker: Asker, params: Params) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let t_ms = params.time_or("time", api.clock.now_ms())?;
    let request = QueryRequest::new(&params, limit)?;
    let expr = parse(&api, params.get("query"))?;
    let steps = RangeParams { start_ms: t_ms, end_ms: t_ms, step_ms: 0 };
    let info = asker.info(QueryKind::Instant, params.get("query"), steps);
    request.run(&api, info, move |engine, queryable, opts| engine.instant(queryable, &expr, t_ms, opts)).await
}

/// `GET|POST /api/v1/query_range`
pub(crate) async fn range(Shared(api): Shared, asker: Asker, params: Params) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let steps = range_params(&params)?;
    let request = QueryRequest::new(&params, limit)?;
    let expr = parse(&api, params.get("query"))?;
    if !matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector) {
        let name = expr.value_type();
        let why =
            format!("invalid expression type \"{name}\" for range query, must be Scalar or instant Vector");
        return Err(ApiError::parameter("query", why));
    }
    let info = asker.info(QueryKind::Range, params.get("query"), steps);
    request.run(&api, info, move |engine, queryable, opts| engine.range(queryable, &expr, steps, opts)).await
}

/// `GET|POST /api/v1/format_query`: the query in canonical form, over several lines where it is long.
pub(crate) async fn format(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let expr = parse(&api, params.get("query"))?;
    Ok(success(|json| json.text(&expr.pretty())))
}

/// `GET|POST /api/v1/parse_query`: the query as a tree.
pub(crate) async fn syntax_tree(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let expr = parse(&api, params.get("query"))?;
    Ok(success(|json| super::ast::push_expr(json, &expr)))
}

fn parse(api: &Services, query: &str) -> Result<Expr, ApiError> {
    api.engine.load().parse(query).map_err(|err| ApiError::parameter("query", err))
}

fn range_params(params: &Params) -> Result<RangeParams, ApiError> {
    let start_ms = params.time("start")?;
    let end_ms = params.time("end")?;
    if end_ms < start_ms {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let step_ms =
        crate::params::parse_duration(params.get("step")).map_err(|why| ApiError::parameter("step", why))?;
    if step_ms <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", why));
    }
    if end_ms.saturating_sub(start_ms) / step_ms > POINTS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    Ok(RangeParams { start_ms, end_ms, step_ms })
}

/// What query and range query have in common.
struct QueryRequest {
    limit: Option<usize>,
    timeout: Option<Duration>,
    lookback_ms: Option<i64>,
    stats: String,
}

/// Where the time of a query went, in seconds.
struct Timings {
    queued: f64,
    evaluated: f64,
}

impl QueryRequest {
    fn new(params: &Params, limit: Option<usize>) -> Result<Self, ApiError> {
        let timeout = params.duration("timeout")?;
        let timeout = timeout.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let lookback_ms = params.duration("lookback_delta").map_err(|_| {
            let text = model::labels::quoted(params.get("lookback_delta"));
            ApiError::bad_data(format!(
                "error parsing lookback delta duration: cannot parse {text} to a valid duration"
            ))
        })?;
        let lookback_ms = lookback_ms.filter(|ms| *ms > 0);
        Ok(Self { limit, timeout, lookback_ms, stats: params.get("stats").to_owned() })
    }

    /// Waits for a permit, evaluates on a blocking thread, and writes the answer there, too.
    async fn run(
        self,
        api: &Services,
        info: QueryInfo,
        eval: impl FnOnce(&Engine, &dyn Queryable, &QueryOptions) -> Result<Output, EvalError> + Send + 'static,
    ) -> Result<Response, ApiError> {
        let engine = api.engine.load_full();
        let timeout = self.timeout.unwrap_or(Duration::MAX).min(engine.options().timeout);
        let deadline = Deadline::after(api.clock.clone(), timeout);
        let ticket = engine.guard().begin(info, &api.clock);
        let cancel = ticket.cancel_token();
        // Dropped when the client goes away: hyper drops this future then.
        let _stop = StopOnDrop(cancel.clone());
        let permit = super::enter(api, timeout).await?;
        let queued = ticket.elapsed();
        let (lookback_ms, meter) = (self.lookback_ms, ticket.meter());
        let opts = QueryOptions { lookback_ms, cancel, deadline: Some(deadline), meter };
        let queryable = api.queryable.clone();
        let body = tokio::task::spawn_blocking(move || {
            let _held = permit;
            ticket.set_state(QueryState::Evaluating);
            let output = eval(&engine, &*queryable, &opts).map_err(|err| eval_error(&err));
            let evaluated = ticket.elapsed().saturating_sub(queued);
            ticket.evaluated(queued, evaluated, output.as_ref().err().map(|err| err.message.as_str()));
            ticket.set_state(QueryState::Answering);
            let timings = Timings { queued: queued.as_secs_f64(), evaluated: evaluated.as_secs_f64() };
            Ok::<_, ApiError>(self.encode(output?, &timings))
        });
        let body =
            body.await.map_err(|_| ApiError::new(ErrorKind::Internal, "the query ended by a panic"))??;
        Ok(json_response(StatusCode::OK, body))
    }

    fn encode(&self, mut output: Output, timings: &Timings) -> String {
        let mut remarks = Remarks::from_annotations(&output.annotations);
        if truncate(&mut output.value, self.limit) {
            remarks.warn("results truncated due to limit");
        }
        if !matches!(self.stats.as_str(), "" | "true" | "all") {
            remarks.warn(format!(
                "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, \
                 use \"true\" or \"all\"",
                model::labels::quoted(&self.stats)
            ));
        }
        envelope(&remarks, |json| {
            json.object(|json| {
                json.key("resultType").text(output.value.type_name());
                push_value(json.key("result"), &output.value);
                if !self.stats.is_empty() {
                    push_stats(json.key("stats"), timings);
                }
            });
        })
    }
}

/// Stops the query when nobody waits for it any more.
struct StopOnDrop(CancelToken);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn eval_error(err: &EvalError) -> ApiError {
    let kind = match err {
        EvalError::Timeout | EvalError::MemoryUsedUp { .. } => ErrorKind::Timeout,
        EvalError::Canceled => ErrorKind::Canceled,
        EvalError::Storage(_) => ErrorKind::Internal,
        _ => ErrorKind::Execution,
    };
    let mut message = super::chain(err);
    // Prometheus' words, then where to change it.
    match err {
        EvalError::TooManySamples => message.push_str(" (setting: --query.max-samples)"),
        EvalError::Timeout => message.push_str(" (setting: --query.timeout, or the request's timeout)"),
        _ => {}
    }
    ApiError::new(kind, message)
}

/// Cuts a vector or matrix to `limit` series; true when something was cut.
fn truncate(value: &mut Value, limit: Option<usize>) -> bool {
    let Some(limit) = limit else { return false };
    match value {
        Value::Vector(samples) if samples.len() > limit => samples.truncate(limit),
        Value::Matrix(series) if series.len() > limit => series.truncate(limit),
        _ => return false,
    }
    true
}

fn push_value(json: &mut Json, value: &Value) {
    match value {
        // Scalars and texts go through Go's own encoder: a float for the time, and no exponent in the value.
        Value::Scalar { t_ms, value } => json.array(|json| {
            json.number(*t_ms as f64 / 1_000.0);
            json.text(&model::float::format_f(*value));
        }),
        Value::String { t_ms, text } => json.array(|json| {
            json.number(*t_ms as f64 / 1_000.0);
            json.text(text);
        }),
        Value::Vector(samples) => json.array(|json| {
            for sample in samples {
                json.object(|json| {
                    json.key("metric").labels(&sample.labels);
                    match &sample.histogram {
                        Some(histogram) => push_histogram(json.key("histogram"), sample.t_ms, histogram),
                        None => push_point(json.key("value"), sample.t_ms, sample.value),
                    }
                });
            }
        }),
        Value::Matrix(series) => json.array(|json| {
            for series in series {
                json.object(|json| {
                    json.key("metric").labels(&series.labels);
                    if !series.points.is_empty() {
                        json.key("values").array(|json| {
                            series.points.iter().for_each(|(t_ms, value)| push_point(json, *t_ms, *value));
                        });
                    }
                    if !series.histograms.is_empty() {
                        json.key("histograms").array(|json| {
                            series.histograms.iter().for_each(|(t_ms, h)| push_histogram(json, *t_ms, h));
                        });
                    }
                });
            }
        }),
    }
}

fn push_point(json: &mut Json, t_ms: i64, value: f64) {
    json.array(|json| {
        json.sample_time(t_ms);
        json.sample_value(value);
    });
}

fn push_histogram(json: &mut Json, t_ms: i64, histogram: &Histogram) {
    json.array(|json| {
        json.sample_time(t_ms);
        json.histogram(histogram);
    });
}

/// Timings alone: samples are not counted, and a made-up count would be worse than none.
fn push_stats(json: &mut Json, timings: &Timings) {
    json.object(|json| {
        json.key("timings").object(|json| {
            json.key("evalTotalTime").number(timings.evaluated);
            json.key("resultSortTime").number(0.0);
            json.key("queryPreparationTime").number(0.0);
            json.key("innerEvalTime").number(timings.evaluated);
            json.key("execQueueTime").number(timings.queued);
            json.key("execTotalTime").number(timings.queued + timings.evaluated);
        });
    });
}
