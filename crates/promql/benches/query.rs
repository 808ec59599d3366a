//! How long the questions of the targets take, asked of the engine over blocks, without HTTP.
//!
//! Run: `cargo bench -p promql --bench query [-- NAME…]`; `DATA=folder` keeps the data for the next run, `THREADS=1` keeps to one
//! core (2), `RUNS=n` asks n times (5), `HEAD=1` asks a little later, when all that an instant query sees is still in the head.
//! Wall and CPU time of the process, medians.

#![expect(clippy::print_stdout, reason = "the figures are for a person at a terminal")]
#![expect(clippy::disallowed_methods, reason = "the folder of the data is made here")]

use std::path::Path;
use std::sync::Arc;

use model::Labels;
use promql::{Engine, EngineOptions, QueryOptions, RangeParams, Value, parse};
use rustix::time::{ClockId, clock_gettime};
use stdx::DiskDir;
use storage::{Appendable, SeriesRef};
use tsdb::{Db, Options};

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STEP_MS: i64 = 15_000;
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;
/// Aligned to two hours.
const END_MS: i64 = 1_700_006_400_000;

/// Rows that stay in the head: more than a lookback has.
const TAIL_STEPS: i64 = 24;

/// Series that are scraped together, and for how long.
struct Set {
    labels: Vec<Vec<Labels>>,
    value: fn(usize, i64) -> f64,
    step_ms: i64,
    length_ms: i64,
}

fn of(
    groups: usize,
    series: usize,
    pairs: impl Fn(usize, usize) -> Vec<(&'static str, String)>,
) -> Vec<Vec<Labels>> {
    let host = |nth: usize| [("instance", format!("host-{nth:05}:9100")), ("job", "node".to_owned())];
    let one = |group: usize, nth: usize| Labels::from_pairs(pairs(group, nth).into_iter().chain(host(group)));
    (0..groups).map(|group| (0..series).map(|nth| one(group, nth)).collect()).collect()
}

fn counter(series: usize, step: i64) -> f64 {
    let noise = (series as i64 * 7_919 + step * 104_729) % 1_009;
    (step * 1_500 + noise) as f64 / 100.0
}

fn whole(series: usize, step: i64) -> f64 {
    (step * (40 + series as i64 % 30)) as f64
}

fn gauge(series: usize, step: i64) -> f64 {
    if series.is_multiple_of(2) {
        series as f64
    } else {
        ((series as i64 * 7_919 + step * 104_729) % 1_009) as f64
    }
}

fn name(text: &str) -> (&'static str, String) {
    ("__name__", text.to_owned())
}

fn sets() -> Vec<Set> {
    const MODES: [&str; 8] = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
    let cpu = |_: usize, nth: usize| {
        vec![
            name("node_cpu_seconds_total"),
            ("cpu", (nth / 8).to_string()),
            ("mode", MODES[nth % 8].to_owned()),
        ]
    };
    let node = |_: usize, nth: usize| {
        vec![name(&format!("node_metric_{}", nth / 4)), ("device", (nth % 4).to_string())]
    };
    let counters = |_: usize, nth: usize| vec![name("bench_counter"), ("nth", nth.to_string())];
    let long = |_: usize, nth: usize| vec![name("bench_long"), ("nth", nth.to_string())];
    let many = |group: usize, nth: usize| {
        vec![name("bench_many"), ("host", format!("h{group}")), ("nth", nth.to_string())]
    };
    let one = |group: usize, _: usize| {
        vec![name("bench_one"), ("host", format!("h{group}")), ("version", format!("v{}", group % 7))]
    };
    let bucket = |_: usize, nth: usize| {
        let le = [".1", ".2", ".5", "1", "2", "5", "10", "20", "50", "+Inf"][nth % 10];
        vec![name("bench_bucket"), ("path", format!("/p/{}", nth / 10)), ("le", le.to_owned())]
    };
    let set = |labels, value, step_ms, length_ms| Set { labels, value, step_ms, length_ms };
    vec![
        set(of(20, 128, cpu), counter, STEP_MS, DAY_MS),
        set(of(20, 1_000, node), gauge, STEP_MS, 3_600_000),
        set(of(20, 50, counters), counter, STEP_MS, DAY_MS + 1_000 * MINUTE_MS),
        set(of(20, 100, long), counter, MINUTE_MS, 7 * DAY_MS),
        set(of(200, 100, many), gauge, STEP_MS, 3_600_000),
        set(of(200, 1, one), |_, _| 1.0, STEP_MS, 3_600_000),
        set(of(20, 100, bucket), |nth, step| whole(nth % 10, step), STEP_MS, DAY_MS),
    ]
}

/// Name, expression, length and step in milliseconds.
const QUESTIONS: &[(&str, &str, i64, i64)] = &[
    ("cpu", "sum by (mode) (rate(node_cpu_seconds_total[5m]))", DAY_MS, MINUTE_MS),
    ("rate_1d", "rate(bench_counter[1d])", 1_000 * MINUTE_MS, MINUTE_MS),
    ("max_7d", "max_over_time(bench_long[7d])", 0, 0),
    ("increase_7d", "increase(bench_long[7d])", 0, 0),
    ("avg_7d", "avg_over_time(bench_long[7d])", 0, 0),
    ("topk", "topk(10, {job=\"node\"})", 0, 0),
    ("count_name", "count by (__name__) ({__name__!=\"\"})", 0, 0),
    ("regex", "count({__name__=~\"node_(cpu|metric_1).*\",instance=~\"host-.*[02468]:9100\"})", 0, 0),
    ("negative", "count({job=\"node\",instance!=\"host-00000:9100\",__name__!~\"node_.*\"})", 0, 0),
    ("join", "bench_many * on (host) group_left (version) bench_one", 239 * STEP_MS, STEP_MS),
    ("quantile", "histogram_quantile(0.9, sum by (le, path) (rate(bench_bucket[5m])))", DAY_MS, MINUTE_MS),
    ("gauge_range", "avg by (instance) (node_cpu_seconds_total)", DAY_MS, MINUTE_MS),
    ("one", "node_metric_1{instance=\"host-00000:9100\",device=\"1\"}", 0, 0),
];

fn main() {
    let kept = std::env::var("DATA").ok();
    let folder = tempfile::tempdir().expect("a folder");
    let path = kept.as_ref().map_or(folder.path(), Path::new);
    std::fs::create_dir_all(path).expect("a folder can be made");
    let is_new = std::fs::read_dir(path).expect("a folder that is there").next().is_none();
    let dir = Arc::new(DiskDir::open(path).expect("a folder that is there"));
    let options = Options { retention_ms: 0, ..Options::default() };
    let (db, _) = Db::open(dir, options, END_MS).expect("it opens");
    if is_new {
        fill(&db);
    }
    let runs = number("RUNS", 5);
    let engine = Engine::new(EngineOptions { threads: number("THREADS", 2), ..EngineOptions::default() });
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    for (name, expr, length_ms, step_ms) in QUESTIONS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            ask(&db, &engine, name, expr, (*length_ms, *step_ms), runs);
        }
    }
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn fill(db: &Db) {
    let sets = sets();
    let mut known: Vec<Vec<Vec<Option<SeriesRef>>>> =
        sets.iter().map(|set| set.labels.iter().map(|group| vec![None; group.len()]).collect()).collect();
    let first_ms = sets.iter().map(|set| END_MS - set.length_ms).min().unwrap_or(END_MS);
    let mut t_ms = first_ms;
    while t_ms < END_MS + TAIL_STEPS * STEP_MS {
        for (set, known) in sets.iter().zip(&mut known) {
            if t_ms < END_MS - set.length_ms || (END_MS - t_ms) % set.step_ms != 0 {
                continue;
            }
            let step = (t_ms - (END_MS - set.length_ms)) / set.step_ms;
            for (nth_group, (group, known)) in set.labels.iter().zip(known).enumerate() {
                // Each target at its own moment.
                let t_ms = t_ms + (nth_group as i64 * 7_919) % STEP_MS;
                let mut appender = db.appender(t_ms);
                for (nth, (labels, known)) in group.iter().zip(known).enumerate() {
                    let value = (set.value)(nth, step);
                    *known = Some(appender.append(*known, labels, t_ms, value).expect("in order"));
                }
                appender.commit().expect("the disk takes it");
            }
        }
        t_ms += STEP_MS;
        if t_ms <= END_MS && t_ms % 1_800_000 == 0 {
            db.maintain(t_ms).expect("blocks are written");
        }
    }
}

