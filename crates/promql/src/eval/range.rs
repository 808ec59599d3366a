//! Range vectors: samples of each series, and functions applied to a window of them at every step.
//!
//! Windows slide: each sample is passed once from either side, whatever the number of steps.

use model::{Labels, TimeRange, is_stale};
use storage::{HistogramSample, SelectHints};

use super::column::{Cell, Column, Grid, histogram_samples};
use super::evaluator::{Evaluator, Result};
use super::histograms::prepared;
use super::selector::Reference;
use super::subquery;
use crate::error::EvalError;
use crate::func::rate::{Edges, edges};
use crate::func::window::Window;
use crate::parse::ast::{Expr, ExprKind, SelectorExtension, VectorSelector};

/// One series of a range vector, without staleness markers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    pub(crate) labels: Labels,
    pub(crate) drop_name: bool,
    pub(crate) t_ms: Vec<i64>,
    pub(crate) values: Vec<f64>,
    /// Since when `values` count, 0 where not known; empty where that is of no interest.
    pub(crate) starts: Vec<i64>,
    /// By rising time.
    pub(crate) histograms: Vec<HistogramSample>,
}

impl Samples {
    /// How many samples it counts for.
    fn n_samples(&self) -> u64 {
        let in_histograms: u64 = self.histograms.iter().map(|h| histogram_samples(&h.histogram)).sum();
        self.values.len() as u64 + in_histograms
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.histograms.is_empty()
    }
}

/// Functions that start timestamps change.
const OF_STARTS: [&str; 4] = ["increase", "irate", "rate", "resets"];

/// Which window of a range vector each step looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
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

/// Calls `visit` with each series of `selector` that has a sample in any window, one at a time, so that only one
/// is in memory.
fn visit_selector(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    windows: Windows,
    function: &str,
    grid: Grid,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let (first_ms, last_ms) = windows.reference.bounds(grid);
    let (left_ms, right_ms) = reach_ms(selector.extension, ev.lookback_ms());
    let start_ms = first_ms.saturating_sub(windows.range_ms).saturating_sub(left_ms).saturating_add(1);
    let bounds = TimeRange::new(start_ms, last_ms.saturating_add(right_ms));
    let step_ms = if grid.is_instant() { 0 } else { grid.step_ms };
    let range_ms = windows.range_ms;
    let hints = SelectHints { function: function.to_owned(), range_ms, step_ms, ..SelectHints::default() };
    let with_starts = ev.options.start_timestamps && OF_STARTS.contains(&function);
    let queryable = ev.queryable;
    let mut set = queryable.select(&selector.matchers, bounds, &hints)?;
    ev.note_rolled_up(set.rolled_up());
    while let Some(found) = set.next()? {
        ev.take_series(found.values.len() + found.histograms.len())?;
        let mut samples = Samples { labels: found.labels, ..Samples::default() };
        let live = found.timestamps.iter().zip(&found.values).filter(|(_, value)| !is_stale(**value));
        (samples.t_ms, samples.values) = live.map(|(t, v)| (*t, *v)).unzip();
        if with_starts && !found.starts.is_empty() {
            let live = found.starts.iter().zip(&found.values).filter(|(_, value)| !is_stale(**value));
            samples.starts = live.map(|(start_ms, _)| *start_ms).collect();
        }
        if !found.histograms.is_empty() {
            samples.histograms = prepared(found.histograms, ev.buckets);
            samples.histograms.retain(|h| !is_stale(h.histogram.sum));
            if !with_starts {
                samples.histograms.iter_mut().for_each(|h| h.start_ms = 0);
            }
        }
        ev.check_fits(samples.n_samples())?;
        if !samples.is_empty() {
            visit(ev, samples)?;
        }
    }
    Ok(())
}

/// Takes the series of a range vector.
pub(crate) type Visit<'v> = dyn FnMut(&mut Evaluator<'_>, Samples) -> Result<()> + 'v;

/// The windows of the range vector `expr`.
pub(crate) fn windows(ev: &Evaluator<'_>, expr: &Expr) -> Result<Windows> {
    let (range, offset, at, extension) = match &expr.unwrapped().kind {
        ExprKind::Matrix { selector, range } => (range, &selector.offset, selector.at, selector.extension),
        ExprKind::Subquery { range, offset, at, .. } => (range, offset, *at, None),
        _ => return Err(EvalError::Execution("expected a range vector".to_owned())),
    };
    let offset_ms = ev.times.offset_ms(offset.as_ref())?;
    let reference = Reference::new(&ev.times, at, offset_ms);
    Ok(Windows { reference, range_ms: ev.times.positive_ms(range)?, extension })
}

