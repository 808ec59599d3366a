//! Both logs behind their checksums: a store opens over any records, and what it serves is in order.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = tsdb::fuzz::log(bytes);
});
