//! DNS messages (RFC 1035, 2782, 3596, 6891): a question out, answers in.
//!
//! In from [`crate::kinds::dns`]; bytes from the network never panic and never make it loop. Only what discovery asks for
//! is understood; everything else is skipped.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Size of an answer over UDP that we say we take, in bytes. From RFC 6891's advice.
pub const UDP_BYTES_MAX: usize = 4096;
/// Length of a name as written, in bytes. RFC 1035 §2.3.4.
const NAME_BYTES_MAX: usize = 255;
/// Pointers followed within one name; each must go backwards, and a name has at most so many labels.
const POINTERS_MAX: usize = 127;

/// No error.
pub const RCODE_SUCCESS: u8 = 0;
/// The name does not exist.
pub const RCODE_NAME_ERROR: u8 = 3;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
#[expect(missing_docs, reason = "named as in the RFCs")]
pub enum RecordType {
    A = 1,
    Ns = 2,
    Mx = 15,
    Aaaa = 28,
    Srv = 33,
}

/// One record of an answer. Names end in a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the RFCs")]
pub enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Ns(String),
    Mx(String),
    Srv {
        target: String,
        port: u16,
    },
    /// A type that we do not ask for, such as the alias before an address.
    Other,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Of the question.
    pub id: u16,
    /// How it went.
    pub rcode: u8,
    /// Whether it did not fit, and is to be asked for over TCP.
    pub is_truncated: bool,
    /// The answers, as many as could be read.
    pub answers: Vec<Record>,
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer of the name server cannot be read: {0}")]
pub struct MessageError(&'static str);

/// A question for `name` (with or without the dot at its end).
///
/// # Errors
/// When it is not a name: a label is empty or longer than 63 bytes, or all is longer than 255.
pub fn question(
    id: u16,
    name: &str,
    record_type: RecordType,
    with_edns: bool,
) -> Result<Vec<u8>, MessageError> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&id.to_be_bytes());
    // Recursion desired; one question, no answers, no authorities, and the size we take as an additional record.
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(with_edns)]);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > NAME_BYTES_MAX - 2 {
        return Err(MessageError("the name is longer than 255 bytes"));
    }
    for label in name.split('.').filter(|_| !name.is_empty()) {
        match u8::try_from(label.len()) {
            Ok(n_bytes @ 1..=63) => out.push(n_bytes),
            _ => return Err(MessageError("a label of the name is empty or longer than 63 bytes")),
        }
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&(record_type as u16).to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    if with_edns {
        let [high, low] = u16::try_from(UDP_BYTES_MAX).expect("fits").to_be_bytes();
        out.extend_from_slice(&[0, 0, 41, high, low, 0, 0, 0, 0, 0, 0]);
    }
    Ok(out)
}

/// Reads an answer.
///
/// # Errors
/// When it ends early or a name in it makes no sense.
pub fn parse(bytes: &[u8]) -> Result<Message, MessageError> {
    let mut reader = Reader { bytes, at: 0 };
    let id = reader.u16()?;
    let flags = reader.u16()?;
    if flags & 0x8000 == 0 {
        return Err(MessageError("it is a question"));
    }
    let (n_questions, n_answers) = (reader.u16()?, reader.u16()?);
    reader.skip(4)?;
    let mut message =
        Message { id, rcode: (flags & 0xf) as u8, is_truncated: flags & 0x0200 != 0, answers: Vec::new() };
    if message.is_truncated {
        return Ok(message);
    }
    for _ in 0..n_questions {
        reader.name()?;
        reader.skip(4)?;
    }
    for _ in 0..n_answers {
        reader.name()?;
        let kind = reader.u16()?;
        reader.skip(6)?;
        let n_bytes = usize::from(reader.u16()?);
        let end = reader.at + n_bytes;
        if end > bytes.len() {
            return Err(MessageError("a record ends early"));
        }
        message.answers.push(record(&mut reader, kind, n_bytes)?);
        reader.at = end;
    }
    Ok(message)
}

