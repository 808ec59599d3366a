//! Several stores read as one: series sorted and joined, samples sorted, the same time once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::{Matcher, TimeRange};

use crate::error::QueryError;
use crate::first::FirstTexts;
use crate::seam::{Queryable, RolledUp, SelectHints, SeriesSet};
use crate::series::{HistogramSample, Series, TimestampColumn};

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

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        union(self.stores.iter().map(|store| store.label_names(matchers, range, limit)), limit)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        union(self.stores.iter().map(|store| store.label_values(name, matchers, range, limit)), limit)
    }
}

fn union(
    answers: impl Iterator<Item = Result<Vec<String>, QueryError>>,
    limit: usize,
) -> Result<Vec<String>, QueryError> {
    let mut first = FirstTexts::new(limit);
    for answer in answers {
        for text in answer? {
            if !first.put(&text) {
                break;
            }
        }
    }
    Ok(first.into_vec())
}

/// Concatenations of timestamp columns that are remembered. Chosen: more than there are targets.
const JOINS_MAX: usize = 4_096;

/// Joins copies of series, and keeps shared timestamp columns shared: series of one target have their columns joined once.
#[derive(Debug, Default)]
pub struct Joiner {
    /// By the pointers of both; they are held, so that the pointers stay theirs.
    joined: HashMap<(usize, usize), [TimestampColumn; 3]>,
}

impl Joiner {
    /// As [`merge_series`].
    #[must_use]
    pub fn join(&mut self, mut first: Series, second: Series) -> Series {
        let plain = |series: &Series| {
            !series.values.is_empty() && series.histograms.is_empty() && series.starts.is_empty()
        };
        let apart = || first.timestamps.last() < second.timestamps.first();
        if !plain(&first) || !plain(&second) || !apart() {
            return merge_series(first, second);
        }
        let key = (Arc::as_ptr(&first.timestamps) as usize, Arc::as_ptr(&second.timestamps) as usize);
        if let Some([.., joined]) = self.joined.get(&key) {
            first.timestamps = Arc::clone(joined);
        } else {
            let mut all = Vec::with_capacity(first.timestamps.len() + second.timestamps.len());
            all.extend_from_slice(&first.timestamps);
            all.extend_from_slice(&second.timestamps);
            let all = Arc::new(all);
            // A column of one series alone need not be remembered.
            if Arc::strong_count(&first.timestamps) > 1 || Arc::strong_count(&second.timestamps) > 1 {
                if self.joined.len() >= JOINS_MAX {
                    self.joined.clear();
                }
                let held = [first.timestamps, second.timestamps, Arc::clone(&all)];
                self.joined.insert(key, held);
            }
            first.timestamps = all;
        }
        first.values.extend_from_slice(&second.values);
        first
    }
}

/// Reads sorted sets as one, as [`Merged`] does.
#[must_use]
pub fn merge_sets<'a>(sets: Vec<Box<dyn SeriesSet + 'a>>) -> Box<dyn SeriesSet + 'a> {
    Box::new(MergedSet::new(sets))
}

/// Merges sorted sets by labels. Few sets are expected (head and some blocks), so the smallest is found by scan.
struct MergedSet<'a> {
    sets: Vec<Box<dyn SeriesSet + 'a>>,
    /// The next series of each set; `None` once it is over.
    heads: Vec<Option<Series>>,
    started: bool,
    joiner: Joiner,
    rolled_up: Vec<RolledUp>,
    warnings: Vec<String>,
}

