//! The route tree: which receivers an alert goes to, and how it is grouped on the way.
//!
//! In from the checked configuration; asked by the dispatcher for each alert, and by the API.
//! Pure. Facts: Alertmanager's documentation of `<route>`; the text form of keys is that of its group keys, which
//! webhooks receive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Labels, Matcher};

use crate::escalate::Escalation;
use crate::flap::Flap;
use crate::matcher;
use crate::watch::{Ignore, Occurrences};

/// Waits of the root when it names none, in milliseconds: 30s, 5m, 4h.
const GROUP_WAIT_MS: i64 = 30_000;
const GROUP_INTERVAL_MS: i64 = 300_000;
const REPEAT_INTERVAL_MS: i64 = 4 * 3_600_000;

/// How alerts of a route become groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupBy {
    /// `['...']`: each label set is its own group.
    All,
    /// By these labels; none gives one group.
    Names(BTreeSet<String>),
}

/// A node of the route tree; `None` inherits.
#[derive(Debug, Clone)]
pub(crate) struct RouteConfig {
    pub(crate) receiver: Option<String>,
    pub(crate) group_by: Option<GroupBy>,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) mute_intervals: Vec<String>,
    pub(crate) active_intervals: Vec<String>,
    pub(crate) is_continue: bool,
    pub(crate) routes: Vec<RouteConfig>,
    pub(crate) group_wait_ms: Option<i64>,
    pub(crate) group_interval_ms: Option<i64>,
    pub(crate) repeat_interval_ms: Option<i64>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) own: RouteOwn,
}

impl RouteConfig {
    /// Itself and all below.
    pub(crate) fn count(&self) -> usize {
        1 + self.routes.iter().map(Self::count).sum::<usize>()
    }
}

/// What a route says; `None` inherits, and what is off is zero (occurrences: one).
#[derive(Debug, Clone, Default)]
pub(crate) struct RouteOwn {
    pub(crate) occurrences: Option<Occurrences>,
    pub(crate) reissue_ms: Option<i64>,
    pub(crate) success_ms: Option<i64>,
    /// Besides those of the routes above.
    pub(crate) ignores: Vec<Arc<Ignore>>,
    /// In the order of their times; none switches off.
    pub(crate) escalate: Option<Vec<Escalation>>,
    pub(crate) flap: Option<Flap>,
}

/// One node, everything inherited filled in.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) receiver: String,
    pub(crate) group_by: GroupBy,
    pub(crate) group_wait_ms: i64,
    pub(crate) group_interval_ms: i64,
    pub(crate) repeat_interval_ms: i64,
    pub(crate) mute_intervals: Vec<String>,
    pub(crate) active_intervals: Vec<String>,
    /// Route labels, templates not yet filled in.
    pub(crate) labels: BTreeMap<String, String>,
    /// `{}/{a="b"}`: the path of matchers from the root.
    pub(crate) key: String,
    /// Detections that are needed before an alert counts.
    pub(crate) occurrences: Option<Occurrences>,
    /// An alert that was told is told again after so long; `None` for the repeat interval of its group.
    pub(crate) reissue_ms: Option<i64>,
    /// An alert is over when it was not detected for so long; `None` for as soon as it ends.
    pub(crate) success_ms: Option<i64>,
    /// Its own and those of the routes above.
    pub(crate) ignores: Vec<Arc<Ignore>>,
    /// Who is told of what nobody acknowledges, the first one first.
    pub(crate) escalate: Vec<Escalation>,
    /// How often an alert may change its state.
    pub(crate) flap: Option<Flap>,
    matchers: Vec<Matcher>,
    is_continue: bool,
    children: Vec<usize>,
}

/// Index of a route in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RouteIdx(pub(crate) usize);

/// All routes; the root is the first.
#[derive(Debug, Clone)]
pub(crate) struct RouteTree {
    routes: Vec<Route>,
    /// Whether any route watches alerts, so that others cost nothing.
    is_watching: bool,
    /// Whether any route escalates.
    is_escalating: bool,
    /// Whether any route damps.
    is_damping: bool,
}

impl RouteTree {
    /// From the configuration's root.
    pub(crate) fn new(root: &RouteConfig) -> Self {
        let mut tree =
            Self { routes: Vec::new(), is_watching: false, is_escalating: false, is_damping: false };
        tree.add(root, None);
        tree.is_watching = tree.routes.iter().any(Route::is_watching);
        tree.is_damping = tree.routes.iter().any(|route| route.flap.is_some());
        tree.is_escalating = tree.routes.iter().any(|route| !route.escalate.is_empty());
        tree
    }

