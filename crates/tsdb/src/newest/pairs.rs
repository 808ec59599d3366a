//! One numbering of label pairs for several parts of the store, so that their series can be compared without building labels.

use std::cmp::Ordering;
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use model::Labels;

type Text = (Box<str>, Box<str>);

/// Name and value, to be looked for.
#[derive(Hash)]
struct Wanted<'a>(&'a str, &'a str);

impl Equivalent<Arc<Text>> for Wanted<'_> {
    fn equivalent(&self, known: &Arc<Text>) -> bool {
        *known.0 == *self.0 && *known.1 == *self.1
    }
}

/// Label pairs by number, in the order in which they were first met.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    numbers: HashMap<Arc<Text>, u32>,
    texts: Vec<Arc<Text>>,
}

impl Pairs {
    /// The number of the only pair of `labels`.
    pub(crate) fn number_of(&mut self, labels: &Labels) -> u32 {
        let (name, value) = labels.iter().next().unwrap_or_default();
        if let Some(number) = self.numbers.get(&Wanted(name, value)) {
            return *number;
        }
        let number = self.texts.len() as u32;
        let text = Arc::new((name.into(), value.into()));
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    /// How label sets compare, by the numbers of their pairs in the order of names.
    pub(crate) fn compare(&self, a: &[u32], b: &[u32]) -> Ordering {
        let n_common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        match (a.get(n_common), b.get(n_common)) {
            (Some(a), Some(b)) => self.texts[*a as usize].cmp(&self.texts[*b as usize]),
            (a, b) => a.is_some().cmp(&b.is_some()),
        }
    }
}

/// No number yet.
const UNKNOWN: u32 = u32::MAX;

/// From the numbers of one part to those of all.
#[derive(Debug, Default)]
pub(crate) struct Translation {
    numbers: Vec<u32>,
}

impl Translation {
    /// The number of what the part calls `own`; `find` is asked once for each.
    ///
    /// # Errors
    /// Those of `find`.
    pub(crate) fn get<E>(&mut self, own: u32, find: impl FnOnce() -> Result<u32, E>) -> Result<u32, E> {
        let idx = own as usize;
        if self.numbers.len() <= idx {
            self.numbers.resize(idx + 1, UNKNOWN);
        }
        if self.numbers[idx] == UNKNOWN {
            self.numbers[idx] = find()?;
        }
        Ok(self.numbers[idx])
    }
}
