//! Parts of bodies that are read and written where they are, without copies in between: an answer may hold 100,000 alerts, and
//! thousands are reported each second.

use std::borrow::Cow;
use std::fmt;

use model::Labels;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::alert::Fingerprint;
use crate::time::api_rfc3339;

/// Labels as an object, by name.
#[derive(Debug)]
pub(super) struct LabelMap<'a>(pub(super) &'a Labels);

impl Serialize for LabelMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0)
    }
}

/// A time in the API's form; Unix milliseconds inside.
#[derive(Debug)]
pub(super) struct Time(pub(super) i64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&api_rfc3339(self.0))
    }
}

/// Values as texts, one by one or in a list.
#[derive(Debug)]
pub(super) struct Texts<'a, T>(pub(super) &'a [T]);

impl<T: fmt::Display> Serialize for Texts<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Text))
    }
}

struct Text<'a, T>(&'a T);

impl<T: fmt::Display> Serialize for Text<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// A fingerprint as text.
pub(super) fn fingerprint<S: Serializer>(value: &Fingerprint, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Labels as [`LabelMap`], where they are owned.
pub(super) fn labels<S: Serializer>(value: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    LabelMap(value).serialize(serializer)
}

/// A text of a body; borrowed unless it has escapes.
#[derive(Debug)]
pub(super) struct BodyText<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for BodyText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = BodyText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(BodyText(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(BodyText(Cow::Owned(text.to_owned())))
            }

            fn visit_borrowed_bytes<E>(self, text: &'de [u8]) -> Result<Self::Value, E> {
                Ok(BodyText(readable(text)))
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<Self::Value, E> {
                Ok(BodyText(Cow::Owned(readable(text).into_owned())))
            }
        }
        // As bytes: one broken letter in an annotation is no reason to lose a batch of alerts.
        deserializer.deserialize_bytes(Reader)
    }
}

/// The text itself, or with a replacement character (U+FFFD) for each byte that is no UTF-8 and for each half of a UTF-16 pair
/// that stands alone, as Go reads JSON.
fn readable(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let (mut text, mut rest) = (String::new(), bytes);
    while !rest.is_empty() {
        let valid = rest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        text.push_str(valid);
        rest = &rest[valid.len()..];
        let n_broken = match rest {
            [] => break,
            // The reader of JSON writes a lone half, `\ud800`, as three bytes that begin with ED and go on beyond 9F.
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
            _ => 1,
        };
        text.push(char::REPLACEMENT_CHARACTER);
        rest = &rest[n_broken..];
    }
    Cow::Owned(text)
}

/// Makes a type of optional fields readable from an object whose keys count in any case of letters, as Go reads them (`generatorUrl`).
/// Other keys are passed over; of a key that is there twice the last one counts.
macro_rules! read_in_any_case {
    ($type:ident $(<$life:lifetime>)? { $($key:literal => $field:ident,)* }) => {
        impl<'de> serde::Deserialize<'de> for $type $(<$life>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;
                impl<'de> serde::de::Visitor<'de> for Reader {
                    type Value = $type $(<$life>)?;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut read = Self::Value::default();
                        while let Some($crate::api_v2::json::BodyText(key)) = map.next_key()? {
                            match &*key {
                                $(key if key.eq_ignore_ascii_case($key) => read.$field = map.next_value()?,)*
                                _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
                            }
                        }
                        Ok(read)
                    }
                }
                deserializer.deserialize_map(Reader)
            }
        }
    };
}
pub(super) use read_in_any_case;

/// The pairs of an object, in its order.
#[derive(Debug, Default)]
pub(super) struct BodyPairs<'a>(pub(super) Vec<(BodyText<'a>, BodyText<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for BodyPairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = BodyPairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                // A value that is `null` is empty, as Go reads it.
                while let Some((name, value)) = map.next_entry::<_, Option<_>>()? {
                    pairs.push((name, value.unwrap_or(BodyText(Cow::Borrowed("")))));
                }
                Ok(BodyPairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_letters_are_replaced_as_go_does() {
        let check = |json: &[u8], expected: &str| {
            let read: BodyText<'_> = serde_json::from_slice(json).expect("a string");
            assert_eq!(read.0, expected, "{json:?}");
        };
        check(b"\"plain\"", "plain");
        check(b"\"a\\n\\u00e9\"", "a\n\u{e9}");
        check(b"\"a\\ud800b\"", "a\u{fffd}b");
        check(b"\"\\ud83d\\ude00\"", "\u{1f600}");
        check(b"\"\\udc00\\ud800\"", "\u{fffd}\u{fffd}");
        check(b"\"a\xff\xfeb\"", "a\u{fffd}\u{fffd}b");
        check(b"\"\xe2\x82\"", "\u{fffd}\u{fffd}");
        assert!(serde_json::from_slice::<BodyText<'_>>(b"[97]").is_err());
        assert!(serde_json::from_slice::<BodyText<'_>>(b"1").is_err());
    }
}
