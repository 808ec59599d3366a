//! The simulator: two or three managers on the real sync cores, in simulated time, with everything that goes wrong.
//!
//! In: a seed, which decides the number of managers, their clocks, what is lost, delayed, doubled and reordered, who is
//! cut off, who is killed and comes back, with its disk or without, what fires, what is silenced and what somebody has in
//! hand. Out: a failure with
//! the seed and what happened. `HINOMI_SIM_SEEDS=10000` runs so many, `HINOMI_SIM_FROM` says where to begin.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::{Labels, Matcher};
use stdx::MemDir;
use stdx::metrics::Registry;

use super::mesh::{Mesh, MeshOptions};
use super::message::{Body, Identity, Message};
use super::shared::{is_blank, spread, take, turn};
use crate::alert::Alert;
use crate::config::Config;
use crate::dispatch::{Action, Core, CoreOptions, JobId, Word};
use crate::metrics::Metrics;
use crate::notification::{Outcome, Reason};
use crate::silence::Silence;
use crate::state::Store;

const T0: i64 = 1_700_000_000_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
/// When trouble and alerts end, and when the last word must have been said.
const CALM_FROM: i64 = 16 * MINUTE;
const END: i64 = 26 * MINUTE;
/// By then a firing must have been told: group wait, an interval, waits of three, settling, and some.
const TOLD_WITHIN: i64 = 5 * MINUTE;
const N_ALERTS: usize = 4;
/// As the configuration says.
const ESCALATES_AFTER: i64 = 90 * SECOND;
/// By then the next receiver must have been told where nothing goes wrong: looks, an interval, waits of three.
const ESCALATED_WITHIN: i64 = ESCALATES_AFTER + 2 * MINUTE;
const RECEIVERS: [&str; 2] = ["d", "e"];

const CONFIG: &str = "route: {receiver: d, group_by: [GROUP], group_wait: 10s, group_interval: 1m, repeat_interval: 4h, hinomi: {escalate: [{after: 90s, receiver: e}]}}\n\
                      receivers: [{name: d, webhook_configs: [{url: 'http://h/'}]}, {name: e, webhook_configs: [{url: 'http://i/'}]}]\nhinomi: {promised_resolves: PROMISE}\n";

/// What is broken on purpose, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    Wait,
    Merge,
    Snapshot,
    Promise,
}

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: i64) -> i64 {
        i64::try_from(self.next() % n.max(1).unsigned_abs()).unwrap_or(0)
    }

    fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below(to - from + 1)
    }

    fn chance(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }
}

/// A message as a receiver got it: when, about which group, alerts and whether they fire.
struct Told {
    at: i64,
    receiver: String,
    group: String,
    alerts: BTreeMap<usize, bool>,
}

/// Something that is due.
#[derive(Debug, Clone)]
enum Event {
    Deliver {
        to: usize,
        message: Message,
    },
    Post {
        to: usize,
        alert: usize,
        starts: i64,
        ends: i64,
    },
    /// The receiver's answer comes back.
    Answer {
        to: usize,
        life: u32,
        job: JobId,
        is_ok: bool,
    },
    Fire(usize),
    Resolve(usize),
    Report(usize),
    Silence {
        at: usize,
        alert: usize,
        ends: i64,
    },
    /// Somebody takes an alert in hand, for good or until a time; or gives it back.
    Ack {
        at: usize,
        alert: usize,
        until: Option<i64>,
        is_held: bool,
    },
    Kill {
        node: usize,
        loses_disk: bool,
        down: i64,
    },
    Start(usize),
    Cut {
        a: usize,
        b: usize,
        until: i64,
    },
    Outage {
        until: i64,
    },
}

struct Node {
    core: Core,
    store: Store,
    dir: MemDir,
    mesh: Mesh,
    life: u32,
    is_up: bool,
    up_since: i64,
    skew: i64,
}

