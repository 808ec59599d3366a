//! All roles against answers as AWS documents them.

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};

use super::ec2::Ec2;
use super::ecs::Ecs;
use super::elasticache::Elasticache;
use super::lightsail::Lightsail;
use super::msk::Msk;
use super::rds::Rds;
use super::*;
use crate::driver::Provider;
use crate::fake::{self, Fake};

/// A server that answers by what stands in the request's body or headers.
async fn start(answer: impl Fn(&str, &HeaderMap) -> (u16, String) + Clone + Send + Sync + 'static) -> String {
    let handler = move |headers: HeaderMap, body: Bytes| async move {
        let (status, body) = answer(&String::from_utf8_lossy(&body), &headers);
        (StatusCode::from_u16(status).unwrap(), body)
    };
    let app = axum::Router::new().fallback(handler);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

const ZONES: &str = r#"<DescribeAvailabilityZonesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><availabilityZoneInfo>
    <item><zoneName>region-1a</zoneName><zoneId>use1-az1</zoneId></item></availabilityZoneInfo></DescribeAvailabilityZonesResponse>"#;

const FIRST: &str = r#"<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet><item><ownerId>owner</ownerId>
    <instancesSet><item><instanceId>i-1</instanceId><imageId>ami-1</imageId><instanceState><code>16</code><name>running</name></instanceState>
    <privateDnsName>ip-10-0-0-1.internal</privateDnsName><dnsName>ec2-1-2-3-4.amazonaws.com</dnsName><instanceType>t3.micro</instanceType>
    <placement><availabilityZone>region-1a</availabilityZone></placement><architecture>x86_64</architecture><platform>windows</platform>
    <instanceLifecycle>spot</instanceLifecycle><privateIpAddress>10.0.0.1</privateIpAddress><ipAddress>1.2.3.4</ipAddress>
    <subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId><networkInterfaceSet>
      <item><subnetId>subnet-2</subnetId><attachment><deviceIndex>1</deviceIndex></attachment><ipv6AddressesSet>
        <item><ipv6Address>2001:db8::1</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item>
        <item><ipv6Address>2001:db8::2</ipv6Address><isPrimaryIpv6>false</isPrimaryIpv6></item></ipv6AddressesSet></item>
      <item><subnetId>subnet-2</subnetId></item></networkInterfaceSet>
    <tagSet><item><key>Name of it</key><value>web</value></item></tagSet></item>
    <item><instanceId>i-stopped</instanceId></item></instancesSet></item></reservationSet><nextToken>two</nextToken></DescribeInstancesResponse>"#;

const SECOND: &str = r#"<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-2</instanceId>
    <privateIpAddress>10.0.0.2</privateIpAddress></item></instancesSet></item></reservationSet></DescribeInstancesResponse>"#;

const KEYS: &str = "region: region-1, access_key: k, secret_key: s";

#[tokio::test]
async fn instances_of_all_pages_become_targets() {
    let url = start(|body, headers| {
        let signed = headers["authorization"].to_str().unwrap();
        assert!(
            signed.contains("/region-1/ec2/aws4_request") && signed.contains("Credential=k/"),
            "{signed}"
        );
        if body.contains("DescribeAvailabilityZones") {
            return (200, ZONES.to_owned());
        }
        assert!(
            body.contains("Filter.1.Name=tag%3Aenv&Filter.1.Value.1=prod&Filter.1.Value.2=test"),
            "{body}"
        );
        (200, if body.contains("NextToken=two") { SECOND } else { FIRST }.to_owned())
    })
    .await;
    let first = concat!(
        r#"{__address__="10.0.0.1:9100", __meta_ec2_ami="ami-1", __meta_ec2_architecture="x86_64", __meta_ec2_availability_zone="region-1a", "#,
        r#"__meta_ec2_availability_zone_id="use1-az1", __meta_ec2_default_ipv6_address="2001:db8::1", __meta_ec2_instance_id="i-1", "#,
        r#"__meta_ec2_instance_lifecycle="spot", __meta_ec2_instance_state="running", __meta_ec2_instance_type="t3.micro", "#,
        r#"__meta_ec2_ipv6_addresses=",2001:db8::1,2001:db8::2,", __meta_ec2_owner_id="owner", __meta_ec2_platform="windows", "#,
        r#"__meta_ec2_primary_ipv6_addresses=",,2001:db8::1,", __meta_ec2_primary_subnet_id="subnet-1", "#,
        r#"__meta_ec2_private_dns_name="ip-10-0-0-1.internal", __meta_ec2_private_ip="10.0.0.1", "#,
        r#"__meta_ec2_public_dns_name="ec2-1-2-3-4.amazonaws.com", __meta_ec2_public_ip="1.2.3.4", __meta_ec2_region="region-1", "#,
        r#"__meta_ec2_subnet_id=",subnet-2,", __meta_ec2_tag_Name_of_it="web", __meta_ec2_vpc_id="vpc-1"}"#,
    );
    let second = concat!(
        r#"{__address__="10.0.0.2:9100", __meta_ec2_instance_id="i-2", __meta_ec2_private_ip="10.0.0.2", "#,
        r#"__meta_ec2_region="region-1"}"#,
    );
    let filters = "filters: [{name: 'tag:env', values: [prod, test]}]";
    let text = format!("{{{KEYS}, endpoint: '{url}', port: 9100, {filters}}}");
    let mut ec2 = Ec2::new(&fake::config(&text).unwrap());
    for _ in 0..2 {
        let groups = ec2.refresh().await.unwrap();
        assert_eq!(groups[0].source, "region-1");
        assert_eq!(fake::labels(&groups), [first, second]);
    }
    let both: Config = fake::config(&text.replacen('{', "{role: ec2, ", 1)).unwrap();
    assert_eq!(both.0, Role::Ec2(fake::config(&text).unwrap()));
}

#[tokio::test]
async fn refusals_are_told_and_broken_answers_are_no_targets() {
    let refusal = "<Response><Errors><Error><Code>AuthFailure</Code></Error></Errors></Response>";
    let url = start(move |_, _| (401, refusal.to_owned())).await;
    let mut ec2 = Ec2::new(&fake::config(&format!("{{{KEYS}, endpoint: '{url}'}}")).unwrap());
    let err = ec2.refresh().await.unwrap_err().to_string();
    let expected = format!(
        "could not describe instances: {url}: server returned HTTP status 401 Unauthorized: {refusal}"
    );
    assert_eq!(err, expected);
    let url = start(|_, _| (200, "<html>".to_owned())).await;
    let mut ec2 = Ec2::new(&fake::config(&format!("{{{KEYS}, endpoint: '{url}'}}")).unwrap());
    assert!(ec2.refresh().await.is_err());
}

#[tokio::test]
async fn lightsail_instances_become_targets() {
    let url = start(|body, headers| {
        assert_eq!(headers["x-amz-target"], "Lightsail_20161128.GetInstances");
        let first = r#"{"instances": [{"name": "web", "location": {"availabilityZone": "r-1a"}, "blueprintId": "debian", "bundleId": "nano",
            "privateIpAddress": "10.1.1.1", "publicIpAddress": "5.6.7.8", "ipv6Addresses": ["2001:db8::5"], "state": {"name": "running"},
            "supportCode": "1/i-1", "tags": [{"key": "a-b", "value": "c"}]}, {"name": "none"}], "nextPageToken": "two"}"#;
        let second = r#"{"instances": [{"privateIpAddress": "10.1.1.2"}]}"#;
        (200, if body == r#"{"pageToken":"two"}"# { second } else { first }.to_owned())
    })
    .await;
    let expected = [
        concat!(
            r#"{__address__="10.1.1.1:80", __meta_lightsail_availability_zone="r-1a", __meta_lightsail_blueprint_id="debian", "#,
            r#"__meta_lightsail_bundle_id="nano", __meta_lightsail_instance_name="web", __meta_lightsail_instance_state="running", "#,
            r#"__meta_lightsail_instance_support_code="1/i-1", __meta_lightsail_ipv6_addresses=",2001:db8::5,", "#,
            r#"__meta_lightsail_private_ip="10.1.1.1", __meta_lightsail_public_ip="5.6.7.8", __meta_lightsail_region="region-1", "#,
            r#"__meta_lightsail_tag_a_b="c"}"#,
        ),
        r#"{__address__="10.1.1.2:80", __meta_lightsail_private_ip="10.1.1.2", __meta_lightsail_region="region-1"}"#,
    ];
    let mut lightsail = Lightsail::new(&fake::config(&format!("{{{KEYS}, endpoint: '{url}'}}")).unwrap());
    assert_eq!(fake::labels(&lightsail.refresh().await.unwrap()), expected);
}

