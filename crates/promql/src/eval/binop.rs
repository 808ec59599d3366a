//! Binary operators: between scalars, a vector and a scalar, two vectors; set operators.

use std::collections::HashMap;

use model::Labels;
use model::labels::METRIC_NAME;

use super::column::{Column, Evaluated, Grid};
use super::evaluator::{Evaluator, Result};
use super::histogram_binop::{self, Operand, Remarks};
use super::join::Join;
use super::pace::{LABELS_VALUES, Pace, VALUES_PER_LOOK};
use crate::error::EvalError;
use crate::options::QueryOptions;
use crate::parse::ast::{BinaryOp, Cardinality, Span, VectorMatching};

/// An operator as it stands in the query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator {
    pub(crate) op: BinaryOp,
    pub(crate) return_bool: bool,
    pub(crate) span: Span,
}

impl Operator {
    /// Whether the result is another metric than the operands.
    pub(super) fn changes_metric(self) -> bool {
        use BinaryOp as B;
        matches!(self.op, B::Add | B::Sub | B::Mul | B::Div | B::Mod | B::Pow | B::Atan2)
    }

    pub(crate) fn is_trim(self) -> bool {
        matches!(self.op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
    }

    /// Applies the operator to the floats of `column` and `others` at every step. At steps where `column` has none nothing that
    /// counts is computed. A comparison without `bool` gives what `kept` says.
    ///
    /// # Errors
    /// When the query is to stop: it looks once per series, and within long ones.
    pub(super) fn combine(
        self,
        query: &QueryOptions,
        column: &mut Column,
        others: &[f64],
        swapped: bool,
        kept: Kept,
    ) -> Result<()> {
        let values = column.values.chunks_mut(VALUES_PER_LOOK);
        let present = column.present.chunks_mut(VALUES_PER_LOOK);
        for ((values, present), others) in values.zip(present).zip(others.chunks(VALUES_PER_LOOK)) {
            query.check_stop()?;
            self.combine_some(Floats { values, present }, others, swapped, kept);
        }
        Ok(())
    }

    fn combine_some(self, column: Floats<'_>, others: &[f64], swapped: bool, kept: Kept) {
        use BinaryOp as B;
        if self.op.is_comparison() && !self.return_bool {
            return match self.op {
                B::Equal => compare(column, others, swapped, |l, r| l == r, kept),
                B::NotEqual => compare(column, others, swapped, |l, r| l != r, kept),
                B::Less => compare(column, others, swapped, |l, r| l < r, kept),
                B::LessEqual => compare(column, others, swapped, |l, r| l <= r, kept),
                B::Greater => compare(column, others, swapped, |l, r| l > r, kept),
                _ => compare(column, others, swapped, |l, r| l >= r, kept),
            };
        }
        let one = |is_true: bool| f64::from(u8::from(is_true));
        match self.op {
            B::Add => compute(column, others, swapped, |l, r| l + r),
            B::Sub => compute(column, others, swapped, |l, r| l - r),
            B::Mul => compute(column, others, swapped, |l, r| l * r),
            B::Div => compute(column, others, swapped, |l, r| l / r),
            B::Equal => compute(column, others, swapped, |l, r| one(l == r)),
            B::NotEqual => compute(column, others, swapped, |l, r| one(l != r)),
            B::Less => compute(column, others, swapped, |l, r| one(l < r)),
            B::LessEqual => compute(column, others, swapped, |l, r| one(l <= r)),
            B::Greater => compute(column, others, swapped, |l, r| one(l > r)),
            B::GreaterEqual => compute(column, others, swapped, |l, r| one(l >= r)),
            _ => compute(column, others, swapped, |l, r| self.apply(l, r).0),
        }
    }

    /// The value of floats and whether it is kept; a comparison gives its left side.
    pub(super) fn apply(self, lhs: f64, rhs: f64) -> (f64, bool) {
        use BinaryOp as B;
        match self.op {
            B::Add => (lhs + rhs, true),
            B::Sub => (lhs - rhs, true),
            B::Mul => (lhs * rhs, true),
            B::Div => (lhs / rhs, true),
            B::Mod => (lhs % rhs, true),
            B::Pow => (pow(lhs, rhs), true),
            B::Atan2 => (lhs.atan2(rhs), true),
            B::Equal => (lhs, lhs == rhs),
            B::NotEqual => (lhs, lhs != rhs),
            B::Less => (lhs, lhs < rhs),
            B::LessEqual => (lhs, lhs <= rhs),
            B::Greater => (lhs, lhs > rhs),
            B::GreaterEqual => (lhs, lhs >= rhs),
            B::TrimUpper | B::TrimLower | B::And | B::Or | B::Unless => (0.0, false),
        }
    }
}

/// Some steps of a series of floats.
struct Floats<'c> {
    values: &'c mut [f64],
    present: &'c mut [bool],
}

/// Which side a comparison that filters gives at a step: of the column's own value and the other.
type Kept = fn(f64, f64) -> f64;

/// Two floats become one.
trait Combine: Fn(f64, f64) -> f64 {}
impl<F: Fn(f64, f64) -> f64> Combine for F {}

