//! The sync core of a cluster: who is there, what they have to be told, and whose turn it is.
//!
//! In from the shell: messages that came, records that are new here, the time; out: messages to send, and records to
//! merge. Knows no socket and no clock; times are milliseconds of a clock that never goes back. Messages may be lost,
//! doubled, delayed and reordered: what matters is said again until it is acknowledged, merging takes any order, and
//! a sum over everything finds what was missed all the same. Method and defaults: docs/adr/0006-replicas-of-managers.md.

use std::collections::{BTreeMap, VecDeque};

use super::member::{Contact, Member, Pull};
use super::message::{Body, Cursor, Identity, Message, PEERS_MAX};
use crate::record::codec::Line;

/// Records for one manager that wait; beyond it they go, and the sum over everything brings them. Chosen: some 10 MB.
pub(super) const QUEUE_RECORDS_MAX: usize = 20_000;
/// Records of one delta. Chosen: a burst goes in few messages, none of which is long.
const DELTA_RECORDS_MAX: usize = 500;
/// How many probes in a row must be missed before a manager counts as gone. Chosen: above a lost message or a slow
/// answer, and well below the wait for one that is slow.
const PROBES_MISSED: i64 = 5;
/// As upstream: settled when nothing changed for so many gossip intervals, four looks of ten each.
const SETTLE_GOSSIPS: i64 = 40;
/// Least wait before something is said again.
const RESEND_MS_MIN: i64 = 500;

/// What the mesh needs of the records that are shared.
pub(crate) trait Shared {
    /// Records after `after`, some at a time, and where to go on.
    fn page(&self, after: Option<&Cursor>) -> (Vec<Line>, Option<Cursor>);
    /// A sum over all records: equal when they are.
    fn digest(&self) -> u64;
}

/// Times in milliseconds; `--cluster.…` flags.
#[derive(Debug, Clone)]
pub(crate) struct MeshOptions {
    pub(crate) peer_timeout_ms: i64,
    pub(crate) gossip_interval_ms: i64,
    pub(crate) pushpull_interval_ms: i64,
    pub(crate) probe_interval_ms: i64,
    pub(crate) settle_timeout_ms: i64,
    pub(crate) reconnect_interval_ms: i64,
    pub(crate) reconnect_timeout_ms: i64,
}

/// A message on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Out {
    pub(crate) address: String,
    pub(crate) message: Message,
}

/// What others said that this manager may not know.
#[derive(Debug)]
pub(crate) struct News {
    /// What its sender did just now.
    pub(crate) records: Vec<Line>,
    /// What its sender knows.
    pub(crate) relayed: Vec<Line>,
    pub(crate) from: String,
    /// Whether others should hear of it too.
    pub(crate) is_new: bool,
}

/// For metrics.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) joined: u64,
    pub(crate) left: u64,
    pub(crate) reconnected: u64,
    pub(crate) conflicts: u64,
    pub(crate) pruned: u64,
}

/// One manager's view of all.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(super) me: Identity,
    options: MeshOptions,
    /// By address: whom to call.
    contacts: BTreeMap<String, Contact>,
    /// By name: who was heard.
    pub(super) members: BTreeMap<String, Member>,
    started_ms: i64,
    polled_ms: i64,
    /// Least wait for those of the configuration that are not there.
    calm_ms: i64,
    is_ready: bool,
    next_id: u64,
    outbox: VecDeque<Out>,
    pub(crate) counts: Counts,
}

