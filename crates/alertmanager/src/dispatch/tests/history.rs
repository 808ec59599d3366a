//! What the history says of what the core does: each change once, and nothing of what did not change.

use super::*;
use crate::history::{Event, Kind, What};

const CONFIG: &str = r#"
route:
  receiver: team
  group_by: [alertname]
  group_wait: 1s
  group_interval: 10s
  repeat_interval: 1h
  routes:
    - matchers: [alertname="Night"]
      mute_time_intervals: [always]
inhibit_rules:
  - source_matchers: [alertname="Host"]
    target_matchers: [alertname="Service"]
time_intervals:
  - name: always
    time_intervals: [{years: ["2000:2100"]}]
receivers:
  - name: team
    webhook_configs: [{url: "http://localhost:1/", send_resolved: true}]
"#;

fn word(event: &Event) -> (i64, String) {
    let text = match &event.what {
        What::Alert { kind, alert, .. } => format!("{} {}", kind.word(), alert.name()),
        What::Group { kind, by, .. } => format!("{} {}", kind.word(), by.join(",")),
        What::Silence { kind, silence } => format!("{} {}", kind.word(), silence.comment),
        What::Attempt(attempted) => format!(
            "{} {} {} {}",
            attempted.kind.word(),
            attempted.attempt,
            attempted.reason,
            attempted.error
        )
        .trim_end()
        .to_owned(),
        What::Dropped(n) => format!("{} {n}", Kind::Dropped.word()),
    };
    (event.at_ms - T0, text)
}

/// What happened since the last look, the pass of the gauges included.
fn check(sim: &mut Sim, expected: &[(i64, &str)]) {
    let (_, after) = sim.core.look_around(None, sim.now_ms);
    assert_eq!(after, None, "so few are looked at at once");
    let got: Vec<(i64, String)> = sim.core.take_events().iter().map(word).collect();
    let expected: Vec<(i64, String)> = expected.iter().map(|(at, text)| (*at, (*text).to_owned())).collect();
    assert_eq!(got, expected);
}

#[test]
fn an_alert_begins_is_told_ends_and_comes_back() {
    let mut sim = Sim::new(CONFIG);
    sim.put(0, "A", 0, 0, "");
    for at_ms in [100, 200, 300] {
        sim.put(at_ms, "A", 0, 0, "");
    }
    sim.run_to(2_000);
    check(&mut sim, &[(0, "firing A"), (1_000, "sent 1 first notification")]);
    check(&mut sim, &[]);
    sim.put(3_000, "A", 0, 2_500, "");
    sim.put(3_100, "A", 0, 2_500, "");
    sim.run_to(12_000);
    check(&mut sim, &[(3_000, "resolved A"), (11_000, "sent 1 all alerts resolved")]);
    sim.put(13_000, "A", 13_000, 20_000, "");
    sim.run_to(30_000);
    check(
        &mut sim,
        &[
            (13_000, "firing_again A"),
            (14_000, "sent 1 first notification"),
            (24_000, "sent 1 all alerts resolved"),
            (30_000, "expired A"),
        ],
    );
}

#[test]
fn what_holds_back_is_said_once_when_it_begins_and_when_it_ends() {
    let mut sim = Sim::new(CONFIG);
    sim.put(0, "Service", 0, 0, "");
    sim.put(0, "Host", 0, 0, "");
    sim.put(0, "Night", 0, 0, "");
    sim.run_to(2_000);
    check(
        &mut sim,
        &[
            (0, "firing Service"),
            (0, "firing Host"),
            (0, "firing Night"),
            (1_000, "inhibited Service"),
            (1_000, "muted always"),
            (1_000, "sent 1 first notification"),
        ],
    );
    sim.put(3_000, "Host", 0, 2_500, "");
    check(&mut sim, &[(3_000, "resolved Host"), (3_000, "uninhibited Service")]);
    sim.run_to(60_000);
    let events = sim.core.take_events();
    let n_muted = events.iter().filter(|event| word(event).1.contains("muted")).count();
    assert_eq!(n_muted, 0, "it is muted still, which is no news");
}

