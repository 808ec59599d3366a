//! The receivers that are served: webhook, e-mail, Slack — as written, and checked with the globals filled in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use net::{HttpClientConfig, Secret, TlsConfig};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::check::{Checker, Fault};
use super::raw::{At, RawGlobal};

/// A secret given in place or in a file that is read whenever it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// In place.
    Inline(Secret),
    /// In a file.
    File(PathBuf),
}

/// A duration in Go's syntax, `1h2m3.5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GoDuration(pub(crate) Duration);

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        go_duration(&text).map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("time: invalid duration {}", model::labels::quoted(&text)))
        })
    }
}

impl Serialize for GoDuration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}ms", self.0.as_millis()))
    }
}

/// Reads `1h2m3.5s`; negative ones, and those over 292 years, are refused.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total_ns = 0f64;
    while !rest.is_empty() {
        let n_number = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, after) = rest.split_at(n_number);
        let n_unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(n_unit);
        let unit_ns = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total_ns += number.parse::<f64>().ok()? * unit_ns;
        rest = after;
    }
    (!text.is_empty() && total_ns < i64::MAX as f64).then(|| Duration::from_nanos(total_ns as u64))
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawWebhook {
    send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    #[serde(serialize_with = "masked_url")]
    url: Option<Secret>,
    url_file: Option<PathBuf>,
    max_alerts: Option<u64>,
    timeout: Option<GoDuration>,
    #[serde(skip_serializing)]
    payload: Option<At<IgnoredAny>>,
}

/// Shows where a webhook goes, but neither credentials nor path. Stays a URL, since older clients read it as one.
fn masked_url<S: serde::Serializer>(url: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(secret) = url else { return serializer.serialize_none() };
    let parsed = url::Url::parse(secret.expose()).ok().filter(|_| !secret.expose().contains("{{"));
    match parsed.as_ref().map(|url| (url.scheme(), url.host_str(), url.port())) {
        Some((scheme, Some(host), None)) => {
            serializer.collect_str(&format_args!("{scheme}://{host}/<secret>"))
        }
        Some((scheme, Some(host), Some(port))) => {
            serializer.collect_str(&format_args!("{scheme}://{host}:{port}/<secret>"))
        }
        _ => secret.serialize(serializer),
    }
}

/// A checked webhook.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) http: HttpClientConfig,
    /// A URL or a template of one.
    pub(crate) url: Source,
    /// 0 for all.
    pub(crate) alerts_max: usize,
    /// `None` for the group interval.
    pub(crate) timeout: Option<Duration>,
}

impl RawWebhook {
    pub(super) fn sends_resolved(&self) -> bool {
        self.send_resolved.unwrap_or(true)
    }

    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Webhook, Fault> {
        if let Some(payload) = &self.payload {
            return Err(Fault::at(
                payload,
                "webhook payload is not served yet: leave it out to get the version 4 message",
            ));
        }
        let url = checker.one_of(("url", &self.url), ("url_file", &self.url_file))?;
        let url = url.ok_or_else(|| Fault::new("one of url or url_file must be configured"))?;
        if let Source::Inline(url) = &url {
            check_url(url.expose())?;
        }
        Ok(Webhook {
            http: checker.http(self.http_config.as_ref()),
            url,
            alerts_max: usize::try_from(self.max_alerts.unwrap_or(0)).unwrap_or(usize::MAX),
            timeout: self.timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero()),
        })
    }
}

