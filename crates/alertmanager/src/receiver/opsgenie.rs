//! Opsgenie: an alert created while the group fires, and closed when it has resolved.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Serialize};
use url::Url;

use super::value::{api_url, below, cut, or_template};
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notify::{Attempt, Failure, secret_header};

const API_URL: &str = "https://api.opsgenie.com/";
/// Longest message, in characters. Opsgenie's limit.
const MESSAGE_CHARS_MAX: usize = 130;
/// What a responder may be.
const RESPONDER_TYPES: [&str; 5] = ["team", "teams", "user", "escalation", "schedule"];

/// `opsgenie_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    api_key: Option<Secret>,
    api_key_file: Option<PathBuf>,
    api_url: Option<String>,
    message: Option<String>,
    description: Option<String>,
    source: Option<String>,
    details: Option<BTreeMap<String, String>>,
    entity: Option<String>,
    responders: Option<Vec<Responder>>,
    actions: Option<String>,
    tags: Option<String>,
    note: Option<String>,
    priority: Option<String>,
    update_alerts: Option<bool>,
}

/// Whom Opsgenie tells: one of id, name and user name, and what it is.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Responder {
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug)]
pub(super) struct Opsgenie {
    http: HttpClientConfig,
    url: Url,
    key: Source,
    message: String,
    description: String,
    source: String,
    responders: Vec<Responder>,
    keys: Keys,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Opsgenie, Fault> {
        let global = checker.global;
        let key = checker.one_of_or_global(
            ("api_key", &self.api_key),
            ("api_key_file", &self.api_key_file),
            (&global.opsgenie_api_key, &global.opsgenie_api_key_file),
        )?;
        let responders = self.responders.iter().flatten().map(checked_responder);
        Ok(Opsgenie {
            http: checker.http(self.http_config.as_ref()),
            url: api_url(&self.api_url, &global.opsgenie_api_url, API_URL)?,
            key: key
                .ok_or_else(|| Fault::new("no global OpsGenie API Key set either inline or in a file"))?,
            message: or_template(&self.message, "opsgenie.default.message"),
            description: or_template(&self.description, "opsgenie.default.description"),
            source: or_template(&self.source, "opsgenie.default.source"),
            responders: responders.collect::<Result<_, _>>()?,
            keys: self.clone(),
        })
    }
}

/// Sent as it is written; only what it may be goes by small letters, as in Alertmanager.
fn checked_responder(responder: &Responder) -> Result<Responder, Fault> {
    if responder.id.is_empty() && responder.username.is_empty() && responder.name.is_empty() {
        return Err(Fault::new(
            "opsGenieConfig responder has to have at least one of id, username or name specified",
        ));
    }
    if responder.kind.contains("{{") {
        if !crate::notify::is_template(&responder.kind) {
            let what = format!("opsGenieConfig responder type {:?} is no template", responder.kind);
            return Err(Fault::new(what));
        }
    } else {
        let kind = responder.kind.to_lowercase();
        if !RESPONDER_TYPES.contains(&kind.as_str()) {
            return Err(Fault::new(format!(
                "opsGenieConfig responder type {kind:?} does not match valid options ^({})$",
                RESPONDER_TYPES.join("|")
            )));
        }
    }
    Ok(responder.clone())
}

/// Keys in upstream's order.
#[derive(Debug, Serialize)]
struct Create {
    alias: String,
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    details: BTreeMap<String, String>,
    source: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    responders: Vec<Responder>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    priority: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    entity: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<String>,
}

/// One text under one name.
type Single<'a> = BTreeMap<&'static str, &'a str>;

fn list(text: &str) -> Vec<String> {
    text.trim().split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

impl Opsgenie {
    fn create(&self, attempt: &Attempt<'_>) -> Result<Create, Failure> {
        let fill = |text: &Option<String>| attempt.text(text.as_deref().unwrap_or_default());
        let mut details = attempt.data.common_labels.clone();
        for (name, text) in self.keys.details.iter().flatten() {
            details.insert(name.clone(), attempt.text(text)?);
        }
        Ok(Create {
            alias: attempt.group_hash(),
            message: cut(attempt.text(&self.message)?, MESSAGE_CHARS_MAX),
            description: attempt.text(&self.description)?,
            details,
            source: attempt.text(&self.source)?,
            responders: self.filled_responders(attempt)?,
            tags: list(&fill(&self.keys.tags)?),
            note: fill(&self.keys.note)?,
            priority: fill(&self.keys.priority)?,
            entity: fill(&self.keys.entity)?,
            actions: list(&fill(&self.keys.actions)?),
        })
    }

    /// Those that labels left empty go; `teams` names several, separated by commas.
    fn filled_responders(&self, attempt: &Attempt<'_>) -> Result<Vec<Responder>, Failure> {
        let mut all = Vec::new();
        for raw in &self.responders {
            let responder = Responder {
                id: attempt.text(&raw.id)?,
                name: attempt.text(&raw.name)?,
                username: attempt.text(&raw.username)?,
                kind: attempt.text(&raw.kind)?,
            };
            if responder.kind == "teams" {
                let team = |name| Responder { name, kind: "team".to_owned(), ..Responder::default() };
                all.extend(list(&responder.name).into_iter().map(team));
            } else if responder != Responder::default() {
                all.push(responder);
            }
        }
        Ok(all)
    }

    /// The address of what is done to the group's alert.
    fn of_alias(&self, attempt: &Attempt<'_>, what: &str) -> Url {
        let mut url = below(&self.url, &format!("v2/alerts/{}/{what}", attempt.group_hash()));
        url.query_pairs_mut().append_pair("identifierType", "alias");
        url
    }

    async fn tell(&self, attempt: &Attempt<'_>, headers: HeaderMap) -> Result<(), Failure> {
        if !attempt.is_firing() {
            let source = attempt.text(&self.source)?;
            let body = Single::from([("source", source.as_str())]);
            let url = self.of_alias(attempt, "close");
            return attempt.send_json(Method::POST, url, headers, &body).await;
        }
        let create = self.create(attempt)?;
        attempt.send_json(Method::POST, below(&self.url, "v2/alerts"), headers.clone(), &create).await?;
        if self.keys.update_alerts == Some(true) {
            for (what, text) in [("message", &create.message), ("description", &create.description)] {
                let body = Single::from([(what, text.as_str())]);
                let url = self.of_alias(attempt, what);
                attempt.send_json(Method::PUT, url, headers.clone(), &body).await?;
            }
        }
        Ok(())
    }
}

impl Kind for Opsgenie {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let key = attempt.text(&attempt.secret(&self.key)?)?;
            let headers = secret_header(AUTHORIZATION, &format!("GenieKey {}", key.trim()))?;
            self.tell(attempt, headers).await
        })
    }
}
