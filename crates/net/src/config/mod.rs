//! `http_config` as Prometheus defines it: authentication, TLS, proxy, headers of a client.
//!
//! In from configuration files; out to [`crate::HttpClient`]. Checked while it is read, so that errors have a line.
//! Semantics and wording from Prometheus' `common/config`.

mod credentials;
mod oauth2;
pub(crate) mod proxy;
mod tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Secret;
pub use credentials::{Authorization, BasicAuth};
pub(crate) use oauth2::JWT_BEARER;
pub use oauth2::OAuth2;
pub use proxy::ProxyConfig;
pub use tls::{TlsConfig, TlsVersion};

/// Headers that belong to other settings or to HTTP itself, and so cannot be set by `http_headers`.
const RESERVED_HEADERS: [&str; 22] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Headers that `headers` of remote write, remote read and tracing cannot set. From Prometheus.
const RESERVED_PLAIN_HEADERS: [&str; 16] = [
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

/// Checks `headers`, the older form with one value each; an `Authorization` among them is refused with the words `no_authorization`.
///
/// # Errors
/// With the header that cannot be set.
pub fn check_plain_headers(headers: &BTreeMap<String, String>, no_authorization: &str) -> Result<(), String> {
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        if lower == "authorization" {
            return Err(no_authorization.to_owned());
        }
        if RESERVED_PLAIN_HEADERS.contains(&lower.as_str()) {
            return Err(format!("{name} is a reserved header. It must not be changed"));
        }
        if http::HeaderName::try_from(name.as_str()).is_err() || http::HeaderValue::from_str(value).is_err() {
            return Err(format!("header {name:?} has characters that HTTP forbids"));
        }
    }
    Ok(())
}

/// How a client connects and who it says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "HttpClientKeys")]
pub struct HttpClientConfig {
    /// User name and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// The `Authorization` header; `bearer_token` and `bearer_token_file` end up here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// Tokens from an authorization server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2>,
    /// Certificates, and what of the server's is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsConfig>,
    /// Through which server requests go.
    #[serde(flatten)]
    pub proxy: ProxyConfig,
    /// Whether 3xx answers are followed, up to ten times.
    pub follow_redirects: bool,
    /// Whether HTTP/2 is spoken over TLS with servers that offer it.
    pub enable_http2: bool,
    /// More headers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub http_headers: BTreeMap<String, HeaderConfig>,
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            tls_config: None,
            proxy: ProxyConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            http_headers: BTreeMap::new(),
        }
    }
}

impl HttpClientConfig {
    /// Takes relative file names as relative to `dir`, the configuration file's own directory.
    pub fn set_directory(&mut self, dir: &Path) {
        if let Some(auth) = &mut self.basic_auth {
            join(dir, &mut auth.username_file);
            join(dir, &mut auth.password_file);
        }
        if let Some(auth) = &mut self.authorization {
            join(dir, &mut auth.credentials_file);
        }
        if let Some(oauth2) = &mut self.oauth2 {
            oauth2.set_directory(dir);
        }
        if let Some(tls) = &mut self.tls_config {
            tls.set_directory(dir);
        }
        for header in self.http_headers.values_mut() {
            for file in &mut header.files {
                *file = dir.join(&*file);
            }
        }
    }
}

pub(crate) fn join(dir: &Path, file: &mut Option<PathBuf>) {
    if let Some(path) = file {
        *path = dir.join(&*path);
    }
}

/// The keys as they stand in a file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "named as in the file, explained at HttpClientConfig")]
pub struct HttpClientKeys {
    pub basic_auth: Option<BasicAuth>,
    pub authorization: Option<Authorization>,
    pub oauth2: Option<OAuth2>,
    pub bearer_token: Option<Secret>,
    pub bearer_token_file: Option<PathBuf>,
    pub tls_config: Option<TlsConfig>,
    pub proxy_url: Option<Secret>,
    pub no_proxy: Option<String>,
    pub proxy_from_environment: Option<bool>,
    pub proxy_connect_header: Option<BTreeMap<String, Vec<Secret>>>,
    pub follow_redirects: Option<bool>,
    pub enable_http2: Option<bool>,
    pub http_headers: Option<BTreeMap<String, HeaderConfig>>,
}

/// Checks what no single key can tell.
impl TryFrom<HttpClientKeys> for HttpClientConfig {
    type Error = String;

    fn try_from(keys: HttpClientKeys) -> Result<Self, String> {
        let bearer_token = keys.bearer_token.filter(|token| !token.is_empty());
        let bearer_token_file = keys.bearer_token_file.filter(|file| !file.as_os_str().is_empty());
        let n_bearer = usize::from(bearer_token.is_some()) + usize::from(bearer_token_file.is_some());
        if n_bearer > 1 {
            return Err("at most one of bearer_token & bearer_token_file must be configured".to_owned());
        }
        if n_bearer > 0 && (keys.basic_auth.is_some() || keys.oauth2.is_some()) {
            return Err(
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"
                    .to_owned(),
            );
        }
        if n_bearer > 0 && keys.authorization.is_some() {
            return Err("authorization is not compatible with bearer_token & bearer_token_file".to_owned());
        }
        let n_auth = [keys.basic_auth.is_some(), keys.oauth2.is_some(), keys.authorization.is_some()];
        if n_auth.into_iter().filter(|is_set| *is_set).count() > 1 {
            return Err("at most one of basic_auth, oauth2 & authorization must be configured".to_owned());
        }
        if let Some(oauth2) = &keys.oauth2 {
            oauth2.check()?;
        }
        let bearer = Authorization {
            credentials: bearer_token.unwrap_or_default(),
            credentials_file: bearer_token_file,
            ..Authorization::default()
        };
        let authorization = if n_bearer > 0 { Some(bearer) } else { keys.authorization };
        let http_headers = keys.http_headers.unwrap_or_default();
        check_headers(&http_headers)?;
        Ok(Self {
            basic_auth: keys.basic_auth,
            authorization,
            oauth2: keys.oauth2,
            tls_config: keys.tls_config,
            proxy: ProxyConfig::new(
                keys.proxy_url,
                keys.no_proxy,
                keys.proxy_from_environment.unwrap_or(false),
                keys.proxy_connect_header.unwrap_or_default(),
            )?,
            follow_redirects: keys.follow_redirects.unwrap_or(true),
            enable_http2: keys.enable_http2.unwrap_or(true),
            http_headers,
        })
    }
}

