//! Looking and mending: a whole directory has no findings, a flipped bit anywhere has one, and after a repair everything that is whole is there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{BLOCK_MS, Content, START_MS, commit, contains, open, read_all};
use model::{Matcher, TimeRange};
use stdx::{Dir, DiskDir, MemDir, varint};
use tsdb::inspect::{self, AnalyzeOptions, Verification};
use tsdb::{Db, Options};

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
            assert!(contains(&content, &after), "{place}");
            let n_samples = |content: &Content| content.values().map(|samples| samples.len()).sum::<usize>();
            // Everything but pages and the log is there twice.
            if !path.ends_with("pages") && !path.starts_with("wal") {
                assert_eq!(after, content, "{place}");
            }
            if path.ends_with("pages") && at < 8 {
                assert_eq!(after, content, "{place}: the first bytes say nothing that is not known");
            }
            if path.ends_with("pages") && at >= 8 {
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

/// Sections of an index, in the order of its table of contents.
const SECTIONS: [&str; 6] =
    ["series", "pages of series", "columns", "label pairs", "postings", "label names"];

/// Where the parts of an index lie: each table, and the first leaf of each section (docs/formats/index.md).
fn parts(index: &[u8]) -> Vec<(String, Range<usize>)> {
    let toc = &index[index.len() - 224..];
    let mut parts = Vec::new();
    for (idx, name) in SECTIONS.iter().enumerate() {
        let field = |at: usize| u64::from_le_bytes(toc[idx * 20 + at..][..8].try_into().unwrap()) as usize;
        let table = field(0)..field(0) + field(8);
        parts.push((format!("table of {name}"), table.clone()));
        if *name != "label names" {
            let mut src = &index[table];
            let _n_entries = varint::get_u64(&mut src).unwrap();
            let at = varint::get_i64(&mut src).unwrap() as usize;
            parts.push((format!("leaf of {name}"), at..at + varint::get_u64(&mut src).unwrap() as usize));
        }
    }
    parts
}

/// A block's file, damaged in a way: `None` when it is gone.
fn damages(file: &str, bytes: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let zeroed = |from: usize, n: usize| {
        let mut bytes = bytes.to_vec();
        let to = (from + n).min(bytes.len());
        bytes[from..to].fill(0);
        Some(bytes)
    };
    let len = bytes.len();
    let of_parts = if file == "index" { parts(bytes) } else { Vec::new() };
    let of_parts = of_parts.into_iter().map(|(name, place)| (name, zeroed(place.start, place.len())));
    let whole = [
        ("header", zeroed(0, 8)),
        ("first page", zeroed(0, 512)),
        ("middle", zeroed(len / 2, 1)),
        ("middle page", zeroed(len / 4, len / 2)),
        ("trailer", zeroed(len.saturating_sub(100), 100)),
        ("truncated", Some(bytes[..len / 2].to_vec())),
        ("empty", Some(Vec::new())),
        ("missing", None),
    ];
    whole.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).chain(of_parts).collect()
}

