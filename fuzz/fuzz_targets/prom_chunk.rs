//! Chunks of Prometheus' blocks: any bytes are refused or read.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (u8, &[u8])| {
    let (encoding, bytes) = data;
    let _ = promdata::decode_chunk(encoding % 5, bytes, &mut promdata::Decoded::default());
});
