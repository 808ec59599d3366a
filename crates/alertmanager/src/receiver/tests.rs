//! What each kind sends, over real HTTP on loopback, to the byte where upstream's servers read it so.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::notification::Notification;
use crate::notification::{Outcome, Reason};
use crate::notify::tests::{OK, attempt, notification, notifier, server, snapshot};

/// The group after all has resolved.
fn resolved() -> Notification {
    let mut notification = notification();
    notification.alerts = vec![snapshot(&[("alertname", "HostDown"), ("instance", "b:9100")], &[], false)];
    notification
}

/// First line and body of a request.
fn split(request: &str) -> (String, Value) {
    let (head, body) = request.split_once("\r\n\r\n").expect("head and body");
    (head.lines().next().unwrap_or_default().to_owned(), serde_json::from_str(body).unwrap_or_default())
}

/// Sends `notification` by `receiver`, in which `PORT` is the server's, and gives back what came of it and what was
/// asked.
async fn exchange(
    receiver: &str,
    notification: &Notification,
    answers: Vec<&'static str>,
) -> (Outcome, Vec<String>) {
    let (port, served) = server(answers).await;
    let (notifier, integration) = notifier(&receiver.replace("PORT", &port.to_string()));
    let outcome = notifier.send(&integration, notification, Duration::from_secs(5)).await;
    (outcome, served.await.expect("served"))
}

/// An answer of 200 with `json`.
fn ok_json(json: &Value) -> &'static str {
    let body = json.to_string();
    let text = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    Box::leak(text.into_boxed_str())
}

/// One request, delivered, at `path` with `expected` in its body (what is not named there is not looked at).
async fn check(
    receiver: &str,
    notification: &Notification,
    answer: &'static str,
    path: &str,
    expected: Value,
) {
    let (outcome, requests) = exchange(receiver, notification, vec![answer]).await;
    assert_eq!(outcome, Outcome::delivered(), "{receiver}");
    let (line, body) = split(&requests[0]);
    assert_eq!(line, format!("POST {path} HTTP/1.1"), "{receiver}");
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&body[name], value, "{receiver}: {name} of {body}");
    }
}

#[tokio::test]
async fn each_kind_says_it_in_its_way() {
    let (firing, resolved) = (notification(), resolved());
    let group = Value::from(group_hash(&firing));
    let subject = "[FIRING:1] HostDown (node)";
    check(
        "pagerduty_configs: [{routing_key: k, url: 'http://127.0.0.1:PORT/v2', severity: '{{ .CommonLabels.job }}', \
         details: {n: '{{ .Alerts | len }}', deep: {list: ['{{ .Status }}']}}, links: [{href: 'http://x', text: t}, {href: ''}]}]",
        &firing,
        OK,
        "/v2",
        json!({"routing_key": "k", "event_action": "trigger", "dedup_key": group, "client": "Hinomi",
            "payload": {"summary": subject, "source": "Hinomi", "severity": "node", "custom_details": {
                "n": 2, "deep": {"list": ["firing"]}, "num_firing": 1, "num_resolved": 1,
                "firing": details(&firing, true), "resolved": details(&firing, false)}},
            "links": [{"href": "http://x", "text": "t"}], "images": null}),
    )
    .await;
    check(
        "pagerduty_configs: [{routing_key: k, url: 'http://127.0.0.1:PORT/'}]",
        &resolved,
        OK,
        "/",
        json!({"event_action": "resolve", "dedup_key": group}),
    )
    .await;
    check(
        "opsgenie_configs: [{api_key: k, api_url: 'http://127.0.0.1:PORT', tags: 'a,b,', details: {x: '{{ .Status }}'}, \
         responders: [{name: 'a,b', type: teams}, {name: '{{ .CommonLabels.none }}', type: '{{ .CommonLabels.none }}'}]}]",
        &firing,
        OK,
        "/v2/alerts",
        json!({"alias": group, "message": subject, "tags": ["a", "b"], "priority": null,
            "details": {"alertname": "HostDown", "job": "node", "x": "firing"},
            "responders": [{"name": "a", "type": "team"}, {"name": "b", "type": "team"}]}),
    )
    .await;
    check(
        "opsgenie_configs: [{api_key: k, api_url: 'http://127.0.0.1:PORT/'}]",
        &resolved,
        OK,
        &format!("/v2/alerts/{}/close?identifierType=alias", group_hash(&firing)),
        json!({"source": "http://hinomi.example:9090/alerts?receiver=team%5C.x"}),
    )
    .await;
    check(
        "victorops_configs: [{api_key: k, routing_key: 'r{{ .Alerts | len }}', api_url: 'http://127.0.0.1:PORT/a', \
         message_type: nonsense, custom_fields: {team: '{{ .Status }}'}}]",
        &firing,
        OK,
        "/a/k/r2",
        json!({"message_type": "CRITICAL", "entity_id": group, "entity_display_name": subject, "team": "firing"}),
    )
    .await;
    check(
        "victorops_configs: [{api_key: k, routing_key: r, api_url: 'http://127.0.0.1:PORT/'}]",
        &resolved,
        OK,
        "/k/r",
        json!({"message_type": "RECOVERY"}),
    )
    .await;
}

