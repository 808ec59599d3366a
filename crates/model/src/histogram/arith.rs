//! Sums, differences and multiples of histograms whose layouts may differ.
//!
//! Two exponential histograms meet at the coarser schema and at a zero bucket that no populated bucket of either straddles;
//! two custom ones at the bounds that both have. Exponential and custom ones do not meet. Source of the rules: Prometheus 3.14.

use std::sync::Arc;

use super::bounds::exponential;
use super::buckets::{indexed, reduced, spanned};
use super::{Histogram, ResetHint, Span};
use crate::Sum;

/// Exponential and custom buckets have nothing in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("histograms with exponential and custom buckets cannot be combined")]
pub struct IncompatibleBuckets;

/// What had to be given up for two histograms to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct Reconciled {
    /// One said that the counter began anew, and the other that it did not.
    pub resets_collide: bool,
    /// The bounds of custom buckets differed.
    pub bounds_differ: bool,
}

/// A histogram under addition, optionally with what rounding loses.
#[derive(Debug, Clone)]
pub struct HistogramSum {
    keeps_lost: bool,
    reset_hint: ResetHint,
    schema: i32,
    custom_bounds: Arc<[f64]>,
    zero_threshold: f64,
    zero: Sum,
    count: Sum,
    sum: Sum,
    positive: Vec<(i32, Sum)>,
    negative: Vec<(i32, Sum)>,
}

/// Adds to what `keeps_lost` says.
fn plus(keeps_lost: bool, sum: Sum, value: f64) -> Sum {
    if keeps_lost { sum.add(value) } else { Sum { sum: sum.sum + value, ..sum } }
}

impl HistogramSum {
    /// A sum of one, exact beyond rounding.
    #[must_use]
    pub fn new(first: &Histogram) -> Self {
        Self::with(first, true)
    }

    fn with(first: &Histogram, keeps_lost: bool) -> Self {
        let sums = |list: &mut dyn Iterator<Item = (i32, f64)>| list.map(|(i, c)| (i, Sum::of(c))).collect();
        Self {
            keeps_lost,
            reset_hint: first.reset_hint,
            schema: first.schema,
            custom_bounds: Arc::clone(&first.custom_bounds),
            zero_threshold: first.zero_threshold,
            zero: Sum::of(first.zero_count),
            count: Sum::of(first.count),
            sum: Sum::of(first.sum),
            positive: sums(&mut first.positives()),
            negative: sums(&mut first.negatives()),
        }
    }

    /// With one more.
    ///
    /// # Errors
    /// When one has exponential and the other custom buckets; the sum is then unchanged.
    pub fn add(&mut self, other: &Histogram) -> Result<Reconciled, IncompatibleBuckets> {
        self.combine(other, 1.0)
    }

    /// `self` += `sign` · `other`.
    fn combine(&mut self, other: &Histogram, sign: f64) -> Result<Reconciled, IncompatibleBuckets> {
        let is_custom = self.schema == super::CUSTOM_BUCKETS_SCHEMA;
        if is_custom != other.uses_custom_buckets() {
            return Err(IncompatibleBuckets);
        }
        let (hint, resets_collide) = joined_hint(self.reset_hint, other.reset_hint);
        self.reset_hint = hint;
        let keeps_lost = self.keeps_lost;
        if !is_custom {
            let other_zero = self.meet_at_zero(other);
            self.zero = plus(keeps_lost, self.zero, sign * other_zero.sum);
            if keeps_lost {
                self.zero = self.zero.add(sign * other_zero.lost);
            }
        }
        self.count = plus(keeps_lost, self.count, sign * other.count);
        self.sum = plus(keeps_lost, self.sum, sign * other.sum);
        if is_custom && self.custom_bounds != other.custom_bounds {
            self.meet_at_common_bounds(other, sign);
            return Ok(Reconciled { resets_collide, bounds_differ: true });
        }
        self.meet_at_schema(other, sign);
        Ok(Reconciled { resets_collide, bounds_differ: false })
    }

