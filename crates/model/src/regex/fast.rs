//! What a pattern amounts to, when that is less than an automaton: a few texts, or a text with anything around it.

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// Most alternatives of a pattern that count as texts. Chosen: dashboards name thousands of hosts this way.
const ALTERNATIVES_MAX: usize = 10_000;
/// Most alternatives that come from multiplying (`[ab][cd]`), where a short pattern could make many. Chosen.
const PRODUCT_MAX: usize = 256;
/// Most bytes of all alternatives together. Chosen: longer than any query.
const ALTERNATIVES_BYTES_MAX: usize = 256 << 10;

/// How a text is compared.
#[derive(Debug)]
pub(super) enum Shape {
    /// It is one of these, which are sorted.
    OneOf(Box<[String]>),
    /// It is the literal with gaps around.
    Around { before: Gap, literal: Box<str>, after: Gap },
    /// Ask the automaton.
    Other,
}

/// What may stand on one side of the literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// Nothing.
    Empty,
    /// `.*`
    Anything,
    /// `.+`
    Something,
}

impl Shape {
    pub(super) fn of(hir: &Hir) -> Self {
        if let Some(mut alternatives) = alternatives(hir) {
            alternatives.sort_unstable();
            alternatives.dedup();
            return Self::OneOf(alternatives.into());
        }
        let mut parts = Vec::new();
        flatten(hir, &mut parts);
        let mut parts = parts.as_slice();
        let mut before = Gap::Empty;
        let mut after = Gap::Empty;
        if let Some((gap, rest)) = parts.split_first().and_then(|(part, rest)| Some((gap(part)?, rest))) {
            (before, parts) = (gap, rest);
        }
        if let Some((gap, rest)) = parts.split_last().and_then(|(part, rest)| Some((gap(part)?, rest))) {
            (after, parts) = (gap, rest);
        }
        let mut literal = String::new();
        for part in parts {
            match part.kind() {
                HirKind::Literal(bytes) => match std::str::from_utf8(&bytes.0) {
                    Ok(text) => literal.push_str(text),
                    Err(_) => return Self::Other,
                },
                _ => return Self::Other,
            }
        }
        Self::Around { before, literal: literal.into(), after }
    }

    /// Whether `text` matches, unless only the automaton can say.
    pub(super) fn is_match(&self, text: &str) -> Option<bool> {
        match self {
            Self::OneOf(alternatives) => {
                Some(alternatives.binary_search_by(|alternative| alternative.as_str().cmp(text)).is_ok())
            }
            Self::Around { before, literal, after } => Some(is_around(*before, literal, *after, text)),
            Self::Other => None,
        }
    }

    pub(super) fn is_anything(&self) -> bool {
        let Self::Around { before, literal, after } = self else { return false };
        literal.is_empty()
            && (*before == Gap::Anything || *after == Gap::Anything)
            && *before != Gap::Something
            && *after != Gap::Something
    }
}

fn is_around(before: Gap, literal: &str, after: Gap, text: &str) -> bool {
    // `.+` takes at least one character, whichever it is; the rest of it is `.*`.
    let mut chars = text.chars();
    if before == Gap::Something && chars.next().is_none() {
        return false;
    }
    if after == Gap::Something && chars.next_back().is_none() {
        return false;
    }
    let text = chars.as_str();
    match (before, after) {
        (Gap::Empty, Gap::Empty) => text == literal,
        (Gap::Empty, _) => text.starts_with(literal),
        (_, Gap::Empty) => text.ends_with(literal),
        (_, _) => text.contains(literal),
    }
}

/// The parts of a concatenation, groups opened.
fn flatten<'a>(hir: &'a Hir, parts: &mut Vec<&'a Hir>) {
    match hir.kind() {
        HirKind::Capture(capture) => flatten(&capture.sub, parts),
        HirKind::Concat(subs) => subs.iter().for_each(|sub| flatten(sub, parts)),
        HirKind::Empty => {}
        _ => parts.push(hir),
    }
}

/// `.*` or `.+` where the dot is any character.
fn gap(hir: &Hir) -> Option<Gap> {
    let HirKind::Repetition(Repetition { min, max: None, sub, .. }) = hir.kind() else { return None };
    let mut sub = &**sub;
    while let HirKind::Capture(capture) = sub.kind() {
        sub = &capture.sub;
    }
    let HirKind::Class(Class::Unicode(class)) = sub.kind() else { return None };
    let is_any = matches!(class.ranges(), [only] if only.start() == '\0' && only.end() == char::MAX);
    match (is_any, min) {
        (true, 0) => Some(Gap::Anything),
        (true, 1) => Some(Gap::Something),
        _ => None,
    }
}

/// All texts that match, when they are few.
fn alternatives(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![String::from_utf8(literal.0.to_vec()).ok()?]),
        HirKind::Capture(capture) => alternatives(&capture.sub),
        HirKind::Class(Class::Unicode(class)) => {
            let n_chars: usize = class.ranges().iter().map(|range| range.len()).sum();
            let chars = || class.ranges().iter().flat_map(|range| range.start()..=range.end());
            (n_chars <= PRODUCT_MAX).then(|| chars().map(String::from).collect())
        }
        HirKind::Concat(subs) => {
            let mut all = vec![String::new()];
            for sub in subs {
                all = product(&all, &alternatives(sub)?)?;
            }
            Some(all)
        }
        HirKind::Alternation(subs) => {
            let mut all = Vec::new();
            let mut n_bytes = 0;
            for sub in subs {
                let more = alternatives(sub)?;
                n_bytes += more.iter().map(String::len).sum::<usize>();
                all.extend(more);
                if all.len() > ALTERNATIVES_MAX || n_bytes > ALTERNATIVES_BYTES_MAX {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Repetition(repetition) => {
            let (min, max) = (repetition.min, repetition.max.filter(|max| *max <= 4)?);
            let once = alternatives(&repetition.sub)?;
            let mut power = vec![String::new()];
            let mut all = if min == 0 { power.clone() } else { Vec::new() };
            for n in 1..=max {
                power = product(&power, &once)?;
                if n >= min {
                    all.extend(power.iter().cloned());
                }
            }
            (all.len() <= PRODUCT_MAX).then_some(all)
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) => None,
    }
}

fn product(left: &[String], right: &[String]) -> Option<Vec<String>> {
    let n = left.len().checked_mul(right.len())?;
    let n_bytes = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
    let total = n_bytes(left).saturating_mul(right.len()) + n_bytes(right).saturating_mul(left.len());
    let is_small = n <= PRODUCT_MAX || left.len() == 1 || right.len() == 1;
    if !is_small || n > ALTERNATIVES_MAX || total > ALTERNATIVES_BYTES_MAX {
        return None;
    }
    Some(left.iter().flat_map(|l| right.iter().map(move |r| format!("{l}{r}"))).collect())
}

/// The text that every match begins with.
pub(super) fn prefix(hir: &Hir, shape: &Shape) -> String {
    if let Shape::OneOf(alternatives) = shape {
        // Sorted, so that what the first and the last share, all share.
        let (Some(first), Some(last)) = (alternatives.first(), alternatives.last()) else {
            return String::new();
        };
        let shared = first.chars().zip(last.chars()).take_while(|(a, b)| a == b);
        return shared.map(|(c, _)| c).collect();
    }
    let mut parts = Vec::new();
    flatten(hir, &mut parts);
    let mut prefix = String::new();
    for part in parts {
        match part.kind() {
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
                Ok(text) => prefix.push_str(text),
                Err(_) => break,
            },
            _ => break,
        }
    }
    prefix
}
