//! Decompression under a cap: the one module that inflates bytes from outside.
//!
//! In from [`crate::client`] and from those that receive pushes; out to whoever parses the body.
//! Never returns more than the caller allows, and never holds more than that plus one buffer.
#![expect(clippy::disallowed_types, reason = "the one module that decompresses, under a cap")]

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use crate::HttpError;

/// What the first allocation assumes; text metrics shrink to about a tenth (measured on node_exporter: 9 to 11).
const EXPANSION_GUESS: usize = 10;
/// Largest first allocation. Chosen: larger bodies grow into it.
const FIRST_BYTES_MAX: usize = 1 << 20;

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

/// Undoes the `Content-Encoding` named `encoding`: gzip, or none.
///
/// # Errors
/// As [`gunzip`]; [`HttpError::Decompress`] for encodings we never ask for.
pub fn decode(encoding: &str, body: Bytes, decoded_bytes_max: usize) -> Result<Bytes, HttpError> {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" if body.len() > decoded_bytes_max => {
            Err(HttpError::BodyTooLarge { limit_bytes: decoded_bytes_max })
        }
        "" | "identity" => Ok(body),
        "gzip" | "x-gzip" => gunzip(&body, decoded_bytes_max),
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

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(text: Vec<u8>) {
            prop_assert_eq!(gunzip(&gzip(&text), text.len()).unwrap(), Bytes::from(text));
        }

        #[test]
        fn any_bytes_give_an_answer(body: Vec<u8>) {
            let _ = gunzip(&body, 1_000);
        }
    }
}
