//! The client against real sockets: plain servers, broken servers, TLS servers, proxies.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request as Incoming;
use axum::response::{IntoResponse, Redirect};
use axum::routing::any;
use stdx::Dir;
use stdx::metrics::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::server::{ServerMetrics, ServerOptions, serve};

pub(crate) const LIMITS: Limits =
    Limits { timeout: Duration::from_secs(20), body_bytes_max: 100_000, decoded_bytes_max: 100_000 };

pub(crate) async fn start(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let metrics = ServerMetrics::new(&Registry::new());
    tokio::spawn(serve(listener, router, ServerOptions::default(), metrics, CancellationToken::new()));
    addr
}

/// Answers every connection with these bytes, whatever it asks, and closes.
async fn start_raw(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let mut buf = [0; 4096];
            let _ = tcp.read(&mut buf).await;
            let _ = tcp.write_all(answer).await;
        }
    });
    addr
}

fn client(yaml: &str) -> HttpClient {
    HttpClient::new(&model::yaml::parse("test.yml", yaml).unwrap()).unwrap()
}

async fn get(client: &HttpClient, url: &str) -> Result<String, String> {
    let response = client.request(Request::get(Url::parse(url).unwrap()), &LIMITS).await;
    let response = response.map_err(|err| err.to_string())?;
    response.require_success()?;
    Ok(String::from_utf8(response.body.to_vec()).unwrap())
}

/// Says what it was asked.
async fn echo(request: Incoming) -> String {
    let authorization = request.headers().get(AUTHORIZATION).map_or("none", |value| value.to_str().unwrap());
    format!("{} {} {authorization}", request.method(), request.uri())
}

#[tokio::test]
async fn compressed_answers_come_decompressed() {
    let addr = start(Router::new().route("/", any(|| async { "up 1\n".repeat(1_000) }))).await;
    assert_eq!(get(&client(""), &format!("http://{addr}/")).await, Ok("up 1\n".repeat(1_000)));
}

#[tokio::test]
async fn bodies_above_the_limit_are_refused_however_they_come() {
    let too_large = Err("body size limit exceeded".to_owned());
    // With a length, without one, and compressed to next to nothing.
    let addr = start(
        Router::new()
            .route("/plain", any(|| async { ([(CONTENT_TYPE, "image/png")], "x".repeat(100_001)) }))
            .route("/gzip", any(|| async { ([(CONTENT_TYPE, "text/plain")], "x".repeat(100_001)) })),
    )
    .await;
    for path in ["plain", "gzip"] {
        assert_eq!(get(&client(""), &format!("http://{addr}/{path}")).await, too_large);
    }
    let endless = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = endless.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = endless.accept().await.unwrap();
        let _ = tcp.read(&mut [0; 4096]).await;
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n").await;
        while tcp.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    assert_eq!(get(&client(""), &format!("http://{addr}/")).await, too_large);
}

#[tokio::test]
async fn a_status_counts_however_the_body_goes_on() {
    let long = format!("HTTP/1.1 201 Created\r\nContent-Length: 200000\r\n\r\n{}", "x".repeat(200_000));
    let cases: [(&'static [u8], u16, usize); 4] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", 200, 5),
        (long.leak().as_bytes(), 201, 100_000),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 200, 0),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nwait", 503, 4),
    ];
    for (answer, status, n_bytes) in cases {
        let url = Url::parse(&format!("http://{}/", start_raw(answer).await)).unwrap();
        let response = client("").request_for_status(Request::get(url), &LIMITS).await.unwrap();
        assert_eq!((response.status.as_u16(), response.body.len()), (status, n_bytes));
    }
    let url = Url::parse(&format!("http://{}/", start_raw(b"").await)).unwrap();
    assert!(client("").request_for_status(Request::get(url), &LIMITS).await.is_err(), "no status at all");
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_known_words() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cases: [(SocketAddr, &str); 6] = [
        (free, "Get \"http://ADDR/\": dial tcp ADDR: connect: connection refused"),
        (start_raw(b"").await, "Get \"http://ADDR/\": EOF"),
        (start_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort").await, "Get \"http://ADDR/\": EOF"),
        (
            start_raw(b"SSH-2.0-OpenSSH\r\n").await,
            "Get \"http://ADDR/\": malformed HTTP response: invalid HTTP version parsed",
        ),
        (
            start_raw(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n").await,
            "server returned HTTP status 500 Internal Server Error",
        ),
        (
            start_raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 11\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03\x2b").await,
            "cannot decompress the body: unexpected EOF",
        ),
    ];
    for (addr, expected) in cases {
        let got = get(&client(""), &format!("http://{addr}/")).await.unwrap_err();
        assert_eq!(got, expected.replace("ADDR", &addr.to_string()));
    }
    let got = get(&client(""), "http://no-such-host.invalid/").await.unwrap_err();
    assert!(
        got.starts_with("Get \"http://no-such-host.invalid/\": dial tcp: lookup no-such-host.invalid: "),
        "{got}"
    );
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_just_then_does_no_harm() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut n_connections = 0;
        while let Ok((mut tcp, _)) = listener.accept().await {
            n_connections += 1;
            let mut buf = [0; 4096];
            let _ = tcp.read(&mut buf).await;
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            // Waits for the next request, and closes instead of answering it.
            let _ = tcp.read(&mut buf).await;
            if n_connections == 2 {
                break;
            }
        }
    });
    let client = client("");
    for _ in 0..2 {
        assert_eq!(get(&client, &url).await.unwrap(), "ok");
    }
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn silence_ends_with_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:hunter2@{}/", listener.local_addr().unwrap());
    let limits = Limits { timeout: Duration::from_millis(50), ..LIMITS };
    let err = client("").request(Request::get(Url::parse(&url).unwrap()), &limits).await.unwrap_err();
    assert!(err.is_timeout());
    let expected = url.replace("hunter2", "xxxxx");
    assert_eq!(err.to_string(), format!("Get \"{expected}\": context deadline exceeded"));
}

