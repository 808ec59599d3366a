//! Figures of blocks, printed: bytes a sample, opening, decoding. Run by hand, in release:
//! `HINOMI_RECORDING=<node-a.zst> cargo test --release -p tsdb measure -- --ignored --nocapture`.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use stdx::metrics::Registry;
use stdx::{Clock, Dir, DiskDir, SystemClock};
use storage::SelectHints;

use crate::block::{Block, BlockWriter, Compaction, PageIn, TimesSlice};
use crate::compact::{Job, compact_blocks};
use crate::index::BlockCache;
use crate::page;
use crate::page::PageKind;
use crate::rollup::{Stretch, roll_up};

const STEP_MS: i64 = 15_000;
const START_MS: i64 = 1_700_006_400_000;

/// The recording as columns: labels without a target, and a value for each scrape where there is one.
fn recording() -> Vec<(Labels, Vec<Option<f64>>)> {
    let path = std::env::var("HINOMI_RECORDING").expect("HINOMI_RECORDING names the recording");
    let packed = DiskDir::anywhere().read(Path::new(&path)).unwrap();
    let mut decoder = zstd::stream::Decoder::new(&packed[..]).unwrap();
    decoder.window_log_max(27).unwrap();
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).unwrap();
    let mut bodies: Vec<String> = Vec::new();
    let mut src = &bytes[..];
    while let Some((len, rest)) = src.split_first_chunk::<4>() {
        let (body, rest) = rest.split_at(u32::from_le_bytes(*len) as usize);
        bodies.push(String::from_utf8(body.to_vec()).unwrap());
        src = rest;
    }
    let mut columns: std::collections::BTreeMap<String, Vec<Option<f64>>> = Default::default();
    for (row, body) in bodies.iter().enumerate() {
        for line in body.lines().filter(|line| !line.starts_with('#')) {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let column = columns.entry(key.to_owned()).or_insert_with(|| vec![None; bodies.len()]);
            column[row] = Some(value.parse().unwrap());
        }
    }
    columns.into_iter().map(|(key, values)| (labels_of(&key), values)).collect()
}

fn labels_of(key: &str) -> Labels {
    let (name, mut rest) = key.split_once('{').unwrap_or((key, ""));
    let mut pairs = vec![("__name__".to_owned(), name.to_owned())];
    while let Some((name, after)) = rest.split_once("=\"") {
        let end = after.find('"').unwrap();
        pairs.push((name.trim_start_matches(',').to_owned(), after[..end].to_owned()));
        rest = &after[end + 1..];
    }
    Labels::from_pairs(pairs)
}

fn with_target(labels: &Labels, host: usize) -> Labels {
    let mut builder = labels.to_builder();
    builder.set("instance", &format!("node-{host:03}.example.org:9100")).set("job", "node");
    builder.build()
}

/// Writes rows `from..to` of `n_hosts` as a block; row r of host i is scrape (r + 37·i) mod 480.
fn write(
    dir: &Arc<dyn Dir>,
    recording: &[(Labels, Vec<Option<f64>>)],
    n_hosts: usize,
    from: usize,
    to: usize,
) -> String {
    let time = |host: usize, row: usize| START_MS + row as i64 * STEP_MS + (host as i64 * 733) % STEP_MS;
    let columns: Vec<Arc<Vec<i64>>> =
        (0..n_hosts).map(|host| Arc::new((from..to).map(|row| time(host, row)).collect())).collect();
    let mut all: Vec<(Labels, usize, usize)> = Vec::new();
    for (idx, (labels, _)) in recording.iter().enumerate() {
        all.extend((0..n_hosts).map(|host| (with_target(labels, host), idx, host)));
    }
    all.sort();
    let mut writer = BlockWriter::begin(Arc::clone(dir), &format!("measure-{from}")).unwrap();
    for (labels, idx, host) in &all {
        let column = &recording[*idx].1;
        let at = |row: usize| column[(row + 37 * host) % column.len()];
        let rows: Vec<usize> = (from..to).filter(|row| at(*row).is_some()).collect();
        if rows.is_empty() {
            continue;
        }
        let values: Vec<f64> = rows.iter().filter_map(|row| at(*row)).collect();
        let mut bytes = Vec::new();
        page::encode_values(&values, &mut bytes);
        let times = if rows.len() == to - from {
            TimesSlice { column: Arc::clone(&columns[*host]), first: 0, len: (to - from) as u32 }
        } else {
            let own: Vec<i64> = rows.iter().map(|row| time(*host, *row)).collect();
            TimesSlice { len: own.len() as u32, column: Arc::new(own), first: 0 }
        };
        writer.add(labels, &[PageIn { times, kind: PageKind::Floats, bytes }]).unwrap();
    }
    writer.finish(Compaction::default()).unwrap()
}

