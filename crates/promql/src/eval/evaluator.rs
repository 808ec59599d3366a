//! Walks the expression: one call per node, for all steps of a grid at once.

use std::sync::Arc;

use model::TimeRange;
use storage::{Queryable, RolledUp, SelectHints, SeriesSet};

use super::column::{Column, Evaluated, Grid, merge_equal, without_metadata};
use super::counted::Counts;
use super::scan::Sink;
use super::shared::{Key, Shared};
use super::{aggregate, binop, calls, selector};
use crate::annotations::{Annotations, texts};
use crate::error::EvalError;
use crate::func::window::FinishedNotes;
use crate::guard::SAMPLE_BYTES;
use crate::limits::{STEPS_PER_SAMPLE, TIME_MAX_MS};
use crate::options::{EngineOptions, QueryOptions};
use crate::parse::ast::{BinaryOp, Expr, ExprKind, Span, UnaryOp, ValueType, VectorSelector};
use crate::plan::duration::QueryTimes;
use crate::plan::step_invariant::is_step_invariant;
use crate::value::{Output, Value};

/// Functions of ranges that roll-ups answer from what they keep of an interval; all others see its last value.
const FROM_ROWS: [&str; 12] = [
    "absent_over_time",
    "avg_over_time",
    "count_over_time",
    "first_over_time",
    "increase",
    "irate",
    "last_over_time",
    "max_over_time",
    "min_over_time",
    "present_over_time",
    "rate",
    "sum_over_time",
];

/// A part of what a query may hold, for values of parts that are met again. Chosen.
pub(super) const SHARED_PART: u64 = 4;

pub(crate) type Result<T> = std::result::Result<T, EvalError>;

/// Whether selectors must hand out the buckets of native histograms. Below `histogram_count` and its like they need not, and
/// then they say of each histogram whether the counter was reset before it, since nobody above could tell.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Buckets {
    /// Within `histogram_count`, `histogram_sum` or `histogram_avg`.
    pub(crate) are_summed_up: bool,
    /// Within something that looks at buckets, or within a subquery.
    pub(crate) are_needed: bool,
}

impl Buckets {
    pub(crate) fn are_skipped(self) -> bool {
        self.are_summed_up && !self.are_needed
    }
}

/// One running query.
pub(crate) struct Evaluator<'a> {
    pub(crate) queryable: &'a dyn Queryable,
    pub(crate) options: &'a EngineOptions,
    pub(crate) query_options: &'a QueryOptions,
    pub(crate) query: &'a str,
    /// The query's own times.
    pub(crate) times: QueryTimes,
    pub(crate) annotations: Annotations,
    /// Samples in memory now.
    pub(crate) n_samples: u64,
    pub(crate) buckets: Buckets,
    pub(crate) counts: Counts,
    pub(crate) shared: Shared,
}

impl<'q> Evaluator<'q> {
    pub(crate) fn lookback_ms(&self) -> i64 {
        self.query_options.lookback_ms.unwrap_or(self.options.lookback_ms).clamp(0, TIME_MAX_MS)
    }

    /// Whether names are dropped by each operation rather than at the end.
    pub(crate) fn drops_names_at_once(&self) -> bool {
        !self.options.delayed_name_removal
    }

    /// Ends the query when it was told to, or has run too long. Called at least once per series.
    pub(crate) fn check_stop(&self) -> Result<()> {
        self.query_options.check_stop()
    }

    /// Counts `n` more samples in memory.
    pub(crate) fn hold(&mut self, n: u64) -> Result<()> {
        self.n_samples += n;
        self.check_memory(0)?;
        Ok(self.query_options.meter.hold(n, false)?)
    }

    /// Counts a series of `n` samples that was read from the store. Called once for each, so that the query can be stopped there.
    pub(crate) fn take_series(&self, n: usize) -> Result<()> {
        self.query_options.take_series(self.options, n)
    }

    fn check_memory(&self, more: u64) -> Result<()> {
        let n = self.n_samples.saturating_add(more);
        if n > self.options.samples_max {
            return Err(EvalError::TooManySamples);
        }
        let limit_bytes = self.options.memory_bytes_max;
        if n.saturating_mul(SAMPLE_BYTES) > limit_bytes {
            return Err(EvalError::TooMuchMemory { limit_bytes });
        }
        Ok(())
    }

