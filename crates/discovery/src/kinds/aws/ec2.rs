//! `ec2_sd_configs`: instances of Amazon EC2.
//!
//! EC2 query API of 2016-11-15: `DescribeInstances`, `DescribeAvailabilityZones`; for tasks of ECS `DescribeNetworkInterfaces`, too.

use std::collections::HashMap;
use std::path::Path;

use model::Labels;
use roxmltree::Node;
use serde::Deserialize;

use super::{Access, Filter, Form, Kind, Paging, Service, action, at, checked_filters, children};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::bad_answer;
use crate::kinds::cloud::{Target, surrounded};

/// Of the API.
const VERSION: &str = "2016-11-15";
/// Things that are named in one question. Chosen: what EC2 answers without pages.
const IDS_MAX: usize = 100;
/// How pages follow one another.
const PAGES: Paging = Paging { asked: "NextToken", told: "nextToken" };

/// One element of `ec2_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    pub(super) access: Access,
    pub(super) filters: Vec<Filter>,
}

super::aws_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        filters: Option<Vec<Filter>>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        Ok(Self { filters: checked_filters(keys.filters.take(), "EC2")?, access: keys.access("ec2")? })
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

#[derive(Debug)]
pub(super) struct Ec2 {
    config: Config,
    service: Option<Service>,
    /// Names of availability zones to their identities; asked for until they were given once, as in Prometheus.
    zones: Option<HashMap<String, String>>,
}

impl Ec2 {
    pub(super) fn new(config: &Config) -> Self {
        Self { config: config.clone(), service: None, zones: None }
    }

    async fn zones(service: &Service) -> Result<HashMap<String, String>, SdError> {
        let answer = service.query(&action("DescribeAvailabilityZones", VERSION, &[])).await?;
        let doc = roxmltree::Document::parse(&answer).map_err(|err| bad_answer(&service.url, err))?;
        let zones = children(doc.root_element(), "availabilityZoneInfo");
        Ok(zones.map(|zone| (at(zone, "zoneName").to_owned(), at(zone, "zoneId").to_owned())).collect())
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
            for interface in children(instance, "networkInterfaceSet") {
                let subnet = at(interface, "subnetId");
                if !subnet.is_empty() && !subnets.contains(&subnet) {
                    subnets.push(subnet);
                }
            }
            target.set("subnet_id", surrounded(&subnets, ","));
        }
        for tag in children(instance, "tagSet") {
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
    for interface in children(instance, "networkInterfaceSet") {
        if at(interface, "subnetId").is_empty() {
            continue;
        }
        for address in children(interface, "ipv6AddressesSet") {
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
        let service = Service::ready(&mut self.service, &self.config.access, "ec2").await?;
        if self.zones.is_none() {
            match Self::zones(&service).await {
                Ok(zones) => self.zones = Some(zones),
                Err(error) => tracing::debug!(error = %error, "unable to describe availability zones"),
            }
        }
        let mut form = action("DescribeInstances", VERSION, &[]);
        for (i, filter) in self.config.filters.iter().enumerate() {
            form.push((format!("Filter.{}.Name", i + 1), filter.name.clone()));
            let values = filter.values.iter().enumerate();
            form.extend(
                values.map(|(j, value)| (format!("Filter.{}.Value.{}", i + 1, j + 1), value.clone())),
            );
        }
        let (mut targets, region) = (Vec::new(), service.region.clone());
        let take = |root: Node<'_, '_>| {
            for reservation in children(root, "reservationSet") {
                for instance in children(reservation, "instancesSet") {
                    targets.extend(self.target(instance, at(reservation, "ownerId"), &region));
                }
            }
        };
        let all = service.pages(form, &PAGES, take).await;
        all.map_err(|err| SdError::other(format!("could not describe instances: {err}")))?;
        // Kept only after a good answer: keys that were refused are looked for anew.
        self.service = Some(service);
        Ok(vec![TargetGroup::new(region, targets)])
    }
}

/// What other services' things say of the instance that they run on.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) private_ip: String,
    pub(super) public_ip: String,
    pub(super) subnet_id: String,
    pub(super) instance_type: String,
    pub(super) tags: Vec<(String, String)>,
}

/// The instances with these names that have a private address.
pub(super) async fn hosts(service: &Service, ids: &[String]) -> Result<HashMap<String, Host>, SdError> {
    let mut hosts = HashMap::new();
    let mut take = |root: Node<'_, '_>| {
        let reservations = children(root, "reservationSet");
        for instance in reservations.flat_map(|reservation| children(reservation, "instancesSet")) {
            let private_ip = at(instance, "privateIpAddress").to_owned();
            if private_ip.is_empty() {
                continue;
            }
            let tags = children(instance, "tagSet");
            let host = Host {
                private_ip,
                public_ip: at(instance, "ipAddress").to_owned(),
                subnet_id: at(instance, "subnetId").to_owned(),
                instance_type: at(instance, "instanceType").to_owned(),
                tags: tags.map(|tag| (at(tag, "key").to_owned(), at(tag, "value").to_owned())).collect(),
            };
            hosts.insert(at(instance, "instanceId").to_owned(), host);
        }
    };
    for ids in ids.chunks(IDS_MAX) {
        service.pages(of_ids("DescribeInstances", "InstanceId", ids), &PAGES, &mut take).await?;
    }
    Ok(hosts)
}

/// The public addresses of those of these network interfaces that have one.
pub(super) async fn public_ips(
    service: &Service,
    interface_ids: &[String],
) -> Result<HashMap<String, String>, SdError> {
    let mut found = HashMap::new();
    for ids in interface_ids.chunks(IDS_MAX) {
        let form = of_ids("DescribeNetworkInterfaces", "NetworkInterfaceId", ids);
        let take = |root: Node<'_, '_>| {
            for interface in children(root, "networkInterfaceSet") {
                let public_ip = at(interface, "association/publicIp");
                if !public_ip.is_empty() {
                    found.insert(at(interface, "networkInterfaceId").to_owned(), public_ip.to_owned());
                }
            }
        };
        service.pages(form, &PAGES, take).await?;
    }
    Ok(found)
}

fn of_ids(name: &str, field: &str, ids: &[String]) -> Form {
    let mut form = action(name, VERSION, &[]);
    form.extend(ids.iter().enumerate().map(|(i, id)| (format!("{field}.{}", i + 1), id.clone())));
    form
}
