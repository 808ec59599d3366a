//! Requests of both encodings, and bytes that are none.

use super::*;

/// What the official Python SDK sent, protobuf: a counter, a gauge, an up-down counter, a histogram, an exponential histogram.
const FROM_SDK: &[u8] = include_bytes!("../../tests/otlp/python-sdk.bin");

#[test]
fn both_encodings_give_the_same() {
    let json = r#"{"resourceMetrics": [{"resource": {"attributes": [
        {"key": "service.name", "value": {"stringValue": "a"}},
        {"key": "n", "value": {"intValue": "7"}},
        {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": true}, {"doubleValue": 0.5}]}}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "b", "value": {"bytesValue": "AQI="}}]}}}
      ]}, "unknown": [1], "scopeMetrics": [{"scope": {"name": "s", "version": "1"}, "metrics": [
        {"name": "c", "unit": "s", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
          {"timeUnixNano": "5000000", "startTimeUnixNano": 1, "asInt": "-3", "exemplars": [
            {"asDouble": 1.5, "traceId": "0102", "timeUnixNano": "9"}]}]}},
        {"name": "e", "exponentialHistogram": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "dataPoints": [
          {"count": 3, "sum": "NaN", "scale": -1, "zeroCount": "1", "positive": {"offset": -2, "bucketCounts": ["1", 1]}}]}}
      ]}]}]}"#;
    let request = decode_json(json.as_bytes()).unwrap();
    let resource = &request.resource_metrics[0];
    let texts: Vec<String> = resource.resource.attributes.iter().map(|kv| kv.value.to_text()).collect();
    assert_eq!(texts, ["a", "7", "[true,0.5]", r#"{"b":"AQI="}"#]);
    let metrics = &resource.scope_metrics[0].metrics;
    let sum = metrics[0].sum.as_ref().unwrap();
    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (Temporality::Cumulative, true));
    assert_eq!((sum.data_points[0].as_int, sum.data_points[0].time_unix_nano), (Some(-3), 5_000_000));
    assert_eq!(sum.data_points[0].exemplars[0].trace_id, "0102");
    let exponential = metrics[1].exponential_histogram.as_ref().unwrap();
    assert_eq!(exponential.aggregation_temporality, Temporality::Delta);
    let point = &exponential.data_points[0];
    assert!(point.sum.unwrap().is_nan());
    assert_eq!(
        (point.scale, point.positive.offset, &point.positive.bucket_counts[..]),
        (-1, -2, &[1, 1][..])
    );
}

#[test]
fn what_the_sdk_sends_is_read() {
    let request = decode_protobuf(FROM_SDK).unwrap();
    let metrics: Vec<&Metric> = (request.resource_metrics.iter())
        .flat_map(|resource| &resource.scope_metrics)
        .flat_map(|scope| &scope.metrics)
        .collect();
    let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["requests", "temperature", "queue.size", "latency", "sizes"]);
    let requests = metrics[0].sum.as_ref().unwrap();
    assert!(requests.is_monotonic && requests.aggregation_temporality == Temporality::Cumulative);
    assert_eq!(requests.data_points[0].as_int, Some(7));
    assert_eq!(metrics[1].gauge.as_ref().unwrap().data_points[0].as_double, Some(21.5));
    let latency = &metrics[3].histogram.as_ref().unwrap().data_points[0];
    assert_eq!((latency.count, latency.sum), (3, Some(5.35)));
    assert_eq!((&latency.explicit_bounds[..], &latency.bucket_counts[..]), (&[0.1, 1.0][..], &[1, 1, 1][..]));
    let sizes = &metrics[4].exponential_histogram.as_ref().unwrap().data_points[0];
    assert_eq!(sizes.count, 4);
    assert_eq!(sizes.positive.bucket_counts.iter().sum::<u64>() + sizes.zero_count, 4);
}

#[test]
fn values_as_labels_are_written_as_go_writes_them() {
    let check = |value: Value, expected: &str| assert_eq!(value.to_text(), expected);
    check(Value::Empty, "");
    check(Value::Double(1.0), "1");
    check(Value::Double(1e21), "1e+21");
    check(Value::Double(1.5e-7), "1.5e-7");
    check(Value::Bytes(vec![1, 2]), "AQI=");
    check(Value::Bool(false), "false");
    check(Value::List(vec![Value::Text("a\"b".to_owned()), Value::Empty]), r#"["a\"b",null]"#);
}

#[test]
fn limits_hold() {
    let objects = format!(r#"{{"resourceMetrics": [{}]}}"#, vec!["{}"; MESSAGES_MAX].join(","));
    assert_eq!(decode_json(objects.as_bytes()), Err(OtlpError::TooMany));
    assert_eq!(decode_protobuf(&[0x0a, 0].repeat(MESSAGES_MAX)), Err(OtlpError::TooMany));
    // An attribute of a resource whose value is a list of a list of …
    let mut value = Vec::new();
    let wrap = |tag: u8, inner: &[u8]| {
        let mut out = vec![tag];
        stdx::varint::put_u64(&mut out, inner.len() as u64);
        out.extend_from_slice(inner);
        out
    };
    for _ in 0..VALUE_DEPTH_MAX + 2 {
        value = wrap(0x2a, &wrap(0x0a, &value));
    }
    let body = wrap(0x0a, &wrap(0x0a, &wrap(0x0a, &wrap(0x12, &value))));
    assert_eq!(decode_protobuf(&body), Err(OtlpError::TooDeep));
    let partial = Partial { n_rejected: 2, message: "no".to_owned() };
    assert_eq!(partial.to_protobuf(), [0x0a, 6, 0x08, 2, 0x12, 2, b'n', b'o']);
    assert_eq!(Partial::default().to_json(), "{}");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
        let _ = (decode_protobuf(&bytes), decode_json(&bytes));
    }

    #[test]
    fn broken_requests_are_read_without_harm(at: usize, byte: u8, n_bytes: usize) {
        let mut bytes = FROM_SDK.to_vec();
        let len = bytes.len();
        bytes[at % len] = byte;
        bytes.truncate(n_bytes % (len + 1));
        let _ = decode_protobuf(&bytes);
    }
}
