//! VictorOps (Splunk On-Call): an event of its REST endpoint.

use std::collections::BTreeMap;
use std::path::PathBuf;

use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Serialize};
use url::Url;

use super::value::{api_url, below, cut, non_empty, or_template};
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notify::{Attempt, Failure};

const API_URL: &str = "https://alert.victorops.com/integrations/generic/20131114/alert/";
/// Longest state message, in characters. VictorOps' limit.
const MESSAGE_CHARS_MAX: usize = 20_480;
/// What a firing group may be said to be.
const FIRING_TYPES: [&str; 3] = ["INFO", "WARNING", "CRITICAL"];
/// What it is said to be when the file says something else.
const CRITICAL: &str = "CRITICAL";
/// Names that custom fields may not take.
const RESERVED: [&str; 7] = [
    "routing_key",
    "message_type",
    "state_message",
    "entity_display_name",
    "monitoring_tool",
    "entity_id",
    "entity_state",
];

/// `victorops_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    api_key: Option<Secret>,
    api_key_file: Option<PathBuf>,
    api_url: Option<String>,
    routing_key: Option<String>,
    message_type: Option<String>,
    state_message: Option<String>,
    entity_display_name: Option<String>,
    monitoring_tool: Option<String>,
    custom_fields: Option<BTreeMap<String, String>>,
}

#[derive(Debug)]
pub(super) struct VictorOps {
    http: HttpClientConfig,
    url: Url,
    key: Source,
    routing_key: String,
    message_type: String,
    state_message: String,
    entity_display_name: String,
    monitoring_tool: String,
    custom_fields: BTreeMap<String, String>,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<VictorOps, Fault> {
        let global = checker.global;
        let routing_key = non_empty(&self.routing_key);
        let routing_key = routing_key.ok_or_else(|| Fault::new("missing Routing key in VictorOps config"))?;
        let custom_fields = self.custom_fields.clone().unwrap_or_default();
        if let Some(name) = RESERVED.iter().find(|name| custom_fields.contains_key(**name)) {
            return Err(Fault::new(format!(
                "victorOps config contains custom field {name} which cannot be used as it conflicts with the fixed/static fields"
            )));
        }
        let key = checker.one_of_or_global(
            ("api_key", &self.api_key),
            ("api_key_file", &self.api_key_file),
            (&global.victorops_api_key, &global.victorops_api_key_file),
        )?;
        let or_default =
            |own: &Option<String>, name: &str| or_template(own, &format!("victorops.default.{name}"));
        Ok(VictorOps {
            http: checker.http(self.http_config.as_ref()),
            url: api_url(&self.api_url, &global.victorops_api_url, API_URL)?,
            key: key.ok_or_else(|| Fault::new("no global VictorOps API Key set"))?,
            routing_key,
            message_type: self.message_type.clone().unwrap_or_else(|| CRITICAL.to_owned()),
            state_message: or_default(&self.state_message, "state_message"),
            entity_display_name: or_default(&self.entity_display_name, "entity_display_name"),
            monitoring_tool: or_default(&self.monitoring_tool, "monitoring_tool"),
            custom_fields,
        })
    }
}

impl VictorOps {
    fn event(&self, attempt: &Attempt<'_>) -> Result<BTreeMap<String, String>, Failure> {
        let message_type = match attempt.text(&self.message_type)? {
            _ if !attempt.is_firing() => "RECOVERY".to_owned(),
            own if FIRING_TYPES.contains(&own.as_str()) => own,
            _ => CRITICAL.to_owned(),
        };
        let mut event = BTreeMap::from([
            ("message_type".to_owned(), message_type),
            ("entity_id".to_owned(), attempt.group_hash()),
            ("entity_display_name".to_owned(), attempt.text(&self.entity_display_name)?),
            ("state_message".to_owned(), cut(attempt.text(&self.state_message)?, MESSAGE_CHARS_MAX)),
            ("monitoring_tool".to_owned(), attempt.text(&self.monitoring_tool)?),
        ]);
        for (name, text) in &self.custom_fields {
            event.insert(name.clone(), attempt.text(text)?);
        }
        Ok(event)
    }
}

impl Kind for VictorOps {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let key = attempt.secret(&self.key)?;
            let url = below(&self.url, &format!("{key}/{}", attempt.text(&self.routing_key)?));
            attempt.post_json(url.as_str(), &self.event(attempt)?).await
        })
    }
}