#[tokio::test]
async fn credentials_are_sent_and_files_read_anew() {
    let addr = start(Router::new().route("/", any(echo))).await;
    let url = format!("http://{addr}/");
    assert_eq!(
        get(&client("basic_auth: {username: a, password: b}"), &url).await.unwrap(),
        "GET / Basic YTpi"
    );
    assert_eq!(get(&client("bearer_token: t"), &url).await.unwrap(), "GET / Bearer t");
    assert_eq!(
        get(&client("authorization: {type: Token, credentials: t}"), &url).await.unwrap(),
        "GET / Token t"
    );
    assert_eq!(get(&client(""), &format!("http://a:b@{addr}/")).await.unwrap(), "GET / Basic YTpi");
    let dir = tempfile::tempdir().unwrap();
    let files = DiskDir::open(dir.path()).unwrap();
    files.write_atomic(Path::new("token"), b"first\n").unwrap();
    let client = client(&format!("bearer_token_file: {}/token", dir.path().display()));
    assert_eq!(get(&client, &url).await.unwrap(), "GET / Bearer first");
    files.write_atomic(Path::new("token"), b"second\n").unwrap();
    assert_eq!(get(&client, &url).await.unwrap(), "GET / Bearer second");
    files.remove_file(Path::new("token")).unwrap();
    let err = get(&client, &url).await.unwrap_err();
    assert!(err.starts_with("unable to read credentials file "), "{err}");
}

#[tokio::test]
async fn redirects_are_followed_without_giving_credentials_away() {
    let addr = start(
        Router::new()
            .route("/", any(echo))
            .route("/here", any(|| async { Redirect::to("/") }))
            .route("/keep", any(|| async { Redirect::temporary("/") }))
            .route("/loop", any(|| async { Redirect::to("/loop") }))
            .route("/none", any(|| async { (StatusCode::FOUND, "no location").into_response() }))
            .route("/file", any(|| async { Redirect::to("file:///etc/passwd") }))
            .route(
                "/away",
                any(|request: Incoming| async move {
                    let host = request.headers()["host"].to_str().unwrap().replace("127.0.0.1", "localhost");
                    Redirect::to(&format!("http://{host}/"))
                }),
            ),
    )
    .await;
    let at = |path: &str| format!("http://{addr}/{path}");
    let known = client("bearer_token: hunter2");
    assert_eq!(get(&known, &at("here")).await.unwrap(), "GET / Bearer hunter2");
    assert_eq!(get(&known, &at("away")).await.unwrap(), "GET / none");
    assert_eq!(
        get(&known, &at("loop")).await.unwrap_err(),
        format!("Get \"{}\": stopped after 10 redirects", at("loop"))
    );
    assert_eq!(get(&known, &at("none")).await.unwrap_err(), "server returned HTTP status 302 Found");
    assert!(get(&known, &at("file")).await.unwrap_err().contains("unusable Location"));
    let post = |path: &str| Request::post(Url::parse(&at(path)).unwrap(), "text/plain", "body");
    for (path, expected) in [("here", "GET / Bearer hunter2"), ("keep", "POST / Bearer hunter2")] {
        assert_eq!(known.request(post(path), &LIMITS).await.unwrap().body, expected);
    }
    let stays = client("follow_redirects: false");
    assert_eq!(get(&stays, &at("here")).await.unwrap_err(), "server returned HTTP status 303 See Other");
}

