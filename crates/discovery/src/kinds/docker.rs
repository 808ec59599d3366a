//! `docker_sd_configs`: containers of one Docker engine, and the client that `dockerswarm_sd_configs` uses too.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Duration, Labels, LabelsBuilder};
use net::HttpClientConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Kind;
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::{TargetGroup, join_host_port, set_all};
use crate::http::{Api, Place, with_path};

/// Containers that share another's network, one after the other. Chosen: Docker allows one step.
const NETWORK_STEPS_MAX: usize = 16;

/// One element of `docker_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    host: Place,
    port: u16,
    filters: Vec<Filter>,
    host_networking_host: String,
    refresh_interval: Duration,
    match_first_network: bool,
    http: HttpClientConfig,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        host: String,
        port: Option<u16>,
        #[serde(deserialize_with = "model::yaml::null_as_default")]
        filters: Vec<Filter>,
        host_networking_host: Option<String>,
        refresh_interval: Option<Duration>,
        match_first_network: Option<bool>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        Ok(Self {
            host: place(&keys.host)?,
            http: keys.take_http()?,
            port: keys.port.unwrap_or(80),
            filters: keys.filters,
            host_networking_host: keys.host_networking_host.unwrap_or_else(|| "localhost".to_owned()),
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            match_first_network: keys.match_first_network.unwrap_or(true),
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "docker";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let engine = Engine::new(&self.host, &self.http, self.refresh_interval)?;
        Ok(refreshing(context, self.refresh_interval, Docker { config: self.clone(), engine }))
    }
}

/// Which objects a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    name: String,
    #[serde(default, deserialize_with = "model::yaml::null_as_default")]
    values: Vec<String>,
}

/// Where an engine listens: `unix:///var/run/docker.sock`, `tcp://host:2375`, `http://…`, `https://…`.
pub(super) fn place(host: &str) -> Result<Place, String> {
    if host.is_empty() {
        return Err("host missing".to_owned());
    }
    let bad = |reason: &dyn std::fmt::Display| format!("docker host {host:?}: {reason}");
    let (scheme, rest) = host.split_once("://").ok_or_else(|| bad(&"there is no scheme"))?;
    let place = match scheme {
        "unix" => Place::socket(rest, ""),
        "tcp" => Place::url(&format!("http://{rest}")),
        "http" | "https" => Place::url(host),
        _ => return Err(bad(&"use unix, tcp, http or https")),
    };
    place.map_err(|err| bad(&err))
}

/// The API of an engine.
#[derive(Debug)]
pub(super) struct Engine {
    base: Url,
    api: Api,
}

impl Engine {
    pub(super) fn new(host: &Place, http: &HttpClientConfig, timeout: Duration) -> Result<Self, SdError> {
        Ok(Self { base: host.base.clone(), api: Api::at(host, http, timeout)? })
    }

    /// A list of objects.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        filters: &[Filter],
    ) -> Result<Vec<T>, SdError> {
        let mut url = with_path(&self.base, path.iter().copied())?;
        if !filters.is_empty() {
            let mut by_name: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
            for filter in filters {
                let values = by_name.entry(&filter.name).or_default();
                values.extend(filter.values.iter().map(|value| (value.as_str(), true)));
            }
            url.query_pairs_mut().append_pair("filters", &serde_json::json!(by_name).to_string());
        }
        self.api.get_json(&url).await
    }

    /// The labels of every network, by its id; names begin with `prefix`.
    pub(super) async fn network_labels(&self, prefix: &str) -> Result<BTreeMap<String, Labels>, SdError> {
        let networks: Vec<Network> = self.list(&["networks"], &[]).await?;
        let of_network = |network: Network| {
            let mut labels = LabelsBuilder::new();
            for (name, value) in [
                ("id", network.id.as_str()),
                ("name", &network.name),
                ("scope", &network.scope),
                ("internal", if network.internal { "true" } else { "false" }),
                ("ingress", if network.ingress { "true" } else { "false" }),
            ] {
                labels.set(&format!("{prefix}network_{name}"), value);
            }
            set_all(&mut labels, &format!("{prefix}network_label_"), &network.labels);
            (network.id, labels.build())
        };
        Ok(networks.into_iter().map(of_network).collect())
    }
}