/// http or https and a host; a template is checked when it is filled in.
fn check_url(url: &str) -> Result<(), Fault> {
    if url.contains("{{") || url == "<secret>" {
        return Ok(());
    }
    // The text may hold a password, so that it is not repeated.
    let parsed = url::Url::parse(url).map_err(|err| Fault::new(format!("invalid URL: {err}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(Fault::new(format!("unsupported scheme {:?} for URL", parsed.scheme())));
    }
    if parsed.host_str().is_none_or(str::is_empty) { Err(Fault::new("missing host for URL")) } else { Ok(()) }
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawEmail {
    send_resolved: Option<bool>,
    to: Option<String>,
    from: Option<String>,
    hello: Option<String>,
    smarthost: Option<At<String>>,
    auth_username: Option<String>,
    auth_password: Option<Secret>,
    auth_password_file: Option<PathBuf>,
    auth_secret: Option<At<Secret>>,
    auth_secret_file: Option<At<PathBuf>>,
    auth_identity: Option<At<String>>,
    require_tls: Option<bool>,
    tls_config: Option<TlsConfig>,
    force_implicit_tls: Option<bool>,
    headers: Option<BTreeMap<String, String>>,
    html: Option<String>,
    text: Option<String>,
    #[serde(skip_serializing)]
    threading: Option<At<RawThreading>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawThreading {
    enabled: Option<bool>,
    thread_by_date: Option<String>,
}

/// A checked e-mail receiver. Texts are templates.
#[derive(Debug, Clone)]
pub(crate) struct Email {
    pub(crate) to: String,
    pub(crate) from: String,
    pub(crate) hello: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) auth_username: String,
    pub(crate) auth_password: Option<Source>,
    pub(crate) requires_tls: bool,
    /// TLS from the first byte rather than STARTTLS.
    pub(crate) is_implicit_tls: bool,
    pub(crate) tls: TlsConfig,
    /// By name, as written; `Subject` is always among them.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) html: String,
    pub(crate) text: String,
}

/// The port of SMTP over TLS.
const SMTPS_PORT: u16 = 465;

impl RawEmail {
    pub(super) fn sends_resolved(&self) -> bool {
        self.send_resolved.unwrap_or(false)
    }

    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Email, Fault> {
        let global = checker.global;
        let to = non_empty(&self.to).ok_or_else(|| Fault::new("missing to address in email config"))?;
        let from = non_empty(&self.from).or_else(|| non_empty(&global.smtp_from));
        let from = from.ok_or_else(|| Fault::new("no global SMTP from set"))?;
        let smarthost = self.smarthost.as_ref().or(global.smtp_smarthost.as_ref());
        let smarthost = smarthost.ok_or_else(|| Fault::new("no global SMTP smarthost set"))?;
        let (host, port) = host_port(&smarthost.value).map_err(|what| Fault::at(smarthost, what))?;
        let secret = self
            .auth_secret
            .as_ref()
            .or(global.smtp_auth_secret.as_ref())
            .map(|at| Fault::at(at, NO_CRAM_MD5));
        let secret_file = self.auth_secret_file.as_ref().or(global.smtp_auth_secret_file.as_ref());
        if let Some(fault) = secret.or_else(|| secret_file.map(|at| Fault::at(at, NO_CRAM_MD5))) {
            return Err(fault);
        }
        let username = non_empty(&self.auth_username).or_else(|| non_empty(&global.smtp_auth_username));
        let username = username.unwrap_or_default();
        if let Some(identity) = self.auth_identity.as_ref().or(global.smtp_auth_identity.as_ref())
            && !identity.value.is_empty()
            && identity.value != username
        {
            return Err(Fault::at(identity, "an auth_identity other than the user name is not served yet"));
        }
        let own = checker.one_of(
            ("auth_password", &self.auth_password),
            ("auth_password_file", &self.auth_password_file),
        )?;
        let global_password = ("smtp_auth_password", &global.smtp_auth_password);
        let inherited =
            checker.one_of(global_password, ("smtp_auth_password_file", &global.smtp_auth_password_file))?;
        if let Some(threading) = &self.threading
            && (threading.value.enabled.unwrap_or(false) || threading.value.thread_by_date.is_some())
        {
            return Err(Fault::at(threading, "email threading is not served yet"));
        }
        let tls = self.tls_config.clone().or_else(|| global.smtp_tls_config.clone()).unwrap_or_default();
        if tls.max_version.is_some() {
            return Err(Fault::new("tls_config.max_version is not served for e-mail"));
        }
        let implicit = self.force_implicit_tls.or(global.smtp_force_implicit_tls);
        Ok(Email {
            to,
            from,
            hello: non_empty(&self.hello)
                .or_else(|| non_empty(&global.smtp_hello))
                .unwrap_or_else(|| "localhost".to_owned()),
            host,
            port,
            auth_username: username,
            auth_password: own.or(inherited),
            requires_tls: self.require_tls.or(global.smtp_require_tls).unwrap_or(true),
            is_implicit_tls: implicit.unwrap_or(port == SMTPS_PORT),
            tls,
            headers: self.checked_headers()?,
            html: self.html.clone().unwrap_or_else(|| r#"{{ template "email.default.html" . }}"#.to_owned()),
            text: self.text.clone().unwrap_or_else(|| {
                // Ours: upstream sends no text part unless told to, which text readers and filters dislike.
                r#"{{ template "email.default.text" . }}"#.to_owned()
            }),
        })
    }

    fn checked_headers(&self) -> Result<BTreeMap<String, String>, Fault> {
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in self.headers.iter().flatten() {
            if headers.keys().any(|known| known.eq_ignore_ascii_case(name)) {
                return Err(Fault::new(format!("duplicate header {name:?} in email config")));
            }
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
            if !is_name {
                return Err(Fault::new(format!("header name {name:?} is not valid in email config")));
            }
            headers.insert(name.clone(), value.clone());
        }
        if !headers.keys().any(|name| name.eq_ignore_ascii_case("subject")) {
            headers.insert("Subject".to_owned(), r#"{{ template "email.default.subject" . }}"#.to_owned());
        }
        Ok(headers)
    }
}

const NO_CRAM_MD5: &str = "auth_secret (CRAM-MD5) is not served yet: use auth_password over TLS";

fn non_empty(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

/// `host:port`, the port required; an IPv6 address in brackets.
fn host_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) =
        text.rsplit_once(':').ok_or_else(|| format!("address {text}: missing port in address"))?;
    let port = port.parse().map_err(|_| format!("address {text}: invalid port"))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        Err(format!("address {text}: missing host in address"))
    } else {
        Ok((host.to_owned(), port))
    }
}

/// One field of a Slack attachment. Texts are templates.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SlackField {
    pub(crate) title: String,
    pub(crate) value: String,
    pub(crate) short: Option<bool>,
}

/// The question before an action.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SlackConfirm {
    pub(crate) text: String,
    pub(crate) title: Option<String>,
    pub(crate) ok_text: Option<String>,
    pub(crate) dismiss_text: Option<String>,
}

/// A button.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SlackAction {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) url: Option<String>,
    pub(crate) style: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) confirm: Option<SlackConfirm>,
}

