//! Routes that watch: occurrences, reissue, success, ignore rules.

use super::*;

/// `OWN` is what the route says under `hinomi`.
const FILE: &str = "route: {receiver: d, group_by: [team], group_wait: 1s, group_interval: 30s, repeat_interval: 4h, hinomi: {OWN}}\n\
    receivers: [{name: d, webhook_configs: [{url: 'http://a/'}]}]\n";

fn sim(own: &str) -> Sim {
    Sim::new(&FILE.replace("OWN", own))
}

/// What was told, as `second: alerts`.
fn told(sim: &Sim) -> Vec<String> {
    let shown =
        sim.batches.iter().map(|(at_ms, _, alerts)| format!("{}: {}", at_ms / 1_000, alerts.join(", ")));
    shown.collect()
}

#[test]
fn an_alert_counts_after_so_many_within_so_long() {
    let check = |at_s: &[i64], expected: &[&str]| {
        let mut sim = sim("occurrences: {count: 3, within: 1m}");
        for at_s in at_s {
            sim.put(at_s * 1_000, "a", 1_000, 0, "");
        }
        sim.run_to(200_000);
        assert_eq!(told(&sim), expected, "{at_s:?}");
    };
    // A second after it counts, as a new group waits, not at the next interval.
    check(&[1, 20, 40], &["41: a 1000..-"]);
    check(&[1, 20], &[]);
    check(&[1, 30, 70, 85], &["86: a 1000..-"]);
    check(&[1, 30, 70, 100], &[]);
}

#[test]
fn what_counted_is_told_to_its_end_and_then_counts_anew() {
    let mut sim = sim("occurrences: {count: 2, within: 1m}");
    for at_s in [1, 10] {
        sim.put(at_s * 1_000, "a", 1_000, 0, "");
    }
    sim.put(20_000, "a", 1_000, 20_000, "");
    // Its end is told at 41; two minutes later it takes two again.
    sim.put(170_000, "a", 170_000, 0, "");
    sim.put(200_000, "a", 170_000, 200_000, "");
    sim.put(290_000, "a", 290_000, 0, "");
    sim.put(300_000, "a", 290_000, 0, "");
    sim.run_to(400_000);
    assert_eq!(told(&sim), ["11: a 1000..-", "41: a 1000..20000", "301: a 290000..-"]);
}

#[test]
fn what_counts_and_what_was_issued_survive_a_restart() {
    let file = FILE.replace("OWN", "occurrences: {count: 2, within: 1m}, reissue_duration: 2m");
    let mut sim = Sim::new(&file);
    sim.put(1_000, "a", 1_000, 0, "");
    sim.restart(5_000, 5_000, &file);
    sim.put(20_000, "a", 1_000, 0, "");
    sim.run_to(30_000);
    sim.restart(40_000, 5_000, &file);
    for at_s in [60, 120, 180] {
        sim.put(at_s * 1_000, "a", 1_000, 0, "");
    }
    sim.run_to(200_000);
    assert_eq!(told(&sim), ["21: a 1000..-", "141: a 1000..-"]);
}

#[test]
fn an_issued_alert_is_filtered_until_it_is_due_again() {
    let mut sim = sim("reissue_duration: 2m");
    for at_s in (1..=300).step_by(30) {
        sim.put(at_s * 1_000, "a", 1_000, 0, "");
        if at_s == 61 {
            sim.put(62_000, "b", 62_000, 0, "");
        }
    }
    sim.put(250_000, "b", 62_000, 250_000, "");
    sim.run_to(290_000);
    let expected = [
        "2: a 1000..-",
        "92: b 62000..-",
        "122: a 1000..-",
        "212: b 62000..-",
        "242: a 1000..-",
        "272: b 62000..250000",
    ];
    assert_eq!(told(&sim), expected);
}

#[test]
fn one_of_two_that_ends_does_not_end_the_group() {
    let mut sim = sim("reissue_duration: 1h");
    sim.put(1_000, "a", 1_000, 0, "");
    sim.put(1_100, "b", 1_100, 0, "");
    sim.run_to(3_000);
    sim.put(40_000, "b", 1_100, 40_000, "");
    let mut status = Vec::new();
    while status.is_empty() && sim.now_ms < T0 + 100_000 {
        sim.now_ms = sim.core.next_deadline_ms().max(sim.now_ms);
        for action in sim.core.poll(sim.now_ms) {
            let Action::Send { notification, .. } = action else { continue };
            status
                .push((notification.others_fire, notification.alerts.iter().map(shown).collect::<Vec<_>>()));
        }
    }
    assert_eq!(status, [(true, vec!["b 1100..40000".to_owned()])]);
}

