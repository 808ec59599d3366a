//! A step read slice by slice: first what the late journal has, then the store's window.
//!
//! In from the store and the journal, on a blocking thread; out to `driver`, as requests of shards. Holds one slice at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::{Exemplar, Labels, Metadata, TimeRange};
use storage::{Followed, QueryError, SelectHints, Series};
use wire::remote_write::{Sample, TimeSeries};

use crate::RemoteError;
use crate::config::WriteMessage;
use crate::journal::{Journal, Reader};
use crate::position::{At, Mark, Step};
use crate::request::{Request, deal};
use crate::shape::{Dropped, Shaper, metadata_of};

/// Exemplars of one step that wait for their series. Chosen: what the store keeps of all series.
const EXEMPLARS_MAX: usize = 100_000;

/// Part of a step, to be sent as a whole before the next one.
#[derive(Debug)]
pub(crate) struct Slice {
    /// Of each shard, in order.
    pub(crate) shards: Vec<Vec<Request>>,
    pub(crate) n_samples: u64,
    pub(crate) dropped: Dropped,
    /// How far the step is when this is sent; `None` when it is done.
    pub(crate) reached: Option<At>,
    /// As in [`Step::ahead`], when this is sent.
    pub(crate) ahead: Option<Mark>,
}

/// Why a step cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("cannot read samples to send")]
    Store(#[from] QueryError),
    #[error(transparent)]
    Journal(#[from] RemoteError),
}

/// What a step is read with.
pub(crate) struct Source {
    pub(crate) store: Arc<dyn Followed>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) shaper: Arc<Shaper>,
    pub(crate) message: WriteMessage,
    /// What is known of metric families; empty where it is not sent along.
    pub(crate) families: BTreeMap<String, Metadata>,
    /// Types and units are those that labels say.
    pub(crate) is_typed: bool,
    pub(crate) n_shards: usize,
    pub(crate) samples_per_request: usize,
    pub(crate) samples_per_slice: usize,
    pub(crate) now_ms: i64,
    /// Where the step begins.
    pub(crate) from_ms: i64,
    pub(crate) from_mark: Mark,
    /// As in [`Position::ahead`](crate::position::Position::ahead).
    pub(crate) ahead: Option<(Mark, i64)>,
}

/// Gathers a slice.
struct Gather<'a> {
    source: &'a Source,
    emit: &'a mut dyn FnMut(Slice) -> bool,
    series: Vec<TimeSeries>,
    n_samples: u64,
    dropped: Dropped,
    /// As in [`Step::ahead`].
    ahead: Option<Mark>,
}

/// What `emit` said: nobody listens any more.
struct Gone;

impl Gather<'_> {
    fn put(&mut self, series: TimeSeries) {
        for mut part in self.source.shaper.shape(series, self.source.now_ms, &mut self.dropped) {
            if part.samples.is_empty()
                && part.histograms.is_empty()
                && self.source.message == WriteMessage::V2
            {
                // Receivers of 2.0 refuse a series without samples.
                self.dropped.n_exemplars += part.exemplars.len() as u64;
                continue;
            }
            part.metadata = metadata_of(&self.source.families, part.labels.metric_name()).cloned();
            if self.source.is_typed {
                let help = part.metadata.take().map(|known| known.help).unwrap_or_default();
                part.metadata = Some(Metadata { help, ..Metadata::from_labels(&part.labels) });
            }
            self.n_samples += (part.samples.len() + part.histograms.len()) as u64;
            self.series.push(part);
        }
    }

    fn is_full(&self) -> bool {
        self.n_samples >= self.source.samples_per_slice as u64
    }

    fn flush(&mut self, reached: Option<At>) -> Result<(), Gone> {
        let source = self.source;
        let series = std::mem::take(&mut self.series);
        let slice = Slice {
            shards: deal(series, source.n_shards, source.samples_per_request, source.message),
            n_samples: std::mem::take(&mut self.n_samples),
            dropped: std::mem::take(&mut self.dropped),
            reached,
            ahead: self.ahead,
        };
        if (self.emit)(slice) { Ok(()) } else { Err(Gone) }
    }
}

/// Hands the rest of `step` to `emit`, slice by slice; the last one reaches the step's end. Ends early when `emit` says so.
pub(crate) fn read(
    source: &Source,
    step: &Step,
    emit: &mut dyn FnMut(Slice) -> bool,
) -> Result<(), ReadError> {
    let ahead = step.ahead;
    let mut gather =
        Gather { source, emit, series: Vec::new(), n_samples: 0, dropped: Dropped::default(), ahead };
    let after = match &step.at {
        At::Late(mark) => {
            if read_late(&mut gather, *mark, step.to_mark, None)?.is_err() {
                return Ok(());
            }
            None
        }
        At::Window(after) => after.clone(),
    };
    let _ = read_window(&mut gather, step, after)?;
    Ok(())
}

