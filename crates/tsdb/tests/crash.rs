//! What is left after `kill -9`, after power loss, and after a disk that failed at any one operation.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{BLOCK_MS, Content, START_MS, commit, contains, open, options, read_all};
use stdx::dir::Fault;
use stdx::{Dir, FaultyDir, MemDir};
use tsdb::{Db, Durability, Options};

/// Segments so small that most commits begin one.
fn small_segments(durability: Durability) -> Options {
    Options { segment_bytes: 150, durability, ..options() }
}

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

/// What a run had acknowledged, and what of it had been synced.
#[derive(Debug, Default, Clone)]
struct Promise {
    acknowledged: Content,
    synced: Content,
    /// Everything that was ever tried.
    tried: Content,
    n_failures: usize,
}

/// A short life: commits, syncs and maintenance over a few block ranges. Failures are noted and lived with.
fn live(db: &Db, promise: &mut Promise, n_steps: i64, mut after: impl FnMut(&Promise)) {
    for step in 0..n_steps {
        let t_ms = START_MS + step * BLOCK_MS / 4;
        let batch: Vec<(usize, f64)> =
            (0..4).map(|series| (series, (step * 10) as f64 + series as f64 / 3.0)).collect();
        for (series, value) in &batch {
            promise.tried.entry(common::labels(*series)).or_default().insert(t_ms, value.to_bits());
        }
        let done = commit(db, t_ms, &batch, &mut promise.acknowledged);
        promise.n_failures += usize::from(done.is_err());
        after(promise);
        if step % 3 == 0 {
            match db.sync() {
                Ok(()) => promise.synced = promise.acknowledged.clone(),
                Err(_) => promise.n_failures += 1,
            }
            after(promise);
        }
        if step % 2 == 0 {
            promise.n_failures += usize::from(db.maintain(t_ms).is_err());
            after(promise);
        }
    }
}

/// A start finds all of `must`, and nothing that was never written; it serves writers again.
fn check_image(image: MemDir, must: &Content, tried: &Content, what: &str) {
    let (db, report) = open(Arc::new(image));
    assert!(report.quarantined.is_empty(), "{what}: {:?}", report.warnings());
    let found = read_all(&db);
    assert!(contains(&found, must), "{what}: lost something\nfound {found:?}\nneeded {must:?}");
    assert!(contains(tried, &found), "{what}: made something up");
    let mut later = Content::new();
    commit(&db, START_MS + BLOCK_MS * 50, &[(0, 1.0), (9, 2.0)], &mut later).unwrap();
    assert!(contains(&read_all(&db), &later), "{what}");
}

#[test]
fn after_every_operation_what_was_acknowledged_survives_a_kill_and_what_was_synced_power_loss() {
    let dir = MemDir::new();
    let (db, _) = Db::open(Arc::new(dir.clone()), small_segments(Durability::Interval), START_MS).unwrap();
    let mut promise = Promise::default();
    live(&db, &mut promise, 40, |promise| {
        check_image(dir.kill_image(), &promise.acknowledged, &promise.tried, "kill");
        check_image(dir.power_loss_image(), &promise.synced, &promise.tried, "power loss");
    });
    assert_eq!(promise.n_failures, 0);
}

#[test]
fn a_strict_commit_survives_power_loss() {
    let dir = MemDir::new();
    let options = Options { durability: Durability::Strict, ..options() };
    let (db, _) = Db::open(Arc::new(dir.clone()), options, START_MS).unwrap();
    let mut promise = Promise::default();
    live(&db, &mut promise, 20, |promise| {
        check_image(dir.power_loss_image(), &promise.acknowledged, &promise.tried, "power loss");
    });
}