#[test]
fn configurations_are_checked_as_prometheus_does() {
    let err = fake::config::<ec2::Config>("{filters: [{name: a, values: []}]}").unwrap_err();
    assert_eq!(err, "p.yml: EC2 SD configuration filter values cannot be empty");
    let err = fake::config::<Config>("{role: x}").unwrap_err();
    assert_eq!(err, "p.yml: unknown AWS SD role \"x\"");
    let err = fake::config::<ecs::Config>("{request_concurrency: 0}").unwrap_err();
    assert_eq!(err, "p.yml: request_concurrency must be from 1 to 100");
    // A role, and the kind of its own, are the same.
    let role = |text: &str| fake::config::<Config>(text).unwrap().0;
    let keys = "region: r, clusters: [a, b], port: 9";
    let own = format!("{{{keys}}}");
    assert_eq!(role(&format!("{{role: ecs, {keys}}}")), Role::Ecs(fake::config(&own).unwrap()));
    assert_eq!(role(&format!("{{role: msk, {keys}}}")), Role::Msk(fake::config(&own).unwrap()));
    assert_eq!(role(&format!("{{role: rds, {keys}}}")), Role::Rds(fake::config(&own).unwrap()));
    let elasticache = Role::Elasticache(fake::config(&own).unwrap());
    assert_eq!(role(&format!("{{role: elasticache, {keys}}}")), elasticache);
}

