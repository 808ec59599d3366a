//! Evaluation: node by node, each node for all steps of the query at once.

mod engine;

pub use engine::{CancelToken, Deadline, Engine, EngineOptions, QueryOptions, RangeParams};
