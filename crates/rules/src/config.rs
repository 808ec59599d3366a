//! The `alerting:` section of the configuration.
//!
//! In from the binary's configuration file; out to [`crate::Options`] (relabelling) and [`crate::Notifier`]
//! (Alertmanagers). Checked while it is read, so that errors have a line.

use std::path::Path;

use discovery::group::ADDRESS;
use discovery::{SdConfig, TargetGroup};
use model::relabel::{self, RelabelConfig};
use model::{Duration, Labels};
use net::HttpClientConfig;
use serde::Deserialize;
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
            alertmanager.sd.iter_mut().for_each(|sd| sd.set_directory(dir));
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
    /// Where addresses come from.
    pub sd: Vec<SdConfig>,
    /// Chooses and rewrites addresses.
    pub relabel_configs: Vec<RelabelConfig>,
    /// Applied to alerts on their way here.
    pub alert_relabel_configs: Vec<RelabelConfig>,
}

discovery::with_kinds! {
/// The keys as they stand in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AlertmanagerKeys {
    scheme: Option<String>,
    path_prefix: Option<String>,
    timeout: Option<Duration>,
    api_version: Option<String>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    relabel_configs: Vec<RelabelConfig>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    alert_relabel_configs: Vec<RelabelConfig>,
    sigv4: Option<net::auth::SigV4Config>,
}
}

impl TryFrom<AlertmanagerKeys> for AlertmanagerConfig {
    type Error = String;

    fn try_from(mut keys: AlertmanagerKeys) -> Result<Self, String> {
        let (http, sd) = (keys.take_http()?, keys.take_sd());
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
            sd,
            relabel_configs: keys.relabel_configs,
            alert_relabel_configs: keys.alert_relabel_configs,
        };
        // An address that cannot be used is said now, not when the first alert is lost.
        if let Some(SdConfig::Static(groups)) = config.sd.first() {
            config.urls(groups).into_iter().find_map(Result::err).map_or(Ok(()), Err)?;
        }
        Ok(config)
    }
}

impl AlertmanagerConfig {
    /// Where alerts are posted of what was found, once relabelled; an error for each address that makes no URL.
    pub fn urls<'a>(&self, groups: impl IntoIterator<Item = &'a TargetGroup>) -> Vec<Result<Url, String>> {
        let mut urls = Vec::new();
        for group in groups {
            urls.extend(group.targets.iter().filter_map(|target| self.url(group, target)));
        }
        urls
    }

    /// `None` when a rule drops it.
    fn url(&self, group: &TargetGroup, target: &Labels) -> Option<Result<Url, String>> {
        let mut labels = group.merged(target);
        labels
            .set("__scheme__", &self.scheme)
            .set("__alerts_path__", &format!("/{}/api/v2/alerts", self.path_prefix.trim_matches('/')));
        let labels = relabel::process(&labels.build(), &self.relabel_configs)?;
        let part = |name: &str| labels.get(name).unwrap_or("");
        // Rules may have made an address of what was a URL.
        let address = part(ADDRESS);
        if address.contains('/') {
            let hint = "is not a valid hostname: give host:port, without scheme or path";
            return Some(Err(format!("{address:?} {hint}")));
        }
        let path = part("__alerts_path__").replace("//", "/");
        let text = format!("{}://{address}{path}", part("__scheme__"));
        Some(Url::parse(&text).map_err(|err| format!("alertmanager address {text:?}: {err}")))
    }
}
