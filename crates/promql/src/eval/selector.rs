//! Instant selectors: the newest sample of each series within the lookback, at every step.

use model::{TimeRange, is_stale};
use storage::SelectHints;

use super::column::{Column, Grid};
use super::evaluator::{Evaluator, Result};
use crate::func::rate::interpolate;
use crate::limits::TIME_MAX_MS;
use crate::parse::ast::{At, SelectorExtension, VectorSelector};
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

pub(crate) fn eval(ev: &mut Evaluator<'_>, selector: &VectorSelector, grid: Grid) -> Result<Vec<Column>> {
    if selector.extension == Some(SelectorExtension::Smoothed) {
        return smoothed(ev, selector, grid);
    }
    each_newest(ev, selector, grid, |_, value| value)
}

/// As [`eval`], but the sample's time in seconds instead of its value.
pub(crate) fn timestamps(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    grid: Grid,
) -> Result<Vec<Column>> {
    each_newest(ev, selector, grid, |t_ms, _| t_ms as f64 / 1000.0)
}

/// As [`eval`], but the sample's time in Unix milliseconds instead of its value.
pub(crate) fn sample_times(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    grid: Grid,
) -> Result<Vec<Column>> {
    each_newest(ev, selector, grid, |t_ms, _| t_ms as f64)
}

fn each_newest(
    ev: &mut Evaluator<'_>,
    selector: &VectorSelector,
    grid: Grid,
    pick: impl Fn(i64, f64) -> f64,
) -> Result<Vec<Column>> {
    let offset_ms = ev.times.offset_ms(selector.offset.as_ref())?;
    let reference = Reference::new(&ev.times, selector.at, offset_ms);
    let lookback_ms = ev.lookback_ms();
    let (first_ms, last_ms) = reference.bounds(grid);
    // The window is open on the left.
    let range = TimeRange::new(first_ms.saturating_sub(lookback_ms).saturating_add(1), last_ms);
    let hints =
        SelectHints { step_ms: if grid.is_instant() { 0 } else { grid.step_ms }, ..SelectHints::default() };
    let mut columns = Vec::new();
    let queryable = ev.queryable;
    let mut set = queryable.select(&selector.matchers, range, &hints)?;
    while let Some(series) = set.next()? {
        ev.check_stop()?;
        let mut column = Column::absent(series.labels, grid.n_steps);
        let mut n_passed = 0;
        for step in 0..grid.n_steps {
            let moment_ms = reference.of(grid.t_ms(step));
            while series.timestamps.get(n_passed).is_some_and(|t| *t <= moment_ms) {
                n_passed += 1;
            }
            let Some(idx) = n_passed.checked_sub(1) else {
                continue;
            };
            let (t_ms, value) = (series.timestamps[idx], series.values[idx]);
            if t_ms > moment_ms.saturating_sub(lookback_ms) && !is_stale(value) {
                column.set(step, pick(t_ms, value));
            }
        }
        if !column.is_absent() {
            ev.hold(column.n_samples())?;
            columns.push(column);
        }
    }
    Ok(columns)
}

/// `selector smoothed`: the value at the step itself, on the line between the samples around it.
fn smoothed(ev: &mut Evaluator<'_>, selector: &VectorSelector, grid: Grid) -> Result<Vec<Column>> {
    let offset_ms = ev.times.offset_ms(selector.offset.as_ref())?;
    let reference = Reference::new(&ev.times, selector.at, offset_ms);
    let lookback_ms = ev.lookback_ms();
    let (first_ms, last_ms) = reference.bounds(grid);
    let range = TimeRange::new(first_ms.saturating_sub(lookback_ms) + 1, last_ms.saturating_add(lookback_ms));
    let mut columns = Vec::new();
    let queryable = ev.queryable;
    let mut set = queryable.select(&selector.matchers, range, &SelectHints::default())?;
    while let Some(series) = set.next()? {
        ev.check_stop()?;
        let samples = series.timestamps.iter().copied().zip(series.values.iter().copied());
        let samples: Vec<_> = samples.filter(|(_, value)| !is_stale(*value)).collect();
        let mut column = Column::absent(series.labels, grid.n_steps);
        for step in 0..grid.n_steps {
            let moment_ms = reference.of(grid.t_ms(step));
            let from = samples.partition_point(|(t, _)| *t <= moment_ms - lookback_ms);
            let to = samples.partition_point(|(t, _)| *t <= moment_ms + lookback_ms);
            let window = &samples[from..to];
            let idx = window.partition_point(|(t, _)| *t < moment_ms);
            let value = match (idx.checked_sub(1).map(|i| window[i]), window.get(idx)) {
                (_, Some((t_ms, value))) if *t_ms == moment_ms => Some(*value),
                (Some(before), Some(after)) => Some(interpolate(before, *after, moment_ms, false)),
                (Some((_, value)), None) => Some(value),
                (None, _) => None,
            };
            if let Some(value) = value {
                column.set(step, value);
            }
        }
        if !column.is_absent() {
            ev.hold(column.n_samples())?;
            columns.push(column);
        }
    }
    Ok(columns)
}
