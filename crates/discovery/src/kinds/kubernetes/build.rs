//! From objects of the Kubernetes API to groups of targets, one for each object of the role.
//!
//! Pure. What a target says of other objects (its pod, its service, its node) is looked up in the [`Store`].

use std::collections::BTreeMap;

use model::{Labels, LabelsBuilder};

use super::object::{Container, EndpointAddress, Meta, Object, Reference, SliceEndpoint, SlicePort, key};
use super::{AttachMetadata, Resource, Store};
use crate::group::{TargetGroup, join_host_port, set_all};

/// Before every name.
const PREFIX: &str = "__meta_kubernetes_";

/// Looks up what objects refer to, as far as that is asked for.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    pub(super) store: &'a Store,
    pub(super) attach: AttachMetadata,
}

impl Builder<'_> {
    /// The targets of one object; `None` for a node without an address.
    pub(super) fn group(&self, resource: Resource, object: &Object) -> Option<TargetGroup> {
        let (labels, targets, source) = match resource {
            Resource::Node => self.node(object)?,
            Resource::Pod => self.pod(object),
            Resource::Service => self.service(object),
            Resource::Endpoints => self.endpoints(object),
            Resource::EndpointSlice => self.slice(object),
            Resource::Ingress => self.ingress(object),
            Resource::Namespace | Resource::ReplicaSet | Resource::Job => return None,
        };
        let source = format!("{source}/{}", object.key());
        Some(TargetGroup { targets, labels: labels.build(), source })
    }

    fn node(&self, node: &Object) -> Option<(LabelsBuilder, Vec<Labels>, &'static str)> {
        let mut labels = LabelsBuilder::new();
        labels.set("__meta_kubernetes_node_provider_id", &node.spec.provider_id);
        let conditions = node.status.conditions.iter();
        let conditions = conditions.map(|one| (one.kind.to_lowercase(), one.status.to_lowercase()));
        set_all(&mut labels, "__meta_kubernetes_node_condition_", conditions);
        named(&mut labels, "node", &node.metadata);
        let of_kind = |kind: &str| node.status.addresses.iter().find(|address| address.kind == kind);
        let kinds = ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];
        let Some(address) = kinds.iter().find_map(|kind| of_kind(kind)) else {
            tracing::warn!(node = node.metadata.name, "no address of the node is known");
            return None;
        };
        let mut target = LabelsBuilder::new();
        let port = node.status.daemon_endpoints.kubelet_endpoint.port;
        target
            .set("__address__", &join_host_port(&address.address, port))
            .set("instance", &node.metadata.name);
        // The first of each type.
        let all = node.status.addresses.iter().rev().map(|address| (&address.kind, &address.address));
        set_all(&mut target, "__meta_kubernetes_node_address_", all);
        Some((labels, vec![target.build()], "node"))
    }

    fn pod(&self, pod: &Object) -> (LabelsBuilder, Vec<Labels>, &'static str) {
        let mut labels = LabelsBuilder::new();
        let ip = &pod.status.pod_ip;
        let has_node = !self.attach.node || self.store.get(Resource::Node, &pod.spec.node_name).is_some();
        // Not started yet, or on a node that the selector leaves out.
        if ip.is_empty() || !has_node {
            return (labels, Vec::new(), "pod");
        }
        self.pod_labels(&mut labels, pod);
        labels.set("__meta_kubernetes_namespace", &pod.metadata.namespace);
        if self.attach.node {
            self.node_labels(&mut labels, Some(&pod.spec.node_name));
        }
        self.namespace_labels(&mut labels, &pod.metadata.namespace);
        let mut targets = Vec::new();
        for (container, is_init) in containers(pod) {
            let statuses =
                if is_init { &pod.status.init_container_statuses } else { &pod.status.container_statuses };
            let status = statuses.iter().find(|status| status.name == container.name);
            let mut base = LabelsBuilder::new();
            container_labels(&mut base, container, is_init);
            let id = status.map_or("", |status| status.container_id.as_str());
            base.set("__meta_kubernetes_pod_container_id", id);
            if container.ports.is_empty() {
                targets.push(base.set("__address__", ip).build());
                continue;
            }
            for port in &container.ports {
                let mut target = base.clone();
                target.set("__address__", &join_host_port(ip, port.container_port));
                port_labels(&mut target, &port.name, port.container_port, &port.protocol);
                targets.push(target.build());
            }
        }
        (labels, targets, "pod")
    }

    fn service(&self, service: &Object) -> (LabelsBuilder, Vec<Labels>, &'static str) {
        let (meta, spec) = (&service.metadata, &service.spec);
        let mut labels = LabelsBuilder::new();
        labels.set("__meta_kubernetes_namespace", &meta.namespace);
        named(&mut labels, "service", meta);
        self.namespace_labels(&mut labels, &meta.namespace);
        let of_port = |port: &super::object::ServicePort| {
            let mut target = LabelsBuilder::new();
            target
                .set("__address__", &format!("{}.{}.svc:{}", meta.name, meta.namespace, port.port))
                .set("__meta_kubernetes_service_port_name", &port.name)
                .set("__meta_kubernetes_service_port_number", &port.port.to_string())
                .set("__meta_kubernetes_service_port_protocol", &port.protocol)
                .set("__meta_kubernetes_service_type", &spec.kind);
            if spec.kind == "ExternalName" {
                target.set("__meta_kubernetes_service_external_name", &spec.external_name);
            } else {
                target.set("__meta_kubernetes_service_cluster_ip", &spec.cluster_ip);
            }
            if spec.kind == "LoadBalancer" {
                let ips = service.status.load_balancer.ingress.iter().map(|one| one.ip.as_str());
                let ips: Vec<_> = ips.filter(|ip| !ip.is_empty()).collect();
                let ips = if ips.is_empty() { spec.load_balancer_ip.clone() } else { ips.join(",") };
                target.set("__meta_kubernetes_service_loadbalancer_ip", &ips);
            }
            target.build()
        };
        (labels, spec.ports.iter().map(of_port).collect(), "svc")
    }

    fn ingress(&self, ingress: &Object) -> (LabelsBuilder, Vec<Labels>, &'static str) {
        let meta = &ingress.metadata;
        let mut labels = LabelsBuilder::new();
        labels.set("__meta_kubernetes_namespace", &meta.namespace);
        let class = ingress.spec.ingress_class_name.as_deref().unwrap_or_default();
        labels.set("__meta_kubernetes_ingress_class_name", class);
        named(&mut labels, "ingress", meta);
        self.namespace_labels(&mut labels, &meta.namespace);
        let mut targets = Vec::new();
        for rule in &ingress.spec.rules {
            let mut hosts = ingress.spec.tls.iter().flat_map(|tls| &tls.hosts);
            let scheme = if hosts.any(|pattern| is_host_of(pattern, &rule.host)) { "https" } else { "http" };
            let paths: Vec<&str> = match &rule.http {
                None => vec!["/"],
                Some(http) => http.paths.iter().map(|path| path.path.as_str()).collect(),
            };
            for path in paths {
                targets.push(Labels::from_pairs([
                    ("__address__", rule.host.as_str()),
                    ("__meta_kubernetes_ingress_scheme", scheme),
                    ("__meta_kubernetes_ingress_host", &rule.host),
                    ("__meta_kubernetes_ingress_path", if path.is_empty() { "/" } else { path }),
                ]));
            }
        }
        (labels, targets, "ingress")
    }

    fn endpoints(&self, endpoints: &Object) -> (LabelsBuilder, Vec<Labels>, &'static str) {
        let meta = &endpoints.metadata;
        let mut labels = LabelsBuilder::new();
        labels.set("__meta_kubernetes_namespace", &meta.namespace);
        // A service and its endpoints have the same name.
        if let Some(service) = self.store.get(Resource::Service, &endpoints.key()) {
            named(&mut labels, "service", &service.metadata);
        }
        named(&mut labels, "endpoints", meta);
        self.namespace_labels(&mut labels, &meta.namespace);
        if matches!(
            meta.annotations.get("endpoints.kubernetes.io/over-capacity").map(String::as_str),
            Some("truncated")
        ) {
            tracing::warn!(
                endpoints = endpoints.key(),
                "has more than 1,000 endpoints and was truncated; use role: endpointslice"
            );
        }
        let mut targets = Vec::new();
        let mut seen = Seen::default();
        for subset in &endpoints.subsets {
            for port in &subset.ports {
                let ready = subset.addresses.iter().map(|address| (address, "true"));
                let not_ready = subset.not_ready_addresses.iter().map(|address| (address, "false"));
                for (address, is_ready) in ready.chain(not_ready) {
                    let mut target = self.endpoint(address, is_ready);
                    target
                        .set("__address__", &join_host_port(&address.ip, port.port))
                        .set("__meta_kubernetes_endpoint_port_name", &port.name)
                        .set("__meta_kubernetes_endpoint_port_protocol", &port.protocol);
                    if let Some(pod) = self.referred(address.target_ref.as_ref()) {
                        self.of_pod(&mut target, pod, Some(port.port), Some(&port.protocol));
                        seen.note(pod, Some(port.port));
                    }
                    targets.push(target.build());
                }
            }
        }
        self.other_ports(&seen, &mut targets);
        (labels, targets, "endpoints")
    }

    fn endpoint(&self, address: &EndpointAddress, is_ready: &str) -> LabelsBuilder {
        let mut target = LabelsBuilder::new();
        target.set("__meta_kubernetes_endpoint_ready", is_ready);
        target.set("__meta_kubernetes_endpoint_hostname", &address.hostname);
        target.set("__meta_kubernetes_endpoint_node_name", address.node_name.as_deref().unwrap_or_default());
        if let Some(reference) = &address.target_ref {
            target
                .set("__meta_kubernetes_endpoint_address_target_kind", &reference.kind)
                .set("__meta_kubernetes_endpoint_address_target_name", &reference.name);
        }
        if self.attach.node {
            let node = address.target_ref.as_ref().filter(|reference| reference.kind == "Node");
            let name = address.node_name.as_ref().or(node.map(|reference| &reference.name));
            self.node_labels(&mut target, name);
        }
        target
    }

    fn slice(&self, slice: &Object) -> (LabelsBuilder, Vec<Labels>, &'static str) {
        let meta = &slice.metadata;
        let mut labels = LabelsBuilder::new();
        labels.set("__meta_kubernetes_namespace", &meta.namespace);
        labels.set("__meta_kubernetes_endpointslice_address_type", &slice.address_type);
        named(&mut labels, "endpointslice", meta);
        let service = meta.labels.get("kubernetes.io/service-name");
        let service = service.and_then(|name| self.store.get(Resource::Service, &key(&meta.namespace, name)));
        if let Some(service) = service {
            named(&mut labels, "service", &service.metadata);
        }
        self.namespace_labels(&mut labels, &meta.namespace);
        let mut targets = Vec::new();
        if service.is_some_and(|service| is_second_family(service, slice)) {
            return (labels, targets, "endpointslice");
        }
        let mut seen = Seen::default();
        for endpoint in &slice.endpoints {
            for port in &slice.ports {
                for address in &endpoint.addresses {
                    let mut target = self.slice_endpoint(endpoint, port);
                    match port.port {
                        Some(port) => target.set("__address__", &join_host_port(address, port)),
                        None => target.set("__address__", address),
                    };
                    if let Some(pod) = self.referred(endpoint.target_ref.as_ref()) {
                        self.of_pod(&mut target, pod, port.port, None);
                        seen.note(pod, port.port);
                    }
                    targets.push(target.build());
                }
            }
        }
        self.other_ports(&seen, &mut targets);
        (labels, targets, "endpointslice")
    }

    fn slice_endpoint(&self, endpoint: &SliceEndpoint, port: &SlicePort) -> LabelsBuilder {
        let mut target = LabelsBuilder::new();
        let number = port.port.map(|port| port.to_string());
        let flag = |value: Option<bool>| value.map(|value| value.to_string());
        let conditions = &endpoint.conditions;
        let reference = endpoint.target_ref.as_ref();
        for (name, value) in [
            ("port_name", port.name.clone()),
            ("port_protocol", port.protocol.clone()),
            ("port", number),
            ("port_app_protocol", port.app_protocol.clone()),
            ("endpoint_conditions_ready", flag(conditions.ready)),
            ("endpoint_conditions_serving", flag(conditions.serving)),
            ("endpoint_conditions_terminating", flag(conditions.terminating)),
            ("endpoint_hostname", endpoint.hostname.clone()),
            ("endpoint_node_name", endpoint.node_name.clone()),
            ("endpoint_zone", endpoint.zone.clone()),
            ("address_target_kind", reference.map(|reference| reference.kind.clone())),
            ("address_target_name", reference.map(|reference| reference.name.clone())),
        ] {
            if let Some(value) = value {
                target.set(&format!("{PREFIX}endpointslice_{name}"), &value);
            }
        }
        let topology = "__meta_kubernetes_endpointslice_endpoint_topology_";
        set_all(&mut target, topology, &endpoint.deprecated_topology);
        let present = endpoint.deprecated_topology.keys().map(|name| (name, "true"));
        set_all(&mut target, &format!("{topology}present_"), present);
        if self.attach.node {
            let node =
                reference.filter(|reference| reference.kind == "Node").map(|reference| &reference.name);
            self.node_labels(&mut target, node.or(endpoint.node_name.as_ref()));
        }
        target
    }

    /// The pod that an address belongs to.
    fn referred(&self, reference: Option<&Reference>) -> Option<&Object> {
        let reference = reference.filter(|reference| reference.kind == "Pod")?;
        self.store.get(Resource::Pod, &key(&reference.namespace, &reference.name))
    }

    /// What is known of an endpoint's pod, and of the container that listens on this port.
    fn of_pod(&self, target: &mut LabelsBuilder, pod: &Object, port: Option<i32>, protocol: Option<&str>) {
        self.pod_labels(target, pod);
        for (container, is_init) in containers(pod) {
            let found = container.ports.iter().find(|known| Some(known.container_port) == port);
            if let Some(found) = found {
                container_labels(target, container, is_init);
                port_labels(target, &found.name, found.container_port, protocol.unwrap_or(&found.protocol));
            }
        }
    }

    /// Ports of the pods that are no endpoints of the service.
    fn other_ports(&self, seen: &Seen<'_>, targets: &mut Vec<Labels>) {
        for (pod, service_ports) in seen.pods.values() {
            if pod.status.pod_ip.is_empty() {
                continue;
            }
            for (container, is_init) in containers(pod) {
                for port in &container.ports {
                    if service_ports.contains(&port.container_port) {
                        continue;
                    }
                    let mut target = LabelsBuilder::new();
                    target.set("__address__", &join_host_port(&pod.status.pod_ip, port.container_port));
                    container_labels(&mut target, container, is_init);
                    port_labels(&mut target, &port.name, port.container_port, &port.protocol);
                    self.pod_labels(&mut target, pod);
                    targets.push(target.build());
                }
            }
        }
    }

    fn pod_labels(&self, labels: &mut LabelsBuilder, pod: &Object) {
        let ready = pod.status.conditions.iter().find(|condition| condition.kind == "Ready");
        let ready = ready.map_or("unknown".to_owned(), |condition| condition.status.to_lowercase());
        labels
            .set("__meta_kubernetes_pod_ip", &pod.status.pod_ip)
            .set("__meta_kubernetes_pod_ready", &ready)
            .set("__meta_kubernetes_pod_phase", &pod.status.phase)
            .set("__meta_kubernetes_pod_node_name", &pod.spec.node_name)
            .set("__meta_kubernetes_pod_host_ip", &pod.status.host_ip)
            .set("__meta_kubernetes_pod_uid", &pod.metadata.uid);
        named(labels, "pod", &pod.metadata);
        let Some(owner) = pod.controller() else { return };
        labels
            .set("__meta_kubernetes_pod_controller_kind", &owner.kind)
            .set("__meta_kubernetes_pod_controller_name", &owner.name);
        let above = |resource, kind: &str| {
            let object = self.store.get(resource, &key(&pod.metadata.namespace, &owner.name))?;
            object.controller().filter(|above| above.kind == kind)
        };
        if owner.kind == "ReplicaSet"
            && self.attach.deployment
            && let Some(deployment) = above(Resource::ReplicaSet, "Deployment")
        {
            labels.set("__meta_kubernetes_pod_deployment_name", &deployment.name);
        }
        if owner.kind == "Job" {
            if self.attach.job {
                labels.set("__meta_kubernetes_pod_job_name", &owner.name);
            }
            if self.attach.cronjob
                && let Some(cronjob) = above(Resource::Job, "CronJob")
            {
                labels.set("__meta_kubernetes_pod_cronjob_name", &cronjob.name);
            }
        }
    }

    fn node_labels(&self, labels: &mut LabelsBuilder, name: Option<&String>) {
        if let Some(node) = name.and_then(|name| self.store.get(Resource::Node, name)) {
            named(labels, "node", &node.metadata);
        }
    }

    fn namespace_labels(&self, labels: &mut LabelsBuilder, name: &str) {
        if self.attach.namespace
            && let Some(namespace) = self.store.get(Resource::Namespace, name)
        {
            described(labels, "namespace", &namespace.metadata);
        }
    }
}