/// The target whose labels hold `label`, with the labels that are asked for, `__meta_` left out.
fn labels_of(groups: &[crate::TargetGroup], label: &str, wanted: &[&str]) -> Vec<String> {
    let all = groups.iter().flat_map(|group| group.targets.iter().map(|target| group.merged(target).build()));
    let target = all.into_iter().find(|labels| labels.to_string().contains(label)).expect("it is there");
    wanted.iter().map(|name| target.get(name).unwrap_or("-").to_owned()).collect()
}

/// What ECS answers to an operation.
fn ecs_answer(operation: &str, body: &Value) -> Value {
    use serde_json::json;
    match operation {
        "ListClusters" if body["nextToken"].is_null() => {
            json!({"clusterArns": ["arn:c1"], "nextToken": "two"})
        }
        "ListClusters" => json!({"clusterArns": ["arn:empty"]}),
        "DescribeClusters" => {
            assert_eq!(*body, json!({"clusters": ["arn:c1", "arn:empty"], "include": ["TAGS"]}));
            json!({"clusters": [{"clusterArn": "arn:c1", "clusterName": "c1", "tags": [{"key": "team-x", "value": "a"}]},
                {"clusterArn": "arn:empty", "clusterName": "empty"}]})
        }
        "ListTasks" if body["cluster"] == "arn:c1" => json!({"taskArns": ["arn:t1", "arn:t2", "arn:t3"]}),
        "ListTasks" => json!({"taskArns": []}),
        "ListServices" => json!({"serviceArns": ["arn:s1"]}),
        "DescribeServices" => json!({"services": [
            {"serviceArn": "arn:s1", "serviceName": "web", "status": "ACTIVE", "tags": [{"key": "tier", "value": "front"}]}]}),
        "DescribeTasks" => json!({"tasks": [
            {"taskArn": "arn:t1", "taskDefinitionArn": "arn:d:1", "group": "service:web", "launchType": "FARGATE", "lastStatus": "RUNNING",
             "desiredStatus": "RUNNING", "healthStatus": "HEALTHY", "availabilityZone": "r-1a", "platformFamily": "Linux",
             "platformVersion": "1.4.0", "tags": [{"key": "k", "value": "v"}], "attachments": [{"type": "ElasticNetworkInterface", "details": [
                {"name": "subnetId", "value": "subnet-1"}, {"name": "networkInterfaceId", "value": "eni-1"},
                {"name": "privateIPv4Address", "value": "10.0.0.5"}]}]},
            {"taskArn": "arn:t2", "group": "family:x", "launchType": "EC2", "containerInstanceArn": "arn:ci1"},
            {"taskArn": "arn:t3", "launchType": "EXTERNAL"}]}),
        "DescribeContainerInstances" => {
            assert_eq!(*body, json!({"cluster": "arn:c1", "containerInstances": ["arn:ci1"]}));
            json!({"containerInstances": [{"containerInstanceArn": "arn:ci1", "ec2InstanceId": "i-9"}]})
        }
        other => panic!("{other} is not asked for"),
    }
}

