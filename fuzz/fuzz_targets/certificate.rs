//! Any bytes are a certificate with names, or one without.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    let n_name_bytes: usize = net::certificate_names(der).iter().map(String::len).sum();
    // An address of 16 bytes takes 39 as text.
    assert!(n_name_bytes <= der.len() * 3);
});
