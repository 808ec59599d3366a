//! From matchers to series, over any index that knows its values.
//!
//! Pure. Method: intersect what must be there, subtract what must not; a matcher that also matches an absent label is
//! answered by what it does not match.

use std::collections::BTreeSet;

use model::{MatchOp, Matcher};

/// What an index has to answer. Lists rise and have no duplicates.
pub(crate) trait LabelIndex {
    /// Every series.
    fn all(&self) -> Vec<u64>;
    /// Series with the pair.
    fn pair(&self, name: &str, value: &str) -> Vec<u64>;
    /// Series of each value of `name` for which `keep` holds.
    fn values(&self, name: &str, keep: &mut dyn FnMut(&str) -> bool) -> Vec<Vec<u64>>;
    /// Label names, rising.
    fn names(&self) -> Vec<String>;
}

/// The series for which all of `matchers` hold.
pub(crate) fn resolve(index: &dyn LabelIndex, matchers: &[Matcher]) -> Vec<u64> {
    let (subtract, keep): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(|m| m.matches_empty());
    let mut found: Option<Vec<u64>> = None;
    // Equalities first: they are the cheapest and leave the least.
    let (equal, other): (Vec<&Matcher>, Vec<&Matcher>) = keep.iter().partition(|m| m.op == MatchOp::Equal);
    for matcher in equal.into_iter().chain(other) {
        let list = match matcher.op {
            MatchOp::Equal => index.pair(&matcher.name, &matcher.value),
            _ => union(index.values(&matcher.name, &mut |value| matcher.matches(value))),
        };
        let left = match found {
            None => list,
            Some(found) => intersect(&found, &list),
        };
        if left.is_empty() {
            return left;
        }
        found = Some(left);
    }
    let mut found = found.unwrap_or_else(|| index.all());
    for matcher in subtract {
        if found.is_empty() {
            break;
        }
        let list = match matcher.op {
            MatchOp::NotEqual => index.pair(&matcher.name, &matcher.value),
            _ => union(index.values(&matcher.name, &mut |value| !matcher.matches(value))),
        };
        found = difference(&found, &list);
    }
    found
}

/// Names of labels on any of `among`, or on any series.
pub(crate) fn label_names(index: &dyn LabelIndex, among: Option<&[u64]>, out: &mut BTreeSet<String>) {
    for name in index.names() {
        if out.contains(&name) {
            continue;
        }
        let on_any = among.is_none_or(|among| {
            index.values(&name, &mut |_| true).iter().any(|list| !intersect(list, among).is_empty())
        });
        if on_any {
            out.insert(name);
        }
    }
}

/// Values of `name` on any of `among`, or on any series.
pub(crate) fn label_values(
    index: &dyn LabelIndex,
    name: &str,
    among: Option<&[u64]>,
    out: &mut BTreeSet<String>,
) {
    let mut values = Vec::new();
    let lists = index.values(name, &mut |value| {
        values.push(value.to_owned());
        among.is_some()
    });
    match among {
        None => out.extend(values),
        Some(among) => {
            let on_any = |list: &Vec<u64>| !intersect(list, among).is_empty();
            out.extend(
                values.into_iter().zip(lists).filter(|(_, list)| on_any(list)).map(|(value, _)| value),
            );
        }
    }
}

fn union(mut lists: Vec<Vec<u64>>) -> Vec<u64> {
    if lists.len() < 2 {
        return lists.pop().unwrap_or_default();
    }
    let mut all = lists.concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// How many times longer one list must be for galloping to beat walking both. Chosen.
const GALLOP_RATIO: usize = 16;

fn intersect(a: &[u64], b: &[u64]) -> Vec<u64> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.len() * GALLOP_RATIO < long.len() {
        return short.iter().copied().filter(|id| long.binary_search(id).is_ok()).collect();
    }
    let mut out = Vec::new();
    let mut at = 0;
    for id in short {
        while at < long.len() && long[at] < *id {
            at += 1;
        }
        if long.get(at) == Some(id) {
            out.push(*id);
        }
    }
    out
}

fn difference(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut at = 0;
    let stays = |id: &u64| {
        while at < b.len() && b[at] < *id {
            at += 1;
        }
        b.get(at) != Some(id)
    };
    a.iter().copied().filter(stays).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::MemIndex;
    use model::Labels;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn resolving_is_matching_one_by_one(
            sets in proptest::collection::vec(proptest::collection::btree_map("[ab]", "[xyz]{0,2}", 0..3), 0..20),
            picks in proptest::collection::vec((0usize..4, "[abc]", proptest::sample::select(vec!["", "x", "xy", "x.*", ".*", ".+", "y|z", "x|"])), 0..4),
        ) {
            let mut index = MemIndex::default();
            let sets: Vec<Labels> = sets.iter().map(Labels::from_pairs).collect();
            for (id, labels) in sets.iter().enumerate() {
                index.insert(id as u64, labels);
            }
            let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
            let matchers: Vec<Matcher> =
                picks.iter().map(|(op, name, value)| Matcher::new(ops[*op], name.as_str(), *value).unwrap()).collect();
            let expected: Vec<u64> = (0u64..)
                .zip(&sets)
                .filter(|(_, labels)| matchers.iter().all(|m| m.matches_labels(labels)))
                .map(|(id, _)| id)
                .collect();
            prop_assert_eq!(resolve(&index, &matchers), expected);
        }

        #[test]
        fn lists_are_sets(
            a in proptest::collection::btree_set(0u64..300, 0..200),
            b in proptest::collection::btree_set(0u64..300, 0..8),
        ) {
            let (list_a, list_b): (Vec<u64>, Vec<u64>) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert_eq!(intersect(&list_a, &list_b), a.intersection(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(difference(&list_a, &list_b), a.difference(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(union(vec![list_a, list_b]), a.union(&b).copied().collect::<Vec<_>>());
        }
    }
}
