//! `linode_sd_configs`: instances of Linode with their addresses.
//!
//! API version 4: «List Linodes», «List IP Addresses», «List IPv6 Ranges», «List Events». As in Prometheus, events are asked for first, and
//! everything only when there were any, or at every tenth look.

use std::path::Path;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use model::{Duration, Labels};
use net::{HttpClientConfig, Request};
use serde::Deserialize;
use serde_json::Value;
use stdx::clock::Clock;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, text, texts};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::{Api, PAGES_MAX, json};

const ENDPOINT: &str = "https://api.linode.com/";
const PREFIX: &str = "__meta_linode_";
/// Looks without events until everything is asked for all the same. From Prometheus.
const QUIET_LOOKS_MAX: u32 = 10;

/// One element of `linode_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    port: u16,
    tag_separator: String,
    region: String,
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
        tag_separator: Option<String>,
        region: Option<String>,
        refresh_interval: Option<Duration>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        Ok(Self {
            port: keys.port.unwrap_or(80),
            tag_separator: keys.tag_separator.take().unwrap_or_else(|| ",".to_owned()),
            region: keys.region.take().unwrap_or_default(),
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            http: keys.take_http()?,
            endpoint: ENDPOINT.to_owned(),
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "linode";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let clock = Arc::clone(&context.clock);
        Ok(refreshing(context, self.refresh_interval, Linode::new(self, clock)?))
    }
}

#[derive(Debug)]
struct Linode {
    config: Config,
    api: Api,
    clock: Arc<dyn Clock>,
    last: Option<Vec<TargetGroup>>,
    last_look_ms: i64,
    n_quiet: u32,
    /// The token may not be allowed to see events.
    asks_events: bool,
}

impl Linode {
    fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, SdError> {
        Ok(Self {
            config: config.clone(),
            api: Api::new(&config.http, config.refresh_interval)?,
            last_look_ms: clock.now_ms(),
            clock,
            last: None,
            n_quiet: 0,
            asks_events: true,
        })
    }

    async fn page(&self, path: &str, filter: &str) -> Result<Value, SdError> {
        let url = Url::parse(&format!("{}v4/{path}", self.config.endpoint)).map_err(SdError::other)?;
        let mut request = Request::get(url.clone());
        if !filter.is_empty() {
            let value = HeaderValue::from_str(filter).map_err(SdError::other)?;
            request.headers.insert(HeaderName::from_static("x-filter"), value);
        }
        json(&url, &self.api.send(request).await?)
    }

