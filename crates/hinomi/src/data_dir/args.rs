//! The command line of `hinomi tsdb`.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use model::TimeRange;

use super::dump::DumpFormat;
use super::from_rules::FromRules;
use super::inspect::Format;
use super::{Selection, bench};
use crate::http::{self, Access};
use crate::import::Kind;

/// What was asked for.
#[derive(Debug)]
pub(crate) enum TsdbCommand {
    /// Take over a Prometheus data directory, or a file of samples with timestamps.
    Import {
        /// Which of them.
        kind: Kind,
        /// Prometheus' folder; or OpenMetrics, or Prometheus text by its name's end `.prom`.
        path: PathBuf,
        /// Ours.
        data_dir: PathBuf,
        /// The server that is to do it.
        server: Option<String>,
        /// How to reach it.
        access: Access,
    },
    /// Write blocks for Prometheus of what recording rules would have written.
    FromRules(FromRules),
    /// Measure how fast samples are stored.
    BenchWrite(bench::Args),
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
        /// As what.
        as_what: DumpFormat,
    },
    /// Take in a file, and list the blocks.
    CreateBlocks {
        /// OpenMetrics; or Prometheus text by its name's end `.prom`.
        file: PathBuf,
        /// For every series.
        labels: Vec<(String, String)>,
        /// Ours.
        data_dir: PathBuf,
        /// Times and sizes for eyes.
        human: bool,
        /// Without the list.
        quiet: bool,
    },
    /// Print what is in the directory.
    List {
        /// Ours.
        data_dir: PathBuf,
        /// Times and sizes for eyes.
        human: bool,
        /// As what.
        format: Format,
    },
    /// Print what blocks are made of.
    Analyze {
        /// Ours.
        data_dir: PathBuf,
        /// Only this block.
        block: Option<String>,
        /// Only these series.
        selector: Option<String>,
        /// Length of lists.
        limit: usize,
        /// With how pages are coded.
        extended: bool,
        /// As what.
        format: Format,
    },
    /// Read everything and say what is damaged.
    Verify {
        /// Ours.
        data_dir: PathBuf,
        /// As what.
        format: Format,
    },
    /// Mend what is damaged.
    Repair {
        /// Ours.
        data_dir: PathBuf,
        /// Only say what would be done.
        dry_run: bool,
        /// As what.
        format: Format,
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

/// The data directory for commands that only look: by the flag, or first as promtool takes it.
fn any_data_dir() -> [Arg; 2] {
    let first = Arg::new("dir")
        .value_name("DIR")
        .help("Data directory; as --storage.tsdb.path")
        .value_parser(clap::value_parser!(PathBuf));
    [first, open_data_dir()]
}

fn open_data_dir() -> Arg {
    data_dir().help("Data directory; a server may be running on it")
}

/// Likewise for commands that need it for themselves.
fn closed_data_dir() -> [Arg; 2] {
    let [first, _] = any_data_dir();
    [first, data_dir()]
}

fn dump_format() -> Arg {
    Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .help("prom: a line for each sample; seriesjson: the labels of each series as JSON")
        .default_value("prom")
        .value_parser(["prom", "seriesjson"])
}

/// Of promtool, which writes there while it reads; nothing is written here.
fn sandbox() -> Arg {
    Arg::new("sandbox-dir-root").long("sandbox-dir-root").value_name("DIR").hide(true)
}

fn format() -> Arg {
    Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .help("table or json")
        .default_value("table")
        .value_parser(["table", "json"])
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// Commands that look at a directory, and the one that mends it.
fn looking() -> [Command; 4] {
    let list = Command::new("list")
        .about("Lists blocks, the log, and what was set aside as damaged")
        .args(any_data_dir())
        .args([switch("human-readable", "Print times and sizes for eyes").short('r'), format()]);
    let analyze = Command::new("analyze")
        .about("Shows what blocks are made of: cardinality, churn, bytes, coding of pages")
        .args(any_data_dir())
        .args([
            Arg::new("block").value_name("BLOCK").help("Name of one block; all blocks together by default"),
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .help("Length of lists")
                .default_value("20")
                .value_parser(clap::value_parser!(usize)),
            Arg::new("match").long("match").value_name("SELECTOR").help("Only series such as {job=\"node\"}"),
            switch("extended", "Also how pages are coded and filled"),
            format(),
        ]);
    let verify = Command::new("verify")
        .about("Reads everything and says what is damaged; ends with 1 then. Changes nothing")
        .args(any_data_dir())
        .arg(format());
    let repair = Command::new("repair")
        .about("Mends what verify finds; what is damaged goes to quarantine/, never away")
        .args([data_dir(), switch("dry-run", "Only say what would be done"), format()]);
    [list, analyze, verify, repair]
}

fn server() -> Arg {
    Arg::new("server")
        .long("server")
        .value_name("URL")
        .help("Let the server at this URL import while it serves; it needs --web.enable-admin-api")
        .conflicts_with("storage.tsdb.path")
}

/// Series and times; the data directory is among the command's own arguments.
fn selection() -> [Arg; 3] {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    [
        text(
            "min-time",
            "TIME",
            "First time, RFC 3339 or Unix seconds (milliseconds from 1e11 on); the oldest sample by default",
        ),
        text("max-time", "TIME", "Last time, likewise; the newest sample by default"),
        text("match", "SELECTOR", "Series selector such as {job=\"node\"}; may be repeated: series that fit any; all series by default")
            .action(ArgAction::Append),
    ]
}

/// `hinomi tsdb` for clap.
#[must_use]
pub(crate) fn command() -> Command {
    let sub = |name: &'static str, about: &'static str| Command::new(name).about(about);
    Command::new("tsdb")
        .about("Works on a data directory: import, export, dump, list, analyze, verify, repair; measures")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            sub("import", "Takes over samples from elsewhere")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(
                    sub("prometheus", "Reads a Prometheus data directory: blocks and log; may be repeated, goes on where it ended")
                        .args([path("from", "DIR", "Prometheus' data directory, of a server that is stopped, or a snapshot"), data_dir(), server(), http::config_file_arg().requires("server")]),
                )
                .subcommand(
                    sub("openmetrics", "Reads a file of samples with timestamps (backfill)")
                        .args([path("file", "FILE", "OpenMetrics; Prometheus text when its name ends in .prom"), data_dir(), server(), http::config_file_arg().requires("server")]),
                ),
        )
        .subcommand(
            sub("export", "Writes blocks that Prometheus and promtool open")
                .arg(path("to", "DIR", "Folder for the blocks; made if it is not there"))
                .arg(open_data_dir())
                .args(selection()),
        )
        .subcommand(
            sub("dump", "Prints samples, one line each: labels, value, milliseconds")
                .args(any_data_dir())
                .args(selection())
                .args([dump_format(), sandbox()])
                .arg(switch("openmetrics", "Print OpenMetrics, as dump-openmetrics").conflicts_with("format")),
        )
        .subcommand(
            sub("dump-openmetrics", "Prints samples as OpenMetrics, as promtool does")
                .args(any_data_dir())
                .args(selection())
                .arg(sandbox()),
        )
        .subcommand(
            sub("create-blocks-from", "Makes blocks from samples elsewhere, as promtool does")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(
                    sub("openmetrics", "Reads a file of samples with timestamps, as import openmetrics does")
                        .args([path("file", "FILE", "OpenMetrics; Prometheus text when its name ends in .prom")])
                        .args(closed_data_dir())
                        .args([
                            Arg::new("label")
                                .long("label")
                                .value_name("NAME=VALUE")
                                .help("Label for every series, repeatable")
                                .action(ArgAction::Append)
                                .value_parser(label),
                            switch("human-readable", "List the blocks with times and sizes for eyes").short('r'),
                            switch("quiet", "Do not list the blocks").short('q'),
                        ]),
                )
                .subcommand(from_rules()),
        )
        .subcommands(looking())
        .subcommand(bench())
}

fn bench() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("N").help(help).default_value(default)
    };
    let write =
        Command::new("write").about("Writes simulated scrapes into a new store and says how fast").args([
            Arg::new("file")
                .value_name("FILE")
                .help("Series to write, a JSON object of labels on each line; made up without one")
                .value_parser(clap::value_parser!(PathBuf)),
            Arg::new("out")
                .long("out")
                .value_name("DIR")
                .help("Empty folder for the store; it stays")
                .default_value("benchout")
                .value_parser(clap::value_parser!(PathBuf)),
            number("metrics", "10000", "Most series").value_parser(clap::value_parser!(u32).range(1..)),
            number("scrapes", "3000", "Samples of each").value_parser(clap::value_parser!(u32).range(1..)),
        ]);
    Command::new("bench")
        .about("Measures this machine")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(write)
}

