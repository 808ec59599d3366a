//! Groups of pushed metrics, as the Pushgateway keeps them.
//!
//! In: requests from `v1::push`; out: a page for `scrape`, which stores it as that of any target with `honor_labels`, and JSON. What is
//! acknowledged is in [`log`] first. Sync: the caller runs it on a blocking thread.
//! Semantics of Pushgateway 1.11: PUT replaces a group, POST the families it names, DELETE the group; what would make the page as a whole
//! contradict itself is refused.

mod body;
mod log;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::Labels;
use model::metadata::MetricType;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use stdx::Clock;
use stdx::dir::Dir;
use stdx::metrics::{Counter, Family as MetricFamily, Registry};
use wire::exposition::{Format, Writer};

pub(crate) use self::body::{natives_of, series_of};
use self::log::Log;

/// Bytes of a push after decompression. Chosen: a job that pushes more is better scraped.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 20;
/// Groups at once. Chosen: who needs more pushes what should be scraped.
const GROUPS_MAX: usize = 10_000;
/// Bytes of all groups. Chosen: the page is written anew for each scrape.
const GROUPS_BYTES_MAX: usize = 256 << 20;
/// Requests that are read at once, and that may wait. As for remote write.
const REQUESTS_MAX: usize = 8;
const REQUESTS_WAITING_MAX: usize = 64;
/// How long a request may wait. Chosen: as senders wait for an answer.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(10);
const PUSH_TIME: &str = "push_time_seconds";
const FAILURE_TIME: &str = "push_failure_time_seconds";

/// What tells groups apart: names and values, `job` among them.
pub(crate) type GroupLabels = BTreeMap<String, String>;

/// A family of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Family {
    /// As in a `# TYPE` line.
    #[serde(rename = "type")]
    pub(crate) type_word: String,
    pub(crate) help: String,
    pub(crate) pushed_ms: i64,
    /// In the text format, comments included, with all labels.
    pub(crate) text: String,
    /// Its native histograms with all labels, in protobuf, as base64; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) natives: String,
}

/// A group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) labels: GroupLabels,
    #[serde(default)]
    pub(crate) is_gone: bool,
    #[serde(default)]
    pub(crate) pushed_ms: i64,
    #[serde(default)]
    pub(crate) failed_ms: i64,
    #[serde(default)]
    pub(crate) families: BTreeMap<String, Family>,
}

impl Group {
    fn n_bytes(&self) -> usize {
        self.families.values().map(|family| family.text.len() + family.natives.len()).sum()
    }
}

/// Why a push was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    /// The body is no exposition, or holds what may not be pushed.
    #[error("{0}")]
    Body(String),
    /// It would make the page contradict itself; the group's failure time was set.
    #[error("pushed metrics are invalid or inconsistent with existing metrics: {0}")]
    Inconsistent(String),
    /// A limit of this server.
    #[error("{0}")]
    Full(String),
    /// The disk.
    #[error("cannot write the file of pushed groups")]
    Log(#[from] std::io::Error),
}

/// What a receiver needs.
pub struct PushOptions {
    /// Holds the file of groups.
    pub dir: Arc<dyn Dir>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// For its metrics.
    pub registry: Registry,
}

#[derive(Debug)]
struct State {
    groups: BTreeMap<GroupLabels, Group>,
    log: Log,
}

/// Keeps groups. Shared by all connections.
pub struct PushReceiver {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    pub(crate) gate: net::Gate,
    requests: Arc<MetricFamily<Counter>>,
}

impl std::fmt::Debug for PushReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushReceiver").finish_non_exhaustive()
    }
}

impl PushReceiver {
    /// Opens the file of groups, `path` in the directory, and reads what is there.
    ///
    /// # Errors
    /// When it cannot be read or written, or is another file.
    pub fn open(options: PushOptions, path: &Path) -> std::io::Result<Self> {
        let (log, groups) = Log::open(options.dir, path)?;
        let requests = options.registry.counters(
            "pushgateway_http_requests_total",
            "Requests of the Pushgateway paths, by what they did and how they ended.",
            &["handler", "code", "method"],
        );
        let gate = net::Gate::new("push", REQUESTS_MAX, REQUESTS_WAITING_MAX, &options.registry);
        Ok(Self { state: Mutex::new(State { groups, log }), clock: options.clock, gate, requests })
    }

    pub(crate) fn count(&self, handler: &str, code: u16, method: &str) {
        self.requests.with(&[handler, &code.to_string(), method]).inc();
    }

