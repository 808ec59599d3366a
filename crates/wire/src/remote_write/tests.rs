//! What is encoded comes back, what is broken is refused: requests of both versions, labels, histograms.

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::{Exemplar, Histogram, Labels, Metadata, MetricType};
use proptest::prelude::*;

use super::*;

fn secret() -> HashSecret {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    HashSecret::new(|| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        state
    })
}

/// Reads a request of version 1 back into what was encoded. Metadata is given to the series of its name.
fn read_v1(message: &[u8]) -> Result<Vec<TimeSeries>, DecodeError> {
    let (mut all, mut request) = (Vec::<TimeSeries>::new(), RequestV1::new(message));
    while let Some(item) = request.next()? {
        match item {
            Item::Metadata(metadata) => {
                let (name, metadata) = metadata.decode()?;
                if let Some(series) =
                    all.iter_mut().find(|s| s.labels.metric_name() == name && s.metadata.is_none())
                {
                    series.metadata = Some(metadata);
                }
            }
            Item::Series(view) => {
                let mut series = TimeSeries::default();
                let Ok(labels) = view.labels()? else { continue };
                series.labels = labels;
                let mut samples = view.samples();
                while let Some(sample) = samples.next()? {
                    series.samples.push(sample);
                }
                assert_eq!(series.samples.first().map(bits), view.first().as_ref().map(bits));
                view.histograms(|message| take_histogram(&mut series, message))?;
                view.exemplars(|exemplar| series.exemplars.extend(exemplar.ok()))?;
                let parts = view.parts();
                assert_eq!(parts.n_samples as usize, series.samples.len());
                assert!(parts.n_histograms as usize >= series.histograms.len());
                assert!(parts.n_exemplars as usize >= series.exemplars.len());
                // Exemplars stand behind their histograms, in a message of their own.
                match all.last_mut().filter(|last: &&mut TimeSeries| last.labels == series.labels) {
                    Some(last) if parts.n_samples + parts.n_histograms == 0 => {
                        last.exemplars = series.exemplars;
                    }
                    _ => all.push(series),
                }
            }
        }
    }
    Ok(all)
}

fn read_v2(message: &[u8]) -> Result<Vec<TimeSeries>, DecodeError> {
    let request = RequestV2::new(message, &secret())?;
    let (mut all, mut view) = (Vec::new(), SeriesV2::new());
    for idx in 0..request.n_series() {
        request.read(idx, &mut view)?;
        let mut series = TimeSeries::default();
        let (Ok(labels), Ok(metadata)) = (request.labels(&view), request.metadata(&view)) else { continue };
        (series.labels, series.metadata) = (labels, metadata);
        let mut samples = view.samples();
        while let Some(sample) = samples.next()? {
            series.samples.push(sample);
        }
        assert_eq!(series.samples.first().map(bits), view.first().as_ref().map(bits));
        view.histograms(|message| take_histogram(&mut series, message))?;
        request.exemplars(&view, |exemplar| series.exemplars.extend(exemplar.ok()))?;
        assert_eq!(view.parts().n_samples as usize, series.samples.len());
        all.push(series);
    }
    Ok(all)
}

fn take_histogram(series: &mut TimeSeries, message: &[u8]) -> Result<(), DecodeError> {
    let decoded = decode_histogram(message)?;
    if let Ok(histogram) = decoded.histogram {
        series.histograms.push((decoded.t_ms, decoded.start_ms, histogram));
    }
    Ok(())
}

fn bits(sample: &Sample) -> (i64, i64, u64) {
    (sample.t_ms, sample.start_ms, sample.value.to_bits())
}

/// Equality to the bit: NaN is NaN.
fn text(series: &[TimeSeries]) -> String {
    let samples = |one: &TimeSeries| one.samples.iter().map(bits).collect::<Vec<_>>();
    series.iter().map(|one| format!("{:?} {one:?}\n", samples(one))).collect()
}

fn integer_histogram() -> Histogram {
    Histogram {
        is_integer: true,
        reset_hint: ResetHint::NotReset,
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: 2.0,
        count: 18.0,
        sum: 18.4,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 1, length: 2 }],
        positive_buckets: vec![3.0, 1.0, 0.0, 5.0],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_buckets: vec![7.0],
        ..Histogram::default()
    }
}

