//! Any bytes are a page of values or are refused, without panic and without growing; every bit of every value comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::page::{ROWS_MAX, decode_values, encode_values, n_values, summary};

/// Floats from bytes: runs of decimals, bit patterns and small steps, as the first bytes of each say.
fn column(bytes: &[u8]) -> Vec<f64> {
    let mut values = Vec::new();
    let mut int = 0i64;
    for chunk in bytes.chunks_exact(10) {
        let bits = u64::from_le_bytes(chunk[2..].try_into().expect("eight bytes"));
        int = int.wrapping_add(bits as i64 >> (chunk[0] % 64));
        let value = match chunk[1] % 8 {
            0 => f64::from_bits(bits),
            1 => int as f64 * 0.001,
            2 => int as f64 / 1000.0 / 1000.0,
            power => int as f64 / 10f64.powi(i32::from(power) * 2 - 6),
        };
        values.extend(std::iter::repeat_n(value, 1 + usize::from(chunk[1] >> 4)));
    }
    values.truncate(ROWS_MAX);
    values
}

fuzz_target!(|bytes: &[u8]| {
    let mut out = Vec::new();
    if decode_values(bytes, &mut out).is_ok() {
        assert_eq!(n_values(bytes), Ok(out.len()));
    }
    assert!(out.len() <= ROWS_MAX);
    let _ = summary(bytes);

    let values = column(bytes);
    let mut page = Vec::new();
    encode_values(&values, &mut page);
    let mut back = Vec::new();
    decode_values(&page, &mut back).expect("what was encoded decodes");
    assert!(back.len() == values.len() && back.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()));
    let summary = summary(&page).expect("a page has facts");
    assert_eq!(summary.n as usize, values.len());
    let numbers = || values.iter().filter(|value| !value.is_nan());
    assert_eq!(summary.n_numbers as usize, numbers().count());
    assert!(numbers().all(|value| summary.min <= *value && *value <= summary.max));
});
