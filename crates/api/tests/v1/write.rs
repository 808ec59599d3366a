//! `/api/v1/write` over the reference store.

use api::{Receiver, ReceiverOptions, WriteMessage};
use axum::response::Response;
use model::histogram::Span;
use model::{Exemplar, Histogram, Metadata, MetricType};
use wire::remote_write::{Sample, TimeSeries, compress, encode_v1, encode_v2};

use super::*;

const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// A store short of memory.
struct Short(Arc<MemStore>);

impl storage::Appendable for Short {
    fn appender(&self, now_ms: i64) -> Box<dyn storage::Appender + '_> {
        self.0.appender(now_ms)
    }

    fn is_overloaded(&self) -> bool {
        true
    }
}

/// A store whose disk may be broken; counts syncs.
struct OnDisk {
    inner: Arc<MemStore>,
    n_syncs: std::sync::atomic::AtomicU64,
    is_broken: bool,
}

impl storage::Appendable for OnDisk {
    fn appender(&self, now_ms: i64) -> Box<dyn storage::Appender + '_> {
        self.inner.appender(now_ms)
    }

    fn sync(&self) -> Result<(), storage::StorageError> {
        self.n_syncs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if !self.is_broken {
            return Ok(());
        }
        let source = std::io::Error::other("no space");
        Err(storage::StorageError::Io { action: "sync wal/1".to_owned(), source })
    }
}

/// A store that drops series as soon as they are in.
struct Forgetful(Arc<MemStore>);

/// Knows no series by its reference.
struct ByLabels<'a>(Box<dyn storage::Appender + 'a>);

impl storage::Appendable for Forgetful {
    fn appender(&self, now_ms: i64) -> Box<dyn storage::Appender + '_> {
        Box::new(ByLabels(self.0.appender(now_ms)))
    }
}

impl storage::Appender for ByLabels<'_> {
    fn append(
        &mut self,
        _known: Option<storage::SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: f64,
    ) -> Result<storage::SeriesRef, storage::AppendError> {
        self.0.append(None, labels, t_ms, value)
    }

    fn commit(self: Box<Self>) -> Result<storage::AppendStats, storage::StorageError> {
        self.0.commit()
    }
}

fn taking(accepted: &[WriteMessage]) -> Server {
    let server = Server::starting();
    let store = server.store.clone();
    taking_into(server, accepted, store)
}

fn taking_into(server: Server, accepted: &[WriteMessage], store: Arc<dyn storage::Appendable>) -> Server {
    taking_typed(server, accepted, store, false)
}

fn taking_typed(
    server: Server,
    accepted: &[WriteMessage],
    store: Arc<dyn storage::Appendable>,
    type_and_unit_labels: bool,
) -> Server {
    let options = ReceiverOptions { type_and_unit_labels, ..options(&server, accepted, store) };
    taking_as(server, options)
}

fn options(
    server: &Server,
    accepted: &[WriteMessage],
    store: Arc<dyn storage::Appendable>,
) -> ReceiverOptions {
    ReceiverOptions {
        store,
        clock: server.clock.clone(),
        registry: server.registry.clone(),
        accepted: accepted.to_vec(),
        memo_series_max: 1_000,
        type_and_unit_labels: false,
        start_zeros: false,
    }
}

fn taking_as(server: Server, options: ReceiverOptions) -> Server {
    let mut services = server.services();
    services.receiver = Some(Arc::new(Receiver::new(options)));
    server.shell.set_ready(services);
    server
}

fn series(name: &str, samples: &[(i64, f64)]) -> TimeSeries {
    let sample = |(ago_ms, value): &(i64, f64)| Sample { t_ms: NOW_MS - ago_ms, start_ms: 0, value: *value };
    TimeSeries {
        labels: Labels::from_pairs([("__name__", name), ("job", "a")]),
        samples: samples.iter().map(sample).collect(),
        ..TimeSeries::default()
    }
}

fn request(content_type: &str, encoding: &str, body: Vec<u8>) -> Request<Body> {
    let request = Request::post("/api/v1/write").header("content-type", content_type);
    request.header("content-encoding", encoding).body(Body::from(body)).unwrap()
}

impl Server {
    async fn write(&self, content_type: &str, message: &[u8]) -> Response {
        self.router.clone().oneshot(request(content_type, "snappy", compress(message))).await.unwrap()
    }

    async fn check_write(&self, content_type: &str, message: &[u8], status: u16, text: &str) {
        let response = self.write(content_type, message).await;
        let got = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!((got, std::str::from_utf8(&body).unwrap()), (status, text));
    }

