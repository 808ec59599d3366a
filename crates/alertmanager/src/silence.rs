//! Silences: who asked for quiet, about what, from when to when.
//!
//! In from API v2 and the state file; asked at each flush and by the API.
//! Whatever comes and goes passes [`Silences::keep`] and [`Silences::remove`], which hold the index of labels true.
//! Pure. States, checks and the rules for changing a silence are Alertmanager's, its words for refusals too.

mod index;

use std::collections::BTreeMap;

use model::{Labels, Matcher};

use index::Index;

use crate::matcher::is_label_name;

/// How many silences are kept, expired ones included. Chosen: each costs well under a kilobyte.
pub const SILENCES_MAX: usize = 100_000;

/// One silence. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Silence {
    /// A version 4 UUID; empty in a request for a new one.
    pub(crate) id: String,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) starts_at_ms: i64,
    pub(crate) ends_at_ms: i64,
    pub(crate) updated_at_ms: i64,
    pub(crate) created_by: String,
    pub(crate) comment: String,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Where a silence is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SilenceState {
    Active,
    Pending,
    Expired,
}

impl SilenceState {
    /// The API's word.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Expired => "expired",
        }
    }
}

/// Why a silence was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SilenceError {
    #[error("silence not found")]
    NotFound,
    #[error("invalid silence: {0}")]
    Invalid(String),
    #[error("exceeded maximum number of silences: {limit} (limit)")]
    TooMany { limit: usize },
    #[error("silence exceeded maximum size: {bytes} bytes (limit: {limit} bytes)")]
    TooLarge { bytes: usize, limit: usize },
}

impl Silence {
    /// Its state at `now_ms`; the end is outside, so that what is expired now is over now.
    pub(crate) fn state_at(&self, now_ms: i64) -> SilenceState {
        if now_ms < self.starts_at_ms {
            SilenceState::Pending
        } else if now_ms >= self.ends_at_ms {
            SilenceState::Expired
        } else {
            SilenceState::Active
        }
    }

    fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }

    /// How long its texts are together.
    fn text_bytes(&self) -> usize {
        let matchers = self.matchers.iter().map(|matcher| matcher.name.len() + matcher.value.len());
        let annotations = self.annotations.iter().map(|(name, value)| name.len() + value.len());
        let own = self.id.len() + self.created_by.len() + self.comment.len();
        own + matchers.sum::<usize>() + annotations.sum::<usize>()
    }

    fn check(&self) -> Result<(), SilenceError> {
        check_matchers(&self.matchers).map_err(|err| SilenceError::Invalid(err.of_silence()))?;
        if self.ends_at_ms < self.starts_at_ms {
            return Err(SilenceError::Invalid("end time must not be before start time".to_owned()));
        }
        Ok(())
    }
}

/// Why matchers do not say what is hidden.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VagueError {
    #[error("at least one matcher required")]
    None,
    #[error("invalid label matcher {0}: invalid label name {1:?}")]
    Name(usize, String),
    #[error("at least one matcher must not match the empty string")]
    Nothing,
}

impl VagueError {
    /// In upstream's words, whose silences may have several sets of matchers.
    fn of_silence(&self) -> String {
        match self {
            Self::None => self.to_string(),
            Self::Name(idx, name) => {
                format!("invalid label matcher {idx} in set 0: invalid label name {name:?}")
            }
            Self::Nothing => format!("matcher set 0: {self}"),
        }
    }
}

/// Whether matchers say what is hidden.
pub(crate) fn check_matchers(matchers: &[Matcher]) -> Result<(), VagueError> {
    if matchers.is_empty() {
        return Err(VagueError::None);
    }
    let is_bad = |(_, matcher): &(usize, &Matcher)| !is_label_name(&matcher.name);
    if let Some((idx, matcher)) = matchers.iter().enumerate().find(is_bad) {
        return Err(VagueError::Name(idx, matcher.name.clone()));
    }
    // A negative matcher counts as one that says something, as upstream has it.
    let says_nothing = |matcher: &Matcher| {
        matches!(matcher.op, model::MatchOp::Equal | model::MatchOp::Regex) && matcher.matches_empty()
    };
    if matchers.iter().all(says_nothing) { Err(VagueError::Nothing) } else { Ok(()) }
}

/// How many silences are taken, and how large each may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SilenceLimits {
    pub(crate) silences_max: usize,
    /// Of the texts of one, in bytes.
    pub(crate) silence_bytes_max: usize,
}

impl Default for SilenceLimits {
    fn default() -> Self {
        Self { silences_max: SILENCES_MAX, silence_bytes_max: usize::MAX }
    }
}

/// All silences, by id.
#[derive(Debug, Default)]
pub(crate) struct Silences {
    limits: SilenceLimits,
    by_id: BTreeMap<String, Silence>,
    index: Index,
}

