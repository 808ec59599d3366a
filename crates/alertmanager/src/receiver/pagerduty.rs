//! PagerDuty: an event of its Events API, version 2 (`routing_key`) or 1 (`service_key`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::value::{GoDuration, api_url, cut, non_empty, or_template, timeout_of};
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notification::Reason;
use crate::notify::{Attempt, Failure, go_json};

/// Where events of version 2 go.
const V2_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// Where events of version 1 go.
const V1_URL: &str = "https://events.pagerduty.com/generic/2010-04-15/create_event.json";
/// Longest event, in bytes. PagerDuty's limit.
const EVENT_BYTES_MAX: usize = 512_000;
/// Longest summary, in characters. PagerDuty's limit.
const SUMMARY_CHARS_MAX: usize = 1024;
/// Said of an alert unless the file says otherwise.
const SEVERITY: &str = "error";

/// `pagerduty_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    service_key: Option<Secret>,
    service_key_file: Option<PathBuf>,
    routing_key: Option<Secret>,
    routing_key_file: Option<PathBuf>,
    url: Option<String>,
    client: Option<String>,
    client_url: Option<String>,
    description: Option<String>,
    details: Option<BTreeMap<String, Value>>,
    images: Option<Vec<Image>>,
    links: Option<Vec<Link>>,
    source: Option<String>,
    severity: Option<String>,
    class: Option<String>,
    component: Option<String>,
    group: Option<String>,
    timeout: Option<GoDuration>,
}

/// A picture; without a source after filling in, it is left out.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Image {
    src: String,
    alt: String,
    href: String,
}

/// A link; without an address after filling in, it is left out.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Link {
    href: String,
    text: String,
}

/// Which interface, and the key for it.
#[derive(Debug)]
enum Version {
    One(Source),
    Two(Source),
}

#[derive(Debug)]
pub(super) struct PagerDuty {
    http: HttpClientConfig,
    url: Url,
    version: Version,
    client: String,
    client_url: String,
    description: String,
    details: BTreeMap<String, Value>,
    keys: Keys,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<PagerDuty, Fault> {
        let routing = checker
            .one_of(("routing_key", &self.routing_key), ("routing_key_file", &self.routing_key_file))?;
        let service = checker
            .one_of(("service_key", &self.service_key), ("service_key_file", &self.service_key_file))?;
        let url = api_url(&self.url, &checker.global.pagerduty_url, V2_URL)?;
        // As upstream: a service key chooses the old interface, whatever else is there.
        let (version, url) = match (service, routing) {
            (Some(key), _) => (Version::One(key), Url::parse(V1_URL).expect("a URL")),
            (None, Some(key)) => (Version::Two(key), url),
            (None, None) => {
                return Err(Fault::new("missing service or routing key in PagerDuty config"));
            }
        };
        let mut details = self.details.clone().unwrap_or_default();
        for (name, template) in [
            ("firing", "{{ .Alerts.Firing | toJson }}"),
            ("resolved", "{{ .Alerts.Resolved | toJson }}"),
            ("num_firing", "{{ .Alerts.Firing | len }}"),
            ("num_resolved", "{{ .Alerts.Resolved | len }}"),
        ] {
            details.entry(name.to_owned()).or_insert_with(|| Value::from(template));
        }
        Ok(PagerDuty {
            http: checker.http(self.http_config.as_ref()),
            url,
            version,
            client: or_template(&self.client, "pagerduty.default.client"),
            client_url: or_template(&self.client_url, "pagerduty.default.clientURL"),
            description: or_template(&self.description, "pagerduty.default.description"),
            details,
            keys: self.clone(),
        })
    }
}

/// Keys in upstream's order; what is empty is left out.
#[derive(Debug, Default, Serialize)]
struct Event {
    #[serde(skip_serializing_if = "String::is_empty")]
    routing_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    service_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    dedup_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    incident_key: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    event_type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    event_action: &'static str,
    payload: Option<Payload>,
    #[serde(skip_serializing_if = "String::is_empty")]
    client: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_url: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Image>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
}

#[derive(Debug, Serialize)]
struct Payload {
    summary: String,
    source: String,
    severity: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    class: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    component: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    custom_details: BTreeMap<String, Value>,
}

