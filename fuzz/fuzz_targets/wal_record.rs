//! Any payload is a record of the log or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = tsdb::wal::fuzz_record(bytes);
});
