//! Instant selectors: the newest sample of each series within the lookback, at every step.

use std::sync::Arc;

use model::{Histogram, Labels, TimeRange, is_stale};
use storage::{HistogramSample, SelectHints, Series};

use super::bounds::{Remembered, first_after};
use super::column::{Cell, Column, Grid};
use super::counted;
use super::evaluator::{Buckets, Evaluator, Result};
use super::histograms::prepared;
use super::pace::Pace;
use super::scan::{self, Made, Maker, Sink};
use crate::annotations::texts;
use crate::error::EvalError;
use crate::func::histogram::rate::interpolated;
use crate::func::rate::interpolate;
use crate::func::window::Notes;
use crate::limits::TIME_MAX_MS;
use crate::parse::ast::{At, SelectorExtension, Span, VectorSelector};
use crate::plan::duration::QueryTimes;

/// Which moment each step looks at: itself or a fixed one, less the offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reference {
    pub(crate) at_ms: Option<i64>,
    pub(crate) offset_ms: i64,
}

impl Reference {
    pub(crate) fn new(times: &QueryTimes, at: Option<At>, offset_ms: i64) -> Self {
        let at_ms = at.map(|at| match at {
            // Nothing is stored that far out, so nothing is found there either way.
            At::Ms(ms) => ms.clamp(-TIME_MAX_MS, TIME_MAX_MS),
            At::Start => times.start_ms,
            At::End => times.end_ms,
        });
        Self { at_ms, offset_ms }
    }

    /// The moment that `t_ms` looks at.
    pub(crate) fn of(self, t_ms: i64) -> i64 {
        self.at_ms.unwrap_or(t_ms).saturating_sub(self.offset_ms)
    }

    /// The first and last moments that the steps of `grid` look at.
    pub(crate) fn bounds(self, grid: Grid) -> (i64, i64) {
        (self.of(grid.start_ms), self.of(grid.end_ms()))
    }
}

pub(crate) fn eval(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    span: Span,
    grid: Grid,
) -> Result<Vec<Column>> {
    if selector.extension == Some(SelectorExtension::Smoothed) {
        return smoothed(ev, selector, span, grid);
    }
    let histogram = |_: &Labels, sample: &HistogramSample| Ok(Cell::Histogram(Arc::clone(&sample.histogram)));
    each_newest(ev, selector, grid, None, histogram)
}

fn seconds(t_ms: i64) -> f64 {
    t_ms as f64 / 1000.0
}

/// As [`eval`], but the sample's time in seconds instead of its value.
pub(crate) fn timestamps(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    grid: Grid,
) -> Result<Vec<Column>> {
    let histogram = |_: &Labels, sample: &HistogramSample| Ok(Cell::Float(seconds(sample.t_ms)));
    each_newest(ev, selector, grid, Some(|point| seconds(point.t_ms)), histogram)
}

/// As [`eval`], but the time since when the sample counts, in seconds, instead of its value; 0 where not known.
pub(crate) fn start_timestamps(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    grid: Grid,
) -> Result<Vec<Column>> {
    let histogram = |_: &Labels, sample: &HistogramSample| Ok(Cell::Float(seconds(sample.start_ms)));
    each_newest(ev, selector, grid, Some(|point| seconds(point.start_ms)), histogram)
}

/// As [`eval`], but the sample's time in Unix milliseconds instead of its value, which must be a float.
pub(crate) fn sample_times(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    grid: Grid,
) -> Result<Vec<Column>> {
    let refuse = |labels: &Labels, _: &HistogramSample| {
        let message = format!("this should be an info metric, with float samples: {labels}");
        Err(EvalError::Execution(message))
    };
    each_newest(ev, selector, grid, Some(|point| point.t_ms as f64), refuse)
}

/// A float as a selector finds it.
#[derive(Clone, Copy)]
struct Point {
    t_ms: i64,
    /// 0 where not known.
    start_ms: i64,
    value: f64,
}

/// As [`eval`] without `smoothed`, each series handed to `sink`.
pub(crate) fn stream(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let histogram = |_: &Labels, sample: &HistogramSample| Ok(Cell::Histogram(Arc::clone(&sample.histogram)));
    stream_newest(ev, selector, grid, None, histogram, sink)
}

type OfFloat = fn(Point) -> f64;

fn each_newest(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    grid: Grid,
    of_float: Option<OfFloat>,
    of_histogram: impl Fn(&Labels, &HistogramSample) -> Result<Cell> + Sync,
) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    stream_newest(ev, selector, grid, of_float, of_histogram, &mut |ev, column| {
        ev.hold(column.n_samples())?;
        columns.push(column);
        Ok(())
    })?;
    Ok(columns)
}

fn stream_newest(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    grid: Grid,
    of_float: Option<OfFloat>,
    of_histogram: impl Fn(&Labels, &HistogramSample) -> Result<Cell> + Sync,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let (reference, range) = window(ev, selector, grid)?;
    let lookback_ms = ev.lookback_ms();
    let step_ms = if grid.is_instant() { 0 } else { grid.step_ms };
    let stop = ev.query_options.stop();
    let hints = SelectHints { step_ms, lookback_ms, stop, ..SelectHints::default() };
    let set = ev.select(selector, range, &hints)?;
    let (buckets, is_counted) = (ev.buckets, ev.counts.is_asked());
    let maker = NewestMaker { grid, reference, lookback_ms, buckets, is_counted, of_float, of_histogram };
    scan::scan(ev, set, range.end_ms.saturating_sub(range.start_ms), grid.n_steps, &maker, sink)
}

