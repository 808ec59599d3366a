//! `scaleway_sd_configs`: instances and bare metal servers of Scaleway.
//!
//! Instance API version 1, Elastic Metal API version 1, IPAM API version 1 for the addresses of private interfaces.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use model::{Duration, Labels};
use net::{HttpClientConfig, Request, Secret};
use serde::Deserialize;
use serde_json::Value;
use stdx::dir::Dir;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, text, texts};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::{Api, PAGES_MAX, json};

const API_URL: &str = "https://api.scaleway.com";

/// One element of `scaleway_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    role: Role,
    api_url: Url,
    zone: String,
    secret_key: Secret,
    secret_key_file: Option<PathBuf>,
    name_filter: String,
    tags_filter: Vec<String>,
    port: u16,
    refresh_interval: Duration,
    http: HttpClientConfig,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Instance,
    Baremetal,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        project_id: String,
        #[serde(deserialize_with = "model::yaml::null_as_empty")]
        api_url: Option<String>,
        #[serde(deserialize_with = "model::yaml::null_as_empty")]
        zone: Option<String>,
        access_key: String,
        secret_key: Secret,
        secret_key_file: Option<PathBuf>,
        name_filter: Option<String>,
        tags_filter: Option<Vec<String>>,
        refresh_interval: Option<Duration>,
        port: Option<u16>,
        role: Option<String>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let role = match keys.role.as_deref() {
            Some("instance") => Role::Instance,
            Some("baremetal") => Role::Baremetal,
            None | Some("") => return Err("role missing (one of: instance, baremetal)".to_owned()),
            Some(other) => return Err(format!("unknown role {other:?}")),
        };
        if keys.project_id.is_empty() {
            return Err("project_id is mandatory".to_owned());
        }
        let file = keys.secret_key_file.take().filter(|path| !path.as_os_str().is_empty());
        super::cloud::check_one_secret(&keys.secret_key, file.as_deref())?;
        if keys.access_key.is_empty() {
            return Err("access_key is mandatory".to_owned());
        }
        check_forms(&keys)?;
        let api_url = keys.api_url.take().unwrap_or_else(|| API_URL.to_owned());
        Ok(Self {
            role,
            api_url: crate::http::checked_url(&api_url).map_err(|err| format!("api_url: {err}"))?,
            zone: keys.zone.take().unwrap_or_else(|| "fr-par-1".to_owned()),
            secret_key: std::mem::take(&mut keys.secret_key),
            secret_key_file: file,
            name_filter: keys.name_filter.take().unwrap_or_default(),
            tags_filter: keys.tags_filter.take().unwrap_or_default(),
            port: keys.port.unwrap_or(80),
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            http: keys.take_http()?,
        })
    }
}

/// Whether keys and ids look as Scaleway makes them; what it says of each is its own library's.
fn check_forms(keys: &Keys) -> Result<(), String> {
    const UUID: &str = "a UUID: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    let refuse = |what: &str, text: &str, form: &str| {
        Err(format!("scaleway-sdk-go: invalid {what} format '{text}', expected {form}"))
    };
    let access = &keys.access_key;
    let is_upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    if access.len() != 20 || !access.starts_with("SCW") || !access.bytes().all(is_upper) {
        return refuse("access key", access, "SCWXXXXXXXXXXXXXXXXX format");
    }
    // What was written is not shown: it may be a secret in the wrong form.
    if !keys.secret_key.is_empty() && !is_uuid(keys.secret_key.expose()) {
        return refuse("secret key", "<secret>", UUID);
    }
    if !is_uuid(&keys.project_id) {
        return refuse("project ID", &keys.project_id, UUID);
    }
    match keys.zone.as_deref() {
        Some("") => Err("scaleway-sdk-go: default zone cannot be empty".to_owned()),
        Some(zone) if !is_zone(zone) => refuse("default zone", zone, "one as fr-par-1"),
        _ => Ok(()),
    }
}

/// `8-4-4-4-12` hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let is_hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(is_hex)
}

/// `fr-par-1`
fn is_zone(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let [country, city, number] = parts[..] else { return false };
    let is_lower = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit()) && (1..=2).contains(&number.len());
    country.len() == 2 && is_lower(country) && (3..=7).contains(&city.len()) && is_lower(city) && is_number
}

