//! A reader that nobody waits for any more ends within a series.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{labels, options};
use model::{Matcher, TimeRange};
use stdx::MemDir;
use storage::{Appendable, QueryError, Queryable, SelectHints, Stop};
use tsdb::{Db, Options};

const HOUR_MS: i64 = 3_600_000;
/// The start of a block.
const START_MS: i64 = 1_700_006_400_000;
const N_SAMPLES: i64 = 70_000;
const GAP_MS: i64 = 100;

#[test]
fn a_long_series_of_a_block_is_not_read_to_its_end() {
    let long = Options { block_ms: 2 * HOUR_MS, seal_ms: HOUR_MS, segment_bytes: 1 << 20, ..options() };
    let (db, _) = Db::open(Arc::new(MemDir::new()), long, START_MS).unwrap();
    let mut appender = db.appender(START_MS + N_SAMPLES * GAP_MS);
    for n in 0..N_SAMPLES {
        appender.append(None, &labels(0), START_MS + n * GAP_MS, n as f64).unwrap();
    }
    appender.commit().unwrap();
    let report = db.maintain(START_MS + 6 * HOUR_MS).unwrap();
    assert!(!report.cut.is_empty(), "{report:?}");
    let read = |stop: Stop| {
        let hints = SelectHints { stop, ..SelectHints::default() };
        let all = [Matcher::equal("__name__", "metric_0")];
        let mut set = db.select(&all, TimeRange::ALL, &hints).unwrap();
        set.next().map(|series| series.map_or(0, |series| series.values.len()))
    };
    assert_eq!(read(Stop::default()).unwrap(), N_SAMPLES as usize);
    let n_asked = Arc::new(AtomicU32::new(0));
    let asked = n_asked.clone();
    let goes_on = Stop::when(move || {
        asked.fetch_add(1, Ordering::Relaxed);
        false
    });
    assert_eq!(read(goes_on).unwrap(), N_SAMPLES as usize);
    assert!(n_asked.load(Ordering::Relaxed) > 0);
    assert!(matches!(read(Stop::when(|| true)), Err(QueryError::Canceled)));
}
