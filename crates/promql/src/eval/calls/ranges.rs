//! Functions of range vectors, series by series.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use model::labels::{METRIC_NAME, METRIC_TYPE, METRIC_UNIT, quoted};
use model::{Histogram, Labels, MatchOp};
use storage::Series;

use super::absent_of;
use crate::QueryOptions;
use crate::annotations::texts;
use crate::error::EvalError;
use crate::eval::aggregate::quantile_warning;
use crate::eval::bounds::{Bounds, Edges, Remembered};
use crate::eval::column::{Cell, Column, Grid, same_labelset, without_metadata};
use crate::eval::counted;
use crate::eval::evaluator::{Evaluator, Result};
use crate::eval::pace::Pace;
use crate::eval::range::{self, Reading, Samples};
use crate::eval::scan::{self, Made, Maker, Sink};
use crate::eval::{fast, merged, subquery};
use crate::func::histogram::{self, over_time::Gathering};
use crate::func::rate::{self, RateKind};
use crate::func::slide::Slide;
use crate::func::window::{HISTOGRAMS_PIECE, Notes, Window};
use crate::func::{folded, over_time};
use crate::parse::ast::{Expr, ExprKind, SelectorExtension, Span, ValueType};
use crate::parse::functions::Function;

/// Functions that anchored selectors work with, sorted.
const ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
/// Functions that smoothed selectors work with, sorted.
const SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];
/// Endings of counters' names.
const COUNTER_SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];

/// Whether [`stream`] can hand on the results of `func` one by one.
pub(crate) fn is_streamed(func: &Function, args: &[Expr]) -> bool {
    func.name != "absent_over_time" && args.iter().any(|arg| arg.value_type() == ValueType::Matrix)
}

pub(crate) fn call(
    ev: &mut Evaluator<'_>,
    func: &'static Function,
    args: &[Expr],
    grid: Grid,
) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    stream(ev, func, args, grid, &mut |ev, column| {
        ev.hold(column.n_samples())?;
        columns.push(column);
        Ok(())
    })?;
    if func.name == "absent_over_time" {
        let matrix = args.iter().find(|arg| arg.value_type() == ValueType::Matrix);
        return absent_of(ev, &columns, matrix.unwrap_or(&args[0]), grid);
    }
    Ok(columns)
}

/// Evaluates `func`, which has a range vector among its arguments, and hands its series to `sink` one by one.
pub(crate) fn stream(
    ev: &mut Evaluator<'_>,
    func: &'static Function,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let name = func.name;
    let mut scalars = Vec::new();
    let mut matrix_arg = &args[0];
    for arg in args {
        if arg.value_type() == ValueType::Matrix {
            matrix_arg = arg;
        } else {
            scalars.push(ev.scalar(arg, grid)?);
        }
    }
    let windows = range::windows(ev, matrix_arg)?;
    check_extension(name, windows.extension)?;
    let matrix = matrix_arg.unwrapped();
    let span = span_of(name, args, matrix);
    let function = Call::new(name, windows.extension);
    let mut maker = RangeMaker {
        function,
        query: ev.query_options,
        source: None,
        edges: windows.edges(ev, grid, function.kind),
        reading: Reading::new(ev, name),
        scalars: &scalars,
        refused: OnceLock::new(),
        is_counted: ev.counts.is_asked(),
        span,
        drops_at_once: ev.drops_names_at_once(),
        type_and_unit_labels: ev.options.type_and_unit_labels,
    };
    let mut twins = Twins::new(ev, name, matrix);
    let mut any = false;
    let checked: &mut Sink<'_> = &mut |ev, column| {
        any = true;
        twins.check(&column)?;
        sink(ev, column)
    };
    match &matrix.kind {
        ExprKind::Matrix { selector, .. } => {
            let selection = range::select(ev, selector, windows, name, grid)?;
            let length_ms = selection.length_ms();
            maker.source = Some(selection.source());
            scan::scan(ev, selection.set, length_ms, grid.n_steps, &maker, checked)?;
        }
        ExprKind::Subquery { expr: inner, step, .. } => {
            let mut memory = Remembered::default();
            // What the inner steps looked at is not counted: the windows over their results are.
            for samples in subquery::eval(ev, inner, step.as_ref(), windows, grid)?.0 {
                ev.check_stop()?;
                let made = maker.column(&mut memory, &samples)?;
                scan::take(ev, made, checked)?;
            }
        }
        _ => return Err(EvalError::Execution("expected a range vector".to_owned())),
    }
    if let Some(err) = maker.refused.into_inner() {
        return Err(err);
    }
    if name == "quantile_over_time" && any {
        warn_quantiles(ev, &scalars[0], args[0].unwrapped().span);
    }
    Ok(())
}

