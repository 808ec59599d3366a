//! Tokens to expression tree: operator precedence by climbing, everything else by descent.
//!
//! Modifiers (`[range]`, `offset`, `@`, `anchored`, `smoothed`) bind to what stands directly before them.
//! Ends at the first error. Limits: [`DEPTH_MAX`], [`HEIGHT_MAX`], [`QUERY_BYTES_MAX`].

use model::labels::METRIC_NAME;
use model::{MatchOp, Matcher};

use super::ast::{
    AggregateOp, At, BinaryOp, Cardinality, Expr, ExprKind, FillValues, Offset, SelectorExtension, Span,
    UnaryOp, VectorMatching, VectorSelector,
};
use super::error::ParseError;
use super::functions;
use super::lexer::{AGGREGATORS, Item, LexError, Lexer, Token};
use super::literal;
use crate::limits::{DEPTH_MAX, HEIGHT_MAX, QUERY_BYTES_MAX};

pub(super) type Result<T> = std::result::Result<T, ParseError>;

pub(super) struct Parser<'a> {
    pub(super) query: &'a str,
    lexer: Lexer<'a>,
    ahead: Option<Item>,
    /// Inside how many aggregations: unexpected tokens are then said to be «in aggregation».
    n_aggregations: usize,
    pub(super) depth: usize,
}

/// Where the parser is, for messages.
pub(super) struct Context {
    place: &'static str,
    expected: &'static str,
}

pub(super) const fn context(place: &'static str, expected: &'static str) -> Context {
    Context { place, expected }
}

const GROUPING_OPEN: Context = context("grouping opts", "\"(\"");
const GROUPING_LABEL: Context = context("grouping opts", "label");
const GROUPING_NEXT: Context = context("grouping opts", "\",\" or \")\"");
const MATCHER_FIRST: Context = context("label matching", "identifier or \"}\"");
const MATCHER_NEXT: Context = context("label matching", "\",\" or \"}\"");
const MATCHER_OP: Context = context("label matching", "label matching operator");
const MATCHER_VALUE: Context = context("label matching", "string");
const AT_TIME: Context = context("@", "timestamp");

/// Reads a whole query.
pub(super) fn expression(query: &str) -> Result<Expr> {
    let mut parser = Parser::new(query)?;
    if parser.peek()?.token == Token::Eof {
        return Err(ParseError::new(query, Span::default(), "no expression found in input"));
    }
    let expr = parser.expr(0)?;
    parser.end()?;
    Ok(expr)
}

/// Reads a selector without modifiers.
pub(super) fn selector(query: &str) -> Result<VectorSelector> {
    let mut parser = Parser::new(query)?;
    let first = parser.peek()?;
    let name = match first.token {
        Token::LeftBrace => None,
        token if is_metric_name(token) => Some(parser.take()?),
        _ => return Err(parser.unexpected(first)),
    };
    let (selector, _) = parser.vector_selector(name)?;
    parser.end()?;
    Ok(selector)
}

/// Whether a bare word names a metric.
fn is_metric_name(token: Token) -> bool {
    const NOT_NAMES: [&str; 6] = ["bool", "on", "ignoring", "group_left", "group_right", "atan2"];
    match token {
        Token::Identifier | Token::MetricIdentifier => true,
        Token::Keyword(word) => !NOT_NAMES.contains(&word),
        _ => false,
    }
}

fn aggregate_op(word: &str) -> Option<AggregateOp> {
    use AggregateOp as A;
    const ALL: [AggregateOp; 14] = [
        A::Sum,
        A::Avg,
        A::Min,
        A::Max,
        A::Count,
        A::Group,
        A::Stddev,
        A::Stdvar,
        A::Topk,
        A::Bottomk,
        A::Quantile,
        A::CountValues,
        A::Limitk,
        A::LimitRatio,
    ];
    ALL.into_iter().find(|op| op.as_str() == word)
}

