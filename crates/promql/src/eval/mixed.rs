//! Sums and means of groups in which there are native histograms, and perhaps floats, which do not mix.

use super::column::{Cell, Column};
use super::evaluator::Evaluator;
use crate::annotations::texts;
use crate::func::histogram::over_time::Gathering;
use crate::func::sum::{Mean, Sum};
use crate::parse::ast::{AggregateOp, Span};

/// What a group has gathered at one step.
#[derive(Default)]
pub(super) struct Step {
    floats: Option<Floats>,
    histograms: Option<Gathering>,
    /// Exponential and custom buckets have met: nothing can come of it any more.
    is_incompatible: bool,
    is_mixed: bool,
}

enum Floats {
    Sum(Sum),
    Mean(Mean),
}

/// Adds the values of `column` to each of `steps`.
pub(super) fn add(ev: &mut Evaluator<'_>, op: AggregateOp, steps: &mut [Step], column: &Column, span: Span) {
    let is_mean = op == AggregateOp::Avg;
    for (step, gathered) in steps.iter_mut().enumerate().filter(|(_, gathered)| !gathered.is_incompatible) {
        match column.histogram(step) {
            Some(histogram) => {
                if gathered.add_histogram(histogram, is_mean).is_err() {
                    ev.warn(span, texts::mixed_schemas(column.labels.metric_name()));
                }
            }
            None => {
                if let Some(value) = column.get(step) {
                    gathered.add_float(value, is_mean);
                }
            }
        }
    }
}

impl Step {
    pub(super) fn of_sum(sum: Sum) -> Self {
        Self { floats: Some(Floats::Sum(sum)), ..Self::default() }
    }

    pub(super) fn of_mean(mean: Mean) -> Self {
        Self { floats: Some(Floats::Mean(mean)), ..Self::default() }
    }

    fn add_float(&mut self, value: f64, is_mean: bool) {
        self.is_mixed |= self.histograms.is_some();
        match &mut self.floats {
            Some(Floats::Sum(sum)) => *sum = sum.add(value),
            Some(Floats::Mean(mean)) => mean.add(value),
            None if is_mean => self.floats = Some(Floats::Mean(Mean::first(value))),
            None => self.floats = Some(Floats::Sum(Sum::of(value))),
        }
    }

    fn add_histogram(
        &mut self,
        histogram: &model::Histogram,
        is_mean: bool,
    ) -> Result<(), model::histogram::IncompatibleBuckets> {
        if self.floats.is_some() {
            self.is_mixed = true;
        }
        let result = match &mut self.histograms {
            Some(gathering) if is_mean => gathering.add_to_mean(histogram),
            Some(gathering) => gathering.add(histogram),
            None if self.is_mixed => Ok(()),
            None => {
                self.histograms = Some(Gathering::new(histogram));
                Ok(())
            }
        };
        self.is_incompatible |= result.is_err();
        result
    }

    pub(super) fn finish(self, ev: &mut Evaluator<'_>, is_mean: bool, span: Span) -> Option<Cell> {
        if let Some(text) = self.histograms.as_ref().and_then(|gathering| gathering.remarks().1) {
            ev.info(span, text);
        }
        if self.is_mixed {
            ev.warn(span, texts::MIXED_SAMPLES_IN_AGGREGATION);
            return None;
        }
        if self.is_incompatible {
            return None;
        }
        if let Some(gathering) = self.histograms {
            if let Some(text) = gathering.remarks().0 {
                ev.warn(span, text);
            }
            let mut histogram = if is_mean { gathering.mean() } else { gathering.sum() };
            histogram.compact();
            return Some(Cell::from(histogram));
        }
        Some(Cell::Float(match self.floats? {
            Floats::Sum(sum) => sum.total(),
            Floats::Mean(mean) => mean.mean(),
        }))
    }
}
