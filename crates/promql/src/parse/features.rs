//! Parts of the language that Prometheus has behind feature flags.

use super::ast::{Expr, ExprKind, FillValues, SelectorExtension};
use super::error::ParseError;

/// Which of them may be used. Nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// Functions and aggregations marked experimental (`promql-experimental-functions`).
    pub experimental_functions: bool,
    /// `anchored` and `smoothed` (`promql-extended-range-selectors`).
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right` (`promql-binop-fill-modifiers`).
    pub fill_modifiers: bool,
}

impl Features {
    /// The whole language.
    pub const ALL: Self =
        Self { experimental_functions: true, extended_range_selectors: true, fill_modifiers: true };

    /// Whether `expr` needs nothing that is off.
    ///
    /// # Errors
    /// The first thing that does, inner ones first, in Prometheus' words.
    pub fn check(&self, expr: &Expr) -> Result<(), ParseError> {
        self.check_in(expr.query(), expr)
    }

    pub(crate) fn check_in(&self, query: &str, expr: &Expr) -> Result<(), ParseError> {
        if *self == Self::ALL {
            return Ok(());
        }
        expr.children().into_iter().try_for_each(|child| self.check_in(query, child))?;
        match self.missing(&expr.kind) {
            Some(message) => Err(ParseError::new(query, expr.span, message)),
            None => Ok(()),
        }
    }

    fn missing(&self, kind: &ExprKind) -> Option<String> {
        match kind {
            ExprKind::Call { func, .. } if func.is_experimental && !self.experimental_functions => {
                Some(format!("function {} is not enabled", model::labels::quoted(func.name)))
            }
            ExprKind::Aggregate { op, .. } if op.is_experimental() && !self.experimental_functions => {
                let op = op.as_str();
                Some(format!(
                    "{op}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
                ))
            }
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. }
                if !self.extended_range_selectors =>
            {
                let word = match selector.extension? {
                    SelectorExtension::Anchored => "anchored",
                    SelectorExtension::Smoothed => "smoothed",
                };
                Some(format!("{word} modifier is experimental and not enabled"))
            }
            ExprKind::Binary { matching: Some(matching), .. }
                if matching.fill != FillValues::default() && !self.fill_modifiers =>
            {
                Some("binop fill modifiers are experimental and not enabled".to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse_with;

    #[test]
    fn what_is_off_is_refused_by_name() {
        for (query, expected) in [
            ("mad_over_time(x[5m])", "1:1: parse error: function \"mad_over_time\" is not enabled"),
            ("1 + sort_by_label(x, \"a\")", "1:5: parse error: function \"sort_by_label\" is not enabled"),
            (
                "sum(limitk(1, x))",
                "1:5: parse error: limitk() is experimental and must be enabled with \
                 --enable-feature=promql-experimental-functions",
            ),
            ("rate(x[5m] smoothed)", "1:6: parse error: smoothed modifier is experimental and not enabled"),
            ("a + fill(0) b", "1:1: parse error: binop fill modifiers are experimental and not enabled"),
            // Before types are looked at.
            ("mad_over_time(x)", "1:1: parse error: function \"mad_over_time\" is not enabled"),
        ] {
            let err = parse_with(query, Features::default()).unwrap_err();
            assert_eq!(err.to_string(), expected, "{query}");
        }
        for query in ["mad_over_time(x[5m])", "limitk(1, x)", "rate(x[5m] smoothed)", "a + fill(0) b"] {
            assert!(parse_with(query, Features::ALL).is_ok(), "{query}");
        }
        assert!(parse_with("sum(rate(x[5m:1m])) / on() b", Features::default()).is_ok());
    }
}
