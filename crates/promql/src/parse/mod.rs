//! Query text to expression tree and back.

pub(crate) mod ast;

use model::Matcher;

use crate::error::ParseError;
use ast::Expr;

/// Parses and type-checks `query`.
///
/// # Errors
/// The first thing that is wrong, with its position, in Prometheus' words.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    Err(ParseError::new(query, ast::Span::default(), "no expression found in input"))
}

/// Parses a series selector as in `match[]` parameters: `name{label="value"}`.
///
/// # Errors
/// As [`parse`]; also when it is anything but a plain selector.
pub fn metric_selector(query: &str) -> Result<Vec<Matcher>, ParseError> {
    Err(ParseError::new(query, ast::Span::default(), "no expression found in input"))
}
