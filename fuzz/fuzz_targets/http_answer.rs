//! Any bytes are an HTTP answer or an error; however they are cut, the same one, and never longer than allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use net::answer::{AnswerError, AnswerReader, Progress};

const BODY_BYTES_MAX: usize = 1_000;

/// The body, or what is wrong.
fn read(bytes: &[u8], step: usize) -> Result<(u16, Vec<u8>), AnswerError> {
    let (mut reader, mut memory) = (AnswerReader::new(BODY_BYTES_MAX), Vec::new());
    for piece in bytes.chunks(step) {
        memory.extend_from_slice(piece);
        if let Progress::Done(answer) = reader.advance(&mut memory)? {
            return Ok((answer.status, memory[answer.body].to_vec()));
        }
    }
    let answer = reader.end(&memory)?;
    Ok((answer.status, memory[answer.body].to_vec()))
}

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = input;
    let in_pieces = read(bytes, usize::from(step).max(1));
    if let Ok((_, body)) = &in_pieces {
        assert!(body.len() <= BODY_BYTES_MAX);
        assert_eq!(read(bytes, bytes.len().max(1)), in_pieces);
    }
});
