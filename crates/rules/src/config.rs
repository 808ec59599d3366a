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

/// The keys as they stand in the file; those of [`net::config::HttpClientKeys`] are listed among them.
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
    sigv4: Option<serde::de::IgnoredAny>,
    basic_auth: Option<net::BasicAuth>,
    authorization: Option<net::Authorization>,
    oauth2: Option<serde::de::IgnoredAny>,
    bearer_token: Option<net::Secret>,
    bearer_token_file: Option<std::path::PathBuf>,
    tls_config: Option<net::TlsConfig>,
    proxy_url: Option<net::Secret>,
    no_proxy: Option<String>,
    proxy_from_environment: Option<bool>,
    proxy_connect_header: Option<std::collections::BTreeMap<String, Vec<net::Secret>>>,
    follow_redirects: Option<bool>,
    enable_http2: Option<bool>,
    http_headers: Option<std::collections::BTreeMap<String, net::config::HeaderConfig>>,
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

impl TryFrom<AlertmanagerKeys> for AlertmanagerConfig {
    type Error = String;

    fn try_from(keys: AlertmanagerKeys) -> Result<Self, String> {
        if keys.sigv4.is_some() {
            return Err("sigv4 is not served yet: remove it".to_owned());
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
        let http = HttpClientConfig::try_from(net::config::HttpClientKeys {
            basic_auth: keys.basic_auth,
            authorization: keys.authorization,
            oauth2: keys.oauth2,
            bearer_token: keys.bearer_token,
            bearer_token_file: keys.bearer_token_file,
            tls_config: keys.tls_config,
            proxy_url: keys.proxy_url,
            no_proxy: keys.no_proxy,
            proxy_from_environment: keys.proxy_from_environment,
            proxy_connect_header: keys.proxy_connect_header,
            follow_redirects: keys.follow_redirects,
            enable_http2: keys.enable_http2,
            http_headers: keys.http_headers,
        })?;
        let config = Self {
            scheme,
            path_prefix: keys.path_prefix.unwrap_or_default(),
            timeout,
            http,
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
