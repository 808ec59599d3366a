//! `oauth2`: a token from an authorization server, by a secret or by a signed statement.
//!
//! In from configuration; out to [`super::Authorizer`]. Keys, checks and wording from Prometheus' `common/config`; RFC 6749 §4.4
//! (client credentials) and RFC 7523 §2.1 (JWT).

use std::sync::atomic::{AtomicBool, Ordering};

use super::token::{Token, ask};
use super::{Surroundings, failed, jwt};
use crate::BuildError;
use crate::config::{HttpClientConfig, JWT_BEARER, OAuth2};
use crate::error::HttpError;
use crate::secret::{basic_header, read_secret};

/// How long a statement is good for, in seconds. From Prometheus.
const STATEMENT_SECS: i64 = 600;

impl OAuth2 {
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
