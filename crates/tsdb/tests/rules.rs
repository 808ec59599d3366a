//! Rules of appending, as Prometheus has them, and the few of our own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{BLOCK_MS, Content, START_MS, commit, labels, open, options, read_all};
use model::{Labels, Matcher, TimeRange};
use stdx::MemDir;
use storage::{AppendError, Appendable, GroupRef, Queryable, RowError, SelectHints};
use tsdb::{Db, Options};

fn one(db: &Db, now_ms: i64, t_ms: i64, series: usize, value: f64) -> Result<(), AppendError> {
    let mut appender = db.appender(now_ms);
    appender.append(None, &labels(series), t_ms, value)?;
    appender.commit().unwrap();
    Ok(())
}

#[test]
fn order_duplicates_and_bounds() {
    let options = Options { out_of_order_window_ms: 0, ..options() };
    let (db, _) = Db::open(Arc::new(MemDir::new()), options, START_MS).unwrap();
    let t = START_MS + BLOCK_MS * 10;
    // series, time relative to t, value, answer.
    let cases = [
        (0, 0, 1.0, Ok(())),
        (0, 0, 1.0, Ok(())),
        (0, 0, 2.0, Err(AppendError::DuplicateForTimestamp)),
        (0, 0, f64::NAN, Err(AppendError::DuplicateForTimestamp)),
        (0, -1, 1.0, Err(AppendError::OutOfOrder)),
        (1, -1, 1.0, Ok(())),
        (1, 5, model::STALE_NAN, Ok(())),
        (1, 5, model::STALE_NAN, Ok(())),
        (1, 5, f64::NAN, Err(AppendError::DuplicateForTimestamp)),
        (2, 5 - BLOCK_MS / 2, 1.0, Ok(())),
        (3, 4 - BLOCK_MS / 2, 1.0, Err(AppendError::OutOfBounds)),
        (3, 600_001, 1.0, Err(AppendError::OutOfBounds)),
        (3, 600_000, 1.0, Ok(())),
    ];
    for (series, delta_ms, value, expected) in cases {
        assert_eq!(one(&db, t, t + delta_ms, series, value), expected, "{series} {delta_ms} {value}");
    }
    let mut appender = db.appender(t);
    assert_eq!(appender.append(None, &Labels::empty(), t, 1.0), Err(AppendError::NoName));
}

#[test]
fn a_zero_stands_before_all_samples_or_behind_the_newest() {
    let options = Options { out_of_order_window_ms: 0, ..options() };
    let (db, _) = Db::open(Arc::new(MemDir::new()), options, START_MS).unwrap();
    let t = START_MS + BLOCK_MS * 10;
    let scrape = |group: Option<GroupRef>, t_ms: i64, start_ms: i64| {
        let mut appender = db.appender(t_ms);
        let zero = appender.append_zero(&labels(0), t_ms, start_ms);
        let group = group.unwrap_or_else(|| appender.add_columns(None, &[labels(0), labels(1)]).unwrap().0);
        appender.append_row(group, t_ms, &[(0, 5.0), (1, 6.0)]).unwrap();
        appender.append_row_starts(group, t_ms, &[(0, start_ms)]).unwrap();
        assert_eq!(appender.append_row_starts(group, t_ms, &[(2, start_ms)]), Err(RowError::BadColumn(2)));
        appender.commit().unwrap();
        (group, zero)
    };
    let (group, first) = scrape(None, t, t - 7);
    assert_eq!(first, Ok(()));
    // Time of the scrape, start, answer.
    let cases = [
        (10, -7, Err(AppendError::OutOfOrder)),
        (20, 10, Err(AppendError::OutOfOrder)),
        (30, 25, Ok(())),
        (40, 25, Err(AppendError::OutOfOrder)),
        (50, 50, Err(AppendError::OutOfOrder)),
        (60, -BLOCK_MS, Err(AppendError::OutOfBounds)),
    ];
    for (at_ms, start_ms, expected) in cases {
        assert_eq!(scrape(Some(group), t + at_ms, t + start_ms).1, expected, "{at_ms} {start_ms}");
    }
    let content = read_all(&db);
    let times: Vec<(i64, f64)> =
        content[&labels(0)].iter().map(|(t_ms, bits)| (t_ms - t, f64::from_bits(*bits))).collect();
    let expected = [(-7, 0.0), (0, 5.0), (10, 5.0), (20, 5.0), (25, 0.0), (30, 5.0)];
    assert_eq!(times[..6], expected);
    assert_eq!((times.len(), content[&labels(1)].len()), (9, 7));
}