fn custom_histogram() -> Histogram {
    Histogram {
        is_integer: false,
        reset_hint: ResetHint::Gauge,
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 3.5,
        sum: f64::from_bits(model::STALE_NAN_BITS),
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![1.0, 2.5],
        custom_bounds: [0.5].into(),
        ..Histogram::default()
    }
}

fn some_series() -> impl Strategy<Value = TimeSeries> {
    let labels = proptest::collection::btree_map("[a-zé]{1,6}", "\\PC{1,12}", 0..6);
    let sample = (any::<i64>(), 0..3i64, any::<u64>()).prop_map(|(t_ms, start_ms, bits)| Sample {
        t_ms,
        start_ms,
        value: f64::from_bits(bits),
    });
    let exemplar = ("[0-9a-f]{1,16}", any::<i64>(), -1e9..1e9f64).prop_map(|(id, t_ms, value)| Exemplar {
        labels: Labels::from_pairs([("trace_id", id)]),
        value,
        t_ms,
    });
    let histogram = (any::<i64>(), 0..3i64, any::<bool>()).prop_map(|(t_ms, start_ms, is_custom)| {
        (t_ms, start_ms, if is_custom { custom_histogram() } else { integer_histogram() })
    });
    let metadata = ("[a-z]{0,5}", "[a-z]{1,5}").prop_map(|(help, unit)| Metadata {
        metric_type: MetricType::Counter,
        help,
        unit,
    });
    (
        "[a-z]{1,8}",
        labels,
        proptest::collection::vec(sample, 0..4),
        proptest::collection::vec(histogram, 0..2),
        proptest::collection::vec(exemplar, 0..2),
        proptest::option::of(metadata),
    )
        .prop_map(|(name, mut labels, samples, histograms, exemplars, metadata)| {
            labels.insert("__name__".to_owned(), name);
            TimeSeries { labels: Labels::from_pairs(labels), samples, histograms, exemplars, metadata }
        })
}

proptest! {
    #[test]
    fn version_2_comes_back(series in proptest::collection::vec(some_series(), 0..6)) {
        let message = encode_v2(&series);
        let mut buffer = Vec::new();
        let block = compress(&message);
        prop_assert_eq!(decompress(&block, &mut buffer).unwrap(), &message[..]);
        prop_assert_eq!(text(&read_v2(&message).unwrap()), text(&series));
        prop_assert_eq!(text(&decode_v2(&message, &secret()).unwrap()), text(&series));
    }

    #[test]
    fn version_1_comes_back_without_starts(mut series in proptest::collection::vec(some_series(), 0..6)) {
        let mut names = std::collections::BTreeSet::new();
        series.retain(|series| names.insert(series.labels.metric_name().to_owned()));
        for series in &mut series {
            series.samples.iter_mut().for_each(|sample| sample.start_ms = 0);
            series.histograms.iter_mut().for_each(|histogram| histogram.1 = 0);
        }
        prop_assert_eq!(text(&read_v1(&encode_v1(&series)).unwrap()), text(&series));
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, series in proptest::collection::vec(some_series(), 1..3), at: usize, byte: u8) {
        let _ = read_v1(&bytes);
        let _ = read_v2(&bytes);
        let _ = decode_v2(&bytes, &secret());
        let _ = decode_histogram(&bytes);
        let _ = decompress(&bytes, &mut Vec::new());
        for (mut message, read) in
            [(encode_v1(&series), read_v1 as fn(&[u8]) -> _), (encode_v2(&series), read_v2 as fn(&[u8]) -> _)]
        {
            let at = at % message.len();
            message[at] = byte;
            let _ = read(&message);
            let _ = read(&message[..at]);
        }
    }
}

