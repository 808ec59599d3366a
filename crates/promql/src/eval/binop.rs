//! Binary operators: between scalars, a vector and a scalar, two vectors; set operators.

use std::collections::HashMap;

use model::Labels;
use model::labels::METRIC_NAME;

use super::column::{Column, Evaluated, Grid, only, without, without_metadata};
use super::evaluator::{Evaluator, Result};
use super::histogram_binop::{self, Operand, Remark, Remarks};
use crate::error::EvalError;
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
    fn changes_metric(self) -> bool {
        use BinaryOp as B;
        matches!(self.op, B::Add | B::Sub | B::Mul | B::Div | B::Mod | B::Pow | B::Atan2)
    }

    pub(crate) fn is_trim(self) -> bool {
        matches!(self.op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
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

/// `lhs ^ rhs` as IEEE 754 defines it, which Go's `math.Pow` follows.
fn pow(lhs: f64, rhs: f64) -> f64 {
    lhs.powf(rhs)
}

pub(crate) fn scalars(op: BinaryOp, lhs: &[f64], rhs: &[f64]) -> Result<Evaluated> {
    let operator = Operator { op, return_bool: true, span: Span::default() };
    if operator.is_trim() || op.is_set() {
        return Err(EvalError::Execution(format!(
            "operator {:?} not allowed for Scalar operations",
            op.as_str()
        )));
    }
    let values = lhs.iter().zip(rhs).map(|(lhs, rhs)| {
        let (value, keep) = operator.apply(*lhs, *rhs);
        if op.is_comparison() { f64::from(u8::from(keep)) } else { value }
    });
    Ok(Evaluated::Scalar(values.collect()))
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
        ev.check_stop()?;
        if operator.is_trim() || !column.histograms.is_empty() {
            *column = with_histograms(column, operator, scalars, swapped, &mut remarks);
            if operator.changes_metric() || operator.return_bool {
                ev.drop_name(column);
            }
            continue;
        }
        for (step, scalar) in scalars.iter().enumerate() {
            if !column.present[step] {
                continue;
            }
            let own = column.values[step];
            let (lhs, rhs) = if swapped { (*scalar, own) } else { (own, *scalar) };
            let (mut value, keep) = operator.apply(lhs, rhs);
            if operator.op.is_comparison() {
                value = if operator.return_bool { f64::from(u8::from(keep)) } else { own };
            }
            column.values[step] = value;
            column.present[step] = keep || (operator.return_bool && operator.op.is_comparison());
        }
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

/// What decides which series meet.
struct Signatures {
    ordinals: HashMap<Labels, usize>,
}

impl Signatures {
    fn of(columns: &[Column], matching: &VectorMatching, known: &mut Self) -> Vec<usize> {
        let ordinal = |column: &Column| {
            let n_known = known.ordinals.len();
            *known.ordinals.entry(signature(&column.labels, matching)).or_insert(n_known)
        };
        columns.iter().map(ordinal).collect()
    }
}

fn signature(labels: &Labels, matching: &VectorMatching) -> Labels {
    if matching.on {
        only(labels, &matching.labels)
    } else {
        let hidden = |name: &str| name == METRIC_NAME || matching.labels.iter().any(|l| l == name);
        Labels::from_sorted(labels.iter().filter(|(name, _)| !hidden(name)))
    }
}

/// One side of an operation: its series, and which series share a signature.
struct Side {
    columns: Vec<Column>,
    ordinals: Vec<usize>,
    /// Series by signature.
    groups: Vec<Vec<usize>>,
    /// First and last step at which each series has a value; the first is beyond the last where it has none.
    extents: Vec<(usize, usize)>,
}

impl Side {
    fn pair(lhs: Vec<Column>, rhs: Vec<Column>, matching: &VectorMatching) -> (Self, Self) {
        let mut known = Signatures { ordinals: HashMap::new() };
        let lhs_ordinals = Signatures::of(&lhs, matching, &mut known);
        let rhs_ordinals = Signatures::of(&rhs, matching, &mut known);
        let n_groups = known.ordinals.len();
        (Self::new(lhs, lhs_ordinals, n_groups), Self::new(rhs, rhs_ordinals, n_groups))
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
    fn presence(&self, ordinal: usize, n_steps: usize) -> Vec<bool> {
        let mut present = vec![false; n_steps];
        for idx in &self.groups[ordinal] {
            or_into(&mut present, &self.columns[*idx].presence());
        }
        present
    }

    /// At which steps any series has a value.
    fn any_presence(&self, n_steps: usize) -> Vec<bool> {
        let mut present = vec![false; n_steps];
        for column in &self.columns {
            or_into(&mut present, &column.presence());
        }
        present
    }
}

fn or_into(into: &mut [bool], from: &[bool]) {
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
        let (lhs, rhs) = Side::pair(lhs, rhs, matching);
        set_operation(ev, operator.op, lhs, rhs, grid)?
    } else {
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) =
            if swapped { Side::pair(rhs, lhs, matching) } else { Side::pair(lhs, rhs, matching) };
        let mut join = Join { ev, operator, matching, swapped, many, one, n_steps: grid.n_steps };
        join.check_one_side()?;
        join.run()?
    };
    Ok(Evaluated::Vector(ev.settle(columns, grid)?))
}

fn set_operation(ev: &Evaluator<'_>, op: BinaryOp, lhs: Side, rhs: Side, grid: Grid) -> Result<Vec<Column>> {
    let masked = |side: &Side, other: &Side, keep_if_present: bool| -> Result<Vec<Column>> {
        let mut masks: HashMap<usize, Vec<bool>> = HashMap::new();
        let mut kept = Vec::new();
        for (column, ordinal) in side.columns.iter().zip(&side.ordinals) {
            ev.check_stop()?;
            let mask = masks.entry(*ordinal).or_insert_with(|| other.presence(*ordinal, grid.n_steps));
            let mut column = column.clone();
            column.mask(|step| mask[step] == keep_if_present);
            if !column.is_absent() {
                kept.push(column);
            }
        }
        Ok(kept)
    };
    match op {
        BinaryOp::And => masked(&lhs, &rhs, true),
        BinaryOp::Unless => masked(&lhs, &rhs, false),
        _ => {
            let mut extra = masked(&rhs, &lhs, false)?;
            let mut all = lhs.columns;
            all.append(&mut extra);
            Ok(all)
        }
    }
}

/// A vector-to-vector operation under way. The many side is the left one, unless swapped for `group_right`.
struct Join<'e, 'q, 'm> {
    ev: &'e mut Evaluator<'q>,
    operator: Operator,
    matching: &'m VectorMatching,
    swapped: bool,
    many: Side,
    one: Side,
    n_steps: usize,
}

/// What became of two series that met.
struct Met {
    /// Where both had a value.
    matched: Vec<bool>,
    /// The kept results.
    column: Column,
    /// By step.
    remarks: Vec<(usize, Remark)>,
}

impl Join<'_, '_, '_> {
    /// The «one» side may have one value per signature and step, where the other side has any at all.
    fn check_one_side(&self) -> Result<()> {
        let is_filled = self.matching.fill.lhs.is_some() || self.matching.fill.rhs.is_some();
        let mut other: Option<Vec<bool>> = None;
        for group in self.one.groups.iter().filter(|group| group.len() > 1) {
            let other = other.get_or_insert_with(|| self.many.any_presence(self.n_steps));
            for step in (0..self.n_steps).filter(|step| is_filled || other[*step]) {
                let mut present = group.iter().filter(|idx| self.one.columns[**idx].has(step));
                if let (Some(first), Some(second)) = (present.next(), present.next()) {
                    return Err(self.duplicates(*first, *second));
                }
            }
        }
        Ok(())
    }

    fn duplicates(&self, first: usize, second: usize) -> EvalError {
        let labels = &self.one.columns[second].labels;
        let group = self.match_labels(labels);
        let side = if self.swapped { "left" } else { "right" };
        let mut names = [labels.to_string(), self.one.columns[first].labels.to_string()];
        names.sort();
        EvalError::Execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{}, {}]\
             ;many-to-many matching not allowed: matching labels must be unique on one side",
            names[0], names[1]
        ))
    }

    /// The labels that both sides share.
    fn match_labels(&self, labels: &Labels) -> Labels {
        signature(labels, self.matching)
    }

    fn run(&mut self) -> Result<Vec<Column>> {
        let mut results: Vec<Column> = Vec::new();
        let mut guard = Guard::default();
        let mut remarks = Remarks::default();
        for idx in 0..self.many.columns.len() {
            self.ev.check_stop()?;
            let ordinal = self.many.ordinals[idx];
            let (first, last) = self.many.extents[idx];
            // Series that replaced each other over time share a signature, and most never meet.
            let meets = |other: &&usize| {
                let (other_first, other_last) = self.one.extents[**other];
                other_first <= last && first <= other_last
            };
            for other in self.one.groups[ordinal].iter().filter(meets) {
                let (many, one) = (&self.many.columns[idx], &self.one.columns[*other]);
                let met = self.meet(many, one);
                self.keep(ordinal, met, &mut guard, &mut remarks, &mut results)?;
            }
            if let Some(fill) = self.matching.fill.rhs {
                let many = &self.many.columns[idx];
                let one = self.stand_in(&self.one, ordinal, &many.labels, fill);
                let met = self.meet(many, &one);
                self.keep(ordinal, met, &mut guard, &mut remarks, &mut results)?;
            }
        }
        if let Some(fill) = self.matching.fill.lhs {
            for idx in 0..self.one.columns.len() {
                let ordinal = self.one.ordinals[idx];
                let one = &self.one.columns[idx];
                let many = self.stand_in(&self.many, ordinal, &one.labels, fill);
                let met = self.meet(&many, one);
                self.keep(ordinal, met, &mut guard, &mut remarks, &mut results)?;
            }
        }
        remarks.say(self.ev, self.operator.span);
        Ok(results)
    }

    /// A series of `fill` wherever `side` has nothing in the group.
    fn stand_in(&self, side: &Side, ordinal: usize, labels: &Labels, fill: f64) -> Column {
        let mut present = side.presence(ordinal, self.n_steps);
        present.iter_mut().for_each(|p| *p = !*p);
        Column {
            labels: self.match_labels(labels),
            drop_name: false,
            lost_metadata: false,
            values: vec![fill; self.n_steps],
            present,
            histograms: Vec::new(),
        }
    }

    fn meet(&self, many: &Column, one: &Column) -> Met {
        if self.operator.is_trim() || !many.histograms.is_empty() || !one.histograms.is_empty() {
            return self.meet_with_histograms(many, one);
        }
        let mut column = Column::absent(Labels::empty(), self.n_steps);
        let matched: Vec<bool> = many.present.iter().zip(&one.present).map(|(a, b)| *a && *b).collect();
        let mut any = false;
        for step in (0..self.n_steps).filter(|step| matched[*step]) {
            any = true;
            let (many, one) = (many.values[step], one.values[step]);
            let (lhs, rhs) = if self.swapped { (one, many) } else { (many, one) };
            let (value, keep) = self.operator.apply(lhs, rhs);
            if self.operator.return_bool {
                column.set(step, f64::from(u8::from(keep)));
            } else if keep {
                column.set(step, value);
            }
        }
        if any {
            column.labels = self.result_labels(&many.labels, &one.labels);
            column.drop_name = self.operator.return_bool;
        }
        Met { matched, column, remarks: Vec::new() }
    }

    /// As [`Join::meet`], where either has histograms or the operator is for them.
    fn meet_with_histograms(&self, many: &Column, one: &Column) -> Met {
        let mut column = Column::absent(Labels::empty(), self.n_steps);
        let mut matched = vec![false; self.n_steps];
        let mut remarks = Vec::new();
        for (step, matched) in matched.iter_mut().enumerate() {
            let (Some(many), Some(one)) = (many.cell(step), one.cell(step)) else {
                continue;
            };
            let (lhs, rhs) = if self.swapped { (&one, &many) } else { (&many, &one) };
            let mut outcome = histogram_binop::apply(self.operator, lhs.into(), rhs.into());
            *matched = !outcome.is_refused;
            remarks.extend(outcome.remark.take().map(|remark| (step, remark)));
            if let Some(cell) = outcome.of_vectors(self.operator) {
                column.set_cell(step, cell);
            }
        }
        if matched.contains(&true) {
            column.labels = self.result_labels(&many.labels, &one.labels);
            column.drop_name = self.operator.return_bool;
        }
        Met { matched, column, remarks }
    }

    fn keep(
        &self,
        ordinal: usize,
        met: Met,
        guard: &mut Guard,
        remarks: &mut Remarks,
        results: &mut Vec<Column>,
    ) -> Result<()> {
        for (step, remark) in met.remarks {
            remarks.set(step, Some(remark));
        }
        if !met.matched.contains(&true) {
            return Ok(());
        }
        let is_one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let key = if is_one_to_one { Labels::empty() } else { met.column.labels.clone() };
        if !guard.is_new(ordinal, key, &met.matched) {
            let message = if is_one_to_one {
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            } else {
                "multiple matches for labels: grouping labels must ensure unique matches"
            };
            return Err(EvalError::Execution(message.to_owned()));
        }
        if !met.column.is_absent() {
            results.push(met.column);
        }
        Ok(())
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let drops = self.operator.return_bool && self.ev.drops_names_at_once();
        let mut labels =
            if drops || self.operator.changes_metric() { without_metadata(many) } else { many.clone() };
        if self.matching.cardinality == Cardinality::OneToOne {
            labels = if self.matching.on {
                only(&labels, &self.matching.labels)
            } else {
                without(&labels, &self.matching.labels)
            };
        }
        if self.matching.include.is_empty() {
            return labels;
        }
        let mut builder = labels.to_builder();
        for name in &self.matching.include {
            builder.set(name, one.get(name).unwrap_or(""));
        }
        builder.build()
    }
}

/// Remembers at which steps a signature (and, with grouping, a result) was matched.
#[derive(Default)]
struct Guard {
    seen: HashMap<(usize, Labels), Vec<bool>>,
}

impl Guard {
    fn is_new(&mut self, ordinal: usize, labels: Labels, matched: &[bool]) -> bool {
        let Some(seen) = self.seen.get_mut(&(ordinal, labels.clone())) else {
            self.seen.insert((ordinal, labels), matched.to_vec());
            return true;
        };
        let is_new = !seen.iter().zip(matched).any(|(a, b)| *a && *b);
        or_into(seen, matched);
        is_new
    }
}
