//! `hinomi alert explain`: the way of an alert through the route tree, and what holds it back.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{ArgMatches, Command};
use serde_json::Value;
use stdx::{Clock as _, SystemClock};

use super::{labels_arg, labels_of};
use crate::admin::block_on;
use crate::manager::compose;
use crate::manager_api::Manager;
use crate::say;
use crate::terminal::{bold, duration, green, yellow};

/// What was asked for.
#[derive(Debug)]
pub(super) struct Args {
    labels: model::Labels,
    /// A file, in place of a running manager.
    config: Option<PathBuf>,
    is_json: bool,
}

/// `hinomi alert explain` for clap.
pub(super) fn command() -> Command {
    Command::new("explain")
        .about("Shows which routes an alert with these labels takes, who is told, when, and what would hold it back now")
        .after_help(
            "hinomi alert explain alertname=HighLoad severity=page\n\
             hinomi alert explain severity=page --config.file alertmanager.yml",
        )
        .args([
            labels_arg("Labels of the alert: severity=page; a word alone is its name. Without any the tree alone is shown"),
            super::value("config.file", "FILE", "Explain this Alertmanager file, without asking anybody; silences and other alerts are not known then")
                .value_parser(clap::value_parser!(PathBuf)),
            super::value("format", "FORMAT", "text or json").short('o').default_value("text").value_parser(["text", "json"]),
        ])
}

/// What clap found.
pub(super) fn parse(matches: &ArgMatches) -> Result<Args, String> {
    Ok(Args {
        labels: labels_of(matches)?,
        config: matches.get_one::<PathBuf>("config.file").cloned(),
        is_json: matches.get_one::<String>("format").is_some_and(|format| format == "json"),
    })
}

/// Asks, and prints.
pub(super) fn run(manager: impl FnOnce() -> Result<Manager>, args: &Args) -> Result<()> {
    let explained = match &args.config {
        Some(path) => {
            let now_ms = SystemClock::new().now_ms();
            let text = alertmanager::explain_config(compose::load(path)?, &args.labels, now_ms);
            serde_json::from_str(&text).context("our own answer")?
        }
        None => {
            let query: Vec<(&str, String)> =
                args.labels.iter().map(|(name, value)| ("label", format!("{name}={value}"))).collect();
            block_on(manager()?.get("explain", &query))?
        }
    };
    if args.is_json {
        say(&explained.to_string());
    } else {
        lines(&explained).iter().for_each(|line| say(line));
    }
    Ok(())
}

fn lines(explained: &Value) -> Vec<String> {
    let mut out = Vec::new();
    node(&explained["tree"], "", "", &mut out);
    for taken in explained["taken"].as_array().into_iter().flatten() {
        out.push(String::new());
        out.extend(route(taken, explained["isLive"] == true));
    }
    out
}

