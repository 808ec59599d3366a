//! From matchers to series of a block, and what its series are labelled with.
//!
//! Method: intersect what must be there, subtract what must not; a matcher that also matches an absent label is answered
//! by what it does not match. Values are found in the sorted dictionary: alternatives one by one, prefixes as a stretch.

use model::{MatchOp, Matcher};
use roaring::RoaringBitmap;
use storage::FirstTexts;

use super::leaf::ReadError;
use super::reader::{BlockIndex, LabelCursor, NameEntry};

/// Lists are united in a set of bits when at least one series in so many is in them: below that, sorting is cheaper. Chosen.
const SERIES_PER_BIT: u32 = 64;

impl BlockIndex {
    /// The series for which all of `matchers` hold.
    pub(crate) fn resolve(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, ReadError> {
        let (subtract, keep): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|m| m.matches_empty());
        // Equalities first: they are the cheapest and leave the least.
        let (equal, other): (Vec<&Matcher>, Vec<&Matcher>) =
            keep.iter().partition(|m| m.op == MatchOp::Equal);
        let mut found: Option<RoaringBitmap> = None;
        for matcher in equal.into_iter().chain(other) {
            let list = self.with_values(matcher, true)?;
            let left = match found {
                None => list,
                Some(found) => found & list,
            };
            if left.is_empty() {
                return Ok(left);
            }
            found = Some(left);
        }
        let mut found = match found {
            Some(found) => found,
            None => RoaringBitmap::from_sorted_iter(0..self.toc().n_series).unwrap_or_default(),
        };
        for matcher in subtract {
            if found.is_empty() {
                break;
            }
            if matcher.op == MatchOp::Regex && matcher.regex().is_some_and(model::Regex::matches_anything) {
                continue;
            }
            found -= self.with_values(matcher, false)?;
        }
        Ok(found)
    }

    /// Series that have a value of the matcher's label for which it holds, or for which it does not.
    fn with_values(&self, matcher: &Matcher, holds: bool) -> Result<RoaringBitmap, ReadError> {
        let Some(name) = self.name(&matcher.name)? else { return Ok(RoaringBitmap::new()) };
        let (mut pairs, mut n_found) = (Vec::new(), 0u64);
        let literal = match (matcher.op, matcher.regex()) {
            (MatchOp::Equal, _) if holds => Some(std::slice::from_ref(&matcher.value)),
            (MatchOp::NotEqual, _) if !holds => Some(std::slice::from_ref(&matcher.value)),
            (MatchOp::Regex, Some(regex)) if holds => regex.literal_alternatives(),
            (MatchOp::NotRegex, Some(regex)) if !holds => regex.literal_alternatives(),
            _ => None,
        };
        if let Some(literal) = literal {
            for text in literal {
                self.values(name, text, &mut |pair, value, n_series| {
                    if value == text {
                        pairs.push(pair);
                        n_found += u64::from(n_series);
                    }
                    false
                })?;
            }
        } else {
            // What holds for a regex begins with its prefix.
            let prefixed = matches!((matcher.op, holds), (MatchOp::Regex, true) | (MatchOp::NotRegex, false));
            let prefix = matcher.regex().filter(|_| prefixed).and_then(model::Regex::prefix).unwrap_or("");
            self.values(name, prefix, &mut |pair, value, n_series| {
                if !value.starts_with(prefix) {
                    return false;
                }
                if matcher.matches(value) == holds {
                    pairs.push(pair);
                    n_found += u64::from(n_series);
                }
                true
            })?;
        }
        self.union(&pairs, n_found)
    }

    /// The series of any of `pairs`, some `n_found`.
    fn union(&self, pairs: &[u32], n_found: u64) -> Result<RoaringBitmap, ReadError> {
        if let [pair] = pairs {
            let mut out = RoaringBitmap::new();
            self.add_series(*pair, &mut out)?;
            return Ok(out);
        }
        let n_series = self.toc().n_series;
        let rising = |series: &mut dyn Iterator<Item = u32>| {
            RoaringBitmap::from_sorted_iter(series).map_err(|_| super::leaf::damaged("postings"))
        };
        if n_found < u64::from(n_series / SERIES_PER_BIT) {
            let mut series = Vec::new();
            for pair in pairs {
                self.runs(*pair, |first, n, step| series.extend((0..n).map(|idx| first + idx * step)))?;
            }
            series.sort_unstable();
            series.dedup();
            return rising(&mut series.into_iter());
        }
        let mut bits = vec![0u64; n_series.div_ceil(u64::BITS) as usize];
        for pair in pairs {
            self.runs(*pair, |first, n, step| {
                for series in (0..n).map(|idx| first + idx * step) {
                    bits[series as usize / 64] |= 1 << (series % 64);
                }
            })?;
        }
        let of_word = |(word, bits): (usize, &u64)| {
            let (first, mut bits) = (word as u32 * u64::BITS, *bits);
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                Some(first + bit)
            })
        };
        rising(&mut bits.iter().enumerate().flat_map(of_word))
    }

    fn add_series(&self, pair: u32, out: &mut RoaringBitmap) -> Result<(), ReadError> {
        self.runs(pair, |first, n, step| {
            let last = first + (n - 1) * step;
            if step == 1 {
                out.insert_range(first..=last);
            } else {
                out.extend((first..=last).step_by(step as usize));
            }
        })
    }

    /// Names of labels on any of `among`, or on any series.
    pub(crate) fn label_names(
        &self,
        among: Option<&RoaringBitmap>,
        out: &mut FirstTexts,
    ) -> Result<(), ReadError> {
        let names = self.names()?;
        let Some(among) = among else {
            let _ = names.iter().all(|name| out.put(&name.name));
            return Ok(());
        };
        let mut seen = vec![false; names.len()];
        self.walk(among, |pair| {
            let at = names.partition_point(|name| name.first_pair <= pair);
            at.checked_sub(1).and_then(|at| seen.get_mut(at)).into_iter().for_each(|seen| *seen = true);
        })?;
        let _ = names.iter().zip(seen).filter(|(_, seen)| *seen).all(|(name, _)| out.put(&name.name));
        Ok(())
    }

    /// Values of `name` on any of `among`, or on any series.
    pub(crate) fn label_values(
        &self,
        name: &str,
        among: Option<&RoaringBitmap>,
        out: &mut FirstTexts,
    ) -> Result<(), ReadError> {
        let Some(name) = self.name(name)? else { return Ok(()) };
        let mut seen = RoaringBitmap::new();
        if let Some(among) = among {
            let pairs = name.first_pair..name.first_pair + name.n_values;
            self.walk(among, |pair| {
                if pairs.contains(&pair) {
                    seen.insert(pair);
                }
            })?;
        }
        self.values(name, "", &mut |pair, value, _| {
            (among.is_some() && !seen.contains(pair)) || out.put(value)
        })
    }

    /// Calls `each` with every pair of every series of `among`.
    fn walk(&self, among: &RoaringBitmap, mut each: impl FnMut(u32)) -> Result<(), ReadError> {
        let mut cursor = LabelCursor::default();
        for number in among {
            cursor.pairs(self, number)?.iter().for_each(|pair| each(*pair));
        }
        Ok(())
    }

    /// Calls `each` with every value of `name` and how many series have it.
    pub(crate) fn value_counts(
        &self,
        name: &NameEntry,
        mut each: impl FnMut(&str, u64),
    ) -> Result<(), ReadError> {
        self.values(name, "", &mut |_, value, n_series| {
            each(value, u64::from(n_series));
            true
        })
    }
}
