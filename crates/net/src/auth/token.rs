//! Tokens: asked for with a form, kept until shortly before they end.
//!
//! RFC 6749 §4.4 and §5. What servers do beside it (numbers as text, forms for answers) as golang.org/x/oauth2 takes it.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::{Surroundings, failed};
use crate::client::Request;
use crate::error::HttpError;
use crate::secret::secret_value;

/// How long before its end a token is renewed. From golang.org/x/oauth2.
const MARGIN: Duration = Duration::from_secs(10);
/// How much of a refusal is shown, in bytes. Chosen.
const SHOWN_BYTES_MAX: usize = 512;

/// What ends at some time.
pub(crate) trait Ends: Clone + Send {
    /// How long it is good for from now on; `None` for ever.
    fn lasts(&self) -> Option<Duration>;
}

/// Something fetched, kept for as long as it is good. One request fetches, the others wait for it.
#[derive(Debug)]
pub(crate) struct Held<T>(tokio::sync::Mutex<Option<Kept<T>>>);

#[derive(Debug)]
struct Kept<T> {
    value: T,
    /// With which secret it was asked for.
    secret: String,
    until: Option<Instant>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self(tokio::sync::Mutex::new(None))
    }
}

impl<T: Ends> Held<T> {
    /// What is kept, or what `fetch` brings.
    pub(crate) async fn get<F>(&self, fetch: impl FnOnce() -> F) -> Result<T, HttpError>
    where
        F: Future<Output = Result<T, HttpError>> + Send,
    {
        self.get_for("", fetch).await
    }

    /// As [`Held::get`]; another `secret` than last time makes it fetch anew.
    pub(crate) async fn get_for<F>(&self, secret: &str, fetch: impl FnOnce() -> F) -> Result<T, HttpError>
    where
        F: Future<Output = Result<T, HttpError>> + Send,
    {
        let mut kept = self.0.lock().await;
        if let Some(kept) = kept.as_ref()
            && kept.secret == secret
            && kept.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(kept.value.clone());
        }
        let value = fetch().await?;
        let until = value.lasts().map(|lasts| Instant::now() + lasts.saturating_sub(MARGIN));
        *kept = Some(Kept { value: value.clone(), secret: secret.to_owned(), until });
        Ok(value)
    }
}

/// What stands in `Authorization`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    kind: String,
    access: String,
    lasts: Option<Duration>,
}

impl Ends for Token {
    fn lasts(&self) -> Option<Duration> {
        self.lasts
    }
}

impl Token {
    pub(crate) fn header(&self) -> String {
        let kind = match self.kind.to_ascii_lowercase().as_str() {
            "" | "bearer" => "Bearer",
            "mac" => "MAC",
            "basic" => "Basic",
            _ => &self.kind,
        };
        format!("{kind} {}", self.access)
    }

    /// From an answer's body.
    pub(crate) fn parse(content_type: &str, body: &[u8]) -> Result<Self, String> {
        let is_form = content_type.starts_with("application/x-www-form-urlencoded")
            || content_type.starts_with("text/plain");
        let answer = match serde_json::from_slice::<Answer>(body) {
            Ok(answer) => answer,
            Err(_) if is_form => Answer::from_form(body),
            Err(err) => return Err(format!("its answer is not JSON: {err}")),
        };
        if !answer.error.is_empty() {
            return Err(format!("{:?} {:?}", answer.error, answer.error_description));
        }
        if answer.access_token.is_empty() {
            return Err("server response missing access_token".to_owned());
        }
        let secs = answer.expires_in.seconds();
        let lasts = (secs > 0).then(|| Duration::from_secs(secs));
        Ok(Self { kind: answer.token_type, access: answer.access_token, lasts })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Seconds,
    error: String,
    error_description: String,
}

impl Answer {
    fn from_form(body: &[u8]) -> Self {
        let mut answer = Self::default();
        for (key, value) in url::form_urlencoded::parse(body) {
            match &*key {
                "access_token" => answer.access_token = value.into_owned(),
                "token_type" => answer.token_type = value.into_owned(),
                "expires_in" => answer.expires_in = Seconds::Text(value.into_owned()),
                "error" => answer.error = value.into_owned(),
                "error_description" => answer.error_description = value.into_owned(),
                _ => {}
            }
        }
        answer
    }
}

/// Some servers write numbers as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
    Nothing(()),
}

impl Default for Seconds {
    fn default() -> Self {
        Self::Nothing(())
    }
}

impl Seconds {
    fn seconds(&self) -> u64 {
        match self {
            Self::Number(secs) if *secs > 0.0 => secs.min(f64::from(i32::MAX)) as u64,
            Self::Text(text) => text.parse().map_or(0, |secs: u64| secs.min(i32::MAX.unsigned_abs().into())),
            _ => 0,
        }
    }
}

/// Asks `token_url` with a form; `basic` is an `Authorization` header.
pub(crate) async fn ask(
    around: &Surroundings,
    way: &'static str,
    token_url: &str,
    form: &[(String, String)],
    basic: Option<&str>,
) -> Result<Token, HttpError> {
    let url = Url::parse(token_url).map_err(|err| failed(way, token_url, err))?;
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let mut request = Request::post(url, "application/x-www-form-urlencoded", Bytes::from(body));
    request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(basic) = basic {
        request.headers.insert(AUTHORIZATION, secret_value(basic)?);
    }
    send(around, way, token_url, request).await
}

/// Sends a request whose answer is a token.
pub(crate) async fn send(
    around: &Surroundings,
    way: &'static str,
    from: &str,
    request: Request,
) -> Result<Token, HttpError> {
    let response = around.ask(request).await.map_err(|err| failed(way, from, err))?;
    if !response.status.is_success() {
        let text = String::from_utf8_lossy(&response.body[..response.body.len().min(SHOWN_BYTES_MAX)]);
        let status = crate::client::status_error(response.status);
        return Err(failed(way, from, format!("{status}: {}", text.trim())));
    }
    Token::parse(response.header(&CONTENT_TYPE), &response.body).map_err(|err| failed(way, from, err))
}
