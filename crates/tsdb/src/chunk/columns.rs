//! Encoding 2: whole columns of a finished chunk, each packed the way that suits it.
//!
//! Most series are constant, or integers that move by multiples of some step (counters, memory sizes), or decimals of
//! few digits; fixed-width fields over those beat XOR two to three times and decode faster.
//! Method: frame of reference and delta coding with a common divisor; reference §3c has the measurement behind the choice.

use stdx::bits::{BitReader, BitWriter};
use stdx::varint;

use super::xor::XorState;
use super::{ChunkError, Columns, ENCODING_COLUMNS, header};

/// Timestamps: all deltas equal.
const TIMES_REGULAR: u8 = 0;
/// Timestamps: packed differences of deltas.
const TIMES_PACKED: u8 = 1;
/// Values: all the same bits.
const VALUES_CONST: u8 = 0;
/// Values: packed integer deltas.
const VALUES_DELTA: u8 = 1;
/// Values: XOR with the last one, in one common window, where it differs.
const VALUES_WINDOW: u8 = 2;
/// Values: the XOR stream.
const VALUES_XOR: u8 = 3;
/// Values: packed integer deltas where the value differs.
const VALUES_SPARSE_DELTA: u8 = 4;

/// Powers of ten tried to make integers of decimals. Nine digits after the point cover nanoseconds in seconds.
const EXPONENT_MAX: u8 = 9;
/// Integers below this are exact as floats.
const MANTISSA_MAX: i64 = 1 << 53;

/// Encodes columns that are not empty, strictly rise and fit a chunk.
pub(super) fn encode(timestamps: &[i64], values: &[f64]) -> Vec<u8> {
    let mut out = header(ENCODING_COLUMNS, timestamps.len()).to_vec();
    put_times(&mut out, timestamps);
    put_values(&mut out, values);
    out
}

/// Decodes `n_samples` samples from `payload` and adds them to `out`.
pub(super) fn decode(payload: &[u8], n_samples: usize, out: &mut Columns) -> Result<(), ChunkError> {
    let mut src = payload;
    get_times(&mut src, n_samples, &mut out.timestamps)?;
    get_values(&mut src, n_samples, &mut out.values)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

fn width_of(max: u64) -> u32 {
    64 - max.leading_zeros()
}

fn put_times(out: &mut Vec<u8>, timestamps: &[i64]) {
    varint::put_i64(out, timestamps[0]);
    if timestamps.len() == 1 {
        return;
    }
    let deltas: Vec<i64> = timestamps.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    varint::put_u64(out, deltas[0] as u64);
    let dods: Vec<u64> = deltas.windows(2).map(|pair| zigzag(pair[1].wrapping_sub(pair[0]))).collect();
    let width = width_of(dods.iter().copied().max().unwrap_or(0));
    if width == 0 {
        out.push(TIMES_REGULAR);
        return;
    }
    out.push(TIMES_PACKED);
    out.push(width as u8);
    let mut bits = BitWriter::default();
    dods.iter().for_each(|dod| bits.put(*dod, width));
    out.extend_from_slice(bits.bytes());
}

fn get_times(src: &mut &[u8], n_samples: usize, out: &mut Vec<i64>) -> Result<(), ChunkError> {
    let truncated = |sample_idx| ChunkError::Truncated { sample_idx };
    let mut t_ms = varint::get_i64(src).ok_or(truncated(0))?;
    out.push(t_ms);
    if n_samples == 1 {
        return Ok(());
    }
    let mut delta_ms = varint::get_u64(src).ok_or(truncated(1))? as i64;
    let width = match byte(src, 1)? {
        TIMES_REGULAR => 0,
        TIMES_PACKED => width(byte(src, 1)?, 1..=64, 1)?,
        number => return Err(ChunkError::Unknown { what: "kind of timestamps", number }),
    };
    let mut bits = take_fields(src, n_samples - 2, width, 2)?;
    for sample_idx in 1..n_samples {
        if sample_idx > 1 && width > 0 {
            let dod = bits.get(width).ok_or(truncated(sample_idx))?;
            delta_ms = delta_ms.wrapping_add(unzigzag(dod));
        }
        let next_ms = t_ms.wrapping_add(delta_ms);
        if next_ms <= t_ms {
            return Err(ChunkError::NotRising { sample_idx, t_ms: next_ms });
        }
        t_ms = next_ms;
        out.push(t_ms);
    }
    Ok(())
}

fn put_values(out: &mut Vec<u8>, values: &[f64]) {
    let first = values[0];
    if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        out.push(VALUES_CONST);
        out.extend_from_slice(&first.to_bits().to_le_bytes());
        return;
    }
    let candidates = [put_xor(values), put_window(values)];
    let integers = to_integers(values).map(|(exponent, ints)| put_integers(exponent, &ints));
    let smallest = candidates.into_iter().chain(integers.into_iter().flatten()).min_by_key(Vec::len);
    out.extend_from_slice(&smallest.expect("the XOR stream is always among them"));
}

