//! Parts of answers that are written from where they are kept, without copies in between: an answer may hold 100,000 alerts.

use std::fmt;

use model::Labels;
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
