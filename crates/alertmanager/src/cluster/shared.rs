//! What managers share: maintenance windows, silences, the notification log, promises, acknowledgements, as pages and as a
//! sum.

use super::mesh::{Mesh, News, Shared};
use super::message::Cursor;
use crate::dispatch::{Core, Turn};
use crate::record::Record;
use crate::record::codec::{self, Line};

/// Records of one page end when they are this long, in bytes. Chosen: some thousand records in a message.
const PAGE_BYTES: usize = 256 << 10;

/// Tells others what happened here.
pub(crate) fn spread(mesh: &mut Mesh, journal: &[Record]) {
    spread_but(mesh, journal, None);
}

fn spread_but(mesh: &mut Mesh, journal: &[Record], except: Option<&str>) {
    let lines: Vec<Line> = journal.iter().filter(|record| is_shared(record)).map(codec::to_line).collect();
    if !lines.is_empty() {
        mesh.push(&lines, except);
    }
}

/// Takes what others said; returns what of it was news, for the state file.
pub(crate) fn take(mesh: &mut Mesh, core: &mut Core, news: News, now_ms: i64) -> Vec<Record> {
    let read = |lines: Vec<Line>| lines.into_iter().filter_map(codec::from_line).filter(is_shared).collect();
    core.merge(read(news.records), Some(mesh.wait_ms_of(&news.from)), now_ms);
    core.merge(read(news.relayed), None, now_ms);
    let journal = core.take_journal();
    if news.is_new {
        spread_but(mesh, &journal, Some(&news.from));
    }
    journal
}

/// Whether nothing is known that could be shared.
pub(crate) fn is_blank(core: &Core) -> bool {
    records(core, None).next().is_none()
}

/// Whose turn it is, for the dispatcher.
pub(crate) fn turn(mesh: &Mesh) -> Turn {
    Turn { wait_ms: mesh.wait_ms(), is_ready: mesh.is_ready(), is_shared: true, me: hash(mesh.name()) }
}

fn is_shared(record: &Record) -> bool {
    matches!(
        record,
        Record::Maintenance(_)
            | Record::Silence(_)
            | Record::Notified(..)
            | Record::Promised(_)
            | Record::Doubted(..)
            | Record::Claimed(_)
            | Record::Acked(..)
    )
}

/// FNV-1a, as fingerprints have it: sums need no more than to differ when records do.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
    text.bytes().fold(14_695_981_039_346_656_037, step)
}

fn records<'a>(core: &'a Core, after: Option<&'a Cursor>) -> impl Iterator<Item = Record> + 'a {
    let (window, silence, notified, promised, acked) = match after {
        None => (Some(None), Some(None), Some(None), Some(None), None),
        Some(Cursor::Maintenance(id)) => (Some(Some(id.as_str())), Some(None), Some(None), Some(None), None),
        Some(Cursor::Silence(id)) => (None, Some(Some(id.as_str())), Some(None), Some(None), None),
        Some(Cursor::Notified(key)) => (None, None, Some(Some(key)), Some(None), None),
        Some(Cursor::Promised(key)) => (None, None, None, Some(Some(key)), None),
        Some(Cursor::Acked(alert)) => (None, None, None, None, Some(*alert)),
    };
    let windows = window.into_iter().flat_map(|id| core.windows.after(id)).cloned().map(Record::Maintenance);
    let silences = silence.into_iter().flat_map(|id| core.silences.after(id)).cloned().map(Record::Silence);
    let log = notified.into_iter().flat_map(|key| core.nflog.after(key));
    let log = log.map(|(key, entry)| Record::Notified(key.clone(), entry.clone()));
    let promised = promised.into_iter().flat_map(|key| core.promises.said_after(key)).map(Record::Promised);
    let acked = core.acks.after(acked).map(|(alert, ack)| Record::Acked(alert, ack.clone()));
    windows.chain(silences).chain(log).chain(promised).chain(acked)
}

fn cursor(record: &Record) -> Option<Cursor> {
    match record {
        Record::Maintenance(window) => Some(Cursor::Maintenance(window.id.clone())),
        Record::Silence(silence) => Some(Cursor::Silence(silence.id.clone())),
        Record::Notified(key, _) => Some(Cursor::Notified(key.clone())),
        Record::Promised(said) => Some(Cursor::Promised(said.key.clone())),
        Record::Acked(alert, _) => Some(Cursor::Acked(*alert)),
        _ => None,
    }
}

impl Shared for Core {
    fn page(&self, after: Option<&Cursor>) -> (Vec<Line>, Option<Cursor>) {
        let (mut lines, mut n_bytes) = (Vec::new(), 0);
        let mut last: Option<Cursor> = None;
        for record in records(self, after) {
            let here = cursor(&record);
            // All that one key was promised goes together, since a page goes on behind a key.
            if n_bytes >= PAGE_BYTES && here != last {
                return (lines, last);
            }
            n_bytes += codec::json(&record).len();
            lines.push(codec::to_line(&record));
            last = here;
        }
        (lines, None)
    }

