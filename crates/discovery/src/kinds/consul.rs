//! `consul_sd_configs`: services of a Consul catalogue and the health of their instances.
//!
//! Questions wait at the server until something changes (blocking queries), one for the catalogue and one for each
//! service; `refresh_interval` is the shortest time between two of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use model::{Duration, Labels, LabelsBuilder};
use net::{HttpClientConfig, Request, Secret};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

use super::Kind;
use crate::SdError;
use crate::driver::{Backoff, Context, Task};
use crate::group::{TargetGroup, join_host_port, set_all, surrounded};
use crate::http::{Api, Place, bad_answer, json, with_path};

/// How long a question may wait for a change. From Prometheus.
const WATCH_TIMEOUT: StdDuration = StdDuration::from_secs(120);
/// How much longer we wait for its answer. From Prometheus.
const ANSWER_TIMEOUT: StdDuration = StdDuration::from_secs(15);
/// Pause after a failure, at most. From Prometheus.
const RETRY_PAUSE: StdDuration = StdDuration::from_secs(15);
/// Changes that may wait to be taken. Chosen.
const EVENTS_MAX: usize = 64;

/// One element of `consul_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    server: Place,
    token: Secret,
    datacenter: String,
    namespace: String,
    partition: String,
    tag_separator: String,
    allow_stale: bool,
    refresh_interval: Duration,
    services: Vec<String>,
    tags: Vec<String>,
    node_meta: BTreeMap<String, String>,
    filter: String,
    health_filter: String,
    http: HttpClientConfig,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        #[serde(deserialize_with = "model::yaml::null_as_empty")]
        server: Option<String>,
        path_prefix: Option<String>,
        token: Option<Secret>,
        datacenter: Option<String>,
        namespace: Option<String>,
        partition: Option<String>,
        tag_separator: Option<String>,
        scheme: Option<String>,
        username: Option<String>,
        password: Option<Secret>,
        allow_stale: Option<bool>,
        refresh_interval: Option<Duration>,
        #[serde(deserialize_with = "model::yaml::null_as_default")]
        services: Vec<String>,
        #[serde(deserialize_with = "model::yaml::null_as_default")]
        tags: Vec<String>,
        #[serde(deserialize_with = "model::yaml::null_as_default")]
        node_meta: BTreeMap<String, String>,
        filter: Option<String>,
        health_filter: Option<String>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let server = keys.server.take().unwrap_or_else(|| "localhost:8500".to_owned());
        if server.trim().is_empty() {
            return Err("consul SD configuration requires a server address".to_owned());
        }
        let (username, password) =
            (keys.username.take().unwrap_or_default(), keys.password.take().unwrap_or_default());
        if !username.is_empty() || !password.is_empty() {
            if keys.basic_auth.is_some() {
                return Err("at most one of consul SD configuration username and password and basic auth can be configured".to_owned());
            }
            keys.basic_auth = Some(net::BasicAuth { username, password, ..net::BasicAuth::default() });
        }
        let token = keys.token.take().unwrap_or_default();
        if !token.is_empty() && (keys.authorization.is_some() || keys.oauth2.is_some()) {
            return Err(
                "at most one of consul SD token, authorization, or oauth2 can be configured".to_owned()
            );
        }
        let scheme = keys.scheme.take().unwrap_or_else(|| "http".to_owned());
        let path_prefix = keys.path_prefix.take().unwrap_or_default();
        Ok(Self {
            server: place(&server, &scheme, &path_prefix)?,
            token,
            refresh_interval: super::interval(keys.refresh_interval, 30)?,
            http: keys.take_http()?,
            datacenter: keys.datacenter.unwrap_or_default(),
            namespace: keys.namespace.unwrap_or_default(),
            partition: keys.partition.unwrap_or_default(),
            tag_separator: keys.tag_separator.unwrap_or_else(|| ",".to_owned()),
            allow_stale: keys.allow_stale.unwrap_or(true),
            services: keys.services,
            tags: keys.tags,
            node_meta: keys.node_meta,
            filter: keys.filter.unwrap_or_default(),
            health_filter: keys.health_filter.unwrap_or_default(),
        })
    }
}

