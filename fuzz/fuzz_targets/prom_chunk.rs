//! Chunks of Prometheus' blocks: any bytes are refused or read.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (u8, &[u8])| {
    let (encoding, bytes) = data;
    let mut out = promdata::Decoded::default();
    let _ = promdata::decode_chunk(encoding % 8, bytes, &mut out);
    let series = out.into_series(model::Labels::empty());
    assert!(series.timestamps.is_sorted_by(|a, b| a < b), "what is handed on is in order");
});
