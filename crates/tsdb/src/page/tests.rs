//! What pages promise: every bit comes back, sizes stay small, hostile bytes are refused.

use model::histogram::{Histogram, ResetHint, Span};
use proptest::prelude::*;

use super::*;

fn value_bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn check_values(values: &[f64]) -> usize {
    let mut page = vec![7];
    encode_values(values, &mut page);
    let page = &page[1..];
    let mut back = vec![0.5];
    decode_values(page, &mut back).expect("what was encoded decodes");
    assert_eq!(value_bits(&back[1..]), value_bits(values));
    assert_eq!(n_values(page), Ok(values.len()));
    check_summary(page, values);
    check_points(page, values);
    for n_bytes in 0..page.len() {
        assert!(
            decode_values(&page[..n_bytes], &mut Vec::new()).is_err(),
            "{n_bytes} of {} bytes",
            page.len()
        );
    }
    page.len()
}

/// One value is what it is among all.
fn check_points(page: &[u8], values: &[f64]) {
    let mut buffer = PointBuffer::default();
    for (row, value) in values.iter().enumerate() {
        let point = value_at(page, row, values.len(), &mut buffer).expect("what was encoded is found");
        assert_eq!(point.to_bits(), value.to_bits(), "row {row} of {values:?}");
    }
    assert!(value_at(page, values.len(), values.len(), &mut buffer).is_err());
    assert!(value_at(page, 0, values.len() + 1, &mut buffer).is_err());
    let n_nan = values.iter().filter(|value| value.is_nan()).count();
    assert!(n_nan == 0 || !has_only_numbers(page, values.len()), "{values:?}");
}

/// Against the plainest way to compute each fact.
fn check_summary(page: &[u8], values: &[f64]) {
    let summary = summary(page).expect("a page has facts");
    let is_stale = |value: f64| value.to_bits() == model::sample::STALE_NAN_BITS;
    let numbers: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    let fresh: Vec<f64> = values.iter().copied().filter(|value| !is_stale(*value)).collect();
    assert_eq!(summary.n as usize, values.len());
    assert_eq!(summary.n_numbers as usize, numbers.len());
    assert_eq!(summary.n_stale as usize, values.len() - fresh.len());
    let same = |a: f64, b: f64| {
        assert!(a == b || a.is_nan() && b.is_nan(), "{a} is not {b} in {summary:?} of {values:?}");
    };
    same(summary.min, numbers.iter().copied().fold(f64::NAN, f64::min));
    same(summary.max, numbers.iter().copied().fold(f64::NAN, f64::max));
    same(summary.first, numbers.first().copied().unwrap_or(f64::NAN));
    same(summary.last, numbers.last().copied().unwrap_or(f64::NAN));
    let falls = || numbers.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[0]);
    assert_eq!(summary.n_resets as usize, falls().count());
    let changes =
        fresh.windows(2).filter(|pair| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan()));
    assert_eq!(summary.n_changes as usize, changes.count());
    let near = |a: f64, of: &[f64]| {
        let size: f64 = of.iter().map(|value| value.abs()).sum();
        let sum: f64 = of.iter().sum();
        if size.is_finite() {
            assert!((a - sum).abs() <= size * 1e-12, "{a} is not {sum} in {summary:?} of {values:?}");
        }
    };
    near(summary.sum, &numbers);
    near(summary.reset_sum, &falls().collect::<Vec<_>>());
}

fn check_times(times: &[i64]) -> usize {
    let mut page = vec![7];
    encode_times(times, &mut page);
    let mut back = vec![3];
    decode_times(&page[1..], &mut back).expect("what was encoded decodes");
    assert_eq!(&back[1..], times);
    page.len() - 1
}

fn check_starts(starts: &[i64]) -> usize {
    let mut page = Vec::new();
    encode_starts(starts, &mut page);
    let mut back = Vec::new();
    decode_starts(&page, &mut back).expect("what was encoded decodes");
    assert_eq!(&back, starts);
    page.len()
}

