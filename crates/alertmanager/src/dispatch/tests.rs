//! Timed scenarios on the sync core: upstream's acceptance tests as data, then reload, restart and a property.

mod history;
mod noted;
mod oncall;
mod promises;
mod reasons;
mod turn;
mod watched;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use model::{Labels, Matcher, Measured};
use proptest::prelude::*;
use stdx::metrics::Registry;
use stdx::{Dir, MemDir};

use super::*;
use crate::state::Store;

/// Second 0 of every scenario, in Unix milliseconds.
const T0: i64 = 1_700_000_000_000;

/// What a receiver got: when, whom, alerts as `name start-end annotation`.
type Batch = (i64, String, Vec<String>);

type Answer = Box<dyn FnMut(i64, &str) -> Outcome>;
type IsActive = Box<dyn FnMut(i64, &str) -> Option<bool>>;
type Pairs<'a> = &'a [(&'a str, &'a str)];

struct Sim {
    core: Core,
    store: Store,
    dir: MemDir,
    now_ms: i64,
    batches: Vec<Batch>,
    /// Decides what a receiver answers.
    answer: Answer,
    /// Decides whether a host sends samples.
    is_active: IsActive,
    /// Whether the manager dies when its next message has been answered, before it hears of that.
    is_to_die: bool,
    /// What the next reports say of their value.
    value: Option<f64>,
    /// Ends that were told: name, beginning, end, value.
    ends: Vec<(String, i64, i64, Option<Measured>)>,
}

fn new_core(config: &str, start_ms: i64) -> Core {
    let config = Arc::new(Config::parse("test.yml", config).expect("a good configuration"));
    let options = CoreOptions { retention_ms: 120 * 3_600_000, start_ms, limits: Limits::default() };
    Core::new(config, options, Arc::new(Metrics::new(&Registry::new())))
}

/// In milliseconds after second 0; `-` while firing.
fn shown(snapshot: &Snapshot) -> String {
    let alert = &snapshot.alert;
    let end = if snapshot.is_firing { "-".to_owned() } else { (alert.ends_at_ms - T0).to_string() };
    let note = alert.annotations.get("ann").map(|note| format!(" {note}")).unwrap_or_default();
    format!("{} {}..{end}{note}", alert.name(), alert.starts_at_ms - T0)
}

impl Sim {
    fn new(config: &str) -> Self {
        let mut core = new_core(config, T0);
        let dir = MemDir::new();
        let metrics = Arc::clone(&core.metrics);
        let store = Store::open(Arc::new(dir.clone()), &mut core, metrics, T0);
        let answer = Box::new(|_: i64, _: &str| Outcome::delivered());
        let is_active = Box::new(|_: i64, _: &str| Some(true));
        Self {
            core,
            store,
            dir,
            now_ms: T0,
            batches: Vec::new(),
            answer,
            is_active,
            is_to_die: false,
            value: None,
            ends: Vec::new(),
        }
    }

    /// Steps from deadline to deadline until `at_ms` after second 0.
    fn run_to(&mut self, at_ms: i64) {
        let end_ms = T0 + at_ms;
        loop {
            let next_ms = self.core.next_deadline_ms().max(self.now_ms);
            if next_ms > end_ms {
                break;
            }
            self.now_ms = next_ms;
            self.step();
        }
        self.now_ms = end_ms;
        self.save();
    }

