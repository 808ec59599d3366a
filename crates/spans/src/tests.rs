//! Spans from a call site to the bytes that a receiver gets, over HTTP and over gRPC.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use net::server::{ServerMetrics, ServerOptions, serve};
use parking_lot::Mutex;
use stdx::metrics::Registry as Metrics;
use stdx::{Clock as _, SystemClock, TestClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info_span;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{Program, Tracer, TracingConfig};

/// What a receiver was sent: path, headers, message.
type Taken = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

/// A receiver that takes everything, and says so with `status` and `headers`.
struct Receiver {
    addr: String,
    taken: Taken,
    _stop: tokio_util::sync::DropGuard,
}

impl Receiver {
    async fn start(
        http2_only: bool,
        status: StatusCode,
        header: Option<(&'static str, &'static str)>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let (taken, stop) = (Taken::default(), CancellationToken::new());
        let take = async move |State(taken): State<Taken>, request: Request| {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            taken.lock().push((parts.uri.path().to_owned(), parts.headers, body));
            let headers = header.map(|(name, value)| [(name, value)]);
            (status, headers.map(|headers| (headers, "")).ok_or(""))
        };
        let router = Router::new().route("/{*path}", post(take)).with_state(taken.clone());
        let options = ServerOptions { http2_only, ..ServerOptions::default() };
        tokio::spawn(serve(listener, router, options, ServerMetrics::new(&Metrics::new()), stop.clone()));
        Self { addr, taken, _stop: stop.drop_guard() }
    }
}

/// One collector at a time: whether a call site is wanted is remembered for all threads of the process.
static ALONE: Mutex<()> = Mutex::new(());

/// Collects what this thread does, for as long as it lives.
struct Collecting {
    _collector: tracing::subscriber::DefaultGuard,
    _alone: parking_lot::MutexGuard<'static, ()>,
}

fn collect(tracer: &Tracer) -> Collecting {
    let alone = ALONE.lock();
    let collector = tracing::subscriber::set_default(tracing_subscriber::registry().with(tracer.layer()));
    Collecting { _collector: collector, _alone: alone }
}

/// A tracer that collects from this thread, for as long as the guard lives.
fn tracer() -> (Tracer, Collecting, Metrics) {
    let tracer = Tracer::new(Program { name: "prometheus", version: "9" }, Arc::new(SystemClock::new()));
    let metrics = Metrics::new();
    tracer.register(&metrics);
    let guard = collect(&tracer);
    (tracer, guard, metrics)
}

fn turn_on(tracer: &Tracer, yaml: &str) {
    let config: TracingConfig = model::yaml::parse("a.yml", yaml).unwrap();
    tracer.take(tracer.prepare(Some(&config)).unwrap());
}

/// Some work: two spans in one trace, on two threads, of a request that came from elsewhere.
fn work() {
    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let server =
        info_span!("request", otel.name = "GET /x", otel.kind = "server", otel.parent = HEADER, n = 3);
    let below = server.in_scope(|| info_span!("below", error = tracing::field::Empty));
    let thread = tracing::dispatcher::get_default(Clone::clone);
    std::thread::spawn(move || {
        tracing::dispatcher::with_default(&thread, || {
            below.in_scope(|| below.record("error", "it broke"));
            drop(below);
        });
    })
    .join()
    .unwrap();
}

/// Fields of a message, by number.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let tag = stdx::varint::get_u64(&mut message).unwrap();
        let n_bytes = match tag & 7 {
            0 => {
                let value = stdx::varint::get_u64(&mut message).unwrap();
                found.push((tag >> 3, value.to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            5 => 4,
            _ => usize::try_from(stdx::varint::get_u64(&mut message).unwrap()).unwrap(),
        };
        let (bytes, rest) = message.split_at(n_bytes);
        found.push((tag >> 3, bytes.to_vec()));
        message = rest;
    }
    found
}

fn only(message: &[u8], number: u64) -> Vec<u8> {
    fields(message).into_iter().find(|(found, _)| *found == number).unwrap_or_default().1
}

/// The spans of a request, by name.
fn spans_of(request: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let resource_spans = only(request, 1);
    assert!(String::from_utf8_lossy(&only(&resource_spans, 1)).contains("service.name"));
    let scope_spans = only(&resource_spans, 2);
    let spans = fields(&scope_spans).into_iter().filter(|(number, _)| *number == 2);
    spans.map(|(_, span)| (String::from_utf8(only(&span, 5)).unwrap(), span)).collect()
}

/// What [`work`] makes.
fn check_spans(request: &[u8]) {
    let spans = spans_of(request);
    let (server, below) = (&spans["GET /x"], &spans["below"]);
    assert_eq!(stdx::hex::encode(&only(server, 1)), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(stdx::hex::encode(&only(server, 4)), "b7ad6b7169203331");
    assert_eq!(only(server, 6)[0], 2, "a span of a server");
    assert!(only(server, 9).starts_with(b"\x0a\x01n"));
    assert_eq!(only(below, 1), only(server, 1));
    assert_eq!(only(below, 4), only(server, 2));
    assert_eq!(only(&only(below, 15), 2), b"it broke");
    let time = |span: &[u8], number| u64::from_le_bytes(only(span, number).try_into().unwrap());
    assert!(time(server, 7) <= time(below, 7) && time(below, 7) <= time(below, 8));
    let now_ns = SystemClock::new().now_ms().unsigned_abs() * 1_000_000;
    assert!(now_ns.abs_diff(time(server, 7)) < 60_000_000_000);
}

#[tokio::test]
async fn spans_come_over_http_with_headers_and_compressed() {
    let receiver = Receiver::start(false, StatusCode::OK, None).await;
    let (tracer, _guard, metrics) = tracer();
    let addr = &receiver.addr;
    turn_on(
        &tracer,
        &format!(
            "{{endpoint: '{addr}', client_type: http, insecure: true, compression: gzip, headers: {{X-Scope: me}}}}"
        ),
    );
    work();
    tracer.stop().await;
    let taken = receiver.taken.lock().clone();
    let [(path, headers, body)] = &taken[..] else { panic!("one request expected: {taken:?}") };
    assert_eq!(path, "/v1/traces");
    assert_eq!(
        (&headers["x-scope"], &headers["content-type"]),
        (&"me".parse().unwrap(), &"application/x-protobuf".parse().unwrap())
    );
    check_spans(&net::decompress::decode("gzip", body.clone(), 1 << 20).unwrap());
    assert!(metrics.render().contains("hinomi_tracing_spans_sent_total 2\n"), "{}", metrics.render());
}

#[tokio::test]
async fn spans_come_over_grpc() {
    for compression in ["", "gzip"] {
        let receiver = Receiver::start(true, StatusCode::OK, Some(("grpc-status", "0"))).await;
        let (tracer, _guard, metrics) = tracer();
        let addr = &receiver.addr;
        turn_on(&tracer, &format!("{{endpoint: '{addr}', insecure: true, compression: '{compression}'}}"));
        work();
        tracer.stop().await;
        let taken = receiver.taken.lock().clone();
        let [(path, headers, body)] = &taken[..] else { panic!("one call expected: {taken:?}") };
        assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        assert_eq!(headers["content-type"], "application/grpc");
        assert_eq!(
            (usize::from(body[0]), body.len()),
            (compression.len() / 4, 5 + u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize)
        );
        check_spans(&net::decompress::decode(compression, body.slice(5..), 1 << 20).unwrap());
        assert!(metrics.render().contains("hinomi_tracing_spans_sent_total 2\n"), "{}", metrics.render());
    }
}

#[tokio::test]
async fn what_a_receiver_refuses_is_counted_and_not_sent_again() {
    for (http2_only, status, header) in
        [(false, StatusCode::BAD_REQUEST, None), (true, StatusCode::OK, Some(("grpc-status", "3")))]
    {
        let receiver = Receiver::start(http2_only, status, header).await;
        let (tracer, _guard, metrics) = tracer();
        let client_type = if http2_only { "grpc" } else { "http" };
        turn_on(
            &tracer,
            &format!("{{endpoint: '{}', insecure: true, client_type: {client_type}}}", receiver.addr),
        );
        work();
        tracer.stop().await;
        assert_eq!(receiver.taken.lock().len(), 1);
        let page = metrics.render();
        assert!(page.contains("hinomi_tracing_spans_dropped_total{reason=\"refused\"} 2\n"), "{page}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_lost_holds_nothing_up() {
    // Taken and given back: nobody listens there.
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (tracer, _guard, metrics) = tracer();
    turn_on(&tracer, &format!("{{endpoint: '{addr}', insecure: true, sampling_fraction: 1}}"));
    // Never awaits, so that it could not wait for the receiver.
    (0..5_000).for_each(|_| drop(info_span!("work")));
    let page = metrics.render();
    assert!(page.contains("hinomi_tracing_spans_dropped_total{reason=\"queue_full\"} 2952\n"), "{page}");
    // The clock that counts here is the machine's: two seconds, as promised.
    tracer.stop().await;
}

#[tokio::test]
async fn who_begins_a_trace_decides_whether_it_is_sent() {
    let receiver = Receiver::start(false, StatusCode::OK, None).await;
    let (tracer, _guard, _) = tracer();
    turn_on(&tracer, &format!("{{endpoint: '{}', insecure: true, client_type: http}}", receiver.addr));
    let parent_in = |span: tracing::Span| {
        span.in_scope(crate::layer::current_parent).unwrap().to_str().unwrap().to_owned()
    };
    // Begun here, of which none are sent; passed on all the same, so that nobody below begins one.
    assert!(parent_in(info_span!("ours")).ends_with("-00"));
    let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let passed_on = parent_in(info_span!("theirs", otel.parent = unsampled));
    assert!(passed_on.starts_with(&unsampled[..36]) && passed_on.ends_with("-00"), "{passed_on}");
    tracer.stop().await;
    assert!(receiver.taken.lock().is_empty());
    assert!(crate::layer::current_parent().is_none());
}

#[tokio::test]
async fn spans_cost_nothing_until_a_configuration_wants_them() {
    let (tracer, _guard, _) = tracer();
    let is_disabled = || info_span!("work").is_disabled();
    assert!(is_disabled());
    let config = "{endpoint: '127.0.0.1:1', insecure: true}";
    turn_on(&tracer, config);
    assert!(!is_disabled());
    tracer.take(tracer.prepare(None).unwrap());
    assert!(is_disabled());
}

#[test]
fn a_clock_that_is_set_does_not_tear_a_trace() {
    let clock = Arc::new(TestClock::new());
    let tracer = Tracer::new(Program { name: "prometheus", version: "9" }, clock.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let _guard = collect(&tracer);
    turn_on(&tracer, "{endpoint: '127.0.0.1:1', insecure: true, sampling_fraction: 1}");
    let (sender, mut queue) = tokio::sync::mpsc::channel(8);
    tracer.replace_queue(sender);
    let span = info_span!("work");
    clock.advance_ms(5);
    clock.jump_wall_ms(7);
    drop(span);
    let span = queue.try_recv().unwrap();
    assert_eq!(span.end_ns - span.start_ns, 5_000_000);
}
