//! From a call in the query to the code that computes it; functions of instant vectors and scalars.

mod histograms;
mod info;
mod label;
mod ranges;
mod sort;

use std::f64::consts::PI;

use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, MatchOp};

use crate::civil::{Civil, days_in_month};
use crate::error::EvalError;
use crate::eval::column::{Column, Evaluated, Grid};
use crate::eval::evaluator::{Evaluator, Result};
use crate::eval::pace::{Pace, VALUES_PER_LOOK};
use crate::eval::selector;
use crate::func::math;
use crate::parse::ast::{Expr, ExprKind, Span, ValueType};
use crate::parse::functions::Function;

pub(crate) use self::ranges::{is_streamed, stream};

/// Evaluates `func(args)` at every step of `grid`.
pub(crate) fn call(
    ev: &mut Evaluator<'_>,
    func: &'static Function,
    args: &[Expr],
    span: Span,
    grid: Grid,
) -> Result<Evaluated> {
    let name = func.name;
    if args.iter().any(|arg| arg.value_type() == ValueType::Matrix) {
        return ranges::call(ev, func, args, grid).map(Evaluated::Vector);
    }
    if func.returns == ValueType::Scalar {
        return scalar_call(ev, name, args, grid).map(Evaluated::Scalar);
    }
    let columns = match name {
        "label_replace" => label::replace(ev, args, grid)?,
        "label_join" => label::join(ev, args, grid)?,
        "histogram_quantile" => histograms::quantile(ev, args, grid)?,
        "histogram_quantiles" => histograms::quantiles(ev, args, grid)?,
        "histogram_fraction" => histograms::fraction(ev, args, grid)?,
        "histogram_avg" | "histogram_count" | "histogram_sum" | "histogram_stddev" | "histogram_stdvar" => {
            histograms::statistic(ev, name, &args[0], grid)?
        }
        "start_timestamp" => start_timestamp(ev, &args[0], grid)?,
        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
            sort::call(ev, name, args, span, grid)?
        }
        "info" => info::call(ev, args, grid)?,
        "absent" => absent(ev, &args[0], grid)?,
        "vector" => vec![Column::full(Labels::empty(), ev.scalar(&args[0], grid)?)],
        "timestamp" => timestamp(ev, &args[0], grid)?,
        "clamp" | "clamp_min" | "clamp_max" => clamp(ev, name, args, grid)?,
        "round" => round(ev, args, grid)?,
        _ => elementwise(ev, name, args, grid)?,
    };
    Ok(Evaluated::Vector(columns))
}

