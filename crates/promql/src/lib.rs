//! Parses and evaluates PromQL over any [`storage::Queryable`].
//!
//! In from `api` and `rules`: query text and times; out to them: a [`Value`] and [`Annotations`].
//! Sync: no tokio, no sockets, no wall clock; deadlines come in as a [`stdx::Clock`].
//! Agrees with Prometheus 3.14; differences are listed in docs/differences.md.

mod annotations;
mod cache;
mod civil;
mod engine;
mod error;
mod eval;
mod func;
mod guard;
mod limits;
pub mod notation;
mod options;
mod parse;
mod plan;
mod value;

pub use annotations::{Annotations, Severity};
pub use cache::ResultCache;
pub use engine::Engine;
pub use error::EvalError;
pub use guard::{
    BRIEF_COST_MAX, CancelToken, Deadline, FinishedQuery, Guard, LookUp, Meter, QueryInfo, QueryKind,
    QueryLog, QueryOrigin, QueryState, RunningQuery, Ticket,
};
pub use limits::{
    DEPTH_MAX, HEIGHT_MAX, LOOKBACK_DEFAULT_MS, QUERY_BYTES_MAX, SAMPLES_MAX_DEFAULT, STEPS_MAX, TIME_MAX_MS,
};
pub use options::{EngineOptions, QueryOptions, RangeParams};
pub use parse::ast::{
    AggregateOp, At, BinaryOp, Cardinality, DurationExpr, DurationOp, Expr, ExprKind, FillValues, Offset,
    SelectorExtension, Span, UnaryOp, ValueType, VectorMatching, VectorSelector,
};
pub use parse::error::ParseError;
pub use parse::features::Features;
pub use parse::functions::{FUNCTIONS, Function};
pub use parse::{metric_selector, parse, parse_with};
pub use value::{MatrixSeries, Output, SampleCounts, Value, VectorSample};