fn noise(idx: usize) -> u64 {
    (idx as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
}

#[test]
fn shapes_of_real_series_are_small() {
    let of = |value: &dyn Fn(usize) -> f64| (0..480).map(value).collect::<Vec<f64>>();
    for (name, values, bytes_max) in [
        ("constant", of(&|_| 1.0), 6),
        ("constant decimal", of(&|_| 0.25), 6),
        ("stale", of(&|_| model::sample::STALE_NAN), 14),
        ("linear", of(&|row| 1e9 + row as f64 * 15.0), 14),
        ("slow counter", of(&|row| (row / 40) as f64), 18),
        ("counter", of(&|row| 1e6 + row as f64 * 137.0 + (noise(row) % 16) as f64), 330),
        ("seconds", of(&|row| (row as f64 * 1499.0).round() / 100.0 + 12.5), 280),
        ("memory", of(&|row| 8e9 + (noise(row) % 4096) as f64 * 4096.0), 760),
        ("reset", of(&|row| (row % 300) as f64 * 10.0), 36),
        ("rare NaN", of(&|row| if row % 100 == 7 { f64::NAN } else { 3.0 }), 30),
        ("disk seconds", of(&|row| (row * row * 37 + 13) as f64 * 0.001), 420),
        ("pressure seconds", of(&|row| (7_000_000 + row * row * 37) as f64 / 1000.0 / 1000.0), 420),
        ("ratio", of(&|row| 1.0 / (1.0 + noise(row) as f64)), 480 * 8 + 70),
    ] {
        let n_bytes = check_values(&values);
        assert!(n_bytes <= bytes_max, "{name} takes {n_bytes} bytes");
    }
}

#[test]
fn edges_of_floats_come_back() {
    let edges = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f64::NAN,
        -f64::NAN,
        model::sample::STALE_NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::EPSILON,
        0.1,
        0.3,
        1e22,
        1e23,
        1e-22,
        9.007199254740993e15,
        9.223372036854775e18,
        -9.223372036854776e18,
        1.8446744073709552e19,
        123_456.125_001,
        5e-324,
        2f64.powi(60),
        -(2f64.powi(60)),
        2f64.powi(61),
    ];
    check_values(&[]);
    for (idx, &a) in edges.iter().enumerate() {
        check_values(&[a]);
        check_values(&[a; 17]);
        for &b in &edges[idx..] {
            check_values(&[a, b]);
            check_values(&[b, a, a, b, b, b, a]);
            let mostly: Vec<f64> = (0..70).map(|row| if row == 30 { b } else { a + row as f64 }).collect();
            check_values(&mostly);
        }
    }
    check_values(&edges);
    let many: Vec<f64> = edges.iter().cycle().take(ROWS_MAX).copied().collect();
    let mut page = Vec::new();
    encode_values(&many, &mut page);
}

#[test]
fn times_are_small() {
    for (name, times, bytes_max) in [
        ("none", Vec::new(), 2),
        ("regular", (0..480).map(|row| 1_700_000_000_123 + row * 15_000).collect::<Vec<i64>>(), 20),
        (
            "jitter",
            (0..480).map(|row| 1_700_000_000_123 + row * 15_000 + (noise(row as usize) % 4) as i64).collect(),
            140,
        ),
        ("a gap", (0..480).map(|row| 1_700_000_000_123 + (row + row / 300 * 7) * 15_000).collect(), 30),
        ("all of time", vec![i64::MIN, -1, 0, 1, i64::MAX], 80),
    ] {
        let n_bytes = check_times(&times);
        assert!(n_bytes <= bytes_max, "{name} takes {n_bytes} bytes");
    }
    let begun: Vec<i64> =
        (0..480).map(|row| if row < 200 { 1_700_000_000_000 } else { 1_700_003_000_500 }).collect();
    assert!(check_starts(&begun) < 30);
    assert!(check_starts(&[0; 480]) < 6);
}

#[test]
fn times_that_do_not_rise_are_refused() {
    let mut page = Vec::new();
    encode_starts(&[5, 5], &mut page);
    assert!(decode_times(&page, &mut Vec::new()).is_err());
}

