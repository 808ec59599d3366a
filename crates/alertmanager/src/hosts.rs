//! Which hosts are active: asked for when an alert is about to be over, since no news from a dead host is not good news.
//!
//! In from the core, which wants to know, and from the driver, which asks the store or another server; out to the core.
//! [`Hosts`] is pure; [`Samples`] is the seam to who knows, [`Remote`] a server of Prometheus' API.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use model::Matcher;
use net::{HttpClient, Limits, Request};
use url::Url;

/// How often a host is asked about while an alert of it waits, in milliseconds. Chosen: a scrape's interval.
pub(crate) const ASK_INTERVAL_MS: i64 = 15_000;
/// How long an answer is good for, in milliseconds. Chosen: one question may be lost.
const ANSWER_KEPT_MS: i64 = 3 * ASK_INTERVAL_MS;
/// Hosts in one round of questions; the others come next. Chosen.
pub(crate) const HOSTS_PER_ROUND_MAX: usize = 1_000;
/// How long one question may take. Chosen.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer, in bytes: one sample.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The host of an alert: what its label says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    /// The label's name.
    pub label: String,
    /// Its value.
    pub value: String,
}

impl Host {
    /// A query of PromQL that gives something when the host has sent samples within `fresh`.
    ///
    /// What a scrape and rules write by themselves does not count: it is there when the host is not.
    #[must_use]
    pub fn query(&self, fresh: Duration) -> String {
        let host = Matcher::equal(&self.label, &self.value);
        let fresh_ms = fresh.as_millis();
        format!("count(last_over_time({{{host},__name__!~\"up|scrape_.+|ALERTS.*\"}}[{fresh_ms}ms]))")
    }
}

/// What asking comes to.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<bool, String>> + Send + 'a>>;

/// Knows which hosts send samples.
pub trait Samples: Send + Sync + fmt::Debug {
    /// Whether the last sample of `host` is younger than `fresh`; an error says why nobody knows.
    fn is_active<'a>(&'a self, host: &'a Host, fresh: Duration) -> Asking<'a>;
}

/// A server of Prometheus' API.
#[derive(Debug)]
pub(crate) struct Remote {
    url: Url,
    client: HttpClient,
}

impl Remote {
    pub(crate) fn new(url: &Url, client: HttpClient) -> Self {
        Self { url: url.clone(), client }
    }
}

impl Samples for Remote {
    fn is_active<'a>(&'a self, host: &'a Host, fresh: Duration) -> Asking<'a> {
        Box::pin(async move {
            let mut url = self.url.clone();
            if let Ok(mut path) = url.path_segments_mut() {
                path.pop_if_empty().extend(["api", "v1", "query"]);
            }
            url.query_pairs_mut().append_pair("query", &host.query(fresh));
            let limits = Limits {
                timeout: ASK_TIMEOUT,
                body_bytes_max: ANSWER_BYTES_MAX,
                decoded_bytes_max: ANSWER_BYTES_MAX,
            };
            let answer =
                self.client.request(Request::get(url), &limits).await.map_err(|err| err.to_string())?;
            let answer: serde_json::Value =
                serde_json::from_slice(&answer.body).map_err(|err| err.to_string())?;
            let result = answer["data"]["result"].as_array();
            result.map(|result| !result.is_empty()).ok_or_else(|| "the answer is none of a query".to_owned())
        })
    }
}

/// What is known of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) at_ms: i64,
    /// `None` when nobody could say.
    pub(crate) is_active: Option<bool>,
}

/// Answers, as long as they are good.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    known: BTreeMap<Host, Known>,
}

impl Hosts {
    /// Whether `host` is active; `None` when that is not known now.
    pub(crate) fn is_active(&self, host: &Host, now_ms: i64) -> Option<bool> {
        let known = self.known.get(host)?;
        known.is_active.filter(|_| known.at_ms.saturating_add(ANSWER_KEPT_MS) > now_ms)
    }

    /// When there was an answer about `host` last; the lowest number when nothing is known.
    pub(crate) fn asked_ms(&self, host: &Host) -> i64 {
        self.known.get(host).map_or(i64::MIN, |known| known.at_ms)
    }

    /// Takes an answer.
    pub(crate) fn put(&mut self, host: Host, is_active: Option<bool>, now_ms: i64) {
        self.known.insert(host, Known { at_ms: now_ms, is_active });
    }

    /// Forgets what is no longer good.
    pub(crate) fn collect_garbage(&mut self, now_ms: i64) {
        self.known.retain(|_, known| known.at_ms.saturating_add(ANSWER_KEPT_MS) > now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_takes_any_label_and_value() {
        let host = Host { label: "host".into(), value: "a\"b\\".into() };
        assert_eq!(
            host.query(Duration::from_secs(60)),
            r#"count(last_over_time({host="a\"b\\",__name__!~"up|scrape_.+|ALERTS.*"}[60000ms]))"#
        );
    }

    #[test]
    fn answers_are_good_for_some_time() {
        let host = Host { label: "host".into(), value: "a".into() };
        let mut hosts = Hosts::default();
        assert_eq!(hosts.is_active(&host, 0), None);
        hosts.put(host.clone(), Some(true), 0);
        assert_eq!(hosts.is_active(&host, ANSWER_KEPT_MS - 1), Some(true));
        assert_eq!(hosts.is_active(&host, ANSWER_KEPT_MS), None);
    }
}
