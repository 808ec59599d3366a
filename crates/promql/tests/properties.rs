//! Properties that hold for every query: what is printed parses to the same, a range query is its instants step by
//! step, and no text makes the parser or the evaluator panic.

mod common;

use std::collections::BTreeMap;

use model::histogram::Span;
use model::{Histogram, Labels, STALE_NAN};
use promql::{Engine, EngineOptions, QueryOptions, RangeParams, Value, ValueType, VectorSample, parse};
use proptest::prelude::*;
use storage::{Appendable, Appender, MemStore};

/// Distance of the samples that are not left out.
const GAP_MS: i64 = 15_000;

/// One sample: how it differs from a plain counter.
#[derive(Debug, Clone, Copy)]
enum Place {
    Grows(u8),
    Resets,
    Missing,
    Stale,
    Nan,
    Infinite,
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        12 => (0u8..9).prop_map(Place::Grows),
        1 => Just(Place::Resets),
        2 => Just(Place::Missing),
        1 => Just(Place::Stale),
        1 => Just(Place::Nan),
        1 => Just(Place::Infinite),
    ]
}

fn store(series: &[Vec<Place>]) -> MemStore {
    let store = MemStore::new();
    let mut appender = store.appender(0);
    let names = ["a_total", "a_total", "b", "b", "h_bucket", "h_bucket"];
    let bounds = ["", "", "", "", "1", "+Inf"];
    for (idx, places) in series.iter().enumerate() {
        let (name, le) = (names[idx % names.len()], bounds[idx % bounds.len()]);
        // Buckets of one histogram differ in nothing but their bound.
        let number = if le.is_empty() { idx } else { idx / names.len() }.to_string();
        let labels = Labels::from_pairs([("__name__", name), ("i", number.as_str()), ("le", le), ("g", "x")]);
        let mut total = 0.0;
        for (place, t_ms) in places.iter().zip((0..).map(|n: i64| n * GAP_MS)) {
            let value = match place {
                Place::Grows(by) => {
                    total += f64::from(*by) / 3.0;
                    total
                }
                Place::Resets => {
                    total = 0.5;
                    total
                }
                Place::Missing => continue,
                Place::Stale => STALE_NAN,
                Place::Nan => f64::NAN,
                Place::Infinite => f64::INFINITY,
            };
            appender.append(None, &labels, t_ms, value).expect("times rise");
        }
    }
    for (idx, places) in series.iter().enumerate() {
        append_natives(&mut *appender, ["n", "m"][idx % 2], idx / 2, places);
    }
    appender.commit().expect("memory takes everything");
    store
}

/// A native histogram that counts as the places say; `m` is a float now and then.
fn append_natives(appender: &mut dyn Appender, name: &str, number: usize, places: &[Place]) {
    let number = number.to_string();
    let labels = Labels::from_pairs([("__name__", name), ("i", number.as_str()), ("g", "x")]);
    let mut counts = [0.0; 3];
    let mut put = |t_ms, histogram: Result<Histogram, f64>| {
        let appended = match &histogram {
            Ok(histogram) => appender.append_histogram(None, &labels, t_ms, 0, histogram),
            Err(value) => appender.append(None, &labels, t_ms, *value),
        };
        appended.expect("times rise");
    };
    for (step, place) in places.iter().enumerate() {
        let t_ms = step as i64 * GAP_MS;
        match place {
            Place::Grows(by) => counts[usize::from(*by) % 3] += f64::from(*by),
            Place::Resets => counts = [1.0, 0.0, 0.0],
            Place::Missing => continue,
            Place::Stale => {
                put(t_ms, Err(STALE_NAN));
                continue;
            }
            Place::Nan | Place::Infinite if name == "m" => {
                put(t_ms, Err(step as f64));
                continue;
            }
            Place::Nan | Place::Infinite => {}
        }
        // A finer schema now and then.
        let schema = i32::from(number == "1" && step > 10);
        put(t_ms, Ok(native(schema, counts)));
    }
}

fn native(schema: i32, counts: [f64; 3]) -> Histogram {
    Histogram {
        schema,
        zero_threshold: 0.001,
        zero_count: counts[0],
        count: counts.iter().sum(),
        sum: counts[1] * 1.5 + counts[2] * 3.0,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive_buckets: counts[1..].to_vec(),
        ..Histogram::default()
    }
}

