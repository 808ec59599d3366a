//! Which format a page is in, by its `Content-Type`.

use model::labels::quoted;

/// A format of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text, 0.0.4 and 1.0.0.
    Text004,
    /// OpenMetrics text, 0.0.1 and 1.0.0.
    OpenMetrics100,
    /// Delimited messages `io.prometheus.client.MetricFamily`. As text it is what [`super::translate_protobuf`] writes: OpenMetrics with
    /// times in milliseconds, and units that need not be a name's end.
    Protobuf,
}

/// Why a page's format is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The target named no type.
    #[error(
        "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target"
    )]
    Blank,
    /// The target named a type that is no exposition.
    #[error("received unsupported Content-Type {} and no fallback_scrape_protocol specified for target", quoted(.0))]
    Unsupported(String),
}

impl Format {
    /// What to send as `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics100 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// From the `Content-Type` header, of which the media type alone counts; `fallback` is the setting
    /// `fallback_scrape_protocol`.
    ///
    /// # Errors
    /// When the type is missing or unknown and there is no fallback.
    pub fn from_content_type(header: &str, fallback: Option<Self>) -> Result<Self, FormatError> {
        let media_type = header.split(';').next().unwrap_or("").trim();
        if media_type.eq_ignore_ascii_case("text/plain") {
            return Ok(Self::Text004);
        }
        if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
            return Ok(Self::OpenMetrics100);
        }
        if media_type.eq_ignore_ascii_case("application/vnd.google.protobuf") {
            return Ok(Self::Protobuf);
        }
        fallback.ok_or_else(|| {
            if header.trim().is_empty() {
                FormatError::Blank
            } else {
                FormatError::Unsupported(header.to_owned())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_type_alone_decides() {
        let format = |header| Format::from_content_type(header, None).map_err(|err| err.to_string());
        assert_eq!(format("text/plain; version=0.0.4; charset=utf-8"), Ok(Format::Text004));
        assert_eq!(format("Text/Plain"), Ok(Format::Text004));
        assert_eq!(format("application/openmetrics-text; version=0.0.1"), Ok(Format::OpenMetrics100));
        assert!(format("").is_err_and(|err| err.contains("blank Content-Type")));
        assert!(
            format("text/html").is_err_and(|err| err.contains(r#"unsupported Content-Type "text/html""#))
        );
        assert_eq!(format("application/vnd.google.protobuf; encoding=delimited"), Ok(Format::Protobuf));
        assert_eq!(Format::from_content_type("", Some(Format::Text004)), Ok(Format::Text004));
    }
}