/// Which moments the steps of `grid` look at, and the range of all of them with the lookback.
pub(crate) fn window(
    ev: &Evaluator<'_>,
    selector: &VectorSelector,
    grid: Grid,
) -> Result<(Reference, TimeRange)> {
    let offset_ms = ev.times.offset_ms(selector.offset.as_ref())?;
    let reference = Reference::new(&ev.times, selector.at, offset_ms);
    let (first_ms, last_ms) = reference.bounds(grid);
    // The window is open on the left.
    let from_ms = first_ms.saturating_sub(ev.lookback_ms()).saturating_add(1);
    Ok((reference, TimeRange::new(from_ms, last_ms)))
}

/// What [`eval`] makes of one series.
pub(crate) fn newest_of(
    ev: &Evaluator<'_>,
    selector: &VectorSelector,
    grid: Grid,
    series: Series,
) -> Result<Option<Column>> {
    let (reference, _) = window(ev, selector, grid)?;
    let of_histogram =
        |_: &Labels, sample: &HistogramSample| Ok(Cell::Histogram(Arc::clone(&sample.histogram)));
    let lookback_ms = ev.lookback_ms();
    let maker = NewestMaker {
        grid,
        reference,
        lookback_ms,
        buckets: ev.buckets,
        is_counted: false,
        of_float: None,
        of_histogram,
    };
    Ok(maker.make(&mut Remembered::default(), series)?.column)
}

/// Takes the newest sample at each step, series by series.
struct NewestMaker<H> {
    grid: Grid,
    reference: Reference,
    lookback_ms: i64,
    buckets: Buckets,
    is_counted: bool,
    /// `None` for the value itself.
    of_float: Option<OfFloat>,
    of_histogram: H,
}

/// No sample at all.
const NOTHING: u32 = u32::MAX;

impl<H: Fn(&Labels, &HistogramSample) -> Result<Cell> + Sync> Maker for NewestMaker<H> {
    type Memory = Remembered<Vec<u32>>;

    fn make(&self, memory: &mut Self::Memory, series: Series) -> Result<Made> {
        let n_steps = self.grid.n_steps;
        let newest = memory.get(&series.timestamps, n_steps * size_of::<u32>(), |t_ms| self.newest(t_ms));
        let mut column = Column::absent(series.labels.clone(), n_steps);
        if series.histograms.is_empty() && self.of_float.is_none() {
            let places = column.values.iter_mut().zip(&mut column.present);
            for (idx, (value, present)) in newest.iter().zip(places) {
                if let Some(found) = series.values.get(*idx as usize).filter(|found| !is_stale(**found)) {
                    (*value, *present) = (*found, true);
                }
            }
        } else {
            self.set_each(&newest, series, &mut column)?;
        }
        let column = Some(column).filter(|column| !column.is_absent());
        let counted = column.as_ref().filter(|_| self.is_counted).map(counted::of_column).unwrap_or_default();
        Ok(Made { column, notes: None, n_read: 0, counted })
    }
}

impl<H: Fn(&Labels, &HistogramSample) -> Result<Cell> + Sync> NewestMaker<H> {
    /// For each step the number of the sample, or [`NOTHING`].
    fn newest(&self, t_ms: &[i64]) -> Vec<u32> {
        let mut n_passed = 0;
        let newest = |step: usize| {
            let moment_ms = self.reference.of(self.grid.t_ms(step));
            n_passed = first_after(t_ms, n_passed, moment_ms);
            let oldest_ms = moment_ms.saturating_sub(self.lookback_ms);
            n_passed.checked_sub(1).filter(|idx| t_ms[*idx] > oldest_ms).map_or(NOTHING, |idx| idx as u32)
        };
        (0..self.grid.n_steps).map(newest).collect()
    }

    fn set_each(&self, newest: &[u32], series: Series, column: &mut Column) -> Result<()> {
        let histograms = prepared(series.histograms, self.buckets);
        let mut n_passed = 0;
        for (step, idx) in newest.iter().enumerate() {
            let idx = *idx as usize;
            let point = series.values.get(idx).map(|value| Point {
                t_ms: series.timestamps[idx],
                start_ms: series.starts.get(idx).copied().unwrap_or(0),
                value: *value,
            });
            let moment_ms = self.reference.of(self.grid.t_ms(step));
            while histograms.get(n_passed).is_some_and(|h| h.t_ms <= moment_ms) {
                n_passed += 1;
            }
            let last = n_passed.checked_sub(1).map(|idx| &histograms[idx]);
            if let Some(last) = last.filter(|last| point.is_none_or(|point| point.t_ms < last.t_ms)) {
                if last.t_ms > moment_ms.saturating_sub(self.lookback_ms) && !is_stale(last.histogram.sum) {
                    let cell = (self.of_histogram)(&column.labels, last)?;
                    column.set_cell(step, cell);
                }
            } else if let Some(point) = point.filter(|point| !is_stale(point.value)) {
                column.set(step, self.of_float.map_or(point.value, |of_float| of_float(point)));
            }
        }
        Ok(())
    }
}

