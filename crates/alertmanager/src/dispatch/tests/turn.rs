//! One of several managers: what a reload, flapping and escalation must not do to its turns, and what others claim.

use super::*;
use crate::promise::Promised;

/// A manager among others, that waits so long for those before it.
fn among(wait_ms: i64, config: &str) -> Sim {
    let mut sim = Sim::new(config);
    sim.core.set_turn(Turn { wait_ms, is_ready: true, is_shared: true, me: 1 });
    sim
}

fn file(route: &str, hooks: &str, routes: &str) -> String {
    format!(
        "route: {{receiver: d, group_by: [], group_wait: 1s, group_interval: 1m, repeat_interval: 4h{route}, \
         routes: [{routes}]}}\n\
         receivers: [{{name: d, webhook_configs: [{{url: 'http://h/'}}{hooks}]}}, \
         {{name: e, webhook_configs: [{{url: 'http://i/'}}]}}]\n"
    )
}

/// When whom was told of which alerts.
fn told(sim: &Sim) -> Vec<String> {
    let name = |alert: &String| alert.split(' ').next().unwrap_or_default().to_owned();
    let shown = |(at_ms, who, alerts): &Batch| {
        let names: Vec<String> = alerts.iter().map(name).collect();
        format!("{} {who} {}", at_ms / 1_000, names.join(" "))
    };
    sim.batches.iter().map(shown).collect()
}

#[test]
fn a_reload_moves_no_timer_that_managers_share() {
    let check = |wait_ms: i64, reload_ms: i64, after: &str, expected: &[&str]| {
        let mut sim = among(wait_ms, &file("", "", ""));
        sim.put(1_000, "a1", 1_000, 0, "");
        sim.run_to(reload_ms.min(10_000));
        if reload_ms > 10_000 {
            sim.put(10_000, "a2", 10_000, 0, "");
        }
        sim.reload(reload_ms, after);
        sim.run_to(100_000);
        assert_eq!(told(&sim), expected, "{after}");
    };
    let (same, more) = (file("", "", ""), file("", ", {url: 'http://j/'}", ""));
    check(0, 20_000, &same, &["2 d/0 a1", "62 d/0 a1 a2"]);
    // Who waits its turn goes on waiting.
    check(15_000, 10_000, &same, &["19 d/0 a1"]);
    // Whom nobody told before is told at once.
    check(0, 20_000, &more, &["2 d/0 a1", "20 d/0 a1 a2", "20 d/1 a1 a2"]);
    // The new interval counts where it is over sooner.
    check(
        0,
        20_000,
        &same.replace("group_interval: 1m", "group_interval: 10s"),
        &["2 d/0 a1", "30 d/0 a1 a2"],
    );
}

#[test]
fn a_reload_with_fewer_routes_takes_groups_for_what_they_were() {
    let routes = "{matchers: [alertname=a1], receiver: e}, {matchers: [alertname=a2], receiver: e}";
    let mut sim = among(0, &file("", "", routes));
    sim.put(1_000, "a2", 1_000, 0, "");
    sim.run_to(5_000);
    sim.reload(5_000, &file("", "", ""));
    sim.run_to(20_000);
    assert_eq!(told(&sim), ["2 e/0 a2", "5 d/0 a2"]);
}

#[test]
fn what_begins_to_flap_while_a_manager_waits_is_for_its_next_look() {
    let text = file(", hinomi: {flap: {changes: 3, within: 60s, stable: 100s}}", "", "");
    let mut sim = among(5_000, &text.replace("group_interval: 1m", "group_interval: 10s"));
    sim.put(1_000, "a1", 1_000, 0, "");
    // Looked at from 12 to 17, it turns twice meanwhile; the next look is due at 15 and waits till 20.
    sim.put(13_000, "a1", 1_000, 13_000, "");
    sim.put(14_000, "a1", 14_000, 0, "");
    sim.run_to(100_000);
    assert_eq!(told(&sim), ["9 d/0 a1", "22 d/0 a1"]);
}

