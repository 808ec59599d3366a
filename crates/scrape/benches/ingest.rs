//! Reading whole pages into an appender that keeps nothing: what scraping itself costs per sample.
//!
//! `HINOMI_RECORDING` names a file of `u32 little-endian length, body` records, such as a recording of node_exporter;
//! without it a made-up page of its shape is read.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::Labels;
use scrape::cache::ScrapeCache;
use scrape::ingest::{IngestOptions, ingest};
use scrape::{GlobalConfig, ScrapeConfig, ScrapeConfigFile};
use stdx::dir::{Dir, DiskDir};
use storage::{AppendError, AppendStats, Appender, SeriesRef, StorageError};
use wire::exposition::Format;

/// Takes everything, keeps the sum so that nothing is optimised away.
#[derive(Default)]
struct Null {
    sum: f64,
    n_samples: u64,
}

impl Appender for Null {
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

/// All pages one after another, as scrapes of one target 15 s apart.
fn read(
    bodies: &[Vec<u8>],
    job: &ScrapeConfig,
    labels: &Labels,
    cache: &mut ScrapeCache,
    first_ms: i64,
) -> u64 {
    let options = IngestOptions::new(job, labels);
    let mut n_samples = 0;
    for (t_ms, body) in (first_ms..).step_by(15_000).zip(bodies) {
        let mut appender = Null::default();
        let stats =
            ingest(body, Format::Text004, t_ms, cache, &mut appender, &options).expect("the page is valid");
        n_samples += stats.n_scraped;
    }
    n_samples
}

fn run(c: &mut Criterion) {
    let (shape, bodies) = recorded().map_or(("made_up", made_up()), |bodies| ("recording", bodies));
    let (job, labels) = (job(), Labels::from_pairs([("job", "node"), ("instance", "host:9100")]));
    let mut cache = ScrapeCache::new();
    let n_samples = read(&bodies, &job, &labels, &mut cache, 0);
    let mut group = c.benchmark_group("ingest/page");
    group.throughput(Throughput::Elements(n_samples));
    group
        .bench_function(format!("{shape}_known"), |b| b.iter(|| read(&bodies, &job, &labels, &mut cache, 0)));
    let first = &bodies[..1];
    group.throughput(Throughput::Elements(read(first, &job, &labels, &mut ScrapeCache::new(), 0)));
    group.bench_function(format!("{shape}_new"), |b| {
        b.iter(|| read(first, &job, &labels, &mut ScrapeCache::new(), 0));
    });
    group.finish();
}

criterion_group!(benches, run);
criterion_main!(benches);
