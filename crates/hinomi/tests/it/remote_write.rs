//! Debian's Prometheus sends what it scrapes to Hinomi; afterwards both have the same samples, to the bit.

use std::time::Duration;

use model::Labels;
use serde_json::Value;
use wire::remote_write::{Sample, TimeSeries, compress, encode_v2};

use crate::harness::{Hinomi, now_secs, peers, query, wait_for};

/// How much is sent before the comparison. Chosen: a few scrapes.
const GATHERED_SECS: f64 = 20.0;
/// What is compared: everything the sender has scraped.
const ALL: &str = "{__name__=~\".+\"}";

#[test]
fn what_prometheus_sends_is_stored_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = peers::node_exporter(folder.path());
    let server = Hinomi::start(
        Some("scrape_configs: []\n"),
        &["--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=1d"],
    );
    let config = format!(
        "global:\n  scrape_interval: 1s\n  external_labels: {{}}\nremote_write:\n- url: {}/api/v1/write\n  \
         queue_config: {{batch_send_deadline: 1s}}\nscrape_configs:\n- job_name: node\n  static_configs:\n  - \
         targets: ['{}']\n",
        server.base,
        exporter.base().trim_start_matches("http://")
    );
    let prometheus = peers::prometheus(folder.path(), &config);
    let started = now_secs();
    wait_for("gathered data", Duration::from_secs(60), || {
        (now_secs() - started > GATHERED_SECS).then_some(())
    });
    let end = now_secs().floor() - 2.0;
    let range = format!("{ALL}[{}s]", GATHERED_SECS as u64 - 5);
    let theirs = sorted(query(&prometheus.base(), &range, Some(end)));
    assert!(theirs.len() > 200, "{} series", theirs.len());
    // Prometheus sends behind what it scrapes.
    let ours = wait_for("samples that were sent", Duration::from_secs(30), || {
        let ours = sorted(server.query(&range, Some(end)));
        (n_samples(&ours) >= n_samples(&theirs)).then_some(ours)
    });
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    println!("{} samples of {} series", n_samples(&ours), ours.len());
}

#[test]
fn version_2_is_taken_and_survives_kill_9() {
    let mut server = Hinomi::start(Some("scrape_configs: []\n"), &["--web.enable-remote-write-receiver"]);
    let t_ms = (now_secs() * 1e3) as i64;
    let series = |idx: i64| TimeSeries {
        labels: Labels::from_pairs([("__name__", "pushed"), ("idx", &idx.to_string())]),
        samples: (0..3)
            .map(|i| Sample { t_ms: t_ms - 3_000 + i * 1_000, start_ms: 0, value: idx as f64 })
            .collect(),
        ..TimeSeries::default()
    };
    let body = compress(&encode_v2(&(0..100).map(series).collect::<Vec<_>>()));
    let response = ureq::post(format!("{}/api/v1/write", server.base))
        .header("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
        .header("Content-Encoding", "snappy")
        .send(&body[..])
        .unwrap();
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["x-prometheus-remote-write-samples-written"], "300");
    server.process.kill9();
    server.restart();
    let result = server.query("sum(count_over_time(pushed[1m]))", None);
    assert_eq!(result[0]["value"][1], "300");
}

fn sorted(mut result: Value) -> Vec<Value> {
    let mut series = std::mem::take(result.as_array_mut().unwrap());
    series.sort_by_key(|series| series["metric"].to_string());
    series
}

fn n_samples(series: &[Value]) -> usize {
    series.iter().map(|series| series["values"].as_array().map_or(0, Vec::len)).sum()
}
