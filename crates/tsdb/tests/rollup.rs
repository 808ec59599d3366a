//! Roll-ups against the samples they were made of: aligned windows are exact, nothing counts twice, nothing goes before its row is there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{BLOCK_MS, Content, START_MS, commit, labels};
use model::{Labels, Matcher, STALE_NAN_BITS, TimeRange, is_stale};
use proptest::prelude::*;
use stdx::dir::Fault;
use stdx::{Dir, FaultyDir, MemDir};
use storage::{Appendable, Queryable, SelectHints, Series, VecSeriesSet};
use tsdb::{Db, Options, RetentionRule, RollUp, inspect};

const FINE_MS: i64 = 5_000;
const COARSE_MS: i64 = 20_000;
/// Blocks that raw samples are kept for.
const N_RAW: i64 = 6;

/// Raw samples for six blocks, five seconds for thirty, twenty for ever.
fn options() -> Options {
    Options {
        retention_ms: N_RAW * BLOCK_MS,
        roll_ups: vec![
            RollUp { interval_ms: COARSE_MS, retention_ms: 0 },
            RollUp { interval_ms: FINE_MS, retention_ms: 30 * BLOCK_MS },
        ],
        ..common::options()
    }
}

fn open(dir: &MemDir) -> Db {
    let (db, report) = Db::open(Arc::new(dir.clone()), options(), START_MS).unwrap();
    assert!(report.quarantined.is_empty(), "{:?}", report.warnings());
    db
}

/// Where raw samples begin to answer, as the store itself says.
fn floor_ms(db: &Db) -> i64 {
    let set = db.select(&[], TimeRange::ALL, &SelectHints::default()).unwrap();
    set.rolled_up().first().map_or(i64::MIN, |part| part.before_ms)
}

fn select(db: &Db, function: &str, range: TimeRange) -> BTreeMap<Labels, Series> {
    let range_ms = range.end_ms - range.start_ms + 1;
    let hints = SelectHints { function: function.to_owned(), range_ms, ..SelectHints::default() };
    let mut set = db.select(&[], range, &hints).unwrap();
    let mut found = BTreeMap::new();
    while let Some(series) = set.next().unwrap() {
        assert!(series.timestamps.is_sorted_by(|a, b| a < b));
        assert!(series.timestamps.iter().all(|t_ms| range.contains(*t_ms)));
        found.insert(series.labels.clone(), series);
    }
    found
}

/// What the functions say of a window, without extrapolation. Prometheus' rules for NaN.
fn evaluate(function: &str, values: &[f64]) -> Option<f64> {
    let values: Vec<f64> = values.iter().copied().filter(|value| !is_stale(*value)).collect();
    let first = *values.first()?;
    let pick = |better: fn(f64, f64) -> bool| {
        values.iter().fold(f64::NAN, |best, v| if best.is_nan() || better(*v, best) { *v } else { best })
    };
    Some(match function {
        "min_over_time" => pick(|a, b| a < b),
        "max_over_time" => pick(|a, b| a > b),
        "sum_over_time" => values.iter().sum(),
        "count_over_time" => values.len() as f64,
        "avg_over_time" => values.iter().sum::<f64>() / values.len() as f64,
        "increase" => {
            let resets = values.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[0]);
            values.last().copied()? - first + resets.sum::<f64>()
        }
        "last_over_time" => values.last().copied()?,
        _ => first,
    })
}

const FUNCTIONS: [&str; 8] = [
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "avg_over_time",
    "increase",
    "last_over_time",
    "first_over_time",
];

