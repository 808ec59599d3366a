//! `kuma_sd_configs`: data planes of a Kuma mesh, told by the control plane's monitoring assignments (xDS v3 as JSON).
//!
//! A question waits at the server for `fetch_timeout` until something has changed.

use std::collections::BTreeMap;
use std::path::Path;

use http::header::{ACCEPT, HeaderValue};
use model::{Duration, Labels, LabelsBuilder};
use net::{HttpClientConfig, Request};
use serde::Deserialize;
use url::Url;

use super::Kind;
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::{TargetGroup, set_all};
use crate::http::{Api, bad_answer, json, with_path};

const TYPE_URL: &str = "type.googleapis.com/kuma.observability.v1.MonitoringAssignment";
/// How much longer than `fetch_timeout` an answer may take. From Prometheus.
const ANSWER_TIMEOUT_MS: i64 = 15_000;

/// One element of `kuma_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    server: Url,
    client_id: String,
    refresh_interval: Duration,
    fetch_timeout: Duration,
    http: HttpClientConfig,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        server: Option<String>,
        client_id: Option<String>,
        refresh_interval: Option<Duration>,
        fetch_timeout: Option<Duration>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let server = keys.server.take().unwrap_or_default();
        if server.is_empty() {
            return Err("kuma SD server must not be empty: ".to_owned());
        }
        let parsed = crate::http::checked_url(&server)
            .map_err(|_| format!("kuma SD server must not be empty and have a scheme: {server}"))?;
        Ok(Self {
            server: parsed,
            http: keys.take_http()?,
            refresh_interval: super::interval(keys.refresh_interval, 15)?,
            fetch_timeout: keys.fetch_timeout.unwrap_or(Duration::from_secs(120)),
            client_id: keys.client_id.unwrap_or_default(),
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "kuma";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let timeout = Duration::from_ms(self.fetch_timeout.as_ms() + ANSWER_TIMEOUT_MS);
        let mut url = with_path(&self.server, ["v3", "discovery:monitoringassignments"])?;
        url.query_pairs_mut().append_pair("fetch-timeout", &self.fetch_timeout.to_string());
        let client_id = match self.client_id.as_str() {
            // By this name Kuma tells its clients apart.
            "" => context
                .dir
                .read(Path::new("/etc/hostname"))
                .ok()
                .and_then(|name| String::from_utf8(name).ok()),
            given => Some(given.to_owned()),
        };
        let provider = Kuma {
            url,
            client_id: client_id.map_or_else(|| "prometheus".to_owned(), |name| name.trim().to_owned()),
            api: Api::new(&self.http, timeout)?,
            context: context.clone(),
            version: String::new(),
            nonce: String::new(),
            known: Vec::new(),
        };
        Ok(refreshing(context, self.refresh_interval, provider))
    }
}

#[derive(Debug)]
struct Kuma {
    url: Url,
    client_id: String,
    api: Api,
    context: Context,
    /// Of the last answer.
    version: String,
    nonce: String,
    known: Vec<Labels>,
}

impl Provider for Kuma {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        match self.ask().await {
            Ok(Some(targets)) => self.known = targets,
            Ok(None) => self.context.metrics.kinds.kuma_skipped.inc(),
            Err(err) => {
                self.context.metrics.kinds.kuma_failures.inc();
                return Err(err);
            }
        }
        Ok(vec![TargetGroup::new("kuma", self.known.clone())])
    }
}

impl Kuma {
    /// `None` when nothing has changed.
    async fn ask(&mut self) -> Result<Option<Vec<Labels>>, SdError> {
        let body = serde_json::json!({
            "version_info": self.version,
            "response_nonce": self.nonce,
            "type_url": TYPE_URL,
            "node": {"id": self.client_id},
        });
        let mut request = Request::post(self.url.clone(), "application/json", body.to_string());
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let response = self.api.send(request).await?;
        if response.status.as_u16() == 304 {
            return Ok(None);
        }
        let answer: Answer = json(&self.url, &response)?;
        if answer.type_url != TYPE_URL {
            let reason = format!("received invalid typeURL for Kuma MADS v1 Resource: {}", answer.type_url);
            return Err(bad_answer(&self.url, reason));
        }
        (self.version, self.nonce) = (answer.version_info, answer.nonce);
        Ok(Some(answer.resources.iter().flat_map(targets).collect()))
    }
}

fn targets(assignment: &Assignment) -> impl Iterator<Item = Labels> {
    assignment.targets.iter().map(|target| {
        let mut labels = LabelsBuilder::new();
        set_all(&mut labels, "__meta_kuma_label_", &target.labels);
        set_all(&mut labels, "__meta_kuma_label_", &assignment.labels);
        labels
            .set("__meta_kuma_mesh", &assignment.mesh)
            .set("__meta_kuma_service", &assignment.service)
            .set("__meta_kuma_dataplane", &target.name)
            .set("__address__", &target.address)
            .set("instance", &target.name)
            .set("__scheme__", &target.scheme)
            .set("__metrics_path__", &target.metrics_path);
        labels.build()
    })
}

/// The JSON form of protobuf: either form of a name is right.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    #[serde(alias = "versionInfo")]
    version_info: String,
    #[serde(alias = "typeUrl")]
    type_url: String,
    nonce: String,
    resources: Vec<Assignment>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Assignment {
    mesh: String,
    service: String,
    targets: Vec<Target>,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Target {
    name: String,
    scheme: String,
    address: String,
    #[serde(alias = "metricsPath")]
    metrics_path: String,
    labels: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};
    use crate::hub::tests::{Bench, metric};

    #[tokio::test]
    async fn assignments_become_targets_and_nothing_new_changes_nothing() {
        let path = "/v3/discovery:monitoringassignments?fetch-timeout=2m";
        let fake = Fake::start(&[(
            path,
            r#"{"versionInfo": "v1", "nonce": "n1", "typeUrl": "type.googleapis.com/kuma.observability.v1.MonitoringAssignment",
               "resources": [{"@type": "x", "mesh": "m", "service": "s", "labels": {"kuma.io/zone": "z", "a": "of all"},
                 "targets": [{"name": "dp1", "scheme": "http", "address": "10.0.0.1:5670", "metricsPath": "/x", "labels": {"a": "own"}}]}]}"#,
        )])
        .await;
        let bench = Bench::new();
        let config: Config =
            fake::config(&format!("{{server: '{}', client_id: me, refresh_interval: 10ms}}", fake.url))
                .unwrap();
        let mut sub = bench.subscribe(&config.into());
        sub.changed().await;
        let expected = r#"{__address__="10.0.0.1:5670", __meta_kuma_dataplane="dp1", __meta_kuma_label_a="of all", __meta_kuma_label_kuma_io_zone="z", __meta_kuma_mesh="m", __meta_kuma_service="s", __metrics_path__="/x", __scheme__="http", instance="dp1"}"#;
        assert_eq!(fake::labels(&sub.take().unwrap()), [expected]);
        fake.answer(path, 304, &[], "");
        bench.until(|| metric(&bench.registry, "prometheus_sd_kuma_fetch_skipped_updates_total") > 0.0).await;
        assert!(sub.take().is_none());
        let body: serde_json::Value = serde_json::from_slice(&fake.asked().pop().unwrap().body).unwrap();
        assert_eq!(
            (&body["version_info"], &body["response_nonce"], &body["node"]["id"]),
            (&"v1".into(), &"n1".into(), &"me".into())
        );
        assert_eq!(
            fake::config::<Config>("{server: 'x'}").unwrap_err(),
            "p.yml: kuma SD server must not be empty and have a scheme: x"
        );
    }
}
