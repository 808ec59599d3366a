//! `uyuni_sd_configs`: monitored systems of Uyuni, by its XML-RPC interface.
//!
//! `auth.login`, `system.listSystemGroupsForSystemsWithEntitlement`, `system.monitoring.listEndpoints`,
//! `system.getNetworkForSystems`. The session is used for half its life, as in Prometheus.

use std::path::Path;
use std::time::Duration as StdDuration;

use model::{Duration, Labels};
use net::{HttpClientConfig, Request, Secret};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::Kind;
use super::cloud::{Target, items, text};
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::{ADDRESS, TargetGroup};
use crate::http::{Api, bad_answer, require_success, with_path};

/// How long a session is asked for, in seconds. From Prometheus.
const SESSION_SECS: u64 = 600;
/// How deep values may stand in one another. Chosen; Uyuni's answers are four deep.
const DEPTH_MAX: usize = 32;

/// One element of `uyuni_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    server: Url,
    username: String,
    password: Secret,
    entitlement: String,
    separator: String,
    refresh_interval: Duration,
    http: HttpClientConfig,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        server: String,
        username: String,
        password: Secret,
        entitlement: Option<String>,
        separator: Option<String>,
        refresh_interval: Option<Duration>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let require = |is_there: bool, what: &str| match is_there {
            true => Ok(()),
            false => Err(format!("Uyuni SD configuration requires {what}")),
        };
        require(!keys.server.is_empty(), "server host")?;
        let server = crate::http::checked_url(&keys.server)
            .map_err(|err| format!("Uyuni Server URL is not valid: {err}"))?;
        require(!keys.username.is_empty(), "a username")?;
        require(!keys.password.is_empty(), "a password")?;
        Ok(Self {
            server: with_path(&server, ["rpc", "api"]).map_err(|err| err.to_string())?,
            entitlement: keys.entitlement.take().unwrap_or_else(|| "monitoring_entitled".to_owned()),
            separator: keys.separator.take().unwrap_or_else(|| ",".to_owned()),
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            http: keys.take_http()?,
            username: keys.username,
            password: keys.password,
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "uyuni";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(refreshing(context, self.refresh_interval, Uyuni::new(self)?))
    }
}

#[derive(Debug)]
struct Uyuni {
    config: Config,
    api: Api,
    /// With when it is asked for anew.
    session: Option<(String, Instant)>,
}

impl Uyuni {
    fn new(config: &Config) -> Result<Self, SdError> {
        Ok(Self {
            config: config.clone(),
            api: Api::new(&config.http, config.refresh_interval)?,
            session: None,
        })
    }

    async fn call(&self, method: &str, params: &[Value]) -> Result<Value, SdError> {
        let url = &self.config.server;
        let request = Request::post(url.clone(), "text/xml", method_call(method, params));
        let response = self.api.send(request).await?;
        require_success(url, &response)?;
        let text = std::str::from_utf8(&response.body).map_err(|err| bad_answer(url, err))?;
        method_response(text).map_err(|err| bad_answer(url, format!("{method}: {err}")))
    }

    async fn session(&mut self) -> Result<String, SdError> {
        if let Some((session, until)) = &self.session
            && Instant::now() < *until
        {
            return Ok(session.clone());
        }
        let params =
            [self.config.username.clone().into(), self.config.password.expose().into(), SESSION_SECS.into()];
        let session = self.call("auth.login", &params).await?;
        let session = session.as_str().map(str::to_owned);
        let session = session.ok_or_else(|| bad_answer(&self.config.server, "auth.login gave no session"))?;
        self.session = Some((session.clone(), Instant::now() + StdDuration::from_secs(SESSION_SECS / 2)));
        Ok(session)
    }

    async fn targets(&self, session: &str) -> Result<Vec<Labels>, SdError> {
        let params = [session.into(), self.config.entitlement.clone().into()];
        let systems = self.call("system.listSystemGroupsForSystemsWithEntitlement", &params).await?;
        let ids: Vec<Value> =
            items(&systems, "").iter().filter_map(|system| system.get("id").cloned()).collect();
        let params = [session.into(), Value::Array(ids)];
        let endpoints = self.call("system.monitoring.listEndpoints", &params).await?;
        let networks = self.call("system.getNetworkForSystems", &params).await?;
        let of = |list: &Value, key: &str, id: &str| {
            items(list, "").iter().rev().find(|one| text(one, key) == id).cloned().unwrap_or_default()
        };
        let target = |endpoint: &Value| {
            let id = text(endpoint, "/system_id");
            self.target(endpoint, &of(&systems, "/id", &id), &of(&networks, "/system_id", &id))
        };
        Ok(items(&endpoints, "").iter().map(target).collect())
    }

