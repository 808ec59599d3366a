//! What is not a plain float, through every way to the disk and back: native histograms, start timestamps, exemplars.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{BLOCK_MS, START_MS, open, options};
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::{Exemplar, Histogram, Labels, Matcher, STALE_NAN, TimeRange};
use stdx::MemDir;
use stdx::metrics::Registry;
use storage::{Appendable, Queryable, SelectHints};
use tsdb::{Db, Options};

const STEP_MS: i64 = BLOCK_MS / 6;
const N_STEPS: i64 = 60;

/// A sample of any kind, its start beside it.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// Bits.
    Float(u64),
    Histogram(Histogram),
}

type Samples = BTreeMap<i64, (i64, Kind)>;
type Content = BTreeMap<Labels, Samples>;
type Exemplars = BTreeMap<Labels, Vec<Exemplar>>;

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "extras")])
}

/// Exponential with integers; buckets come and go, and it begins anew now and then.
fn exponential(step: i64) -> Histogram {
    let age = (step % 25) as f64;
    Histogram {
        is_integer: true,
        schema: if step < 30 { 3 } else { 2 },
        zero_threshold: 0.001,
        zero_count: age,
        count: age * 10.0 + 1.0,
        sum: age * 3.25 - 1.0,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: (step % 3) as i32, length: 1 }],
        negative_spans: vec![Span { offset: 1, length: 1 }],
        positive_buckets: vec![age, 2.0 * age, 1.0],
        negative_buckets: vec![6.0 * age],
        ..Histogram::default()
    }
}

/// A gauge of floats that are no integers.
fn gauge(step: i64) -> Histogram {
    let x = (step as f64).sin().abs();
    Histogram {
        reset_hint: ResetHint::Gauge,
        schema: -1,
        count: 4.5 * x,
        sum: f64::from_bits(0x7ff8_0000_0000_0001),
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![1.5 * x, 3.0 * x],
        ..Histogram::default()
    }
}

fn custom(step: i64) -> Histogram {
    let n = step as f64;
    Histogram {
        is_integer: true,
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 3.0 * n,
        sum: n / 7.0,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_buckets: vec![n, n, n],
        custom_bounds: if step < 40 { Arc::from([0.1, 2.5]) } else { Arc::from([0.1, 2.5, 10.0]) },
        ..Histogram::default()
    }
}

/// Since when the counters count: known, begun anew, not known, known again.
fn start_ms(step: i64) -> i64 {
    match step {
        0..20 => START_MS - 5_000,
        20..35 => START_MS + 20 * STEP_MS - 1,
        35..50 => 0,
        _ => START_MS + 50 * STEP_MS - 1,
    }
}

fn append(db: &Db, step: i64, content: &mut Content, exemplars: &mut Exemplars) {
    let t_ms = START_MS + step * STEP_MS;
    let mut appender = db.appender(t_ms);
    let mut put = |name: &str, start_ms: i64, kind: Kind| {
        let labels = labels(name);
        match &kind {
            Kind::Float(bits) => {
                let value = f64::from_bits(*bits);
                appender.append_with_start(None, &labels, t_ms, start_ms, value).unwrap();
            }
            Kind::Histogram(histogram) => {
                appender.append_histogram(None, &labels, t_ms, start_ms, histogram).unwrap();
            }
        }
        content.entry(labels).or_default().insert(t_ms, (start_ms, kind));
    };
    put("plain", 0, Kind::Float((step as f64 / 3.0).to_bits()));
    put("counter_total", start_ms(step), Kind::Float(((step % 20) as f64).to_bits()));
    put("exponential", start_ms(step), Kind::Histogram(exponential(step)));
    put("gauge", 0, Kind::Histogram(gauge(step)));
    put("custom", 0, Kind::Histogram(custom(step)));
    // From floats to histograms, and its end; and a series that is gone for a while.
    let mixed = match step {
        0..25 => Kind::Float(1.5f64.to_bits()),
        25..45 => Kind::Histogram(exponential(step)),
        _ => Kind::Float(STALE_NAN.to_bits()),
    };
    if step <= 45 {
        put("mixed", 0, mixed);
    }
    if !(10..33).contains(&step) {
        put("sometimes", 0, Kind::Histogram(custom(step)));
    }
    for name in ["counter_total", "exponential"] {
        if step % 7 == 3 {
            let trace = Labels::from_pairs([("trace_id", format!("{name}-{step}"))]);
            let exemplar = Exemplar { labels: trace, value: step as f64 / 3.0, t_ms: t_ms - 5 };
            appender.append_exemplar(None, &labels(name), &exemplar).unwrap();
            exemplars.entry(labels(name)).or_default().push(exemplar);
        }
    }
    appender.commit().unwrap();
}

