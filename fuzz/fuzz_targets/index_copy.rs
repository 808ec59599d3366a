//! Any bytes are copies of an index or are refused; what they say is read without going outside of them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, u16, &[u8])| {
    let (offset, len, bytes) = input;
    let _ = tsdb::index::fuzz_twin(bytes, offset, len);
});
