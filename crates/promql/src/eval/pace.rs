//! How often long loops look whether the query is to stop.
//!
//! In: how many values a loop has passed; out: an error once the query was cancelled or its time is over. A look reads the clock, so
//! there is one for every so many values rather than for each step: loops are told the values, not the steps.

use std::cmp::Ordering;

use super::evaluator::Result;
use crate::options::QueryOptions;

/// Values between two looks. Chosen: some hundred microseconds of work, a thousand times what a look costs.
pub(crate) const VALUES_PER_LOOK: usize = 1 << 16;

/// What a native histogram counts for. Chosen: one is added or subtracted in a tenth of a microsecond or more.
pub(crate) const HISTOGRAM_VALUES: usize = 128;

/// What making the labels of a series counts for. Chosen, as above.
pub(crate) const LABELS_VALUES: usize = 512;

/// What comparing two series by their labels counts for. Chosen.
const COMPARE_VALUES: usize = 64;

/// Series that are sorted without a look between. Chosen.
const SORTED_AT_ONCE: usize = 1 << 12;

/// Counts the values that one loop passes.
pub(crate) struct Pace<'q> {
    query: &'q QueryOptions,
    left: usize,
}

impl<'q> Pace<'q> {
    pub(crate) fn new(query: &'q QueryOptions) -> Self {
        Self { query, left: VALUES_PER_LOOK }
    }

    /// The query that is to be asked.
    pub(crate) fn query(&self) -> &'q QueryOptions {
        self.query
    }

    /// Looks, if `n` more values make it time to.
    ///
    /// # Errors
    /// When the query is to stop.
    pub(crate) fn pass(&mut self, n: usize) -> Result<()> {
        match self.left.checked_sub(n) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = VALUES_PER_LOOK;
                self.query.check_stop()
            }
        }
    }

    /// Sorts as [`slice::sort_by`] does, and stops in between.
    ///
    /// # Errors
    /// When the query is to stop.
    pub(crate) fn sort_by<T>(
        &mut self,
        items: &mut Vec<T>,
        compare: impl Fn(&T, &T) -> Ordering,
    ) -> Result<()> {
        if items.len() <= SORTED_AT_ONCE {
            items.sort_by(compare);
            return Ok(());
        }
        let mut rest = std::mem::take(items).into_iter();
        let mut runs = Vec::new();
        loop {
            let mut run: Vec<T> = rest.by_ref().take(SORTED_AT_ONCE).collect();
            if run.is_empty() {
                break;
            }
            run.sort_by(&compare);
            self.pass(run.len() * COMPARE_VALUES)?;
            runs.push(run);
        }
        while runs.len() > 1 {
            let mut wider = Vec::with_capacity(runs.len().div_ceil(2));
            let mut pairs = runs.into_iter();
            while let Some(left) = pairs.next() {
                wider.push(match pairs.next() {
                    Some(right) => self.merge(left, right, &compare)?,
                    None => left,
                });
            }
            runs = wider;
        }
        *items = runs.pop().unwrap_or_default();
        Ok(())
    }

    /// Of equals those of `left` come first.
    fn merge<T>(
        &mut self,
        left: Vec<T>,
        right: Vec<T>,
        compare: &impl Fn(&T, &T) -> Ordering,
    ) -> Result<Vec<T>> {
        let mut merged = Vec::with_capacity(left.len() + right.len());
        let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            self.pass(COMPARE_VALUES)?;
            let next = if compare(a, b).is_gt() { right.next() } else { left.next() };
            merged.extend(next);
        }
        merged.extend(left);
        merged.extend(right);
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn sorting_with_looks_is_sorting(items in proptest::collection::vec((0u32..500, any::<u32>()), 0..20_000)) {
            let mut expected = items.clone();
            expected.sort_by_key(|(key, _)| *key);
            let mut got = items;
            let query = QueryOptions::default();
            Pace::new(&query).sort_by(&mut got, |a, b| a.0.cmp(&b.0)).expect("nothing stops it");
            prop_assert_eq!(got, expected);
        }
    }
}
