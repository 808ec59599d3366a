//! One request on its way into the store, series by series.

use model::labels::{METRIC_TYPE, METRIC_UNIT};
use model::{Exemplar, Labels, Metadata};
use storage::{AppendError, Appender, RefSample, SeriesRef, StorageError};
use wire::remote_write::{
    DecodeError, LabelsError, Parts, RequestV2, Sample, Samples, SeriesV1, SeriesV2, decode_histogram,
};

use super::outcome::{Outcome, Reason};
use super::{CHUNK, WriteMessage};

/// A series of either version.
pub(super) trait View {
    fn parts(&self) -> Parts;
    fn first(&self) -> Option<Sample>;
    fn samples(&self) -> Samples<'_>;
    fn labels(&self) -> Result<Result<Labels, LabelsError>, DecodeError>;
    fn metadata(&self) -> Result<Option<Metadata>, LabelsError>;
    /// For histograms that do not say it themselves.
    fn start_ms(&self) -> i64;
    fn histograms(&self, take: &mut dyn FnMut(&[u8]) -> Result<(), DecodeError>) -> Result<(), DecodeError>;
    fn exemplars(&self, take: &mut dyn FnMut(Result<Exemplar, LabelsError>)) -> Result<(), DecodeError>;
}

/// A series of version 2 with the request whose symbols it means.
pub(super) struct Of<'r, 'a> {
    pub(super) request: &'r RequestV2<'a>,
    pub(super) series: &'r SeriesV2<'a>,
}

/// Series of a request that are taken together.
#[derive(Debug)]
pub(super) struct Chunk<'c, V> {
    pub(super) views: &'c [V],
    /// Of their labels as they were sent; `None` where those do not stand together.
    pub(super) hashes: &'c [Option<u128>],
}

/// A batch of the store with what became of its parts.
pub(super) struct Batch<'s> {
    appender: Box<dyn Appender + 's>,
    latest_ms: i64,
    message: WriteMessage,
    /// Metadata that stands beside a series becomes labels of it.
    pub(super) is_typed: bool,
    /// A counter that begins gets a zero where its sender says it began.
    pub(super) has_zeros: bool,
    outcome: Outcome,
    /// Samples of known series that will be appended together, and which of the series at hand they are of.
    known: Vec<RefSample>,
    known_at: Vec<usize>,
    /// Hashes of series that were found by their labels, with the store's numbers. To be remembered once the batch is in.
    fresh: Vec<(u128, u32)>,
}

impl<'s> Batch<'s> {
    pub(super) fn new(appender: Box<dyn Appender + 's>, latest_ms: i64, message: WriteMessage) -> Self {
        let (known, known_at) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
        let (outcome, fresh) = (Outcome::default(), Vec::new());
        Self {
            appender,
            latest_ms,
            message,
            is_typed: false,
            has_zeros: false,
            outcome,
            known,
            known_at,
            fresh,
        }
    }

    /// Takes a chunk of series, those by their numbers that are `known`.
    pub(super) fn take<V: View>(
        &mut self,
        chunk: &Chunk<'_, V>,
        known: &[Option<u32>],
    ) -> Result<(), DecodeError> {
        for (at, view) in chunk.views.iter().enumerate() {
            let series = known[at].map(|number| SeriesRef(u64::from(number)));
            let parts = view.parts();
            let is_plain = parts.n_samples > 0 && parts.n_histograms == 0 && parts.n_exemplars == 0;
            match series.filter(|_| is_plain && !parts.has_starts) {
                Some(series) => self.collect(chunk, at, series)?,
                None => {
                    // A series may be in a request twice.
                    self.append_known(chunk)?;
                    self.take_by_labels(view, chunk.hashes[at], series)?;
                }
            }
        }
        self.append_known(chunk)
    }

    /// Puts samples of a known series among those that will be appended together.
    #[inline]
    fn collect<V: View>(
        &mut self,
        chunk: &Chunk<'_, V>,
        at: usize,
        series: SeriesRef,
    ) -> Result<(), DecodeError> {
        let view = &chunk.views[at];
        if let (1, Some(sample)) = (view.parts().n_samples, view.first()) {
            return self.put(chunk, at, series, sample);
        }
        let mut samples = view.samples();
        while let Some(sample) = samples.next()? {
            self.put(chunk, at, series, sample)?;
        }
        Ok(())
    }

    #[inline]
    fn put<V: View>(
        &mut self,
        chunk: &Chunk<'_, V>,
        at: usize,
        series: SeriesRef,
        sample: Sample,
    ) -> Result<(), DecodeError> {
        let Sample { t_ms, value, .. } = sample;
        if t_ms > self.latest_ms {
            // What is refused is told in the order of the request.
            self.append_known(chunk)?;
            return self.refuse_known(&chunk.views[at], t_ms, AppendError::OutOfBounds);
        }
        self.known.push(RefSample { series, t_ms, value });
        self.known_at.push(at);
        Ok(())
    }

