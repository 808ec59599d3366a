//! Any bytes are a chunk or are refused, without panic and without growing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::chunk::{Columns, SAMPLES_MAX, XorAppender, decode};

fuzz_target!(|bytes: &[u8]| {
    let mut out = Columns::default();
    if decode(bytes, &mut out).is_ok() {
        assert!(out.timestamps.len() <= SAMPLES_MAX && out.timestamps.len() == out.values.len());
        assert!(out.timestamps.windows(2).all(|pair| pair[0] < pair[1]));
    }
    let _ = XorAppender::resume(bytes);
});
