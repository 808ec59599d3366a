//! One window: what it hides, when it runs, and the silence of a run.
//!
//! In: texts ([`Spec`]); out: runs in Unix milliseconds, silences. A civil time that a clock skips in spring is taken as RFC
//! 5545 has it, with the offset before (02:30 becomes 03:30); one that comes twice in autumn is the first.
//! Durations are real time: two hours are two hours in any night.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use model::{Duration, Labels, Matcher};

use super::recur::{Rule, Until};
use super::{WINDOW_ID, WINDOW_NAME};
use crate::silence::{Silence, check_matchers};
use crate::uuid;

/// Longest run. Chosen: what lasts longer is no maintenance, but an ignore rule.
pub(super) const RUN_MS_MAX: i64 = 31 * 24 * 3_600_000;
/// Longest name, in bytes. Chosen: what a table shows.
const NAME_BYTES_MAX: usize = 200;
/// Longest owner and reason, in bytes. Chosen.
const TEXT_BYTES_MAX: usize = 4 << 10;
/// Most matchers; as of silences.
const MATCHERS_MAX: usize = 256;
/// Longest name or value of a matcher, in bytes; as of silences.
const MATCHER_BYTES_MAX: usize = 64 << 10;
/// Most runs that may be left out. Chosen.
const EXCEPT_MAX: usize = 1_000;

/// A window as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) matchers: Vec<Matcher>,
    /// Civil time in the zone, `2026-11-22T02:00`: where the rule begins, and the run where there is none.
    pub(crate) start: String,
    /// `2h`
    pub(crate) duration: String,
    /// An RRULE; empty for a single run.
    pub(crate) recurrence: String,
    /// Civil times of runs that do not take place, or days.
    pub(crate) except: Vec<String>,
    /// `Asia/Tokyo`; empty is UTC.
    pub(crate) time_zone: String,
    pub(crate) owner: String,
    pub(crate) reason: String,
}

/// A checked window.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) spec: Spec,
    first: DateTime,
    duration_ms: i64,
    rule: Option<Rule>,
    except: Vec<Except>,
    zone: TimeZone,
}

/// Windows are what they are written as.
impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

#[derive(Debug, Clone, Copy)]
enum Except {
    At(DateTime),
    Day(jiff::civil::Date),
}

/// From when to when, Unix milliseconds; the end is outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    pub(crate) starts_at_ms: i64,
    pub(crate) ends_at_ms: i64,
}

/// Why a window was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WindowError {
    #[error("name: a name is needed, at most {NAME_BYTES_MAX} bytes on one line: it is what others see")]
    Name,
    #[error("matchers: {0}")]
    Matchers(String),
    #[error("owner: an owner is needed: who answers for it, at most {TEXT_BYTES_MAX} bytes")]
    Owner,
    #[error("reason: a reason is needed, at most {TEXT_BYTES_MAX} bytes")]
    Reason,
    #[error("duration: {0:?} is no length of time from 1s to 31d, as 2h or 1h30m")]
    Duration(String),
    #[error(
        "start: {0:?} is no time as 2026-11-22T02:00 has it, without an offset: the time zone is said apart"
    )]
    Start(String),
    #[error("except: {0:?} is no time as 2026-11-22T02:00 has it, and no day")]
    Except(String),
    #[error("except: more than {EXCEPT_MAX} runs are left out")]
    TooManyExcept,
    #[error("time zone: {0:?} is unknown; names are as Asia/Tokyo, Europe/Berlin or UTC")]
    Zone(String),
    #[error("recurrence: {0}")]
    Recurrence(String),
    #[error("recurrence: no run comes of it; compare start, recurrence and except")]
    NoRun,
    #[error(
        "start: every run is over already: nothing would be hidden; compare start, recurrence and time zone"
    )]
    Past,
    #[error("there are {0} maintenance windows, which is the limit: delete those that are over")]
    TooMany(usize),
    #[error("maintenance window not found")]
    NotFound,
    #[error("this maintenance window stands in the configuration file: change it there, and reload")]
    OfFile,
    #[error("this maintenance window is not running now")]
    NotRunning,
}