impl Mesh {
    /// Alone at first; `peers` are the addresses of the configuration. One that `is_blank`, with nothing on its disk, waits
    /// longer for those who may know what it lost.
    pub(crate) fn new(
        me: Identity,
        options: MeshOptions,
        peers: &[String],
        is_blank: bool,
        now_ms: i64,
    ) -> Self {
        let gossips_ms = options.gossip_interval_ms.saturating_mul(SETTLE_GOSSIPS);
        let calm_ms = if is_blank { options.settle_timeout_ms } else { gossips_ms };
        let is_ready = options.settle_timeout_ms <= 0;
        let mut mesh = Self {
            me,
            options,
            contacts: BTreeMap::new(),
            members: BTreeMap::new(),
            started_ms: now_ms,
            polled_ms: i64::MIN,
            calm_ms,
            is_ready,
            next_id: 0,
            outbox: VecDeque::new(),
            counts: Counts::default(),
        };
        peers.iter().for_each(|address| mesh.add_contact(address, true, now_ms));
        mesh
    }

    /// Takes note of an address, of the configuration or heard of.
    pub(crate) fn add_contact(&mut self, address: &str, is_configured: bool, now_ms: i64) {
        if address == self.me.address || self.contacts.len() >= 2 * PEERS_MAX {
            return;
        }
        let contact = self.contacts.entry(address.to_owned()).or_insert_with(|| Contact::new(now_ms));
        contact.is_configured |= is_configured;
    }

    /// Tells all others of new records, all but `except`, who said them.
    pub(crate) fn push(&mut self, records: &[Line], except: Option<&str>) {
        for (name, member) in &mut self.members {
            if except != Some(name.as_str()) {
                self.counts.pruned += member.enqueue(records, except.is_none());
            }
        }
    }

    /// How many managers are there, this one included.
    pub(crate) fn n_members(&self) -> usize {
        1 + self.alive().count()
    }

    /// How many of those that were there, or should be, are not.
    pub(crate) fn n_failed(&self) -> usize {
        let silent = self
            .contacts
            .values()
            .filter(|contact| contact.is_configured && !contact.is_self && contact.name.is_none());
        self.members.values().filter(|member| !member.is_alive && !member.has_left).count() + silent.count()
    }

    /// How many records wait to be sent.
    pub(crate) fn n_queued(&self) -> usize {
        self.members.values().map(Member::n_queued).sum()
    }

    /// Name and address of all that are there, this one included, by name.
    pub(crate) fn peers(&self) -> Vec<(String, String)> {
        let others = self.alive().map(|(name, member)| (name.clone(), member.address.clone()));
        let mut all: Vec<_> = others.chain([(self.me.name.clone(), self.me.address.clone())]).collect();
        all.sort();
        all
    }

    fn alive(&self) -> impl Iterator<Item = (&String, &Member)> {
        self.members.iter().filter(|(_, member)| member.is_alive)
    }

    /// How many others speak before this one.
    pub(crate) fn position(&self) -> usize {
        self.position_of(&self.me.name)
    }

    fn position_of(&self, name: &str) -> usize {
        let before = self.alive().filter(|(other, _)| other.as_str() < name).count();
        before + usize::from(self.me.name.as_str() < name)
    }

