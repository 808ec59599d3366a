//! `hinomi alert history`: the log of a manager, searched.

use anyhow::{Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;
use stdx::{Clock as _, SystemClock};

use super::value;
use crate::admin::block_on;
use crate::manager_api::Manager;
use crate::query::csv_line;
use crate::say;
use crate::terminal::{Align, Table, duration, red, roughly, time, yellow};

/// Most events of one question. From the API.
const PAGE_MAX: usize = 5_000;

/// What was asked for.
#[derive(Debug)]
pub(super) struct Args {
    query: Vec<(&'static str, String)>,
    limit: usize,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Json,
    Csv,
}

/// `hinomi alert history` for clap.
pub(super) fn command() -> Command {
    Command::new("history")
        .about("Shows what happened to alerts, silences and messages, the newest first")
        .after_help(format!(
            "Kinds: {}\n\n\
             hinomi alert history HighLoad instance=~'web.*' --since 24h\n\
             hinomi alert history --kind failed --receiver pager --format csv",
            alertmanager::history_kinds(),
        ))
        .args([
            Arg::new("matchers")
                .value_name("MATCHER")
                .num_args(0..)
                .help("Only alerts whose labels match all of these: severity=page, instance=~\"web.*\"; a word alone is an alert's name"),
            value("since", "TIME", "From when on: 24h for that long ago, RFC 3339, or Unix seconds"),
            value("until", "TIME", "To when"),
            value("kind", "KIND", "Only these kinds, repeatable or with commas between").action(ArgAction::Append),
            value("receiver", "NAME", "Only messages to this receiver"),
            value("limit", "N", "Most events").default_value("100").value_parser(clap::value_parser!(u32).range(1..)),
            value("format", "FORMAT", "table, json or csv")
                .short('o')
                .default_value("table")
                .value_parser(["table", "json", "csv"]),
        ])
}

/// What clap found.
pub(super) fn parse(matches: &ArgMatches) -> Result<Args, String> {
    let mut query = Vec::new();
    for text in matches.get_many::<String>("matchers").into_iter().flatten() {
        query.extend(filters(text)?.into_iter().map(|filter| ("filter", filter)));
    }
    for name in ["since", "until"] {
        if let Some(text) = matches.get_one::<String>(name) {
            query.push((name, moment(name, text)?));
        }
    }
    let kinds = matches.get_many::<String>("kind").into_iter().flatten();
    query.extend(kinds.map(|kind| ("kind", kind.clone())));
    query.extend(matches.get_one::<String>("receiver").map(|name| ("receiver", name.clone())));
    let format = match matches.get_one::<String>("format").map(String::as_str) {
        Some("json") => Format::Json,
        Some("csv") => Format::Csv,
        _ => Format::Table,
    };
    let limit = matches.get_one::<u32>("limit").map_or(100, |limit| *limit as usize);
    Ok(Args { query, limit, format })
}

/// Matchers as the API takes them; a word alone is a name.
pub(crate) fn filters(text: &str) -> Result<Vec<String>, String> {
    if !text.is_empty() && !text.contains(['=', '~', '!', '{', '}', '"', ',']) {
        return Ok(vec![format!("alertname={}", model::labels::quoted(text))]);
    }
    let matchers = alertmanager::parse_matchers(text).map_err(|err| format!("matcher {text:?}: {err}"))?;
    Ok(matchers.iter().map(ToString::to_string).collect())
}

/// A moment as the API takes it; a duration is so long ago.
fn moment(name: &str, text: &str) -> Result<String, String> {
    if let Ok(ago) = text.parse::<model::Duration>() {
        let at_ms = SystemClock::new().now_ms().saturating_sub(ago.as_ms());
        return Ok((at_ms as f64 / 1e3).to_string());
    }
    let at_ms = api::parse_time(text).map_err(|why| format!("--{name}: {why}"))?;
    Ok((at_ms as f64 / 1e3).to_string())
}

/// Asks, and prints.
pub(super) fn run(manager: &Manager, args: &Args) -> Result<()> {
    let events = block_on(ask(manager, args))?;
    match args.format {
        Format::Json => json(&events),
        Format::Csv => {
            say(&csv_line(["time", "kind", "about", "receiver", "integration", "detail"]));
            for event in &events {
                let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
                let cells = [
                    text("at"),
                    text("kind"),
                    about(event),
                    text("receiver"),
                    text("integration"),
                    detail(event),
                ];
                say(&csv_line(&cells));
            }
        }
        Format::Table => table(&events, args.limit),
    }
    Ok(())
}

async fn ask(manager: &Manager, args: &Args) -> Result<Vec<Value>> {
    let mut events: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut query = args.query.clone();
        query.push(("limit", (args.limit - events.len()).min(PAGE_MAX).to_string()));
        query.push(("cursor", cursor));
        let answer = manager.get("alerts/history", &query).await?;
        let Some(found) = answer["events"].as_array() else { bail!("the answer is none of a history") };
        if let Some(problem) = answer["problem"].as_str() {
            eprintln!("the manager cannot write its history now: {problem}");
        }
        events.extend(found.iter().cloned());
        match answer["next"].as_str() {
            Some(next) if events.len() < args.limit => cursor = next.to_owned(),
            _ => return Ok(events),
        }
    }
}

/// A list with one event a line.
fn json(events: &[Value]) {
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    say(&format!("[{}]", lines.join(",\n")));
}

fn table(events: &[Value], limit: usize) {
    if events.is_empty() {
        eprintln!("nothing found");
        return;
    }
    let mut table = Table::new(["TIME", "EVENT", "ABOUT", "DETAIL"].map(|name| (name, Align::Left)));
    for event in events {
        let at = event["at"].as_str().and_then(|at| api::parse_time(at).ok());
        table.row([at.map(time).unwrap_or_default(), word(event), about(event), detail(event)]);
    }
    for (i, line) in table.lines().into_iter().enumerate() {
        let kind = i.checked_sub(1).and_then(|i| events[i]["kind"].as_str());
        say(&match kind {
            Some("failed" | "dropped") => red(&line),
            Some("retry") => yellow(&line),
            _ => line,
        });
    }
    if events.len() >= limit {
        eprintln!("the newest {limit}; --limit and --since give more or other ones");
    }
}

fn word(event: &Value) -> String {
    event["kind"].as_str().unwrap_or_default().replace('_', " ")
}

/// The alert, the group or the silence.
fn about(event: &Value) -> String {
    let labels = about_labels;
    if let Some(silence) = event["silence"].as_object() {
        let matchers = silence["matchers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        return format!("silence {{{}}}", matchers.collect::<Vec<_>>().join(", "));
    }
    if event["groupLabels"].is_object() {
        return format!("group {}", labels(&event["groupLabels"]));
    }
    let alert = &event["alerts"][0];
    match alert["labels"].as_object() {
        Some(known) if !known.is_empty() => labels(&alert["labels"]),
        _ => alert["fingerprint"].as_str().unwrap_or_default().to_owned(),
    }
}

/// An alert's or group's labels, its name first.
pub(crate) fn about_labels(value: &Value) -> String {
    let pairs = value.as_object().into_iter().flatten();
    let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
    let labels = model::Labels::from_pairs(pairs);
    let name = labels.get(model::alert::ALERT_NAME).unwrap_or_default().to_owned();
    let rest =
        model::Labels::from_pairs(labels.iter().filter(|(known, _)| *known != model::alert::ALERT_NAME));
    if rest.is_empty() && !name.is_empty() { name } else { format!("{name}{rest}") }
}

/// What there is to say beside.
fn detail(event: &Value) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let by = || {
        let by = event["by"].as_array().into_iter().flatten().filter_map(Value::as_str);
        by.collect::<Vec<_>>().join(", ")
    };
    match text("kind") {
        "sent" | "retry" | "failed" => attempt(event),
        "silence_made"
        | "silence_changed"
        | "silence_ended"
        | "maintenance_begun"
        | "maintenance_changed"
        | "maintenance_ended" => {
            let said = |key: &str| event["silence"][key].as_str().unwrap_or_default();
            let window = by();
            let window = if window.is_empty() { window } else { format!("{window} ") };
            format!("{window}until {} by {}: {}", text("endsAt"), said("createdBy"), said("comment"))
        }
        "escalated" => format!("to {}", by()),
        // Nobody is named while there is time for a parent to be reported.
        "dependency_held" if by().is_empty() => "waits for what it depends on to be reported".to_owned(),
        "flapping" | "stable" | "success_awaited" => format!("for {}", by()),
        "host_away" | "host_back" => by(),
        "resolved" | "expired" => {
            let ms = |key: &str| api::parse_time(text(key)).unwrap_or_default();
            let lasted = roughly((ms("endsAt") - ms("startsAt")).max(0));
            match event["peak"].as_f64() {
                Some(peak) => format!("after {lasted}, peak {peak}"),
                None => format!("after {lasted}"),
            }
        }
        "dropped" => format!("{} events were not recorded", event["count"]),
        "muted" | "unmuted" => format!("{} by {}", text("receiver"), by()),
        _ if event["by"].is_array() => format!("by {}", by()),
        _ => String::new(),
    }
}

fn attempt(event: &Value) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let n = |key: &str| event[key].as_u64().unwrap_or(0);
    let mut line = format!("{} {}: ", text("receiver"), text("integration"));
    let counts = [(n("alertsTotal"), "firing"), (n("resolvedTotal"), "resolved")];
    let counts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}"));
    line += &counts.collect::<Vec<_>>().join(", ");
    line += &format!(", {}", text("reason"));
    if n("attempt") > 1 {
        line += &format!(", attempt {}", n("attempt"));
    }
    line += &format!(", {}", duration((event["tookSeconds"].as_f64().unwrap_or(0.0) * 1e3) as i64));
    if !text("error").is_empty() {
        line += &format!(": {}", text("error"));
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_read_as_sentences() {
        let check = |event: Value, expected: [&str; 3]| {
            assert_eq!([word(&event), about(&event), detail(&event)], expected.map(str::to_owned));
        };
        let alert = json!([{"fingerprint": "f", "labels": {"alertname": "Load", "host": "a"}}]);
        check(
            json!({"kind": "dependency_held", "alerts": alert}),
            ["dependency held", r#"Load{host="a"}"#, "waits for what it depends on to be reported"],
        );
        check(json!({"kind": "firing_again", "alerts": alert}), ["firing again", r#"Load{host="a"}"#, ""]);
        check(
            json!({"kind": "resolved", "alerts": alert, "startsAt": "2023-11-14T22:13:20Z", "endsAt": "2023-11-14T22:14:20Z", "peak": 7.5}),
            ["resolved", r#"Load{host="a"}"#, "after 1m0s, peak 7.5"],
        );
        check(
            json!({"kind": "failed", "groupLabels": {"alertname": "Load"}, "receiver": "team", "integration": "webhook",
                "alertsTotal": 2, "resolvedTotal": 1, "reason": "serverError", "attempt": 3, "tookSeconds": 1.5, "error": "503"}),
            ["failed", "group Load", "team webhook: 2 firing, 1 resolved, serverError, attempt 3, 1.5s: 503"],
        );
        check(
            json!({"kind": "silence_made", "endsAt": "e", "silence": {"matchers": ["a=\"b\""], "createdBy": "me", "comment": "why"}}),
            ["silence made", "silence {a=\"b\"}", "until e by me: why"],
        );
        check(json!({"kind": "dropped", "count": 7}), ["dropped", "", "7 events were not recorded"]);
    }

    #[test]
    fn help_names_every_kind_there_is() {
        let help = command().render_long_help().to_string();
        for kind in alertmanager::history_kinds().split(", ") {
            assert!(help.contains(kind), "{kind} in {help}");
        }
    }

    #[test]
    fn a_word_alone_is_a_name() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(filters(text).expect("good"), expected, "{text}");
        };
        check("Load", &["alertname=\"Load\""]);
        check("a=b", &["a=\"b\""]);
        check("{a=~\"x.*\", b!=\"c\"}", &["a=~\"x.*\"", "b!=\"c\""]);
        assert!(filters("a=~(").is_err());
    }
}
