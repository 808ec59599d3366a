//! `stackit_sd_configs`: servers of a project of STACKIT.
//!
//! IaaS API version 1: «List servers». With a service account's key a token is asked for by a signed statement (RFC 7523).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Duration, Labels};
use net::config::OAuth2;
use net::{HttpClientConfig, Secret};
use serde::Deserialize;
use serde_json::Value;
use stdx::dir::Dir;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, pairs, text};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::{Api, with_path};

const TOKEN_URL: &str = "https://service-account.api.stackit.cloud/token";

/// One element of `stackit_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    project: String,
    endpoint: Url,
    port: u16,
    account: Option<Account>,
    refresh_interval: Duration,
    http: HttpClientConfig,
    /// Elsewhere in tests only.
    token_url: String,
}

/// Where a service account's keys are.
#[derive(Debug, Clone, PartialEq)]
struct Account {
    key: Secret,
    key_path: PathBuf,
    private_key: Secret,
    private_key_path: PathBuf,
    /// STACKIT's own file of credentials, which may hold a private key that is named nowhere else.
    credentials_path: PathBuf,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        project: String,
        refresh_interval: Option<Duration>,
        port: Option<u16>,
        #[serde(deserialize_with = "model::yaml::null_as_empty")]
        region: Option<String>,
        endpoint: Option<String>,
        service_account_key: Secret,
        private_key: Secret,
        service_account_key_path: PathBuf,
        private_key_path: PathBuf,
        credentials_file_path: PathBuf,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let region = keys.region.take().unwrap_or_else(|| "eu01".to_owned());
        let endpoint = keys.endpoint.take().unwrap_or_default();
        if endpoint.is_empty() && region.is_empty() {
            return Err("stackit_sd: endpoint and region missing".to_owned());
        }
        let text =
            if endpoint.is_empty() { format!("https://iaas.api.{region}.stackit.cloud") } else { endpoint };
        let has_account =
            !keys.service_account_key.is_empty() || !keys.service_account_key_path.as_os_str().is_empty();
        let account = has_account.then(|| Account {
            key: std::mem::take(&mut keys.service_account_key),
            key_path: std::mem::take(&mut keys.service_account_key_path),
            private_key: std::mem::take(&mut keys.private_key),
            private_key_path: std::mem::take(&mut keys.private_key_path),
            credentials_path: std::mem::take(&mut keys.credentials_file_path),
        });
        Ok(Self {
            endpoint: crate::http::checked_url(&text)
                .map_err(|err| format!("stackit_sd: invalid endpoint {text:?}: {err}"))?,
            port: keys.port.unwrap_or(80),
            account,
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            http: keys.take_http()?,
            project: keys.project,
            token_url: TOKEN_URL.to_owned(),
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "stackit";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let dir = Arc::clone(&context.dir);
        Ok(refreshing(context, self.refresh_interval, Stackit::new(self, &*dir)?))
    }
}

#[derive(Debug)]
struct Stackit {
    config: Config,
    api: Api,
}

impl Account {
    /// The account's key as a way to get tokens.
    fn oauth2(&self, dir: &dyn Dir, token_url: &str) -> Result<OAuth2, SdError> {
        let read = |inline: &Secret, path: &Path| match inline.is_empty() && !path.as_os_str().is_empty() {
            true => dir.read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(|err| {
                SdError::other(format!("setting up authentication: {}: {err}", path.display()))
            }),
            false => Ok(inline.expose().to_owned()),
        };
        let key: Value = serde_json::from_str(&read(&self.key, &self.key_path)?).map_err(|err| {
            SdError::other(format!("setting up authentication: the service account key is not JSON: {err}"))
        })?;
        let own = text(&key, "/credentials/privateKey");
        let nothing = Secret::default();
        let mut private = read(&self.private_key, &self.private_key_path)?;
        if private.is_empty() && !self.credentials_path.as_os_str().is_empty() {
            let file = read(&nothing, &self.credentials_path)?;
            let file: Value = serde_json::from_str(&file).map_err(|err| {
                SdError::other(format!(
                    "setting up authentication: the file of credentials is not JSON: {err}"
                ))
            })?;
            // As STACKIT's library: the path is looked at first.
            let path = PathBuf::from(text(&file, "/STACKIT_PRIVATE_KEY_PATH"));
            let key = Secret::new(text(&file, "/STACKIT_PRIVATE_KEY"));
            private = read(if path.as_os_str().is_empty() { &key } else { &nothing }, &path)?;
        }
        Ok(OAuth2 {
            client_id: text(&key, "/credentials/sub"),
            iss: text(&key, "/credentials/iss"),
            audience: text(&key, "/credentials/aud"),
            client_certificate_key_id: text(&key, "/credentials/kid"),
            client_certificate_key: Secret::new(if private.is_empty() { own } else { private }),
            grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned(),
            signature_algorithm: "RS512".to_owned(),
            token_url: token_url.to_owned(),
            ..OAuth2::default()
        })
    }
}

impl Stackit {
    fn new(config: &Config, dir: &dyn Dir) -> Result<Self, SdError> {
        let mut http = config.http.clone();
        if let Some(account) = &config.account {
            let oauth2 = account.oauth2(dir, &config.token_url)?;
            http.oauth2 =
                Some(OAuth2 { tls_config: http.tls_config.clone(), proxy: http.proxy.clone(), ..oauth2 });
        }
        Ok(Self { config: config.clone(), api: Api::new(&http, config.refresh_interval)? })
    }

