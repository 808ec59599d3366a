//! One behaviour, three directories: what engines may rely on.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Dir, DiskDir, Fault, FaultyDir, MemDir, SubDir};

fn check_contract(dir: &dyn Dir) {
    dir.create_dir_all(Path::new("a/b")).unwrap();
    let mut file = dir.create(Path::new("a/b/x")).unwrap();
    file.append(b"hello ").unwrap();
    file.append(b"world").unwrap();
    assert_eq!(file.len().unwrap(), 11);
    let mut buf = [0; 20];
    assert_eq!(file.read_at(&mut buf, 6).unwrap(), 5);
    assert_eq!(&buf[..5], b"world");
    file.truncate(5).unwrap();
    file.append(b"!").unwrap();
    assert_eq!(dir.read(Path::new("a/b/x")).unwrap(), b"hello!");
    dir.rename(Path::new("a/b"), Path::new("a/c")).unwrap();
    assert_eq!(dir.read(Path::new("a/c/x")).unwrap(), b"hello!");
    assert!(!dir.exists(Path::new("a/b")));
    let entries = dir.list(Path::new("a/c")).unwrap();
    assert_eq!((entries.len(), entries[0].len_bytes), (1, 6));
    assert_eq!(dir.open(Path::new("nope")).unwrap_err().kind(), io::ErrorKind::NotFound);
    let held = dir.lock(Path::new("lock")).unwrap();
    assert_eq!(dir.lock(Path::new("lock")).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(held);
    dir.lock(Path::new("lock")).unwrap();
    dir.write_atomic(Path::new("a/y"), b"1").unwrap();
    dir.write_atomic(Path::new("a/y"), b"2").unwrap();
    assert_eq!(dir.read(Path::new("a/y")).unwrap(), b"2");
    dir.link(Path::new("a/y"), Path::new("a/z")).unwrap();
    dir.write_atomic(Path::new("a/y"), b"3").unwrap();
    assert_eq!(dir.read(Path::new("a/z")).unwrap(), b"2", "replacing a name leaves the other one alone");
    let space = dir.space().unwrap();
    assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0);
    dir.remove_dir_all(Path::new("a")).unwrap();
    assert!(!dir.exists(Path::new("a/c/x")));
}

#[test]
fn disk_keeps_the_contract() {
    let tmp = tempfile::tempdir().unwrap();
    check_contract(&DiskDir::open(tmp.path()).unwrap());
}

#[test]
fn memory_keeps_the_contract() {
    check_contract(&MemDir::new());
}

#[test]
fn faulty_without_a_fault_keeps_the_contract() {
    let fault = Fault { first: u64::MAX, n_ops: 0, errno: 5 };
    check_contract(&FaultyDir::new(Arc::new(MemDir::new()), fault));
}

#[test]
fn power_loss_takes_what_was_not_synced() {
    let dir = MemDir::new();
    let mut file = dir.create(Path::new("kept")).unwrap();
    file.append(b"safe").unwrap();
    file.sync().unwrap();
    dir.sync_dir(Path::new("")).unwrap();
    file.append(b" lost").unwrap();
    dir.create(Path::new("unnamed")).unwrap().append(b"x").unwrap();

    let after = dir.power_loss_image();
    assert_eq!(after.read(Path::new("kept")).unwrap(), b"safe");
    assert!(!after.exists(Path::new("unnamed")));
    assert_eq!(dir.kill_image().read(Path::new("kept")).unwrap(), b"safe lost");
}

#[test]
fn a_full_disk_keeps_half_of_the_write() {
    let inner = MemDir::new();
    let dir = FaultyDir::new(Arc::new(inner.clone()), Fault { first: 2, n_ops: 1, errno: 28 });
    let mut file = dir.create(Path::new("x")).unwrap();
    file.append(b"aaaa").unwrap();
    assert_eq!(file.append(b"bbbb").unwrap_err().raw_os_error(), Some(28));
    assert_eq!(inner.read(Path::new("x")).unwrap(), b"aaaabb");
    assert_eq!(dir.n_ops(), 3);
}

#[test]
fn a_folder_keeps_the_contract_and_to_itself() {
    let parent = MemDir::new();
    let folder = SubDir::new(Arc::new(parent.clone()), "some/folder");
    folder.create_dir_all(Path::new("")).unwrap();
    check_contract(&folder);
    folder.create(Path::new("here")).unwrap();
    folder.sync_dir(Path::new("")).unwrap();
    assert!(parent.exists(Path::new("some/folder/here")) && !parent.exists(Path::new("here")));
}
