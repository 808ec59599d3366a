//! Functions of range vectors, series by series.

use model::labels::{METRIC_NAME, quoted};

use super::dispatch::absent_labels;
use super::over_time;
use super::rate::{self, RateKind};
use super::sum::quantile;
use super::window::Window;
use crate::error::EvalError;
use crate::eval::aggregate::quantile_warning;
use crate::eval::column::{Column, Grid};
use crate::eval::evaluator::{Evaluator, Result};
use crate::eval::range;
use crate::parse::ast::{Expr, SelectorExtension, ValueType};

/// Functions that anchored selectors work with, sorted.
const ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
/// Functions that smoothed selectors work with, sorted.
const SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];
/// Endings of counters' names.
const COUNTER_SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];

pub(crate) fn call(
    ev: &mut Evaluator<'_>,
    name: &'static str,
    args: &[Expr],
    grid: Grid,
) -> Result<Vec<Column>> {
    let mut scalars = Vec::new();
    let mut matrix_arg = &args[0];
    for arg in args {
        if arg.value_type() == ValueType::Matrix {
            matrix_arg = arg;
        } else {
            scalars.push(ev.scalar(arg, grid)?);
        }
    }
    check_factors(name, &scalars)?;
    let windows = range::windows(ev, matrix_arg)?;
    check_extension(name, windows.extension)?;
    let mut columns = Vec::new();
    range::visit(ev, matrix_arg, windows, name, grid, &mut |ev, samples| {
        let mut column = windows.apply(ev, &samples, grid, |step, window| {
            evaluate(name, window, windows.extension, |idx| scalars[idx][step])
        });
        if column.is_absent() {
            return Ok(());
        }
        if matches!(name, "rate" | "increase") {
            note_non_counter(ev, &column, args);
        }
        // Those two only move samples in time; a subquery may have dropped the name before.
        if column.drop_name || !matches!(name, "last_over_time" | "first_over_time") {
            ev.drop_name(&mut column);
        }
        ev.hold(column.n_samples())?;
        columns.push(column);
        Ok(())
    })?;
    if name == "quantile_over_time" && !columns.is_empty() {
        for q in scalars[0].iter().filter(|q| !(0.0..=1.0).contains(*q)) {
            ev.warn(args[0].unwrapped().span, quantile_warning(*q));
        }
    }
    if name == "absent_over_time" {
        return Ok(absent_over_time(&columns, matrix_arg, grid));
    }
    ev.settle_series(columns)
}

fn check_factors(name: &str, scalars: &[Vec<f64>]) -> Result<()> {
    if name != "double_exponential_smoothing" {
        return Ok(());
    }
    for (what, values) in ["smoothing", "trend"].iter().zip(scalars) {
        if let Some(bad) = values.iter().find(|v| **v <= 0.0 || **v >= 1.0) {
            let short = if *what == "smoothing" { "sf" } else { "tf" };
            let message = format!("invalid {what} factor. Expected: 0 < {short} < 1, got: {bad:.6}");
            return Err(EvalError::Execution(message));
        }
    }
    Ok(())
}

fn check_extension(name: &str, extension: Option<SelectorExtension>) -> Result<()> {
    let (word, allowed): (_, &[&str]) = match extension {
        None => return Ok(()),
        Some(SelectorExtension::Anchored) => ("anchored", &ANCHORED),
        Some(SelectorExtension::Smoothed) => ("smoothed", &SMOOTHED),
    };
    if allowed.contains(&name) {
        return Ok(());
    }
    let list = allowed.join(", ");
    Err(EvalError::Execution(format!("{word} modifier can only be used with: {list} - not with {name}")))
}

fn note_non_counter(ev: &mut Evaluator<'_>, column: &Column, args: &[Expr]) {
    let Some(metric) = column.labels.get(METRIC_NAME) else {
        return;
    };
    let span = args[0].unwrapped().span;
    if ev.options.type_and_unit_labels {
        let metric_type = column.labels.get("__type__").unwrap_or("");
        if !matches!(metric_type, "counter" | "histogram") {
            let (got, metric) = (quoted(metric_type), quoted(metric));
            let text = format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", \
                 got {got}: {metric}"
            );
            ev.info(span, text);
        }
    } else if !COUNTER_SUFFIXES.iter().any(|suffix| metric.ends_with(suffix)) {
        let text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
        let text = format!("{text} {}", quoted(metric));
        ev.info(span, text);
    }
}

