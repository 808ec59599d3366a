//! The three requests of Kafka's protocol that a producer needs, and their answers.
//!
//! Versions are those that every broker since 2.1 (2018) speaks, 4.x among them: Metadata 4, InitProducerId 1, Produce 7.
//! Integers are big-endian. Answers come from outside: none may panic or make us hold more than it brings.
//! Layout: kafka.apache.org/protocol.

use super::config::Acks;
use super::failure::Code;

/// How long the broker may wait for replicas. From Alertmanager's producer.
pub(super) const PRODUCE_TIMEOUT_MS: i32 = 10_000;
/// Of transactions, which we have none of; brokers want a number.
const TRANSACTION_TIMEOUT_MS: i32 = 60_000;

/// What is asked for: its number, and its version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Api(i16, i16);

pub(super) const PRODUCE: Api = Api(0, 7);
pub(super) const METADATA: Api = Api(3, 4);
pub(super) const INIT_PRODUCER: Api = Api(22, 1);

/// The whole request with its length before it.
pub(super) fn frame(api: Api, correlation: i32, client_id: &str, body: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(16 + client_id.len());
    head.extend(api.0.to_be_bytes());
    head.extend(api.1.to_be_bytes());
    head.extend(correlation.to_be_bytes());
    put_text(&mut head, client_id);
    let length = i32::try_from(head.len() + body.len()).expect("batches are far below 2 GiB");
    [&length.to_be_bytes()[..], &head, body].concat()
}

/// Texts of the configuration are cut at what the protocol can say.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(i16::MAX as usize)];
    out.extend((bytes.len() as i16).to_be_bytes());
    out.extend(bytes);
}

/// Who leads the partitions of a topic; does not make the topic.
pub(super) fn ask_metadata(topic: &str) -> Vec<u8> {
    let mut body = 1i32.to_be_bytes().to_vec();
    put_text(&mut body, topic);
    body.push(0);
    body
}

/// A number under which attempts are told apart.
pub(super) fn ask_producer() -> Vec<u8> {
    [&(-1i16).to_be_bytes()[..], &TRANSACTION_TIMEOUT_MS.to_be_bytes()].concat()
}

/// One batch for one partition.
pub(super) fn ask_produce(acks: Acks, topic: &str, partition: i32, batch: &[u8]) -> Vec<u8> {
    let acks: i16 = match acks {
        Acks::None => 0,
        Acks::Leader => 1,
        Acks::All => -1,
    };
    let mut body = Vec::with_capacity(batch.len() + topic.len() + 32);
    body.extend((-1i16).to_be_bytes());
    body.extend(acks.to_be_bytes());
    body.extend(PRODUCE_TIMEOUT_MS.to_be_bytes());
    body.extend(1i32.to_be_bytes());
    put_text(&mut body, topic);
    body.extend(1i32.to_be_bytes());
    body.extend(partition.to_be_bytes());
    body.extend(i32::try_from(batch.len()).expect("batches are far below 2 GiB").to_be_bytes());
    body.extend(batch);
    body
}

/// Of a topic: how many partitions it has, and where the leader of each listens, where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Metadata {
    pub(super) topic: Code,
    pub(super) leaders: Vec<Leader>,
}

/// Of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leader {
    pub(super) partition: i32,
    pub(super) listens: Option<(String, u16)>,
}

/// `None` where the answer is not what the protocol says.
pub(super) fn read_metadata(mut answer: &[u8]) -> Option<Metadata> {
    let from = &mut answer;
    i32_of(from)?;
    let n_brokers = i32_of(from)?;
    let mut brokers = Vec::new();
    for _ in 0..n_brokers {
        let node = i32_of(from)?;
        let host = text_of(from)?.to_owned();
        let port = u16::try_from(i32_of(from)?).ok()?;
        text_of(from)?;
        brokers.push((node, (host, port)));
    }
    text_of(from)?;
    i32_of(from)?;
    let mut metadata = Metadata::default();
    for _ in 0..i32_of(from)? {
        metadata.topic = Code(i16_of(from)?);
        text_of(from)?;
        take::<1>(from)?;
        for _ in 0..i32_of(from)? {
            i16_of(from)?;
            let (partition, leader) = (i32_of(from)?, i32_of(from)?);
            skip_numbers(from)?;
            skip_numbers(from)?;
            let listens = brokers.iter().find(|(node, _)| *node == leader).map(|(_, at)| at.clone());
            metadata.leaders.push(Leader { partition, listens });
        }
    }
    metadata.leaders.sort_unstable_by_key(|leader| leader.partition);
    Some(metadata)
}

