//! Everything a store takes is sent, whatever comes late, and whenever the process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Labels, TimeRange};
use proptest::prelude::*;
use stdx::clock::TEST_EPOCH_MS;
use stdx::metrics::Registry;
use stdx::{Dir, MemDir, SubDir};
use storage::{Appendable as _, Followed as _, GroupRef, Queryable as _, SelectHints};

use crate::RemoteWriteConfig;
use crate::config::WriteMessage;
use crate::journal::Journal;
use crate::position::{At, Position, Step};
use crate::read::{Slice, Source, read};
use crate::shape::Shaper;

type Samples = BTreeSet<(String, i64, u64)>;

/// A store with one queue, sent by hand.
struct World {
    dir: Arc<dyn Dir>,
    db: Arc<tsdb::Db>,
    journal: Arc<Journal>,
    /// As on disk, and as in memory.
    saved: Position,
    position: Position,
    now_ms: i64,
    /// The target's group, and how many rows it had.
    group: Option<GroupRef>,
    n_rows: u64,
    newest_row_ms: i64,
    sent: Vec<(String, i64, u64)>,
    expected: Samples,
}

fn open(dir: &Arc<dyn Dir>, now_ms: i64, last_known: u64) -> (Arc<tsdb::Db>, Arc<Journal>) {
    let options = tsdb::Options::default();
    let (db, _) = tsdb::Db::open(Arc::clone(dir), options, now_ms).unwrap();
    let folder = Arc::new(SubDir::new(Arc::clone(dir), "remote-write"));
    let journal = Arc::new(Journal::open(folder, last_known, &Registry::new()).unwrap());
    db.follow(journal.clone());
    (Arc::new(db), journal)
}

impl World {
    fn new() -> Self {
        let dir: Arc<dyn Dir> = Arc::new(MemDir::new());
        let (db, journal) = open(&dir, TEST_EPOCH_MS, 0);
        let (done_ms, mark) = journal.raise(&*db, TEST_EPOCH_MS);
        let position = Position { done_ms, mark, step: None, ahead: None };
        let (saved, now_ms) = (position.clone(), TEST_EPOCH_MS);
        let (sent, expected) = (Vec::new(), Samples::new());
        Self {
            dir,
            db,
            journal,
            saved,
            position,
            now_ms,
            group: None,
            n_rows: 0,
            newest_row_ms: 0,
            sent,
            expected,
        }
    }

    /// One sample, `behind_ms` old.
    fn push(&mut self, series: u8, behind_ms: i64) {
        let labels = Labels::from_pairs([("__name__", format!("pushed{series}"))]);
        let (t_ms, value) = (self.now_ms - behind_ms, self.expected.len() as f64);
        let mut appender = self.db.appender(self.now_ms);
        if t_ms > TEST_EPOCH_MS
            && appender.append(None, &labels, t_ms, value).is_ok()
            && appender.commit().unwrap().n_samples == 1
        {
            self.expected.insert((labels.to_string(), t_ms, value.to_bits()));
        }
    }

