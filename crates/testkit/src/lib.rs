//! Development only: runs scripts of Prometheus' PromQL test language against our engine.
//!
//! In from `*.test` files; out to a count of evaluations per file: passed, unsupported, failed.
//! Language: prometheus/promql/promqltest/README.md. An evaluation is unsupported only when the engine or the store
//! says so by name; a wrong value is always a failure.

pub mod differential;
pub mod run;
pub mod script;
mod series;
pub mod store;

pub use run::{Outcome, Report, run_script};
pub use script::{ScriptError, parse};