fn ask(db: &Db, engine: &Engine, name: &str, text: &str, (length_ms, step_ms): (i64, i64), runs: usize) {
    let expr = parse(text).expect("a query");
    let later = if number("HEAD", 0) > 0 { TAIL_STEPS } else { 0 };
    let end_ms = END_MS + (later - 1) * STEP_MS;
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    let (mut n_series, mut n_samples, mut sum) = (0, 0, 0.0);
    for _ in 0..runs {
        let before = (ns(ClockId::Monotonic), ns(ClockId::ProcessCPUTime));
        let options = QueryOptions::default();
        let output = if step_ms == 0 {
            engine.instant(db, &expr, end_ms, &options)
        } else {
            engine.range(db, &expr, RangeParams { start_ms: end_ms - length_ms, end_ms, step_ms }, &options)
        };
        let value = output.expect("an answer").value;
        wall.push(ns(ClockId::Monotonic) - before.0);
        cpu.push(ns(ClockId::ProcessCPUTime) - before.1);
        (n_series, n_samples, sum) = match &value {
            Value::Matrix(all) => {
                let points = all.iter().flat_map(|series| &series.points);
                (all.len(), points.clone().count(), points.map(|(_, value)| *value).sum())
            }
            Value::Vector(all) => (all.len(), all.len(), all.iter().map(|sample| sample.value).sum()),
            _ => (0, 0, 0.0),
        };
    }
    wall.sort_unstable();
    cpu.sort_unstable();
    let ms = |all: &[i64]| all[all.len() / 2] as f64 / 1e6;
    println!(
        "{name:>12}  wall {:9.2} ms  CPU {:9.2} ms  {n_series} series, {n_samples} samples, sum {sum:?}",
        ms(&wall),
        ms(&cpu)
    );
}

fn ns(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
