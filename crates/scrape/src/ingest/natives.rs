//! Native histograms of one target: what beside the rows of floats each scrape stores.
//!
//! In from [`crate::ingest::cache::ScrapeCache`], the histograms of a page; out to an [`Appender`], one by one, each with its exemplars. Pure.
//! Here are the limits of buckets too. Semantics of Prometheus 3.14's scrape loop; a histogram's series ends with a staleness marker
//! among floats, as the seam says.
//! Invariant: an entry `is_live` when its last stored sample is a histogram that staleness tracking must end.

use std::borrow::Cow;

use hashbrown::HashMap;
use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{Histogram, Labels, LabelsBuilder, MetricType, STALE_NAN};
use storage::{AppendError, Appender, SeriesRef};
use wire::exposition::{Format, HistogramOptions, Native, ParseError, SampleEntry, Translation};
use wire::exposition::{translate_protobuf, translate_text, with_type_and_unit};

use crate::config::{HistogramPolicy, SCHEMA_MIN};
use crate::ingest::labelling::resolve;
use crate::ingest::synthesis::{self, Reference, Step};
use crate::ingest::{IngestError, IngestOptions, Scrape};

impl HistogramPolicy {
    /// Makes the histogram as coarse as the limits want it.
    fn fit(&self, histogram: &mut Histogram) -> Result<(), IngestError> {
        let is_custom = histogram.schema == CUSTOM_BUCKETS_SCHEMA;
        if !is_custom && histogram.schema > self.schema_max {
            coarsen(histogram, self.schema_max);
        }
        let is_over = |histogram: &Histogram| {
            let n_buckets = histogram.positive_buckets.len() + histogram.negative_buckets.len();
            self.buckets_max > 0 && n_buckets as u64 > self.buckets_max
        };
        while is_over(histogram) {
            if is_custom || histogram.schema <= SCHEMA_MIN {
                return Err(IngestError::BucketLimit);
            }
            coarsen(histogram, histogram.schema - 1);
        }
        Ok(())
    }
}

fn coarsen(histogram: &mut Histogram, schema: i32) {
    let reset_hint = histogram.reset_hint;
    *histogram = Histogram { reset_hint, ..histogram.at_schema(schema) };
}

/// Takes a page apart, where that is needed: then what is left of it is in `out`, and its text is the page to read.
///
/// # Errors
/// Where the page has to be refused.
pub(crate) fn translate(
    body: &[u8],
    format: Format,
    options: &IngestOptions<'_>,
    out: &mut Translation,
) -> Result<bool, ParseError> {
    let policy = options.histograms;
    let how = HistogramOptions {
        natives: policy.natives,
        classic_too: policy.classic_too,
        classic_to_custom: policy.classic_to_custom,
        starts: options.starts.read(format),
        type_and_unit: options.type_and_unit_labels,
    };
    if !options.natives_beside.is_empty() {
        translate_protobuf(options.natives_beside, HistogramOptions { natives: true, ..how }, out)?;
        out.text.clear();
        out.text.push_str(&String::from_utf8_lossy(body));
        return Ok(true);
    }
    if format == Format::Protobuf {
        return translate_protobuf(body, how, out).map(|()| true);
    }
    if options.type_and_unit_labels {
        with_type_and_unit(body, format, out)?;
        if policy.classic_to_custom {
            let typed = std::mem::take(&mut out.text);
            translate_text(typed.as_bytes(), format, how, out)?;
        }
        return Ok(true);
    }
    if policy.classic_to_custom {
        return translate_text(body, format, how, out).map(|()| true);
    }
    out.natives.clear();
    Ok(false)
}

#[derive(Debug)]
struct Entry {
    /// After conflicts and relabelling; `None` when relabelling dropped it.
    labels: Option<Labels>,
    series: Option<SeriesRef>,
    /// What the last page said.
    start_ms: i64,
    last_seen: u64,
    is_live: bool,
    /// Of one that is given a start.
    reference: Option<Box<Reference<Histogram>>>,
}

impl Entry {
    fn new(labels: Option<Labels>) -> Self {
        Self { labels, series: None, start_ms: 0, last_seen: 0, is_live: false, reference: None }
    }
}

/// What is known of one target's native histograms.
#[derive(Debug, Default)]
pub(crate) struct NativesCache {
    by_raw: HashMap<Box<str>, Entry>,
    page_no: u64,
    /// Alive series of an earlier configuration, and those that a lost batch would have ended.
    orphans: Vec<Labels>,
    /// Of the batch in the making.
    ended: Vec<Labels>,
}

impl NativesCache {
    /// Finds the series of the page's histograms, and brings those within the limits. Returns how many relabelling keeps.
    ///
    /// # Errors
    /// When the whole page has to be refused.
    pub(crate) fn plan(
        &mut self,
        natives: &mut [Native],
        options: &IngestOptions<'_>,
    ) -> Result<u64, IngestError> {
        let mut builder = LabelsBuilder::new();
        let mut n_kept = 0;
        for native in natives {
            if !self.by_raw.contains_key(native.raw.as_str()) {
                let sample = SampleEntry {
                    raw: &native.raw,
                    value: 0.0,
                    t_ms: None,
                    exemplar: None,
                    metric_type: MetricType::Unknown,
                };
                let labels = resolve(&sample, &mut builder, options)?;
                self.by_raw.insert(native.raw.as_str().into(), Entry::new(labels));
            }
            if self.by_raw[native.raw.as_str()].labels.is_some() {
                options.histograms.fit(&mut native.histogram)?;
                n_kept += 1;
            }
        }
        Ok(n_kept)
    }

