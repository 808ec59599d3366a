//! For fuzzing: a block of any bytes, behind its checksums. Nothing here is used by a server.

use std::path::Path;
use std::sync::Arc;

use stdx::{Dir, MemDir, varint};

use crate::block::{BlockReader, sealed_index, sealed_tombstones};
use crate::bytes::put_crc;

/// Chunks of the one file they are in begin here.
const CHUNKS_HEADER: [u8; 8] = [0x85, 0xBD, 0x40, 0xDD, 1, 0, 0, 0];

/// Walks through a block made of `meta.json` (a good one when empty), symbols, one series' entry, one chunk with its encoding, and
/// tombstones. Returns how many samples were read; `None` when something was refused.
#[must_use]
pub fn fuzz_block(parts: [&[u8]; 5]) -> Option<usize> {
    let [meta, symbols, entry, chunk, tombstones] = parts;
    let good = br#"{"ulid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","minTime":0,"maxTime":1,"version":1}"#;
    let meta = if meta.is_empty() { &good[..] } else { meta };
    let mut chunks = CHUNKS_HEADER.to_vec();
    varint::put_u64(&mut chunks, chunk.len().saturating_sub(1) as u64);
    let from = chunks.len();
    chunks.extend_from_slice(chunk);
    put_crc(&mut chunks, from);
    let dir = MemDir::new();
    dir.create_dir_all(Path::new("b/chunks")).expect("memory holds it");
    let files = [
        ("b/meta.json", meta.to_vec()),
        ("b/index", sealed_index(symbols, entry)),
        ("b/chunks/000001", chunks),
        ("b/tombstones", sealed_tombstones(tombstones)),
    ];
    for (path, bytes) in files {
        dir.create(Path::new(path)).and_then(|mut file| file.append(&bytes)).expect("memory holds it");
    }
    let mut block = BlockReader::open(Arc::new(dir), Path::new("b")).ok()?;
    let mut n_samples = 0;
    while let Some(series) = block.next_series().ok()? {
        assert!(series.timestamps.is_sorted_by(|a, b| a < b), "what is handed on is in order");
        n_samples += series.values.len() + series.histograms.len();
    }
    Some(n_samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode_chunks;
    use model::Labels;
    use proptest::prelude::*;
    use storage::Series;

    const N_SAMPLES: usize = 40;

    /// Symbols, an entry of one series with one chunk, the chunk, tombstones.
    fn real() -> [Vec<u8>; 4] {
        let times: Vec<i64> = (0..N_SAMPLES as i64).map(|idx| idx * 1_000 + idx % 3).collect();
        let values = times.iter().map(|t_ms| (*t_ms as f64).sin()).collect();
        let chunk = encode_chunks(&Series::floats(Labels::empty(), Arc::new(times), values)).remove(0);
        let mut symbols = 3u32.to_be_bytes().to_vec();
        for text in ["", "__name__", "x"] {
            varint::put_bytes(&mut symbols, text.as_bytes());
        }
        // One label, one chunk: its first time, its length, where it is.
        let mut entry = vec![1, 1, 2, 1];
        varint::put_i64(&mut entry, chunk.min_ms);
        varint::put_u64(&mut entry, (chunk.max_ms - chunk.min_ms) as u64);
        varint::put_u64(&mut entry, CHUNKS_HEADER.len() as u64);
        // Of the series at 16 times one.
        let mut tombstones = Vec::new();
        varint::put_u64(&mut tombstones, 2);
        varint::put_i64(&mut tombstones, 5_000);
        varint::put_i64(&mut tombstones, 7_999);
        [symbols, entry, [&[chunk.encoding][..], &chunk.data].concat(), tombstones]
    }

    fn read(parts: &[Vec<u8>; 4]) -> Option<usize> {
        let [symbols, entry, chunk, tombstones] = parts;
        fuzz_block([b"", symbols, entry, chunk, tombstones])
    }

    #[test]
    fn a_good_block_is_read() {
        let mut parts = real();
        let deleted = read(&parts).unwrap();
        parts[3].clear();
        assert_eq!((read(&parts), deleted), (Some(N_SAMPLES), N_SAMPLES - 3));
        assert_eq!(fuzz_block([b"{}", b"", b"", b"", b""]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

        #[test]
        fn damaged_blocks_are_read_or_refused(
            changes in proptest::collection::vec((0usize..4, any::<prop::sample::Index>(), any::<u8>()), 1..5),
            cut in (0usize..4, any::<prop::sample::Index>()),
            is_cut in any::<bool>(),
        ) {
            let mut parts = real();
            for (part, at, byte) in changes {
                let at = at.index(parts[part].len());
                parts[part][at] = byte;
            }
            if is_cut {
                let part = &mut parts[cut.0];
                part.truncate(cut.1.index(part.len()));
            }
            let _ = read(&parts);
        }
    }
}
