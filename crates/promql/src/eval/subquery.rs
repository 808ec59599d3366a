//! Subqueries: an instant vector evaluated on its own steps, read as a range vector.
//!
//! The steps are multiples of the step's length since 1970, so that they do not move with the query.

use std::sync::Arc;

use model::is_stale;
use storage::{HistogramSample, TimestampColumn};

use super::column::Grid;
use super::evaluator::{Evaluator, Result};
use super::histograms::without_reset_hint;
use super::range::{Samples, Windows, has_stale};
use crate::error::EvalError;
use crate::limits::STEPS_MAX;
use crate::parse::ast::{Expr, Offset};

/// The series of a subquery over `inner`, for all steps of `grid`, and how many samples its own steps looked at.
pub(crate) fn eval(
    ev: &mut Evaluator<'_>,
    inner: &Expr,
    step: Option<&Offset>,
    windows: Windows,
    grid: Grid,
) -> Result<(Vec<Samples>, u64)> {
    let Windows { reference, range_ms, .. } = windows;
    let step_ms = match step {
        Some(step) => ev.times.positive_ms(step)?,
        None => ev.options.subquery_step_ms,
    };
    if step_ms <= 0 {
        return Err(EvalError::Execution("subquery step must be at least 1ms".to_owned()));
    }
    let (first_ms, last_ms) = reference.bounds(grid);
    let left_ms = first_ms.saturating_sub(range_ms);
    let start_ms = left_ms.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
    let n_steps = if start_ms > last_ms { 0 } else { (last_ms - start_ms) / step_ms + 1 };
    if n_steps > STEPS_MAX {
        return Err(EvalError::Execution(format!("subquery has {n_steps} steps, more than {STEPS_MAX}")));
    }
    let inner_grid = Grid { start_ms, step_ms, n_steps: n_steps as usize };
    let outside = ev.buckets;
    ev.buckets.are_needed = true;
    let counts = ev.counts.child(inner_grid.n_steps);
    let columns = ev.vector(inner, inner_grid)?;
    let counted = ev.counts.leave(counts);
    ev.counts.add_subquery(&counted, inner_grid, windows, grid);
    ev.buckets = outside;
    let all: TimestampColumn = Arc::new((0..inner_grid.n_steps).map(|step| inner_grid.t_ms(step)).collect());
    let mut series = Vec::with_capacity(columns.len());
    for column in columns {
        ev.check_stop()?;
        let mut samples =
            Samples { labels: column.labels.clone(), drop_name: column.drop_name, ..Samples::default() };
        if column.present.iter().all(|p| *p) && !has_stale(&column.values) {
            (samples.t_ms, samples.values) = (Arc::clone(&all), column.values);
            series.push(samples);
            continue;
        }
        let mut t_ms = Vec::new();
        for step in 0..inner_grid.n_steps {
            if column.present[step] && !is_stale(column.values[step]) {
                t_ms.push(inner_grid.t_ms(step));
                samples.values.push(column.values[step]);
            } else if let Some(histogram) = column.histogram(step) {
                samples.histograms.push(HistogramSample {
                    t_ms: inner_grid.t_ms(step),
                    start_ms: 0,
                    histogram: without_reset_hint(histogram),
                });
            }
        }
        samples.t_ms = Arc::new(t_ms);
        if !samples.is_empty() {
            series.push(samples);
        }
    }
    Ok((series, counted.total().looked))
}
