//! One attempt at one message: what a kind of receiver may use to say it.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use net::auth::sign::{hex, sha256};
use net::{HttpClient, Limits, Request, Response};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::trace::Trace;
use super::{Data, Failure, Notification, Notifier};
use crate::config::Integration;
use crate::notification::Reason;
use crate::notification::ReceiverData;
use crate::receiver::Source;

/// Longest answer of a receiver that is read, in bytes. Chosen: a search of Jira fits, and only the beginning is shown.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Data, templates and client of one attempt.
pub(crate) struct Attempt<'a> {
    notifier: &'a Notifier,
    client: Option<&'a HttpClient>,
    pub(crate) notification: &'a Notification,
    pub(crate) data: Data,
    pub(crate) timeout: Duration,
    /// What is remembered with the message once it is delivered.
    notes: Mutex<ReceiverData>,
    /// What is said and answered, where somebody wants to see it.
    trace: Option<&'a Mutex<Trace>>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        notifier: &'a Notifier,
        integration: &Integration,
        notification: &'a Notification,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let mut data = Data::new(notification, &notifier.external_url, integration.kind.alerts_max());
        let filled = notifier.templates.fill_route_labels(&mut data, notification.now_ms);
        filled.map_err(|err| Failure::template(&err))?;
        let key = (integration.receiver.clone(), integration.name, integration.idx);
        let notes = Mutex::new(notification.data.clone());
        let client = notifier.clients.get(&key);
        Ok(Self { notifier, client, notification, data, timeout, notes, trace: None })
    }

    /// With somebody who wants to see what is said and answered.
    pub(super) fn traced(self, trace: Option<&'a Mutex<Trace>>) -> Self {
        Self { trace, ..self }
    }

    /// Takes note of what is said or answered, where somebody wants to see it.
    pub(crate) fn trace(&self, note: impl FnOnce(&mut Trace)) {
        if let Some(trace) = self.trace {
            note(&mut trace.lock());
        }
    }

    /// What was noted under `name` at the message before, if that was about the same alerts.
    pub(crate) fn noted(&self, name: &str) -> Option<String> {
        self.notes.lock().get(name).cloned()
    }

    /// Notes something for the next message.
    pub(crate) fn note(&self, name: &str, value: &str) {
        self.notes.lock().insert(name.to_owned(), value.to_owned());
    }

    /// All notes, at the end.
    pub(super) fn into_notes(self) -> ReceiverData {
        self.notes.into_inner()
    }

    /// `template` filled in.
    pub(crate) fn text(&self, template: &str) -> Result<String, Failure> {
        let text = self.notifier.templates.text(template, &self.data, self.notification.now_ms);
        text.map_err(|err| Failure::template(&err))
    }

    /// `template` filled in, values escaped for HTML.
    pub(crate) fn html(&self, template: &str) -> Result<String, Failure> {
        let html = self.notifier.templates.html(template, &self.data, self.notification.now_ms);
        html.map_err(|err| Failure::template(&err))
    }

    /// Texts inside of a structure filled in, keys too. A text that then reads as a number, a list or another
    /// structure becomes that, as upstream has it.
    pub(crate) fn structure(&self, value: &Value) -> Result<Value, Failure> {
        Ok(match value {
            Value::String(template) => {
                let text = self.text(template)?;
                match model::yaml::parse::<Value>("payload", &text) {
                    Ok(Value::String(_)) | Err(_) => Value::String(text),
                    // Nothing, or a comment: only of whole files does Go make an empty mapping.
                    Ok(Value::Object(map)) if map.is_empty() && !text.contains('{') => Value::Null,
                    Ok(other) => other,
                }
            }
            Value::Array(list) => {
                Value::Array(list.iter().map(|item| self.structure(item)).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                let entries = map.iter().map(|(key, value)| Ok((self.text(key)?, self.structure(value)?)));
                Value::Object(entries.collect::<Result<_, Failure>>()?)
            }
            other => other.clone(),
        })
    }

    /// The text of a secret, now; white space around it in a file does not count.
    pub(crate) fn secret(&self, source: &Source) -> Result<String, Failure> {
        let secret = self.read_secret(source)?;
        self.trace(|trace| trace.hide(&secret));
        Ok(secret)
    }

    fn read_secret(&self, source: &Source) -> Result<String, Failure> {
        match source {
            Source::Inline(secret) => Ok(secret.expose().to_owned()),
            Source::File(path) => {
                let bytes = self.notifier.files.read(path).map_err(|err| Failure::cannot_read(path, &err))?;
                let text = String::from_utf8(bytes).map_err(|err| Failure::cannot_read(path, &err))?;
                Ok(text.trim().to_owned())
            }
        }
    }

    /// Whether any of its alerts fires.
    pub(crate) fn is_firing(&self) -> bool {
        self.data.status() == "firing"
    }

    /// What names the group elsewhere: SHA-256 of its key, in hexadecimal, as upstream computes it.
    pub(crate) fn group_hash(&self) -> String {
        hex(&sha256(self.notification.group_key.as_bytes()))
    }

    /// POSTs JSON to an address that may be a secret; an answer other than 2xx is a failure.
    pub(crate) async fn post_json(&self, url: &str, body: &impl Serialize) -> Result<(), Failure> {
        self.send_json(Method::POST, parsed(url)?, HeaderMap::new(), body).await
    }

    /// As [`Attempt::post_json`] with all that can be said.
    pub(crate) async fn send_json(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: &impl Serialize,
    ) -> Result<(), Failure> {
        self.deliver(json_request(method, url, headers, body)).await
    }

    /// As [`Attempt::post_json`], of a receiver whose answer says more than its status.
    pub(crate) async fn ask_post(&self, url: &str, body: &impl Serialize) -> Result<Response, Failure> {
        self.ask_json(Method::POST, parsed(url)?, HeaderMap::new(), body).await
    }

    /// As [`Attempt::send_json`], of a receiver whose answer says more than its status.
    pub(crate) async fn ask_json(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: &impl Serialize,
    ) -> Result<Response, Failure> {
        let response = self.request(json_request(method, url, headers, body)).await?;
        Failure::check_status(&response)?;
        Ok(response)
    }

    /// One request whose status says all: a message that was taken is not sent again because the answer's body was too
    /// long or broke off.
    pub(crate) async fn deliver(&self, request: Request) -> Result<(), Failure> {
        Failure::check_status(&self.exchange(request, Reading::AsFarAsItComes).await?)
    }

    /// One request with the integration's client, whatever comes back, whole.
    pub(crate) async fn request(&self, request: Request) -> Result<Response, Failure> {
        self.exchange(request, Reading::Whole).await
    }

    /// Errors never show the URL's path, which often is the secret.
    async fn exchange(&self, request: Request, reading: Reading) -> Result<Response, Failure> {
        let client = self.client.ok_or_else(|| Failure::fatal("the receiver has no HTTP client"))?;
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let limits = Limits {
            timeout: self.timeout,
            body_bytes_max: ANSWER_BYTES_MAX,
            decoded_bytes_max: ANSWER_BYTES_MAX,
        };
        let secret = request.url.to_string();
        self.trace(|trace| trace.request(&request.method, &request.url, &request.body));
        let answer = match reading {
            Reading::Whole => client.request(request, &limits).await,
            Reading::AsFarAsItComes => client.request_for_status(request, &limits).await,
        };
        let response = answer.map_err(|err| Failure {
            reason: if err.is_timeout() { Reason::Deadline } else { Reason::Other },
            ..Failure::retryable(format!("{host}: {}", err.to_string().replace(&secret, "<redacted>")))
        })?;
        self.trace(|trace| {
            let status = Some(response.status.as_u16());
            trace.answered(status, &String::from_utf8_lossy(&response.body));
        });
        Ok(response)
    }
}

