//! Reads the series of a selection and makes a column of each: one after the other, or on several threads when there are many.
//!
//! What is made of a series depends on nothing but that series, and columns are handed on in the order of their series' labels,
//! so the number of threads changes no bit of the answer. Columns wait in bounded queues.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use model::Labels;
use storage::{Series, SeriesSet};

use super::column::Column;
use super::evaluator::{Evaluator, Result};
use crate::func::window::FinishedNotes;
use crate::options::{EngineOptions, QueryOptions};
use crate::value::SampleCounts;

/// Batches that wait for the reader, for each thread. Chosen: enough that neither waits for long.
const BATCHES_MAX: usize = 4;
/// Steps of the columns of one batch, about. Chosen: a few hundred kilobytes.
const BATCH_STEPS: usize = 16_384;
/// Series that a thread reads in a row. Chosen: what fits its queue, so that none waits for long.
const PART_SERIES: usize = 32;
/// Parts of a set: more cost more to find than they save. Chosen.
const PARTS_MAX: usize = 512;
/// Columns of one batch.
const BATCH_COLUMNS_MAX: usize = 128;
/// What finding and labelling a series costs, in samples read. Measured: a microsecond to nine tenths of a nanosecond.
const SERIES_COST: u64 = 500;
/// A selector with so many samples and steps is read by several threads even if its series are few: then handing them over costs
/// next to nothing. Chosen: a millisecond of work or two, twenty times what starting the threads takes.
const SPLIT_LONG_MIN: u64 = 1_000_000;
/// Usual distance of samples, to guess how many there will be.
const USUAL_GAP_MS: u64 = 15_000;

/// What became of one series.
pub(crate) struct Made {
    /// Absent when there is nothing to hand on.
    pub(crate) column: Option<Column>,
    pub(crate) notes: Option<FinishedNotes>,
    /// Samples that were in memory for it.
    pub(crate) n_read: u64,
    /// Samples it looked at, by step; empty unless they are counted.
    pub(crate) counted: Vec<SampleCounts>,
}

/// Makes columns of series.
pub(crate) trait Maker: Sync {
    /// What a thread remembers from series to series.
    type Memory: Default;

    /// The column of `series`.
    ///
    /// # Errors
    /// When the data does not allow it.
    fn make(&self, memory: &mut Self::Memory, series: Series) -> Result<Made>;
}

/// Takes the columns.
pub(crate) type Sink<'s> = dyn FnMut(&mut Evaluator<'_>, Column) -> Result<()> + 's;

/// Makes a column of each series of `set`, whose samples span some `length_ms`, for `n_steps` steps, and hands them to `sink`.
pub(crate) fn scan<M: Maker>(
    ev: &mut Evaluator<'_>,
    mut set: Box<dyn SeriesSet + '_>,
    length_ms: i64,
    n_steps: usize,
    maker: &M,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let expected = expect(ev, set.as_ref(), length_ms, n_steps)?;
    let is_large = expected.total >= ev.options.split_samples_min || expected.samples >= SPLIT_LONG_MIN;
    if ev.options.threads > 1 && is_large {
        let n_parts = (set.n_series_max() / PART_SERIES).clamp(2, PARTS_MAX);
        let cuts = set.cuts(n_parts);
        if !cuts.is_empty() {
            let sets = set.split(ev.options.threads, &cuts);
            return scan_all(ev, sets, n_steps, maker, sink);
        }
    }
    let mut memory = M::Memory::default();
    while let Some(series) = set.next()? {
        ev.take_series(series.values.len() + series.histograms.len())?;
        let made = maker.make(&mut memory, series)?;
        take(ev, made, sink)?;
    }
    Ok(())
}

/// What reading a set costs, as far as can be guessed.
pub(crate) struct Expected {
    /// Samples and steps.
    samples: u64,
    /// With what finding the series costs, in samples.
    total: u64,
}

/// Guesses what reading `set` costs, and adds it to the query's cost.
///
/// # Errors
/// When that is more than its caller allows.
pub(crate) fn expect(
    ev: &Evaluator<'_>,
    set: &dyn SeriesSet,
    length_ms: i64,
    n_steps: usize,
) -> Result<Expected> {
    let n_each = length_ms.max(0) as u64 / USUAL_GAP_MS + n_steps as u64;
    let n_series = set.n_series_max() as u64;
    let samples = n_series.saturating_mul(n_each);
    let total = samples.saturating_add(n_series.saturating_mul(SERIES_COST));
    ev.query_options.expect(total)?;
    Ok(Expected { samples, total })
}

