//! `rds_sd_configs`: instances of clusters of Amazon RDS and Aurora.
//!
//! RDS query API of 2014-10-31: `DescribeDBClusters`, `DescribeDBInstances`. Instances that belong to no cluster are not found, as in Prometheus.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use model::Labels;
use roxmltree::Node;
use serde::Deserialize;

use super::{
    Access, Clusters, Filter, Form, Kind, Paging, Place, Service, action, at, below, checked_filters,
    children, take_xml, take_xml_tags,
};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::kinds::cloud::Target;

/// Requests at once. From Prometheus.
const CONCURRENCY: usize = 10;
/// Of the API.
const VERSION: &str = "2014-10-31";
const CLUSTER_PAGES: Paging = Paging { asked: "Marker", told: "DescribeDBClustersResult/Marker" };
const INSTANCE_PAGES: Paging = Paging { asked: "Marker", told: "DescribeDBInstancesResult/Marker" };

/// Labels of a cluster, behind `cluster_`.
const CLUSTER: &[Place] = &[
    ("activity_stream_kinesis_stream_name", "ActivityStreamKinesisStreamName"),
    ("activity_stream_kms_key_id", "ActivityStreamKmsKeyId"),
    ("activity_stream_mode", "ActivityStreamMode"),
    ("activity_stream_status", "ActivityStreamStatus"),
    ("allocated_storage", "AllocatedStorage"),
    ("arn", "DBClusterArn"),
    ("auto_minor_version_upgrade", "AutoMinorVersionUpgrade"),
    ("automatic_restart_time", "AutomaticRestartTime"),
    ("aws_backup_recovery_point_arn", "AwsBackupRecoveryPointArn"),
    ("backtrack_consumed_change_records", "BacktrackConsumedChangeRecords"),
    ("backtrack_window", "BacktrackWindow"),
    ("backup_retention_period", "BackupRetentionPeriod"),
    ("capacity", "Capacity"),
    ("character_set_name", "CharacterSetName"),
    ("clone_group_id", "CloneGroupId"),
    ("cluster_create_time", "ClusterCreateTime"),
    ("cluster_scalability_type", "ClusterScalabilityType"),
    ("copy_tags_to_snapshot", "CopyTagsToSnapshot"),
    ("cross_account_clone", "CrossAccountClone"),
    ("database_insights_mode", "DatabaseInsightsMode"),
    ("database_name", "DatabaseName"),
    ("db_system_id", "DBSystemId"),
    ("deletion_protection", "DeletionProtection"),
    ("earliest_backtrack_time", "EarliestBacktrackTime"),
    ("earliest_restorable_time", "EarliestRestorableTime"),
    ("endpoint", "Endpoint"),
    ("engine", "Engine"),
    ("engine_lifecycle_support", "EngineLifecycleSupport"),
    ("engine_mode", "EngineMode"),
    ("engine_version", "EngineVersion"),
    ("global_cluster_identifier", "GlobalClusterIdentifier"),
    ("global_write_forwarding_requested", "GlobalWriteForwardingRequested"),
    ("global_write_forwarding_status", "GlobalWriteForwardingStatus"),
    ("hosted_zone_id", "HostedZoneId"),
    ("http_endpoint_enabled", "HttpEndpointEnabled"),
    ("iam_database_authentication_enabled", "IAMDatabaseAuthenticationEnabled"),
    ("identifier", "DBClusterIdentifier"),
    ("instance_class", "DBClusterInstanceClass"),
    ("io_optimized_next_allowed_modification_time", "IOOptimizedNextAllowedModificationTime"),
    ("iops", "Iops"),
    ("kms_key_id", "KmsKeyId"),
    ("latest_restorable_time", "LatestRestorableTime"),
    ("local_write_forwarding_status", "LocalWriteForwardingStatus"),
    ("master_username", "MasterUsername"),
    ("monitoring_interval", "MonitoringInterval"),
    ("monitoring_role_arn", "MonitoringRoleArn"),
    ("multi_az", "MultiAZ"),
    ("network_type", "NetworkType"),
    ("parameter_group", "DBClusterParameterGroup"),
    ("percent_progress", "PercentProgress"),
    ("performance_insights_enabled", "PerformanceInsightsEnabled"),
    ("performance_insights_kms_key_id", "PerformanceInsightsKMSKeyId"),
    ("performance_insights_retention_period", "PerformanceInsightsRetentionPeriod"),
    ("port", "Port"),
    ("preferred_backup_window", "PreferredBackupWindow"),
    ("preferred_maintenance_window", "PreferredMaintenanceWindow"),
    ("publicly_accessible", "PubliclyAccessible"),
    ("reader_endpoint", "ReaderEndpoint"),
    ("replication_source_identifier", "ReplicationSourceIdentifier"),
    ("resource_id", "DbClusterResourceId"),
    ("serverless_v2_platform_version", "ServerlessV2PlatformVersion"),
    ("status", "Status"),
    ("storage_encrypted", "StorageEncrypted"),
    ("storage_encryption_type", "StorageEncryptionType"),
    ("storage_throughput", "StorageThroughput"),
    ("storage_type", "StorageType"),
    ("subnet_group", "DBSubnetGroup"),
    ("upgrade_rollout_order", "UpgradeRolloutOrder"),
];

