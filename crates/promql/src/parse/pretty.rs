//! Expression tree to text of several lines: what is longer than a line is split where its parts meet.
//!
//! Source of the rule: Prometheus' `promql/parser/prettier_rules.md`.

use super::ast::{Expr, ExprKind, UnaryOp};
use super::printer::{aggregation_text, subquery_text};

/// Longest text in bytes that stays on one line. Prometheus'.
const LINE_BYTES_MAX: usize = 100;

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

impl Expr {
    /// The query over several lines, in Prometheus' canonical form: `format_query` answers with it.
    #[must_use]
    pub fn pretty(&self) -> String {
        self.pretty_at(0)
    }

    fn pretty_at(&self, level: usize) -> String {
        let text = self.to_string();
        let fits = text.len() <= LINE_BYTES_MAX;
        let start = indent(level);
        match &self.kind {
            ExprKind::Unary { op, expr } => {
                // The sign stands before the first line of its operand.
                let sign = if *op == UnaryOp::Minus { "-" } else { "+" };
                format!("{start}{sign}{}", expr.pretty_at(level).trim())
            }
            ExprKind::Subquery { expr, range, step, offset, at } if !fits => {
                let suffix = subquery_text(range, step.as_ref(), offset.as_ref(), *at);
                format!("{}{suffix}", expr.pretty_at(level))
            }
            // As upstream has it: never indented.
            ExprKind::Subquery { .. } => text,
            _ if fits => format!("{start}{text}"),
            ExprKind::Aggregate { op, grouping, without, param, expr } => {
                let head = aggregation_text(*op, grouping, *without);
                let param = param.as_ref().map(|param| format!("{},\n", param.pretty_at(level + 1)));
                let param = param.unwrap_or_default();
                format!("{start}{head}(\n{param}{}\n{start})", expr.pretty_at(level + 1))
            }
            ExprKind::Binary { op, lhs, rhs, return_bool, matching } => {
                let is_bool = if *return_bool { " bool" } else { "" };
                let matching = matching.as_ref().map(ToString::to_string).unwrap_or_default();
                let (lhs, rhs) = (lhs.pretty_at(level + 1), rhs.pretty_at(level + 1));
                format!("{lhs}\n{start}{}{is_bool}{matching}\n{rhs}", op.as_str())
            }
            ExprKind::Call { func, args } => {
                let args: Vec<_> = args.iter().map(|arg| arg.pretty_at(level + 1)).collect();
                format!("{start}{}(\n{}\n{start})", func.name, args.join(",\n"))
            }
            ExprKind::Paren(inner) => format!("{start}(\n{}\n{start})", inner.pretty_at(level + 1)),
            _ => format!("{start}{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    fn check(query: &str, expected: &str) {
        let expr = parse(query).expect("a valid query");
        assert_eq!(expr.pretty(), expected, "{query}");
        let again = parse(expected).expect("what is printed parses");
        assert_eq!(again.to_string(), expr.to_string());
    }

    #[test]
    fn short_queries_stay_on_one_line() {
        check("foo{bar='a'}==1", "foo{bar=\"a\"} == 1");
        check("-foo @ 1", "-foo @ 1.000");
        check("sum  by(a)( rate( x [5m]) )", "sum by (a) (rate(x[5m]))");
    }

    #[test]
    fn long_queries_are_split_where_their_parts_meet() {
        let long = "a".repeat(60);
        check(
            &format!("sum by (job) (rate({long}[5m])) / sum by (job) (rate({long}_total[5m]))"),
            &format!("  sum by (job) (rate({long}[5m]))\n/\n  sum by (job) (rate({long}_total[5m]))"),
        );
        check(
            &format!("topk(5, {long} + on (b) {long})"),
            &format!("topk(\n  5,\n    {long}\n  + on (b)\n    {long}\n)"),
        );
        check(
            &format!("histogram_quantile(0.9, ({long} - {long}))"),
            &format!("histogram_quantile(\n  0.9,\n  (\n      {long}\n    -\n      {long}\n  )\n)"),
        );
    }
}