    fn add(&mut self, config: &RouteConfig, parent: Option<usize>) -> usize {
        let parent = parent.map(|idx| self.routes[idx].clone());
        let mut matchers = config.matchers.clone();
        matcher::sort(&mut matchers);
        let own_key = matcher::text_of_all(&matchers);
        let inherited = parent.as_ref();
        let ms = |own: Option<i64>, from: fn(&Route) -> i64, default| {
            own.or_else(|| inherited.map(from)).unwrap_or(default)
        };
        let mut labels = inherited.map(|parent| parent.labels.clone()).unwrap_or_default();
        labels.extend(config.labels.clone());
        let mut ignores = inherited.map(|parent| parent.ignores.clone()).unwrap_or_default();
        ignores.extend(config.own.ignores.iter().cloned());
        let group_by = config.group_by.clone().or_else(|| inherited.map(|parent| parent.group_by.clone()));
        let route = Route {
            receiver: config
                .receiver
                .clone()
                .or_else(|| inherited.map(|p| p.receiver.clone()))
                .unwrap_or_default(),
            group_by: group_by.unwrap_or_else(|| GroupBy::Names(BTreeSet::new())),
            group_wait_ms: ms(config.group_wait_ms, |p| p.group_wait_ms, GROUP_WAIT_MS),
            group_interval_ms: ms(config.group_interval_ms, |p| p.group_interval_ms, GROUP_INTERVAL_MS),
            repeat_interval_ms: ms(config.repeat_interval_ms, |p| p.repeat_interval_ms, REPEAT_INTERVAL_MS),
            mute_intervals: config.mute_intervals.clone(),
            active_intervals: config.active_intervals.clone(),
            labels,
            key: inherited.map_or_else(|| own_key.clone(), |parent| format!("{}/{own_key}", parent.key)),
            occurrences: on(config.own.occurrences, inherited.and_then(|p| p.occurrences), |o| o.count > 1),
            reissue_ms: on(config.own.reissue_ms, inherited.and_then(|p| p.reissue_ms), |ms| *ms > 0),
            success_ms: on(config.own.success_ms, inherited.and_then(|p| p.success_ms), |ms| *ms > 0),
            ignores,
            flap: on(config.own.flap, inherited.and_then(|p| p.flap), |flap| flap.changes > 0),
            escalate: own_or(&config.own.escalate, inherited.map(|p| &p.escalate)),
            matchers,
            is_continue: config.is_continue,
            children: Vec::new(),
        };
        let idx = self.routes.len();
        self.routes.push(route);
        for child in &config.routes {
            let child_idx = self.add(child, Some(idx));
            self.routes[idx].children.push(child_idx);
        }
        idx
    }

    /// The route at `idx`.
    pub(crate) fn get(&self, idx: RouteIdx) -> &Route {
        &self.routes[idx.0]
    }

    /// Its own matchers, without those of the routes above.
    pub(crate) fn matchers(&self, idx: RouteIdx) -> &[Matcher] {
        &self.routes[idx.0].matchers
    }

    /// Whether any route needs detections and their absence to be remembered.
    pub(crate) fn is_watching(&self) -> bool {
        self.is_watching
    }

    /// Whether any route damps what flaps.
    pub(crate) fn is_damping(&self) -> bool {
        self.is_damping
    }

    /// Whether any route tells further receivers in time.
    pub(crate) fn is_escalating(&self) -> bool {
        self.is_escalating
    }

    /// The most detections that any route asks for, and the longest time they may lie apart.
    pub(crate) fn occurrences_max(&self) -> (usize, i64) {
        let asked = self.routes.iter().filter_map(|route| route.occurrences);
        asked.fold((1, 0), |max, asked| (max.0.max(asked.count), max.1.max(asked.within_ms)))
    }

    /// The routes from the root to the one at `idx`, which is the last.
    pub(crate) fn path(&self, idx: RouteIdx) -> Vec<RouteIdx> {
        let mut path = vec![idx];
        while let Some(parent) = self.parent(path[path.len() - 1]) {
            path.push(parent);
        }
        path.reverse();
        path
    }

    fn parent(&self, idx: RouteIdx) -> Option<RouteIdx> {
        self.routes.iter().position(|route| route.children.contains(&idx.0)).map(RouteIdx)
    }

    /// All of them, parents before their children.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// The routes that take `labels`: at least one, since the root takes everything.
    pub(crate) fn matching(&self, labels: &Labels) -> Vec<RouteIdx> {
        let mut found = Vec::new();
        self.collect(0, labels, &mut found);
        found
    }

    /// Whether `labels` come to the route at `idx` or to one below it.
    pub(crate) fn passes(&self, labels: &Labels, idx: RouteIdx) -> bool {
        let is_below = |found: RouteIdx| {
            let mut stack = vec![idx.0];
            while let Some(at) = stack.pop() {
                if at == found.0 {
                    return true;
                }
                stack.extend(&self.routes[at].children);
            }
            false
        };
        self.matching(labels).into_iter().any(is_below)
    }

