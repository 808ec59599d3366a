//! Looking and mending: a whole directory has no findings, a flipped bit anywhere has one, and after a repair everything that is whole is there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{BLOCK_MS, Content, START_MS, commit, contains, open, read_all};
use model::{Matcher, TimeRange};
use stdx::{Dir, DiskDir, MemDir};
use tsdb::inspect::{self, AnalyzeOptions, Verification};

/// Blocks, and a log behind them. Two series have deletions.
fn store() -> (MemDir, Content) {
    let dir = MemDir::new();
    let (db, _) = open(Arc::new(dir.clone()));
    let mut content = Content::new();
    for step in 0..200i64 {
        let t_ms = START_MS + step * BLOCK_MS / 40;
        let batch: Vec<(usize, f64)> =
            (0..6).map(|series| (series, (0.1 + (step * series as i64) as f64).sin())).collect();
        commit(&db, t_ms, &batch, &mut content).unwrap();
        db.maintain(t_ms).unwrap();
    }
    let gone = TimeRange::new(START_MS, START_MS + BLOCK_MS);
    db.delete_series(&[Matcher::equal("__name__", "metric_2")], gone).unwrap();
    for (labels, samples) in &mut content {
        samples.retain(|t_ms, _| labels.metric_name() != "metric_2" || !gone.contains(*t_ms));
    }
    for step in 200..210i64 {
        let batch: Vec<(usize, f64)> = (0..7).map(|series| (series, step as f64)).collect();
        commit(&db, START_MS + step * BLOCK_MS / 40, &batch, &mut content).unwrap();
    }
    db.close().unwrap();
    assert_eq!(read_all(&db), content);
    (dir, content)
}

fn shared(dir: &MemDir) -> Arc<dyn Dir> {
    Arc::new(dir.clone())
}

fn verify(dir: &MemDir) -> Verification {
    inspect::verify(&shared(dir), &mut |_| {}).unwrap()
}

/// Every file below `folder`, with its length.
fn files(dir: &MemDir, folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut out = Vec::new();
    for entry in dir.list(folder).unwrap() {
        let path = folder.join(&entry.name);
        if entry.is_dir {
            out.extend(files(dir, &path));
        } else {
            out.push((path, entry.len_bytes));
        }
    }
    out
}

#[test]
fn a_whole_directory_has_no_findings_and_its_numbers_add_up() {
    let (dir, content) = store();
    let before = files(&dir, Path::new(""));
    let found = verify(&dir);
    assert_eq!(found.findings, []);
    let listing = inspect::list(&shared(&dir)).unwrap();
    assert!(listing.blocks.len() > 1 && listing.unreadable.is_empty() && !listing.in_use, "{listing:?}");
    let n_stored: u64 = listing.blocks.iter().map(|block| block.n_samples).sum();
    assert_eq!(found.n_samples, n_stored);
    let log = listing.log.unwrap();
    assert_eq!((log.n_series, log.n_damaged), (7, 0));
    assert!(n_stored + log.n_samples >= content.values().map(|samples| samples.len() as u64).sum());
    let all = AnalyzeOptions { matchers: &[], block: None, limit: 10 };
    let analysis = inspect::analyze(&shared(&dir), &all).unwrap();
    assert_eq!((analysis.n_series, analysis.n_samples, analysis.n_label_names), (6, n_stored, 3));
    let of_metric =
        |name: &str| analysis.series_by_metric_name.iter().find(|c| c.name == name).map(|c| c.value);
    assert_eq!((of_metric("metric_0"), of_metric("metric_9")), (Some(2), None));
    assert_eq!(analysis.values_by_label_name[0].name, "instance");
    let sizes: u64 = listing.blocks.iter().map(|block| block.size_bytes).sum();
    // Magic numbers and heads of files are counted with no part.
    let parts: u64 = analysis.bytes.iter().map(|part| part.bytes).sum();
    assert!(parts <= sizes && sizes - parts < 512 * listing.blocks.len() as u64, "{parts} of {sizes}");
    let some = [Matcher::equal("__name__", "metric_1")];
    let some = AnalyzeOptions { matchers: &some, block: Some(&listing.blocks[0].ulid), limit: 1 };
    let analysis = inspect::analyze(&shared(&dir), &some).unwrap();
    assert_eq!((analysis.n_series, analysis.blocks.len(), analysis.series_by_label_pair.len()), (2, 1, 1));
    let missing = AnalyzeOptions { matchers: &[], block: Some("01BX5ZZKBKACTAV9WEVGEMMVRZ"), limit: 1 };
    assert!(inspect::analyze(&shared(&dir), &missing).is_err());
    // Looking changes nothing.
    assert_eq!(files(&dir, Path::new("")), before);
}

