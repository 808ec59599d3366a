//! `msk_sd_configs`: brokers and controllers of Amazon MSK.
//!
//! MSK REST API: `ListClustersV2`, `DescribeClusterV2`, `ListNodes`. Only provisioned clusters have nodes. One target for each endpoint of a
//! node.

use futures_util::{StreamExt, TryStreamExt, stream};
use model::Labels;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde_json::Value;

use super::{Access, Clusters, Kind, Paging, Service, cluster_kind, too_many_pages};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::PAGES_MAX;
use crate::kinds::cloud::{Target, items, pairs, text, texts};

/// Requests at once. From Prometheus.
const CONCURRENCY: usize = 10;
/// How pages follow one another.
const PAGES: Paging = Paging { asked: "nextToken", told: "/nextToken" };

cluster_kind!("msk", "kafka", Msk, CONCURRENCY);

#[derive(Debug)]
pub(super) struct Msk {
    config: Config,
    service: Option<Service>,
}

impl Msk {
    pub(super) fn new(config: &Config) -> Self {
        Self { config: config.clone(), service: None }
    }

    /// The list at `place` of all pages below `path`.
    async fn pages(
        service: &Service,
        path: &str,
        query: &[(&str, &str)],
        place: &str,
    ) -> Result<Vec<Value>, SdError> {
        let (mut all, mut next) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let mut url = service.url.clone();
            url.set_path(path);
            url.query_pairs_mut().extend_pairs(query).append_pair("maxResults", "100");
            if !next.is_empty() {
                url.query_pairs_mut().append_pair(PAGES.asked, &next);
            }
            let answer: Value = service.api.get_json(&url).await?;
            all.extend(items(&answer, place).iter().cloned());
            next = text(&answer, PAGES.told);
            if next.is_empty() {
                return Ok(all);
            }
        }
        Err(too_many_pages(&service.url))
    }

    async fn cluster(service: &Service, arn: &str) -> Result<Value, SdError> {
        let mut url = service.url.clone();
        url.set_path(&format!("/api/v2/clusters/{}", escaped(arn)));
        let mut answer: Value = service
            .api
            .get_json(&url)
            .await
            .map_err(|err| SdError::other(format!("could not describe cluster {arn}: {err}")))?;
        Ok(answer["clusterInfo"].take())
    }

    async fn clusters(&self, service: &Service) -> Result<Vec<Value>, SdError> {
        let Clusters { wanted, concurrency, .. } = &self.config.0;
        let all = match &wanted[..] {
            [] => {
                let provisioned = [("clusterTypeFilter", "PROVISIONED")];
                Self::pages(service, "/api/v2/clusters", &provisioned, "/clusterInfoList").await
            }
            arns => {
                let asked: Vec<_> = arns.iter().map(|arn| Self::cluster(service, arn)).collect();
                stream::iter(asked).buffered(*concurrency).try_collect().await
            }
        };
        let mut all = all?;
        all.retain(|cluster| {
            let is_provisioned = text(cluster, "/clusterType") == "PROVISIONED";
            if !is_provisioned {
                let arn = text(cluster, "/clusterArn");
                tracing::warn!(cluster = arn, "only provisioned clusters of MSK have nodes: left out");
            }
            is_provisioned
        });
        Ok(all)
    }

    async fn targets_of(&self, service: &Service, cluster: &Value) -> Result<Vec<Labels>, SdError> {
        let arn = text(cluster, "/clusterArn");
        let path = format!("/v1/clusters/{}/nodes", escaped(&arn));
        let nodes = Self::pages(service, &path, &[], "/nodeInfoList").await;
        let nodes =
            nodes.map_err(|err| SdError::other(format!("could not list nodes of cluster {arn}: {err}")))?;
        Ok(nodes.iter().flat_map(|node| self.targets(cluster, node)).collect())
    }

    fn targets(&self, cluster: &Value, node: &Value) -> Vec<Labels> {
        let mut target = Target::new("__meta_msk_");
        target.take(
            cluster,
            &[
                ("cluster_name", "/clusterName"),
                ("cluster_arn", "/clusterArn"),
                ("cluster_state", "/state"),
                ("cluster_type", "/clusterType"),
                ("cluster_version", "/currentVersion"),
                ("cluster_kafka_version", "/provisioned/currentBrokerSoftwareInfo/kafkaVersion"),
                ("cluster_configuration_arn", "/provisioned/currentBrokerSoftwareInfo/configurationArn"),
                (
                    "cluster_configuration_revision",
                    "/provisioned/currentBrokerSoftwareInfo/configurationRevision",
                ),
                (
                    "cluster_jmx_exporter_enabled",
                    "/provisioned/openMonitoring/prometheus/jmxExporter/enabledInBroker",
                ),
            ],
        );
        target.take(
            node,
            &[
                ("node_arn", "/nodeARN"),
                ("node_added_time", "/addedToClusterTime"),
                ("node_instance_type", "/instanceType"),
            ],
        );
        for (name, value) in pairs(cluster, "/tags") {
            target.tag("cluster_tag_", name, value.as_str().unwrap_or_default());
        }
        let (endpoints, index) = if node["brokerNodeInfo"].is_object() {
            target.set("node_type", "BROKER");
            target.take(
                node,
                &[
                    ("node_attached_eni", "/brokerNodeInfo/attachedENIId"),
                    ("broker_client_subnet", "/brokerNodeInfo/clientSubnet"),
                    ("broker_client_vpc_ip", "/brokerNodeInfo/clientVpcIpAddress"),
                ],
            );
            // A whole number that AWS sends as a float.
            let id = node["brokerNodeInfo"]["brokerId"].as_f64().unwrap_or_default();
            target.set("broker_id", format!("{id:.0}"));
            let place = "/provisioned/openMonitoring/prometheus/nodeExporter/enabledInBroker";
            target.take(cluster, &[("broker_node_exporter_enabled", place)]);
            (texts(node, "/brokerNodeInfo/endpoints"), "broker_endpoint_index")
        } else if node["controllerNodeInfo"].is_object() {
            target.set("node_type", "CONTROLLER");
            (texts(node, "/controllerNodeInfo/endpoints"), "controller_endpoint_index")
        } else {
            return Vec::new();
        };
        let port = self.config.0.access.port;
        let each = endpoints.iter().enumerate();
        each.map(|(i, endpoint)| target.set(index, i).address(endpoint, port).build()).collect()
    }
}

/// An ARN as one element of a path.
fn escaped(arn: &str) -> String {
    utf8_percent_encode(arn, net::auth::AWS_RESERVED).to_string()
}

impl Provider for Msk {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let service = Service::ready(&mut self.service, &self.config.0.access, "kafka").await?;
        let clusters = self.clusters(&service).await?;
        let asked: Vec<_> = clusters.iter().map(|cluster| self.targets_of(&service, cluster)).collect();
        let targets: Vec<Vec<Labels>> =
            stream::iter(asked).buffered(self.config.0.concurrency).try_collect().await?;
        let region = service.region.clone();
        self.service = Some(service);
        Ok(vec![TargetGroup::new(region, targets.concat())])
    }
}
