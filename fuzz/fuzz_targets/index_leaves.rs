//! Sections of a block's index behind their checksums, the table of names and its counts among them: any bytes are refused or read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: ([u16; 3], [Vec<u8>; 6])| {
    let (counts, leaves) = input;
    let counts = counts.map(u32::from);
    let _ = tsdb::index::fuzz_leaves(counts, std::array::from_fn(|section| &leaves[section][..]));
});
