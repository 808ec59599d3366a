//! OpenStack against recorded answers.

use super::*;
use crate::fake::{self, Fake};

async fn cloud(answers: &[(&str, &str)]) -> Fake {
    let fake = Fake::start(answers).await;
    let endpoint = |path: &str| {
        let url = fake.url.join(path).unwrap();
        let one = |interface: &str, url: &str| json!({"interface": interface, "region": "r1", "region_id": "r1", "url": url});
        json!([one("internal", "http://127.0.0.1:1/"), one("public", url.as_str())])
    };
    let catalog = json!({"token": {"catalog": [
        {"type": "compute", "endpoints": endpoint("compute/")}, {"type": "network", "endpoints": endpoint("net/")},
        {"type": "load-balancer", "endpoints": endpoint("lb/")},
    ]}});
    fake.answer("/v3/auth/tokens", 201, &[("x-subject-token", "t")], &catalog.to_string());
    fake
}

async fn check(fake: &Fake, more: &str, expected: &[&str]) {
    let text = format!(
        "{{identity_endpoint: '{}', username: u, password: p, domain_name: d, project_name: n, region: r1, {more}}}",
        fake.url
    );
    let groups = OpenStack::new(&fake::config(&text).unwrap()).unwrap().refresh().await.unwrap();
    assert_eq!(groups[0].source, "OS_r1");
    assert_eq!(fake::labels(&groups), expected);
    assert!(fake.asked()[1..].iter().all(|asked| asked.headers["x-auth-token"] == "t"));
}

#[tokio::test]
async fn instances_become_a_target_for_each_address() {
    let fake = cloud(&[
        ("/net/v2.0/ports", r#"{"ports": [{"id": "port", "device_id": "ef079b0c"}]}"#),
        ("/net/v2.0/floatingips", r#"{"floatingips": [{"port_id": "port", "fixed_ip_address": "10.0.0.32", "floating_ip_address": "10.10.10.2"},
            {"port_id": null, "fixed_ip_address": null, "floating_ip_address": "10.10.10.9"}]}"#),
        ("/compute/servers/detail?all_tenants=true", r#"{"servers": [], "servers_links": [{"rel": "next", "href": "/compute/servers/detail?marker=m"}]}"#),
        ("/compute/servers/detail?marker=m", r#"{"servers": [{"id": "ef079b0c", "name": "herp", "status": "ACTIVE", "tenant_id": "t1", "user_id": "u1",
            "flavor": {"original_name": "m1.medium"}, "image": {"id": "f90f6034"}, "metadata": {"a-b": "c"},
            "addresses": {"private": [{"addr": "10.0.0.32"}, {"addr": "10.10.10.2"}]}}, {"id": "none", "flavor": {"id": "1"}, "addresses": {}}]}"#),
    ])
    .await;
    let expected = concat!(
        r#"{__address__="10.0.0.32:80", __meta_openstack_address_pool="private", __meta_openstack_instance_flavor="m1.medium", "#,
        r#"__meta_openstack_instance_id="ef079b0c", __meta_openstack_instance_image="f90f6034", __meta_openstack_instance_name="herp", "#,
        r#"__meta_openstack_instance_status="ACTIVE", __meta_openstack_private_ip="10.0.0.32", __meta_openstack_project_id="t1", "#,
        r#"__meta_openstack_public_ip="10.10.10.2", __meta_openstack_tag_a_b="c", __meta_openstack_user_id="u1"}"#,
    );
    check(&fake, "role: instance, all_tenants: true", &[expected]).await;
    let asked: Value = serde_json::from_slice(&fake.asked()[0].body).unwrap();
    let user = json!({"name": "u", "password": "p", "domain": {"name": "d"}});
    let identity = json!({"methods": ["password"], "password": {"user": user}});
    let scope = json!({"project": {"name": "n", "domain": {"name": "d"}}});
    assert_eq!(asked, json!({"auth": {"identity": identity, "scope": scope}}));
}

