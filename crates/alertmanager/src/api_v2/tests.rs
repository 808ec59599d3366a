//! Requests and answers against a running alertmanager with a clock that stands still until told.

use std::sync::Arc;

use serde_json::{Value, json};
use stdx::clock::TEST_EPOCH_MS;
use stdx::metrics::Registry;
use stdx::{MemDir, TestClock};

use crate::{BuildInfo, Config, Handle, Options, Reply, spawn};

const CONFIG: &str = r#"
route: {receiver: default, group_by: [alertname], routes: [{matchers: [team=b], receiver: b, labels: {to: bob, say: '{{ routeLabels "to" }}: {{ .CommonLabels.alertname }}', bad: '{{ routeLabels "bad" }}'}, hinomi: {escalate: [{after: 15m, receiver: default}]}}]}
receivers: [{name: default}, {name: b, labels: {owner: bob}}]
inhibit_rules: [{source_matchers: [alertname=Grave], target_matchers: [alertname=Small], equal: [host]}]
"#;

struct Api {
    handle: Handle,
    clock: Arc<TestClock>,
    dir: MemDir,
}

fn start_in(dir: MemDir) -> Api {
    let clock = Arc::new(TestClock::new());
    let options = Options {
        config: Config::parse("a.yml", CONFIG).expect("good"),
        dir: Arc::new(dir.clone()),
        files: Arc::new(MemDir::new()),
        clock: Arc::clone(&clock) as Arc<dyn stdx::Clock>,
        registry: Registry::new(),
        external_url: "http://h:9090".to_owned(),
        retention: "120h".parse().expect("good"),
        start_delay: model::Duration::ZERO,
        limits: crate::Limits::default(),
        logs_silences: false,
        metric_detail: crate::MetricDetail::default(),
        build: BuildInfo { version: "0.34.0".to_owned(), ..BuildInfo::default() },
        instance: "h".to_owned(),
        cluster: None,
        samples: None,
    };
    Api { handle: spawn(options).expect("good"), clock, dir }
}

fn start() -> Api {
    start_in(MemDir::new())
}

fn json_of(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{reply:?}");
    serde_json::from_str(&reply.body).expect("JSON")
}

fn check_error(reply: &Reply, status: u16, part: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert!(reply.body.contains(part), "{part:?} in {reply:?}");
}

impl Api {
    fn post(&self, alerts: &Value) -> Reply {
        self.handle.post_alerts(alerts.to_string().as_bytes())
    }

    /// Names of the alerts that `query` gives.
    fn names(&self, query: &str) -> Vec<String> {
        let list = json_of(&self.handle.get_alerts(query));
        let mut names: Vec<String> = list
            .as_array()
            .expect("a list")
            .iter()
            .map(|a| a["labels"]["alertname"].as_str().expect("named").to_owned())
            .collect();
        names.sort();
        names
    }

    fn silence(&self, body: &Value) -> Reply {
        self.handle.post_silences(body.to_string().as_bytes())
    }
}

fn silence_of(name: &str) -> Value {
    json!({
        "matchers": [{"name": "alertname", "value": name, "isRegex": false}],
        "startsAt": "2025-01-01T00:00:00.000Z", "endsAt": "2025-01-01T01:00:00.000Z",
        "createdBy": "me", "comment": "quiet"
    })
}

#[tokio::test]
async fn an_alert_is_shown_as_upstream_shows_it() {
    let api = start();
    let reply = api.post(&json!([{
        "labels": {"alertname": "Up", "empty": "", "日本": "語"}, "annotations": {"summary": "s", "empty": ""},
        "startsAt": "0001-01-01T00:00:00.000Z", "endsAt": "0001-01-01T00:00:00.000Z", "generatorURL": "http://g/"
    }]));
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    let list = json_of(&api.handle.get_alerts(""));
    let fingerprint = list[0]["fingerprint"].clone();
    assert_eq!(fingerprint.as_str().map(str::len), Some(16));
    assert_eq!(
        list[0],
        json!({
            "annotations": {"empty": "", "summary": "s"}, "endsAt": "2025-01-01T00:05:00.000Z", "fingerprint": fingerprint,
            "receivers": [{"name": "default"}], "startsAt": "2025-01-01T00:00:00.000Z",
            "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": [], "state": "active"},
            "updatedAt": "2025-01-01T00:00:00.000Z", "generatorURL": "http://g/",
            "labels": {"alertname": "Up", "日本": "語"}
        })
    );
    // An end that has passed takes it from the list at once.
    api.clock.advance_ms(300_000);
    assert!(api.names("").is_empty());
    api.handle.shutdown().await;
}

