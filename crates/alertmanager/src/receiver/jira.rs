//! Jira: one issue for each group, found again by a label, updated, closed and opened again by transitions.

use std::collections::BTreeMap;
use std::fmt;

use http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use model::Duration;
use net::{HttpClientConfig, Request, Response};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::value::{below, cut, non_empty, or_template, parse_url};
use super::{Kind, Sending};
use crate::config::{Checker, Fault};
use crate::notify::{Attempt, Failure};

/// Longest texts, in characters. Jira's limits.
const SUMMARY_CHARS_MAX: usize = 255;
const DESCRIPTION_CHARS_MAX: usize = 32_767;

/// `jira_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    api_url: Option<String>,
    api_type: Option<String>,
    project: Option<String>,
    summary: Option<Text>,
    description: Option<Text>,
    labels: Option<Vec<String>>,
    priority: Option<String>,
    issue_type: Option<String>,
    reopen_transition: Option<String>,
    resolve_transition: Option<String>,
    wont_fix_resolution: Option<String>,
    reopen_duration: Option<Duration>,
    fields: Option<BTreeMap<String, Value>>,
}

/// A template, or a template and whether an issue that is there already gets it too.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Text {
    Template(String),
    Settings(TextSettings),
}

// By hand: serde's own way takes a number, or the `y` of a template inside, for something else than a text.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a template, or a mapping with template and enable_update")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text::Template(text.to_owned()))
    }

    fn visit_bool<E>(self, bit: bool) -> Result<Text, E> {
        Ok(Text::Template(bit.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
        Ok(Text::Template(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
        Ok(Text::Template(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
        Ok(Text::Template(number.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
        TextSettings::deserialize(MapAccessDeserializer::new(map)).map(Text::Settings)
    }
}

#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct TextSettings {
    template: Option<String>,
    enable_update: Option<bool>,
}

impl Text {
    /// The template and whether updates have it.
    fn of(text: &Option<Self>, default: &str) -> (String, bool) {
        match text {
            Some(Self::Template(template)) => (template.clone(), true),
            Some(Self::Settings(settings)) => {
                (or_template(&settings.template, default), settings.enable_update.unwrap_or(true))
            }
            None => (or_template(&None, default), true),
        }
    }
}

#[derive(Debug)]
pub(super) struct Jira {
    http: HttpClientConfig,
    url: Url,
    search_url: Url,
    project: String,
    issue_type: String,
    summary: (String, bool),
    description: (String, bool),
    priority: String,
    keys: Keys,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Jira, Fault> {
        let missing = |what| Fault::new(format!("missing {what} in jira_config"));
        let project = non_empty(&self.project).ok_or_else(|| missing("project"))?;
        let issue_type = non_empty(&self.issue_type).ok_or_else(|| missing("issue_type"))?;
        let url = non_empty(&self.api_url).or_else(|| non_empty(&checker.global.jira_api_url));
        let url = parse_url(&url.ok_or_else(|| Fault::new("no global Jira Cloud URL set"))?)?;
        let is_cloud = match self.api_type.as_deref() {
            Some("cloud") => true,
            Some("datacenter") => false,
            Some("auto") | None => url.host_str().is_some_and(|host| host.ends_with("atlassian.net")),
            Some(_) => {
                return Err(Fault::new("unknown api_type on jira_config, must be auto, cloud or datacenter"));
            }
        };
        Ok(Jira {
            http: checker.http(self.http_config.as_ref()),
            search_url: search_url(&url, is_cloud),
            url,
            project,
            issue_type,
            summary: Text::of(&self.summary, "jira.default.summary"),
            description: Text::of(&self.description, "jira.default.description"),
            priority: or_template(&self.priority, "jira.default.priority"),
            keys: self.clone(),
        })
    }
}

/// The cloud searches only in version 3 of its interface, which is otherwise not needed.
fn search_url(url: &Url, is_cloud: bool) -> Url {
    if !is_cloud {
        return below(url, "search");
    }
    let mut search = below(url, "search/jql");
    let path = search.path().replacen("/rest/api/2/", "/rest/api/3/", 1);
    search.set_path(&path);
    search
}

/// An issue that stands for the group already.
struct Found {
    key: String,
    is_done: bool,
}

impl Jira {
    /// What the group's issue is found by.
    fn label(attempt: &Attempt<'_>) -> String {
        format!("ALERT{{{}}}", attempt.group_hash())
    }

    /// Open issues; for a group that fires also those that were closed not long ago, when they may be opened again.
    fn query(&self, attempt: &Attempt<'_>) -> Result<String, Failure> {
        let keys = &self.keys;
        let mut query = String::new();
        if let Some(resolution) = non_empty(&keys.wont_fix_resolution) {
            // An open issue has no resolution, and Jira's != would leave it out.
            query = format!("(resolution is EMPTY or resolution != {resolution:?}) and ");
        }
        let reopen_minutes = keys.reopen_duration.map_or(0, |duration| duration.as_ms() / 60_000);
        if attempt.is_firing() && non_empty(&keys.reopen_transition).is_some() && reopen_minutes > 0 {
            query += &format!("(resolutiondate is EMPTY OR resolutiondate >= -{reopen_minutes}m) and ");
        } else {
            query += "statusCategory != Done and ";
        }
        let (project, label) = (attempt.text(&self.project)?, Self::label(attempt));
        Ok(query
            + &format!("project={project:?} and labels={label:?} order by status ASC,resolutiondate DESC"))
    }

    async fn find(&self, attempt: &Attempt<'_>) -> Result<Option<Found>, Failure> {
        let body = json!({"fields": ["status"], "jql": self.query(attempt)?, "maxResults": 2});
        let answer = attempt.ask_json(Method::POST, self.search_url.clone(), headers(), &body).await?;
        let answer = parsed(&answer)?;
        let issue = &answer["issues"][0];
        let Some(key) = issue["key"].as_str().filter(|key| !key.is_empty()) else { return Ok(None) };
        let is_done = issue["fields"]["status"]["statusCategory"]["key"] == "done";
        Ok(Some(Found { key: key.to_owned(), is_done }))
    }

    /// The fields of a new issue, or those that an issue which is there gets anew.
    fn fields(&self, attempt: &Attempt<'_>, is_update: bool) -> Result<Map<String, Value>, Failure> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("project", json!({"key": attempt.text(&self.project)?}));
        put("issuetype", json!({"name": attempt.text(&self.issue_type)?}));
        let is_wanted = |(_, is_updated): &(String, bool)| *is_updated || !is_update;
        if is_wanted(&self.summary) {
            put("summary", cut(attempt.text(&self.summary.0)?, SUMMARY_CHARS_MAX).into());
        }
        if is_wanted(&self.description)
            && let Some(description) = self.filled_description(attempt)?
        {
            put("description", description);
        }
        let labels = self.keys.labels.iter().flatten().map(|label| attempt.text(label));
        let mut labels = labels.collect::<Result<Vec<_>, _>>()?;
        labels.push(Self::label(attempt));
        labels.sort_unstable();
        put("labels", labels.into());
        let priority = attempt.text(&self.priority)?;
        if !priority.is_empty() {
            put("priority", json!({"name": priority}));
        }
        for (name, value) in self.keys.fields.iter().flatten() {
            put(name, attempt.structure(value)?);
        }
        Ok(fields)
    }

    /// Text; a document in JSON where the address is that of version 3.
    fn filled_description(&self, attempt: &Attempt<'_>) -> Result<Option<Value>, Failure> {
        let text = cut(attempt.text(&self.description.0)?, DESCRIPTION_CHARS_MAX);
        if !self.url.path().trim_end_matches('/').ends_with("/3") {
            return Ok(Some(text).filter(|text| !text.is_empty()).map(Value::from));
        }
        match text.trim() {
            "" => Ok(None),
            text => serde_json::from_str(text)
                .map(Some)
                .map_err(|_| Failure::refused("description template: invalid JSON for API v3")),
        }
    }

    async fn tell(&self, attempt: &Attempt<'_>) -> Result<(), Failure> {
        match self.find(attempt).await? {
            // What has resolved needs no new issue.
            None if !attempt.is_firing() => Ok(()),
            None => {
                let body = json!({"fields": self.fields(attempt, false)?});
                call(attempt, Method::POST, below(&self.url, "issue"), &body).await
            }
            Some(found) => {
                let body = json!({"fields": self.fields(attempt, true)?});
                let url = below(&self.url, &format!("issue/{}", found.key));
                call(attempt, Method::PUT, url, &body).await?;
                self.move_on(attempt, &found).await
            }
        }
    }

    /// Closes an open issue of a group that has resolved; opens a closed one of a group that fires.
    async fn move_on(&self, attempt: &Attempt<'_>, found: &Found) -> Result<(), Failure> {
        let transition = match (attempt.is_firing(), found.is_done) {
            (true, true) => &self.keys.reopen_transition,
            (false, false) => &self.keys.resolve_transition,
            _ => return Ok(()),
        };
        let Some(wanted) = non_empty(transition) else { return Ok(()) };
        let url = below(&self.url, &format!("issue/{}/transitions", found.key));
        let response = attempt.request(Request { headers: headers(), ..Request::get(url.clone()) }).await?;
        Failure::check_status(&response)?;
        let known = parsed(&response)?;
        let id = known["transitions"].as_array().into_iter().flatten().find(|t| t["name"] == wanted.as_str());
        let Some(id) = id.and_then(|transition| transition["id"].as_str()) else {
            let key = &found.key;
            return Err(Failure::refused(format!("can't find transition {wanted} for issue {key}")));
        };
        call(attempt, Method::POST, url, &json!({"transition": {"id": id}})).await
    }
}

/// Of every request, those without a body too.
fn headers() -> HeaderMap {
    HeaderMap::from_iter([
        (ACCEPT_LANGUAGE, HeaderValue::from_static("en")),
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
    ])
}

async fn call(attempt: &Attempt<'_>, method: Method, url: Url, body: &Value) -> Result<(), Failure> {
    attempt.send_json(method, url, headers(), body).await
}

fn parsed(response: &Response) -> Result<Value, Failure> {
    serde_json::from_slice(&response.body)
        .map_err(|err| Failure::fatal(format!("Jira's answer is not JSON: {err}")))
}

impl Kind for Jira {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(self.tell(attempt))
    }
}
