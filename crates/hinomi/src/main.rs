//! The binary: reads flags and file, builds every part, runs and stops them in order.
//!
//! Errors go to stderr; the exit code is 0 when all went well, 1 when not, 2 when the command line is wrong.

mod admin;
mod alert;
mod backfill;
mod build;
mod check;
mod cli;
mod cluster;
mod config;
mod data_dir;
mod debug;
mod flags;
mod http;
mod import;
mod log;
mod maintenance;
mod manager;
mod manager_api;
mod promql_tools;
mod push;
mod query;
mod server;
mod silence;
mod terminal;
mod unit_test;

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::cli::Invocation;

/// Half the time of the C library's for the many small pieces that columns grow by, and its pages go back to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for a wrong command line.
const USAGE: u8 = 2;
/// Exit code for flags of agent mode without it, or the other way round. Prometheus'.
const WRONG_MODE: u8 = 3;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if let Err(err) = flags::refuse_unserved(args.iter().filter_map(|arg| arg.to_str())) {
        return usage(&format!("{err:#}"));
    }
    let invocation = match cli::parse(args) {
        Ok(invocation) => invocation,
        Err(err) if err.kind() == ErrorKind::DisplayVersion => {
            say(&cli::version());
            return ExitCode::SUCCESS;
        }
        Err(err) => {
            let _ = err.print();
            return if err.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let result = match invocation {
        Invocation::Server(values) => {
            if let Err(why) = values.check_mode() {
                eprintln!("error: {why}");
                return ExitCode::from(WRONG_MODE);
            }
            told_time().and_then(|()| server::run(&values))
        }
        Invocation::Manager(values) => told_time().and_then(|()| manager::run(&values)),
        Invocation::Query(args) => query::run(&args),
        Invocation::Tsdb(command) => data_dir::run(&command),
        Invocation::TestRules(args) => unit_test::run(&args),
        Invocation::Alert(args) => return ended(alert::run(&args)),
        Invocation::Promql(args) => promql_tools::run(&args),
        Invocation::Debug(args) => debug::run(&args),
        Invocation::Backfill(args) => backfill::run(&args),
        Invocation::Maintenance(args) => maintenance::run(&args),
        Invocation::Silence(args) => silence::run(&args),
        Invocation::Push(args) => return ended(push::run(&args)),
        Invocation::Check(args) => return ended(check::run(&args)),
    };
    ended(result.map(|()| ExitCode::SUCCESS))
}

/// Nothing can be stored, scheduled or answered while time does not pass: 0 is the least that is known here.
fn told_time() -> anyhow::Result<()> {
    anyhow::ensure!(
        !stdx::SystemClock::new().is_before_1970(),
        "the machine's clock is before 1970; set it, and start again"
    );
    Ok(())
}

fn ended(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|err| {
        eprintln!("error: {err:#}");
        ExitCode::FAILURE
    })
}

fn usage(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(USAGE)
}

/// Exit code of a program whose reader has gone: what a shell says of one that SIGPIPE ended.
const READER_GONE: i32 = 141;

/// A line for the user on stdout. Ends the program when nobody reads any more, as `head` does not after its tenth line.
pub(crate) fn say(line: &str) {
    if let Err(err) = writeln!(std::io::stdout(), "{line}") {
        if err.kind() != std::io::ErrorKind::BrokenPipe {
            eprintln!("error: cannot write to stdout: {err}");
        }
        std::process::exit(READER_GONE);
    }
}

/// An error with its causes on one line.
pub(crate) fn chain(err: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(err.source(), |cause| cause.source());
    causes.fold(err.to_string(), |text, cause| format!("{text}: {cause}"))
}
