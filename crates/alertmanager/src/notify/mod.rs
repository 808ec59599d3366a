//! Telling: from a group of alerts to one message of one receiver.
//!
//! In from the dispatcher, through the driver: one [`Notification`] and one integration; out through
//! [`crate::receiver`] to sockets. One attempt per call; when to try again is the dispatcher's business. Secrets in
//! files are read at each attempt.

mod attempt;
mod data;
mod failure;
mod functions;
mod template;
mod trace;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use net::HttpClient;
use parking_lot::Mutex;
use stdx::Dir;
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};

use crate::config::{Config, ConfigError, Integration};
use crate::hosts::Remote;
use crate::notification::{Notification, Outcome, Reason};
use template::Templates;
pub(crate) use template::is_template;
use trace::Trace;

pub(crate) use attempt::{Attempt, go_json, secret_header};
pub(crate) use data::{AlertData, Data, Kv, status};
pub(crate) use failure::{ANSWER_CHARS_MAX, Failure};
pub(crate) use trace::Exchange;

/// Whether the templates of `config` can be read.
pub(crate) fn check_templates(config: &Config) -> Result<(), ConfigError> {
    Templates::new(config).map(|_| ())
}

/// Everything an attempt needs, for one configuration.
#[derive(Debug)]
pub(crate) struct Notifier {
    templates: Templates,
    external_url: String,
    files: Arc<dyn Dir>,
    /// By receiver, kind and index.
    clients: HashMap<(String, &'static str, usize), HttpClient>,
    /// Who is asked about hosts, when the configuration names somebody.
    pub(crate) samples: Option<Arc<Remote>>,
}

impl Notifier {
    /// The route's own labels as a message would have them; one that cannot be filled in is left out, as in Alertmanager.
    pub(crate) fn route_labels(&self, notification: &Notification) -> Kv {
        let mut data = Data::new(notification, &self.external_url, 0);
        if let Err(err) = self.templates.fill_route_labels(&mut data, notification.now_ms) {
            tracing::debug!(receiver = %notification.receiver, error = %err, "a route's label cannot be filled in");
        }
        data.route_labels
    }

    /// Reads templates and TLS files.
    ///
    /// # Errors
    /// When one of them is not usable.
    pub(crate) fn new(config: &Config, external_url: &str, files: Arc<dyn Dir>) -> Result<Self, ConfigError> {
        let mut clients = HashMap::new();
        for integration in config.receivers.iter().flat_map(|receiver| &receiver.integrations) {
            let Some(http) = integration.kind.http() else { continue };
            let client = HttpClient::signed(http, integration.kind.signing()).map_err(|err| {
                ConfigError::Client { receiver: integration.receiver.clone(), message: err.to_string() }
            })?;
            clients.insert((integration.receiver.clone(), integration.name, integration.idx), client);
        }
        let samples = config.hosts.samples.as_ref().map(|(url, http)| {
            let client = HttpClient::new(http).map_err(|err| ConfigError::Client {
                receiver: "hinomi.samples".to_owned(),
                message: err.to_string(),
            })?;
            Ok::<_, ConfigError>(Arc::new(Remote::new(url, client)))
        });
        Ok(Self {
            templates: Templates::new(config)?,
            external_url: external_url.to_owned(),
            files,
            clients,
            samples: samples.transpose()?,
        })
    }

    /// As [`Notifier::send`], with all that was said and answered, without secrets.
    pub(crate) async fn send_traced(
        &self,
        integration: &Integration,
        notification: &Notification,
        timeout: Duration,
    ) -> (Outcome, Vec<Exchange>) {
        let trace = Mutex::new(Trace::default());
        let outcome = self.attempt(integration, notification, timeout, Some(&trace)).await;
        (outcome, trace.into_inner().into_exchanges())
    }

    /// Tries once; done within `timeout`.
    pub(crate) async fn send(
        &self,
        integration: &Integration,
        notification: &Notification,
        timeout: Duration,
    ) -> Outcome {
        let span = info_span!(
            "notify.Integration.Notify",
            otel.kind = "client",
            alerting.notify.integration.name = integration.name,
            alerting.receiver.name = integration.receiver,
            alerting.group.key = notification.group_key,
            alerting.alerts.count = notification.alerts.len(),
            error = Empty
        );
        let outcome = self.attempt(integration, notification, timeout, None).instrument(span.clone()).await;
        if let Outcome::Failed { message, .. } = &outcome {
            span.record("error", message.as_str());
        }
        outcome
    }

    async fn attempt(
        &self,
        integration: &Integration,
        notification: &Notification,
        timeout: Duration,
        trace: Option<&Mutex<Trace>>,
    ) -> Outcome {
        let kind = &integration.kind;
        let timeout = kind.timeout().map_or(timeout, |own| own.min(timeout));
        let attempt = match Attempt::new(self, integration, notification, timeout) {
            Ok(attempt) => attempt.traced(trace),
            Err(failure) => return failure.into(),
        };
        // A message may take several requests; the bound is for all of them.
        let sent = tokio::time::timeout(timeout, kind.send(&attempt)).await;
        match sent {
            Ok(Ok(())) => Outcome::Delivered(attempt.into_notes()),
            Ok(Err(failure)) => failure.into(),
            Err(_) => {
                let message = format!("not done within {timeout:?}");
                Failure { reason: Reason::Deadline, ..Failure::retryable(message) }.into()
            }
        }
    }
}

/// Where template files come from in errors.
pub(crate) fn template_error(path: PathBuf, err: &gotemplate::ParseError) -> ConfigError {
    ConfigError::Template { path, message: err.to_string() }
}

#[cfg(test)]
pub(crate) mod tests;
