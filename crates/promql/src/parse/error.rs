//! Why a text is no query.

use super::ast::Span;

/// The query is not PromQL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line_col}: parse error: {message}")]
pub struct ParseError {
    /// Where, in bytes of the query.
    pub span: Span,
    /// Where, as `line:col` counted from one, or what upstream says when there is no position.
    pub line_col: String,
    /// What is wrong, in Prometheus' words where it has any.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(query: &str, span: Span, message: impl Into<String>) -> Self {
        Self { span, line_col: span.start_in(query), message: message.into() }
    }
}
