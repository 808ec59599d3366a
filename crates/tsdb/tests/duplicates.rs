//! Of several samples of a series at one time the one stored first stays: in memory, sealed, compacted, imported, after a restart.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{BLOCK_MS, START_MS, labels, open, read_all};
use model::{Matcher, TimeRange};
use proptest::prelude::*;
use stdx::MemDir;
use storage::{AppendError, Appendable, ColumnIdx, GroupRef, RowError, Series, VecSeriesSet};
use tsdb::Db;

const SERIES: usize = 0;

fn append(db: &Db, now_ms: i64, t_ms: i64, value: f64) -> Result<(), AppendError> {
    let mut appender = db.appender(now_ms);
    appender.append(None, &labels(SERIES), t_ms, value)?;
    appender.commit().unwrap();
    Ok(())
}

/// Seals what is in the head, without merging blocks: a deletion does so first, here one that finds nothing.
fn seal(db: &Db) {
    db.delete_series(&[Matcher::equal("__name__", "none")], TimeRange::ALL).unwrap();
}

fn check(db: &Db, expected: &[(i64, f64)], when: &str) {
    let found = read_all(db);
    for (t_ms, value) in expected {
        let got = found[&labels(SERIES)].get(t_ms).map(|bits| f64::from_bits(*bits));
        assert_eq!(got, Some(*value), "{when}, at {}", t_ms - START_MS);
    }
}

#[test]
fn a_late_duplicate_of_a_sealed_sample_never_shows() {
    let dir = MemDir::new();
    let (db, _) = open(Arc::new(dir.clone()));
    let t = START_MS + 10 * BLOCK_MS;
    append(&db, t, t, 1.0).unwrap();
    append(&db, t, t + 10, 2.0).unwrap();
    append(&db, t, t - 1_000, 3.0).unwrap();
    seal(&db);
    let expected = [(t - 1_000, 3.0), (t, 1.0), (t + 10, 2.0)];
    check(&db, &expected, "sealed");
    append(&db, t, t + 20, 0.0).unwrap();
    // The block is not looked into: other values are taken and never shown, equal ones are the same.
    for (t_ms, value) in [(t, 9.0), (t - 1_000, 8.0), (t - 1_000 - 1, 7.0), (t, 1.0)] {
        let _ = append(&db, t, t_ms, value);
    }
    check(&db, &expected, "in memory");
    // Of two late blocks the later one begins earlier.
    append(&db, t, t - 5_000, 6.0).unwrap();
    seal(&db);
    check(&db, &expected, "in blocks that overlap");
    drop(db);
    let (db, _) = open(Arc::new(dir.clone()));
    check(&db, &expected, "after a restart");
    for step in 1..20 {
        db.maintain(t + step * BLOCK_MS).unwrap();
        check(&db, &expected, "merged");
    }
    drop(db);
    let (db, _) = open(Arc::new(dir));
    check(&db, &expected, "merged, after a restart");
}

#[test]
fn a_late_sample_is_not_hidden_by_one_that_a_restart_takes_as_in_order() {
    let dir = MemDir::new();
    let (db, _) = open(Arc::new(dir.clone()));
    let t = START_MS + 10 * BLOCK_MS;
    append(&db, t, t, 1.0).unwrap();
    seal(&db);
    append(&db, t, t - 1_000, 2.0).unwrap();
    drop(db);
    // The series has no rows in memory now, so that nothing but the late sample says what is old.
    let (db, _) = open(Arc::new(dir));
    assert_eq!(append(&db, t, t - 1_000, 3.0), Err(AppendError::DuplicateForTimestamp));
    append(&db, t, t - 1_000, 2.0).unwrap();
    let expected = [(t - 1_000, 2.0), (t, 1.0)];
    check(&db, &expected, "in memory");
    seal(&db);
    check(&db, &expected, "sealed");
}

#[derive(Debug, Clone)]
enum Step {
    /// A sample so long after the start, with this value.
    Append(i64, u8),
    /// A row of one of the groups, with this value; whether the group has the series from now on.
    Row {
        group: usize,
        at: i64,
        value: u8,
        joins: bool,
    },
    /// A block of samples, one each so many steps from there on.
    Import(i64, u8),
    Seal,
    Maintain,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0i64..24, any::<u8>()).prop_map(|(at, value)| Step::Append(at, value)),
        12 => (0usize..GROUPS, 0i64..24, any::<u8>(), any::<bool>())
            .prop_map(|(group, at, value, joins)| Step::Row { group, at, value, joins }),
        2 => (0i64..24, any::<u8>()).prop_map(|(at, value)| Step::Import(at, value)),
        5 => Just(Step::Seal),
        2 => Just(Step::Maintain),
        2 => Just(Step::Restart),
    ]
}

