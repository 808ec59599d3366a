//! Any bytes are a page of times or are refused, without panic and without growing; every time and start comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::page::{ROWS_MAX, decode_starts, decode_times, encode_starts, encode_times};

fuzz_target!(|bytes: &[u8]| {
    let mut out = Vec::new();
    if decode_times(bytes, &mut out).is_ok() {
        assert!(out.is_sorted_by(|a, b| a < b));
    }
    assert!(out.len() <= ROWS_MAX);

    let starts: Vec<i64> = bytes
        .chunks_exact(9)
        .take(ROWS_MAX)
        .map(|chunk| i64::from_le_bytes(chunk[1..].try_into().expect("eight bytes")) >> (chunk[0] % 64))
        .collect();
    let (mut page, mut back) = (Vec::new(), Vec::new());
    encode_starts(&starts, &mut page);
    decode_starts(&page, &mut back).expect("what was encoded decodes");
    assert_eq!(back, starts);

    let mut times = starts;
    times.sort_unstable();
    times.dedup();
    let (mut page, mut back) = (Vec::new(), Vec::new());
    encode_times(&times, &mut page);
    decode_times(&page, &mut back).expect("what was encoded decodes");
    assert_eq!(back, times);
});
