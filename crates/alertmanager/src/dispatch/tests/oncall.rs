//! Acknowledge, snooze, escalate: single cases, and random histories that must keep the promise.

use super::*;

/// `TOP` is what the file says under `hinomi`, `OWN` what the route does.
const FILE: &str = "route: {receiver: d, group_by: [team], group_wait: 1s, group_interval: 10s, repeat_interval: 1m, hinomi: {OWN}}\n\
    receivers: [{name: d, webhook_configs: [{url: 'http://a/'}]}, {name: e, webhook_configs: [{url: 'http://b/'}]}, {name: f, webhook_configs: [{url: 'http://c/'}]}]\n\
    hinomi: {TOP}\n";

fn file(top: &str, own: &str) -> String {
    FILE.replace("TOP", top).replace("OWN", own)
}

/// What was told, as `second who: alerts`; times of alerts are left out.
fn told(sim: &Sim) -> Vec<String> {
    let name = |text: &String| {
        let end = if text.contains("..-") { "" } else { " ends" };
        format!("{}{end}", text.split(' ').next().unwrap_or_default())
    };
    let of = |(at_ms, who, alerts): &Batch| {
        let alerts: Vec<String> = alerts.iter().map(name).collect();
        format!("{} {}: {}", at_ms / 1_000, &who[..1], alerts.join(", "))
    };
    sim.batches.iter().map(of).collect()
}

impl Sim {
    fn say(&mut self, at_s: i64, name: &str, is_held: bool, until_s: Option<i64>) -> bool {
        self.run_to(at_s * 1_000);
        let alerts = self.core.firing(&[], &[Matcher::equal("alertname", name)], self.now_ms);
        let until_ms = until_s.map(|until_s| T0 + until_s * 1_000);
        let word = Word { by: "kim".into(), note: "mine".into(), until_ms, is_held };
        let is_taken = self.core.say(alerts, &word, self.now_ms).is_ok();
        self.save();
        is_taken
    }

    fn fire(&mut self, at_s: i64, name: &str) {
        self.put(at_s * 1_000, name, at_s * 1_000, 3_600_000, "");
    }

    fn end(&mut self, at_s: i64, name: &str) {
        self.put(at_s * 1_000, name, at_s * 1_000, at_s * 1_000, "");
    }
}

#[test]
fn what_is_acknowledged_is_not_said_again_and_its_end_is_told() {
    let mut sim = Sim::new(&file("", ""));
    sim.fire(1, "a");
    assert!(sim.say(5, "a", true, None));
    sim.run_to(200_000);
    sim.end(200, "a");
    sim.run_to(300_000);
    assert_eq!(told(&sim), ["2 d: a", "202 d: a ends"]);
    // The next firing is nobody's.
    sim.fire(310, "a");
    sim.run_to(320_000);
    assert_eq!(told(&sim)[2..], ["311 d: a"]);
    assert!(!sim.say(320, "b", true, None), "there is no b");
    assert!(!sim.say(320, "a", false, None), "nobody has it");
}

#[test]
fn what_is_acknowledged_before_anybody_was_told_is_not_told_and_a_new_alert_of_the_group_is() {
    let mut sim = Sim::new(&file("", ""));
    sim.fire(1, "a");
    assert!(sim.say(1, "a", true, None));
    sim.fire(30, "b");
    sim.run_to(50_000);
    sim.end(50, "b");
    sim.end(70, "a");
    sim.run_to(100_000);
    assert_eq!(told(&sim), ["32 d: b", "52 d: b ends"]);
}

#[test]
fn a_new_alert_is_told_without_what_somebody_has() {
    let mut sim = Sim::new(&file("", ""));
    sim.fire(1, "a");
    assert!(sim.say(5, "a", true, None));
    sim.fire(20, "b");
    sim.run_to(150_000);
    sim.end(150, "b");
    sim.run_to(200_000);
    sim.end(200, "a");
    sim.run_to(300_000);
    // b is repeated; while a fires, the end of b is not the group's.
    assert_eq!(told(&sim), ["2 d: a", "22 d: b", "92 d: b", "152 d: b ends", "202 d: a ends"]);
}

