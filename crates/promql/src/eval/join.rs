//! Arithmetic and comparison of two vectors: who meets whom, and what comes of it.
//!
//! In: both sides, their series numbered by signature; out: one column for each pair that met. Who meets whom and the labels of
//! results are found once for all steps where they are the same at all of them, which is usual; step by step where not.

use std::collections::{HashMap, HashSet};

use model::Labels;

use super::binop::{Operator, Side, or_into, signature};
use super::column::{Column, only, without, without_metadata};
use super::evaluator::{Evaluator, Result};
use super::histogram_binop::{self, Remark, Remarks};
use super::pace::{LABELS_VALUES, Pace};
use crate::error::EvalError;
use crate::parse::ast::{Cardinality, VectorMatching};

/// A vector-to-vector operation under way. The many side is the left one, unless swapped for `group_right`.
pub(super) struct Join<'e, 'q, 'm> {
    pub(super) ev: &'e mut Evaluator<'q>,
    pub(super) operator: Operator,
    pub(super) matching: &'m VectorMatching,
    pub(super) swapped: bool,
    pub(super) many: Side,
    pub(super) one: Side,
    pub(super) n_steps: usize,
}

/// Two series that meet, by their numbers, and the labels of the result.
pub(super) struct Pair {
    many: usize,
    one: usize,
    labels: Labels,
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
    pub(super) fn check_one_side(&self) -> Result<()> {
        let is_filled = self.matching.fill.lhs.is_some() || self.matching.fill.rhs.is_some();
        let mut other: Option<Vec<bool>> = None;
        let mut pace = Pace::new(self.ev.query_options);
        for group in self.one.groups.iter().filter(|group| group.len() > 1) {
            let other = other.get_or_insert_with(|| self.many.any_presence(self.n_steps));
            for step in (0..self.n_steps).filter(|step| is_filled || other[*step]) {
                pace.pass(group.len())?;
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

    /// Who meets whom and the labels of what comes of it, where that is the same at all steps: floats alone, each series of the many
    /// side meets at most one, and no two results have the same labels. `None` where it is not.
    ///
    /// # Errors
    /// When the query is to stop.
    pub(super) fn pairs(&self) -> Result<Option<Vec<Pair>>> {
        let fill = self.matching.fill;
        let has_histograms = |side: &Side| side.columns.iter().any(|column| !column.histograms.is_empty());
        if fill.lhs.is_some()
            || fill.rhs.is_some()
            || self.operator.is_trim()
            || has_histograms(&self.many)
            || has_histograms(&self.one)
        {
            return Ok(None);
        }
        let is_one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let mut pairs = Vec::with_capacity(self.many.columns.len());
        let mut seen = HashSet::with_capacity(self.many.columns.len());
        let mut pace = Pace::new(self.ev.query_options);
        for idx in 0..self.many.columns.len() {
            pace.pass(LABELS_VALUES)?;
            let mut partners = self.partners(idx);
            let Some(other) = partners.next() else { continue };
            let is_shared = is_one_to_one && self.many.groups[self.many.ordinals[idx]].len() > 1;
            if is_shared || partners.next().is_some() {
                return Ok(None);
            }
            let labels = self.result_labels(&self.many.columns[idx].labels, &self.one.columns[other].labels);
            if !seen.insert(labels.clone()) {
                return Ok(None);
            }
            pairs.push(Pair { many: idx, one: other, labels });
        }
        Ok(Some(pairs))
    }

    /// The results of `pairs`, each in the place of its series on the many side.
    pub(super) fn run_pairs(&mut self, pairs: Vec<Pair>) -> Result<Vec<Column>> {
        let mut results = Vec::with_capacity(pairs.len());
        for Pair { many, one, labels } in pairs {
            let empty = Column::absent(Labels::empty(), 0);
            let mut column = std::mem::replace(&mut self.many.columns[many], empty);
            let one = &self.one.columns[one];
            column.present.iter_mut().zip(&one.present).for_each(|(many, one)| *many &= *one);
            // A comparison gives its left side.
            let kept = if self.swapped { |_, other| other } else { |own, _| own };
            self.operator.combine(self.ev.query_options, &mut column, &one.values, self.swapped, kept)?;
            (column.labels, column.drop_name) = (labels, self.operator.return_bool);
            column.lost_metadata = false;
            if !column.is_absent() {
                results.push(column);
            }
        }
        Ok(results)
    }

    /// The series of the one side that share the signature of the many side's `idx` and some time with it: those that
    /// replaced each other share a signature, and most never meet.
    fn partners(&self, idx: usize) -> impl Iterator<Item = usize> {
        let (first, last) = self.many.extents[idx];
        let meets = move |other: &&usize| {
            let (other_first, other_last) = self.one.extents[**other];
            other_first <= last && first <= other_last
        };
        self.one.groups[self.many.ordinals[idx]].iter().filter(meets).copied()
    }

    pub(super) fn run(&mut self) -> Result<Vec<Column>> {
        let mut results: Vec<Column> = Vec::new();
        let mut guard = Guard::default();
        let mut remarks = Remarks::default();
        for idx in 0..self.many.columns.len() {
            self.ev.check_stop()?;
            let ordinal = self.many.ordinals[idx];
            for other in self.partners(idx) {
                self.ev.check_stop()?;
                let (many, one) = (&self.many.columns[idx], &self.one.columns[other]);
                let met = self.meet(many, one);
                self.keep(ordinal, met, &mut guard, &mut remarks, &mut results)?;
            }
            if let Some(fill) = self.matching.fill.rhs {
                let many = &self.many.columns[idx];
                let one = self.stand_in(self.one.presence(ordinal, self.n_steps), &many.labels, fill);
                let met = self.meet(many, &one);
                self.keep(ordinal, met, &mut guard, &mut remarks, &mut results)?;
            }
        }
        if let Some(fill) = self.matching.fill.lhs {
            for idx in 0..self.one.columns.len() {
                self.ev.check_stop()?;
                let ordinal = self.one.ordinals[idx];
                let one = &self.one.columns[idx];
                // Also where there was a partner, but no answer: two histograms that cannot be compared.
                let many = self.stand_in(guard.matched(ordinal, self.n_steps), &one.labels, fill);
                let met = self.meet(&many, one);
                self.keep(ordinal, met, &mut guard, &mut remarks, &mut results)?;
            }
        }
        remarks.say(self.ev, self.operator.span);
        Ok(results)
    }

    /// A series of `fill` at the steps that are not `taken`.
    fn stand_in(&self, taken: Vec<bool>, labels: &Labels, fill: f64) -> Column {
        let mut present = taken;
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
        with_labels_of(&labels, &self.matching.include, one)
    }
}

/// Remembers at which steps a signature (and, with grouping, a result) was matched.
#[derive(Default)]
struct Guard {
    /// By the signature's number, then by the result.
    seen: HashMap<usize, HashMap<Labels, Vec<bool>>>,
}

impl Guard {
    fn is_new(&mut self, ordinal: usize, labels: Labels, matched: &[bool]) -> bool {
        let results = self.seen.entry(ordinal).or_default();
        let Some(seen) = results.get_mut(&labels) else {
            results.insert(labels, matched.to_vec());
            return true;
        };
        let is_new = !seen.iter().zip(matched).any(|(a, b)| *a && *b);
        or_into(seen, matched);
        is_new
    }

    /// At which steps a signature was matched at all.
    fn matched(&self, ordinal: usize, n_steps: usize) -> Vec<bool> {
        let mut out = vec![false; n_steps];
        self.seen
            .get(&ordinal)
            .into_iter()
            .flat_map(HashMap::values)
            .for_each(|seen| or_into(&mut out, seen));
        out
    }
}

/// `labels` with those in `names` as `other` has them.
fn with_labels_of(labels: &Labels, names: &[String], other: &Labels) -> Labels {
    let mut included: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), other.get(name).unwrap_or(""))).collect();
    included.sort_unstable();
    included.dedup();
    let mut included = included.into_iter().peekable();
    let mut pairs = Vec::with_capacity(labels.len() + names.len());
    for (name, value) in labels {
        while let Some(before) = included.next_if(|(other, _)| *other < name) {
            pairs.push(before);
        }
        pairs.push(included.next_if(|(other, _)| *other == name).unwrap_or((name, value)));
    }
    pairs.extend(included);
    // An empty value means that there is no such label.
    Labels::from_sorted(pairs.into_iter().filter(|(_, value)| !value.is_empty()))
}
