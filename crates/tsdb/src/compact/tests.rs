//! Blocks against maps: what goes in comes out, merged, cut, deleted and ranged, with histograms and start timestamps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::{Histogram, Labels, Matcher, TimeRange};
use proptest::prelude::*;
use stdx::metrics::Registry;
use stdx::{Dir, MemDir};
use storage::SelectHints;

use super::merge::{Job, compact_blocks};
use crate::block::{Block, BlockWriter, Compaction, PageIn, TimesSlice};
use crate::index::BlockCache;
use crate::page;
use crate::page::PageKind;

/// A sample: whether it is a histogram, its number, its start timestamp.
type Sample = (bool, u64, i64);
type Content = BTreeMap<Labels, BTreeMap<i64, Sample>>;

fn labels(idx: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("metric_{}", idx % 2)),
        ("instance", format!("host-{idx}")),
        ("own", "x".repeat(idx % 3)),
    ])
}

fn histogram(number: u64) -> Histogram {
    Histogram { count: number as f64, sum: number as f64 / 3.0, ..Histogram::default() }
}

fn pages_of(samples: &BTreeMap<i64, Sample>, is_histogram: bool, rows_max: usize) -> Vec<PageIn> {
    let rows: Vec<(i64, Sample)> =
        samples.iter().filter(|(_, sample)| sample.0 == is_histogram).map(|(t, s)| (*t, *s)).collect();
    let column = Arc::new(rows.iter().map(|(t_ms, _)| *t_ms).collect::<Vec<_>>());
    let mut pages = Vec::new();
    for (idx, rows) in rows.chunks(rows_max).enumerate() {
        let times = TimesSlice {
            column: Arc::clone(&column),
            first: (idx * rows_max) as u32,
            len: rows.len() as u32,
        };
        let mut bytes = Vec::new();
        let kind = if is_histogram {
            let histograms: Vec<Histogram> = rows.iter().map(|(_, sample)| histogram(sample.1)).collect();
            page::encode_histograms(&histograms.iter().collect::<Vec<_>>(), &mut bytes);
            PageKind::Histograms
        } else {
            let values: Vec<f64> = rows.iter().map(|(_, sample)| sample.1 as f64 / 7.0).collect();
            page::encode_values(&values, &mut bytes);
            PageKind::Floats
        };
        pages.push(PageIn { times: times.clone(), kind, bytes });
        if rows.iter().any(|(_, sample)| sample.2 != 0) {
            let mut bytes = Vec::new();
            page::encode_starts(&rows.iter().map(|(_, sample)| sample.2).collect::<Vec<_>>(), &mut bytes);
            pages.push(PageIn { times, kind: PageKind::Starts, bytes });
        }
    }
    pages
}

fn write(dir: &Arc<dyn Dir>, content: &Content, rows_max: usize) -> String {
    let mut writer = BlockWriter::begin(Arc::clone(dir), "test").unwrap();
    for (labels, samples) in content {
        let mut pages = pages_of(samples, false, rows_max);
        pages.extend(pages_of(samples, true, rows_max));
        writer.add(labels, &pages).unwrap();
    }
    writer.finish(Compaction::default()).unwrap()
}

fn open(dir: &Arc<dyn Dir>, names: &[String]) -> Vec<Arc<Block>> {
    let cache = Arc::new(BlockCache::new(10_000, &Registry::new()));
    names.iter().map(|name| Arc::new(Block::open(dir, name, &cache).unwrap())).collect()
}

/// What `blocks` hold in `range`; a time in two of them is a failure.
fn read(blocks: &[Arc<Block>], matchers: &[Matcher], range: TimeRange) -> Content {
    let mut content = Content::new();
    for block in blocks {
        let mut set = block.select(matchers, range, &SelectHints::default()).unwrap();
        let mut last: Option<Labels> = None;
        while let Some(series) = set.next().unwrap() {
            assert!(last.as_ref().is_none_or(|last| *last < series.labels));
            last = Some(series.labels.clone());
            assert!(series.starts.is_empty() || series.starts.len() == series.values.len());
            let out = content.entry(series.labels.clone()).or_default();
            for (idx, t_ms) in series.timestamps.iter().enumerate() {
                let start_ms = series.starts.get(idx).copied().unwrap_or(0);
                let before = out.insert(*t_ms, (false, (series.values[idx] * 7.0).round() as u64, start_ms));
                assert!(before.is_none() && range.contains(*t_ms), "{t_ms}");
            }
            for sample in &series.histograms {
                assert_eq!(*sample.histogram, histogram(sample.histogram.count as u64));
                let before = out.insert(sample.t_ms, (true, sample.histogram.count as u64, sample.start_ms));
                assert!(before.is_none() && range.contains(sample.t_ms));
            }
        }
        assert!(!block.is_damaged(), "{:?}", block.take_damage());
    }
    content
}

/// Says where two contents differ first, since all of them is too long to read.
fn assert_same(found: &Content, expected: &Content, what: &str) {
    let flat = |content: &Content| -> Vec<(String, i64, Sample)> {
        let all = content
            .iter()
            .flat_map(|(labels, samples)| samples.iter().map(move |(t, s)| (labels.to_string(), *t, *s)));
        all.collect()
    };
    let (found, expected) = (flat(found), flat(expected));
    let same = found.iter().zip(&expected).take_while(|(a, b)| a == b).count();
    assert!(
        found.len() == expected.len() && same == found.len(),
        "{what}: {} samples, not {}; at {same}: {:?}, not {:?}",
        found.len(),
        expected.len(),
        found.get(same),
        expected.get(same)
    );
}

