//! `fleet`, `fleet-kurado`, and `fleet-most` ([`most`]): thousands of targets at a usual interval, held for half an hour.
//!
//! In: the recording, played by a process of its own ([`targets`]). Out: what was due, done and missed, how late ([`lag`]), what it took.
//! The generator and what the server stored are asked apart from each other; the table has both.

mod lag;
mod most;
pub mod targets;

pub use most::most;

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use self::lag::{Summary, judge, quantile};
use self::targets::Fleet;
use super::Bench;
use super::report::{Kind, Section};
use super::server::{Server, Spec};
use super::workloads::now_ms;

/// Between two looks at the memory. Chosen.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After the end, until the last scrape that was due is surely done: as late as the bar allows, and as much again.
const SETTLE: Duration = Duration::from_secs(2);
/// What each scrape stores besides the page.
const OWN_SAMPLES: u64 = 5;

/// What is asked of a workload.
struct Plan {
    name: &'static str,
    interval_ms: u64,
    /// Of each page; 0 for all that the recording has.
    samples_max: u64,
    bars: Bars,
}

/// As the table shows them, and as they are judged.
struct Bars {
    cores: (f64, &'static str),
    lag_seconds: (f64, &'static str),
}

/// Of one server.
struct Sizes {
    n_targets: u64,
    interval_ms: i64,
    seconds: u64,
    samples_max: u64,
    encoding: String,
}

pub fn fleet(bench: &Bench) -> Result<Vec<Section>> {
    let bars = Bars { cores: (1.0, "≤ 1"), lag_seconds: (1.0, "< 1") };
    measure(bench, &Plan { name: "fleet", interval_ms: 15_000, samples_max: 0, bars })
}

/// Kurado's hosts are asked once a minute for some 300 series: what its agent and a plugin or two send.
pub fn kurado(bench: &Bench) -> Result<Vec<Section>> {
    let bars = Bars { cores: (0.1, "< 0.1"), lag_seconds: (1.0, "< 1") };
    measure(bench, &Plan { name: "fleet-kurado", interval_ms: 60_000, samples_max: 300, bars })
}

fn measure(bench: &Bench, plan: &Plan) -> Result<Vec<Section>> {
    let options = &bench.options;
    let runs = options.number("runs", 1, 1)?;
    let sizes_of = |spec: &Spec| {
        let (n_targets, seconds) = if spec.is_ours {
            (options.number("targets", 3_000, 200)?, options.number("seconds", 1_800, 60)?)
        } else {
            (options.number("peer-targets", 300, 50)?, options.number("peer-seconds", 300, 60)?)
        };
        anyhow::Ok(Sizes {
            n_targets,
            seconds,
            interval_ms: i64::try_from(options.number("interval", plan.interval_ms, plan.interval_ms)?)?,
            samples_max: plan.samples_max,
            encoding: options.text("encoding").unwrap_or("gzip").to_owned(),
        })
    };
    let mut section = Section::new(plan.name, method(plan, runs));
    for run in 0..runs as usize {
        for spec in bench.order(run) {
            one(bench, spec, &sizes_of(spec)?, plan, &mut section)?;
        }
    }
    if plan.samples_max > 0 {
        section.remark(
            "Kurado's agents push to a list in Redis. That way in is not served yet: the same hosts, series and pace are scraped here."
                .to_owned(),
        );
    }
    Ok(vec![section])
}

fn method(plan: &Plan, runs: u64) -> String {
    let series = match plan.samples_max {
        0 => "all series".to_owned(),
        most => format!("the first {most} series"),
    };
    format!(
        "Targets on ports of their own serve {series} of recorded node_exporter pages, each target at another place of the recording; one thread plays \
         them all and notes when it is asked. Counted from when every target was scraped twice; medians of {runs}. A scrape's lag is how far behind \
         the target's earliest moment within its interval it was asked (by the generator's clock) or stamped (as stored)."
    )
}

fn one(bench: &Bench, spec: &Spec, sizes: &Sizes, plan: &Plan, section: &mut Section) -> Result<()> {
    let run = run(bench, spec, sizes, &|| false, section)?;
    section.add("targets", Kind::Fact, "", &spec.name, sizes.n_targets as f64);
    run.bars(&spec.name, plan, section);
    run.facts(&spec.name, section);
    if spec.is_ours {
        let broken = run.broken(plan);
        section.remark(match broken.is_empty() {
            true => "Every bar is met.".to_owned(),
            false => format!("Not met: {}.", broken.join("; ")),
        });
    }
    Ok(())
}

/// What a server did with its targets.
struct Run {
    seconds: f64,
    asked: Summary,
    stored: Stored,
    /// CPU seconds of the server, and of the generator.
    cpu: f64,
    fleet_cpu: f64,
    mean_resident: f64,
    peak: f64,
}

/// Runs one server on a directory of its own, and ends it; earlier when `gives_up` says so.
fn run(
    bench: &Bench,
    spec: &Spec,
    sizes: &Sizes,
    gives_up: &dyn Fn() -> bool,
    section: &mut Section,
) -> Result<Run> {
    let folder = bench.folder()?;
    let mut fleet = Fleet::start(bench, sizes.n_targets, sizes.samples_max, &sizes.encoding)?;
    let server = spec.start(folder.path(), &config(&fleet.ports, sizes.interval_ms), "")?;
    warm_up(&server, &mut fleet, sizes, gives_up, section)?;

    let _ = super::proc::forget_peak(server.pid());
    let (from_ms, cpu_before, ours_before) = (now_ms(), server.cpu_seconds()?, fleet.cpu_seconds()?);
    let mean_resident = hold(&server, sizes.seconds, gives_up)?;
    let (cpu, fleet_cpu) = (server.cpu_seconds()? - cpu_before, fleet.cpu_seconds()? - ours_before);
    let (to_ms, memory) = (now_ms(), server.memory()?);
    // Once more, so that what was still on its way at the end of the questions' range has arrived before the first is asked.
    thread::sleep(2 * SETTLE);
    Ok(Run {
        seconds: (to_ms - from_ms) as f64 / 1_000.0,
        asked: fleet.judge(sizes.interval_ms, from_ms, to_ms)?,
        stored: stored(&server, sizes, from_ms, to_ms)?,
        cpu,
        fleet_cpu,
        mean_resident,
        peak: memory.peak as f64,
    })
}

impl Run {
    /// Scrapes due and missed, and how late they were.
    fn bars(&self, name: &str, plan: &Plan, section: &mut Section) {
        let Self { asked, stored, .. } = self;
        let mut add = |what: &str, bar, value| section.add(what, Kind::Fact, bar, name, value);
        add("scrapes due", "", asked.due as f64);
        add("scrapes missed, by the generator", "0", asked.missed() as f64);
        add("scrapes missed, as stored", "0", stored.moments.missed() as f64);
        add("scrapes that failed", "0", stored.n_failed as f64);
        for (share, label) in [(0.5, "p50"), (0.99, "p99"), (1.0, "max")] {
            let bar = if label == "p99" { plan.bars.lag_seconds.1 } else { "" };
            add(&format!("lag {label} s, by the generator"), bar, asked.quantile(share));
            add(&format!("lag {label} s, as stored"), bar, stored.moments.quantile(share));
        }
        add("cores", plan.bars.cores.1, self.cpu / self.seconds);
    }

    /// What it took.
    fn facts(&self, name: &str, section: &mut Section) {
        let Self { stored, seconds, cpu, .. } = self;
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        let mut add = |what: &str, kind, value| section.add(what, kind, "", name, value);
        add("seconds", Kind::Fact, *seconds);
        for (share, label) in [(0.5, "p50"), (0.99, "p99"), (1.0, "max")] {
            add(&format!("scrape takes {label} s"), Kind::Fact, quantile(&stored.durations_ms, share));
        }
        add("samples stored", Kind::Fact, stored.n_samples as f64);
        add("samples a second", Kind::Fact, stored.n_samples as f64 / seconds);
        add("CPU µs a sample", Kind::Cost, cpu * 1e6 / stored.n_samples as f64);
        add("CPU µs a scrape", Kind::Cost, cpu * 1e6 / stored.moments.done as f64);
        add("mean memory MiB", Kind::Fact, mib(self.mean_resident));
        add("peak memory MiB", Kind::Fact, mib(self.peak));
        add("peak memory, bytes a series", Kind::Cost, self.peak / stored.n_series as f64);
        add("cores of the generator, not counted", Kind::Fact, self.fleet_cpu / seconds);
    }

    /// Which bars were not met.
    fn broken(&self, plan: &Plan) -> Vec<String> {
        let Self { asked, stored, .. } = self;
        let lag = asked.quantile(0.99).max(stored.moments.quantile(0.99));
        let missed = asked.missed() + stored.moments.missed() + stored.n_failed;
        let cores = self.cpu / self.seconds;
        let bars = [
            (missed > 0, format!("{missed} scrapes missed or failed")),
            (lag >= plan.bars.lag_seconds.0, format!("p99 of the lag is {lag:.3} s")),
            (cores > plan.bars.cores.0, format!("{cores:.2} cores")),
        ];
        bars.into_iter().filter(|(broken, _)| *broken).map(|(_, text)| text).collect()
    }
}

/// Waits until every target was scraped twice: all series are known then.
fn warm_up(
    server: &Server,
    fleet: &mut Fleet,
    sizes: &Sizes,
    gives_up: &dyn Fn() -> bool,
    section: &mut Section,
) -> Result<()> {
    let (started, started_ms) = (Instant::now(), now_ms());
    let give_up = Duration::from_millis(sizes.interval_ms.unsigned_abs() * 4) + Duration::from_secs(60);
    let warm = "count(count_over_time(up{job=\"fleet\"}[1h]) >= 2)";
    while server.number(warm, now_ms())? < sizes.n_targets as f64 {
        if started.elapsed() > give_up {
            bail!("{} does not scrape all targets: {}", server.name, server.log_tail());
        }
        if gives_up() {
            bail!("the machine's memory runs short");
        }
        thread::sleep(Duration::from_secs(1));
    }
    let first = fleet.judge(sizes.interval_ms, started_ms, now_ms())?;
    section.add("warm-up s", Kind::Fact, "", &server.name, started.elapsed().as_secs_f64());
    section.add("warm-up, CPU s", Kind::Fact, "", &server.name, server.cpu_seconds()?);
    section.add("warm-up, lag max s", Kind::Fact, "", &server.name, first.quantile(1.0));
    let peak = server.memory()?.peak as f64 / f64::from(1 << 20);
    section.add("warm-up, peak memory MiB", Kind::Fact, "", &server.name, peak);
    Ok(())
}

/// Lets time go by; answers the mean of the resident memory, in bytes.
fn hold(server: &Server, seconds: u64, gives_up: &dyn Fn() -> bool) -> Result<f64> {
    let (started, mut sum, mut n_looks) = (Instant::now(), 0.0, 0.0);
    let held = Duration::from_secs(seconds);
    loop {
        sum += server.memory()?.resident as f64;
        n_looks += 1.0;
        if gives_up() {
            bail!("the machine's memory runs short");
        }
        match held.saturating_sub(started.elapsed()) {
            Duration::ZERO => return Ok(sum / n_looks),
            left => thread::sleep(left.min(LOOK_EVERY)),
        }
    }
}

/// What a server holds of the run.
struct Stored {
    moments: Summary,
    n_failed: u64,
    /// In order.
    durations_ms: Vec<i64>,
    /// By the scrapes' own count, their own five included.
    n_samples: u64,
    n_series: u64,
}

fn stored(server: &Server, sizes: &Sizes, from_ms: i64, to_ms: i64) -> Result<Stored> {
    let at_ms = to_ms + i64::try_from(SETTLE.as_millis())?;
    let range_ms = at_ms - from_ms + 1;
    let rows = |metric: &str| {
        let rows = matrix(&server.query(&format!("{metric}{{job=\"fleet\"}}[{range_ms}ms]"), at_ms)?);
        rows.with_context(|| format!("{} answered something else for {metric}", server.name))
    };
    let within = |t_ms: &i64| (from_ms..to_ms).contains(t_ms);
    let up = rows("up")?;
    let moments: Vec<Vec<i64>> = up.iter().map(|row| row.iter().map(|(t_ms, _)| *t_ms).collect()).collect();
    let n_failed = up.iter().flatten().filter(|(t_ms, value)| within(t_ms) && *value != 1.0).count() as u64;
    let absent =
        std::iter::repeat_n(&[][..], sizes.n_targets as usize - moments.len().min(sizes.n_targets as usize));
    let judged = judge(moments.iter().map(Vec::as_slice).chain(absent), sizes.interval_ms, from_ms, to_ms);
    let values = |metric: &str| {
        let rows = rows(metric)?;
        anyhow::Ok(rows.into_iter().flatten().filter(|(t_ms, _)| within(t_ms)).map(|(_, value)| value))
    };
    let mut durations_ms: Vec<i64> =
        values("scrape_duration_seconds")?.map(|seconds| (seconds * 1_000.0).round() as i64).collect();
    durations_ms.sort_unstable();
    let n_samples =
        values("scrape_samples_post_metric_relabeling")?.map(|samples| samples as u64 + OWN_SAMPLES).sum();
    // What the scrapes say of themselves is held against what is there, of one metric: counting all would be another benchmark.
    let there =
        server.number(&format!("sum(count_over_time(node_load1{{job=\"fleet\"}}[{range_ms}ms]))"), at_ms)?;
    let scrapes = up.iter().flatten().count() as f64;
    if sizes.samples_max == 0 && there != scrapes {
        bail!("{} stored {there} samples of node_load1 in {scrapes} scrapes", server.name);
    }
    let n_series = server.number("count({job=\"fleet\"})", at_ms)? as u64;
    Ok(Stored { moments: judged, n_failed, durations_ms, n_samples, n_series })
}

/// Times and values of each series.
fn matrix(result: &Value) -> Option<Vec<Vec<(i64, f64)>>> {
    let point = |point: &Value| {
        let t_ms = (point[0].as_f64()? * 1_000.0).round() as i64;
        Some((t_ms, point[1].as_str()?.parse::<f64>().ok()?))
    };
    let row = |row: &Value| row["values"].as_array()?.iter().map(point).collect();
    result.as_array()?.iter().map(row).collect()
}

fn config(ports: &[String], interval_ms: i64) -> String {
    let timeout_ms = interval_ms.min(10_000);
    let mut text = format!(
        "global:\n  scrape_interval: {interval_ms}ms\n  scrape_timeout: {timeout_ms}ms\nscrape_configs:\n  - job_name: fleet\n    \
         static_configs:\n      - targets:\n"
    );
    for port in ports {
        let _ = writeln!(text, "          - 127.0.0.1:{port}");
    }
    text
}
