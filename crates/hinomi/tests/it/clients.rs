//! Real clients: Debian's promtool and amtool pointed at Hinomi.

use std::process::Command;
use std::time::Duration;

use crate::harness::{Hinomi, output, wait_for};

fn server_with_alert() -> Hinomi {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("rules.yml"),
        "groups:\n- name: always\n  interval: 1s\n  rules:\n  - alert: Always\n    expr: vector(1)\n    labels: {severity: page}\n",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("prometheus.yml"),
        "rule_files: [rules.yml]\nhinomi: {host_metrics: true, self_metrics: true}\n",
    )
    .unwrap();
    let config = format!("--config.file={}", folder.path().join("prometheus.yml").display());
    Hinomi::start_in(folder, vec![config])
}

fn promtool(server: &Hinomi, args: &[&str]) -> String {
    let at = args.iter().position(|arg| *arg == "URL").unwrap();
    let mut args = args.to_vec();
    args[at] = &server.base;
    let (code, out, err) = output(Command::new("/usr/bin/promtool").arg("query").args(&args));
    assert_eq!(code, 0, "promtool query {args:?}: {out}{err}");
    out
}

#[test]
fn promtool_queries_work() {
    let server = server_with_alert();
    wait_for("samples", Duration::from_secs(15), || server.number("node_load1"));
    assert!(promtool(&server, &["instant", "URL", "node_load1"]).contains("node_load1{"));
    assert!(promtool(&server, &["instant", "--format=json", "URL", "1 + 1"]).contains("\"2\""));
    assert!(promtool(&server, &["range", "URL", "node_load1"]).contains("node_load1{"));
    assert!(promtool(&server, &["series", "--match=node_load1", "URL"]).contains("node_load1"));
    assert!(promtool(&server, &["labels", "URL", "job"]).contains("host"));
    let (code, out, err) =
        output(Command::new("/usr/bin/promtool").args(["query", "instant", &server.base, "rate("]));
    assert_ne!(code, 0, "{out}");
    assert!(err.contains("parse error"), "{err}");
}

#[test]
fn amtool_alerts_and_silences_work() {
    let server = server_with_alert();
    let amtool = |args: &[&str]| {
        let url = format!("--alertmanager.url={}", server.base);
        let (code, out, err) = output(Command::new("/usr/bin/amtool").args(args).arg(url));
        assert_eq!(code, 0, "amtool {args:?}: {out}{err}");
        out
    };
    let alerts = wait_for("the alert", Duration::from_secs(20), || {
        let out = amtool(&["alert", "query"]);
        out.contains("Always").then_some(out)
    });
    assert!(alerts.contains("active"), "{alerts}");
    assert!(amtool(&["alert", "query", "severity=page"]).contains("Always"));
    assert!(!amtool(&["alert", "query", "severity=none"]).contains("Always"));

    let id = amtool(&[
        "silence",
        "add",
        "alertname=Always",
        "--comment=quiet please",
        "--author=me",
        "--duration=1h",
    ]);
    let id = id.trim();
    assert_eq!(id.len(), 36, "a silence's id: {id}");
    assert!(amtool(&["silence", "query"]).contains("quiet please"));
    wait_for("silenced", Duration::from_secs(5), || {
        (!amtool(&["alert", "query"]).contains("Always")).then_some(())
    });
    assert!(amtool(&["alert", "query", "--silenced"]).contains("Always"));
    amtool(&["silence", "expire", id]);
    wait_for("active again", Duration::from_secs(5), || {
        amtool(&["alert", "query"]).contains("Always").then_some(())
    });
    assert!(!amtool(&["silence", "query"]).contains("quiet please"));
    assert!(amtool(&["silence", "query", "--expired"]).contains("quiet please"));
    amtool(&["alert", "add", "alertname=ByHand", "node=a", "--annotation=summary=x"]);
    wait_for("added by hand", Duration::from_secs(5), || amtool(&["alert"]).contains("ByHand").then_some(()));
    assert!(amtool(&["config", "show"]).contains("route"));
    assert!(amtool(&["config", "routes", "test", "severity=page"]).trim().len() > 1);
}
