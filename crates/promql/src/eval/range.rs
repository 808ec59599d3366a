//! Range vectors: samples of each series, and functions applied to a window of them at every step.
//!
//! Windows slide: each sample is passed once from either side, whatever the number of steps.

use std::sync::Arc;

use model::{Labels, Matcher, TimeRange, is_stale};
use storage::{HistogramSample, Queryable, SelectHints, Series, SeriesSet, TimestampColumn};

use super::bounds::{self, Bounds};
use super::column::{Cell, Column, Grid, histogram_samples};
use super::counted;
use super::evaluator::{Buckets, Evaluator, Result};
use super::histograms::prepared;
use super::pace::{HISTOGRAM_VALUES, Pace};
use super::selector::Reference;
use super::{scan, subquery};
use crate::error::EvalError;
use crate::func::folded;
use crate::func::rate::{Edges, RateKind, edges};
use crate::func::window::{HISTOGRAMS_PIECE, PIECE, Window};
use crate::parse::ast::{Expr, ExprKind, SelectorExtension, VectorSelector};
use crate::value::SampleCounts;

/// One series of a range vector, without staleness markers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    pub(crate) labels: Labels,
    pub(crate) drop_name: bool,
    pub(crate) t_ms: TimestampColumn,
    pub(crate) values: Vec<f64>,
    /// Since when `values` count, 0 where not known; empty where that is of no interest.
    pub(crate) starts: Vec<i64>,
    /// By rising time.
    pub(crate) histograms: Vec<HistogramSample>,
}

impl Samples {
    /// How many samples it counts for.
    pub(crate) fn n_samples(&self) -> u64 {
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

/// The selection behind `selector` for all windows, and how long it is.
pub(crate) fn select<'q>(
    ev: &mut Evaluator<'q>,
    selector: &VectorSelector,
    windows: Windows,
    function: &str,
    grid: Grid,
) -> Result<Selection<'q>> {
    let (first_ms, last_ms) = windows.reference.bounds(grid);
    let (left_ms, right_ms) = windows.reach_ms(ev);
    let start_ms = first_ms.saturating_sub(windows.range_ms).saturating_sub(left_ms).saturating_add(1);
    let bounds = TimeRange::new(start_ms, last_ms.saturating_add(right_ms));
    let step_ms = if grid.is_instant() { 0 } else { grid.step_ms };
    let range_ms = windows.range_ms;
    // Only then is the selection what the function is applied to, no more and no less.
    let is_one_window = grid.is_instant() && windows.extension.is_none();
    let summaries = ev.options.summaries && is_one_window && folded::gains(function, range_ms);
    let function = function.to_owned();
    let stop = ev.query_options.stop();
    let hints = SelectHints { function, range_ms, step_ms, summaries, stop, ..SelectHints::default() };
    let queryable = ev.queryable;
    let set = ev.select(selector, bounds, &hints)?;
    ev.warn_of_last_values(&hints.function, set.rolled_up());
    Ok(Selection { set, queryable, bounds, hints })
}

/// What was selected, and how.
pub(crate) struct Selection<'q> {
    pub(crate) set: Box<dyn SeriesSet + 'q>,
    queryable: &'q dyn Queryable,
    bounds: TimeRange,
    hints: SelectHints,
}

impl<'q> Selection<'q> {
    /// How long the samples reach that will be read, about.
    pub(crate) fn length_ms(&self) -> i64 {
        let length_ms = self.bounds.end_ms.saturating_sub(self.bounds.start_ms);
        // Measured: a summary costs a twentieth of its samples or less.
        if self.hints.summaries { length_ms / 20 } else { length_ms }
    }

    /// The way to the samples behind summaries.
    pub(crate) fn source(&self) -> Source<'q> {
        let hints = SelectHints { summaries: false, ..self.hints.clone() };
        Source { queryable: self.queryable, bounds: self.bounds, hints }
    }
}

/// Where a single series can be read again.
pub(crate) struct Source<'q> {
    queryable: &'q dyn Queryable,
    bounds: TimeRange,
    hints: SelectHints,
}

