//! An open block: its pages read in place, its index through the cache, and what was deleted of it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{Matcher, TimeRange};
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;
use stdx::{Dir, File};
use storage::{FirstTexts, NewestAsk, QueryError, SelectHints, SeriesSet, StorageError};

use super::ahead::Ahead;
use super::newest::NewestOfBlock;
use super::select::BlockSet;
use super::tombstones::read_tombstones;
use super::{
    BlockMeta, INDEX_COPY_FILE, INDEX_FILE, META_FILE, PAGES_FILE, PAGES_HEADER, TOMBSTONES_COPY_FILE,
    TOMBSTONES_FILE, Tombstones, write_tombstones,
};
use crate::error::TsdbError;
use crate::index::{BlockCache, BlockIndex, IndexTwin, PageCursor, ReadError, Toc};
use crate::page::PageKind;

/// Reasons kept for the report. Chosen: the first few tell which disk it is.
const REASONS_MAX: usize = 8;

/// Fewer series are not worth asking for in advance: they are read at once. Chosen.
const SERIES_AHEAD_MIN: u64 = 8;
/// Nor is a stretch of which less than one part in so many is read. Chosen.
const SPARSE_AHEAD_MAX: u64 = 4;
/// Asked for before the first series is read; the reader asks for what follows as it comes to it. Chosen: little, so that of several blocks
/// all have their first pages soon.
const SELECT_AHEAD_BYTES: u64 = 128 << 10;

/// Deletions, and the series of which nothing is left.
#[derive(Debug, Default)]
pub(crate) struct Deleted {
    pub(crate) tombstones: Tombstones,
    pub(crate) wholly: RoaringBitmap,
}

/// Damage that leaves a block's samples readable; says what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// What cannot be known from elsewhere.
    Meta(String),
    /// The copy in the index stands in for it.
    MetaWithCopy(String),
    Name(String),
    Pages(String),
    /// The beginning, the table of contents, for which its copy stands in, or the copy of `meta.json`.
    Index(String),
    Tombstones(String),
    /// This one of the two files; the other one stands in.
    TombstonesWithCopy(&'static str, String),
}

/// An open block.
#[derive(Debug)]
pub(crate) struct Block {
    meta: BlockMeta,
    index: BlockIndex,
    cache: Arc<BlockCache>,
    path: PathBuf,
    pages: Box<dyn File>,
    other_bytes: u64,
    deleted: RwLock<Arc<Deleted>>,
    /// Something in it was found damaged; compaction leaves it alone.
    damaged: AtomicBool,
    reasons: Mutex<Vec<String>>,
    ahead: Ahead,
}

impl Block {
    /// Opens the block in the folder `name`: reads the table of contents and what was deleted. The rest is checked when it is read.
    /// Damage that something else stands in for, or that costs only pages, is noted and the block serves the rest.
    pub(crate) fn open(dir: &Arc<dyn Dir>, name: &str, cache: &Arc<BlockCache>) -> Result<Self, TsdbError> {
        let (block, problems) = Self::assemble(dir, name, cache)?;
        let path = |file: &str| block.path.join(file);
        for problem in problems {
            match problem {
                Problem::Meta(reason) => return Err(TsdbError::corrupt(&path(META_FILE), reason)),
                Problem::Name(reason) => return Err(TsdbError::corrupt(&block.path, reason)),
                Problem::Tombstones(reason) => {
                    return Err(TsdbError::corrupt(&path(TOMBSTONES_FILE), reason));
                }
                Problem::MetaWithCopy(reason) => drop(block.note_damage(META_FILE, &reason)),
                Problem::Pages(reason) => drop(block.note_damage(PAGES_FILE, &reason)),
                Problem::Index(reason) => drop(block.note_damage(INDEX_FILE, &reason)),
                Problem::TombstonesWithCopy(file, reason) => drop(block.note_damage(file, &reason)),
            }
        }
        Ok(block)
    }

    /// As [`Block::open`], also when parts are damaged that its samples can be read without; says which.
    pub(crate) fn open_leniently(
        dir: &Arc<dyn Dir>,
        name: &str,
        cache: &Arc<BlockCache>,
    ) -> Result<(Arc<Self>, Vec<Problem>), TsdbError> {
        Self::assemble(dir, name, cache).map(|(block, problems)| (Arc::new(block), problems))
    }

