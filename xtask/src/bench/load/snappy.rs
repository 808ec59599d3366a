//! Snappy compression with holes: bytes that change later and therefore are written as they are, in known places.
//!
//! Out goes an ordinary snappy block. Source: snappy's format description; the search is greedy over a table of
//! four-byte sequences, as in the reference encoder, but looks at every position.

use anyhow::{Context as _, Result};

/// Bytes that are compressed together; copies reach no further back. From the reference encoder.
const BLOCK: usize = 1 << 16;

/// Shortest copy.
const MATCH_MIN: usize = 4;

/// A byte of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Stays as it is.
    Plain,
    /// Changes alone.
    Own,
    /// Changes together with all others of this number, so that it may be copied from one of them.
    Shared(u8),
}

/// A compressed block, and where each byte went that is not plain and was not copied: position in the input, in the output.
pub struct Compressed {
    pub bytes: Vec<u8>,
    pub places: Vec<(usize, u32)>,
}

/// Compresses `input`, of which byte i is of class `classes[i]`.
pub fn compress(input: &[u8], classes: &[Class]) -> Result<Compressed> {
    let mut out = Compressed { bytes: Vec::new(), places: Vec::new() };
    let mut length = input.len();
    while length >= 0x80 {
        out.bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.bytes.push(length as u8);
    let mut starts = (0..input.len()).step_by(BLOCK);
    starts.try_for_each(|start| block(input, classes, start, (start + BLOCK).min(input.len()), &mut out))?;
    Ok(out)
}

fn block(input: &[u8], classes: &[Class], start: usize, end: usize, out: &mut Compressed) -> Result<()> {
    let mut table = vec![usize::MAX; 1 << 14];
    let (mut at, mut literal_from) = (start, start);
    while at + MATCH_MIN <= end {
        let sequence = u32::from_le_bytes([input[at], input[at + 1], input[at + 2], input[at + 3]]);
        let slot = &mut table[(sequence.wrapping_mul(0x1e35_a7bd) >> 18) as usize];
        let candidate = std::mem::replace(slot, at);
        let same = |nth: usize| {
            let (from, to) = (candidate + nth, at + nth);
            to < end && input[from] == input[to] && classes[from] == classes[to] && classes[to] != Class::Own
        };
        let length = if candidate == usize::MAX { 0 } else { (0..).take_while(|nth| same(*nth)).count() };
        if length < MATCH_MIN {
            at += 1;
            continue;
        }
        literal(input, classes, literal_from, at, out)?;
        copy(at - candidate, length, &mut out.bytes);
        at += length;
        literal_from = at;
    }
    literal(input, classes, literal_from, end, out)
}

fn literal(input: &[u8], classes: &[Class], from: usize, to: usize, out: &mut Compressed) -> Result<()> {
    if from == to {
        return Ok(());
    }
    let length = to - from - 1;
    match length {
        0..60 => out.bytes.push((length << 2) as u8),
        60..256 => out.bytes.extend([60 << 2, length as u8]),
        _ => out.bytes.extend([61 << 2, length as u8, (length >> 8) as u8]),
    }
    for position in (from..to).filter(|position| classes[*position] != Class::Plain) {
        let place = out.bytes.len() + position - from;
        out.places.push((position, u32::try_from(place).context("a request of gigabytes")?));
    }
    out.bytes.extend(&input[from..to]);
    Ok(())
}

fn copy(back: usize, mut length: usize, out: &mut Vec<u8>) {
    while length > 0 {
        // What is left over may be short: this form takes any length up to 64.
        let now = length.min(64);
        if (4..12).contains(&now) && back < 1 << 11 {
            out.extend([(back >> 8 << 5 | (now - 4) << 2 | 1) as u8, back as u8]);
        } else {
            out.extend([((now - 1) << 2 | 2) as u8, back as u8, (back >> 8) as u8]);
        }
        length -= now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_gives_the_input_back_and_holes_lie_where_it_says() {
        let mut input: Vec<u8> = Vec::new();
        let mut classes = Vec::new();
        for nth in 0..3_000u32 {
            let record = format!("name=\"instance\",value=\"host-{}\",t=", nth % 7);
            input.extend(record.as_bytes());
            input.extend([7, 0, 0, 0, 1, 2, 3]);
            classes.resize(input.len() - 7, Class::Plain);
            classes.extend([Class::Own; 4]);
            classes.extend([Class::Shared(0), Class::Shared(1), Class::Shared(2)]);
        }
        let mut compressed = compress(&input, &classes).expect("small");
        assert!(compressed.bytes.len() < input.len() / 2);
        for (position, place) in compressed.places {
            let byte = if classes[position] == Class::Own { position as u8 } else { 200 + input[position] };
            compressed.bytes[place as usize] = byte;
        }
        for (position, byte) in input.iter_mut().enumerate() {
            match classes[position] {
                Class::Plain => {}
                Class::Own => *byte = position as u8,
                Class::Shared(_) => *byte += 200,
            }
        }
        let decoded = snap::raw::Decoder::new().decompress_vec(&compressed.bytes).expect("a snappy block");
        assert!(decoded == input);
    }
}
