//! A block's `meta.json` and the state of roll-ups: any bytes are refused or read, and what is read can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = tsdb::fuzz::meta(bytes);
});
