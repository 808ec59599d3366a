//! Long windows say the same whether the store hands out samples or summaries of pages.

use std::sync::Arc;

use model::{Histogram, Labels, Matcher, STALE_NAN, TimeRange};
use promql::{Engine, EngineOptions, QueryOptions, Value, parse};
use stdx::DiskDir;
use storage::{Appendable, Queryable, SelectHints};
use tsdb::{Db, Options};

const STEP_MS: i64 = 15_000;
const HOUR_MS: i64 = 3_600_000;
/// Aligned to two hours.
const START_MS: i64 = 1_700_006_400_000;
const N_STEPS: i64 = 7 * 240;

/// What a series does.
const KINDS: [&str; 9] =
    ["counter", "resets", "gauge", "below_zero", "irrational", "constant", "nan", "stale", "turns"];

fn value(kind: &str, step: i64, total: &mut f64, noise: u64) -> Option<f64> {
    let small = (noise % 1_000) as f64;
    Some(match kind {
        "counter" | "turns" => {
            *total += small / 100.0;
            *total
        }
        "resets" => {
            *total = if noise.is_multiple_of(150) { small / 100.0 } else { *total + small / 10.0 };
            *total
        }
        "gauge" => (20_000.0 + small) / 10.0,
        "below_zero" => small - 500.0,
        "irrational" => (step as f64 / 7.0).sin() + 1.5,
        "constant" => 0.0,
        "nan" if noise.is_multiple_of(400) => f64::NAN,
        "stale" if noise.is_multiple_of(400) => STALE_NAN,
        "stale" if step / 100 % 3 == 1 => return None,
        _ => small,
    })
}

fn store(folder: &std::path::Path, seed: u64) -> Db {
    let dir = Arc::new(DiskDir::open(folder).expect("a folder that is there"));
    let (db, _) =
        Db::open(dir, Options { retention_ms: 0, ..Options::default() }, START_MS).expect("it opens");
    let mut totals = [0.0; KINDS.len()];
    let mut noise = seed.wrapping_mul(2) + 1;
    for step in 0..N_STEPS {
        let t_ms = START_MS + step * STEP_MS;
        let mut appender = db.appender(t_ms);
        for (kind, total) in KINDS.iter().zip(&mut totals) {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let labels = Labels::from_pairs([("__name__", "x_total"), ("kind", *kind)]);
            if *kind == "turns" && step > N_STEPS - 20 {
                let histogram = Histogram { count: step as f64, sum: 1.0, ..Histogram::default() };
                appender.append_histogram(None, &labels, t_ms, 0, &histogram).expect("it is in order");
            } else if let Some(value) = value(kind, step, total, noise >> 33) {
                appender.append(None, &labels, t_ms, value).expect("it is in order");
            }
        }
        appender.commit().expect("the disk takes it");
        if step % 120 == 119 {
            db.maintain(t_ms).expect("blocks are written");
        }
    }
    db
}

fn answer(db: &Db, query: &str, t_ms: i64, summaries: bool) -> Vec<(Labels, f64)> {
    let engine = Engine::new(EngineOptions { summaries, ..EngineOptions::default() });
    let expr = parse(query).expect("the query is valid");
    let output = engine.instant(db, &expr, t_ms, &QueryOptions::default()).expect("answered");
    let Value::Vector(samples) = output.value else { panic!("a vector") };
    samples.into_iter().map(|sample| (sample.labels, sample.value)).collect()
}