impl Window {
    /// Checks a window.
    pub(crate) fn new(spec: Spec) -> Result<Self, WindowError> {
        let is_text = |text: &str| !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX;
        let name = spec.name.trim();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            return Err(WindowError::Name);
        }
        check_matchers(&spec.matchers).map_err(|err| WindowError::Matchers(err.to_string()))?;
        if spec.matchers.len() > MATCHERS_MAX {
            return Err(WindowError::Matchers(format!("more than {MATCHERS_MAX} matchers")));
        }
        if spec.matchers.iter().any(|m| m.name.len().max(m.value.len()) > MATCHER_BYTES_MAX) {
            return Err(WindowError::Matchers(format!("one is longer than {MATCHER_BYTES_MAX} bytes")));
        }
        let first = civil(&spec.start).ok_or_else(|| WindowError::Start(spec.start.clone()))?;
        let duration_ms = spec.duration.parse::<Duration>().map(Duration::as_ms).unwrap_or(0);
        if !(1_000..=RUN_MS_MAX).contains(&duration_ms) {
            return Err(WindowError::Duration(spec.duration));
        }
        let rule = match spec.recurrence.trim() {
            "" => None,
            text => Some(Rule::parse(text).map_err(WindowError::Recurrence)?),
        };
        if spec.except.len() > EXCEPT_MAX {
            return Err(WindowError::TooManyExcept);
        }
        let left_out = |text: &String| {
            let day = text.trim().parse().ok().filter(|_| !text.contains(['T', 't', ' '])).map(Except::Day);
            day.or_else(|| civil(text).map(Except::At)).ok_or_else(|| WindowError::Except(text.clone()))
        };
        let except = spec.except.iter().map(left_out).collect::<Result<_, _>>()?;
        let zone = match spec.time_zone.trim() {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| WindowError::Zone(spec.time_zone.clone()))?,
        };
        if !is_text(&spec.owner) {
            return Err(WindowError::Owner);
        }
        if !is_text(&spec.reason) {
            return Err(WindowError::Reason);
        }
        let window = Self { spec, first, duration_ms, rule, except, zone };
        if window.runs(i64::MIN).next().is_none() {
            return Err(WindowError::NoRun);
        }
        Ok(window)
    }

    /// Whether an alert with `labels` is hidden by a run.
    pub(crate) fn hides(&self, labels: &Labels) -> bool {
        self.spec.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }

    /// Runs that end after `after_ms`, in order.
    pub(crate) fn runs(&self, after_ms: i64) -> impl Iterator<Item = Run> {
        let from = self.civil_before(after_ms.saturating_sub(self.duration_ms));
        let rule = self.rule.as_ref();
        let once = rule.is_none().then_some(self.first);
        let again = rule.map(|rule| rule.runs(self.first, from)).into_iter().flatten();
        let is_left_out = |at: &DateTime| {
            self.except.iter().any(|except| match except {
                Except::At(left_out) => left_out == at,
                Except::Day(day) => *day == at.date(),
            })
        };
        once.into_iter()
            .chain(again)
            .map_while(|at| Some((at, self.instant(at)?)))
            .take_while(|(at, ms)| self.is_before_end(*at, *ms))
            .filter(move |(at, _)| !is_left_out(at))
            .map(|(_, ms)| Run { starts_at_ms: ms, ends_at_ms: ms.saturating_add(self.duration_ms) })
            .filter(move |run| run.ends_at_ms > after_ms)
    }

    fn is_before_end(&self, at: DateTime, at_ms: i64) -> bool {
        match self.rule.as_ref().and_then(|rule| rule.until) {
            None => true,
            Some(Until::Civil(until)) => at <= until,
            Some(Until::Utc(until)) => {
                TimeZone::UTC.to_timestamp(until).is_ok_and(|until| at_ms <= until.as_millisecond())
            }
        }
    }

    fn instant(&self, at: DateTime) -> Option<i64> {
        self.zone.to_ambiguous_timestamp(at).compatible().ok().map(Timestamp::as_millisecond)
    }

    /// A civil time that is surely not after `at_ms`: clocks are never turned by a day.
    fn civil_before(&self, at_ms: i64) -> DateTime {
        let at = Timestamp::from_millisecond(at_ms).ok().map(|at| self.zone.to_datetime(at));
        at.and_then(|at| at.checked_sub(1.day()).ok()).unwrap_or(DateTime::MIN)
    }

    /// The silence of a run of the window `id`: the same in every manager that knows the window.
    pub(crate) fn silence(&self, id: &str, run: Run) -> Silence {
        let Spec { name, reason, owner, matchers, .. } = &self.spec;
        Silence {
            id: self.run_id(id, run),
            matchers: matchers.clone(),
            starts_at_ms: run.starts_at_ms,
            ends_at_ms: run.ends_at_ms,
            updated_at_ms: run.starts_at_ms,
            created_by: owner.clone(),
            comment: format!("Maintenance {name:?}: {reason}"),
            annotations: BTreeMap::from([
                (WINDOW_ID.to_owned(), id.to_owned()),
                (WINDOW_NAME.to_owned(), name.clone()),
            ]),
        }
    }

    /// Named by what makes a run another one: when it is, and what it hides.
    fn run_id(&self, id: &str, run: Run) -> String {
        let matchers: Vec<String> = self.spec.matchers.iter().map(ToString::to_string).collect();
        let (from, to) = (run.starts_at_ms, run.ends_at_ms);
        uuid::of_text(&format!("maintenance\n{id}\n{from}\n{to}\n{}", matchers.join("\n")))
    }

    /// Whether `silence` is of a run of the window `id` as it is now.
    pub(crate) fn makes(&self, id: &str, silence: &Silence) -> bool {
        let from = silence.starts_at_ms;
        let run =
            self.runs(from).take_while(|run| run.starts_at_ms <= from).find(|run| run.starts_at_ms == from);
        run.is_some_and(|run| self.run_id(id, run) == silence.id)
    }
}

