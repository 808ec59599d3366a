//! E-mail: one multipart message through an SMTP server, by lettre.

mod login;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, Identity, Tls, TlsParameters, TlsVersion,
};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use net::{HttpClientConfig, Secret, TlsConfig};
use serde::{Deserialize, Serialize};

use super::value::{non_empty, or_template};
use super::{Kind, Sending, Source};
use crate::config::{At, Checker, Fault};
use crate::notification::Reason;
use crate::notify::{Attempt, Failure};
use crate::time::api_rfc3339;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    to: Option<String>,
    from: Option<String>,
    hello: Option<String>,
    smarthost: Option<At<String>>,
    auth_username: Option<String>,
    auth_password: Option<Secret>,
    auth_password_file: Option<PathBuf>,
    auth_secret: Option<Secret>,
    auth_secret_file: Option<PathBuf>,
    auth_identity: Option<String>,
    require_tls: Option<bool>,
    tls_config: Option<TlsConfig>,
    force_implicit_tls: Option<bool>,
    headers: Option<BTreeMap<String, String>>,
    html: Option<String>,
    text: Option<String>,
    threading: Option<Threading>,
}

/// Whether mails of one group stand under one another in a reader.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Threading {
    enabled: Option<bool>,
    /// `none`, or `daily` for a new thread each day.
    thread_by_date: Option<String>,
}

/// A checked e-mail receiver. Texts are templates.
#[derive(Debug)]
pub(super) struct Email {
    to: String,
    from: String,
    hello: String,
    host: String,
    port: u16,
    auth_username: String,
    /// For whom the user acts; empty for themselves.
    auth_identity: String,
    auth_password: Option<Source>,
    /// For CRAM-MD5, which is tried before a password.
    auth_secret: Option<Source>,
    requires_tls: bool,
    /// TLS from the first byte rather than STARTTLS.
    is_implicit_tls: bool,
    tls: TlsConfig,
    /// By name, as written; `Subject` is always among them.
    headers: BTreeMap<String, String>,
    html: String,
    text: String,
    /// `None`: each mail stands alone.
    thread: Option<Thread>,
}

/// The port of SMTP over TLS.
const SMTPS_PORT: u16 = 465;

/// Which mails of a group belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thread {
    All,
    Daily,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Email, Fault> {
        let global = checker.global;
        let to = non_empty(&self.to).ok_or_else(|| Fault::new("missing to address in email config"))?;
        let from = non_empty(&self.from).or_else(|| non_empty(&global.smtp_from));
        let from = from.ok_or_else(|| Fault::new("no global SMTP from set"))?;
        let smarthost = self.smarthost.as_ref().or(global.smtp_smarthost.as_ref());
        let smarthost = smarthost.ok_or_else(|| Fault::new("no global SMTP smarthost set"))?;
        let (host, port) = host_port(&smarthost.value).map_err(|what| Fault::at(smarthost, what))?;
        let own_secret = checker
            .one_of(("auth_secret", &self.auth_secret), ("auth_secret_file", &self.auth_secret_file))?;
        let global_secret = checker.one_of(
            ("smtp_auth_secret", &global.smtp_auth_secret),
            ("smtp_auth_secret_file", &global.smtp_auth_secret_file),
        )?;
        let username = non_empty(&self.auth_username).or_else(|| non_empty(&global.smtp_auth_username));
        let username = username.unwrap_or_default();
        let identity = non_empty(&self.auth_identity).or_else(|| non_empty(&global.smtp_auth_identity));
        let own = checker.one_of(
            ("auth_password", &self.auth_password),
            ("auth_password_file", &self.auth_password_file),
        )?;
        let global_password = ("smtp_auth_password", &global.smtp_auth_password);
        let inherited =
            checker.one_of(global_password, ("smtp_auth_password_file", &global.smtp_auth_password_file))?;
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
            auth_identity: identity.unwrap_or_default(),
            auth_password: own.or(inherited),
            auth_secret: own_secret.or(global_secret),
            requires_tls: self.require_tls.or(global.smtp_require_tls).unwrap_or(true),
            is_implicit_tls: implicit.unwrap_or(port == SMTPS_PORT),
            tls,
            headers: self.checked_headers()?,
            html: or_template(&self.html, "email.default.html"),
            // Ours: upstream sends no text part unless told to, which text readers and filters dislike.
            text: or_template(&self.text, "email.default.text"),
            thread: self.checked_thread()?,
        })
    }

    fn checked_thread(&self) -> Result<Option<Thread>, Fault> {
        let Some(threading) = self.threading.as_ref().filter(|threading| threading.enabled == Some(true))
        else {
            return Ok(None);
        };
        for name in ["References", "In-Reply-To"] {
            if self.headers.iter().flatten().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                return Err(Fault::new(format!(
                    "conflicting configuration: threading.enabled conflicts with custom {name} header"
                )));
            }
        }
        match threading.thread_by_date.as_deref() {
            Some("none") => Ok(Some(Thread::All)),
            Some("daily") => Ok(Some(Thread::Daily)),
            _ => Err(Fault::new("threading.thread_by_date must be either 'none' or 'daily'")),
        }
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

