//! What one target's last scrapes looked like, and by which of two ways its pages are stored.
//!
//! In from [`crate::ingest`]; out to an [`Appender`]. Pure. Rows ([`crate::ingest::rows`]) are the rule. Sample by sample
//! ([`crate::ingest::plain`]) goes what a row cannot say: a page that has a series twice, counters that are given a start, a store that takes no rows.
//! Either way hands over what is alive to the other, so that no marker is missed.

use std::sync::Arc;

use model::{Labels, Metadata, STALE_NAN};
use storage::Appender;
use wire::exposition::diff::Blocks;
use wire::exposition::{Native, Translation};

use crate::ingest::families::Families;
use crate::ingest::natives::{self, NativesCache};
use crate::ingest::plain::PlainCache;
use crate::ingest::report::ReportSeries;
use crate::ingest::rows::{PageError, RowsCache};
use crate::ingest::{IngestError, IngestOptions, IngestStats, Report, Scrape, Scratch};

/// How many good pages are stored sample by sample before a row is tried again. Chosen.
const PLAIN_PAGES: u64 = 10;

/// The cache of one target.
#[derive(Debug)]
pub struct ScrapeCache {
    blocks: Arc<Blocks>,
    rows: RowsCache,
    /// While pages are stored sample by sample.
    plain: Option<Box<PlainCache>>,
    takes_rows: bool,
    report: ReportSeries,
    /// Alive series that neither `rows` nor `plain` knows any more.
    orphans: Vec<Labels>,
    /// What the batch in the making ends by markers of their own, should it be lost.
    ended: Vec<Labels>,
    families: Families,
    natives: NativesCache,
}

impl ScrapeCache {
    /// An empty cache of a target that is reported in `report`. `blocks` are shared by all targets.
    #[must_use]
    pub fn new(blocks: Arc<Blocks>, report: ReportSeries) -> Self {
        Self {
            blocks,
            rows: RowsCache::default(),
            plain: None,
            takes_rows: true,
            report,
            orphans: Vec::new(),
            ended: Vec::new(),
            families: Families::default(),
            natives: NativesCache::default(),
        }
    }

    /// Forgets how pages map to series, before a change of relabelling or of the reports, but not which series are alive.
    /// `options` are those before the change.
    pub fn forget_series(&mut self, options: &IngestOptions<'_>) {
        self.orphans.extend(self.rows.take(options, &mut self.families));
        if let Some(mut plain) = self.plain.take() {
            self.orphans.extend(plain.take_live().into_iter().map(|(labels, _)| labels));
        }
        self.natives.forget_series();
    }

    /// From now on the target is reported in other series.
    pub fn set_report(&mut self, report: ReportSeries) {
        self.report = report;
    }

    /// How many series the cache knows, dropped ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.natives.len() + self.plain.as_ref().map_or(self.rows.page().n_lines(), |plain| plain.len())
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The metadata of all families mentioned lately, sorted by name.
    #[must_use]
    pub fn metadata(&self) -> Vec<(String, Metadata)> {
        self.families.with(self.rows.page())
    }

    /// Changes whenever families come or go.
    pub(crate) fn metadata_shape(&self) -> (usize, usize) {
        self.families.shape(self.rows.page())
    }

    /// How many families [`Self::metadata`] has, and the bytes of types, units and help texts.
    pub(crate) fn metadata_size(&self) -> (usize, usize) {
        self.families.size(self.rows.page())
    }

