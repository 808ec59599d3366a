//! Any text is a list of matchers or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = alertmanager::parse_matchers(text);
    let _ = alertmanager::parse_matcher(text);
});
