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
use crate::alert::Alert;
use crate::config::Config;
use crate::dispatch::CoreOptions;
use crate::nflog::NotifyKey;
use crate::silence::Silence;

const NOW_MS: i64 = 1_700_000_000_000;

fn core() -> Core {
    let options = CoreOptions { retention_ms: 1_000_000_000, start_ms: 0, limits: crate::Limits::default() };
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
        measured: None,
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
        assert_eq!(core.put_alert(alert(name, NOW_MS + 3_600_000), NOW_MS), Ok(()));
    }
    core.silences.keep(silence("s"));
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
            assert_eq!(core.put_alert(alert(name, NOW_MS + 3_600_000), NOW_MS), Ok(()));
            let records = core.take_journal();
            store.append(&core, &records, NOW_MS);
        }
        let plain: Arc<dyn Dir> = Arc::new(mem);
        let n_alerts = open(&plain).1.alerts.len();
        assert!(n_alerts >= 3, "fault at {first}: {n_alerts}");
    }
}

/// The same alert again and again, until the file is worth writing anew.
fn lengthen(store: &mut Store, core: &mut Core) -> Rewrite {
    (0..)
        .find_map(|i| {
            assert_eq!(core.put_alert(alert("same", NOW_MS + 3_600_000 + i), NOW_MS), Ok(()));
            let records = core.take_journal();
            store.append(core, &records, NOW_MS);
            store.begin_rewrite()
        })
        .expect("it grows")
}

#[test]
fn a_long_file_is_written_anew_while_things_go_on() {
    let mem = MemDir::new();
    let dir: Arc<dyn Dir> = Arc::new(mem.clone());
    let (mut store, mut core) = open(&dir);
    // Each said twice, and kept once.
    for i in 0..10_000 {
        assert_eq!(core.put_alert(alert(&format!("a{}", i % 5_000), NOW_MS + 3_600_000), NOW_MS), Ok(()));
    }
    let mut rewrite = lengthen(&mut store, &mut core);
    assert!(store.begin_rewrite().is_none(), "one at a time");
    let mut n_expected = 5_001;
    let mut is_more = true;
    while is_more {
        is_more = rewrite.take(&core, NOW_MS);
        rewrite.write().expect("written");
        // New ones before and behind the page that was taken, one that goes, one that is reported again.
        for name in [format!("b{n_expected}"), format!("a{n_expected}"), "same".to_owned()] {
            assert_eq!(core.put_alert(alert(&name, NOW_MS + 7_200_000), NOW_MS), Ok(()));
        }
        let mut records = core.take_journal();
        let (gone, _) = core.alerts.pop_first().expect("there are some");
        records.push(Record::AlertGone(gone));
        store.append(&core, &records, NOW_MS);
        n_expected += 1;
        assert_eq!(core.alerts.len(), n_expected);
        let killed: Arc<dyn Dir> = Arc::new(mem.kill_image());
        assert_eq!(open(&killed).1.alerts, core.alerts, "killed meanwhile");
    }
    rewrite.sync().expect("synced");
    let before = mem.read(Path::new(FILE)).expect("there").len();
    store.end_rewrite(Ok(rewrite));
    let after = mem.read(Path::new(FILE)).expect("there").len();
    assert!(after < before, "{after} of {before}");
    assert!(!dir.exists(Path::new(rewrite::NEW_FILE)));
    // And goes on behind it.
    assert_eq!(core.put_alert(alert("last", NOW_MS + 3_600_000), NOW_MS), Ok(()));
    let records = core.take_journal();
    store.append(&core, &records, NOW_MS);
    assert_eq!(open(&dir).1.alerts, core.alerts);
}

#[test]
fn a_rewrite_that_fails_or_comes_too_late_changes_nothing() {
    let mem = MemDir::new();
    let dir: Arc<dyn Dir> = Arc::new(mem.clone());
    let (mut store, mut core) = open(&dir);
    let rewrite = lengthen(&mut store, &mut core);
    drop(rewrite);
    store.end_rewrite(Err(std::io::Error::other("no room")));
    assert_eq!(core.metrics.state_failures.get(), 1);
    assert!(store.begin_rewrite().is_none(), "not at once");
    let rewrite = lengthen(&mut store, &mut core);
    // The program ends meanwhile.
    store.close(&core, NOW_MS);
    let closed = mem.read(Path::new(FILE)).expect("there");
    store.end_rewrite(Ok(rewrite));
    assert_eq!(mem.read(Path::new(FILE)).expect("there"), closed);
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

/// A protobuf field that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    stdx::varint::put_bytes(&mut out, bytes);
    out
}

/// One message of a file, after its length.
fn delimited(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    stdx::varint::put_bytes(&mut out, message);
    out
}

/// A time of whole seconds.
fn stamp(number: u8, at_ms: i64) -> Vec<u8> {
    let mut inner = vec![1 << 3];
    stdx::varint::put_u64(&mut inner, at_ms.unsigned_abs() / 1_000);
    field(number, &inner)
}

#[test]
fn the_files_of_an_alertmanager_are_taken_over_once() {
    let matcher = [field(2, b"alertname"), field(3, b"A")].concat();
    let silence = [
        field(1, b"id-1"),
        field(2, &matcher),
        stamp(3, NOW_MS - 1_000),
        stamp(4, NOW_MS + 60_000),
        field(8, b"me"),
    ]
    .concat();
    let labels = Labels::from_pairs([("alertname", "A")]);
    let mut hash = Vec::new();
    // xxHash64 of `alertname\xffA\xff`, as Alertmanager writes it.
    stdx::varint::put_u64(&mut hash, xxhash_rust::xxh64::xxh64(b"alertname\xffA\xff", 0));
    let receiver = [field(1, b"r"), field(2, b"webhook")].concat();
    let entry = [field(1, b"{}:{}"), field(2, &receiver), stamp(5, NOW_MS - 5_000), field(6, &hash)].concat();
    let mesh = [field(1, &entry), stamp(2, NOW_MS + 60_000)].concat();
    let dir: Arc<dyn Dir> = Arc::new(MemDir::new());
    dir.write_atomic(Path::new("silences"), &delimited(&field(1, &silence))).unwrap();
    dir.write_atomic(Path::new("nflog"), &delimited(&mesh)).unwrap();

    let (mut store, mut core) = open(&dir);
    assert!(core.silences.is_silenced(&labels, NOW_MS));
    let key = NotifyKey {
        group_key: "{}:{}".to_owned(),
        receiver: "r".to_owned(),
        integration: "webhook".to_owned(),
        idx: 0,
    };
    let known = alert("A", NOW_MS);
    let fingerprint = Fingerprint::of(&labels);
    let snapshot = crate::notification::Snapshot {
        fingerprint,
        alert: Arc::new(known),
        is_firing: true,
        is_flapping: false,
    };
    let entry = core.nflog.get(&key).expect("the entry");
    assert!(!entry.firing.contains(&fingerprint), "it holds their hash");
    assert!(entry.in_our_hashes(&[snapshot]).firing.contains(&fingerprint));

    // The second start reads our own file, whatever theirs says.
    core.silences.expire("id-1", NOW_MS).unwrap();
    store.close(&core, NOW_MS);
    let (_, core) = open(&dir);
    assert!(!core.silences.is_silenced(&labels, NOW_MS));
}
