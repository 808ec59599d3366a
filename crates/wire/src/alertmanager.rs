//! Alertmanager's own data directory: the files `silences` and `nflog`, read message by message.
//!
//! In from disk; out as plain values, times in Unix milliseconds. Reads only: this program keeps a file of its own.
//! Each file is a run of protobuf messages, each after its length as a varint. Facts: `silencepb/silence.proto` and
//! `nflogpb/nflog.proto` of Alertmanager, and docs/formats/alertmanager-state.md.

use std::collections::BTreeMap;

use crate::remote_write::DecodeError;
use crate::remote_write::proto::{Field, Fields, Value};

/// Longest message, in bytes. From protobuf's own reader of such files, which Alertmanager uses.
const MESSAGE_BYTES_MAX: u64 = 4 << 20;

/// What a matcher asks of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchKind {
    /// `=`
    Equal,
    /// `=~`
    Regex,
    /// `!=`
    NotEqual,
    /// `!~`
    NotRegex,
}

/// One matcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireMatcher {
    /// What it asks.
    pub kind: MatchKind,
    /// The label's name.
    pub name: String,
    /// Its value or expression.
    pub pattern: String,
}

/// One silence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WireSilence {
    /// A UUID.
    pub id: String,
    /// All matchers of any one set must match.
    pub matcher_sets: Vec<Vec<WireMatcher>>,
    /// How many sets of matchers for receivers there are; no version of the API makes any.
    pub n_receiver_sets: usize,
    /// When it begins.
    pub starts_at_ms: i64,
    /// When it ends.
    pub ends_at_ms: i64,
    /// When it was changed last.
    pub updated_at_ms: i64,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Further notes.
    pub annotations: BTreeMap<String, String>,
}

/// One entry of the notification log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WireNotified {
    /// Route and group.
    pub group_key: String,
    /// The receiver's name.
    pub receiver: String,
    /// The kind of receiver.
    pub integration: String,
    /// Its place in the receiver's list of that kind.
    pub idx: u32,
    /// When it was told.
    pub sent_at_ms: i64,
    /// When the entry may be forgotten.
    pub expires_at_ms: i64,
    /// Hashes of the alerts that fired.
    pub firing: Vec<u64>,
    /// Hashes of those that were resolved.
    pub resolved: Vec<u64>,
    /// The receiver's notes; numbers as text.
    pub data: BTreeMap<String, String>,
}

/// The silences of a file, in its order; then the error that ended the reading, if one did.
#[must_use]
pub fn silences(bytes: &[u8]) -> (Vec<WireSilence>, Option<DecodeError>) {
    messages(bytes, silence)
}

/// The entries of a file of the notification log, as [`silences`].
#[must_use]
pub fn notified(bytes: &[u8]) -> (Vec<WireNotified>, Option<DecodeError>) {
    messages(bytes, entry)
}

fn messages<T>(mut bytes: &[u8], read: fn(&[u8]) -> Result<T, DecodeError>) -> (Vec<T>, Option<DecodeError>) {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        match next(&mut bytes).and_then(read) {
            Ok(one) => found.push(one),
            Err(err) => return (found, Some(err)),
        }
    }
    (found, None)
}

fn next<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let truncated = DecodeError::Truncated { message: "file" };
    let Some(len) = stdx::varint::get_u64(bytes).filter(|len| *len <= MESSAGE_BYTES_MAX) else {
        return Err(truncated);
    };
    let Some((message, rest)) = usize::try_from(len).ok().and_then(|len| bytes.split_at_checked(len)) else {
        return Err(truncated);
    };
    *bytes = rest;
    Ok(message)
}

