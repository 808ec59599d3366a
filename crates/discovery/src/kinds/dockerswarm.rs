//! `dockerswarm_sd_configs`: services, tasks or nodes of a Docker Swarm.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Duration, Labels, LabelsBuilder};
use net::HttpClientConfig;
use serde::Deserialize;

use super::Kind;
use super::docker::{Engine, Filter, add, place};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::{TargetGroup, join_host_port, set_all};
use crate::http::Place;

/// One element of `dockerswarm_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    host: Place,
    role: Role,
    port: u16,
    filters: Vec<Filter>,
    refresh_interval: Duration,
    http: HttpClientConfig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Services,
    Tasks,
    Nodes,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        host: String,
        role: String,
        port: Option<u16>,
        #[serde(deserialize_with = "model::yaml::null_as_default")]
        filters: Vec<Filter>,
        refresh_interval: Option<Duration>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let host = place(&keys.host)?;
        let role = match keys.role.as_str() {
            "services" => Role::Services,
            "tasks" => Role::Tasks,
            "nodes" => Role::Nodes,
            "" => return Err("role missing (one of: tasks, services, nodes)".to_owned()),
            role => return Err(format!("invalid role {role}, expected tasks, services, or nodes")),
        };
        Ok(Self {
            host,
            role,
            http: keys.take_http()?,
            port: keys.port.unwrap_or(80),
            filters: keys.filters,
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "dockerswarm";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let engine = Engine::new(&self.host, &self.http, self.refresh_interval)?;
        Ok(refreshing(context, self.refresh_interval, Swarm { config: self.clone(), engine }))
    }
}

#[derive(Debug)]
struct Swarm {
    config: Config,
    engine: Engine,
}

impl Provider for Swarm {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let targets = match self.config.role {
            Role::Services => self.services().await,
            Role::Tasks => self.tasks().await,
            Role::Nodes => self.nodes().await,
        };
        Ok(vec![TargetGroup::new("DockerSwarm", targets?)])
    }
}

impl Swarm {
    async fn services(&self) -> Result<Vec<Labels>, SdError> {
        let services: Vec<Service> = self.engine.list(&["services"], &self.config.filters).await?;
        let networks = self.engine.network_labels("__meta_dockerswarm_").await?;
        let mut targets = Vec::new();
        for service in &services {
            let mut common = service.labels();
            if let Some(container) = &service.spec.task_template.container_spec {
                common
                    .set("__meta_dockerswarm_service_task_container_hostname", &container.hostname)
                    .set("__meta_dockerswarm_service_task_container_image", &container.image);
            }
            if let Some(status) = &service.update_status {
                common.set("__meta_dockerswarm_service_updating_status", &status.state);
            }
            for ip in &service.endpoint.virtual_ips {
                let mut base = common.clone();
                add(&mut base, networks.get(&ip.network_id));
                let host = address(&ip.addr)?;
                let n_before = targets.len();
                for port in service.endpoint.ports.iter().filter(|port| port.protocol == "tcp") {
                    let mut labels = base.clone();
                    labels
                        .set("__meta_dockerswarm_service_endpoint_port_name", &port.name)
                        .set("__meta_dockerswarm_service_endpoint_port_publish_mode", &port.publish_mode)
                        .set("__address__", &join_host_port(host, port.published_port));
                    targets.push(labels.build());
                }
                if targets.len() == n_before {
                    targets.push(base.set("__address__", &join_host_port(host, self.config.port)).build());
                }
            }
        }
        Ok(targets)
    }

    async fn nodes(&self) -> Result<Vec<Labels>, SdError> {
        let nodes: Vec<Node> = self.engine.list(&["nodes"], &self.config.filters).await?;
        let of_node = |node: &Node| {
            let mut labels = node.labels();
            labels
                .set("__meta_dockerswarm_node_engine_version", &node.description.engine.engine_version)
                .set("__address__", &join_host_port(&node.status.addr, self.config.port));
            if let Some(manager) = &node.manager_status {
                labels
                    .set(
                        "__meta_dockerswarm_node_manager_leader",
                        if manager.leader { "true" } else { "false" },
                    )
                    .set("__meta_dockerswarm_node_manager_reachability", &manager.reachability)
                    .set("__meta_dockerswarm_node_manager_address", &manager.addr);
            }
            labels.build()
        };
        Ok(nodes.iter().map(of_node).collect())
    }

