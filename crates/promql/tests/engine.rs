//! What the engine promises beyond values: limits, cancelling, deadlines, messages, positions.

use std::sync::Arc;
use std::time::Duration;

use model::{Labels, Matcher, TimeRange};
use promql::{
    CancelToken, Deadline, Engine, EngineOptions, EvalError, QueryOptions, RangeParams, Value,
    metric_selector, parse,
};
use stdx::TestClock;
use storage::{Appendable, MemStore, QueryError, Queryable, RolledUp, SelectHints, Series, SeriesSet, Stop};

fn store() -> MemStore {
    let store = MemStore::new();
    let mut appender = store.appender(0);
    for n in 0..10 {
        for name in ["x", "y_total"] {
            let labels = Labels::from_pairs([("__name__", name), ("i", "1")]);
            appender.append(None, &labels, n * 15_000, n as f64).expect("times rise");
        }
    }
    appender.commit().expect("memory takes everything");
    store
}

fn instant(engine: &Engine, query: &str, opts: &QueryOptions) -> Result<promql::Output, EvalError> {
    engine.instant(&store(), &parse(query).expect("the query is valid"), 120_000, opts)
}

#[test]
fn too_many_samples_are_refused() {
    let engine = Engine::new(EngineOptions { samples_max: 5, ..EngineOptions::default() });
    let err = instant(&engine, "sum_over_time(x[2m])", &QueryOptions::default()).expect_err("8 samples");
    let expected = "query processing would load too many samples into memory in query execution";
    assert_eq!(err.to_string(), expected);
    assert!(instant(&engine, "x + 1", &QueryOptions::default()).is_ok());
}

#[test]
fn a_canceled_query_ends() {
    let cancel = CancelToken::new();
    cancel.cancel();
    let opts = QueryOptions { cancel, ..QueryOptions::default() };
    assert!(matches!(instant(&Engine::default(), "x", &opts), Err(EvalError::Canceled)));
}

#[test]
fn a_query_ends_at_its_deadline() {
    let clock = Arc::new(TestClock::new());
    let deadline = Some(Deadline::after(clock.clone(), Duration::from_secs(1)));
    let opts = QueryOptions { deadline, ..QueryOptions::default() };
    assert!(instant(&Engine::default(), "x", &opts).is_ok());
    clock.advance_ms(1_000);
    assert!(matches!(instant(&Engine::default(), "x", &opts), Err(EvalError::Timeout)));
}

#[test]
fn annotations_carry_positions() {
    let output =
        instant(&Engine::default(), "sum(\n rate(x[1m]))", &QueryOptions::default()).expect("a value");
    let text = "PromQL info: metric might not be a counter, name does not end in \
                _total/_sum/_count/_bucket: \"x\" (2:7)";
    assert_eq!(output.annotations.infos(), [text]);
    let output = instant(&Engine::default(), "rate(y_total[1m])", &QueryOptions::default()).expect("a value");
    assert!(output.annotations.is_empty());
}

#[test]
fn floats_give_nothing_to_functions_of_histograms_and_start_timestamps() {
    for query in ["histogram_sum(x)", "histogram_stdvar(x)", "start_timestamp(x)", "x </ 1"] {
        let output = instant(&Engine::default(), query, &QueryOptions::default()).expect("an answer");
        assert!(matches!(&output.value, Value::Vector(samples) if samples.is_empty()), "{query}");
    }
}

#[test]
fn every_type_of_value_comes_out() {
    let check = |query: &str, expected: &str| {
        let output = instant(&Engine::default(), query, &QueryOptions::default()).expect("a value");
        assert_eq!(output.value.type_name(), expected, "{query}");
    };
    check("x", "vector");
    check("x[1m]", "matrix");
    check("x[1m:15s]", "matrix");
    check("1", "scalar");
    check("\"text\"", "string");
}

#[test]
fn range_queries_take_scalars_and_vectors_only() {
    let run = |query: &str, step_ms| {
        let params = RangeParams { start_ms: 0, end_ms: 60_000, step_ms };
        let expr = parse(query).expect("the query is valid");
        Engine::default().range(&store(), &expr, params, &QueryOptions::default()).map(|o| o.value)
    };
    let err = run("x[1m]", 1_000).expect_err("no range vectors");
    let expected =
        "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector";
    assert_eq!(err.to_string(), expected);
    assert!(run("x", 0).is_err());
    let Ok(Value::Matrix(series)) = run("1", 30_000) else {
        panic!("a matrix");
    };
    assert_eq!(series[0].points, [(0, 1.0), (30_000, 1.0), (60_000, 1.0)]);
}

