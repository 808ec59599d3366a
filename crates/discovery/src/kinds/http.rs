//! `http_sd_configs`: a web service that answers with groups of targets as JSON.

use std::path::Path;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use model::Duration;
use net::{HttpClientConfig, Request};
use serde::Deserialize;
use url::Url;

use super::Kind;
use crate::SdError;
use crate::driver::{Context, Provider, Task, refreshing};
use crate::group::TargetGroup;
use crate::http::{Api, bad_answer, checked_url};

/// One element of `http_sd_configs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    /// As written: it stands in a label.
    url: String,
    parsed: Url,
    refresh_interval: Duration,
    http: HttpClientConfig,
}

net::with_http_keys! {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Keys {
        url: String,
        refresh_interval: Option<Duration>,
    }
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        Ok(Self {
            parsed: checked_url(&keys.url)?,
            refresh_interval: super::interval(keys.refresh_interval, 60)?,
            http: keys.take_http()?,
            url: keys.url,
        })
    }
}

impl Kind for Config {
    const NAME: &'static str = "http";

    fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let api = Api::new(&self.http, self.refresh_interval)?;
        let provider = Http { config: self.clone(), api };
        Ok(refreshing(context, self.refresh_interval, provider))
    }
}

#[derive(Debug)]
struct Http {
    config: Config,
    api: Api,
}

impl Provider for Http {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SdError> {
        let url = &self.config.parsed;
        let mut request = Request::get(url.clone());
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let seconds = self.config.refresh_interval.as_secs_f64().to_string();
        let seconds = HeaderValue::try_from(seconds).map_err(SdError::other)?;
        request.headers.insert("x-prometheus-refresh-interval-seconds", seconds);
        let response = self.api.send(request).await?;
        crate::http::require_success(url, &response)?;
        let content_type = response.header(&CONTENT_TYPE);
        if !is_json(content_type) {
            return Err(bad_answer(url, format!("unsupported content type {content_type:?}")));
        }
        let groups: Vec<TargetGroup> = crate::http::json(url, &response)?;
        let complete = |(i, group): (usize, TargetGroup)| {
            let mut labels = group.labels.to_builder();
            labels.set("__meta_url", &self.config.url);
            TargetGroup { labels: labels.build(), source: format!("{}:{i}", self.config.url), ..group }
        };
        Ok(groups.into_iter().enumerate().map(complete).collect())
    }
}

/// `application/json`, with or without `charset=utf-8`.
pub(crate) fn is_json(content_type: &str) -> bool {
    let lower = content_type.trim().to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("application/json") else { return false };
    let charset = rest.strip_prefix(';').map(str::trim_start);
    rest.is_empty() || matches!(charset, Some("charset=utf-8" | "charset=\"utf-8\""))
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
        check("{url: 'http://h/x', refresh_interval: 5s, bearer_token: x}", Ok(()));
        check("{}", Err("p.yml: URL is missing"));
        check("{url: 'x'}", Err("p.yml: URL scheme must be 'http' or 'https'"));
        check("{url: 'http://h', urll: x}", Err("p.yml:1:19: field urll not found, did you mean url?"));
        check(
            "{url: 'http://h', refresh_interval: 0s}",
            Err("p.yml: refresh_interval must be greater than 0"),
        );
        let config: Config = fake::config("{url: 'http://h'}").unwrap();
        assert_eq!(config.refresh_interval, Duration::from_secs(60));
    }

    #[test]
    fn only_json_is_taken() {
        for (content_type, expected) in [
            ("application/json", true),
            ("application/JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=latin1", false),
            ("text/plain", false),
        ] {
            assert_eq!(is_json(content_type), expected, "{content_type}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_down_leaves_the_targets_and_comes_back() {
        let fake = Fake::start(&[]).await;
        let bench = Bench::new();
        let text = format!("{{url: '{}sd', refresh_interval: 10ms}}", fake.url);
        let config: Config = fake::config(&text).unwrap();
        let mut sub = bench.subscribe(&config.into());
        let failures = "prometheus_sd_refresh_failures_total{mechanism=\"http\",config=\"job\"}";
        bench.until(|| metric(&bench.registry, failures) >= 1.0).await;
        assert!(sub.take().is_none(), "nothing is known while the server is down");
        fake.answer("/sd", 200, &[], r#"[{"targets": ["a:1"], "labels": {"x": "y"}}, {"targets": ["b:1"]}]"#);
        sub.changed().await;
        let url = format!("{}sd", fake.url);
        let both = [
            format!(r#"{{__address__="a:1", __meta_url="{url}", x="y"}}"#),
            format!(r#"{{__address__="b:1", __meta_url="{url}"}}"#),
        ];
        assert_eq!(fake::labels(&sub.take().unwrap()), both);
        fake.answer("/sd", 500, &[], "");
        let before = metric(&bench.registry, failures);
        bench.until(|| metric(&bench.registry, failures) > before + 1.0).await;
        assert!(sub.take().is_none(), "an outage changes nothing");
        fake.answer("/sd", 200, &[], r#"[{"targets": ["c:1"]}]"#);
        sub.changed().await;
        assert_eq!(sub.take().unwrap()[0].addresses().collect::<Vec<_>>(), ["c:1"]);
        fake.answer("/sd", 200, &[("content-type", "text/html")], "[]");
        let before = metric(&bench.registry, "prometheus_sd_http_failures_total");
        bench.until(|| metric(&bench.registry, "prometheus_sd_http_failures_total") > before).await;
        let asked = fake.asked().pop().unwrap();
        assert_eq!(asked.headers["x-prometheus-refresh-interval-seconds"], "0.01");
        assert_eq!(asked.headers["accept"], "application/json");
    }
}