    /// Appends what was collected.
    fn append_known<V: View>(&mut self, chunk: &Chunk<'_, V>) -> Result<(), DecodeError> {
        if self.known.is_empty() {
            return Ok(());
        }
        let mut refused = Vec::new();
        self.appender.append_refs(&self.known, &mut refused);
        self.outcome.n_samples += (self.known.len() - refused.len()) as u64;
        let mut unknown = None;
        for (nth, err) in refused {
            let (at, t_ms) = (self.known_at[nth], self.known[nth].t_ms);
            if err == AppendError::UnknownSeries {
                // All samples of a series that the store has dropped are refused so; they go in together.
                if unknown.replace(at) != Some(at) {
                    self.take_by_labels(&chunk.views[at], chunk.hashes[at], None)?;
                }
            } else {
                self.refuse_known(&chunk.views[at], t_ms, err)?;
            }
        }
        self.known.clear();
        self.known_at.clear();
        Ok(())
    }

    fn refuse_known<V: View>(&mut self, view: &V, t_ms: i64, err: AppendError) -> Result<(), DecodeError> {
        let labels = view.labels()?.unwrap_or_default();
        self.refuse_sample(err, t_ms, &labels);
        Ok(())
    }

    fn refuse_sample(&mut self, err: AppendError, t_ms: i64, labels: &Labels) {
        if t_ms > self.latest_ms {
            self.outcome.refuse(Reason::FarFuture, 1, || {
                format!("out of bounds: timestamp is too far in the future for series {labels}")
            });
        } else {
            self.outcome.refuse(Reason::of(err), 1, || format!("{err} for series {labels}"));
        }
    }

    fn take_by_labels<V: View>(
        &mut self,
        view: &V,
        hash: Option<u128>,
        known: Option<SeriesRef>,
    ) -> Result<(), DecodeError> {
        let parts = view.parts();
        let n_values = u64::from(parts.n_samples) + u64::from(parts.n_histograms);
        let (labels, metadata) = match (view.labels()?, view.metadata()) {
            (Ok(labels), Ok(metadata)) => (labels, metadata),
            (Err(err), _) | (_, Err(err)) => {
                self.outcome.refuse(Reason::Labels, n_values.max(1), || err.to_string());
                return Ok(());
            }
        };
        let labels = match &metadata {
            Some(metadata) if self.is_typed => typed(labels, metadata),
            _ => labels,
        };
        // Exemplars alone are no time series by the specification. Prometheus 3.14 sends them so, and they would be lost.
        if n_values == 0 && parts.n_exemplars == 0 && self.message == WriteMessage::V2 {
            self.outcome.refuse(Reason::NoSamples, 1, || {
                format!("TimeSeries must contain at least one sample or histogram for series {labels}")
            });
            return Ok(());
        }
        let mut series = known;
        let mut samples = view.samples();
        while let Some(sample) = samples.next()? {
            self.take_sample(&mut series, &labels, sample);
        }
        let start_ms = view.start_ms();
        view.histograms(&mut |message| self.take_histogram(&mut series, &labels, message, start_ms))?;
        view.exemplars(&mut |exemplar| self.take_exemplar(series, &labels, exemplar))?;
        if let Some(metadata) = metadata {
            self.appender.append_metadata(labels.metric_name(), &metadata);
        }
        let number = series.and_then(|series| u32::try_from(series.0).ok());
        if let Some((hash, number)) = hash.zip(number).filter(|_| series != known) {
            self.fresh.push((hash, number));
        }
        Ok(())
    }

    fn take_sample(&mut self, series: &mut Option<SeriesRef>, labels: &Labels, sample: Sample) {
        let Sample { t_ms, start_ms, value } = sample;
        if self.has_zeros && start_ms != 0 && t_ms <= self.latest_ms {
            // Refused for all but new counters.
            let _ = self.appender.append_zero(labels, t_ms, start_ms);
        }
        let appended = if t_ms > self.latest_ms {
            Err(AppendError::OutOfBounds)
        } else if start_ms == 0 {
            self.appender.append(*series, labels, t_ms, value)
        } else {
            self.appender.append_with_start(*series, labels, t_ms, start_ms, value)
        };
        match appended {
            Ok(found) => {
                *series = Some(found);
                self.outcome.n_samples += 1;
            }
            Err(err) => self.refuse_sample(err, t_ms, labels),
        }
    }

