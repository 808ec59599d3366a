//! `digitalocean_sd_configs`: droplets and managed databases.
//!
//! API version 2: «List All Droplets», «List All Database Clusters».

use std::path::Path;

use model::{Duration, Labels};
use net::HttpClientConfig;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, text, texts};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::{Api, PAGES_MAX};

const ENDPOINT: &str = "https://api.digitalocean.com/";
const PREFIX: &str = "__meta_digitalocean_";

/// One element of `digitalocean_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    role: Role,
    port: u16,
    refresh_interval: Duration,
    http: HttpClientConfig,
    /// Elsewhere in tests only.
    endpoint: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Droplets,
    Databases,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        #[serde(deserialize_with = "model::yaml::null_as_empty")]
        role: Option<String>,
        port: Option<u16>,
        refresh_interval: Option<Duration>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let role = match keys.role.as_deref() {
            None | Some("droplets") => Role::Droplets,
            Some("databases") => Role::Databases,
            Some(other) => return Err(format!("unknown DigitalOcean SD role {other:?}")),
        };
        Ok(Self {
            role,
            port: keys.port.unwrap_or(80),
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            http: keys.take_http()?,
            endpoint: ENDPOINT.to_owned(),
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "digitalocean";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(refreshing(context, self.refresh_interval, DigitalOcean::new(self)?))
    }
}

#[derive(Debug)]
struct DigitalOcean {
    config: Config,
    api: Api,
}

impl DigitalOcean {
    fn new(config: &Config) -> Result<Self, SdError> {
        Ok(Self { config: config.clone(), api: Api::new(&config.http, config.refresh_interval)? })
    }

    /// All pages of one list.
    async fn list(&self, path: &str, key: &str) -> Result<Vec<Value>, SdError> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let url = format!("{}v2/{path}?page={page}&per_page=100", self.config.endpoint);
            let url = Url::parse(&url).map_err(SdError::other)?;
            let answer: Value = self.api.get_json(&url).await?;
            all.extend_from_slice(items(&answer, key));
            if items(&answer, key).is_empty() || text(&answer, "/links/pages/next").is_empty() {
                return Ok(all);
            }
        }
        Err(SdError::other(format!("more than {PAGES_MAX} pages of {path}")))
    }

    fn droplet(&self, droplet: &Value) -> Labels {
        let address = |family: &str, kind: &str| {
            let all = items(droplet, &format!("/networks/{family}"));
            all.iter()
                .find(|network| text(network, "/type") == kind)
                .map(|network| text(network, "/ip_address"))
        };
        let public = address("v4", "public").unwrap_or_default();
        let mut target = Target::new(PREFIX);
        target.take(
            droplet,
            &[
                ("droplet_id", "/id"),
                ("droplet_name", "/name"),
                ("image", "/image/slug"),
                ("image_name", "/image/name"),
                ("region", "/region/slug"),
                ("size", "/size_slug"),
                ("status", "/status"),
                ("vpc", "/vpc_uuid"),
            ],
        );
        target.set("private_ipv4", address("v4", "private").unwrap_or_default());
        target.set("public_ipv4", &public);
        target.set("public_ipv6", address("v6", "public").unwrap_or_default());
        target.list("features", &texts(droplet, "/features")).list("tags", &texts(droplet, "/tags"));
        target.address(&public, self.config.port).build()
    }

    fn database(&self, cluster: &Value) -> Labels {
        let private = text(cluster, "/private_connection/host");
        let public = text(cluster, "/connection/host");
        let mut target = Target::new(PREFIX);
        target.take(
            cluster,
            &[
                ("db_id", "/id"),
                ("db_name", "/name"),
                ("db_engine", "/engine"),
                ("db_version", "/version"),
                ("db_status", "/status"),
                ("db_region", "/region"),
                ("db_size", "/size"),
                ("db_num_nodes", "/num_nodes"),
            ],
        );
        target.set("db_private_host", &private).set("db_host", &public);
        let host = if private.is_empty() { public } else { private };
        if !host.is_empty() {
            target.address(&host, self.config.port);
        }
        for tag in texts(cluster, "/tags") {
            target.set(&format!("db_tag_{tag}"), true);
        }
        target.build()
    }
}