    /// Widens the zero bucket until both have the same; the other's count within it.
    fn meet_at_zero(&mut self, other: &Histogram) -> Sum {
        let mut other_zero = Sum::of(other.zero_count);
        let mut other_threshold = other.zero_threshold;
        // Comparisons with NaN end the loop, too.
        while self.zero_threshold > other_threshold || other_threshold > self.zero_threshold {
            if self.zero_threshold > other_threshold {
                let lists = Lists::of(other);
                (other_zero, other_threshold) = lists.zero_up_to(self.zero_threshold, true);
            }
            if other_threshold > self.zero_threshold {
                let lists = Lists {
                    schema: self.schema,
                    zero: self.zero,
                    threshold: self.zero_threshold,
                    positive: std::mem::take(&mut self.positive),
                    negative: std::mem::take(&mut self.negative),
                };
                (self.zero, self.zero_threshold) = lists.zero_up_to(other_threshold, self.keeps_lost);
                (self.positive, self.negative) = (lists.positive, lists.negative);
                let (schema, threshold) = (self.schema, self.zero_threshold);
                let is_outside =
                    |bucket: &(i32, Sum)| exponential(bucket.0.wrapping_sub(1), schema) >= threshold;
                self.positive.retain(is_outside);
                self.negative.retain(is_outside);
            }
        }
        other_zero
    }

    fn meet_at_schema(&mut self, other: &Histogram, sign: f64) {
        let keeps_lost = self.keeps_lost;
        let add = |a: Sum, b: Sum| {
            let sum = plus(keeps_lost, a, b.sum);
            if keeps_lost { sum.add(b.lost) } else { sum }
        };
        if other.schema < self.schema {
            for list in [&mut self.positive, &mut self.negative] {
                *list = reduced(std::mem::take(list).into_iter(), self.schema, other.schema, add);
            }
            self.schema = other.schema;
        }
        let (schema, threshold) = (other.schema, self.zero_threshold);
        // What lies within the wider zero bucket has been counted there, however coarse the buckets become.
        let is_in_zero = |index: i32| {
            schema != super::CUSTOM_BUCKETS_SCHEMA
                && threshold > 0.0
                && exponential(index, schema) <= threshold
        };
        let sides = [
            (&mut self.positive, &other.positive_spans, &other.positive_buckets),
            (&mut self.negative, &other.negative_spans, &other.negative_buckets),
        ];
        for (list, spans, counts) in sides {
            let outside = indexed(spans, counts).skip_while(|(index, _)| is_in_zero(*index));
            let sums = outside.map(|(index, count)| (index, Sum::of(sign * count)));
            if other.schema > self.schema {
                add_list(list, reduced(sums, other.schema, self.schema, add).into_iter(), add);
            } else {
                add_list(list, sums, add);
            }
        }
    }

    fn meet_at_common_bounds(&mut self, other: &Histogram, sign: f64) {
        let common = intersection(&self.custom_bounds, &other.custom_bounds);
        let mut sums = vec![Sum::default(); common.len() + 1];
        for (index, value) in &self.positive {
            let at = &mut sums[mapped(*index, &self.custom_bounds, &common)];
            *at = at.add(value.sum);
            if self.keeps_lost {
                *at = at.add(value.lost);
            }
        }
        for (index, count) in other.positives() {
            let at = &mut sums[mapped(index, &other.custom_bounds, &common)];
            *at = at.add(sign * count);
        }
        if !self.keeps_lost {
            sums.iter_mut().for_each(|sum| sum.lost = 0.0);
        }
        let populated = |(_, sum): &(i32, Sum)| sum.sum != 0.0 || sum.lost != 0.0;
        self.positive = (0..).zip(sums).filter(populated).collect();
        self.custom_bounds = common.into();
    }

    fn each(&mut self, f: impl Fn(f64) -> f64) {
        let lists = self.positive.iter_mut().chain(&mut self.negative).map(|(_, sum)| sum);
        for sum in lists.chain([&mut self.zero, &mut self.count, &mut self.sum]) {
            *sum = Sum { sum: f(sum.sum), lost: f(sum.lost) };
        }
    }

    /// Every count times `factor`.
    pub fn multiply(&mut self, factor: f64) {
        self.each(|value| value * factor);
    }

    /// Every count divided by `divisor`.
    pub fn divide(&mut self, divisor: f64) {
        self.each(|value| value / divisor);
    }