    /// Whether what the manager of that name knows is known here, but for what is on its way.
    #[cfg(test)]
    pub(super) fn has_read(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|member| member.is_alive && member.pull.is_done())
    }

    /// This one's name.
    pub(crate) fn name(&self) -> &str {
        &self.me.name
    }

    /// How long to wait for them.
    pub(crate) fn wait_ms(&self) -> i64 {
        self.wait_ms_of(&self.me.name)
    }

    /// How long the manager of that name waits, as far as is known here.
    pub(super) fn wait_ms_of(&self, name: &str) -> i64 {
        let position = i64::try_from(self.position_of(name)).unwrap_or(i64::MAX);
        position.saturating_mul(self.options.peer_timeout_ms)
    }

    /// Whether what others know is known here, or was waited for long enough.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Says goodbye; the messages are in the next [`Mesh::poll`].
    pub(crate) fn leave(&mut self) {
        let names: Vec<String> = self.alive().map(|(name, _)| name.clone()).collect();
        names.iter().for_each(|name| self.send(name, Body::Leave {}));
    }

    fn failed_after_ms(&self) -> i64 {
        self.options.probe_interval_ms.saturating_mul(PROBES_MISSED)
    }

    fn resend_ms(&self) -> i64 {
        (self.options.gossip_interval_ms.saturating_mul(5)).max(RESEND_MS_MIN)
    }

    /// To somebody who was heard.
    fn send(&mut self, name: &str, body: Body) {
        let Some(member) = self.members.get_mut(name) else { return };
        member.seq += 1;
        let message =
            Message { from: self.me.clone(), echo: Some(member.incarnation), seq: member.seq, body };
        self.outbox.push_back(Out { address: member.address.clone(), message });
    }

    /// Takes a message; returns the records in it.
    pub(crate) fn on_message(&mut self, message: Message, now_ms: i64, shared: &impl Shared) -> Option<News> {
        let Message { from, echo, seq, body } = message;
        if from.name == self.me.name {
            self.on_namesake(&from, &body);
            return None;
        }
        let echoes_me = echo == Some(self.me.incarnation);
        match body {
            Body::Ping { to, nonce, members, digest } => {
                if seq == 0 {
                    // Strangers are answered too, or nobody would ever be known.
                    self.call_back(&from, now_ms);
                    let body = Body::Pong { to, nonce };
                    let message = Message { from: self.me.clone(), echo: Some(from.incarnation), seq, body };
                    self.outbox.push_back(Out { address: from.address.clone(), message });
                }
                if echoes_me && self.hear(&from, seq, now_ms) {
                    members.iter().for_each(|address| self.add_contact(address, false, now_ms));
                    if digest.is_some_and(|digest| digest != shared.digest())
                        && let Some(member) = self.members.get_mut(&from.name)
                    {
                        member.want();
                    }
                }
                None
            }
            Body::Pong { to, nonce } => {
                let contact = self.contacts.get_mut(&to)?;
                if !echoes_me || !contact.on_pong(nonce) {
                    return None;
                }
                contact.name = Some(from.name.clone());
                contact.n_unanswered = 0;
                self.join(&from, now_ms).then_some(())?;
                None
            }
            body if echoes_me && self.hear(&from, seq, now_ms) => {
                self.on_word(from.name, body, now_ms, shared)
            }
            _ => None,
        }
    }

    /// What somebody who is known says.
    fn on_word(&mut self, name: String, body: Body, now_ms: i64, shared: &impl Shared) -> Option<News> {
        match body {
            Body::Delta { id, records, relayed } => {
                self.send(&name, Body::Ack { id });
                Some(News { records, relayed, from: name, is_new: true })
            }
            Body::Ack { id } => {
                self.members.get_mut(&name)?.on_ack(id);
                None
            }
            Body::Pull { page, after } => {
                let (records, next) = shared.page(after.as_ref());
                self.send(&name, Body::Page { page, records, next });
                None
            }
            Body::Page { page, records, next } => {
                let member = self.members.get_mut(&name)?;
                let Pull::Waiting { page: asked, .. } = member.pull else { return None };
                if asked != page {
                    return None;
                }
                member.pull = match next {
                    None => Pull::Done,
                    Some(next) => Pull::Wanted(Some(next)),
                };
                Some(News { records: Vec::new(), relayed: records, from: name, is_new: false })
            }
            Body::Leave {} => {
                self.fail(&name, true, now_ms);
                None
            }
            Body::Ping { .. } | Body::Pong { .. } => None,
        }
    }

    /// Somebody with this manager's name: itself by another address, or a mistake in the configuration.
    fn on_namesake(&mut self, from: &Identity, body: &Body) {
        if from.incarnation != self.me.incarnation {
            self.counts.conflicts += 1;
            return;
        }
        if let Body::Ping { to, .. } = body
            && let Some(contact) = self.contacts.get_mut(to)
        {
            contact.is_self = true;
        }
    }

    /// Whether a message of a known life counts, and if so, notes that it is there.
    fn hear(&mut self, from: &Identity, seq: u64, now_ms: i64) -> bool {
        let known = self.members.get_mut(&from.name).filter(|known| known.incarnation == from.incarnation);
        // Before the answer to a ping proves that it lives now, nothing counts: it may be said by who kept it.
        let Some(member) = known else {
            self.call_back(from, now_ms);
            return false;
        };
        if member.has_left || !member.window.accepts(seq) {
            return false;
        }
        member.heard_ms = now_ms;
        if !member.is_alive {
            self.rejoin(&from.name, now_ms);
        }
        true
    }

    /// Somebody answered a ping: a new manager, a new life of one, or one that was away.
    fn join(&mut self, from: &Identity, now_ms: i64) -> bool {
        match self.members.get_mut(&from.name) {
            Some(member) if member.incarnation == from.incarnation => {
                member.address.clone_from(&from.address);
                member.heard_ms = now_ms;
                if !member.is_alive {
                    self.rejoin(&from.name, now_ms);
                }
                true
            }
            // Two lives that answer at once are two managers of one name.
            Some(member) if member.is_alive && from.incarnation < member.incarnation => {
                self.counts.conflicts += 1;
                false
            }
            known => {
                if known.is_none() && self.members.len() >= PEERS_MAX {
                    tracing::warn!(peer = %from.name, "more than {PEERS_MAX} managers in the cluster; this one is left out");
                    return false;
                }
                self.counts.joined += 1;
                let member = Member::new(from, now_ms, self.options.pushpull_interval_ms);
                self.members.insert(from.name.clone(), member);
                true
            }
        }
    }

    fn rejoin(&mut self, name: &str, now_ms: i64) {
        self.counts.reconnected += 1;
        if let Some(member) = self.members.get_mut(name) {
            member.revive(now_ms);
        }
    }

    fn fail(&mut self, name: &str, has_left: bool, now_ms: i64) {
        if let Some(member) = self.members.get_mut(name) {
            self.counts.left += u64::from(member.is_alive);
            member.is_alive = false;
            member.has_left = has_left;
            member.heard_ms = now_ms;
        }
    }

    /// Advances to `now_ms`; returns what is to be sent.
    pub(crate) fn poll(&mut self, now_ms: i64, shared: &impl Shared) -> Vec<Out> {
        self.polled_ms = now_ms;
        self.fail_silent(now_ms);
        self.call_contacts(now_ms);
        let names: Vec<String> = self.alive().map(|(name, _)| name.clone()).collect();
        for name in names {
            self.talk_to(&name, now_ms, shared);
        }
        self.settle(now_ms);
        self.outbox.drain(..).collect()
    }

    fn fail_silent(&mut self, now_ms: i64) {
        let limit_ms = self.failed_after_ms();
        let is_silent = |member: &Member| member.is_alive && now_ms - member.heard_ms >= limit_ms;
        let silent: Vec<String> =
            self.members.iter().filter(|(_, m)| is_silent(m)).map(|(name, _)| name.clone()).collect();
        silent.iter().for_each(|name| self.fail(name, false, now_ms));
        let keep_ms = self.options.reconnect_timeout_ms;
        let is_forgotten =
            |member: &Member| !member.is_alive && (keep_ms > 0 && now_ms - member.heard_ms >= keep_ms);
        self.members.retain(|_, member| !is_forgotten(member));
        let members = &self.members;
        self.contacts.retain(|_, contact| {
            let is_known = contact.name.as_ref().is_none_or(|name| members.contains_key(name));
            if !is_known {
                contact.name = None;
            }
            contact.is_worth_keeping()
        });
    }

    /// Pings addresses behind which nobody is alive.
    fn call_contacts(&mut self, now_ms: i64) {
        let is_young = now_ms - self.started_ms < self.options.reconnect_interval_ms;
        // Who may not speak yet depends on those who answer.
        let wait_ms = match is_young || !self.is_ready {
            true => self.options.probe_interval_ms.min(self.options.reconnect_interval_ms),
            false => self.options.reconnect_interval_ms,
        };
        let members = &self.members;
        let is_alive = |name: &String| members.get(name).is_some_and(|member| member.is_alive);
        let mut due = Vec::new();
        for (address, contact) in &mut self.contacts {
            let is_there = contact.name.as_ref().is_some_and(is_alive)
                || members.values().any(|member| member.is_alive && member.address == *address);
            if contact.is_self || is_there || contact.next_ping_ms > now_ms {
                continue;
            }
            contact.next_ping_ms = now_ms + wait_ms.max(1);
            due.push(address.clone());
        }
        for address in due {
            self.ping(&address, None, None);
        }
    }

    /// Who speaks and is not known is called within a probe's time: it becomes known here by its answer only, and before that
    /// nothing it asks is answered.
    fn call_back(&mut self, from: &Identity, now_ms: i64) {
        self.add_contact(&from.address, false, now_ms);
        let known = self.members.get(&from.name);
        let is_known = known.is_some_and(|member| member.is_alive && member.incarnation == from.incarnation);
        let soon_ms = now_ms.saturating_add(self.options.probe_interval_ms);
        if let Some(contact) = self.contacts.get_mut(&from.address).filter(|_| !is_known) {
            contact.next_ping_ms = contact.next_ping_ms.min(soon_ms);
        }
    }

    /// Asks an address whether anybody is there; `name` is who should be.
    fn ping(&mut self, address: &str, name: Option<&str>, digest: Option<u64>) {
        self.next_id += 1;
        let nonce = self.next_id;
        let members: Vec<String> = self.alive().map(|(_, member)| member.address.clone()).collect();
        let body = Body::Ping { to: address.to_owned(), nonce, members, digest };
        match name {
            Some(name) => self.send(name, body),
            None => {
                if let Some(contact) = self.contacts.get_mut(address) {
                    contact.on_ping(nonce);
                }
                let message = Message { from: self.me.clone(), echo: None, seq: 0, body };
                self.outbox.push_back(Out { address: address.to_owned(), message });
            }
        }
    }

    /// What one that is alive has to be told and asked now.
    fn talk_to(&mut self, name: &str, now_ms: i64, shared: &impl Shared) {
        let resend_ms = self.resend_ms();
        let options = self.options.clone();
        let Some(member) = self.members.get_mut(name) else { return };
        let address = member.address.clone();
        let is_probe = member.next_ping_ms <= now_ms;
        if is_probe {
            member.next_ping_ms = now_ms + options.probe_interval_ms.max(1);
        }
        let is_sum = is_probe && member.next_digest_ms <= now_ms;
        if is_sum {
            member.next_digest_ms = now_ms + options.pushpull_interval_ms.max(1);
        }
        let mut bodies = Vec::new();
        if let Some((page, after)) = member.pull.to_ask(now_ms, resend_ms, self.next_id + 1) {
            self.next_id = self.next_id.max(page);
            member.pull = Pull::Waiting { page, after: after.clone(), since_ms: now_ms };
            bodies.push(Body::Pull { page, after });
        }
        let next_id = &mut self.next_id;
        if let Some((id, records)) =
            member.next_push(now_ms, options.gossip_interval_ms, resend_ms, DELTA_RECORDS_MAX, next_id)
        {
            bodies.push(Body::Delta { id, records: records.own, relayed: records.relayed });
        }
        if is_probe {
            let digest = is_sum.then(|| shared.digest());
            self.ping(&address, Some(name), digest);
        }
        bodies.into_iter().for_each(|body| self.send(name, body));
    }

    fn settle(&mut self, now_ms: i64) {
        if self.is_ready {
            return;
        }
        let elapsed_ms = now_ms - self.started_ms;
        // One that was heard and fell silent in the middle may yet say what matters.
        let is_pulled = self.members.values().all(|member| member.has_left || member.pull.is_done());
        let is_there = |contact: &Contact| {
            contact.is_self
                || contact.name.as_ref().and_then(|name| self.members.get(name)).is_some_and(|m| m.is_alive)
        };
        let all_there = self.contacts.values().filter(|contact| contact.is_configured).all(is_there);
        let is_calm = elapsed_ms >= self.calm_ms;
        self.is_ready = elapsed_ms >= self.options.settle_timeout_ms || is_pulled && (all_there || is_calm);
    }

    /// When [`Mesh::poll`] has something to do next, if nothing happens before.
    pub(crate) fn next_deadline_ms(&self) -> i64 {
        let mut next_ms = i64::MAX;
        let mut at = |at_ms: i64| next_ms = next_ms.min(at_ms);
        for (address, contact) in &self.contacts {
            let is_there = contact
                .name
                .as_ref()
                .is_some_and(|name| self.members.get(name).is_some_and(|member| member.is_alive))
                || self.alive().any(|(_, member)| member.address == *address);
            if !contact.is_self && !is_there {
                at(contact.next_ping_ms);
            }
        }
        for (_, member) in self.alive() {
            at(member.next_ping_ms);
            at(member.heard_ms + self.failed_after_ms());
            at(member.next_talk_ms(self.options.gossip_interval_ms, self.resend_ms()));
        }
        if !self.is_ready {
            [self.options.settle_timeout_ms, self.calm_ms]
                .into_iter()
                .map(|ms| self.started_ms.saturating_add(ms))
                .filter(|ms| *ms > self.polled_ms)
                .for_each(at);
        }
        next_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody who knows nothing and is told nothing.
    struct Nothing;

    impl Shared for Nothing {
        fn page(&self, _: Option<&Cursor>) -> (Vec<Line>, Option<Cursor>) {
            (Vec::new(), None)
        }

        fn digest(&self) -> u64 {
            0
        }
    }

    fn mesh(name: &str, peer: &str, now_ms: i64) -> Mesh {
        let options = MeshOptions {
            peer_timeout_ms: 15_000,
            gossip_interval_ms: 200,
            pushpull_interval_ms: 60_000,
            probe_interval_ms: 1_000,
            settle_timeout_ms: 60_000,
            reconnect_interval_ms: 10_000,
            reconnect_timeout_ms: 0,
        };
        let me = Identity { name: name.to_owned(), address: name.to_owned(), incarnation: 1 };
        Mesh::new(me, options, &[peer.to_owned()], true, now_ms)
    }

    /// When `mesh` calls its peer, in seconds, if nobody answers.
    fn calls(mesh: &mut Mesh, from_ms: i64, to_ms: i64) -> Vec<i64> {
        let at = (from_ms..to_ms).step_by(100);
        at.filter(|now_ms| !mesh.poll(*now_ms, &Nothing).is_empty()).map(|now_ms| now_ms / 1_000).collect()
    }

    #[test]
    fn who_is_not_ready_calls_at_each_probe_and_who_calls_is_called_back() {
        let mut old = mesh("a", "b", 0);
        assert_eq!(calls(&mut old, 0, 60_000), (0..60).collect::<Vec<_>>());
        assert_eq!(calls(&mut old, 60_000, 85_000), [60, 61, 71, 81]);
        let mut new = mesh("b", "a", 85_000);
        let call = new.poll(85_000, &Nothing).pop().expect("a call");
        assert!(old.on_message(call.message, 85_000, &Nothing).is_none());
        // The answer, and then the call.
        assert_eq!(calls(&mut old, 85_000, 95_000), [85, 86]);
        // It knows the old one now, which did not hear its answer: what it says leads to the next call.
        let from = Identity { name: "b".to_owned(), address: "b".to_owned(), incarnation: 1 };
        let body = Body::Pull { page: 1, after: None };
        old.on_message(Message { from, echo: Some(1), seq: 1, body }, 90_000, &Nothing);
        assert_eq!(calls(&mut old, 90_000, 95_000), [91]);
    }
}