    /// All pages of one list.
    async fn list(&self, path: &str) -> Result<Vec<Value>, SdError> {
        let filter = match self.config.region.as_str() {
            "" => String::new(),
            region => serde_json::json!({ "region": region }).to_string(),
        };
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let answer = self.page(&format!("{path}?page={page}&page_size=500"), &filter).await?;
            all.extend_from_slice(items(&answer, "/data"));
            let n_pages = answer.pointer("/pages").and_then(Value::as_u64).unwrap_or(1);
            if page as u64 >= n_pages {
                return Ok(all);
            }
        }
        Err(SdError::other(format!("more than {PAGES_MAX} pages of {path}")))
    }

    /// Whether anything has changed since the last look.
    async fn has_news(&mut self) -> Result<bool, SdError> {
        if self.last.is_none() || !self.asks_events {
            return Ok(true);
        }
        let since = jiff::Timestamp::from_millisecond(self.last_look_ms).unwrap_or_default();
        let filter = format!(r#"{{"created": {{"+gte": "{}"}}}}"#, since.strftime("%Y-%m-%dT%H:%M:%S"));
        match self.page("account/events?page=1&page_size=25", &filter).await {
            Ok(answer) => {
                self.n_quiet += 1;
                Ok(!items(&answer, "/data").is_empty() || self.n_quiet >= QUIET_LOOKS_MAX)
            }
            Err(err) if err.status_code() == Some(401) => {
                self.asks_events = false;
                Ok(true)
            }
            Err(err) => Err(err),
        }
    }

    fn target(&self, instance: &Value, addresses: &[Value], ranges: &[Value]) -> Option<Labels> {
        let ipv4 = texts(instance, "/ipv4");
        if ipv4.is_empty() {
            return None;
        }
        let mut target = Target::new(PREFIX);
        let name_of =
            |address: &Value| Some(text(address, "/rdns")).filter(|name| name != "null").unwrap_or_default();
        let (mut public, mut private, mut extra) = (String::new(), String::new(), Vec::new());
        for ip in &ipv4 {
            for address in addresses.iter().filter(|address| text(address, "/address") == *ip) {
                let is_public = address.pointer("/public").and_then(Value::as_bool).unwrap_or(false);
                if is_public && public.is_empty() {
                    public.clone_from(ip);
                    target.set("public_ipv4_rdns", name_of(address));
                } else if !is_public && private.is_empty() {
                    private.clone_from(ip);
                    target.set("private_ipv4_rdns", name_of(address));
                } else {
                    extra.push(ip);
                }
            }
        }
        let ipv6 = text(instance, "/ipv6");
        let own = ipv6.split('/').next().unwrap_or_default();
        if !own.is_empty() {
            if let Some(address) = addresses.iter().rev().find(|address| text(address, "/address") == own) {
                target.set("public_ipv6", own).set("public_ipv6_rdns", name_of(address));
            }
            let routed = ranges.iter().filter(|range| text(range, "/route_target") == own);
            let routed = routed.map(|range| format!("{}/{}", text(range, "/range"), text(range, "/prefix")));
            target.list_by("ipv6_ranges", &routed.collect::<Vec<_>>(), &self.config.tag_separator);
        }
        target.take(
            instance,
            &[
                ("instance_id", "/id"),
                ("instance_label", "/label"),
                ("image", "/image"),
                ("region", "/region"),
                ("type", "/type"),
                ("status", "/status"),
                ("group", "/group"),
                ("hypervisor", "/hypervisor"),
            ],
        );
        let spec =
            |name: &str| instance.pointer(&format!("/specs/{name}")).and_then(Value::as_i64).unwrap_or(0);
        target.set("gpus", spec("gpus")).set("specs_vcpus", spec("vcpus"));
        for name in ["disk", "memory", "transfer"] {
            // They are given in MB of 2^20 bytes.
            target.set(&format!("specs_{name}_bytes"), spec(name) << 20);
        }
        let has_backups = instance.pointer("/backups/enabled").and_then(Value::as_bool).unwrap_or(false);
        target.set("backups", if has_backups { "enabled" } else { "disabled" });
        target.set("private_ipv4", &private).set("public_ipv4", &public);
        target.list_by("tags", &texts(instance, "/tags"), &self.config.tag_separator);
        target.list_by("extra_ips", &extra, &self.config.tag_separator);
        Some(target.address(&public, self.config.port).build())
    }
}

