//! Any bytes are a segment of the alert history, as far as they go.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((n_lines, n_damaged)) = alertmanager::read_segment(bytes) {
        // Every line costs a newline.
        assert!(n_lines + usize::try_from(n_damaged).expect("few") <= bytes.len());
    }
});