#[test]
fn two_batches_that_race_are_judged_again_at_commit() {
    let (db, _) = open(Arc::new(MemDir::new()));
    let mut first = db.appender(START_MS);
    let mut second = db.appender(START_MS);
    let number = first.append(None, &labels(0), START_MS + 10, 1.0).unwrap();
    second.append(None, &labels(0), START_MS + 5, 2.0).unwrap();
    second.append(None, &labels(1), START_MS + 5, 2.0).unwrap();
    let stats = first.commit().unwrap();
    assert_eq!((stats.n_samples, stats.n_refused, stats.n_new_series), (1, 0, 1));
    let stats = second.commit().unwrap();
    // The first is late by now.
    assert_eq!((stats.n_samples, stats.n_refused, stats.n_new_series), (2, 0, 1));
    // A number remembered for other labels does no harm.
    let mut third = db.appender(START_MS);
    third.append(Some(number), &labels(1), START_MS + 6, 3.0).unwrap();
    third.commit().unwrap();
    let content = read_all(&db);
    assert_eq!(content[&labels(1)].len(), 2);
    assert_eq!(content[&labels(0)].len(), 2);
}

#[test]
fn a_dropped_batch_leaves_nothing() {
    let (db, _) = open(Arc::new(MemDir::new()));
    let mut appender = db.appender(START_MS);
    appender.append(None, &labels(0), START_MS, 1.0).unwrap();
    drop(appender);
    assert!(read_all(&db).is_empty());
    assert_eq!(db.stats(10).n_series, 0);
}

#[test]
fn samples_of_one_series_within_one_batch_are_put_in_order() {
    let (db, _) = open(Arc::new(MemDir::new()));
    let mut appender = db.appender(START_MS);
    for (delta_ms, value) in [(0, 1.0), (2, 2.0), (1, 3.0), (2, 2.0), (2, 4.0)] {
        appender.append(None, &labels(0), START_MS + delta_ms, value).unwrap();
    }
    let stats = appender.commit().unwrap();
    assert_eq!((stats.n_samples, stats.n_refused, stats.n_new_series), (4, 1, 1));
}

#[test]
fn new_series_beyond_the_limit_are_refused_and_known_ones_go_on() {
    let options = Options { series_max: 2, ..options() };
    let (db, _) = Db::open(Arc::new(MemDir::new()), options, START_MS).unwrap();
    let mut appender = db.appender(START_MS);
    assert!(appender.append(None, &labels(0), START_MS, 1.0).is_ok());
    assert!(appender.append(None, &labels(1), START_MS, 1.0).is_ok());
    assert_eq!(appender.append(None, &labels(2), START_MS, 1.0), Err(AppendError::SeriesLimit));
    appender.commit().unwrap();
    assert_eq!(one(&db, START_MS, START_MS + 1, 2, 1.0), Err(AppendError::SeriesLimit));
    assert_eq!(one(&db, START_MS, START_MS + 1, 1, 1.0), Ok(()));
}

#[test]
fn a_clock_that_was_ahead_does_not_stop_the_series_and_survives_restarts() {
    let year_ms = 365 * 24 * 3_600_000;
    let dir = MemDir::new();
    let (db, _) = open(Arc::new(dir.clone()));
    let mut content = Content::new();
    let mut now_ms = START_MS;
    for jump_ms in [0, year_ms, -year_ms + BLOCK_MS / 2, BLOCK_MS * 3, -year_ms, year_ms] {
        now_ms += jump_ms;
        for _ in 0..4 {
            now_ms += 1_000;
            commit(&db, now_ms, &[(0, now_ms as f64), (1, 2.0)], &mut content).unwrap();
            db.maintain(now_ms).unwrap();
        }
        assert_eq!(
            content[&labels(0)].get(&now_ms),
            Some(&(now_ms as f64).to_bits()),
            "taken after {jump_ms}"
        );
        assert_eq!(read_all(&db), content, "after {jump_ms}");
        let (again, report) = open(Arc::new(dir.kill_image()));
        assert!(report.warnings().is_empty());
        assert_eq!(read_all(&again), content, "restarted after {jump_ms}");
    }
}

#[test]
fn labels_only_answers_without_samples_and_ranges_are_inclusive() {
    let (db, _) = open(Arc::new(MemDir::new()));
    let mut content = Content::new();
    for step in 0..40 {
        let t_ms = START_MS + step * BLOCK_MS / 8;
        commit(&db, t_ms, &[(0, step as f64), (1, 1.0)], &mut content).unwrap();
        db.maintain(t_ms).unwrap();
    }
    assert!(!db.block_metas().is_empty());
    let hints = SelectHints { labels_only: true, ..SelectHints::default() };
    let mut set = db.select(&[Matcher::equal("instance", "host-0:9100")], TimeRange::ALL, &hints).unwrap();
    let series = set.next().unwrap().unwrap();
    assert_eq!((series.labels, series.values.len()), (labels(0), 0));
    assert!(set.next().unwrap().is_none());
    for step in [0, 7, 8, 39] {
        let t_ms = START_MS + step * BLOCK_MS / 8;
        let found = common::read(&db, &[], TimeRange::new(t_ms, t_ms));
        assert_eq!(found[&labels(0)].len(), 1, "{step}");
    }
    assert!(common::read(&db, &[], TimeRange::new(START_MS + 1, START_MS)).is_empty());
    assert!(common::read(&db, &[], TimeRange::new(START_MS + 1, START_MS + 2)).is_empty());
    assert_eq!(db.time_span(), Some(TimeRange::new(START_MS, START_MS + 39 * BLOCK_MS / 8)));
}

