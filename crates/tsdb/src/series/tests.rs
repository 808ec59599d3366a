//! The table against brute force over label sets.

use std::collections::{BTreeMap, BTreeSet};

use model::{Labels, MatchOp, Matcher};
use proptest::prelude::*;
use roaring::RoaringBitmap;
use storage::FirstTexts;

use super::SeriesTable;

/// What a table should hold.
type Model = BTreeMap<u32, Labels>;

const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
const PATTERNS: [&str; 14] = [
    "",
    "x",
    "xy",
    "x.*",
    ".*",
    ".+",
    "y|z",
    "x|",
    "xy?",
    "[xy]+z?",
    ".*y",
    "(x|y).+",
    "nothing|zzz",
    "x{2}.*",
];

fn label_set() -> impl Strategy<Value = Labels> {
    let pairs = proptest::collection::btree_map("(__name__|a|b|c|Z)", "[xyz]{0,3}", 0..5);
    pairs.prop_map(Labels::from_pairs)
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let matcher = (0usize..4, "(__name__|a|b|c|nowhere)", proptest::sample::select(&PATTERNS[..]));
    let matcher = matcher.prop_map(|(op, name, value)| Matcher::new(OPS[op], name, value).unwrap());
    proptest::collection::vec(matcher, 0..5)
}

fn check_against(table: &SeriesTable, model: &Model) {
    assert_eq!(table.len(), model.len());
    assert_eq!(table.ids().iter().collect::<Vec<_>>(), model.keys().copied().collect::<Vec<_>>());
    for (id, labels) in model {
        assert_eq!(table.get(labels), Some(*id));
        assert_eq!(table.labels(*id).as_ref(), Some(labels));
    }
    let mut sorted: Vec<u32> = model.keys().copied().collect();
    sorted.sort_by_key(|id| model[id].clone());
    assert_eq!(table.sorted_by_labels(&table.ids()), sorted);
    let stats = table.statistics(1_000);
    let pairs: BTreeSet<(&str, &str)> = model.values().flatten().collect();
    assert_eq!((stats.n_series, stats.n_label_pairs), (model.len() as u64, pairs.len() as u64));
    let count = |of: &dyn Fn(&Labels) -> u64| model.values().map(of).sum::<u64>();
    for entry in stats.series_by_label_pair {
        let expected = count(&|labels| labels.iter().any(|(n, v)| format!("{n}={v}") == entry.name).into());
        assert_eq!(entry.value, expected, "{}", entry.name);
    }
    for entry in stats.memory_by_label_name {
        let expected = count(&|labels| labels.get(&entry.name).unwrap_or("").len() as u64);
        assert_eq!(entry.value, expected, "{}", entry.name);
    }
    for entry in stats.series_by_metric_name {
        assert_eq!(entry.value, count(&|labels| (labels.metric_name() == entry.name).into()));
    }
}

