//! Entries of leaves: label sets, pages of a series, postings, and the table of contents. Layout: docs/formats/index.md.
//!
//! Pure: values in, bytes out, and back. Malformed bytes give `None`.

use stdx::varint;

use crate::page::PageKind;

/// Pairs in one label set. Chosen: far over what any writer takes.
const PAIRS_MAX: u64 = 1 << 16;
/// Pages that are no longer lie within the index. Chosen: a constant page and its neighbours; a place and a checksum would take as much.
pub(crate) const INLINE_BYTES_MAX: usize = 24;
/// Pages of one series in one block. Chosen: 31 days of seconds in pages of 120 rows, four times.
const PAGES_MAX: u64 = 1 << 20;
/// What stands after a page in the file `pages`.
pub(crate) const PAGE_CRC_BYTES: u64 = 4;

/// The byte that says: three varints follow.
const SET_ESCAPE: u8 = 255;

/// Appends `set`, coded against `before`.
pub(super) fn put_set(out: &mut Vec<u8>, before: &[u32], set: &[u32]) {
    let front = before.iter().zip(set).take_while(|(a, b)| a == b).count();
    let rest = before.len().min(set.len()) - front;
    let back = before.iter().rev().zip(set.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let middle = &set[front..set.len() - back];
    if front < 7 && back < 7 && middle.len() < 3 {
        out.push(front as u8 | (back as u8) << 3 | (middle.len() as u8) << 6);
    } else {
        out.push(SET_ESCAPE);
        [front, back, middle.len()].iter().for_each(|n| varint::put_u64(out, *n as u64));
    }
    for (idx, pair) in middle.iter().enumerate() {
        let base = before.get(front + idx).copied().unwrap_or(0);
        varint::put_i64(out, i64::from(*pair) - i64::from(base));
    }
}

/// Turns `set`, which holds the set before, into the next one.
pub(super) fn get_set(src: &mut &[u8], set: &mut Vec<u32>) -> Option<()> {
    let (&head, rest) = src.split_first()?;
    *src = rest;
    let (front, back, n_middle) = match head {
        SET_ESCAPE => (varint::get_u64(src)?, varint::get_u64(src)?, varint::get_u64(src)?),
        _ => (u64::from(head & 7), u64::from(head >> 3 & 7), u64::from(head >> 6)),
    };
    if n_middle > PAIRS_MAX || front.checked_add(back)? > set.len() as u64 {
        return None;
    }
    let (front, back, n_middle) = (front as usize, back as usize, n_middle as usize);
    let keep_from = set.len() - back;
    // In place: what the middle replaces lies between the front and the back.
    let n_old = keep_from - front;
    let n_common = n_old.min(n_middle);
    for idx in 0..n_common {
        set[front + idx] =
            u32::try_from(i64::from(set[front + idx]).checked_add(varint::get_i64(src)?)?).ok()?;
    }
    if n_old > n_common {
        set.drain(front + n_common..keep_from);
        return Some(());
    }
    if n_middle > n_common {
        let mut more = Vec::new();
        for idx in n_common..n_middle {
            // The pair at the same place before was one of the back.
            let base = set.get(front + idx).copied().unwrap_or(0);
            more.push(u32::try_from(i64::from(base).checked_add(varint::get_i64(src)?)?).ok()?);
        }
        set.splice(front + n_common..front + n_common, more);
    }
    Some(())
}

/// Where the bytes of a page are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PagePlace {
    /// Offset in the file `pages`, and length.
    File(u64, u32),
    /// In the entry: from, to.
    Here(usize, usize),
}

/// One page of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageRef {
    pub(crate) kind: PageKind,
    pub(crate) column: u32,
    /// First row and number of rows; `None` for all of the column.
    pub(crate) rows: Option<(u32, u32)>,
    pub(crate) place: PagePlace,
}

/// What [`put_pages`] and [`get_pages`] remember between series.
#[derive(Debug, Clone, Default)]
pub(super) struct PagesState {
    /// First column of the series before.
    column: u32,
    /// Where the next page begins in the file `pages`.
    pub(super) offset: u64,
}

