//! A remote write 1.0 request that is built and compressed once, and then only patched: a few nanoseconds a sample.
//!
//! The method: [`snappy`] leaves the bytes of changing values and of times as they are and says where they went; from then
//! on a new value is written over the old one. Values that never change are compressed as any sender would; only the bytes
//! of changing values are a little less compressed than a sender's that starts afresh each time.
//! Source: protobuf encoding of prometheus/prompb `WriteRequest`; snappy's format description.

use anyhow::{Context as _, Result};

use super::native;
use super::series::{Columns, Series};
use super::snappy::{self, Class, Compressed};

/// A staleness marker. From Prometheus.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Bytes of a Unix time in milliseconds as varint: six from 2^35 to 2^42, the years 1971 to 2109.
const TIME_BYTES: usize = 6;

/// Series of one request, and the request.
pub struct Template {
    series: Vec<Series>,
    compressed: Vec<u8>,
    /// Series with a changing value, and where its eight bytes are.
    values: Vec<(usize, [u32; 8])>,
    /// Where bytes of the time are, and which.
    times: Vec<(u32, u8)>,
}

impl Template {
    pub fn new(series: Vec<Series>) -> Result<Self> {
        let value = |nth: usize| series[nth].constant().unwrap_or_default().to_le_bytes();
        let (raw, starts) = encode(&series, value, &[0; TIME_BYTES]);
        let mut classes = vec![Class::Plain; raw.len()];
        for (series, (value_at, time_at)) in series.iter().zip(&starts) {
            if series.constant().is_none() {
                classes[*value_at..value_at + 8].fill(Class::Own);
            }
            (0..TIME_BYTES).for_each(|byte| classes[time_at + byte] = Class::Shared(byte as u8));
        }
        let Compressed { bytes, places } = snappy::compress(&raw, &classes)?;
        let (mut values, mut times): (Vec<(usize, [u32; 8])>, _) = (Vec::new(), Vec::new());
        for (position, place) in places {
            if let Class::Shared(byte) = classes[position] {
                times.push((place, byte));
                continue;
            }
            // Positions rise, so the bytes of a value follow each other.
            let nth = starts.partition_point(|(value_at, _)| *value_at <= position) - 1;
            let byte = position - starts[nth].0;
            if byte == 0 {
                values.push((nth, [0; 8]));
            }
            values.last_mut().context("a value begins with its first byte")?.1[byte] = place;
        }
        Ok(Self { series, compressed: bytes, values, times })
    }

    pub fn n_samples(&self) -> u64 {
        self.series.len() as u64
    }

    /// The compressed request for one step at a time.
    pub fn fill(&mut self, columns: &Columns, step: u64, time_ms: i64) -> Result<&[u8]> {
        if self.series.iter().any(|series| series.native().is_some()) {
            self.compressed =
                snap::raw::Encoder::new().compress_vec(&natives(&self.series, step, time_ms))?;
            return Ok(&self.compressed);
        }
        for (nth, places) in &self.values {
            let bytes = self.series[*nth].value(columns, step).to_le_bytes();
            for (place, byte) in places.iter().zip(bytes) {
                self.compressed[*place as usize] = byte;
            }
        }
        let time = time_bytes(time_ms);
        for (place, nth) in &self.times {
            self.compressed[*place as usize] = time[*nth as usize];
        }
        Ok(&self.compressed)
    }

    /// The request that ends all its series.
    pub fn stale(&self, time_ms: i64) -> Result<Vec<u8>> {
        let raw = encode(&self.series, |_| STALE.to_le_bytes(), &time_bytes(time_ms)).0;
        Ok(snap::raw::Encoder::new().compress_vec(&raw)?)
    }
}

fn time_bytes(time_ms: i64) -> [u8; TIME_BYTES] {
    let mut rest = time_ms.cast_unsigned();
    std::array::from_fn(|nth| {
        let byte = (rest & 0x7f) as u8;
        rest >>= 7;
        if nth + 1 < TIME_BYTES { byte | 0x80 } else { byte }
    })
}

/// `WriteRequest` of one sample a series; and where each value and time begins.
fn encode(
    series: &[Series],
    value: impl Fn(usize) -> [u8; 8],
    time: &[u8; TIME_BYTES],
) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut out, mut starts) = (Vec::new(), Vec::new());
    let mut one = Vec::new();
    for (nth, series) in series.iter().enumerate() {
        one.clear();
        labels(series, &mut one);
        one.extend([0x12, 2 + 8 + TIME_BYTES as u8, 0x09]);
        let value_at = one.len();
        one.extend(value(nth));
        one.push(0x10);
        let time_at = one.len();
        one.extend(time);
        out.push(0x0a);
        varint(one.len(), &mut out);
        starts.push((out.len() + value_at, out.len() + time_at));
        out.extend(&one);
    }
    (out, starts)
}

/// `WriteRequest` of one native histogram a series.
fn natives(series: &[Series], step: u64, time_ms: i64) -> Vec<u8> {
    let (mut out, mut one) = (Vec::new(), Vec::new());
    for series in series {
        one.clear();
        labels(series, &mut one);
        native::push(series.native().unwrap_or_default(), step, time_ms, &mut one);
        out.push(0x0a);
        varint(one.len(), &mut out);
        out.extend(&one);
    }
    out
}

/// Field 1 of a `TimeSeries`, for each label.
fn labels(series: &Series, out: &mut Vec<u8>) {
    for (name, value) in &series.labels {
        let length = 2 + varint_len(name.len()) + name.len() + varint_len(value.len()) + value.len();
        out.push(0x0a);
        varint(length, out);
        out.push(0x0a);
        varint(name.len(), out);
        out.extend(name.as_bytes());
        out.push(0x12);
        varint(value.len(), out);
        out.extend(value.as_bytes());
    }
}

/// Seven bits a byte, lowest first.
pub fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: usize) -> usize {
    let mut out = Vec::new();
    varint(value, &mut out);
    out.len()
}

#[cfg(test)]
mod tests {
    use super::super::series::{self, Kind, Set};
    use super::*;

    #[test]
    fn a_patched_request_is_the_request_encoded_afresh() {
        let columns = series::tests::columns();
        let mut all = Vec::new();
        for (kind, groups, n) in
            [(Kind::Node, 400, 3), (Kind::Bucket, 20, 30), (Kind::Many, 3, 100), (Kind::One, 5, 1)]
        {
            let set = Set::new(kind, groups, n, 0, 1);
            for nth in 0..groups {
                all.extend(series::group(&set, &columns, 1, nth, 0).expect("valid"));
            }
        }
        let mut template = Template::new(all).expect("built");
        for (step, time_ms) in [(0, 1_795_000_000_000), (1, 1_795_000_015_000), (77, 1_796_123_456_789)] {
            let filled = template.fill(&columns, step, time_ms).expect("filled").to_vec();
            let raw = snap::raw::Decoder::new().decompress_vec(&filled).expect("snappy");
            let value = |nth: usize| template.series[nth].value(&columns, step).to_le_bytes();
            let fresh = encode(&template.series, value, &time_bytes(time_ms)).0;
            assert!(raw == fresh, "step {step}");
            // Long enough to reach beyond snappy's blocks, or this would not show much.
            assert!(raw.len() > 200_000 && filled.len() < raw.len() / 3, "{} {}", raw.len(), filled.len());
        }
    }

    #[test]
    fn times_are_varints() {
        assert_eq!(time_bytes(1_795_000_000_000), [0x80, 0xbc, 0xd9, 0xf2, 0x9e, 0x34]);
    }
}
