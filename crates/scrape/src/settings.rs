//! What all targets of a job share: its configuration, its client, what is asked for.
//!
//! Made by [`crate::driver`] at each reload; read by [`crate::fetch`] and as pages are stored.

use std::fmt::Write as _;

use net::HttpClient;

use crate::config::{EscapingScheme, ScrapeConfig, ScrapeProtocol};

/// Prometheus' weight of the first format is one tenth of this, and of the next ones less.
const FIRST_WEIGHT: usize = 6;

/// What all targets of a job share, until a reload replaces it.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: ScrapeConfig,
    pub(crate) client: HttpClient,
    pub(crate) accept: String,
}

impl Settings {
    /// `starts` says whether pages are asked for the starts of counters.
    pub(crate) fn new(config: ScrapeConfig, starts: bool) -> Result<Self, net::BuildError> {
        let client = HttpClient::new(&config.http)?;
        let accept = accept(config.protocols(starts), config.name_escaping);
        Ok(Self { config, client, accept })
    }
}

/// `application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,…,*/*;q=0.2`
fn accept(protocols: &[ScrapeProtocol], escaping: EscapingScheme) -> String {
    let mut text = String::new();
    let mut weight = FIRST_WEIGHT;
    for protocol in protocols {
        text.push_str(protocol.media_type());
        if matches!(protocol, ScrapeProtocol::PrometheusText100 | ScrapeProtocol::OpenMetricsText100) {
            let _ = write!(text, ";escaping={}", escaping.as_str());
        }
        let _ = write!(text, ";q=0.{weight},");
        weight = weight.saturating_sub(1).max(1);
    }
    let _ = write!(text, "*/*;q=0.{weight}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_prometheus() {
        assert_eq!(
            accept(&ScrapeProtocol::DEFAULT[1..], EscapingScheme::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(
            accept(&[ScrapeProtocol::PrometheusProto], EscapingScheme::AllowUtf8),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,*/*;q=0.5"
        );
    }
}
