//! What must be true of every history, when it is over.

use super::world::{Episode, World};
use super::{END, ESCALATED_WITHIN, MINUTE, N_ALERTS, RECEIVERS, SECOND, TOLD_WITHIN};

impl World {
    pub(super) fn check(self) {
        for (alert, receiver) in (0..N_ALERTS).flat_map(|alert| RECEIVERS.map(|receiver| (alert, receiver))) {
            if self.last_told(receiver, alert, END) == Some(true) {
                self.fail(&format!("{receiver} was told that {alert} fires, and never of its end"));
            }
        }
        self.check_told();
        if self.drawn.escalates {
            self.check_escalations();
        }
    }

    /// Whether a receiver takes an alert for firing at a time; `None` when it never heard of it.
    fn last_told(&self, receiver: &str, alert: usize, at: i64) -> Option<bool> {
        let told = self.heard.iter().rev().filter(|told| told.at <= at && told.receiver == receiver);
        told.filter_map(|told| told.alerts.get(&alert)).next().copied()
    }

    /// A firing that lasts is told, unless something holds it back.
    fn check_told(&self) {
        for Episode { alert, starts, ends } in &self.episodes {
            let by = starts + TOLD_WITHIN;
            let is_seen = self.nodes.iter().any(|node| node.up_since <= *starts || self.is_calm);
            if *ends < by || !is_seen || self.may_be_held_back(*alert, *starts, by) {
                continue;
            }
            if self.last_told("d", *alert, by) != Some(true) {
                self.fail(&format!("{alert} fired at {} s and nobody was told", starts / SECOND));
            }
        }
    }

    /// What the first receiver was told of, and nobody took in hand, the next one knows of in time.
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
            if *ends < by || self.may_be_held_back(*alert, *starts, by) {
                continue;
            }
            if self.last_told("e", *alert, by) != Some(true) {
                self.fail(&format!(
                    "{alert} was told at {} s, and the next receiver never",
                    told.at / SECOND
                ));
            }
        }
    }

    /// Whether anything may have held an alert back, at any time between.
    fn may_be_held_back(&self, alert: usize, from: i64, to: i64) -> bool {
        let margin = 2 * self.skew_max;
        let is_on = |starts: i64, ends: i64| starts <= to + margin && ends + margin >= from;
        let is_held = self.holds.iter().any(|hold| {
            let ends = if self.is_calm { hold.to } else { hold.planned_to };
            hold.alert == alert && is_on(hold.from, ends)
        });
        let is_in_hand = self.in_hand.iter().any(|held| held.alert == alert && is_on(held.from, held.to));
        is_held || is_in_hand || self.may_be_hidden(alert, from, to) || self.outage_until > from
    }
}