    fn assemble(
        dir: &Arc<dyn Dir>,
        name: &str,
        cache: &Arc<BlockCache>,
    ) -> Result<(Self, Vec<Problem>), TsdbError> {
        let path = PathBuf::from(name);
        let meta_path = path.join(META_FILE);
        let (meta_json, missing) = match found(&meta_path, |path| dir.read(path)) {
            Err(TsdbError::Corrupt { reason, .. }) => (Vec::new(), Some(reason)),
            read => (read?, None),
        };
        let parsed = missing.map_or_else(|| BlockMeta::parse(&meta_json), Err);
        let index_path = path.join(INDEX_FILE);
        let twin = dir.open(&path.join(INDEX_COPY_FILE)).ok().map(IndexTwin::new);
        let (index_file, missing) = match found(&index_path, |path| dir.open(path)) {
            Err(TsdbError::Corrupt { reason, .. }) if twin.is_some() => {
                (Box::new(Missing) as Box<dyn File>, Some(reason))
            }
            opened => (opened?, None),
        };
        let toc_copy = parsed.as_ref().ok().and_then(BlockMeta::toc_copy);
        let (index, problem) = BlockIndex::open_leniently(index_file, twin, cache, toc_copy.as_deref())
            .map_err(|err| at_index(err, &index_path))?;
        let mut problems: Vec<Problem> = missing.or(problem).map(Problem::Index).into_iter().collect();
        let copy = match index.meta_copy() {
            Err(ReadError::Damaged(reason)) => {
                problems.push(Problem::Index(reason));
                None
            }
            read => read.map_err(|err| at_index(err, &index_path))?,
        };
        let meta = choose_meta(name, &meta_json, parsed, copy.as_deref(), &index, &mut problems);
        if super::meta::block_name(index.toc().first_ms, index.toc_bytes()) != name {
            problems.push(Problem::Name("its name is not that of its content".to_owned()));
        }
        let pages_path = path.join(PAGES_FILE);
        let pages = match found(&pages_path, |path| dir.open(path)) {
            Err(TsdbError::Corrupt { reason, .. }) => {
                // Small pages lie within the index.
                problems.push(Problem::Pages(reason));
                Box::new(Missing) as Box<dyn File>
            }
            opened => {
                let pages = opened?;
                pages.reads_at_random();
                problems.extend(check_pages(&*pages, &pages_path, index.toc())?.map(Problem::Pages));
                pages
            }
        };
        let deleted = read_tombstones(&**dir, &path)?;
        problems.extend(deleted.lost.map(Problem::Tombstones));
        problems.extend(deleted.mended.map(|(file, reason)| Problem::TombstonesWithCopy(file, reason)));
        let other_bytes = meta_json.len() as u64 + index.twin_bytes() + deleted.n_bytes;
        let block = Self {
            meta,
            index,
            cache: Arc::clone(cache),
            path,
            pages,
            other_bytes,
            deleted: RwLock::default(),
            damaged: AtomicBool::new(false),
            reasons: Mutex::default(),
            ahead: Ahead::default(),
        };
        block.set_deleted(deleted.tombstones);
        Ok((block, problems))
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.meta.ulid
    }

    /// What `meta.json` says.
    pub(crate) fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    pub(crate) fn index(&self) -> &BlockIndex {
        &self.index
    }

