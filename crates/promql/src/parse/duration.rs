//! Durations inside brackets and after `offset`: literals, and arithmetic over them.
//!
//! Arithmetic is kept in the tree and computed before evaluation, since `step()` and `range()` are known only then.

use super::ast::{DurationExpr, DurationOp, Expr, ExprKind, Offset, Span};
use super::lexer::{Item, Token};
use super::literal;
use super::parser::{Context, Parser, Result, context};
use crate::limits::DEPTH_MAX;

const OFFSET: Context = context("offset", "number, duration, step(), or range()");
const RANGE_FIRST: Context = context("subquery or range selector", "number, duration, step(), or range()");
const RANGE_NEXT: Context = context("subquery or range", "\":\" or \"]\"");
const STEP_FIRST: Context = context("subquery selector", "number, duration, step(), range(), or \"]\"");
const STEP_NEXT: Context = context("subquery selector", "\"]\"");

/// Longest duration in seconds: what fits 63 bits of nanoseconds.
const SECONDS_MAX: f64 = 9_223_372_036.854_775;

fn binary_op(token: Token) -> Option<(DurationOp, u8)> {
    Some(match token {
        Token::Op("+") => (DurationOp::Add, 1),
        Token::Op("-") => (DurationOp::Sub, 1),
        Token::Op("*") => (DurationOp::Mul, 2),
        Token::Op("/") => (DurationOp::Div, 2),
        Token::Op("%") => (DurationOp::Mod, 2),
        Token::Op("^") => (DurationOp::Pow, 3),
        _ => return None,
    })
}

/// Binding strength of a sign: as `*`.
const SIGN_PRECEDENCE: u8 = 2;

/// Seconds to whole milliseconds, by way of whole nanoseconds as upstream keeps them.
fn seconds_to_ms(seconds: f64) -> i64 {
    ((seconds * 1e9).round() / 1e6).trunc() as i64
}

impl DurationExpr {
    /// Where it stands.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Number { span, .. }
            | Self::Step(span)
            | Self::Range(span)
            | Self::Neg(_, span)
            | Self::Plus(_, span)
            | Self::Binary { span, .. }
            | Self::Paren(_, span) => *span,
        }
    }

    /// A literal becomes milliseconds at once; anything else stays an expression.
    fn into_offset(self) -> Offset {
        match self {
            Self::Number { value, .. } => Offset::Ms(seconds_to_ms(value)),
            other => Offset::Expr(other),
        }
    }

    fn is_zero(&self) -> bool {
        matches!(self, Self::Number { value, .. } if *value == 0.0)
    }
}

