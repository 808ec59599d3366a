//! Debian's amtool in every command, against our Alertmanager and against Debian's: the same words from both.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::manager::Manager;
use crate::harness::{output, peers, wait_for};

const CONFIG: &str = "\
global: {resolve_timeout: 10m}
route:
  receiver: default
  group_by: [alertname]
  group_wait: 1s
  routes:
  - matchers: [team=\"db\"]
    receiver: db
    continue: true
  - matchers: ['severity=~\"page|critical\"']
    receiver: pager
    routes:
    - matchers: [site=\"tokyo\"]
      receiver: tokyo
receivers:
- name: default
- name: db
- name: pager
- name: tokyo
inhibit_rules:
- source_matchers: [severity=\"critical\"]
  target_matchers: [severity=\"warning\"]
  equal: [alertname]
";

const TEMPLATE: &str = "{{ define \"mine\" }}{{ .Status | toUpper }} {{ len .Alerts }}{{ end }}";

/// One of the two.
struct Side<'a> {
    url: String,
    folder: &'a Path,
}

impl Side<'_> {
    /// Exit code and both outputs, without what differs from run to run.
    fn run(&self, args: &[&str]) -> (i32, String) {
        let url = format!("--alertmanager.url={}", self.url);
        let mut command = Command::new("/usr/bin/amtool");
        let (code, out, err) =
            output(command.args(args).arg(url).arg("--no-version-check").current_dir(self.folder));
        (code, format!("{out}{err}").replace(&self.url, "URL"))
    }

    fn ok(&self, args: &[&str]) -> String {
        let (code, text) = self.run(args);
        assert_eq!(code, 0, "amtool {args:?}: {text}");
        text
    }

    /// The active silences, without ids and times.
    fn silences(&self, args: &[&str]) -> Vec<Value> {
        let text = self.ok(&[&["silence", "query", "-o", "json"], args].concat());
        let mut list: Vec<Value> = serde_json::from_str(&text).unwrap();
        for silence in &mut list {
            let fields = silence.as_object_mut().unwrap();
            fields.retain(|name, _| matches!(name.as_str(), "matchers" | "createdBy" | "comment" | "status"));
        }
        list.sort_by_key(ToString::to_string);
        list
    }

    fn alerts(&self, args: &[&str]) -> Vec<Value> {
        let text = self.ok(&[&["alert", "query", "-o", "json"], args].concat());
        let mut list: Vec<Value> = serde_json::from_str(&text).unwrap();
        for alert in &mut list {
            alert["status"]["silencedBy"] = json!(alert["status"]["silencedBy"].as_array().unwrap().len());
            let fields = alert.as_object_mut().unwrap();
            fields.retain(|name, _| !name.ends_with("At"));
            fields["status"].as_object_mut().unwrap().remove("mutedBy");
        }
        list
    }

    fn ids(&self, args: &[&str]) -> Vec<String> {
        let text = self.ok(&[&["silence", "query", "-q"], args].concat());
        text.lines().map(str::to_owned).collect()
    }
}

/// What both say to the same command, or the test fails.
fn both(sides: &[Side<'_>; 2], args: &[&str]) -> String {
    let [(ours, our_text), (theirs, their_text)] = [sides[0].run(args), sides[1].run(args)];
    assert_eq!((ours, our_text.as_str()), (theirs, their_text.as_str()), "amtool {args:?}: left is ours");
    our_text
}

#[test]
fn every_command_of_amtool_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = peers::alertmanager(folder.path(), CONFIG);
    let ours = Manager::start(CONFIG, &[]);
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("good.yml", CONFIG);
    write("bad.yml", "route: {receiver: nobody}\n");
    write("mine.tmpl", TEMPLATE);
    let sides = [ours.base.clone(), theirs.base()].map(|url| Side { url, folder: folder.path() });
    alerts(&sides);
    silences(&sides, folder.path());
    routes(&sides);
    // Without a server behind it; the flag does no harm.
    both(&sides, &["check-config", "good.yml"]);
    assert!(both(&sides, &["check-config", "bad.yml"]).contains("nobody"));
    let render =
        ["template", "render", "--template.glob=mine.tmpl", "--template.text={{ template \"mine\" . }}"];
    both(&sides, &render);
}

fn alerts(sides: &[Side<'_>; 2]) {
    both(sides, &["alert", "query"]);
    let adds: [&[&str]; 4] = [
        &["disk", "severity=warning", "instance=a", "--annotation=summary=nearly full"],
        &["disk", "severity=critical", "instance=b", "--generator-url=http://prom/g"],
        &["net", "team=db", "site=東京", "--start=2026-01-01T00:00:00Z", "--end=2099-01-01T00:00:00Z"],
        &["alertname=old", "--start=2020-01-01T00:00:00Z", "--end=2020-01-02T00:00:00Z"],
    ];
    for add in adds {
        both(sides, &[&["alert", "add"], add].concat());
    }
    let (code, text) = sides[0].run(&["alert", "add", "x", "--annotation=bad"]);
    assert_eq!((code, text), sides[1].run(&["alert", "add", "x", "--annotation=bad"]));
    let questions: [&[&str]; 8] = [
        &[],
        &["disk"],
        &["disk", "severity=warning"],
        &["severity=~warn.*"],
        &["-i"],
        &["-a"],
        &["-r", "db"],
        &["instance!=a"],
    ];
    wait_for("their groups", Duration::from_secs(10), || (sides[1].alerts(&[]).len() == 2).then_some(()));
    for question in questions {
        assert_eq!(sides[0].alerts(question), sides[1].alerts(question), "{question:?}");
        // Starts are of the moment of the report.
        let lines = |side: &Side<'_>| side.ok(&[&["alert", "query"], question].concat()).lines().count();
        assert_eq!(lines(&sides[0]), lines(&sides[1]), "{question:?}");
    }
    for bad in ["a=~(", "b!~["] {
        let codes = [&sides[0], &sides[1]].map(|side| side.run(&["alert", "query", bad]).0);
        assert_eq!(codes[0], codes[1], "{bad}");
    }
}

fn silences(sides: &[Side<'_>; 2], folder: &Path) {
    let compare = |args: &[&str]| {
        let (ours, theirs) = (sides[0].silences(args), sides[1].silences(args));
        assert_eq!(ours, theirs, "{args:?}");
        ours.len()
    };
    let add: [&[&str]; 3] = [
        &["disk", "instance=a", "-a", "ann", "-c", "moving", "-d", "2h"],
        &["alertname=~net|x", "site!~os.*", "-a", "bob", "-c", "理由"],
        &["later", "-c", "soon", "-a", "eve", "--start=2099-01-01T00:00:00Z", "--end=2099-01-02T00:00:00Z"],
    ];
    for args in add {
        for side in sides {
            side.ok(&[&["silence", "add"], args].concat());
        }
    }
    assert_eq!(
        both(sides, &["silence", "add", "x"]),
        both(sides, &["silence", "add", "x"]),
        "a comment is needed"
    );
    assert_eq!(compare(&[]), 3);
    for args in [
        &["disk"][..],
        &["--created-by=bob"],
        &["--within=3h"],
        &["--expired"],
        &["--created-by=ann", "--within=1m"],
    ] {
        compare(args);
    }
    assert_eq!(sides[0].alerts(&["-s"]), sides[1].alerts(&["-s"]));
    for side in sides {
        let id = side.ids(&["--created-by=ann"]).remove(0);
        side.ok(&["silence", "update", "-d", "5h", "-c", "longer", &id]);
        assert_eq!(side.ids(&["--created-by=ann"]), [id], "the same silence");
        side.ok(&["silence", "expire", &side.ids(&["--created-by=bob"]).remove(0)]);
    }
    assert_eq!(compare(&[]), 2);
    assert_eq!(compare(&["--expired"]), 1);
    let unknown = "01234567-89ab-4cde-8f01-23456789abcd";
    // Ours answers 404, as newer ones do; Debian's, 500.
    assert_eq!([0, 1].map(|nth| sides[nth].run(&["silence", "expire", unknown]).0), [1, 1]);
    // What one wrote out the other takes in, and so does the one that wrote it, under the ids that are there.
    for (from, to) in [(0, 1), (1, 0), (0, 0)] {
        std::fs::write(folder.join("out.json"), sides[from].ok(&["silence", "query", "-o", "json"])).unwrap();
        let force: &[&str] = if from == to { &[] } else { &["-f"] };
        sides[to].ok(&[&["silence", "import", "out.json"], force].concat());
    }
    assert_eq!(sides[0].silences(&[]).len(), 2 + 4, "two of its own, and what came back from the other");
    for side in sides {
        let ids = side.ids(&[]);
        side.ok(
            &[&["silence", "expire"], ids.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat()
        );
    }
    assert_eq!((sides[0].silences(&[]).len(), sides[1].silences(&[]).len()), (0, 0));
}

fn routes(sides: &[Side<'_>; 2]) {
    both(sides, &["config", "routes", "show"]);
    let test = ["config", "routes", "test"];
    for labels in
        [&["team=db"][..], &["team=db", "severity=page"], &["severity=critical", "site=tokyo"], &["x=y"]]
    {
        both(sides, &[&test, labels].concat());
        both(sides, &[&test, &["--tree"][..], labels].concat());
    }
    both(sides, &[&test[..], &["--verify.receivers=db", "team=db"]].concat());
    both(sides, &[&test[..], &["--verify.receivers=pager", "team=db"]].concat());
    both(sides, &["cluster", "show"]);
    for side in sides {
        let shown = side.ok(&["config", "show"]);
        assert!(shown.contains("receiver: default") && shown.contains("10m"), "{shown}");
        assert!(side.ok(&["config", "show", "-o", "extended"]).contains("goVersion"));
        let json: Value = serde_json::from_str(&side.ok(&["config", "show", "-o", "json"])).unwrap();
        assert!(json["config"]["original"].as_str().is_some_and(|text| text.contains("tokyo")), "{json}");
    }
}