/// Slack's texts, all templates; `None` takes upstream's default template.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSlack {
    send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    api_url: Option<Secret>,
    api_url_file: Option<PathBuf>,
    #[serde(skip_serializing)]
    app_token: Option<At<Secret>>,
    #[serde(skip_serializing)]
    app_token_file: Option<At<PathBuf>>,
    #[serde(skip_serializing)]
    app_url: Option<At<String>>,
    channel: Option<String>,
    username: Option<String>,
    color: Option<String>,
    title: Option<String>,
    title_link: Option<String>,
    pretext: Option<String>,
    text: Option<String>,
    #[serde(skip_serializing)]
    message_text: Option<At<String>>,
    fields: Option<Vec<At<SlackField>>>,
    short_fields: Option<bool>,
    footer: Option<String>,
    fallback: Option<String>,
    callback_id: Option<String>,
    icon_emoji: Option<String>,
    icon_url: Option<String>,
    image_url: Option<String>,
    thumb_url: Option<String>,
    link_names: Option<bool>,
    mrkdwn_in: Option<Vec<String>>,
    actions: Option<Vec<At<SlackAction>>>,
    #[serde(skip_serializing)]
    update_message: Option<At<bool>>,
    timeout: Option<GoDuration>,
}

/// A checked Slack receiver.
#[derive(Debug, Clone)]
pub(crate) struct Slack {
    pub(crate) http: HttpClientConfig,
    pub(crate) url: Source,
    pub(crate) timeout: Option<Duration>,
    /// As given; may be empty.
    pub(crate) channel: String,
    pub(crate) username: String,
    pub(crate) color: String,
    pub(crate) title: String,
    pub(crate) title_link: String,
    pub(crate) pretext: String,
    pub(crate) text: String,
    pub(crate) fields: Vec<SlackField>,
    pub(crate) short_fields: bool,
    pub(crate) footer: String,
    pub(crate) fallback: String,
    pub(crate) callback_id: String,
    pub(crate) icon_emoji: String,
    pub(crate) icon_url: String,
    pub(crate) image_url: String,
    pub(crate) thumb_url: String,
    pub(crate) link_names: bool,
    pub(crate) mrkdwn_in: Vec<String>,
    pub(crate) actions: Vec<SlackAction>,
}