#[test]
fn late_samples_are_taken_as_far_back_as_the_window_reaches_and_read_in_order() {
    let options = Options { out_of_order_window_ms: BLOCK_MS * 20, ..options() };
    let (db, _) = Db::open(Arc::new(MemDir::new()), options, START_MS).unwrap();
    let t = START_MS + BLOCK_MS * 100;
    // series, time relative to t, value, answer.
    let cases = [
        (0, 0, 1.0, Ok(())),
        (0, -10, 2.0, Ok(())),
        (0, -10, 2.0, Ok(())),
        (0, -10, 3.0, Err(AppendError::DuplicateForTimestamp)),
        (0, -BLOCK_MS * 20, 4.0, Ok(())),
        (0, -BLOCK_MS * 20 - 1, 5.0, Err(AppendError::OutOfBounds)),
        (1, -BLOCK_MS * 3, 6.0, Ok(())),
        (0, 5, 7.0, Ok(())),
    ];
    for (series, delta_ms, value, expected) in cases {
        assert_eq!(one(&db, t, t + delta_ms, series, value), expected, "{series} {delta_ms} {value}");
    }
    let expected = [(t - BLOCK_MS * 20, 4.0), (t - 10, 2.0), (t, 1.0), (t + 5, 7.0)];
    let check = |db: &Db| {
        let found = read_all(db);
        let bits = expected.map(|(t_ms, value): (i64, f64)| (t_ms, value.to_bits()));
        assert_eq!(found[&labels(0)], bits.into_iter().collect());
        assert_eq!(found[&labels(1)].len(), 1);
    };
    check(&db);
    for idx in 0..40 {
        one(&db, t + idx * 1_000, t + idx * 1_000 + 20, 2, idx as f64).unwrap();
        db.maintain(t + idx * 1_000).unwrap();
        check(&db);
    }
    assert!(!db.block_metas().is_empty());
}

#[test]
fn references_are_taken_while_the_series_is_in_the_head() {
    let (db, _) = open(Arc::new(MemDir::new()));
    let mut appender = db.appender(START_MS);
    let series = appender.append(None, &labels(0), START_MS, 1.0).unwrap();
    assert_eq!(appender.append_ref(series, START_MS + 1, 2.0), Err(AppendError::UnknownSeries));
    appender.commit().unwrap();
    for step in 1..200 {
        let t_ms = START_MS + step * 1_000;
        let mut appender = db.appender(t_ms);
        appender.append_ref(series, t_ms, step as f64).unwrap();
        assert_eq!(appender.commit().unwrap().n_samples, 1);
        db.maintain(t_ms).unwrap();
    }
    assert_eq!(read_all(&db)[&labels(0)].len(), 200);
    // Another goes on alone; the first leaves after a while, and its reference with it.
    let mut content = Content::new();
    for step in 200..600 {
        let t_ms = START_MS + step * 1_000;
        commit(&db, t_ms, &[(1, 1.0)], &mut content).unwrap();
        db.maintain(t_ms).unwrap();
    }
    let mut appender = db.appender(START_MS + 600_000);
    assert_eq!(appender.append_ref(series, START_MS + 600_000, 2.0), Err(AppendError::UnknownSeries));
    assert_eq!(db.stats(1).n_series, 1);
    assert_eq!(read_all(&db)[&labels(0)].len(), 200);
}

#[test]
fn a_series_that_ended_leaves_the_head_with_its_seal() {
    let (db, _) = open(Arc::new(MemDir::new()));
    let mut content = Content::new();
    let mut n_series = Vec::new();
    for step in 0..400 {
        let t_ms = START_MS + step * 1_000;
        let batch: &[_] = match step {
            0..100 => &[(0, 1.0), (1, 1.0), (2, 1.0)],
            100 => &[(0, 1.0), (1, model::STALE_NAN)],
            _ => &[(0, 1.0)],
        };
        commit(&db, t_ms, batch, &mut content).unwrap();
        db.maintain(t_ms).unwrap();
        n_series.push(db.stats(1).n_series);
    }
    n_series.dedup();
    assert_eq!(n_series, [3, 2, 1], "the one that said nothing of its end is waited for");
    assert_eq!(read_all(&db), content);
    commit(&db, START_MS + 400_000, &[(1, 2.0)], &mut content).unwrap();
    assert_eq!(read_all(&db), content);
}

