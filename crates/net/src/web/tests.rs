//! The door against real clients: our own over TLS and not, curl for HTTP/2.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use stdx::metrics::Registry;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::server::{ServerMetrics, ServerOptions, serve};
use crate::{HttpClient, Limits, Request};

/// `secret`, hashed with the least cost.
static HASH: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| bcrypt::hash("secret", 4).unwrap());
const LIMITS: Limits =
    Limits { timeout: Duration::from_secs(20), body_bytes_max: 100_000, decoded_bytes_max: 100_000 };

/// A directory with an authority, and certificates that it signed.
struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let authority = Self { dir, issuer: Issuer::new(params, key) };
        authority.write("ca.pem", &cert.pem());
        authority
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        self.disk().write_atomic(&path, text.as_bytes()).unwrap();
        path
    }

    fn disk(&self) -> DiskDir {
        DiskDir::anywhere()
    }

    /// Writes `<name>.pem` and `<name>.key`, valid until the year `until`.
    fn sign(&self, name: &str, names: &[&str], until: i32) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        self.write(&format!("{name}.pem"), &cert.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// A server whose file holds `web`.
    async fn serve(&self, web: &str) -> SocketAddr {
        let path = self.write("web.yml", web);
        let options = ServerOptions {
            web: Some(Arc::new(WebConfig::open(&path).unwrap())),
            ..ServerOptions::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let version = |request: axum::extract::Request| async move { format!("{:?}", request.version()) };
        let router = Router::new()
            .route("/", get(|| async { "in" }))
            .route("/version", get(version))
            .route("/large", get(|| async { "x".repeat(90_000) }));
        let metrics = ServerMetrics::new(&Registry::new());
        tokio::spawn(serve(listener, router, options, metrics, CancellationToken::new()));
        addr
    }

    /// What a client with this `http_config` gets from `url`.
    async fn get(&self, url: &str, http_config: &str) -> Result<crate::Response, String> {
        let mut config: crate::HttpClientConfig = yaml::parse("client.yml", http_config).unwrap();
        config.set_directory(self.dir.path());
        let client = HttpClient::new(&config).unwrap();
        client.request(Request::get(url.parse().unwrap()), &LIMITS).await.map_err(|err| err.to_string())
    }

    async fn check(&self, url: &str, http_config: &str, expected: &str) {
        let got = match self.get(url, http_config).await {
            Ok(response) => response.status.as_str().to_owned(),
            Err(err) => err,
        };
        assert!(got.contains(expected), "{http_config}: {got}");
    }
}

const TLS: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";

#[tokio::test]
async fn only_right_passwords_come_in_and_a_new_user_needs_no_restart() {
    let dir = Authority::new();
    let headers = "http_server_config: {headers: {X-Frame-Options: deny}}\n";
    let addr = dir.serve(&format!("{headers}basic_auth_users: {{alice: {}}}", *HASH)).await;
    let url = format!("http://{addr}/");
    for _ in 0..2 {
        dir.check(&url, "basic_auth: {username: alice, password: secret}", "200").await;
        dir.check(&url, "basic_auth: {username: alice, password: wrong}", "401").await;
        dir.check(&url, "basic_auth: {username: bob, password: secret}", "401").await;
        dir.check(&url, "authorization: {credentials: secret}", "401").await;
    }
    let refused = dir.get(&url, "").await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.header(&WWW_AUTHENTICATE)), (401, "Basic"));
    assert_eq!(refused.headers["x-frame-options"], "deny");
    assert_eq!(&refused.body[..], b"Unauthorized\n");

    dir.write("web.yml", &format!("basic_auth_users: {{bob: {}}}", *HASH));
    dir.check(&url, "basic_auth: {username: bob, password: secret}", "200").await;
    dir.check(&url, "basic_auth: {username: alice, password: secret}", "401").await;
    // A file that cannot be used changes nothing.
    dir.write("web.yml", "basic_auth_users: {bob: x}");
    dir.check(&url, "basic_auth: {username: bob, password: secret}", "200").await;
    dir.check(&url, "", "401").await;
}

