//! The data that templates work on.
//!
//! In from callers and literals; read by the executor, printed by [`crate::print`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Zoned;

/// One value. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// Nothing; prints as `<no value>`.
    #[default]
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A float.
    Float(f64),
    /// Text.
    Str(Arc<str>),
    /// Text that is HTML already; html mode writes it unescaped into element content.
    Html(Arc<str>),
    /// Text that is a safe URL; html mode does not check its scheme.
    Url(Arc<str>),
    /// Values by position.
    List(Arc<Vec<Value>>),
    /// Values by name, ranged over by rising name.
    Map(Arc<Map>),
    /// A moment in a time zone, with Go's methods (`Format`, `Unix`, `UTC`, `Add`, …).
    Time(Arc<Zoned>),
    /// Nanoseconds, with Go's methods (`Seconds`, `String`, …).
    Duration(i64),
    /// The caller's own type, with fields and methods.
    Object(Arc<dyn Object>),
}

/// Values by name.
#[derive(Debug, Clone, Default)]
pub struct Map {
    /// The entries.
    pub entries: BTreeMap<Arc<str>, Value>,
    /// What a missing key gives under `missing_key_zero`: the zero value of Go's element type. `None` is nil.
    pub zero: Option<Value>,
}

/// What an object holds when it is ranged over, indexed or measured.
#[derive(Debug, Clone)]
pub enum Items {
    /// As a slice.
    List(Vec<Value>),
    /// As a map, sorted by key.
    Map(Vec<(Value, Value)>),
}

/// A type of the caller's. Methods are tried before fields, as Go does.
pub trait Object: Send + Sync + fmt::Debug {
    /// Go's name for the type, for `%T` and errors.
    fn type_name(&self) -> &str;

    /// The field, or the map entry, called `name`. A map gives its zero value for names it does not hold.
    fn field(&self, name: &str) -> Option<Value> {
        let _ = name;
        None
    }

    /// Calls `method`; `None` when there is no such method. The empty name calls the object itself (builtin `call`).
    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let _ = (method, args);
        None
    }

    /// What it holds; `None` when it cannot be ranged over.
    fn items(&self) -> Option<Items> {
        None
    }

    /// Whether `if` takes it for true. By default: it holds something, or is no collection.
    fn is_true(&self) -> bool {
        match self.items() {
            None => true,
            Some(Items::List(list)) => !list.is_empty(),
            Some(Items::Map(map)) => !map.is_empty(),
        }
    }

    /// Of a structure: the keys that Go marshals, in their order, and the fields behind them.
    fn json_keys(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// As `print` and `{{ . }}` write it.
    fn display(&self) -> String;
}

impl Value {
    /// Text.
    pub fn str(text: impl AsRef<str>) -> Self {
        Self::Str(Arc::from(text.as_ref()))
    }

    /// A list.
    pub fn list(values: impl IntoIterator<Item = Self>) -> Self {
        Self::List(Arc::new(values.into_iter().collect()))
    }

    /// A map whose elements may be of any type; a missing key is nil.
    pub fn map<K: AsRef<str>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (Arc::from(key.as_ref()), value)).collect();
        Self::Map(Arc::new(Map { entries, zero: None }))
    }

    /// A map of texts, such as labels; under `missing_key_zero` a missing key is the empty text.
    pub fn string_map<K: AsRef<str>, V: AsRef<str>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (Arc::from(key.as_ref()), Self::str(value)));
        Self::Map(Arc::new(Map { entries: entries.collect(), zero: Some(Self::str("")) }))
    }

    /// An object.
    pub fn object(object: impl Object + 'static) -> Self {
        Self::Object(Arc::new(object))
    }

    /// A moment from Unix milliseconds, in UTC. Outside years -9999 to 9999 it is held at the nearest end.
    #[must_use]
    pub fn time_ms(unix_ms: i64) -> Self {
        Self::Time(Arc::new(crate::time::utc_from_ms(unix_ms)))
    }

    /// The text of a textual value.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) | Self::Html(text) | Self::Url(text) => Some(text),
            _ => None,
        }
    }

    /// Go's name of its type.
    #[must_use]
    pub fn type_name(&self) -> String {
        let name = match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::Html(_) => "template.HTML",
            Self::Url(_) => "template.URL",
            Self::List(_) => "[]interface {}",
            Self::Map(map) if matches!(map.zero, Some(Self::Str(_))) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Object(object) => object.type_name(),
        };
        name.to_owned()
    }

    /// Whether `if` and `with` take it for true: not the zero value of its type.
    #[must_use]
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Duration(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) | Self::Html(text) | Self::Url(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Time(_) => true,
            Self::Object(object) => object.is_true(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::str(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(Arc::from(text))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// As `print` writes it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::print::to_text(self))
    }
}
