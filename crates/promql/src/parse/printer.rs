//! Expression tree to text that parses to the same tree, in Prometheus' canonical form.

use std::fmt::{self, Display, Formatter};

use model::float::{format_f, push_g};
use model::labels::{METRIC_NAME, is_legacy_label_name, quoted};
use model::{Duration, MatchOp};

use super::ast::{
    AggregateOp, At, Cardinality, DurationExpr, DurationOp, Expr, ExprKind, Offset, SelectorExtension,
    UnaryOp, VectorMatching, VectorSelector,
};

struct Joined<'a, T>(&'a [T]);

impl<T: Display> Display for Joined<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (idx, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if idx == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn label_names(names: &[String]) -> String {
    let names: Vec<_> =
        names.iter().map(|n| if is_legacy_label_name(n) { n.clone() } else { quoted(n) }).collect();
    names.join(", ")
}

/// A number that was written as a duration, in seconds.
fn duration_text(seconds: f64) -> String {
    let text = Duration::from_ms((seconds.abs() * 1000.0).round() as i64).to_string();
    if seconds < 0.0 { format!("-{text}") } else { text }
}

fn number_text(value: f64, is_duration: bool) -> String {
    if is_duration { duration_text(value) } else { format_f(value) }
}

fn offset_text(offset: Option<&Offset>) -> String {
    match offset {
        None => String::new(),
        Some(Offset::Ms(ms)) if *ms < 0 => format!(" offset -{}", Duration::from_ms(ms.saturating_neg())),
        Some(Offset::Ms(ms)) => format!(" offset {}", Duration::from_ms(*ms)),
        Some(Offset::Expr(expr)) => format!(" offset {expr}"),
    }
}

fn at_text(at: Option<At>) -> String {
    match at {
        None => String::new(),
        Some(At::Start) => " @ start()".to_owned(),
        Some(At::End) => " @ end()".to_owned(),
        Some(At::Ms(ms)) => format!(" @ {:.3}", ms as f64 / 1000.0),
    }
}

fn extension_text(extension: Option<SelectorExtension>) -> &'static str {
    match extension {
        None => "",
        Some(SelectorExtension::Anchored) => " anchored",
        Some(SelectorExtension::Smoothed) => " smoothed",
    }
}

/// What follows the expression of a subquery.
pub(super) fn subquery_text(
    range: &Offset,
    step: Option<&Offset>,
    offset: Option<&Offset>,
    at: Option<At>,
) -> String {
    let step = step.map(ToString::to_string).unwrap_or_default();
    format!("[{range}:{step}]{}{}", at_text(at), offset_text(offset))
}

/// An aggregation's operator and labels.
pub(super) fn aggregation_text(op: AggregateOp, grouping: &[String], without: bool) -> String {
    match (without, grouping) {
        (true, _) => format!("{} without ({}) ", op.as_str(), label_names(grouping)),
        (false, []) => op.as_str().to_owned(),
        (false, _) => format!("{} by ({}) ", op.as_str(), label_names(grouping)),
    }
}

/// Name and conditions, without modifiers.
fn series_text(selector: &VectorSelector) -> String {
    let is_name = |m: &&model::Matcher| {
        m.name == METRIC_NAME && m.op == MatchOp::Equal && m.value == selector.name && !m.value.is_empty()
    };
    let mut conditions: Vec<_> =
        selector.matchers.iter().filter(|m| !is_name(m)).map(ToString::to_string).collect();
    conditions.sort();
    let braces = if conditions.is_empty() && !selector.name.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", conditions.join(","))
    };
    format!("{}{braces}", selector.name)
}

impl Display for Offset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ms(ms) => write!(f, "{}", Duration::from_ms(*ms)),
            Self::Expr(expr) => write!(f, "{expr}"),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { value, is_duration, .. } => f.write_str(&number_text(*value, *is_duration)),
            Self::Step(_) => f.write_str("step()"),
            Self::Range(_) => f.write_str("range()"),
            Self::Neg(inner, _) => write!(f, "-{inner}"),
            Self::Plus(inner, _) => write!(f, "{inner}"),
            Self::Paren(inner, _) => write!(f, "({inner})"),
            Self::Binary { op, lhs, rhs, .. } => {
                let sign = match op {
                    DurationOp::MinOf => return write!(f, "min_of({lhs}, {rhs})"),
                    DurationOp::MaxOf => return write!(f, "max_of({lhs}, {rhs})"),
                    DurationOp::Add => "+",
                    DurationOp::Sub => "-",
                    DurationOp::Mul => "*",
                    DurationOp::Div => "/",
                    DurationOp::Mod => "%",
                    DurationOp::Pow => "^",
                };
                write!(f, "{lhs} {sign} {rhs}")
            }
        }
    }
}

impl Display for VectorMatching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_grouped = matches!(self.cardinality, Cardinality::ManyToOne | Cardinality::OneToMany);
        if !self.labels.is_empty() || self.on || is_grouped {
            write!(f, " {} ({})", if self.on { "on" } else { "ignoring" }, label_names(&self.labels))?;
        }
        if is_grouped {
            let side = if self.cardinality == Cardinality::ManyToOne { "left" } else { "right" };
            write!(f, " group_{side} ({})", label_names(&self.include))?;
        }
        let value = |value: f64| {
            let mut text = String::new();
            push_g(&mut text, value);
            text
        };
        match (self.fill.lhs, self.fill.rhs) {
            (Some(lhs), Some(rhs)) if lhs.to_bits() == rhs.to_bits() || lhs == rhs => {
                write!(f, " fill ({})", value(lhs))
            }
            (lhs, rhs) => {
                if let Some(lhs) = lhs {
                    write!(f, " fill_left ({})", value(lhs))?;
                }
                if let Some(rhs) = rhs {
                    write!(f, " fill_right ({})", value(rhs))?;
                }
                Ok(())
            }
        }
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (at, offset) = (at_text(self.at), offset_text(self.offset.as_ref()));
        write!(f, "{}{at}{}{offset}", series_text(self), extension_text(self.extension))
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number { value, is_duration } => f.write_str(&number_text(*value, *is_duration)),
            ExprKind::String(text) => f.write_str(&quoted(text)),
            ExprKind::InvalidString(written) => f.write_str(written),
            ExprKind::Vector(selector) => write!(f, "{selector}"),
            ExprKind::Matrix { selector, range } => {
                let (at, offset) = (at_text(selector.at), offset_text(selector.offset.as_ref()));
                let extension = extension_text(selector.extension);
                write!(f, "{}[{range}]{extension}{at}{offset}", series_text(selector))
            }
            ExprKind::Subquery { expr, range, step, offset, at } => {
                write!(f, "{expr}{}", subquery_text(range, step.as_ref(), offset.as_ref(), *at))
            }
            ExprKind::Call { func, args } => write!(f, "{}({})", func.name, Joined(args)),
            ExprKind::Aggregate { op, grouping, without, param, expr } => {
                f.write_str(&aggregation_text(*op, grouping, *without))?;
                match param {
                    Some(param) => write!(f, "({param}, {expr})"),
                    None => write!(f, "({expr})"),
                }
            }
            ExprKind::Binary { op, lhs, rhs, return_bool, matching } => {
                let is_bool = if *return_bool { " bool" } else { "" };
                write!(f, "{lhs} {}{is_bool}", op.as_str())?;
                if let Some(matching) = matching {
                    write!(f, "{matching}")?;
                }
                write!(f, " {rhs}")
            }
            ExprKind::Unary { op, expr } => {
                write!(f, "{}{expr}", if *op == UnaryOp::Minus { "-" } else { "+" })
            }
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}
