//! `hinomi silence`: silences of a running manager, made with a look at what they hide.
//!
//! In from the command line; out to the manager's API, and as a table or the API's JSON to the terminal.

use anyhow::Result;
use axum::http::Method;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};
use stdx::{Clock as _, SystemClock};

use crate::admin::block_on;
use crate::alert::{about_labels, author, filters, until};
use crate::http::{self, Access};
use crate::manager_api::{self, Manager};
use crate::say;
use crate::terminal::{Align, Table};

/// Hidden alerts named when a silence is made. Chosen: half a screen.
const NAMED_MAX: usize = 10;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    url: String,
    access: Access,
    is_json: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    Add { body: Value, filters: Vec<String> },
    List { filters: Vec<String>, with_expired: bool },
    End(Vec<String>),
}

/// `hinomi silence` for clap.
pub(crate) fn command() -> Command {
    let matchers = || {
        Arg::new("matchers")
            .value_name("MATCHER")
            .num_args(1..)
            .help("What it hides: severity=page, instance=~\"web.*\"; all must match; a word alone is an alert's name")
    };
    let value = |name: &'static str, shown: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(shown).help(help)
    };
    let asking = |command: Command| {
        let format = value("format", "FORMAT", "text or json").short('o').default_value("text");
        command.arg(format.value_parser(["text", "json"])).args([
            manager_api::url_arg(),
            http::config_file_arg(),
            http::header_arg(),
        ])
    };
    Command::new("silence")
        .about("Silences alerts of a running server or Alertmanager, and ends that")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(asking(
            Command::new("add")
                .about("Makes a silence from now on, and shows what it hides")
                .after_help("hinomi silence add HighLoad instance=~'web.*' --for 2h --comment 'new kernel'")
                .args([
                    matchers().required(true),
                    value("for", "DURATION", "How long: 30m, 2h").required_unless_present("until"),
                    value("until", "TIME", "Until when, RFC 3339 or Unix seconds").conflicts_with("for"),
                    value("comment", "TEXT", "Why, and until what").required(true),
                    value("author", "NAME", "Who says so; without it the user name of the shell"),
                ]),
        ))
        .subcommand(asking(
            Command::new("list")
                .about("Shows silences, those that end first first, and how much each hides")
                .args([
                    matchers().help("Only those that ask for all of these with ="),
                    Arg::new("expired")
                        .long("expired")
                        .action(ArgAction::SetTrue)
                        .help("Those that are over, too"),
                ]),
        ))
        .subcommand(asking(
            Command::new("end").about("Ends silences now").arg(
                Arg::new("ids")
                    .value_name("ID")
                    .num_args(1..)
                    .required(true)
                    .help("As hinomi silence list shows it"),
            ),
        ))
}

/// What clap found.
///
/// # Errors
/// What is wrong with a value.
pub(crate) fn parse(sub: &ArgMatches) -> Result<Args, String> {
    let (name, matches) = sub.subcommand().expect("clap demands a subcommand");
    let wanted = || -> Result<Vec<String>, String> {
        let mut wanted = Vec::new();
        for text in matches.get_many::<String>("matchers").into_iter().flatten() {
            wanted.extend(filters(text)?);
        }
        Ok(wanted)
    };
    let what = match name {
        "add" => add(matches, wanted()?)?,
        "end" => What::End(matches.get_many::<String>("ids").into_iter().flatten().cloned().collect()),
        _ => What::List { filters: wanted()?, with_expired: matches.get_flag("expired") },
    };
    Ok(Args {
        url: matches.get_one::<String>("alertmanager.url").cloned().unwrap_or_default(),
        access: Access::from_matches(matches),
        is_json: matches.get_one::<String>("format").is_some_and(|format| format == "json"),
        what,
    })
}

