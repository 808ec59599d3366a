//! Reads a block's index, leaf by leaf, through the cache. Opening reads the table of contents alone.
//!
//! What is damaged is found when it is read; a copy in [`super::twin`] stands in, or it costs what is in it.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use model::Labels;
use model::labels::TEXT_BYTES_MAX;
use parking_lot::Mutex;
use stdx::{Dir, File, varint};

use super::cache::BlockCache;
use super::codec::{
    N_TABLES, PagePlace, PageRef, PagesState, TOC_BYTES, Toc, get_copy, get_pages, get_restart, get_runs,
    get_set, put_copy,
};
use super::leaf::{Fence, ReadError, RestartLeaf, Table, damaged, read_checked};
use super::twin::{self, IndexTwin};
use super::writer::INDEX_HEADER;
use crate::error::TsdbError;

/// Label names in one block. Chosen: a thousand times what is usual, and they are held in memory.
const NAMES_MAX: u64 = 1 << 20;

/// Reasons kept of what was read from copies. Chosen: the first few tell which disk it is.
const REASONS_MAX: usize = 8;

/// The copy of `meta.json` at most. Chosen: names of ten thousand parents.
const COPY_BYTES_MAX: u64 = 1 << 20;

/// Sections, by their place in the table of contents.
pub(super) const SERIES: usize = 0;
pub(super) const PAGES: usize = 1;
pub(super) const COLUMNS: usize = 2;
pub(super) const PAIRS: usize = 3;
pub(super) const POSTINGS: usize = 4;
const NAMES: usize = 5;
const SECTION_NAMES: [&str; N_TABLES] =
    ["series", "pages of series", "columns", "label pairs", "postings", "label names"];

/// A leaf, read.
#[derive(Debug)]
pub(super) enum Leaf {
    Entries(RestartLeaf),
    Columns(ColumnLeaf),
    Pairs(PairLeaf),
    Postings(PostingLeaf),
}

impl Leaf {
    pub(super) fn memory_bytes(&self) -> usize {
        let inner = match self {
            Self::Entries(leaf) => leaf.memory_bytes(),
            Self::Columns(leaf) => leaf.bytes.len() + leaf.columns.len() * size_of::<ColumnHead>(),
            Self::Pairs(leaf) => leaf.text.len() + leaf.ends.len() * 8,
            Self::Postings(leaf) => leaf.bytes.len() + leaf.ends.len() * 4,
        };
        inner + size_of::<Self>()
    }
}

/// What is known of a timestamp column without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ColumnHead {
    pub(crate) n_rows: u32,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    /// Where it lies in its leaf.
    from: usize,
    to: usize,
}

#[derive(Debug)]
pub(super) struct ColumnLeaf {
    bytes: Vec<u8>,
    columns: Vec<ColumnHead>,
}

impl ColumnLeaf {
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let mut src = &bytes[..];
        let n_columns = varint::get_u64(&mut src)?;
        let (mut columns, mut at) = (Vec::new(), 0usize);
        for _ in 0..n_columns {
            let n_rows = u32::try_from(varint::get_u64(&mut src)?).ok().filter(|n| *n > 0)?;
            let first_ms = varint::get_i64(&mut src)?;
            let last_ms = first_ms.checked_add_unsigned(varint::get_u64(&mut src)?)?;
            let n_bytes = usize::try_from(varint::get_u64(&mut src)?).ok()?;
            let to = at.checked_add(n_bytes)?;
            columns.push(ColumnHead { n_rows, first_ms, last_ms, from: at, to });
            at = to;
        }
        let heads_end = bytes.len() - src.len();
        for column in &mut columns {
            (column.from, column.to) =
                (column.from.checked_add(heads_end)?, column.to.checked_add(heads_end)?);
        }
        (at == src.len()).then_some(Self { bytes, columns })
    }
}

#[derive(Debug)]
pub(super) struct PairLeaf {
    /// All values, one after another, and where each ends.
    text: String,
    ends: Vec<u32>,
    counts: Vec<u32>,
}

