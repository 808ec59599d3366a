//! Counts of an analysis while blocks are read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;

use model::{Matcher, TimeRange};

use super::{Analysis, PageForm, Part, Spread};
use crate::block::{Block, PageReader};
use crate::error::TsdbError;
use crate::index::{LabelCursor, PAGE_CRC_BYTES, PageCursor, PagePlace, PageRef};
use crate::page;
use crate::page::PageKind;
use crate::report::NamedCount;

/// Of one label pair.
#[derive(Debug, Default, Clone, Copy)]
struct PairTally {
    n_series: u64,
    /// Shares of block time that its series miss, added up.
    missed: f64,
}

/// Of one label name.
#[derive(Debug, Default, Clone, Copy)]
struct NameTally {
    n_values: u64,
    value_bytes: u64,
    missed: f64,
}

#[derive(Debug, Default, Clone, Copy)]
struct MetricTally {
    n_series: u64,
    bytes: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct FormTally {
    pages: u64,
    rows: u64,
    bytes: u64,
}

/// See the module.
pub(super) struct Tally<'a> {
    matchers: &'a [Matcher],
    hasher: hashbrown::DefaultHashBuilder,
    blocks: Vec<(i64, String)>,
    span: (i64, i64),
    seen: HashSet<u64>,
    n_series_in_one_block: u64,
    n_samples: u64,
    n_label_pair_uses: u64,
    pairs: HashMap<String, PairTally>,
    names: BTreeMap<String, NameTally>,
    metrics: HashMap<String, MetricTally>,
    bytes: BTreeMap<&'static str, u64>,
    size_bytes: u64,
    forms: BTreeMap<&'static str, FormTally>,
    rows_of_pages: BTreeMap<u32, u64>,
}

/// What one block adds to a pair, by the pair's number there.
#[derive(Default, Clone, Copy)]
struct InBlock {
    n_new: u32,
    n: u32,
    missed: f64,
}

impl<'a> Tally<'a> {
    pub(super) fn new(matchers: &'a [Matcher]) -> Self {
        Self {
            matchers,
            hasher: hashbrown::DefaultHashBuilder::default(),
            blocks: Vec::new(),
            span: (i64::MAX, i64::MIN),
            seen: HashSet::new(),
            n_series_in_one_block: 0,
            n_samples: 0,
            n_label_pair_uses: 0,
            pairs: HashMap::new(),
            names: BTreeMap::new(),
            metrics: HashMap::new(),
            bytes: BTreeMap::new(),
            size_bytes: 0,
            forms: BTreeMap::new(),
            rows_of_pages: BTreeMap::new(),
        }
    }

    /// Reads one block.
    pub(super) fn add(&mut self, block: &Block) -> Result<(), TsdbError> {
        let index = block.index();
        let range = block.range();
        self.blocks.push((range.start_ms, block.name().to_owned()));
        self.span = (self.span.0.min(range.start_ms), self.span.1.max(range.end_ms));
        self.size_bytes += block.size_bytes();
        let numbers = index.resolve(self.matchers).map_err(|err| block.index_error(err))?;
        self.n_series_in_one_block = self.n_series_in_one_block.max(numbers.len());
        let mut in_block = vec![InBlock::default(); index.toc().n_pairs as usize];
        let (mut labels, mut cursor) = (LabelCursor::default(), PageCursor::default());
        let mut reader = PageReader::default();
        for number in numbers {
            let set = labels.labels(index, number).map_err(|err| block.index_error(err))?;
            let (pages, here) = cursor.pages(index, number).map_err(|err| block.index_error(err))?;
            let (bytes, covered) = self.pages(block, pages, here, &mut reader)?;
            let is_new = self.seen.insert(self.hasher.hash_one(&set));
            let metric = self.metrics.entry(set.metric_name().to_owned()).or_default();
            metric.n_series += u64::from(is_new);
            metric.bytes += bytes;
            let missed = 1.0 - covered;
            for pair in labels.pairs(index, number).map_err(|err| block.index_error(err))? {
                if let Some(tally) = in_block.get_mut(*pair as usize) {
                    tally.n += 1;
                    tally.n_new += u32::from(is_new);
                    tally.missed += missed;
                }
            }
        }
        self.merge_pairs(block, &in_block)?;
        if self.matchers.is_empty() {
            for (section, n_bytes) in index.section_bytes() {
                *self.bytes.entry(index_part(section)).or_default() += n_bytes;
            }
            let known = index.n_bytes() + index.twin_bytes() + index.toc().pages_bytes;
            *self.bytes.entry("copies of the index").or_default() += index.twin_bytes();
            *self.bytes.entry("meta.json and deletions").or_default() += block.size_bytes() - known;
        }
        Ok(())
    }

