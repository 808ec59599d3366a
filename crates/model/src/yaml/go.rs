//! Scalars as Go's yaml.v2 gives them to typed fields: null is an empty text, 0 or false; a number's fraction is cut;
//! quoted text is neither a number nor a boolean.
//!
//! Called by [`super::parse`] around the library's deserializer, at every depth. Never touches what is asked for without
//! a type, nor `Option`, for which null is `None`.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, Expected, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// Numbers from here on fit no field: those of 64 bits end at 1.8e19.
const FLOAT_MAX: f64 = 18_446_744_073_709_551_616.0;

/// Around a deserializer, a seed, a visitor or an access of serde.
pub(super) struct Go<T>(pub(super) T);

/// What null becomes.
#[derive(Clone, Copy)]
enum Zero {
    Bool,
    Number,
    Text,
}

/// Around the visitor of a scalar.
struct Scalar<V> {
    visitor: V,
    zero: Zero,
}

/// The methods of a deserializer that wrap the visitor and nothing else.
macro_rules! wrap_visitor {
    ($($method:ident($($name:ident: $type:ty),*),)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($name,)* Go(visitor))
        })*
    };
}

/// Those that ask for whatever stands there and look themselves.
macro_rules! scalars {
    ($zero:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.deserialize_any(Scalar { visitor, zero: Zero::$zero })
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Go<D> {
    type Error = D::Error;

    scalars!(Bool: deserialize_bool);
    scalars!(Number: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64);

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        // Through an option: only what is asked for as a float may be `.nan` or `.inf`.
        self.0.deserialize_option(Scalar { visitor, zero: Zero::Number })
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(Scalar { visitor, zero: Zero::Text })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_str(visitor)
    }

    wrap_visitor! {
        deserialize_any(), deserialize_f32(), deserialize_char(), deserialize_bytes(), deserialize_byte_buf(),
        deserialize_option(), deserialize_unit(), deserialize_seq(), deserialize_map(), deserialize_identifier(),
        deserialize_ignored_any(),
        deserialize_unit_struct(name: &'static str),
        deserialize_newtype_struct(name: &'static str),
        deserialize_tuple(len: usize),
        deserialize_tuple_struct(name: &'static str, len: usize),
        deserialize_struct(name: &'static str, fields: &'static [&'static str]),
        deserialize_enum(name: &'static str, variants: &'static [&'static str]),
    }
}

impl<V> Scalar<V> {
    /// The library finds the place of the value for errors in words alone, and that of its key for others.
    fn give<'de, E: Error>(
        self,
        kind: &str,
        visit: impl FnOnce(V) -> Result<V::Value, serde::de::value::Error>,
    ) -> Result<V::Value, E>
    where
        V: Visitor<'de>,
    {
        let expected = (&self.visitor as &dyn Expected).to_string();
        visit(self.visitor).map_err(|_| E::custom(format_args!("cannot read {kind} as {expected}")))
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Scalar<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        self.give("a boolean", |visitor| visitor.visit_bool(value))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<V::Value, E> {
        self.give("this number", |visitor| visitor.visit_u64(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<V::Value, E> {
        self.give("this number", |visitor| visitor.visit_i64(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<V::Value, E> {
        self.give("this number", |visitor| {
            if (0.0..FLOAT_MAX).contains(&number) {
                visitor.visit_u64(number as u64)
            } else if number < 0.0 && number >= i64::MIN as f64 {
                visitor.visit_i64(number as i64)
            } else {
                visitor.visit_f64(number)
            }
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        match self.zero {
            Zero::Text => self.visitor.visit_str(text),
            Zero::Bool | Zero::Number => self.give("text", |visitor| visitor.visit_str(text)),
        }
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        match self.zero {
            Zero::Text => self.visitor.visit_borrowed_str(text),
            Zero::Bool | Zero::Number => self.give("text", |visitor| visitor.visit_str(text)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<V::Value, A::Error> {
        self.give("a list", |_| Err(Error::custom("")))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<V::Value, A::Error> {
        self.give("a mapping", |_| Err(Error::custom("")))
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        match self.zero {
            Zero::Bool => self.visitor.visit_bool(false),
            Zero::Number => self.visitor.visit_u64(0),
            Zero::Text => self.visitor.visit_str(""),
        }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        match self.zero {
            Zero::Text => deserializer.deserialize_str(self.visitor),
            Zero::Bool | Zero::Number => deserializer.deserialize_f64(self.visitor),
        }
    }
}

/// The methods that hand on what needs no thought.
macro_rules! hand_on {
    ($($visit:ident: $type:ty,)*) => {
        $(fn $visit<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$visit(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Go<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    hand_on! {
        visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f32: f32, visit_f64: f64, visit_char: char,
        visit_str: &str, visit_borrowed_str: &'de str, visit_string: String, visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8], visit_byte_buf: Vec<u8>,
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Go(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Go(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Go(access))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Go(access))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Go(access))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Go<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Go(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Go<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Go(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Go<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Go(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Go(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Go<A> {
    type Error = A::Error;
    type Variant = Go<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(Go(seed))?;
        Ok((value, Go(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Go<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Go(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Go(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Go(visitor))
    }
}