/// One firing of one alert, in true time.
#[derive(Debug, Clone)]
struct Episode {
    alert: usize,
    starts: i64,
    ends: i64,
}

struct World {
    seed: u64,
    broken: Broken,
    rng: Rng,
    now: i64,
    nodes: Vec<Node>,
    events: BTreeMap<(i64, u64), Event>,
    n_events: u64,
    /// Nothing goes wrong: exactly one is expected.
    is_calm: bool,
    loss_percent: i64,
    delay_max: i64,
    skew_max: i64,
    cuts: Vec<(usize, usize, i64)>,
    outage_until: i64,
    firing: BTreeMap<usize, i64>,
    resolved: BTreeMap<usize, (i64, i64)>,
    episodes: Vec<Episode>,
    silences: Vec<(usize, i64, i64)>,
    /// Which alerts somebody had, from when to when.
    acks: Vec<(usize, i64, i64)>,
    /// What the receiver heard.
    heard: Vec<Told>,
    trace: VecDeque<String>,
}

fn name(alert: usize) -> String {
    format!("a{alert}")
}

fn address(node: usize) -> String {
    format!("10.0.0.{node}:9094")
}

fn options() -> MeshOptions {
    MeshOptions {
        peer_timeout_ms: 15 * SECOND,
        gossip_interval_ms: 200,
        pushpull_interval_ms: MINUTE,
        // Fewer than in life, for the speed of the simulation.
        probe_interval_ms: 2 * SECOND,
        settle_timeout_ms: MINUTE,
        reconnect_interval_ms: 10 * SECOND,
        reconnect_timeout_ms: 6 * 60 * MINUTE,
    }
}

impl World {
    fn new(seed: u64, broken: Broken) -> Self {
        let mut rng = Rng(seed);
        let n_nodes = usize::try_from(rng.between(2, 3)).expect("small");
        let is_calm = rng.chance(35);
        // Clocks that somebody looks after for exactly one; for at least one, any.
        let skew_max = if rng.chance(50) { rng.between(1, if is_calm { 1 } else { 45 }) * SECOND } else { 0 };
        let group = if rng.chance(50) { "alertname" } else { "" };
        let config = CONFIG
            .replace("GROUP", group)
            .replace("PROMISE", if broken == Broken::Promise { "false" } else { "true" });
        let mut world = Self {
            seed,
            broken,
            now: 0,
            nodes: Vec::new(),
            events: BTreeMap::new(),
            n_events: 0,
            is_calm,
            loss_percent: if is_calm { rng.below(3) } else { rng.below(40) },
            delay_max: [20, 200, 3_000]
                [usize::try_from(rng.below(if is_calm { 2 } else { 3 })).expect("small")],
            skew_max,
            cuts: Vec::new(),
            outage_until: 0,
            firing: BTreeMap::new(),
            resolved: BTreeMap::new(),
            episodes: Vec::new(),
            silences: Vec::new(),
            acks: Vec::new(),
            heard: Vec::new(),
            trace: VecDeque::new(),
            rng,
        };
        for node in 0..n_nodes {
            let skew = if skew_max > 0 { world.rng.between(-skew_max, skew_max) } else { 0 };
            let made = world.make(node, n_nodes, &config, MemDir::new(), 0, skew);
            world.nodes.push(made);
        }
        world.plan(n_nodes);
        world
    }

    fn make(&self, node: usize, n_nodes: usize, config: &str, dir: MemDir, life: u32, skew: i64) -> Node {
        let now_ms = T0 + self.now + skew;
        let config = Arc::new(Config::parse("sim.yml", config).expect("a good configuration"));
        let options_of_core = CoreOptions {
            retention_ms: 120 * 60 * MINUTE,
            start_ms: now_ms,
            limits: crate::Limits::default(),
        };
        let mut core = Core::new(config, options_of_core, Arc::new(Metrics::new(&Registry::new())));
        let metrics = Arc::clone(&core.metrics);
        let store = Store::open(Arc::new(dir.clone()), &mut core, metrics, now_ms);
        let me =
            Identity { name: format!("n{node}"), address: address(node), incarnation: u64::from(life) + 1 };
        let peers: Vec<String> = (0..n_nodes).map(address).collect();
        let mesh = Mesh::new(me, options(), &peers, is_blank(&core), self.now);
        core.set_turn(turn(&mesh));
        Node { core, store, dir, mesh, life, is_up: true, up_since: self.now, skew }
    }

