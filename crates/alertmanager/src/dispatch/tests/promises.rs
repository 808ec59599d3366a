//! A resolve is a promise: single cases, and random histories of everything that may come between.

use super::*;

/// Three ways of telling: two that send ends and one that does not. `ROUTE` is the root's rest.
const FILE: &str = "route: {receiver: d, group_by: [alertname], group_wait: 1s, group_interval: 5s, repeat_interval: 4hROUTE}\n\
    receivers: [{name: d, webhook_configs: [{url: 'http://a/'}, {url: 'http://b/', send_resolved: false}]}, {name: e, webhook_configs: [{url: 'http://c/'}]}]\n\
    inhibit_rules: [{source_matchers: ['alertname=graver'], target_matchers: ['alertname=~\"a.\"']}]\n\
    time_intervals: [{name: always, time_intervals: [{}]}]\n";

fn file(route: &str) -> String {
    FILE.replace("ROUTE", route)
}

#[test]
fn an_end_is_told_although_it_is_silenced_or_muted() {
    let child = |rest: &str| file(&format!(", routes: [{{matchers: ['alertname=~\"a.\"']{rest}}}]"));
    for (what, expected) in [("silence", true), ("mute", true), ("as upstream", false)] {
        let off = if expected { "" } else { "hinomi: {promised_resolves: false}\n" };
        let mut sim = Sim::new(&(child("") + off));
        sim.put(1_000, "a0", 1_000, 0, "");
        sim.run_to(3_000);
        if what == "mute" {
            sim.reload(3_000, &child(", mute_time_intervals: [always]"));
        } else {
            sim.silence(3_000, Matcher::equal("alertname", "a0"), 3_000, 900_000);
        }
        sim.put(9_000, "a0", 1_000, 9_000, "");
        sim.run_to(60_000);
        let told: Vec<_> = sim.batches.iter().map(|batch| (batch.1.as_str(), batch.2[0].as_str())).collect();
        let mut all = vec![("d/0", "a0 1000..-"), ("d/1", "a0 1000..-")];
        all.extend(expected.then_some(("d/0", "a0 1000..9000")));
        assert_eq!(told, all, "{what}");
        assert_eq!(sim.core.promises.n_open(), usize::from(!expected), "{what}");
    }
}

#[test]
fn an_end_is_told_where_no_route_leads_any_more() {
    let mut sim = Sim::new(&file(", routes: [{matchers: ['alertname=a0'], receiver: e}]"));
    sim.put(1_000, "a0", 1_000, 0, "");
    sim.reload(3_000, &file(""));
    sim.put(9_000, "a0", 1_000, 9_000, "");
    sim.run_to(60_000);
    let to_e: Vec<_> = sim.batches.iter().filter(|batch| batch.1 == "e/0").map(|batch| &batch.2[0]).collect();
    assert_eq!(to_e, ["a0 1000..-", "a0 1000..9000"]);
    // And once the receiver itself is gone, the promise goes with it.
    sim.put(70_000, "a1", 70_000, 0, "");
    sim.reload(80_000, "route: {receiver: x}\nreceivers: [{name: x}]\n");
    sim.put(90_000, "a1", 70_000, 90_000, "");
    sim.run_to(150_000);
    assert_eq!(sim.core.promises.n_open(), 0);
}

#[test]
fn an_end_is_told_although_nobody_heard_that_the_firing_was() {
    let mut sim = Sim::new(&file(""));
    sim.put(1_000, "a0", 1_000, 0, "");
    let failures = sim.failures();
    sim.is_to_die = true;
    sim.run_to(2_000);
    // Told again after the start, and in vain.
    failures.store(1, SeqCst);
    sim.run_to(2_500);
    sim.silence(2_500, Matcher::equal("alertname", "a0"), 2_500, 900_000);
    sim.put(9_000, "a0", 1_000, 9_000, "");
    sim.run_to(60_000);
    let to_d: Vec<_> = sim.batches.iter().filter(|batch| batch.1 == "d/0").map(|batch| &batch.2[0]).collect();
    assert_eq!(to_d, ["a0 1000..-", "a0 1000..9000"]);
}

#[test]
fn what_fires_again_is_told_although_nobody_heard_that_its_end_was() {
    let mut sim = Sim::new(&file(""));
    sim.put(1_000, "a0", 1_000, 0, "");
    sim.run_to(3_000);
    sim.put(4_000, "a0", 1_000, 4_000, "");
    sim.run_to(6_000);
    sim.is_to_die = true;
    sim.run_to(7_000);
    // It fires again before the manager is back; that an end was told stands in no log.
    sim.put(7_000, "a0", 7_000, 0, "");
    sim.run_to(60_000);
    let to_d: Vec<_> = sim.batches.iter().filter(|batch| batch.1 == "d/0").map(|batch| &batch.2[0]).collect();
    assert_eq!(to_d, ["a0 1000..-", "a0 1000..4000", "a0 7000..-"]);
    assert_eq!(sim.core.doubts.iter().count(), 0);
}

#[test]
fn of_a_firing_that_could_not_be_told_no_end_is() {
    let mut sim = Sim::new(&file(""));
    let failures = sim.failures();
    failures.store(u8::MAX, SeqCst);
    sim.put(1_000, "a0", 1_000, 0, "");
    sim.run_to(8_000);
    assert_eq!(sim.core.promises.n_open(), 0);
    // What is on the disk says so, too.
    sim.restart(8_000, 1, &file(""));
    assert_eq!(sim.core.promises.n_open(), 0);
    sim.put(9_000, "a0", 1_000, 9_000, "");
    failures.store(0, SeqCst);
    sim.run_to(60_000);
    assert!(sim.batches.iter().all(|batch| batch.1 == "d/1"), "{:?}", sim.batches);
}