/// Hands what became of a series on.
pub(crate) fn take(ev: &mut Evaluator<'_>, made: Made, sink: &mut Sink<'_>) -> Result<()> {
    ev.check_fits(made.n_read)?;
    ev.counts.add(&made.counted);
    if let Some(notes) = made.notes {
        ev.note(notes);
    }
    match made.column {
        Some(column) => sink(ev, column),
        None => Ok(()),
    }
}

/// Of the engine and of the query.
type Options<'o> = (&'o EngineOptions, &'o QueryOptions);

/// Columns with the labels that their series had.
type Batch = Result<Vec<(Labels, Made)>>;

fn scan_all<M: Maker>(
    ev: &mut Evaluator<'_>,
    sets: Vec<Box<dyn SeriesSet + '_>>,
    n_steps: usize,
    maker: &M,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let options = (ev.options, ev.query_options);
    let n_columns = (BATCH_STEPS / n_steps.max(1)).clamp(1, BATCH_COLUMNS_MAX);
    std::thread::scope(|scope| {
        let work = |set| {
            let (sender, receiver) = sync_channel(BATCHES_MAX);
            scope.spawn(move || run(set, options, maker, n_columns, &sender));
            Queue { receiver, batch: Vec::new().into_iter(), next: None }
        };
        let mut queues: Vec<Queue> = sets.into_iter().map(work).collect();
        for queue in &mut queues {
            queue.advance()?;
        }
        // Queues are few. Threads whose queue is dropped end with their next batch.
        loop {
            let waiting = queues.iter_mut().filter(|queue| queue.next.is_some());
            let Some(first) = waiting.min_by(|a, b| a.labels().cmp(&b.labels())) else { return Ok(()) };
            if let Some((_, made)) = first.next.take() {
                take(ev, made, sink)?;
            }
            first.advance()?;
        }
    })
}

/// What one thread does: columns of its share of the series, in batches.
fn run<M: Maker>(
    mut set: Box<dyn SeriesSet + '_>,
    options: Options<'_>,
    maker: &M,
    n_columns: usize,
    sender: &SyncSender<Batch>,
) {
    let mut memory = M::Memory::default();
    loop {
        let mut batch = Vec::with_capacity(n_columns);
        let filled = fill(set.as_mut(), options, maker, &mut memory, &mut batch, n_columns);
        let is_over = !matches!(filled, Ok(true));
        // Nobody listens any more once the query has failed.
        if sender.send(Ok(batch)).is_err() {
            return;
        }
        if let Err(err) = filled {
            let _ = sender.send(Err(err));
        }
        if is_over {
            return;
        }
    }
}

/// Whether there may be more.
fn fill<M: Maker>(
    set: &mut dyn SeriesSet,
    options: Options<'_>,
    maker: &M,
    memory: &mut M::Memory,
    batch: &mut Vec<(Labels, Made)>,
    n_columns: usize,
) -> Result<bool> {
    let (engine, query) = options;
    while batch.len() < n_columns {
        let Some(series) = set.next()? else { return Ok(false) };
        query.take_series(engine, series.values.len() + series.histograms.len())?;
        let labels = series.labels.clone();
        let made = maker.make(memory, series)?;
        batch.push((labels, made));
    }
    Ok(true)
}

/// What a thread has made, in order.
struct Queue {
    receiver: Receiver<Batch>,
    batch: std::vec::IntoIter<(Labels, Made)>,
    next: Option<(Labels, Made)>,
}

impl Queue {
    fn labels(&self) -> Option<&Labels> {
        self.next.as_ref().map(|(labels, _)| labels)
    }

    /// Has the next column at hand, if there is one.
    fn advance(&mut self) -> Result<()> {
        loop {
            self.next = self.batch.next();
            if self.next.is_some() {
                return Ok(());
            }
            // The thread ends by hanging up.
            let Ok(batch) = self.receiver.recv() else { return Ok(()) };
            self.batch = batch?.into_iter();
        }
    }
}