    /// A scrape of three series that began `behind_ms` ago; of the second a new value each third time only, of the third none
    /// from time to time.
    fn scrape(&mut self, behind_ms: i64) {
        let t_ms = self.now_ms - behind_ms;
        let labels: Vec<Labels> =
            (0..3).map(|n| Labels::from_pairs([("__name__", format!("scraped{n}"))])).collect();
        let mut appender = self.db.appender(self.now_ms);
        let group = match self.group {
            Some(group) => group,
            None => appender.add_columns(None, &labels).unwrap().0,
        };
        let n = self.n_rows;
        let values = [n as f64, (n / 3) as f64, if n % 5 == 4 { model::STALE_NAN } else { 7.0 }];
        let before = n
            .checked_sub(1)
            .map(|n| [n as f64, (n / 3) as f64, if n % 5 == 4 { model::STALE_NAN } else { 7.0 }]);
        let is_new = |at: usize| {
            self.group.is_none() || before.is_none_or(|before| before[at].to_bits() != values[at].to_bits())
        };
        let changed: Vec<(u32, f64)> =
            (0..3).filter(|at| is_new(*at)).map(|at| (at as u32, values[at])).collect();
        if t_ms <= TEST_EPOCH_MS || t_ms <= self.newest_row_ms && self.group.is_none() {
            return;
        }
        // As a scrape does: what cannot be a row is handed over one by one.
        let is_late = t_ms <= self.newest_row_ms;
        let row = if is_late {
            Err(storage::RowError::OutOfOrder)
        } else {
            appender.append_row(group, t_ms, &changed)
        };
        let moved = match row {
            Ok(outcome) => outcome.moved,
            Err(storage::RowError::UnknownGroup) => {
                self.group = None;
                return;
            }
            Err(_) => vec![0, 1, 2],
        };
        let mut expected = Samples::new();
        for (at, (labels, value)) in labels.iter().zip(values).enumerate() {
            if !moved.contains(&(at as u32)) || appender.append(None, labels, t_ms, value).is_ok() {
                expected.insert((labels.to_string(), t_ms, value.to_bits()));
            }
        }
        appender.commit().unwrap();
        self.expected.extend(expected);
        if moved.len() < 3 {
            (self.group, self.n_rows) = (moved.is_empty().then_some(group), n + 1);
            self.newest_row_ms = t_ms;
        }
    }

    /// Sends up to `n_slices` of a step, the last of which is lost on its way when `loses`.
    fn send(&mut self, n_slices: usize, step_ms: i64) -> bool {
        let (horizon_ms, end) = self.journal.raise(&*self.db, self.now_ms - 500);
        if self.position.step.is_none() {
            let to_ms = horizon_ms.min(self.position.done_ms + step_ms).max(self.position.done_ms);
            if to_ms == self.position.done_ms && end == self.position.mark {
                return false;
            }
            self.position.step =
                Some(Step { to_ms, to_mark: end, at: At::Late(self.position.mark), ahead: None });
        }
        let config: RemoteWriteConfig = model::yaml::parse("c.yml", "url: 'http://h'").unwrap();
        let source = Source {
            store: self.db.clone(),
            journal: self.journal.clone(),
            shaper: Arc::new(Shaper::new(&config, &Labels::empty())),
            message: WriteMessage::V1,
            families: BTreeMap::new(),
            is_typed: false,
            n_shards: 2,
            samples_per_request: 3,
            samples_per_slice: 4,
            now_ms: self.now_ms,
            from_ms: self.position.done_ms,
            from_mark: self.position.mark,
            ahead: self.position.ahead,
        };
        let step = self.position.step.clone().unwrap();
        let (mut left, position, sent) = (n_slices, &mut self.position, &mut self.sent);
        let mut emit = |slice: Slice| {
            for series in slice.shards.iter().flatten().flat_map(|request| &request.series) {
                let sample = |sample: &wire::remote_write::Sample| {
                    (series.labels.to_string(), sample.t_ms, sample.value.to_bits())
                };
                sent.extend(series.samples.iter().map(sample));
            }
            position.reach(slice.reached, slice.ahead);
            left -= 1;
            left > 0
        };
        read(&source, &step, &mut emit).unwrap();
        self.journal.need("q", Some(self.saved.mark));
        self.journal.trim();
        true
    }

    fn save(&mut self) {
        self.saved = Position::decode(&self.position.encode("q")).unwrap().1;
    }

    /// The process is killed and starts again.
    fn kill(&mut self) {
        self.db.close().unwrap();
        (self.db, self.journal) = open(&self.dir, self.now_ms, self.saved.last_segment());
        self.journal.raise(&*self.db, self.saved.horizon_ms());
        (self.position, self.group) = (self.saved.clone(), None);
    }