fn add(matches: &ArgMatches, filters: Vec<String>) -> Result<What, String> {
    let mut matchers = Vec::new();
    for text in &filters {
        let read = alertmanager::parse_matchers(text).map_err(|err| format!("matcher {text:?}: {err}"))?;
        matchers.extend(read.iter().map(|matcher| {
            use model::MatchOp::{Equal, NotRegex, Regex};
            let (is_regex, is_equal) =
                (matches!(matcher.op, Regex | NotRegex), matches!(matcher.op, Equal | Regex));
            json!({"name": matcher.name, "value": matcher.value, "isRegex": is_regex, "isEqual": is_equal})
        }));
    }
    let now =
        jiff::Timestamp::from_millisecond(SystemClock::new().now_ms()).map_err(|why| why.to_string())?;
    let body = json!({
        "matchers": matchers,
        "startsAt": now.to_string(),
        "endsAt": until(matches)?,
        "createdBy": author(matches)?,
        "comment": matches.get_one::<String>("comment"),
    });
    Ok(What::Add { body, filters })
}

/// Does it.
///
/// # Errors
/// When the manager cannot be asked, or refuses.
pub(crate) fn run(args: &Args) -> Result<()> {
    let manager = Manager::new(&args.url, &args.access)?;
    block_on(ask(&manager, args))
}

async fn ask(manager: &Manager, args: &Args) -> Result<()> {
    let by = |filters: &[String]| -> Vec<(&str, String)> {
        filters.iter().map(|filter| ("filter", filter.clone())).collect()
    };
    match &args.what {
        What::Add { body, filters } => {
            let hidden = manager.get("alerts", &by(filters)).await?;
            let made = manager.ask(Method::POST, "silences", Some(body)).await?;
            if args.is_json {
                say(&made.to_string());
            } else {
                tell_made(&made, body, hidden.as_array().map(Vec::as_slice).unwrap_or_default());
            }
        }
        What::List { filters, with_expired } => {
            let mut silences = manager.get("silences", &by(filters)).await?;
            if let Some(list) = silences.as_array_mut() {
                list.retain(|silence| *with_expired || silence["status"]["state"] != "expired");
                list.sort_by(|a, b| a["endsAt"].as_str().cmp(&b["endsAt"].as_str()));
            }
            if args.is_json {
                say(&serde_json::to_string_pretty(&silences)?);
            } else {
                let alerts = manager.get("alerts", &[]).await?;
                table(&silences, &alerts).print();
            }
        }
        What::End(ids) => {
            for id in ids {
                manager.ask(Method::DELETE, &format!("silence/{id}"), None).await?;
                if !args.is_json {
                    say(&format!("ended {id}"));
                }
            }
        }
    }
    Ok(())
}

fn tell_made(made: &Value, body: &Value, hidden: &[Value]) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    say(&format!("made {} until {}", text(&made["silenceID"]), text(&body["endsAt"])));
    say(&format!("Alerts that it hides now: {}", hidden.len()));
    let mut named: Vec<String> = hidden.iter().map(|alert| about_labels(&alert["labels"])).collect();
    named.sort();
    named.iter().take(NAMED_MAX).for_each(|alert| say(&format!("  {alert}")));
    if hidden.len() > NAMED_MAX {
        say(&format!("  and {} more", hidden.len() - NAMED_MAX));
    }
}

fn table(silences: &Value, alerts: &Value) -> Table {
    let columns = ["STATE", "MATCHERS", "HIDES", "ENDS", "BY", "COMMENT", "ID"];
    let mut table =
        Table::new(columns.map(|name| (name, if name == "HIDES" { Align::Right } else { Align::Left })));
    for silence in silences.as_array().into_iter().flatten() {
        let text = |key: &str| silence[key].as_str().unwrap_or_default().to_owned();
        let id = &silence["id"];
        let is_hidden =
            |alert: &&Value| alert["status"]["silencedBy"].as_array().is_some_and(|by| by.contains(id));
        let hides = alerts.as_array().into_iter().flatten().filter(is_hidden).count();
        table.row([
            silence["status"]["state"].as_str().unwrap_or_default().to_owned(),
            manager_api::matchers(silence),
            hides.to_string(),
            text("endsAt"),
            text("createdBy"),
            text("comment"),
            text("id"),
        ]);
    }
    table
}
