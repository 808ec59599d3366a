//! Decompression under a cap: the one module that inflates bytes from outside.
//!
//! In from [`crate::client`] and from those that receive pushes; out to whoever parses the body.
//! Never returns more than the caller allows, and never holds more than that plus one buffer.
//! Two ways with the same answers: in one step by libdeflate, which is some three times faster but must know the length before
//! and reads one member only, and by flate2, which streams and says what is wrong.
#![expect(clippy::disallowed_types, reason = "the one module that decompresses, under a cap")]

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use crate::HttpError;

/// What the first allocation assumes; text metrics shrink to about a tenth (measured on node_exporter: 9 to 11).
const EXPANSION_GUESS: usize = 10;
/// Largest first allocation. Chosen: larger bodies grow into it.
const FIRST_BYTES_MAX: usize = 1 << 20;

/// Most that deflate expands, by its definition: 258 bytes from two bits, and a little more.
const EXPANSION_MAX: usize = 1_032;
/// Largest buffer that an [`Inflater`] keeps, in bytes. Chosen: larger pages are rare, and pay for a new one.
const KEPT_BYTES_MAX: usize = 8 << 20;
/// Largest window that a frame of zstd may ask for: 8 MiB. From RFC 9659, for content encodings.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// How a stream of snappy frames begins: the identifier of its framing format.
const SNAPPY_FRAMES_START: [u8; 10] = *b"\xff\x06\0\0sNaPpY";
/// How every gzip member begins (RFC 1952: two bytes of identity, and deflate).
const MEMBER_START: [u8; 3] = [0x1f, 0x8b, 0x08];

/// Inflates one body after another into the same memory.
pub struct Inflater {
    fast: libdeflater::Decompressor,
    text: Vec<u8>,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("kept_bytes", &self.text.capacity()).finish_non_exhaustive()
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self { fast: libdeflater::Decompressor::new(), text: Vec::new() }
    }
}

impl Inflater {
    /// As [`decode`], without copying a body that is not compressed.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode<'a>(
        &'a mut self,
        encoding: &str,
        body: &'a [u8],
        decoded_bytes_max: usize,
    ) -> Result<&'a [u8], HttpError> {
        if encoding != "gzip" {
            if !is_plain(encoding) {
                self.text = decode(encoding, Bytes::copy_from_slice(body), decoded_bytes_max)?.into();
                return Ok(&self.text);
            }
            return within(body, decoded_bytes_max);
        }
        // Fast path: one member, whose end says how long it becomes.
        if let Some(n_bytes) = self.in_one_step(body, decoded_bytes_max) {
            return Ok(&self.text[..n_bytes]);
        }
        // Slow path: several members, bombs, damage.
        self.text = gunzip(body, decoded_bytes_max)?.into();
        Ok(&self.text)
    }

    /// The length of the text, now at the start of `self.text`; `None` when [`gunzip`] must decide.
    fn in_one_step(&mut self, body: &[u8], decoded_bytes_max: usize) -> Option<usize> {
        let n_bytes = u32::from_le_bytes(*body.last_chunk::<4>()?) as usize;
        let is_likely = n_bytes <= decoded_bytes_max && n_bytes / EXPANSION_MAX <= body.len();
        let is_one = memchr::memmem::find(&body[1..], &MEMBER_START).is_none();
        if !is_likely || !is_one {
            return None;
        }
        if self.text.len() > KEPT_BYTES_MAX {
            self.text = Vec::new();
        }
        if self.text.len() < n_bytes {
            self.text.resize(n_bytes, 0);
        }
        // Another length than the text's is rubbish behind the member. Rubbish that ends with the right one goes unnoticed.
        self.fast.gzip_decompress(body, &mut self.text[..n_bytes]).ok().filter(|got| *got == n_bytes)
    }
}

fn is_plain(encoding: &str) -> bool {
    matches!(encoding.trim().to_ascii_lowercase().as_str(), "" | "identity")
}

fn within(body: &[u8], decoded_bytes_max: usize) -> Result<&[u8], HttpError> {
    if body.len() > decoded_bytes_max {
        return Err(HttpError::BodyTooLarge { limit_bytes: decoded_bytes_max });
    }
    Ok(body)
}

