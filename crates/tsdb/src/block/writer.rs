//! Writes a block: pages as they come, with them what the index says of them, then labels, then `meta.json`; the
//! rename makes it a block.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Labels;
use stdx::Dir;

use super::meta::block_name;
use super::{
    BlockMeta, BlockStats, Compaction, INDEX_COPY_FILE, INDEX_FILE, META_FILE, PAGES_FILE, PAGES_HEADER,
    PageIn, TMP_SUFFIX, TimesSlice,
};
use crate::error::TsdbError;
use crate::index::{INDEX_HEADER, INLINE_BYTES_MAX, IndexWriter, PageOut, Toc};
use crate::page;
use crate::page::PageKind;
use crate::sink::Sink;

/// Columns remembered by pointer. Chosen: more targets than one server has; each holds a few kilobytes.
const POINTERS_MAX: usize = 4096;

/// A page whose column is in the block already, as compaction copies them.
pub(crate) struct KnownPage<'a> {
    pub(crate) kind: PageKind,
    /// Number and head of the column in this block.
    pub(crate) column: Column,
    /// First row and number of rows; `None` for all.
    pub(crate) rows: Option<(u32, u32)>,
    /// First and last time.
    pub(crate) span: (i64, i64),
    pub(crate) bytes: &'a [u8],
}

/// A column of the block that is being written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    number: u32,
    pub(crate) n_rows: u32,
}

/// A block being written.
#[derive(Debug)]
pub(crate) struct BlockWriter {
    dir: Arc<dyn Dir>,
    tmp: PathBuf,
    pages: Sink,
    index: IndexWriter,
    /// By pointer; the column is held so that the pointer stays its own.
    pointers: HashMap<usize, (Arc<Vec<i64>>, Column)>,
    scratch: Vec<u8>,
    toc: Toc,
    last_labels: Option<Labels>,
}

impl BlockWriter {
    /// Begins a block in a temporary folder `label.tmp`.
    pub(crate) fn begin(dir: Arc<dyn Dir>, label: &str) -> Result<Self, TsdbError> {
        let tmp = PathBuf::from(format!("{label}{TMP_SUFFIX}"));
        if dir.exists(&tmp) {
            dir.remove_dir_all(&tmp).map_err(TsdbError::io("remove", &tmp))?;
        }
        dir.create_dir_all(&tmp).map_err(TsdbError::io("create", &tmp))?;
        let pages = Sink::create(&*dir, &tmp.join(PAGES_FILE), &PAGES_HEADER)?;
        let index = Sink::create(&*dir, &tmp.join(INDEX_FILE), &INDEX_HEADER)?;
        let index = IndexWriter::new(index, PAGES_HEADER.len() as u64);
        let toc = Toc::empty();
        let (pointers, scratch) = (HashMap::new(), Vec::new());
        Ok(Self { dir, tmp, pages, index, pointers, scratch, toc, last_labels: None })
    }

