//! Any bytes are a position of a queue of remote write, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = remote::fuzz_position(bytes);
    // Past the checksum.
    let sealed = [bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat();
    let _ = remote::fuzz_position(&sealed);
});
