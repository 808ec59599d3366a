//! `gce_sd_configs`: instances of Google Compute Engine.
//!
//! Compute API version 1: `instances.list` of a project and zone, with the machine's default credentials.

use model::{Duration, Labels};
use net::HttpClientConfig;
use net::auth::{GoogleIamConfig, Signing};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, pairs, text, texts};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::{ADDRESS, TargetGroup};
use crate::http::{Api, PAGES_MAX, with_path};

const ENDPOINT: &str = "https://compute.googleapis.com/";
const SCOPE: &str = "https://www.googleapis.com/auth/compute.readonly";

/// One element of `gce_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    project: String,
    zone: String,
    filter: String,
    port: u16,
    tag_separator: String,
    refresh_interval: Duration,
    /// Elsewhere, and without credentials, in tests only.
    endpoint: String,
    signing: Option<Signing>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    project: String,
    zone: String,
    filter: Option<String>,
    refresh_interval: Option<Duration>,
    port: Option<u16>,
    tag_separator: Option<String>,
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        if keys.project.is_empty() {
            return Err("GCE SD configuration requires a project".to_owned());
        }
        if keys.zone.is_empty() {
            return Err("GCE SD configuration requires a zone".to_owned());
        }
        let google = GoogleIamConfig { credentials_file: None, scope: SCOPE.to_owned() };
        Ok(Self {
            project: keys.project,
            zone: keys.zone,
            filter: keys.filter.unwrap_or_default(),
            port: keys.port.unwrap_or(80),
            tag_separator: keys.tag_separator.unwrap_or_else(|| ",".to_owned()),
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            endpoint: ENDPOINT.to_owned(),
            signing: Some(Signing::GoogleIam(google)),
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "gce";

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(refreshing(context, self.refresh_interval, Gce::new(self)?))
    }
}

#[derive(Debug)]
struct Gce {
    config: Config,
    api: Api,
}

impl Gce {
    fn new(config: &Config) -> Result<Self, SdError> {
        let http = HttpClientConfig::default();
        let api = Api::signed(&http, config.refresh_interval, config.signing.as_ref())?;
        Ok(Self { config: config.clone(), api })
    }

    /// `None` for an instance without a network.
    fn target(&self, instance: &Value) -> Option<Labels> {
        let interfaces = items(instance, "/networkInterfaces");
        let first = interfaces.first()?;
        let mut target = Target::new("__meta_gce_");
        target.take(
            instance,
            &[
                ("zone", "/zone"),
                ("instance_id", "/id"),
                ("instance_name", "/name"),
                ("instance_status", "/status"),
                ("machine_type", "/machineType"),
            ],
        );
        target.take(
            first,
            &[("network", "/network"), ("subnetwork", "/subnetwork"), ("private_ip", "/networkIP")],
        );
        target.set("project", &self.config.project);
        for interface in interfaces {
            target.tag("interface_ipv4_", &text(interface, "/name"), text(interface, "/networkIP"));
        }
        target.list_by("tags", &texts(instance, "/tags/items"), &self.config.tag_separator);
        for item in items(instance, "/metadata/items") {
            target.tag("metadata_", &text(item, "/key"), text(item, "/value"));
        }
        for (name, value) in pairs(instance, "/labels") {
            target.tag("label_", name, value.as_str().unwrap_or_default());
        }
        if text(first, "/accessConfigs/0/type") == "ONE_TO_ONE_NAT" {
            target.set("public_ip", text(first, "/accessConfigs/0/natIP"));
        }
        let address = format!("{}:{}", text(first, "/networkIP"), self.config.port);
        Some(target.plain(ADDRESS, &address).build())
    }
}