/// Pods of a service's endpoints, with the ports that are endpoints.
#[derive(Debug, Default)]
struct Seen<'a> {
    pods: BTreeMap<String, (&'a Object, Vec<i32>)>,
}

impl<'a> Seen<'a> {
    fn note(&mut self, pod: &'a Object, port: Option<i32>) {
        self.pods.entry(pod.key()).or_insert_with(|| (pod, Vec::new())).1.extend(port);
    }
}

/// All containers; whether each is an init container.
fn containers(pod: &Object) -> impl Iterator<Item = (&Container, bool)> {
    let init = pod.spec.init_containers.iter().map(|container| (container, true));
    pod.spec.containers.iter().map(|container| (container, false)).chain(init)
}

fn container_labels(labels: &mut LabelsBuilder, container: &Container, is_init: bool) {
    labels
        .set("__meta_kubernetes_pod_container_name", &container.name)
        .set("__meta_kubernetes_pod_container_image", &container.image)
        .set("__meta_kubernetes_pod_container_init", if is_init { "true" } else { "false" });
}

fn port_labels(labels: &mut LabelsBuilder, name: &str, number: i32, protocol: &str) {
    labels
        .set("__meta_kubernetes_pod_container_port_name", name)
        .set("__meta_kubernetes_pod_container_port_number", &number.to_string())
        .set("__meta_kubernetes_pod_container_port_protocol", protocol);
}

