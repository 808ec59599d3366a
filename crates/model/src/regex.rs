//! Regular expressions that mean what RE2 means, anchored at both ends as Prometheus uses them.
//!
//! In from matchers and relabelling. Our own parser of RE2's syntax (`parse`) builds the tree that `regex-automata`
//! executes, never by backtracking, so any pattern runs in time linear in its input. Patterns that amount to text
//! comparison (`fast`) build no automaton at all unless groups are wanted.
//! Limits: [`REGEX_BYTES_MAX`] of compiled program, [`NEST_MAX`] groups inside each other.
//! Source of the dialect: Go's `regexp/syntax` with its Perl flags, and `regexp.Expand`.

mod fast;
mod parse;
mod search;

use std::fmt;
use std::sync::{Arc, OnceLock};

use regex_automata::meta;
use regex_syntax::hir::{Hir, Look};

use fast::Shape;
pub use parse::NEST_MAX;
pub use search::SearchRegex;

/// A compiled expression may take this much memory. Chosen: thousands of host names with unescaped dots fit.
pub const REGEX_BYTES_MAX: usize = 32 << 20;

/// Why an expression was refused, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {reason}: `{fragment}`")]
pub struct RegexError {
    /// As it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
    /// The part of it that is wrong.
    pub fragment: String,
}

/// A compiled expression, anchored at both ends. Cheap to clone.
#[derive(Clone)]
pub struct Regex {
    inner: Arc<Inner>,
}

struct Inner {
    pattern: Box<str>,
    shape: Shape,
    prefix: Box<str>,
    /// By group index; RE2 lets several groups share a name.
    group_names: Box<[Option<Box<str>>]>,
    /// Built at once when `shape` does not answer, otherwise when groups are first asked for.
    compiled: OnceLock<Option<meta::Regex>>,
}

impl Regex {
    /// Compiles `pattern` as `^(?s:pattern)$`.
    ///
    /// # Errors
    /// When RE2 would refuse it, or it is larger than [`REGEX_BYTES_MAX`].
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let refuse = |reason: &str, fragment: &str| RegexError {
            pattern: pattern.to_owned(),
            reason: reason.to_owned(),
            fragment: fragment.to_owned(),
        };
        let parse::Parsed { hir, names } =
            parse::parse(pattern).map_err(|err| refuse(err.reason, err.fragment))?;
        let group_names = names.into_iter().map(|name| name.map(Box::from)).collect();
        let shape = Shape::of(&hir);
        let prefix = fast::prefix(&hir, &shape);
        let compiled = OnceLock::new();
        if matches!(shape, Shape::Other) {
            let built = compile(hir, Some(REGEX_BYTES_MAX));
            compiled.get_or_init(|| built);
            if compiled.get().is_none_or(Option::is_none) {
                return Err(refuse("expression too large", pattern));
            }
        }
        let inner = Inner { pattern: pattern.into(), shape, prefix: prefix.into(), group_names, compiled };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether all of `text` matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        // Fast path: no automaton.
        if let Some(answer) = self.inner.shape.is_match(text) {
            return answer;
        }
        // Slow path: the automaton.
        self.compiled().is_some_and(|compiled| compiled.is_match(text))
    }

    /// As it was written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.inner.pattern
    }

    /// The only texts that match, sorted, when they are few: for `a|b|c`, a look-up each instead of a scan.
    #[must_use]
    pub fn literal_alternatives(&self) -> Option<&[String]> {
        match &self.inner.shape {
            Shape::OneOf(alternatives) => Some(alternatives),
            _ => None,
        }
    }

    /// What every text that matches begins with, unless that is nothing.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        Some(&*self.inner.prefix).filter(|prefix| !prefix.is_empty())
    }

    /// Whether every text matches, the empty one too.
    #[must_use]
    pub fn matches_anything(&self) -> bool {
        self.inner.shape.is_anything()
    }

    /// When all of `text` matches, `template` with `$1`, `${1}` and `${name}` filled in, as Go's `Regexp.Expand`.
    #[must_use]
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        // Fast path: `(.*)`, which relabel rules have unless they say otherwise: both groups are the text.
        if self.inner.shape.is_anything() && matches!(&*self.inner.pattern, "(.*)" | ".*") {
            let n_groups = if &*self.inner.pattern == ".*" { 1 } else { 2 };
            return Some(expand_template(template, |group| match group {
                Group::Number(number) => (number < n_groups).then_some(text),
                Group::Name(_) => None,
            }));
        }
        if self.inner.shape.is_match(text) == Some(false) {
            return None;
        }
        let compiled = self.compiled()?;
        let mut captures = compiled.create_captures();
        compiled.captures(text, &mut captures);
        if !captures.is_match() {
            return None;
        }
        Some(expand_template(template, |group| {
            let span = match group {
                Group::Number(number) => captures.get_group(number),
                Group::Name(name) => self.groups_named(name).find_map(|idx| captures.get_group(idx)),
            };
            span.map(|span| &text[span.range()])
        }))
    }

    fn groups_named(&self, name: &str) -> impl Iterator<Item = usize> {
        let names = self.inner.group_names.iter().enumerate();
        names.filter(move |(_, known)| known.as_deref() == Some(name)).map(|(idx, _)| idx)
    }

    fn compiled(&self) -> Option<&meta::Regex> {
        let compile_again = || {
            // Only patterns with a fast shape come here: they parsed before, and are small or a list of literals.
            parse::parse(&self.inner.pattern).ok().and_then(|parsed| compile(parsed.hir, None))
        };
        self.inner.compiled.get_or_init(compile_again).as_ref()
    }
}

fn compile(hir: Hir, size_limit: Option<usize>) -> Option<meta::Regex> {
    let anchored = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
    meta::Regex::builder()
        .configure(meta::Config::new().nfa_size_limit(size_limit))
        .build_from_hir(&anchored)
        .ok()
}

/// How a template names a group.
enum Group<'a> {
    Number(usize),
    Name(&'a str),
}

/// Go's `Expand`: `$name` takes the longest run of letters, digits and underscores; what is not there is empty; a
/// dollar that begins no name stays.
fn expand_template<'t>(template: &str, lookup: impl Fn(Group<'_>) -> Option<&'t str>) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = split_group(after) {
            out.push_str(lookup(group(name)).unwrap_or(""));
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The name after a dollar, in braces or not, and what follows.
fn split_group(text: &str) -> Option<(&str, &str)> {
    let (is_braced, text) = text.strip_prefix('{').map_or((false, text), |text| (true, text));
    let end =
        text.find(|c: char| !(c.is_alphabetic() || c.is_ascii_digit() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    if is_braced { Some((name, rest.strip_prefix('}')?)) } else { Some((name, rest)) }
}

fn group(name: &str) -> Group<'_> {
    let is_number = name.len() <= 9
        && name.bytes().all(|b| b.is_ascii_digit())
        && (name == "0" || !name.starts_with('0'));
    match name.parse() {
        Ok(number) if is_number => Group::Number(number),
        _ => Group::Name(name),
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?})", self.pattern())
    }
}

impl fmt::Display for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pattern())
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.pattern() == other.pattern()
    }
}

impl Eq for Regex {}

#[cfg(test)]
mod tests;
