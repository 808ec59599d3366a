//! Which silences may hide an alert, found by its labels instead of by asking each silence.
//!
//! In from [`super::Silences`], told of each silence that comes and goes; out ids of candidates, whose matchers and times
//! the caller still checks. A silence stands under one matcher that its alerts must meet: under the values that the matcher names,
//! else under the label that must be there, else among the few that every alert is asked about.

use std::collections::{BTreeSet, HashMap};

use model::{Labels, MatchOp, Matcher};

use super::Silence;

type Ids = BTreeSet<String>;

/// Where one silence stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Under these values of the label.
    Values(String, Vec<String>),
    /// Under the label.
    Name(String),
    /// Alerts may lack every label it names.
    Anywhere,
}

/// All silences, by where they stand.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_value: HashMap<String, HashMap<String, Ids>>,
    by_name: HashMap<String, Ids>,
    anywhere: Ids,
    places: HashMap<String, Place>,
}

impl Index {
    /// Takes a silence in, in place of the one with its id.
    pub(super) fn insert(&mut self, silence: &Silence) {
        self.remove(&silence.id);
        let place = self.place_for(&silence.matchers);
        let id = &silence.id;
        match &place {
            Place::Values(name, values) => {
                let of_name = self.by_value.entry(name.clone()).or_default();
                for value in values {
                    of_name.entry(value.clone()).or_default().insert(id.clone());
                }
            }
            Place::Name(name) => {
                self.by_name.entry(name.clone()).or_default().insert(id.clone());
            }
            Place::Anywhere => {
                self.anywhere.insert(id.clone());
            }
        }
        self.places.insert(id.clone(), place);
    }

    /// Forgets a silence.
    pub(super) fn remove(&mut self, id: &str) {
        match self.places.remove(id) {
            None => {}
            Some(Place::Values(name, values)) => {
                let Some(of_name) = self.by_value.get_mut(&name) else { return };
                values.iter().for_each(|value| take_out(of_name, value, id));
                if of_name.is_empty() {
                    self.by_value.remove(&name);
                }
            }
            Some(Place::Name(name)) => take_out(&mut self.by_name, &name, id),
            Some(Place::Anywhere) => {
                self.anywhere.remove(id);
            }
        }
    }

    /// Ids of the silences that may hide `labels`, each once, in no order.
    pub(super) fn candidates<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = &'a String> {
        let under_labels = labels.iter().filter(|(_, value)| !value.is_empty()).flat_map(|(name, value)| {
            let by_value = self.by_value.get(name).and_then(|of_name| of_name.get(value));
            by_value.into_iter().chain(self.by_name.get(name)).flatten()
        });
        under_labels.chain(&self.anywhere)
    }

    /// Among the matchers that name values, the one under whose values the fewest silences stand.
    fn place_for(&self, matchers: &[Matcher]) -> Place {
        let n_there = |name: &str, values: &[String]| -> usize {
            let of_name = self.by_value.get(name);
            values.iter().map(|value| of_name.and_then(|of| of.get(value)).map_or(0, Ids::len)).sum()
        };
        let named = matchers.iter().filter_map(|matcher| Some((&matcher.name, values_of(matcher)?)));
        if let Some((name, values)) = named.min_by_key(|(name, values)| n_there(name, values)) {
            return Place::Values(name.clone(), values);
        }
        let demanding = matchers.iter().find(|matcher| !matcher.matches_empty());
        demanding.map_or(Place::Anywhere, |matcher| Place::Name(matcher.name.clone()))
    }
}

/// The values that a matcher names, when it takes no other and not the empty one.
fn values_of(matcher: &Matcher) -> Option<Vec<String>> {
    if matcher.matches_empty() {
        return None;
    }
    match matcher.op {
        MatchOp::Equal => Some(vec![matcher.value.clone()]),
        MatchOp::Regex => {
            let mut values = matcher.regex()?.literal_alternatives()?.to_vec();
            // Each value once, so that each candidate comes once.
            values.sort();
            values.dedup();
            Some(values)
        }
        MatchOp::NotEqual | MatchOp::NotRegex => None,
    }
}

fn take_out(map: &mut HashMap<String, Ids>, key: &str, id: &str) {
    if let Some(ids) = map.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matcher() -> impl Strategy<Value = Matcher> {
        let op = prop_oneof![
            Just(MatchOp::Equal),
            Just(MatchOp::NotEqual),
            Just(MatchOp::Regex),
            Just(MatchOp::NotRegex)
        ];
        (
            op,
            "[abc]",
            prop_oneof!["[xy]?", Just("x|y".to_owned()), Just("x.*".to_owned()), Just(".*".to_owned())],
        )
            .prop_map(|(op, name, value)| Matcher::new(op, name, value).expect("a good expression"))
    }

    fn silence(id: usize, matchers: Vec<Matcher>) -> Silence {
        Silence {
            id: id.to_string(),
            matchers,
            starts_at_ms: 0,
            ends_at_ms: 0,
            updated_at_ms: 0,
            created_by: String::new(),
            comment: String::new(),
            annotations: std::collections::BTreeMap::new(),
        }
    }

    proptest! {
        #[test]
        fn no_silence_is_overlooked_and_none_comes_twice(
            sets in prop::collection::vec(prop::collection::vec(matcher(), 1..4), 1..12),
            gone in prop::collection::vec(any::<bool>(), 12),
            values in prop::collection::vec("[xyz]?", 3),
        ) {
            let mut index = Index::default();
            let silences: Vec<Silence> = sets.into_iter().enumerate().map(|(id, set)| silence(id, set)).collect();
            silences.iter().for_each(|silence| index.insert(silence));
            silences.iter().zip(&gone).filter(|(_, gone)| **gone).for_each(|(silence, _)| index.remove(&silence.id));
            let labels = Labels::from_pairs(["a", "b", "c"].into_iter().zip(&values));
            let found: Vec<&String> = index.candidates(&labels).collect();
            let unique: BTreeSet<&String> = found.iter().copied().collect();
            prop_assert_eq!(found.len(), unique.len());
            for (silence, gone) in silences.iter().zip(&gone) {
                prop_assert!(!(*gone && unique.contains(&silence.id)));
                prop_assert!(*gone || !silence.matches(&labels) || unique.contains(&silence.id), "{:?}", silence);
            }
            silences.iter().for_each(|silence| index.remove(&silence.id));
            prop_assert!(index.by_value.is_empty() && index.by_name.is_empty() && index.anywhere.is_empty());
        }
    }

    #[test]
    fn an_alert_is_asked_about_few_silences() {
        let mut index = Index::default();
        for n in 0..1_000 {
            let host = Matcher::equal("instance", format!("host-{n}"));
            index.insert(&silence(n, vec![Matcher::equal("alertname", "Down"), host]));
        }
        let labels = Labels::from_pairs([("alertname", "Down"), ("instance", "host-7")]);
        // One stands under the name, before there was anything to choose by.
        assert!(index.candidates(&labels).count() <= 2);
    }
}