impl RawSlack {
    pub(super) fn sends_resolved(&self) -> bool {
        self.send_resolved.unwrap_or(false)
    }

    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Slack, Fault> {
        self.check_served(checker.global)?;
        let own = checker.one_of(("api_url", &self.api_url), ("api_url_file", &self.api_url_file))?;
        let global_url = checker.global.slack_api_url.as_ref().map(|at| at.value.clone());
        let inherited = checker.one_of(
            ("slack_api_url", &global_url),
            ("slack_api_url_file", &checker.global.slack_api_url_file),
        )?;
        let url = own
            .or(inherited)
            .ok_or_else(|| Fault::new("no global Slack API URL set either inline or in a file"))?;
        if let Source::Inline(url) = &url {
            check_url(url.expose())?;
        }
        let fields: Vec<SlackField> =
            self.fields.iter().flatten().map(check_field).collect::<Result<_, _>>()?;
        let actions: Vec<SlackAction> =
            self.actions.iter().flatten().map(check_action).collect::<Result<_, _>>()?;
        let or_default = |own: &Option<String>, name: &str| {
            own.clone().unwrap_or_else(|| format!(r#"{{{{ template "slack.default.{name}" . }}}}"#))
        };
        let mrkdwn_in = || ["fallback", "pretext", "text"].map(str::to_owned).to_vec();
        Ok(Slack {
            http: checker.http(self.http_config.as_ref()),
            url,
            timeout: self.timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero()),
            channel: self.channel.clone().unwrap_or_default(),
            username: or_default(&self.username, "username"),
            color: or_default(&self.color, "color"),
            title: or_default(&self.title, "title"),
            title_link: or_default(&self.title_link, "titlelink"),
            pretext: or_default(&self.pretext, "pretext"),
            text: or_default(&self.text, "text"),
            fields,
            short_fields: self.short_fields.unwrap_or(false),
            footer: or_default(&self.footer, "footer"),
            fallback: or_default(&self.fallback, "fallback"),
            callback_id: or_default(&self.callback_id, "callbackid"),
            icon_emoji: or_default(&self.icon_emoji, "iconemoji"),
            icon_url: or_default(&self.icon_url, "iconurl"),
            image_url: self.image_url.clone().unwrap_or_default(),
            thumb_url: self.thumb_url.clone().unwrap_or_default(),
            link_names: self.link_names.unwrap_or(false),
            mrkdwn_in: self.mrkdwn_in.clone().unwrap_or_else(mrkdwn_in),
            actions,
        })
    }

    /// Refuses what needs Slack's app interface.
    fn check_served(&self, global: &RawGlobal) -> Result<(), Fault> {
        const NO_APP: &str =
            "Slack apps (app_token, app_url) are not served yet: use api_url, an incoming webhook";
        if let Some(at) = self.app_token.as_ref().or(global.slack_app_token.as_ref()) {
            return Err(Fault::at(at, NO_APP));
        }
        if let Some(at) = self.app_token_file.as_ref().or(global.slack_app_token_file.as_ref()) {
            return Err(Fault::at(at, NO_APP));
        }
        if let Some(at) = &self.app_url {
            return Err(Fault::at(at, NO_APP));
        }
        if let Some(at) = self.update_message.as_ref().filter(|at| at.value) {
            return Err(Fault::at(at, "update_message is not served yet: it needs a Slack app"));
        }
        match self.message_text.as_ref().filter(|at| !at.value.is_empty()) {
            Some(at) => Err(Fault::at(at, "message_text is not served yet: use text")),
            None => Ok(()),
        }
    }
}

fn check_field(field: &At<SlackField>) -> Result<SlackField, Fault> {
    let missing = |what| Fault::at(field, format!("missing {what} in Slack field configuration"));
    if field.value.title.is_empty() {
        return Err(missing("title"));
    }
    if field.value.value.is_empty() { Err(missing("value")) } else { Ok(field.value.clone()) }
}

fn check_action(action: &At<SlackAction>) -> Result<SlackAction, Fault> {
    let missing = |what| Err(Fault::at(action, format!("missing {what} in Slack action configuration")));
    let is_empty = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
    let value = &action.value;
    if value.kind.is_empty() {
        return missing("type");
    }
    if value.text.is_empty() {
        return missing("text");
    }
    if is_empty(&value.url) && is_empty(&value.name) {
        return missing("name or url");
    }
    if value.confirm.as_ref().is_some_and(|confirm| confirm.text.is_empty()) {
        return Err(Fault::at(action, "missing text in Slack confirmation configuration"));
    }
    Ok(value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_gos_syntax() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(go_duration(text).map(|d| d.as_millis() as u64), expected, "{text}");
        };
        check("500ms", Some(500));
        check("1h2m3.5s", Some(3_723_500));
        check("0", Some(0));
        check("1d", None);
        check("", None);
        check("-1s", None);
        check("5", None);
        check("300000000h", None);
    }
}
