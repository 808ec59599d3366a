//! `hinomi alert`: what happened to alerts, what would happen, and who has them.
//!
//! In: the command line; out to the API of a running manager, alone or inside a server, and to the terminal.

mod explain;
mod hands;
mod history;
mod test;
mod try_rules;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Arg, ArgMatches, Command};

use crate::http::{self, Access};
use crate::manager_api::{self, Manager};

pub(crate) use hands::{author, until};
pub(crate) use history::{about_labels, filters};

/// Where a server listens when nothing is said.
const URL: &str = "http://localhost:9090";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    url: String,
    access: Access,
    what: What,
}

#[derive(Debug)]
enum What {
    History(history::Args),
    Explain(explain::Args),
    Test(test::Args),
    Try(try_rules::Args),
    Hands(hands::Args),
}

/// `hinomi alert` for clap.
pub(crate) fn command() -> Command {
    Command::new("alert")
        .about("Asks about alerts: what happened to them, and what would; takes them in hand")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(asking(history::command()))
        .subcommand(asking(explain::command()))
        .subcommand(asking(test::command()))
        .subcommand(try_rules::command())
        .subcommands(hands::commands().map(asking))
}

/// With the flags that say which manager, and who asks.
fn asking(command: Command) -> Command {
    command.args([manager_api::url_arg(), http::config_file_arg(), http::header_arg()])
}

/// What clap found.
///
/// # Errors
/// What is wrong with a value.
pub(crate) fn parse(sub: &ArgMatches) -> Result<Args, String> {
    let (name, matches) = sub.subcommand().expect("clap demands a subcommand");
    let what = match name {
        "explain" => What::Explain(explain::parse(matches)?),
        "test" => What::Test(test::parse(matches)?),
        "try" => What::Try(try_rules::parse(matches)),
        "ack" | "unack" | "snooze" => What::Hands(hands::parse(name, matches)?),
        _ => What::History(history::parse(matches)?),
    };
    let url = matches.try_get_one::<String>("alertmanager.url").ok().flatten().cloned().unwrap_or_default();
    Ok(Args { url, access: Access::from_matches(matches), what })
}

/// Does it.
///
/// # Errors
/// When the manager cannot be asked, or refuses.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let manager = || Manager::new(&args.url, &args.access);
    match &args.what {
        What::History(args) => history::run(&manager()?, args)?,
        What::Hands(args) => hands::run(&manager()?, args)?,
        What::Explain(args) => explain::run(manager, args)?,
        What::Test(args) => return test::run(&manager()?, args),
        What::Try(args) => try_rules::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Labels on the command line.
fn labels_arg(help: &'static str) -> Arg {
    Arg::new("labels").value_name("NAME=VALUE").num_args(0..).help(help)
}

/// What clap found of them; a word alone is the alert's name.
fn labels_of(matches: &ArgMatches) -> Result<model::Labels, String> {
    let mut labels = std::collections::BTreeMap::new();
    for text in matches.get_many::<String>("labels").into_iter().flatten() {
        let (name, value) = text.split_once('=').unwrap_or((model::alert::ALERT_NAME, text));
        if name.is_empty() || value.is_empty() {
            return Err(format!("label {text:?} is not of the form NAME=VALUE"));
        }
        let is_quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
        let value = if is_quoted { &value[1..value.len() - 1] } else { value };
        if labels.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("label {name:?} is given twice"));
        }
    }
    Ok(model::Labels::from_pairs(labels))
}

/// A flag with a value.
fn value(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}
