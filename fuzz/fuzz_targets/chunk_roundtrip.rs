//! Every bit of every sample comes back from every encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::chunk::{Columns, SAMPLES_MAX, XorAppender, decode, encode, shrink};

fuzz_target!(|bytes: &[u8]| {
    let mut samples = Columns::default();
    let mut t_ms = i64::MIN;
    for pair in bytes.chunks_exact(12).take(SAMPLES_MAX) {
        // Squared, so that steps from one millisecond to all of time are equally likely.
        let step = i64::from(u32::from_le_bytes([pair[0], pair[1], pair[2], pair[3]]) >> 1);
        let Some(next) = t_ms.checked_add(step * step + 1) else { break };
        t_ms = next;
        let bits = u64::from_le_bytes(pair[4..].try_into().expect("eight bytes"));
        samples.timestamps.push(t_ms);
        samples.values.push(f64::from_bits(bits));
    }
    if samples.timestamps.is_empty() {
        return;
    }
    let mut appender = XorAppender::new();
    for (t_ms, value) in samples.timestamps.iter().zip(&samples.values) {
        appender.append(*t_ms, *value).expect("times rise");
    }
    let smallest = encode(&samples.timestamps, &samples.values).expect("times rise");
    let shrunk = shrink(appender.bytes().to_vec());
    for chunk in [appender.bytes(), &smallest[..], &shrunk[..]] {
        let mut back = Columns::default();
        decode(chunk, &mut back).expect("what was encoded decodes");
        assert!(back.same_bits(&samples));
    }
});
