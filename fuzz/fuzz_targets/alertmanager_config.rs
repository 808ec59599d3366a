//! Any text is a configuration or an error with a place; what is shown of it can be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(config) = alertmanager::Config::parse("fuzz.yml", text) {
        let shown = config.masked_yaml();
        assert!(alertmanager::Config::parse("shown.yml", shown).is_ok(), "{shown}");
    }
});