    /// Takes a push; `replaces` says that families it does not name go.
    pub(crate) fn push(
        &self,
        labels: GroupLabels,
        body: &[u8],
        format: Format,
        replaces: bool,
    ) -> Result<(), PushError> {
        let now_ms = self.clock.now_ms();
        let families = body::read(body, format, &labels, now_ms)?;
        let mut state = self.state.lock();
        let before = state.groups.get(&labels);
        let mut group =
            before.cloned().unwrap_or_else(|| Group { labels: labels.clone(), ..Group::default() });
        if before.is_none() && state.groups.len() >= GROUPS_MAX {
            return Err(PushError::Full(format!("there are {GROUPS_MAX} groups already: delete some")));
        }
        let checked = state.check(&labels, &families);
        if checked.is_err() {
            group.failed_ms = now_ms;
        } else {
            if replaces {
                group.families.clear();
            }
            group.families.extend(families);
            group.pushed_ms = now_ms;
            let others = state.groups.iter().filter(|(other, _)| **other != labels);
            let n_bytes = others.map(|(_, group)| group.n_bytes()).sum::<usize>() + group.n_bytes();
            if n_bytes > GROUPS_BYTES_MAX {
                return Err(PushError::Full(format!(
                    "all groups together hold more than {GROUPS_BYTES_MAX} bytes"
                )));
            }
        }
        state.put(group)?;
        checked
    }

    /// Deletes a group; there need not be one.
    pub(crate) fn delete(&self, labels: GroupLabels) -> Result<(), PushError> {
        let mut state = self.state.lock();
        if state.groups.contains_key(&labels) {
            state.put(Group { labels, is_gone: true, ..Group::default() })?;
        }
        Ok(())
    }

    /// Deletes all groups.
    pub(crate) fn wipe(&self) -> Result<(), PushError> {
        let mut state = self.state.lock();
        let all: Vec<GroupLabels> = state.groups.keys().cloned().collect();
        for labels in all {
            state.put(Group { labels, is_gone: true, ..Group::default() })?;
        }
        Ok(())
    }

    /// All groups as they are.
    pub(crate) fn groups(&self) -> Vec<Group> {
        self.state.lock().groups.values().cloned().collect()
    }

    /// The native histograms of all groups in protobuf: what belongs to [`PushReceiver::page`] and has no words there.
    #[must_use]
    pub fn natives(&self) -> Vec<u8> {
        let state = self.state.lock();
        let families = state.groups.values().flat_map(|group| group.families.values());
        families.filter(|family| !family.natives.is_empty()).flat_map(body::natives_body).collect()
    }

    /// All groups in the text format 0.0.4, to be scraped with `honor_labels`.
    #[must_use]
    pub fn page(&self) -> String {
        let state = self.state.lock();
        let mut page = String::new();
        for group in state.groups.values() {
            group.families.values().for_each(|family| page.push_str(&family.text));
        }
        let mut times = Writer::new();
        let both = [
            (PUSH_TIME, "Last Unix time when changing this group in the Pushgateway succeeded.", false),
            (FAILURE_TIME, "Last Unix time when changing this group in the Pushgateway failed.", true),
        ];
        for (name, help, is_failure) in both {
            times.family(name, help, MetricType::Gauge);
            for group in state.groups.values() {
                let t_ms = if is_failure { group.failed_ms } else { group.pushed_ms };
                let mut labels: Vec<(&str, &str)> =
                    group.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                if !group.labels.contains_key(body::INSTANCE) {
                    labels.push((body::INSTANCE, ""));
                }
                times.sample(&labels, t_ms as f64 / 1_000.0);
            }
        }
        page + times.as_str()
    }
}

/// Floats and native histograms alike.
fn all_series(family: &Family) -> impl Iterator<Item = Labels> {
    let natives = natives_of(family).into_iter().map(|(labels, ..)| labels);
    series_of(family).into_iter().map(|(labels, _)| labels).chain(natives)
}

impl State {
    /// Whether the page stays one of a kind with these families in the group.
    fn check(&self, labels: &GroupLabels, families: &BTreeMap<String, Family>) -> Result<(), PushError> {
        for (name, family) in families {
            if [PUSH_TIME, FAILURE_TIME].contains(&name.as_str()) {
                return Err(PushError::Inconsistent(format!("{name} is written by the server itself")));
            }
            let mut own: HashSet<Labels> = HashSet::new();
            for series in all_series(family) {
                if own.contains(&series) {
                    return Err(PushError::Inconsistent(format!("{series} is there twice")));
                }
                own.insert(series);
            }
            let others = self.groups.values().filter(|group| group.labels != *labels);
            for other in others.filter_map(|group| group.families.get(name)) {
                if other.type_word != family.type_word {
                    let (new, old) = (&family.type_word, &other.type_word);
                    return Err(PushError::Inconsistent(format!(
                        "{name} is {new}, and {old} in another group"
                    )));
                }
                if let Some(series) = all_series(other).find(|series| own.contains(series)) {
                    return Err(PushError::Inconsistent(format!("{series} is in another group already")));
                }
            }
        }
        Ok(())
    }

    /// Makes `group` what holds, on the disk first.
    fn put(&mut self, group: Group) -> Result<(), PushError> {
        self.log.append(&group)?;
        if group.is_gone {
            self.groups.remove(&group.labels);
        } else {
            self.groups.insert(group.labels.clone(), group);
        }
        self.log.tidy(self.groups.values())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