    /// Depth first, in the file's order. Recursion is as deep as the file nests, which its reader bounds.
    fn collect(&self, idx: usize, labels: &Labels, found: &mut Vec<RouteIdx>) -> bool {
        let route = &self.routes[idx];
        if !route.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
            return false;
        }
        let mut has_child = false;
        for &child in &route.children {
            let is_match = self.collect(child, labels, found);
            has_child |= is_match;
            if is_match && !self.routes[child].is_continue {
                break;
            }
        }
        if !has_child {
            found.push(RouteIdx(idx));
        }
        true
    }
}

/// What a route says, else what the one above it does.
fn own_or<T: Clone>(own: &Option<Vec<T>>, inherited: Option<&Vec<T>>) -> Vec<T> {
    own.as_ref().or(inherited).cloned().unwrap_or_default()
}

/// What a route says, else what the one above it does; nothing when that is «off».
fn on<T>(own: Option<T>, inherited: Option<T>, is_on: impl Fn(&T) -> bool) -> Option<T> {
    own.or(inherited).filter(is_on)
}

impl Route {
    /// Whether detections, or their absence, are remembered for it.
    pub(crate) fn is_watching(&self) -> bool {
        self.occurrences.is_some() || self.success_ms.is_some()
    }

    /// What an alert must have.
    pub(crate) fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Whether the routes after it are tried when it took an alert.
    pub(crate) fn is_continue(&self) -> bool {
        self.is_continue
    }

    /// The routes below it, in the file's order.
    pub(crate) fn children(&self) -> impl Iterator<Item = RouteIdx> {
        self.children.iter().copied().map(RouteIdx)
    }

    /// The first of its rules that hides `labels`.
    pub(crate) fn ignored_by(&self, labels: &Labels, now_ms: i64) -> Option<&Ignore> {
        self.ignores.iter().find(|ignore| ignore.hides(labels, now_ms)).map(|ignore| &**ignore)
    }

    /// The labels of the group that an alert with `labels` belongs to.
    pub(crate) fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Names(names) => {
                Labels::from_sorted(labels.iter().filter(|(name, _)| names.contains(*name)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const TREE: &str = r#"
route:
  receiver: default
  group_by: [alertname]
  routes:
    - matchers: [owner="team-A"]
      receiver: A
      routes:
        - matchers: [env="testing"]
          receiver: A-testing
          group_by: ['...']
        - matchers: [env="production"]
          receiver: A-production
          group_wait: 1m
          continue: true
        - match_re: {env: "produ.*"}
          receiver: A-2
          group_by: [job]
    - matchers: ['owner=~"team-(B|C)"']
      receiver: BC
      group_by: []
receivers: [{name: default}, {name: A}, {name: A-testing}, {name: A-production}, {name: A-2}, {name: BC}]
"#;

    fn check(pairs: &[(&str, &str)], expected: &[(&str, &str, i64, &str)]) {
        let config = Config::parse("a.yml", TREE).expect("a good file");
        let tree = RouteTree::new(&config.route);
        let labels = Labels::from_pairs(pairs.iter().copied());
        let found = tree.matching(&labels);
        let got: Vec<_> = found
            .iter()
            .map(|idx| tree.get(*idx))
            .map(|r| {
                (r.receiver.as_str(), r.key.as_str(), r.group_wait_ms, r.group_labels(&labels).to_string())
            })
            .collect();
        let expected: Vec<_> = expected.iter().map(|(r, k, w, g)| (*r, *k, *w, (*g).to_owned())).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn alerts_take_the_first_matching_way() {
        check(&[("alertname", "X")], &[("default", "{}", 30_000, r#"{alertname="X"}"#)]);
        check(&[("owner", "team-A")], &[("A", r#"{}/{owner="team-A"}"#, 30_000, "{}")]);
        check(
            &[("owner", "team-A"), ("env", "testing"), ("x", "y")],
            &[(
                "A-testing",
                r#"{}/{owner="team-A"}/{env="testing"}"#,
                30_000,
                r#"{env="testing", owner="team-A", x="y"}"#,
            )],
        );
        check(
            &[("owner", "team-A"), ("env", "production"), ("job", "j")],
            &[
                ("A-production", r#"{}/{owner="team-A"}/{env="production"}"#, 60_000, "{}"),
                ("A-2", r#"{}/{owner="team-A"}/{env=~"^(?:produ.*)$"}"#, 30_000, r#"{job="j"}"#),
            ],
        );
        check(
            &[("owner", "team-C"), ("alertname", "X")],
            &[("BC", r#"{}/{owner=~"team-(B|C)"}"#, 30_000, "{}")],
        );
    }
}