    /// Whether `n` more samples would still fit, for a moment.
    pub(crate) fn check_fits(&self, n: u64) -> Result<()> {
        self.check_memory(n)?;
        Ok(self.query_options.meter.hold(n, true)?)
    }

    pub(crate) fn warn(&mut self, span: Span, text: impl Into<String>) {
        self.annotations.warn(self.query, span, text);
    }

    /// Takes over what a function has to say.
    pub(crate) fn note(&mut self, notes: FinishedNotes) {
        for note in notes.list {
            self.annotations.add(note.severity, self.query, notes.span, note.text, note.details);
        }
    }

    /// The series of `selector` in `range`; what is to be said of how they were read is said.
    pub(crate) fn select(
        &mut self,
        selector: &VectorSelector,
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + 'q>> {
        let (start, end) = (range.start_ms, range.end_ms);
        let _span = tracing::info_span!("querierSelect", %selector, start, end).entered();
        let set = self.queryable.select(&selector.matchers, range, hints)?;
        self.note_rolled_up(set.rolled_up());
        self.warn_of_missing(set.warnings());
        Ok(set)
    }

    /// Says that a part of the answer comes from roll-ups: that must never be silent.
    pub(crate) fn note_rolled_up(&mut self, parts: &[RolledUp]) {
        for part in parts {
            let text = texts::rolled_up(part.interval_ms, part.before_ms);
            self.annotations.info(self.query, Span::default(), text);
        }
    }

    /// Says what a selection could not read.
    pub(crate) fn warn_of_missing(&mut self, texts: &[String]) {
        for text in texts {
            self.annotations.warn(self.query, Span::default(), text.clone());
        }
    }

    /// Says so where `function` would need more of an interval than its last value.
    pub(crate) fn warn_of_last_values(&mut self, function: &str, parts: &[RolledUp]) {
        if function.is_empty() || FROM_ROWS.contains(&function) {
            return;
        }
        for part in parts {
            let text = texts::last_values_only(function, part.interval_ms, part.before_ms);
            self.annotations.warn(self.query, Span::default(), text);
        }
    }

    pub(crate) fn info(&mut self, span: Span, text: impl Into<String>) {
        self.annotations.info(self.query, span, text);
    }

    /// Evaluates `expr`, which is no range vector, at every step of `grid`.
    pub(crate) fn eval(&mut self, expr: &Expr, grid: Grid) -> Result<Evaluated> {
        match self.shared.number_of(expr) {
            Some(number) => self.eval_shared(number, expr, grid),
            None => self.eval_alone(expr, grid),
        }
    }

    /// Evaluates a part that stands in the query several times.
    fn eval_shared(&mut self, number: usize, expr: &Expr, grid: Grid) -> Result<Evaluated> {
        let key = Key::new(grid, self.buckets);
        if let Some((value, n_released)) = self.shared.meet(number, key) {
            self.query_options.meter.release(n_released);
            self.hold(value.n_samples())?;
            return Ok(value);
        }
        let n_said = self.annotations.n_said();
        let value = self.eval_alone(expr, grid)?;
        if self.annotations.n_said() != n_said {
            self.shared.is_noisy(number);
        }
        self.keep_shared(number, key, &value);
        Ok(value)
    }

    /// Keeps the value of a part that will be met again, if there is room.
    pub(super) fn keep_shared(&mut self, number: usize, key: Key, value: &Evaluated) {
        let n_samples = value.n_samples();
        let limit = self.options.samples_max.min(self.options.memory_bytes_max / SAMPLE_BYTES);
        if self.shared.wants(number, n_samples, limit / SHARED_PART) {
            match self.query_options.meter.hold(n_samples, false) {
                Ok(()) => self.shared.keep(number, key, value.clone()),
                Err(_) => self.query_options.meter.release(n_samples),
            }
        }
    }

    /// Counts `n` samples less in memory.
    pub(super) fn let_go(&mut self, n: u64) {
        self.n_samples = self.n_samples.saturating_sub(n);
        self.query_options.meter.release(n);
    }