fn check_names(table: &SeriesTable, model: &Model, among: Option<&RoaringBitmap>) {
    let of = || model.iter().filter(|(id, _)| among.is_none_or(|among| among.contains(**id)));
    let names: BTreeSet<String> =
        of().flat_map(|(_, labels)| labels.iter().map(|(n, _)| n.to_owned())).collect();
    for limit in [0, 1, 2, usize::MAX] {
        let mut found = FirstTexts::new(limit);
        table.label_names(among, &mut found);
        assert!(found.into_vec().iter().eq(names.iter().take(limit)));
    }
    for name in ["a", "b", "__name__", "nowhere"] {
        let values: BTreeSet<String> =
            of().filter_map(|(_, labels)| labels.get(name)).map(str::to_owned).collect();
        for limit in [0, 1, 2, usize::MAX] {
            let mut found = FirstTexts::new(limit);
            table.label_values(name, among, &mut found);
            assert!(found.into_vec().iter().eq(values.iter().take(limit)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn selects_as_brute_force_does(
        sets in proptest::collection::vec((label_set(), 1u32..8), 0..120),
        copies in 1u32..40,
        dead in proptest::collection::btree_set(0u32..400, 0..100),
        selections in proptest::collection::vec(matchers(), 1..6),
    ) {
        let (mut table, mut model) = (SeriesTable::new(), Model::new());
        for copy in 0..copies {
            for (labels, every) in &sets {
                if copy % every != 0 {
                    continue;
                }
                let labels = if copy == 0 { labels.clone() } else {
                    let mut builder = labels.to_builder();
                    builder.set("instance", &format!("host-{copy}"));
                    builder.build()
                };
                let known = model.iter().find(|(_, other)| **other == labels).map(|(id, _)| *id);
                let (id, is_new) = table.get_or_insert(&labels);
                prop_assert_eq!(known.is_none(), is_new);
                prop_assert_eq!(known.unwrap_or(id), id);
                model.insert(id, labels);
            }
        }
        table.remove(&dead.iter().copied().collect());
        model.retain(|id, _| !dead.contains(id));
        check_against(&table, &model);
        check_names(&table, &model, None);
        for matchers in &selections {
            let expected: Vec<u32> =
                model.iter().filter(|(_, l)| matchers.iter().all(|m| m.matches_labels(l))).map(|(id, _)| *id).collect();
            let found = table.select(matchers);
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{:?}", matchers);
            check_names(&table, &model, Some(&found));
            let mut sorted: Vec<u32> = found.iter().collect();
            sorted.sort_by_key(|id| model[id].clone());
            prop_assert_eq!(table.sorted_by_labels(&found), sorted);
        }
    }

    #[test]
    fn steps_in_any_order(
        steps in proptest::collection::vec((label_set(), 0u32..2_000, 0u8..4), 1..80),
    ) {
        let (mut table, mut model) = (SeriesTable::new(), Model::new());
        for (labels, id, what) in steps {
            let known = model.iter().find(|(_, other)| **other == labels).map(|(id, _)| *id);
            match what {
                0 => {
                    let dead: RoaringBitmap = (id..id + 300).collect();
                    table.remove(&dead);
                    model.retain(|id, _| !dead.contains(*id));
                }
                1 => {
                    let next = table.next_id();
                    let expected = known.unwrap_or(if model.contains_key(&id) { next } else { id });
                    prop_assert_eq!(table.insert_at(id, &labels), expected);
                    model.insert(expected, labels);
                }
                _ => {
                    let next = table.next_id();
                    let expected = known.unwrap_or(next);
                    prop_assert_eq!(table.get_or_insert(&labels), (expected, known.is_none()));
                    model.insert(expected, labels);
                }
            }
        }
        check_against(&table, &model);
        table.remove(&(0..10_000).collect());
        check_against(&table, &Model::new());
        prop_assert!(table.memory_bytes() < 8_192, "{} bytes are left", table.memory_bytes());
    }
}

#[test]
fn ids_are_never_given_twice() {
    let mut table = SeriesTable::new();
    let labels = Labels::from_pairs([("a", "1")]);
    assert_eq!(table.get_or_insert(&labels), (0, true));
    table.remove(&RoaringBitmap::from([0]));
    assert_eq!((table.get(&labels), table.contains(0), table.labels(0)), (None, false, None));
    assert_eq!(table.get_or_insert(&labels), (1, true));
    table.reserve_ids(10);
    assert_eq!(table.get_or_insert(&Labels::empty()), (10, true));
    assert_eq!(table.insert_at(u32::MAX, &Labels::from_pairs([("a", "2")])), 11);
    assert_eq!(
        (table.label(11, "a"), table.label(11, "b"), table.label(12, "a")),
        (Some("2"), Some(""), None)
    );
}

/// Labels of series `n` of a target.
fn target_series(target: usize, generation: usize, n: usize) -> Labels {
    let pod = format!("web-{target}-{generation}");
    let name = format!("metric_{}_total", n % 40);
    let device = format!("eth{}", n / 40);
    Labels::from_pairs([("__name__", name.as_str()), ("device", &device), ("job", "web"), ("pod", &pod)])
}

#[test]
fn churn_leaves_nothing_behind() {
    let (n_targets, n_series) = (100, 120);
    let mut table = SeriesTable::new();
    let add = |table: &mut SeriesTable, target, generation| {
        for n in 0..n_series {
            assert!(table.get_or_insert(&target_series(target, generation, n)).1);
        }
    };
    (0..n_targets).for_each(|target| add(&mut table, target, 0));
    let mut after_first = None;
    for generation in 1..=60 {
        let mut dead = RoaringBitmap::new();
        for target in (generation % 10..n_targets).step_by(10) {
            let last = generation.saturating_sub(10);
            dead |= table.select(&[Matcher::equal("pod", format!("web-{target}-{last}"))]);
            add(&mut table, target, generation);
        }
        assert_eq!(dead.len(), 10 * n_series as u64);
        table.remove(&dead);
        assert_eq!(table.len(), n_targets * n_series);
        let first = *after_first.get_or_insert(table.memory_bytes());
        let n_dead = generation * 10 * n_series;
        let more = table.memory_bytes().saturating_sub(first);
        assert!(more < first / 4 + n_dead, "{more} bytes more than {first}, after {n_dead} dead series");
    }
}

#[test]
fn a_bomb_is_given_back() {
    let mut table = SeriesTable::new();
    for n in 0..500 {
        table.get_or_insert(&target_series(0, 0, n));
    }
    let before = table.memory_bytes();
    let bombs =
        [|n: u32| ("user", format!("id-{:08x}", n.wrapping_mul(0x9e37_79b1))), |n| ("", format!("name_{n}"))];
    for bomb in bombs {
        let first = table.next_id();
        let n_series = 30_000;
        for n in 0..n_series {
            let (name, text) = bomb(n);
            let pair = if name.is_empty() { (text.as_str(), "1") } else { (name, text.as_str()) };
            table.get_or_insert(&Labels::from_pairs([("__name__", "bomb"), pair]));
        }
        let stats = table.statistics(3);
        assert_eq!(stats.series_by_metric_name[0].name, "bomb");
        assert_eq!(stats.series_by_label_pair[0].value, u64::from(n_series));
        let each = (table.memory_bytes() - before) / n_series as usize;
        assert!(each < 400, "{each} bytes a series");
        table.remove(&(first..table.next_id()).collect());
        assert_eq!(table.len(), 500);
        let after = table.memory_bytes();
        assert!(after < before + 40_000, "{before} bytes before the bomb, {after} after it");
    }
}
