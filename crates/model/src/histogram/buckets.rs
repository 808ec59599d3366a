//! Buckets one by one, with their bounds; spans to indexes and back.

use super::bounds::{coarser, upper_bound};
use super::{CUSTOM_BUCKETS_SCHEMA, Histogram, ResetHint, Span};

/// A bucket: observations between two bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether an observation of `lower` is counted here.
    pub has_lower: bool,
    /// Whether an observation of `upper` is counted here.
    pub has_upper: bool,
    /// Observations.
    pub count: f64,
}

/// Index and count of each bucket, by rising index.
pub(super) fn indexed<'a>(spans: &'a [Span], buckets: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next = 0i32;
    let indexes = spans.iter().flat_map(move |span| {
        let first = next.wrapping_add(span.offset);
        next = first.wrapping_add(span.length as i32);
        (0..span.length).map(move |n| first.wrapping_add(n as i32))
    });
    indexes.zip(buckets.iter().copied())
}

/// Spans and counts of buckets with rising indexes.
pub(super) fn spanned(list: impl IntoIterator<Item = (i32, f64)>) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut counts): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut next = 0i32;
    for (index, count) in list {
        let gap = index.wrapping_sub(next);
        match spans.last_mut() {
            Some(last) if gap == 0 => last.length += 1,
            _ => spans.push(Span { offset: gap, length: 1 }),
        }
        counts.push(count);
        next = index.wrapping_add(1);
    }
    (spans, counts)
}

/// Merges neighbours of a fine schema into the buckets of a coarser one.
pub(super) fn reduced<T: Copy>(
    list: impl Iterator<Item = (i32, T)>,
    from: i32,
    to: i32,
    add: impl Fn(T, T) -> T,
) -> Vec<(i32, T)> {
    let mut merged: Vec<(i32, T)> = Vec::new();
    for (index, value) in list {
        let index = coarser(index, from, to);
        match merged.last_mut() {
            Some((last, sum)) if *last == index => *sum = add(*sum, value),
            _ => merged.push((index, value)),
        }
    }
    merged
}

fn is_without_empty(spans: &[Span], buckets: &[f64]) -> bool {
    let has_gaps = spans.iter().enumerate().all(|(n, span)| span.length > 0 && (n == 0 || span.offset > 0));
    has_gaps && buckets.iter().all(|count| *count != 0.0)
}

impl Histogram {
    /// Whether its bounds are listed (NHCB) rather than exponential.
    #[must_use]
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Index and count of each positive bucket, by rising index.
    pub(super) fn positives(&self) -> impl Iterator<Item = (i32, f64)> + '_ {
        indexed(&self.positive_spans, &self.positive_buckets)
    }

    /// Index and count of each negative bucket, away from zero.
    pub(super) fn negatives(&self) -> impl Iterator<Item = (i32, f64)> + '_ {
        indexed(&self.negative_spans, &self.negative_buckets)
    }

    pub(super) fn upper_bound(&self, index: i32) -> f64 {
        upper_bound(index, self.schema, &self.custom_bounds)
    }

    /// The positive bucket `index`; `mirrored` the negative one.
    pub(super) fn bucket(&self, index: i32, count: f64, mirrored: bool) -> Bucket {
        let (inner, outer) = (self.upper_bound(index.wrapping_sub(1)), self.upper_bound(index));
        let (lower, upper) = if mirrored { (-outer, -inner) } else { (inner, outer) };
        if self.uses_custom_buckets() {
            return Bucket { lower, upper, has_lower: index == 0, has_upper: true, count };
        }
        Bucket { lower, upper, has_lower: lower < 0.0, has_upper: upper > 0.0, count }
    }

    /// The bucket around zero.
    #[must_use]
    pub fn zero_bucket(&self) -> Bucket {
        let width = self.zero_threshold;
        Bucket { lower: -width, upper: width, has_lower: true, has_upper: true, count: self.zero_count }
    }

    /// All buckets by rising bounds, empty ones that are stored included; the zero bucket only where it counted
    /// something. Buckets that reach into the zero bucket begin after it.
    #[must_use]
    pub fn buckets(&self) -> Vec<Bucket> {
        let width = self.zero_threshold;
        let mut all = Vec::with_capacity(self.positive_buckets.len() + self.negative_buckets.len() + 1);
        all.extend(self.negatives().map(|(index, count)| {
            let mut bucket = self.bucket(index, count, true);
            if bucket.upper < 0.0 && bucket.upper > -width {
                bucket.upper = -width;
            }
            bucket
        }));
        all.reverse();
        if self.zero_count > 0.0 {
            all.push(self.zero_bucket());
        }
        all.extend(self.positives().map(|(index, count)| {
            let mut bucket = self.bucket(index, count, false);
            if bucket.lower > 0.0 && bucket.lower < width {
                bucket.lower = width;
            }
            bucket
        }));
        all
    }

    /// Bounds of custom buckets, rising, each with the observations up to it. The bucket beyond the last has none.
    #[must_use]
    pub fn cumulative(&self) -> Vec<(f64, f64)> {
        let mut counts = vec![0.0; self.custom_bounds.len()];
        let (mut at, mut buckets) = (0i64, self.positive_buckets.iter());
        for span in &self.positive_spans {
            at += i64::from(span.offset);
            for count in buckets.by_ref().take(span.length as usize) {
                if let Some(here) = usize::try_from(at).ok().and_then(|at| counts.get_mut(at)) {
                    *here += count;
                }
                at += 1;
            }
        }
        let mut below = 0.0;
        let summed = counts.into_iter().map(|count| {
            below += count;
            below
        });
        self.custom_bounds.iter().copied().zip(summed).collect()
    }

    /// Drops empty buckets.
    pub fn compact(&mut self) {
        if !is_without_empty(&self.positive_spans, &self.positive_buckets) {
            let list = self.positives().filter(|(_, count)| *count != 0.0);
            (self.positive_spans, self.positive_buckets) = spanned(list);
        }
        if !is_without_empty(&self.negative_spans, &self.negative_buckets) {
            let list = self.negatives().filter(|(_, count)| *count != 0.0);
            (self.negative_spans, self.negative_buckets) = spanned(list);
        }
    }

    /// Whether both count the same, bit for bit, whatever empty buckets they store.
    #[must_use]
    pub fn is_same_data(&self, other: &Self) -> bool {
        let same_bits = |a: f64, b: f64| a.to_bits() == b.to_bits();
        fn populated(list: impl Iterator<Item = (i32, f64)>) -> impl Iterator<Item = (i32, u64)> {
            list.filter(|(_, count)| *count != 0.0).map(|(index, count)| (index, count.to_bits()))
        }
        self.schema == other.schema
            && same_bits(self.count, other.count)
            && same_bits(self.sum, other.sum)
            && (!self.uses_custom_buckets() || self.custom_bounds == other.custom_bounds)
            && self.zero_threshold == other.zero_threshold
            && same_bits(self.zero_count, other.zero_count)
            && populated(self.positives()).eq(populated(other.positives()))
            && populated(self.negatives()).eq(populated(other.negatives()))
    }

    /// Count, sum and schema alone, for readers that need no buckets.
    #[must_use]
    pub fn without_buckets(&self, reset_hint: ResetHint) -> Self {
        Self { reset_hint, schema: self.schema, count: self.count, sum: self.sum, ..Self::default() }
    }
}
