//! Round trips, damage and failing disks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::{Labels, Matcher};
use proptest::prelude::*;
use stdx::dir::Fault;
use stdx::metrics::Registry;
use stdx::{Dir, FaultyDir, MemDir};

use super::*;
use crate::config::Config;
use crate::dispatch::CoreOptions;

const NOW_MS: i64 = 1_700_000_000_000;

fn core() -> Core {
    let options = CoreOptions { retention_ms: 1_000_000_000, start_ms: 0 };
    Core::new(Arc::new(Config::builtin()), options, Arc::new(Metrics::new(&Registry::new())))
}

fn alert(name: &str, ends_at_ms: i64) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", name)]),
        annotations: Labels::from_pairs([("summary", "火事\n\"here\"")]),
        starts_at_ms: crate::alert::ZERO_TIME_MS + 1_000,
        ends_at_ms,
        generator_url: "http://h/g?a=b&c".to_owned(),
        updated_at_ms: NOW_MS,
        is_timeout: false,
    }
}

fn silence(id: &str) -> Silence {
    let matchers =
        vec![Matcher::equal("a", "b"), Matcher::new(model::MatchOp::NotRegex, "日本", "c|d").expect("good")];
    Silence {
        id: id.to_owned(),
        matchers,
        starts_at_ms: NOW_MS,
        ends_at_ms: NOW_MS + 5,
        updated_at_ms: NOW_MS,
        created_by: "me".to_owned(),
        comment: "c".to_owned(),
        annotations: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
    }
}

fn open(dir: &Arc<dyn Dir>) -> (Store, Core) {
    let mut core = core();
    let metrics = Arc::clone(&core.metrics);
    let store = Store::open(Arc::clone(dir), &mut core, metrics, NOW_MS);
    (store, core)
}

fn filled(dir: &Arc<dyn Dir>) {
    let (mut store, mut core) = open(dir);
    for name in ["one", "two", "three"] {
        core.put_alert(alert(name, NOW_MS + 3_600_000), NOW_MS);
    }
    core.silences.restore(silence("s"));
    let mut records = core.take_journal();
    records.push(Record::Silence(silence("s")));
    store.append(&core, &records, NOW_MS);
}

#[test]
fn everything_comes_back() {
    let dir: Arc<dyn Dir> = Arc::new(MemDir::new());
    filled(&dir);
    let (_, core) = open(&dir);
    let back = core.alerts.values().find(|alert| alert.name() == "two").expect("it was written");
    assert_eq!(**back, alert("two", NOW_MS + 3_600_000));
    assert_eq!(core.silences.get("s"), Some(&silence("s")));
}

#[test]
fn a_damaged_line_costs_one_record_and_is_set_aside() {
    let mem = MemDir::new();
    let dir: Arc<dyn Dir> = Arc::new(mem.clone());
    filled(&dir);
    let bytes = mem.read(Path::new(FILE)).expect("there");
    let text = String::from_utf8(bytes).expect("text");
    let at = text.find("two").expect("written");
    mem.flip(Path::new(FILE), at, 1).expect("in range");
    let (_, core) = open(&dir);
    let names: Vec<&str> = core.alerts.values().map(|alert| alert.name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(core.metrics.state_damaged.get(), 1);
    assert!(dir.exists(Path::new(&format!("{FILE}.damaged-{NOW_MS}"))));
    // The new file is whole.
    assert_eq!(open(&dir).1.metrics.state_damaged.get(), 0);
}

#[test]
fn a_torn_tail_is_dropped_silently_and_another_format_is_set_aside() {
    let mem = MemDir::new();
    let dir: Arc<dyn Dir> = Arc::new(mem.clone());
    filled(&dir);
    let bytes = mem.read(Path::new(FILE)).expect("there");
    mem.write_atomic(Path::new(FILE), &bytes[..bytes.len() - 10]).expect("written");
    let (_, core) = open(&dir);
    assert_eq!((core.alerts.len(), core.silences.get("s").is_none()), (3, true));
    assert_eq!(core.metrics.state_damaged.get(), 0);
    mem.write_atomic(Path::new(FILE), b"hinomi-alertmanager-state 9\n").expect("written");
    let (_, core) = open(&dir);
    assert_eq!((core.alerts.len(), core.metrics.state_damaged.get()), (0, 1));
}

#[test]
fn a_failed_write_is_made_good_by_the_next() {
    // Each changing operation in turn fails once.
    for first in 0..12 {
        let mem = MemDir::new();
        let faulty: Arc<dyn Dir> =
            Arc::new(FaultyDir::new(Arc::new(mem.clone()), Fault { first, n_ops: 1, errno: 28 }));
        let (mut store, mut core) = open(&faulty);
        for name in ["one", "two", "three", "four"] {
            core.put_alert(alert(name, NOW_MS + 3_600_000), NOW_MS);
            let records = core.take_journal();
            store.append(&core, &records, NOW_MS);
        }
        let plain: Arc<dyn Dir> = Arc::new(mem);
        let n_alerts = open(&plain).1.alerts.len();
        assert!(n_alerts >= 3, "fault at {first}: {n_alerts}");
    }
}

#[test]
fn a_long_file_becomes_a_snapshot() {
    let mem = MemDir::new();
    let dir: Arc<dyn Dir> = Arc::new(mem.clone());
    let (mut store, mut core) = open(&dir);
    for i in 0..8_000 {
        core.put_alert(alert("same", NOW_MS + 3_600_000 + i), NOW_MS);
        let records = core.take_journal();
        store.append(&core, &records, NOW_MS);
    }
    let len = mem.read(Path::new(FILE)).expect("there").len() as u64;
    assert!(len < SNAPSHOT_BYTES_MIN + 1_000, "{len}");
    assert_eq!(open(&dir).1.alerts.len(), 1);
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut file = HEADER.as_bytes().to_vec();
        file.extend(&bytes);
        let _ = codec::replay(&file, HEADER);
        let _ = codec::replay(&bytes, HEADER);
    }
}