    /// Whether any count is infinite.
    #[must_use]
    pub fn has_overflow(&self) -> bool {
        let lists = self.positive.iter().chain(&self.negative).map(|(_, sum)| sum);
        lists.chain([&self.zero, &self.count, &self.sum]).any(|sum| sum.sum.is_infinite())
    }

    /// The histogram, with what rounding had lost.
    #[must_use]
    pub fn finish(self) -> Histogram {
        let total = |sum: Sum| if self.keeps_lost { sum.total() } else { sum.sum };
        let (positive_spans, positive_buckets) =
            spanned(self.positive.into_iter().map(|(i, sum)| (i, total(sum))));
        let (negative_spans, negative_buckets) =
            spanned(self.negative.into_iter().map(|(i, sum)| (i, total(sum))));
        Histogram {
            is_integer: false,
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: total(self.zero),
            count: total(self.count),
            sum: total(self.sum),
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            custom_bounds: self.custom_bounds,
        }
    }
}

/// Adds `other` to `list`, both by rising index.
fn add_list(
    list: &mut Vec<(i32, Sum)>,
    other: impl Iterator<Item = (i32, Sum)>,
    add: impl Fn(Sum, Sum) -> Sum,
) {
    let mut at = 0;
    for (index, value) in other {
        while list.get(at).is_some_and(|(known, _)| *known < index) {
            at += 1;
        }
        match list.get_mut(at) {
            Some((known, sum)) if *known == index => *sum = add(*sum, value),
            _ => list.insert(at, (index, value)),
        }
    }
}

/// What is needed to widen a zero bucket.
struct Lists {
    schema: i32,
    zero: Sum,
    threshold: f64,
    positive: Vec<(i32, Sum)>,
    negative: Vec<(i32, Sum)>,
}

impl Lists {
    fn of(h: &Histogram) -> Self {
        let sums = |list: &mut dyn Iterator<Item = (i32, f64)>| list.map(|(i, c)| (i, Sum::of(c))).collect();
        Self {
            schema: h.schema,
            zero: Sum::of(h.zero_count),
            threshold: h.zero_threshold,
            positive: sums(&mut h.positives()),
            negative: sums(&mut h.negatives()),
        }
    }

    /// The zero count that a zero bucket of at least `threshold` has, and how wide it must be so that no populated
    /// bucket is partly inside.
    fn zero_up_to(&self, mut threshold: f64, keeps_lost: bool) -> (Sum, f64) {
        if threshold <= self.threshold {
            return (self.zero, self.threshold);
        }
        'widen: loop {
            let mut zero = self.zero;
            for (list, is_first) in [(&self.positive, true), (&self.negative, false)] {
                for (index, value) in list {
                    if exponential(index.wrapping_sub(1), self.schema) >= threshold {
                        break;
                    }
                    zero = zero.add(value.sum);
                    if keeps_lost {
                        zero = zero.add(value.lost);
                    }
                    let upper = exponential(*index, self.schema);
                    if upper > threshold {
                        if value.sum != 0.0 {
                            threshold = upper;
                            if !is_first {
                                // The other side must be gone through again.
                                continue 'widen;
                            }
                        }
                        break;
                    }
                }
            }
            return (zero, threshold);
        }
    }
}

/// The zero count of `h` with a zero bucket of at least `threshold`, and how wide it must be.
pub(super) fn zero_count_up_to(threshold: f64, h: &Histogram) -> (f64, f64) {
    if threshold == h.zero_threshold {
        return (h.zero_count, threshold);
    }
    let (zero, threshold) = Lists::of(h).zero_up_to(threshold, false);
    (zero.sum, threshold)
}

/// What is known of the sum's counter, and whether the two contradict each other.
fn joined_hint(a: ResetHint, b: ResetHint) -> (ResetHint, bool) {
    match (a, b) {
        (a, b) if a == b => (a, false),
        (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => (ResetHint::Gauge, false),
        (ResetHint::Unknown, _) | (_, ResetHint::Unknown) => (ResetHint::Unknown, false),
        _ => (ResetHint::Unknown, true),
    }
}

/// The bounds that both have; both rise.
pub(super) fn intersection(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut common = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x == y {
            common.push(*x);
            i += 1;
            j += 1;
        } else if x < y {
            i += 1;
        } else {
            j += 1;
        }
    }
    common
}