/// What may come between.
#[derive(Debug, Clone)]
enum Between {
    Fire(u8),
    Resolve(u8),
    Silence(u8),
    /// The graver alert fires, or ends.
    Inhibit(bool),
    Reload(usize),
    Restart,
    /// The next message is answered, and its manager dies before it hears of that.
    Death,
    Failures(u8),
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        4 => (0u8..3).prop_map(Between::Fire),
        4 => (0u8..3).prop_map(Between::Resolve),
        2 => (0u8..3).prop_map(Between::Silence),
        2 => any::<bool>().prop_map(Between::Inhibit),
        2 => (0usize..4).prop_map(Between::Reload),
        1 => Just(Between::Restart),
        1 => Just(Between::Death),
        1 => (1u8..4).prop_map(Between::Failures),
    ]
}

/// Who was told that an alert fires, and not of its end.
pub(super) fn left_firing(sim: &Sim) -> BTreeSet<(String, String)> {
    let mut firing = BTreeSet::new();
    for (_, who, alerts) in &sim.batches {
        for alert in alerts.iter().filter(|alert| !alert.starts_with("graver")) {
            let name = alert.split(' ').next().unwrap_or_default().to_owned();
            let is_firing = alert.ends_with("..-");
            assert!(is_firing || who != "d/1", "it does not send ends: {alert}");
            if is_firing {
                firing.insert((who.clone(), name));
            } else {
                firing.remove(&(who.clone(), name));
            }
        }
    }
    firing
}

/// An end that does not say how bad it was, whatever came between.
fn understated(sim: &Sim, reported: &[(String, i64, f64)]) -> Option<String> {
    sim.ends.iter().filter(|end| end.0 != "graver").find_map(|(name, starts_ms, ends_ms, measured)| {
        let of_episode =
            reported.iter().filter(|(of, at_ms, _)| of == name && (*starts_ms..*ends_ms).contains(at_ms));
        let worst = of_episode.map(|(_, _, value)| *value).fold(f64::NEG_INFINITY, f64::max);
        let peak = measured.map(|measured| measured.peak);
        let is_told = peak.is_some_and(|peak| peak >= worst);
        (!is_told).then(|| format!("{name} {starts_ms}..{ends_ms}: {peak:?}, not {worst}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn who_was_told_of_a_firing_is_told_its_end_whatever_came_between(
        history in proptest::collection::vec((0i64..9_000, between()), 1..40)
    ) {
        use std::sync::atomic::Ordering::SeqCst;
        let files = [
            file(""),
            file(", routes: [{matchers: ['alertname=~\"a.\"'], receiver: e}]"),
            file(", routes: [{matchers: ['alertname=~\"a.\"'], mute_time_intervals: [always]}]"),
            file("").replace("[alertname]", "[]"),
        ];
        let mut text = files[0].clone();
        let mut sim = Sim::new(&text);
        let failures = sim.failures();
        let mut at_ms = 1_000;
        let mut reported: Vec<(String, i64, f64)> = Vec::new();
        let end = |sim: &mut Sim, at_ms: i64, name: &str| {
            let labels = Labels::from_pairs([("alertname", name)]);
            if sim.core.alerts.contains_key(&Fingerprint::of(&labels)) {
                sim.put(at_ms, name, at_ms, at_ms, "");
            }
        };
        for (nth, (wait_ms, event)) in history.iter().enumerate() {
            at_ms += wait_ms;
            // Up and down, so that the worst one is neither the first nor the last.
            sim.value = Some(((nth * 7) % 11) as f64);
            match event {
                Between::Fire(i) => {
                    reported.push((format!("a{i}"), at_ms, sim.value.unwrap_or_default()));
                    sim.put(at_ms, &format!("a{i}"), 0, at_ms + 3_600_000, "");
                }
                Between::Resolve(i) => end(&mut sim, at_ms, &format!("a{i}")),
                Between::Silence(i) => {
                    sim.silence(at_ms, Matcher::equal("alertname", format!("a{i}")), at_ms, 3_600_000);
                }
                Between::Inhibit(true) => sim.put(at_ms, "graver", 0, at_ms + 3_600_000, ""),
                Between::Inhibit(false) => end(&mut sim, at_ms, "graver"),
                Between::Reload(i) => {
                    text.clone_from(&files[*i]);
                    sim.reload(at_ms, &text);
                }
                Between::Restart => {
                    sim.restart(at_ms, 1, &text);
                    at_ms += 1;
                }
                Between::Death => sim.is_to_die = true,
                Between::Failures(n) => failures.store(*n, SeqCst),
            }
        }
        for i in 0..3 {
            end(&mut sim, at_ms, &format!("a{i}"));
        }
        // The graver alert may go on: what it inhibits ends all the same.
        sim.run_to(at_ms + 180_000);

        prop_assert_eq!(understated(&sim, &reported), None);

        let mut firing = left_firing(&sim);
        firing.retain(|(who, _)| who != "d/1");
        prop_assert!(firing.is_empty(), "no end told for {firing:?}: {:#?}", sim.batches);
    }
}
