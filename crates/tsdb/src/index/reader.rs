//! Reads a block's index: checked once when opened, then held in memory as it is on disk.

use model::Labels;
use stdx::varint;

use super::postings::LabelIndex;
use super::writer::{HEADER_BYTES, MAGIC, N_SECTIONS, TOC_BYTES, TOC_MAGIC, TocSummary, VERSION};

/// Bytes before each chunk in the file `chunks`: length and checksum.
pub(crate) const CHUNK_HEADER_BYTES: u64 = 8;

/// Where a chunk is and what it spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkEntry {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) n_samples: u32,
    /// Length of the chunk, without what stands before it.
    pub(crate) n_bytes: u32,
    /// Where its record begins.
    pub(crate) offset_bytes: u64,
}

/// A series of a block.
#[derive(Debug)]
pub(crate) struct SeriesEntry {
    pub(crate) labels: Labels,
    pub(crate) chunks: Vec<ChunkEntry>,
}

/// A place in the section of postings.
#[derive(Debug, Clone, Copy)]
struct ListEntry {
    value: u32,
    offset: u32,
    n_series: u32,
}

/// An opened index.
#[derive(Debug)]
pub(crate) struct BlockIndex {
    summary: TocSummary,
    toc: Vec<u8>,
    /// All symbols in one string, and where each ends.
    symbols: String,
    symbol_ends: Vec<u32>,
    series: Vec<u8>,
    offsets: Vec<u32>,
    postings: Vec<u8>,
    /// By name symbol, rising.
    names: Vec<(u32, Vec<ListEntry>)>,
}

impl BlockIndex {
    /// Checks `bytes` and takes what is needed from them. On failure says what is wrong.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Some((head, toc)) = bytes.split_last_chunk::<TOC_BYTES>() else {
            return Err("too short".to_owned());
        };
        if head.get(..4) != Some(&MAGIC) || toc[TOC_BYTES - 4..] != TOC_MAGIC {
            return Err("not a block index".to_owned());
        }
        if head.get(4..HEADER_BYTES) != Some(&[VERSION, 0, 0, 0]) {
            return Err("written in a format version that this program does not know".to_owned());
        }
        if crc32c::crc32c(&toc[..TOC_BYTES - 8]) != u32_at(toc, TOC_BYTES - 8) {
            return Err("checksum of the table of contents mismatches".to_owned());
        }
        let mut sections = [&[][..]; N_SECTIONS];
        let mut expected = HEADER_BYTES as u64;
        for (idx, section) in sections.iter_mut().enumerate() {
            let (offset, len) = (u64_at(toc, idx * 20), u64_at(toc, idx * 20 + 8));
            let end = offset.checked_add(len).filter(|end| offset == expected && *end <= head.len() as u64);
            let end = end.ok_or_else(|| format!("section {idx} lies outside"))?;
            *section = &head[offset as usize..end as usize];
            if crc32c::crc32c(section) != u32_at(toc, idx * 20 + 16) {
                return Err(format!("checksum of section {idx} mismatches at byte {offset}"));
            }
            expected = end;
        }
        let summary = get_summary(toc);
        let [symbols, series, offsets, postings, labels] = sections;
        let (symbols, symbol_ends) = get_symbols(symbols).ok_or("symbols are malformed")?;
        if offsets.len() != summary.n_series as usize * 4 {
            return Err("series offsets do not fit the number of series".to_owned());
        }
        let offsets = offsets.chunks_exact(4).map(|four| u32_at(four, 0)).collect();
        let names = get_names(labels, symbol_ends.len()).ok_or("labels are malformed")?;
        let (series, postings) = (series.to_vec(), postings.to_vec());
        Ok(Self { summary, toc: toc.to_vec(), symbols, symbol_ends, series, offsets, postings, names })
    }

    /// Totals.
    pub(crate) fn summary(&self) -> &TocSummary {
        &self.summary
    }

    /// The table of contents, which names the block.
    pub(crate) fn toc(&self) -> &[u8] {
        &self.toc
    }

    /// How many series.
    pub(crate) fn n_series(&self) -> u64 {
        self.offsets.len() as u64
    }

    /// All names and values, rising.
    pub(crate) fn symbols(&self) -> impl Iterator<Item = &str> {
        (0..self.symbol_ends.len() as u32).filter_map(|number| self.symbol(number))
    }

    fn symbol(&self, number: u32) -> Option<&str> {
        let number = number as usize;
        let end = *self.symbol_ends.get(number)? as usize;
        let start = if number == 0 { 0 } else { self.symbol_ends[number - 1] as usize };
        self.symbols.get(start..end)
    }

    /// The series `number`. On failure says what is wrong.
    pub(crate) fn series(&self, number: u64) -> Result<SeriesEntry, String> {
        let offset = usize::try_from(number).ok().and_then(|number| self.offsets.get(number));
        let entry = offset.and_then(|offset| self.get_series(*offset as usize));
        entry.ok_or_else(|| format!("series {number} of the index is malformed"))
    }

    fn get_series(&self, offset: usize) -> Option<SeriesEntry> {
        let src = &mut self.series.get(offset..)?;
        let n_pairs = varint::get_u64(src)?;
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for _ in 0..n_pairs {
            let name = self.symbol(u32::try_from(varint::get_u64(src)?).ok()?)?;
            let value = self.symbol(u32::try_from(varint::get_u64(src)?).ok()?)?;
            let rises = pairs.last().is_none_or(|(last, _)| *last < name);
            if !rises || value.is_empty() {
                return None;
            }
            pairs.push((name, value));
        }
        let labels = Labels::from_sorted(pairs);
        Some(SeriesEntry { labels, chunks: get_chunks(src)? })
    }

    fn list(&self, entry: ListEntry) -> Vec<u64> {
        let mut src = self.postings.get(entry.offset as usize..).unwrap_or_default();
        let mut out = Vec::new();
        let mut last = 0u64;
        for _ in 0..entry.n_series {
            // Checked by checksum when opened; what is malformed all the same ends the list.
            let Some(step) = varint::get_u64(&mut src) else { break };
            last = last.saturating_add(step);
            out.push(last);
        }
        out
    }

    fn lists_of(&self, name: &str) -> &[ListEntry] {
        let at =
            self.names.binary_search_by(|(symbol, _)| self.symbol(*symbol).unwrap_or_default().cmp(name));
        at.map_or(&[], |at| &self.names[at].1)
    }
}

