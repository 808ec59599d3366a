//! Histograms of OpenTelemetry as native histograms.
//!
//! Bucket i of OpenTelemetry is (base^i, base^(i+1)], that of Prometheus (base^(i-1), base^i]. What contradicts itself is refused, since the store
//! would answer wrongly from it.

use std::sync::Arc;

use model::Histogram;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::sample::STALE_NAN;
use wire::otlp::{Buckets, ExponentialPoint, HistogramPoint, NO_RECORDED_VALUE};

/// The coarsest and the finest schema that is stored. From Prometheus.
const SCHEMA_MIN: i32 = -4;
const SCHEMA_MAX: i32 = 8;
/// Half the width of the zero bucket, which OpenTelemetry leaves open. From Prometheus.
const ZERO_THRESHOLD: f64 = 1e-128;
/// Longest run of empty buckets that is written out instead of beginning a new span. From Prometheus' client library.
const GAP_MAX: i64 = 2;

/// An exponential histogram.
pub(super) fn exponential(point: &ExponentialPoint, hint: ResetHint) -> Result<Histogram, String> {
    if point.scale < SCHEMA_MIN {
        return Err(format!(
            "cannot convert exponential to native histogram. Scale must be >= {SCHEMA_MIN}, was {}",
            point.scale
        ));
    }
    let schema = point.scale.min(SCHEMA_MAX);
    let base = Histogram {
        is_integer: true,
        reset_hint: hint,
        schema,
        zero_threshold: ZERO_THRESHOLD,
        ..Histogram::default()
    };
    if point.flags & NO_RECORDED_VALUE != 0 {
        return Ok(Histogram { sum: STALE_NAN, ..base });
    }
    let by = u32::try_from(point.scale - schema).unwrap_or(0);
    let (positive, negative) = (side(&point.positive, by), side(&point.negative, by));
    let in_buckets = total(&point.positive.bucket_counts).and_then(|sum| {
        sum.checked_add(total(&point.negative.bucket_counts)?)?.checked_add(point.zero_count)
    });
    check_count(in_buckets, point.count, point.sum)?;
    let ((positive_spans, positive_buckets), (negative_spans, negative_buckets)) = (positive?, negative?);
    Ok(Histogram {
        zero_count: point.zero_count as f64,
        count: point.count as f64,
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..base
    })
}

/// A histogram with explicit bounds as one with custom bounds.
pub(super) fn custom(point: &HistogramPoint, hint: ResetHint) -> Result<Histogram, String> {
    let base = Histogram {
        is_integer: true,
        reset_hint: hint,
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        ..Histogram::default()
    };
    check_bounds(point)?;
    let custom_bounds: Arc<[f64]> = point.explicit_bounds.iter().copied().collect();
    if point.flags & NO_RECORDED_VALUE != 0 {
        return Ok(Histogram { sum: STALE_NAN, custom_bounds, ..base });
    }
    check_count(total(&point.bucket_counts), point.count, point.sum)?;
    let counts = point.bucket_counts.iter().zip(0i64..).map(|(count, idx)| (idx, *count));
    let (positive_spans, positive_buckets) = spans(counts)?;
    Ok(Histogram {
        count: point.count as f64,
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        positive_buckets,
        custom_bounds,
        ..base
    })
}

/// Bounds must rise, and there must be a bucket for each and one more.
pub(super) fn check_bounds(point: &HistogramPoint) -> Result<(), String> {
    let (n_bounds, n_counts) = (point.explicit_bounds.len(), point.bucket_counts.len());
    if n_counts != n_bounds + 1 && (n_counts, n_bounds) != (0, 0) {
        return Err(format!("histogram has {n_bounds} bounds and {n_counts} buckets, one more is wanted"));
    }
    if point.explicit_bounds.iter().any(|bound| bound.is_nan())
        || !point.explicit_bounds.is_sorted_by(|a, b| a < b)
    {
        return Err("histogram's bounds must rise".to_owned());
    }
    Ok(())
}

fn total(counts: &[u64]) -> Option<u64> {
    counts.iter().try_fold(0u64, |sum, count| sum.checked_add(*count))
}

/// NaN is observed into no bucket; then the sum is NaN.
fn check_count(in_buckets: Option<u64>, count: u64, sum: Option<f64>) -> Result<(), String> {
    let has_nan = sum.is_some_and(f64::is_nan);
    match in_buckets {
        Some(n) if n == count || has_nan && n < count => Ok(()),
        _ => Err(format!(
            "histogram's observation count should equal the number of observations found in the buckets: count is {count}"
        )),
    }
}

type Side = (Vec<Span>, Vec<f64>);

