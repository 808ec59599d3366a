//! `hinomi alertmanager` in the data directory that Debian's Alertmanager wrote: silences go on, nothing is said twice.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::manager::Manager;
use crate::harness::target::{Reply, Target};
use crate::harness::{delete, get, now_secs, peers, post, wait_for};

const JSON: &str = "application/json";

fn config(hook: &Target) -> String {
    format!(
        "route:\n  receiver: ops\n  group_by: [alertname]\n  group_wait: 1s\n  group_interval: 1s\n  repeat_interval: 1h\n  \
         routes:\n  - matchers: ['team=\"a b\"', 'kind=~\"x|y\"']\n    receiver: other\n\
         receivers:\n- name: ops\n  webhook_configs:\n  - url: http://{0}/ops\n- name: other\n  webhook_configs:\n  - url: http://{0}/other\n",
        hook.address
    )
}

fn alerts() -> Value {
    json!([
        {"labels": {"alertname": "Down", "instance": "a"}},
        {"labels": {"alertname": "Down", "instance": "b"}},
        {"labels": {"alertname": "Full", "team": "a b", "kind": "y", "path": "C:\\\"x\""}},
        {"labels": {"alertname": "Silent", "instance": "c"}},
    ])
}

fn silence(matchers: Value, created_by: &str, ends_in_secs: f64) -> Value {
    let at = |secs: f64| jiff::Timestamp::from_second((now_secs() + secs) as i64).unwrap().to_string();
    json!({"matchers": matchers, "startsAt": at(0.0), "endsAt": at(ends_in_secs), "createdBy": created_by, "comment": "理由 🙂"})
}

#[test]
fn the_data_of_an_alertmanager_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Target::start(|_| Reply { status: 200, ..Reply::default() });
    let mut theirs = peers::alertmanager(folder.path(), &config(&hook));
    let api = |path: &str| format!("{}/api/v2/{path}", theirs.base());
    let set = |silence: Value| {
        let answer = post(&api("silences"), JSON, &silence.to_string()).unwrap();
        answer.json()["silenceID"].as_str().unwrap().to_owned()
    };
    let is = |name: &str, value: &str, is_regex: bool, is_equal: bool| json!({"name": name, "value": value, "isRegex": is_regex, "isEqual": is_equal});
    let active = set(silence(json!([is("alertname", "Silent", false, true)]), "ann", 3_600.0));
    let wide = set(silence(json!([is("x", "a.*", true, true), is("y", "b|c", true, false)]), "bob", 7_200.0));
    let gone = set(silence(json!([is("z", "1", false, true)]), "eve", 3_600.0));
    assert_eq!(delete(&api(&format!("silence/{gone}"))).unwrap().status, 200);
    assert_eq!(post(&api("alerts"), JSON, &alerts().to_string()).unwrap().status, 200);
    wait_for("both groups told", Duration::from_secs(15), || (hook.requests().len() == 2).then_some(()));
    let shown = get(&api("silences")).unwrap().json();
    // It writes its files when it ends.
    theirs.process.signal("TERM");
    theirs.process.wait_exit(Duration::from_secs(15)).expect("an end");

    std::fs::rename(folder.path().join("alertmanager-data"), folder.path().join("data")).unwrap();
    let mut ours = Manager::start_in(folder, &config(&hook), &[]);
    let log = ours.process.log();
    assert!(log.contains("silences=3 notification_log_entries=2"), "{log}");
    assert_eq!(ours.get("/api/v2/silences").json(), shown);
    assert_eq!(ours.get(&format!("/api/v2/silence/{active}")).json()["status"]["state"], "active");
    assert_eq!(ours.get(&format!("/api/v2/silence/{wide}")).json()["matchers"][1]["isEqual"], false);

    // The same alerts: everybody knows, nobody is told. A new one: its group is told, once.
    assert_eq!(ours.post("/api/v2/alerts", &alerts()).status, 200);
    let quiet_until = now_secs() + 4.0;
    wait_for("some quiet time", Duration::from_secs(10), || (now_secs() > quiet_until).then_some(()));
    assert_eq!(hook.requests().len(), 2, "{:?}", hook.requests().last());
    let silenced = ours.get("/api/v2/alerts?filter=alertname%3DSilent").json();
    assert_eq!(silenced[0]["status"]["silencedBy"], json!([active]), "{silenced}");
    ours.post("/api/v2/alerts", &json!([{"labels": {"alertname": "Down", "instance": "new"}}]));
    let told = wait_for("the new one", Duration::from_secs(10), || hook.requests().get(2).cloned());
    let told: Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!(told["alerts"].as_array().unwrap().len(), 3, "{told}");

    // The next start reads our own file.
    ours.process.kill9();
    ours.restart();
    assert!(
        !ours.process.log().rsplit_once("Listening on").unwrap().1.contains("took over"),
        "{}",
        ours.process.log()
    );
    assert_eq!(ours.get("/api/v2/silences").json().as_array().unwrap().len(), 3);
}
