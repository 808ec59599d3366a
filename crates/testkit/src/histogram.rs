//! Classic histograms: series of buckets to native histograms with custom buckets.

use model::Histogram;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};

fn span(offset: i32, buckets: &[f64]) -> Vec<Span> {
    if buckets.is_empty() {
        return Vec::new();
    }
    vec![Span { offset, length: buckets.len() as u32 }]
}

/// A classic histogram at one time, as its series give it.
#[derive(Debug, Default)]
pub(crate) struct Classic {
    /// Bound and cumulative count, by rising bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

impl Classic {
    pub(crate) fn set_bucket(&mut self, bound: f64, count: f64) {
        let at = self.buckets.partition_point(|(known, _)| *known < bound);
        // Of two for the same bound the first counts.
        if self.buckets.get(at).is_none_or(|(known, _)| *known != bound) {
            self.buckets.insert(at, (bound, count));
        }
    }

    pub(crate) fn set_count(&mut self, count: f64) {
        self.count = Some(count);
    }

    pub(crate) fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// The same with custom buckets.
    ///
    /// # Errors
    /// When counts do not rise, or do not add up.
    pub(crate) fn to_native(&self) -> Result<Histogram, String> {
        let mut buckets = self.buckets.clone();
        let highest = buckets.last().map_or(0.0, |(_, count)| *count);
        let count = self.count.unwrap_or(highest);
        if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            buckets.push((f64::INFINITY, count));
        }
        if let Some(pair) = buckets.windows(2).find(|pair| pair[1].1 < pair[0].1) {
            return Err(format!("count is not cumulative: {} < {}", pair[1].1, pair[0].1));
        }
        let last = buckets[buckets.len() - 1].1;
        if last != count {
            return Err(format!("count mismatch: count={count} != le=+Inf count={last}"));
        }
        let mut before = 0.0;
        let counts: Vec<f64> =
            buckets.iter().map(|(_, count)| count - std::mem::replace(&mut before, *count)).collect();
        let bounds: Vec<f64> =
            buckets.iter().map(|(bound, _)| *bound).filter(|b| b.is_finite() || *b < 0.0).collect();
        let mut native = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: span(0, &counts),
            positive_buckets: counts,
            custom_bounds: bounds.into(),
            ..Histogram::default()
        };
        native.compact();
        Ok(native)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_buckets_become_custom_ones() {
        let mut classic = Classic::default();
        classic.set_bucket(f64::INFINITY, 5.0);
        classic.set_bucket(1.0, 2.0);
        classic.set_bucket(2.0, 2.0);
        classic.set_sum(9.0);
        let native = classic.to_native().expect("counts rise");
        assert_eq!((native.count, native.sum), (5.0, 9.0));
        assert_eq!(&native.custom_bounds[..], [1.0, 2.0]);
        assert_eq!(native.positive_buckets, [2.0, 3.0]);
        classic.set_count(6.0);
        assert!(classic.to_native().is_err());
    }
}
