//! `ExportMetricsServiceResponse`: what was not taken, and why.

use stdx::varint;

/// What was refused of a request whose rest was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partial {
    /// Points.
    pub n_rejected: u64,
    /// Why, for people; empty when there is nothing to say.
    pub message: String,
}

impl Partial {
    /// As protobuf; empty when all is well.
    #[must_use]
    pub fn to_protobuf(&self) -> Vec<u8> {
        let mut inner = Vec::new();
        if self.n_rejected > 0 {
            inner.push(1 << 3);
            varint::put_u64(&mut inner, self.n_rejected);
        }
        if !self.message.is_empty() {
            inner.push(2 << 3 | 2);
            varint::put_u64(&mut inner, self.message.len() as u64);
            inner.extend_from_slice(self.message.as_bytes());
        }
        if inner.is_empty() {
            return inner;
        }
        let mut out = vec![1 << 3 | 2];
        varint::put_u64(&mut out, inner.len() as u64);
        out.extend(inner);
        out
    }

    /// As JSON; `{}` when all is well.
    #[must_use]
    pub fn to_json(&self) -> String {
        if *self == Self::default() {
            return "{}".to_owned();
        }
        let partial = serde_json::json!({
            "partialSuccess": {"rejectedDataPoints": self.n_rejected.to_string(), "errorMessage": self.message}
        });
        partial.to_string()
    }
}