/// The scheme may stand in the address too, and wins there.
fn place(server: &str, scheme: &str, path_prefix: &str) -> Result<Place, String> {
    let (scheme, address) = server.split_once("://").unwrap_or((scheme, server));
    let path_prefix = path_prefix.trim_matches('/');
    let place = match scheme {
        "unix" => Place::socket(address, path_prefix),
        "http" | "https" => Place::url(&format!("{scheme}://{address}/{path_prefix}")),
        _ => return Err(format!("consul SD scheme {scheme:?} is not spoken; use http, https or unix")),
    };
    place.map_err(|err| format!("consul SD server {server:?}: {err}"))
}

impl Config {
    fn wants(&self, name: &str, tags: &[String]) -> bool {
        (self.services.is_empty() || self.services.iter().any(|wanted| wanted == name))
            && self.tags.iter().all(|wanted| tags.contains(wanted))
    }

    /// A question; with an index, one that waits until something is newer.
    fn question(&self, path: &[&str], index: u64, filter: &str, tags: &[String]) -> Result<Url, SdError> {
        let mut url = with_path(&self.server.base, path.iter().copied())?;
        {
            let mut query = url.query_pairs_mut();
            for (name, value) in
                [("dc", &self.datacenter), ("ns", &self.namespace), ("partition", &self.partition)]
            {
                if !value.is_empty() {
                    query.append_pair(name, value);
                }
            }
            if self.allow_stale {
                query.append_pair("stale", "");
            }
            if index > 0 {
                query.append_pair("index", &index.to_string());
            }
            query.append_pair("wait", &format!("{}ms", WATCH_TIMEOUT.as_millis()));
            for (key, value) in &self.node_meta {
                query.append_pair("node-meta", &format!("{key}:{value}"));
            }
            if !filter.is_empty() {
                query.append_pair("filter", filter);
            }
            for tag in tags {
                query.append_pair("tag", tag);
            }
        }
        Ok(url)
    }
}

impl Kind for Config {
    const NAME: &'static str = "consul";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let timeout = Duration::from_ms(ANSWER_TIMEOUT.as_millis() as i64);
        let mut api = Api::at(&self.server, &self.http, timeout)?;
        if !self.token.is_empty() {
            api = api.with_header("x-consul-token", self.token.expose())?;
        }
        let consul = Consul { config: self.clone(), api, context };
        Ok(Box::pin(consul.run()))
    }
}

#[derive(Debug)]
struct Consul {
    config: Config,
    api: Api,
    context: Context,
}

/// What watchers tell.
#[derive(Debug)]
enum Event {
    /// Services there are now.
    Services(Vec<String>),
    /// Instances of one of them.
    Instances(TargetGroup),
}

/// What a watcher asks for.
#[derive(Debug)]
enum Watched {
    Catalog,
    Service(String),
}

impl Consul {
    async fn run(mut self) {
        let mut backoff = Backoff::new(RETRY_PAUSE);
        while self.config.datacenter.is_empty() {
            match self.datacenter().await {
                Ok(name) => self.config.datacenter = name,
                Err(err) => {
                    self.failed(&err);
                    tokio::time::sleep(backoff.pause(false)).await;
                }
            }
        }
        let consul = Arc::new(self);
        let (sender, mut events) = mpsc::channel(EVENTS_MAX);
        // Ends with this task: a set that is dropped ends its tasks.
        let mut tasks = JoinSet::new();
        let mut watched: BTreeMap<String, AbortHandle> = BTreeMap::new();
        let mut groups: BTreeMap<String, TargetGroup> = BTreeMap::new();
        let config = &consul.config;
        let is_fixed = !config.services.is_empty() && config.tags.is_empty() && config.filter.is_empty();
        let mut first = None;
        if is_fixed {
            first = Some(Event::Services(config.services.clone()));
        } else {
            tasks.spawn(Arc::clone(&consul).watch(Watched::Catalog, sender.clone()));
        }
        loop {
            let Some(mut event) = (match first.take() {
                Some(event) => Some(event),
                None => events.recv().await,
            }) else {
                return;
            };
            // What came meanwhile goes on together.
            loop {
                match event {
                    Event::Instances(group) => {
                        if watched.contains_key(&group.source) {
                            groups.insert(group.source.clone(), group);
                        }
                    }
                    Event::Services(names) => {
                        watched.retain(|name, task| {
                            let stays = names.contains(name);
                            if !stays {
                                task.abort();
                                groups.remove(name);
                            }
                            stays
                        });
                        for name in names {
                            watched.entry(name.clone()).or_insert_with(|| {
                                tasks.spawn(Arc::clone(&consul).watch(Watched::Service(name), sender.clone()))
                            });
                        }
                    }
                }
                match events.try_recv() {
                    Ok(next) => event = next,
                    Err(_) => break,
                }
            }
            while tasks.try_join_next().is_some() {}
            // Nothing is known until the instances of a service are.
            if watched.is_empty() || !groups.is_empty() {
                consul.context.publish(groups.values().cloned().collect());
            }
        }
    }