    fn step(&mut self) {
        let actions = self.core.poll(self.now_ms);
        self.save();
        for action in actions {
            let (job, integration, notification) = match action {
                Action::Send { job, integration, notification, .. } => (job, integration, notification),
                Action::AskHosts { hosts, .. } => {
                    let asked = hosts.into_iter().map(|host| {
                        let is_active = (self.is_active)(self.now_ms - T0, &host.value);
                        (host, is_active)
                    });
                    self.core.on_hosts(asked.collect(), self.now_ms);
                    continue;
                }
            };
            let who = format!("{}/{}", integration.receiver, integration.idx);
            let outcome = (self.answer)(self.now_ms - T0, &who);
            if outcome == Outcome::delivered() {
                let alerts = notification.alerts.iter().map(shown).collect();
                let ended = notification.alerts.iter().filter(|snapshot| !snapshot.is_firing);
                self.ends.extend(ended.map(|snapshot| {
                    let alert = &snapshot.alert;
                    (alert.name().to_owned(), alert.starts_at_ms - T0, alert.ends_at_ms - T0, alert.measured)
                }));
                self.batches.push((self.now_ms - T0, who, alerts));
            }
            if std::mem::take(&mut self.is_to_die) {
                self.come_back(1, &self.core.config.original.clone());
                return;
            }
            self.core.on_outcome(job, &outcome, self.now_ms);
        }
        self.save();
    }

    fn save(&mut self) {
        let journal = self.core.take_journal();
        self.store.append(&self.core, &journal, self.now_ms);
    }

    /// Reports at `at_ms`: name, start, end (0 for «not said», filled in as the API does), annotation.
    /// How many of the next messages fail, every other time beyond a retry.
    fn failures(&mut self) -> Arc<AtomicU8> {
        let failures = Arc::new(AtomicU8::new(0));
        let left = Arc::clone(&failures);
        self.answer = Box::new(move |at_ms, _| {
            if left.load(SeqCst) == 0 {
                return Outcome::delivered();
            }
            left.fetch_sub(1, SeqCst);
            let is_retryable = at_ms % 2 == 0;
            Outcome::Failed { is_retryable, reason: Reason::Server, message: "no".into(), wait_ms: 0 }
        });
        failures
    }

    fn put(&mut self, at_ms: i64, name: &str, start_ms: i64, end_ms: i64, note: &str) {
        self.put_labels(at_ms, &[("alertname", name)], start_ms, end_ms, note);
    }

    fn put_labels(&mut self, at_ms: i64, labels: &[(&str, &str)], start_ms: i64, end_ms: i64, note: &str) {
        self.run_to(at_ms);
        let resolve_timeout_ms = self.core.config.resolve_timeout_ms;
        let alert = Alert {
            labels: Labels::from_pairs(labels.iter().copied()),
            annotations: Labels::from_pairs([("ann", note)]),
            starts_at_ms: T0 + [start_ms, end_ms, at_ms].into_iter().find(|ms| *ms != 0).unwrap_or(0),
            ends_at_ms: if end_ms == 0 { self.now_ms + resolve_timeout_ms } else { T0 + end_ms },
            generator_url: String::new(),
            updated_at_ms: self.now_ms,
            is_timeout: end_ms == 0,
            measured: self.value.map(|value| Measured {
                value: Some(value),
                peak: value,
                lower_is_worse: false,
            }),
        };
        assert_eq!(self.core.put_alert(alert, self.now_ms), Ok(()));
    }

    fn reload(&mut self, at_ms: i64, config: &str) {
        self.run_to(at_ms);
        let config = Arc::new(Config::parse("test.yml", config).expect("a good configuration"));
        self.core.reload(config, self.now_ms);
    }

    /// As `kill -9` and a start some time later.
    fn restart(&mut self, at_ms: i64, down_ms: i64, config: &str) {
        self.run_to(at_ms);
        self.come_back(down_ms, config);
    }

    fn come_back(&mut self, down_ms: i64, config: &str) {
        let image = self.dir.kill_image();
        self.now_ms += down_ms;
        self.core = new_core(config, self.now_ms);
        let metrics = Arc::clone(&self.core.metrics);
        self.store = Store::open(Arc::new(image.clone()), &mut self.core, metrics, self.now_ms);
        self.dir = image;
    }

    fn silence(&mut self, at_ms: i64, matcher: Matcher, start_ms: i64, end_ms: i64) -> String {
        self.run_to(at_ms);
        let silence = Silence {
            id: String::new(),
            matchers: vec![matcher],
            starts_at_ms: T0 + start_ms,
            ends_at_ms: T0 + end_ms,
            updated_at_ms: 0,
            created_by: String::new(),
            comment: String::new(),
            annotations: BTreeMap::new(),
        };
        self.core.set_silence(silence, format!("silence-{at_ms}"), self.now_ms).expect("a good silence")
    }