#[tokio::test]
async fn tasks_of_ecs_become_targets() {
    let ecs_url = start(|body, headers| {
        let signed = headers["authorization"].to_str().unwrap();
        assert!(signed.contains("/region-1/ecs/aws4_request"), "{signed}");
        let operation = headers["x-amz-target"].to_str().unwrap();
        let operation = operation.strip_prefix("AmazonEC2ContainerServiceV20141113.").unwrap();
        (200, ecs_answer(operation, &serde_json::from_str(body).unwrap()).to_string())
    })
    .await;
    let ec2_url = start(|body, headers| {
        assert!(headers["authorization"].to_str().unwrap().contains("/region-1/ec2/aws4_request"));
        let answer = if body.contains("DescribeNetworkInterfaces&") {
            assert!(body.ends_with("&NetworkInterfaceId.1=eni-1"), "{body}");
            "<R><networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId><association><publicIp>5.6.7.8</publicIp></association></item></networkInterfaceSet></R>"
        } else {
            assert!(body.contains("DescribeInstances&") && body.ends_with("&InstanceId.1=i-9"), "{body}");
            "<R><reservationSet><item><instancesSet><item><instanceId>i-9</instanceId><privateIpAddress>10.0.0.9</privateIpAddress><ipAddress>9.9.9.9</ipAddress>\
             <subnetId>subnet-9</subnetId><instanceType>m5.large</instanceType><tagSet><item><key>Name</key><value>host</value></item></tagSet></item></instancesSet></item></reservationSet></R>"
        };
        (200, answer.to_owned())
    })
    .await;
    let mut ecs = Ecs::new(&fake::config(&format!("{{{KEYS}, endpoint: '{ecs_url}', port: 9100}}")).unwrap());
    ecs.ec2_endpoint = ec2_url;
    let fargate = concat!(
        r#"{__address__="10.0.0.5:9100", __meta_ecs_availability_zone="r-1a", __meta_ecs_cluster="c1", __meta_ecs_cluster_arn="arn:c1", "#,
        r#"__meta_ecs_desired_status="RUNNING", __meta_ecs_health_status="HEALTHY", __meta_ecs_ip_address="10.0.0.5", __meta_ecs_last_status="RUNNING", "#,
        r#"__meta_ecs_launch_type="FARGATE", __meta_ecs_network_mode="awsvpc", __meta_ecs_platform_family="Linux", __meta_ecs_platform_version="1.4.0", "#,
        r#"__meta_ecs_public_ip="5.6.7.8", __meta_ecs_region="region-1", __meta_ecs_service="web", __meta_ecs_service_arn="arn:s1", "#,
        r#"__meta_ecs_service_status="ACTIVE", __meta_ecs_subnet_id="subnet-1", __meta_ecs_tag_cluster_team_x="a", __meta_ecs_tag_service_tier="front", "#,
        r#"__meta_ecs_tag_task_k="v", __meta_ecs_task_arn="arn:t1", __meta_ecs_task_definition="arn:d:1", __meta_ecs_task_group="service:web"}"#,
    );
    let bridge = concat!(
        r#"{__address__="10.0.0.9:9100", __meta_ecs_cluster="c1", __meta_ecs_cluster_arn="arn:c1", __meta_ecs_container_instance_arn="arn:ci1", "#,
        r#"__meta_ecs_ec2_instance_id="i-9", __meta_ecs_ec2_instance_private_ip="10.0.0.9", __meta_ecs_ec2_instance_public_ip="9.9.9.9", "#,
        r#"__meta_ecs_ec2_instance_type="m5.large", __meta_ecs_ip_address="10.0.0.9", __meta_ecs_launch_type="EC2", __meta_ecs_network_mode="bridge", "#,
        r#"__meta_ecs_public_ip="9.9.9.9", __meta_ecs_region="region-1", __meta_ecs_subnet_id="subnet-9", __meta_ecs_tag_cluster_team_x="a", "#,
        r#"__meta_ecs_tag_ec2_Name="host", __meta_ecs_task_arn="arn:t2", __meta_ecs_task_group="family:x"}"#,
    );
    for _ in 0..2 {
        let groups = ecs.refresh().await.unwrap();
        assert_eq!(
            (groups[0].source.as_str(), fake::labels(&groups)),
            ("region-1", vec![fargate.to_owned(), bridge.to_owned()])
        );
    }
}

