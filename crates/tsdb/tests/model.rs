//! The store against the reference store, under random schedules of everything that can happen to it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{BLOCK_MS, Content, START_MS, commit, labels, open, read, read_all};
use model::{MatchOp, Matcher, TimeRange};
use proptest::prelude::*;
use stdx::MemDir;
use storage::{Appendable, MemStore, Queryable};
use tsdb::{Db, Options};

#[derive(Debug, Clone)]
enum Step {
    /// Time goes on and these series get samples.
    Commit {
        ms: i64,
        series: Vec<(usize, f64)>,
    },
    /// A sample `ms` before the newest.
    Late {
        ms: i64,
        series: usize,
    },
    Maintain,
    Sync,
    Reopen,
    /// As after `kill -9`: without closing.
    Kill,
    Query {
        from_ms: i64,
        width_ms: i64,
        pick: usize,
    },
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0i64..100).prop_map(|v| v as f64),
        any::<u64>().prop_map(f64::from_bits),
        Just(model::STALE_NAN),
        Just(-0.0),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1i64..BLOCK_MS / 3, proptest::collection::btree_map(0usize..7, value(), 1..7))
            .prop_map(|(ms, series)| Step::Commit { ms, series: series.into_iter().collect() }),
        2 => (0i64..BLOCK_MS / 3, 0usize..7).prop_map(|(ms, series)| Step::Late { ms, series }),
        3 => Just(Step::Maintain),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        3 => (0i64..BLOCK_MS * 8, 0i64..BLOCK_MS * 4, 0usize..6)
            .prop_map(|(from_ms, width_ms, pick)| Step::Query { from_ms, width_ms, pick }),
    ]
}

fn matchers(pick: usize) -> Vec<Matcher> {
    let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
    match pick {
        0 => vec![],
        1 => vec![Matcher::equal("__name__", "metric_1")],
        2 => vec![matcher(MatchOp::Regex, "instance", "host-[135]:.*")],
        3 => vec![Matcher::equal("job", "")],
        4 => vec![
            matcher(MatchOp::NotRegex, "job", "ev.*"),
            matcher(MatchOp::NotEqual, "instance", "host-3:9100"),
        ],
        _ => vec![Matcher::equal("__name__", "metric_0"), matcher(MatchOp::Regex, "job", "even|")],
    }
}

/// The same single sample to both; both must answer alike.
fn late(db: &Db, reference: &MemStore, now_ms: i64, t_ms: i64, series: usize) {
    let (mut a, mut b) = (db.appender(now_ms), reference.appender(now_ms));
    let got = a.append(None, &labels(series), t_ms, 0.5).map(|_| ());
    let expected = b.append(None, &labels(series), t_ms, 0.5).map(|_| ());
    // A series that left the head with its block has no newest sample there; the floor then keeps late ones out.
    if got.is_ok() || got != Err(storage::AppendError::OutOfBounds) {
        assert_eq!(got, expected);
        a.commit().unwrap();
        b.commit().unwrap();
    }
}

fn compare(db: &Db, reference: &MemStore, pick: usize, range: TimeRange) {
    let matchers = matchers(pick);
    assert_eq!(read(db, &matchers, range), read(reference, &matchers, range));
}

fn run(steps: Vec<Step>) {
    let dir = MemDir::new();
    let (mut db, _) = open(Arc::new(dir.clone()));
    let mut dir = dir;
    let reference = MemStore::new();
    let mut now_ms = START_MS;
    let mut ignored = Content::new();
    for step in steps {
        match step {
            Step::Commit { ms, series } => {
                now_ms += ms;
                commit(&db, now_ms, &series, &mut ignored).unwrap();
                commit(&reference, now_ms, &series, &mut ignored).unwrap();
            }
            Step::Late { ms, series } => late(&db, &reference, now_ms, now_ms - ms, series),
            Step::Maintain => {
                db.maintain(now_ms).unwrap();
            }
            Step::Sync => db.sync().unwrap(),
            Step::Reopen => {
                db.close().unwrap();
                drop(db);
                let (again, report) = open(Arc::new(dir.clone()));
                assert!(report.warnings().is_empty(), "{:?}", report.warnings());
                db = again;
            }
            Step::Kill => {
                dir = dir.kill_image();
                let (again, report) = open(Arc::new(dir.clone()));
                assert!(report.warnings().is_empty(), "{:?}", report.warnings());
                db = again;
            }
            Step::Query { from_ms, width_ms, pick } => {
                let start_ms = START_MS + from_ms;
                compare(&db, &reference, pick, TimeRange::new(start_ms, start_ms + width_ms));
            }
        }
    }
    for pick in 0..6 {
        compare(&db, &reference, pick, TimeRange::ALL);
        assert_eq!(
            db.label_names(&matchers(pick), TimeRange::ALL).unwrap(),
            reference.label_names(&matchers(pick), TimeRange::ALL).unwrap()
        );
        assert_eq!(
            db.label_values("instance", &matchers(pick), TimeRange::ALL).unwrap(),
            reference.label_values("instance", &matchers(pick), TimeRange::ALL).unwrap()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn the_store_answers_as_the_reference_does(steps in proptest::collection::vec(step(), 1..80)) {
        run(steps);
    }
}

#[test]
fn blocks_are_cut_compacted_and_expired_while_everything_stays_readable() {
    let dir = MemDir::new();
    let retention_ms = BLOCK_MS * 100;
    let options = Options { retention_ms, ..common::options() };
    let (db, _) = Db::open(Arc::new(dir), options, START_MS).unwrap();
    let mut content = Content::new();
    let (mut n_cut, mut n_compacted, mut n_expired) = (0, 0, 0);
    for idx in 0..BLOCK_MS / 5_000 * 150 {
        let t_ms = START_MS + idx * 5_000;
        commit(&db, t_ms, &[(0, idx as f64), (1, 1.5), (2, (idx % 7) as f64)], &mut content).unwrap();
        let report = db.maintain(t_ms).unwrap();
        n_cut += report.cut.len();
        n_compacted += report.compacted.len();
        n_expired += report.expired.len();
    }
    assert!(n_cut >= 147, "{n_cut}");
    assert!(n_compacted > 30 && n_expired > 0, "{n_compacted} {n_expired}");
    let now_ms = START_MS + BLOCK_MS * 150 - 5_000;
    let kept = TimeRange::new(now_ms - retention_ms, now_ms);
    for samples in content.values_mut() {
        samples.retain(|t_ms, _| kept.contains(*t_ms));
    }
    assert_eq!(read(&db, &[], kept), content);
    assert!(db.stats(10).n_chunks < 20);
    assert!(read_all(&db).len() == 3);
}
