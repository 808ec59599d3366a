//! Any bytes are lines or errors with their numbers, which rise.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let mut last = 0;
    for (number, _) in wire::influx::Lines::new(body) {
        assert!(number > last);
        last = number;
    }
});
