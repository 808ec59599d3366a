//! Writes pages of the text format: families with help, type and samples.

use model::float;
use model::labels::is_legacy_metric_name;
use model::metadata::MetricType;

use super::native::{push_label_name, push_meta_name};

/// A page in the making. The caller writes families one after the other, each name once.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
    /// Of the family being written.
    name: String,
}

impl Writer {
    /// An empty page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty page with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: String::with_capacity(bytes), name: String::new() }
    }

    /// Begins a family: its `# HELP` and `# TYPE` lines. [`MetricType`]s that the text format lacks become what
    /// carries their samples: `gauge`, `histogram` or `untyped`.
    pub fn family(&mut self, name: &str, help: &str, metric_type: MetricType) -> &mut Self {
        name.clone_into(&mut self.name);
        let type_word = match metric_type {
            MetricType::Counter => "counter",
            MetricType::Gauge | MetricType::Info | MetricType::StateSet => "gauge",
            MetricType::Histogram | MetricType::GaugeHistogram => "histogram",
            MetricType::Summary => "summary",
            MetricType::Unknown => "untyped",
        };
        self.out.push_str("# HELP ");
        push_meta_name(&mut self.out, name);
        self.out.push(' ');
        push_escaped(&mut self.out, help, false);
        self.out.push_str("\n# TYPE ");
        push_meta_name(&mut self.out, name);
        self.out.push(' ');
        self.out.push_str(type_word);
        self.out.push('\n');
        self
    }

    /// One sample of the family. Labels stand in the order given; an empty value is written as such.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.sample_with_suffix("", labels, value)
    }

    /// One sample whose name is the family's and `suffix`, such as `_count`.
    pub fn sample_with_suffix(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) -> &mut Self {
        // Names beyond the classic alphabet stand in quotes, that of the metric within the braces.
        let is_plain = is_legacy_metric_name(&self.name);
        if is_plain {
            self.out.push_str(&self.name);
            self.out.push_str(suffix);
        } else {
            self.out.push_str("{\"");
            push_escaped(&mut self.out, &self.name, true);
            self.out.push_str(suffix);
            self.out.push('"');
        }
        for (i, (name, value)) in labels.iter().enumerate() {
            self.out.push(if i == 0 && is_plain { '{' } else { ',' });
            push_label_name(&mut self.out, name);
            self.out.push_str("=\"");
            push_escaped(&mut self.out, value, true);
            self.out.push('"');
        }
        self.out.push_str(if labels.is_empty() && is_plain { " " } else { "} " });
        float::push_g(&mut self.out, value);
        self.out.push('\n');
        self
    }

    /// A family with one sample without labels.
    pub fn single(&mut self, name: &str, help: &str, metric_type: MetricType, value: f64) -> &mut Self {
        self.family(name, help, metric_type).sample(&[], value)
    }

    /// Appends a page that was written elsewhere, such as one collector's.
    pub fn append(&mut self, page: &str) -> &mut Self {
        self.out.push_str(page);
        self
    }

    /// The page so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.out
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> String {
        self.out
    }
}

/// Adds `text` with its backslashes and line breaks escaped, and its `quotes` where they would end it.
pub(super) fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    let mut rest = text;
    while let Some(at) = memchr::memchr3(b'\\', b'\n', b'"', rest.as_bytes()) {
        let (before, from) = rest.split_at(at);
        let (special, after) = from.split_at(1);
        out.push_str(before);
        out.push_str(match special {
            "\\" => "\\\\",
            "\n" => "\\n",
            _ if quotes => "\\\"",
            quote => quote,
        });
        rest = after;
    }
    out.push_str(rest);
}

/// A float as OpenMetrics writes it: Go's 'g' form, with `.0` when it would look like an integer.
pub fn write_om_float(out: &mut String, value: f64) {
    let start = out.len();
    float::push_g(out, value);
    if value.is_finite() && !out[start..].contains(['e', '.']) {
        out.push_str(".0");
    }
}
