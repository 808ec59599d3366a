//! `remote-write`: remote write 1.0 over several connections, CPU a sample and CPU a new series.

use anyhow::{Context as _, Result};

use super::super::Bench;
use super::super::load::drive;
use super::super::load::series::{Kind, STEP_MS, Set};
use super::super::report::{Kind as Row, Section};
use super::super::server::Spec;
use super::{EMPTY_CONFIG, check_stored, past_start_ms};

/// Series of one made-up host: what a small node_exporter has.
pub const HOST_SERIES: usize = 1_000;

/// Most steps: two hours, so that no server makes a block in the middle.
const STEPS_MAX: u64 = 480;

pub fn remote_write(bench: &Bench) -> Result<Vec<Section>> {
    let options = &bench.options;
    let sizes = options.text("series").unwrap_or(if options.is_on("quick") {
        "10000"
    } else {
        "10000,100000,1000000"
    });
    let sizes: Vec<usize> =
        sizes.split(',').map(|size| size.parse().context("--series N,N,…")).collect::<Result<_>>()?;
    let samples = options.number("samples", 20_000_000, 1_000_000)?;
    let runs = options.runs()?;
    let mut section = Section::new(
        "remote-write",
        format!(
            "Remote write 1.0 (snappy), {} connections, {} samples a request, one sample of each series every {} s of data time in the past, \
             as fast as the server answers; node_exporter-like series with 7 to 10 labels; medians of {runs}.\n\
             CPU of the whole process: for new series until each has its first sample, for samples from there to the last answer.",
            options.number("connections", 4, 4)?,
            options.number("per-request", 2_000, 2_000)?,
            STEP_MS / 1_000
        ),
    );
    for size in sizes {
        for run in 0..runs {
            for spec in bench.order(run) {
                one(bench, spec, size, (samples / size as u64).clamp(10, STEPS_MAX), &mut section)?;
            }
        }
    }
    Ok(vec![section])
}

fn one(bench: &Bench, spec: &Spec, n_series: usize, steps: u64, section: &mut Section) -> Result<()> {
    let folder = bench.folder()?;
    let server = spec.start(folder.path(), EMPTY_CONFIG, "")?;
    let per_host = HOST_SERIES.min(n_series);
    let from_ms = past_start_ms(steps as i64 * STEP_MS);
    let to_ms = from_ms + steps as i64 * STEP_MS;
    let set = Set::new(Kind::Node, n_series / per_host, per_host, from_ms, to_ms);
    // CPU before the first step and after it.
    let mut cpu = Vec::new();
    let sent = drive::run(&bench.options, server.port, std::slice::from_ref(&set), 1, |step, _| {
        if step < 2 {
            cpu.push(server.cpu_seconds()?);
        }
        Ok(())
    })?;
    let cpu_after = server.cpu_seconds()?;
    let memory = server.memory()?;
    let stored = check_stored(&server, std::slice::from_ref(&set), sent.samples)?;
    let (n_new, n_known) = (stored.series, sent.samples as f64 - stored.series);
    let asked = if n_series == 1_000_000 { "0.35 µs, 8×; goal 0.20 µs" } else { "" };
    let mut add = |what: &str, kind, asked, value| {
        section.add(&format!("{n_series} series × {steps}: {what}"), kind, asked, &spec.name, value);
    };
    add("CPU µs a sample", Row::Cost, asked, (cpu_after - cpu[1]) * 1e6 / n_known);
    add("CPU µs a new series", Row::Cost, "", (cpu[1] - cpu[0]) * 1e6 / n_new);
    add("seconds", Row::Fact, "", sent.seconds);
    add("samples stored", Row::Fact, "", stored.samples);
    add("request bytes a sample", Row::Fact, "", sent.bytes as f64 / sent.samples as f64);
    add("peak memory MiB", Row::Cost, "", memory.peak as f64 / f64::from(1 << 20));
    if sent.retries > 0 {
        section.remark(format!(
            "{}: {} of {} requests were refused for overload and sent again",
            spec.name, sent.retries, sent.requests
        ));
    }
    Ok(())
}
