//! `azuread`: tokens of Microsoft Entra ID.
//!
//! In from configuration, environment and the metadata service; out to [`super::Authorizer`]. Keys, checks and wording from Prometheus'
//! `storage/remote/azuread`; requests from Microsoft's «OAuth 2.0 client credentials flow» and «managed identities».

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use stdx::dir::Dir;
use url::Url;

use super::certificate::Signer;
use super::token::{Token, ask, send};
use super::{Surroundings, failed, jwt, sign};
use crate::Secret;
use crate::client::Request;
use crate::error::{BuildError, HttpError};
use crate::secret::{read_secret, secret_value};

const WAY: &str = "azuread";
/// Where a Kubernetes cluster of Azure puts a pod's token, unless the environment says otherwise.
const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";
const TOKEN_FILE_VAR: &str = "AZURE_FEDERATED_TOKEN_FILE";
const METADATA_URL: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
/// How long a statement is good for, in seconds. As Microsoft's libraries make them.
const STATEMENT_SECS: i64 = 600;

/// Who asks for tokens, where and for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Keys")]
pub struct AzureAdConfig {
    /// `AzurePublic`, `AzureGovernment` or `AzureChina`.
    pub cloud: String,
    /// For what; empty for the cloud's own ingestion of remote writes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Who asks.
    #[serde(flatten)]
    pub credential: AzureCredential,
    /// Where tokens are given out; empty for the cloud's own address.
    #[serde(skip)]
    pub authority: String,
}

