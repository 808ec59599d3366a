//! Any message is a request of remote read, or an answer of chunks, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| {
    let _ = wire::remote_write::decode_read_request(message);
    let _ = wire::remote_write::decode_chunked_message(message);
    let mut frames = wire::remote_write::Frames::new(1 << 16);
    for piece in message.chunks(7) {
        frames.push(piece);
        while let Ok(Some(message)) = frames.next() {
            let _ = wire::remote_write::decode_chunked_message(message);
        }
    }
});
