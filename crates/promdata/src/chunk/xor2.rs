//! Float chunks of Prometheus 3.14: one prefix for time and value together, staleness markers of their own, start timestamps.
//!
//! A staleness marker does not disturb the XOR chain: the next value stands relative to the one before the marker.

use model::{STALE_NAN, is_stale};
use stdx::bits::BitReader;

use super::starts::Starts;
use super::varbit::{XorState, get_f64, get_uvarint, get_varint};
use super::{ChunkError, Decoded};

/// Number of samples and the byte about start timestamps.
const HEADER_BYTES: usize = 3;
/// Leading ones of the prefix that says: same distance, staleness marker.
const ONES_STALE: u32 = 5;

pub(super) fn decode(data: &[u8], out: &mut Decoded) -> Result<(), ChunkError> {
    let (header, rest) = data.split_first_chunk::<HEADER_BYTES>().ok_or(ChunkError::Truncated)?;
    let n_samples = usize::from(u16::from_be_bytes([header[0], header[1]]));
    let mut starts = Starts::new(header[2]);
    let mut bits = BitReader::new(rest);
    let mut state = XorState::default();
    let (mut t_ms, mut delta_ms) = (0i64, 0i64);
    for idx in 0..n_samples {
        let before_ms = t_ms;
        let value = match idx {
            0 => {
                t_ms = get_varint(&mut bits)?;
                let value = get_f64(&mut bits)?;
                if !is_stale(value) {
                    state = XorState::after(value);
                }
                value
            }
            1 => {
                delta_ms = get_uvarint(&mut bits)? as i64;
                get_value(&mut bits, &mut state)?
            }
            _ => get_joint(&mut bits, &mut delta_ms, &mut state)?,
        };
        if idx > 0 {
            if delta_ms <= 0 {
                return Err(ChunkError::Field("time that does not rise"));
            }
            t_ms = t_ms.checked_add(delta_ms).ok_or(ChunkError::Field("time"))?;
        }
        let start_ms = starts.get(&mut bits, idx, t_ms, before_ms)?;
        out.put_float(t_ms, value, start_ms);
    }
    Ok(())
}

/// Ones before a zero, at most `max` of them.
fn ones(bits: &mut BitReader<'_>, max: u32) -> Result<u32, ChunkError> {
    let mut n = 0;
    while n < max && bits.bit().ok_or(ChunkError::Truncated)? {
        n += 1;
    }
    Ok(n)
}

/// The third sample and those after it: distance and value behind one prefix.
fn get_joint(bits: &mut BitReader<'_>, delta_ms: &mut i64, state: &mut XorState) -> Result<f64, ChunkError> {
    let width = match ones(bits, ONES_STALE)? {
        0 => return Ok(state.value()),
        // Known to differ: a bit says whether the window does, too.
        1 => {
            if bits.bit().ok_or(ChunkError::Truncated)? {
                state.get_window(bits)?;
            }
            return state.get_in_window(bits);
        }
        2 => 13,
        3 => 20,
        4 => 64,
        _ => return Ok(STALE_NAN),
    };
    let raw = bits.get(width).ok_or(ChunkError::Truncated)?;
    let change_ms = ((raw << (64 - width)) as i64) >> (64 - width);
    *delta_ms = delta_ms.wrapping_add(change_ms);
    get_value(bits, state)
}

