//! JSON: 64-bit numbers may be text, doubles too, ids are hexadecimal, bytes base64. Keys that we do not know are stepped over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use super::{BUCKETS_MAX, MESSAGES_MAX, OtlpError, Request, Temporality};

/// Reads a request.
///
/// # Errors
/// When the text is no such JSON, or beyond a limit.
pub fn decode(text: &[u8]) -> Result<Request, OtlpError> {
    // Every message is an object, so that their number is known before memory is taken.
    if memchr::memchr2_iter(b'{', b'[', text).count() > MESSAGES_MAX {
        return Err(OtlpError::TooMany);
    }
    serde_json::from_slice(text).map_err(|err| OtlpError::Json(err.to_string()))
}

/// A number that may be written as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Unsigned(u64),
    Signed(i64),
    Double(f64),
    Text(String),
}

impl Loose {
    fn u64<E: serde::de::Error>(&self) -> Result<u64, E> {
        match self {
            Self::Unsigned(value) => Ok(*value),
            Self::Text(text) => {
                text.parse().map_err(|_| E::custom(format!("{text:?} is no unsigned integer")))
            }
            Self::Signed(_) | Self::Double(_) => Err(E::custom("an unsigned integer is wanted")),
        }
    }

    fn i64<E: serde::de::Error>(&self) -> Result<i64, E> {
        match self {
            Self::Unsigned(value) => i64::try_from(*value).map_err(E::custom),
            Self::Signed(value) => Ok(*value),
            Self::Text(text) => text.parse().map_err(|_| E::custom(format!("{text:?} is no integer"))),
            Self::Double(_) => Err(E::custom("an integer is wanted")),
        }
    }

    fn double<E: serde::de::Error>(&self) -> Result<f64, E> {
        match self {
            Self::Unsigned(value) => Ok(*value as f64),
            Self::Signed(value) => Ok(*value as f64),
            Self::Double(value) => Ok(*value),
            Self::Text(text) => text.parse().map_err(|_| E::custom(format!("{text:?} is no number"))),
        }
    }
}

pub(super) fn u64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Loose::deserialize(deserializer)?.u64()
}

pub(super) fn double<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Loose::deserialize(deserializer)?.double()
}

pub(super) fn some_double<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Option::<Loose>::deserialize(deserializer)?.map(|value| value.double()).transpose()
}

pub(super) fn some_i64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Option::<Loose>::deserialize(deserializer)?.map(|value| value.i64()).transpose()
}

pub(super) fn u64_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    list(deserializer, Loose::u64)
}

pub(super) fn double_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    list(deserializer, Loose::double)
}

/// One by one, since a value as it was read takes several times the bytes of the number.
fn list<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    convert: fn(&Loose) -> Result<T, D::Error>,
) -> Result<Vec<T>, D::Error> {
    struct Numbers<T, E>(fn(&Loose) -> Result<T, E>);

    impl<'de, T, E: serde::de::Error> serde::de::Visitor<'de> for Numbers<T, E> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of numbers")
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut numbers = Vec::new();
            while let Some(number) = seq.next_element::<Loose>()? {
                if numbers.len() > BUCKETS_MAX {
                    return Err(serde::de::Error::custom(OtlpError::TooManyBuckets));
                }
                numbers.push((self.0)(&number).map_err(serde::de::Error::custom)?);
            }
            Ok(numbers)
        }
    }

    deserializer.deserialize_seq(Numbers(convert))
}

pub(super) fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| STANDARD.decode(text).map_err(serde::de::Error::custom)).transpose()
}

/// The number, or the name.
pub(super) fn temporality<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Temporality, D::Error> {
    Ok(match Loose::deserialize(deserializer)? {
        Loose::Unsigned(number) => Temporality::from_number(number),
        Loose::Text(name) => match name.as_str() {
            "AGGREGATION_TEMPORALITY_DELTA" => Temporality::Delta,
            "AGGREGATION_TEMPORALITY_CUMULATIVE" => Temporality::Cumulative,
            _ => Temporality::Unspecified,
        },
        Loose::Signed(_) | Loose::Double(_) => Temporality::Unspecified,
    })
}