    async fn tasks(&self) -> Result<Vec<Labels>, SdError> {
        let tasks: Vec<TaskState> = self.engine.list(&["tasks"], &self.config.filters).await?;
        let services: Vec<Service> = self.engine.list(&["services"], &[]).await?;
        let services: BTreeMap<&str, &Service> = services.iter().map(|one| (one.id.as_str(), one)).collect();
        let nodes: Vec<Node> = self.engine.list(&["nodes"], &[]).await?;
        let nodes: BTreeMap<&str, &Node> = nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let networks = self.engine.network_labels("__meta_dockerswarm_").await?;
        let mut targets = Vec::new();
        for task in &tasks {
            let service = services.get(task.service_id.as_str());
            let node = nodes.get(task.node_id.as_str());
            let mut common = task.labels();
            add(&mut common, service.map(|service| service.labels().build()).as_ref());
            add(&mut common, node.map(|node| node.labels().build()).as_ref());
            let mode = "__meta_dockerswarm_task_port_publish_mode";
            for port in task.status.port_status.ports.iter().filter(|port| port.protocol == "tcp") {
                let host = node.map_or("", |node| node.status.addr.as_str());
                let mut labels = common.clone();
                labels.set(mode, &port.publish_mode);
                labels.set("__address__", &join_host_port(host, port.published_port));
                targets.push(labels.build());
            }
            for network in &task.networks_attachments {
                let mut base = common.clone();
                add(&mut base, networks.get(&network.network.id));
                for with_mask in &network.addresses {
                    let host = address(with_mask)?;
                    let n_before = targets.len();
                    let ports = service.into_iter().flat_map(|service| &service.endpoint.ports);
                    for port in ports.filter(|port| port.protocol == "tcp") {
                        let mut labels = base.clone();
                        labels.set(mode, &port.publish_mode);
                        labels.set("__address__", &join_host_port(host, port.published_port));
                        targets.push(labels.build());
                    }
                    if targets.len() == n_before {
                        let mut labels = base.clone();
                        targets
                            .push(labels.set("__address__", &join_host_port(host, self.config.port)).build());
                    }
                }
            }
        }
        Ok(targets)
    }
}

/// `10.0.0.2/24` → `10.0.0.2`.
fn address(with_mask: &str) -> Result<&str, SdError> {
    let (address, _) = with_mask.split_once('/').ok_or_else(|| {
        SdError::Other(format!("error while parsing address {with_mask}: invalid CIDR address"))
    })?;
    Ok(address)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    spec: ServiceSpec,
    endpoint: ServiceEndpoint,
    update_status: Option<UpdateStatus>,
}

