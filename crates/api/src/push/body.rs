//! What is pushed: a page of the text format or a protobuf body, made families with the group's labels.
//!
//! In from [`super::PushReceiver`]; out [`Family`] by name, written in the text format. Pure. Stricter than a scrape: timestamps are
//! refused, as the Pushgateway does. Native histograms stay protobuf, with the group's labels; classic buckets beside them are text.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::labels::METRIC_NAME;
use model::metadata::MetricType;
use model::{Labels, LabelsBuilder, Metadata};
use wire::exposition::{
    Entry, Format, HistogramOptions, Parser, SampleEntry, Translation, Writer, natives_with_labels,
    translate_protobuf,
};

use super::{Family, GroupLabels, PushError};

pub(super) const INSTANCE: &str = "instance";

const TIMESTAMPS: &str = "pushed metrics must not have timestamps";
/// How histograms of protobuf are read.
const NATIVES: HistogramOptions = HistogramOptions {
    natives: true,
    classic_too: true,
    classic_to_custom: false,
    starts: false,
    type_and_unit: false,
};

/// Suffix, labels, value.
type PushedSample = (&'static str, Vec<(String, String)>, f64);

/// A family being read.
#[derive(Default)]
struct Draft {
    metadata: Metadata,
    samples: Vec<PushedSample>,
    /// Protobuf.
    natives: Vec<u8>,
}

/// The families of a body.
///
/// # Errors
/// [`PushError::Body`]
pub(super) fn read(
    body: &[u8],
    format: Format,
    group: &GroupLabels,
    now_ms: i64,
) -> Result<BTreeMap<String, Family>, PushError> {
    let mut translation = Translation::new();
    let (mut text, mut natives) = (body, Vec::new());
    let refused = |err: &dyn std::fmt::Display| PushError::Body(err.to_string());
    if format == Format::Protobuf {
        translate_protobuf(body, NATIVES, &mut translation).map_err(|err| refused(&err))?;
        if translation.natives.iter().any(|native| native.t_ms.is_some()) {
            return Err(refused(&TIMESTAMPS));
        }
        let labels: Vec<(&str, &str)> =
            group.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        // The empty label keeps the scraper from putting its own there.
        natives = natives_with_labels(body, &labels, (INSTANCE, "")).map_err(|err| refused(&err))?;
        text = translation.text.as_bytes();
    } else if !text.is_empty() && !text.ends_with(b"\n") {
        return Err(PushError::Body("the body must end with a line end".to_owned()));
    }
    let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
    let (mut parser, mut builder) = (Parser::new(text, format), LabelsBuilder::new());
    let mut current = String::new();
    while let Some(entry) = parser.next_entry().map_err(|err| PushError::Body(err.to_string()))? {
        match entry {
            Entry::Help { name, text } => {
                drafts.entry(name.clone().into_owned()).or_default().metadata.help = text.into_owned();
                current = name.into_owned();
            }
            Entry::Type { name, metric_type } => {
                drafts.entry(name.clone().into_owned()).or_default().metadata.metric_type = metric_type;
                current = name.into_owned();
            }
            Entry::Sample(sample) => add(&sample, group, &mut builder, &current, &mut drafts)?,
            Entry::Unit { .. } | Entry::Comment => {}
        }
    }
    for (name, natives) in natives {
        drafts.entry(name).or_default().natives.extend(natives);
    }
    drafts.retain(|_, draft| !draft.samples.is_empty() || !draft.natives.is_empty());
    Ok(drafts.into_iter().map(|(name, draft)| (name.clone(), draft.finish(&name, now_ms))).collect())
}

fn add(
    sample: &SampleEntry<'_>,
    group: &GroupLabels,
    builder: &mut LabelsBuilder,
    current: &str,
    drafts: &mut BTreeMap<String, Draft>,
) -> Result<(), PushError> {
    if sample.t_ms.is_some() {
        return Err(PushError::Body(TIMESTAMPS.to_owned()));
    }
    sample.fill_labels(builder).map_err(|err| PushError::Body(err.to_string()))?;
    let metric = builder.get(METRIC_NAME).unwrap_or_default().to_owned();
    builder.remove(METRIC_NAME);
    for (name, value) in group {
        builder.set(name, value);
    }
    let mut labels: Vec<(String, String)> =
        builder.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    if builder.get(INSTANCE).is_none() {
        // Keeps the scraper from putting its own there.
        labels.push((INSTANCE.to_owned(), String::new()));
    }
    let suffixes: &[&str] = match sample.metric_type {
        MetricType::Histogram | MetricType::GaugeHistogram => &["_bucket", "_sum", "_count"],
        MetricType::Summary => &["_sum", "_count", ""],
        _ => &[""],
    };
    let suffix =
        metric.strip_prefix(current).and_then(|rest| suffixes.iter().find(|suffix| **suffix == rest));
    let (family, suffix) = match suffix {
        Some(suffix) => (current, *suffix),
        None => (metric.as_str(), ""),
    };
    let draft = match drafts.get_mut(family) {
        Some(draft) => draft,
        None => drafts.entry(family.to_owned()).or_default(),
    };
    draft.samples.push((suffix, labels, sample.value));
    Ok(())
}

impl Draft {
    fn finish(self, name: &str, pushed_ms: i64) -> Family {
        let Metadata { metric_type, help, .. } = self.metadata;
        let mut writer = Writer::new();
        writer.family(name, &help, metric_type);
        for (suffix, labels, value) in &self.samples {
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            writer.sample_with_suffix(suffix, &labels, *value);
        }
        let type_word =
            if metric_type == MetricType::Unknown { "untyped".to_owned() } else { metric_type.to_string() };
        Family { type_word, help, pushed_ms, text: writer.finish(), natives: STANDARD.encode(self.natives) }
    }
}

/// The native histograms of a family as they were pushed, in protobuf.
pub(super) fn natives_body(family: &Family) -> Vec<u8> {
    STANDARD.decode(&family.natives).unwrap_or_default()
}

/// Each native histogram of a family with its count and sum.
pub(crate) fn natives_of(family: &Family) -> Vec<(Labels, f64, f64)> {
    let (mut translation, mut builder) = (Translation::new(), LabelsBuilder::new());
    if family.natives.is_empty()
        || translate_protobuf(&natives_body(family), NATIVES, &mut translation).is_err()
    {
        return Vec::new();
    }
    let mut all = Vec::new();
    for native in &translation.natives {
        let line = format!("{} 0\n", native.raw);
        if let Ok(Some(Entry::Sample(sample))) = Parser::new(line.as_bytes(), Format::Text004).next_entry()
            && sample.fill_labels(&mut builder).is_ok()
        {
            all.push((builder.build(), native.histogram.count, native.histogram.sum));
        }
    }
    all
}

/// Each series of a family with its value.
pub(crate) fn series_of(family: &Family) -> Vec<(Labels, f64)> {
    let (mut parser, mut builder) =
        (Parser::new(family.text.as_bytes(), Format::Text004), LabelsBuilder::new());
    let mut all = Vec::new();
    while let Ok(Some(entry)) = parser.next_entry() {
        if let Entry::Sample(sample) = entry
            && sample.fill_labels(&mut builder).is_ok()
        {
            all.push((builder.build(), sample.value));
        }
    }
    all
}
