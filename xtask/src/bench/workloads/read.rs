//! `read`: all samples of 10,000 series over a day. Ours: the engine alone, by its own benchmark; others: a query that must read them.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::super::Bench;
use super::super::load::drive;
use super::super::load::series::{Kind, STEP_MS, Set};
use super::super::report::{Kind as Row, Section};
use super::super::server::Spec;
use super::disk::settle;
use super::write::HOST_SERIES;
use super::{EMPTY_CONFIG, check_stored, past_start_ms};
use crate::run;

const DAY_MS: i64 = 86_400_000;

pub fn read(bench: &Bench) -> Result<Vec<Section>> {
    let options = &bench.options;
    let hosts = options.number("series", 10_000, 1_000)? as usize / HOST_SERIES;
    let mut section = Section::new(
        "read",
        format!(
            "{} series × 24 h, 15 s apart. `engine`: samples decoded and added up in a second of one core's CPU by `cargo bench -p tsdb --bench read`, which goes through \
             the store's select. Servers: CPU of `sum_over_time` of every series over all samples, by query, median of {}.",
            hosts * HOST_SERIES,
            options.runs()?
        ),
    );
    for spec in bench.order(0) {
        if spec.is_ours {
            section.add(
                "engine: M samples a second",
                Row::Fact,
                "300; goal 1,000",
                &spec.name,
                engine(hosts * HOST_SERIES)?,
            );
        }
        server(bench, spec, hosts, &mut section)?;
    }
    Ok(vec![section])
}

fn engine(n_series: usize) -> Result<f64> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["bench", "--quiet", "--package", "tsdb", "--bench", "read"])
        .env("SERIES", n_series.to_string())
        .current_dir(run::root())
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("cargo bench failed: {text}");
    }
    let rate =
        text.lines().find_map(|line| line.strip_prefix("read ")?.split(' ').next()?.parse::<f64>().ok());
    Ok(rate.with_context(|| format!("no figure in: {text}"))? / 1e6)
}

fn server(bench: &Bench, spec: &Spec, hosts: usize, section: &mut Section) -> Result<()> {
    let folder = bench.folder()?;
    let server = spec.start(folder.path(), EMPTY_CONFIG, "")?;
    let from_ms = past_start_ms(DAY_MS);
    let set = Set::new(Kind::Node, hosts, HOST_SERIES, from_ms, from_ms + DAY_MS);
    let sent = drive::run(&bench.options, server.port, std::slice::from_ref(&set), 0, |_, _| Ok(()))?;
    settle(&server)?;
    let stored = check_stored(&server, std::slice::from_ref(&set), sent.samples)?;
    for _ in 0..bench.options.runs()? {
        let cpu_before = server.cpu_seconds()?;
        let mut n_series = 0.0;
        for host in 0..hosts {
            // By host: names are dropped, and so series of one host would be the same.
            let all = format!("count by (__name__) ({{instance=\"host-{host:05}.example:9100\"}})");
            for row in server.query(&all, from_ms + DAY_MS - STEP_MS)?.as_array().into_iter().flatten() {
                let name = row["metric"]["__name__"].as_str().context("a name")?;
                let expr = format!(
                    "count(sum_over_time({name}{{instance=\"host-{host:05}.example:9100\"}}[{DAY_MS}ms]))"
                );
                n_series += server.number(&expr, from_ms + DAY_MS - 1)?;
            }
        }
        if n_series != stored.series {
            bail!("{} read {n_series} of {} series", spec.name, stored.series);
        }
        let cpu = server.cpu_seconds()? - cpu_before;
        section.add(
            "query: M samples a second of CPU",
            Row::Fact,
            "",
            &spec.name,
            stored.samples / cpu / 1e6,
        );
    }
    Ok(())
}
