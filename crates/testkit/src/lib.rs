//! Development only: runs scripts of Prometheus' PromQL test language against our engine.
//!
//! In from `*.test` files; out to a count of evaluations per file: passed, failed.
//! Language: prometheus/promql/promqltest/README.md.

pub mod differential;
mod histogram;
pub mod run;
pub mod script;
mod store;

pub use run::{Report, run_script};
pub use script::{ScriptError, parse};
