//! The API over the reference store: exact JSON, as Prometheus writes it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{BuildInfo, ConfigStatus, Options, Services, Shell};
use arc_swap::ArcSwap;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use model::Labels;
use stdx::TestClock;
use stdx::metrics::Registry;
use storage::{Appendable as _, MemStore};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

#[path = "v1/admin.rs"]
mod admin;
#[path = "v1/exemplars.rs"]
mod exemplars;
#[path = "v1/influx.rs"]
mod influx;
#[path = "v1/notices.rs"]
mod notices;
#[path = "v1/otlp.rs"]
mod otlp;
#[path = "v1/relabel_steps.rs"]
mod relabel_steps;
#[path = "v1/write.rs"]
mod write;

/// 1435781430.781, as in Prometheus' documentation.
const NOW_MS: i64 = 1_435_781_430_781;

const RULES: &str = r#"
groups:
- name: g
  interval: 10s
  rules:
  - alert: Down
    expr: up == 0
    for: 1h
    labels: {severity: "<p>"}
    annotations: {summary: "{{ $labels.job }} & co"}
  - record: job:up
    expr: up > bool 0
"#;

struct Server {
    router: axum::Router,
    shell: Arc<Shell>,
    store: Arc<MemStore>,
    clock: Arc<TestClock>,
    registry: Registry,
    guard: promql::Guard,
    /// What is scraped: one job as the configuration has it, or nothing.
    job: &'static str,
}

impl Server {
    /// A server that is still starting.
    fn starting() -> Self {
        Self::starting_under("/")
    }

    /// The same below a path.
    fn starting_under(route_prefix: &str) -> Self {
        let clock = Arc::new(TestClock::new());
        clock.jump_wall_ms(NOW_MS);
        let options = Options {
            role: api::Role::Server,
            flags: BTreeMap::from([("config.file".to_owned(), "a.yml".to_owned())]),
            features: BTreeMap::from([(
                "promql_operators",
                BTreeMap::from([(">/", true), ("limitk", false)]),
            )]),
            build: BuildInfo { version: "0.1.0", ..BuildInfo::default() },
            page_title: "Hinomi".to_owned(),
            route_prefix: route_prefix.to_owned(),
            external_url: "http://example.org:9090/".parse().unwrap(),
            listen_port: 9090,
            allow_reload: false,
            allow_quit: false,
            cors_origin: None,
            working_dir: "/".to_owned(),
            hostname: "h".to_owned(),
            started_at_ms: NOW_MS,
            notice_subscribers_max: 1,
            search_limit_max: Some(50),
            own_pages: api::OwnPages::default(),
        };
        let registry = Registry::new();
        let config = Arc::new(ArcSwap::from_pointee(ConfigStatus::default()));
        let (commands, _) = mpsc::channel(1);
        let page = Arc::new({
            let registry = registry.clone();
            move || registry.render()
        });
        let shell = Shell::new(options, clock.clone(), &registry, page, config, commands);
        let store = Arc::new(MemStore::new());
        let guard = promql::Guard::default();
        Self { router: api::router(shell.clone()), shell, store, clock, registry, guard, job: "" }
    }

    fn start() -> Self {
        Self::start_with("")
    }

    fn start_with(job: &'static str) -> Self {
        let server = Self { job, ..Self::starting() };
        let mut batch = server.store.appender(NOW_MS);
        for (job, value) in [("prometheus", 1.0), ("a<b>&\"", 0.0)] {
            let labels = Labels::from_pairs([("__name__", "up"), ("job", job)]);
            batch.append(None, &labels, NOW_MS - 15_781, value).unwrap();
        }
        batch.commit().unwrap();
        server.shell.set_ready(server.services());
        server
    }

    /// The parts as the binary builds them, over stores in memory; rules are evaluated once.
    /// The job of the test, not running.
    fn scraping(&self) -> scrape::Manager {
        let clock: Arc<dyn stdx::Clock> = self.clock.clone();
        let scraping = scrape::Manager::new(scrape::ManagerOptions {
            clock: clock.clone(),
            store: self.store.clone(),
            discovery: Arc::new(discovery::Hub::new(discovery::HubOptions {
                clock: clock.clone(),
                dir: Arc::new(stdx::MemDir::new()),
                registry: self.registry.clone(),
            })),
            dir: Arc::new(stdx::MemDir::new()),
            registry: self.registry.clone(),
            features: scrape::FeatureOptions::default(),
            starts: scrape::StartOptions::default(),
            host_name: "h".to_owned(),
        });
        if !self.job.is_empty() {
            let global = scrape::GlobalConfig::default();
            let file: scrape::ScrapeConfigFile = model::yaml::parse("a.yml", self.job).unwrap();
            let job = file.resolve(&global, std::path::Path::new("")).unwrap();
            scraping.apply_config(&[job], &global).unwrap();
        }
        scraping
    }

