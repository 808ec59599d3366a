//! The tutorial's configuration, unchanged but for ports, against Debian's exporters.

use std::time::Duration;

use crate::harness::{Hinomi, peers, wait_for};

fn config(node: &str, blackbox: &str, own: &str) -> String {
    format!(
        r#"# my global config
global:
  scrape_interval:     15s # Set the scrape interval to every 15 seconds. Default is every 1 minute.
  evaluation_interval: 15s

alerting:
  alertmanagers:
  - static_configs:
    - targets:
      # - alertmanager:9093

rule_files:
  # - "first_rules.yml"

scrape_configs:
  - job_name: 'prometheus'
    scrape_interval: 5s
    static_configs:
    - targets: ['{own}']
  - job_name: 'node'
    scrape_interval: 5s
    static_configs:
    - targets: ['{node}']
      labels:
        group: 'production'
  - job_name: 'blackbox'
    scrape_interval: 5s
    scrape_timeout: 4s
    metrics_path: /probe
    params:
      module: [http_2xx]
    static_configs:
      - targets:
        - http://{own}/-/healthy
        - http://{node}
    relabel_configs:
      - source_labels: [__address__]
        target_label: __param_target
      - source_labels: [__param_target]
        target_label: instance
      - target_label: __address__
        replacement: {blackbox}
"#
    )
}

#[test]
fn the_tutorial_works_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let node = peers::node_exporter(folder.path());
    let blackbox = peers::blackbox_exporter(folder.path());
    let own_port = crate::harness::free_port();
    let own = format!("127.0.0.1:{own_port}");
    let text = config(&node.address, &blackbox.address, &own);
    let listen = format!("--web.listen-address={own}");
    // The harness gives an address of its own, too: the flag may be repeated.
    let server = Hinomi::start(Some(&text), &[&listen]);

    wait_for("all targets up", Duration::from_secs(30), || {
        let targets = server.get("/api/v1/targets").json();
        let active = targets["data"]["activeTargets"].as_array()?.clone();
        (active.len() == 4 && active.iter().all(|target| target["health"] == "up")).then_some(())
    });
    let pools = server.get("/api/v1/targets").json()["data"]["activeTargets"].clone();
    let urls: Vec<_> =
        pools.as_array().unwrap().iter().map(|t| t["scrapeUrl"].as_str().unwrap().to_owned()).collect();
    let probe = format!(
        "http://{}/probe?module=http_2xx&target=http%3A%2F%2F{}",
        blackbox.address,
        node.address.replace(':', "%3A")
    );
    assert!(urls.contains(&probe), "{probe} in {urls:?}");

    for (expr, expected) in [
        ("count(up == 1)", 4.0),
        ("count(probe_success == 1)", 2.0),
        ("min(probe_http_status_code)", 200.0),
        ("count(node_memory_Active_bytes / node_memory_MemTotal_bytes < 1)", 1.0),
        ("count(up{group=\"production\", job=\"node\"})", 1.0),
    ] {
        wait_for(expr, Duration::from_secs(20), || server.number(expr).filter(|got| *got == expected));
    }
    wait_for("rates", Duration::from_secs(20), || {
        server
            .number("count(avg without (cpu) (rate(node_cpu_seconds_total[1m])))")
            .filter(|modes| *modes >= 8.0)
    });
    // A drop-in shows nothing that Prometheus would not show.
    assert_eq!(server.number("count(up)"), Some(4.0));
}
