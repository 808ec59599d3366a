//! `oauth2`: what a client needs for a token. Keys, checks and wording from Prometheus' `common/config`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ProxyConfig, TlsConfig, join, refuse_refs};
use crate::Secret;

/// The grant that is asked for with a signed statement, RFC 7523.
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How to get a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Keys")]
#[expect(missing_docs, reason = "named as in the file, explained in the user's handbook")]
pub struct OAuth2 {
    pub client_id: String,
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub client_secret: Secret,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_certificate_key_id: String,
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub client_certificate_key: Secret,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_key_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub grant_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub signature_algorithm: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub iss: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub audience: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    pub token_url: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoint_params: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsConfig>,
    #[serde(flatten)]
    pub proxy: ProxyConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    client_id: Option<String>,
    client_secret: Secret,
    client_secret_file: Option<PathBuf>,
    client_secret_ref: Option<String>,
    client_certificate_key_id: Option<String>,
    client_certificate_key: Secret,
    client_certificate_key_file: Option<PathBuf>,
    client_certificate_key_ref: Option<String>,
    grant_type: Option<String>,
    signature_algorithm: Option<String>,
    iss: Option<String>,
    audience: Option<String>,
    claims: Option<BTreeMap<String, serde_json::Value>>,
    scopes: Option<Vec<String>>,
    token_url: Option<String>,
    endpoint_params: Option<BTreeMap<String, String>>,
    tls_config: Option<TlsConfig>,
    proxy_url: Option<Secret>,
    no_proxy: Option<String>,
    proxy_from_environment: Option<bool>,
    proxy_connect_header: Option<BTreeMap<String, Vec<Secret>>>,
}

impl TryFrom<Keys> for OAuth2 {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        refuse_refs(&[
            ("client_secret", &keys.client_secret_ref),
            ("client_certificate_key", &keys.client_certificate_key_ref),
        ])?;
        let file = |file: Option<PathBuf>| file.filter(|path| !path.as_os_str().is_empty());
        Ok(Self {
            client_id: keys.client_id.unwrap_or_default(),
            client_secret: keys.client_secret,
            client_secret_file: file(keys.client_secret_file),
            client_certificate_key_id: keys.client_certificate_key_id.unwrap_or_default(),
            client_certificate_key: keys.client_certificate_key,
            client_certificate_key_file: file(keys.client_certificate_key_file),
            grant_type: keys.grant_type.unwrap_or_default(),
            signature_algorithm: keys.signature_algorithm.unwrap_or_default(),
            iss: keys.iss.unwrap_or_default(),
            audience: keys.audience.unwrap_or_default(),
            claims: keys.claims.unwrap_or_default(),
            scopes: keys.scopes.unwrap_or_default(),
            token_url: keys.token_url.unwrap_or_default(),
            endpoint_params: keys.endpoint_params.unwrap_or_default(),
            tls_config: keys.tls_config,
            proxy: ProxyConfig::new(
                keys.proxy_url,
                keys.no_proxy,
                keys.proxy_from_environment.unwrap_or(false),
                keys.proxy_connect_header.unwrap_or_default(),
            )?,
        })
    }
}

impl OAuth2 {
    /// What Prometheus checks of the client's whole configuration.
    pub(crate) fn check(&self) -> Result<(), String> {
        let say = |text: &str| Err(text.to_owned());
        if self.client_id.is_empty() {
            return say("oauth2 client_id must be configured");
        }
        if self.token_url.is_empty() {
            return say("oauth2 token_url must be configured");
        }
        if self.grant_type == JWT_BEARER {
            if !self.client_certificate_key.is_empty() && self.client_certificate_key_file.is_some() {
                return say("at most one of oauth2 client_certificate_key, client_certificate_key_file & \
                     client_certificate_key_ref must be configured using \
                     grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer");
            }
            if !matches!(self.signature_algorithm.as_str(), "" | "RS256" | "RS384" | "RS512") {
                return say("valid signature algorithms are RS256, RS384 and RS512");
            }
        } else if !self.client_secret.is_empty() && self.client_secret_file.is_some() {
            return say(
                "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be \
                        configured using grant-type=client_credentials",
            );
        }
        Ok(())
    }

    pub(crate) fn set_directory(&mut self, dir: &Path) {
        join(dir, &mut self.client_secret_file);
        join(dir, &mut self.client_certificate_key_file);
        if let Some(tls) = &mut self.tls_config {
            tls.set_directory(dir);
        }
    }
}
