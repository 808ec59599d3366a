//! sum, avg, min, max, count, group, stddev and stdvar: each series is added to its group as it comes, and let go.
//!
//! In: columns in the order of their labels; out: one column per group. Additions are made in the order of the series and in
//! the form that Prometheus makes them, so results are equal to the bit.

use std::collections::HashMap;

use model::Labels;

use super::aggregate::Grouping;
use super::column::{Cell, Column, Grid};
use super::evaluator::{Evaluator, Result};
use super::mixed;
use crate::annotations::texts;
use crate::func::sum::{Mean, Sum};
use crate::limits::STEPS_PER_SAMPLE;
use crate::parse::ast::{AggregateOp, Span};

/// What one group has gathered, by step.
enum Gathered {
    /// Sums and what rounding lost of them.
    Sums(Vec<f64>, Vec<f64>),
    Means(Vec<Mean>),
    Extremes(Vec<f64>),
    Counts(Vec<f64>),
    /// 1 wherever there is anything.
    Ones,
    /// Welford: count, mean, sum of squared differences.
    Spreads(Vec<(f64, f64, f64)>),
    /// There are native histograms.
    Mixed(Vec<mixed::Step>),
}

impl Gathered {
    fn new(op: AggregateOp, n_steps: usize) -> Self {
        match op {
            // Zero would change the sign of a sum of negative zeros.
            AggregateOp::Sum => Self::Sums(vec![-0.0; n_steps], vec![0.0; n_steps]),
            AggregateOp::Avg => Self::Means(vec![Mean::default(); n_steps]),
            AggregateOp::Min | AggregateOp::Max => Self::Extremes(vec![f64::NAN; n_steps]),
            AggregateOp::Count => Self::Counts(vec![0.0; n_steps]),
            AggregateOp::Stddev | AggregateOp::Stdvar => Self::Spreads(vec![(0.0, 0.0, 0.0); n_steps]),
            _ => Self::Ones,
        }
    }

    /// With what was gathered so far as it is for groups with histograms.
    fn into_mixed(self, present: &[bool]) -> Self {
        let step = |step: usize| match &self {
            _ if !present[step] => mixed::Step::default(),
            Self::Sums(sums, lost) => mixed::Step::of_sum(Sum { sum: sums[step], lost: lost[step] }),
            Self::Means(means) => mixed::Step::of_mean(means[step]),
            _ => mixed::Step::default(),
        };
        Self::Mixed((0..present.len()).map(step).collect())
    }
}

struct Group {
    labels: Labels,
    drop_name: bool,
    gathered: Gathered,
    present: Vec<bool>,
}

/// An aggregation under way.
pub(super) struct Gather<'a> {
    op: AggregateOp,
    grouping: Grouping<'a>,
    /// Of the aggregated expression.
    span: Span,
    grid: Grid,
    known: HashMap<Labels, usize>,
    groups: Vec<Group>,
}

impl<'a> Gather<'a> {
    pub(super) fn new(op: AggregateOp, grouping: Grouping<'a>, span: Span, grid: Grid) -> Self {
        Self { op, grouping, span, grid, known: HashMap::new(), groups: Vec::new() }
    }

    /// Adds a series.
    pub(super) fn add(&mut self, ev: &mut Evaluator<'_>, column: &Column) -> Result<()> {
        let idx = self.place(ev, &column.labels)?;
        self.add_to(ev, idx, column);
        Ok(())
    }

    /// Adds a series to a group.
    pub(super) fn add_to(&mut self, ev: &mut Evaluator<'_>, idx: usize, column: &Column) {
        let group = &mut self.groups[idx];
        group.drop_name |= column.drop_name;
        if !column.histograms.is_empty() {
            self.add_histograms(ev, idx, column);
            return;
        }
        if let Gathered::Mixed(steps) = &mut group.gathered {
            mixed::add(ev, self.op, steps, column, self.span);
            return;
        }
        let values = column.values.iter().zip(&column.present);
        add_floats(self.op, &mut group.gathered, &group.present, values);
        group.present.iter_mut().zip(&column.present).for_each(|(known, new)| *known |= *new);
    }

    /// Adds a series that has this value at the only step.
    pub(super) fn add_float(&mut self, ev: &mut Evaluator<'_>, idx: usize, value: f64) {
        let group = &mut self.groups[idx];
        if let Gathered::Mixed(steps) = &mut group.gathered {
            mixed::add(ev, self.op, steps, &Column::full(Labels::empty(), vec![value]), self.span);
            return;
        }
        add_floats(self.op, &mut group.gathered, &group.present, std::iter::once((&value, &true)));
        group.present[0] = true;
    }

    fn place(&mut self, ev: &mut Evaluator<'_>, labels: &Labels) -> Result<usize> {
        let labels = self.grouping.of(labels);
        if let Some(idx) = self.known.get(&labels) {
            return Ok(*idx);
        }
        self.known.insert(labels.clone(), self.groups.len());
        self.begin_group(ev, labels)
    }

    /// A new group; its labels must be no other's.
    pub(super) fn begin_group(&mut self, ev: &mut Evaluator<'_>, labels: Labels) -> Result<usize> {
        let n_steps = self.grid.n_steps;
        ev.hold((n_steps / STEPS_PER_SAMPLE).max(1) as u64)?;
        let gathered = Gathered::new(self.op, n_steps);
        self.groups.push(Group { labels, drop_name: false, gathered, present: vec![false; n_steps] });
        Ok(self.groups.len() - 1)
    }