/// Columns as the worst of writers would make them.
fn hostile_column() -> impl Strategy<Value = Vec<f64>> {
    let bits = any::<u64>().prop_map(f64::from_bits);
    let decimal = (any::<i64>(), 0..64u32, 0..23usize)
        .prop_map(|(int, shift, power)| (int >> shift) as f64 / decimal::POWERS[power]);
    let special =
        prop::sample::select(vec![0.0, -0.0, f64::NAN, model::sample::STALE_NAN, f64::INFINITY, 1.0, 1e300]);
    let value = prop_oneof![4 => decimal, 1 => bits, 1 => special];
    let column = prop::collection::vec((value, 1..20usize), 0..60);
    let walk = (any::<i64>(), 0..60u32, 0..12usize, prop::collection::vec(any::<i64>(), 1..300)).prop_map(
        |(first, shift, power, steps)| {
            let walk = steps.into_iter().scan(first >> 12, move |at, step| {
                *at = at.wrapping_add(step >> shift >> 4);
                Some(*at as f64 / decimal::POWERS[power])
            });
            walk.map(|value| (value, 1)).collect::<Vec<_>>()
        },
    );
    prop_oneof![column, walk]
        .prop_map(|runs| runs.into_iter().flat_map(|(value, n)| std::iter::repeat_n(value, n)).collect())
}

fn same_histogram(a: &Histogram, b: &Histogram) -> bool {
    let floats = |h: &Histogram| {
        let mut floats = vec![h.zero_threshold, h.zero_count, h.count, h.sum];
        floats.extend(h.positive_buckets.iter().chain(&h.negative_buckets).chain(&*h.custom_bounds));
        value_bits(&floats)
    };
    let rest = |h: &Histogram| {
        (
            h.is_integer,
            h.reset_hint,
            h.schema,
            h.positive_spans.clone(),
            h.negative_spans.clone(),
            h.custom_bounds.len(),
        )
    };
    floats(a) == floats(b) && rest(a) == rest(b)
}

fn check_histograms(histograms: &[Histogram]) -> usize {
    let mut page = Vec::new();
    encode_histograms(&histograms.iter().collect::<Vec<_>>(), &mut page);
    let mut back = Vec::new();
    decode_histograms(&page, &mut back).expect("what was encoded decodes");
    assert_eq!(back.len(), histograms.len());
    for (back, histogram) in back.iter().zip(histograms) {
        assert!(same_histogram(back, histogram), "{back:?} is not {histogram:?}");
    }
    for n_bytes in (0..page.len()).step_by(page.len() / 50 + 1) {
        assert!(decode_histograms(&page[..n_bytes], &mut Vec::new()).is_err());
    }
    page.len()
}

/// A slow service's latencies: `n_buckets` buckets, of which one or two move each row.
fn latencies(n: usize, n_buckets: u32) -> Vec<Histogram> {
    let mut buckets: Vec<f64> = (0..n_buckets).map(|idx| (1000 * idx) as f64).collect();
    let rows = (0..n).map(|row| {
        for add in 0..2 {
            let idx = noise(row * 2 + add) as usize % buckets.len();
            buckets[idx] += 1.0;
        }
        Histogram {
            is_integer: true,
            schema: 3,
            zero_threshold: 2f64.powi(-128),
            count: buckets.iter().sum(),
            sum: (row * 17) as f64 / 1000.0,
            positive_spans: vec![Span { offset: -4, length: n_buckets }],
            positive_buckets: buckets.clone(),
            ..Histogram::default()
        }
    });
    rows.collect()
}

#[test]
fn histograms_come_back_and_are_small() {
    assert_eq!(check_histograms(&[]), 1);
    let mut histograms = latencies(480, 60);
    let n_bytes = check_histograms(&histograms);
    assert!(n_bytes < 480 * 6, "480 histograms of 60 buckets take {n_bytes} bytes");
    // A new bucket in the middle, a reset, a stale one, one with custom bounds, one of the other kind.
    for late in &mut histograms[300..] {
        late.positive_spans = vec![Span { offset: -4, length: 60 }, Span { offset: 3, length: 1 }];
        late.positive_buckets.push(7.0);
    }
    histograms[301].reset_hint = ResetHint::Reset;
    histograms[400] = Histogram { sum: model::sample::STALE_NAN, ..Histogram::default() };
    histograms[401] = Histogram {
        schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
        custom_bounds: [0.1, 0.5, f64::MAX].into(),
        positive_spans: vec![Span { offset: 0, length: 4 }],
        positive_buckets: vec![1.0, 0.5, -0.0, 1e300],
        negative_spans: vec![Span { offset: i32::MIN, length: 0 }, Span { offset: 9, length: 1 }],
        negative_buckets: vec![f64::NAN],
        reset_hint: ResetHint::Gauge,
        ..Histogram::default()
    };
    check_histograms(&histograms);
}

