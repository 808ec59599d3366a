//! `tls_config` of a client.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{join, refuse_refs};
use crate::Secret;

/// A version of TLS that a user may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as in the file")]
pub enum TlsVersion {
    TLS10,
    TLS11,
    TLS12,
    TLS13,
}

/// Certificates, and what of the server's is checked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "TlsKeys")]
pub struct TlsConfig {
    /// Authorities, PEM; empty for the machine's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca: String,
    /// A file with authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The client's certificate, PEM.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert: String,
    /// A file with the client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// The client's key, PEM.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub key: Secret,
    /// A file with the client's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The name to ask for and to check, instead of the URL's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
    /// Oldest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<TlsVersion>,
    /// Newest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<TlsVersion>,
}

impl TlsConfig {
    /// Takes relative file names as relative to `dir`.
    pub fn set_directory(&mut self, dir: &Path) {
        join(dir, &mut self.ca_file);
        join(dir, &mut self.cert_file);
        join(dir, &mut self.key_file);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsKeys {
    ca: Option<String>,
    ca_file: Option<PathBuf>,
    ca_ref: Option<String>,
    cert: Option<String>,
    cert_file: Option<PathBuf>,
    cert_ref: Option<String>,
    key: Option<Secret>,
    key_file: Option<PathBuf>,
    key_ref: Option<String>,
    server_name: Option<String>,
    insecure_skip_verify: Option<bool>,
    min_version: Option<TlsVersion>,
    max_version: Option<TlsVersion>,
}

impl TryFrom<TlsKeys> for TlsConfig {
    type Error = String;

    fn try_from(keys: TlsKeys) -> Result<Self, String> {
        refuse_refs(&[("ca", &keys.ca_ref), ("cert", &keys.cert_ref), ("key", &keys.key_ref)])?;
        let file = |file: Option<PathBuf>| file.filter(|path| !path.as_os_str().is_empty());
        let tls = Self {
            ca: keys.ca.unwrap_or_default(),
            ca_file: file(keys.ca_file),
            cert: keys.cert.unwrap_or_default(),
            cert_file: file(keys.cert_file),
            key: keys.key.unwrap_or_default(),
            key_file: file(keys.key_file),
            server_name: keys.server_name.unwrap_or_default(),
            insecure_skip_verify: keys.insecure_skip_verify.unwrap_or(false),
            min_version: keys.min_version,
            max_version: keys.max_version,
        };
        if !tls.ca.is_empty() && tls.ca_file.is_some() {
            return Err("at most one of ca and ca_file must be configured".to_owned());
        }
        if !tls.cert.is_empty() && tls.cert_file.is_some() {
            return Err("at most one of cert and cert_file must be configured".to_owned());
        }
        if !tls.key.is_empty() && tls.key_file.is_some() {
            return Err("at most one of key and key_file must be configured".to_owned());
        }
        let (has_cert, has_key) =
            (!tls.cert.is_empty() || tls.cert_file.is_some(), !tls.key.is_empty() || tls.key_file.is_some());
        if has_cert && !has_key {
            return Err(
                "exactly one of key or key_file must be configured when a client certificate is configured"
                    .to_owned(),
            );
        }
        if has_key && !has_cert {
            return Err(
                "exactly one of cert or cert_file must be configured when a client key is configured"
                    .to_owned(),
            );
        }
        if let (Some(min), Some(max)) = (tls.min_version, tls.max_version)
            && min > max
        {
            return Err(
                "tls_config.max_version must be greater than or equal to tls_config.min_version".to_owned()
            );
        }
        if tls.max_version.is_some_and(|max| max < TlsVersion::TLS12) {
            return Err(
                "tls_config.max_version: TLS 1.0 and 1.1 are not spoken; use TLS12 or TLS13".to_owned()
            );
        }
        Ok(tls)
    }
}
