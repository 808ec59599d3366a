//! Objects of the Kubernetes API, as far as discovery looks at them.
//!
//! One type for every kind of object: the fields of all of them stand beside each other, empty where a kind has none.
//! Names are the API's.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Text by text, `null` allowed.
type Map = BTreeMap<String, String>;

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    pub(super) metadata: ListMeta,
    #[serde(default, deserialize_with = "model::yaml::null_as_default")]
    pub(super) items: Vec<Object>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListMeta {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) more: String,
}

/// A line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct WatchEvent {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) object: serde_json::Value,
}

/// Anything.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Object {
    pub(super) metadata: Meta,
    pub(super) spec: Spec,
    pub(super) status: Status,
    /// Of endpoints.
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) subsets: Vec<Subset>,
    /// Of a slice of endpoints, as the next two.
    pub(super) address_type: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) endpoints: Vec<SliceEndpoint>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) ports: Vec<SlicePort>,
}

impl Object {
    /// `namespace/name`, or the name alone of what stands in no namespace.
    pub(super) fn key(&self) -> String {
        key(&self.metadata.namespace, &self.metadata.name)
    }

    /// Who made it and looks after it.
    pub(super) fn controller(&self) -> Option<&Owner> {
        self.metadata.owner_references.iter().find(|owner| owner.controller)
    }
}

pub(super) fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) labels: Map,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) annotations: Map,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) owner_references: Vec<Owner>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) controller: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    // Of pods.
    pub(super) node_name: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) containers: Vec<Container>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) init_containers: Vec<Container>,
    // Of nodes.
    #[serde(rename = "providerID")]
    pub(super) provider_id: String,
    // Of services.
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: String,
    pub(super) external_name: String,
    #[serde(rename = "loadBalancerIP")]
    pub(super) load_balancer_ip: String,
    pub(super) ip_family_policy: Option<String>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) ip_families: Vec<String>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) ports: Vec<ServicePort>,
    // Of ingresses.
    pub(super) ingress_class_name: Option<String>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) rules: Vec<Rule>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) tls: Vec<IngressTls>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) ports: Vec<ContainerPort>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerPort {
    pub(super) name: String,
    pub(super) container_port: i32,
    pub(super) protocol: String,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServicePort {
    pub(super) name: String,
    pub(super) port: i32,
    pub(super) protocol: String,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rule {
    pub(super) host: String,
    pub(super) http: Option<HttpRule>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct HttpRule {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) paths: Vec<HttpPath>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct HttpPath {
    pub(super) path: String,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct IngressTls {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) hosts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    // Of pods.
    pub(super) phase: String,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: String,
    #[serde(rename = "hostIP")]
    pub(super) host_ip: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    // Of pods and nodes.
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) conditions: Vec<Condition>,
    // Of nodes.
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) addresses: Vec<NodeAddress>,
    pub(super) daemon_endpoints: DaemonEndpoints,
    // Of services.
    pub(super) load_balancer: LoadBalancer,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    #[serde(rename = "containerID")]
    pub(super) container_id: String,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeAddress {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) address: String,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct DaemonEndpoints {
    pub(super) kubelet_endpoint: DaemonEndpoint,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct DaemonEndpoint {
    #[serde(rename = "Port")]
    pub(super) port: i32,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadBalancer {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) ingress: Vec<LoadBalancerIngress>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadBalancerIngress {
    pub(super) ip: String,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Subset {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) addresses: Vec<EndpointAddress>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) not_ready_addresses: Vec<EndpointAddress>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) ports: Vec<ServicePort>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct EndpointAddress {
    pub(super) ip: String,
    pub(super) hostname: String,
    pub(super) node_name: Option<String>,
    pub(super) target_ref: Option<Reference>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reference {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SliceEndpoint {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) addresses: Vec<String>,
    pub(super) conditions: SliceConditions,
    pub(super) hostname: Option<String>,
    pub(super) node_name: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) target_ref: Option<Reference>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    pub(super) deprecated_topology: Map,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct SliceConditions {
    pub(super) ready: Option<bool>,
    pub(super) serving: Option<bool>,
    pub(super) terminating: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SlicePort {
    pub(super) name: Option<String>,
    pub(super) port: Option<i32>,
    pub(super) protocol: Option<String>,
    pub(super) app_protocol: Option<String>,
}
