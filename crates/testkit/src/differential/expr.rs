//! Expressions as a tree that can be printed and taken apart.

use std::fmt;

/// What an expression yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Scalar,
    /// A vector at each step.
    Vector,
    /// Samples over a range.
    Matrix,
    /// A string literal.
    Text,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A number or other literal, as written; its kind is a scalar.
    Number(String),
    /// A quoted string.
    Text(String),
    /// `metric{matchers}`, with what stands behind it (`offset 5m`, `@ 17`).
    Selector {
        /// Name and matchers.
        text: String,
        /// Modifiers, with a space before.
        suffix: String,
    },
    /// A selector with a range.
    Range {
        /// Name and matchers.
        text: String,
        /// Such as `5m`.
        range: String,
        /// Modifiers, with a space before.
        suffix: String,
    },
    /// `(expr)[range:step]`
    Subquery {
        /// Inside.
        inner: Box<Expr>,
        /// Such as `1h:1m`.
        range: String,
        /// Modifiers, with a space before.
        suffix: String,
    },
    /// `-expr`
    Negate(Box<Expr>),
    /// `a op b`
    Binary {
        /// Left.
        left: Box<Expr>,
        /// Operator with its modifiers: `+ on(x) group_left`.
        op: String,
        /// Right.
        right: Box<Expr>,
        /// What comes out.
        kind: Kind,
    },
    /// `f(args)`
    Call {
        /// Name.
        name: String,
        /// Arguments.
        args: Vec<Expr>,
        /// What comes out.
        kind: Kind,
    },
    /// `op by (x) (param, expr)`
    Aggregate {
        /// `sum`.
        op: String,
        /// ` by (x)`, or nothing.
        grouping: String,
        /// First argument, where there is one.
        param: Option<Box<Expr>>,
        /// What is aggregated.
        inner: Box<Expr>,
    },
}

impl Expr {
    /// What it yields.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Number(_) => Kind::Scalar,
            Self::Text(_) => Kind::Text,
            Self::Selector { .. } | Self::Aggregate { .. } => Kind::Vector,
            Self::Range { .. } | Self::Subquery { .. } => Kind::Matrix,
            Self::Negate(inner) => inner.kind(),
            Self::Binary { kind, .. } | Self::Call { kind, .. } => *kind,
        }
    }

    /// The expressions directly below.
    #[must_use]
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Self::Number(_) | Self::Text(_) | Self::Selector { .. } | Self::Range { .. } => Vec::new(),
            Self::Subquery { inner, .. } | Self::Negate(inner) => vec![inner],
            Self::Binary { left, right, .. } => vec![left, right],
            Self::Call { args, .. } => args.iter().collect(),
            Self::Aggregate { param, inner, .. } => {
                param.iter().map(|param| &**param).chain([&**inner]).collect()
            }
        }
    }

    /// The same with child `idx` (as in [`Expr::children`]) replaced.
    #[must_use]
    pub fn with_child(&self, idx: usize, child: Expr) -> Expr {
        let mut out = self.clone();
        let slot = match &mut out {
            Self::Subquery { inner, .. } | Self::Negate(inner) => &mut **inner,
            Self::Binary { left, right, .. } => &mut **if idx == 0 { left } else { right },
            Self::Call { args, .. } => &mut args[idx],
            Self::Aggregate { param: Some(param), .. } if idx == 0 => &mut **param,
            Self::Aggregate { inner, .. } => &mut **inner,
            _ => return out,
        };
        *slot = child;
        out
    }

    /// The same with every window of a subquery in a subquery a millisecond shorter: to a server whose windows are closed on the left what the
    /// expression is to one whose windows are open there. `None` where there is none.
    #[must_use]
    pub fn left_open(&self) -> Option<Expr> {
        let open = self.opened(false);
        (open != *self).then_some(open)
    }

    fn opened(&self, is_within: bool) -> Expr {
        let is_subquery = matches!(self, Self::Subquery { .. });
        let mut out = self.clone();
        for (idx, child) in self.children().into_iter().enumerate() {
            out = out.with_child(idx, child.opened(is_within || is_subquery));
        }
        if let Self::Subquery { range, .. } = &mut out
            && is_within
            && let Some((width, step)) = range.split_once(':')
            && let Ok(width) = width.parse::<model::Duration>()
        {
            *range = format!("{}ms:{step}", width.as_ms() - 1);
        }
        out
    }

    /// Whether `test` holds for it or for anything below.
    #[must_use]
    pub fn any(&self, test: &dyn Fn(&Expr) -> bool) -> bool {
        test(self) || self.children().iter().any(|child| child.any(test))
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(text) => f.write_str(text),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Selector { text, suffix } => write!(f, "{text}{suffix}"),
            Self::Range { text, range, suffix } => write!(f, "{text}[{range}]{suffix}"),
            Self::Subquery { inner, range, suffix } => write!(f, "({inner})[{range}]{suffix}"),
            Self::Negate(inner) => write!(f, "-({inner})"),
            Self::Binary { left, op, right, .. } => write!(f, "({left}) {op} ({right})"),
            Self::Call { name, args, .. } => {
                write!(f, "{name}(")?;
                for (idx, arg) in args.iter().enumerate() {
                    write!(f, "{}{arg}", if idx == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Self::Aggregate { op, grouping, param, inner } => match param {
                Some(param) => write!(f, "{op}{grouping} ({param}, {inner})"),
                None => write!(f, "{op}{grouping} ({inner})"),
            },
        }
    }
}
