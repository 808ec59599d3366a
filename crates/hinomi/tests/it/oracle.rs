//! Debian's Prometheus beside Hinomi: both scrape the same node_exporter, then answer the same queries.
//!
//! Between the exporter and the two stands a proxy that gives each sample the time of its five-second slot. Both servers so
//! store the same samples at the same times, whenever they come, and their answers can be compared to the last digit.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::harness::target::{Reply, Target};
use crate::harness::{Hinomi, escaped, get, now_secs, peers, query, wait_for};

/// Length of a slot in seconds.
const SLOT_SECS: u64 = 5;
/// How much data is gathered before the questions. The longest of them looks back 58 s from 20 s before the end, which is up to
/// three slots ago; before the beginning each server has what it happened to begin with.
const GATHERED_SECS: f64 = 100.0;

/// Asked as instant and as range queries. Windows begin between samples, since Prometheus 3 made them left-open
/// and 2.42 has them closed; that change of meaning is tested by the PromQL scripts.
const QUERIES: &[&str] = &[
    "node_load1",
    "up{job=\"node\"}",
    "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
    "100 * (1 - node_memory_MemFree_bytes / node_memory_MemTotal_bytes)",
    "rate(node_cpu_seconds_total[30s])",
    "sum by (mode) (rate(node_cpu_seconds_total[30s]))",
    "avg without (cpu) (irate(node_cpu_seconds_total[30s]))",
    "1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[40s]))",
    "increase(node_context_switches_total[40s])",
    "delta(node_memory_MemFree_bytes[30s])",
    "idelta(node_memory_MemFree_bytes[30s])",
    "deriv(node_memory_MemFree_bytes[40s])",
    "predict_linear(node_filesystem_avail_bytes[40s], 3600)",
    "predict_linear(node_memory_MemFree_bytes[40s], 4 * 3600) < 0",
    "changes(node_load1[40s])",
    "resets(node_cpu_seconds_total[40s])",
    "avg_over_time(node_load1[40s])",
    "min_over_time(node_memory_MemFree_bytes[40s])",
    "max_over_time(node_memory_MemFree_bytes[40s])",
    "sum_over_time(node_load5[40s])",
    "count_over_time(node_load5[40s])",
    "stddev_over_time(node_memory_MemFree_bytes[40s])",
    "stdvar_over_time(node_load1[40s])",
    "last_over_time(node_load15[40s])",
    "present_over_time(node_load15[40s])",
    "quantile_over_time(0.9, node_memory_MemFree_bytes[40s])",
    "absent(node_load1)",
    "absent(nonexistent_metric{job=\"x\"})",
    "absent_over_time(nonexistent_metric[40s])",
    "histogram_quantile(0.9, label_replace(vector(10), \"le\", \"1\", \"\", \"\") \
     or label_replace(vector(18), \"le\", \"2\", \"\", \"\") or label_replace(vector(20), \"le\", \"+Inf\", \"\", \"\"))",
    "topk(3, node_scrape_collector_duration_seconds)",
    "bottomk(2, node_scrape_collector_duration_seconds)",
    "quantile(0.5, node_scrape_collector_duration_seconds)",
    "count_values(\"v\", node_scrape_collector_success)",
    "stddev(node_scrape_collector_duration_seconds)",
    "stdvar by (job) (node_scrape_collector_duration_seconds)",
    "group(node_cpu_seconds_total)",
    "count by (__name__) ({__name__=~\"node_cpu.*\"})",
    "sum(node_network_receive_bytes_total) by (device)",
    "max by (fstype) (node_filesystem_size_bytes)",
    "min without (device, mountpoint) (node_filesystem_free_bytes)",
    "node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.99",
    "node_filesystem_avail_bytes > bool 1e9",
    "node_network_receive_bytes_total and on (device) node_network_up == 1",
    "node_network_receive_bytes_total unless on (device) node_network_up",
    "node_load1 or node_load5",
    "node_cpu_seconds_total * on (instance) group_left (nodename) node_uname_info",
    "label_replace(node_load1, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    "label_join(node_uname_info, \"full\", \"-\", \"sysname\", \"machine\")",
    "time() - node_boot_time_seconds",
    "timestamp(node_load1)",
    "hour(node_time_seconds) + minute() * 60",
    "day_of_week() + days_in_month(node_time_seconds)",
    "round(node_load1 * 100, 5)",
    "clamp(node_load1, 0.1, 0.2)",
    "sgn(node_load1 - node_load5)",
    "sqrt(abs(node_load1 - node_load5)) + scalar(ln(vector(2))) ^ 2 % 3",
    "scalar(node_load1) + vector(1)",
    "sort_desc(node_scrape_collector_duration_seconds)",
    "node_load1 offset 20s",
    "rate(node_cpu_seconds_total[20s] offset 15s)",
    "max_over_time(rate(node_context_switches_total[18s])[40s:5s])",
    "{__name__=~\"node_load.*\", instance!~\"x.*\"}",
    "sum by (mode) (node_cpu_seconds_total{mode!=\"idle\", cpu=\"0\"} atan2 2)",
    "-node_load1",
];

/// Whose meaning changed between 2.42 and 3: ours must differ from 2.42. Reasons in docs/differences.md.
const CHANGED: &[&str] = &[
    // Windows are left-open since 3.0: a sample exactly at the window's start no longer counts.
    "count_over_time(node_load1[10s] @ SLOT)",
    // The metric's name is dropped by atan2 like by other arithmetic since 3.0.
    "node_load1 atan2 2",
];

#[test]
fn sixty_queries_agree_with_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = peers::node_exporter(folder.path());
    let target = slotted_proxy(exporter.base());
    let config = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: node\n  static_configs:\n  - targets: ['{}']\n",
        target.address
    );
    let prometheus = peers::prometheus(folder.path(), &config);
    let server = Hinomi::start(Some(&config), &[]);
    let started = now_secs();
    wait_for("gathered data", Duration::from_secs(120), || {
        (now_secs() - started > GATHERED_SECS).then_some(())
    });

    // Both have seen all slots up to here: half-way into the slot before the last whole one.
    let end = ((now_secs() / SLOT_SECS as f64).floor() - 2.0) * SLOT_SECS as f64 + 2.5;
    let mut differences = Vec::new();
    for expr in QUERIES {
        let instant = format!("/api/v1/query?query={}&time={end}", escaped(expr));
        let start = end - 20.0;
        let range = format!("/api/v1/query_range?query={}&start={start}&end={end}&step=5", escaped(expr));
        for path in [instant, range] {
            let (ours, theirs) = (server.get(&path), get(&format!("{}{path}", prometheus.base())).unwrap());
            let (ours_json, theirs_json) = (ours.json(), theirs.json());
            if ours.status != theirs.status || !same(&data(&ours_json, expr), &data(&theirs_json, expr)) {
                differences.push(format!(
                    "{expr}\n  ours   {}\n  theirs {}",
                    short(&ours.body),
                    short(&theirs.body)
                ));
            }
        }
    }
    println!("{} queries, instant and range", QUERIES.len());
    for expr in CHANGED {
        let expr = expr.replace("SLOT", &(end - 2.5).to_string());
        let (ours, theirs) = (server.query(&expr, Some(end)), query(&prometheus.base(), &expr, Some(end)));
        assert!(!same(&ours, &theirs), "{expr} agrees with 2.42: take it off the list");
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    let is_empty = |expr: &&&str| server.query(expr, Some(end)).as_array().is_some_and(Vec::is_empty);
    let empty: Vec<_> = QUERIES.iter().filter(is_empty).collect();
    assert!(empty.len() <= 6, "most queries must have an answer to compare; without: {empty:#?}");
}