fn get_value(bits: &mut BitReader<'_>, state: &mut XorState) -> Result<f64, ChunkError> {
    match ones(bits, 3)? {
        0 => Ok(state.value()),
        1 => state.get_in_window(bits),
        2 => {
            state.get_window(bits)?;
            state.get_in_window(bits)
        }
        _ => Ok(STALE_NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::starts::StartsOut;
    use crate::chunk::tests::{bytes_of, shown};
    use proptest::prelude::*;
    use stdx::bits::BitWriter;
    use stdx::varint;

    /// Time, value, start timestamp.
    type Sample = (i64, f64, i64);

    fn put_value(bits: &mut BitWriter, state: &mut XorState, value: f64) {
        let before = state.value();
        if is_stale(value) {
            return bits.put(0b111, 3);
        }
        if value.to_bits() == before.to_bits() {
            return bits.put(0, 1);
        }
        bits.put(1, 1);
        state.put_in_window(bits, value, (0b10, 2));
    }

    fn encode(samples: &[Sample]) -> Vec<u8> {
        let [high, low] = (samples.len() as u16).to_be_bytes();
        let mut bits = BitWriter::after(vec![high, low, 0]);
        let (mut state, mut starts) = (XorState::default(), StartsOut::new());
        let (mut before_ms, mut delta_ms) = (0, 0);
        for (idx, (t_ms, value, start_ms)) in samples.iter().copied().enumerate() {
            let next_ms: i64 = t_ms - before_ms;
            let change_ms = next_ms - delta_ms;
            let mut whole = Vec::new();
            match idx {
                0 => {
                    varint::put_i64(&mut whole, t_ms);
                    whole.extend(value.to_bits().to_be_bytes());
                    if !is_stale(value) {
                        state = XorState::after(value);
                    }
                }
                1 => varint::put_u64(&mut whole, next_ms as u64),
                _ => {}
            }
            whole.iter().for_each(|byte| bits.put(u64::from(*byte), 8));
            match (idx, change_ms) {
                (0, _) => {}
                (1, _) => put_value(&mut bits, &mut state, value),
                (_, 0) if is_stale(value) => bits.put(0b11111, 5),
                (_, 0) if value.to_bits() == state.value().to_bits() => bits.put(0, 1),
                (_, 0) => {
                    bits.put(0b10, 2);
                    state.put_in_window(&mut bits, value, (1, 1));
                }
                _ => {
                    match change_ms {
                        -0x1000..=0xfff => bits.put(0b110 << 13 | change_ms as u64 & 0x1fff, 16),
                        -0x8_0000..=0x7_ffff => bits.put(0b1110 << 20 | change_ms as u64 & 0xf_ffff, 24),
                        _ => {
                            bits.put(0b11110, 5);
                            bits.put(change_ms as u64, 64);
                        }
                    }
                    put_value(&mut bits, &mut state, value);
                }
            }
            starts.put(&mut bits, idx, t_ms, before_ms, start_ms);
            delta_ms = if idx == 0 { 0 } else { next_ms };
            before_ms = t_ms;
        }
        bits.bytes_mut()[2] = starts.header;
        bits.finish()
    }

    fn decoded(data: &[u8]) -> Vec<(i64, u64, i64)> {
        let mut out = Decoded::default();
        decode(data, &mut out).unwrap();
        shown(&out)
    }

    /// Bytes that Prometheus 3.14 wrote for these samples, and what we read from them and write.
    fn check(name: &str, hex: &str, samples: &[Sample]) {
        let expected: Vec<_> =
            samples.iter().map(|(t_ms, value, start_ms)| (*t_ms, value.to_bits(), *start_ms)).collect();
        assert_eq!(decoded(&bytes_of(hex)), expected, "{name}");
        assert_eq!(decoded(&encode(samples)), expected, "{name}, written by us");
    }

    const T_MS: i64 = 1_700_000_000_000;

    #[test]
    fn chunks_that_prometheus_wrote_are_read() {
        let at = |offset_ms: i64, value: f64| (T_MS + offset_ms, value, 0);
        let plain = [
            at(0, 1.0),
            at(15_000, 1.0),
            at(30_000, 2.5),
            at(45_003, 2.5),
            at(60_000, STALE_NAN),
            at(75_000, 2.5),
            at(90_000, STALE_NAN),
            at(95_000, 3.75),
            at(3_695_000, -1e300),
            at(1 + (1 << 41), 7.0),
        ];
        check(
            "all prefixes",
            "000a0080a0abfef9623ff00000000000009875509bffdc0036ffd7c0037fbf63c3303be000000000036daf8c0faf8e790f22001d67f000000ffffc857f4d7c57c8791000eb38",
            &plain,
        );
        let starts = [
            (T_MS, 1.0, T_MS - 5000),
            (T_MS + 15_000, 2.0, T_MS - 5000),
            (T_MS + 30_000, 3.0, T_MS - 5000),
            (T_MS + 45_000, 1.0, T_MS + 30_001),
            (T_MS + 60_000, 1.0, T_MS + 30_001),
            (T_MS + 75_000, 1.0, 0),
            (T_MS + 90_000, 2.0, T_MS + 70_000),
        ];
        check(
            "start timestamps",
            "00078380a0abfef9623ff0000000000000904e9875c12fffd603a133ffeef83a987f0000c5e7f30be4cffefefffe743019c128",
            &starts,
        );
        let late = [(T_MS, 1.0, 0), (T_MS + 15_000, 2.0, T_MS - 1), (T_MS + 30_000, 3.0, T_MS - 1)];
        check("from the second sample on", "00030180a0abfef9623ff00000000000009875c12fffc6b01fc1d4c0", &late);
        let long: Vec<Sample> = (0..135)
            .map(|n| {
                let start_ms = if n < 131 { T_MS - 1000 } else { T_MS + 1000 * n - 500 };
                (T_MS + 1000 * n, n as f64, start_ms)
            })
            .collect();
        let hex = concat!(
            "0087ff80a0abfef9620000000000000000d00fe807c22bffa12fffd603ab0bad0758171aa13eb81d685c6b03f0c70d589f5e0eb82e35",
            "a1f86386b04f830e0c7830e0d48ffec01d785c6b83f0c70d689f061c18f061c1ac17f0307030f0307031f0307030f0307035637f620e",
            "c02e35e1f86386b84f830e0c7830e0d68bf818381878183818f81838187818381ac1bf80c0e030780c0e030f80c0e030780c0e031f80",
            "c0e030780c0e030f80c0e030780c0e03f3e0315447ff8fa2c81f8fa2c42fc7d11fa023cb00fa1460",
        );
        check("more samples than the header counts", hex, &long);
    }

    #[test]
    fn a_chunk_that_was_opened_again_has_a_window_that_nobody_wrote() {
        // Prometheus goes on with 64 bits then.
        let hex = "00040380a0abfef9623ff0000000000000987547ffa66666666666680037fffffffffff9f0ea60";
        let samples = [(0, 1.0, 0), (15_000, 1.0, 0), (30_000, 3.3, 0), (45_000, 4.4, T_MS)];
        let expected: Vec<_> = samples
            .iter()
            .map(|(offset_ms, value, start_ms)| (T_MS + offset_ms, f64::to_bits(*value), *start_ms))
            .collect();
        assert_eq!(decoded(&bytes_of(hex)), expected);
    }

    proptest! {
        #[test]
        fn samples_come_back(
            start in -1_000_000_000_000i64..1_000_000_000_000,
            rows in proptest::collection::vec(
                (
                    prop_oneof![Just(15_000i64), 1i64..30_000, 1i64..100_000_000],
                    prop_oneof![Just(STALE_NAN), Just(2.5f64), any::<u64>().prop_map(f64::from_bits)],
                    prop_oneof![Just(0i64), Just(77i64), -1_000_000i64..1_000_000_000_000],
                ),
                1..200,
            ),
        ) {
            let mut t_ms = start;
            let samples: Vec<Sample> = rows.into_iter().map(|(delta_ms, value, start_ms)| {
                t_ms += delta_ms;
                (t_ms, value, start_ms)
            }).collect();
            let expected: Vec<_> = samples.iter().map(|(t, v, s)| (*t, v.to_bits(), *s)).collect();
            prop_assert_eq!(decoded(&encode(&samples)), expected);
        }

        #[test]
        fn any_bytes_are_refused_or_read(data in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&data, &mut Decoded::default());
        }
    }
}