impl<'a> MergedSet<'a> {
    fn new(sets: Vec<Box<dyn SeriesSet + 'a>>) -> Self {
        let heads = sets.iter().map(|_| None).collect();
        let rolled_up = sets.iter().flat_map(|set| set.rolled_up()).copied().collect();
        let warnings = sets.iter().flat_map(|set| set.warnings()).cloned().collect();
        Self { sets, heads, started: false, joiner: Joiner::default(), rolled_up, warnings }
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
                    Some(first) => self.joiner.join(first, series),
                });
            }
        }
        Ok(joined)
    }

    fn rolled_up(&self) -> &[RolledUp] {
        &self.rolled_up
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Joins the samples of two copies of a series; at equal times the sample of `first` stays, of whatever kind.
#[must_use]
pub fn merge_series(first: Series, second: Series) -> Series {
    if second.is_empty() {
        return first;
    }
    if first.is_empty() {
        return second;
    }
    // Fast path: one ends before the other begins, as blocks and head do.
    let span = |series: &Series| {
        let floats = series.timestamps.first().copied().zip(series.timestamps.last().copied());
        let histograms =
            series.histograms.first().zip(series.histograms.last()).map(|(a, z)| (a.t_ms, z.t_ms));
        let join = |a: (i64, i64), b: (i64, i64)| (a.0.min(b.0), a.1.max(b.1));
        floats.into_iter().chain(histograms).reduce(join).expect("checked to have samples")
    };
    let ((first_from, first_to), (second_from, second_to)) = (span(&first), span(&second));
    if first_to < second_from {
        return concat(first, second);
    }
    if second_to < first_from {
        return concat(second, first);
    }
    interleave(first, second)
}

fn concat(mut first: Series, second: Series) -> Series {
    put_starts(&mut first, &second.starts, second.values.len());
    // Where it has no floats the other's column can be shared on.
    if first.values.is_empty() {
        first.timestamps = second.timestamps;
        first.values = second.values;
    } else if !second.values.is_empty() {
        Arc::make_mut(&mut first.timestamps).extend_from_slice(&second.timestamps);
        first.values.extend_from_slice(&second.values);
    }
    first.histograms.extend(second.histograms);
    first
}

/// Appends `n` start timestamps, which are all unknown when `starts` is empty.
fn put_starts(series: &mut Series, starts: &[i64], n: usize) {
    if series.starts.is_empty() && starts.is_empty() {
        return;
    }
    series.starts.resize(series.values.len(), 0);
    series.starts.extend_from_slice(starts);
    series.starts.resize(series.values.len() + n, 0);
}

/// Slow path: sample by sample.
fn interleave(first: Series, second: Series) -> Series {
    let has_starts = !first.starts.is_empty() || !second.starts.is_empty();
    let labels = first.labels.clone();
    let mut samples: BTreeMap<i64, AnySample> = samples_of(second).collect();
    samples.extend(samples_of(first));
    let (mut timestamps, mut out) = (Vec::new(), Series::floats(labels, Arc::default(), Vec::new()));
    for (t_ms, sample) in samples {
        match sample {
            AnySample::Float(value, start_ms) => {
                timestamps.push(t_ms);
                out.values.push(value);
                if has_starts {
                    out.starts.push(start_ms);
                }
            }
            AnySample::Histogram(sample) => out.histograms.push(sample),
        }
    }
    out.timestamps = Arc::new(timestamps);
    out
}

enum AnySample {
    Float(f64, i64),
    Histogram(HistogramSample),
}

fn samples_of(series: Series) -> impl Iterator<Item = (i64, AnySample)> {
    let Series { timestamps, values, starts, histograms, .. } = series;
    let floats = values.into_iter().enumerate().map(move |(idx, value)| {
        (timestamps[idx], AnySample::Float(value, starts.get(idx).copied().unwrap_or(0)))
    });
    floats.chain(histograms.into_iter().map(|sample| (sample.t_ms, AnySample::Histogram(sample))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;
    use proptest::prelude::*;

    fn series(samples: &BTreeMap<i64, f64>) -> Series {
        let (timestamps, values) = samples.iter().map(|(t, v)| (*t, *v)).unzip();
        Series::floats(Labels::empty(), Arc::new(timestamps), values)
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
            let joined = Joiner::default().join(series(&a), series(&b));
            prop_assert_eq!((&joined.timestamps, &joined.values), (&merged.timestamps, &merged.values));
            let got: BTreeMap<i64, f64> = merged.timestamps.iter().copied().zip(merged.values).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