const QUERIES: &[&str] = &[
    "a_total",
    "a_total offset 30s",
    "a_total @ 60",
    "rate(a_total[1m])",
    "increase(a_total[45s] offset -15s)",
    "irate(a_total[2m])",
    "delta(b[1m])",
    "rate(a_total[1m] anchored)",
    "rate(a_total[1m] smoothed)",
    "b smoothed",
    "deriv(b[2m])",
    "predict_linear(b[2m], 60)",
    "double_exponential_smoothing(b[2m], 0.5, 0.3)",
    "avg_over_time(b[1m])",
    "sum_over_time(b[1m])",
    "stddev_over_time(b[1m])",
    "quantile_over_time(0.3, b[1m])",
    "mad_over_time(b[90s])",
    "changes(b[2m]) + resets(b[2m])",
    "max_over_time(b[1m]) - min_over_time(b[1m])",
    "ts_of_max_over_time(b[1m])",
    "last_over_time(b[30s])",
    "absent_over_time(b[30s])",
    "absent(a_total)",
    "timestamp(b)",
    "max_over_time(rate(a_total[1m])[2m:20s])",
    "sum by (g) (b)",
    "sum by (g) (rate(a_total[1m]))",
    "avg(increase({__name__=~\"a_total|h_bucket\"}[90s]))",
    "min(b) + max by (g) (b) + count(b) * group(b)",
    "count by (__name__) ({i=~\".+\"})",
    "stdvar by (g) (sum_over_time(b[2m]))",
    "sum_over_time(b[2m:15s])",
    "avg without (i) (b)",
    "stddev(b) or stdvar(a_total)",
    "quantile by (g) (0.7, b)",
    "topk(1, b)",
    "bottomk by (g) (2, {__name__=~\"a_total|b\"})",
    "count_values(\"v\", b)",
    "limitk(1, b)",
    "limit_ratio(0.5, b)",
    "b > 1",
    "b > bool 1",
    "-b ^ 2 % 3",
    "b / on (g) group_left () sum by (g) (b)",
    "b + ignoring (i, le) group_right () max by (g) (b)",
    "b and b > 2 unless b > 4",
    "a_total or b",
    "b + fill (1) (b > 2)",
    "histogram_quantile(0.9, h_bucket)",
    "histogram_quantile(0.9, rate(h_bucket[1m]))",
    "histogram_fraction(0, 1, h_bucket)",
    "label_replace(b, \"j\", \"$1\", \"i\", \"(.*)\")",
    "label_join(b, \"j\", \"-\", \"i\", \"g\")",
    "clamp(b, 1, scalar(sum(b)))",
    "round(b, 0.5) * hour()",
    "vector(time()) + minute(b)",
    "scalar(b{i=\"2\"}) + 1",
];

/// What stands at one step of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Point {
    /// Bits; every NaN is one.
    Float(u64),
    Histogram(String),
}

fn float(value: f64) -> Point {
    Point::Float(if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() })
}

fn histogram(histogram: &Histogram) -> Point {
    Point::Histogram(format!("{histogram:?}"))
}

type Points = BTreeMap<(Labels, i64), Point>;

fn range_points(
    engine: &Engine,
    store: &MemStore,
    query: &str,
    params: RangeParams,
) -> Result<Points, String> {
    let expr = parse(query).expect("the query is valid");
    let output =
        engine.range(store, &expr, params, &QueryOptions::default()).map_err(|err| err.to_string())?;
    let Value::Matrix(series) = output.value else {
        return Err("no matrix".to_owned());
    };
    let mut points = Points::new();
    for one in &series {
        points.extend(one.points.iter().map(|(t, v)| ((one.labels.clone(), *t), float(*v))));
        points.extend(one.histograms.iter().map(|(t, h)| ((one.labels.clone(), *t), histogram(h))));
    }
    Ok(points)
}

fn instant_points(engine: &Engine, store: &MemStore, query: &str, t_ms: i64) -> Result<Points, String> {
    let expr = parse(query).expect("the query is valid");
    let output =
        engine.instant(store, &expr, t_ms, &QueryOptions::default()).map_err(|err| err.to_string())?;
    let point = |sample: VectorSample| {
        let point = sample.histogram.as_deref().map_or_else(|| float(sample.value), histogram);
        ((sample.labels, t_ms), point)
    };
    Ok(match output.value {
        Value::Vector(samples) => samples.into_iter().map(point).collect(),
        Value::Scalar { value, .. } => Points::from([((Labels::empty(), t_ms), float(value))]),
        other => return Err(format!("unexpected {}", other.type_name())),
    })
}