/// Where the bucket `index` of `bounds` falls among buckets that end at `common`.
pub(super) fn mapped(index: i32, bounds: &[f64], common: &[f64]) -> usize {
    match usize::try_from(index).ok().and_then(|index| bounds.get(index)) {
        Some(bound) => common.partition_point(|c| c < bound),
        None => common.len(),
    }
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    fn same(a: (&[Span], &[f64]), b: (&[Span], &[f64])) -> bool {
        a.0 == b.0 && a.1.len() == b.1.len()
    }
    a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && (!a.uses_custom_buckets() || a.custom_bounds == b.custom_bounds)
        && same((&a.positive_spans, &a.positive_buckets), (&b.positive_spans, &b.positive_buckets))
        && same((&a.negative_spans, &a.negative_buckets), (&b.negative_spans, &b.negative_buckets))
}

impl Histogram {
    /// `self` += `other`. Empty buckets stay.
    ///
    /// # Errors
    /// When one has exponential and the other custom buckets; `self` is then unchanged.
    pub fn add(&mut self, other: &Self) -> Result<Reconciled, IncompatibleBuckets> {
        self.combine(other, 1.0)
    }

    /// `self` −= `other`. Empty buckets stay.
    ///
    /// # Errors
    /// As [`Histogram::add`].
    pub fn subtract(&mut self, other: &Self) -> Result<Reconciled, IncompatibleBuckets> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<Reconciled, IncompatibleBuckets> {
        self.is_integer = false;
        if !same_layout(self, other) || other.reaches_into_zero() {
            let mut sum = HistogramSum::with(self, false);
            let reconciled = sum.combine(other, sign)?;
            *self = sum.finish();
            return Ok(reconciled);
        }
        let (hint, resets_collide) = joined_hint(self.reset_hint, other.reset_hint);
        self.reset_hint = hint;
        self.zero_count += sign * other.zero_count;
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        let positive = self.positive_buckets.iter_mut().zip(&other.positive_buckets);
        let negative = self.negative_buckets.iter_mut().zip(&other.negative_buckets);
        positive.chain(negative).for_each(|(own, other)| *own += sign * other);
        Ok(Reconciled { resets_collide, bounds_differ: false })
    }

    /// Whether a bucket lies within the zero bucket: bounds rise, so that the first of each side tells.
    fn reaches_into_zero(&self) -> bool {
        let is_in_zero = |first: Option<(i32, f64)>| {
            first.is_some_and(|(index, _)| exponential(index, self.schema) <= self.zero_threshold)
        };
        self.zero_threshold > 0.0
            && !self.uses_custom_buckets()
            && (is_in_zero(self.positives().next()) || is_in_zero(self.negatives().next()))
    }

    fn each(&mut self, f: impl Fn(f64) -> f64) {
        self.is_integer = false;
        let lists = self.positive_buckets.iter_mut().chain(&mut self.negative_buckets);
        lists.chain([&mut self.zero_count, &mut self.count, &mut self.sum]).for_each(|v| *v = f(*v));
    }

    /// Every count times `factor`; a negative one makes a gauge.
    pub fn multiply(&mut self, factor: f64) {
        self.each(|value| value * factor);
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Every count divided by `divisor`; a negative one makes a gauge. Zero leaves no buckets.
    pub fn divide(&mut self, divisor: f64) {
        self.each(|value| value / divisor);
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.negative_spans.clear();
            self.positive_buckets.clear();
            self.negative_buckets.clear();
        } else if divisor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// The same at the coarser schema `schema`; unchanged when that is not coarser or buckets are custom.
    #[must_use]
    pub fn at_schema(&self, schema: i32) -> Self {
        let mut h = self.clone();
        if self.uses_custom_buckets() || schema >= self.schema {
            return h;
        }
        let merged =
            |list: &mut dyn Iterator<Item = (i32, f64)>| reduced(list, self.schema, schema, |a, b| a + b);
        (h.positive_spans, h.positive_buckets) = spanned(merged(&mut self.positives()));
        (h.negative_spans, h.negative_buckets) = spanned(merged(&mut self.negatives()));
        h.schema = schema;
        h.reset_hint = ResetHint::Unknown;
        h
    }
}