/// Labels of an instance, behind `instance_`.
const INSTANCE: &[Place] = &[
    ("activity_stream_engine_native_audit_fields_included", "ActivityStreamEngineNativeAuditFieldsIncluded"),
    ("activity_stream_kinesis_stream_name", "ActivityStreamKinesisStreamName"),
    ("activity_stream_kms_key_id", "ActivityStreamKmsKeyId"),
    ("activity_stream_mode", "ActivityStreamMode"),
    ("activity_stream_policy_status", "ActivityStreamPolicyStatus"),
    ("activity_stream_status", "ActivityStreamStatus"),
    ("allocated_storage", "AllocatedStorage"),
    ("arn", "DBInstanceArn"),
    ("auto_minor_version_upgrade", "AutoMinorVersionUpgrade"),
    ("automatic_restart_time", "AutomaticRestartTime"),
    ("automation_mode", "AutomationMode"),
    ("availability_zone", "AvailabilityZone"),
    ("aws_backup_recovery_point_arn", "AwsBackupRecoveryPointArn"),
    ("backup_retention_period", "BackupRetentionPeriod"),
    ("backup_target", "BackupTarget"),
    ("ca_certificate_identifier", "CACertificateIdentifier"),
    ("character_set_name", "CharacterSetName"),
    ("class", "DBInstanceClass"),
    ("copy_tags_to_snapshot", "CopyTagsToSnapshot"),
    ("custom_iam_instance_profile", "CustomIamInstanceProfile"),
    ("customer_owned_ip_enabled", "CustomerOwnedIpEnabled"),
    ("database_insights_mode", "DatabaseInsightsMode"),
    ("db_cluster_identifier", "DBClusterIdentifier"),
    ("db_name", "DBName"),
    ("db_system_id", "DBSystemId"),
    ("dedicated_log_volume", "DedicatedLogVolume"),
    ("deletion_protection", "DeletionProtection"),
    ("endpoint_address", "Endpoint/Address"),
    ("endpoint_hosted_zone_id", "Endpoint/HostedZoneId"),
    ("endpoint_port", "Endpoint/Port"),
    ("engine", "Engine"),
    ("engine_lifecycle_support", "EngineLifecycleSupport"),
    ("engine_version", "EngineVersion"),
    ("enhanced_monitoring_resource_arn", "EnhancedMonitoringResourceArn"),
    ("iam_database_authentication_enabled", "IAMDatabaseAuthenticationEnabled"),
    ("identifier", "DBInstanceIdentifier"),
    ("instance_create_time", "InstanceCreateTime"),
    ("iops", "Iops"),
    ("is_storage_config_upgrade_available", "IsStorageConfigUpgradeAvailable"),
    ("kms_key_id", "KmsKeyId"),
    ("latest_restorable_time", "LatestRestorableTime"),
    ("license_model", "LicenseModel"),
    ("listener_endpoint_address", "ListenerEndpoint/Address"),
    ("listener_endpoint_hosted_zone_id", "ListenerEndpoint/HostedZoneId"),
    ("listener_endpoint_port", "ListenerEndpoint/Port"),
    ("master_username", "MasterUsername"),
    ("max_allocated_storage", "MaxAllocatedStorage"),
    ("monitoring_interval", "MonitoringInterval"),
    ("monitoring_role_arn", "MonitoringRoleArn"),
    ("multi_az", "MultiAZ"),
    ("multi_tenant", "MultiTenant"),
    ("nchar_character_set_name", "NcharCharacterSetName"),
    ("network_type", "NetworkType"),
    ("percent_progress", "PercentProgress"),
    ("performance_insights_enabled", "PerformanceInsightsEnabled"),
    ("performance_insights_kms_key_id", "PerformanceInsightsKMSKeyId"),
    ("performance_insights_retention_period", "PerformanceInsightsRetentionPeriod"),
    ("port", "DbInstancePort"),
    ("preferred_backup_window", "PreferredBackupWindow"),
    ("preferred_maintenance_window", "PreferredMaintenanceWindow"),
    ("promotion_tier", "PromotionTier"),
    ("publicly_accessible", "PubliclyAccessible"),
    ("read_replica_source_db_cluster_identifier", "ReadReplicaSourceDBClusterIdentifier"),
    ("read_replica_source_db_instance_identifier", "ReadReplicaSourceDBInstanceIdentifier"),
    ("replica_mode", "ReplicaMode"),
    ("resource_id", "DbiResourceId"),
    ("resume_full_automation_mode_time", "ResumeFullAutomationModeTime"),
    ("secondary_availability_zone", "SecondaryAvailabilityZone"),
    ("status", "DBInstanceStatus"),
    ("storage_encrypted", "StorageEncrypted"),
    ("storage_encryption_type", "StorageEncryptionType"),
    ("storage_throughput", "StorageThroughput"),
    ("storage_type", "StorageType"),
    ("storage_volume_status", "StorageVolumeStatus"),
    ("subnet_group", "DBSubnetGroup/DBSubnetGroupName"),
    ("tde_credential_arn", "TdeCredentialArn"),
    ("timezone", "Timezone"),
    ("upgrade_rollout_order", "UpgradeRolloutOrder"),
];

