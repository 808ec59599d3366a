//! `hinomi silence` against the real binary: made with a look at what it hides, listed, ended; what cannot be is refused.

use serde_json::{Value, json};

use crate::harness::manager::Manager;
use crate::harness::{binary, output};

const CONFIG: &str = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";

#[test]
fn a_silence_is_made_seen_and_ended_from_the_command_line() {
    let manager = Manager::start(CONFIG, &[]);
    let alert = |name: &str| json!([{"labels": {"alertname": name, "instance": "web1"}}]);
    for name in ["Load", "Slow"] {
        assert_eq!(manager.post("/api/v2/alerts", &alert(name)).status, 200);
    }
    let run = |args: &[&str]| {
        let url = format!("--alertmanager.url={}", manager.base);
        let (code, out, err) = output(binary().arg("silence").args(args).arg(url));
        (code, format!("{out}{err}"))
    };
    let check = |args: &[&str], code: i32, parts: &[&str]| {
        let (got, text) = run(args);
        assert_eq!(got, code, "{args:?}: {text}");
        for part in parts {
            assert!(text.contains(part), "{part:?} in what {args:?} said: {text}");
        }
    };
    let by = ["--author", "kim", "--comment", "new kernel"];
    let add = |args: &[&'static str]| [&["add"], args, &by].concat();
    check(
        &add(&["Load", "instance=~\"web.*\"", "--for", "2h"]),
        0,
        &["made ", " until 20", "Alerts that it hides now: 1\n  Load{instance=\"web1\"}"],
    );
    let (_, text) = run(&["list", "-o", "json"]);
    let listed: Value = serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err}: {text}"));
    let id = listed[0]["id"].as_str().unwrap();
    let named =
        |matcher: &Value| (matcher["name"].clone(), matcher["value"].clone(), matcher["isRegex"].clone());
    assert_eq!(named(&listed[0]["matchers"][1]), (json!("instance"), json!("web.*"), json!(true)));
    check(&["list"], 0, &["STATE", "alertname=\"Load\", instance=~\"web.*\"", "kim", "new kernel", id]);
    let hidden = manager.get("/api/v2/alerts?silenced=true&active=false").json();
    assert_eq!(hidden[0]["labels"]["alertname"], "Load");

    check(&add(&["a=~\".*\"", "--for", "2h"]), 1, &["must not match the empty string"]);
    check(&add(&["a=~(", "--for", "2h"]), 2, &["matcher", "Usage: hinomi silence add"]);
    check(&add(&["Load", "--for", "soon"]), 2, &["--for: "]);
    check(&["add", "Load", "--for", "2h", "--author", "kim"], 2, &["--comment"]);
    check(&["end", "none"], 1, &[""]);

    check(&["end", id], 0, &["ended "]);
    let (_, text) = run(&["list"]);
    assert!(!text.contains(id), "{text}");
    check(&["list", "--expired"], 0, &["expired", id]);
}
