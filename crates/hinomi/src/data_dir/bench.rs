//! `hinomi tsdb bench write`: how fast this machine stores samples, and in how many bytes; promtool's flags and words.
//!
//! Rows of scrapes go in as the scrape loop hands them over: a page of series at a time, through log, head, blocks and maintenance as in
//! a server. Times are simulated, half a minute apart; what is measured is work, not waiting.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use model::Labels;
use model::labels::METRIC_NAME;
use stdx::{Clock as _, Dir, DiskDir, SystemClock};
use storage::{Appendable as _, ColumnIdx, GroupRef};
use tsdb::{Db, Options};

use crate::say;

/// Between two scrapes. promtool's.
const STEP_MS: i64 = 30_000;
/// Series of one simulated target. promtool's.
const TARGET_SERIES: usize = 1_000;
/// When the first scrape is said to be. Chosen: any time after which two hours begin.
const START_MS: i64 = 1_700_006_400_000;
/// Scrapes between two looks whether a block is full. promtool's batches.
const BATCH_SCRAPES: u64 = 100;
/// Folder of the store, within the one for results. promtool's.
const STORAGE: &str = "storage";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    /// Folder for the store; it stays, to be looked at.
    pub out: PathBuf,
    /// How many series.
    pub n_series: usize,
    /// How many samples each gets.
    pub n_scrapes: u64,
    /// A JSON object of labels on each line; made up without one.
    pub file: Option<PathBuf>,
}

/// Runs it and prints what it found.
///
/// # Errors
/// When the folder is in use, the file cannot be read, or the store refuses something.
pub(super) fn write(args: &Args) -> Result<()> {
    let shown = args.out.display();
    let disk = DiskDir::anywhere();
    let is_in_use = disk.list(&args.out).is_ok_and(|entries| !entries.is_empty());
    ensure!(!is_in_use, "{shown} is not empty; remove it, or name another folder with --out");
    let path = args.out.join(STORAGE);
    let dir: Arc<dyn Dir> =
        Arc::new(DiskDir::open(&path).with_context(|| format!("cannot use {}", path.display()))?);
    let (series, _) = stage("readData", || match &args.file {
        Some(file) => read(&disk, file, args.n_series),
        None => Ok((0..args.n_series).map(made_up).collect()),
    })?;
    ensure!(!series.is_empty(), "there are no series to write");
    let options = Options { retention_ms: 0, ..Options::default() };
    let (db, _) = Db::open(dir, options, START_MS).context("cannot open the store")?;
    let (n_samples, took) = stage("ingestScrapes", || ingest(&db, &series, args.n_scrapes))?;
    say(&format!(" > total samples: {n_samples}"));
    say(&format!(" > samples/sec: {:.0}", n_samples as f64 / took.as_secs_f64()));
    // Four hours on, all of it belongs into blocks.
    let later_ms = at_ms(args.n_scrapes) + 4 * 3_600_000;
    stage("sealBlocks", || db.maintain(later_ms).map(drop).context("cannot seal"))?;
    stage("stopStorage", || db.close().context("cannot close"))?;
    let n_bytes = bytes_below(&disk, &path);
    say(&format!(" > bytes on disk: {n_bytes} ({:.2} per sample)", n_bytes as f64 / n_samples.max(1) as f64));
    if let Some(kib) = peak_kib(&disk) {
        say(&format!(" > peak memory: {} MiB", kib / 1_024));
    }
    Ok(())
}

/// Runs a part and says how long it took.
fn stage<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    say(&format!(">> start stage={name}"));
    let clock = SystemClock::new();
    let done = work()?;
    let took = clock.monotonic();
    say(&format!(">> completed stage={name} duration={took:.3?}"));
    Ok((done, took))
}

