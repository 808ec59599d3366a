//! What is read, what is refused and in which words, what is shown.

use super::*;

const GOOD: &str = r#"
global:
  smtp_smarthost: 'mail.example.com:587'
  smtp_from: 'a@example.com'
  smtp_auth_username: a
  smtp_auth_password: hunter2
  slack_api_url: https://hooks.slack.com/services/T0/B0/hunter2
route:
  group_by: ['alertname', 'cluster']
  receiver: team-X
  routes:
    - match_re: {service: ^(foo1|foo2)$}
      receiver: pager
      continue: yes
      mute_time_intervals: [offhours]
    - matchers: ['service="files"', 'owner=~"a|b"']
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [alertname]
  -
receivers:
  - name: team-X
    email_configs:
      - to: 'x@example.com, y@example.com'
  - name: pager
    webhook_configs:
      - url: 'http://u:hunter2@127.0.0.1:5001/'
        timeout: 1.5s
        http_config: {bearer_token: hunter2, proxy_url: 'http://u:hunter2@p:1', no_proxy: localhost}
    slack_configs:
      - channel: '#ops'
        send_resolved: true
time_intervals:
  - name: offhours
    time_intervals:
      - times: [{start_time: '00:00', end_time: '08:00'}]
        weekdays: ['saturday', 'monday:friday']
        location: Asia/Tokyo
"#;

#[test]
fn a_whole_file_is_read_and_shown_without_secrets() {
    let config = Config::parse("am.yml", GOOD).expect("good");
    assert_eq!(config.receiver_names().collect::<Vec<_>>(), ["team-X", "pager"]);
    assert!(config.has_integrations());
    let pager = config.receiver("pager").expect("there");
    let shown: Vec<_> = pager.integrations.iter().map(|i| (i.name, i.idx, i.sends_resolved)).collect();
    assert_eq!(shown, [("webhook", 0, true), ("slack", 0, true)]);
    let yaml = config.masked_yaml();
    assert!(!yaml.contains("hunter2"), "{yaml}");
    assert!(yaml.starts_with("global:\n"), "{yaml}");
    // It reads back as what it was.
    let again = Config::parse("shown", yaml).expect("what is shown can be read");
    assert_eq!(again.masked_yaml(), yaml);
    assert_eq!(again.route.routes.len(), 2);
}

#[test]
fn without_a_file_alerts_are_shown_and_sent_nowhere() {
    let config = Config::builtin();
    assert!(!config.has_integrations());
    assert_eq!(config.receiver_names().collect::<Vec<_>>(), ["none"]);
}

fn check(text: &str, expected: &str) {
    match Config::parse("a.yml", text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(err) => assert_eq!(err.to_string(), expected, "{text}"),
    }
}

/// A file whose receiver has `body`.
fn receiver(body: &str) -> String {
    format!("route: {{receiver: r}}\nreceivers:\n- name: r\n  {body}\n")
}

/// A file whose only child route is `child`.
fn child(child: &str) -> String {
    format!("receivers: [{{name: r}}]\nroute:\n  receiver: r\n  routes:\n  - {child}\n")
}