#[test]
fn one_escalation_does_not_put_off_the_next() {
    let text = file(", hinomi: {escalate: [{after: 20s, receiver: e}]}", "", "");
    let mut sim = among(0, &text.replace("group_interval: 1m", "group_interval: 5s"));
    sim.put(1_000, "a1", 1_000, 0, "");
    sim.put(3_000, "a2", 3_000, 0, "");
    sim.run_to(60_000);
    assert_eq!(told(&sim), ["2 d/0 a1", "7 d/0 a1 a2", "22 e/0 a1", "27 e/0 a1 a2"]);
}

#[test]
fn who_hears_a_claim_holds_until_that_is_told_or_holds_no_more() {
    // How long it waits itself; when another claims, and how long that waits; whether that tells, a second later.
    let check = |wait_ms, (claimed_ms, waited_ms), tells, expected: &[&str]| {
        let mut sim = among(wait_ms, &file("", "", ""));
        sim.put(1_000, "a1", 1_000, 0, "");
        sim.run_to(claimed_ms);
        let key = NotifyKey {
            group_key: "{}:{}".to_owned(),
            receiver: "d".to_owned(),
            integration: "webhook".to_owned(),
            idx: 0,
        };
        sim.core.merge(vec![Record::Claimed(key.clone())], Some(waited_ms), sim.now_ms);
        if tells {
            sim.run_to(claimed_ms + 1_000);
            let entry = Entry {
                sent_at_ms: sim.now_ms,
                expires_at_ms: i64::MAX,
                firing: sim.core.alerts.keys().copied().collect(),
                resolved: BTreeSet::new(),
                issued: Issued::new(),
                since: Issued::new(),
                data: ReceiverData::new(),
            };
            sim.core.merge(vec![Record::Notified(key, entry)], Some(waited_ms), sim.now_ms);
        }
        sim.run_to(40_000);
        assert_eq!(told(&sim), expected, "{wait_ms} {claimed_ms} {waited_ms} {tells}");
    };
    // Looked at from 2 s on, its turn comes at 17, and it listens until 19.
    check(15_000, (18_000, 0), true, &[]);
    check(15_000, (18_000, 0), false, &["25 d/0 a1"]);
    check(15_000, (18_000, 30_000), false, &["19 d/0 a1"]);
    check(15_000, (3_000, 30_000), false, &["19 d/0 a1"]);
    // Who waits for nobody holds where another was first.
    check(0, (1_500, 15_000), true, &[]);
    check(0, (1_500, 15_000), false, &["6 d/0 a1"]);
}

#[test]
fn the_end_of_what_begins_to_flap_while_a_manager_waits_is_for_its_next_look() {
    let text = file(", hinomi: {flap: {changes: 3, within: 60s, stable: 100s}}", "", "");
    let mut sim = among(5_000, &text.replace("group_interval: 1m", "group_interval: 10s"));
    sim.put(1_000, "a1", 1_000, 0, "");
    // Its end is looked at from 12 on; it fires again before that is told.
    sim.put(11_000, "a1", 1_000, 11_000, "");
    sim.put(13_000, "a1", 13_000, 0, "");
    sim.run_to(100_000);
    assert_eq!(told(&sim), ["9 d/0 a1", "21 d/0 a1"]);
    assert_eq!(sim.ends, []);
}

#[test]
fn an_end_that_only_the_disk_knows_is_not_told_before_it_could_be_reported() {
    let config = file("", "", "");
    let mut sim = among(0, &config);
    sim.put(1_000, "a1", 1_000, 0, "");
    sim.put(10_000, "a1", 1_000, 10_000, "");
    sim.restart(80_000, 1_000, &config);
    sim.core.set_turn(Turn { wait_ms: 0, is_ready: true, is_shared: true, me: 1 });
    // Another manager told of a later firing meanwhile.
    let key = sim.core.promises.said_after(None).next().expect("it was told").key;
    let said = Promised {
        firing: sim.core.alerts.keys().copied().collect(),
        ..Promised::new(key, Labels::empty(), sim.now_ms, 2)
    };
    sim.core.merge(vec![Record::Promised(said)], Some(15_000), sim.now_ms);
    sim.run_to(170_000);
    assert_eq!(told(&sim), ["2 d/0 a1", "62 d/0 a1"]);
    // Nobody reports it: it is over.
    sim.run_to(200_000);
    assert_eq!(told(&sim), ["2 d/0 a1", "62 d/0 a1", "171 d/0 a1"]);
}
