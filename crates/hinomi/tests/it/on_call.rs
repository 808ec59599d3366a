//! The real binary on call: `hinomi alert ack`, `unack`, `snooze`; an escalation; a kill in between.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::manager::Manager;
use crate::harness::target::{Reply, Target};
use crate::harness::{binary, output, wait_for};

fn config(hook: &Target) -> String {
    format!(
        "route: {{receiver: first, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h, \
         hinomi: {{escalate: [{{after: 3s, receiver: second}}]}}}}\n\
         receivers: [{{name: first, webhook_configs: [{{url: 'http://{0}/first'}}]}}, {{name: second, webhook_configs: [{{url: 'http://{0}/second'}}]}}]\n",
        hook.address
    )
}

/// What came to `path`: status, name of the first alert, reason.
fn told(hook: &Target, path: &str) -> Vec<(String, String)> {
    let requests = hook.requests();
    let of_path = requests.iter().filter(|request| request.path == path);
    let read = |body: &str| -> (String, String) {
        let body: Value = serde_json::from_str(body).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&body["alerts"][0]["labels"]["alertname"]), text(&body["status"]))
    };
    of_path.map(|request| read(&request.body)).collect()
}

#[test]
fn somebody_takes_an_alert_and_what_nobody_takes_goes_on() {
    let hook = Target::start(|_| Reply { status: 200, ..Reply::default() });
    let mut manager = Manager::start(&config(&hook), &[]);
    let wait = Duration::from_secs(20);
    let post = |manager: &Manager, name: &str| {
        let alert = json!([{"labels": {"alertname": name}}]);
        assert_eq!(manager.post("/api/v2/alerts", &alert).status, 200);
    };
    let alert = |manager: &Manager, args: &[&str]| {
        let url = format!("--alertmanager.url={}", manager.base);
        output(binary().arg("alert").args(args).arg(url))
    };
    // What was said comes through the kill.
    post(&manager, "Mine");
    let (code, said, errors) = alert(&manager, &["ack", "Mine", "--author", "kim", "--comment", "on it"]);
    assert_eq!((code, said.trim()), (0, "acknowledged Mine"), "{errors}");
    manager.process.kill9();
    manager.restart();
    let held = manager.get("/api/v2/acknowledgements").json();
    assert_eq!((&held[0]["by"], &held[0]["comment"]), (&json!("kim"), &json!("on it")));

    // Nobody takes the other one: the second receiver hears of it.
    post(&manager, "Other");
    let fires = |name: &str| (name.to_owned(), "firing".to_owned());
    wait_for("the escalation", wait, || told(&hook, "/second").contains(&fires("Other")).then_some(()));
    assert!(told(&hook, "/first").contains(&fires("Other")), "the first receiver comes first");

    // Given back: told at once.
    let n_told = || told(&hook, "/first").iter().filter(|told| **told == fires("Mine")).count();
    let n_before = n_told();
    let (code, _, errors) = alert(&manager, &["unack", "alertname=~\"M.*\"", "--author", "kim"]);
    assert_eq!(code, 0, "{errors}");
    wait_for("the one that was given back", wait, || (n_told() > n_before).then_some(()));
    let (code, said, errors) = alert(&manager, &["snooze", "Mine", "--author", "kim", "--for", "1h"]);
    assert!(code == 0 && said.starts_with("snoozed Mine until 20"), "{said}{errors}");
    let (code, said, errors) = alert(&manager, &["explain", "Mine"]);
    assert!(code == 0 && said.contains("held back: snoozed by kim until 20"), "{said}{errors}");
    let (_, said, errors) =
        alert(&manager, &["snooze", "Mine", "--author", "kim", "--for", "2h", "-o", "json"]);
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|err| panic!("{err}: {said}{errors}"));
    assert_eq!(said["alerts"][0]["labels"], json!({"alertname": "Mine"}));
    for (args, expected) in [
        (&["ack", "Nothing", "--author", "kim"][..], "no alert that fires matches"),
        (&["unack", "Other", "--author", "kim"][..], "nobody has acknowledged"),
        (&["snooze", "Mine", "--author", "kim", "--for", "soon"][..], "--for"),
        (&["ack", "Mine", "--author", ""][..], "Usage: hinomi alert ack"),
    ] {
        let (code, _, errors) = alert(&manager, args);
        assert!(code != 0 && errors.contains(expected), "{args:?}: {errors}");
    }
}
