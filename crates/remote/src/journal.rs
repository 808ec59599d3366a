//! The late journal: samples that were committed behind the horizon, in the order of their commits, and the horizon itself.
//!
//! In from commits, as a [`Follower`]; out to `read`, record by record. Layout: docs/formats/remote-write.md. A journal that cannot be written
//! does not hold up what comes in: it says so, and counts what is lost.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use model::Labels;
use parking_lot::Mutex;
use stdx::metrics::{Counter, Gauge, Registry};
use stdx::{Dir, File};
use storage::{Behind, BehindValue, Followed, Follower};
use wire::remote_write::{self, HashSecret, Sample, TimeSeries};

use crate::RemoteError;
use crate::position::Mark;

const MAGIC: [u8; 4] = *b"HRWL";
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 8;
/// Length and checksum before each payload.
const FRAME_BYTES: u64 = 8;
/// A payload, compressed. From the wire's limit of what it is when it is not.
const PAYLOAD_BYTES_MAX: usize = remote_write::DECODED_BYTES_MAX;
/// After which another segment is begun. Chosen: so much stays behind at most when all is sent.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Of all segments. Chosen: some hundred million late samples.
const JOURNAL_BYTES_MAX: u64 = 4 << 30;
/// Samples of one record. Chosen: far below the limit of bytes with any labels that are taken.
const RECORD_SAMPLES: usize = 2_000;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: Arc<dyn Dir>,
    horizon_ms: AtomicI64,
    wants_exemplars: AtomicBool,
    state: Mutex<State>,
    /// From where each queue still needs it.
    needed: Mutex<HashMap<String, Mark>>,
    secret: HashSecret,
    lost: Arc<Counter>,
    bytes: Arc<Gauge>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of each segment that is there.
    segments: BTreeMap<u64, u64>,
    /// The segment that is written; not there before its first record.
    number: u64,
    file: Option<Box<dyn File>>,
    is_dirty: bool,
}

impl State {
    fn end(&self) -> Mark {
        Mark { segment: self.number, offset_bytes: self.segments.get(&self.number).copied().unwrap_or(0) }
    }
}

fn path_of(number: u64) -> PathBuf {
    PathBuf::from(format!("late-{number:08}"))
}

pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> RemoteError {
    let path = path.display().to_string();
    move |source| RemoteError::Io { action, path, source }
}

impl Journal {
    /// The journal in `dir`, which may not be there yet. Writing begins behind segment `last_known`.
    pub(crate) fn open(dir: Arc<dyn Dir>, last_known: u64, registry: &Registry) -> Result<Self, RemoteError> {
        let mut segments = BTreeMap::new();
        let root = Path::new("");
        if dir.exists(root) {
            for entry in dir.list(root).map_err(io("list", root))? {
                let number = entry.name.strip_prefix("late-").and_then(|number| number.parse::<u64>().ok());
                if let Some(number) =
                    number.filter(|number| entry.name == path_of(*number).display().to_string())
                {
                    segments.insert(number, entry.len_bytes);
                }
            }
        }
        let last = segments.keys().next_back().copied().unwrap_or(0).max(last_known);
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let journal = Self {
            dir,
            horizon_ms: AtomicI64::new(i64::MIN),
            wants_exemplars: AtomicBool::new(false),
            state: Mutex::new(State { segments, number: last + 1, file: None, is_dirty: false }),
            needed: Mutex::default(),
            // For symbols of records that we wrote ourselves.
            secret: HashSecret::new(|| {
                seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                seed
            }),
            lost: registry.counter(
                "hinomi_remote_write_late_lost_total",
                "Late samples that could not be kept for remote write: the disk refused, or their journal was full.",
            ),
            bytes: registry.gauge(
                "hinomi_remote_write_late_bytes",
                "Size of the journal of late samples that wait for remote write.",
            ),
        };
        journal.note_size(&journal.state.lock());
        Ok(journal)
    }