/// `host:port`, the port required; an IPv6 address in brackets.
pub(crate) fn host_port(text: &str) -> Result<(String, u16), String> {
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

impl Kind for Email {
    fn http(&self) -> Option<&HttpClientConfig> {
        None
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let message = message(self, attempt)?;
            attempt.trace(|trace| {
                let text = String::from_utf8_lossy(&message.formatted()).into_owned();
                trace.said(format!("SMTP {}:{}", self.host, self.port), &text);
            });
            if !self.auth_username.is_empty() {
                return login::send(self, attempt, &message).await;
            }
            let sent = transport(self, attempt)?.send(message).await;
            let answer = sent.map_err(|err| failure(self, &err))?;
            traced(attempt, &answer);
            Ok(())
        })
    }
}

/// Takes note of the server's yes.
fn traced(attempt: &Attempt<'_>, answer: &lettre::transport::smtp::response::Response) {
    let words = answer.message().collect::<Vec<_>>().join(" ");
    attempt.trace(|trace| trace.answered(Some(u16::from(answer.code())), &words));
}

/// A server's final refusal (5xx) is not asked for again within the flush; everything else may pass.
fn failure(config: &Email, err: &lettre::transport::smtp::Error) -> Failure {
    use std::error::Error as _;
    let mut message = format!("{}:{}: {err}", config.host, config.port);
    let mut source = err.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        source = inner.source();
    }
    let is_auth = err.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538));
    let reason = match () {
        () if is_auth => Reason::Auth,
        () if err.is_permanent() => Reason::Client,
        () if err.is_timeout() => Reason::Deadline,
        () if err.is_transient() => Reason::Server,
        () => Reason::Other,
    };
    Failure { is_retryable: !err.is_permanent(), reason, ..Failure::fatal(message) }
}

/// The message with all templates filled in.
fn message(config: &Email, attempt: &Attempt<'_>) -> Result<Message, Failure> {
    let now_ms = attempt.notification.now_ms;
    let fill = |text: &str| attempt.text(text);
    let from: Mailbox = address(&fill(&config.from)?, "from")?;
    let to: Mailboxes = address(&fill(&config.to)?, "to")?;
    let at = std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    let domain = from.email.domain().to_owned();
    // Whatever the headers say: a `From` or `Cc` of theirs is for the reader.
    let recipients = to.iter().map(|mailbox| mailbox.email.clone()).collect();
    let envelope = Envelope::new(Some(from.email.clone()), recipients)
        .map_err(|err| Failure::fatal(format!("parse 'to' addresses: {err}")))?;
    let mut builder = Message::builder()
        .envelope(envelope)
        .mailbox(lettre::message::header::From::from(Mailboxes::from(from)));
    builder = builder.mailbox(lettre::message::header::To::from(to)).date(at);
    let is_given = |name: &str| config.headers.keys().any(|known| known.eq_ignore_ascii_case(name));
    if !is_given("message-id") {
        builder = builder.message_id(Some(message_id(&domain, now_ms)?));
    }
    if let Some(thread) = config.thread {
        // The head of the thread is a mail that was never sent; readers put all that answer it together.
        let head = thread_head(thread, &attempt.group_hash(), now_ms);
        builder = builder.references(head.clone()).in_reply_to(head);
    }
    for (name, value) in &config.headers {
        // A line break in a header would begin another header.
        let value = fill(value)?.replace(['\r', '\n'], " ");
        let name = HeaderName::new_from_ascii(name.clone())
            .map_err(|_| Failure::fatal(format!("header name {name:?} cannot be sent")))?;
        builder = builder.raw_header(HeaderValue::new(name, value));
    }
    let part = |kind: ContentType, text: String| {
        SinglePart::builder().header(kind).header(ContentTransferEncoding::QuotedPrintable).body(text)
    };
    let html = attempt.html(&config.html)?;
    let text = fill(&config.text)?;
    // Readers show the last part they understand, so that text comes first.
    let parts = match (text.is_empty(), html.is_empty()) {
        (false, false) => MultiPart::alternative()
            .singlepart(part(ContentType::TEXT_PLAIN, text))
            .singlepart(part(ContentType::TEXT_HTML, html)),
        (true, _) => MultiPart::alternative().singlepart(part(ContentType::TEXT_HTML, html)),
        (false, true) => MultiPart::alternative().singlepart(part(ContentType::TEXT_PLAIN, text)),
    };
    builder.multipart(parts).map_err(|err| Failure::fatal(format!("cannot make the message: {err}")))
}