#[test]
fn every_flipped_bit_is_found_and_repaired() {
    let (dir, content) = store();
    let all: Vec<(PathBuf, u64)> =
        files(&dir, Path::new("")).into_iter().filter(|(path, _)| !path.ends_with("lock")).collect();
    assert!(all.len() > 8, "{all:?}");
    for (idx, (path, len)) in all.iter().enumerate() {
        for at in (idx as u64 % 7..*len).step_by(37) {
            let at = at as usize;
            let image = dir.kill_image();
            image.flip(path, at, 1 << (at % 8)).unwrap();
            let found = verify(&image);
            let place = format!("{} byte {at}", path.display());
            if found.findings.is_empty() {
                // White space and numbers that no one reads.
                assert!(path.ends_with("meta.json"), "{place}");
                continue;
            }
            let torn = found.is_whole();
            assert!(!torn || path.starts_with("wal"), "{place}: {:?}", found.findings);
            let planned = inspect::repair(&shared(&image), true, START_MS, &mut |_| {}).unwrap();
            assert_eq!(planned.findings, found.findings, "{place}");
            let done = inspect::repair(&shared(&image), false, START_MS, &mut |_| {}).unwrap();
            assert_eq!(done.steps.is_empty(), torn, "{place}: {done:?}");
            assert!(verify(&image).is_whole(), "{place}: {:?}", verify(&image).findings);
            let (db, report) = open(Arc::new(image));
            assert!(report.quarantined.is_empty(), "{place}: {report:?}");
            let after = read_all(&db);
            // Deletions that were damaged bring samples back.
            if !path.ends_with("tombstones") {
                assert!(contains(&content, &after), "{place}");
            } else {
                assert!(contains(&after, &content), "{place}");
            }
            let n_samples = |content: &Content| content.values().map(|samples| samples.len()).sum::<usize>();
            if path.ends_with("meta.json") {
                assert_eq!(n_samples(&after), n_samples(&content), "{place}");
            }
            if path.ends_with("pages") && at > 8 {
                // One page at most, of forty rows.
                assert!(n_samples(&after) + 240 >= n_samples(&content), "{place}");
                let finding = &found.findings[0];
                assert!(finding.offset.is_some() && finding.meaning.contains("lost"), "{place}: {finding:?}");
            }
        }
    }
}

#[test]
fn a_directory_in_use_can_be_looked_at_but_not_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let dir: Arc<dyn Dir> = Arc::new(DiskDir::open(folder.path()).unwrap());
    let (db, _) = open(Arc::clone(&dir));
    for step in 0..80i64 {
        let t_ms = START_MS + step * BLOCK_MS / 40;
        commit(&db, t_ms, &[(1, 0.5), (2, step as f64)], &mut Content::new()).unwrap();
        db.maintain(t_ms).unwrap();
    }
    let found = inspect::verify(&dir, &mut |_| {}).unwrap();
    assert!(found.in_use && found.is_whole() && found.n_blocks > 0, "{found:?}");
    assert!(inspect::list(&dir).unwrap().in_use);
    let err = inspect::repair(&dir, false, START_MS, &mut |_| {}).unwrap_err();
    assert!(err.to_string().contains("in use by another process"), "{err}");
    assert!(inspect::repair(&dir, true, START_MS, &mut |_| {}).unwrap().steps.is_empty());
    drop(db);
}

#[test]
fn what_an_interrupted_write_left_is_removed() {
    let (dir, content) = store();
    dir.create_dir_all(Path::new("import.tmp")).unwrap();
    let found = verify(&dir);
    assert!(found.is_whole() && found.findings[0].file == "import.tmp", "{found:?}");
    let done = inspect::repair(&shared(&dir), false, START_MS, &mut |_| {}).unwrap();
    assert_eq!(done.steps, ["removed import.tmp"]);
    let (db, _) = open(Arc::new(dir));
    assert_eq!(read_all(&db), content);
}