#[test]
fn parse_errors_are_prometheus_own() {
    let check = |query: &str, expected: &str| {
        assert_eq!(parse(query).expect_err("not a query").to_string(), expected, "{query}");
    };
    check("", "unknown position: parse error: no expression found in input");
    check("1 +", "1:4: parse error: unexpected end of input");
    check("foo bar", "1:5: parse error: unexpected identifier \"bar\"");
    check("sum(foo bar)", "1:9: parse error: unexpected identifier \"bar\" in aggregation");
    check(
        "foo{a=~\"b\" c}",
        "1:12: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\"",
    );
    check("nope(x)", "1:1: parse error: unknown function with name \"nope\"");
    check(
        "rate(x)",
        "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
    );
    check("1 < 2", "1:3: parse error: comparisons between scalars must use BOOL modifier");
    check("{a=\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher");
    check("x[5m", "1:5: parse error: unclosed left bracket");
    check(
        "\n\nx offset",
        "3:9: parse error: unexpected end of input in offset, expected number, duration, step(), or range()",
    );
}

#[test]
fn selectors_of_an_expression_are_found() {
    let expr = parse("rate(a[1m]) / on (x) (b{c=\"d\"} or sum(e))").expect("the query is valid");
    let names: Vec<_> = expr.selectors().iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "e"]);
    assert_eq!(metric_selector("up{job=~\"a.*\"}").expect("a selector").len(), 2);
    assert!(metric_selector("up offset 5m").is_err());
    assert!(metric_selector("up[5m]").is_err());
}

#[test]
fn extreme_times_do_not_panic() {
    let queries = [
        "x @ 9000000000000000",
        "x @ -9000000000000000",
        "x offset 292y",
        "x offset -292y",
        "rate(x[292y] @ 9e15 offset -292y)",
        "rate(x[292y] smoothed)",
        "x smoothed",
        "rate(x[1m] anchored)",
        "x[1m] smoothed",
        "sum_over_time(x[1ms:1ms])",
        "sum_over_time(x[292y:100y] offset 292y)",
        "count_over_time(x[292y:1y] @ -9e15)",
        "predict_linear(x[5m], 1e308)",
        "predict_linear(x[292y:50y], 1)",
        "timestamp(x) + hour() + year(vector(9e18)) + day_of_year(vector(-9e18)) + hour(vector(NaN))",
        "topk(9223372036854774784, x) + bottomk(1e18, x)",
        "deriv(x[292y] offset -292y)",
        "info(x offset 292y)",
        "x[step() + 292y]",
        "x offset (1y * 1e9 ^ 2)",
    ];
    for query in queries {
        let expr = parse(query).expect(query);
        for t_ms in [0, 120_000, i64::MAX, i64::MIN, i64::MAX / 2, i64::MIN / 2, 1 << 58, -(1 << 58)] {
            for lookback_ms in [None, Some(i64::MAX), Some(0)] {
                let opts = QueryOptions { lookback_ms, ..QueryOptions::default() };
                let engine = Engine::new(EngineOptions { samples_max: 10_000, ..EngineOptions::default() });
                let _ = engine.instant(&store(), &expr, t_ms, &opts);
                for step_ms in [1, 60_000, i64::MAX] {
                    let end_ms = t_ms.saturating_add(step_ms.saturating_mul(2));
                    let _ =
                        engine.range(&store(), &expr, RangeParams { start_ms: t_ms, end_ms, step_ms }, &opts);
                }
            }
        }
    }
}

#[test]
fn a_query_over_budget_ends_with_an_error_that_names_the_setting() {
    let check = |options: EngineOptions, guard: promql::Guard, query: &str, expected: &str| {
        let engine = Engine::new(options).with_guard(guard);
        let info = promql::QueryInfo {
            kind: promql::QueryKind::Instant,
            text: query.to_owned(),
            start_ms: 0,
            end_ms: 0,
            step_ms: 0,
            origin: promql::QueryOrigin::Rule { file: String::new(), group: String::new() },
        };
        let clock: Arc<dyn stdx::Clock> = Arc::new(TestClock::new());
        let ticket = engine.guard().begin(info, &clock);
        let opts = QueryOptions { meter: ticket.meter(), ..QueryOptions::default() };
        let got = instant(&engine, query, &opts).map(|_| ()).map_err(|err| err.to_string());
        assert_eq!(got, Err(expected.to_owned()), "{query}");
    };
    let series = EngineOptions { series_max: 1, ..EngineOptions::default() };
    check(
        series,
        promql::Guard::default(),
        "x + (x offset 1s)",
        "query reads more than 1 series (setting: --query.max-series)",
    );
    let memory = EngineOptions { memory_bytes_max: 15, ..EngineOptions::default() };
    let expected = "query holds more than 15 bytes of samples in memory (setting: --query.max-memory-bytes)";
    check(memory, promql::Guard::default(), "x", expected);
    let (guard, before) =
        promql::Guard::open(100, Arc::new(stdx::MemDir::new()), &stdx::metrics::Registry::new());
    assert!(before.is_empty());
    let expected = "all running queries together hold 100 bytes of samples in memory, and this one needs more \
                    (setting: --query.total-memory-bytes); try again later";
    check(EngineOptions::default(), guard, "x", expected);
}