#[test]
fn an_acknowledgement_that_is_over_has_the_alert_told_again() {
    let check = |top: &str, until_s: Option<i64>, back_s: Option<i64>, expected: &[&str]| {
        for restarts in [false, true] {
            let mut sim = Sim::new(&file(top, ""));
            sim.fire(1, "a");
            assert!(sim.say(5, "a", true, until_s));
            if restarts {
                sim.restart(8_000, 1, &file(top, ""));
            }
            if let Some(at_s) = back_s {
                assert!(sim.say(at_s, "a", false, None));
            }
            sim.run_to(100_000);
            assert_eq!(told(&sim), expected, "{top} {until_s:?} {back_s:?} {restarts}");
        }
    };
    check("", None, None, &["2 d: a"]);
    check("", Some(47), None, &["2 d: a", "47 d: a"]);
    check("ack_timeout: 40s", None, None, &["2 d: a", "45 d: a"]);
    // A snooze says how long, whatever the timeout.
    check("ack_timeout: 10s", Some(77), None, &["2 d: a", "77 d: a"]);
    check("", None, Some(33), &["2 d: a", "33 d: a"]);
}

#[test]
fn what_nobody_acknowledges_goes_to_the_next_receivers_who_hear_of_its_end() {
    let own = "escalate: [{after: 20s, receiver: e}, {after: 40s, receiver: f}]";
    let run = |restart_s: i64, ack_s: i64| {
        let text = file("", own).replace("repeat_interval: 1m", "repeat_interval: 1h");
        let mut sim = Sim::new(&text);
        sim.fire(1, "a");
        if restart_s > 0 {
            sim.restart(restart_s * 1_000, 500, &text);
        }
        if ack_s > 0 {
            assert!(sim.say(ack_s, "a", true, None));
        }
        sim.end(100, "a");
        sim.run_to(200_000);
        told(&sim)
    };
    for restart_s in [0, 10, 30] {
        let all = run(restart_s, 0);
        assert_eq!(all[..3], ["2 d: a", "22 e: a", "42 f: a"], "{restart_s}");
        let ends: BTreeSet<&str> =
            all[3..].iter().filter_map(|text| text.split_once(' ')).map(|of| of.1).collect();
        assert_eq!(ends, BTreeSet::from(["d: a ends", "e: a ends", "f: a ends"]), "{restart_s}");
    }
    assert_eq!(run(0, 10), ["2 d: a", "102 d: a ends"]);
    assert_eq!(run(0, 30)[..2], ["2 d: a", "22 e: a"]);
    assert_eq!(run(0, 30).len(), 4);
}

#[test]
fn time_that_is_silenced_does_not_bring_the_next_receiver_nearer() {
    let text = file("", "escalate: [{after: 60s, receiver: e}]")
        .replace("repeat_interval: 1m", "repeat_interval: 1h");
    for restarts in [false, true] {
        let mut sim = Sim::new(&text);
        sim.fire(1, "a");
        sim.silence(20_000, Matcher::equal("alertname", "a"), 20_000, 120_000);
        if restarts {
            sim.restart(90_000, 1_000, &text);
        }
        sim.run_to(300_000);
        let to_e: Vec<i64> =
            sim.batches.iter().filter(|batch| batch.1 == "e/0").map(|batch| batch.0).collect();
        // Told at 2, 18 s and then 42 s: at 162, give or take two looks.
        assert!(to_e.len() == 1 && (155_000..=172_000).contains(&to_e[0]), "{to_e:?} {restarts}");
    }
}