    /// Decides everything that will happen, but for what the network does.
    fn plan(&mut self, n_nodes: usize) {
        for alert in 0..N_ALERTS {
            let mut at = self.rng.between(70, 300) * SECOND;
            while at < CALM_FROM - MINUTE {
                let ends = (at + self.rng.between(5, 500) * SECOND).min(CALM_FROM);
                self.at(at, Event::Fire(alert));
                self.at(ends, Event::Resolve(alert));
                at = ends + self.rng.between(1, 400) * SECOND;
            }
        }
        let any = |rng: &mut Rng| usize::try_from(rng.below(n_nodes as i64)).expect("small");
        // One before anything goes wrong, which must hold whatever comes; others while things go wrong.
        if self.rng.chance(50) {
            let event = Event::Silence { at: any(&mut self.rng), alert: 0, ends: END };
            self.at(20 * SECOND, event);
        }
        for _ in 0..self.rng.below(3) {
            let starts = self.rng.between(90, 800) * SECOND;
            let ends = starts + self.rng.between(60, 600) * SECOND;
            let alert = usize::try_from(self.rng.between(1, N_ALERTS as i64 - 1)).expect("small");
            let event = Event::Silence { at: any(&mut self.rng), alert, ends };
            self.at(starts, event);
        }
        for _ in 0..self.rng.below(4) {
            let starts = self.rng.between(75, 900) * SECOND;
            let alert = usize::try_from(self.rng.below(N_ALERTS as i64)).expect("small");
            let until = self.rng.chance(40).then(|| starts + self.rng.between(20, 300) * SECOND);
            let at = any(&mut self.rng);
            self.at(starts, Event::Ack { at, alert, until, is_held: true });
            if self.rng.chance(40) {
                let back = starts + self.rng.between(1, 300) * SECOND;
                let at = any(&mut self.rng);
                self.at(back, Event::Ack { at, alert, until: None, is_held: false });
            }
        }
        if self.is_calm {
            return;
        }
        for _ in 0..self.rng.below(4) {
            let (a, b) = (any(&mut self.rng), any(&mut self.rng));
            let at = self.rng.between(60, 900) * SECOND;
            let until = (at + self.rng.between(1, 300) * SECOND).min(CALM_FROM);
            self.at(at, Event::Cut { a, b, until });
        }
        for _ in 0..self.rng.below(4) {
            let at = self.rng.between(60, 900) * SECOND;
            let down = self.rng.between(0, 200) * SECOND;
            let event = Event::Kill { node: any(&mut self.rng), loses_disk: self.rng.chance(30), down };
            self.at(at, event);
        }
        if self.rng.chance(30) {
            let at = self.rng.between(60, 900) * SECOND;
            let until = at + self.rng.between(1, 40) * SECOND;
            self.at(at, Event::Outage { until });
        }
    }

    fn at(&mut self, at: i64, event: Event) {
        self.n_events += 1;
        self.events.insert((at.max(self.now), self.n_events), event);
    }

    fn note(&mut self, text: String) {
        if self.trace.len() >= 300 {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:>8.1} {text}", self.now as f64 / 1e3));
    }