#[test]
fn wrong_files_are_refused_with_the_known_words() {
    check("", "a.yml: no route provided in config");
    check("rout: {}", "a.yml:1:1: field rout not found, did you mean route?");
    check("route: {}", "a.yml:1:8: root route must specify a default receiver");
    check("route: {receiver: r}", "a.yml:1:19: undefined receiver \"r\" used in route");
    check(
        "route: {receiver: r, matchers: [a=b]}\nreceivers: [{name: r}]",
        "a.yml:1:8: root route must not have any matchers",
    );
    check(
        "route: {receiver: r, continue: true}\nreceivers: [{name: r}]",
        "a.yml:1:8: cannot have continue in root route",
    );
    check(
        "route: {receiver: r, mute_time_intervals: [x]}\nreceivers: [{name: r}]",
        "a.yml:1:8: root route must not have any mute time intervals",
    );
    check(
        "route: {receiver: r}\nreceivers: [{name: r}, {name: r}]",
        "a.yml:2:24: notification config name \"r\" is not unique",
    );
    check("route: {receiver: r}\nreceivers: [{}]", "a.yml:2:13: missing name in receiver");
    check("tracing: {endpoint: ''}", "a.yml:1:10: tracing endpoint must be set");
    check(&child("receiver: x"), "a.yml:5:15: undefined receiver \"x\" used in route");
    check(&child("mute_time_intervals: [x]"), "a.yml:5:27: undefined time interval \"x\" used in route");
    check(
        &child("group_by: [a, '...']"),
        "a.yml:5:15: cannot have wildcard group_by (`...`) and other labels at the same time",
    );
    check(&child("group_by: [a, a]"), "a.yml:5:15: duplicated label \"a\" in group_by");
    check(&child("group_interval: 0s"), "a.yml:5:5: group_interval cannot be zero");
    check(&child("match: {a-b: c}"), "a.yml:5:5: invalid label name \"a-b\"");
    check(
        "receivers: [{name: r}]\nroute: {receiver: r, routes: [{match_re: {a: null}}]}\n",
        "a.yml:2:31: invalid regexp value for \"a\"",
    );
    check(
        &child("matchers: ['foo']"),
        "a.yml:5:16: bad matcher format: foo: 3:3: end of input: expected an operator such as '=', '!=', '=~' or '!~'",
    );
    check(&child("group_wait: soon"), "a.yml:5:17: not a valid duration string: \"soon\"");
}

#[test]
fn receivers_that_cannot_work_are_refused() {
    let field = "a.yml:4:3: field carrier_pigeon_configs not found";
    check(&receiver("carrier_pigeon_configs: []"), field);
    check(&receiver("webhook_configs: [{}]"), "a.yml:4:21: one of url or url_file must be configured");
    check(
        &receiver("webhook_configs: [{url: 'http://a/', url_file: b}]"),
        "a.yml:4:21: at most one of url & url_file must be configured",
    );
    check(
        &receiver("webhook_configs: [{url: 'ftp://a/'}]"),
        "a.yml:4:21: unsupported scheme \"ftp\" for URL",
    );
    check(&receiver("email_configs: [{to: a@b}]"), "a.yml:4:19: no global SMTP from set");
    check(&receiver("email_configs: [{to: a@b, from: c@d}]"), "a.yml:4:19: no global SMTP smarthost set");
    check(&receiver("email_configs: [{from: c@d}]"), "a.yml:4:19: missing to address in email config");
    check(
        &receiver("email_configs: [{to: a@b, from: c@d, smarthost: mail}]"),
        "a.yml:4:51: address mail: missing port in address",
    );
    check(
        &receiver(
            "email_configs: [{to: a@b, from: c@d, smarthost: 'm:25', headers: {Subject: a, subject: b}}]",
        ),
        "a.yml:4:19: duplicate header \"subject\" in email config",
    );
    check(
        &receiver("slack_configs: [{channel: a}]"),
        "a.yml:4:19: no Slack API URL nor App token set either inline or in a file",
    );
    check(
        &receiver("slack_configs: [{api_url: 'http://a/', fields: [{title: a}]}]"),
        "a.yml:4:51: missing value in Slack field configuration",
    );
    check(
        &receiver("slack_configs: [{api_url: 'http://a/', update_message: true}]"),
        "a.yml:4:58: update_message can only be used with bot tokens. api_url must be set to https://slack.com/api/chat.postMessage",
    );
}

