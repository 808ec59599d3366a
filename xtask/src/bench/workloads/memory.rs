//! `memory`, `restart`: two hours of many series through remote write; memory a series, and how soon a killed server is back.
//!
//! One load serves both when both are asked for.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use tempfile::TempDir;

use super::super::Bench;
use super::super::load::drive;
use super::super::load::series::{Kind, STEP_MS, Set};
use super::super::report::{Kind as Row, Section};
use super::super::server::{Server, Spec};
use super::write::HOST_SERIES;
use super::{EMPTY_CONFIG, check_stored, past_start_ms, wal_bytes};

/// Between two looks at memory on the way, in steps: ten minutes of data.
const MARK_STEPS: i64 = 40;

pub fn memory(bench: &Bench) -> Result<Vec<Section>> {
    let options = &bench.options;
    let wants = |name: &str| options.workloads.iter().any(|asked| asked == name);
    let steps = options.number("steps", 480, 20)?;
    let what = format!(
        "node_exporter-like series, {steps} samples each, {} s apart, through remote write in the order of time",
        STEP_MS / 1_000
    );
    let mut memory = Section::new(
        "memory",
        format!(
            "{what}. Resident memory of the process right after the last answer, and its peak, over the series."
        ),
    );
    let mut restart = Section::new(
        "restart",
        format!(
            "{what}; then `kill -9` and a start, {} times: until `/-/ready` is 200, and until a query is answered right.",
            options.runs()?
        ),
    );
    for spec in bench.order(0) {
        let n_series = bench.series_of(spec, 1_000_000, 20_000)?;
        let folder = bench.folder()?;
        let (server, set) = load(bench, spec, &folder, n_series, steps, &mut memory)?;
        if wants("restart") {
            restarts(bench, spec, &folder, server, &set, &mut restart)?;
        }
    }
    let mut sections = Vec::new();
    for (name, section) in [("memory", memory), ("restart", restart)] {
        if wants(name) {
            sections.push(section);
        }
    }
    Ok(sections)
}

fn load(
    bench: &Bench,
    spec: &Spec,
    folder: &TempDir,
    n_series: usize,
    steps: u64,
    section: &mut Section,
) -> Result<(Server, Set)> {
    let server = spec.start(folder.path(), EMPTY_CONFIG, "")?;
    let from_ms = past_start_ms(steps as i64 * STEP_MS);
    let to_ms = from_ms + steps as i64 * STEP_MS;
    let set = Set::new(Kind::Node, n_series / HOST_SERIES, HOST_SERIES, from_ms, to_ms);
    let empty = server.memory()?.resident as f64;
    let mut curve = Vec::new();
    let sent = drive::run(&bench.options, server.port, std::slice::from_ref(&set), MARK_STEPS, |_, _| {
        curve.push(format!("{}", server.memory()?.resident >> 20));
        Ok(())
    })?;
    let memory = server.memory()?;
    let cpu = server.cpu_seconds()?;
    let wal = wal_bytes(&server.data);
    let stored = check_stored(&server, std::slice::from_ref(&set), sent.samples)?;
    let name = &spec.name;
    section.add("series", Row::Fact, "", name, stored.series);
    section.add("samples stored", Row::Fact, "", name, stored.samples);
    section.add(
        "resident bytes a series",
        Row::Cost,
        "400; goal 250",
        name,
        memory.resident as f64 / stored.series,
    );
    section.add(
        "the same without what the empty server had",
        Row::Cost,
        "",
        name,
        (memory.resident as f64 - empty) / stored.series,
    );
    section.add("peak bytes a series", Row::Cost, "", name, memory.peak as f64 / stored.series);
    section.add("CPU µs a sample, all included", Row::Cost, "", name, cpu * 1e6 / stored.samples);
    section.add("log bytes a sample at the end", Row::Cost, "", name, wal as f64 / stored.samples);
    section.remark(format!(
        "{name}: resident MiB every {} min of data: {}",
        MARK_STEPS * STEP_MS / 60_000,
        curve.join(" ")
    ));
    if !spec.is_ours {
        section.remark(format!(
            "{name} has {} series: with more, loading it takes too long (`--peer-series`).",
            stored.series
        ));
    }
    Ok((server, set))
}

fn restarts(
    bench: &Bench,
    spec: &Spec,
    folder: &TempDir,
    server: Server,
    set: &Set,
    section: &mut Section,
) -> Result<()> {
    let log_bytes = wal_bytes(&server.data);
    section.add("series", Row::Fact, "", &spec.name, (set.groups * set.series) as f64);
    section.add("log MiB", Row::Fact, "", &spec.name, log_bytes as f64 / f64::from(1 << 20));
    let mut server = server;
    for _ in 0..bench.options.runs()? {
        server.kill();
        server = back(spec, folder.path(), set, section)?;
    }
    // Nothing that was acknowledged is gone after all the kills.
    check_stored(&server, std::slice::from_ref(set), set.n_samples())?;
    Ok(())
}

fn back(spec: &Spec, folder: &Path, set: &Set, section: &mut Section) -> Result<Server> {
    let started = Instant::now();
    let server = spec.start(folder, EMPTY_CONFIG, "")?;
    let last_ms = set.to_ms - STEP_MS;
    let n_hosts = server.number("count(node_load1{job=\"node\"})", last_ms)?;
    let answered_after = started.elapsed().as_secs_f64();
    if n_hosts != set.groups as f64 {
        bail!("{} knows {n_hosts} of {} hosts after kill -9", spec.name, set.groups);
    }
    let asked = "5; goal 2";
    section.add("seconds until ready", Row::Cost, asked, &spec.name, server.ready_after.as_secs_f64());
    section.add("seconds until the first right answer", Row::Cost, "", &spec.name, answered_after);
    section.add("CPU s until then", Row::Cost, "", &spec.name, server.cpu_seconds()?);
    Ok(server)
}
