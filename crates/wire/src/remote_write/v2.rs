//! Version 2.0: `io.prometheus.write.v2.Request`, a table of texts and series that refer to it.
//!
//! References mean something within one request only. So each text is hashed once for each request, and a series' hash is
//! made of the hashes its references lead to: equal for equal labels, whatever the table looks like. Metadata is part
//! of it: when that changes, the series is looked at anew.

use model::{Exemplar, Labels, Metadata};

use super::error::{DecodeError, LabelsError};
use super::labels::{self, Pair};
use super::memo::HashSecret;
use super::proto::Fields;
use super::sample::{Numbers, Parts, Sample, Samples, decode_sample};
use super::v1::metric_type;
use super::{SERIES_MAX, SYMBOLS_MAX};
use crate::limits::LABELS_MAX;

const NUMBERS: Numbers = Numbers { labels: 1, samples: 2, exemplars: 4, histograms: 3 };
/// References an error shows. Chosen.
const SHOWN_REFS_MAX: usize = 40;

/// A request whose table has been read.
#[derive(Debug)]
pub struct RequestV2<'a> {
    symbols: Vec<&'a [u8]>,
    hashes: Vec<u128>,
    series: Vec<&'a [u8]>,
}

/// A series with what comes with it.
#[derive(Debug, Clone, Default)]
pub struct SeriesV2<'a> {
    message: &'a [u8],
    refs: Vec<u32>,
    metadata: MetadataRefs,
    /// For samples and histograms that do not say it themselves, as drafts of 2.0 had it.
    start_ms: i64,
    parts: Parts,
    first: Option<Sample>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct MetadataRefs {
    metric_type: u8,
    help: u32,
    unit: u32,
}

impl<'a> RequestV2<'a> {
    /// Reads the table of `message`, which is decompressed.
    ///
    /// # Errors
    /// When the bytes are no request, or a table is beyond its limit.
    pub fn new(message: &'a [u8], secret: &HashSecret) -> Result<Self, DecodeError> {
        let mut request = Self { symbols: Vec::new(), hashes: Vec::new(), series: Vec::new() };
        let mut fields = Fields::new(message, "Request");
        while let Some(field) = fields.next()? {
            match field.number {
                4 if request.symbols.len() == SYMBOLS_MAX => return Err(DecodeError::TooManySymbols),
                5 if request.series.len() == SERIES_MAX => return Err(DecodeError::TooManySeries),
                4 => request.symbols.push(field.bytes()?),
                5 => request.series.push(field.bytes()?),
                _ => {}
            }
        }
        request.hashes.extend(request.symbols.iter().map(|symbol| secret.hash(symbol)));
        Ok(request)
    }

