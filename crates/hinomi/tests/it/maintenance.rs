//! Maintenance windows of the real binary: from the file, over HTTP and by `hinomi maintenance`; told, not told, told after.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::manager::Manager;
use crate::harness::target::{Reply, Target};
use crate::harness::{binary, now_secs, output, wait_for};

const WAIT: Duration = Duration::from_secs(20);

/// So many minutes ago on the clock of a zone, one that is never turned: the test runs at any time.
fn civil(minutes_ago: i64, zone: &str) -> String {
    let at = jiff::Timestamp::from_second(now_secs() as i64 - minutes_ago * 60).unwrap();
    at.to_zoned(jiff::tz::TimeZone::get(zone).unwrap()).strftime("%Y-%m-%dT%H:%M").to_string()
}

fn config(hook: &Target) -> String {
    format!(
        "route: {{receiver: ops, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: ops, webhook_configs: [{{url: 'http://{}/'}}]}}]\n\
         hinomi:\n  maintenance:\n  - name: nightly backup\n    matchers: [alertname=\"Hidden\"]\n    start: {}\n    duration: 1h\n    \
         recurrence: FREQ=DAILY\n    time_zone: Asia/Kolkata\n    owner: ann\n    reason: copies\n",
        hook.address,
        civil(10, "Asia/Kolkata")
    )
}

/// Runs `hinomi maintenance`: exit code and what it said.
fn command(manager: &Manager, args: &[&str]) -> (i32, String) {
    let url = format!("--alertmanager.url={}", manager.base);
    let (code, out, err) = output(binary().arg("maintenance").args(args).arg(url));
    (code, format!("{out}{err}"))
}

fn json_of(manager: &Manager, args: &[&str]) -> Value {
    let (code, text) = command(manager, &[args, &["--format", "json"]].concat());
    assert_eq!(code, 0, "{args:?}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err}: {text}"))
}

fn check(manager: &Manager, args: &[&str], code: i32, parts: &[&str]) {
    let (got, text) = command(manager, args);
    assert_eq!(got, code, "{args:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} in what {args:?} said: {text}");
    }
}

/// `name status`, in order.
fn told(hook: &Target) -> Vec<String> {
    let alert = |alert: &Value| {
        format!("{} {}", alert["labels"]["alertname"].as_str().unwrap(), alert["status"].as_str().unwrap())
    };
    let bodies = hook.requests().into_iter().map(|request| serde_json::from_str(&request.body).unwrap());
    bodies
        .flat_map(|body: Value| body["alerts"].as_array().unwrap().iter().map(alert).collect::<Vec<_>>())
        .collect()
}

fn wait_told(hook: &Target, expected: &[&str]) {
    wait_for(&format!("{expected:?}"), WAIT, || (told(hook) == expected).then_some(()));
}

fn is_silenced(manager: &Manager, name: &str) -> bool {
    let alerts = manager.get("/api/v2/alerts").json();
    let alert = alerts.as_array().unwrap().iter().find(|alert| alert["labels"]["alertname"] == name).cloned();
    !alert.expect("it is listed")["status"]["silencedBy"].as_array().unwrap().is_empty()
}

/// A window that runs: seen before it is made, and kept by nobody then.
fn add(manager: &Manager) {
    let start = civil(2, "Asia/Tokyo");
    let wanted = [
        "--matcher",
        "alertname=~\"Lou.\"",
        "--start",
        &start,
        "--duration",
        "1h",
        "--recurrence",
        "FREQ=DAILY",
        "--time-zone",
        "Asia/Tokyo",
    ];
    let preview = json_of(manager, &[&["preview"], &wanted[..]].concat());
    assert_eq!(preview["runs"].as_array().map(Vec::len), Some(5));
    assert_eq!(
        (&preview["matchedAlerts"], &preview["alerts"][0]["labels"]["alertname"]),
        (&json!(1), &json!("Loud"))
    );
    assert_eq!(json_of(manager, &["list"]).as_array().map(Vec::len), Some(1));

    let who = ["--name", "move", "--owner", "bo", "--reason", "racks"];
    let made = json_of(manager, &[&["add"], &wanted[..], &who].concat());
    assert_eq!((&made["state"], &made["runs"]), (&json!("active"), &preview["runs"]));
}

/// What cannot be done is said with what to change.
fn check_refusals(manager: &Manager) {
    check(manager, &["show", "move"], 1, &["no maintenance window has the id or the name \"move\""]);
    check(manager, &["end", "nightly backup"], 1, &["not running now"]);
    check(manager, &["delete", "nightly backup"], 1, &["stands in the configuration file"]);
    let bad = [
        "add",
        "--name",
        "n",
        "--matcher",
        "a=b",
        "--start",
        "noon",
        "--duration",
        "1h",
        "--reason",
        "r",
        "--owner",
        "o",
    ];
    check(manager, &bad, 1, &["start: \"noon\" is no time as 2026-11-22T02:00"]);
}

#[test]
fn windows_hide_while_they_run_and_the_command_rules_them() {
    let hook = Target::start(|_| Reply { status: 200, ..Reply::default() });
    let mut manager = Manager::start(&config(&hook), &[]);
    let names = ["Hidden", "Loud"].map(|name| json!({"labels": {"alertname": name, "instance": "a"}}));
    assert_eq!(manager.post("/api/v2/alerts", &json!(names)).status, 200);
    wait_told(&hook, &["Loud firing"]);
    assert!(is_silenced(&manager, "Hidden"));
    check(&manager, &["list"], 0, &["active", "nightly backup", "FREQ=DAILY", "ann"]);
    check(
        &manager,
        &["show", "nightly backup"],
        0,
        &["Asia/Kolkata", "the configuration file", "Hidden {instance=\"a\"}"],
    );

    add(&manager);
    assert!(is_silenced(&manager, "Loud"));
    // Who got the firing gets the end, also now; kill -9 between changes nothing.
    manager.process.kill9();
    manager.restart();
    assert!(is_silenced(&manager, "Loud") && is_silenced(&manager, "Hidden"));
    let ends = jiff::Timestamp::from_second(now_secs() as i64).unwrap().to_string();
    let end = json!([{"labels": {"alertname": "Loud", "instance": "a"}, "endsAt": ends}]);
    assert_eq!(manager.post("/api/v2/alerts", &end).status, 200);
    wait_told(&hook, &["Loud firing", "Loud resolved"]);

    // What is let out is told; it stays so over a restart, and the window goes on.
    check(&manager, &["end", "nightly backup"], 0, &["ended what ran of", "the next run is"]);
    wait_told(&hook, &["Loud firing", "Loud resolved", "Hidden firing"]);
    manager.process.kill9();
    manager.restart();
    assert!(!is_silenced(&manager, "Hidden"));
    assert_eq!(json_of(&manager, &["show", "nightly backup"])["state"], "waiting");

    check(&manager, &["change", "move", "--reason", "more racks"], 0, &["changed \"move\"", "it runs until"]);
    assert_eq!(json_of(&manager, &["show", "move"])["reason"], "more racks");
    check(&manager, &["delete", "move"], 0, &["deleted move"]);
    assert_eq!(manager.get("/api/v2/silences?expired=false").json(), json!([]));
    check_refusals(&manager);
}
