//! Evaluation: node by node, each node for all steps of the query at once.

mod aggregate;
mod binop;
mod bounds;
mod calls;
pub(crate) mod column;
pub(crate) mod counted;
pub(crate) mod evaluator;
pub(crate) mod fast;
mod gather;
mod histogram_binop;
mod histograms;
mod join;
pub(crate) mod merged;
mod mixed;
mod newest;
pub(crate) mod pace;
mod passes;
pub(crate) mod range;
mod scan;
mod selector;
pub(crate) mod shared;
mod subquery;
mod top;
