//! No data is not resolved: what becomes of alerts whose series vanish.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::sync::Arc;

use common::{MINUTE_MS, World};
use model::Measured;
use rules::{AlertState, Options, parse_file};
use storage::MemStore;

const A: &str = r#"cpu{instance="a"}"#;
const B: &str = r#"cpu{instance="b"}"#;

fn rule(own: &str) -> String {
    format!(
        "groups: [{{name: g, interval: 1m, rules: [{{alert: Hot, expr: cpu > 0.9, labels: {{s: x}}{own}}}]}}]"
    )
}

/// `instance state, no data?` of each alert.
fn shown(world: &World) -> Vec<String> {
    let alerts = world.alerts();
    let text = |alert: &rules::AlertView| {
        let gone = if alert.no_data_since_ms.is_some() { ", no data" } else { "" };
        format!("{} {}{gone}", alert.labels.get("instance").unwrap_or(""), alert.state.as_str())
    };
    alerts.iter().map(text).collect()
}

#[test]
fn an_alert_whose_series_vanishes_ends_stays_or_raises_others() {
    let check = |own: &str, expected: &[&str]| {
        let mut world = World::new(&rule(own));
        world.run(3 * MINUTE_MS, &[(A, 0.95), (B, 0.1)]);
        assert_eq!(shown(&world), ["a firing"]);
        // Longer than PromQL looks back.
        world.run(8 * MINUTE_MS, &[]);
        assert_eq!(shown(&world), expected, "{own}");
        // It is back, and cool: that is an end.
        world.run(2 * MINUTE_MS, &[(A, 0.2), (B, 0.1)]);
        assert_eq!(shown(&world), [""; 0], "{own}");
    };
    check("", &[]);
    check(", hinomi: {no_data: resolve}", &[]);
    check(", hinomi: {no_data: keep}", &["a firing, no data"]);
    check(", hinomi: {no_data: alert}", &["a firing, no data", "b firing, no data"]);
    check(", hinomi: {no_data: keep, no_data_for: 2m}", &[]);
}

#[test]
fn the_first_word_of_a_series_without_data_says_so() {
    let mut world = World::new(&rule(", hinomi: {no_data: alert}"));
    world.run(3 * MINUTE_MS, &[(A, 0.1), (B, 0.1)]);
    assert!(world.take_sent().is_empty());
    // Longer than PromQL looks back.
    world.run(8 * MINUTE_MS, &[(A, 0.1)]);
    let sent = world.take_sent();
    assert_eq!(sent[0].labels.get("instance"), Some("b"));
    for alert in &sent {
        let remark = alert.annotations.get("no_data").unwrap_or_default();
        assert!(remark.starts_with("no data since "), "{alert:?}");
    }
}

#[test]
fn what_ends_while_it_has_data_ends() {
    for own in ["", ", hinomi: {no_data: keep}", ", hinomi: {no_data: alert}"] {
        let mut world = World::new(&rule(own));
        world.run(3 * MINUTE_MS, &[(A, 0.95)]);
        world.run(2 * MINUTE_MS, &[(A, 0.5)]);
        assert_eq!(shown(&world), [""; 0], "{own}");
    }
}

#[test]
fn alerts_without_data_are_kept_over_a_restart() {
    let text = rule(", hinomi: {no_data: keep}");
    let mut world = World::new(&text);
    world.run(3 * MINUTE_MS, &[(A, 0.95)]);
    world.run(8 * MINUTE_MS, &[]);
    let store: Arc<MemStore> = world.store.clone();
    let mut again = World::with(&text, Options::default(), store, world.now_ms + MINUTE_MS);
    again.run(3 * MINUTE_MS, &[]);
    assert_eq!(again.states().iter().map(|(_, state)| *state).collect::<Vec<_>>(), [AlertState::Firing]);
    again.run(2 * MINUTE_MS, &[(A, 0.3)]);
    assert_eq!(shown(&again), [""; 0]);
}

#[test]
fn an_end_says_how_it_is_now_and_how_bad_it_was() {
    let check = |expr: &str, values: &[f64], expected: (Option<f64>, f64, bool)| {
        let text = format!("groups: [{{name: g, interval: 1m, rules: [{{alert: Hot, expr: '{expr}'}}]}}]");
        let mut world = World::new(&text);
        for value in values {
            world.run(2 * MINUTE_MS, &[(A, *value)]);
        }
        let sent = world.take_sent();
        let last = sent.last().and_then(|alert| alert.measured).unwrap();
        let (value, peak, lower_is_worse) = expected;
        assert_eq!(last, Measured { value, peak, lower_is_worse }, "{expr}");
    };
    check("cpu > 0.9", &[0.91, 0.99, 0.95, 0.4], (Some(0.4), 0.99, false));
    check("cpu > 0.9", &[0.91, 0.99, 0.95], (Some(0.95), 0.99, false));
    check("cpu < 0.5", &[0.4, 0.1, 0.3, 0.7], (Some(0.7), 0.1, true));
    check("(cpu * 100 > 90) and on () vector(1)", &[0.91, 0.99, 0.5], (Some(50.0), 99.0, false));
}

#[test]
fn only_rules_that_compare_can_tell() {
    let check = |expr: &str, own: &str, expected: Option<&str>| {
        let text = format!("groups: [{{name: g, rules: [{{alert: A, expr: '{expr}', hinomi: {{{own}}}}}]}}]");
        let errors = parse_file("r.yml", &text).err().map(|errors| errors[0].to_string());
        match (errors, expected) {
            (None, None) => {}
            (Some(error), Some(part)) => assert!(error.contains(part), "{error}"),
            (found, _) => panic!("{expr} {own}: {found:?}"),
        }
    };
    check("up == 0", "no_data: keep, no_data_for: 1h", None);
    check("absent(up)", "no_data: resolve", None);
    check("absent(up)", "no_data: keep", Some("needs an expression that compares"));
    check("up == 0", "no_data: maybe", Some("must be resolve, keep or alert, not \"maybe\""));
    check("up == 0", "nodata: keep", Some("nodata not found"));
}