/// One element of `rds_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    pub(super) clusters: Clusters,
    filters: Vec<Filter>,
}

super::aws_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        clusters: Option<Vec<String>>,
        filters: Option<Vec<Filter>>,
        request_concurrency: Option<i64>,
    }
}

impl Config {
    pub(super) fn of(
        access: Access,
        clusters: Option<Vec<String>>,
        concurrency: Option<i64>,
        filters: Option<Vec<Filter>>,
    ) -> Result<Self, String> {
        Ok(Self {
            clusters: Clusters::new(access, clusters, concurrency, CONCURRENCY)?,
            filters: checked_filters(filters, "RDS")?,
        })
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let (clusters, filters) = (keys.clusters.take(), keys.filters.take());
        Self::of(keys.access("rds")?, clusters, keys.request_concurrency, filters)
    }
}

impl Kind for Config {
    const NAME: &'static str = "rds";

    fn set_directory(&mut self, dir: &std::path::Path) {
        self.clusters.access.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(refreshing(context, self.clusters.access.refresh_interval, Rds::new(self)))
    }
}

#[derive(Debug)]
pub(super) struct Rds {
    config: Config,
    service: Option<Service>,
}

/// What a cluster gives to its instances' labels.
struct Cluster {
    arn: String,
    target: Target,
    /// Which of its instances write, by their names.
    writers: HashMap<String, String>,
}

impl Cluster {
    fn read(cluster: Node<'_, '_>) -> Self {
        let mut target = Target::new("__meta_rds_");
        take_xml(&mut target, "cluster_", cluster, CLUSTER);
        take_xml_tags(&mut target, "cluster_tag_", children(cluster, "TagList"));
        let writers = children(cluster, "DBClusterMembers").map(|member| {
            (at(member, "DBInstanceIdentifier").to_owned(), at(member, "IsClusterWriter").to_owned())
        });
        Self { arn: at(cluster, "DBClusterArn").to_owned(), target, writers: writers.collect() }
    }
}

