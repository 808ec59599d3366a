//! Speed and size of value pages: `page/encode/<shape>`, `page/decode/<shape>`, `page/summary/<shape>`, 480 rows a page.
//!
//! Run: `cargo bench -p tsdb --bench page`. With HINOMI_COLUMNS=<file> also over the columns in that file, as shape `file`:
//! for each column its number of values as u32, then the values as f64, all little endian.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tsdb::page::{decode_values, encode_values, summary};

const ROWS: usize = 480;

/// Shapes of real series.
fn shapes() -> Vec<(String, Vec<Vec<f64>>)> {
    let noise = |row: usize| (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let shape = |name: &str, value_at: &dyn Fn(usize) -> f64| {
        (name.to_owned(), vec![(0..ROWS).map(value_at).collect()])
    };
    let mut shapes = vec![
        shape("constant", &|_| 1.0),
        shape("steps", &|row| (row / 40) as f64),
        shape("gauge", &|row| 8e9 + (noise(row) % 4_096) as f64 * 4_096.0),
        shape("counter", &|row| 1e6 + row as f64 * 137.0 + (noise(row) % 16) as f64),
        shape("seconds", &|row| (row * 1_499 + noise(row) as usize % 64) as f64 / 100.0),
        shape("ratio", &|row| 1.0 / (1.0 + noise(row) as f64)),
    ];
    shapes.extend(std::env::var_os("HINOMI_COLUMNS").map(|path| ("file".to_owned(), columns(&path))));
    shapes
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the file that its user names")]
fn columns(path: &std::ffi::OsStr) -> Vec<Vec<f64>> {
    let bytes = std::fs::read(path).expect("HINOMI_COLUMNS names a file");
    let mut rest = &bytes[..];
    let mut columns = Vec::new();
    while let Some((n, values)) = rest.split_first_chunk() {
        let (values, behind) = values.split_at(u32::from_le_bytes(*n) as usize * 8);
        let floats: Vec<f64> = values.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        columns.extend(floats.chunks(ROWS).map(<[f64]>::to_vec));
        rest = behind;
    }
    columns
}

fn benches(c: &mut Criterion) {
    for (shape, columns) in shapes() {
        let n_values: usize = columns.iter().map(Vec::len).sum();
        let pages: Vec<Vec<u8>> = columns
            .iter()
            .map(|column| {
                let mut page = Vec::new();
                encode_values(column, &mut page);
                page
            })
            .collect();
        let n_bytes: usize = pages.iter().map(Vec::len).sum();
        eprintln!("{shape}: {:.4} bytes a value", n_bytes as f64 / n_values as f64);
        let mut group = c.benchmark_group("page");
        group.throughput(Throughput::Elements(n_values as u64));
        let mut out = Vec::new();
        group.bench_function(format!("encode/{shape}"), |b| {
            b.iter(|| {
                out.clear();
                columns.iter().for_each(|column| encode_values(black_box(column), &mut out));
            });
        });
        let mut values = Vec::new();
        group.bench_function(format!("decode/{shape}"), |b| {
            b.iter(|| {
                for page in &pages {
                    values.clear();
                    decode_values(black_box(page), &mut values).expect("a page");
                }
            });
        });
        group.bench_function(format!("summary/{shape}"), |b| {
            b.iter(|| pages.iter().map(|page| summary(black_box(page)).expect("a page").sum).sum::<f64>());
        });
        group.finish();
    }
}

criterion_group!(page, benches);
criterion_main!(page);
