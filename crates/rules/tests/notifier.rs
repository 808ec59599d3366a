//! The notifier and both drivers against a real HTTP server on loopback.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use model::{Alert, Labels};
use rules::{AlertSink, AlertingConfig, Env, Manager, Notifier, NotifierOptions, Options};
use stdx::dir::Dir;
use stdx::metrics::Registry;
use stdx::{Clock, SystemClock};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

struct Receiver {
    status: AtomicU16,
    bodies: mpsc::Sender<serde_json::Value>,
    /// Told of every request that was answered with an error.
    refused: tokio::sync::Notify,
}

/// A server that answers with a chosen status and hands on what it was sent.
async fn receiver() -> (String, Arc<Receiver>, mpsc::Receiver<serde_json::Value>) {
    let (sender, bodies) = mpsc::channel(1_000);
    let state = Arc::new(Receiver {
        status: AtomicU16::new(200),
        bodies: sender,
        refused: tokio::sync::Notify::new(),
    });
    let handle = |State(state): State<Arc<Receiver>>, body: String| async move {
        let status = axum::http::StatusCode::from_u16(state.status.load(Ordering::SeqCst)).unwrap();
        if status.is_success() {
            state.bodies.send(serde_json::from_str(&body).unwrap()).await.unwrap();
        } else {
            state.refused.notify_one();
        }
        status
    };
    let router = axum::Router::new().route("/am/api/v2/alerts", post(handle)).with_state(Arc::clone(&state));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, state, bodies)
}

fn config(address: &str) -> AlertingConfig {
    let text = format!(
        "alertmanagers:\n- path_prefix: /am\n  static_configs: [{{targets: ['{address}']}}]\n  alert_relabel_configs: [{{regex: internal, action: labeldrop}}]\n"
    );
    model::yaml::parse("p.yml", &text).unwrap()
}

fn hub(registry: &Registry) -> Arc<discovery::Hub> {
    hub_over(Arc::new(stdx::MemDir::new()), registry)
}

fn hub_over(dir: Arc<dyn Dir>, registry: &Registry) -> Arc<discovery::Hub> {
    Arc::new(discovery::Hub::new(discovery::HubOptions {
        clock: Arc::new(SystemClock::new()),
        dir,
        registry: registry.clone(),
    }))
}

fn alert(name: &str, ends_at_ms: i64) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", name), ("internal", "x")]),
        annotations: Labels::from_pairs([("summary", "s")]),
        starts_at_ms: 1_735_689_600_123,
        ends_at_ms,
        generator_url: "http://h/graph".to_owned(),
        measured: None,
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it comes within twenty seconds")
}

