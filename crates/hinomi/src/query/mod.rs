//! `hinomi query`: asks a running server over its API and prints what it says, for eyes or for programs.

mod analyze;
mod args;
mod ask;
mod print;
mod spark;
mod table;

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::say;
use args::Kind;

pub(crate) use args::{Format, QueryArgs, command, parse};
pub(crate) use table::csv_line;

/// Asks and prints.
///
/// # Errors
/// When the server cannot be asked, or answers with an error.
pub(crate) fn run(args: &QueryArgs) -> Result<()> {
    let format =
        args.format.unwrap_or(if std::io::stdout().is_terminal() { Format::Table } else { Format::Promql });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.kind == Kind::Analyze {
        return runtime.block_on(analyze::run(args, format));
    }
    let answer = runtime.block_on(ask::ask(args))?;
    if format == Format::Json {
        say(&answer);
        return Ok(());
    }
    let answer = parse_answer(&answer)?;
    let data = &answer["data"];
    match (args.kind, format) {
        (Kind::Series, Format::Promql) => print::series_lines(data),
        (Kind::Series, _) => table::series(data, format),
        (Kind::Labels, _) => print::labels(data, &args.subject, format),
        (_, Format::Promql) => print::result(data),
        _ => table::result(data, format),
    }
    Ok(())
}

/// The answer, whose warnings go to stderr.
fn parse_answer(text: &str) -> Result<Value> {
    let answer: Value = serde_json::from_str(text).context("the server's answer is not JSON")?;
    for key in ["warnings", "infos"] {
        for text in answer[key].as_array().into_iter().flatten().filter_map(Value::as_str) {
            eprintln!("{text}");
        }
    }
    Ok(answer)
}