    fn add_histograms(&mut self, ev: &mut Evaluator<'_>, idx: usize, column: &Column) {
        let group = &mut self.groups[idx];
        match self.op {
            AggregateOp::Sum | AggregateOp::Avg => {
                if !matches!(group.gathered, Gathered::Mixed(_)) {
                    let gathered = std::mem::replace(&mut group.gathered, Gathered::Ones);
                    group.gathered = gathered.into_mixed(&group.present);
                }
                if let Gathered::Mixed(steps) = &mut group.gathered {
                    mixed::add(ev, self.op, steps, column, self.span);
                }
            }
            AggregateOp::Count | AggregateOp::Group => {
                let present = column.presence();
                let values = column.values.iter().zip(present.iter());
                add_floats(self.op, &mut group.gathered, &group.present, values);
                group.present.iter_mut().zip(present.iter()).for_each(|(known, new)| *known |= *new);
            }
            _ => {
                if column.histograms.iter().any(Option::is_some) {
                    ev.info(self.span, texts::ignored_in_aggregation(self.op.as_str()));
                }
                let values = column.values.iter().zip(&column.present);
                add_floats(self.op, &mut group.gathered, &group.present, values);
                group.present.iter_mut().zip(&column.present).for_each(|(known, new)| *known |= *new);
            }
        }
    }

    /// The groups that have anything.
    pub(super) fn finish(self, ev: &mut Evaluator<'_>) -> Vec<Column> {
        let mut results = Vec::with_capacity(self.groups.len());
        for group in self.groups {
            let mut column = Column::absent(group.labels, 0);
            column.drop_name = group.drop_name;
            column.present = group.present;
            let n_steps = column.present.len();
            column.values = match group.gathered {
                Gathered::Sums(mut sums, lost) => {
                    sums.iter_mut().zip(lost).for_each(|(sum, lost)| *sum += lost);
                    sums
                }
                Gathered::Means(means) => means.into_iter().map(Mean::mean).collect(),
                Gathered::Extremes(values) | Gathered::Counts(values) => values,
                Gathered::Ones => vec![1.0; n_steps],
                Gathered::Spreads(spreads) => {
                    let is_root = self.op == AggregateOp::Stddev;
                    let spread = |(n, _, squares): (f64, f64, f64)| squares / n;
                    spreads.into_iter().map(|s| if is_root { spread(s).sqrt() } else { spread(s) }).collect()
                }
                Gathered::Mixed(steps) => {
                    column.values = vec![0.0; n_steps];
                    column.present = vec![false; n_steps];
                    for (step, gathered) in steps.into_iter().enumerate() {
                        match gathered.finish(ev, self.op == AggregateOp::Avg, self.span) {
                            Some(Cell::Float(value)) => column.set(step, value),
                            Some(Cell::Histogram(histogram)) => column.set_histogram(step, histogram),
                            None => {}
                        }
                    }
                    column.values
                }
            };
            if !column.is_absent() {
                results.push(column);
            }
        }
        results
    }
}

/// Adds the values that are present; `known` says at which steps there were some before.
fn add_floats<'v>(
    op: AggregateOp,
    gathered: &mut Gathered,
    known: &[bool],
    values: impl Iterator<Item = (&'v f64, &'v bool)>,
) {
    match gathered {
        Gathered::Sums(sums, lost) => {
            for ((sum, lost), (value, present)) in sums.iter_mut().zip(lost).zip(values) {
                // Without branches, so that the compiler makes vectors of it.
                let next = Sum { sum: *sum, lost: *lost }.add(*value);
                *sum = if *present { next.sum } else { *sum };
                *lost = if *present { next.lost } else { *lost };
            }
        }
        Gathered::Means(means) => {
            for ((mean, known), (value, present)) in means.iter_mut().zip(known).zip(values) {
                match (present, known) {
                    (true, true) => mean.add(*value),
                    (true, false) => *mean = Mean::first(*value),
                    _ => {}
                }
            }
        }
        Gathered::Extremes(extremes) => {
            let is_max = op == AggregateOp::Max;
            for (extreme, (value, present)) in extremes.iter_mut().zip(values) {
                let is_better = if is_max { *extreme < *value } else { *extreme > *value };
                *extreme = if *present && (is_better || extreme.is_nan()) { *value } else { *extreme };
            }
        }
        Gathered::Counts(counts) => {
            for (count, (_, present)) in counts.iter_mut().zip(values) {
                *count += f64::from(u8::from(*present));
            }
        }
        Gathered::Spreads(spreads) => {
            for (((n, mean, squares), known), (value, present)) in spreads.iter_mut().zip(known).zip(values) {
                match (present, known) {
                    (true, true) => {
                        *n += 1.0;
                        let delta = *value - *mean;
                        *mean += delta / *n;
                        *squares += delta * (*value - *mean);
                    }
                    (true, false) => {
                        (*n, *mean) = (1.0, *value);
                        *squares = if value.is_finite() { 0.0 } else { f64::NAN };
                    }
                    _ => {}
                }
            }
        }
        Gathered::Ones | Gathered::Mixed(_) => {}
    }
}
