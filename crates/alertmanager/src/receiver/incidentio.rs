//! incident.io: the webhook's message, with a token.

use std::path::PathBuf;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Serialize};
use url::Url;

use super::value::{GoDuration, check_url, timeout_of};
use super::webhook::Message;
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notify::{Attempt, Failure, go_json, secret_header};

/// Longest message, in bytes. incident.io's limit.
const MESSAGE_BYTES_MAX: usize = 512 << 10;

/// `incidentio_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    url: Option<String>,
    url_file: Option<PathBuf>,
    alert_source_token: Option<Secret>,
    alert_source_token_file: Option<PathBuf>,
    max_alerts: Option<u64>,
    timeout: Option<GoDuration>,
}

#[derive(Debug)]
pub(super) struct IncidentIo {
    http: HttpClientConfig,
    url: Source,
    /// `None` when `http_config.authorization` says who we are.
    token: Option<Source>,
    alerts_max: usize,
    timeout: Option<Duration>,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<IncidentIo, Fault> {
        let url = self.url.as_deref().map(Secret::new);
        let url = checker.one_of(("url", &url), ("url_file", &self.url_file))?;
        let url = url.ok_or_else(|| Fault::new("one of url or url_file must be configured"))?;
        if let Source::Inline(url) = &url {
            check_url(url.expose())?;
        }
        let token = checker.one_of(
            ("alert_source_token", &self.alert_source_token),
            ("alert_source_token_file", &self.alert_source_token_file),
        )?;
        let http = checker.http(self.http_config.as_ref());
        let has_authorization = self.http_config.as_ref().is_some_and(|http| http.authorization.is_some());
        match (&token, has_authorization || http.authorization.is_some()) {
            (Some(_), _) if has_authorization => Err(Fault::new(
                "cannot specify alert_source_token or alert_source_token_file when using http_config.authorization",
            )),
            // Without any http_config nobody asks for one, as upstream has it.
            (None, false) if self.http_config.is_some() => Err(Fault::new(
                "at least one of alert_source_token, alert_source_token_file or http_config.authorization must be configured",
            )),
            _ => Ok(()),
        }?;
        Ok(IncidentIo {
            http,
            url,
            token,
            alerts_max: usize::try_from(self.max_alerts.unwrap_or(0)).unwrap_or(usize::MAX),
            timeout: timeout_of(self.timeout),
        })
    }
}

impl Kind for IncidentIo {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn alerts_max(&self) -> usize {
        self.alerts_max
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let headers = match &self.token {
                Some(token) => secret_header(AUTHORIZATION, &format!("Bearer {}", attempt.secret(token)?))?,
                None => HeaderMap::new(),
            };
            let url = Url::parse(&attempt.secret(&self.url)?)
                .map_err(|err| Failure::fatal(format!("the receiver's URL is not a URL: {err}")))?;
            let mut message = Message::new(&attempt.data, &attempt.notification.group_key, "1");
            if go_json(&message).len() > MESSAGE_BYTES_MAX {
                // One incident comes of a group, whatever the number of its alerts.
                message.keep_first();
            }
            attempt.send_json(Method::POST, url, headers, &message).await
        })
    }
}
