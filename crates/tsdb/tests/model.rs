//! The store against a map, under random schedules of everything that can happen to it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{BLOCK_MS, Content, START_MS, commit, labels, open, read, read_all};
use model::{Labels, MatchOp, Matcher, STALE_NAN_BITS, TimeRange};
use proptest::prelude::*;
use stdx::MemDir;
use storage::{AppendError, Appendable, GroupRef, Queryable, RowError};
use tsdb::{Db, Options};

const N_TARGETS: usize = 2;
const N_COLUMNS: usize = 6;

#[derive(Debug, Clone)]
enum Step {
    /// Time goes on and these series get samples, one by one.
    Commit {
        ms: i64,
        series: Vec<(usize, f64)>,
    },
    /// Time goes on and a target has a row, in which these columns change.
    Row {
        ms: i64,
        target: usize,
        changes: Vec<(usize, f64)>,
    },
    /// A sample `ms` before the newest.
    Late {
        ms: i64,
        series: usize,
    },
    /// A series of the first target becomes a column of the second.
    Move {
        column: usize,
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
        4 => (0i64..100).prop_map(|v| v as f64),
        2 => (0i64..100_000).prop_map(|v| v as f64 / 1_000.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(model::STALE_NAN),
        1 => Just(-0.0),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let changes = proptest::collection::btree_map(0..N_COLUMNS, value(), 0..4);
    prop_oneof![
        8 => (1i64..BLOCK_MS / 3, proptest::collection::btree_map(0usize..7, value(), 1..7))
            .prop_map(|(ms, series)| Step::Commit { ms: ms * 2, series: series.into_iter().collect() }),
        12 => (1i64..BLOCK_MS / 6, 0..N_TARGETS, changes)
            .prop_map(|(ms, target, changes)| Step::Row { ms: ms * 2, target, changes: changes.into_iter().collect() }),
        3 => (0i64..BLOCK_MS, 0usize..19).prop_map(|(ms, series)| Step::Late { ms: ms * 2 + 1, series }),
        1 => (0..N_COLUMNS).prop_map(|column| Step::Move { column }),
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

/// A target as its scrape loop sees it.
#[derive(Debug, Clone, Default)]
struct Target {
    group: Option<GroupRef>,
    /// The series at each column, and its value as long as it lives here.
    columns: Vec<(Labels, Option<u64>)>,
    /// How many of them the store knows.
    n_known: usize,
    /// Columns that are now elsewhere.
    moved: BTreeSet<u32>,
}

fn target_labels(target: usize, column: usize) -> Labels {
    labels(10 + target * N_COLUMNS + column)
}

/// A store, what it must hold, and who writes to it.
struct World {
    dir: MemDir,
    db: Db,
    content: Content,
    now_ms: i64,
    targets: Vec<Target>,
}

impl World {
    fn new() -> Self {
        let dir = MemDir::new();
        let (db, _) = open(Arc::new(dir.clone()));
        let targets = vec![Target::default(); N_TARGETS];
        Self { dir, db, content: Content::new(), now_ms: START_MS, targets }
    }

    fn put(&mut self, labels: &Labels, t_ms: i64, bits: u64) {
        self.content.entry(labels.clone()).or_default().entry(t_ms).or_insert(bits);
    }

    fn late(&mut self, t_ms: i64, series: usize) {
        let labels = labels(series);
        let bits = 0.5f64.to_bits();
        let have = self.content.get(&labels).and_then(|samples| samples.get(&t_ms)).copied();
        let mut appender = self.db.appender(self.now_ms);
        match appender.append(None, &labels, t_ms, 0.5) {
            Ok(_) => {
                assert_eq!(appender.commit().unwrap().n_refused, 0);
                self.put(&labels, t_ms, bits);
            }
            Err(err) => {
                assert_eq!(err, AppendError::DuplicateForTimestamp);
                assert!(have.is_some_and(|have| have != bits), "{have:?}");
            }
        }
    }

    /// A row as a scrape loop writes it: a group is begun when there is none, and then every value is named.
    fn row(&mut self, target: usize, changes: &[(usize, f64)]) {
        let now_ms = self.now_ms;
        for (column, _) in changes {
            let labels = target_labels(target, *column);
            if !self.targets[target].columns.iter().any(|(known, _)| *known == labels) {
                self.targets[target].columns.push((labels, None));
            }
        }
        let mut next = self.targets[target].clone();
        let mut named: Vec<(u32, f64)> = Vec::new();
        for (column, value) in changes {
            let labels = target_labels(target, *column);
            let at = next.columns.iter().position(|(known, _)| *known == labels).unwrap();
            if !next.moved.contains(&(at as u32)) {
                next.columns[at].1 = Some(value.to_bits());
                named.push((at as u32, *value));
            }
        }
        let mut appender = self.db.appender(now_ms);
        let all: Vec<Labels> = next.columns.iter().map(|(labels, _)| labels.clone()).collect();
        let n_known = next.n_known;
        let mut group = next.group;
        if let Some(known) = group
            && n_known < all.len()
        {
            match appender.add_columns(Some(known), &all[n_known..]) {
                Err(RowError::UnknownGroup) => group = None,
                added => drop(added.unwrap()),
            }
        }
        let outcome = match group {
            Some(group) => appender.append_row(group, now_ms, &named),
            None => Err(RowError::UnknownGroup),
        };
        let outcome = match outcome {
            Err(RowError::UnknownGroup) => {
                drop(appender);
                appender = self.db.appender(now_ms);
                let (group, columns) = appender.add_columns(None, &all).unwrap();
                assert!(columns.iter().enumerate().all(|(idx, column)| *column == Ok(idx as u32)));
                next.group = Some(group);
                next.moved.clear();
                let live =
                    next.columns.iter().enumerate().filter_map(|(at, (_, bits))| Some((at as u32, (*bits)?)));
                let named: Vec<(u32, f64)> = live.map(|(at, bits)| (at, f64::from_bits(bits))).collect();
                appender.append_row(group, now_ms, &named).unwrap()
            }
            other => other.unwrap(),
        };
        let stats = appender.commit().unwrap();
        assert_eq!(stats.n_refused, 0);
        next.moved.extend(outcome.moved);
        let mut n_samples = 0;
        for (at, (labels, bits)) in next.columns.clone().into_iter().enumerate() {
            if next.moved.contains(&(at as u32)) {
                next.columns[at].1 = None;
            } else if let Some(bits) = bits {
                n_samples += 1;
                self.put(&labels, now_ms, bits);
                if bits == STALE_NAN_BITS {
                    next.columns[at].1 = None;
                }
            }
        }
        assert_eq!(stats.n_samples, n_samples);
        next.n_known = next.columns.len();
        self.targets[target] = next;
    }

    fn restart(&mut self, kill: bool) {
        if kill {
            self.dir = self.dir.kill_image();
        } else {
            self.db.close().unwrap();
        }
        // The lock of the old one goes with it.
        let dir = if kill { self.dir.clone() } else { self.dir.kill_image() };
        self.dir = dir.clone();
        let (again, report) = open(Arc::new(dir));
        assert!(report.warnings().is_empty(), "{:?}", report.warnings());
        self.db = again;
        for target in &mut self.targets {
            target.group = None;
            target.n_known = 0;
            target.moved.clear();
            target.columns.iter_mut().for_each(|(_, bits)| *bits = None);
        }
    }

    fn compare(&self, pick: usize, range: TimeRange) {
        let matchers = matchers(pick);
        let mut expected = self.content.clone();
        expected.retain(|labels, samples| {
            samples.retain(|t_ms, _| range.contains(*t_ms));
            !samples.is_empty() && matchers.iter().all(|matcher| matcher.matches_labels(labels))
        });
        assert_eq!(read(&self.db, &matchers, range), expected);
    }

    fn compare_all(&self) {
        for pick in 0..6 {
            self.compare(pick, TimeRange::ALL);
            let matchers = matchers(pick);
            let matching = || self.content.keys().filter(|l| matchers.iter().all(|m| m.matches_labels(l)));
            let names: BTreeSet<String> =
                matching().flat_map(|l| l.iter()).map(|(n, _)| n.to_owned()).collect();
            let found: BTreeSet<String> =
                self.db.label_names(&matchers, TimeRange::ALL, usize::MAX).unwrap().into_iter().collect();
            assert!(names.is_subset(&found), "{names:?} in {found:?}");
            let values: BTreeSet<String> =
                matching().filter_map(|l| l.get("instance")).map(str::to_owned).collect();
            let found = self.db.label_values("instance", &matchers, TimeRange::ALL, usize::MAX).unwrap();
            let found: BTreeSet<String> = found.into_iter().collect();
            // A column may still wait for its first value.
            let waiting = self.targets.iter().flat_map(|target| &target.columns);
            let waiting: BTreeSet<&str> = waiting.filter_map(|(labels, _)| labels.get("instance")).collect();
            assert!(values.is_subset(&found), "{values:?} in {found:?}");
            assert!(
                found.difference(&values).all(|value| waiting.contains(&value[..])),
                "{found:?} for {values:?}"
            );
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Commit { ms, series } => {
                self.now_ms += ms;
                commit(&self.db, self.now_ms, &series, &mut self.content).unwrap();
            }
            Step::Row { ms, target, changes } => {
                self.now_ms += ms;
                self.row(target, &changes);
            }
            Step::Late { ms, series } => self.late(self.now_ms - ms, series),
            Step::Move { column } => {
                // The second target names a series of the first as its own.
                let labels = target_labels(0, column);
                if self.targets[1].group.is_some()
                    && !self.targets[1].columns.iter().any(|(known, _)| *known == labels)
                {
                    self.targets[1].columns.push((labels, None));
                }
            }
            Step::Maintain => {
                self.db.maintain(self.now_ms).unwrap();
            }
            Step::Sync => self.db.sync().unwrap(),
            Step::Reopen => self.restart(false),
            Step::Kill => self.restart(true),
            Step::Query { from_ms, width_ms, pick } => {
                let start_ms = START_MS + from_ms;
                self.compare(pick, TimeRange::new(start_ms, start_ms + width_ms));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]
    #[test]
    fn the_store_answers_as_a_map_does(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.compare_all();
    }
}

/// `HINOMI_MODEL_CASES=1000` for the long run.
fn cases() -> u32 {
    std::env::var("HINOMI_MODEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
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
