//! Where each series stands: its group and column, by series number.
//!
//! Numbers only rise, so pages of the map whose series are all gone are given back.

/// A column of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) group: u32,
    pub(crate) column: u32,
}

const NONE: Place = Place { group: u32::MAX, column: u32::MAX };
/// Series a page of the map holds. Chosen: 4 KiB.
const PAGE: usize = 512;

#[derive(Debug)]
struct PlacePage {
    n_used: u32,
    places: Box<[Place; PAGE]>,
}

/// The map.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pages: Vec<Option<PlacePage>>,
}

impl Places {
    #[inline]
    pub(crate) fn get(&self, series: u32) -> Option<Place> {
        let page = self.pages.get(series as usize / PAGE)?.as_ref()?;
        Some(page.places[series as usize % PAGE]).filter(|place| *place != NONE)
    }

    /// Returns where it was before.
    pub(crate) fn set(&mut self, series: u32, place: Place) -> Option<Place> {
        let idx = series as usize / PAGE;
        if self.pages.len() <= idx {
            self.pages.resize_with(idx + 1, || None);
        }
        let page =
            self.pages[idx].get_or_insert_with(|| PlacePage { n_used: 0, places: Box::new([NONE; PAGE]) });
        let before = std::mem::replace(&mut page.places[series as usize % PAGE], place);
        page.n_used += u32::from(before == NONE);
        Some(before).filter(|before| *before != NONE)
    }

    pub(crate) fn remove(&mut self, series: u32) {
        let Some(slot) = self.pages.get_mut(series as usize / PAGE) else { return };
        let Some(page) = slot else { return };
        let place = &mut page.places[series as usize % PAGE];
        page.n_used -= u32::from(*place != NONE);
        *place = NONE;
        if page.n_used == 0 {
            *slot = None;
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let n_pages = self.pages.iter().flatten().count();
        self.pages.capacity() * size_of::<Option<PlacePage>>() + n_pages * PAGE * size_of::<Place>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_and_pages_given_back() {
        let mut places = Places::default();
        let place = |column| Place { group: 3, column };
        for series in 0..2_000 {
            assert_eq!(places.set(series, place(series)), None);
        }
        assert_eq!(places.set(7, place(8)), Some(place(7)));
        assert_eq!((places.get(7), places.get(5_000)), (Some(place(8)), None));
        let full = places.memory_bytes();
        (0..1_999).for_each(|series| places.remove(series));
        assert!(places.memory_bytes() < full / 2);
        assert_eq!((places.get(7), places.get(1_999)), (None, Some(place(1_999))));
    }
}