/// Inflates gzip; several members after one another count as one text, as RFC 1952 says.
///
/// # Errors
/// [`HttpError::BodyTooLarge`] when the text is longer than `decoded_bytes_max`, [`HttpError::Decompress`] when the
/// stream is broken or ends early.
pub fn gunzip(compressed: &[u8], decoded_bytes_max: usize) -> Result<Bytes, HttpError> {
    let first_bytes =
        compressed.len().saturating_mul(EXPANSION_GUESS).min(FIRST_BYTES_MAX).min(decoded_bytes_max);
    let mut text = Vec::with_capacity(first_bytes);
    // One byte more than allowed tells «exactly at the limit» from «above».
    let limit = u64::try_from(decoded_bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut decoder = MultiGzDecoder::new(compressed).take(limit);
    decoder.read_to_end(&mut text).map_err(|err| {
        HttpError::Decompress(match err.kind() {
            std::io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
            _ => err.to_string(),
        })
    })?;
    if text.len() > decoded_bytes_max {
        return Err(HttpError::BodyTooLarge { limit_bytes: decoded_bytes_max });
    }
    Ok(Bytes::from(text))
}

/// Inflates zstd, frame after frame.
///
/// # Errors
/// As [`gunzip`], and for a frame that asks for a window beyond [`ZSTD_WINDOW_LOG_MAX`].
pub fn unzstd(compressed: &[u8], decoded_bytes_max: usize) -> Result<Bytes, HttpError> {
    let broken = |err: std::io::Error| {
        HttpError::Decompress(match err.kind() {
            std::io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
            _ => err.to_string(),
        })
    };
    let limit = u64::try_from(decoded_bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut decoder = zstd::stream::Decoder::new(compressed).map_err(broken)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
    let mut text = Vec::new();
    decoder.take(limit).read_to_end(&mut text).map_err(broken)?;
    if text.len() > decoded_bytes_max {
        return Err(HttpError::BodyTooLarge { limit_bytes: decoded_bytes_max });
    }
    Ok(Bytes::from(text))
}

/// Inflates snappy: frames, as Go's clients stream them, or one block, as remote write sends it.
///
/// # Errors
/// As [`gunzip`].
pub fn unsnap(compressed: &[u8], decoded_bytes_max: usize) -> Result<Bytes, HttpError> {
    let too_large = || HttpError::BodyTooLarge { limit_bytes: decoded_bytes_max };
    let broken = |err: &dyn std::fmt::Display| HttpError::Decompress(err.to_string());
    if compressed.starts_with(&SNAPPY_FRAMES_START) {
        let limit = u64::try_from(decoded_bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        let mut text = Vec::new();
        let mut decoder = snap::read::FrameDecoder::new(compressed).take(limit);
        decoder.read_to_end(&mut text).map_err(|err| broken(&err))?;
        return if text.len() > decoded_bytes_max { Err(too_large()) } else { Ok(Bytes::from(text)) };
    }
    let n_bytes = snap::raw::decompress_len(compressed).map_err(|err| broken(&err))?;
    if n_bytes > decoded_bytes_max {
        return Err(too_large());
    }
    let text = snap::raw::Decoder::new().decompress_vec(compressed).map_err(|err| broken(&err))?;
    Ok(Bytes::from(text))
}

/// Undoes the `Content-Encoding` named `encoding`: gzip, snappy, zstd, or none.
///
/// # Errors
/// As [`gunzip`]; [`HttpError::Decompress`] for other encodings.
pub fn decode(encoding: &str, body: Bytes, decoded_bytes_max: usize) -> Result<Bytes, HttpError> {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => within(&body, decoded_bytes_max).map(|_| ()).map(|()| body),
        "gzip" | "x-gzip" => gunzip(&body, decoded_bytes_max),
        "zstd" => unzstd(&body, decoded_bytes_max),
        "snappy" => unsnap(&body, decoded_bytes_max),
        other => Err(HttpError::Decompress(format!("unsupported content encoding {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn check(body: &[u8], limit: usize, expected: Result<&[u8], &str>) {
        let got = gunzip(body, limit).map_err(|err| err.to_string());
        assert_eq!(got.as_deref(), expected.map_err(str::to_owned).as_deref());
        check_inflater(&mut Inflater::default(), body, limit);
    }

    /// Both ways say the same.
    fn check_inflater(inflater: &mut Inflater, body: &[u8], limit: usize) {
        let expected = gunzip(body, limit).map_err(|err| err.to_string());
        let got = inflater.decode("gzip", body, limit).map_err(|err| err.to_string());
        assert_eq!(got, expected.as_deref().map_err(Clone::clone));
    }

    #[test]
    fn snappy_comes_in_frames_or_as_a_block() {
        let mut frames = snap::write::FrameEncoder::new(Vec::new());
        frames.write_all(&[b'x'; 100_000]).unwrap();
        let frames = frames.into_inner().unwrap();
        let block = snap::raw::Encoder::new().compress_vec(&[b'x'; 100_000]).unwrap();
        for body in [frames, block] {
            assert_eq!(unsnap(&body, 100_000).unwrap().len(), 100_000);
            let refused = |body: &[u8], limit| unsnap(body, limit).unwrap_err().to_string();
            assert_eq!(refused(&body, 99_999), "body size limit exceeded");
            assert!(refused(&body[..body.len() / 2], 100_000).starts_with("cannot decompress the body: "));
        }
        assert!(unsnap(b"", 9).is_err());
    }

    #[test]
    fn inflates_up_to_the_limit_and_no_further() {
        let body = gzip(b"up 1\n");
        check(&body, 5, Ok(b"up 1\n"));
        check(&body, 4, Err("body size limit exceeded"));
        check(&[gzip(b"a"), gzip(b"b")].concat(), 9, Ok(b"ab"));
        check(&body[..body.len() - 3], 9, Err("cannot decompress the body: unexpected EOF"));
        check(b"not gzip at all", 9, Err("cannot decompress the body: invalid gzip header"));
        // A bomb: a gigabyte in a megabyte. Memory stays at the cap.
        check(&gzip(&vec![0; 16 << 20]), 1 << 10, Err("body size limit exceeded"));
    }

    #[test]
    fn zstd_is_inflated_up_to_the_limit_and_with_a_small_window() {
        let check = |body: &[u8], limit: usize, expected: Result<&[u8], &str>| {
            let got = decode("zstd", Bytes::copy_from_slice(body), limit).map_err(|err| err.to_string());
            match expected {
                Ok(text) => assert_eq!(got.unwrap(), text),
                Err(words) => assert!(got.as_ref().unwrap_err().contains(words), "{got:?}"),
            }
        };
        let packed = |text: &[u8]| zstd::bulk::compress(text, 3).unwrap();
        let body = packed(b"up 1\n");
        check(&body, 5, Ok(b"up 1\n"));
        check(&body, 4, Err("body size limit exceeded"));
        check(&[packed(b"a"), packed(b"b")].concat(), 9, Ok(b"ab"));
        check(&body[..body.len() - 3], 9, Err("cannot decompress the body"));
        check(b"not zstd at all", 9, Err("cannot decompress the body"));
        check(&packed(&vec![0; 16 << 20]), 1 << 10, Err("body size limit exceeded"));
        let mut wide = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        wide.window_log(27).unwrap();
        wide.write_all(&vec![b'x'; 1 << 10]).unwrap();
        check(&wide.finish().unwrap(), 1 << 20, Err("cannot decompress the body"));
    }

    #[test]
    fn both_ways_of_inflating_agree() {
        let mut inflater = Inflater::default();
        let one = gzip(b"up 1\n");
        for rest in [&b""[..], b"\0", b"rubbish", &one, &gzip(b"xy 1\n"), &one[..9]] {
            check_inflater(&mut inflater, &[&one, rest].concat(), 99);
        }
        for len in [0, 1, 1 << 10, 1 << 20, 3, 10 << 20, 5] {
            check_inflater(&mut inflater, &gzip(&vec![b'x'; len]), 16 << 20);
        }
        assert_eq!(inflater.decode(" Identity", b"a", 1).unwrap(), b"a");
        assert_eq!(inflater.decode("X-GZIP", &one, 5).unwrap(), b"up 1\n");
        assert_eq!(inflater.decode("", b"ab", 1).unwrap_err().to_string(), "body size limit exceeded");
        assert!(
            inflater.decode("br", b"ab", 1).unwrap_err().to_string().contains("unsupported content encoding")
        );
    }

    proptest! {
        #[test]
        fn damage_is_told_by_both_ways_alike(text: Vec<u8>, at: usize, bit in 0..8, cut: usize) {
            let mut body = gzip(&text);
            let at = at % body.len();
            body[at] ^= 1u8 << bit;
            check_inflater(&mut Inflater::default(), &body, text.len() + 9);
            body.truncate(cut % body.len());
            check_inflater(&mut Inflater::default(), &body, text.len() + 9);
        }

        #[test]
        fn what_was_compressed_comes_back(text: Vec<u8>) {
            prop_assert_eq!(gunzip(&gzip(&text), text.len()).unwrap(), Bytes::from(text));
        }

        #[test]
        fn any_bytes_give_an_answer(body: Vec<u8>) {
            let _ = gunzip(&body, 1_000);
            let _ = unzstd(&body, 1_000);
        }
    }
}
