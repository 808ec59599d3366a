//! `nomad_sd_configs`: services registered with Nomad itself.

use std::path::Path;

use model::{Duration, Labels, LabelsBuilder};
use net::HttpClientConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Kind;
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::{TargetGroup, join_host_port, surrounded};
use crate::http::{Api, with_path};

/// One element of `nomad_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    server: Url,
    namespace: String,
    region: String,
    tag_separator: String,
    allow_stale: bool,
    refresh_interval: Duration,
    http: HttpClientConfig,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        allow_stale: Option<bool>,
        namespace: Option<String>,
        refresh_interval: Option<Duration>,
        region: Option<String>,
        server: Option<String>,
        tag_separator: Option<String>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let server = keys.server.take().unwrap_or_else(|| "http://localhost:4646".to_owned());
        if server.trim().is_empty() {
            return Err("nomad SD configuration requires a server address".to_owned());
        }
        Ok(Self {
            server: crate::http::checked_url(&server)?,
            http: keys.take_http()?,
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            namespace: keys.namespace.unwrap_or_else(|| "default".to_owned()),
            region: keys.region.unwrap_or_else(|| "global".to_owned()),
            tag_separator: keys.tag_separator.unwrap_or_else(|| ",".to_owned()),
            allow_stale: keys.allow_stale.unwrap_or(true),
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "nomad";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let api = Api::new(&self.http, self.refresh_interval)?;
        let provider = Nomad { config: self.clone(), api };
        Ok(refreshing(context, self.refresh_interval, provider))
    }
}

#[derive(Debug)]
struct Nomad {
    config: Config,
    api: Api,
}

impl Provider for Nomad {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let mut targets = Vec::new();
        let namespaces: Vec<Namespace> = self.get(&["v1", "services"]).await?;
        for service in namespaces.iter().flat_map(|namespace| &namespace.services) {
            let instances: Vec<Instance> = self.get(&["v1", "service", &service.service_name]).await?;
            targets.extend(instances.iter().map(|instance| self.target(instance)));
        }
        Ok(vec![TargetGroup::new("Nomad", targets)])
    }
}

impl Nomad {
    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, SdError> {
        let mut url = with_path(&self.config.server, path.iter().copied())?;
        {
            let mut query = url.query_pairs_mut();
            for (name, value) in [("namespace", &self.config.namespace), ("region", &self.config.region)] {
                if !value.is_empty() {
                    query.append_pair(name, value);
                }
            }
            if self.config.allow_stale {
                query.append_pair("stale", "");
            }
        }
        self.api.get_json(&url).await
    }

    fn target(&self, instance: &Instance) -> Labels {
        let mut labels = LabelsBuilder::new();
        labels
            .set("__address__", &join_host_port(&instance.address, instance.port))
            .set("__meta_nomad_address", &instance.address)
            .set("__meta_nomad_dc", &instance.datacenter)
            .set("__meta_nomad_node_id", &instance.node_id)
            .set("__meta_nomad_namespace", &instance.namespace)
            .set("__meta_nomad_service_address", &instance.address)
            .set("__meta_nomad_service_id", &instance.id)
            .set("__meta_nomad_service_port", &instance.port.to_string())
            .set("__meta_nomad_service", &instance.service_name);
        if !instance.tags.is_empty() {
            labels.set("__meta_nomad_tags", &surrounded(&instance.tags, &self.config.tag_separator));
        }
        labels.build()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Namespace {
    #[serde(default, deserialize_with = "model::yaml::null_as_default")]
    services: Vec<Stub>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stub {
    service_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Instance {
    #[serde(rename = "ID")]
    id: String,
    service_name: String,
    namespace: String,
    #[serde(rename = "NodeID")]
    node_id: String,
    datacenter: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    tags: Vec<String>,
    address: String,
    port: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};
    use crate::hub::tests::Bench;

    #[tokio::test]
    async fn instances_of_all_services_are_found() {
        let query = "?namespace=default&region=global&stale=";
        let fake = Fake::start(&[
            (&format!("/v1/services{query}"), r#"[{"Namespace": "default", "Services": [{"ServiceName": "redis", "Tags": ["a"]}]}]"#),
            (
                &format!("/v1/service/redis{query}"),
                r#"[{"ID": "_nomad-task-1", "ServiceName": "redis", "Namespace": "default", "NodeID": "n1", "Datacenter": "dc1",
                     "JobID": "j", "AllocID": "x", "Tags": ["a", "b"], "Address": "10.0.0.1", "Port": 6379},
                    {"ID": "_2", "ServiceName": "redis", "NodeID": "n2", "Datacenter": "dc1", "Tags": null, "Address": "::1", "Port": 1}]"#,
            ),
        ])
        .await;
        let config: Config = fake::config(&format!("{{server: '{}'}}", fake.url)).unwrap();
        let mut sub = Bench::new().subscribe(&config.into());
        sub.changed().await;
        let expected = [
            r#"{__address__="10.0.0.1:6379", __meta_nomad_address="10.0.0.1", __meta_nomad_dc="dc1", __meta_nomad_namespace="default", __meta_nomad_node_id="n1", __meta_nomad_service="redis", __meta_nomad_service_address="10.0.0.1", __meta_nomad_service_id="_nomad-task-1", __meta_nomad_service_port="6379", __meta_nomad_tags=",a,b,"}"#,
            r#"{__address__="[::1]:1", __meta_nomad_address="::1", __meta_nomad_dc="dc1", __meta_nomad_node_id="n2", __meta_nomad_service="redis", __meta_nomad_service_address="::1", __meta_nomad_service_id="_2", __meta_nomad_service_port="1"}"#,
        ];
        assert_eq!(fake::labels(&sub.take().unwrap()), expected);
        assert_eq!(
            fake::config::<Config>("{server: ''}").unwrap_err(),
            "p.yml: nomad SD configuration requires a server address"
        );
    }
}