impl Kind for Config {
    const NAME: &'static str = "scaleway";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
        if let Some(file) = &mut self.secret_key_file {
            *file = dir.join(&*file);
        }
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let dir = Arc::clone(&context.dir);
        Ok(refreshing(context, self.refresh_interval, Scaleway::new(self, dir)?))
    }
}

#[derive(Debug)]
struct Scaleway {
    config: Config,
    api: Api,
    dir: Arc<dyn Dir>,
}

impl Scaleway {
    fn new(config: &Config, dir: Arc<dyn Dir>) -> Result<Self, SdError> {
        Ok(Self { config: config.clone(), api: Api::new(&config.http, config.refresh_interval)?, dir })
    }

    /// All pages of a list that stands in answers under `key`.
    async fn list(&self, path: &str, key: &str, query: &[(&str, String)]) -> Result<Vec<Value>, SdError> {
        let Config { secret_key, secret_key_file, .. } = &self.config;
        let secret = super::cloud::read_secret(&*self.dir, secret_key, secret_key_file.as_deref())?;
        let mut token = HeaderValue::from_str(secret.expose())
            .map_err(|_| SdError::other("the secret key has characters HTTP forbids"))?;
        token.set_sensitive(true);
        let mut all: Vec<Value> = Vec::new();
        for page in 1..=PAGES_MAX {
            let mut url = self.config.api_url.join(path).map_err(SdError::other)?;
            url.query_pairs_mut().extend_pairs(query).append_pair("page", &page.to_string());
            let mut request = Request::get(url.clone());
            request.headers.insert(HeaderName::from_static("x-auth-token"), token.clone());
            let response = self.api.send(request).await?;
            let in_header = response.header(&HeaderName::from_static("x-total-count")).parse::<u64>().ok();
            let answer: Value = json(&url, &response)?;
            let page = items(&answer, key);
            all.extend_from_slice(page);
            let total = in_header.or_else(|| answer.pointer("/total_count").and_then(Value::as_u64));
            if page.is_empty() || total.is_some_and(|total| all.len() as u64 >= total) {
                return Ok(all);
            }
        }
        Err(SdError::other(format!("more than {PAGES_MAX} pages of {path}")))
    }

    fn filters(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        if !self.config.name_filter.is_empty() {
            query.push(("name", self.config.name_filter.clone()));
        }
        match self.config.role {
            Role::Instance if !self.config.tags_filter.is_empty() => {
                query.push(("tags", self.config.tags_filter.join(",")));
            }
            Role::Instance => {}
            Role::Baremetal => query.extend(self.config.tags_filter.iter().map(|tag| ("tags", tag.clone()))),
        }
        query
    }

    async fn instances(&self) -> Result<Vec<Labels>, SdError> {
        let path = format!("instance/v1/zones/{}/servers", self.config.zone);
        let servers = self.list(&path, "/servers", &self.filters()).await?;
        let private = self.private_addresses(&servers).await?;
        Ok(servers.iter().filter_map(|server| self.instance(server, &private)).collect())
    }

    /// Addresses of the private interfaces of those servers that have no other address.
    async fn private_addresses(&self, servers: &[Value]) -> Result<HashMap<String, String>, SdError> {
        let mut by_region: BTreeMap<&str, Vec<(&str, String)>> = BTreeMap::new();
        let is_missing = |server: &Value, place: &str| server.pointer(place).is_none_or(Value::is_null);
        for server in servers {
            if ["/private_ip", "/public_ip", "/ipv6"].iter().all(|place| is_missing(server, place))
                && let Some(region) =
                    region_of(server.pointer("/zone").and_then(Value::as_str).unwrap_or_default())
            {
                let ids = items(server, "/private_nics").iter().map(|nic| text(nic, "/id"));
                let ids = ids.filter(|id| !id.is_empty()).map(|id| ("resource_ids", id));
                by_region.entry(region).or_default().extend(ids);
            }
        }
        let mut found = HashMap::new();
        for (region, mut query) in by_region.into_iter().filter(|(_, query)| !query.is_empty()) {
            query.push(("resource_types", "instance_private_nic".to_owned()));
            for ip in self.list(&format!("ipam/v1/regions/{region}/ips"), "/ips", &query).await? {
                let address = text(&ip, "/address");
                if !address.contains(':') && !address.is_empty() {
                    let address = address.split('/').next().unwrap_or_default().to_owned();
                    found.insert(text(&ip, "/resource/id"), address);
                }
            }
        }
        Ok(found)
    }