/// `column` as the left side, or (`swapped`) the right one.
fn compute(column: Floats<'_>, others: &[f64], swapped: bool, of: impl Combine) {
    let values = column.values.iter_mut().zip(others);
    if swapped {
        values.for_each(|(own, other)| *own = of(*other, *own));
    } else {
        values.for_each(|(own, other)| *own = of(*own, *other));
    }
}

fn compare(
    column: Floats<'_>,
    others: &[f64],
    swapped: bool,
    is_kept: impl Fn(f64, f64) -> bool,
    kept: Kept,
) {
    let places = column.values.iter_mut().zip(column.present);
    for ((own, present), other) in places.zip(others) {
        *present &= if swapped { is_kept(*other, *own) } else { is_kept(*own, *other) };
        *own = kept(*own, *other);
    }
}

/// `lhs ^ rhs` as IEEE 754 defines it, which Go's `math.Pow` follows.
fn pow(lhs: f64, rhs: f64) -> f64 {
    lhs.powf(rhs)
}

pub(crate) fn scalars(query: &QueryOptions, op: BinaryOp, lhs: &[f64], rhs: &[f64]) -> Result<Evaluated> {
    let operator = Operator { op, return_bool: true, span: Span::default() };
    if operator.is_trim() || op.is_set() {
        return Err(EvalError::Execution(format!(
            "operator {:?} not allowed for Scalar operations",
            op.as_str()
        )));
    }
    let mut values = Vec::with_capacity(lhs.len());
    for (lhs, rhs) in lhs.chunks(VALUES_PER_LOOK).zip(rhs.chunks(VALUES_PER_LOOK)) {
        query.check_stop()?;
        values.extend(lhs.iter().zip(rhs).map(|(lhs, rhs)| {
            let (value, keep) = operator.apply(*lhs, *rhs);
            if op.is_comparison() { f64::from(u8::from(keep)) } else { value }
        }));
    }
    Ok(Evaluated::Scalar(values))
}

/// `swapped` when the scalar stands on the left.
pub(crate) fn vector_scalar(
    ev: &mut Evaluator<'_>,
    operator: Operator,
    mut columns: Vec<Column>,
    scalars: &[f64],
    swapped: bool,
) -> Result<Evaluated> {
    let n_steps = scalars.len();
    let mut remarks = Remarks::default();
    for column in &mut columns {
        if operator.is_trim() || !column.histograms.is_empty() {
            ev.check_stop()?;
            *column = with_histograms(column, operator, scalars, swapped, &mut remarks);
            if operator.changes_metric() || operator.return_bool {
                ev.drop_name(column);
            }
            continue;
        }
        let own = |own: f64, _| own;
        operator.combine(ev.query_options, column, scalars, swapped, own)?;
        if operator.changes_metric() || operator.return_bool {
            ev.drop_name(column);
        }
    }
    remarks.say(ev, operator.span);
    columns.retain(|column| !column.is_absent());
    let grid = Grid { start_ms: 0, step_ms: 1, n_steps };
    Ok(Evaluated::Vector(ev.settle(columns, grid)?))
}

/// As [`vector_scalar`], for a series that has histograms or an operator that is for histograms.
fn with_histograms(
    column: &Column,
    operator: Operator,
    scalars: &[f64],
    swapped: bool,
    remarks: &mut Remarks,
) -> Column {
    let mut result = column.emptied();
    for (step, scalar) in scalars.iter().enumerate() {
        let Some(own) = column.cell(step) else {
            continue;
        };
        let (scalar, vector) = (Operand::Float(*scalar), Operand::from(&own));
        let (lhs, rhs) = if swapped { (scalar, vector) } else { (vector, scalar) };
        let mut outcome = histogram_binop::apply(operator, lhs, rhs);
        remarks.set(step, outcome.remark.take());
        if let Some(cell) = outcome.of_scalar(operator, &own, swapped) {
            result.set_cell(step, cell);
        }
    }
    result
}

/// Numbers what decides which series meet: one ordinal for each signature.
#[derive(Default)]
struct Signatures {
    ordinals: HashMap<Vec<u8>, usize>,
    /// The signature at hand, so that only new ones take memory.
    packed: Vec<u8>,
}

impl Signatures {
    fn of(
        &mut self,
        pace: &mut Pace<'_>,
        columns: &[Column],
        matching: &VectorMatching,
    ) -> Result<Vec<usize>> {
        let ordinal = |column: &Column| {
            pace.pass(LABELS_VALUES)?;
            Ok(self.ordinal(&column.labels, matching))
        };
        columns.iter().map(ordinal).collect()
    }

    fn ordinal(&mut self, labels: &Labels, matching: &VectorMatching) -> usize {
        self.packed.clear();
        for (name, value) in labels.iter().filter(|(name, _)| is_matched(name, matching)) {
            for text in [name, value] {
                self.packed.extend_from_slice(&text.len().to_le_bytes());
                self.packed.extend_from_slice(text.as_bytes());
            }
        }
        if let Some(known) = self.ordinals.get(&self.packed) {
            return *known;
        }
        let n_known = self.ordinals.len();
        self.ordinals.insert(self.packed.clone(), n_known);
        n_known
    }
}

