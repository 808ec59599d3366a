//! `churn`: a tenth of the hosts is replaced every ten minutes; memory on the way and bytes of index a series that is gone.

use anyhow::{Context as _, Result};

use super::super::Bench;
use super::super::load::drive;
use super::super::load::series::{COHORTS, Kind, STEP_MS, Set};
use super::super::report::{Kind as Row, Section};
use super::super::server::Spec;
use super::disk::settle;
use super::write::HOST_SERIES;
use super::{EMPTY_CONFIG, check_stored, past_start_ms};

/// Ten minutes.
const CHURN_STEPS: i64 = 40;

/// How long the one series goes on after the others; in the past too, since no server takes samples of the future.
const LATER_MS: i64 = 4 * 3_600_000;

/// Marks after which memory must not grow any more: an hour and a half, as long as series that are gone stay in the head until they are
/// sealed. What comes later takes the place of what leaves.
const WARM_MARKS: usize = 9;

pub fn churn(bench: &Bench) -> Result<Vec<Section>> {
    let options = &bench.options;
    let steps = options.number("steps", 960, 480)?;
    let mut section = Section::new(
        "churn",
        format!(
            "node_exporter-like series, {steps} steps of {} s by remote write; every {} min of data a tenth of the hosts ends with staleness markers and comes \
             back under new names, the others stay. Memory is resident memory; the index is what blocks hold after one more series \
             made the server close them.",
            STEP_MS / 1_000,
            CHURN_STEPS * STEP_MS / 60_000
        ),
    );
    for spec in bench.order(0) {
        one(bench, spec, steps as i64, &mut section)?;
    }
    Ok(vec![section])
}

fn one(bench: &Bench, spec: &Spec, steps: i64, section: &mut Section) -> Result<()> {
    let n_hosts = bench.series_of(spec, 1_000_000, 10_000)? / HOST_SERIES;
    let folder = bench.folder()?;
    let server = spec.start(folder.path(), EMPTY_CONFIG, "")?;
    let from_ms = past_start_ms(steps * STEP_MS + LATER_MS);
    let to_ms = from_ms + steps * STEP_MS;
    let hosts =
        Set { churn_steps: CHURN_STEPS, ..Set::new(Kind::Node, n_hosts, HOST_SERIES, from_ms, to_ms) };
    let mut curve = Vec::new();
    let pace = bench.options.fraction("pace", 0.0, 0.0)?;
    let sets = std::slice::from_ref(&hosts);
    let sent = drive::run_at(&bench.options, server.port, sets, CHURN_STEPS, pace, |_, _| {
        curve.push(server.memory()?.resident as f64);
        Ok(())
    })?;
    curve.push(server.memory()?.resident as f64);
    let cpu = server.cpu_seconds()?;
    let peak = server.memory()?.peak as f64;
    // A block of two hours is closed an hour after its end, at the latest.
    let later = Set::new(Kind::One, 1, 1, to_ms, to_ms + LATER_MS);
    let more = drive::run(&bench.options, server.port, std::slice::from_ref(&later), 0, |_, _| Ok(()))?;
    let sizes = settle(&server)?;
    // Markers are samples that no query counts.
    let n_changes = (steps - 1) / CHURN_STEPS;
    let dead = (0..n_changes).map(|change| hosts_of(n_hosts, change) * HOST_SERIES).sum::<usize>() as u64;
    let stored = check_stored(&server, &[hosts, later], sent.samples + more.samples - dead)?;
    let name = &spec.name;
    let steady =
        curve.get(WARM_MARKS..).filter(|marks| marks.len() >= 2).context("too few steps for churn")?;
    // Halves instead of two marks: a seal that runs at a mark adds a quarter.
    let (first, second) = steady.split_at(steady.len() / 2);
    let (warm, last) = (mean(first), mean(second));
    let dead_since = hosts_of(n_hosts, 0) * HOST_SERIES * steady.len() / 2;
    section.add("series at a time", Row::Fact, "", name, (n_hosts * HOST_SERIES) as f64);
    section.add("series in all", Row::Fact, "", name, stored.series);
    section.add(
        "resident MiB, second half of what follows 90 min",
        Row::Fact,
        "",
        name,
        last / f64::from(1 << 20),
    );
    section.add("that over the first half", Row::Fact, "flat", name, last / warm);
    section.add(
        "bytes of memory a series that is gone",
        Row::Cost,
        "",
        name,
        ((last - warm) / dead_since.max(1) as f64).max(0.0),
    );
    section.add("peak MiB", Row::Fact, "", name, peak / f64::from(1 << 20));
    section.add(
        "bytes of index a series",
        Row::Cost,
        "100; goal 60",
        name,
        sizes.index as f64 / stored.series,
    );
    section.add("CPU µs a sample, all included", Row::Cost, "", name, cpu * 1e6 / sent.samples as f64);
    let shown: Vec<String> = curve.iter().map(|bytes| format!("{:.0}", bytes / f64::from(1 << 20))).collect();
    section.remark(format!("{name}: resident MiB every ten minutes of data: {}", shown.join(" ")));
    Ok(())
}

fn mean(all: &[f64]) -> f64 {
    all.iter().sum::<f64>() / all.len() as f64
}

/// Hosts that the nth change replaces.
fn hosts_of(n_hosts: usize, change: i64) -> usize {
    let cohort = change as usize % COHORTS;
    (0..n_hosts).filter(|host| host % COHORTS == cohort).count()
}
