//! `nerve_sd_configs`: members that AirBnB's Nerve registers in ZooKeeper.

use model::Labels;
use serde::Deserialize;

use super::Kind;
use crate::SdError;
use crate::driver::{Context, Task};
use crate::group::join_host_port;
use crate::zookeeper::{Tree, TreeKeys, follow};

/// One element of `nerve_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TreeKeys")]
pub struct Config {
    tree: Tree,
}

impl TryFrom<TreeKeys> for Config {
    type Error = String;

    fn try_from(keys: TreeKeys) -> Result<Self, String> {
        keys.check("nerve").map(|tree| Self { tree })
    }
}

impl Kind for Config {
    const NAME: &'static str = "nerve";

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(Box::pin(follow(context, self.tree.clone(), target)))
    }
}

#[derive(Debug, Deserialize)]
struct Member {
    host: String,
    #[serde(default)]
    port: i64,
    #[serde(default)]
    name: String,
}

/// `None` for nodes that are no members, such as the folders above them.
fn target(path: &str, data: &[u8]) -> Option<Labels> {
    let member: Member = serde_json::from_slice(data).ok()?;
    Some(Labels::from_pairs([
        ("__address__", join_host_port(&member.host, member.port)),
        ("__meta_nerve_path", path.to_owned()),
        ("__meta_nerve_endpoint_host", member.host),
        ("__meta_nerve_endpoint_port", member.port.to_string()),
        ("__meta_nerve_endpoint_name", member.name),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;
    use crate::hub::tests::Bench;
    use crate::zookeeper::tests::FakeZookeeper;

    #[tokio::test]
    async fn members_are_followed_as_they_come_and_go() {
        let zookeeper = FakeZookeeper::start(&[
            ("/n", ""),
            ("/n/web", "x"),
            ("/n/web/1", r#"{"host": "h1", "port": 80, "name": "one"}"#),
        ])
        .await;
        let text = format!("{{servers: ['{}'], paths: [/n/, /later]}}", zookeeper.address);
        let bench = Bench::new();
        let mut sub = bench.subscribe(&fake::config::<Config>(&text).unwrap().into());
        let mut next = async || {
            tokio::time::timeout(std::time::Duration::from_secs(20), sub.changed()).await.expect("a change");
            fake::labels(&sub.take().unwrap())
        };
        let of = |path: &str, host: &str, port: u16, name: &str| {
            let name = if name.is_empty() {
                String::new()
            } else {
                format!(r#"__meta_nerve_endpoint_name="{name}", "#)
            };
            format!(
                r#"{{__address__="{host}:{port}", __meta_nerve_endpoint_host="{host}", {name}__meta_nerve_endpoint_port="{port}", __meta_nerve_path="{path}"}}"#
            )
        };
        let one = of("/n/web/1", "h1", 80, "one");
        assert_eq!(next().await, std::slice::from_ref(&one));
        zookeeper.set("/n/web/2", Some(r#"{"host": "h2", "port": 81}"#), (4, "/n/web"));
        assert_eq!(next().await, [one.clone(), of("/n/web/2", "h2", 81, "")]);
        zookeeper.set("/n/web/2", Some(r#"{"host": "h2", "port": 82}"#), (3, "/n/web/2"));
        assert_eq!(next().await, [one.clone(), of("/n/web/2", "h2", 82, "")]);
        zookeeper.set("/n/web/2", None, (4, "/n/web"));
        assert_eq!(next().await, std::slice::from_ref(&one));
        zookeeper.set("/later", Some(r#"{"host": "h3", "port": 1}"#), (1, "/later"));
        assert_eq!(next().await, [of("/later", "h3", 1, ""), one.clone()]);
        zookeeper.set("/later", None, (2, "/later"));
        assert_eq!(next().await, [one]);
    }

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        for (text, expected) in [
            ("{paths: [/a]}", "p.yml: nerve SD config must contain at least one Zookeeper server"),
            ("{servers: [a]}", "p.yml: nerve SD config must contain at least one path"),
            ("{servers: [a], paths: [x]}", "p.yml: nerve SD config paths must begin with '/': x"),
        ] {
            assert_eq!(fake::config::<Config>(text).unwrap_err(), expected);
        }
    }
}