/// Keys that name a secret of a secret manager. Prometheus reads them for programs that bring one; itself it has none, and its clients
/// fail with these words.
pub(crate) fn refuse_refs(refs: &[(&str, &Option<String>)]) -> Result<(), String> {
    let is_given = |name: &&Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    match refs.iter().find(|(_, name)| is_given(name)) {
        Some((key, _)) => Err(format!(
            "cannot use secret ref without manager: there is none here, nor in Prometheus; use {key}_file instead of {key}_ref"
        )),
        None => Ok(()),
    }
}

fn check_headers(headers: &BTreeMap<String, HeaderConfig>) -> Result<(), String> {
    for name in headers.keys() {
        let lower = name.to_ascii_lowercase();
        if RESERVED_HEADERS.contains(&lower.as_str()) {
            return Err(format!("setting header {name:?} is not allowed"));
        }
        if http::HeaderName::try_from(lower.as_str()).is_err() {
            return Err(format!("header name {name:?} is not valid"));
        }
    }
    Ok(())
}

/// The values of one header.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderConfig {
    /// Values that may be shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Values that may not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// Files that hold values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        // As it stands in real files: below a key.
        let text = format!("http_config: {{{text}}}");
        let got = match model::yaml::parse::<BTreeMap<String, HttpClientConfig>>("c.yml", &text) {
            Ok(config) => serde_json::to_string(&config["http_config"]).unwrap(),
            Err(err) => err.to_string(),
        };
        assert_eq!(got, expected, "{text}");
    }

    const REST: &str = r#""follow_redirects":true,"enable_http2":true}"#;

    #[test]
    fn reads_and_shows_without_secrets() {
        check("", &format!("{{{REST}"));
        check(
            "basic_auth: {username: u, password: hunter2}",
            &format!(r#"{{"basic_auth":{{"username":"u","password":"<secret>"}},{REST}"#),
        );
        check(
            "bearer_token: hunter2",
            &format!(r#"{{"authorization":{{"type":"Bearer","credentials":"<secret>"}},{REST}"#),
        );
        check(
            "proxy_url: http://u:hunter2@proxy:3128, follow_redirects: no",
            r#"{"proxy_url":"http://u:xxxxx@proxy:3128","follow_redirects":false,"enable_http2":true}"#,
        );
    }

    #[test]
    fn refuses_with_the_known_words() {
        check(
            "basic_auth: {username: u}, authorization: {credentials: x}",
            "c.yml:1:14: at most one of basic_auth, oauth2 & authorization must be configured",
        );
        check(
            "bearer_token: a, bearer_token_file: b",
            "c.yml:1:14: at most one of bearer_token & bearer_token_file must be configured",
        );
        check(
            "authorization: {type: Basic}",
            "c.yml:1:30: authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
        );
        check("basic_auht: {}", "c.yml:1:15: field basic_auht not found, did you mean basic_auth?");
        check(
            "tls_config: {cert_file: a}",
            "c.yml:1:27: exactly one of key or key_file must be configured when a client certificate is configured",
        );
        check("no_proxy: a", "c.yml:1:14: if no_proxy is configured, proxy_url must also be configured");
        check(
            "proxy_url: socks4://a:1",
            "c.yml:1:14: proxy_url: scheme \"socks4\" is not spoken; use http, https, socks5 or socks5h",
        );
        check("proxy_url: 'socks5:a'", "c.yml:1:14: proxy_url has no host");
        check(
            "basic_auth: {username: u, password_ref: x}",
            "c.yml:1:27: cannot use secret ref without manager: there is none here, nor in Prometheus; use password_file instead of password_ref",
        );
        check(
            "tls_config: {ca_ref: x}",
            "c.yml:1:27: cannot use secret ref without manager: there is none here, nor in Prometheus; use ca_file instead of ca_ref",
        );
        check(
            "http_headers: {Authorization: {values: [a]}}",
            "c.yml:1:14: setting header \"Authorization\" is not allowed",
        );
    }

    #[test]
    fn relative_files_follow_the_configuration_file() {
        let mut config: HttpClientConfig = model::yaml::parse(
            "c.yml",
            "authorization: {credentials_file: token}\ntls_config: {ca_file: /ca.pem}",
        )
        .unwrap();
        config.set_directory(Path::new("/etc/hinomi"));
        assert_eq!(config.authorization.unwrap().credentials_file.unwrap(), Path::new("/etc/hinomi/token"));
        assert_eq!(config.tls_config.unwrap().ca_file.unwrap(), Path::new("/ca.pem"));
    }
}
