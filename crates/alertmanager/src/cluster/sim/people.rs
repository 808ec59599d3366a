//! What people do: silences, words about alerts, maintenance windows; and what that holds back, in true time.
//!
//! In from `plan`; out to a manager, and to the lists that `receiver` and `check` ask.

use std::collections::BTreeMap;

use model::Matcher;

use super::plan::Planned;
use super::world::{World, name};
use super::{Broken, END, MAINTAINED, MINUTE, SECOND, T0};
use crate::dispatch::Word;
use crate::maintenance::{Spec, Window, file_id};
use crate::silence::Silence;

/// The id of the window that the API makes.
const WINDOW_OF_API: &str = "sim-window";

/// One thing that somebody does at one manager.
#[derive(Debug, Clone)]
pub(super) enum Hand {
    Silence {
        alert: usize,
        ends: i64,
    },
    /// Somebody takes an alert in hand, for good or until a time; or gives it back.
    Ack {
        alert: usize,
        until: Option<i64>,
        is_held: bool,
    },
    MakeWindow,
    DropWindow,
    /// What runs of a window is ended; the next run comes as planned.
    EndRun {
        is_of_file: bool,
    },
}

/// An alert that is to be silent: by a silence, or a run of a maintenance window.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub(super) alert: usize,
    pub(super) from: i64,
    pub(super) to: i64,
    /// When it would have been over had nobody ended it: who was cut off may not know.
    pub(super) planned_to: i64,
    /// Whether all managers know it whatever goes wrong.
    pub(super) is_sure: bool,
    window: Option<String>,
}

/// What somebody has in hand, and until when.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) alert: usize,
    pub(super) from: i64,
    pub(super) to: i64,
}

impl World {
    /// Whether the seed has people who acknowledge.
    pub(super) fn has_hands(&self) -> bool {
        self.is_planned(|hand| matches!(hand, Hand::Ack { .. }))
    }

    /// Runs of the window of the file, which every manager knows from the start.
    pub(super) fn hold_by_file(&mut self) {
        if let Some(window) = self.drawn.windows[0].clone() {
            self.hold_runs(&file_id("f"), &window, 0, true);
        }
    }

    fn hold_runs(&mut self, id: &str, window: &Planned, since: i64, is_sure: bool) {
        for starts in window.starts() {
            let (from, to) = (starts.max(since), starts + window.lasts);
            if from < to {
                let window = Some(id.to_owned());
                self.holds.push(Hold { alert: MAINTAINED, from, to, planned_to: to, is_sure, window });
            }
        }
    }

    pub(super) fn lay_hand(&mut self, at: usize, hand: Hand) {
        if !self.nodes[at].is_up {
            return;
        }
        match hand {
            Hand::Silence { alert, ends } => self.silence(at, alert, ends),
            Hand::Ack { alert, until, is_held } => self.acknowledge(at, alert, until, is_held),
            Hand::MakeWindow => self.make_window(at),
            Hand::DropWindow => self.drop_window(at),
            Hand::EndRun { is_of_file } => self.end_run(at, is_of_file),
        }
    }

    fn silence(&mut self, at: usize, alert: usize, ends: i64) {
        self.note(format!("n{at} silences {alert} until {}", ends / SECOND));
        let wall = self.wall(at);
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
        let id = format!("s{}", self.holds.len());
        if self.nodes[at].core.set_silence(silence, id, wall).is_ok() {
            let is_sure = self.now < MINUTE;
            let window = None;
            self.holds.push(Hold { alert, from: self.now, to: ends, planned_to: ends, is_sure, window });
            self.save(at);
        }
    }

    fn acknowledge(&mut self, at: usize, alert: usize, until: Option<i64>, is_held: bool) {
        let wall = self.wall(at);
        let matcher = Matcher::equal("alertname", name(alert));
        let until_ms = until.map(|until| T0 + until);
        let word = Word { by: "sim".to_owned(), note: String::new(), until_ms, is_held };
        let core = &mut self.nodes[at].core;
        let firing = core.firing(&[], &[matcher], wall);
        if self.broken == Broken::Hands && firing.is_empty()
            || self.broken != Broken::Hands && core.say(firing, &word, wall).is_err()
        {
            return;
        }
        self.note(format!("n{at} acknowledges {alert}: {is_held}, until {until:?}"));
        self.save(at);
        // The last word counts.
        let now = self.now;
        let of_alert = self.in_hand.iter_mut().filter(|held| held.alert == alert && held.to > now);
        of_alert.for_each(|held| held.to = now);
        if is_held {
            self.in_hand.push(Held { alert, from: now, to: until.unwrap_or(END) });
        }
    }

    fn make_window(&mut self, at: usize) {
        let Some(planned) = self.drawn.windows[1].clone() else { return };
        let (start, duration, recurrence) = planned.texts();
        let spec = Spec {
            name: "w".to_owned(),
            matchers: vec![Matcher::equal("alertname", name(MAINTAINED))],
            start,
            duration,
            recurrence,
            owner: "sim".to_owned(),
            reason: "sim".to_owned(),
            ..Spec::default()
        };
        self.note(format!("n{at} plans {planned:?}"));
        let wall = self.wall(at);
        if self.broken != Broken::Window {
            let window = Window::new(spec).expect("a good window");
            self.nodes[at].core.set_window(WINDOW_OF_API, window, wall).expect("there is room");
        }
        let is_sure = self.now < MINUTE;
        self.hold_runs(WINDOW_OF_API, &planned, self.now, is_sure);
        self.save(at);
    }

    fn drop_window(&mut self, at: usize) {
        let wall = self.wall(at);
        if self.nodes[at].core.delete_window(WINDOW_OF_API, wall).is_ok() {
            self.note(format!("n{at} deletes the window"));
            self.let_out(WINDOW_OF_API, |_, _| true);
            self.save(at);
        }
    }

    fn end_run(&mut self, at: usize, is_of_file: bool) {
        let id = if is_of_file { file_id("f") } else { WINDOW_OF_API.to_owned() };
        let wall = self.wall(at);
        if self.nodes[at].core.end_window(&id, wall).is_ok() {
            self.note(format!("n{at} ends what runs of {id}"));
            // By the clock of that manager.
            let slack = 2 * self.skew_max;
            self.let_out(&id, |hold, now| hold.from <= now + slack);
            self.save(at);
        }
    }

    /// Holds of a window are over now.
    fn let_out(&mut self, id: &str, is_it: impl Fn(&Hold, i64) -> bool) {
        let now = self.now;
        let of_window = self.holds.iter_mut().filter(|hold| hold.window.as_deref() == Some(id));
        of_window.filter(|hold| hold.to > now && is_it(hold, now)).for_each(|hold| hold.to = now);
    }
}
