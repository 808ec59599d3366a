//! Which expressions have the same value at every step, because `@` fixes all their times.
//!
//! Such parts are evaluated once and repeated, as upstream does.

use crate::parse::ast::{Expr, ExprKind};

/// Whether `expr` has the same value at every step.
pub(crate) fn is_step_invariant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) | ExprKind::InvalidString(_) => true,
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => selector.at.is_some(),
        ExprKind::Subquery { at, .. } => at.is_some(),
        ExprKind::Paren(inner) | ExprKind::Unary { expr: inner, .. } => is_step_invariant(inner),
        // Upstream looks at the aggregated expression only, not at the parameter.
        ExprKind::Aggregate { expr: inner, .. } => is_step_invariant(inner),
        ExprKind::Binary { lhs, rhs, .. } => is_step_invariant(lhs) && is_step_invariant(rhs),
        ExprKind::Call { func, args } => {
            // The query's own times are constants.
            if matches!(func.name, "start" | "end" | "range" | "step") {
                return true;
            }
            let of_selector = func.name == "timestamp"
                && args.first().is_some_and(|arg| matches!(arg.unwrapped().kind, ExprKind::Vector(_)));
            (of_selector || !func.depends_on_time()) && args.iter().all(is_step_invariant)
        }
    }
}