impl Parser<'_> {
    pub(super) fn offset_value(&mut self) -> Result<Offset> {
        // A literal or call ends the offset: `foo offset -2^2` is `(foo offset -2)^2`. Parentheses and a second sign go on.
        let first = self.peek()?;
        let Token::Op("+" | "-") = first.token else {
            let is_paren = self.is_next(Token::LeftParen)?;
            let value =
                if is_paren { self.duration_expr(0, &OFFSET)? } else { self.duration_operand(&OFFSET)? };
            return Ok(value.into_offset());
        };
        self.take()?;
        if matches!(self.peek()?.token, Token::Op("+" | "-")) {
            let operand = self.duration_expr(SIGN_PRECEDENCE + 1, &OFFSET)?;
            let signed = self.signed_duration(first, operand)?;
            return Ok(self.deeper(|parser| parser.climb_duration(signed, 0, &OFFSET))?.into_offset());
        }
        let operand = self.duration_operand(&OFFSET)?;
        let is_call = !matches!(operand, DurationExpr::Number { .. } | DurationExpr::Paren(..));
        if first.token == Token::Op("+") && is_call {
            let span = first.span.to(operand.span());
            return Ok(Offset::Expr(DurationExpr::Plus(Box::new(operand), span)));
        }
        Ok(self.signed_duration(first, operand)?.into_offset())
    }

    fn duration_expr(&mut self, precedence_min: u8, place: &Context) -> Result<DurationExpr> {
        self.deeper(|parser| {
            let first = parser.peek()?;
            let lhs = if let Token::Op("+" | "-") = first.token {
                parser.take()?;
                let operand = parser.duration_expr(SIGN_PRECEDENCE + 1, place)?;
                parser.signed_duration(first, operand)?
            } else {
                parser.duration_operand(place)?
            };
            parser.climb_duration(lhs, precedence_min, place)
        })
    }

    /// Takes operators of at least `precedence_min` and what stands right of them.
    fn climb_duration(
        &mut self,
        mut lhs: DurationExpr,
        precedence_min: u8,
        place: &Context,
    ) -> Result<DurationExpr> {
        let mut n_turns = 0;
        loop {
            let item = self.peek()?;
            let Some((op, precedence)) = binary_op(item.token).filter(|(_, p)| *p >= precedence_min) else {
                return Ok(lhs);
            };
            // Each turn nests the left side one deeper.
            n_turns += 1;
            if n_turns > DEPTH_MAX {
                return Err(self.error(item.span, format!("duration has more than {DEPTH_MAX} operators")));
            }
            self.take()?;
            let right_min = if op == DurationOp::Pow { precedence } else { precedence + 1 };
            let rhs = self.duration_expr(right_min, place)?;
            match op {
                DurationOp::Div if rhs.is_zero() => return Err(self.error(item.span, "division by zero")),
                DurationOp::Mod if rhs.is_zero() => return Err(self.error(item.span, "modulo by zero")),
                _ => {}
            }
            let span = lhs.span().to(rhs.span());
            lhs = DurationExpr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs), span };
        }
    }

    fn signed_duration(&self, sign: Item, operand: DurationExpr) -> Result<DurationExpr> {
        let is_minus = sign.token == Token::Op("-");
        match operand {
            DurationExpr::Number { value, is_duration, span } => {
                let value = if is_minus { -value } else { value };
                Ok(DurationExpr::Number { value, is_duration, span: sign.span.to(span) })
            }
            other if is_minus => {
                let span = sign.span.to(other.span());
                Ok(DurationExpr::Neg(Box::new(other), span))
            }
            other => Ok(other),
        }
    }

    fn duration_operand(&mut self, place: &Context) -> Result<DurationExpr> {
        let item = self.peek()?;
        match item.token {
            Token::Number | Token::Duration => {
                self.take()?;
                let (value, is_duration) = literal::number_or_duration(self, item)?;
                if !(-SECONDS_MAX..=SECONDS_MAX).contains(&value) {
                    return Err(self.error(item.span, "duration out of range"));
                }
                Ok(DurationExpr::Number { value, is_duration, span: item.span })
            }
            Token::LeftParen => {
                self.take()?;
                let inner = self.duration_expr(0, place)?;
                let close = self.expect_in(Token::RightParen, place)?;
                Ok(DurationExpr::Paren(Box::new(inner), item.span.to(close.span)))
            }
            Token::Keyword(word @ ("step" | "range")) => {
                self.take()?;
                self.expect_in(Token::LeftParen, place)?;
                let span = item.span.to(self.expect_in(Token::RightParen, place)?.span);
                Ok(if word == "step" { DurationExpr::Step(span) } else { DurationExpr::Range(span) })
            }
            Token::Keyword(word @ ("min_of" | "max_of")) => {
                self.take()?;
                self.expect_in(Token::LeftParen, place)?;
                let lhs = Box::new(self.duration_expr(0, place)?);
                self.expect_in(Token::Comma, place)?;
                let rhs = Box::new(self.duration_expr(0, place)?);
                let span = item.span.to(self.expect_in(Token::RightParen, place)?.span);
                let op = if word == "min_of" { DurationOp::MinOf } else { DurationOp::MaxOf };
                Ok(DurationExpr::Binary { op, lhs, rhs, span })
            }
            _ => Err(self.unexpected_in(item, place)),
        }
    }

    fn positive_duration(&mut self, place: &Context) -> Result<Offset> {
        let value = self.duration_expr(0, place)?;
        if let DurationExpr::Number { value, span, .. } = value
            && (value <= 0.0 || value.is_nan())
        {
            return Err(self.error(span, "duration must be greater than 0"));
        }
        Ok(value.into_offset())
    }

    pub(super) fn range_or_subquery(&mut self, expr: Expr) -> Result<Expr> {
        let open = self.take()?;
        let range = self.positive_duration(&RANGE_FIRST)?;
        let item = self.peek()?;
        match item.token {
            Token::RightBracket => {
                let close = self.take()?;
                self.matrix(expr, range, open.span.to(close.span))
            }
            Token::Colon => {
                self.take()?;
                let mut step = None;
                if !self.is_next(Token::RightBracket)? {
                    step = Some(self.positive_duration(&STEP_FIRST)?);
                }
                let close = self.expect_in(Token::RightBracket, &STEP_NEXT)?;
                let span = expr.span.to(close.span);
                let kind = ExprKind::Subquery { expr: Box::new(expr), range, step, offset: None, at: None };
                Ok(Expr::new(kind, span))
            }
            _ => Err(self.unexpected_in(item, &RANGE_NEXT)),
        }
    }

    fn matrix(&self, expr: Expr, range: Offset, brackets: Span) -> Result<Expr> {
        let ExprKind::Vector(selector) = expr.kind else {
            return Err(self.error(brackets, "ranges only allowed for vector selectors"));
        };
        if selector.offset.is_some() {
            return Err(self.error(brackets, "no offset modifiers allowed before range"));
        }
        if selector.at.is_some() {
            return Err(self.error(brackets, "no @ modifiers allowed before range"));
        }
        Ok(Expr::new(ExprKind::Matrix { selector, range }, expr.span.to(brackets)))
    }
}
