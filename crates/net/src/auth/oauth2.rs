//! `oauth2`: a token from an authorization server, by a secret or by a signed statement.
//!
//! In from configuration; out to [`super::Authorizer`]. Keys, checks and wording from Prometheus' `common/config`; RFC 6749 §4.4
//! (client credentials) and RFC 7523 §2.1 (JWT).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::token::{Token, ask};
use super::{Surroundings, failed, jwt};
use crate::client::{basic_header, read_secret};
use crate::config::{HttpClientConfig, ProxyConfig, TlsConfig, join, refuse_refs};
use crate::error::HttpError;
use crate::{BuildError, Secret};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long a statement is good for, in seconds. From Prometheus.
const STATEMENT_SECS: i64 = 600;

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

    /// Of the client that asks for tokens.
    pub(super) fn client_config(&self) -> HttpClientConfig {
        HttpClientConfig {
            tls_config: self.tls_config.clone(),
            proxy: self.proxy.clone(),
            ..HttpClientConfig::default()
        }
    }

    /// The secret or the key; files are read again, so that a new secret makes a new token.
    pub(super) fn secret(&self, around: &Surroundings) -> Result<String, BuildError> {
        let (what, file, inline) = match self.grant_type == JWT_BEARER {
            true => {
                ("client_certificate_key", &self.client_certificate_key_file, &self.client_certificate_key)
            }
            false => ("client_secret", &self.client_secret_file, &self.client_secret),
        };
        match file {
            Some(file) => read_secret(&around.dir, what, file),
            None => Ok(inline.expose().to_owned()),
        }
    }

    /// A new token. `in_form`: whether the server was found to want the secret in the form rather than in a header.
    pub(super) async fn fetch(
        &self,
        around: &Surroundings,
        secret: &str,
        in_form: &AtomicBool,
    ) -> Result<Token, HttpError> {
        let way = "oauth2";
        let mut form = match self.grant_type == JWT_BEARER {
            true => {
                let statement = self
                    .statement(secret, around.clock.now_ms() / 1_000)
                    .map_err(|err| failed(way, &self.token_url, err))?;
                vec![("grant_type".to_owned(), JWT_BEARER.to_owned()), ("assertion".to_owned(), statement)]
            }
            false => vec![("grant_type".to_owned(), "client_credentials".to_owned())],
        };
        if !self.scopes.is_empty() {
            form.push(("scope".to_owned(), self.scopes.join(" ")));
        }
        for (name, value) in &self.endpoint_params {
            match form.iter_mut().find(|(known, _)| known == name) {
                Some(grant) if name == "grant_type" => grant.1.clone_from(value),
                Some(_) => {
                    return Err(failed(way, &self.token_url, format!("cannot overwrite parameter {name:?}")));
                }
                None => form.push((name.clone(), value.clone())),
            }
        }
        if self.grant_type == JWT_BEARER {
            return ask(around, way, &self.token_url, &form, None).await;
        }
        // Some servers want the secret in a header, some in the form. As in Go, the header first.
        if !in_form.load(Ordering::Relaxed) {
            let escape =
                |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let basic = basic_header(&escape(&self.client_id), &escape(secret));
            match ask(around, way, &self.token_url, &form, Some(&basic)).await {
                Ok(token) => return Ok(token),
                // Nobody answered: the other way would not be answered either.
                Err(err) if !is_refusal(&err) => return Err(err),
                Err(_) => {}
            }
        }
        form.push(("client_id".to_owned(), self.client_id.clone()));
        if !secret.is_empty() {
            form.push(("client_secret".to_owned(), secret.to_owned()));
        }
        let token = ask(around, way, &self.token_url, &form, None).await?;
        in_form.store(true, Ordering::Relaxed);
        Ok(token)
    }

    /// The signed statement of RFC 7523 §3.
    fn statement(&self, key_pem: &str, now_secs: i64) -> Result<String, String> {
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        let mut claims = serde_json::Map::new();
        claims.insert("iss".to_owned(), or(&self.iss, &self.client_id).into());
        claims.insert("sub".to_owned(), self.client_id.clone().into());
        claims.insert("jti".to_owned(), jwt::random_id().into());
        claims.insert("aud".to_owned(), or(&self.audience, &self.token_url).into());
        claims.insert("iat".to_owned(), now_secs.into());
        claims.insert("exp".to_owned(), (now_secs + STATEMENT_SECS).into());
        if !self.scopes.is_empty() {
            claims.insert("scope".to_owned(), self.scopes.join(" ").into());
        }
        claims.extend(self.claims.clone());
        let algorithm = or(&self.signature_algorithm, "RS256");
        let mut header = serde_json::json!({ "alg": algorithm, "typ": "JWT" });
        if !self.client_certificate_key_id.is_empty() {
            header["kid"] = self.client_certificate_key_id.clone().into();
        }
        jwt::signed(&algorithm, &header, &claims.into(), key_pem.as_bytes())
    }
}

fn is_refusal(err: &HttpError) -> bool {
    matches!(err, HttpError::Auth { reason, .. } if reason.starts_with("server returned") || reason.starts_with('"') || reason.starts_with("server response"))
}
