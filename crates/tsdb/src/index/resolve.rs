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

/// Label sets are read where there is one for so many values that would have to be looked at. Measured, rounded: 2 µs a set, 60 ns a value.
const VALUES_PER_SET: u64 = 32;

/// Series numbers.
enum Numbers {
    Few(RoaringBitmap),
    /// A bit for each series of the block.
    Many(Vec<u64>),
}

fn rising(series: impl Iterator<Item = u32>) -> Result<RoaringBitmap, ReadError> {
    RoaringBitmap::from_sorted_iter(series).map_err(|_| super::leaf::damaged("postings"))
}

impl Numbers {
    fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(bits) => bits.iter().all(|word| *word == 0),
        }
    }

    /// Those that are in `other`, or those that are not.
    fn filtered(self, other: &Self, are_in: bool) -> Result<Self, ReadError> {
        let has = |bits: &[u64], number: u32| {
            bits.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
        };
        Ok(match (self, other) {
            (Self::Few(few), Self::Few(other)) => Self::Few(if are_in { few & other } else { few - other }),
            (Self::Few(few), Self::Many(bits)) => {
                Self::Few(rising(few.iter().filter(|number| has(bits, *number) == are_in))?)
            }
            (Self::Many(mut bits), Self::Many(other)) => {
                let words = bits.iter_mut().zip(other);
                words.for_each(|(word, other)| *word &= if are_in { *other } else { !*other });
                Self::Many(bits)
            }
            (Self::Many(bits), Self::Few(other)) if are_in => {
                Self::Few(rising(other.iter().filter(|number| has(&bits, *number)))?)
            }
            (Self::Many(mut bits), Self::Few(other)) => {
                for number in other {
                    if let Some(word) = bits.get_mut(number as usize / 64) {
                        *word &= !(1 << (number % 64));
                    }
                }
                Self::Many(bits)
            }
        })
    }

    fn into_bitmap(self) -> Result<RoaringBitmap, ReadError> {
        let bits = match self {
            Self::Few(few) => return Ok(few),
            Self::Many(bits) => bits,
        };
        let of_word = |(word, bits): (usize, &u64)| {
            let (first, mut bits) = (word as u32 * u64::BITS, *bits);
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                Some(first + bit)
            })
        };
        rising(bits.iter().enumerate().flat_map(of_word))
    }
}

impl BlockIndex {
    /// The series for which all of `matchers` hold.
    pub(crate) fn resolve(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, ReadError> {
        let (subtract, keep): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|m| m.matches_empty());
        // Equalities first: they are the cheapest and leave the least.
        let (equal, other): (Vec<&Matcher>, Vec<&Matcher>) =
            keep.iter().partition(|m| m.op == MatchOp::Equal);
        let mut found: Option<Numbers> = None;
        // Those that a look at the few series left answers sooner than one at many values.
        let mut tests: Vec<&Matcher> = Vec::new();
        for matcher in equal.into_iter().chain(other) {
            if self.is_test(matcher, found.as_ref())? {
                tests.push(matcher);
                continue;
            }
            let list = self.with_values(matcher, true)?;
            let left = match found {
                None => list,
                Some(found) => found.filtered(&list, true)?,
            };
            if left.is_empty() {
                return Ok(RoaringBitmap::new());
            }
            found = Some(left);
        }
        let mut found = match found {
            Some(found) => found,
            None => Numbers::Few(RoaringBitmap::from_sorted_iter(0..self.toc().n_series).unwrap_or_default()),
        };
        for matcher in subtract {
            if found.is_empty() {
                break;
            }
            if matcher.op == MatchOp::Regex && matcher.regex().is_some_and(model::Regex::matches_anything) {
                continue;
            }
            if self.is_test(matcher, Some(&found))? {
                tests.push(matcher);
                continue;
            }
            found = found.filtered(&self.with_values(matcher, false)?, false)?;
        }
        let found = found.into_bitmap()?;
        if tests.is_empty() { Ok(found) } else { self.test(&found, &tests) }
    }

    /// Whether a matcher without known values had better be tested on each of `found`.
    fn is_test(&self, matcher: &Matcher, found: Option<&Numbers>) -> Result<bool, ReadError> {
        let Some(Numbers::Few(few)) = found else { return Ok(false) };
        let Some(regex) = matcher.regex().filter(|regex| regex.literal_alternatives().is_none()) else {
            return Ok(false);
        };
        let n_values = self.name(&matcher.name)?.map_or(0, |name| u64::from(name.n_values));
        // Of how many values begin with a prefix nobody knows.
        Ok(regex.prefix().is_none() && few.len().saturating_mul(VALUES_PER_SET) < n_values)
    }

    /// Those of `found` for which all of `matchers` hold.
    fn test(&self, found: &RoaringBitmap, matchers: &[&Matcher]) -> Result<RoaringBitmap, ReadError> {
        let mut cursor = LabelCursor::default();
        let mut passed = Vec::new();
        for number in found {
            let labels = cursor.labels(self, number)?;
            if matchers.iter().all(|matcher| matcher.matches_labels(&labels)) {
                passed.push(number);
            }
        }
        rising(passed.into_iter())
    }

    /// Series that have a value of the matcher's label for which it holds, or for which it does not.
    fn with_values(&self, matcher: &Matcher, holds: bool) -> Result<Numbers, ReadError> {
        let Some(name) = self.name(&matcher.name)? else { return Ok(Numbers::Few(RoaringBitmap::new())) };
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
    fn union(&self, pairs: &[u32], n_found: u64) -> Result<Numbers, ReadError> {
        if let [pair] = pairs {
            let mut out = RoaringBitmap::new();
            self.add_series(*pair, &mut out)?;
            return Ok(Numbers::Few(out));
        }
        let n_series = self.toc().n_series;
        if n_found < u64::from(n_series / SERIES_PER_BIT) {
            let mut series = Vec::new();
            for pair in pairs {
                self.runs(*pair, |first, n, step| series.extend((0..n).map(|idx| first + idx * step)))?;
            }
            series.sort_unstable();
            series.dedup();
            return rising(series.into_iter()).map(Numbers::Few);
        }
        let mut bits = vec![0u64; n_series.div_ceil(u64::BITS) as usize];
        for pair in pairs {
            self.runs(*pair, |first, n, step| {
                for series in (0..n).map(|idx| first + idx * step) {
                    bits[series as usize / 64] |= 1 << (series % 64);
                }
            })?;
        }
        Ok(Numbers::Many(bits))
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
