//! `hinomi`: what Alertmanager does not have. At the top for all, and in a route for it and those below.
//!
//! In from the file, as part of [`super::raw`]; out to [`super::Config`] and the route tree. Names and meaning: the
//! Monitor specification's IgnoreAlerts, IssuedAlerts, Occurrences, ReissueDuration, SuccessDuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Duration;
use net::HttpClientConfig;
use serde::{Deserialize, Serialize};
use url::Url;

use super::check::{Checker, Fault, texts_to_matchers};
use super::maintenance::RawWindow;
use super::raw::At;
use crate::escalate::Escalation;
use crate::flap::Flap;
use crate::inhibit::{DEPTH_MAX, DependencyConfig};
use crate::route::RouteOwn;
use crate::time::parse_rfc3339;
use crate::watch::{Ignore, Occurrences};

/// Most detections that may be asked for. Chosen: each watched alert keeps so many times.
const OCCURRENCES_MAX: u64 = 1_000;
/// Labels that name an alert's host, when the file does not say: those of scraping and of the line protocol.
const HOST_LABELS: [&str; 2] = ["instance", "host"];
/// How old the last sample of an active host may be, when the file does not say. PromQL's own notion of fresh.
const HOST_FRESH: Duration = Duration::from_secs(300);
/// How long a host may be away before the ends of its alerts are told, when the file does not say. Chosen: whoever comes
/// back after a week is looked at anyway.
const HOST_GONE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// What counts as flapping where the file does not say. Chosen: three ups and downs in half an hour.
const FLAP_CHANGES: u64 = 6;
const FLAP_WITHIN: Duration = Duration::from_secs(30 * 60);
const FLAP_STABLE: Duration = Duration::from_secs(10 * 60);
/// How long an alert waits for what it depends on, when the file does not say. Chosen: two evaluations of fifteen seconds.
const PARENT_WAIT: Duration = Duration::from_secs(30);

/// `hinomi` at the top.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawOwn {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) promised_resolves: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dependencies: Option<Vec<At<RawDependency>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topology: Option<At<BTreeMap<String, Vec<String>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_timeout: Option<At<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_labels: Option<At<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_fresh: Option<At<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_gone: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples: Option<At<RawSamples>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) maintenance: Option<Vec<At<RawWindow>>>,
}

/// `hinomi.samples`: who is asked for a host's samples.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RawSamples {
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_config: Option<HttpClientConfig>,
}

/// `hinomi` of a route; `None` inherits.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawRouteOwn {
    #[serde(skip_serializing_if = "Option::is_none")]
    occurrences: Option<At<RawOccurrences>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reissue_duration: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_duration: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore: Option<Vec<At<RawIgnore>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    escalate: Option<Vec<At<RawEscalation>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flap: Option<At<RawFlap>>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RawOccurrences {
    count: Option<u64>,
    within: Option<Duration>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RawIgnore {
    matchers: Option<Vec<At<String>>>,
    owner: Option<String>,
    ends: Option<At<String>>,
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RawEscalation {
    after: Option<Duration>,
    receiver: Option<At<String>>,
}

/// `flap` of a route: how often is too often.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RawFlap {
    changes: Option<u64>,
    within: Option<Duration>,
    stable: Option<Duration>,
}

/// `hinomi.dependencies`: what is no news while something else is down.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RawDependency {
    parents: Option<Vec<At<String>>>,
    children: Option<Vec<At<String>>>,
    equal: Option<Vec<String>>,
    wait: Option<Duration>,
}

/// How it is known that a host is active.
#[derive(Debug, Clone)]
pub(crate) struct HostConfig {
    /// The first of these that an alert has names its host.
    pub(crate) labels: Vec<String>,
    pub(crate) fresh: std::time::Duration,
    /// The end of an alert is told that was not detected for so long, though its host is away; `None` for never.
    pub(crate) gone_ms: Option<i64>,
    /// A server of Prometheus' API to ask, in place of the store inside.
    pub(crate) samples: Option<(Url, HttpClientConfig)>,
}

impl RawOwn {
    pub(super) fn dependencies(&self) -> Result<Vec<DependencyConfig>, Fault> {
        self.dependencies.iter().flatten().map(check_dependency).collect()
    }