#[test]
fn running_queries_are_listed_with_their_cost_and_can_be_stopped() {
    let engine = Engine::default();
    let info = promql::QueryInfo {
        kind: promql::QueryKind::Instant,
        text: "x".to_owned(),
        start_ms: 0,
        end_ms: 0,
        step_ms: 0,
        origin: promql::QueryOrigin::Rule { file: String::new(), group: String::new() },
    };
    let clock: Arc<dyn stdx::Clock> = Arc::new(TestClock::new());
    let ticket = engine.guard().begin(info, &clock);
    let opts =
        QueryOptions { meter: ticket.meter(), cancel: ticket.cancel_token(), ..QueryOptions::default() };
    assert!(instant(&engine, "x", &opts).is_ok());
    let listed = engine.guard().list();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].meter.n_series() > 0 && listed[0].meter.n_samples() > 0, "{listed:?}");
    assert!(engine.guard().cancel(listed[0].id));
    assert!(matches!(instant(&engine, "x", &opts), Err(EvalError::Canceled)));
    drop(ticket);
    assert!(engine.guard().list().is_empty());
    assert!(!engine.guard().cancel(listed[0].id));
}

/// Some of its samples are rows of roll-ups.
struct RolledUpStore(MemStore);

struct RolledUpSet<'a>(Box<dyn SeriesSet + 'a>, [RolledUp; 1]);

impl SeriesSet for RolledUpSet<'_> {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        self.0.next()
    }

    fn rolled_up(&self) -> &[RolledUp] {
        &self.1
    }
}

impl Queryable for RolledUpStore {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        let part = RolledUp { interval_ms: 3_600_000, before_ms: 1_700_006_400_000 };
        Ok(Box::new(RolledUpSet(self.0.select(matchers, range, hints)?, [part])))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        self.0.label_names(matchers, range, limit)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        self.0.label_values(name, matchers, range, limit)
    }
}

#[test]
fn answers_from_roll_ups_say_so_once() {
    let store = RolledUpStore(store());
    let expected = "PromQL info: answered from 1h roll-ups before 2023-11-15T00:00:00Z (1:1)";
    for query in ["x", "x + x", "sum(y_total)", "rate(y_total[1m])", "avg_over_time(x[1m:15s])"] {
        let expr = parse(query).expect("the query is valid");
        let output = Engine::default().instant(&store, &expr, 120_000, &QueryOptions::default());
        assert_eq!(output.expect("answered").annotations.infos(), [expected], "{query}");
    }
}

#[test]
fn functions_that_rows_cannot_answer_say_so() {
    let store = RolledUpStore(store());
    let check = |query: &str, expected: &[&str]| {
        let expr = parse(query).expect("the query is valid");
        let output = Engine::default().instant(&store, &expr, 120_000, &QueryOptions::default());
        assert_eq!(output.expect("answered").annotations.warnings(), expected, "{query}");
    };
    for query in ["x", "max_over_time(x[5m])", "increase(y_total[5m])", "avg_over_time(x[1m])"] {
        check(query, &[]);
    }
    for function in ["resets", "changes", "deriv", "stddev_over_time"] {
        let expected = format!(
            "PromQL warning: {function} sees one value for every 1h before 2023-11-15T00:00:00Z: roll-ups do not keep what it needs (1:1)"
        );
        check(&format!("{function}(x[5m])"), &[&expected]);
        check(&format!("{function}(x[5m]) + {function}(x[5m])"), &[&expected]);
    }
}

