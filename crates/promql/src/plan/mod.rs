//! What can be said of an expression before any data is read. Pure.

pub(crate) mod duration;
pub(crate) mod step_invariant;
