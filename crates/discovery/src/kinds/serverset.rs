//! `serverset_sd_configs`: members of Twitter's serversets (Finagle, Aurora) in ZooKeeper.

use std::collections::BTreeMap;

use model::{Labels, LabelsBuilder};
use serde::Deserialize;

use super::Kind;
use crate::SdError;
use crate::driver::{Context, Task};
use crate::group::{join_host_port, set_all};
use crate::zookeeper::{Tree, TreeKeys, follow};

/// One element of `serverset_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TreeKeys")]
pub struct Config {
    tree: Tree,
}

impl TryFrom<TreeKeys> for Config {
    type Error = String;

    fn try_from(keys: TreeKeys) -> Result<Self, String> {
        keys.check("serverset").map(|tree| Self { tree })
    }
}

impl Kind for Config {
    const NAME: &'static str = "serverset";

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(Box::pin(follow(context, self.tree.clone(), target)))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    service_endpoint: Endpoint,
    #[serde(default)]
    additional_endpoints: BTreeMap<String, Endpoint>,
    #[serde(default)]
    status: String,
    #[serde(default)]
    shard: i64,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    host: String,
    port: i64,
}

/// `None` for nodes that are no members, such as the folders above them.
fn target(path: &str, data: &[u8]) -> Option<Labels> {
    let member: Member = serde_json::from_slice(data).ok()?;
    let endpoint = &member.service_endpoint;
    let mut labels = LabelsBuilder::new();
    labels
        .set("__address__", &join_host_port(&endpoint.host, endpoint.port))
        .set("__meta_serverset_path", path)
        .set("__meta_serverset_endpoint_host", &endpoint.host)
        .set("__meta_serverset_endpoint_port", &endpoint.port.to_string())
        .set("__meta_serverset_status", &member.status)
        .set("__meta_serverset_shard", &member.shard.to_string());
    let more = &member.additional_endpoints;
    let hosts = more.iter().map(|(name, endpoint)| (name, endpoint.host.clone()));
    set_all(&mut labels, "__meta_serverset_endpoint_host_", hosts);
    let ports = more.iter().map(|(name, endpoint)| (name, endpoint.port.to_string()));
    set_all(&mut labels, "__meta_serverset_endpoint_port_", ports);
    Some(labels.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_become_targets() {
        let data = r#"{"serviceEndpoint": {"host": "h", "port": 1}, "additionalEndpoints": {"http-admin": {"host": "h", "port": 2}}, "status": "ALIVE", "shard": 3}"#;
        let expected = r#"{__address__="h:1", __meta_serverset_endpoint_host="h", __meta_serverset_endpoint_host_http_admin="h", __meta_serverset_endpoint_port="1", __meta_serverset_endpoint_port_http_admin="2", __meta_serverset_path="/p/member_0", __meta_serverset_shard="3", __meta_serverset_status="ALIVE"}"#;
        assert_eq!(target("/p/member_0", data.as_bytes()).unwrap().to_string(), expected);
        assert_eq!(target("/p", b""), None);
    }
}
