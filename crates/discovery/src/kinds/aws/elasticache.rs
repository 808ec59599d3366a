//! `elasticache_sd_configs`: nodes and serverless caches of Amazon ElastiCache.
//!
//! ElastiCache query API of 2015-02-02: `DescribeCacheClusters`, `DescribeServerlessCaches`, `ListTagsForResource`. With `clusters`, ARNs, only
//! those: `serverlesscache:` a cache, `replicationgroup:` the clusters of a group, `cluster:` one cluster.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use model::Labels;
use roxmltree::{Document, Node};
use serde::Deserialize;

use super::{
    Access, Clusters, Kind, Paging, Place, Service, action, arn_resource, at, below, children, cluster_kind,
    take_xml,
};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::bad_answer;
use crate::kinds::cloud::Target;

/// Requests at once. From Prometheus.
const CONCURRENCY: usize = 10;
/// Of the API.
const VERSION: &str = "2015-02-02";
const CLUSTER_PAGES: Paging = Paging { asked: "Marker", told: "DescribeCacheClustersResult/Marker" };
const CACHE_PAGES: Paging = Paging { asked: "NextToken", told: "DescribeServerlessCachesResult/NextToken" };

/// Labels of a serverless cache, behind `serverless_cache_`. Those of its limits are Prometheus' to the letter.
const CACHE: &[Place] = &[
    ("arn", "ARN"),
    ("cache_usage_limit_data_storagemaximum", "CacheUsageLimits/DataStorage/Maximum"),
    ("cache_usage_limit_data_storageminimum", "CacheUsageLimits/DataStorage/Minimum"),
    ("cache_usage_limit_data_storageunit", "CacheUsageLimits/DataStorage/Unit"),
    ("cache_usage_limit_ecpu_per_secondmaximum", "CacheUsageLimits/ECPUPerSecond/Maximum"),
    ("cache_usage_limit_ecpu_per_secondminimum", "CacheUsageLimits/ECPUPerSecond/Minimum"),
    ("create_time", "CreateTime"),
    ("daily_snapshot_time", "DailySnapshotTime"),
    ("description", "Description"),
    ("endpoint_address", "Endpoint/Address"),
    ("endpoint_port", "Endpoint/Port"),
    ("endpoint_reader_address", "ReaderEndpoint/Address"),
    ("endpoint_reader_port", "ReaderEndpoint/Port"),
    ("engine", "Engine"),
    ("full_engine_version", "FullEngineVersion"),
    ("kms_key_id", "KmsKeyId"),
    ("major_engine_version", "MajorEngineVersion"),
    ("name", "ServerlessCacheName"),
    ("snapshot_retention_limit", "SnapshotRetentionLimit"),
    ("status", "Status"),
    ("user_group_id", "UserGroupId"),
];

/// Labels of a cluster, behind `cache_cluster_`.
const CLUSTER: &[Place] = &[
    ("arn", "ARN"),
    ("at_rest_encryption_enabled", "AtRestEncryptionEnabled"),
    ("auth_token_enabled", "AuthTokenEnabled"),
    ("auth_token_last_modified", "AuthTokenLastModifiedDate"),
    ("auto_minor_version_upgrade", "AutoMinorVersionUpgrade"),
    ("cache_cluster_create_time", "CacheClusterCreateTime"),
    ("cache_cluster_id", "CacheClusterId"),
    ("cache_cluster_status", "CacheClusterStatus"),
    ("cache_node_type", "CacheNodeType"),
    ("cache_parameter_group", "CacheParameterGroup/CacheParameterGroupName"),
    ("cache_subnet_group_name", "CacheSubnetGroupName"),
    ("client_download_landing_page", "ClientDownloadLandingPage"),
    ("configuration_endpoint_address", "ConfigurationEndpoint/Address"),
    ("configuration_endpoint_port", "ConfigurationEndpoint/Port"),
    ("engine", "Engine"),
    ("engine_version", "EngineVersion"),
    ("ip_discovery", "IpDiscovery"),
    ("network_type", "NetworkType"),
    ("notification_topic_arn", "NotificationConfiguration/TopicArn"),
    ("notification_topic_status", "NotificationConfiguration/TopicStatus"),
    ("num_cache_nodes", "NumCacheNodes"),
    ("pending_modified_values_auth_token_status", "PendingModifiedValues/AuthTokenStatus"),
    ("pending_modified_values_cache_node_type", "PendingModifiedValues/CacheNodeType"),
    ("pending_modified_values_engine_version", "PendingModifiedValues/EngineVersion"),
    ("pending_modified_values_num_cache_nodes", "PendingModifiedValues/NumCacheNodes"),
    ("pending_modified_values_transit_encryption_enabled", "PendingModifiedValues/TransitEncryptionEnabled"),
    ("pending_modified_values_transit_encryption_mode", "PendingModifiedValues/TransitEncryptionMode"),
    ("preferred_availability_zone", "PreferredAvailabilityZone"),
    ("preferred_maintenance_window", "PreferredMaintenanceWindow"),
    ("preferred_outpost_arn", "PreferredOutpostArn"),
    ("replication_group_id", "ReplicationGroupId"),
    ("replication_group_log_delivery_enabled", "ReplicationGroupLogDeliveryEnabled"),
    ("snapshot_retention_limit", "SnapshotRetentionLimit"),
    ("snapshot_window", "SnapshotWindow"),
    ("transit_encryption_enabled", "TransitEncryptionEnabled"),
    ("transit_encryption_mode", "TransitEncryptionMode"),
];