#[tokio::test]
async fn nodes_of_msk_become_targets() {
    let cluster = |arn: &str, kind: &str| {
        serde_json::json!({"clusterArn": arn, "clusterName": "k", "state": "ACTIVE", "clusterType": kind, "currentVersion": "K1",
            "tags": {"team-x": "a"}, "provisioned": {"currentBrokerSoftwareInfo": {"kafkaVersion": "3.6.0", "configurationRevision": 2},
            "openMonitoring": {"prometheus": {"jmxExporter": {"enabledInBroker": true}, "nodeExporter": {"enabledInBroker": false}}}}})
    };
    let arn = "arn:aws:kafka:r:1:cluster/k/u-1";
    let in_path = "arn%3Aaws%3Akafka%3Ar%3A1%3Acluster%2Fk%2Fu-1";
    let listed = "/api/v2/clusters?clusterTypeFilter=PROVISIONED&maxResults=100";
    let page = |clusters: Vec<Value>, next: Option<&str>| {
        serde_json::json!({"clusterInfoList": clusters, "nextToken": next}).to_string()
    };
    let nodes = serde_json::json!({"nodeInfoList": [
        {"nodeARN": "arn:n1", "addedToClusterTime": "2024-05-01T00:00:00Z", "instanceType": "m5.large", "brokerNodeInfo":
            {"attachedENIId": "eni-1", "brokerId": 1.0, "clientSubnet": "subnet-1", "clientVpcIpAddress": "10.0.0.1", "endpoints": ["b-1.k", "b-1b.k"]}},
        {"nodeARN": "arn:n2", "controllerNodeInfo": {"endpoints": ["c-1.k"]}}, {"nodeARN": "arn:n3", "zookeeperNodeInfo": {"endpoints": ["z"]}}]});
    let fake = Fake::start(&[
        (listed, &page(vec![], Some("two"))),
        (&format!("{listed}&nextToken=two"), &page(vec![cluster(arn, "PROVISIONED")], None)),
        (&format!("/v1/clusters/{in_path}/nodes?maxResults=100"), &nodes.to_string()),
        (
            &format!("/api/v2/clusters/{in_path}"),
            &serde_json::json!({"clusterInfo": cluster(arn, "PROVISIONED")}).to_string(),
        ),
        ("/api/v2/clusters/s", &serde_json::json!({"clusterInfo": cluster("s", "SERVERLESS")}).to_string()),
    ])
    .await;
    let common = concat!(
        r#"__meta_msk_cluster_arn="arn:aws:kafka:r:1:cluster/k/u-1", __meta_msk_cluster_configuration_revision="2", "#,
        r#"__meta_msk_cluster_jmx_exporter_enabled="true", __meta_msk_cluster_kafka_version="3.6.0", __meta_msk_cluster_name="k", "#,
        r#"__meta_msk_cluster_state="ACTIVE", __meta_msk_cluster_tag_team_x="a", __meta_msk_cluster_type="PROVISIONED", __meta_msk_cluster_version="K1", "#,
    );
    let broker = |i: usize, host: &str| {
        format!(
            "{{__address__=\"{host}:11001\", __meta_msk_broker_client_subnet=\"subnet-1\", __meta_msk_broker_client_vpc_ip=\"10.0.0.1\", \
             __meta_msk_broker_endpoint_index=\"{i}\", __meta_msk_broker_id=\"1\", __meta_msk_broker_node_exporter_enabled=\"false\", {common}\
             __meta_msk_node_added_time=\"2024-05-01T00:00:00Z\", __meta_msk_node_arn=\"arn:n1\", __meta_msk_node_attached_eni=\"eni-1\", \
             __meta_msk_node_instance_type=\"m5.large\", __meta_msk_node_type=\"BROKER\"}}"
        )
    };
    let controller = format!(
        "{{__address__=\"c-1.k:11001\", {common}__meta_msk_controller_endpoint_index=\"0\", __meta_msk_node_arn=\"arn:n2\", __meta_msk_node_type=\"CONTROLLER\"}}"
    );
    for clusters in [String::new(), format!(", clusters: ['{arn}', s]")] {
        let text = format!("{{{KEYS}, endpoint: '{}', port: 11001{clusters}}}", fake.url);
        let groups = Msk::new(&fake::config(&text).unwrap()).refresh().await.unwrap();
        assert_eq!(fake::labels(&groups), [broker(0, "b-1.k"), broker(1, "b-1b.k"), controller.clone()]);
    }
    let asked = fake.asked().pop().unwrap();
    assert!(asked.headers["authorization"].to_str().unwrap().contains("/region-1/kafka/aws4_request"));
}

