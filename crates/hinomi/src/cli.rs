//! The command line: which command, with which values. Prometheus' style of flags on top of clap.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::alert;
use crate::backfill;
use crate::check::{self, args::CheckArgs};
use crate::data_dir::{self, TsdbCommand};
use crate::debug;
use crate::flags::{self, Flag, IgnoredShape, Kind, Values};
use crate::maintenance;
use crate::manager;
use crate::promql_tools;
use crate::push;
use crate::query::{self, QueryArgs};
use crate::silence;
use crate::unit_test;

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// Run the server.
    Server(Values),
    /// Look at files, or at a server.
    Check(CheckArgs),
    /// Run unit tests of rules.
    TestRules(unit_test::Args),
    /// Ask a server.
    Query(QueryArgs),
    /// Run an Alertmanager alone.
    Manager(Values),
    /// Work on a data directory.
    Tsdb(TsdbCommand),
    /// Evaluate rules over stored history.
    Backfill(backfill::Args),
    /// Ask about alerts.
    Alert(alert::Args),
    /// Send metrics on.
    Push(push::Args),
    /// Make quiet.
    Silence(silence::Args),
    /// Plan quiet.
    Maintenance(maintenance::Args),
    /// Format and edit queries.
    Promql(promql_tools::Args),
    /// Fetch what helps others help.
    Debug(debug::Args),
}

const ABOUT: &str =
    "Watches machines and services: collects, stores, queries, alerts and shows, from one binary.";

const SERVER_ABOUT: &str =
    "Runs the server: scrape, store, query, rules, Alertmanager, web page, this host's own metrics";

const MANAGER_ABOUT: &str =
    "Runs an Alertmanager alone: groups, inhibits, silences, routes and notifies what others send";

const AFTER_HELP: &str = "Without a command, hinomi is hinomi server.\nThe first start needs nothing else: run it and open http://127.0.0.1:9090";

/// The whole command line.
#[must_use]
pub(crate) fn command() -> Command {
    let files = |what: &'static str| {
        Arg::new("files")
            .value_name("FILE")
            .help(what)
            .num_args(1..)
            .required(true)
            .value_parser(clap::value_parser!(PathBuf))
    };
    Command::new("hinomi")
        .about(ABOUT)
        .after_help(AFTER_HELP)
        .version(crate::build::VERSION)
        .disable_help_subcommand(true)
        .args_conflicts_with_subcommands(true)
        .subcommand_precedence_over_arg(true)
        .args(args_of(SERVER))
        .subcommand(server_command())
        .subcommand(manager_command())
        .subcommand(check::args::command().arg(enable_feature()))
        .subcommand(test_command(files("Unit test file, in promtool's format")))
        .subcommand(query::command().arg(enable_feature()))
        .subcommand(data_dir::command().arg(enable_feature()))
        .subcommand(backfill::command().arg(enable_feature()))
        .subcommand(push::command().arg(enable_feature()))
        .subcommand(silence::command())
        .subcommand(maintenance::command())
        .subcommand(alert::command())
        .subcommand(promql_tools::command().arg(enable_feature()))
        .subcommand(debug::command().arg(enable_feature()))
}

fn server_command() -> Command {
    Command::new("server").about(SERVER_ABOUT).args(args_of(SERVER))
}

fn manager_command() -> Command {
    Command::new("alertmanager").about(MANAGER_ABOUT).args(args_of(MANAGER))
}

/// Flags of a command that serves: those of its table, and those that have no effect.
type Table = (&'static [Flag], &'static [(&'static str, IgnoredShape, &'static str)]);

const SERVER: Table = (flags::SERVER, flags::IGNORED);
const MANAGER: Table = (manager::flags::MANAGER, manager::flags::IGNORED);

/// `--enable-feature` of promtool: scripts give it. What it switches on there is always on, but for names that go at the end.
fn enable_feature() -> Arg {
    Arg::new("enable-feature").long("enable-feature").action(ArgAction::Append).global(true).hide(true)
}

fn test_command(files: Arg) -> Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("test")
        .about("Runs unit tests")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(enable_feature())
        .arg(
            Arg::new("junit")
                .long("junit")
                .value_name("FILE")
                .global(true)
                .help("Write the results as JUnit XML")
                .value_parser(clap::value_parser!(PathBuf)),
        )
        .subcommand(
            Command::new("rules").about("Runs unit tests of rules").args([
                files,
                Arg::new("run")
                    .long("run")
                    .value_name("REGEX")
                    .action(ArgAction::Append)
                    .help("Only tests whose name matches, repeatable"),
                switch("diff", "Show differences line by line"),
                switch("debug", "Show what the tests hold"),
                switch("ignore-unknown-fields", "Read over keys of rule files that are not known"),
            ]),
        )
}

