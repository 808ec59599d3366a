//! Debian's prometheus-node-exporter, scraped for real: every series it exposes is stored, with equal values.
//!
//! Left out, with a line that says so, where the package is not installed; `cargo xtask test` installs it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test through and through")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, LabelsBuilder, MatchOp, Matcher, TimeRange};
use parking_lot::Mutex;
use scrape::{GlobalConfig, Manager, ManagerOptions, ScrapeConfigFile};
use stdx::clock::SystemClock;
use stdx::dir::DiskDir;
use stdx::metrics::Registry;
use storage::{MemStore, Queryable, SelectHints};
use wire::exposition::{Entry, Format, Parser};

const PROGRAM: &str = "/usr/bin/prometheus-node-exporter";

/// Ends the exporter however the test ends.
struct Exporter {
    process: Child,
    addr: String,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// On a port of its own choice, which it logs.
fn start() -> Option<Exporter> {
    if !std::path::Path::new(PROGRAM).exists() {
        println!("{PROGRAM} is not installed: nothing tested");
        return None;
    }
    let mut process = Command::new(PROGRAM)
        .args(["--web.listen-address=127.0.0.1:0", "--collector.disable-defaults", "--collector.textfile"])
        .args(["--collector.loadavg", "--collector.meminfo", "--collector.cpu", "--collector.filesystem"])
        .args(["--collector.netdev", "--collector.diskstats", "--collector.stat", "--collector.uname"])
        .args(["--collector.vmstat", "--collector.time"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    // `msg="Listening on" address=127.0.0.1:34567`
    let said =
        log.find_map(|line| line.split_once("Listening on\" address=").map(|(_, rest)| rest.to_owned()));
    let addr = said.expect("it says where it listens").split_whitespace().next().unwrap().to_owned();
    // Read on: a Go program dies of the next line that it cannot write to its standard error.
    std::thread::spawn(move || log.for_each(drop));
    Some(Exporter { process, addr })
}

/// The page as a map, read independently of the scrape: labels with the target's, and the value.
fn page(text: &str, target: &Labels) -> BTreeMap<Labels, f64> {
    let mut parser = Parser::new(text.as_bytes(), Format::Text004);
    let mut builder = LabelsBuilder::new();
    let mut all = BTreeMap::new();
    while let Some(entry) = parser.next_entry().unwrap() {
        if let Entry::Sample(sample) = entry {
            sample.fill_labels(&mut builder).unwrap();
            for (name, value) in target {
                builder.set(name, value);
            }
            all.insert(builder.build(), sample.value);
        }
    }
    all
}

fn stored(store: &MemStore) -> BTreeMap<Labels, Vec<f64>> {
    let all = [Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap()];
    let mut set = store.select(&all, TimeRange::ALL, &SelectHints::default()).unwrap();
    let mut series = BTreeMap::new();
    while let Some(one) = set.next().unwrap() {
        series.insert(one.labels, one.values);
    }
    series
}

/// Passes requests on to the exporter and keeps what it answered, so that both sides are known exactly.
async fn record(exporter: &Exporter) -> (String, Arc<Mutex<Vec<String>>>) {
    let pages = Arc::new(Mutex::new(Vec::new()));
    let client = Arc::new(net::HttpClient::new(&net::HttpClientConfig::default()).unwrap());
    let url = url::Url::parse(&format!("http://{}/metrics", exporter.addr)).unwrap();
    let kept = Arc::clone(&pages);
    let answer = move || {
        let (client, url, kept) = (Arc::clone(&client), url.clone(), Arc::clone(&kept));
        async move {
            let limits = net::Limits {
                timeout: Duration::from_secs(10),
                body_bytes_max: 1 << 24,
                decoded_bytes_max: 1 << 24,
            };
            let response = client.request(net::Request::get(url), &limits).await.unwrap();
            let text = String::from_utf8(response.body.to_vec()).unwrap();
            kept.lock().push(text.clone());
            ([(http::header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
        }
    };
    let router = axum::Router::new().route("/metrics", axum::routing::get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let (options, metrics) =
        (net::server::ServerOptions::default(), net::server::ServerMetrics::new(&Registry::new()));
    tokio::spawn(net::server::serve(
        listener,
        router,
        options,
        metrics,
        tokio_util::sync::CancellationToken::new(),
    ));
    (addr, pages)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_series_is_stored_with_equal_values() {
    let Some(exporter) = start() else { return };
    let (addr, pages) = record(&exporter).await;
    let store = Arc::new(MemStore::new());
    let registry = Registry::new();
    let manager = Manager::new(ManagerOptions {
        clock: Arc::new(SystemClock::new()),
        store: Arc::clone(&store) as Arc<dyn storage::Appendable>,
        discovery: Arc::new(discovery::Hub::new(discovery::HubOptions {
            clock: Arc::new(SystemClock::new()),
            dir: Arc::new(DiskDir::anywhere()),
            registry: registry.clone(),
        })),
        dir: Arc::new(DiskDir::anywhere()),
        registry,
        features: scrape::FeatureOptions::default(),
        starts: scrape::StartOptions::default(),
        host_name: "me".to_owned(),
    });
    let text =
        format!("{{job_name: node, scrape_interval: 200ms, static_configs: [{{targets: ['{addr}']}}]}}");
    let file: ScrapeConfigFile = model::yaml::parse("job.yml", &text).unwrap();
    let global = GlobalConfig::default();
    let jobs = scrape::config::resolve(vec![(file, std::path::PathBuf::new())], &global).unwrap();
    manager.apply_config(&jobs, &global).unwrap();
    let target = Labels::from_pairs([("instance", addr.as_str()), ("job", "node")]);
    let up = target.to_builder().set("__name__", "up").build();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while stored(&store).get(&up).is_none_or(|values| values.len() < 5) {
        assert!(tokio::time::Instant::now() < deadline, "{:#?}", manager.view().active_targets(None));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    manager.stop().await;

    let stored = stored(&store);
    let n_scrapes = stored[&up].len();
    assert_eq!(stored[&up], vec![1.0; n_scrapes]);
    // What each series must hold: its value in every page that has it, a marker where it is first gone.
    let mut expected: BTreeMap<Labels, Vec<u64>> = BTreeMap::new();
    let mut alive = BTreeMap::new();
    for text in pages.lock().iter().take(n_scrapes) {
        let now = page(text, &target);
        for labels in alive.keys().filter(|labels| !now.contains_key(labels)) {
            expected.entry(labels.clone()).or_default().push(model::STALE_NAN_BITS);
        }
        for (labels, value) in &now {
            expected.entry(labels.clone()).or_default().push(value.to_bits());
        }
        alive = now;
    }
    let n_series = expected.len();
    for (labels, values) in expected {
        let got: Vec<u64> = stored[&labels].iter().map(|value| value.to_bits()).collect();
        assert_eq!(got, values, "{labels}");
    }
    let n_reports = 5;
    assert_eq!(stored.len(), n_series + n_reports);
    assert!(n_series > 200, "{n_series}");
    println!("{n_series} series over {n_scrapes} scrapes, every value equal to the bit");
}
