//! The result cache changes no answer: whatever is written, late or deleted between queries, answers are those of an engine
//! without it, to the bit, annotations included.

mod common;

use std::collections::BTreeMap;

use model::{Labels, Matcher, TimeRange};
use parking_lot::Mutex;
use promql::{Engine, EngineOptions, QueryOptions, RangeParams, ResultCache, Value, parse};
use proptest::prelude::*;
use stdx::metrics::Registry;
use storage::{ChangeLog, QueryError, Queryable, SelectHints, Series, SeriesSet, VecSeriesSet};

/// A store in memory that takes samples at any time, and tells.
#[derive(Default)]
struct Store {
    series: Mutex<BTreeMap<Labels, BTreeMap<i64, f64>>>,
    changes: ChangeLog,
}

impl Store {
    fn put(&self, labels: &Labels, t_ms: i64, value: f64) {
        self.series.lock().entry(labels.clone()).or_default().insert(t_ms, value);
        self.changes.touched(t_ms);
    }

    fn delete(&self, labels: &Labels, from_ms: i64, to_ms: i64) {
        if let Some(samples) = self.series.lock().get_mut(labels) {
            samples.retain(|t_ms, _| *t_ms < from_ms || *t_ms > to_ms);
        }
        self.changes.touched(from_ms);
    }
}

impl Queryable for Store {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        _: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        let mut found = Vec::new();
        for (labels, samples) in self.series.lock().iter() {
            let fits = |m: &Matcher| m.matches(labels.get(&m.name).unwrap_or(""));
            if range.start_ms <= range.end_ms && matchers.iter().all(fits) {
                let (times, values): (Vec<i64>, Vec<f64>) =
                    samples.range(range.start_ms..=range.end_ms).unzip();
                if !times.is_empty() {
                    found.push(Series::floats(labels.clone(), times.into(), values));
                }
            }
        }
        Ok(Box::new(VecSeriesSet::new(found)))
    }

    fn changes(&self) -> Option<&ChangeLog> {
        Some(&self.changes)
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

const QUERIES: [&str; 24] = [
    "a_total",
    "rate(a_total[1m])",
    "sum by (x) (rate(a_total[2m]))",
    "sum(a_total) / sum(b)",
    "a_total / on (x, y) b",
    "b offset 1m",
    "b offset -45s",
    "max_over_time(b[3m])",
    "max_over_time(sum(b)[2m:20s])",
    "count_over_time(b[1m])",
    "avg(b)",
    "topk(2, b)",
    "quantile(0.5, b)",
    "stddev by (y) (b)",
    "count_values(\"v\", b)",
    "b > 3 or a_total",
    "b unless a_total > 10",
    "absent(b{x=\"0\"})",
    "absent_over_time(b{x=\"1\"}[1m])",
    "timestamp(b)",
    "time() - b",
    "delta(b[2m])",
    "changes(b[2m]) + resets(a_total[2m])",
    // These must be answered whole.
    "sum_over_time(b[1m]) + b @ end()",
];

/// Random queries in each schedule.
const N_RANDOM: usize = 12;

#[derive(Debug, Clone)]
enum Step {
    /// Time goes on by so many seconds.
    Wait(i64),
    /// Every series gets a sample now, but those of the mask.
    Scrape(u8, i8),
    /// One series gets a sample so many seconds ago.
    Late(u8, i64, i8),
    /// A series ends.
    End(u8),
    /// Samples of a series go.
    Delete(u8, i64, i64),
    /// A panel is drawn: query, steps, seconds between them, seconds that its end lies behind now.
    Ask(usize, i64, i64, i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1i64..40).prop_map(Step::Wait),
        4 => (any::<u8>(), -3i8..20).prop_map(|(mask, value)| Step::Scrape(mask, value)),
        1 => (0u8..8, 0i64..400, -3i8..20).prop_map(|(series, ago, value)| Step::Late(series, ago, value)),
        1 => (0u8..8).prop_map(Step::End),
        1 => (0u8..8, 0i64..400, 0i64..100).prop_map(|(series, ago, width)| Step::Delete(series, ago, width)),
        8 => (0..QUERIES.len() + N_RANDOM, 1i64..12, prop_oneof![Just(10i64), Just(15), Just(60)], 0i64..90)
            .prop_map(|(query, n_steps, step, behind)| Step::Ask(query, n_steps, step, behind)),
    ]
}

