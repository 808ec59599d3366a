//! `ionos_sd_configs`: servers of a data centre of IONOS Cloud.
//!
//! Cloud API version 6: «List servers» with a depth of 3.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Duration, Labels};
use net::HttpClientConfig;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, surrounded, text, texts};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::{Api, with_path};

const ENDPOINT: &str = "https://api.ionos.com/";

/// One element of `ionos_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    datacenter_id: String,
    port: u16,
    refresh_interval: Duration,
    http: HttpClientConfig,
    /// Elsewhere in tests only.
    endpoint: String,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        datacenter_id: String,
        port: Option<u16>,
        refresh_interval: Option<Duration>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        if keys.datacenter_id.is_empty() {
            return Err("datacenter id can't be empty".to_owned());
        }
        Ok(Self {
            port: keys.port.unwrap_or(80),
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            http: keys.take_http()?,
            datacenter_id: keys.datacenter_id,
            endpoint: ENDPOINT.to_owned(),
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "ionos";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(refreshing(context, self.refresh_interval, Ionos::new(self)?))
    }
}

#[derive(Debug)]
struct Ionos {
    config: Config,
    api: Api,
}

impl Ionos {
    fn new(config: &Config) -> Result<Self, SdError> {
        Ok(Self { config: config.clone(), api: Api::new(&config.http, config.refresh_interval)? })
    }

    /// `None` for a server without addresses.
    fn target(&self, server: &Value, servers_id: &str) -> Option<Labels> {
        let mut by_nic: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut all: Vec<String> = Vec::new();
        // The last interface comes first, as in Prometheus.
        for nic in
            items(server, "/entities/nics/items").iter().filter(|nic| nic.pointer("/properties").is_some())
        {
            let name = Some(text(nic, "/properties/name")).filter(|name| !name.is_empty());
            let ips = texts(nic, "/properties/ips");
            let of_nic = by_nic.entry(name.unwrap_or_else(|| "unnamed".to_owned())).or_default();
            of_nic.splice(0..0, ips.iter().cloned());
            all.splice(0..0, ips);
        }
        let first = all.first()?;
        let mut target = Target::new("__meta_ionos_server_");
        target.address(first, self.config.port);
        target.take(
            server,
            &[
                ("availability_zone", "/properties/availabilityZone"),
                ("cpu_family", "/properties/cpuFamily"),
                ("id", "/id"),
                ("lifecycle", "/metadata/state"),
                ("name", "/properties/name"),
                ("state", "/properties/vmState"),
                ("type", "/properties/type"),
                ("boot_cdrom_id", "/properties/bootCdrom/id"),
                ("boot_volume_id", "/properties/bootVolume/id"),
                ("boot_image_id", "/entities/volumes/items/0/properties/image"),
            ],
        );
        target.set("servers_id", servers_id).set("ip", surrounded(&all, ","));
        for (name, ips) in &by_nic {
            target.tag("nic_ip_", name, surrounded(ips, ","));
        }
        Some(target.build())
    }
}

impl Provider for Ionos {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let base = Url::parse(&self.config.endpoint).map_err(SdError::other)?;
        let path = ["cloudapi", "v6", "datacenters", &self.config.datacenter_id, "servers"];
        let mut url = with_path(&base, path)?;
        url.set_query(Some("depth=3"));
        let answer: Value = self.api.get_json(&url).await?;
        let id = text(&answer, "/id");
        let targets = items(&answer, "/items").iter().filter_map(|server| self.target(server, &id));
        Ok(vec![TargetGroup::new("ionos", targets.collect())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    #[tokio::test]
    async fn servers_with_addresses_become_targets() {
        let answer = r#"{"id": "8feda53f/servers", "items": [
            {"id": "523415e6", "metadata": {"state": "AVAILABLE"},
             "properties": {"name": "prometheus-2", "availabilityZone": "ZONE_1", "vmState": "RUNNING", "cpuFamily": "INTEL_SKYLAKE",
                "type": "ENTERPRISE", "bootCdrom": {"id": "0e4d57f9"}, "bootVolume": null},
             "entities": {"volumes": {"items": [{"properties": {"image": "fbba4d8f"}}]},
                "nics": {"items": [{"properties": {"name": "metrics", "ips": ["85.215.238.118"]}}, {"properties": {"ips": ["85.215.248.84", "10.1.2.3"]}}]}}},
            {"id": "b501942c"}]}"#;
        let path = "/cloudapi/v6/datacenters/8feda53f/servers?depth=3";
        let fake = Fake::start(&[(path, answer)]).await;
        let mut config: Config = fake::config("{datacenter_id: 8feda53f}").unwrap();
        config.endpoint = fake.url.to_string();
        let expected = concat!(
            r#"{__address__="85.215.248.84:80", __meta_ionos_server_availability_zone="ZONE_1", __meta_ionos_server_boot_cdrom_id="0e4d57f9", "#,
            r#"__meta_ionos_server_boot_image_id="fbba4d8f", __meta_ionos_server_cpu_family="INTEL_SKYLAKE", __meta_ionos_server_id="523415e6", "#,
            r#"__meta_ionos_server_ip=",85.215.248.84,10.1.2.3,85.215.238.118,", __meta_ionos_server_lifecycle="AVAILABLE", "#,
            r#"__meta_ionos_server_name="prometheus-2", __meta_ionos_server_nic_ip_metrics=",85.215.238.118,", "#,
            r#"__meta_ionos_server_nic_ip_unnamed=",85.215.248.84,10.1.2.3,", __meta_ionos_server_servers_id="8feda53f/servers", "#,
            r#"__meta_ionos_server_state="RUNNING", __meta_ionos_server_type="ENTERPRISE"}"#,
        );
        let mut ionos = Ionos::new(&config).unwrap();
        assert_eq!(fake::labels(&ionos.refresh().await.unwrap()), [expected]);
        fake.answer(path, 401, &[], "");
        assert!(ionos.refresh().await.is_err());
        assert_eq!(fake::config::<Config>("{}").unwrap_err(), "p.yml: datacenter id can't be empty");
    }
}