    /// Bytes of memory for known series, without what is shared between targets.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes()
    }

    /// See [`crate::ingest::ingest`].
    pub(crate) fn page(
        &mut self,
        scrape: PageOf<'_>,
        scratch: &mut Scratch,
    ) -> (IngestStats, Option<IngestError>) {
        let mut translation = std::mem::take(&mut scratch.translation);
        let result = match natives::translate(scrape.body, scrape.format, scrape.options, &mut translation) {
            Ok(is_translated) => {
                let Translation { text, natives, .. } = &mut translation;
                let body = if is_translated { text.as_bytes() } else { scrape.body };
                let PageOf { format, scrape_ms, appender, options, .. } = scrape;
                let scrape = PageOf { body, format, scrape_ms, appender, options };
                match self.natives.plan(natives, scrape.options) {
                    Ok(n_natives) => self.floats(scrape, (natives, n_natives), scratch),
                    Err(error) => (IngestStats::default(), Some(error)),
                }
            }
            Err(error) => (IngestStats::default(), Some(error.into())),
        };
        translation.trim();
        scratch.translation = translation;
        result
    }

    /// The page's floats, and then its native histograms.
    fn floats(
        &mut self,
        scrape: PageOf<'_>,
        (natives, n_natives): (&[Native], u64),
        scratch: &mut Scratch,
    ) -> (IngestStats, Option<IngestError>) {
        self.families.begin();
        self.ended.clear();
        let mut scrape = Scrape {
            body: scrape.body,
            format: scrape.format,
            scrape_ms: scrape.scrape_ms,
            appender: scrape.appender,
            options: scrape.options,
            families: &mut self.families,
            orphans: &mut self.orphans,
            ended: &mut self.ended,
            stats: IngestStats::default(),
            n_natives,
        };
        let is_row_due = self.plain.as_ref().is_none_or(|plain| plain.n_good.is_multiple_of(PLAIN_PAGES));
        if self.takes_rows && is_row_due && !scrape.options.starts.synthesized {
            let n_orphans = scrape.orphans.len();
            if let Some(plain) = &self.plain {
                scrape.orphans.extend(plain.live().cloned());
            }
            match self.rows.ingest(&mut scrape, scratch, &self.blocks, &self.report) {
                Ok(()) => {
                    self.plain = None;
                    scrape.families.expire();
                    self.natives.append(natives, &mut scrape);
                    return (scrape.all_stats(natives), None);
                }
                Err(PageError::Refused(error)) => {
                    scrape.orphans.truncate(n_orphans);
                    return (scrape.all_stats(natives), Some(error));
                }
                Err(PageError::Doubled) => {}
                Err(PageError::NoRows) => self.takes_rows = false,
            }
            scrape.orphans.truncate(n_orphans);
            let alive = self.rows.take(scrape.options, scrape.families);
            scrape.orphans.extend(alive);
            scrape.stats = IngestStats::default();
        }
        let result = self.plain.get_or_insert_default().page(&mut scrape);
        if result.is_ok() {
            scrape.families.expire();
            self.natives.append(natives, &mut scrape);
        }
        (scrape.all_stats(natives), result.err())
    }

    /// See [`crate::ingest::fail`] and [`crate::ingest::end`].
    pub(crate) fn end(&mut self, t_ms: i64, scratch: &mut Scratch, appender: &mut dyn Appender) {
        self.ended.clear();
        self.rows.end(t_ms, scratch, appender, &mut self.ended);
        if let Some(plain) = &mut self.plain {
            for (labels, known) in plain.take_live() {
                let _ = appender.append(known, &labels, t_ms, STALE_NAN);
                self.ended.push(labels);
            }
            if plain.is_bloated() {
                self.plain = Some(Box::default());
            }
        }
        for labels in self.orphans.drain(..) {
            let _ = appender.append(None, &labels, t_ms, STALE_NAN);
            self.ended.push(labels);
        }
        self.natives.end(t_ms, appender);
        self.families.expire();
    }

    /// See [`crate::ingest::finish`].
    pub(crate) fn finish(
        &mut self,
        t_ms: i64,
        scratch: &mut Scratch,
        appender: &mut dyn Appender,
        options: &IngestOptions<'_>,
        report: Option<&Report>,
        stats: &mut IngestStats,
    ) {
        if self.plain.is_none() {
            self.rows.finish(t_ms, scratch, appender, options, (&mut self.report, report), stats);
            return;
        }
        for (idx, value) in ReportSeries::values(report).into_iter().enumerate() {
            self.report.append(idx, value, t_ms, appender);
        }
    }

    /// Says what became of the batch, once it is known.
    pub fn committed(&mut self, is_written: bool) {
        if !is_written {
            self.rows.lost();
            self.orphans.append(&mut self.ended);
        }
        self.ended = Vec::new();
        self.natives.committed(is_written);
    }
}

/// A page to read.
pub(crate) struct PageOf<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) format: wire::exposition::Format,
    pub(crate) scrape_ms: i64,
    pub(crate) appender: &'a mut dyn Appender,
    pub(crate) options: &'a IngestOptions<'a>,
}