/// Name, labels and annotations of an object.
fn named(labels: &mut LabelsBuilder, kind: &str, meta: &Meta) {
    labels.set(&format!("{PREFIX}{kind}_name"), &meta.name);
    described(labels, kind, meta);
}

fn described(labels: &mut LabelsBuilder, kind: &str, meta: &Meta) {
    for (what, map) in [("label", &meta.labels), ("annotation", &meta.annotations)] {
        set_all(labels, &format!("{PREFIX}{kind}_{what}_"), map);
        set_all(labels, &format!("{PREFIX}{kind}_{what}present_"), map.keys().map(|name| (name, "true")));
    }
}

/// A service of both address families has a slice for each; targets are those of the first.
fn is_second_family(service: &Object, slice: &Object) -> bool {
    let policy = service.spec.ip_family_policy.as_deref();
    matches!(policy, Some("PreferDualStack" | "RequireDualStack"))
        && service.spec.ip_families.first().is_some_and(|first| *first != slice.address_type)
}

/// Whether a certificate for `pattern` is one for `host`: `*` stands for one part in front.
fn is_host_of(pattern: &str, host: &str) -> bool {
    pattern == host
        || pattern
            .strip_prefix("*.")
            .is_some_and(|rest| host.split_once('.').is_some_and(|(_, parent)| parent == rest))
}
