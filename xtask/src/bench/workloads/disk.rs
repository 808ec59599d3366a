//! `disk`, `wal`: bytes a sample in blocks and in the log, on recorded bodies.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::super::Bench;
use super::super::load::drive;
use super::super::load::series::{Columns, Kind, STEP_MS, Set};
use super::super::proc::disk_bytes;
use super::super::recording;
use super::super::report::{Kind as Row, Section};
use super::super::server::{Server, Spec};
use super::{EMPTY_CONFIG, check_stored, past_start_ms};

/// Longest until a server has made its blocks by itself: some look once a minute. Chosen.
const BLOCKS_WITHIN: Duration = Duration::from_secs(300);

/// Blocks are there when sizes have not changed for so long: longer than the minute between two looks.
const QUIET: Duration = Duration::from_secs(70);

pub fn disk(bench: &Bench) -> Result<Vec<Section>> {
    let options = &bench.options;
    let n_hosts = options.number("targets", 20, 4)? as usize;
    let n_series = Columns::read(&recording::path(options))?.len();
    let mut section = Section::new(
        "disk",
        format!(
            "The recording as two hours of {n_hosts} hosts, 15 s apart, host i beginning at scrape 37·i ({n_series} series each), by remote write; then one \
             series two more hours, so that servers close the block of those two hours.\nSizes once nothing has changed for {} s; \
             each server in its own time and way.",
            QUIET.as_secs()
        ),
    );
    for run in 0..options.runs()? {
        for spec in bench.order(run) {
            one(bench, spec, n_hosts, n_series, &mut section)?;
        }
    }
    Ok(vec![section])
}

fn one(bench: &Bench, spec: &Spec, n_hosts: usize, n_series: usize, section: &mut Section) -> Result<()> {
    let folder = bench.folder()?;
    let server = spec.start(folder.path(), EMPTY_CONFIG, "")?;
    let length_ms = 480 * STEP_MS;
    let from_ms = past_start_ms(2 * length_ms);
    let hosts = Set::new(Kind::Replay, n_hosts, n_series, from_ms, from_ms + length_ms);
    let later = Set::new(Kind::One, 1, 1, from_ms + length_ms, from_ms + 2 * length_ms);
    let first = drive::run(&bench.options, server.port, std::slice::from_ref(&hosts), 0, |_, _| Ok(()))?;
    let name = &spec.name;
    section.add(
        "all bytes a sample before blocks",
        Row::Cost,
        "",
        name,
        sizes(&server.data).all as f64 / first.samples as f64,
    );
    let second = drive::run(&bench.options, server.port, std::slice::from_ref(&later), 0, |_, _| Ok(()))?;
    let found = settle(&server)?;
    let stored = check_stored(&server, &[hosts, later], first.samples + second.samples)?;
    section.add("samples stored", Row::Fact, "", name, stored.samples);
    section.add(
        "bytes a sample in blocks, all their files",
        Row::Cost,
        "0.50; goal 0.40",
        name,
        found.blocks as f64 / stored.samples,
    );
    section.add("of that, index", Row::Cost, "", name, found.index as f64 / stored.samples);
    section.add(
        "all bytes a sample in the data directory",
        Row::Fact,
        "",
        name,
        found.all as f64 / stored.samples,
    );
    section.remark(format!("{name}: {}", listing(&server.data)));
    Ok(())
}

/// Bytes of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    all: u64,
    blocks: u64,
    /// Of the blocks.
    pub index: u64,
}

/// Blocks are folders with a `meta.json`, in every server here; their indexes are files whose names say so.
fn sizes(data: &Path) -> Sizes {
    let in_block = |path: &Path| {
        let top = path.components().next().map(|top| data.join(top));
        top.is_some_and(|top| top.join("meta.json").is_file())
    };
    let is_index = |path: &Path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().contains("index")) && in_block(path)
    };
    Sizes {
        all: disk_bytes(data, &|_| true),
        blocks: disk_bytes(data, &in_block),
        index: disk_bytes(data, &is_index),
    }
}

/// Waits until there is a block and nothing changes any more.
pub fn settle(server: &Server) -> Result<Sizes> {
    let started = Instant::now();
    let (mut last, mut since) = (sizes(&server.data), Instant::now());
    while last.blocks == 0 || since.elapsed() < QUIET {
        if started.elapsed() > BLOCKS_WITHIN {
            if last.blocks > 0 {
                return Ok(last);
            }
            bail!("{} made no block within {BLOCKS_WITHIN:?}: {}", server.name, server.log_tail());
        }
        thread::sleep(Duration::from_secs(1));
        let now = sizes(&server.data);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last)
}

/// The folders of a data directory with their sizes, for those who look into a figure.
fn listing(data: &Path) -> String {
    let mut tops: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(data).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = disk_bytes(data, &|path| path.starts_with(&name));
        tops.push(format!("{name} {bytes}"));
    }
    tops.sort();
    format!("bytes {}", tops.join(", "))
}