    /// Each expected batch: window, who, alerts. Nothing else may have come.
    fn check(&self, expected: &[((i64, i64), &str, &[&str])]) {
        let mut left = self.batches.clone();
        for ((from_ms, to_ms), who, alerts) in expected {
            let is_it = |batch: &Batch| {
                (*from_ms..=*to_ms).contains(&batch.0) && batch.1 == *who && batch.2 == *alerts
            };
            match left.iter().position(is_it) {
                Some(idx) => drop(left.remove(idx)),
                None => panic!("missing {who} {from_ms}..{to_ms} {alerts:?} in {:#?}", self.batches),
            }
        }
        assert!(left.is_empty(), "too many: {left:#?}");
    }
}

fn config(route: &str, rest: &str) -> String {
    format!(
        "route: {{receiver: d, group_by: [], group_wait: 1s, group_interval: 1s, repeat_interval: 1ms{route}}}\n\
         receivers: [{{name: d, webhook_configs: [{{url: 'http://h/'}}]}}]\n{rest}"
    )
}

#[test]
fn reports_of_one_episode_are_one_alert() {
    for with_end in [false, true] {
        let mut sim = Sim::new(&config("", ""));
        let end = |start_ms: i64| if with_end { start_ms + 3_000 } else { 0 };
        sim.put(1_000, "a", 1_100, end(1_100), "");
        sim.put(1_200, "a", 1_000, end(1_000), "");
        sim.put(2_100, "a", 2_000, end(2_000), "v1");
        sim.put(3_600, "a", 1_500, end(1_500), "v2");
        sim.put(4_600, "a", 1_000, 4_500, "");
        sim.put(4_800, "a", 1_000, 4_800, "");
        sim.put(4_800, "a", 1_000, 4_100, "v3");
        sim.put(5_300, "a", 5_000, end(5_000), "");
        sim.run_to(6_400);
        sim.check(&[
            ((2_000, 2_500), "d/0", &["a 1000..-"]),
            ((3_000, 3_500), "d/0", &["a 1000..- v1"]),
            ((4_000, 4_500), "d/0", &["a 1000..- v2"]),
            ((5_000, 5_500), "d/0", &["a 1000..4800 v3"]),
            // A group that was emptied starts anew, with its wait.
            ((6_000, 6_500), "d/0", &["a 5000..-"]),
        ]);
    }
}

/// As in Alertmanager, whose log has the time of the answer and whose looks that of their timer: a message is never said again
/// at the very multiple, also where a look is some milliseconds late and the first one was not.
#[test]
fn a_repeat_comes_at_the_look_behind_its_interval() {
    let text = config("", "")
        .replace("group_interval: 1s, repeat_interval: 1ms", "group_interval: 2s, repeat_interval: 4s");
    let mut sim = Sim::new(&text);
    sim.put(1_000, "a", 1_000, 0, "");
    sim.run_to(2_001);
    for look_ms in [4_000, 6_000] {
        sim.now_ms = T0 + look_ms + 3;
        sim.step();
    }
    sim.run_to(8_001);
    let at: Vec<i64> = sim.batches.iter().map(|batch| batch.0).collect();
    assert_eq!(at, [2_000, 8_000]);
}

#[test]
fn firing_alerts_are_repeated() {
    let mut sim = Sim::new(&config("", ""));
    sim.put(1_000, "a", 1_000, 0, "");
    sim.put(3_500, "a", 0, 3_000, "");
    sim.run_to(10_000);
    sim.check(&[
        ((2_000, 2_500), "d/0", &["a 1000..-"]),
        ((3_000, 3_500), "d/0", &["a 1000..-"]),
        ((4_000, 4_500), "d/0", &["a 1000..3000"]),
    ]);
}

const TWO: &str = "receivers: [{name: d, webhook_configs: [{url: 'http://a/'}, {url: 'http://b/', send_resolved: SECOND}]}]\n";