    /// How many series there are.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.series.len()
    }

    /// Reads the series `idx` into `series`, whose buffers are used again.
    ///
    /// # Errors
    /// When the bytes are no request.
    ///
    /// # Panics
    /// When there is no such series.
    #[inline]
    pub fn read(&self, idx: usize, series: &mut SeriesV2<'a>) -> Result<(), DecodeError> {
        series.message = self.series[idx];
        series.refs.clear();
        series.metadata = MetadataRefs::default();
        series.start_ms = 0;
        series.first = None;
        series.parts = Parts::default();
        let mut fields = Fields::new(series.message, "TimeSeries");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => field.repeated_varint(|symbol| series.refs.push(symbol as u32))?,
                2 => {
                    let sample = decode_sample(field.bytes()?)?;
                    series.parts.n_samples += 1;
                    series.parts.has_starts |= sample.start_ms != 0;
                    series.first.get_or_insert(sample);
                }
                3 => series.parts.n_histograms += 1,
                4 => series.parts.n_exemplars += 1,
                5 => series.metadata = decode_metadata_refs(field.bytes()?)?,
                6 => series.start_ms = field.int64()?,
                _ => {}
            }
        }
        series.parts.has_starts |= series.start_ms != 0;
        Ok(())
    }

    /// The keyed hash of a series' labels and metadata; `None` when a reference leads nowhere.
    #[inline]
    #[must_use]
    pub fn hash(&self, series: &SeriesV2<'_>, secret: &HashSecret, scratch: &mut Vec<u8>) -> Option<u128> {
        scratch.clear();
        for symbol in series.refs.iter().chain([&series.metadata.help, &series.metadata.unit]) {
            scratch.extend_from_slice(&self.hashes.get(*symbol as usize)?.to_le_bytes());
        }
        scratch.push(series.metadata.metric_type);
        Some(secret.hash_of_hashes(scratch))
    }

    /// The labels of a series.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn labels(&self, series: &SeriesV2<'_>) -> Result<Labels, LabelsError> {
        labels::build(&mut self.pairs(&series.refs)?)
    }

    /// Its metadata; `None` when it says nothing. Text that is not UTF-8 is repaired: it is only shown.
    ///
    /// # Errors
    /// When a reference leads nowhere.
    pub fn metadata(&self, series: &SeriesV2<'_>) -> Result<Option<Metadata>, LabelsError> {
        let MetadataRefs { metric_type: number, help, unit } = series.metadata;
        let text = |field, symbol: u32| {
            let bytes = self.symbols.get(symbol as usize).copied();
            let n_symbols = self.symbols.len();
            let bytes = bytes.ok_or(LabelsError::NoMetadataSymbol { field, symbol, n_symbols })?;
            Ok(String::from_utf8_lossy(bytes).into_owned())
        };
        let (unit, help) = (text("unit_ref", unit)?, text("help_ref", help)?);
        let says_nothing = number == 0 && help.is_empty() && unit.is_empty();
        let metric_type = metric_type(u64::from(number));
        Ok((!says_nothing).then_some(Metadata { metric_type, help, unit }))
    }

    /// Hands every exemplar of a series to `take`.
    ///
    /// # Errors
    /// When the bytes are no request.
    pub fn exemplars(
        &self,
        series: &SeriesV2<'_>,
        mut take: impl FnMut(Result<Exemplar, LabelsError>),
    ) -> Result<(), DecodeError> {
        let mut fields = Fields::new(series.message, "TimeSeries");
        while let Some(field) = fields.next()? {
            if field.number == NUMBERS.exemplars {
                take(self.exemplar(field.bytes()?)?);
            }
        }
        Ok(())
    }

    fn exemplar(&self, bytes: &[u8]) -> Result<Result<Exemplar, LabelsError>, DecodeError> {
        let (mut value, mut t_ms, mut refs) = (0.0, 0, Vec::new());
        let mut fields = Fields::new(bytes, "Exemplar");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => field.repeated_varint(|symbol| refs.push(symbol as u32))?,
                2 => value = field.double()?,
                3 => t_ms = field.int64()?,
                _ => {}
            }
        }
        let labels = self.pairs(&refs).and_then(|mut pairs| labels::build_exemplar(&mut pairs));
        Ok(labels.map(|labels| Exemplar { labels, value, t_ms }))
    }

    /// The texts that `refs` lead to, name and value in turn.
    fn pairs(&self, refs: &[u32]) -> Result<Vec<Pair<'a>>, LabelsError> {
        let shown = || refs.iter().copied().take(SHOWN_REFS_MAX).collect();
        let (pairs, odd) = refs.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(LabelsError::OddRefs { refs: shown(), len: refs.len() });
        }
        if pairs.len() > LABELS_MAX {
            return Err(LabelsError::TooMany);
        }
        let symbol = |symbol: u32| self.symbols.get(symbol as usize).copied();
        let pair = |[name, value]: &[u32; 2]| {
            let (name, value, n_symbols) = (*name, *value, self.symbols.len());
            let pair = symbol(name).zip(symbol(value));
            pair.ok_or_else(|| LabelsError::NoSymbol { refs: shown(), name, value, n_symbols })
        };
        pairs.iter().map(pair).collect()
    }
}

impl<'a> SeriesV2<'a> {
    /// To read series into.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What comes with it.
    #[must_use]
    pub fn parts(&self) -> Parts {
        self.parts
    }

    /// The first sample: mostly the only one.
    #[must_use]
    pub fn first(&self) -> Option<Sample> {
        self.first.map(|sample| sample.or_start(self.start_ms))
    }

    /// All samples.
    #[must_use]
    pub fn samples(&self) -> Samples<'a> {
        Samples::new(self.message, NUMBERS.samples, self.start_ms)
    }

    /// Since when everything counts that does not say so itself; 0 when not known.
    #[must_use]
    pub fn start_ms(&self) -> i64 {
        self.start_ms
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
}

fn decode_metadata_refs(bytes: &[u8]) -> Result<MetadataRefs, DecodeError> {
    let mut refs = MetadataRefs::default();
    let mut fields = Fields::new(bytes, "Metadata");
    while let Some(field) = fields.next()? {
        match field.number {
            1 => refs.metric_type = u8::try_from(field.varint()?).unwrap_or_default(),
            3 => refs.help = field.uint32()?,
            4 => refs.unit = field.uint32()?,
            _ => {}
        }
    }
    Ok(refs)
}
