//! `outscale_sd_configs`: virtual machines of Outscale.
//!
//! API version 1: `ReadVms`, signed as AWS' (service `oapi`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Duration, Labels};
use net::auth::{SigV4Config, Signing};
use net::{HttpClientConfig, Secret};
use serde::Deserialize;
use serde_json::Value;
use stdx::dir::Dir;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, text};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::{Api, PAGES_MAX, with_path};

/// One element of `outscale_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    endpoint: Url,
    region: String,
    access_key: String,
    secret_key: Secret,
    secret_key_file: Option<PathBuf>,
    port: u16,
    refresh_interval: Duration,
    http: HttpClientConfig,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        endpoint: Option<String>,
        #[serde(deserialize_with = "model::yaml::null_as_empty")]
        region: Option<String>,
        access_key: String,
        secret_key: Secret,
        secret_key_file: Option<PathBuf>,
        refresh_interval: Option<Duration>,
        port: Option<u16>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let region = keys.region.take().unwrap_or_else(|| "eu-west-2".to_owned());
        if region.is_empty() {
            return Err("outscale SD configuration requires a region".to_owned());
        }
        if keys.access_key.is_empty() {
            return Err("outscale SD configuration requires access_key".to_owned());
        }
        let file = keys.secret_key_file.take().filter(|path| !path.as_os_str().is_empty());
        super::cloud::check_one_secret(&keys.secret_key, file.as_deref())?;
        let endpoint = keys.endpoint.take().filter(|endpoint| !endpoint.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| format!("https://api.{region}.outscale.com/api/v1"));
        Ok(Self {
            endpoint: crate::http::checked_url(&endpoint).map_err(|err| format!("endpoint: {err}"))?,
            region,
            access_key: std::mem::take(&mut keys.access_key),
            secret_key: std::mem::take(&mut keys.secret_key),
            secret_key_file: file,
            port: keys.port.unwrap_or(80),
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            http: keys.take_http()?,
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "outscale";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
        if let Some(file) = &mut self.secret_key_file {
            *file = dir.join(&*file);
        }
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let dir = Arc::clone(&context.dir);
        Ok(refreshing(context, self.refresh_interval, Outscale { config: self.clone(), dir, api: None }))
    }
}

#[derive(Debug)]
struct Outscale {
    config: Config,
    dir: Arc<dyn Dir>,
    /// With the secret it signs with.
    api: Option<(Secret, Api)>,
}

impl Outscale {
    /// A client that signs with the secret as it is now.
    fn api(&mut self) -> Result<&Api, SdError> {
        let Config { secret_key, secret_key_file, .. } = &self.config;
        let secret = super::cloud::read_secret(&*self.dir, secret_key, secret_key_file.as_deref())?;
        let api = match self.api.take() {
            Some((known, api)) if known == secret => api,
            _ => {
                let signing = Signing::SigV4(SigV4Config {
                    region: self.config.region.clone(),
                    access_key: self.config.access_key.clone(),
                    secret_key: secret.clone(),
                    service_name: "oapi".to_owned(),
                    ..SigV4Config::default()
                });
                Api::signed(&self.config.http, self.config.refresh_interval, Some(&signing))?
            }
        };
        Ok(&self.api.insert((secret, api)).1)
    }
}

/// `None` for a machine without addresses.
fn target(vm: &Value, config: &Config) -> Option<Labels> {
    let addresses = [text(vm, "/PrivateIp"), text(vm, "/PublicIp")];
    let address = addresses.iter().find(|address| !address.is_empty())?;
    let mut target = Target::new("__meta_outscale_vm_");
    target.take(
        vm,
        &[
            ("instance_id", "/VmId"),
            ("state", "/State"),
            ("subregion", "/Placement/SubregionName"),
            ("private_ip", "/PrivateIp"),
            ("public_ip", "/PublicIp"),
        ],
    );
    target.set("region", &config.region);
    for tag in items(vm, "/Tags").iter().filter(|tag| !text(tag, "/Key").is_empty()) {
        target.tag("tag_", &text(tag, "/Key"), text(tag, "/Value"));
    }
    Some(target.address(address, config.port).build())
}

impl Provider for Outscale {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let config = self.config.clone();
        let url = with_path(&config.endpoint, ["ReadVms"])?;
        let api = self.api()?;
        let mut targets = Vec::new();
        let mut body = serde_json::json!({});
        for _ in 0..PAGES_MAX {
            let answer: Value = api
                .post_json(&url, &body)
                .await
                .map_err(|err| SdError::other(format!("outscale ReadVms: {err}")))?;
            targets.extend(items(&answer, "/Vms").iter().filter_map(|vm| target(vm, &config)));
            let next = text(&answer, "/NextPageToken");
            if next.is_empty() {
                return Ok(vec![TargetGroup::new(config.region, targets)]);
            }
            body = serde_json::json!({ "NextPageToken": next });
        }
        Err(SdError::other(format!("more than {PAGES_MAX} pages of machines")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    #[tokio::test]
    async fn machines_become_targets() {
        let answer = r#"{"Vms": [{"VmId": "i-1", "State": "running", "PrivateIp": "10.0.0.1", "PublicIp": "1.2.3.4",
            "Placement": {"SubregionName": "eu-west-2a"}, "Tags": [{"Key": "a b", "Value": "c"}]}, {"VmId": "i-2"}]}"#;
        let fake = Fake::start(&[("/api/v1/ReadVms", answer)]).await;
        let text = format!("{{access_key: k, secret_key: s, endpoint: '{}api/v1'}}", fake.url);
        let dir = Arc::new(stdx::dir::DiskDir::anywhere());
        let mut outscale = Outscale { config: fake::config(&text).unwrap(), dir, api: None };
        let expected = concat!(
            r#"{__address__="10.0.0.1:80", __meta_outscale_vm_instance_id="i-1", __meta_outscale_vm_private_ip="10.0.0.1", "#,
            r#"__meta_outscale_vm_public_ip="1.2.3.4", __meta_outscale_vm_region="eu-west-2", __meta_outscale_vm_state="running", "#,
            r#"__meta_outscale_vm_subregion="eu-west-2a", __meta_outscale_vm_tag_a_b="c"}"#,
        );
        for _ in 0..2 {
            assert_eq!(fake::labels(&outscale.refresh().await.unwrap()), [expected]);
        }
        let signed = fake.asked()[0].headers["authorization"].to_str().unwrap().to_owned();
        assert!(signed.contains("/eu-west-2/oapi/aws4_request"), "{signed}");
    }

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        for (text, expected) in [
            ("{}", "outscale SD configuration requires access_key"),
            ("{region: ''}", "outscale SD configuration requires a region"),
            ("{access_key: k}", "one of secret_key & secret_key_file must be configured"),
        ] {
            assert_eq!(fake::config::<Config>(text).unwrap_err(), format!("p.yml: {expected}"));
        }
    }
}
