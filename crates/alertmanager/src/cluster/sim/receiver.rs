//! The receivers: what they hear, and whether they should have.
//!
//! In from `world`, message by message. What is checked where nothing goes wrong is that each message is news; what somebody
//! has, what is held back, what flaps and what is no news while its host is down is not told.

use std::collections::BTreeMap;

use super::world::World;
use super::{
    CHILDREN, ESCALATES_AFTER, FLAP_CHANGES, FLAP_STABLE, FLAP_WITHIN, MINUTE, PARENT, PARENT_WAIT,
    PEER_TIMEOUT, REPORTS_APART, SECOND,
};

/// A message as a receiver got it: when, about which group, alerts and whether they fire, and since when.
pub(super) struct Told {
    pub(super) at: i64,
    pub(super) receiver: String,
    pub(super) group: String,
    pub(super) alerts: BTreeMap<usize, bool>,
    pub(super) starts: BTreeMap<usize, i64>,
}

/// When an alert flaps, in true time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flapping {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl World {
    /// What the receiver makes of a message.
    pub(super) fn hear(&mut self, from: usize, told: Told) {
        if self.is_calm && !self.is_news(&told) {
            self.fail(&format!("told twice: {:?} by n{from}", told.alerts));
        }
        if told.receiver == "e" && !self.drawn.escalates {
            self.fail("a further receiver is told, and nothing escalates");
        }
        for (alert, is_firing) in &told.alerts {
            if *is_firing {
                self.check_hands(*alert, from, &told.receiver);
                self.check_held_back(*alert, from);
                self.check_parent(*alert, from, told.starts[alert]);
            }
            self.check_flapping(*alert, *is_firing, from, &told);
        }
        self.heard.push(told);
    }

    /// What was told to a receiver in a group, the last first.
    fn told_before<'a>(&'a self, told: &'a Told) -> impl Iterator<Item = &'a Told> {
        self.heard.iter().rev().filter(|old| old.group == told.group && old.receiver == told.receiver)
    }

    fn is_news(&self, told: &Told) -> bool {
        // An end is news too when the alert fired since, even if nobody was told of that, as upstream has it.
        let has_fired_since = |alert: usize, at: i64| {
            self.episodes.iter().any(|episode| episode.alert == alert && episode.starts >= at)
        };
        let slack = 2 * self.skew_max + SECOND;
        let is_since = |time: i64, at: i64| (at - slack..=self.now + slack).contains(&time);
        let was_given_back = |alert: usize, at: i64| {
            self.in_hand.iter().any(|held| held.alert == alert && is_since(held.to, at))
        };
        let is_in_last =
            |alert: &usize| self.told_before(told).next().is_some_and(|last| last.alerts.contains_key(alert));
        // That it flaps is news, and that it does no more.
        let has_turned = |alert: usize, at: i64| {
            let is_since = |time: i64| (at - slack - REPORTS_APART..=self.now + slack).contains(&time);
            let turns = |of: &Flapping| is_since(of.from) || is_since(of.to);
            self.flappings_known().iter().any(|known| self.flappings(alert, *known).iter().any(turns))
        };
        told.alerts.iter().any(|(alert, is_firing)| {
            let last = self.told_before(told).find_map(|old| Some((old.at, *old.alerts.get(alert)?)));
            match last {
                Some((_, was_firing)) if was_firing != *is_firing => true,
                // A firing that the message before left out was silenced then, or in hand; or it was, and is no more.
                Some((at, _)) if *is_firing => {
                    !is_in_last(alert) || was_given_back(*alert, at) || has_turned(*alert, at)
                }
                Some((at, _)) => has_fired_since(*alert, at - MINUTE),
                None => true,
            }
        })
    }

    /// An alert is told to fire: no silence and no maintenance window is about it that everybody can have heard of.
    fn check_held_back(&self, alert: usize, from: usize) {
        let margin = 20 * SECOND + 2 * self.skew_max;
        let hold = self.holds.iter().find(|hold| {
            let is_on = hold.from + margin < self.now && self.now < hold.to - margin;
            hold.alert == alert && is_on && (self.is_calm || hold.is_sure)
        });
        if let Some(hold) = hold {
            self.fail(&format!("held back by {hold:?}, and told all the same by n{from}"));
        }
    }

    /// An alert is told to fire: nobody has it, and a further receiver hears of it after the time that others had.
    fn check_hands(&self, alert: usize, from: usize, receiver: &str) {
        // What somebody has since a while, and no manager can have failed to hear of it.
        let margin = 40 * SECOND + 2 * self.skew_max;
        let began = self.firing.get(&alert).copied();
        let holds = self.in_hand.iter().any(|held| {
            let is_on = held.from + margin < self.now && self.now < held.to - margin;
            held.alert == alert && is_on && began.is_some_and(|began| began < held.from)
        });
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

    /// An alert is told to fire: it is no news while what it depends on fires, nor before that had time to be reported.
    fn check_parent(&self, alert: usize, from: usize, started: i64) {
        // A clock that is far behind takes what began for what is to come, and does not wait.
        if !self.drawn.depends || !CHILDREN.contains(&alert) || 2 * self.skew_max > PARENT_WAIT {
            return;
        }
        let slack = 2 * self.skew_max + SECOND;
        // Who did not hear of an end, being down, takes the next firing for the same.
        let is_sure = |began: i64| {
            let is_near = |ended: i64| ended + 5 * MINUTE > began;
            self.is_calm || !self.episodes.iter().any(|of| of.alert == alert && is_near(of.ends))
        };
        // A message tells what was when its manager's time came, which waited its turn since: of a firing that began
        // meanwhile it cannot know, and the one it tells of must have waited.
        let unheard = REPORTS_APART + PEER_TIMEOUT * from as i64 + slack;
        let is_early = |began: &i64| {
            let of = if self.now < began + unheard { started } else { *began };
            self.now < of + PARENT_WAIT - slack && is_sure(*began)
        };
        if self.firing.get(&alert).is_some_and(is_early) {
            self.fail(&format!("{alert} did not wait for its parent at n{from}"));
        }
        let margin = 5 * SECOND + 2 * self.skew_max;
        let hides = self.of_parent().any(|(began, ended)| {
            began + margin < self.now && ended.is_none_or(|ended| self.now < ended + PARENT_WAIT - margin)
        });
        if self.is_calm && hides {
            self.fail(&format!("{alert} is told by n{from} while its parent fires"));
        }
    }

    /// From when to when the parent fires.
    fn of_parent(&self) -> impl Iterator<Item = (i64, Option<i64>)> {
        let over = self.episodes.iter().filter(|episode| episode.alert == PARENT);
        let now = self.firing.get(&PARENT).map(|began| (*began, None));
        over.map(|episode| (episode.starts, Some(episode.ends))).chain(now)
    }

    /// Whether an alert may have been no news because of its parent, at any time between.
    pub(super) fn may_be_hidden(&self, alert: usize, from: i64, to: i64) -> bool {
        let margin = 2 * self.skew_max + 2 * REPORTS_APART;
        self.drawn.depends
            && CHILDREN.contains(&alert)
            && self.of_parent().any(|(began, ended)| {
                // A manager that missed the end holds it for firing until it is told again.
                let ended = ended.map_or(self.now, |ended| ended + PARENT_WAIT + MINUTE);
                began - margin <= to && ended + margin >= from
            })
    }

    /// Until when a manager may know what changed: it may have heard of the last change or not, and by its clock the time may be
    /// over already after which what flapped is stable. Told by either is right; no manager can wait for a change that may come.
    fn flappings_known(&self) -> [i64; 2] {
        [self.now - REPORTS_APART - 2 * self.skew_max - SECOND, self.now]
    }

    /// When an alert flaps, as the setting has it, by its changes until a time.
    fn flappings(&self, alert: usize, known: i64) -> Vec<Flapping> {
        if !self.drawn.damps {
            return Vec::new();
        }
        let mut changes: Vec<i64> = self
            .episodes
            .iter()
            .filter(|episode| episode.alert == alert)
            .flat_map(|episode| [episode.starts, episode.ends])
            .chain(self.firing.get(&alert).copied())
            .filter(|at| *at <= known)
            .collect();
        changes.sort_unstable();
        let mut flappings: Vec<Flapping> = Vec::new();
        for (idx, at) in changes.iter().enumerate() {
            if let Some(last) = flappings.last_mut().filter(|last| *at < last.to) {
                last.to = at + FLAP_STABLE;
                continue;
            }
            let first = (idx + 1).checked_sub(FLAP_CHANGES).map(|first| changes[first]);
            if first.is_some_and(|first| first + FLAP_WITHIN > *at) {
                flappings.push(Flapping { from: *at, to: at + FLAP_STABLE });
            }
        }
        flappings
    }

    /// While an alert flaps it is told to flap, and nothing else.
    fn check_flapping(&self, alert: usize, is_firing: bool, from: usize, told: &Told) {
        let margin = 40 * SECOND + 2 * self.skew_max;
        let is_in = |flapping: &Flapping, at: i64| {
            flapping.from + margin < at && at < flapping.to - 5 * SECOND - 2 * self.skew_max
        };
        let all = self
            .flappings_known()
            .map(|known| self.flappings(alert, known).into_iter().find(|flapping| is_in(flapping, self.now)));
        let [Some(flapping), Some(_)] = all else { return };
        if !self.is_calm {
            return;
        }
        if !is_firing {
            self.fail(&format!("{alert} flaps, and n{from} tells of an end"));
        }
        let slack = REPORTS_APART + 2 * self.skew_max + SECOND;
        // What the message before left out was held back then.
        let last = self.told_before(told).next().filter(|old| old.alerts.contains_key(&alert));
        let Some(last) = last.filter(|last| last.at > flapping.from + slack) else { return };
        let was_given_back =
            self.in_hand.iter().any(|held| held.alert == alert && held.to + slack >= last.at);
        if last.alerts[&alert] && !was_given_back {
            self.fail(&format!("{alert} flaps, and n{from} tells of it again"));
        }
    }
}