/// A TLS server with a certificate for `localhost` of an authority of its own; asks for a client certificate of the
/// same authority when told to. Returns its port, the authority's PEM, and a client's certificate and key.
async fn start_tls(asks_client: bool) -> (u16, String, String, String) {
    let mut ca_params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca_params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca = ca_params.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::from_params(&ca_params, &ca_key);
    let signed = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert =
            rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        (cert, key)
    };
    let (cert, key) = signed("localhost");
    let (client_cert, client_key) = signed("client");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if asks_client {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = builder.with_single_cert(vec![cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                let mut buf = [0; 4096];
                let _ = tls.read(&mut buf).await;
                let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").await;
                let _ = tls.shutdown().await;
            });
        }
    });
    (port, ca.pem(), client_cert.pem(), client_key.serialize_pem())
}

fn indented(pem: &str) -> String {
    pem.lines().map(|line| format!("    {line}\n")).collect()
}

#[tokio::test]
async fn certificates_are_checked() {
    let (port, ca, ..) = start_tls(false).await;
    let (_, other_ca, ..) = start_tls(false).await;
    let url = format!("https://localhost:{port}/");
    let by_address = format!("https://127.0.0.1:{port}/");
    let with = |ca: &str, more: &str| client(&format!("tls_config:\n  ca: |\n{}{more}", indented(ca)));
    assert_eq!(get(&with(&ca, ""), &url).await.unwrap(), "secret");
    assert_eq!(get(&with(&ca, "  server_name: localhost\n"), &by_address).await.unwrap(), "secret");
    assert_eq!(
        get(&client("tls_config: {insecure_skip_verify: true}"), &by_address).await.unwrap(),
        "secret"
    );
    for (client, url, expected) in [
        (with(&other_ca, ""), &url, "x509: certificate signed by unknown authority"),
        (client(""), &url, "x509: certificate signed by unknown authority"),
        (with(&ca, ""), &by_address, "x509: certificate is not valid for the host's name"),
    ] {
        let err = get(&client, url).await.unwrap_err();
        assert!(err.contains(expected), "{err}");
    }
}

#[tokio::test]
async fn client_certificates_are_shown_and_files_read_anew() {
    let (port, ca, cert, key) = start_tls(true).await;
    let (_, other_ca, ..) = start_tls(false).await;
    let url = format!("https://localhost:{port}/");
    let dir = tempfile::tempdir().unwrap();
    let files = DiskDir::open(dir.path()).unwrap();
    for (name, text) in [("ca", &other_ca), ("cert", &cert), ("key", &key)] {
        files.write_atomic(Path::new(name), text.as_bytes()).unwrap();
    }
    let mut config: HttpClientConfig =
        model::yaml::parse("t.yml", "tls_config: {ca_file: ca, cert_file: cert, key_file: key}").unwrap();
    config.set_directory(dir.path());
    let client = HttpClient::new(&config).unwrap();
    assert!(get(&client, &url).await.unwrap_err().contains("unknown authority"));
    files.write_atomic(Path::new("ca"), ca.as_bytes()).unwrap();
    assert_eq!(get(&client, &url).await.unwrap(), "secret");
    files.remove_file(Path::new("key")).unwrap();
    let err = get(&client, &url).await.unwrap_err();
    assert!(err.starts_with("unable to read key file "), "{err}");
    files.write_atomic(Path::new("key"), b"garbage").unwrap();
    assert!(HttpClient::new(&config).unwrap_err().to_string().starts_with("invalid key: "));
}

#[tokio::test]
async fn proxies_carry_plain_requests_and_tunnels() {
    // Plain: the proxy sees the whole URL.
    let addr = start(Router::new().fallback(|request: Incoming| async move {
        let authorization = request.headers()["proxy-authorization"].to_str().unwrap().to_owned();
        format!("{} {authorization}", request.uri())
    }))
    .await;
    let proxied = client(&format!("proxy_url: http://a:b@{addr}"));
    assert_eq!(
        get(&proxied, "http://target.invalid:9/m?x=1").await.unwrap(),
        "http://target.invalid:9/m?x=1 Basic YTpi"
    );
    // Tunnel: the proxy connects, TLS goes through.
    let (port, ca, ..) = start_tls(false).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut buf = [0; 4096];
        let n_bytes = tcp.read(&mut buf).await.unwrap();
        assert!(buf[..n_bytes].starts_with(format!("CONNECT localhost:{port} HTTP/1.1\r\n").as_bytes()));
        tcp.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        let mut onward = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut tcp, &mut onward).await;
    });
    let through = client(&format!("proxy_url: http://{proxy}\ntls_config:\n  ca: |\n{}", indented(&ca)));
    assert_eq!(get(&through, &format!("https://localhost:{port}/")).await.unwrap(), "secret");
    let refusing = start_raw(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
    let err =
        get(&client(&format!("proxy_url: http://{refusing}")), "https://target.invalid/").await.unwrap_err();
    assert_eq!(err, "Get \"https://target.invalid/\": proxyconnect tcp: HTTP/1.1 403 Forbidden");
}