/// Hands each field to `take`.
fn each(
    bytes: &[u8],
    message: &'static str,
    mut take: impl FnMut(&Field<'_>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut fields = Fields::new(bytes, message);
    while let Some(field) = fields.next()? {
        take(&field)?;
    }
    Ok(())
}

fn text(field: &Field<'_>) -> Result<String, DecodeError> {
    Ok(String::from_utf8_lossy(field.bytes()?).into_owned())
}

/// `google.protobuf.Timestamp` in milliseconds.
fn time(field: &Field<'_>) -> Result<i64, DecodeError> {
    let (mut secs, mut nanos) = (0i64, 0i64);
    each(field.bytes()?, "Timestamp", |field| {
        match field.number {
            1 => secs = field.int64()?,
            2 => nanos = field.int64()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(secs.saturating_mul(1_000).saturating_add(nanos / 1_000_000))
}

fn silence(bytes: &[u8]) -> Result<WireSilence, DecodeError> {
    let mut silence = None;
    each(bytes, "MeshSilence", |field| {
        if field.number == 1 {
            silence = Some(inner_silence(field.bytes()?)?);
        }
        Ok(())
    })?;
    silence.ok_or(DecodeError::Truncated { message: "MeshSilence" })
}

fn inner_silence(bytes: &[u8]) -> Result<WireSilence, DecodeError> {
    let mut silence = WireSilence::default();
    let mut only_set = Vec::new();
    each(bytes, "Silence", |field| {
        match field.number {
            1 => silence.id = text(field)?,
            2 => only_set.push(matcher(field.bytes()?)?),
            3 => silence.starts_at_ms = time(field)?,
            4 => silence.ends_at_ms = time(field)?,
            5 => silence.updated_at_ms = time(field)?,
            7 if silence.comment.is_empty() => old_comment(field.bytes()?, &mut silence)?,
            8 => silence.created_by = text(field)?,
            9 => silence.comment = text(field)?,
            10 => {
                let (name, value) = pair(field.bytes()?, text)?;
                silence.annotations.insert(name, value);
            }
            11 => silence.matcher_sets.push(matcher_set(field.bytes()?)?),
            12 => silence.n_receiver_sets += 1,
            _ => {}
        }
        Ok(())
    })?;
    // Field 2 repeats the first set for older readers; files of older writers have nothing else.
    if silence.matcher_sets.is_empty() && !only_set.is_empty() {
        silence.matcher_sets.push(only_set);
    }
    Ok(silence)
}

/// Before there was one comment there was a list: its first one counts.
fn old_comment(bytes: &[u8], silence: &mut WireSilence) -> Result<(), DecodeError> {
    each(bytes, "Comment", |field| {
        match field.number {
            1 => silence.created_by = text(field)?,
            2 => silence.comment = text(field)?,
            _ => {}
        }
        Ok(())
    })
}

fn matcher_set(bytes: &[u8]) -> Result<Vec<WireMatcher>, DecodeError> {
    let mut matchers = Vec::new();
    each(bytes, "MatcherSet", |field| {
        if field.number == 1 {
            matchers.push(matcher(field.bytes()?)?);
        }
        Ok(())
    })?;
    Ok(matchers)
}

fn matcher(bytes: &[u8]) -> Result<WireMatcher, DecodeError> {
    let mut matcher = WireMatcher { kind: MatchKind::Equal, name: String::new(), pattern: String::new() };
    each(bytes, "Matcher", |field| {
        match field.number {
            1 => {
                matcher.kind = match field.varint()? {
                    0 => MatchKind::Equal,
                    1 => MatchKind::Regex,
                    2 => MatchKind::NotEqual,
                    3 => MatchKind::NotRegex,
                    kind => {
                        return Err(DecodeError::WrongKind {
                            message: "Matcher",
                            number: 1,
                            kind: kind as u8,
                        });
                    }
                };
            }
            2 => matcher.name = text(field)?,
            3 => matcher.pattern = text(field)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(matcher)
}

/// An entry of a map whose keys are texts.
fn pair(
    bytes: &[u8],
    value_of: fn(&Field<'_>) -> Result<String, DecodeError>,
) -> Result<(String, String), DecodeError> {
    let (mut name, mut value) = (String::new(), String::new());
    each(bytes, "map", |field| {
        match field.number {
            1 => name = text(field)?,
            2 => value = value_of(field)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((name, value))
}

fn entry(bytes: &[u8]) -> Result<WireNotified, DecodeError> {
    let mut entry = WireNotified::default();
    let mut is_whole = false;
    each(bytes, "MeshEntry", |field| {
        match field.number {
            1 => is_whole = inner_entry(field.bytes()?, &mut entry)?,
            2 => entry.expires_at_ms = time(field)?,
            _ => {}
        }
        Ok(())
    })?;
    if is_whole { Ok(entry) } else { Err(DecodeError::Truncated { message: "MeshEntry" }) }
}

/// Whether it names a receiver, without which it is about nobody.
fn inner_entry(bytes: &[u8], entry: &mut WireNotified) -> Result<bool, DecodeError> {
    let mut has_receiver = false;
    each(bytes, "Entry", |field| {
        match field.number {
            1 => entry.group_key = text(field)?,
            2 => {
                has_receiver = true;
                receiver(field.bytes()?, entry)?;
            }
            5 => entry.sent_at_ms = time(field)?,
            6 => field.repeated_varint(|hash| entry.firing.push(hash))?,
            7 => field.repeated_varint(|hash| entry.resolved.push(hash))?,
            8 => {
                let (name, value) = pair(field.bytes()?, note)?;
                entry.data.insert(name, value);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(has_receiver)
}

fn receiver(bytes: &[u8], entry: &mut WireNotified) -> Result<(), DecodeError> {
    each(bytes, "Receiver", |field| {
        match field.number {
            1 => entry.receiver = text(field)?,
            2 => entry.integration = text(field)?,
            3 => entry.idx = field.uint32()?,
            _ => {}
        }
        Ok(())
    })
}

/// `ReceiverDataValue`: a text or a number.
fn note(field: &Field<'_>) -> Result<String, DecodeError> {
    let mut value = String::new();
    each(field.bytes()?, "ReceiverDataValue", |field| {
        value = match (field.number, field.value) {
            (1, _) => text(field)?,
            (2, _) => field.int64()?.to_string(),
            (3, Value::Fixed64(_)) => field.double()?.to_string(),
            _ => return Ok(()),
        };
        Ok(())
    })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stdx::varint::{put_bytes, put_u64};

    fn bytes_field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
        put_u64(out, number << 3 | 2);
        put_bytes(out, bytes);
    }

    fn int_field(out: &mut Vec<u8>, number: u64, value: u64) {
        put_u64(out, number << 3);
        put_u64(out, value);
    }

    fn message(build: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        build(&mut out);
        out
    }

    fn stamp(secs: u64, nanos: u64) -> Vec<u8> {
        message(|out| {
            int_field(out, 1, secs);
            int_field(out, 2, nanos);
        })
    }

    fn file(messages: &[Vec<u8>]) -> Vec<u8> {
        message(|out| messages.iter().for_each(|message| put_bytes(out, message)))
    }

    fn mesh_silence(more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let matcher = |kind, name: &str, pattern: &str| {
            message(|out| {
                int_field(out, 1, kind);
                bytes_field(out, 2, name.as_bytes());
                bytes_field(out, 3, pattern.as_bytes());
            })
        };
        let silence = message(|out| {
            bytes_field(out, 1, b"an-id");
            bytes_field(out, 2, &matcher(0, "a", "1"));
            bytes_field(out, 2, &matcher(3, "b", "x.*"));
            bytes_field(out, 3, &stamp(1_000, 500_000_000));
            bytes_field(out, 4, &stamp(2_000, 0));
            bytes_field(out, 8, b"me");
            bytes_field(out, 9, "理由".as_bytes());
            more(out);
        });
        message(|out| bytes_field(out, 1, &silence))
    }

    #[test]
    fn a_file_of_silences_is_read_message_by_message() {
        let one = mesh_silence(|_| {});
        let sets = mesh_silence(|out| {
            let empty = message(|out| bytes_field(out, 1, &message(|out| bytes_field(out, 2, b"c"))));
            bytes_field(out, 11, &empty);
            bytes_field(out, 11, &empty);
            bytes_field(out, 12, b"");
        });
        let (silences, err) = silences(&file(&[one, sets]));
        assert_eq!((silences.len(), err), (2, None));
        let first = &silences[0];
        assert_eq!(
            (first.starts_at_ms, first.ends_at_ms, first.comment.as_str()),
            (1_000_500, 2_000_000, "理由")
        );
        assert_eq!(first.matcher_sets.len(), 1);
        assert_eq!(first.matcher_sets[0][1].kind, MatchKind::NotRegex);
        assert_eq!((silences[1].matcher_sets.len(), silences[1].n_receiver_sets), (2, 1));
    }

    #[test]
    fn what_stands_before_damage_is_kept() {
        let check = |cut: usize, expected: usize| {
            let bytes = file(&[mesh_silence(|_| {}), mesh_silence(|_| {})]);
            let (found, err) = silences(&bytes[..bytes.len() - cut]);
            assert_eq!((found.len(), err.is_some()), (expected, cut > 0), "{cut}");
        };
        check(0, 2);
        check(1, 1);
        check(60, 1);
        assert!(silences(&[0xff; 20]).1.is_some());
        assert!(silences(&file(&[Vec::new()])).1.is_some(), "a silence without a silence");
    }

    #[test]
    fn an_entry_says_whom_and_what() {
        let entry = message(|out| {
            bytes_field(out, 1, b"{}:{}");
            bytes_field(
                out,
                2,
                &message(|out| {
                    bytes_field(out, 1, b"ops");
                    bytes_field(out, 2, b"webhook");
                    int_field(out, 3, 2);
                }),
            );
            bytes_field(out, 5, &stamp(10, 0));
            // Packed, as Go writes it.
            bytes_field(out, 6, &message(|out| [7, u64::MAX].iter().for_each(|hash| put_u64(out, *hash))));
            int_field(out, 7, 9);
            let note = message(|out| {
                bytes_field(out, 1, b"n");
                bytes_field(out, 2, &message(|out| int_field(out, 2, 5)));
            });
            bytes_field(out, 8, &note);
        });
        let mesh = message(|out| {
            bytes_field(out, 1, &entry);
            bytes_field(out, 2, &stamp(99, 0));
        });
        let (entries, err) = notified(&file(&[mesh]));
        let expected = WireNotified {
            group_key: "{}:{}".to_owned(),
            receiver: "ops".to_owned(),
            integration: "webhook".to_owned(),
            idx: 2,
            sent_at_ms: 10_000,
            expires_at_ms: 99_000,
            firing: vec![7, u64::MAX],
            resolved: vec![9],
            data: BTreeMap::from([("n".to_owned(), "5".to_owned())]),
        };
        assert_eq!((entries.as_slice(), err), (&[expected][..], None));
    }
}