/// Labels of a node, behind `cache_cluster_node_`.
const NODE: &[Place] = &[
    ("availability_zone", "CustomerAvailabilityZone"),
    ("create_time", "CacheNodeCreateTime"),
    ("customer_outpost_arn", "CustomerOutpostArn"),
    ("endpoint_address", "Endpoint/Address"),
    ("endpoint_port", "Endpoint/Port"),
    ("id", "CacheNodeId"),
    ("parameter_group_status", "ParameterGroupStatus"),
    ("source_cache_node_id", "SourceCacheNodeId"),
    ("status", "CacheNodeStatus"),
];

/// Labels of where a cluster's logs go, behind `cache_cluster_log_delivery_configuration_` and before the number.
const LOGS: &[Place] = &[
    ("delivery_stream", "DestinationDetails/KinesisFirehoseDetails/DeliveryStream"),
    ("destination_type", "DestinationType"),
    ("log_format", "LogFormat"),
    ("log_group", "DestinationDetails/CloudWatchLogsDetails/LogGroup"),
    ("log_type", "LogType"),
    ("message", "Message"),
    ("status", "Status"),
];

cluster_kind!("elasticache", "elasticache", Elasticache, CONCURRENCY);

#[derive(Debug)]
pub(super) struct Elasticache {
    config: Config,
    service: Option<Service>,
}

/// Targets that tags are still to be added to.
struct Found {
    arn: String,
    tag_group: &'static str,
    targets: Vec<Target>,
}

impl Elasticache {
    pub(super) fn new(config: &Config) -> Self {
        Self { config: config.clone(), service: None }
    }

    /// Names that are wanted of a kind of thing; `None` for all.
    fn wanted(&self, kinds: &[&str]) -> Option<Vec<(&str, &str)>> {
        let wanted = &self.config.0.wanted;
        let resources = wanted.iter().filter_map(|arn| arn_resource(arn));
        (!wanted.is_empty()).then(|| resources.filter(|(kind, _)| kinds.contains(kind)).collect())
    }

