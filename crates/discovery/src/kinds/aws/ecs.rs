//! `ecs_sd_configs`: tasks of Amazon ECS.
//!
//! ECS JSON API of 2014-11-13; the instances that tasks run on and public addresses come from EC2. A task without an address is no target.

use std::collections::{BTreeSet, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};
use model::Labels;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ec2::{Host, hosts, public_ips};
use super::{Access, Clusters, Kind, Paging, Service, cluster_kind};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::kinds::cloud::{Target, items, text};

/// Requests at once. From Prometheus: what AWS answers in a second.
const CONCURRENCY: usize = 20;
/// Things that are listed, and named in one question. From AWS' limits.
const NAMED_MAX: usize = 100;
/// Services that are named in one question. From AWS' limits.
const SERVICES_MAX: usize = 10;

cluster_kind!("ecs", "ecs", Ecs, CONCURRENCY);

/// An operation of the API.
macro_rules! operation {
    ($name:literal) => {
        concat!("AmazonEC2ContainerServiceV20141113.", $name)
    };
}

#[derive(Debug)]
pub(super) struct Ecs {
    config: Config,
    ecs: Option<Service>,
    ec2: Option<Service>,
    /// Of EC2; `endpoint` is that of ECS.
    pub(super) ec2_endpoint: String,
}

/// What is known of a cluster's tasks besides themselves.
#[derive(Debug, Default)]
struct Around {
    /// By their names.
    services: HashMap<String, Value>,
    /// Of the tasks' container instances: identities of instances of EC2.
    container_instances: HashMap<String, String>,
    hosts: HashMap<String, Host>,
    /// Of network interfaces.
    public_ips: HashMap<String, String>,
}

impl Ecs {
    pub(super) fn new(config: &Config) -> Self {
        Self { config: config.clone(), ecs: None, ec2: None, ec2_endpoint: String::new() }
    }

    fn clusters(&self) -> &Clusters {
        &self.config.0
    }

    /// What `operation` tells of each of `names`, asked for in `chunk`s.
    async fn describe(
        &self,
        ecs: &Service,
        operation: &'static str,
        cluster: Option<&str>,
        (field, names): (&str, &[String]),
        chunk: usize,
    ) -> Result<Vec<Value>, SdError> {
        let ask = |names: &[String]| {
            let mut body = json!({ field: names });
            // Container instances' tags are not ours to show.
            if field != "containerInstances" {
                body["include"] = json!(["TAGS"]);
            }
            if let Some(cluster) = cluster {
                body["cluster"] = cluster.into();
            }
            async move {
                let answer = ecs.call(operation, &body).await?;
                Ok::<_, SdError>(items(&answer, &format!("/{field}")).to_vec())
            }
        };
        let asked: Vec<_> = names.chunks(chunk).map(ask).collect();
        let told: Vec<Vec<Value>> =
            stream::iter(asked).buffered(self.clusters().concurrency).try_collect().await?;
        Ok(told.concat())
    }

    /// The ARNs of a list of one cluster, or of all clusters.
    async fn list(
        ecs: &Service,
        operation: &'static str,
        cluster: Option<&str>,
        place: &str,
    ) -> Result<Vec<String>, SdError> {
        let mut body = json!({ "maxResults": NAMED_MAX });
        if let Some(cluster) = cluster {
            body["cluster"] = cluster.into();
        }
        let paging = Paging { asked: "nextToken", told: "/nextToken" };
        let all = ecs.list(operation, body, &paging, place).await?;
        Ok(all.into_iter().filter_map(|arn| arn.as_str().map(str::to_owned)).collect())
    }

    async fn targets_of(
        &self,
        ecs: &Service,
        ec2: &Service,
        cluster: &Value,
    ) -> Result<Vec<Labels>, SdError> {
        let arn = text(cluster, "/clusterArn");
        let tasks = Self::list(ecs, operation!("ListTasks"), Some(&arn), "/taskArns").await?;
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let services = Self::list(ecs, operation!("ListServices"), Some(&arn), "/serviceArns").await?;
        let named = ("services", &services[..]);
        let services =
            self.describe(ecs, operation!("DescribeServices"), Some(&arn), named, SERVICES_MAX).await?;
        let named = ("tasks", &tasks[..]);
        let tasks = self.describe(ecs, operation!("DescribeTasks"), Some(&arn), named, NAMED_MAX).await?;
        let mut around = Around {
            services: services.into_iter().map(|service| (text(&service, "/serviceName"), service)).collect(),
            ..Around::default()
        };
        let instances = distinct(tasks.iter().map(|task| text(task, "/containerInstanceArn")));
        let operation = operation!("DescribeContainerInstances");
        let named = ("containerInstances", &instances[..]);
        for told in self.describe(ecs, operation, Some(&arn), named, NAMED_MAX).await? {
            let (arn, id) = (text(&told, "/containerInstanceArn"), text(&told, "/ec2InstanceId"));
            if !id.is_empty() {
                around.container_instances.insert(arn, id);
            }
        }
        let ids = distinct(around.container_instances.values().cloned());
        around.hosts = hosts(ec2, &ids).await?;
        let interfaces = distinct(tasks.iter().filter_map(Interface::of).map(|one| one.id));
        around.public_ips = public_ips(ec2, &interfaces).await?;
        Ok(tasks.iter().filter_map(|task| self.target(cluster, task, &around, &ecs.region)).collect())
    }

