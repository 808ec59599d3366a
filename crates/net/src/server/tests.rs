//! The server against real clients, well-behaved and otherwise.

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

struct Running {
    addr: SocketAddr,
    registry: Registry,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start(router: Router, options: ServerOptions) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (registry, stop) = (Registry::new(), CancellationToken::new());
    let task = tokio::spawn(serve(listener, router, options, ServerMetrics::new(&registry), stop.clone()));
    Running { addr, registry, stop, task }
}

async fn exchange(addr: SocketAddr, request: &str) -> String {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tcp.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn bodies_above_the_cap_are_refused() {
    let router = Router::new().route("/", post(|body: String| async move { body }));
    let server = start(router, ServerOptions { body_bytes_max: 10, ..ServerOptions::default() }).await;
    let ok = exchange(
        server.addr,
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n0123456789",
    )
    .await;
    assert!(ok.starts_with("HTTP/1.1 200") && ok.ends_with("0123456789"), "{ok}");
    let announced =
        exchange(server.addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890").await;
    assert!(announced.starts_with("HTTP/1.1 413"), "{announced}");
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n";
    let chunked = exchange(server.addr, chunked).await;
    assert!(chunked.starts_with("HTTP/1.1 4"), "{chunked}");
    assert!(server.registry.render().contains("net_server_bodies_too_large_total 2\n"));
}

#[tokio::test]
async fn broken_requests_get_an_error_and_hurt_nobody() {
    let server = start(Router::new().route("/", get(|| async { "ok" })), ServerOptions::default()).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    for (request, expected) in
        [("garbage\r\n\r\n", "HTTP/1.1 400"), (long.as_str(), "HTTP/1.1 4"), (many.as_str(), "HTTP/1.1 431")]
    {
        let answer = exchange(server.addr, request).await;
        assert!(answer.starts_with(expected), "{answer}");
    }
    let ok = exchange(server.addr, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(ok.ends_with("ok"), "{ok}");
}

#[tokio::test]
async fn slow_bodies_are_cut_off() {
    let router = Router::new().route("/", post(|body: String| async move { body }));
    let options = ServerOptions { read_timeout: Duration::from_millis(50), ..ServerOptions::default() };
    let server = start(router, options).await;
    let answer = exchange(server.addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n012").await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert!(server.registry.render().contains("net_server_read_timeouts_total 1\n"));
}

#[tokio::test]
async fn more_connections_than_allowed_wait() {
    let router = Router::new().route("/", get(|| async { "ok" }));
    let server = start(router, ServerOptions { connections_max: 1, ..ServerOptions::default() }).await;
    let mut first = TcpStream::connect(server.addr).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut buf = [0; 512];
    assert!(first.read(&mut buf).await.unwrap() > 0);
    let second =
        tokio::spawn(exchange(server.addr, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    while !server.registry.render().contains("net_server_connections_waited_total 1\n") {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished());
    drop(first);
    assert!(second.await.unwrap().ends_with("ok"));
}

#[tokio::test]
async fn stop_lets_open_requests_finish_and_cuts_off_the_rest() {
    let (entered, mut entries) = tokio::sync::mpsc::channel(2);
    let release = Arc::new(tokio::sync::Notify::new());
    let router = Router::new()
        .route(
            "/finishes",
            get({
                let (entered, release) = (entered.clone(), Arc::clone(&release));
                move || async move {
                    entered.send(()).await.unwrap();
                    release.notified().await;
                    "done"
                }
            }),
        )
        .route(
            "/hangs",
            get(move || async move {
                entered.send(()).await.unwrap();
                std::future::pending::<()>().await;
            }),
        );
    let server = start(
        router,
        ServerOptions { drain_timeout: Duration::from_millis(300), ..ServerOptions::default() },
    )
    .await;
    let finishes = tokio::spawn(exchange(server.addr, "GET /finishes HTTP/1.1\r\nHost: a\r\n\r\n"));
    let hangs = tokio::spawn(exchange(server.addr, "GET /hangs HTTP/1.1\r\nHost: a\r\n\r\n"));
    for _ in 0..2 {
        entries.recv().await.unwrap();
    }
    server.stop.cancel();
    release.notify_one();
    assert!(finishes.await.unwrap().ends_with("done"));
    assert_eq!(hangs.await.unwrap(), "");
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err());
    assert!(server.registry.render().contains("net_server_connections 0\n"));
}

#[tokio::test]
async fn handlers_see_the_client_and_answers_are_compressed_when_asked() {
    let router = Router::new()
        .route(
            "/who",
            get(|ConnectInfo(client): ConnectInfo<SocketAddr>| async move { client.ip().to_string() }),
        )
        .route("/long", get(|| async { "x".repeat(10_000) }));
    let server = start(router, ServerOptions::default()).await;
    let who = exchange(server.addr, "GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(who.ends_with("127.0.0.1"), "{who}");
    let plain = exchange(server.addr, "GET /long HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(plain.ends_with("xxx"), "{plain}");
    let gzip = exchange(
        server.addr,
        "GET /long HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n",
    )
    .await;
    assert!(gzip.contains("content-encoding: gzip") && gzip.len() < 1_000, "{gzip}");
}
