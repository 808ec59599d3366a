//! How to reach the Kubernetes API: by the configuration, from inside a pod, or as a kubeconfig file says; lists and
//! watches.

use std::path::Path;
use std::time::Duration as StdDuration;

use base64::Engine as _;
use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{ACCEPT, HeaderValue};
use model::Duration;
use net::config::HttpClientKeys;
use net::{Authorization, BasicAuth, HttpClient, HttpClientConfig, Request, Secret, Streaming, TlsConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use stdx::dir::Dir;
use url::Url;

use super::object::{List, WatchEvent};
use super::{Config, Resource};
use crate::SdError;
use crate::http::{Api, PAGES_MAX, bad_answer, with_path};

/// Where a pod finds who it is.
pub(super) const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Of one page of a list.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// Objects on a page. From Kubernetes' own clients.
const PAGE_OBJECTS: usize = 500;
/// After which a watch is to end and begin anew, in seconds. Kubernetes' clients take five to ten minutes.
const WATCH_SECS: u64 = 290;
/// Longest silence of a watch; the server tells where it is (a bookmark) about once a minute.
const SILENCE_MAX: StdDuration = StdDuration::from_secs(WATCH_SECS + 30);
/// Longest line of a watch, in bytes: one object. The API takes objects of a few megabytes at most.
const LINE_BYTES_MAX: usize = 32 << 20;

/// The API.
#[derive(Debug)]
pub(super) struct Client {
    base: Url,
    api: Api,
    streams: HttpClient,
}

/// What a list is of.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) resource: Resource,
    /// Empty for all.
    pub(super) namespace: String,
    pub(super) label_selector: String,
    pub(super) field_selector: String,
}

impl Client {
    pub(super) fn new(config: &Config, dir: &dyn Dir) -> Result<Self, SdError> {
        let (base, http) = if let Some(base) = &config.api_server {
            (base.clone(), config.http.clone())
        } else if let Some(path) = &config.kubeconfig_file {
            kubeconfig(path, dir)?
        } else {
            in_cluster(|name| std::env::var(name).ok())?
        };
        Ok(Self { base, api: Api::new(&http, LIST_TIMEOUT)?, streams: HttpClient::new(&http)? })
    }