#[test]
fn a_receiver_that_drops_is_told_later_and_the_other_not_twice() {
    let text = format!(
        "route: {{receiver: d, group_by: [], group_wait: 1s, group_interval: 2s, repeat_interval: 3s}}\n{}",
        TWO.replace("SECOND", "true")
    );
    let mut sim = Sim::new(&text);
    sim.answer = Box::new(|at_ms, who| {
        if who == "d/1" && at_ms < 4_500 {
            return Outcome::Failed {
                is_retryable: false,
                reason: Reason::Client,
                message: "no".into(),
                wait_ms: 0,
            };
        }
        Outcome::delivered()
    });
    sim.put(1_000, "a", 1_000, 0, "");
    sim.run_to(7_000);
    sim.check(&[
        ((2_000, 2_500), "d/0", &["a 1000..-"]),
        ((6_000, 6_500), "d/0", &["a 1000..-"]),
        ((6_000, 6_500), "d/1", &["a 1000..-"]),
    ]);
}

#[test]
fn a_server_in_trouble_is_tried_again_within_the_flush() {
    let mut sim = Sim::new(
        &config(", group_interval: 60s, repeat_interval: 1h", "")
            .replace("group_interval: 1s, repeat_interval: 1ms, ", ""),
    );
    let mut n_attempts = 0;
    sim.answer = Box::new(move |_, _| {
        n_attempts += 1;
        if n_attempts <= 4 {
            return Outcome::Failed {
                is_retryable: true,
                reason: Reason::Server,
                message: "503".into(),
                wait_ms: 0,
            };
        }
        Outcome::delivered()
    });
    sim.put(1_000, "a", 1_000, 0, "");
    sim.run_to(60_000);
    // Waits of about 0.5, 0.75, 1.1 and 1.7 s, each scattered by half.
    sim.check(&[((4_000, 8_200), "d/0", &["a 1000..-"])]);
}

#[test]
fn alerts_gather_in_one_message() {
    let mut sim = Sim::new(&config("", "").replace("repeat_interval: 1ms", "repeat_interval: 4900ms"));
    sim.put(1_100, "a1", 1_100, 0, "");
    sim.put(1_700, "a5", 1_700, 0, "");
    for name in ["a2", "a3", "a4"] {
        sim.put(3_300, name, 3_300, 0, "");
    }
    sim.run_to(9_500);
    let five: &[&str] = &["a1 1100..-", "a2 3300..-", "a3 3300..-", "a4 3300..-", "a5 1700..-"];
    sim.check(&[
        ((2_000, 2_500), "d/0", &["a1 1100..-", "a5 1700..-"]),
        ((4_100, 4_500), "d/0", five),
        ((9_100, 9_500), "d/0", five),
    ]);
}

#[test]
fn alerts_that_are_not_sent_again_resolve() {
    let text = config("", "global: {resolve_timeout: 10s}\n")
        .replace("group_interval: 1s, repeat_interval: 1ms", "group_interval: 5s");
    let mut sim = Sim::new(&text);
    for name in ["a", "b", "c"] {
        sim.put(1_000, name, 0, 0, "");
    }
    sim.run_to(60_000);
    sim.check(&[
        ((2_000, 2_500), "d/0", &["a 1000..-", "b 1000..-", "c 1000..-"]),
        ((12_000, 13_000), "d/0", &["a 1000..11000", "b 1000..11000", "c 1000..11000"]),
    ]);
}