    fn stored(&self) -> Samples {
        let range = TimeRange::new(TEST_EPOCH_MS + 1, i64::MAX);
        let mut set = self.db.select(&[], range, &SelectHints::default()).unwrap();
        let mut all = Samples::new();
        while let Some(series) = set.next().unwrap() {
            for (t_ms, value) in series.timestamps.iter().zip(&series.values) {
                all.insert((series.labels.to_string(), *t_ms, value.to_bits()));
            }
        }
        all
    }

    fn finish(&mut self) {
        self.now_ms += 60_000;
        while self.send(usize::MAX, i64::MAX / 4) {}
    }
}

#[derive(Debug, Clone)]
enum Action {
    Push { series: u8, behind_ms: i64 },
    Scrape { behind_ms: i64 },
    Send { n_slices: usize, step_ms: i64 },
    Save,
    Kill,
    Wait { ms: i64 },
    Seal,
}

fn actions() -> impl Strategy<Value = Action> {
    let behind = || prop_oneof![3 => 0i64..400, 2 => 400i64..5_000, 1 => 5_000i64..600_000];
    prop_oneof![
        6 => (0u8..3, behind()).prop_map(|(series, behind_ms)| Action::Push { series, behind_ms }),
        6 => behind().prop_map(|behind_ms| Action::Scrape { behind_ms }),
        4 => (1usize..5, prop_oneof![Just(i64::MAX / 4), 100i64..5_000]).prop_map(|(n_slices, step_ms)| Action::Send { n_slices, step_ms }),
        2 => Just(Action::Save),
        1 => Just(Action::Kill),
        6 => (100i64..5_000).prop_map(|ms| Action::Wait { ms }),
        1 => Just(Action::Seal),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_sample_is_sent_whatever_comes_late_and_whenever_the_process_ends(
        actions in proptest::collection::vec(actions(), 1..80),
    ) {
        let mut world = World::new();
        for action in actions {
            match action {
                Action::Push { series, behind_ms } => world.push(series, behind_ms),
                Action::Scrape { behind_ms } => world.scrape(behind_ms),
                Action::Send { n_slices, step_ms } => drop(world.send(n_slices, step_ms)),
                Action::Save => world.save(),
                Action::Kill => world.kill(),
                Action::Wait { ms } => world.now_ms += ms,
                Action::Seal => {
                    world.now_ms += 40 * 60_000;
                    world.db.maintain(world.now_ms).unwrap();
                }
            }
        }
        world.finish();
        let stored = world.stored();
        prop_assert!(world.expected.is_subset(&stored));
        let sent: Samples = world.sent.iter().cloned().collect();
        let missing: Vec<_> = stored.difference(&sent).collect();
        prop_assert!(missing.is_empty(), "not sent: {missing:?}");
        let invented: Vec<_> = sent.difference(&stored).collect();
        prop_assert!(invented.is_empty(), "sent and not stored: {invented:?}");
    }

    #[test]
    fn what_comes_in_order_is_sent_once_and_in_order(
        waits in proptest::collection::vec((100i64..3_000, any::<bool>(), 0i64..2_500), 1..60),
    ) {
        let mut world = World::new();
        for (wait_ms, sends, behind_ms) in waits {
            world.now_ms += wait_ms;
            if world.now_ms - behind_ms > world.newest_row_ms {
                world.scrape(behind_ms);
            }
            if sends {
                world.send(usize::MAX, i64::MAX / 4);
            }
        }
        world.finish();
        let sent: Samples = world.sent.iter().cloned().collect();
        prop_assert_eq!(sent.len(), world.sent.len(), "something was sent twice");
        prop_assert_eq!(sent, world.stored());
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        for (series, t_ms, _) in &world.sent {
            let before = newest.insert(series, *t_ms);
            prop_assert!(before.is_none_or(|before| before < *t_ms), "{series} at {t_ms} after {before:?}");
        }
    }

    /// A relay's series come in order and some seconds old: behind what was read already, and within the window that is read next. A receiver that
    /// takes only what is newer than what it has must get all of them, wherever a step stopped, was read again or was cut off.
    #[test]
    fn what_lags_in_order_arrives_in_order_however_often_the_receiver_was_away(
        steps in proptest::collection::vec((100i64..4_000, 0usize..4, prop_oneof![3 => Just(0u8), 1 => Just(1), 1 => Just(2)]), 1..60),
    ) {
        const LAG_MS: i64 = 6_000;
        let mut world = World::new();
        world.now_ms += LAG_MS;
        for (wait_ms, n_slices, what) in steps {
            world.now_ms += wait_ms;
            (0..3).for_each(|series| world.push(series, LAG_MS));
            world.scrape(0);
            if n_slices > 0 {
                world.send(n_slices, i64::MAX / 4);
            }
            match what {
                1 => world.save(),
                2 => world.kill(),
                _ => {}
            }
        }
        world.finish();
        let (mut newest, mut taken): (BTreeMap<&str, i64>, _) = (BTreeMap::new(), Samples::new());
        for sample in &world.sent {
            if newest.get(sample.0.as_str()).is_none_or(|newest_ms| *newest_ms < sample.1) {
                newest.insert(&sample.0, sample.1);
                taken.insert(sample.clone());
            }
        }
        let pushed = |samples: &Samples| samples.iter().filter(|one| one.0.contains("pushed")).cloned().collect::<Samples>();
        let missing: Vec<_> = pushed(&world.stored()).difference(&pushed(&taken)).cloned().collect();
        prop_assert!(missing.is_empty(), "came after newer ones: {missing:?}");
    }
}

#[test]
fn a_journal_that_was_cut_off_gives_what_is_whole() {
    let mut world = World::new();
    world.now_ms += 10_000;
    world.journal.raise(&*world.db, world.now_ms);
    world.push(0, 5_000);
    world.push(1, 4_000);
    let path = std::path::Path::new("remote-write/late-00000001");
    let len = world.dir.open(path).unwrap().len().unwrap();
    world.dir.open(path).unwrap().truncate(len - 1).unwrap();
    let mut reader = crate::journal::Reader::new(&world.journal);
    let (mut at, to) = (crate::position::Mark::default(), world.journal.end());
    let first = reader.next(&mut at, to).unwrap().unwrap();
    assert_eq!(first[0].labels.metric_name(), "pushed0");
    assert_eq!((reader.next(&mut at, to).unwrap(), at), (None, to));
}

#[test]
fn a_receiver_that_was_away_for_six_hours_and_two_restarts_gets_every_sample() {
    const SCRAPE_MS: i64 = 15_000;
    const STEPS: i64 = 6 * 3_600_000 / SCRAPE_MS;
    let mut world = World::new();
    world.now_ms += SCRAPE_MS;
    world.scrape(1_000);
    world.send(usize::MAX, i64::MAX / 4);
    world.save();
    let n_before = world.sent.len();
    assert!(n_before > 0);
    // Away: nothing is sent; blocks are sealed as ever, some samples come late, and the process ends twice without a word.
    for step in 0..STEPS {
        world.now_ms += SCRAPE_MS;
        world.scrape(0);
        if step % 7 == 0 {
            world.push((step % 3) as u8, 0);
            world.push((step % 3) as u8, step % 11 * 60_000);
        }
        if step % 160 == 0 {
            world.db.maintain(world.now_ms).unwrap();
        }
        if step == STEPS / 3 || step == 2 * STEPS / 3 {
            world.kill();
        }
    }
    assert_eq!(world.sent.len(), n_before);
    world.finish();
    let (stored, sent) = (world.stored(), world.sent.iter().cloned().collect::<Samples>());
    assert!(world.expected.is_subset(&stored) && stored.len() as i64 > 3 * STEPS, "{}", stored.len());
    assert_eq!(stored.difference(&sent).count(), 0, "not sent");
    assert_eq!(sent.difference(&stored).count(), 0, "sent and not stored");
}