#[test]
fn where_the_first_receiver_cannot_be_reached_the_next_one_is_told_in_time() {
    let mut sim = Sim::new(&file("", "escalate: [{after: 30s, receiver: e}]"));
    sim.answer = Box::new(|_, who| match who {
        "d/0" => {
            Outcome::Failed { is_retryable: true, reason: Reason::Server, message: "503".into(), wait_ms: 0 }
        }
        _ => Outcome::delivered(),
    });
    sim.fire(1, "a");
    sim.run_to(80_000);
    let first = sim.batches.first().map(|batch| (batch.0 / 1_000, batch.1.as_str()));
    // Given up for the first time at 12.
    assert!(first.is_some_and(|(at_s, who)| who == "e/0" && (35..=60).contains(&at_s)), "{first:?}");
}

#[derive(Debug, Clone)]
enum Between {
    Fire(u8),
    End(u8),
    Ack(u8),
    Snooze(u8, i64),
    Back(u8),
    Silence(u8),
    Restart,
    Failures(u8),
    Reload(usize),
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        4 => (0u8..3).prop_map(Between::Fire),
        4 => (0u8..3).prop_map(Between::End),
        3 => (0u8..3).prop_map(Between::Ack),
        2 => (0u8..3, 1i64..60).prop_map(|(i, s)| Between::Snooze(i, s)),
        2 => (0u8..3).prop_map(Between::Back),
        1 => (0u8..3).prop_map(Between::Silence),
        1 => Just(Between::Restart),
        1 => (1u8..4).prop_map(Between::Failures),
        1 => (0usize..5).prop_map(Between::Reload),
    ]
}

/// Settings under which the promise must hold.
const OWNS: [&str; 5] = [
    "flap: {changes: 4, within: 60s, stable: 20s}, escalate: [{after: 8s, receiver: e}]",
    "escalate: [{after: 8s, receiver: e}, {after: 20s, receiver: f}]",
    "escalate: [{after: 15s, receiver: f}]",
    "",
    "escalate: [{after: 9s, receiver: e}], reissue_duration: 30s",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whoever_was_told_of_a_firing_is_told_its_end_whoever_had_it(
        history in proptest::collection::vec((0i64..9_000, between()), 1..40)
    ) {
        use std::sync::atomic::Ordering::SeqCst;
        let files = OWNS.map(|own| file("ack_timeout: 50s", own));
        let mut text = files[0].clone();
        let mut sim = Sim::new(&text);
        let failures = sim.failures();
        let mut at_ms = 1_000;
        let end = |sim: &mut Sim, at_ms: i64, name: &str| {
            let labels = Labels::from_pairs([("alertname", name)]);
            if sim.core.alerts.contains_key(&Fingerprint::of(&labels)) {
                sim.put(at_ms, name, at_ms, at_ms, "");
            }
        };
        for (wait_ms, event) in &history {
            at_ms += wait_ms;
            sim.run_to(at_ms);
            let at_s = at_ms / 1_000;
            match event {
                Between::Fire(i) => sim.put(at_ms, &format!("a{i}"), 0, at_ms + 3_600_000, ""),
                Between::End(i) => end(&mut sim, at_ms, &format!("a{i}")),
                Between::Ack(i) => drop(sim.say(at_s, &format!("a{i}"), true, None)),
                Between::Snooze(i, s) => drop(sim.say(at_s, &format!("a{i}"), true, Some(at_s + s))),
                Between::Back(i) => drop(sim.say(at_s, &format!("a{i}"), false, None)),
                Between::Silence(i) => {
                    sim.silence(at_ms, Matcher::equal("alertname", format!("a{i}")), at_ms, at_ms + 20_000);
                }
                Between::Restart => {
                    sim.restart(at_ms, 1, &text);
                    at_ms += 1;
                }
                Between::Failures(n) => failures.store(*n, SeqCst),
                Between::Reload(i) => {
                    text.clone_from(&files[*i]);
                    sim.reload(at_ms, &text);
                }
            }
        }
        // Every acknowledgement is over within its timeout: what fires then has been told.
        sim.run_to(at_ms + 180_000);
        let firing = promises::left_firing(&sim);
        for (id, alert) in &sim.core.alerts {
            let is_held = sim.core.ack_of(*id, alert, sim.now_ms).is_some();
            if !alert.is_resolved_at(sim.now_ms) && !is_held {
                prop_assert!(firing.contains(&("d/0".to_owned(), alert.name().to_owned())), "{} fires and nobody knows", alert.name());
            }
        }
        at_ms += 180_000;
        for i in 0..3 {
            end(&mut sim, at_ms, &format!("a{i}"));
        }
        sim.run_to(at_ms + 180_000);
        let firing = promises::left_firing(&sim);
        prop_assert!(firing.is_empty(), "no end told for {firing:?}: {:#?}", sim.batches);
    }
}