#[test]
fn a_batch_committed_and_synced_survives_power_loss_whoever_else_syncs() {
    let dir = MemDir::new();
    let (db, _) = Db::open(Arc::new(dir.clone()), small_segments(Durability::Interval), START_MS).unwrap();
    let (synced, tried) = (parking_lot::Mutex::new(Content::new()), parking_lot::Mutex::new(Content::new()));
    let write = |series: usize| {
        for step in 0..30 {
            let t_ms = START_MS + step;
            let mut batch = Content::new();
            let bits = (step as f64).to_bits();
            tried.lock().entry(common::labels(series)).or_default().insert(t_ms, bits);
            commit(&db, t_ms, &[(series, step as f64)], &mut batch).unwrap();
            storage::Appendable::sync(&db).unwrap();
            synced.lock().entry(common::labels(series)).or_default().insert(t_ms, bits);
        }
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4).map(|series| scope.spawn(move || write(series))).collect();
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let promised = synced.lock().clone();
            let image = dir.power_loss_image();
            let may_be_there = tried.lock().clone();
            check_image(image, &promised, &may_be_there, "power loss");
        }
    });
    check_image(dir.power_loss_image(), &synced.lock(), &tried.lock(), "power loss");
}

/// Runs the short life on a disk that fails from operation `first` on, `n_ops` times. Returns how many there were.
fn run_with_fault(first: u64, n_ops: u64, errno: i32, durability: Durability) -> u64 {
    let what = format!("fault {errno} at {first}, {n_ops} times");
    let inner = MemDir::new();
    let dir = FaultyDir::new(Arc::new(inner.clone()), Fault { first, n_ops, errno });
    let mut promise = Promise::default();
    let opened = Db::open(Arc::new(dir.clone()), small_segments(durability), START_MS);
    if let Ok((db, _)) = opened {
        live(&db, &mut promise, 16, |_| {});
        assert!(contains(&read_all(&db), &promise.acknowledged), "{what}: acknowledged and not visible");
        assert!(contains(&promise.acknowledged, &read_all(&db)), "{what}: visible and not acknowledged");
        if n_ops < 5 {
            assert!(promise.n_failures <= n_ops as usize + 2, "{what}: {} failures", promise.n_failures);
            // The disk is well again: everything works.
            let late_ms = START_MS + BLOCK_MS * 40;
            let again = |what: &mut dyn FnMut() -> bool| assert!((0..=n_ops).any(|_| what()));
            again(&mut || commit(&db, late_ms, &[(0, 5.0)], &mut promise.tried).is_ok());
            again(&mut || db.maintain(late_ms).is_ok());
            again(&mut || db.sync().is_ok());
            let synced = read_all(&db);
            check_image(inner.power_loss_image(), &synced, &promise.tried, &what);
        }
    }
    check_image(inner.kill_image(), &promise.acknowledged, &promise.tried, &what);
    check_image(inner.power_loss_image(), &promise.synced, &promise.tried, &what);
    dir.n_ops()
}

#[test]
fn a_fault_at_any_operation_loses_nothing_acknowledged() {
    let n_ops = run_with_fault(u64::MAX, 1, EIO, Durability::Interval);
    assert!(n_ops > 100, "{n_ops}");
    for first in 0..n_ops {
        for (n, errno) in [(1, ENOSPC), (2, EIO), (4, EIO), (u64::MAX, ENOSPC)] {
            run_with_fault(first, n, errno, Durability::Interval);
        }
        run_with_fault(first, 1, EIO, Durability::Strict);
    }
    println!(
        "{} lives, each with a fault elsewhere, each killed and cut from power: nothing lost",
        5 * n_ops
    );
}

#[test]
fn what_a_killed_process_left_unsynced_is_synced_by_the_next_one() {
    let dir = MemDir::new();
    let mut content = Content::new();
    let (db, _) = open(Arc::new(dir.clone()));
    commit(&db, START_MS, &[(0, 1.0), (1, 2.0)], &mut content).unwrap();
    // Dropped without closing, as a kill does; the files go on being the same ones.
    drop(db);
    let (db, _) = open(Arc::new(dir.clone()));
    commit(&db, START_MS + 1, &[(0, 3.0)], &mut content).unwrap();
    db.sync().unwrap();
    check_image(dir.power_loss_image(), &content, &content, "power loss after a kill");
}

#[test]
fn a_second_server_is_refused() {
    let dir: Arc<dyn Dir> = Arc::new(MemDir::new());
    let (first, _) = open(Arc::clone(&dir));
    let err = Db::open(Arc::clone(&dir), options(), START_MS).map(|_| ()).unwrap_err();
    assert!(matches!(err, tsdb::TsdbError::Locked { .. }), "{err}");
    first.close().unwrap();
    let err = commit(&first, START_MS, &[(0, 1.0)], &mut Content::new()).unwrap_err();
    assert!(matches!(err, storage::StorageError::Closed));
    open(dir);
}

