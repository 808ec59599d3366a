//! `hinomi alert test`: one message of an alert that says it is a test.

use std::process::ExitCode;

use anyhow::Result;
use axum::http::Method;
use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};

use super::{labels_arg, labels_of};
use crate::admin::block_on;
use crate::manager_api::Manager;
use crate::say;
use crate::terminal::{bold, green, red};

/// What was asked for.
#[derive(Debug)]
pub(super) struct Args {
    receiver: String,
    labels: model::Labels,
    is_json: bool,
    is_verbose: bool,
}

/// `hinomi alert test` for clap.
pub(super) fn command() -> Command {
    Command::new("test")
        .about("Sends a test to a receiver and shows what the other side answers; ends with 1 when a message was not taken")
        .args([
            Arg::new("receiver").value_name("RECEIVER").help("Name of the receiver in the configuration").required(true),
            labels_arg("Labels of the alert: severity=page; its name gets [TEST] before it"),
            super::value("format", "FORMAT", "text or json").short('o').default_value("text").value_parser(["text", "json"]),
            Arg::new("verbose")
                .long("verbose")
                .action(clap::ArgAction::SetTrue)
                .help("Show what was sent, secrets cut out, and what came back"),
        ])
}

/// What clap found.
pub(super) fn parse(matches: &ArgMatches) -> Result<Args, String> {
    Ok(Args {
        receiver: matches.get_one::<String>("receiver").cloned().unwrap_or_default(),
        labels: labels_of(matches)?,
        is_json: matches.get_one::<String>("format").is_some_and(|format| format == "json"),
        is_verbose: matches.get_flag("verbose"),
    })
}

/// Asks, and prints.
pub(super) fn run(manager: &Manager, args: &Args) -> Result<ExitCode> {
    let labels: std::collections::BTreeMap<&str, &str> = args.labels.iter().collect();
    let body = json!({"receiver": args.receiver, "labels": labels});
    let tested = block_on(manager.ask(Method::POST, "receivers/test", Some(&body)))?;
    let integrations = tested["integrations"].as_array().cloned().unwrap_or_default();
    let all = || integrations.iter().flat_map(|one| one["messages"].as_array().into_iter().flatten());
    let is_good = all().all(|message| message["isDelivered"] == true);
    if args.is_json {
        say(&tested.to_string());
    } else if integrations.is_empty() {
        say(&format!("receiver {:?} has no integrations: nobody is told by it", args.receiver));
    } else {
        integrations.iter().for_each(|one| print(one, args.is_verbose));
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(integration: &Value, is_verbose: bool) {
    let name = integration["name"].as_str().unwrap_or_default();
    say(&bold(&format!("{name}[{}]", integration["index"])));
    for message in integration["messages"].as_array().into_iter().flatten() {
        let text = |key: &str| message[key].as_str().unwrap_or_default();
        let took = message["tookSeconds"].as_f64().unwrap_or(0.0);
        let outcome = match message["isDelivered"] == true {
            true => green("delivered"),
            false => red(&format!("not delivered ({}): {}", text("reason"), text("error"))),
        };
        say(&format!("  {:<9} {outcome}, {took:.3}s", text("status")));
        for exchange in message["exchanges"].as_array().into_iter().flatten() {
            let text = |key: &str| exchange[key].as_str().unwrap_or_default();
            let status =
                exchange["status"].as_u64().map_or("no answer".to_owned(), |status| status.to_string());
            say(format!("    {} → {status} {}", text("to"), text("answer").trim()).trim_end());
            if is_verbose {
                text("sent").lines().for_each(|line| say(&format!("    > {line}")));
            }
        }
    }
}
