//! Upstream's acceptance scenarios in real time: the real binary, real sockets, timers of seconds, all side by side.
//!
//! Times are seconds after the scenario's second 0. Unlike upstream's collector this one compares the starts and ends that were sent.
//! The same scenarios with simulated time are in the alertmanager crate; docs/user/alertmanager.md lists which is which.

mod api;
mod timed;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::manager::Manager;
use crate::harness::now_secs;
use crate::harness::target::{Reply, Target};

/// How far a start or an end may be from what is expected: from the report's way to the manager. From upstream: 0.15; the machine that
/// runs these has other things to do as well.
const TOLERANCE_SECS: f64 = 0.4;
/// How much later than its window a message may come, for the same reason.
const LATE_SECS: f64 = 0.4;

/// Something that happens.
#[derive(Clone)]
enum Step {
    /// Alerts are reported: labels, start and end (`NAN` is «not said»), annotation.
    Push(Vec<Report>),
    /// SIGHUP.
    Reload,
    /// `kill -9` and a start.
    Restart,
    /// A silence from second to second: name, value, whether that is an expression.
    Silence(&'static str, &'static str, bool, f64, f64),
    /// The first silence ends.
    Unsilence,
}

type Report = (&'static [(&'static str, &'static str)], f64, f64, &'static str);

/// A message that must come: which hook, window, alerts as labels, start and end (`NAN` while firing), annotation.
type Expected = (usize, (f64, f64), Vec<Report>);

const NO: f64 = f64::NAN;

/// What a hook answers at a second: status, and how long it takes.
type Answers = fn(f64) -> (u16, Duration);

struct Scenario {
    /// Upstream's name, or ours.
    name: &'static str,
    /// `HOOK0` and `HOOK1` are the addresses of hooks.
    config: &'static str,
    args: &'static [&'static str],
    answers: [Answers; 2],
    steps: Vec<(f64, Step)>,
    expected: Vec<Expected>,
    /// How long to look.
    secs: f64,
}

/// A yes after which the message is not noted.
const DROPPED: u16 = 299;

fn well(_: f64) -> (u16, Duration) {
    (200, Duration::ZERO)
}

/// What a hook was sent, and when.
type Messages = Arc<Mutex<Vec<(f64, Value)>>>;

/// The second 0, once it is known.
type Zero = Arc<Mutex<Option<(Instant, f64)>>>;

fn hook(zero: &Zero, answers: Answers) -> (Target, Messages) {
    let messages = Messages::default();
    let (log, zero) = (messages.clone(), zero.clone());
    let target = Target::start(move |request| {
        let at = zero.lock().unwrap().map_or(0.0, |(zero, _)| zero.elapsed().as_secs_f64());
        let (status, delay) = answers(at);
        std::thread::sleep(delay);
        if status == 200 && delay.is_zero() {
            log.lock().unwrap().push((at, serde_json::from_str(&request.body).unwrap()));
        }
        Reply { status, ..Reply::default() }
    });
    (target, messages)
}

impl Scenario {
    /// What went wrong.
    fn run(&self) -> Vec<String> {
        let zero = Zero::default();
        let hooks = self.answers.map(|answers| hook(&zero, answers));
        let mut config = self.config.to_owned();
        for (nth, (target, _)) in hooks.iter().enumerate() {
            config = config.replace(&format!("HOOK{nth}"), &target.address.to_string());
        }
        let mut manager = Manager::start(&config, self.args);
        let (began, began_secs) = (Instant::now(), now_secs());
        *zero.lock().unwrap() = Some((began, began_secs));
        let mut silence = String::new();
        for (at, step) in &self.steps {
            sleep_until(began, *at);
            step.run(&mut manager, began_secs, &mut silence);
        }
        sleep_until(began, self.secs);
        let mut wrong = Vec::new();
        for (nth, (_, messages)) in hooks.iter().enumerate() {
            let got = messages.lock().unwrap().clone();
            let expected = self.expected.iter().filter(|(hook, ..)| *hook == nth);
            wrong.extend(compare(&expected.collect::<Vec<_>>(), &got, began_secs));
        }
        if !wrong.is_empty() {
            wrong.push(format!("its log:\n{}", manager.process.log()));
        }
        wrong.into_iter().map(|what| format!("{}: {what}", self.name)).collect()
    }
}

fn sleep_until(began: Instant, secs: f64) {
    std::thread::sleep(Duration::from_secs_f64(secs).saturating_sub(began.elapsed()));
}