#[tokio::test]
async fn chats_get_what_they_show() {
    let (firing, resolved) = (notification(), resolved());
    let subject = "[FIRING:1] HostDown (node)";
    check(
        "telegram_configs: [{bot_token: T, chat_id: -7, api_url: 'http://127.0.0.1:PORT', message_thread_id: 3, \
         message: '<b>{{ .CommonAnnotations.none }}{{ (index .Alerts 0).Annotations.summary }}</b>'}]",
        &firing,
        ok_json(&json!({"ok": true})),
        "/botT/sendMessage",
        json!({"chat_id": "-7", "parse_mode": "HTML", "message_thread_id": "3", "disable_web_page_preview": "true",
            "text": "<b>ホスト停止 &lt;b&gt;호스트&lt;/b&gt;</b>"}),
    )
    .await;
    check(
        "discord_configs: [{webhook_url: 'http://127.0.0.1:PORT/d', message: m, username: u}]",
        &firing,
        OK,
        "/d",
        json!({"content": "", "username": "u", "avatar_url": null,
            "embeds": [{"title": subject, "description": "m", "color": 10_038_562}]}),
    )
    .await;
    check(
        "discord_configs: [{webhook_url: 'http://127.0.0.1:PORT/d', title: t, message: m}]",
        &resolved,
        OK,
        "/d",
        json!({"embeds": [{"title": "t", "description": "m", "color": 3_066_993}]}),
    )
    .await;
    check(
        "webex_configs: [{room_id: r, api_url: 'http://127.0.0.1:PORT/w', message: m, http_config: {authorization: {credentials: c}}}]",
        &firing,
        OK,
        "/w",
        json!({"markdown": "m", "roomId": "r"}),
    )
    .await;
}