    /// `None` for a server without addresses.
    fn target(&self, server: &Value) -> Option<Labels> {
        let mut target = Target::new("__meta_stackit_");
        target.take(
            server,
            &[
                ("id", "/id"),
                ("name", "/name"),
                ("availability_zone", "/availabilityZone"),
                ("status", "/status"),
                ("power_status", "/powerStatus"),
                ("type", "/machineType"),
            ],
        );
        target.set("project", &self.config.project);
        let nics = items(server, "/nics");
        for nic in nics.iter().filter(|nic| !text(nic, "/ipv4").is_empty()) {
            target.tag("private_ipv4_", &text(nic, "/networkName"), text(nic, "/ipv4"));
        }
        let first = |place: &str| nics.iter().map(|nic| text(nic, place)).find(|address| !address.is_empty());
        let public = first("/publicIp");
        target.set("public_ipv4", public.as_deref().unwrap_or_default());
        for (name, value) in pairs(server, "/labels") {
            if let Some(value) = value.as_str() {
                target.tag("labelpresent_", name, true).tag("label_", name, value);
            }
        }
        let address = public.or_else(|| first("/ipv4"))?;
        Some(target.address(&address, self.config.port).build())
    }
}

impl Provider for Stackit {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let mut url = with_path(&self.config.endpoint, ["v1", "projects", &self.config.project, "servers"])?;
        url.set_query(Some("details=true"));
        let answer: Value = self.api.get_json(&url).await?;
        let targets = items(&answer, "/items").iter().filter_map(|server| self.target(server));
        Ok(vec![TargetGroup::new("stackit", targets.collect())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    const SERVERS: &str = r#"{"items": [{"availabilityZone": "eu01-3", "id": "b4176700", "labels": {"a-b": "true", "n": 1}, "machineType": "g1.1",
        "name": "runcommandtest", "powerStatus": "STOPPED", "status": "INACTIVE",
        "nics": [{"ipv4": "10.0.0.153", "networkName": "test", "publicIp": "192.0.2.1"}]}, {"id": "ee337436", "nics": []}]}"#;
    /// Of nobody: made for these tests.
    const KEY: &str = include_str!("../../../net/src/auth/testdata/rsa.pem");

