//! From a dead target to the mail: one notification when it fires, one when it is resolved.

use std::time::Duration;

use serde_json::Value;

use crate::harness::mail::{MailServer, PASSWORD, USER};
use crate::harness::manager::Manager;
use crate::harness::target::{Reply, Request, Target};
use crate::harness::{Hinomi, free_port, wait_for};

/// Between a receiver's yes and our note of it a kill makes one message come twice, as is documented.
fn wait_until_noted(server: &Hinomi) {
    wait_for("all noted", Duration::from_secs(5), || {
        let page = server.get("/metrics").body;
        let noted = |kind: &str| {
            page.contains(&format!(
                "alertmanager_notification_latency_seconds_count{{integration=\"{kind}\"}} 1\n"
            ))
        };
        ["email", "webhook", "slack"].into_iter().all(noted).then_some(())
    });
}

#[test]
fn a_dead_service_is_said_once_and_its_return_once() {
    let folder = tempfile::tempdir().unwrap();
    let mail = MailServer::start(folder.path());
    let hook = Target::start(|_| Reply { status: 200, ..Reply::default() });
    let slack = Target::start(|_| Reply { status: 200, body: b"ok".to_vec(), ..Reply::default() });
    let ports = [free_port(), free_port()];
    let addresses = ports.map(|port| format!("127.0.0.1:{port}"));
    let serve = |_: &_| Reply::text("m 1\n");
    let targets = addresses.clone().map(|address| Target::start_on(&address, serve));

    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("alertmanager.yml", alertmanager_config(&mail, &hook, &slack));
    write("rules.yml", RULES.to_owned());
    write(
        "prometheus.yml",
        format!(
            "global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}\nrule_files: [rules.yml]\n\
             scrape_configs:\n- job_name: shop\n  scrape_timeout: 400ms\n  static_configs:\n  - targets: ['{}', '{}']\n\
             hinomi:\n  alertmanager: {{config_file: alertmanager.yml}}\n",
            addresses[0], addresses[1]
        ),
    );
    let config = format!("--config.file={}", folder.path().join("prometheus.yml").display());
    let mut server = Hinomi::start_in(folder, vec![config]);
    wait_for("both up", Duration::from_secs(10), || server.number("count(up == 1)").filter(|n| *n == 2.0));

    drop(targets);
    wait_for("pending first", Duration::from_secs(10), || {
        server.number("count(ALERTS{alertstate=\"pending\"})").filter(|n| *n == 2.0)
    });
    assert!(hook.requests().is_empty(), "nothing is said before the `for` has passed");
    wait_for("one mail", Duration::from_secs(30), || (!mail.messages().is_empty()).then_some(()));
    wait_for("one hook", Duration::from_secs(5), || (!hook.requests().is_empty()).then_some(()));
    wait_for("one chat", Duration::from_secs(5), || (!slack.requests().is_empty()).then_some(()));
    wait_until_noted(&server);
    // A restart in the middle sends nothing twice.
    server.process.kill9();
    server.restart();
    let quiet_until = crate::harness::now_secs() + 8.0;
    wait_for("some quiet time", Duration::from_secs(20), || {
        (crate::harness::now_secs() > quiet_until).then_some(())
    });
    assert_eq!(
        (mail.messages().len(), hook.requests().len(), slack.requests().len()),
        (1, 1, 1),
        "grouped, and once"
    );

    check_mail(&mail.messages()[0], &addresses);
    check_hook(&hook.requests()[0]);

    let _back = addresses.map(|address| Target::start_on(&address, serve));
    wait_for("resolved mail", Duration::from_secs(30), || (mail.messages().len() == 2).then_some(()));
    wait_for("resolved hook", Duration::from_secs(5), || (hook.requests().len() == 2).then_some(()));
    let payload: Value = serde_json::from_str(&hook.requests()[1].body).unwrap();
    assert_eq!(payload["status"], "resolved", "{payload}");
    assert_eq!(payload["alerts"].as_array().unwrap().len(), 2, "{payload}");
    let quiet_until = crate::harness::now_secs() + 6.0;
    wait_for("some quiet time", Duration::from_secs(20), || {
        (crate::harness::now_secs() > quiet_until).then_some(())
    });
    assert_eq!((mail.messages().len(), hook.requests().len(), slack.requests().len()), (2, 2, 2), "and once");
}