impl Silences {
    /// None yet, bounded by `limits`; what the state file holds is taken in any case.
    pub(crate) fn new(limits: SilenceLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Creates a silence, or changes the one whose id is given. Returns the changed silences, the one that counts last.
    ///
    /// A change that would rewrite history (other matchers, another start of an active silence, an expired one) expires
    /// the old silence and makes a new one under `new_id`.
    pub(crate) fn set(
        &mut self,
        mut silence: Silence,
        new_id: String,
        now_ms: i64,
    ) -> Result<Vec<Silence>, SilenceError> {
        silence.updated_at_ms = now_ms;
        silence.check()?;
        let (bytes, limit) = (silence.text_bytes(), self.limits.silence_bytes_max);
        if bytes > limit {
            return Err(SilenceError::TooLarge { bytes, limit });
        }
        let old = match silence.id.as_str() {
            "" => None,
            id => Some(self.by_id.get(id).cloned().ok_or(SilenceError::NotFound)?),
        };
        let mut changed = Vec::new();
        if let Some(old) = old {
            // The last word counts among managers, also where the clock of the one before was ahead.
            silence.updated_at_ms = now_ms.max(old.updated_at_ms.saturating_add(1));
            if can_update(&old, &silence, now_ms) {
                self.keep(silence.clone());
                return Ok(vec![silence]);
            }
            if old.state_at(now_ms) != SilenceState::Expired {
                changed.push(self.expire(&old.id, now_ms)?.expect("it was not expired"));
            }
        }
        if self.by_id.len() >= self.limits.silences_max {
            return Err(SilenceError::TooMany { limit: self.limits.silences_max });
        }
        silence.id = new_id;
        silence.starts_at_ms = silence.starts_at_ms.max(now_ms);
        self.keep(silence.clone());
        changed.push(silence);
        Ok(changed)
    }

    /// Ends a silence now. Returns it, or nothing when it had ended before.
    pub(crate) fn expire(&mut self, id: &str, now_ms: i64) -> Result<Option<Silence>, SilenceError> {
        let silence = self.by_id.get_mut(id).ok_or(SilenceError::NotFound)?;
        match silence.state_at(now_ms) {
            SilenceState::Expired => return Ok(None),
            SilenceState::Active => silence.ends_at_ms = now_ms,
            SilenceState::Pending => {
                silence.starts_at_ms = now_ms;
                silence.ends_at_ms = now_ms;
            }
        }
        silence.updated_at_ms = now_ms.max(silence.updated_at_ms.saturating_add(1));
        Ok(Some(silence.clone()))
    }

    /// Keeps `silence`, as it is, in place of the one with its id: what the state file holds, or another manager sent.
    pub(crate) fn keep(&mut self, silence: Silence) {
        self.index.insert(&silence);
        self.by_id.insert(silence.id.clone(), silence);
    }

    /// One silence.
    pub(crate) fn get(&self, id: &str) -> Option<&Silence> {
        self.by_id.get(id)
    }

    /// All silences, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.by_id.values()
    }

    /// Silences of ids after `id`, all of them without one.
    pub(crate) fn after(&self, id: Option<&str>) -> impl Iterator<Item = &Silence> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = id.map_or(Unbounded, Excluded);
        self.by_id.range::<str, _>((from, Unbounded)).map(|(_, silence)| silence)
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The ids of the active silences that hide `labels`, sorted.
    pub(crate) fn silencing(&self, labels: &Labels, now_ms: i64) -> Vec<String> {
        let mut ids: Vec<String> = self.hiding(labels, now_ms).cloned().collect();
        ids.sort();
        ids
    }

    /// Whether any active silence hides `labels`.
    pub(crate) fn is_silenced(&self, labels: &Labels, now_ms: i64) -> bool {
        self.hiding(labels, now_ms).next().is_some()
    }

    fn hiding<'a>(&'a self, labels: &'a Labels, now_ms: i64) -> impl Iterator<Item = &'a String> {
        self.index.candidates(labels).filter(move |id| {
            self.by_id
                .get(*id)
                .is_some_and(|s| s.state_at(now_ms) == SilenceState::Active && s.matches(labels))
        })
    }

    /// Forgets one, when the state file says it went.
    pub(crate) fn remove(&mut self, id: &str) {
        self.index.remove(id);
        self.by_id.remove(id);
    }

    /// Removes what ended more than `retention_ms` ago; returns the ids.
    pub(crate) fn collect_garbage(&mut self, now_ms: i64, retention_ms: i64) -> Vec<String> {
        let is_old = |s: &&Silence| s.ends_at_ms.saturating_add(retention_ms) < now_ms;
        let gone: Vec<String> =
            self.by_id.values().filter(is_old).map(|silence| silence.id.clone()).collect();
        gone.iter().for_each(|id| self.remove(id));
        gone
    }
}

