//! Functions of range vectors, series by series.

use std::sync::Arc;

use model::Histogram;
use model::labels::{METRIC_NAME, quoted};
use storage::HistogramSample;

use super::dispatch::absent_labels;
use super::histogram::over_time::Gathering;
use super::rate::{self, RateKind};
use super::slide::Slide;
use super::sum::quantile;
use super::window::{Notes, Window};
use super::{histogram, merged, over_time};
use crate::annotations::texts;
use crate::error::EvalError;
use crate::eval::aggregate::quantile_warning;
use crate::eval::column::{Cell, Column, Grid};
use crate::eval::evaluator::{Evaluator, Result};
use crate::eval::range::{self, Samples};
use crate::parse::ast::{Expr, ExprKind, SelectorExtension, Span, ValueType};

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
    let function = Call::new(name, windows.extension);
    // The result of a subquery has no place in the query.
    let span = match &matrix_arg.unwrapped().kind {
        ExprKind::Subquery { .. } => Span::default(),
        // Upstream takes the first argument, whatever it is.
        _ if name == "quantile_over_time" => args[0].unwrapped().span,
        _ => matrix_arg.unwrapped().span,
    };
    let mut columns = Vec::new();
    range::visit(ev, matrix_arg, windows, name, grid, &mut |ev, samples| {
        let mut notes = Notes::new(&samples.labels, span);
        let mut column = match function.slide(&samples) {
            Some(mut slide) => {
                windows.apply(ev, &samples, grid, |_, window| slide.value(window).map(Cell::Float))
            }
            None => windows.apply(ev, &samples, grid, |step, window| {
                function.evaluate(window, &mut notes, |idx| scalars[idx][step])
            }),
        };
        ev.note(notes.finish());
        if column.is_absent() {
            return Ok(());
        }
        if matches!(name, "rate" | "increase") && column.present.contains(&true) {
            note_non_counter(ev, &column, span);
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

fn note_non_counter(ev: &mut Evaluator<'_>, column: &Column, span: Span) {
    let Some(metric) = column.labels.get(METRIC_NAME) else {
        return;
    };
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

/// What does not change from window to window.
#[derive(Clone, Copy)]
struct Call<'a> {
    name: &'a str,
    extension: Option<SelectorExtension>,
    /// Of the three that extrapolate.
    kind: Option<RateKind>,
}

impl<'a> Call<'a> {
    fn new(name: &'a str, extension: Option<SelectorExtension>) -> Self {
        let kind = match name {
            "rate" => Some(RateKind { is_counter: true, is_per_second: true }),
            "increase" => Some(RateKind { is_counter: true, is_per_second: false }),
            "delta" => Some(RateKind { is_counter: false, is_per_second: false }),
            _ => None,
        };
        Self { name, extension, kind }
    }

    fn is_extended(self) -> bool {
        self.extension.is_some()
    }

    /// For plain floats, where something can be remembered from window to window.
    fn slide(self, samples: &Samples) -> Option<Slide> {
        let is_plain = samples.histograms.is_empty() && samples.starts.is_empty() && !self.is_extended();
        if is_plain { Slide::of(self.name, self.kind) } else { None }
    }

    fn evaluate(
        self,
        window: &Window<'_>,
        notes: &mut Notes<'_>,
        scalar: impl Fn(usize) -> f64,
    ) -> Option<Cell> {
        if window.histograms.is_empty() {
            if !window.starts.is_empty() && matches!(self.name, "rate" | "increase") && !self.is_extended() {
                notes.check_overlap((0..window.len()).map(|idx| window.stamp(idx)));
            }
            return self.of_floats(window, scalar).map(Cell::Float);
        }
        self.with_histograms(window, notes, scalar)
    }

    fn of_floats(self, window: &Window<'_>, scalar: impl Fn(usize) -> f64) -> Option<f64> {
        let values = window.values;
        let (first_ms, last_ms) = (*window.t_ms.first()?, *window.t_ms.last()?);
        if let Some(kind) = self.kind {
            return match self.extension {
                None => rate::extrapolated(window, kind),
                Some(extension) => rate::extended(window, kind, extension == SelectorExtension::Smoothed),
            };
        }
        match self.name {
            "irate" => rate::last_two(window, true),
            "idelta" => rate::last_two(window, false),
            "resets" => merged::resets(window, self.is_extended()),
            "changes" => merged::changes(window, self.is_extended()),
            "deriv" => rate::deriv(window),
            "predict_linear" => rate::predict_linear(window, scalar(0)),
            "double_exponential_smoothing" => {
                rate::double_exponential_smoothing(values, scalar(0), scalar(1))
            }
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

    /// Of a window that holds histograms, and perhaps floats.
    fn with_histograms(
        self,
        window: &Window<'_>,
        notes: &mut Notes<'_>,
        scalar: impl Fn(usize) -> f64,
    ) -> Option<Cell> {
        let histograms = window.histograms;
        let (first, last) = (histograms.first()?, histograms.last()?);
        let has_floats = window.len() > 0;
        match self.name {
            "rate" | "increase" | "delta" | "sum_over_time" | "avg_over_time" if has_floats => {
                notes.warn(texts::mixed_samples(notes.metric));
                None
            }
            "rate" | "increase" | "delta" => {
                let kind = self.kind?;
                let result = match self.extension {
                    None => histogram::rate::extrapolated(window, kind, notes),
                    Some(extension) => {
                        let is_smoothed = extension == SelectorExtension::Smoothed;
                        histogram::rate::extended(window, kind, is_smoothed, notes)
                    }
                };
                result.map(Cell::from)
            }
            "irate" => merged::last_two(window, true, notes),
            "idelta" => merged::last_two(window, false, notes),
            "resets" => merged::resets(window, self.is_extended()).map(Cell::Float),
            "changes" => merged::changes(window, self.is_extended()).map(Cell::Float),
            "sum_over_time" | "avg_over_time" => gathered(self.name, histograms, notes).map(Cell::from),
            "count_over_time" => Some(Cell::Float((window.len() + histograms.len()) as f64)),
            "first_over_time" if window.t_ms.first().is_some_and(|t| *t < first.t_ms) => {
                window.values.first().copied().map(Cell::Float)
            }
            "first_over_time" => Some(Cell::Histogram(Arc::clone(&first.histogram))),
            "last_over_time" if window.t_ms.last().is_some_and(|t| *t > last.t_ms) => {
                window.values.last().copied().map(Cell::Float)
            }
            "last_over_time" => Some(Cell::Histogram(Arc::clone(&last.histogram))),
            "present_over_time" | "absent_over_time" => Some(Cell::Float(1.0)),
            "ts_of_first_over_time" => {
                let t_ms = window.t_ms.first().map_or(first.t_ms, |t| first.t_ms.min(*t));
                Some(Cell::Float(t_ms as f64 / 1000.0))
            }
            "ts_of_last_over_time" => {
                let t_ms = window.t_ms.last().map_or(last.t_ms, |t| last.t_ms.max(*t));
                Some(Cell::Float(t_ms as f64 / 1000.0))
            }
            // The others look at floats alone.
            _ => {
                if !has_floats {
                    return None;
                }
                notes.info(texts::ignored_in_range(notes.metric));
                self.of_floats(window, scalar).map(Cell::Float)
            }
        }
    }
}

fn gathered(name: &str, samples: &[HistogramSample], notes: &mut Notes<'_>) -> Option<Histogram> {
    let is_mean = name == "avg_over_time";
    let (first, rest) = samples.split_first()?;
    let mut gathering = Gathering::new(&first.histogram);
    for sample in rest {
        let result =
            if is_mean { gathering.add_to_mean(&sample.histogram) } else { gathering.add(&sample.histogram) };
        if result.is_err() {
            notes.warn(texts::mixed_schemas(notes.metric));
            return None;
        }
    }
    let (warning, info) = gathering.remarks();
    if let Some(text) = warning {
        notes.warn(text);
    }
    if let Some(text) = info {
        notes.info(text);
    }
    Some(if is_mean { gathering.mean() } else { gathering.sum() })
}

/// 1 wherever no series has a value.
fn absent_over_time(columns: &[Column], arg: &Expr, grid: Grid) -> Vec<Column> {
    let mut result = Column::absent(absent_labels(arg), grid.n_steps);
    for step in 0..grid.n_steps {
        if !columns.iter().any(|c| c.has(step)) {
            result.set(step, 1.0);
        }
    }
    if result.is_absent() { Vec::new() } else { vec![result] }
}

/// Which functions [`Call::of_floats`] knows; checked against the table by a test.
#[cfg(test)]
pub(crate) fn is_known(name: &str) -> bool {
    let window = Window {
        t_ms: &[1, 2],
        values: &[1.0, 2.0],
        offset: 0,
        starts: &[],
        histograms: &[],
        eval_ms: 2,
        start_ms: 0,
        end_ms: 2,
        range_ms: 2,
    };
    Call::new(name, None).of_floats(&window, |_| 0.5).is_some()
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