#[test]
fn a_histogram_that_contradicts_itself_loses_its_buckets() {
    let broken = Histogram {
        count: 3.0,
        positive_spans: vec![Span { offset: 0, length: u32::MAX }],
        positive_buckets: vec![1.0, 2.0],
        ..Histogram::default()
    };
    let mut page = Vec::new();
    encode_histograms(&[&broken], &mut page);
    let mut back = Vec::new();
    decode_histograms(&page, &mut back).expect("what was encoded decodes");
    assert!(same_histogram(&back[0], &Histogram { count: 3.0, ..Histogram::default() }));
}

#[test]
fn a_small_page_cannot_ask_for_much_memory() {
    // One layout of 2^24 buckets, in 65,535 rows.
    let mut page = Vec::new();
    for number in [65_535, 1, 0] {
        stdx::varint::put_u64(&mut page, number);
    }
    page.extend_from_slice(&[0; 8]);
    for number in [1, 0, 1 << 23, 0, 0] {
        stdx::varint::put_u64(&mut page, number);
    }
    for _ in 0..2 {
        let mut column = Vec::new();
        encode_starts(&vec![0; ROWS_MAX], &mut column);
        stdx::varint::put_bytes(&mut page, &column);
    }
    let mut column = Vec::new();
    encode_values(&vec![0.0; ROWS_MAX], &mut column);
    for _ in 0..4 {
        stdx::varint::put_bytes(&mut page, &column);
    }
    let refused = decode_histograms(&page, &mut Vec::new());
    assert_eq!(refused, Err(PageError::Damaged { what: "more buckets than a page can hold" }));
}

proptest! {
    #[test]
    fn damaged_histograms_are_refused_or_stay_bounded(n in 1..40usize, at: usize, flip in 1..=255u8) {
        let histograms = latencies(n, 5);
        let mut page = Vec::new();
        encode_histograms(&histograms.iter().collect::<Vec<_>>(), &mut page);
        let at = at % page.len();
        page[at] ^= flip;
        let _ = decode_histograms(&page, &mut Vec::new());
    }

    #[test]
    fn every_bit_of_every_value_comes_back(values in hostile_column()) {
        check_values(&values);
    }

    #[test]
    fn every_time_comes_back(first: i64, steps in prop::collection::vec(0..u64::MAX, 0..50), shift in 0..64u32) {
        let times = steps.iter().scan(Some(first), |at, step| {
            let now = (*at)?;
            *at = now.checked_add_unsigned((step >> shift) + 1);
            Some(now)
        });
        check_times(&times.collect::<Vec<_>>());
    }

    #[test]
    fn every_start_comes_back(runs in prop::collection::vec((any::<i64>(), 1..9usize), 0..50)) {
        let starts: Vec<i64> = runs.into_iter().flat_map(|(start, n)| std::iter::repeat_n(start, n)).collect();
        check_starts(&starts);
    }

    #[test]
    fn damaged_pages_are_refused_or_stay_bounded(values in hostile_column(), at: usize, flip in 1..=255u8) {
        let mut page = Vec::new();
        encode_values(&values, &mut page);
        let at = at % page.len();
        page[at] ^= flip;
        let mut out = Vec::new();
        let _ = decode_values(&page, &mut out);
        let _ = summary(&page);
        prop_assert!(out.len() <= ROWS_MAX);
        let _ = decode_times(&page, &mut Vec::new());
    }

    #[test]
    fn any_bytes_are_refused_or_stay_bounded(bytes: Vec<u8>) {
        let mut out = Vec::new();
        let _ = decode_values(&bytes, &mut out);
        let _ = summary(&bytes);
        let _ = decode_times(&bytes, &mut Vec::new());
        prop_assert!(out.len() <= ROWS_MAX);
    }
}