/// Whether `new` may take the place of `old` under the same id.
fn can_update(old: &Silence, new: &Silence, now_ms: i64) -> bool {
    if old.matchers != new.matchers {
        return false;
    }
    match old.state_at(now_ms) {
        // Clients send times with less precision than we keep, so the start is compared in seconds.
        SilenceState::Active => {
            old.starts_at_ms.div_euclid(1_000) == new.starts_at_ms.div_euclid(1_000)
                && new.ends_at_ms >= now_ms
        }
        SilenceState::Pending => new.starts_at_ms >= now_ms,
        SilenceState::Expired => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::MatchOp;

    fn silence(id: &str, matchers: &[(&str, MatchOp, &str)], starts_at_ms: i64, ends_at_ms: i64) -> Silence {
        let matchers = matchers.iter().map(|(n, op, v)| Matcher::new(*op, *n, *v).expect("good")).collect();
        Silence {
            id: id.to_owned(),
            matchers,
            starts_at_ms,
            ends_at_ms,
            updated_at_ms: 0,
            created_by: "me".to_owned(),
            comment: String::new(),
            annotations: BTreeMap::new(),
        }
    }

    const A: &[(&str, MatchOp, &str)] = &[("a", MatchOp::Equal, "1")];
    const B: &[(&str, MatchOp, &str)] = &[("b", MatchOp::Equal, "1")];

    #[test]
    fn silences_that_say_nothing_are_refused() {
        let check = |matchers: &[(&str, MatchOp, &str)], expected: &str| {
            let got = Silences::default().set(silence("", matchers, 10, 20), "n".into(), 5).map(|_| ());
            assert_eq!(got.map_err(|err| err.to_string()), Err(expected.to_owned()));
        };
        check(&[], "invalid silence: at least one matcher required");
        let empty = "invalid silence: matcher set 0: at least one matcher must not match the empty string";
        check(&[("a", MatchOp::Equal, "")], empty);
        check(&[("a", MatchOp::Regex, ".*")], empty);
        assert!(
            Silences::default()
                .set(silence("", &[("a", MatchOp::NotEqual, "x")], 10, 20), "n".into(), 5)
                .is_ok()
        );
    }

    #[test]
    fn changes_keep_the_id_only_while_history_stays_true() {
        let mut silences = Silences::default();
        let set = |silences: &mut Silences, silence: Silence, id: &str, now_ms| {
            silences
                .set(silence, id.into(), now_ms)
                .map(|changed| changed.last().map(|s| s.id.clone()).unwrap_or_default())
        };
        assert_eq!(set(&mut silences, silence("", A, 100, 9_000), "one", 1_000), Ok("one".into()));
        assert_eq!(silences.get("one").unwrap().starts_at_ms, 1_000, "a start in the past is now");
        // Active: longer, same id.
        assert_eq!(set(&mut silences, silence("one", A, 1_000, 20_000), "x", 2_000), Ok("one".into()));
        // Other matchers: a new one, and the old one is over.
        assert_eq!(set(&mut silences, silence("one", B, 1_000, 20_000), "two", 3_000), Ok("two".into()));
        assert_eq!(silences.get("one").unwrap().state_at(3_001), SilenceState::Expired);
        // Another start of an active one.
        assert_eq!(set(&mut silences, silence("two", B, 9_000, 20_000), "three", 4_000), Ok("three".into()));
        // Pending: may move.
        assert_eq!(set(&mut silences, silence("three", B, 8_000, 20_000), "x", 5_000), Ok("three".into()));
        assert_eq!(
            set(&mut silences, silence("nobody", B, 8_000, 20_000), "x", 5_000),
            Err(SilenceError::NotFound)
        );
        // Expired ones come back as new.
        assert_eq!(set(&mut silences, silence("one", A, 1_000, 20_000), "four", 6_000), Ok("four".into()));
    }

    #[test]
    fn silences_hide_while_active_and_go_after_retention() {
        let mut silences = Silences::default();
        silences.set(silence("", A, 100, 200), "one".into(), 50).unwrap();
        let labels = Labels::from_pairs([("a", "1"), ("x", "y")]);
        let check = |silences: &Silences, now_ms, expected: bool| {
            assert_eq!(silences.is_silenced(&labels, now_ms), expected, "{now_ms}");
        };
        check(&silences, 99, false);
        check(&silences, 100, true);
        check(&silences, 199, true);
        check(&silences, 200, false);
        assert!(silences.expire("one", 150).unwrap().is_some());
        check(&silences, 151, false);
        assert!(silences.expire("one", 160).unwrap().is_none());
        assert_eq!(silences.expire("nobody", 160), Err(SilenceError::NotFound));
        assert!(silences.collect_garbage(1_150, 1_000).is_empty());
        assert_eq!(silences.collect_garbage(1_151, 1_000), ["one"]);
    }
}
