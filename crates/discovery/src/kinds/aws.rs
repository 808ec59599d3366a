//! `aws_sd_configs`, `ec2_sd_configs` and `lightsail_sd_configs`: instances of Amazon EC2 and Lightsail.
//!
//! EC2 query API of 2016-11-15 (`DescribeInstances`, `DescribeAvailabilityZones`), Lightsail JSON API of 2016-11-28 (`GetInstances`); signed by
//! [`net::auth`]. Other roles of `aws_sd_configs` are refused by name.

use std::collections::HashMap;
use std::path::Path;

use http::header::{HeaderName, HeaderValue};
use model::{Duration, Labels};
use net::auth::{SigV4Config, Signing};
use net::{HttpClientConfig, Request, Secret};
use roxmltree::Node;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, text, texts};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::{Api, PAGES_MAX, bad_answer, json, require_success};

/// Condition on what is found.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    name: String,
    #[serde(default)]
    values: Vec<String>,
}

/// How AWS is asked.
#[derive(Debug, Clone, PartialEq)]
struct Access {
    sigv4: SigV4Config,
    endpoint: String,
    port: u16,
    refresh_interval: Duration,
    http: HttpClientConfig,
}

/// Adds the keys that all kinds of AWS have, and what reads them.
macro_rules! aws_keys {
    ($(#[$meta:meta])* struct $name:ident { $($body:tt)* }) => {
        net::with_http_keys! {
            $(#[$meta])*
            struct $name {
                $($body)*
                region: Option<String>,
                endpoint: Option<String>,
                access_key: Option<String>,
                secret_key: Secret,
                profile: Option<String>,
                role_arn: Option<String>,
                external_id: Option<String>,
                refresh_interval: Option<Duration>,
                port: Option<u16>,
            }
        }

        impl $name {
            fn access(&mut self, service: &str) -> Result<Access, String> {
                let mut sigv4 = SigV4Config {
                    region: self.region.take().unwrap_or_default(),
                    access_key: self.access_key.take().unwrap_or_default(),
                    secret_key: std::mem::take(&mut self.secret_key),
                    profile: self.profile.take().unwrap_or_default(),
                    role_arn: self.role_arn.take().unwrap_or_default(),
                    external_id: self.external_id.take().unwrap_or_default(),
                    service_name: service.to_owned(),
                    ..SigV4Config::default()
                };
                // As in Prometheus, one of them alone counts for nothing.
                if sigv4.access_key.is_empty() || sigv4.secret_key.is_empty() {
                    (sigv4.access_key, sigv4.secret_key) = (String::new(), Secret::default());
                }
                Ok(Access {
                    sigv4,
                    endpoint: self.endpoint.take().unwrap_or_default(),
                    port: self.port.unwrap_or(80),
                    refresh_interval: crate::kinds::interval(self.refresh_interval, 60)?,
                    http: self.take_http()?,
                })
            }
        }
    };
}

fn checked_filters(filters: Option<Vec<Filter>>) -> Result<Vec<Filter>, String> {
    let filters = filters.unwrap_or_default();
    if filters.iter().any(|filter| filter.values.is_empty()) {
        return Err("EC2 SD configuration filter values cannot be empty".to_owned());
    }
    Ok(filters)
}

/// One element of `ec2_sd_configs`.
pub mod ec2 {
    use super::*;

    /// One element of `ec2_sd_configs`.
    #[derive(Debug, Clone, PartialEq, Deserialize)]
    #[serde(try_from = "Keys")]
    pub struct Config {
        pub(super) access: Access,
        pub(super) filters: Vec<Filter>,
    }

    aws_keys! {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Keys {
            filters: Option<Vec<Filter>>,
        }
    }

    impl TryFrom<Keys> for Config {
        type Error = String;

        fn try_from(mut keys: Keys) -> Result<Self, String> {
            Ok(Self { filters: checked_filters(keys.filters.take())?, access: keys.access("ec2")? })
        }
    }

    impl Kind for Config {
        const NAME: &'static str = "ec2";

        fn set_directory(&mut self, dir: &Path) {
            self.access.http.set_directory(dir);
        }

        fn start(&self, context: Context) -> Result<Task, SdError> {
            Ok(refreshing(context, self.access.refresh_interval, Ec2::new(self)))
        }
    }
}

/// One element of `lightsail_sd_configs`.
pub mod lightsail {
    use super::*;

    /// One element of `lightsail_sd_configs`.
    #[derive(Debug, Clone, PartialEq, Deserialize)]
    #[serde(try_from = "Keys")]
    pub struct Config {
        pub(super) access: Access,
    }

    aws_keys! {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Keys {}
    }

    impl TryFrom<Keys> for Config {
        type Error = String;

        fn try_from(mut keys: Keys) -> Result<Self, String> {
            Ok(Self { access: keys.access("lightsail")? })
        }
    }

    impl Kind for Config {
        const NAME: &'static str = "lightsail";

        fn set_directory(&mut self, dir: &Path) {
            self.access.http.set_directory(dir);
        }

        fn start(&self, context: Context) -> Result<Task, SdError> {
            Ok(refreshing(context, self.access.refresh_interval, Lightsail::new(self)))
        }
    }
}

/// One element of `aws_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config(Role);

#[derive(Debug, Clone, PartialEq)]
enum Role {
    Ec2(ec2::Config),
    Lightsail(lightsail::Config),
}

aws_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        role: String,
        filters: Option<Vec<Filter>>,
        clusters: Option<Vec<String>>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        match keys.role.as_str() {
            // Clusters belong to other roles; Prometheus takes them here and does nothing with them.
            "ec2" => {
                let filters = checked_filters(keys.filters.take())?;
                Ok(Self(Role::Ec2(ec2::Config { filters, access: keys.access("ec2")? })))
            }
            "lightsail" => Ok(Self(Role::Lightsail(lightsail::Config { access: keys.access("lightsail")? }))),
            "ecs" | "elasticache" | "msk" | "rds" => Err(format!(
                "role {} of aws_sd_configs is not served yet: use file_sd_configs{}",
                keys.role,
                if keys.clusters.is_some() { " with the targets of these clusters" } else { "" }
            )),
            other => Err(format!("unknown AWS SD role {other:?}")),
        }
    }
}

