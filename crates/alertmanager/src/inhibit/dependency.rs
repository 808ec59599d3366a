//! Dependencies: a service is not news while its host is down, nor the host while the router before it is.
//!
//! In from the configuration and, through `inhibit`, every stored alert; asked at each flush and by the API. Pure.
//! Beyond an inhibition rule: a child waits a short time for its parent to be reported, and as long for itself to recover
//! once the parent is over; and hosts may stand behind others. Meaning: docs/adr/0010-on-call.md.

use std::collections::{BTreeMap, BTreeSet};

use model::{Labels, Matcher};

use super::rule::{InhibitRuleConfig, Rule};
use crate::alert::{Alert, Fingerprint};

/// How many hosts may stand one behind another. Chosen; the configuration refuses more.
pub(crate) const DEPTH_MAX: usize = 16;

/// Alerts that are no news while another one fires whose labels are equal, or of a host in front.
#[derive(Debug, Clone)]
pub(crate) struct DependencyConfig {
    pub(crate) parents: Vec<Matcher>,
    pub(crate) children: Vec<Matcher>,
    pub(crate) equal: Vec<String>,
    pub(crate) wait_ms: i64,
}

/// One dependency and the alerts that match its parents.
#[derive(Debug)]
struct Dependency {
    rule: Rule,
    wait_ms: i64,
    /// Which of the equal labels names the host.
    host_idx: Option<usize>,
    /// How the hosts of parents are written, by their name without a port, and by how many.
    spellings: BTreeMap<String, BTreeMap<String, BTreeSet<Fingerprint>>>,
}

impl Dependency {
    fn host<'a>(&self, labels: &'a Labels) -> Option<&'a str> {
        self.host_idx.and_then(|idx| labels.get(&self.rule.equal()[idx]))
    }

    fn insert(&mut self, id: Fingerprint, labels: &Labels) {
        self.rule.insert(id, labels);
        if let Some(host) = self.host(labels).filter(|_| self.rule.is_source(labels)) {
            let spelled = self.spellings.entry(without_port(host).to_owned()).or_default();
            spelled.entry(host.to_owned()).or_default().insert(id);
        }
    }

    fn remove(&mut self, id: Fingerprint, labels: &Labels) {
        self.rule.remove(id, labels);
        let Some(host) = self.host(labels) else { return };
        let Some(spelled) = self.spellings.get_mut(without_port(host)) else { return };
        if let Some(ids) = spelled.get_mut(host) {
            ids.remove(&id);
        }
        spelled.retain(|_, ids| !ids.is_empty());
        if spelled.is_empty() {
            self.spellings.remove(without_port(host));
        }
    }
}

/// `db1` of `db1:9100`: a topology names machines, and each of their exporters has a port of its own.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty()
                && port.bytes().all(|b| b.is_ascii_digit())
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Dependencies {
    dependencies: Vec<Dependency>,
    /// Behind which other host a host stands.
    behind: BTreeMap<String, String>,
}

impl Dependencies {
    /// Without alerts yet.
    pub(crate) fn new(
        configs: &[DependencyConfig],
        behind: &BTreeMap<String, String>,
        host_labels: &[String],
    ) -> Self {
        let dependency = |config: &DependencyConfig| {
            let DependencyConfig { parents, children, equal, wait_ms } = config.clone();
            let rule = InhibitRuleConfig { name: String::new(), source: parents, target: children, equal };
            let named = |host: &String| rule.equal.iter().position(|name| name == host);
            let host_idx = host_labels.iter().find_map(named).filter(|_| !behind.is_empty());
            Dependency { rule: Rule::new(&rule), wait_ms, host_idx, spellings: BTreeMap::new() }
        };
        Self { dependencies: configs.iter().map(dependency).collect(), behind: behind.clone() }
    }

    /// Whether there are any.
    pub(crate) fn is_some(&self) -> bool {
        !self.dependencies.is_empty()
    }

    /// Takes note of a stored alert.
    pub(crate) fn insert(&mut self, id: Fingerprint, labels: &Labels) {
        self.dependencies.iter_mut().for_each(|dependency| dependency.insert(id, labels));
    }

