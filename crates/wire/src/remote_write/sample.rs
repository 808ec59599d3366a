//! What follows the labels of a series: samples, the same in both versions, and what else is there.

use super::error::DecodeError;
use super::proto::{BYTES, Fields, get_varint};

/// A float at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When, in Unix milliseconds.
    pub t_ms: i64,
    /// Since when the counter counts, 0 when not said. Version 2 only.
    pub start_ms: i64,
    /// The value, bit for bit.
    pub value: f64,
}

impl Sample {
    /// With a start for those that have none.
    pub(super) fn or_start(mut self, start_ms: i64) -> Self {
        if self.start_ms == 0 {
            self.start_ms = start_ms;
        }
        self
    }
}

/// Fields of a series' message that hold samples, exemplars and histograms; the numbers differ between the versions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) labels: u64,
    pub(super) samples: u64,
    pub(super) exemplars: u64,
    pub(super) histograms: u64,
}

/// What a series brings beside labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// Float samples.
    pub n_samples: u32,
    /// Native histograms.
    pub n_histograms: u32,
    /// Exemplars.
    pub n_exemplars: u32,
    /// Whether a sample says when its counter began.
    pub has_starts: bool,
}

/// The samples of a series, one after another.
#[derive(Debug, Clone)]
pub struct Samples<'a> {
    fields: Fields<'a>,
    number: u64,
    /// For samples that say nothing of it themselves.
    start_ms: i64,
}

impl<'a> Samples<'a> {
    pub(super) fn new(rest: &'a [u8], number: u64, start_ms: i64) -> Self {
        Self { fields: Fields::new(rest, "TimeSeries"), number, start_ms }
    }

    /// The next sample.
    ///
    /// # Errors
    /// When the bytes are no samples.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator that can fail")]
    pub fn next(&mut self) -> Result<Option<Sample>, DecodeError> {
        while let Some(field) = self.fields.next()? {
            if field.number == self.number {
                return Ok(Some(decode_sample(field.bytes()?)?.or_start(self.start_ms)));
            }
        }
        Ok(None)
    }
}

/// The message `Sample`.
#[inline]
pub(super) fn decode_sample(bytes: &[u8]) -> Result<Sample, DecodeError> {
    // As everybody writes it: the value's eight bytes (9 is field 1, fixed), then the time (16 is field 2, a varint).
    if let Some((&[9, value @ .., 16], mut rest)) = bytes.split_first_chunk::<10>()
        && let Some(t_ms) = get_varint(&mut rest)
        && rest.is_empty()
    {
        return Ok(Sample { t_ms: t_ms as i64, start_ms: 0, value: f64::from_le_bytes(value) });
    }
    let mut sample = Sample { t_ms: 0, start_ms: 0, value: 0.0 };
    let mut fields = Fields::new(bytes, "Sample");
    while let Some(field) = fields.next()? {
        match field.number {
            1 => sample.value = field.double()?,
            2 => sample.t_ms = field.int64()?,
            3 => sample.start_ms = field.int64()?,
            _ => {}
        }
    }
    Ok(sample)
}

/// What stands in a series' message beside the labels at its front.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Survey {
    pub(super) parts: Parts,
    /// The first sample: mostly there is just one.
    pub(super) first: Option<Sample>,
    /// More label fields, for which the run of labels at the front is not all.
    pub(super) has_labels: bool,
}

/// Walks over `rest` once.
#[inline]
pub(super) fn survey(rest: &[u8], numbers: Numbers) -> Result<Survey, DecodeError> {
    // As mostly: one sample of less than 128 bytes, and the message ends.
    if let Some((&[tag, len], sample)) = rest.split_first_chunk::<2>()
        && u64::from(tag) == numbers.samples << 3 | u64::from(BYTES)
        && usize::from(len) == sample.len()
        && len < 0x80
    {
        let sample = decode_sample(sample)?;
        let parts = Parts { n_samples: 1, has_starts: sample.start_ms != 0, ..Parts::default() };
        return Ok(Survey { parts, first: Some(sample), has_labels: false });
    }
    survey_all(rest, numbers)
}

fn survey_all(rest: &[u8], numbers: Numbers) -> Result<Survey, DecodeError> {
    let mut survey = Survey::default();
    let mut fields = Fields::new(rest, "TimeSeries");
    while let Some(field) = fields.next()? {
        match field.number {
            number if number == numbers.samples => {
                let sample = decode_sample(field.bytes()?)?;
                survey.parts.n_samples += 1;
                survey.parts.has_starts |= sample.start_ms != 0;
                survey.first.get_or_insert(sample);
            }
            number if number == numbers.exemplars => survey.parts.n_exemplars += 1,
            number if number == numbers.histograms => survey.parts.n_histograms += 1,
            number => survey.has_labels |= number == numbers.labels,
        }
    }
    Ok(survey)
}
