//! Events in protobuf's binary form, as Alertmanager's Kafka output has them under `format: protobuf`.
//!
//! Layout: protobuf.dev/programming-guides/encoding.

use stdx::varint;

use super::note::Note;
use super::shape::{Field, Fields, event};

/// How a value is laid out.
const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// One event.
pub(super) fn message(note: &Note, instance: &str, position: u32) -> Vec<u8> {
    let mut message = Message::default();
    event(&mut message, note, instance, position);
    message.bytes
}

/// A message that grows.
#[derive(Default)]
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn bytes(&mut self, field: Field, bytes: &[u8]) {
        varint::put_u64(&mut self.bytes, field.0 << 3 | BYTES);
        varint::put_bytes(&mut self.bytes, bytes);
    }

    /// `Timestamp` and `Duration` of protobuf: whole seconds, and nanoseconds behind them.
    fn seconds(&mut self, field: Field, secs: i64, nanos: i64) {
        self.message(field, |to| {
            // Negative ones take ten bytes, as protobuf has it.
            to.long(Field(1, "seconds"), secs as u64);
            to.long(Field(2, "nanos"), nanos as u64);
        });
    }
}

impl Fields for Message {
    fn text(&mut self, field: Field, value: &str) {
        if !value.is_empty() {
            self.bytes(field, value.as_bytes());
        }
    }

    fn texts(&mut self, field: Field, values: &[String]) {
        values.iter().for_each(|value| self.bytes(field, value.as_bytes()));
    }

    fn count(&mut self, field: Field, value: u32) {
        self.long(field, u64::from(value));
    }

    fn long(&mut self, field: Field, value: u64) {
        if value != 0 {
            varint::put_u64(&mut self.bytes, field.0 << 3 | VARINT);
            varint::put_u64(&mut self.bytes, value);
        }
    }

    fn longs(&mut self, field: Field, values: &[u64]) {
        let mut packed = Vec::new();
        values.iter().for_each(|value| varint::put_u64(&mut packed, *value));
        if !packed.is_empty() {
            self.bytes(field, &packed);
        }
    }

    fn flag(&mut self, field: Field, value: bool) {
        self.long(field, u64::from(value));
    }

    fn choice(&mut self, field: Field, value: Field) {
        self.long(field, value.0);
    }

    fn time(&mut self, field: Field, at_ms: i64) {
        self.seconds(field, at_ms.div_euclid(1_000), at_ms.rem_euclid(1_000) * 1_000_000);
    }

    fn duration(&mut self, field: Field, ms: i64) {
        self.seconds(field, ms / 1_000, ms % 1_000 * 1_000_000);
    }

    fn message(&mut self, field: Field, put: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        put(&mut inner);
        self.bytes(field, &inner.bytes);
    }

    fn messages<T>(
        &mut self,
        field: Field,
        items: impl IntoIterator<Item = T>,
        mut put: impl FnMut(&mut Self, T),
    ) {
        items.into_iter().for_each(|item| self.message(field, |to| put(to, item)));
    }
}
