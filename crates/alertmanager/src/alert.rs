//! An alert as the alertmanager keeps it, its fingerprint, and the rule by which two reports of it become one.
//!
//! In from rules and from `POST /api/v2/alerts`; out to groups, inhibition, the API and the state file.
//! Fingerprint: FNV-1a, 64 bits, as Prometheus' `model.LabelSet.Fingerprint`. Merge rule: that of Alertmanager's
//! in-memory provider.

use std::cmp::Ordering;
use std::fmt;

use model::{Labels, Measured};

/// 0001-01-01T00:00:00Z, Go's zero time, which clients send for «not set».
pub(crate) const ZERO_TIME_MS: i64 = -62_135_596_800_000;

const FNV_OFFSET: u64 = 14_695_981_039_346_656_037;
const FNV_PRIME: u64 = 1_099_511_628_211;
/// Stands between names and values, since it occurs in no UTF-8 text.
const SEPARATOR: u8 = 0xff;

/// Identity of a label set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Fingerprint(pub(crate) u64);

impl Fingerprint {
    /// Of `labels`.
    pub(crate) fn of(labels: &Labels) -> Self {
        let mut hash = FNV_OFFSET;
        let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        for (name, value) in labels {
            name.bytes().for_each(&mut add);
            add(SEPARATOR);
            value.bytes().for_each(&mut add);
            add(SEPARATOR);
        }
        Self(hash)
    }
}

/// 16 hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One alert. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alert {
    /// Its identity.
    pub(crate) labels: Labels,
    /// Text for people.
    pub(crate) annotations: Labels,
    /// When it began.
    pub(crate) starts_at_ms: i64,
    /// When it ended, or when it counts as ended unless it is reported again.
    pub(crate) ends_at_ms: i64,
    /// The page that explains it; may be empty.
    pub(crate) generator_url: String,
    /// When it was reported last.
    pub(crate) updated_at_ms: i64,
    /// Whether `ends_at_ms` was set by us, from `resolve_timeout`.
    pub(crate) is_timeout: bool,
    /// Its value as it was reported last, and its worst one.
    pub(crate) measured: Option<Measured>,
}

impl Alert {
    /// Its name, or the empty string.
    pub(crate) fn name(&self) -> &str {
        self.labels.get(model::alert::ALERT_NAME).unwrap_or("")
    }

    /// Whether `self` says of the alert `known` nothing new but its times.
    pub(crate) fn renews(&self, known: &Self) -> bool {
        self.starts_at_ms == known.starts_at_ms
            && self.generator_url == known.generator_url
            && self.annotations == known.annotations
    }

    /// Whether it has ended by `now_ms`.
    pub(crate) fn is_resolved_at(&self, now_ms: i64) -> bool {
        self.ends_at_ms <= now_ms
    }

    /// What is kept when `new` is reported while `self` is known.
    ///
    /// Reports of one episode (their times overlap) become one: the newest text, the earliest start, and the end that
    /// was stated. Reports of different episodes do not mix: the later episode stays, also when word of the earlier one
    /// comes late or from another sender.
    pub(crate) fn merged_with(&self, mut new: Self, now_ms: i64) -> Self {
        // An end without a start (both are then the same) says nothing of which episode: it is the one that is known.
        if new.starts_at_ms < new.ends_at_ms && new.ends_at_ms < self.starts_at_ms {
            return self.clone();
        }
        let overlaps = new.starts_at_ms < self.ends_at_ms && self.starts_at_ms < new.ends_at_ms;
        let is_same_episode = overlaps || new.starts_at_ms == self.starts_at_ms;
        if is_same_episode {
            new.measured = match (new.measured, self.measured) {
                (Some(new), Some(old)) => Some(new.after(old)),
                // Who ends it without a value does not know how it is now.
                (None, Some(old)) if new.is_resolved_at(now_ms) => Some(Measured { value: None, ..old }),
                (new, old) => new.or(old),
            };
        }
        let within = |at_ms: i64| at_ms > self.starts_at_ms && at_ms < self.ends_at_ms;
        if !within(new.ends_at_ms) && !within(new.starts_at_ms) {
            return new;
        }
        let (old, new) =
            if new.updated_at_ms < self.updated_at_ms { (&new.clone(), self.clone()) } else { (self, new) };
        let mut merged = new;
        merged.starts_at_ms = merged.starts_at_ms.min(old.starts_at_ms);
        let old_ends_later = old.ends_at_ms > merged.ends_at_ms;
        let keep_old_end =
            if merged.is_resolved_at(now_ms) { old.is_resolved_at(now_ms) } else { !old.is_timeout };
        if old_ends_later && keep_old_end {
            merged.ends_at_ms = old.ends_at_ms;
            merged.is_timeout = old.is_timeout;
        }
        merged
    }
}