fn warn_quantiles(ev: &mut Evaluator<'_>, quantiles: &[f64], span: Span) {
    for q in quantiles.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
        ev.warn(span, quantile_warning(*q));
    }
}

/// Where annotations point to: the result of a subquery has no place in the query.
fn span_of(name: &str, args: &[Expr], matrix: &Expr) -> Span {
    match &matrix.kind {
        // Upstream takes the first argument, whatever it is.
        _ if name == "quantile_over_time" => args[0].unwrapped().span,
        ExprKind::Subquery { .. } => Span::default(),
        _ => matrix.span,
    }
}

/// Finds series that became the same when their names were dropped.
struct Twins {
    /// `None` where there can be none.
    seen: Option<HashSet<Labels>>,
    /// The selector has one name, and the rest tells series apart unless that was dropped too.
    is_one_metric: bool,
}

impl Twins {
    fn new(ev: &Evaluator<'_>, name: &str, matrix: &Expr) -> Self {
        let is_checked = ev.drops_names_at_once() && name != "absent_over_time";
        let is_one_metric = match &matrix.kind {
            ExprKind::Matrix { selector, .. } => {
                selector.matchers.iter().any(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal)
                    && !ev.options.type_and_unit_labels
            }
            _ => false,
        };
        Self { seen: is_checked.then(HashSet::new), is_one_metric }
    }

    fn check(&mut self, column: &Column) -> Result<()> {
        let Some(seen) = &mut self.seen else { return Ok(()) };
        if self.is_one_metric && !column.lost_metadata {
            return Ok(());
        }
        if seen.insert(column.labels.clone()) { Ok(()) } else { Err(same_labelset()) }
    }
}

/// Makes the results of a function of a range vector, series by series.
struct RangeMaker<'a> {
    function: Call<'a>,
    /// Tells when to stop.
    query: &'a QueryOptions,
    /// Where series are read again that summaries are not enough for.
    source: Option<range::Source<'a>>,
    edges: Edges,
    reading: Reading,
    scalars: &'a [Vec<f64>],
    /// Why there is no answer, found where a value was needed.
    refused: OnceLock<EvalError>,
    is_counted: bool,
    span: Span,
    drops_at_once: bool,
    type_and_unit_labels: bool,
}

impl Maker for RangeMaker<'_> {
    type Memory = Remembered<Bounds>;

    fn make(&self, memory: &mut Self::Memory, series: Series) -> Result<Made> {
        if series.summaries.is_empty() {
            return self.column(memory, &self.reading.samples(series));
        }
        let has_starts = self.reading.with_starts && !series.starts.is_empty();
        if series.histograms.is_empty() && !has_starts {
            return Ok(self.folded(&series));
        }
        // Floats that became something else.
        let whole = match &self.source {
            Some(source) => source.read(&series.labels)?,
            None => series,
        };
        self.column(memory, &self.reading.samples(whole))
    }
}

