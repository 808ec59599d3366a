//! What a mesh knows of each other manager: addresses to call, and those who answered.

use std::collections::VecDeque;

use super::mesh::QUEUE_RECORDS_MAX;
use super::message::{Cursor, Identity};
use crate::record::codec::Line;

/// An address that may lead to a manager.
#[derive(Debug)]
pub(super) struct Contact {
    /// Whether it stands in the configuration; others are forgotten with who is behind them.
    pub(super) is_configured: bool,
    /// Whether it leads back here.
    pub(super) is_self: bool,
    /// Who answered last.
    pub(super) name: Option<String>,
    pub(super) next_ping_ms: i64,
    /// Of the pings that wait for an answer; answers may take longer than the next ping.
    pub(super) nonces: VecDeque<u64>,
    /// Pings without an answer, in a row.
    pub(super) n_unanswered: u32,
}

/// Pings without an answer after which hearsay is forgotten. Chosen: five minutes of tries every ten seconds.
const UNANSWERED_MAX: u32 = 30;

impl Contact {
    pub(super) fn new(now_ms: i64) -> Self {
        Self {
            is_configured: false,
            is_self: false,
            name: None,
            next_ping_ms: now_ms,
            nonces: VecDeque::new(),
            n_unanswered: 0,
        }
    }
}

/// Pings whose answers still count. Chosen.
const NONCES_MAX: usize = 8;

impl Contact {
    /// Takes note of a ping that was sent.
    pub(super) fn on_ping(&mut self, nonce: u64) {
        if self.nonces.len() >= NONCES_MAX {
            self.nonces.pop_front();
        }
        self.nonces.push_back(nonce);
        self.n_unanswered = self.n_unanswered.saturating_add(1);
    }

    /// Takes an answer; `false` when no ping asked for it, or it was answered.
    pub(super) fn on_pong(&mut self, nonce: u64) -> bool {
        let asked = self.nonces.iter().position(|known| *known == nonce);
        asked.map(|idx| self.nonces.drain(..=idx)).is_some()
    }

    /// Whether it is worth calling again: it stands in the configuration, or somebody answered not long ago.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.is_configured || self.name.is_some() || self.n_unanswered < UNANSWERED_MAX
    }
}

/// How far reading what another knows has come.
#[derive(Debug)]
pub(super) enum Pull {
    /// To be asked for, from there on.
    Wanted(Option<Cursor>),
    /// Asked for.
    Waiting {
        page: u64,
        after: Option<Cursor>,
        since_ms: i64,
    },
    Done,
}