fn address<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::fatal(format!("parse '{what}' addresses: {text:?} is not an address")))
}

/// Upstream's identifier, so that threads go on when one replaces the other.
fn thread_head(thread: Thread, group_hash: &str, now_ms: i64) -> String {
    let day = match thread {
        Thread::All => String::new(),
        Thread::Daily => api_rfc3339(now_ms).chars().take("2006-01-02".len()).collect(),
    };
    format!("<alert-{}-{day}@alertmanager>", &group_hash[..16])
}

fn message_id(domain: &str, now_ms: i64) -> Result<String, Failure> {
    let random = getrandom::u64().map_err(|err| Failure::fatal(format!("no random numbers: {err}")))?;
    Ok(format!("<{now_ms}.{random:016x}@{domain}>"))
}

/// For servers that ask for no name. A connection of its own for each message: alerts are rare, and a kept connection may be dead when one comes.
fn transport(config: &Email, attempt: &Attempt<'_>) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
    let tls = match (config.is_implicit_tls, config.requires_tls) {
        (true, _) => Tls::Wrapper(tls_parameters(config, attempt)?),
        (false, true) => Tls::Required(tls_parameters(config, attempt)?),
        (false, false) => Tls::None,
    };
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
        .port(config.port)
        .tls(tls)
        .hello_name(ClientId::Domain(config.hello.clone()))
        .timeout(Some(attempt.timeout));
    Ok(builder.build())
}

/// As Go's SMTP client: PLAIN only where nobody listens.
fn mechanisms(config: &Email, is_tls: bool) -> Vec<Mechanism> {
    let is_private = is_tls || matches!(config.host.as_str(), "localhost" | "127.0.0.1" | "::1");
    if is_private { vec![Mechanism::Plain, Mechanism::Login] } else { vec![Mechanism::Login] }
}

