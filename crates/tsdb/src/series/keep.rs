//! What groups keep of label sets: pairs of some names, or of all others.

use super::pairs::NameId;
use super::{SeriesId, SeriesTable, sets};

use model::Labels;

/// See the module.
#[derive(Debug)]
pub struct Keep<'a> {
    table: &'a SeriesTable,
    named: Vec<NameId>,
    without: bool,
}

impl SeriesTable {
    /// What groups keep that are made by `names`, or without them.
    #[must_use]
    pub fn keep(&self, names: &[&str], without: bool) -> Keep<'_> {
        Keep {
            table: self,
            named: names.iter().filter_map(|name| self.pairs.find_name(name)).collect(),
            without,
        }
    }

    /// The label pairs of a series in the order of their names; none of a series that is not there.
    pub fn pairs_of(&self, id: SeriesId) -> impl Iterator<Item = u32> + '_ {
        sets::pairs(self.sets.get(id).unwrap_or_default())
    }

    /// The labels that are these pairs, which a series has.
    #[must_use]
    pub fn labels_of(&self, pairs: &[u32]) -> Labels {
        Labels::from_sorted(pairs.iter().map(|pair| self.pairs.texts(*pair)))
    }
}

impl Keep<'_> {
    /// The pairs that are kept of a series; none of a series that is not there.
    pub fn pairs(&self, id: SeriesId) -> impl Iterator<Item = u32> + '_ {
        // Nothing is kept of any.
        let is_nothing = self.named.is_empty() && !self.without;
        let set = if is_nothing { None } else { self.table.sets.get(id) };
        sets::pairs(set.unwrap_or_default())
            .filter(|pair| self.named.contains(&self.table.pairs.get(*pair).name) != self.without)
    }
}
