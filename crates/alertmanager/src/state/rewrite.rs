//! The file written anew beside everything else: what stands in the core, page by page.
//!
//! In from the driver, which locks the core for one page at a time; out to a second file that takes the place of the first.
//! What happens meanwhile is appended to the first as ever, and behind the pages of the second before it takes over: whatever
//! the moment of a page, what came later is read after it. So nobody waits for a long file, and `kill -9` loses nothing.

use std::path::Path;
use std::sync::Arc;

use stdx::{Dir, File};

use crate::alert::Fingerprint;
use crate::dispatch::Core;
use crate::nflog::NotifyKey;
use crate::record::{Record, codec};

/// The second file, until it takes over.
pub(super) const NEW_FILE: &str = "state.new";
/// Alerts, silences, log entries or promises that are taken under one lock. Chosen: some milliseconds.
const PAGE_RECORDS: usize = 2_000;

/// How far the pages have come; in this order.
#[derive(Debug)]
enum Place {
    Alerts(Option<Fingerprint>),
    Silences(Option<String>),
    Log(Option<NotifyKey>),
    Promises(Option<NotifyKey>),
    Others,
    End,
}

/// All of a core as text, some at a time.
#[derive(Debug)]
pub(super) struct Pages(Place);

impl Pages {
    pub(super) fn new() -> Self {
        Self(Place::Alerts(None))
    }

    /// Adds the next page to `text`; `false` behind the last.
    pub(super) fn push_next(&mut self, text: &mut String, core: &Core, now_ms: i64) -> bool {
        use std::ops::Bound::{Excluded, Unbounded};
        self.0 = match &self.0 {
            Place::Alerts(after) => {
                let alerts = core.alerts.range((after.map_or(Unbounded, Excluded), Unbounded));
                let last = push_page(text, alerts, |text, (fingerprint, alert)| {
                    codec::push(text, &Record::Alert(Arc::clone(alert)));
                    *fingerprint
                });
                last.map_or(Place::Silences(None), |last| Place::Alerts(Some(last)))
            }
            Place::Silences(after) => {
                let last = push_page(text, core.silences.after(after.as_deref()), |text, silence| {
                    codec::push(text, &Record::Silence(silence.clone()));
                    silence.id.clone()
                });
                last.map_or(Place::Log(None), |last| Place::Silences(Some(last)))
            }
            Place::Log(after) => {
                let last = push_page(text, core.nflog.after(after.as_ref()), |text, (key, entry)| {
                    codec::push(text, &Record::Notified(key.clone(), entry.clone()));
                    key.clone()
                });
                last.map_or(Place::Promises(None), |last| Place::Log(Some(last)))
            }
            Place::Promises(after) => {
                let last = push_page(text, core.promises.by_key(after.as_ref()), |text, (key, said)| {
                    said.into_iter().for_each(|said| codec::push(text, &Record::Promised(said)));
                    key.clone()
                });
                last.map_or(Place::Others, |last| Place::Promises(Some(last)))
            }
            Place::Others => {
                push_others(text, core, now_ms);
                Place::End
            }
            Place::End => return false,
        };
        true
    }
}

/// Adds up to a page of `items`; returns the last one's key, where there may be more.
fn push_page<T, K>(
    text: &mut String,
    items: impl Iterator<Item = T>,
    mut push: impl FnMut(&mut String, T) -> K,
) -> Option<K> {
    let (mut n, mut last) = (0, None);
    for item in items.take(PAGE_RECORDS) {
        last = Some(push(text, item));
        n += 1;
    }
    last.filter(|_| n == PAGE_RECORDS)
}

/// What there is little of.
fn push_others(text: &mut String, core: &Core, now_ms: i64) {
    for (key, ended) in core.doubts.iter() {
        codec::push(text, &Record::Doubted(key.clone(), ended.clone()));
    }
    for (alert, watch) in core.watches.iter() {
        codec::push(text, &Record::Watched(alert, watch.clone()));
    }
    for window in core.windows.after(None) {
        codec::push(text, &Record::Maintenance(window.clone()));
    }
    for (alert, ack) in core.acks.after(None) {
        codec::push(text, &Record::Acked(alert, ack.clone()));
    }
    for (alert, changes) in core.flaps.iter() {
        codec::push(text, &Record::Flapped(alert, changes.clone()));
    }
    for (group, alert, pause) in core.pauses.iter() {
        codec::push(text, &Record::Paused(group.to_owned(), alert, pause));
    }
    codec::push(text, &Record::Alive(now_ms));
}

/// A second file on its way.
#[derive(Debug)]
pub(crate) struct Rewrite {
    pub(crate) dir: Arc<dyn Dir>,
    pub(super) number: u64,
    pub(super) file: Box<dyn File>,
    pub(super) bytes: u64,
    pages: Pages,
    text: String,
}

impl Rewrite {
    pub(super) fn new(dir: Arc<dyn Dir>, number: u64, header: &str) -> std::io::Result<Self> {
        let file = dir.create(Path::new(NEW_FILE))?;
        Ok(Self { dir, number, file, bytes: 0, pages: Pages::new(), text: header.to_owned() })
    }

    /// Takes the next page; `false` behind the last. The only part that needs the core.
    pub(crate) fn take(&mut self, core: &Core, now_ms: i64) -> bool {
        self.pages.push_next(&mut self.text, core, now_ms)
    }

    /// Writes what was taken.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn write(&mut self) -> std::io::Result<()> {
        self.bytes += self.text.len() as u64;
        self.file.append(std::mem::take(&mut self.text).as_bytes())
    }

    /// Makes it durable before it takes over.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn sync(&mut self) -> std::io::Result<()> {
        self.file.sync()
    }
}
