//! Pages written by earlier versions keep opening. `HINOMI_WRITE_FIXTURES=1` writes those of today, for a new version.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use model::histogram::{Histogram, ResetHint, Span};
use stdx::{Dir, DiskDir};
use tsdb::page;

const FILE: &str = "pages-v1.txt";

/// A column for every form, shape and scale, with and without exceptions and summary.
fn columns() -> Vec<(&'static str, Vec<f64>)> {
    let of = |value: &dyn Fn(u32) -> f64| (0..100).map(value).collect();
    let noise = |row: u32| row.wrapping_mul(2_654_435_761) >> 20;
    vec![
        ("empty", Vec::new()),
        ("constant", of(&|_| 0.25)),
        ("constant-bits", of(&|_| f64::MAX)),
        ("linear", of(&|row| f64::from(row) * 3.0 + 7.0)),
        ("levels", of(&|row| f64::from(noise(row)) * 512.0)),
        ("deltas", of(&|row| f64::from(row * 5000 + noise(row)) / 100.0)),
        ("second-deltas", of(&|row| f64::from(row * row * 7 + row % 2))),
        ("sparse", of(&|row| f64::from(noise(row / 20)))),
        ("bitmap", of(&|row| f64::from(noise(row / 2)))),
        ("a-fall", of(&|row| f64::from((row * 100 + noise(row) % 50) % 9_000))),
        (
            "blanks",
            of(&|row| match row % 10 {
                3 => f64::NAN,
                7 => model::STALE_NAN,
                8 => f64::from_bits(model::float::NORMAL_NAN_BITS),
                _ => f64::from(row),
            }),
        ),
        ("edges", of(&|row| [0.0, -0.0, f64::INFINITY, 1.5, 1e300][row as usize % 5])),
        ("times-0.001", of(&|row| f64::from(noise(row)) * 0.001)),
        ("twice-by-1000", of(&|row| f64::from(noise(row) + 7_000_000) / 1e3 / 1e3)),
        (
            "xor",
            of(&|row| f64::from_bits(0x3ff5_5555_5555_5555 ^ u64::from(noise(row) & 255) << (row % 3 * 20))),
        ),
        ("bits", of(&|row| f64::from(row + 1).ln().exp2())),
        (
            "raw",
            of(&|row| {
                f64::from_bits(u64::from(row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(row % 61))
            }),
        ),
    ]
}

fn times() -> Vec<(&'static str, Vec<i64>)> {
    let of = |time: &dyn Fn(i64) -> i64| (0..100).map(|row| 1_700_000_000_123 + time(row)).collect();
    vec![
        ("regular", of(&|row| row * 15_000)),
        ("jitter", of(&|row| row * 15_000 + row * 7 % 5)),
        ("a-gap", of(&|row| row * 15_000 + row / 60 * 600_000)),
    ]
}

fn histograms() -> Vec<Histogram> {
    let of = |row: u32| Histogram {
        is_integer: row.is_multiple_of(2),
        reset_hint: if row == 0 { ResetHint::Unknown } else { ResetHint::NotReset },
        schema: if row < 20 { 3 } else { model::histogram::CUSTOM_BUCKETS_SCHEMA },
        zero_threshold: 1e-9,
        zero_count: 2.0,
        count: f64::from(row * 4 + 2),
        sum: f64::from(row) / 8.0,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        positive_buckets: vec![f64::from(row), f64::from(row / 9), f64::from(row * 2)],
        negative_buckets: vec![f64::from(row)],
        custom_bounds: if row < 20 { [].into() } else { [0.5, 1.0, 2.5].into() },
    };
    (0..30).map(of).collect()
}

/// All fixtures by name, as written today.
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut pages = Vec::new();
    for (name, values) in columns() {
        let mut page = Vec::new();
        page::encode_values(&values, &mut page);
        pages.push((format!("values/{name}"), page));
    }
    for (name, times) in times() {
        let mut page = Vec::new();
        page::encode_times(&times, &mut page);
        pages.push((format!("times/{name}"), page));
    }
    let mut page = Vec::new();
    page::encode_histograms(&histograms().iter().collect::<Vec<_>>(), &mut page);
    pages.push(("histograms".to_owned(), page));
    pages
}

fn stored(dir: &dyn Dir) -> Vec<(String, Vec<u8>)> {
    let text = String::from_utf8(dir.read(Path::new(FILE)).unwrap()).unwrap();
    let page = |line: &str| {
        let (name, hex) = line.split_once(' ').unwrap();
        let bytes = hex.as_bytes().chunks(2).map(|digits| std::str::from_utf8(digits).unwrap());
        (name.to_owned(), bytes.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect())
    };
    text.lines().map(page).collect()
}

#[test]
fn pages_of_version_1_hold_what_was_written() {
    let dir = DiskDir::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")).unwrap();
    if std::env::var_os("HINOMI_WRITE_FIXTURES").is_some() {
        let hex = |page: &[u8]| page.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let lines: String = pages().iter().map(|(name, page)| format!("{name} {}\n", hex(page))).collect();
        dir.create(Path::new(FILE)).unwrap().append(lines.as_bytes()).unwrap();
    }
    let stored = stored(&dir);
    let page = |name: &str| &stored.iter().find(|(stored, _)| stored == name).unwrap().1;
    for (name, values) in columns() {
        let mut back = Vec::new();
        page::decode_values(page(&format!("values/{name}")), &mut back).unwrap();
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&values), "{name}");
        let fresh = pages().into_iter().find(|(fresh, _)| *fresh == format!("values/{name}")).unwrap().1;
        let facts = |page: &[u8]| format!("{:?}", page::summary(page).unwrap());
        assert_eq!(facts(page(&format!("values/{name}"))), facts(&fresh), "{name}");
    }
    for (name, times) in times() {
        let mut back = Vec::new();
        page::decode_times(page(&format!("times/{name}")), &mut back).unwrap();
        assert_eq!(back, times, "{name}");
    }
    let mut back = Vec::new();
    page::decode_histograms(page("histograms"), &mut back).unwrap();
    assert_eq!(back, histograms());
}