#[test]
fn new_series_are_refused_when_memory_is_short_and_named() {
    let options = Options { memory_budget_bytes: 1 << 20, ..options() };
    let registry = options.registry.clone();
    let (db, _) = Db::open(Arc::new(MemDir::new()), options, START_MS).unwrap();
    let mut n_taken = 0;
    for batch in 0..100 {
        let mut appender = db.appender(START_MS);
        let taken =
            (0..100).filter(|idx| appender.append(None, &labels(batch * 100 + idx), START_MS, 1.0).is_ok());
        n_taken += taken.count();
        appender.commit().unwrap();
    }
    assert!((1_000..5_000).contains(&n_taken), "{n_taken}");
    let refused = db.refused_for_memory();
    let offender = ("metric_0".to_owned(), "even".to_owned());
    assert_eq!(refused.values().sum::<u64>() as usize, 10_000 - n_taken);
    assert!(refused[&offender] > 0);
    let line = format!(
        "hinomi_storage_refused_series_total{{metric=\"metric_0\",job=\"even\"}} {}\n",
        refused[&offender]
    );
    assert!(registry.render().contains(&line), "{line}");
    let mut appender = db.appender(START_MS + 1);
    assert_eq!(appender.append(None, &labels(99_999), START_MS + 1, 1.0), Err(AppendError::MemoryLimit));
    assert!(appender.append(None, &labels(0), START_MS + 1, 1.0).is_ok(), "known series go on");
    drop(appender);
    // Each mark is counted, and none holds for longer than what brought it.
    let counted = |name: &str| {
        let page = registry.render();
        let value = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        value.unwrap().parse::<f64>().unwrap()
    };
    let mut t_ms = START_MS + 2;
    while counted("tsdb_memory_small_caches_total") == 0.0 {
        assert!(t_ms < START_MS + 50, "caches are never made small");
        let mut appender = db.appender(t_ms);
        // All known ones, so that they stay, and as many more as are taken.
        for idx in 0..10_000 {
            let _ = appender.append(None, &labels(idx), t_ms, (idx as f64).sin());
        }
        appender.commit().unwrap();
        db.maintain(t_ms).unwrap();
        t_ms += 1;
    }
    assert!(counted("tsdb_memory_early_seals_total") >= 1.0);
    for hour in 2..6 {
        let now_ms = START_MS + hour * 60 * 60_000;
        let mut appender = db.appender(now_ms);
        appender.append(None, &labels(0), now_ms, 1.0).unwrap();
        appender.commit().unwrap();
        db.maintain(now_ms).unwrap();
    }
    assert!(!db.refuses_new_series() && !db.is_overloaded(), "what no one writes to any more leaves");
}

#[test]
fn statistics_count_as_prometheus_does() {
    let (db, _) = open(Arc::new(MemDir::new()));
    assert_eq!((db.stats(10).min_time_ms, db.stats(10).max_time_ms), (i64::MAX, i64::MIN));
    commit(&db, START_MS, &[(0, 1.0), (1, 1.0), (3, 1.0)], &mut Content::new()).unwrap();
    let stats = db.stats(1);
    assert_eq!((stats.n_series, stats.n_chunks, stats.n_label_pairs), (3, 3, 2 + 1 + 3));
    assert_eq!(
        (stats.series_by_metric_name[0].name.as_str(), stats.series_by_metric_name[0].value),
        ("metric_0", 2)
    );
    assert_eq!(
        (stats.values_by_label_name[0].name.as_str(), stats.values_by_label_name[0].value),
        ("instance", 3)
    );
    assert_eq!(stats.memory_by_label_name[0].value, 33);
    assert_eq!(stats.series_by_label_pair.len(), 1);
}

#[test]
fn own_metrics_carry_both_names() {
    let options = options();
    let registry = options.registry.clone();
    let (db, _) = Db::open(Arc::new(MemDir::new()), options, START_MS).unwrap();
    commit(&db, START_MS, &[(0, 1.0), (1, 1.0)], &mut Content::new()).unwrap();
    let text = registry.render();
    for line in [
        "tsdb_head_series 2",
        "prometheus_tsdb_head_series 2",
        "prometheus_tsdb_head_samples_appended_total 2",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let options = Options { block_ms: 0, ..options() };
    let err = Db::open(Arc::new(MemDir::new()), options, START_MS).map(|_| ()).unwrap_err();
    assert_eq!(err.to_string(), "block_ms must be positive");
}