/// What stands in a receiver, and how the error ends.
const REFUSED: &[(&str, &str)] = &[
    (
        "sns_configs: [{topic_arn: a, phone_number: b}]",
        "must provide either a Target ARN, Topic ARN, or Phone Number for SNS config",
    ),
    ("sns_configs: [{topic_arn: a}]", "region not configured in sns.sigv4.region"),
    ("pagerduty_configs: [{}]", "missing service or routing key in PagerDuty config"),
    (
        "pagerduty_configs: [{routing_key: a, routing_key_file: b}]",
        "at most one of routing_key & routing_key_file must be configured",
    ),
    ("opsgenie_configs: [{}]", "no global OpsGenie API Key set either inline or in a file"),
    (
        "opsgenie_configs: [{api_key: a, responders: [{type: team}]}]",
        "at least one of id, username or name specified",
    ),
    (
        "opsgenie_configs: [{api_key: a, responders: [{id: x, type: cat}]}]",
        "does not match valid options ^(team|teams|user|escalation|schedule)$",
    ),
    ("victorops_configs: [{api_key: a}]", "missing Routing key in VictorOps config"),
    ("victorops_configs: [{routing_key: a}]", "no global VictorOps API Key set"),
    (
        "victorops_configs: [{routing_key: a, custom_fields: {entity_state: x}}]",
        "conflicts with the fixed/static fields",
    ),
    ("pushover_configs: [{token: a}]", "one of user_key or user_key_file must be configured"),
    ("pushover_configs: [{user_key: a}]", "one of token or token_file must be configured"),
    (
        "pushover_configs: [{user_key: a, token: b, html: true, monospace: true}]",
        "at most one of monospace & html must be configured",
    ),
    ("wechat_configs: [{corp_id: a}]", "no global Wechat Api Secret set either inline or in a file"),
    ("wechat_configs: [{api_secret: a}]", "no global Wechat CorpID set"),
    (
        "wechat_configs: [{api_secret: a, corp_id: b, message_type: c}]",
        "weChat message type \"c\" does not match valid options ^(text|markdown)$",
    ),
    ("telegram_configs: [{chat_id: 1}]", "missing bot_token or bot_token_file on telegram_config"),
    ("telegram_configs: [{bot_token: a}]", "missing chat_id or chat_id_file on telegram_config"),
    (
        "telegram_configs: [{bot_token: a, chat_id: 1, parse_mode: x}]",
        "must be Markdown, MarkdownV2, HTML or empty string",
    ),
    ("discord_configs: [{}]", "one of webhook_url or webhook_url_file must be configured"),
    ("webex_configs: [{room_id: a}]", "missing webex_configs.http_config.authorization"),
    ("webex_configs: [{}]", "missing room_id on webex_config"),
    ("msteams_configs: [{}]", "one of webhook_url or webhook_url_file must be configured"),
    (
        "msteamsv2_configs: [{webhook_url: 'http://a', webhook_url_file: b}]",
        "at most one of webhook_url & webhook_url_file must be configured",
    ),
    ("jira_configs: [{issue_type: a, api_url: 'http://a'}]", "missing project in jira_config"),
    ("jira_configs: [{project: a, api_url: 'http://a'}]", "missing issue_type in jira_config"),
    (
        "jira_configs: [{project: a, issue_type: b, api_url: 'http://a', summary: [a]}]",
        "cannot read sequence as a template, or a mapping with template and enable_update",
    ),
    ("mattermost_configs: [~]", "missing mattermost config"),
    ("discord_configs: [{webhook_url: '{{ .Status }}'}]", "invalid URL: relative URL without a base"),
    (
        "opsgenie_configs: [{api_key: a, responders: [{name: a, type: '{{ nope }}'}]}]",
        "opsGenieConfig responder type \"{{ nope }}\" is no template",
    ),
    ("jira_configs: [{project: a, issue_type: b}]", "no global Jira Cloud URL set"),
    ("rocketchat_configs: [{token: a}]", "no global Rocketchat TokenID set either inline or in a file"),
    ("mattermost_configs: [{}]", "missing webhook_url or webhook_url_file on mattermost_config"),
    (
        "mattermost_configs: [{webhook_url: 'http://a', fields: [{title: a}]}]",
        "missing value in Mattermost field configuration",
    ),
    (
        "incidentio_configs: [{url: 'http://a', http_config: {}}]",
        "alert_source_token_file or http_config.authorization must be configured",
    ),
    ("incidentio_configs: [{alert_source_token: a}]", "one of url or url_file must be configured"),
    (
        "slack_configs: [{app_token: a, api_url: 'http://a'}]",
        "at most one of api_url/api_url_file & app_token/app_token_file must be configured",
    ),
    (
        "email_configs: [{to: a@b, from: c@d, smarthost: 'm:25', threading: {enabled: true}}]",
        "threading.thread_by_date must be either 'none' or 'daily'",
    ),
    ("discord_configs: [{webhook_url: 'http://a', colour: red}]", "field colour not found"),
];

