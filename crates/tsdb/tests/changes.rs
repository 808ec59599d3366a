//! What the store says of its changes is true: before the time it names, readers find what they found.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{BLOCK_MS, Content, START_MS, labels, open, read_all};
use model::{Matcher, TimeRange};
use proptest::prelude::*;
use stdx::MemDir;
use storage::{Appendable, Queryable, Series, VecSeriesSet};

#[derive(Debug, Clone)]
enum Step {
    /// A sample for some series, so much later than the newest.
    Append(u8, i64),
    /// One for one series, so much earlier than the newest.
    Late(usize, i64),
    Delete(usize, i64, i64),
    Import(usize, i64),
    Maintain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (any::<u8>(), 1..BLOCK_MS / 4).prop_map(|(mask, after)| Step::Append(mask, after)),
        2 => (0usize..6, 1..3 * BLOCK_MS).prop_map(|(series, ago)| Step::Late(series, ago)),
        1 => (0usize..6, 0..3 * BLOCK_MS, 0..BLOCK_MS).prop_map(|(series, ago, width)| Step::Delete(series, ago, width)),
        1 => (0usize..6, 0..3 * BLOCK_MS).prop_map(|(series, ago)| Step::Import(series, ago)),
        2 => Just(Step::Maintain),
    ]
}

fn before(content: &Content, t_ms: i64) -> Content {
    let cut = |samples: &std::collections::BTreeMap<i64, u64>| {
        samples.range(..t_ms).map(|(t, v)| (*t, *v)).collect()
    };
    let mut out: Content = content.iter().map(|(labels, samples)| (labels.clone(), cut(samples))).collect();
    out.retain(|_, samples| !samples.is_empty());
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_changes_before_the_time_that_is_named(schedule in proptest::collection::vec(step(), 1..40)) {
        let (db, _) = open(Arc::new(MemDir::new()));
        let mut newest_ms = START_MS;
        let mut seen: Vec<(u64, Content)> = Vec::new();
        for (number, step) in schedule.into_iter().enumerate() {
            seen.push((db.changes().unwrap().epoch(), read_all(&db)));
            let value = number as f64;
            match step {
                Step::Append(mask, after_ms) => {
                    newest_ms += after_ms;
                    let mut batch = db.appender(newest_ms);
                    for idx in (0..6).filter(|idx| mask & (1 << idx) != 0) {
                        let _ = batch.append(None, &labels(idx), newest_ms, value);
                    }
                    batch.commit().unwrap();
                }
                Step::Late(idx, ago_ms) => {
                    let mut batch = db.appender(newest_ms);
                    let _ = batch.append(None, &labels(idx), newest_ms - ago_ms, value);
                    batch.commit().unwrap();
                }
                Step::Delete(idx, ago_ms, width_ms) => {
                    let instance = Matcher::equal("instance", format!("host-{idx}:9100"));
                    let from_ms = newest_ms - ago_ms;
                    db.delete_series(&[instance], TimeRange::new(from_ms, from_ms + width_ms)).unwrap();
                }
                Step::Import(idx, ago_ms) => {
                    let series = Series::floats(labels(idx), Arc::new(vec![newest_ms - ago_ms]), vec![value]);
                    db.import(&format!("source-{number}"), &mut VecSeriesSet::new(vec![series])).unwrap();
                }
                Step::Maintain => drop(db.maintain(newest_ms).unwrap()),
            }
            let now = read_all(&db);
            for (epoch, then) in &seen {
                let until_ms = db.changes().unwrap().unchanged_before_ms(*epoch);
                prop_assert_eq!(before(then, until_ms), before(&now, until_ms));
            }
        }
    }
}
