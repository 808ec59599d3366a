//! Pushover: one push message. All of it stands in the request's query, the token too.

use std::path::PathBuf;
use std::time::Duration;

use net::{HttpClientConfig, Request, Secret};
use serde::{Deserialize, Serialize};
use url::Url;

use super::value::{GoDuration, cut, or_template};
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notify::{Attempt, Failure};

const API_URL: &str = "https://api.pushover.net/1/messages.json";
/// Longest texts, in characters. Pushover's limits.
const TITLE_CHARS_MAX: usize = 250;
const MESSAGE_CHARS_MAX: usize = 1024;
const URL_CHARS_MAX: usize = 512;
/// How often an emergency is repeated, and until when. Upstream's defaults.
const RETRY: Duration = Duration::from_secs(60);
const EXPIRE: Duration = Duration::from_secs(3600);

/// `pushover_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    user_key: Option<Secret>,
    user_key_file: Option<PathBuf>,
    token: Option<Secret>,
    token_file: Option<PathBuf>,
    title: Option<String>,
    message: Option<String>,
    url: Option<String>,
    url_title: Option<String>,
    device: Option<String>,
    sound: Option<String>,
    priority: Option<String>,
    retry: Option<GoDuration>,
    expire: Option<GoDuration>,
    ttl: Option<GoDuration>,
    html: Option<bool>,
    monospace: Option<bool>,
}

#[derive(Debug)]
pub(super) struct Pushover {
    http: HttpClientConfig,
    user: Source,
    token: Source,
    title: String,
    message: String,
    url: String,
    priority: String,
    keys: Keys,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Pushover, Fault> {
        let user = checker.one_of(("user_key", &self.user_key), ("user_key_file", &self.user_key_file))?;
        let token = checker.one_of(("token", &self.token), ("token_file", &self.token_file))?;
        if self.html == Some(true) && self.monospace == Some(true) {
            return Err(Fault::new("at most one of monospace & html must be configured"));
        }
        let priority = || r#"{{ if eq .Status "firing" }}2{{ else }}0{{ end }}"#.to_owned();
        Ok(Pushover {
            http: checker.http(self.http_config.as_ref()),
            user: user.ok_or_else(|| Fault::new("one of user_key or user_key_file must be configured"))?,
            token: token.ok_or_else(|| Fault::new("one of token or token_file must be configured"))?,
            title: or_template(&self.title, "pushover.default.title"),
            message: or_template(&self.message, "pushover.default.message"),
            url: or_template(&self.url, "pushover.default.url"),
            priority: self.priority.clone().unwrap_or_else(priority),
            keys: self.clone(),
        })
    }
}

impl Pushover {
    /// The address with everything in it.
    fn address(&self, attempt: &Attempt<'_>) -> Result<Url, Failure> {
        let keys = &self.keys;
        let is_html = keys.html == Some(true);
        let fill = |text: &Option<String>| attempt.text(text.as_deref().unwrap_or_default());
        let seconds = |own: Option<GoDuration>, default: Duration| {
            own.map_or(default, |own| own.0).as_secs().to_string()
        };
        let message = if is_html { attempt.html(&self.message)? } else { attempt.text(&self.message)? };
        let message = match cut(message, MESSAGE_CHARS_MAX).trim() {
            // Pushover takes no empty ones.
            "" => "(no details)".to_owned(),
            text => text.to_owned(),
        };
        let mut pairs = vec![
            ("token", attempt.text(&attempt.secret(&self.token)?)?),
            ("user", attempt.text(&attempt.secret(&self.user)?)?),
            ("title", cut(attempt.text(&self.title)?, TITLE_CHARS_MAX)),
            ("message", message),
            ("url", cut(attempt.text(&self.url)?, URL_CHARS_MAX)),
            ("url_title", fill(&keys.url_title)?),
            ("priority", attempt.text(&self.priority)?),
            ("retry", seconds(keys.retry, RETRY)),
            ("expire", seconds(keys.expire, EXPIRE)),
            ("device", fill(&keys.device)?),
            ("sound", fill(&keys.sound)?),
        ];
        if is_html {
            pairs.push(("html", "1".to_owned()));
        }
        if keys.monospace == Some(true) {
            pairs.push(("monospace", "1".to_owned()));
        }
        if let Some(ttl) = keys.ttl.filter(|ttl| ttl.0.as_secs() > 0) {
            pairs.push(("ttl", seconds(Some(ttl), ttl.0)));
        }
        pairs.sort_unstable();
        Ok(Url::parse_with_params(API_URL, pairs).expect("a URL"))
    }
}

impl Kind for Pushover {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let request = Request::post(self.address(attempt)?, "text/plain", "");
            attempt.deliver(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::tests::{attempt, notification, notifier};

    #[test]
    fn everything_stands_in_the_query() {
        let (notifier, integration) = notifier("webhook_configs: [{url: 'http://h/'}]");
        let notification = notification();
        let attempt = attempt(&notifier, &integration, &notification);
        let check = |keys: &str, expected: &[(&str, &str)]| {
            let keys: Keys = model::yaml::parse("a.yml", keys).expect("good");
            let pushover = keys.check(&Checker::here(&Default::default())).expect("good");
            let url = pushover.address(&attempt).expect("an address");
            assert_eq!(url.host_str(), Some("api.pushover.net"));
            for (name, value) in expected {
                let found = url.query_pairs().find(|(known, _)| known == name);
                assert_eq!(
                    found.map(|(_, value)| value.into_owned()).as_deref(),
                    Some(*value),
                    "{name} in {url}"
                );
            }
        };
        let title = "[FIRING:1] HostDown (node)";
        check(
            "{user_key: u, token: t, message: ' ', ttl: 90s}",
            &[
                ("user", "u"),
                ("token", "t"),
                ("title", title),
                ("message", "(no details)"),
                ("priority", "2"),
                ("retry", "60"),
                ("expire", "3600"),
                ("ttl", "90"),
            ],
        );
        let long = format!("{{user_key: u, token: t, html: true, message: '{}'}}", "é".repeat(2000));
        check(&long, &[("html", "1"), ("message", &format!("{}…", "é".repeat(1023)))]);
    }
}
