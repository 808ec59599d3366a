//! SIGHUP and POST /-/reload: a good file takes effect, a broken one changes nothing and is named with its place.

use std::path::PathBuf;
use std::time::Duration;

use crate::harness::target::{Reply, Target};
use crate::harness::{Hinomi, wait_for};

fn config(job: &str, target: &Target) -> String {
    format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: {job}\n  static_configs:\n  - targets: ['{}']\n",
        target.address
    )
}

fn config_path(server: &Hinomi) -> PathBuf {
    server.folder.path().join("prometheus.yml")
}

fn wait_job(server: &Hinomi, job: &str) {
    wait_for(job, Duration::from_secs(10), || {
        server.number(&format!("up{{job=\"{job}\"}}")).filter(|up| *up == 1.0)
    });
}

#[test]
fn a_changed_file_takes_effect_by_signal_and_by_post() {
    let target = Target::start(|_| Reply::text("m 1\n"));
    let server = Hinomi::start(Some(&config("one", &target)), &["--web.enable-lifecycle"]);
    wait_job(&server, "one");
    std::fs::write(config_path(&server), config("two", &target)).unwrap();
    server.process.signal("HUP");
    wait_job(&server, "two");
    std::fs::write(config_path(&server), config("three", &target)).unwrap();
    let answer = server.post("/-/reload", "text/plain", "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    wait_job(&server, "three");
    // The old targets' series end by staleness markers, as soon as the next scrape would have been due.
    wait_for("the old series' end", Duration::from_secs(5), || {
        server.number("count(up{job=~\"one|two\"})").is_none().then_some(())
    });
}

#[test]
fn a_changed_file_is_noticed_when_that_is_switched_on() {
    let target = Target::start(|_| Reply::text("m 1\n"));
    let flags = ["--config.auto-reload", "--config.auto-reload-interval=1s"];
    let server = Hinomi::start(Some(&config("one", &target)), &flags);
    wait_job(&server, "one");
    std::fs::write(config_path(&server), format!("{}rule_files: [r.yml]\n", config("two", &target))).unwrap();
    wait_job(&server, "two");
    // Files that it names count, also those that were not there before.
    let rules = "groups:\n- name: a\n  interval: 1s\n  rules:\n  - {record: made, expr: vector(7)}\n";
    std::fs::write(server.folder.path().join("r.yml"), rules).unwrap();
    wait_for("the rule", Duration::from_secs(10), || server.number("made").filter(|value| *value == 7.0));
}

#[test]
fn retention_of_the_file_holds_before_the_flags_and_changes_with_it() {
    let server = Hinomi::start(Some("storage: {tsdb: {out_of_order_time_window: 30m}}\n"), &[]);
    let retention =
        |server: &Hinomi| server.get("/api/v1/status/runtimeinfo").json()["data"]["storageRetention"].clone();
    assert_eq!(retention(&server), "15d");
    let reloaded = |text: &str, status: u16, expected: &str| {
        std::fs::write(config_path(&server), text).unwrap();
        let answer = server.post("/-/reload", "text/plain", "");
        assert_eq!((answer.status, retention(&server)), (status, expected.into()), "{text}: {}", answer.body);
    };
    reloaded("storage: {tsdb: {retention: {time: 30d, size: 10GB}}}\n", 200, "30d or 10GiB");
    let limit = server.get("/metrics").body;
    assert!(limit.contains("prometheus_tsdb_retention_limit_bytes 10737418240"), "{limit:.2000}");
    reloaded("storage: {tsdb: {retention: {percentage: 200}}}\n", 500, "30d or 10GiB");
    reloaded("storage: {tsdb: {retention: {percentage: 50}}, exemplars: {max_exemplars: 10}}\n", 200, "50%");
    reloaded("storage:\n", 200, "15d");
}

#[test]
fn a_broken_file_changes_nothing_and_is_named_with_line_and_column() {
    let target = Target::start(|_| Reply::text("m 1\n"));
    let server = Hinomi::start(Some(&config("one", &target)), &["--web.enable-lifecycle"]);
    wait_job(&server, "one");
    let good = config("two", &target);
    for (broken, place) in [
        (format!("{good}  scrape_intervall: 5s\n"), "prometheus.yml:7:3"),
        (format!("{good}  scrape_interval: fast\n"), "prometheus.yml:7:20"),
        (good.replace("static_configs:", "static_configs: ["), "prometheus.yml:"),
        (format!("{good}  relabel_configs:\n  - regex: '('\n    target_label: x\n"), "prometheus.yml:8"),
        (format!("{good}rule_files: [nope.yml, 'rules-*.yml']\nalerting: 5\n"), "prometheus.yml:8"),
        (format!("{good}- job_name: two\n"), "two"),
    ] {
        std::fs::write(config_path(&server), &broken).unwrap();
        let answer = server.post("/-/reload", "text/plain", "");
        assert_eq!(answer.status, 500, "{broken}");
        assert!(answer.body.contains(place), "{place} for\n{broken}in {}", answer.body);
    }
    assert_eq!(server.number("up{job=\"one\"}"), Some(1.0), "the old file still holds");
    let shown = server.get("/api/v1/status/config").json();
    assert!(shown["data"]["yaml"].as_str().unwrap().contains("one"));
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("config_last_reload_successful 0"), "{metrics}");
}