    fn services(&self) -> Services {
        let clock: Arc<dyn stdx::Clock> = self.clock.clone();
        let scraping = self.scraping();
        let alertmanager = alertmanager::spawn(alertmanager::Options {
            config: alertmanager::Config::builtin(),
            dir: Arc::new(stdx::MemDir::new()),
            files: Arc::new(stdx::MemDir::new()),
            clock: clock.clone(),
            registry: self.registry.clone(),
            external_url: "http://example.org:9090".to_owned(),
            retention: model::Duration::from_secs(3_600),
            start_delay: model::Duration::ZERO,
            limits: alertmanager::Limits::default(),
            logs_silences: false,
            metric_detail: alertmanager::MetricDetail::default(),
            instance: "h".to_owned(),
            cluster: None,
            samples: None,
            build: alertmanager::BuildInfo::default(),
        });
        let sinks: Vec<Arc<dyn rules::AlertSink>> = Vec::new();
        let env = rules::Env {
            queryable: self.store.clone(),
            appendable: self.store.clone(),
            sink: Arc::new(sinks),
            clock: clock.clone(),
        };
        let rules = Arc::new(rules::Manager::new(env, &self.registry));
        let options = rules::Options { interval_ms: 60_000, ..rules::Options::default() };
        rules.reload(rules::parse_file("a.yml", RULES).unwrap(), options, NOW_MS - 120_000);
        rules.poll(NOW_MS);
        Services {
            clock,
            queryable: self.store.clone(),
            engine: Arc::new(ArcSwap::from_pointee(promql::Engine::default().with_guard(self.guard.clone()))),
            query_gate: net::Gate::new("query", 4, 4, &self.registry),
            head_stats: Arc::new(|_| tsdb::Stats { n_series: 2, ..tsdb::Stats::default() }),
            block_metas: Arc::new(|| vec![r#"{"ulid":"A","version":1}"#.to_owned()]),
            targets: scraping.view(),
            pushed_metadata: Arc::new(|| {
                let metadata = model::Metadata { help: "Pushed.".to_owned(), ..model::Metadata::default() };
                BTreeMap::from([("pushed".to_owned(), metadata)])
            }),
            backfills: Arc::new(rules::Backfills::new(rules.clone(), None)),
            rules,
            alertmanager_urls: Arc::new(|| vec!["http://a:1/api/v2/alerts".to_owned()]),
            alertmanager: alertmanager.unwrap(),
            receiver: None,
            otlp: None,
            influx: None,
            push: None,
            admin: None,
            importer: None,
            read_limits: Arc::new(api::ReadLimits {
                samples_max: 1_000,
                frame_bytes_max: 1 << 20,
                gate: None,
            }),
            exemplars: Arc::new(|_, _| Vec::new()),
        }
    }

    async fn send(&self, request: Request<Body>) -> (u16, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn check(&self, path: &str, status: u16, expected: &str) {
        assert_eq!(self.get(path).await, (status, expected.to_owned()), "{path}");
    }

    async fn check_error(&self, path: &str, status: u16, kind: &str, message: &str) {
        let expected = format!(r#"{{"status":"error","errorType":"{kind}","error":"{message}"}}"#);
        self.check(path, status, &expected).await;
    }
}

#[tokio::test]
async fn the_page_is_at_the_route_prefix_and_below() {
    let server = Server::starting_under("/a/b");
    for (path, status) in
        [("/a/b/", 200), ("/a/b/targets", 200), ("/a/b", 308), ("/", 302), ("/targets", 404)]
    {
        assert_eq!(server.get(path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn queries_answer_as_prometheus_does() {
    let server = Server::start();
    let check = async |path: &str, data: &str| {
        server
            .check(&format!("/api/v1/{path}"), 200, &format!(r#"{{"status":"success","data":{data}}}"#))
            .await;
    };
    check("query?query=1", r#"{"resultType":"scalar","result":[1435781430.781,"1"]}"#).await;
    check(
        "query?query=1e21&time=1435781430.78",
        r#"{"resultType":"scalar","result":[1435781430.78,"1000000000000000000000"]}"#,
    )
    .await;
    check("query?query=%22a%3Cb%22", r#"{"resultType":"string","result":[1435781430.781,"a\u003cb"]}"#).await;
    check("query?query=nope", r#"{"resultType":"vector","result":[]}"#).await;
    check(
        "query?query=up",
        r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a<b>&\""},"value":[1435781430.781,"0"]},{"metric":{"__name__":"up","job":"prometheus"},"value":[1435781430.781,"1"]}]}"#,
    )
    .await;
    check(
        "query?query=up%7Bjob=%22prometheus%22%7D[1m]",
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"prometheus"},"values":[[1435781415,"1"]]}]}"#,
    )
    .await;
    check(
        "query_range?query=up%7Bjob=%22prometheus%22%7D/1e7&start=1435781420&end=1435781430.5&step=5",
        r#"{"resultType":"matrix","result":[{"metric":{"job":"prometheus"},"values":[[1435781420,"1e-07"],[1435781425,"1e-07"],[1435781430,"1e-07"]]}]}"#,
    )
    .await;
    check(
        "series?match[]=up&limit=0",
        r#"[{"__name__":"up","job":"a<b>&\""},{"__name__":"up","job":"prometheus"}]"#,
    )
    .await;
    check("labels", r#"["__name__","job"]"#).await;
    check("label/job/values", r#"["a\u003cb\u003e\u0026\"","prometheus"]"#).await;
    check("label/job/values?match[]=up{job=%22prometheus%22}&match[]=nope", r#"["prometheus"]"#).await;
    check("query_exemplars?query=up", "[]").await;
    check("status/walreplay", r#"{"min":0,"max":0,"current":0}"#).await;
    check("features", r#"{"promql_operators":{">/":true,"limitk":false}}"#).await;
    check("status/flags", r#"{"config.file":"a.yml"}"#).await;
    check("scrape_pools", r#"{"scrapePools":[]}"#).await;
    check("targets", r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}"#).await;
    check("targets?state=active", r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":null}"#)
        .await;
    check("metadata", r#"{"pushed":[{"type":"unknown","help":"Pushed.","unit":""}]}"#).await;
    check("metadata?metric=other", "{}").await;
    check("targets/metadata", "[]").await;
    check(
        "alertmanagers",
        r#"{"activeAlertmanagers":[{"url":"http://a:1/api/v2/alerts"}],"droppedAlertmanagers":[]}"#,
    )
    .await;
    check(
        "status/tsdb",
        r#"{"headStats":{"numSeries":2,"numLabelPairs":0,"chunkCount":0,"minTime":0,"maxTime":0},"seriesCountByMetricName":[],"labelValueCountByLabelName":[],"memoryInBytesByLabelName":[],"seriesCountByLabelValuePair":[]}"#,
    )
    .await;
}

#[tokio::test]
async fn rules_and_alerts_are_listed() {
    let server = Server::start();
    let (status, body) = server.get("/api/v1/alerts").await;
    assert_eq!(status, 200);
    let begins = r#"{"status":"success","data":{"alerts":[{"labels":{"alertname":"Down","job":"a<b>&\"","severity":"<p>"},"annotations":{"summary":"a<b>&\" & co"},"state":"pending","activeAt":"2015-07-01T20:1"#;
    assert!(body.starts_with(begins) && body.ends_with(r#"Z","value":"0e+00"}]}}"#), "{body}");
    let (_, body) = server.get("/api/v1/rules?type=alert&rule_name[]=Down&exclude_alerts=true").await;
    let begins = r#"{"status":"success","data":{"groups":[{"name":"g","file":"a.yml","rules":[{"state":"pending","name":"Down","query":"up == 0","duration":3600,"keepFiringFor":0,"labels":{"severity":"<p>"},"annotations":{"summary":"{{ $labels.job }} & co"},"alerts":null,"health":"ok","evaluationTime":"#;
    assert!(body.starts_with(begins), "{body}");
    assert!(body.contains(r#""type":"alerting"}],"interval":10,"limit":0,"evaluationTime":"#), "{body}");
    let (_, body) = server.get("/api/v1/rules?type=record&group_limit=1").await;
    assert!(
        body.contains(
            r#"[{"name":"job:up","query":"up \u003e bool 0","labels":{},"health":"ok","evaluationTime":"#
        ),
        "{body}"
    );
    for path in ["rules?file[]=b.yml", "rules?rule_group[]=x", "rules?match[]={severity=%22x%22}"] {
        server.check(&format!("/api/v1/{path}"), 200, r#"{"status":"success","data":{"groups":[]}}"#).await;
    }
}

#[tokio::test]
async fn federation_gives_the_newest_samples() {
    let server = Server::start();
    let (status, body) = server.get("/federate?match[]=up").await;
    let text = "# TYPE up untyped\nup{job=\"a<b>&\\\"\",instance=\"\"} 0 1435781415000\nup{job=\"prometheus\",instance=\"\"} 1 1435781415000\n";
    assert_eq!((status, body.as_str()), (200, text));
    server
        .check("/federate?match[]=%7B%7D", 400, "match[] must contain at least one non-empty matcher\n")
        .await;
}

#[tokio::test]
async fn limits_cut_and_say_so() {
    let server = Server::start();
    let cut = r#","warnings":["results truncated due to limit"]}"#;
    for path in
        ["series?match[]=up&limit=1", "labels?limit=1", "label/job/values?limit=1", "query?query=up&limit=1"]
    {
        let (status, body) = server.get(&format!("/api/v1/{path}")).await;
        assert_eq!(status, 200, "{body}");
        assert!(body.ends_with(cut), "{path}: {body}");
    }
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let server = Server::start();
    let bad = async |path: &str, message: &str| {
        server.check_error(&format!("/api/v1/{path}"), 400, "bad_data", message).await;
    };
    bad(
        "query",
        r#"invalid parameter \"query\": unknown position: parse error: no expression found in input"#,
    )
    .await;
    bad(
        "query?query=up%7B",
        r#"invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces"#,
    )
    .await;
    bad("query?query=1&time=x", r#"invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp"#).await;
    bad(
        "query?query=1&timeout=x",
        r#"invalid parameter \"timeout\": cannot parse \"x\" to a valid duration"#,
    )
    .await;
    bad(
        "query?query=1&limit=x",
        r#"invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax"#,
    )
    .await;
    bad(
        "query_range?query=up&start=a&end=2&step=x",
        r#"invalid parameter \"start\": cannot parse \"a\" to a valid timestamp"#,
    )
    .await;
    bad(
        "query_range?query=up&start=1&end=0&step=1",
        r#"invalid parameter \"end\": end timestamp must not be before start time"#,
    )
    .await;
    bad("query_range?query=up&start=1&end=2&step=0", r#"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"#).await;
    bad(
        "query_range?query=up&start=1&end=2",
        r#"invalid parameter \"step\": cannot parse \"\" to a valid duration"#,
    )
    .await;
    bad("query_range?query=up&start=1&end=100000&step=1", "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)").await;
    bad("query?query=up[step()]", r#"invalid parameter \"query\": 3:9: duration must be greater than 0"#)
        .await;
    bad(
        "query?query=1&lookback_delta=1e10",
        r#"error parsing lookback delta duration: cannot parse \"1e10\" to a valid duration. It overflows int64"#,
    )
    .await;
    bad("query_range?query=up[5m]&start=1&end=2&step=1", r#"invalid parameter \"query\": invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"#).await;
    bad("series", "no match[] parameter provided").await;
    bad(
        "series?match[]={}",
        r#"invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"#,
    )
    .await;
    bad("rules?type=x", r#"invalid parameter \"type\": not supported value \"x\""#).await;
    bad("rules?group_next_token=x", r#"invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups"#).await;
    bad(
        "rules?group_limit=0",
        r#"invalid parameter \"group_limit\": group_limit needs to be greater than 0"#,
    )
    .await;
    bad("metadata?limit=x", "limit must be a number").await;
    bad("status/tsdb?limit=0", "limit must be a positive number").await;
    bad("labels?match[]=up%7B", "1:4: parse error: unexpected end of input inside braces").await;
    server.check_error("/api/v1/nope", 404, "not_found", "no such endpoint: /api/v1/nope").await;
    server.check_error("/api/nope", 404, "not_found", "no such endpoint: /api/nope").await;
}

#[tokio::test]
async fn forms_work_as_urls_do() {
    let server = Server::start();
    let post = |body: String| {
        Request::post("/api/v1/query?query=2")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .unwrap()
    };
    let (status, body) = server.send(post("query=1&time=7".to_owned())).await;
    assert_eq!(
        (status, body.as_str()),
        (200, r#"{"status":"success","data":{"resultType":"scalar","result":[7,"1"]}}"#)
    );
    let (status, body) = server.send(post("x".repeat(11 << 20))).await;
    assert_eq!(status, 400);
    assert!(body.contains("error parsing form values"), "{body}");
}

#[tokio::test]
async fn until_ready_only_health_and_metrics_answer() {
    let server = Server::starting();
    server.check("/-/healthy", 200, "Hinomi is Healthy.\n").await;
    server.check("/-/ready", 503, "Service Unavailable").await;
    server.check("/api/v1/query?query=1", 503, "Service Unavailable").await;
    assert!(server.get("/metrics").await.1.contains("prometheus_ready 0\n"));
    let server = Server::start();
    server.check("/-/ready", 200, "Hinomi is Ready.\n").await;
    server.shell.set_stopping();
    server.check("/api/v1/query?query=1", 503, "Service Unavailable").await;
}

#[tokio::test]
async fn methods_that_a_path_does_not_have_are_refused_in_words() {
    let server = Server::start();
    for (method, path) in
        [("DELETE", "/api/v1/query"), ("POST", "/api/v1/label/job/values"), ("POST", "/federate")]
    {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(server.send(request).await, (405, "Method Not Allowed\n".to_owned()), "{method} {path}");
    }
}

#[tokio::test]
async fn options_say_which_methods_a_path_has_and_what_is_not_there_is_not_found() {
    let server = Server::start();
    let asked = async |method: &str, path: &str, accept: &str| {
        let request = Request::builder().method(method).uri(path).header("accept", accept);
        let response = server.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let allow = response.headers().get("allow").map_or("", |value| value.to_str().unwrap()).to_owned();
        (response.status().as_u16(), allow)
    };
    for (method, path, status, allow) in [
        ("OPTIONS", "/metrics", 200, "GET,HEAD,OPTIONS"),
        ("OPTIONS", "/targets", 200, "GET,HEAD,OPTIONS"),
        ("OPTIONS", "/-/reload", 200, "POST,PUT,OPTIONS"),
        ("OPTIONS", "/nothing", 404, ""),
        ("OPTIONS", "/api/v1/nothing", 204, ""),
        ("POST", "/targets", 405, "GET,HEAD"),
        ("POST", "/nothing", 404, ""),
        ("GET", "/nothing", 404, ""),
        ("GET", "/user/x", 404, ""),
        ("GET", "/targets", 200, ""),
        ("GET", "/classic/graph", 200, ""),
    ] {
        assert_eq!(asked(method, path, "*/*").await, (status, allow.to_owned()), "{method} {path}");
    }
    assert_eq!(asked("GET", "/nothing", "text/html,*/*").await.0, 404);
}

#[tokio::test]
async fn the_version_is_told_as_it_is_in_the_status() {
    let server = Server::start();
    let (_, status) = server.get("/api/v1/status/buildinfo").await;
    let (code, version) = server.get("/version").await;
    assert_eq!(code, 200);
    assert!(version.contains("\"version\":") && status.contains(version.trim_end()), "{version} in {status}");
}

#[tokio::test]
async fn pages_of_other_origins_may_read_the_api() {
    let server = Server::start();
    let preflight =
        Request::options("/api/v1/query").header("origin", "http://x").body(Body::empty()).unwrap();
    let response = server.router.clone().oneshot(preflight).await.unwrap();
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(response.headers()["access-control-allow-methods"], "GET, POST, OPTIONS");
}

#[tokio::test]
async fn reload_needs_leave_and_post() {
    let server = Server::start();
    server.check("/-/reload", 405, "Only POST or PUT requests allowed").await;
    let (status, body) = server.send(Request::post("/-/reload").body(Body::empty()).unwrap()).await;
    assert_eq!(status, 403, "{body}");
}

#[tokio::test]
async fn unknown_pages_are_the_page_and_unknown_files_are_not() {
    let server = Server::start();
    for path in ["/", "/explore?g0.expr=up", "/hosts/a"] {
        let (status, body) = server.get(path).await;
        assert_eq!(status, 200, "{path}");
        assert!(body.contains("<title>Hinomi</title>"), "{body}");
    }
    server.check("//api/v1/query?query=1", 308, "").await;
    server.check("/nope.js", 404, "404 page not found\n").await;
    server.check("/-/nope", 404, "404 page not found\n").await;
}

#[tokio::test]
async fn a_query_waits_no_longer_than_its_timeout() {
    let server = Server::start();
    tokio::time::timeout(Duration::from_secs(5), async {
        let range = "/api/v1/query_range?query=up&start=0&end=60&step=15";
        assert_eq!(server.get(range).await.0, 200);
        // An answer that is kept is none either.
        for url in ["/api/v1/query?query=up&timeout=0", &format!("{range}&timeout=0")] {
            let why =
                "query timed out in expression evaluation (setting: --query.timeout, or the request's timeout)";
            server.check_error(url, 503, "timeout", why).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn running_queries_are_listed_and_stopped() {
    let server = Server::start();
    server
        .check("/api/v1/status/queries", 200, r#"{"status":"success","data":{"queries":[],"memoryBytes":0}}"#)
        .await;
    let info = promql::QueryInfo {
        kind: promql::QueryKind::Range,
        text: "up".to_owned(),
        start_ms: 0,
        end_ms: 60_000,
        step_ms: 15_000,
        origin: promql::QueryOrigin::Http {
            client: "192.0.2.1".to_owned(),
            user_agent: "a".to_owned(),
            method: "GET".to_owned(),
            path: "/api/v1/query_range".to_owned(),
        },
    };
    let clock: Arc<dyn stdx::Clock> = server.clock.clone();
    let ticket = server.guard.begin(info, &clock);
    server.clock.advance_ms(1_500);
    let listed = |state: &str| {
        format!(
            r#"{{"status":"success","data":{{"queries":[{{"id":1,"kind":"range","query":"up","start":"1970-01-01T00:00:00Z","end":"1970-01-01T00:01:00Z","stepSeconds":15,"client":"192.0.2.1","userAgent":"a","state":"{state}","startedAt":"2015-07-01T20:10:30.781Z","elapsedSeconds":1.5,"seriesRead":0,"samplesRead":0,"memoryBytes":0,"peakSamples":0}}],"memoryBytes":0}}}}"#
        )
    };
    server.check("/api/v1/status/queries", 200, &listed("queued")).await;
    let post = Request::post("/api/v1/status/queries/1/cancel").body(Body::empty()).unwrap();
    assert_eq!(server.send(post).await.0, 200);
    assert!(ticket.cancel_token().is_canceled());
    server.check("/api/v1/status/queries", 200, &listed("canceled")).await;
    drop(ticket);
    let delete = Request::delete("/api/v1/status/queries/1").body(Body::empty()).unwrap();
    let (status, body) = server.send(delete).await;
    assert_eq!(status, 404);
    assert!(body.contains("no query 1 is running"), "{body}");
}

#[tokio::test]
async fn brief_queries_and_dear_ones_answer_alike_wherever_they_run() {
    let server = Server::start();
    let brief = "/api/v1/query?query=vector(1)%2B1&time=5";
    let (status, first) = server.get(brief).await;
    assert_eq!(status, 200, "{first}");
    assert!(server.guard.is_brief("vector(1)+1"));
    server.check(brief, 200, &first).await;
    // Taken for brief, it is begun where it came in, and again on a thread of its own.
    let dear = "sum_over_time(vector(1)[200000s:1s])";
    server.guard.set_brief(dear, true);
    let expected = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[5,"200000"]}]}}"#;
    let path = format!("/api/v1/query?query={dear}&time=5");
    server.check(&path, 200, expected).await;
    assert!(!server.guard.is_brief(dear));
    server.check(&path, 200, expected).await;
    assert!(server.guard.list().is_empty());
}

#[tokio::test]
async fn stats_say_how_many_samples_were_looked_at() {
    let server = Server::start();
    let check = async |path: &str, expected: Option<&str>| {
        let (status, body) = server.get(path).await;
        assert_eq!(status, 200, "{body}");
        let samples = body.split_once("\"samples\":{").map(|(_, rest)| rest);
        // The peak is of our own way of evaluating.
        let samples = samples.and_then(|rest| rest.split_once(",\"peakSamples\":")).map(|(counts, _)| counts);
        assert_eq!(samples, expected, "{path}: {body}");
    };
    let range = "/api/v1/query_range?query=max_over_time(vector(1)[2s:1s])&start=10&end=20.5&step=10";
    let per_step = r#""totalQueryableSamplesPerStep":[[10,2],[20,2]],"totalQueryableSamples":4,"samplesReadPerStep":[[10,0],[20,0]],"samplesRead":0"#;
    check(range, None).await;
    check(&format!("{range}&stats=all"), Some(per_step)).await;
    let instant = "/api/v1/query?query=vector(1)&time=5&stats=true";
    check(instant, Some(r#""totalQueryableSamples":0,"samplesRead":0"#)).await;
}

#[tokio::test]
async fn what_is_like_a_text_is_found() {
    let server = Server::start();
    let check = async |path: &str, expected: &str| {
        let (status, body) = server.get(&format!("/api/v1/search/{path}")).await;
        assert_eq!((status, body.as_str()), (200, expected), "{path}");
    };
    let refused = async |path: &str, expected: &str| {
        let (status, body) = server.get(&format!("/api/v1/search/{path}")).await;
        let error = format!("{{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":{expected:?}}}");
        assert_eq!((status, body), (400, error), "{path}");
    };
    let end = "{\"status\":\"success\",\"has_more\":false}\n";
    check("metric_names?search[]=nothing_like_it&start=0", &format!("{{\"results\":[]}}\n{end}")).await;
    let all = server.get("/api/v1/search/label_names?start=0").await.1;
    assert!(all.contains("{\"name\":\"__name__\"}") && all.ends_with(end), "{all}");
    let best = server
        .get("/api/v1/search/label_names?start=0&search[]=__name__&include_score=1&sort_by=score")
        .await
        .1;
    assert!(best.starts_with("{\"results\":[{\"name\":\"__name__\",\"score\":1}"), "{best}");
    let one = server.get("/api/v1/search/label_names?start=0&limit=1&sort_by=alpha&sort_dir=dsc").await.1;
    assert_eq!((one.matches("\"name\"").count(), one.contains("\"has_more\":true")), (1, true), "{one}");
    let batches = server.get("/api/v1/search/label_names?start=0&batch_size=1").await.1;
    assert_eq!(batches.lines().count(), all.matches("\"name\"").count() + 1, "{batches}");
    refused("label_values?start=0", "missing required parameter \"label\"").await;
    refused(
        "label_names?limit=51",
        "limit 51 exceeds the configured maximum (50, see --web.search.max-limit)",
    )
    .await;
    refused("label_names?limit=0", "invalid limit \"0\": must be a positive integer").await;
    refused("label_names?sort_by=score", "sort_by=score requires search[] to be set").await;
    refused("label_names?sort_dir=asc", "sort_dir is only valid when sort_by is set").await;
    refused("label_names?sort_by=x", "invalid sort_by \"x\" for label_names: must be \"alpha\" or \"score\"")
        .await;
    refused("label_names?fuzz_threshold=101", "invalid fuzz_threshold \"101\": must be 0-100").await;
    refused("label_names?case_sensitive=x", "invalid case_sensitive \"x\": must be boolean").await;
    refused("label_names?start=2&end=1", "end timestamp must not be before start timestamp").await;
}

#[tokio::test]
async fn what_a_path_does_not_take_is_refused_in_words() {
    let server = Server::start();
    let check = async |method: &str, path: &str, expected: (u16, &str)| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let (status, body) = server.send(request).await;
        assert_eq!((status, body.as_str()), expected, "{method} {path}");
    };
    check("PUT", "/api/v1/query?query=1", (405, "Method Not Allowed\n")).await;
    check("DELETE", "/metrics", (405, "Method Not Allowed\n")).await;
    check("GET", "/-/quit", (405, "Only POST or PUT requests allowed")).await;
    let gone = |path: &str| {
        format!("{{\"status\":\"error\",\"errorType\":\"not_found\",\"error\":\"no such endpoint: {path}\"}}")
    };
    check("PUT", "/api/v1/nope", (404, &gone("/api/v1/nope"))).await;
    check("GET", "/api/", (404, &gone("/api/"))).await;
    check("PATCH", "/api/x", (404, &gone("/api/x"))).await;
}