impl Source<'_> {
    /// The series with `labels` and all its samples.
    pub(crate) fn read(&self, labels: &Labels) -> Result<Series> {
        let matchers: Vec<_> = labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
        let mut set = self.queryable.select(&matchers, self.bounds, &self.hints)?;
        while let Some(series) = set.next()? {
            if series.labels == *labels {
                return Ok(series);
            }
        }
        Ok(Series::floats(labels.clone(), TimestampColumn::default(), Vec::new()))
    }
}

/// What of a series a function reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) with_starts: bool,
    pub(crate) buckets: Buckets,
}

impl Reading {
    pub(crate) fn new(ev: &Evaluator<'_>, function: &str) -> Self {
        let with_starts = ev.options.start_timestamps && OF_STARTS.contains(&function);
        Self { with_starts, buckets: ev.buckets }
    }

    /// The samples of `found` that are no staleness markers.
    pub(crate) fn samples(self, found: Series) -> Samples {
        let mut samples = Samples { labels: found.labels, ..Samples::default() };
        let has_starts = self.with_starts && !found.starts.is_empty();
        if has_stale(&found.values) {
            let live = found.timestamps.iter().zip(&found.values).filter(|(_, value)| !is_stale(**value));
            let (t_ms, values): (Vec<i64>, Vec<f64>) = live.map(|(t, v)| (*t, *v)).unzip();
            if has_starts {
                let live = found.starts.iter().zip(&found.values).filter(|(_, value)| !is_stale(**value));
                samples.starts = live.map(|(start_ms, _)| *start_ms).collect();
            }
            (samples.t_ms, samples.values) = (Arc::new(t_ms), values);
        } else {
            (samples.t_ms, samples.values) = (found.timestamps, found.values);
            if has_starts {
                samples.starts = found.starts;
            }
        }
        if !found.histograms.is_empty() {
            samples.histograms = prepared(found.histograms, self.buckets);
            samples.histograms.retain(|h| !is_stale(h.histogram.sum));
            if !self.with_starts {
                samples.histograms.iter_mut().for_each(|h| h.start_ms = 0);
            }
        }
        samples
    }
}

/// Whether there is a staleness marker.
pub(crate) fn has_stale(values: &[f64]) -> bool {
    // Without a way out within a chunk, so that the compiler makes vectors of it.
    values.chunks(64).any(|chunk| {
        chunk.iter().fold(0u32, |n, value| n + u32::from(value.to_bits() == model::STALE_NAN_BITS)) > 0
    })
}

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

/// The samples of the range vector `expr` at one time, as an instant query returns them.
pub(crate) fn raw(ev: &mut Evaluator<'_>, expr: &Expr, t_ms: i64) -> Result<Vec<Samples>> {
    let windows = windows(ev, expr)?;
    let end_ms = windows.reference.of(t_ms);
    let grid = Grid::instant(t_ms);
    let mut all = Vec::new();
    match &expr.unwrapped().kind {
        ExprKind::Matrix { selector, .. } => {
            let selection = select(ev, selector, windows, "", grid)?;
            let length_ms = selection.length_ms();
            let mut set = selection.set;
            scan::expect(ev, set.as_ref(), length_ms, 1)?;
            let reading = Reading::new(ev, "");
            while let Some(found) = set.next()? {
                ev.take_series(found.values.len() + found.histograms.len())?;
                let mut samples = reading.samples(found);
                ev.check_fits(samples.n_samples())?;
                extend(&mut samples, windows, end_ms)?;
                let in_histograms = samples.histograms.iter().map(|h| counted::histogram_size(&h.histogram));
                let n = samples.values.len() as u64 + in_histograms.sum::<u64>();
                ev.counts.add(&[SampleCounts::once(n)]);
                if !samples.is_empty() {
                    ev.hold(samples.n_samples())?;
                    all.push(samples);
                }
            }
        }
        ExprKind::Subquery { expr: inner, step, .. } => {
            let (found, looked) = subquery::eval(ev, inner, step.as_ref(), windows, grid)?;
            ev.counts.add(&[SampleCounts { looked, read: 0 }]);
            for samples in found {
                ev.hold(samples.n_samples())?;
                all.push(samples);
            }
        }
        _ => return Err(EvalError::Execution("expected a range vector".to_owned())),
    }
    Ok(all)
}

