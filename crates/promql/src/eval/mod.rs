//! Evaluation: node by node, each node for all steps of the query at once.

pub(crate) mod aggregate;
mod binop;
pub(crate) mod bounds;
pub(crate) mod column;
pub(crate) mod counted;
mod engine;
pub(crate) mod evaluator;
mod gather;
mod histogram_binop;
mod histograms;
mod join;
mod mixed;
mod newest;
pub(crate) mod pace;
mod passes;
pub(crate) mod range;
pub(crate) mod scan;
pub(crate) mod selector;
mod shared;
pub(crate) mod subquery;
mod top;

pub use engine::{CancelToken, Deadline, Engine, EngineOptions, QueryOptions, RangeParams};
