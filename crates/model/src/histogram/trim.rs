//! Histograms without what lies above or below a value (`</` and `>/`).
//!
//! The bucket around the value is split as quantiles split it: on a logarithmic scale, or linearly for custom buckets and the
//! zero bucket. The new sum is estimated from the middles of the buckets. Source of the rules: Prometheus 3.14.

use super::{Bucket, Histogram};

/// Which observations stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Below,
    Above,
}

/// What stays of a bucket: observations, and where they lie on average.
#[derive(Debug, Clone, Copy)]
struct Kept {
    count: f64,
    middle: f64,
}

#[derive(Debug, Clone, Copy)]
struct Trim {
    limit: f64,
    keep: Keep,
    is_custom: bool,
}

fn finite_or_zero(value: f64) -> f64 {
    if value.is_infinite() { 0.0 } else { value }
}

impl Trim {
    /// Where observations between two bounds lie on average.
    fn middle(&self, lower: f64, upper: f64, is_positive: bool) -> f64 {
        match (lower.is_infinite(), upper.is_infinite()) {
            (true, true) => 0.0,
            (true, false) if upper > 0.0 => upper / 2.0,
            (true, false) => upper,
            (false, true) => lower,
            (false, false) if self.is_custom => (lower + upper) / 2.0,
            (false, false) => {
                let mean = (lower * upper).abs().sqrt();
                if is_positive { mean } else { -mean }
            }
        }
    }

    /// What stays of a bucket that is not the zero bucket.
    fn apply(&self, bucket: &Bucket, is_positive: bool) -> Kept {
        let Self { limit, keep, .. } = *self;
        let stays_whole = match keep {
            Keep::Below => bucket.upper <= limit,
            Keep::Above => bucket.lower >= limit,
        };
        if stays_whole {
            let middle = self.middle(bucket.lower, bucket.upper, is_positive);
            return Kept { count: bucket.count, middle };
        }
        let is_split = match keep {
            Keep::Below => bucket.lower < limit,
            Keep::Above => bucket.upper > limit,
        };
        if !is_split {
            return Kept { count: 0.0, middle: 0.0 };
        }
        if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
            return self.split_endless(bucket);
        }
        let below = bucket.count * bucket.share_below(limit, self.is_custom);
        match keep {
            Keep::Below => Kept { count: below, middle: self.middle(bucket.lower, limit, is_positive) },
            Keep::Above => {
                Kept { count: bucket.count - below, middle: self.middle(limit, bucket.upper, is_positive) }
            }
        }
    }

    /// A bucket without end on one side: nothing is known of where its observations are, unless it may be taken to begin at 0.
    fn split_endless(&self, bucket: &Bucket) -> Kept {
        let Self { limit, keep, .. } = *self;
        let whole = |middle: f64| Kept { count: bucket.count, middle };
        let gone = |bound: f64| Kept { count: 0.0, middle: finite_or_zero(bound) };
        let Bucket { lower, upper, count, .. } = *bucket;
        if lower == f64::NEG_INFINITY {
            let begins_at_zero = upper > 0.0 && upper.is_finite();
            return match keep {
                Keep::Below if limit > 0.0 && begins_at_zero => {
                    Kept { count: count * limit / upper, middle: limit / 2.0 }
                }
                Keep::Below if upper <= 0.0 => whole(limit),
                Keep::Above if limit >= 0.0 && begins_at_zero => {
                    Kept { count: count * (1.0 - limit / upper), middle: (limit + upper) / 2.0 }
                }
                _ => gone(upper),
            };
        }
        match keep {
            Keep::Above if limit >= lower => whole(limit),
            _ => gone(lower),
        }
    }

    /// What stays of the zero bucket, which reaches to zero only when there is nothing on the other side.
    fn apply_zero(&self, bucket: &Bucket, has_negative: bool, has_positive: bool) -> Kept {
        let limit = self.limit;
        let lower = if has_positive && !has_negative { 0.0 } else { bucket.lower };
        let upper = if has_negative && !has_positive { 0.0 } else { bucket.upper };
        let (whole, nothing) =
            (Kept { count: bucket.count, middle: (lower + upper) / 2.0 }, Kept { count: 0.0, middle: 0.0 });
        match self.keep {
            Keep::Below if limit <= lower => nothing,
            Keep::Below if limit >= upper => whole,
            Keep::Below => Kept {
                count: bucket.count * ((limit - lower) / (upper - lower)),
                middle: (lower + limit) / 2.0,
            },
            Keep::Above if limit <= lower => whole,
            Keep::Above if limit >= upper => nothing,
            Keep::Above => Kept {
                count: bucket.count * ((upper - limit) / (upper - lower)),
                middle: (limit + upper) / 2.0,
            },
        }
    }
}

impl Bucket {
    /// The share of the bucket's width below `limit`, which lies between its finite bounds: on a logarithmic scale, or linearly.
    #[must_use]
    pub fn share_below(&self, limit: f64, is_linear: bool) -> f64 {
        if is_linear {
            return (limit - self.lower) / (self.upper - self.lower);
        }
        let (low, high) = (self.lower.abs().log2(), self.upper.abs().log2());
        let at = limit.abs().log2();
        if limit > 0.0 { (at - low) / (high - low) } else { 1.0 - (at - high) / (low - high) }
    }
}

impl Histogram {
    /// Drops observations above `limit`.
    pub fn trim_above(&mut self, limit: f64) {
        self.trim(Trim { limit, keep: Keep::Below, is_custom: self.uses_custom_buckets() });
    }

    /// Drops observations below `limit`.
    pub fn trim_below(&mut self, limit: f64) {
        self.trim(Trim { limit, keep: Keep::Above, is_custom: self.uses_custom_buckets() });
    }

    fn trim(&mut self, trim: Trim) {
        let (mut count, mut sum) = (0.0, 0.0);
        let mut changed = false;
        let mut side = |h: &Self, list: Vec<(i32, f64)>, mirrored: bool| -> (Vec<f64>, bool) {
            let mut has_any = false;
            let kept = list.into_iter().map(|(index, old)| {
                if old == 0.0 {
                    return old;
                }
                has_any = true;
                let kept = trim.apply(&h.bucket(index, old, mirrored), !mirrored);
                changed |= kept.count != old;
                count += kept.count;
                sum += kept.middle * kept.count;
                kept.count
            });
            (kept.collect(), has_any)
        };
        let (positive, has_positive) = side(self, self.positives().collect(), false);
        let (negative, has_negative) = side(self, self.negatives().collect(), true);
        (self.positive_buckets, self.negative_buckets) = (positive, negative);
        if self.zero_count > 0.0 {
            let kept = trim.apply_zero(&self.zero_bucket(), has_negative, has_positive);
            changed |= kept.count != self.zero_count;
            count += kept.count;
            sum += kept.middle * kept.count;
            self.zero_count = kept.count;
        }
        if changed {
            self.is_integer = false;
            (self.count, self.sum) = (count, sum);
            self.compact();
        }
    }
}
