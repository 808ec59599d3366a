//! Sums and means of groups in which there are native histograms, and perhaps floats, which do not mix.

use super::aggregate::Group;
use super::column::{Cell, Column, Grid};
use super::evaluator::Evaluator;
use crate::annotations::texts;
use crate::func::histogram::over_time::Gathering;
use crate::func::sum::{Mean, Sum};
use crate::parse::ast::{AggregateOp, Span};

/// What a group has gathered at one step.
#[derive(Default)]
struct Step {
    floats: Option<(Sum, Mean)>,
    histograms: Option<Gathering>,
    /// Exponential and custom buckets have met: nothing can come of it any more.
    is_incompatible: bool,
    is_mixed: bool,
}

pub(super) fn eval(
    ev: &mut Evaluator<'_>,
    op: AggregateOp,
    columns: &[Column],
    group: &Group,
    span: Span,
    grid: Grid,
) -> Column {
    let is_mean = op == AggregateOp::Avg;
    let mut result = Column::absent(group.labels.clone(), grid.n_steps);
    for step in 0..grid.n_steps {
        let mut gathered = Step::default();
        for column in group.members.iter().map(|idx| &columns[*idx]) {
            if gathered.is_incompatible {
                break;
            }
            match column.cell(step) {
                Some(Cell::Float(value)) => gathered.add_float(value),
                Some(Cell::Histogram(histogram)) => {
                    let result = gathered.add_histogram(&histogram, is_mean);
                    if result.is_err() {
                        ev.warn(span, texts::mixed_schemas(column.labels.metric_name()));
                    }
                }
                None => {}
            }
        }
        if let Some(cell) = gathered.finish(ev, is_mean, span) {
            result.set_cell(step, cell);
        }
    }
    result
}

impl Step {
    fn add_float(&mut self, value: f64) {
        self.is_mixed |= self.histograms.is_some();
        match &mut self.floats {
            Some((sum, mean)) => {
                *sum = sum.add(value);
                mean.add(value);
            }
            None => self.floats = Some((Sum::of(value), Mean::first(value))),
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

    fn finish(self, ev: &mut Evaluator<'_>, is_mean: bool, span: Span) -> Option<Cell> {
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
        let (sum, mean) = self.floats?;
        Some(Cell::Float(if is_mean { mean.mean() } else { sum.total() }))
    }
}