fn read(db: &Db, range: TimeRange) -> Content {
    let mut set = db.select(&[], range, &SelectHints::default()).unwrap();
    let mut content = Content::new();
    while let Some(series) = set.next().unwrap() {
        let samples = content.entry(series.labels).or_default();
        for (at, (t_ms, value)) in series.timestamps.iter().zip(&series.values).enumerate() {
            let start_ms = series.starts.get(at).copied().unwrap_or(0);
            samples.insert(*t_ms, (start_ms, Kind::Float(value.to_bits())));
        }
        for sample in series.histograms {
            let kind = Kind::Histogram((*sample.histogram).clone());
            assert!(samples.insert(sample.t_ms, (sample.start_ms, kind)).is_none());
        }
    }
    content
}

/// NaNs are equal when their bits are.
fn shown(content: &Content) -> Vec<String> {
    let of = |(t_ms, (start_ms, kind)): (&i64, &(i64, Kind))| {
        let sum = match kind {
            Kind::Float(_) => 0,
            Kind::Histogram(histogram) => histogram.sum.to_bits(),
        };
        format!("{t_ms} since {start_ms}: {kind:?} {sum:x}")
    };
    let lines = content
        .iter()
        .flat_map(|(labels, samples)| samples.iter().map(of).map(move |line| format!("{labels} {line}")));
    lines.collect()
}

#[track_caller]
fn check(db: &Db, content: &Content, exemplars: &Exemplars, what: &str) {
    for range in [TimeRange::ALL, TimeRange::new(START_MS + 9 * STEP_MS, START_MS + 41 * STEP_MS + 1)] {
        let mut expected = content.clone();
        expected.values_mut().for_each(|samples| samples.retain(|t_ms, _| range.contains(*t_ms)));
        expected.retain(|_, samples| !samples.is_empty());
        let (found, expected) = (shown(&read(db, range)), shown(&expected));
        let first = found.iter().zip(&expected).find(|(found, expected)| found != expected);
        assert!(found == expected, "{what}: {} of {}, first: {first:#?}", found.len(), expected.len());
    }
    let found: Exemplars =
        db.exemplars(&[Matcher::equal("job", "extras")], TimeRange::ALL).into_iter().collect();
    assert_eq!(&found, exemplars, "{what}");
}

#[test]
fn histograms_starts_and_exemplars_survive_seals_restarts_and_compaction() {
    let dir = MemDir::new();
    let (mut db, _) = open(Arc::new(dir.clone()));
    let (mut content, mut exemplars) = (Content::new(), Exemplars::new());
    let (mut n_cut, mut n_compacted) = (0, 0);
    for step in 0..N_STEPS {
        append(&db, step, &mut content, &mut exemplars);
        check(&db, &content, &exemplars, &format!("appended {step}"));
        if step % 4 == 3 {
            let report = db.maintain(START_MS + step * STEP_MS).unwrap();
            (n_cut, n_compacted) = (n_cut + report.cut.len(), n_compacted + report.compacted.len());
            check(&db, &content, &exemplars, &format!("maintained {step}"));
        }
        if step % 9 == 5 {
            // Once as after `kill -9`, once closed.
            if step % 2 == 0 {
                db.close().unwrap();
            }
            drop(db);
            let report;
            (db, report) = open(Arc::new(dir.clone()));
            assert!(report.warnings().is_empty(), "{:?}", report.warnings());
            check(&db, &content, &exemplars, &format!("restarted {step}"));
        }
    }
    assert!(n_cut > 5 && n_compacted > 1, "{n_cut} {n_compacted}");
    db.sync().unwrap();
    let (db, _) = open(Arc::new(dir.power_loss_image()));
    check(&db, &content, &exemplars, "power loss");
}

#[test]
fn a_start_tells_whether_the_last_end_was_in_order() {
    let dir = Arc::new(MemDir::new());
    let start = || {
        let registry = Registry::new();
        let options = Options { registry: registry.clone(), ..options() };
        let (db, _) = Db::open(dir.clone(), options, 0).unwrap();
        let text = registry.render();
        let line = text.lines().find(|line| line.starts_with("prometheus_tsdb_clean_start "));
        (db, line.map(str::to_owned))
    };
    let clean = |value: u8| Some(format!("prometheus_tsdb_clean_start {value}"));
    let (db, said) = start();
    assert_eq!(said, clean(1), "an empty directory");
    db.close().unwrap();
    let (db, said) = start();
    assert_eq!(said, clean(1));
    // Killed: the lock goes with the process, nothing is closed.
    drop(db);
    let (db, said) = start();
    assert_eq!(said, clean(0));
    db.close().unwrap();
    assert_eq!(start().1, clean(1));
}
