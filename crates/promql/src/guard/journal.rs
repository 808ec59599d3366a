//! The file that says which queries run, for the next start after a crash. Layout: docs/formats/queries-active.md.
//!
//! In from the registry of running queries; out to one file by appending, never fsynced: it outlives the process, not the power.
//! A failed write ends the journal, never a query.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::labels::quoted;
use parking_lot::Mutex;
use stdx::{Dir, File};

/// Name of the file, Prometheus' own for the same purpose.
const FILE: &str = "queries.active";
/// Where a longer file is written anew. Chosen.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How much of a query's text is kept. From Prometheus.
const TEXT_BYTES_MAX: usize = 1_000;
/// Most bytes of an old file that are read. Chosen: the limit above, and room for a thousand queries at once.
const READ_BYTES_MAX: usize = 4 << 20;

#[derive(Debug)]
struct State {
    file: Option<Box<dyn File>>,
    len_bytes: u64,
    /// Lines of those that run.
    running: BTreeMap<u64, String>,
}

/// Writes down which queries run.
#[derive(Debug)]
pub(super) struct Journal {
    dir: Arc<dyn Dir>,
    state: Mutex<State>,
}

impl Journal {
    /// Begins a new file. Returns what the old one says of queries that did not end, oldest first.
    pub(super) fn open(dir: Arc<dyn Dir>) -> (Self, Vec<String>) {
        let old = dir.read(Path::new(FILE)).unwrap_or_default();
        let unfinished = unfinished(&old[..old.len().min(READ_BYTES_MAX)]);
        let file = dir.create(Path::new(FILE)).ok();
        let state = State { file, len_bytes: 0, running: BTreeMap::new() };
        (Self { dir, state: Mutex::new(state) }, unfinished)
    }

    pub(super) fn begin(&self, id: u64, started_at_ms: i64, text: &str) {
        let cut = text.floor_char_boundary(TEXT_BYTES_MAX);
        let line = format!("+{id} {started_at_ms} {}\n", quoted(&text[..cut]));
        let mut state = self.state.lock();
        state.append(&line);
        state.running.insert(id, line);
        if state.len_bytes > FILE_BYTES_MAX {
            state.file = self.dir.create(Path::new(FILE)).ok();
            state.len_bytes = 0;
            let all = state.running.values().map(String::as_str).collect::<String>();
            state.append(&all);
        }
    }

    pub(super) fn end(&self, id: u64) {
        let mut state = self.state.lock();
        state.running.remove(&id);
        state.append(&format!("-{id}\n"));
    }
}

impl State {
    fn append(&mut self, lines: &str) {
        self.len_bytes += lines.len() as u64;
        // After a failed write the tail is unknown; a journal that may lie is worse than none.
        if self.file.as_mut().is_some_and(|file| file.append(lines.as_bytes()).is_err()) {
            self.file = None;
        }
    }
}

/// `<start in ms> "<query>"` of each query that began and did not end. A torn last line does not count.
fn unfinished(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut running = BTreeMap::new();
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        if let Some((id, rest)) = line.strip_prefix('+').and_then(|line| line.split_once(' ')) {
            if let Ok(id) = id.parse::<u64>() {
                running.insert(id, rest.to_owned());
            }
        } else if let Some(Ok(id)) = line.strip_prefix('-').map(str::parse::<u64>) {
            running.remove(&id);
        }
    }
    running.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_end_is_found_at_the_next_start() {
        let dir: Arc<dyn Dir> = Arc::new(stdx::MemDir::new());
        let (journal, before) = Journal::open(Arc::clone(&dir));
        assert_eq!(before, Vec::<String>::new());
        journal.begin(1, 10, "up");
        journal.begin(2, 20, "sum(\n\"x\")");
        journal.end(1);
        let long = "x".repeat(TEXT_BYTES_MAX + 5);
        for id in 3..2_000 {
            journal.begin(id, 30, &long);
            journal.end(id);
        }
        assert!(dir.read(Path::new(FILE)).unwrap().len() < 2 * FILE_BYTES_MAX as usize);
        drop(journal);
        let (_, before) = Journal::open(Arc::clone(&dir));
        assert_eq!(before, ["20 \"sum(\\n\\\"x\\\")\""]);
        assert_eq!(Journal::open(dir).1, Vec::<String>::new());
    }

    #[test]
    fn any_bytes_are_read() {
        let check = |bytes: &[u8], expected: &[&str]| assert_eq!(unfinished(bytes), expected, "{bytes:?}");
        check(b"", &[]);
        check(b"+1 2 \"a\"\n+2 3 \"b", &["2 \"a\""]);
        check(b"-1\n+x 1\n\xff\n+\n-\n+3 \n", &[""]);
    }
}