#[tokio::test]
async fn more_chats_get_what_they_show() {
    let (firing, resolved) = (notification(), resolved());
    let subject = "[FIRING:1] HostDown (node)";
    check(
        "msteams_configs: [{webhook_url: 'http://127.0.0.1:PORT/t', text: x}]",
        &firing,
        OK,
        "/t",
        json!({"@context": "http://schema.org/extensions", "type": "MessageCard", "title": subject,
            "summary": subject, "text": "x", "themeColor": "8C1A1A"}),
    )
    .await;
    check(
        "msteamsv2_configs: [{webhook_url: 'http://127.0.0.1:PORT/t', title: t, text: x}]",
        &resolved,
        OK,
        "/t",
        json!({"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null, "content": {"$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard", "version": "1.2", "msteams": {"width": "full"}, "body": [
                {"type": "TextBlock", "text": "t", "weight": "Bolder", "size": "Medium", "wrap": true,
                 "style": "heading", "color": "Good"},
                {"type": "TextBlock", "text": "x", "wrap": true}]}}]}),
    )
    .await;
    check(
        "rocketchat_configs: [{token: t, token_id: i, api_url: 'http://127.0.0.1:PORT', channel: '#ops', text: x, \
         fields: [{title: a, value: '{{ .Status }}'}], actions: [{text: Go, url: 'http://x'}]}]",
        &firing,
        ok_json(&json!({"success": true})),
        "/api/v1/chat.postMessage",
        json!({"channel": "#ops", "attachments": [{"title": subject, "text": "x", "color": "red",
            "title_link": "http://hinomi.example:9090/alerts?receiver=team%5C.x",
            "fields": [{"short": false, "title": "a", "value": "firing"}],
            "actions": [{"type": "button", "text": "Go", "url": "http://x", "is_webview": false, "msg_in_chat_window": false}]}]}),
    )
    .await;
    check(
        "mattermost_configs: [{webhook_url: 'http://127.0.0.1:PORT/m', text: x, channel: c, \
         priority: {priority: Important, requested_ack: true, persistent_notifications: true}}]",
        &firing,
        OK,
        "/m",
        json!({"channel": "c", "username": "Hinomi", "text": null,
            "priority": {"priority": "important", "requested_ack": true},
            "attachments": [{"text": "x", "title": subject, "color": "danger",
                "fallback": format!("{subject} | http://hinomi.example:9090/alerts?receiver=team%5C.x"),
                "title_link": "http://hinomi.example:9090/alerts?receiver=team%5C.x"}]}),
    )
    .await;
    check(
        "incidentio_configs: [{url: 'http://127.0.0.1:PORT/i', alert_source_token: t, max_alerts: 1}]",
        &firing,
        OK,
        "/i",
        json!({"version": "1", "truncatedAlerts": 1, "groupKey": "{}:{alertname=\"HostDown\"}", "status": "firing"}),
    )
    .await;
    check(
        "webhook_configs: [{url: 'http://127.0.0.1:PORT/', payload: {'{{ .Status }}': ['{{ .Alerts | len }}', {a: 'x: {{ .Status }}'}], n: 7}}]",
        &firing,
        OK,
        "/",
        json!({"firing": [2, {"a": {"x": "firing"}}], "n": 7}),
    )
    .await;
}

fn group_hash(notification: &Notification) -> String {
    let (notifier, integration) = notifier("webhook_configs: [{url: 'http://h/'}]");
    attempt(&notifier, &integration, notification).group_hash()
}

/// The alerts as `toJson` shows them.
fn details(notification: &Notification, is_firing: bool) -> Value {
    let (notifier, integration) = notifier("webhook_configs: [{url: 'http://h/'}]");
    let which = if is_firing { "Firing" } else { "Resolved" };
    let template = format!("{{{{ .Alerts.{which} | toJson }}}}");
    let text = attempt(&notifier, &integration, notification).text(&template).expect("good");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test]
async fn credentials_go_where_they_belong() {
    let cases = [
        (
            "opsgenie_configs: [{api_key: sesame, api_url: 'http://127.0.0.1:PORT'}]",
            "authorization: geniekey sesame",
        ),
        (
            "incidentio_configs: [{url: 'http://127.0.0.1:PORT', alert_source_token: sesame}]",
            "authorization: bearer sesame",
        ),
        (
            "slack_configs: [{app_token: sesame, app_url: 'http://127.0.0.1:PORT/chat.postMessage', channel: c}]",
            "authorization: bearer sesame",
        ),
        (
            "rocketchat_configs: [{token: a, token_id: sesame, api_url: 'http://127.0.0.1:PORT'}]",
            "x-user-id: sesame",
        ),
    ];
    for (receiver, expected) in cases {
        let answer = ok_json(&json!({"success": true, "ok": true}));
        let (outcome, requests) = exchange(receiver, &notification(), vec![answer]).await;
        assert_eq!(outcome, Outcome::delivered(), "{receiver}");
        assert!(requests[0].to_lowercase().contains(expected), "{}", requests[0]);
    }
}

