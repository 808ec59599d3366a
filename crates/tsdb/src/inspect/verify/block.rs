//! One block, read from front to back.

use std::sync::Arc;

use model::Labels;

use super::{FINDINGS_MAX, Finding, Mend, Severity};
use crate::block::{
    Block, Columns, INDEX_COPY_FILE, INDEX_FILE, META_FILE, PAGES_FILE, PageReader, TOMBSTONES_FILE,
};
use crate::error::TsdbError;
use crate::index::{LabelCursor, PageCursor, PagePlace, PageRef, ReadError};
use crate::page::PageKind;

/// Bytes read at once for the checksum of the whole file. Chosen.
const PIECE_BYTES: usize = 1 << 20;

/// What is gathered while reading.
struct Check<'a> {
    block: &'a Arc<Block>,
    findings: &'a mut Vec<Finding>,
    /// Findings when this block began.
    n_before: usize,
    n_untold: usize,
    n_samples: u64,
    n_pages: u64,
    span: (i64, i64),
    /// For each pair: how many series have it, and a sum over their numbers.
    of_pairs: Vec<(u32, u64)>,
    /// Some series' labels could not be read, so that counts of pairs say nothing.
    labels_lost: bool,
}

/// Checks everything. Returns how many samples could be decoded.
pub(super) fn check(block: &Arc<Block>, findings: &mut Vec<Finding>) -> Result<u64, TsdbError> {
    let n_before = findings.len();
    let mut check = Check {
        block,
        findings,
        n_before,
        n_untold: 0,
        n_samples: 0,
        n_pages: 0,
        span: (i64::MAX, i64::MIN),
        of_pairs: Vec::new(),
        labels_lost: false,
    };
    check.columns()?;
    check.series()?;
    check.pairs()?;
    let clean = check.findings.len() == n_before;
    if clean {
        check.totals()?;
    }
    check.tombstones();
    check.copies()?;
    check.end();
    Ok(check.n_samples)
}

