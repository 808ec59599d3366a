//! An agent scrapes and sends on; what it is asked it refuses in Prometheus' words.

use std::time::Duration;

use crate::harness::target::{Reply, Target};
use crate::harness::{Hinomi, wait_for};

#[test]
fn an_agent_sends_on_what_it_scrapes_and_answers_no_queries() {
    let target = Target::start(|_| Reply::text("# TYPE a gauge\na 42\n"));
    let receiver = Hinomi::start(Some("scrape_configs: []\n"), &["--web.enable-remote-write-receiver"]);
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: t\n  static_configs: [{{targets: ['{}']}}]\n\
         remote_write: [{{url: '{}/api/v1/write'}}]\n",
        target.address, receiver.base
    );
    let mut agent = Hinomi::start(Some(&config), &["--agent", "--web.enable-admin-api"]);
    let sent = wait_for("a sample", Duration::from_secs(30), || receiver.number("a{job=\"t\"}"));
    assert_eq!(sent, 42.0);
    let off = r#"{"status":"error","errorType":"execution","error":"unavailable with Prometheus Agent"}"#;
    for path in ["query?query=up", "labels", "label/job/values", "rules", "alerts", "status/tsdb"] {
        let answer = agent.get(&format!("/api/v1/{path}"));
        assert_eq!((answer.status, answer.body.as_str()), (422, off), "{path}");
    }
    assert_eq!(agent.post("/api/v1/admin/tsdb/snapshot", "text/plain", "").status, 422);
    let targets = agent.get("/api/v1/targets").json();
    assert_eq!(targets["data"]["activeTargets"][0]["health"], "up");
    let features = agent.get("/api/v1/features").json();
    assert_eq!(features["data"]["prometheus"]["agent_mode"], true);
    // Rules are refused at a reload, too, and the configuration stays.
    std::fs::write(agent.folder.path().join("prometheus.yml"), format!("{config}rule_files: [r.yml]\n"))
        .unwrap();
    let answer = agent.post("/-/reload", "text/plain", "");
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("field rule_files is not allowed in agent mode"), "{}", answer.body);
    agent.process.signal("TERM");
    assert_eq!(agent.process.wait_exit(Duration::from_secs(10)), Some(0), "{}", agent.process.log());
}