/// A SOCKS proxy for one user, which leads everybody to `onward`. Tells the names that were asked for.
async fn start_socks(onward: SocketAddr) -> (SocketAddr, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (sender, names) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let mut hello = [0; 4];
            tcp.read_exact(&mut hello).await.unwrap();
            assert_eq!(hello, [5, 2, 0, 2]);
            tcp.write_all(&[5, 2]).await.unwrap();
            let mut login = [0; 5];
            tcp.read_exact(&mut login).await.unwrap();
            tcp.write_all(&[1, u8::from(login != [1, 1, b'a', 1, b'b'])]).await.unwrap();
            let mut asked = vec![0; 5];
            if tcp.read_exact(&mut asked).await.is_err() {
                continue;
            }
            assert_eq!(asked[..4], [5, 1, 0, 3]);
            let mut name = vec![0; usize::from(asked[4]) + 2];
            tcp.read_exact(&mut name).await.unwrap();
            name.truncate(usize::from(asked[4]));
            sender.send(String::from_utf8(name).unwrap()).await.unwrap();
            tcp.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
            tokio::spawn(async move {
                let mut onward = tokio::net::TcpStream::connect(onward).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut tcp, &mut onward).await;
            });
        }
    });
    (addr, names)
}

#[tokio::test]
async fn socks_proxies_look_names_up_and_see_nothing_else() {
    let target = start(Router::new().fallback(|request: Incoming| async move {
        format!("{} {:?}", request.uri(), request.headers().get("proxy-authorization"))
    }))
    .await;
    for scheme in ["socks5", "socks5h"] {
        let (proxy, mut names) = start_socks(target).await;
        let proxied = client(&format!("proxy_url: {scheme}://a:b@{proxy}"));
        assert_eq!(get(&proxied, "http://target.invalid:9/m?x=1").await.unwrap(), "/m?x=1 None");
        assert_eq!(names.recv().await.unwrap(), "target.invalid");
        let stranger = client(&format!("proxy_url: {scheme}://a:c@{proxy}"));
        assert_eq!(
            get(&stranger, "http://target.invalid:9/").await.unwrap_err(),
            format!(
                "Get \"http://target.invalid:9/\": socks connect tcp {proxy}->target.invalid:9: username/password authentication failed"
            )
        );
    }
    let (port, ca, ..) = start_tls(false).await;
    let (proxy, _names) = start_socks(SocketAddr::from(([127, 0, 0, 1], port))).await;
    let secured = format!("proxy_url: socks5://a:b@{proxy}\ntls_config:\n  ca: |\n{}", indented(&ca));
    assert_eq!(get(&client(&secured), "https://localhost:1/").await.unwrap(), "secret");
}

#[tokio::test]
async fn answers_come_over_a_socket_of_the_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        let reach = Reach::Socket(dir.path().join(name));
        let config =
            model::yaml::parse("t.yml", "bearer_token: t\nproxy_url: http://u:p@nobody.invalid").unwrap();
        HttpClient::reaching(&config, None, reach).unwrap()
    };
    let listener = tokio::net::UnixListener::bind(dir.path().join("s.sock")).unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(echo))).await });
    let client = at("s.sock");
    for _ in 0..2 {
        assert_eq!(get(&client, "http://localhost/a?b=c").await.unwrap(), "GET /a?b=c Bearer t");
    }
    let missing = get(&at("none"), "http://localhost/a").await.unwrap_err();
    let expected = format!("dial unix {}/none: connect: no such file or directory", dir.path().display());
    assert_eq!(missing, format!("Get \"http://localhost/a\": {expected}"));
}

#[tokio::test]
async fn connections_that_are_not_http_speak_tls_too() {
    let (port, ca, cert, key) = start_tls(true).await;
    let (_, other_ca, ..) = start_tls(false).await;
    let dialer = |ca: &str| {
        let tls = crate::TlsConfig {
            ca: ca.to_owned(),
            cert: cert.clone(),
            key: crate::Secret::new(key.clone()),
            ..crate::TlsConfig::default()
        };
        crate::Dialer::new(Some(tls)).unwrap()
    };
    let mut stream = dialer(&ca).connect("localhost", port).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(b"secret"));
    let err = dialer(&other_ca).connect("localhost", port).await.err().unwrap();
    assert!(err.to_string().contains("x509: certificate signed by unknown authority"), "{err}");
    let missing = crate::TlsConfig { ca_file: Some("/missing/ca.pem".into()), ..crate::TlsConfig::default() };
    assert!(crate::Dialer::new(Some(missing)).is_err());
}
