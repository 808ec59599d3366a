//! Any bytes as gzip: refused, or no longer than allowed; and what we compress comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 1 << 16;

fuzz_target!(|body: &[u8]| {
    if let Ok(text) = net::decompress::gunzip(body, LIMIT) {
        assert!(text.len() <= LIMIT);
    }
    let _ = net::decompress::decode("gzip", body.to_vec().into(), LIMIT);
});
