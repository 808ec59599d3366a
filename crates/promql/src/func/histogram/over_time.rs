//! Sums and means of native histograms, for sum_over_time, avg_over_time, sum and avg.

use model::Histogram;
use model::histogram::{HistogramSum, IncompatibleBuckets, Reconciled, ResetHint};

use crate::annotations::texts::{self, Doing};

/// A sum or mean under way, and what must be said about it.
#[derive(Debug, Clone)]
pub(crate) struct Gathering {
    sum: HistogramSum,
    /// How many the mean is of, those counted by the caller included.
    n: f64,
    /// The mean itself instead of the sum, since that has overflowed.
    is_incremental: bool,
    saw_reset: bool,
    saw_no_reset: bool,
    pub(crate) bounds_differ: bool,
}

impl Gathering {
    pub(crate) fn new(first: &Histogram) -> Self {
        let mut gathering = Self {
            sum: HistogramSum::new(first),
            n: 1.0,
            is_incremental: false,
            saw_reset: false,
            saw_no_reset: false,
            bounds_differ: false,
        };
        gathering.see(first.reset_hint);
        gathering
    }

    fn see(&mut self, hint: ResetHint) {
        self.saw_reset |= hint == ResetHint::Reset;
        self.saw_no_reset |= hint == ResetHint::NotReset;
    }

    fn keep(&mut self, result: Result<Reconciled, IncompatibleBuckets>) -> Result<(), IncompatibleBuckets> {
        self.bounds_differ |= result?.bounds_differ;
        Ok(())
    }

    /// Adds to a sum.
    pub(crate) fn add(&mut self, other: &Histogram) -> Result<(), IncompatibleBuckets> {
        self.see(other.reset_hint);
        let result = self.sum.add(other);
        self.keep(result)
    }

    /// Adds to a mean: of the sum while that is finite, else updated one by one.
    pub(crate) fn add_to_mean(&mut self, other: &Histogram) -> Result<(), IncompatibleBuckets> {
        self.see(other.reset_hint);
        self.n += 1.0;
        if !self.is_incremental {
            let mut sum = self.sum.clone();
            let result = sum.add(other);
            self.keep(result)?;
            if !sum.has_overflow() {
                self.sum = sum;
                return Ok(());
            }
            self.is_incremental = true;
            self.sum.divide(self.n - 1.0);
        }
        self.sum.multiply((self.n - 1.0) / self.n);
        let mut share = other.clone();
        share.divide(self.n);
        let result = self.sum.add(&share);
        self.keep(result)
    }

    /// Whether some said that the counter began anew, and others that it did not.
    pub(crate) fn resets_collide(&self) -> bool {
        self.saw_reset && self.saw_no_reset
    }

    /// What must be said: warning, info.
    pub(crate) fn remarks(&self) -> (Option<String>, Option<String>) {
        (
            self.resets_collide().then(|| texts::resets_collide(Doing::Aggregation)),
            self.bounds_differ.then(|| texts::bounds_reconciled(Doing::Aggregation)),
        )
    }

    pub(crate) fn sum(self) -> Histogram {
        self.sum.finish()
    }

    pub(crate) fn mean(mut self) -> Histogram {
        if !self.is_incremental {
            self.sum.divide(self.n);
        }
        self.sum.finish()
    }
}
