//! Regular expressions that mean what RE2 means, anchored at both ends as Prometheus uses them.
//!
//! In from matchers and relabelling; executed by `regex-automata`, never by backtracking, so any pattern runs in
//! time linear in its input. Differences between the dialects are bridged before compiling.
//! Limit: [`REGEX_BYTES_MAX`] of compiled program.

use std::fmt;
use std::sync::Arc;

use regex_automata::meta;
use regex_automata::util::syntax;

/// A compiled expression may take this much memory. Chosen: far above any sane matcher, far below harm.
pub const REGEX_BYTES_MAX: usize = 10 << 20;

/// Why an expression was refused.
#[derive(Debug, Clone, thiserror::Error)]
#[error("error parsing regexp: {reason}: `{pattern}`")]
pub struct RegexError {
    /// As it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A compiled expression, anchored at both ends. Cheap to clone.
#[derive(Clone)]
pub struct Regex {
    pattern: Arc<str>,
    compiled: meta::Regex,
}

impl Regex {
    /// Compiles `pattern` as `^(?s:pattern)$`.
    ///
    /// # Errors
    /// When RE2 would refuse it, or it is larger than [`REGEX_BYTES_MAX`].
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let refuse = |reason: String| RegexError { pattern: pattern.to_owned(), reason };
        let compiled = meta::Regex::builder()
            .configure(meta::Config::new().nfa_size_limit(Some(REGEX_BYTES_MAX)))
            .syntax(syntax::Config::new())
            .build(&format!("^(?s:{pattern})$"))
            .map_err(|err| refuse(err.to_string()))?;
        Ok(Self { pattern: Arc::from(pattern), compiled })
    }

    /// Whether all of `text` matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// As it was written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// When all of `text` matches, `template` with `$1`, `${1}` and `${name}` filled in, as Go's `Regexp.Expand`.
    #[must_use]
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let mut captures = self.compiled.create_captures();
        self.compiled.captures(text, &mut captures);
        if !captures.is_match() {
            return None;
        }
        let mut out = String::new();
        captures.interpolate_string_into(text, template, &mut out);
        Some(out)
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?})", self.pattern)
    }
}

impl fmt::Display for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Regex {}
