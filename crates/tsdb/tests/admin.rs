//! Deleting, cleaning and copying: what an operator may ask of a store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{BLOCK_MS, Content, START_MS, commit, labels, open, read_all};
use model::{Matcher, TimeRange};
use stdx::{Dir, MemDir};
use storage::Queryable;
use tsdb::Db;

/// Blocks and a head: six series with noise, over four block ranges.
fn store(dir: &MemDir) -> (Db, Content) {
    let (db, _) = open(Arc::new(dir.clone()));
    let mut content = Content::new();
    for step in 0..40i64 {
        let t_ms = START_MS + step * BLOCK_MS / 10;
        let batch: Vec<(usize, f64)> =
            (0..6).map(|series| (series, ((step * 6 + series as i64) as f64).sin())).collect();
        commit(&db, t_ms, &batch, &mut content).unwrap();
        db.maintain(t_ms).unwrap();
    }
    (db, content)
}

fn forget(content: &mut Content, matcher: &Matcher, range: TimeRange) {
    for (_, samples) in content.iter_mut().filter(|(labels, _)| matcher.matches_labels(labels)) {
        samples.retain(|t_ms, _| !range.contains(*t_ms));
    }
    content.retain(|_, samples| !samples.is_empty());
}

#[test]
fn deleted_samples_are_gone_for_readers_after_restarts_and_from_the_disk() {
    let dir = MemDir::new();
    let (db, mut content) = store(&dir);
    let hour =
        |from: i64, to: i64| TimeRange::new(START_MS + from * BLOCK_MS / 10, START_MS + to * BLOCK_MS / 10);
    let cases = [
        (Matcher::equal("instance", "host-1:9100"), hour(3, 4)),
        (Matcher::equal("instance", "host-1:9100"), hour(7, 25)),
        (Matcher::equal("__name__", "metric_2"), hour(0, 400)),
        (Matcher::equal("instance", "host-3:9100"), hour(38, 38)),
        (Matcher::equal("instance", "nobody"), hour(0, 400)),
    ];
    for (matcher, range) in cases {
        let n = db.delete_series(std::slice::from_ref(&matcher), range).unwrap();
        assert_eq!(n == 0, matcher.value == "nobody");
        forget(&mut content, &matcher, range);
        assert_eq!(read_all(&db), content, "{matcher}");
    }
    let names = |db: &Db| db.label_values("__name__", &[], TimeRange::ALL, usize::MAX).unwrap();
    assert_eq!(names(&db), ["metric_0", "metric_1"], "wholly deleted series are hidden");
    let (again, report) = open(Arc::new(dir.kill_image()));
    assert!(report.warnings().is_empty());
    assert_eq!(read_all(&again), content);
    assert_eq!(names(&again), ["metric_0", "metric_1"]);
    assert!(db.clean_tombstones().unwrap() > 0);
    assert_eq!(db.clean_tombstones().unwrap(), 0);
    assert_eq!(read_all(&db), content);
    let (again, report) = open(Arc::new(dir.kill_image()));
    assert!(report.warnings().is_empty());
    assert_eq!(read_all(&again), content);
    assert_eq!(names(&again), ["metric_0", "metric_1"]);
    // The store goes on.
    let t_ms = START_MS + BLOCK_MS * 5;
    commit(&db, t_ms, &[(2, 1.0)], &mut content).unwrap();
    assert_eq!(read_all(&db), content);
}

#[test]
fn everything_can_be_deleted() {
    let dir = MemDir::new();
    let (db, _) = store(&dir);
    db.delete_series(&[], TimeRange::ALL).unwrap();
    assert!(read_all(&db).is_empty());
    db.clean_tombstones().unwrap();
    assert!(db.block_metas().is_empty());
    let mut content = Content::new();
    commit(&db, START_MS + BLOCK_MS * 9, &[(0, 1.0)], &mut content).unwrap();
    assert_eq!(read_all(&db), content);
}

#[test]
fn a_snapshot_opens_as_a_store_and_stays_as_it_was() {
    let dir = MemDir::new();
    let (db, content) = store(&dir);
    let to = Path::new("snapshots/one");
    dir.create_dir_all(Path::new("snapshots")).unwrap();
    db.snapshot(to, true).unwrap();
    assert!(db.snapshot(to, true).is_err(), "it is there already");
    db.delete_series(&[Matcher::equal("instance", "host-1:9100")], TimeRange::ALL).unwrap();
    let copy = MemDir::new();
    for block in dir.list(to).unwrap() {
        let folder = to.join(&block.name);
        copy.create_dir_all(Path::new(&block.name)).unwrap();
        for file in dir.list(&folder).unwrap() {
            let bytes = dir.read(&folder.join(&file.name)).unwrap();
            copy.create(&Path::new(&block.name).join(&file.name)).unwrap().append(&bytes).unwrap();
        }
    }
    let (copied, report) = open(Arc::new(copy));
    assert!(report.warnings().is_empty());
    assert_eq!(read_all(&copied), content);
    assert!(!read_all(&db).contains_key(&labels(1)));
}