    fn fail(&self, why: &str) -> ! {
        for line in &self.trace {
            println!("{line}");
        }
        panic!(
            "seed {}: {why} ({} managers, calm {}, loss {} %, delays to {} ms, clocks to {} s apart, broken: {:?})",
            self.seed,
            self.nodes.len(),
            self.is_calm,
            self.loss_percent,
            self.delay_max,
            2 * self.skew_max / SECOND,
            self.broken
        );
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cuts.iter().any(|(x, y, until)| *until > self.now && ((*x, *y) == (a, b) || (*y, *x) == (a, b)))
    }

    fn post(&mut self, alert: usize, starts: i64, ends: i64) {
        for to in 0..self.nodes.len() {
            let delay = self.rng.below(2 * SECOND);
            self.at(self.now + delay, Event::Post { to, alert, starts, ends });
        }
    }

    /// Every alert that fires is reported again every minute, and one that ended for a quarter of an hour.
    fn report(&mut self, alert: usize) {
        if let Some(starts) = self.firing.get(&alert).copied() {
            self.post(alert, starts, self.now + 4 * MINUTE);
        } else if let Some((starts, ends)) = self.resolved.get(&alert).copied()
            && self.now - ends < 15 * MINUTE
        {
            self.post(alert, starts, ends);
        } else {
            return;
        }
        self.at(self.now + MINUTE, Event::Report(alert));
    }

    fn run(mut self) {
        let (mut n_steps, mut last) = (0, 0);
        while self.now < END {
            n_steps = if self.now == last { n_steps + 1 } else { 0 };
            last = self.now;
            if n_steps > 1_000 {
                self.fail("time stands still");
            }
            let next_event = self.events.keys().next().map_or(END, |(at, _)| *at);
            let next_poll = self.nodes.iter().filter(|node| node.is_up).map(|node| {
                let core = node.core.next_deadline_ms().saturating_sub(T0 + node.skew);
                core.min(node.mesh.next_deadline_ms())
            });
            let next = next_poll.min().unwrap_or(END).min(next_event).max(self.now);
            self.now = next;
            while let Some(entry) = self.events.first_entry()
                && entry.key().0 <= self.now
            {
                let event = entry.remove();
                self.happen(event);
            }
            for node in 0..self.nodes.len() {
                self.poll(node);
            }
        }
        self.check();
    }

    fn poll(&mut self, idx: usize) {
        let now = self.now;
        let node = &mut self.nodes[idx];
        if !node.is_up {
            return;
        }
        let wall = T0 + now + node.skew;
        let is_due = node.core.next_deadline_ms() <= wall || node.mesh.next_deadline_ms() <= now;
        if !is_due {
            return;
        }
        let outs = node.mesh.poll(now, &node.core);
        let mut turn = turn(&node.mesh);
        if self.broken == Broken::Wait {
            turn.wait_ms = 0;
        }
        let changed = (node.core.turn() != turn).then(|| format!("n{idx}: {turn:?}"));
        node.core.set_turn(turn);
        let actions = node.core.poll(wall);
        changed.into_iter().for_each(|text| self.note(text));
        self.save(idx);
        for out in outs {
            self.send(idx, &out.address, out.message);
        }
        for action in actions {
            self.attempt(idx, action);
        }
    }

    /// Writes down and spreads what happened at one node.
    fn save(&mut self, idx: usize) {
        let node = &mut self.nodes[idx];
        let journal = node.core.take_journal();
        node.store.append(&node.core, &journal, T0 + self.now + node.skew);
        spread(&mut node.mesh, &journal);
    }

    fn send(&mut self, from: usize, to: &str, message: Message) {
        let Some(to) = (0..self.nodes.len()).find(|node| address(*node) == to) else { return };
        if self.is_cut(from, to) || self.rng.chance(self.loss_percent) && self.now < CALM_FROM {
            return;
        }
        let is_broken = match self.broken {
            Broken::Merge => matches!(message.body, Body::Delta { .. } | Body::Page { .. }),
            Broken::Snapshot => matches!(message.body, Body::Page { .. }),
            _ => false,
        };
        let message = if is_broken { without_records(message) } else { message };
        let n_copies = if self.rng.chance(3) { 2 } else { 1 };
        for _ in 0..n_copies {
            let at = self.now + 1 + self.rng.below(self.delay_max);
            self.at(at, Event::Deliver { to, message: message.clone() });
        }
    }

