//! Tokens and keys from small servers that answer as the documented ones do.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::{RawForm, Request as Incoming};
use axum::response::IntoResponse;
use axum::routing::{any, get, post, put};
use http::StatusCode;
use stdx::clock::TestClock;
use stdx::dir::Dir;

use super::*;
use crate::client::Request;
use crate::client::tests::{LIMITS, start};

const KEY: &str = include_str!("testdata/rsa.pem");

fn write(path: &Path, text: &str) {
    DiskDir::anywhere().create(path).unwrap().append(text.as_bytes()).unwrap();
}

/// An environment of only these variables.
fn surroundings(vars: &[(&str, String)]) -> Surroundings {
    let vars: Vec<_> = vars.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let env = move |name: &str| vars.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    Surroundings {
        env: Arc::new(env),
        dir: DiskDir::anywhere(),
        clock: Arc::new(TestClock::new()),
        client: Box::new(HttpClient::new(&HttpClientConfig::default()).unwrap()),
    }
}

fn authorizer(way: Way, around: Surroundings) -> Authorizer {
    Authorizer { way, around, token: Held::default(), keys: Held::default() }
}

fn with_oauth2(config: OAuth2) -> Authorizer {
    authorizer(Way::OAuth2(Box::new(config), AtomicBool::new(false)), surroundings(&[]))
}

/// The headers of a GET.
async fn headers_of(authorizer: &Authorizer) -> Result<HeaderMap, String> {
    let url = Url::parse("http://target/metrics").unwrap();
    let mut headers = HeaderMap::new();
    authorizer.authorize(&Method::GET, &url, &mut headers, b"").await.map_err(|err| err.to_string())?;
    Ok(headers)
}

async fn authorization(authorizer: &Authorizer) -> Result<String, String> {
    Ok(headers_of(authorizer).await?[AUTHORIZATION].to_str().unwrap().to_owned())
}