impl PairLeaf {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut src = bytes;
        let (mut text, mut ends, mut counts) = (String::with_capacity(bytes.len()), Vec::new(), Vec::new());
        let mut last_from = 0usize;
        while !src.is_empty() {
            let common = usize::try_from(varint::get_u64(&mut src)?).ok()?;
            let rest = std::str::from_utf8(varint::get_bytes(&mut src)?).ok()?;
            let from = text.len();
            let shared = last_from..last_from.checked_add(common)?;
            if shared.end > from || !text.is_char_boundary(shared.end) {
                return None;
            }
            text.extend_from_within(shared);
            text.push_str(rest);
            // Sharing makes text longer than its leaf, but not without limit.
            if text.len() > super::leaf::LEAF_BYTES_MAX || text.len() - from > TEXT_BYTES_MAX {
                return None;
            }
            ends.push(text.len() as u32);
            counts.push(u32::try_from(varint::get_u64(&mut src)?).ok()?);
            last_from = from;
        }
        Some(Self { text, ends, counts })
    }

    fn value(&self, idx: usize) -> &str {
        let from = if idx == 0 { 0 } else { self.ends[idx - 1] as usize };
        &self.text[from..self.ends[idx] as usize]
    }
}

#[derive(Debug)]
pub(super) struct PostingLeaf {
    bytes: Vec<u8>,
    start: usize,
    ends: Vec<u32>,
}

impl PostingLeaf {
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let mut src = &bytes[..];
        let n_lists = varint::get_u64(&mut src)?;
        let (mut ends, mut end) = (Vec::new(), 0u32);
        for _ in 0..n_lists {
            end = end.checked_add(u32::try_from(varint::get_u64(&mut src)?).ok()?)?;
            ends.push(end);
        }
        let start = bytes.len() - src.len();
        (end as usize == src.len()).then_some(Self { bytes, start, ends })
    }

    fn list(&self, idx: usize) -> &[u8] {
        let from = if idx == 0 { 0 } else { self.ends[idx - 1] as usize };
        &self.bytes[self.start + from..self.start + self.ends[idx] as usize]
    }
}

/// A label name of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameEntry {
    pub(crate) name: Box<str>,
    /// Number of its first pair; the others follow.
    pub(crate) first_pair: u32,
    pub(crate) n_values: u32,
    /// Series that have it.
    pub(crate) n_series: u64,
    /// Bytes of values, counted once for each series that has them.
    pub(crate) value_bytes: u64,
}

/// What is wrong with the first bytes, if anything is.
fn check_header(file: &dyn File) -> Result<Option<String>, ReadError> {
    let mut header = [0; INDEX_HEADER.len()];
    let n_read = file.read_at(&mut header, 0)?;
    Ok(if n_read < header.len() || header[..4] != INDEX_HEADER[..4] {
        Some("not a block index".to_owned())
    } else if header != INDEX_HEADER {
        Some(format!("format version {}, which this program does not know", header[4]))
    } else {
        None
    })
}

fn read_toc(file: &dyn File, n_bytes: u64) -> Result<(Toc, [u8; TOC_BYTES]), ReadError> {
    let too_short = || ReadError::Damaged("too short".to_owned());
    let mut bytes = [0; TOC_BYTES];
    let at = n_bytes.checked_sub(TOC_BYTES as u64).ok_or_else(too_short)?;
    if file.read_at(&mut bytes, at)? != TOC_BYTES {
        return Err(too_short());
    }
    Ok((Toc::parse(&bytes).map_err(ReadError::Damaged)?, bytes))
}

/// An opened index.
#[derive(Debug)]
pub(crate) struct BlockIndex {
    id: u64,
    file: Box<dyn File>,
    /// Copies of parts of it; `None` in blocks from before there were any.
    twin: Option<IndexTwin>,
    cache: Arc<BlockCache>,
    toc: Toc,
    toc_bytes: [u8; TOC_BYTES],
    n_bytes: u64,
    tables: [OnceLock<Table>; N_TABLES - 1],
    names: OnceLock<Vec<NameEntry>>,
    /// A copy had to stand in, and for what.
    is_mended: AtomicBool,
    mended: Mutex<Vec<String>>,
}

impl Drop for BlockIndex {
    fn drop(&mut self) {
        self.cache.forget(self.id);
    }
}

impl BlockIndex {
    /// Reads the table of contents.
    pub(crate) fn open(file: Box<dyn File>, cache: &Arc<BlockCache>) -> Result<Self, ReadError> {
        match Self::open_leniently(file, None, cache, None)? {
            (index, None) => Ok(index),
            (_, Some(reason)) => Err(ReadError::Damaged(reason)),
        }
    }

