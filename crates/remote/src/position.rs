//! Where a queue is: pure values, and their bytes on disk (docs/formats/remote-write.md).
//!
//! In from `driver` after each slice of work; out to a file, and back from it at start. Bytes from disk are not trusted.

use model::Labels;
use stdx::varint;

const MAGIC: [u8; 4] = *b"HRWP";
const VERSION: u32 = 1;
/// Labels of a series in a position. Chosen: what remote write takes.
const LABELS_MAX: u64 = 4_096;

/// A place in the late journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Mark {
    pub(crate) segment: u64,
    pub(crate) offset_bytes: u64,
}

/// What has been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// Everything up to this time, in Unix milliseconds, but for what the journal has behind `mark`.
    pub(crate) done_ms: i64,
    pub(crate) mark: Mark,
    /// What is under way.
    pub(crate) step: Option<Step>,
    /// What the journal has before this mark, up to this time, was sent already, ahead of its turn. Not on disk: after a restart it is
    /// sent again.
    pub(crate) ahead: Option<(Mark, i64)>,
}

/// From a position to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) to_ms: i64,
    pub(crate) to_mark: Mark,
    pub(crate) at: At,
    /// Up to which mark behind `to_mark` the journal's samples of times before the step were sent with it. Not on disk.
    pub(crate) ahead: Option<Mark>,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// Within the journal.
    Late(Mark),
    /// Within the store's window, behind this series.
    Window(Option<Labels>),
}

impl Position {
    /// Takes note of what was sent: up to `at`, or the whole step.
    pub(crate) fn reach(&mut self, at: Option<At>, ahead: Option<Mark>) {
        match (at, &mut self.step) {
            (Some(at), Some(step)) => (step.at, step.ahead) = (at, ahead),
            (None, Some(step)) => {
                self.ahead = ahead.map(|mark| (mark, self.done_ms));
                (self.done_ms, self.mark) = (step.to_ms, step.to_mark);
                self.step = None;
            }
            (_, None) => {}
        }
    }

    /// The latest time that was chosen, sent or not.
    pub(crate) fn horizon_ms(&self) -> i64 {
        self.step.as_ref().map_or(self.done_ms, |step| step.to_ms.max(self.done_ms))
    }

    /// The last segment of the journal that this knows of.
    pub(crate) fn last_segment(&self) -> u64 {
        self.step.as_ref().map_or(self.mark.segment, |step| step.to_mark.segment.max(self.mark.segment))
    }

    pub(crate) fn encode(&self, key: &str) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        varint::put_bytes(&mut out, key.as_bytes());
        varint::put_i64(&mut out, self.done_ms);
        put_mark(&mut out, self.mark);
        match &self.step {
            None => out.push(0),
            Some(step) => {
                out.push(if matches!(step.at, At::Late(_)) { 1 } else { 2 });
                varint::put_i64(&mut out, step.to_ms);
                put_mark(&mut out, step.to_mark);
                match &step.at {
                    At::Late(mark) => put_mark(&mut out, *mark),
                    At::Window(None) => out.push(0),
                    At::Window(Some(labels)) => {
                        out.push(1);
                        varint::put_u64(&mut out, labels.len() as u64);
                        for (name, value) in labels {
                            varint::put_bytes(&mut out, name.as_bytes());
                            varint::put_bytes(&mut out, value.as_bytes());
                        }
                    }
                }
            }
        }
        let sum = crc32c::crc32c(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// The key and the position.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(String, Self), &'static str> {
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or("too short")?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*sum) {
            return Err("its checksum is wrong");
        }
        let (head, mut src) = body.split_first_chunk::<8>().ok_or("too short")?;
        if head[..4] != MAGIC {
            return Err("it is no position");
        }
        if head[4..] != VERSION.to_le_bytes() {
            return Err("written by another version of this program");
        }
        let src = &mut src;
        let key = text(src)?.to_owned();
        let (done_ms, mark) = (number(src)?, get_mark(src)?);
        let kind = byte(src)?;
        let step = match kind {
            0 => None,
            1 | 2 => {
                let (to_ms, to_mark) = (number(src)?, get_mark(src)?);
                let at = if kind == 1 { At::Late(get_mark(src)?) } else { At::Window(get_labels(src)?) };
                Some(Step { to_ms, to_mark, at, ahead: None })
            }
            _ => return Err("unknown kind of step"),
        };
        if src.is_empty() {
            Ok((key, Self { done_ms, mark, step, ahead: None }))
        } else {
            Err("bytes after its end")
        }
    }
}

