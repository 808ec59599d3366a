//! The keys of proxies.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use url::Url;

use crate::Secret;

/// Through which server requests go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ProxyConfig {
    /// The proxy, `http://`, `https://`, `socks5://` or `socks5h://`; may hold a password.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "without_password")]
    pub proxy_url: Option<Secret>,
    /// Hosts to be reached directly, separated by commas.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_proxy: String,
    /// Whether `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` decide.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub proxy_from_environment: bool,
    /// Headers sent with `CONNECT`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
}

impl ProxyConfig {
    pub(crate) fn new(
        proxy_url: Option<Secret>,
        no_proxy: Option<String>,
        proxy_from_environment: bool,
        proxy_connect_header: BTreeMap<String, Vec<Secret>>,
    ) -> Result<Self, String> {
        let proxy_url = proxy_url.filter(|url| !url.is_empty());
        let no_proxy = no_proxy.unwrap_or_default();
        if proxy_from_environment && (proxy_url.is_some() || !no_proxy.is_empty()) {
            let key = if proxy_url.is_some() { "proxy_url" } else { "no_proxy" };
            return Err(format!("if proxy_from_environment is configured, {key} must not be configured"));
        }
        if proxy_url.is_none() && !no_proxy.is_empty() {
            return Err("if no_proxy is configured, proxy_url must also be configured".to_owned());
        }
        if proxy_url.is_none() && !proxy_from_environment && !proxy_connect_header.is_empty() {
            return Err(
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be \
                        configured"
                    .to_owned(),
            );
        }
        if let Some(url) = &proxy_url {
            let parsed = parse(url.expose()).map_err(|err| format!("proxy_url is not a URL: {err}"))?;
            if !matches!(parsed.scheme(), "http" | "https" | "socks5" | "socks5h") {
                return Err(format!(
                    "proxy_url: scheme {:?} is not spoken; use http, https, socks5 or socks5h",
                    parsed.scheme()
                ));
            }
            if parsed.host_str().unwrap_or_default().is_empty() {
                return Err("proxy_url has no host".to_owned());
            }
        }
        Ok(Self { proxy_url, no_proxy, proxy_from_environment, proxy_connect_header })
    }
}

/// The proxy with `xxxxx` for a password, as Prometheus and Alertmanager show it: a mask instead of all of it would be no URL.
fn without_password<S: Serializer>(url: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = url.as_ref().map_or("", Secret::expose);
    let masked = text.split_once("://").and_then(|(scheme, rest)| {
        let (user, host) = rest.split_at(rest[..rest.find('/').unwrap_or(rest.len())].rfind('@')?);
        let (user, _) = user.split_once(':')?;
        Some(format!("{scheme}://{user}:xxxxx{host}"))
    });
    match masked {
        Some(masked) => serializer.serialize_str(&masked),
        // Without a scheme a password has no place that is sure.
        None if text.contains('@') && !text.contains("://") => serializer.serialize_str("<secret>"),
        None => serializer.serialize_str(text),
    }
}

/// `proxy` without a scheme means http, as it does in the environment; Go takes such a text, too.
pub(crate) fn parse(text: &str) -> Result<Url, url::ParseError> {
    Url::parse(text).or_else(|err| match err {
        url::ParseError::RelativeUrlWithoutBase => Url::parse(&format!("http://{text}")),
        err => Err(err),
    })
}
