//! `hinomi alert ack|unack|snooze`: who has which alert.

use anyhow::{Result, bail};
use axum::http::Method;
use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};
use stdx::{Clock as _, SystemClock};

use super::history::{about_labels, filters};
use super::value;
use crate::admin::block_on;
use crate::manager_api::Manager;
use crate::say;

/// What was asked for.
#[derive(Debug)]
pub(super) struct Args {
    path: &'static str,
    verb: &'static str,
    body: Value,
    is_json: bool,
}

/// `hinomi alert ack`, `unack` and `snooze` for clap.
pub(super) fn commands() -> [Command; 3] {
    let command = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).args([
            Arg::new("matchers")
                .value_name("MATCHER")
                .num_args(1..)
                .required(true)
                .help("Alerts that match all of these: severity=page, instance=~\"web.*\"; a word alone is an alert's name"),
            value("author", "NAME", "Who says so; without it the user name of the shell"),
            value("comment", "TEXT", "Why, or what is being done").default_value(""),
            value("format", "FORMAT", "text or json").short('o').default_value("text").value_parser(["text", "json"]),
        ])
    };
    [
        command(
            "ack",
            "Acknowledges alerts that fire: they are not told again until they end or are given back",
        ),
        command("unack", "Gives alerts back: those that fire are told again"),
        command("snooze", "Acknowledges alerts until a time; those that still fire are told again then")
            .args([
                value("for", "DURATION", "How long: 30m, 2h").required_unless_present("until"),
                value("until", "TIME", "Until when, RFC 3339 or Unix seconds").conflicts_with("for"),
            ]),
    ]
}

/// What clap found; `name` is the command's.
pub(super) fn parse(name: &str, matches: &ArgMatches) -> Result<Args, String> {
    let mut matchers: Vec<String> = Vec::new();
    for text in matches.get_many::<String>("matchers").into_iter().flatten() {
        matchers.extend(filters(text)?);
    }
    let author = author(matches)?;
    let is_json = matches.get_one::<String>("format").is_some_and(|format| format == "json");
    let mut body = json!({"matchers": matchers, "createdBy": author});
    body["comment"] = json!(matches.get_one::<String>("comment"));
    if name == "snooze" {
        body["endsAt"] = json!(until(matches)?);
    }
    let (path, verb) = match name {
        "unack" => ("acknowledgements/end", "given back"),
        "snooze" => ("acknowledgements", "snoozed"),
        _ => ("acknowledgements", "acknowledged"),
    };
    Ok(Args { path, verb, body, is_json })
}

/// `--author`, or who is logged in.
pub(crate) fn author(matches: &ArgMatches) -> Result<String, String> {
    let author = matches.get_one::<String>("author").cloned().or_else(|| std::env::var("USER").ok());
    let author = author.filter(|author| !author.trim().is_empty());
    author.ok_or_else(|| "--author is needed: who says so".to_owned())
}

/// `--for` from now on, or `--until`, as the API takes it.
pub(crate) fn until(matches: &ArgMatches) -> Result<String, String> {
    let until_ms = match matches.get_one::<String>("for") {
        Some(text) => {
            let length = text.parse::<model::Duration>().map_err(|why| format!("--for: {why}"))?;
            SystemClock::new().now_ms().saturating_add(length.as_ms())
        }
        None => {
            let text = matches.get_one::<String>("until").map_or("", String::as_str);
            api::parse_time(text).map_err(|why| format!("--until: {why}"))?
        }
    };
    let until = jiff::Timestamp::from_millisecond(until_ms).map_err(|why| format!("--until: {why}"))?;
    Ok(until.to_string())
}

/// Says it, and prints about which alerts.
pub(super) fn run(manager: &Manager, args: &Args) -> Result<()> {
    let answer = block_on(manager.ask(Method::POST, args.path, Some(&args.body)))?;
    if args.is_json {
        say(&answer.to_string());
        return Ok(());
    }
    let until = args.body["endsAt"].as_str().map(|until| format!(" until {until}")).unwrap_or_default();
    let Some(alerts) = answer["alerts"].as_array() else { bail!("the answer is none of an acknowledgement") };
    for alert in alerts {
        say(&format!("{} {}{until}", args.verb, about_labels(&alert["labels"])));
    }
    Ok(())
}
