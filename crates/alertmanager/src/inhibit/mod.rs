//! Inhibition: an alert that is silent because a graver one explains it.
//!
//! In from the configuration and every stored alert; asked at each flush and by the API.
//! Inhibition lasts until the last source resolves. (Alertmanager keeps one source per index entry.)
//! Rules in `rule`, what depends on what in `dependency`. Pure.

mod dependency;
mod rule;

use model::Labels;

use crate::alert::{Alert, Fingerprint};

pub(crate) use dependency::{DEPTH_MAX, Dependencies, DependencyConfig};
pub(crate) use rule::{InhibitRuleConfig, Rule};

/// All rules.
#[derive(Debug, Default)]
pub(crate) struct Inhibitor {
    rules: Vec<Rule>,
    dependencies: Dependencies,
}

impl Inhibitor {
    /// Rules without sources yet.
    pub(crate) fn new(rules: &[InhibitRuleConfig], dependencies: Dependencies) -> Self {
        Self { rules: rules.iter().map(Rule::new).collect(), dependencies }
    }

    /// Takes note of a stored alert; labels never change under one fingerprint.
    pub(crate) fn insert(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        self.rules.iter_mut().for_each(|rule| rule.insert(fingerprint, labels));
        self.dependencies.insert(fingerprint, labels);
    }

    /// Forgets an alert that is stored no more.
    pub(crate) fn remove(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        self.rules.iter_mut().for_each(|rule| rule.remove(fingerprint, labels));
        self.dependencies.remove(fingerprint, labels);
    }

    /// Which alert depends on which.
    pub(crate) fn dependencies(&self) -> &Dependencies {
        &self.dependencies
    }

    /// The alert that inhibits `labels` at `now_ms`, by the first rule that does; or that it depends on.
    pub(crate) fn inhibited_by<'a>(
        &self,
        labels: &Labels,
        now_ms: i64,
        stored: impl Fn(Fingerprint) -> Option<&'a Alert>,
    ) -> Option<Fingerprint> {
        self.inhibited_with(labels, now_ms, stored).map(|(_, by)| by)
    }

    /// As [`Inhibitor::inhibited_by`], with the rule; without one it is what the alert depends on.
    pub(crate) fn inhibited_with<'a>(
        &self,
        labels: &Labels,
        now_ms: i64,
        stored: impl Fn(Fingerprint) -> Option<&'a Alert>,
    ) -> Option<(Option<&Rule>, Fingerprint)> {
        let by_rule = self.rules.iter().filter(|rule| rule.takes(labels)).find_map(|rule| {
            let is_source_too = rule.is_source(labels);
            let by = rule.sources(&rule.equal_values(labels)).find(|fingerprint| {
                stored(*fingerprint).is_some_and(|alert| {
                    // Alerts that are on both sides do not inhibit each other, nor themselves.
                    let is_on_both_sides = is_source_too && rule.takes(&alert.labels);
                    !alert.is_resolved_at(now_ms) && !is_on_both_sides
                })
            })?;
            Some((Some(rule), by))
        });
        by_rule.or_else(|| Some((None, self.dependencies.hidden_by(labels, now_ms, stored)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Matcher;
    use std::collections::HashMap;

    /// `now` is 100; alerts end at the given time.
    fn check(
        rule: &InhibitRuleConfig,
        alerts: &[(&[(&str, &str)], i64)],
        target: &[(&str, &str)],
        expected: bool,
    ) {
        let mut inhibitor = Inhibitor::new(std::slice::from_ref(rule), Dependencies::default());
        let mut stored = HashMap::new();
        for (pairs, ends_at_ms) in alerts {
            let labels = Labels::from_pairs(pairs.iter().copied());
            let fingerprint = Fingerprint::of(&labels);
            inhibitor.insert(fingerprint, &labels);
            let alert = Alert {
                labels,
                annotations: Labels::empty(),
                starts_at_ms: 0,
                ends_at_ms: *ends_at_ms,
                generator_url: String::new(),
                updated_at_ms: 0,
                is_timeout: false,
                measured: None,
            };
            stored.insert(fingerprint, alert);
        }
        let target = Labels::from_pairs(target.iter().copied());
        let found = inhibitor.inhibited_by(&target, 100, |fingerprint| stored.get(&fingerprint));
        assert_eq!(found.is_some(), expected, "{target}");
    }

    #[test]
    fn a_source_silences_its_targets_but_not_itself() {
        let rule = InhibitRuleConfig {
            name: String::new(),
            source: vec![Matcher::equal("s", "1")],
            target: vec![Matcher::equal("t", "1")],
            equal: vec!["e".to_owned()],
        };
        let target: &[(&str, &str)] = &[("t", "1"), ("e", "1")];
        check(&rule, &[(&[("s", "1"), ("e", "1")], 200)], target, true);
        check(&rule, &[(&[("s", "1"), ("e", "2")], 200)], target, false);
        check(&rule, &[(&[("s", "1"), ("e", "1")], 100)], target, false);
        // Missing on both sides counts as equal.
        check(&rule, &[(&[("s", "1")], 200)], &[("t", "1")], true);
        // The resolved source does not hide the one that still fires.
        check(
            &rule,
            &[(&[("s", "1"), ("e", "1")], 50), (&[("s", "1"), ("e", "1"), ("x", "y")], 200)],
            target,
            true,
        );
        // On both sides: not by itself, but by a pure source.
        let both: &[(&str, &str)] = &[("s", "1"), ("t", "1"), ("e", "1")];
        check(&rule, &[(both, 200)], both, false);
        check(&rule, &[(both, 200), (&[("s", "1"), ("e", "1")], 200)], both, true);
        check(&rule, &[(both, 200)], target, true);
    }
}