#[tokio::test]
async fn alerts_reach_an_alertmanager_in_batches_and_survive_its_outage() {
    let (address, server, mut bodies) = receiver().await;
    let registry = Registry::new();
    let notifier = Arc::new(Notifier::new(NotifierOptions::default(), &registry, hub(&registry)));
    notifier.reload(&config(&address)).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let stop = CancellationToken::new();
    let driver =
        tokio::spawn(rules::driver::run_notifier(Arc::clone(&notifier), Arc::clone(&clock), stop.clone()));
    notifier.send(vec![alert("A", 1_735_689_661_000)]);
    let body = within(bodies.recv()).await.unwrap();
    let expected = serde_json::json!([{
        "labels": {"alertname": "A"},
        "annotations": {"summary": "s"},
        "startsAt": "2025-01-01T00:00:00.123Z",
        "endsAt": "2025-01-01T00:01:01.000Z",
        "generatorURL": "http://h/graph",
    }]);
    assert_eq!(body, expected);
    // Away: what comes meanwhile waits, of each alert the newest word.
    server.status.store(503, Ordering::SeqCst);
    for n in 0..300 {
        notifier.send(vec![alert(&format!("B{n:03}"), 1), alert(&format!("B{n:03}"), 2)]);
    }
    within(server.refused.notified()).await;
    server.status.store(200, Ordering::SeqCst);
    let mut n_received = 0;
    while n_received < 300 {
        let batch = within(bodies.recv()).await.unwrap();
        let batch = batch.as_array().unwrap();
        assert!(batch.len() <= 256);
        assert!(batch.iter().all(|alert| alert["endsAt"] == "1970-01-01T00:00:00.002Z"));
        n_received += batch.len();
    }
    assert_eq!(n_received, 300);
    // A stop sends what waits.
    notifier.send(vec![alert("C", 1)]);
    stop.cancel();
    within(driver).await.unwrap();
    assert_eq!(within(bodies.recv()).await.unwrap()[0]["labels"]["alertname"], "C");
    let metrics = registry.render();
    let url = format!("http://{address}/am/api/v2/alerts");
    assert!(
        metrics.contains(&format!("prometheus_notifications_sent_total{{alertmanager=\"{url}\"}} 302")),
        "{metrics}"
    );
    assert!(
        metrics.contains(&format!("prometheus_notifications_dropped_total{{alertmanager=\"{url}\"}} 0")),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_full_queue_drops_the_oldest_and_counts_them() {
    let registry = Registry::new();
    let options = NotifierOptions { queue_capacity: 10, ..NotifierOptions::default() };
    let notifier = Notifier::new(options, &registry, hub(&registry));
    notifier.reload(&config("127.0.0.1:1")).unwrap();
    notifier.send((0..25).map(|n| alert(&format!("A{n}"), 1)).collect());
    let metrics = registry.render();
    assert!(
        metrics.contains(
            "prometheus_notifications_dropped_total{alertmanager=\"http://127.0.0.1:1/am/api/v2/alerts\"} 15"
        ),
        "{metrics}"
    );
    assert!(
        metrics.contains(
            "prometheus_notifications_queue_length{alertmanager=\"http://127.0.0.1:1/am/api/v2/alerts\"} 10"
        ),
        "{metrics}"
    );
    // A reload that keeps the Alertmanager keeps what waits for it; one that removes it forgets it.
    notifier.reload(&config("127.0.0.1:1")).unwrap();
    assert_eq!(notifier.endpoints().len(), 1);
    assert!(
        registry.render().contains("queue_length{alertmanager=\"http://127.0.0.1:1/am/api/v2/alerts\"} 10")
    );
    notifier.reload(&AlertingConfig::default()).unwrap();
    assert!(notifier.endpoints().is_empty());
    assert!(!registry.render().contains("queue_length{alertmanager"));
}

/// Hands alerts on.
struct Channel(mpsc::Sender<Alert>);

impl AlertSink for Channel {
    fn send(&self, alerts: Vec<Alert>) {
        for alert in alerts {
            let _ = self.0.try_send(alert);
        }
    }
}

#[tokio::test]
async fn the_driver_evaluates_groups_and_stops_at_once() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = Arc::new(storage::MemStore::new());
    let (sender, mut alerts) = mpsc::channel(1_000);
    let sink = Arc::new(Channel(sender));
    let env = Env { queryable: store.clone(), appendable: store, sink, clock: Arc::clone(&clock) };
    let manager = Arc::new(Manager::new(env, &Registry::new()));
    let rules = "groups: [{name: g, interval: 100ms, rules: [{alert: A, expr: vector(1)}]}]";
    let groups = rules::parse_file("test.yml", rules).unwrap();
    manager.reload(groups, Options::default(), clock.now_ms());
    let stop = CancellationToken::new();
    let driver = tokio::spawn(rules::driver::run_rules(Arc::clone(&manager), clock, stop.clone()));
    assert_eq!(within(alerts.recv()).await.unwrap().name(), "A");
    stop.cancel();
    within(driver).await.unwrap();
    assert_eq!(manager.views()[0].rules[0].health, rules::Health::Ok);
}

#[tokio::test]
async fn alertmanagers_that_are_found_later_are_told_too() {
    let (address, _, mut bodies) = receiver().await;
    let registry = Registry::new();
    let dir: Arc<dyn Dir> = Arc::new(stdx::MemDir::new());
    let notifier =
        Arc::new(Notifier::new(NotifierOptions::default(), &registry, hub_over(Arc::clone(&dir), &registry)));
    let yaml = "alertmanagers:\n- path_prefix: /am\n  file_sd_configs: [{files: [am.json], refresh_interval: 10ms}]\n";
    let config: AlertingConfig = model::yaml::parse("p.yml", yaml).unwrap();
    notifier.reload(&config).unwrap();
    assert!(notifier.endpoints().is_empty());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let stop = CancellationToken::new();
    let driver = tokio::spawn(rules::driver::run_notifier(Arc::clone(&notifier), clock, stop.clone()));
    let write = |targets: &str| {
        let text = format!("[{{\"targets\": [{targets}]}}]");
        dir.write_atomic(std::path::Path::new("am.json"), text.as_bytes()).unwrap();
    };
    let until = async |n_endpoints: usize| {
        let wait = async {
            while notifier.endpoints().len() != n_endpoints {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within(wait).await;
    };
    write(&format!("\"{address}\""));
    until(1).await;
    let first = notifier.endpoints().remove(0);
    notifier.send(vec![alert("A", 1_735_689_661_000)]);
    assert_eq!(within(bodies.recv()).await.unwrap()[0]["labels"]["alertname"], "A");
    write(&format!("\"{address}\", \"127.0.0.1:1\""));
    until(2).await;
    assert!(
        notifier.endpoints().iter().any(|endpoint| Arc::ptr_eq(endpoint, &first)),
        "it goes on undisturbed"
    );
    assert!(
        registry.render().contains("prometheus_sd_discovered_targets{name=\"notify\",config=\"config-0\"} 2")
    );
    write("");
    until(0).await;
    stop.cancel();
    within(driver).await.unwrap();
}
