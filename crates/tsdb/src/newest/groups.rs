//! Numbers for the groups of an aggregation, by the numbers of the label pairs that their series have in common.
//!
//! No label is read: two series are in one group when the same pairs are left of them. Series come sorted, so that the next one
//! mostly is in the group of the one before.

use std::sync::Arc;

use hashbrown::HashMap;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct GroupNumbers {
    key: Vec<u32>,
    last: u32,
    known: HashMap<Arc<[u32]>, u32>,
    groups: Vec<Arc<[u32]>>,
}

impl GroupNumbers {
    /// The number of the group whose series have these pairs; a new one when there was none.
    pub(crate) fn of(&mut self, pairs: impl Iterator<Item = u32>) -> u32 {
        self.key.clear();
        self.key.extend(pairs);
        if self.groups.get(self.last as usize).is_some_and(|last| **last == *self.key) {
            return self.last;
        }
        self.last = match self.known.get(&self.key[..]) {
            Some(number) => *number,
            None => {
                let number = self.groups.len() as u32;
                let key: Arc<[u32]> = self.key.as_slice().into();
                self.known.insert(Arc::clone(&key), number);
                self.groups.push(key);
                number
            }
        };
        self.last
    }

    /// The pairs of a group; none for a number that was not given.
    pub(crate) fn pairs(&self, group: u32) -> Arc<[u32]> {
        self.groups.get(group as usize).cloned().unwrap_or_default()
    }

    /// All groups, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.groups.iter().map(|pairs| &**pairs)
    }
}