#[test]
fn metadata_alone_is_a_request_of_version_1() {
    let metadata = Metadata { metric_type: MetricType::Gauge, help: "h".to_owned(), unit: "s".to_owned() };
    let message = encode_metadata_v1([("up", &metadata)]);
    let mut request = RequestV1::new(&message);
    let Some(Item::Metadata(read)) = request.next().unwrap() else { panic!("no metadata") };
    assert_eq!(read.decode().unwrap(), ("up".to_owned(), metadata));
    assert!(request.next().unwrap().is_none());
}

fn label(name: &str, value: &str) -> Vec<u8> {
    let pair =
        [&[0x0a, name.len() as u8], name.as_bytes(), &[0x12, value.len() as u8], value.as_bytes()].concat();
    [&[0x0a, pair.len() as u8], &pair[..]].concat()
}

/// A request of one series with these fields.
fn series_v1(fields: &[Vec<u8>]) -> Vec<u8> {
    let message = fields.concat();
    [&[0x0a, message.len() as u8], &message[..]].concat()
}

fn first_v1(message: &[u8]) -> SeriesV1<'_> {
    match RequestV1::new(message).next().unwrap() {
        Some(Item::Series(series)) => series,
        item => panic!("{item:?}"),
    }
}

#[test]
fn labels_are_checked_as_prometheus_does() {
    fn check(fields: &[Vec<u8>], expected: &str) {
        let message = series_v1(fields);
        let got = match first_v1(&message).labels().unwrap() {
            Ok(labels) => labels.to_string(),
            Err(err) => err.to_string(),
        };
        assert_eq!(got, expected);
    }
    check(&[label("__name__", "up"), label("a", "1")], r#"{__name__="up", a="1"}"#);
    check(&[label("b", "2"), label("__name__", "up"), label("a", "")], r#"{__name__="up", b="2"}"#);
    check(&[label("a", "1")], r#"invalid metric name or labels, got {a="1"}"#);
    check(&[label("__name__", "")], r#"invalid metric name or labels, got {__name__=""}"#);
    check(
        &[label("__name__", "up"), label("", "1")],
        r#"invalid metric name or labels, got {="1", __name__="up"}"#,
    );
    check(
        &[label("__name__", "up"), label("a", "1"), label("a", "2")],
        r#"invalid labels for series, labels {__name__="up", a="1", a="2"}, duplicated label a"#,
    );
    check(&[], "invalid metric name or labels, got {}");
    let mut not_utf8 = label("__name__", "up");
    *not_utf8.last_mut().unwrap() = 0xff;
    check(&[not_utf8], "invalid metric name or labels, got {__name__=\"u\u{fffd}\"}");
}

#[test]
fn equal_labels_have_one_hash_and_scattered_ones_none() {
    let sample = vec![0x12, 0x0b, 9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 5];
    let (name, a, b) = (label("__name__", "up"), label("a", "1"), label("a", "2"));
    let hash = |fields: &[Vec<u8>]| first_v1(&series_v1(fields)).hash(&secret());
    let first = hash(&[name.clone(), a.clone(), sample.clone()]);
    assert!(first.is_some());
    assert_eq!(first, hash(&[name.clone(), a.clone(), sample.clone(), sample.clone()]));
    assert_ne!(first, hash(&[name.clone(), b, sample.clone()]));
    assert_ne!(first, hash(&[name.clone(), sample.clone()]));
    assert_eq!(hash(&[name.clone(), sample.clone(), a.clone()]), None);
    let message = series_v1(&[name, sample, a]);
    assert_eq!(first_v1(&message).first(), Some(Sample { t_ms: 5, start_ms: 0, value: 1.0 }));
    assert_eq!(first_v1(&message).labels().unwrap().unwrap().to_string(), r#"{__name__="up", a="1"}"#);
}

fn one(labels: &[(&str, &str)], metadata: Option<Metadata>) -> TimeSeries {
    TimeSeries { labels: Labels::from_pairs(labels.iter().copied()), metadata, ..TimeSeries::default() }
}

#[test]
fn hashes_of_version_2_do_not_depend_on_the_table() {
    let (secret, mut scratch) = (secret(), Vec::new());
    let up = || one(&[("__name__", "up"), ("job", "a")], None);
    let mut hashes = |series: &[TimeSeries]| -> Vec<Option<u128>> {
        let message = encode_v2(series);
        let request = RequestV2::new(&message, &secret).unwrap();
        let mut view = SeriesV2::new();
        let hash = |idx| {
            request.read(idx, &mut view).unwrap();
            request.hash(&view, &secret, &mut scratch)
        };
        (0..request.n_series()).map(hash).collect()
    };
    let alone = hashes(&[up()])[0];
    let among = hashes(&[one(&[("__name__", "other"), ("a", "job")], None), up(), up()]);
    assert!(alone.is_some() && alone != among[0]);
    assert_eq!([alone, alone], [among[1], among[2]]);
    let metadata = Metadata { metric_type: MetricType::Gauge, help: "h".to_owned(), unit: String::new() };
    let described = hashes(&[one(&[("__name__", "up"), ("job", "a")], Some(metadata))]);
    assert_ne!(alone, described[0], "metadata that changes is looked at");

    // Symbols "" and "a"; references 1, 9; then 1.
    for (refs, expected) in [
        (
            &[1u8, 9][..],
            "parsing labels for series [1, 9]: labelRefs 1 (name) = 9 (value) outside of symbols table (size 2)",
        ),
        (&[1], "parsing labels for series [1]: invalid labelRefs length 1"),
    ] {
        let series = [&[0x0a, refs.len() as u8], refs].concat();
        let message = [&[0x22, 0, 0x22, 1, b'a', 0x2a, series.len() as u8], &series[..]].concat();
        let request = RequestV2::new(&message, &secret).unwrap();
        let mut view = SeriesV2::new();
        request.read(0, &mut view).unwrap();
        assert_eq!(request.labels(&view).unwrap_err().to_string(), expected);
    }
}

#[test]
fn starts_of_drafts_hold_for_samples_that_have_none() {
    // created_timestamp (6) = 7 after a sample without and one with a start.
    let series = [0x12, 2, 16, 9, 0x12, 4, 16, 10, 24, 3, 0x30, 7];
    let message = [&[0x2a, series.len() as u8], &series[..]].concat();
    let request = RequestV2::new(&message, &secret()).unwrap();
    let mut view = SeriesV2::new();
    request.read(0, &mut view).unwrap();
    let mut samples = view.samples();
    let sample = |t_ms, start_ms| Some(Sample { t_ms, start_ms, value: 0.0 });
    assert_eq!(samples.next().unwrap(), sample(9, 7));
    assert_eq!(samples.next().unwrap(), sample(10, 3));
    assert_eq!((view.first(), view.parts().has_starts, view.start_ms()), (sample(9, 7), true, 7));
}

#[test]
fn broken_requests_are_refused_whole() {
    fn check(message: &[u8], expected: &str) {
        assert_eq!(read_v1(message).unwrap_err().to_string(), expected);
    }
    check(&[0x0a, 5, 1], "protobuf: WriteRequest ends within a field");
    check(&[0x0a, 2, 0x0a, 9], "protobuf: TimeSeries ends within a field");
    check(&[0x08, 1], "protobuf: field 1 of WriteRequest has a wrong kind (0)");
    check(&[0x0b], "protobuf: field 1 of WriteRequest has a wrong kind (3)");
    check(&[0x0a, 4, 0x12, 2, 0x0a, 0], "protobuf: field 1 of Sample has a wrong kind (2)");
    assert_eq!(read_v1(&[0x50, 1, 0x55, 0, 0, 0, 0]).unwrap().len(), 0, "unknown fields are stepped over");
    let too_large = [0x81, 0x80, 0x80, 0x10];
    assert_eq!(
        decompress(&too_large, &mut Vec::new()).unwrap_err().to_string(),
        "decoded size exceeds the 33554432 bytes limit"
    );
    assert!(decompress(b"\x05abc", &mut Vec::new()).is_err());
}

fn histogram_of(histogram: Histogram) -> Result<Histogram, HistogramError> {
    let series = TimeSeries { histograms: vec![(1, 0, histogram)], ..TimeSeries::default() };
    let message = encode_v2(&[series]);
    let request = RequestV2::new(&message, &secret()).unwrap();
    let (mut view, mut found) = (SeriesV2::new(), None);
    request.read(0, &mut view).unwrap();
    view.histograms(|message| {
        found = Some(decode_histogram(message)?.histogram);
        Ok::<_, DecodeError>(())
    })
    .unwrap();
    found.unwrap()
}

#[test]
fn histograms_that_contradict_themselves_are_refused() {
    fn check(change: impl Fn(&mut Histogram), base: Histogram, expected: &str) {
        let mut histogram = base;
        change(&mut histogram);
        assert_eq!(histogram_of(histogram).unwrap_err().to_string(), expected);
    }
    let (integer, custom) = (integer_histogram, custom_histogram);
    check(
        |h| h.schema = 60,
        integer(),
        "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom \
         buckets, got schema 60",
    );
    check(
        |h| h.count = 19.0,
        integer(),
        "18 observations found in buckets, but the Count field is 19: histogram's observation count should equal the \
         number of observations found in the buckets",
    );
    check(
        |h| (h.count, h.sum) = (17.0, f64::NAN),
        integer(),
        "18 observations found in buckets, but the Count field is 17: histogram's observation count should be at least \
         the number of observations found in the buckets",
    );
    check(
        |h| h.positive_spans[1].offset = -1,
        integer(),
        "positive side: span number 2 with offset -1: histogram has a span whose offset is negative",
    );
    check(
        |h| h.negative_spans[0].length = 2,
        integer(),
        "negative side: spans need 2 buckets, have 1 buckets: histogram spans specify different number of buckets than \
         provided",
    );
    check(
        |h| h.negative_buckets[0] = -7.0,
        integer(),
        "negative side: bucket number 1 has observation count of -7: histogram has a bucket whose observation count is \
         negative",
    );
    check(
        |h| h.custom_bounds = [1.0].into(),
        integer(),
        "histogram with exponential schema must not have custom bounds",
    );
    check(
        |h| h.custom_bounds = [1.0, 1.0].into(),
        custom(),
        "custom buckets: histogram custom bounds must be in strictly increasing order",
    );
    check(
        |h| h.custom_bounds = [].into(),
        custom(),
        "custom buckets: only 0 custom bounds defined which is insufficient to cover total span length of 2: histogram \
         custom bounds are too few",
    );
    check(|h| h.zero_threshold = 1.0, custom(), "custom buckets: must have zero threshold of 0");
    check(|h| h.count = -1.0, custom(), "observation count is -1: histogram's observation count is negative");
}

#[test]
fn finer_schemas_are_brought_down_to_8() {
    let fine = Histogram {
        schema: 9,
        positive_spans: vec![Span { offset: -1, length: 4 }, Span { offset: 3, length: 1 }],
        // Numbers −1, 0, 1, 2 and 6 go to 0, 0, 1, 1 and 3.
        positive_buckets: vec![1.0, 2.0, 4.0, 8.0, 16.0],
        count: 31.0,
        is_integer: true,
        ..Histogram::default()
    };
    let coarse = histogram_of(fine).unwrap();
    assert_eq!(coarse.schema, 8);
    assert_eq!(coarse.positive_buckets, [3.0, 12.0, 16.0]);
    assert_eq!(coarse.positive_spans, [Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }]);
}

#[test]
fn in_version_1_exemplars_come_behind_the_histograms_of_their_series() {
    let exemplar = Exemplar { labels: Labels::from_pairs([("trace_id", "a")]), value: 1.0, t_ms: 5 };
    let series = TimeSeries {
        labels: Labels::from_pairs([("__name__", "h")]),
        histograms: vec![(5, 0, integer_histogram())],
        exemplars: vec![exemplar],
        ..TimeSeries::default()
    };
    let message = encode_v1(std::slice::from_ref(&series));
    let mut request = RequestV1::new(&message);
    let mut parts = Vec::new();
    while let Some(item) = request.next().unwrap() {
        let Item::Series(view) = item else { panic!("series only") };
        parts.push((view.parts().n_histograms, view.parts().n_exemplars));
    }
    assert_eq!(parts, [(1, 0), (0, 1)]);
}
