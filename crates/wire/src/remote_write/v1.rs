//! Version 1.0: `prometheus.WriteRequest`, every series with its labels spelled out.

use model::{Exemplar, Labels, Metadata, MetricType};

use super::error::{DecodeError, LabelsError};
use super::labels::{self, Pair};
use super::memo::HashSecret;
use super::proto::{Fields, Value, get_varint, take};
use super::sample::{Numbers, Parts, Sample, Samples, Survey, survey};

const NUMBERS: Numbers = Numbers { labels: 1, samples: 2, exemplars: 3, histograms: 4 };
/// The tag of a label: field 1 with a length.
const LABEL_TAG: u8 = 0x0a;

/// Walks a request; nothing is remembered, so that any number of series fits.
#[derive(Debug, Clone)]
pub struct RequestV1<'a> {
    fields: Fields<'a>,
}

/// What a request is made of.
#[derive(Debug, Clone)]
pub enum Item<'a> {
    /// A series with samples.
    Series(SeriesV1<'a>),
    /// What is known of a metric family.
    Metadata(MetadataV1<'a>),
}

/// A metric family's metadata, not decoded.
#[derive(Debug, Clone, Copy)]
pub struct MetadataV1<'a> {
    message: &'a [u8],
}

/// A series with what comes with it.
#[derive(Debug, Clone)]
pub struct SeriesV1<'a> {
    message: &'a [u8],
    /// The labels at the front of the message: all of them, as everybody writes it, unless more follow.
    region: &'a [u8],
    survey: Survey,
}

impl<'a> RequestV1<'a> {
    /// Begins to walk `message`, which is decompressed.
    #[must_use]
    pub fn new(message: &'a [u8]) -> Self {
        Self { fields: Fields::new(message, "WriteRequest") }
    }

    /// The next series or metadata.
    ///
    /// # Errors
    /// When the bytes are no request.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator that can fail")]
    pub fn next(&mut self) -> Result<Option<Item<'a>>, DecodeError> {
        while let Some(field) = self.fields.next()? {
            match field.number {
                1 => return Ok(Some(Item::Series(SeriesV1::new(field.bytes()?)?))),
                3 => return Ok(Some(Item::Metadata(MetadataV1 { message: field.bytes()? }))),
                _ => {}
            }
        }
        Ok(None)
    }
}

impl<'a> SeriesV1<'a> {
    #[inline]
    fn new(message: &'a [u8]) -> Result<Self, DecodeError> {
        let truncated = || DecodeError::Truncated { message: "TimeSeries" };
        let mut rest = message;
        while let Some((&LABEL_TAG, after)) = rest.split_first() {
            rest = after;
            let len = get_varint(&mut rest).ok_or_else(truncated)?;
            take(&mut rest, len).ok_or_else(truncated)?;
        }
        let region = &message[..message.len() - rest.len()];
        Ok(Self { message, region, survey: survey(rest, NUMBERS)? })
    }

    /// What comes with it.
    #[must_use]
    pub fn parts(&self) -> Parts {
        self.survey.parts
    }

    /// The keyed hash of the labels as they were sent; `None` when they do not stand together.
    #[inline]
    #[must_use]
    pub fn hash(&self, secret: &HashSecret) -> Option<u128> {
        (!self.survey.has_labels).then(|| secret.hash(self.region))
    }

    /// The first sample: mostly the only one.
    #[must_use]
    pub fn first(&self) -> Option<Sample> {
        self.survey.first
    }

    /// All samples.
    #[must_use]
    pub fn samples(&self) -> Samples<'a> {
        Samples::new(&self.message[self.region.len()..], NUMBERS.samples, 0)
    }

    /// The labels.
    ///
    /// # Errors
    /// The outer one when the bytes are no request, the inner one when these labels cannot be used.
    pub fn labels(&self) -> Result<Result<Labels, LabelsError>, DecodeError> {
        let mut pairs = Vec::new();
        collect_labels(self.message, "TimeSeries", &mut pairs)?;
        Ok(labels::build(&mut pairs))
    }

    /// Hands every histogram's message to `take`, for [`super::decode_histogram`].
    ///
    /// # Errors
    /// When the bytes are no request, and what `take` returns.
    pub fn histograms<E: From<DecodeError>>(
        &self,
        mut take: impl FnMut(&'a [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut fields = Fields::new(self.message, "TimeSeries");
        while let Some(field) = fields.next()? {
            if field.number == NUMBERS.histograms {
                take(field.bytes()?)?;
            }
        }
        Ok(())
    }

    /// Hands every exemplar to `take`.
    ///
    /// # Errors
    /// When the bytes are no request.
    pub fn exemplars(&self, mut take: impl FnMut(Result<Exemplar, LabelsError>)) -> Result<(), DecodeError> {
        let mut fields = Fields::new(self.message, "TimeSeries");
        while let Some(field) = fields.next()? {
            if field.number == NUMBERS.exemplars {
                take(decode_exemplar(field.bytes()?)?);
            }
        }
        Ok(())
    }
}

fn decode_exemplar(bytes: &[u8]) -> Result<Result<Exemplar, LabelsError>, DecodeError> {
    let (mut value, mut t_ms) = (0.0, 0);
    let mut fields = Fields::new(bytes, "Exemplar");
    while let Some(field) = fields.next()? {
        match field.number {
            2 => value = field.double()?,
            3 => t_ms = field.int64()?,
            _ => {}
        }
    }
    let mut pairs = Vec::new();
    collect_labels(bytes, "Exemplar", &mut pairs)?;
    Ok(labels::build_exemplar(&mut pairs).map(|labels| Exemplar { labels, value, t_ms }))
}

/// The pairs in fields of number 1.
pub(super) fn collect_labels<'a>(
    message: &'a [u8],
    name: &'static str,
    pairs: &mut Vec<Pair<'a>>,
) -> Result<(), DecodeError> {
    let mut fields = Fields::new(message, name);
    while let Some(field) = fields.next()? {
        if field.number != NUMBERS.labels {
            continue;
        }
        let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
        let mut label = Fields::new(field.bytes()?, "Label");
        while let Some(field) = label.next()? {
            match field.number {
                1 => name = field.bytes()?,
                2 => value = field.bytes()?,
                _ => {}
            }
        }
        pairs.push((name, value));
    }
    Ok(())
}

impl MetadataV1<'_> {
    /// The family's name with its metadata. Text that is not UTF-8 is repaired: it is only shown.
    ///
    /// # Errors
    /// When the bytes are no request.
    pub fn decode(&self) -> Result<(String, Metadata), DecodeError> {
        let (mut name, mut metadata) = (String::new(), Metadata::default());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut fields = Fields::new(self.message, "MetricMetadata");
        while let Some(field) = fields.next()? {
            match (field.number, field.value) {
                (1, _) => metadata.metric_type = metric_type(field.varint()?),
                (2, Value::Bytes(bytes)) => name = text(bytes),
                (4, Value::Bytes(bytes)) => metadata.help = text(bytes),
                (5, Value::Bytes(bytes)) => metadata.unit = text(bytes),
                _ => {}
            }
        }
        Ok((name, metadata))
    }
}

/// The same numbers in both versions.
pub(super) fn metric_type(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}
