//! In which order rules of the past are evaluated, and which of them one step at a time. Pure.
//!
//! A rule may read what another one wrote, or what it wrote itself a step ago. Live, time settles that; here many steps of a rule are
//! evaluated at once wherever nobody could see the difference.

use model::labels::METRIC_NAME;
use promql::{At, DurationExpr, Expr, ExprKind, Offset};

use super::run::{GroupPlan, RulePlan};

/// How the groups of a plan are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Group by group, in the order in which they stand.
    Groups,
    /// All groups together, time by time: some read each other's results.
    Times,
}

/// Puts `groups` in an order in which each reads only what those before it write, and marks those that read their own results.
pub(super) fn arrange(groups: &mut Vec<GroupPlan>) -> Order {
    for group in groups.iter_mut() {
        group.stepwise = is_stepwise(&group.rules);
    }
    let mut left: Vec<GroupPlan> = std::mem::take(groups);
    while !left.is_empty() {
        let free = (0..left.len()).find(|&idx| {
            left.iter().enumerate().all(|(other, writer)| other == idx || !reads_any(&left[idx], writer))
        });
        let Some(free) = free else {
            groups.append(&mut left);
            return Order::Times;
        };
        groups.push(left.remove(free));
    }
    Order::Groups
}

fn reads_any(reader: &GroupPlan, writer: &GroupPlan) -> bool {
    reader.rules.iter().any(|rule| writer.rules.iter().any(|other| reads(&rule.expr, &other.record)))
}

/// Whether a rule's answer at one step hangs on what it, or one behind it, wrote at an earlier step, or on the query's own range.
fn is_stepwise(rules: &[RulePlan]) -> bool {
    let later =
        |idx: usize| rules[idx..].iter().any(|other: &RulePlan| reads(&rules[idx].expr, &other.record));
    (0..rules.len()).any(|idx| later(idx) || knows_its_range(&rules[idx].expr))
}

/// Whether `expr` may read series with the name `record`.
fn reads(expr: &Expr, record: &str) -> bool {
    let mut found = false;
    expr.walk(&mut |expr| {
        found |= match &expr.kind {
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
                let mut names = selector.matchers.iter().filter(|matcher| matcher.name == METRIC_NAME);
                names.all(|matcher| matcher.matches(record))
            }
            // It looks for series that are not named.
            ExprKind::Call { func, .. } => func.name == "info",
            _ => false,
        };
    });
    found
}

/// Whether `expr` says `start()`, `end()`, `step()` or `range()`, which a query at one time answers otherwise.
fn knows_its_range(expr: &Expr) -> bool {
    let at = |at: &Option<At>| matches!(at, Some(At::Start | At::End));
    let offset = |offset: Option<&Offset>| matches!(offset, Some(Offset::Expr(expr)) if names_range(expr));
    let mut found = false;
    expr.walk(&mut |expr| {
        found |= match &expr.kind {
            ExprKind::Vector(selector) => at(&selector.at) || offset(selector.offset.as_ref()),
            ExprKind::Matrix { selector, range } => {
                at(&selector.at) || offset(selector.offset.as_ref()) || offset(Some(range))
            }
            ExprKind::Subquery { range, step, offset: by, at: when, .. } => {
                at(when) || offset(Some(range)) || offset(step.as_ref()) || offset(by.as_ref())
            }
            ExprKind::Call { func, .. } => matches!(func.name, "start" | "end" | "step" | "range"),
            _ => false,
        };
    });
    found
}

fn names_range(expr: &DurationExpr) -> bool {
    match expr {
        DurationExpr::Number { .. } => false,
        DurationExpr::Step(_) | DurationExpr::Range(_) => true,
        DurationExpr::Neg(inner, _) | DurationExpr::Plus(inner, _) | DurationExpr::Paren(inner, _) => {
            names_range(inner)
        }
        DurationExpr::Binary { lhs, rhs, .. } => names_range(lhs) || names_range(rhs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::parse_file;

    fn plans(groups: &[(&str, &[(&str, &str)])]) -> Vec<GroupPlan> {
        let mut text = "groups:\n".to_owned();
        for (name, rules) in groups {
            text += &format!("- name: {name}\n  rules:\n");
            for (record, expr) in *rules {
                text += &format!("  - record: {record}\n    expr: '{expr}'\n");
            }
        }
        let specs = parse_file("r.yml", &text).unwrap();
        specs.into_iter().map(|spec| GroupPlan::new(spec, 60_000, 0, 0, &|_| true)).collect()
    }

    #[test]
    fn who_reads_comes_after_who_writes_and_circles_go_time_by_time() {
        let check = |groups: &[(&str, &[(&str, &str)])], order: Order, expected: &[(&str, bool)]| {
            let mut plans = plans(groups);
            assert_eq!(arrange(&mut plans), order, "{groups:?}");
            let got: Vec<_> = plans.iter().map(|plan| (plan.spec.name.as_str(), plan.stepwise)).collect();
            assert_eq!(got, expected, "{groups:?}");
        };
        check(&[("a", &[("x", "sum(m)"), ("y", "x * 2")])], Order::Groups, &[("a", false)]);
        check(&[("a", &[("y", "x * 2"), ("x", "sum(m)")])], Order::Groups, &[("a", true)]);
        check(&[("a", &[("x", "x + 1 or vector(0)")])], Order::Groups, &[("a", true)]);
        check(&[("a", &[("x", "sum({job=\"j\"})")])], Order::Groups, &[("a", true)]);
        check(&[("a", &[("x", "sum({__name__=~\"m.*\"})")])], Order::Groups, &[("a", false)]);
        check(&[("a", &[("x", "sum(m @ end())")])], Order::Groups, &[("a", true)]);
        check(&[("a", &[("x", "sum(rate(m[step()]))")])], Order::Groups, &[("a", true)]);
        check(
            &[("a", &[("x", "y")]), ("b", &[("y", "z")]), ("c", &[("z", "m")])],
            Order::Groups,
            &[("c", false), ("b", false), ("a", false)],
        );
        check(&[("a", &[("x", "y")]), ("b", &[("y", "x")])], Order::Times, &[("a", false), ("b", false)]);
    }
}
