//! Range vectors: samples of each series, and functions applied to a window of them at every step.
//!
//! Windows slide: each sample is passed once from either side, whatever the number of steps.

use model::{Labels, TimeRange, is_stale};
use storage::SelectHints;

use super::column::{Column, Grid};
use super::evaluator::{Evaluator, Result};
use super::selector::Reference;
use super::subquery;
use crate::error::EvalError;
use crate::func::rate::{Edges, edges};
use crate::func::window::Window;
use crate::parse::ast::{Expr, ExprKind, Offset, SelectorExtension, VectorSelector};

/// One series of a range vector, without staleness markers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    pub(crate) labels: Labels,
    pub(crate) drop_name: bool,
    pub(crate) t_ms: Vec<i64>,
    pub(crate) values: Vec<f64>,
}

/// A range vector for all steps of a grid.
pub(crate) struct Ranged {
    pub(crate) series: Vec<Samples>,
    pub(crate) reference: Reference,
    pub(crate) range_ms: i64,
    pub(crate) extension: Option<SelectorExtension>,
}

/// How far a selector reads beyond its window, to the left and to the right.
fn reach_ms(extension: Option<SelectorExtension>, lookback_ms: i64) -> (i64, i64) {
    match extension {
        None => (0, 0),
        Some(SelectorExtension::Anchored) => (lookback_ms, 0),
        Some(SelectorExtension::Smoothed) => (lookback_ms, lookback_ms),
    }
}

fn fetch(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    range: &Offset,
    function: &str,
    grid: Grid,
) -> Result<Ranged> {
    let range_ms = ev.times.positive_ms(range)?;
    let reference = Reference::new(&ev.times, selector.at, ev.times.offset_ms(selector.offset.as_ref())?);
    let (first_ms, last_ms) = reference.bounds(grid);
    let (left_ms, right_ms) = reach_ms(selector.extension, ev.lookback_ms());
    let start_ms = first_ms.saturating_sub(range_ms).saturating_sub(left_ms).saturating_add(1);
    let bounds = TimeRange::new(start_ms, last_ms.saturating_add(right_ms));
    let step_ms = if grid.is_instant() { 0 } else { grid.step_ms };
    let hints = SelectHints { function: function.to_owned(), range_ms, step_ms, labels_only: false };
    let queryable = ev.queryable;
    let mut set = queryable.select(&selector.matchers, bounds, &hints)?;
    let mut series = Vec::new();
    while let Some(found) = set.next()? {
        ev.check_stop()?;
        let mut samples = Samples { labels: found.labels, ..Samples::default() };
        let live = found.timestamps.iter().zip(&found.values).filter(|(_, value)| !is_stale(**value));
        (samples.t_ms, samples.values) = live.map(|(t, v)| (*t, *v)).unzip();
        if !samples.values.is_empty() {
            ev.hold(samples.values.len() as u64)?;
            series.push(samples);
        }
    }
    Ok(Ranged { series, reference, range_ms, extension: selector.extension })
}

/// Evaluates the range vector `expr` for all steps of `grid`.
pub(crate) fn eval(ev: &mut Evaluator<'_>, expr: &Expr, function: &str, grid: Grid) -> Result<Ranged> {
    let expr = expr.unwrapped();
    match &expr.kind {
        ExprKind::Matrix { selector, range } => fetch(ev, selector, range, function, grid),
        ExprKind::Subquery { .. } => subquery::eval(ev, expr, grid),
        _ => Err(EvalError::Execution("expected a range vector".to_owned())),
    }
}

/// The samples of `selector[range]` at one time, as an instant query returns them.
pub(crate) fn raw(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    range: &Offset,
    t_ms: i64,
) -> Result<Vec<Samples>> {
    let grid = Grid::instant(t_ms);
    let mut ranged = fetch(ev, selector, range, "", grid)?;
    let end_ms = ranged.reference.of(t_ms);
    if let Some(extension) = ranged.extension {
        let is_smoothed = extension == SelectorExtension::Smoothed;
        for samples in &mut ranged.series {
            extend_to_edges(samples, end_ms.saturating_sub(ranged.range_ms), end_ms, is_smoothed);
        }
        ranged.series.retain(|s| !s.values.is_empty());
    }
    Ok(ranged.series)
}

/// Replaces what lies at and beyond the edges by one sample at each edge.
fn extend_to_edges(samples: &mut Samples, start_ms: i64, end_ms: i64, is_smoothed: bool) {
    let window = Window {
        t_ms: &samples.t_ms,
        values: &samples.values,
        eval_ms: end_ms,
        start_ms,
        end_ms,
        range_ms: end_ms - start_ms,
    };
    let Some(Edges { first, last, left, right }) = edges(&window, is_smoothed, false) else {
        samples.t_ms.clear();
        samples.values.clear();
        return;
    };
    let from = if samples.t_ms[first] <= start_ms { first + 1 } else { first };
    let to = if samples.t_ms[last] >= end_ms { last } else { last + 1 };
    let inside = from..to.max(from);
    let t_ms =
        [start_ms].into_iter().chain(samples.t_ms[inside.clone()].iter().copied()).chain([end_ms]).collect();
    let values = [left].into_iter().chain(samples.values[inside].iter().copied()).chain([right]).collect();
    (samples.t_ms, samples.values) = (t_ms, values);
}

impl Ranged {
    /// Calls `function` for every step at which the window of `samples` holds any, and collects what it gives.
    pub(crate) fn apply(
        &self,
        ev: &Evaluator<'_>,
        samples: &Samples,
        grid: Grid,
        mut function: impl FnMut(usize, &Window<'_>) -> Result<Option<f64>>,
    ) -> Result<Column> {
        let mut column = Column::absent(samples.labels.clone(), grid.n_steps);
        column.drop_name = samples.drop_name;
        let (left_ms, right_ms) = reach_ms(self.extension, ev.lookback_ms());
        let (mut from, mut to) = (0, 0);
        for step in 0..grid.n_steps {
            let eval_ms = grid.t_ms(step);
            let end_ms = self.reference.of(eval_ms);
            let start_ms = end_ms.saturating_sub(self.range_ms);
            while samples.t_ms.get(to).is_some_and(|t| *t <= end_ms.saturating_add(right_ms)) {
                to += 1;
            }
            while samples.t_ms.get(from).is_some_and(|t| *t <= start_ms.saturating_sub(left_ms)) {
                from += 1;
            }
            if from >= to {
                continue;
            }
            let (t_ms, values) = (&samples.t_ms[from..to], &samples.values[from..to]);
            let window = Window { t_ms, values, eval_ms, start_ms, end_ms, range_ms: self.range_ms };
            if let Some(value) = function(step, &window)? {
                column.set(step, value);
            }
        }
        Ok(column)
    }
}
