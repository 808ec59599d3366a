//! Aggregations that take the same series one by one: one pass over these feeds all of them.
//!
//! In: which aggregations of a query have the same input, from `shared`. Out: the value of the one that is met first, and the values of the others,
//! kept by `shared` until their places are met. Never changes an answer: once anything is said beside the values, or memory runs short, only the
//! first goes on, and the others pass over the series themselves.

use super::aggregate::Grouping;
use super::column::{Column, Evaluated, Grid};
use super::evaluator::{Evaluator, Result, SHARED_PART};
use super::gather::Gather;
use super::shared::Key;
use crate::annotations::Annotations;
use crate::guard::SAMPLE_BYTES;
use crate::parse::ast::{AggregateOp, Expr, ExprKind, Span};

/// Aggregations in one pass. Chosen: each adds to the same columns while these are in the processor's cache.
pub(super) const PASS_MAX: usize = 16;

/// An aggregation of a pass.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// The number by which `shared` keeps its value.
    pub(super) number: usize,
    pub(super) op: AggregateOp,
    pub(super) by: Vec<String>,
    pub(super) without: bool,
    /// Of the aggregated expression, at the first of its places.
    pub(super) span: Span,
}

impl Member {
    /// `None` for what is no aggregation that takes series one by one.
    pub(super) fn of(expr: &Expr, number: usize) -> Option<Self> {
        let ExprKind::Aggregate { op, grouping, without, param: None, expr: inner } = &expr.kind else {
            return None;
        };
        let span = inner.unwrapped().span;
        Some(Self { number, op: *op, by: grouping.clone(), without: *without, span })
    }

    fn gather(&self, grid: Grid) -> Gather<'_> {
        Gather::new(self.op, Grouping { labels: &self.by, without: self.without }, self.span, grid)
    }
}

/// The others of a pass under way.
struct Others<'m> {
    members: &'m [Member],
    gathers: Vec<Gather<'m>>,
    /// What was said before the pass. While there are others, nothing more was.
    said: Annotations,
    /// Samples that they hold.
    n_held: u64,
}

impl Others<'_> {
    /// Lets them go where they may not go on.
    fn check(&mut self, ev: &mut Evaluator<'_>) {
        let limit = ev.options.samples_max.min(ev.options.memory_bytes_max / SAMPLE_BYTES) / SHARED_PART;
        if !self.gathers.is_empty() && (self.has_said(ev) || self.n_held > limit) {
            self.gathers.clear();
            ev.let_go(self.n_held);
            self.n_held = 0;
        }
    }

    fn has_said(&self, ev: &Evaluator<'_>) -> bool {
        ev.annotations.n_said() != self.said.n_said()
    }

    fn add(&mut self, ev: &mut Evaluator<'_>, column: &Column) {
        self.check(ev);
        if self.gathers.is_empty() {
            return;
        }
        let held = ev.n_samples;
        let is_full = self.gathers.iter_mut().any(|gather| gather.add(ev, column).is_err());
        self.n_held += ev.n_samples - held;
        if is_full || self.has_said(ev) {
            self.unsay(ev);
        }
    }

    /// What they have to say they say at their own places.
    fn unsay(&mut self, ev: &mut Evaluator<'_>) {
        ev.annotations = self.said.clone();
        self.gathers.clear();
        ev.let_go(self.n_held);
        self.n_held = 0;
    }

    fn finish(mut self, ev: &mut Evaluator<'_>, grid: Grid) {
        self.check(ev);
        let members = self.members;
        let values: Vec<Vec<Column>> =
            std::mem::take(&mut self.gathers).into_iter().map(|gather| gather.finish(ev)).collect();
        if self.has_said(ev) {
            if !values.is_empty() {
                ev.annotations = self.said;
            }
            return;
        }
        let key = Key::new(grid, ev.buckets);
        for (member, columns) in members.iter().zip(values) {
            ev.keep_shared(member.number, key, &Evaluated::Vector(columns));
        }
    }
}

/// The aggregation `gather`, which stands at `span` and takes the series of `inner`; with it all that take the same.
pub(super) fn gathered(
    ev: &mut Evaluator<'_>,
    mut gather: Gather<'_>,
    inner: &Expr,
    span: Span,
    grid: Grid,
) -> Result<Vec<Column>> {
    // What is the same at all steps is evaluated at one, and its value repeated: kept, it would be of another grid than asked for.
    let is_repeated = grid.is_instant() && ev.times.start_ms != ev.times.end_ms;
    let members = if is_repeated { Vec::new() } else { ev.shared.others_of_pass(span) };
    if members.is_empty() {
        ev.stream(inner, grid, &mut |ev, column| gather.add(ev, &column))?;
        return Ok(gather.finish(ev));
    }
    let gathers = members.iter().map(|member| member.gather(grid)).collect();
    let said = ev.annotations.clone();
    let mut others = Others { members: &members, gathers, said, n_held: 0 };
    ev.stream(inner, grid, &mut |ev, column| {
        gather.add(ev, &column)?;
        others.add(ev, &column);
        Ok(())
    })?;
    let columns = gather.finish(ev);
    others.finish(ev, grid);
    Ok(columns)
}
