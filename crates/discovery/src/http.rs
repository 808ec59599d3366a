//! The HTTP side of all kinds that ask a web service: JSON in, JSON out, limits, errors that name the URL.
//!
//! In from the kinds; out through [`net::HttpClient`], which brings authentication, TLS and proxies.

use std::time::Duration as StdDuration;

use http::header::{ACCEPT, HeaderName, HeaderValue};
use model::Duration;
use net::auth::Signing;
use net::{HttpClient, HttpClientConfig, Limits, Reach, Request, Response};
use serde::de::DeserializeOwned;
use url::Url;

use crate::SdError;

/// Longest accepted answer, in bytes, as sent and once decompressed. Chosen: lists of a hundred thousand containers.
pub const BODY_BYTES_MAX: usize = 256 << 20;
/// Pages that are read of one list. Chosen: far above what services hold; a server that always names a next page must
/// not keep us for ever.
pub const PAGES_MAX: usize = 10_000;
/// How much of a refusal's body stands in the error, in bytes. Chosen.
const SAID_BYTES_MAX: usize = 512;

/// Where a service listens that may do so on a socket of the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The URL below which it is asked.
    pub base: Url,
    /// How it is reached.
    pub reach: Reach,
}

impl Place {
    /// On the socket at `path`, below `/path_prefix`.
    ///
    /// # Errors
    /// When the prefix cannot stand in a URL.
    pub fn socket(path: &str, path_prefix: &str) -> Result<Self, url::ParseError> {
        let base = Url::parse(&format!("http://localhost/{path_prefix}"))?;
        Ok(Self { base, reach: Reach::Socket(path.into()) })
    }

    /// At a URL.
    ///
    /// # Errors
    /// When it is none.
    pub fn url(text: &str) -> Result<Self, url::ParseError> {
        Ok(Self { base: Url::parse(text)?, reach: Reach::Usual })
    }
}

/// A client of one service.
#[derive(Debug)]
pub struct Api {
    client: HttpClient,
    timeout: StdDuration,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Api {
    /// A client; `timeout` is of one request (Prometheus takes the refresh interval).
    ///
    /// # Errors
    /// When a TLS file cannot be read or used.
    pub fn new(config: &HttpClientConfig, timeout: Duration) -> Result<Self, SdError> {
        Self::signed(config, timeout, None)
    }

    /// As [`Api::new`], for a cloud that wants its requests signed.
    ///
    /// # Errors
    /// When a TLS file cannot be read or used, or what signs is not known.
    pub fn signed(
        config: &HttpClientConfig,
        timeout: Duration,
        signing: Option<&Signing>,
    ) -> Result<Self, SdError> {
        Ok(Self::of(HttpClient::signed(config, signing)?, timeout))
    }

    /// As [`Api::new`], for a service that may listen on a socket of the file system.
    ///
    /// # Errors
    /// When a TLS file cannot be read or used.
    pub fn at(place: &Place, config: &HttpClientConfig, timeout: Duration) -> Result<Self, SdError> {
        Ok(Self::of(HttpClient::reaching(config, None, place.reach.clone())?, timeout))
    }

    fn of(client: HttpClient, timeout: Duration) -> Self {
        Self { client, timeout: timeout.as_std(), headers: Vec::new() }
    }

    /// The same, sending one more header with every request.
    ///
    /// # Errors
    /// When the value cannot stand in a header.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Result<Self, SdError> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| SdError::other(format!("header {name} cannot be sent")))?;
        self.headers.push((HeaderName::from_static(name), value));
        Ok(self)
    }

    /// Sends; any status is an answer.
    ///
    /// # Errors
    /// When there is no whole answer within the limits.
    pub async fn send(&self, request: Request) -> Result<Response, SdError> {
        self.send_within(request, self.timeout).await
    }

    /// As [`Api::send`], with a time limit of its own (for questions that wait for a change).
    ///
    /// # Errors
    /// When there is no whole answer within the limits.
    pub async fn send_within(&self, mut request: Request, timeout: StdDuration) -> Result<Response, SdError> {
        for (name, value) in &self.headers {
            request.headers.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let limits = Limits { timeout, body_bytes_max: BODY_BYTES_MAX, decoded_bytes_max: BODY_BYTES_MAX };
        Ok(self.client.request(request, &limits).await?)
    }

    /// The answer to a GET of `url`, which must be JSON with a status of 2xx.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn get_json<T: DeserializeOwned>(&self, url: &Url) -> Result<T, SdError> {
        Ok(self.get_json_with_headers(url).await?.0)
    }

    /// The same, with the headers of the answer: they tell of the next page.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn get_json_with_headers<T: DeserializeOwned>(
        &self,
        url: &Url,
    ) -> Result<(T, http::HeaderMap), SdError> {
        let mut request = Request::get(url.clone());
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let response = self.send(request).await?;
        Ok((json(url, &response)?, response.headers))
    }

    /// The answer to a POST of `body`, both JSON.
    ///
    /// # Errors
    /// When there is no such answer, or the status is not 2xx.
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        url: &Url,
        body: &serde_json::Value,
    ) -> Result<T, SdError> {
        let mut request = Request::post(url.clone(), "application/json", body.to_string());
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let response = self.send(request).await?;
        json(url, &response)
    }
}

