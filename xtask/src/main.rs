//! The build tool: `cargo xtask test` is the project's test command and all that CI calls.
//!
//! Every stage is a file here; none is a shell script. Stages print what they run, so that each can be repeated by hand.
#![allow(
    clippy::disallowed_methods,
    reason = "a development tool outside the product: it reads files and runs commands"
)]

mod bench;
mod install;
mod judge;
mod run;
mod stages;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>

  test [STAGE…]     everything CI checks: format, lint, tidy, unit, ui, integration; or only the stages named
  tidy              the layer table, module headers, dead files, long functions, links in the documents
  install           the Debian and npm packages that the tests need (as root; otherwise prints the command)
  promqltest DIR    runs every *.test script under DIR
  differential      random expressions asked of Prometheus and ours, or of two servers (--reference URL --target URL); --seed S --count N
  judge             files with random faults, judged by --promtool FILE (3.14) and ours; --seed S --count N --hinomi FILE
  bench WORKLOAD…   side by side with Prometheus: CPU, memory, disk; --quick for a look; see docs/perf/README.md
  fuzz SECONDS      each fuzz target for that long (needs nightly and cargo-fuzz)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let outcome = match args.first().map(String::as_str) {
        Some("test") => stages::test(rest),
        Some("tidy") => tidy::run().map(|report| report.print()),
        Some("install") => install::debian_packages().and_then(|_| install::python_packages()).map(|()| true),
        Some("promqltest") => stages::promqltest(rest),
        Some("differential") => stages::differential(rest),
        Some("judge") => judge::main(rest),
        Some("bench") => bench::main(rest),
        Some("fuzz") => stages::fuzz(rest),
        other => match other.and_then(|name| bench::helper(name, rest)) {
            Some(outcome) => outcome,
            None => {
                eprint!("{USAGE}");
                return ExitCode::from(2);
            }
        },
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("xtask: {err:#}");
            ExitCode::FAILURE
        }
    }
}