#[tokio::test]
async fn filters_choose_alerts() {
    let api = start();
    let alert = |name: &str, team: &str| json!({"labels": {"alertname": name, "team": team, "host": "h"}});
    let reply = api.post(&json!([alert("Grave", "a"), alert("Small", "b"), alert("Quiet", "a")]));
    assert_eq!(reply.status, 200);
    let id = json_of(&api.silence(&silence_of("Quiet")))["silenceID"].as_str().expect("an id").to_owned();
    let check = |query: &str, expected: &[&str]| assert_eq!(api.names(query), expected, "{query}");
    check("", &["Grave", "Quiet", "Small"]);
    check("active=true&silenced=false&inhibited=false", &["Grave"]);
    check("active=false", &["Quiet", "Small"]);
    check("active=false&silenced=false", &["Small"]);
    check("filter=team%3D%22a%22", &["Grave", "Quiet"]);
    check("filter=team%3Da&filter=alertname%21~%22Q.*%22", &["Grave"]);
    check("filter=nothing%3D%22%22&receiver=b", &["Small"]);
    check("receiver=b.*", &["Small"]);
    check("receiver=", &["Grave", "Quiet", "Small"]);
    check("receiver_matchers=owner%3Dbob", &["Small"]);
    check_error(&api.handle.get_alerts("filter=%7Ba%7D"), 400, "\"unexpected open or close brace: {a}\"");
    check_error(&api.handle.get_alerts("filter=a"), 400, "\"bad matcher format: a: 1:1");
    check_error(
        &api.handle.get_alerts("receiver_matchers=a"),
        400,
        "\"failed to parse receiver_matchers param: ",
    );
    check_error(&api.handle.get_alerts("receiver=%28"), 400, "failed to parse receiver param");
    // What keeps them quiet is named, and goes at once with its reason.
    let small = json_of(&api.handle.get_alerts("filter=alertname%3DSmall"));
    assert_eq!(small[0]["status"]["inhibitedBy"].as_array().map(Vec::len), Some(1));
    let quiet = json_of(&api.handle.get_alerts("filter=alertname%3DQuiet"));
    assert_eq!(quiet[0]["status"]["silencedBy"], json!([id]));
    assert_eq!(api.handle.delete_silence(&id).status, 200);
    check("active=false", &["Small"]);
    api.handle.shutdown().await;
}

#[tokio::test]
async fn groups_are_listed_with_their_alerts() {
    let api = start();
    let _ = api.post(&json!([
        {"labels": {"alertname": "B", "instance": "2"}}, {"labels": {"alertname": "B", "instance": "1"}},
        {"labels": {"alertname": "A", "team": "b"}}
    ]));
    let groups = json_of(&api.handle.get_alert_groups(""));
    let shown: Vec<_> = groups
        .as_array()
        .expect("a list")
        .iter()
        .map(|g| {
            (
                g["labels"]["alertname"].clone(),
                g["receiver"]["name"].clone(),
                g["alerts"].as_array().map(Vec::len),
            )
        })
        .collect();
    assert_eq!(shown, [(json!("A"), json!("b"), Some(1)), (json!("B"), json!("default"), Some(2))]);
    assert_eq!(groups[1]["alerts"][0]["labels"]["instance"], "1");
    assert_eq!(
        groups[0]["routeLabels"],
        json!({"to": "bob", "say": "bob: A"}),
        "without what waits for itself"
    );
    assert_eq!(groups[1]["routeLabels"], json!({}));
    assert_eq!(json_of(&api.handle.get_alert_groups("receiver=b")).as_array().map(Vec::len), Some(1));
    api.handle.shutdown().await;
}

