//! Go's text/template and html/template, as far as alert templates need them.
//!
//! In from rule files and alertmanager configuration: text; out to annotations and notifications: text.
//! Pure and sync: no clock, no files, no sockets. Functions and data come from the caller as [`Functions`] and [`Value`].
//! Semantics and wording of errors: Go 1.26's packages, from their documentation and by running them side by side.
//! Limits: [`limits`]; each is an error that names it.

mod ast;
mod builtin;
mod compare;
mod error;
mod exec;
mod functions;
mod html;
mod lex;
pub mod limits;
mod parse;
mod print;
mod printf;
mod set;
mod time;
mod time_methods;
mod value;

pub use error::{ExecError, ParseError};
pub use functions::{Arity, Functions};
pub use html::json_number;
pub use set::{Options, Template, TemplateSet};
pub use time::{format_duration, format_time, parse_time};
pub use value::{Items, Map, Object, Value};

/// `fmt.Sprintf`: mistakes in the format show in the text, as in Go.
#[must_use]
pub fn sprintf(format: &str, args: &[Value]) -> String {
    printf::sprintf(format, args)
}

/// `strconv.FormatFloat(value, 'g', -1, 64)`, which is also how `print` writes a float.
#[must_use]
pub fn float_text(value: f64) -> String {
    printf::format_float(value, printf::FloatFormat::SHORTEST)
}

/// Go's `url.QueryEscape`, which is also the builtin `urlquery`.
#[must_use]
pub fn query_escape(text: &str) -> String {
    builtin::query_escape(text)
}
