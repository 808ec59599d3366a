//! Remote read answered as frames of chunks, as the reader sees it.
//!
//! In: the body of an answer, piece by piece as it comes; out: the messages in it, and what they say. Each frame is a varint length, a
//! big-endian CRC32C and a message `prometheus.ChunkedReadResponse`. Holds one frame and one piece. Chunks stay encoded.
//! Source: Prometheus' `prompb/remote.proto`; the other direction is [`super::put_chunked_frame`].

use model::Labels;

use super::ChunkRef;
use super::error::DecodeError;
use super::labels;
use super::proto::{Fields, get_varint};
use super::v1::collect_labels;

/// Bytes of a length: a varint of 64 bits.
const LENGTH_BYTES_MAX: usize = 10;
/// Bytes of a checksum.
const SUM_BYTES: usize = 4;

/// Why frames cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than the reader wants.
    #[error(
        "message size exceeded the limit {bytes_max} bytes; got: {bytes} bytes (setting: chunked_read_limit)"
    )]
    TooLarge {
        /// The limit.
        bytes_max: u64,
        /// What the frame says.
        bytes: u64,
    },
    /// Ten bytes that are no length.
    #[error("a frame without a length")]
    Length,
    /// What came is not what was sent.
    #[error("corrupted frame; checksum mismatch")]
    Checksum,
    /// The answer ends within a frame.
    #[error("unexpected EOF")]
    Truncated,
}

/// Finds frames in a body.
#[derive(Debug)]
pub struct Frames {
    bytes_max: u64,
    /// What came and was not taken yet begins at `taken`.
    buffer: Vec<u8>,
    taken: usize,
}

impl Frames {
    /// For messages of at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, buffer: Vec::new(), taken: 0 }
    }

    /// Adds what came.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// The next message; `None` until more has come.
    ///
    /// # Errors
    /// When what came is no frame. There is no way to go on then.
    #[expect(clippy::should_implement_trait, reason = "an iterator that can fail, and go on")]
    pub fn next(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let mut rest = &self.buffer[self.taken..];
        let n_here = rest.len();
        let Some(bytes) = get_varint(&mut rest) else {
            return if n_here < LENGTH_BYTES_MAX { Ok(None) } else { Err(FrameError::Length) };
        };
        if bytes > self.bytes_max {
            return Err(FrameError::TooLarge { bytes_max: self.bytes_max, bytes });
        }
        let Some((sum, rest)) = rest.split_first_chunk::<SUM_BYTES>() else { return Ok(None) };
        let Some(len) = usize::try_from(bytes).ok().filter(|len| *len <= rest.len()) else { return Ok(None) };
        if crc32c::crc32c(&rest[..len]) != u32::from_be_bytes(*sum) {
            return Err(FrameError::Checksum);
        }
        let start = self.taken + n_here - rest.len();
        self.taken = start + len;
        Ok(Some(&self.buffer[start..self.taken]))
    }

    /// Checks that nothing is left over when the answer is at its end.
    ///
    /// # Errors
    /// When a frame has begun.
    pub fn end(&self) -> Result<(), FrameError> {
        if self.taken == self.buffer.len() { Ok(()) } else { Err(FrameError::Truncated) }
    }
}

/// The series of a frame's message with their chunks. Series whose labels cannot be used are left out.
///
/// # Errors
/// When the bytes are no message.
pub fn decode_chunked_message(message: &[u8]) -> Result<Vec<(Labels, Vec<ChunkRef<'_>>)>, DecodeError> {
    let mut all = Vec::new();
    let mut fields = Fields::new(message, "ChunkedReadResponse");
    while let Some(field) = fields.next()? {
        if field.number != 1 {
            continue;
        }
        let series = field.bytes()?;
        let mut pairs = Vec::new();
        collect_labels(series, "ChunkedSeries", &mut pairs)?;
        let mut chunks = Vec::new();
        let mut fields = Fields::new(series, "ChunkedSeries");
        while let Some(field) = fields.next()? {
            if field.number == 2 {
                chunks.push(chunk(field.bytes()?)?);
            }
        }
        if let Ok(labels) = labels::build(&mut pairs) {
            all.push((labels, chunks));
        }
    }
    Ok(all)
}

fn chunk(bytes: &[u8]) -> Result<ChunkRef<'_>, DecodeError> {
    let mut chunk = ChunkRef { min_ms: 0, max_ms: 0, encoding: 0, data: &[] };
    let mut fields = Fields::new(bytes, "Chunk");
    while let Some(field) = fields.next()? {
        match field.number {
            1 => chunk.min_ms = field.int64()?,
            2 => chunk.max_ms = field.int64()?,
            // What does not fit is an encoding that nobody knows.
            3 => chunk.encoding = u8::try_from(field.varint()?).unwrap_or(0),
            4 => chunk.data = field.bytes()?,
            _ => {}
        }
    }
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::put_chunked_frame;
    use super::*;

    /// All messages of a body that comes in pieces of `piece` bytes.
    fn messages(body: &[u8], piece: usize, bytes_max: u64) -> Result<Vec<Vec<u8>>, FrameError> {
        let (mut frames, mut all) = (Frames::new(bytes_max), Vec::new());
        for piece in body.chunks(piece.max(1)) {
            frames.push(piece);
            while let Some(message) = frames.next()? {
                all.push(message.to_vec());
            }
        }
        frames.end().map(|()| all)
    }

    fn body() -> Vec<u8> {
        let mut body = Vec::new();
        for (job, data) in [("a", &[1, 2, 3][..]), ("b", &[7; 300])] {
            let labels = Labels::from_pairs([("__name__", "up"), ("job", job)]);
            let chunk = ChunkRef { min_ms: -5, max_ms: 9, encoding: 1, data };
            put_chunked_frame(&mut body, 0, &labels, &[chunk, chunk]);
        }
        body
    }

    #[test]
    fn what_was_sent_is_read_however_it_comes() {
        for piece in [1, 3, 7, 200, 10_000] {
            let all = messages(&body(), piece, 1_000).unwrap();
            let series: Vec<_> =
                all.iter().flat_map(|message| decode_chunked_message(message).unwrap()).collect();
            assert_eq!(series[0].0.to_string(), r#"{__name__="up", job="a"}"#);
            assert_eq!(series[1].1.len(), 2);
            let chunk = series[1].1[0];
            assert_eq!((chunk.min_ms, chunk.max_ms, chunk.encoding, chunk.data), (-5, 9, 1, &[7; 300][..]));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let whole = body();
        let mut flipped = whole.clone();
        flipped[20] ^= 1;
        for (body, bytes_max, expected) in [
            (&whole[..whole.len() - 1], 1_000, FrameError::Truncated),
            (&whole[..], 10, FrameError::TooLarge { bytes_max: 10, bytes: u64::from(whole[0]) }),
            (&flipped, 1_000, FrameError::Checksum),
            (&[0x80; 20], 1_000, FrameError::Length),
        ] {
            assert_eq!(messages(body, 5, bytes_max), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, piece in 1_usize..50, at: usize, byte: u8) {
            let _ = messages(&bytes, piece, 100);
            let _ = decode_chunked_message(&bytes);
            let mut body = body();
            let at = at % body.len();
            body[at] = byte;
            let _ = messages(&body, piece, 1_000);
            let _ = decode_chunked_message(&body[at..]);
        }
    }
}