    fn target(&self, endpoint: &Value, system: &Value, network: &Value) -> Labels {
        let groups: Vec<_> =
            items(system, "/system_groups").iter().map(|group| text(group, "/name")).collect();
        let is_tls = endpoint.pointer("/tls_enabled").and_then(Value::as_bool).unwrap_or(false);
        let port = endpoint.pointer("/port").and_then(Value::as_i64).unwrap_or(0);
        let mut target = Target::new("__meta_uyuni_");
        target.take(network, &[("minion_hostname", "/hostname"), ("primary_fqdn", "/primary_fqdn")]);
        target.take(
            endpoint,
            &[
                ("system_id", "/system_id"),
                ("endpoint_name", "/endpoint_name"),
                ("exporter", "/exporter_name"),
                ("proxy_module", "/module"),
                ("metrics_path", "/path"),
            ],
        );
        target.set("groups", groups.join(&self.config.separator));
        target.set("scheme", if is_tls { "https" } else { "http" });
        target.plain(ADDRESS, &format!("{}:{port}", text(network, "/hostname"))).build()
    }
}

impl Provider for Uyuni {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let session = self.session().await?;
        let targets = self.targets(&session).await;
        if targets.is_err() {
            self.session = None;
        }
        Ok(vec![TargetGroup::new(self.config.server.as_str(), targets?)])
    }
}

/// XML-RPC, as on xmlrpc.com/spec.
fn method_call(method: &str, params: &[Value]) -> String {
    let params = params.iter().map(|param| format!("<param>{}</param>", written(param)));
    let params: String = params.collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
    )
}

fn written(value: &Value) -> String {
    let inner = match value {
        Value::Array(items) => {
            format!("<array><data>{}</data></array>", items.iter().map(written).collect::<String>())
        }
        Value::Number(number) => format!("<int>{number}</int>"),
        Value::String(text) => {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            format!("<string>{text}</string>")
        }
        other => format!("<string>{other}</string>"),
    };
    format!("<value>{inner}</value>")
}

/// The value that a call gave.
fn method_response(text: &str) -> Result<Value, String> {
    let doc = roxmltree::Document::parse(text).map_err(|err| err.to_string())?;
    let named = |name: &str| doc.descendants().find(|node| node.has_tag_name(name));
    if let Some(fault) = named("fault") {
        let value = fault.children().find(roxmltree::Node::is_element).ok_or("a fault without a value")?;
        let value = read(value, DEPTH_MAX)?;
        let (code, said) = (self::text(&value, "/faultCode"), self::text(&value, "/faultString"));
        return Err(format!("Fault({code}): {said}"));
    }
    let param = named("param").ok_or("an answer without a value")?;
    read(param.children().find(roxmltree::Node::is_element).ok_or("an answer without a value")?, DEPTH_MAX)
}