#[test]
fn a_service_waits_for_its_host_and_is_not_told_while_that_is_down() {
    let top = "dependencies: [{parents: ['alertname=HostDown'], children: ['kind=service'], equal: [instance], wait: 15s}], topology: {router: [db]}";
    let text = file(top, "");
    let check = |host_at_s: Option<(i64, &str)>, expected: &[&str]| {
        let mut sim = Sim::new(&text);
        let service: Pairs<'_> = &[("alertname", "Slow"), ("kind", "service"), ("instance", "db")];
        sim.put_labels(1_000, service, 1_000, 3_600_000, "");
        if let Some((at_s, host)) = host_at_s {
            let down: Pairs<'_> = &[("alertname", "HostDown"), ("instance", host), ("team", "net")];
            sim.put_labels(at_s * 1_000, down, at_s * 1_000, 60_000, "");
        }
        sim.run_to(90_000);
        assert_eq!(told(&sim), expected, "{host_at_s:?}");
    };
    // Nothing else is down: told when it has waited.
    check(None, &["16 d: Slow", "86 d: Slow"]);
    // Over at 60; the service has as long as it waited to recover, and does not.
    check(Some((10, "db")), &["11 d: HostDown", "61 d: HostDown ends", "76 d: Slow"]);
    check(Some((10, "router")), &["11 d: HostDown", "61 d: HostDown ends", "76 d: Slow"]);
    check(Some((10, "other")), &["11 d: HostDown", "16 d: Slow", "61 d: HostDown ends", "86 d: Slow"]);
}

#[test]
fn what_flaps_is_told_once_to_flap_and_then_when_it_is_stable() {
    let check = |ends_firing: bool, restarts: bool, expected: &[&str]| {
        let text = file("", "flap: {changes: 4, within: 60s, stable: 30s}")
            .replace("repeat_interval: 1m", "repeat_interval: 1h");
        let mut sim = Sim::new(&text);
        // Up at 1, down at 3, up at 5, down at 7: the fourth change; and so on until 31.
        for i in 0..8 {
            sim.fire(1 + 4 * i, "a");
            sim.end(3 + 4 * i, "a");
            if restarts && i == 3 {
                sim.restart(16_000, 100, &text);
            }
        }
        if ends_firing {
            sim.fire(33, "a");
        }
        sim.run_to(60_000);
        let n_before = sim.batches.len();
        sim.run_to(200_000);
        assert_eq!(told(&sim)[n_before..], *expected, "{:#?}", sim.batches);
        // Told to fire, then to flap; no end in between.
        assert!((1..=2).contains(&n_before), "{:#?}", sim.batches);
        assert!(
            sim.batches[..n_before].iter().all(|batch| batch.2.iter().all(|alert| alert.contains("..-")))
        );
        sim.end(200, "a");
        sim.run_to(300_000);
        assert!(promises::left_firing(&sim).is_empty(), "{:#?}", sim.batches);
    };
    check(true, false, &["63 d: a"]);
    check(false, false, &["61 d: a ends"]);
    check(true, true, &["63 d: a"]);
}