#[test]
fn resolved_alerts_go_only_to_whom_they_are_sent() {
    let text = format!(
        "global: {{resolve_timeout: 10s}}\nroute: {{receiver: d, group_by: [], group_wait: 1s, group_interval: 5s}}\n{}",
        TWO.replace("SECOND", "false")
    );
    let mut sim = Sim::new(&text);
    sim.put(1_000, "v1", 0, 0, "");
    sim.put(1_000, "v2", 0, 0, "");
    sim.put(3_000, "v3", 0, 0, "");
    sim.put(4_000, "v1", 0, 4_000, "");
    sim.put(8_000, "v3", 3_000, 0, "");
    sim.run_to(12_500);
    sim.check(&[
        ((2_000, 2_500), "d/0", &["v1 1000..-", "v2 1000..-"]),
        ((7_000, 7_500), "d/0", &["v1 1000..4000", "v2 1000..-", "v3 3000..-"]),
        ((12_000, 12_500), "d/0", &["v2 1000..11000", "v3 3000..-"]),
        ((2_000, 2_500), "d/1", &["v1 1000..-", "v2 1000..-"]),
        ((7_000, 7_500), "d/1", &["v2 1000..-", "v3 3000..-"]),
    ]);
}

#[test]
fn a_start_delay_gathers_first() {
    let text = config("", "").replace("group_interval: 1s, repeat_interval: 1ms", "group_interval: 6s");
    let mut sim = Sim::new(&text);
    sim.core.start_ms = T0 + 4_500;
    sim.put(1_000, "a1", -100_000, 0, "");
    sim.put(2_000, "a2", 2_000, 0, "");
    sim.reload(5_000, &text);
    sim.put(6_000, "a3", 6_000, 0, "");
    sim.put(7_000, "a4", 7_000, 0, "");
    sim.run_to(12_000);
    sim.check(&[
        ((4_000, 5_000), "d/0", &["a1 -100000..-", "a2 2000..-"]),
        ((11_000, 11_500), "d/0", &["a1 -100000..-", "a2 2000..-", "a3 6000..-", "a4 7000..-"]),
    ]);
}

#[test]
fn a_reload_starts_timers_anew_and_sends_nothing_twice() {
    let text = config("", "").replace("group_interval: 1s, repeat_interval: 1ms", "group_interval: 6s");
    let mut sim = Sim::new(&text);
    sim.put(1_000, "a1", 1_000, 0, "");
    sim.reload(3_000, &text);
    sim.put(4_000, "a2", 4_000, 0, "");
    sim.run_to(14_000);
    sim.check(&[
        ((2_000, 2_500), "d/0", &["a1 1000..-"]),
        ((9_000, 9_500), "d/0", &["a1 1000..-", "a2 4000..-"]),
    ]);
}

const INHIBIT: &str = "inhibit_rules: [{source_matchers: ['alertname=JobDown'], target_matchers: ['alertname=InstanceDown'], equal: [job, zone]}]\n";

#[test]
fn a_graver_alert_silences_until_it_resolves() {
    let mut sim = Sim::new(&config("", INHIBIT).replace("repeat_interval: 1ms", "repeat_interval: 1s"));
    let (aa, ab): (Pairs<'_>, Pairs<'_>) = (
        &[("alertname", "InstanceDown"), ("job", "j"), ("zone", "aa")],
        &[("alertname", "InstanceDown"), ("job", "j"), ("zone", "ab")],
    );
    let job: &[(&str, &str)] = &[("alertname", "JobDown"), ("job", "j"), ("zone", "aa")];
    sim.put_labels(1_000, &[("alertname", "test1"), ("job", "j"), ("zone", "aa")], 1_000, 0, "");
    sim.put_labels(1_000, aa, 1_000, 0, "");
    sim.put_labels(1_000, ab, 1_000, 0, "");
    sim.put_labels(2_200, job, 2_200, 0, "");
    sim.put_labels(3_600, job, 2_200, 3_600, "");
    sim.run_to(4_500);
    sim.check(&[
        ((2_000, 2_500), "d/0", &["InstanceDown 1000..-", "InstanceDown 1000..-", "test1 1000..-"]),
        ((3_000, 3_500), "d/0", &["InstanceDown 1000..-", "JobDown 2200..-", "test1 1000..-"]),
        (
            (4_000, 4_500),
            "d/0",
            &["InstanceDown 1000..-", "InstanceDown 1000..-", "JobDown 2200..3600", "test1 1000..-"],
        ),
    ]);
}

