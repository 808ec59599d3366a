//! Receivers, kind by kind, and what they take from `global` where they say nothing themselves.

use serde_json::{Map, Value};

use super::keys::{Default, Form, HTTP_CONFIG, Key, MAIL_TLS, key, section, sections, switch, text};

/// A duration in Go's syntax.
const fn timeout() -> Key {
    text("timeout", "0s").always().newer()
}

const DISCORD: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("webhook_url"),
    key("webhook_url_file"),
    key("content"),
    text("title", r#"{{ template "discord.default.title" . }}"#),
    text("message", r#"{{ template "discord.default.message" . }}"#),
    key("username"),
    key("avatar_url"),
];

const EMAIL: &[Key] = &[
    switch("send_resolved", false),
    key("to"),
    key("from"),
    key("hello"),
    key("smarthost"),
    key("auth_username"),
    key("auth_password"),
    key("auth_password_file"),
    key("auth_secret"),
    key("auth_secret_file"),
    key("auth_identity"),
    key("headers").of(Form::Headers),
    text("html", r#"{{ template "email.default.html" . }}"#),
    key("text"),
    key("require_tls").given(),
    section("tls_config", MAIL_TLS).given(),
    key("force_implicit_tls").given(),
    section("threading", &[key("enabled"), key("thread_by_date")]),
];

const INCIDENTIO: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("url").or(Default::None).given(),
    text("url_file", "").always(),
    key("alert_source_token"),
    key("alert_source_token_file"),
    key("max_alerts").or(Default::Zero).always(),
    timeout(),
];

const PAGERDUTY: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("service_key"),
    key("service_key_file"),
    key("routing_key"),
    key("routing_key_file"),
    key("url"),
    text("client", r#"{{ template "pagerduty.default.client" . }}"#),
    text("client_url", r#"{{ template "pagerduty.default.clientURL" . }}"#),
    text("description", r#"{{ template "pagerduty.default.description" .}}"#),
    key("details"),
    sections("images", &[key("src"), key("alt"), key("href")]),
    sections("links", &[key("href"), key("text")]),
    text("source", r#"{{ template "pagerduty.default.client" . }}"#).newer(),
    key("severity"),
    key("class"),
    key("component"),
    key("group"),
    timeout(),
];

const SLACK: &[Key] = &[
    switch("send_resolved", false),
    HTTP_CONFIG,
    key("api_url"),
    key("api_url_file"),
    key("app_token"),
    key("app_token_file"),
    text("app_url", crate::receiver::SLACK_APP_URL).newer(),
    key("channel"),
    text("username", r#"{{ template "slack.default.username" . }}"#),
    text("color", r#"{{ template "slack.default.color" . }}"#),
    text("title", r#"{{ template "slack.default.title" . }}"#),
    text("title_link", r#"{{ template "slack.default.titlelink" . }}"#),
    text("pretext", r#"{{ template "slack.default.pretext" . }}"#),
    text("text", r#"{{ template "slack.default.text" . }}"#),
    key("message_text"),
    sections("fields", &[key("title"), key("value"), key("short").given()]),
    switch("short_fields", false),
    text("footer", r#"{{ template "slack.default.footer" . }}"#),
    text("fallback", r#"{{ template "slack.default.fallback" . }}"#),
    text("callback_id", r#"{{ template "slack.default.callbackid" . }}"#),
    text("icon_emoji", r#"{{ template "slack.default.iconemoji" . }}"#),
    text("icon_url", r#"{{ template "slack.default.iconurl" . }}"#),
    key("image_url"),
    key("thumb_url"),
    switch("link_names", false),
    key("mrkdwn_in"),
    sections("actions", SLACK_ACTION),
    switch("update_message", false).newer(),
    timeout(),
];

const SLACK_ACTION: &[Key] = &[
    key("type"),
    key("text"),
    key("url"),
    key("style"),
    key("name"),
    key("value"),
    section("confirm", &[key("text"), key("title"), key("ok_text"), key("dismiss_text")]).given(),
];

const WEBHOOK: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("url"),
    text("url_file", "").always(),
    key("max_alerts").or(Default::Zero).always(),
    timeout(),
    key("payload").given(),
];

const OPSGENIE: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("api_key"),
    key("api_key_file"),
    key("api_url"),
    text("message", r#"{{ template "opsgenie.default.message" . }}"#),
    text("description", r#"{{ template "opsgenie.default.description" . }}"#),
    text("source", r#"{{ template "opsgenie.default.source" . }}"#),
    key("details"),
    key("entity"),
    sections("responders", &[key("id"), key("name"), key("username"), key("type")]),
    key("actions"),
    key("tags"),
    key("note"),
    key("priority"),
    key("update_alerts"),
];

const WECHAT: &[Key] = &[
    switch("send_resolved", false),
    HTTP_CONFIG,
    key("api_secret"),
    key("api_secret_file"),
    key("corp_id"),
    text("message", r#"{{ template "wechat.default.message" . }}"#),
    key("api_url"),
    text("to_user", r#"{{ template "wechat.default.to_user" . }}"#),
    text("to_party", r#"{{ template "wechat.default.to_party" . }}"#),
    text("to_tag", r#"{{ template "wechat.default.to_tag" . }}"#),
    text("agent_id", r#"{{ template "wechat.default.agent_id" . }}"#),
    text("message_type", "text"),
];

const PUSHOVER: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("user_key"),
    key("user_key_file"),
    key("token"),
    key("token_file"),
    text("title", r#"{{ template "pushover.default.title" . }}"#),
    text("message", r#"{{ template "pushover.default.message" . }}"#),
    text("url", r#"{{ template "pushover.default.url" . }}"#),
    key("url_title"),
    key("device"),
    key("sound"),
    text("priority", r#"{{ if eq .Status "firing" }}2{{ else }}0{{ end }}"#),
    text("retry", "1m0s"),
    text("expire", "1h0m0s"),
    key("ttl"),
    key("html"),
    key("monospace"),
];

const VICTOROPS: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("api_key"),
    key("api_key_file"),
    key("api_url").given(),
    key("routing_key").given(),
    text("message_type", "CRITICAL").always(),
    text("state_message", r#"{{ template "victorops.default.state_message" . }}"#).always(),
    text("entity_display_name", r#"{{ template "victorops.default.entity_display_name" . }}"#).always(),
    text("monitoring_tool", r#"{{ template "victorops.default.monitoring_tool" . }}"#).always(),
    key("custom_fields"),
];

const SNS: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("api_url"),
    section("sigv4", SIGV4).or(Default::Empty).always(),
    key("topic_arn"),
    key("phone_number"),
    key("target_arn"),
    text("subject", r#"{{ template "sns.default.subject" . }}"#),
    text("message", r#"{{ template "sns.default.message" . }}"#),
    key("attributes"),
    key("use_aws_http_client"),
];

const SIGV4: &[Key] = &[
    key("region"),
    key("access_key"),
    key("secret_key"),
    key("profile"),
    key("role_arn"),
    key("external_id"),
    key("use_fips_sts_endpoint"),
    key("service_name"),
];

const TELEGRAM: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("api_url").given(),
    key("bot_token"),
    key("bot_token_file"),
    key("chat_id"),
    key("chat_id_file"),
    key("message_thread_id"),
    text("message", r#"{{ template "telegram.default.message" . }}"#),
    key("disable_notifications"),
    text("parse_mode", "HTML"),
];

const WEBEX: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("api_url"),
    text("message", r#"{{ template "webex.default.message" . }}"#),
    key("room_id").given(),
];

const MSTEAMS: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("webhook_url"),
    key("webhook_url_file"),
    text("title", r#"{{ template "msteams.default.title" . }}"#),
    text("summary", r#"{{ template "msteams.default.summary" . }}"#),
    text("text", r#"{{ template "msteams.default.text" . }}"#),
];

const MSTEAMSV2: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("webhook_url"),
    key("webhook_url_file"),
    text("title", r#"{{ template "msteamsv2.default.title" . }}"#),
    text("text", r#"{{ template "msteamsv2.default.text" . }}"#),
];

const JIRA: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("api_url"),
    text("api_type", "auto"),
    key("project"),
    templated(
        "summary",
        &[text("template", r#"{{ template "jira.default.summary" . }}"#), key("enable_update").given()],
    ),
    templated(
        "description",
        &[text("template", r#"{{ template "jira.default.description" . }}"#), key("enable_update").given()],
    ),
    key("labels"),
    text("priority", r#"{{ template "jira.default.priority" . }}"#),
    key("issue_type"),
    key("reopen_transition"),
    key("resolve_transition"),
    key("wont_fix_resolution"),
    key("reopen_duration"),
    key("fields"),
];

const ROCKETCHAT: &[Key] = &[
    switch("send_resolved", false),
    HTTP_CONFIG,
    key("api_url"),
    key("token_id"),
    key("token_id_file"),
    key("token"),
    key("token_file"),
    key("channel"),
    text("color", r#"{{ if eq .Status "firing" }}red{{ else }}green{{ end }}"#),
    text("title", r#"{{ template "rocketchat.default.title" . }}"#),
    text("title_link", r#"{{ template "rocketchat.default.titlelink" . }}"#),
    text("text", r#"{{ template "rocketchat.default.text" . }}"#),
    key("fields"),
    switch("short_fields", false),
    text("emoji", r#"{{ template "rocketchat.default.emoji" . }}"#),
    text("icon_url", r#"{{ template "rocketchat.default.iconurl" . }}"#),
    key("image_url"),
    key("thumb_url"),
    switch("link_names", false),
    key("actions"),
];

const MATTERMOST_FIELD: &[Key] = &[key("title"), key("value"), key("short").given()];

const MATTERMOST_ATTACHMENT: &[Key] = &[
    key("fallback"),
    key("color"),
    key("pretext"),
    key("text"),
    key("author_name"),
    key("author_link"),
    key("author_icon"),
    key("title"),
    key("title_link"),
    sections("fields", MATTERMOST_FIELD),
    key("thumb_url"),
    key("footer"),
    key("footer_icon"),
    key("image_url"),
];

const MATTERMOST: &[Key] = &[
    switch("send_resolved", true),
    HTTP_CONFIG,
    key("webhook_url"),
    key("webhook_url_file"),
    key("channel"),
    text("username", r#"{{ template "mattermost.default.username" . }}"#),
    text("text", r#"{{ template "mattermost.default.text" . }}"#),
    text("fallback", r#"{{ template "mattermost.default.fallback" . }}"#),
    text("color", r#"{{ template "mattermost.default.color" . }}"#),
    key("pretext"),
    key("author_name"),
    key("author_link"),
    key("author_icon"),
    text("title", r#"{{ template "mattermost.default.title" . }}"#),
    text("title_link", r#"{{ template "mattermost.default.titlelink" . }}"#),
    sections("fields", MATTERMOST_FIELD),
    key("thumb_url"),
    key("footer"),
    key("footer_icon"),
    key("image_url"),
    key("icon_url"),
    key("icon_emoji"),
    sections("attachments", MATTERMOST_ATTACHMENT),
    key("type"),
    key("props").given(),
    section("priority", &[key("priority"), key("requested_ack"), key("persistent_notifications")]).given(),
];

/// A receiver: its kinds stand in upstream's order.
pub(super) const RECEIVER: &[Key] = &[
    key("name"),
    key("labels"),
    sections("discord_configs", DISCORD),
    sections("email_configs", EMAIL),
    sections("incidentio_configs", INCIDENTIO),
    sections("pagerduty_configs", PAGERDUTY),
    sections("slack_configs", SLACK),
    sections("webhook_configs", WEBHOOK),
    sections("opsgenie_configs", OPSGENIE),
    sections("wechat_configs", WECHAT),
    sections("pushover_configs", PUSHOVER),
    sections("victorops_configs", VICTOROPS),
    sections("sns_configs", SNS),
    sections("telegram_configs", TELEGRAM),
    sections("webex_configs", WEBEX),
    sections("msteams_configs", MSTEAMS),
    sections("msteamsv2_configs", MSTEAMSV2),
    sections("jira_configs", JIRA),
    sections("rocketchat_configs", ROCKETCHAT),
    sections("mattermost_configs", MATTERMOST),
];

const fn templated(name: &'static str, keys: &'static [Key]) -> Key {
    key(name).of(Form::Templated(keys)).or(Default::Empty)
}

/// What a kind takes from `global`: its key and that of `global`, alone or with a file beside each, of which one counts.
type Taken = (&'static str, &'static str);

/// Keys that are taken one by one.
const ALONE: &[(&str, &[Taken])] = &[
    (
        "email_configs",
        &[
            ("from", "smtp_from"),
            ("hello", "smtp_hello"),
            ("smarthost", "smtp_smarthost"),
            ("auth_username", "smtp_auth_username"),
            ("auth_identity", "smtp_auth_identity"),
            ("require_tls", "smtp_require_tls"),
            ("tls_config", "smtp_tls_config"),
            ("force_implicit_tls", "smtp_force_implicit_tls"),
        ],
    ),
    ("slack_configs", &[("app_url", "slack_app_url")]),
    ("pagerduty_configs", &[("url", "pagerduty_url")]),
    (
        "opsgenie_configs",
        &[
            ("api_url", "opsgenie_api_url"),
            ("api_key", "opsgenie_api_key"),
            ("api_key_file", "opsgenie_api_key_file"),
        ],
    ),
    ("wechat_configs", &[("api_url", "wechat_api_url"), ("corp_id", "wechat_api_corp_id")]),
    (
        "victorops_configs",
        &[
            ("api_url", "victorops_api_url"),
            ("api_key", "victorops_api_key"),
            ("api_key_file", "victorops_api_key_file"),
        ],
    ),
    ("telegram_configs", &[("api_url", "telegram_api_url")]),
    ("webex_configs", &[("api_url", "webex_api_url")]),
    ("jira_configs", &[("api_url", "jira_api_url")]),
    (
        "rocketchat_configs",
        &[
            ("api_url", "rocketchat_api_url"),
            ("token_id", "rocketchat_token_id"),
            ("token_id_file", "rocketchat_token_id_file"),
            ("token", "rocketchat_token"),
            ("token_file", "rocketchat_token_file"),
        ],
    ),
];

/// Keys that are taken with their `_file`, when the receiver has neither.
const WITH_FILE: &[(&str, &[Taken])] = &[
    ("email_configs", &[("auth_password", "smtp_auth_password"), ("auth_secret", "smtp_auth_secret")]),
    ("wechat_configs", &[("api_secret", "wechat_api_secret")]),
    ("telegram_configs", &[("bot_token", "telegram_bot_token")]),
    ("mattermost_configs", &[("webhook_url", "mattermost_webhook_url")]),
];

/// Kinds whose address ends in a slash.
const SLASHED: &[&str] = &["opsgenie_configs", "wechat_configs", "victorops_configs"];

/// One receiver's keys of `kind` as they count: with what `global`, all its defaults in it, adds.
pub(super) fn complete(kind: &str, keys: &mut Map<String, Value>, global: &Map<String, Value>) {
    if kind != "email_configs" {
        take(keys, "http_config", global, "http_config");
    }
    if kind == "slack_configs" {
        complete_slack(keys, global);
    }
    let of = |table: &'static [(&str, &[Taken])]| {
        table.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, taken)| *taken)
    };
    for (own, common) in of(ALONE) {
        take(keys, own, global, common);
    }
    for (own, common) in of(WITH_FILE) {
        take_either(keys, own, global, common);
    }
    if SLASHED.contains(&kind)
        && let Some(Value::String(url)) = keys.get_mut("api_url")
        && !url.ends_with('/')
    {
        url.push('/');
    }
    match kind {
        "slack_configs" => {
            // A button with an address is nothing else.
            for action in keys.get_mut("actions").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(action) = action.as_object_mut().filter(|action| is_there(action, "url")) {
                    action.retain(|name, _| !matches!(name.as_str(), "name" | "value" | "confirm"));
                }
            }
        }
        "email_configs" => complete_email(keys),
        "pagerduty_configs" => complete_pagerduty(keys),
        _ => {}
    }
}

fn is_there(keys: &Map<String, Value>, name: &str) -> bool {
    keys.get(name).is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
}

fn take(keys: &mut Map<String, Value>, own: &str, global: &Map<String, Value>, common: &str) {
    if !is_there(keys, own)
        && let Some(value) = global.get(common)
    {
        keys.insert(own.to_owned(), value.clone());
    }
}

fn take_either(keys: &mut Map<String, Value>, own: &str, global: &Map<String, Value>, common: &str) {
    if !is_there(keys, own) && !is_there(keys, &format!("{own}_file")) {
        take(keys, own, global, common);
        take(keys, &format!("{own}_file"), global, &format!("{common}_file"));
    }
}

/// A token says who asks, and then the address is that of the app.
fn complete_slack(keys: &mut Map<String, Value>, global: &Map<String, Value>) {
    let authorizes = keys.get("http_config").is_some_and(|http| http["authorization"].is_object());
    if !authorizes && !is_there(keys, "api_url") {
        take_either(keys, "app_token", global, "slack_app_token");
    }
    take_either(keys, "api_url", global, "slack_api_url");
    take(keys, "app_url", global, "slack_app_url");
    let (has_token, file) = (is_there(keys, "app_token"), keys.get("app_token_file").cloned());
    if has_token || is_there(keys, "app_token_file") {
        let credentials = if has_token { Value::from("<secret>") } else { Value::Null };
        if let Some(Value::Object(http)) = keys.get_mut("http_config") {
            let authorization =
                serde_json::json!({"type": "Bearer", "credentials": credentials, "credentials_file": file});
            http.insert("authorization".to_owned(), authorization);
        }
        keys.insert("api_url".to_owned(), Value::from("<secret>"));
    }
}

/// The headers that every mail has.
fn complete_email(keys: &mut Map<String, Value>) {
    let (from, to) = (keys.get("from").cloned(), keys.get("to").cloned());
    let subject = Some(Value::from(r#"{{ template "email.default.subject" . }}"#));
    let headers = keys.entry("headers").or_insert(Value::Null);
    if headers.is_null() {
        *headers = Value::Object(Map::new());
    }
    let Value::Object(headers) = headers else { return };
    for (name, value) in [("Subject", subject), ("To", to), ("From", from)] {
        if !headers.keys().any(|known| known.eq_ignore_ascii_case(name)) {
            headers.insert(name.to_owned(), value.unwrap_or_default());
        }
    }
}

/// The details that every event has, and who sends it.
fn complete_pagerduty(keys: &mut Map<String, Value>) {
    const DETAILS: [(&str, &str); 4] = [
        ("firing", "{{ .Alerts.Firing | toJson }}"),
        ("num_firing", "{{ .Alerts.Firing | len }}"),
        ("num_resolved", "{{ .Alerts.Resolved | len }}"),
        ("resolved", "{{ .Alerts.Resolved | toJson }}"),
    ];
    if !is_there(keys, "source") {
        let client = keys.get("client").filter(|client| !client.is_null()).cloned();
        let client = client.unwrap_or_else(|| Value::from(r#"{{ template "pagerduty.default.client" . }}"#));
        keys.insert("source".to_owned(), client);
    }
    let details = keys.entry("details").or_insert(Value::Null);
    if details.is_null() {
        *details = Value::Object(Map::new());
    }
    let Value::Object(details) = details else { return };
    for (name, template) in DETAILS {
        details.entry(name).or_insert_with(|| Value::from(template));
    }
}