/// All that is asked of one store: the fixed queries, and those of `random` that are valid.
fn queries(random: &[String]) -> impl Iterator<Item = &str> {
    let valid = random.iter().map(String::as_str).filter(|query| {
        parse(query).is_ok_and(|expr| matches!(expr.value_type(), ValueType::Vector | ValueType::Scalar))
    });
    QUERIES.iter().copied().chain(valid)
}

/// Whether one way failed where the other may not: series that became the same are refused over a whole range, though no step has two of them.
fn is_twins_error<T>(result: &Result<T, String>) -> bool {
    result.as_ref().is_err_and(|err| err.contains("same labelset"))
}

/// Whether something puts series in order within another expression. An instant keeps that order, as in Prometheus, and a range has none: what
/// stands around it adds up in another order, or takes other series for its first two.
fn orders_within(query: &str) -> bool {
    ["sort_desc", "topk", "bottomk"].iter().any(|word| query.rfind(word).is_some_and(|at| at > 0))
}

proptest! {
    #![proptest_config(common::cases(48))]

    #[test]
    fn a_range_query_is_its_instants_step_by_step(
        series in proptest::collection::vec(proptest::collection::vec(place(), 0..30), 1..7),
        start_ms in 0i64..300_000,
        step_ms in 1_000i64..60_000,
        n_steps in 1i64..12,
        delayed_name_removal: bool,
        random in proptest::collection::vec(common::expression(), 24),
    ) {
        let store = store(&series);
        let options = EngineOptions { lookback_ms: 60_000, delayed_name_removal, ..EngineOptions::default() };
        let engine = Engine::new(options);
        let params = RangeParams { start_ms, end_ms: start_ms + (n_steps - 1) * step_ms, step_ms };
        // With names that go at the end, series of one name may be one series over a range and two at its steps.
        let random = if delayed_name_removal { &[][..] } else { &random };
        let random: Vec<String> = random.iter().filter(|query| !orders_within(query)).cloned().collect();
        for query in queries(&random) {
            let instants: Result<Vec<_>, _> = (0..n_steps)
                .map(|n| instant_points(&engine, &store, query, start_ms + n * step_ms))
                .collect();
            let instants = instants.map(|all| all.into_iter().flatten().collect::<Points>());
            let range = range_points(&engine, &store, query, params);
            // Which of several steps fails first is of no interest.
            if !(is_twins_error(&range) || range.is_err() && instants.is_err()) {
                prop_assert_eq!(&range, &instants, "{}", query);
            }
        }
    }

    #[test]
    fn two_threads_say_what_one_says(
        series in proptest::collection::vec(proptest::collection::vec(place(), 0..30), 1..24),
        start_ms in 0i64..300_000,
        step_ms in 1_000i64..60_000,
        n_steps in 1i64..12,
        random in proptest::collection::vec(common::expression(), 24),
    ) {
        let store = store(&series);
        // Here the query's own start and end are the same in all ways.
        let random: Vec<String> = random.iter().enumerate().map(|(idx, query)| {
            query.replace("@ 60", if idx % 2 == 0 { "@ start()" } else { "@ end()" })
        }).collect();
        let options = EngineOptions { lookback_ms: 60_000, split_samples_min: 0, ..EngineOptions::default() };
        let one = Engine::new(EngineOptions { threads: 1, ..options.clone() });
        let params = RangeParams { start_ms, end_ms: start_ms + (n_steps - 1) * step_ms, step_ms };
        for threads in [2, 5] {
            let more = Engine::new(EngineOptions { threads, ..options.clone() });
            for query in queries(&random) {
                let expected = range_points(&one, &store, query, params);
                prop_assert_eq!(&range_points(&more, &store, query, params), &expected, "{}", query);
                let expected = instant_points(&one, &store, query, start_ms);
                prop_assert_eq!(&instant_points(&more, &store, query, start_ms), &expected, "{}", query);
            }
        }
    }

    #[test]
    fn a_range_in_two_parts_is_the_range(
        series in proptest::collection::vec(proptest::collection::vec(place(), 0..30), 1..7),
        start_ms in 0i64..300_000,
        step_ms in 1_000i64..60_000,
        (n_steps, n_first) in (2i64..16).prop_flat_map(|n| (Just(n), 1..n)),
        random in proptest::collection::vec(common::expression(), 24),
    ) {
        let store = store(&series);
        let engine = Engine::new(EngineOptions { lookback_ms: 60_000, ..EngineOptions::default() });
        let part = |from: i64, n: i64| RangeParams {
            start_ms: start_ms + from * step_ms,
            end_ms: start_ms + (from + n - 1) * step_ms,
            step_ms,
        };
        for query in queries(&random) {
            let whole = range_points(&engine, &store, query, part(0, n_steps));
            let first = range_points(&engine, &store, query, part(0, n_first));
            let second = range_points(&engine, &store, query, part(n_first, n_steps - n_first));
            let joined = first.and_then(|mut first| {
                first.extend(second?);
                Ok(first)
            });
            if !(is_twins_error(&whole) || joined.is_err() && whole.is_err()) {
                prop_assert_eq!(&joined, &whole, "{}", query);
            }
        }
    }

    #[test]
    fn what_is_printed_parses_to_the_same(expr in expression()) {
        if let Ok(parsed) = parse(&expr) {
            let printed = parsed.to_string();
            let again = parse(&printed).map_err(|err| TestCaseError::fail(format!("{expr} -> {printed}: {err}")))?;
            prop_assert_eq!(again.to_string(), printed, "{}", expr);
        }
    }

    #[test]
    fn no_text_panics(tokens in proptest::collection::vec(token(), 0..24), noise in "\\PC{0,12}") {
        let store = store(&[vec![Place::Grows(1); 20]]);
        for text in [tokens.concat(), tokens.join(" "), format!("{}{noise}", tokens.concat())] {
            if let Ok(expr) = parse(&text) {
                let engine = Engine::new(EngineOptions { samples_max: 10_000, ..EngineOptions::default() });
                let params = RangeParams { start_ms: 0, end_ms: 60_000, step_ms: 30_000 };
                let _ = engine.instant(&store, &expr, 60_000, &QueryOptions::default());
                let _ = engine.range(&store, &expr, params, &QueryOptions::default());
            }
            let _ = promql::metric_selector(&text);
        }
    }
}