fn tls_parameters(config: &Email, attempt: &Attempt<'_>) -> Result<TlsParameters, Failure> {
    let tls = &config.tls;
    let bad =
        |what: &str, err: &dyn std::fmt::Display| Failure::fatal(format!("smtp tls_config: {what}: {err}"));
    let domain = if tls.server_name.is_empty() { config.host.clone() } else { tls.server_name.clone() };
    let mut builder = TlsParameters::builder(domain)
        .dangerous_accept_invalid_certs(tls.insecure_skip_verify)
        .dangerous_accept_invalid_hostnames(tls.insecure_skip_verify);
    let file = |path: &std::path::Path| attempt.secret(&Source::File(path.to_owned()));
    let ca = match &tls.ca_file {
        Some(path) => file(path)?,
        None => tls.ca.clone(),
    };
    if !ca.is_empty() {
        builder = builder.certificate_store(CertificateStore::None);
        builder = builder
            .add_root_certificate(Certificate::from_pem(ca.as_bytes()).map_err(|err| bad("ca", &err))?);
    }
    let cert = match &tls.cert_file {
        Some(path) => file(path)?,
        None => tls.cert.clone(),
    };
    if !cert.is_empty() {
        let key = match &tls.key_file {
            Some(path) => file(path)?,
            None => tls.key.expose().to_owned(),
        };
        let identity =
            Identity::from_pem(cert.as_bytes(), key.as_bytes()).map_err(|err| bad("cert", &err))?;
        builder = builder.identify_with(identity);
    }
    if tls.min_version == Some(net::config::TlsVersion::TLS13) {
        builder = builder.set_min_tls_version(TlsVersion::Tlsv13);
    }
    builder.build().map_err(|err| bad("settings", &err))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::tests::{attempt, notification, notifier};

    const KEYS: &str = r#"
to: 'Ann <a@x.example>, b@x.example'
from: h@x.example
smarthost: 'm:25'
headers: {Subject: '火の見: {{ .CommonLabels.alertname }} 알림', X-Team: "a\nBcc: evil@x.example"}
threading: {enabled: true, thread_by_date: daily}
"#;

    pub(super) fn email(keys: &str) -> Email {
        let keys: Keys = model::yaml::parse("a.yml", keys).expect("good");
        keys.check(&Checker::here(&Default::default())).expect("good")
    }

    /// Sends one message.
    pub(super) async fn sent(email: &Email) -> Result<(), Failure> {
        let (notifier, integration) = notifier("webhook_configs: [{url: 'http://h/'}]");
        let notification = notification();
        email.send(&attempt(&notifier, &integration, &notification)).await
    }

    #[test]
    fn the_mail_is_one_message_in_two_forms() {
        let email = email(KEYS);
        let (notifier, integration) = notifier("webhook_configs: [{url: 'http://h/'}]");
        let notification = notification();
        let attempt = attempt(&notifier, &integration, &notification);
        let message = message(&email, &attempt).expect("a message");
        let text = String::from_utf8(message.formatted()).expect("ASCII");
        assert!(text.is_ascii(), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        assert!(head.contains("Subject: =?utf-8?b?"), "{head}");
        assert!(!head.contains("\r\nBcc"), "{head}");
        assert!(head.contains("Content-Type: multipart/alternative"), "{head}");
        assert!(head.contains("Date: Thu, 20 Nov 2025 22:01:30 +0000"), "{head}");
        assert!(head.contains("Message-ID: <"), "{head}");
        let thread = format!("<alert-{}-2025-11-20@alertmanager>", &attempt.group_hash()[..16]);
        for name in ["References", "In-Reply-To"] {
            assert!(head.contains(&format!("{name}: {thread}")), "{head}");
        }
        assert!(body.find("text/plain").expect("text") < body.find("text/html").expect("HTML"));
        let html = attempt.html(&email.html).expect("HTML");
        assert!(html.contains("ホスト停止 &lt;b&gt;호스트"), "{html}");
        assert!(html.contains("1 firing") && html.contains("b:9100"), "{html}");
    }
    #[test]
    fn headers_do_not_say_who_gets_it() {
        let keys = "{to: 'a@x.example, B <b@x.example>', from: 'F <f@x.example>', smarthost: 'm:25', \
            headers: {From: other@x.example, To: all@x.example, Cc: c@x.example}}";
        let email = email(keys);
        let (notifier, integration) = notifier("webhook_configs: [{url: 'http://h/'}]");
        let notification = notification();
        let message = message(&email, &attempt(&notifier, &integration, &notification)).expect("a message");
        let envelope = message.envelope();
        assert_eq!(envelope.from().map(ToString::to_string).as_deref(), Some("f@x.example"));
        let to: Vec<String> = envelope.to().iter().map(ToString::to_string).collect();
        assert_eq!(to, ["a@x.example", "b@x.example"]);
        let text = String::from_utf8(message.formatted()).expect("ASCII");
        for line in ["From: other@x.example", "To: all@x.example", "Cc: c@x.example"] {
            assert!(text.contains(&format!("\r\n{line}\r\n")) || text.starts_with(line), "{line} in {text}");
        }
    }
}
