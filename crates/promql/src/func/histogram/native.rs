//! Quantiles, fractions and variance of one native histogram.
//!
//! Within a bucket observations are taken to lie evenly on a logarithmic scale; in custom buckets and in the zero bucket on a linear
//! one. With observations of NaN, which no bucket holds, counts are told from below. Source of the rules: Prometheus 3.14.

use model::histogram::Bucket;
use model::{Histogram, Sum};

use crate::annotations::texts;
use crate::func::window::Notes;

/// A zero bucket reaches to zero only on the side on which there are other buckets.
fn narrowed_zero(h: &Histogram, bucket: &mut Bucket) {
    match (h.negative_buckets.is_empty(), h.positive_buckets.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
}

/// The `q` quantile.
pub(crate) fn quantile(q: f64, h: &Histogram, notes: &mut Notes<'_>) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if h.count == 0.0 || q.is_nan() {
        return f64::NAN;
    }
    let has_nan = h.sum.is_nan();
    let buckets = h.buckets();
    // From the nearer end, where fewer roundings add up.
    let from_below = has_nan || q < 0.5;
    let rank = if from_below { q * h.count } else { (1.0 - q) * h.count };
    let Some(Found { at, mut count }) = find(&buckets, rank, from_below) else {
        return match (rank > 0.0, has_nan) {
            (true, true) => nan_result(notes),
            (true, false) => 0.0,
            (false, _) => f64::NAN,
        };
    };
    let mut bucket = buckets[at];
    if h.uses_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return bucket.upper;
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return bucket.lower;
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        narrowed_zero(h, &mut bucket);
    }
    count = if count > h.count { h.count } else { count };
    if count < rank {
        // Buckets hold less than the count says.
        return if has_nan { nan_result(notes) } else { bucket.upper };
    }
    let rank_within = if from_below { rank - (count - bucket.count) } else { count - rank };
    if has_nan {
        let rest = &buckets[at + 1..];
        if rest.iter().fold(count, |sum, bucket| sum + bucket.count) < h.count {
            notes.info(texts::quantile_is_skewed(notes.metric));
        }
        // Prometheus 3.14 goes on with the last bucket that it has counted here.
        bucket = rest.last().copied().unwrap_or(bucket);
    }
    let fraction = rank_within / bucket.count;
    interpolated(&bucket, fraction, h.uses_custom_buckets())
}

fn nan_result(notes: &mut Notes<'_>) -> f64 {
    notes.info(texts::quantile_is_nan(notes.metric));
    f64::NAN
}

/// The bucket in which a rank falls, and the count up to and with it.
struct Found {
    at: usize,
    count: f64,
}

/// The first populated bucket at which the count reaches `rank`, or the last one; `None` without any bucket.
fn find(buckets: &[Bucket], rank: f64, from_below: bool) -> Option<Found> {
    let mut found: Option<Found> = None;
    let n = buckets.len();
    for place in 0..n {
        let at = if from_below { place } else { n - 1 - place };
        let own = buckets[at].count;
        let count = found.as_ref().map_or(0.0, |f| f.count) + own;
        found = Some(Found { at, count });
        if own != 0.0 && count >= rank {
            break;
        }
    }
    found
}

fn interpolated(bucket: &Bucket, fraction: f64, is_custom: bool) -> f64 {
    let Bucket { lower, upper, .. } = *bucket;
    if is_custom || (lower <= 0.0 && upper >= 0.0) {
        return lower + (upper - lower) * fraction;
    }
    let (low, high) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        return (low + (high - low) * fraction).exp2();
    }
    -(high + (low - high) * (1.0 - fraction)).exp2()
}

/// The share of observations between `lower` and `upper`.
pub(crate) fn fraction(lower: f64, upper: f64, h: &Histogram, notes: &mut Notes<'_>) -> f64 {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let buckets = h.buckets();
    let mut count = h.count;
    if h.sum.is_nan() {
        count = buckets.iter().fold(0.0, |sum, bucket| sum + bucket.count);
        if count < h.count {
            notes.info(texts::fraction_without_nans(notes.metric));
        }
    }
    let rank = |limit: f64| match rank_of(limit, h, &buckets) {
        Some(rank) if rank > count => count,
        Some(rank) => rank,
        None => count,
    };
    (rank(upper) - rank(lower)) / h.count
}

/// How many observations lie below `limit`; `None` when it is beyond all buckets.
fn rank_of(limit: f64, h: &Histogram, buckets: &[Bucket]) -> Option<f64> {
    let mut rank = 0.0;
    for bucket in buckets {
        let mut bucket = *bucket;
        let is_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if is_zero {
            narrowed_zero(h, &mut bucket);
        }
        if bucket.lower >= limit {
            return Some(rank);
        }
        if bucket.upper > limit {
            let is_linear = h.uses_custom_buckets() || is_zero;
            if is_linear && bucket.lower == f64::NEG_INFINITY {
                return Some(bucket.count);
            }
            return Some(rank + bucket.count * bucket.share_below(limit, is_linear));
        }
        rank += bucket.count;
    }
    None
}

/// Population variance, each bucket's observations at its middle.
pub(crate) fn variance(h: &Histogram) -> f64 {
    let mean = h.sum / h.count;
    let mut sum = Sum::default();
    for bucket in h.buckets().iter().filter(|bucket| bucket.count != 0.0) {
        let middle = if h.uses_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = middle - mean;
        sum = sum.add(bucket.count * delta * delta);
    }
    sum.total() / h.count
}