#[tokio::test]
async fn instances_of_rds_become_targets() {
    let url = start(|body, headers| {
        assert!(headers["authorization"].to_str().unwrap().contains("/region-1/rds/aws4_request"));
        assert!(body.contains("Version=2014-10-31&MaxRecords=100"), "{body}");
        let answer = if body.contains("DescribeDBInstances") {
            let filters = "Filters.Filter.1.Name=db-cluster-id&Filters.Filter.1.Values.Value.1=arn%3Ac1&Filters.Filter.2.Name=engine&Filters.Filter.2.Values.Value.1=aurora";
            assert!(body.contains(filters), "{body}");
            r#"<DescribeDBInstancesResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeDBInstancesResult><DBInstances>
                <DBInstance><DBInstanceIdentifier>db-1</DBInstanceIdentifier><DBInstanceClass>db.r6g</DBInstanceClass><MultiAZ>false</MultiAZ>
                <InstanceCreateTime>2024-05-01T10:11:12.345Z</InstanceCreateTime><Endpoint><Address>db-1.rds</Address><Port>5432</Port></Endpoint>
                <DBSubnetGroup><DBSubnetGroupName>group</DBSubnetGroupName></DBSubnetGroup><TagList><Tag><Key>env-x</Key><Value>prod</Value></Tag></TagList></DBInstance>
                <DBInstance><DBInstanceIdentifier>db-new</DBInstanceIdentifier><DBInstanceStatus>creating</DBInstanceStatus></DBInstance>
                </DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>"#
        } else if body.contains("Marker=two") {
            "<R><DescribeDBClustersResult><DBClusters/></DescribeDBClustersResult></R>"
        } else {
            r#"<DescribeDBClustersResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeDBClustersResult><Marker>two</Marker><DBClusters>
                <DBCluster><DBClusterArn>arn:c1</DBClusterArn><DBClusterIdentifier>c1</DBClusterIdentifier><Engine>aurora</Engine><AllocatedStorage>1</AllocatedStorage>
                <ClusterCreateTime>2024-05-01T10:00:00Z</ClusterCreateTime><TagList><Tag><Key>team</Key><Value>a</Value></Tag></TagList>
                <DBClusterMembers><DBClusterMember><DBInstanceIdentifier>db-1</DBInstanceIdentifier><IsClusterWriter>true</IsClusterWriter></DBClusterMember></DBClusterMembers>
                </DBCluster></DBClusters></DescribeDBClustersResult></DescribeDBClustersResponse>"#
        };
        (200, answer.to_owned())
    })
    .await;
    let text =
        format!("{{{KEYS}, endpoint: '{url}', port: 9187, filters: [{{name: engine, values: [aurora]}}]}}");
    let groups = Rds::new(&fake::config(&text).unwrap()).refresh().await.unwrap();
    let cluster = concat!(
        r#"__meta_rds_cluster_allocated_storage="1", __meta_rds_cluster_arn="arn:c1", __meta_rds_cluster_cluster_create_time="2024-05-01T10:00:00Z", "#,
        r#"__meta_rds_cluster_engine="aurora", __meta_rds_cluster_identifier="c1", __meta_rds_cluster_tag_team="a", "#,
    );
    let first = concat!(
        r#"__meta_rds_instance_class="db.r6g", __meta_rds_instance_endpoint_address="db-1.rds", __meta_rds_instance_endpoint_port="5432", "#,
        r#"__meta_rds_instance_identifier="db-1", __meta_rds_instance_instance_create_time="2024-05-01T10:11:12Z", __meta_rds_instance_is_cluster_writer="true", "#,
        r#"__meta_rds_instance_multi_az="false", __meta_rds_instance_subnet_group="group", __meta_rds_instance_tag_env_x="prod"}"#,
    );
    let second = r#"__meta_rds_instance_identifier="db-new", __meta_rds_instance_status="creating"}"#;
    let expected =
        [format!("{{__address__=\"db-1.rds:9187\", {cluster}{first}"), format!("{{{cluster}{second}")];
    assert_eq!(fake::labels(&groups), expected);
}

