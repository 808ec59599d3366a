//! A rule over stored history fires when it fired live: at every evaluation the same alerts.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{HOUR_MS, MINUTE_MS, World};
use model::{Labels, TimeRange, is_stale};
use rules::{Options, ReplayError, ReplayRequest, ReplayRules, Replayed, parse_file};
use stdx::clock::TEST_EPOCH_MS;
use storage::{MemStore, Queryable as _, SelectHints};

const LIVE_MS: i64 = 6 * HOUR_MS;

/// A world whose series go up and down, and come and go, while `rules` run.
fn live(rules: &str) -> World {
    let mut world = World::with(rules, Options::default(), Arc::new(MemStore::new()), TEST_EPOCH_MS);
    while world.now_ms < TEST_EPOCH_MS + LIVE_MS {
        let minute = (world.now_ms - TEST_EPOCH_MS) / MINUTE_MS;
        let saw = (minute * 7 % 23) as f64;
        let mut series = vec![("m{i=\"a\"}", saw), ("m{i=\"b\"}", (minute / 9 % 4) as f64 * 5.0)];
        if minute % 50 < 30 {
            series.push(("m{i=\"c\"}", 12.0 + (minute % 5) as f64));
        }
        world.run(MINUTE_MS, &series);
    }
    world
}

/// What fired live, at which evaluation.
fn fired_live(world: &World) -> BTreeSet<(i64, Labels)> {
    let matchers = promql::metric_selector("ALERTS{alertstate=\"firing\"}").unwrap();
    let mut set = world.store.select(&matchers, TimeRange::ALL, &SelectHints::default()).unwrap();
    let mut fired = BTreeSet::new();
    while let Some(series) = set.next().unwrap() {
        let mut labels = series.labels.without_metric_name().to_builder();
        labels.remove("alertstate");
        let labels = labels.build();
        let points = series.timestamps.iter().zip(&series.values);
        fired.extend(points.filter(|(_, value)| !is_stale(**value)).map(|(t_ms, _)| (*t_ms, labels.clone())));
    }
    fired
}

fn request(text: &str, world: &World) -> ReplayRequest {
    ReplayRequest {
        start_ms: TEST_EPOCH_MS,
        end_ms: world.now_ms - 1,
        rules: ReplayRules::File { name: "test.yml".into(), text: text.into() },
        interval_ms: None,
    }
}

/// The same of what a replay says.
fn fired_again(replayed: &[Replayed], world: &World) -> BTreeSet<(i64, Labels)> {
    let mut fired = BTreeSet::new();
    for rule in replayed {
        for firing in &rule.firings {
            let end_ms = firing.end_ms.unwrap_or(world.now_ms);
            let mut t_ms = firing.start_ms;
            while t_ms < end_ms {
                fired.insert((t_ms, firing.labels.clone()));
                t_ms += rule.interval_ms;
            }
        }
    }
    fired
}

#[test]
fn a_rule_tried_fires_as_it_did_live() {
    let check = |rule: &str, interval: &str| {
        let text = format!("groups:\n- name: g\n{interval}  rules:\n  - {rule}\n");
        assert!(parse_file("test.yml", &text).is_ok(), "{text}");
        let world = live(&text);
        let replayed = world.manager.replay(&request(&text, &world)).unwrap();
        let expected = fired_live(&world);
        assert!(!expected.is_empty(), "{rule}");
        let again = fired_again(&replayed, &world);
        // At its first two evaluations a live rule writes nothing yet: it takes up what was before a restart.
        let is_late = |(t_ms, _): &&(i64, Labels)| *t_ms > TEST_EPOCH_MS + 2 * MINUTE_MS;
        let differ: Vec<_> = again.symmetric_difference(&expected).filter(is_late).collect();
        assert!(differ.is_empty(), "{rule}: {differ:?}");
        assert_eq!(replayed[0].n_failed, 0, "{:?}", replayed[0].error);
    };
    check("{alert: A, expr: 'm > 10'}", "");
    check("{alert: A, expr: 'm > 10', for: 3m}", "");
    check("{alert: A, expr: 'm > 10', keep_firing_for: 7m}", "");
    check("{alert: A, expr: 'm > 10', for: 2m, keep_firing_for: 4m}", "  interval: 30s\n");
    check(
        "{alert: A, expr: 'm > 10', for: 4m, labels: {level: '{{ if gt $value 12.0 }}high{{ else }}low{{ end }}'}}",
        "",
    );
    check("{alert: A, expr: 'avg_over_time(m[10m]) > 8 and m > 3', for: 1m}", "  interval: 45s\n");
    check("{alert: A, expr: 'absent(m{i=\"c\"})', for: 5m}", "");
    check("{alert: A, expr: 'm > 10', hinomi: {no_data: keep}}", "");
}

