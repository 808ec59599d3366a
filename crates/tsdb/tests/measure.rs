//! Figures of the head and the log, printed. Run by hand, in release, one at a time:
//! `HINOMI_RECORDING=<node-a.zst> cargo test --release -p tsdb --test measure -- --ignored --nocapture --test-threads=1`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "figures for a person; a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, MatchOp, Matcher, TimeRange};
use stdx::{Dir, DiskDir, MemDir};
use storage::{Appendable, GroupRef, Queryable, SelectHints, SeriesRef};
use tsdb::{Db, Options};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STEP_MS: i64 = 15_000;
const START_MS: i64 = 1_700_006_400_000;

/// CPU time of this thread.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Resident memory of this process, in bytes.
#[expect(
    clippy::disallowed_methods,
    reason = "a figure of this process; files of /proc have no length to read by"
)]
fn rss_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// Rows of the recording, played at one every fifteen seconds.
fn recording() -> Vec<BTreeMap<String, f64>> {
    let path = std::env::var("HINOMI_RECORDING").expect("HINOMI_RECORDING names the recording");
    let packed = DiskDir::anywhere().read(Path::new(&path)).unwrap();
    let mut decoder = zstd::stream::Decoder::new(&packed[..]).unwrap();
    decoder.window_log_max(27).unwrap();
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).unwrap();
    let (mut rows, mut src) = (Vec::new(), &bytes[..]);
    while let Some((len, rest)) = src.split_first_chunk::<4>() {
        let (body, rest) = rest.split_at(u32::from_le_bytes(*len) as usize);
        let lines = std::str::from_utf8(body).unwrap().lines().filter(|line| !line.starts_with('#'));
        let pair =
            |line: &str| line.rsplit_once(' ').map(|(key, value)| (key.to_owned(), value.parse().unwrap()));
        rows.push(lines.filter_map(pair).collect());
        src = rest;
    }
    rows
}

fn labels(target: usize, name: &str) -> Labels {
    let metric = name.split('{').next().unwrap_or(name);
    Labels::from_pairs([
        ("__name__", metric.to_owned()),
        ("column", name.to_owned()),
        ("instance", format!("host-{target:05}.example.com:9100")),
        ("job", "node".to_owned()),
        ("region", format!("region-{}", target % 7)),
        ("rack", format!("rack-{}", target % 97)),
    ])
}

fn written_bytes(registry: &stdx::metrics::Registry) -> f64 {
    let text = registry.render();
    let line = text.lines().find(|line| line.starts_with("tsdb_wal_written_bytes_total ")).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
#[ignore = "a measurement"]
fn log_bytes_of_a_recording() {
    let rows = recording();
    let options = Options::default();
    let registry = options.registry.clone();
    let (db, _) = Db::open(Arc::new(MemDir::new()), options, START_MS).unwrap();
    let names: Vec<&String> = rows[0].keys().collect();
    let all: Vec<Labels> = names.iter().map(|name| labels(0, name)).collect();
    let mut appender = db.appender(START_MS);
    let (group, _) = appender.add_columns(None, &all).unwrap();
    let first: Vec<(u32, f64)> =
        names.iter().enumerate().map(|(at, name)| (at as u32, rows[0][*name])).collect();
    appender.append_row(group, START_MS, &first).unwrap();
    appender.commit().unwrap();
    let begun = written_bytes(&registry);
    let (mut n_samples, mut n_changed) = (0, 0);
    let mut last: Vec<f64> = first.iter().map(|(_, value)| *value).collect();
    let mut spent = Duration::ZERO;
    for (idx, row) in rows.iter().enumerate().skip(1) {
        let mut changed = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let value = row.get(*name).copied().unwrap_or(last[at]);
            if value.to_bits() != last[at].to_bits() {
                changed.push((at as u32, value));
                last[at] = value;
            }
        }
        n_changed += changed.len();
        let t_ms = START_MS + idx as i64 * STEP_MS;
        let before = cpu();
        let mut appender = db.appender(t_ms);
        appender.append_row(group, t_ms, &changed).unwrap();
        n_samples += appender.commit().unwrap().n_samples;
        spent += cpu() - before;
    }
    let n_bytes = written_bytes(&registry) - begun;
    println!(
        "{} rows of {} columns, {:.1} % changed: {:.3} B a sample in the log, first row and labels {begun} B, {:.1} ns a sample",
        rows.len(),
        names.len(),
        100.0 * n_changed as f64 / n_samples as f64,
        n_bytes / n_samples as f64,
        spent.as_nanos() as f64 / n_samples as f64,
    );
}

