//! The configuration file: any text gives a configuration or errors with a place, and never a secret in what is shown.
#![no_main]

// The binary has no library; its configuration module stands by itself.
#[allow(dead_code, reason = "only reading is fuzzed")]
#[path = "../../crates/hinomi/src/config/mod.rs"]
mod config;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let disk = stdx::MemDir::new();
    let _ = config::Config::parse("fuzz.yml", text, std::path::Path::new(""), &disk);
});