impl PagesState {
    /// With the first page at `offset`.
    pub(super) fn at(offset: u64) -> Self {
        Self { column: 0, offset }
    }
}

/// A page on its way into the index.
pub(crate) struct PageOut<'a> {
    pub(crate) kind: PageKind,
    pub(crate) column: u32,
    pub(crate) rows: Option<(u32, u32)>,
    pub(crate) bytes: &'a [u8],
}

/// Appends the pages of one series.
pub(super) fn put_pages(out: &mut Vec<u8>, state: &mut PagesState, pages: &[PageOut<'_>]) {
    varint::put_u64(out, pages.len() as u64);
    let mut last = state.column;
    for page in pages {
        let here = page.bytes.len() <= INLINE_BYTES_MAX;
        let step = i64::from(page.column) - i64::from(last);
        let column = match step {
            0 => 1,
            1 => 2,
            _ => 0,
        };
        let rows = u8::from(page.rows.is_some());
        let kind = page.kind as u8;
        out.push(kind & 3 | u8::from(here) << 2 | column << 3 | rows << 5 | kind >> 2 << 6);
        if column == 0 {
            varint::put_i64(out, step);
        }
        if let Some((first, n)) = page.rows {
            varint::put_u64(out, u64::from(first));
            varint::put_u64(out, u64::from(n));
        }
        varint::put_u64(out, page.bytes.len() as u64);
        if here {
            out.extend_from_slice(page.bytes);
        } else {
            state.offset += page.bytes.len() as u64 + PAGE_CRC_BYTES;
        }
        last = page.column;
    }
    state.column = pages.first().map_or(state.column, |page| page.column);
}

/// Reads the pages of one series into `out`. Places within are relative to `all`, of which `src` is the rest.
pub(super) fn get_pages(
    all: &[u8],
    src: &mut &[u8],
    state: &mut PagesState,
    out: &mut Vec<PageRef>,
) -> Option<()> {
    out.clear();
    let n_pages = varint::get_u64(src).filter(|n| *n <= PAGES_MAX)?;
    let mut last = state.column;
    for _ in 0..n_pages {
        let (&head, rest) = src.split_first()?;
        *src = rest;
        let kind = PageKind::from_bits(head & 3 | head >> 6 << 2)?;
        let column = match head >> 3 & 3 {
            0 => u32::try_from(i64::from(last).checked_add(varint::get_i64(src)?)?).ok()?,
            1 => last,
            2 => last.checked_add(1)?,
            _ => return None,
        };
        let small = |src: &mut &[u8]| u32::try_from(varint::get_u64(src)?).ok();
        let rows = match head >> 5 & 1 {
            0 => None,
            _ => Some((small(src)?, small(src).filter(|n| *n > 0)?)),
        };
        let n_bytes = small(src)?;
        let place = if head & 4 == 0 {
            let offset = state.offset;
            state.offset = offset.checked_add(u64::from(n_bytes) + PAGE_CRC_BYTES)?;
            PagePlace::File(offset, n_bytes)
        } else {
            let at = all.len() - src.len();
            *src = src.get(n_bytes as usize..)?;
            PagePlace::Here(at, at + n_bytes as usize)
        };
        out.push(PageRef { kind, column, rows, place });
        last = column;
    }
    state.column = out.first().map_or(state.column, |page| page.column);
    Some(())
}

/// At a restart nothing is remembered but the place of the next page, which is written.
pub(super) fn put_restart(out: &mut Vec<u8>, state: &mut PagesState) {
    state.column = 0;
    varint::put_u64(out, state.offset);
}

/// See [`put_restart`].
pub(super) fn get_restart(src: &mut &[u8]) -> Option<PagesState> {
    Some(PagesState { column: 0, offset: varint::get_u64(src)? })
}

/// Appends a list of rising series numbers, as runs.
pub(super) fn put_list(out: &mut Vec<u8>, list: &[u32]) {
    let (mut at, mut end) = (0, 0u32);
    while at < list.len() {
        let first = list[at];
        let step = list.get(at + 1).map_or(0, |next| next - first);
        let mut n = 1;
        while list.get(at + n).is_some_and(|next| *next - list[at + n - 1] == step) {
            n += 1;
        }
        varint::put_u64(out, u64::from(first - end));
        varint::put_u64(out, n as u64 - 1);
        if n > 1 {
            varint::put_u64(out, u64::from(step));
        }
        end = list[at + n - 1];
        at += n;
    }
}

/// Calls `run` with first, number and step of each run. `None` when malformed or when a number is not below `n_series`.
pub(super) fn get_runs(mut src: &[u8], n_series: u32, mut run: impl FnMut(u32, u32, u32)) -> Option<()> {
    let src = &mut src;
    let mut end = 0u64;
    while !src.is_empty() {
        let first = end.checked_add(varint::get_u64(src)?)?;
        let more = varint::get_u64(src)?;
        let step = if more > 0 { varint::get_u64(src).filter(|step| *step > 0)? } else { 1 };
        end = first.checked_add(more.checked_mul(step)?)?;
        if end >= u64::from(n_series) {
            return None;
        }
        run(first as u32, more as u32 + 1, step as u32);
    }
    Some(())
}

pub(super) const N_TABLES: usize = 6;
pub(crate) const TOC_BYTES: usize = 224;
pub(super) const TOC_MAGIC: [u8; 4] = *b"HTOC";
const TOC_FIELDS_BYTES: usize = TOC_BYTES - 8;

/// Where a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TableAt {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) crc: u32,
}

