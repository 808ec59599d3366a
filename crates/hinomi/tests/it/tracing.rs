//! Spans of a whole server and of an Alertmanager at a small receiver of OTLP; and what a receiver that is lost holds up: nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::manager::Manager;
use crate::harness::target::{Reply, Target};
use crate::harness::{Hinomi, free_port, get, now_secs, wait_for};

/// Spans wait five seconds for others.
const SENT_WITHIN: Duration = Duration::from_secs(60);

fn receiver() -> Target {
    Target::start(|_| Reply { status: 200, ..Reply::default() })
}

/// What a receiver was sent so far. Names of spans are texts in it.
fn said(receiver: &Target) -> String {
    receiver.requests().iter().map(|request| request.body.as_str()).collect()
}

fn wait_for_names(receiver: &Target, names: &[&str]) {
    let missing = || names.iter().filter(|name| !said(receiver).contains(**name)).collect::<Vec<_>>();
    wait_for(&format!("spans {names:?}"), SENT_WITHIN, || missing().is_empty().then_some(()));
}

fn has_parent(target: &Target, path: &str) -> bool {
    let requests = target.requests();
    let mut headers =
        requests.iter().filter(|request| request.path.starts_with(path)).flat_map(|one| &one.headers);
    headers.any(|header| header.to_ascii_lowercase().starts_with("traceparent: 00-"))
}

#[test]
fn a_server_traces_its_work_and_passes_its_traces_on() {
    let (receiver, target) = (receiver(), Target::start(|_| Reply::text("a 1\n")));
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yml");
    std::fs::write(&rules, "groups: [{name: g, interval: 1s, rules: [{alert: A, expr: vector(1)}]}]\n")
        .unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ['{}']
scrape_configs: [{{job_name: j, static_configs: [{{targets: ['{target}']}}]}}]
remote_write: [{{url: 'http://{target}/write'}}]
remote_read: [{{url: 'http://{target}/read', read_recent: true}}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{target}']}}]}}]}}
tracing: {{endpoint: '{}', client_type: http, insecure: true, sampling_fraction: 1}}
",
        rules.display(),
        receiver.address,
        target = target.address,
    );
    let server = Hinomi::start(Some(&config), &[]);
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let answer = ureq::get(format!("{}/api/v1/query?query=up%2B1", server.base))
        .header("traceparent", format!("00-{trace_id}-b7ad6b7169203331-01"))
        .call()
        .unwrap();
    assert_eq!(answer.status(), 200);
    wait_for_names(
        &receiver,
        &[
            "GET /api/v1/query",
            "promqlInstantQuery",
            "promqlExec",
            "promqlExecQueue",
            "promqlEval",
            "promqlPrepare",
            "promqlInnerEval",
            "querierSelect",
            "scrapeRequest",
            "scrapeAppend",
            "scrapeCommit",
            "rule group",
            "ruleCommit",
            "Remote Send Batch",
            "Remote Store",
            "Remote Read",
            "sendAlerts",
            "up+1",
        ],
    );
    assert!(receiver.requests().iter().all(|request| request.path == "/v1/traces"));
    for path in ["/metrics", "/write", "/read", "/api/v2/alerts"] {
        assert!(has_parent(&target, path), "{path}");
    }
    // The question to the other server is of the trace that the client began.
    let reads = target.requests().into_iter().filter(|request| request.path == "/read");
    assert!(reads.flat_map(|read| read.headers).any(|header| header.contains(trace_id)));
    let sent = get(&format!("{}/metrics", server.base)).unwrap().body;
    assert!(sent.contains("hinomi_tracing_spans_dropped_total{reason=\"queue_full\"} 0\n"), "{sent}");
}

#[test]
fn a_lost_receiver_holds_nothing_up_and_a_reload_ends_it() {
    let config = |tracing: &str| format!("scrape_configs: []\n{tracing}");
    let lost =
        format!("tracing: {{endpoint: '127.0.0.1:{}', insecure: true, sampling_fraction: 1}}\n", free_port());
    let server = Hinomi::start(Some(&config(&lost)), &[]);
    let began = Instant::now();
    for _ in 0..3_000 {
        assert_eq!(server.get("/-/healthy").status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let dropped = || {
        let page = server.get("/metrics").body;
        let line = page
            .lines()
            .find(|line| line.starts_with("hinomi_tracing_spans_dropped_total{reason=\"queue_full\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    assert!(dropped() > 0.0);
    assert!(server.process.log().contains("spans cannot be sent"), "{}", server.process.log());
    let file = server.folder.path().join("prometheus.yml");
    std::fs::write(&file, config("")).unwrap();
    assert_eq!(server.post("/-/reload", "text/plain", "").status, 200);
    let before = dropped();
    (0..100).for_each(|_| drop(server.get("/-/healthy")));
    assert_eq!(dropped(), before, "nothing is collected any more");
    // A configuration that cannot be taken leaves the old one.
    std::fs::write(&file, config("tracing: {endpoint: 'h:1', tls_config: {ca_file: nope.pem}}\n")).unwrap();
    let refused = server.post("/-/reload", "text/plain", "");
    assert!(refused.status == 500 && refused.body.contains("nope.pem"), "{}", refused.body);
}

#[test]
fn an_alertmanager_traces_its_notifications() {
    let (receiver, hook) = (receiver(), Target::start(|_| Reply::text("")));
    let config = format!(
        "route: {{receiver: r, group_wait: 0s}}
receivers: [{{name: r, webhook_configs: [{{url: 'http://{}/hook'}}]}}]
tracing: {{endpoint: '{}', client_type: http, insecure: true, sampling_fraction: 1, headers: {{X-Scope: {{secrets: [s]}}}}}}
",
        hook.address, receiver.address,
    );
    let manager = Manager::start(&config, &[]);
    let ends = jiff::Timestamp::from_second(now_secs() as i64 + 600).unwrap().to_string();
    let alerts = json!([{"labels": {"alertname": "A"}, "endsAt": ends}]);
    assert_eq!(manager.post("/api/v2/alerts", &alerts).status, 200);
    wait_for_names(&receiver, &["POST /api/v2/alerts", "notify.Integration.Notify", "alertmanager"]);
    assert!(has_parent(&hook, "/hook"));
    assert!(receiver.requests()[0].headers.iter().any(|header| header.eq_ignore_ascii_case("x-scope: s")));
}
