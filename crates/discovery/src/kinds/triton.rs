//! `triton_sd_configs`: containers and compute nodes of Triton, by its Container Monitor.
//!
//! `GET /v1/discover` and `GET /v1/gz/discover`, always over TLS.

use std::path::Path;

use model::{Duration, Labels};
use net::{HttpClientConfig, TlsConfig};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, text, texts};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::Api;

/// One element of `triton_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    role: Role,
    dns_suffix: String,
    port: u16,
    url: Url,
    refresh_interval: Duration,
    tls: Option<TlsConfig>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Container,
    ComputeNode,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    account: String,
    role: Option<String>,
    dns_suffix: String,
    endpoint: String,
    groups: Option<Vec<String>>,
    port: Option<u16>,
    refresh_interval: Option<Duration>,
    tls_config: Option<TlsConfig>,
    version: Option<u32>,
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let require = |value: &str, what: &str| match value {
            "" => Err(format!("triton SD configuration requires {what}")),
            _ => Ok(()),
        };
        let (role, path) = match keys.role.as_deref() {
            None | Some("container") => (Role::Container, "discover"),
            Some("cn") => (Role::ComputeNode, "gz/discover"),
            Some(_) => {
                return Err("triton SD configuration requires role to be 'container' or 'cn'".to_owned());
            }
        };
        require(&keys.account, "an account")?;
        require(&keys.dns_suffix, "a dns_suffix")?;
        require(&keys.endpoint, "an endpoint")?;
        if keys.refresh_interval.is_some_and(|interval| interval.is_zero()) {
            return Err(
                "triton SD configuration requires RefreshInterval to be a positive integer".to_owned()
            );
        }
        let port = keys.port.unwrap_or(9163);
        let text = format!("https://{}:{port}/v{}/{path}", keys.endpoint, keys.version.unwrap_or(1));
        let mut url = Url::parse(&text).map_err(|err| format!("endpoint {:?}: {err}", keys.endpoint))?;
        if let Some(groups) = keys.groups.filter(|groups| !groups.is_empty()) {
            url.query_pairs_mut().append_pair("groups", &groups.join(","));
        }
        Ok(Self {
            role,
            dns_suffix: keys.dns_suffix,
            port,
            url,
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            tls: keys.tls_config,
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "triton";

    fn set_directory(&mut self, dir: &Path) {
        if let Some(tls) = &mut self.tls {
            tls.set_directory(dir);
        }
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(refreshing(context, self.refresh_interval, Triton::new(self)?))
    }
}

#[derive(Debug)]
struct Triton {
    config: Config,
    api: Api,
}

impl Triton {
    fn new(config: &Config) -> Result<Self, SdError> {
        let http = HttpClientConfig { tls_config: config.tls.clone(), ..HttpClientConfig::default() };
        Ok(Self { config: config.clone(), api: Api::new(&http, config.refresh_interval)? })
    }

    fn target(&self, machine: &Value, id: &str, places: &[(&str, &str)]) -> Labels {
        let mut target = Target::new("__meta_triton_");
        target.take(machine, places).list("groups", &texts(machine, "/groups"));
        let host = format!("{}.{}", text(machine, id), self.config.dns_suffix);
        target.address(&host, self.config.port).build()
    }
}

impl Provider for Triton {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let answer: Value = self.api.get_json(&self.config.url).await?;
        let (list, id, places): (_, _, &[(&str, &str)]) = match self.config.role {
            Role::Container => (
                "/containers",
                "/vm_uuid",
                &[
                    ("machine_id", "/vm_uuid"),
                    ("machine_alias", "/vm_alias"),
                    ("machine_brand", "/vm_brand"),
                    ("machine_image", "/vm_image_uuid"),
                    ("server_id", "/server_uuid"),
                ],
            ),
            Role::ComputeNode => (
                "/cns",
                "/server_uuid",
                &[("machine_id", "/server_uuid"), ("machine_alias", "/server_hostname")],
            ),
        };
        let targets = items(&answer, list).iter().map(|machine| self.target(machine, id, places));
        Ok(vec![TargetGroup::new(self.config.url.as_str(), targets.collect())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        for (text, expected) in [
            ("{}", "requires an account"),
            ("{account: a}", "requires a dns_suffix"),
            ("{account: a, dns_suffix: d}", "requires an endpoint"),
            ("{role: x}", "requires role to be 'container' or 'cn'"),
        ] {
            let got = fake::config::<Config>(text).unwrap_err();
            assert_eq!(got, format!("p.yml: triton SD configuration {expected}"));
        }
        let config: Config =
            fake::config("{account: a, dns_suffix: d, endpoint: e, groups: [a b, c]}").unwrap();
        assert_eq!(config.url.as_str(), "https://e:9163/v1/discover?groups=a+b%2Cc");
    }

    #[tokio::test]
    async fn containers_and_nodes_become_targets() {
        let containers = r#"{"containers": [{"groups": ["foo", "bar", "baz"], "server_uuid": "44454c4c", "vm_alias": "server01", "vm_brand": "lx",
            "vm_image_uuid": "7b27a514", "vm_uuid": "ad466fbf"}]}"#;
        let nodes = r#"{"cns": [{"server_uuid": "44454c4c", "server_hostname": "server01"}]}"#;
        let fake = Fake::start(&[("/v1/discover", containers), ("/v1/gz/discover", nodes)]).await;
        let container = concat!(
            r#"{__address__="ad466fbf.triton.example.com:9163", __meta_triton_groups=",foo,bar,baz,", __meta_triton_machine_alias="server01", "#,
            r#"__meta_triton_machine_brand="lx", __meta_triton_machine_id="ad466fbf", __meta_triton_machine_image="7b27a514", "#,
            r#"__meta_triton_server_id="44454c4c"}"#,
        );
        let node = r#"{__address__="44454c4c.triton.example.com:9163", __meta_triton_machine_alias="server01", __meta_triton_machine_id="44454c4c"}"#;
        for (role, expected) in [("container", container), ("cn", node)] {
            let text = format!("{{account: a, role: {role}, dns_suffix: triton.example.com, endpoint: e}}");
            let mut config: Config = fake::config(&text).unwrap();
            config.url = fake.url.join(config.url.path()).unwrap();
            assert_eq!(fake::labels(&Triton::new(&config).unwrap().refresh().await.unwrap()), [expected]);
        }
    }
}
