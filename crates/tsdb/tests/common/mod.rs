//! Shared by the integration tests: a small world of series, batches, and what a store answers.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use stdx::Dir;
use storage::{Appendable, Queryable, SelectHints, StorageError};
use tsdb::{Db, OpenReport, Options};

/// A short block range, so that few samples fill several blocks.
pub(crate) const BLOCK_MS: i64 = 60_000;
/// Where the tests' time begins: aligned to blocks.
pub(crate) const START_MS: i64 = 1_700_000_040_000 - 1_700_000_040_000 % BLOCK_MS;

/// What a store holds: labels → time → bits.
pub(crate) type Content = BTreeMap<Labels, BTreeMap<i64, u64>>;

/// Options with short blocks, early seals and small segments.
pub(crate) fn options() -> Options {
    Options {
        block_ms: BLOCK_MS,
        seal_ms: BLOCK_MS / 2,
        segment_bytes: 2_000,
        retention_ms: 0,
        ..Options::default()
    }
}

/// Opens with [`options`].
pub(crate) fn open(dir: Arc<dyn Dir>) -> (Db, OpenReport) {
    Db::open(dir, options(), START_MS).expect("the store opens")
}

/// Series `idx`: a metric name, a job and an instance.
pub(crate) fn labels(idx: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("metric_{}", idx % 3)),
        ("job", if idx.is_multiple_of(2) { "even".to_owned() } else { String::new() }),
        ("instance", format!("host-{idx}:9100")),
    ])
}

/// Commits one sample for each of the series; what was taken goes into `model` once the commit is acknowledged.
pub(crate) fn commit(
    db: &dyn Appendable,
    t_ms: i64,
    samples: &[(usize, f64)],
    model: &mut Content,
) -> Result<(), StorageError> {
    let mut appender = db.appender(t_ms);
    let mut taken = Vec::new();
    for (idx, value) in samples {
        if appender.append(None, &labels(*idx), t_ms, *value).is_ok() {
            taken.push((labels(*idx), value.to_bits()));
        }
    }
    let stats = appender.commit()?;
    assert_eq!(stats.n_samples as usize, taken.len());
    for (labels, bits) in taken {
        model.entry(labels).or_default().entry(t_ms).or_insert(bits);
    }
    Ok(())
}

/// Everything that matches, within `range`.
pub(crate) fn read(db: &dyn Queryable, matchers: &[Matcher], range: TimeRange) -> Content {
    let mut set = db.select(matchers, range, &SelectHints::default()).expect("select");
    let mut content = Content::new();
    let mut last: Option<Labels> = None;
    while let Some(series) = set.next().expect("next") {
        assert!(last.as_ref().is_none_or(|last| *last < series.labels), "sorted, each once");
        assert_eq!(series.timestamps.len(), series.values.len());
        assert!(series.timestamps.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(series.timestamps.iter().all(|t_ms| range.contains(*t_ms)));
        last = Some(series.labels.clone());
        let samples = series.timestamps.iter().copied().zip(series.values.iter().map(|v| v.to_bits()));
        content.insert(series.labels, samples.collect());
    }
    content
}

/// Everything.
pub(crate) fn read_all(db: &dyn Queryable) -> Content {
    read(db, &[], TimeRange::ALL)
}

/// Whether all of `small` is in `big`.
pub(crate) fn contains(big: &Content, small: &Content) -> bool {
    small.iter().all(|(labels, samples)| {
        big.get(labels).is_some_and(|have| samples.iter().all(|(t_ms, bits)| have.get(t_ms) == Some(bits)))
    })
}
