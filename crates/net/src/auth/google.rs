//! `google_iam`: tokens of Google Cloud.
//!
//! In from a service account's file, the machine's default credentials or the metadata service, in the order of Google's «Application
//! Default Credentials»; out to [`super::Authorizer`].

use std::path::{Path, PathBuf};

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use url::Url;

use super::token::{Token, ask, send};
use super::{Surroundings, failed, jwt};
use crate::client::Request;
use crate::config::join;
use crate::error::HttpError;
use crate::secret::read_secret;

const WAY: &str = "google_iam";
/// What a remote write needs.
const MONITORING_WRITE: &str = "https://www.googleapis.com/auth/monitoring.write";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// How long a statement is good for, in seconds: the longest Google takes.
const STATEMENT_SECS: i64 = 3_600;

/// Who asks for tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GoogleIamConfig {
    /// Of a service account; without it, the machine's default credentials are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// For what; empty for remote writes.
    #[serde(skip)]
    pub scope: String,
}

/// A file as `gcloud` writes it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Account {
    ServiceAccount {
        client_email: String,
        private_key: String,
        #[serde(default)]
        private_key_id: String,
        #[serde(default)]
        token_uri: String,
    },
    AuthorizedUser {
        client_id: String,
        client_secret: String,
        refresh_token: String,
        #[serde(default)]
        token_uri: String,
    },
}

impl GoogleIamConfig {
    /// Takes a relative file name as relative to `dir`.
    pub fn set_directory(&mut self, dir: &Path) {
        join(dir, &mut self.credentials_file);
    }

    /// A new token.
    pub(super) async fn fetch(&self, around: &Surroundings) -> Result<Token, HttpError> {
        let given = self.credentials_file.clone().filter(|path| !path.as_os_str().is_empty());
        let named = given.or_else(|| around.var("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from));
        if let Some(path) = named {
            let text = read_secret(&around.dir, "credentials", &path)?;
            return self.with_account(around, &path, &text).await;
        }
        let folder = around
            .var("CLOUDSDK_CONFIG")
            .map(PathBuf::from)
            .or_else(|| around.var("HOME").map(|home| Path::new(&home).join(".config").join("gcloud")));
        if let Some(path) = folder.map(|folder| folder.join("application_default_credentials.json"))
            && let Ok(text) = read_secret(&around.dir, "credentials", &path)
        {
            return self.with_account(around, &path, &text).await;
        }
        let host = around.var("GCE_METADATA_HOST").unwrap_or_else(|| "169.254.169.254".to_owned());
        let text = format!(
            "http://{host}/computeMetadata/v1/instance/service-accounts/default/token?scopes={}",
            url::form_urlencoded::byte_serialize(self.scope().as_bytes()).collect::<String>()
        );
        let mut request = Request::get(Url::parse(&text).map_err(|err| failed(WAY, text.as_str(), err))?);
        let flavor = HeaderName::from_static("metadata-flavor");
        request.headers.insert(flavor, HeaderValue::from_static("Google"));
        send(around, WAY, &text, request).await
    }

    fn scope(&self) -> &str {
        if self.scope.is_empty() { MONITORING_WRITE } else { &self.scope }
    }

    async fn with_account(&self, around: &Surroundings, path: &Path, text: &str) -> Result<Token, HttpError> {
        let account = serde_json::from_str(text).map_err(|err| {
            let known = "a service account's or authorized user's file is wanted";
            failed(WAY, path.display().to_string(), format!("{known}: {err}"))
        })?;
        let uri = |uri: String| if uri.is_empty() { TOKEN_URI.to_owned() } else { uri };
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let (url, form) = match account {
            Account::ServiceAccount { client_email, private_key, private_key_id, token_uri } => {
                let url = uri(token_uri);
                let now_secs = around.clock.now_ms() / 1_000;
                let header = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": private_key_id });
                let claims = serde_json::json!({
                    "iss": client_email, "scope": self.scope(), "aud": url,
                    "iat": now_secs, "exp": now_secs + STATEMENT_SECS,
                });
                let statement = jwt::signed("RS256", &header, &claims, private_key.as_bytes())
                    .map_err(|err| failed(WAY, path.display().to_string(), err))?;
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned();
                (url, vec![pair("grant_type", grant), pair("assertion", statement)])
            }
            Account::AuthorizedUser { client_id, client_secret, refresh_token, token_uri } => (
                uri(token_uri),
                vec![
                    pair("grant_type", "refresh_token".to_owned()),
                    pair("client_id", client_id),
                    pair("client_secret", client_secret),
                    pair("refresh_token", refresh_token),
                ],
            ),
        };
        ask(around, WAY, &url, &form, None).await
    }
}