/// Sets all of `more`.
pub(super) fn add(labels: &mut LabelsBuilder, more: Option<&Labels>) {
    for (name, value) in more.into_iter().flatten() {
        labels.set(name, value);
    }
}

#[derive(Debug)]
struct Docker {
    config: Config,
    engine: Engine,
}

impl Provider for Docker {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let containers: Vec<Container> =
            self.engine.list(&["containers", "json"], &self.config.filters).await?;
        let networks = self.engine.network_labels("__meta_docker_").await?;
        let by_id: BTreeMap<&str, &Container> =
            containers.iter().map(|container| (container.id.as_str(), container)).collect();
        let of_container =
            |container| targets(&self.config, container, self.networks_of(container, &by_id), &networks);
        let targets = containers.iter().flat_map(of_container).collect();
        Ok(vec![TargetGroup::new("Docker", targets)])
    }
}

impl Docker {
    /// The networks to reach a container by: its own, or those of the container whose network it shares.
    fn networks_of<'a>(
        &self,
        container: &'a Container,
        by_id: &BTreeMap<&str, &'a Container>,
    ) -> Vec<&'a Endpoint> {
        let mut current = container;
        for _ in 0..NETWORK_STEPS_MAX {
            let shared = current.host_config.network_mode.strip_prefix("container:");
            match shared.and_then(|id| by_id.get(id)) {
                Some(next) if current.network_settings.networks.is_empty() => current = next,
                _ => break,
            }
        }
        let networks = current.network_settings.networks.values().flatten();
        if self.config.match_first_network { networks.take(1).collect() } else { networks.collect() }
    }
}