    /// As [`BlockIndex::open`], also where the beginning is damaged, or the table of contents of which `toc_copy` is a copy, or what `twin` has;
    /// says what is of the first two.
    pub(crate) fn open_leniently(
        file: Box<dyn File>,
        twin: Option<IndexTwin>,
        cache: &Arc<BlockCache>,
        toc_copy: Option<&[u8]>,
    ) -> Result<(Self, Option<String>), ReadError> {
        let n_bytes = file.len()?;
        let mut problem = check_header(&*file)?;
        let (toc, toc_bytes) = match read_toc(&*file, n_bytes) {
            Err(ReadError::Damaged(reason)) => {
                let copy = toc_copy.and_then(|copy| <[u8; TOC_BYTES]>::try_from(copy).ok());
                let parsed = copy.and_then(|copy| Some((Toc::parse(&copy).ok()?, copy)));
                // A file that is something else altogether is best called that.
                let reason = problem.take().unwrap_or(reason);
                problem = Some(reason.clone());
                parsed.ok_or(ReadError::Damaged(reason))?
            }
            read => read?,
        };
        let (id, cache) = (cache.take_id(), Arc::clone(cache));
        let (tables, names) = (std::array::from_fn(|_| OnceLock::new()), OnceLock::new());
        let (is_mended, mended) = (AtomicBool::new(false), Mutex::default());
        let index = Self { id, file, twin, cache, toc, toc_bytes, n_bytes, tables, names, is_mended, mended };
        if problem.is_some() {
            // Where what it leads to is gone as well, nothing can be served.
            (0..NAMES).try_for_each(|section| index.table(section).map(drop))?;
        }
        Ok((index, problem))
    }

    /// The copy of `meta.json`; `None` in blocks from before there was one.
    pub(crate) fn meta_copy(&self) -> Result<Option<Vec<u8>>, ReadError> {
        let n_bytes = self.copy_bytes();
        if n_bytes == 0 {
            return Ok(None);
        }
        let what = "the copy of meta.json";
        if n_bytes > COPY_BYTES_MAX {
            return Err(damaged(what));
        }
        let mut bytes = vec![0; n_bytes as usize];
        let n_read = self.file.read_at(&mut bytes, self.toc.tables_end())?;
        let copy = if n_read == bytes.len() { get_copy(&bytes) } else { None };
        copy.map(|json| Some(json.to_vec())).ok_or_else(|| damaged(what))
    }

    /// What lies between the tables and the table of contents.
    fn copy_bytes(&self) -> u64 {
        self.n_bytes.saturating_sub(TOC_BYTES as u64).saturating_sub(self.toc.tables_end())
    }

    /// Totals.
    pub(crate) fn toc(&self) -> &Toc {
        &self.toc
    }

    /// The table of contents, which names the block.
    pub(crate) fn toc_bytes(&self) -> &[u8] {
        &self.toc_bytes
    }

    /// Length of the file.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Says that it will be read soon.
    pub(crate) fn will_need(&self) {
        self.file.will_need(0, self.n_bytes);
    }

