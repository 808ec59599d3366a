//! `marathon_sd_configs`: tasks of applications that Marathon runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::header::{AUTHORIZATION, HeaderValue};
use model::{Duration, Labels, LabelsBuilder};
use net::{HttpClientConfig, Request, Secret};
use serde::Deserialize;
use url::Url;

use super::Kind;
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::{TargetGroup, join_host_port, set_all};
use crate::http::{Api, json};

/// One element of `marathon_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    servers: Vec<String>,
    refresh_interval: Duration,
    auth_token: Secret,
    auth_token_file: Option<PathBuf>,
    http: HttpClientConfig,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        #[serde(deserialize_with = "model::yaml::null_as_default")]
        servers: Vec<String>,
        refresh_interval: Option<Duration>,
        auth_token: Option<Secret>,
        auth_token_file: Option<PathBuf>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        if keys.servers.is_empty() {
            return Err("marathon_sd: must contain at least one Marathon server".to_owned());
        }
        let auth_token = keys.auth_token.take().unwrap_or_default();
        let auth_token_file = keys.auth_token_file.take().filter(|file| !file.as_os_str().is_empty());
        if !auth_token.is_empty() && auth_token_file.is_some() {
            return Err(
                "marathon_sd: at most one of auth_token & auth_token_file must be configured".to_owned()
            );
        }
        if !auth_token.is_empty() || auth_token_file.is_some() {
            let clash = if keys.basic_auth.is_some() {
                Some("basic_auth, auth_token & auth_token_file")
            } else if keys.bearer_token.is_some() || keys.bearer_token_file.is_some() {
                Some("bearer_token, bearer_token_file, auth_token & auth_token_file")
            } else if keys.authorization.is_some() {
                Some("auth_token, auth_token_file & authorization")
            } else {
                None
            };
            if let Some(keys) = clash {
                return Err(format!("marathon_sd: at most one of {keys} must be configured"));
            }
        }
        Ok(Self {
            http: keys.take_http()?,
            servers: keys.servers,
            refresh_interval: super::interval(keys.refresh_interval, 30)?,
            auth_token,
            auth_token_file,
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "marathon";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
        if let Some(file) = &mut self.auth_token_file {
            *file = dir.join(&*file);
        }
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let api = Api::new(&self.http, self.refresh_interval)?;
        let provider = Marathon { config: self.clone(), api, context: context.clone(), n_asked: 0 };
        Ok(refreshing(context, self.refresh_interval, provider))
    }
}

#[derive(Debug)]
struct Marathon {
    config: Config,
    api: Api,
    context: Context,
    n_asked: usize,
}

impl Provider for Marathon {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        // One server after the other, so that one that is down costs one look only.
        let server = &self.config.servers[self.n_asked % self.config.servers.len()];
        self.n_asked = self.n_asked.wrapping_add(1);
        let url = Url::parse(&format!("{server}/v2/apps/?embed=apps.tasks")).map_err(SdError::other)?;
        let mut request = Request::get(url.clone());
        if let Some(token) = self.token()? {
            let mut value = HeaderValue::try_from(format!("token={token}")).map_err(SdError::other)?;
            value.set_sensitive(true);
            request.headers.insert(AUTHORIZATION, value);
        }
        let response = self.api.send(request).await?;
        let list: AppList = json(&url, &response)?;
        Ok(list.apps.iter().map(group).collect())
    }
}

impl Marathon {
    fn token(&self) -> Result<Option<String>, SdError> {
        if let Some(path) = &self.config.auth_token_file {
            let bytes = self.context.dir.read(path).map_err(|err| {
                SdError::Other(format!("unable to read auth token file {}: {err}", path.display()))
            })?;
            return Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()));
        }
        let token = &self.config.auth_token;
        Ok((!token.is_empty()).then(|| token.expose().to_owned()))
    }
}

fn group(app: &App) -> TargetGroup {
    let mut labels = LabelsBuilder::new();
    labels.set("__meta_marathon_app", &app.id).set("__meta_marathon_image", &app.container.docker.image);
    set_all(&mut labels, "__meta_marathon_app_label_", &app.labels);
    TargetGroup { targets: targets(app), labels: labels.build(), source: app.id.clone() }
}