#[test]
fn factors_of_smoothing_are_looked_at_where_there_is_something_to_smooth() {
    let check = |query: &str, expected: Result<usize, &str>| {
        let got = instant(&Engine::default(), query, &QueryOptions::default());
        let got = got.map(|output| match output.value {
            Value::Vector(samples) => samples.len(),
            _ => 0,
        });
        assert_eq!(got.map_err(|err| err.to_string()), expected.map_err(str::to_owned), "{query}");
    };
    check("double_exponential_smoothing(nothing[5m], 0, 0.5)", Ok(0));
    check("double_exponential_smoothing(x[5m], 0.5, 0.5)", Ok(1));
    let bad = "invalid trend factor. Expected: 0 < tf < 1, got: 1.000000";
    check("double_exponential_smoothing(x[5m], 0.5, 1)", Err(bad));
}

#[test]
fn samples_are_counted_step_by_step_as_upstream_counts_them() {
    let store = MemStore::new();
    let mut appender = store.appender(0);
    for t_ms in (0..=60_000).step_by(10_000) {
        for host in ["a", "b"] {
            let labels = Labels::from_pairs([("__name__", "x"), ("host", host)]);
            appender.append(None, &labels, t_ms, 1.0).unwrap();
        }
    }
    appender.commit().unwrap();
    let check = |query: &str, looked: &[u64], read: &[u64]| {
        let engine = Engine::new(EngineOptions { lookback_ms: 15_000, ..EngineOptions::default() });
        let opts = QueryOptions { counts_samples: true, ..QueryOptions::default() };
        let params = RangeParams { start_ms: 20_000, end_ms: 80_000, step_ms: 20_000 };
        let expr = parse(query).expect("a query");
        let output = engine.range(&store, &expr, params, &opts).expect("an answer");
        let steps = output.samples_by_step;
        assert_eq!(steps.iter().map(|counts| counts.looked).collect::<Vec<_>>(), looked, "{query}");
        assert_eq!(steps.iter().map(|counts| counts.read).collect::<Vec<_>>(), read, "{query}");
        let plain = engine.range(&store, &expr, params, &QueryOptions::default()).expect("an answer");
        assert!(plain.samples_by_step.is_empty());
    };
    check("1", &[0, 0, 0, 0], &[0, 0, 0, 0]);
    check("x", &[2, 2, 2, 0], &[2, 2, 2, 0]);
    check("x offset 20s", &[2, 2, 2, 2], &[2, 2, 2, 2]);
    check("sum(x) + sum(x)", &[4, 4, 4, 0], &[4, 4, 4, 0]);
    check("timestamp(x{host=\"a\"})", &[1, 1, 1, 0], &[1, 1, 1, 0]);
    check("rate(x[30s])", &[6, 6, 6, 2], &[6, 4, 4, 0]);
    check("sum(sum_over_time(x[30s]))", &[6, 6, 6, 2], &[6, 4, 4, 0]);
    check("x @ 30", &[2, 2, 2, 2], &[2, 0, 0, 0]);
    check("rate(x[30s] @ 60)", &[6, 6, 6, 6], &[6, 0, 0, 0]);
    // The steps at 0, 20, 40 and 60 read two samples each; that at 80 finds none.
    check("max_over_time(x[40s:20s])", &[4, 4, 4, 2], &[4, 2, 2, 0]);
    check("max_over_time(x[10s:5s])", &[4, 4, 4, 0], &[4, 4, 4, 0]);
    check("absent(y)", &[0, 0, 0, 0], &[0, 0, 0, 0]);
}

#[test]
fn a_query_dearer_than_its_caller_allows_ends_at_once() {
    let engine = Engine::default();
    let check = |query: &str, cost_max: Option<u64>, is_allowed: bool| {
        let opts = QueryOptions { cost_max, ..QueryOptions::default() };
        let got = instant(&engine, query, &opts);
        assert_eq!(!matches!(got, Err(EvalError::TooDear)), is_allowed, "{query}: {got:?}");
    };
    check("vector(1)", Some(promql::BRIEF_COST_MAX), true);
    check("sum_over_time(vector(1)[200000s:1s])", Some(promql::BRIEF_COST_MAX), false);
    check("sum_over_time(vector(1)[200000s:1s])", None, true);
}

/// A clock that runs on each time it is read, by a second: as often as the engine looks.
#[derive(Debug)]
struct Looks {
    n: std::sync::atomic::AtomicU64,
    /// Cancelled at the so-manyeth look.
    cancel: (u64, CancelToken),
}

impl stdx::Clock for Looks {
    fn monotonic(&self) -> Duration {
        let n = 1 + self.n.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if n == self.cancel.0 {
            self.cancel.1.cancel();
        }
        Duration::from_secs(n)
    }

    fn now_ms(&self) -> i64 {
        0
    }
}