    /// The values of a metric within the last ten minutes.
    async fn values(&self, name: &str) -> String {
        let (_, body) = self.get(&format!("/api/v1/query?query={name}[10m]")).await;
        let values = body.split("\"values\":").nth(1).and_then(|rest| rest.split('}').next());
        values.unwrap_or("").to_owned()
    }

    fn metric(&self, line: &str) -> u64 {
        let page = self.registry.render();
        let found = page.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("{line} is not in {page}"))
    }
}

#[tokio::test]
async fn without_the_flag_the_answer_names_it() {
    let server = Server::start();
    let text = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n";
    server.check_write("", &[], 404, text).await;
    assert_eq!(Server::starting().write("", &[]).await.status(), 503);
}

#[tokio::test]
async fn senders_come_back_when_memory_is_short() {
    let server = Server::starting();
    let store = Arc::new(Short(server.store.clone()));
    let server = taking_into(server, &WriteMessage::ALL, store);
    let response = server.write("", &encode_v1(&[series("a", &[(0, 1.0)])])).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(server.values("a").await, "");
    assert_eq!(server.metric("hinomi_remote_write_shed_total "), 1);
}

#[tokio::test]
async fn a_request_is_on_the_disk_before_the_answer_when_it_asks() {
    let check = async |values: &[&str], is_broken: bool, status: u16, text: &str, n_syncs: u64| {
        let server = Server::starting();
        let n_none = std::sync::atomic::AtomicU64::new(0);
        let store = Arc::new(OnDisk { inner: server.store.clone(), n_syncs: n_none, is_broken });
        let server = taking_into(server, &WriteMessage::ALL, store.clone());
        let mut request = request("", "snappy", compress(&encode_v1(&[series("a", &[(0, 1.0)])])));
        for value in values {
            request.headers_mut().append("x-hinomi-durability", value.parse().unwrap());
        }
        let response = server.router.clone().oneshot(request).await.unwrap();
        let got = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!((got, std::str::from_utf8(&body).unwrap()), (status, text), "{values:?}");
        assert_eq!(store.n_syncs.load(std::sync::atomic::Ordering::SeqCst), n_syncs, "{values:?}");
        assert_eq!(server.values("a").await.is_empty(), status == 400, "{values:?}");
        assert_eq!(server.metric("hinomi_remote_write_strict_total "), n_syncs);
    };
    check(&[], false, 204, "", 0).await;
    check(&["interval"], true, 204, "", 0).await;
    check(&["strict"], false, 204, "", 1).await;
    check(&["interval", "strict"], false, 204, "", 1).await;
    check(&["strict"], true, 500, "cannot sync wal/1: no space\n", 1).await;
    let text = "x-hinomi-durability is strict or interval, got \"Strict\"\n";
    check(&["Strict"], false, 400, text, 0).await;
}

#[tokio::test]
async fn samples_are_stored_and_known_series_found_again() {
    let server = taking(&WriteMessage::ALL);
    for (round, content_type, encode) in [
        (3, "application/x-protobuf", encode_v1 as fn(&[TimeSeries]) -> Vec<u8>),
        (2, "", encode_v1),
        (1, V2, encode_v2),
        (0, V2, encode_v2),
    ] {
        let ago_ms = round * 60_000;
        let a = series("a", &[(ago_ms, round as f64)]);
        let b = series("b", &[(ago_ms + 1_000, 9.0), (ago_ms, 8.0)]);
        server.check_write(content_type, &encode(&[a.clone(), b]), 204, "").await;
        // What comes again is stored once.
        server.check_write(content_type, &encode(&[a]), 204, "").await;
    }
    assert_eq!(
        server.values("a").await,
        r#"[[1435781250.781,"3"],[1435781310.781,"2"],[1435781370.781,"1"],[1435781430.781,"0"]]"#
    );
    assert_eq!(server.values("b").await.matches("\"9\"").count(), 4);
    assert_eq!(server.metric("hinomi_remote_write_memo_series "), 4, "two series in two versions");
    assert_eq!(server.metric("hinomi_remote_write_memo_inserts_total "), 4);
    assert_eq!(server.metric("hinomi_remote_write_received_samples_total "), 16);
}

#[tokio::test]
async fn series_that_the_store_has_dropped_come_by_their_labels_again() {
    let server = Server::starting();
    let store = Arc::new(Forgetful(server.store.clone()));
    let server = taking_into(server, &WriteMessage::ALL, store);
    for round in [2, 1] {
        let samples = [(round * 60_000 + 1_000, 1.0), (round * 60_000, 2.0)];
        let message = encode_v1(&[series("a", &samples), series("b", &samples[1..])]);
        server.check_write("", &message, 204, "").await;
    }
    assert_eq!(server.values("a").await.matches('[').count(), 5, "four samples in a list");
    assert_eq!(server.metric("hinomi_remote_write_received_samples_total "), 6);
}

