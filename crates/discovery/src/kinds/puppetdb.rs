//! `puppetdb_sd_configs`: resources that a query of PuppetDB finds.
//!
//! Query API version 4: `POST /pdb/query/v4`.

use std::path::Path;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use model::{Duration, Labels};
use net::{HttpClientConfig, Request};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Kind;
use super::cloud::{Target, pairs, text, texts};
use super::http::is_json;
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::{TargetGroup, sanitized};
use crate::http::{Api, bad_answer, checked_url, json, with_path};

/// One element of `puppetdb_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    url: Url,
    query: String,
    include_parameters: bool,
    port: u16,
    refresh_interval: Duration,
    http: HttpClientConfig,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        url: String,
        query: String,
        include_parameters: Option<bool>,
        port: Option<u16>,
        refresh_interval: Option<Duration>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let base = checked_url(&keys.url)?;
        if keys.query.is_empty() {
            return Err("query missing".to_owned());
        }
        Ok(Self {
            url: with_path(&base, ["pdb", "query", "v4"]).map_err(|err| err.to_string())?,
            include_parameters: keys.include_parameters.unwrap_or(false),
            port: keys.port.unwrap_or(80),
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            http: keys.take_http()?,
            query: keys.query,
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "puppetdb";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        Ok(refreshing(context, self.refresh_interval, PuppetDb::new(self)?))
    }
}

#[derive(Debug)]
struct PuppetDb {
    config: Config,
    api: Api,
}

impl PuppetDb {
    fn new(config: &Config) -> Result<Self, SdError> {
        Ok(Self { config: config.clone(), api: Api::new(&config.http, config.refresh_interval)? })
    }

    fn target(&self, resource: &Value) -> Labels {
        let mut target = Target::new("__meta_puppetdb_");
        target.take(
            resource,
            &[
                ("certname", "/certname"),
                ("resource", "/resource"),
                ("type", "/type"),
                ("title", "/title"),
                ("file", "/file"),
                ("environment", "/environment"),
            ],
        );
        let is_exported = resource.pointer("/exported").and_then(Value::as_bool).unwrap_or(false);
        target.set("query", &self.config.query).set("exported", is_exported);
        target.list("tags", &texts(resource, "/tags"));
        if self.config.include_parameters {
            for (name, value) in parameters(resource, "/parameters") {
                target.set(&format!("parameter_{name}"), value);
            }
        }
        target.address(&text(resource, "/certname"), self.config.port).build()
    }
}

/// Single values as they are, lists joined by commas, objects by their keys.
fn parameters(value: &Value, place: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, value) in pairs(value, place) {
        let name = sanitized(name);
        match value {
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| single(item).unwrap_or_default()).collect();
                all.push((name, items.join(",")));
            }
            Value::Object(_) => {
                let below = parameters(value, "").into_iter();
                all.extend(below.map(|(below, value)| (format!("{name}_{below}"), value)));
            }
            value => all.extend(single(value).map(|text| (name, text))),
        }
    }
    all
}

fn single(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(yes) => Some(yes.to_string()),
        // All numbers of JSON are floats to Go.
        Value::Number(number) => number.as_f64().map(model::float::format_g),
        _ => None,
    }
}

impl Provider for PuppetDb {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let url = &self.config.url;
        let body = serde_json::json!({ "query": self.config.query }).to_string();
        let mut request = Request::post(url.clone(), "application/json", body);
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let response = self.api.send(request).await?;
        crate::http::require_success(url, &response)?;
        let content_type = response.header(&CONTENT_TYPE);
        if !is_json(content_type) {
            return Err(bad_answer(url, format!("unsupported content type {content_type}")));
        }
        let resources: Vec<Value> = json(url, &response)?;
        let targets = resources.iter().map(|resource| self.target(resource)).collect();
        Ok(vec![TargetGroup::new(format!("{url}?query={}", self.config.query), targets)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        for (text, expected) in [
            ("{query: x}", "p.yml: URL is missing"),
            ("{url: 'http://h'}", "p.yml: query missing"),
            ("{url: 'ftp://h', query: x}", "p.yml: URL scheme must be 'http' or 'https'"),
        ] {
            assert_eq!(fake::config::<Config>(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn parameters_of_all_shapes_become_text() {
        let value = serde_json::json!({"a-b": 1_000_000, "l": ["x", 1, true, null], "o": {"k": {"n": 0.5}}, "e": {}, "z": null});
        let mut got = parameters(&value, "");
        got.sort();
        let expected = [("a_b", "1e+06"), ("l", "x,1,true,"), ("o_k_n", "0.5")];
        assert_eq!(got, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[tokio::test]
    async fn resources_become_targets() {
        let answer = r#"[{"certname": "edinburgh.example.com", "environment": "prod", "exported": false, "file": "/etc/p.pp", "line": 384,
            "parameters": {"access_log": true, "port": 443, "aliases": ["edinburgh", "e"]}, "resource": "49af83866dc5",
            "tags": ["roles", "class"], "title": "edinburgh", "type": "Apache::Vhost"}]"#;
        let fake = Fake::start(&[("/pdb/query/v4", answer)]).await;
        let text = format!("{{url: '{}', query: 'vhosts', include_parameters: true}}", fake.url);
        let mut puppet = PuppetDb::new(&fake::config(&text).unwrap()).unwrap();
        let expected = concat!(
            r#"{__address__="edinburgh.example.com:80", __meta_puppetdb_certname="edinburgh.example.com", __meta_puppetdb_environment="prod", "#,
            r#"__meta_puppetdb_exported="false", __meta_puppetdb_file="/etc/p.pp", __meta_puppetdb_parameter_access_log="true", "#,
            r#"__meta_puppetdb_parameter_aliases="edinburgh,e", __meta_puppetdb_parameter_port="443", __meta_puppetdb_query="vhosts", "#,
            r#"__meta_puppetdb_resource="49af83866dc5", __meta_puppetdb_tags=",roles,class,", __meta_puppetdb_title="edinburgh", "#,
            r#"__meta_puppetdb_type="Apache::Vhost"}"#,
        );
        assert_eq!(fake::labels(&puppet.refresh().await.unwrap()), [expected]);
        let asked = fake.asked().pop().unwrap();
        assert_eq!((asked.method.as_str(), &asked.body[..]), ("POST", &b"{\"query\":\"vhosts\"}"[..]));
        fake.answer("/pdb/query/v4", 200, &[("content-type", "text/html")], "[]");
        assert!(
            puppet.refresh().await.unwrap_err().to_string().ends_with("unsupported content type text/html")
        );
    }
}