#[test]
fn receivers_are_checked_in_upstreams_words() {
    for (body, what) in REFUSED {
        let text = format!("route: {{receiver: r}}\nreceivers:\n- name: r\n  {body}\n");
        let err = Config::parse("a.yml", &text).expect_err(body).to_string();
        assert!(err.starts_with("a.yml:4:") && err.ends_with(what), "{body}: {err}");
    }
}

#[test]
fn secrets_stand_once_under_global() {
    let global =
        |body: &str| format!("global: {{{body}}}\nroute: {{receiver: r}}\nreceivers: [{{name: r}}]\n");
    for name in
        ["opsgenie_api_key", "telegram_bot_token", "smtp_auth_password", "wechat_api_secret", "slack_api_url"]
    {
        let expected = format!("a.yml: at most one of {name} & {name}_file must be configured");
        check(&global(&format!("{name}: 'http://a', {name}_file: b")), &expected);
    }
    let both = "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must be configured";
    check(&global("slack_app_token: a, slack_api_url: 'http://a'"), &format!("a.yml: {both}"));
    let text = global("slack_app_token: a, slack_api_url: 'https://slack.com/api/chat.postMessage'");
    assert!(Config::parse("a.yml", &text).is_ok());
}

#[test]
fn wrong_intervals_are_refused() {
    let interval = |body: &str| {
        format!(
            "route: {{receiver: r}}\nreceivers: [{{name: r}}]\ntime_intervals:\n- name: n\n  time_intervals:\n  - {body}\n"
        )
    };
    check(
        &interval("times: [{start_time: '9:00', end_time: '10:00'}]"),
        "a.yml:6:13: couldn't parse timestamp 9:00, invalid format",
    );
    check(&interval("weekdays: ['moonday']"), "a.yml:6:16: moonday is not a valid weekday");
    check(
        &interval("days_of_month: ['-1:1']"),
        "a.yml:6:21: end day must be negative if start day is negative",
    );
    check(&interval("location: Mars/Base"), "a.yml:6:15: unknown time zone Mars/Base");
}

/// A file whose routes nest `depth` deep, in flow style.
fn nested(depth: usize) -> String {
    let mut text = "{receiver: r}".to_owned();
    for _ in 1..depth {
        text = format!("{{receiver: r, routes: [{text}]}}");
    }
    format!("receivers: [{name}]\nroute: {text}", name = "{name: r}")
}

#[test]
fn deep_routes_are_refused_not_overflowed() {
    // The YAML reader allows 64 levels; a route takes two.
    let deepest = Config::parse("a.yml", &nested(31));
    assert!(deepest.is_ok(), "{deepest:?}");
    let err = |text: &str| Config::parse("a.yml", text).expect_err("too deep").to_string();
    assert!(err(&nested(40)).contains("limits breached: Depth"));
    assert!(err(&nested(10_000)).contains("limits breached: Depth"));
    let block: String = (0..5_000).map(|i| format!("{:i$}- a:\n", "", i = i)).collect();
    for text in [block, "- ".repeat(5_000), "[".repeat(100_000)] {
        err(&text);
    }
}

