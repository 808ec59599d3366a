//! A file of samples with timestamps, read piece by piece; each piece becomes a few blocks. Exemplars and what the file says of families go
//! beside them.
//!
//! A block's source is a hash of its piece, so that a second run over the same file passes over what is there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use model::{Exemplar, Labels, LabelsBuilder, Metadata, MetricType};
use stdx::{Dir, File};
use storage::{Series, VecSeriesSet};
use wire::exposition::{Entry, Format, Parser};

use super::{Ended, Import, OnItem};

/// Bytes of a piece. Chosen: with its samples sorted it takes some 150 MB of memory.
const PIECE_BYTES: usize = 16 << 20;
/// Blocks of a piece have a day, or more where a piece spans many days.
const BLOCK_MS: i64 = 24 * 60 * 60 * 1000;
/// Blocks of one piece at most. Chosen: a file sorted by series spans all of its time in every piece.
const BLOCKS_MAX: i64 = 8;
/// What OpenMetrics ends with.
const EOF: &[u8] = b"# EOF\n";

/// What is in a piece.
#[derive(Default)]
struct Piece {
    samples: BTreeMap<Labels, BTreeMap<i64, f64>>,
    exemplars: Vec<(Labels, Exemplar)>,
    families: BTreeMap<String, Metadata>,
}

/// Takes in a file.
pub(super) fn run(import: &Import<'_>, files: &Arc<dyn Dir>, on_item: &mut OnItem<'_>) -> Result<Ended> {
    run_pieces(import, &**files, PIECE_BYTES, on_item)
}

fn run_pieces(
    import: &Import<'_>,
    files: &dyn Dir,
    piece_bytes: usize,
    on_item: &mut OnItem<'_>,
) -> Result<Ended> {
    let (path, tracker) = (import.path, import.tracker);
    let shown = path.display();
    let file = files.open(path).with_context(|| format!("cannot read {shown}"))?;
    let len = file.len().with_context(|| format!("cannot read {shown}"))?;
    let n_pieces = len.div_ceil(piece_bytes as u64).max(1);
    tracker.update(|numbers| {
        numbers.bytes = len;
        numbers.n_items = n_pieces;
        numbers.current = shown.to_string();
    });
    let is_text = path.extension().is_some_and(|end| end == "prom");
    let format = if is_text { Format::Text004 } else { Format::OpenMetrics100 };
    let (mut at, mut n_lines, mut open_type) = (0, 0, MetricType::default());
    loop {
        if tracker.is_stopped() {
            return Ok(Ended::Stopped);
        }
        let (mut piece, is_last) =
            next_piece(&*file, at, len, piece_bytes).map_err(|why| anyhow::anyhow!("{shown}: {why}"))?;
        at += piece.len() as u64;
        let n_lines_of_piece = piece.iter().filter(|byte| **byte == b'\n').count();
        // The same file with other labels is another source.
        let hash = import.labels.iter().fold(fnv(&piece), |hash, (name, value)| {
            hash.rotate_left(1) ^ fnv(format!("{name}\0{value}").as_bytes())
        });
        if !is_last && !is_text {
            piece.extend_from_slice(EOF);
        }
        let found = read(&piece, format, import.labels, n_lines, &mut open_type)
            .map_err(|why| anyhow::anyhow!("{shown}: {why}"))?;
        drop(piece);
        n_lines += n_lines_of_piece;
        let percent = (at * 100).checked_div(len).unwrap_or(100);
        let line = write(import, found, hash)?;
        tracker.item("", at, on_item, &format!("{percent} % read: {line}"))?;
        if is_last {
            tracker.update(|numbers| numbers.n_items = numbers.n_done);
            return Ok(Ended::Whole);
        }
    }
}

/// From `at` to the end of a line.
fn next_piece(file: &dyn File, at: u64, len: u64, piece_bytes: usize) -> Result<(Vec<u8>, bool), String> {
    let want = (len - at.min(len)).min(piece_bytes as u64) as usize;
    let mut piece = vec![0; want];
    let n_read = file.read_at(&mut piece, at).map_err(|err| err.to_string())?;
    if n_read < want {
        return Err("the file became shorter while it was read".to_owned());
    }
    if at + n_read as u64 == len {
        return Ok((piece, true));
    }
    let end = piece.iter().rposition(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| format!("a line is longer than {piece_bytes} bytes, at byte {at}"))?;
    piece.truncate(end + 1);
    // What follows may be nothing but the end mark, which is a piece of its own then.
    Ok((piece, false))
}

