//! `eureka_sd_configs`: instances that registered with Netflix' Eureka, read as XML, its own form.

use std::path::Path;

use http::header::{ACCEPT, HeaderValue};
use model::{Duration, Labels, LabelsBuilder};
use net::{HttpClientConfig, Request};
use roxmltree::{Document, Node};
use serde::Deserialize;
use url::Url;

use super::Kind;
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::{TargetGroup, join_host_port, set_all};
use crate::http::{Api, bad_answer, require_success, with_path};

/// One element of `eureka_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    server: Url,
    refresh_interval: Duration,
    http: HttpClientConfig,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        server: Option<String>,
        refresh_interval: Option<Duration>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let server = keys.server.take().unwrap_or_default();
        if server.is_empty() {
            return Err("eureka_sd: empty or null eureka server".to_owned());
        }
        Ok(Self {
            server: crate::http::checked_url(&server)
                .map_err(|_| "eureka_sd: invalid eureka server URL".to_owned())?,
            refresh_interval: super::interval(keys.refresh_interval, 30)?,
            http: keys.take_http()?,
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "eureka";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let provider = Eureka {
            url: with_path(&self.server, ["apps"])?,
            api: Api::new(&self.http, self.refresh_interval)?,
        };
        Ok(refreshing(context, self.refresh_interval, provider))
    }
}

#[derive(Debug)]
struct Eureka {
    url: Url,
    api: Api,
}

impl Provider for Eureka {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let mut request = Request::get(self.url.clone());
        // It answers with JSON to whoever takes anything.
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/xml"));
        let response = self.api.send(request).await?;
        require_success(&self.url, &response)?;
        let text = std::str::from_utf8(&response.body).map_err(|err| bad_answer(&self.url, err))?;
        let targets = targets(text).map_err(|err| bad_answer(&self.url, err))?;
        Ok(vec![TargetGroup::new("eureka", targets)])
    }
}

fn targets(text: &str) -> Result<Vec<Labels>, roxmltree::Error> {
    let document = Document::parse(text)?;
    let mut targets = Vec::new();
    for app in children(document.root_element(), "application") {
        let name = child_text(app, "name");
        targets.extend(children(app, "instance").map(|instance| target(name, instance)));
    }
    Ok(targets)
}

fn target(app: &str, instance: Node<'_, '_>) -> Labels {
    let prefix = "__meta_eureka_app_instance_";
    let host = child_text(instance, "hostName");
    let port = children(instance, "port").next();
    let port_text = port.map_or("80", text_of);
    let mut labels = LabelsBuilder::new();
    labels
        .set("__address__", &join_host_port(host, port_text))
        .set("instance", child_text(instance, "instanceId"))
        .set("__meta_eureka_app_name", app);
    for (name, element) in [
        ("hostname", "hostName"),
        ("homepage_url", "homePageUrl"),
        ("statuspage_url", "statusPageUrl"),
        ("healthcheck_url", "healthCheckUrl"),
        ("ip_addr", "ipAddr"),
        ("vip_address", "vipAddress"),
        ("secure_vip_address", "secureVipAddress"),
        ("status", "status"),
        ("id", "instanceId"),
    ] {
        labels.set(&format!("{prefix}{name}"), child_text(instance, element));
    }
    let country = child_text(instance, "countryId");
    labels.set(&format!("{prefix}country_id"), if country.is_empty() { "0" } else { country });
    let secure = children(instance, "securePort").next();
    for (name, port) in [("port", port), ("secure_port", secure)] {
        if let Some(port) = port {
            let is_enabled = port.attribute("enabled") == Some("true");
            labels
                .set(&format!("{prefix}{name}"), text_of(port))
                .set(&format!("{prefix}{name}_enabled"), if is_enabled { "true" } else { "false" });
        }
    }
    if let Some(center) = children(instance, "dataCenterInfo").next() {
        labels.set(&format!("{prefix}datacenterinfo_name"), child_text(center, "name"));
        set_metadata(&mut labels, &format!("{prefix}datacenterinfo_metadata_"), center);
    }
    set_metadata(&mut labels, &format!("{prefix}metadata_"), instance);
    labels.build()
}

/// What stands in the element `metadata`, whatever its names are.
fn set_metadata(labels: &mut LabelsBuilder, prefix: &str, node: Node<'_, '_>) {
    let items = children(node, "metadata").flat_map(|metadata| metadata.children().filter(Node::is_element));
    set_all(labels, prefix, items.map(|item| (item.tag_name().name(), text_of(item))));
}

fn children<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

fn child_text<'a>(node: Node<'a, '_>, name: &'static str) -> &'a str {
    children(node, name).next().map_or("", text_of)
}

fn text_of<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};
    use crate::hub::tests::Bench;

    const APPS: &str = r#"<applications><versions__delta>1</versions__delta><application><name>WEB</name>
      <instance><hostName>h1</hostName><app>WEB</app><ipAddr>10.0.0.1</ipAddr><status>UP</status><port enabled="true">8080</port>
        <securePort enabled="false">443</securePort><countryId>1</countryId>
        <dataCenterInfo class="x"><name>MyOwn</name><metadata><ami-id>a</ami-id></metadata></dataCenterInfo>
        <metadata><management.port>9000</management.port></metadata><homePageUrl>http://h1:8080/</homePageUrl>
        <vipAddress>web</vipAddress><instanceId>h1:web</instanceId></instance>
      <instance><hostName>h2</hostName></instance></application></applications>"#;

    #[tokio::test]
    async fn instances_are_read_from_xml() {
        let fake = Fake::start(&[("/eureka/apps", APPS)]).await;
        let config: Config = fake::config(&format!("{{server: '{}eureka'}}", fake.url)).unwrap();
        let mut sub = Bench::new().subscribe(&config.into());
        sub.changed().await;
        let expected = [
            r#"{__address__="h1:8080", __meta_eureka_app_instance_country_id="1", __meta_eureka_app_instance_datacenterinfo_metadata_ami_id="a", __meta_eureka_app_instance_datacenterinfo_name="MyOwn", __meta_eureka_app_instance_homepage_url="http://h1:8080/", __meta_eureka_app_instance_hostname="h1", __meta_eureka_app_instance_id="h1:web", __meta_eureka_app_instance_ip_addr="10.0.0.1", __meta_eureka_app_instance_metadata_management_port="9000", __meta_eureka_app_instance_port="8080", __meta_eureka_app_instance_port_enabled="true", __meta_eureka_app_instance_secure_port="443", __meta_eureka_app_instance_secure_port_enabled="false", __meta_eureka_app_instance_status="UP", __meta_eureka_app_instance_vip_address="web", __meta_eureka_app_name="WEB", instance="h1:web"}"#,
            r#"{__address__="h2:80", __meta_eureka_app_instance_country_id="0", __meta_eureka_app_instance_hostname="h2", __meta_eureka_app_name="WEB"}"#,
        ];
        assert_eq!(fake::labels(&sub.take().unwrap()), expected);
        assert!(targets("<a>").is_err());
        for (text, expected) in [
            ("{}", "p.yml: eureka_sd: empty or null eureka server"),
            ("{server: x}", "p.yml: eureka_sd: invalid eureka server URL"),
        ] {
            assert_eq!(fake::config::<Config>(text).unwrap_err(), expected);
        }
    }
}