    /// A message to the receiver; the answer may find the sender gone.
    fn attempt(&mut self, idx: usize, action: Action) {
        let Action::Send { job, notification, .. } = action else { return };
        let is_ok = self.now >= self.outage_until;
        if is_ok {
            let alerts = notification.alerts.iter().map(|snapshot| {
                let name = snapshot.alert.name();
                (name[1..].parse().expect("a number"), snapshot.is_firing)
            });
            let alerts: BTreeMap<usize, bool> = alerts.collect();
            let receiver = notification.receiver.clone();
            self.note(format!("n{idx} tells {receiver} {alerts:?} ({})", notification.reason));
            self.hear(idx, receiver, notification.group_key.clone(), alerts);
        }
        let at = self.now + self.rng.between(5, 300);
        let life = self.nodes[idx].life;
        self.at(at, Event::Answer { to: idx, life, job, is_ok });
    }

    /// What the receiver makes of a message.
    fn hear(&mut self, from: usize, receiver: String, group: String, alerts: BTreeMap<usize, bool>) {
        // An end is news too when the alert fired since, even if nobody was told of that, as upstream has it.
        let has_fired_since = |alert: usize, at: i64| {
            self.episodes.iter().any(|episode| episode.alert == alert && episode.starts >= at)
        };
        let slack = 2 * self.skew_max + SECOND;
        let was_given_back = |alert: usize, at: i64| {
            let times = at - slack..=self.now + slack;
            self.acks.iter().any(|(of, _, ends)| *of == alert && times.contains(ends))
        };
        let of_group =
            || self.heard.iter().rev().filter(|told| told.group == group && told.receiver == receiver);
        let is_in_last =
            |alert: &usize| of_group().next().is_some_and(|told| told.alerts.contains_key(alert));
        let is_news = alerts.iter().any(|(alert, is_firing)| {
            let last = of_group().find_map(|told| Some((told.at, *told.alerts.get(alert)?)));
            match last {
                Some((_, was_firing)) if was_firing != *is_firing => true,
                // A firing that the message before left out was silenced then, or in hand; or it was, and is no more.
                Some((at, _)) if *is_firing => !is_in_last(alert) || was_given_back(*alert, at),
                Some((at, _)) => has_fired_since(*alert, at - MINUTE),
                None => true,
            }
        });
        if self.is_calm && !is_news {
            self.fail(&format!("told twice: {alerts:?} by n{from}"));
        }
        for (alert, _) in alerts.iter().filter(|(_, is_firing)| **is_firing) {
            self.check_hands(*alert, from, &receiver);
            let margin = 20 * SECOND + 2 * self.skew_max;
            let holds = |(silenced, starts, ends): &(usize, i64, i64)| {
                silenced == alert
                    && *starts + margin < self.now
                    && self.now < *ends - margin
                    && (self.is_calm || *starts < MINUTE)
            };
            if self.silences.iter().any(holds) {
                self.fail(&format!("silenced, and told all the same: {alert} by n{from}"));
            }
        }
        self.heard.push(Told { at: self.now, receiver, group, alerts });
    }

