//! What the benches measure, on shapes that real series have.

use tsdb::chunk::{self, Columns, XorAppender};

/// Named shapes of `n` samples at 15 s.
pub(crate) fn shapes(n: usize) -> Vec<(&'static str, Columns)> {
    let shape = |value_at: &dyn Fn(usize) -> f64| Columns {
        timestamps: (0..n as i64).map(|idx| 1_700_000_000_000 + idx * 15_000).collect(),
        values: (0..n).map(value_at).collect(),
    };
    let noise = |idx: usize| (idx as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    vec![
        ("constant", shape(&|_| 1.0)),
        ("gauge", shape(&|idx| 8e9 + (noise(idx) % 4_096) as f64 * 4_096.0)),
        ("counter", shape(&|idx| 1e6 + idx as f64 * 137.0 + (noise(idx) % 16) as f64)),
        ("noise", shape(&|idx| 1.0 / (1.0 + noise(idx) as f64))),
    ]
}

/// One by one into an open chunk, as the head does.
pub(crate) fn append(samples: &Columns) -> Vec<u8> {
    let mut appender = XorAppender::new();
    for (t_ms, value) in samples.timestamps.iter().zip(&samples.values) {
        appender.append(*t_ms, *value).expect("times rise");
    }
    appender.into_bytes()
}

/// All at once, as compaction does.
pub(crate) fn encode(samples: &Columns) -> Vec<u8> {
    chunk::encode(&samples.timestamps, &samples.values).expect("times rise")
}

/// Into columns, as queries do.
pub(crate) fn decode(bytes: &[u8]) -> Columns {
    let mut out = Columns::default();
    chunk::decode(bytes, &mut out).expect("what was encoded decodes");
    out
}
