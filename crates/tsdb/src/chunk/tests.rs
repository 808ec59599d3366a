//! Round trips to the bit, hostile bytes, and the sizes the format page promises.

use super::*;
use proptest::prelude::*;

/// Every encoding gives back exactly these samples.
fn check(timestamps: &[i64], values: &[f64]) {
    let samples = Columns { timestamps: timestamps.to_vec(), values: values.to_vec() };
    let mut xor = XorAppender::new();
    for (t_ms, value) in timestamps.iter().zip(values) {
        xor.append(*t_ms, *value).unwrap();
    }
    let smallest = encode(timestamps, values).unwrap();
    for chunk in [xor.bytes(), &columns::encode(timestamps, values), &smallest, &shrink(xor.bytes().to_vec())]
    {
        let mut back = Columns::default();
        decode(chunk, &mut back).unwrap();
        assert!(back.same_bits(&samples), "encoding {}: {back:?} is not {samples:?}", chunk[0]);
        assert_eq!(n_samples(chunk).unwrap(), timestamps.len());
    }
}

fn timestamps() -> impl Strategy<Value = Vec<i64>> {
    let delta = prop_oneof![
        8 => Just(15_000i64),
        4 => 14_990i64..15_010,
        1 => 1i64..10_000_000,
        1 => 1i64..i64::MAX / 512,
    ];
    let first = prop_oneof![0i64..2_000_000_000_000, Just(i64::MIN), -5i64..5];
    (first, proptest::collection::vec(delta, 0..SAMPLES_MAX)).prop_map(|(first, deltas)| {
        let mut times = vec![first];
        for delta in deltas {
            let Some(next) = times[times.len() - 1].checked_add(delta) else { break };
            times.push(next);
        }
        times
    })
}

fn value() -> impl Strategy<Value = f64> {
    let special = proptest::sample::select(vec![
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        model::STALE_NAN,
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff8_dead_beef_0001),
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
        9_007_199_254_740_992.0,
        9_007_199_254_740_993.0,
    ]);
    prop_oneof![special, any::<u64>().prop_map(f64::from_bits), (-1_000i64..1_000).prop_map(|v| v as f64)]
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    let n = SAMPLES_MAX;
    prop_oneof![
        proptest::collection::vec(value(), n),
        value().prop_map(move |v| vec![v; n]),
        proptest::collection::vec((0i64..50).prop_map(|v| v as f64 * 4096.0), n),
        proptest::collection::vec((0i64..100_000).prop_map(|v| v as f64 / 100.0), n),
        proptest::collection::vec(0i64..1_000, n).prop_map(|steps| {
            steps
                .iter()
                .scan(1e12, |sum, step| {
                    *sum += *step as f64;
                    Some(*sum)
                })
                .collect()
        }),
        proptest::collection::vec((0u8..20, value()), n).prop_map(|changes| {
            changes
                .iter()
                .scan(1.5, |last, (odds, v)| {
                    if *odds == 0 {
                        *last = *v;
                    }
                    Some(*last)
                })
                .collect()
        }),
    ]
}

proptest! {
    #[test]
    fn every_bit_comes_back(timestamps in timestamps(), values in values()) {
        check(&timestamps, &values[..timestamps.len()]);
    }

    #[test]
    fn an_open_chunk_goes_on_where_it_stopped(timestamps in timestamps(), values in values(), cut in 0usize..SAMPLES_MAX) {
        let cut = cut.min(timestamps.len() - 1).max(1).min(timestamps.len());
        let mut whole = XorAppender::new();
        let mut resumed = XorAppender::new();
        for (idx, (t_ms, value)) in timestamps.iter().zip(&values).enumerate() {
            if idx == cut {
                resumed = XorAppender::resume(resumed.bytes()).unwrap().unwrap();
            }
            whole.append(*t_ms, *value).unwrap();
            resumed.append(*t_ms, *value).unwrap();
        }
        prop_assert_eq!(whole.bytes(), resumed.bytes());
    }

    #[test]
    fn hostile_bytes_are_refused_or_decoded(encoding in 0u8..4, n in 0u16..300, payload in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut chunk = vec![encoding];
        chunk.extend_from_slice(&n.to_le_bytes());
        chunk.extend_from_slice(&payload);
        let mut out = Columns::default();
        if decode(&chunk, &mut out).is_ok() {
            prop_assert_eq!(out.timestamps.len(), usize::from(n));
            prop_assert_eq!(out.values.len(), usize::from(n));
            prop_assert!(out.timestamps.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn a_cut_chunk_is_refused(timestamps in timestamps(), values in values()) {
        let chunk = encode(&timestamps, &values[..timestamps.len()]).unwrap();
        for len in 0..chunk.len() {
            prop_assert!(decode(&chunk[..len], &mut Columns::default()).is_err());
        }
    }
}

#[test]
fn edges_of_time_come_back() {
    check(&[i64::MIN, i64::MAX], &[1.0, 2.0]);
    check(&[i64::MIN, -1, 0, i64::MAX], &[1.0, 2.0, 2.0, -0.0]);
    check(&[0], &[model::STALE_NAN]);
}

#[test]
fn a_full_or_falling_chunk_refuses_and_stays() {
    let mut chunk = XorAppender::new();
    for idx in 0..SAMPLES_MAX as i64 {
        chunk.append(idx, 1.0).unwrap();
        assert!(chunk.append(idx, 1.0).is_err());
    }
    let before = chunk.bytes().to_vec();
    assert_eq!(chunk.append(i64::MAX, 1.0), Err(ChunkError::Full));
    assert_eq!(chunk.bytes(), before);
}

#[test]
fn usual_shapes_are_small() {
    let timestamps: Vec<i64> = (0..240).map(|idx| 1_700_000_000_000 + idx * 15_000).collect();
    let small = |name: &str, value_at: fn(i64) -> f64, bytes_max: usize| {
        let values: Vec<f64> = (0..240).map(value_at).collect();
        let n_bytes = encode(&timestamps, &values).unwrap().len();
        assert!(n_bytes <= bytes_max, "{name}: {n_bytes} bytes");
        check(&timestamps, &values);
    };
    small("constant", |_| 42.5, 24);
    small("steady counter", |idx| 1e9 + idx as f64 * 17.0, 32);
    small("memory in pages", |idx| 4096.0 * (1_000_000 + idx * idx % 97) as f64, 280);
    small("seldom changes", |idx| (idx / 100) as f64, 60);
    small("cpu seconds", |idx| (123_456 + idx * 15 * 7 % 1_000) as f64 / 100.0, 400);
}