fn targets(app: &App) -> Vec<Labels> {
    let is_container_net = app.networks.first().is_some_and(|network| network.mode == "container");
    let mappings = [&app.container.port_mappings, &app.container.docker.port_mappings];
    let mappings = mappings.into_iter().find(|mappings| !mappings.is_empty());
    let of_mapping = |mapping: &PortMapping| {
        let port = if is_container_net { mapping.container_port } else { mapping.host_port };
        (port, mapping.labels.clone())
    };
    let of_definition = |definition: &PortDefinition| {
        (if app.require_ports { definition.port } else { 0 }, definition.labels.clone())
    };
    let (ports, prefix): (Vec<_>, _) = match mappings {
        Some(mappings) => (mappings.iter().map(of_mapping).collect(), "__meta_marathon_port_mapping_label_"),
        None => (
            app.port_definitions.iter().map(of_definition).collect(),
            "__meta_marathon_port_definition_label_",
        ),
    };
    let mut targets = Vec::new();
    for task in &app.tasks {
        let host = match task.ip_addresses.first() {
            Some(ip) if is_container_net => &ip.ip_address,
            _ => &task.host,
        };
        let own: Vec<_> = task.ports.iter().map(|port| (*port, BTreeMap::new())).collect();
        let ports = if ports.is_empty() { &own } else { &ports };
        for (i, (port, port_labels)) in ports.iter().enumerate() {
            // Port 0 was chosen when the task started.
            let port = if *port == 0 && task.ports.len() == ports.len() { task.ports[i] } else { *port };
            let mut labels = LabelsBuilder::new();
            labels
                .set("__address__", &join_host_port(host, port))
                .set("__meta_marathon_task", &task.id)
                .set("__meta_marathon_port_index", &i.to_string());
            set_all(&mut labels, prefix, port_labels);
            targets.push(labels.build());
        }
    }
    targets
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AppList {
    apps: Vec<App>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct App {
    id: String,
    tasks: Vec<TaskState>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    container: Container,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    port_definitions: Vec<PortDefinition>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    networks: Vec<Network>,
    require_ports: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TaskState {
    id: String,
    host: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    ports: Vec<u32>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    ip_addresses: Vec<IpAddress>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IpAddress {
    ip_address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    docker: Docker,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    port_mappings: Vec<PortMapping>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Docker {
    image: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    port_mappings: Vec<PortMapping>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PortMapping {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    labels: BTreeMap<String, String>,
    container_port: u32,
    host_port: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PortDefinition {
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    labels: BTreeMap<String, String>,
    port: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Network {
    mode: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};
    use crate::hub::tests::Bench;

    fn check(text: &str, expected: Result<(), &str>) {
        assert_eq!(fake::config::<Config>(text).map(drop), expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        check("{servers: ['http://h']}", Ok(()));
        check("{}", Err("p.yml: marathon_sd: must contain at least one Marathon server"));
        check(
            "{servers: [x], auth_token: a, auth_token_file: b}",
            Err("p.yml: marathon_sd: at most one of auth_token & auth_token_file must be configured"),
        );
        check(
            "{servers: [x], auth_token: a, basic_auth: {username: b}}",
            Err(
                "p.yml: marathon_sd: at most one of basic_auth, auth_token & auth_token_file must be configured",
            ),
        );
    }

    fn check_targets(app: &str, expected: &[&str]) {
        let app: App = serde_json::from_str(app).unwrap();
        assert_eq!(fake::labels(&[group(&app)]), expected);
    }

    #[test]
    fn ports_come_from_mappings_definitions_or_tasks() {
        check_targets(
            r#"{"id": "/a", "labels": {"x-y": "z"}, "container": {"docker": {"image": "i:1", "portMappings": [{"labels": {"m": "1"}, "hostPort": 0, "containerPort": 80}]}},
                "tasks": [{"id": "t1", "host": "h1", "ports": [31000]}]}"#,
            &[
                r#"{__address__="h1:31000", __meta_marathon_app="/a", __meta_marathon_app_label_x_y="z", __meta_marathon_image="i:1", __meta_marathon_port_index="0", __meta_marathon_port_mapping_label_m="1", __meta_marathon_task="t1"}"#,
            ],
        );
        check_targets(
            r#"{"id": "/b", "networks": [{"mode": "container"}], "container": {"portMappings": [{"containerPort": 80}]},
                "tasks": [{"id": "t", "host": "h", "ipAddresses": [{"ipAddress": "10.0.0.9"}]}]}"#,
            &[
                r#"{__address__="10.0.0.9:80", __meta_marathon_app="/b", __meta_marathon_port_index="0", __meta_marathon_task="t"}"#,
            ],
        );
        check_targets(
            r#"{"id": "/c", "requirePorts": true, "portDefinitions": [{"labels": {"d": "1"}, "port": 99}], "tasks": [{"id": "t", "host": "h", "ports": [7]}]}"#,
            &[
                r#"{__address__="h:99", __meta_marathon_app="/c", __meta_marathon_port_definition_label_d="1", __meta_marathon_port_index="0", __meta_marathon_task="t"}"#,
            ],
        );
        check_targets(
            r#"{"id": "/d", "tasks": [{"id": "t1", "host": "h", "ports": [1]}, {"id": "t2", "host": "h", "ports": [2]}]}"#,
            &[
                r#"{__address__="h:1", __meta_marathon_app="/d", __meta_marathon_port_index="0", __meta_marathon_task="t1"}"#,
                r#"{__address__="h:2", __meta_marathon_app="/d", __meta_marathon_port_index="0", __meta_marathon_task="t2"}"#,
            ],
        );
    }

    #[tokio::test]
    async fn the_token_is_sent_as_marathon_wants_it() {
        let fake = Fake::start(&[("/v2/apps/?embed=apps.tasks", r#"{"apps": []}"#)]).await;
        let server = fake.url.as_str().trim_end_matches('/');
        let config: Config = fake::config(&format!("{{servers: ['{server}'], auth_token: abc}}")).unwrap();
        let mut sub = Bench::new().subscribe(&config.into());
        sub.changed().await;
        assert_eq!(fake.asked()[0].headers["authorization"], "token=abc");
    }
}