#[test]
fn a_kill_right_after_a_fault_loses_nothing_acknowledged() {
    let small_life = |first: u64| {
        let inner = MemDir::new();
        let fault = Fault { first, n_ops: 1, errno: EIO };
        let dir = FaultyDir::new(Arc::new(inner.clone()), fault);
        let mut promise = Promise::default();
        if let Ok((db, _)) = Db::open(Arc::new(dir.clone()), small_segments(Durability::Interval), START_MS) {
            live(&db, &mut promise, 8, |promise| {
                check_image(inner.kill_image(), &promise.acknowledged, &promise.tried, "kill after a fault");
                check_image(
                    inner.power_loss_image(),
                    &promise.synced,
                    &promise.tried,
                    "power loss after a fault",
                );
            });
        }
        dir.n_ops()
    };
    let n_ops = small_life(u64::MAX);
    for first in 0..n_ops {
        small_life(first);
    }
}

#[test]
fn after_a_failed_sync_everything_is_written_anew() {
    let has_block = |dir: &MemDir| {
        let entries = dir.list(std::path::Path::new("")).unwrap();
        entries.iter().any(|entry| entry.name.len() == 26)
    };
    let mut n_seen = 0;
    for first in 0..30 {
        let inner = MemDir::new();
        let dir = FaultyDir::new(Arc::new(inner.clone()), Fault { first, n_ops: 1, errno: EIO });
        let Ok((db, _)) = Db::open(Arc::new(dir), options(), START_MS) else { continue };
        let mut content = Content::new();
        if commit(&db, START_MS, &[(0, 1.0)], &mut content).is_err() || db.sync().is_ok() {
            continue;
        }
        n_seen += 1;
        assert!(!has_block(&inner));
        db.sync().unwrap();
        assert!(has_block(&inner), "what the system still holds is not trusted");
        check_image(inner.power_loss_image(), &content, &content, "after a failed sync");
    }
    assert_eq!(n_seen, 2, "the series log's sync and the rows'");
}

#[test]
fn a_start_on_a_full_disk_serves_what_is_there_and_takes_more_once_there_is_room() {
    for n_steps in [1, 4, 16] {
        let (disk, is_full) = (MemDir::new(), Arc::new(AtomicBool::new(false)));
        let dir = FaultyDir::full_while(Arc::new(disk.clone()), Arc::clone(&is_full));
        let open = || Db::open(Arc::new(dir.clone()), small_segments(Durability::Interval), START_MS);
        let mut promise = Promise::default();
        {
            let (db, _) = open().unwrap();
            live(&db, &mut promise, n_steps, |_| {});
            is_full.store(true, Ordering::SeqCst);
            // The last commit is torn in the middle.
            assert!(commit(&db, START_MS + BLOCK_MS * 30, &[(0, 5.0)], &mut promise.tried).is_err());
        }
        for _ in 0..2 {
            let (db, report) = open().unwrap();
            assert!(report.quarantined.is_empty(), "{report:?}");
            assert_eq!(read_all(&db), promise.acknowledged, "{n_steps} steps");
            let t_ms = START_MS + BLOCK_MS * 31;
            assert!(commit(&db, t_ms, &[(0, 5.0)], &mut Content::new()).is_err());
            assert_eq!(read_all(&db), promise.acknowledged, "{n_steps} steps");
        }
        let (db, _) = open().unwrap();
        is_full.store(false, Ordering::SeqCst);
        let t_ms = START_MS + BLOCK_MS * 32;
        for step in 0..3 {
            commit(&db, t_ms + step, &[(0, 7.0), (5, 1.0)], &mut promise.acknowledged).unwrap();
        }
        db.sync().unwrap();
        let image = disk.power_loss_image();
        check_image(image, &promise.acknowledged, &promise.acknowledged, "synced after the disk was full");
        db.maintain(t_ms + BLOCK_MS * 3).unwrap();
        assert_eq!(read_all(&db), promise.acknowledged);
        check_image(disk.kill_image(), &promise.acknowledged, &promise.acknowledged, "the disk was full");
    }
}
