//! Float chunks: delta of delta for times, XOR for values (Gorilla).

use stdx::bits::{BitReader, BitWriter};
use stdx::varint;

use super::ChunkError;
use super::varbit::{XorState, get_f64, signed};

/// Widths of a delta of deltas behind one, two, … leading ones.
const DOD_WIDTHS: [u32; 4] = [14, 17, 20, 64];

pub(super) fn encode(timestamps: &[i64], values: &[f64]) -> Vec<u8> {
    let mut out = (values.len() as u16).to_be_bytes().to_vec();
    varint::put_i64(&mut out, timestamps[0]);
    out.extend_from_slice(&values[0].to_bits().to_be_bytes());
    let mut state = XorState::after(values[0]);
    let Some(second_ms) = timestamps.get(1) else { return out };
    let mut delta_ms = second_ms.wrapping_sub(timestamps[0]);
    varint::put_u64(&mut out, delta_ms as u64);
    let mut bits = BitWriter::after(out);
    state.put(&mut bits, values[1]);
    for (pair, value) in timestamps[1..].windows(2).zip(&values[2..]) {
        let next_ms = pair[1].wrapping_sub(pair[0]);
        put_dod(&mut bits, next_ms.wrapping_sub(delta_ms));
        delta_ms = next_ms;
        state.put(&mut bits, *value);
    }
    bits.finish()
}

fn put_dod(bits: &mut BitWriter, dod_ms: i64) {
    if dod_ms == 0 {
        return bits.put(0, 1);
    }
    let fits =
        |width: u32| width == 64 || (-((1i64 << (width - 1)) - 1)..=1i64 << (width - 1)).contains(&dod_ms);
    let bucket = DOD_WIDTHS.iter().position(|width| fits(*width)).expect("64 bits hold it");
    if bucket == DOD_WIDTHS.len() - 1 {
        bits.put(0b1111, 4);
    } else {
        let ones = bucket as u32 + 1;
        bits.put(((1 << ones) - 1) << 1, ones + 1);
    }
    bits.put(dod_ms as u64, DOD_WIDTHS[bucket]);
}

fn get_dod(bits: &mut BitReader<'_>) -> Option<i64> {
    let mut ones = 0;
    while ones < DOD_WIDTHS.len() && bits.bit()? {
        ones += 1;
    }
    if ones == 0 {
        return Some(0);
    }
    let width = DOD_WIDTHS[ones - 1];
    Some(signed(bits.get(width)?, width))
}

pub(super) fn decode(
    data: &[u8],
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let (header, mut rest) = data.split_first_chunk::<2>().ok_or(ChunkError::Truncated)?;
    let n_samples = usize::from(u16::from_be_bytes(*header));
    if n_samples == 0 {
        return Ok(());
    }
    let mut t_ms = varint::get_i64(&mut rest).ok_or(ChunkError::Truncated)?;
    // The first value stands byte-aligned; what follows the second time is a stream of bits.
    let (first, mut rest) = rest.split_first_chunk::<8>().ok_or(ChunkError::Truncated)?;
    let first = get_f64(&mut BitReader::new(first))?;
    let mut state = XorState::after(first);
    timestamps.push(t_ms);
    values.push(first);
    if n_samples == 1 {
        return Ok(());
    }
    let mut delta_ms = varint::get_u64(&mut rest).ok_or(ChunkError::Truncated)? as i64;
    let mut bits = BitReader::new(rest);
    for idx in 1..n_samples {
        if idx > 1 {
            delta_ms = delta_ms.wrapping_add(get_dod(&mut bits).ok_or(ChunkError::Truncated)?);
        }
        if delta_ms <= 0 {
            return Err(ChunkError::Field("time that does not rise"));
        }
        t_ms = t_ms.checked_add(delta_ms).ok_or(ChunkError::Field("time"))?;
        timestamps.push(t_ms);
        values.push(state.get(&mut bits)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_come_back(
            start in -1_000_000_000_000i64..1_000_000_000_000,
            samples in proptest::collection::vec((1i64..100_000_000, any::<u64>()), 1..200),
        ) {
            let mut t_ms = start;
            let (mut timestamps, mut values) = (Vec::new(), Vec::new());
            for (delta_ms, raw) in samples {
                timestamps.push(t_ms);
                values.push(f64::from_bits(raw));
                t_ms += delta_ms;
            }
            let data = encode(&timestamps, &values);
            let (mut got_times, mut got) = (Vec::new(), Vec::new());
            decode(&data, &mut got_times, &mut got).unwrap();
            prop_assert_eq!(got_times, timestamps);
            prop_assert!(got.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())));
        }

        #[test]
        fn any_bytes_are_refused_or_read(data in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&data, &mut Vec::new(), &mut Vec::new());
        }
    }
}
