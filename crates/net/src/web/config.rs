//! The web configuration file: TLS, users, headers and rate of a server, in the format of Prometheus' exporter toolkit.
//!
//! In from the file's text; out to [`super::WebConfig`]. Checked while it is read, so that errors have a line. Semantics from the
//! toolkit's documentation; where a setting would silently do nothing there, it is refused here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use model::yaml::null_as_default;
use serde::{Deserialize, Deserializer};

use crate::Secret;
use crate::config::{TlsConfig, TlsVersion, join};

/// Headers that may be added, with the values they may have; no values means any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// Suites that Go knows and that are never spoken here: they are not authenticated as one.
const CBC_SUITES: [&str; 4] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];
/// What HTTP/2 demands of TLS 1.2, RFC 9113 §9.2.2; one of them, depending on the certificate's kind.
const HTTP2_SUITES: [&str; 2] =
    ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"];

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "WebKeys")]
pub(crate) struct WebFile {
    /// `tls_server_config`; `None` without TLS.
    pub(crate) tls: Option<TlsServer>,
    /// `http_server_config.http2`
    pub(crate) http2: bool,
    /// `http_server_config.headers`
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// `rate_limit`; `None` without one.
    pub(crate) rate: Option<Rate>,
    /// `basic_auth_users`
    pub(crate) users: BTreeMap<String, PasswordHash>,
    /// `tls_client_config`, of servers that connect to each other.
    pub(crate) client: Option<TlsConfig>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct WebKeys {
    #[serde(deserialize_with = "null_as_default")]
    tls_server_config: TlsSection,
    #[serde(deserialize_with = "null_as_default")]
    http_server_config: HttpKeys,
    #[serde(deserialize_with = "null_as_default")]
    rate_limit: RateSection,
    #[serde(deserialize_with = "null_as_default")]
    basic_auth_users: BTreeMap<String, PasswordHash>,
    tls_client_config: Option<TlsConfig>,
}

impl TryFrom<WebKeys> for WebFile {
    type Error = String;

    fn try_from(keys: WebKeys) -> Result<Self, String> {
        let http2 = keys.http_server_config.http2.unwrap_or(true);
        let tls = keys.tls_server_config.0;
        if let Some(tls) = &tls
            && http2
            && !tls.suites.is_empty()
            && tls.min_version < TlsVersion::TLS13
            && !tls.suites.iter().any(|suite| HTTP2_SUITES.contains(&suite.as_str()))
        {
            return Err(format!(
                "tls_server_config.cipher_suites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher (need at \
                 least one of {}); or set http_server_config.http2: false",
                HTTP2_SUITES.join(" or ")
            ));
        }
        Ok(Self {
            tls,
            http2,
            headers: keys.http_server_config.headers.0,
            rate: keys.rate_limit.0,
            users: keys.basic_auth_users,
            client: keys.tls_client_config,
        })
    }
}

impl WebFile {
    /// Takes relative file names as relative to `dir`, the file's own directory.
    pub(crate) fn set_directory(&mut self, dir: &Path) {
        if let Some(tls) = &mut self.tls {
            join(dir, &mut tls.cert_file);
            join(dir, &mut tls.key_file);
            join(dir, &mut tls.client_ca_file);
        }
        if let Some(client) = &mut self.client {
            client.set_directory(dir);
        }
    }

    /// What is accepted and cannot be done as written.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let Some(tls) = &self.tls else { return Vec::new() };
        let cbc = tls.suites.iter().filter(|suite| CBC_SUITES.contains(&suite.as_str()));
        let mut warnings: Vec<String> =
            cbc.map(|suite| format!("cipher_suites: {suite} is never offered, the others are")).collect();
        if tls.curves.iter().any(|curve| curve == "CurveP521") {
            warnings.push("curve_preferences: CurveP521 is never offered, the others are".to_owned());
        }
        if tls.min_version < TlsVersion::TLS12 {
            warnings.push("min_version: TLS 1.2 is the oldest version that is spoken".to_owned());
        }
        warnings
    }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct HttpKeys {
    http2: Option<bool>,
    #[serde(deserialize_with = "null_as_default")]
    headers: Headers,
}

#[derive(Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
struct Headers(Vec<(HeaderName, HeaderValue)>);

impl TryFrom<BTreeMap<String, String>> for Headers {
    type Error = String;

