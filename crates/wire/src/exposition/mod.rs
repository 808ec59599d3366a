//! The pages that targets expose: Prometheus text 0.0.4, OpenMetrics 1.0, and protobuf, which is read as text.
//!
//! In from `scrape` (a whole body); out as [`Entry`] after entry, borrowed from the body. [`Writer`] goes the other way.
//! As strict as Prometheus' own parsers, and as lax: unknown escapes stay as they are, families may interleave.
//! Stricter in two places, where Prometheus loses data silently: a NUL byte between lines is refused, not taken for
//! the end, and a timestamp that does not fit in milliseconds is refused.
//! Never allocates on the plain path; [`SampleEntry::fill_labels`] allocates for each new series only.

mod custom;
pub mod diff;
mod error;
mod families;
mod format;
mod labels;
mod native;
mod parser;
mod protobuf;
mod typed;
mod writer;

use std::borrow::Cow;

use model::metadata::MetricType;

pub use crate::limits::{LABEL_BYTES_MAX, LABELS_MAX};
pub use custom::translate_text;
pub use error::ParseError;
pub use families::{FamilyWriter, Point};
pub use format::{Format, FormatError};
pub use labels::{Exemplar, SampleEntry};
pub use native::{EXEMPLARS_MAX, HistogramOptions, Native, TEXT_BYTES_MAX, Translation};
pub use parser::Parser;
pub use protobuf::{natives_with_labels, translate_protobuf};
pub use typed::with_type_and_unit;
pub use writer::{Writer, write_om_float};

/// One line of a page.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry<'a> {
    /// `# TYPE`
    Type {
        /// The family.
        name: Cow<'a, str>,
        /// Its type; `untyped` of the text format is [`MetricType::Unknown`].
        metric_type: MetricType,
    },
    /// `# HELP`
    Help {
        /// The family.
        name: Cow<'a, str>,
        /// Unescaped.
        text: Cow<'a, str>,
    },
    /// `# UNIT`, OpenMetrics only.
    Unit {
        /// The family.
        name: Cow<'a, str>,
        /// As it is written; may be empty.
        unit: &'a str,
    },
    /// A value of a series.
    Sample(SampleEntry<'a>),
    /// Any other line with `#`, text format only.
    Comment,
}

#[cfg(test)]
mod tests;
