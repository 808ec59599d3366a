//! Encoding 1: delta-of-delta timestamps and XOR values, bit-packed. The one that grows.
//!
//! Method: Pelkonen et al., "Gorilla: A Fast, Scalable, In-Memory Time Series Database", VLDB 2015, §4.1; bucket widths
//! are our own, since our timestamps are milliseconds.

use stdx::bits::{BitReader, BitWriter};

use super::{ChunkError, Columns, ENCODING_XOR, SAMPLES_MAX, header};

/// Widths of the delta-of-delta buckets; bucket `i` follows `i + 1` one bits and a zero bit, the last one no zero bit.
/// 7 bits hold a scrape's jitter; 14 a late scrape; 20 a missed one; 32 a missed day.
const DOD_BITS: [u32; 5] = [7, 14, 20, 32, 64];
/// Leading zeros have five bits.
const LEADING_MAX: u32 = 31;

/// The window of an XOR between its leading and trailing zeros.
#[derive(Debug, Clone, Copy)]
struct Window {
    leading: u32,
    width: u32,
}

impl Window {
    fn trailing(self) -> u32 {
        64 - self.leading - self.width
    }
}

/// Writes values as XOR with the one before.
#[derive(Debug, Clone)]
pub(super) struct XorState {
    last_bits: u64,
    window: Option<Window>,
}

impl XorState {
    /// Begins after a value that stands elsewhere.
    pub(super) fn after(first: f64) -> Self {
        Self { last_bits: first.to_bits(), window: None }
    }

    pub(super) fn put(&mut self, bits: &mut BitWriter, value: f64) {
        let xor = self.last_bits ^ value.to_bits();
        self.last_bits = value.to_bits();
        if xor == 0 {
            bits.put(0, 1);
            return;
        }
        let leading = xor.leading_zeros().min(LEADING_MAX);
        let trailing = xor.trailing_zeros();
        if let Some(window) = self.window
            && leading >= window.leading
            && trailing >= window.trailing()
        {
            bits.put(0b10, 2);
            bits.put(xor >> window.trailing(), window.width);
            return;
        }
        let window = Window { leading, width: 64 - leading - trailing };
        bits.put(0b11, 2);
        bits.put(u64::from(window.leading), 5);
        bits.put(u64::from(window.width - 1), 6);
        bits.put(xor >> trailing, window.width);
        self.window = Some(window);
    }

    /// The next value; `None` when the bits end.
    #[inline]
    pub(super) fn get(&mut self, bits: &mut BitReader<'_>, sample_idx: usize) -> Result<f64, ChunkError> {
        let truncated = ChunkError::Truncated { sample_idx };
        if bits.bit().ok_or(truncated)? {
            if bits.bit().ok_or(truncated)? {
                let leading = bits.get(5).ok_or(truncated)? as u32;
                let width = bits.get(6).ok_or(truncated)? as u32 + 1;
                if leading + width > 64 {
                    return Err(ChunkError::Field { what: "window", sample_idx });
                }
                self.window = Some(Window { leading, width });
            }
            let window = self.window.ok_or(ChunkError::Field { what: "window", sample_idx })?;
            self.last_bits ^= bits.get(window.width).ok_or(truncated)? << window.trailing();
        }
        Ok(f64::from_bits(self.last_bits))
    }
}

/// A chunk that grows sample by sample. Its bytes are a whole chunk at any time.
#[derive(Debug, Clone)]
pub struct XorAppender {
    bits: BitWriter,
    n_samples: u16,
    last_ms: i64,
    delta_ms: i64,
    values: XorState,
}

impl XorAppender {
    /// An empty chunk. Its bytes are a chunk once a sample is in.
    #[must_use]
    pub fn new() -> Self {
        let bits = BitWriter::after(header(ENCODING_XOR, 0).to_vec());
        Self { bits, n_samples: 0, last_ms: 0, delta_ms: 0, values: XorState::after(0.0) }
    }

    /// Goes on with a chunk of this encoding; `None` for one of another.
    ///
    /// # Errors
    /// When the bytes are no chunk.
    pub fn resume(chunk: &[u8]) -> Result<Option<Self>, ChunkError> {
        if chunk.first() != Some(&ENCODING_XOR) {
            return Ok(None);
        }
        let mut samples = Columns::default();
        super::decode(chunk, &mut samples)?;
        let mut appender = Self::new();
        for (t_ms, value) in samples.timestamps.iter().zip(&samples.values) {
            appender.append(*t_ms, *value)?;
        }
        Ok(Some(appender))
    }