/// How much of an answer's body has to be there.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Whole,
    AsFarAsItComes,
}

fn parsed(url: &str) -> Result<Url, Failure> {
    Url::parse(url).map_err(|err| Failure::fatal(format!("the receiver's URL is not a URL: {err}")))
}

fn json_request(method: Method, url: Url, mut headers: HeaderMap, body: &impl Serialize) -> Request {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Request { method, url, headers, body: go_json(body).into() }
}

/// A header whose value is a secret.
pub(crate) fn secret_header(name: HeaderName, value: &str) -> Result<HeaderMap, Failure> {
    let value = HeaderValue::from_str(value);
    let mut value = value.map_err(|_| Failure::fatal(format!("the secret for {name} cannot be a header")))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(name, value)]))
}

/// Floats as Go's encoder writes them: `1000` and `1e+21`, where serde's has `1000.0` and `1e21`.
struct GoNumbers;

impl serde_json::ser::Formatter for GoNumbers {
    fn write_f64<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, value: f64) -> std::io::Result<()> {
        match value.abs() {
            0.0 => write!(writer, "{value}"),
            size if size >= 1e21 => writer.write_all(format!("{value:e}").replace('e', "e+").as_bytes()),
            size if size < 1e-6 => write!(writer, "{value:e}"),
            _ => write!(writer, "{value}"),
        }
    }
}

/// JSON as Go's encoder writes it: no raw `<`, `>`, `&`, and a newline at the end.
pub(crate) fn go_json(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, GoNumbers);
    value.serialize(&mut writer).expect("texts, numbers and maps of texts always serialise");
    let json = String::from_utf8(bytes).expect("JSON is text");
    let mut out = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        // These occur only inside of strings.
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_as_gos_encoder_writes_it() {
        let check = |value: Value, expected: &str| assert_eq!(go_json(&value), format!("{expected}\n"));
        check(serde_json::json!(["<&>\u{2028}", 5, 1.5]), r#"["\u003c\u0026\u003e\u2028",5,1.5]"#);
        let floats = serde_json::json!([1000.0, -0.0, 1e20, 1e21, -2.5e30, 1e-6, 1.5e-7]);
        check(floats, "[1000,-0,100000000000000000000,1e+21,-2.5e+30,0.000001,1.5e-7]");
    }
}
