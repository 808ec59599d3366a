//! Any bytes are tombstones or are refused; what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = tsdb::fuzz_tombstones(bytes);
});