    /// Forgets an alert that is stored no more.
    pub(crate) fn remove(&mut self, id: Fingerprint, labels: &Labels) {
        self.dependencies.iter_mut().for_each(|dependency| dependency.remove(id, labels));
    }

    /// The alert because of which `labels` are no news at `now_ms`: it fires, or was over a moment ago.
    pub(crate) fn hidden_by<'a>(
        &self,
        labels: &Labels,
        now_ms: i64,
        stored: impl Fn(Fingerprint) -> Option<&'a Alert>,
    ) -> Option<Fingerprint> {
        self.dependencies.iter().filter(|of| of.rule.takes(labels)).find_map(|of| {
            let is_parent_too = of.rule.is_source(labels);
            self.places(of, labels).into_iter().enumerate().find_map(|(depth, place)| {
                of.rule.sources(&place).find(|id| {
                    stored(*id).is_some_and(|parent| {
                        // Alerts on both sides do not hide each other, but those of hosts in front do.
                        let is_mutual = depth == 0 && is_parent_too && of.rule.takes(&parent.labels);
                        !is_mutual && !parent.is_resolved_at(now_ms.saturating_sub(of.wait_ms))
                    })
                })
            })
        })
    }

    /// Until when an alert waits for a parent to be reported.
    pub(crate) fn waits_until_ms(&self, alert: &Alert, now_ms: i64) -> Option<i64> {
        let labels = &alert.labels;
        let waits = self.dependencies.iter().filter(|of| {
            let has_parents = !of.rule.is_source(labels) || self.places(of, labels).len() > 1;
            of.rule.takes(labels) && has_parents
        });
        let until_ms = alert.starts_at_ms.saturating_add(waits.map(|of| of.wait_ms).max()?);
        // Not without end for a sender whose clock is ahead.
        let is_sane =
            alert.starts_at_ms.saturating_sub(now_ms) <= until_ms.saturating_sub(alert.starts_at_ms);
        (now_ms < until_ms && is_sane).then_some(until_ms)
    }

    /// What the parents' labels may be: the same, then those of the hosts in front, the nearest first.
    fn places(&self, of: &Dependency, labels: &Labels) -> Vec<Vec<String>> {
        let mut places = vec![of.rule.equal_values(labels)];
        let Some(idx) = of.host_idx else { return places };
        let mut host = places[0][idx].clone();
        for _ in 0..DEPTH_MAX {
            let Some(front) = self.in_front(&host) else { break };
            let spelled = of.spellings.get(without_port(front));
            let others = spelled.into_iter().flat_map(BTreeMap::keys).filter(|name| *name != front);
            for name in std::iter::once(front).chain(others) {
                let mut place = places[0].clone();
                place[idx].clone_from(name);
                places.push(place);
            }
            host.clone_from(front);
        }
        places
    }

    /// The host in front of one, which may be written with the port of an exporter.
    fn in_front(&self, host: &str) -> Option<&String> {
        self.behind.get(host).or_else(|| self.behind.get(without_port(host)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Matcher;
    use std::collections::HashMap;

    fn alert(pairs: &[(&str, &str)], starts_at_ms: i64, ends_at_ms: i64) -> Alert {
        Alert {
            labels: Labels::from_pairs(pairs.iter().copied()),
            annotations: Labels::empty(),
            starts_at_ms,
            ends_at_ms,
            generator_url: String::new(),
            updated_at_ms: 0,
            is_timeout: false,
            measured: None,
        }
    }

    #[test]
    fn a_service_is_hidden_by_its_host_and_the_hosts_in_front_and_for_a_moment_after() {
        let config = DependencyConfig {
            parents: vec![Matcher::equal("alertname", "HostDown")],
            children: vec![],
            equal: vec!["instance".to_owned()],
            wait_ms: 30,
        };
        let behind = BTreeMap::from([
            ("db".to_owned(), "router".to_owned()),
            ("router".to_owned(), "core".to_owned()),
        ]);
        // `now` is 100; the parent is of `host` and ends at.
        let check = |host: &str, ends_at_ms, child: &[(&str, &str)], expected: bool| {
            let mut dependencies =
                Dependencies::new(std::slice::from_ref(&config), &behind, &["instance".to_owned()]);
            let parent = alert(&[("alertname", "HostDown"), ("instance", host)], 0, ends_at_ms);
            let id = Fingerprint::of(&parent.labels);
            dependencies.insert(id, &parent.labels);
            let stored = HashMap::from([(id, parent)]);
            let labels = Labels::from_pairs(child.iter().copied());
            let found = dependencies.hidden_by(&labels, 100, |id| stored.get(&id));
            assert_eq!(found.is_some(), expected, "{host} {ends_at_ms} {child:?}");
        };
        let service: &[(&str, &str)] = &[("alertname", "Slow"), ("instance", "db")];
        check("db", 200, service, true);
        check("router", 200, service, true);
        check("core", 200, service, true);
        check("other", 200, service, false);
        // Over since 20, less than the wait; over since 30.
        check("db", 80, service, true);
        check("db", 70, service, false);
        // The host's own alert: not by itself, but by that of the router.
        let host: &[(&str, &str)] = &[("alertname", "HostDown"), ("instance", "db")];
        check("db", 200, host, false);
        check("router", 200, host, true);
        check("db", 200, &[("alertname", "HostDown"), ("instance", "core")], false);
        // Exporters have ports, machines have none; of the same host the labels must be equal all the same.
        let exporter: &[(&str, &str)] = &[("alertname", "Slow"), ("instance", "db:9100")];
        check("router", 200, exporter, true);
        check("core:9116", 200, exporter, true);
        check("core:9116", 200, service, true);
        check("db", 200, exporter, false);
        check("other:9100", 200, exporter, false);
    }

    #[test]
    fn ports_are_cut_from_names_and_addresses() {
        let check = |host: &str, expected: &str| assert_eq!(without_port(host), expected);
        check("db:9100", "db");
        check("db", "db");
        check("[::1]:9100", "[::1]");
        check("::1", "::1");
        check("db:", "db:");
        check("https://db/health", "https://db/health");
        check("", "");
    }

    #[test]
    fn a_parent_that_is_forgotten_leaves_nothing_behind() {
        let config = DependencyConfig {
            parents: vec![Matcher::equal("alertname", "HostDown")],
            children: vec![],
            equal: vec!["instance".to_owned()],
            wait_ms: 30,
        };
        let behind = BTreeMap::from([("db".to_owned(), "router".to_owned())]);
        let mut dependencies = Dependencies::new(&[config], &behind, &["instance".to_owned()]);
        let labels = Labels::from_pairs([("alertname", "HostDown"), ("instance", "router:9100")]);
        dependencies.insert(Fingerprint::of(&labels), &labels);
        assert_eq!(dependencies.dependencies[0].spellings.len(), 1);
        dependencies.remove(Fingerprint::of(&labels), &labels);
        assert!(dependencies.dependencies[0].spellings.is_empty());
    }

    #[test]
    fn who_has_a_parent_waits_for_it() {
        let config = DependencyConfig {
            parents: vec![Matcher::equal("alertname", "HostDown")],
            children: vec![Matcher::equal("kind", "service")],
            equal: vec!["instance".to_owned()],
            wait_ms: 30,
        };
        let dependencies = Dependencies::new(&[config], &BTreeMap::new(), &[]);
        let check = |pairs: &[(&str, &str)], starts_at_ms, expected: Option<i64>| {
            let found = dependencies.waits_until_ms(&alert(pairs, starts_at_ms, 1_000), 100);
            assert_eq!(found, expected, "{pairs:?} {starts_at_ms}");
        };
        let service: &[(&str, &str)] = &[("alertname", "Slow"), ("kind", "service")];
        check(service, 90, Some(120));
        check(service, 70, None);
        check(service, 120, Some(150));
        // A clock that is far ahead.
        check(service, 500, None);
        check(&[("alertname", "Slow")], 90, None);
        check(&[("alertname", "HostDown"), ("kind", "service")], 90, None);
    }
}