fn read_bench(sub: &ArgMatches) -> bench::Args {
    let number = |name: &str| sub.get_one::<u32>(name).copied().unwrap_or(1);
    bench::Args {
        out: sub.get_one::<PathBuf>("out").cloned().unwrap_or_default(),
        n_series: usize::try_from(number("metrics")).unwrap_or(usize::MAX),
        n_scrapes: u64::from(number("scrapes")),
        file: sub.get_one::<PathBuf>("file").cloned(),
    }
}

/// `name=value`
fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("it is not of the form NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn from_rules() -> Command {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("rules")
        .about("Asks a server what recording rules would have written; hinomi backfill rules writes it into a Hinomi itself")
        .arg(path("files", "FILE", "Rule file; alerting rules are left out").num_args(1..))
        .args([
            text("url", "URL", "Server to ask").default_value("http://localhost:9090"),
            http::config_file_arg(),
            text("start", "TIME", "From when on, RFC 3339 or Unix seconds").required(true),
            text("end", "TIME", "To when; three hours ago by default"),
            path("output-dir", "DIR", "Folder for the blocks; made if it is not there")
                .long("output-dir")
                .required(false)
                .default_value("data/"),
            text("eval-interval", "DURATION", "For groups that name no interval")
                .default_value("60s")
                .value_parser(|text: &str| text.parse::<model::Duration>().map_err(|err| err.to_string())),
            switch("quiet", "Do not print blocks").short('q'),
            switch("human-readable", "Taken for promtool's sake; times are not printed").short('r').hide(true),
        ])
}