fn evaluate(
    name: &str,
    window: &Window<'_>,
    extension: Option<SelectorExtension>,
    scalar: impl Fn(usize) -> f64,
) -> Option<f64> {
    let values = window.values;
    let (first_ms, last_ms) = (*window.t_ms.first()?, *window.t_ms.last()?);
    match name {
        "rate" => rated(window, RateKind { is_counter: true, is_per_second: true }, extension),
        "increase" => rated(window, RateKind { is_counter: true, is_per_second: false }, extension),
        "delta" => rated(window, RateKind { is_counter: false, is_per_second: false }, extension),
        "irate" => rate::last_two(window, true),
        "idelta" => rate::last_two(window, false),
        "resets" => anchored_values(window, extension).map(rate::resets),
        "changes" => anchored_values(window, extension).map(rate::changes),
        "deriv" => rate::deriv(window),
        "predict_linear" => rate::predict_linear(window, scalar(0)),
        "double_exponential_smoothing" => rate::double_exponential_smoothing(values, scalar(0), scalar(1)),
        "quantile_over_time" => Some(quantile(scalar(0), &mut values.to_vec())),
        "avg_over_time" => Some(over_time::avg(values)),
        "sum_over_time" => Some(over_time::sum(values)),
        "min_over_time" => Some(over_time::min(values)),
        "max_over_time" => Some(over_time::max(values)),
        "count_over_time" => Some(values.len() as f64),
        "first_over_time" => values.first().copied(),
        "last_over_time" => values.last().copied(),
        "present_over_time" | "absent_over_time" => Some(1.0),
        "stddev_over_time" => Some(over_time::stdvar(values).sqrt()),
        "stdvar_over_time" => Some(over_time::stdvar(values)),
        "mad_over_time" => Some(over_time::mad(values)),
        "ts_of_first_over_time" => Some(first_ms as f64 / 1000.0),
        "ts_of_last_over_time" => Some(last_ms as f64 / 1000.0),
        "ts_of_max_over_time" => Some(over_time::ts_of_max(window)),
        "ts_of_min_over_time" => Some(over_time::ts_of_min(window)),
        // Unknown names are refused by `call`.
        _ => None,
    }
}

fn rated(window: &Window<'_>, kind: RateKind, extension: Option<SelectorExtension>) -> Option<f64> {
    match extension {
        None => rate::extrapolated(window, kind),
        Some(extension) => rate::extended(window, kind, extension == SelectorExtension::Smoothed),
    }
}

/// The values that count: of an anchored window, from the last one at or before its start.
fn anchored_values<'w>(window: &Window<'w>, extension: Option<SelectorExtension>) -> Option<&'w [f64]> {
    if extension.is_none() {
        return Some(window.values);
    }
    let n_before = window.t_ms.partition_point(|t| *t <= window.start_ms);
    (n_before < window.len()).then(|| &window.values[n_before.saturating_sub(1)..])
}

/// 1 wherever no series has a value.
fn absent_over_time(columns: &[Column], arg: &Expr, grid: Grid) -> Vec<Column> {
    let mut result = Column::absent(absent_labels(arg), grid.n_steps);
    for step in 0..grid.n_steps {
        if !columns.iter().any(|c| c.present[step]) {
            result.set(step, 1.0);
        }
    }
    if result.is_absent() { Vec::new() } else { vec![result] }
}

/// Which functions [`evaluate`] knows; checked against the table by a test.
#[cfg(test)]
pub(crate) fn is_known(name: &str) -> bool {
    let window =
        Window { t_ms: &[1, 2], values: &[1.0, 2.0], eval_ms: 2, start_ms: 0, end_ms: 2, range_ms: 2 };
    evaluate(name, &window, None, |_| 0.5).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_a_range_vector_is_evaluated() {
        for func in crate::FUNCTIONS.iter().filter(|f| f.args.contains(&ValueType::Matrix)) {
            assert!(is_known(func.name), "{}", func.name);
        }
    }
}
