//! Start timestamps that targets say are stored by scrapes, as Prometheus' features of these names store them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::target::{Reply, Target};
use crate::harness::{Hinomi, now_secs, wait_for};

/// A counter that says when it began: what `since` holds, in Unix milliseconds.
fn counter(since: &Arc<AtomicI64>) -> Target {
    let since = Arc::clone(since);
    Target::start(move |_| Reply {
        headers: vec!["Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8".to_owned()],
        ..Reply::text(format!(
            "# TYPE c counter\nc_total 5\nc_created {}\n# EOF\n",
            since.load(Ordering::SeqCst) as f64 / 1e3
        ))
    })
}

fn start(target: &Target, features: &str) -> Hinomi {
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    Hinomi::start(Some(&config), &[&format!("--enable-feature={features}")])
}

fn samples(server: &Hinomi, expr: &str) -> Vec<(f64, String)> {
    let result = server.query(expr, None);
    let values = result[0]["values"].as_array().cloned().unwrap_or_default();
    let pair = |value: &Value| (value[0].as_f64().unwrap(), value[1].as_str().unwrap().to_owned());
    values.iter().map(pair).collect()
}

#[test]
fn a_zero_stands_where_a_counter_began() {
    let first = (now_secs() * 1e3) as i64 - 40_000;
    let since = Arc::new(AtomicI64::new(first));
    let target = counter(&since);
    let mut server = start(&target, "created-timestamp-zero-ingestion");
    let enough = |server: &Hinomi, n: usize| {
        wait_for("samples", Duration::from_secs(30), || {
            let seen = samples(server, "c_total[5m]");
            (seen.len() >= n).then_some(seen)
        })
    };
    let seen = enough(&server, 3);
    assert_eq!(seen[0], (first as f64 / 1e3, "0".to_owned()));
    assert!(seen[1..].iter().all(|(at, value)| *at > first as f64 / 1e3 && value == "5"), "{seen:?}");
    assert!(server.query("c_created", None).as_array().unwrap().is_empty());

    // It begins anew; and the zeros are there after a crash.
    // Between two scrapes: a zero at a sample's own time, or after it, would be left out.
    let second = (seen.last().unwrap().0 * 1e3).round() as i64 + 7;
    since.store(second, Ordering::SeqCst);
    enough(&server, seen.len() + 4);
    server.process.kill9();
    server.restart();
    let seen = samples(&server, "c_total[5m]");
    let zeros: Vec<f64> = seen.iter().filter(|(_, value)| value == "0").map(|(at, _)| *at).collect();
    assert_eq!(zeros, [first as f64 / 1e3, second as f64 / 1e3], "{seen:?}");
}

#[test]
fn starts_are_stored_beside_samples() {
    let first = (now_secs() * 1e3) as i64 - 40_000;
    let target = counter(&Arc::new(AtomicI64::new(first)));
    let mut server = start(&target, "st-storage,use-start-timestamps,promql-experimental-functions");
    let started = |server: &Hinomi| {
        wait_for("a start", Duration::from_secs(30), || server.number("start_timestamp(c_total)"))
    };
    assert_eq!(started(&server), first as f64 / 1e3);
    assert!(server.query("c_created", None).as_array().unwrap().is_empty());
    server.process.kill9();
    server.restart();
    assert_eq!(started(&server), first as f64 / 1e3);
}

#[test]
fn a_counter_without_a_start_is_counted_from_its_first_sample() {
    let n_scrapes = AtomicI64::new(1_000);
    let target = Target::start(move |_| {
        Reply::text(format!("# TYPE c counter\nc_total {}\n", n_scrapes.fetch_add(1, Ordering::SeqCst)))
    });
    let server = start(&target, "st-synthesis,st-storage,use-start-timestamps,promql-experimental-functions");
    let seen = wait_for("samples", Duration::from_secs(30), || {
        let seen = samples(&server, "c_total[5m]");
        (seen.len() >= 3).then_some(seen)
    });
    let values: Vec<&str> = seen.iter().take(3).map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["1", "2", "3"], "{seen:?}");
    let started = server.number("start_timestamp(c_total)").expect("a start");
    assert!(started < seen[0].0 && started > seen[0].0 - 10.0, "{started} {seen:?}");
    // A rate from the first stored sample on.
    assert!(server.number("rate(c_total[1m])").is_some_and(|rate| rate > 0.0));
}
