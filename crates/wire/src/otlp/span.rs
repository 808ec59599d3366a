//! OTLP traces on their way out: spans to an `ExportTraceServiceRequest`, and what the receiver says of it.
//!
//! In from `spans`, which collects them; out to it as bytes. The mirror of nothing here: no spans are taken in.
//! Method: opentelemetry-proto 1.x, `trace.proto` and `trace_service.proto`.

use stdx::varint::put_u64;

use super::value::{KeyValue, Value};
use crate::remote_write::proto::{FIXED32, FIXED64, Fields, VARINT};
use crate::remote_write::{DecodeError, put_double, put_field, put_number, put_tag};

/// Bit 0 of a span's flags: the trace is sampled. Bit 8: it is known whether the parent is of another process. Bit 9: it is. From `trace.proto`.
const SAMPLED: u32 = 1;
const PARENT_IS_KNOWN: u32 = 1 << 8;
const PARENT_IS_REMOTE: u32 = 1 << 9;
/// `STATUS_CODE_ERROR`
const STATUS_ERROR: u64 = 2;

/// What a span is to the others of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "named as in the message")]
pub enum SpanKind {
    #[default]
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// A piece of work that is over.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span {
    /// Of the whole trace; not all zeros.
    pub trace_id: [u8; 16],
    /// Its own; not all zeros.
    pub span_id: [u8; 8],
    /// Of the span it is a part of.
    pub parent_id: Option<[u8; 8]>,
    /// That one is of another process.
    pub has_remote_parent: bool,
    /// What is done.
    pub name: String,
    /// What it is to the others.
    pub kind: SpanKind,
    /// Unix time in nanoseconds.
    pub start_ns: u64,
    /// Unix time in nanoseconds.
    pub end_ns: u64,
    /// What is known of it.
    pub attributes: Vec<KeyValue>,
    /// It failed, and why.
    pub error: Option<String>,
}

/// An `ExportTraceServiceRequest` of spans by one program, which `resource` describes.
#[must_use]
pub fn encode_spans(resource: &[KeyValue], spans: &[Span]) -> Vec<u8> {
    let mut described = Vec::new();
    resource.iter().for_each(|attribute| put_attribute(&mut described, 1, attribute));
    let mut scope_spans = Vec::new();
    for span in spans {
        put_field(&mut scope_spans, 2, &encode_span(span));
    }
    let mut resource_spans = Vec::new();
    put_field(&mut resource_spans, 1, &described);
    put_field(&mut resource_spans, 2, &scope_spans);
    let mut out = Vec::new();
    put_field(&mut out, 1, &resource_spans);
    out
}

/// How many spans an `ExportTraceServiceResponse` says were not taken, and why.
///
/// # Errors
/// When it is no protobuf.
pub fn decode_rejected_spans(answer: &[u8]) -> Result<(u64, String), DecodeError> {
    let (mut n_rejected, mut message) = (0, String::new());
    let mut outer = Fields::new(answer, "ExportTraceServiceResponse");
    while let Some(field) = outer.next()? {
        if field.number != 1 {
            continue;
        }
        let mut inner = Fields::new(field.bytes()?, "ExportTracePartialSuccess");
        while let Some(field) = inner.next()? {
            match field.number {
                1 => n_rejected = field.varint()?,
                2 => message = String::from_utf8_lossy(field.bytes()?).into_owned(),
                _ => {}
            }
        }
    }
    Ok((n_rejected, message))
}

fn encode_span(span: &Span) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    put_field(&mut out, 1, &span.trace_id);
    put_field(&mut out, 2, &span.span_id);
    if let Some(parent_id) = &span.parent_id {
        put_field(&mut out, 4, parent_id);
    }
    put_field(&mut out, 5, span.name.as_bytes());
    put_number(&mut out, 6, span.kind as u64);
    for (number, time_ns) in [(7, span.start_ns), (8, span.end_ns)] {
        put_tag(&mut out, number, FIXED64);
        out.extend_from_slice(&time_ns.to_le_bytes());
    }
    span.attributes.iter().for_each(|attribute| put_attribute(&mut out, 9, attribute));
    if let Some(why) = &span.error {
        let mut status = Vec::new();
        put_field(&mut status, 2, why.as_bytes());
        put_number(&mut status, 3, STATUS_ERROR);
        put_field(&mut out, 15, &status);
    }
    let remote = if span.has_remote_parent { PARENT_IS_REMOTE } else { 0 };
    put_tag(&mut out, 16, FIXED32);
    out.extend_from_slice(&(SAMPLED | PARENT_IS_KNOWN | remote).to_le_bytes());
    out
}

fn put_attribute(out: &mut Vec<u8>, number: u64, attribute: &KeyValue) {
    let mut pair = Vec::new();
    put_field(&mut pair, 1, attribute.key.as_bytes());
    put_field(&mut pair, 2, &encode_value(&attribute.value));
    put_field(out, number, &pair);
}

fn encode_value(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::Empty => {}
        Value::Text(text) => put_field(&mut out, 1, text.as_bytes()),
        Value::Bool(is_true) => put_number(&mut out, 2, u64::from(*is_true)),
        Value::Int(number) => {
            put_tag(&mut out, 3, VARINT);
            put_u64(&mut out, number.cast_unsigned());
        }
        Value::Double(number) => put_double(&mut out, 4, *number),
        Value::List(values) => {
            let mut list = Vec::new();
            values.iter().for_each(|value| put_field(&mut list, 1, &encode_value(value)));
            put_field(&mut out, 5, &list);
        }
        Value::Map(pairs) => {
            let mut list = Vec::new();
            pairs.iter().for_each(|pair| put_attribute(&mut list, 1, pair));
            put_field(&mut out, 6, &list);
        }
        Value::Bytes(bytes) => put_field(&mut out, 7, bytes),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that protoc makes of the same message.
    #[test]
    fn spans_are_encoded_as_protoc_does() {
        let attribute = |key: &str, value| KeyValue { key: key.to_owned(), value };
        let span = Span {
            trace_id: [1; 16],
            span_id: [2; 8],
            parent_id: Some([3; 8]),
            has_remote_parent: true,
            name: "a".to_owned(),
            kind: SpanKind::Client,
            start_ns: 1,
            end_ns: 2,
            attributes: vec![attribute("n", Value::Int(-1)), attribute("b", Value::Bool(true))],
            error: Some("no".to_owned()),
        };
        let got = encode_spans(&[attribute("service.name", Value::Text("x".to_owned()))], &[span]);
        let protoc = "0a81010a150a130a0c736572766963652e6e616d6512030a0178126812660a1001010101010101010101010101010101\
             12080202020202020202220803030303030303032a016130033901000000000000004102000000000000004a100a016e120b\
             18ffffffffffffffffff014a070a0162120210017a0612026e6f1802850101030000";
        assert_eq!(stdx::hex::encode(&got), protoc);
    }

    #[test]
    fn a_partial_answer_says_how_many_and_why() {
        assert_eq!(decode_rejected_spans(b"").unwrap(), (0, String::new()));
        let mut inner = Vec::new();
        put_number(&mut inner, 1, 3);
        put_field(&mut inner, 2, b"too old");
        let mut answer = Vec::new();
        put_field(&mut answer, 1, &inner);
        assert_eq!(decode_rejected_spans(&answer).unwrap(), (3, "too old".to_owned()));
        assert!(decode_rejected_spans(b"\x0a\x05\x08").is_err());
    }
}