/// A cluster of two nodes, one of no group, and a serverless cache.
fn elasticache_answer(body: &str) -> String {
    let cluster = |arn: &str, id: &str, more: &str| {
        format!("<CacheCluster><ARN>{arn}</ARN><CacheClusterId>{id}</CacheClusterId>{more}</CacheCluster>")
    };
    if body.contains("ListTagsForResource") {
        let of = if body.contains("serverlesscache") { "cache" } else { "cluster" };
        return format!(
            "<R><ListTagsForResourceResult><TagList><Tag><Key>of-x</Key><Value>{of}</Value></Tag></TagList></ListTagsForResourceResult></R>"
        );
    }
    if body.contains("DescribeServerlessCaches") {
        return "<R><DescribeServerlessCachesResult><ServerlessCaches><member><ARN>arn:aws:elasticache:r:1:serverlesscache:s</ARN><ServerlessCacheName>s</ServerlessCacheName>\
            <CreateTime>2024-05-01T10:00:00.5Z</CreateTime><DailySnapshotTime>03:00</DailySnapshotTime><Endpoint><Address>s.cache</Address><Port>6379</Port></Endpoint>\
            <SecurityGroupIds><SecurityGroupId>sg-1</SecurityGroupId><SecurityGroupId>sg-2</SecurityGroupId></SecurityGroupIds>\
            <CacheUsageLimits><DataStorage><Maximum>9</Maximum></DataStorage></CacheUsageLimits></member></ServerlessCaches></DescribeServerlessCachesResult></R>".to_owned();
    }
    let node = |id: &str| {
        format!(
            "<CacheNode><CacheNodeId>{id}</CacheNodeId><Endpoint><Address>{id}.cache</Address><Port>11211</Port></Endpoint></CacheNode>"
        )
    };
    let first = format!(
        "<ReplicationGroupId>g</ReplicationGroupId><SecurityGroups><member><SecurityGroupId>sg-1</SecurityGroupId><Status>active</Status></member></SecurityGroups>\
         <PendingModifiedValues><CacheNodeIdsToRemove><CacheNodeId>1</CacheNodeId><CacheNodeId>2</CacheNodeId></CacheNodeIdsToRemove></PendingModifiedValues>\
         <LogDeliveryConfigurations><LogDeliveryConfiguration><LogType>slow-log</LogType></LogDeliveryConfiguration></LogDeliveryConfigurations>\
         <CacheNodes>{}{}</CacheNodes>",
        node("0001"),
        node("0002"),
    );
    let both = cluster("arn:1", "g-001", &first)
        + &cluster("arn:2", "alone", &format!("<CacheNodes>{}</CacheNodes>", node("0003")));
    format!(
        "<R><DescribeCacheClustersResult><CacheClusters>{both}</CacheClusters></DescribeCacheClustersResult></R>"
    )
}