#[test]
fn success_is_said_when_it_was_not_detected_for_so_long() {
    let check = |events: &[(i64, i64)], expected: &[&str]| {
        let mut sim = sim("success_duration: 2m");
        for (at_s, end_s) in events {
            sim.put(at_s * 1_000, "a", 1_000, end_s * 1_000, "");
        }
        sim.run_to(600_000);
        assert_eq!(told(&sim), expected, "{events:?}");
    };
    // Its end is reported, and it does not come back.
    check(&[(1, 0), (60, 60)], &["2: a 1000..-", "180: a 1000..60000"]);
    // It comes back within the time: nothing is said.
    check(&[(1, 0), (60, 60), (100, 0), (150, 150)], &["2: a 1000..-", "270: a 1000..150000"]);
    // Nobody reports it any more: earlier than resolve_timeout would have it.
    check(&[(1, 0), (30, 0)], &["2: a 1000..-", "150: a 1000..150000"]);
    // It was over before anybody was told: nobody is.
    check(&[(1, 0), (1, 1)], &[]);
    // The sender answers for it until 400, and falls silent.
    check(&[(1, 400)], &["2: a 1000..-", "400: a 1000..400000"]);
}

#[test]
fn success_is_said_only_while_the_host_is_active() {
    let check = |active: fn(i64) -> Option<bool>, labels: &[(&str, &str)], expected: &[&str]| {
        let mut sim = sim("success_duration: 1m");
        sim.is_active = Box::new(move |at_ms, host| {
            assert_eq!(host, "h:1");
            active(at_ms / 1_000)
        });
        sim.put_labels(1_000, labels, 1_000, 0, "");
        sim.put_labels(10_000, labels, 1_000, 10_000, "");
        sim.run_to(900_000);
        assert_eq!(told(&sim), expected);
    };
    let with_host = &[("alertname", "a"), ("instance", "h:1")];
    check(|_| Some(true), with_host, &["2: a 1000..-", "70: a 1000..10000"]);
    check(|_| Some(false), with_host, &["2: a 1000..-"]);
    check(|_| None, with_host, &["2: a 1000..-"]);
    check(|at_s| (at_s > 300).then_some(true), with_host, &["2: a 1000..-", "315: a 1000..10000"]);
    // A host that comes back gets the time in which the trouble would show again.
    check(|at_s| Some(at_s > 300), with_host, &["2: a 1000..-", "360: a 1000..10000"]);
    // Without a host there is none that could be away.
    check(|_| Some(false), &[("alertname", "a")], &["2: a 1000..-", "70: a 1000..10000"]);
}

#[test]
fn ignore_rules_hide_until_their_end_but_no_end_that_is_owed() {
    // Second 0 is 22:13:20.
    let rule = "ignore: [{matchers: ['alertname=a'], owner: ann, ends: '2023-11-14T22:15:00Z'}]";
    let mut hidden = sim(rule);
    hidden.put(1_000, "a", 1_000, 3_600_000, "");
    hidden.put(1_100, "b", 1_100, 3_600_000, "");
    hidden.run_to(90_000);
    assert_eq!(told(&hidden), ["2: b 1100..-"]);
    hidden.run_to(200_000);
    assert_eq!(told(&hidden).last().map(String::as_str), Some("122: a 1000..-, b 1100..-"));
    let views = hidden.core.ignore_views(T0 + 90_000);
    assert_eq!(
        views.iter().map(|(route, _, hides)| (route.as_str(), *hides)).collect::<Vec<_>>(),
        [("{}", 1)]
    );

    let mut owed = sim("");
    owed.put(1_000, "a", 1_000, 3_600_000, "");
    owed.reload(10_000, &FILE.replace("OWN", rule));
    owed.put(20_000, "a", 1_000, 20_000, "");
    owed.run_to(60_000);
    assert_eq!(told(&owed).len(), 2, "{:?}", told(&owed));
}

#[test]
fn what_is_watched_says_why_it_is_quiet() {
    use crate::dispatch::WatchState::*;
    let mut sim = sim(
        "occurrences: {count: 2, within: 1m}, success_duration: 1m, ignore: [{matchers: ['alertname=i'], owner: ann, ends: '2030-01-01T00:00:00Z'}]",
    );
    sim.is_active = Box::new(|_, _| Some(false));
    let state = |sim: &Sim, name: &str| {
        let views = sim.core.watched_views(|alert| alert.name() == name, sim.now_ms);
        views.iter().map(|view| view.state).collect::<Vec<_>>()
    };
    let labels = &[("alertname", "a"), ("host", "h")];
    sim.put(1_000, "i", 1_000, 0, "");
    sim.put_labels(1_000, labels, 1_000, 0, "");
    assert_eq!((state(&sim, "i"), state(&sim, "a")), (vec![Ignored], vec![Counting]));
    sim.put_labels(5_000, labels, 1_000, 0, "");
    assert_eq!(state(&sim, "a"), [Waiting]);
    sim.run_to(7_000);
    assert_eq!(state(&sim, "a"), [Issued]);
    sim.put_labels(10_000, labels, 1_000, 10_000, "");
    assert_eq!(state(&sim, "a"), [Clearing]);
    sim.is_active = Box::new(|_, _| None);
    sim.run_to(100_000);
    assert_eq!(state(&sim, "a"), [HostAway]);
    assert_eq!(told(&sim).len(), 1);
}