#[test]
fn wrong_maintenance_windows_are_refused_where_they_stand() {
    let good = "{name: n, matchers: ['a=b'], start: 2026-01-01T02:00, duration: 1h, recurrence: FREQ=DAILY, \
                time_zone: Asia/Tokyo, except: [2026-01-05], owner: ann, reason: why}";
    let file = |windows: &str| {
        format!("route: {{receiver: r}}\nreceivers: [{{name: r}}]\nhinomi:\n  maintenance:\n{windows}")
    };
    let item = |window: &str| format!("  - {window}\n");
    let config = Config::parse("a.yml", &file(&item(good))).expect("good");
    let shown = Config::parse("shown.yml", &config.original).expect("what is shown can be read");
    assert_eq!(shown.windows, config.windows);
    check(&file(&(item(good) + &item(good))), "a.yml:6:5: maintenance window \"n\" is there twice");
    let refused = |old: &str, new: &str, expected: &str| {
        let err =
            Config::parse("a.yml", &file(&item(&good.replace(old, new)))).expect_err(expected).to_string();
        assert!(err.starts_with(expected), "{err}");
    };
    refused("owner: ann, ", "", "a.yml:5:5: maintenance window \"n\": owner: an owner is needed");
    refused("name: n", "name: ''", "a.yml:5:5: maintenance window: name: a name is needed");
    refused(
        "FREQ=DAILY",
        "FREQ=HOURLY",
        "a.yml:5:5: maintenance window \"n\": recurrence: FREQ=HOURLY is not served",
    );
    refused("'a=b'", "'='", "a.yml:5:26: ");
    refused("duration", "length", "a.yml:5:");
}

#[test]
fn the_file_is_shown_with_its_defaults_in_upstreams_order() {
    let text = "receivers:\n- slack_configs: [{channel: '#c', api_url: 'http://h/x', actions: [{type: button, text: t, url: u, name: n}]}]\n  name: r\n\
                route: {routes: [{matchers: ['b=~\"x|y\", a=b'], continue: true, mute_time_intervals: [off]}], receiver: r, group_wait: 90s}\n\
                time_intervals: [{name: off, time_intervals: [{months: ['january:march'], weekdays: ['Sunday:sunday'], days_of_month: ['1:5']}]}]\n";
    let shown = Config::parse("a.yml", text).expect("good").original;
    let (global, rest) = shown.split_once("route:\n").expect("a route");
    assert!(
        global.starts_with("global:\n  resolve_timeout: 5m\n  http_config:\n    follow_redirects: true\n"),
        "{global}"
    );
    let expected = "  receiver: r
  continue: false
  routes:
  - matchers:
    - a=\"b\"
    - b=~\"x|y\"
    mute_time_intervals:
    - \"off\"
    continue: true
  group_wait: 1m30s
receivers:
- name: r
  slack_configs:
  - send_resolved: false
    http_config:
      follow_redirects: true
      enable_http2: true
    api_url: <secret>
    channel: '#c'
    username: '{{ template \"slack.default.username\" . }}'
    color: '{{ template \"slack.default.color\" . }}'
    title: '{{ template \"slack.default.title\" . }}'
    title_link: '{{ template \"slack.default.titlelink\" . }}'
    pretext: '{{ template \"slack.default.pretext\" . }}'
    text: '{{ template \"slack.default.text\" . }}'
    short_fields: false
    footer: '{{ template \"slack.default.footer\" . }}'
    fallback: '{{ template \"slack.default.fallback\" . }}'
    callback_id: '{{ template \"slack.default.callbackid\" . }}'
    icon_emoji: '{{ template \"slack.default.iconemoji\" . }}'
    icon_url: '{{ template \"slack.default.iconurl\" . }}'
    link_names: false
    actions:
    - type: button
      text: t
      url: u
templates: []
time_intervals:
- name: \"off\"
  time_intervals:
  - weekdays: [sunday]
    days_of_month: [\"1:5\"]
    months: [\"1:3\"]
";
    assert_eq!(rest, expected);
}
