//! The rules of the seam, one by one.

use super::*;
use crate::error::{AppendError, RowError};
use crate::seam::{AppendStats, ColumnIdx, GroupRef, RowOutcome};
use model::STALE_NAN;

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)])
}

/// `a 1@10 stale@20; b …`, all series by name.
fn shown(store: &MemStore) -> String {
    let range = TimeRange { start_ms: i64::MIN, end_ms: i64::MAX };
    let mut set = store.select(&[], range, &SelectHints::default()).expect("memory can be read");
    let mut all = Vec::new();
    while let Some(series) = set.next().expect("memory can be read") {
        let mut line = series.labels.metric_name().to_owned();
        for (t_ms, value) in series.timestamps.iter().zip(&series.values) {
            let value = if model::is_stale(*value) { "stale".to_owned() } else { value.to_string() };
            line += &format!(" {value}@{t_ms}");
        }
        all.push(line);
    }
    all.join("; ")
}

fn columns(
    appender: &mut dyn Appender,
    group: Option<GroupRef>,
    names: &[&str],
) -> (GroupRef, Vec<ColumnIdx>) {
    let all: Vec<Labels> = names.iter().map(|name| labels(name)).collect();
    let (group, columns) = appender.add_columns(group, &all).expect("rows are taken");
    (group, columns.into_iter().map(|column| column.expect("labels are not empty")).collect())
}

#[test]
fn a_row_repeats_what_did_not_change() {
    let store = MemStore::new();
    let mut batch = store.appender(0);
    let (group, idx) = columns(&mut *batch, None, &["a", "b", "c"]);
    assert_eq!(idx, [0, 1, 2]);
    assert_eq!(batch.append_row(group, 10, &[(0, 1.0), (1, 2.0)]), Ok(RowOutcome::default()));
    let expected = AppendStats { n_samples: 2, n_refused: 0, n_new_series: 2 };
    assert_eq!(batch.commit().expect("memory takes all"), expected);
    let mut batch = store.appender(0);
    for (t_ms, changed) in
        [(20, vec![(2, 3.0)]), (30, vec![(0, STALE_NAN)]), (40, vec![]), (50, vec![(0, 4.0), (2, STALE_NAN)])]
    {
        batch.append_row(group, t_ms, &changed).expect("rows are in order");
    }
    batch.commit().expect("memory takes all");
    let expected = "a 1@10 1@20 stale@30 4@50; b 2@10 2@20 2@30 2@40 2@50; c 3@20 3@30 3@40 stale@50";
    assert_eq!(shown(&store), expected);
}

#[test]
fn rows_are_refused_as_a_whole() {
    let store = MemStore::new();
    let mut batch = store.appender(0);
    let (group, _) = columns(&mut *batch, None, &["a", "b"]);
    assert_eq!(batch.append_row(GroupRef(99), 10, &[]), Err(RowError::UnknownGroup));
    assert_eq!(batch.append_row(group, 10, &[(2, 1.0)]), Err(RowError::BadColumn(2)));
    assert_eq!(batch.append_row(group, 10, &[(1, 1.0), (1, 1.0)]), Err(RowError::BadColumn(1)));
    batch.append_row(group, 10, &[(0, 1.0)]).expect("the batch is still usable");
    assert_eq!(batch.append_row(group, 10, &[(0, 2.0)]), Err(RowError::OutOfOrder));
    assert_eq!(batch.append_row(group, 9, &[(1, 2.0)]), Err(RowError::OutOfOrder));
    // Someone else was faster with one of the series.
    batch.append(None, &labels("b"), 20, 7.0).expect("newer than all");
    assert_eq!(batch.append_row(group, 15, &[(1, 2.0)]), Err(RowError::OutOfOrder));
    batch.append_row(group, 25, &[(1, 2.0)]).expect("now in order");
    batch.commit().expect("memory takes all");
    assert_eq!(shown(&store), "a 1@10 1@25; b 7@20 2@25");
}

#[test]
fn a_dropped_batch_leaves_nothing_and_its_columns_are_given_again() {
    let store = MemStore::new();
    let mut batch = store.appender(0);
    let (never, _) = columns(&mut *batch, None, &["a"]);
    batch.append_row(never, 10, &[(0, 1.0)]).expect("in order");
    drop(batch);
    let mut batch = store.appender(0);
    assert_eq!(batch.append_row(never, 10, &[]), Err(RowError::UnknownGroup));
    let (group, _) = columns(&mut *batch, None, &["a"]);
    batch.commit().expect("memory takes all");
    for is_committed in [false, true] {
        let mut batch = store.appender(0);
        assert_eq!(columns(&mut *batch, Some(group), &["b"]), (group, vec![1]));
        batch.append_row(group, 20, &[(1, 1.0)]).expect("in order");
        if is_committed {
            batch.commit().expect("memory takes all");
        }
    }
    assert_eq!(shown(&store), "b 1@20");
}