#[test]
fn what_is_said_of_the_firings_is_true() {
    let world = live("groups: []\n");
    let of = |hold_ms, start_ms| ReplayRequest {
        start_ms,
        end_ms: TEST_EPOCH_MS + LIVE_MS - MINUTE_MS,
        rules: ReplayRules::Expression {
            expr: "m{i=\"b\"} > 14".into(),
            alert: "High".into(),
            hold_ms,
            keep_firing_ms: 0,
        },
        interval_ms: None,
    };
    // 15 for nine minutes of every 36.
    let all = world.manager.replay(&of(0, TEST_EPOCH_MS)).unwrap().remove(0);
    assert_eq!((all.n_firings, all.median_ms, all.longest_ms), (10, 9 * MINUTE_MS, 9 * MINUTE_MS));
    assert!(all.firings.iter().all(|firing| firing.peak == 15.0 && firing.active_at_ms == firing.start_ms));
    let held = world.manager.replay(&of(4 * MINUTE_MS, TEST_EPOCH_MS)).unwrap().remove(0);
    assert_eq!((held.n_firings, held.median_ms), (10, 5 * MINUTE_MS));
    let none = world.manager.replay(&of(10 * MINUTE_MS, TEST_EPOCH_MS)).unwrap().remove(0);
    assert_eq!((none.n_firings, none.median_ms), (0, 0));
    // A range that begins within a firing knows since when.
    let within = world.manager.replay(&of(4 * MINUTE_MS, TEST_EPOCH_MS + 32 * MINUTE_MS)).unwrap().remove(0);
    let first = &within.firings[0];
    assert!(
        first.start_ms <= TEST_EPOCH_MS + 32 * MINUTE_MS && first.active_at_ms < first.start_ms,
        "{first:?}"
    );
}

#[test]
fn what_cannot_be_tried_is_said() {
    let world = live("groups: []\n");
    let check = |change: &dyn Fn(&mut ReplayRequest), part: &str| {
        let mut request = request("groups: [{name: g, rules: [{alert: A, expr: m > 1}]}]", &world);
        change(&mut request);
        match world.manager.replay(&request) {
            Err(ReplayError::Bad(why)) => assert!(why.contains(part), "{why}"),
            other => panic!("{part}: {other:?}"),
        }
    };
    check(&|r| r.end_ms = r.start_ms, "start must lie before");
    check(&|r| r.interval_ms = Some(10), "more than 100000");
    check(
        &|r| {
            r.rules = ReplayRules::File {
                name: "f".into(),
                text: "groups: [{name: g, rules: [{record: r, expr: m}]}]".into(),
            }
        },
        "no alerting rule",
    );
    check(&|r| r.rules = ReplayRules::File { name: "f.yml".into(), text: "groups: 7".into() }, "f.yml");
    let expr = |expr: &str| ReplayRules::Expression {
        expr: expr.into(),
        alert: String::new(),
        hold_ms: 0,
        keep_firing_ms: 0,
    };
    check(&|r| r.rules = expr("m >"), "parse error");
}
