//! Flipped bits and missing files: the start succeeds, says what is wrong, and serves nothing that was not written.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{BLOCK_MS, Content, START_MS, commit, contains, open, read, read_all};
use model::TimeRange;
use stdx::{Dir, MemDir};
use storage::{Queryable, SelectHints};
use tsdb::Db;

/// A store with two blocks, a checkpoint, and a WAL of several segments.
fn store() -> (MemDir, Content) {
    let dir = MemDir::new();
    let (db, _) = open(Arc::new(dir.clone()));
    let mut content = Content::new();
    for step in 0..36i64 {
        let t_ms = START_MS + step * BLOCK_MS / 10;
        let batch: Vec<(usize, f64)> =
            (0..6).map(|series| (series, 0.1 + (step * series as i64) as f64)).collect();
        commit(&db, t_ms, &batch, &mut content).unwrap();
        db.maintain(t_ms).unwrap();
    }
    // Beyond the last checkpoint: several segments.
    for step in 0..120i64 {
        let batch: Vec<(usize, f64)> =
            (0..7).map(|series| (series, 0.1 + (step * series as i64) as f64)).collect();
        commit(&db, START_MS + 36 * BLOCK_MS / 10 + step * BLOCK_MS / 1_000, &batch, &mut content).unwrap();
    }
    db.close().unwrap();
    assert_eq!(read_all(&db), content);
    (dir, content)
}

fn files(dir: &MemDir, folder: &str) -> Vec<(PathBuf, usize)> {
    let path = Path::new(folder);
    let entries = dir.list(path).unwrap().into_iter().filter(|entry| !entry.is_dir);
    entries.map(|entry| (path.join(entry.name), entry.len_bytes as usize)).collect()
}

fn blocks(dir: &MemDir) -> Vec<String> {
    let entries = dir.list(Path::new("")).unwrap().into_iter();
    entries.map(|entry| entry.name).filter(|name| name.len() == 26).collect()
}

/// Reads everything; `None` when the store says it cannot.
fn try_read(db: &Db) -> Option<Content> {
    let mut set = db.select(&[], TimeRange::ALL, &SelectHints::default()).ok()?;
    let mut content = Content::new();
    while let Some(series) = set.next().ok()? {
        let samples = series.timestamps.iter().copied().zip(series.values.iter().map(|v| v.to_bits()));
        content.insert(series.labels, samples.collect());
    }
    Some(content)
}

#[test]
fn a_flipped_bit_in_the_wal_is_found_and_what_stands_before_it_is_kept() {
    let (dir, content) = store();
    let head_from = |db: &Db| TimeRange::new(db.stats(1).min_time_ms, i64::MAX);
    let files = files(&dir, "wal");
    assert!(files.len() >= 3, "{files:?}");
    for (file_idx, (path, len)) in files.iter().enumerate() {
        for at in (file_idx..*len).step_by(11) {
            let image = dir.kill_image();
            image.flip(path, at, 1 << (at % 8)).unwrap();
            let (db, report) = open(Arc::new(image.clone()));
            let told = !report.quarantined.is_empty() || report.torn_bytes > 0;
            assert!(told, "{} byte {at}: {report:?}", path.display());
            let found = read_all(&db);
            assert!(contains(&content, &found), "{} byte {at}", path.display());
            let is_segment = !path.to_string_lossy().contains("checkpoint");
            if is_segment && file_idx > 0 {
                let before = TimeRange::new(i64::MIN, head_from(&db).start_ms - 1);
                assert_eq!(read(&db, &[], before), {
                    let mut before_content = content.clone();
                    before_content.values_mut().for_each(|s| s.retain(|t_ms, _| before.contains(*t_ms)));
                    before_content.retain(|_, s| !s.is_empty());
                    before_content
                });
            }
            // The next start is clean, and what this one served is still there.
            drop(db);
            let (db, report) = open(Arc::new(image.kill_image()));
            assert!(report.warnings().is_empty(), "{:?}", report.warnings());
            assert_eq!(read_all(&db), found);
        }
    }
}

