//! topk, bottomk, limitk and limit_ratio: they keep series rather than compute new ones.
//!
//! Ties are broken as upstream's heap breaks them, so the heap is written out.

use model::Labels;

use super::aggregate::Group;
use super::column::{Column, Grid};
use super::evaluator::{Evaluator, Result};
use super::pace::Pace;
use crate::annotations::texts;
use crate::func::hash::xxhash64;
use crate::parse::ast::{AggregateOp, Span};

/// A series' index and its value at the step (0 for a histogram).
type Entry = (usize, f64);

pub(crate) fn eval(
    ev: &mut Evaluator<'_>,
    op: AggregateOp,
    params: &[f64],
    columns: Vec<Column>,
    groups: &[Group],
    span: Span,
    grid: Grid,
) -> Result<Vec<Column>> {
    let n_columns = columns.len();
    let by_value = matches!(op, AggregateOp::Topk | AggregateOp::Bottomk);
    let mut kept: Vec<Column> = columns.iter().map(Column::emptied).collect();
    let ratios: Vec<f64> = match op {
        AggregateOp::LimitRatio => columns.iter().map(|c| hash_ratio(&c.labels)).collect(),
        _ => Vec::new(),
    };
    let mut order = Vec::new();
    let mut pace = Pace::new(ev.query_options);
    for (step, param) in params.iter().enumerate() {
        for group in groups {
            pace.pass(4 * group.members.len())?;
            let entry = |idx: &usize| {
                let column = &columns[*idx];
                let value = column.get(step).or_else(|| (!by_value && column.has(step)).then_some(0.0));
                value.map(|value| (*idx, value))
            };
            let entries = group.members.iter().filter_map(entry);
            let chosen: Vec<Entry> = if op == AggregateOp::LimitRatio {
                let ratio = param.clamp(-1.0, 1.0);
                entries.filter(|(idx, _)| is_within(ratio, ratios[*idx])).collect()
            } else {
                // Truncates as the conversion to an integer does upstream.
                let k = (*param as i64).min(n_columns as i64);
                match usize::try_from(k) {
                    Ok(k) if k > 0 => choose(op, k, entries),
                    _ => Vec::new(),
                }
            };
            for (idx, _) in chosen {
                if let Some(cell) = columns[idx].cell(step) {
                    kept[idx].set_cell(step, cell);
                }
                order.push(idx);
            }
            if by_value
                && *param >= 1.0
                && group.members.iter().any(|i| columns[*i].histogram(step).is_some())
            {
                ev.info(span, texts::ignored_in_aggregation(op.as_str()));
            }
        }
    }
    if !grid.is_instant() {
        kept.retain(|column| !column.is_absent());
        return Ok(kept);
    }
    let mut kept: Vec<Option<Column>> = kept.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|idx| kept[idx].take()).collect())
}

fn choose(op: AggregateOp, k: usize, entries: impl Iterator<Item = Entry>) -> Vec<Entry> {
    if op == AggregateOp::Limitk {
        return entries.take(k).collect();
    }
    let mut heap = Heap::new(op);
    for entry in entries {
        heap.offer(entry, k);
    }
    heap.into_sorted()
}

/// Keeps the k best, the worst of them on top.
pub(super) struct Heap {
    entries: Vec<Entry>,
    keeps_greatest: bool,
}

impl Heap {
    pub(super) fn new(op: AggregateOp) -> Self {
        Self { entries: Vec::new(), keeps_greatest: op == AggregateOp::Topk }
    }

    /// Whether `a` is worse than `b`; NaN is worse than everything.
    fn is_worse(&self, a: f64, b: f64) -> bool {
        a.is_nan() || if self.keeps_greatest { a < b } else { a > b }
    }

    /// Whether there is one more than before.
    pub(super) fn offer(&mut self, entry: Entry, k: usize) -> bool {
        if self.entries.len() < k {
            self.entries.push(entry);
            self.up(self.entries.len() - 1);
            return true;
        }
        let worst = self.entries[0].1;
        let is_better = if self.keeps_greatest { worst < entry.1 } else { worst > entry.1 };
        if is_better || (worst.is_nan() && !entry.1.is_nan()) {
            self.entries[0] = entry;
            self.down();
        }
        false
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.is_worse(self.entries[at].1, self.entries[parent].1) {
                break;
            }
            self.entries.swap(at, parent);
            at = parent;
        }
    }

    fn down(&mut self) {
        let mut at = 0;
        loop {
            let mut child = 2 * at + 1;
            if child >= self.entries.len() {
                break;
            }
            let right = child + 1;
            if right < self.entries.len() && self.is_worse(self.entries[right].1, self.entries[child].1) {
                child = right;
            }
            if !self.is_worse(self.entries[child].1, self.entries[at].1) {
                break;
            }
            self.entries.swap(at, child);
            at = child;
        }
    }

    /// Best first.
    pub(super) fn into_sorted(self) -> Vec<Entry> {
        let greatest = self.keeps_greatest;
        let mut entries = self.entries;
        entries.sort_by(|(_, a), (_, b)| match (a.is_nan(), b.is_nan()) {
            (true, true) => std::cmp::Ordering::Equal,
            (true, false) => std::cmp::Ordering::Greater,
            (false, true) => std::cmp::Ordering::Less,
            _ => {
                let ordering = a.partial_cmp(b).expect("neither is NaN");
                if greatest { ordering.reverse() } else { ordering }
            }
        });
        entries
    }
}

/// Where the series falls between 0 and 1, by its hash.
fn hash_ratio(labels: &Labels) -> f64 {
    xxhash64(&label_bytes(labels)) as f64 / u64::MAX as f64
}

/// Names and values after their lengths (one byte, or 255 and three), the form that upstream hashes.
fn label_bytes(labels: &Labels) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(len) if len < 255 => bytes.push(len),
            _ => {
                bytes.push(255);
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// A negative ratio keeps what the positive one of the rest would leave.
fn is_within(ratio: f64, offset: f64) -> bool {
    if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
}
