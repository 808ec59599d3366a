//! Roles against a small fake of the Kubernetes API with answers in its shapes.

use super::*;
use crate::fake::{self, Fake};
use crate::hub::tests::{Bench, metric};

fn check(text: &str, expected: Result<(), &str>) {
    assert_eq!(fake::config::<Config>(text).map(drop), expected.map_err(str::to_owned), "{text}");
}

#[test]
fn configurations_are_checked_as_prometheus_does() {
    check("{role: pod}", Ok(()));
    check(
        "{role: endpoints, api_server: 'https://h', bearer_token: x, namespaces: {names: [a]}, selectors: [{role: pod, label: a=b}, {role: service, field: x=y}]}",
        Ok(()),
    );
    check("{}", Err("p.yml: role missing (one of: pod, service, endpoints, endpointslice, node, ingress)"));
    check("{role: x}", Err("p.yml: unknown Kubernetes SD role \"x\""));
    check(
        "{role: pod, api_server: 'https://h', kubeconfig_file: k}",
        Err("p.yml: cannot use 'kubeconfig_file' and 'api_server' simultaneously"),
    );
    check(
        "{role: pod, kubeconfig_file: k, bearer_token: x}",
        Err("p.yml: cannot use a custom HTTP client configuration together with 'kubeconfig_file'"),
    );
    check(
        "{role: pod, bearer_token: x}",
        Err("p.yml: to use custom HTTP client configuration please provide the 'api_server' URL explicitly"),
    );
    check(
        "{role: pod, api_server: 'https://h', namespaces: {own_namespace: true}}",
        Err("p.yml: cannot use 'api_server' and 'namespaces.own_namespace' simultaneously"),
    );
    check(
        "{role: pod, selectors: [{role: service}]}",
        Err("p.yml: pod role supports only pod, node selectors"),
    );
    check("{role: pod, selectors: [{role: pod}, {role: pod}]}", Err("p.yml: duplicated selector role: pod"));
}

const POD: &str = r#"{"metadata": {"name": "p1", "namespace": "ns", "uid": "u1", "labels": {"app.x/y": "z"}, "annotations": {"a": "b"},
    "ownerReferences": [{"kind": "ReplicaSet", "name": "rs1", "controller": true}]},
  "spec": {"nodeName": "n1", "containers": [{"name": "c1", "image": "i:1", "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}, {"containerPort": 81, "protocol": "TCP"}]}],
           "initContainers": [{"name": "init", "image": "i:0"}]},
  "status": {"phase": "Running", "podIP": "10.0.0.1", "hostIP": "192.0.2.1", "conditions": [{"type": "Ready", "status": "True"}],
             "containerStatuses": [{"name": "c1", "containerID": "containerd://1"}]}}"#;
const POD_LABELS: &str = r#"__meta_kubernetes_pod_annotation_a="b", __meta_kubernetes_pod_annotationpresent_a="true", __meta_kubernetes_pod_controller_kind="ReplicaSet", __meta_kubernetes_pod_controller_name="rs1", __meta_kubernetes_pod_deployment_name="d1", __meta_kubernetes_pod_host_ip="192.0.2.1", __meta_kubernetes_pod_ip="10.0.0.1", __meta_kubernetes_pod_label_app_x_y="z", __meta_kubernetes_pod_labelpresent_app_x_y="true", __meta_kubernetes_pod_name="p1", __meta_kubernetes_pod_node_name="n1", __meta_kubernetes_pod_phase="Running", __meta_kubernetes_pod_ready="true", __meta_kubernetes_pod_uid="u1""#;

fn list(items: &str) -> String {
    format!(r#"{{"kind": "List", "metadata": {{"resourceVersion": "7"}}, "items": [{items}]}}"#)
}

const WATCH: &str = "watch=true&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=290";

/// An API with one object of every kind; every watch ends at once without news.
async fn cluster() -> Fake {
    let fake = Fake::start(&[]).await;
    for (path, items) in [
        ("api/v1/pods", POD),
        (
            "api/v1/nodes",
            r#"{"metadata": {"name": "n1", "labels": {"zone": "z1"}}, "spec": {"providerID": "aws:///i-1"},
                "status": {"conditions": [{"type": "Ready", "status": "True"}],
                           "addresses": [{"type": "Hostname", "address": "n1.local"}, {"type": "InternalIP", "address": "192.0.2.1"}],
                           "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}}"#,
        ),
        ("api/v1/namespaces", r#"{"metadata": {"name": "ns", "labels": {"team": "t"}}}"#),
        (
            "api/v1/services",
            r#"{"metadata": {"name": "svc", "namespace": "ns", "labels": {"l": "m"}},
                "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.1", "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"],
                         "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
                "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "x"}, {"ip": "1.2.3.5"}]}}}"#,
        ),
        (
            "api/v1/endpoints",
            r#"{"metadata": {"name": "svc", "namespace": "ns"},
                "subsets": [{"addresses": [{"ip": "10.0.0.1", "nodeName": "n1", "targetRef": {"kind": "Pod", "namespace": "ns", "name": "p1"}}],
                             "notReadyAddresses": [{"ip": "10.0.0.9"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}]}"#,
        ),
        (
            "apis/discovery.k8s.io/v1/endpointslices",
            r#"{"metadata": {"name": "svc-4", "namespace": "ns", "labels": {"kubernetes.io/service-name": "svc"}}, "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true, "terminating": false}, "nodeName": "n1", "zone": "z1",
                               "targetRef": {"kind": "Pod", "namespace": "ns", "name": "p1"}}],
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
               {"metadata": {"name": "svc-6", "namespace": "ns", "labels": {"kubernetes.io/service-name": "svc"}}, "addressType": "IPv6",
                "endpoints": [{"addresses": ["fd00::1"]}], "ports": [{"port": 80}]}"#,
        ),
        (
            "apis/networking.k8s.io/v1/ingresses",
            r#"{"metadata": {"name": "ing", "namespace": "ns"},
                "spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["*.example.org"]}],
                         "rules": [{"host": "a.example.org", "http": {"paths": [{"path": "/x"}, {}]}}, {"host": "b.test"}]}}"#,
        ),
        (
            "apis/apps/v1/replicasets",
            r#"{"metadata": {"name": "rs1", "namespace": "ns", "ownerReferences": [{"kind": "Deployment", "name": "d1", "controller": true}]}}"#,
        ),
    ] {
        fake.answer(&format!("/{path}?limit=500"), 200, &[], &list(items));
        fake.answer(&format!("/{path}?{WATCH}"), 200, &[], "");
    }
    fake
}

