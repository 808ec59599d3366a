//! Recording rules over stored history in a running server, and what promtool's flags make of them for Prometheus.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Hinomi, binary, now_secs, output, wait_for};

const RULES: &str = "
groups:
- name: g
  interval: 1s
  rules:
  - {record: r, expr: 'sum by (job) (rate(m[5s]))'}
  - {record: s, expr: 'max_over_time(r[10s])'}
";
const MORE: &str = "
groups:
- name: old
  interval: 10s
  rules: [{record: old, expr: 'sum(h)'}, {record: older, expr: 'avg_over_time(old[1m])'}]
";

/// Values by time of each series.
fn samples(server: &Hinomi, name: &str, secs: u64, at: f64) -> BTreeMap<String, Vec<(String, String)>> {
    let result = server.query(&format!("{name}[{secs}s]"), Some(at));
    let series = result.as_array().unwrap().iter().map(|one| {
        let points = one["values"].as_array().unwrap().iter();
        let points = points.map(|point| (point[0].to_string(), point[1].to_string())).collect();
        (one["metric"].to_string(), points)
    });
    series.collect()
}

fn hinomi(args: &[&str]) -> (i32, String, String) {
    output(binary().args(args))
}

#[test]
fn rules_over_history_write_what_live_rules_wrote_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("r.yml"), RULES).unwrap();
    let more = folder.path().join("more.yml");
    std::fs::write(&more, MORE).unwrap();
    let config = "global: {scrape_interval: 1s}\nrule_files: [r.yml]\nscrape_configs: []\n";
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let args = vec![
        format!("--config.file={}", folder.path().join("prometheus.yml").display()),
        "--web.enable-admin-api".to_owned(),
        "--web.enable-remote-write-receiver".to_owned(),
    ];
    let mut server = Hinomi::start_in(folder, args);
    let url = server.base.clone();
    // A day of history, in blocks' reach, and what live rules read.
    let now = now_secs();
    let mut page = "# TYPE h gauge\n".to_owned();
    for step in 0..24 * 60 {
        page += &format!("h {step} {}\n", (now as i64 - 86_400 + step * 60) * 1_000);
    }
    let path = more.with_file_name("page.prom");
    std::fs::write(&path, page).unwrap();
    let (code, out, err) = hinomi(&["push", "metrics", &url, path.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
    for n in 0..15 {
        std::fs::write(&path, format!("m {}\n", n * n)).unwrap();
        assert_eq!(hinomi(&["push", "metrics", &url, path.to_str().unwrap()]).0, 0);
        std::thread::park_timeout(Duration::from_millis(700));
    }
    wait_for("live results", Duration::from_secs(20), || server.number("count_over_time(s[1m]) > 5"));

    // Everything is there already, but for the seconds since.
    let end = now_secs();
    let at = end.floor() - 1.0;
    let (live_r, live_s) = (samples(&server, "r", 60, at), samples(&server, "s", 60, at));
    let start = (now - 60.0).to_string();
    let (code, out, err) =
        hinomi(&["backfill", "rules", "--url", &url, "--start", &start, "--end", &at.to_string()]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("done: ") && out.contains(" 0 samples written"), "{out}");
    assert_eq!(
        (samples(&server, "r", 60, at), samples(&server, "s", 60, at)),
        (live_r.clone(), live_s.clone())
    );

    // A rule that nobody had, over a day, twice.
    let start = (now - 86_400.0).to_string();
    let more = more.to_str().unwrap().to_owned();
    let fill = ["backfill", "rules", "--url", &url, "--start", &start, "--end", &at.to_string(), &more];
    let (code, out, err) = hinomi(&fill);
    assert_eq!(code, 0, "{out}{err}");
    let first = samples(&server, "older", 90_000, at);
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first.values().next().unwrap().len() > 8_000, "{}", first.values().next().unwrap().len());
    let (code, out, err) = hinomi(&fill);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(" 0 samples written"), "{out}");
    assert_eq!(samples(&server, "older", 90_000, at), first);
    let status = server.get("/api/v1/status/backfill").json()["data"].clone();
    assert_eq!((&status["state"], &status["samples"]), (&Value::from("done"), &Value::from(0)), "{status}");

    // All of it is on disk.
    server.process.kill9();
    server.restart();
    assert_eq!(samples(&server, "older", 90_000, at), first);
    let none = server.get("/api/v1/status/backfill");
    assert_eq!(none.status, 404, "{}", none.body);
}

#[test]
fn blocks_from_rules_are_prometheus_own() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yml");
    std::fs::write(&rules, MORE).unwrap();
    let server = Hinomi::start(Some("scrape_configs: []\n"), &["--web.enable-remote-write-receiver"]);
    let now = now_secs() as i64;
    let page = folder.path().join("page.prom");
    let lines: String =
        (0..60).map(|step| format!("h {step} {}\n", (now - 7_200 + step * 60) * 1_000)).collect();
    std::fs::write(&page, lines).unwrap();
    assert_eq!(hinomi(&["push", "metrics", &server.base, page.to_str().unwrap()]).0, 0);
    let out = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (start, end) = ((now - 7_200).to_string(), (now - 3_600).to_string());
    let args = |to: &str| {
        [
            "tsdb",
            "create-blocks-from",
            "rules",
            "--url",
            &server.base,
            "--start",
            &start,
            "--end",
            &end,
            "--output-dir",
            to,
            rules.to_str().unwrap(),
        ]
        .map(str::to_owned)
    };
    let (code, said, err) = output(binary().args(args(&out("ours"))));
    assert_eq!(code, 0, "{said}{err}");
    let (code, said, err) = output(Command::new("promtool").args(args(&out("theirs"))));
    assert_eq!(code, 0, "{said}{err}");
    // promtool reads both; the two grids differ by a phase, so values are compared by their minute.
    let dump = |dir: &str| {
        std::fs::create_dir_all(folder.path().join(dir).join("wal")).unwrap();
        let (code, text, err) = output(Command::new("promtool").args(["tsdb", "dump", &out(dir)]));
        assert_eq!(code, 0, "{err}");
        let values = text.lines().filter(|line| line.contains("\"old\"")).filter_map(|line| {
            let mut parts = line.rsplit(' ');
            let (t_ms, value) = (parts.next()?.parse::<i64>().ok()?, parts.next()?.to_owned());
            Some((t_ms / 1_000 / 10, value))
        });
        values.collect::<BTreeMap<i64, String>>()
    };
    let (ours, theirs) = (dump("ours"), dump("theirs"));
    assert!(ours.len() > 300, "{}", ours.len());
    let n_same = ours.iter().filter(|(step, value)| theirs.get(step) == Some(value)).count();
    // Within a step of ten seconds the value changes in one of six.
    assert!(n_same * 10 > ours.len() * 8, "{n_same} of {} and {}", ours.len(), theirs.len());
    let own = server.folder.path().join("data").to_str().unwrap().to_owned();
    let (code, _, err) = output(binary().args(args(&own)));
    assert!(code == 1 && err.contains("hinomi backfill rules"), "{err}");
}
