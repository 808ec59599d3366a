//! label_replace and label_join.

use model::labels::METRIC_NAME;
use model::{Labels, Regex};

use super::text;
use crate::error::EvalError;
use crate::eval::column::{Column, Grid, merge_equal};
use crate::eval::evaluator::{Evaluator, Result};
use crate::parse::ast::Expr;

fn fail<T>(message: String) -> Result<T> {
    Err(EvalError::Execution(message))
}

fn relabel(column: &mut Column, dst: &str, value: &str) {
    column.labels = column.labels.to_builder().set(dst, value).build();
    if dst == METRIC_NAME {
        // A name that was set on purpose stays.
        column.drop_name = false;
    }
}

pub(crate) fn replace(ev: &mut Evaluator<'_>, args: &[Expr], grid: Grid) -> Result<Vec<Column>> {
    let (dst, replacement) = (text(&args[1])?, text(&args[2])?);
    let (src, pattern) = (text(&args[3])?, text(&args[4])?);
    let Ok(regex) = Regex::new(pattern) else {
        return fail(format!("invalid regular expression in label_replace(): {pattern}"));
    };
    if dst.is_empty() {
        return fail(format!("invalid destination label name in label_replace(): {dst}"));
    }
    let mut columns = ev.vector(&args[0], grid)?;
    for column in &mut columns {
        ev.check_stop()?;
        let labels: Labels = column.labels.clone();
        if let Some(value) = regex.expand(labels.get(src).unwrap_or(""), replacement) {
            relabel(column, dst, &value);
        }
    }
    merge_equal(ev.query_options, columns)
}

pub(crate) fn join(ev: &mut Evaluator<'_>, args: &[Expr], grid: Grid) -> Result<Vec<Column>> {
    let (dst, separator) = (text(&args[1])?, text(&args[2])?);
    let mut sources = Vec::new();
    for arg in &args[3..] {
        let source = text(arg)?;
        if source.is_empty() {
            return fail(format!("invalid source label name in label_join(): {source}"));
        }
        sources.push(source);
    }
    if dst.is_empty() {
        return fail(format!("invalid destination label name in label_join(): {dst}"));
    }
    let mut columns = ev.vector(&args[0], grid)?;
    for column in &mut columns {
        ev.check_stop()?;
        let values: Vec<_> = sources.iter().map(|source| column.labels.get(source).unwrap_or("")).collect();
        let joined = values.join(separator);
        relabel(column, dst, &joined);
    }
    merge_equal(ev.query_options, columns)
}
