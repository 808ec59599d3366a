//! Speed of the chunk codec: `chunk_xor/append`, `chunk_xor/decode`, `chunk_columns/encode`, `chunk_columns/decode`.
//!
//! Run: `cargo bench -p tsdb`. The kernels also run once, tiny, in `cargo test`, as `tests/bench_kernels.rs`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "../tests/common/kernels.rs"]
mod kernels;

fn benches(c: &mut Criterion) {
    for (shape, samples) in kernels::shapes(120) {
        let n_samples = samples.timestamps.len() as u64;
        let mut group = c.benchmark_group("chunk_xor");
        group.throughput(Throughput::Elements(n_samples));
        group.bench_function(format!("append/{shape}_120"), |b| {
            b.iter(|| kernels::append(black_box(&samples)));
        });
        let chunk = kernels::append(&samples);
        group
            .bench_function(format!("decode/{shape}_120"), |b| b.iter(|| kernels::decode(black_box(&chunk))));
        group.finish();
        let mut group = c.benchmark_group("chunk_columns");
        group.throughput(Throughput::Elements(n_samples));
        group.bench_function(format!("encode/{shape}_120"), |b| {
            b.iter(|| kernels::encode(black_box(&samples)));
        });
        let chunk = kernels::encode(&samples);
        group
            .bench_function(format!("decode/{shape}_120"), |b| b.iter(|| kernels::decode(black_box(&chunk))));
        group.finish();
    }
}

criterion_group!(chunk, benches);
criterion_main!(chunk);
