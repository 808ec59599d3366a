//! Which expressions may be answered in parts: those whose value at a step does not depend on which other steps are asked for.
//!
//! In from the tree; out how far beyond its own time a step looks. What is not listed here as safe is not cached.

use model::MatchOp;
use model::labels::METRIC_NAME;

use crate::parse::ast::{AggregateOp, Expr, ExprKind, Offset, SelectorExtension, ValueType, VectorSelector};

/// Functions whose answer depends on the query's own range, on which series appear anywhere in it, or, in the last digit, on where it
/// begins (sums over sliding windows).
const UNSAFE: [&str; 20] = [
    "avg_over_time",
    "end",
    "histogram_avg",
    "histogram_count",
    "histogram_fraction",
    "histogram_quantiles",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
    "info",
    "label_join",
    "label_replace",
    "range",
    "sort",
    "sort_by_label",
    "sort_by_label_desc",
    "sort_desc",
    "start",
    "step",
    "sum_over_time",
];

/// How far beyond its own time the value of `expr` at a step looks, in milliseconds; `None` when the expression must be answered whole.
pub(super) fn ahead_ms(expr: &Expr, lookback_ms: i64) -> Option<i64> {
    let of = |inner: &Expr| ahead_ms(inner, lookback_ms);
    match &expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => Some(0),
        ExprKind::InvalidString(_) => None,
        ExprKind::Vector(selector) => of_selector(selector, lookback_ms),
        ExprKind::Matrix { selector, range } => {
            known(Some(range))?;
            of_selector(selector, lookback_ms)
        }
        ExprKind::Subquery { expr: inner, range, step, offset, at } => {
            known(Some(range))?;
            known(step.as_ref())?;
            let beyond = (-known(offset.as_ref())?).max(0);
            if at.is_some() { None } else { of(inner)?.checked_add(beyond) }
        }
        ExprKind::Call { func, args } => {
            let is_safe = !UNSAFE.contains(&func.name);
            args.iter().try_fold(0, |most, arg| is_safe.then(|| of(arg)).flatten().map(|ms| most.max(ms)))
        }
        ExprKind::Aggregate { op, param, expr: inner, .. } => {
            let keeps = match op {
                AggregateOp::Limitk | AggregateOp::LimitRatio => false,
                // Each value that occurs takes room for all steps, so that parts held one after the other say nothing of the whole.
                AggregateOp::CountValues => false,
                AggregateOp::Min | AggregateOp::Max | AggregateOp::Count | AggregateOp::Group => true,
                AggregateOp::Quantile => true,
                _ => is_in_fixed_order(inner),
            };
            let param = param.as_deref().map_or(Some(0), of)?;
            if keeps { Some(of(inner)?.max(param)) } else { None }
        }
        ExprKind::Binary { lhs, rhs, .. } => Some(of(lhs)?.max(of(rhs)?)),
        ExprKind::Unary { expr: inner, .. } | ExprKind::Paren(inner) => of(inner),
    }
}

/// A length that does not depend on the query's range; zero for none.
fn known(length: Option<&Offset>) -> Option<i64> {
    match length {
        None => Some(0),
        Some(Offset::Ms(ms)) => Some(*ms),
        Some(Offset::Expr(_)) => None,
    }
}

/// With one name, no two series become the same when names are dropped, wherever they appear.
fn of_selector(selector: &VectorSelector, lookback_ms: i64) -> Option<i64> {
    let is_one_metric = selector.matchers.iter().any(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal);
    if selector.at.is_some() || !is_one_metric {
        return None;
    }
    let beyond = (-known(selector.offset.as_ref())?).max(0);
    match selector.extension {
        Some(SelectorExtension::Smoothed) => beyond.checked_add(lookback_ms),
        _ => Some(beyond),
    }
}

/// Whether of two series of the value the same one always comes first, whichever others there are: then sums of them are the
/// same to the bit, and so is the choice between equals.
fn is_in_fixed_order(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Vector(_) | ExprKind::Matrix { .. } => true,
        ExprKind::Subquery { expr: inner, .. } => is_in_fixed_order(inner),
        ExprKind::Paren(inner) | ExprKind::Unary { expr: inner, .. } => is_in_fixed_order(inner),
        ExprKind::Call { func, args } => {
            let is_series = |arg: &&Expr| matches!(arg.value_type(), ValueType::Vector | ValueType::Matrix);
            func.name != "histogram_quantile" && args.iter().filter(is_series).all(is_in_fixed_order)
        }
        ExprKind::Binary { lhs, rhs, matching, .. } => {
            let of_vector = |side: &Expr| side.value_type() != ValueType::Vector || is_in_fixed_order(side);
            matching.is_none() && of_vector(lhs) && of_vector(rhs)
        }
        // A single series is in order.
        ExprKind::Aggregate { op, grouping, without, .. } => {
            let is_one = !matches!(
                op,
                AggregateOp::Topk
                    | AggregateOp::Bottomk
                    | AggregateOp::CountValues
                    | AggregateOp::Limitk
                    | AggregateOp::LimitRatio
            );
            is_one && grouping.is_empty() && !without
        }
        ExprKind::Number { .. } | ExprKind::String(_) | ExprKind::InvalidString(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_safe_is_cached() {
        let check = |query: &str, expected: Option<i64>| {
            let expr = crate::parse(query).expect("the query is valid");
            assert_eq!(ahead_ms(&expr, 300_000), expected, "{query}");
        };
        check("sum by (job) (rate(x[5m]))", Some(0));
        check("x offset 1h", Some(0));
        check("x offset -2m + y offset -3m", Some(180_000));
        check("max_over_time(rate(x[5m])[1h:1m] offset -1m)", Some(60_000));
        check("rate(x[5m] smoothed)", Some(300_000));
        check("histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))", Some(0));
        check("sum(rate(x[5m])) / sum(rate(y[5m]))", Some(0));
        check("sum(x * 2)", Some(0));
        check("max(sum by (a) (x))", Some(0));
        check("topk(3, sum(x))", Some(0));
        for query in [
            "x @ end()",
            "x @ 17",
            "{job=\"a\"}",
            "{__name__=~\"a|b\"}",
            "sum(x * on (a) y)",
            "sum(sum by (a) (x))",
            "topk(3, sum by (a) (x))",
            "limitk(3, x)",
            "label_replace(x, \"a\", \"b\", \"c\", \"d\")",
            "sum_over_time(x[5m])",
            "x offset step()",
            "rate(x[range()])",
            "sort(x)",
        ] {
            check(query, None);
        }
    }
}