    fn digest(&self) -> u64 {
        records(self, None).fold(0, |sum, record| sum.wrapping_add(hash(&codec::json(&record))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use model::Matcher;
    use proptest::prelude::*;

    use super::*;
    use crate::alert::Fingerprint;
    use crate::config::Config;
    use crate::dispatch::CoreOptions;
    use crate::maintenance::{Spec, Window, WindowRecord};
    use crate::metrics::Metrics;
    use crate::nflog::{Entry, NotifyKey};
    use crate::notification::ReceiverData;
    use crate::silence::Silence;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn core() -> Core {
        let options = CoreOptions { retention_ms: 1_000_000, start_ms: 0, limits: crate::Limits::default() };
        let metrics = Arc::new(Metrics::new(&stdx::metrics::Registry::new()));
        Core::new(Arc::new(Config::builtin()), options, metrics)
    }

    /// Few keys and few times, so that records meet.
    fn record() -> impl Strategy<Value = Record> {
        let silence = (0u8..3, 0i64..3, 0u8..3).prop_map(|(id, updated_ms, text)| {
            Record::Silence(Silence {
                id: format!("s{id}"),
                matchers: vec![Matcher::equal("a", "b")],
                starts_at_ms: NOW_MS,
                ends_at_ms: NOW_MS + 1_000,
                updated_at_ms: NOW_MS + updated_ms,
                created_by: String::new(),
                comment: text.to_string(),
                annotations: BTreeMap::new(),
            })
        });
        let set = || proptest::collection::btree_set((0u64..3).prop_map(Fingerprint), 0..3);
        let notified = (0usize..3, 0i64..3, set(), set()).prop_map(|(idx, sent_ms, firing, resolved)| {
            let key = NotifyKey { group_key: "g".into(), receiver: "r".into(), integration: "i".into(), idx };
            let entry = Entry {
                issued: crate::nflog::Issued::new(),
                since: crate::nflog::Issued::new(),
                sent_at_ms: NOW_MS + sent_ms,
                expires_at_ms: NOW_MS + 1_000,
                firing,
                resolved,
                data: ReceiverData::new(),
            };
            Record::Notified(key, entry)
        });
        let window = (0u8..3, 0i64..3, proptest::option::of(0u8..3), 0i64..3);
        let window = window.prop_map(|(id, updated_ms, text, ended_ms)| {
            let spec = |text: u8| Spec {
                name: text.to_string(),
                matchers: vec![Matcher::equal("a", "b")],
                start: "2031-01-01T00:00".into(),
                duration: "1h".into(),
                owner: "o".into(),
                reason: "r".into(),
                ..Spec::default()
            };
            Record::Maintenance(WindowRecord {
                id: format!("w{id}"),
                updated_at_ms: NOW_MS + updated_ms,
                window: text.map(|text| Arc::new(Window::new(spec(text)).expect("a good window"))),
                ended_ms: NOW_MS + ended_ms,
            })
        });
        let acked = (0u64..3, 0i64..3, any::<bool>(), 0u8..2).prop_map(|(id, at_ms, is_held, by)| {
            let ack = crate::ack::Ack {
                at_ms: NOW_MS + at_ms,
                by: by.to_string(),
                note: String::new(),
                starts_at_ms: NOW_MS,
                is_held,
                until_ms: is_held.then_some(NOW_MS + 10),
                is_snooze: false,
            };
            Record::Acked(Fingerprint(id), ack)
        });
        prop_oneof![silence, notified, window, acked]
    }

    fn known(records: &[Record]) -> (Vec<Line>, u64) {
        let mut core = core();
        for record in records {
            core.merge(vec![record.clone()], None, NOW_MS);
        }
        (core.page(None).0, core.digest())
    }

    proptest! {
        /// Associative, commutative and idempotent at once: any order, any repetition, any detour.
        #[test]
        fn the_same_records_in_any_order_come_to_the_same(
            records in proptest::collection::vec(record(), 0..16),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..32),
        ) {
            let expected = known(&records);
            let mut shuffled: Vec<Record> = records.iter().rev().cloned().collect();
            if !records.is_empty() {
                shuffled.extend(order.iter().map(|idx| idx.get(&records).clone()));
            }
            prop_assert_eq!(&known(&shuffled), &expected);
            let handed_on: Vec<Record> = expected.0.iter().cloned().filter_map(codec::from_line).collect();
            prop_assert_eq!(known(&handed_on), expected);
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = super::super::message::read(&bytes);
            let _ = super::super::seal::Sealer::new(b"k", "").expect("randomness").open(&bytes);
        }
    }

    #[test]
    fn what_is_over_or_dated_far_ahead_is_not_taken() {
        let entry = |sent_at_ms: i64, expires_at_ms: i64| {
            let key =
                NotifyKey { group_key: "g".into(), receiver: "r".into(), integration: "i".into(), idx: 0 };
            let (firing, resolved) = (BTreeSet::from([Fingerprint(1)]), BTreeSet::new());
            let data = ReceiverData::new();
            Record::Notified(
                key,
                Entry {
                    sent_at_ms,
                    expires_at_ms,
                    firing,
                    resolved,
                    issued: crate::nflog::Issued::new(),
                    since: crate::nflog::Issued::new(),
                    data,
                },
            )
        };
        for (record, expected) in [
            (entry(NOW_MS, NOW_MS + 1), 1),
            (entry(NOW_MS, NOW_MS), 0),
            (entry(NOW_MS + 25 * 3_600_000, i64::MAX), 0),
            (entry(NOW_MS + 60_000, i64::MAX), 1),
        ] {
            assert_eq!(known(&[record]).0.len(), expected);
        }
    }

    #[test]
    fn pages_hold_everything_once() {
        let mut core = core();
        let silence = |id: usize| Silence {
            id: format!("s{id:05}"),
            matchers: vec![Matcher::equal("a", "b")],
            starts_at_ms: NOW_MS,
            ends_at_ms: NOW_MS + 1_000,
            updated_at_ms: NOW_MS,
            created_by: "x".repeat(500),
            comment: String::new(),
            annotations: BTreeMap::new(),
        };
        (0..2_000).for_each(|id| core.silences.keep(silence(id)));
        let (mut n, mut n_pages, mut after) = (0, 0, None);
        loop {
            let (lines, next) = core.page(after.as_ref());
            n += lines.len();
            n_pages += 1;
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(n, 2_000);
        assert!(n_pages > 4, "{n_pages}");
    }
}
