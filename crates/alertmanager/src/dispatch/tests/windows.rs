//! Maintenance windows: what they hide and let out, and what may come between: restarts, changes, hands, other managers.

use super::*;
use crate::maintenance::{Spec, Window, held_by};
use crate::silence::SilenceState;

/// 40 s after second 0, which is 22:13:20.
const STARTS: i64 = 40_000;
/// The run lasts a minute.
const ENDS: i64 = 100_000;
const DAY: i64 = 86_400_000;

const FILE: &str = "route: {receiver: d, group_by: [alertname], group_wait: 1s, group_interval: 5s, repeat_interval: 4h}\n\
    receivers: [{name: d, webhook_configs: [{url: 'http://a/'}]}]\n";

const IN_FILE: &str = "hinomi: {maintenance: [{name: nightly, matchers: ['alertname=~\"a.*\"'], start: 2023-11-14T22:14, \
    duration: 1m, recurrence: FREQ=DAILY, owner: ann, reason: backup}]}\n";

fn spec() -> Spec {
    Spec {
        name: "nightly".into(),
        matchers: vec![Matcher::equal("alertname", "a")],
        start: "2023-11-14T22:14".into(),
        duration: "1m".into(),
        recurrence: "FREQ=DAILY".into(),
        owner: "ann".into(),
        reason: "backup".into(),
        ..Spec::default()
    }
}

fn window(change: impl FnOnce(&mut Spec)) -> Window {
    let mut spec = spec();
    change(&mut spec);
    Window::new(spec).expect("a good window")
}

fn with_file() -> String {
    format!("{FILE}{IN_FILE}")
}

impl Sim {
    fn set(&mut self, at_ms: i64, window: Window) {
        self.run_to(at_ms);
        self.core.set_window("w", window, self.now_ms).expect("it is taken");
    }

    /// Silences of windows: id and state.
    fn runs(&self) -> Vec<(String, SilenceState)> {
        let held = self.core.silences.iter().filter(|silence| held_by(silence).is_some());
        held.map(|silence| (silence.id.clone(), silence.state_at(self.now_ms))).collect()
    }

    fn is_hidden(&self, name: &str) -> bool {
        self.core.silences.is_silenced(&Labels::from_pairs([("alertname", name)]), self.now_ms)
    }

    fn told(&self) -> Vec<&str> {
        self.batches.iter().map(|batch| batch.2[0].as_str()).collect()
    }
}

#[test]
fn a_run_hides_from_its_beginning_to_its_end_every_time() {
    for config in [with_file(), FILE.to_owned()] {
        let mut sim = Sim::new(&config);
        if config == FILE {
            sim.set(0, window(|_| ()));
        }
        for day in [0, DAY, 2 * DAY] {
            for (at_ms, expected) in
                [(STARTS - 1, false), (STARTS, true), (ENDS - 1, true), (ENDS, false), (ENDS + 60_000, false)]
            {
                sim.run_to(day + at_ms);
                assert_eq!(sim.is_hidden("a"), expected, "{at_ms}");
                assert!(!sim.is_hidden("b"));
            }
        }
        assert_eq!(sim.runs().len(), 3, "one silence for each run");
    }
}

#[test]
fn what_began_in_a_run_is_told_after_it_and_who_got_the_firing_gets_the_end() {
    let mut sim = Sim::new(&with_file());
    sim.put(10_000, "a0", 10_000, 0, "");
    sim.put(45_000, "a1", 45_000, 0, "");
    sim.put(50_000, "a2", 50_000, 0, "");
    // Told before, ends within: its end is owed. Began and ended within: nobody hears of it.
    sim.put(60_000, "a0", 10_000, 60_000, "");
    sim.put(70_000, "a2", 50_000, 70_000, "");
    sim.run_to(120_000);
    assert_eq!(sim.told(), ["a0 10000..-", "a0 10000..60000", "a1 45000..-"]);
    assert!(sim.batches[2].0 >= ENDS, "{:?}", sim.batches);
    assert_eq!(sim.core.promises.n_open(), 1);
}