/// Each body belongs to its slot; samples carry the slot's time.
fn slotted_proxy(upstream: String) -> Target {
    let current: Arc<Mutex<(u64, String)>> = Arc::default();
    Target::start(move |_| {
        let slot = now_secs() as u64 / SLOT_SECS * SLOT_SECS;
        let mut current = current.lock().unwrap();
        if current.0 != slot {
            let body = get(&format!("{upstream}/metrics")).unwrap().body;
            let stamp = |line: &str| {
                if line.starts_with('#') { format!("{line}\n") } else { format!("{line} {}\n", slot * 1000) }
            };
            *current = (slot, body.lines().map(stamp).collect());
        }
        Reply::text(current.1.clone())
    })
}

/// The result, in an order that does not depend on the server unless the query asks for one.
fn data(answer: &Value, expr: &str) -> Value {
    let mut data = answer["data"].clone();
    let is_sorted = expr.starts_with("sort") || expr.starts_with("topk") || expr.starts_with("bottomk");
    if let (false, Some(series)) = (is_sorted, data["result"].as_array_mut()) {
        series.sort_by_key(|series| series["metric"].to_string());
    }
    if answer["status"] != "success" { answer["errorType"].clone() } else { data }
}

/// Equal, but that a float may differ by two units in its last place where sums are not defined to the bit.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::String(a), Value::String(b)) => a == b || within_ulps(a, b),
        _ => a == b,
    }
}

fn within_ulps(a: &str, b: &str) -> bool {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => {
            a == b || a.is_sign_positive() == b.is_sign_positive() && a.to_bits().abs_diff(b.to_bits()) <= 2
        }
        _ => false,
    }
}

fn short(body: &str) -> String {
    body.chars().take(600).collect()
}
