//! Record batches, version 2: what a broker stores and consumers read.
//!
//! Layout: kafka.apache.org/documentation/#recordbatch. Integers are big-endian, those of records zigzag varints.

use std::io::Write as _;

use stdx::varint;

use super::config::Compression;
use super::wire::ProducerId;

/// Of the format.
const MAGIC: u8 = 2;
/// From Kafka's own producer; the codecs' usual ones.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// One event on its way: the value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at_ms: i64,
    pub(super) value: Vec<u8>,
}

/// Under which number a batch is stored once, however often it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    pub(super) producer: ProducerId,
    /// The number of its first record.
    pub(super) first: i32,
}

impl Sequence {
    /// That of a producer that stores what it is sent.
    pub(super) const NONE: Self = Self { producer: ProducerId { id: -1, epoch: -1 }, first: -1 };

    /// Goes on by what was stored; behind the largest comes zero, as brokers expect.
    pub(super) fn advance(&mut self, n_records: usize) {
        let next = (i64::from(self.first) + n_records as i64) % (i64::from(i32::MAX) + 1);
        self.first = i32::try_from(next).expect("below 2^31");
    }
}

/// The batch of these events, all under `key`.
pub(super) fn batch(key: &[u8], events: &[Event], packed: Compression, sequence: Sequence) -> Vec<u8> {
    let start_ms = events.first().map_or(0, |event| event.at_ms);
    let last_ms = events.iter().map(|event| event.at_ms).max().unwrap_or(start_ms);
    let records = pack(records(key, events, start_ms), packed);
    let n_records = i32::try_from(events.len()).expect("few");

    let mut body = Vec::with_capacity(records.len() + 64);
    body.extend((packed as i16).to_be_bytes());
    body.extend((n_records - 1).to_be_bytes());
    body.extend(start_ms.to_be_bytes());
    body.extend(last_ms.to_be_bytes());
    body.extend(sequence.producer.id.to_be_bytes());
    body.extend(sequence.producer.epoch.to_be_bytes());
    body.extend(sequence.first.to_be_bytes());
    body.extend(n_records.to_be_bytes());
    body.extend(records);

    // Behind the length: the leader's epoch, the version, the sum of what follows.
    let length = i32::try_from(4 + 1 + 4 + body.len()).expect("batches are far below 2 GiB");
    let mut batch = Vec::with_capacity(body.len() + 21);
    batch.extend(0i64.to_be_bytes());
    batch.extend(length.to_be_bytes());
    batch.extend((-1i32).to_be_bytes());
    batch.push(MAGIC);
    batch.extend(crc32c::crc32c(&body).to_be_bytes());
    batch.extend(body);
    batch
}

fn records(key: &[u8], events: &[Event], start_ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut record = Vec::new();
    for (idx, event) in events.iter().enumerate() {
        record.clear();
        record.push(0);
        varint::put_i64(&mut record, event.at_ms - start_ms);
        varint::put_i64(&mut record, idx as i64);
        for bytes in [key, &event.value] {
            varint::put_i64(&mut record, bytes.len() as i64);
            record.extend(bytes);
        }
        // No headers.
        varint::put_i64(&mut record, 0);
        varint::put_i64(&mut out, record.len() as i64);
        out.extend(&record);
    }
    out
}

fn pack(records: Vec<u8>, packed: Compression) -> Vec<u8> {
    const IN_MEMORY: &str = "writing to memory does not fail";
    match packed {
        Compression::None => records,
        Compression::Gzip => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
            out.write_all(&records).expect(IN_MEMORY);
            out.finish().expect(IN_MEMORY)
        }
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(&records).expect("below 4 GiB"),
        Compression::Lz4 => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(&records).expect(IN_MEMORY);
            out.finish().expect(IN_MEMORY)
        }
        Compression::Zstd => zstd::bulk::compress(&records, ZSTD_LEVEL).expect(IN_MEMORY),
    }
}

/// The partition that a key belongs to, as every Kafka client has it by default.
pub(super) fn partition_of(key: &[u8], n_partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % n_partitions.max(1)
}

/// MurmurHash2 with Kafka's seed: org.apache.kafka.common.utils.Utils.
fn murmur2(bytes: &[u8]) -> u32 {
    const FACTOR: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let (fours, rest) = bytes.as_chunks::<4>();
    for four in fours {
        let mut word = u32::from_le_bytes(*four).wrapping_mul(FACTOR);
        word ^= word >> 24;
        hash = hash.wrapping_mul(FACTOR) ^ word.wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        for (idx, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * idx);
        }
        hash = hash.wrapping_mul(FACTOR);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the tests of Kafka's own client.
    #[test]
    fn keys_go_where_other_clients_put_them() {
        let check = |key: &str, expected: i32| assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key}");
        check("21", -973_932_308);
        check("foobar", -790_332_482);
        check("a-little-bit-long-string", -985_981_536);
        check("a-little-bit-longer-string", -1_486_304_829);
        check("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971);
        assert_eq!(partition_of(b"foobar", 0), 0, "of none there is a first one");
    }

    #[test]
    fn a_batch_has_the_layout_of_version_two() {
        let events =
            [Event { at_ms: 1_000, value: b"a".to_vec() }, Event { at_ms: 1_003, value: b"bc".to_vec() }];
        let sequence = Sequence { producer: ProducerId { id: 5, epoch: 1 }, first: 7 };
        let batch = batch(b"k", &events, Compression::None, sequence);
        assert_eq!(batch[..17], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 68, 255, 255, 255, 255, 2]);
        assert_eq!(batch[17..21], crc32c::crc32c(&batch[21..]).to_be_bytes());
        assert_eq!(batch[21..27], [0, 0, 0, 0, 0, 1], "not packed; the last one is number one");
        assert_eq!(batch[27..43], [0, 0, 0, 0, 0, 0, 3, 232, 0, 0, 0, 0, 0, 0, 3, 235]);
        assert_eq!(batch[43..61], [0, 0, 0, 0, 0, 0, 0, 5, 0, 1, 0, 0, 0, 7, 0, 0, 0, 2]);
        assert_eq!(
            batch[61..],
            [16, 0, 0, 0, 2, b'k', 2, b'a', 0, 18, 0, 6, 2, 2, b'k', 4, b'b', b'c', 0],
            "each with its length, time, number, key, value, and no headers"
        );
        assert_eq!(batch.len(), 12 + 68);
    }
}
