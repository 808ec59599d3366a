//! `ovhcloud_sd_configs`: dedicated servers and virtual private servers of OVHcloud.
//!
//! API version 1 with its own signature: `$1$` and SHA-1 of secret, key, method, URL, body and time.

use std::net::IpAddr;

use http::header::{HeaderName, HeaderValue};
use model::{Duration, Labels};
use net::auth::sign;
use net::{HttpClientConfig, Request, Secret};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Kind;
use super::cloud::{Target, text, texts};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::{ADDRESS, TargetGroup};
use crate::http::{Api, json, with_path};

/// Names of addresses, as OVHcloud's own clients know them.
const ENDPOINTS: [(&str, &str); 7] = [
    ("ovh-eu", "https://eu.api.ovh.com/1.0"),
    ("ovh-ca", "https://ca.api.ovh.com/1.0"),
    ("ovh-us", "https://api.us.ovhcloud.com/1.0"),
    ("kimsufi-eu", "https://eu.api.kimsufi.com/1.0"),
    ("kimsufi-ca", "https://ca.api.kimsufi.com/1.0"),
    ("soyoustart-eu", "https://eu.api.soyoustart.com/1.0"),
    ("soyoustart-ca", "https://ca.api.soyoustart.com/1.0"),
];

/// One element of `ovhcloud_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    endpoint: Url,
    application_key: String,
    application_secret: Secret,
    consumer_key: Secret,
    service: Service,
    refresh_interval: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Service {
    DedicatedServer,
    Vps,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    #[serde(deserialize_with = "model::yaml::null_as_empty")]
    endpoint: Option<String>,
    application_key: String,
    application_secret: Secret,
    consumer_key: Secret,
    refresh_interval: Option<Duration>,
    service: String,
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let endpoint = keys.endpoint.unwrap_or_else(|| "ovh-eu".to_owned());
        for (is_empty, what) in [
            (endpoint.is_empty(), "endpoint"),
            (keys.application_key.is_empty(), "application key"),
            (keys.application_secret.is_empty(), "application secret"),
            (keys.consumer_key.is_empty(), "consumer key"),
        ] {
            if is_empty {
                return Err(format!("{what} can not be empty"));
            }
        }
        let service = match keys.service.as_str() {
            "dedicated_server" => Service::DedicatedServer,
            "vps" => Service::Vps,
            other => return Err(format!("unknown service: {other}")),
        };
        let named = ENDPOINTS.iter().find(|(name, _)| *name == endpoint).map(|(_, url)| *url);
        let url = named.or(Some(endpoint.as_str()).filter(|text| text.contains('/')));
        let url = url.ok_or_else(|| {
            let known: Vec<_> = ENDPOINTS.iter().map(|(name, _)| *name).collect();
            format!("unknown endpoint '{endpoint}', use one of {} or a URL", known.join(", "))
        })?;
        Ok(Self {
            endpoint: crate::http::checked_url(url).map_err(|err| format!("endpoint: {err}"))?,
            application_key: keys.application_key,
            application_secret: keys.application_secret,
            consumer_key: keys.consumer_key,
            service,
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "ovhcloud";

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(refreshing(context, self.refresh_interval, OvhCloud::new(self)?))
    }
}

#[derive(Debug)]
struct OvhCloud {
    config: Config,
    api: Api,
}

/// `$1$` and forty digits.
fn signature(config: &Config, url: &Url, time: &str) -> String {
    let parts =
        [config.application_secret.expose(), config.consumer_key.expose(), "GET", url.as_str(), "", time];
    format!("$1${}", sign::hex(&sign::sha1(parts.join("+").as_bytes())))
}

impl OvhCloud {
    fn new(config: &Config) -> Result<Self, SdError> {
        Ok(Self {
            config: config.clone(),
            api: Api::new(&HttpClientConfig::default(), config.refresh_interval)?,
        })
    }

    async fn get(&self, path: &[&str], time: &str) -> Result<Value, SdError> {
        let url = with_path(&self.config.endpoint, path.iter().copied())?;
        let mut request = Request::get(url.clone());
        for (name, value) in [
            ("x-ovh-application", self.config.application_key.as_str()),
            ("x-ovh-timestamp", time),
            ("x-ovh-consumer", self.config.consumer_key.expose()),
            ("x-ovh-signature", &signature(&self.config, &url, time)),
        ] {
            let mut value =
                HeaderValue::from_str(value).map_err(|_| SdError::other(format!("{name} cannot be sent")))?;
            value.set_sensitive(true);
            request.headers.insert(HeaderName::from_static(name), value);
        }
        json(&url, &self.api.send(request).await?)
    }

    /// One server with its addresses.
    async fn server(&self, path: &[&str], name: &str, time: &str) -> Result<Labels, SdError> {
        let with = |more: &[&'static str]| -> Vec<String> {
            path.iter().copied().chain([name]).chain(more.iter().copied()).map(str::to_owned).collect()
        };
        let (at, at_ips) = (with(&[]), with(&["ips"]));
        let details = self.get(&at.iter().map(String::as_str).collect::<Vec<_>>(), time).await?;
        let ips = self.get(&at_ips.iter().map(String::as_str).collect::<Vec<_>>(), time).await?;
        let (v4, v6) = addresses(&texts(&ips, ""))?;
        let (prefix, places): (_, &[(&str, &str)]) = match self.config.service {
            Service::Vps => ("__meta_ovhcloud_vps_", &VPS),
            Service::DedicatedServer => ("__meta_ovhcloud_dedicated_server_", &DEDICATED),
        };
        let mut target = Target::new(prefix);
        target.take(&details, places).set("ipv4", &v4).set("ipv6", &v6);
        if self.config.service == Service::Vps {
            // As Go prints a list.
            target.set("datacenter", format!("[{}]", texts(&details, "/model/datacenter").join(" ")));
        }
        target.plain("instance", &text(&details, "/name"));
        Ok(target.plain(ADDRESS, if v4.is_empty() { &v6 } else { &v4 }).build())
    }
}

const VPS: [(&str, &str); 16] = [
    ("offer", "/model/offer"),
    ("model_vcore", "/model/vcore"),
    ("maximum_additional_ip", "/model/maximumAdditionnalIp"),
    ("version", "/model/version"),
    ("model_name", "/model/name"),
    ("disk", "/model/disk"),
    ("memory", "/model/memory"),
    ("zone", "/zone"),
    ("display_name", "/displayName"),
    ("cluster", "/cluster"),
    ("state", "/state"),
    ("name", "/name"),
    ("netboot_mode", "/netbootMode"),
    ("memory_limit", "/memoryLimit"),
    ("offer_type", "/offerType"),
    ("vcore", "/vcore"),
];

const DEDICATED: [(&str, &str); 11] = [
    ("state", "/state"),
    ("commercial_range", "/commercialRange"),
    ("link_speed", "/linkSpeed"),
    ("rack", "/rack"),
    ("no_intervention", "/noIntervention"),
    ("os", "/os"),
    ("support_level", "/supportLevel"),
    ("server_id", "/serverId"),
    ("reverse", "/reverse"),
    ("datacenter", "/datacenter"),
    ("name", "/name"),
];

/// The last address of each family; networks other than `/32` are no addresses of a server.
fn addresses(list: &[String]) -> Result<(String, String), SdError> {
    let bad = || SdError::other("could not parse IP addresses from list");
    let (mut v4, mut v6) = (String::new(), String::new());
    for item in list {
        let ip = match item.split_once('/') {
            None => item.parse::<IpAddr>().map_err(|_| bad())?,
            Some((ip, bits)) => {
                let ip = ip.parse::<IpAddr>().map_err(|_| bad())?;
                if bits.parse::<u8>().map_err(|_| bad())? != 32 {
                    continue;
                }
                ip
            }
        };
        match ip {
            ip if ip.is_unspecified() => {}
            IpAddr::V4(ip) => v4 = ip.to_string(),
            IpAddr::V6(ip) => v6 = ip.to_string(),
        }
    }
    if v4.is_empty() && v6.is_empty() { Err(bad()) } else { Ok((v4, v6)) }
}

impl Provider for OvhCloud {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        // Signed with the server's own time, since clocks differ.
        let url = with_path(&self.config.endpoint, ["auth", "time"])?;
        let time = self.api.get_json::<i64>(&url).await?.to_string();
        let (path, source): (&[&str], _) = match self.config.service {
            Service::Vps => (&["vps"], "ovhcloud_vps"),
            Service::DedicatedServer => (&["dedicated", "server"], "ovhcloud_dedicated_server"),
        };
        let mut targets = Vec::new();
        for name in texts(&self.get(path, &time).await?, "") {
            match self.server(path, &name, &time).await {
                Ok(target) => targets.push(target),
                Err(error) => {
                    tracing::warn!(source, server = name, error = %error, "could not get a server's details");
                }
            }
        }
        Ok(vec![TargetGroup::new(source, targets)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    fn config(fake: &str, service: &str) -> Config {
        let text = format!(
            "{{endpoint: '{fake}', application_key: k, application_secret: s, consumer_key: c, service: {service}}}"
        );
        fake::config(&text).unwrap()
    }

    #[test]
    fn requests_are_signed_as_documented() {
        // The example of «First steps with the OVHcloud APIs».
        let mut config = config("https://eu.api.ovh.com/1.0", "vps");
        config.application_secret = Secret::new("EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF");
        config.consumer_key = Secret::new("MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1");
        let url = Url::parse("https://eu.api.ovh.com/1.0/domains/").unwrap();
        let got = signature(&config, &url, "1366560945");
        assert_eq!(got, "$1$d3705e8afb27a0d2970a322b96550abfc67bb798");
    }

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        for (text, expected) in [
            ("{}", "application key can not be empty"),
            ("{application_key: k}", "application secret can not be empty"),
            ("{application_key: k, application_secret: s}", "consumer key can not be empty"),
            (
                "{application_key: k, application_secret: s, consumer_key: c, service: x}",
                "unknown service: x",
            ),
        ] {
            assert_eq!(fake::config::<Config>(text).unwrap_err(), format!("p.yml: {expected}"));
        }
        assert!(addresses(&["x".to_owned()]).is_err());
    }

    #[tokio::test]
    async fn servers_become_targets_and_broken_ones_are_left_out() {
        let vps = r#"{"zone": "zone", "model": {"maximumAdditionnalIp": 2, "offer": "VPS abc", "datacenter": ["a", "b"], "vcore": 1, "version": "2019v1",
            "name": "vps-value-1", "disk": 0, "memory": 2048}, "displayName": "abc", "cluster": "cluster_test", "state": "running",
            "name": "abc", "netbootMode": "local", "memoryLimit": 2048, "offerType": "ssd", "vcore": 1}"#;
        let dedicated = r#"{"state": "ok", "commercialRange": "Advance-1 Gen 2", "linkSpeed": 123, "rack": "TESTRACK", "noIntervention": false,
            "os": "debian11_64", "supportLevel": "pro", "serverId": 1234, "reverse": "abcde-rev", "datacenter": "gra3", "name": "abcde"}"#;
        let fake = Fake::start(&[
            ("/1.0/auth/time", "1366560945"),
            ("/1.0/vps", r#"["abc", "gone"]"#),
            ("/1.0/vps/abc", vps),
            ("/1.0/vps/abc/ips", r#"["192.0.2.1/32", "2001:0db1:0000:0000:0000:0000:0000:0001/64"]"#),
            ("/1.0/dedicated/server", r#"["abcde"]"#),
            ("/1.0/dedicated/server/abcde", dedicated),
            ("/1.0/dedicated/server/abcde/ips", r#"["1.2.3.4/32", "2001:0db8::1/128", "2001:db8::2"]"#),
        ])
        .await;
        let url = format!("{}1.0", fake.url);
        let vps = concat!(
            r#"{__address__="192.0.2.1", __meta_ovhcloud_vps_cluster="cluster_test", __meta_ovhcloud_vps_datacenter="[a b]", "#,
            r#"__meta_ovhcloud_vps_disk="0", __meta_ovhcloud_vps_display_name="abc", __meta_ovhcloud_vps_ipv4="192.0.2.1", "#,
            r#"__meta_ovhcloud_vps_maximum_additional_ip="2", __meta_ovhcloud_vps_memory="2048", __meta_ovhcloud_vps_memory_limit="2048", "#,
            r#"__meta_ovhcloud_vps_model_name="vps-value-1", __meta_ovhcloud_vps_model_vcore="1", __meta_ovhcloud_vps_name="abc", "#,
            r#"__meta_ovhcloud_vps_netboot_mode="local", __meta_ovhcloud_vps_offer="VPS abc", __meta_ovhcloud_vps_offer_type="ssd", "#,
            r#"__meta_ovhcloud_vps_state="running", __meta_ovhcloud_vps_vcore="1", __meta_ovhcloud_vps_version="2019v1", "#,
            r#"__meta_ovhcloud_vps_zone="zone", instance="abc"}"#,
        );
        let mut ovh = OvhCloud::new(&config(&url, "vps")).unwrap();
        assert_eq!(fake::labels(&ovh.refresh().await.unwrap()), [vps]);
        let dedicated = concat!(
            r#"{__address__="1.2.3.4", __meta_ovhcloud_dedicated_server_commercial_range="Advance-1 Gen 2", "#,
            r#"__meta_ovhcloud_dedicated_server_datacenter="gra3", __meta_ovhcloud_dedicated_server_ipv4="1.2.3.4", "#,
            r#"__meta_ovhcloud_dedicated_server_ipv6="2001:db8::2", __meta_ovhcloud_dedicated_server_link_speed="123", "#,
            r#"__meta_ovhcloud_dedicated_server_name="abcde", __meta_ovhcloud_dedicated_server_no_intervention="false", "#,
            r#"__meta_ovhcloud_dedicated_server_os="debian11_64", __meta_ovhcloud_dedicated_server_rack="TESTRACK", "#,
            r#"__meta_ovhcloud_dedicated_server_reverse="abcde-rev", __meta_ovhcloud_dedicated_server_server_id="1234", "#,
            r#"__meta_ovhcloud_dedicated_server_state="ok", __meta_ovhcloud_dedicated_server_support_level="pro", instance="abcde"}"#,
        );
        let mut ovh = OvhCloud::new(&config(&url, "dedicated_server")).unwrap();
        assert_eq!(fake::labels(&ovh.refresh().await.unwrap()), [dedicated]);
    }
}
