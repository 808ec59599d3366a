//! EC2 and Lightsail against recorded answers.

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};

use super::*;
use crate::fake;

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
    for (text, expected) in [
        ("{role: x}", "unknown AWS SD role \"x\""),
        ("{role: rds}", "role rds of aws_sd_configs is not served yet: use file_sd_configs"),
    ] {
        assert_eq!(fake::config::<Config>(text).unwrap_err(), format!("p.yml: {expected}"));
    }
}
