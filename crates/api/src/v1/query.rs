//! `query`, `query_range`, `format_query`, `parse_query`: parameters to a worker thread to JSON.
//!
//! A query waits for a permit, then runs on a blocking thread, or at once where it is known to be brief; when the client goes away or the time is over, its
//! token stops it. The text of its answer is complete by then, but for large answers, which are written as the client reads.

use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use promql::{
    BRIEF_COST_MAX, CancelToken, Deadline, Engine, EvalError, Expr, Output, QueryInfo, QueryKind,
    QueryOptions, QueryState, RangeParams, SampleCounts, Ticket, Value, ValueType,
};
use storage::Queryable;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use crate::error::{ApiError, ErrorKind};
use crate::json::Json;
use crate::params::{POINTS_MAX, Params, parse_duration};
use crate::respond::{Remarks, json_response, success, written};
use crate::state::{Services, Shared};
use crate::v1::large::{LargeBody, Rows};
use crate::v1::queries::Asker;
use crate::v1::value::push_value;

/// `GET|POST /api/v1/query`
pub(crate) async fn instant(Shared(api): Shared, asker: Asker, params: Params) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let t_ms = params.time_or("time", api.clock.now_ms())?;
    let request = QueryRequest::new(&params, limit)?;
    let expr = parse(&api, params.get("query"))?;
    let steps = RangeParams { start_ms: t_ms, end_ms: t_ms, step_ms: 0 };
    let info = asker.info(QueryKind::Instant, params.get("query"), steps);
    let (query, timeout) = (params.get("query"), params.get("timeout"));
    let span = info_span!("promqlInstantQuery", query, timeout, time_ms = t_ms, error = Empty);
    let eval = move |engine: &Engine, queryable: &dyn Queryable, opts: &QueryOptions| {
        engine.instant(queryable, &expr, t_ms, opts)
    };
    traced(span, request.run(&api, info, eval)).await
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
    let RangeParams { start_ms, end_ms, step_ms } = steps;
    let (query, timeout) = (params.get("query"), params.get("timeout"));
    let span = info_span!("promqlRangeQuery", query, timeout, start_ms, end_ms, step_ms, error = Empty);
    let eval = move |engine: &Engine, queryable: &dyn Queryable, opts: &QueryOptions| {
        engine.range(queryable, &expr, steps, opts)
    };
    traced(span, request.run(&api, info, eval)).await
}