    /// Whether no series is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.last_labels.is_none()
    }

    /// Adds the next series, by rising labels. Its pages are as block.md says: of each kind they rise and do not overlap.
    /// A series without pages is left out.
    pub(crate) fn add(&mut self, labels: &Labels, pages: &[PageIn]) -> Result<(), TsdbError> {
        let mut known = Vec::with_capacity(pages.len());
        for page in pages {
            let TimesSlice { column: times, first, len } = &page.times;
            let (first, len) = (*first as usize, *len as usize);
            let rows = times.get(first..first.saturating_add(len)).unwrap_or(&[]);
            let (Some(first_ms), Some(last_ms)) = (rows.first(), rows.last()) else {
                return Err(TsdbError::corrupt(&self.tmp, format!("a page of {labels} has no times")));
            };
            // A column holds no more rows than a page does: of a longer one each page gets its part.
            let (column, rows) = if times.len() > page::ROWS_MAX {
                (self.column_of(&Arc::new(rows.to_vec()))?, None)
            } else {
                (self.column_of(times)?, (len != times.len()).then_some((first as u32, len as u32)))
            };
            known.push(KnownPage {
                kind: page.kind,
                column,
                rows,
                span: (*first_ms, *last_ms),
                bytes: &page.bytes,
            });
        }
        self.add_known(labels, &known)
    }

    /// The column with these times.
    pub(crate) fn column_of(&mut self, times: &Arc<Vec<i64>>) -> Result<Column, TsdbError> {
        let pointer = Arc::as_ptr(times) as usize;
        if let Some((_, column)) = self.pointers.get(&pointer) {
            return Ok(*column);
        }
        let (Some(first_ms), Some(last_ms)) = (times.first(), times.last()) else {
            return Err(TsdbError::corrupt(&self.tmp, "a column without times"));
        };
        let mut encoded = std::mem::take(&mut self.scratch);
        encoded.clear();
        page::encode_times(times, &mut encoded);
        let column = self.column(&encoded, times.len() as u32, *first_ms, *last_ms);
        self.scratch = encoded;
        let column = column?;
        if self.pointers.len() >= POINTERS_MAX {
            self.pointers.clear();
        }
        self.pointers.insert(pointer, (Arc::clone(times), column));
        Ok(column)
    }

    /// The column with these encoded times.
    pub(crate) fn column(
        &mut self,
        encoded: &[u8],
        n_rows: u32,
        first_ms: i64,
        last_ms: i64,
    ) -> Result<Column, TsdbError> {
        Ok(Column { number: self.index.column(encoded, n_rows, first_ms, last_ms)?, n_rows })
    }

    /// As [`BlockWriter::add`], with columns that [`BlockWriter::column`] gave.
    pub(crate) fn add_known(&mut self, labels: &Labels, pages: &[KnownPage<'_>]) -> Result<(), TsdbError> {
        if pages.is_empty() {
            return Ok(());
        }
        if self.last_labels.as_ref().is_some_and(|last| last >= labels) {
            return Err(TsdbError::corrupt(
                &self.tmp,
                format!("series {labels} does not come after the one before"),
            ));
        }
        check_order(pages)
            .map_err(|reason| TsdbError::corrupt(&self.tmp, format!("pages of {labels}: {reason}")))?;
        let mut out = Vec::with_capacity(pages.len());
        for page in pages {
            if page.bytes.len() > INLINE_BYTES_MAX {
                self.pages.buffer.extend_from_slice(page.bytes);
                self.pages.buffer.extend_from_slice(&crc32c::crc32c(page.bytes).to_le_bytes());
            }
            if page.kind != PageKind::Starts {
                let n_rows = page.rows.map_or(page.column.n_rows, |(_, n)| n);
                self.toc.n_samples += if page.kind.is_counted() { u64::from(n_rows) } else { 0 };
                self.toc.first_ms = self.toc.first_ms.min(page.span.0);
                self.toc.last_ms = self.toc.last_ms.max(page.span.1);
            }
            let (kind, column, rows, bytes) = (page.kind, page.column.number, page.rows, page.bytes);
            out.push(PageOut { kind, column, rows, bytes });
        }
        self.toc.n_pages += pages.len() as u64;
        self.index.add(labels, &out)?;
        self.last_labels = Some(labels.clone());
        self.pages.flush_if_large()
    }

    /// Makes it a block and returns its name; the one that is already there, when it has the same content.
    ///
    /// A `compaction` without sources is that of sealed rows: the block is its own source.
    pub(crate) fn finish(self, mut compaction: Compaction) -> Result<String, TsdbError> {
        let Self { dir, tmp, pages, index, mut toc, .. } = self;
        if toc.n_samples == 0 {
            return Err(TsdbError::corrupt(&tmp, "a block without samples"));
        }
        (toc.pages_bytes, toc.pages_crc) = pages.finish()?;
        let (first_ms, last_ms, n_samples, n_pages) = (toc.first_ms, toc.last_ms, toc.n_samples, toc.n_pages);
        let index = index.end(toc)?;
        let name = block_name(first_ms, &index.toc);
        if compaction.sources.is_empty() {
            compaction.sources.push(name.clone());
        }
        let stats =
            BlockStats { num_samples: n_samples, num_series: u64::from(index.n_series), num_chunks: n_pages };
        let end_ms = last_ms.saturating_add(1);
        let json = BlockMeta::new(name.clone(), first_ms, end_ms, stats, compaction, &index.toc).to_json();
        index.finish(&json, &*dir, &tmp.join(INDEX_COPY_FILE))?;
        write_file(&*dir, &tmp.join(META_FILE), &json)?;
        dir.sync_dir(&tmp).map_err(TsdbError::io("sync", &tmp))?;
        let target = Path::new(&name);
        if dir.exists(target) {
            let _ = dir.remove_dir_all(&tmp);
        } else {
            dir.rename(&tmp, target).map_err(TsdbError::io("rename", &tmp))?;
        }
        dir.sync_dir(Path::new("")).map_err(TsdbError::io("sync", Path::new(".")))?;
        Ok(name)
    }

    /// Gives it up. What cannot be removed now goes at the next start.
    pub(crate) fn abandon(self) {
        let _ = self.dir.remove_dir_all(&self.tmp);
    }
}

fn check_order(pages: &[KnownPage<'_>]) -> Result<(), &'static str> {
    let mut last: [Option<i64>; PageKind::N] = [None; PageKind::N];
    let mut owner: Option<&KnownPage<'_>> = None;
    for page in pages {
        if page.kind == PageKind::Starts {
            if owner.is_none_or(|owner| owner.kind == PageKind::Starts || owner.span != page.span) {
                return Err("start timestamps do not belong to the page before them");
            }
        } else {
            let last = &mut last[page.kind as usize];
            if last.is_some_and(|last_ms| page.span.0 <= last_ms) {
                return Err("they overlap or do not rise");
            }
            *last = Some(page.span.1);
        }
        owner = Some(page);
    }
    Ok(())
}

fn write_file(dir: &dyn Dir, path: &Path, bytes: &[u8]) -> Result<(), TsdbError> {
    let mut file = dir.create(path).map_err(TsdbError::io("create", path))?;
    file.append(bytes).map_err(TsdbError::io("write", path))?;
    file.sync().map_err(TsdbError::io("sync", path))
}