    /// Counts pages of one series; returns their bytes, and which share of the block's time they cover.
    fn pages(
        &mut self,
        block: &Block,
        pages: &[PageRef],
        here: &[u8],
        reader: &mut PageReader,
    ) -> Result<(u64, f64), TsdbError> {
        let (mut n_bytes, mut covered_ms) = (0, 0i64);
        let range = block.range();
        for page in pages {
            let head = block.index().column(page.column, |head, _| *head);
            let head = head.map_err(|err| block.index_error(err))?;
            let n_rows = page.rows.map_or(head.n_rows, |(_, n)| n);
            let stored = match page.place {
                PagePlace::File(_, n) => u64::from(n) + PAGE_CRC_BYTES,
                PagePlace::Here(from, to) => (to - from) as u64,
            };
            n_bytes += stored;
            let form = match page.kind {
                PageKind::Starts => "start timestamps",
                PageKind::Histograms => "native histograms",
                _ => match reader.page(block, &page.place, here)? {
                    Ok(bytes) => page::form_name(bytes),
                    Err(reason) => return Err(crate::block::damaged_page(block, &reason)),
                },
            };
            let part = match (page.kind, &page.place) {
                // Within the index, and compressed with it.
                (_, PagePlace::Here(..)) if self.matchers.is_empty() => None,
                (_, PagePlace::Here(..)) => Some("short pages, before compression"),
                (PageKind::Starts, _) => Some("start timestamps"),
                (PageKind::Histograms, _) => Some("native histograms"),
                _ => Some("values"),
            };
            if let Some(part) = part {
                *self.bytes.entry(part).or_default() += stored;
            }
            let tally = self.forms.entry(form).or_default();
            tally.pages += 1;
            tally.rows += u64::from(n_rows);
            tally.bytes += stored;
            if page.kind.is_counted() {
                self.n_samples += u64::from(n_rows);
                *self.rows_of_pages.entry(n_rows).or_default() += 1;
                let span = TimeRange::new(head.first_ms, head.last_ms);
                // Of a part of a column, the same part of its time.
                let share = f64::from(n_rows) / f64::from(head.n_rows.max(1));
                covered_ms += ((span.end_ms - span.start_ms) as f64 * share) as i64;
            }
        }
        let whole_ms = (range.end_ms - range.start_ms).max(1);
        Ok((n_bytes, (covered_ms as f64 / whole_ms as f64).min(1.0)))
    }

    fn merge_pairs(&mut self, block: &Block, in_block: &[InBlock]) -> Result<(), TsdbError> {
        let index = block.index();
        let names = index.names().map(<[_]>::to_vec).map_err(|err| block.index_error(err))?;
        for name in &names {
            let read = index.values(name, "", &mut |pair, value, _| {
                let Some(found) = in_block.get(pair as usize).filter(|found| found.n > 0) else {
                    return true;
                };
                let of_name = self.names.entry(name.name.to_string()).or_default();
                of_name.missed += found.missed;
                let of_pair = self.pairs.entry(format!("{}={value}", name.name)).or_insert_with(|| {
                    of_name.n_values += 1;
                    of_name.value_bytes += value.len() as u64;
                    PairTally::default()
                });
                of_pair.n_series += u64::from(found.n_new);
                of_pair.missed += found.missed;
                self.n_label_pair_uses += u64::from(found.n_new);
                true
            });
            read.map_err(|err| block.index_error(err))?;
        }
        Ok(())
    }

