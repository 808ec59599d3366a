//! Types and arities, checked once the whole query is read, in Prometheus' order and words.

use model::labels::{METRIC_NAME, quoted};

use super::ast::{BinaryOp, Cardinality, Expr, ExprKind, Span, ValueType, VectorSelector};
use super::error::ParseError;
use super::functions::Function;
use super::parser::Result;

pub(super) struct Checker<'a> {
    pub(super) query: &'a str,
}

impl Checker<'_> {
    fn fail<T>(&self, span: Span, message: impl Into<String>) -> Result<T> {
        Err(ParseError::new(self.query, span, message))
    }

    fn expect(&self, expr: &mut Expr, wanted: ValueType, place: &str) -> Result<()> {
        let got = self.check(expr)?;
        if got == wanted {
            return Ok(());
        }
        self.fail(expr.span, format!("expected type {wanted} in {place}, got {got}"))
    }

    pub(super) fn check(&self, expr: &mut Expr) -> Result<ValueType> {
        let value_type = expr.value_type();
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Number { .. } | ExprKind::String(_) | ExprKind::InvalidString(_) => {}
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
                self.selector(selector, span)?;
            }
            ExprKind::Subquery { expr: inner, .. } => {
                let got = self.check(inner)?;
                if got != ValueType::Vector {
                    let got = match got {
                        ValueType::Matrix => "matrix".to_owned(),
                        other => other.to_string(),
                    };
                    return self.fail(
                        span,
                        format!("subquery is only allowed on instant vector, got {got} instead"),
                    );
                }
            }
            ExprKind::Paren(inner) => {
                self.check(inner)?;
            }
            ExprKind::Unary { expr: inner, .. } => {
                let got = self.check(inner)?;
                if !matches!(got, ValueType::Scalar | ValueType::Vector) {
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                        quoted(&got.to_string())
                    );
                    return self.fail(span, message);
                }
            }
            ExprKind::Call { func, args } => self.call(func, args, span)?,
            ExprKind::Aggregate { op, param, expr: inner, .. } => {
                self.expect(inner, ValueType::Vector, "aggregation expression")?;
                if let Some(param) = param {
                    let is_text = op.as_str() == "count_values";
                    let wanted = if is_text { ValueType::String } else { ValueType::Scalar };
                    self.expect(param, wanted, "aggregation parameter")?;
                }
            }
            ExprKind::Binary { .. } => self.binary(expr)?,
        }
        Ok(value_type)
    }

    fn selector(&self, selector: &VectorSelector, span: Span) -> Result<()> {
        if selector.name.is_empty() {
            if selector.matchers.iter().all(model::Matcher::matches_empty) {
                return self.fail(span, "vector selector must contain at least one non-empty matcher");
            }
            return Ok(());
        }
        let inside = selector.matchers.split_last().map_or(&[][..], |(_, rest)| rest);
        match inside.iter().find(|m| m.name == METRIC_NAME) {
            Some(matcher) => {
                let (outer, inner) = (quoted(&selector.name), quoted(&matcher.value));
                self.fail(span, format!("metric name must not be set twice: {outer} or {inner}"))
            }
            None => Ok(()),
        }
    }

    fn call(&self, func: &Function, args: &mut [Expr], span: Span) -> Result<()> {
        let (n_args, n_types, name) = (args.len(), func.args.len(), quoted(func.name));
        if func.variadic == 0 {
            if n_args != n_types {
                return self
                    .fail(span, format!("expected {n_types} argument(s) in call to {name}, got {n_args}"));
            }
        } else {
            let n_min = n_types - 1;
            let n_max = n_min + usize::try_from(func.variadic).unwrap_or(0);
            if n_args < n_min {
                let message =
                    format!("expected at least {n_min} argument(s) in call to {name}, got {n_args}");
                return self.fail(span, message);
            }
            if func.variadic > 0 && n_args > n_max {
                let message = format!("expected at most {n_max} argument(s) in call to {name}, got {n_args}");
                return self.fail(span, message);
            }
        }
        let is_info = func.name == "info";
        if let Some(facts) = args.get(1).filter(|_| is_info) {
            self.info_selector(facts, span)?;
        }
        for (idx, arg) in args.iter_mut().enumerate() {
            // Already looked at: unlike any other selector it may be empty.
            if is_info && idx == 1 {
                continue;
            }
            let wanted = func.args[idx.min(n_types - 1)];
            self.expect(arg, wanted, &format!("call to function {name}"))?;
        }
        Ok(())
    }

    /// The second argument of `info` is a bare list of conditions, which may be empty.
    fn info_selector(&self, arg: &Expr, span: Span) -> Result<()> {
        let got = arg.value_type();
        if got != ValueType::Vector {
            return self
                .fail(span, format!("expected type instant vector in call to function \"info\", got {got}"));
        }
        match &arg.kind {
            ExprKind::Vector(selector) if selector.name.is_empty() => Ok(()),
            ExprKind::Vector(_) => {
                self.fail(arg.span, "expected label selectors only, got vector selector instead")
            }
            _ => self.fail(arg.span, "expected label selectors only"),
        }
    }

    /// The operator's place: between the operands, without the spaces around it.
    fn op_span(&self, lhs: &Expr, rhs: &Expr) -> Span {
        let between = self.query.get(lhs.span.end..rhs.span.start).unwrap_or("");
        let start = lhs.span.end + (between.len() - between.trim_start().len());
        Span::new(start, start + between.trim().len())
    }

    fn binary(&self, expr: &mut Expr) -> Result<()> {
        let span = expr.span;
        let ExprKind::Binary { op, lhs, rhs, return_bool, matching } = &mut expr.kind else {
            return Ok(());
        };
        let op = *op;
        let (left, right) = (self.check(lhs)?, self.check(rhs)?);
        if *return_bool && !op.is_comparison() {
            return self
                .fail(self.op_span(lhs, rhs), "bool modifier can only be used on comparison operators");
        }
        let both_scalar = left == ValueType::Scalar && right == ValueType::Scalar;
        if op.is_comparison() && !*return_bool && both_scalar {
            return self.fail(self.op_span(lhs, rhs), "comparisons between scalars must use BOOL modifier");
        }
        let Some(pairing) = matching else {
            return Ok(());
        };
        if op.is_set() && pairing.cardinality == Cardinality::OneToOne {
            pairing.cardinality = Cardinality::ManyToMany;
        }
        if pairing.on
            && let Some(label) = pairing.labels.iter().find(|label| pairing.include.contains(label))
        {
            let message = format!("label {} must not occur in ON and GROUP clause at once", quoted(label));
            return self.fail(self.op_span(lhs, rhs), message);
        }
        for (side, side_type) in [(lhs, left), (rhs, right)] {
            if !matches!(side_type, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return self.fail(side.span, message);
            }
        }
        let both_vectors = left == ValueType::Vector && right == ValueType::Vector;
        let has_fill = pairing.fill.lhs.is_some() || pairing.fill.rhs.is_some();
        if !both_vectors {
            if !pairing.labels.is_empty() {
                return self.fail(span, "vector matching only allowed between instant vectors");
            }
            if has_fill {
                return self.fail(span, "filling in missing series only allowed between instant vectors");
            }
            *matching = None;
            return self.scalar_operator(op, span);
        }
        if op.is_set() {
            if pairing.cardinality != Cardinality::ManyToMany {
                return self.fail(span, format!("no grouping allowed for {} operation", quoted(op.as_str())));
            }
            if has_fill {
                return self.fail(span, "filling in missing series not allowed for set operators");
            }
        }
        Ok(())
    }

    fn scalar_operator(&self, op: BinaryOp, span: Span) -> Result<()> {
        if op.is_set() {
            let message =
                format!("set operator {} not allowed in binary scalar expression", quoted(op.as_str()));
            return self.fail(span, message);
        }
        Ok(())
    }
}