/// An answer's body as JSON; the status must be 2xx.
///
/// # Errors
/// When it is not.
pub fn json<T: DeserializeOwned>(url: &Url, response: &Response) -> Result<T, SdError> {
    require_success(url, response)?;
    serde_json::from_slice(&response.body).map_err(|err| bad_answer(url, err))
}

/// Any status but 2xx as an error.
///
/// # Errors
/// With the status, and the beginning of what the body says.
pub fn require_success(url: &Url, response: &Response) -> Result<(), SdError> {
    response.require_success().map_err(|status| {
        let said = &response.body[..response.body.len().min(SAID_BYTES_MAX)];
        SdError::Status {
            url: net::client::shown(url),
            status,
            code: response.status.as_u16(),
            body: String::from_utf8_lossy(said).trim().to_owned(),
        }
    })
}

/// An answer that is not as the service is known to give it.
#[must_use]
pub fn bad_answer(url: &Url, reason: impl std::fmt::Display) -> SdError {
    SdError::Answer { url: net::client::shown(url), reason: reason.to_string() }
}

/// `base` with more elements of a path, each escaped.
///
/// # Errors
/// When `base` has no path (`mailto:`).
pub fn with_path<'a>(base: &Url, elements: impl IntoIterator<Item = &'a str>) -> Result<Url, SdError> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| SdError::other(format!("{} cannot have a path", net::client::shown(base))))?
        .pop_if_empty()
        .extend(elements);
    Ok(url)
}

/// The URL that a `Link: <…>; rel="next"` header names.
#[must_use]
pub fn next_link(url: &Url, headers: &http::HeaderMap) -> Option<Url> {
    let links = headers.get_all(http::header::LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|value| value.split(',')).find_map(|link| {
        let (target, params) = link.split_once('>')?;
        let is_next = params.split(';').any(|param| {
            let param = param.trim();
            param == "rel=next" || param == "rel=\"next\""
        });
        is_next.then(|| target.trim().trim_start_matches('<').to_owned())
    })?;
    url.join(&next).ok()
}

/// A URL of `http` or `https` with a host.
///
/// # Errors
/// In Prometheus' words.
pub fn checked_url(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err("URL is missing".to_owned());
    }
    let url = Url::parse(text).map_err(|err| match err {
        url::ParseError::RelativeUrlWithoutBase => "URL scheme must be 'http' or 'https'".to_owned(),
        url::ParseError::EmptyHost => "host is missing in URL".to_owned(),
        err => format!("URL cannot be read: {err}"),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("URL scheme must be 'http' or 'https'".to_owned());
    }
    if url.host_str().unwrap_or_default().is_empty() {
        return Err("host is missing in URL".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[tokio::test]
    async fn answers_that_cannot_be_used_name_the_url() {
        let fake = Fake::start(&[("/bad", "["), ("/good", "[1]")]).await;
        fake.answer("/no", 403, &[], "not you");
        let api = Api::new(&HttpClientConfig::default(), Duration::from_secs(5)).unwrap();
        let get = async |path: &str| {
            let url = fake.url.join(path).unwrap();
            api.get_json::<Vec<u8>>(&url).await.map_err(|err| err.to_string().replace(fake.url.as_str(), "/"))
        };
        assert_eq!(get("/good").await, Ok(vec![1]));
        let body = serde_json::json!({"a": 1});
        assert_eq!(api.post_json::<Vec<u8>>(&fake.url.join("/good").unwrap(), &body).await.unwrap(), [1]);
        let asked = fake.asked().pop().unwrap();
        let asked = (asked.method.as_str(), asked.path.as_str(), &asked.body[..]);
        assert_eq!(asked, ("POST", "/good", &b"{\"a\":1}"[..]));
        assert_eq!(get("/bad").await.unwrap_err(), "/bad: EOF while parsing a list at line 1 column 1");
        assert_eq!(get("/no").await.unwrap_err(), "/no: server returned HTTP status 403 Forbidden: not you");
    }

    #[test]
    fn the_next_page_is_found() {
        let url = Url::parse("http://h/a?page=1").unwrap();
        for (header, expected) in [
            (
                "<http://h/a?page=2>; rel=\"next\", <http://h/a?page=9>; rel=\"last\"",
                Some("http://h/a?page=2"),
            ),
            ("<http://h/a?page=0>; rel=\"prev\",</a?page=2>;rel=next", Some("http://h/a?page=2")),
            ("<http://h/a?page=9>; rel=\"last\"", None),
            ("x", None),
        ] {
            let headers =
                http::HeaderMap::from_iter([(http::header::LINK, HeaderValue::from_static(header))]);
            assert_eq!(next_link(&url, &headers).as_ref().map(Url::as_str), expected, "{header}");
        }
    }

    #[test]
    fn urls_are_checked_as_prometheus_does() {
        for (text, expected) in [
            ("http://h/x", Ok(())),
            ("", Err("URL is missing")),
            ("ftp://h", Err("URL scheme must be 'http' or 'https'")),
            ("h:1/x", Err("URL scheme must be 'http' or 'https'")),
            ("http://", Err("host is missing in URL")),
        ] {
            assert_eq!(checked_url(text).map(drop), expected.map_err(str::to_owned), "{text}");
        }
        let base = Url::parse("http://h/v1/").unwrap();
        assert_eq!(with_path(&base, ["a b", "c/d"]).unwrap().as_str(), "http://h/v1/a%20b/c%2Fd");
    }
}
