//! The command line of `hinomi check`: promtool's flags.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use model::Duration;

use crate::flags::Features;
use crate::http::{self, Access};

/// What to check.
#[derive(Debug)]
pub(crate) enum CheckArgs {
    Config(Config),
    Rules(Rules),
    Alertmanager { files: Vec<PathBuf>, features: Vec<String>, is_json: bool },
    WebConfig { files: Vec<PathBuf>, is_json: bool },
    Metrics(Metrics),
    Discovery(Discovery),
    Server { path: &'static str, url: String, access: Access },
}

/// `check service-discovery`
#[derive(Debug)]
pub(crate) struct Discovery {
    pub(super) file: PathBuf,
    pub(super) job: String,
    pub(super) timeout: std::time::Duration,
    pub(super) timeout_text: String,
}

/// `check config`
#[derive(Debug)]
pub(crate) struct Config {
    pub(super) files: Vec<PathBuf>,
    pub(super) is_syntax_only: bool,
    /// As an agent would read it.
    pub(super) is_agent: bool,
    /// What rules may use.
    pub(super) language: promql::Features,
    pub(super) ignores_unknown: bool,
    pub(super) lint: Lint,
    pub(super) is_json: bool,
}

/// `check rules`
#[derive(Debug)]
pub(crate) struct Rules {
    /// None for standard input.
    pub(super) files: Vec<PathBuf>,
    /// What rules may use.
    pub(super) language: promql::Features,
    pub(super) ignores_unknown: bool,
    pub(super) lint: Lint,
    pub(super) is_json: bool,
}

/// `check metrics`
#[derive(Debug)]
pub(crate) struct Metrics {
    /// None for standard input.
    pub(super) files: Vec<PathBuf>,
    pub(super) is_lint: bool,
    pub(super) is_extended: bool,
    pub(super) is_json: bool,
}

/// `--lint` and `--lint-fatal`
#[derive(Debug, Default)]
pub(crate) struct Lint {
    pub(super) duplicate_rules: bool,
    /// Intervals of this length and more are odd.
    pub(super) too_long_beyond: Option<Duration>,
    pub(super) is_fatal: bool,
}

/// `hinomi check` for clap.
#[must_use]
pub(crate) fn command() -> Command {
    Command::new("check")
        .about("Checks files, or a server, without changing anything")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("config")
                .about("Checks configuration files and the files they name")
                .arg(files("Prometheus configuration file").required(true))
                .arg(switch("agent", "Also refuse what agent mode does not take"))
                .arg(switch("syntax-only", "Only the file itself, not the files it names"))
                .arg(lint("duplicate-rules, too-long-scrape-interval, all or none, with commas between"))
                .arg(switch("lint-fatal", "End with 3 when something is odd"))
                .arg(
                    Arg::new("query.lookback-delta")
                        .long("query.lookback-delta")
                        .value_name("DURATION")
                        .help("The server's; intervals of this length and more are too long")
                        .default_value("5m")
                        .value_parser(|text: &str| text.parse::<Duration>().map_err(|err| err.to_string())),
                )
                .args([ignore_unknown(), format()]),
        )
        .subcommand(
            Command::new("rules")
                .about("Checks rule files, or one on standard input")
                .arg(files("Rule file; standard input without one"))
                .arg(lint("duplicate-rules, all or none"))
                .arg(switch("lint-fatal", "End with 3 when something is odd"))
                .args([ignore_unknown(), format()]),
        )
        .subcommand(
            Command::new("alertmanager")
                .about("Checks Alertmanager files and the templates they name")
                .arg(files("Alertmanager configuration file").required(true))
                .arg(format()),
        )
        .subcommand(
            Command::new("web-config")
                .about("Checks web configuration files and the certificates they name")
                .arg(files("Web configuration file, as for --web.config.file").required(true))
                .arg(format()),
        )
        .subcommand(
            Command::new("metrics")
                .about(
                    "Checks a metrics page on standard input, or in files, for names and types that surprise",
                )
                .arg(files("Metrics page in text format; standard input without one"))
                .arg(lint("all or none").default_value("all"))
                .arg(switch("extended", "Show how many series each metric has"))
                .arg(format()),
        )
        .subcommand(service_discovery())
        .subcommand(probe("healthy", "Asks whether a server is up"))
        .subcommand(probe("ready", "Asks whether a server is ready to answer queries"))
}

fn service_discovery() -> Command {
    Command::new("service-discovery")
        .about("Finds the targets of a job as the server would, and prints them before and after relabelling")
        .arg(
            Arg::new("file")
                .value_name("CONFIG")
                .help("Prometheus configuration file")
                .required(true)
                .value_parser(clap::value_parser!(PathBuf)),
        )
        .arg(Arg::new("job").value_name("JOB").help("Name of the job").required(true))
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("DURATION")
                .help("How long services may take; it ends sooner once all have answered")
                .default_value("30s")
                .value_parser(|text: &str| text.parse::<Duration>().map_err(|err| err.to_string())),
        )
}

