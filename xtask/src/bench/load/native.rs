//! Native histograms in remote write 1.0, encoded afresh for every request: they are few, and all their bytes change.
//!
//! Source: the protobuf messages `Histogram` and `BucketSpan` of prometheus/prompb.

use super::series::hash;
use super::template::varint;

/// Populated buckets of each histogram: a service's response times spread over some factor of five. Chosen.
const N_BUCKETS: u64 = 20;

/// Eight buckets between powers of two, as most clients are set.
const SCHEMA: i64 = 3;

/// Appends field 4 of a `TimeSeries`: one histogram at a step. Each bucket only grows.
pub fn push(seed: u64, step: u64, time_ms: i64, out: &mut Vec<u8>) {
    let total = step * 200 + hash(seed, step) % 200;
    let count = |bucket: u64| total * (1 + bucket.min(N_BUCKETS - bucket) * 2) / 250;
    let mut one = Vec::new();
    let all: u64 = (0..N_BUCKETS).map(count).sum();
    field(1, all, &mut one);
    one.push(3 << 3 | 1);
    one.extend((all as f64 * 0.25).to_le_bytes());
    field(4, zigzag(SCHEMA), &mut one);
    one.push(5 << 3 | 1);
    one.extend(1e-128f64.to_le_bytes());
    field(6, 0, &mut one);
    let mut span = Vec::new();
    field(1, zigzag(-16), &mut span);
    field(2, N_BUCKETS, &mut span);
    bytes(11, &span, &mut one);
    let mut deltas = Vec::new();
    let mut last = 0;
    for bucket in 0..N_BUCKETS {
        let now = count(bucket).cast_signed();
        varint(zigzag(now - last) as usize, &mut deltas);
        last = now;
    }
    bytes(12, &deltas, &mut one);
    field(15, time_ms.cast_unsigned(), &mut one);
    bytes(4, &one, out);
}

fn field(number: u8, value: u64, out: &mut Vec<u8>) {
    out.push(number << 3);
    varint(value as usize, out);
}

fn bytes(number: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(value.len(), out);
    out.extend(value);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_zigzag_and_a_histogram_is_one_field() {
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
        let mut out = Vec::new();
        push(1, 3, 1_795_000_000_000, &mut out);
        assert_eq!((out[0], usize::from(out[1])), (0x22, out.len() - 2));
    }
}