    /// An alert is told to fire: nobody has it, and a further receiver hears of it after the time that others had.
    fn check_hands(&self, alert: usize, from: usize, receiver: &str) {
        // What somebody has since a while, and no manager can have failed to hear of it.
        let margin = 40 * SECOND + 2 * self.skew_max;
        let has = |(of, starts, ends): &(usize, i64, i64)| {
            *of == alert && *starts + margin < self.now && self.now < *ends - margin
        };
        let began = self.firing.get(&alert).copied();
        let holds = self.acks.iter().any(|ack| has(ack) && began.is_some_and(|began| began < ack.1));
        if self.is_calm && holds {
            self.fail(&format!("somebody has {alert}, and n{from} tells {receiver} all the same"));
        }
        if receiver == "d" || !self.is_calm {
            return;
        }
        let told_before = self.heard.iter().any(|told| {
            let is_early = told.at <= self.now - ESCALATES_AFTER + 2 * self.skew_max + SECOND;
            told.receiver == "d" && is_early && told.alerts.get(&alert) == Some(&true)
        });
        if !told_before {
            self.fail(&format!("{alert} was told to {receiver} by n{from} before its time"));
        }
    }

    /// Whether somebody had an alert at any time between.
    fn is_in_hand(&self, alert: usize, from: i64, to: i64) -> bool {
        let margin = 2 * self.skew_max;
        self.acks
            .iter()
            .any(|(of, starts, ends)| *of == alert && *starts <= to && ends + margin >= from - margin)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { to, message } => self.deliver(to, message),
            Event::Post { to, alert, starts, ends } => self.take_report(to, alert, starts, ends),
            Event::Answer { to, life, job, is_ok } => {
                if !self.nodes[to].is_up || self.nodes[to].life != life {
                    return;
                }
                let outcome = match is_ok {
                    true => Outcome::delivered(),
                    false => Outcome::Failed {
                        is_retryable: true,
                        reason: Reason::Server,
                        message: "503".to_owned(),
                        wait_ms: 0,
                    },
                };
                let wall = T0 + self.now + self.nodes[to].skew;
                self.nodes[to].core.on_outcome(job, &outcome, wall);
                self.save(to);
            }
            Event::Fire(alert) => {
                self.note(format!("{alert} fires"));
                self.firing.insert(alert, self.now);
                self.resolved.remove(&alert);
                self.report(alert);
            }
            Event::Resolve(alert) => {
                self.note(format!("{alert} ends"));
                let Some(starts) = self.firing.remove(&alert) else { return };
                self.resolved.insert(alert, (starts, self.now));
                self.episodes.push(Episode { alert, starts, ends: self.now });
                self.post(alert, starts, self.now);
            }
            Event::Report(alert) => self.report(alert),
            Event::Silence { at, alert, ends } => self.silence(at, alert, ends),
            Event::Ack { at, alert, until, is_held } => self.acknowledge(at, alert, until, is_held),
            Event::Kill { node, loses_disk, down } => self.kill(node, loses_disk, down),
            Event::Start(node) => self.start(node),
            Event::Cut { a, b, until } => {
                self.note(format!("cut n{a} n{b} until {}", until / SECOND));
                self.cuts.push((a, b, until));
            }
            Event::Outage { until } => {
                self.note(format!("receiver out until {}", until / SECOND));
                self.outage_until = until;
            }
        }
    }

    fn deliver(&mut self, to: usize, message: Message) {
        let (now, node) = (self.now, &mut self.nodes[to]);
        if !node.is_up {
            return;
        }
        let wall = T0 + now + node.skew;
        if let Some(news) = node.mesh.on_message(message, now, &node.core) {
            let journal = take(&mut node.mesh, &mut node.core, news, wall);
            node.store.append(&node.core, &journal, wall);
        }
        let outs = node.mesh.poll(now, &node.core);
        for out in outs {
            self.send(to, &out.address, out.message);
        }
    }

    fn take_report(&mut self, to: usize, alert: usize, starts: i64, ends: i64) {
        let node = &mut self.nodes[to];
        if !node.is_up {
            return;
        }
        let wall = T0 + self.now + node.skew;
        let alert = Alert {
            labels: Labels::from_pairs([("alertname", name(alert))]),
            annotations: Labels::empty(),
            starts_at_ms: T0 + starts,
            ends_at_ms: T0 + ends,
            generator_url: String::new(),
            updated_at_ms: wall,
            is_timeout: false,
            measured: None,
        };
        node.core.put_alert(alert, wall).expect("there is room");
        self.save(to);
    }

    fn silence(&mut self, at: usize, alert: usize, ends: i64) {
        if !self.nodes[at].is_up {
            return;
        }
        self.note(format!("n{at} silences {alert} until {}", ends / SECOND));
        let wall = T0 + self.now + self.nodes[at].skew;
        let silence = Silence {
            id: String::new(),
            matchers: vec![Matcher::equal("alertname", name(alert))],
            starts_at_ms: wall,
            ends_at_ms: T0 + ends,
            updated_at_ms: 0,
            created_by: String::new(),
            comment: String::new(),
            annotations: BTreeMap::new(),
        };
        let id = format!("s{}", self.n_events);
        if self.nodes[at].core.set_silence(silence, id, wall).is_ok() {
            self.silences.push((alert, self.now, ends));
            self.save(at);
        }
    }

    fn acknowledge(&mut self, at: usize, alert: usize, until: Option<i64>, is_held: bool) {
        if !self.nodes[at].is_up {
            return;
        }
        let wall = T0 + self.now + self.nodes[at].skew;
        let matcher = Matcher::equal("alertname", name(alert));
        let until_ms = until.map(|until| T0 + until);
        let word = Word { by: "sim".to_owned(), note: String::new(), until_ms, is_held };
        let core = &mut self.nodes[at].core;
        let firing = core.firing(&[], &[matcher], wall);
        if core.say(firing, &word, wall).is_err() {
            return;
        }
        self.note(format!("n{at} acknowledges {alert}: {is_held}, until {until:?}"));
        self.save(at);
        // The last word counts.
        let now = self.now;
        let of_alert = self.acks.iter_mut().filter(|(of, _, ends)| *of == alert && *ends > now);
        of_alert.for_each(|(_, _, ends)| *ends = now);
        if is_held {
            self.acks.push((alert, now, until.unwrap_or(END)));
        }
    }

    fn kill(&mut self, idx: usize, loses_disk: bool, down: i64) {
        if !self.nodes[idx].is_up {
            return;
        }
        // Who lost its disk knows again what the others know, so that one of them has to be there and in reach.
        let others_fine =
            (0..self.nodes.len()).filter(|other| *other != idx).all(|other| self.nodes[other].is_up);
        let loses_disk = loses_disk
            && others_fine
            && self.events.values().all(|event| !is_trouble(event))
            && self.cuts.iter().all(|(_, _, until)| *until <= self.now);
        self.note(format!("n{idx} killed for {} s, disk lost: {loses_disk}", down / SECOND));
        let node = &mut self.nodes[idx];
        node.is_up = false;
        node.dir = if loses_disk { MemDir::new() } else { node.dir.kill_image() };
        self.at(self.now + down, Event::Start(idx));
    }

    fn start(&mut self, idx: usize) {
        self.note(format!("n{idx} starts"));
        let n_nodes = self.nodes.len();
        let old = &self.nodes[idx];
        let config = old.core.config.original.clone();
        let made = self.make(idx, n_nodes, &config, old.dir.clone(), old.life + 1, old.skew);
        self.nodes[idx] = made;
    }

    /// What must be true of every history.
    fn check(self) {
        let state_at = |receiver: &str, alert: usize, at: i64| {
            let told = self.heard.iter().rev().filter(|told| told.at <= at && told.receiver == receiver);
            told.filter_map(|told| told.alerts.get(&alert)).next().copied()
        };
        for (alert, receiver) in (0..N_ALERTS).flat_map(|alert| RECEIVERS.map(|receiver| (alert, receiver))) {
            if state_at(receiver, alert, END) == Some(true) {
                self.fail(&format!("{receiver} was told that {alert} fires, and never of its end"));
            }
        }
        self.check_escalations();
        for Episode { alert, starts, ends } in &self.episodes {
            let by = starts + TOLD_WITHIN;
            let is_silenced = self
                .silences
                .iter()
                .any(|(silenced, from, to)| silenced == alert && *from < by && to > starts);
            let is_seen = self.nodes.iter().any(|node| node.up_since <= *starts || self.is_calm);
            let is_held = self.is_in_hand(*alert, *starts, by);
            if *ends < by || is_silenced || is_held || !is_seen || self.outage_until > *starts {
                continue;
            }
            if state_at("d", *alert, by) != Some(true) {
                self.fail(&format!("{alert} fired at {} s and nobody was told", starts / SECOND));
            }
        }
    }
}

