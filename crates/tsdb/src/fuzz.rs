//! For fuzzing: what reads whole files, behind their checksums. Nothing here is used by a server.
//!
//! Any bytes are read or refused, without panic and without memory that no limit names.

use std::path::Path;
use std::sync::Arc;

use model::TimeRange;
use stdx::{Dir, MemDir};
use storage::{Queryable, SelectHints};

use crate::Db;
use crate::block::BlockMeta;
use crate::options::Options;
use crate::rollup::{ROLLUPS_DIR, State, fuzz_serve};
use crate::wal::{Log, WAL_DIR, segment_of};

/// Rows of roll-ups in one run. Chosen: each can stand for as many samples as its interval has milliseconds.
const ROWS_MAX: usize = 20;
/// Interval of these rows. Chosen: short, so that a run is.
const INTERVAL_MS: i64 = 5_000;

/// Opens a store whose logs hold these payloads, in records that are whole, and reads everything. `bytes`: for each payload a byte
/// that says which log (odd: rows), two of its length, the payload. Returns how many samples were read.
#[must_use]
pub fn log(bytes: &[u8]) -> usize {
    let (mut series, mut rows): (Vec<&[u8]>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    while let Some(([which, low, high], after)) = rest.split_first_chunk::<3>() {
        let (payload, after) =
            after.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(after.len()));
        if which & 1 == 1 {
            rows.push(payload);
        } else {
            series.push(payload);
        }
        rest = after;
    }
    let dir = MemDir::new();
    let wal = Path::new(WAL_DIR);
    dir.create_dir_all(wal).expect("memory holds it");
    for (log, payloads) in [(Log::Series, series), (Log::Rows, rows)] {
        let mut file = dir.create(&log.segment_path(1)).expect("memory holds it");
        file.append(&segment_of(log, &payloads)).expect("memory holds it");
    }
    let (db, _) = Db::open(Arc::new(dir), Options::default(), 0).expect("damage is no reason to refuse");
    let mut n_samples = 0;
    let mut set = db.select(&[], TimeRange::ALL, &SelectHints::default()).expect("memory is read");
    while let Some(series) = set.next().expect("memory is read") {
        assert!(series.timestamps.is_sorted_by(|a, b| a < b), "what is served is in order");
        n_samples += series.values.len() + series.histograms.len();
    }
    n_samples
}

/// A block's `meta.json`, and the state of the roll-ups; whether it is the one or the other. What is read can be written.
#[must_use]
pub fn meta(bytes: &[u8]) -> bool {
    let meta = BlockMeta::parse(bytes);
    if let Ok(meta) = &meta {
        assert_eq!(BlockMeta::parse(&meta.to_json()).as_ref(), Ok(meta));
    }
    let dir = MemDir::new();
    dir.create_dir_all(Path::new(ROLLUPS_DIR)).expect("memory holds it");
    dir.create(&State::path()).and_then(|mut file| file.append(bytes)).expect("memory holds it");
    let state = State::read(&dir).expect("memory is read");
    if let Some(Ok(state)) = &state {
        state.write(&dir).expect("memory holds it");
        assert_eq!(State::read(&dir).expect("memory is read"), Some(Ok(state.clone())));
    }
    meta.is_ok() || matches!(state, Some(Ok(_)))
}

/// Rows of roll-ups, 32 bytes each: time and three values, served for every function.
pub fn roll_up(bytes: &[u8]) {
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let row = |chunk: &[u8]| {
        let value = |idx: usize| f64::from_bits(word(&chunk[idx * 8..idx * 8 + 8]));
        (word(&chunk[..8]) as i64, [value(1), value(2), value(3)])
    };
    let mut rows: Vec<(i64, [f64; 3])> = bytes.chunks_exact(32).take(ROWS_MAX).map(row).collect();
    rows.sort_by_key(|(end_ms, _)| *end_ms);
    rows.dedup_by_key(|(end_ms, _)| *end_ms);
    for range_ms in [0, 1, 7_000] {
        fuzz_serve(&rows, INTERVAL_MS, range_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::payloads_of;
    use model::{Exemplar, Labels};
    use proptest::prelude::*;
    use storage::Appendable;

    /// The logs of a store that has some of everything, as [`log`] takes them.
    fn real_logs() -> Vec<u8> {
        let dir = MemDir::new();
        let (db, _) = Db::open(Arc::new(dir.clone()), Options::default(), 0).unwrap();
        let labels = |idx: usize| Labels::from_pairs([("__name__", "x"), ("idx", &*idx.to_string())]);
        let mut appender = db.appender(0);
        let (group, columns) = appender.add_columns(None, &[labels(0), labels(1), labels(2)]).unwrap();
        assert!(columns.iter().all(Result::is_ok));
        appender.append_row(group, 1_000, &[(0, 1.0), (1, 0.1), (2, f64::INFINITY)]).unwrap();
        appender.append_row_starts(group, 1_000, &[(0, 10)]).unwrap();
        appender.commit().unwrap();
        for step in 2..9 {
            let mut appender = db.appender(0);
            appender.append_row(group, step * 1_000, &[(1, 0.1 * step as f64)]).unwrap();
            appender.append(None, &labels(3), step * 900, 0.5 * step as f64).unwrap();
            appender.append(None, &labels(0), step * 900 - 450, 7.0).unwrap();
            let histogram = model::Histogram { count: 3.0, sum: 1.5, ..model::Histogram::default() };
            appender.append_histogram(None, &labels(4), step * 1_000, 5, &histogram).unwrap();
            let exemplar = Exemplar { labels: labels(9), value: 0.5, t_ms: step };
            appender.append_exemplar(None, &labels(3), &exemplar).unwrap();
            appender.commit().unwrap();
        }
        // The series goes to another group, which says something else than the late sample.
        let mut appender = db.appender(0);
        appender.append(None, &labels(1), 9_000, 3.0).unwrap();
        appender.commit().unwrap();
        let mut appender = db.appender(0);
        let (group, _) = appender.add_columns(None, &[labels(1)]).unwrap();
        appender.append_row(group, 9_000, &[(0, 4.0)]).unwrap();
        appender.commit().unwrap();
        let mut out = Vec::new();
        for (which, log) in [(0, Log::Series), (1, Log::Rows)] {
            for payload in payloads_of(&dir.read(&log.segment_path(1)).unwrap()) {
                out.push(which);
                out.extend_from_slice(&(payload.len() as u16).to_le_bytes());
                out.extend_from_slice(payload);
            }
        }
        out
    }

    #[test]
    fn real_files_are_read_whole() {
        assert_eq!(log(&real_logs()), 46);
        assert!(meta(&serde_json::to_vec(&State::at(5)).unwrap()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn damaged_logs_are_read_or_refused(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
            is_cut in any::<bool>(),
        ) {
            static REAL: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(real_logs);
            let mut bytes = REAL.clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if is_cut {
                bytes.remove(cut.index(bytes.len()));
            }
            let _ = log(&bytes);
        }

        #[test]
        fn any_rows_of_roll_ups_are_served(
            rows in proptest::collection::vec((any::<u64>(), any::<[u64; 3]>()), 0..6),
            near in any::<bool>(),
        ) {
            let bytes: Vec<u8> = rows.iter().flat_map(|(t_ms, values)| {
                let t_ms = if near { t_ms % 100_000 } else { *t_ms };
                [t_ms].into_iter().chain(*values).flat_map(u64::to_le_bytes)
            }).collect();
            roll_up(&bytes);
        }
    }
}
