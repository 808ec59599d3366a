//! Metric families in protobuf's text form, to bytes: what tests write down in place of a body.
//!
//! In: one family; out: its message after its length. Source of the numbers: `io/prometheus/client/metrics.proto`.

use stdx::varint::{put_bytes, put_u64};

enum Kind {
    Text,
    Double,
    Varint,
    Zigzag,
    Type,
    Message(&'static str),
}

/// Number and kind of a field of a message.
fn field(message: &str, name: &str) -> (u64, Kind) {
    use Kind::{Double, Message, Text, Type, Varint, Zigzag};
    match (message, name) {
        ("MetricFamily" | "LabelPair", "name") => (1, Text),
        ("MetricFamily", "help") | ("LabelPair", "value") => (2, Text),
        ("MetricFamily", "type") => (3, Type),
        ("MetricFamily", "metric") => (4, Message("Metric")),
        ("MetricFamily", "unit") => (5, Text),
        ("Metric" | "Exemplar", "label") => (1, Message("LabelPair")),
        ("Metric", "gauge") => (2, Message("Gauge")),
        ("Metric", "counter") => (3, Message("Counter")),
        ("Metric", "summary") => (4, Message("Summary")),
        ("Metric", "untyped") => (5, Message("Untyped")),
        ("Metric", "timestamp_ms") => (6, Varint),
        ("Metric", "histogram") => (7, Message("Histogram")),
        ("Gauge" | "Counter" | "Untyped", "value") => (1, Double),
        ("Counter", "exemplar") => (2, Message("Exemplar")),
        ("Counter", "start_timestamp") | ("Exemplar", "timestamp") => (3, Message("Timestamp")),
        ("Summary" | "Histogram", "sample_count") => (1, Varint),
        ("Summary" | "Histogram", "sample_sum") | ("Quantile" | "Exemplar", "value") => (2, Double),
        ("Summary", "quantile") => (3, Message("Quantile")),
        ("Summary", "start_timestamp") => (4, Message("Timestamp")),
        ("Quantile", "quantile") => (1, Double),
        ("Histogram", "bucket") => (3, Message("Bucket")),
        ("Histogram", "sample_count_float") => (4, Double),
        ("Histogram", "schema") => (5, Zigzag),
        ("Histogram", "zero_threshold") => (6, Double),
        ("Histogram", "zero_count") => (7, Varint),
        ("Histogram", "zero_count_float") => (8, Double),
        ("Histogram", "negative_span") => (9, Message("Span")),
        ("Histogram", "negative_delta") => (10, Zigzag),
        ("Histogram", "negative_count") => (11, Double),
        ("Histogram", "positive_span") => (12, Message("Span")),
        ("Histogram", "positive_delta") => (13, Zigzag),
        ("Histogram", "positive_count") => (14, Double),
        ("Histogram", "start_timestamp") => (15, Message("Timestamp")),
        ("Histogram", "exemplars") => (16, Message("Exemplar")),
        ("Bucket", "cumulative_count") | ("Timestamp", "seconds") => (1, Varint),
        ("Bucket", "upper_bound") => (2, Double),
        ("Bucket", "exemplar") => (3, Message("Exemplar")),
        ("Bucket", "cumulative_count_float") => (4, Double),
        ("Span", "offset") => (1, Zigzag),
        ("Span", "length") | ("Timestamp", "nanos") => (2, Varint),
        _ => panic!("{message} has no field {name}"),
    }
}

/// A family as a body has it: its message after its length.
pub fn delimited(family: &str) -> Vec<u8> {
    let mut words = words(family).into_iter();
    let (message, mut out) = (encode("MetricFamily", &mut words), Vec::new());
    put_bytes(&mut out, &message);
    out
}

/// Names with their colon, values and brackets; quoted text keeps its opening quote.
fn words(text: &str) -> Vec<String> {
    let (mut all, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap();
            all.push(rest[..=end].to_owned());
            rest = quoted[end + 1..].trim_start();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            all.push(rest[..end].to_owned());
            rest = rest[end..].trim_start();
        }
    }
    all
}

fn encode(message: &str, words: &mut std::vec::IntoIter<String>) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(name) = words.next().filter(|word| word != ">") {
        let (number, kind) = field(message, name.trim_end_matches(':'));
        let value = words.next().unwrap();
        let wire_type = match kind {
            Kind::Double => 1,
            Kind::Varint | Kind::Zigzag | Kind::Type => 0,
            Kind::Text | Kind::Message(_) => 2,
        };
        put_u64(&mut out, number << 3 | wire_type);
        match kind {
            Kind::Text => put_bytes(&mut out, &value.as_bytes()[1..]),
            Kind::Double => out.extend(value.parse::<f64>().unwrap().to_le_bytes()),
            Kind::Varint => put_u64(&mut out, value.parse().unwrap()),
            Kind::Zigzag => {
                let signed: i64 = value.parse().unwrap();
                put_u64(&mut out, (signed << 1 ^ signed >> 63) as u64);
            }
            Kind::Type => {
                let all = ["COUNTER", "GAUGE", "SUMMARY", "UNTYPED", "HISTOGRAM", "GAUGE_HISTOGRAM"];
                put_u64(&mut out, all.iter().position(|word| *word == value).unwrap() as u64);
            }
            Kind::Message(inner) => put_bytes(&mut out, &encode(inner, words)),
        }
    }
    out
}