impl Provider for Linode {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let now_ms = self.clock.now_ms();
        if self.has_news().await? {
            let instances = self.list("linode/instances").await?;
            let addresses = self.list("networking/ips").await?;
            let ranges = self.list("networking/ipv6/ranges").await?;
            let targets = instances.iter().filter_map(|instance| self.target(instance, &addresses, &ranges));
            self.last = Some(vec![TargetGroup::new("Linode", targets.collect())]);
            self.n_quiet = 0;
        }
        self.last_look_ms = now_ms;
        Ok(self.last.clone().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    fn list(data: &str, n_pages: u32) -> String {
        format!(r#"{{"data": [{data}], "page": 1, "pages": {n_pages}}}"#)
    }

    #[tokio::test]
    async fn instances_are_asked_for_again_only_after_events() {
        let instance = r#"{"id": 26838044, "label": "prometheus-linode-sd-exporter-1", "group": "", "status": "running", "type": "g6-standard-2",
            "ipv4": ["45.33.82.151", "96.126.108.16", "192.168.170.51"], "ipv6": "2600:3c03::f03c:92ff:fe1a:1382/128",
            "image": "linode/arch", "region": "us-east", "specs": {"disk": 81920, "memory": 4096, "vcpus": 2, "gpus": 0, "transfer": 4000},
            "backups": {"enabled": false}, "hypervisor": "kvm", "tags": ["monitoring"]}"#;
        let other = r#"{"id": 2, "ipv4": []}"#;
        let addresses = r#"{"address": "45.33.82.151", "public": true, "rdns": "li1028-151.members.linode.com"},
            {"address": "96.126.108.16", "public": true, "rdns": "x"}, {"address": "192.168.170.51", "public": false, "rdns": null},
            {"address": "2600:3c03::f03c:92ff:fe1a:1382", "public": true, "rdns": null}"#;
        let ranges = r#"{"range": "2600:3c03:e000:123::", "prefix": 64, "route_target": "2600:3c03::f03c:92ff:fe1a:1382"}"#;
        let fake = Fake::start(&[
            ("/v4/linode/instances?page=1&page_size=500", &list(instance, 2)),
            ("/v4/linode/instances?page=2&page_size=500", &list(other, 2)),
            ("/v4/networking/ips?page=1&page_size=500", &list(addresses, 1)),
            ("/v4/networking/ipv6/ranges?page=1&page_size=500", &list(ranges, 1)),
            ("/v4/account/events?page=1&page_size=25", &list("", 1)),
        ])
        .await;
        let mut config: Config = fake::config("{region: us-east}").unwrap();
        config.endpoint = fake.url.to_string();
        let clock = Arc::new(stdx::clock::TestClock::new());
        let mut linode = Linode::new(&config, clock).unwrap();
        let expected = concat!(
            r#"{__address__="45.33.82.151:80", __meta_linode_backups="disabled", __meta_linode_extra_ips=",96.126.108.16,", "#,
            r#"__meta_linode_gpus="0", __meta_linode_hypervisor="kvm", __meta_linode_image="linode/arch", "#,
            r#"__meta_linode_instance_id="26838044", __meta_linode_instance_label="prometheus-linode-sd-exporter-1", "#,
            r#"__meta_linode_ipv6_ranges=",2600:3c03:e000:123::/64,", __meta_linode_private_ipv4="192.168.170.51", "#,
            r#"__meta_linode_public_ipv4="45.33.82.151", __meta_linode_public_ipv4_rdns="li1028-151.members.linode.com", "#,
            r#"__meta_linode_public_ipv6="2600:3c03::f03c:92ff:fe1a:1382", __meta_linode_region="us-east", "#,
            r#"__meta_linode_specs_disk_bytes="85899345920", __meta_linode_specs_memory_bytes="4294967296", "#,
            r#"__meta_linode_specs_transfer_bytes="4194304000", __meta_linode_specs_vcpus="2", __meta_linode_status="running", "#,
            r#"__meta_linode_tags=",monitoring,", __meta_linode_type="g6-standard-2"}"#,
        );
        assert_eq!(fake::labels(&linode.refresh().await.unwrap()), [expected]);
        assert_eq!(fake.asked()[0].headers["x-filter"], r#"{"region":"us-east"}"#);
        let n_asked = fake.asked().len();
        assert_eq!(fake::labels(&linode.refresh().await.unwrap()), [expected]);
        let asked = fake.asked().split_off(n_asked);
        assert_eq!(asked.len(), 1, "only the events");
        assert_eq!(asked[0].headers["x-filter"], r#"{"created": {"+gte": "2025-01-01T00:00:00"}}"#);
        fake.answer("/v4/account/events?page=1&page_size=25", 401, &[], "{}");
        let n_asked = fake.asked().len();
        linode.refresh().await.unwrap();
        linode.refresh().await.unwrap();
        assert_eq!(fake.asked().len(), n_asked + 1 + 4 + 4, "a token without that right is not asked again");
    }
}
