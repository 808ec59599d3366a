//! Query strings of API v2.

use model::Matcher;

use super::Reply;
use crate::matcher::parse_matcher;

/// Pairs in order; names may repeat.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn new(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A switch, on unless it is turned off. What upstream's framework takes for yes is yes.
    pub(super) fn is_on(&self, name: &str) -> bool {
        const YES: [&str; 10] = ["true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"];
        self.first(name).is_none_or(|value| YES.contains(&value.to_ascii_lowercase().as_str()))
    }

    /// All matchers under `name`.
    pub(super) fn matchers(&self, name: &str) -> Result<Vec<Matcher>, Reply> {
        let texts = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
        texts
            .map(|text| {
                parse_matcher(text)
                    .map_err(|err| Reply::error(400, format!("bad matcher format: {text}: {err}")))
            })
            .collect()
    }

    /// The expression that names of receivers must match, if one is given.
    pub(super) fn receiver(&self) -> Result<Option<model::Regex>, Reply> {
        match self.first("receiver").filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => model::Regex::new(text)
                .map(Some)
                .map_err(|err| Reply::error(400, format!("failed to parse receiver param: {err}"))),
        }
    }
}
