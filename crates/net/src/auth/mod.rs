//! Who a client says it is when a password in the file is not enough: tokens that run out, and requests that are signed.
//!
//! In from configuration ([`OAuth2`], [`Signing`]); out to [`crate::HttpClient`], which asks for headers before each request.
//! Tokens and credentials are kept in memory until shortly before they end, and fetched by one request at a time. Never
//! logged, never in an error.

mod aws;
mod azure;
mod certificate;
mod google;
mod jwt;
mod oauth2;
pub mod sign;
mod sigv4;
mod token;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use stdx::clock::{Clock, SystemClock};
use stdx::dir::DiskDir;
use url::Url;

pub use aws::{SigV4Config, aws_region, dns_suffix as aws_dns_suffix};
pub use azure::{AzureAdConfig, AzureCredential};
pub use google::GoogleIamConfig;
pub use sigv4::RESERVED as AWS_RESERVED;

use crate::client::{HttpClient, Limits, Response};
use crate::config::{HttpClientConfig, OAuth2};
use crate::error::{BuildError, HttpError};
use crate::secret::secret_value;
use token::{Held, Token};

/// Of an answer with a token, in bytes. As golang.org/x/oauth2 reads.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Of one request for a token. Chosen; the request that waits for it has its own limit, mostly shorter.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How requests are signed beyond what `http_config` can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    /// AWS' signature, version 4.
    SigV4(SigV4Config),
    /// A token of Microsoft Entra ID.
    AzureAd(AzureAdConfig),
    /// A token of Google Cloud.
    GoogleIam(GoogleIamConfig),
}

/// Looks up a variable of the environment.
pub(crate) type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What credentials are found with.
pub(crate) struct Surroundings {
    env: Env,
    dir: DiskDir,
    clock: Arc<dyn Clock>,
    /// Asks for tokens; has no credentials of its own.
    client: Box<HttpClient>,
}

impl Surroundings {
    fn new(config: &HttpClientConfig) -> Result<Self, BuildError> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Self {
            env: Arc::new(env),
            dir: DiskDir::anywhere(),
            clock: Arc::new(SystemClock::new()),
            client: Box::new(HttpClient::new(config)?),
        })
    }

    fn var(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    async fn ask(&self, request: crate::client::Request) -> Result<Response, HttpError> {
        self.ask_within(request, TIMEOUT).await
    }

    async fn ask_within(
        &self,
        request: crate::client::Request,
        timeout: Duration,
    ) -> Result<Response, HttpError> {
        let limits =
            Limits { timeout, body_bytes_max: ANSWER_BYTES_MAX, decoded_bytes_max: ANSWER_BYTES_MAX };
        self.client.request(request, &limits).await
    }
}

enum Way {
    /// With whether the secret goes into the form.
    OAuth2(Box<OAuth2>, AtomicBool),
    Azure(azure::Source),
    Google(GoogleIamConfig),
    SigV4(aws::Signer),
}

/// Adds the headers that only another server's answer can give.
pub(crate) struct Authorizer {
    way: Way,
    around: Surroundings,
    token: Held<Token>,
    keys: Held<aws::Credentials>,
}

impl Authorizer {
    /// For `config` and `signing`; `None` when they need none.
    pub(crate) fn new(
        config: &HttpClientConfig,
        signing: Option<&Signing>,
    ) -> Result<Option<Self>, BuildError> {
        let plain = HttpClientConfig::default();
        let (way, around) = match (signing, &config.oauth2) {
            (Some(Signing::SigV4(sigv4)), _) => {
                let around = Surroundings::new(&plain)?;
                (Way::SigV4(aws::Signer::new(sigv4, &around)?), around)
            }
            (Some(Signing::AzureAd(azure)), _) => {
                let around = Surroundings::new(&plain)?;
                (Way::Azure(azure::Source::new(azure, &around)?), around)
            }
            (Some(Signing::GoogleIam(google)), _) => {
                (Way::Google(google.clone()), Surroundings::new(&plain)?)
            }
            (None, Some(oauth2)) => (
                Way::OAuth2(Box::new(oauth2.clone()), AtomicBool::new(false)),
                Surroundings::new(&oauth2.client_config())?,
            ),
            (None, None) => return Ok(None),
        };
        Ok(Some(Self { way, around, token: Held::default(), keys: Held::default() }))
    }

    /// Adds them. Boxed, since asking for a token is itself a request.
    pub(crate) fn authorize<'a>(
        &'a self,
        method: &'a Method,
        url: &'a Url,
        headers: &'a mut HeaderMap,
        body: &'a [u8],
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), HttpError>> + Send + 'a>> {
        Box::pin(async move {
            let around = &self.around;
            let token = match &self.way {
                Way::SigV4(signer) => {
                    let keys = self.keys.get(|| signer.credentials(around)).await?;
                    return signer.sign(&keys, around.clock.now_ms(), method, url, headers, body);
                }
                Way::OAuth2(oauth2, in_form) => {
                    let secret = oauth2.secret(around)?;
                    self.token.get_for(&secret, || oauth2.fetch(around, &secret, in_form)).await?
                }
                Way::Azure(source) => self.token.get(|| source.fetch(around)).await?,
                Way::Google(google) => self.token.get(|| google.fetch(around)).await?,
            };
            headers.insert(AUTHORIZATION, secret_value(&token.header())?);
            Ok(())
        })
    }
}

/// An error that says who was asked and what for.
fn failed(way: &'static str, from: impl Into<String>, reason: impl std::fmt::Display) -> HttpError {
    HttpError::Auth { way, from: from.into(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