/// Whether the label is part of the signature.
fn is_matched(name: &str, matching: &VectorMatching) -> bool {
    let is_named = matching.labels.iter().any(|label| label == name);
    if matching.on { is_named } else { !is_named && name != METRIC_NAME }
}

/// The labels that series that meet have in common.
pub(super) fn signature(labels: &Labels, matching: &VectorMatching) -> Labels {
    Labels::from_sorted(labels.iter().filter(|(name, _)| is_matched(name, matching)))
}

/// One side of an operation: its series, and which series share a signature.
pub(super) struct Side {
    pub(super) columns: Vec<Column>,
    pub(super) ordinals: Vec<usize>,
    /// Series by signature.
    pub(super) groups: Vec<Vec<usize>>,
    /// First and last step at which each series has a value; the first is beyond the last where it has none.
    pub(super) extents: Vec<(usize, usize)>,
}

impl Side {
    fn pair(
        query: &QueryOptions,
        (lhs, rhs): (Vec<Column>, Vec<Column>),
        matching: &VectorMatching,
    ) -> Result<(Self, Self)> {
        let mut known = Signatures::default();
        let pace = &mut Pace::new(query);
        let lhs_ordinals = known.of(pace, &lhs, matching)?;
        let rhs_ordinals = known.of(pace, &rhs, matching)?;
        let n_groups = known.ordinals.len();
        Ok((Self::new(lhs, lhs_ordinals, n_groups), Self::new(rhs, rhs_ordinals, n_groups)))
    }

    fn new(columns: Vec<Column>, ordinals: Vec<usize>, n_groups: usize) -> Self {
        let mut groups = vec![Vec::new(); n_groups];
        for (idx, ordinal) in ordinals.iter().enumerate() {
            groups[*ordinal].push(idx);
        }
        let extent = |column: &Column| {
            let present = column.presence();
            let first = present.iter().position(|p| *p);
            let last = present.iter().rposition(|p| *p);
            first.zip(last).unwrap_or((usize::MAX, 0))
        };
        let extents = columns.iter().map(extent).collect();
        Self { columns, ordinals, groups, extents }
    }

    /// At which steps any series of the group has a value.
    pub(super) fn presence(&self, ordinal: usize, n_steps: usize) -> Vec<bool> {
        let mut present = vec![false; n_steps];
        for idx in &self.groups[ordinal] {
            or_into(&mut present, &self.columns[*idx].presence());
        }
        present
    }

    /// At which steps any series has a value.
    pub(super) fn any_presence(&self, n_steps: usize) -> Vec<bool> {
        let mut present = vec![false; n_steps];
        for column in &self.columns {
            or_into(&mut present, &column.presence());
        }
        present
    }
}

pub(super) fn or_into(into: &mut [bool], from: &[bool]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into |= *from;
    }
}

pub(crate) fn vectors(
    ev: &mut Evaluator<'_>,
    operator: Operator,
    matching: &VectorMatching,
    lhs: Vec<Column>,
    rhs: Vec<Column>,
    grid: Grid,
) -> Result<Evaluated> {
    let columns = if operator.op.is_set() {
        let (lhs, rhs) = Side::pair(ev.query_options, (lhs, rhs), matching)?;
        set_operation(ev, operator.op, lhs, rhs, grid)?
    } else {
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let sides = if swapped { (rhs, lhs) } else { (lhs, rhs) };
        let (many, one) = Side::pair(ev.query_options, sides, matching)?;
        let mut join = Join { ev, operator, matching, swapped, many, one, n_steps: grid.n_steps };
        join.check_one_side()?;
        match join.pairs()? {
            // Nothing is left to settle.
            Some(pairs) => return Ok(Evaluated::Vector(join.run_pairs(pairs)?)),
            None => join.run()?,
        }
    };
    Ok(Evaluated::Vector(ev.settle(columns, grid)?))
}

fn set_operation(ev: &Evaluator<'_>, op: BinaryOp, lhs: Side, rhs: Side, grid: Grid) -> Result<Vec<Column>> {
    let masked = |columns: Vec<Column>, ordinals: &[usize], other: &Side, keep_if_present: bool| {
        let mut masks: HashMap<usize, Vec<bool>> = HashMap::new();
        let mut kept = Vec::new();
        for (mut column, ordinal) in columns.into_iter().zip(ordinals) {
            ev.check_stop()?;
            let mask = masks.entry(*ordinal).or_insert_with(|| other.presence(*ordinal, grid.n_steps));
            column.mask(|step| mask[step] == keep_if_present);
            if !column.is_absent() {
                kept.push(column);
            }
        }
        Ok::<_, EvalError>(kept)
    };
    match op {
        BinaryOp::And => masked(lhs.columns, &lhs.ordinals, &rhs, true),
        BinaryOp::Unless => masked(lhs.columns, &lhs.ordinals, &rhs, false),
        _ => {
            let mut extra = masked(rhs.columns, &rhs.ordinals, &lhs, false)?;
            let mut all = lhs.columns;
            all.append(&mut extra);
            Ok(all)
        }
    }
}
