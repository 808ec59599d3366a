//! Several stores read as one: series sorted and joined, samples sorted, the same time once.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Matcher, TimeRange};

use crate::error::QueryError;
use crate::seam::{Queryable, SelectHints, Series, SeriesSet};

/// Several stores read as one.
pub struct Merged<'a> {
    stores: Vec<&'a dyn Queryable>,
}

impl<'a> Merged<'a> {
    /// Reads `stores` as one. Where two hold the same series at the same time, the earlier store's value stays.
    #[must_use]
    pub fn new(stores: Vec<&'a dyn Queryable>) -> Self {
        Self { stores }
    }
}

impl Queryable for Merged<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        let sets = self.stores.iter().map(|store| store.select(matchers, range, hints));
        Ok(Box::new(MergedSet::new(sets.collect::<Result<_, _>>()?)))
    }

    fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>, QueryError> {
        union(self.stores.iter().map(|store| store.label_names(matchers, range)))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, QueryError> {
        union(self.stores.iter().map(|store| store.label_values(name, matchers, range)))
    }
}

fn union(answers: impl Iterator<Item = Result<Vec<String>, QueryError>>) -> Result<Vec<String>, QueryError> {
    let mut all = BTreeSet::new();
    for answer in answers {
        all.extend(answer?);
    }
    Ok(all.into_iter().collect())
}

/// Merges sorted sets by labels. Few sets are expected (head and some blocks), so the smallest is found by scan.
struct MergedSet<'a> {
    sets: Vec<Box<dyn SeriesSet + 'a>>,
    /// The next series of each set; `None` once it is over.
    heads: Vec<Option<Series>>,
    started: bool,
}

impl<'a> MergedSet<'a> {
    fn new(sets: Vec<Box<dyn SeriesSet + 'a>>) -> Self {
        let heads = sets.iter().map(|_| None).collect();
        Self { sets, heads, started: false }
    }
}

impl SeriesSet for MergedSet<'_> {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        if !self.started {
            self.started = true;
            for (head, set) in self.heads.iter_mut().zip(&mut self.sets) {
                *head = set.next()?;
            }
        }
        let Some(labels) = self.heads.iter().flatten().map(|s| &s.labels).min().cloned() else {
            return Ok(None);
        };
        let mut joined: Option<Series> = None;
        for (head, set) in self.heads.iter_mut().zip(&mut self.sets) {
            if head.as_ref().is_some_and(|series| series.labels == labels) {
                let series = std::mem::replace(head, set.next()?).expect("checked to be some above");
                joined = Some(match joined {
                    None => series,
                    Some(first) => merge_series(first, series),
                });
            }
        }
        Ok(joined)
    }
}

/// Joins the samples of two copies of a series; at equal times the value of `first` stays.
#[must_use]
pub fn merge_series(first: Series, second: Series) -> Series {
    // Fast path: one ends before the other begins, as blocks and head do.
    let ends_before = |a: &Series, b: &Series| match (a.timestamps.last(), b.timestamps.first()) {
        (Some(last), Some(next)) => last < next,
        _ => true,
    };
    if ends_before(&first, &second) {
        return concat(first, second);
    }
    if ends_before(&second, &first) {
        return concat(second, first);
    }
    // Slow path: interleave.
    let (a, b) = (&first.timestamps, &second.timestamps);
    let mut timestamps = Vec::with_capacity(a.len() + b.len());
    let mut values = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let take_first = j >= b.len() || (i < a.len() && a[i] <= b[j]);
        if take_first {
            j += usize::from(j < b.len() && a[i] == b[j]);
            timestamps.push(a[i]);
            values.push(first.values[i]);
            i += 1;
        } else {
            timestamps.push(b[j]);
            values.push(second.values[j]);
            j += 1;
        }
    }
    Series { labels: first.labels, timestamps: Arc::new(timestamps), values }
}

fn concat(mut first: Series, second: Series) -> Series {
    if second.values.is_empty() {
        return first;
    }
    if first.values.is_empty() {
        return second;
    }
    Arc::make_mut(&mut first.timestamps).extend_from_slice(&second.timestamps);
    first.values.extend_from_slice(&second.values);
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn series(samples: &BTreeMap<i64, f64>) -> Series {
        let (timestamps, values) = samples.iter().map(|(t, v)| (*t, *v)).unzip();
        Series { labels: Labels::empty(), timestamps: Arc::new(timestamps), values }
    }

    proptest! {
        #[test]
        fn merge_is_the_union_where_the_first_wins(
            a in proptest::collection::btree_map(-9i64..9, 0f64..9.0, 0..9),
            b in proptest::collection::btree_map(-9i64..9, 0f64..9.0, 0..9),
        ) {
            let mut expected = b.clone();
            expected.extend(&a);
            let merged = merge_series(series(&a), series(&b));
            let got: BTreeMap<i64, f64> = merged.timestamps.iter().copied().zip(merged.values).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
