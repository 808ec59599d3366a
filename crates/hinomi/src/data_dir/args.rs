//! The command line of `hinomi tsdb`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use model::TimeRange;

use super::Selection;

/// What was asked for.
#[derive(Debug)]
pub(crate) enum TsdbCommand {
    /// Take over a Prometheus data directory.
    ImportPrometheus {
        /// Prometheus' folder.
        from: PathBuf,
        /// Ours.
        data_dir: PathBuf,
    },
    /// Take in a file of samples with timestamps.
    ImportText {
        /// OpenMetrics, or Prometheus text by its name's end `.prom`.
        file: PathBuf,
        /// Ours.
        data_dir: PathBuf,
    },
    /// Write blocks for Prometheus.
    ExportPrometheus {
        /// A folder, made if it is not there.
        to: PathBuf,
        /// Of what.
        selection: Selection,
    },
    /// Print samples.
    Dump {
        /// Of what.
        selection: Selection,
        /// As OpenMetrics rather than one line a sample.
        as_openmetrics: bool,
    },
}

fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(value).help(help).required(true).value_parser(clap::value_parser!(PathBuf))
}

fn data_dir() -> Arg {
    Arg::new("storage.tsdb.path")
        .long("storage.tsdb.path")
        .value_name("DIR")
        .help("Data directory; no server may be running on it")
        .default_value("data")
        .value_parser(clap::value_parser!(PathBuf))
}

fn selection() -> [Arg; 4] {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    [
        data_dir(),
        text("min-time", "TIME", "First time, RFC 3339 or Unix seconds; the oldest sample by default"),
        text("max-time", "TIME", "Last time, likewise; the newest sample by default"),
        text("match", "SELECTOR", "Series selector such as {job=\"node\"}; all series by default"),
    ]
}

/// `hinomi tsdb` for clap.
#[must_use]
pub(crate) fn command() -> Command {
    let sub = |name: &'static str, about: &'static str| Command::new(name).about(about);
    Command::new("tsdb")
        .about("Works on a data directory: import, export, dump")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            sub("import", "Takes over samples from elsewhere")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(
                    sub("prometheus", "Reads a Prometheus data directory: blocks and log; may be repeated, goes on where it ended")
                        .args([path("from", "DIR", "Prometheus' data directory, of a server that is stopped, or a snapshot"), data_dir()]),
                )
                .subcommand(
                    sub("openmetrics", "Reads a file of samples with timestamps (backfill)")
                        .args([path("file", "FILE", "OpenMetrics; Prometheus text when its name ends in .prom"), data_dir()]),
                ),
        )
        .subcommand(
            sub("export", "Writes blocks that Prometheus and promtool open")
                .arg(path("to", "DIR", "Folder for the blocks; made if it is not there"))
                .args(selection()),
        )
        .subcommand(
            sub("dump", "Prints samples, one line each: labels, value, milliseconds")
                .args(selection())
                .arg(Arg::new("openmetrics").long("openmetrics").action(ArgAction::SetTrue).help("Print OpenMetrics")),
        )
}

/// What clap found.
///
/// # Errors
/// What is wrong with a time.
pub(crate) fn parse(matches: &ArgMatches) -> Result<TsdbCommand, String> {
    let (name, sub) = matches.subcommand().expect("clap demands a subcommand");
    let path = |sub: &ArgMatches, name: &str| sub.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let data = |sub: &ArgMatches| path(sub, "storage.tsdb.path");
    Ok(match name {
        "export" => TsdbCommand::ExportPrometheus { to: path(sub, "to"), selection: read_selection(sub)? },
        "dump" => {
            TsdbCommand::Dump { selection: read_selection(sub)?, as_openmetrics: sub.get_flag("openmetrics") }
        }
        _ => match sub.subcommand().expect("clap demands a subcommand") {
            ("openmetrics", sub) => TsdbCommand::ImportText { file: path(sub, "file"), data_dir: data(sub) },
            (_, sub) => TsdbCommand::ImportPrometheus { from: path(sub, "from"), data_dir: data(sub) },
        },
    })
}

fn read_selection(sub: &ArgMatches) -> Result<Selection, String> {
    let time = |name: &str, default: i64| match sub.get_one::<String>(name) {
        Some(text) => api::parse_time(text).map_err(|why| format!("--{name}: {why}")),
        None => Ok(default),
    };
    Ok(Selection {
        data_dir: sub.get_one::<PathBuf>("storage.tsdb.path").cloned().unwrap_or_default(),
        range: TimeRange::new(time("min-time", i64::MIN)?, time("max-time", i64::MAX)?),
        selector: sub.get_one::<String>("match").cloned(),
    })
}
