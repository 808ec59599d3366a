//! Writes a block's index. Layout: docs/formats/index.md.
//!
//! In from the block writer, series by series in the order of their labels; out a file. What depends on the number of
//! samples goes to the file at once; labels wait until all pairs are known, at a few bytes a series.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;
use std::path::Path;

use hashbrown::DefaultHashBuilder;
use model::Labels;
use stdx::{Dir, varint};

use super::codec::get_set;
use super::codec::{PageOut, PagesState, TableAt, Toc, put_copy, put_list, put_pages, put_restart, put_set};
use super::dict::PairDict;
use super::leaf::{LEAF_BYTES, LeafWriter, POSTINGS_LEAF_BYTES, RestartBuilder};
use super::twin;
use crate::error::TsdbError;
use crate::sink::Sink;

pub(crate) const INDEX_HEADER: [u8; 8] = *b"HIDX\x02\0\0\0";
/// Series numbers held while postings are gathered. Chosen: 64 MB; larger indexes take several walks over the label sets.
const POSTINGS_MAX: usize = 16 << 20;

/// Gathers an index.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    sink: Sink,
    dict: PairDict,
    /// Label sets of pair numbers of first use, each coded against the one before.
    sets: Vec<u8>,
    last_set: Vec<u32>,
    last_labels: Option<Labels>,
    pages: RestartBuilder,
    pages_state: PagesState,
    pages_leaves: LeafWriter,
    column_heads: Vec<u8>,
    column_bytes: Vec<u8>,
    n_columns_open: u32,
    column_leaves: LeafWriter,
    columns: HashMap<(u64, u64), u32>,
    hashers: [DefaultHashBuilder; 2],
    n_series: u32,
}

impl IndexWriter {
    /// `pages_offset` is where the first page will be in the file `pages`.
    pub(crate) fn new(sink: Sink, pages_offset: u64) -> Self {
        Self {
            sink,
            dict: PairDict::default(),
            sets: Vec::new(),
            last_set: Vec::new(),
            last_labels: None,
            pages: RestartBuilder::default(),
            pages_state: PagesState::at(pages_offset),
            pages_leaves: LeafWriter::default(),
            column_heads: Vec::new(),
            column_bytes: Vec::new(),
            n_columns_open: 0,
            column_leaves: LeafWriter::default(),
            columns: HashMap::new(),
            hashers: [DefaultHashBuilder::default(), DefaultHashBuilder::default()],
            n_series: 0,
        }
    }

    fn full(&self) -> TsdbError {
        TsdbError::corrupt(self.sink.path(), "more than an index can hold")
    }

    /// The number of the column with these encoded times; written once.
    pub(crate) fn column(
        &mut self,
        encoded: &[u8],
        n_rows: u32,
        first_ms: i64,
        last_ms: i64,
    ) -> Result<u32, TsdbError> {
        // Two hashes with seeds of their own: columns with equal ones are equal.
        let key = (self.hashers[0].hash_one(encoded), self.hashers[1].hash_one(encoded));
        if let Some(number) = self.columns.get(&key) {
            return Ok(*number);
        }
        let number = self.column_leaves.n_entries() + self.n_columns_open;
        varint::put_u64(&mut self.column_heads, u64::from(n_rows));
        varint::put_i64(&mut self.column_heads, first_ms);
        varint::put_u64(&mut self.column_heads, last_ms.wrapping_sub(first_ms) as u64);
        varint::put_u64(&mut self.column_heads, encoded.len() as u64);
        self.column_bytes.extend_from_slice(encoded);
        self.n_columns_open += 1;
        self.columns.insert(key, number);
        if self.column_heads.len() + self.column_bytes.len() >= LEAF_BYTES {
            self.end_columns()?;
        }
        Ok(number)
    }

    fn end_columns(&mut self) -> Result<(), TsdbError> {
        if self.n_columns_open == 0 {
            return Ok(());
        }
        let mut leaf = Vec::new();
        varint::put_u64(&mut leaf, u64::from(self.n_columns_open));
        leaf.append(&mut self.column_heads);
        leaf.append(&mut self.column_bytes);
        let n_columns = std::mem::take(&mut self.n_columns_open);
        put_leaf(&mut self.sink, &mut self.column_leaves, &leaf, n_columns, "")
    }