#[test]
fn a_restart_in_the_middle_of_a_run_finds_it_as_it_was() {
    for (down_ms, expected) in [(5_000, true), (70_000, false)] {
        let mut sim = Sim::new(FILE);
        sim.set(0, window(|_| ()));
        sim.run_to(STARTS + 10_000);
        let before = sim.runs();
        assert_eq!(before.len(), 1);
        sim.restart(STARTS + 10_000, down_ms, FILE);
        sim.step();
        assert_eq!(sim.is_hidden("a"), expected, "{down_ms}");
        assert_eq!(sim.runs().len(), 1);
        assert_eq!(sim.runs()[0].0, before[0].0);
    }
    // Down when it began.
    let mut sim = Sim::new(&with_file());
    sim.restart(STARTS - 5_000, 15_000, &with_file());
    sim.step();
    assert!(sim.is_hidden("a"));
    // Gone from the file meanwhile.
    sim.restart(STARTS + 20_000, 1_000, FILE);
    sim.step();
    assert!(!sim.is_hidden("a"));
}

#[test]
fn what_is_ended_by_hand_stays_ended_and_the_next_run_comes() {
    for how in ["window", "silence", "shortened"] {
        let mut sim = Sim::new(FILE);
        sim.set(0, window(|_| ()));
        sim.run_to(50_000);
        assert!(sim.is_hidden("a"));
        let silence = sim.core.silences.iter().next().cloned().expect("the run's");
        match how {
            "window" => sim.core.end_window("w", sim.now_ms).expect("it runs"),
            "silence" => sim.core.expire_silence(&silence.id, sim.now_ms).expect("it is there"),
            _ => {
                let shorter =
                    Silence { ends_at_ms: sim.now_ms + 1_000, annotations: BTreeMap::new(), ..silence };
                sim.core.set_silence(shorter, "x".into(), sim.now_ms).map(drop).expect("it is there");
                sim.run_to(51_000);
            }
        }
        let check = |sim: &Sim, what: &str| assert!(!sim.is_hidden("a"), "{how}: {what}");
        check(&sim, "at once");
        sim.restart(55_000, 1_000, FILE);
        sim.step();
        check(&sim, "after a restart");
        // A change of the window does not bring it back.
        sim.set(60_000, window(|spec| spec.reason = "another".into()));
        sim.set(61_000, window(|spec| spec.duration = "2m".into()));
        check(&sim, "after a change");
        assert_eq!(sim.core.end_window("w", sim.now_ms), Err(crate::maintenance::WindowError::NotRunning));
        sim.run_to(DAY + STARTS);
        assert!(sim.is_hidden("a"), "{how}: the next run");
    }
}

#[test]
fn a_change_counts_at_once_and_back_again() {
    let mut sim = Sim::new(FILE);
    sim.set(0, window(|_| ()));
    sim.run_to(50_000);
    let first = sim.runs();
    sim.set(51_000, window(|spec| spec.matchers = vec![Matcher::equal("alertname", "b")]));
    assert!(!sim.is_hidden("a") && sim.is_hidden("b"));
    sim.set(52_000, window(|_| ()));
    assert!(sim.is_hidden("a") && !sim.is_hidden("b"));
    assert!(sim.runs().contains(&first[0]), "the same run has the same id");
    sim.set(53_000, window(|spec| spec.reason = "why not".into()));
    let run = sim.core.silences.get(&first[0].0).expect("kept");
    assert_eq!((run.comment.as_str(), run.starts_at_ms), ("Maintenance \"nightly\": why not", T0 + STARTS));
    // Longer, after its end by the old plan.
    sim.set(ENDS + 10_000, window(|spec| spec.duration = "5m".into()));
    assert!(sim.is_hidden("a"));
    sim.set(ENDS + 20_000, window(|spec| spec.start = "2023-11-15T22:14".into()));
    assert!(!sim.is_hidden("a"));
    sim.core.delete_window("w", sim.now_ms).expect("it is there");
    sim.run_to(DAY + STARTS + 1_000);
    assert!(!sim.is_hidden("a"));
    assert_eq!(sim.core.window_views(sim.now_ms).len(), 0);
}

#[test]
fn deleting_ends_what_runs_and_so_does_a_reload_without_it() {
    let mut sim = Sim::new(FILE);
    sim.set(0, window(|_| ()));
    sim.run_to(50_000);
    sim.core.delete_window("w", sim.now_ms).expect("it is there");
    assert!(!sim.is_hidden("a"));
    sim.restart(55_000, 1_000, FILE);
    sim.step();
    assert!(!sim.is_hidden("a"));

    let mut sim = Sim::new(&with_file());
    sim.run_to(50_000);
    assert!(sim.is_hidden("a"));
    let id = sim.core.window_views(sim.now_ms)[0].id.clone();
    assert_eq!(sim.core.delete_window(&id, sim.now_ms), Err(crate::maintenance::WindowError::OfFile));
    sim.reload(51_000, FILE);
    sim.run_to(52_000);
    assert!(!sim.is_hidden("a"));
    sim.reload(53_000, &with_file());
    sim.run_to(54_000);
    assert!(sim.is_hidden("a"));
}