fn labels(series: u8) -> Labels {
    let name = if series < 4 { "a_total" } else { "b" };
    let (x, y) = ((series % 2).to_string(), (series / 2 % 2).to_string());
    let i = (series % 4).to_string();
    Labels::from_pairs([("__name__", name), ("x", &x), ("y", &y), ("i", &i), ("g", "x")])
}

/// Everything of an answer, values as bits.
fn ask(engine: &Engine, store: &Store, query: &str, params: RangeParams) -> Result<String, String> {
    let expr = parse(query).map_err(|err| err.to_string())?;
    let output =
        engine.range(store, &expr, params, &QueryOptions::default()).map_err(|err| err.to_string())?;
    let Value::Matrix(series) = output.value else { return Err("no matrix".to_owned()) };
    let bits = |(t_ms, value): &(i64, f64)| format!("{t_ms}={:x}", value.to_bits());
    let shown = series
        .iter()
        .map(|one| format!("{} {}", one.labels, one.points.iter().map(bits).collect::<Vec<_>>().join(" ")));
    let notes = format!("{:?} {:?}", output.annotations.warnings(), output.annotations.infos());
    Ok(shown.chain([notes]).collect::<Vec<_>>().join("\n"))
}

fn check(schedule: &[Step], random: &[String], bytes_max: u64, samples_max: u64) -> (f64, f64) {
    let options = EngineOptions { lookback_ms: 60_000, samples_max, ..EngineOptions::default() };
    let registry = Registry::new();
    let plain = Engine::new(options.clone());
    let cached = Engine::new(options).with_cache(Some(ResultCache::new(bytes_max, &registry)));
    let store = Store::default();
    let mut now_s = 1_000_000i64;
    for step in schedule {
        match step {
            Step::Wait(seconds) => now_s += seconds,
            Step::Scrape(mask, value) => {
                for series in (0..8u8).filter(|series| mask & (1 << series) == 0) {
                    store.put(
                        &labels(series),
                        now_s * 1_000 + 137,
                        f64::from(*value) + f64::from(series) * 0.1,
                    );
                }
            }
            Step::Late(series, ago, value) => {
                store.put(&labels(*series), (now_s - ago) * 1_000, f64::from(*value));
            }
            Step::End(series) => {
                store.put(&labels(*series), now_s * 1_000, f64::from_bits(0x7ff0_0000_0000_0002));
            }
            Step::Delete(series, ago, width) => {
                store.delete(&labels(*series), (now_s - ago) * 1_000, (now_s - ago + width) * 1_000);
            }
            Step::Ask(query, n_steps, step_s, behind) => {
                // As dashboards do: aligned to the step.
                let end_ms = (now_s - behind).div_euclid(*step_s) * step_s * 1_000;
                let params = RangeParams {
                    start_ms: end_ms - n_steps * step_s * 1_000,
                    end_ms,
                    step_ms: step_s * 1_000,
                };
                let query = match QUERIES.get(*query) {
                    Some(query) => query,
                    None => random[query - QUERIES.len()].as_str(),
                };
                assert_eq!(
                    ask(&cached, &store, query, params),
                    ask(&plain, &store, query, params),
                    "{query}"
                );
                // At once again: the same, whatever was kept.
                assert_eq!(
                    ask(&cached, &store, query, params),
                    ask(&plain, &store, query, params),
                    "{query}"
                );
            }
        }
    }
    let page = registry.render();
    let count = |result: &str| {
        let name = format!("hinomi_query_cache_requests_total{{result=\"{result}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0.0)
    };
    (count("full"), count("partial"))
}

proptest! {
    #![proptest_config(common::cases(128))]

    #[test]
    fn cache_on_is_cache_off(
        schedule in proptest::collection::vec(step(), 1..80),
        bytes_max in prop_oneof![Just(1u64 << 24), Just(20_000), Just(0)],
        // What would hit a limit whole must do so with the cache, too.
        samples_max in prop_oneof![3 => Just(u64::MAX), 2 => 5u64..60],
        random in proptest::collection::vec(common::expression(), N_RANDOM),
    ) {
        check(&schedule, &random, bytes_max, samples_max);
    }
}

#[test]
fn a_dashboard_that_is_drawn_again_costs_its_tail() {
    let mut schedule = vec![];
    for round in 0..40 {
        schedule.extend([Step::Wait(15), Step::Scrape(0, round % 7)]);
        if round > 10 {
            schedule.push(Step::Ask(1, 10, 15, 0));
        }
    }
    let (full, partial) = check(&schedule, &[], 1 << 20, u64::MAX);
    assert!(full >= 29.0, "{full} drawn twice at once");
    assert!(partial >= 28.0, "{partial} drawn after a scrape");
}