/// The window that made a silence.
pub(crate) fn held_by(silence: &Silence) -> Option<&String> {
    silence.annotations.get(WINDOW_ID)
}

/// The id of a window of the file.
pub(crate) fn file_id(name: &str) -> String {
    uuid::of_text(&format!("maintenance of the file\n{name}"))
}

/// A civil time, in ISO 8601 or as iCalendar writes it; with an offset it is none.
fn civil(text: &str) -> Option<DateTime> {
    let text = text.trim();
    let (day, time) = text.split_once(['T', 't', ' '])?;
    let is_plain = time.bytes().all(|b| b.is_ascii_digit() || b == b':') && !day.is_empty();
    let has_minutes = is_plain && time.len() >= 4;
    has_minutes.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{go_rfc3339, parse_rfc3339};

    fn spec() -> Spec {
        Spec {
            name: "backup".into(),
            matchers: vec![Matcher::equal("job", "db")],
            start: "2026-01-01T02:30".into(),
            duration: "1h".into(),
            recurrence: "FREQ=DAILY".into(),
            except: Vec::new(),
            time_zone: "Europe/Berlin".into(),
            owner: "ann".into(),
            reason: "backup".into(),
        }
    }

    #[test]
    fn runs_keep_the_time_of_the_clock_on_the_wall() {
        let check = |change: fn(&mut Spec), after: &str, expected: &str| {
            let mut spec = spec();
            change(&mut spec);
            let window = Window::new(spec).expect("a good window");
            let expected: Vec<&str> = expected.split_whitespace().collect();
            let got: Vec<String> = window
                .runs(parse_rfc3339(after).unwrap())
                .take(expected.len())
                .map(|run| format!("{}/{}", go_rfc3339(run.starts_at_ms), go_rfc3339(run.ends_at_ms)))
                .collect();
            assert_eq!(got, expected);
        };
        // Berlin: 2026-03-29 skips 02:00–03:00, so 02:30 is 03:30 there; UTC+1 before, UTC+2 after.
        check(
            |_| {},
            "2026-03-28T00:00:00Z",
            "2026-03-28T01:30:00Z/2026-03-28T02:30:00Z 2026-03-29T01:30:00Z/2026-03-29T02:30:00Z 2026-03-30T00:30:00Z/2026-03-30T01:30:00Z",
        );
        // 2026-10-25 has 02:30 twice: the first, once.
        check(
            |_| {},
            "2026-10-24T12:00:00Z",
            "2026-10-25T00:30:00Z/2026-10-25T01:30:00Z 2026-10-26T01:30:00Z/2026-10-26T02:30:00Z",
        );
        // New York: 2026-03-08 and 2026-11-01, weekly.
        check(
            |spec| {
                spec.time_zone = "America/New_York".into();
                spec.recurrence = "RRULE:FREQ=WEEKLY;BYDAY=SU".into();
                spec.start = "20260101T013000".into();
                spec.duration = "2h".into();
            },
            "2026-03-07T00:00:00Z",
            "2026-03-08T06:30:00Z/2026-03-08T08:30:00Z 2026-03-15T05:30:00Z/2026-03-15T07:30:00Z",
        );
        // A run that is on counts, one that is just over does not.
        check(|_| {}, "2026-01-10T02:29:59Z", "2026-01-10T01:30:00Z/2026-01-10T02:30:00Z");
        check(|_| {}, "2026-01-10T02:30:00Z", "2026-01-11T01:30:00Z/2026-01-11T02:30:00Z");
        // Longer than its period: all that are on.
        check(
            |spec| spec.duration = "50h".into(),
            "2026-01-10T02:00:00Z",
            "2026-01-08T01:30:00Z/2026-01-10T03:30:00Z 2026-01-09T01:30:00Z/2026-01-11T03:30:00Z 2026-01-10T01:30:00Z/2026-01-12T03:30:00Z",
        );
        check(
            |spec| spec.except = vec!["2026-01-11T02:30".into(), "2026-01-12".into()],
            "2026-01-10T12:00:00Z",
            "2026-01-13T01:30:00Z/2026-01-13T02:30:00Z",
        );
    }

    #[test]
    fn runs_end_with_their_rule() {
        let check = |recurrence: &str, expected: usize| {
            let window = Window::new(Spec { recurrence: recurrence.into(), ..spec() }).expect("good");
            assert_eq!(window.runs(i64::MIN).take(50).count(), expected, "{recurrence}");
        };
        check("", 1);
        check("FREQ=DAILY;COUNT=3", 3);
        // The moment is inside, in UTC and on the wall; a day to its end.
        check("FREQ=DAILY;UNTIL=20260103T013000Z", 3);
        check("FREQ=DAILY;UNTIL=20260103T012959Z", 2);
        check("FREQ=DAILY;UNTIL=20260103T023000", 3);
        check("FREQ=DAILY;UNTIL=20260103", 3);
        check("FREQ=DAILY", 50);
    }

    #[test]
    fn refusals_name_the_field() {
        let check = |change: fn(&mut Spec), expected: &str| {
            let mut spec = spec();
            change(&mut spec);
            let err = Window::new(spec).expect_err(expected).to_string();
            assert!(err.starts_with(expected), "{err}");
        };
        check(|spec| spec.name = " ".into(), "name: a name is needed");
        check(|spec| spec.matchers.clear(), "matchers: at least one matcher required");
        check(
            |spec| spec.matchers = vec![Matcher::equal("a", "")],
            "matchers: at least one matcher must not",
        );
        check(|spec| spec.start = "2026-01-01T02:30Z".into(), "start: \"2026-01-01T02:30Z\" is no time");
        check(|spec| spec.start = "2026-01-01T02:30+01:00".into(), "start: ");
        check(|spec| spec.start = "2026-02-30T02:30".into(), "start: ");
        check(|spec| spec.start = "2026-01-01".into(), "start: ");
        check(|spec| spec.duration = "0s".into(), "duration: \"0s\" is no length");
        check(|spec| spec.duration = "32d".into(), "duration: ");
        check(|spec| spec.recurrence = "FREQ=HOURLY".into(), "recurrence: FREQ=HOURLY is not served");
        check(|spec| spec.except = vec!["soon".into()], "except: \"soon\"");
        check(|spec| spec.time_zone = "Mars/Base".into(), "time zone: \"Mars/Base\" is unknown");
        check(|spec| spec.owner.clear(), "owner: an owner is needed");
        check(|spec| spec.reason.clear(), "reason: a reason is needed");
        check(|spec| spec.recurrence = "FREQ=DAILY;UNTIL=20250101".into(), "recurrence: no run comes of it");
    }

    #[test]
    fn a_run_has_the_same_silence_wherever_it_is_made() {
        let window = Window::new(spec()).unwrap();
        let run = window.runs(0).next().unwrap();
        let silence = window.silence("w", run);
        assert_eq!(silence, Window::new(spec()).unwrap().silence("w", run));
        assert!(uuid::is_uuid(&silence.id), "{}", silence.id);
        assert!(window.makes("w", &silence));
        let check = |change: fn(&mut Spec), expected: bool| {
            let mut spec = spec();
            change(&mut spec);
            assert_eq!(Window::new(spec).unwrap().makes("w", &silence), expected);
        };
        check(|spec| spec.reason = "another".into(), true);
        check(|spec| spec.start = "2025-12-01T02:30".into(), true);
        check(|spec| spec.duration = "2h".into(), false);
        check(|spec| spec.matchers = vec![Matcher::equal("job", "web")], false);
        check(|spec| spec.start = "2026-01-02T02:30".into(), false);
    }
}
