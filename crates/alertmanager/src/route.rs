//! The route tree: which receivers an alert goes to, and how it is grouped on the way.
//!
//! In from the checked configuration; asked by the dispatcher for each alert, and by the API.
//! Pure. Facts: Alertmanager's documentation of `<route>`; the text form of keys is that of its group keys, which
//! webhooks receive.

use std::collections::{BTreeMap, BTreeSet};

use model::{Labels, Matcher};

use crate::config::RouteConfig;
use crate::matcher;

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
}

impl RouteTree {
    /// From the configuration's root.
    pub(crate) fn new(root: &RouteConfig) -> Self {
        let mut tree = Self { routes: Vec::new() };
        tree.add(root, None);
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

impl Route {
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
