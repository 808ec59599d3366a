//! Why an alert is quiet: what explain and the history say of escalation, flapping, dependencies, success and maintenance.

use super::*;
use crate::history::{Kind, What};

/// `TOP` is what the file says under `hinomi`, `OWN` what the route does.
const FILE: &str = "route: {receiver: d, group_by: [alertname], group_wait: 1s, group_interval: 10s, repeat_interval: 1h, hinomi: {OWN}}\n\
    receivers: [{name: d, webhook_configs: [{url: 'http://a/'}]}, {name: e, webhook_configs: [{url: 'http://b/'}]}]\n\
    hinomi: {TOP}\n";

fn sim(top: &str, own: &str) -> Sim {
    Sim::new(&FILE.replace("TOP", top).replace("OWN", own))
}

/// What would hold an alert back now, as `kind` or `kind until second`; and further receivers, as `then who`.
fn holds(sim: &Sim, pairs: Pairs<'_>) -> Vec<String> {
    let labels = Labels::from_pairs(pairs.iter().copied());
    let explained = serde_json::to_value(sim.core.explain(&labels, true, sim.now_ms)).expect("JSON");
    let second = |value: &serde_json::Value| {
        let at_ms = crate::time::parse_rfc3339(value.as_str()?)?;
        Some((at_ms - T0) / 1_000)
    };
    let taken = &explained["taken"][0];
    let hold = |hold: &serde_json::Value| {
        let kind = hold["kind"].as_str().expect("a kind").to_owned();
        second(&hold["endsAt"]).map_or(kind.clone(), |at_s| format!("{kind} until {at_s}"))
    };
    let step = |step: &serde_json::Value| {
        let who = step["receiver"].as_str().unwrap_or_default();
        match second(&step["at"]) {
            Some(at_s) => format!("then {who} at {at_s}"),
            None => format!("then {who}, told {}", step["told"]),
        }
    };
    let list = |key: &str| taken[key].as_array().cloned().unwrap_or_default();
    list("holds").iter().map(hold).chain(list("escalation").iter().map(step)).collect()
}

/// What the history says since the last question but for messages and alerts that come and go, as `second kind by`.
fn happened(sim: &mut Sim) -> Vec<String> {
    sim.core.look_around(None, sim.now_ms);
    let events = sim.core.take_events().into_iter().filter_map(|event| {
        let at_s = (event.at_ms - T0) / 1_000;
        match event.what {
            What::Alert {
                kind: Kind::Firing | Kind::FiringAgain | Kind::Resolved | Kind::Expired, ..
            } => None,
            What::Alert { kind, by, .. } => Some(format!("{at_s} {} {}", kind.word(), by.join(","))),
            What::Silence { kind, silence } => Some(format!("{at_s} {} {}", kind.word(), silence.comment)),
            _ => None,
        }
    });
    events.map(|text| text.trim_end().to_owned()).collect()
}

const A: Pairs<'_> = &[("alertname", "a"), ("instance", "h")];

#[test]
fn escalation_is_explained_and_kept() {
    let mut sim = sim("", "escalate: [{after: 1m, receiver: e}]");
    sim.put_labels(1_000, A, 1_000, 3_600_000, "");
    sim.run_to(10_000);
    assert_eq!(holds(&sim, A), ["then e at 62"]);
    sim.run_to(80_000);
    assert_eq!(holds(&sim, A), ["then e, told true"]);
    assert_eq!(happened(&mut sim), ["62 escalated e"]);
}

#[test]
fn flapping_is_explained_and_kept() {
    let mut sim = sim("", "flap: {changes: 3, within: 1m, stable: 30s}");
    for at_s in [1, 11] {
        sim.put_labels(at_s * 1_000, A, at_s * 1_000, 3_600_000, "");
        if at_s == 1 {
            sim.put_labels(5_000, A, 1_000, 5_000, "");
        }
    }
    assert_eq!(holds(&sim, A), ["flapping until 41"]);
    sim.run_to(60_000);
    assert!(holds(&sim, A).is_empty());
    let kept = happened(&mut sim);
    assert_eq!(kept[0], "11 flapping d");
    assert!(kept[1].ends_with("stable d"), "{kept:?}");
}

