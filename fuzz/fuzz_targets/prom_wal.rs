//! Prometheus' write-ahead log: any bytes are refused or read.
#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use stdx::{Dir, MemDir};

fuzz_target!(|data: &[u8]| {
    let dir = MemDir::new();
    dir.create_dir_all(Path::new("wal")).expect("memory holds it");
    dir.create(Path::new("wal/000000")).and_then(|mut file| file.append(data)).expect("memory holds it");
    let _ = promdata::read_wal(&dir, Path::new(""), model::TimeRange::ALL);
    let _ = promdata::read_wal_beside(&dir, Path::new(""));
});