    fn note_size(&self, state: &State) {
        self.bytes.set(state.segments.values().sum::<u64>() as f64);
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> Mark {
        self.state.lock().end()
    }

    /// Raises the horizon to `to_ms`, if it is lower; returns horizon and end as they are at one moment between two commits.
    pub(crate) fn raise(&self, store: &dyn Followed, to_ms: i64) -> (i64, Mark) {
        let mut found = (to_ms, Mark::default());
        store.between_commits(&mut || {
            let horizon_ms = self.horizon_ms.load(Ordering::Acquire).max(to_ms);
            self.horizon_ms.store(horizon_ms, Ordering::Release);
            found = (horizon_ms, self.end());
        });
        found
    }

    /// Nobody reads any more: nothing is handed over, and what is there goes.
    pub(crate) fn shut(&self, store: &dyn Followed) {
        store.between_commits(&mut || self.horizon_ms.store(i64::MIN, Ordering::Release));
        self.needed.lock().clear();
        self.trim();
    }

    pub(crate) fn want_exemplars(&self, wanted: bool) {
        self.wants_exemplars.store(wanted, Ordering::Release);
    }

    /// The queue `key` needs it from `mark` on; `None` when the queue is gone.
    pub(crate) fn need(&self, key: &str, mark: Option<Mark>) {
        match mark {
            Some(mark) => drop(self.needed.lock().insert(key.to_owned(), mark)),
            None => drop(self.needed.lock().remove(key)),
        }
    }

    /// Removes segments that nobody needs.
    pub(crate) fn trim(&self) {
        let needed = self.needed.lock().values().min().copied();
        let mut state = self.state.lock();
        let first = needed.map_or(state.number, |mark| mark.segment);
        let old: Vec<u64> = state.segments.range(..first).map(|(number, _)| *number).collect();
        for number in old {
            if number != state.number {
                self.remove(&mut state, number);
            }
        }
    }

    /// A file that cannot be removed is no harm: the next start finds it again.
    fn remove(&self, state: &mut State, number: u64) {
        let _ = self.dir.remove_file(&path_of(number));
        state.segments.remove(&number);
        self.note_size(state);
    }

    /// Makes what was written survive power loss.
    pub(crate) fn sync(&self) -> Result<(), RemoteError> {
        let number = {
            let mut state = self.state.lock();
            if !std::mem::take(&mut state.is_dirty) {
                return Ok(());
            }
            state.number
        };
        let path = path_of(number);
        // A handle of its own, so that commits go on meanwhile.
        let synced = self.dir.open(&path).and_then(|mut file| file.sync());
        synced.map_err(io("sync", &path))
    }

    fn write(&self, payloads: &[Vec<u8>]) -> Result<(), RemoteError> {
        let mut state = self.state.lock();
        for payload in payloads {
            let mut frame = Vec::with_capacity(payload.len() + FRAME_BYTES as usize);
            frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            frame.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
            frame.extend_from_slice(payload);
            if let Err(err) = self.append(&mut state, &frame) {
                // What its tail holds is not known: behind it nothing would be found again.
                state.file = None;
                state.number += 1;
                return Err(err);
            }
            state.is_dirty = true;
        }
        self.note_size(&state);
        Ok(())
    }

    fn append(&self, state: &mut State, frame: &[u8]) -> Result<(), RemoteError> {
        let is_full = state.end().offset_bytes >= SEGMENT_BYTES;
        if is_full {
            (state.file, state.number) = (None, state.number + 1);
            while state.segments.values().sum::<u64>() > JOURNAL_BYTES_MAX {
                let Some(oldest) = state.segments.keys().next().copied() else { break };
                self.lost.add(self.count(oldest));
                tracing::error!(
                    segment = oldest,
                    "the journal of late samples is full, its oldest part is lost for remote write"
                );
                self.remove(state, oldest);
            }
        }
        let path = path_of(state.number);
        if state.file.is_none() {
            self.dir.create_dir_all(Path::new("")).map_err(io("create", Path::new("remote-write")))?;
            let mut file = self.dir.create(&path).map_err(io("create", &path))?;
            let header = [MAGIC, VERSION.to_le_bytes()].concat();
            file.append(&header).map_err(io("write", &path))?;
            self.dir.sync_dir(Path::new("")).map_err(io("sync", Path::new("remote-write")))?;
            state.segments.insert(state.number, HEADER_BYTES);
            state.file = Some(file);
        }
        let file = state.file.as_mut().expect("made above");
        file.append(frame).map_err(io("write", &path))?;
        *state.segments.entry(state.number).or_default() += frame.len() as u64;
        Ok(())
    }

    /// Samples in a segment.
    fn count(&self, number: u64) -> u64 {
        let (mut n_samples, mut at) = (0, Mark { segment: number, offset_bytes: 0 });
        let to = Mark { segment: number + 1, offset_bytes: 0 };
        let mut reader = Reader::new(self);
        while let Ok(Some(series)) = reader.next_in(&mut at, to, &[number]) {
            n_samples +=
                series.iter().map(|one| (one.samples.len() + one.histograms.len()) as u64).sum::<u64>();
        }
        n_samples
    }
}

/// Walks over records.
pub(crate) struct Reader<'a> {
    journal: &'a Journal,
    open: Option<(u64, Box<dyn File>)>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(journal: &'a Journal) -> Self {
        Self { journal, open: None }
    }

    /// The next record in `at..to`, and `at` behind it; `None` at `to`.
    ///
    /// # Errors
    /// When the disk refuses. A record that is broken ends its segment.
    pub(crate) fn next(&mut self, at: &mut Mark, to: Mark) -> Result<Option<Vec<TimeSeries>>, RemoteError> {
        let there: Vec<u64> = self.journal.state.lock().segments.keys().copied().collect();
        self.next_in(at, to, &there)
    }

