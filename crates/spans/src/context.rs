//! Which trace a span is of, how that is written in a header, and which traces are sent.
//!
//! Method: W3C Trace Context, `traceparent` of version 00; OpenTelemetry's `ParentBased(TraceIdRatioBased)`.

use stdx::hex;

/// Bit 0 of the flags of `traceparent`.
const SAMPLED: u8 = 1;

/// What a span passes on to those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// Of the whole trace; not all zeros.
    pub trace_id: [u8; 16],
    /// Of the span.
    pub span_id: [u8; 8],
    /// The trace is sent.
    pub is_sampled: bool,
}

impl Context {
    /// From the header `traceparent`; `None` when it is none, which begins a new trace.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let mut part = || parts.next();
        let (version, trace_id, span_id, flags) = (part()?, part()?, part()?, part()?);
        let has_more = part().is_some();
        if version.len() != 2 || version == "ff" || (version == "00" && has_more) || flags.len() != 2 {
            return None;
        }
        let is_lower = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let digits = |text: &str| is_lower(text).then(|| hex::decode(text)).flatten();
        digits(version)?;
        let context = Self {
            trace_id: digits(trace_id)?.try_into().ok()?,
            span_id: digits(span_id)?.try_into().ok()?,
            is_sampled: digits(flags)?.first()? & SAMPLED != 0,
        };
        (context.trace_id != [0; 16] && context.span_id != [0; 8]).then_some(context)
    }

    /// As the header `traceparent`.
    #[must_use]
    pub fn header(&self) -> String {
        let flags = if self.is_sampled { "01" } else { "00" };
        format!("00-{}-{}-{flags}", hex::encode(&self.trace_id), hex::encode(&self.span_id))
    }
}

/// Which of the traces that begin here are sent; the same ones on every server that sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sampler {
    /// Of the 2⁶³ numbers that the second half of a trace's id may make, those below.
    bound: u64,
}

impl Sampler {
    pub(crate) fn new(fraction: f64) -> Self {
        const ALL: f64 = (1u64 << 63) as f64;
        // A float beyond the range of whole numbers becomes the last of them, and NaN becomes 0.
        Self { bound: (fraction * ALL).clamp(0.0, ALL) as u64 }
    }

    pub(crate) fn bound(self) -> u64 {
        self.bound
    }

    pub(crate) fn from_bound(bound: u64) -> Self {
        Self { bound }
    }

    pub(crate) fn takes(self, trace_id: &[u8; 16]) -> bool {
        let [.., a, b, c, d, e, f, g, h] = *trace_id;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_written() {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = Context::parse(header).unwrap();
        assert!(context.is_sampled);
        assert_eq!(context.header(), header);
        // A later version may have more; only what version 00 knows is taken.
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02-x";
        assert_eq!(Context::parse(later).unwrap(), Context { is_sampled: false, ..context });
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7-b7ad6b7169203331-01",
            "zz-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(Context::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_fraction_of_traces_is_taken_by_their_ids() {
        let id = |last: u64| {
            let mut id = [7; 16];
            id[8..].copy_from_slice(&last.to_be_bytes());
            id
        };
        let check = |fraction, last, expected| {
            assert_eq!(Sampler::new(fraction).takes(&id(last)), expected, "{fraction} {last:x}");
        };
        check(0.0, 0, false);
        check(1.0, u64::MAX, true);
        check(0.5, (1 << 63) - 1, true);
        check(0.5, 1 << 63, false);
        check(f64::NAN, 0, false);
        check(-1.0, 0, false);
        check(2.0, u64::MAX, true);
    }
}