/// The arguments for every flag; a switch has two, one hidden.
fn args_of((table, ignored): Table) -> Vec<Arg> {
    let mut args = Vec::new();
    for flag in table {
        let default = match flag.default {
            "" | "false" => String::new(),
            default => format!(" [default: {default}]"),
        };
        let arg = Arg::new(flag.name).long(flag.name).help(format!("{}{default}", flag.help));
        match flag.kind {
            Kind::Switch => {
                let no = no_name(flag);
                args.push(
                    Arg::new(no).long(no).hide(true).action(ArgAction::SetTrue).overrides_with(flag.name),
                );
                args.push(arg.action(ArgAction::SetTrue).overrides_with(no));
            }
            Kind::Value(name) => args.push(arg.value_name(name).action(ArgAction::Set)),
            Kind::Repeated(name) => args.push(arg.value_name(name).action(ArgAction::Append)),
        }
    }
    args.extend(ignored.iter().flat_map(ignored_args));
    args
}

/// A flag of Prometheus' that has no effect here. Not in the help: its warning at the start says all there is.
fn ignored_args((name, shape, _): &(&'static str, IgnoredShape, &str)) -> Vec<Arg> {
    let arg = Arg::new(*name).long(*name).hide(true);
    match shape {
        IgnoredShape::Value => vec![arg.action(ArgAction::Append)],
        // Old ones were given with a value, too: --auto-gomaxprocs=false.
        IgnoredShape::Switch(no) => {
            let switch = |arg: Arg| {
                arg.action(ArgAction::Append)
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
            };
            vec![switch(arg), switch(Arg::new(*no).long(*no).hide(true))]
        }
    }
}

/// `no-x` for a switch; made once for each of the few switches.
fn no_name(flag: &Flag) -> &'static str {
    match flag.name {
        "agent" => "no-agent",
        "config.auto-reload" => "no-config.auto-reload",
        "web.enable-lifecycle" => "no-web.enable-lifecycle",
        "web.enable-admin-api" => "no-web.enable-admin-api",
        "web.enable-remote-write-receiver" => "no-web.enable-remote-write-receiver",
        "web.enable-otlp-receiver" => "no-web.enable-otlp-receiver",
        "web.enable-influx-receiver" => "no-web.enable-influx-receiver",
        "web.enable-pushgateway" => "no-web.enable-pushgateway",
        "log.silences" => "no-log.silences",
        name => unreachable!("switch {name} has no negative form in the table"),
    }
}

/// The arguments with the command's word first, where flags stand before it: scripts for promtool give `--enable-feature` there. Which of
/// them the command has, its own reading says.
fn command_first(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let mut at = 1;
    while let Some(flag) = args.get(at).and_then(|arg| arg.to_str()).and_then(|arg| arg.strip_prefix("--")) {
        if matches!(flag, "" | "help" | "version") {
            return args;
        }
        at += if takes_next(flag) { 2 } else { 1 };
    }
    let is_command = |word: &str| command().find_subcommand(word).is_some();
    if at > 1 && args.get(at).and_then(|arg| arg.to_str()).is_some_and(is_command) {
        args[1..=at].rotate_right(1);
    }
    args
}

/// Whether the value of this flag is the argument behind it.
fn takes_next(flag: &str) -> bool {
    let is_value = |of: &&Flag| of.name == flag && of.kind != Kind::Switch;
    let ignored = || flags::IGNORED.iter().chain(manager::flags::IGNORED);
    [flags::SERVER, manager::flags::MANAGER].into_iter().flatten().any(|of| is_value(&of))
        || ignored().any(|(name, shape, _)| *name == flag && matches!(shape, IgnoredShape::Value))
}

/// Reads the command line.
///
/// # Errors
/// clap's, which prints itself: also for `--help` and `--version`.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(command_first(args))?;
    Ok(match matches.subcommand() {
        Some(("server", sub)) => Invocation::Server(values(SERVER, sub)),
        Some(("alertmanager", sub)) => Invocation::Manager(values(MANAGER, sub)),
        Some(("check", sub)) => Invocation::Check(check::args::parse(sub)),
        Some(("test", sub)) => Invocation::TestRules(test_args(sub)),
        Some(("backfill", sub)) => Invocation::Backfill(backfill::parse(sub)),
        Some(("push", sub)) => Invocation::Push(push::parse(sub).map_err(|why| refused(&matches, why))?),
        Some(("maintenance", sub)) => {
            Invocation::Maintenance(maintenance::parse(sub).map_err(|why| refused(&matches, why))?)
        }
        Some(("silence", sub)) => {
            Invocation::Silence(silence::parse(sub).map_err(|why| refused(&matches, why))?)
        }
        Some(("alert", sub)) => Invocation::Alert(alert::parse(sub).map_err(|why| refused(&matches, why))?),
        Some(("query", sub)) => Invocation::Query(query::parse(sub)),
        Some(("promql", sub)) => Invocation::Promql(promql_tools::parse(sub)),
        Some(("debug", sub)) => Invocation::Debug(debug::parse(sub)),
        Some(("tsdb", sub)) => Invocation::Tsdb(data_dir::parse(sub).map_err(|why| refused(&matches, why))?),
        _ => Invocation::Server(values(SERVER, &matches)),
    })
}