impl Rds {
    pub(super) fn new(config: &Config) -> Self {
        Self { config: config.clone(), service: None }
    }

    /// All clusters, or the one with this name.
    async fn clusters(service: &Service, name: Option<&str>) -> Result<Vec<Cluster>, SdError> {
        let mut form = action("DescribeDBClusters", VERSION, &[("MaxRecords", "100")]);
        form.extend(name.map(|name| ("DBClusterIdentifier".to_owned(), name.to_owned())));
        let mut all = Vec::new();
        let take = |root: Node<'_, '_>| {
            all.extend(children(root, "DescribeDBClustersResult/DBClusters").map(Cluster::read));
        };
        service.pages(form, &CLUSTER_PAGES, take).await.map_err(|err| {
            let which = name.map_or("DB clusters".to_owned(), |name| format!("DB cluster {name}"));
            SdError::other(format!("failed to describe {which}: {err}"))
        })?;
        Ok(all)
    }

    fn instances_form(&self, arn: &str) -> Form {
        let mut form = action("DescribeDBInstances", VERSION, &[("MaxRecords", "100")]);
        let of_cluster = Filter { name: "db-cluster-id".to_owned(), values: vec![arn.to_owned()] };
        for (i, filter) in std::iter::once(&of_cluster).chain(&self.config.filters).enumerate() {
            let field = format!("Filters.Filter.{}", i + 1);
            form.push((format!("{field}.Name"), filter.name.clone()));
            let values = filter.values.iter().enumerate();
            form.extend(values.map(|(j, value)| (format!("{field}.Values.Value.{}", j + 1), value.clone())));
        }
        form
    }

    async fn targets_of(&self, service: &Service, cluster: &Cluster) -> Result<Vec<Labels>, SdError> {
        let mut targets = Vec::new();
        let take = |root: Node<'_, '_>| {
            let instances = children(root, "DescribeDBInstancesResult/DBInstances");
            targets.extend(instances.map(|instance| self.target(cluster, instance)));
        };
        let all = service.pages(self.instances_form(&cluster.arn), &INSTANCE_PAGES, take).await;
        all.map_err(|err| {
            SdError::other(format!("failed to describe DB instances for cluster ARN {}: {err}", cluster.arn))
        })?;
        Ok(targets)
    }

    /// Without an address while the instance is being made; relabelling or the scrape then drops it.
    fn target(&self, cluster: &Cluster, instance: Node<'_, '_>) -> Labels {
        let mut target = cluster.target.clone();
        take_xml(&mut target, "instance_", instance, INSTANCE);
        take_xml_tags(&mut target, "instance_tag_", children(instance, "TagList"));
        if let Some(is_writer) = cluster.writers.get(at(instance, "DBInstanceIdentifier")) {
            target.set("instance_is_cluster_writer", is_writer);
        }
        let address = at(instance, "Endpoint/Address");
        if !address.is_empty() && below(instance, "Endpoint/Port").is_some() {
            target.address(address, self.config.clusters.access.port);
        }
        target.build()
    }
}

impl Provider for Rds {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let Clusters { access, wanted, concurrency } = &self.config.clusters;
        let service = Service::ready(&mut self.service, access, "rds").await?;
        let names: Vec<Option<&str>> = match &wanted[..] {
            [] => vec![None],
            wanted => wanted.iter().map(|name| Some(name.as_str())).collect(),
        };
        let asked: Vec<_> = names.into_iter().map(|name| Self::clusters(&service, name)).collect();
        let clusters: Vec<Vec<Cluster>> = stream::iter(asked).buffered(*concurrency).try_collect().await?;
        let clusters: Vec<Cluster> = clusters.into_iter().flatten().collect();
        let asked: Vec<_> = clusters.iter().map(|cluster| self.targets_of(&service, cluster)).collect();
        let targets: Vec<Vec<Labels>> = stream::iter(asked).buffered(*concurrency).try_collect().await?;
        let region = service.region.clone();
        self.service = Some(service);
        Ok(vec![TargetGroup::new(region, targets.concat())])
    }
}