/// The label sets of a file, a JSON object on each line; at most `n_max`.
fn read(disk: &dyn Dir, file: &Path, n_max: usize) -> Result<Vec<Labels>> {
    let shown = file.display();
    let bytes = disk.read(file).with_context(|| format!("cannot read {shown}"))?;
    let text = String::from_utf8(bytes).with_context(|| format!("{shown} is not UTF-8 text"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut unique = std::collections::BTreeSet::new();
    for (idx, line) in lines {
        let labels: BTreeMap<String, String> = serde_json::from_str(line)
            .map_err(|why| anyhow!("{shown}:{}: not a JSON object of labels: {why}", idx + 1))?;
        unique.insert(Labels::from_pairs(labels));
        if unique.len() == n_max {
            break;
        }
    }
    Ok(unique.into_iter().collect())
}

/// The labels of one of many series, as a fleet of like targets has them.
fn made_up(idx: usize) -> Labels {
    let (target, series) = (idx / TARGET_SERIES, idx % TARGET_SERIES);
    Labels::from_pairs([
        (METRIC_NAME, format!("bench_metric_{}_total", series / 10)),
        ("instance", format!("10.0.{}.{}:9100", target / 256, target % 256)),
        ("job", "bench".to_owned()),
        ("part", (series % 10).to_string()),
    ])
}

/// When scrape `n` is said to be.
fn at_ms(n: u64) -> i64 {
    START_MS + STEP_MS * i64::try_from(n).unwrap_or(i64::MAX / STEP_MS / 2)
}

/// Writes all scrapes, targets side by side; returns the number of samples.
fn ingest(db: &Db, series: &[Labels], n_scrapes: u64) -> Result<u64> {
    let mut targets: Vec<Target> = series.chunks(TARGET_SERIES).map(Target::new).collect();
    let n_threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = targets.len().div_ceil(n_threads).max(1);
    let mut n_samples = 0;
    for first in (0..n_scrapes).step_by(usize::try_from(BATCH_SCRAPES)?) {
        let scrapes = first..n_scrapes.min(first + BATCH_SCRAPES);
        let shares = targets.chunks_mut(share).map(|share| {
            let scrapes = scrapes.clone();
            move || share.iter_mut().map(|target| target.scrape(db, scrapes.clone())).sum::<Result<u64>>()
        });
        let done: Vec<Result<u64>> = std::thread::scope(|scope| {
            let threads: Vec<_> = shares.map(|work| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().expect("the thread does not panic")).collect()
        });
        n_samples += done.into_iter().sum::<Result<u64>>()?;
        if db.is_block_full(at_ms(scrapes.end)) {
            db.maintain(at_ms(scrapes.end)).context("cannot seal")?;
        }
    }
    Ok(n_samples)
}

/// Series that are scraped together.
struct Target<'a> {
    labels: &'a [Labels],
    values: Vec<f64>,
    group: Option<(GroupRef, Vec<ColumnIdx>)>,
    /// Of a xorshift generator: every run writes the same.
    random: u64,
}

impl<'a> Target<'a> {
    fn new(labels: &'a [Labels]) -> Self {
        Self { labels, values: vec![0.0; labels.len()], group: None, random: 0x9E37_79B9_7F4A_7C15 }
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Writes `scrapes`, a commit each.
    fn scrape(&mut self, db: &Db, scrapes: std::ops::Range<u64>) -> Result<u64> {
        let mut n_samples = 0;
        for n in scrapes {
            self.step();
            let t_ms = at_ms(n);
            let mut batch = db.appender(t_ms);
            let (group, columns) = match &self.group {
                Some(known) => known.clone(),
                None => {
                    let (group, columns) = batch.add_columns(None, self.labels)?;
                    let known = (group, columns.into_iter().collect::<Result<Vec<_>, _>>()?);
                    self.group.insert(known).clone()
                }
            };
            let row: Vec<(ColumnIdx, f64)> = columns.into_iter().zip(self.values.iter().copied()).collect();
            batch.append_row(group, t_ms, &row)?;
            n_samples += batch.commit()?.n_samples;
        }
        Ok(n_samples)
    }

    /// The next values: of ten series six are counters that rise by this and that, two are gauges, two stay as they are.
    fn step(&mut self) {
        for idx in 0..self.values.len() {
            let random = self.random();
            match idx % 10 {
                0..6 => self.values[idx] += (random % 1_000) as f64,
                6 | 7 => self.values[idx] = (random % 100_000) as f64 / 1_000.0,
                _ => {}
            }
        }
    }
}

fn bytes_below(disk: &dyn Dir, path: &Path) -> u64 {
    let entries = disk.list(path).unwrap_or_default();
    let size = |entry: stdx::dir::DirEntry| {
        if entry.is_dir { bytes_below(disk, &path.join(&entry.name)) } else { entry.len_bytes }
    };
    entries.into_iter().map(size).sum()
}

/// The most memory this process has held, in KiB, where the kernel says it.
fn peak_kib(disk: &dyn Dir) -> Option<u64> {
    let status = String::from_utf8(disk.read(Path::new("/proc/self/status")).ok()?).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use stdx::MemDir;

    use super::*;

    #[test]
    fn every_sample_is_stored() {
        let (db, _) = Db::open(Arc::new(MemDir::new()), Options::default(), START_MS).unwrap();
        let series: Vec<Labels> = (0..1_500).map(made_up).collect();
        assert_eq!(ingest(&db, &series, 250).unwrap(), 1_500 * 250);
        assert_eq!(db.stats(1).n_series, 1_500);
        let span = db.time_span().unwrap();
        assert_eq!((span.start_ms, span.end_ms), (at_ms(0), at_ms(249)));
    }

    #[test]
    fn label_sets_are_read_up_to_as_many_as_asked_for() {
        let dir = MemDir::new();
        let file = Path::new("series.json");
        let text = b"{\"__name__\":\"a\",\"x\":\"1\"}\n\n{\"__name__\":\"a\"}\n{\"__name__\":\"b\"}\n";
        dir.create(file).unwrap().append(text).unwrap();
        assert_eq!(read(&dir, file, 9).unwrap().len(), 3);
        assert_eq!(read(&dir, file, 2).unwrap().len(), 2);
        dir.create(file).unwrap().append(b"{}\n[1]\n").unwrap();
        let why = read(&dir, file, 9).unwrap_err().to_string();
        assert!(why.starts_with("series.json:2: not a JSON object of labels: "), "{why}");
    }
}
