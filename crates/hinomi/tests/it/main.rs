//! The binary as people run it, against real peers: exporters, Prometheus, promtool, amtool, an SMTP server, a browser.
//!
//! `cargo xtask test integration` builds it and installs the peers. Loopback only; every process a test starts is ended
//! with it. What a test waits for has a deadline, and the failure says what was not seen.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a test outside the product: it runs processes and keeps time"
)]

mod harness;

mod agent_mode;
mod alert_history;
mod alert_path;
mod amtool;
mod backfill;
mod bad_input;
mod browser;
mod clients;
mod consoles;
mod data_dir;
mod debug;
mod disk_and_clock;
mod exporters;
mod faults;
mod federation;
mod import;
mod kafka;
mod keeping;
mod kill9;
mod maintenance;
mod manager_scenarios;
mod manager_takeover;
mod on_call;
mod openapi;
mod oracle;
mod query;
mod reload;
mod remote_read;
mod remote_write;
mod remote_write_out;
mod replicas;
mod silence;
mod starts;
mod startup;
mod tracing;
mod tutorial;
mod ways_in;
mod zookeeper;