/// A fleet of targets that change a fifth of their columns in each row.
struct Fleet {
    groups: Vec<GroupRef>,
    n_columns: usize,
    values: Vec<u64>,
}

fn noise(a: usize, b: usize) -> u64 {
    ((a as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (b as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f))
        .wrapping_mul(0xff51_afd7_ed55_8ccd)
        >> 33
}

impl Fleet {
    fn begin(db: &Db, n_targets: usize, n_columns: usize) -> Self {
        let mut fleet = Self { groups: Vec::new(), n_columns, values: Vec::new() };
        for target in 0..n_targets {
            let all: Vec<Labels> = (0..n_columns)
                .map(|at| labels(target, &format!("metric_{}{{cpu=\"{at}\"}}", at / 8)))
                .collect();
            let mut appender = db.appender(START_MS);
            let (group, _) = appender.add_columns(None, &all).unwrap();
            let first: Vec<(u32, f64)> =
                (0..n_columns).map(|at| (at as u32, (noise(target, at) % 100_000) as f64)).collect();
            fleet.values.extend(first.iter().map(|(_, value)| *value as u64));
            appender.append_row(group, START_MS, &first).unwrap();
            appender.commit().unwrap();
            fleet.groups.push(group);
        }
        fleet
    }

    fn row(&mut self, db: &Db, row: usize) -> u64 {
        let t_ms = START_MS + row as i64 * STEP_MS;
        let (mut n, n_columns) = (0, self.n_columns);
        for (target, group) in self.groups.iter().enumerate() {
            let mut changed = Vec::with_capacity(n_columns / 5 + 1);
            for at in (0..n_columns).step_by(5) {
                let value = &mut self.values[target * n_columns + at];
                *value += noise(row, at) % 3_000;
                changed.push((at as u32, *value as f64));
            }
            let mut appender = db.appender(t_ms);
            appender.append_row(*group, t_ms, &changed).unwrap();
            n += appender.commit().unwrap().n_samples;
        }
        n
    }
}

fn fleet_options() -> Options {
    Options { seal_ms: 24 * 3_600_000, ..Options::default() }
}

#[test]
#[ignore = "a measurement"]
fn a_million_series_in_memory_and_again_after_a_kill() {
    let n_targets = std::env::var("HINOMI_TARGETS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(DiskDir::open(folder.path()).unwrap());
    let before = rss_bytes();
    let (db, _) = Db::open(disk.clone(), fleet_options(), START_MS).unwrap();
    let from = cpu();
    let mut fleet = Fleet::begin(&db, n_targets, 1_000);
    let n_series = (n_targets * 1_000) as f64;
    println!("new series: {:.0} ns each, labels included", (cpu() - from).as_nanos() as f64 / n_series);
    println!("after the first row: {:.0} B a series", (rss_bytes() - before) as f64 / n_series);
    let from = cpu();
    let n: u64 = (1..120).map(|row| fleet.row(&db, row)).sum();
    println!("append_row: {:.2} ns a sample", (cpu() - from).as_nanos() as f64 / n as f64);
    let own = fleet.values.capacity() as u64 * 8;
    println!("after 120 rows: {:.0} B a series", (rss_bytes() - before - own) as f64 / n_series);
    let hints = SelectHints::default();
    let from = cpu();
    let mut set = db.select(&[Matcher::equal("__name__", "metric_7")], TimeRange::ALL, &hints).unwrap();
    let mut n_read = 0;
    while let Some(series) = set.next().unwrap() {
        n_read += series.values.len();
    }
    println!("select: {n_read} samples, {:.2} ns each", (cpu() - from).as_nanos() as f64 / n_read as f64);
    drop(set);
    drop(db);
    let from = cpu();
    let (db, report) = Db::open(disk, fleet_options(), START_MS).unwrap();
    println!(
        "ready after {:.2} s: {} series, {} samples",
        (cpu() - from).as_secs_f64(),
        report.n_series,
        report.n_samples
    );
    let from = cpu();
    let sealing = Options { seal_ms: 1, ..Options::default() };
    drop(db);
    let disk = Arc::new(DiskDir::open(folder.path()).unwrap());
    let (db, _) = Db::open(disk, sealing, START_MS).unwrap();
    let opened = cpu();
    let report = db.maintain(START_MS + 120 * STEP_MS).unwrap();
    println!("seal: {:.2} s for {:?}", (cpu() - opened).as_secs_f64(), report.cut);
    let _ = from;
}

#[test]
#[ignore = "a measurement"]
fn samples_by_reference() {
    let (db, _) = Db::open(Arc::new(MemDir::new()), fleet_options(), START_MS).unwrap();
    let mut refs: Vec<SeriesRef> = Vec::new();
    let mut appender = db.appender(START_MS);
    for target in 0..100 {
        for at in 0..1_000 {
            let labels = labels(target, &format!("metric_{}{{cpu=\"{at}\"}}", at / 8));
            refs.push(appender.append(None, &labels, START_MS, at as f64).unwrap());
        }
    }
    appender.commit().unwrap();
    let from = cpu();
    for row in 1..20usize {
        let t_ms = START_MS + row as i64 * STEP_MS;
        let mut appender = db.appender(t_ms);
        for (at, series) in refs.iter().enumerate() {
            let value = if at % 5 == 0 { (row * 100 + at) as f64 } else { at as f64 };
            appender.append_ref(*series, t_ms, value).unwrap();
        }
        assert_eq!(appender.commit().unwrap().n_samples, refs.len() as u64);
    }
    println!("append_ref: {:.1} ns a sample", (cpu() - from).as_nanos() as f64 / (19 * refs.len()) as f64);
}

/// Selections by regular expression over 100,000 values of one label, in memory and in a block.
#[test]
#[ignore = "a measurement"]
fn regular_expressions_over_many_values() {
    const N: usize = 100_000;
    let (db, _) = Db::open(Arc::new(MemDir::new()), Options::default(), START_MS).unwrap();
    let labels = |idx: usize| {
        let name = if idx.is_multiple_of(1_000) { "rare" } else { "common" };
        let instance = format!("host-{idx:06}.rack-{}.example:9100", idx % 97);
        Labels::from_pairs([("__name__", name), ("instance", &instance), ("job", "node")])
    };
    let mut appender = db.appender(START_MS);
    for idx in 0..N {
        appender.append(None, &labels(idx), START_MS, 1.0).unwrap();
    }
    appender.commit().unwrap();
    let regex = |pattern: &str| Matcher::new(MatchOp::Regex, "instance", pattern).unwrap();
    let several =
        (0..20).map(|idx| format!("host-{:06}.rack-{}.example:9100", idx * 4_999, idx * 4_999 % 97));
    let several = several.collect::<Vec<_>>().join("|").replace('.', "\\.");
    let rare = || Matcher::equal("__name__", "rare");
    let cases: [(&str, Vec<Matcher>, usize); 8] = [
        ("one of 20", vec![regex(&several)], 20),
        ("prefix", vec![regex("host-0123.*")], 100),
        ("prefix and more", vec![regex("host-0123.*rack-5\\..*")], 1),
        ("contains", vec![regex(".*rack-53.*")], 1_031),
        ("contains, within 100 series", vec![rare(), regex(".*rack-53.*")], 1),
        ("suffix", vec![regex(".*-53\\.example:9100")], 1_031),
        ("an automaton", vec![regex(".*9{3}.rack.*")], 100),
        ("an automaton, within 100 series", vec![rare(), regex(".*0{3}.rack.*")], 100),
    ];
    let hints = SelectHints { labels_only: true, ..SelectHints::default() };
    for place in ["in memory", "in a block"] {
        for (what, matchers, expected) in &cases {
            let mut times: Vec<f64> = Vec::new();
            for _ in 0..7 {
                let from = cpu();
                let mut set = db.select(matchers, TimeRange::ALL, &hints).unwrap();
                let mut n = 0;
                while set.next().unwrap().is_some() {
                    n += 1;
                }
                assert_eq!(n, *expected, "{what}");
                times.push((cpu() - from).as_secs_f64() * 1e6);
            }
            times.sort_by(f64::total_cmp);
            println!("{place}, {what}: {:.0} µs for {expected} series", times[3]);
        }
        db.delete_series(&[Matcher::equal("__name__", "none")], TimeRange::ALL).unwrap();
        db.maintain(START_MS + 24 * 3_600_000).unwrap();
    }
}