fn is_close(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// Every function over `range`, whose ends lie on intervals of both tiers, is as over all samples.
fn check_window(db: &Db, content: &Content, range: TimeRange, what: &str) {
    for function in FUNCTIONS {
        // A counter's value at the left edge is that of the row which ends there.
        let edge_ms = i64::from(function == "increase");
        let found = select(db, function, TimeRange::new(range.start_ms - edge_ms, range.end_ms));
        for (labels, samples) in content {
            let raw: Vec<f64> =
                samples.range(range.start_ms..=range.end_ms).map(|(_, bits)| f64::from_bits(*bits)).collect();
            let has_nan = raw.iter().any(|value| value.is_nan() && !is_stale(*value));
            if function == "increase" && has_nan {
                continue;
            }
            let expected = evaluate(function, &raw);
            let got = found.get(labels).and_then(|series| evaluate(function, &series.values));
            let mut before = samples.range(..range.start_ms).map(|(_, bits)| f64::from_bits(*bits));
            let with_edge: Vec<f64> =
                before.rfind(|value| !is_stale(*value)).into_iter().chain(raw.clone()).collect();
            let from_edge = evaluate(function, &with_edge).filter(|_| function == "increase");
            let same = match (expected, got) {
                (Some(a), Some(b)) => is_close(a, b) || from_edge.is_some_and(|a| is_close(a, b)),
                (None, Some(b)) => function == "increase" && b == 0.0,
                (a, b) => a.is_none() && b.is_none(),
            };
            assert!(
                same,
                "{what}: {function} of {labels} over {range:?}: {got:?}, not {expected:?} of {raw:?}"
            );
        }
    }
}

fn check(db: &Db, content: &Content, oldest_ms: i64, now_ms: i64, what: &str) {
    let mut from_ms = oldest_ms;
    while from_ms < now_ms {
        for n in [1, 3, 40] {
            check_window(db, content, TimeRange::new(from_ms, from_ms + n * COARSE_MS - 1), what);
        }
        from_ms += 7 * COARSE_MS;
    }
    check_window(db, content, TimeRange::new(oldest_ms, now_ms), what);
}

#[derive(Debug, Clone)]
enum Step {
    /// Samples of three series, that come so much later: kinds of values.
    Commit {
        ms: i64,
        kinds: [u8; 3],
    },
    Late {
        back_ms: i64,
        series: usize,
    },
    Delete {
        back_ms: i64,
        ms: i64,
        series: usize,
    },
    Maintain,
    Restart {
        kill: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (prop_oneof![8 => Just(2_000i64), 1 => 1i64..9_000, 1 => Just(90_000)], [0u8..20, 0u8..20, 0u8..20])
            .prop_map(|(ms, kinds)| Step::Commit { ms, kinds }),
        3 => (0i64..300_000, 0usize..3).prop_map(|(back_ms, series)| Step::Late { back_ms, series }),
        1 => (0i64..900_000, 0i64..9, 0usize..3)
            .prop_map(|(back_ms, n, series)| Step::Delete { back_ms, ms: n * COARSE_MS, series }),
        10 => Just(Step::Maintain),
        1 => any::<bool>().prop_map(|kill| Step::Restart { kill }),
    ]
}

struct World {
    dir: MemDir,
    db: Db,
    content: Content,
    counters: [f64; 3],
    now_ms: i64,
}

impl World {
    fn new() -> Self {
        let dir = MemDir::new();
        let db = open(&dir);
        Self { dir, db, content: Content::new(), counters: [0.0; 3], now_ms: START_MS }
    }

    fn value(&mut self, series: usize, kind: u8) -> Option<f64> {
        let counter = &mut self.counters[series];
        match kind {
            0 => *counter = 0.0,
            1 => return Some(f64::from_bits(STALE_NAN_BITS)),
            2 => return Some(f64::NAN),
            3 => return None,
            4 => *counter = (*counter - 3.0).max(0.0),
            _ => *counter += f64::from(kind) / 8.0,
        }
        Some(*counter)
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Commit { ms, kinds } => {
                self.now_ms += ms;
                let values =
                    kinds.iter().enumerate().map(|(series, kind)| (series, self.value(series, *kind)));
                let batch: Vec<(usize, f64)> =
                    values.collect::<Vec<_>>().into_iter().filter_map(|(s, v)| Some((s, v?))).collect();
                commit(&self.db, self.now_ms, &batch, &mut self.content).unwrap();
            }
            Step::Late { back_ms, series } => {
                let t_ms = self.now_ms - back_ms;
                if t_ms < START_MS {
                    return;
                }
                let mut appender = self.db.appender(self.now_ms);
                let taken = appender.append(None, &labels(*series), t_ms, 0.25).is_ok();
                appender.commit().unwrap();
                if taken {
                    let samples = self.content.entry(labels(*series)).or_default();
                    samples.entry(t_ms).or_insert(0.25f64.to_bits());
                }
            }
            Step::Delete { back_ms, ms, series } => {
                // Whole intervals, since of rows no less can be deleted.
                let from_ms = (self.now_ms - back_ms).div_euclid(COARSE_MS) * COARSE_MS;
                let range = TimeRange::new(from_ms, from_ms + ms - 1);
                let matcher = Matcher::equal("instance", labels(*series).get("instance").unwrap());
                self.db.delete_series(&[matcher], range).unwrap();
                if let Some(samples) = self.content.get_mut(&labels(*series)) {
                    samples.retain(|t_ms, _| !range.contains(*t_ms));
                }
            }
            Step::Maintain => {
                self.db.maintain(self.now_ms).unwrap();
            }
            Step::Restart { kill } => {
                if !kill {
                    self.db.close().unwrap();
                }
                self.dir = self.dir.kill_image();
                self.db = open(&self.dir);
            }
        }
    }
}