fn record(reader: &mut Reader<'_>, kind: u16, n_bytes: usize) -> Result<Record, MessageError> {
    Ok(match kind {
        1 if n_bytes == 4 => Record::A(Ipv4Addr::from_bits(u32::from_be_bytes(reader.take()?))),
        28 if n_bytes == 16 => Record::Aaaa(Ipv6Addr::from_bits(u128::from_be_bytes(reader.take()?))),
        2 => Record::Ns(reader.name()?),
        15 => {
            reader.skip(2)?;
            Record::Mx(reader.name()?)
        }
        33 => {
            reader.skip(4)?;
            let port = reader.u16()?;
            Record::Srv { port, target: reader.name()? }
        }
        _ => Record::Other,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        self.at += N;
        found.copied().ok_or(MessageError("it ends early"))
    }

    fn u16(&mut self) -> Result<u16, MessageError> {
        self.take().map(u16::from_be_bytes)
    }

    fn skip(&mut self, n_bytes: usize) -> Result<(), MessageError> {
        self.at += n_bytes;
        if self.at > self.bytes.len() { Err(MessageError("it ends early")) } else { Ok(()) }
    }

    /// A name, with a dot at its end; what is no plain character is written `\DDD`.
    fn name(&mut self) -> Result<String, MessageError> {
        let mut name = String::new();
        let mut at = self.at;
        let mut after_first_pointer = None;
        let mut n_pointers = 0;
        let early = MessageError("a name ends early");
        loop {
            let length = usize::from(*self.bytes.get(at).ok_or(early)?);
            match length {
                0 => {
                    at += 1;
                    break;
                }
                1..=63 => {
                    let label = self.bytes.get(at + 1..at + 1 + length).ok_or(early)?;
                    push_label(&mut name, label);
                    if name.len() > 4 * NAME_BYTES_MAX {
                        return Err(MessageError("a name is longer than 255 bytes"));
                    }
                    at += 1 + length;
                }
                0xc0.. => {
                    let low = usize::from(*self.bytes.get(at + 1).ok_or(early)?);
                    let target = (length & 0x3f) << 8 | low;
                    n_pointers += 1;
                    if target >= at || n_pointers > POINTERS_MAX {
                        return Err(MessageError("a name points forward"));
                    }
                    after_first_pointer.get_or_insert(at + 2);
                    at = target;
                }
                _ => return Err(MessageError("a name has a label of unknown kind")),
            }
        }
        self.at = after_first_pointer.unwrap_or(at);
        if name.is_empty() {
            name.push('.');
        }
        Ok(name)
    }
}

fn push_label(name: &mut String, label: &[u8]) {
    for byte in label {
        match byte {
            b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                name.push('\\');
                name.push(char::from(*byte));
            }
            b'!'..=b'~' => name.push(char::from(*byte)),
            _ => name.push_str(&format!("\\{byte:03}")),
        }
    }
    name.push('.');
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes an answer to `question` with these records: type and data each. Names in data stand as they are.
    pub(crate) fn answer(question: &[u8], rcode: u8, records: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut out = question.to_vec();
        out[2] |= 0x80;
        out[3] = rcode;
        out[7] = u8::try_from(records.len()).unwrap();
        // The question's own additional record is left out.
        out[11] = 0;
        if question[11] == 1 {
            out.truncate(question.len() - 11);
        }
        for (kind, data) in records {
            // The name: a pointer to the question's.
            out.extend_from_slice(&[0xc0, 12]);
            out.extend_from_slice(&kind.to_be_bytes());
            out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            out.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            out.extend_from_slice(data);
        }
        out
    }

    #[test]
    fn answers_are_read_with_names_that_point_back() {
        let asked = question(7, "_x._tcp.example.org", RecordType::Srv, true).unwrap();
        let srv = [&[0, 1, 0, 2, 0x23, 0x8c, 2, b'h', b'1', 0xc0][..], &[12]].concat();
        let bytes = answer(
            &asked,
            0,
            &[
                (33, srv),
                (1, vec![10, 0, 0, 1]),
                (28, vec![0; 16]),
                (15, vec![0, 5, 1, b'm', 0]),
                (2, vec![0]),
                (5, vec![0xc0, 12]),
            ],
        );
        let message = parse(&bytes).unwrap();
        assert_eq!((message.id, message.rcode, message.is_truncated), (7, RCODE_SUCCESS, false));
        assert_eq!(
            message.answers,
            [
                Record::Srv { target: "h1._x._tcp.example.org.".to_owned(), port: 9100 },
                Record::A(Ipv4Addr::new(10, 0, 0, 1)),
                Record::Aaaa(Ipv6Addr::UNSPECIFIED),
                Record::Mx("m.".to_owned()),
                Record::Ns(".".to_owned()),
                Record::Other,
            ]
        );
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for name in ["a..b", &"x".repeat(64), &"x.".repeat(200), ".."] {
            assert!(question(1, name, RecordType::A, false).is_err(), "{name}");
        }
        assert_eq!(question(1, "a.", RecordType::A, false), question(1, "a", RecordType::A, false));
        let asked = question(1, "a", RecordType::A, false).unwrap();
        assert!(parse(&asked).is_err(), "a question is no answer");
        let looped = answer(&asked, 0, &[(2, vec![0xc0, 31])]);
        assert!(parse(&looped).is_err(), "a name that points to itself");
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer_or_an_error(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_broken_answer_ends_too(at in 0usize..80, byte: u8, cut in 0usize..80) {
            let asked = question(7, "a.example.org", RecordType::Mx, false).unwrap();
            let mut bytes = answer(&asked, 0, &[(15, vec![0, 1, 1, b'm', 0xc0, 12]), (1, vec![1, 2, 3, 4])]);
            if let Some(hit) = bytes.get_mut(at) {
                *hit = byte;
            }
            bytes.truncate(cut.max(1));
            let _ = parse(&bytes);
        }
    }
}
