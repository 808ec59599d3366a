//! The log: what comes back, what a crash and a flipped bit cost, what limits forget.

use std::path::Path;

use model::Labels;
use proptest::prelude::*;
use stdx::dir::{Fault, FaultyDir, MemDir};

use super::*;
use crate::alert::Alert;
use crate::matcher::parse_matchers;

const LIMITS: HistoryLimits = HistoryLimits { keep_ms: 1_000_000, bytes_max: 2 << 20 };

fn alert(name: &str, instance: &str, starts_at_ms: i64) -> Arc<Alert> {
    Arc::new(Alert {
        labels: Labels::from_pairs([("alertname", name), ("instance", instance)]),
        annotations: Labels::empty(),
        starts_at_ms,
        ends_at_ms: starts_at_ms + 1_000,
        generator_url: String::new(),
        updated_at_ms: starts_at_ms,
        is_timeout: true,
        measured: None,
    })
}

fn event(kind: Kind, name: &str, at_ms: i64) -> Event {
    Event { at_ms, what: What::Alert { kind, alert: alert(name, "a", at_ms), by: Vec::new() } }
}

fn open(dir: &Arc<dyn Dir>, limits: HistoryLimits) -> History {
    History::open(Arc::clone(dir), limits, &Registry::new())
}

fn all() -> Wanted {
    Wanted { limit: 5_000, ..Wanted::default() }
}

/// Time and name of each event, as found.
fn shown(page: &Page) -> Vec<(i64, String)> {
    let name = |found: &Found| {
        let labels = found.alerts.first().map(|(_, labels)| labels);
        labels.and_then(|labels| labels.get("alertname").cloned()).unwrap_or_default()
    };
    page.events.iter().map(|found| (found.event.at, name(found))).collect()
}

fn mem() -> (Arc<MemDir>, Arc<dyn Dir>) {
    let dir = Arc::new(MemDir::new());
    (Arc::clone(&dir), dir)
}

#[test]
fn what_was_written_is_found_the_newest_first_also_after_a_restart() {
    let (_, dir) = mem();
    let history = open(&dir, LIMITS);
    history.offer(vec![event(Kind::Firing, "A", 10), event(Kind::Firing, "B", 20)]);
    assert!(history.is_dirty());
    history.flush(20);
    drop(history);
    let history = open(&dir, LIMITS);
    history.offer(vec![event(Kind::Resolved, "A", 30)]);
    let page = history.search(&all(), 30);
    assert_eq!(shown(&page), [(30, "A".into()), (20, "B".into()), (10, "A".into())]);
    assert_eq!((page.next, page.n_damaged, page.problem), (None, 0, None));
    // Labels were written once.
    let text = String::from_utf8(dir.read(Path::new("00000001")).expect("there")).expect("text");
    assert_eq!(text.matches("\"labels\"").count(), 2, "{text}");
}

#[test]
fn a_search_takes_what_is_asked_for() {
    let (_, dir) = mem();
    let history = open(&dir, LIMITS);
    let events = (0..6).map(|i| {
        event(if i % 2 == 0 { Kind::Firing } else { Kind::Expired }, ["A", "B", "C"][i / 2], 10 * i as i64)
    });
    history.offer(events.collect());
    let check = |wanted: Wanted, expected: &[i64]| {
        let page = history.search(&wanted, 100);
        let got: Vec<i64> = page.events.iter().map(|found| found.event.at).collect();
        assert_eq!(got, expected, "{wanted:?}");
        page.next
    };
    check(Wanted { kinds: [Kind::Firing].into(), ..all() }, &[40, 20, 0]);
    check(Wanted { since_ms: Some(20), until_ms: Some(40), ..all() }, &[40, 30, 20]);
    check(
        Wanted { matchers: parse_matchers("alertname=~\"A|C\"").expect("good"), ..all() },
        &[50, 40, 10, 0],
    );
    check(Wanted { receiver: Some("x".into()), ..all() }, &[]);
    let next = check(Wanted { limit: 4, ..all() }, &[50, 40, 30, 20]).expect("there is more");
    let cursor = Some(next.parse().expect("our own"));
    assert_eq!(check(Wanted { limit: 4, cursor, ..all() }, &[10, 0]), None);
    for bad in ["", "1", "1-", "-1", "x-y", "1-2-3"] {
        assert!(bad.parse::<search::Cursor>().is_err(), "{bad}");
    }
}

