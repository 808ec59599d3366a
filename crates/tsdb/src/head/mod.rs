//! The newest samples, in memory: what was committed and is not in a block yet.
//!
//! In from a commit (`db::append`) after the log has a batch, and from replay; out to `query` as copies of columns and to the seal as pages.
//! Locks, in the order they are taken: the log (a commit holds it from judging to applying), the table, a group, what stands
//! beside. A reader sees all of a row or nothing of it.
//! Invariant: every sample here is in the log since the last seal that was published.

mod beside;
mod column;
mod extras;
mod group;
mod judge;
mod places;
mod replay;
mod side;
mod times;

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use model::Labels;
use parking_lot::{Mutex, RwLock};

use crate::options::{Limits, Options};
use crate::series::SeriesTable;

pub(crate) use beside::{apply_beside, apply_firsts};
pub(crate) use column::{Column, NO_SERIES};
pub(crate) use extras::{ExemplarRing, MetadataMap};
pub(crate) use group::{Group, Page, SharedGroup};
pub(crate) use judge::Verdict;
pub(crate) use places::{Place, Places};
pub(crate) use replay::Restore;
pub(crate) use side::{Side, SideTables, Starts, StoredHistogram};

/// Numbers of series and groups are counted up, so multiplying spreads them well enough.
#[derive(Debug, Default, Clone)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

/// A map by number of a series or a group.
pub(crate) type ByNumber<T> = HashMap<u32, T, BuildHasherDefault<NumberHasher>>;

/// What a new series takes in memory until the next count. Chosen: a little above what was measured.
pub(crate) const NEW_SERIES_BYTES: u64 = 350;

/// Which series and groups there are, and what is where.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) series: SeriesTable,
    pub(crate) places: Places,
    /// Columns that series had before they moved, while their samples are in the head.
    pub(crate) former: ByNumber<Vec<Place>>,
    pub(crate) groups: ByNumber<SharedGroup>,
    /// The newest group of each cohort: series with the same `job` and `instance` that came one by one.
    pub(crate) cohorts: HashMap<u64, u32>,
    hasher: hashbrown::DefaultHashBuilder,
}

impl Table {
    /// What series of one cohort have in common.
    pub(crate) fn cohort_of(&self, labels: &Labels) -> u64 {
        self.hasher.hash_one((labels.get("job").unwrap_or(""), labels.get("instance").unwrap_or("")))
    }

    /// All places of a series with samples in the head.
    pub(crate) fn places_of(&self, series: u32) -> impl Iterator<Item = Place> + '_ {
        self.places.get(series).into_iter().chain(self.former.get(&series).into_iter().flatten().copied())
    }

    /// The value of a series at `t_ms` in a column that it had before.
    pub(crate) fn former_at(&self, series: u32, t_ms: i64) -> Option<u64> {
        self.former.get(&series)?.iter().find_map(|place| self.value_at(*place, t_ms))
    }

    /// The value in a column at `t_ms`.
    pub(crate) fn value_at(&self, place: Place, t_ms: i64) -> Option<u64> {
        self.groups.get(&place.group)?.lock().value_at(place.column, t_ms)
    }

    /// Works out [`Group::elsewhere_ms`] of all groups.
    fn look_elsewhere(&mut self) {
        for (series, former) in &self.former {
            let before =
                former.iter().filter_map(|place| Some(self.groups.get(&place.group)?.lock().newest_ms));
            let newest_ms = before.max().unwrap_or(i64::MIN);
            if let Some(group) = self.places.get(*series).and_then(|place| self.groups.get(&place.group)) {
                let mut group = group.lock();
                group.elsewhere_ms = group.elsewhere_ms.max(newest_ms);
            }
        }
    }

    /// Puts a series into a column; where it was before is kept as long as samples are there.
    pub(crate) fn set_place(&mut self, series: u32, place: Place) {
        if let Some(before) = self.places.set(series, place)
            && before != place
        {
            self.former.entry(series).or_default().push(before);
        }
    }
}

/// Everything in the head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) table: RwLock<Table>,
    pub(crate) side: Mutex<Side>,
    /// Something is, or was, in [`Head::side`].
    pub(crate) has_side: AtomicBool,
    pub(crate) has_starts: AtomicBool,
    pub(crate) exemplars: Mutex<ExemplarRing>,
    pub(crate) metadata: Mutex<MetadataMap>,
    /// First and last sample; `i64::MAX, i64::MIN` when empty.
    pub(crate) min_ms: AtomicI64,
    pub(crate) max_ms: AtomicI64,
    /// First row or histogram; late samples do not count.
    pub(crate) oldest_row_ms: AtomicI64,
    /// Time of the newest late sample, or other than a row's, so far: what is newer need not be looked for among them.
    pub(crate) newest_late_ms: AtomicI64,
    /// Last sample in a block as of the last count; `i64::MIN` for none.
    pub(crate) sealed_max_ms: AtomicI64,
    /// Samples before this are rolled up, and no late ones come to them.
    pub(crate) rolled_up_ms: AtomicI64,
    pub(crate) next_series: AtomicU32,
    pub(crate) next_group: AtomicU32,
    /// Bytes of memory as of the last count, and what came since.
    pub(crate) memory_bytes: AtomicU64,
    block_ms: i64,
    ahead_max_ms: i64,
    retention_ms: AtomicI64,
    late_window_ms: i64,
}