    /// Bytes on disk.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.index.toc().pages_bytes + self.index.n_bytes() + self.other_bytes
    }

    /// From the first to the last sample.
    pub(crate) fn range(&self) -> TimeRange {
        TimeRange::new(self.index.toc().first_ms, self.index.toc().last_ms)
    }

    /// By what lists of blocks are sorted: of several samples at one time the first block's stays, which is the one stored first;
    /// of blocks stored together, the late ones come last.
    pub(crate) fn order(&self) -> (u64, bool, i64, &str) {
        let compaction = &self.meta.compaction;
        (compaction.stored, compaction.late, self.range().start_ms, self.name())
    }

    /// Whether something in it was found damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed) || self.index.is_mended()
    }

    /// What was found damaged since the last call.
    pub(crate) fn take_damage(&self) -> Vec<String> {
        let mut damage = std::mem::take(&mut *self.reasons.lock());
        let index = self.path.join(INDEX_FILE);
        let mended = self.index.take_mended().into_iter();
        damage.extend(mended.map(|reason| format!("{}: {reason}; a copy stands in", index.display())));
        damage
    }

    /// Notes damage: counted, reported by maintenance, and the block is left alone by compaction from now on.
    pub(crate) fn note_damage(&self, file: &str, reason: &str) -> TsdbError {
        self.damaged.store(true, Ordering::Relaxed);
        self.cache.count_damage();
        let path = self.path.join(file);
        let mut reasons = self.reasons.lock();
        if reasons.len() < REASONS_MAX {
            reasons.push(format!("{}: {reason}", path.display()));
        }
        TsdbError::corrupt(&path, reason)
    }

    /// The error of a part of the index that could not be had; damage is noted.
    pub(crate) fn index_error(&self, err: ReadError) -> TsdbError {
        match err {
            ReadError::Io(source) => TsdbError::io("read", &self.path.join(INDEX_FILE))(source),
            ReadError::Damaged(reason) => self.note_damage(INDEX_FILE, &reason),
        }
    }

    /// Reads from the file `pages`; what lies behind its end is missing from `buf`, and how much there was is returned.
    pub(crate) fn read_pages(&self, buf: &mut [u8], offset: u64) -> Result<usize, TsdbError> {
        self.pages.read_at(buf, offset).map_err(TsdbError::io("read", &self.path.join(PAGES_FILE)))
    }

    /// Says that these bytes of the file `pages` are read soon.
    pub(crate) fn will_need(&self, pages: Range<u64>) {
        self.ahead.ask(&*self.pages, pages.start..pages.end.min(self.index.toc().pages_bytes));
    }

    /// Has the disk begin with the pages, if they are no more than is `left`; says whether they are.
    pub(crate) fn will_need_all(&self, left: &mut u64) -> bool {
        let n_bytes = self.index.toc().pages_bytes;
        let fits = n_bytes <= *left;
        if fits {
            *left -= n_bytes;
            self.will_need(0..n_bytes);
        }
        fits
    }

    /// Reads its index, as far as `bytes_left` go. Damage is noted.
    pub(crate) fn warm_up(&self, bytes_left: &mut usize) {
        // A disk that refuses will say so when it is asked in earnest.
        let _ = self.or_nothing(self.index.warm_up(bytes_left));
    }

    /// Has the disk begin with the pages of `numbers`, if most of what lies between the first and the last of them will be read: a reader of
    /// several blocks then waits for all of them at once. Returns where the last of them end.
    fn will_select(&self, numbers: &RoaringBitmap, range: TimeRange) -> u64 {
        let (Some(first), Some(last)) = (numbers.min(), numbers.max()) else { return u64::MAX };
        if numbers.len() < SERIES_AHEAD_MIN {
            return u64::MAX;
        }
        // Damage shows when it is read.
        let Ok(span) = PageCursor::default().span(&self.index, first, last) else { return u64::MAX };
        let own = self.range();
        let length = |range: TimeRange| range.end_ms.saturating_sub(range.start_ms).max(0) as u64;
        let asked = TimeRange::new(own.start_ms.max(range.start_ms), own.end_ms.min(range.end_ms));
        if u64::from(last - first) < numbers.len() * SPARSE_AHEAD_MAX
            && length(asked).saturating_mul(SPARSE_AHEAD_MAX) >= length(own)
        {
            self.will_need(span.start..span.end.min(span.start.saturating_add(SELECT_AHEAD_BYTES)));
        }
        span.end
    }

    /// What is deleted now.
    pub(crate) fn deleted(&self) -> Arc<Deleted> {
        Arc::clone(&self.deleted.read())
    }

    fn set_deleted(&self, tombstones: Tombstones) {
        let range = self.range();
        let covers = |all: &[TimeRange]| {
            all.iter().any(|one| one.start_ms <= range.start_ms && range.end_ms <= one.end_ms)
        };
        let wholly = tombstones.iter().filter(|(_, all)| covers(all)).map(|(number, _)| number).collect();
        *self.deleted.write() = Arc::new(Deleted { tombstones, wholly });
    }

    /// Marks samples of series that match as deleted, durably. Returns for how many series.
    pub(crate) fn delete(
        &self,
        dir: &dyn Dir,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<u64, TsdbError> {
        if !range.overlaps(self.range()) {
            return Ok(0);
        }
        let numbers = self.index.resolve(matchers).map_err(|err| self.index_error(err))?;
        if numbers.is_empty() {
            return Ok(0);
        }
        // Clipped, so that equal deletions make equal files and lengths stay small.
        let own = self.range();
        let range = TimeRange::new(range.start_ms.max(own.start_ms), range.end_ms.min(own.end_ms));
        let mut tombstones = self.deleted().tombstones.clone();
        numbers.iter().for_each(|number| tombstones.add(number, range));
        write_tombstones(dir, &self.path, &tombstones)?;
        self.set_deleted(tombstones);
        Ok(numbers.len())
    }

    /// Writes the second file of deletions where there is but one, as in blocks of before.
    pub(crate) fn double_deletions(&self, dir: &dyn Dir) -> Result<(), TsdbError> {
        let (first, second) = (self.path.join(TOMBSTONES_FILE), self.path.join(TOMBSTONES_COPY_FILE));
        if !dir.exists(&first) || dir.exists(&second) {
            return Ok(());
        }
        let bytes = self.deleted().tombstones.to_bytes();
        dir.write_atomic(&second, &bytes).map_err(TsdbError::io("write", &second))
    }

    /// Removes the files of deletions, of which no sample is in the pages.
    pub(crate) fn forget_deletions(&self, dir: &dyn Dir) -> Result<(), TsdbError> {
        // The copy first: the other file missing beside it is damage.
        for file in [TOMBSTONES_COPY_FILE, TOMBSTONES_FILE] {
            let path = self.path.join(file);
            if dir.exists(&path) {
                dir.remove_file(&path).map_err(TsdbError::io("remove", &path))?;
            }
        }
        dir.sync_dir(&self.path).map_err(TsdbError::io("sync", &self.path))?;
        self.set_deleted(Tombstones::default());
        Ok(())
    }

    /// Series that match and are not wholly deleted.
    fn numbers(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, ReadError> {
        Ok(self.index.resolve(matchers)? - &self.deleted().wholly)
    }

    /// The series that match, sorted by labels. Pages that are damaged are left out; see [`Block::note_damage`].
    pub(crate) fn select(
        self: &Arc<Self>,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, QueryError> {
        let numbers = self.or_nothing(self.numbers(matchers))?.unwrap_or_default();
        let pages_end = if hints.labels_only { u64::MAX } else { self.will_select(&numbers, range) };
        let set = BlockSet::new(Arc::clone(self), numbers, range, hints);
        Ok(Box::new(set.with_pages_end(pages_end)))
    }

    /// The newest sample of each series that matches. `None` when the index cannot be read.
    pub(crate) fn newest(
        self: &Arc<Self>,
        ask: &NewestAsk<'_>,
    ) -> Result<Option<Box<NewestOfBlock>>, QueryError> {
        let Some(numbers) = self.or_nothing(self.numbers(ask.matchers))? else { return Ok(None) };
        self.or_nothing(NewestOfBlock::new(self, numbers, ask).map(Box::new))
    }

    /// As [`Block::select`], of one column of a block of roll-ups, handed out as floats.
    pub(crate) fn select_column(
        self: &Arc<Self>,
        matchers: &[Matcher],
        range: TimeRange,
        column: PageKind,
    ) -> Result<Box<dyn SeriesSet>, QueryError> {
        let numbers = self.or_nothing(self.numbers(matchers))?.unwrap_or_default();
        let set = BlockSet::new(Arc::clone(self), numbers, range, &SelectHints::default());
        Ok(Box::new(set.with_column(column)))
    }

    /// Adds the label names of series that match.
    pub(crate) fn label_names(&self, matchers: &[Matcher], out: &mut FirstTexts) -> Result<(), QueryError> {
        let among = self.among(matchers)?;
        self.or_nothing(self.index.label_names(among.as_ref(), out)).map(|_| ())
    }

    /// Adds the values of `name` of series that match.
    pub(crate) fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        out: &mut FirstTexts,
    ) -> Result<(), QueryError> {
        let among = self.among(matchers)?;
        self.or_nothing(self.index.label_values(name, among.as_ref(), out)).map(|_| ())
    }

    /// `None` for all series.
    fn among(&self, matchers: &[Matcher]) -> Result<Option<RoaringBitmap>, QueryError> {
        if matchers.is_empty() && self.deleted().wholly.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.or_nothing(self.numbers(matchers))?.unwrap_or_default()))
    }

    /// Damage costs what is damaged, not the query; a disk that refuses fails it.
    pub(crate) fn or_nothing<T>(&self, read: Result<T, ReadError>) -> Result<Option<T>, QueryError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(err @ ReadError::Damaged(_)) => {
                self.index_error(err);
                Ok(None)
            }
            Err(err) => Err(QueryError::Storage(StorageError::from(self.index_error(err)))),
        }
    }
}