    /// Reads all tables, and leaves as far as `bytes_left` of them go, so that the first questions find them in memory.
    pub(crate) fn warm_up(&self, bytes_left: &mut usize) -> Result<(), ReadError> {
        self.names()?;
        for section in [PAIRS, POSTINGS, SERIES, PAGES, COLUMNS] {
            self.table(section)?;
        }
        for section in [PAIRS, POSTINGS, SERIES, PAGES, COLUMNS] {
            for at in 0..self.table(section)?.fences.len() {
                let leaf = self.leaf(section, at)?;
                *bytes_left = bytes_left.saturating_sub(leaf.memory_bytes());
                if *bytes_left == 0 {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Stored bytes of each section, and of the tables.
    pub(crate) fn section_bytes(&self) -> Vec<(&'static str, u64)> {
        let mut sections: Vec<(&'static str, u64)> = (0..N_TABLES - 1)
            .filter_map(|section| Some((SECTION_NAMES[section], self.table(section).ok()?.stored_bytes())))
            .collect();
        sections.push(("tables", self.toc.tables.iter().map(|table| table.len).sum()));
        sections.push(("copy of meta.json", self.copy_bytes()));
        sections
    }

    /// The first leaf of each section, and the table of names: for tests of damage.
    #[cfg(test)]
    pub(super) fn raw_leaves(&self) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut leaves = Vec::new();
        for (section, name) in SECTION_NAMES.iter().enumerate().take(NAMES) {
            leaves.push(self.raw_leaf(section, 0, name)?);
        }
        leaves.push(self.read_table(NAMES)?);
        Ok(leaves)
    }

    /// Memory of the tables read so far: for measuring.
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        let tables: usize = self.tables.iter().filter_map(OnceLock::get).map(Table::memory_bytes).sum();
        let names = self.names.get().map_or(0, |names| names.len() * size_of::<NameEntry>());
        tables + names + size_of::<Self>()
    }

    /// Length of the copies.
    pub(crate) fn twin_bytes(&self) -> u64 {
        self.twin.as_ref().map_or(0, IndexTwin::n_bytes)
    }

    /// The copies, where there are any.
    pub(crate) fn twin(&self) -> Option<&IndexTwin> {
        self.twin.as_ref()
    }

    /// Writes the copies of it, whose file is `index`, to `path`.
    pub(crate) fn write_twin(&self, dir: &dyn Dir, path: &Path) -> Result<(), TsdbError> {
        let mut fences: [&[Fence]; N_TABLES - 1] = [&[]; N_TABLES - 1];
        for (section, fences) in fences.iter_mut().enumerate() {
            let table = self.table(section).map_err(|err| match err {
                ReadError::Io(source) => TsdbError::io("read", path)(source),
                ReadError::Damaged(reason) => TsdbError::corrupt(path, reason),
            })?;
            *fences = &table.fences;
        }
        twin::write(dir, path, &*self.file, &twin::copied(&self.toc, fences))
    }

    /// Writes it anew to `path`, with what copies have; `meta_json` as it stands in the block.
    pub(crate) fn restore(&self, dir: &dyn Dir, path: &Path, meta_json: &[u8]) -> Result<(), TsdbError> {
        let twin = self.twin.as_ref().ok_or_else(|| TsdbError::corrupt(path, "there are no copies of it"))?;
        let mut end = Vec::new();
        put_copy(&mut end, meta_json);
        end.extend_from_slice(&self.toc_bytes);
        twin.restore(dir, path, &*self.file, self.toc.tables_end(), &end)
    }

    /// Whether something was read from copies, since it is damaged.
    pub(crate) fn is_mended(&self) -> bool {
        self.is_mended.load(Ordering::Relaxed)
    }

    /// What was, since the last call.
    pub(crate) fn take_mended(&self) -> Vec<String> {
        std::mem::take(&mut *self.mended.lock())
    }

    /// Bytes with this checksum: from the file, or from its copies where those are damaged or cannot be read.
    fn read(&self, offset: u64, len: usize, crc: u32, what: &str) -> Result<Vec<u8>, ReadError> {
        let err = match read_checked(&*self.file, offset, len, crc, what) {
            Ok(bytes) => return Ok(bytes),
            Err(err) => err,
        };
        let Some(bytes) = self.twin.as_ref().and_then(|twin| twin.read(offset, len, crc)) else {
            return Err(err);
        };
        self.is_mended.store(true, Ordering::Relaxed);
        self.cache.count_damage();
        let mut mended = self.mended.lock();
        if mended.len() < REASONS_MAX {
            mended.push(match err {
                ReadError::Damaged(reason) => reason,
                ReadError::Io(source) => format!("cannot read {what} at byte {offset}: {source}"),
            });
        }
        Ok(bytes)
    }

    fn read_table(&self, section: usize) -> Result<Vec<u8>, ReadError> {
        let at = self.toc.tables[section];
        let what = format!("the table of {}", SECTION_NAMES[section]);
        let len = usize::try_from(at.len).map_err(|_| damaged(&what))?;
        self.read(at.offset, len, at.crc, &what)
    }

    fn raw_leaf(&self, section: usize, at: usize, what: &str) -> Result<Vec<u8>, ReadError> {
        let fence = &self.table(section)?.fences[at];
        fence.read(|offset, len, crc| self.read(offset, len, crc, what), what)
    }

    fn table(&self, section: usize) -> Result<&Table, ReadError> {
        if let Some(table) = self.tables[section].get() {
            return Ok(table);
        }
        let n_entries = match section {
            SERIES | PAGES => self.toc.n_series,
            COLUMNS => self.toc.n_columns,
            _ => self.toc.n_pairs,
        };
        let bytes = self.read_table(section)?;
        let table = Table::parse(&bytes, section == PAIRS, n_entries);
        let table = table.ok_or_else(|| damaged(&format!("the table of {}", SECTION_NAMES[section])))?;
        Ok(self.tables[section].get_or_init(|| table))
    }

    /// The label names, rising.
    pub(crate) fn names(&self) -> Result<&[NameEntry], ReadError> {
        if let Some(names) = self.names.get() {
            return Ok(names);
        }
        let bytes = self.read_table(NAMES)?;
        let names =
            parse_names(&bytes, self.toc.n_pairs).ok_or_else(|| damaged("the table of label names"))?;
        Ok(self.names.get_or_init(|| names))
    }

    fn leaf(&self, section: usize, at: usize) -> Result<Arc<Leaf>, ReadError> {
        let key = (self.id, section as u8, at as u32);
        if let Some(leaf) = self.cache.get(key) {
            return Ok(leaf);
        }
        let what = SECTION_NAMES[section];
        let raw = self.raw_leaf(section, at, what)?;
        let n_entries = self.table(section)?.fences[at].n_entries as usize;
        let leaf = match section {
            SERIES | PAGES => RestartLeaf::parse(raw).map(Leaf::Entries),
            COLUMNS => {
                ColumnLeaf::parse(raw).filter(|leaf| leaf.columns.len() == n_entries).map(Leaf::Columns)
            }
            PAIRS => PairLeaf::parse(&raw).filter(|leaf| leaf.ends.len() == n_entries).map(Leaf::Pairs),
            _ => PostingLeaf::parse(raw).filter(|leaf| leaf.ends.len() == n_entries).map(Leaf::Postings),
        };
        let leaf = Arc::new(leaf.ok_or_else(|| damaged(what))?);
        self.cache.put(key, Arc::clone(&leaf));
        Ok(leaf)
    }

    /// The series of a pair, as runs: first, number, step.
    pub(crate) fn runs(&self, pair: u32, run: impl FnMut(u32, u32, u32)) -> Result<(), ReadError> {
        let what = SECTION_NAMES[POSTINGS];
        let table = self.table(POSTINGS)?;
        let at = table.leaf_of(pair).ok_or_else(|| damaged(what))?;
        let idx = (pair - table.fences[at].first) as usize;
        let leaf = self.leaf(POSTINGS, at)?;
        let Leaf::Postings(leaf) = &*leaf else { return Err(damaged(what)) };
        get_runs(leaf.list(idx), self.toc.n_series, run).ok_or_else(|| damaged(what))
    }

    /// The entry of the name.
    pub(crate) fn name(&self, name: &str) -> Result<Option<&NameEntry>, ReadError> {
        let names = self.names()?;
        let at = names.binary_search_by(|entry| (*entry.name).cmp(name)).ok();
        Ok(at.map(|at| &names[at]))
    }

    /// Calls `each` with number, value and series count of pairs of `name`, by rising value, from the first value that
    /// is not below `from` on, until it says `false`.
    pub(crate) fn values(
        &self,
        name: &NameEntry,
        from: &str,
        each: &mut dyn FnMut(u32, &str, u32) -> bool,
    ) -> Result<(), ReadError> {
        let what = SECTION_NAMES[PAIRS];
        let table = self.table(PAIRS)?;
        let end = name.first_pair + name.n_values;
        let first_leaf = table.leaf_of(name.first_pair).ok_or_else(|| damaged(what))?;
        // Leaves that begin within the name are sorted by their first value.
        let later = &table.fences[first_leaf + 1..];
        let later = &later[..later.partition_point(|fence| fence.first < end)];
        let skipped = later.partition_point(|fence| &*fence.value <= from);
        for at in first_leaf + skipped..=first_leaf + later.len() {
            let leaf = self.leaf(PAIRS, at)?;
            let Leaf::Pairs(leaf) = &*leaf else { return Err(damaged(what)) };
            let first = table.fences[at].first;
            let low = name.first_pair.saturating_sub(first) as usize;
            let high = (leaf.ends.len()).min((end - first) as usize);
            let mut idx = low;
            if !from.is_empty() {
                let mut size = high - low;
                while size > 0 {
                    let half = size / 2;
                    if leaf.value(idx + half) < from {
                        idx += half + 1;
                        size -= half + 1;
                    } else {
                        size = half;
                    }
                }
            }
            for idx in idx..high {
                if !each(first + idx as u32, leaf.value(idx), leaf.counts[idx]) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What is known of a column, and its encoded times.
    pub(crate) fn column<T>(
        &self,
        number: u32,
        take: impl FnOnce(&ColumnHead, &[u8]) -> T,
    ) -> Result<T, ReadError> {
        let what = SECTION_NAMES[COLUMNS];
        let table = self.table(COLUMNS)?;
        let at = table.leaf_of(number).ok_or_else(|| damaged(what))?;
        let leaf = self.leaf(COLUMNS, at)?;
        let Leaf::Columns(leaf) = &*leaf else { return Err(damaged(what)) };
        let head = &leaf.columns[(number - table.fences[at].first) as usize];
        Ok(take(head, &leaf.bytes[head.from..head.to]))
    }

    /// First series after those in the leaf of series or pages that has `number`: where to go on when it is damaged.
    pub(crate) fn after_leaf_of(&self, number: u32) -> u32 {
        let end_in = |section: usize| {
            let table = self.tables[section].get()?;
            let fence = &table.fences[table.leaf_of(number)?];
            Some(fence.first + fence.n_entries)
        };
        match (end_in(SERIES), end_in(PAGES)) {
            (Some(a), Some(b)) => a.min(b),
            // A table cannot be read: nothing can.
            _ => u32::MAX,
        }
    }
}

fn parse_names(mut src: &[u8], n_pairs: u32) -> Option<Vec<NameEntry>> {
    let src = &mut src;
    let n_names = varint::get_u64(src).filter(|n| *n <= NAMES_MAX)?;
    let (mut names, mut first_pair) = (Vec::<NameEntry>::new(), 0u32);
    for _ in 0..n_names {
        let name: Box<str> = std::str::from_utf8(varint::get_bytes(src)?).ok()?.into();
        let n_values = u32::try_from(varint::get_u64(src)?).ok().filter(|n| *n > 0)?;
        let (n_series, value_bytes) = (varint::get_u64(src)?, varint::get_u64(src)?);
        if names.last().is_some_and(|last| last.name >= name) || name.len() > TEXT_BYTES_MAX {
            return None;
        }
        names.push(NameEntry { name, first_pair, n_values, n_series, value_bytes });
        first_pair = first_pair.checked_add(n_values)?;
    }
    (first_pair == n_pairs && src.is_empty()).then_some(names)
}

/// Reads label sets; forward reading is cheapest.
#[derive(Debug, Default)]
pub(crate) struct LabelCursor {
    leaf: Option<(usize, Arc<Leaf>)>,
    /// Place within the leaf of the entry `next`.
    at: usize,
    next: u32,
    set: Vec<u32>,
    /// Leaves of pairs in use, so that a query does not ask the cache for each label.
    pairs: Vec<(usize, Arc<Leaf>)>,
}

/// Leaves of pairs that a cursor holds on to. Chosen: one for each label of a series, and some.
const PINNED_MAX: usize = 24;

impl LabelCursor {
    /// The pairs of series `number`, rising.
    pub(crate) fn pairs(&mut self, index: &BlockIndex, number: u32) -> Result<&[u32], ReadError> {
        let what = SECTION_NAMES[SERIES];
        let table = index.table(SERIES)?;
        let leaf_at = table.leaf_of(number).ok_or_else(|| damaged(what))?;
        let entry = number - table.fences[leaf_at].first;
        let same = self.leaf.as_ref().is_some_and(|(at, _)| *at == leaf_at);
        if !same {
            self.leaf = None;
            self.leaf = Some((leaf_at, index.leaf(SERIES, leaf_at)?));
        }
        let Some((_, leaf)) = &self.leaf else { return Err(damaged(what)) };
        let Leaf::Entries(leaf) = &**leaf else { return Err(damaged(what)) };
        let (restart, place) = leaf.seek(entry);
        // Going on from where we are is right within one stretch between restarts.
        if !same || self.next > entry || self.next <= restart {
            (self.next, self.at) = (restart, place);
            self.set.clear();
        }
        let mut src = leaf.entries_from(self.at).ok_or_else(|| damaged(what))?;
        let n_before = src.len();
        while self.next <= entry {
            if get_set(&mut src, &mut self.set).is_none() {
                self.leaf = None;
                return Err(damaged(what));
            }
            self.next += 1;
        }
        self.at += n_before - src.len();
        Ok(&self.set)
    }

    /// The labels of series `number`.
    pub(crate) fn labels(&mut self, index: &BlockIndex, number: u32) -> Result<Labels, ReadError> {
        self.pairs(index, number)?;
        let set = std::mem::take(&mut self.set);
        let labels = self.labels_of(index, &set);
        self.set = set;
        labels
    }

    /// The labels that are these pairs.
    pub(crate) fn labels_of(&mut self, index: &BlockIndex, set: &[u32]) -> Result<Labels, ReadError> {
        let what = SECTION_NAMES[SERIES];
        let names = index.names()?;
        let table = index.table(PAIRS)?;
        // Which leaf of pairs each pair is in.
        let mut places = Vec::with_capacity(set.len());
        let mut last_name = None;
        for pair in set {
            let name = names.partition_point(|name| name.first_pair <= *pair).checked_sub(1);
            let at = table.leaf_of(*pair).ok_or_else(|| damaged(what))?;
            if name.is_none() || last_name >= name {
                return Err(damaged(what));
            }
            last_name = name;
            let pinned = match self.pairs.iter().position(|(pinned, _)| *pinned == at) {
                Some(pinned) => pinned,
                None => {
                    let leaf = index.leaf(PAIRS, at)?;
                    if self.pairs.len() >= PINNED_MAX.max(set.len()) {
                        self.pairs.clear();
                        return self.labels_of(index, set);
                    }
                    self.pairs.push((at, leaf));
                    self.pairs.len() - 1
                }
            };
            places.push((name.unwrap_or(0), pinned, (pair - table.fences[at].first) as usize));
        }
        let mut pairs = Vec::with_capacity(places.len());
        for (name, pinned, idx) in places {
            let Leaf::Pairs(leaf) = &*self.pairs[pinned].1 else { return Err(damaged(what)) };
            let value = leaf.value(idx);
            if value.is_empty() {
                return Err(damaged(what));
            }
            pairs.push((&*names[name].name, value));
        }
        Ok(Labels::from_sorted(pairs))
    }
}

/// Reads the pages of series; forward reading is cheapest.
#[derive(Debug, Default)]
pub(crate) struct PageCursor {
    leaf: Option<(usize, Arc<Leaf>)>,
    at: usize,
    next: u32,
    state: PagesState,
    pages: Vec<PageRef>,
}

impl PageCursor {
    /// Where in the file `pages` those of series `first` begin and those of `last` end.
    pub(crate) fn span(
        &mut self,
        index: &BlockIndex,
        first: u32,
        last: u32,
    ) -> Result<Range<u64>, ReadError> {
        let (pages, _) = self.pages(index, first)?;
        let in_file = pages.iter().find_map(|page| match page.place {
            PagePlace::File(offset, _) => Some(offset),
            PagePlace::Here(..) => None,
        });
        let from = in_file.unwrap_or(self.state.offset);
        self.pages(index, last)?;
        Ok(from..self.state.offset)
    }

    /// The pages of series `number`, and the bytes that [`super::codec::PagePlace::Here`] refers to.
    pub(crate) fn pages(
        &mut self,
        index: &BlockIndex,
        number: u32,
    ) -> Result<(&[PageRef], &[u8]), ReadError> {
        let what = SECTION_NAMES[PAGES];
        let table = index.table(PAGES)?;
        let leaf_at = table.leaf_of(number).ok_or_else(|| damaged(what))?;
        let entry = number - table.fences[leaf_at].first;
        let same = self.leaf.as_ref().is_some_and(|(at, _)| *at == leaf_at);
        if !same {
            self.leaf = None;
            self.leaf = Some((leaf_at, index.leaf(PAGES, leaf_at)?));
        }
        let Some((_, leaf)) = &self.leaf else { return Err(damaged(what)) };
        let Leaf::Entries(leaf) = &**leaf else { return Err(damaged(what)) };
        let (restart, place) = leaf.seek(entry);
        if !same || self.next > entry || self.next <= restart {
            (self.next, self.at) = (restart, place);
        }
        let all = leaf.entries_from(0).ok_or_else(|| damaged(what))?;
        let mut src = all.get(self.at..).ok_or_else(|| damaged(what))?;
        while self.next <= entry {
            let state = if self.next == restart { get_restart(&mut src) } else { Some(self.state.clone()) };
            let done = state.and_then(|state| {
                self.state = state;
                get_pages(all, &mut src, &mut self.state, &mut self.pages)
            });
            if done.is_none() {
                self.at = 0;
                self.next = u32::MAX;
                return Err(damaged(what));
            }
            self.next += 1;
            self.at = all.len() - src.len();
        }
        Ok((&self.pages, all))
    }
}
