//! Text that must not be shown: kept, read from a file, made a header.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use http::HeaderValue;
use stdx::dir::Dir;

use crate::error::{BuildError, HttpError};

/// What stands for a secret wherever it would be shown. As Prometheus prints it.
const MASK: &str = "<secret>";

/// A password, token or key. Prints and serialises as `<secret>`; an empty one as nothing.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { MASK })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Through Option: a key without a value is an empty secret, as in Go.
        Ok(Self(Option::<String>::deserialize(deserializer)?.unwrap_or_default()))
    }
}

/// Longest accepted file with a password, token or header, in bytes. Chosen.
const SECRET_FILE_BYTES_MAX: usize = 64 << 10;

/// What stands in a file with a password, token or header, without the spaces around it.
pub(crate) fn read_secret(dir: &dyn Dir, what: &'static str, path: &Path) -> Result<String, BuildError> {
    let bytes = dir.read(path).map_err(|why| BuildError::File { what, path: path.to_owned(), why })?;
    if bytes.len() > SECRET_FILE_BYTES_MAX {
        let reason = format!("{} is larger than {SECRET_FILE_BYTES_MAX} bytes", path.display());
        return Err(BuildError::Invalid { what, reason });
    }
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// `Basic dXNlcjpwYXNz`.
pub(crate) fn basic_header(name: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}")))
}

pub(crate) fn secret_value(text: &str) -> Result<HeaderValue, HttpError> {
    let invalid =
        |_| HttpError::Invalid("a configured header or credential has characters HTTP forbids".to_owned());
    let mut value = HeaderValue::from_str(text).map_err(invalid)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "<secret> <secret>");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"<secret>\"");
        assert_eq!(Secret::default().to_string(), "");
    }
}
