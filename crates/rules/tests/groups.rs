//! Groups, rules and alerts over a store in memory, by the minute, hour and week.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::sync::Arc;

use common::{HOUR_MS, MINUTE_MS, World};
use model::{Labels, is_stale};
use rules::{AlertState, Health, Options, parse_file};
use storage::MemStore;

const RECORDING: &str = r#"
groups:
- name: g
  interval: 1m
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
    labels: {team: ops, job: ""}
  - record: twice
    expr: job:up:sum * 2
"#;

#[test]
fn recording_rules_store_what_the_next_rule_reads() {
    let mut world = World::new(RECORDING);
    world.run(3 * MINUTE_MS, &[(r#"up{job="a"}"#, 1.0)]);
    assert_eq!(world.last(r#"{__name__="job:up:sum",team="ops"}"#), Some(Some(1.0)));
    assert_eq!(world.last(r#"twice{team="ops"}"#), Some(Some(2.0)));
    let group = world.group();
    assert_eq!((group.rules[0].health, group.rules[0].query.as_str()), (Health::Ok, "sum by (job) (up)"));
    let times: Vec<_> = world.values("twice").iter().map(|(t_ms, _)| *t_ms).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == MINUTE_MS), "{times:?}");
}

#[test]
fn results_that_vanish_end_with_a_staleness_marker() {
    let rules = "groups: [{name: g, interval: 1m, rules: [{record: r, expr: x > 0}]}]";
    let mut world = World::new(rules);
    world.run(2 * MINUTE_MS, &[(r#"x{a="1"}"#, 1.0), (r#"x{a="2"}"#, 1.0)]);
    world.run(2 * MINUTE_MS, &[(r#"x{a="1"}"#, 1.0), (r#"x{a="2"}"#, 0.0)]);
    assert_eq!(world.last(r#"r{a="1"}"#), Some(Some(1.0)));
    assert_eq!(world.last(r#"r{a="2"}"#), Some(None));
}

#[test]
fn two_results_with_one_label_set_fail_the_rule_and_not_the_group() {
    let rules = r#"
groups:
- name: g
  rules:
  - {record: r, expr: x, labels: {a: same}}
  - {record: s, expr: vector(7)}
"#;
    let mut world = World::new(rules);
    world.run(2 * MINUTE_MS, &[(r#"x{a="1"}"#, 1.0), (r#"x{a="2"}"#, 1.0)]);
    let group = world.group();
    assert_eq!(group.rules[0].health, Health::Err);
    assert_eq!(
        group.rules[0].last_error,
        "vector contains metrics with the same labelset after applying rule labels"
    );
    assert_eq!(world.last("s"), Some(Some(7.0)));
    let metrics = world.registry.render();
    assert!(
        metrics.contains("prometheus_rule_evaluation_failures_total{rule_group=\"test.yml;g\"} 2"),
        "{metrics}"
    );
}

#[test]
fn limits_discard_all_results() {
    let rules = r#"
groups:
- name: g
  limit: 1
  rules:
  - {record: r, expr: x}
  - {alert: A, expr: x}
"#;
    let mut world = World::new(rules);
    world.run(2 * MINUTE_MS, &[(r#"x{a="1"}"#, 1.0), (r#"x{a="2"}"#, 1.0)]);
    let group = world.group();
    assert_eq!(group.rules[0].last_error, "exceeded limit of 1 with 2 series");
    assert_eq!(group.rules[1].last_error, "exceeded limit of 1 with 2 alerts");
    assert!(world.values("r").is_empty() && world.alerts().is_empty());
}

#[test]
fn query_offset_moves_the_question_and_the_answer() {
    let rules = "groups: [{name: g, interval: 1m, query_offset: 2m, rules: [{record: r, expr: x}]}]";
    let mut world = World::new(rules);
    world.run(5 * MINUTE_MS, &[("x", 1.0)]);
    let evaluated_ms = world.group().last_evaluation_ms.unwrap();
    let (last_ms, _) = *world.values("r").last().unwrap();
    assert_eq!(evaluated_ms - last_ms, 2 * MINUTE_MS);
}

const ALERTING: &str = r#"
groups:
- name: g
  interval: 1m
  rules:
  - alert: Down
    expr: up == 0
    for: 5m
    labels: {severity: page, where: "{{ $labels.instance | toUpper }}"}
    annotations:
      summary: "{{ $labels.instance }} of {{ .Labels.job }} is {{ $value }} in {{ $externalLabels.region }}"
"#;

#[test]
fn an_alert_is_pending_then_fires_then_is_resolved() {
    let options = Options {
        external_labels: Labels::from_pairs([("region", "eu"), ("severity", "never")]),
        external_url: Arc::from("http://h:9090"),
        ..Options::default()
    };
    let mut world = World::with(ALERTING, options, Arc::new(MemStore::new()), stdx::clock::TEST_EPOCH_MS);
    let (down, up) = ([(r#"up{job="a",instance="i"}"#, 0.0)], [(r#"up{job="a",instance="i"}"#, 1.0)]);
    world.run(3 * MINUTE_MS, &down);
    let alerts = world.alerts();
    assert_eq!((alerts.len(), alerts[0].state), (1, AlertState::Pending));
    assert_eq!(alerts[0].annotations.get("summary"), Some("i of a is 0 in eu"));
    assert!(world.take_sent().is_empty(), "pending alerts are not sent");
    // New Prometheus-like start: state of before the restart is taken up first, so ALERTS appears with the third round.
    world.run(MINUTE_MS, &down);
    let labels = r#"alertname="Down",instance="i",job="a",severity="page",where="I""#;
    assert_eq!(world.last(&format!(r#"ALERTS{{alertstate="pending",{labels}}}"#)), Some(Some(1.0)));
    world.run(4 * MINUTE_MS, &down);
    assert_eq!(world.alerts()[0].state, AlertState::Firing);
    let sent = world.take_sent();
    let first = &sent[0];
    assert_eq!(
        first.labels.to_string(),
        r#"{alertname="Down", instance="i", job="a", region="eu", severity="page", where="I"}"#
    );
    assert_eq!(first.generator_url, "http://h:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
    assert!(first.ends_at_ms > world.now_ms, "a firing alert ends in the future");
    assert_eq!(world.last(&format!(r#"ALERTS{{alertstate="pending",{labels}}}"#)), Some(None));
    assert_eq!(world.last(&format!(r#"ALERTS{{alertstate="firing",{labels}}}"#)), Some(Some(1.0)));
    world.run(2 * MINUTE_MS, &up);
    assert!(world.alerts().is_empty());
    let resolved = world.take_sent().pop().unwrap();
    assert!(resolved.is_resolved_at(world.now_ms));
    assert_eq!(resolved.starts_at_ms, first.starts_at_ms);
    assert_eq!(world.last(&format!(r#"ALERTS{{alertstate="firing",{labels}}}"#)), Some(None));
    // It is told again for a quarter of an hour, then forgotten.
    world.run(14 * MINUTE_MS, &up);
    assert!(!world.take_sent().is_empty());
    world.run(5 * MINUTE_MS, &up);
    world.take_sent();
    world.run(5 * MINUTE_MS, &up);
    assert!(world.take_sent().is_empty());
}

#[test]
fn firing_alerts_are_sent_again_no_more_often_than_the_resend_delay() {
    let rules = "groups: [{name: g, interval: 15s, rules: [{alert: A, expr: vector(1)}]}]";
    let mut world = World::new(rules);
    world.run(10 * MINUTE_MS, &[]);
    let sent = world.take_sent();
    // Each 15 s evaluation that lies more than a minute after the last sending sends: every 75 seconds.
    assert_eq!(sent.len(), 8, "{sent:?}");
    assert_eq!(sent[1].ends_at_ms - sent[0].ends_at_ms, 75_000);
}

#[test]
fn keep_firing_for_bridges_gaps() {
    let rules = "groups: [{name: g, interval: 1m, rules: [{alert: A, expr: x > 0, keep_firing_for: 5m}]}]";
    let mut world = World::new(rules);
    world.run(3 * MINUTE_MS, &[("x", 1.0)]);
    world.run(3 * MINUTE_MS, &[("x", 0.0)]);
    let alerts = world.alerts();
    assert_eq!(alerts[0].state, AlertState::Firing);
    assert!(alerts[0].keep_firing_since_ms.is_some());
    world.run(2 * MINUTE_MS, &[("x", 1.0)]);
    assert_eq!(world.alerts()[0].keep_firing_since_ms, None);
    world.run(7 * MINUTE_MS, &[("x", 0.0)]);
    assert!(world.alerts().is_empty());
}

#[test]
fn an_alert_that_stops_holding_while_pending_is_forgotten() {
    let mut world = World::new(ALERTING);
    world.run(3 * MINUTE_MS, &[(r#"up{job="a",instance="i"}"#, 0.0)]);
    world.run(2 * MINUTE_MS, &[(r#"up{job="a",instance="i"}"#, 1.0)]);
    world.run(4 * MINUTE_MS, &[(r#"up{job="a",instance="i"}"#, 0.0)]);
    assert_eq!(world.states().len(), 1);
    assert_eq!(world.alerts()[0].state, AlertState::Pending);
    assert!(world.take_sent().is_empty());
}

#[test]
fn a_template_that_fails_says_so_and_the_alert_goes_on() {
    let rules = r#"
groups:
- name: g
  rules:
  - alert: A
    expr: vector(1)
    annotations: {a: "{{ first (query \"nothing\") }}"}
"#;
    let mut world = World::new(rules);
    world.run(2 * MINUTE_MS, &[]);
    let alerts = world.alerts();
    assert_eq!(alerts[0].state, AlertState::Firing);
    let text = alerts[0].annotations.get("a").unwrap();
    assert!(
        text.starts_with(
            "<error expanding template: error executing template __alert_A: template: __alert_A:1:"
        ),
        "{text}"
    );
    assert!(text.ends_with("error calling first: first() called on vector with no elements>"), "{text}");
}

/// Runs 20 minutes of an alert with `for: 30m`, then a restart after `outage_ms`; returns how long until it fires.
fn minutes_until_firing(before_ms: i64, outage_ms: i64, hold: &str) -> i64 {
    let rules = format!(
        "groups: [{{name: g, interval: 1m, rules: [{{alert: A, expr: x > 0, for: {hold}, labels: {{s: t}}}}]}}]"
    );
    let mut world = World::new(&rules);
    world.run(before_ms, &[(r#"x{i="1"}"#, 1.0)]);
    let (store, now_ms) = (Arc::clone(&world.store), world.now_ms + outage_ms);
    let mut world = World::with(&rules, Options::default(), store, now_ms);
    for minute in 0..180 {
        world.run(MINUTE_MS, &[(r#"x{i="1"}"#, 1.0)]);
        if world.alerts().first().is_some_and(|alert| alert.state == AlertState::Firing) {
            return minute;
        }
    }
    panic!("it never fired");
}

#[test]
fn the_time_an_alert_was_pending_survives_a_restart() {
    let check = |before_min: i64, outage_min: i64, hold: &str, expected: std::ops::RangeInclusive<i64>| {
        let minutes = minutes_until_firing(before_min * MINUTE_MS, outage_min * MINUTE_MS, hold);
        assert!(
            expected.contains(&minutes),
            "pending {before_min}m, down {outage_min}m, for {hold}: {minutes}"
        );
    };
    // 30 of 60 minutes were over: 30 remain, whatever the outage.
    check(30, 10, "60m", 28..=33);
    check(30, 40, "60m", 28..=33);
    // It fired before: it does again as soon as state is taken up.
    check(70, 10, "60m", 1..=4);
    // Five minutes would remain: the grace period of ten holds.
    check(55, 10, "60m", 10..=13);
    // The outage is longer than what is bridged: from the beginning.
    check(30, 70, "60m", 59..=63);
    // `for` is shorter than the grace period: from the beginning.
    check(4, 1, "5m", 4..=7);
}

#[test]
fn reload_keeps_what_did_not_change() {
    let mut world = World::new(ALERTING);
    world.run(3 * MINUTE_MS, &[(r#"up{job="a",instance="i"}"#, 0.0)]);
    let active_at_ms = world.alerts()[0].active_at_ms;
    let changed = ALERTING.replace("is {{ $value }}", "reads {{ $value }}");
    world.reload(&changed, Options::default());
    assert_eq!(world.alerts()[0].active_at_ms, active_at_ms);
    world.run(5 * MINUTE_MS, &[(r#"up{job="a",instance="i"}"#, 0.0)]);
    let alert = world.alerts().remove(0);
    assert_eq!((alert.state, alert.active_at_ms), (AlertState::Firing, active_at_ms));
    assert_eq!(alert.annotations.get("summary"), Some("i of a reads 0 in "));
    // A longer `for` takes it back to pending.
    world.reload(&changed.replace("for: 5m", "for: 1h"), Options::default());
    world.run(2 * MINUTE_MS, &[(r#"up{job="a",instance="i"}"#, 0.0)]);
    assert_eq!(world.alerts()[0].state, AlertState::Pending);
}

#[test]
fn series_of_removed_groups_and_rules_end() {
    let two = "groups: [{name: g, interval: 1m, rules: [{record: r, expr: vector(1)}, {record: s, expr: vector(1)}]}]";
    let one = "groups: [{name: g, interval: 1m, rules: [{record: r, expr: vector(1)}]}]";
    let moved = "groups: [{name: h, interval: 1m, rules: [{record: r, expr: vector(1)}]}]";
    let mut world = World::new(two);
    world.run(3 * MINUTE_MS, &[]);
    world.reload(one, Options::default());
    world.run(2 * MINUTE_MS, &[]);
    assert_eq!((world.last("r"), world.last("s")), (Some(Some(1.0)), Some(None)));
    // Another group goes on with the series: no marker.
    world.reload(moved, Options::default());
    world.run(5 * MINUTE_MS, &[]);
    assert!(world.values("r").iter().all(|(_, value)| value.is_some()));
    world.reload("groups: []", Options::default());
    world.run(5 * MINUTE_MS, &[]);
    assert_eq!(world.last("r"), Some(None));
    assert!(world.manager.views().is_empty());
}

#[test]
fn missed_evaluations_are_counted_and_times_stay_on_the_grid() {
    let mut world = World::new("groups: [{name: g, interval: 1m, rules: [{record: r, expr: vector(1)}]}]");
    world.step();
    let first_ms = world.now_ms;
    world.manager.poll(first_ms + 5 * MINUTE_MS + 10_000);
    let times: Vec<_> = world.values("r").iter().map(|(t_ms, _)| *t_ms - first_ms).collect();
    assert_eq!(times, [0, 5 * MINUTE_MS]);
    assert_eq!(world.manager.next_deadline_ms(), first_ms + 6 * MINUTE_MS);
    let metrics = world.registry.render();
    assert!(
        metrics.contains("prometheus_rule_group_iterations_missed_total{rule_group=\"test.yml;g\"} 4"),
        "{metrics}"
    );
    // A clock set back by a day does not stop evaluation for a day.
    world.manager.poll(first_ms - 24 * HOUR_MS);
    assert!(world.manager.next_deadline_ms() <= first_ms - 24 * HOUR_MS + MINUTE_MS);
}

#[test]
fn a_week_of_alerts_keeps_its_rhythm() {
    let mut world = World::new(ALERTING);
    let begin_ms = world.now_ms;
    let mut n_fired = 0;
    let mut was_firing = false;
    while world.now_ms < begin_ms + 7 * 24 * HOUR_MS {
        // Down in the first ten minutes of every hour.
        let is_down = (world.now_ms - begin_ms) % HOUR_MS < 10 * MINUTE_MS;
        world.put(r#"up{job="a",instance="i"}"#, f64::from(u8::from(!is_down)));
        world.step();
        let is_firing = world.alerts().iter().any(|alert| alert.state == AlertState::Firing);
        n_fired += u32::from(is_firing && !was_firing);
        was_firing = is_firing;
    }
    assert_eq!(n_fired, 7 * 24);
    let resolved = world.take_sent().iter().filter(|alert| alert.is_resolved_at(world.now_ms)).count();
    assert!(resolved > 0);
}

#[test]
fn alerts_are_relabelled_on_their_way_out() {
    let yaml = "alert_relabel_configs:\n- {regex: secret, action: labeldrop}\n- {source_labels: [drop], regex: me, action: drop}\n";
    let alerting: rules::AlertingConfig = model::yaml::parse("p.yml", yaml).unwrap();
    let options = Options { alert_relabel: alerting.alert_relabel_configs, ..Options::default() };
    let rules = r#"
groups:
- name: g
  rules:
  - {alert: A, expr: vector(1), labels: {secret: x}}
  - {alert: B, expr: vector(1), labels: {drop: me}}
"#;
    let mut world = World::with(rules, options, Arc::new(MemStore::new()), stdx::clock::TEST_EPOCH_MS);
    world.run(2 * MINUTE_MS, &[]);
    let sent = world.take_sent();
    assert!(sent.iter().all(|alert| alert.labels.to_string() == r#"{alertname="A"}"#), "{sent:?}");
    assert_eq!(world.alerts().len(), 2);
}

#[test]
fn markers_are_told_from_values() {
    assert!(is_stale(model::STALE_NAN) && !is_stale(f64::NAN));
    assert!(parse_file("x", "groups: []").unwrap().is_empty());
}