#[test]
fn a_dependency_is_no_inhibition() {
    let parent: Pairs<'_> = &[("alertname", "HostDown"), ("instance", "h")];
    let top = "dependencies: [{parents: [alertname=HostDown], equal: [instance], wait: 20s}]";
    let mut sim = sim(top, "");
    sim.put_labels(1_000, A, 1_000, 3_600_000, "");
    sim.run_to(2_000);
    assert_eq!(holds(&sim, A), ["dependency until 21"]);
    sim.put_labels(10_000, parent, 10_000, 3_600_000, "");
    sim.run_to(12_000);
    assert_eq!(holds(&sim, A), ["dependency", "dependency until 21"]);
    let id = Fingerprint::of(&Labels::from_pairs(parent.iter().copied()));
    assert_eq!(happened(&mut sim), ["2 dependency_held".to_owned(), format!("12 dependency_held {id}")]);
    sim.put_labels(30_000, parent, 10_000, 30_000, "");
    sim.run_to(60_000);
    assert!(holds(&sim, A).is_empty());
    assert_eq!(happened(&mut sim), [format!("60 dependency_freed {id}")]);
}

#[test]
fn an_awaited_success_and_a_host_that_is_away_are_explained_and_kept() {
    let mut sim = sim("", "success_duration: 1m");
    sim.is_active = Box::new(|at_ms, _| Some(at_ms > 200_000));
    sim.put_labels(1_000, A, 1_000, 0, "");
    sim.put_labels(10_000, A, 1_000, 10_000, "");
    assert_eq!(holds(&sim, A), ["success until 70"]);
    sim.run_to(100_000);
    assert!(holds(&sim, A)[0].starts_with("success until"), "{:?}", holds(&sim, A));
    sim.run_to(300_000);
    assert!(holds(&sim, A).is_empty());
    let kept: Vec<String> =
        happened(&mut sim).iter().map(|text| text.split(' ').skip(1).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(kept, ["success_awaited d", "host_away h", "host_back h"]);
}

#[test]
fn a_host_that_never_comes_back_does_not_keep_its_alerts_for_ever() {
    for (top, expected) in [("host_gone: 10m", 1), ("host_gone: 0s", 0), ("", 0)] {
        let mut sim = sim(top, "success_duration: 1m");
        sim.is_active = Box::new(|_, _| Some(false));
        sim.put_labels(1_000, A, 1_000, 0, "");
        sim.put_labels(10_000, A, 1_000, 10_000, "");
        sim.run_to(600_000);
        assert_eq!(sim.ends.len(), 0, "{top}");
        sim.run_to(700_000);
        let (ends, views) = (sim.ends.len(), sim.core.watched_views(|_| true, sim.now_ms).len());
        assert_eq!((ends, views), (expected, 1 - expected), "{top}");
    }
}

#[test]
fn a_run_of_maintenance_is_called_so() {
    let top = "maintenance: [{name: patches, matchers: [alertname=a], start: '2023-11-14T22:14', duration: 1m, owner: o, reason: why}]";
    let mut sim = sim(top, "");
    sim.put_labels(1_000, A, 1_000, 3_600_000, "");
    sim.run_to(50_000);
    assert_eq!(holds(&sim, A), ["maintenance until 100"]);
    let begun = happened(&mut sim);
    assert!(begun.contains(&"50 maintenance_begun Maintenance \"patches\": why".to_owned()), "{begun:?}");
    sim.run_to(110_000);
    let ended = happened(&mut sim);
    assert!(ended.contains(&"110 maintenance_ended Maintenance \"patches\": why".to_owned()), "{ended:?}");
}

#[test]
fn what_every_route_ignores_is_ignored() {
    let ignore =
        "ignore: [{matchers: ['alertname=a'], owner: ann, ends: '2030-01-01T00:00:00Z', reason: old}]";
    let sim = sim("", ignore);
    let owner = |name: &str| {
        let labels = Labels::from_pairs([("alertname", name)]);
        sim.core.ignored_everywhere(&labels, sim.now_ms).map(|ignore| ignore.owner.clone())
    };
    assert_eq!((owner("a").as_deref(), owner("b")), (Some("ann"), None));
}
