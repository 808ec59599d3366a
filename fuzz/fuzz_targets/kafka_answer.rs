//! Any bytes are a Kafka broker's answer, as far as they go.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = alertmanager::read_kafka_answer(bytes);
});