fn read_from_rules(sub: &ArgMatches) -> Result<FromRules, String> {
    let time = |name: &str| {
        let text = sub.get_one::<String>(name);
        text.map(|text| api::parse_time(text).map_err(|why| format!("--{name}: {why}"))).transpose()
    };
    Ok(FromRules {
        files: sub.get_many::<PathBuf>("files").into_iter().flatten().cloned().collect(),
        url: sub.get_one::<String>("url").cloned().unwrap_or_default(),
        access: Access::from_matches(sub),
        start_ms: time("start")?.unwrap_or_default(),
        end_ms: time("end")?,
        to: sub.get_one::<PathBuf>("output-dir").cloned().unwrap_or_default(),
        interval_ms: sub.get_one::<model::Duration>("eval-interval").map_or(60_000, |it| it.as_ms()),
        is_quiet: sub.get_flag("quiet"),
    })
}

fn read_format(sub: &ArgMatches) -> Format {
    match sub.get_one::<String>("format").map(String::as_str) {
        Some("json") => Format::Json,
        _ => Format::Table,
    }
}

/// What clap found. Of commands with commands of their own, the inner one has the directory.
///
/// # Errors
/// What is wrong with a time.
pub(crate) fn parse(matches: &ArgMatches) -> Result<TsdbCommand, String> {
    let (name, sub) = matches.subcommand().expect("clap demands a subcommand");
    let path = |sub: &ArgMatches, name: &str| sub.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let sub = match sub.subcommand().filter(|_| matches!(name, "create-blocks-from" | "bench")) {
        Some(("write", sub)) => return Ok(TsdbCommand::BenchWrite(read_bench(sub))),
        Some(("rules", sub)) => return read_from_rules(sub).map(TsdbCommand::FromRules),
        Some((_, sub)) => sub,
        None => sub,
    };
    let first = sub.try_get_one::<PathBuf>("dir").ok().flatten();
    let by_flag = sub.try_contains_id("storage.tsdb.path").is_ok()
        && sub.value_source("storage.tsdb.path") == Some(ValueSource::CommandLine);
    let data = |sub: &ArgMatches| match first {
        Some(first) if !by_flag => first.clone(),
        _ => path(sub, "storage.tsdb.path"),
    };
    let import = |kind, path, sub: &ArgMatches| {
        let server = sub.get_one::<String>("server").cloned();
        let access = Access::from_matches(sub);
        TsdbCommand::Import { kind, path, data_dir: data(sub), server, access }
    };
    let text = |name: &str| sub.get_one::<String>(name).cloned();
    if by_flag && let Some(first) = first.filter(|_| name != "analyze") {
        return Err(format!("{}: the data directory is named twice, remove one", first.display()));
    }
    Ok(match name {
        "list" => TsdbCommand::List {
            data_dir: data(sub),
            human: sub.get_flag("human-readable"),
            format: read_format(sub),
        },
        "analyze" => TsdbCommand::Analyze {
            data_dir: data(sub),
            // With the flag there is no directory to name first.
            block: text("block")
                .or_else(|| first.filter(|_| by_flag).map(|block| block.display().to_string())),
            selector: text("match"),
            limit: sub.get_one("limit").copied().unwrap_or_default(),
            extended: sub.get_flag("extended"),
            format: read_format(sub),
        },
        "verify" => TsdbCommand::Verify { data_dir: data(sub), format: read_format(sub) },
        "repair" => TsdbCommand::Repair {
            data_dir: data(sub),
            dry_run: sub.get_flag("dry-run"),
            format: read_format(sub),
        },
        "export" => {
            TsdbCommand::ExportPrometheus { to: path(sub, "to"), selection: read_selection(sub, data(sub))? }
        }
        "dump" | "dump-openmetrics" => TsdbCommand::Dump {
            selection: read_selection(sub, data(sub))?,
            as_what: read_dump_format(name, sub),
        },
        "create-blocks-from" => TsdbCommand::CreateBlocks {
            file: path(sub, "file"),
            labels: sub.get_many::<(String, String)>("label").into_iter().flatten().cloned().collect(),
            data_dir: data(sub),
            human: sub.get_flag("human-readable"),
            quiet: sub.get_flag("quiet"),
        },
        _ => match sub.subcommand().expect("clap demands a subcommand") {
            ("openmetrics", sub) => import(Kind::OpenMetrics, path(sub, "file"), sub),
            (_, sub) => import(Kind::Prometheus, path(sub, "from"), sub),
        },
    })
}

fn read_dump_format(name: &str, sub: &ArgMatches) -> DumpFormat {
    if name == "dump-openmetrics" || sub.get_flag("openmetrics") {
        return DumpFormat::OpenMetrics;
    }
    match sub.get_one::<String>("format").map(String::as_str) {
        Some("seriesjson") => DumpFormat::SeriesJson,
        _ => DumpFormat::Lines,
    }
}

/// From this number on a time is in milliseconds, as promtool takes them; as seconds it would be the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

fn read_selection(sub: &ArgMatches, data_dir: PathBuf) -> Result<Selection, String> {
    let time = |name: &str, default: i64| match sub.get_one::<String>(name) {
        Some(text) => match text.parse::<i64>() {
            Ok(t_ms) if t_ms.unsigned_abs() >= MILLISECONDS_FROM.unsigned_abs() => Ok(t_ms),
            _ => api::parse_time(text).map_err(|why| format!("--{name}: {why}")),
        },
        None => Ok(default),
    };
    Ok(Selection {
        data_dir,
        range: TimeRange::new(time("min-time", i64::MIN)?, time("max-time", i64::MAX)?),
        selectors: sub.get_many::<String>("match").into_iter().flatten().cloned().collect(),
    })
}
