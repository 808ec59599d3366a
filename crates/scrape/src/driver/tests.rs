//! The whole of scraping over real sockets, into the reference store.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use discovery::Hub;
use model::{Labels, MatchOp, Matcher, TimeRange, is_stale};
use net::server::{ServerMetrics, ServerOptions, serve};
use stdx::clock::SystemClock;
use stdx::dir::{Dir, DiskDir};
use stdx::metrics::Registry;
use storage::{Appendable, MemStore, Queryable, SelectHints};
use tokio::net::TcpListener;

use super::*;
use crate::ingest::StartOptions;
use crate::options::FeatureOptions;
use crate::pool::Health;
use crate::view::ActiveTarget;

const TEXT: &str = "text/plain; version=0.0.4";

struct Bench {
    manager: Manager,
    store: Arc<MemStore>,
    registry: Registry,
}

fn hub(registry: &Registry) -> Arc<Hub> {
    Arc::new(Hub::new(discovery::HubOptions {
        clock: Arc::new(SystemClock::new()),
        dir: Arc::new(DiskDir::anywhere()),
        registry: registry.clone(),
    }))
}

impl Bench {
    fn new() -> Self {
        let (store, registry) = (Arc::new(MemStore::new()), Registry::new());
        let manager = Manager::new(ManagerOptions {
            clock: Arc::new(SystemClock::new()),
            store: Arc::clone(&store) as Arc<dyn Appendable>,
            discovery: hub(&registry),
            dir: Arc::new(DiskDir::anywhere()),
            registry: registry.clone(),
            features: FeatureOptions::default(),
            starts: StartOptions::default(),
            host_name: "me".to_owned(),
        });
        Self { manager, store, registry }
    }

    /// Applies jobs given as YAML, each with an interval of 100 ms unless it says otherwise.
    fn apply(&self, jobs: &[String]) {
        let jobs: Vec<ScrapeConfig> = jobs
            .iter()
            .map(|job| {
                let job = if job.contains("scrape_interval") {
                    job.clone()
                } else {
                    format!("{job}\nscrape_interval: 100ms")
                };
                crate::config::tests::job(&job)
            })
            .collect();
        self.manager.apply_config(&jobs, &GlobalConfig::default()).unwrap();
    }

    /// All samples of the series with this name and job.
    fn samples(&self, metric: &str, job: &str) -> Vec<(i64, f64)> {
        let matchers =
            [("__name__", metric), ("job", job)].map(|(n, v)| Matcher::new(MatchOp::Equal, n, v).unwrap());
        let mut set = self.store.select(&matchers, TimeRange::ALL, &SelectHints::default()).unwrap();
        let mut all = Vec::new();
        while let Some(series) = set.next().unwrap() {
            all.extend(series.timestamps.iter().copied().zip(series.values));
        }
        all
    }

    /// Waits until `done` holds; ten seconds are far more than anything here takes.
    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + StdDuration::from_secs(10);
        while !done(self) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what}: {:#?}",
                self.manager.view().active_targets(None)
            );
            tokio::time::sleep(StdDuration::from_millis(5)).await;
        }
    }

    /// The only target of `job`, once it has been scraped.
    async fn scraped(&self, job: &str) -> ActiveTarget {
        let find = |bench: &Self| bench.manager.view().active_targets(Some(job)).into_iter().next();
        self.until(job, |bench| find(bench).is_some_and(|target| target.health != Health::Unknown)).await;
        find(self).unwrap()
    }
}

async fn start(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let metrics = ServerMetrics::new(&Registry::new());
    tokio::spawn(serve(listener, router, ServerOptions::default(), metrics, CancellationToken::new()));
    addr
}