#[test]
fn a_flipped_bit_in_a_block_sets_it_aside_or_fails_the_query_but_never_lies() {
    let (dir, content) = store();
    let blocks = blocks(&dir);
    assert!(!blocks.is_empty());
    for block in &blocks {
        for (path, len) in files(&dir, block) {
            for at in (0..len).step_by(3) {
                let image = dir.kill_image();
                image.flip(&path, at, 1 << (at % 8)).unwrap();
                let (db, report) = open(Arc::new(image));
                let found = try_read(&db);
                match &found {
                    Some(found) => assert!(contains(&content, found), "{} byte {at}", path.display()),
                    None => assert!(path.ends_with("chunks"), "{} byte {at}", path.display()),
                }
                let whole = found.as_ref() == Some(&content);
                // Blanks and the version of the shape aside, every bit of a block counts.
                let counts = !path.ends_with("meta.json");
                assert!(!whole || !counts, "{} byte {at}: unnoticed", path.display());
                assert!(whole || found.is_none() || !report.quarantined.is_empty());
                // Maintenance goes on around it.
                db.maintain(START_MS + BLOCK_MS * 4).unwrap();
            }
        }
    }
}

#[test]
fn missing_and_foreign_files_are_no_reason_to_refuse() {
    let (dir, content) = store();
    let block = blocks(&dir).remove(0);
    for file in ["index", "chunks", "meta.json"] {
        let image = dir.kill_image();
        image.remove_file(&Path::new(&block).join(file)).unwrap();
        image.create_dir_all(Path::new("lost+found")).unwrap();
        image.create_dir_all(Path::new("01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp")).unwrap();
        image.create(Path::new("wal/notes.txt")).unwrap();
        let (db, report) = open(Arc::new(image.clone()));
        assert_eq!(report.quarantined.len(), 1, "{report:?}");
        assert!(contains(&content, &read_all(&db)));
        assert!(!image.exists(Path::new("01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp")));
        assert!(image.exists(Path::new("quarantine").join(&block).as_path()));
    }
}

#[test]
fn a_missing_segment_keeps_what_is_before_it() {
    let (dir, content) = store();
    let segments: Vec<_> =
        files(&dir, "wal").into_iter().filter(|(path, _)| !path.to_string_lossy().contains('-')).collect();
    for (path, _) in &segments[..segments.len() - 1] {
        let image = dir.kill_image();
        image.remove_file(path).unwrap();
        let (db, report) = open(Arc::new(image));
        assert!(!report.quarantined.is_empty());
        assert!(contains(&content, &read_all(&db)));
    }
}

#[test]
fn compaction_leaves_a_block_with_a_damaged_chunk_alone_and_says_so() {
    let dir = MemDir::new();
    let (db, _) = open(Arc::new(dir.clone()));
    let mut content = Content::new();
    let mut fill = |db: &Db, from: i64, to: i64| {
        let mut damaged = Vec::new();
        for step in from..to {
            let t_ms = START_MS + step * BLOCK_MS / 10;
            commit(db, t_ms, &[(0, step as f64), (1, 0.5)], &mut content).unwrap();
            damaged.extend(db.maintain(t_ms).unwrap().damaged);
        }
        damaged
    };
    assert!(fill(&db, 0, 26).is_empty());
    drop(db);
    let names = blocks(&dir);
    assert_eq!(names.len(), 2, "not merged yet: {names:?}");
    let image = dir.kill_image();
    image.flip(&Path::new(&names[0]).join("chunks"), 20, 4).unwrap();
    let (db, report) = open(Arc::new(image));
    assert!(report.warnings().is_empty(), "chunks are checked when read");
    let mut damaged = fill(&db, 26, 120);
    damaged.dedup();
    assert_eq!(damaged, names[..1]);
    // Everything later is served, and what is damaged is an error, not a gap.
    let later = TimeRange::new(START_MS + BLOCK_MS, i64::MAX);
    content.values_mut().for_each(|samples| samples.retain(|t_ms, _| later.contains(*t_ms)));
    assert_eq!(read(&db, &[], later), content);
    assert!(try_read(&db).is_none());
}
