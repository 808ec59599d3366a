//! For fuzzing: any bytes are an index or are refused, checksums right or wrong.
//!
//! Bytes as they come fail at the first checksum; put into leaves and tables that are sealed here, they reach what reads entries.

use std::path::Path;
use std::sync::Arc;

use stdx::{Dir, MemDir};

use super::codec::{N_TABLES, TableAt, Toc};
use super::leaf::{LeafWriter, ReadError};
use super::reader::{BlockIndex, LabelCursor, PageCursor};
use super::{BlockCache, INDEX_HEADER};

/// Series, columns and pairs that a run looks at: headers can claim billions. Chosen.
const LOOKED_AT_MAX: u32 = 10_000;
/// Which section has values in its table, and which is a table alone.
const PAIRS: usize = 3;
const NAMES: usize = 5;

/// Opens `bytes` as an index and reads everything in it; `true` when all of it can be read.
#[doc(hidden)]
#[must_use]
pub fn fuzz_index(bytes: &[u8]) -> bool {
    let (dir, path) = (MemDir::new(), Path::new("index"));
    let file = dir.create(path).and_then(|mut file| file.append(bytes).map(|()| file));
    let cache = Arc::new(BlockCache::new(1 << 20, &stdx::metrics::Registry::new()));
    let Some(index) = file.ok().and_then(|file| BlockIndex::open(file, &cache).ok()) else { return false };
    walk(&index).is_ok()
}

/// Opens an index whose sections have one leaf each: of series, pages of series, columns, pairs and postings, and the table of names;
/// `counts`: series, columns, pairs. `true` when all of it can be read.
#[doc(hidden)]
#[must_use]
pub fn fuzz_leaves(counts: [u32; 3], leaves: [&[u8]; N_TABLES]) -> bool {
    let [n_series, n_columns, n_pairs] = counts.map(|count| count.min(LOOKED_AT_MAX));
    let mut file = INDEX_HEADER.to_vec();
    let mut toc = Toc { n_series, n_columns, n_pairs, ..Toc::empty() };
    for (section, leaf) in leaves.into_iter().enumerate() {
        let n_entries = [n_series, n_series, n_columns, n_pairs, n_pairs, 0][section];
        let table = if section == NAMES {
            leaf.to_vec()
        } else {
            let (mut writer, end) = (LeafWriter::default(), file.len() as u64);
            if n_entries > 0 && !writer.put(leaf, n_entries, "", end, &mut file) {
                return false;
            }
            writer.table(section == PAIRS)
        };
        let at = TableAt { offset: file.len() as u64, len: table.len() as u64, crc: crc32c::crc32c(&table) };
        toc.tables[section] = at;
        file.extend_from_slice(&table);
    }
    file.extend_from_slice(&toc.to_bytes());
    fuzz_index(&file)
}

fn walk(index: &BlockIndex) -> Result<(), ReadError> {
    let mut first_error = Ok(());
    let mut note = |read: Result<(), ReadError>| {
        if first_error.is_ok() {
            first_error = read;
        }
    };
    let (mut labels, mut pages) = (LabelCursor::default(), PageCursor::default());
    for number in 0..index.toc().n_series.min(LOOKED_AT_MAX) {
        note(labels.labels(index, number).map(drop));
        note(pages.pages(index, number).map(drop));
        let _ = index.after_leaf_of(number);
    }
    for number in 0..index.toc().n_columns.min(LOOKED_AT_MAX) {
        note(index.column(number, |_, _| ()));
    }
    for pair in 0..index.toc().n_pairs.min(LOOKED_AT_MAX) {
        note(index.runs(pair, |_, _, _| {}));
    }
    note(index.meta_copy().map(drop));
    note(index.names().map(drop));
    for name in index.names().unwrap_or_default() {
        note(index.value_counts(name, |_, _| {}));
        note(index.values(name, "m", &mut |_, _, _| true));
    }
    first_error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{IndexWriter, PageOut};
    use crate::page::PageKind;
    use crate::sink::Sink;
    use model::Labels;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const N_SERIES: u32 = 90;

    /// The sections of a real index, one leaf each.
    fn real_leaves() -> ([u32; 3], Vec<Vec<u8>>) {
        let dir = MemDir::new();
        let sink = Sink::create(&dir, Path::new("index"), &INDEX_HEADER).unwrap();
        let mut writer = IndexWriter::new(sink, 8);
        let mut all: Vec<Labels> = (0..N_SERIES)
            .map(|idx| Labels::from_pairs([("__name__", format!("m{}", idx % 7)), ("idx", idx.to_string())]))
            .collect();
        all.sort();
        for (idx, labels) in all.iter().enumerate() {
            let bytes = vec![idx as u8; 20 + idx % 9];
            let column = writer.column(&[idx as u8 % 4; 9], 5 + idx as u32 % 4, 1_000, 2_000).unwrap();
            let rows = (idx % 5 == 0).then_some((1, 3));
            writer.add(labels, &[PageOut { kind: PageKind::Floats, column, rows, bytes: &bytes }]).unwrap();
        }
        let toc = Toc { first_ms: 1_000, last_ms: 2_000, ..Toc::empty() };
        writer.end(toc).unwrap().finish(b"{}", &dir, Path::new("index.copy")).unwrap();
        let bytes = dir.read(Path::new("index")).unwrap();
        assert!(fuzz_index(&bytes));
        let cache = Arc::new(BlockCache::new(1 << 20, &stdx::metrics::Registry::new()));
        let index = BlockIndex::open(dir.open(Path::new("index")).unwrap(), &cache).unwrap();
        let toc = index.toc();
        ([toc.n_series, toc.n_columns, toc.n_pairs], index.raw_leaves().unwrap())
    }

    fn opens(counts: [u32; 3], leaves: &[Vec<u8>]) -> bool {
        fuzz_leaves(counts, std::array::from_fn(|section| &leaves[section][..]))
    }

    #[test]
    fn sections_of_a_real_index_are_read() {
        let (counts, leaves) = real_leaves();
        assert_eq!(counts[0], N_SERIES);
        assert!(opens(counts, &leaves));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

        #[test]
        fn damaged_sections_are_read_or_refused(
            changes in proptest::collection::vec((0usize..6, any::<prop::sample::Index>(), any::<u8>()), 1..5),
            count in (0usize..3, 0u32..300),
            is_count_kept in any::<bool>(),
        ) {
            static REAL: LazyLock<([u32; 3], Vec<Vec<u8>>)> = LazyLock::new(real_leaves);
            let (mut counts, mut leaves) = REAL.clone();
            for (section, at, byte) in changes {
                let leaf = &mut leaves[section];
                let at = at.index(leaf.len());
                leaf[at] = byte;
            }
            if !is_count_kept {
                counts[count.0] = count.1;
            }
            let _ = opens(counts, &leaves);
        }
    }
}