/// `HINOMI_MODEL_CASES=1000` for the long run.
fn cases() -> u32 {
    std::env::var("HINOMI_MODEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]
    #[test]
    fn aligned_windows_over_roll_ups_are_as_over_samples(steps in proptest::collection::vec(step(), 500..900)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.db.maintain(world.now_ms).unwrap();
        check(&world.db, &world.content, START_MS, world.now_ms, "model");
        prop_assert!(floor_ms(&world.db) > START_MS, "something was rolled up");
    }
}

/// A steady life: three series, every two seconds, `n_blocks` blocks long.
fn live(
    db: &Db,
    content: &mut Content,
    from_block: i64,
    n_blocks: i64,
    mut after: impl FnMut(&Content, i64),
) {
    for idx in from_block * 30..(from_block + n_blocks) * 30 {
        let t_ms = START_MS + idx * 2_000;
        let batch = [(0, (idx % 100) as f64), (1, idx as f64), (2, 1.5)];
        let _ = commit(db, t_ms, &batch, content);
        if idx % 10 == 0 {
            let _ = db.maintain(t_ms);
            after(content, t_ms);
        }
    }
}

#[test]
fn raw_samples_answer_as_long_as_they_are_there_then_the_finest_tier() {
    let dir = MemDir::new();
    let db = open(&dir);
    let mut content = Content::new();
    live(&db, &mut content, 0, 60, |_, _| {});
    let now_ms = START_MS + 60 * BLOCK_MS;
    let set = db.select(&[], TimeRange::ALL, &SelectHints::default()).unwrap();
    let [fine, coarse] = set.rolled_up() else { panic!("{:?}", set.rolled_up()) };
    assert_eq!((fine.interval_ms, coarse.interval_ms), (FINE_MS, COARSE_MS));
    let blocks_ago = |t_ms: i64| (now_ms - t_ms) / BLOCK_MS;
    assert!((N_RAW..N_RAW + 4).contains(&blocks_ago(fine.before_ms)), "{}", blocks_ago(fine.before_ms));
    assert!((29..36).contains(&blocks_ago(coarse.before_ms)), "{}", blocks_ago(coarse.before_ms));
    drop(set);
    check(&db, &content, START_MS, now_ms, "steady");
    // From the floor on every sample is as it came, and the answer does not speak of roll-ups.
    let recent = TimeRange::new(floor_ms(&db), now_ms);
    assert!(db.select(&[], recent, &SelectHints::default()).unwrap().rolled_up().is_empty());
    let mut expected = content.clone();
    expected.values_mut().for_each(|samples| samples.retain(|t_ms, _| recent.contains(*t_ms)));
    assert_eq!(common::read(&db, &[], recent), expected);
    // Small blocks of tiers are merged.
    for (tier, n_max) in [("5s", 12), ("20s", 20)] {
        let n_blocks = dir.list(&Path::new("rollups").join(tier)).unwrap().len();
        assert!(n_blocks > 0 && n_blocks < n_max, "{tier}: {n_blocks}");
    }
    // A copy has them too.
    db.snapshot(Path::new("snapshots/one"), true).unwrap();
    let folder: Arc<dyn Dir> = Arc::new(stdx::SubDir::new(Arc::new(dir), "snapshots/one"));
    let (copy, _) = Db::open(folder, options(), START_MS).unwrap();
    check(&copy, &content, START_MS, now_ms, "snapshot");
}

#[test]
fn instant_selectors_find_rows_further_apart_than_they_look_back() {
    let db = open(&MemDir::new());
    let mut content = Content::new();
    live(&db, &mut content, 0, 60, |_, _| {});
    let hints = SelectHints { lookback_ms: 3_000, ..SelectHints::default() };
    for step in 0..500 {
        let t_ms = START_MS + BLOCK_MS + step * 1_234;
        let mut set = db.select(&[], TimeRange::new(t_ms - 2_999, t_ms), &hints).unwrap();
        let mut n_series = 0;
        while let Some(series) = set.next().unwrap() {
            let of_row = t_ms.div_euclid(COARSE_MS) * COARSE_MS - 1;
            let before = content[&series.labels].range(..=of_row).next_back().unwrap();
            assert_eq!(series.values.last().unwrap().to_bits(), *before.1, "{} at {t_ms}", series.labels);
            n_series += 1;
        }
        assert_eq!(n_series, 3, "{t_ms}");
    }
}

#[test]
fn series_with_a_rule_of_their_own_are_not_rolled_up() {
    let rule = |name: &str, n_blocks: i64| RetentionRule {
        matchers: vec![Matcher::equal("__name__", name)],
        retention_ms: n_blocks * BLOCK_MS,
    };
    let options = Options { retention_rules: vec![rule("metric_0", 2), rule("metric_1", 40)], ..options() };
    let (db, _) = Db::open(Arc::new(MemDir::new()), options, START_MS).unwrap();
    let mut content = Content::new();
    live(&db, &mut content, 0, 60, |_, _| {});
    let found = common::read_all(&db);
    let (short, long, other) = (&found[&labels(0)], &found[&labels(1)], &found[&labels(2)]);
    assert!((60..200).contains(&short.len()), "{}", short.len());
    assert!((40 * 30..46 * 30).contains(&long.len()), "{}", long.len());
    assert!(long.iter().all(|(t_ms, bits)| content[&labels(1)].get(t_ms) == Some(bits)));
    let mut others = content.clone();
    others.retain(|name, _| *name == labels(2));
    assert!(other.len() < 900, "{}", other.len());
    check(&db, &others, START_MS, START_MS + 60 * BLOCK_MS, "beside rules");
}

#[test]
fn what_is_imported_into_a_rolled_up_stretch_is_rolled_up_too() {
    let dir = MemDir::new();
    let db = open(&dir);
    let mut content = Content::new();
    live(&db, &mut content, 0, 20, |_, _| {});
    let times: Vec<i64> = (0..600).map(|idx| START_MS + idx * 1_000).collect();
    let values: Vec<f64> = times.iter().enumerate().map(|(idx, _)| idx as f64 / 4.0).collect();
    let series = Series::floats(labels(7), Arc::new(times.clone()), values.clone());
    content.insert(labels(7), times.into_iter().zip(values.iter().map(|v| v.to_bits())).collect());
    db.import("elsewhere", &mut VecSeriesSet::new(vec![series])).unwrap();
    let now_ms = START_MS + 20 * BLOCK_MS;
    for _ in 0..2 {
        db.maintain(now_ms).unwrap();
        check(&db, &content, START_MS, now_ms, "imported");
    }
    assert!(db.block_metas().iter().all(|meta| !meta.contains("elsewhere")), "its raw samples have gone");
    let again = open(&dir.kill_image());
    check(&again, &content, START_MS, now_ms, "imported, restarted");
}

#[test]
fn turned_off_again_what_is_there_is_answered_and_no_more_is_made() {
    let dir = MemDir::new();
    let mut content = Content::new();
    live(&open(&dir), &mut content, 0, 20, |_, _| {});
    let dir = dir.kill_image();
    let plain = Options { roll_ups: Vec::new(), ..options() };
    let (db, _) = Db::open(Arc::new(dir), plain, START_MS).unwrap();
    let floor = floor_ms(&db);
    assert!(floor > START_MS);
    live(&db, &mut content, 20, 40, |_, _| {});
    assert_eq!(floor_ms(&db), floor);
    check_window(&db, &content, TimeRange::new(START_MS, floor - 1), "turned off");
}

#[test]
fn a_lost_state_is_told_and_roll_ups_stay() {
    for lost in [false, true] {
        let dir = MemDir::new();
        let mut content = Content::new();
        live(&open(&dir), &mut content, 0, 20, |_, _| {});
        let image = dir.kill_image();
        let path = Path::new("rollups/state.json");
        if lost {
            image.remove_file(path).unwrap();
        } else {
            image.write_atomic(path, b"{").unwrap();
        }
        let (db, report) = Db::open(Arc::new(image), options(), START_MS).unwrap();
        assert_eq!(report.quarantined.len(), usize::from(!lost), "{:?}", report.warnings());
        check(&db, &content, START_MS, START_MS + 20 * BLOCK_MS, "state lost");
    }
}

#[test]
fn nothing_is_lost_whatever_operation_a_crash_comes_after() {
    let inner = MemDir::new();
    let (db, _) = Db::open(Arc::new(inner.clone()), options(), START_MS).unwrap();
    let mut content = Content::new();
    live(&db, &mut content, 0, 14, |_, _| {});
    drop(db);
    let base = inner.kill_image();
    let now_ms = START_MS + 14 * BLOCK_MS + BLOCK_MS * 4;
    let all = TimeRange::new(START_MS, now_ms);
    let life = |first: u64, n_ops: u64| {
        let inner = base.kill_image();
        let dir = FaultyDir::new(Arc::new(inner.clone()), Fault { first, n_ops, errno: 28 });
        if let Ok((db, _)) = Db::open(Arc::new(dir.clone()), options(), START_MS) {
            let mut taken = content.clone();
            for idx in 0..60 {
                let t_ms = START_MS + 14 * BLOCK_MS + idx * 4_000;
                let _ = commit(&db, t_ms, &[(0, 1.0), (1, idx as f64)], &mut taken);
                if idx % 12 == 0 {
                    let _ = db.maintain(t_ms);
                }
            }
            let _ = db.maintain(now_ms);
            let _ = db.maintain(now_ms);
            check_window(&db, &taken, all, "running");
            let again = open(&inner.kill_image());
            check_window(&again, &taken, all, "after a kill");
            again.maintain(now_ms).unwrap();
            check_window(&again, &taken, all, "after a kill and maintenance");
            drop(db);
        }
        dir.n_ops()
    };
    let n_ops = life(u64::MAX, 1);
    assert!(n_ops > 100, "{n_ops}");
    // All of them take minutes: `HINOMI_MODEL_CASES` asks for more.
    for first in (0..n_ops).step_by(if cases() > 6 { 1 } else { 5 }) {
        life(first, 1);
        life(first + 2, u64::MAX);
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let check = |roll_ups: &[(i64, i64)], retention_ms: i64, expected: &str| {
        let roll_ups = roll_ups.iter().map(|(interval_ms, retention_ms)| RollUp {
            interval_ms: *interval_ms,
            retention_ms: *retention_ms,
        });
        let options = Options { roll_ups: roll_ups.collect(), retention_ms, ..common::options() };
        let err = Db::open(Arc::new(MemDir::new()), options, START_MS).map(|_| ()).unwrap_err().to_string();
        assert!(err.contains(expected), "{err}");
    };
    check(&[(7_000, 0)], 5, "divides");
    check(&[(0, 0)], 5, "divides");
    check(&[(5_000, 0)], 0, "absent while samples are kept for ever");
    check(&[(5_000, 9)], 10, "kept for longer than samples are");
    check(&[(5_000, 20), (5_000, 30)], 10, "given once for each interval");
    check(&[(4_000, 20), (6_000, 30)], 10, "a multiple of the shorter one");
    check(&[(5_000, 20), (10_000, 20)], 10, "kept for longer where the interval is longer");
}

/// Every file of the blocks below `folder`.
fn files_below(dir: &MemDir, folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in dir.list(folder).unwrap() {
        let path = folder.join(&entry.name);
        if entry.is_dir { files.extend(files_below(dir, &path)) } else { files.push(path) }
    }
    files
}

#[test]
fn what_looks_at_a_directory_looks_at_roll_ups_too() {
    let dir = MemDir::new();
    let db = open(&dir);
    let mut content = Content::new();
    live(&db, &mut content, 0, 40, |_, _| {});
    let floor = floor_ms(&db);
    drop(db);
    let shared: Arc<dyn Dir> = Arc::new(dir.clone());
    let listing = inspect::list(&shared).unwrap();
    let folders: Vec<_> = listing.tiers.iter().map(|tier| (tier.folder.as_str(), tier.interval_ms)).collect();
    assert_eq!(folders, [("rollups/5s", FINE_MS), ("rollups/20s", COARSE_MS)]);
    assert!(listing.rolled_up_before_ms.is_some_and(|before_ms| before_ms >= floor));
    let n_rows = |tier: &inspect::TierSummary| tier.blocks.iter().map(|block| block.n_samples).sum::<u64>();
    let all = inspect::AnalyzeOptions { matchers: &[], block: None, limit: 5 };
    let analysis = inspect::analyze(&shared, &all).unwrap();
    for (tier, of_tier) in listing.tiers.iter().zip(&analysis.tiers) {
        assert!(n_rows(tier) > 0 && !tier.blocks.is_empty(), "{tier:?}");
        assert_eq!((of_tier.n_rows, of_tier.n_blocks), (n_rows(tier), tier.blocks.len()));
        assert_eq!((of_tier.folder.as_str(), of_tier.n_series), (tier.folder.as_str(), 3));
    }
    let found = inspect::verify(&shared, &mut |_| {}).unwrap();
    assert_eq!(found.findings, []);
    assert_eq!(found.n_rolled_up_rows, listing.tiers.iter().map(n_rows).sum::<u64>());
    // A flipped bit anywhere in a block of rows is found, named, and mending it leaves the other blocks alone.
    for file in files_below(&dir, Path::new("rollups")) {
        if file.ends_with("state.json") {
            continue;
        }
        let whole = dir.read(&file).unwrap();
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        dir.write_atomic(&file, &bytes).unwrap();
        let found = inspect::verify(&shared, &mut |_| {}).unwrap();
        // A name of a source in meta.json can be any.
        if !file.ends_with("meta.json") {
            assert!(!found.is_whole(), "{}", file.display());
            let folder = file.parent().unwrap().display().to_string();
            assert!(found.findings.iter().all(|finding| finding.file.starts_with(&folder)), "{found:?}");
        }
        let repair = inspect::repair(&shared, true, START_MS, &mut |_| {}).unwrap();
        assert!(repair.steps.iter().all(|step| step.contains("rollups/")), "{:?}", repair.steps);
        dir.write_atomic(&file, &whole).unwrap();
    }
    let file =
        files_below(&dir, Path::new("rollups/5s")).into_iter().find(|file| file.ends_with("index")).unwrap();
    dir.write_atomic(&file, b"nothing").unwrap();
    let repair = inspect::repair(&shared, false, START_MS, &mut |_| {}).unwrap();
    assert_eq!(repair.steps.len(), 1, "{:?}", repair.steps);
    let after = inspect::list(&shared).unwrap();
    // Rows cannot be made again, but the index has a copy.
    assert_eq!(after.tiers, listing.tiers);
    assert!(inspect::verify(&shared, &mut |_| {}).unwrap().is_whole());
}
