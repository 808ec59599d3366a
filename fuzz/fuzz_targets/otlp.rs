//! Any bytes are a request of OTLP or an error, in either encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = (wire::otlp::decode_protobuf(body), wire::otlp::decode_json(body));
});
