//! A real Chromium opens every page, clicks through, and looks whether the graphs drew something.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{Hinomi, output, wait_for};

/// Something of everything: targets that answer, fail and are dropped, rules that work and one that cannot.
const CONFIG: &str = r#"
global: {scrape_interval: 5s, evaluation_interval: 5s}
hinomi: {host_metrics: true, self_metrics: true, builtin_rules: true}
rule_files: [rules.yml]
scrape_configs:
- job_name: node
  static_configs:
  - targets: ["127.0.0.1:1", "db.staging:9100"]
    labels: {__meta_dc: tokyo-1, team: infra}
  relabel_configs:
  - {source_labels: [__address__], regex: '.*\.staging:.*', action: drop}
  - {source_labels: [__meta_dc], target_label: dc, regex: '(.+)-\d+'}
  - {regex: team, action: labeldrop}
"#;

const RULES: &str = r#"
groups:
- name: browser
  rules:
  - {alert: BrowserTargetDown, expr: up == 0, labels: {severity: critical}, annotations: {summary: "{{ $labels.instance }} does not answer"}}
  - {record: job:up:avg, expr: avg by (job) (up)}
- name: broken
  limit: 1
  rules: [{record: too:many, expr: up}]
"#;

#[test]
fn chromium_walks_every_page() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, CONFIG).unwrap();
    std::fs::write(folder.path().join("rules.yml"), RULES).unwrap();
    let args = vec![format!("--config.file={}", config.display()), "--web.enable-admin-api".to_owned()];
    let server = Hinomi::start_in(folder, args);
    wait_for("rates of this host", Duration::from_secs(20), || {
        server.number("sum(rate(node_cpu_seconds_total[1m]))")
    });
    walk(&server, &["--title", "Hinomi"]);
}

#[test]
fn the_page_works_below_a_path_and_under_its_own_title() {
    let server = Hinomi::start_under("/a/watch", &["--web.page-title=Tower <1>"]);
    walk(&server, &["--title", "Tower <1>", "--only", "every page from its address"]);
}

/// Runs the browser's steps; its words are the test's.
fn walk(server: &Hinomi, args: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let screenshots = screenshots_folder(&root);
    let (code, out, err) = output(
        Command::new("node")
            .arg("e2e/run.mjs")
            .args(["--base", &server.base, "--out"])
            .arg(&screenshots)
            .args(args)
            .current_dir(root.join("ui")),
    );
    println!("{out}\nscreenshots: {}", screenshots.display());
    assert_eq!(code, 0, "{out}\n{err}");
    if !args.contains(&"--only") {
        let n_screenshots = std::fs::read_dir(&screenshots).unwrap().count();
        assert!(n_screenshots >= 5, "{n_screenshots} screenshots in {}", screenshots.display());
    }
}

/// Kept after the test, for people to look at.
fn screenshots_folder(root: &Path) -> PathBuf {
    let folder = root.join("artifacts/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
