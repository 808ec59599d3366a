//! Messages to the byte, and real HTTP on loopback.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Labels;
use stdx::MemDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::data::Data;
use super::*;
use crate::alert::{Alert, Fingerprint};
use crate::notification::Snapshot;

pub(crate) const T0: i64 = 1_763_676_000_000;

pub(crate) fn snapshot(labels: &[(&str, &str)], annotations: &[(&str, &str)], is_firing: bool) -> Snapshot {
    let labels = Labels::from_pairs(labels.iter().copied());
    Snapshot {
        fingerprint: Fingerprint::of(&labels),
        alert: Arc::new(Alert {
            labels,
            annotations: Labels::from_pairs(annotations.iter().copied()),
            starts_at_ms: T0 + 120,
            ends_at_ms: T0 + 60_000,
            generator_url: "http://p/g?a=1&b=<2>".to_owned(),
            updated_at_ms: T0,
            is_timeout: false,
            measured: None,
        }),
        is_firing,
        is_flapping: false,
    }
}

pub(crate) fn notification() -> Notification {
    Notification {
        receiver: "team.x".to_owned(),
        group_key: r#"{}:{alertname="HostDown"}"#.to_owned(),
        group_labels: Labels::from_pairs([("alertname", "HostDown")]),
        route_labels: BTreeMap::new(),
        reason: "first notification",
        alerts: vec![
            snapshot(
                &[("alertname", "HostDown"), ("instance", "a:9100"), ("job", "node")],
                &[("summary", "ホスト停止 <b>호스트</b>")],
                true,
            ),
            snapshot(&[("alertname", "HostDown"), ("instance", "b:9100"), ("job", "node")], &[], false),
        ],
        others_fire: false,
        data: BTreeMap::new(),
        now_ms: T0 + 90_000,
    }
}

pub(crate) fn notifier(receiver: &str) -> (Notifier, Arc<Integration>) {
    let text = format!("route: {{receiver: r}}\nreceivers: [{{name: r, {receiver}}}]\n");
    let config = Config::parse("a.yml", &text).expect("good");
    let integration = Arc::clone(&config.receivers[0].integrations[0]);
    let notifier =
        Notifier::new(&config, "http://hinomi.example:9090", Arc::new(MemDir::new())).expect("good");
    (notifier, integration)
}

/// An attempt with five seconds.
pub(crate) fn attempt<'a>(
    notifier: &'a Notifier,
    integration: &Integration,
    notification: &'a Notification,
) -> Attempt<'a> {
    Attempt::new(notifier, integration, notification, Duration::from_secs(5)).expect("labels fill in")
}