    fn try_from(given: BTreeMap<String, String>) -> Result<Self, String> {
        let mut headers = Vec::new();
        for (name, value) in given {
            let Some((_, values)) = HEADERS.iter().find(|(known, _)| *known == name) else {
                return Err(format!("HTTP header {name:?} can not be configured"));
            };
            if !values.is_empty() && !values.contains(&value.as_str()) {
                return Err(format!(
                    "invalid value for {name}. Expected one of: {values:?}, but got: {value:?}"
                ));
            }
            let checked = HeaderName::from_str(&name).ok().zip(HeaderValue::from_str(&value).ok());
            headers.push(checked.ok_or_else(|| format!("value of HTTP header {name} cannot be sent"))?);
        }
        Ok(Self(headers))
    }
}

/// How many requests are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Between two requests in the long run.
    pub(crate) interval: Duration,
    /// At once after a pause.
    pub(crate) burst: u32,
}

#[derive(Default, Deserialize)]
#[serde(try_from = "RateKeys")]
struct RateSection(Option<Rate>);

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RateKeys {
    interval: Option<String>,
    burst: Option<u32>,
}

impl TryFrom<RateKeys> for RateSection {
    type Error = String;

    fn try_from(keys: RateKeys) -> Result<Self, String> {
        let text = keys.interval.unwrap_or_default();
        let interval = match text.as_str() {
            "" => Duration::ZERO,
            text => go_duration(text).ok_or_else(|| {
                format!("interval: {text:?} is no duration; write a number with a unit: 500ms, 1s, 1m")
            })?,
        };
        if interval.is_zero() {
            return Ok(Self(None));
        }
        match keys.burst.unwrap_or(0) {
            0 => Err("burst must be at least 1 when interval is set, or no request would be let through"
                .to_owned()),
            burst => Ok(Self(Some(Rate { interval, burst }))),
        }
    }
}

/// `1m30s`, `1.5s`, `0`, as Go writes durations.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total_secs) = (text, 0f64);
    while !rest.is_empty() {
        let n_digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(n_digits);
        let (unit, after) =
            after.split_at(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()));
        let unit_secs = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        total_secs += number.parse::<f64>().ok()? * unit_secs;
        rest = after;
    }
    Duration::try_from_secs_f64(total_secs).ok().filter(|_| !text.is_empty())
}

/// A bcrypt hash.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash {
    text: Secret,
    cost: u32,
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<hash>")
    }
}

impl PasswordHash {
    /// `$2y$10$…`
    pub(crate) fn expose(&self) -> &str {
        self.text.expose()
    }

    /// Rounds of hashing are two to this power.
    pub(crate) fn cost(&self) -> u32 {
        self.cost
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        let parts = text.parse::<bcrypt::HashParts>().ok();
        let cost = parts.map(|parts| parts.get_cost()).filter(|cost| (4..=31).contains(cost));
        let cost = cost.ok_or_else(|| {
            serde::de::Error::custom(
                "not a bcrypt hash of a password: make one with htpasswd -nBC 10 \"\" | tr -d ':\\n'",
            )
        })?;
        Ok(Self { text: Secret::new(text), cost })
    }
}

/// Which certificates clients must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// None is asked for.
    None,
    /// Asked for, not checked.
    Request,
    /// Demanded, not checked.
    RequireAny,
    /// Checked when there is one.
    VerifyIfGiven,
    /// Demanded and checked.
    RequireAndVerify,
}

/// `tls_server_config` of a server that speaks TLS.
#[derive(Debug, Clone)]
pub(crate) struct TlsServer {
    pub(crate) cert: String,
    pub(crate) cert_file: Option<PathBuf>,
    pub(crate) key: Secret,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) client_ca: String,
    pub(crate) client_ca_file: Option<PathBuf>,
    pub(crate) client_auth: ClientAuth,
    /// Names of which the client's certificate must bear one.
    pub(crate) client_allowed_sans: Option<Vec<String>>,
    pub(crate) min_version: TlsVersion,
    pub(crate) max_version: TlsVersion,
    /// Go's names, in order of preference; empty for all that are spoken.
    pub(crate) suites: Vec<String>,
    /// Go's names, in order of preference; empty for all that are spoken.
    pub(crate) curves: Vec<String>,
    pub(crate) prefer_server_suites: bool,
}