/// A route with those below it, as a tree.
fn node(node: &Value, lead: &str, below: &str, out: &mut Vec<String>) {
    let matchers: Vec<&str> = texts(&node["matchers"]);
    let matchers = if matchers.is_empty() { "everything".to_owned() } else { matchers.join(", ") };
    let mut line = format!("{lead}{matchers} → {}", node["receiver"].as_str().unwrap_or_default());
    for step in node["escalate"].as_array().into_iter().flatten() {
        let after = duration((step["after"].as_f64().unwrap_or(0.0) * 1e3) as i64);
        line += &format!(", {} after {after}", step["receiver"].as_str().unwrap_or_default());
    }
    if node["continue"] == true {
        line += " (continue)";
    }
    out.push(match node["outcome"].as_str() {
        Some("taken") => bold(&green(&format!("{line}  ✓ taken"))),
        Some("passed") => format!("{line}  ✓ matches, a route below takes it"),
        Some("notMatched") => {
            let why = node["mismatches"].as_array().into_iter().flatten().map(|mismatch| {
                let has = mismatch["has"].as_str().unwrap_or_default();
                let wanted = mismatch["matcher"].as_str().unwrap_or_default();
                if has.is_empty() { format!("{wanted}: has none") } else { format!("{wanted}: has {has:?}") }
            });
            format!("{line}  ✗ {}", why.collect::<Vec<_>>().join("; "))
        }
        Some("notReached") => format!("{line}  · not reached"),
        _ => line,
    });
    let children = node["routes"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (i, child) in children.iter().enumerate() {
        let is_last = i + 1 == children.len();
        let (lead, rest) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        self::node(child, &format!("{below}{lead}"), &format!("{below}{rest}"), out);
    }
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn route(taken: &Value, is_live: bool) -> Vec<String> {
    let text = |key: &str| taken[key].as_str().unwrap_or_default();
    let wait = |key: &str| duration((taken[key].as_f64().unwrap_or(0.0) * 1e3) as i64);
    let integrations = texts(&taken["integrations"]);
    let integrations = if integrations.is_empty() { "nobody".to_owned() } else { integrations.join(", ") };
    let group = match texts(&taken["groupBy"]).as_slice() {
        [] => "all alerts together".to_owned(),
        ["..."] => "each alert by itself".to_owned(),
        names => format!("by {}", names.join(", ")),
    };
    let mut out = vec![
        bold(&format!("receiver {}: {integrations}", text("receiver"))),
        format!("  path     {}", texts(&taken["path"]).last().copied().unwrap_or_default()),
        format!("  group    {group}: {}", text("groupKey")),
        format!(
            "  timers   group_wait {}, group_interval {}, repeat_interval {}",
            wait("groupWait"),
            wait("groupInterval"),
            wait("repeatInterval")
        ),
    ];
    let mut own = Vec::new();
    if let Some(count) = taken["occurrences"]["count"].as_u64() {
        let within = (taken["occurrences"]["within"].as_f64().unwrap_or(0.0) * 1e3) as i64;
        own.push(format!("counts after {count} detections within {}", duration(within)));
    }
    for (key, name) in [("reissueDuration", "reissue_duration"), ("successDuration", "success_duration")] {
        if taken[key].is_number() {
            own.push(format!("{name} {}", wait(key)));
        }
    }
    if let Some(changes) = taken["flap"]["changes"].as_u64() {
        let wait = |key: &str| duration((taken["flap"][key].as_f64().unwrap_or(0.0) * 1e3) as i64);
        own.push(format!(
            "flaps after {changes} changes within {}, until {} without",
            wait("within"),
            wait("stable")
        ));
    }
    if !own.is_empty() {
        out.push(format!("  hinomi   {}", own.join(", ")));
    }
    out.extend(taken["escalation"].as_array().into_iter().flatten().map(step));
    if let Some(n) = taken["groupAlerts"].as_u64() {
        out.push(format!(
            "  now      alerts in the group: {n}; it is looked at next at {}",
            text("nextFlushAt")
        ));
    }
    if taken["toldAt"].is_string() {
        out.push(format!("  told     at {}, again at {} while it fires", text("toldAt"), text("againAt")));
    }
    let holds: Vec<String> = taken["holds"].as_array().into_iter().flatten().map(hold).collect();
    match (holds.is_empty(), is_live) {
        (true, true) => out.push(green("  nothing holds it back now")),
        (true, false) => out.push(
            "  nothing in the file holds it back now; silences and other alerts are not known here"
                .to_owned(),
        ),
        (false, _) => out.extend(holds.iter().map(|hold| yellow(&format!("  held back: {hold}")))),
    }
    out
}

/// A further receiver: after how long, and whether it was told or when it is.
fn step(step: &Value) -> String {
    let after = duration((step["after"].as_f64().unwrap_or(0.0) * 1e3) as i64);
    let when = match (step["told"].as_bool(), step["at"].as_str()) {
        (Some(true), _) => ", was told".to_owned(),
        (_, Some(at)) => format!(", at {at}"),
        _ => String::new(),
    };
    format!("  then     {} after {after}{when}", step["receiver"].as_str().unwrap_or_default())
}

fn hold(hold: &Value) -> String {
    let text = |key: &str| hold[key].as_str().unwrap_or_default();
    let by = texts(&hold["by"]).join(", ");
    match text("kind") {
        "silence" => {
            format!("silence {by} of {} until {}: {}", text("owner"), text("endsAt"), text("reason"))
        }
        "ignore" => {
            format!("ignore rule {by} of {} until {}: {}", text("owner"), text("endsAt"), text("reason"))
        }
        "maintenance" => {
            format!("maintenance {by:?} of {} until {}: {}", text("owner"), text("endsAt"), text("reason"))
        }
        "dependency" if by.is_empty() => {
            format!("waits until {} for what it depends on to be reported", text("endsAt"))
        }
        "dependency" => format!("depends on {by}, which fires or did a moment ago"),
        "flapping" => {
            format!("flapping, {} changes; told again when it is stable, at {}", hold["seen"], text("endsAt"))
        }
        "success" => format!("over at {} unless it is detected again", text("endsAt")),
        "hostAway" => format!("its end is no success yet: nobody knows that {by} is active"),
        kind @ ("acknowledged" | "snoozed") => {
            let until =
                if text("endsAt").is_empty() { String::new() } else { format!(" until {}", text("endsAt")) };
            let reason =
                if text("reason").is_empty() { String::new() } else { format!(": {}", text("reason")) };
            format!("{kind} by {}{until}{reason}", text("owner"))
        }
        "inhibition" => format!("inhibited by {by}, which fires"),
        "mute" => format!("muted now by the time interval {by}"),
        "active" => format!("active only in the time interval {by}, and it is none now"),
        "occurrences" => {
            format!("detected {} times so far, which is not often enough to count", hold["seen"])
        }
        "noIntegrations" => "the receiver has no integrations, so nobody is told".to_owned(),
        kind => format!("{kind} {by}").trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use stdx::{Dir as _, DiskDir};

    use super::*;

    #[test]
    fn the_way_is_drawn_and_every_turn_has_its_reason() {
        let config = "route:\n  receiver: all\n  group_by: [alertname]\n  routes:\n\
            \x20 - matchers: [team=\"web\"]\n    receiver: web\n\
            \x20 - matchers: [team=\"db\"]\n    receiver: db\n    routes: [{matchers: [severity=\"page\"], receiver: pager, mute_time_intervals: [always]}]\n\
            \x20 - matchers: [team=~\".+\"]\n    receiver: rest\n\
            time_intervals: [{name: always, time_intervals: [{years: ['2000:2200']}]}]\n\
            receivers: [{name: all}, {name: web}, {name: db}, {name: pager, webhook_configs: [{url: 'http://h/'}]}, {name: rest}]\n";
        let folder = tempfile::tempdir().expect("a folder for files");
        let file = folder.path().join("alertmanager.yml");
        DiskDir::anywhere().write_atomic(&file, config.as_bytes()).expect("room");
        let config = compose::load(&file).expect("good");
        let labels = model::Labels::from_pairs([("alertname", "Slow"), ("team", "db"), ("severity", "page")]);
        let explained = alertmanager::explain_config(config, &labels, 1_700_000_000_000);
        let explained: Value = serde_json::from_str(&explained).expect("JSON");
        let expected = "everything → all  ✓ matches, a route below takes it\n\
            ├─ team=\"web\" → web  ✗ team=\"web\": has \"db\"\n\
            ├─ team=\"db\" → db  ✓ matches, a route below takes it\n\
            │  └─ severity=\"page\" → pager  ✓ taken\n\
            └─ team=~\".+\" → rest  · not reached\n\
            \n\
            receiver pager: webhook[0]\n\
            \x20 path     {}/{team=\"db\"}/{severity=\"page\"}\n\
            \x20 group    by alertname: {}/{team=\"db\"}/{severity=\"page\"}:{alertname=\"Slow\"}\n\
            \x20 timers   group_wait 30s, group_interval 5m0s, repeat_interval 4h0m0s\n\
            \x20 held back: muted now by the time interval always";
        assert_eq!(lines(&explained).join("\n"), expected);
    }
}
