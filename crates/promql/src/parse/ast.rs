//! The expression tree. Every node knows where it stands in the query.

use std::fmt;
use std::sync::Arc;

use model::Matcher;

use super::functions::Function;

/// Bytes `start..end` of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// From the start of `self` to the end of `other`.
    pub(crate) fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }

    /// The start as `line:col` of `query`, both counted from one; columns are bytes, as upstream counts them.
    #[must_use]
    pub fn start_in(self, query: &str) -> String {
        if query.is_empty() {
            return "unknown position".to_owned();
        }
        let Some(before) = query.as_bytes().get(..self.start) else {
            return "invalid position".to_owned();
        };
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let col = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        format!("{line}:{col}")
    }
}

/// The type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A number.
    Scalar,
    /// A text.
    String,
    /// Series with one value each.
    Vector,
    /// Series with several values each.
    Matrix,
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        })
    }
}

/// An expression.
#[derive(Debug, Clone)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
    /// The whole query, for positions in messages.
    pub(crate) query: Option<Arc<str>>,
    /// Levels of nodes from here down.
    pub(crate) height: usize,
}

/// What an expression can be.
#[derive(Debug, Clone)]
pub enum ExprKind {
    /// `1`, `0x1F`, `5m`.
    Number {
        /// The value; seconds for a duration.
        value: f64,
        /// Written as a duration.
        is_duration: bool,
    },
    /// `"text"`.
    String(String),
    /// A string whose escapes make it other than UTF-8, as written. It parses, as upstream's, but has no value.
    InvalidString(String),
    /// `name{label="value"}`.
    Vector(VectorSelector),
    /// `selector[range]`.
    Matrix {
        /// Which series.
        selector: VectorSelector,
        /// How far back.
        range: Offset,
    },
    /// `expr[range:step]`.
    Subquery {
        /// What is evaluated at each step.
        expr: Box<Expr>,
        /// How far back.
        range: Offset,
        /// Distance of steps; `None` for the engine's default.
        step: Option<Offset>,
        /// `offset …`.
        offset: Option<Offset>,
        /// `@ …`.
        at: Option<At>,
    },
    /// `f(args)`.
    Call {
        /// Which function.
        func: &'static Function,
        /// Its arguments.
        args: Vec<Expr>,
    },
    /// `op by (labels) (param, expr)`.
    Aggregate {
        /// Which operator.
        op: AggregateOp,
        /// The labels named.
        grouping: Vec<String>,
        /// Whether those are dropped (`without`) rather than kept (`by`).
        without: bool,
        /// The parameter, for the operators that take one.
        param: Option<Box<Expr>>,
        /// What is aggregated.
        expr: Box<Expr>,
    },
    /// `lhs op rhs`.
    Binary {
        /// Which operator.
        op: BinaryOp,
        /// Left side.
        lhs: Box<Expr>,
        /// Right side.
        rhs: Box<Expr>,
        /// `bool` was given.
        return_bool: bool,
        /// How series find each other; `Some` exactly when both sides are vectors.
        matching: Option<VectorMatching>,
    },
    /// `-expr`, `+expr`.
    Unary {
        /// Which sign.
        op: UnaryOp,
        /// What it stands before.
        expr: Box<Expr>,
    },
    /// `(expr)`.
    Paren(Box<Expr>),
}

/// A selector with its modifiers.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The name outside the braces; empty for none.
    pub name: String,
    /// All conditions, the one on the name included (last when it stood outside the braces).
    pub matchers: Vec<Matcher>,
    /// `offset …`.
    pub offset: Option<Offset>,
    /// `@ …`.
    pub at: Option<At>,
    /// `anchored` or `smoothed`.
    pub extension: Option<SelectorExtension>,
}

/// What `anchored` and `smoothed` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectorExtension {
    /// Samples at the edges are real ones.
    Anchored,
    /// Samples at the edges are interpolated.
    Smoothed,
}

/// A length of time: known, or to be computed from the query's step and range.
#[derive(Debug, Clone, PartialEq)]
pub enum Offset {
    /// Milliseconds; may be negative for offsets.
    Ms(i64),
    /// Computed before evaluation.
    Expr(DurationExpr),
}

/// Arithmetic over durations, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    /// A literal.
    Number {
        /// Seconds.
        value: f64,
        /// Written as a duration.
        is_duration: bool,
        /// Where.
        span: Span,
    },
    /// `step()`.
    Step(Span),
    /// `range()`.
    Range(Span),
    /// `-x`.
    Neg(Box<DurationExpr>, Span),
    /// `+x`, where upstream's tree has it: in an offset, before a call.
    Plus(Box<DurationExpr>, Span),
    /// `a op b`, `min_of(a, b)`.
    Binary {
        /// Which operator.
        op: DurationOp,
        /// Left side.
        lhs: Box<DurationExpr>,
        /// Right side.
        rhs: Box<DurationExpr>,
        /// Where.
        span: Span,
    },
    /// `(x)`.
    Paren(Box<DurationExpr>, Span),
}