#[derive(Default, Deserialize)]
#[serde(try_from = "TlsServerKeys")]
struct TlsSection(Option<TlsServer>);

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TlsServerKeys {
    cert: Option<String>,
    key: Option<Secret>,
    client_ca: Option<String>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    client_auth_type: Option<String>,
    client_ca_file: Option<PathBuf>,
    cipher_suites: Option<Vec<Suite>>,
    curve_preferences: Option<Vec<Curve>>,
    min_version: Option<TlsVersion>,
    max_version: Option<TlsVersion>,
    prefer_server_cipher_suites: Option<bool>,
    client_allowed_sans: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Suite(String);

impl TryFrom<String> for Suite {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let is_known = super::tls::suite_of(&name).is_some() || CBC_SUITES.contains(&name.as_str());
        if is_known { Ok(Self(name)) } else { Err(format!("unknown cipher: {name}")) }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Curve(String);

impl TryFrom<String> for Curve {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let is_known = super::tls::curve_of(&name).is_some() || name == "CurveP521";
        if is_known { Ok(Self(name)) } else { Err(format!("unknown curve: {name}")) }
    }
}

impl TlsServerKeys {
    /// Whether a key is set that wants TLS to be on; as the toolkit decides it.
    fn is_enabled(&self) -> bool {
        let has_text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let has_file =
            |file: &Option<PathBuf>| file.as_ref().is_some_and(|file| !file.as_os_str().is_empty());
        has_text(&self.cert)
            || self.key.as_ref().is_some_and(|key| !key.is_empty())
            || has_text(&self.client_ca)
            || has_text(&self.client_auth_type)
            || [&self.cert_file, &self.key_file, &self.client_ca_file].into_iter().any(has_file)
    }

    /// Whether anything at all is said.
    fn is_empty(&self) -> bool {
        self.cipher_suites.is_none()
            && self.curve_preferences.is_none()
            && self.min_version.is_none()
            && self.max_version.is_none()
            && self.client_allowed_sans.is_none()
    }
}

impl TryFrom<TlsServerKeys> for TlsSection {
    type Error = String;

    fn try_from(keys: TlsServerKeys) -> Result<Self, String> {
        if !keys.is_enabled() {
            return match keys.is_empty() {
                true => Ok(Self(None)),
                false => {
                    Err("tls_server_config has neither cert_file nor key_file: TLS would stay off".to_owned())
                }
            };
        }
        let file = |file: Option<PathBuf>| file.filter(|path| !path.as_os_str().is_empty());
        let tls = TlsServer {
            cert: keys.cert.unwrap_or_default(),
            cert_file: file(keys.cert_file),
            key: keys.key.unwrap_or_default(),
            key_file: file(keys.key_file),
            client_ca: keys.client_ca.unwrap_or_default(),
            client_ca_file: file(keys.client_ca_file),
            client_auth: client_auth(keys.client_auth_type.as_deref().unwrap_or_default())?,
            client_allowed_sans: keys.client_allowed_sans,
            min_version: keys.min_version.unwrap_or(TlsVersion::TLS12),
            max_version: keys.max_version.unwrap_or(TlsVersion::TLS13),
            suites: keys.cipher_suites.unwrap_or_default().into_iter().map(|suite| suite.0).collect(),
            curves: keys.curve_preferences.unwrap_or_default().into_iter().map(|curve| curve.0).collect(),
            prefer_server_suites: keys.prefer_server_cipher_suites.unwrap_or(true),
        };
        tls.check()?;
        Ok(Self(Some(tls)))
    }
}

fn client_auth(text: &str) -> Result<ClientAuth, String> {
    Ok(match text {
        "" | "NoClientCert" => ClientAuth::None,
        "RequestClientCert" => ClientAuth::Request,
        "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
        "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
        "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
        text => return Err(format!("invalid ClientAuth: {text}")),
    })
}

impl TlsServer {
    /// Checks what no single key can tell.
    fn check(&self) -> Result<(), String> {
        let pairs = [
            (!self.cert.is_empty(), self.cert_file.is_some(), "cert", "cert_file", true),
            (!self.key.is_empty(), self.key_file.is_some(), "key", "key_file", true),
            (!self.client_ca.is_empty(), self.client_ca_file.is_some(), "client_ca", "client_ca_file", false),
        ];
        for (is_inline, is_file, inline, file, is_needed) in pairs {
            match (is_inline, is_file) {
                (true, true) => return Err(format!("at most one of {inline} and {file} must be configured")),
                (false, false) if is_needed => return Err(format!("missing one of {inline} or {file}")),
                _ => {}
            }
        }
        let has_ca = !self.client_ca.is_empty() || self.client_ca_file.is_some();
        if has_ca && self.client_auth == ClientAuth::None {
            return Err("client CA's have been configured without a Client Auth Policy".to_owned());
        }
        if self.client_allowed_sans.is_some() && self.client_auth == ClientAuth::None {
            return Err(
                "client_allowed_sans needs a client_auth_type: no certificate is asked for without it"
                    .to_owned(),
            );
        }
        if self.min_version > self.max_version {
            return Err("max_version must be greater than or equal to min_version".to_owned());
        }
        if self.max_version < TlsVersion::TLS12 {
            return Err("max_version: TLS 1.0 and 1.1 are not spoken; use TLS12 or TLS13".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let got = match model::yaml::parse::<WebFile>("web.yml", text) {
            Ok(file) => format!("ok {}", file.warnings().join("; ")),
            Err(err) => err.to_string(),
        };
        assert_eq!(got.trim_end(), expected, "{text}");
    }

    #[test]
    fn files_are_taken_or_refused_with_a_place() {
        const CERT: &str = "tls_server_config:\n  cert_file: a\n  key_file: b\n";
        check("", "ok");
        check("tls_server_config:\nbasic_auth_users:\n", "ok");
        check(CERT, "ok");
        check(
            "tls_server_config:\n  cert_filse: a",
            "web.yml:2:3: field cert_filse not found, did you mean cert_file?",
        );
        check(
            "tls_server_config: {cert_file: '', key_file: b}",
            "web.yml:1:20: missing one of cert or cert_file",
        );
        check("tls_server_config: {cert_file: a}", "web.yml:1:20: missing one of key or key_file");
        check(&format!("{CERT}  client_auth_type: x"), "web.yml:2:3: invalid ClientAuth: x");
        check(
            &format!("{CERT}  client_ca_file: c"),
            "web.yml:2:3: client CA's have been configured without a Client Auth Policy",
        );
        check(&format!("{CERT}  cipher_suites: [TLS_NULL]"), "web.yml:4:19: unknown cipher: TLS_NULL");
        check(&format!("{CERT}  curve_preferences: [CurveP257]"), "web.yml:4:23: unknown curve: CurveP257");
        check(
            "tls_server_config: {min_version: TLS13}",
            "web.yml:1:20: tls_server_config has neither cert_file nor key_file: TLS would stay off",
        );
        check(
            "basic_auth_users:\n  john: doe",
            "web.yml:2:9: not a bcrypt hash of a password: make one with htpasswd -nBC 10 \"\" | tr -d ':\\n'",
        );
        check("basic_auth_users: {dave: $2y$10$2UXri9cIDdgeKjBo4Rlpx.U3ZLDV8X1IxKmsfOvhcM5oXQt/mLmXq}", "ok");
    }

    #[test]
    fn headers_are_of_a_list() {
        let check = |headers: &str, expected: &str| {
            check(&format!("http_server_config:\n  headers: {headers}"), expected);
        };
        check("{X-Frame-Options: deny, X-XSS-Protection: 1, Strict-Transport-Security: max-age=1}", "ok");
        check("{Content-Type: a}", "web.yml:2:12: HTTP header \"Content-Type\" can not be configured");
        check(
            "{X-Frame-Options: a}",
            "web.yml:2:12: invalid value for X-Frame-Options. Expected one of: [\"deny\", \"sameorigin\"], but got: \"a\"",
        );
    }

    #[test]
    fn rates_need_a_unit_and_a_burst() {
        let check = |rate: &str, expected: &str| check(&format!("rate_limit: {rate}"), expected);
        check("{interval: 0, burst: 0}", "ok");
        check("{interval: 1m1.5s, burst: 3}", "ok");
        check(
            "{interval: 5, burst: 3}",
            "web.yml:1:13: interval: \"5\" is no duration; write a number with a unit: 500ms, 1s, 1m",
        );
        check(
            "{interval: 1s}",
            "web.yml:1:13: burst must be at least 1 when interval is set, or no request would be let through",
        );
    }
}
