//! A part that stands in a query several times is evaluated once, and the answer is as if each had been evaluated alone.

use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Labels, Matcher, TimeRange};
use promql::{Engine, EngineOptions, Output, QueryOptions, RangeParams, parse};
use proptest::prelude::*;
use storage::{Appendable, MemStore, QueryError, Queryable, SelectHints, SeriesSet};

const GAP_MS: i64 = 15_000;
const END_MS: i64 = 200 * GAP_MS;

/// A store that counts how often it is asked.
struct Counting {
    store: MemStore,
    n_selects: AtomicUsize,
}

impl Queryable for Counting {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        self.n_selects.fetch_add(1, Ordering::Relaxed);
        self.store.select(matchers, range, hints)
    }

    fn label_names(&self, _: &[Matcher], _: TimeRange, _: usize) -> Result<Vec<String>, QueryError> {
        Ok(Vec::new())
    }

    fn label_values(
        &self,
        _: &str,
        _: &[Matcher],
        _: TimeRange,
        _: usize,
    ) -> Result<Vec<String>, QueryError> {
        Ok(Vec::new())
    }
}

fn store() -> Counting {
    let store = MemStore::new();
    let mut appender = store.appender(0);
    for host in ["h1", "h2", "h3"] {
        for (name, factor) in [("a_total", 3.0), ("b", 0.7)] {
            let labels = Labels::from_pairs([("__name__", name), ("host", host), ("job", "x")]);
            for step in 0..200 {
                let value =
                    if name == "b" { (f64::from(step) * factor).sin() } else { f64::from(step) * factor };
                appender.append(None, &labels, i64::from(step) * GAP_MS, value).expect("room");
            }
        }
    }
    appender.commit().expect("room");
    Counting { store, n_selects: AtomicUsize::new(0) }
}

fn ask(
    store: &Counting,
    query: &str,
    steps: Option<i64>,
    counts_samples: bool,
) -> (Result<Output, String>, usize) {
    let engine = Engine::new(EngineOptions::default());
    let expr = parse(query).unwrap_or_else(|err| panic!("{query}: {err}"));
    let options = QueryOptions { counts_samples, ..QueryOptions::default() };
    store.n_selects.store(0, Ordering::Relaxed);
    let out = match steps {
        None => engine.instant(store, &expr, END_MS, &options),
        Some(step_ms) => {
            let params = RangeParams { start_ms: 600_000, end_ms: END_MS, step_ms };
            engine.range(store, &expr, params, &options)
        }
    };
    (out.map_err(|err| err.to_string()), store.n_selects.load(Ordering::Relaxed))
}

#[test]
fn the_store_is_asked_once_for_what_stands_twice() {
    let store = store();
    // Reads for one moment, and for many.
    let cases = [
        ("b / (b + 1)", 1, 1),
        ("rate(a_total[5m]) / ignoring(x) (1 + rate(a_total[5m]))", 1, 1),
        ("sum(rate(a_total[5m])) / sum(rate(a_total[5m]))", 1, 1),
        ("rate(a_total[5m]) / on (job) group_left () sum by (job) (rate(a_total[5m]))", 1, 1),
        // One pass feeds all that take series one by one.
        ("sum(rate(a_total[5m])) / count(rate(a_total[5m]))", 1, 1),
        ("sum(b) / on () (count(b) + (max by (job) (b) - on () group_left () min((b))))", 1, 1),
        ("sum by (job) (b) / on (job) (1 + sum by (job) (b)) / on (job) stddev by (job) (b)", 1, 1),
        ("sum by (job) (a_total) / on (job) group_right () a_total", 1, 1),
        ("max_over_time((sum(b) / count(b))[5m:1m])", 1, 1),
        // What has something to say says it at each of its places.
        ("sum(rate(b[5m])) / count(rate(b[5m]))", 2, 2),
        ("max_over_time(rate(a_total[2m])[10m:1m]) - min_over_time(rate(a_total[2m])[10m:1m])", 1, 1),
        // Not the same: another moment, other steps, other series.
        ("b - (b offset 1m)", 2, 2),
        ("b - (b @ 600)", 2, 2),
        ("avg_over_time(abs(b)[10m:1m]) - abs(b)", 2, 2),
        ("avg_over_time(abs(b)[10m:1m]) - avg_over_time(abs(b)[10m:2m])", 2, 2),
        (r#"b - b{host="h1"}"#, 2, 2),
        ("b", 1, 1),
    ];
    for (query, at_once, over_range) in cases {
        assert_eq!(ask(&store, query, None, false).1, at_once, "{query}");
        assert_eq!(ask(&store, query, Some(60_000), false).1, over_range, "{query}, range");
        assert!(ask(&store, query, None, true).1 >= at_once, "{query}, counted");
    }
}

#[test]
fn each_place_says_what_it_has_to_say() {
    let store = store();
    let infos = |counts| {
        ask(&store, "rate(b[5m]) + (rate(b[5m]) + rate(b[5m]))", None, counts).0.unwrap().annotations.infos()
    };
    assert_eq!(infos(false), infos(true));
}

fn part() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("b"),
        Just("a_total"),
        Just("rate(a_total[5m])"),
        Just("rate(b[1m])"),
        Just("max_over_time(b[3m])"),
        Just("b offset 2m"),
        Just("b @ 1200"),
        Just("avg_over_time(abs(b)[5m:30s])"),
        Just(r#"b{host!="h2"}"#),
    ];
    leaf.prop_map(str::to_owned).prop_recursive(3, 8, 2, |inner| {
        let op = prop_oneof![Just("+"), Just("-"), Just("> bool"), Just("and"), Just("unless"), Just("or")];
        let aggregate = prop_oneof![
            Just("sum"),
            Just("max by (host)"),
            Just("topk(1, "),
            Just("count without (host)"),
            Just("avg by (job)"),
            Just("stddev")
        ];
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (aggregate, inner.clone()).prop_map(|(op, a)| match op.strip_suffix("(1, ") {
                Some(op) => format!("{op}(1, {a})"),
                None => format!("{op} ({a})"),
            }),
            inner.clone().prop_map(|a| format!("max_over_time(({a})[2m:30s])")),
            inner.prop_map(|a| format!("-abs({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Counted queries share nothing.
    #[test]
    fn sharing_changes_no_answer(part in part(), other in part(), form in 0usize..6, step_ms in prop_oneof![Just(None), Just(Some(45_000)), Just(Some(GAP_MS))]) {
        let store = store();
        let query = match form {
            0 => format!("{part} + {part}"),
            1 => format!("{part} / on (host) group_left () max by (host) ({part})"),
            3 => format!("sum by (host) ({part}) / on (host) count by (host) ({part})"),
            4 => format!("max ({part}) - on () min ({part}) or on () avg by (host, job) ({part}) + sum ({other})"),
            2 => format!("({other} + {part}) or ({part} - {other})"),
            _ => format!("max_over_time(({part})[2m:30s]) - ({part}) + min_over_time(({part})[2m:30s])"),
        };
        let (shared, alone) = (ask(&store, &query, step_ms, false).0, ask(&store, &query, step_ms, true).0);
        let values = |out: &Result<Output, String>| {
            out.as_ref().map(|out| (format!("{:?}", out.value), out.annotations.warnings(), out.annotations.infos())).map_err(Clone::clone)
        };
        prop_assert_eq!(values(&shared), values(&alone), "{}", query);
    }
}
