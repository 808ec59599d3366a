//! Any message is a request of remote read or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| {
    let _ = wire::remote_write::decode_read_request(message);
});