impl RangeMaker<'_> {
    fn column(&self, memory: &mut Remembered<Bounds>, samples: &Samples) -> Result<Made> {
        let n_read = samples.n_samples();
        if samples.is_empty() {
            return Ok(Made { column: None, notes: None, n_read, counted: Vec::new() });
        }
        let n_steps = self.edges.grid.n_steps;
        let bounds =
            memory.get(&samples.t_ms, n_steps * size_of::<[f64; 3]>(), |t_ms| self.edges.bounds(t_ms));
        let mut notes = Notes::new(&samples.labels, self.span);
        let mut column = Column::absent(samples.labels.clone(), n_steps);
        column.drop_name = samples.drop_name;
        self.compute(&bounds, samples, &mut notes, &mut column)?;
        let mut made = self.made(column, notes, n_read);
        if self.is_counted {
            made.counted = counted::of_windows(&self.edges, &bounds, samples, self.source.is_some());
        }
        Ok(made)
    }

    fn made(&self, mut column: Column, mut notes: Notes<'_>, n_read: u64) -> Made {
        let is_absent = column.is_absent();
        if !is_absent {
            self.name(&mut column, &mut notes);
        }
        let notes = Some(notes.finish()).filter(|notes| !notes.is_empty());
        Made { column: (!is_absent).then_some(column), notes, n_read, counted: Vec::new() }
    }

    /// The result of one window of which the store gave summaries.
    fn folded(&self, series: &Series) -> Made {
        let window = self.edges.of(0).window(&[], &[], 0, self.edges.range_ms);
        let notes = Notes::new(&series.labels, self.span);
        let mut column = Column::absent(series.labels.clone(), self.edges.grid.n_steps);
        if let Some(value) = folded::value(self.function.name, self.function.kind, series, &window) {
            column.set(0, value);
        }
        let mut made = self.made(column, notes, series.values.len() as u64);
        if self.is_counted {
            made.counted = counted::of_summaries(series);
        }
        made
    }

    fn compute(
        &self,
        bounds: &Bounds,
        samples: &Samples,
        notes: &mut Notes<'_>,
        column: &mut Column,
    ) -> Result<()> {
        let (edges, function) = (&self.edges, self.function);
        let pace = &mut Pace::new(self.query);
        let is_plain = samples.histograms.is_empty() && samples.starts.is_empty() && !function.is_extended();
        if !is_plain {
            range::apply(edges, bounds, samples, column, pace, |step, window| {
                function.evaluate(window, notes, |idx| self.scalar(idx, step))
            })
        } else if let Some(kind) = function.kind {
            fast::extrapolated(edges, bounds, kind, (&samples.t_ms, &samples.values), column, pace)
        } else if let Some(of_window) =
            function.simple.filter(|_| edges.grid.is_instant() || !function.slides())
        {
            range::apply(edges, bounds, samples, column, pace, |_, window| of_window(window).map(Cell::Float))
        } else if let Some(mut slide) = function.slide() {
            range::apply(edges, bounds, samples, column, pace, |_, window| {
                slide.value(window).map(Cell::Float)
            })
        } else {
            range::apply(edges, bounds, samples, column, pace, |step, window| {
                function.of_floats(window, |idx| self.scalar(idx, step)).map(Cell::Float)
            })
        }
    }

    /// An argument at a step. A factor is looked at only where there is something to smooth, as upstream.
    fn scalar(&self, idx: usize, step: usize) -> f64 {
        let value = self.scalars[idx][step];
        if self.function.name == "double_exponential_smoothing" && (value <= 0.0 || value >= 1.0) {
            let _ = self.refused.set(bad_factor(idx, value));
        }
        value
    }

    /// Settles the name of a result, and says when it is no counter's.
    fn name(&self, column: &mut Column, notes: &mut Notes<'_>) {
        let name = self.function.name;
        if matches!(name, "rate" | "increase") && column.present.contains(&true) {
            note_non_counter(&column.labels, self.type_and_unit_labels, notes);
        }
        // Those two only move samples in time; a subquery may have dropped the name before.
        if column.drop_name || !matches!(name, "last_over_time" | "first_over_time") {
            column.drop_name = true;
            if self.drops_at_once {
                let labels = without_metadata(&column.labels);
                let is_of_metadata = |(name, _): &(&str, &str)| *name == METRIC_TYPE || *name == METRIC_UNIT;
                column.lost_metadata = column.labels.iter().any(|pair| is_of_metadata(&pair));
                column.labels = labels;
            }
        }
    }
}

fn bad_factor(idx: usize, bad: f64) -> EvalError {
    let (what, short) = if idx == 0 { ("smoothing", "sf") } else { ("trend", "tf") };
    let got = if bad.is_finite() { format!("{bad:.6}") } else { model::float::format_f(bad) };
    EvalError::Execution(format!("invalid {what} factor. Expected: 0 < {short} < 1, got: {got}"))
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

fn note_non_counter(labels: &Labels, type_and_unit_labels: bool, notes: &mut Notes<'_>) {
    let Some(metric) = labels.get(METRIC_NAME) else {
        return;
    };
    if type_and_unit_labels {
        let metric_type = labels.get(METRIC_TYPE).unwrap_or("");
        if !matches!(metric_type, "counter" | "histogram") {
            let (got, metric) = (quoted(metric_type), quoted(metric));
            let text = format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", \
                 got {got}: {metric}"
            );
            notes.info(text);
        }
    } else if !COUNTER_SUFFIXES.iter().any(|suffix| metric.ends_with(suffix)) {
        let text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
        notes.info(format!("{text} {}", quoted(metric)));
    }
}