    /// `None` for a server without addresses.
    fn instance(&self, server: &Value, private: &HashMap<String, String>) -> Option<Labels> {
        let mut target = Target::new("__meta_scaleway_instance_");
        target.take(
            server,
            &[
                ("boot_type", "/boot_type"),
                ("hostname", "/hostname"),
                ("id", "/id"),
                ("name", "/name"),
                ("organization_id", "/organization"),
                ("project_id", "/project"),
                ("status", "/state"),
                ("type", "/commercial_type"),
                ("zone", "/zone"),
                ("image_arch", "/image/arch"),
                ("image_id", "/image/id"),
                ("image_name", "/image/name"),
                ("location_cluster_id", "/location/cluster_id"),
                ("location_hypervisor_id", "/location/hypervisor_id"),
                ("location_node_id", "/location/node_id"),
                ("security_group_id", "/security_group/id"),
                ("security_group_name", "/security_group/name"),
                ("public_ipv6", "/ipv6/address"),
                ("private_ipv4", "/private_ip"),
            ],
        );
        target.set("region", region_of(&text(server, "/zone")).unwrap_or_default());
        target.list("tags", &texts(server, "/tags"));
        for (label, family) in [("public_ipv4_addresses", "inet"), ("public_ipv6_addresses", "inet6")] {
            let of_family = items(server, "/public_ips").iter().filter(|ip| text(ip, "/family") == family);
            target.list(label, &of_family.map(|ip| text(ip, "/address")).collect::<Vec<_>>());
        }
        let public = text(server, "/public_ip/address");
        if text(server, "/public_ip/family") != "inet6" {
            target.set("public_ipv4", &public);
        }
        let known = [text(server, "/private_ip"), public, text(server, "/ipv6/address")];
        let of_nics = || {
            let nics = items(server, "/private_nics").iter();
            let address = nics.filter_map(|nic| private.get(&text(nic, "/id"))).next().cloned();
            address.inspect(|address| {
                target.set("private_ipv4", address);
            })
        };
        let address = known.into_iter().find(|address| !address.is_empty()).or_else(of_nics)?;
        Some(target.address(&address, self.config.port).build())
    }

    async fn servers(&self) -> Result<Vec<Labels>, SdError> {
        let base = format!("baremetal/v1/zones/{}", self.config.zone);
        let servers = self.list(&format!("{base}/servers"), "/servers", &self.filters()).await?;
        let offers = self.list(&format!("{base}/offers"), "/offers", &[]).await?;
        let systems = self.list(&format!("{base}/os"), "/os", &[]).await?;
        servers.iter().map(|server| self.server(server, &offers, &systems)).collect()
    }

    fn server(&self, server: &Value, offers: &[Value], systems: &[Value]) -> Result<Labels, SdError> {
        let mut target = Target::new("__meta_scaleway_baremetal_");
        let places = [
            ("id", "/id"),
            ("name", "/name"),
            ("zone", "/zone"),
            ("status", "/status"),
            ("project_id", "/project_id"),
        ];
        target.take(server, &places).list("tags", &texts(server, "/tags"));
        let by_id = |list: &[Value], id: String| list.iter().find(|one| text(one, "/id") == id).cloned();
        if let Some(offer) = by_id(offers, text(server, "/offer_id")) {
            target.set("type", text(&offer, "/name"));
        }
        if let Some(system) = by_id(systems, text(server, "/install/os_id")) {
            target.set("os_name", text(&system, "/name")).set("os_version", text(&system, "/version"));
        }
        let (mut v4, mut v6) = (None, None);
        for ip in items(server, "/ips") {
            match text(ip, "/version").as_str() {
                "IPv4" => v4.get_or_insert_with(|| text(ip, "/address")),
                "IPv6" => v6.get_or_insert_with(|| text(ip, "/address")),
                other => return Err(SdError::other(format!("unknown IP version: {other}"))),
            };
        }
        target.set("public_ipv4", v4.as_deref().unwrap_or_default());
        target.set("public_ipv6", v6.as_deref().unwrap_or_default());
        if let Some(address) = v4.or(v6) {
            target.address(&address, self.config.port);
        }
        Ok(target.build())
    }
}