    fn failed(&self, error: &SdError) {
        self.context.metrics.kinds.consul_failures.inc();
        self.context.failed(error);
    }

    /// The name of the server's own datacenter.
    async fn datacenter(&self) -> Result<String, SdError> {
        let url = with_path(&self.config.server.base, ["v1", "agent", "self"])?;
        let told: AgentSelf = self.api.get_json(&url).await?;
        let name = told.config.datacenter;
        if name.is_empty() { Err(bad_answer(&url, "there is no Config.Datacenter")) } else { Ok(name) }
    }

    /// Asks, and waits for an answer with another index than `index`; `None` when nothing changed.
    async fn ask<T: DeserializeOwned>(
        &self,
        url: &Url,
        call: [&str; 2],
        index: &mut u64,
    ) -> Result<Option<T>, SdError> {
        let started = self.context.clock.monotonic();
        let answer = self.api.send_within(Request::get(url.clone()), WATCH_TIMEOUT + ANSWER_TIMEOUT).await;
        let taken = self.context.clock.monotonic().saturating_sub(started);
        self.context.metrics.kinds.consul_duration.with(&call).observe(taken.as_secs_f64());
        let response = answer?;
        let body = json(url, &response)?;
        let newer =
            response.headers.get("x-consul-index").and_then(|value| value.to_str().ok()?.parse().ok());
        let newer: u64 = newer.ok_or_else(|| bad_answer(url, "there is no X-Consul-Index"))?;
        if newer == *index && newer != 0 {
            return Ok(None);
        }
        // An index that goes back belongs to a server that was set up anew: begin again, as Consul advises.
        *index = if newer < *index { 0 } else { newer };
        Ok(Some(body))
    }

    /// Asks again and again, `refresh_interval` from start to start, until nobody listens any more.
    async fn watch(self: Arc<Self>, watched: Watched, sender: mpsc::Sender<Event>) {
        let mut backoff = Backoff::new(RETRY_PAUSE);
        let mut index = 0;
        loop {
            let started = self.context.clock.monotonic();
            match self.look(&watched, &mut index).await {
                Ok(event) => {
                    if let Some(event) = event
                        && sender.send(event).await.is_err()
                    {
                        return;
                    }
                    let taken = self.context.clock.monotonic().saturating_sub(started);
                    tokio::time::sleep(self.config.refresh_interval.as_std().saturating_sub(taken)).await;
                    backoff = Backoff::new(RETRY_PAUSE);
                }
                Err(err) => {
                    self.failed(&err);
                    tokio::time::sleep(backoff.pause(false)).await;
                }
            }
        }
    }

    /// One question that waits for something newer than `index`.
    async fn look(&self, watched: &Watched, index: &mut u64) -> Result<Option<Event>, SdError> {
        let config = &self.config;
        match watched {
            Watched::Catalog => {
                let url = config.question(&["v1", "catalog", "services"], *index, &config.filter, &[])?;
                let services: Option<BTreeMap<String, Vec<String>>> =
                    self.ask(&url, ["catalog", "services"], index).await?;
                Ok(services.map(|services| {
                    let wanted = services.into_iter().filter(|(name, tags)| config.wants(name, tags));
                    Event::Services(wanted.map(|(name, _)| name).collect())
                }))
            }
            Watched::Service(name) => {
                let path = ["v1", "health", "service", name.as_str()];
                let url = config.question(&path, *index, &config.health_filter, &config.tags)?;
                let entries: Option<Vec<Entry>> = self.ask(&url, ["health", "service"], index).await?;
                Ok(entries.map(|entries| {
                    let targets = entries.iter().map(|entry| target(&config.tag_separator, entry)).collect();
                    let labels = [("__meta_consul_service", name), ("__meta_consul_dc", &config.datacenter)];
                    let labels = Labels::from_pairs(labels);
                    Event::Instances(TargetGroup { targets, labels, source: name.clone() })
                }))
            }
        }
    }
}