/// Buckets `2^by` times as wide.
fn side(buckets: &Buckets, by: u32) -> Result<Side, String> {
    let mut merged: Vec<(i64, u64)> = Vec::new();
    for (count, idx) in buckets.bucket_counts.iter().zip(i64::from(buckets.offset)..) {
        // A shift by all bits or more leaves the sign.
        let idx = (idx >> by.min(63)) + 1;
        match merged.last_mut() {
            Some((last, sum)) if *last == idx => *sum = sum.saturating_add(*count),
            _ => merged.push((idx, *count)),
        }
    }
    spans(merged.into_iter())
}

/// From counts by rising index.
fn spans(counts: impl Iterator<Item = (i64, u64)>) -> Result<Side, String> {
    let (mut spans, mut buckets): Side = (Vec::new(), Vec::new());
    let mut next_idx = 0;
    for (idx, count) in counts.filter(|(_, count)| *count > 0) {
        let gap = idx - next_idx;
        next_idx = idx + 1;
        match spans.last_mut() {
            Some(span) if gap <= GAP_MAX => {
                buckets.extend((0..gap).map(|_| 0.0));
                span.length += gap as u32 + 1;
            }
            _ => {
                let offset = i32::try_from(gap).map_err(|_| format!("bucket {idx} is out of range"))?;
                spans.push(Span { offset, length: 1 });
            }
        }
        buckets.push(count as f64);
    }
    Ok((spans, buckets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(scale: i32, offset: i32, counts: &[u64], zero_count: u64) -> ExponentialPoint {
        let positive = Buckets { offset, bucket_counts: counts.to_vec() };
        let count = counts.iter().sum::<u64>() + zero_count;
        ExponentialPoint { scale, count, sum: Some(1.0), zero_count, positive, ..ExponentialPoint::default() }
    }

    #[test]
    fn buckets_move_by_one_and_merge_beyond_schema_8() {
        let check = |point: &ExponentialPoint, schema: i32, spans: &[(i32, u32)], buckets: &[f64]| {
            let got = exponential(point, ResetHint::Unknown).unwrap();
            let got_spans: Vec<_> =
                got.positive_spans.iter().map(|span| (span.offset, span.length)).collect();
            assert_eq!((got.schema, &got_spans[..], &got.positive_buckets[..]), (schema, spans, buckets));
            assert_eq!(got.count, point.count as f64);
        };
        check(&point(3, 0, &[1, 2], 4), 3, &[(1, 2)], &[1.0, 2.0]);
        check(&point(0, -3, &[1, 0, 0, 2, 0, 0, 0, 3], 0), 0, &[(-2, 4), (3, 1)], &[1.0, 0.0, 0.0, 2.0, 3.0]);
        check(&point(9, -2, &[1, 2, 3, 4, 5], 0), 8, &[(0, 3)], &[3.0, 7.0, 5.0]);
        check(&point(20, -1, &[7], 0), 8, &[(0, 1)], &[7.0]);
        check(&point(2, 5, &[], 1), 2, &[], &[]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let check = |point: &ExponentialPoint, expected: &str| {
            let err = exponential(point, ResetHint::Unknown).unwrap_err();
            assert!(err.contains(expected), "{err}");
        };
        check(&point(-5, 0, &[1], 0), "Scale must be >= -4");
        check(&ExponentialPoint { count: 9, ..point(0, 0, &[1], 0) }, "count is 9");
        check(&point(0, i32::MAX, &[1], 0), "out of range");
        check(&point(0, 0, &[u64::MAX], 0).with_overflow(), "observation count");
    }

    trait Overflow {
        fn with_overflow(self) -> Self;
    }

    impl Overflow for ExponentialPoint {
        fn with_overflow(self) -> Self {
            Self { zero_count: 1, ..self }
        }
    }

    #[test]
    fn explicit_bounds_become_custom_ones() {
        let point = HistogramPoint {
            count: 6,
            sum: Some(3.0),
            bucket_counts: vec![0, 0, 0, 1, 5],
            explicit_bounds: vec![1.0, 2.0, 3.0, 4.0],
            ..HistogramPoint::default()
        };
        let got = custom(&point, ResetHint::Unknown).unwrap();
        assert_eq!(
            (got.positive_spans, got.positive_buckets),
            (vec![Span { offset: 3, length: 2 }], vec![1.0, 5.0])
        );
        assert_eq!(&got.custom_bounds[..], [1.0, 2.0, 3.0, 4.0]);
        let bad = HistogramPoint { explicit_bounds: vec![1.0, 1.0, 3.0, 4.0], ..point };
        assert!(custom(&bad, ResetHint::Unknown).is_err());
    }
}