fn oauth2(yaml: &str) -> OAuth2 {
    let config: HttpClientConfig = model::yaml::parse("c.yml", &format!("oauth2: {{{yaml}}}")).unwrap();
    config.oauth2.unwrap()
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_sent_with_every_request() {
    let n_asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&n_asked);
    let token = move |request: Incoming| async move {
        counter.fetch_add(1, Ordering::SeqCst);
        assert_eq!(request.headers()[AUTHORIZATION], "Basic bWU6cyUyRmVjcmV0");
        let body = axum::body::to_bytes(request.into_body(), 1_000).await.unwrap();
        assert_eq!(body, "grant_type=client_credentials&scope=a+b&tenant=t");
        r#"{"access_token": "abc", "token_type": "bearer", "expires_in": "3600"}"#
    };
    let echo = |request: Incoming| async move {
        request.headers().get(AUTHORIZATION).map_or("", |value| value.to_str().unwrap()).to_owned()
    };
    let addr = start(Router::new().route("/token", post(token)).route("/metrics", get(echo))).await;
    let yaml = format!(
        "oauth2: {{client_id: me, client_secret: s/ecret, scopes: [a, b], endpoint_params: {{tenant: t}}, \
         token_url: 'http://{addr}/token'}}"
    );
    let client = HttpClient::new(&model::yaml::parse("c.yml", &yaml).unwrap()).unwrap();
    for _ in 0..3 {
        let request = Request::get(Url::parse(&format!("http://{addr}/metrics")).unwrap());
        assert_eq!(client.request(request, &LIMITS).await.unwrap().body, "Bearer abc");
    }
    let mut repeated = Request::get(Url::parse(&format!("http://{addr}/metrics")).unwrap()).into();
    let mut line = crate::Line::new(Arc::default());
    let fetched = client.fetch(&mut repeated, &LIMITS, &mut line).await.unwrap();
    assert_eq!(&*fetched.body, b"Bearer abc");
    assert_eq!(n_asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_that_has_ended_or_was_made_with_another_secret_is_asked_for_again() {
    let token = || async { r#"{"access_token": "abc", "expires_in": 5}"# };
    let addr = start(Router::new().route("/", post(token))).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    write(&file, "one\n");
    let config = oauth2(&format!(
        "client_id: me, client_secret_file: {}, token_url: 'http://{addr}/'",
        file.display()
    ));
    let authorizer = with_oauth2(config);
    for _ in 0..2 {
        assert_eq!(authorization(&authorizer).await, Ok("Bearer abc".to_owned()));
    }
    DiskDir::anywhere().remove_file(&file).unwrap();
    let err = authorization(&authorizer).await.unwrap_err();
    assert!(err.starts_with("unable to read client_secret file"), "{err}");
}

#[tokio::test]
async fn the_secret_goes_into_the_form_for_servers_that_want_it_there() {
    let token = |request: Incoming| async move {
        if request.headers().contains_key(AUTHORIZATION) {
            return (StatusCode::UNAUTHORIZED, "no").into_response();
        }
        let body = axum::body::to_bytes(request.into_body(), 1_000).await.unwrap();
        assert_eq!(body, "grant_type=client_credentials&client_id=me&client_secret=s");
        ([("content-type", "application/x-www-form-urlencoded")], "access_token=abc&expires_in=60")
            .into_response()
    };
    let addr = start(Router::new().route("/", post(token))).await;
    let config = oauth2(&format!("client_id: me, client_secret: s, token_url: 'http://{addr}/'"));
    let authorizer = with_oauth2(config);
    assert_eq!(authorization(&authorizer).await, Ok("Bearer abc".to_owned()));
}

#[tokio::test]
async fn failures_name_the_token_url() {
    let router = Router::new()
        .route("/refused", post(|| async { (StatusCode::BAD_REQUEST, r#"{"error":"invalid_scope"}"#) }))
        .route("/error", post(|| async { r#"{"error":"invalid_client","error_description":"who?"}"# }))
        .route("/empty", post(|| async { "{}" }))
        .route("/page", post(|| async { ([("content-type", "text/html")], "<html>") }));
    let addr = start(router).await;
    let cases = [
        ("refused", "server returned HTTP status 400 Bad Request: {\"error\":\"invalid_scope\"}"),
        ("error", "\"invalid_client\" \"who?\""),
        ("empty", "server response missing access_token"),
        ("page", "its answer is not JSON: expected value at line 1 column 1"),
    ];
    for (path, reason) in cases {
        let config = oauth2(&format!("client_id: me, client_secret: s, token_url: 'http://{addr}/{path}'"));
        let authorizer = with_oauth2(config);
        let expected = format!("oauth2: cannot get credentials from http://{addr}/{path}: {reason}");
        assert_eq!(authorization(&authorizer).await, Err(expected));
    }
}

/// The claims of a statement in a form, once its signature is checked.
fn claims_of(form: &[u8], field: &str) -> serde_json::Value {
    use base64::Engine as _;
    let decode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap();
    let pairs: Vec<_> = url::form_urlencoded::parse(form).collect();
    let (_, statement) = pairs.iter().find(|(name, _)| name == field).unwrap();
    let (text, signature) = statement.rsplit_once('.').unwrap();
    assert_eq!(decode(signature), sign::rsa("RS256", KEY.as_bytes(), text.as_bytes()).unwrap());
    serde_json::from_slice(&decode(text.split_once('.').unwrap().1)).unwrap()
}

#[tokio::test]
async fn a_signed_statement_is_changed_for_a_token() {
    let token = |RawForm(form): RawForm| async move {
        let claims = claims_of(&form, "assertion");
        assert_eq!((&claims["iss"], &claims["aud"], &claims["x"]), (&"me".into(), &"them".into(), &1.into()));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
        r#"{"access_token": "abc"}"#
    };
    let addr = start(Router::new().route("/", post(token))).await;
    let config = oauth2(&format!(
        "client_id: me, client_certificate_key: {}, grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', \
         audience: them, claims: {{x: 1}}, token_url: 'http://{addr}/'",
        serde_json::to_string(KEY).unwrap()
    ));
    let authorizer = with_oauth2(config);
    assert_eq!(authorization(&authorizer).await, Ok("Bearer abc".to_owned()));
}

#[tokio::test]
async fn google_accounts_and_machines_give_tokens() {
    let token = |RawForm(form): RawForm| async move {
        assert_eq!(
            claims_of(&form, "assertion")["scope"],
            "https://www.googleapis.com/auth/monitoring.write"
        );
        r#"{"access_token": "of-account", "expires_in": 3599}"#
    };
    let machine = |request: Incoming| async move {
        assert_eq!(request.headers()["metadata-flavor"], "Google");
        r#"{"access_token": "of-machine", "expires_in": 3599, "token_type": "Bearer"}"#
    };
    let path = "/computeMetadata/v1/instance/service-accounts/default/token";
    let addr = start(Router::new().route("/token", post(token)).route(path, get(machine))).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("account.json");
    let account = serde_json::json!({
        "type": "service_account", "client_email": "me@p", "private_key": KEY, "private_key_id": "k",
        "token_uri": format!("http://{addr}/token"),
    });
    write(&file, &account.to_string());
    let config = GoogleIamConfig { credentials_file: Some(file), scope: String::new() };
    let with_file = authorizer(Way::Google(config), surroundings(&[]));
    assert_eq!(authorization(&with_file).await, Ok("Bearer of-account".to_owned()));
    let vars = [("GCE_METADATA_HOST", addr.to_string())];
    let of_machine = authorizer(Way::Google(GoogleIamConfig::default()), surroundings(&vars));
    assert_eq!(authorization(&of_machine).await, Ok("Bearer of-machine".to_owned()));
}

fn azure(yaml: &str, vars: &[(&str, String)]) -> Authorizer {
    let around = surroundings(vars);
    let config: AzureAdConfig = model::yaml::parse("c.yml", yaml).unwrap();
    authorizer(Way::Azure(azure::Source::new(&config, &around).unwrap()), around)
}

#[tokio::test]
async fn azure_gives_tokens_for_secrets_pods_and_machines() {
    let id = "00000000-a12b-3cd4-e56f-000000000000";
    let token = |RawForm(form): RawForm| async move {
        let text = String::from_utf8_lossy(&form).into_owned();
        assert!(text.contains("scope=https%3A%2F%2Fmonitor.azure.com%2F%2F.default"), "{text}");
        let kind = if text.contains("client_secret=s") { "of-secret" } else { "of-pod" };
        assert!(kind == "of-secret" || text.contains("client_assertion=projected"), "{text}");
        format!(r#"{{"access_token": "{kind}", "expires_in": 3599}}"#)
    };
    let machine = |request: Incoming| async move {
        assert_eq!(request.headers()["metadata"], "true");
        let query = request.uri().query().unwrap();
        assert_eq!(query, "api-version=2018-02-01&resource=https%3A%2F%2Fmonitor.azure.com%2F");
        r#"{"access_token": "of-machine", "expires_in": "86399"}"#
    };
    let path = format!("/{id}/oauth2/v2.0/token");
    let router =
        Router::new().route(&path, post(token)).route("/metadata/identity/oauth2/token", get(machine));
    let addr = start(router).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    write(&file, "projected\n");
    let vars = [
        ("AZURE_AUTHORITY_HOST", format!("http://{addr}/")),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", format!("http://{addr}")),
        ("AZURE_FEDERATED_TOKEN_FILE", file.display().to_string()),
    ];
    let cases = [
        (format!("oauth: {{client_id: {id}, client_secret: s, tenant_id: {id}}}"), "Bearer of-secret"),
        (format!("workload_identity: {{client_id: {id}, tenant_id: {id}}}"), "Bearer of-pod"),
        ("managed_identity: {}".to_owned(), "Bearer of-machine"),
        ("sdk: {}".to_owned(), "Bearer of-machine"),
    ];
    for (yaml, expected) in cases {
        assert_eq!(authorization(&azure(&yaml, &vars)).await, Ok(expected.to_owned()), "{yaml}");
    }
}

#[test]
fn azure_is_checked_in_the_words_of_prometheus() {
    let check = |text: &str, expected: &str| {
        let got = model::yaml::parse::<AzureAdConfig>("c.yml", text).unwrap_err().to_string();
        assert!(got.ends_with(expected), "{text}: {got}");
    };
    let id = "00000000-0000-0000-0000-000000000000";
    check("cloud: Moon", "must provide a cloud in the Azure AD config");
    check("managed_identity: {client_id: x}", "the provided Azure Managed Identity client_id is invalid");
    check(
        &format!("{{managed_identity: {{client_id: {id}}}, sdk: {{tenant_id: {id}}}}}"),
        "cannot provide multiple authentication methods in the Azure AD config",
    );
    check(
        &format!("workload_identity: {{client_id: {id}}}"),
        "must provide an Azure Workload Identity tenant_id in the Azure AD config",
    );
    check("{sdk: {tenant_id: a}, scope: 'a<b>'}", "the provided scope contains invalid characters");
}

fn aws(yaml: &str, vars: &[(&str, String)]) -> Result<Authorizer, String> {
    let around = surroundings(vars);
    let config: SigV4Config = model::yaml::parse("c.yml", yaml).map_err(|err| err.to_string())?;
    let signer = aws::Signer::new(&config, &around).map_err(|err| err.to_string())?;
    Ok(authorizer(Way::SigV4(signer), around))
}

/// Whose key signed.
async fn signer_of(yaml: &str, vars: &[(&str, String)]) -> Result<String, String> {
    let headers = headers_of(&aws(yaml, vars)?).await?;
    let value = headers[AUTHORIZATION].to_str().unwrap();
    let credential = value.split_once("Credential=").unwrap().1.split_once(',').unwrap().0;
    Ok(credential.replace("/20250101/", " ").replace("/aws4_request", ""))
}

const ROLE_KEYS: &str = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
  <Credentials><AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
  <Expiration>2025-01-01T01:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"#;

/// The security token service and the metadata services of containers and machines.
async fn aws_services() -> std::net::SocketAddr {
    let sts = |request: Incoming| async move {
        let signed = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        let body = axum::body::to_bytes(request.into_body(), 2_000).await.unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        let is_web =
            body.contains("AssumeRoleWithWebIdentity") && body.contains("WebIdentityToken=projected");
        let is_signed = signed.is_some_and(|value| value.contains("/eu-west-1/sts/aws4_request"));
        assert!(
            is_web || (is_signed && body.contains("RoleArn=arn") && body.contains("ExternalId=x")),
            "{body}"
        );
        ROLE_KEYS
    };
    let keys = |name: &'static str| {
        move || async move {
            format!(
                r#"{{"AccessKeyId":"{name}","SecretAccessKey":"s","Token":"t","Expiration":"2025-01-01T06:00:00Z"}}"#
            )
        }
    };
    let container = move |request: Incoming| async move {
        assert_eq!(request.headers()[AUTHORIZATION], "pass");
        keys("CONTAINER")().await
    };
    let roles = "/latest/meta-data/iam/security-credentials/";
    let router = Router::new()
        .route("/", post(sts))
        .route("/container", get(container))
        .route("/latest/meta-data/placement/region", get(|| async { "here\n" }))
        .route("/latest/api/token", put(|| async { "session" }))
        .route(roles, get(|| async { "role" }))
        .route(&format!("{roles}role"), any(keys("MACHINE")));
    start(router).await
}

#[tokio::test]
async fn aws_keys_are_found_where_aws_tools_find_them() {
    let addr = aws_services().await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    write(Path::new(&path("token")), "projected");
    write(
        Path::new(&path("credentials")),
        "[default]\naws_access_key_id = FILE\naws_secret_access_key = s\n",
    );
    let config = "[profile other]\nrole_arn = arn\nexternal_id = x\nsource_profile = default\n[default]\nregion = from-file\n\
                  [profile p]\ncredential_process = /bin/false\n";
    write(Path::new(&path("config")), config);
    let files = [("AWS_SHARED_CREDENTIALS_FILE", path("credentials")), ("AWS_CONFIG_FILE", path("config"))];
    let with = |more: &[(&'static str, String)]| {
        let mut vars = vec![("AWS_ENDPOINT_URL_STS", format!("http://{addr}/"))];
        vars.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{addr}/")));
        vars.extend_from_slice(more);
        vars
    };
    let env = [("AWS_ACCESS_KEY_ID", "ENV".to_owned()), ("AWS_SECRET_ACCESS_KEY", "s".to_owned())];
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", path("token")), ("AWS_ROLE_ARN", "arn".to_owned())];
    let task = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{addr}/container")),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pass".to_owned()),
    ];
    let region = "region: eu-west-1";
    let role = "{region: eu-west-1, access_key: A, secret_key: s, role_arn: arn, external_id: x}";
    let cases: [(&str, Vec<_>, Result<&str, &str>); 10] = [
        ("{region: r, access_key: A, secret_key: s}", with(&env), Ok("A r/aps")),
        ("{region: r, service_name: es}", with(&env), Ok("ENV r/es")),
        (region, with(&files), Ok("FILE eu-west-1/aps")),
        ("", with(&files), Ok("FILE from-file/aps")),
        ("{region: eu-west-1, profile: other}", with(&files), Ok("ROLE eu-west-1/aps")),
        (role, with(&[]), Ok("ROLE eu-west-1/aps")),
        (region, with(&web), Ok("ROLE eu-west-1/aps")),
        (region, with(&task), Ok("CONTAINER eu-west-1/aps")),
        (region, with(&[]), Ok("MACHINE eu-west-1/aps")),
        (
            "{region: r, profile: p}",
            with(&files),
            Err(
                "sigv4: cannot get credentials from the shared files: credential_process of profile \"p\" is not \
                 served: use keys, a role or the environment",
            ),
        ),
    ];
    for (yaml, vars, expected) in cases {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(signer_of(yaml, &vars).await, expected, "{yaml}");
    }
    let region = aws::region_in(&SigV4Config::default(), &surroundings(&with(&[]))).await;
    assert_eq!(region.unwrap(), "here");
    let err = signer_of("", &with(&env)).await.unwrap_err();
    assert_eq!(err, "invalid sigv4: region not configured in sigv4 or in default credentials chain");
}
