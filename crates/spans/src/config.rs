//! `tracing` of the server's file and of the Alertmanager's: where spans go, and which.
//!
//! In from both files; out to [`crate::Tracer`]. Checked while it is read, so that errors have a line. Keys, checks and words are
//! Prometheus' and Alertmanager's, which differ in how `headers` are written.

use std::collections::BTreeMap;
use std::path::Path;

use model::Duration;
use net::TlsConfig;
use net::config::HeaderConfig;
use serde::{Deserialize, Serialize};
use url::Url;

/// How spans are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientType {
    #[default]
    Grpc,
    Http,
}

/// Where spans go, and which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Keys<String>")]
pub struct TracingConfig {
    pub(crate) client_type: ClientType,
    /// `host:port`
    pub(crate) endpoint: String,
    /// Of traces that begin here, how many are sent: 0 none, 1 all.
    pub(crate) sampling_fraction: f64,
    /// Without TLS.
    pub(crate) insecure: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_config: Option<TlsConfig>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, HeaderConfig>,
    /// `gzip`, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) compression: String,
    /// For one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<Duration>,
}

impl TracingConfig {
    /// The receiver's address as a URL without a path.
    pub(crate) fn base(&self) -> Result<Url, String> {
        let (scheme, port) = match (self.insecure, self.client_type) {
            // As gRPC has it, also without TLS.
            (true, ClientType::Grpc) => ("http", Some(443)),
            (true, ClientType::Http) => ("http", None),
            (false, _) => ("https", None),
        };
        let endpoint = match self.client_type {
            ClientType::Grpc => self.endpoint.strip_prefix("dns:///").unwrap_or(&self.endpoint),
            ClientType::Http => &self.endpoint,
        };
        if let Some((scheme, _)) = endpoint.split_once("://") {
            return Err(format!(
                "tracing endpoint {:?} must be host:port without {scheme}://; set client_type and insecure instead",
                self.endpoint
            ));
        }
        let bad = || format!("tracing endpoint {:?} is no host:port", self.endpoint);
        let is_bare = !endpoint.contains(['/', '?', '#', '@', ' ']);
        let url = is_bare.then(|| Url::parse(&format!("{scheme}://{endpoint}")).ok()).flatten();
        let mut url = url.ok_or_else(bad)?;
        if let (None, Some(port)) = (port_in(endpoint), port) {
            url.set_port(Some(port)).map_err(|()| bad())?;
        }
        Ok(url)
    }

    /// Takes relative file names as relative to `dir`.
    pub fn set_directory(&mut self, dir: &Path) {
        if let Some(tls) = &mut self.tls_config {
            tls.set_directory(dir);
        }
        for header in self.headers.values_mut() {
            header.files.iter_mut().for_each(|file| *file = dir.join(&*file));
        }
    }
}

/// The port as it is written: a URL forgets the one that is usual.
fn port_in(endpoint: &str) -> Option<u16> {
    endpoint.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
}

/// The same as it stands in an Alertmanager's file: headers are written as in `http_config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Keys<HeaderConfig>")]
pub struct ManagerTracing(pub TracingConfig);

/// The keys as they stand in a file, whose headers are `H`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys<H> {
    client_type: Option<String>,
    endpoint: Option<String>,
    sampling_fraction: Option<f64>,
    insecure: Option<bool>,
    tls_config: Option<TlsConfig>,
    headers: Option<BTreeMap<String, H>>,
    compression: Option<String>,
    timeout: Option<Duration>,
}

impl<H> Keys<H> {
    fn check(
        self,
        to_headers: impl Fn(BTreeMap<String, H>) -> BTreeMap<String, HeaderConfig>,
    ) -> Result<TracingConfig, String> {
        let client_type = match self.client_type.as_deref() {
            None | Some("grpc") => ClientType::Grpc,
            Some("http") => ClientType::Http,
            Some(other) => {
                return Err(format!(
                    "expected tracing client type to be to be http or grpc, but got {other}"
                ));
            }
        };
        let endpoint = self.endpoint.unwrap_or_default();
        if endpoint.is_empty() {
            return Err("tracing endpoint must be set".to_owned());
        }
        let compression = self.compression.unwrap_or_default();
        if !matches!(compression.as_str(), "" | "gzip") {
            return Err(format!("invalid compression type {compression} provided, valid options: gzip"));
        }
        let config = TracingConfig {
            client_type,
            endpoint,
            sampling_fraction: self.sampling_fraction.unwrap_or(0.0),
            insecure: self.insecure.unwrap_or(false),
            tls_config: self.tls_config,
            headers: to_headers(self.headers.unwrap_or_default()),
            compression,
            timeout: self.timeout.filter(|timeout| *timeout != Duration::ZERO),
        };
        config.base()?;
        Ok(config)
    }
}