impl Kind for Config {
    const NAME: &'static str = "aws";

    fn set_directory(&mut self, dir: &Path) {
        match &mut self.0 {
            Role::Ec2(config) => config.set_directory(dir),
            Role::Lightsail(config) => config.set_directory(dir),
        }
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        match &self.0 {
            Role::Ec2(config) => config.start(context),
            Role::Lightsail(config) => config.start(context),
        }
    }
}

/// A service of one region.
#[derive(Debug)]
struct Service {
    api: Api,
    url: Url,
    region: String,
}

impl Service {
    /// Finds the region, which may have to be asked for.
    async fn open(access: &Access, name: &str) -> Result<Self, SdError> {
        let region = net::auth::aws_region(&access.sigv4)
            .await
            .map_err(|err| SdError::other(format!("could not determine AWS region: {err}")))?;
        let text = match access.endpoint.as_str() {
            "" => format!("https://{name}.{region}.{}/", net::auth::aws_dns_suffix(&region)),
            endpoint => endpoint.to_owned(),
        };
        let url = Url::parse(&text).map_err(|err| SdError::other(format!("endpoint {text:?}: {err}")))?;
        let signing = Signing::SigV4(SigV4Config { region: region.clone(), ..access.sigv4.clone() });
        let api = Api::signed(&access.http, access.refresh_interval, Some(&signing))?;
        Ok(Self { api, url, region })
    }

    /// The text of an answer to an action of a query API.
    async fn query(&self, form: &[(String, String)]) -> Result<String, SdError> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let content_type = "application/x-www-form-urlencoded; charset=utf-8";
        let response = self.api.send(Request::post(self.url.clone(), content_type, body)).await?;
        require_success(&self.url, &response)?;
        String::from_utf8(response.body.to_vec()).map_err(|err| bad_answer(&self.url, err))
    }
}

/// The text of the element at a path below `node`; empty when there is none.
fn at<'a>(node: Node<'a, '_>, path: &str) -> &'a str {
    let found = path
        .split('/')
        .try_fold(node, |node, name| node.children().find(|child| child.has_tag_name_any(name)));
    found.and_then(|node| node.text()).unwrap_or_default()
}

/// The `item`s of a set below `node`.
fn set<'a, 'd>(node: Node<'a, 'd>, name: &str) -> Vec<Node<'a, 'd>> {
    let set = node.children().find(|child| child.has_tag_name_any(name));
    set.into_iter().flat_map(|set| set.children()).filter(|child| child.has_tag_name_any("item")).collect()
}

/// Elements by name, whatever their namespace.
trait AnyNamespace {
    fn has_tag_name_any(&self, name: &str) -> bool;
}