impl Head {
    pub(crate) fn new(options: &Options) -> Self {
        let table = Table {
            series: SeriesTable::new(),
            places: Places::default(),
            former: ByNumber::default(),
            groups: ByNumber::default(),
            cohorts: HashMap::new(),
            hasher: hashbrown::DefaultHashBuilder::default(),
        };
        Self {
            table: RwLock::new(table),
            side: Mutex::new(Side::default()),
            has_side: AtomicBool::new(false),
            has_starts: AtomicBool::new(false),
            exemplars: Mutex::new(ExemplarRing::new(options.exemplars_max)),
            metadata: Mutex::new(MetadataMap::default()),
            min_ms: AtomicI64::new(i64::MAX),
            max_ms: AtomicI64::new(i64::MIN),
            oldest_row_ms: AtomicI64::new(i64::MAX),
            newest_late_ms: AtomicI64::new(i64::MIN),
            sealed_max_ms: AtomicI64::new(i64::MIN),
            rolled_up_ms: AtomicI64::new(i64::MIN),
            next_series: AtomicU32::new(0),
            next_group: AtomicU32::new(0),
            memory_bytes: AtomicU64::new(0),
            block_ms: options.block_ms,
            ahead_max_ms: options.ahead_max_ms,
            retention_ms: AtomicI64::new(options.longest_retention_ms(options.retention_ms)),
            late_window_ms: options.out_of_order_window_ms,
        }
    }

    /// Takes other limits than those of `options`.
    pub(crate) fn set_limits(&self, options: &Options, limits: &Limits) {
        let longest_ms = options.longest_retention_ms(limits.retention_ms);
        self.retention_ms.store(longest_ms, Ordering::Release);
        self.exemplars.lock().set_max(limits.exemplars_max);
    }

    /// First and last sample; `i64::MAX, i64::MIN` when empty.
    pub(crate) fn span(&self) -> (i64, i64) {
        (self.min_ms.load(Ordering::Acquire), self.max_ms.load(Ordering::Acquire))
    }

    pub(crate) fn widen_span(&self, first_ms: i64, last_ms: i64) {
        self.min_ms.fetch_min(first_ms, Ordering::AcqRel);
        self.max_ms.fetch_max(last_ms, Ordering::AcqRel);
    }

    pub(crate) fn n_series(&self) -> usize {
        self.table.read().series.len()
    }

    /// The newest sample, sealed ones included; `i64::MIN` for none.
    fn newest_ms(&self) -> i64 {
        self.span().1.max(self.sealed_max_ms.load(Ordering::Acquire))
    }

    /// The newest sample; now, when a clock that was wrong made that one.
    pub(crate) fn trusted_max_ms(&self, now_ms: i64) -> i64 {
        let max_ms = self.newest_ms();
        if max_ms > self.newest_allowed_ms(now_ms) { now_ms } else { max_ms }
    }

    /// What lies after this is too far ahead of the clock.
    pub(crate) fn newest_allowed_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_add(self.ahead_max_ms)
    }

    /// Samples before this are late whatever their series has: half a block behind the newest one.
    pub(crate) fn in_order_floor_ms(&self, now_ms: i64) -> i64 {
        if self.newest_ms() == i64::MIN {
            return i64::MIN;
        }
        self.trusted_max_ms(now_ms).saturating_sub(self.block_ms / 2)
    }

    /// Samples before this are too old.
    pub(crate) fn floor_ms(&self, now_ms: i64) -> i64 {
        self.late_floor_ms(now_ms).max(self.rolled_up_ms.load(Ordering::Acquire))
    }

    fn late_floor_ms(&self, now_ms: i64) -> i64 {
        let in_order_ms = self.in_order_floor_ms(now_ms);
        if in_order_ms == i64::MIN || self.late_window_ms == 0 {
            return in_order_ms;
        }
        let retention_ms = self.retention_ms.load(Ordering::Acquire);
        let window_ms =
            if retention_ms > 0 { self.late_window_ms.min(retention_ms) } else { self.late_window_ms };
        in_order_ms.min(self.trusted_max_ms(now_ms).saturating_sub(window_ms))
    }

    /// The late sample of a series at this time. Samples in order pay one comparison for it.
    pub(crate) fn late_at(&self, series: u32, t_ms: i64) -> Option<u64> {
        if t_ms > self.newest_late_ms.load(Ordering::Acquire) {
            return None;
        }
        self.side.lock().late_at(series, t_ms)
    }

    pub(crate) fn takes_late(&self) -> bool {
        self.late_window_ms > 0
    }

    /// The group with this number.
    pub(crate) fn group(&self, id: u32) -> Option<SharedGroup> {
        self.table.read().groups.get(&id).cloned()
    }
}