/// Text of expressions, most of them valid.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("a".to_owned()),
        Just("sum".to_owned()),
        Just("a{b=\"c\",\"d.e\"!~\"f|\\\\d\"}".to_owned()),
        Just("{\"quoted name\"}".to_owned()),
        Just("1".to_owned()),
        Just("0x1F".to_owned()),
        Just("1h30m".to_owned()),
        Just("1e-7".to_owned()),
        Just("NaN".to_owned()),
        Just("time()".to_owned()),
        Just("rate(a[5m] @ end() offset -1h)".to_owned()),
        Just("rate(a[step() + 5m] smoothed)".to_owned()),
        Just("a offset (5m * 2)".to_owned()),
        Just("max_over_time(a[1h:max_of(step(), 1m)] @ 12.345)".to_owned()),
    ];
    let ops = prop_oneof![
        Just("+"),
        Just("-"),
        Just("*"),
        Just("/"),
        Just("%"),
        Just("^"),
        Just("atan2"),
        Just("== bool"),
        Just(">"),
        Just("and"),
        Just("or"),
        Just("unless"),
        Just("</"),
        Just("+ on (b) group_left (x)"),
        Just("* ignoring ()"),
        Just("- fill_left (2) fill_right (-3)"),
        Just("^ bool"),
    ];
    leaf.prop_recursive(6, 24, 3, move |inner| {
        prop_oneof![
            (inner.clone(), ops.clone(), inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("sum by (b, \"c d\") ({a})")),
            inner.clone().prop_map(|a| format!("topk without (x) (2, {a})")),
            inner.clone().prop_map(|a| format!("avg_over_time(({a})[10m:])")),
            inner.prop_map(|a| format!("label_replace({a}, \"x\", '$1', `y`, \"(.*)\")")),
        ]
    })
}

/// Pieces of the language, between spaces.
const TOKENS: &str = r#"a_total b { } ( ) [ ] , : = =~ != !~ == < >/ @ + - * / % ^ "x" 'y `z` 1 0x 1e 5m 1d1h
    99999999999y inf nan rate sum by without on ignoring group_left bool offset start() end() step() range() anchored
    smoothed fill topk count_values limit_ratio quantile time() scalar vector label_replace histogram_quantile absent
    and or unless atan2 # \ é __name__ max_over_time predict_linear day_of_year 1e308 info "\xff""#;

fn token() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(TOKENS.split_whitespace().chain(["\n"]).collect::<Vec<_>>())
}

#[test]
fn nesting_is_limited() {
    for text in ["(".repeat(100_000), "-".repeat(100_000), format!("a{}", "[1m:]".repeat(10_000))] {
        let err = parse(&text).expect_err("far too deep");
        assert!(err.message.contains("nested more than"), "{}", err.message);
    }
    let chain = vec!["1"; 100_000].join("+");
    assert!(parse(&chain).is_err());
}
