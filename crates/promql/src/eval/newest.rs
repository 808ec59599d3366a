//! Aggregations of a selector at one moment: the store hands over numbers, grouped, and labels are read of what is in the answer.
//!
//! In: what `storage::Queryable::newest` says; out: the columns that `gather` and `top` would make of the selector's own columns, to the bit.
//! Only where the store has that way; the others go the usual one.

use storage::{Newest, NewestAsk, NewestSample, NewestSet};

use super::aggregate::Grouping;
use super::column::{Column, Grid};
use super::evaluator::{Evaluator, Result};
use super::gather::Gather;
use super::selector;
use super::top::Heap;
use crate::annotations::texts;
use crate::parse::ast::{AggregateOp, Expr, ExprKind, Span, VectorSelector};

/// Series between two looks at whether the query is to stop. Chosen: some ten microseconds.
const SERIES_PER_CHECK: usize = 64;

/// What reading a series costs, in samples, of which one is about a nanosecond. Chosen: less than `scan` takes for one.
const SERIES_COST: u64 = 200;

/// What is read of one series.
enum Found {
    Float(f64),
    /// With labels.
    Column(Column),
}

/// A selection under way.
struct Reading<'a, 's> {
    set: Box<dyn NewestSet + 'a>,
    selector: &'s VectorSelector,
    grid: Grid,
    n_uncounted: usize,
}

impl<'a, 's> Reading<'a, 's> {
    /// `None` where `inner` is no plain selector at one moment, or the store has no such way for it.
    fn begin(
        ev: &Evaluator<'a>,
        inner: &'s Expr,
        grouping: Grouping<'_>,
        grid: Grid,
        presence: bool,
    ) -> Result<Option<Self>> {
        let ExprKind::Vector(selector) = &inner.unwrapped().kind else { return Ok(None) };
        // What is counted for `stats` is counted the usual way.
        if !grid.is_instant() || selector.extension.is_some() || ev.counts.is_asked() {
            return Ok(None);
        }
        ev.check_stop()?;
        let (_, range) = selector::window(ev, selector, grid)?;
        let (matchers, by, without) = (&selector.matchers[..], grouping.labels, grouping.without);
        let queryable = ev.queryable;
        let set = queryable.newest(&NewestAsk { matchers, range, by, without, presence })?;
        Ok(set.map(|set| Self { set, selector, grid, n_uncounted: 0 }))
    }

    /// The next series that has a value: its number, its group, and what was found.
    fn next(&mut self, ev: &Evaluator<'_>) -> Result<Option<(u32, u32, Found)>> {
        while let Some(Newest { series, group, sample }) = self.set.next()? {
            self.n_uncounted += 1;
            if self.n_uncounted >= SERIES_PER_CHECK {
                self.count(ev)?;
            }
            match sample {
                NewestSample::Float(value) if model::is_stale(value) => {}
                NewestSample::Float(value) => return Ok(Some((series, group, Found::Float(value)))),
                NewestSample::Whole(whole) => {
                    if let Some(column) = selector::newest_of(ev, self.selector, self.grid, *whole)? {
                        return Ok(Some((series, group, Found::Column(column))));
                    }
                }
            }
        }
        self.count(ev)?;
        Ok(None)
    }

    fn count(&mut self, ev: &Evaluator<'_>) -> Result<()> {
        let n = std::mem::take(&mut self.n_uncounted);
        ev.query_options.expect(n as u64 * SERIES_COST)?;
        ev.query_options.take_newest(ev.options, n)
    }
}

/// The groups of one aggregation, by the store's number and in the order in which they get their first member.
struct Groups<T> {
    places: Vec<u32>,
    groups: Vec<(u32, T)>,
}

/// No group yet.
const NO_PLACE: u32 = u32::MAX;

impl<T> Groups<T> {
    fn new() -> Self {
        Self { places: Vec::new(), groups: Vec::new() }
    }

    /// The group's own, which `make` makes for its first member.
    fn of(&mut self, number: u32, make: impl FnOnce() -> Result<T>) -> Result<&mut T> {
        let number_idx = number as usize;
        if self.places.len() <= number_idx {
            self.places.resize(number_idx + 1, NO_PLACE);
        }
        if self.places[number_idx] == NO_PLACE {
            self.places[number_idx] = self.groups.len() as u32;
            self.groups.push((number, make()?));
        }
        Ok(&mut self.groups[self.places[number_idx] as usize].1)
    }
}

/// sum, avg, min, max, count, group, stddev and stdvar.
pub(super) fn gathered(
    ev: &mut Evaluator<'_>,
    op: AggregateOp,
    grouping: Grouping<'_>,
    inner: &Expr,
    span: Span,
    grid: Grid,
) -> Result<Option<Vec<Column>>> {
    let presence = matches!(op, AggregateOp::Count | AggregateOp::Group);
    let Some(mut reading) = Reading::begin(ev, inner, grouping, grid, presence)? else { return Ok(None) };
    let mut gather = Gather::new(op, grouping, span, grid);
    let mut groups = Groups::new();
    while let Some((_, number, found)) = reading.next(ev)? {
        let set = &mut reading.set;
        let idx = *groups.of(number, || gather.begin_group(ev, set.group_labels(number)?))?;
        match found {
            Found::Float(value) => gather.add_float(ev, idx, value),
            Found::Column(column) => gather.add_to(ev, idx, &column),
        }
    }
    Ok(Some(gather.finish(ev)))
}

/// A group of topk or bottomk.
struct Best {
    heap: Heap,
    has_histograms: bool,
}

/// topk and bottomk of `k`, which is above zero. `None` also where a series in the answer has gone since it was read.
pub(super) fn best(
    ev: &mut Evaluator<'_>,
    (op, k): (AggregateOp, usize),
    grouping: Grouping<'_>,
    inner: &Expr,
    span: Span,
    grid: Grid,
) -> Result<Option<Vec<Column>>> {
    let Some(mut reading) = Reading::begin(ev, inner, grouping, grid, false)? else { return Ok(None) };
    let mut groups: Groups<Best> = Groups::new();
    while let Some((series, number, found)) = reading.next(ev)? {
        let best = groups.of(number, || {
            ev.hold(1)?;
            Ok(Best { heap: Heap::new(op), has_histograms: false })
        })?;
        match found {
            Found::Float(value) => {
                if best.heap.offer((series as usize, value), k) {
                    ev.hold(1)?;
                }
            }
            Found::Column(column) => match column.get(0) {
                Some(value) => {
                    best.heap.offer((series as usize, value), k);
                }
                None => best.has_histograms = true,
            },
        }
    }
    let mut columns = Vec::new();
    for (_, Best { heap, has_histograms }) in groups.groups {
        if has_histograms {
            ev.info(span, texts::ignored_in_aggregation(op.as_str()));
        }
        for (series, value) in heap.into_sorted() {
            let Some(labels) = reading.set.series_labels(series as u32)? else { return Ok(None) };
            columns.push(Column::full(labels, vec![value]));
        }
    }
    Ok(Some(columns))
}