#[tokio::test]
async fn what_cannot_be_taken_is_named_and_the_rest_is_stored() {
    for (content_type, encode, name) in
        [("", encode_v1 as fn(&[TimeSeries]) -> Vec<u8>, "one"), (V2, encode_v2, "two")]
    {
        let server = taking(&WriteMessage::ALL);
        server.check_write(content_type, &encode(&[series(name, &[(5_000, 1.0)])]), 204, "").await;
        let message = encode(&[
            series(name, &[(6_000, 2.0), (5_000, 3.0), (4_000, 4.0), (-700_000, 5.0)]),
            series("other", &[(1_000, 1.0)]),
        ]);
        let labels = format!(r#"{{__name__="{name}", job="a"}}"#);
        let text = format!(
            "out of order sample for series {labels}\nduplicate sample for timestamp for series {labels}\n\
             out of bounds: timestamp is too far in the future for series {labels}\n\
             3 refused (1 out of order, 1 duplicate, 1 far future), 2 stored\n"
        );
        server.check_write(content_type, &message, 400, &text).await;
        assert_eq!(server.values(name).await, r#"[[1435781425.781,"1"],[1435781426.781,"4"]]"#);
        assert_eq!(server.values("other").await, r#"[[1435781429.781,"1"]]"#);
        assert_eq!(server.metric("hinomi_remote_write_refused_total{reason=\"duplicate\"} "), 1);
    }
}

#[tokio::test]
async fn version_2_says_what_was_written() {
    let server = taking(&WriteMessage::ALL);
    let written = |response: &Response| -> Vec<String> {
        let header = |name: &str| {
            let value = response.headers().get(format!("x-prometheus-remote-write-{name}-written"));
            value.map_or("none", |value| value.to_str().unwrap()).to_owned()
        };
        ["samples", "histograms", "exemplars"].into_iter().map(header).collect()
    };
    let histogram = Histogram {
        is_integer: true,
        count: 3.0,
        sum: 3.0,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive_buckets: vec![3.0],
        ..Histogram::default()
    };
    let mut full = series("full", &[(2_000, 1.0), (1_000, 2.0)]);
    full.samples[1].start_ms = NOW_MS - 90_000;
    let labels = Labels::from_pairs([("trace_id", "x")]);
    full.exemplars = vec![Exemplar { labels, value: 1.0, t_ms: NOW_MS - 1_000 }];
    full.metadata = Some(Metadata { help: "Help.".to_owned(), ..Metadata::default() });
    let mut native = series("native", &[]);
    native.histograms = vec![
        (NOW_MS - 2_000, 0, histogram.clone()),
        (NOW_MS - 1_000, 5, Histogram { count: 4.0, ..histogram.clone() }),
    ];
    let nameless =
        TimeSeries { labels: Labels::from_pairs([("a", "b")]), ..series("", &[(1, 1.0), (0, 1.0)]) };
    let message = encode_v2(&[full, native, nameless, series("empty", &[])]);
    let response = server.write(V2, &message).await;
    assert_eq!(
        (response.status().as_u16(), written(&response)),
        (400, vec!["2".into(), "1".into(), "1".into()])
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        std::str::from_utf8(&body).unwrap(),
        "3 observations found in buckets, but the Count field is 4: histogram's observation count should equal the \
         number of observations found in the buckets for series {__name__=\"native\", job=\"a\"}\n\
         invalid metric name or labels, got {a=\"b\"}\n\
         TimeSeries must contain at least one sample or histogram for series {__name__=\"empty\", job=\"a\"}\n\
         4 refused (2 invalid labels, 1 invalid histogram, 1 no samples), 4 stored\n"
    );
    assert_eq!(server.metric("prometheus_api_remote_write_invalid_labels_samples_total "), 2);

    // Version 1 passes over such labels in silence and has no such headers.
    let nameless = TimeSeries { labels: Labels::from_pairs([("a", "b")]), ..series("", &[(0, 1.0)]) };
    let response = server.write("", &encode_v1(&[nameless, series("named", &[(0, 1.0)])])).await;
    assert_eq!((response.status().as_u16(), written(&response)), (204, vec!["none".into(); 3]));
    assert_eq!(server.values("named").await, r#"[[1435781430.781,"1"]]"#);
}

#[tokio::test]
async fn types_and_units_of_version_2_become_labels() {
    let server = Server::starting();
    let store = server.store.clone();
    let server = taking_typed(server, &WriteMessage::ALL, store, true);
    let typed = |name: &str, metric_type, unit: &str, ago_ms| TimeSeries {
        metadata: Some(Metadata { metric_type, help: "Help.".to_owned(), unit: unit.to_owned() }),
        ..series(name, &[(ago_ms, 1.0)])
    };
    let mut own = typed("own", MetricType::Gauge, "", 0);
    own.labels = Labels::from_pairs([("__name__", "own"), ("__type__", "x"), ("__unit__", "y")]);
    for ago_ms in [10, 0] {
        let all = [
            typed("a", MetricType::Counter, "seconds", ago_ms),
            typed("b", MetricType::Unknown, "", ago_ms),
            own.clone(),
        ];
        assert_eq!(server.write(V2, &encode_v2(&all)).await.status(), 204);
    }
    // Another type makes another series, though the labels that were sent are the same.
    assert_eq!(server.write(V2, &encode_v2(&[typed("b", MetricType::Info, "", 0)])).await.status(), 204);
    // 1.0 says types beside the series only.
    assert_eq!(server.write("", &encode_v1(&[typed("c", MetricType::Gauge, "", 0)])).await.status(), 204);
    let (_, body) = server.get("/api/v1/series?match[]={__name__=~%22a|b|c|own%22}").await;
    assert_eq!(
        body,
        r#"{"status":"success","data":[{"__name__":"a","__type__":"counter","__unit__":"seconds","job":"a"},{"__name__":"b","__type__":"info","job":"a"},{"__name__":"b","job":"a"},{"__name__":"c","job":"a"},{"__name__":"own","__type__":"gauge"}]}"#
    );
}

#[tokio::test]
async fn what_cannot_be_read_stores_nothing() {
    let server = taking(&[WriteMessage::V1]);
    let mut cut = encode_v1(&[series("a", &[(0, 1.0)]), series("b", &[(0, 1.0)])]);
    cut.pop();
    server.check_write("", &cut, 400, "protobuf: WriteRequest ends within a field\n").await;
    assert_eq!(server.values("a").await, "");
    let send = async |content_type: &str, encoding: &str, body: &[u8]| {
        server.send(request(content_type, encoding, body.to_vec())).await
    };
    assert_eq!(send("", "snappy", b"\xff").await.0, 400);
    assert_eq!(
        send("", "gzip", b"").await,
        (
            415,
            "gzip encoding (compression) is not accepted by this server; only snappy is acceptable\n"
                .to_owned()
        )
    );
    assert_eq!(send("text/plain", "", b"").await.0, 415);
    assert_eq!(
        send(V2, "snappy", b"").await,
        (
            415,
            "io.prometheus.write.v2.Request protobuf message is not accepted by this server; only accepts \
             prometheus.WriteRequest\n"
                .to_owned()
        )
    );
    assert_eq!(server.get("/api/v1/write").await.0, 405);
}

/// As Prometheus 3.14 sends exemplars by 2.0: in time series of their own, behind those with the samples.
#[tokio::test]
async fn exemplars_that_come_without_samples_are_kept() {
    let server = taking(&[WriteMessage::V1, WriteMessage::V2]);
    let labels = Labels::from_pairs([("trace_id", "t")]);
    let exemplar = Exemplar { labels, t_ms: NOW_MS, value: 3.0 };
    let alone = TimeSeries { exemplars: vec![exemplar], ..series("named", &[]) };
    let response = server.write(V2, &encode_v2(&[series("named", &[(NOW_MS, 1.0)]), alone])).await;
    let stored = response.headers().get("x-prometheus-remote-write-exemplars-written").cloned();
    assert_eq!((response.status().as_u16(), stored.unwrap()), (204, "1".parse().unwrap()));
}

/// As Prometheus does with `created-timestamp-zero-ingestion`.
#[tokio::test]
async fn counters_that_say_when_they_began_get_a_zero_there() {
    let server = Server::starting();
    let store = server.store.clone();
    let options = ReceiverOptions { start_zeros: true, ..options(&server, &[WriteMessage::V2], store) };
    let server = taking_as(server, options);
    let counter = |ago_ms: i64, value: f64| {
        let sample = Sample { t_ms: NOW_MS - ago_ms, start_ms: NOW_MS - 60_000, value };
        TimeSeries { samples: vec![sample], ..series("began", &[]) }
    };
    for message in [encode_v2(&[counter(20_000, 7.0)]), encode_v2(&[counter(0, 9.0)])] {
        server.check_write(V2, &message, 204, "").await;
    }
    let expected = r#"[[1435781370.781,"0"],[1435781410.781,"7"],[1435781430.781,"9"]]"#;
    assert_eq!(server.values("began").await, expected);
}