impl Service {
    fn labels(&self) -> LabelsBuilder {
        let mode = match (&self.spec.mode.global, &self.spec.mode.replicated) {
            (Some(_), _) => "global",
            (None, Some(_)) => "replicated",
            (None, None) => "",
        };
        let mut labels = LabelsBuilder::new();
        labels
            .set("__meta_dockerswarm_service_id", &self.id)
            .set("__meta_dockerswarm_service_name", &self.spec.name)
            .set("__meta_dockerswarm_service_mode", mode);
        set_all(&mut labels, "__meta_dockerswarm_service_label_", &self.spec.labels);
        labels
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ServiceSpec {
    name: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    labels: BTreeMap<String, String>,
    mode: Mode,
    task_template: TaskTemplate,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Mode {
    global: Option<serde::de::IgnoredAny>,
    replicated: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TaskTemplate {
    container_spec: Option<ContainerSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ContainerSpec {
    image: String,
    hostname: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ServiceEndpoint {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    ports: Vec<Port>,
    #[serde(rename = "VirtualIPs", deserialize_with = "model::yaml::null_as_default")]
    virtual_ips: Vec<VirtualIp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Port {
    name: String,
    protocol: String,
    published_port: u16,
    publish_mode: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct VirtualIp {
    #[serde(rename = "NetworkID")]
    network_id: String,
    addr: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct UpdateStatus {
    state: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TaskState {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "ServiceID")]
    service_id: String,
    #[serde(rename = "NodeID")]
    node_id: String,
    slot: i64,
    desired_state: String,
    status: TaskStatus,
    spec: TaskTemplate,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    networks_attachments: Vec<Attachment>,
}

impl TaskState {
    fn labels(&self) -> LabelsBuilder {
        let mut labels = LabelsBuilder::new();
        labels
            .set("__meta_dockerswarm_task_id", &self.id)
            .set("__meta_dockerswarm_task_desired_state", &self.desired_state)
            .set("__meta_dockerswarm_task_state", &self.status.state)
            .set("__meta_dockerswarm_task_slot", &self.slot.to_string());
        if let Some(container) = &self.status.container_status {
            labels.set("__meta_dockerswarm_task_container_id", &container.container_id);
        }
        if let Some(container) = &self.spec.container_spec {
            set_all(&mut labels, "__meta_dockerswarm_container_label_", &container.labels);
        }
        labels
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TaskStatus {
    state: String,
    container_status: Option<ContainerStatus>,
    port_status: PortStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    #[serde(rename = "ContainerID")]
    container_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PortStatus {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    ports: Vec<Port>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Attachment {
    network: AttachedNetwork,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    addresses: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AttachedNetwork {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Node {
    #[serde(rename = "ID")]
    id: String,
    spec: NodeSpec,
    description: NodeDescription,
    status: NodeStatus,
    manager_status: Option<ManagerStatus>,
}

impl Node {
    /// Those that its tasks have too.
    fn labels(&self) -> LabelsBuilder {
        let mut labels = LabelsBuilder::new();
        labels
            .set("__meta_dockerswarm_node_id", &self.id)
            .set("__meta_dockerswarm_node_role", &self.spec.role)
            .set("__meta_dockerswarm_node_address", &self.status.addr)
            .set("__meta_dockerswarm_node_availability", &self.spec.availability)
            .set("__meta_dockerswarm_node_hostname", &self.description.hostname)
            .set("__meta_dockerswarm_node_platform_architecture", &self.description.platform.architecture)
            .set("__meta_dockerswarm_node_platform_os", &self.description.platform.os)
            .set("__meta_dockerswarm_node_status", &self.status.state);
        set_all(&mut labels, "__meta_dockerswarm_node_label_", &self.spec.labels);
        labels
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NodeSpec {
    role: String,
    availability: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NodeDescription {
    hostname: String,
    platform: Platform,
    engine: EngineVersion,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Platform {
    architecture: String,
    #[serde(rename = "OS")]
    os: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct EngineVersion {
    engine_version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NodeStatus {
    state: String,
    addr: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ManagerStatus {
    leader: bool,
    reachability: String,
    addr: String,
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
    fn configurations_are_checked_as_prometheus_does() {
        check("{host: 'tcp://h:1', role: nodes}", Ok(()));
        check("{role: nodes}", Err("p.yml: host missing"));
        check("{host: 'tcp://h:1'}", Err("p.yml: role missing (one of: tasks, services, nodes)"));
        check(
            "{host: 'tcp://h:1', role: x}",
            Err("p.yml: invalid role x, expected tasks, services, or nodes"),
        );
    }

    const SERVICES: &str = r#"[{"ID": "s1", "Spec": {"Name": "web", "Labels": {"a.b": "c"}, "Mode": {"Replicated": {"Replicas": 2}},
        "TaskTemplate": {"ContainerSpec": {"Image": "i:1", "Hostname": "h"}}},
        "Endpoint": {"Ports": [{"Name": "p", "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"}],
                     "VirtualIPs": [{"NetworkID": "n1", "Addr": "10.0.0.2/24"}]}}]"#;
    const NODES: &str = r#"[{"ID": "k1", "Spec": {"Role": "manager", "Availability": "active", "Labels": {}},
        "Description": {"Hostname": "host1", "Platform": {"Architecture": "x86_64", "OS": "linux"}, "Engine": {"EngineVersion": "27"}},
        "Status": {"State": "ready", "Addr": "192.0.2.1"}, "ManagerStatus": {"Leader": true, "Reachability": "reachable", "Addr": "192.0.2.1:2377"}}]"#;
    const TASKS: &str = r#"[{"ID": "t1", "ServiceID": "s1", "NodeID": "k1", "Slot": 1, "DesiredState": "running",
        "Status": {"State": "running", "ContainerStatus": {"ContainerID": "c1"},
                   "PortStatus": {"Ports": [{"Protocol": "tcp", "PublishedPort": 9000, "PublishMode": "host"}]}},
        "Spec": {"ContainerSpec": {"Labels": {"l": "m"}}},
        "NetworksAttachments": [{"Network": {"ID": "n1"}, "Addresses": ["10.0.0.7/24"]}]}]"#;
    const NETWORKS: &str =
        r#"[{"Id": "n1", "Name": "ingress", "Scope": "swarm", "Internal": false, "Ingress": true}]"#;

    #[tokio::test]
    async fn every_role_finds_its_targets() {
        let fake = Fake::start(&[
            ("/services", SERVICES),
            ("/nodes", NODES),
            ("/tasks", TASKS),
            ("/networks", NETWORKS),
        ])
        .await;
        let of = async |role: &str| {
            let text =
                format!("{{host: '{}', role: {role}, port: 9100}}", fake.url.as_str().replace("http", "tcp"));
            let mut sub = Bench::new().subscribe(&fake::config::<Config>(&text).unwrap().into());
            sub.changed().await;
            fake::labels(&sub.take().unwrap())
        };
        let net = r#"__meta_dockerswarm_network_id="n1", __meta_dockerswarm_network_ingress="true", __meta_dockerswarm_network_internal="false", __meta_dockerswarm_network_name="ingress", __meta_dockerswarm_network_scope="swarm""#;
        let service = r#"__meta_dockerswarm_service_id="s1", __meta_dockerswarm_service_label_a_b="c", __meta_dockerswarm_service_mode="replicated", __meta_dockerswarm_service_name="web""#;
        assert_eq!(
            of("services").await,
            [format!(
                r#"{{__address__="10.0.0.2:8080", {net}, __meta_dockerswarm_service_endpoint_port_name="p", __meta_dockerswarm_service_endpoint_port_publish_mode="ingress", {service}, __meta_dockerswarm_service_task_container_hostname="h", __meta_dockerswarm_service_task_container_image="i:1"}}"#
            )]
        );
        let node = r#"__meta_dockerswarm_node_hostname="host1", __meta_dockerswarm_node_id="k1""#;
        let platform = r#"__meta_dockerswarm_node_platform_architecture="x86_64", __meta_dockerswarm_node_platform_os="linux", __meta_dockerswarm_node_role="manager", __meta_dockerswarm_node_status="ready""#;
        assert_eq!(
            of("nodes").await,
            [format!(
                r#"{{__address__="192.0.2.1:9100", __meta_dockerswarm_node_address="192.0.2.1", __meta_dockerswarm_node_availability="active", __meta_dockerswarm_node_engine_version="27", {node}, __meta_dockerswarm_node_manager_address="192.0.2.1:2377", __meta_dockerswarm_node_manager_leader="true", __meta_dockerswarm_node_manager_reachability="reachable", {platform}}}"#
            )]
        );
        let task = |mode: &str| {
            format!(
                r#"__meta_dockerswarm_task_container_id="c1", __meta_dockerswarm_task_desired_state="running", __meta_dockerswarm_task_id="t1", __meta_dockerswarm_task_port_publish_mode="{mode}", __meta_dockerswarm_task_slot="1", __meta_dockerswarm_task_state="running""#
            )
        };
        let own = r#"__meta_dockerswarm_container_label_l="m""#;
        let node = format!(
            r#"__meta_dockerswarm_node_address="192.0.2.1", __meta_dockerswarm_node_availability="active", {node}, {platform}"#
        );
        assert_eq!(
            of("tasks").await,
            [
                format!(r#"{{__address__="192.0.2.1:9000", {own}, {node}, {service}, {}}}"#, task("host")),
                format!(
                    r#"{{__address__="10.0.0.7:8080", {own}, {net}, {node}, {service}, {}}}"#,
                    task("ingress")
                ),
            ]
        );
    }
}
