//! Any bytes are files of an Alertmanager's data directory, as far as they go.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (silences, _) = wire::alertmanager::silences(bytes);
    let (entries, _) = wire::alertmanager::notified(bytes);
    // No message is shorter than its length.
    assert!(silences.len() <= bytes.len() && entries.len() <= bytes.len());
});