/// A number that differs for every series; sums of them tell lists apart.
fn fingerprint(number: u32) -> u64 {
    // The finalizer of splitmix64.
    let mut x = u64::from(number).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl Check<'_> {
    fn tell(&mut self, file: &str, what: String, meaning: &str) {
        if self.findings.len() - self.n_before >= FINDINGS_MAX {
            self.n_untold += 1;
            return;
        }
        let file = format!("{}/{file}", self.block.name());
        self.findings.push(Finding::new(Severity::Damage, file, what, meaning, Mend::Rewrite));
    }

    fn end(&mut self) {
        if self.n_untold > 0 {
            let what = format!("{} more findings like these", self.n_untold);
            let file = self.block.name().to_owned();
            let meaning = "see the findings before";
            self.findings.push(Finding::new(Severity::Damage, file, what, meaning, Mend::Rewrite));
        }
    }

    /// `None` when it is damaged, which is told; a disk that refuses ends the check.
    fn index<T>(&mut self, read: Result<T, ReadError>, meaning: &str) -> Result<Option<T>, TsdbError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(ReadError::Damaged(reason)) => {
                self.tell(INDEX_FILE, reason, meaning);
                Ok(None)
            }
            Err(err @ ReadError::Io(_)) => Err(self.block.index_error(err)),
        }
    }

    fn columns(&mut self) -> Result<(), TsdbError> {
        let mut columns = Columns::default();
        for number in 0..self.block.index().toc().n_columns {
            let times = columns.times(self.block, number);
            self.index(times, "the samples of series that share these timestamps are lost")?;
        }
        Ok(())
    }

    fn series(&mut self) -> Result<(), TsdbError> {
        let block = Arc::clone(self.block);
        let toc = block.index().toc();
        self.of_pairs = vec![(0, 0); toc.n_pairs as usize];
        let (mut labels, mut cursor) = (LabelCursor::default(), PageCursor::default());
        let (mut reader, mut columns) = (PageReader::default(), Columns::default());
        let mut last: Option<Labels> = None;
        let mut number = 0;
        while number < toc.n_series {
            let read = self.labels(&mut labels, number);
            match self.index(read, "the series in this part of the index are lost")? {
                Some(found) => {
                    if last.as_ref().is_some_and(|last| *last >= found) {
                        self.tell(
                            INDEX_FILE,
                            format!("series {found} is out of order"),
                            "answers may be in disorder",
                        );
                    }
                    last = Some(found);
                }
                None => {
                    self.labels_lost = true;
                    number = block.index().after_leaf_of(number).max(number + 1);
                    continue;
                }
            }
            let pages =
                cursor.pages(block.index(), number).map(|(pages, here)| (pages.to_vec(), here.to_vec()));
            match self.index(pages, "the samples of series in this part of the index are lost")? {
                Some((pages, here)) => {
                    let labels = last.as_ref().expect("read just now");
                    self.pages(labels, &pages, &here, &mut reader, &mut columns)?;
                    number += 1;
                }
                None => number = block.index().after_leaf_of(number).max(number + 1),
            }
        }
        Ok(())
    }

    fn labels(&mut self, cursor: &mut LabelCursor, number: u32) -> Result<Labels, ReadError> {
        let index = self.block.index();
        for pair in cursor.pairs(index, number)? {
            let Some((count, sum)) = self.of_pairs.get_mut(*pair as usize) else {
                return Err(ReadError::Damaged(format!("series {number} names a label that does not exist")));
            };
            *count += 1;
            *sum = sum.wrapping_add(fingerprint(number));
        }
        cursor.labels(index, number)
    }

    fn pages(
        &mut self,
        labels: &Labels,
        pages: &[PageRef],
        here: &[u8],
        reader: &mut PageReader,
        columns: &mut Columns,
    ) -> Result<(), TsdbError> {
        let block = Arc::clone(self.block);
        let mut last_ms: [Option<i64>; PageKind::N] = [None; PageKind::N];
        for page in pages {
            self.n_pages += 1;
            // A column that cannot be read was told already.
            let Ok(times) = columns.times(&block, page.column) else { continue };
            let (first, n_rows) =
                page.rows.map_or((0, times.len()), |(first, n)| (first as usize, n as usize));
            let rows = times.get(first..first.saturating_add(n_rows)).filter(|rows| !rows.is_empty());
            let Some(rows) = rows else {
                self.tell(
                    INDEX_FILE,
                    format!("a page of {labels} has rows outside its column"),
                    "its samples are lost",
                );
                continue;
            };
            let (first_ms, end_ms) = (rows[0], rows[rows.len() - 1]);
            let checked = match reader.page(&block, &page.place, here)? {
                Ok(bytes) => super::super::page_check::check(page.kind, bytes, n_rows).map_err(|why| {
                    let at = match page.place {
                        PagePlace::File(offset, _) => format!("page at byte {offset}"),
                        PagePlace::Here(..) => "page in the index".to_owned(),
                    };
                    format!("{at}: {why}")
                }),
                Err(reason) => Err(reason),
            };
            if let Err(reason) = checked {
                let meaning = format!("lost: {n_rows} samples of {labels}, from {first_ms} to {end_ms} ms");
                self.tell(PAGES_FILE, reason, &meaning);
                continue;
            }
            if page.kind != PageKind::Starts {
                let last = &mut last_ms[page.kind as usize];
                if last.is_some_and(|last| first_ms <= last) {
                    self.tell(
                        INDEX_FILE,
                        format!("pages of {labels} overlap"),
                        "answers may hold a sample twice",
                    );
                }
                *last = Some(end_ms);
                self.n_samples += if page.kind.is_counted() { n_rows as u64 } else { 0 };
                self.span = (self.span.0.min(first_ms), self.span.1.max(end_ms));
            }
        }
        Ok(())
    }

    fn pairs(&mut self) -> Result<(), TsdbError> {
        let block = Arc::clone(self.block);
        let index = block.index();
        let names = index.names().map(<[_]>::to_vec);
        let Some(names) = self.index(names, "labels cannot be looked up")? else { return Ok(()) };
        for name in &names {
            let (mut pairs, mut last, mut sorted) = (Vec::new(), None::<String>, true);
            let read = index.values(name, "", &mut |pair, value, count| {
                sorted &= last.as_deref().is_none_or(|last| last < value);
                last = Some(value.to_owned());
                pairs.push((pair, count));
                true
            });
            if self.index(read, "some values of labels cannot be looked up")?.is_none() {
                continue;
            }
            if !sorted {
                self.tell(
                    INDEX_FILE,
                    format!("values of label {} out of order", name.name),
                    "look-ups may miss series",
                );
            }
            for (pair, count) in pairs {
                let (mut n, mut sum) = (0u32, 0u64);
                let read = index.runs(pair, |first, n_run, step| {
                    n = n.saturating_add(n_run);
                    (0..n_run).for_each(|idx| sum = sum.wrapping_add(fingerprint(first + idx * step)));
                });
                if self.index(read, "some series cannot be found by their labels")?.is_none() {
                    continue;
                }
                let of_series = self.of_pairs.get(pair as usize).copied();
                if n != count || !self.labels_lost && of_series != Some((n, sum)) {
                    let what = format!(
                        "the list of series for a value of label {} is another than theirs",
                        name.name
                    );
                    self.tell(INDEX_FILE, what, "look-ups may miss series");
                }
            }
        }
        Ok(())
    }

    fn totals(&mut self) -> Result<(), TsdbError> {
        let toc = self.block.index().toc();
        let found = (self.n_samples, self.n_pages, self.span.0, self.span.1);
        if found != (toc.n_samples, toc.n_pages, toc.first_ms, toc.last_ms) {
            let what = format!("its totals say {} samples, {} were found", toc.n_samples, self.n_samples);
            self.tell(INDEX_FILE, what, "what is asked of the block may be too little or too much");
        }
        let stats = &self.block.meta().stats;
        if stats.num_chunks != toc.n_pages {
            let what = format!("it says {} pages, the index {}", stats.num_chunks, toc.n_pages);
            self.tell(META_FILE, what, "numbers shown of the block are wrong");
        }
        let (pages_bytes, pages_crc) = (toc.pages_bytes, toc.pages_crc);
        let (mut piece, mut at, mut crc) = (vec![0; PIECE_BYTES], 0u64, 0);
        while at < pages_bytes {
            let n_bytes = self.block.read_pages(&mut piece, at)?;
            if n_bytes == 0 {
                break;
            }
            crc = crc32c::crc32c_append(crc, &piece[..n_bytes]);
            at += n_bytes as u64;
        }
        if crc != pages_crc {
            let meaning = "all pages are whole; bytes that no series names are not";
            self.tell(PAGES_FILE, "checksum of the whole file mismatches".to_owned(), meaning);
        }
        Ok(())
    }

    /// What copies had to stand in for, and whether they are whole themselves.
    fn copies(&mut self) -> Result<(), TsdbError> {
        let index = self.block.index();
        let file = |file: &str| format!("{}/{file}", self.block.name());
        for reason in index.take_mended() {
            let meaning = "nothing is lost: there is a copy of it";
            self.findings.push(Finding::new(
                Severity::Damage,
                file(INDEX_FILE),
                reason,
                meaning,
                Mend::RestoreIndex,
            ));
        }
        let problem = match index.twin() {
            Some(twin) => twin.problem().map_err(TsdbError::io("read", INDEX_COPY_FILE.as_ref()))?,
            None if self.block.meta().hinomi.index_copy => Some("the file is missing".to_owned()),
            None => None,
        };
        if let Some(reason) = problem {
            let meaning = "nothing is lost: it stands in where the index is damaged";
            let file = file(INDEX_COPY_FILE);
            self.findings.push(Finding::new(Severity::Damage, file, reason, meaning, Mend::CopyIndex));
        }
        Ok(())
    }

    fn tombstones(&mut self) {
        let n_series = self.block.index().toc().n_series;
        let deleted = self.block.deleted();
        let range = self.block.range();
        for (number, intervals) in deleted.tombstones.iter() {
            let outside = number >= n_series || intervals.iter().any(|one| !one.overlaps(range));
            if outside {
                let what = format!("deletions of series {number}, which is not in the block at that time");
                self.tell(TOMBSTONES_FILE, what, "something else may have been meant to be deleted");
            }
        }
    }
}
