//! Parts that stand in a query more than once: evaluated once, and kept until the last of them was met.
//!
//! In: the expression, before it runs, then values of its parts. Out: those values, where the same part is met again on the same grid.
//! Never changes an answer: what a part said beside its value (annotations) keeps it from being shared, since each place says it for itself,
//! and what is kept has a limit of its own, so that no query fails for it.

use std::collections::{BTreeMap, HashMap};

use super::calls;
use super::column::{Evaluated, Grid};
use super::evaluator::Buckets;
use super::passes::{Member, PASS_MAX};
use crate::parse::ast::{Expr, ExprKind, Span};

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
    /// Aggregations of the same series, by passes over these.
    passes: Vec<Vec<Member>>,
    n_samples: u64,
}

#[derive(Default)]
struct Part {
    /// Places where it was not met yet.
    n_left: usize,
    /// It said something beside its value.
    is_noisy: bool,
    /// Somewhere all of its series are needed at once.
    is_needed_whole: bool,
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
        shared.choose((expr, false), "", &texts, &mut numbers);
        for part in &mut shared.parts {
            // Met once outside of larger parts that are shared themselves.
            part.is_noisy = part.n_left < 2;
        }
        let mut inputs = Inputs::default();
        inputs.find(expr, "");
        shared.make_passes(inputs);
        shared
    }

    /// Numbers what stands several times in `expr`, of which its place takes the series one by one or not.
    fn choose(
        &mut self,
        (expr, is_streamed): (&Expr, bool),
        within: &str,
        texts: &Texts,
        numbers: &mut HashMap<String, usize>,
    ) {
        if let Some(text) = text_of(expr, within)
            && texts.counted.get(&text).is_some_and(|n| *n > 1)
        {
            let number = *numbers.entry(text).or_insert_with(|| {
                self.parts.push(Part::default());
                self.parts.len() - 1
            });
            self.parts[number].n_left += 1;
            self.parts[number].is_needed_whole |= !is_streamed;
            self.numbers.insert((expr.span.start, expr.span.end), number);
            return;
        }
        let are_streamed =
            Member::of(expr, 0).is_some() || is_streamed && matches!(expr.kind, ExprKind::Paren(_));
        each_child(expr, within, &mut |child, within| {
            self.choose((child, are_streamed), within, texts, numbers);
        });
    }

    /// One pass for those aggregations that are not the same, but take the same.
    fn make_passes(&mut self, inputs: Inputs) {
        for (_, mut aggregations) in inputs.by_text {
            aggregations.truncate(PASS_MAX);
            if aggregations.len() < 2 {
                continue;
            }
            let mut members = Vec::new();
            for Aggregation { mut member, places, .. } in aggregations {
                let known = places.iter().find_map(|place| self.numbers.get(place).copied());
                member.number = known.unwrap_or_else(|| {
                    self.parts.push(Part { n_left: places.len(), ..Part::default() });
                    self.parts.len() - 1
                });
                self.parts[member.number].is_noisy = false;
                for place in places {
                    self.numbers.entry(place).or_insert(member.number);
                }
                members.push(member);
            }
            self.passes.push(members);
        }
    }

    /// The other aggregations of the pass in which the one at `span` is, as far as nobody knows their values.
    pub(super) fn others_of_pass(&self, span: Span) -> Vec<Member> {
        let Some(number) = self.numbers.get(&(span.start, span.end)) else { return Vec::new() };
        let pass = self.passes.iter().find(|pass| pass.iter().any(|member| member.number == *number));
        let is_wanted = |member: &&Member| {
            let part = &self.parts[member.number];
            member.number != *number && part.n_left > 0 && !part.is_noisy && part.value.is_none()
        };
        pass.into_iter().flatten().filter(is_wanted).cloned().collect()
    }

    /// Whether all series of a part will be needed at once somewhere.
    pub(super) fn is_needed_whole(&self, number: usize) -> bool {
        self.parts[number].is_needed_whole
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

/// Aggregations that take series one by one, by the text of what they take.
#[derive(Default)]
struct Inputs {
    by_text: BTreeMap<String, Vec<Aggregation>>,
    n_bytes: usize,
}

/// An aggregation, and all places where it stands.
struct Aggregation {
    text: String,
    member: Member,
    places: Vec<(usize, usize)>,
}

impl Inputs {
    fn find(&mut self, expr: &Expr, within: &str) {
        if let (Some(member), ExprKind::Aggregate { expr: inner, .. }) = (Member::of(expr, 0), &expr.kind)
            && let Some(input) = text_of(inner.unwrapped(), within)
            && is_stream(inner.unwrapped())
            && let Some(text) = text_of(expr, within)
            && self.n_bytes <= TEXTS_BYTES_MAX
        {
            self.n_bytes += input.len() + text.len();
            let place = (expr.span.start, expr.span.end);
            let all = self.by_text.entry(input).or_default();
            match all.iter_mut().find(|known| known.text == text) {
                Some(known) => known.places.push(place),
                None => all.push(Aggregation { text, member, places: vec![place] }),
            }
        }
        each_child(expr, within, &mut |child, within| self.find(child, within));
    }
}

/// Whether the series of `expr` come one by one.
fn is_stream(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Vector(selector) => selector.extension.is_none(),
        ExprKind::Call { func, args } => calls::is_streamed(func, args),
        _ => false,
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
