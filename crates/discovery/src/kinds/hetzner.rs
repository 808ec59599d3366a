//! `hetzner_sd_configs`: servers of Hetzner Cloud, and dedicated ones by the Robot service.
//!
//! Cloud API version 1: «List Servers», «List Networks»; Robot web service: «GET /server».

use std::path::Path;

use model::{Duration, Labels};
use net::HttpClientConfig;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, pairs, text};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::{Api, PAGES_MAX};

const HCLOUD: &str = "https://api.hetzner.cloud/v1/";
const ROBOT: &str = "https://robot-ws.your-server.de/";
const PREFIX: &str = "__meta_hetzner_";

/// One element of `hetzner_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    role: Role,
    port: u16,
    label_selector: String,
    refresh_interval: Duration,
    http: HttpClientConfig,
    /// Elsewhere in tests only.
    endpoint: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Hcloud,
    Robot,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        role: Option<String>,
        port: Option<u16>,
        label_selector: Option<String>,
        refresh_interval: Option<Duration>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let (role, endpoint) = match keys.role.as_deref() {
            Some("hcloud") => (Role::Hcloud, HCLOUD),
            Some("robot") => (Role::Robot, ROBOT),
            None => return Err("role missing (one of: robot, hcloud)".to_owned()),
            Some(other) => return Err(format!("unknown role {other:?}")),
        };
        Ok(Self {
            role,
            port: keys.port.unwrap_or(80),
            label_selector: keys.label_selector.take().unwrap_or_default(),
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            http: keys.take_http()?,
            endpoint: endpoint.to_owned(),
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "hetzner";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(refreshing(context, self.refresh_interval, Hetzner::new(self)?))
    }
}

#[derive(Debug)]
struct Hetzner {
    config: Config,
    api: Api,
}

impl Hetzner {
    fn new(config: &Config) -> Result<Self, SdError> {
        Ok(Self { config: config.clone(), api: Api::new(&config.http, config.refresh_interval)? })
    }

    /// All pages of one list of Hetzner Cloud.
    async fn list(&self, name: &str, selector: &str) -> Result<Vec<Value>, SdError> {
        let mut all = Vec::new();
        let mut page = "1".to_owned();
        for _ in 0..PAGES_MAX {
            let url = format!("{}{name}", self.config.endpoint);
            let mut url = Url::parse(&url).map_err(SdError::other)?;
            url.query_pairs_mut().append_pair("page", &page).append_pair("per_page", "50");
            if !selector.is_empty() {
                url.query_pairs_mut().append_pair("label_selector", selector);
            }
            let answer: Value = self.api.get_json(&url).await?;
            all.extend_from_slice(items(&answer, &format!("/{name}")));
            page = text(&answer, "/meta/pagination/next_page");
            if page.is_empty() {
                return Ok(all);
            }
        }
        Err(SdError::other(format!("more than {PAGES_MAX} pages of {name}")))
    }

    fn cloud_server(&self, server: &Value, networks: &[Value]) -> Labels {
        let or_nil = |text: String| if text.is_empty() { "<nil>".to_owned() } else { text };
        // What Go writes where there is no address.
        let public = or_nil(text(server, "/public_net/ipv4/ip"));
        let at = if server.pointer("/location").is_some() { "/location" } else { "/datacenter/location" };
        let (location, zone) =
            (text(server, &format!("{at}/name")), text(server, &format!("{at}/network_zone")));
        let whole = |place: &str| server.pointer(place).and_then(Value::as_f64).unwrap_or_default() as i64;
        let mut target = Target::new(PREFIX);
        target.take(
            server,
            &[
                ("server_id", "/id"),
                ("server_name", "/name"),
                ("server_status", "/status"),
                ("hcloud_server_type", "/server_type/name"),
                ("hcloud_cpu_type", "/server_type/cpu_type"),
                ("hcloud_image_name", "/image/name"),
                ("hcloud_image_description", "/image/description"),
                ("hcloud_image_os_version", "/image/os_version"),
                ("hcloud_image_os_flavor", "/image/os_flavor"),
            ],
        );
        target.set("role", "hcloud").set("public_ipv4", &public);
        target.set("public_ipv6_network", or_nil(text(server, "/public_net/ipv6/ip")));
        target.set("hcloud_location", &location).set("hcloud_datacenter_location", &location);
        target.set("hcloud_location_network_zone", &zone);
        target.set("hcloud_datacenter_location_network_zone", &zone);
        target.set("hcloud_cpu_cores", whole("/server_type/cores"));
        target.set("hcloud_memory_size_gb", whole("/server_type/memory"));
        target.set("hcloud_disk_size_gb", whole("/server_type/disk"));
        for private in items(server, "/private_net") {
            let id = text(private, "/network");
            for network in networks.iter().filter(|network| text(network, "/id") == id) {
                target.tag("hcloud_private_ipv4_", &text(network, "/name"), text(private, "/ip"));
            }
        }
        for (name, value) in pairs(server, "/labels") {
            target.tag("hcloud_labelpresent_", name, true);
            target.tag("hcloud_label_", name, value.as_str().unwrap_or_default());
        }
        target.address(&public, self.config.port).build()
    }

