//! Evaluation: node by node, each node for all steps of the query at once.

pub(crate) mod aggregate;
mod binop;
pub(crate) mod column;
mod engine;
pub(crate) mod evaluator;
mod histogram_binop;
mod histograms;
mod mixed;
pub(crate) mod range;
pub(crate) mod selector;
mod subquery;
mod top;

pub use engine::{CancelToken, Deadline, Engine, EngineOptions, QueryOptions, RangeParams};