fn binary_op(token: Token) -> Option<BinaryOp> {
    use BinaryOp as B;
    const ALL: [BinaryOp; 18] = [
        B::Add,
        B::Sub,
        B::Mul,
        B::Div,
        B::Mod,
        B::Pow,
        B::Atan2,
        B::Equal,
        B::NotEqual,
        B::Less,
        B::LessEqual,
        B::Greater,
        B::GreaterEqual,
        B::TrimUpper,
        B::TrimLower,
        B::And,
        B::Or,
        B::Unless,
    ];
    match token {
        Token::Op(text) | Token::Keyword(text) => ALL.into_iter().find(|op| op.as_str() == text),
        _ => None,
    }
}

impl<'a> Parser<'a> {
    fn new(query: &'a str) -> Result<Self> {
        let parser = Self { query, lexer: Lexer::new(query), ahead: None, n_aggregations: 0, depth: 0 };
        if query.len() > QUERY_BYTES_MAX {
            let message = format!("query is {} bytes long, more than {QUERY_BYTES_MAX}", query.len());
            return Err(parser.error(Span::default(), message));
        }
        Ok(parser)
    }

    pub(super) fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.query, span, message)
    }

    pub(super) fn peek(&mut self) -> Result<Item> {
        if let Some(item) = self.ahead {
            return Ok(item);
        }
        let query = self.query;
        let item =
            self.lexer.next().map_err(|LexError { span, message }| ParseError::new(query, span, message))?;
        self.ahead = Some(item);
        Ok(item)
    }

    pub(super) fn take(&mut self) -> Result<Item> {
        let item = self.peek()?;
        self.ahead = None;
        Ok(item)
    }

    pub(super) fn is_next(&mut self, token: Token) -> Result<bool> {
        Ok(self.peek()?.token == token)
    }

    pub(super) fn text(&self, item: Item) -> &'a str {
        &self.query[item.span.start..item.span.end]
    }

    pub(super) fn unexpected_in(&self, item: Item, context: &Context) -> ParseError {
        let what = item.describe(self.query);
        let Context { place, expected } = context;
        self.error(item.span, format!("unexpected {what} in {place}, expected {expected}"))
    }

    fn unexpected(&self, item: Item) -> ParseError {
        let place = if self.n_aggregations > 0 { " in aggregation" } else { "" };
        self.error(item.span, format!("unexpected {}{place}", item.describe(self.query)))
    }

    fn expect(&mut self, token: Token) -> Result<Item> {
        let item = self.peek()?;
        if item.token == token { self.take() } else { Err(self.unexpected(item)) }
    }

    pub(super) fn expect_in(&mut self, token: Token, context: &Context) -> Result<Item> {
        let item = self.peek()?;
        if item.token == token { self.take() } else { Err(self.unexpected_in(item, context)) }
    }

    fn end(&mut self) -> Result<()> {
        self.expect(Token::Eof).map(|_| ())
    }

    /// Runs `inner` one level deeper.
    pub(super) fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let span = self.peek()?.span;
            return Err(self.error(span, format!("expression is nested more than {DEPTH_MAX} levels deep")));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// An expression of operators that bind at least as strongly as `precedence_min`.
    fn expr(&mut self, precedence_min: u8) -> Result<Expr> {
        self.deeper(|parser| parser.climb(precedence_min))
    }

    fn climb(&mut self, precedence_min: u8) -> Result<Expr> {
        let mut lhs = self.prefix()?;
        loop {
            let item = self.peek()?;
            let Some(op) = binary_op(item.token).filter(|op| op.precedence() >= precedence_min) else {
                return Ok(lhs);
            };
            self.take()?;
            let (return_bool, matching) = self.binary_modifiers()?;
            let right_min = if op == BinaryOp::Pow { op.precedence() } else { op.precedence() + 1 };
            let rhs = Box::new(self.expr(right_min)?);
            let span = lhs.span.to(rhs.span);
            let kind =
                ExprKind::Binary { op, lhs: Box::new(lhs), rhs, return_bool, matching: Some(matching) };
            lhs = Expr::new(kind, span);
            self.check_height(&lhs)?;
        }
    }

    fn check_height(&self, expr: &Expr) -> Result<()> {
        if expr.height > HEIGHT_MAX {
            return Err(
                self.error(expr.span, format!("expression is nested more than {HEIGHT_MAX} levels deep"))
            );
        }
        Ok(())
    }

    /// A sign and what it stands before, or an operand. A sign binds as strongly as `*`.
    fn prefix(&mut self) -> Result<Expr> {
        let item = self.peek()?;
        let op = match item.token {
            Token::Op("+") => UnaryOp::Plus,
            Token::Op("-") => UnaryOp::Minus,
            _ => return self.postfix(),
        };
        self.take()?;
        let inner = self.expr(BinaryOp::Mul.precedence() + 1)?;
        let span = item.span.to(inner.span);
        let kind = match inner.kind {
            ExprKind::Number { value, is_duration } => {
                let value = if op == UnaryOp::Minus { -value } else { value };
                ExprKind::Number { value, is_duration }
            }
            _ => ExprKind::Unary { op, expr: Box::new(inner) },
        };
        Ok(Expr::new(kind, span))
    }

    fn postfix(&mut self) -> Result<Expr> {
        let mut expr = self.operand()?;
        loop {
            let item = self.peek()?;
            expr = match item.token {
                Token::LeftBracket => self.range_or_subquery(expr)?,
                Token::Keyword("offset") => self.offset(expr)?,
                Token::At => self.at(expr)?,
                Token::Keyword("anchored") => self.extension(expr, SelectorExtension::Anchored)?,
                Token::Keyword("smoothed") => self.extension(expr, SelectorExtension::Smoothed)?,
                _ => return Ok(expr),
            };
            self.check_height(&expr)?;
        }
    }

    fn operand(&mut self) -> Result<Expr> {
        let item = self.peek()?;
        match item.token {
            Token::Number | Token::Duration => {
                self.take()?;
                let (value, is_duration) = literal::number_or_duration(self, item)?;
                Ok(Expr::new(ExprKind::Number { value, is_duration }, item.span))
            }
            Token::String => {
                self.take()?;
                Ok(Expr::new(literal::string(self, item), item.span))
            }
            Token::LeftParen => {
                self.take()?;
                let inner = self.expr(0)?;
                let close = self.expect(Token::RightParen)?;
                Ok(Expr::new(ExprKind::Paren(Box::new(inner)), item.span.to(close.span)))
            }
            Token::LeftBrace => {
                let (selector, span) = self.vector_selector(None)?;
                Ok(Expr::new(ExprKind::Vector(selector), span))
            }
            _ => self.named(),
        }
    }

    /// A function call, an aggregation or a selector that begins with a word.
    fn named(&mut self) -> Result<Expr> {
        let item = self.peek()?;
        if !is_metric_name(item.token) {
            return Err(self.unexpected(item));
        }
        self.take()?;
        let next = self.peek()?.token;
        if let Token::Keyword(word) = item.token
            && AGGREGATORS.contains(&word)
            && matches!(next, Token::LeftParen | Token::Keyword("by" | "without"))
        {
            return self.aggregation(item, aggregate_op(word).expect("AGGREGATORS and the operators agree"));
        }
        let is_callable = matches!(
            item.token,
            Token::Identifier | Token::Keyword("start" | "end" | "step" | "range" | "max_of" | "min_of")
        );
        if is_callable && next == Token::LeftParen {
            return self.call(item);
        }
        let (selector, span) = self.vector_selector(Some(item))?;
        Ok(Expr::new(ExprKind::Vector(selector), span))
    }

    fn call(&mut self, name: Item) -> Result<Expr> {
        let (args, close) = self.arguments()?;
        let word = self.text(name);
        let func = functions::find(word).ok_or_else(|| {
            self.error(name.span, format!("unknown function with name {}", model::labels::quoted(word)))
        })?;
        Ok(Expr::new(ExprKind::Call { func, args }, name.span.to(close.span)))
    }

    fn arguments(&mut self) -> Result<(Vec<Expr>, Item)> {
        self.expect(Token::LeftParen)?;
        let mut args = Vec::new();
        if self.is_next(Token::RightParen)? {
            return Ok((args, self.take()?));
        }
        loop {
            args.push(self.expr(0)?);
            let item = self.peek()?;
            match item.token {
                Token::RightParen => return Ok((args, self.take()?)),
                Token::Comma => {
                    self.take()?;
                    // Upstream's grammar ends the list here, whatever else follows.
                    if !self.begins_expr()? {
                        return Err(
                            self.error(item.span, "trailing commas not allowed in function call args")
                        );
                    }
                }
                _ => return Err(self.unexpected(item)),
            }
        }
    }

    /// Whether the next token may be the first of an expression.
    fn begins_expr(&mut self) -> Result<bool> {
        Ok(match self.peek()?.token {
            Token::Number | Token::Duration | Token::String | Token::LeftParen | Token::LeftBrace => true,
            Token::Op("+" | "-") => true,
            token => is_metric_name(token),
        })
    }

    fn aggregation(&mut self, name: Item, op: AggregateOp) -> Result<Expr> {
        self.n_aggregations += 1;
        let mut modifier = self.aggregation_modifier()?;
        let (args, close) = self.arguments()?;
        let mut span = name.span.to(close.span);
        if modifier.is_none() {
            modifier = self.aggregation_modifier()?;
            if let Some((_, _, end)) = &modifier {
                span = span.to(*end);
            }
        }
        self.n_aggregations -= 1;
        let (grouping, without, _) = modifier.unwrap_or_default();
        let n_args = args.len();
        let n_wanted = if op.has_param() { 2 } else { 1 };
        if n_args == 0 {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        if n_args != n_wanted {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {n_wanted}, got {n_args}"
            );
            return Err(self.error(span, message));
        }
        let mut args = args.into_iter().map(Box::new);
        let param = if op.has_param() { args.next() } else { None };
        let expr = args.next().expect("the number of arguments was checked above");
        Ok(Expr::new(ExprKind::Aggregate { op, grouping, without, param, expr }, span))
    }

    fn aggregation_modifier(&mut self) -> Result<Option<(Vec<String>, bool, Span)>> {
        let without = match self.peek()?.token {
            Token::Keyword("by") => false,
            Token::Keyword("without") => true,
            _ => return Ok(None),
        };
        self.take()?;
        let (labels, end) = self.grouping_labels()?;
        Ok(Some((labels, without, end)))
    }

    fn grouping_labels(&mut self) -> Result<(Vec<String>, Span)> {
        self.expect_in(Token::LeftParen, &GROUPING_OPEN)?;
        let mut labels = Vec::new();
        loop {
            if self.is_next(Token::RightParen)? {
                return Ok((labels, self.take()?.span));
            }
            labels.push(self.grouping_label()?);
            let item = self.peek()?;
            match item.token {
                Token::Comma => {
                    self.take()?;
                }
                Token::RightParen => return Ok((labels, self.take()?.span)),
                _ => return Err(self.unexpected_in(item, &GROUPING_NEXT)),
            }
        }
    }

    fn grouping_label(&mut self) -> Result<String> {
        let item = self.peek()?;
        let label = match item.token {
            Token::Identifier | Token::MetricIdentifier => self.text(item).to_owned(),
            Token::Keyword(word) if word != "without" => self.text(item).to_owned(),
            Token::String => literal::unquote(self, item)?,
            _ => return Err(self.unexpected_in(item, &GROUPING_LABEL)),
        };
        self.take()?;
        if label.is_empty() {
            return Err(self.error(item.span, "invalid label name for grouping: \"\""));
        }
        Ok(label)
    }

    fn binary_modifiers(&mut self) -> Result<(bool, VectorMatching)> {
        let mut matching = VectorMatching {
            cardinality: Cardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill: FillValues::default(),
        };
        let return_bool = self.is_next(Token::Keyword("bool"))?;
        if return_bool {
            self.take()?;
        }
        if let Token::Keyword(word @ ("on" | "ignoring")) = self.peek()?.token {
            self.take()?;
            matching.on = word == "on";
            matching.labels = self.grouping_labels()?.0;
            self.group_modifier(&mut matching)?;
        }
        self.fill_modifiers(&mut matching.fill)?;
        Ok((return_bool, matching))
    }

    fn group_modifier(&mut self, matching: &mut VectorMatching) -> Result<()> {
        matching.cardinality = match self.peek()?.token {
            Token::Keyword("group_left") => Cardinality::ManyToOne,
            Token::Keyword("group_right") => Cardinality::OneToMany,
            _ => return Ok(()),
        };
        self.take()?;
        // A list, or none where the right side begins: a parenthesis is always a list's.
        if self.is_next(Token::LeftParen)? || !self.begins_expr()? {
            matching.include = self.grouping_labels()?.0;
        }
        Ok(())
    }

    fn fill_modifiers(&mut self, fill: &mut FillValues) -> Result<()> {
        while let Token::Keyword(word @ ("fill" | "fill_left" | "fill_right")) = self.peek()?.token {
            let is_repeated = match word {
                "fill_left" => fill.lhs.is_some(),
                "fill_right" => fill.rhs.is_some(),
                _ => fill.lhs.is_some() || fill.rhs.is_some(),
            };
            let item = self.peek()?;
            if is_repeated {
                return Err(self.unexpected(item));
            }
            self.take()?;
            let value = self.fill_value()?;
            if word != "fill_right" {
                fill.lhs = Some(value);
            }
            if word != "fill_left" {
                fill.rhs = Some(value);
            }
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Result<f64> {
        self.expect(Token::LeftParen)?;
        let Some(value) = self.signed_number()? else {
            let item = self.peek()?;
            return Err(self.unexpected(item));
        };
        self.expect(Token::RightParen)?;
        Ok(value)
    }

    /// A number or duration with an optional sign, in seconds; `None` when something else comes.
    fn signed_number(&mut self) -> Result<Option<f64>> {
        let mut factor = 1.0;
        if let Token::Op(sign @ ("+" | "-")) = self.peek()?.token {
            self.take()?;
            factor = if sign == "-" { -1.0 } else { 1.0 };
        }
        let item = self.peek()?;
        if !matches!(item.token, Token::Number | Token::Duration) {
            return Ok(None);
        }
        self.take()?;
        Ok(Some(factor * literal::number_or_duration(self, item)?.0))
    }

    fn vector_selector(&mut self, name: Option<Item>) -> Result<(VectorSelector, Span)> {
        let mut span = name.map_or_else(Span::default, |item| item.span);
        let mut matchers = Vec::new();
        if self.is_next(Token::LeftBrace)? {
            let (inner, braces) = self.label_matchers()?;
            matchers = inner;
            span = if name.is_some() { span.to(braces) } else { braces };
        }
        let name = name.map(|item| self.text(item).to_owned()).unwrap_or_default();
        if !name.is_empty() {
            matchers.push(Matcher::equal(METRIC_NAME, name.clone()));
        }
        Ok((VectorSelector { name, matchers, offset: None, at: None, extension: None }, span))
    }

    fn label_matchers(&mut self) -> Result<(Vec<Matcher>, Span)> {
        let open = self.take()?.span;
        let mut matchers = Vec::new();
        loop {
            if self.is_next(Token::RightBrace)? {
                return Ok((matchers, open.to(self.take()?.span)));
            }
            matchers.push(self.label_matcher()?);
            let item = self.peek()?;
            match item.token {
                Token::Comma => {
                    self.take()?;
                }
                Token::RightBrace => {}
                _ => return Err(self.unexpected_in(item, &MATCHER_NEXT)),
            }
        }
    }

    fn label_matcher(&mut self) -> Result<Matcher> {
        let first = self.peek()?;
        let name = match first.token {
            Token::Identifier => self.text(first).to_owned(),
            Token::String => literal::unquote(self, first)?,
            _ => return Err(self.unexpected_in(first, &MATCHER_FIRST)),
        };
        self.take()?;
        let item = self.peek()?;
        let op = match item.token {
            Token::Assign => MatchOp::Equal,
            Token::Op("!=") => MatchOp::NotEqual,
            Token::EqualRegex => MatchOp::Regex,
            Token::NotRegex => MatchOp::NotRegex,
            _ if first.token == Token::String => return Ok(Matcher::equal(METRIC_NAME, name)),
            _ => return Err(self.unexpected_in(item, &MATCHER_OP)),
        };
        self.take()?;
        let value = self.expect_in(Token::String, &MATCHER_VALUE)?;
        let text = literal::unquote(self, value)?;
        let matcher = super::remembered::matcher(op, &name, &text);
        matcher.map_err(|err| self.error(first.span.to(value.span), err.to_string()))
    }

    fn at(&mut self, mut expr: Expr) -> Result<Expr> {
        self.take()?;
        let item = self.peek()?;
        let at = if let Token::Keyword(word @ ("start" | "end")) = item.token {
            self.take()?;
            self.expect_in(Token::LeftParen, &AT_TIME)?;
            let close = self.expect_in(Token::RightParen, &AT_TIME)?;
            (if word == "start" { At::Start } else { At::End }, close.span)
        } else {
            let Some(seconds) = self.signed_number()? else {
                let item = self.peek()?;
                return Err(self.unexpected_in(item, &AT_TIME));
            };
            (At::Ms(self.at_ms(&expr, seconds)?), self.last_span())
        };
        let (at, end) = at;
        let slot = match &mut expr.kind {
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => &mut selector.at,
            ExprKind::Subquery { at, .. } => at,
            _ => {
                let message = "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return Err(self.error(expr.span, message));
            }
        };
        if slot.is_some() {
            return Err(self.error(expr.span, "@ <timestamp> may not be set multiple times"));
        }
        *slot = Some(at);
        expr.span = expr.span.to(end);
        Ok(expr)
    }

    /// Where the token before the next one ended, at the latest.
    pub(super) fn last_span(&self) -> Span {
        let end = match self.ahead {
            Some(item) => item.span.start,
            None => self.lexer.pos(),
        };
        let end = self.query[..end].trim_end().len();
        Span::new(end, end)
    }

    fn at_ms(&self, expr: &Expr, seconds: f64) -> Result<i64> {
        let in_bounds = seconds.is_finite() && seconds < i64::MAX as f64 && seconds > i64::MIN as f64;
        if !in_bounds {
            let shown = match seconds {
                s if s.is_nan() => "NaN".to_owned(),
                s if s.is_infinite() => if s > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
                s => format!("{s:.6}"),
            };
            return Err(self.error(expr.span, format!("timestamp out of bounds for @ modifier: {shown}")));
        }
        Ok((seconds * 1000.0).round() as i64)
    }

    fn extension(&mut self, mut expr: Expr, extension: SelectorExtension) -> Result<Expr> {
        self.take()?;
        let name = if extension == SelectorExtension::Anchored { "anchored" } else { "smoothed" };
        match &mut expr.kind {
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
                if selector.extension.is_some_and(|old| old != extension) {
                    let message = "anchored and smoothed modifiers cannot be used together";
                    return Err(self.error(expr.span, message));
                }
                selector.extension = Some(extension);
                Ok(expr)
            }
            ExprKind::Subquery { .. } => {
                Err(self.error(expr.span, format!("{name} modifier is not supported for subqueries")))
            }
            _ => Err(self.error(expr.span, format!("{name} modifier not implemented"))),
        }
    }

    fn offset(&mut self, mut expr: Expr) -> Result<Expr> {
        self.take()?;
        let offset = self.offset_value()?;
        let end = self.last_span();
        let slot = match &mut expr.kind {
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => &mut selector.offset,
            ExprKind::Subquery { offset, .. } => offset,
            _ => {
                let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return Err(self.error(expr.span, message));
            }
        };
        if slot.is_some() {
            return Err(self.error(expr.span, "offset may not be set multiple times"));
        }
        *slot = (offset != Offset::Ms(0)).then_some(offset);
        expr.span = expr.span.to(end);
        Ok(expr)
    }
}