/// What the journal has between two marks of series' times that were passed before the step. While it is sent, the step is at the
/// mark reached, or stays at `stays_at`.
fn read_late(
    gather: &mut Gather<'_>,
    mut at: Mark,
    to: Mark,
    stays_at: Option<&At>,
) -> Result<Result<(), Gone>, ReadError> {
    let journal = Arc::clone(&gather.source.journal);
    let mut reader = Reader::new(&journal);
    while let Some(series) = reader.next(&mut at, to)? {
        // By where the record ends: where it begins may be said by the end of a segment before.
        let sent = gather.source.ahead.filter(|(ahead, _)| at <= *ahead);
        for series in series {
            let mut passed = passed_part(series, gather.source.from_ms);
            if let Some((_, sent_ms)) = sent {
                passed.samples.retain(|sample| sample.t_ms > sent_ms);
                passed.histograms.retain(|(t_ms, ..)| *t_ms > sent_ms);
            }
            if !passed.samples.is_empty() || !passed.histograms.is_empty() {
                gather.put(passed);
            }
        }
        if stays_at.is_some() {
            gather.ahead = Some(at);
        }
        if gather.is_full() && gather.flush(Some(stays_at.cloned().unwrap_or(At::Late(at)))).is_err() {
            return Ok(Err(Gone));
        }
    }
    if gather.series.is_empty() {
        return Ok(Ok(()));
    }
    Ok(gather.flush(Some(stays_at.cloned().unwrap_or(At::Window(None)))))
}

/// Without samples that a window is going to bring.
fn passed_part(mut series: TimeSeries, from_ms: i64) -> TimeSeries {
    series.samples.retain(|sample| sample.t_ms <= from_ms);
    series.histograms.retain(|(t_ms, ..)| *t_ms <= from_ms);
    series
}

fn read_window(
    gather: &mut Gather<'_>,
    step: &Step,
    after: Option<Labels>,
) -> Result<Result<(), Gone>, ReadError> {
    let source = gather.source;
    let store = Arc::clone(&source.store);
    let mut exemplars = exemplars_of(source, step.to_mark)?;
    let range = TimeRange::new(source.from_ms.saturating_add(1), step.to_ms);
    let mut place = At::Window(after.clone());
    if range.start_ms <= range.end_ms {
        let mut set = store.select(&[], range, &SelectHints::default())?;
        // Rows of roll-ups are no samples.
        let floor_ms = set.rolled_up().iter().map(|part| part.before_ms).max().unwrap_or(i64::MIN);
        while let Some(series) = set.next()? {
            if after.as_ref().is_some_and(|after| series.labels <= *after) {
                continue;
            }
            let labels = series.labels.clone();
            let mut sent = to_send(series, floor_ms);
            sent.exemplars = exemplars.remove(&labels).unwrap_or_default();
            gather.put(sent);
            if gather.is_full() {
                let reached = At::Window(Some(labels));
                if flush_window(gather, step, &place, Some(reached.clone()))?.is_err() {
                    return Ok(Err(Gone));
                }
                place = reached;
            }
        }
    }
    for (labels, exemplars) in exemplars {
        gather.put(TimeSeries { labels, exemplars, ..TimeSeries::default() });
    }
    flush_window(gather, step, &place, None)
}

/// Sends part of a window, and before it what the journal got until that part was read.
///
/// A part is read later than its step began, by a restart or a receiver that was away for long even much later, and holds what was
/// committed meanwhile. Of a series that lags behind the journal has the older samples then: to a receiver that wants order the newer first would
/// be the end of the older. What goes ahead is not sent again with the next step.
fn flush_window(
    gather: &mut Gather<'_>,
    step: &Step,
    place: &At,
    reached: Option<At>,
) -> Result<Result<(), Gone>, ReadError> {
    let (from, end) = (gather.ahead.unwrap_or(step.to_mark), gather.source.journal.end());
    if from < end {
        let series = std::mem::take(&mut gather.series);
        let (n_samples, dropped) =
            (std::mem::take(&mut gather.n_samples), std::mem::take(&mut gather.dropped));
        if read_late(gather, from, end, Some(place))?.is_err() {
            return Ok(Err(Gone));
        }
        gather.ahead = Some(end);
        (gather.series, gather.n_samples, gather.dropped) = (series, n_samples, dropped);
    }
    Ok(gather.flush(reached))
}

/// Exemplars of the step that do not come with late samples of their series.
fn exemplars_of(source: &Source, to: Mark) -> Result<HashMap<Labels, Vec<Exemplar>>, ReadError> {
    let mut found: HashMap<Labels, Vec<Exemplar>> = HashMap::new();
    if !source.shaper.exemplars {
        return Ok(found);
    }
    let (mut reader, mut at, mut n_exemplars) = (Reader::new(&source.journal), source.from_mark, 0);
    while let Some(series) = reader.next(&mut at, to)? {
        for series in series {
            if series.exemplars.is_empty() || n_exemplars >= EXEMPLARS_MAX {
                continue;
            }
            let series = passed_part(series, source.from_ms);
            if series.samples.is_empty() && series.histograms.is_empty() {
                n_exemplars += series.exemplars.len();
                found.entry(series.labels).or_default().extend(series.exemplars);
            }
        }
    }
    Ok(found)
}

fn to_send(series: Series, floor_ms: i64) -> TimeSeries {
    let starts = series.starts.into_iter().chain(std::iter::repeat(0));
    let samples = series.timestamps.iter().zip(series.values).zip(starts);
    let samples = samples.map(|((t_ms, value), start_ms)| Sample { t_ms: *t_ms, start_ms, value });
    let histograms = series.histograms.into_iter().filter(|one| one.t_ms >= floor_ms);
    TimeSeries {
        labels: series.labels,
        samples: samples.filter(|sample| sample.t_ms >= floor_ms).collect(),
        histograms: histograms.map(|one| (one.t_ms, one.start_ms, (*one.histogram).clone())).collect(),
        ..TimeSeries::default()
    }
}
