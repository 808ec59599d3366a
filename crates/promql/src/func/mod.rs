//! What functions compute, over windows of samples and single values. The evaluator asks them, step by step.

pub(crate) mod folded;
pub(crate) mod hash;
pub(crate) mod histogram;
pub(crate) mod math;
pub(crate) mod over_time;
pub(crate) mod rate;
pub(crate) mod slide;
pub(crate) mod start_time;
pub(crate) mod sum;
mod trig;
pub(crate) mod window;
