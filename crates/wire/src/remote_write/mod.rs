//! Prometheus remote write, versions 1.0 and 2.0: requests to borrowed views and back. Remote read, whose messages are of the same kind.
//!
//! In: the body of a request, a snappy block around a protobuf message. Out: series by series, with everything still
//! encoded but what a writer of known series needs: a keyed hash of the labels, times and values. Labels, exemplars and
//! histograms are decoded when asked for.
//! Never copies what it can borrow, never panics, never grows beyond the limits here; keeps nothing between
//! requests but [`SeriesMemo`].
//! Method: the specifications of remote write 1.0 and 2.0, and protobuf's wire format; the field numbers are those of
//! `prometheus.WriteRequest` and `io.prometheus.write.v2.Request`.

mod encode;
mod error;
mod frames;
mod histogram;
mod labels;
mod memo;
pub(crate) mod proto;
mod read;
mod sample;
mod snappy;
#[cfg(test)]
mod tests;
mod v1;
mod v2;
mod whole;

pub use encode::{TimeSeries, compress, encode_metadata_v1, encode_v1, encode_v2};
pub(crate) use encode::{put_double, put_field, put_number, put_side, put_tag, zigzag};
pub use error::{DecodeError, HistogramError, LabelsError};
pub use frames::{FrameError, Frames, decode_chunked_message};
pub(crate) use histogram::Raw as HistogramParts;
pub use histogram::{Decoded as HistogramSample, decode as decode_histogram};
pub use memo::{HashSecret, MEMO_ENTRY_BYTES, SeriesMemo};
pub use read::{
    ChunkRef, READ_MATCHERS_MAX, READ_QUERIES_MAX, ReadQuery, ReadRequestError, ResponseType,
    decode_read_request, decode_read_response, encode_read_request, encode_read_response, put_chunked_frame,
};
pub use sample::{Parts, Sample, Samples};
pub use snappy::{decompress, decompress_within};
pub use v1::{Item, MetadataV1, RequestV1, SeriesV1};
pub use v2::{RequestV2, SeriesV2};
pub use whole::decode_v2;

/// Bytes of a request's message, after decompression. From Prometheus.
pub const DECODED_BYTES_MAX: usize = 32 << 20;
/// Symbols of one request of version 2. Chosen: a hundred times what Prometheus sends at once.
pub const SYMBOLS_MAX: usize = 1 << 20;
/// Series of one request of version 2. Chosen likewise; version 1 is walked without a table of series.
pub const SERIES_MAX: usize = 1 << 20;
/// Buckets of one side of a native histogram, and custom bounds. Chosen: clients keep to some hundreds.
pub const HISTOGRAM_BUCKETS_MAX: usize = 1 << 16;
