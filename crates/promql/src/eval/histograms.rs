//! Native histograms as selectors hand them out: live ones, with buckets only where somebody looks at them.

use std::sync::Arc;

use model::histogram::ResetHint;
use model::{Histogram, is_stale};
use storage::HistogramSample;

use super::evaluator::Buckets;

/// The samples as read, or without buckets but with the answer to what only buckets tell: whether the counter was reset.
pub(crate) fn prepared(mut samples: Vec<HistogramSample>, buckets: Buckets) -> Vec<HistogramSample> {
    if !buckets.are_skipped() {
        return samples;
    }
    let mut previous: Option<Arc<Histogram>> = None;
    for sample in &mut samples {
        if is_stale(sample.histogram.sum) {
            continue;
        }
        let own = sample.histogram.reset_hint;
        let hint = match &previous {
            Some(previous) if own == ResetHint::Unknown => {
                if sample.histogram.is_reset_after(previous) {
                    ResetHint::Reset
                } else {
                    ResetHint::NotReset
                }
            }
            _ => own,
        };
        let stripped = Arc::new(sample.histogram.without_buckets(hint));
        previous = Some(std::mem::replace(&mut sample.histogram, stripped));
    }
    samples
}

/// As read from a subquery, where neighbours of the samples may be missing: no hint about resets holds.
pub(crate) fn without_reset_hint(histogram: &Arc<Histogram>) -> Arc<Histogram> {
    if !matches!(histogram.reset_hint, ResetHint::Reset | ResetHint::NotReset) {
        return Arc::clone(histogram);
    }
    Arc::new(Histogram { reset_hint: ResetHint::Unknown, ..(**histogram).clone() })
}