/// Operators on durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DurationOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    MinOf,
    MaxOf,
}

/// `@ …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// A fixed time, Unix milliseconds.
    Ms(i64),
    /// The query's start.
    Start,
    /// The query's end.
    End,
}

/// Signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    /// `+`
    Plus,
    /// `-`
    Minus,
}

/// Binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `</`: native histogram without what lies above.
    TrimUpper,
    /// `>/`: native histogram without what lies below.
    TrimLower,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    /// Each of them.
    pub const ALL: [Self; 18] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Mod,
        Self::Pow,
        Self::Atan2,
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessEqual,
        Self::Greater,
        Self::GreaterEqual,
        Self::TrimUpper,
        Self::TrimLower,
        Self::And,
        Self::Or,
        Self::Unless,
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// Whether `bool` may follow.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        use BinaryOp as B;
        matches!(self, B::Equal | B::NotEqual | B::Less | B::LessEqual | B::Greater | B::GreaterEqual)
    }

    /// `and`, `or`, `unless`.
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// Binding strength; a higher one binds first.
    #[must_use]
    pub fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 5,
            Self::Pow => 6,
            _ => 3,
        }
    }
}

/// Aggregation operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// Each of them.
    pub const ALL: [Self; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Count,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::Quantile,
        Self::CountValues,
        Self::Limitk,
        Self::LimitRatio,
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::Quantile => "quantile",
            Self::CountValues => "count_values",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// Behind a feature flag in Prometheus.
    #[must_use]
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }

    /// Whether it takes a parameter.
    #[must_use]
    pub fn has_param(self) -> bool {
        use AggregateOp as A;
        matches!(self, A::Topk | A::Bottomk | A::Quantile | A::CountValues | A::Limitk | A::LimitRatio)
    }
}

/// How many series of each side may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    /// One each.
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How the series of two vectors find each other.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorMatching {
    /// How many of each side.
    pub cardinality: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether they are `on`'s.
    pub on: bool,
    /// The labels that `group_left` or `group_right` copies from the one side.
    pub include: Vec<String>,
    /// `fill…`.
    pub fill: FillValues,
}

/// What stands in for a missing partner.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FillValues {
    /// For the left side.
    pub lhs: Option<f64>,
    /// For the right side.
    pub rhs: Option<f64>,
}

impl Expr {
    pub(crate) fn new(kind: ExprKind, span: Span) -> Self {
        let mut expr = Self { kind, span, query: None, height: 1 };
        expr.height += expr.children().iter().map(|child| child.height).max().unwrap_or(0);
        expr
    }

    /// Its type.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number { .. } => ValueType::Scalar,
            ExprKind::String(_) | ExprKind::InvalidString(_) => ValueType::String,
            ExprKind::Vector(_) | ExprKind::Aggregate { .. } => ValueType::Vector,
            ExprKind::Matrix { .. } | ExprKind::Subquery { .. } => ValueType::Matrix,
            ExprKind::Call { func, .. } => func.returns,
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => expr.value_type(),
            ExprKind::Binary { lhs, rhs, .. } => {
                let both = lhs.value_type() == ValueType::Scalar && rhs.value_type() == ValueType::Scalar;
                if both { ValueType::Scalar } else { ValueType::Vector }
            }
        }
    }

    /// The expressions directly inside, in the order in which they are written.
    #[must_use]
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Number { .. }
            | ExprKind::String(_)
            | ExprKind::InvalidString(_)
            | ExprKind::Vector(_)
            | ExprKind::Matrix { .. } => Vec::new(),
            ExprKind::Subquery { expr, .. } | ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => {
                vec![expr]
            }
            ExprKind::Call { args, .. } => args.iter().collect(),
            ExprKind::Aggregate { param, expr, .. } => {
                param.iter().map(AsRef::as_ref).chain([&**expr]).collect()
            }
            ExprKind::Binary { lhs, rhs, .. } => vec![lhs, rhs],
        }
    }

    /// Calls `visit` for this expression and all inside it, outer ones first.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// All selectors within, in the order in which they are written.
    #[must_use]
    pub fn selectors(&self) -> Vec<&VectorSelector> {
        let mut found = Vec::new();
        self.walk(&mut |expr| match &expr.kind {
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => found.push(selector),
            _ => {}
        });
        found
    }

    /// The query text it was parsed from.
    #[must_use]
    pub fn query(&self) -> &str {
        self.query.as_deref().unwrap_or("")
    }

    /// The same without parentheses around it.
    pub(crate) fn unwrapped(&self) -> &Self {
        match &self.kind {
            ExprKind::Paren(inner) => inner.unwrapped(),
            _ => self,
        }
    }
}