fn job(name: &str, addr: &str, more: &str) -> String {
    format!("job_name: {name}\nstatic_configs: [{{targets: ['{addr}']}}]\n{more}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_scraped_on_schedule_and_reported() {
    let addr = start(Router::new().route(
        "/metrics",
        get(|| async { ([(CONTENT_TYPE, TEXT)], format!("# HELP m Help.\n# TYPE m gauge\n{}", "m 7\n")) }),
    ))
    .await;
    let bench = Bench::new();
    bench.apply(&[job("a", &addr, "")]);
    bench.until("three scrapes", |bench| bench.samples("m", "a").len() >= 3).await;
    let samples = bench.samples("m", "a");
    assert!(samples.iter().all(|(_, value)| *value == 7.0));
    assert!(samples.windows(2).all(|pair| pair[0].0 < pair[1].0));
    for (metric, expected) in [
        ("up", 1.0),
        ("scrape_samples_scraped", 1.0),
        ("scrape_samples_post_metric_relabeling", 1.0),
        ("scrape_series_added", 1.0),
    ] {
        assert_eq!(bench.samples(metric, "a")[0].1, expected, "{metric}");
    }
    assert_eq!(bench.samples("scrape_series_added", "a")[1].1, 0.0);
    assert!(bench.samples("scrape_duration_seconds", "a")[0].1 > 0.0);
    let target = bench.scraped("a").await;
    assert_eq!((target.health, target.last_error.as_str()), (Health::Up, ""));
    assert_eq!(target.scrape_url, format!("http://{addr}/metrics"));
    assert_eq!(target.labels, Labels::from_pairs([("instance", addr.as_str()), ("job", "a")]));
    let metadata = bench.manager.view().metadata();
    assert_eq!((metadata[0].metric.as_str(), metadata[0].metadata.help.as_str()), ("m", "Help."));
    bench.manager.stop().await;
    // A stopped server leaves no markers: after a restart the series go on.
    let n_before = bench.samples("m", "a").len();
    assert!(bench.samples("m", "a").iter().all(|(_, value)| !is_stale(*value)));
    assert_eq!(bench.samples("up", "a").len(), n_before);
}

#[tokio::test(flavor = "multi_thread")]
async fn protobuf_is_asked_for_where_native_histograms_are_wanted() {
    const BODY: &[u8] = include_bytes!("../../../wire/src/exposition/protobuf/client_golang.pb");
    let page = |headers: http::HeaderMap| async move {
        let accept = headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if accept.starts_with("application/vnd.google.protobuf;") {
            let proto = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
            return ([(CONTENT_TYPE, proto)], BODY.to_vec());
        }
        ([(CONTENT_TYPE, TEXT)], b"m 1\n".to_vec())
    };
    let addr = start(Router::new().route("/metrics", get(page))).await;
    let bench = Bench::new();
    bench.apply(&[
        job("natives", &addr, "scrape_native_histograms: true"),
        job("asked", &addr, "scrape_protocols: [PrometheusProto]"),
        job("text", &addr, ""),
    ]);
    bench
        .until("scrapes", |bench| {
            ["natives", "asked", "text"].iter().all(|job| !bench.samples("up", job).is_empty())
        })
        .await;
    assert_eq!(bench.samples("demo_temperature_celsius", "natives")[0].1, -21.75);
    assert_eq!(bench.samples("scrape_samples_scraped", "natives")[0].1, 17.0);
    assert!(bench.samples("demo_pure_seconds_count", "natives").is_empty());
    assert_eq!(bench.samples("demo_pure_seconds_count", "asked")[0].1, 101.0);
    assert_eq!(bench.samples("m", "text")[0].1, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_scrapes_are_written_to_their_file() {
    let (addr, dir) = (start_broken().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("failures.log");
    let bench = Bench::new();
    let more = format!("metrics_path: /500\nscrape_failure_log_file: {}", path.display());
    bench.apply(&[job("a", &addr, &more)]);
    bench.scraped("a").await;
    let written = || String::from_utf8(DiskDir::anywhere().read(&path).unwrap_or_default()).unwrap();
    bench.until("a line", |_| written().contains('\n')).await;
    let line: serde_json::Value = serde_json::from_str(written().lines().next().unwrap()).unwrap();
    assert_eq!(line["msg"], "server returned HTTP status 500 Internal Server Error");
    assert_eq!((&line["job_name"], &line["level"]), (&"a".into(), &"ERROR".into()));
    assert_eq!(line["target"], format!("http://{addr}/500"));
}

/// One broken target per path.
async fn start_broken() -> String {
    // gzip of "m 1\n" without its end.
    let cut_gzip: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\x55\x30\xe4";
    start(
        Router::new()
            .route("/500", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
            .route("/large", get(|| async { ([(CONTENT_TYPE, TEXT)], "# comment\n".repeat(1_000)) }))
            .route(
                "/gzip",
                get(move || async move { ([(CONTENT_TYPE, TEXT), (CONTENT_ENCODING, "gzip")], cut_gzip) }),
            )
            .route("/html", get(|| async { ([(CONTENT_TYPE, "text/html")], "<html>") }))
            .route("/blank", get(|| async { http::Response::new(axum::body::Body::from("m 1\n")) }))
            .route("/bad", get(|| async { ([(CONTENT_TYPE, TEXT)], "m 1\n{{{\n") }))
            .route("/hang", get(|| async { std::future::pending::<()>().await }))
            .route("/many", get(|| async { ([(CONTENT_TYPE, TEXT)], "a 1\nb 1\nc 1\n") })),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_is_down_with_its_reason() {
    let addr = start_broken().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let url = |path: &str| format!("http://{addr}/{path}");
    let cases = [
        ("500", "", "server returned HTTP status 500 Internal Server Error".to_owned()),
        ("large", "body_size_limit: 1KB", "body size limit exceeded".to_owned()),
        ("gzip", "", "cannot decompress the body: unexpected EOF".to_owned()),
        ("html", "", "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target".to_owned()),
        ("blank", "", "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target".to_owned()),
        ("bad", "", "line 2, column 2: expected label name, got \"{{\"".to_owned()),
        ("hang", "scrape_timeout: 50ms", format!("Get \"{}\": context deadline exceeded", url("hang"))),
        ("many", "sample_limit: 2", "sample limit exceeded".to_owned()),
    ];
    let bench = Bench::new();
    let mut jobs: Vec<String> = cases
        .iter()
        .map(|(path, more, _)| job(path, &addr, &format!("metrics_path: /{path}\n{more}")))
        .collect();
    jobs.push(job("refused", &free, ""));
    jobs.push(job("fallback", &addr, "metrics_path: /blank\nfallback_scrape_protocol: PrometheusText0.0.4"));
    jobs.push(format!(
        "job_name: over\nstatic_configs: [{{targets: ['{addr}', '{free}']}}]\ntarget_limit: 1"
    ));
    bench.apply(&jobs);
    for (name, _, expected) in &cases {
        let target = bench.scraped(name).await;
        assert_eq!((target.health, target.last_error.as_str()), (Health::Down, expected.as_str()), "{name}");
        assert!(bench.samples("up", name).iter().all(|(_, value)| *value == 0.0), "{name}");
        assert!(bench.samples("m", name).is_empty() && bench.samples("a", name).is_empty(), "{name}");
    }
    let refused = bench.scraped("refused").await;
    assert_eq!(
        refused.last_error,
        format!("Get \"http://{free}/metrics\": dial tcp {free}: connect: connection refused")
    );
    assert_eq!(bench.scraped("fallback").await.health, Health::Up);
    bench
        .until("both over the limit", |bench| {
            let targets = bench.manager.view().active_targets(Some("over"));
            targets.len() == 2
                && targets.iter().all(|target| {
                    target.last_error == "target_limit exceeded (number of targets: 2, limit: 1)"
                })
        })
        .await;
    assert_eq!(bench.samples("scrape_samples_scraped", "many")[0].1, 3.0);
    let metrics = bench.registry.render();
    for name in [
        "scrape_exceeded_body_size_limit_total",
        "scrape_exceeded_sample_limit_total",
        "scrape_pool_exceeded_target_limit_total",
    ] {
        assert!(!metrics.contains(&format!("{name} 0\n")), "{metrics}");
    }
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_carry_params_headers_and_credentials() {
    let addr = start(Router::new().route(
        "/probe",
        get(|request: axum::extract::Request| async move {
            let header = |name: &str| {
                request.headers().get(name).map_or("", |value| value.to_str().unwrap()).replace('"', "'")
            };
            let page = format!(
                "m{{query=\"{}\",auth=\"{}\",accept=\"{}\",encoding=\"{}\",timeout=\"{}\"}} 1\n",
                request.uri().query().unwrap(),
                header("authorization"),
                header("accept"),
                header("accept-encoding"),
                header("x-prometheus-scrape-timeout-seconds")
            );
            ([(CONTENT_TYPE, TEXT)], page)
        }),
    ))
    .await;
    let bench = Bench::new();
    let more = "metrics_path: /probe\nparams: {module: [http_2xx]}\nbasic_auth: {username: a, password: b}\nscrape_protocols: [PrometheusText0.0.4]";
    bench.apply(&[job("a", &addr, more)]);
    assert_eq!(bench.scraped("a").await.last_error, "");
    let any = [Matcher::new(MatchOp::Equal, "__name__", "m").unwrap()];
    let series =
        bench.store.select(&any, TimeRange::ALL, &SelectHints::default()).unwrap().next().unwrap().unwrap();
    let own = ["query", "auth", "accept", "encoding", "timeout"]
        .map(|name| series.labels.get(name).unwrap().to_owned());
    assert_eq!(
        own,
        [
            "module=http_2xx",
            "Basic YTpi",
            "text/plain;version=0.0.4;q=0.6,*/*;q=0.5",
            "gzip, zstd;q=0.5",
            "0.1"
        ]
    );
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_leaves_unchanged_jobs_alone_and_ends_removed_targets() {
    let addr =
        start(Router::new().route("/metrics", get(|| async { ([(CONTENT_TYPE, TEXT)], "a 1\nb 1\n") })))
            .await;
    let bench = Bench::new();
    bench.apply(&[job("stays", &addr, ""), job("goes", &addr, ""), job("changes", &addr, "")]);
    for name in ["stays", "goes", "changes"] {
        bench.until("two scrapes", |bench| bench.samples("a", name).len() >= 2).await;
    }
    let relabel = "metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]";
    bench.apply(&[job("stays", &addr, ""), job("changes", &addr, relabel)]);
    assert_eq!(bench.manager.view().scrape_pools(), ["changes", "stays"]);
    let ends_stale = |bench: &Bench, metric: &str, job: &str| {
        bench.samples(metric, job).last().is_some_and(|(_, v)| is_stale(*v))
    };
    bench.until("b ends", |bench| ends_stale(bench, "b", "changes")).await;
    bench.until("goes ends", |bench| ends_stale(bench, "a", "goes") && ends_stale(bench, "up", "goes")).await;
    let n_before = bench.samples("a", "changes").len();
    bench.until("a goes on", |bench| bench.samples("a", "changes").len() > n_before + 2).await;
    for name in ["stays", "changes"] {
        assert!(bench.samples("a", name).iter().all(|(_, value)| !is_stale(*value)), "{name}");
        assert_eq!(
            bench.samples("scrape_series_added", name).iter().filter(|(_, value)| *value > 0.0).count(),
            usize::from(name == "stays") + 2 * usize::from(name == "changes")
        );
    }
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_interval_is_the_same_target() {
    let addr =
        start(Router::new().route("/metrics", get(|| async { ([(CONTENT_TYPE, TEXT)], "a 1\n") }))).await;
    let bench = Bench::new();
    bench.apply(&[job("a", &addr, "scrape_interval: 10m")]);
    bench.until("the target is there", |bench| bench.manager.view().active_targets(None).len() == 1).await;
    bench.apply(&[job("a", &addr, "")]);
    bench.until("three scrapes", |bench| bench.samples("a", "a").len() >= 3).await;
    bench.apply(&[job("a", &addr, "scrape_interval: 50ms")]);
    bench
        .until("the new interval is shown", |bench| {
            bench.manager.view().active_targets(None)[0].scrape_interval == model::Duration::from_ms(50)
        })
        .await;
    let n_before = bench.samples("a", "a").len();
    bench.until("it goes on", |bench| bench.samples("a", "a").len() > n_before + 3).await;
    let n_added: f64 = bench.samples("scrape_series_added", "a").iter().map(|(_, value)| value).sum();
    assert_eq!(n_added, 1.0);
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_client_configuration_changes_nothing() {
    let addr =
        start(Router::new().route("/metrics", get(|| async { ([(CONTENT_TYPE, TEXT)], "a 1\n") }))).await;
    let bench = Bench::new();
    bench.apply(&[job("a", &addr, "")]);
    let broken = crate::config::tests::job("job_name: b\ntls_config: {ca_file: /nonexistent/ca.pem}");
    let err = bench.manager.apply_config(&[broken], &GlobalConfig::default()).unwrap_err();
    assert!(err.to_string().starts_with("error creating HTTP client for scrape config with job name \"b\": unable to read ca file /nonexistent/ca.pem: "), "{err}");
    assert_eq!(bench.manager.view().scrape_pools(), ["a"]);
    assert_eq!(bench.scraped("a").await.health, Health::Up);
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_targets_are_followed() {
    let addr =
        start(Router::new().route("/metrics", get(|| async { ([(CONTENT_TYPE, TEXT)], "a 1\n") }))).await;
    let dir = tempfile::tempdir().unwrap();
    let files = DiskDir::open(dir.path()).unwrap();
    let write = |text: &str| files.write_atomic(Path::new("t.json"), text.as_bytes()).unwrap();
    write(&format!("[{{\"targets\": [\"{addr}\"], \"labels\": {{\"x\": \"one\"}}}}]"));
    let bench = Bench::new();
    bench.apply(&[format!(
        "job_name: f\nfile_sd_configs: [{{files: ['{}/*.json'], refresh_interval: 20ms}}]",
        dir.path().display()
    )]);
    assert_eq!(bench.scraped("f").await.labels.get("x"), Some("one"));
    write("[{");
    bench
        .until("the error is counted", |bench| {
            bench.registry.render().contains("prometheus_sd_file_read_errors_total 1\n")
        })
        .await;
    assert_eq!(bench.manager.view().active_targets(None).len(), 1);
    write(&format!("[{{\"targets\": [\"{addr}\"], \"labels\": {{\"x\": \"two\"}}}}]"));
    bench
        .until("the change is seen", |bench| {
            bench
                .manager
                .view()
                .active_targets(None)
                .first()
                .is_some_and(|target| target.labels.get("x") == Some("two"))
        })
        .await;
    let shown = bench.scraped("f").await.discovered_labels;
    assert!(shown.get("__meta_filepath").unwrap().ends_with("t.json"));
    files.remove_file(Path::new("t.json")).unwrap();
    bench.until("the targets are gone", |bench| bench.manager.view().active_targets(None).is_empty()).await;
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_targets_come_at_once_and_stay_through_reloads() {
    let bench = Bench::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let source = {
        let calls = Arc::clone(&calls);
        move || format!("# TYPE m counter\nm {}\n", calls.fetch_add(1, Ordering::SeqCst))
    };
    bench.manager.add_local(LocalTarget {
        job: "node".to_owned(),
        honor_labels: false,
        labels: Labels::from_pairs([("instance", "me")]),
        interval: model::Duration::from_secs(15),
        source: Arc::new(source),
        natives: None,
        shown_url: "local:///node".to_owned(),
    });
    bench.until("the first scrape", |bench| bench.samples("m", "node").len() == 1).await;
    bench.apply(&[]);
    bench.until("three scrapes", |bench| bench.samples("m", "node").len() >= 3).await;
    let samples = bench.samples("m", "node");
    let took_ms = samples[2].0 - samples[0].0;
    assert!((2_900..4_500).contains(&took_ms), "{samples:?}");
    let target = bench.scraped("node").await;
    assert_eq!((target.scrape_url.as_str(), target.health), ("local:///node", Health::Up));
    assert_eq!(target.labels.to_string(), r#"{instance="me", job="node"}"#);
    assert_eq!(bench.samples("up", "node")[0].1, 1.0);
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_target_added_anew_goes_on_without_a_gap() {
    let bench = Bench::new();
    let local = |interval| LocalTarget {
        job: "node".to_owned(),
        honor_labels: false,
        labels: Labels::from_pairs([("instance", "me")]),
        interval,
        source: Arc::new(|| "m 1\n".to_owned()),
        natives: None,
        shown_url: "local:///node".to_owned(),
    };
    bench.manager.add_local(local(model::Duration::from_ms(100)));
    bench.until("a scrape", |bench| !bench.samples("m", "node").is_empty()).await;
    bench.manager.remove_local("node");
    bench.manager.add_local(local(model::Duration::from_secs(600)));
    // The three warm-up scrapes take 3 s: far longer than markers of the old one would.
    bench.until("three more", |bench| bench.samples("m", "node").len() >= 4).await;
    assert!(bench.samples("m", "node").iter().all(|(_, value)| !is_stale(*value)));
    bench.manager.remove_local("node");
    assert!(bench.manager.view().scrape_pools().is_empty());
    assert!(!bench.registry.render().contains("scrape_pool_targets{"));
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_panics_is_down_and_hurts_nobody() {
    let bench = Bench::new();
    bench.manager.add_local(LocalTarget {
        job: "bad".to_owned(),
        honor_labels: false,
        labels: Labels::empty(),
        interval: model::Duration::from_secs(15),
        source: Arc::new(|| panic!("collector broke")),
        natives: None,
        shown_url: "local:///bad".to_owned(),
    });
    let target = bench.scraped("bad").await;
    assert_eq!(target.health, Health::Down);
    assert!(target.last_error.starts_with("the source of this target failed: "), "{}", target.last_error);
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openmetrics_is_read() {
    let page = "# TYPE m counter\n# UNIT m_seconds seconds\nm_total{a=\"b\"} 3 1700000000.5 # {trace=\"x\"} 1\n# EOF\n";
    let addr = start(Router::new().route(
        "/metrics",
        get(move || async move {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], page)
                .into_response()
        }),
    ))
    .await;
    let bench = Bench::new();
    bench.apply(&[job("om", &addr, "")]);
    assert_eq!(bench.scraped("om").await.last_error, "");
    assert_eq!(bench.samples("m_total", "om")[0], (1_700_000_000_500, 3.0));
    bench.manager.stop().await;
}
