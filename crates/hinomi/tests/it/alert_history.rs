//! What happened to alerts, asked of the real binary over HTTP and from the command line.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::manager::Manager;
use crate::harness::target::{Reply, Target};
use crate::harness::{Hinomi, binary, output, wait_for};

fn config(good: &Target, bad: &Target) -> String {
    format!(
        "route: {{receiver: good, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h,\n\
         \x20 routes: [{{matchers: [alertname=Other], receiver: bad}}]}}\n\
         receivers:\n- name: good\n  webhook_configs: [{{url: 'http://{}/'}}]\n\
         - name: bad\n  webhook_configs: [{{url: 'http://{}/'}}]\n",
        good.address, bad.address
    )
}

fn alert(name: &str) -> Value {
    json!([{"labels": {"alertname": name, "instance": "web1"}}])
}

fn kinds(answer: &Value) -> Vec<&str> {
    answer["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

#[test]
fn what_happened_is_kept_over_a_kill_and_found_again() {
    let good = Target::start(|_| Reply { status: 200, ..Reply::default() });
    let bad = Target::start(|_| Reply { status: 400, body: b"no such room".to_vec(), ..Reply::default() });
    let mut manager = Manager::start(&config(&good, &bad), &[]);
    let put = |manager: &Manager, body: &Value| assert_eq!(manager.post("/api/v2/alerts", body).status, 200);
    put(&manager, &alert("Load"));
    put(&manager, &alert("Load"));
    put(&manager, &alert("Other"));
    let ask = |manager: &Manager, query: &str| manager.get(&format!("/api/v2/alerts/history?{query}")).json();
    wait_for("sent", Duration::from_secs(10), || {
        (kinds(&ask(&manager, "filter=alertname%3DLoad")) == ["sent", "firing"]).then_some(())
    });
    let failed = wait_for("failed", Duration::from_secs(10), || {
        let failed = ask(&manager, "kind=failed&receiver=bad");
        failed["events"].as_array().unwrap().first().cloned()
    });
    assert_eq!((&failed["integration"], &failed["attempt"]), (&json!("webhook"), &json!(1)), "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("no such room"), "{failed}");
    let silence = json!({"matchers": [{"name": "alertname", "value": "Load", "isRegex": false}], "createdBy": "ann",
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2100-01-01T00:00:00Z", "comment": "known"});
    assert_eq!(manager.post("/api/v2/silences", &silence).status, 200);
    wait_for("silenced", Duration::from_secs(20), || {
        (kinds(&ask(&manager, "filter=instance%3Dweb1&kind=silenced")) == ["silenced"]).then_some(())
    });
    manager.process.kill9();
    manager.restart();
    let all = ask(&manager, "filter=alertname%3DLoad");
    assert_eq!(kinds(&all), ["silenced", "silence_made", "sent", "firing"], "{all}");
    let first = ask(&manager, "filter=alertname%3DLoad&limit=3");
    let next = first["next"].as_str().expect("there is more");
    assert_eq!(kinds(&ask(&manager, &format!("filter=alertname%3DLoad&limit=3&cursor={next}"))), ["firing"]);
    by_command(&manager.base);
    for (query, why) in
        [("kind=x", "kind"), ("limit=0", "limit"), ("since=x", "since"), ("cursor=x", "cursor")]
    {
        let answer = manager.get(&format!("/api/v2/alerts/history?{query}"));
        assert!(answer.status == 400 && answer.body.contains(why), "{query}: {}", answer.body);
    }
}

fn by_command(base: &str) {
    let run = |args: &[&str]| {
        let url = format!("--alertmanager.url={base}");
        output(binary().args(["alert", "history", &url]).args(args))
    };
    let (code, shown, errors) = run(&["Load", "--since", "1h"]);
    assert!(code == 0 && shown.starts_with("TIME"), "{shown}{errors}");
    assert!(
        shown.contains(r#"silence {alertname="Load"}  until 2100-01-01T00:00:00.000Z by ann: known"#),
        "{shown}"
    );
    assert!(shown.contains("good webhook: 1 firing, first notification"), "{shown}");
    let (_, shown, _) = run(&["--kind", "failed", "-o", "csv"]);
    assert!(shown.starts_with("time,kind,about") && shown.contains(",failed,"), "{shown}");
    let (_, shown, _) = run(&["Load", "-o", "json"]);
    let events: Value = serde_json::from_str(&shown).expect("a list");
    assert_eq!(events.as_array().map(Vec::len), Some(4));
    let (code, _, errors) = run(&["a=~("]);
    assert!(code == 2 && errors.contains("a=~("), "{errors}");
}

const TREE: &str = "route: {receiver: all, routes: [{matchers: [team=web], receiver: web}, {matchers: [team=db], receiver: hook}]}\n\
    receivers: [{name: all}, {name: web}, {name: hook, webhook_configs: [{url: 'http://HOOK/secret-path'}]}]\n";

#[test]
fn a_test_says_what_the_other_side_answered_and_what_would_happen_is_explained() {
    let hook = Target::start(|request| match request.body.contains("refuse me") {
        true => Reply { status: 400, body: b"no such room".to_vec(), ..Reply::default() },
        false => Reply { status: 202, body: b"thanks".to_vec(), ..Reply::default() },
    });
    let config = TREE.replace("HOOK", &hook.address.to_string());
    let manager = Manager::start(&config, &[]);
    let url = format!("--alertmanager.url={}", manager.base);
    let run = |args: &[&str]| output(binary().arg("alert").args(args).arg(&url));
    let (code, shown, errors) = run(&["test", "hook", "Load", "severity=page", "--verbose"]);
    assert!(code == 0, "{shown}{errors}");
    assert!(
        shown.contains("delivered") && shown.contains("202 thanks") && shown.contains("resolved"),
        "{shown}"
    );
    assert!(!shown.contains("secret-path") && shown.contains("[TEST] Load"), "{shown}");
    let bodies: Vec<Value> =
        hook.requests().iter().map(|request| serde_json::from_str(&request.body).unwrap()).collect();
    assert_eq!(bodies.iter().map(|body| body["status"].clone()).collect::<Vec<_>>(), ["firing", "resolved"]);
    assert!(
        bodies[0]["alerts"][0]["annotations"]["summary"].as_str().unwrap().contains("test of the receiver")
    );
    let (code, shown, _) = run(&["test", "hook", "why=refuse me"]);
    assert!(code == 1 && shown.contains("400 no such room"), "{shown}");
    let (code, _, errors) = run(&["test", "nobody"]);
    assert!(code == 1 && errors.contains("there are \"all\", \"web\", \"hook\""), "{errors}");
    let test = json!({"receiver": "all"});
    let statuses: Vec<u16> = (0..6).map(|_| manager.post("/api/v2/receivers/test", &test).status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
    // No alert and no group came of it; the history has it.
    assert_eq!(manager.get("/api/v2/alerts/groups").json(), json!([]));
    let history = manager.get("/api/v2/alerts/history?receiver=hook").json();
    assert_eq!(kinds(&history), ["failed", "sent", "sent"], "{history}");
    let known = manager.get("/api/v2/receivers/integrations").json();
    assert!(
        known[2]["integrations"][0]["last"]["error"].as_str().unwrap().contains("no such room"),
        "{known}"
    );

    let silence = json!({"matchers": [{"name": "team", "value": "db", "isRegex": false}], "createdBy": "ann",
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2100-01-01T00:00:00Z", "comment": "known"});
    assert_eq!(manager.post("/api/v2/silences", &silence).status, 200);
    let (code, shown, errors) = run(&["explain", "Slow", "team=db"]);
    assert!(code == 0 && shown.contains("team=\"web\" → web  ✗ team=\"web\": has \"db\""), "{shown}{errors}");
    assert!(
        shown.contains("✓ taken") && shown.contains("of ann until 2100-01-01T00:00:00.000Z: known"),
        "{shown}"
    );
    let file = format!("--config.file={}", manager.folder.path().join("alertmanager.yml").display());
    let (code, shown, errors) = output(binary().args(["alert", "explain", "team=db", &file]));
    assert!(code == 0 && shown.contains("silences and other alerts are not known"), "{shown}{errors}");
    let bad = manager.get("/api/v2/alerts/history?since=1700000000&until=1600000000");
    assert!(bad.status == 400 && bad.body.contains("until lies before since"), "{}", bad.body);
    let bad = manager.get("/api/v2/explain?label=x");
    assert!(bad.status == 400 && bad.body.contains("name=value"), "{}", bad.body);
}

#[test]
fn the_manager_inside_the_server_keeps_its_history_too() {
    let server = Hinomi::start(None, &[]);
    assert_eq!(server.post("/api/v2/alerts", "application/json", &alert("Load").to_string()).status, 200);
    let answer = server.get("/api/v2/alerts/history?filter=alertname%3DLoad").json();
    assert_eq!(kinds(&answer), ["firing"], "{answer}");
    let off = Hinomi::start(None, &["--alerts.history-max-bytes=0"]);
    assert_eq!(off.get("/api/v2/alerts/history").status, 404);
}

#[test]
fn a_rule_is_tried_over_what_is_stored() {
    let up = Target::start(|_| Reply::text("m 1\n"));
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{scrape_interval: 500ms, evaluation_interval: 1s}}\nscrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['{}']}}]\n",
        up.address
    );
    let path = folder.path().join("prometheus.yml");
    std::fs::write(&path, config).unwrap();
    let rules = folder.path().join("rules.yml");
    std::fs::write(&rules, "groups: [{name: g, rules: [{record: r, expr: m}, {alert: M, expr: m > 0, for: 1s}, {alert: N, expr: m > 1}]}]").unwrap();
    let rules = rules.display().to_string();
    let server = Hinomi::start_in(folder, vec![format!("--config.file={}", path.display())]);
    let url = format!("--server={}", server.base);
    let run = |args: &[&str]| output(binary().args(["alert", "try", &url, "--since=5m"]).args(args));
    let found = wait_for("a firing", Duration::from_secs(30), || {
        let (code, shown, errors) = run(&["--expr", "m > 0", "--alert", "Up", "--for", "2s", "-o", "json"]);
        assert!(code == 0, "{errors}");
        let answer: Value = serde_json::from_str(&shown).unwrap();
        (answer["rules"][0]["count"] == 1).then(|| answer["rules"][0]["firings"][0].clone())
    });
    assert_eq!((&found["labels"]["alertname"], &found["peak"]), (&json!("Up"), &json!("1")), "{found}");
    assert!(found["end"].is_null(), "{found}");
    let (code, shown, errors) = run(&[&rules]);
    assert!(code == 0 && shown.contains("M: 1 firing in the last 5m"), "{shown}{errors}");
    assert!(shown.contains("N: no firing in the last 5m") && shown.contains("still"), "{shown}");
    let (code, _, errors) = run(&["--expr", "m >"]);
    assert!(code == 1 && errors.contains("parse error"), "{errors}");
    let (code, _, _) = run(&[]);
    assert_eq!(code, 2);
}