#[tokio::test]
async fn wrong_alerts_are_refused_and_the_others_kept() {
    let api = start();
    check_error(&api.handle.post_alerts(b"[{"), 400, "\"code\":400");
    check_error(&api.handle.post_alerts(br#"[{"annotations":{}}]"#), 422, "0.labels in body is required");
    // What is missing or cannot be read at all is refused as a whole, with upstream's codes.
    check_error(
        &api.handle.post_alerts(b" "),
        422,
        "\"code\":602,\"message\":\"alerts in body is required\"",
    );
    check_error(&api.handle.post_alerts(br#"[{"labels":{"a":"b"},"startsAt":"then"}]"#), 400, "\"code\":400");
    let not_uri = br#"[{"labels":{"a":"b"}},{"labels":{"a":"c"},"generatorURL":"not a url"}]"#;
    check_error(&api.handle.post_alerts(not_uri), 422, "1.generatorURL in body must be of type uri");
    assert_eq!(api.handle.post_alerts(b"null").status, 200);
    let reply = api.post(&json!([
        {"labels": {}}, {"labels": {"": "x"}}, {"labels": {"alertname": "Good"}},
        {"labels": {"alertname": "A"}, "startsAt": "2025-01-01T00:00:00Z", "endsAt": "2024-01-01T00:00:00Z"},
        {"labels": {"alertname": "x".repeat(70_000)}}
    ]));
    for part in [
        "at least one label pair required",
        "invalid label set: invalid name",
        "start time must be before end time",
        "longer than 65536 bytes",
    ] {
        check_error(&reply, 400, part);
    }
    assert_eq!(api.names(""), ["Good"]);
    api.handle.shutdown().await;
}

#[tokio::test]
async fn silences_live_and_die() {
    let api = start();
    let id = json_of(&api.silence(&silence_of("A")))["silenceID"].as_str().expect("an id").to_owned();
    assert_eq!((id.len(), &id[14..15]), (36, "4"));
    let shown = json_of(&api.handle.get_silence(&id));
    assert_eq!(
        shown,
        json!({
            "id": id, "status": {"state": "active"}, "updatedAt": "2025-01-01T00:00:00.000Z", "comment": "quiet",
            "createdBy": "me", "endsAt": "2025-01-01T01:00:00.000Z", "startsAt": "2025-01-01T00:00:00.000Z",
            "matchers": [{"isEqual": true, "isRegex": false, "name": "alertname", "value": "A"}]
        })
    );
    // Longer, under the same id.
    let mut longer = silence_of("A");
    longer["id"] = json!(id);
    longer["endsAt"] = json!("2025-01-01T02:00:00.000Z");
    assert_eq!(json_of(&api.silence(&longer))["silenceID"], json!(id));
    let count = |query: &str| json_of(&api.handle.get_silences(query)).as_array().map_or(0, Vec::len);
    assert_eq!(
        (count(""), count("filter=alertname%3D%22A%22"), count("filter=alertname%3D%22B%22")),
        (1, 1, 0)
    );
    assert_eq!(api.handle.delete_silence(&id).status, 200);
    assert_eq!((count(""), count("expired=false")), (1, 0));
    assert_eq!(json_of(&api.handle.get_silence(&id))["status"]["state"], "expired");

    let unknown = "01234567-89ab-4cde-8f01-23456789abcd";
    assert_eq!(
        (api.handle.get_silence(unknown).status, api.handle.delete_silence(unknown).status),
        (404, 404)
    );
    check_error(&api.handle.get_silence("x"), 422, "must be of type uuid");
    let with = |key: &str, value: Value| {
        let mut body = silence_of("A");
        body[key] = value;
        api.silence(&body)
    };
    check_error(&with("id", json!(unknown)), 404, "silence not found");
    check_error(&with("matchers", json!([])), 422, "at least 1 items");
    check_error(&with("matchers", json!(null)), 422, "matchers in body is required");
    check_error(
        &with("endsAt", json!("2025-01-01T00:00:00.000Z")),
        400,
        "start time must be before end time",
    );
    check_error(&with("startsAt", json!("2024-01-01T00:00:00.000Z")).clone(), 200, "silenceID");
    let mut past = silence_of("A");
    past["startsAt"] = json!("2024-01-01T00:00:00.000Z");
    past["endsAt"] = json!("2024-01-02T00:00:00.000Z");
    check_error(&api.silence(&past), 400, "end time can't be in the past");
    check_error(
        &with("matchers", json!([{"name": "a", "value": "(", "isRegex": true}])),
        400,
        "invalid label matcher",
    );
    check_error(
        &with("matchers", json!([{"name": "a", "value": "", "isRegex": false}])),
        400,
        "must not match the empty string",
    );
    check_error(&api.handle.post_silences(b"{"), 400, "parsing silence body");
    api.handle.shutdown().await;
}

#[tokio::test]
async fn an_acknowledged_silence_survives_a_kill() {
    let api = start();
    let id = json_of(&api.silence(&silence_of("A")))["silenceID"].as_str().expect("an id").to_owned();
    // No shutdown: what a killed process leaves behind.
    let again = start_in(api.dir.kill_image());
    assert_eq!(json_of(&again.handle.get_silence(&id))["status"]["state"], "active");
    again.handle.shutdown().await;
    api.handle.shutdown().await;
}

#[tokio::test]
async fn status_and_receivers_are_shown() {
    let api = start();
    let status = json_of(&api.handle.get_status());
    assert_eq!(status["cluster"], json!({"status": "disabled", "peers": []}));
    assert_eq!(status["versionInfo"]["version"], "0.34.0");
    assert_eq!(status["uptime"], "2025-01-01T00:00:00.000Z");
    assert!(Config::parse("shown", status["config"]["original"].as_str().expect("text")).is_ok());
    let receivers = json_of(&api.handle.get_receivers(""));
    assert_eq!(
        receivers,
        json!([{"name": "default", "labels": {"name": "default"}}, {"name": "b", "labels": {"name": "b", "owner": "bob"}}])
    );
    assert_eq!(
        json_of(&api.handle.get_receivers("receiver_matchers=name%3Db")).as_array().map(Vec::len),
        Some(1)
    );
    api.handle.shutdown().await;
}

#[tokio::test]
async fn a_refused_reload_changes_nothing_and_rules_alerts_come_in() {
    let api = start();
    let alert = model::Alert {
        labels: model::Labels::from_pairs([("alertname", "FromRule")]),
        annotations: model::Labels::empty(),
        starts_at_ms: TEST_EPOCH_MS,
        ends_at_ms: TEST_EPOCH_MS + 240_000,
        generator_url: String::new(),
        measured: None,
    };
    api.handle.put_alerts(vec![alert]);
    let bad = "route: {receiver: r}\nreceivers: [{name: r, webhook_configs: [{url: 'http://h/', http_config: {tls_config: {ca_file: /nowhere.pem}}}]}]";
    let err = api.handle.reload(Config::parse("a.yml", bad).expect("read later")).expect_err("no such file");
    assert!(err.to_string().contains("nowhere.pem"), "{err}");
    assert_eq!(json_of(&api.handle.get_receivers("")).as_array().map(Vec::len), Some(2));
    api.handle.reload(Config::builtin()).expect("good");
    assert_eq!(json_of(&api.handle.get_receivers("")).as_array().map(Vec::len), Some(1));
    assert_eq!(api.names(""), ["FromRule"]);
    api.handle.shutdown().await;
    api.handle.shutdown().await;
}

fn window_of(name: &str) -> Value {
    json!({
        "name": name, "matchers": ["alertname=Up"], "start": "2025-01-01T09:30", "duration": "2h",
        "recurrence": "FREQ=WEEKLY;BYDAY=WE", "timeZone": "Asia/Tokyo", "owner": "ann", "reason": "backup"
    })
}

#[tokio::test]
async fn windows_are_made_previewed_changed_ended_and_deleted() {
    // 2025-01-01T00:00:00Z is 09:00 in Tokyo: the first run begins in half an hour.
    let api = start();
    api.post(&json!([{"labels": {"alertname": "Up"}}, {"labels": {"alertname": "Other"}}]));
    let (handle, body) = (&api.handle, |value: &Value| value.to_string().into_bytes());
    let preview = json_of(&handle.post_maintenance_preview(&body(&json!({
        "matchers": [{"name": "alertname", "value": "U.", "isRegex": true}],
        "start": "2025-01-01T09:30", "duration": "2h", "recurrence": "RRULE:FREQ=DAILY", "timeZone": "Asia/Tokyo"
    }))));
    assert_eq!(
        (&preview["matchedAlerts"], &preview["alerts"][0]["labels"]),
        (&json!(1), &json!({"alertname": "Up"}))
    );
    assert_eq!(preview["runs"].as_array().map(Vec::len), Some(5));
    let run = json!({"startsAt": "2025-01-01T00:30:00.000Z", "endsAt": "2025-01-01T02:30:00.000Z"});
    assert_eq!(preview["runs"][0], run);

    let made = json_of(&handle.post_maintenance(&body(&window_of("backup"))));
    let id = made["id"].as_str().expect("an id").to_owned();
    assert_eq!((&made["state"], &made["origin"]), (&json!("waiting"), &json!("api")));
    assert_eq!(json_of(&handle.get_maintenance())[0], json_of(&handle.get_maintenance_window(&id)));
    assert_eq!(json_of(&handle.get_maintenance_preview(&id))["matchedAlerts"], json!(1));
    check_error(&handle.end_maintenance_window(&id), 409, "not running");

    // A change begins a run now; the answer can be sent back as it is.
    let mut changed = made.clone();
    changed["start"] = json!("2025-01-01T09:00");
    let changed = json_of(&handle.put_maintenance_window(&id, &body(&changed)));
    assert_eq!(changed["state"], json!("active"));
    let alerts = json_of(&handle.get_alerts("filter=alertname%3DUp"));
    assert_eq!(alerts[0]["status"]["silencedBy"], changed["silences"]);
    let silence = json_of(&handle.get_silence(changed["silences"][0].as_str().expect("an id")));
    assert_eq!(
        (&silence["comment"], &silence["createdBy"]),
        (&json!("Maintenance \"backup\": backup"), &json!("ann"))
    );
    assert_eq!(silence["annotations"], json!({"hinomi_maintenance": "backup", "hinomi_maintenance_id": id}));

    let ended = json_of(&handle.end_maintenance_window(&id));
    assert_eq!(
        (&ended["state"], &ended["runs"][0]["startsAt"]),
        (&json!("waiting"), &json!("2025-01-08T00:00:00.000Z"))
    );
    assert_eq!(api.names("active=true&silenced=false"), ["Other", "Up"]);
    assert_eq!(handle.delete_maintenance_window(&id).status, 200);
    assert_eq!(handle.get_maintenance_window(&id).status, 404);
    api.handle.shutdown().await;
    let again = start_in(api.dir.clone());
    assert_eq!(json_of(&again.handle.get_maintenance()), json!([]));
    again.handle.shutdown().await;
}

#[tokio::test]
async fn windows_that_cannot_be_are_refused_with_what_to_change() {
    let api = start();
    let check = |field: &str, value: Value, status: u16, part: &str| {
        let mut window = window_of("w");
        window[field] = value;
        check_error(&api.handle.post_maintenance(window.to_string().as_bytes()), status, part);
    };
    check("matchers", json!([]), 400, "matchers: at least one matcher required");
    check("matchers", json!(["a"]), 400, "matchers: a: ");
    check("recurrence", json!("FREQ=SOMETIMES"), 400, "recurrence: FREQ=SOMETIMES is unknown");
    check("timeZone", json!("JST-9"), 400, "time zone: ");
    check("owner", json!(""), 400, "owner: an owner is needed");
    let mut past = window_of("past");
    (past["start"], past["recurrence"]) = (json!("2020-01-01T00:00"), json!(""));
    let past = past.to_string();
    check_error(&api.handle.post_maintenance(past.as_bytes()), 400, "start: every run is over already");
    check("colour", json!("red"), 400, "unknown field `colour`");
    check_error(&api.handle.post_maintenance(b"{"), 400, "no maintenance window");
    check_error(&api.handle.put_maintenance_window("x", b"{}"), 404, "not found");
    check_error(&api.handle.delete_maintenance_window("x"), 404, "not found");
    check_error(&api.handle.end_maintenance_window("x"), 404, "not found");
    check_error(&api.handle.get_maintenance_preview("x"), 404, "not found");
    // A silence cannot say that it is of a window.
    let mut silence = silence_of("a");
    silence["annotations"] = json!({"hinomi_maintenance_id": "x", "own": "kept"});
    let id = json_of(&api.silence(&silence))["silenceID"].as_str().expect("an id").to_owned();
    assert_eq!(json_of(&api.handle.get_silence(&id))["annotations"], json!({"own": "kept"}));
    api.handle.shutdown().await;
}

#[tokio::test]
async fn who_escalates_to_a_receiver_is_said() {
    let api = start();
    let receivers = json_of(&api.handle.get_integrations());
    let leads = |idx: usize| (receivers[idx]["routes"].clone(), receivers[idx]["escalations"].clone());
    assert_eq!(leads(1), (json!(["{}/{team=\"b\"}"]), json!([])));
    assert_eq!(leads(0), (json!(["{}"]), json!(["{}/{team=\"b\"}"])));
    let tree = &json_of(&api.handle.get_explained(""))["tree"];
    assert_eq!(tree["routes"][0]["escalate"], json!([{"receiver": "default", "after": 900.0}]));
    assert_eq!(tree["escalate"], Value::Null);
    api.handle.shutdown().await;
}

#[tokio::test]
async fn alerts_are_taken_in_hand_and_given_back() {
    let api = start();
    api.post(&json!([{"labels": {"alertname": "A", "host": "x"}}, {"labels": {"alertname": "B"}}]));
    let say = |body: &Value| api.handle.post_acknowledgements(body.to_string().as_bytes());
    let end = |body: &Value| api.handle.end_acknowledgements(body.to_string().as_bytes());
    for (body, status, part) in [
        (json!({"matchers": ["alertname=A"]}), 422, "createdBy"),
        (json!({"createdBy": " ", "matchers": ["alertname=A"]}), 422, "createdBy"),
        (json!({"createdBy": "kim"}), 400, "fingerprints or matchers"),
        (json!({"createdBy": "kim", "matchers": ["alertname"]}), 400, "bad matcher"),
        (json!({"createdBy": "kim", "fingerprints": ["1"]}), 400, "bad fingerprint"),
        (json!({"createdBy": "kim", "matchers": ["alertname=C"]}), 404, "no alert"),
        (json!({"createdBy": "kim", "matchers": ["alertname=A"], "endsAt": "soon"}), 422, "date-time"),
        (
            json!({"createdBy": "kim", "matchers": ["alertname=A"], "endsAt": "2020-01-01T00:00:00Z"}),
            400,
            "future",
        ),
        (json!({"createdBy": "kim", "matchers": ["alertname=A"], "ends": 1}), 400, "unknown field"),
        (json!({"createdBy": "x".repeat(5_000), "matchers": ["alertname=A"]}), 400, "longer than"),
    ] {
        check_error(&say(&body), status, part);
    }
    check_error(&end(&json!({"createdBy": "kim", "matchers": ["alertname=A"]})), 404, "nobody has");

    let taken = json_of(&say(&json!({"createdBy": "kim", "comment": "mine", "matchers": ["alertname=A"]})));
    assert_eq!(taken["alerts"][0]["labels"], json!({"alertname": "A", "host": "x"}));
    let fingerprint = taken["alerts"][0]["fingerprint"].clone();
    let held = |api: &Api| json_of(&api.handle.get_acknowledgements(""));
    assert_eq!(held(&api)[0]["by"], "kim");
    assert_eq!(json_of(&api.handle.get_acknowledgements("filter=alertname%3DB")), json!([]));
    let alerts = json_of(&api.handle.get_alerts("filter=alertname%3DA"));
    assert_eq!(alerts[0]["hinomi"]["acknowledged"]["comment"], "mine");
    assert_eq!(alerts[0]["status"]["state"], "active");
    assert_eq!(json_of(&api.handle.get_alerts("filter=alertname%3DB"))[0]["hinomi"], Value::Null);

    // Written down before it was answered.
    let again = start_in(api.dir.kill_image());
    assert_eq!(held(&again)[0]["fingerprint"], fingerprint);
    json_of(&end(&json!({"createdBy": "lee", "fingerprints": [fingerprint]})));
    assert_eq!(held(&api), json!([]));
}
