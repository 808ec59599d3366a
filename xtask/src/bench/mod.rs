//! `cargo xtask bench`: our release binary and other servers side by side, in one run, on the same bytes.
//!
//! Each workload runs on each server in turn, who goes first alternating, so that a slow minute of the machine hits all.
//! CPU and memory come from the operating system ([`proc`]), load from processes of their own ([`targets`], [`load`]),
//! and every workload checks by query what was stored. Tables go to the terminal and to `docs/perf/` ([`report`]).

mod alerts;
mod fleet;
mod http;
mod load;
mod options;
mod proc;
mod recording;
mod report;
pub mod server;
mod targets;
mod workloads;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Result;

use options::Options;
use report::Section;
use server::Spec;

use crate::run::root;

/// What a workload needs.
pub struct Bench {
    pub options: Options,
    pub specs: Vec<Spec>,
}

/// Tables of the workloads of a name; those that share a load share a function and run once.
type Workload = fn(&Bench) -> Result<Vec<Section>>;

/// Cheap ones first.
const WORKLOADS: &[(&[&str], Workload)] = &[
    (&["scrape-plain"], workloads::scrape::plain),
    (&["scrape-gzip"], workloads::scrape::gzip),
    (&["remote-write"], workloads::write::remote_write),
    (&["wal"], workloads::scrape::wal),
    (&["disk"], workloads::disk::disk),
    (&["memory", "restart"], workloads::memory::memory),
    (&["churn"], workloads::churn::churn),
    (&["read"], workloads::read::read),
    (&["query"], workloads::query::query),
    (&["alerts"], alerts::alerts),
    (&["fleet"], fleet::fleet),
    (&["fleet-kurado"], fleet::kurado),
    (&["fleet-most"], fleet::most),
];

/// `cargo xtask bench WORKLOAD… [--flag value]…`
pub fn main(args: &[String]) -> Result<bool> {
    let known: Vec<&str> = WORKLOADS.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    let options = Options::parse(args, &known)?;
    if cfg!(debug_assertions) {
        // A generator that is not optimised would be what is measured.
        let xtask = server::build("xtask")?;
        return Err(Command::new(xtask).arg("bench").args(args).exec().into());
    }
    let specs = server::specs(&options)?;
    let bench = Bench { options, specs };
    let out = bench.options.text("out").map_or_else(|| root().join("docs/perf/0002-bench.md"), Into::into);
    let shown = [bench.specs.clone(), alerts::peers()].concat();
    let mut failures = Vec::new();
    let is_asked = |name: &&str| bench.options.workloads.iter().any(|asked| asked == *name);
    for (names, workload) in WORKLOADS.iter().filter(|(names, _)| names.iter().any(is_asked)) {
        match workload(&bench) {
            // At once, so that a later workload that fails or is broken off takes nothing away.
            Ok(found) => report::publish(&out, &found, &shown, &bench.options.shown())?,
            Err(err) => failures.push(format!("{}: {err:#}", names.join(" "))),
        }
    }
    println!("\nwritten to {}", out.display());
    for failure in &failures {
        println!("failed: {failure}");
    }
    Ok(failures.is_empty())
}

/// The generator processes, started by workloads and not by people.
pub fn helper(name: &str, args: &[String]) -> Option<Result<bool>> {
    match name {
        "bench-fleet" => Some(fleet::targets::main(args)),
        "bench-send" => Some(load::send::main(args)),
        "bench-targets" => Some(targets::main(args)),
        _ => None,
    }
}
