//! Any bytes are an index or are refused; what opens can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = tsdb::index::fuzz_index(bytes);
});
