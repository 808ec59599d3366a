//! The command line of `hinomi query`.

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::http::{self, Access};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Columns, for eyes.
    Table,
    /// As promtool prints it.
    Promql,
    /// The API's answer.
    Json,
    /// For spreadsheets.
    Csv,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Instant,
    Range,
    Series,
    Labels,
    Analyze,
}

/// One question to a server.
#[derive(Debug)]
pub(crate) struct QueryArgs {
    /// What is asked.
    pub kind: Kind,
    /// `http://localhost:9090`
    pub server: String,
    /// How to reach it.
    pub access: Access,
    /// PromQL; a label's name for [`Kind::Labels`], empty for all names.
    pub subject: String,
    /// Parameters of the API call besides the subject.
    pub params: Vec<(&'static str, String)>,
    /// Range to look at in [`Kind::Analyze`].
    pub duration: String,
    /// `None` when nothing was said: a table on a terminal, promtool's form elsewhere.
    pub format: Option<Format>,
}

fn server() -> Arg {
    Arg::new("server").value_name("URL").help("Server to ask, http://127.0.0.1:9090").required(true)
}

fn formats() -> [Arg; 2] {
    [
        Arg::new("format")
            .long("format")
            .short('o')
            .value_name("FORMAT")
            .help("table, promql, json or csv; table on a terminal, promql elsewhere")
            .value_parser(["table", "promql", "json", "csv"]),
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .help("The same as --format json")
            .conflicts_with("format"),
    ]
}

fn value(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn matchers(help: &'static str) -> Arg {
    value("match", "SELECTOR", help).action(ArgAction::Append)
}

fn sub(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).arg(server()).arg(http::header_arg())
}

/// `hinomi query` for clap.
#[must_use]
pub(crate) fn command() -> Command {
    let expr = || {
        Arg::new("subject")
            .value_name("EXPR")
            .help("PromQL expression")
            .required(true)
            .allow_hyphen_values(true)
    };
    let span = || {
        [
            value("start", "TIME", "RFC 3339 or Unix seconds; everything by default"),
            value("end", "TIME", "RFC 3339 or Unix seconds; everything by default"),
            value("limit", "N", "Most entries"),
        ]
    };
    Command::new("query")
        .about("Asks a running server")
        // Also before the question, as promtool takes them.
        .args(formats().map(|arg| arg.global(true)))
        .arg(http::config_file_arg().global(true))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(sub("instant", "Evaluates an expression at one time").arg(expr()).arg(value(
            "time",
            "TIME",
            "RFC 3339 or Unix seconds; now by default",
        )))
        .subcommand(
            sub(
                "range",
                "Evaluates an expression over a range of time; as a table with a sparkline for each series",
            )
            .arg(expr())
            .arg(value("start", "TIME", "RFC 3339 or Unix seconds; an hour before the end by default"))
            .arg(value("end", "TIME", "RFC 3339 or Unix seconds; now by default"))
            .arg(value("step", "DURATION", "Distance of steps").default_value("1m")),
        )
        .subcommand(
            sub("series", "Lists series")
                .arg(matchers("Series selector, repeatable: series of any of them").required(true))
                .args(span()),
        )
        .subcommand(
            sub("labels", "Lists label names, or the values of one")
                .arg(
                    Arg::new("subject")
                        .value_name("NAME")
                        .help("Label whose values are wanted; all names by default"),
                )
                .arg(matchers("Only of series that match, repeatable"))
                .args(span()),
        )
        .subcommand(analyze())
}

fn analyze() -> Command {
    sub("analyze", "Shows how histograms use their buckets")
        .mut_arg("server", |arg| arg.required(false).required_unless_present("server.url"))
        .arg(
            Arg::new("server.url")
                .long("server")
                .value_name("URL")
                .help("The same as URL, as promtool takes it")
                .conflicts_with("server"),
        )
        .arg(
            matchers("Histograms: the _bucket series of classic ones, or native ones; repeatable")
                .required(true),
        )
        .arg(value("time", "TIME", "Where the range ends, RFC 3339 or Unix seconds; now by default"))
        .arg(value("duration", "DURATION", "Range to look at").default_value("1h"))
        .arg(
            value("type", "TYPE", "histogram is the only one")
                .default_value("histogram")
                .value_parser(["histogram"]),
        )
}

/// What clap found.
#[must_use]
pub(crate) fn parse(sub: &ArgMatches) -> QueryArgs {
    let (name, matches) = sub.subcommand().expect("clap demands a subcommand");
    let text = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
    let (kind, names): (Kind, &[&'static str]) = match name {
        "range" => (Kind::Range, &["start", "end", "step"]),
        "series" => (Kind::Series, &["start", "end", "limit"]),
        "labels" => (Kind::Labels, &["start", "end", "limit"]),
        "analyze" => (Kind::Analyze, &["time"]),
        _ => (Kind::Instant, &["time"]),
    };
    let mut params: Vec<(&'static str, String)> =
        names.iter().filter_map(|name| Some((*name, text(name)?))).collect();
    let selectors = matches.try_get_many::<String>("match").ok().flatten();
    params.extend(selectors.into_iter().flatten().map(|selector| ("match[]", selector.clone())));
    let format = match text("format").as_deref() {
        _ if matches.get_flag("json") => Some(Format::Json),
        Some("table") => Some(Format::Table),
        Some("promql") => Some(Format::Promql),
        Some("json") => Some(Format::Json),
        Some(_) => Some(Format::Csv),
        None => None,
    };
    QueryArgs {
        kind,
        server: text("server").or_else(|| text("server.url")).unwrap_or_default(),
        access: Access::from_matches(matches),
        subject: text("subject").unwrap_or_default(),
        params,
        duration: text("duration").unwrap_or_default(),
        format,
    }
}
