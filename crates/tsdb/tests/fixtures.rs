//! Stores written by earlier versions keep opening. `HINOMI_WRITE_FIXTURES=1` writes those of today, for a new version.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{BLOCK_MS, Content, START_MS, commit, open, read_all};
use stdx::{Dir, DiskDir, MemDir};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v2")
}

/// Copies a tree, so that opening changes no fixture.
fn copy(from: &dyn Dir, to: &dyn Dir, path: &Path) {
    for entry in from.list(path).unwrap() {
        let child = path.join(&entry.name);
        if entry.is_dir {
            to.create_dir_all(&child).unwrap();
            copy(from, to, &child);
        } else {
            to.create(&child).unwrap().append(&from.read(&child).unwrap()).unwrap();
        }
    }
}

/// What the fixture holds: two blocks of level 1 and 2, a checkpoint, a segment; every kind of value.
fn write(dir: &dyn Dir) -> Content {
    let memory = MemDir::new();
    let (db, _) = open(Arc::new(memory.clone()));
    let mut content = Content::new();
    for step in 0..100i64 {
        let t_ms = START_MS + step * BLOCK_MS / 10 + i64::from(step % 7 == 3);
        let batch = [
            (0, 42.5),
            (1, (step * 4096) as f64),
            (2, step as f64 / 100.0),
            (3, 1.0 / (1.0 + step as f64)),
            (4, if step % 20 < 19 { -0.0 } else { model::STALE_NAN }),
            (5, f64::from_bits(0x7ff8_0000_0000_0000 + step as u64 % 3)),
            (6, (step / 20) as f64),
        ];
        commit(&db, t_ms, &batch, &mut content).unwrap();
        if step == 93 {
            db.maintain(t_ms).unwrap();
        }
    }
    db.close().unwrap();
    copy(&memory, dir, Path::new(""));
    content
}

#[test]
fn stores_of_version_2_open_and_hold_what_was_written() {
    let disk = DiskDir::open(folder()).unwrap();
    let fresh = MemDir::new();
    let content = write(&fresh);
    if std::env::var_os("HINOMI_WRITE_FIXTURES").is_some() {
        copy(&fresh, &disk, Path::new(""));
    }
    let memory = MemDir::new();
    copy(&disk, &memory, Path::new(""));
    let (db, report) = open(Arc::new(memory));
    assert!(report.warnings().is_empty(), "{:?}", report.warnings());
    assert!(report.n_blocks >= 2 && report.n_segments >= 1, "{report:?}");
    assert_eq!(read_all(&db), content);
}

#[test]
fn the_same_samples_make_the_same_bytes() {
    let (a, b) = (MemDir::new(), MemDir::new());
    write(&a);
    write(&b);
    for entry in a.list(Path::new("")).unwrap().into_iter().filter(|entry| entry.name.len() == 26) {
        for file in ["index", "pages", "meta.json"] {
            let path = Path::new(&entry.name).join(file);
            assert_eq!(a.read(&path).unwrap(), b.read(&path).unwrap());
        }
    }
}