/// What does not change from window to window.
#[derive(Clone, Copy)]
struct Call<'a> {
    name: &'a str,
    extension: Option<SelectorExtension>,
    /// Of the three that extrapolate.
    kind: Option<RateKind>,
    /// Of those that need nothing but floats, each window by itself.
    simple: Option<OfWindow>,
}

type OfWindow = fn(&Window<'_>) -> Option<f64>;

/// Functions of one window's floats alone.
fn simple(name: &str) -> Option<OfWindow> {
    Some(match name {
        "irate" => |w| rate::last_two(w, true),
        "idelta" => |w| rate::last_two(w, false),
        "resets" => |w| merged::resets(w, false),
        "changes" => |w| merged::changes(w, false),
        "deriv" => rate::deriv,
        "avg_over_time" => |w| Some(over_time::avg(w)),
        "sum_over_time" => |w| Some(over_time::sum(w)),
        "min_over_time" => |w| fast::min(w.values),
        "max_over_time" => |w| fast::max(w.values),
        "count_over_time" => |w| Some(w.values.len() as f64),
        "first_over_time" => |w| w.values.first().copied(),
        "last_over_time" => |w| w.values.last().copied(),
        "present_over_time" | "absent_over_time" => |w| w.values.first().map(|_| 1.0),
        "stddev_over_time" => |w| Some(over_time::stdvar(w).sqrt()),
        "stdvar_over_time" => |w| Some(over_time::stdvar(w)),
        "mad_over_time" => |w| Some(over_time::mad(w)),
        "ts_of_first_over_time" => |w| w.t_ms.first().map(|t_ms| *t_ms as f64 / 1000.0),
        "ts_of_last_over_time" => |w| w.t_ms.last().map(|t_ms| *t_ms as f64 / 1000.0),
        "ts_of_max_over_time" => |w| Some(over_time::ts_of_max(w)),
        "ts_of_min_over_time" => |w| Some(over_time::ts_of_min(w)),
        _ => return None,
    })
}

impl<'a> Call<'a> {
    fn new(name: &'a str, extension: Option<SelectorExtension>) -> Self {
        let kind = match name {
            "rate" => Some(RateKind { is_counter: true, is_per_second: true }),
            "increase" => Some(RateKind { is_counter: true, is_per_second: false }),
            "delta" => Some(RateKind { is_counter: false, is_per_second: false }),
            _ => None,
        };
        Self { name, extension, kind, simple: simple(name) }
    }

    fn is_extended(self) -> bool {
        self.extension.is_some()
    }

    /// Whether something of a window of plain floats is of use for the next one.
    fn slides(self) -> bool {
        Slide::of(self.name).is_some()
    }

    fn slide(self) -> Option<Slide> {
        Slide::of(self.name)
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
        if self.name == "double_exponential_smoothing" {
            // Its factors are looked at before what there is to smooth.
            let _ = (scalar(0), scalar(1));
        }
        self.with_histograms(window, notes, scalar)
    }

    fn of_floats(self, window: &Window<'_>, scalar: impl Fn(usize) -> f64) -> Option<f64> {
        window.t_ms.first()?;
        if let Some(kind) = self.kind {
            return match self.extension {
                None => rate::extrapolated(window, kind),
                Some(extension) => rate::extended(window, kind, extension == SelectorExtension::Smoothed),
            };
        }
        match self.name {
            // Those of anchored selectors read beyond the window.
            "resets" => merged::resets(window, self.is_extended()),
            "changes" => merged::changes(window, self.is_extended()),
            "predict_linear" => rate::predict_linear(window, scalar(0)),
            "double_exponential_smoothing" => {
                rate::double_exponential_smoothing(window, scalar(0), scalar(1))
            }
            "quantile_over_time" => Some(over_time::quantile_in_pieces(scalar(0), window, window.values)),
            _ => self.simple?(window),
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
            "sum_over_time" | "avg_over_time" => gathered(self.name, window, notes).map(Cell::from),
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

fn gathered(name: &str, window: &Window<'_>, notes: &mut Notes<'_>) -> Option<Histogram> {
    let is_mean = name == "avg_over_time";
    let (first, rest) = window.histograms.split_first()?;
    let mut gathering = Gathering::new(&first.histogram);
    let pieces = window.pieces_of(rest.len(), HISTOGRAMS_PIECE);
    for sample in pieces.flat_map(|range| &rest[range]) {
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
        query: None,
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
