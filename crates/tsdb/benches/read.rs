//! How fast samples come back: all of many series over a day, selected from blocks, decoded and added up.
//!
//! Run: `cargo bench -p tsdb --bench read`; with `SERIES=1000` for fewer than the target's 10,000. CPU time of the thread, since the
//! machine may be busy. The last line is read by `cargo xtask bench read`.

#![expect(clippy::print_stdout, reason = "the figures are for a person at a terminal")]

use std::hint::black_box;
use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use rustix::time::{ClockId, clock_gettime};
use stdx::DiskDir;
use storage::{Appendable, Queryable, SelectHints, SeriesRef};
use tsdb::{Db, Options};

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STEP_MS: i64 = 15_000;
const STEPS: i64 = 5_760;
/// Aligned to two hours.
const START_MS: i64 = 1_700_006_400_000;
/// Series of one host.
const HOST_SERIES: usize = 1_000;
/// Reads; the median counts.
const RUNS: usize = 5;

fn main() {
    let n_series = std::env::var("SERIES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let folder = tempfile::tempdir().expect("a folder");
    let dir = Arc::new(DiskDir::open(folder.path()).expect("a folder that is there"));
    let options = Options { retention_ms: 0, ..Options::default() };
    let (db, _) = Db::open(dir, options, START_MS).expect("an empty folder opens");
    fill(&db, n_series);
    let mut rates: Vec<f64> = (0..RUNS).map(|_| read(&db)).collect();
    rates.sort_by(f64::total_cmp);
    println!("read {:.0} samples a second of CPU", rates[RUNS / 2]);
}

/// The mix of node_exporter: most never change; counters, whole or with two digits; gauges.
fn value(series: usize, step: i64) -> f64 {
    let noise = (series as i64 * 7_919 + step * 104_729) % 1_009;
    match series % 10 {
        0..6 => series as f64,
        6..8 => (step * 1_500 + noise) as f64,
        8 => (step * 1_500 + noise) as f64 / 100.0,
        _ => (40_000 + noise) as f64 / 100.0,
    }
}

fn fill(db: &Db, n_series: usize) {
    let labels: Vec<Labels> = (0..n_series)
        .map(|nth| {
            Labels::from_pairs([
                ("__name__", format!("node_metric_{}", nth % HOST_SERIES)),
                ("instance", format!("host-{}:9100", nth / HOST_SERIES)),
                ("job", "node".to_owned()),
            ])
        })
        .collect();
    let mut known: Vec<Option<SeriesRef>> = vec![None; n_series];
    let before = cpu_ns();
    for step in 0..STEPS {
        let t_ms = START_MS + step * STEP_MS;
        let mut appender = db.appender(t_ms);
        for (nth, (labels, known)) in labels.iter().zip(&mut known).enumerate() {
            *known = Some(appender.append(*known, labels, t_ms, value(nth, step)).expect("in order"));
        }
        appender.commit().expect("the disk takes it");
        if step % 120 == 119 {
            db.maintain(t_ms).expect("blocks are written");
        }
    }
    let ns = (cpu_ns() - before) as f64 / (n_series as i64 * STEPS) as f64;
    println!("{n_series} series x {STEPS}: append, log, blocks {ns:.0} ns a sample");
}

/// Samples a second of CPU.
fn read(db: &Db) -> f64 {
    let before = cpu_ns();
    let matcher = Matcher::equal("job", "node");
    let range = TimeRange::new(START_MS, START_MS + STEPS * STEP_MS);
    let mut set = db.select(&[matcher], range, &SelectHints::default()).expect("select");
    let (mut n_samples, mut sum) = (0, 0.0);
    while let Some(series) = set.next().expect("whole blocks") {
        n_samples += series.values.len();
        sum += series.values.iter().sum::<f64>();
    }
    black_box(sum);
    let rate = n_samples as f64 * 1e9 / (cpu_ns() - before) as f64;
    println!("{n_samples} samples: {:.0} M a second", rate / 1e6);
    rate
}

fn cpu_ns() -> i64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
