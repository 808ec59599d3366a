//! Parameters of API requests: any URL and body give values or an error, and times stay within 64 bits.
#![no_main]

use api::{Params, parse_duration, parse_time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (String, Vec<u8>)| {
    let (query, body) = input;
    let params = Params::new(&query, &body);
    let _ = params.range();
    let _ = params.limit();
    let _ = params.matcher_sets();
    let _ = params.duration("timeout");
    let _ = parse_time(&query);
    let _ = parse_duration(&query);
});