#[test]
fn silences_are_said_and_what_they_hide() {
    let mut sim = Sim::new(CONFIG);
    sim.put(0, "A", 0, 0, "");
    let silence = |ends_ms| Silence {
        id: String::new(),
        matchers: vec![Matcher::new(model::MatchOp::Equal, "alertname", "A").expect("good")],
        starts_at_ms: T0,
        ends_at_ms: T0 + ends_ms,
        updated_at_ms: 0,
        created_by: "me".into(),
        comment: "why".into(),
        annotations: BTreeMap::new(),
    };
    sim.core.set_silence(silence(5_000), "one".into(), T0).expect("good");
    sim.run_to(2_000);
    check(&mut sim, &[(0, "firing A"), (0, "silence_made why"), (1_000, "silenced A")]);
    let known = sim.core.silences.get("one").expect("made").clone();
    sim.core
        .set_silence(Silence { ends_at_ms: T0 + 6_000, ..known }, String::new(), T0 + 2_000)
        .expect("good");
    check(&mut sim, &[(2_000, "silence_changed why")]);
    sim.run_to(7_000);
    check(&mut sim, &[(7_000, "unsilenced A"), (7_000, "silence_ended why")]);
    sim.core.set_silence(silence(50_000), "two".into(), T0 + 7_000).expect("good");
    sim.core.expire_silence("two", T0 + 8_000).expect("there");
    sim.now_ms = T0 + 8_000;
    check(&mut sim, &[(7_000, "silence_made why"), (8_000, "silence_ended why")]);
}

#[test]
fn every_attempt_is_said_and_how_it_ended() {
    let mut sim = Sim::new(CONFIG);
    let failed = |is_retryable| Outcome::Failed {
        is_retryable,
        reason: Reason::Server,
        message: "503 busy".into(),
        wait_ms: 0,
    };
    let mut n = 0;
    sim.answer = Box::new(move |_, _| {
        n += 1;
        match n {
            1 => failed(true),
            2 => Outcome::delivered(),
            _ => failed(false),
        }
    });
    sim.put(0, "A", 0, 0, "");
    sim.run_to(9_000);
    let said: Vec<String> = sim.core.take_events().iter().map(|event| word(event).1).collect();
    assert_eq!(said, ["firing A", "retry 1 serverError 503 busy", "sent 2 first notification"]);
    sim.put(9_500, "A", 0, 9_200, "");
    sim.run_to(12_000);
    let said: Vec<String> = sim.core.take_events().iter().map(|event| word(event).1).collect();
    assert_eq!(said, ["resolved A", "failed 1 serverError 503 busy"]);
}

#[test]
fn a_restart_says_nothing_twice() {
    let mut sim = Sim::new(CONFIG);
    sim.put(0, "A", 0, 0, "");
    sim.run_to(2_000);
    check(&mut sim, &[(0, "firing A"), (1_000, "sent 1 first notification")]);
    let mut core = new_core(CONFIG, sim.now_ms);
    let metrics = Arc::clone(&core.metrics);
    let _ = Store::open(Arc::new(sim.dir.clone()), &mut core, metrics, sim.now_ms);
    core.know_what_stands(sim.now_ms);
    sim.core = core;
    sim.put(3_000, "A", 0, 0, "");
    check(&mut sim, &[]);
    sim.put(4_000, "A", 0, 3_500, "");
    check(&mut sim, &[(4_000, "resolved A")]);
}

#[test]
fn many_alerts_are_looked_at_in_turns() {
    let mut sim = Sim::new(CONFIG);
    const N: u32 = 9_000;
    for nth in 0..N {
        sim.put(0, &format!("A{nth}"), 0, 0, "");
    }
    sim.core.take_events();
    let (mut n_active, mut n_turns, mut after) = (0, 0, None);
    loop {
        let (counts, last) = sim.core.look_around(after, sim.now_ms);
        (n_active, n_turns, after) = (n_active + counts.n_active, n_turns + 1, last);
        if after.is_none() {
            break;
        }
    }
    assert_eq!((n_active, n_turns), (N, 3));
    assert!(sim.core.take_events().is_empty(), "nothing is new");
}