fn within(content: &Content, range: TimeRange) -> Content {
    let mut content = content.clone();
    content.values_mut().for_each(|samples| samples.retain(|t_ms, _| range.contains(*t_ms)));
    content.retain(|_, samples| !samples.is_empty());
    content
}

/// One series in one block: from when on, how many, how far apart, which are histograms, which have start timestamps.
type Stretch = (usize, i64, i64, i64, u64, u64);

fn stretch() -> impl Strategy<Value = Stretch> {
    (0usize..7, 0i64..3_000, 1i64..700, 1i64..4, 0u64..4, 0u64..3)
}

fn content_of(stretches: &[Stretch], block: u64) -> Content {
    let mut content = Content::new();
    for (series, from_ms, n, step_ms, histograms, starts) in stretches {
        let samples = content.entry(labels(*series)).or_default();
        for idx in 0..*n {
            let number = idx as u64 + block * 100_000;
            let is_histogram = *histograms == 1 && idx > n / 2 || *histograms == 2;
            let start_ms = if *starts == 1 { idx / 100 * 100 } else { 0 };
            samples.entry(from_ms + idx * step_ms).or_insert((is_histogram, number, start_ms));
        }
    }
    content
}

fn check(blocks: Vec<Vec<Stretch>>, rows_max: usize, cuts: &[i64], delete: (i64, i64)) {
    let dir: Arc<dyn Dir> = Arc::new(MemDir::new());
    let contents: Vec<Content> =
        (0u64..).zip(&blocks).map(|(idx, stretches)| content_of(stretches, idx)).collect();
    let names: Vec<String> = contents.iter().map(|content| write(&dir, content, rows_max)).collect();
    let sources = open(&dir, &names);
    let deleted = TimeRange::new(delete.0, delete.0 + delete.1);
    let victim = Matcher::equal("__name__", "metric_1");
    let mut expected = Content::new();
    for (mut content, source) in contents.into_iter().zip(&sources) {
        source.delete(&*dir, std::slice::from_ref(&victim), deleted).unwrap();
        for (labels, samples) in &mut content {
            samples.retain(|t_ms, _| !victim.matches_labels(labels) || !deleted.contains(*t_ms));
        }
        content.retain(|_, samples| !samples.is_empty());
        assert_same(&read(std::slice::from_ref(source), &[], TimeRange::ALL), &content, "source");
        let range = TimeRange::new(delete.0 - 100, delete.0 + 900);
        assert_same(&read(std::slice::from_ref(source), &[], range), &within(&content, range), "range");
        for (labels, samples) in content {
            let out = expected.entry(labels).or_default();
            samples.into_iter().for_each(|(t_ms, sample)| {
                out.entry(t_ms).or_insert(sample);
            });
        }
    }
    let merged = compact_blocks(&dir, &Job { blocks: &sources, cuts, keep_from: &|_| None }).unwrap();
    let merged = open(&dir, &merged);
    assert!(merged.len() <= cuts.len() + 1);
    assert_same(&read(&merged, &[], TimeRange::ALL), &expected, "merged");
    let mut few = expected.clone();
    few.retain(|labels, _| victim.matches_labels(labels));
    assert_same(&read(&merged, &[victim], TimeRange::ALL), &few, "few");
    for pair in merged.windows(2) {
        assert!(pair[0].range().end_ms < pair[1].range().start_ms);
    }
    assert!(dir.list(Path::new("")).unwrap().iter().all(|entry| !entry.name.ends_with(".tmp")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn merging_loses_nothing_and_the_first_sample_stays(
        blocks in proptest::collection::vec(proptest::collection::vec(stretch(), 1..8), 1..4),
        rows_max in proptest::sample::select(vec![7usize, 120, 300, 480]),
        mut cuts in proptest::collection::vec(0i64..4_000, 0..3),
        delete in (0i64..3_000, 0i64..2_000),
    ) {
        cuts.sort_unstable();
        cuts.dedup();
        check(blocks, rows_max, &cuts, delete);
    }
}

#[test]
fn small_neighbours_are_joined_and_large_pages_are_copied() {
    let dir: Arc<dyn Dir> = Arc::new(MemDir::new());
    let part = |idx: i64, n: i64| {
        content_of(&[(0, idx * 1_000, n, 1, 0, 0), (2, idx * 1_000, n, 1, 0, 0)], idx as u64)
    };
    for (n, expected) in [(120, 2 * 2), (240, 2 * 5), (480, 2 * 5)] {
        let names: Vec<String> = (0..5).map(|idx| write(&dir, &part(idx, n), 480)).collect();
        let sources = open(&dir, &names);
        let merged =
            compact_blocks(&dir, &Job { blocks: &sources, cuts: &[], keep_from: &|_| None }).unwrap();
        let merged = open(&dir, &merged).remove(0);
        assert_eq!(merged.index().toc().n_pages, expected, "{n} rows");
        // Both series share their columns.
        assert_eq!(u64::from(merged.index().toc().n_columns), expected / 2);
    }
}
