//! Parsing whole pages. `HINOMI_RECORDING` names a file of `u32 little-endian length, body` records, such as a
//! recording of node_exporter; without it a made-up page of its shape is parsed.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stdx::dir::{Dir, DiskDir};
use wire::exposition::{Entry, Format, Parser};

/// Enough to leave the caches.
const BODIES_MAX: usize = 64;

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
    bodies.truncate(BODIES_MAX);
    Some(bodies)
}

fn made_up() -> Vec<Vec<u8>> {
    use std::fmt::Write as _;
    let mut page = String::new();
    for family in 0..120 {
        let _ = writeln!(
            page,
            "# HELP node_made_up_{family}_total Made up.\n# TYPE node_made_up_{family}_total counter"
        );
        for cpu in 0..10 {
            let _ = writeln!(
                page,
                "node_made_up_{family}_total{{cpu=\"{cpu}\",mode=\"idle\"}} {}.25",
                family * 7919 + cpu
            );
        }
    }
    vec![page.into_bytes()]
}

fn count(bodies: &[Vec<u8>]) -> u64 {
    let mut n_samples = 0;
    for body in bodies {
        let mut parser = Parser::new(body, Format::Text004);
        while let Some(entry) = parser.next_entry().expect("the page is valid") {
            n_samples += u64::from(matches!(entry, Entry::Sample(_)));
        }
    }
    n_samples
}

fn parse(c: &mut Criterion) {
    let (shape, bodies) = recorded().map_or(("made_up", made_up()), |bodies| ("recording", bodies));
    let mut group = c.benchmark_group("exposition/parse");
    group.throughput(Throughput::Elements(count(&bodies)));
    group.bench_function(shape, |b| b.iter(|| count(&bodies)));
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
