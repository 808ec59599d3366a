//! Any text as a rule file: read or refused with a place, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(errors) = rules::parse_file("fuzz.yml", text) {
        assert!(!errors.is_empty());
    }
});
