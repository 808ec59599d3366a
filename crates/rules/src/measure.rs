//! What an alerting rule measures: the side of its comparison that is not the threshold.
//!
//! In from a rule's expression; out: the expression to ask when an alert ended, since the comparison itself gives nothing
//! then, and which values are the worse ones. Pure.

use std::sync::Arc;

use promql::{BinaryOp, Expr, ExprKind, ValueType};

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    /// Gives the value also where the rule's comparison does not hold; `None` where there is no comparison.
    pub(crate) expr: Option<Arc<Expr>>,
    /// The rule asks for «less than».
    pub(crate) lower_is_worse: bool,
}

impl Measure {
    /// Of a rule's expression.
    pub(crate) fn of(expr: &Expr) -> Self {
        match find(expr) {
            Some((measured, lower_is_worse)) => {
                Self { expr: Some(Arc::new(measured.clone())), lower_is_worse }
            }
            None => Self { expr: None, lower_is_worse: false },
        }
    }
}

/// The measured side; of several conditions that of the first, whose value the alert has.
fn find(expr: &Expr) -> Option<(&Expr, bool)> {
    match &expr.kind {
        ExprKind::Paren(inner) => find(inner),
        ExprKind::Binary { op: BinaryOp::And | BinaryOp::Unless, lhs, .. } => find(lhs),
        ExprKind::Binary { op, lhs, rhs, return_bool: false, .. } if op.is_comparison() => {
            let is_less = matches!(op, BinaryOp::Less | BinaryOp::LessEqual);
            let is_more = matches!(op, BinaryOp::Greater | BinaryOp::GreaterEqual);
            match (lhs.value_type(), rhs.value_type()) {
                (ValueType::Vector, _) => Some((lhs, is_less)),
                (ValueType::Scalar, ValueType::Vector) => Some((rhs, is_more)),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_that_is_not_the_threshold() {
        let check = |query: &str, expected: Option<(&str, bool)>| {
            let expr = promql::parse(query).expect("a query");
            let found = Measure::of(&expr);
            let text = found.expr.map(|expr| expr.to_string());
            assert_eq!(text.as_deref().map(|text| (text, found.lower_is_worse)), expected, "{query}");
        };
        check("up == 0", Some(("up", false)));
        check("a / b > 0.9", Some(("a / b", false)));
        check("free < 10", Some(("free", true)));
        check("10 > free", Some(("free", true)));
        check("10 <= used", Some(("used", false)));
        check("(rate(x[5m]) > 1) and on (a) y > 2", Some(("rate(x[5m])", false)));
        check("x > bool 1", None);
        check("absent(x)", None);
        check("a or b > 1", None);
    }
}
