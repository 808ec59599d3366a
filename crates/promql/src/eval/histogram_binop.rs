//! Binary operators where an operand is a native histogram.

use std::sync::Arc;

use model::Histogram;
use model::histogram::{IncompatibleBuckets, Reconciled, ResetHint};

use super::binop::Operator;
use super::column::Cell;
use super::evaluator::Evaluator;
use crate::annotations::Severity;
use crate::annotations::texts::{self, Doing};
use crate::parse::ast::{BinaryOp, Span};

/// One side.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operand<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

impl<'a> From<&'a Cell> for Operand<'a> {
    fn from(cell: &'a Cell) -> Self {
        match cell {
            Cell::Float(value) => Self::Float(*value),
            Cell::Histogram(histogram) => Self::Histogram(histogram),
        }
    }
}

impl Operand<'_> {
    fn type_name(self) -> &'static str {
        match self {
            Self::Float(_) => "float",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What came of two operands.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    cell: Option<Cell>,
    /// Whether it is kept; comparisons may not be.
    keep: bool,
    /// The operator gives nothing for these operands.
    pub(super) is_refused: bool,
    /// What is to be said about it.
    pub(super) remark: Option<Remark>,
}

/// A text and its weight.
pub(super) type Remark = (Severity, String);

/// What is to be said about an operation. Of each step only the last remark counts, as upstream has it.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    by_step: Vec<Option<Remark>>,
}

impl Remarks {
    pub(super) fn set(&mut self, step: usize, remark: Option<Remark>) {
        if remark.is_none() {
            return;
        }
        if self.by_step.len() <= step {
            self.by_step.resize(step + 1, None);
        }
        self.by_step[step] = remark;
    }

    pub(super) fn say(self, ev: &mut Evaluator<'_>, span: Span) {
        let mut last: Option<Remark> = None;
        for remark in self.by_step.into_iter().flatten() {
            if last.as_ref() == Some(&remark) {
                continue;
            }
            match &remark {
                (Severity::Warning, text) => ev.warn(span, text.clone()),
                (Severity::Info, text) => ev.info(span, text.clone()),
            }
            last = Some(remark);
        }
    }
}

impl Outcome {
    fn of(histogram: Histogram) -> Self {
        Self { cell: Some(Cell::from(histogram)), keep: true, is_refused: false, remark: None }
    }

    fn compared(cell: Cell, keep: bool) -> Self {
        Self { cell: Some(cell), keep, is_refused: false, remark: None }
    }

    fn refused(severity: Severity, text: String) -> Self {
        Self { cell: None, keep: false, is_refused: true, remark: Some((severity, text)) }
    }

    /// The result of an operator between vectors.
    pub(super) fn of_vectors(self, operator: Operator) -> Option<Cell> {
        if self.is_refused {
            return None;
        }
        if operator.return_bool {
            return Some(Cell::Float(f64::from(u8::from(self.keep))));
        }
        self.cell.filter(|_| self.keep)
    }

    /// The result of an operator between a vector and a scalar.
    pub(super) fn of_scalar(self, operator: Operator, own: &Cell, swapped: bool) -> Option<Cell> {
        if operator.op.is_comparison() && swapped && self.keep && !operator.return_bool {
            return Some(own.clone());
        }
        self.of_vectors(operator)
    }
}

/// Applies `operator`.
pub(super) fn apply(operator: Operator, lhs: Operand<'_>, rhs: Operand<'_>) -> Outcome {
    use BinaryOp as B;
    let changed = |h: &Arc<Histogram>, change: &dyn Fn(&mut Histogram)| {
        let mut h = (**h).clone();
        change(&mut h);
        Outcome::of(h)
    };
    match (operator.op, lhs, rhs) {
        (op, Operand::Float(lhs), Operand::Float(rhs)) if !operator.is_trim() && !op.is_set() => {
            let (value, keep) = operator.apply(lhs, rhs);
            Outcome::compared(Cell::Float(value), keep)
        }
        (B::Mul, Operand::Histogram(h), Operand::Float(factor))
        | (B::Mul, Operand::Float(factor), Operand::Histogram(h)) => changed(h, &|h| {
            h.multiply(factor);
            h.compact();
        }),
        (B::Div, Operand::Histogram(h), Operand::Float(divisor)) => changed(h, &|h| {
            h.divide(divisor);
            h.compact();
        }),
        (B::TrimUpper, Operand::Histogram(h), Operand::Float(limit)) => changed(h, &|h| h.trim_above(limit)),
        (B::TrimLower, Operand::Histogram(h), Operand::Float(limit)) => changed(h, &|h| h.trim_below(limit)),
        (B::Add | B::Sub, Operand::Histogram(lhs), Operand::Histogram(rhs)) => combined(operator, lhs, rhs),
        (B::Equal, Operand::Histogram(lhs), Operand::Histogram(rhs)) => {
            Outcome::compared(Cell::Histogram(Arc::clone(lhs)), lhs.is_same_data(rhs))
        }
        (B::NotEqual, Operand::Histogram(lhs), Operand::Histogram(rhs)) => {
            Outcome::compared(Cell::Histogram(Arc::clone(lhs)), !lhs.is_same_data(rhs))
        }
        (op, lhs, rhs) => {
            let text = texts::incompatible_types(lhs.type_name(), op.as_str(), rhs.type_name());
            Outcome::refused(Severity::Info, text)
        }
    }
}

fn combined(operator: Operator, lhs: &Arc<Histogram>, rhs: &Arc<Histogram>) -> Outcome {
    let mut result = (**lhs).clone();
    let is_sum = operator.op == BinaryOp::Add;
    let combined = if is_sum { result.add(rhs) } else { result.subtract(rhs) };
    let doing = if is_sum { Doing::Addition } else { Doing::Subtraction };
    let bounds_differ = match combined {
        Err(IncompatibleBuckets) => {
            let text = texts::incompatible_buckets(operator.op.as_str());
            return Outcome::refused(Severity::Warning, text);
        }
        // Upstream drops the result with the warning.
        Ok(Reconciled { resets_collide: true, .. }) => {
            return Outcome::refused(Severity::Warning, texts::resets_collide(doing));
        }
        Ok(Reconciled { bounds_differ, .. }) => bounds_differ,
    };
    if !is_sum {
        result.reset_hint = ResetHint::Gauge;
    }
    result.compact();
    let remark = bounds_differ.then(|| (Severity::Info, texts::bounds_reconciled(doing)));
    Outcome { remark, ..Outcome::of(result) }
}
