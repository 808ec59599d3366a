//! Values of the domain, without behaviour towards the world.
//!
//! In from `wire`, configuration files and queries; out to every engine and service.
//! Pure: no clock, no files, no sockets, no threads.

pub mod alert;
pub mod duration;
pub mod escaping;
pub mod exemplar;
pub mod float;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod regex;
pub mod relabel;
pub mod sample;
pub mod sum;
pub mod yaml;

pub use alert::{Alert, Measured};
pub use duration::Duration;
pub use escaping::NameEscaping;
pub use exemplar::Exemplar;
pub use histogram::Histogram;
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{Metadata, MetricType};
pub use regex::Regex;
pub use sample::{STALE_NAN, STALE_NAN_BITS, Sample, TimeRange, is_stale};
pub use sum::Sum;