/// What `insecure_skip_verify` says of the certificate goes for the name in it, too.
#[test]
fn mail_goes_to_a_server_whose_certificate_is_not_checked() {
    let folder = tempfile::tempdir().unwrap();
    let mail = MailServer::start(folder.path());
    let config = format!(
        "route: {{receiver: ops, group_wait: 1s}}\nreceivers:\n- name: ops\n  email_configs:\n  - to: ops@example.com\n    \
         from: hinomi@example.com\n    smarthost: localhost:{}\n    auth_username: {USER}\n    auth_password: {PASSWORD}\n    \
         tls_config: {{insecure_skip_verify: true, server_name: other.example.com}}\n",
        mail.port
    );
    let manager = Manager::start(&config, &[]);
    let alert = serde_json::json!([{"labels": {"alertname": "Watched"}}]);
    assert_eq!(manager.post("/api/v2/alerts", &alert).status, 200);
    wait_for("one mail", Duration::from_secs(15), || (!mail.messages().is_empty()).then_some(()));
    assert!(mail.messages()[0].contains("RCPT: ops@example.com"), "{}", mail.messages()[0]);
}

/// Subject in Japanese, HTML part, both instances.
fn check_mail(message: &str, addresses: &[String]) {
    assert!(message.contains("SUBJECT: ") && message.contains("店が落ちた"), "{message}");
    assert!(message.contains("RCPT: ops@example.com") && message.contains("PART: text/html"), "{message}");
    for address in addresses {
        assert!(message.contains(address.as_str()), "{address} is named: {message}");
    }
}

/// Alertmanager's webhook, version 4, with both alerts in one.
fn check_hook(request: &Request) {
    assert_eq!(request.path, "/hook");
    let is_json = |header: &String| header.eq_ignore_ascii_case("content-type: application/json");
    assert!(request.headers.iter().any(is_json), "{:?}", request.headers);
    let payload: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(payload["version"], "4");
    assert_eq!(payload["status"], "firing");
    assert_eq!(payload["alerts"].as_array().unwrap().len(), 2, "both in one notification: {payload}");
    assert_eq!(payload["commonLabels"]["alertname"], "店が落ちた");
    assert_eq!(
        payload["alerts"][0]["annotations"]["summary"],
        format!("{} is down", first_instance(&payload))
    );
}

fn first_instance(payload: &Value) -> String {
    payload["alerts"][0]["labels"]["instance"].as_str().unwrap().to_owned()
}

const RULES: &str = r#"
groups:
- name: shop
  rules:
  - alert: 店が落ちた
    expr: up{job="shop"} == 0
    for: 2s
    labels: {severity: page}
    annotations:
      summary: "{{ $labels.instance }} is down"
"#;

fn alertmanager_config(mail: &MailServer, hook: &Target, slack: &Target) -> String {
    format!(
        r#"
global:
  smtp_smarthost: localhost:{port}
  smtp_from: hinomi@example.com
  smtp_auth_username: {USER}
  smtp_auth_password: {PASSWORD}
route:
  receiver: ops
  group_by: [alertname]
  group_wait: 2s
  group_interval: 2s
  repeat_interval: 1h
receivers:
- name: ops
  email_configs:
  - to: ops@example.com
    send_resolved: true
    tls_config: {{ca_file: "{ca}"}}
  webhook_configs:
  - url: http://{hook}/hook
  slack_configs:
  - api_url: http://{slack}/services/x
    channel: '#ops'
    send_resolved: true
"#,
        port = mail.port,
        ca = mail.ca_file.display(),
        hook = hook.address,
        slack = slack.address,
    )
}
