//! Rows of roll-ups, as they may stand in a damaged block, are served for every function without panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tsdb::fuzz::roll_up(bytes));
