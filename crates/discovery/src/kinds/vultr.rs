//! `vultr_sd_configs`: instances of Vultr.
//!
//! API version 2: «List Instances», with cursors.

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

const ENDPOINT: &str = "https://api.vultr.com/";

/// One element of `vultr_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    port: u16,
    refresh_interval: Duration,
    http: HttpClientConfig,
    /// Elsewhere in tests only.
    endpoint: String,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        port: Option<u16>,
        refresh_interval: Option<Duration>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        Ok(Self {
            port: keys.port.unwrap_or(80),
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            http: keys.take_http()?,
            endpoint: ENDPOINT.to_owned(),
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "vultr";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(refreshing(context, self.refresh_interval, Vultr::new(self)?))
    }
}

#[derive(Debug)]
struct Vultr {
    config: Config,
    api: Api,
}

impl Vultr {
    fn new(config: &Config) -> Result<Self, SdError> {
        Ok(Self { config: config.clone(), api: Api::new(&config.http, config.refresh_interval)? })
    }

    fn target(&self, instance: &Value) -> Labels {
        let mut target = Target::new("__meta_vultr_instance_");
        target.take(
            instance,
            &[
                ("id", "/id"),
                ("label", "/label"),
                ("os", "/os"),
                ("os_id", "/os_id"),
                ("region", "/region"),
                ("plan", "/plan"),
                ("vcpu_count", "/vcpu_count"),
                ("ram_mb", "/ram"),
                ("allowed_bandwidth_gb", "/allowed_bandwidth"),
                ("disk_gb", "/disk"),
                ("main_ip", "/main_ip"),
                ("main_ipv6", "/v6_main_ip"),
                ("internal_ip", "/internal_ip"),
                ("hostname", "/hostname"),
                ("server_status", "/server_status"),
            ],
        );
        target.list("features", &texts(instance, "/features")).list("tags", &texts(instance, "/tags"));
        target.address(&text(instance, "/main_ip"), self.config.port).build()
    }
}

impl Provider for Vultr {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let mut targets = Vec::new();
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let url = format!("{}v2/instances?per_page=100", self.config.endpoint);
            let mut url = Url::parse(&url).map_err(SdError::other)?;
            if !cursor.is_empty() {
                url.query_pairs_mut().append_pair("cursor", &cursor);
            }
            let answer: Value = self.api.get_json(&url).await?;
            targets.extend(items(&answer, "/instances").iter().map(|instance| self.target(instance)));
            cursor = text(&answer, "/meta/links/next");
            if cursor.is_empty() {
                return Ok(vec![TargetGroup::new("Vultr", targets)]);
            }
        }
        Err(SdError::other(format!("more than {PAGES_MAX} pages of instances")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    #[tokio::test]
    async fn instances_of_all_pages_become_targets() {
        let first = r#"{"instances": [{"id": "dbdbd38c", "os": "Ubuntu 20.04 x64", "ram": 2048, "disk": 55, "main_ip": "149.28.234.27",
            "vcpu_count": 1, "region": "atl", "plan": "vc2-1c-2gb", "allowed_bandwidth": 2000, "server_status": "installingbooting",
            "v6_main_ip": "", "hostname": "hostname_1", "label": "np-2-eae38a19b0f3", "internal_ip": "10.1.96.5", "os_id": 1743,
            "features": ["ipv6", "backups"], "tags": ["tag1", "tag2"]}], "meta": {"total": 2, "links": {"next": "b n", "prev": ""}}}"#;
        let second = r#"{"instances": [{"id": "d", "main_ip": "1.1.1.1"}], "meta": {"links": {"next": "", "prev": "a"}}}"#;
        let pages =
            [("/v2/instances?per_page=100", first), ("/v2/instances?per_page=100&cursor=b+n", second)];
        let fake = Fake::start(&pages).await;
        let mut config: Config = fake::config("{}").unwrap();
        config.endpoint = fake.url.to_string();
        let expected = concat!(
            r#"{__address__="149.28.234.27:80", __meta_vultr_instance_allowed_bandwidth_gb="2000", __meta_vultr_instance_disk_gb="55", "#,
            r#"__meta_vultr_instance_features=",ipv6,backups,", __meta_vultr_instance_hostname="hostname_1", __meta_vultr_instance_id="dbdbd38c", "#,
            r#"__meta_vultr_instance_internal_ip="10.1.96.5", __meta_vultr_instance_label="np-2-eae38a19b0f3", "#,
            r#"__meta_vultr_instance_main_ip="149.28.234.27", __meta_vultr_instance_os="Ubuntu 20.04 x64", __meta_vultr_instance_os_id="1743", "#,
            r#"__meta_vultr_instance_plan="vc2-1c-2gb", __meta_vultr_instance_ram_mb="2048", __meta_vultr_instance_region="atl", "#,
            r#"__meta_vultr_instance_server_status="installingbooting", __meta_vultr_instance_tags=",tag1,tag2,", "#,
            r#"__meta_vultr_instance_vcpu_count="1"}"#,
        );
        let second = r#"{__address__="1.1.1.1:80", __meta_vultr_instance_id="d", __meta_vultr_instance_main_ip="1.1.1.1"}"#;
        let mut vultr = Vultr::new(&config).unwrap();
        assert_eq!(fake::labels(&vultr.refresh().await.unwrap()), [expected, second]);
        fake.answer("/v2/instances?per_page=100", 503, &[], "");
        assert!(
            vultr.refresh().await.unwrap_err().to_string().ends_with("HTTP status 503 Service Unavailable")
        );
    }
}