#[test]
fn source_and_target_resolve_together() {
    let mut sim = Sim::new(&config("", INHIBIT).replace("repeat_interval: 1ms", "repeat_interval: 1s"));
    let down: &[(&str, &str)] = &[("alertname", "InstanceDown"), ("job", "j")];
    let job: &[(&str, &str)] = &[("alertname", "JobDown"), ("job", "j")];
    for (at_ms, end_ms) in [(1_000, 0), (2_600, 2_600)] {
        sim.put_labels(at_ms, down, 1_000, end_ms, "");
        sim.put_labels(at_ms, job, 1_000, end_ms, "");
    }
    sim.run_to(6_000);
    sim.check(&[
        ((2_000, 2_500), "d/0", &["JobDown 1000..-"]),
        ((3_000, 3_500), "d/0", &["InstanceDown 1000..2600", "JobDown 1000..2600"]),
    ]);
}

#[test]
fn silences_hide_while_they_last() {
    let mut sim = Sim::new(&config("", ""));
    sim.put(1_000, "a1", 1_000, 0, "");
    sim.put(1_000, "a2", 1_000, 0, "");
    sim.silence(2_300, Matcher::equal("alertname", "a1"), 2_500, 4_500);
    sim.run_to(5_500);
    sim.check(&[
        ((2_000, 2_500), "d/0", &["a1 1000..-", "a2 1000..-"]),
        ((3_000, 3_500), "d/0", &["a2 1000..-"]),
        ((4_000, 4_500), "d/0", &["a2 1000..-"]),
        ((5_000, 5_500), "d/0", &["a1 1000..-", "a2 1000..-"]),
    ]);
}

#[test]
fn an_expired_silence_lets_through() {
    let mut sim = Sim::new(&config("", ""));
    sim.put(1_000, "a1", 1_000, 0, "");
    sim.put(1_000, "a2", 1_000, 0, "");
    let all = Matcher::new(model::MatchOp::Regex, "alertname", ".+").expect("good");
    let id = sim.silence(1_300, all, 1_500, 100_000);
    sim.run_to(3_500);
    sim.core.expire_silence(&id, sim.now_ms).expect("it is there");
    sim.run_to(4_500);
    sim.check(&[((3_500, 4_500), "d/0", &["a1 1000..-", "a2 1000..-"])]);
}

#[test]
fn muted_routes_are_quiet_and_say_why() {
    let text = "route:\n  receiver: d\n  routes: [{matchers: ['x=\"1\"'], mute_time_intervals: [always], group_wait: 0s},\n    \
                {matchers: ['x=\"2\"'], active_time_intervals: [never], group_wait: 0s}]\n\
                receivers: [{name: d, webhook_configs: [{url: 'http://h/'}]}]\n\
                time_intervals: [{name: always, time_intervals: [{}]}, {name: never, time_intervals: [{years: ['1999']}]}]\n";
    let mut sim = Sim::new(text);
    sim.put_labels(1_000, &[("alertname", "a"), ("x", "1")], 0, 0, "");
    sim.put_labels(1_000, &[("alertname", "a"), ("x", "2")], 0, 0, "");
    sim.run_to(3_000);
    sim.check(&[]);
    let muted: Vec<_> = sim.core.group_views().into_iter().map(|view| view.muted_by).collect();
    assert_eq!(muted, [["always"], ["never"]]);
    let by = |pairs: Pairs<'_>| {
        sim.core.muted_everywhere(&Labels::from_pairs(pairs.iter().copied()), sim.now_ms).join(",")
    };
    assert_eq!([by(&[("x", "1")]), by(&[("x", "2")]), by(&[("x", "3")])], ["always", "never", ""]);
}

const SLOW: &str = "route: {receiver: d, group_by: [alertname], group_wait: 1s, group_interval: 5s, repeat_interval: 4h}\n\
                    receivers: [{name: d, webhook_configs: [{url: 'http://h/'}]}]\n";