fn scalar_call(ev: &mut Evaluator<'_>, name: &str, args: &[Expr], grid: Grid) -> Result<Vec<f64>> {
    let times = ev.times;
    let constant = |value: f64| Ok(vec![value; grid.n_steps]);
    match name {
        "time" => Ok((0..grid.n_steps).map(|step| grid.t_ms(step) as f64 / 1000.0).collect()),
        "pi" => constant(PI),
        "start" => constant(times.start_ms as f64 / 1000.0),
        "end" => constant(times.end_ms as f64 / 1000.0),
        "range" => constant((times.end_ms - times.start_ms) as f64 / 1000.0),
        // A range of one step has none, unlike in durations.
        "step" if times.start_ms == times.end_ms => constant(0.0),
        "step" => constant(times.step_ms as f64 / 1000.0),
        "min_of" | "max_of" => {
            let (a, b) = (ev.scalar(&args[0], grid)?, ev.scalar(&args[1], grid)?);
            let pick = if name == "min_of" { math::min } else { math::max };
            Ok(a.into_iter().zip(b).map(|(a, b)| pick(a, b)).collect())
        }
        "scalar" => {
            let columns = ev.vector(&args[0], grid)?;
            let only = |step: usize| {
                let mut values = columns.iter().filter_map(|c| c.get(step));
                match (values.next(), values.next()) {
                    (Some(value), None) => value,
                    _ => f64::NAN,
                }
            };
            let mut pace = Pace::new(ev.query_options);
            let only = |step| pace.pass(columns.len()).map(|()| only(step));
            (0..grid.n_steps).map(only).collect()
        }
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> EvalError {
    EvalError::Execution(format!("function {name}() has no evaluation"))
}

/// Applies `f` to every value of `columns` and drops their names.
fn map(
    ev: &Evaluator<'_>,
    mut columns: Vec<Column>,
    grid: Grid,
    f: impl Fn(usize, f64) -> f64,
) -> Result<Vec<Column>> {
    for column in &mut columns {
        for (nth, values) in column.values.chunks_mut(VALUES_PER_LOOK).enumerate() {
            ev.check_stop()?;
            for (step, value) in values.iter_mut().enumerate() {
                *value = f(nth * VALUES_PER_LOOK + step, *value);
            }
        }
        column.histograms.clear();
        ev.drop_name(column);
    }
    ev.settle(columns, grid)
}

/// Functions of single numbers, and dates.
fn elementwise(ev: &mut Evaluator<'_>, name: &str, args: &[Expr], grid: Grid) -> Result<Vec<Column>> {
    if let Some(f) = math::unary(name) {
        let columns = ev.vector(&args[0], grid)?;
        return map(ev, columns, grid, |_, v| f(v));
    }
    let Some(f) = date_part(name) else {
        return Err(unknown(name));
    };
    match args.first() {
        Some(arg) => {
            let columns = ev.vector(arg, grid)?;
            map(ev, columns, grid, |_, v| f(&Civil::from_unix(go_int(v))))
        }
        None => {
            // Truncates toward zero, as the division of integers does upstream.
            let value = |step: usize| f(&Civil::from_unix(grid.t_ms(step) / 1000));
            Ok(vec![Column::full(Labels::empty(), (0..grid.n_steps).map(value).collect())])
        }
    }
}

/// Truncates; what does not fit becomes the least integer, as on upstream's usual machine (amd64).
fn go_int(value: f64) -> i64 {
    let fits = value >= i64::MIN as f64 && value < -(i64::MIN as f64);
    if fits { value as i64 } else { i64::MIN }
}

fn date_part(name: &str) -> Option<fn(&Civil) -> f64> {
    Some(match name {
        "minute" => |d| d.minute as f64,
        "hour" => |d| d.hour as f64,
        "day_of_week" => |d| d.weekday as f64,
        "day_of_month" => |d| d.day as f64,
        "day_of_year" => |d| d.year_day as f64,
        "days_in_month" => |d| days_in_month(d.year, d.month) as f64,
        "month" => |d| d.month as f64,
        "year" => |d| d.year as f64,
        _ => return None,
    })
}

fn clamp(ev: &mut Evaluator<'_>, name: &str, args: &[Expr], grid: Grid) -> Result<Vec<Column>> {
    let mut columns = ev.vector(&args[0], grid)?;
    let mut bounds = Vec::new();
    for arg in &args[1..] {
        bounds.push(ev.scalar(arg, grid)?);
    }
    let limits = |step: usize| match name {
        "clamp" => (bounds[0][step], bounds[1][step]),
        "clamp_min" => (bounds[0][step], f64::INFINITY),
        _ => (f64::NEG_INFINITY, bounds[0][step]),
    };
    for column in &mut columns {
        ev.check_stop()?;
        for step in 0..grid.n_steps {
            let (min, max) = limits(step);
            column.values[step] = math::max(min, math::min(max, column.values[step]));
            let is_empty = max < min;
            column.present[step] &= !is_empty;
        }
        column.histograms.clear();
        ev.drop_name(column);
    }
    columns.retain(|column| !column.is_absent());
    ev.settle(columns, grid)
}

fn round(ev: &mut Evaluator<'_>, args: &[Expr], grid: Grid) -> Result<Vec<Column>> {
    let columns = ev.vector(&args[0], grid)?;
    let to = match args.get(1) {
        Some(arg) => ev.scalar(arg, grid)?,
        None => vec![1.0; grid.n_steps],
    };
    map(ev, columns, grid, |step, value| math::round(value, to[step]))
}

/// Of a bare selector the samples' own times, of anything else the step's.
fn timestamp(ev: &mut Evaluator<'_>, arg: &Expr, grid: Grid) -> Result<Vec<Column>> {
    match &arg.unwrapped().kind {
        ExprKind::Vector(selector) => {
            let columns = selector::timestamps(ev, selector, grid)?;
            map(ev, columns, grid, |_, t| t)
        }
        _ => {
            let mut columns = ev.vector(arg, grid)?;
            for column in &mut columns {
                column.present = column.presence().into_owned();
            }
            map(ev, columns, grid, |step, _| grid.t_ms(step) as f64 / 1000.0)
        }
    }
}

/// Since when the samples of a bare selector count; of anything else, and where start timestamps are not in use, nothing.
fn start_timestamp(ev: &mut Evaluator<'_>, arg: &Expr, grid: Grid) -> Result<Vec<Column>> {
    match &arg.unwrapped().kind {
        ExprKind::Vector(selector) if ev.options.start_timestamps => {
            let columns = selector::start_timestamps(ev, selector, grid)?;
            map(ev, columns, grid, |_, t| t)
        }
        _ => {
            ev.vector(arg, grid)?;
            Ok(Vec::new())
        }
    }
}

fn absent(ev: &mut Evaluator<'_>, arg: &Expr, grid: Grid) -> Result<Vec<Column>> {
    let columns = ev.vector(arg, grid)?;
    absent_of(ev, &columns, arg, grid)
}

/// 1 wherever none of `columns`, which `arg` gave, has a value.
pub(crate) fn absent_of(
    ev: &Evaluator<'_>,
    columns: &[Column],
    arg: &Expr,
    grid: Grid,
) -> Result<Vec<Column>> {
    let mut result = Column::absent(absent_labels(arg), grid.n_steps);
    let mut pace = Pace::new(ev.query_options);
    for step in 0..grid.n_steps {
        pace.pass(columns.len())?;
        if !columns.iter().any(|c| c.has(step)) {
            result.set(step, 1.0);
        }
    }
    Ok(if result.is_absent() { Vec::new() } else { vec![result] })
}

/// The labels that a series would have had, as far as the selector fixes them.
pub(crate) fn absent_labels(arg: &Expr) -> Labels {
    let (ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. }) = &arg.unwrapped().kind else {
        return Labels::empty();
    };
    let matchers = || selector.matchers.iter().filter(|m| m.name != METRIC_NAME);
    let mut builder = LabelsBuilder::new();
    for matcher in matchers().filter(|m| m.op == MatchOp::Equal) {
        // One that is asked for twice is not fixed.
        if matchers().filter(|other| other.name == matcher.name).count() == 1 {
            builder.set(&matcher.name, &matcher.value);
        }
    }
    builder.build()
}

/// The text of a string argument.
pub(crate) fn text(arg: &Expr) -> Result<&str> {
    match &arg.unwrapped().kind {
        ExprKind::String(text) => Ok(text),
        ExprKind::InvalidString(written) => {
            Err(EvalError::Execution(format!("string {written} is not valid UTF-8")))
        }
        _ => Err(EvalError::Execution("expected a string".to_owned())),
    }
}