/// Under which attempts are told apart: the number, and which use of it this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProducerId {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// `None` where the answer is not what the protocol says.
pub(super) fn read_producer(mut answer: &[u8]) -> Option<(Code, ProducerId)> {
    let from = &mut answer;
    i32_of(from)?;
    let code = Code(i16_of(from)?);
    Some((code, ProducerId { id: i64_of(from)?, epoch: i16_of(from)? }))
}

/// What became of the one batch; `None` where the answer is not what the protocol says.
pub(super) fn read_produce(mut answer: &[u8]) -> Option<Code> {
    let from = &mut answer;
    let mut code = None;
    for _ in 0..i32_of(from)? {
        text_of(from)?;
        for _ in 0..i32_of(from)? {
            i32_of(from)?;
            code = Some(Code(i16_of(from)?));
            take::<24>(from)?;
        }
    }
    code
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*bytes)
}

fn i16_of(from: &mut &[u8]) -> Option<i16> {
    take(from).map(i16::from_be_bytes)
}

fn i32_of(from: &mut &[u8]) -> Option<i32> {
    take(from).map(i32::from_be_bytes)
}

fn i64_of(from: &mut &[u8]) -> Option<i64> {
    take(from).map(i64::from_be_bytes)
}

/// One that is not there is empty.
fn text_of<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(i16_of(from)?.max(0)).ok()?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    std::str::from_utf8(bytes).ok()
}

fn skip_numbers(from: &mut &[u8]) -> Option<()> {
    let bytes = usize::try_from(i32_of(from)?.max(0)).ok()?.checked_mul(4)?;
    *from = from.get(bytes..)?;
    Some(())
}

/// Reads `bytes` as each of the answers. For the fuzzer.
#[must_use]
pub fn read_any(bytes: &[u8]) -> bool {
    read_metadata(bytes).is_some() | read_producer(bytes).is_some() | read_produce(bytes).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker `h:9` of number 7, a topic `t` with two partitions: the second has no leader.
    fn metadata() -> Vec<u8> {
        let mut answer = Vec::new();
        answer.extend([0, 0, 0, 0, 0, 0, 0, 1]);
        answer.extend([0, 0, 0, 7, 0, 1, b'h', 0, 0, 0, 9, 0xff, 0xff]);
        answer.extend([0xff, 0xff, 0, 0, 0, 7]);
        answer.extend([0, 0, 0, 1, 0, 0, 0, 1, b't', 0, 0, 0, 0, 2]);
        answer.extend([0, 5, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
        answer.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 7]);
        answer
    }

    #[test]
    fn the_leader_of_a_partition_is_found() {
        let expected = Metadata {
            topic: Code(0),
            leaders: vec![
                Leader { partition: 0, listens: Some(("h".to_owned(), 9)) },
                Leader { partition: 1, listens: None },
            ],
        };
        assert_eq!(read_metadata(&metadata()), Some(expected));
        for end in 0..metadata().len() {
            assert_eq!(read_metadata(&metadata()[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for at in 0..metadata().len() {
            for byte in [0x7f, 0x80, 0xff] {
                let mut answer = metadata();
                answer[at] = byte;
                let _ = read_any(&answer);
            }
        }
    }

    #[test]
    fn frames_have_a_head() {
        let frame = frame(METADATA, 5, "c", &ask_metadata("t"));
        let expected = [0, 0, 0, 19, 0, 3, 0, 4, 0, 0, 0, 5, 0, 1, b'c', 0, 0, 0, 1, 0, 1, b't', 0];
        assert_eq!(frame[..4], [0, 0, 0, 19]);
        assert_eq!(frame, expected);
    }
}
