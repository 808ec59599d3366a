//! Computes duration expressions, once the query's step and range are known.

use crate::error::EvalError;
use crate::parse::ast::{DurationExpr, DurationOp, Offset};

/// The query's own times, which do not change inside subqueries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryTimes {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// 0 for instant queries.
    pub(crate) step_ms: i64,
}

/// Longest duration in seconds: what fits 63 bits of nanoseconds.
const SECONDS_MAX: f64 = 9_223_372_036.854_775;

impl QueryTimes {
    /// `offset`, or zero; may be negative. Milliseconds.
    pub(crate) fn offset_ms(&self, offset: Option<&Offset>) -> Result<i64, EvalError> {
        match offset {
            None => Ok(0),
            Some(Offset::Ms(ms)) => Ok(*ms),
            Some(Offset::Expr(expr)) => self.compute(expr, true),
        }
    }

    /// A range or step, above zero. Milliseconds.
    pub(crate) fn positive_ms(&self, length: &Offset) -> Result<i64, EvalError> {
        match length {
            Offset::Ms(ms) => Ok(*ms),
            Offset::Expr(expr) => self.compute(expr, false),
        }
    }

    fn compute(&self, expr: &DurationExpr, may_be_negative: bool) -> Result<i64, EvalError> {
        let seconds = self.seconds(expr)?;
        if !seconds.is_finite() {
            return Err(fail(expr, "duration is NaN or infinite"));
        }
        if seconds <= 0.0 && !may_be_negative {
            return Err(fail(expr, "duration must be greater than 0"));
        }
        if !(-SECONDS_MAX..=SECONDS_MAX).contains(&seconds) {
            return Err(fail(expr, "duration is out of range"));
        }
        Ok((seconds * 1000.0) as i64)
    }

    fn seconds(&self, expr: &DurationExpr) -> Result<f64, EvalError> {
        Ok(match expr {
            DurationExpr::Number { value, .. } => *value,
            DurationExpr::Step(_) => self.step_ms as f64 / 1000.0,
            DurationExpr::Range(_) => (self.end_ms - self.start_ms) as f64 / 1000.0,
            DurationExpr::Neg(inner, _) => -self.seconds(inner)?,
            DurationExpr::Paren(inner, _) | DurationExpr::Plus(inner, _) => self.seconds(inner)?,
            DurationExpr::Binary { op, lhs, rhs, .. } => {
                let (lhs, rhs) = (self.seconds(lhs)?, self.seconds(rhs)?);
                match op {
                    DurationOp::Add => lhs + rhs,
                    DurationOp::Sub => lhs - rhs,
                    DurationOp::Mul => lhs * rhs,
                    DurationOp::Div if rhs == 0.0 => return Err(fail(expr, "division by zero")),
                    DurationOp::Div => lhs / rhs,
                    DurationOp::Mod if rhs == 0.0 => return Err(fail(expr, "modulo by zero")),
                    DurationOp::Mod => lhs % rhs,
                    DurationOp::Pow => lhs.powf(rhs),
                    DurationOp::MinOf => lhs.min(rhs),
                    DurationOp::MaxOf => lhs.max(rhs),
                }
            }
        })
    }
}

fn fail(expr: &DurationExpr, message: &str) -> EvalError {
    let span = expr.span();
    EvalError::Duration(format!("{}:{}: {message}", span.start, span.end))
}
