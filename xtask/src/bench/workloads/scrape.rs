//! `scrape-plain`, `scrape-gzip`: recorded node_exporter bodies from many targets, CPU a sample all included.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::super::report::{Kind, Section};
use super::super::server::{Server, Spec, Stored};
use super::super::{Bench, recording};
use super::{now_ms, wal_bytes};

/// Before measuring, so that all series are known: at least this many scrapes of every target.
const WARM_SCRAPES: u64 = 5;

/// Everything scraped, the scrapes' own five series included.
const JOB: &str = "{job=\"node\"}";

pub fn plain(bench: &Bench) -> Result<Vec<Section>> {
    measure(bench, "scrape-plain", "plain", "8×; goal 15×")
}

pub fn gzip(bench: &Bench) -> Result<Vec<Section>> {
    measure(bench, "scrape-gzip", "gzip", "5×; goal 8×")
}

/// Few targets scraped often, so that each plays the whole recording: two hours at the usual interval.
pub fn wal(bench: &Bench) -> Result<Vec<Section>> {
    let options = &bench.options;
    let n_targets = options.number("targets", 20, 4)?;
    let sizes = Sizes {
        n_targets,
        interval_ms: options.number("interval", 100, 100)?,
        seconds: options.number("seconds", 48, 6)?,
    };
    let runs = options.runs()?;
    let mut section = Section::new(
        "wal",
        format!(
            "{n_targets} targets with recorded node_exporter bodies, scraped every {} ms for {} s: as many scrapes as in two hours every 15 s. \
             Bytes of the folder `wal` (definitions of series included) over the samples stored; medians of {runs}.",
            sizes.interval_ms, sizes.seconds
        ),
    );
    for run in 0..runs {
        for spec in bench.order(run) {
            one(bench, spec, "plain", &sizes, "", &mut section)?;
        }
    }
    Ok(vec![section])
}

struct Sizes {
    n_targets: u64,
    interval_ms: u64,
    seconds: u64,
}

fn measure(bench: &Bench, name: &'static str, encoding: &str, asked: &'static str) -> Result<Vec<Section>> {
    let options = &bench.options;
    let sizes = Sizes {
        n_targets: options.number("targets", 200, 50)?,
        interval_ms: options.number("interval", 1_000, 500)?,
        seconds: options.number("seconds", 60, 8)?,
    };
    let runs = options.runs()?;
    let mut section = Section::new(
        name,
        format!(
            "{} targets with recorded node_exporter bodies ({encoding}), scraped every {} ms for {} s after {WARM_SCRAPES} scrapes of each; \
             medians of {runs}.\nCPU: user and system of the whole process in that time, over the samples it stored in that time.",
            sizes.n_targets, sizes.interval_ms, sizes.seconds
        ),
    );
    for run in 0..runs {
        for spec in bench.order(run) {
            one(bench, spec, encoding, &sizes, asked, &mut section)?;
        }
    }
    Ok(vec![section])
}

fn one(
    bench: &Bench,
    spec: &Spec,
    encoding: &str,
    sizes: &Sizes,
    asked: &'static str,
    section: &mut Section,
) -> Result<()> {
    let folder = bench.folder()?;
    let targets = Targets::start(bench, sizes.n_targets, encoding)?;
    let server = spec.start(folder.path(), &config(&targets.ports, sizes.interval_ms), "")?;
    wait_warm(&server, sizes)?;
    let (from_ms, cpu_before) = (now_ms(), server.cpu_seconds()?);
    thread::sleep(Duration::from_secs(sizes.seconds));
    let (cpu, to_ms) = (server.cpu_seconds()? - cpu_before, now_ms());
    let memory = server.memory()?;
    let logged_ms = now_ms();
    let wal = wal_bytes(&server.data);
    let logged = server.count(JOB, 3_600_000, logged_ms)?;
    let Stored { samples, series } = server.count(JOB, to_ms - from_ms, to_ms)?;
    // Bodies have 1,140 samples and each scrape five of its own.
    let expected = (to_ms - from_ms) as f64 / sizes.interval_ms as f64 * sizes.n_targets as f64 * 1_145.0;
    if samples < expected * 0.97 || samples > expected * 1.03 {
        section.remark(format!(
            "{} stored {samples} samples where about {expected:.0} were due: not comparable",
            spec.name
        ));
    }
    let name = &spec.name;
    section.add("CPU µs a sample", Kind::Cost, asked, name, cpu * 1e6 / samples);
    section.add("CPU s", Kind::Fact, "", name, cpu);
    section.add("samples stored", Kind::Fact, "", name, samples);
    section.add("series", Kind::Fact, "", name, series);
    section.add("peak memory MiB", Kind::Cost, "", name, memory.peak as f64 / f64::from(1 << 20));
    section.add(
        "log bytes a sample since the start",
        Kind::Cost,
        "0.7; goal 0.4",
        name,
        wal as f64 / logged.samples,
    );
    Ok(())
}

/// Waits until every target was scraped often enough. Prometheus begins some seconds after it is ready.
fn wait_warm(server: &Server, sizes: &Sizes) -> Result<()> {
    let warm = format!("count(count_over_time(up{{job=\"node\"}}[1h]) >= {WARM_SCRAPES})");
    let give_up = now_ms() + i64::try_from(sizes.interval_ms * WARM_SCRAPES)? + 60_000;
    while server.number(&warm, now_ms())? < sizes.n_targets as f64 {
        if now_ms() > give_up {
            bail!("{} does not scrape all targets: {}", server.name, server.log_tail());
        }
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

fn config(ports: &[String], interval_ms: u64) -> String {
    let mut text = format!(
        "global:\n  scrape_interval: {interval_ms}ms\n  scrape_timeout: {interval_ms}ms\nscrape_configs:\n  - job_name: node\n    \
         static_configs:\n      - targets:\n"
    );
    for port in ports {
        let _ = writeln!(text, "          - 127.0.0.1:{port}");
    }
    text
}

/// The process that is scraped.
struct Targets {
    child: Child,
    ports: Vec<String>,
}

impl Targets {
    fn start(bench: &Bench, n_targets: u64, encoding: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bench-targets")
            .arg(recording::path(&bench.options))
            .args([&n_targets.to_string(), encoding])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the targets")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout was piped above")?).read_line(&mut line)?;
        let ports: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let targets = Self { child, ports };
        if targets.ports.len() as u64 != n_targets {
            bail!("the targets did not start");
        }
        Ok(targets)
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