#[test]
fn a_query_is_stopped_within_one_series() {
    const LOOKS: u64 = 30;
    let run = |query: &str, n_steps: i64, cancel_at: u64, timeout_s: u64| {
        let cancel = CancelToken::new();
        let clock: Arc<dyn stdx::Clock> =
            Arc::new(Looks { n: 0.into(), cancel: (cancel_at, cancel.clone()) });
        let deadline = Some(Deadline { clock, at: Duration::from_secs(timeout_s) });
        let opts = QueryOptions { cancel, deadline, ..QueryOptions::default() };
        let params = RangeParams { start_ms: 0, end_ms: (n_steps - 1) * 1_000, step_ms: 1_000 };
        let expr = parse(query).expect("a query");
        Engine::default().range(&store(), &expr, params, &opts).map(|_| ())
    };
    let check = |query: &str, n_steps: i64| {
        let got = run(query, n_steps, LOOKS, u64::MAX);
        assert!(matches!(got, Err(EvalError::Canceled)), "{query}: {got:?}");
        let got = run(query, n_steps, u64::MAX, LOOKS);
        assert!(matches!(got, Err(EvalError::Timeout)), "{query}: {got:?}");
    };
    // Wide windows at many steps.
    for function in [
        "avg_over_time",
        "changes",
        "count_over_time",
        "deriv",
        "mad_over_time",
        "max_over_time",
        "stddev_over_time",
        "sum_over_time",
        "ts_of_max_over_time",
    ] {
        check(&format!("{function}(vector(time())[1m:1ms])"), 100);
    }
    check("quantile_over_time(0.5, vector(time())[1m:1ms])", 100);
    check("predict_linear(vector(time())[1m:1ms], 60)", 100);
    check("rate(vector(time() * 1000 % 2)[1m:1ms])", 100);
    // Many steps, each little work.
    for inner in [
        "sin(vector(time()))",
        "hour(vector(time()))",
        "round(vector(time()), 0.5)",
        "vector(2 ^ time())",
        "vector(time()) ^ 2",
        "vector(time()) + on () vector(time())",
        "vector(scalar(vector(time())))",
        "x smoothed",
        "absent(vector(time()) > 1e9)",
    ] {
        check(&format!("count_over_time(({inner})[40m:1ms])"), 1);
    }
    check("count_values(\"v\", vector(time()))", 10_000);
}

/// A series that is read for so long that its reader asks whether to stop.
struct Long {
    inner: MemStore,
    n_looks: u32,
}

struct LongSet {
    stop: Stop,
    n_looks: u32,
}

impl SeriesSet for LongSet {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        let is_told = (0..self.n_looks).any(|_| self.stop.is_told());
        if is_told { Err(QueryError::Canceled) } else { Ok(None) }
    }
}

impl Queryable for Long {
    fn select(
        &self,
        _: &[Matcher],
        _: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        Ok(Box::new(LongSet { stop: hints.stop.clone(), n_looks: self.n_looks }))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        n: usize,
    ) -> Result<Vec<String>, QueryError> {
        self.inner.label_names(matchers, range, n)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        n: usize,
    ) -> Result<Vec<String>, QueryError> {
        self.inner.label_values(name, matchers, range, n)
    }
}

#[test]
fn a_reader_stops_within_a_series_and_the_query_says_why() {
    let run = |query: &str, n_looks: u32, cancel_at: u64, timeout_s: u64| {
        let cancel = CancelToken::new();
        let clock: Arc<dyn stdx::Clock> =
            Arc::new(Looks { n: 0.into(), cancel: (cancel_at, cancel.clone()) });
        let deadline = Some(Deadline { clock, at: Duration::from_secs(timeout_s) });
        let opts = QueryOptions { cancel, deadline, ..QueryOptions::default() };
        let store = Long { inner: MemStore::new(), n_looks };
        Engine::default().instant(&store, &parse(query).expect("a query"), 0, &opts).map(|_| ())
    };
    for query in ["x", "x[5m]", "rate(x[5m])", "sum by (i) (x offset 1m)", "max_over_time(rate(x[5m])[5m:])"]
    {
        let got = run(query, 100, 50, u64::MAX);
        assert!(matches!(got, Err(EvalError::Canceled)), "{query}: {got:?}");
        let got = run(query, 100, u64::MAX, 50);
        assert!(matches!(got, Err(EvalError::Timeout)), "{query}: {got:?}");
        assert!(run(query, 0, u64::MAX, 50).is_ok(), "{query}");
    }
}