    /// `None` for a task without an address.
    fn target(&self, cluster: &Value, task: &Value, around: &Around, region: &str) -> Option<Labels> {
        let mut target = Target::new("__meta_ecs_");
        let instance = around.container_instances.get(&text(task, "/containerInstanceArn"));
        let host = instance.and_then(|id| around.hosts.get(id));
        let (address, mode) = match (Interface::of(task), host) {
            (Some(interface), _) => {
                target.set("subnet_id", interface.subnet_id);
                target.set("public_ip", around.public_ips.get(&interface.id).map_or("", String::as_str));
                (interface.private_ip, "awsvpc")
            }
            (None, Some(host)) => {
                target.set("subnet_id", &host.subnet_id).set("public_ip", &host.public_ip);
                (host.private_ip.clone(), "bridge")
            }
            (None, None) => return None,
        };
        if address.is_empty() {
            return None;
        }
        target.address(&address, self.clusters().access.port);
        target.set("ip_address", &address).set("region", region).set("network_mode", mode);
        target.take(cluster, &[("cluster", "/clusterName"), ("cluster_arn", "/clusterArn")]);
        target.take(
            task,
            &[
                ("availability_zone", "/availabilityZone"),
                ("container_instance_arn", "/containerInstanceArn"),
                ("desired_status", "/desiredStatus"),
                ("health_status", "/healthStatus"),
                ("last_status", "/lastStatus"),
                ("launch_type", "/launchType"),
                ("platform_family", "/platformFamily"),
                ("platform_version", "/platformVersion"),
                ("task_arn", "/taskArn"),
                ("task_definition", "/taskDefinitionArn"),
                ("task_group", "/group"),
            ],
        );
        target.set("ec2_instance_id", instance.map_or("", String::as_str));
        if let Some(host) = host {
            target
                .set("ec2_instance_type", &host.instance_type)
                .set("ec2_instance_private_ip", &host.private_ip)
                .set("ec2_instance_public_ip", &host.public_ip);
            for (name, value) in &host.tags {
                target.tag("tag_ec2_", name, value);
            }
        }
        let group = text(task, "/group");
        if let Some(service) = group.strip_prefix("service:").and_then(|name| around.services.get(name)) {
            let places =
                [("service", "/serviceName"), ("service_arn", "/serviceArn"), ("service_status", "/status")];
            target.take(service, &places);
            take_tags(&mut target, "tag_service_", service);
        }
        take_tags(&mut target, "tag_cluster_", cluster);
        take_tags(&mut target, "tag_task_", task);
        Some(target.build())
    }
}

/// The network interface of a task that has its own.
struct Interface {
    id: String,
    private_ip: String,
    subnet_id: String,
}

impl Interface {
    fn of(task: &Value) -> Option<Self> {
        let is_one = |attachment: &&Value| text(attachment, "/type") == "ElasticNetworkInterface";
        let attachment = items(task, "/attachments").iter().find(is_one)?;
        let details = items(attachment, "/details");
        let detail = |name: &str| {
            let found = details.iter().find(|detail| text(detail, "/name") == name);
            found.map(|detail| text(detail, "/value")).unwrap_or_default()
        };
        Some(Self {
            id: detail("networkInterfaceId"),
            private_ip: detail("privateIPv4Address"),
            subnet_id: detail("subnetId"),
        })
    }
}

fn take_tags(target: &mut Target, group: &str, tagged: &Value) {
    for tag in items(tagged, "/tags") {
        target.tag(group, &text(tag, "/key"), text(tag, "/value"));
    }
}

/// Those that are not empty, each once.
fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    names.filter(|name| !name.is_empty()).collect::<BTreeSet<_>>().into_iter().collect()
}

impl Provider for Ecs {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let access = &self.config.0.access;
        let ecs = Service::ready(&mut self.ecs, access, "ecs").await?;
        let ec2_access = access.for_service("ec2", &self.ec2_endpoint);
        let ec2 = Service::ready(&mut self.ec2, &ec2_access, "ec2").await?;
        let arns = match &self.clusters().wanted[..] {
            [] => Self::list(&ecs, operation!("ListClusters"), None, "/clusterArns").await?,
            wanted => wanted.to_vec(),
        };
        let named = ("clusters", &arns[..]);
        let clusters = self.describe(&ecs, operation!("DescribeClusters"), None, named, NAMED_MAX).await?;
        let mut targets = Vec::new();
        for cluster in &clusters {
            let of_cluster = self.targets_of(&ecs, &ec2, cluster).await;
            targets.extend(of_cluster.map_err(|err| {
                SdError::other(format!(
                    "could not describe cluster {:?}: {err}",
                    text(cluster, "/clusterArn")
                ))
            })?);
        }
        let region = ecs.region.clone();
        // Kept only after good answers: keys that were refused are looked for anew.
        (self.ecs, self.ec2) = (Some(ecs), Some(ec2));
        Ok(vec![TargetGroup::new(region, targets)])
    }
}