#[test]
fn a_restart_sends_nothing_twice_and_forgets_nothing() {
    let mut sim = Sim::new(SLOW);
    sim.put(1_000, "kept", 1_000, 240_000, "");
    sim.put(1_000, "ends", 1_000, 240_000, "");
    sim.put(1_000, "hushed", 1_000, 240_000, "");
    sim.silence(1_500, Matcher::equal("alertname", "hushed"), 1_500, 3_600_000);
    sim.put(6_500, "ends", 1_000, 6_400, "");
    // Killed before the end was told, and down for longer than the alerts' own ends.
    sim.restart(6_800, 300_000, SLOW);
    sim.run_to(306_900 + 20_000);
    sim.check(&[
        ((2_000, 2_000), "d/0", &["kept 1000..-"]),
        ((2_000, 2_000), "d/0", &["ends 1000..-"]),
        ((306_800, 307_000), "d/0", &["ends 1000..6400"]),
    ]);
    // What fires still is reported again; what is not, ends after the time to resolve.
    sim.run_to(306_800 + 310_000);
    assert_eq!(sim.batches.last().map(|batch| batch.2.clone()), Some(vec!["kept 1000..606800".to_owned()]));
}

#[test]
fn a_reload_during_an_attempt_sends_nothing_twice() {
    let mut sim = Sim::new(SLOW);
    sim.put(1_000, "a", 1_000, 0, "");
    sim.run_to(1_999);
    sim.now_ms = T0 + 2_000;
    let actions = sim.core.poll(sim.now_ms);
    let [Action::Send { job, .. }] = actions.as_slice() else { panic!("one attempt: {actions:?}") };
    let job = *job;
    sim.reload(2_500, SLOW);
    sim.run_to(4_000);
    assert!(sim.batches.is_empty(), "the attempt under way counts");
    sim.core.on_outcome(job, &Outcome::delivered(), sim.now_ms);
    sim.run_to(60_000);
    sim.check(&[]);
}

#[test]
fn attempts_of_one_receiver_are_bounded() {
    let mut sim = Sim::new(SLOW);
    for i in 0..20 {
        sim.put(1_000, &format!("a{i}"), 1_000, 0, "");
    }
    let started = sim.core.poll(T0 + 2_000);
    assert_eq!(started.len(), RECEIVER_ATTEMPTS_MAX);
    assert!(sim.core.poll(T0 + 2_050).is_empty());
    let Action::Send { job, .. } = &started[0] else { panic!("an attempt: {started:?}") };
    sim.core.on_outcome(*job, &Outcome::delivered(), T0 + 2_060);
    assert_eq!(sim.core.poll(T0 + 2_100).len(), 1);
}

#[test]
fn an_end_that_was_told_is_not_taken_back_by_a_restart() {
    let text = SLOW.replace("route:", "global: {resolve_timeout: 10s}\nroute:");
    let mut sim = Sim::new(&text);
    sim.put(1_000, "a", 1_000, 0, "");
    // It resolves for want of reports, that is told, and the process is killed before its next sign of life.
    sim.run_to(13_000);
    sim.restart(13_500, 1_000, &text);
    sim.run_to(60_000);
    sim.check(&[((2_000, 2_000), "d/0", &["a 1000..-"]), ((12_000, 12_000), "d/0", &["a 1000..11000"])]);
}

