//! `lightsail_sd_configs`: instances of Amazon Lightsail.
//!
//! Lightsail JSON API of 2016-11-28: `GetInstances`.

use std::path::Path;

use model::Labels;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Access, Kind, Paging, Service};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::kinds::cloud::{Target, items, text, texts};

/// One element of `lightsail_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    pub(super) access: Access,
}

super::aws_keys! {
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

#[derive(Debug)]
pub(super) struct Lightsail {
    config: Config,
    service: Option<Service>,
}

impl Lightsail {
    pub(super) fn new(config: &Config) -> Self {
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
        let service = Service::ready(&mut self.service, &self.config.access, "lightsail").await?;
        let paging = Paging { asked: "pageToken", told: "/nextPageToken" };
        let instances = service
            .list("Lightsail_20161128.GetInstances", json!({}), &paging, "/instances")
            .await
            .map_err(|err| SdError::other(format!("could not get instances: {err}")))?;
        let targets =
            instances.iter().filter_map(|instance| self.target(instance, &service.region)).collect();
        let region = service.region.clone();
        // Kept only after a good answer: keys that were refused are looked for anew.
        self.service = Some(service);
        Ok(vec![TargetGroup::new(region, targets)])
    }
}