#[test]
fn one_that_is_over_is_forgotten_in_time_and_not_before() {
    let mut sim = Sim::new(FILE);
    sim.set(0, window(|spec| spec.recurrence.clear()));
    sim.run_to(4 * DAY);
    assert_eq!(sim.core.window_views(sim.now_ms).len(), 1);
    sim.run_to(6 * DAY);
    assert_eq!(sim.core.window_views(sim.now_ms).len(), 0);
    sim.restart(6 * DAY, 1_000, FILE);
    assert_eq!(sim.core.windows.after(None).count(), 0);
}

/// Hands what happened in one manager to another, as the mesh does.
fn tell(from: &mut Core, to: &mut Core, now_ms: i64) {
    let journal = from.take_journal();
    to.merge(journal, None, now_ms);
}

#[test]
fn managers_with_the_same_file_make_the_same_silence_and_end_it_together() {
    let now_ms = T0 + 50_000;
    let (mut a, mut b) = (new_core(&with_file(), T0), new_core(&with_file(), T0));
    a.poll(now_ms);
    // A clock that is behind.
    b.poll(now_ms - 8_000);
    let run = a.silences.iter().next().cloned().expect("the run's");
    assert_eq!(b.silences.iter().cloned().collect::<Vec<_>>(), std::slice::from_ref(&run));
    let id = held_by(&run).cloned().expect("of a window");
    a.take_journal();
    a.end_window(&id, now_ms).expect("it runs");
    tell(&mut a, &mut b, now_ms - 8_000);
    for at_ms in [now_ms, now_ms + 10_000] {
        b.poll(at_ms);
        b.windows.next_ms = i64::MIN;
        assert_eq!(b.silences.get(&run.id).map(|s| s.state_at(at_ms)), Some(SilenceState::Expired));
    }
    // One that comes late, and knows the file alone, hears of it.
    let mut c = new_core(&with_file(), T0);
    c.poll(now_ms + 20_000);
    assert!(c.silences.is_silenced(&Labels::from_pairs([("alertname", "a")]), now_ms + 20_000));
    let all = b.windows.after(None).cloned().map(Record::Maintenance);
    let all: Vec<Record> = all.chain(b.silences.iter().cloned().map(Record::Silence)).collect();
    c.merge(all, None, now_ms + 20_000);
    c.windows.next_ms = i64::MIN;
    c.poll(now_ms + 21_000);
    assert!(!c.silences.is_silenced(&Labels::from_pairs([("alertname", "a")]), now_ms + 21_000));
}

#[test]
fn windows_made_in_one_manager_run_in_the_others() {
    let now_ms = T0 + 50_000;
    let (mut a, mut b) = (new_core(FILE, T0), new_core(FILE, T0));
    let hidden = |core: &Core, name: &str| {
        core.silences.is_silenced(&Labels::from_pairs([("alertname", name)]), now_ms)
    };
    a.set_window("w", window(|_| ()), now_ms).expect("taken");
    // The window alone is enough.
    let journal = a.take_journal().into_iter().filter(|record| matches!(record, Record::Maintenance(_)));
    b.merge(journal.collect(), None, now_ms);
    assert!(hidden(&b, "a"));
    // Changed there, heard here.
    b.take_journal();
    b.set_window("w", window(|spec| spec.matchers = vec![Matcher::equal("alertname", "b")]), now_ms)
        .expect("taken");
    tell(&mut b, &mut a, now_ms);
    assert!(!hidden(&a, "a") && hidden(&a, "b"));
    // Deleted here; a late word of the old window does not bring it back.
    a.take_journal();
    let old = Record::Maintenance(a.windows.after(None).next().cloned().expect("there"));
    a.delete_window("w", now_ms).expect("there");
    tell(&mut a, &mut b, now_ms);
    b.merge(vec![old], None, now_ms);
    assert!(!hidden(&a, "b") && !hidden(&b, "b"));
    assert_eq!(b.window_views(now_ms).len(), 0);
    // A silence of a window that is not heard of yet is left alone.
    let mut c = new_core(FILE, T0);
    c.poll(now_ms);
    let silence =
        window(|_| ()).silence("later", crate::maintenance::Run { starts_at_ms: T0, ends_at_ms: T0 + DAY });
    c.merge(vec![Record::Silence(silence)], None, now_ms);
    c.windows.next_ms = i64::MIN;
    c.poll(now_ms);
    assert!(hidden(&c, "a"));
}
