//! Scenarios that are questions to the API.

use serde_json::{Value, json};

use crate::harness::manager::Manager;
use crate::harness::{escaped, get, now_secs};

const CONFIG: &str = "route: {receiver: default, group_by: [], group_wait: 1s, group_interval: 10m, repeat_interval: 1h}\n\
                      receivers: [{name: default}]\n\
                      inhibit_rules:\n- source_match: {severity: critical}\n  target_match: {severity: warning}\n  equal: [alertname]\n";

pub(super) fn scenarios() -> Vec<(&'static str, fn())> {
    vec![
        ("AddAlerts", add_alerts),
        ("AlertGetReturnsCurrentAlertStatus", current_status),
        ("FilterAlertRequest", filter),
        ("AddUTF8Alerts", utf8_alerts),
        ("AddUTF8Silences", utf8_silences),
        ("AddSilence", add_silence),
        ("WebWithPrefix", prefix),
        ("EmptyInhibitionRule", empty_rule),
    ]
}

fn at(secs: f64) -> String {
    jiff::Timestamp::from_millisecond(((now_secs() + secs) * 1e3) as i64).unwrap().to_string()
}

fn alert(labels: Value) -> Value {
    json!({"labels": labels, "startsAt": at(0.0), "endsAt": at(300.0)})
}

fn silence(name: &str, value: &str) -> Value {
    json!({"matchers": [{"name": name, "value": value, "isRegex": false, "isEqual": true}],
        "startsAt": at(0.0), "endsAt": at(86_400.0), "createdBy": "test", "comment": "test"})
}

/// The alerts for a query string.
fn alerts(manager: &Manager, query: &str) -> Vec<Value> {
    manager.get(&format!("/api/v2/alerts{query}")).json().as_array().unwrap().clone()
}

fn add_alerts() {
    let manager = Manager::start(CONFIG, &[]);
    assert_eq!(
        manager
            .post("/api/v2/alerts", &json!([alert(json!({"a": "b", "b": "Σ", "c": "🙂", "d": "eΘ"}))]))
            .status,
        200
    );
    assert_eq!(alerts(&manager, "").len(), 1);
}

fn current_status() {
    let manager = Manager::start(CONFIG, &[]);
    let of = |severity: &str| alert(json!({"alertname": "test1", "severity": severity}));
    let put = |severity: &str| assert_eq!(manager.post("/api/v2/alerts", &json!([of(severity)])).status, 200);
    put("warning");
    assert_eq!(alerts(&manager, "")[0]["status"]["state"], "active");
    let id = manager.post("/api/v2/silences", &silence("alertname", "test1")).json()["silenceID"].clone();
    let shown = alerts(&manager, "");
    assert_eq!(
        (&shown[0]["status"]["state"], &shown[0]["status"]["silencedBy"]),
        (&json!("suppressed"), &json!([id]))
    );
    put("critical");
    let critical = &alerts(&manager, "?filter=severity%3Dcritical")[0];
    let warning = &alerts(&manager, "?filter=severity%3Dwarning")[0];
    assert_eq!(warning["status"]["inhibitedBy"], json!([critical["fingerprint"]]));
    assert_eq!(warning["status"]["silencedBy"], json!([id]));
    assert_eq!(manager.delete(&format!("/api/v2/silence/{}", id.as_str().unwrap())).status, 200);
    let state = |severity: &str| {
        let shown = alerts(&manager, &format!("?filter=severity%3D{severity}"));
        assert_eq!(shown[0]["status"]["silencedBy"], json!([]));
        shown[0]["status"]["state"].clone()
    };
    assert_eq!((state("critical"), state("warning")), (json!("active"), json!("suppressed")));
}

fn filter() {
    let manager = Manager::start(CONFIG, &[]);
    let one = alert(json!({"alertname": "test1", "severity": "warning"}));
    let two = alert(json!({"system": "foo", "severity": "critical"}));
    assert_eq!(manager.post("/api/v2/alerts", &json!([one, two])).status, 200);
    let shown = alerts(&manager, "?filter=alertname%3Dtest1&filter=severity%3Dwarning");
    assert_eq!((shown.len(), &shown[0]["status"]["state"]), (1, &json!("active")));
}

fn utf8_alerts() {
    let manager = Manager::start(CONFIG, &[]);
    let labels = json!({"a": "a", "00": "b", "Σ": "c", "🙂": "dΘ"});
    assert_eq!(manager.post("/api/v2/alerts", &json!([alert(labels.clone())])).status, 200);
    let filters: Vec<String> = ["00=b", "Σ=c", r#""\xf0\x9f\x99\x82"=dΘ"#]
        .iter()
        .map(|text| format!("filter={}", escaped(text)))
        .collect();
    let query = format!("?{}", filters.join("&"));
    assert_eq!(alerts(&manager, "")[0]["labels"], labels);
    assert_eq!(alerts(&manager, &query)[0]["labels"], labels);
    let groups = manager.get(&format!("/api/v2/alerts/groups{query}")).json();
    assert_eq!(groups[0]["alerts"][0]["labels"], labels, "{groups}");
}

fn utf8_silences() {
    let manager = Manager::start(CONFIG, &[]);
    let silence = silence("fooΣ", "bar🙂");
    assert_eq!(manager.post("/api/v2/silences", &silence).status, 200);
    for query in [String::new(), format!("?filter={}", escaped("fooΣ=bar🙂"))] {
        let shown = manager.get(&format!("/api/v2/silences{query}")).json();
        assert_eq!((shown.as_array().unwrap().len(), &shown[0]["matchers"]), (1, &silence["matchers"]));
    }
}

fn add_silence() {
    let manager = Manager::start(CONFIG, &[]);
    let answer = manager.post("/api/v2/silences", &silence("foo", "bar"));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn prefix() {
    let manager = Manager::start(CONFIG, &["--web.route-prefix=/foo"]);
    assert_eq!(
        manager.get("/api/v2/status").json()["versionInfo"]["version"].as_str().unwrap()[..5],
        *"0.34."
    );
    let root = manager.base.trim_end_matches("/foo");
    assert_eq!(get(&format!("{root}/api/v2/status")).unwrap().status, 404);
}

fn empty_rule() {
    let manager =
        Manager::start("route: {receiver: default}\nreceivers: [{name: default}]\ninhibit_rules:\n-\n", &[]);
    assert_eq!(manager.post("/api/v2/alerts", &json!([alert(json!({"alertname": "a"}))])).status, 200);
    assert_eq!(alerts(&manager, "")[0]["status"]["state"], "active");
}