fn time(zero_secs: f64, at: f64) -> Value {
    if at.is_nan() {
        return Value::Null;
    }
    let at = jiff::Timestamp::from_millisecond(((zero_secs + at) * 1e3) as i64).unwrap();
    json!(at.to_string())
}

impl Step {
    fn run(&self, manager: &mut Manager, zero_secs: f64, silence: &mut String) {
        match self {
            Self::Push(reports) => {
                let alerts = reports.iter().map(|(labels, start, end, note)| {
                    let labels: serde_json::Map<String, Value> =
                        labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
                    let annotations = if note.is_empty() { json!({}) } else { json!({"ann": note}) };
                    json!({"labels": labels, "annotations": annotations,
                        "startsAt": time(zero_secs, *start), "endsAt": time(zero_secs, *end)})
                });
                let answer = manager.post("/api/v2/alerts", &alerts.collect());
                assert_eq!(answer.status, 200, "{}", answer.body);
            }
            Self::Reload => manager.process.signal("HUP"),
            Self::Restart => {
                manager.process.kill9();
                manager.restart();
            }
            Self::Silence(name, value, is_regex, from, to) => {
                let body = json!({
                    "matchers": [{"name": name, "value": value, "isRegex": is_regex}],
                    "startsAt": time(zero_secs, *from), "endsAt": time(zero_secs, *to), "createdBy": "a", "comment": "c",
                });
                *silence =
                    manager.post("/api/v2/silences", &body).json()["silenceID"].as_str().unwrap().to_owned();
            }
            Self::Unsilence => {
                assert_eq!(manager.delete(&format!("/api/v2/silence/{silence}")).status, 200);
            }
        }
    }
}

/// Each expected message once, in its window, and nothing else.
fn compare(expected: &[&Expected], got: &[(f64, Value)], zero_secs: f64) -> Vec<String> {
    let mut left: Vec<&(f64, Value)> = got.iter().collect();
    let mut wrong = Vec::new();
    for (_, (from, to), alerts) in expected {
        let is_it = |message: &&(f64, Value)| {
            (*from - 0.1..=*to + LATE_SECS).contains(&message.0) && is_same(alerts, &message.1, zero_secs)
        };
        match left.iter().position(is_it) {
            Some(found) => drop(left.remove(found)),
            None => wrong.push(format!("no message within {from}..{to} of {alerts:?}")),
        }
    }
    wrong.extend(left.iter().map(|(at, message)| format!("at {at:.2} there came {}", message["alerts"])));
    wrong
}

fn is_same(expected: &[Report], message: &Value, zero_secs: f64) -> bool {
    let Some(alerts) = message["alerts"].as_array() else { return false };
    let is_near = |text: &Value, at: f64| {
        let got: jiff::Timestamp = text.as_str().unwrap_or("").parse().unwrap_or_default();
        let got = got.as_millisecond() as f64 / 1e3 - zero_secs;
        (got - at).abs() <= TOLERANCE_SECS
    };
    let is_it = |(labels, start, end, note): &Report, alert: &Value| {
        let of = alert["labels"].as_object().unwrap();
        let is_firing = alert["status"] == "firing";
        of.len() == labels.len()
            && labels.iter().all(|(name, value)| of.get(*name) == Some(&json!(value)))
            && is_near(&alert["startsAt"], *start)
            && is_firing == end.is_nan()
            && (is_firing || is_near(&alert["endsAt"], *end))
            && alert["annotations"]["ann"].as_str().unwrap_or("") == *note
    };
    alerts.len() == expected.len() && expected.iter().all(|one| alerts.iter().any(|alert| is_it(one, alert)))
}

#[test]
fn upstreams_scenarios_hold_in_real_time() {
    let scenarios = timed::scenarios();
    let asked = api::scenarios();
    assert!(scenarios.len() + asked.len() >= 20, "{}", scenarios.len() + asked.len());
    let failed: Vec<&Scenario> = std::thread::scope(|scope| {
        let timed: Vec<_> =
            scenarios.iter().map(|scenario| (scenario, scope.spawn(|| scenario.run()))).collect();
        let asked: Vec<_> = asked.iter().map(|(name, ask)| (name, scope.spawn(ask))).collect();
        for (name, running) in asked {
            assert!(running.join().is_ok(), "{name}: its panic is printed above");
        }
        let failed = timed.into_iter().map(|(scenario, running)| (scenario, running.join().unwrap()));
        failed.filter(|(_, wrong)| !wrong.is_empty()).map(|(scenario, _)| scenario).collect()
    });
    // A machine that did something else for half a second fails some of them; alone they have no excuse.
    let wrong: Vec<String> = failed.into_iter().flat_map(Scenario::run).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