impl Provider for DigitalOcean {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let (source, targets) = match self.config.role {
            Role::Droplets => {
                let droplets = self.list("droplets", "/droplets").await?;
                let has_network = |droplet: &&Value| !items(droplet, "/networks/v4").is_empty();
                let targets = droplets.iter().filter(has_network).map(|droplet| self.droplet(droplet));
                ("DigitalOcean", targets.collect())
            }
            Role::Databases => {
                let clusters = self.list("databases", "/databases").await?;
                ("DigitalOcean Databases", clusters.iter().map(|cluster| self.database(cluster)).collect())
            }
        };
        Ok(vec![TargetGroup::new(source, targets)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    const DROPLETS: &str = r#"{"droplets": [
        {"id": 3164444, "name": "example.com", "status": "active", "features": ["backups", "ipv6"], "tags": ["a", "b"],
         "image": {"slug": "ubuntu-16-04-x64", "name": "16.04 x64"}, "size_slug": "s-1vcpu-1gb", "vpc_uuid": "v",
         "networks": {"v4": [{"ip_address": "10.0.0.2", "type": "private"}, {"ip_address": "104.236.32.182", "type": "public"}],
                      "v6": [{"ip_address": "2604:A880::2", "type": "public"}]},
         "region": {"slug": "nyc3"}},
        {"id": 1, "networks": {"v4": []}}],
        "links": {"pages": {"next": "https://elsewhere/v2/droplets?page=2"}}}"#;

    async fn check(text: &str, fake: &Fake, expected: Result<&[&str], &str>) {
        let mut config: Config = fake::config(text).unwrap();
        config.endpoint = fake.url.to_string();
        let got = DigitalOcean::new(&config).unwrap().refresh().await;
        let got = got.map(|groups| fake::labels(&groups)).map_err(|err| err.to_string());
        let expected = expected.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
        assert_eq!(got, expected.map_err(|err| err.replace("URL/", fake.url.as_str())));
    }

    #[tokio::test]
    async fn droplets_of_all_pages_become_targets() {
        let second = r#"{"droplets": [{"id": 2, "networks": {"v4": [{"ip_address": "1.2.3.4", "type": "public"}]}}], "links": {}}"#;
        let pages =
            [("/v2/droplets?page=1&per_page=100", DROPLETS), ("/v2/droplets?page=2&per_page=100", second)];
        let fake = Fake::start(&pages).await;
        let first = concat!(
            r#"{__address__="104.236.32.182:9100", __meta_digitalocean_droplet_id="3164444", "#,
            r#"__meta_digitalocean_droplet_name="example.com", __meta_digitalocean_features=",backups,ipv6,", "#,
            r#"__meta_digitalocean_image="ubuntu-16-04-x64", __meta_digitalocean_image_name="16.04 x64", "#,
            r#"__meta_digitalocean_private_ipv4="10.0.0.2", __meta_digitalocean_public_ipv4="104.236.32.182", "#,
            r#"__meta_digitalocean_public_ipv6="2604:A880::2", __meta_digitalocean_region="nyc3", "#,
            r#"__meta_digitalocean_size="s-1vcpu-1gb", __meta_digitalocean_status="active", "#,
            r#"__meta_digitalocean_tags=",a,b,", __meta_digitalocean_vpc="v"}"#,
        );
        let second = r#"{__address__="1.2.3.4:9100", __meta_digitalocean_droplet_id="2", __meta_digitalocean_public_ipv4="1.2.3.4"}"#;
        check("{port: 9100, bearer_token: t}", &fake, Ok(&[first, second])).await;
        assert_eq!(fake.asked()[0].headers["authorization"], "Bearer t");
    }

    #[tokio::test]
    async fn databases_are_reached_by_their_private_name() {
        let page = r#"{"databases": [{"id": "9", "name": "b", "engine": "pg", "version": "14", "num_nodes": 2, "tags": ["prod"],
            "connection": {"host": "pub"}, "private_connection": {"host": "priv"}, "size": "s", "region": "r", "status": "online"}]}"#;
        let fake = Fake::start(&[("/v2/databases?page=1&per_page=100", page)]).await;
        let expected = concat!(
            r#"{__address__="priv:80", __meta_digitalocean_db_engine="pg", __meta_digitalocean_db_host="pub", "#,
            r#"__meta_digitalocean_db_id="9", __meta_digitalocean_db_name="b", __meta_digitalocean_db_num_nodes="2", "#,
            r#"__meta_digitalocean_db_private_host="priv", __meta_digitalocean_db_region="r", __meta_digitalocean_db_size="s", "#,
            r#"__meta_digitalocean_db_status="online", __meta_digitalocean_db_tag_prod="true", __meta_digitalocean_db_version="14"}"#,
        );
        check("{role: databases}", &fake, Ok(&[expected])).await;
    }

    #[tokio::test]
    async fn refusals_are_told() {
        let fake = Fake::start(&[]).await;
        fake.answer("/v2/droplets?page=1&per_page=100", 401, &[], r#"{"id":"unauthorized"}"#);
        let expected = "URL/v2/droplets?page=1&per_page=100: server returned HTTP status 401 Unauthorized: {\"id\":\"unauthorized\"}";
        check("{}", &fake, Err(expected)).await;
        let err = fake::config::<Config>("{role: x}").unwrap_err();
        assert_eq!(err, "p.yml: unknown DigitalOcean SD role \"x\"");
    }
}