fn probe(name: &'static str, about: &'static str) -> Command {
    let url = Arg::new("url").long("url").value_name("URL").help("Server to ask");
    Command::new(name)
        .about(about)
        .arg(url.default_value("http://localhost:9090"))
        .args([http::config_file_arg(), http::header_arg()])
}

fn files(help: &'static str) -> Arg {
    let files = Arg::new("files").value_name("FILE").help(help).num_args(1..);
    files.value_parser(clap::value_parser!(PathBuf))
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn ignore_unknown() -> Arg {
    switch("ignore-unknown-fields", "Read over keys of rule files that are not known")
}

fn lint(help: &'static str) -> Arg {
    Arg::new("lint").long("lint").value_name("CHECKS").help(help).default_value("duplicate-rules")
}

fn format() -> Arg {
    let format = Arg::new("format").long("format").value_name("FORMAT").help("text or json");
    format.value_parser(["text", "json"]).default_value("text")
}

/// What clap found.
pub(crate) fn parse(sub: &ArgMatches) -> CheckArgs {
    let (name, matches) = sub.subcommand().expect("clap demands a subcommand");
    let files = || {
        let files = matches.get_many::<PathBuf>("files").into_iter().flatten();
        files.cloned().collect::<Vec<_>>()
    };
    let features = || {
        let features = matches.get_many::<String>("enable-feature").into_iter().flatten();
        features.cloned().collect::<Vec<_>>()
    };
    let is_json = || matches.get_one::<String>("format").is_some_and(|format| format == "json");
    match name {
        "rules" => CheckArgs::Rules(Rules {
            files: files(),
            language: language(&features()),
            ignores_unknown: matches.get_flag("ignore-unknown-fields"),
            lint: parse_lint(matches),
            is_json: is_json(),
        }),
        "alertmanager" => {
            CheckArgs::Alertmanager { files: files(), features: features(), is_json: is_json() }
        }
        "web-config" => CheckArgs::WebConfig { files: files(), is_json: is_json() },
        "metrics" => CheckArgs::Metrics(Metrics {
            files: files(),
            is_lint: matches.get_one::<String>("lint").is_none_or(|lint| lint != "none"),
            is_extended: matches.get_flag("extended"),
            is_json: is_json(),
        }),
        "service-discovery" => {
            let timeout = matches.get_one::<Duration>("timeout").copied().unwrap_or(Duration::ZERO);
            CheckArgs::Discovery(Discovery {
                file: matches.get_one::<PathBuf>("file").cloned().unwrap_or_default(),
                job: matches.get_one::<String>("job").cloned().unwrap_or_default(),
                timeout: timeout.as_std(),
                timeout_text: timeout.to_string(),
            })
        }
        "healthy" | "ready" => CheckArgs::Server {
            path: if name == "ready" { "/-/ready" } else { "/-/healthy" },
            url: matches.get_one::<String>("url").cloned().unwrap_or_default(),
            access: Access::from_matches(matches),
        },
        _ => CheckArgs::Config(Config {
            files: files(),
            is_syntax_only: matches.get_flag("syntax-only"),
            is_agent: matches.get_flag("agent"),
            language: language(&features()),
            ignores_unknown: matches.get_flag("ignore-unknown-fields"),
            lint: parse_lint(matches),
            is_json: is_json(),
        }),
    }
}

/// Names that are not of the language are for other commands of the same script.
fn language(features: &[String]) -> promql::Features {
    Features::parse(features).map(|(features, _)| features.language).unwrap_or_default()
}

fn parse_lint(matches: &ArgMatches) -> Lint {
    let mut lint = Lint { is_fatal: matches.get_flag("lint-fatal"), ..Lint::default() };
    let lookback = matches.try_get_one::<Duration>("query.lookback-delta").ok().flatten().copied();
    let options: Vec<&str> =
        matches.get_one::<String>("lint").map(|list| list.split(',').collect()).unwrap_or_default();
    for option in &options {
        match *option {
            "all" => {
                lint.duplicate_rules = true;
                lint.too_long_beyond = lookback;
            }
            "duplicate-rules" => lint.duplicate_rules = true,
            "too-long-scrape-interval" if lookback.is_some() => lint.too_long_beyond = lookback,
            "none" | "" => {}
            other => eprintln!("warning: --lint: there is no check {other:?}"),
        }
    }
    if options.contains(&"none") {
        return Lint { is_fatal: lint.is_fatal, ..Lint::default() };
    }
    lint
}