#[test]
fn the_oldest_goes_when_there_is_too_much_or_it_is_too_old() {
    let (_, dir) = mem();
    let history = open(&dir, LIMITS);
    for i in 0..60 {
        history.offer((0..400).map(|n| event(Kind::Firing, &format!("N{n}"), 1_000 * i + n)).collect());
        history.flush(1_000 * i);
    }
    let kept = history.log.lock().segments();
    assert!(kept.len() > 10 && kept[0].number > 1, "{kept:?}");
    let bytes: u64 = dir.list(Path::new("")).expect("there").iter().map(|entry| entry.len_bytes).sum();
    assert_eq!(bytes, history.log.lock().bytes());
    assert!(bytes <= LIMITS.bytes_max, "{bytes}");
    // A page ends where the limit is; the cursors together give everything once.
    let (mut n, mut cursor) = (0, None);
    loop {
        let page = history.search(&Wanted { limit: 777, cursor, ..all() }, 60_000);
        n += page.events.len();
        let Some(next) = page.next else { break };
        cursor = Some(next.parse().expect("our own"));
    }
    let oldest = history.search(&all(), 60_000);
    assert!(n > 5_000 && oldest.events.len() == 5_000, "{n}");
    history.offer(vec![event(Kind::Firing, "A", 9_000_000)]);
    history.flush(9_000_000);
    assert_eq!(history.log.lock().segments().len(), 1, "all but the last are too old");
}

#[test]
fn a_failing_disk_is_counted_and_named_and_what_follows_is_kept() {
    let mem = Arc::new(MemDir::new());
    let fault = Fault { first: 6, n_ops: 3, errno: 28 };
    let dir: Arc<dyn Dir> = Arc::new(FaultyDir::new(mem, fault));
    let history = open(&dir, LIMITS);
    let mut failed = 0;
    for i in 0..20 {
        history.offer(vec![event(Kind::Firing, "A", i)]);
        history.flush(i);
        let problem = history.search(&Wanted { limit: 1, ..all() }, i).problem;
        failed += usize::from(problem.is_some_and(|problem| problem.contains("No space left")));
    }
    assert!(failed > 0 && history.failures.get() > 0, "{failed}");
    let page = history.search(&all(), 20);
    let n_found = page.events.iter().filter(|found| found.event.kind == Kind::Firing).count() as u64;
    let n_said: u64 = page.events.iter().filter_map(|found| found.event.n).sum();
    assert_eq!(n_found + n_said, 20, "what is missing is said in the log");
    assert_eq!(history.dropped.get(), n_said);
    assert_eq!(page.problem, None);
}

#[test]
fn a_full_queue_drops_and_says_so() {
    let (_, dir) = mem();
    let history = open(&dir, HistoryLimits { bytes_max: 1 << 30, ..LIMITS });
    history.offer(vec![event(Kind::Firing, "A", 1); EVENTS_PENDING_MAX + 7]);
    let page = history.search(&Wanted { limit: 2, ..all() }, 5);
    assert_eq!(page.events[0].event.n, Some(7));
    assert_eq!(page.events[1].event.kind, Kind::Firing);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever the process or the power ends, what is found after it is what was written before, in order.
    #[test]
    fn a_cut_costs_the_end_alone(cut in 0_usize..4_000, times in prop::collection::vec(0_i64..1_000, 1..30)) {
        let (_, dir) = mem();
        let history = open(&dir, LIMITS);
        for (i, at_ms) in times.iter().enumerate() {
            history.offer(vec![event(Kind::Firing, ["A", "B", "C"][i % 3], *at_ms)]);
            history.flush(*at_ms);
        }
        drop(history);
        let bytes = dir.read(Path::new("00000001")).expect("there");
        let mut file = dir.open(Path::new("00000001")).expect("there");
        file.truncate(cut.min(bytes.len()) as u64).expect("memory");
        let history = open(&dir, LIMITS);
        history.offer(vec![event(Kind::Firing, "last", 2_000)]);
        let found: Vec<i64> = history.search(&all(), 2_000).events.iter().rev().map(|found| found.event.at).collect();
        let (last, before) = found.split_last().expect("one was written after the cut");
        prop_assert_eq!(*last, 2_000);
        prop_assert_eq!(before, &times[..before.len()]);
        if cut >= bytes.len() {
            prop_assert_eq!(before.len(), times.len());
        }
    }

    /// A flipped bit costs a line, and nothing else.
    #[test]
    fn damage_costs_a_line(at in 0_usize..2_000, mask in 1_u8..=255) {
        let (mem, dir) = mem();
        let history = open(&dir, LIMITS);
        history.offer((0..8).map(|i| event(Kind::Firing, "A", i)).collect());
        history.flush(8);
        drop(history);
        let len = dir.read(Path::new("00000001")).expect("there").len();
        let at = codec::HEADER_BYTES + at % (len - codec::HEADER_BYTES);
        mem.flip(Path::new("00000001"), at, mask).expect("inside");
        let page = open(&dir, LIMITS).search(&all(), 8);
        // A newline made or lost spoils two.
        prop_assert!(page.events.len() >= 6, "{}", page.events.len());
    }

    #[test]
    fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut segment = codec::header(5).into_bytes();
        segment.extend(&bytes);
        let read = codec::read(&segment).expect("the header is good");
        prop_assert_eq!(read.lines.len() as u64 + read.n_damaged, bytes.iter().filter(|b| **b == b'\n').count() as u64);
        let _ = read_segment(&bytes);
    }
}