/// One thing that happens in a random history.
#[derive(Debug, Clone)]
enum Event {
    Fire(u8),
    Resolve(u8),
    Reload,
    Restart,
    Failures(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0u8..4).prop_map(Event::Fire),
        4 => (0u8..4).prop_map(Event::Resolve),
        1 => Just(Event::Reload),
        1 => Just(Event::Restart),
        1 => (1u8..6).prop_map(Event::Failures),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_firing_told_gets_its_end_told_and_nothing_twice(
        history in proptest::collection::vec((0i64..9_000, event()), 1..40)
    ) {
        let text = SLOW.replace("[alertname]", "[]");
        let mut sim = Sim::new(&text);
        let failures = sim.failures();
        let mut at_ms = 1_000;
        for (wait_ms, event) in &history {
            at_ms += wait_ms;
            match event {
                Event::Fire(i) => sim.put(at_ms, &format!("a{i}"), 0, at_ms + 3_600_000, ""),
                Event::Resolve(i) => {
                    // Only what is known ends, as rules do it.
                    let labels = Labels::from_pairs([("alertname", format!("a{i}"))]);
                    if sim.core.alerts.contains_key(&Fingerprint::of(&labels)) {
                        sim.put(at_ms, &format!("a{i}"), at_ms, at_ms, "");
                    }
                }
                Event::Reload => sim.reload(at_ms, &text),
                Event::Restart => {
                    sim.restart(at_ms, 1, &text);
                    at_ms += 1;
                }
                Event::Failures(n) => failures.store(*n, SeqCst),
            }
        }
        for i in 0..4 {
            sim.put(at_ms, &format!("a{i}"), at_ms, at_ms, "");
        }
        sim.run_to(at_ms + 120_000);

        let mut firing = BTreeSet::new();
        for (_, _, alerts) in &sim.batches {
            for alert in alerts {
                let name = alert.split(' ').next().unwrap_or_default().to_owned();
                if alert.ends_with("..-") { firing.insert(name); } else { firing.remove(&name); }
            }
        }
        prop_assert!(firing.is_empty(), "no end told for {firing:?}: {:#?}", sim.batches);
        for pair in sim.batches.windows(2) {
            prop_assert_ne!(&pair[0].2, &pair[1].2, "the same twice");
        }
        prop_assert_eq!(sim.core.n_groups(), 0);
    }
}

#[test]
fn what_is_over_is_forgotten() {
    let mut sim = Sim::new(SLOW);
    sim.put(1_000, "a", 1_000, 0, "");
    sim.silence(1_000, Matcher::equal("x", "y"), 1_000, 2_000);
    sim.put(10_000, "a", 1_000, 10_000, "");
    sim.run_to(20_000);
    assert_eq!((sim.core.n_groups(), sim.core.alerts.len(), sim.core.nflog.len()), (0, 1, 1));
    sim.run_to(9 * 3_600_000);
    assert_eq!((sim.core.alerts.len(), sim.core.nflog.len(), sim.core.silences.iter().count()), (0, 0, 1));
    sim.run_to(121 * 3_600_000);
    assert_eq!(sim.core.silences.iter().count(), 0);
    // And what the file says afterwards is the same.
    sim.restart(121 * 3_600_000, 1_000, SLOW);
    assert_eq!((sim.core.alerts.len(), sim.core.nflog.len(), sim.core.silences.iter().count()), (0, 0, 0));
    assert!(sim.dir.exists(std::path::Path::new("state")));
}

#[test]
fn what_is_silenced_while_its_message_is_tried_again_is_not_told() {
    let check = |names: &[&str], expected: &[(i64, &str)]| {
        let mut sim = Sim::new(
            "route: {receiver: d, group_by: [], group_wait: 1s, group_interval: 1m, repeat_interval: 4h}\n\
             receivers: [{name: d, webhook_configs: [{url: 'http://h/'}]}]\n",
        );
        sim.answer = Box::new(|at_ms, _| match at_ms < 20_000 {
            true => Outcome::Failed {
                is_retryable: true,
                reason: Reason::Server,
                message: "no".into(),
                wait_ms: 5_000,
            },
            false => Outcome::delivered(),
        });
        names.iter().for_each(|name| sim.put(1_000, name, 1_000, 0, ""));
        sim.silence(10_000, Matcher::equal("alertname", "a1"), 10_000, 100_000);
        sim.run_to(60_000);
        let told: Vec<(i64, String)> =
            sim.batches.iter().map(|(at, _, of)| (at / 1_000, of.join(" "))).collect();
        let expected: Vec<(i64, String)> = expected.iter().map(|(at, of)| (*at, (*of).to_owned())).collect();
        assert_eq!(told, expected, "{names:?}");
    };
    check(&["a1"], &[]);
    check(&["a1", "a2"], &[(22, "a2 1000..-")]);
}
