//! The `alerting:` section of the configuration.
//!
//! In from the binary's configuration file; out to [`crate::Options`] (relabelling) and [`crate::Notifier`]
//! (Alertmanagers). Checked while it is read, so that errors have a line.

use std::path::Path;

use model::relabel::{self, RelabelConfig};
use model::{Duration, Labels};
use net::HttpClientConfig;
use serde::{Deserialize, Deserializer};
use url::Url;

/// `alerting`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertingConfig {
    /// Applied to alerts on their way to every Alertmanager, the embedded one too.
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub alert_relabel_configs: Vec<RelabelConfig>,
    /// External Alertmanagers.
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

impl AlertingConfig {
    /// Takes relative file names as relative to `dir`, the configuration file's own directory.
    pub fn set_directory(&mut self, dir: &Path) {
        for alertmanager in &mut self.alertmanagers {
            alertmanager.http.set_directory(dir);
        }
    }
}

/// One entry of `alerting.alertmanagers`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "AlertmanagerKeys")]
pub struct AlertmanagerConfig {
    /// `http` or `https`
    pub scheme: String,
    /// Before `/api/v2/alerts`.
    pub path_prefix: String,
    /// Of one request.
    pub timeout: Duration,
    /// How to connect.
    pub http: HttpClientConfig,
    /// How requests are signed, for AWS.
    pub signing: Option<net::auth::Signing>,
    /// Addresses with their labels.
    pub static_configs: Vec<StaticConfig>,
    /// Chooses and rewrites addresses.
    pub relabel_configs: Vec<RelabelConfig>,
    /// Applied to alerts on their way here.
    pub alert_relabel_configs: Vec<RelabelConfig>,
}

/// `static_configs`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StaticConfig {
    /// `host:port`
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub targets: Vec<String>,
    /// Set on each.
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub labels: std::collections::BTreeMap<String, String>,
}

macro_rules! refuse {
    ($($key:ident),* $(,)?) => {$(
        fn $key<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
            Err(serde::de::Error::custom(concat!(
                stringify!($key), " is not served for alertmanagers yet: list them under static_configs"
            )))
        }
    )*};
}

refuse! {
    file_sd_configs, dns_sd_configs, http_sd_configs, consul_sd_configs, kubernetes_sd_configs, ec2_sd_configs,
    azure_sd_configs, gce_sd_configs, openstack_sd_configs, docker_sd_configs, dockerswarm_sd_configs,
    hetzner_sd_configs, eureka_sd_configs, nomad_sd_configs, marathon_sd_configs, digitalocean_sd_configs,
}

net::with_http_keys! {
/// The keys as they stand in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AlertmanagerKeys {
    scheme: Option<String>,
    path_prefix: Option<String>,
    timeout: Option<Duration>,
    api_version: Option<String>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    static_configs: Vec<StaticConfig>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    relabel_configs: Vec<RelabelConfig>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    alert_relabel_configs: Vec<RelabelConfig>,
    sigv4: Option<net::auth::SigV4Config>,
    #[serde(deserialize_with = "file_sd_configs")]
    file_sd_configs: (),
    #[serde(deserialize_with = "dns_sd_configs")]
    dns_sd_configs: (),
    #[serde(deserialize_with = "http_sd_configs")]
    http_sd_configs: (),
    #[serde(deserialize_with = "consul_sd_configs")]
    consul_sd_configs: (),
    #[serde(deserialize_with = "kubernetes_sd_configs")]
    kubernetes_sd_configs: (),
    #[serde(deserialize_with = "ec2_sd_configs")]
    ec2_sd_configs: (),
    #[serde(deserialize_with = "azure_sd_configs")]
    azure_sd_configs: (),
    #[serde(deserialize_with = "gce_sd_configs")]
    gce_sd_configs: (),
    #[serde(deserialize_with = "openstack_sd_configs")]
    openstack_sd_configs: (),
    #[serde(deserialize_with = "docker_sd_configs")]
    docker_sd_configs: (),
    #[serde(deserialize_with = "dockerswarm_sd_configs")]
    dockerswarm_sd_configs: (),
    #[serde(deserialize_with = "hetzner_sd_configs")]
    hetzner_sd_configs: (),
    #[serde(deserialize_with = "eureka_sd_configs")]
    eureka_sd_configs: (),
    #[serde(deserialize_with = "nomad_sd_configs")]
    nomad_sd_configs: (),
    #[serde(deserialize_with = "marathon_sd_configs")]
    marathon_sd_configs: (),
    #[serde(deserialize_with = "digitalocean_sd_configs")]
    digitalocean_sd_configs: (),
}
}

impl TryFrom<AlertmanagerKeys> for AlertmanagerConfig {
    type Error = String;

    fn try_from(mut keys: AlertmanagerKeys) -> Result<Self, String> {
        let http = keys.take_http()?;
        let is_authorized =
            http.basic_auth.is_some() || http.authorization.is_some() || http.oauth2.is_some();
        if keys.sigv4.is_some() && is_authorized {
            return Err(
                "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured".to_owned()
            );
        }
        if let Some(version) = keys.api_version.filter(|version| version != "v2") {
            return Err(format!("expected Alertmanager api version to be one of [v2] but got {version}"));
        }
        let scheme = keys.scheme.unwrap_or_else(|| "http".to_owned());
        if scheme != "http" && scheme != "https" {
            return Err(format!("scheme must be http or https, not {scheme:?}"));
        }
        let timeout = keys.timeout.unwrap_or(Duration::from_secs(10));
        if timeout.is_zero() {
            return Err("timeout must be greater than 0".to_owned());
        }
        let config = Self {
            scheme,
            path_prefix: keys.path_prefix.unwrap_or_default(),
            timeout,
            http,
            signing: keys.sigv4.map(net::auth::Signing::SigV4),
            static_configs: keys.static_configs,
            relabel_configs: keys.relabel_configs,
            alert_relabel_configs: keys.alert_relabel_configs,
        };
        // An address that cannot be used is said now, not when the first alert is lost.
        config.urls()?;
        Ok(config)
    }
}

impl AlertmanagerConfig {
    /// Where alerts are posted, once relabelled, each URL once.
    ///
    /// # Errors
    /// When an address makes no URL.
    pub fn urls(&self) -> Result<Vec<Url>, String> {
        let mut urls: Vec<Url> = Vec::new();
        for entry in &self.static_configs {
            for target in &entry.targets {
                if target.contains('/') {
                    return Err(format!(
                        "{target:?} is not a valid hostname: give host:port, without scheme or path"
                    ));
                }
                let mut labels = Labels::from_pairs(&entry.labels).to_builder();
                labels.set("__address__", target).set("__scheme__", &self.scheme);
                labels.set(
                    "__alerts_path__",
                    &format!("/{}/api/v2/alerts", self.path_prefix.trim_matches('/')),
                );
                let Some(labels) = relabel::process(&labels.build(), &self.relabel_configs) else { continue };
                let part = |name: &str| labels.get(name).unwrap_or("");
                let path = part("__alerts_path__").replace("//", "/");
                let text = format!("{}://{}{path}", part("__scheme__"), part("__address__"));
                let url = Url::parse(&text).map_err(|err| format!("alertmanager address {text:?}: {err}"))?;
                if !urls.contains(&url) {
                    urls.push(url);
                }
            }
        }
        Ok(urls)
    }
}
