//! Query strings of API v2.

use model::Matcher;

use super::Reply;
use crate::matcher::{MatcherError, parse_matcher};
use crate::time::parse_rfc3339;

/// Pairs in order; names may repeat.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn new(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Everything under `name`, lists with commas taken apart.
    pub(super) fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty())
    }

    /// Every value of `name`.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A moment: RFC 3339, or Unix seconds.
    pub(super) fn moment(&self, name: &str) -> Result<Option<i64>, Reply> {
        let Some(text) = self.first(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let seconds = || text.parse::<f64>().ok().filter(|s| s.is_finite()).map(|s| (s * 1e3) as i64);
        let bad = || format!("{name}: {text:?} is neither a time of RFC 3339 nor Unix seconds");
        parse_rfc3339(text).or_else(seconds).map(Some).ok_or_else(|| Reply::error(400, bad()))
    }

    /// A switch, on unless it is turned off. What upstream's framework takes for yes is yes.
    pub(super) fn is_on(&self, name: &str) -> bool {
        const YES: [&str; 10] = ["true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"];
        self.first(name)
            .is_none_or(|value| value.is_empty() || YES.contains(&value.to_ascii_lowercase().as_str()))
    }

    /// All matchers under `name`.
    pub(super) fn matchers(&self, name: &str) -> Result<Vec<Matcher>, Reply> {
        let texts = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
        // Upstream says so of one of its parameters.
        let lead = if name == "filter" { String::new() } else { format!("failed to parse {name} param: ") };
        let refuse = |err: MatcherError| Reply::error(400, format!("{lead}{err}"));
        texts.map(|text| parse_matcher(text).map_err(refuse)).collect()
    }

    /// The expression that names of receivers must match, if one is given.
    pub(super) fn receiver(&self) -> Result<Option<model::Regex>, Reply> {
        match self.first("receiver").filter(|text| !text.is_empty()) {
            None => Ok(None),
            // Whole names match anyway; what is wrong is told of the text that upstream makes of it.
            Some(text) => model::Regex::new(&format!("^(?:{text})$"))
                .map(Some)
                .map_err(|err| Reply::error(400, format!("failed to parse receiver param: {err}"))),
        }
    }
}