fn targets(
    config: &Config,
    container: &Container,
    networks: Vec<&Endpoint>,
    network_labels: &BTreeMap<String, Labels>,
) -> Vec<Labels> {
    let Some(name) = container.names.first() else { return Vec::new() };
    let mut common = LabelsBuilder::new();
    common
        .set("__meta_docker_container_id", &container.id)
        .set("__meta_docker_container_name", name)
        .set("__meta_docker_container_network_mode", &container.host_config.network_mode)
        .set("__meta_docker_container_image", &container.image)
        .set("__meta_docker_container_image_id", &container.image_id);
    set_all(&mut common, "__meta_docker_container_label_", &container.labels);
    let common = common.build();
    let mut targets = Vec::new();
    for network in networks {
        let ip = if network.ip_address.is_empty() { &network.ipv6_address } else { &network.ip_address };
        let base = || {
            let mut labels = common.to_builder();
            labels.set("__meta_docker_network_ip", ip);
            add(&mut labels, network_labels.get(&network.network_id));
            labels
        };
        let n_before = targets.len();
        for port in container.ports.iter().filter(|port| port.kind == "tcp") {
            let mut labels = base();
            labels
                .set("__meta_docker_port_private", &port.private_port.to_string())
                .set("__address__", &join_host_port(ip, port.private_port));
            if port.public_port > 0 {
                labels
                    .set("__meta_docker_port_public", &port.public_port.to_string())
                    .set("__meta_docker_port_public_ip", &port.ip);
            }
            targets.push(labels.build());
        }
        if targets.len() == n_before {
            let mut labels = base();
            if container.host_config.network_mode == "host" {
                labels.set("__address__", &config.host_networking_host);
            } else {
                labels.set("__address__", &join_host_port(ip, config.port));
            }
            targets.push(labels.build());
        }
    }
    targets
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Container {
    id: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    names: Vec<String>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    ports: Vec<Port>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    labels: BTreeMap<String, String>,
    host_config: HostConfig,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    network_settings: NetworkSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    network_mode: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkSettings {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    networks: BTreeMap<String, Option<Endpoint>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6_address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Port {
    #[serde(rename = "IP")]
    ip: String,
    private_port: u16,
    public_port: u16,
    #[serde(rename = "Type")]
    kind: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Network {
    id: String,
    name: String,
    scope: String,
    internal: bool,
    ingress: bool,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    labels: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};
    use crate::hub::tests::Bench;

    fn check(text: &str, expected: Result<(), &str>) {
        assert_eq!(fake::config::<Config>(text).map(drop), expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn configurations_are_checked() {
        check("{host: 'unix:///var/run/docker.sock'}", Ok(()));
        check("{host: 'tcp://h:2375', filters: [{name: label, values: [a]}]}", Ok(()));
        check("{}", Err("p.yml: host missing"));
        check(
            "{host: 'npipe:////./pipe/x'}",
            Err("p.yml: docker host \"npipe:////./pipe/x\": use unix, tcp, http or https"),
        );
    }

    const CONTAINERS: &str = r#"[
        {"Id": "c1", "Names": ["/web"], "Image": "i", "ImageID": "sha256:1", "Labels": {"com.x/y": "z"},
         "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}, {"PrivatePort": 53, "Type": "udp"}],
         "HostConfig": {"NetworkMode": "b_net"},
         "NetworkSettings": {"Networks": {"b_net": {"NetworkID": "n2", "IPAddress": "10.2.0.2"}, "a_net": {"NetworkID": "n1", "IPAddress": "10.1.0.2"}}}},
        {"Id": "c2", "Names": ["/side"], "HostConfig": {"NetworkMode": "container:c1"}, "NetworkSettings": {"Networks": {}}},
        {"Id": "c3", "Names": ["/host"], "Labels": null, "HostConfig": {"NetworkMode": "host"},
         "NetworkSettings": {"Networks": {"host": {"NetworkID": "n3", "IPAddress": ""}}}},
        {"Id": "c4", "Names": [], "HostConfig": {"NetworkMode": "default"}}
    ]"#;
    const NETWORKS: &str = r#"[{"Id": "n1", "Name": "a_net", "Scope": "local", "Internal": true, "Ingress": false, "Labels": {"k": "v"}}]"#;

    #[tokio::test]
    async fn containers_are_found_with_their_networks() {
        let filters = "?filters=%7B%22label%22%3A%7B%22a%22%3Atrue%7D%7D";
        let fake =
            Fake::start(&[(&format!("/containers/json{filters}"), CONTAINERS), ("/networks", NETWORKS)])
                .await;
        let of = async |more: &str| {
            let text = format!("{{host: '{}', filters: [{{name: label, values: [a]}}]{more}}}", fake.url);
            let mut sub = Bench::new().subscribe(&fake::config::<Config>(&text).unwrap().into());
            sub.changed().await;
            fake::labels(&sub.take().unwrap())
        };
        let net = r#"__meta_docker_network_id="n1", __meta_docker_network_ingress="false", __meta_docker_network_internal="true", __meta_docker_network_ip="10.1.0.2", __meta_docker_network_label_k="v", __meta_docker_network_name="a_net", __meta_docker_network_scope="local""#;
        let expected = [
            format!(r#"{{__address__="10.1.0.2:80", __meta_docker_container_id="c1", __meta_docker_container_image="i", __meta_docker_container_image_id="sha256:1", __meta_docker_container_label_com_x_y="z", __meta_docker_container_name="/web", __meta_docker_container_network_mode="b_net", {net}, __meta_docker_port_private="80", __meta_docker_port_public="8080", __meta_docker_port_public_ip="0.0.0.0"}}"#),
            format!(r#"{{__address__="10.1.0.2:80", __meta_docker_container_id="c2", __meta_docker_container_name="/side", __meta_docker_container_network_mode="container:c1", {net}}}"#),
            r#"{__address__="localhost", __meta_docker_container_id="c3", __meta_docker_container_name="/host", __meta_docker_container_network_mode="host"}"#.to_owned(),
        ];
        assert_eq!(of("").await, expected);
        assert_eq!(of(", match_first_network: false").await.len(), 5);
    }
}