    fn take_histogram(
        &mut self,
        series: &mut Option<SeriesRef>,
        labels: &Labels,
        message: &[u8],
        start_ms: i64,
    ) -> Result<(), DecodeError> {
        let decoded = decode_histogram(message)?;
        let histogram = match decoded.histogram {
            Ok(histogram) => histogram,
            Err(err) => {
                self.outcome.refuse(Reason::Histogram, 1, || format!("{err} for series {labels}"));
                return Ok(());
            }
        };
        let start_ms = if decoded.start_ms == 0 { start_ms } else { decoded.start_ms };
        let appended = if decoded.t_ms > self.latest_ms {
            Err(AppendError::OutOfBounds)
        } else {
            self.appender.append_histogram(*series, labels, decoded.t_ms, start_ms, &histogram)
        };
        match appended {
            Ok(found) => {
                *series = Some(found);
                self.outcome.n_histograms += 1;
            }
            Err(err) => self.refuse_sample(err, decoded.t_ms, labels),
        }
        Ok(())
    }

    fn take_exemplar(
        &mut self,
        series: Option<SeriesRef>,
        labels: &Labels,
        exemplar: Result<Exemplar, LabelsError>,
    ) {
        let exemplar = match exemplar {
            Ok(exemplar) => exemplar,
            Err(err) => {
                let line = || format!("parsing exemplar for series {labels}: {err}");
                return self.outcome.refuse(Reason::Exemplar, 1, line);
            }
        };
        let appended = if exemplar.t_ms > self.latest_ms {
            Err(AppendError::OutOfBounds)
        } else {
            self.appender.append_exemplar(series, labels, &exemplar)
        };
        match appended {
            Ok(()) => self.outcome.n_exemplars += 1,
            Err(err) => {
                let line = || format!("exemplar: {err} for series {labels}");
                self.outcome.refuse(Reason::Exemplar, 1, line);
            }
        }
    }

    pub(super) fn append_metadata(&mut self, name: &str, metadata: &Metadata) {
        self.appender.append_metadata(name, metadata);
    }

    /// What became of the request, and the series to remember.
    pub(super) fn commit(mut self) -> Result<(Outcome, Vec<(u128, u32)>), StorageError> {
        let stats = self.appender.commit()?;
        self.outcome.refuse_late(stats.n_refused);
        Ok((self.outcome, self.fresh))
    }
}

/// With the metric's type and unit, in place of labels of those names.
fn typed(labels: Labels, metadata: &Metadata) -> Labels {
    let mut said = metadata.labels().peekable();
    if said.peek().is_none() {
        return labels;
    }
    let mut builder = labels.to_builder();
    builder.remove(METRIC_TYPE).remove(METRIC_UNIT);
    said.for_each(|(name, value)| {
        builder.set(name, &value);
    });
    builder.build()
}

impl View for SeriesV1<'_> {
    #[inline]
    fn parts(&self) -> Parts {
        SeriesV1::parts(self)
    }

    #[inline]
    fn first(&self) -> Option<Sample> {
        SeriesV1::first(self)
    }

    fn samples(&self) -> Samples<'_> {
        SeriesV1::samples(self)
    }

    fn labels(&self) -> Result<Result<Labels, LabelsError>, DecodeError> {
        SeriesV1::labels(self)
    }

    /// Version 1 sends it beside the series.
    fn metadata(&self) -> Result<Option<Metadata>, LabelsError> {
        Ok(None)
    }

    fn start_ms(&self) -> i64 {
        0
    }

    fn histograms(&self, take: &mut dyn FnMut(&[u8]) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        SeriesV1::histograms(self, take)
    }

    fn exemplars(&self, take: &mut dyn FnMut(Result<Exemplar, LabelsError>)) -> Result<(), DecodeError> {
        SeriesV1::exemplars(self, take)
    }
}

impl View for Of<'_, '_> {
    #[inline]
    fn parts(&self) -> Parts {
        self.series.parts()
    }

    #[inline]
    fn first(&self) -> Option<Sample> {
        self.series.first()
    }

    fn samples(&self) -> Samples<'_> {
        self.series.samples()
    }

    fn labels(&self) -> Result<Result<Labels, LabelsError>, DecodeError> {
        Ok(self.request.labels(self.series))
    }

    fn metadata(&self) -> Result<Option<Metadata>, LabelsError> {
        self.request.metadata(self.series)
    }

    fn start_ms(&self) -> i64 {
        self.series.start_ms()
    }

    fn histograms(&self, take: &mut dyn FnMut(&[u8]) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        self.series.histograms(take)
    }

    fn exemplars(&self, take: &mut dyn FnMut(Result<Exemplar, LabelsError>)) -> Result<(), DecodeError> {
        self.request.exemplars(self.series, take)
    }
}