#[test]
fn a_series_is_a_column_once() {
    let store = MemStore::new();
    let mut batch = store.appender(0);
    let (first, _) = columns(&mut *batch, None, &["a", "b"]);
    batch.append_row(first, 10, &[(0, 1.0), (1, 1.0)]).expect("in order");
    batch.commit().expect("memory takes all");
    let mut batch = store.appender(0);
    let (second, _) = columns(&mut *batch, None, &["b"]);
    batch.append_row(second, 15, &[(0, 2.0)]).expect("in order");
    batch.commit().expect("memory takes all");
    let mut batch = store.appender(0);
    let outcome = batch.append_row(first, 20, &[(1, 9.0)]);
    assert_eq!(outcome, Ok(RowOutcome { moved: vec![1] }));
    assert_eq!(batch.append_row(first, 30, &[]), Ok(RowOutcome::default()));
    assert_eq!(batch.append_row(first, 40, &[(1, 9.0)]), Err(RowError::BadColumn(1)));
    batch.commit().expect("memory takes all");
    assert_eq!(shown(&store), "a 1@10 1@20 1@30; b 1@10 2@15");
}

#[test]
fn a_refused_column_leaves_its_place_empty() {
    let store = MemStore::new();
    let mut batch = store.appender(0);
    let (group, columns) = batch.add_columns(None, &[Labels::empty(), labels("a")]).expect("rows are taken");
    assert_eq!(columns, [Err(AppendError::NoName), Ok(1)]);
    assert_eq!(batch.append_row(group, 10, &[(0, 1.0)]), Err(RowError::BadColumn(0)));
    batch.append_row(group, 10, &[(1, 1.0)]).expect("in order");
    batch.commit().expect("memory takes all");
    assert_eq!(shown(&store), "a 1@10");
}

#[test]
fn references_starts_histograms_and_exemplars_are_kept() {
    let store = MemStore::new();
    let mut batch = store.appender(0);
    let a = batch.append(None, &labels("a"), 10, 1.0).expect("the first");
    let b = batch.append_with_start(None, &labels("b"), 10, 5, 1.0).expect("the first");
    batch.append_ref(a, 20, 2.0).expect("known");
    assert_eq!(batch.append_ref(a, 15, 2.0), Err(AppendError::OutOfOrder));
    assert_eq!(batch.append_ref(crate::SeriesRef(b.0 + 1), 20, 2.0), Err(AppendError::UnknownSeries));
    let histogram = Histogram::default();
    batch.append_histogram(Some(b), &labels("b"), 20, 5, &histogram).expect("in order");
    let refused = batch.append_histogram(Some(a), &labels("a"), 20, 0, &histogram);
    assert_eq!(refused, Err(AppendError::DuplicateForTimestamp));
    let exemplar = Exemplar { labels: labels("x"), value: 1.0, t_ms: 3 };
    batch.append_exemplar(None, &labels("a"), &exemplar).expect("a series");
    batch.commit().expect("memory takes all");
    assert_eq!(store.exemplars(), [(labels("a"), exemplar)]);
    let range = TimeRange { start_ms: 0, end_ms: 100 };
    let mut set = store.select(&[], range, &SelectHints::default()).expect("memory can be read");
    let (a, b) = (set.next().expect("reads").expect("a"), set.next().expect("reads").expect("b"));
    assert_eq!((a.values, a.starts), (vec![1.0, 2.0], vec![]));
    assert_eq!((b.values, b.starts), (vec![1.0], vec![5]));
    let expected = HistogramSample { t_ms: 20, start_ms: 5, histogram: Arc::new(histogram) };
    assert_eq!(b.histograms, [expected]);
}

#[test]
fn what_another_writer_overtook_is_refused_at_commit() {
    let store = MemStore::new();
    let mut slow = store.appender(0);
    slow.append(None, &labels("a"), 10, 1.0).expect("the first");
    let mut fast = store.appender(0);
    fast.append(None, &labels("a"), 10, 2.0).expect("the first");
    fast.commit().expect("memory takes all");
    let expected = AppendStats { n_samples: 0, n_refused: 1, n_new_series: 0 };
    assert_eq!(slow.commit().expect("memory takes all"), expected);
    assert_eq!(shown(&store), "a 2@10");
}