/// A value that clap took and its command does not, with the usage of that command.
fn refused(matches: &ArgMatches, why: String) -> clap::Error {
    let mut all = command();
    all.build();
    let (mut found, mut given) = (&mut all, matches);
    while let Some((name, below)) = given.subcommand() {
        found = found.find_subcommand_mut(name).expect("clap found it");
        given = below;
    }
    found.error(clap::error::ErrorKind::ValueValidation, why)
}

fn test_args(sub: &ArgMatches) -> unit_test::Args {
    let (_, sub) = sub.subcommand().expect("clap demands a subcommand");
    unit_test::Args {
        files: paths(sub),
        run: sub.get_many::<String>("run").into_iter().flatten().cloned().collect(),
        diff: sub.get_flag("diff"),
        debug: sub.get_flag("debug"),
        junit: sub.get_one::<PathBuf>("junit").cloned(),
        ignore_unknown_fields: sub.get_flag("ignore-unknown-fields"),
        delayed_name_removal: {
            let mut names = sub.get_many::<String>("enable-feature").into_iter().flatten();
            names.any(|list| list.split(',').any(|name| name == "promql-delayed-name-removal"))
        },
    }
}

fn values((table, ignored): Table, matches: &ArgMatches) -> Values {
    let is_given = |name: &str| {
        let given = |id: &str| matches.try_contains_id(id).unwrap_or(false);
        given(name) || given(&format!("no-{name}"))
    };
    let names = ignored.iter().map(|(name, ..)| *name).filter(|name| is_given(name)).collect();
    let warnings = flags::ignored_warnings(ignored, is_given);
    Values::new(table, (warnings, names), |flag| match flag.kind {
        Kind::Switch => Some(vec![matches.get_flag(flag.name).to_string()]),
        Kind::Value(_) | Kind::Repeated(_) => {
            matches.get_many::<String>(flag.name).map(|values| values.cloned().collect())
        }
    })
}

fn paths(matches: &ArgMatches) -> Vec<PathBuf> {
    matches.get_many("files").map(|files| files.cloned().collect()).unwrap_or_default()
}

/// `hinomi, version 0.1.0 (branch: main, revision: 1234abcd)`, as Prometheus words it.
#[must_use]
pub(crate) fn version() -> String {
    let (version, branch, revision) = (crate::build::VERSION, crate::build::BRANCH, crate::build::REVISION);
    format!("hinomi, version {version} (branch: {branch}, revision: {revision})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_value_is_told_with_the_usage_of_its_command() {
        let check = |line: &[&str], expected: [&str; 2]| {
            let told = parse(line.iter().map(OsString::from)).expect_err("refused").to_string();
            assert!(expected.iter().all(|part| told.contains(part)), "{told}");
        };
        check(
            &["hinomi", "alert", "snooze", "A", "--author", "k", "--for", "soon"],
            ["--for: not a valid", "Usage: hinomi alert snooze"],
        );
        check(&["hinomi", "alert", "explain", "=x"], ["NAME=VALUE", "Usage: hinomi alert explain"]);
    }

    #[test]
    fn flags_may_stand_before_the_command() {
        let check = |line: &str, expected: &str| {
            let args = line.split_whitespace().map(OsString::from);
            assert_eq!(command_first(args).join(" ".as_ref()), *expected, "{line}");
        };
        check("hinomi", "hinomi");
        check("hinomi server --log.level=debug", "hinomi server --log.level=debug");
        check("hinomi --log.level=debug server", "hinomi server --log.level=debug");
        check("hinomi --log.level debug --x server --y", "hinomi server --log.level debug --x --y");
        check("hinomi --web.page-title server", "hinomi --web.page-title server");
        check("hinomi --enable-feature a,b test rules f", "hinomi test --enable-feature a,b rules f");
        check("hinomi --storage.path=d alertmanager", "hinomi alertmanager --storage.path=d");
        check("hinomi --help server", "hinomi --help server");
        check("hinomi --web.enable-lifecycle nonsense", "hinomi --web.enable-lifecycle nonsense");
    }
}
