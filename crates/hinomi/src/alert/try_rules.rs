//! `hinomi alert try`: alerting rules over what a server has stored.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Arg, ArgGroup, ArgMatches, Command};
use rules::RuleSpec;
use serde_json::Value;
use stdx::{Dir as _, DiskDir};

use super::value;
use crate::admin::{Admin, block_on};
use crate::http::{self, Access};
use crate::query::csv_line;
use crate::say;
use crate::terminal::{Align, Table, bold, roughly, time, yellow};

/// What was asked for.
#[derive(Debug)]
pub(super) struct Args {
    url: String,
    access: Access,
    form: Vec<(&'static str, String)>,
    file: Option<PathBuf>,
    since: String,
    format: String,
}

/// `hinomi alert try` for clap.
pub(super) fn command() -> Command {
    Command::new("try")
        .about(
            "Runs alerting rules over what a server has stored: when would they have fired, and for how long",
        )
        .after_help(
            "hinomi alert try --expr 'node_load1 > 8' --for 5m --since 7d\n\
             hinomi alert try rules.yml --since 30d --format csv",
        )
        .args([
            Arg::new("file")
                .value_name("RULEFILE")
                .help("A rule file; recording rules in it are left out")
                .value_parser(clap::value_parser!(PathBuf)),
            value("expr", "PROMQL", "One expression, in place of a file"),
            value("alert", "NAME", "Name of the alert of --expr").requires("expr"),
            value("for", "DURATION", "How long --expr must hold before it fires").requires("expr"),
            value("keep-firing-for", "DURATION", "How long it goes on firing once --expr no longer holds")
                .requires("expr"),
            value("since", "DURATION", "How far back").default_value("7d"),
            value("end", "TIME", "Until when, RFC 3339 or Unix seconds; now by default"),
            value(
                "interval",
                "DURATION",
                "How often, where the file does not say; the server's evaluation_interval by default",
            ),
            value("format", "FORMAT", "table, json or csv")
                .short('o')
                .default_value("table")
                .value_parser(["table", "json", "csv"]),
            value("server", "URL", "Server that has the samples").default_value(super::URL),
            http::config_file_arg(),
            http::header_arg(),
        ])
        .group(ArgGroup::new("what").args(["file", "expr"]).required(true))
}

/// What clap found.
pub(super) fn parse(matches: &ArgMatches) -> Args {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let names = [
        ("expr", "expr"),
        ("alert", "alert"),
        ("for", "for"),
        ("keep-firing-for", "keep_firing_for"),
        ("since", "since"),
        ("end", "end"),
        ("interval", "interval"),
    ];
    Args {
        url: text("server").unwrap_or_default(),
        access: Access::from_matches(matches),
        form: names.into_iter().filter_map(|(flag, name)| Some((name, text(flag)?))).collect(),
        file: matches.get_one::<PathBuf>("file").cloned(),
        since: text("since").unwrap_or_default(),
        format: text("format").unwrap_or_default(),
    }
}

/// Asks, and prints.
pub(super) fn run(args: &Args) -> Result<()> {
    let (mut form, mut recorded) = (args.form.clone(), Vec::new());
    if let Some(path) = &args.file {
        let shown = path.display();
        let text = DiskDir::anywhere().read(path).with_context(|| format!("cannot read {shown}"))?;
        let text = String::from_utf8(text).with_context(|| format!("{shown} is not UTF-8 text"))?;
        recorded = recording_rules(&text);
        form.extend([("rules", text), ("file", shown.to_string())]);
    }
    let admin = Admin::new(&args.url, &args.access)?.patient();
    let answer = block_on(admin.post("rules/try", &form))?;
    let rules = answer["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    match args.format.as_str() {
        "json" => say(&answer.to_string()),
        "csv" => {
            say(&csv_line(["rule", "labels", "active", "start", "end", "peak"]));
            for (rule, firing) in
                rules.iter().flat_map(|rule| firings(rule).map(move |firing| (rule, firing)))
            {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let times = ["activeAt", "start", "end", "peak"].map(|key| text(&firing[key]));
                say(&csv_line([text(&rule["name"]), labels(&firing["labels"])].into_iter().chain(times)));
            }
        }
        _ => rules.iter().for_each(|rule| print(rule, &args.since)),
    }
    if !recorded.is_empty() {
        eprintln!("{}", left_out(&recorded));
    }
    Ok(())
}

/// Names of the recording rules of a file, once each; the server says what is wrong with a bad one.
fn recording_rules(text: &str) -> Vec<String> {
    let groups = rules::parse_file("", text).unwrap_or_default();
    let all = groups.iter().flat_map(|group| &group.rules);
    let names =
        all.filter(|rule| matches!(rule, RuleSpec::Recording { .. })).map(|rule| rule.name().to_owned());
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

fn left_out(recorded: &[String]) -> String {
    format!(
        "recording rules are not run: {}. Alerts that ask for them see what is stored under these names; `hinomi backfill rules` fills it in",
        recorded.join(", ")
    )
}

fn firings(rule: &Value) -> impl Iterator<Item = &Value> {
    rule["firings"].as_array().into_iter().flatten()
}

fn labels(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten();
    let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
    model::Labels::from_pairs(pairs.filter(|(name, _)| *name != model::alert::ALERT_NAME)).to_string()
}

/// «14 firings in the last 7d, 3m median».
fn headline(rule: &Value, since: &str) -> String {
    let name = rule["name"].as_str().unwrap_or_default();
    let seconds = |key: &str| roughly((rule[key].as_f64().unwrap_or(0.0) * 1e3) as i64);
    match rule["count"].as_u64().unwrap_or(0) {
        0 => format!("{name}: no firing in the last {since}"),
        n => format!(
            "{name}: {n} firing{} in the last {since}, {} median, {} the longest",
            if n == 1 { "" } else { "s" },
            seconds("medianSeconds"),
            seconds("longestSeconds")
        ),
    }
}

fn print(rule: &Value, since: &str) {
    say(&bold(&headline(rule, since)));
    let failed = rule["failed"].as_u64().unwrap_or(0);
    if failed > 0 {
        let why = rule["error"].as_str().unwrap_or_default();
        say(&yellow(&format!("{failed} of {} evaluations failed: {why}", rule["evaluations"])));
    }
    let mut table = Table::new([
        ("START", Align::Left),
        ("LASTED", Align::Right),
        ("PEAK", Align::Right),
        ("LABELS", Align::Left),
    ]);
    for firing in firings(rule) {
        let at = |key: &str| firing[key].as_str().and_then(|at| api::parse_time(at).ok());
        let start_ms = at("start").unwrap_or_default();
        let lasted = at("end").map_or("still".to_owned(), |end_ms| roughly(end_ms - start_ms));
        let peak = firing["peak"].as_str().unwrap_or_default().to_owned();
        table.row([time(start_ms), lasted, peak, labels(&firing["labels"])]);
    }
    if !table.is_empty() {
        table.print();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn recording_rules_are_named_that_are_not_run() {
        let file = "groups: [{name: g, rules: [{record: 'b:x', expr: m}, {record: 'a:x', expr: m}, {record: 'a:x', expr: m, labels: {l: v}}, {alert: A, expr: 'a:x'}]}]";
        let recorded = recording_rules(file);
        assert_eq!(recorded, ["a:x", "b:x"]);
        assert!(left_out(&recorded).starts_with("recording rules are not run: a:x, b:x. "));
        assert!(recording_rules("groups: [").is_empty());
    }

    #[test]
    fn the_headline_says_how_often_and_how_long() {
        let check = |rule: Value, expected: &str| assert_eq!(headline(&rule, "7d"), expected);
        check(
            json!({"name": "Load", "count": 14, "medianSeconds": 180, "longestSeconds": 3600.5}),
            "Load: 14 firings in the last 7d, 3m0s median, 1h0m1s the longest",
        );
        check(
            json!({"name": "Load", "count": 1}),
            "Load: 1 firing in the last 7d, 0s median, 0s the longest",
        );
        check(json!({"name": "Load", "count": 0}), "Load: no firing in the last 7d");
    }
}