impl LabelIndex for BlockIndex {
    fn all(&self) -> Vec<u64> {
        (0..self.n_series()).collect()
    }

    fn pair(&self, name: &str, value: &str) -> Vec<u64> {
        let lists = self.lists_of(name);
        let at = lists.binary_search_by(|entry| self.symbol(entry.value).unwrap_or_default().cmp(value));
        at.map_or_else(|_| Vec::new(), |at| self.list(lists[at]))
    }

    fn values(&self, name: &str, keep: &mut dyn FnMut(&str) -> bool) -> Vec<Vec<u64>> {
        let lists = self.lists_of(name).iter();
        let kept = lists.filter(|entry| keep(self.symbol(entry.value).unwrap_or_default()));
        kept.map(|entry| self.list(*entry)).collect()
    }

    fn names(&self) -> Vec<String> {
        self.names.iter().filter_map(|(name, _)| self.symbol(*name)).map(str::to_owned).collect()
    }
}

fn get_summary(toc: &[u8; TOC_BYTES]) -> TocSummary {
    let at = N_SECTIONS * 20;
    TocSummary {
        first_ms: u64_at(toc, at) as i64,
        last_ms: u64_at(toc, at + 8) as i64,
        n_samples: u64_at(toc, at + 16),
        n_chunks: u64_at(toc, at + 24),
        chunks_bytes: u64_at(toc, at + 32),
        chunks_crc: u32_at(toc, at + 40),
        n_series: u32_at(toc, at + 44),
    }
}

fn get_symbols(mut src: &[u8]) -> Option<(String, Vec<u32>)> {
    let n_symbols = varint::get_u64(&mut src)?;
    let mut all = String::with_capacity(src.len());
    let mut ends = Vec::new();
    for _ in 0..n_symbols {
        all.push_str(std::str::from_utf8(varint::get_bytes(&mut src)?).ok()?);
        ends.push(u32::try_from(all.len()).ok()?);
    }
    src.is_empty().then_some((all, ends))
}

fn get_names(mut src: &[u8], n_symbols: usize) -> Option<Vec<(u32, Vec<ListEntry>)>> {
    let src = &mut src;
    let number = |src: &mut &[u8]| u32::try_from(varint::get_u64(src)?).ok();
    let symbol = |src: &mut &[u8]| number(src).filter(|symbol| (*symbol as usize) < n_symbols);
    let n_names = varint::get_u64(src)?;
    let mut names = Vec::new();
    for _ in 0..n_names {
        let name = symbol(src)?;
        let n_values = varint::get_u64(src)?;
        let mut values = Vec::new();
        for _ in 0..n_values {
            values.push(ListEntry { value: symbol(src)?, offset: number(src)?, n_series: number(src)? });
        }
        names.push((name, values));
    }
    src.is_empty().then_some(names)
}

fn get_chunks(src: &mut &[u8]) -> Option<Vec<ChunkEntry>> {
    let n_chunks = varint::get_u64(src)?;
    let mut offset_bytes = varint::get_u64(src)?;
    let mut chunks: Vec<ChunkEntry> = Vec::new();
    for _ in 0..n_chunks {
        let first_ms = match chunks.last() {
            None => varint::get_i64(src)?,
            Some(last) => last.last_ms.wrapping_add(varint::get_u64(src)? as i64),
        };
        let last_ms = first_ms.wrapping_add(varint::get_u64(src)? as i64);
        let n_samples = u32::try_from(varint::get_u64(src)?).ok()?;
        let n_bytes = u32::try_from(varint::get_u64(src)?).ok()?;
        chunks.push(ChunkEntry { first_ms, last_ms, n_samples, n_bytes, offset_bytes });
        offset_bytes = offset_bytes.checked_add(CHUNK_HEADER_BYTES + u64::from(n_bytes))?;
    }
    Some(chunks)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes of a checked length"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes of a checked length"))
}