    fn robot_server(&self, entry: &Value) -> Labels {
        let mut target = Target::new(PREFIX);
        let datacenter = text(entry, "/server/dc").to_lowercase();
        target.take(
            entry,
            &[
                ("server_id", "/server/server_number"),
                ("server_name", "/server/server_name"),
                ("server_status", "/server/status"),
                ("public_ipv4", "/server/server_ip"),
                ("robot_product", "/server/product"),
                ("robot_cancelled", "/server/cancelled"),
            ],
        );
        target.set("role", "robot").set("datacenter", &datacenter).set("robot_datacenter", &datacenter);
        let subnets = items(entry, "/server/subnet");
        if let Some(subnet) = subnets.iter().find(|subnet| text(subnet, "/ip").contains(':')) {
            target.set("public_ipv6_network", format!("{}/{}", text(subnet, "/ip"), text(subnet, "/mask")));
        }
        target.address(&text(entry, "/server/server_ip"), self.config.port).build()
    }
}

impl Provider for Hetzner {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let targets = match self.config.role {
            Role::Hcloud => {
                let servers = self.list("servers", &self.config.label_selector).await?;
                let networks = self.list("networks", "").await?;
                servers.iter().map(|server| self.cloud_server(server, &networks)).collect()
            }
            Role::Robot => {
                let url = format!("{}server", self.config.endpoint);
                let url = Url::parse(&url).map_err(SdError::other)?;
                let servers: Vec<Value> = self.api.get_json(&url).await?;
                servers.iter().map(|server| self.robot_server(server)).collect()
            }
        };
        Ok(vec![TargetGroup::new("hetzner", targets)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    async fn check(text: &str, fake: &Fake, expected: &[&str]) {
        let mut config: Config = fake::config(text).unwrap();
        config.endpoint = fake.url.to_string();
        let groups = Hetzner::new(&config).unwrap().refresh().await.unwrap();
        assert_eq!(fake::labels(&groups), expected);
    }

    #[tokio::test]
    async fn cloud_servers_of_all_pages_become_targets() {
        let first = r#"{"servers": [{"id": 42, "name": "my-server", "status": "running", "labels": {"my-key": "my-value", "empty": ""},
            "public_net": {"ipv4": {"ip": "1.2.3.4"}, "ipv6": {"ip": "2001:db8::/64"}},
            "private_net": [{"network": 4711, "ip": "10.0.0.2"}],
            "server_type": {"name": "cx11", "cores": 1, "cpu_type": "shared", "memory": 1.0, "disk": 25},
            "location": {"name": "fsn1", "network_zone": "eu-central"},
            "image": {"name": "ubuntu-20.04", "description": "Ubuntu", "os_flavor": "ubuntu", "os_version": "20.04"}}],
            "meta": {"pagination": {"next_page": 2}}}"#;
        let second = r#"{"servers": [{"id": 44, "name": "bare", "status": "off", "public_net": {"ipv4": null},
            "server_type": {"name": "cpx11", "cores": 2, "cpu_type": "shared", "memory": 2.5, "disk": 50}, "image": null,
            "datacenter": {"location": {"name": "nbg1", "network_zone": "eu-central"}}}], "meta": {"pagination": {"next_page": null}}}"#;
        let fake = Fake::start(&[
            ("/servers?page=1&per_page=50&label_selector=env%3Dprod", first),
            ("/servers?page=2&per_page=50&label_selector=env%3Dprod", second),
            ("/networks?page=1&per_page=50", r#"{"networks": [{"id": 4711, "name": "my-net"}], "meta": {}}"#),
        ])
        .await;
        let first = concat!(
            r#"{__address__="1.2.3.4:80", __meta_hetzner_hcloud_cpu_cores="1", __meta_hetzner_hcloud_cpu_type="shared", "#,
            r#"__meta_hetzner_hcloud_datacenter_location="fsn1", __meta_hetzner_hcloud_datacenter_location_network_zone="eu-central", "#,
            r#"__meta_hetzner_hcloud_disk_size_gb="25", __meta_hetzner_hcloud_image_description="Ubuntu", "#,
            r#"__meta_hetzner_hcloud_image_name="ubuntu-20.04", __meta_hetzner_hcloud_image_os_flavor="ubuntu", "#,
            r#"__meta_hetzner_hcloud_image_os_version="20.04", __meta_hetzner_hcloud_label_my_key="my-value", "#,
            r#"__meta_hetzner_hcloud_labelpresent_empty="true", __meta_hetzner_hcloud_labelpresent_my_key="true", "#,
            r#"__meta_hetzner_hcloud_location="fsn1", __meta_hetzner_hcloud_location_network_zone="eu-central", "#,
            r#"__meta_hetzner_hcloud_memory_size_gb="1", __meta_hetzner_hcloud_private_ipv4_my_net="10.0.0.2", "#,
            r#"__meta_hetzner_hcloud_server_type="cx11", __meta_hetzner_public_ipv4="1.2.3.4", "#,
            r#"__meta_hetzner_public_ipv6_network="2001:db8::/64", __meta_hetzner_role="hcloud", __meta_hetzner_server_id="42", "#,
            r#"__meta_hetzner_server_name="my-server", __meta_hetzner_server_status="running"}"#,
        );
        let second = concat!(
            r#"{__address__="<nil>:80", __meta_hetzner_hcloud_cpu_cores="2", __meta_hetzner_hcloud_cpu_type="shared", "#,
            r#"__meta_hetzner_hcloud_datacenter_location="nbg1", __meta_hetzner_hcloud_datacenter_location_network_zone="eu-central", "#,
            r#"__meta_hetzner_hcloud_disk_size_gb="50", __meta_hetzner_hcloud_location="nbg1", "#,
            r#"__meta_hetzner_hcloud_location_network_zone="eu-central", __meta_hetzner_hcloud_memory_size_gb="2", "#,
            r#"__meta_hetzner_hcloud_server_type="cpx11", __meta_hetzner_public_ipv4="<nil>", "#,
            r#"__meta_hetzner_public_ipv6_network="<nil>", __meta_hetzner_role="hcloud", __meta_hetzner_server_id="44", "#,
            r#"__meta_hetzner_server_name="bare", __meta_hetzner_server_status="off"}"#,
        );
        check("{role: hcloud, label_selector: env=prod}", &fake, &[first, second]).await;
    }

    #[tokio::test]
    async fn dedicated_servers_become_targets() {
        let servers = r#"[{"server": {"server_ip": "123.123.123.123", "server_number": 321, "server_name": "server1", "product": "DS 3000",
            "dc": "NBG1-DC1", "status": "ready", "cancelled": false, "subnet": [{"ip": "2a01:4f8:111:4221::", "mask": "64"}]}}]"#;
        let fake = Fake::start(&[("/server", servers)]).await;
        let expected = concat!(
            r#"{__address__="123.123.123.123:9100", __meta_hetzner_datacenter="nbg1-dc1", __meta_hetzner_public_ipv4="123.123.123.123", "#,
            r#"__meta_hetzner_public_ipv6_network="2a01:4f8:111:4221::/64", __meta_hetzner_robot_cancelled="false", "#,
            r#"__meta_hetzner_robot_datacenter="nbg1-dc1", __meta_hetzner_robot_product="DS 3000", __meta_hetzner_role="robot", "#,
            r#"__meta_hetzner_server_id="321", __meta_hetzner_server_name="server1", __meta_hetzner_server_status="ready"}"#,
        );
        check("{role: robot, port: 9100, basic_auth: {username: u, password: p}}", &fake, &[expected]).await;
    }

    #[test]
    fn a_role_is_wanted() {
        for (text, expected) in [
            ("{}", "p.yml: role missing (one of: robot, hcloud)"),
            ("{role: x}", "p.yml: unknown role \"x\""),
        ] {
            assert_eq!(fake::config::<Config>(text).unwrap_err(), expected);
        }
    }
}