/// What is in a piece, whose first line has `n_lines` before it. `open_type` is that of the last family begun so far: it says how `le` is
/// written.
fn read(
    bytes: &[u8],
    format: Format,
    more: &[(String, String)],
    n_lines: usize,
    open_type: &mut MetricType,
) -> Result<Piece, String> {
    let mut piece = Piece::default();
    let mut builder = LabelsBuilder::new();
    let mut parser = Parser::new(bytes, format);
    let placed = |mut err: wire::exposition::ParseError| {
        err.line += n_lines;
        err.to_string()
    };
    while let Some(entry) = parser.next_entry().map_err(placed)? {
        let Entry::Sample(mut sample) = entry else {
            hear(&mut piece.families, entry, open_type);
            continue;
        };
        // The line with its type may be in the piece before.
        sample.metric_type = *open_type;
        let t_ms = sample
            .t_ms
            .ok_or_else(|| format!("{} has no timestamp: backfill needs one for each sample", sample.raw))?;
        sample.fill_labels(&mut builder).map_err(placed)?;
        for (name, value) in more {
            builder.set(name, value);
        }
        let labels = builder.build();
        if let Some(exemplar) = &sample.exemplar {
            exemplar.fill_labels(&mut builder).map_err(placed)?;
            let (value, t_ms) = (exemplar.value, exemplar.t_ms.unwrap_or(t_ms));
            piece.exemplars.push((labels.clone(), Exemplar { labels: builder.build(), value, t_ms }));
        }
        let of_series = piece.samples.entry(labels).or_default();
        let before = of_series.insert(t_ms, sample.value);
        if before.is_some_and(|before| before.to_bits() != sample.value.to_bits()) {
            return Err(format!("{} has two values at {t_ms} ms", sample.raw));
        }
    }
    Ok(piece)
}

/// Takes note of what a line says of a family.
fn hear(families: &mut BTreeMap<String, Metadata>, entry: Entry<'_>, open_type: &mut MetricType) {
    let mut said = |name: Cow<'_, str>, tell: &mut dyn FnMut(&mut Metadata)| {
        tell(families.entry(name.into_owned()).or_default());
    };
    match entry {
        Entry::Type { name, metric_type } => {
            *open_type = metric_type;
            said(name, &mut |one| one.metric_type = metric_type);
        }
        Entry::Help { name, text } => said(name, &mut |one| text.as_ref().clone_into(&mut one.help)),
        Entry::Unit { name, unit } => said(name, &mut |one| unit.clone_into(&mut one.unit)),
        Entry::Sample(_) | Entry::Comment => {}
    }
}

/// Writes what is in a piece: its samples to blocks. Returns a line about it.
fn write(import: &Import<'_>, piece: Piece, hash: u64) -> Result<String> {
    let Piece { samples, exemplars, families } = piece;
    if !exemplars.is_empty() || !families.is_empty() {
        import.db.import_beside(&exemplars, &families)?;
        import.db.keep_families([])?;
    }
    let times = || samples.values().flat_map(|of_series| of_series.keys());
    let (Some(first_ms), Some(last_ms)) = (times().min().copied(), times().max().copied()) else {
        return Ok("no samples".to_owned());
    };
    let n_days = last_ms.div_euclid(BLOCK_MS) - first_ms.div_euclid(BLOCK_MS) + 1;
    let block_ms = BLOCK_MS * (n_days as u64).div_ceil(BLOCKS_MAX as u64) as i64;
    let mut blocks: BTreeMap<i64, Vec<Series>> = BTreeMap::new();
    for (labels, of_series) in samples {
        let mut parts: BTreeMap<i64, (Vec<i64>, Vec<f64>)> = BTreeMap::new();
        for (t_ms, value) in of_series {
            let (times, values) = parts.entry(t_ms.div_euclid(block_ms)).or_default();
            times.push(t_ms);
            values.push(value);
        }
        for (number, (times, values)) in parts {
            blocks.entry(number).or_default().push(Series::floats(labels.clone(), Arc::new(times), values));
        }
    }
    let (mut n_written, mut n_here) = (0u64, 0u64);
    let n_blocks = blocks.len();
    for (number, series) in blocks {
        let source = format!("openmetrics-{hash:016x}-{number}");
        let (n_series, n_samples): (u64, u64) =
            (series.len() as u64, series.iter().map(|one| one.values.len() as u64).sum());
        if import.is_here(&source) {
            n_here += n_samples;
            continue;
        }
        import.db.import(&source, &mut VecSeriesSet::new(series))?;
        n_written += n_samples;
        import.tracker.update(|numbers| {
            numbers.n_series += n_series;
            numbers.n_samples += n_samples;
        });
    }
    if n_here > 0 {
        import.tracker.update(|numbers| numbers.n_here += 1);
    }
    let here = if n_here > 0 { format!(", {n_here} here already") } else { String::new() };
    Ok(format!("{n_written} samples in {n_blocks} blocks{here}"))
}