const SHORT: &str = "it ends early";

fn put_mark(out: &mut Vec<u8>, mark: Mark) {
    varint::put_u64(out, mark.segment);
    varint::put_u64(out, mark.offset_bytes);
}

fn byte(src: &mut &[u8]) -> Result<u8, &'static str> {
    let (first, rest) = src.split_first().ok_or(SHORT)?;
    *src = rest;
    Ok(*first)
}

fn number(src: &mut &[u8]) -> Result<i64, &'static str> {
    varint::get_i64(src).ok_or(SHORT)
}

fn get_mark(src: &mut &[u8]) -> Result<Mark, &'static str> {
    let segment = varint::get_u64(src).ok_or(SHORT)?;
    Ok(Mark { segment, offset_bytes: varint::get_u64(src).ok_or(SHORT)? })
}

fn text<'a>(src: &mut &'a [u8]) -> Result<&'a str, &'static str> {
    std::str::from_utf8(varint::get_bytes(src).ok_or(SHORT)?).map_err(|_| "a text is not UTF-8")
}

fn get_labels(src: &mut &[u8]) -> Result<Option<Labels>, &'static str> {
    if byte(src)? == 0 {
        return Ok(None);
    }
    let n_pairs = varint::get_u64(src).filter(|n| *n <= LABELS_MAX).ok_or(SHORT)?;
    let pairs = (0..n_pairs).map(|_| Ok((text(src)?, text(src)?)));
    Ok(Some(Labels::from_pairs(pairs.collect::<Result<Vec<_>, &'static str>>()?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marks() -> impl Strategy<Value = Mark> {
        (any::<u64>(), any::<u64>()).prop_map(|(segment, offset_bytes)| Mark { segment, offset_bytes })
    }

    fn positions() -> impl Strategy<Value = Position> {
        let labels = proptest::collection::btree_map("[a-z]{1,4}", "\\PC{1,6}", 0..4);
        let at = prop_oneof![
            marks().prop_map(At::Late),
            Just(At::Window(None)),
            labels.prop_map(|pairs| At::Window(Some(Labels::from_pairs(pairs)))),
        ];
        let step = (any::<i64>(), marks(), at).prop_map(|(to_ms, to_mark, at)| Step {
            to_ms,
            to_mark,
            at,
            ahead: None,
        });
        (any::<i64>(), marks(), proptest::option::of(step)).prop_map(|(done_ms, mark, step)| Position {
            ahead: None,
            done_ms,
            mark,
            step,
        })
    }

    proptest! {
        #[test]
        fn positions_come_back(position in positions(), key in "\\PC{0,20}") {
            prop_assert_eq!(Position::decode(&position.encode(&key)), Ok((key, position)));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, position in positions(), at: usize, byte: u8) {
            let _ = Position::decode(&bytes);
            let mut bytes = position.encode("k");
            let at = at % bytes.len();
            let changed = bytes[at] != byte;
            bytes[at] = byte;
            prop_assert_eq!(Position::decode(&bytes).is_err(), changed);
            // Past the checksum, too.
            let n = bytes.len() - 4;
            let sum = crc32c::crc32c(&bytes[..n]).to_le_bytes();
            bytes[n..].copy_from_slice(&sum);
            let _ = Position::decode(&bytes);
        }
    }
}