/// The table of contents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Toc {
    pub(super) tables: [TableAt; N_TABLES],
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) n_samples: u64,
    pub(crate) n_pages: u64,
    pub(crate) pages_bytes: u64,
    pub(crate) pages_crc: u32,
    pub(crate) n_series: u32,
    pub(crate) n_columns: u32,
    pub(crate) n_pairs: u32,
}

/// Before the copy of `meta.json`.
const COPY_MAGIC: [u8; 4] = *b"HMET";

/// Appends the copy of `meta.json`.
pub(super) fn put_copy(out: &mut Vec<u8>, json: &[u8]) {
    out.extend_from_slice(&COPY_MAGIC);
    out.extend_from_slice(&crc32c::crc32c(json).to_le_bytes());
    out.extend_from_slice(json);
}

/// The copy that is all of `bytes`.
pub(super) fn get_copy(bytes: &[u8]) -> Option<&[u8]> {
    let (crc, json) = bytes.strip_prefix(&COPY_MAGIC)?.split_first_chunk::<4>()?;
    (crc32c::crc32c(json) == u32::from_le_bytes(*crc)).then_some(json)
}

impl Toc {
    /// Of no series.
    pub(crate) fn empty() -> Self {
        Self { first_ms: i64::MAX, last_ms: i64::MIN, ..Self::default() }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TOC_BYTES);
        for table in &self.tables {
            out.extend_from_slice(&table.offset.to_le_bytes());
            out.extend_from_slice(&table.len.to_le_bytes());
            out.extend_from_slice(&table.crc.to_le_bytes());
        }
        out.extend_from_slice(&self.first_ms.to_le_bytes());
        out.extend_from_slice(&self.last_ms.to_le_bytes());
        [self.n_samples, self.n_pages, self.pages_bytes]
            .iter()
            .for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        for n in [self.pages_crc, self.n_series, self.n_columns, self.n_pairs] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out.resize(TOC_FIELDS_BYTES, 0);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.extend_from_slice(&TOC_MAGIC);
        out
    }

    /// Where the last of the tables ends.
    pub(super) fn tables_end(&self) -> u64 {
        self.tables.iter().map(|table| table.offset.saturating_add(table.len)).max().unwrap_or(0)
    }

    /// On failure says what is wrong.
    pub(crate) fn parse(bytes: &[u8; TOC_BYTES]) -> Result<Self, String> {
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("within the array"));
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("within the array"));
        if bytes[TOC_BYTES - 4..] != TOC_MAGIC {
            return Err("does not end as a block index".to_owned());
        }
        if crc32c::crc32c(&bytes[..TOC_FIELDS_BYTES]) != u32_at(TOC_FIELDS_BYTES) {
            return Err("checksum of the table of contents mismatches".to_owned());
        }
        let mut toc = Self::default();
        for (idx, table) in toc.tables.iter_mut().enumerate() {
            let at = idx * 20;
            *table = TableAt { offset: u64_at(at), len: u64_at(at + 8), crc: u32_at(at + 16) };
        }
        let at = N_TABLES * 20;
        (toc.first_ms, toc.last_ms) = (u64_at(at) as i64, u64_at(at + 8) as i64);
        (toc.n_samples, toc.n_pages, toc.pages_bytes) = (u64_at(at + 16), u64_at(at + 24), u64_at(at + 32));
        (toc.pages_crc, toc.n_series) = (u32_at(at + 40), u32_at(at + 44));
        (toc.n_columns, toc.n_pairs) = (u32_at(at + 48), u32_at(at + 52));
        Ok(toc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sets_come_back(sets in proptest::collection::vec(proptest::collection::btree_set(0u32..400, 0..12), 0..20)) {
            let sets: Vec<Vec<u32>> = sets.into_iter().map(|set| set.into_iter().collect()).collect();
            let (mut out, mut before) = (Vec::new(), Vec::new());
            for set in &sets {
                put_set(&mut out, &before, set);
                before.clone_from(set);
            }
            let (mut src, mut back) = (&out[..], Vec::new());
            for set in &sets {
                prop_assert_eq!(get_set(&mut src, &mut back), Some(()));
                prop_assert_eq!(&back, set);
            }
            prop_assert!(src.is_empty());
        }

        #[test]
        fn lists_come_back(list in proptest::collection::btree_set(0u32..3000, 0..300), step in 1u32..9) {
            let mut list: Vec<u32> = list.into_iter().collect();
            list.extend((0..50).map(|idx| 3000 + idx * step));
            let mut out = Vec::new();
            put_list(&mut out, &list);
            let mut back = Vec::new();
            let done = get_runs(&out, 4000, |first, n, step| back.extend((0..n).map(|idx| first + idx * step)));
            prop_assert_eq!(done, Some(()));
            prop_assert_eq!(back, list);
        }

        #[test]
        fn any_bytes_decode_or_refuse(bytes: Vec<u8>) {
            let mut set = vec![1, 5, 9];
            let _ = get_set(&mut &bytes[..], &mut set);
            let _ = get_runs(&bytes, 100, |_, _, _| {});
            let _ = get_pages(&bytes, &mut &bytes[..], &mut PagesState::default(), &mut Vec::new());
        }
    }

    #[test]
    fn pages_come_back() {
        let long = [7; 100];
        let page = |kind, column, rows, bytes| PageOut { kind, column, rows, bytes };
        let series = [
            vec![page(PageKind::Floats, 4, None, &long[..]), page(PageKind::Starts, 4, None, &long[..3])],
            vec![
                page(PageKind::Floats, 5, Some((7, 20)), &long[..24]),
                page(PageKind::Histograms, 2, None, &long[..25]),
            ],
        ];
        let (mut out, mut state) = (Vec::new(), PagesState { column: 0, offset: 8 });
        series.iter().for_each(|pages| put_pages(&mut out, &mut state, pages));
        assert_eq!(state.offset, 8 + 104 + 29);
        let (mut src, mut state, mut back) = (&out[..], PagesState { column: 0, offset: 8 }, Vec::new());
        for pages in &series {
            get_pages(&out, &mut src, &mut state, &mut back).unwrap();
            assert_eq!(back.len(), pages.len());
            for (page, back) in pages.iter().zip(&back) {
                assert_eq!((page.kind, page.column, page.rows), (back.kind, back.column, back.rows));
                match back.place {
                    PagePlace::Here(from, to) => assert_eq!(&out[from..to], page.bytes),
                    PagePlace::File(_, n) => assert_eq!(n as usize, page.bytes.len()),
                }
            }
        }
        assert!(src.is_empty());
    }

    #[test]
    fn the_table_of_contents_comes_back() {
        let toc = Toc { n_series: 5, first_ms: -3, n_pairs: 9, pages_crc: 1, ..Toc::default() };
        let bytes: [u8; TOC_BYTES] = toc.to_bytes().try_into().unwrap();
        assert_eq!(Toc::parse(&bytes), Ok(toc));
    }
}