#[test]
fn whatever_is_damaged_the_rest_is_served_and_repair_brings_back_what_is_whole() {
    let (dir, content) = store();
    let listing = inspect::list(&shared(&dir)).unwrap();
    let n_samples = |content: &Content| content.values().map(|samples| samples.len()).sum::<usize>();
    let mut lines = Vec::new();
    for block in &listing.blocks {
        for file in ["meta.json", "index", "index.copy", "pages", "tombstones", "tombstones.copy"] {
            let path = Path::new(&block.ulid).join(file);
            let Ok(bytes) = dir.read(&path) else { continue };
            for (kind, damaged) in damages(file, &bytes) {
                // Blocks of before have no copy of their deletions.
                if damaged.as_deref() == Some(&bytes[..]) || file == "tombstones.copy" && damaged.is_none() {
                    continue;
                }
                let place = format!("{file}, {kind}");
                let image = dir.kill_image();
                match &damaged {
                    Some(damaged) => image.create(&path).unwrap().append(damaged).unwrap(),
                    None => image.remove_file(&path).unwrap(),
                }
                assert!(!verify(&image).is_whole(), "{place}");
                let straight = image.kill_image();
                // What a start serves, and then a repair of what it set aside.
                let (db, report) = open(Arc::new(image.clone()));
                let served = read_all(&db);
                let told = db.maintain(START_MS).unwrap().damaged;
                // A page that no one read, since all in it is deleted, is not told yet; nor are copies that nothing asked for, and what
                // only other questions ask for.
                let is_told = !told.is_empty() || !report.quarantined.is_empty();
                assert!(
                    is_told || ["pages", "index", "index.copy"].contains(&file) && served == content,
                    "{place}"
                );
                assert!(contains(&content, &served), "{place}");
                drop(db);
                let mut repaired = Vec::new();
                for image in [image, straight] {
                    inspect::repair(&shared(&image), false, START_MS, &mut |_| {}).unwrap();
                    let found = verify(&image);
                    assert!(found.is_whole(), "{place}: {:?}", found.findings);
                    // Nothing is deleted: what was damaged is still somewhere.
                    let all = files(&image, Path::new(""));
                    let kept = all.iter().any(|(path, _)| Some(image.read(path).unwrap()) == damaged);
                    assert!(kept || damaged.is_none() || !is_told, "{place}");
                    let again = inspect::repair(&shared(&image), true, START_MS, &mut |_| {}).unwrap();
                    assert_eq!(again.steps, Vec::<String>::new(), "{place}");
                    let (db, report) = open(Arc::new(image));
                    assert!(report.quarantined.is_empty(), "{place}: {report:?}");
                    repaired.push(read_all(&db));
                }
                assert_eq!(repaired[0], repaired[1], "{place}: also of what a start set aside");
                let after = &repaired[0];
                // Of an index as small as these, everything has a copy.
                if file != "pages" || kind == "header" {
                    assert!(served == content && *after == content, "{place}");
                }
                assert!(contains(&content, after) && contains(after, &served), "{place}");
                lines.push((place, n_samples(&served), n_samples(after)));
            }
        }
    }
    for (place, served, after) in &lines {
        println!("{place}: of {} samples served {served}, after repair {after}", n_samples(&content));
    }
    assert!(lines.len() > 200, "{}", lines.len());
}

#[test]
fn what_is_stored_can_be_looked_at_without_a_lock_and_without_a_change() {
    let (dir, content) = store();
    let before = files(&dir, Path::new(""));
    let look = |dir: &MemDir| Db::open_to_look(&shared(dir), &Options::default()).unwrap();
    let (seen, report) = look(&dir);
    assert_eq!((read_all(&seen), report.warnings()), (content.clone(), Vec::new()));
    assert!(commit(&seen, START_MS + 6 * BLOCK_MS, &[(0, 1.0)], &mut Content::new()).is_err());
    assert!(seen.maintain(START_MS).is_err() && seen.delete_series(&[], TimeRange::ALL).is_err());
    assert!(seen.snapshot(Path::new("copy"), true).is_err());
    drop(seen);
    assert_eq!(files(&dir, Path::new("")), before);
    // Beside one that has the lock, with what it has not synced.
    let (db, _) = open(Arc::new(dir.clone()));
    let mut content = content;
    commit(&db, START_MS + 211 * BLOCK_MS / 40, &[(3, 2.5)], &mut content).unwrap();
    assert_eq!(read_all(&look(&dir).0), content);
    drop(db);
    // Damage is told, and left where it is.
    let block = inspect::list(&shared(&dir)).unwrap().blocks[0].ulid.clone();
    for file in ["index", "index.copy"] {
        dir.remove_file(&Path::new(&block).join(file)).unwrap();
    }
    let before = files(&dir, Path::new(""));
    let (seen, report) = look(&dir);
    assert!(report.warnings()[0].contains(&block), "{report:?}");
    assert!(contains(&content, &read_all(&seen)));
    assert_eq!(files(&dir, Path::new("")), before);
    // An empty folder is an empty store.
    let empty = MemDir::new();
    assert!(read_all(&look(&empty).0).is_empty() && files(&empty, Path::new("")).is_empty());
}