/// Puts samples at the edges of the window of an anchored or smoothed selector.
fn extend(samples: &mut Samples, windows: Windows, end_ms: i64) -> Result<()> {
    let Some(extension) = windows.extension else { return Ok(()) };
    let is_smoothed = extension == SelectorExtension::Smoothed;
    if !samples.histograms.is_empty() {
        let word = if is_smoothed { "smoothed" } else { "anchored" };
        let message = format!("{word} modifier is not supported with histograms");
        return Err(EvalError::Execution(message));
    }
    extend_to_edges(samples, end_ms.saturating_sub(windows.range_ms), end_ms, is_smoothed);
    Ok(())
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
        query: None,
    };
    let Some(Edges { first, last, left, right }) = edges(&window, is_smoothed, false) else {
        samples.t_ms = Arc::default();
        samples.values.clear();
        return;
    };
    let from = if samples.t_ms[first] <= start_ms { first + 1 } else { first };
    let to = if samples.t_ms[last] >= end_ms { last } else { last + 1 };
    let inside = from..to.max(from);
    let t_ms: Vec<i64> =
        [start_ms].into_iter().chain(samples.t_ms[inside.clone()].iter().copied()).chain([end_ms]).collect();
    let values = [left].into_iter().chain(samples.values[inside].iter().copied()).chain([right]).collect();
    (samples.t_ms, samples.values) = (Arc::new(t_ms), values);
}

impl Windows {
    /// How far samples beyond a window are of interest, to the left and to the right.
    fn reach_ms(&self, ev: &Evaluator<'_>) -> (i64, i64) {
        reach_ms(self.extension, ev.lookback_ms())
    }

    pub(crate) fn edges(&self, ev: &Evaluator<'_>, grid: Grid, kind: Option<RateKind>) -> bounds::Edges {
        let reach_ms = self.reach_ms(ev);
        bounds::Edges { grid, reference: self.reference, range_ms: self.range_ms, reach_ms, kind }
    }
}

/// Calls `function` for every step at which the window of `samples` holds any, and sets `column` to what it gives.
///
/// # Errors
/// When the query is to stop: one series may take minutes.
pub(crate) fn apply(
    edges: &bounds::Edges,
    bounds: &Bounds,
    samples: &Samples,
    column: &mut Column,
    pace: &mut Pace<'_>,
    mut function: impl FnMut(usize, &Window<'_>) -> Option<Cell>,
) -> Result<()> {
    let (mut histograms_from, mut histograms_to) = (0, 0);
    for (step, (from, to)) in bounds.from.iter().zip(&bounds.to).enumerate() {
        let (from, to) = (*from as usize, *to as usize);
        let (step_edges, own) = (edges.of(step), &samples.histograms);
        let mut histograms: &[HistogramSample] = &[];
        if !own.is_empty() {
            while own.get(histograms_to).is_some_and(|h| h.t_ms <= step_edges.until_ms) {
                histograms_to += 1;
            }
            while own.get(histograms_from).is_some_and(|h| h.t_ms <= step_edges.after_ms) {
                histograms_from += 1;
            }
            histograms = own.get(histograms_from..histograms_to).unwrap_or(&[]);
        }
        if from >= to && histograms.is_empty() {
            continue;
        }
        // Before the function, which may take long over one window, and after what may have taken long to read.
        pace.pass(to - from + histograms.len() * HISTOGRAM_VALUES)?;
        let (t_ms, values) = (&samples.t_ms[from..to], &samples.values[from..to]);
        let starts = samples.starts.get(from..to).unwrap_or(&[]);
        let query = Some(pace.query());
        let window =
            Window { starts, histograms, query, ..step_edges.window(t_ms, values, from, edges.range_ms) };
        if let Some(cell) = function(step, &window) {
            column.set_cell(step, cell);
        }
        if values.len() > PIECE || histograms.len() > HISTOGRAMS_PIECE {
            // It may have been told to stop on the way.
            pace.query().check_stop()?;
        }
    }
    Ok(())
}