fn put_xor(values: &[f64]) -> Vec<u8> {
    let mut bits = BitWriter::after(vec![VALUES_XOR]);
    bits.put(values[0].to_bits(), 64);
    let mut state = XorState::after(values[0]);
    values[1..].iter().for_each(|value| state.put(&mut bits, *value));
    bits.finish()
}

fn put_window(values: &[f64]) -> Vec<u8> {
    let xors: Vec<u64> = values.windows(2).map(|pair| pair[0].to_bits() ^ pair[1].to_bits()).collect();
    let union = xors.iter().fold(0, |union, xor| union | xor);
    let (leading, trailing) = (union.leading_zeros(), union.trailing_zeros());
    let width = 64 - leading - trailing;
    let mut out = vec![VALUES_WINDOW, leading as u8, width as u8];
    out.extend_from_slice(&values[0].to_bits().to_le_bytes());
    put_bitmap(&mut out, xors.iter().map(|xor| *xor != 0));
    let mut bits = BitWriter::default();
    xors.iter().filter(|xor| **xor != 0).for_each(|xor| bits.put(xor >> trailing, width));
    out.extend_from_slice(bits.bytes());
    out
}

fn put_bitmap(out: &mut Vec<u8>, flags: impl Iterator<Item = bool>) {
    let mut bits = BitWriter::default();
    flags.for_each(|flag| bits.put(u64::from(flag), 1));
    out.extend_from_slice(bits.bytes());
}

/// The values as `m / 10^exponent` with the least exponent for which every bit comes back.
fn to_integers(values: &[f64]) -> Option<(u8, Vec<i64>)> {
    'exponents: for exponent in 0..=EXPONENT_MAX {
        let scale = scale_of(exponent);
        let mut ints = Vec::with_capacity(values.len());
        for value in values {
            let scaled = (value * scale).round();
            // Also false for NaN.
            let small = scaled.abs() < MANTISSA_MAX as f64;
            if !small {
                return None;
            }
            let int = scaled as i64;
            if from_integer(int, scale).to_bits() != value.to_bits() {
                // No exponent gives -0 back.
                if *value == 0.0 {
                    return None;
                }
                continue 'exponents;
            }
            ints.push(int);
        }
        return Some((exponent, ints));
    }
    None
}

fn scale_of(exponent: u8) -> f64 {
    10f64.powi(i32::from(exponent))
}

fn from_integer(int: i64, scale: f64) -> f64 {
    int as f64 / scale
}

fn put_integers(exponent: u8, ints: &[i64]) -> [Vec<u8>; 2] {
    let deltas: Vec<i64> = ints.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let step = deltas.iter().fold(0, |gcd, delta| greatest_common_divisor(gcd, delta.unsigned_abs())).max(1);
    let steps: Vec<i64> = deltas.iter().map(|delta| delta / step as i64).collect();
    let changed: Vec<i64> = steps.iter().copied().filter(|delta| *delta != 0).collect();
    let dense = put_packed(VALUES_DELTA, exponent, step, ints[0], &steps, None);
    let sparse = put_packed(VALUES_SPARSE_DELTA, exponent, step, ints[0], &changed, Some(&steps));
    [dense, sparse]
}