/// `fr-par-1` → `fr-par`
fn region_of(zone: &str) -> Option<&str> {
    zone.rsplit_once('-').map(|(region, _)| region).filter(|region| region.contains('-'))
}

impl Provider for Scaleway {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let targets = match self.config.role {
            Role::Instance => self.instances().await?,
            Role::Baremetal => self.servers().await?,
        };
        Ok(vec![TargetGroup::new("scaleway", targets)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    /// Of nobody, in the forms that Scaleway's have.
    const ID: &str = "11111111-1111-1111-1111-111111111111";
    const ACCESS: &str = "SCWXXXXXXXXXXXXXXXXX";

    async fn check(more: &str, fake: &Fake, expected: &[&str]) {
        let text = format!(
            "{{project_id: {ID}, access_key: {ACCESS}, secret_key: {ID}, api_url: '{}', {more}}}",
            fake.url
        );
        let dir = Arc::new(stdx::dir::DiskDir::anywhere());
        let mut scaleway = Scaleway::new(&fake::config(&text).unwrap(), dir).unwrap();
        assert_eq!(fake::labels(&scaleway.refresh().await.unwrap()), expected);
        assert_eq!(fake.asked()[0].headers["x-auth-token"], ID);
    }

    #[tokio::test]
    async fn instances_become_targets() {
        let first = r#"{"servers": [{"id": "93c18a61", "name": "scw-nervous", "commercial_type": "DEV1-S", "hostname": "scw-nervous", "tags": ["t"],
            "image": {"id": "45a86b35", "name": "Ubuntu", "arch": "x86_64"}, "boot_type": "local", "organization": "o", "project": "p",
            "location": {"cluster_id": "40", "hypervisor_id": "1601", "node_id": "29"}, "state": "running", "zone": "fr-par-1",
            "security_group": {"id": "a6a794b7", "name": "Default"}, "public_ip": {"address": "51.158.183.115", "family": "inet"},
            "public_ips": [{"address": "51.158.183.115", "family": "inet"}], "private_ip": "10.70.60.57",
            "ipv6": {"address": "2001:bc8:1640:1568:dc00:ff:fe21:91b"}}], "total_count": 2}"#;
        let second = r#"{"servers": [{"id": "b", "zone": "fr-par-1", "private_ip": null, "private_nics": [{"id": "nic"}]}, {"id": "c"}], "total_count": 2}"#;
        let ips = r#"{"ips": [{"address": "10.1.0.9/22", "is_ipv6": false, "resource": {"id": "nic"}}], "total_count": 1}"#;
        let fake = Fake::start(&[
            ("/instance/v1/zones/fr-par-1/servers?name=n&tags=x%2Cy&page=1", first),
            ("/instance/v1/zones/fr-par-1/servers?name=n&tags=x%2Cy&page=2", second),
            ("/ipam/v1/regions/fr-par/ips?resource_ids=nic&resource_types=instance_private_nic&page=1", ips),
        ])
        .await;
        let expected = concat!(
            r#"{__address__="10.70.60.57:80", __meta_scaleway_instance_boot_type="local", __meta_scaleway_instance_hostname="scw-nervous", "#,
            r#"__meta_scaleway_instance_id="93c18a61", __meta_scaleway_instance_image_arch="x86_64", __meta_scaleway_instance_image_id="45a86b35", "#,
            r#"__meta_scaleway_instance_image_name="Ubuntu", __meta_scaleway_instance_location_cluster_id="40", "#,
            r#"__meta_scaleway_instance_location_hypervisor_id="1601", __meta_scaleway_instance_location_node_id="29", "#,
            r#"__meta_scaleway_instance_name="scw-nervous", __meta_scaleway_instance_organization_id="o", "#,
            r#"__meta_scaleway_instance_private_ipv4="10.70.60.57", __meta_scaleway_instance_project_id="p", "#,
            r#"__meta_scaleway_instance_public_ipv4="51.158.183.115", __meta_scaleway_instance_public_ipv4_addresses=",51.158.183.115,", "#,
            r#"__meta_scaleway_instance_public_ipv6="2001:bc8:1640:1568:dc00:ff:fe21:91b", __meta_scaleway_instance_region="fr-par", "#,
            r#"__meta_scaleway_instance_security_group_id="a6a794b7", __meta_scaleway_instance_security_group_name="Default", "#,
            r#"__meta_scaleway_instance_status="running", __meta_scaleway_instance_tags=",t,", __meta_scaleway_instance_type="DEV1-S", "#,
            r#"__meta_scaleway_instance_zone="fr-par-1"}"#,
        );
        let private = concat!(
            r#"{__address__="10.1.0.9:80", __meta_scaleway_instance_id="b", __meta_scaleway_instance_private_ipv4="10.1.0.9", "#,
            r#"__meta_scaleway_instance_region="fr-par", __meta_scaleway_instance_zone="fr-par-1"}"#,
        );
        check("role: instance, name_filter: n, tags_filter: [x, y]", &fake, &[expected, private]).await;
    }

    #[tokio::test]
    async fn bare_metal_becomes_targets() {
        let servers = r#"{"servers": [{"id": "1", "name": "n", "zone": "fr-par-1", "status": "ready", "project_id": "p", "offer_id": "o", "install": {"os_id": "u"},
            "ips": [{"version": "IPv6", "address": "2001::1"}, {"version": "IPv4", "address": "1.2.3.4"}]}], "total_count": 1}"#;
        let fake = Fake::start(&[
            ("/baremetal/v1/zones/fr-par-1/servers?tags=x&page=1", servers),
            (
                "/baremetal/v1/zones/fr-par-1/offers?page=1",
                r#"{"offers": [{"id": "o", "name": "EM-A"}], "total_count": 1}"#,
            ),
            (
                "/baremetal/v1/zones/fr-par-1/os?page=1",
                r#"{"os": [{"id": "u", "name": "Ubuntu", "version": "22.04"}], "total_count": 1}"#,
            ),
        ])
        .await;
        let expected = concat!(
            r#"{__address__="1.2.3.4:80", __meta_scaleway_baremetal_id="1", __meta_scaleway_baremetal_name="n", "#,
            r#"__meta_scaleway_baremetal_os_name="Ubuntu", __meta_scaleway_baremetal_os_version="22.04", __meta_scaleway_baremetal_project_id="p", "#,
            r#"__meta_scaleway_baremetal_public_ipv4="1.2.3.4", __meta_scaleway_baremetal_public_ipv6="2001::1", "#,
            r#"__meta_scaleway_baremetal_status="ready", __meta_scaleway_baremetal_type="EM-A", __meta_scaleway_baremetal_zone="fr-par-1"}"#,
        );
        check("role: baremetal, zone: fr-par-1, tags_filter: [x]", &fake, &[expected]).await;
    }

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        for (text, expected) in [
            ("{}", "role missing (one of: instance, baremetal)"),
            ("{role: x}", "unknown role \"x\""),
            ("{role: instance}", "project_id is mandatory"),
            ("{role: instance, project_id: p}", "one of secret_key & secret_key_file must be configured"),
            ("{role: instance, project_id: p, secret_key: s}", "access_key is mandatory"),
        ] {
            assert_eq!(fake::config::<Config>(text).unwrap_err(), format!("p.yml: {expected}"));
        }
        for (own, expected) in [
            ("access_key: a", "access key format 'a', expected SCWXXXXXXXXXXXXXXXXX format"),
            (
                "access_key: SCWxxxxxxxxxxxxxxxxx",
                "access key format 'SCWxxxxxxxxxxxxxxxxx', expected SCWXXXXXXXXXXXXXXXXX format",
            ),
            (
                "secret_key: hunter2",
                "secret key format '<secret>', expected a UUID: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
            ),
            ("project_id: p", "project ID format 'p', expected a UUID: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
            ("zone: paris", "default zone format 'paris', expected one as fr-par-1"),
        ] {
            let keys = [("project_id", ID), ("access_key", ACCESS), ("secret_key", ID)];
            let others = keys.iter().filter(|(name, _)| !own.starts_with(name));
            let others: String = others.map(|(name, value)| format!(", {name}: {value}")).collect();
            let err = fake::config::<Config>(&format!("{{role: instance, {own}{others}}}")).unwrap_err();
            assert_eq!(err, format!("p.yml: scaleway-sdk-go: invalid {expected}"));
        }
        let empty =
            format!("{{role: instance, project_id: {ID}, access_key: {ACCESS}, secret_key: {ID}, zone: ''}}");
        let why = "p.yml: scaleway-sdk-go: default zone cannot be empty";
        assert_eq!(fake::config::<Config>(&empty).unwrap_err(), why);
    }
}