    fn next_in(
        &mut self,
        at: &mut Mark,
        to: Mark,
        there: &[u64],
    ) -> Result<Option<Vec<TimeSeries>>, RemoteError> {
        while *at < to {
            if there.binary_search(&at.segment).is_ok()
                && let Some(payload) = self.payload(at)?
            {
                match self.decode(&payload) {
                    Ok(series) => return Ok(Some(series)),
                    Err(err) => {
                        tracing::error!(segment = at.segment, error = %err, "a record of late samples is damaged and left out");
                        continue;
                    }
                }
            }
            let next = there.iter().copied().find(|number| *number > at.segment).unwrap_or(u64::MAX);
            let next = Mark { segment: next, offset_bytes: 0 };
            *at = if next < to { next } else { to };
        }
        Ok(None)
    }

    /// `None` when the segment has no further record.
    fn payload(&mut self, at: &mut Mark) -> Result<Option<Vec<u8>>, RemoteError> {
        let path = path_of(at.segment);
        if self.open.as_ref().is_none_or(|(number, _)| *number != at.segment) {
            let file = self.journal.dir.open(&path).map_err(io("open", &path))?;
            self.open = Some((at.segment, file));
        }
        let Some((_, file)) = &self.open else { return Ok(None) };
        if at.offset_bytes < HEADER_BYTES {
            let mut header = [0; HEADER_BYTES as usize];
            let n_bytes = file.read_at(&mut header, 0).map_err(io("read", &path))?;
            if n_bytes < header.len() || header[..4] != MAGIC || header[4..] != VERSION.to_le_bytes() {
                return Ok(None);
            }
            at.offset_bytes = HEADER_BYTES;
        }
        let mut frame = [0; FRAME_BYTES as usize];
        if file.read_at(&mut frame, at.offset_bytes).map_err(io("read", &path))? < frame.len() {
            return Ok(None);
        }
        let [a, b, c, d, sum @ ..] = frame;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        if len > PAYLOAD_BYTES_MAX {
            return Ok(None);
        }
        let mut payload = vec![0; len];
        let n_bytes = file.read_at(&mut payload, at.offset_bytes + FRAME_BYTES).map_err(io("read", &path))?;
        if n_bytes < len || crc32c::crc32c(&payload) != u32::from_le_bytes(sum) {
            return Ok(None);
        }
        at.offset_bytes += FRAME_BYTES + len as u64;
        Ok(Some(payload))
    }

    fn decode(&self, payload: &[u8]) -> Result<Vec<TimeSeries>, remote_write::DecodeError> {
        let mut buffer = Vec::new();
        remote_write::decode_v2(remote_write::decompress(payload, &mut buffer)?, &self.journal.secret)
    }
}

impl Follower for Journal {
    fn horizon_ms(&self) -> i64 {
        self.horizon_ms.load(Ordering::Acquire)
    }

    fn wants_exemplars(&self) -> bool {
        self.wants_exemplars.load(Ordering::Acquire)
    }

    fn take(&self, behind: Vec<Behind>) {
        let n_samples = behind.len() as u64;
        let payloads: Vec<Vec<u8>> = behind
            .chunks(RECORD_SAMPLES)
            .map(|part| remote_write::compress(&remote_write::encode_v2(&by_series(part))))
            .collect();
        if let Err(err) = self.write(&payloads) {
            self.lost.add(n_samples);
            let source = std::error::Error::source(&err).map(ToString::to_string).unwrap_or_default();
            tracing::error!(error = %err, source, n_samples, "late samples are stored, and lost for remote write");
        }
    }
}

/// Gathers samples under their series, which stay in the order of their first.
fn by_series(behind: &[Behind]) -> Vec<TimeSeries> {
    let mut all: Vec<TimeSeries> = Vec::new();
    let mut places: HashMap<&Labels, usize> = HashMap::new();
    for sample in behind {
        let idx = *places.entry(&sample.labels).or_insert_with(|| {
            all.push(TimeSeries { labels: sample.labels.clone(), ..TimeSeries::default() });
            all.len() - 1
        });
        let (series, t_ms, start_ms) = (&mut all[idx], sample.t_ms, sample.start_ms);
        match &sample.value {
            BehindValue::Float(value) => series.samples.push(Sample { t_ms, start_ms, value: *value }),
            BehindValue::Histogram(histogram) => {
                series.histograms.push((t_ms, start_ms, (**histogram).clone()));
            }
            BehindValue::Exemplar(exemplar) => series.exemplars.push(exemplar.clone()),
        }
    }
    for series in &mut all {
        series.samples.sort_by_key(|sample| sample.t_ms);
        series.histograms.sort_by_key(|(t_ms, ..)| *t_ms);
    }
    all
}
