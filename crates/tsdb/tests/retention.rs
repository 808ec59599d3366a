//! What is kept for how long: by percent of the disk, and by selector.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{BLOCK_MS, Content, START_MS, commit, labels, options, read_all};
use model::Matcher;
use stdx::MemDir;
use tsdb::{Db, Options, RetentionRule};

/// Six series, `n_blocks` block ranges; returns what was written.
fn fill(db: &Db, n_blocks: i64) -> Content {
    let mut content = Content::new();
    for step in 0..n_blocks * 10 {
        let t_ms = START_MS + step * BLOCK_MS / 10;
        let batch: Vec<(usize, f64)> =
            (0..6).map(|series| (series, ((step * 6 + series as i64) as f64).sin())).collect();
        commit(db, t_ms, &batch, &mut content).unwrap();
        db.maintain(t_ms).unwrap();
    }
    content
}

fn rule(matcher: Matcher, n_blocks: i64) -> RetentionRule {
    RetentionRule { matchers: vec![matcher], retention_ms: n_blocks * BLOCK_MS }
}

#[test]
fn series_are_kept_as_long_as_the_first_rule_that_fits_says() {
    let options = Options {
        retention_ms: BLOCK_MS * 30,
        retention_rules: vec![
            rule(Matcher::equal("instance", "host-1:9100"), 60),
            rule(Matcher::equal("__name__", "metric_1"), 8),
            rule(Matcher::equal("instance", "host-2:9100"), 0),
        ],
        ..options()
    };
    let (db, _) = Db::open(Arc::new(MemDir::new()), options, START_MS).unwrap();
    let content = fill(&db, 100);
    let found = read_all(&db);
    // Series, blocks to keep at least, blocks that may be kept since a larger block is not wholly too old.
    for (series, at_least, slack) in [(0, 30, 4), (1, 60, 4), (2, 100, 0), (3, 30, 4), (4, 8, 4), (5, 30, 4)]
    {
        let (all, kept) = (&content[&labels(series)], &found[&labels(series)]);
        let n_blocks = kept.len() as i64 / 10;
        assert!((at_least..=at_least + slack).contains(&n_blocks), "series {series}: {n_blocks} blocks");
        assert!(kept.iter().rev().zip(all.iter().rev()).all(|(a, b)| a == b), "series {series}");
    }
}

#[test]
fn limits_may_change_while_the_store_is_open() {
    let (db, _) = Db::open(Arc::new(MemDir::new()), options(), START_MS).unwrap();
    let content = fill(&db, 40);
    let now_ms = START_MS + 40 * BLOCK_MS;
    assert_eq!(read_all(&db), content);
    let limits = db.limits();
    let wrong = tsdb::Limits { retention_ms: -1, ..limits };
    assert_eq!(db.set_limits(wrong).unwrap_err().to_string(), "retention_ms must be zero or positive");
    assert_eq!(db.limits(), limits);
    db.set_limits(tsdb::Limits { retention_ms: BLOCK_MS * 8, ..limits }).unwrap();
    db.maintain(now_ms).unwrap();
    let n_blocks = read_all(&db)[&labels(0)].len() / 10;
    // As large as blocks had become, a block stays until all of it is too old.
    assert!((8..40).contains(&n_blocks), "{n_blocks}");
    // A limit of nothing leaves what is not sealed yet.
    db.set_limits(tsdb::Limits { retention_ms: 0, retention_bytes: 1, ..limits }).unwrap();
    db.maintain(now_ms).unwrap();
    assert!(read_all(&db)[&labels(0)].len() < n_blocks * 10);
}

#[test]
fn a_share_of_the_disk_is_a_limit() {
    let total_bytes = 400_000;
    for percent in [5.0, 2.0] {
        let dir = MemDir::new();
        dir.set_total_bytes(total_bytes);
        let options = Options { retention_percent: percent, ..options() };
        let (db, _) = Db::open(Arc::new(dir.clone()), options, START_MS).unwrap();
        let content = fill(&db, 40);
        let limit = (total_bytes as f64 * percent / 100.0) as u64;
        let used_bytes = total_bytes - stdx::Dir::space(&dir).unwrap().free_bytes;
        // What was written since the last maintenance comes on top.
        assert!(used_bytes < limit + 3_000, "{used_bytes} of {limit}");
        let found = read_all(&db);
        let (all, kept) = (&content[&labels(0)], &found[&labels(0)]);
        assert!(kept.len() < all.len() && kept.iter().rev().zip(all.iter().rev()).all(|(a, b)| a == b));
    }
    let options = Options { retention_percent: 101.0, ..options() };
    let err = Db::open(Arc::new(MemDir::new()), options, START_MS).map(|_| ()).unwrap_err();
    assert_eq!(err.to_string(), "retention_percent must be from 0 to 100");
}