#[tokio::test]
async fn slack_changes_its_message_when_asked_to() {
    let receiver = "slack_configs: [{app_token: t, app_url: 'http://127.0.0.1:PORT/api/chat.postMessage', channel: '#a', \
         update_message: true}]";
    let answer = ok_json(&json!({"ok": true, "ts": "1.5", "channel": "C1"}));
    let (outcome, requests) = exchange(receiver, &notification(), vec![answer]).await;
    let noted = BTreeMap::from([("channelId", "C1"), ("threadTs", "1.5")]);
    let noted: BTreeMap<String, String> =
        noted.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_eq!(outcome, Outcome::Delivered(noted.clone()));
    let (line, body) = split(&requests[0]);
    assert_eq!(
        (line.as_str(), &body["channel"], &body["ts"]),
        ("POST /api/chat.postMessage HTTP/1.1", &json!("#a"), &Value::Null)
    );
    let again = Notification { data: noted, ..notification() };
    let (_, requests) = exchange(receiver, &again, vec![answer]).await;
    let (line, body) = split(&requests[0]);
    assert_eq!(
        (line.as_str(), &body["channel"], &body["ts"]),
        ("POST /api/chat.update HTTP/1.1", &json!("C1"), &json!("1.5"))
    );
}

#[tokio::test]
async fn sns_is_published_by_a_signed_form() {
    let receiver = "sns_configs: [{api_url: 'http://127.0.0.1:PORT', topic_arn: 'arn:{{ .Status }}.fifo', subject: s, \
         message: 'x & y', attributes: {severity: '{{ .Status }}'}, sigv4: {region: eu-west-1, access_key: id, secret_key: k}}]";
    let (outcome, requests) = exchange(receiver, &notification(), vec![OK]).await;
    assert_eq!(outcome, Outcome::delivered());
    let (head, body) = requests[0].split_once("\r\n\r\n").expect("head and body");
    let head = head.to_lowercase();
    assert!(head.starts_with("post / http/1.1\r\n"), "{head}");
    assert!(
        head.contains("authorization: aws4-hmac-sha256 credential=id/") && head.contains("/eu-west-1/sns/"),
        "{head}"
    );
    let hash = group_hash(&notification());
    let expected = format!(
        "Action=Publish&Version=2010-03-31&MessageDeduplicationId={hash}&MessageGroupId={hash}&\
         TopicArn=arn%3Afiring.fifo&Message=x+%26+y&Subject=s&MessageAttributes.entry.1.Name=severity&\
         MessageAttributes.entry.1.Value.DataType=String&MessageAttributes.entry.1.Value.StringValue=firing"
    );
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_no_in_a_200_is_a_no_and_tokens_are_not_told() {
    let rocket = "rocketchat_configs: [{token: t, token_id: i, api_url: 'http://127.0.0.1:PORT'}]";
    let no = ok_json(&json!({"success": false, "error": "no such channel"}));
    let (outcome, _) = exchange(rocket, &notification(), vec![no]).await;
    let Outcome::Failed { is_retryable: false, message, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(message, "Rocket.Chat refused the message: no such channel");
    // Too many: wait as long as is asked.
    let body = json!({"ok": false, "description": "bot sesame waits", "parameters": {"retry_after": 17}})
        .to_string();
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let telegram = "telegram_configs: [{bot_token: sesame, chat_id: 1, api_url: 'http://127.0.0.1:PORT'}]";
    let (outcome, _) = exchange(telegram, &notification(), vec![Box::leak(answer.into_boxed_str())]).await;
    let Outcome::Failed { is_retryable: true, reason: Reason::RateLimited, message, wait_ms } = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(wait_ms, 17_000);
    assert!(!message.contains("sesame"), "{message}");
}

#[tokio::test]
async fn wechat_asks_for_a_token_once_and_again_when_it_has_ended() {
    let token = |name: &str| ok_json(&json!({"access_token": name}));
    let said = |code: i64| ok_json(&json!({"errcode": code, "errmsg": "said"}));
    let answers = vec![token("one"), said(0), said(42001), token("two"), said(0)];
    let (port, served) = server(answers).await;
    let receiver = format!(
        "wechat_configs: [{{api_secret: s, corp_id: c, api_url: 'http://127.0.0.1:{port}/cgi-bin', to_user: all, message: m}}]"
    );
    let (notifier, integration) = notifier(&receiver);
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(
            notifier.send(&integration, &notification(), Duration::from_secs(5)).await
                == Outcome::delivered(),
        );
    }
    assert_eq!(outcomes, [true, false, true]);
    let lines: Vec<String> = served.await.expect("served").iter().map(|request| split(request).0).collect();
    let expected = [
        "GET /cgi-bin/gettoken?corpid=c&corpsecret=s HTTP/1.1",
        "POST /cgi-bin/message/send?access_token=one HTTP/1.1",
        "POST /cgi-bin/message/send?access_token=one HTTP/1.1",
        "GET /cgi-bin/gettoken?corpid=c&corpsecret=s HTTP/1.1",
        "POST /cgi-bin/message/send?access_token=two HTTP/1.1",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn jira_has_one_issue_for_a_group() {
    let receiver = "jira_configs: [{api_url: 'http://127.0.0.1:PORT/rest/api/2', project: OPS, issue_type: Bug, labels: [z], \
         description: {template: d, enable_update: false}, fields: {customfield_1: {value: '{{ .Status }}'}}, \
         resolve_transition: Close, reopen_transition: Open, reopen_duration: 1h, wont_fix_resolution: Never}]";
    let found = |category: &str| {
        ok_json(
            &json!({"issues": [{"key": "OPS-7", "fields": {"status": {"name": "x", "statusCategory": {"key": category}}}}]}),
        )
    };
    let none = ok_json(&json!({"issues": []}));
    let label = format!("ALERT{{{}}}", group_hash(&notification()));
    // A new one.
    let (outcome, requests) = exchange(receiver, &notification(), vec![none, OK]).await;
    assert_eq!(outcome, Outcome::delivered());
    let (line, body) = split(&requests[0]);
    assert_eq!(line, "POST /rest/api/2/search HTTP/1.1");
    let jql = format!(
        "(resolution is EMPTY or resolution != \"Never\") and (resolutiondate is EMPTY OR resolutiondate >= -60m) and \
         project=\"OPS\" and labels=\"{label}\" order by status ASC,resolutiondate DESC"
    );
    assert_eq!(body, json!({"jql": jql, "maxResults": 2, "fields": ["status"]}));
    let (line, body) = split(&requests[1]);
    assert_eq!(line, "POST /rest/api/2/issue HTTP/1.1");
    let fields = json!({"project": {"key": "OPS"}, "issuetype": {"name": "Bug"}, "summary": "[FIRING:1] HostDown (node)",
        "description": "d", "labels": [label, "z"], "customfield_1": {"value": "firing"}});
    assert_eq!(body["fields"], fields);
    // One that is there and closed is opened again; what may not be updated stays.
    let transitions =
        ok_json(&json!({"transitions": [{"id": "1", "name": "Close"}, {"id": "2", "name": "Open"}]}));
    let answers = vec![found("done"), OK, transitions, OK];
    let (outcome, requests) = exchange(receiver, &notification(), answers).await;
    assert_eq!(outcome, Outcome::delivered());
    let (line, body) = split(&requests[1]);
    assert_eq!(line, "PUT /rest/api/2/issue/OPS-7 HTTP/1.1");
    assert_eq!(body["fields"].get("description"), None);
    assert!(requests[2].starts_with("GET /rest/api/2/issue/OPS-7/transitions "), "{}", requests[2]);
    let (line, body) = split(&requests[3]);
    assert_eq!(
        (line.as_str(), &body["transition"]["id"]),
        ("POST /rest/api/2/issue/OPS-7/transitions HTTP/1.1", &json!("2"))
    );
    // A group that has resolved makes no issue, and closes an open one.
    let (outcome, requests) = exchange(receiver, &resolved(), vec![none]).await;
    assert_eq!((outcome, requests.len()), (Outcome::delivered(), 1));
    let (outcome, requests) = exchange(receiver, &resolved(), vec![found("new"), OK, transitions, OK]).await;
    assert_eq!(outcome, Outcome::delivered());
    assert_eq!(split(&requests[3]).1["transition"]["id"], "1");
}

#[tokio::test]
async fn slack_gets_one_attachment_and_its_no_is_a_no() {
    const NO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 39\r\nConnection: close\r\n\r\n{\"ok\":false,\"error\":\"channel_not_found\"}";
    let (port, served) = server(vec![OK, NO]).await;
    let (notifier, integration) = notifier(&format!(
        "slack_configs: [{{api_url: 'http://127.0.0.1:{port}/x', channel: '#ops', title: 'T {{{{ .Status }}}}', text: 'x', \
         fields: [{{title: a, value: '{{{{ .GroupLabels.alertname }}}}', short: true}}], \
         actions: [{{type: button, text: Go, url: 'http://x/'}}]}}]"
    ));
    assert_eq!(
        notifier.send(&integration, &notification(), Duration::from_secs(5)).await,
        Outcome::delivered()
    );
    let outcome = notifier.send(&integration, &notification(), Duration::from_secs(5)).await;
    let Outcome::Failed { is_retryable: false, message, .. } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("channel_not_found"), "{message}");
    let request = served.await.expect("served").remove(0);
    let body = request.split_once("\r\n\r\n").expect("a body").1;
    let expected = concat!(
        r##"{"channel":"#ops","username":"Hinomi","attachments":[{"title":"T firing","##,
        r#""title_link":"http://hinomi.example:9090/alerts?receiver=team%5C.x","text":"x","#,
        r#""fallback":"[FIRING:1] HostDown (node) | http://hinomi.example:9090/alerts?receiver=team%5C.x","#,
        r#""callback_id":"","fields":[{"title":"a","value":"HostDown","short":true}],"#,
        r#""actions":[{"type":"button","text":"Go","url":"http://x/"}],"footer":"","color":"danger","#,
        r#""mrkdwn_in":["fallback","pretext","text"]}]}"#,
        "\n"
    );
    assert_eq!(body, expected);
}

/// A message that was taken is not sent again because of what stands behind the status.
#[tokio::test]
async fn a_status_is_enough_where_the_answer_says_no_more() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{\"a\":";
    let long: &str = format!(
        "HTTP/1.1 202 Accepted\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n{}",
        " ".repeat(100_000)
    )
    .leak();
    for receiver in [
        "webhook_configs: [{url: 'http://127.0.0.1:PORT/'}]",
        "pagerduty_configs: [{routing_key: k, url: 'http://127.0.0.1:PORT/'}]",
        "discord_configs: [{webhook_url: 'http://127.0.0.1:PORT/'}]",
        "sns_configs: [{api_url: 'http://127.0.0.1:PORT/', phone_number: '1', sigv4: {region: r, access_key: a, secret_key: s}}]",
    ] {
        for answer in [cut, long] {
            let (outcome, _) = exchange(receiver, &notification(), vec![answer]).await;
            assert_eq!(outcome, Outcome::delivered(), "{receiver}: {}", &answer[..20]);
        }
    }
    let slack = "slack_configs: [{api_url: 'http://127.0.0.1:PORT/', channel: c}]";
    let (outcome, _) = exchange(slack, &notification(), vec![cut]).await;
    assert!(
        matches!(outcome, Outcome::Failed { is_retryable: true, .. }),
        "Slack says yes or no in the body"
    );
    let moved = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n";
    let hook = "webhook_configs: [{url: 'http://127.0.0.1:PORT/'}]";
    let (outcome, _) = exchange(hook, &notification(), vec![moved]).await;
    assert!(
        matches!(outcome, Outcome::Failed { is_retryable: false, reason: Reason::Other, .. }),
        "{outcome:?}"
    );
}