    /// Behind which other host each host stands.
    pub(super) fn topology(&self) -> Result<BTreeMap<String, String>, Fault> {
        let mut behind = BTreeMap::new();
        let Some(at) = &self.topology else { return Ok(behind) };
        for (front, hosts) in &at.value {
            for host in hosts {
                if let Some(other) = behind.insert(host.clone(), front.clone()).filter(|other| other != front)
                {
                    let what = format!(
                        "topology: {host:?} stands behind both {other:?} and {front:?}: name one of them"
                    );
                    return Err(Fault::at(at, what));
                }
            }
        }
        for host in behind.keys() {
            let chain = std::iter::successors(behind.get(host), |front| behind.get(*front));
            if chain.take(DEPTH_MAX + 1).count() > DEPTH_MAX {
                let what = format!(
                    "topology: {host:?} stands behind itself, or behind more than {DEPTH_MAX} hosts in a row"
                );
                return Err(Fault::at(at, what));
            }
        }
        Ok(behind)
    }

    /// How long an acknowledgement holds that says nothing of its end.
    pub(super) fn ack_timeout_ms(&self) -> Result<Option<i64>, Fault> {
        match &self.ack_timeout {
            Some(at) if at.value.is_zero() => {
                Err(Fault::at(at, "ack_timeout cannot be zero; leave it out for none"))
            }
            at => Ok(at.as_ref().map(|at| at.value.as_ms())),
        }
    }

    pub(super) fn hosts(&self, checker: &Checker<'_>) -> Result<HostConfig, Fault> {
        let labels = match &self.host_labels {
            Some(at) if at.value.is_empty() || at.value.iter().any(String::is_empty) => {
                return Err(Fault::at(at, "host_labels: names of labels are needed, at least one"));
            }
            Some(at) => at.value.clone(),
            None => HOST_LABELS.map(str::to_owned).to_vec(),
        };
        let fresh = match &self.host_fresh {
            Some(at) if at.value.is_zero() => return Err(Fault::at(at, "host_fresh cannot be zero")),
            Some(at) => at.value,
            None => HOST_FRESH,
        };
        let samples = self.samples.as_ref().map(|at| {
            let url = at.value.url.as_deref().unwrap_or_default();
            let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let url = url.ok_or_else(|| {
                Fault::at(at, "samples: url must be that of a Prometheus or Hinomi, http://host:port")
            })?;
            Ok((url, checker.http(at.value.http_config.as_ref())))
        });
        let gone = self.host_gone.unwrap_or(HOST_GONE);
        let gone_ms = (!gone.is_zero()).then(|| gone.as_ms());
        Ok(HostConfig { labels, fresh: fresh.as_std(), gone_ms, samples: samples.transpose()? })
    }
}

impl RawRouteOwn {
    pub(super) fn check(&self, has_receiver: impl Fn(&str) -> bool) -> Result<RouteOwn, Fault> {
        let occurrences = self.occurrences.as_ref().map(check_occurrences).transpose()?;
        let ignores = self.ignore.iter().flatten().map(|at| check_ignore(at).map(Arc::new));
        Ok(RouteOwn {
            occurrences,
            reissue_ms: self.reissue_duration.map(Duration::as_ms),
            success_ms: self.success_duration.map(Duration::as_ms),
            ignores: ignores.collect::<Result<_, _>>()?,
            flap: self.flap.as_ref().map(check_flap).transpose()?,
            escalate: self.escalate.as_ref().map(|steps| check_steps(steps, has_receiver)).transpose()?,
        })
    }
}

fn check_flap(at: &At<RawFlap>) -> Result<Flap, Fault> {
    let changes = at.value.changes.unwrap_or(FLAP_CHANGES);
    if changes == 1 || changes > OCCURRENCES_MAX {
        return Err(Fault::at(at, format!("flap: changes must be 2 to {OCCURRENCES_MAX}, or 0 for off")));
    }
    let (within, stable) = (at.value.within.unwrap_or(FLAP_WITHIN), at.value.stable.unwrap_or(FLAP_STABLE));
    if within.is_zero() || stable.is_zero() {
        return Err(Fault::at(at, "flap: within and stable cannot be zero"));
    }
    let changes = usize::try_from(changes).unwrap_or(usize::MAX);
    Ok(Flap { changes, within_ms: within.as_ms(), stable_ms: stable.as_ms() })
}