    fn url(&self, scope: &Scope) -> Result<Url, SdError> {
        let (prefix, plural) = scope.resource.path();
        let namespace = (!scope.namespace.is_empty()).then_some(["namespaces", scope.namespace.as_str()]);
        let path = prefix.iter().copied().chain(namespace.into_iter().flatten()).chain([plural]);
        let mut url = with_path(&self.base, path)?;
        for (name, value) in
            [("labelSelector", &scope.label_selector), ("fieldSelector", &scope.field_selector)]
        {
            if !value.is_empty() {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        Ok(url)
    }

    /// All objects, and the version from which a watch goes on.
    pub(super) async fn list(&self, scope: &Scope) -> Result<(Vec<super::Object>, String), SdError> {
        let base = self.url(scope)?;
        let mut objects = Vec::new();
        let mut more = String::new();
        for _ in 0..PAGES_MAX {
            let mut url = base.clone();
            url.query_pairs_mut().append_pair("limit", &PAGE_OBJECTS.to_string());
            if !more.is_empty() {
                url.query_pairs_mut().append_pair("continue", &more);
            }
            let page: List = self.api.get_json(&url).await?;
            objects.extend(page.items);
            more = page.metadata.more;
            if more.is_empty() {
                return Ok((objects, page.metadata.resource_version));
            }
        }
        Err(bad_answer(&base, format!("there are more than {PAGES_MAX} pages")))
    }

    /// Changes since `version`.
    pub(super) async fn watch(&self, scope: &Scope, version: &str) -> Result<Watch, SdError> {
        let mut url = self.url(scope)?;
        url.query_pairs_mut()
            .append_pair("watch", "true")
            .append_pair("allowWatchBookmarks", "true")
            .append_pair("resourceVersion", version)
            .append_pair("timeoutSeconds", &WATCH_SECS.to_string());
        let mut request = Request::get(url.clone());
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let stream = self.streams.open(request, LIST_TIMEOUT.as_std()).await?;
        if !stream.status.is_success() {
            return Err(SdError::Status {
                url: net::client::shown(&url),
                status: net::client::status_error(stream.status),
                code: stream.status.as_u16(),
                body: String::new(),
            });
        }
        Ok(Watch { url, stream, buffer: BytesMut::new() })
    }
}

/// A watch that goes on.
#[derive(Debug)]
pub(super) struct Watch {
    url: Url,
    stream: Streaming,
    buffer: BytesMut,
}

impl Watch {
    /// The next change; `None` when the server ends the watch.
    pub(super) async fn next(&mut self) -> Result<Option<WatchEvent>, SdError> {
        let mut n_searched = 0;
        loop {
            if let Some(at) = self.buffer[n_searched..].iter().position(|byte| *byte == b'\n') {
                let line: Bytes = self.buffer.split_to(n_searched + at).freeze();
                self.buffer.advance(1);
                n_searched = 0;
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return serde_json::from_slice(&line).map(Some).map_err(|err| bad_answer(&self.url, err));
            }
            n_searched = self.buffer.len();
            if n_searched > LINE_BYTES_MAX {
                return Err(bad_answer(&self.url, format!("a line is longer than {LINE_BYTES_MAX} bytes")));
            }
            match self.stream.next(SILENCE_MAX).await? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }
}

/// As a pod reaches the API of its own cluster.
fn in_cluster(env: impl Fn(&str) -> Option<String>) -> Result<(Url, HttpClientConfig), SdError> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let (Some(host), Some(port)) = (set("KUBERNETES_SERVICE_HOST"), set("KUBERNETES_SERVICE_PORT")) else {
        return Err(SdError::other(
            "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be \
             defined: set api_server or kubeconfig_file",
        ));
    };
    let url = format!("https://{}/", crate::group::join_host_port(&host, port));
    let account = Path::new(SERVICE_ACCOUNT);
    let http = HttpClientConfig {
        authorization: Some(Authorization {
            credentials_file: Some(account.join("token")),
            ..Authorization::default()
        }),
        tls_config: Some(TlsConfig { ca_file: Some(account.join("ca.crt")), ..TlsConfig::default() }),
        ..HttpClientConfig::default()
    };
    Ok((Url::parse(&url).map_err(SdError::other)?, http))
}

/// What a kubeconfig file says of its current context.
fn kubeconfig(path: &Path, dir: &dyn Dir) -> Result<(Url, HttpClientConfig), SdError> {
    let shown = path.display().to_string();
    let fail = |reason: &dyn std::fmt::Display| SdError::Other(format!("kubeconfig {shown}: {reason}"));
    let bytes = dir.read(path).map_err(|err| fail(&err))?;
    let text = std::str::from_utf8(&bytes).map_err(|err| fail(&err))?;
    let file: KubeConfig = model::yaml::parse(&shown, text).map_err(SdError::other)?;
    let context: KubeContext = named(&file.contexts, &file.current_context)
        .ok_or_else(|| fail(&format!("there is no context {:?}", file.current_context)))?;
    let cluster: KubeCluster = named(&file.clusters, &context.cluster)
        .ok_or_else(|| fail(&format!("there is no cluster {:?}", context.cluster)))?;
    let user: KubeUser = named(&file.users, &context.user).unwrap_or_default();
    if user.exec.is_some() || user.auth_provider.is_some() {
        return Err(fail(&"exec and auth-provider are not served: use a token, a certificate or a password"));
    }
    let base = Url::parse(&cluster.server).map_err(|err| fail(&err))?;
    let beside = path.parent().unwrap_or(Path::new(""));
    let file_of = |name: &str| (!name.is_empty()).then(|| beside.join(name));
    // Data in the file wins over a file that it names.
    let data = |text: &str| -> Result<String, SdError> {
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(text.trim()).map_err(|err| fail(&err))?;
        String::from_utf8(bytes).map_err(|err| fail(&err))
    };
    let or_file = |data: &str, file: &str| if data.is_empty() { file_of(file) } else { None };
    let tls = TlsConfig {
        ca: data(&cluster.certificate_authority_data)?,
        ca_file: or_file(&cluster.certificate_authority_data, &cluster.certificate_authority),
        cert: data(&user.client_certificate_data)?,
        cert_file: or_file(&user.client_certificate_data, &user.client_certificate),
        key: Secret::new(data(user.client_key_data.expose())?),
        key_file: or_file(user.client_key_data.expose(), &user.client_key),
        server_name: cluster.tls_server_name,
        insecure_skip_verify: cluster.insecure_skip_tls_verify,
        ..TlsConfig::default()
    };
    let bearer = |credentials: Secret, credentials_file| Authorization {
        credentials,
        credentials_file,
        ..Authorization::default()
    };
    let authorization = match (user.token_file.is_empty(), user.token.is_empty()) {
        (false, _) => Some(bearer(Secret::default(), file_of(&user.token_file))),
        (true, false) => Some(bearer(user.token, None)),
        (true, true) => None,
    };
    let basic_auth = (!user.username.is_empty() && authorization.is_none()).then(|| BasicAuth {
        username: user.username,
        password: user.password,
        ..BasicAuth::default()
    });
    let proxy_url = (!cluster.proxy_url.is_empty()).then(|| Secret::new(cluster.proxy_url));
    let http = HttpClientConfig::try_from(HttpClientKeys {
        basic_auth,
        authorization,
        tls_config: Some(tls),
        proxy_url,
        ..HttpClientKeys::default()
    });
    Ok((base, http.map_err(|err| fail(&err))?))
}

/// The element of a list with this name, its value read as a `T`.
fn named<T: DeserializeOwned>(list: &[serde_json::Value], name: &str) -> Option<T> {
    let found = list.iter().find(|element| element["name"] == name)?;
    let kinds = ["context", "cluster", "user"];
    kinds.iter().find_map(|kind| serde_json::from_value(found.get(*kind)?.clone()).ok())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct KubeConfig {
    clusters: Vec<serde_json::Value>,
    users: Vec<serde_json::Value>,
    contexts: Vec<serde_json::Value>,
    current_context: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct KubeContext {
    cluster: String,
    user: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct KubeCluster {
    server: String,
    certificate_authority: String,
    certificate_authority_data: String,
    insecure_skip_tls_verify: bool,
    tls_server_name: String,
    proxy_url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct KubeUser {
    client_certificate: String,
    client_certificate_data: String,
    client_key: String,
    client_key_data: Secret,
    token: Secret,
    #[serde(rename = "tokenFile")]
    token_file: String,
    username: String,
    password: Secret,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use stdx::dir::MemDir;

    #[test]
    fn a_pod_finds_its_api() {
        let env = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
            _ => None,
        };
        let (url, http) = in_cluster(env).unwrap();
        assert_eq!(url.as_str(), "https://[fd00::1]/");
        let token = http.authorization.unwrap().credentials_file.unwrap();
        assert_eq!(token, Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token"));
        assert!(in_cluster(|_| None).unwrap_err().to_string().contains("set api_server or kubeconfig_file"));
    }

    fn check(user: &str, expected: Result<&str, &str>) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{server: 'https://h:6443', certificate-authority-data: cGVt, insecure-skip-tls-verify: true}}}}]\n\
             users: [{{name: u, user: {user}}}]\n"
        );
        let dir = MemDir::new();
        dir.create_dir_all(Path::new("d")).unwrap();
        dir.write_atomic(Path::new("d/kube"), text.as_bytes()).unwrap();
        let got = kubeconfig(Path::new("d/kube"), &dir).map_err(|err| err.to_string()).map(|(url, http)| {
            let tls = http.tls_config.unwrap();
            let token = http.authorization.map_or(String::new(), |auth| {
                format!("{}{:?}", auth.credentials.expose(), auth.credentials_file)
            });
            let name = http.basic_auth.map_or(String::new(), |auth| auth.username);
            format!("{url} {} {:?} {token}{name}", tls.ca, tls.cert_file)
        });
        assert_eq!(got.as_deref().map_err(String::as_str), expected, "{user}");
    }

    #[test]
    fn kubeconfig_files_are_read() {
        check("{token: abc}", Ok("https://h:6443/ pem None abcNone"));
        check("{tokenFile: t}", Ok("https://h:6443/ pem None Some(\"d/t\")"));
        check("{username: me, password: x}", Ok("https://h:6443/ pem None me"));
        check("{client-certificate: c.pem, client-key: k.pem}", Ok("https://h:6443/ pem Some(\"d/c.pem\") "));
        check(
            "{exec: {command: x}}",
            Err(
                "kubeconfig d/kube: exec and auth-provider are not served: use a token, a certificate or a password",
            ),
        );
    }
}