impl World {
    /// What the first receiver was told of, and nobody took in hand, the next one was told of in time.
    fn check_escalations(&self) {
        for Episode { alert, starts, ends } in &self.episodes {
            let mut of_episode = self.heard.iter().filter(|told| {
                told.receiver == "d"
                    && (*starts..=*ends).contains(&told.at)
                    && told.alerts.get(alert) == Some(&true)
            });
            // Who told before may have been killed before it wrote that down.
            let Some(told) = of_episode.next_back() else { continue };
            let by = told.at + if self.is_calm { ESCALATED_WITHIN } else { ESCALATED_WITHIN + 3 * MINUTE };
            let is_silenced =
                self.silences.iter().any(|(of, from, to)| of == alert && *from < by && to > starts);
            let is_held = self.is_in_hand(*alert, *starts, by);
            if *ends < by || is_silenced || is_held || self.outage_until > *starts {
                continue;
            }
            let is_told = self.heard.iter().any(|told| {
                told.receiver == "e"
                    && (*starts..=by).contains(&told.at)
                    && told.alerts.get(alert) == Some(&true)
            });
            if !is_told {
                self.fail(&format!(
                    "{alert} was told at {} s, and the next receiver never",
                    told.at / SECOND
                ));
            }
        }
    }
}

fn is_trouble(event: &Event) -> bool {
    matches!(event, Event::Cut { .. } | Event::Kill { .. } | Event::Start(_))
}

