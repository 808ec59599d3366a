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
        }
        deserializer.deserialize_str(Reader)
    }
}

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
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(BodyPairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
