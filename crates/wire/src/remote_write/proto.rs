//! Protobuf's wire format, walked without copying.
//!
//! Every message is a run of fields, each a number with a kind and a value. Fields we do not know are stepped over.
//! Of a field that may be there once the last one counts, as protobuf says.

use stdx::varint;

use super::error::DecodeError;

/// Kinds of values, as protobuf numbers them. Groups (3 and 4) are gone from the language and refused.
pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const FIXED32: u8 = 5;

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// A field with its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
    message: &'static str,
}

/// Walks the fields of a message.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    pub(crate) rest: &'a [u8],
    message: &'static str,
}

impl<'a> Fields<'a> {
    /// The fields of `bytes`, which are a message of the name `message`.
    pub(crate) fn new(bytes: &'a [u8], message: &'static str) -> Self {
        Self { rest: bytes, message }
    }

    /// The next field.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let message = self.message;
        // Made only when it is needed: an error that is dropped costs more than a field.
        let truncated = || DecodeError::Truncated { message };
        let tag = get_varint(&mut self.rest).ok_or_else(truncated)?;
        let (number, kind) = (tag >> 3, (tag & 7) as u8);
        let value = match kind {
            VARINT => Value::Varint(get_varint(&mut self.rest).ok_or_else(truncated)?),
            FIXED64 => {
                let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(truncated)?;
                self.rest = rest;
                Value::Fixed64(u64::from_le_bytes(*bytes))
            }
            BYTES => {
                let len = get_varint(&mut self.rest).ok_or_else(truncated)?;
                Value::Bytes(take(&mut self.rest, len).ok_or_else(truncated)?)
            }
            FIXED32 => {
                take(&mut self.rest, 4).ok_or_else(truncated)?;
                Value::Fixed32
            }
            kind => return Err(DecodeError::WrongKind { message, number, kind }),
        };
        Ok(Some(Field { number, value, message }))
    }
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(&self) -> Result<&'a [u8], DecodeError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong_kind()),
        }
    }

    pub(crate) fn varint(&self) -> Result<u64, DecodeError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.wrong_kind()),
        }
    }

    pub(crate) fn double(&self) -> Result<f64, DecodeError> {
        match self.value {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.wrong_kind()),
        }
    }

    /// `fixed64`
    pub(crate) fn fixed64(&self) -> Result<u64, DecodeError> {
        match self.value {
            Value::Fixed64(value) => Ok(value),
            _ => Err(self.wrong_kind()),
        }
    }

    /// `int64`: two's complement within the unsigned value.
    pub(crate) fn int64(&self) -> Result<i64, DecodeError> {
        self.varint().map(|value| value as i64)
    }

    /// `uint32`, the upper half dropped as protobuf says.
    pub(crate) fn uint32(&self) -> Result<u32, DecodeError> {
        self.varint().map(|value| value as u32)
    }

    /// `sint32`: zigzag.
    pub(crate) fn sint32(&self) -> Result<i32, DecodeError> {
        self.uint32().map(|value| (value >> 1) as i32 ^ -((value & 1) as i32))
    }

    /// A field of numbers that may be there one by one or packed: hands each to `put`.
    #[inline]
    pub(crate) fn repeated_varint(&self, mut put: impl FnMut(u64)) -> Result<(), DecodeError> {
        let mut packed = match self.value {
            Value::Varint(value) => {
                put(value);
                return Ok(());
            }
            Value::Bytes(packed) => packed,
            _ => return Err(self.wrong_kind()),
        };
        while !packed.is_empty() {
            put(get_varint(&mut packed).ok_or_else(|| self.truncated())?);
        }
        Ok(())
    }

    /// As [`Field::repeated_varint`], for doubles.
    pub(crate) fn repeated_double(&self, mut put: impl FnMut(f64)) -> Result<(), DecodeError> {
        let packed = match self.value {
            Value::Fixed64(bits) => {
                put(f64::from_bits(bits));
                return Ok(());
            }
            Value::Bytes(packed) => packed,
            _ => return Err(self.wrong_kind()),
        };
        let (doubles, rest) = packed.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(self.truncated());
        }
        doubles.iter().for_each(|bytes| put(f64::from_le_bytes(*bytes)));
        Ok(())
    }

    /// As [`Field::repeated_varint`], for `fixed64`.
    pub(crate) fn repeated_fixed64(&self, mut put: impl FnMut(u64)) -> Result<(), DecodeError> {
        self.repeated_double(|value| put(value.to_bits()))
    }

    fn truncated(&self) -> DecodeError {
        DecodeError::Truncated { message: self.message }
    }

    fn wrong_kind(&self) -> DecodeError {
        let kind = match self.value {
            Value::Varint(_) => VARINT,
            Value::Fixed64(_) => FIXED64,
            Value::Bytes(_) => BYTES,
            Value::Fixed32 => FIXED32,
        };
        DecodeError::WrongKind { message: self.message, number: self.number, kind }
    }
}

/// Most varints here are one byte.
#[inline]
pub(crate) fn get_varint(src: &mut &[u8]) -> Option<u64> {
    match src.split_first() {
        Some((byte, rest)) if *byte < 0x80 => {
            *src = rest;
            Some(u64::from(*byte))
        }
        _ => varint::get_u64(src),
    }
}

/// The first `len` bytes of `src`, which moves past them.
#[inline]
pub(crate) fn take<'a>(src: &mut &'a [u8], len: u64) -> Option<&'a [u8]> {
    let (bytes, rest) = src.split_at_checked(usize::try_from(len).ok()?)?;
    *src = rest;
    Some(bytes)
}
