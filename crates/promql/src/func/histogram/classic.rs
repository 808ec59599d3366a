//! Classic histograms: quantiles and fractions of cumulative buckets.

use crate::func::sum::nan_first;

/// One cumulative bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    pub(crate) bound: f64,
    pub(crate) count: f64,
}

/// Differences up to this share are taken for rounding. From upstream's `quantile.go`.
const TOLERANCE: f64 = 1e-12;

/// What had to be changed so that counts rise: least and greatest bound, greatest difference.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repaired {
    pub(crate) bound_min: f64,
    pub(crate) bound_max: f64,
    pub(crate) diff_max: f64,
}

/// Sorts by bound and adds up buckets with the same bound; `None` unless the last bound is `+Inf`.
fn ordered(mut buckets: Vec<Bucket>) -> Option<Vec<Bucket>> {
    buckets.sort_by(|a, b| nan_first(a.bound, b.bound));
    if buckets.last()?.bound != f64::INFINITY {
        return None;
    }
    buckets.dedup_by(|later, earlier| {
        let same = later.bound == earlier.bound;
        if same {
            earlier.count += later.count;
        }
        same
    });
    Some(buckets)
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a == b {
        return true;
    }
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < TOLERANCE * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < TOLERANCE
}

/// Makes counts rise; says what it changed beyond rounding.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Repaired> {
    let mut repaired: Option<Repaired> = None;
    let mut previous = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if almost_equal(previous, count) {
            bucket.count = previous;
        } else if count < previous {
            bucket.count = previous;
            let known = repaired.get_or_insert(Repaired {
                bound_min: f64::INFINITY,
                bound_max: f64::NEG_INFINITY,
                diff_max: 0.0,
            });
            known.bound_min = known.bound_min.min(bucket.bound);
            known.bound_max = known.bound_max.max(bucket.bound);
            known.diff_max = known.diff_max.max(previous - count);
        } else {
            previous = count;
        }
    }
    repaired
}

/// The `q` quantile, linear within its bucket.
pub(crate) fn quantile(q: f64, buckets: Vec<Bucket>) -> (f64, Option<Repaired>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    let Some(mut buckets) = ordered(buckets) else {
        return (f64::NAN, None);
    };
    let repaired = make_monotonic(&mut buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, repaired);
    }
    let mut rank = q * observations;
    // A binary search, as upstream: with NaN counts the answer depends on it.
    let idx = first_true(last, |i| buckets[i].count >= rank);
    if idx == last {
        return (buckets[last - 1].bound, repaired);
    }
    if idx == 0 && buckets[0].bound <= 0.0 {
        return (buckets[0].bound, repaired);
    }
    let (mut start, end, mut count) = (0.0, buckets[idx].bound, buckets[idx].count);
    if idx > 0 {
        start = buckets[idx - 1].bound;
        count -= buckets[idx - 1].count;
        rank -= buckets[idx - 1].count;
    }
    (start + (end - start) * (rank / count), repaired)
}

fn first_true(n: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The share of observations between `lower` and `upper`, linear within buckets.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: Vec<Bucket>) -> f64 {
    let Some(buckets) = ordered(buckets) else {
        return f64::NAN;
    };
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank =
        |limit: f64| rank_of(limit, &buckets).map_or(count, |rank| if rank > count { count } else { rank });
    (rank(upper) - rank(lower)) / count
}

/// How many observations lie below `limit`; `None` when it is beyond all buckets.
fn rank_of(limit: f64, buckets: &[Bucket]) -> Option<f64> {
    let mut rank = 0.0;
    let mut low = if buckets[0].bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for bucket in buckets {
        if low >= limit {
            return Some(rank);
        }
        if bucket.bound > limit {
            if low == f64::NEG_INFINITY {
                return Some(bucket.count);
            }
            return Some(rank + (bucket.count - rank) * (limit - low) / (bucket.bound - low));
        }
        rank = bucket.count;
        low = bucket.bound;
    }
    None
}