fn check_dependency(at: &At<RawDependency>) -> Result<DependencyConfig, Fault> {
    let raw = &at.value;
    let parents = texts_to_matchers(&raw.parents).map_err(|fault| fault.or_at(at))?;
    if parents.iter().all(|matcher| matcher.matches("")) {
        return Err(Fault::at(
            at,
            "dependencies: parents needs a matcher that does not match the empty text, as alertname=\"HostDown\"",
        ));
    }
    let equal = raw.equal.clone().unwrap_or_default();
    if equal.is_empty() || equal.iter().any(String::is_empty) {
        return Err(Fault::at(
            at,
            "dependencies: equal needs the labels that say what belongs together, as [instance]",
        ));
    }
    Ok(DependencyConfig {
        parents,
        children: texts_to_matchers(&raw.children).map_err(|fault| fault.or_at(at))?,
        equal,
        wait_ms: raw.wait.unwrap_or(PARENT_WAIT).as_ms(),
    })
}

fn check_steps(
    steps: &[At<RawEscalation>],
    has_receiver: impl Fn(&str) -> bool,
) -> Result<Vec<Escalation>, Fault> {
    let mut checked: Vec<Escalation> = Vec::new();
    for at in steps {
        let after_ms = at.value.after.map_or(0, Duration::as_ms);
        if checked.last().map_or(0, |last| last.after_ms) >= after_ms {
            return Err(Fault::at(
                at,
                "escalate: each step needs a later time than the one before, as after: 15m",
            ));
        }
        let name = at.value.receiver.as_ref();
        let name = name.ok_or_else(|| Fault::at(at, "escalate: a receiver is needed: who is told next"))?;
        if !has_receiver(&name.value) {
            return Err(Fault::at(name, format!("undefined receiver {:?} used in escalate", name.value)));
        }
        if checked.iter().any(|step| step.receiver == name.value) {
            return Err(Fault::at(name, format!("escalate: receiver {:?} stands there twice", name.value)));
        }
        checked.push(Escalation { after_ms, receiver: name.value.clone() });
    }
    Ok(checked)
}

fn check_occurrences(at: &At<RawOccurrences>) -> Result<Occurrences, Fault> {
    let count = at.value.count.unwrap_or(0);
    if !(1..=OCCURRENCES_MAX).contains(&count) {
        return Err(Fault::at(at, format!("occurrences: count must be 1 to {OCCURRENCES_MAX}")));
    }
    let within_ms = at.value.within.map_or(0, Duration::as_ms);
    if count > 1 && within_ms == 0 {
        return Err(Fault::at(at, "occurrences: within is needed, for instance 10m"));
    }
    Ok(Occurrences { count: usize::try_from(count).unwrap_or(usize::MAX), within_ms })
}

fn check_ignore(at: &At<RawIgnore>) -> Result<Ignore, Fault> {
    let raw = &at.value;
    let matchers = texts_to_matchers(&raw.matchers).map_err(|fault| fault.or_at(at))?;
    if matchers.iter().all(|matcher| matcher.matches("")) {
        return Err(Fault::at(at, "ignore: at least one matcher must not match the empty text"));
    }
    let owner = raw.owner.clone().filter(|owner| !owner.trim().is_empty());
    let owner = owner.ok_or_else(|| Fault::at(at, "ignore: an owner is needed: who answers for it"))?;
    let ends = raw.ends.as_ref();
    let ends =
        ends.ok_or_else(|| Fault::at(at, "ignore: an end is needed, as ends: 2026-12-31T00:00:00Z"))?;
    let ends_at_ms = parse_rfc3339(&ends.value)
        .ok_or_else(|| Fault::at(ends, format!("ignore: {:?} is not a time of RFC 3339", ends.value)))?;
    Ok(Ignore { matchers, owner, ends_at_ms, reason: raw.reason.clone().unwrap_or_default() })
}