fn without_records(mut message: Message) -> Message {
    match &mut message.body {
        Body::Delta { records, relayed, .. } => {
            records.clear();
            relayed.clear();
        }
        Body::Page { records, .. } => records.clear(),
        _ => {}
    }
    message
}

/// Runs seeds until one fails; returns it.
fn first_failure(seeds: impl IntoIterator<Item = u64>, broken: Broken) -> Option<u64> {
    seeds.into_iter().find(|seed| {
        let seed = *seed;
        std::panic::catch_unwind(move || World::new(seed, broken).run()).is_err()
    })
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn whatever_goes_wrong_somebody_is_told_once_and_hears_of_the_end() {
    let (from, n) = (number("HINOMI_SIM_FROM", 0), number("HINOMI_SIM_SEEDS", 100));
    let n_calm = AtomicSeeds::run(from, n);
    println!("{n} seeds from {from}, {n_calm} of them calm");
}

struct AtomicSeeds;

impl AtomicSeeds {
    /// Runs the seeds; returns how many expected exactly one.
    fn run(from: u64, n: u64) -> u64 {
        let mut n_calm = 0;
        for seed in from..from + n {
            let world = World::new(seed, Broken::Nothing);
            n_calm += u64::from(world.is_calm);
            world.run();
        }
        n_calm
    }
}

#[test]
fn what_is_broken_on_purpose_is_noticed() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found: Vec<_> = [Broken::Wait, Broken::Merge, Broken::Snapshot, Broken::Promise]
        .into_iter()
        .map(|broken| (broken, first_failure(0..200, broken)))
        .collect();
    std::panic::set_hook(hook);
    let missed: BTreeSet<String> =
        found.iter().filter(|(_, seed)| seed.is_none()).map(|(broken, _)| format!("{broken:?}")).collect();
    assert!(missed.is_empty(), "not noticed: {missed:?} of {found:?}");
}
