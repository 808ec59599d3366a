//! Prometheus' blocks, behind their checksums: any symbols, series, chunks, tombstones and `meta.json` are refused or read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|parts: [Vec<u8>; 5]| {
    let _ = promdata::fuzz_block(std::array::from_fn(|part| &parts[part][..]));
});