fn put_packed(kind: u8, exponent: u8, step: u64, first: i64, packed: &[i64], all: Option<&[i64]>) -> Vec<u8> {
    let base = packed.iter().copied().min().unwrap_or(0);
    let width = width_of(packed.iter().map(|delta| (delta - base) as u64).max().unwrap_or(0));
    let mut out = vec![kind];
    varint::put_u64(&mut out, u64::from(exponent));
    varint::put_u64(&mut out, step);
    varint::put_i64(&mut out, first);
    out.push(width as u8);
    varint::put_i64(&mut out, base);
    if let Some(all) = all {
        put_bitmap(&mut out, all.iter().map(|delta| *delta != 0));
    }
    let mut bits = BitWriter::default();
    packed.iter().for_each(|delta| bits.put((delta - base) as u64, width));
    out.extend_from_slice(bits.bytes());
    out
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn get_values(src: &mut &[u8], n_samples: usize, out: &mut Vec<f64>) -> Result<(), ChunkError> {
    match byte(src, 0)? {
        VALUES_CONST => {
            let value = f64::from_bits(u64_le(src, 0)?);
            out.extend(std::iter::repeat_n(value, n_samples));
            Ok(())
        }
        VALUES_DELTA => get_integers(src, n_samples, false, out),
        VALUES_WINDOW => get_window(src, n_samples, out),
        VALUES_XOR => {
            let mut bits = BitReader::new(src);
            let first = bits.get(64).ok_or(ChunkError::Truncated { sample_idx: 0 })?;
            let mut state = XorState::after(f64::from_bits(first));
            out.push(f64::from_bits(first));
            for sample_idx in 1..n_samples {
                out.push(state.get(&mut bits, sample_idx)?);
            }
            Ok(())
        }
        VALUES_SPARSE_DELTA => get_integers(src, n_samples, true, out),
        number => Err(ChunkError::Unknown { what: "kind of values", number }),
    }
}

fn get_window(src: &mut &[u8], n_samples: usize, out: &mut Vec<f64>) -> Result<(), ChunkError> {
    let leading = u32::from(byte(src, 0)?);
    let width = width(byte(src, 0)?, 1..=64, 0)?;
    if leading + width > 64 {
        return Err(ChunkError::Field { what: "window", sample_idx: 0 });
    }
    let mut last = u64_le(src, 0)?;
    let mut changed = take_fields(src, n_samples - 1, 1, 0)?;
    let mut bits = BitReader::new(src);
    out.push(f64::from_bits(last));
    for sample_idx in 1..n_samples {
        let truncated = ChunkError::Truncated { sample_idx };
        if changed.bit().ok_or(truncated)? {
            last ^= bits.get(width).ok_or(truncated)? << (64 - leading - width);
        }
        out.push(f64::from_bits(last));
    }
    Ok(())
}

fn get_integers(
    src: &mut &[u8],
    n_samples: usize,
    sparse: bool,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let field = |what| ChunkError::Field { what, sample_idx: 0 };
    let exponent = varint::get_u64(src).ok_or(field("exponent"))?;
    let exponent = u8::try_from(exponent).ok().filter(|e| *e <= EXPONENT_MAX).ok_or(field("exponent"))?;
    let step = varint::get_u64(src).filter(|step| *step > 0).ok_or(field("step"))? as i64;
    let mut int = varint::get_i64(src).ok_or(field("first integer"))?;
    let width = width(byte(src, 0)?, 0..=63, 0)?;
    let base = varint::get_i64(src).ok_or(field("base"))?;
    let mut changed = take_fields(src, n_samples - 1, u32::from(sparse), 0)?;
    let mut bits = BitReader::new(src);
    let scale = scale_of(exponent);
    out.push(from_integer(int, scale));
    for sample_idx in 1..n_samples {
        let truncated = ChunkError::Truncated { sample_idx };
        if !sparse || changed.bit().ok_or(truncated)? {
            let delta = base.wrapping_add(bits.get(width).ok_or(truncated)? as i64);
            int = int.wrapping_add(step.wrapping_mul(delta));
        }
        out.push(from_integer(int, scale));
    }
    Ok(())
}

fn byte(src: &mut &[u8], sample_idx: usize) -> Result<u8, ChunkError> {
    let (&byte, rest) = src.split_first().ok_or(ChunkError::Truncated { sample_idx })?;
    *src = rest;
    Ok(byte)
}

fn u64_le(src: &mut &[u8], sample_idx: usize) -> Result<u64, ChunkError> {
    let (bytes, rest) = src.split_first_chunk::<8>().ok_or(ChunkError::Truncated { sample_idx })?;
    *src = rest;
    Ok(u64::from_le_bytes(*bytes))
}

fn width(byte: u8, allowed: std::ops::RangeInclusive<u32>, sample_idx: usize) -> Result<u32, ChunkError> {
    let width = u32::from(byte);
    if allowed.contains(&width) { Ok(width) } else { Err(ChunkError::Field { what: "width", sample_idx }) }
}

/// A reader over `n_fields` fields of `width` bits; moves `src` past them.
fn take_fields<'a>(
    src: &mut &'a [u8],
    n_fields: usize,
    width: u32,
    sample_idx: usize,
) -> Result<BitReader<'a>, ChunkError> {
    let n_bytes = (n_fields * width as usize).div_ceil(8);
    let (fields, rest) = src.split_at_checked(n_bytes).ok_or(ChunkError::Truncated { sample_idx })?;
    *src = rest;
    Ok(BitReader::new(fields))
}