#[tokio::test]
async fn hypervisors_become_targets() {
    let hypervisors = r#"{"hypervisors": [{"id": 1, "hypervisor_hostname": "nc14.cloud.com", "host_ip": "172.16.70.14", "status": "enabled",
        "state": "up", "hypervisor_type": "QEMU"}]}"#;
    let fake = cloud(&[("/compute/os-hypervisors/detail", hypervisors)]).await;
    let expected = concat!(
        r#"{__address__="172.16.70.14:9100", __meta_openstack_hypervisor_host_ip="172.16.70.14", __meta_openstack_hypervisor_hostname="nc14.cloud.com", "#,
        r#"__meta_openstack_hypervisor_id="1", __meta_openstack_hypervisor_state="up", __meta_openstack_hypervisor_status="enabled", "#,
        r#"__meta_openstack_hypervisor_type="QEMU"}"#,
    );
    check(&fake, "role: hypervisor, port: 9100", &[expected]).await;
}

#[tokio::test]
async fn load_balancers_that_tell_their_metrics_become_targets() {
    let fake = cloud(&[
        ("/lb/v2.0/lbaas/loadbalancers", r#"{"loadbalancers": [{"id": "l1", "name": "lb1", "operating_status": "ONLINE", "provisioning_status": "ACTIVE",
            "availability_zone": "az1", "vip_address": "10.0.0.32", "vip_port_id": "vp", "provider": "amphora", "project_id": "p1", "tags": ["a", "b"]}, {"id": "l2"}]}"#),
        ("/lb/v2.0/lbaas/listeners", r#"{"listeners": [{"protocol": "HTTP", "protocol_port": 80, "loadbalancers": [{"id": "l2"}]},
            {"protocol": "PROMETHEUS", "protocol_port": 9273, "loadbalancers": [{"id": "l1"}]}]}"#),
        ("/net/v2.0/floatingips", r#"{"floatingips": [{"port_id": "vp", "floating_ip_address": "192.168.1.2"}]}"#),
    ])
    .await;
    let expected = concat!(
        r#"{__address__="10.0.0.32:9273", __meta_openstack_loadbalancer_availability_zone="az1", __meta_openstack_loadbalancer_floating_ip="192.168.1.2", "#,
        r#"__meta_openstack_loadbalancer_id="l1", __meta_openstack_loadbalancer_name="lb1", __meta_openstack_loadbalancer_operating_status="ONLINE", "#,
        r#"__meta_openstack_loadbalancer_provider="amphora", __meta_openstack_loadbalancer_provisioning_status="ACTIVE", "#,
        r#"__meta_openstack_loadbalancer_tags="a,b", __meta_openstack_loadbalancer_vip="10.0.0.32", __meta_openstack_project_id="p1"}"#,
    );
    check(&fake, "role: loadbalancer", &[expected]).await;
}

#[tokio::test]
async fn refusals_and_missing_services_are_told() {
    let fake = cloud(&[]).await;
    let text =
        |region: &str| format!("{{identity_endpoint: '{}v3', role: hypervisor, region: {region}}}", fake.url);
    let ask = async |region: &str| {
        let mut openstack = OpenStack::new(&fake::config(&text(region)).unwrap()).unwrap();
        openstack.refresh().await.unwrap_err().to_string()
    };
    assert_eq!(ask("r2").await, "no public endpoint for service \"compute\" in region \"r2\"");
    fake.answer("/v3/auth/tokens", 401, &[], "no");
    assert!(ask("r1").await.starts_with("could not authenticate to OpenStack: "));
}

#[test]
fn configurations_are_checked_as_prometheus_does() {
    for (text, expected) in [
        ("{}", "role missing (one of: instance, hypervisor, loadbalancer)"),
        ("{role: x}", "unknown OpenStack SD role \"x\""),
        ("{role: instance}", "openstack SD configuration requires a region"),
        ("{availability: x}", "unknown availability x, must be one of admin, internal or public"),
    ] {
        assert_eq!(fake::config::<Config>(text).unwrap_err(), format!("p.yml: {expected}"));
    }
    let env = |name: &str| (name == "OS_AUTH_URL").then(|| "http://h".to_owned());
    assert_eq!(Account::from_env(env).unwrap().identity_endpoint, "http://h");
    assert!(Account::from_env(|_| None).is_err());
    let account =
        Account { credential_id: "i".to_owned(), credential_secret: Secret::new("s"), ..Account::default() };
    let credential = json!({"id": "i", "secret": "s"});
    let identity = json!({"methods": ["application_credential"], "application_credential": credential});
    assert_eq!(account.request(), json!({"auth": {"identity": identity}}));
}