impl PagerDuty {
    fn event(&self, attempt: &Attempt<'_>) -> Result<Event, Failure> {
        let fill = |text: &str| attempt.text(text);
        let action = if attempt.is_firing() { "trigger" } else { "resolve" };
        let description = cut(fill(&self.description)?, SUMMARY_CHARS_MAX);
        let details = self.details.iter().map(|(name, value)| Ok((name.clone(), attempt.structure(value)?)));
        let details = details.collect::<Result<_, Failure>>()?;
        let key = |source: &Source, name: &str| match fill(&attempt.secret(source)?)? {
            key if key.is_empty() => Err(Failure::fatal(format!("{name} key cannot be empty"))),
            key => Ok(key),
        };
        match &self.version {
            Version::One(source) => {
                let is_firing = attempt.is_firing();
                let only_firing = |text: &str| if is_firing { fill(text) } else { Ok(String::new()) };
                Ok(Event {
                    service_key: key(source, "service")?,
                    event_type: action,
                    incident_key: attempt.group_hash(),
                    description,
                    details,
                    client: only_firing(&self.client)?,
                    client_url: only_firing(&self.client_url)?,
                    ..Event::default()
                })
            }
            Version::Two(source) => Ok(Event {
                routing_key: key(source, "routing")?,
                dedup_key: attempt.group_hash(),
                event_action: action,
                payload: Some(self.payload(attempt, description, details)?),
                client: fill(&self.client)?,
                client_url: fill(&self.client_url)?,
                images: self.images(attempt)?,
                links: self.links(attempt)?,
                ..Event::default()
            }),
        }
    }

    fn payload(
        &self,
        attempt: &Attempt<'_>,
        summary: String,
        custom_details: BTreeMap<String, Value>,
    ) -> Result<Payload, Failure> {
        let fill = |text: &Option<String>, default: &str| {
            attempt.text(non_empty(text).as_deref().unwrap_or(default))
        };
        Ok(Payload {
            summary,
            source: fill(&self.keys.source, &self.client)?,
            severity: fill(&self.keys.severity, SEVERITY)?,
            class: fill(&self.keys.class, "")?,
            component: fill(&self.keys.component, "")?,
            group: fill(&self.keys.group, "")?,
            custom_details,
        })
    }

    fn images(&self, attempt: &Attempt<'_>) -> Result<Vec<Image>, Failure> {
        let mut filled = Vec::new();
        for image in self.keys.images.iter().flatten() {
            let src = attempt.text(&image.src)?;
            if !src.is_empty() {
                filled.push(Image { src, alt: attempt.text(&image.alt)?, href: attempt.text(&image.href)? });
            }
        }
        Ok(filled)
    }

    fn links(&self, attempt: &Attempt<'_>) -> Result<Vec<Link>, Failure> {
        let mut filled = Vec::new();
        for link in self.keys.links.iter().flatten() {
            let href = attempt.text(&link.href)?;
            if !href.is_empty() {
                filled.push(Link { href, text: attempt.text(&link.text)? });
            }
        }
        Ok(filled)
    }
}

/// An event that is too long loses its details, which say so.
fn shortened(mut event: Event) -> Event {
    if go_json(&event).len() <= EVENT_BYTES_MAX {
        return event;
    }
    let told =
        "Custom details have been removed because the original event exceeds the maximum size of 512KB";
    let told = BTreeMap::from([("error".to_owned(), Value::from(told))]);
    match &mut event.payload {
        Some(payload) => payload.custom_details = told,
        None => event.details = told,
    }
    event
}

impl Kind for PagerDuty {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn timeout(&self) -> Option<Duration> {
        timeout_of(self.keys.timeout)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let event = shortened(self.event(attempt)?);
            let answer = attempt.post_json(self.url.as_str(), &event).await;
            match (answer, &self.version) {
                // The old interface says 403 where it means «too many».
                (Err(failure), Version::One(_)) if failure.message.contains("status code 403") => {
                    Err(Failure { is_retryable: true, reason: Reason::RateLimited, ..failure })
                }
                (answer, _) => answer,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::tests::{attempt, notification, notifier};

    #[test]
    fn the_old_interface_and_what_is_too_long() {
        let (notifier, integration) = notifier("webhook_configs: [{url: 'http://h/'}]");
        let notification = notification();
        let attempt = attempt(&notifier, &integration, &notification);
        let keys: Keys = model::yaml::parse("a.yml", "{service_key: k}").expect("good");
        let mut pager = keys.check(&Checker::here(&Default::default())).expect("good");
        let event = serde_json::to_value(pager.event(&attempt).expect("filled")).expect("JSON");
        assert_eq!(event["service_key"], "k");
        assert_eq!(event["event_type"], "trigger");
        assert_eq!(event["incident_key"], attempt.group_hash());
        assert_eq!(event["details"]["num_firing"], 1);
        assert_eq!((&event["payload"], &event["event_action"]), (&Value::Null, &Value::from("")));
        pager.details.insert("long".to_owned(), Value::from("x".repeat(EVENT_BYTES_MAX)));
        let event = serde_json::to_value(shortened(pager.event(&attempt).expect("filled"))).expect("JSON");
        assert_eq!(event["details"].as_object().map(serde_json::Map::len), Some(1));
        assert!(event["details"]["error"].as_str().is_some_and(|said| said.contains("maximum size")));
    }
}