/// What a step of a smoothed selector counts for, in values that are passed. Chosen: it is searched for.
const SMOOTHED_VALUES: usize = 64;

/// `selector smoothed`: the value at the step itself, on the line between the samples around it.
fn smoothed(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    span: Span,
    grid: Grid,
) -> Result<Vec<Column>> {
    let offset_ms = ev.times.offset_ms(selector.offset.as_ref())?;
    let reference = Reference::new(&ev.times, selector.at, offset_ms);
    let lookback_ms = ev.lookback_ms();
    let (first_ms, last_ms) = reference.bounds(grid);
    let range = TimeRange::new(first_ms.saturating_sub(lookback_ms) + 1, last_ms.saturating_add(lookback_ms));
    let mut columns = Vec::new();
    let hints = SelectHints { lookback_ms, ..SelectHints::default() };
    let mut set = ev.select(selector, range, &hints)?;
    scan::expect(ev, set.as_ref(), range.end_ms.saturating_sub(range.start_ms), grid.n_steps)?;
    while let Some(series) = set.next()? {
        ev.take_series(series.values.len() + series.histograms.len())?;
        let samples = series.timestamps.iter().copied().zip(series.values.iter().copied());
        let samples: Vec<_> = samples.filter(|(_, value)| !is_stale(*value)).collect();
        let histograms = prepared(series.histograms, ev.buckets).into_iter();
        let histograms: Vec<_> = histograms.filter(|h| !is_stale(h.histogram.sum)).collect();
        let mut column = Column::absent(series.labels.clone(), grid.n_steps);
        let mut notes = Notes::new(&series.labels, span);
        let mut pace = Pace::new(ev.query_options);
        for step in 0..grid.n_steps {
            pace.pass(SMOOTHED_VALUES)?;
            let moment_ms = reference.of(grid.t_ms(step));
            let window = within(&samples, |(t_ms, _)| *t_ms, moment_ms, lookback_ms);
            let beside = within(&histograms, |h| h.t_ms, moment_ms, lookback_ms);
            let cell = match (window.is_empty(), beside.is_empty()) {
                (_, true) => smoothed_float(window, moment_ms).map(Cell::Float),
                (true, false) => smoothed_histogram(beside, moment_ms, &mut notes).map(Cell::Histogram),
                (false, false) => {
                    notes.warn(texts::mixed_samples(notes.metric));
                    None
                }
            };
            if let Some(cell) = cell {
                column.set_cell(step, cell);
            }
        }
        let notes = notes.finish();
        ev.note(notes);
        if !column.is_absent() {
            if ev.counts.is_asked() {
                ev.counts.add(&counted::of_column(&column));
            }
            ev.hold(column.n_samples())?;
            columns.push(column);
        }
    }
    Ok(columns)
}

/// Those not further away from `moment_ms` than the lookback.
fn within<T>(samples: &[T], t_ms: impl Fn(&T) -> i64, moment_ms: i64, lookback_ms: i64) -> &[T] {
    let from = samples.partition_point(|sample| t_ms(sample) <= moment_ms - lookback_ms);
    let to = samples.partition_point(|sample| t_ms(sample) <= moment_ms + lookback_ms);
    &samples[from..to.max(from)]
}

fn smoothed_float(window: &[(i64, f64)], moment_ms: i64) -> Option<f64> {
    let idx = window.partition_point(|(t, _)| *t < moment_ms);
    match (idx.checked_sub(1).map(|i| window[i]), window.get(idx)) {
        (_, Some((t_ms, value))) if *t_ms == moment_ms => Some(*value),
        (Some(before), Some(after)) => Some(interpolate(before, *after, moment_ms, false)),
        (Some((_, value)), None) => Some(value),
        (None, _) => None,
    }
}

fn smoothed_histogram(
    window: &[HistogramSample],
    moment_ms: i64,
    notes: &mut Notes<'_>,
) -> Option<Arc<Histogram>> {
    use model::histogram::ResetHint;
    let idx = window.partition_point(|h| h.t_ms < moment_ms);
    match (idx.checked_sub(1).map(|i| &window[i]), window.get(idx)) {
        (_, Some(exact)) if exact.t_ms == moment_ms => Some(Arc::clone(&exact.histogram)),
        (Some(before), Some(after)) => {
            let is_gauge = |h: &HistogramSample| h.histogram.reset_hint == ResetHint::Gauge;
            let is_counter = !is_gauge(before) || !is_gauge(after);
            interpolated(before, after, moment_ms, is_counter, notes).map(Arc::new)
        }
        (Some(before), None) => {
            // The hint is about two samples, and this one stands alone.
            Some(Arc::new(Histogram { reset_hint: ResetHint::Unknown, ..(*before.histogram).clone() }))
        }
        (None, _) => None,
    }
}
