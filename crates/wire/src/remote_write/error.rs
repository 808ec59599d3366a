//! Why bytes are no request, labels are no label set, a histogram is none.

use super::{HISTOGRAM_BUCKETS_MAX, SERIES_MAX, SYMBOLS_MAX};
use crate::limits::{LABEL_BYTES_MAX, LABELS_MAX};

/// The request as a whole cannot be read; nothing of it may be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The block says how long it is, and that is too long.
    #[error("decoded size exceeds the {bytes_max} bytes limit")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// Not a snappy block. The text begins with «snappy:».
    #[error("{0}")]
    Snappy(String),
    /// The bytes end within a field.
    #[error("protobuf: {message} ends within a field")]
    Truncated {
        /// The message's name.
        message: &'static str,
    },
    /// A field of a kind that protobuf does not have, or another kind than its number has.
    #[error("protobuf: field {number} of {message} has a wrong kind ({kind})")]
    WrongKind {
        /// The message's name.
        message: &'static str,
        /// Which field.
        number: u64,
        /// The wire type.
        kind: u8,
    },
    /// More symbols than anybody sends.
    #[error("more than {SYMBOLS_MAX} symbols in one request")]
    TooManySymbols,
    /// More series than anybody sends.
    #[error("more than {SERIES_MAX} series in one request")]
    TooManySeries,
}

/// The labels of a series cannot be used; other series can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// No name, an empty label name, or text that is not UTF-8.
    #[error("invalid metric name or labels, got {0}")]
    Invalid(String),
    /// A label twice.
    #[error("invalid labels for series, labels {labels}, duplicated label {name}")]
    Duplicate {
        /// All labels.
        labels: String,
        /// The one that is there twice.
        name: String,
    },
    /// References come in pairs.
    #[error("parsing labels for series {refs:?}: invalid labelRefs length {len}")]
    OddRefs {
        /// The first of them.
        refs: Vec<u32>,
        /// How many there are.
        len: usize,
    },
    /// A reference beyond the symbols.
    #[error(
        "parsing labels for series {refs:?}: labelRefs {name} (name) = {value} (value) outside of symbols table \
         (size {n_symbols})"
    )]
    NoSymbol {
        /// The first of them.
        refs: Vec<u32>,
        /// Reference of the name.
        name: u32,
        /// Reference of the value.
        value: u32,
        /// How many symbols there are.
        n_symbols: usize,
    },
    /// A reference of the metadata beyond the symbols.
    #[error("parsing metadata for series: {field} {symbol} outside of symbols table (size {n_symbols})")]
    NoMetadataSymbol {
        /// `unit_ref` or `help_ref`.
        field: &'static str,
        /// The reference.
        symbol: u32,
        /// How many symbols there are.
        n_symbols: usize,
    },
    /// A name or value of a length nobody needs.
    #[error("label name or value longer than {LABEL_BYTES_MAX} bytes")]
    TooLong,
    /// More labels than anybody needs.
    #[error("more than {LABELS_MAX} labels")]
    TooMany,
}

/// A histogram contradicts itself. Wording from Prometheus.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HistogramError {
    /// A schema that nobody has defined.
    #[error(
        "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom \
         buckets, got schema {0}"
    )]
    Schema(i32),
    /// A span begins before the one before it ends.
    #[error(
        "{side}: span number {number} with offset {offset}: histogram has a span whose offset is negative"
    )]
    SpanOffset {
        /// `positive side`, `negative side` or `custom buckets`.
        side: &'static str,
        /// Counted from 1.
        number: usize,
        /// Its offset.
        offset: i32,
    },
    /// Spans and buckets do not fit.
    #[error(
        "{side}: spans need {need} buckets, have {have} buckets: histogram spans specify different number of buckets \
         than provided"
    )]
    SpanBuckets {
        /// As above.
        side: &'static str,
        /// What the spans say.
        need: u64,
        /// What there is.
        have: usize,
    },
    /// A count below zero.
    #[error(
        "{side}: bucket number {number} has observation count of {count}: histogram has a bucket whose observation \
         count is negative"
    )]
    NegativeBucket {
        /// As above.
        side: &'static str,
        /// Counted from 1.
        number: usize,
        /// The count.
        count: f64,
    },
    /// All observations are fewer than none.
    #[error("observation count is {0}: histogram's observation count is negative")]
    NegativeCount(f64),
    /// Buckets and count do not fit.
    #[error(
        "{in_buckets} observations found in buckets, but the Count field is {count}: histogram's observation count \
         should {relation} the number of observations found in the buckets"
    )]
    CountMismatch {
        /// Sum over the buckets.
        in_buckets: u128,
        /// What the histogram says.
        count: u64,
        /// `equal`, or `be at least` when the sum is no number.
        relation: &'static str,
    },
    /// Custom bounds are not finite or do not rise.
    #[error("custom buckets: histogram custom bounds must be {0}")]
    Bounds(&'static str),
    /// The spans go beyond the bounds.
    #[error(
        "custom buckets: only {bounds} custom bounds defined which is insufficient to cover total span length of \
         {length}: histogram custom bounds are too few"
    )]
    FewBounds {
        /// How many bounds.
        bounds: usize,
        /// How many buckets the spans cover.
        length: u64,
    },
    /// Custom buckets have no zero bucket and no negative side; exponential ones have no bounds.
    #[error("{0}")]
    Mixed(&'static str),
    /// More than anybody needs.
    #[error("more than {HISTOGRAM_BUCKETS_MAX} buckets or bounds")]
    TooMany,
}