/// Runs a query as what `span` says it is.
async fn traced(
    span: Span,
    run: impl Future<Output = Result<Response, ApiError>>,
) -> Result<Response, ApiError> {
    let exec = info_span!(parent: &span, "promqlExec");
    let result = run.instrument(exec).instrument(span.clone()).await;
    if let Err(err) = &result {
        span.record("error", err.message.as_str());
    }
    result
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
    let step_ms = parse_duration(params.get("step")).map_err(|why| ApiError::parameter("step", why))?;
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

/// A query that took longer is not brief, whatever it was expected to cost: its data may come from the disk. Chosen.
const BRIEF_TIME_MAX: Duration = Duration::from_millis(2);

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

/// What is known of a query once it is evaluated.
struct Measured {
    timings: Timings,
    steps: RangeParams,
    /// Most samples held at once.
    peak: u64,
}

impl QueryRequest {
    fn new(params: &Params, limit: Option<usize>) -> Result<Self, ApiError> {
        let timeout = params.duration("timeout")?;
        let timeout = timeout.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let lookback_ms = match params.get("lookback_delta") {
            "" => None,
            text => Some(parse_duration(text).map_err(|why| {
                ApiError::bad_data(format!("error parsing lookback delta duration: {why}"))
            })?),
        };
        let lookback_ms = lookback_ms.filter(|ms| *ms > 0);
        Ok(Self { limit, timeout, lookback_ms, stats: params.get("stats").to_owned() })
    }

    /// Waits for a permit, evaluates and writes the answer: on a blocking thread, but for what is known to be brief, since a change
    /// of thread and back would take as long again.
    async fn run(
        self,
        api: &Services,
        info: QueryInfo,
        eval: impl Fn(&Engine, &dyn Queryable, &QueryOptions) -> Result<Output, EvalError> + Send + 'static,
    ) -> Result<Response, ApiError> {
        let engine = api.engine.load_full();
        let timeout = self.timeout.unwrap_or(Duration::MAX).min(engine.options().timeout);
        // Also where an answer is kept, which would take no time.
        if timeout.is_zero() {
            return Err(eval_error(&EvalError::Timeout));
        }
        let deadline = Deadline::after(api.clock.clone(), timeout);
        let may_be = info.kind == QueryKind::Instant && !api.queryable.may_wait();
        let is_brief = may_be && engine.guard().is_brief(&info.text);
        let again = is_brief.then(|| info.clone());
        let mut ticket = engine.guard().begin(info, &api.clock);
        // Dropped when the client goes away: hyper drops this future then.
        let mut stop = StopOnDrop::new(ticket.cancel_token());
        let permit = super::enter(api, timeout).instrument(info_span!("promqlExecQueue")).await?;
        let queryable = api.queryable.clone();
        if let Some(info) = again {
            let queued = ticket.elapsed();
            let work = Work { request: &self, engine: &engine, ticket, queued, deadline: deadline.clone() };
            match unwinding(|| work.run(&*queryable, &eval, Some(BRIEF_COST_MAX)))? {
                Done::Answer(body) => return Ok(body?.into_response(stop)),
                Done::TooDear => {
                    ticket = engine.guard().begin(info, &api.clock);
                    // The first ticket is gone, and its token with it.
                    stop = StopOnDrop::new(ticket.cancel_token());
                }
            }
        }
        let queued = ticket.elapsed();
        let span = Span::current();
        let body = tokio::task::spawn_blocking(move || {
            let (_held, _span) = (permit, span.entered());
            ticket.write_down();
            let work = Work { request: &self, engine: &engine, ticket, queued, deadline };
            work.run(&*queryable, &eval, None)
        });
        match body.await.map_err(|_| panicked())? {
            Done::Answer(body) => Ok(body?.into_response(stop)),
            Done::TooDear => Err(ApiError::new(ErrorKind::Internal, "a query without a cost limit hit one")),
        }
    }

    fn encode(&self, mut output: Output, measured: &Measured, n_threads: usize, ticket: Ticket) -> Text {
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
        let rows = Rows::of_large(&mut output.value);
        let json = written(&remarks, |json| {
            json.object(|json| {
                json.key("resultType").text(output.value.type_name());
                json.key("result");
                match &rows {
                    None => push_value(json, &output.value),
                    Some(_) => json.array(Json::leave_gap),
                }
                if !self.stats.is_empty() {
                    let samples = Samples {
                        steps: measured.steps,
                        by_step: &output.samples_by_step,
                        peak: measured.peak,
                    };
                    push_stats(json.key("stats"), &measured.timings, &samples, self.stats == "all");
                }
            });
        });
        match rows {
            None => Text::Whole(json.finish()),
            Some(rows) => {
                Text::Large(Box::new(LargeBody::new(rows, json.finish_around(), n_threads, ticket)))
            }
        }
    }
}

/// The body of an answer.
enum Text {
    Whole(String),
    Large(Box<LargeBody>),
}

impl Text {
    /// `stop` is of the request; a large answer has its own.
    fn into_response(self, stop: StopOnDrop) -> Response {
        match self {
            Self::Whole(text) => json_response(StatusCode::OK, text),
            Self::Large(body) => {
                stop.release();
                body.into_response()
            }
        }
    }
}

/// What is left to do once a query may run.
struct Work<'a> {
    request: &'a QueryRequest,
    engine: &'a Engine,
    ticket: Ticket,
    queued: Duration,
    deadline: Deadline,
}

/// How it ended.
enum Done {
    /// Its body, or why there is none.
    Answer(Result<Text, ApiError>),
    /// It costs more than was allowed.
    TooDear,
}

