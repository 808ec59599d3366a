//! Windows and previews for eyes. Runs are shown in the zone of their window, where it is known here.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::manager_api::matchers;
use crate::say;
use crate::terminal::{Align, Table, bold};

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// `2026-11-22 02:00 +0900`
fn time(at: &str, zone: &str) -> String {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let at: Result<Timestamp, _> = at.parse();
    at.map_or_else(|_| "?".to_owned(), |at| at.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M %z").to_string())
}

/// All windows.
pub(super) fn list(windows: &Value) {
    let mut table = Table::new([
        ("STATE", Align::Left),
        ("NAME", Align::Left),
        ("NEXT RUN", Align::Left),
        ("FOR", Align::Left),
        ("RECURRENCE", Align::Left),
        ("MATCHES", Align::Right),
        ("OWNER", Align::Left),
        ("ID", Align::Left),
    ]);
    for window in windows.as_array().into_iter().flatten() {
        let (run, zone) = (&window["runs"][0], text(window, "timeZone"));
        let next = run["startsAt"].as_str().map(|at| match text(window, "state") {
            "active" => format!("until {}", time(text(run, "endsAt"), zone)),
            _ => time(at, zone),
        });
        let recurrence = match text(window, "recurrence") {
            "" => "once",
            rule => rule,
        };
        table.row([
            text(window, "state").to_owned(),
            text(window, "name").to_owned(),
            next.unwrap_or_else(|| "–".to_owned()),
            text(window, "duration").to_owned(),
            recurrence.to_owned(),
            window["matchedAlerts"].to_string(),
            text(window, "owner").to_owned(),
            text(window, "id").to_owned(),
        ]);
    }
    if table.is_empty() {
        eprintln!("no maintenance window; hinomi maintenance add makes one");
    } else {
        table.print();
    }
}

/// One window, its runs and what it hides.
pub(super) fn one(window: &Value) {
    let zone = text(window, "timeZone");
    let origin = if text(window, "origin") == "file" { "the configuration file" } else { "the API" };
    let except: Vec<&str> =
        window["except"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, value) in [
        ("name", text(window, "name").to_owned()),
        ("id", text(window, "id").to_owned()),
        ("state", text(window, "state").to_owned()),
        ("matchers", matchers(window)),
        ("start", format!("{} {zone}", text(window, "start"))),
        ("duration", text(window, "duration").to_owned()),
        ("recurrence", text(window, "recurrence").to_owned()),
        ("except", except.join(", ")),
        ("owner", text(window, "owner").to_owned()),
        ("reason", text(window, "reason").to_owned()),
        ("made by", origin.to_owned()),
    ] {
        if !value.is_empty() {
            say(&format!("{name:<11} {value}"));
        }
    }
    say("");
    preview(window, Some(zone));
}

/// The next runs, and the alerts that match now.
pub(super) fn preview(preview: &Value, zone: Option<&str>) {
    let zone = zone.unwrap_or("UTC");
    say(&bold("Next runs"));
    let mut n_runs = 0;
    for run in preview["runs"].as_array().into_iter().flatten() {
        say(&format!("  {}  to  {}", time(text(run, "startsAt"), zone), time(text(run, "endsAt"), zone)));
        n_runs += 1;
    }
    if n_runs == 0 {
        say("  none any more");
    }
    let n_all = preview["matchedAlerts"].as_u64().unwrap_or(0);
    say(&bold(&format!("Alerts that it would hide now: {n_all}")));
    let alerts: Vec<&Value> = preview["alerts"].as_array().into_iter().flatten().collect();
    for alert in &alerts {
        let labels =
            alert["labels"].as_object().into_iter().flatten().filter(|(name, _)| *name != "alertname");
        let labels: Vec<String> =
            labels.map(|(name, value)| format!("{name}={:?}", value.as_str().unwrap_or_default())).collect();
        say(&format!("  {} {{{}}}", text(&alert["labels"], "alertname"), labels.join(", ")));
    }
    if n_all > alerts.len() as u64 {
        say(&format!("  and {} more", n_all - alerts.len() as u64));
    }
}

/// What was done, and how the window stands now.
pub(super) fn done(what: &str, window: &Value) {
    say(&format!("{what} {:?} {}", text(window, "name"), text(window, "id")));
    let at = |key: &str| time(window["runs"][0][key].as_str().unwrap_or_default(), text(window, "timeZone"));
    match (text(window, "state"), window["runs"].get(0).is_some()) {
        ("active", true) => say(&format!("it runs until {}", at("endsAt"))),
        (_, true) => say(&format!("the next run is {}", at("startsAt"))),
        _ => say("no run is left"),
    }
}