fn found<T>(path: &Path, read: impl FnOnce(&Path) -> std::io::Result<T>) -> Result<T, TsdbError> {
    match read(path) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
            Err(TsdbError::corrupt(path, "the file is missing"))
        }
        other => other.map_err(TsdbError::io("read", path)),
    }
}

fn at_index(err: ReadError, path: &Path) -> TsdbError {
    match err {
        ReadError::Io(source) => TsdbError::io("read", path)(source),
        ReadError::Damaged(reason) => TsdbError::corrupt(path, reason),
    }
}

/// What `meta.json` says, or its copy in the index where that is another, or else what the index knows; `problems` gets what is wrong.
fn choose_meta(
    name: &str,
    json: &[u8],
    parsed: Result<BlockMeta, String>,
    copy: Option<&[u8]>,
    index: &BlockIndex,
    problems: &mut Vec<Problem>,
) -> BlockMeta {
    let wrong = match &parsed {
        Ok(meta) => check_agreement(name, meta, index).err(),
        Err(reason) => Some(reason.clone()),
    };
    let copied = copy.filter(|copy| *copy != json).and_then(|copy| BlockMeta::parse(copy).ok());
    if let Some(meta) = copied.filter(|meta| check_agreement(name, meta, index).is_ok()) {
        let reason = wrong.unwrap_or_else(|| "not as it was written".to_owned());
        problems.push(Problem::MetaWithCopy(reason));
        return meta;
    }
    problems.extend(wrong.map(Problem::Meta));
    parsed.unwrap_or_else(|_| BlockMeta::rebuild(name, json, index.toc()))
}

