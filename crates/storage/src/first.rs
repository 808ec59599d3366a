//! The first of many texts: what an answer with a limit needs, in no more memory than that.

use std::collections::BTreeSet;

/// Sorted texts, each once, and no more of them than the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstTexts {
    texts: BTreeSet<String>,
    limit: usize,
}

impl FirstTexts {
    /// None yet, and never more than `limit`.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { texts: BTreeSet::new(), limit }
    }

    /// Takes `text` if it is among the first. `false` when neither it nor anything greater is: whoever has the rest in
    /// order can stop.
    pub fn put(&mut self, text: &str) -> bool {
        if self.texts.len() >= self.limit {
            if self.texts.last().is_none_or(|last| last.as_str() <= text) {
                return false;
            }
            if !self.texts.contains(text) {
                self.texts.pop_last();
                self.texts.insert(text.to_owned());
            }
        } else if !self.texts.contains(text) {
            self.texts.insert(text.to_owned());
        }
        true
    }

    /// All of them, sorted.
    #[must_use]
    pub fn into_vec(self) -> Vec<String> {
        self.texts.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stay_and_what_comes_after_them_says_stop() {
        let check = |limit, texts: &str, expected: &str, stops: &str| {
            let mut first = FirstTexts::new(limit);
            let stopped: Vec<&str> = texts.split_whitespace().filter(|text| !first.put(text)).collect();
            assert_eq!(
                (first.into_vec().join(" "), stopped.join(" ")),
                (expected.to_owned(), stops.to_owned())
            );
        };
        check(usize::MAX, "c a b a", "a b c", "");
        check(2, "a b c", "a b", "c");
        check(2, "c d b b a d", "a b", "d");
        check(2, "a b b", "a b", "b");
        check(0, "a", "", "a");
    }
}