/// The order of alerts in messages and answers: by job, then instance, what has none of them last; then [`label_order`].
pub(crate) fn alert_order(a: &Labels, b: &Labels) -> Ordering {
    let by = |name: &str| match (a.get(name), b.get(name)) {
        (Some(a), Some(b)) => a.cmp(b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    by("job").then_with(|| by("instance")).then_with(|| label_order(a, b))
}

/// Upstream's order of label sets: fewer labels first; where a name is in one of them only, the other comes first; then by value.
pub(crate) fn label_order(a: &Labels, b: &Labels) -> Ordering {
    let by_names = a.iter().zip(b.iter()).find_map(|(a, b)| {
        let order = b.0.cmp(a.0).then_with(|| a.1.cmp(b.1));
        (order != Ordering::Equal).then_some(order)
    });
    a.len().cmp(&b.len()).then(by_names.unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As upstream's `AlertSlice` and `LabelSet.Before` have it.
    #[test]
    fn messages_have_upstreams_order() {
        let set = |text: &str| {
            Labels::from_pairs(text.split_whitespace().map(|pair| pair.split_once('=').expect("a pair")))
        };
        let check = |first: &str, second: &str| {
            let (a, b) = (set(first), set(second));
            assert_eq!(alert_order(&a, &b), Ordering::Less, "{first} before {second}");
            assert_eq!(alert_order(&b, &a), Ordering::Greater, "{second} after {first}");
        };
        check("job=a x=2", "job=b x=1");
        check("job=a instance=2 x=1", "job=b instance=1 x=1");
        check("job=z x=1", "x=1");
        check("job=a instance=z x=1", "job=a x=1");
        check("x=2", "x=1 y=1");
        check("x=1 z=1", "x=1 y=1");
        check("x=1 y=1", "x=1 y=2");
        assert_eq!(alert_order(&set("x=1"), &set("x=1")), Ordering::Equal);
    }

    fn alert(starts_at_ms: i64, ends_at_ms: i64, updated_at_ms: i64, is_timeout: bool) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", "A")]),
            annotations: Labels::empty(),
            starts_at_ms,
            ends_at_ms,
            generator_url: String::new(),
            updated_at_ms,
            is_timeout,
            measured: None,
        }
    }

    #[test]
    fn fingerprints_are_those_of_prometheus() {
        // Known values from Prometheus' model package: the empty set, and one computed by hand from the definition.
        assert_eq!(Fingerprint::of(&Labels::empty()).to_string(), "cbf29ce484222325");
        let labels = Labels::from_pairs([("name", "garland, briggs"), ("fear", "love is not enough")]);
        // Fixed by Prometheus' own test of LabelSet.Fingerprint.
        assert_eq!(Fingerprint::of(&labels).0, 5_799_056_148_416_392_346);
    }

    #[test]
    fn the_worst_value_of_an_episode_stays() {
        let check = |values: &[Option<(Option<f64>, f64)>],
                     lower_is_worse,
                     expected: Option<(Option<f64>, f64)>| {
            let of = |value: &Option<(Option<f64>, f64)>| {
                value.map(|(value, peak)| Measured { value, peak, lower_is_worse })
            };
            let mut kept = Alert { measured: of(&values[0]), ..alert(10, 100, 10, true) };
            for (i, value) in values[1..].iter().enumerate() {
                let at_ms = 20 + 10 * i as i64;
                let ends_at_ms = if i + 2 == values.len() { at_ms } else { 100 };
                kept = kept
                    .merged_with(Alert { measured: of(value), ..alert(10, ends_at_ms, at_ms, false) }, at_ms);
            }
            assert_eq!(kept.measured.map(|measured| (measured.value, measured.peak)), expected);
        };
        let at = |value: f64, peak: f64| Some((Some(value), peak));
        check(&[at(5.0, 5.0), at(9.0, 9.0), at(2.0, 9.0)], false, at(2.0, 9.0));
        // A sender that began anew does not know how bad it was.
        check(&[at(9.0, 9.0), at(5.0, 5.0), at(2.0, 5.0)], false, at(2.0, 9.0));
        check(&[at(1.0, 1.0), at(3.0, 3.0), Some((None, 3.0))], true, Some((None, 1.0)));
        check(&[at(5.0, 5.0), None], false, Some((None, 5.0)));
        check(&[None, None], false, None);
    }

    #[test]
    fn reports_of_one_episode_merge_and_of_two_do_not() {
        let check = |old: Alert, new: Alert, now_ms, expected: (i64, i64)| {
            let merged = old.merged_with(new, now_ms);
            assert_eq!((merged.starts_at_ms, merged.ends_at_ms), expected);
        };
        // A timeout end is pushed on by the next report.
        check(alert(10, 100, 10, true), alert(20, 120, 20, true), 20, (10, 120));
        // A stated end that lies later stays.
        check(alert(10, 100, 10, false), alert(20, 60, 20, true), 20, (10, 100));
        // Resolved: the new end wins over a firing one, the later of two resolved ones stays.
        check(alert(10, 100, 10, false), alert(10, 30, 30, false), 30, (10, 30));
        check(alert(10, 30, 30, false), alert(10, 20, 31, false), 31, (10, 30));
        // No overlap: a new episode.
        check(alert(10, 30, 30, false), alert(40, 99, 41, true), 41, (40, 99));
        // Late word of the episode before.
        check(alert(40, 99, 41, true), alert(10, 30, 42, false), 42, (40, 99));
        // An end without a start, by a clock that is behind.
        check(alert(40, 99, 41, true), alert(38, 38, 42, false), 42, (38, 38));
    }
}