    /// Appends one sample. `t_ms` is Unix time in milliseconds. O(1); allocates only when the buffer grows.
    ///
    /// # Errors
    /// [`ChunkError::Full`] at [`SAMPLES_MAX`], [`ChunkError::NotRising`] when `t_ms` does not exceed the last one
    /// appended; the chunk is left unchanged.
    pub fn append(&mut self, t_ms: i64, value: f64) -> Result<(), ChunkError> {
        let sample_idx = usize::from(self.n_samples);
        if sample_idx >= SAMPLES_MAX {
            return Err(ChunkError::Full);
        }
        if sample_idx == 0 {
            self.bits.put(t_ms as u64, 64);
            self.bits.put(value.to_bits(), 64);
            self.values = XorState::after(value);
        } else {
            if t_ms <= self.last_ms {
                return Err(ChunkError::NotRising { sample_idx, t_ms });
            }
            let delta_ms = t_ms.wrapping_sub(self.last_ms);
            put_dod(&mut self.bits, delta_ms.wrapping_sub(self.delta_ms));
            self.values.put(&mut self.bits, value);
            self.delta_ms = delta_ms;
        }
        self.last_ms = t_ms;
        self.n_samples += 1;
        self.bits.bytes_mut()[1..3].copy_from_slice(&self.n_samples.to_le_bytes());
        Ok(())
    }

    /// Samples so far.
    #[must_use]
    pub fn n_samples(&self) -> usize {
        usize::from(self.n_samples)
    }

    /// The chunk as it is now.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bits.bytes()
    }

    /// The finished chunk.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bits.finish()
    }
}

impl Default for XorAppender {
    fn default() -> Self {
        Self::new()
    }
}

fn put_dod(bits: &mut BitWriter, dod_ms: i64) {
    if dod_ms == 0 {
        bits.put(0, 1);
        return;
    }
    let last = DOD_BITS.len() - 1;
    let fits = |width: u32| width == 64 || (-(1i64 << (width - 1))..1i64 << (width - 1)).contains(&dod_ms);
    let bucket = DOD_BITS.iter().position(|width| fits(*width)).unwrap_or(last);
    let n_ones = bucket as u32 + 1;
    if bucket == last {
        bits.put((1 << n_ones) - 1, n_ones);
    } else {
        bits.put(((1 << n_ones) - 1) << 1, n_ones + 1);
    }
    bits.put(dod_ms as u64, DOD_BITS[bucket]);
}

#[inline]
fn get_dod(bits: &mut BitReader<'_>) -> Option<i64> {
    // Fast path: a regular scrape.
    if !bits.bit()? {
        return Some(0);
    }
    let mut bucket = 0;
    while bucket + 1 < DOD_BITS.len() && bits.bit()? {
        bucket += 1;
    }
    let width = DOD_BITS[bucket];
    let raw = bits.get(width)?;
    Some((raw << (64 - width)) as i64 >> (64 - width))
}

/// Decodes `n_samples` samples from `payload` and adds them to `out`.
pub(super) fn decode(payload: &[u8], n_samples: usize, out: &mut Columns) -> Result<(), ChunkError> {
    let mut bits = BitReader::new(payload);
    let first = ChunkError::Truncated { sample_idx: 0 };
    let mut t_ms = bits.get(64).ok_or(first)? as i64;
    let value = f64::from_bits(bits.get(64).ok_or(first)?);
    let mut values = XorState::after(value);
    out.timestamps.push(t_ms);
    out.values.push(value);
    let mut delta_ms = 0i64;
    for sample_idx in 1..n_samples {
        let dod_ms = get_dod(&mut bits).ok_or(ChunkError::Truncated { sample_idx })?;
        delta_ms = delta_ms.wrapping_add(dod_ms);
        let next_ms = t_ms.wrapping_add(delta_ms);
        if next_ms <= t_ms {
            return Err(ChunkError::NotRising { sample_idx, t_ms: next_ms });
        }
        t_ms = next_ms;
        let value = values.get(&mut bits, sample_idx)?;
        out.timestamps.push(t_ms);
        out.values.push(value);
    }
    Ok(())
}