impl Provider for Gce {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let Config { project, zone, .. } = &self.config;
        let base = Url::parse(&self.config.endpoint).map_err(SdError::other)?;
        let path = ["compute", "v1", "projects", project, "zones", zone, "instances"];
        let list = with_path(&base, path)?;
        let mut targets = Vec::new();
        let mut next = String::new();
        for _ in 0..PAGES_MAX {
            let mut url = list.clone();
            for (name, value) in [("filter", &self.config.filter), ("pageToken", &next)] {
                if !value.is_empty() {
                    url.query_pairs_mut().append_pair(name, value);
                }
            }
            let answer: Value =
                self.api.get_json(&url).await.map_err(|err| {
                    SdError::other(format!("error retrieving refresh targets from gce: {err}"))
                })?;
            targets.extend(items(&answer, "/items").iter().filter_map(|instance| self.target(instance)));
            next = text(&answer, "/nextPageToken");
            if next.is_empty() {
                return Ok(vec![TargetGroup::new(format!("GCE_{project}_{zone}"), targets)]);
            }
        }
        Err(SdError::other(format!("more than {PAGES_MAX} pages of instances")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    #[tokio::test]
    async fn instances_of_all_pages_become_targets() {
        let first = r#"{"items": [{"id": "17", "name": "web", "zone": "https://c/zones/z", "status": "RUNNING", "machineType": "https://c/n1",
            "networkInterfaces": [{"name": "nic0", "network": "https://c/net", "subnetwork": "https://c/sub", "networkIP": "10.0.0.2",
                "accessConfigs": [{"type": "ONE_TO_ONE_NAT", "natIP": "34.1.2.3"}]}, {"name": "nic-1", "networkIP": "10.9.0.2"}],
            "tags": {"items": ["http", "x"]}, "metadata": {"items": [{"key": "k-1", "value": "v"}, {"key": "n"}]}, "labels": {"env": "prod"}},
            {"id": "18"}], "nextPageToken": "two"}"#;
        let second = r#"{"items": [{"id": "19", "networkInterfaces": [{"networkIP": "10.0.0.3"}]}]}"#;
        let fake = Fake::start(&[
            ("/compute/v1/projects/p/zones/z/instances?filter=labels.a%3Db", first),
            ("/compute/v1/projects/p/zones/z/instances?filter=labels.a%3Db&pageToken=two", second),
        ])
        .await;
        let mut config: Config =
            fake::config("{project: p, zone: z, filter: labels.a=b, tag_separator: ';'}").unwrap();
        (config.endpoint, config.signing) = (fake.url.to_string(), None);
        let expected = concat!(
            r#"{__address__="10.0.0.2:80", __meta_gce_instance_id="17", __meta_gce_instance_name="web", __meta_gce_instance_status="RUNNING", "#,
            r#"__meta_gce_interface_ipv4_nic0="10.0.0.2", __meta_gce_interface_ipv4_nic_1="10.9.0.2", __meta_gce_label_env="prod", "#,
            r#"__meta_gce_machine_type="https://c/n1", __meta_gce_metadata_k_1="v", __meta_gce_network="https://c/net", "#,
            r#"__meta_gce_private_ip="10.0.0.2", __meta_gce_project="p", __meta_gce_public_ip="34.1.2.3", __meta_gce_subnetwork="https://c/sub", "#,
            r#"__meta_gce_tags=";http;x;", __meta_gce_zone="https://c/zones/z"}"#,
        );
        let second = r#"{__address__="10.0.0.3:80", __meta_gce_instance_id="19", __meta_gce_interface_ipv4_="10.0.0.3", __meta_gce_private_ip="10.0.0.3", __meta_gce_project="p"}"#;
        let groups = Gce::new(&config).unwrap().refresh().await.unwrap();
        assert_eq!(groups[0].source, "GCE_p_z");
        assert_eq!(fake::labels(&groups), [expected, second]);
    }

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        for (text, expected) in [("{}", "requires a project"), ("{project: p}", "requires a zone")] {
            let got = fake::config::<Config>(text).unwrap_err();
            assert_eq!(got, format!("p.yml: GCE SD configuration {expected}"));
        }
    }
}