    /// Appends what [`NativesCache::plan`] has seen, and markers for what the page no longer has.
    pub(crate) fn append(&mut self, natives: &[Native], scrape: &mut Scrape<'_>) {
        self.page_no += 1;
        self.ended.clear();
        for native in natives {
            let Some(entry) = self.by_raw.get_mut(native.raw.as_str()) else { continue };
            let is_second = std::mem::replace(&mut entry.last_seen, self.page_no) == self.page_no;
            if entry.labels.is_none() {
                continue;
            }
            let own_ms = native.t_ms.filter(|_| scrape.options.honor_timestamps);
            if is_second && own_ms.is_none() {
                scrape.stats.n_duplicates += 1;
                continue;
            }
            let t_ms = own_ms.unwrap_or(scrape.scrape_ms);
            let is_tracked = own_ms.is_none() || scrape.options.track_timestamps_staleness;
            let (mut histogram, mut start_ms) = (Cow::Borrowed(&native.histogram), native.start_ms);
            if scrape.options.starts.synthesized && start_ms == 0 && synthesis::is_counter(&histogram) {
                match synthesis::step(&mut entry.reference, t_ms, &*histogram) {
                    Step::First => continue,
                    Step::Next(above, since_ms) => (histogram, start_ms) = (Cow::Owned(above), since_ms),
                    Step::TooLate => {
                        scrape.stats.count(AppendError::OutOfOrder);
                        continue;
                    }
                }
            } else {
                entry.reference = None;
            }
            if !append_one(entry, scrape, t_ms, start_ms, &histogram) {
                continue;
            }
            entry.is_live |= is_tracked;
            let Some(labels) = &entry.labels else { continue };
            for exemplar in &native.exemplars {
                // One that was there before is refused.
                let _ = scrape.appender.append_exemplar(entry.series, labels, exemplar);
            }
        }
        self.end_vanished(scrape.scrape_ms, scrape.appender);
    }

    fn end_vanished(&mut self, t_ms: i64, appender: &mut dyn Appender) {
        let page_no = self.page_no;
        let mut gone: Vec<(Option<SeriesRef>, Labels)> = Vec::new();
        self.by_raw.retain(|_, entry| {
            let stays = entry.last_seen == page_no;
            if let (false, true, Some(labels)) = (stays, entry.is_live, entry.labels.take_if(|_| !stays)) {
                gone.push((entry.series, labels));
            }
            stays
        });
        gone.extend(self.orphans.drain(..).map(|labels| (None, labels)));
        if gone.is_empty() {
            return;
        }
        let now: hashbrown::HashSet<&Labels> =
            self.by_raw.values().filter_map(|entry| entry.labels.as_ref()).collect();
        gone.retain(|(_, labels)| !now.contains(labels));
        // By name: a map has no order, and batches should not differ from run to run.
        gone.sort_by(|a, b| a.1.cmp(&b.1));
        for (series, labels) in gone {
            let _ = appender.append(series, &labels, t_ms, STALE_NAN);
            self.ended.push(labels);
        }
    }

    /// After a failed scrape, or when the target is gone.
    pub(crate) fn end(&mut self, t_ms: i64, appender: &mut dyn Appender) {
        self.page_no += 1;
        self.ended.clear();
        self.end_vanished(t_ms, appender);
    }

    /// Forgets how the page's names map to series, but not which are alive.
    pub(crate) fn forget_series(&mut self) {
        let live = self.by_raw.drain().filter(|(_, entry)| entry.is_live);
        self.orphans.extend(live.filter_map(|(_, entry)| entry.labels));
    }

    /// Says what became of the batch.
    pub(crate) fn committed(&mut self, is_written: bool) {
        if is_written {
            self.ended.clear();
        } else {
            self.orphans.append(&mut self.ended);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_raw.len()
    }
}

/// Appends a histogram, after a zero where it has begun; `false` when its series does not exist.
fn append_one(
    entry: &mut Entry,
    scrape: &mut Scrape<'_>,
    t_ms: i64,
    start_ms: i64,
    histogram: &Histogram,
) -> bool {
    let Some(labels) = &entry.labels else { return false };
    let starts = scrape.options.starts;
    let has_begun = std::mem::replace(&mut entry.start_ms, start_ms) != start_ms;
    if starts.zeros && has_begun && start_ms != 0 && start_ms < t_ms {
        // Refused where the series has newer samples already.
        let zero = zero_of(histogram);
        let _ = scrape.appender.append_histogram(entry.series, labels, start_ms, 0, &zero);
    }
    let start_ms = if starts.stored { start_ms } else { 0 };
    match scrape.appender.append_histogram(entry.series, labels, t_ms, start_ms, histogram) {
        Ok(series) => {
            scrape.stats.n_added += u64::from(entry.series.is_none());
            entry.series = Some(series);
            true
        }
        Err(error) => {
            entry.reference = None;
            !scrape.stats.count(error)
        }
    }
}

/// What a histogram was before it counted anything.
fn zero_of(histogram: &Histogram) -> Histogram {
    Histogram {
        is_integer: histogram.is_integer,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        custom_bounds: histogram.custom_bounds.clone(),
        ..Histogram::default()
    }
}