/// What is wrong with the file as a whole, if anything is. Its first bytes say nothing that is not known, and each page has a checksum.
fn check_pages(pages: &dyn File, path: &Path, toc: &Toc) -> Result<Option<String>, TsdbError> {
    let n_bytes = pages.len().map_err(TsdbError::io("read", path))?;
    if n_bytes != toc.pages_bytes {
        return Ok(Some(format!("{n_bytes} bytes long, not as the index says")));
    }
    let mut header = [0; PAGES_HEADER.len()];
    pages.read_at(&mut header, 0).map_err(TsdbError::io("read", path))?;
    Ok((header != PAGES_HEADER).then(|| "does not begin as a file of pages".to_owned()))
}

/// Stands for a file that is not there.
#[derive(Debug)]
struct Missing;

impl File for Missing {
    fn append(&mut self, _bytes: &[u8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn read_at(&self, _buf: &mut [u8], _offset_bytes: u64) -> std::io::Result<usize> {
        Ok(0)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn len(&self) -> std::io::Result<u64> {
        Ok(0)
    }

    fn truncate(&mut self, _len_bytes: u64) -> std::io::Result<()> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn check_agreement(name: &str, meta: &BlockMeta, index: &BlockIndex) -> Result<(), String> {
    let toc = index.toc();
    if meta.ulid != name {
        return Err(format!("meta.json names it {}", meta.ulid));
    }
    let meta_says = (meta.min_time, meta.max_time, meta.stats.num_samples, meta.stats.num_series);
    let index_says = (toc.first_ms, toc.last_ms.saturating_add(1), toc.n_samples, u64::from(toc.n_series));
    if meta_says != index_says {
        return Err("meta.json and index disagree".to_owned());
    }
    Ok(())
}
