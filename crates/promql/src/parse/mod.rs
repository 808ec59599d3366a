//! Query text to expression tree and back.
//!
//! In from callers' text; out to `eval`. Never panics, whatever the text.
//! Grammar: Prometheus 3.14, every feature flag on (docs/differences.md).

pub(crate) mod ast;
mod check;
mod duration;
mod edit;
pub(crate) mod error;
pub(crate) mod features;
pub(crate) mod functions;
mod lexer;
mod literal;
mod parser;
mod pretty;
mod printer;
mod remembered;

use std::sync::Arc;

use model::Matcher;

use ast::Expr;
use error::ParseError;
use features::Features;

/// Parses and type-checks `query`, which may use the whole language.
///
/// # Errors
/// The first thing that is wrong, with its position, in Prometheus' words.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_with(query, Features::ALL)
}

/// As [`parse`], with what `features` allow.
///
/// # Errors
/// As [`parse`], and when it needs what is off.
pub fn parse_with(query: &str, features: Features) -> Result<Expr, ParseError> {
    let mut expr = parser::expression(query)?;
    features.check_in(query, &expr)?;
    check::Checker { query }.check(&mut expr)?;
    expr.query = Some(Arc::from(query));
    Ok(expr)
}

/// Parses a series selector as in `match[]` parameters: `name{label="value"}`.
///
/// # Errors
/// As [`parse`]; also when it is anything but a plain selector. A selector that matches everything is not refused.
pub fn metric_selector(query: &str) -> Result<Vec<Matcher>, ParseError> {
    Ok(parser::selector(query)?.matchers)
}
