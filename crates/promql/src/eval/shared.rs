//! Parts that stand in a query more than once: evaluated once, and kept until the last of them was met.
//!
//! In: the expression, before it runs, then values of its parts. Out: those values, where the same part is met again on the same grid.
//! Never changes an answer: what a part said beside its value (annotations) keeps it from being shared, since each place says it for itself,
//! and what is kept has a limit of its own, so that no query fails for it.

use std::collections::HashMap;

use super::column::{Evaluated, Grid};
use super::evaluator::Buckets;
use crate::parse::ast::{Expr, ExprKind};

/// Longest text of a part that is looked at. Chosen: longer than what people and dashboards repeat.
const TEXT_BYTES_MAX: usize = 4 << 10;
/// Bytes of all texts, so that a huge query is not printed over and over. Chosen.
const TEXTS_BYTES_MAX: usize = 256 << 10;

/// What is shared in one query.
#[derive(Default)]
pub(crate) struct Shared {
    /// The number of the part that stands at a place of the query.
    numbers: HashMap<(usize, usize), usize>,
    parts: Vec<Part>,
    n_samples: u64,
}

#[derive(Default)]
struct Part {
    /// Places where it was not met yet.
    n_left: usize,
    /// It said something beside its value.
    is_noisy: bool,
    value: Option<(Key, Evaluated)>,
}

/// What a value depends on besides the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    start_ms: i64,
    step_ms: i64,
    n_steps: usize,
    are_buckets_skipped: bool,
}

impl Key {
    pub(crate) fn new(grid: Grid, buckets: Buckets) -> Self {
        let Grid { start_ms, step_ms, n_steps } = grid;
        Self { start_ms, step_ms, n_steps, are_buckets_skipped: buckets.are_skipped() }
    }
}

impl Shared {
    /// The parts of `expr` that are met several times, the largest ones.
    pub(crate) fn of(expr: &Expr) -> Self {
        let mut shared = Self::default();
        if n_selectors(expr) < 2 {
            return shared;
        }
        let mut texts = Texts::default();
        texts.count(expr, "");
        let mut numbers: HashMap<String, usize> = HashMap::new();
        shared.choose(expr, "", &texts, &mut numbers);
        for part in &mut shared.parts {
            // Met once outside of larger parts that are shared themselves.
            part.is_noisy = part.n_left < 2;
        }
        shared
    }

    fn choose(&mut self, expr: &Expr, within: &str, texts: &Texts, numbers: &mut HashMap<String, usize>) {
        if let Some(text) = text_of(expr, within)
            && texts.counted.get(&text).is_some_and(|n| *n > 1)
        {
            let number = *numbers.entry(text).or_insert_with(|| {
                self.parts.push(Part::default());
                self.parts.len() - 1
            });
            self.parts[number].n_left += 1;
            self.numbers.insert((expr.span.start, expr.span.end), number);
            return;
        }
        each_child(expr, within, &mut |child, within| self.choose(child, within, texts, numbers));
    }

    /// The number of the part that `expr` is, if it is one.
    pub(crate) fn number_of(&self, expr: &Expr) -> Option<usize> {
        if self.numbers.is_empty() || !may_be_shared(expr) {
            return None;
        }
        self.numbers.get(&(expr.span.start, expr.span.end)).copied()
    }

    /// Whether the value is there.
    pub(crate) fn has(&self, number: usize, key: Key) -> bool {
        matches!(&self.parts[number].value, Some((known, _)) if *known == key)
    }

    /// One place was met: the value, if it is there, and how many samples are let go of.
    pub(crate) fn meet(&mut self, number: usize, key: Key) -> Option<(Evaluated, u64)> {
        let is_there = self.has(number, key);
        let part = &mut self.parts[number];
        part.n_left = part.n_left.saturating_sub(1);
        if !is_there {
            return None;
        }
        if part.n_left > 0 {
            return part.value.as_ref().map(|(_, value)| (value.clone(), 0));
        }
        let (_, value) = part.value.take()?;
        let n_samples = value.n_samples();
        self.n_samples -= n_samples;
        Some((value, n_samples))
    }

    /// Whether a value of `n_samples` is to be kept while at most `n_max` are.
    pub(crate) fn wants(&self, number: usize, n_samples: u64, n_max: u64) -> bool {
        let part = &self.parts[number];
        part.n_left > 0 && !part.is_noisy && part.value.is_none() && self.n_samples + n_samples <= n_max
    }

    pub(crate) fn keep(&mut self, number: usize, key: Key, value: Evaluated) {
        self.n_samples += value.n_samples();
        self.parts[number].value = Some((key, value));
    }

    /// The part says something beside its value, which each of its places must say.
    pub(crate) fn is_noisy(&mut self, number: usize) {
        self.parts[number].is_noisy = true;
    }
}

/// How often each text is met.
#[derive(Default)]
struct Texts {
    counted: HashMap<String, usize>,
    n_bytes: usize,
}

impl Texts {
    fn count(&mut self, expr: &Expr, within: &str) {
        if self.n_bytes > TEXTS_BYTES_MAX {
            return;
        }
        if let Some(text) = text_of(expr, within) {
            self.n_bytes += text.len();
            *self.counted.entry(text).or_default() += 1;
        }
        each_child(expr, within, &mut |child, within| self.count(child, within));
    }
}

/// The part as text with what stands around it, when it is worth sharing.
fn text_of(expr: &Expr, within: &str) -> Option<String> {
    if !may_be_shared(expr) || expr.span.end - expr.span.start > TEXT_BYTES_MAX || n_selectors(expr) == 0 {
        return None;
    }
    Some(format!("{within}{expr}"))
}

fn may_be_shared(expr: &Expr) -> bool {
    use ExprKind as K;
    matches!(expr.kind, K::Vector(_) | K::Call { .. } | K::Aggregate { .. } | K::Binary { .. })
}

/// Selectors in `expr`, two at most.
fn n_selectors(expr: &Expr) -> usize {
    if matches!(expr.kind, ExprKind::Vector(_) | ExprKind::Matrix { .. }) {
        return 1;
    }
    let mut n = 0;
    each_child(expr, "", &mut |child, _| {
        if n < 2 {
            n += n_selectors(child);
        }
    });
    n
}

/// Hands out the children with the subqueries around them, whose steps are others than the query's.
fn each_child(expr: &Expr, within: &str, of: &mut dyn FnMut(&Expr, &str)) {
    match &expr.kind {
        ExprKind::Subquery { expr: inner, range, step, offset, at } => {
            of(inner, &format!("{within}{range:?}{step:?}{offset:?}{at:?} "));
        }
        ExprKind::Call { args, .. } => args.iter().for_each(|arg| of(arg, within)),
        ExprKind::Aggregate { param, expr: inner, .. } => {
            if let Some(param) = param {
                of(param, within);
            }
            of(inner, within);
        }
        ExprKind::Binary { lhs, rhs, .. } => {
            of(lhs, within);
            of(rhs, within);
        }
        ExprKind::Unary { expr: inner, .. } | ExprKind::Paren(inner) => of(inner, within),
        ExprKind::Number { .. }
        | ExprKind::String(_)
        | ExprKind::InvalidString(_)
        | ExprKind::Vector(_)
        | ExprKind::Matrix { .. } => {}
    }
}