fn check(db: &Db, n_ulps: f64) {
    const EXACT: [&str; 11] = [
        "changes",
        "count_over_time",
        "delta",
        "first_over_time",
        "increase",
        "last_over_time",
        "max_over_time",
        "min_over_time",
        "present_over_time",
        "rate",
        "resets",
    ];
    let ends = [N_STEPS - 1, N_STEPS - 30, N_STEPS - 333, 801];
    for end_ms in ends.map(|step| START_MS + step * STEP_MS + 1) {
        for range_ms in [2 * HOUR_MS, 3 * HOUR_MS + 7_000, 24 * HOUR_MS] {
            for function in EXACT {
                let query = format!("{function}(x_total[{range_ms}ms])");
                let bits = |summaries| -> Vec<_> {
                    let all = answer(db, &query, end_ms, summaries).into_iter();
                    all.map(|(labels, value)| (labels, value.to_bits())).collect()
                };
                assert_eq!(bits(true), bits(false), "{query}");
            }
            for function in ["sum_over_time", "avg_over_time"] {
                let query = format!("{function}(x_total[{range_ms}ms])");
                let (got, expected) = (answer(db, &query, end_ms, true), answer(db, &query, end_ms, false));
                assert_eq!(got.len(), expected.len(), "{query}");
                for ((labels, got), (_, expected)) in got.iter().zip(&expected) {
                    let is_same = got == expected || got.is_nan() && expected.is_nan();
                    let near = (got - expected).abs() <= n_ulps * f64::EPSILON * expected.abs();
                    assert!(is_same || near, "{query}: {labels}: {got} is not {expected}");
                }
            }
        }
    }
}

fn n_summaries(db: &Db) -> usize {
    let hints = SelectHints {
        function: "count_over_time".to_owned(),
        range_ms: 8 * HOUR_MS,
        summaries: true,
        ..SelectHints::default()
    };
    let range = TimeRange::new(START_MS, START_MS + 8 * HOUR_MS);
    let mut set = db.select(&[Matcher::equal("__name__", "x_total")], range, &hints).expect("select");
    let mut n = 0;
    while let Some(series) = set.next().expect("whole blocks") {
        n += series.summaries.len();
    }
    n
}

#[test]
fn summaries_change_no_answer() {
    for seed in 0..4 {
        let folder = tempfile::tempdir().expect("a folder");
        let db = store(folder.path(), seed);
        assert!(n_summaries(&db) > KINDS.len(), "summaries are used at all");
        check(&db, 2.0);
    }
}

#[test]
fn what_is_deleted_or_late_is_no_part_of_a_summary() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = store(folder.path(), 9);
    let deleted = TimeRange::new(START_MS + HOUR_MS, START_MS + HOUR_MS + 600_000);
    db.delete_series(&[Matcher::equal("kind", "counter")], deleted).expect("deleted");
    check(&db, 2.0);
    let append_late = |t_ms, value| {
        let mut appender = db.appender(START_MS + N_STEPS * STEP_MS);
        let labels = Labels::from_pairs([("__name__", "x_total"), ("kind", "gauge")]);
        appender.append(None, &labels, t_ms, value).expect("late ones are taken");
        appender.commit().expect("the disk takes it");
    };
    append_late(START_MS + 6 * HOUR_MS + HOUR_MS / 2, 1e5);
    assert!(n_summaries(&db) > KINDS.len(), "the block before the one it reaches into still has them");
    check(&db, 2.0);
    append_late(START_MS + HOUR_MS + 1, 1e6);
    check(&db, 2.0);
    let max = answer(&db, "max_over_time(x_total{kind=\"gauge\"}[1d])", START_MS + N_STEPS * STEP_MS, true);
    assert_eq!(max[0].1.to_bits(), 1e6f64.to_bits());
}

#[test]
fn dealt_out_to_threads_the_store_says_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = store(folder.path(), 5);
    for query in ["x_total", "rate(x_total[10m])", "sum(rate(x_total[10m]))", "max_over_time(x_total[3h])"] {
        let expr = parse(query).expect("the query is valid");
        let range = |threads| {
            let options = EngineOptions { threads, split_samples_min: 0, ..EngineOptions::default() };
            let params = promql::RangeParams {
                start_ms: START_MS,
                end_ms: START_MS + N_STEPS * STEP_MS,
                step_ms: 61_000,
            };
            let output = Engine::new(options).range(&db, &expr, params, &QueryOptions::default());
            let Value::Matrix(all) = output.expect("answered").value else { panic!("a matrix") };
            let bits = |points: Vec<(i64, f64)>| -> Vec<_> {
                points.into_iter().map(|(t_ms, value)| (t_ms, value.to_bits())).collect()
            };
            all.into_iter().map(|series| (series.labels, bits(series.points))).collect::<Vec<_>>()
        };
        let one = range(1);
        assert!(!one.is_empty());
        for threads in [2, 3] {
            assert_eq!(range(threads), one, "{query} on {threads} threads");
        }
    }
}