    #[tokio::test]
    async fn servers_become_targets_with_a_token_for_the_service_account() {
        let path = "/v1/projects/p/servers?details=true";
        let fake =
            Fake::start(&[(path, SERVERS), ("/token", r#"{"access_token": "t", "expires_in": 3600}"#)]).await;
        let key = serde_json::json!({"credentials": {"sub": "s", "iss": "i", "aud": "a", "kid": "k", "privateKey": KEY}});
        let text = format!(
            "{{project: p, endpoint: '{}', service_account_key: {}}}",
            fake.url,
            serde_json::to_string(&key.to_string()).unwrap()
        );
        let mut config: Config = fake::config(&text).unwrap();
        config.token_url = fake.url.join("token").unwrap().to_string();
        let mut stackit = Stackit::new(&config, &stdx::dir::DiskDir::anywhere()).unwrap();
        let expected = concat!(
            r#"{__address__="192.0.2.1:80", __meta_stackit_availability_zone="eu01-3", __meta_stackit_id="b4176700", __meta_stackit_label_a_b="true", "#,
            r#"__meta_stackit_labelpresent_a_b="true", __meta_stackit_name="runcommandtest", __meta_stackit_power_status="STOPPED", "#,
            r#"__meta_stackit_private_ipv4_test="10.0.0.153", __meta_stackit_project="p", __meta_stackit_public_ipv4="192.0.2.1", "#,
            r#"__meta_stackit_status="INACTIVE", __meta_stackit_type="g1.1"}"#,
        );
        assert_eq!(fake::labels(&stackit.refresh().await.unwrap()), [expected]);
        assert_eq!(fake.asked().pop().unwrap().headers["authorization"], "Bearer t");
        fake.answer(path, 403, &[], "no");
        assert!(stackit.refresh().await.unwrap_err().to_string().ends_with("403 Forbidden: no"));
    }

    #[tokio::test]
    async fn the_private_key_may_stand_in_stackits_own_file() {
        let fake = Fake::start(&[
            ("/v1/projects/p/servers?details=true", SERVERS),
            ("/token", r#"{"access_token": "t", "expires_in": 3600}"#),
        ])
        .await;
        let key =
            serde_json::json!({"credentials": {"sub": "s", "iss": "i", "aud": "a", "kid": "k"}}).to_string();
        let text = format!(
            "{{project: p, endpoint: '{}', service_account_key: '{key}', credentials_file_path: c.json}}",
            fake.url
        );
        let mut config: Config = fake::config(&text).unwrap();
        config.token_url = fake.url.join("token").unwrap().to_string();
        for file in [
            serde_json::json!({"STACKIT_PRIVATE_KEY": KEY}),
            serde_json::json!({"STACKIT_PRIVATE_KEY_PATH": "key.pem", "STACKIT_PRIVATE_KEY": "not this one"}),
        ] {
            let dir = stdx::MemDir::new();
            dir.write_atomic(Path::new("c.json"), file.to_string().as_bytes()).unwrap();
            dir.write_atomic(Path::new("key.pem"), KEY.as_bytes()).unwrap();
            let mut stackit = Stackit::new(&config, &dir).unwrap();
            assert_eq!(stackit.refresh().await.unwrap()[0].targets.len(), 1);
            assert_eq!(fake.asked().pop().unwrap().headers["authorization"], "Bearer t");
        }
        let why = Stackit::new(&config, &stdx::MemDir::new()).unwrap_err().to_string();
        assert!(why.contains("c.json"), "{why}");
    }

    #[test]
    fn the_region_makes_the_address() {
        let config: Config = fake::config("{project: p, region: eu02}").unwrap();
        assert_eq!(config.endpoint.as_str(), "https://iaas.api.eu02.stackit.cloud/");
        let err = fake::config::<Config>("{region: ''}").unwrap_err();
        assert_eq!(err, "p.yml: stackit_sd: endpoint and region missing");
    }
}
