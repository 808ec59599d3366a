//! What a seed decides before anything happens: the configuration, what fires when, what people do, what goes wrong.
//!
//! Out to `world`, as a configuration and as events that are due. What the network does is decided as messages come.

use super::people::Hand;
use super::world::{Event, World};
use super::{
    Broken, CALM_FROM, CHILDREN, END, FLAP_CHANGES, FLAP_STABLE, FLAP_WITHIN, FLAPPER, MAINTAINED, MINUTE,
    N_ALERTS, PARENT, PARENT_WAIT, Rng, SECOND,
};

/// The minute of the day in which simulated time begins, and how far in it is: 22:13:20.
const FIRST_MINUTE: i64 = 13;
const INTO_MINUTE: i64 = 20 * SECOND;

/// What the configuration knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Drawn {
    pub(super) groups_by_name: bool,
    pub(super) escalates: bool,
    pub(super) damps: bool,
    pub(super) depends: bool,
    /// Of the file, and of the API.
    pub(super) windows: [Option<Planned>; 2],
}

/// A maintenance window: a run in each of these minutes of the hour.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    minutes: Vec<i64>,
    pub(super) lasts: i64,
}

impl Planned {
    fn draw(rng: &mut Rng) -> Self {
        let n = rng.between(1, 3);
        let mut minutes: Vec<i64> =
            (0..n).map(|_| rng.between(FIRST_MINUTE + 1, FIRST_MINUTE + 16)).collect();
        minutes.sort_unstable();
        minutes.dedup();
        Self { minutes, lasts: rng.between(30, 240) * SECOND }
    }

    /// When its runs begin, in simulated time.
    pub(super) fn starts(&self) -> impl Iterator<Item = i64> {
        self.minutes.iter().map(|minute| (minute - FIRST_MINUTE) * MINUTE - INTO_MINUTE)
    }

    /// As a file and the API have it: `start`, `duration`, `recurrence`.
    pub(super) fn texts(&self) -> (String, String, String) {
        let minutes: Vec<String> = self.minutes.iter().map(ToString::to_string).collect();
        let start = format!("2023-11-14T22:{FIRST_MINUTE}");
        let recurrence = format!("FREQ=DAILY;BYHOUR=22;BYMINUTE={}", minutes.join(","));
        (start, format!("{}s", self.lasts / SECOND), recurrence)
    }
}

impl Drawn {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let mut window = |percent| rng.chance(percent).then(|| Planned::draw(rng));
        let windows = [window(25), window(25)];
        Self {
            groups_by_name: rng.chance(50),
            escalates: rng.chance(80),
            damps: rng.chance(40),
            depends: rng.chance(40),
            windows,
        }
    }

    pub(super) fn has_windows(&self) -> bool {
        self.windows.iter().any(Option::is_some)
    }

    /// The file of all managers.
    pub(super) fn config(&self, broken: Broken) -> String {
        let group_by = if self.groups_by_name { "[alertname]" } else { "[]" };
        let mut of_route = Vec::new();
        if self.escalates && broken != Broken::Escalation {
            of_route.push("escalate: [{after: 90s, receiver: e}]".to_owned());
        }
        if self.damps && broken != Broken::Flap {
            let (within, stable) = (FLAP_WITHIN / SECOND, FLAP_STABLE / SECOND);
            of_route.push(format!("flap: {{changes: {FLAP_CHANGES}, within: {within}s, stable: {stable}s}}"));
        }
        let mut of_all = vec![format!("promised_resolves: {}", broken != Broken::Promise)];
        if self.depends && broken != Broken::Dependency {
            let [a, b] = CHILDREN;
            of_all.push(format!(
                "dependencies: [{{parents: [alertname=a{PARENT}], children: ['alertname=~\"a{a}|a{b}\"'], \
                 equal: [site], wait: {}s}}]",
                PARENT_WAIT / SECOND
            ));
        }
        if let (Some(window), true) = (&self.windows[0], broken != Broken::Window) {
            let (start, duration, recurrence) = window.texts();
            of_all.push(format!(
                "maintenance: [{{name: f, matchers: [alertname=a{MAINTAINED}], start: '{start}', \
                 duration: {duration}, recurrence: '{recurrence}', owner: sim, reason: sim}}]"
            ));
        }
        format!(
            "route: {{receiver: d, group_by: {group_by}, group_wait: 10s, group_interval: 1m, repeat_interval: 4h, \
             hinomi: {{{}}}}}\n\
             receivers: [{{name: d, webhook_configs: [{{url: 'http://h/'}}]}}, {{name: e, webhook_configs: [{{url: 'http://i/'}}]}}]\n\
             hinomi: {{{}}}\n",
            of_route.join(", "),
            of_all.join(", ")
        )
    }
}