async fn targets(role: &str, more: &str) -> Vec<String> {
    let fake = cluster().await;
    let config: Config =
        fake::config(&format!("{{role: {role}, api_server: '{}'{more}}}", fake.url)).unwrap();
    let bench = Bench::new();
    let mut sub = bench.subscribe(&config.into());
    tokio::time::timeout(StdDuration::from_secs(20), sub.changed()).await.expect("targets are found");
    fake::labels(&sub.take().unwrap())
}

#[tokio::test]
async fn pods_are_targets_by_container_and_port() {
    let common = |id: &str, image: &str, init: bool, name: &str| {
        format!(
            r#"__meta_kubernetes_pod_container_id="{id}", __meta_kubernetes_pod_container_image="{image}", __meta_kubernetes_pod_container_init="{init}", __meta_kubernetes_pod_container_name="{name}""#
        )
    };
    let (before, after) = POD_LABELS.split_once("__meta_kubernetes_pod_controller_kind").unwrap();
    let rest = format!("__meta_kubernetes_pod_controller_kind{after}");
    let namespace = r#"__meta_kubernetes_namespace="ns", __meta_kubernetes_namespace_label_team="t", __meta_kubernetes_namespace_labelpresent_team="true", __meta_kubernetes_node_label_zone="z1", __meta_kubernetes_node_labelpresent_zone="true", __meta_kubernetes_node_name="n1""#;
    let of = |address: &str, container: String, port: &str| {
        format!(r#"{{__address__="{address}", {namespace}, {before}{container}, {port}{rest}}}"#)
    };
    let c1 = common("containerd://1", "i:1", false, "c1");
    let port = r#"__meta_kubernetes_pod_container_port_name="http", __meta_kubernetes_pod_container_port_number="80", __meta_kubernetes_pod_container_port_protocol="TCP", "#;
    let second = r#"__meta_kubernetes_pod_container_port_number="81", __meta_kubernetes_pod_container_port_protocol="TCP", "#;
    let init = r#"__meta_kubernetes_pod_container_image="i:0", __meta_kubernetes_pod_container_init="true", __meta_kubernetes_pod_container_name="init""#;
    assert_eq!(
        targets("pod", ", attach_metadata: {node: true, namespace: true, deployment: true}").await,
        [
            of("10.0.0.1:80", c1.clone(), port),
            of("10.0.0.1:81", c1, second),
            of("10.0.0.1", init.to_owned(), "")
        ]
    );
}

#[tokio::test]
async fn nodes_services_and_ingresses_are_targets() {
    assert_eq!(
        targets("node", "").await,
        [
            r#"{__address__="192.0.2.1:10250", __meta_kubernetes_node_address_Hostname="n1.local", __meta_kubernetes_node_address_InternalIP="192.0.2.1", __meta_kubernetes_node_condition_ready="true", __meta_kubernetes_node_label_zone="z1", __meta_kubernetes_node_labelpresent_zone="true", __meta_kubernetes_node_name="n1", __meta_kubernetes_node_provider_id="aws:///i-1", instance="n1"}"#
        ]
    );
    assert_eq!(
        targets("service", "").await,
        [
            r#"{__address__="svc.ns.svc:80", __meta_kubernetes_namespace="ns", __meta_kubernetes_service_cluster_ip="10.96.0.1", __meta_kubernetes_service_label_l="m", __meta_kubernetes_service_labelpresent_l="true", __meta_kubernetes_service_loadbalancer_ip="1.2.3.4,1.2.3.5", __meta_kubernetes_service_name="svc", __meta_kubernetes_service_port_name="http", __meta_kubernetes_service_port_number="80", __meta_kubernetes_service_port_protocol="TCP", __meta_kubernetes_service_type="LoadBalancer"}"#
        ]
    );
    let ingress = |host: &str, path: &str, scheme: &str| {
        format!(
            r#"{{__address__="{host}", __meta_kubernetes_ingress_class_name="nginx", __meta_kubernetes_ingress_host="{host}", __meta_kubernetes_ingress_name="ing", __meta_kubernetes_ingress_path="{path}", __meta_kubernetes_ingress_scheme="{scheme}", __meta_kubernetes_namespace="ns"}}"#
        )
    };
    assert_eq!(
        targets("ingress", "").await,
        [
            ingress("a.example.org", "/x", "https"),
            ingress("a.example.org", "/", "https"),
            ingress("b.test", "/", "http")
        ]
    );
}

#[tokio::test]
async fn endpoints_know_their_pods_and_services() {
    let attach = ", attach_metadata: {deployment: true}";
    let (before, after) = POD_LABELS.split_once("__meta_kubernetes_pod_controller_kind").unwrap();
    let service = r#"__meta_kubernetes_service_label_l="m", __meta_kubernetes_service_labelpresent_l="true", __meta_kubernetes_service_name="svc""#;
    let pod = |port: &str| {
        format!(
            r#"{before}__meta_kubernetes_pod_container_image="i:1", __meta_kubernetes_pod_container_init="false", __meta_kubernetes_pod_container_name="c1", {port}__meta_kubernetes_pod_controller_kind{after}"#
        )
    };
    let first = pod(
        r#"__meta_kubernetes_pod_container_port_name="http", __meta_kubernetes_pod_container_port_number="80", __meta_kubernetes_pod_container_port_protocol="TCP", "#,
    );
    let second = pod(
        r#"__meta_kubernetes_pod_container_port_number="81", __meta_kubernetes_pod_container_port_protocol="TCP", "#,
    );
    let own = r#"__meta_kubernetes_endpoints_name="svc", __meta_kubernetes_namespace="ns""#;
    let port =
        r#"__meta_kubernetes_endpoint_port_name="http", __meta_kubernetes_endpoint_port_protocol="TCP""#;
    assert_eq!(
        targets("endpoints", attach).await,
        [
            format!(
                r#"{{__address__="10.0.0.1:80", __meta_kubernetes_endpoint_address_target_kind="Pod", __meta_kubernetes_endpoint_address_target_name="p1", __meta_kubernetes_endpoint_node_name="n1", {port}, __meta_kubernetes_endpoint_ready="true", {own}, {first}, {service}}}"#
            ),
            format!(
                r#"{{__address__="10.0.0.9:80", {port}, __meta_kubernetes_endpoint_ready="false", {own}, {service}}}"#
            ),
            format!(r#"{{__address__="10.0.0.1:81", {own}, {second}, {service}}}"#),
        ]
    );
    let group = r#"__meta_kubernetes_endpointslice_label_kubernetes_io_service_name="svc", __meta_kubernetes_endpointslice_labelpresent_kubernetes_io_service_name="true", __meta_kubernetes_endpointslice_name="svc-4""#;
    let family = r#"__meta_kubernetes_endpointslice_address_type="IPv4""#;
    assert_eq!(
        targets("endpointslice", attach).await,
        [
            format!(
                r#"{{__address__="10.0.0.1:80", __meta_kubernetes_endpointslice_address_target_kind="Pod", __meta_kubernetes_endpointslice_address_target_name="p1", {family}, __meta_kubernetes_endpointslice_endpoint_conditions_ready="true", __meta_kubernetes_endpointslice_endpoint_conditions_terminating="false", __meta_kubernetes_endpointslice_endpoint_node_name="n1", __meta_kubernetes_endpointslice_endpoint_zone="z1", {group}, __meta_kubernetes_endpointslice_port="80", __meta_kubernetes_endpointslice_port_name="http", __meta_kubernetes_endpointslice_port_protocol="TCP", __meta_kubernetes_namespace="ns", {first}, {service}}}"#
            ),
            format!(
                r#"{{__address__="10.0.0.1:81", {family}, {group}, __meta_kubernetes_namespace="ns", {second}, {service}}}"#
            ),
        ]
    );
}

#[tokio::test]
async fn watches_go_on_and_old_ones_begin_anew() {
    let fake = Fake::start(&[]).await;
    let node = |name: &str, version: u32| {
        format!(
            r#"{{"metadata": {{"name": "{name}", "resourceVersion": "{version}"}}, "status": {{"addresses": [{{"type": "InternalIP", "address": "{name}"}}]}}}}"#
        )
    };
    let event = |kind: &str, object: &str| format!("{{\"type\": \"{kind}\", \"object\": {object}}}\n");
    let path = |version: u32| format!("/api/v1/nodes?{}", WATCH.replace("=7", &format!("={version}")));
    // Two pages, then a watch that ends, then one that goes on from its bookmark.
    let more = list(&node("a", 1))
        .replace(r#""resourceVersion": "7"}, "items"#, r#""resourceVersion": "7", "continue": "x"}, "items"#);
    fake.answer("/api/v1/nodes?limit=500", 200, &[], &more);
    fake.answer("/api/v1/nodes?limit=500&continue=x", 200, &[], &list(&node("b", 2)));
    let bookmark = event("BOOKMARK", r#"{"metadata": {"resourceVersion": "9"}}"#);
    fake.answer(
        &path(7),
        200,
        &[],
        &(event("ADDED", &node("c", 8)) + &event("DELETED", &node("a", 8)) + &bookmark),
    );
    let gone = event("ERROR", r#"{"code": 410, "reason": "Expired"}"#);
    fake.answer(&path(9), 200, &[], &(event("MODIFIED", &node("b", 10)) + &gone));
    let bench = Bench::new();
    let config: Config = fake::config(&format!("{{role: node, api_server: '{}'}}", fake.url)).unwrap();
    let mut sub = bench.subscribe(&config.into());
    let mut seen = BTreeSet::new();
    let all = async {
        // From the list: a, b; from the watch: b, c; then a new list: a, b.
        while seen.len() < 2 {
            sub.changed().await;
            let groups = sub.take().unwrap();
            seen.insert(
                groups.iter().flat_map(|group| group.addresses().map(str::to_owned)).collect::<Vec<_>>(),
            );
        }
    };
    tokio::time::timeout(StdDuration::from_secs(20), all).await.expect("changes are seen");
    assert!(seen.contains(&vec!["b:0".to_owned(), "c:0".to_owned()]), "{seen:?}");
    bench
        .until(|| fake.asked().iter().filter(|asked| asked.path == "/api/v1/nodes?limit=500").count() > 1)
        .await;
    assert!(
        metric(&bench.registry, "prometheus_sd_kubernetes_events_total{role=\"node\",event=\"delete\"}")
            >= 1.0
    );
    assert!(metric(&bench.registry, "prometheus_sd_kubernetes_failures_total") < 1.0);
}
