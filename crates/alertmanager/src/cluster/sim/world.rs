//! The world: managers on their real cores, a network that loses and delays, and time.
//!
//! In from `plan` and `people` (what happens when); out to `receiver`, which hears every message, and `check`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use model::Labels;
use stdx::MemDir;
use stdx::metrics::Registry;

use super::people::{Hand, Held, Hold};
use super::plan::Drawn;
use super::receiver::Told;
use super::{Broken, CALM_FROM, END, Failure, MINUTE, PEER_TIMEOUT, REPORTS_APART, Rng, SECOND, T0};
use crate::alert::Alert;
use crate::cluster::mesh::{Mesh, MeshOptions};
use crate::cluster::message::{Body, Identity, Message};
use crate::cluster::shared::{is_blank, spread, take, turn};
use crate::config::Config;
use crate::dispatch::{Action, Core, CoreOptions, JobId};
use crate::metrics::Metrics;
use crate::notification::{Outcome, Reason, Snapshot};
use crate::record::Record;
use crate::state::Store;

/// Something that is due.
#[derive(Debug, Clone)]
pub(super) enum Event {
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
    People {
        at: usize,
        hand: Hand,
    },
    /// A manager reads its file again, which is as it was.
    Reload(usize),
    Kill {
        node: usize,
        loses_disk: bool,
        down: i64,
    },
    /// A manager is killed when its next message was answered, before it hears of that; and what it told may be silenced then.
    Doom {
        node: usize,
        down: i64,
        is_silenced: bool,
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

pub(super) struct Node {
    pub(super) core: Core,
    store: Store,
    dir: MemDir,
    mesh: Mesh,
    life: u32,
    pub(super) is_up: bool,
    pub(super) up_since: i64,
    skew: i64,
}

/// One firing of one alert, in true time.
#[derive(Debug, Clone)]
pub(super) struct Episode {
    pub(super) alert: usize,
    pub(super) starts: i64,
    pub(super) ends: i64,
}

pub(super) struct World {
    pub(super) broken: Broken,
    pub(super) rng: Rng,
    pub(super) drawn: Drawn,
    /// Who is to be killed at its next message: for how long, and whether that is silenced then.
    dooms: BTreeMap<usize, (i64, bool)>,
    pub(super) now: i64,
    pub(super) nodes: Vec<Node>,
    events: BTreeMap<(i64, u64), Event>,
    n_events: u64,
    /// Nothing goes wrong: exactly one is expected.
    pub(super) is_calm: bool,
    loss_percent: i64,
    delay_max: i64,
    pub(super) skew_max: i64,
    cuts: Vec<(usize, usize, i64)>,
    pub(super) outage_until: i64,
    pub(super) firing: BTreeMap<usize, i64>,
    resolved: BTreeMap<usize, (i64, i64)>,
    /// When the last report comes to a manager of an alert.
    posted: BTreeMap<(usize, usize), i64>,
    pub(super) episodes: Vec<Episode>,
    /// What is silenced or under maintenance, and when.
    pub(super) holds: Vec<Hold>,
    /// Which alerts somebody had, from when to when.
    pub(super) in_hand: Vec<Held>,
    /// What the receivers heard.
    pub(super) heard: Vec<Told>,
    trace: VecDeque<String>,
}

pub(super) fn name(alert: usize) -> String {
    format!("a{alert}")
}

fn address(node: usize) -> String {
    format!("10.0.0.{node}:9094")
}

fn options() -> MeshOptions {
    MeshOptions {
        peer_timeout_ms: PEER_TIMEOUT,
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
    pub(super) fn new(seed: u64, broken: Broken) -> Self {
        let mut rng = Rng(seed);
        let n_nodes = usize::try_from(rng.between(2, 3)).expect("small");
        let is_calm = rng.chance(35);
        // Clocks that somebody looks after for exactly one; for at least one, any.
        let skew_max = if rng.chance(50) { rng.between(1, if is_calm { 1 } else { 45 }) * SECOND } else { 0 };
        let drawn = Drawn::draw(&mut rng);
        let config = drawn.config(broken);
        let mut world = Self {
            broken,
            drawn,
            now: 0,
            nodes: Vec::new(),
            events: BTreeMap::new(),
            n_events: 0,
            dooms: BTreeMap::new(),
            is_calm,
            loss_percent: if is_calm { rng.below(3) } else { rng.below(40) },
            delay_max: [20, 200, 3_000][rng.any(if is_calm { 2 } else { 3 })],
            skew_max,
            cuts: Vec::new(),
            outage_until: 0,
            firing: BTreeMap::new(),
            resolved: BTreeMap::new(),
            posted: BTreeMap::new(),
            episodes: Vec::new(),
            holds: Vec::new(),
            in_hand: Vec::new(),
            heard: Vec::new(),
            trace: VecDeque::new(),
            rng,
        };
        for node in 0..n_nodes {
            let skew = if skew_max > 0 { world.rng.between(-skew_max, skew_max) } else { 0 };
            let made = world.make(node, n_nodes, &config, MemDir::new(), 0, skew);
            world.nodes.push(made);
        }
        world.hold_by_file();
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

    pub(super) fn at(&mut self, at: i64, event: Event) {
        self.n_events += 1;
        self.events.insert((at.max(self.now), self.n_events), event);
    }

    /// What the clock of a manager shows.
    pub(super) fn wall(&self, node: usize) -> i64 {
        T0 + self.now + self.nodes[node].skew
    }

    /// Whether anybody is going to do something.
    pub(super) fn is_planned(&self, is_it: impl Fn(&Hand) -> bool) -> bool {
        self.events.values().any(|event| matches!(event, Event::People { hand, .. } if is_it(hand)))
    }

    pub(super) fn note(&mut self, text: String) {
        if self.trace.len() >= 300 {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:>8.1} {text}", self.now as f64 / 1e3));
    }

    /// Ends the run: a promise was broken.
    pub(super) fn fail(&self, why: &str) -> ! {
        let why = format!(
            "{why} ({} managers, calm {}, loss {} %, delays to {} ms, clocks to {} s apart, broken: {:?})",
            self.nodes.len(),
            self.is_calm,
            self.loss_percent,
            self.delay_max,
            2 * self.skew_max / SECOND,
            self.broken
        );
        // Not by `panic!`, whose hook would print each of many.
        std::panic::resume_unwind(Box::new(Failure { why, trace: self.trace.iter().cloned().collect() }))
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cuts.iter().any(|(x, y, until)| *until > self.now && ((*x, *y) == (a, b) || (*y, *x) == (a, b)))
    }

    /// Where nothing goes wrong reports of one sender to one manager keep their order: one that overtakes the word of an end
    /// says that the alert still fires, and nobody can tell it from that of another sender, for whom it does.
    fn post(&mut self, alert: usize, starts: i64, ends: i64) {
        for to in 0..self.nodes.len() {
            let delay = self.rng.below(REPORTS_APART);
            let last = self.posted.get(&(to, alert)).copied().filter(|_| self.is_calm);
            let at = (self.now + delay).max(last.unwrap_or(0));
            self.posted.insert((to, alert), at);
            self.at(at, Event::Post { to, alert, starts, ends });
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

    pub(super) fn run(mut self) {
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
        // What is said before an attempt starts; what is said after it comes with its outcome.
        let is_pledge = |record: &Record| matches!(record, Record::Promised(_) | Record::Doubted(..));
        let is_broken = self.broken == Broken::Pledge;
        self.save_but(idx, |record| is_broken && is_pledge(record));
        for out in outs {
            self.send(idx, &out.address, out.message);
        }
        for action in actions {
            self.attempt(idx, action);
        }
    }

    /// Writes down and spreads what happened at one node.
    pub(super) fn save(&mut self, idx: usize) {
        self.save_but(idx, |_| false);
    }

    /// The same but for records that get lost.
    fn save_but(&mut self, idx: usize, is_lost: impl Fn(&Record) -> bool) {
        let node = &mut self.nodes[idx];
        let mut journal = node.core.take_journal();
        journal.retain(|record| !is_lost(record));
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
            let number = |of: &Snapshot| -> usize { of.alert.name()[1..].parse().expect("a number") };
            let all = &notification.alerts;
            let alerts: BTreeMap<usize, bool> = all.iter().map(|of| (number(of), of.is_firing)).collect();
            let starts = all.iter().map(|of| (number(of), of.alert.starts_at_ms - T0)).collect();
            let seconds: Vec<i64> = all.iter().map(|of| (of.alert.starts_at_ms - T0) / SECOND).collect();
            let receiver = notification.receiver.clone();
            self.note(format!("n{idx} tells {receiver} {alerts:?} ({}) {seconds:?}", notification.reason));
            let group = notification.group_key.clone();
            if let Some((down, is_silenced)) = self.dooms.remove(&idx) {
                self.at(self.now + 1, Event::Kill { node: idx, loses_disk: false, down });
                if let Some(alert) = alerts.keys().next().copied().filter(|_| is_silenced) {
                    let starts = self.now + self.rng.between(1, 20) * SECOND;
                    let hand = Hand::Silence { alert, ends: starts + self.rng.between(60, 600) * SECOND };
                    (0..self.nodes.len())
                        .for_each(|at| self.at(starts, Event::People { at, hand: hand.clone() }));
                }
            }
            self.hear(idx, Told { at: self.now, receiver, group, alerts, starts });
        }
        let at = self.now + self.rng.between(5, 300);
        let life = self.nodes[idx].life;
        self.at(at, Event::Answer { to: idx, life, job, is_ok });
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
                let wall = self.wall(to);
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
            Event::People { at, hand } => self.lay_hand(at, hand),
            Event::Reload(node) => self.reload(node),
            Event::Kill { node, loses_disk, down } => self.kill(node, loses_disk, down),
            Event::Doom { node, down, is_silenced } => {
                // Not while one that lost its disk reads what this one knows.
                if self.all_have_read() {
                    self.dooms.insert(node, (down, is_silenced));
                }
            }
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
            labels: Labels::from_pairs([("alertname", name(alert).as_str()), ("site", "x")]),
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

    /// Whether all are up and know what the others know.
    fn all_have_read(&self) -> bool {
        let name = |of: &Node| of.mesh.name().to_owned();
        let knows = |node: &Node, other: &Node| name(node) == name(other) || node.mesh.has_read(&name(other));
        self.nodes.iter().all(|node| node.is_up && self.nodes.iter().all(|other| knows(node, other)))
    }

    fn kill(&mut self, idx: usize, loses_disk: bool, down: i64) {
        if !self.nodes[idx].is_up {
            return;
        }
        // Who lost its disk knows again what the others know, so that one of them has to be there and in reach, and to have
        // heard what it knew: what only one manager knows goes with its disk.
        let mesh = &self.nodes[idx].mesh;
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != idx);
        let others_fine =
            others.into_iter().all(|(_, other)| other.is_up && other.mesh.has_read(mesh.name()))
                && mesh.n_queued() == 0;
        let loses_disk = loses_disk
            && others_fine
            && self.events.values().all(|event| !is_trouble(event))
            && self.cuts.iter().all(|(_, _, until)| *until <= self.now);
        self.note(format!("n{idx} killed for {} s, disk lost: {loses_disk}", down / SECOND));
        if loses_disk {
            self.dooms.clear();
        }
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

    /// The file is read again, and says what it said.
    fn reload(&mut self, idx: usize) {
        if self.nodes[idx].is_up {
            self.note(format!("n{idx} reads its file again"));
            let wall = self.wall(idx);
            let core = &mut self.nodes[idx].core;
            core.reload(Arc::clone(&core.config), wall);
            self.save(idx);
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