#[tokio::test]
async fn requests_beyond_the_rate_are_refused() {
    let dir = Authority::new();
    let url = format!("http://{}/", dir.serve("rate_limit: {interval: 1h, burst: 2}").await);
    for expected in ["200", "200", "429"] {
        dir.check(&url, "", expected).await;
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_at_the_next_handshake() {
    let dir = Authority::new();
    dir.sign("server", &["127.0.0.1"], 2002);
    let addr = dir.serve(TLS).await;
    let (url, config) = (format!("https://{addr}/"), "tls_config: {ca_file: ca.pem}");
    dir.check(&url, config, "certificate has expired or is not yet valid").await;
    dir.sign("server", &["127.0.0.1"], 2099);
    dir.check(&url, config, "200").await;
    dir.write("server.pem", "half of it");
    dir.check(&url, config, "200").await;
    let plain = format!("http://{addr}/");
    let answer = dir.get(&plain, "").await.unwrap();
    assert_eq!(&answer.body[..], b"Client sent an HTTP request to an HTTPS server.\n");
}

#[tokio::test]
async fn a_certificate_that_is_its_own_authority_is_trusted_where_it_is_listed() {
    let dir = Authority::new();
    for (until, url_host, expected) in [
        (2099, "127.0.0.1", "200"),
        (2099, "localhost", "certificate is not valid for the host's name"),
        (2002, "127.0.0.1", "certificate has expired or is not yet valid"),
    ] {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        dir.write("server.pem", &params.self_signed(&key).unwrap().pem());
        dir.write("server.key", &key.serialize_pem());
        let port = dir.serve(TLS).await.port();
        let url = format!("https://{url_host}:{port}/");
        dir.check(&url, "tls_config: {ca_file: server.pem}", expected).await;
        dir.check(&url, "tls_config: {ca_file: ca.pem}", "tls: failed to verify certificate").await;
    }
}

#[tokio::test]
async fn clients_show_the_certificates_that_are_asked_for() {
    let dir = Authority::new();
    dir.sign("server", &["127.0.0.1"], 2099);
    dir.sign("good", &["scraper.example", "10.1.2.3"], 2099);
    dir.sign("old", &["scraper.example"], 2002);
    let stranger = Authority::new();
    stranger.sign("stranger", &["scraper.example"], 2099);
    for file in ["stranger.pem", "stranger.key"] {
        let bytes = stranger.disk().read(&stranger.dir.path().join(file)).unwrap();
        dir.write(file, std::str::from_utf8(&bytes).unwrap());
    }
    let (none, good, old, other) = ("", "good", "old", "stranger");
    let cases: &[(&str, &[(&str, bool)])] = &[
        ("client_auth_type: RequestClientCert", &[(none, true), (good, true), (old, true), (other, true)]),
        (
            "client_auth_type: RequireAnyClientCert",
            &[(none, false), (good, true), (old, true), (other, true)],
        ),
        (
            "client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem",
            &[(none, true), (good, true), (old, false), (other, false)],
        ),
        (
            "client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem",
            &[(none, false), (good, true), (old, false), (other, false)],
        ),
        (
            "client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [a, 10.1.2.3]",
            &[(good, true)],
        ),
        (
            "client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [scraper]",
            &[(good, false)],
        ),
        (
            "client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  max_version: TLS12",
            &[(none, false), (good, true)],
        ),
    ];
    for (keys, clients) in cases {
        let url = format!("https://{}/", dir.serve(&format!("{TLS}  {keys}\n")).await);
        for (name, is_welcome) in *clients {
            let cert = match *name {
                "" => String::new(),
                name => format!(", cert_file: {name}.pem, key_file: {name}.key"),
            };
            let got = dir.get(&url, &format!("tls_config: {{ca_file: ca.pem{cert}}}")).await;
            assert_eq!(got.is_ok(), *is_welcome, "{keys}, {name:?}: {got:?}");
        }
    }
}

#[tokio::test]
async fn a_client_certificate_that_signed_itself_may_be_named_as_authority() {
    let dir = Authority::new();
    dir.sign("server", &["127.0.0.1"], 2099);
    let mut params = CertificateParams::new(vec!["c".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    dir.write("self.pem", &params.self_signed(&key).unwrap().pem());
    dir.write("self.key", &key.serialize_pem());
    let web = format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: self.pem\n");
    let url = format!("https://{}/", dir.serve(&web).await);
    dir.check(&url, "tls_config: {ca_file: ca.pem, cert_file: self.pem, key_file: self.key}", "200").await;
}

#[tokio::test]
async fn our_client_speaks_http2_where_both_sides_want_it() {
    let authority = Authority::new();
    authority.sign("server", &["localhost"], 2100);
    let ca = format!("tls_config: {{ca_file: {}}}\n", authority.dir.path().join("ca.pem").display());
    for (web, client, expected) in [
        ("", "", "HTTP/2.0"),
        ("", "enable_http2: false", "HTTP/1.1"),
        ("http_server_config: {http2: false}\n", "", "HTTP/1.1"),
    ] {
        let port = authority.serve(&format!("{TLS}{web}")).await.port();
        let url = format!("https://localhost:{port}/version");
        let answer = authority.get(&url, &format!("{ca}{client}")).await.unwrap();
        assert_eq!(answer.body, expected, "{web} {client}");
    }
    // One connection, questions at once, answers larger than a frame.
    let port = authority.serve(TLS).await.port();
    let client = HttpClient::new(&yaml::parse("c.yml", &ca).unwrap()).unwrap();
    let url = url::Url::parse(&format!("https://localhost:{port}/large")).unwrap();
    let asked = (0..20).map(|_| client.send(Request::get(url.clone()), &LIMITS));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.unwrap().body.len(), 90_000);
    }
}

#[tokio::test]
async fn http2_is_spoken_to_those_who_ask_unless_it_is_off() {
    let dir = Authority::new();
    dir.sign("server", &["127.0.0.1"], 2099);
    for (more, expected) in [("", "in2"), ("http_server_config: {http2: false}\n", "in1.1")] {
        let url = format!("https://{}/", dir.serve(&format!("{TLS}{more}")).await);
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "-m", "20", "--http2", "-w", "%{http_version}", "--cacert"])
            .arg(dir.dir.path().join("ca.pem"));
        curl.arg(&url);
        let Ok(Ok(out)) = tokio::task::spawn_blocking(move || curl.output()).await else {
            println!("curl is not there");
            return;
        };
        let (out, err) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out, expected, "{err}");
    }
}

#[test]
fn what_cannot_be_spoken_is_refused_at_the_start() {
    let dir = Authority::new();
    dir.sign("server", &["127.0.0.1"], 2099);
    dir.sign("other", &["127.0.0.1"], 2099);
    let check = |web: &str, expected: &str| {
        let path = dir.write("web.yml", web);
        let got = WebConfig::open(&path).map_or_else(|err| err.to_string(), |_| "ok".to_owned());
        assert!(got.contains(expected), "{web}: {got}");
    };
    check(TLS, "ok");
    check(&TLS.replace("server.key", "gone.key"), "unable to read key file");
    check(&TLS.replace("server.key", "other.key"), "invalid cert and key: ");
    check(&TLS.replace("server.pem", "server.key"), "invalid cert: no certificate in it");
    check(&format!("{TLS}  curve_preferences: [CurveP521]"), "CurveP521 is not spoken");
    check(
        &format!(
            "{TLS}  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n  max_version: TLS12\nhttp_server_config: {{http2: false}}"
        ),
        "none of them is spoken",
    );
}