impl TryFrom<Keys<String>> for TracingConfig {
    type Error = String;

    fn try_from(mut keys: Keys<String>) -> Result<Self, String> {
        let headers = keys.headers.take().unwrap_or_default();
        let why = "custom authorization header configuration is not yet supported";
        net::config::check_plain_headers(&headers, why)?;
        keys.headers = Some(headers);
        let one = |value| HeaderConfig { values: vec![value], ..HeaderConfig::default() };
        keys.check(|headers| headers.into_iter().map(|(name, value)| (name, one(value))).collect())
    }
}

impl TryFrom<Keys<HeaderConfig>> for ManagerTracing {
    type Error = String;

    fn try_from(keys: Keys<HeaderConfig>) -> Result<Self, String> {
        if keys.headers.iter().flatten().any(|(_, header)| !header.files.is_empty()) {
            return Err("header files are not supported for tracing configuration".to_owned());
        }
        keys.check(std::convert::identity).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: for<'a> Deserialize<'a> + Serialize>(text: &str, expected: &str) {
        let got = match model::yaml::parse::<BTreeMap<String, T>>("a.yml", &format!("tracing: {{{text}}}")) {
            Ok(config) => serde_json::to_string(&config["tracing"]).unwrap(),
            Err(err) => err.to_string(),
        };
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn both_files_are_read_as_upstream_reads_them() {
        type Server = TracingConfig;
        let rest = r#""sampling_fraction":0.0,"insecure":false"#;
        check::<Server>(
            "endpoint: 'c:4317'",
            &format!(r#"{{"client_type":"grpc","endpoint":"c:4317",{rest}}}"#),
        );
        check::<Server>(
            "endpoint: 'c:4318', client_type: http, sampling_fraction: 1, insecure: true, compression: gzip, \
             timeout: 5s, headers: {x: y}",
            r#"{"client_type":"http","endpoint":"c:4318","sampling_fraction":1.0,"insecure":true,"headers":{"x":{"values":["y"]}},"compression":"gzip","timeout":"5s"}"#,
        );
        check::<Server>("", "a.yml:1:10: tracing endpoint must be set");
        check::<Server>(
            "client_type: udp, endpoint: 'c:1'",
            "a.yml:1:10: expected tracing client type to be to be http or grpc, but got udp",
        );
        check::<Server>(
            "endpoint: 'c:1', compression: zstd",
            "a.yml:1:10: invalid compression type zstd provided, valid options: gzip",
        );
        check::<Server>(
            "endpoint: 'c:1', headers: {Authorization: x}",
            "a.yml:1:10: custom authorization header configuration is not yet supported",
        );
        check::<Server>(
            "endpoint: 'c:1', headers: {User-Agent: x}",
            "a.yml:1:10: User-Agent is a reserved header. It must not be changed",
        );
        check::<Server>(
            "endpoint: 'http://c:1'",
            "a.yml:1:10: tracing endpoint \"http://c:1\" must be host:port without http://; set client_type and insecure instead",
        );
        check::<Server>("endpoint: 'c:x'", "a.yml:1:10: tracing endpoint \"c:x\" is no host:port");
        type Manager = ManagerTracing;
        check::<Manager>(
            "endpoint: 'c:1', headers: {authorization: {secrets: [x]}}",
            &format!(
                r#"{{"client_type":"grpc","endpoint":"c:1",{rest},"headers":{{"authorization":{{"secrets":["<secret>"]}}}}}}"#
            ),
        );
        check::<Manager>(
            "endpoint: 'c:1', headers: {a: {files: [x]}}",
            "a.yml:1:10: header files are not supported for tracing configuration",
        );
    }
}