impl Pull {
    /// What to ask for now: a page, `new_page` if it was not asked for yet, and after which record.
    ///
    /// Asked again it keeps its number: the answer to the first time may only be slower than the patience of who asks.
    pub(super) fn to_ask(&self, now_ms: i64, resend_ms: i64, new_page: u64) -> Option<(u64, Option<Cursor>)> {
        match self {
            Self::Wanted(after) => Some((new_page, after.clone())),
            Self::Waiting { page, after, since_ms } if now_ms - since_ms >= resend_ms => {
                Some((*page, after.clone()))
            }
            _ => None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

/// Which of the last 64 messages came, so that none counts twice.
#[derive(Debug, Default)]
pub(super) struct Window {
    last: u64,
    seen: u64,
}

impl Window {
    /// Whether number `seq` is new; it is not any more then.
    pub(super) fn accepts(&mut self, seq: u64) -> bool {
        if seq == 0 {
            return false;
        }
        if seq > self.last {
            let ahead = seq - self.last;
            self.seen = if ahead >= 64 { 0 } else { self.seen << ahead };
            self.seen |= 1;
            self.last = seq;
            return true;
        }
        let behind = self.last - seq;
        if behind >= 64 || self.seen >> behind & 1 == 1 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

/// Records that were sent and not acknowledged.
#[derive(Debug)]
struct Sent {
    id: u64,
    records: Batch,
    at_ms: i64,
}

/// Records on their way: those that began here, and those that others said.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    pub(super) own: Vec<Line>,
    pub(super) relayed: Vec<Line>,
}

impl Batch {
    fn len(&self) -> usize {
        self.own.len() + self.relayed.len()
    }
}

/// A manager that answered.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) address: String,
    pub(super) incarnation: u64,
    pub(super) is_alive: bool,
    /// It said goodbye.
    pub(super) has_left: bool,
    /// When it was heard last, or when it went.
    pub(super) heard_ms: i64,
    pub(super) next_ping_ms: i64,
    pub(super) next_digest_ms: i64,
    pub(super) pull: Pull,
    pub(super) window: Window,
    pub(super) seq: u64,
    /// With whether they began here.
    queue: VecDeque<(Line, bool)>,
    sent: Option<Sent>,
    last_push_ms: i64,
}

impl Member {
    pub(super) fn new(from: &Identity, now_ms: i64, pushpull_interval_ms: i64) -> Self {
        Self {
            address: from.address.clone(),
            incarnation: from.incarnation,
            is_alive: true,
            has_left: false,
            heard_ms: now_ms,
            next_ping_ms: now_ms,
            next_digest_ms: now_ms.saturating_add(pushpull_interval_ms),
            pull: Pull::Wanted(None),
            window: Window::default(),
            seq: 0,
            queue: VecDeque::new(),
            sent: None,
            last_push_ms: i64::MIN,
        }
    }

    /// It was away and is back: both say what the other may have missed.
    pub(super) fn revive(&mut self, now_ms: i64) {
        self.is_alive = true;
        self.has_left = false;
        self.heard_ms = now_ms;
        self.next_ping_ms = now_ms;
        self.next_digest_ms = now_ms;
        self.pull = Pull::Wanted(None);
    }

    /// Asks for everything, unless that is under way.
    pub(super) fn want(&mut self) {
        if self.pull.is_done() {
            self.pull = Pull::Wanted(None);
        }
    }

    /// Lets records wait; returns how many had to go instead.
    pub(super) fn enqueue(&mut self, records: &[Line], is_own: bool) -> u64 {
        if self.queue.len() + records.len() > QUEUE_RECORDS_MAX {
            let n_gone = self.queue.len() + records.len();
            self.queue.clear();
            // The sums differ then, and it asks for everything.
            self.next_digest_ms = self.next_ping_ms;
            return n_gone as u64;
        }
        self.queue.extend(records.iter().map(|line| (line.clone(), is_own)));
        0
    }

    pub(super) fn n_queued(&self) -> usize {
        self.queue.len() + self.sent.as_ref().map_or(0, |sent| sent.records.len())
    }

    pub(super) fn on_ack(&mut self, id: u64) {
        if self.sent.as_ref().is_some_and(|sent| sent.id == id) {
            self.sent = None;
        }
    }

    /// The delta to send now, if any: what waits, or what was not acknowledged.
    pub(super) fn next_push(
        &mut self,
        now_ms: i64,
        gossip_interval_ms: i64,
        resend_ms: i64,
        records_max: usize,
        next_id: &mut u64,
    ) -> Option<(u64, Batch)> {
        if let Some(sent) = &mut self.sent {
            if now_ms - sent.at_ms < resend_ms {
                return None;
            }
            sent.at_ms = now_ms;
            return Some((sent.id, sent.records.clone()));
        }
        if self.queue.is_empty() || now_ms < self.last_push_ms.saturating_add(gossip_interval_ms) {
            return None;
        }
        let n = self.queue.len().min(records_max);
        let mut records = Batch::default();
        for (line, is_own) in self.queue.drain(..n) {
            if is_own { records.own.push(line) } else { records.relayed.push(line) }
        }
        *next_id += 1;
        self.last_push_ms = now_ms;
        self.sent = Some(Sent { id: *next_id, records: records.clone(), at_ms: now_ms });
        Some((*next_id, records))
    }

    /// When something is to be said to it, besides pings.
    pub(super) fn next_talk_ms(&self, gossip_interval_ms: i64, resend_ms: i64) -> i64 {
        let pull_ms = match &self.pull {
            Pull::Wanted(_) => i64::MIN,
            Pull::Waiting { since_ms, .. } => since_ms.saturating_add(resend_ms),
            Pull::Done => i64::MAX,
        };
        let push_ms = match &self.sent {
            Some(sent) => sent.at_ms.saturating_add(resend_ms),
            None if self.queue.is_empty() => i64::MAX,
            None => self.last_push_ms.saturating_add(gossip_interval_ms),
        };
        pull_ms.min(push_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_counts_twice_and_late_ones_still_count() {
        let mut window = Window::default();
        for (seq, expected) in [
            (0, false),
            (1, true),
            (1, false),
            (3, true),
            (2, true),
            (2, false),
            (70, true),
            (7, true),
            (6, false),
            (70, false),
            (500, true),
            (437, true),
            (436, false),
        ] {
            assert_eq!(window.accepts(seq), expected, "{seq}");
        }
    }
}