impl AnyNamespace for Node<'_, '_> {
    fn has_tag_name_any(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

#[derive(Debug)]
struct Ec2 {
    config: ec2::Config,
    service: Option<Service>,
    /// Names of availability zones to their identities; asked for until they were given once, as in Prometheus.
    zones: Option<HashMap<String, String>>,
}

fn action(name: &str) -> Vec<(String, String)> {
    [("Action", name), ("Version", "2016-11-15")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
}

impl Ec2 {
    fn new(config: &ec2::Config) -> Self {
        Self { config: config.clone(), service: None, zones: None }
    }

    async fn zones(service: &Service) -> Result<HashMap<String, String>, SdError> {
        let answer = service.query(&action("DescribeAvailabilityZones")).await?;
        let doc = roxmltree::Document::parse(&answer).map_err(|err| bad_answer(&service.url, err))?;
        let zones = set(doc.root_element(), "availabilityZoneInfo").into_iter();
        Ok(zones.map(|zone| (at(zone, "zoneName").to_owned(), at(zone, "zoneId").to_owned())).collect())
    }

    /// The targets of one page, and the name of the next one.
    fn page(&self, service: &Service, answer: &str, targets: &mut Vec<Labels>) -> Result<String, SdError> {
        let doc = roxmltree::Document::parse(answer).map_err(|err| bad_answer(&service.url, err))?;
        let root = doc.root_element();
        for reservation in set(root, "reservationSet") {
            for instance in set(reservation, "instancesSet") {
                targets.extend(self.target(instance, at(reservation, "ownerId"), &service.region));
            }
        }
        Ok(at(root, "nextToken").to_owned())
    }

    /// `None` for an instance without a private address.
    fn target(&self, instance: Node<'_, '_>, owner: &str, region: &str) -> Option<Labels> {
        let mut target = Target::new("__meta_ec2_");
        let (primary, all) = ipv6_addresses(instance);
        let default_ipv6 = primary.iter().chain(&all).find(|address| !address.is_empty());
        let private = at(instance, "privateIpAddress");
        let address =
            Some(private).filter(|address| !address.is_empty()).or(default_ipv6.map(String::as_str))?;
        target.address(address, self.config.access.port);
        for (name, path) in [
            ("instance_id", "instanceId"),
            ("private_ip", "privateIpAddress"),
            ("private_dns_name", "privateDnsName"),
            ("platform", "platform"),
            ("ami", "imageId"),
            ("availability_zone", "placement/availabilityZone"),
            ("instance_state", "instanceState/name"),
            ("instance_type", "instanceType"),
            ("instance_lifecycle", "instanceLifecycle"),
            ("architecture", "architecture"),
            ("vpc_id", "vpcId"),
        ] {
            target.set(name, at(instance, path));
        }
        target.set("region", region).set("owner_id", owner);
        target.set("default_ipv6_address", default_ipv6.map_or("", String::as_str));
        if !at(instance, "ipAddress").is_empty() {
            target
                .set("public_ip", at(instance, "ipAddress"))
                .set("public_dns_name", at(instance, "dnsName"));
        }
        target.list("primary_ipv6_addresses", &primary).list("ipv6_addresses", &all);
        let zone = at(instance, "placement/availabilityZone");
        let zone_id = self.zones.as_ref().and_then(|zones| zones.get(zone));
        target.set("availability_zone_id", zone_id.map_or("", String::as_str));
        if !at(instance, "vpcId").is_empty() {
            target.set("primary_subnet_id", at(instance, "subnetId"));
            let mut subnets: Vec<&str> = Vec::new();
            for interface in set(instance, "networkInterfaceSet") {
                let subnet = at(interface, "subnetId");
                if !subnet.is_empty() && !subnets.contains(&subnet) {
                    subnets.push(subnet);
                }
            }
            target.set("subnet_id", super::cloud::surrounded(&subnets, ","));
        }
        for tag in set(instance, "tagSet") {
            target.tag("tag_", at(tag, "key"), at(tag, "value"));
        }
        Some(target.build())
    }
}

/// Primary ones at the place of their interface's index, and all.
fn ipv6_addresses(instance: Node<'_, '_>) -> (Vec<String>, Vec<String>) {
    /// Network interfaces of one instance. Chosen; AWS allows some dozens.
    const INDEX_MAX: usize = 1_000;
    let (mut primary, mut all) = (Vec::new(), Vec::new());
    if at(instance, "vpcId").is_empty() {
        return (primary, all);
    }
    for interface in set(instance, "networkInterfaceSet") {
        if at(interface, "subnetId").is_empty() {
            continue;
        }
        for address in set(interface, "ipv6AddressesSet") {
            let text = at(address, "ipv6Address").to_owned();
            let index = at(interface, "attachment/deviceIndex").parse::<usize>().unwrap_or(0);
            if at(address, "isPrimaryIpv6") == "true" && index < INDEX_MAX {
                primary.resize(primary.len().max(index + 1), String::new());
                primary[index].clone_from(&text);
            }
            all.push(text);
        }
    }
    (primary, all)
}

impl Provider for Ec2 {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let service = match self.service.take() {
            Some(service) => service,
            None => Service::open(&self.config.access, "ec2").await?,
        };
        if self.zones.is_none() {
            match Self::zones(&service).await {
                Ok(zones) => self.zones = Some(zones),
                Err(error) => tracing::debug!(error = %error, "unable to describe availability zones"),
            }
        }
        let mut form = action("DescribeInstances");
        for (i, filter) in self.config.filters.iter().enumerate() {
            form.push((format!("Filter.{}.Name", i + 1), filter.name.clone()));
            let values = filter.values.iter().enumerate();
            form.extend(
                values.map(|(j, value)| (format!("Filter.{}.Value.{}", i + 1, j + 1), value.clone())),
            );
        }
        let n_fixed = form.len();
        let mut targets = Vec::new();
        for _ in 0..PAGES_MAX {
            let answer = service.query(&form).await;
            let answer =
                answer.map_err(|err| SdError::other(format!("could not describe instances: {err}")))?;
            let next = self.page(&service, &answer, &mut targets)?;
            if next.is_empty() {
                let region = service.region.clone();
                // Kept only after a good answer: keys that were refused are looked for anew.
                self.service = Some(service);
                return Ok(vec![TargetGroup::new(region, targets)]);
            }
            form.truncate(n_fixed);
            form.push(("NextToken".to_owned(), next));
        }
        Err(SdError::other(format!("more than {PAGES_MAX} pages of instances")))
    }
}

#[derive(Debug)]
struct Lightsail {
    config: lightsail::Config,
    service: Option<Service>,
}

impl Lightsail {
    fn new(config: &lightsail::Config) -> Self {
        Self { config: config.clone(), service: None }
    }

    /// `None` for an instance without a private address.
    fn target(&self, instance: &Value, region: &str) -> Option<Labels> {
        let private = Some(text(instance, "/privateIpAddress")).filter(|address| !address.is_empty())?;
        let mut target = Target::new("__meta_lightsail_");
        target.take(
            instance,
            &[
                ("private_ip", "/privateIpAddress"),
                ("availability_zone", "/location/availabilityZone"),
                ("blueprint_id", "/blueprintId"),
                ("bundle_id", "/bundleId"),
                ("instance_name", "/name"),
                ("instance_state", "/state/name"),
                ("instance_support_code", "/supportCode"),
                ("public_ip", "/publicIpAddress"),
            ],
        );
        target.set("region", region).list("ipv6_addresses", &texts(instance, "/ipv6Addresses"));
        for tag in items(instance, "/tags") {
            target.tag("tag_", &text(tag, "/key"), text(tag, "/value"));
        }
        Some(target.address(&private, self.config.access.port).build())
    }
}

impl Provider for Lightsail {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let service = match self.service.take() {
            Some(service) => service,
            None => Service::open(&self.config.access, "lightsail").await?,
        };
        let mut targets = Vec::new();
        let mut body = serde_json::json!({});
        for _ in 0..PAGES_MAX {
            let mut request =
                Request::post(service.url.clone(), "application/x-amz-json-1.1", body.to_string());
            let wanted = HeaderValue::from_static("Lightsail_20161128.GetInstances");
            request.headers.insert(HeaderName::from_static("x-amz-target"), wanted);
            let answer = service.api.send(request).await?;
            let answer: Value = json(&service.url, &answer)
                .map_err(|err| SdError::other(format!("could not get instances: {err}")))?;
            let of_page = items(&answer, "/instances").iter();
            targets.extend(of_page.filter_map(|instance| self.target(instance, &service.region)));
            let next = text(&answer, "/nextPageToken");
            if next.is_empty() {
                let region = service.region.clone();
                self.service = Some(service);
                return Ok(vec![TargetGroup::new(region, targets)]);
            }
            body = serde_json::json!({ "pageToken": next });
        }
        Err(SdError::other(format!("more than {PAGES_MAX} pages of instances")))
    }
}

#[cfg(test)]
#[path = "aws_tests.rs"]
mod tests;
