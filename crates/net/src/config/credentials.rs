//! `basic_auth` and `authorization`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::refuse_refs;
use crate::Secret;

/// User name and password of HTTP basic authentication.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "BasicAuthKeys")]
pub struct BasicAuth {
    /// The name, unless it stands in a file.
    pub username: String,
    /// A file that holds the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_file: Option<PathBuf>,
    /// The password, unless it stands in a file.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub password: Secret,
    /// A file that holds the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BasicAuthKeys {
    username: Option<String>,
    username_file: Option<PathBuf>,
    username_ref: Option<String>,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
    password_ref: Option<String>,
}

impl TryFrom<BasicAuthKeys> for BasicAuth {
    type Error = String;

    fn try_from(keys: BasicAuthKeys) -> Result<Self, String> {
        refuse_refs(&[("username", &keys.username_ref), ("password", &keys.password_ref)])?;
        let auth = Self {
            username: keys.username.unwrap_or_default(),
            username_file: keys.username_file.filter(|file| !file.as_os_str().is_empty()),
            password: keys.password.unwrap_or_default(),
            password_file: keys.password_file.filter(|file| !file.as_os_str().is_empty()),
        };
        if !auth.username.is_empty() && auth.username_file.is_some() {
            return Err("at most one of basic_auth username & username_file must be configured".to_owned());
        }
        if !auth.password.is_empty() && auth.password_file.is_some() {
            return Err("at most one of basic_auth password & password_file must be configured".to_owned());
        }
        Ok(auth)
    }
}

/// The `Authorization` header: a type and credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AuthorizationKeys")]
pub struct Authorization {
    /// `Bearer` unless told otherwise.
    #[serde(rename = "type")]
    pub kind: String,
    /// The credentials, unless they stand in a file.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub credentials: Secret,
    /// A file that holds the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
}

impl Default for Authorization {
    fn default() -> Self {
        Self { kind: "Bearer".to_owned(), credentials: Secret::default(), credentials_file: None }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthorizationKeys {
    #[serde(rename = "type")]
    kind: Option<String>,
    credentials: Option<Secret>,
    credentials_file: Option<PathBuf>,
    credentials_ref: Option<String>,
}

impl TryFrom<AuthorizationKeys> for Authorization {
    type Error = String;

    fn try_from(keys: AuthorizationKeys) -> Result<Self, String> {
        refuse_refs(&[("credentials", &keys.credentials_ref)])?;
        let kind = keys.kind.unwrap_or_default();
        let kind = if kind.trim().is_empty() { "Bearer".to_owned() } else { kind.trim().to_owned() };
        if kind.eq_ignore_ascii_case("basic") {
            return Err(
                "authorization type cannot be set to \"basic\", use \"basic_auth\" instead".to_owned()
            );
        }
        let auth = Self {
            kind,
            credentials: keys.credentials.unwrap_or_default(),
            credentials_file: keys.credentials_file.filter(|file| !file.as_os_str().is_empty()),
        };
        if !auth.credentials.is_empty() && auth.credentials_file.is_some() {
            return Err(
                "at most one of authorization credentials & credentials_file must be configured".to_owned()
            );
        }
        Ok(auth)
    }
}