    /// The answer, with lists of `limit`.
    pub(super) fn finish(mut self, limit: usize) -> Analysis {
        self.blocks.sort();
        let whole = self.matchers.is_empty();
        let part_bytes: u64 = self.bytes.values().sum();
        let counted_bytes = if whole { self.size_bytes } else { part_bytes };
        let (min_time_ms, max_time_ms) = if self.blocks.is_empty() { (0, 0) } else { self.span };
        let pairs =
            |of: fn(&PairTally) -> u64| top(self.pairs.iter().map(|(name, t)| (&**name, of(t))), limit);
        let names =
            |of: fn(&NameTally) -> u64| top(self.names.iter().map(|(name, t)| (&**name, of(t))), limit);
        let metrics =
            |of: fn(&MetricTally) -> u64| top(self.metrics.iter().map(|(name, t)| (&**name, of(t))), limit);
        let mut forms: Vec<PageForm> = self
            .forms
            .iter()
            .map(|(name, t)| PageForm {
                name: (*name).to_owned(),
                pages: t.pages,
                rows: t.rows,
                bytes: t.bytes,
            })
            .collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.bytes));
        let mut bytes: Vec<Part> =
            self.bytes.iter().map(|(name, bytes)| Part { name: (*name).to_owned(), bytes: *bytes }).collect();
        bytes.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        Analysis {
            min_time_ms,
            max_time_ms,
            n_series: self.seen.len() as u64,
            n_series_in_one_block: self.n_series_in_one_block,
            n_samples: self.n_samples,
            n_label_names: self.names.len() as u64,
            n_label_pairs: self.pairs.len() as u64,
            n_label_pair_uses: self.n_label_pair_uses,
            churn_by_label_pair: pairs(|tally| tally.missed as u64),
            churn_by_label_name: names(|tally| tally.missed as u64),
            series_by_label_pair: pairs(|tally| tally.n_series),
            values_by_label_name: names(|tally| tally.n_values),
            value_bytes_by_label_name: names(|tally| tally.value_bytes),
            series_by_metric_name: metrics(|tally| tally.n_series),
            bytes_by_metric_name: metrics(|tally| tally.bytes),
            bytes,
            forms,
            samples_per_page: spread(&self.rows_of_pages),
            bytes_per_sample: counted_bytes as f64 / self.n_samples.max(1) as f64,
            tiers: Vec::new(),
            blocks: self.blocks.into_iter().map(|(_, name)| name).collect(),
        }
    }
}

fn index_part(section: &'static str) -> &'static str {
    match section {
        "series" => "index: labels of series",
        "pages of series" => "index: places of pages, short pages",
        "columns" => "timestamps",
        "label pairs" => "index: label pairs",
        "postings" => "index: postings",
        _ => "index: tables",
    }
}

/// The `limit` largest, by falling value, then by name; nothing that is zero.
fn top<'n>(counts: impl Iterator<Item = (&'n str, u64)>, limit: usize) -> Vec<NamedCount> {
    let mut counts: Vec<(&str, u64)> = counts.filter(|(_, value)| *value > 0).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    counts.truncate(limit);
    counts.into_iter().map(|(name, value)| NamedCount { name: name.to_owned(), value }).collect()
}

fn spread(counts: &BTreeMap<u32, u64>) -> Spread {
    let n: u64 = counts.values().sum();
    let Some((min, max)) = counts.first_key_value().zip(counts.last_key_value()) else {
        return Spread::default();
    };
    let at = |share: f64| {
        let (rank, mut below) = ((n as f64 * share).ceil() as u64, 0);
        let found = counts.iter().find(|(_, n)| {
            below += **n;
            below >= rank
        });
        found.map_or(0, |(rows, _)| u64::from(*rows))
    };
    let sum: u64 = counts.iter().map(|(rows, n)| u64::from(*rows) * n).sum();
    Spread {
        min: u64::from(*min.0),
        median: at(0.5),
        p90: at(0.9),
        max: u64::from(*max.0),
        mean: sum as f64 / n as f64,
    }
}
