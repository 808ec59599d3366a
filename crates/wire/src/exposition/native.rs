//! What a page holds besides floats, and the text that carries its floats.
//!
//! In from [`super::protobuf`] and [`super::custom`], which write [`Translation::text`] line by line; out to `scrape`, which reads the
//! text as it reads every page (by difference to the page before) and stores [`Translation::natives`] beside it.
//! Never grows beyond [`TEXT_BYTES_MAX`], whatever a body says.

use model::float;
use model::labels::{is_legacy_label_name, is_legacy_metric_name};
use model::{Exemplar, Histogram};

use super::error::Fail;
use super::writer::push_escaped;

/// Longest text and keys of one page, in bytes. Chosen: as long as the longest body; a family's name stands once in a protobuf body
/// and in every line of its text.
pub const TEXT_BYTES_MAX: usize = 512 << 20;
/// Most exemplars of one native histogram. Chosen: client libraries keep ten.
pub const EXEMPLARS_MAX: usize = 1_000;

/// Memory for text that is kept from page to page, in bytes. Chosen: larger pages are rare, and pay for a new one.
const KEPT_BYTES_MAX: usize = 8 << 20;
/// Likewise, in histograms.
const KEPT_NATIVES_MAX: usize = 1_000;
/// Values from here on are written with an exponent. Chosen.
const PLAIN_MAX: f64 = 1e15;

/// Which histograms of a page become native ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistogramOptions {
    /// Native parts count; otherwise histograms are read as classic ones. Protobuf only.
    pub natives: bool,
    /// The classic parts of what becomes native count too.
    pub classic_too: bool,
    /// Classic histograms become native ones with custom buckets.
    pub classic_to_custom: bool,
    /// Starts are wanted: of a protobuf body they become lines named `_created`.
    pub starts: bool,
    /// Types and units become labels. Protobuf only: of a text they are by [`super::with_type_and_unit`].
    pub type_and_unit: bool,
}

/// A native histogram in a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Native {
    /// Name and labels as the text format writes them: the key of a cache of series.
    pub raw: String,
    /// Unix milliseconds, when the page says.
    pub t_ms: Option<i64>,
    /// Since when it counts, in Unix milliseconds; 0 when the page does not say.
    pub start_ms: i64,
    /// What was counted.
    pub histogram: Histogram,
    /// Those with a time.
    pub exemplars: Vec<Exemplar>,
}

/// A page taken apart. Kept by the caller so that its memory is used again.
#[derive(Debug, Default)]
pub struct Translation {
    /// Lines in the page's format, or in [`super::Format::Protobuf`]'s.
    pub text: String,
    /// In the page's order.
    pub natives: Vec<Native>,
    /// Bytes of keys and native histograms.
    natives_bytes: usize,
}

impl Translation {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives back memory that only the largest pages need.
    pub fn trim(&mut self) {
        if self.text.capacity() > KEPT_BYTES_MAX {
            self.text = String::new();
        }
        self.natives.clear();
        self.natives.shrink_to(KEPT_NATIVES_MAX);
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.natives.clear();
        self.natives_bytes = 0;
    }

    pub(super) fn push_native(&mut self, native: Native) {
        let histogram = &native.histogram;
        let n_buckets = histogram.positive_buckets.len() + histogram.negative_buckets.len();
        self.natives_bytes += size_of::<Native>() + native.raw.len() + 16 * n_buckets;
        self.natives_bytes += native.exemplars.len() * size_of::<Exemplar>();
        self.natives.push(native);
    }

    /// Whether the page, whose bytes up to `offset` have been read, is too long.
    pub(super) fn check(&self, offset: usize) -> Result<(), Fail> {
        if self.text.len() + self.natives_bytes <= TEXT_BYTES_MAX {
            return Ok(());
        }
        Err(Fail::new(
            offset,
            format!("the page is longer than {TEXT_BYTES_MAX} bytes when it is written as text"),
        ))
    }
}

/// Adds a name as it stands in a metadata line.
pub(super) fn push_meta_name(out: &mut String, name: &str) {
    if is_legacy_metric_name(name) {
        out.push_str(name);
        return;
    }
    out.push('"');
    push_escaped(out, name, true);
    out.push('"');
}

/// Adds name and labels; `labels` are written already, without braces.
pub(super) fn push_key(out: &mut String, name: &str, suffix: &str, labels: &str) {
    if is_legacy_metric_name(name) {
        out.push_str(name);
        out.push_str(suffix);
        if labels.is_empty() {
            return;
        }
        out.push('{');
    } else {
        out.push_str("{\"");
        push_escaped(out, name, true);
        out.push_str(suffix);
        out.push('"');
        if !labels.is_empty() {
            out.push(',');
        }
    }
    out.push_str(labels);
    out.push('}');
}

/// Adds `name="value"`, after a comma where `out` is not empty.
pub(super) fn push_label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    push_label_name(out, name);
    out.push_str("=\"");
    push_escaped(out, value, true);
    out.push('"');
}

/// Adds a label's name as it stands in braces.
pub(super) fn push_label_name(out: &mut String, name: &str) {
    if is_legacy_label_name(name) {
        out.push_str(name);
    } else {
        out.push('"');
        push_escaped(out, name, true);
        out.push('"');
    }
}

/// Adds a text that reads back as `value`.
pub(super) fn push_value(out: &mut String, value: f64) {
    // As short as it gets where that is quick, and never hundreds of digits.
    if value.abs() < PLAIN_MAX { float::push_f(out, value) } else { float::push_g(out, value) }
}
