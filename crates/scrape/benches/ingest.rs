//! Reading whole pages into an appender that keeps nothing: what scraping itself costs per sample.
//!
//! `HINOMI_RECORDING` names a file of `u32 little-endian length, body` records, such as a recording of node_exporter;
//! without it a made-up page of its shape is read.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::Labels;
use scrape::ingest::{IngestOptions, IngestStats, ReportSeries, ScrapeCache, Scratch, finish, ingest};
use scrape::{GlobalConfig, ScrapeConfig, ScrapeConfigFile};
use stdx::dir::{Dir, DiskDir};
use storage::{
    AppendError, AppendStats, Appender, ColumnIdx, GroupRef, RowError, RowOutcome, SeriesRef, StorageError,
};
use wire::exposition::Format;
use wire::exposition::diff::Blocks;

/// Takes everything, keeps the sum so that nothing is optimised away.
struct Null<'a> {
    sum: f64,
    n_samples: u64,
    takes_rows: bool,
    n_columns: &'a mut ColumnIdx,
}

impl Appender for Null<'_> {
    fn append(
        &mut self,
        known: Option<SeriesRef>,
        _: &Labels,
        _: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        self.sum += value;
        self.n_samples += 1;
        Ok(known.unwrap_or(SeriesRef(self.n_samples)))
    }

    fn add_columns(
        &mut self,
        group: Option<GroupRef>,
        labels: &[Labels],
    ) -> Result<(GroupRef, Vec<Result<ColumnIdx, AppendError>>), RowError> {
        if !self.takes_rows {
            return Err(RowError::Unsupported);
        }
        let columns = labels.iter().map(|_| {
            *self.n_columns += 1;
            Ok(*self.n_columns)
        });
        Ok((group.unwrap_or(GroupRef(1)), columns.collect()))
    }

    fn append_row(&mut self, _: GroupRef, _: i64, row: &[(ColumnIdx, f64)]) -> Result<RowOutcome, RowError> {
        self.sum += row.iter().map(|(_, value)| value).sum::<f64>();
        Ok(RowOutcome::default())
    }

    fn commit(self: Box<Self>) -> Result<AppendStats, StorageError> {
        Ok(AppendStats::default())
    }
}

fn recorded() -> Option<Vec<Vec<u8>>> {
    let path = std::env::var("HINOMI_RECORDING").ok()?;
    let bytes = DiskDir::anywhere().read(Path::new(&path)).expect("HINOMI_RECORDING names a file");
    let mut rest = bytes.as_slice();
    let mut bodies = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let (body, after) = after.split_at(u32::from_le_bytes(*len) as usize);
        bodies.push(body.to_vec());
        rest = after;
    }
    Some(bodies)
}

fn made_up() -> Vec<Vec<u8>> {
    use std::fmt::Write as _;
    let page = |scrape: u32| {
        let mut page = String::new();
        for family in 0..120 {
            let _ = writeln!(page, "# HELP m_{family}_total Made up.\n# TYPE m_{family}_total counter");
            for cpu in 0..10 {
                let _ = writeln!(
                    page,
                    "m_{family}_total{{cpu=\"{cpu}\",mode=\"idle\"}} {}.25",
                    family * scrape + cpu
                );
            }
        }
        page.into_bytes()
    };
    (1..10).map(page).collect()
}

fn job() -> ScrapeConfig {
    let file: ScrapeConfigFile =
        model::yaml::parse("job.yml", "job_name: node").expect("a job with nothing but a name");
    file.resolve(&GlobalConfig::default(), Path::new("")).expect("the defaults go together")
}

/// One target.
struct Target {
    cache: ScrapeCache,
    scratch: Scratch,
    takes_rows: bool,
    n_columns: ColumnIdx,
}

impl Target {
    fn new(takes_rows: bool) -> Self {
        let cache = ScrapeCache::new(Arc::new(Blocks::new()), ReportSeries::default());
        Self { cache, scratch: Scratch::default(), takes_rows, n_columns: 0 }
    }

    /// All pages one after another, as scrapes of one target 15 s apart.
    fn read(&mut self, bodies: &[Vec<u8>], job: &ScrapeConfig, labels: &Labels) -> u64 {
        let options = IngestOptions::new(job, labels);
        let mut n_samples = 0;
        for (t_ms, body) in (0..).step_by(15_000).zip(bodies) {
            let (takes_rows, n_columns) = (self.takes_rows, &mut self.n_columns);
            let mut appender = Null { sum: 0.0, n_samples: 0, takes_rows, n_columns };
            let (cache, scratch) = (&mut self.cache, &mut self.scratch);
            let stats = ingest(body, Format::Text004, t_ms, cache, scratch, &mut appender, &options);
            n_samples += stats.expect("the page is valid").n_scraped;
            finish(t_ms, cache, scratch, &mut appender, &options, None, &mut IngestStats::default());
            std::hint::black_box(appender.sum);
            cache.committed(true);
        }
        n_samples
    }
}

fn run(c: &mut Criterion) {
    let (shape, bodies) = recorded().map_or(("made_up", made_up()), |bodies| ("recording", bodies));
    let (job, labels) = (job(), Labels::from_pairs([("job", "node"), ("instance", "host:9100")]));
    let mut group = c.benchmark_group("ingest/page");
    for (way, takes_rows) in [("rows", true), ("one_by_one", false)] {
        let mut target = Target::new(takes_rows);
        group.throughput(Throughput::Elements(target.read(&bodies, &job, &labels)));
        group.bench_function(format!("{shape}_known_{way}"), |b| {
            b.iter(|| target.read(&bodies, &job, &labels));
        });
    }
    let first = &bodies[..1];
    group.throughput(Throughput::Elements(Target::new(true).read(first, &job, &labels)));
    group.bench_function(format!("{shape}_new_rows"), |b| {
        b.iter(|| Target::new(true).read(first, &job, &labels));
    });
    group.finish();
}

criterion_group!(benches, run);
criterion_main!(benches);
