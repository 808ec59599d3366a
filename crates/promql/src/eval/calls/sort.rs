//! sort, sort_desc, sort_by_label, sort_by_label_desc. They work on instant queries; ranges are ordered by labels.

use std::cmp::Ordering;

use super::text;
use crate::eval::column::{Column, Grid};
use crate::eval::evaluator::{Evaluator, Result};
use crate::eval::pace::Pace;
use crate::func::sum::nan_first;
use crate::parse::ast::{Expr, Span};

pub(crate) fn call(
    ev: &mut Evaluator<'_>,
    name: &str,
    args: &[Expr],
    span: Span,
    grid: Grid,
) -> Result<Vec<Column>> {
    let mut columns = ev.vector(&args[0], grid)?;
    // Those have no order by value, whether or not it shows.
    if matches!(name, "sort" | "sort_desc") {
        columns.iter_mut().for_each(|column| column.histograms.clear());
    }
    columns.retain(|column| !column.is_absent());
    if !grid.is_instant() {
        ev.warn(span, "sort is ineffective for range queries since results are always ordered by labels");
        return Ok(columns);
    }
    let value = |column: &Column| column.values[0];
    // NaN comes last in both directions.
    let by_value = |a: &Column, b: &Column, descending: bool| {
        let (a, b) = (value(a), value(b));
        if a.is_nan() || b.is_nan() {
            return nan_first(a, b).reverse();
        }
        let ordering = nan_first(a, b);
        if descending { ordering.reverse() } else { ordering }
    };
    let mut pace = Pace::new(ev.query_options);
    match name {
        "sort" => pace.sort_by(&mut columns, |a, b| by_value(a, b, false))?,
        "sort_desc" => pace.sort_by(&mut columns, |a, b| by_value(a, b, true))?,
        _ => {
            let labels = args[1..].iter().map(text).collect::<Result<Vec<_>>>()?;
            pace.sort_by(&mut columns, |a, b| by_labels(a, b, &labels))?;
            if name == "sort_by_label_desc" {
                columns.reverse();
            }
        }
    }
    Ok(columns)
}

fn by_labels(a: &Column, b: &Column, labels: &[&str]) -> Ordering {
    for label in labels {
        let (a, b) = (a.labels.get(label).unwrap_or(""), b.labels.get(label).unwrap_or(""));
        if a != b {
            return natural(a, b);
        }
    }
    a.labels.cmp(&b.labels)
}

/// Runs of digits and of everything else.
fn chunks(text: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        let (chunk, tail) = rest.split_at(end);
        chunks.push(chunk);
        rest = tail;
    }
    chunks
}

/// Numbers within the text count as numbers: `a2` before `a10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (a_chunks, b_chunks) = (chunks(a), chunks(b));
    for (a, b) in a_chunks.iter().zip(&b_chunks) {
        let ordering = match (a.parse::<i64>(), b.parse::<i64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => a.cmp(b),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    a_chunks.len().cmp(&b_chunks.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_text_are_numbers() {
        let check = |a, b| assert_eq!(natural(a, b), Ordering::Less, "{a} {b}");
        check("a2", "a10");
        check("a", "a1");
        check("", "a");
        check("1.9", "1.10");
    }
}