#[test]
fn the_webhooks_body_is_alertmanagers_to_the_byte() {
    let data = Data::new(&notification(), "http://hinomi.example:9090", 0);
    let expected = concat!(
        r#"{"receiver":"team\\.x","status":"firing","alerts":["#,
        r#"{"status":"firing","labels":{"alertname":"HostDown","instance":"a:9100","job":"node"},"#,
        r#""annotations":{"summary":"ホスト停止 \u003cb\u003e호스트\u003c/b\u003e"},"#,
        r#""startsAt":"2025-11-20T22:00:00.12Z","endsAt":"0001-01-01T00:00:00Z","#,
        r#""generatorURL":"http://p/g?a=1\u0026b=\u003c2\u003e","fingerprint":"FP0"},"#,
        r#"{"status":"resolved","labels":{"alertname":"HostDown","instance":"b:9100","job":"node"},"#,
        r#""annotations":{},"startsAt":"2025-11-20T22:00:00.12Z","endsAt":"2025-11-20T22:01:00Z","#,
        r#""generatorURL":"http://p/g?a=1\u0026b=\u003c2\u003e","fingerprint":"FP1"}],"#,
        r#""notification_reason":"first notification","groupLabels":{"alertname":"HostDown"},"#,
        r#""commonLabels":{"alertname":"HostDown","job":"node"},"commonAnnotations":{},"routeLabels":{},"#,
        r#""externalURL":"http://hinomi.example:9090","version":"4","#,
        r#""groupKey":"{}:{alertname=\"HostDown\"}","truncatedAlerts":0}"#,
        "\n"
    );
    let fingerprints: Vec<String> = data.alerts.iter().map(|alert| alert.fingerprint.to_string()).collect();
    let expected = expected.replace("FP0", &fingerprints[0]).replace("FP1", &fingerprints[1]);
    let message = crate::receiver::webhook::Message::new(&data, r#"{}:{alertname="HostDown"}"#, "4");
    assert_eq!(go_json(&message), expected);
    // What a limit leaves out has no say in what is common.
    let cut = Data::new(&notification(), "", 1);
    assert_eq!((cut.n_truncated, cut.common_labels.contains_key("instance")), (1, true));
}

#[test]
fn templates_see_what_alertmanagers_see() {
    let (notifier, _) = notifier("webhook_configs: [{url: 'http://h/'}]");
    let data = Data::new(&notification(), "http://hinomi.example:9090", 0);
    let check = |text: &str, expected: &str| {
        assert_eq!(notifier.templates.text(text, &data, T0 + 90_000).as_deref(), Ok(expected), "{text}");
    };
    check(r#"{{ template "__subject" . }}"#, "[FIRING:1] HostDown (node)");
    check(
        "{{ .Receiver }} {{ .Status }} {{ .Alerts | len }} {{ .NotificationReason }}",
        r"team\.x firing 2 first notification",
    );
    check("{{ range .Alerts.Firing }}{{ .Labels.instance }}{{ end }}", "a:9100");
    check("{{ range .Alerts.Resolved }}{{ .Labels.instance }}{{ end }}", "b:9100");
    check(r#"{{ (index .Alerts 0).Labels.SortedPairs.Values.Join ":" }}"#, "HostDown:a:9100:node");
    check(r#"{{ (index .Alerts 0).Labels.Names.Join "," }}"#, "alertname,instance,job");
    check(r#"{{ (.CommonLabels.Remove (stringSlice "job")).Names }}"#, "[alertname]");
    check("{{ .CommonLabels.Remove .GroupLabels.Names }}", "job=node");
    check("{{ .GroupLabels.nothing }}.", ".");
    check(r#"{{ (index .Alerts 0).StartsAt.Format "2006-01-02 15:04" }}"#, "2025-11-20 22:00");
    check(r#"{{ (index .Alerts 0).StartsAt | tz "Asia/Tokyo" | date "15:04 MST" }}"#, "07:00 JST");
    check("{{ since (index .Alerts 0).StartsAt | humanizeDuration }}", "1m 29s");
    check(r#"{{ "a b" | title | toUpper }}{{ join "-" (stringSlice "x" "y") }}"#, "A Bx-y");
    check(r#"{{ if match "^Host" .GroupLabels.alertname }}yes{{ end }}"#, "yes");
    check(r#"{{ reReplaceAll "(.*):.*" "$1" "a:9100" }}"#, "a");
    check("{{ .CommonLabels | toJson }}", r#"{"alertname":"HostDown","job":"node"}"#);
    check(
        r#"{{ "<a&b>" | toJson }} {{ list 1 true "x" | toJson }}"#,
        r#""\u003ca\u0026b\u003e" [1,true,"x"]"#,
    );
    check("{{ .GroupLabels.SortedPairs | toJson }}", r#"[{"Name":"alertname","Value":"HostDown"}]"#);
    // Issue 6: what is ours in an alert is for templates, not for programs that expect Alertmanager's keys.
    let alert = "{{ index .Alerts 0 | toJson }}";
    let text = notifier.templates.text(alert, &data, T0).expect("filled in");
    let keys: Vec<&str> = text.split('"').filter(|word| text.contains(&format!("\"{word}\":"))).collect();
    let labels = ["labels", "alertname", "instance", "job"];
    let rest = ["annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"];
    let wanted = ["status"].iter().chain(&labels).chain(&rest);
    assert_eq!(
        keys.iter().filter(|key| **key != "summary").collect::<Vec<_>>(),
        wanted.collect::<Vec<_>>(),
        "{text}"
    );
    let text = notifier.templates.text("{{ . | toJson }}", &data, T0).expect("filled in");
    for key in ["notification_reason", "routeLabels", "externalURL"] {
        assert!(text.contains(&format!("\"{key}\":")), "{key} in {text}");
    }
    check("{{ (index .Alerts 1).Fingerprint | len }}", "16");
    check("{{ .ExternalURL }}", "http://hinomi.example:9090");
    check(r#"{{ template "slack.default.color" . }}"#, "danger");
}

#[test]
fn users_templates_take_the_place_of_ours_and_broken_ones_are_named() {
    let dir = MemDir::new();
    let write = |path: &str, text: &str| {
        dir.write_atomic(std::path::Path::new(path), text.as_bytes()).expect("written");
    };
    write("am.yml", "templates: ['*.tmpl']\nroute: {receiver: r}\nreceivers: [{name: r}]\n");
    write("own.tmpl", r#"{{ define "__subject" }}mine{{ end }}"#);
    let config = Config::load(&dir, std::path::Path::new("am.yml")).expect("good");
    let templates = Templates::new(&config).expect("good");
    let data = Data::new(&notification(), "", 0);
    assert_eq!(
        templates.text(r#"{{ template "email.default.subject" . }}"#, &data, T0).as_deref(),
        Ok("mine")
    );
    write("own.tmpl", "{{ define \"x\" }}\n{{ nothing }}{{ end }}");
    let err = Config::load(&dir, std::path::Path::new("am.yml")).expect_err("broken");
    assert!(err.to_string().starts_with("own.tmpl: template: own.tmpl:2: "), "{err}");
}

#[test]
fn route_labels_may_refer_to_each_other_but_not_in_circles() {
    let (notifier, _) = notifier("webhook_configs: [{url: 'http://h/'}]");
    let fill = |pairs: &[(&str, &str)]| {
        let mut data = Data::new(&notification(), "", 0);
        data.route_labels = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        notifier.templates.fill_route_labels(&mut data, T0).map(|()| data.route_labels)
    };
    let filled = fill(&[("a", r#"{{ routeLabels "b" }}!"#), ("b", "{{ .GroupLabels.alertname }}")])
        .expect("no circle");
    assert_eq!(filled["a"], "HostDown!");
    assert!(fill(&[("a", r#"{{ routeLabels "b" }}"#), ("b", r#"{{ routeLabels "a" }}"#)]).is_err());
    let filled =
        fill(&[("a", r#"{{ routeLabels "b" }}{{ routeLabels "none" }}"#), ("b", "x")]).expect("filled in");
    assert_eq!(filled["a"], "x", "what is not set is empty");
}

/// Answers each connection with the next of `answers` and gives back the requests.
pub(crate) async fn server(answers: Vec<&'static str>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let task = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = Vec::new();
            let mut buf = [0; 4096];
            loop {
                let n = stream.read(&mut buf).await.expect("bytes");
                request.extend_from_slice(&buf[..n]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let len = head
                    .to_lowercase()
                    .lines()
                    .find_map(|l| l.strip_prefix("content-length: ").and_then(|n| n.parse().ok()));
                if body.len() >= len.unwrap_or(0) || n == 0 {
                    break;
                }
            }
            requests.push(String::from_utf8(request).expect("text"));
            stream.write_all(answer.as_bytes()).await.expect("sent");
        }
        requests
    });
    (port, task)
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

#[tokio::test]
async fn a_webhook_is_posted_with_its_credentials() {
    let (port, served) = server(vec![OK]).await;
    let (notifier, integration) = notifier(&format!(
        "webhook_configs: [{{url: 'http://127.0.0.1:{port}/{{{{ .GroupLabels.alertname }}}}', http_config: {{basic_auth: {{username: u, password: p}}}}}}]"
    ));
    let outcome = notifier.send(&integration, &notification(), Duration::from_secs(5)).await;
    assert_eq!(outcome, Outcome::delivered());
    let request = &served.await.expect("served")[0];
    assert!(request.starts_with("POST /HostDown HTTP/1.1\r\n"), "{request}");
    let lower = request.to_lowercase();
    assert!(lower.contains("content-type: application/json") && request.contains("Basic dTpw"), "{request}");
    let body = request.split_once("\r\n\r\n").expect("a body").1;
    let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(json["version"], "4");
}

#[tokio::test]
async fn answers_decide_whether_to_try_again() {
    let cases = [
        ("503 Service Unavailable", true, Reason::Server),
        ("429 Too Many Requests", true, Reason::RateLimited),
        ("400 Bad Request", false, Reason::Client),
        ("403 Forbidden", false, Reason::Auth),
    ];
    for (status, expected_retry, expected_reason) in cases {
        let answer: &'static str = Box::leak(
            format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nwhy")
                .into_boxed_str(),
        );
        let (port, served) = server(vec![answer]).await;
        let (notifier, integration) =
            notifier(&format!("webhook_configs: [{{url: 'http://127.0.0.1:{port}/secret'}}]"));
        let outcome = notifier.send(&integration, &notification(), Duration::from_secs(5)).await;
        let Outcome::Failed { is_retryable, reason, message, .. } = outcome else {
            panic!("{status}: delivered")
        };
        assert_eq!((is_retryable, reason), (expected_retry, expected_reason), "{status}");
        assert!(message.ends_with(": why") && !message.contains("secret"), "{message}");
        served.await.expect("served");
    }
    // Nobody there: tried again, and the URL's path is not told.
    let (notifier, integration) = notifier("webhook_configs: [{url: 'http://127.0.0.1:9/secret'}]");
    let outcome = notifier.send(&integration, &notification(), Duration::from_secs(5)).await;
    let Outcome::Failed { is_retryable: true, message, .. } = outcome else { panic!("{outcome:?}") };
    assert!(!message.contains("secret"), "{message}");
}

#[tokio::test]
async fn a_slow_webhook_ends_with_its_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (notifier, integration) =
        notifier(&format!("webhook_configs: [{{url: 'http://127.0.0.1:{port}/', timeout: 50ms}}]"));
    let outcome = notifier.send(&integration, &notification(), Duration::from_secs(60)).await;
    assert!(
        matches!(outcome, Outcome::Failed { is_retryable: true, reason: Reason::Deadline, .. }),
        "{outcome:?}"
    );
}

#[test]
fn messages_have_the_other_annotations_and_links_can_be_followed() {
    let (notifier, _) = notifier("webhook_configs: [{url: 'http://h/'}]");
    let mut of = notification();
    of.alerts.truncate(1);
    let annotations = [
        ("summary", "the summary"),
        ("runbook_url", "https://wiki/x?a=1"),
        ("no_data", "no data since noon"),
        ("trap", "javascript:alert(1)"),
    ];
    std::sync::Arc::make_mut(&mut of.alerts[0].alert).annotations = Labels::from_pairs(annotations);
    let data = Data::new(&of, "", 0);
    for template in ["email.default.text", "slack.default.text"] {
        let text = format!(r#"{{{{ template "{template}" . }}}}"#);
        let text = notifier.templates.text(&text, &data, T0).expect("it fills in");
        for part in ["runbook_url: https://wiki/x?a=1\n", "no_data: no data since noon\n"] {
            assert!(text.contains(part), "{template}: {text}");
        }
        assert_eq!(text.matches("the summary").count(), 1, "{template}: {text}");
    }
    let html = notifier.templates.html(r#"{{ template "email.default.html" . }}"#, &data, T0);
    let html = html.expect("it fills in");
    assert!(html.contains(r#"<a href="https://wiki/x?a=1""#), "{html}");
    assert!(!html.contains(r#"href="javascript"#) && html.contains("javascript:alert(1)"), "{html}");
}

#[test]
fn messages_say_how_long_how_bad_and_how_it_is_now() {
    let (notifier, _) = notifier("webhook_configs: [{url: 'http://h/'}]");
    let check = |value: Option<f64>, peak: f64, expected: &str| {
        let mut of = notification();
        of.alerts.remove(0);
        let measured = Some(model::Measured { value, peak, lower_is_worse: false });
        std::sync::Arc::make_mut(&mut of.alerts[0].alert).measured = measured;
        let data = Data::new(&of, "", 0);
        for template in
            ["email.default.text", "slack.default.text", "__text_alert_list", "__text_alert_list_markdown"]
        {
            let data_of_it = if template.starts_with("__") { ".Alerts" } else { "." };
            let text = format!(r#"{{{{ template "{template}" {data_of_it} }}}}"#);
            let text = notifier.templates.text(&text, &data, T0 + 90_000).expect("it fills in");
            assert!(text.contains(expected), "{template}: {text}");
        }
        let html = notifier.templates.html(r#"{{ template "email.default.html" . }}"#, &data, T0 + 90_000);
        assert!(html.expect("it fills in").contains(expected));
    };
    check(Some(0.4), 0.987_65, "lasted 59s, now 0.4, peak 0.9877");
    check(None, 12_345_678_901.0, "lasted 59s, peak 1.235e10");
    check(None, f64::NAN, "lasted 59s");
    let data = Data::new(&notification(), "", 0);
    let text = |text: &str| notifier.templates.text(text, &data, T0 + 90_000);
    assert_eq!(
        text("{{ range .Alerts }}{{ .Value }}|{{ .Peak }}|{{ .Lasted }} {{ end }}").as_deref(),
        Ok("||1m29s ||59s ")
    );
}