/// What stands in a `<value>`.
fn read(value: roxmltree::Node<'_, '_>, depth: usize) -> Result<Value, String> {
    if depth == 0 {
        return Err(format!("values more than {DEPTH_MAX} deep"));
    }
    let own_text = |node: roxmltree::Node<'_, '_>| node.text().unwrap_or_default().to_owned();
    let Some(typed) = value.children().find(roxmltree::Node::is_element) else {
        return Ok(Value::String(own_text(value).trim().to_owned()));
    };
    let children = |node: roxmltree::Node<'_, '_>| -> Vec<_> {
        node.children().filter(|child| child.is_element()).map(|child| child.id()).collect()
    };
    let node_of = |id| typed.document().get_node(id).expect("a node of this document");
    let content = own_text(typed);
    Ok(match typed.tag_name().name() {
        "int" | "i4" | "i8" => {
            content.trim().parse::<i64>().map_err(|err| format!("{content:?}: {err}"))?.into()
        }
        "boolean" => Value::Bool(content.trim() == "1"),
        "double" => content.trim().parse::<f64>().map_err(|err| format!("{content:?}: {err}"))?.into(),
        "nil" => Value::Null,
        "array" => {
            let data = children(typed).first().map(|id| children(node_of(*id))).unwrap_or_default();
            let all: Result<Vec<_>, _> = data.into_iter().map(|id| read(node_of(id), depth - 1)).collect();
            Value::Array(all?)
        }
        "struct" => {
            let mut object = serde_json::Map::new();
            for member in children(typed) {
                let parts: Vec<_> = children(node_of(member)).into_iter().map(node_of).collect();
                let [name, value] = parts.as_slice() else {
                    return Err("a member without a value".to_owned());
                };
                object.insert(own_text(*name).trim().to_owned(), read(*value, depth - 1)?);
            }
            Value::Object(object)
        }
        _ => Value::String(content),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        for (text, expected) in [
            ("{}", "Uyuni SD configuration requires server host"),
            ("{server: 'http://h'}", "Uyuni SD configuration requires a username"),
            ("{server: 'http://h', username: u}", "Uyuni SD configuration requires a password"),
        ] {
            assert_eq!(fake::config::<Config>(text).unwrap_err(), format!("p.yml: {expected}"));
        }
    }

    #[test]
    fn answers_of_xml_rpc_are_read() {
        let response = |inner: &str| method_response(&format!("<methodResponse>{inner}</methodResponse>"));
        let value =
            |inner: &str| response(&format!("<params><param><value>{inner}</value></param></params>"));
        assert_eq!(value("\n a token \n"), Ok("a token".into()));
        assert_eq!(
            value(
                "<array><data><value><struct><member><name>a</name><value><i4>1</i4></value></member></struct></value></data></array>"
            ),
            Ok(serde_json::json!([{"a": 1}]))
        );
        assert_eq!(value("<boolean>1</boolean>"), Ok(true.into()));
        let fault = "<fault><value><struct><member><name>faultCode</name><value><int>2950</int></value></member>\
                     <member><name>faultString</name><value><string>no</string></value></member></struct></value></fault>";
        assert_eq!(response(fault), Err("Fault(2950): no".to_owned()));
        assert!(response("").is_err() && value("<int>x</int>").is_err());
        let deep = format!("{}{}", "<array><data><value>".repeat(40), "</value></data></array>".repeat(40));
        assert_eq!(value(&deep), Err("values more than 32 deep".to_owned()));
        assert_eq!(written(&"<a&b>".into()), "<value><string>&lt;a&amp;b&gt;</string></value>");
    }

    #[tokio::test]
    async fn monitored_systems_become_targets() {
        let answer = |body: &axum::body::Bytes| {
            let text = String::from_utf8_lossy(body);
            let object = |pairs: &[(&str, &str)]| {
                let members = pairs.iter().map(|(name, value)| {
                    format!("<member><name>{name}</name><value>{value}</value></member>")
                });
                format!("<value><struct>{}</struct></value>", members.collect::<String>())
            };
            let array = |inner: String| format!("<value><array><data>{inner}</data></array></value>");
            let value = if text.contains("auth.login") {
                "<value>a token</value>".to_owned()
            } else if text.contains("listSystemGroups") {
                let groups = format!(
                    "<array><data>{}</data></array>",
                    object(&[("id", "<int>1</int>"), ("name", "g1")])
                );
                array(object(&[("id", "<int>1000</int>"), ("system_groups", &groups)]))
            } else if text.contains("listEndpoints") {
                array(object(&[
                    ("system_id", "<int>1000</int>"),
                    ("endpoint_name", "n"),
                    ("port", "<int>9100</int>"),
                    ("path", "/metrics"),
                    ("module", ""),
                    ("exporter_name", "node_exporter"),
                    ("tls_enabled", "<boolean>0</boolean>"),
                ]))
            } else {
                array(object(&[
                    ("system_id", "<int>1000</int>"),
                    ("hostname", "h"),
                    ("primary_fqdn", "h.example"),
                ]))
            };
            format!("<methodResponse><params><param>{value}</param></params></methodResponse>")
        };
        let app = axum::Router::new().route(
            "/rpc/api",
            axum::routing::post(move |body: axum::body::Bytes| async move { answer(&body) }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let text = format!("{{server: 'http://{server}', username: u, password: p}}");
        let mut uyuni = Uyuni::new(&fake::config(&text).unwrap()).unwrap();
        let expected = concat!(
            r#"{__address__="h:9100", __meta_uyuni_endpoint_name="n", __meta_uyuni_exporter="node_exporter", __meta_uyuni_groups="g1", "#,
            r#"__meta_uyuni_metrics_path="/metrics", __meta_uyuni_minion_hostname="h", __meta_uyuni_primary_fqdn="h.example", "#,
            r#"__meta_uyuni_scheme="http", __meta_uyuni_system_id="1000"}"#,
        );
        assert_eq!(fake::labels(&uyuni.refresh().await.unwrap()), [expected]);
    }
}