/// Calls `visit` with each series of the range vector `expr`, over all steps of `grid`.
pub(crate) fn visit(
    ev: &mut Evaluator<'_>,
    expr: &Expr,
    windows: Windows,
    function: &str,
    grid: Grid,
    visit: &mut Visit<'_>,
) -> Result<()> {
    match &expr.unwrapped().kind {
        ExprKind::Matrix { selector, .. } => visit_selector(ev, selector, windows, function, grid, visit),
        ExprKind::Subquery { expr: inner, step, .. } => {
            for samples in subquery::eval(ev, inner, step.as_ref(), windows, grid)? {
                ev.check_stop()?;
                visit(ev, samples)?;
            }
            Ok(())
        }
        _ => Err(EvalError::Execution("expected a range vector".to_owned())),
    }
}

/// The samples of the range vector `expr` at one time, as an instant query returns them.
pub(crate) fn raw(ev: &mut Evaluator<'_>, expr: &Expr, t_ms: i64) -> Result<Vec<Samples>> {
    let windows = windows(ev, expr)?;
    let end_ms = windows.reference.of(t_ms);
    let mut all = Vec::new();
    visit(ev, expr, windows, "", Grid::instant(t_ms), &mut |ev, mut samples| {
        if let Some(extension) = windows.extension {
            let is_smoothed = extension == SelectorExtension::Smoothed;
            if !samples.histograms.is_empty() {
                let word = if is_smoothed { "smoothed" } else { "anchored" };
                let message = format!("{word} modifier is not supported with histograms");
                return Err(EvalError::Execution(message));
            }
            extend_to_edges(&mut samples, end_ms.saturating_sub(windows.range_ms), end_ms, is_smoothed);
        }
        if !samples.is_empty() {
            ev.hold(samples.n_samples())?;
            all.push(samples);
        }
        Ok(())
    })?;
    Ok(all)
}

/// Replaces what lies at and beyond the edges by one sample at each edge.
fn extend_to_edges(samples: &mut Samples, start_ms: i64, end_ms: i64, is_smoothed: bool) {
    let window = Window {
        t_ms: &samples.t_ms,
        values: &samples.values,
        offset: 0,
        starts: &[],
        histograms: &[],
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

impl Windows {
    /// Calls `function` for every step at which the window of `samples` holds any, and collects what it gives.
    pub(crate) fn apply(
        &self,
        ev: &Evaluator<'_>,
        samples: &Samples,
        grid: Grid,
        mut function: impl FnMut(usize, &Window<'_>) -> Option<Cell>,
    ) -> Column {
        let mut column = Column::absent(samples.labels.clone(), grid.n_steps);
        column.drop_name = samples.drop_name;
        let (left_ms, right_ms) = reach_ms(self.extension, ev.lookback_ms());
        let (mut from, mut to) = (0, 0);
        let (mut histograms_from, mut histograms_to) = (0, 0);
        for step in 0..grid.n_steps {
            let eval_ms = grid.t_ms(step);
            let end_ms = self.reference.of(eval_ms);
            let start_ms = end_ms.saturating_sub(self.range_ms);
            let (after_ms, until_ms) = (start_ms.saturating_sub(left_ms), end_ms.saturating_add(right_ms));
            while samples.t_ms.get(to).is_some_and(|t| *t <= until_ms) {
                to += 1;
            }
            while samples.t_ms.get(from).is_some_and(|t| *t <= after_ms) {
                from += 1;
            }
            let mut histograms: &[HistogramSample] = &[];
            if !samples.histograms.is_empty() {
                while samples.histograms.get(histograms_to).is_some_and(|h| h.t_ms <= until_ms) {
                    histograms_to += 1;
                }
                while samples.histograms.get(histograms_from).is_some_and(|h| h.t_ms <= after_ms) {
                    histograms_from += 1;
                }
                histograms = samples.histograms.get(histograms_from..histograms_to).unwrap_or(&[]);
            }
            let (t_ms, values) = match samples.t_ms.get(from..to) {
                Some(t_ms) => (t_ms, &samples.values[from..to]),
                None => (&[][..], &[][..]),
            };
            if t_ms.is_empty() && histograms.is_empty() {
                continue;
            }
            let starts = samples.starts.get(from..to).unwrap_or(&[]);
            let range_ms = self.range_ms;
            let offset = from;
            let window =
                Window { t_ms, values, offset, starts, histograms, eval_ms, start_ms, end_ms, range_ms };
            if let Some(cell) = function(step, &window) {
                column.set_cell(step, cell);
            }
        }
        column
    }
}
