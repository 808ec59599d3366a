//! The label pairs of a block that is being written, each once, numbered by first use.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PairDict {
    /// Names and values, one after another.
    text: String,
    /// Where the name begins, the value begins, and the value ends.
    places: Vec<(u32, u32, u32)>,
    /// How many series have it.
    counts: Vec<u32>,
    by_text: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl PairDict {
    /// The pair with this number.
    pub(super) fn get(&self, number: u32) -> (&str, &str) {
        let (name, value, end) = self.places[number as usize];
        (&self.text[name as usize..value as usize], &self.text[value as usize..end as usize])
    }

    /// How many pairs.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// How many series have the pair.
    pub(super) fn count(&self, number: u32) -> u32 {
        self.counts[number as usize]
    }

    /// Counts a series that has the pair.
    pub(super) fn bump(&mut self, number: u32) {
        self.counts[number as usize] += 1;
    }

    /// The number of the pair, new when it was not there. `None` when four gigabytes are full.
    pub(super) fn intern(&mut self, name: &str, value: &str) -> Option<u32> {
        let hash = self.hasher.hash_one((name, value));
        if let Some(number) = self.by_text.find(hash, |number| self.get(*number) == (name, value)) {
            return Some(*number);
        }
        let at = u32::try_from(self.text.len()).ok()?;
        let end = u32::try_from(self.text.len() + name.len() + value.len()).ok()?;
        let number = u32::try_from(self.places.len()).ok()?;
        self.text.push_str(name);
        self.text.push_str(value);
        self.places.push((at, at + name.len() as u32, end));
        self.counts.push(0);
        let (places, text, hasher) = (&self.places, &self.text, &self.hasher);
        self.by_text.insert_unique(hash, number, |number| {
            let (name, value, end) = places[*number as usize];
            hasher.hash_one((&text[name as usize..value as usize], &text[value as usize..end as usize]))
        });
        Some(number)
    }

    /// Pair numbers of first use, sorted by name, then by value.
    pub(super) fn sorted(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.places.len() as u32).collect();
        order.sort_unstable_by(|a, b| self.get(*a).cmp(&self.get(*b)));
        order
    }
}