impl Work<'_> {
    fn run(
        self,
        queryable: &dyn Queryable,
        eval: &impl Fn(&Engine, &dyn Queryable, &QueryOptions) -> Result<Output, EvalError>,
        cost_max: Option<u64>,
    ) -> Done {
        let Self { request, engine, ticket, queued, deadline } = self;
        let (cancel, meter) = (ticket.cancel_token(), ticket.meter());
        let lookback_ms = request.lookback_ms;
        let counts_samples = !request.stats.is_empty();
        let opts =
            QueryOptions { lookback_ms, cancel, deadline: Some(deadline), meter, counts_samples, cost_max };
        ticket.set_state(QueryState::Evaluating);
        let output = eval(engine, queryable, &opts);
        let guard = engine.guard();
        if matches!(output, Err(EvalError::TooDear)) {
            guard.set_brief(&ticket.info().text, false);
            return Done::TooDear;
        }
        let output = output.map_err(|err| eval_error(&err));
        let evaluated = ticket.elapsed().saturating_sub(queued);
        if ticket.info().kind == QueryKind::Instant {
            let is_brief = opts.meter.cost() <= BRIEF_COST_MAX && evaluated <= BRIEF_TIME_MAX;
            guard.set_brief(&ticket.info().text, is_brief);
        }
        ticket.evaluated(queued, evaluated, output.as_ref().err().map(|err| err.message.as_str()));
        ticket.set_state(QueryState::Answering);
        let timings = Timings { queued: queued.as_secs_f64(), evaluated: evaluated.as_secs_f64() };
        let info = ticket.info();
        let steps = RangeParams { start_ms: info.start_ms, end_ms: info.end_ms, step_ms: info.step_ms };
        let measured = Measured { timings, steps, peak: opts.meter.n_samples_peak() };
        let n_threads = engine.options().threads;
        Done::Answer(output.and_then(|output| {
            let text = request.encode(output, &measured, n_threads, ticket);
            if opts.cancel.is_canceled() { Err(eval_error(&EvalError::Canceled)) } else { Ok(text) }
        }))
    }
}

/// As a blocking thread would, turns a panic into an error.
fn unwinding<T>(work: impl FnOnce() -> T) -> Result<T, ApiError> {
    // What `work` shares with others are locks and atomics that are whole between any two calls.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|_| panicked())
}

fn panicked() -> ApiError {
    ApiError::new(ErrorKind::Internal, "the query ended by a panic")
}

/// Stops the query when nobody waits for it any more.
pub(super) struct StopOnDrop(Option<CancelToken>);

impl StopOnDrop {
    pub(super) fn new(token: CancelToken) -> Self {
        Self(Some(token))
    }

    /// Leaves it to another.
    fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(token) = &self.0 {
            token.cancel();
        }
    }
}

pub(super) fn eval_error(err: &EvalError) -> ApiError {
    if let EvalError::Duration(why) = err {
        return ApiError::parameter("query", why);
    }
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

/// Where the time went, and the samples that were looked at, with `all` step by step.
fn push_stats(json: &mut Json, timings: &Timings, samples: &Samples<'_>, is_all: bool) {
    json.object(|json| {
        json.key("timings").object(|json| {
            json.key("evalTotalTime").number(timings.evaluated);
            json.key("resultSortTime").number(0.0);
            json.key("queryPreparationTime").number(0.0);
            json.key("innerEvalTime").number(timings.evaluated);
            json.key("execQueueTime").number(timings.queued);
            json.key("execTotalTime").number(timings.queued + timings.evaluated);
        });
        json.key("samples").object(|json| {
            if is_all {
                samples.push_steps(json.key("totalQueryableSamplesPerStep"), |counts| counts.looked);
            }
            let total: SampleCounts = samples.by_step.iter().copied().sum();
            json.key("totalQueryableSamples").int(total.looked);
            if is_all {
                samples.push_steps(json.key("samplesReadPerStep"), |counts| counts.read);
            }
            json.key("samplesRead").int(total.read);
            json.key("peakSamples").int(samples.peak);
        });
    });
}

/// What a query looked at and held.
struct Samples<'a> {
    steps: RangeParams,
    by_step: &'a [SampleCounts],
    /// Most samples held at once.
    peak: u64,
}

impl Samples<'_> {
    fn push_steps(&self, json: &mut Json, of: impl Fn(&SampleCounts) -> u64) {
        json.array(|json| {
            let times = (0..).map(|step| self.steps.start_ms + step * self.steps.step_ms);
            for (t_ms, counts) in times.zip(self.by_step) {
                json.array(|json| {
                    json.number(t_ms as f64 / 1_000.0);
                    json.int(of(counts));
                });
            }
        });
    }
}
