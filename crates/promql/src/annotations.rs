//! Warnings and infos about a query, in Prometheus' words.
//!
//! Texts begin with `PromQL warning: ` or `PromQL info: ` and end with the position in the query, `(line:col)`.
//! The same text at the same position is kept once.

use crate::parse::ast::Span;

/// What should be said about an answer.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Annotations {
    /// `PromQL warning: …`, in the order in which they arose.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// `PromQL info: …`, in the order in which they arose.
    #[must_use]
    pub fn infos(&self) -> &[String] {
        &self.infos
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.infos.is_empty()
    }

    pub(crate) fn warn(&mut self, query: &str, span: Span, text: &str) {
        push_once(&mut self.warnings, format!("PromQL warning: {text} ({})", span.start_in(query)));
    }

    pub(crate) fn info(&mut self, query: &str, span: Span, text: &str) {
        push_once(&mut self.infos, format!("PromQL info: {text} ({})", span.start_in(query)));
    }
}

fn push_once(list: &mut Vec<String>, text: String) {
    if !list.contains(&text) {
        list.push(text);
    }
}