#[tokio::test]
async fn nodes_and_serverless_caches_of_elasticache_become_targets() {
    let url = start(|body, headers| {
        assert!(headers["authorization"].to_str().unwrap().contains("/region-1/elasticache/aws4_request"));
        assert!(body.contains("Version=2015-02-02"), "{body}");
        (200, elasticache_answer(body))
    })
    .await;
    let found = async |clusters: &str| {
        let text = format!("{{{KEYS}, endpoint: '{url}'{clusters}}}");
        let config: elasticache::Config = fake::config(&text).unwrap();
        Elasticache::new(&config).refresh().await.unwrap()
    };
    let all = found("").await;
    let all_labels = fake::labels(&all);
    assert_eq!(all_labels.len(), 4);
    assert_eq!(
        all_labels[0],
        concat!(
            r#"{__address__="s.cache:6379", __meta_elasticache_deployment_option="serverless", __meta_elasticache_serverless_cache_arn="arn:aws:elasticache:r:1:serverlesscache:s", "#,
            r#"__meta_elasticache_serverless_cache_cache_usage_limit_data_storagemaximum="9", __meta_elasticache_serverless_cache_create_time="2024-05-01T10:00:00Z", "#,
            r#"__meta_elasticache_serverless_cache_daily_snapshot_time="03:00", __meta_elasticache_serverless_cache_endpoint_address="s.cache", "#,
            r#"__meta_elasticache_serverless_cache_endpoint_port="6379", __meta_elasticache_serverless_cache_name="s", "#,
            r#"__meta_elasticache_serverless_cache_security_group_id_0="sg-1", __meta_elasticache_serverless_cache_security_group_id_1="sg-2", "#,
            r#"__meta_elasticache_serverless_cache_tag_of_x="cache"}"#,
        )
    );
    let prefix = "__meta_elasticache_cache_cluster_";
    let of_second = labels_of(
        &all,
        "0002.cache:11211",
        &[
            &format!("{prefix}cache_cluster_id"),
            &format!("{prefix}node_id"),
            &format!("{prefix}security_group_membership_id_0"),
            &format!("{prefix}log_delivery_configuration_log_type_0"),
            &format!("{prefix}pending_modified_values_cache_node_ids_to_remove"),
            &format!("{prefix}tag_of_x"),
            "__meta_elasticache_deployment_option",
        ],
    );
    assert_eq!(of_second, ["g-001", "0002", "sg-1", "slow-log", "1,2", "cluster", "node"]);
    let arn = |kind: &str, name: &str| format!(", clusters: ['arn:aws:elasticache:r:1:{kind}:{name}']");
    assert_eq!(found(&arn("replicationgroup", "g")).await[0].targets.len(), 2);
    assert_eq!(found(&arn("cluster", "alone")).await[0].targets.len(), 1);
    assert_eq!(found(&arn("serverlesscache", "s")).await[0].targets.len(), 1);
}
