//! Stages of a request of remote write, for each sample: decompression, walk, hash, look-up. Requests hold 2,000 series of one
//! sample each out of 10,000 or 1,000,000 known ones, with labels as node_exporter's.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use model::Labels;
use wire::remote_write::{
    HashSecret, Item, RequestV1, RequestV2, Sample, SeriesMemo, SeriesV2, TimeSeries, compress, decompress,
    encode_v1, encode_v2,
};

const SERIES: usize = 2_000;

fn series(idx: usize) -> TimeSeries {
    let (cpu, instance, family) = (idx % 16, idx / 800 % 1_250, idx / 16 % 50);
    let labels = Labels::from_pairs([
        ("__name__", format!("node_family_{family}_seconds_total")),
        ("cpu", cpu.to_string()),
        ("instance", format!("host-{instance:04}.example.org:9100")),
        ("job", "node".to_owned()),
        ("mode", "idle".to_owned()),
        ("region", "eu-central-1".to_owned()),
    ]);
    let sample = Sample { t_ms: 1_763_000_000_000, start_ms: 0, value: idx as f64 * 0.37 };
    TimeSeries { labels, samples: vec![sample], ..TimeSeries::default() }
}

fn hashes(message: &[u8], secret: &HashSecret) -> Vec<u128> {
    let (mut request, mut hashes) = (RequestV1::new(message), Vec::new());
    while let Some(Item::Series(series)) = request.next().expect("encoded here") {
        hashes.extend(series.hash(secret));
    }
    hashes
}

fn stages(c: &mut Criterion) {
    let mut random = 1u64;
    let secret = HashSecret::new(|| {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        random
    });
    let request: Vec<_> = (0..SERIES).map(|i| series(i * 487)).collect();
    let (v1, v2) = (encode_v1(&request), encode_v2(&request));
    let (block_1, block_2) = (compress(&v1), compress(&v2));
    let mut group = c.benchmark_group("remote_write");
    group.throughput(Throughput::Elements(SERIES as u64));
    let mut buffer = Vec::new();
    group.bench_function(format!("v1 snappy {} to {} B", block_1.len() / SERIES, v1.len() / SERIES), |b| {
        b.iter(|| decompress(black_box(&block_1), &mut buffer).expect("encoded here").len());
    });
    group.bench_function(format!("v2 snappy {} to {} B", block_2.len() / SERIES, v2.len() / SERIES), |b| {
        b.iter(|| decompress(black_box(&block_2), &mut buffer).expect("encoded here").len());
    });
    group.bench_function("v1 walk", |b| {
        b.iter(|| {
            let (mut request, mut sum) = (RequestV1::new(black_box(&v1)), 0);
            while let Some(Item::Series(series)) = request.next().expect("encoded here") {
                sum += series.first().map_or(0, |sample| sample.t_ms);
            }
            sum
        });
    });
    group.bench_function("v1 walk and hash", |b| b.iter(|| hashes(black_box(&v1), &secret).len()));
    group.bench_function("v2 walk and hash", |b| {
        b.iter(|| {
            let request = RequestV2::new(black_box(&v2), &secret).expect("encoded here");
            let (mut series, mut scratch, mut sum) = (SeriesV2::new(), Vec::new(), 0);
            for idx in 0..request.n_series() {
                request.read(idx, &mut series).expect("encoded here");
                sum ^= request.hash(&series, &secret, &mut scratch).unwrap_or_default();
            }
            sum
        });
    });
    for n_known in [10_000, 1_000_000] {
        let mut memo = SeriesMemo::new(n_known + 1);
        let mut all = Vec::with_capacity(n_known);
        for i in 0..n_known as u64 {
            // Hashes are random, so any keyed ones do.
            all.push(secret.hash(&i.to_le_bytes()));
            memo.insert(all[i as usize], i as u32);
        }
        let mut at = 0;
        group.bench_function(format!("look-up among {n_known}"), |b| {
            // Each time other ones, far from one another.
            let next = || {
                at += 1;
                (0..SERIES).map(|i| all[(i * 48_271 + at * 7_919) % n_known]).collect::<Vec<_>>()
            };
            b.iter_batched(
                next,
                |hashes| hashes.iter().filter_map(|h| memo.get(*h)).count(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