fn target(tag_separator: &str, entry: &Entry) -> Labels {
    let (node, service) = (&entry.node, &entry.service);
    let host = if service.address.is_empty() { &node.address } else { &service.address };
    let mut labels = LabelsBuilder::new();
    labels
        .set("__address__", &join_host_port(host, service.port))
        .set("__meta_consul_address", &node.address)
        .set("__meta_consul_node", &node.node)
        .set("__meta_consul_namespace", &service.namespace)
        .set("__meta_consul_partition", &service.partition)
        .set("__meta_consul_tags", &surrounded(&service.tags, tag_separator))
        .set("__meta_consul_service_address", &service.address)
        .set("__meta_consul_service_port", &service.port.to_string())
        .set("__meta_consul_service_id", &service.id)
        .set("__meta_consul_health", health(&entry.checks));
    set_all(&mut labels, "__meta_consul_metadata_", &node.meta);
    set_all(&mut labels, "__meta_consul_service_metadata_", &service.meta);
    set_all(&mut labels, "__meta_consul_tagged_address_", &node.tagged_addresses);
    labels.build()
}

/// The worst of all checks, as Consul's own client sums them up.
fn health(checks: &[Check]) -> &'static str {
    let mut worst = "passing";
    for check in checks {
        if check.check_id == "_node_maintenance" || check.check_id.starts_with("_service_maintenance:") {
            worst = "maintenance";
            continue;
        }
        worst = match (check.status.as_str(), worst) {
            ("passing" | "warning" | "critical", "maintenance") => "maintenance",
            ("critical", _) | ("passing" | "warning", "critical") => "critical",
            ("warning", _) | ("passing", "warning") => "warning",
            ("passing", _) => "passing",
            _ => return "",
        };
    }
    worst
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentSelf {
    config: AgentConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AgentConfig {
    datacenter: String,
}

/// One instance of a service on its node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Node,
    service: Service,
    #[serde(default, deserialize_with = "model::yaml::null_as_default")]
    checks: Vec<Check>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Node {
    node: String,
    address: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    tagged_addresses: BTreeMap<String, String>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    meta: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    address: String,
    port: i64,
    namespace: String,
    partition: String,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    tags: Vec<String>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    meta: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Check {
    #[serde(rename = "CheckID")]
    check_id: String,
    status: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};
    use crate::hub::tests::{Bench, metric};

    fn check(text: &str, expected: Result<(), &str>) {
        assert_eq!(fake::config::<Config>(text).map(drop), expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn configurations_are_checked_as_prometheus_does() {
        check("{}", Ok(()));
        check("{server: ' '}", Err("p.yml: consul SD configuration requires a server address"));
        check(
            "{username: a, basic_auth: {username: b}}",
            Err(
                "p.yml: at most one of consul SD configuration username and password and basic auth can be configured",
            ),
        );
        check(
            "{token: a, authorization: {credentials: b}}",
            Err("p.yml: at most one of consul SD token, authorization, or oauth2 can be configured"),
        );
        let config: Config =
            fake::config("{path_prefix: /x, server: 'https://c:1', token: hunter2}").unwrap();
        assert_eq!(config.server.base.as_str(), "https://c:1/x");
        let config: Config = fake::config("{path_prefix: /x/, server: 'unix:///run/c.sock'}").unwrap();
        assert_eq!(config.server, Place::socket("/run/c.sock", "x").unwrap());
        check(
            "{server: 'ftp://c'}",
            Err("p.yml: consul SD scheme \"ftp\" is not spoken; use http, https or unix"),
        );
        assert!(config.allow_stale && !format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn the_worst_check_counts() {
        for (checks, expected) in [
            (&[][..], "passing"),
            (&[("a", "passing"), ("b", "warning")][..], "warning"),
            (&[("a", "critical"), ("b", "warning")][..], "critical"),
            (&[("_node_maintenance", "critical"), ("b", "passing")][..], "maintenance"),
            (&[("_service_maintenance:x", "critical"), ("b", "critical")][..], "maintenance"),
            (&[("a", "odd")][..], ""),
        ] {
            let checks: Vec<_> = checks
                .iter()
                .map(|(id, status)| Check { check_id: (*id).to_owned(), status: (*status).to_owned() })
                .collect();
            assert_eq!(health(&checks), expected);
        }
    }

    const WEB: &str = r#"[{
        "Node": {"Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1", "Meta": {"rack-no": "7"},
                 "TaggedAddresses": {"lan": "10.0.0.1", "wan": "1.2.3.4"}},
        "Service": {"ID": "web-1", "Service": "web", "Tags": ["v1", "prod"], "Address": "", "Port": 80, "Meta": {"team": "a"}},
        "Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "web", "Status": "warning"}]
    }]"#;

    #[tokio::test]
    async fn the_catalogue_and_its_services_are_followed() {
        let fake = Fake::start(&[("/v1/agent/self", r#"{"Config": {"Datacenter": "dc1"}}"#)]).await;
        let index = |n: &'static str| [("x-consul-index", n)];
        let tail = "&node-meta=rack%3A7&filter=x+%3D%3D+y";
        let catalog = |index: &str| format!("/v1/catalog/services?dc=dc1&stale={index}&wait=120000ms{tail}");
        let service = |index: &str| {
            format!("/v1/health/service/web?dc=dc1&stale={index}&wait=120000ms&node-meta=rack%3A7&tag=prod")
        };
        fake.answer(&catalog(""), 200, &index("5"), r#"{"consul": [], "web": ["v1", "prod"], "db": ["v1"]}"#);
        fake.answer(&catalog("=&index=5"), 200, &index("5"), "{}");
        fake.answer(&catalog("&index=5"), 200, &index("5"), r#"{"web": ["prod"]}"#);
        fake.answer(&service(""), 200, &index("9"), WEB);
        let bench = Bench::new();
        let text = format!(
            "{{server: '{}', tags: [prod], node_meta: {{rack: '7'}}, filter: x == y, refresh_interval: 10ms}}",
            fake.url.as_str().trim_end_matches('/')
        );
        let config: Config = fake::config(&text).unwrap();
        let mut sub = bench.subscribe(&config.into());
        sub.changed().await;
        let expected = r#"{__address__="10.0.0.1:80", __meta_consul_address="10.0.0.1", __meta_consul_dc="dc1", __meta_consul_health="warning", __meta_consul_metadata_rack_no="7", __meta_consul_node="n1", __meta_consul_service="web", __meta_consul_service_id="web-1", __meta_consul_service_metadata_team="a", __meta_consul_service_port="80", __meta_consul_tagged_address_lan="10.0.0.1", __meta_consul_tagged_address_wan="1.2.3.4", __meta_consul_tags=",v1,prod,"}"#;
        assert_eq!(fake::labels(&sub.take().unwrap()), [expected]);
        // The service's next question has no recorded answer: its targets stay, and the failure is counted.
        bench.until(|| metric(&bench.registry, "prometheus_sd_consul_rpc_failures_total") >= 1.0).await;
        assert!(sub.take().is_none());
        fake.answer(&catalog("&index=5"), 200, &index("6"), "{}");
        sub.changed().await;
        assert!(sub.take().unwrap().is_empty(), "a service that is gone takes its targets with it");
    }

    #[tokio::test]
    async fn an_agent_is_asked_over_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("consul.sock");
        let fake = Fake::start(&[("/x/v1/agent/self", r#"{"Config": {"Datacenter": "dc1"}}"#)]).await;
        fake.listen_at(&path);
        let index = [("x-consul-index", "9")];
        fake.answer("/x/v1/health/service/web?dc=dc1&stale=&wait=120000ms", 200, &index, WEB);
        let text = format!(
            "{{server: 'unix://{}', path_prefix: x, token: hunter2, services: [web], refresh_interval: 1h}}",
            path.display()
        );
        let bench = Bench::new();
        let mut sub = bench.subscribe(&fake::config::<Config>(&text).unwrap().into());
        sub.changed().await;
        assert_eq!(fake::labels(&sub.take().unwrap()).len(), 1);
        assert!(fake.asked().iter().all(|asked| asked.headers["x-consul-token"] == "hunter2"));
    }
}
