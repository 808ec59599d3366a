//! Debian's Prometheus federates from us: every sample it has is one of ours, with our time and value.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Hinomi, now_secs, peers, query, wait_for};

/// How much is gathered before the comparison, in seconds. Chosen: a few scrapes.
const GATHERED_SECS: u64 = 15;

/// Samples by series.
fn samples(result: &Value) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let series = result.as_array().unwrap().iter().map(|one| {
        let points = one["values"].as_array().unwrap().iter();
        (one["metric"].to_string(), points.map(|p| (p[0].to_string(), p[1].to_string())).collect())
    });
    series.collect()
}

#[test]
fn a_federating_prometheus_has_our_samples() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = peers::node_exporter(folder.path());
    let config = format!(
        "scrape_configs:\n- job_name: node\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['{}']\n",
        exporter.address
    );
    let server = Hinomi::start(Some(&config), &[]);
    wait_for("a scrape", Duration::from_secs(15), || server.number("up"));
    let config = format!(
        "scrape_configs:\n- job_name: federate\n  honor_labels: true\n  scrape_interval: 1s\n  metrics_path: /federate\n  \
         params: {{'match[]': ['{{job=\"node\"}}']}}\n  static_configs:\n  - targets: ['{}']\n",
        server.base.trim_start_matches("http://")
    );
    let prometheus = peers::prometheus(folder.path(), &config);
    let began = now_secs();
    wait_for("gathered data", Duration::from_secs(60), || {
        (now_secs() - began > GATHERED_SECS as f64).then_some(())
    });
    let (at, range) = (now_secs().floor() - 1.0, format!("{{job=\"node\"}}[{GATHERED_SECS}s]"));
    let (theirs, ours) = (
        samples(&query(&prometheus.base(), &range, Some(at))),
        samples(&server.query(&format!("{{job=\"node\"}}[{}s]", GATHERED_SECS + 10), Some(at))),
    );
    assert!(theirs.len() > 200, "{} series", theirs.len());
    let mut n_samples = 0;
    for (series, points) in &theirs {
        // 2.42 writes the bounds of buckets and quantiles as the page has them; so do we in what we federate.
        let known = ours.get(series).unwrap_or_else(|| panic!("{series} is not ours"));
        assert!(points.is_subset(known), "{series}: {:?}", points.difference(known).collect::<Vec<_>>());
        n_samples += points.len();
    }
    // The last series may have begun while the comparison was made; none else may be missing.
    assert!(theirs.len() + 5 > ours.len(), "{} of {}", theirs.len(), ours.len());
    println!("{n_samples} samples of {} series", theirs.len());
}