/// Who asks for tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named as in the file, explained in the user's handbook")]
pub enum AzureCredential {
    ManagedIdentity {
        client_id: String,
    },
    WorkloadIdentity {
        client_id: String,
        tenant_id: String,
        token_file_path: String,
    },
    Oauth {
        client_id: String,
        client_secret: Secret,
        tenant_id: String,
    },
    Sdk {
        tenant_id: String,
    },
    Certificate {
        client_id: String,
        tenant_id: String,
        certificate_path: String,
        certificate_key_path: String,
        /// Of a PFX file.
        #[serde(skip_serializing_if = "Secret::is_empty")]
        certificate_password: Secret,
        send_certificate_chain: bool,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    managed_identity: Option<ManagedIdentity>,
    workload_identity: Option<WorkloadIdentity>,
    oauth: Option<Oauth>,
    sdk: Option<Sdk>,
    certificate: Option<Certificate>,
    cloud: Option<String>,
    scope: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ManagedIdentity {
    client_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WorkloadIdentity {
    client_id: Option<String>,
    tenant_id: Option<String>,
    token_file_path: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Oauth {
    client_id: Option<String>,
    client_secret: Secret,
    tenant_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sdk {
    tenant_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Certificate {
    client_id: Option<String>,
    tenant_id: Option<String>,
    certificate_path: Option<String>,
    certificate_key_path: Option<String>,
    certificate_password: Secret,
    send_certificate_chain: Option<bool>,
}

/// Whether `text` is a UUID in one of the ways Go's google/uuid reads.
fn is_uuid(text: &str) -> bool {
    let text = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let text = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<_> = text.split('-').collect();
    match parts.as_slice() {
        [one] => one.len() == 32 && is_hex(one),
        parts => {
            parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| is_hex(part))
        }
    }
}

fn required(value: Option<String>, what: &str) -> Result<String, String> {
    let missing = || format!("must provide an Azure {what} in the Azure AD config");
    value.filter(|text| !text.is_empty()).ok_or_else(missing)
}

fn checked_uuid(id: String, what: &str) -> Result<String, String> {
    if is_uuid(&id) { Ok(id) } else { Err(format!("the provided Azure {what} is invalid")) }
}

impl TryFrom<Keys> for AzureAdConfig {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let cloud = keys.cloud.filter(|cloud| !cloud.is_empty()).unwrap_or_else(|| "AzurePublic".to_owned());
        if !matches!(cloud.as_str(), "AzureChina" | "AzureGovernment" | "AzurePublic") {
            return Err("must provide a cloud in the Azure AD config".to_owned());
        }
        let given = [
            keys.managed_identity.map(managed_identity),
            keys.workload_identity.map(workload_identity),
            keys.oauth.map(oauth),
            keys.sdk.map(|sdk| Ok(AzureCredential::Sdk { tenant_id: sdk.tenant_id.unwrap_or_default() })),
            keys.certificate.map(certificate),
        ];
        let mut given = given.into_iter().flatten();
        let credential = given.next().ok_or(
            "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, Azure \
             Certificate or Azure SDK in the Azure AD config",
        )?;
        if given.next().is_some() {
            return Err("cannot provide multiple authentication methods in the Azure AD config".to_owned());
        }
        let credential = credential?;
        let scope = keys.scope.unwrap_or_default();
        let is_known = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "_:/.-".contains(c);
        if !scope.chars().all(is_known) {
            return Err("the provided scope contains invalid characters".to_owned());
        }
        Ok(Self { cloud, scope, credential, authority: String::new() })
    }
}

fn managed_identity(keys: ManagedIdentity) -> Result<AzureCredential, String> {
    let client_id = keys.client_id.unwrap_or_default();
    if !client_id.is_empty() && !is_uuid(&client_id) {
        return Err("the provided Azure Managed Identity client_id is invalid".to_owned());
    }
    Ok(AzureCredential::ManagedIdentity { client_id })
}

fn workload_identity(keys: WorkloadIdentity) -> Result<AzureCredential, String> {
    let client_id = required(keys.client_id, "Workload Identity client_id")?;
    let tenant_id = required(keys.tenant_id, "Workload Identity tenant_id")?;
    Ok(AzureCredential::WorkloadIdentity {
        client_id: checked_uuid(client_id, "Workload Identity client_id")?,
        tenant_id: checked_uuid(tenant_id, "Workload Identity tenant_id")?,
        token_file_path: keys.token_file_path.unwrap_or_default(),
    })
}

fn oauth(keys: Oauth) -> Result<AzureCredential, String> {
    let client_id = required(keys.client_id, "OAuth client_id")?;
    if keys.client_secret.is_empty() {
        return Err("must provide an Azure OAuth client_secret in the Azure AD config".to_owned());
    }
    let tenant_id = required(keys.tenant_id, "OAuth tenant_id")?;
    let client_id = checked_uuid(client_id, "OAuth client_id")?;
    Ok(AzureCredential::Oauth { client_id, client_secret: keys.client_secret, tenant_id })
}

fn certificate(keys: Certificate) -> Result<AzureCredential, String> {
    let client_id = required(keys.client_id, "Certificate client_id")?;
    let tenant_id = required(keys.tenant_id, "Certificate tenant_id")?;
    let certificate_path = required(keys.certificate_path, "Certificate certificate_path")?;
    Ok(AzureCredential::Certificate {
        client_id: checked_uuid(client_id, "Certificate client_id")?,
        tenant_id,
        certificate_path,
        certificate_key_path: keys.certificate_key_path.unwrap_or_default(),
        certificate_password: keys.certificate_password,
        send_certificate_chain: keys.send_certificate_chain.unwrap_or(false),
    })
}

/// Asks.
pub(crate) struct Source {
    credential: AzureCredential,
    scope: String,
    authority: String,
}

impl Source {
    pub(crate) fn new(config: &AzureAdConfig, around: &Surroundings) -> Result<Self, BuildError> {
        let (authority, scope) = match config.cloud.as_str() {
            "AzureChina" => ("https://login.chinacloudapi.cn", "https://monitor.azure.cn//.default"),
            "AzureGovernment" => ("https://login.microsoftonline.us", "https://monitor.azure.us//.default"),
            _ => ("https://login.microsoftonline.com", "https://monitor.azure.com//.default"),
        };
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        let authority =
            or(&or(&config.authority, &around.var("AZURE_AUTHORITY_HOST").unwrap_or_default()), authority);
        Ok(Self {
            credential: config.credential.clone(),
            scope: or(&config.scope, scope),
            authority: authority.trim_end_matches('/').to_owned(),
        })
    }

    /// A new token.
    pub(super) async fn fetch(&self, around: &Surroundings) -> Result<Token, HttpError> {
        match &self.credential {
            AzureCredential::ManagedIdentity { client_id } => self.of_machine(around, client_id).await,
            AzureCredential::WorkloadIdentity { client_id, tenant_id, token_file_path } => {
                self.of_pod(around, client_id, tenant_id, token_file_path).await
            }
            AzureCredential::Oauth { client_id, client_secret, tenant_id } => {
                self.ask(
                    around,
                    tenant_id,
                    client_id,
                    vec![("client_secret", client_secret.expose().to_owned())],
                )
                .await
            }
            AzureCredential::Sdk { tenant_id } => self.of_surroundings(around, tenant_id).await,
            AzureCredential::Certificate { .. } => self.with_certificate(around).await,
        }
    }

    async fn ask(
        &self,
        around: &Surroundings,
        tenant_id: &str,
        client_id: &str,
        proof: Vec<(&str, String)>,
    ) -> Result<Token, HttpError> {
        let mut form = vec![
            ("grant_type".to_owned(), "client_credentials".to_owned()),
            ("client_id".to_owned(), client_id.to_owned()),
            ("scope".to_owned(), self.scope.clone()),
        ];
        form.extend(proof.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let url = format!("{}/{tenant_id}/oauth2/v2.0/token", self.authority);
        ask(around, WAY, &url, &form, None).await
    }

    /// With the identity of the machine or the app service this runs in.
    async fn of_machine(&self, around: &Surroundings, client_id: &str) -> Result<Token, HttpError> {
        let resource = self.scope.strip_suffix("/.default").unwrap_or(&self.scope);
        let service = around.var("IDENTITY_ENDPOINT").zip(around.var("IDENTITY_HEADER"));
        let text = match &service {
            Some((endpoint, _)) => endpoint.clone(),
            None => around.var("AZURE_POD_IDENTITY_AUTHORITY_HOST").map_or_else(
                || METADATA_URL.to_owned(),
                |host| format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/')),
            ),
        };
        let mut url = Url::parse(&text).map_err(|err| failed(WAY, text.as_str(), err))?;
        let version = if service.is_some() { "2019-08-01" } else { "2018-02-01" };
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", resource);
        if !client_id.is_empty() {
            url.query_pairs_mut().append_pair("client_id", client_id);
        }
        let mut request = Request::get(url);
        match service {
            Some((_, header)) => {
                request.headers.insert(HeaderName::from_static("x-identity-header"), secret_value(&header)?)
            }
            None => {
                request.headers.insert(HeaderName::from_static("metadata"), HeaderValue::from_static("true"))
            }
        };
        send(around, WAY, &text, request).await
    }

    async fn of_pod(
        &self,
        around: &Surroundings,
        client_id: &str,
        tenant_id: &str,
        file: &str,
    ) -> Result<Token, HttpError> {
        let file = match file {
            "" => around.var(TOKEN_FILE_VAR).unwrap_or_else(|| TOKEN_FILE.to_owned()),
            file => file.to_owned(),
        };
        let token = read_secret(&around.dir, "token_file_path", Path::new(&file))?;
        // Discovery may leave them to the environment, where Azure puts them beside the token.
        let or_env = |id: &str, name: &str| match id {
            "" => around.var(name).unwrap_or_default(),
            id => id.to_owned(),
        };
        let (tenant_id, client_id) =
            (or_env(tenant_id, "AZURE_TENANT_ID"), or_env(client_id, "AZURE_CLIENT_ID"));
        self.ask(around, &tenant_id, &client_id, assertion(token)).await
    }

    /// As Microsoft's default: a secret or a pod's token from the environment, then the machine.
    async fn of_surroundings(&self, around: &Surroundings, tenant_id: &str) -> Result<Token, HttpError> {
        let client_id = around.var("AZURE_CLIENT_ID").unwrap_or_default();
        let tenant = match tenant_id {
            "" => around.var("AZURE_TENANT_ID").unwrap_or_default(),
            tenant_id => tenant_id.to_owned(),
        };
        if !client_id.is_empty() && !tenant.is_empty() {
            if let Some(secret) = around.var("AZURE_CLIENT_SECRET") {
                return self.ask(around, &tenant, &client_id, vec![("client_secret", secret)]).await;
            }
            if around.var(TOKEN_FILE_VAR).is_some() {
                return self.of_pod(around, &client_id, &tenant, "").await;
            }
        }
        self.of_machine(around, &client_id).await
    }

    async fn with_certificate(&self, around: &Surroundings) -> Result<Token, HttpError> {
        let AzureCredential::Certificate {
            client_id,
            tenant_id,
            certificate_path,
            certificate_key_path,
            certificate_password,
            send_certificate_chain,
        } = &self.credential
        else {
            return Err(failed(WAY, self.authority.as_str(), "there is no certificate"));
        };
        let read = |what, path: &str| {
            let path = Path::new(path);
            around.dir.read(path).map_err(|why| BuildError::File { what, path: path.to_owned(), why })
        };
        let file = read("certificate_path", certificate_path)?;
        let key = match certificate_key_path.as_str() {
            "" => None,
            path => Some(read("certificate_key_path", path)?),
        };
        let bad = |reason: String| failed(WAY, certificate_path.as_str(), reason);
        let Signer { chain, key_pem } =
            super::certificate::read(&file, key, certificate_password.expose()).map_err(bad)?;
        let audience = format!("{}/{tenant_id}/oauth2/v2.0/token", self.authority);
        let now_secs = around.clock.now_ms() / 1_000;
        let mut header = serde_json::json!({
            "alg": "PS256", "typ": "JWT", "x5t#S256": URL_SAFE_NO_PAD.encode(sign::sha256(&chain[0])),
        });
        if *send_certificate_chain {
            header["x5c"] = chain.iter().map(|cert| STANDARD.encode(cert)).collect();
        }
        let claims = serde_json::json!({
            "aud": audience, "iss": client_id, "sub": client_id, "jti": jwt::random_id(),
            "nbf": now_secs, "iat": now_secs, "exp": now_secs + STATEMENT_SECS,
        });
        let statement = jwt::signed("PS256", &header, &claims, &key_pem).map_err(bad)?;
        self.ask(around, tenant_id, client_id, assertion(statement)).await
    }
}

/// A signed statement in place of a secret.
fn assertion(statement: String) -> Vec<(&'static str, String)> {
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned();
    vec![("client_assertion_type", kind), ("client_assertion", statement)]
}