    async fn serverless(&self, service: &Service) -> Result<Vec<Found>, SdError> {
        let names: Vec<Option<&str>> = match self.wanted(&["serverlesscache"]) {
            None => vec![None],
            Some(wanted) => wanted.into_iter().map(|(_, name)| Some(name)).collect(),
        };
        let ask = |name: Option<&str>| {
            let mut form = action("DescribeServerlessCaches", VERSION, &[("MaxResults", "50")]);
            form.extend(name.map(|name| ("ServerlessCacheName".to_owned(), name.to_owned())));
            async move {
                let mut found = Vec::new();
                let take = |root: Node<'_, '_>| {
                    let caches = children(root, "DescribeServerlessCachesResult/ServerlessCaches");
                    found.extend(caches.map(of_serverless));
                };
                let all = service.pages(form, &CACHE_PAGES, take).await;
                all.map_err(|err| SdError::other(format!("failed to describe serverless caches: {err}")))?;
                Ok::<_, SdError>(found)
            }
        };
        let asked: Vec<_> = names.into_iter().map(ask).collect();
        let found: Vec<Vec<Found>> =
            stream::iter(asked).buffered(self.config.0.concurrency).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn nodes(&self, service: &Service) -> Result<Vec<Found>, SdError> {
        let wanted = self.wanted(&["replicationgroup", "cluster"]);
        if wanted.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let is_wanted = |cluster: Node<'_, '_>| {
            wanted.as_ref().is_none_or(|wanted| {
                wanted.iter().any(|(kind, name)| {
                    at(cluster, "CacheClusterId") == *name
                        || (*kind == "replicationgroup" && at(cluster, "ReplicationGroupId") == *name)
                })
            })
        };
        let fields = [("MaxRecords", "100"), ("ShowCacheNodeInfo", "true")];
        let mut found = Vec::new();
        let take = |root: Node<'_, '_>| {
            let clusters = children(root, "DescribeCacheClustersResult/CacheClusters");
            found.extend(clusters.filter(|cluster| is_wanted(*cluster)).map(of_cluster));
        };
        let all =
            service.pages(action("DescribeCacheClusters", VERSION, &fields), &CLUSTER_PAGES, take).await;
        all.map_err(|err| SdError::other(format!("failed to describe cache clusters: {err}")))?;
        Ok(found)
    }

    async fn tags(service: &Service, arn: &str) -> Result<(String, Vec<(String, String)>), SdError> {
        let failed = |err| SdError::other(format!("failed to list tags for resource {arn}: {err}"));
        let form = action("ListTagsForResource", VERSION, &[("ResourceName", arn)]);
        let answer = service.query(&form).await.map_err(failed)?;
        let doc = Document::parse(&answer).map_err(|err| failed(bad_answer(&service.url, err)))?;
        let tags = children(doc.root_element(), "ListTagsForResourceResult/TagList");
        let tags = tags.map(|tag| (at(tag, "Key").to_owned(), at(tag, "Value").to_owned()));
        Ok((arn.to_owned(), tags.collect()))
    }
}

fn of_serverless(cache: Node<'_, '_>) -> Found {
    let mut target = Target::new("__meta_elasticache_");
    target.set("deployment_option", "serverless");
    take_xml(&mut target, "serverless_cache_", cache, CACHE);
    for (list, name) in [("SecurityGroupIds", "security_group_id"), ("SubnetIds", "subnet_id")] {
        for (i, id) in children(cache, list).enumerate() {
            target.set(&format!("serverless_cache_{name}_{i}"), id.text().unwrap_or_default());
        }
    }
    put_endpoint(&mut target, cache);
    Found { arn: at(cache, "ARN").to_owned(), tag_group: "serverless_cache_tag_", targets: vec![target] }
}

/// One target for each node.
fn of_cluster(cluster: Node<'_, '_>) -> Found {
    let mut common = Target::new("__meta_elasticache_");
    common.set("deployment_option", "node");
    take_xml(&mut common, "cache_cluster_", cluster, CLUSTER);
    let removed = children(cluster, "PendingModifiedValues/CacheNodeIdsToRemove");
    let removed: Vec<&str> = removed.filter_map(|id| id.text()).collect();
    common.set("cache_cluster_pending_modified_values_cache_node_ids_to_remove", removed.join(","));
    for (i, logs) in children(cluster, "LogDeliveryConfigurations").enumerate() {
        for (name, place) in LOGS {
            common.set(&format!("cache_cluster_log_delivery_configuration_{name}_{i}"), at(logs, place));
        }
    }
    for (i, group) in children(cluster, "SecurityGroups").enumerate() {
        let name = "cache_cluster_security_group_membership";
        common.set(&format!("{name}_id_{i}"), at(group, "SecurityGroupId"));
        common.set(&format!("{name}_status_{i}"), at(group, "Status"));
    }
    let nodes = children(cluster, "CacheNodes").map(|node| {
        let mut target = common.clone();
        take_xml(&mut target, "cache_cluster_node_", node, NODE);
        put_endpoint(&mut target, node);
        target
    });
    let targets = nodes.collect();
    Found { arn: at(cluster, "ARN").to_owned(), tag_group: "cache_cluster_tag_", targets }
}

/// The address is the endpoint with its own port; `port` of the configuration counts for nothing, as in Prometheus.
fn put_endpoint(target: &mut Target, node: Node<'_, '_>) {
    let (address, port) = (at(node, "Endpoint/Address"), below(node, "Endpoint/Port"));
    if let Some(port) = port.and_then(|port| port.text())
        && !address.is_empty()
    {
        target.address(address, port);
    }
}

impl Provider for Elasticache {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let Clusters { access, concurrency, .. } = &self.config.0;
        let service = Service::ready(&mut self.service, access, "elasticache").await?;
        let (serverless, nodes) =
            futures_util::future::try_join(self.serverless(&service), self.nodes(&service)).await?;
        let found: Vec<Found> = serverless.into_iter().chain(nodes).collect();
        let arns = found.iter().map(|one| one.arn.as_str()).filter(|arn| !arn.is_empty());
        let asked: Vec<_> = arns.map(|arn| Self::tags(&service, arn)).collect();
        let tags: HashMap<String, Vec<(String, String)>> =
            stream::iter(asked).buffered(*concurrency).try_collect().await?;
        let mut targets: Vec<Labels> = Vec::new();
        for mut one in found {
            for target in &mut one.targets {
                for (name, value) in tags.get(&one.arn).into_iter().flatten() {
                    target.tag(one.tag_group, name, value);
                }
                targets.push(target.build());
            }
        }
        let region = service.region.clone();
        self.service = Some(service);
        Ok(vec![TargetGroup::new(region, targets)])
    }
}
