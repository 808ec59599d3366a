//! E-mail: one multipart message through an SMTP server, by lettre.

use std::time::Duration;

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, Identity, Tls, TlsParameters, TlsVersion,
};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::data::Data;
use super::{Failure, Notification, Notifier};
use crate::config::{Email, Source};
use crate::dispatch::Reason;

pub(super) async fn send(
    notifier: &Notifier,
    config: &Email,
    notification: &Notification,
    timeout: Duration,
) -> Result<(), Failure> {
    let mut data = Data::new(notification, &notifier.external_url, 0);
    notifier
        .templates
        .fill_route_labels(&mut data, notification.now_ms)
        .map_err(|err| Failure::template(&err))?;
    let message = message(notifier, config, &data, notification.now_ms)?;
    let transport = transport(notifier, config, timeout)?;
    match tokio::time::timeout(timeout, transport.send(message)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(err)) => Err(failure(config, &err)),
        Err(_) => Err(Failure {
            is_retryable: true,
            reason: Reason::Deadline,
            message: format!("{}:{}: no answer in {timeout:?}", config.host, config.port),
        }),
    }
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
    Failure { is_retryable: !err.is_permanent(), reason, message }
}

/// The message with all templates filled in.
pub(super) fn message(
    notifier: &Notifier,
    config: &Email,
    data: &Data,
    now_ms: i64,
) -> Result<Message, Failure> {
    let fill =
        |text: &str| notifier.templates.text(text, data, now_ms).map_err(|err| Failure::template(&err));
    let from: Mailbox = address(&fill(&config.from)?, "from")?;
    let to: Mailboxes = address(&fill(&config.to)?, "to")?;
    let at = std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    let domain = from.email.domain().to_owned();
    let mut builder = Message::builder().mailbox(lettre::message::header::From::from(Mailboxes::from(from)));
    builder = builder.mailbox(lettre::message::header::To::from(to)).date(at);
    let is_given = |name: &str| config.headers.keys().any(|known| known.eq_ignore_ascii_case(name));
    if !is_given("message-id") {
        builder = builder.message_id(Some(message_id(&domain, now_ms)?));
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
    let html = notifier.templates.html(&config.html, data, now_ms).map_err(|err| Failure::template(&err))?;
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

fn message_id(domain: &str, now_ms: i64) -> Result<String, Failure> {
    let random = getrandom::u64().map_err(|err| Failure::fatal(format!("no random numbers: {err}")))?;
    Ok(format!("<{now_ms}.{random:016x}@{domain}>"))
}

/// A connection of its own for each message: alerts are rare, and a kept connection may be dead when one comes.
fn transport(
    notifier: &Notifier,
    config: &Email,
    timeout: Duration,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
    let is_tls = config.is_implicit_tls || config.requires_tls;
    let tls = match (config.is_implicit_tls, config.requires_tls) {
        (true, _) => Tls::Wrapper(tls_parameters(notifier, config)?),
        (false, true) => Tls::Required(tls_parameters(notifier, config)?),
        (false, false) => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
        .port(config.port)
        .tls(tls)
        .hello_name(ClientId::Domain(config.hello.clone()))
        .timeout(Some(timeout));
    if !config.auth_username.is_empty() {
        let password = match &config.auth_password {
            Some(source) => notifier.read_secret(source)?,
            None => return Err(Failure::fatal("auth_username is set, but no auth_password")),
        };
        // As Go's SMTP client: PLAIN only where nobody listens.
        let is_private = is_tls || matches!(config.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        let mechanisms =
            if is_private { vec![Mechanism::Plain, Mechanism::Login] } else { vec![Mechanism::Login] };
        builder = builder
            .credentials(Credentials::new(config.auth_username.clone(), password))
            .authentication(mechanisms);
    }
    Ok(builder.build())
}

fn tls_parameters(notifier: &Notifier, config: &Email) -> Result<TlsParameters, Failure> {
    let tls = &config.tls;
    let bad =
        |what: &str, err: &dyn std::fmt::Display| Failure::fatal(format!("smtp tls_config: {what}: {err}"));
    let domain = if tls.server_name.is_empty() { config.host.clone() } else { tls.server_name.clone() };
    let mut builder = TlsParameters::builder(domain).dangerous_accept_invalid_certs(tls.insecure_skip_verify);
    let file = |path: &std::path::Path| notifier.read_secret(&Source::File(path.to_owned()));
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