impl World {
    /// Decides everything that will happen, but for what the network does.
    pub(super) fn plan(&mut self, n_nodes: usize) {
        (0..N_ALERTS).for_each(|alert| self.plan_alert(alert));
        self.plan_people(n_nodes);
        self.plan_windows(n_nodes);
        for _ in 0..self.rng.below(3) {
            let at = self.rng.between(60, 900) * SECOND;
            let node = self.rng.any(n_nodes);
            self.at(at, Event::Reload(node));
        }
        if !self.is_calm {
            self.plan_trouble(n_nodes);
        }
    }

    fn plan_alert(&mut self, alert: usize) {
        let flaps_from = self.rng.between(60, 500) * SECOND;
        // Reports of two managers are that far apart; what changes within is seen as a change by nobody.
        let least = if self.drawn.damps { 5 } else { 1 };
        let mut n_quick = if self.drawn.damps && alert == FLAPPER { self.rng.between(1, 6) } else { 0 };
        let mut at = self.rng.between(70, 300) * SECOND;
        while at < CALM_FROM - MINUTE {
            let is_quick = n_quick > 0 && at >= flaps_from;
            n_quick -= i64::from(is_quick);
            let (lasts, rests) = if is_quick { (40, 40) } else { (500, 400) };
            let ends = (at + self.rng.between(5, lasts) * SECOND).min(CALM_FROM);
            self.at(at, Event::Fire(alert));
            self.at(ends, Event::Resolve(alert));
            at = ends + self.rng.between(least, rests) * SECOND;
        }
    }

    fn plan_people(&mut self, n_nodes: usize) {
        // One before anything goes wrong, which must hold whatever comes; others while things go wrong.
        if self.rng.chance(50) {
            let hand = Hand::Silence { alert: 0, ends: END };
            let at = self.rng.any(n_nodes);
            self.at(20 * SECOND, Event::People { at, hand });
        }
        for _ in 0..self.rng.below(3) {
            let starts = self.rng.between(90, 800) * SECOND;
            let ends = starts + self.rng.between(60, 600) * SECOND;
            let hand = Hand::Silence { alert: 1 + self.rng.any(N_ALERTS - 1), ends };
            let at = self.rng.any(n_nodes);
            self.at(starts, Event::People { at, hand });
        }
        for _ in 0..self.rng.below(4) {
            let starts = self.rng.between(75, 900) * SECOND;
            let alert = self.rng.any(N_ALERTS);
            let until = self.rng.chance(40).then(|| starts + self.rng.between(20, 300) * SECOND);
            let at = self.rng.any(n_nodes);
            self.at(starts, Event::People { at, hand: Hand::Ack { alert, until, is_held: true } });
            if self.rng.chance(40) {
                let back = starts + self.rng.between(1, 300) * SECOND;
                let at = self.rng.any(n_nodes);
                self.at(back, Event::People { at, hand: Hand::Ack { alert, until: None, is_held: false } });
            }
        }
    }

    fn plan_windows(&mut self, n_nodes: usize) {
        if self.drawn.windows[1].is_some() {
            let made = if self.rng.chance(50) { 20 } else { self.rng.between(60, 500) } * SECOND;
            let at = self.rng.any(n_nodes);
            self.at(made, Event::People { at, hand: Hand::MakeWindow });
            if self.rng.chance(25) {
                let gone = self.rng.between(500, 900) * SECOND;
                let at = self.rng.any(n_nodes);
                self.at(gone, Event::People { at, hand: Hand::DropWindow });
            }
        }
        for is_of_file in [true, false] {
            if self.drawn.windows[usize::from(!is_of_file)].is_some() && self.rng.chance(40) {
                let ended = self.rng.between(60, 900) * SECOND;
                let at = self.rng.any(n_nodes);
                self.at(ended, Event::People { at, hand: Hand::EndRun { is_of_file } });
            }
        }
    }

    fn plan_trouble(&mut self, n_nodes: usize) {
        for _ in 0..self.rng.below(4) {
            let a = self.rng.any(n_nodes);
            let b = (a + 1 + self.rng.any(n_nodes - 1)) % n_nodes;
            let at = self.rng.between(60, 900) * SECOND;
            let until = (at + self.rng.between(1, 300) * SECOND).min(CALM_FROM);
            self.at(at, Event::Cut { a, b, until });
        }
        for _ in 0..self.rng.below(4) {
            let at = self.rng.between(60, 900) * SECOND;
            let down = self.rng.between(0, 200) * SECOND;
            let node = self.rng.any(n_nodes);
            let event = Event::Kill { node, loses_disk: self.rng.chance(30), down };
            self.at(at, event);
        }
        for _ in 0..self.rng.below(3) {
            let at = self.rng.between(60, 900) * SECOND;
            let down = self.rng.between(0, 200) * SECOND;
            let node = self.rng.any(n_nodes);
            let is_silenced = self.rng.chance(50);
            self.at(at, Event::Doom { node, down, is_silenced });
        }
        if self.rng.chance(30) {
            let at = self.rng.between(60, 900) * SECOND;
            let until = at + self.rng.between(1, 40) * SECOND;
            self.at(at, Event::Outage { until });
        }
    }
}
