//! Whether a counter began anew between two histograms.

use super::arith::{intersection, mapped, zero_count_up_to};
use super::bounds::exponential;
use super::buckets::{indexed, reduced};
use super::{Histogram, ResetHint, Span};
use crate::Sum;

impl Histogram {
    /// Whether the counter began anew after `previous`: what the hint says, or else whether any count fell or any
    /// resolution rose.
    #[must_use]
    pub fn is_reset_after(&self, previous: &Self) -> bool {
        match self.reset_hint {
            ResetHint::Reset => true,
            ResetHint::NotReset => false,
            ResetHint::Unknown | ResetHint::Gauge => self.fell_since(previous),
        }
    }

    /// As [`Histogram::is_reset_after`], whatever the hint says.
    #[must_use]
    pub fn fell_since(&self, previous: &Self) -> bool {
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() != previous.uses_custom_buckets() {
            return true;
        }
        if self.uses_custom_buckets() {
            return self.custom_fell_since(previous);
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (previous_zero, threshold) = zero_count_up_to(self.zero_threshold, previous);
        // A bucket that is partly inside the wider zero bucket.
        if threshold != self.zero_threshold || self.zero_count < previous_zero {
            return true;
        }
        if previous.schema == self.schema {
            return self.side_fell(previous, |h| (&h.positive_spans, &h.positive_buckets))
                || self.side_fell(previous, |h| (&h.negative_spans, &h.negative_buckets));
        }
        let beyond_zero = |list: &(i32, f64)| exponential(list.0, previous.schema) > self.zero_threshold;
        let coarse = |list: &mut dyn Iterator<Item = (i32, f64)>| {
            reduced(list.filter(beyond_zero), previous.schema, self.schema, |a, b| a + b).into_iter()
        };
        any_fell(self.positives(), coarse(&mut previous.positives()))
            || any_fell(self.negatives(), coarse(&mut previous.negatives()))
    }

    /// Whether a bucket of one side counts less than in `previous`, which has the same schema.
    fn side_fell(&self, previous: &Self, side: impl Fn(&Self) -> (&[Span], &[f64])) -> bool {
        let ((spans, counts), (spans_before, counts_before)) = (side(self), side(previous));
        let is_beyond_zero = |(index, _): &(i32, f64)| exponential(*index, self.schema) > self.zero_threshold;
        // Bounds rise, so that mostly the first bucket says it for all.
        let before = || indexed(spans_before, counts_before);
        let n_in_zero = before().position(|bucket| is_beyond_zero(&bucket)).unwrap_or(counts_before.len());
        if spans == spans_before && counts.len() == counts_before.len() {
            let pairs = counts.iter().zip(counts_before).skip(n_in_zero);
            // All of them, since that goes several at a time.
            return pairs.fold(false, |fell, (now, before)| fell | (now < before));
        }
        any_fell(indexed(spans, counts), before().skip(n_in_zero))
    }

    fn custom_fell_since(&self, previous: &Self) -> bool {
        if self.custom_bounds == previous.custom_bounds {
            return any_fell(self.positives(), previous.positives());
        }
        let common = intersection(&self.custom_bounds, &previous.custom_bounds);
        let counts = |h: &Self| {
            let mut counts = vec![Sum::default(); common.len() + 1];
            for (index, count) in h.positives() {
                let count_at = &mut counts[mapped(index, &h.custom_bounds, &common)];
                count_at.sum += count;
            }
            counts
        };
        counts(self).iter().zip(counts(previous)).any(|(now, before)| now.sum < before.sum)
    }
}

/// Whether any bucket counts less than before, or is gone although it had counted.
fn any_fell(now: impl Iterator<Item = (i32, f64)>, before: impl Iterator<Item = (i32, f64)>) -> bool {
    let mut now = now.peekable();
    for (index, count_before) in before {
        while now.next_if(|(at, _)| *at < index).is_some() {}
        let fell = match now.peek() {
            Some((at, count)) if *at == index => *count < count_before,
            _ => count_before != 0.0,
        };
        if fell {
            return true;
        }
    }
    false
}