const STEP_MS: i64 = BLOCK_MS / 6;
/// Targets that the series goes back and forth between.
const GROUPS: usize = 3;

/// What the writer of a target remembers: a companion is column 0, and the series may be another.
#[derive(Debug, Clone, Copy)]
struct Target {
    group: GroupRef,
    column: Option<ColumnIdx>,
    last: f64,
}

/// Appends a row; returns the value that the series was given, `None` for none.
fn append_row(
    db: &Db,
    (now_ms, t_ms): (i64, i64),
    target: &mut Option<Target>,
    companion: usize,
    (value, joins): (f64, bool),
) -> Option<f64> {
    let mut appender = db.appender(now_ms);
    let mut next = match *target {
        Some(known) => known,
        None => {
            let (group, _) = appender.add_columns(None, &[labels(companion)]).unwrap();
            Target { group, column: None, last: 0.0 }
        }
    };
    if joins && next.column.is_none() {
        let (_, columns) = match appender.add_columns(Some(next.group), &[labels(SERIES)]) {
            Ok(added) => added,
            Err(RowError::UnknownGroup) => {
                *target = None;
                return None;
            }
            Err(err) => panic!("{err}"),
        };
        next.column = Some(columns[0].unwrap());
    }
    let mut changed = vec![(0, value)];
    if let Some(column) = next.column.filter(|_| joins) {
        changed.push((column, value));
        next.last = value;
    }
    match appender.append_row(next.group, t_ms, &changed) {
        Ok(outcome) => {
            appender.commit().unwrap();
            next.column = next.column.filter(|column| !outcome.moved.contains(column));
        }
        Err(RowError::UnknownGroup) => {
            *target = None;
            return None;
        }
        Err(_) => return None,
    }
    *target = Some(next);
    next.column.map(|_| next.last)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("HINOMI_MODEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(150),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_sample_stored_first_stays(steps in proptest::collection::vec(step(), 1..60)) {
        let dir = MemDir::new();
        let (mut db, _) = open(Arc::new(dir.clone()));
        let now_ms = START_MS + 24 * STEP_MS;
        let mut first = std::collections::BTreeMap::<i64, u64>::new();
        let mut targets: [Option<Target>; GROUPS] = [None; GROUPS];
        for (idx, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(at, value) => {
                    let t_ms = START_MS + at * STEP_MS;
                    if append(&db, now_ms, t_ms, f64::from(value)).is_ok() {
                        first.entry(t_ms).or_insert(f64::from(value).to_bits());
                    }
                }
                Step::Row { group, at, value, joins } => {
                    let t_ms = START_MS + at * STEP_MS;
                    let sample = (f64::from(value), joins);
                    let given = append_row(&db, (now_ms, t_ms), &mut targets[group], 10 + group, sample);
                    if let Some(value) = given {
                        first.entry(t_ms).or_insert(value.to_bits());
                    }
                }
                Step::Import(at, value) => {
                    // What is in memory counts as stored when it is sealed.
                    seal(&db);
                    let times: Vec<i64> = (at..at + 8).map(|at| START_MS + at * STEP_MS).collect();
                    for t_ms in &times {
                        first.entry(*t_ms).or_insert(f64::from(value).to_bits());
                    }
                    let values = vec![f64::from(value); times.len()];
                    let series = Series::floats(labels(SERIES), Arc::new(times), values);
                    db.import(&format!("import-{idx}"), &mut VecSeriesSet::new(vec![series])).unwrap();
                }
                Step::Seal => seal(&db),
                Step::Maintain => {
                    db.maintain(now_ms).unwrap();
                }
                Step::Restart => {
                    drop(db);
                    db = open(Arc::new(dir.clone())).0;
                    targets = [None; GROUPS];
                }
            }
            let found = read_all(&db).remove(&labels(SERIES)).unwrap_or_default();
            prop_assert_eq!(&found, &first, "after step {}", idx);
        }
    }
}
