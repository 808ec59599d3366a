//! Any bytes are an answer of a name server or an error, and never make the reader loop.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = discovery::dns_message::parse(bytes);
});