    /// Adds the next series by labels. Pages that do not lie within the index go to the file `pages`, in this order.
    pub(crate) fn add(&mut self, labels: &Labels, pages: &[PageOut<'_>]) -> Result<(), TsdbError> {
        let mut set = Vec::with_capacity(self.last_set.len());
        let last_labels = self.last_labels.take().unwrap_or_default();
        let mut before = last_labels.iter();
        for pair in labels {
            // Most pairs stand at the same place in the set before.
            let number = match before.next() {
                Some(same) if same == pair => self.last_set[set.len()],
                _ => self.dict.intern(pair.0, pair.1).ok_or_else(|| self.full())?,
            };
            self.dict.bump(number);
            set.push(number);
        }
        put_set(&mut self.sets, &self.last_set, &set);
        self.last_set = set;
        self.last_labels = Some(labels.clone());
        if self.pages.is_due() {
            self.pages.restart();
            put_restart(&mut self.pages.bytes, &mut self.pages_state);
        }
        put_pages(&mut self.pages.bytes, &mut self.pages_state, pages);
        self.pages.n_entries += 1;
        if self.pages.is_full() {
            let (leaf, n_series) = self.pages.take();
            put_leaf(&mut self.sink, &mut self.pages_leaves, &leaf, n_series, "")?;
        }
        self.n_series = self.n_series.checked_add(1).ok_or_else(|| self.full())?;
        Ok(())
    }

    /// Writes the rest but its end. `toc` holds what the block writer knows; the numbers of the index and its tables are added.
    /// The table of contents names the block.
    pub(crate) fn end(mut self, mut toc: Toc) -> Result<IndexEnd, TsdbError> {
        if self.pages.n_entries > 0 {
            let (leaf, n_series) = self.pages.take();
            put_leaf(&mut self.sink, &mut self.pages_leaves, &leaf, n_series, "")?;
        }
        self.end_columns()?;
        toc.n_columns = self.column_leaves.n_entries();
        toc.n_series = self.n_series;
        toc.n_pairs = self.dict.len() as u32;
        let order = self.dict.sorted();
        let mut numbers = vec![0; order.len()];
        (0u32..).zip(&order).for_each(|(number, used)| numbers[*used as usize] = number);
        let series_leaves = put_series(&mut self.sink, &self.sets, &numbers, self.n_series)?;
        let pair_leaves = put_pairs(&mut self.sink, &self.dict, &order)?;
        let counts: Vec<u32> = order.iter().map(|used| self.dict.count(*used)).collect();
        let posting_leaves = put_postings(&mut self.sink, &self.sets, &numbers, &counts, self.n_series)?;
        let names = names_table(&self.dict, &order);
        let tables = [
            series_leaves.table(false),
            self.pages_leaves.table(false),
            self.column_leaves.table(false),
            pair_leaves.table(true),
            posting_leaves.table(false),
            names,
        ];
        for (at, table) in toc.tables.iter_mut().zip(&tables) {
            *at = TableAt { offset: self.sink.end(), len: table.len() as u64, crc: crc32c::crc32c(table) };
            self.sink.buffer.extend_from_slice(table);
        }
        let fences = [
            series_leaves.fences(),
            self.pages_leaves.fences(),
            self.column_leaves.fences(),
            pair_leaves.fences(),
            posting_leaves.fences(),
        ];
        let copied = twin::copied(&toc, fences);
        Ok(IndexEnd { sink: self.sink, toc: toc.to_bytes(), n_series: self.n_series, copied })
    }
}

/// An index that lacks what its table of contents is needed for.
#[derive(Debug)]
pub(crate) struct IndexEnd {
    sink: Sink,
    /// The table of contents.
    pub(crate) toc: Vec<u8>,
    pub(crate) n_series: u32,
    copied: Vec<Range<u64>>,
}

impl IndexEnd {
    /// Ends it with a copy of `meta.json` and the table of contents, copies parts of it to the file `twin`, and makes both durable.
    pub(crate) fn finish(mut self, meta_json: &[u8], dir: &dyn Dir, twin: &Path) -> Result<(), TsdbError> {
        put_copy(&mut self.sink.buffer, meta_json);
        self.sink.buffer.extend_from_slice(&self.toc);
        let path = self.sink.path().to_owned();
        self.sink.finish()?;
        let index = dir.open(&path).map_err(TsdbError::io("open", &path))?;
        twin::write(dir, twin, &*index, &self.copied)
    }
}

fn put_leaf(
    sink: &mut Sink,
    leaves: &mut LeafWriter,
    raw: &[u8],
    n_entries: u32,
    value: &str,
) -> Result<(), TsdbError> {
    let end = sink.end();
    if !leaves.put(raw, n_entries, value, end, &mut sink.buffer) {
        return Err(TsdbError::corrupt(sink.path(), "more than an index can hold"));
    }
    sink.flush_if_large()
}

/// Calls `each` with every label set, in final pair numbers.
fn walk_sets(
    sets: &[u8],
    numbers: &[u32],
    n_series: u32,
    mut each: impl FnMut(u32, &[u32]) -> Result<(), TsdbError>,
) -> Result<(), TsdbError> {
    let (mut src, mut set, mut mapped) = (sets, Vec::new(), Vec::new());
    for series in 0..n_series {
        get_set(&mut src, &mut set).expect("written by `add`");
        mapped.clear();
        mapped.extend(set.iter().map(|used| numbers[*used as usize]));
        each(series, &mapped)?;
    }
    Ok(())
}

fn put_series(sink: &mut Sink, sets: &[u8], numbers: &[u32], n_series: u32) -> Result<LeafWriter, TsdbError> {
    let (mut leaves, mut leaf) = (LeafWriter::default(), RestartBuilder::default());
    let mut before: Vec<u32> = Vec::new();
    walk_sets(sets, numbers, n_series, |_, set| {
        if leaf.is_due() {
            leaf.restart();
            before.clear();
        }
        put_set(&mut leaf.bytes, &before, set);
        leaf.n_entries += 1;
        before.clear();
        before.extend_from_slice(set);
        if leaf.is_full() {
            let (raw, n_entries) = leaf.take();
            put_leaf(sink, &mut leaves, &raw, n_entries, "")?;
        }
        Ok(())
    })?;
    if leaf.n_entries > 0 {
        let (raw, n_entries) = leaf.take();
        put_leaf(sink, &mut leaves, &raw, n_entries, "")?;
    }
    Ok(leaves)
}

fn put_pairs(sink: &mut Sink, dict: &PairDict, order: &[u32]) -> Result<LeafWriter, TsdbError> {
    let mut leaves = LeafWriter::default();
    let (mut leaf, mut n_entries, mut first, mut before) = (Vec::new(), 0, "", "");
    for used in order {
        let (_, value) = dict.get(*used);
        if n_entries == 0 {
            (first, before) = (value, "");
        }
        let common = before.bytes().zip(value.bytes()).take_while(|(a, b)| a == b).count();
        let common = (0..=common).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
        varint::put_u64(&mut leaf, common as u64);
        varint::put_bytes(&mut leaf, &value.as_bytes()[common..]);
        varint::put_u64(&mut leaf, u64::from(dict.count(*used)));
        n_entries += 1;
        before = value;
        if leaf.len() >= LEAF_BYTES {
            put_leaf(sink, &mut leaves, &leaf, std::mem::take(&mut n_entries), first)?;
            leaf.clear();
        }
    }
    if n_entries > 0 {
        put_leaf(sink, &mut leaves, &leaf, n_entries, first)?;
    }
    Ok(leaves)
}

/// Postings of all pairs, by as many walks over the label sets as keep to [`POSTINGS_MAX`].
fn put_postings(
    sink: &mut Sink,
    sets: &[u8],
    numbers: &[u32],
    counts: &[u32],
    n_series: u32,
) -> Result<LeafWriter, TsdbError> {
    let mut leaves = LeafWriter::default();
    let (mut lengths, mut lists, mut n_lists) = (Vec::new(), Vec::new(), 0u32);
    let mut from = 0;
    while from < counts.len() {
        // Pairs `from..to` in this walk; where each list begins.
        let (mut to, mut starts, mut total) = (from, Vec::new(), 0usize);
        while to < counts.len() && (to == from || total + counts[to] as usize <= POSTINGS_MAX) {
            starts.push(total);
            total += counts[to] as usize;
            to += 1;
        }
        let (mut all, mut ends) = (vec![0u32; total], starts.clone());
        walk_sets(sets, numbers, n_series, |series, set| {
            for pair in set.iter().map(|pair| *pair as usize).filter(|pair| (from..to).contains(pair)) {
                all[ends[pair - from]] = series;
                ends[pair - from] += 1;
            }
            Ok(())
        })?;
        for (start, end) in starts.iter().zip(&ends) {
            let before = lists.len();
            put_list(&mut lists, &all[*start..*end]);
            varint::put_u64(&mut lengths, (lists.len() - before) as u64);
            n_lists += 1;
            if lists.len() + lengths.len() >= POSTINGS_LEAF_BYTES {
                end_postings(sink, &mut leaves, &mut lengths, &mut lists, &mut n_lists)?;
            }
        }
        from = to;
    }
    end_postings(sink, &mut leaves, &mut lengths, &mut lists, &mut n_lists)?;
    Ok(leaves)
}

fn end_postings(
    sink: &mut Sink,
    leaves: &mut LeafWriter,
    lengths: &mut Vec<u8>,
    lists: &mut Vec<u8>,
    n_lists: &mut u32,
) -> Result<(), TsdbError> {
    if *n_lists == 0 {
        return Ok(());
    }
    let mut leaf = Vec::new();
    varint::put_u64(&mut leaf, u64::from(*n_lists));
    leaf.append(lengths);
    leaf.append(lists);
    put_leaf(sink, leaves, &leaf, std::mem::take(n_lists), "")
}

fn names_table(dict: &PairDict, order: &[u32]) -> Vec<u8> {
    let groups: Vec<&[u32]> = order.chunk_by(|a, b| dict.get(*a).0 == dict.get(*b).0).collect();
    let mut out = Vec::new();
    varint::put_u64(&mut out, groups.len() as u64);
    for group in groups {
        varint::put_bytes(&mut out, dict.get(group[0]).0.as_bytes());
        varint::put_u64(&mut out, group.len() as u64);
        let count = |used: &u32| u64::from(dict.count(*used));
        varint::put_u64(&mut out, group.iter().map(count).sum());
        varint::put_u64(
            &mut out,
            group.iter().map(|used| count(used) * dict.get(*used).1.len() as u64).sum(),
        );
    }
    out
}
