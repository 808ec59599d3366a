//! Which span a request is a part of, for servers that trace, too: the header `traceparent` of W3C's Trace Context.
//!
//! In from whoever collects spans, once, at the start; out to every request. While nobody does, a request costs one look at a cell.

use std::sync::OnceLock;

use http::{HeaderName, HeaderValue};

/// The header, on requests that go out and on those that come in.
pub const PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Tells the value of [`PARENT`] for a request of this moment; `None` when it is of no trace.
pub type ParentFn = fn() -> Option<HeaderValue>;

static CURRENT: OnceLock<ParentFn> = OnceLock::new();

/// Asks `current` from now on. Only the first call counts.
pub fn ask(current: ParentFn) {
    let _ = CURRENT.set(current);
}

pub(crate) fn parent() -> Option<HeaderValue> {
    CURRENT.get().and_then(|current| current())
}
