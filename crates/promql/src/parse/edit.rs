//! Changes the selectors of a parsed query, for `promql label-matchers`.

use model::labels::{METRIC_NAME, is_legacy_metric_name};
use model::{MatchOp, Matcher};

use super::ast::{Expr, ExprKind, VectorSelector};

impl Expr {
    /// Calls `change` on every selector within, in the order in which they are written.
    pub fn change_selectors(&mut self, change: &mut dyn FnMut(&mut VectorSelector)) {
        match &mut self.kind {
            ExprKind::Number { .. } | ExprKind::String(_) | ExprKind::InvalidString(_) => {}
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => change(selector),
            ExprKind::Subquery { expr, .. } | ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => {
                expr.change_selectors(change);
            }
            ExprKind::Call { args, .. } => {
                args.iter_mut().for_each(|arg| arg.change_selectors(change));
            }
            ExprKind::Aggregate { param, expr, .. } => {
                param.iter_mut().for_each(|param| param.change_selectors(change));
                expr.change_selectors(change);
            }
            ExprKind::Binary { lhs, rhs, .. } => {
                lhs.change_selectors(change);
                rhs.change_selectors(change);
            }
        }
    }
}

impl VectorSelector {
    /// Puts `matcher` in the place of the conditions on its label, or behind the others where there is none.
    pub fn set_matcher(&mut self, matcher: Matcher) {
        if matcher.name == METRIC_NAME {
            // Outside the braces only a plain name can stand.
            let stands_outside = matcher.op == MatchOp::Equal && is_legacy_metric_name(&matcher.value);
            self.name = if stands_outside { matcher.value.clone() } else { String::new() };
        }
        let place = self.matchers.iter().position(|known| known.name == matcher.name);
        self.matchers.retain(|known| known.name != matcher.name);
        self.matchers.insert(place.unwrap_or(self.matchers.len()), matcher);
    }

    /// Takes away all conditions on the label `name`.
    pub fn remove_matchers(&mut self, name: &str) {
        if name == METRIC_NAME {
            self.name.clear();
        }
        self.matchers.retain(|known| known.name != name);
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn edited(query: &str, mut change: impl FnMut(&mut VectorSelector)) -> String {
        let mut expr = parse(query).unwrap();
        expr.change_selectors(&mut change);
        expr.to_string()
    }

    #[test]
    fn a_matcher_is_set_in_every_selector() {
        let check = |op: MatchOp, name: &str, query: &str, expected: &str| {
            let matcher = Matcher::new(op, name, "v").unwrap();
            assert_eq!(edited(query, |selector| selector.set_matcher(matcher.clone())), expected);
        };
        check(
            MatchOp::Equal,
            "a",
            "sum by (x) (rate(m[5m])) / {a=~\"b\"}",
            "sum by (x) (rate(m{a=\"v\"}[5m])) / {a=\"v\"}",
        );
        check(MatchOp::NotRegex, "a", "m{a=\"1\",a!=\"2\",b=\"c\"}", "m{a!~\"v\",b=\"c\"}");
        check(
            MatchOp::Equal,
            "a",
            "quantile(scalar(p), sum_over_time((-m)[1h:5m]))",
            "quantile(scalar(p{a=\"v\"}), sum_over_time((-m{a=\"v\"})[1h:5m]))",
        );
        check(MatchOp::Equal, "__name__", "m{b=\"c\"}", "v{b=\"c\"}");
        check(MatchOp::NotEqual, "__name__", "m{b=\"c\"}", "{__name__!=\"v\",b=\"c\"}");
    }

    #[test]
    fn conditions_on_a_label_go_from_every_selector() {
        let check = |name: &str, query: &str, expected: &str| {
            assert_eq!(edited(query, |selector| selector.remove_matchers(name)), expected);
        };
        check("a", "m{a=\"1\",a!=\"2\",b=\"c\"} or n{a=\"1\"} @ end()", "m{b=\"c\"} or n @ end()");
        check("a", "1 + time()", "1 + time()");
        check("__name__", "m{b=\"c\"}", "{b=\"c\"}");
    }
}
