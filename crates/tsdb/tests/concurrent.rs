//! Writers, readers and maintenance at once, on a real disk: a reader sees all of a row or nothing of it, always in order.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use common::{BLOCK_MS, START_MS, options};
use model::{Labels, TimeRange};
use stdx::DiskDir;
use storage::{Appendable, Queryable, SelectHints};
use tsdb::Db;

const N_SERIES: usize = 20;
const N_BATCHES: i64 = 400;

/// Of one cohort, so that a batch is one row.
fn labels(series: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("metric_{series}")),
        ("job", "j".into()),
        ("instance", "i".into()),
    ])
}

fn write(db: &Db, acknowledged: &AtomicI64) {
    for batch in 0..N_BATCHES {
        let t_ms = START_MS + batch * BLOCK_MS / 12;
        let mut appender = db.appender(t_ms);
        for series in 0..N_SERIES {
            appender.append(None, &labels(series), t_ms, batch as f64).unwrap();
        }
        assert_eq!(appender.commit().unwrap().n_samples, N_SERIES as u64);
        acknowledged.store(batch + 1, Ordering::Release);
    }
}

/// One look at everything: every series has the same batches, all that were acknowledged before, none torn.
fn look(db: &Db, acknowledged: &AtomicI64) {
    let at_least = acknowledged.load(Ordering::Acquire);
    let mut set = db.select(&[], TimeRange::ALL, &SelectHints::default()).unwrap();
    let mut lengths = Vec::new();
    while let Some(series) = set.next().unwrap() {
        assert!(series.values.iter().enumerate().all(|(idx, value)| *value == idx as f64), "{series:?}");
        lengths.push(series.values.len());
    }
    assert!(lengths.iter().all(|len| *len == lengths[0]), "a torn batch: {lengths:?}");
    let n_seen = lengths.first().copied().unwrap_or(0) as i64;
    assert!(n_seen >= at_least, "saw {n_seen} of {at_least}");
    assert!(lengths.is_empty() || lengths.len() == N_SERIES);
}

#[test]
fn readers_see_whole_rows_while_blocks_are_cut_and_merged() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(DiskDir::open(folder.path()).unwrap());
    let (db, _) = Db::open(disk.clone(), options(), START_MS).unwrap();
    let (acknowledged, done) = (AtomicI64::new(0), AtomicBool::new(false));
    let (mut n_cut, mut n_compacted) = (0, 0);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::Acquire) {
                        look(&db, &acknowledged);
                    }
                })
            })
            .collect();
        let maintenance = scope.spawn(|| {
            let mut counts = (0, 0);
            while !done.load(Ordering::Acquire) {
                let report =
                    db.maintain(START_MS + acknowledged.load(Ordering::Acquire) * BLOCK_MS / 12).unwrap();
                counts = (counts.0 + report.cut.len(), counts.1 + report.compacted.len());
                db.sync().unwrap();
            }
            counts
        });
        let writer = scope.spawn(|| write(&db, &acknowledged));
        let written = writer.join();
        done.store(true, Ordering::Release);
        (n_cut, n_compacted) = maintenance.join().unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        written.unwrap();
    });
    // A slow disk leaves maintenance behind the writer.
    loop {
        let report = db.maintain(START_MS + N_BATCHES * BLOCK_MS / 12).unwrap();
        n_cut += report.cut.len();
        n_compacted += report.compacted.len();
        if report.cut.is_empty() && report.compacted.is_empty() {
            break;
        }
    }
    assert!(n_cut > 20, "{n_cut}");
    assert!(n_compacted > 0);
    look(&db, &acknowledged);
    drop(db);
    let (db, report) = Db::open(disk, options(), START_MS).unwrap();
    assert!(report.warnings().is_empty(), "{report:?}");
    look(&db, &acknowledged);
}
