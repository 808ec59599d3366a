//! From matchers to series.
//!
//! Method: lists that are known come first, the shortest first. A matcher that would have to look at many values, or unite long lists, is
//! tested on the label sets of the candidates instead, once for each distinct pair, as soon as that is cheaper.

use hashbrown::HashMap;
use model::Matcher;
use roaring::RoaringBitmap;

use super::condition::{Condition, Values};
use super::pairs::{NameId, Pair, PairId};
use super::postings::{Postings, union};
use super::{SeriesTable, sets};

/// Cost of testing one candidate's label set, of looking at one value, and of uniting one id, in nanoseconds. Measured, rounded.
const TEST_NS: usize = 100;
const VALUE_NS: usize = 50;
const UNITE_NS: usize = 2;

/// A matcher on a name that series have.
struct Step<'a> {
    condition: Condition<'a>,
    name: NameId,
    /// Lists of its values, when they are known without a search.
    lists: Option<Vec<&'a Postings>>,
}

/// What is left of a matcher once the table is asked.
enum Resolved<'a> {
    Step(Step<'a>),
    /// Every series fulfils it.
    Always,
    /// No series does.
    Never,
}

impl SeriesTable {
    /// The series for which all of `matchers` hold.
    #[must_use]
    pub fn select(&self, matchers: &[Matcher]) -> RoaringBitmap {
        let mut steps = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            match self.resolve(matcher) {
                Resolved::Step(step) => steps.push(step),
                Resolved::Always => {}
                Resolved::Never => return RoaringBitmap::new(),
            }
        }
        // What leaves the least, and costs the least, first: wanted lists, wanted values, unwanted ones.
        steps.sort_by_cached_key(|step| {
            let n = match &step.lists {
                Some(lists) => n_series(lists),
                None => self.pairs.name(step.name).values.len(),
            };
            (!step.condition.is_wanted, step.lists.is_none(), n)
        });
        let mut found = None;
        let mut tests = Vec::new();
        for step in steps {
            if found.as_ref().is_some_and(RoaringBitmap::is_empty) {
                return RoaringBitmap::new();
            }
            if let Some(step) = self.apply(step, &mut found) {
                tests.push(step);
            }
        }
        let found = found.unwrap_or_else(|| self.ids());
        if tests.is_empty() { found } else { self.test(&found, &tests) }
    }

    fn resolve<'a>(&'a self, matcher: &'a Matcher) -> Resolved<'a> {
        let condition = Condition::of(matcher);
        let without = if condition.is_wanted { Resolved::Never } else { Resolved::Always };
        let Some(name) = self.pairs.find_name(&matcher.name) else { return without };
        let mut lists = None;
        match condition.values {
            Values::None => return without,
            Values::All if self.pairs.name(name).n_series == self.len() => {
                return if condition.is_wanted { Resolved::Always } else { Resolved::Never };
            }
            Values::OneOf(values) => {
                let pairs = values.iter().filter_map(|value| self.pairs.find(&matcher.name, value));
                let known: Vec<_> = pairs.map(|pair| &self.pairs.get(pair).postings).collect();
                if known.is_empty() {
                    return without;
                }
                lists = Some(known);
            }
            Values::All | Values::Prefix(_) => {}
        }
        Resolved::Step(Step { condition, name, lists })
    }

    /// Applies a step to what has been found so far, or gives it back when testing each candidate costs less.
    fn apply<'a>(&'a self, mut step: Step<'a>, found: &mut Option<RoaringBitmap>) -> Option<Step<'a>> {
        let n_found = found.as_ref().map(|found| usize::try_from(found.len()).unwrap_or(usize::MAX));
        let budget_ns = n_found.map_or(usize::MAX, |n| n.saturating_mul(TEST_NS));
        let lists = match step.lists.take() {
            // One list is always cheaper than a test.
            Some(lists) if lists.len() == 1 || cost_ns(&lists) <= budget_ns => lists,
            Some(_) => return Some(step),
            None => match self.search(&step, budget_ns) {
                Some(lists) => lists,
                None => return Some(step),
            },
        };
        match (found, step.condition.is_wanted, lists.as_slice()) {
            (found @ None, true, lists) => *found = Some(union(lists.iter().copied())),
            (Some(found), true, [list]) => list.intersect_with(found),
            (Some(found), true, lists) => *found &= union(lists.iter().copied()),
            (found, false, lists) => {
                let found = found.get_or_insert_with(|| self.ids());
                match lists {
                    [list] => list.subtract_from(found),
                    lists => *found -= union(lists.iter().copied()),
                }
            }
        }
        None
    }

    /// The lists of a step's values, unless that costs more than `budget_ns`.
    fn search<'a>(&'a self, step: &Step<'a>, budget_ns: usize) -> Option<Vec<&'a Postings>> {
        let (prefix, is_picky) = match step.condition.values {
            Values::Prefix(prefix) => (prefix, true),
            _ => ("", false),
        };
        let (mut spent_ns, mut lists) = (0usize, Vec::new());
        for pair in self.candidates(step.name, prefix) {
            spent_ns = spent_ns.saturating_add(VALUE_NS);
            if !is_picky || step.condition.picks(&pair.value) {
                spent_ns = spent_ns.saturating_add(pair.postings.cost() * UNITE_NS);
                lists.push(&pair.postings);
            }
            if spent_ns > budget_ns {
                return None;
            }
        }
        Some(lists)
    }

    /// The pairs of `name` whose values begin with `prefix`, in any order.
    fn candidates<'a>(&'a self, name: NameId, prefix: &'a str) -> Box<dyn Iterator<Item = &'a Pair> + 'a> {
        let values = &self.pairs.name(name).values;
        if prefix.is_empty() && values.len() * 2 > self.pairs.len() {
            // As they lie in memory, which saves a cache miss for each.
            return Box::new(self.pairs.iter().map(|(_, pair)| pair).filter(move |pair| pair.name == name));
        }
        let pairs = values.iter_from(prefix, |pair| self.pairs.value(pair)).map(|pair| self.pairs.get(pair));
        Box::new(pairs.take_while(move |pair| pair.value.starts_with(prefix)))
    }

    /// Those of `found` whose label sets pass all `tests`.
    fn test(&self, found: &RoaringBitmap, tests: &[Step<'_>]) -> RoaringBitmap {
        let mut verdicts: Vec<HashMap<PairId, bool>> = vec![HashMap::new(); tests.len()];
        let passes = |id: &u32| {
            let set = self.sets.get(*id).unwrap_or_default();
            tests.iter().zip(&mut verdicts).all(|(test, verdicts)| {
                let pair = sets::pairs(set).find(|pair| self.pairs.get(*pair).name == test.name);
                let has_one = pair.is_some_and(|pair| {
                    *verdicts.entry(pair).or_insert_with(|| test.condition.picks(self.pairs.value(pair)))
                });
                has_one == test.condition.is_wanted
            })
        };
        RoaringBitmap::from_sorted_iter(found.iter().filter(passes)).expect("bitmaps rise")
    }

    /// Names on any of `among`.
    pub(super) fn names_among(&self, among: &RoaringBitmap) -> Vec<NameId> {
        if self.is_few(among, self.pairs.len()) {
            let mut seen = RoaringBitmap::new();
            for pair in among.iter().flat_map(|id| sets::pairs(self.sets.get(id).unwrap_or_default())) {
                seen.insert(self.pairs.get(pair).name);
            }
            return seen.into_iter().collect();
        }
        let meets = |pair| self.pairs.get(pair).postings.meets(among);
        let names = self.pairs.names().filter(|(_, name)| name.values.iter().any(meets));
        names.map(|(name, _)| name).collect()
    }

    /// Pairs of `name` on any of `among`.
    pub(super) fn values_among(&self, name: NameId, among: &RoaringBitmap) -> Vec<PairId> {
        let values = &self.pairs.name(name).values;
        if self.is_few(among, values.len()) {
            let mut seen = RoaringBitmap::new();
            for id in among {
                let mut pairs = sets::pairs(self.sets.get(id).unwrap_or_default());
                seen.extend(pairs.find(|pair| self.pairs.get(*pair).name == name));
            }
            return seen.into_iter().collect();
        }
        values.iter().filter(|pair| self.pairs.get(*pair).postings.meets(among)).collect()
    }

    /// Whether reading the label sets of `among` costs less than comparing it with `n_lists` lists.
    fn is_few(&self, among: &RoaringBitmap, n_lists: usize) -> bool {
        among.len().saturating_mul(TEST_NS as u64) < n_lists.saturating_mul(VALUE_NS) as u64
    }
}

fn n_series(lists: &[&Postings]) -> usize {
    lists.iter().map(|list| list.len()).sum()
}

fn cost_ns(lists: &[&Postings]) -> usize {
    lists.iter().map(|list| VALUE_NS + list.cost() * UNITE_NS).fold(0, usize::saturating_add)
}