    fn eval_alone(&mut self, expr: &Expr, grid: Grid) -> Result<Evaluated> {
        self.check_stop()?;
        self.check_fits((grid.n_steps / STEPS_PER_SAMPLE) as u64)?;
        self.query_options.expect(grid.n_steps as u64)?;
        let held = self.n_samples;
        let result = if grid.n_steps > 1 && is_step_invariant(expr) {
            let outside = self.counts.child(1);
            let once = self.eval_node(expr, Grid::instant(grid.start_ms))?;
            let counted = self.counts.leave(outside);
            self.counts.add_at_each(counted.total());
            once.repeated(grid.n_steps)
        } else {
            self.eval_node(expr, grid)?
        };
        // The operands are gone; only the result stays.
        self.query_options.meter.release(self.n_samples - held);
        self.n_samples = held;
        self.hold(result.n_samples())?;
        Ok(result)
    }

    fn eval_node(&mut self, expr: &Expr, grid: Grid) -> Result<Evaluated> {
        if grid.n_steps == 0 {
            return Ok(match expr.value_type() {
                ValueType::Scalar => Evaluated::Scalar(Vec::new()),
                ValueType::String => Evaluated::Text(String::new()),
                ValueType::Vector | ValueType::Matrix => Evaluated::Vector(Vec::new()),
            });
        }
        match &expr.kind {
            ExprKind::Number { value, .. } => Ok(Evaluated::Scalar(vec![*value; grid.n_steps])),
            ExprKind::String(text) => Ok(Evaluated::Text(text.clone())),
            ExprKind::InvalidString(written) => {
                Err(EvalError::Execution(format!("string {written} is not valid UTF-8")))
            }
            ExprKind::Paren(inner) => self.eval(inner, grid),
            ExprKind::Vector(selector) => {
                Ok(Evaluated::Vector(selector::eval(self, selector, expr.span, grid)?))
            }
            ExprKind::Unary { op, expr: inner } => self.unary(*op, inner, grid),
            ExprKind::Aggregate { op, grouping, without, param, expr: inner } => {
                let group = aggregate::Grouping { labels: grouping, without: *without };
                let columns = aggregate::eval(self, *op, group, param.as_deref(), inner, expr.span, grid)?;
                Ok(Evaluated::Vector(columns))
            }
            ExprKind::Call { func, args } => calls::call(self, func, args, expr.span, grid),
            ExprKind::Binary { op, lhs, rhs, return_bool, matching } => {
                let operator = binop::Operator { op: *op, return_bool: *return_bool, span: expr.span };
                let outside = self.buckets;
                self.buckets.are_needed |= operator.is_trim();
                let result = match matching {
                    Some(matching) => {
                        let (lhs, rhs) = (self.vector(lhs, grid)?, self.vector(rhs, grid)?);
                        binop::vectors(self, operator, matching, lhs, rhs, grid)
                    }
                    None => self.with_scalar(operator, lhs, rhs, grid),
                };
                self.buckets = outside;
                result
            }
            ExprKind::Matrix { .. } | ExprKind::Subquery { .. } => {
                Err(EvalError::Execution("cannot do range evaluation of matrix selector".to_owned()))
            }
        }
    }

    fn with_scalar(
        &mut self,
        operator: binop::Operator,
        lhs: &Expr,
        rhs: &Expr,
        grid: Grid,
    ) -> Result<Evaluated> {
        match (self.eval(lhs, grid)?, self.eval(rhs, grid)?) {
            (Evaluated::Scalar(lhs), Evaluated::Scalar(rhs)) => {
                binop::scalars(self.query_options, operator.op, &lhs, &rhs)
            }
            (Evaluated::Vector(columns), Evaluated::Scalar(scalars)) => {
                binop::vector_scalar(self, operator, columns, &scalars, false)
            }
            (Evaluated::Scalar(scalars), Evaluated::Vector(columns)) => {
                binop::vector_scalar(self, operator, columns, &scalars, true)
            }
            _ => Err(operand_mismatch(operator.op)),
        }
    }

    fn unary(&mut self, op: UnaryOp, inner: &Expr, grid: Grid) -> Result<Evaluated> {
        let value = self.eval(inner, grid)?;
        if op == UnaryOp::Plus {
            return Ok(value);
        }
        match value {
            Evaluated::Scalar(values) => Ok(Evaluated::Scalar(values.into_iter().map(|v| -v).collect())),
            Evaluated::Vector(mut columns) => {
                for column in &mut columns {
                    self.check_stop()?;
                    column.values.iter_mut().for_each(|v| *v = -*v);
                    for histogram in column.histograms.iter_mut().flatten() {
                        Arc::make_mut(histogram).multiply(-1.0);
                    }
                    self.drop_name(column);
                }
                let columns = if self.drops_names_at_once() {
                    merge_equal(self.query_options, columns)?
                } else {
                    columns
                };
                Ok(Evaluated::Vector(columns))
            }
            Evaluated::Text(_) => Err(operand_mismatch(BinaryOp::Sub)),
        }
    }