/// FNV-1a: sources need to differ, not to withstand attack.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Whether `path` can be a file to import.
pub(super) fn check(files: &dyn Dir, path: &Path) -> Result<(), String> {
    match files.open(path) {
        Ok(_) => Ok(()),
        Err(err) => Err(format!("cannot read {}: {err}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stdx::MemDir;
    use storage::{Queryable as _, SelectHints};
    use tsdb::{Db, Options};

    use super::super::{Kind, Tracker};
    use super::*;

    #[test]
    fn samples_must_have_times_and_one_value_each() {
        let samples = read(
            b"a 1 86400.5\na{x=\"1\"} 2 86399\na 3 10\n# EOF\n",
            Format::OpenMetrics100,
            &[],
            0,
            &mut MetricType::default(),
        )
        .unwrap()
        .samples;
        assert_eq!(samples.values().map(BTreeMap::len).collect::<Vec<_>>(), [2, 1]);
        let refused = |text: &str| {
            read(text.as_bytes(), Format::Text004, &[], 7, &mut MetricType::default()).err().unwrap()
        };
        assert!(refused("a 1\n").contains("no timestamp"));
        assert!(refused("a 1 5\na 2 5\n").contains("two values"));
        assert!(refused("a 1 5\n\na {\n").starts_with("line 10"), "{}", refused("a 1 5\n\na {\n"));
    }

    #[test]
    fn pieces_of_any_size_give_the_same_samples_and_a_second_run_none() {
        let files = MemDir::new();
        let path = Path::new("in.om");
        let mut text = "# TYPE a gauge\n".to_owned();
        for step in 0..100 {
            text += &format!("a{{s=\"{}\"}} {step} {}\n", step % 3, 1_700_000_000 + step * 7_200);
        }
        text += "# EOF\n";
        files.create(path).unwrap().append(text.as_bytes()).unwrap();
        let content = |db: &Db| {
            let mut set = db.select(&[], model::TimeRange::ALL, &SelectHints::default()).unwrap();
            let mut out = Vec::new();
            while let Some(series) = set.next().unwrap() {
                out.extend(series.timestamps.iter().copied().zip(series.values.iter().map(|v| v.to_bits())));
            }
            out
        };
        let mut whole = Vec::new();
        for piece_bytes in [1 << 20, 1_000, 64, 40] {
            let (db, _) = Db::open(Arc::new(MemDir::new()), Options::default(), 0).unwrap();
            let (done, tracker) = (BTreeSet::new(), Tracker::default());
            let import = Import {
                db: &db,
                kind: Kind::OpenMetrics,
                path,
                labels: &[],
                done: &done,
                tracker: &tracker,
            };
            assert_eq!(run_pieces(&import, &files, piece_bytes, &mut |_, _| Ok(())).unwrap(), Ended::Whole);
            assert_eq!(tracker.numbers().n_samples, 100, "{piece_bytes}");
            let found = content(&db);
            assert_eq!(found.len(), 100);
            if whole.is_empty() {
                whole = found;
            } else {
                assert_eq!(found, whole, "{piece_bytes}");
            }
            let again = Tracker::default();
            let import = Import { tracker: &again, ..import };
            run_pieces(&import, &files, piece_bytes, &mut |_, _| Ok(())).unwrap();
            assert_eq!((again.numbers().n_samples, again.numbers().bytes_done), (0, text.len() as u64));
        }
        let (db, _) = Db::open(Arc::new(MemDir::new()), Options::default(), 0).unwrap();
        let (done, tracker) = (BTreeSet::new(), Tracker::default());
        let import =
            Import { db: &db, kind: Kind::OpenMetrics, path, labels: &[], done: &done, tracker: &tracker };
        let err = run_pieces(&import, &files, 20, &mut |_, _| Ok(())).unwrap_err().to_string();
        assert!(err.contains("a line is longer than 20 bytes"), "{err}");
        tracker.stop();
        assert_eq!(run_pieces(&import, &files, 100, &mut |_, _| Ok(())).unwrap(), Ended::Stopped);
    }
}