/// Milliseconds of CPU that this thread has used: the machine's clock would measure the neighbours too.
fn cpu_ms() -> f64 {
    let stat = DiskDir::anywhere().open(Path::new("/proc/thread-self/schedstat")).unwrap();
    let mut text = [0; 64];
    let n_read = stat.read_at(&mut text, 0).unwrap();
    let text = String::from_utf8_lossy(&text[..n_read]).into_owned();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

fn cache() -> Arc<BlockCache> {
    Arc::new(BlockCache::new(64 << 20, &Registry::new()))
}

fn tell(dir: &Arc<dyn Dir>, what: &str, name: &str) {
    let len = |file: &str| dir.open(&Path::new(name).join(file)).unwrap().len().unwrap() as f64;
    let block = Block::open(dir, name, &cache()).unwrap();
    let toc = block.index().toc();
    let n = toc.n_samples as f64;
    let sections = block.index().section_bytes();
    println!(
        "{what}: {} series, {} pages, {} columns, {} pairs, {n} samples: pages {:.4} B, index {:.4} B a sample ({:.1} B a series)",
        toc.n_series,
        toc.n_pages,
        toc.n_columns,
        toc.n_pairs,
        len("pages") / n,
        len("index") / n,
        len("index") / f64::from(toc.n_series),
    );
    for (section, n_bytes) in sections {
        println!("    {section}: {:.4} B a sample, {n_bytes} B", n_bytes as f64 / n);
    }
}

fn read_all(block: &Arc<Block>) -> (u64, u64) {
    let mut set = block.select(&[], TimeRange::ALL, &SelectHints::default()).unwrap();
    let (mut n_series, mut n_samples) = (0, 0);
    while let Some(series) = set.next().unwrap() {
        n_series += 1;
        n_samples += series.values.len() as u64;
    }
    (n_series, n_samples)
}

#[test]
#[ignore = "prints figures"]
fn measure_sizes_and_decoding() {
    let recording = recording();
    let folder = tempfile::tempdir().unwrap();
    let dir: Arc<dyn Dir> = Arc::new(DiskDir::open(folder.path()).unwrap());
    let two_hours = write(&dir, &recording, 20, 0, 480);
    tell(&dir, "two hours written at once", &two_hours);
    let halves: Vec<String> =
        (0..4).map(|half| write(&dir, &recording, 20, half * 120, half * 120 + 120)).collect();
    tell(&dir, "half an hour", &halves[0]);
    let open = |names: &[String]| -> Vec<Arc<Block>> {
        names.iter().map(|name| Arc::new(Block::open(&dir, name, &cache()).unwrap())).collect()
    };
    let begin = cpu_ms();
    let merge = |names: &[String]| {
        compact_blocks(&dir, &Job { blocks: &open(names), cuts: &[], keep_from: &|_| None })
            .unwrap()
            .remove(0)
    };
    let merged = merge(&halves);
    println!("four half hours to two hours: {:.1} ms", cpu_ms() - begin);
    tell(&dir, "two hours of half hours", &merged);
    let mut parts = vec![merged];
    parts.extend((1..3).map(|part| write(&dir, &recording, 20, part * 480, part * 480 + 480)));
    let begin = cpu_ms();
    let six = merge(&parts);
    println!("three times two hours to six: {:.1} ms", cpu_ms() - begin);
    tell(&dir, "six hours (values repeat)", &six);
    let day = write_day(&dir, &recording);
    tell(&dir, "a day, 9 hosts (values repeat)", &day);
    let block = Arc::new(Block::open(&dir, &day, &cache()).unwrap());
    for _ in 0..5 {
        let begin = cpu_ms();
        let (n_series, n_samples) = read_all(&block);
        let ms = cpu_ms() - begin;
        println!(
            "decoded {n_series} series, {n_samples} samples in {ms:.1} ms: {:.0} M a second",
            n_samples as f64 / ms / 1e3
        );
    }
}

fn write_day(dir: &Arc<dyn Dir>, recording: &[(Labels, Vec<Option<f64>>)]) -> String {
    let names: Vec<String> =
        (0..12).map(|part| write(dir, recording, 9, part * 480, part * 480 + 480)).collect();
    let blocks: Vec<Arc<Block>> =
        names.iter().map(|name| Arc::new(Block::open(dir, name, &cache()).unwrap())).collect();
    compact_blocks(dir, &Job { blocks: &blocks, cuts: &[], keep_from: &|_| None }).unwrap().remove(0)
}

#[test]
#[ignore = "prints figures"]
fn measure_a_million_series() {
    let recording = recording();
    let folder = tempfile::tempdir().unwrap();
    let dir: Arc<dyn Dir> = Arc::new(DiskDir::open(folder.path()).unwrap());
    let begin = cpu_ms();
    let name = write(&dir, &recording, 877, 0, 8);
    println!("written in {:.1} ms", cpu_ms() - begin);
    tell(&dir, "a million series", &name);
    for _ in 0..3 {
        // Too short for the CPU's clock, which moves in steps.
        let (cache, clock) = (cache(), SystemClock::new());
        let wall_ms = || clock.monotonic().as_secs_f64() * 1e3;
        let begin = wall_ms();
        let block = Arc::new(Block::open(&dir, &name, &cache).unwrap());
        let opened = wall_ms();
        let matchers = [
            Matcher::equal("__name__", "node_load1"),
            Matcher::equal("instance", "node-500.example.org:9100"),
        ];
        let mut set = block.select(&matchers, TimeRange::ALL, &SelectHints::default()).unwrap();
        assert!(set.next().unwrap().is_some() && set.next().unwrap().is_none());
        let asked = wall_ms();
        let (tables, held) = (block.index().memory_bytes(), cache.bytes());
        println!(
            "opened in {:.3} ms, one series in {:.3} ms, tables {tables} B, cache {held} B",
            opened - begin,
            asked - opened
        );
        let begin = cpu_ms();
        let hints = SelectHints { labels_only: true, ..SelectHints::default() };
        let mut set = block.select(&[], TimeRange::ALL, &hints).unwrap();
        let mut n = 0;
        while set.next().unwrap().is_some() {
            n += 1;
        }
        println!("{n} label sets in {:.1} ms, cache {} B", cpu_ms() - begin, cache.bytes());
    }
}

/// Bytes of a folder's blocks.
fn folder_bytes(dir: &dyn Dir, name: &str) -> f64 {
    let files = dir.list(Path::new(name)).unwrap();
    files.iter().map(|file| file.len_bytes as f64).sum()
}

#[test]
#[ignore = "prints figures"]
fn measure_roll_ups() {
    let recording = recording();
    let folder = tempfile::tempdir().unwrap();
    let dir: Arc<dyn Dir> = Arc::new(DiskDir::open(folder.path()).unwrap());
    let day = write_day(&dir, &recording);
    tell(&dir, "a day, 9 hosts (values repeat)", &day);
    let block = Arc::new(Block::open(&dir, &day, &cache()).unwrap());
    let (n_series, n_samples) =
        (f64::from(block.index().toc().n_series), block.index().toc().n_samples as f64);
    for intervals in [&[300_000, 3_600_000][..], &[300_000], &[3_600_000]] {
        let tiers: Vec<(Arc<dyn Dir>, i64)> = intervals
            .iter()
            .map(|ms| -> (Arc<dyn Dir>, i64) {
                let tier = stdx::SubDir::new(Arc::clone(&dir), format!("tier-{}-{ms}", intervals.len()));
                (Arc::new(tier), *ms)
            })
            .collect();
        let (from_ms, to_ms) = (START_MS / 7_200_000 * 7_200_000, START_MS + 30 * 3_600_000);
        let blocks = [Arc::clone(&block)];
        let stretch = Stretch { blocks: &blocks, from_ms, to_ms, is_left_out: &|_| false, late: false };
        let begin = cpu_ms();
        let names = roll_up(&stretch, &tiers).unwrap();
        let ms = cpu_ms() - begin;
        println!("{intervals:?}: {ms:.0} ms, {:.1} ns a sample", ms * 1e6 / n_samples);
        for ((tier, interval_ms), name) in tiers.iter().zip(names) {
            let name = name.unwrap();
            let n_bytes = folder_bytes(&**tier, &name);
            let n_rows = Block::open(tier, &name, &cache()).unwrap().index().toc().n_samples as f64;
            println!(
                "    {interval_ms} ms: {n_bytes} B, {:.2} B a row, {:.1} KB a series and year",
                n_bytes / n_rows,
                n_bytes / n_series * 365.0 / 1e3
            );
        }
    }
}