    /// Evaluates `expr`, which must be an instant vector.
    pub(crate) fn vector(&mut self, expr: &Expr, grid: Grid) -> Result<Vec<Column>> {
        match self.eval(expr, grid)? {
            Evaluated::Vector(columns) => Ok(columns),
            _ => Err(EvalError::Execution("expected an instant vector".to_owned())),
        }
    }

    /// Evaluates `expr`, which must be a scalar: one value per step.
    pub(crate) fn scalar(&mut self, expr: &Expr, grid: Grid) -> Result<Vec<f64>> {
        match self.eval(expr, grid)? {
            Evaluated::Scalar(values) => Ok(values),
            _ => Err(EvalError::Execution("expected a scalar".to_owned())),
        }
    }

    /// Evaluates `expr`, which must be an instant vector, and hands its series to `sink` one by one: where they come from a
    /// selector without all of them being in memory.
    pub(crate) fn stream(&mut self, expr: &Expr, grid: Grid, sink: &mut Sink<'_>) -> Result<()> {
        let inner = expr.unwrapped();
        let is_once = grid.n_steps == 0 || (grid.n_steps > 1 && is_step_invariant(inner));
        let is_whole = is_once || self.is_met_whole(inner, grid);
        match &inner.kind {
            ExprKind::Vector(selector) if !is_whole && selector.extension.is_none() => {
                self.check_stop()?;
                selector::stream(self, selector, grid, sink)
            }
            ExprKind::Call { func, args } if !is_whole && calls::is_streamed(func, args) => {
                self.check_stop()?;
                calls::stream(self, func, args, grid, sink)
            }
            _ => {
                for column in self.vector(expr, grid)? {
                    sink(self, column)?;
                }
                Ok(())
            }
        }
    }

    /// Whether a part that could be streamed is better taken whole: because it was evaluated before, or will be met where it is needed whole, or,
    /// at one moment, will be met at all. Over many steps keeping it would take more memory than streaming twice takes time.
    fn is_met_whole(&mut self, expr: &Expr, grid: Grid) -> bool {
        let Some(number) = self.shared.number_of(expr) else { return false };
        let key = Key::new(grid, self.buckets);
        let is_whole =
            grid.is_instant() || self.shared.has(number, key) || self.shared.is_needed_whole(number);
        if !is_whole {
            let _ = self.shared.meet(number, key);
        }
        is_whole
    }

    /// Drops the name of `column`, now or at the end.
    pub(crate) fn drop_name(&self, column: &mut Column) {
        column.drop_name = true;
        if self.drops_names_at_once() {
            column.labels = without_metadata(&column.labels);
        }
    }

    /// Settles the result of an operation that worked step by step: series with equal labels become one.
    pub(crate) fn settle(&self, columns: Vec<Column>, grid: Grid) -> Result<Vec<Column>> {
        if !self.drops_names_at_once() && grid.is_instant() {
            // Told apart at the end, when names are dropped.
            return Ok(columns);
        }
        merge_equal(self.query_options, columns)
    }

    /// The answer, with all that was gathered beside it.
    pub(crate) fn output(self, value: Value) -> Output {
        Output { value, annotations: self.annotations, samples_by_step: self.counts.into_steps() }
    }

    /// Drops the names that were kept so far.
    pub(crate) fn finish(&self, mut columns: Vec<Column>) -> Result<Vec<Column>> {
        columns.retain(|column| !column.is_absent());
        if self.drops_names_at_once() {
            return Ok(columns);
        }
        for column in columns.iter_mut().filter(|c| c.drop_name) {
            column.labels = without_metadata(&column.labels);
        }
        merge_equal(self.query_options, columns)
    }
}

fn operand_mismatch(op: BinaryOp) -> EvalError {
    EvalError::Execution(format!("operator {:?} not allowed for these operands", op.as_str()))
}
