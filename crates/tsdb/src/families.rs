//! What was said of metric families, for exports: `families.json` in the data directory. Layout: docs/formats/families.md.
//!
//! In from whoever hears of metadata; out to exports. No sample hangs on it, so that damage is no error: what is lost is said again.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Metadata, MetricType};
use serde::{Deserialize, Serialize};
use stdx::Dir;

use crate::error::TsdbError;

/// In the data directory.
pub(crate) const FAMILIES_FILE: &str = "families.json";
/// Of docs/formats/families.md.
const VERSION: u32 = 1;
/// Families kept. Chosen: some ten times what a large site has.
pub(crate) const FAMILIES_MAX: usize = 100_000;
/// Length of the file above which it is not read. Chosen: a kilobyte for each.
const FILE_BYTES_MAX: u64 = 100 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct File {
    version: u32,
    families: BTreeMap<String, Said>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Said {
    r#type: String,
    help: String,
    unit: String,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Families {
    known: BTreeMap<String, Metadata>,
    /// Something is not in the file yet.
    is_new: bool,
}

impl Families {
    /// What the file says; nothing where it is missing or cannot be read.
    pub(crate) fn read(dir: &dyn Dir) -> Self {
        let path = Path::new(FAMILIES_FILE);
        let is_small = || dir.open(path).and_then(|file| file.len()).is_ok_and(|len| len <= FILE_BYTES_MAX);
        let bytes = if dir.exists(path) && is_small() { dir.read(path).ok() } else { None };
        Self { known: bytes.and_then(|bytes| parse(&bytes)).unwrap_or_default(), is_new: false }
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> &BTreeMap<String, Metadata> {
        &self.known
    }

    /// Takes note of what is said now.
    pub(crate) fn hear(&mut self, name: &str, said: &Metadata) {
        if self.known.get(name) == Some(said)
            || self.known.len() >= FAMILIES_MAX && !self.known.contains_key(name)
        {
            return;
        }
        self.known.insert(name.to_owned(), said.clone());
        self.is_new = true;
    }

    /// Makes it durable, if anything is new.
    pub(crate) fn write(&mut self, dir: &dyn Dir) -> Result<(), TsdbError> {
        if !self.is_new {
            return Ok(());
        }
        let path = Path::new(FAMILIES_FILE);
        dir.write_atomic(path, &to_json(&self.known)).map_err(TsdbError::io("write", path))?;
        self.is_new = false;
        Ok(())
    }
}

fn to_json(known: &BTreeMap<String, Metadata>) -> Vec<u8> {
    let said = |one: &Metadata| Said {
        r#type: one.metric_type.to_string(),
        help: one.help.clone(),
        unit: one.unit.clone(),
    };
    let families = known.iter().map(|(name, one)| (name.clone(), said(one))).collect();
    let file = File { version: VERSION, families };
    let mut json = serde_json::to_vec(&file).expect("strings and numbers always serialise");
    json.push(b'\n');
    json
}

/// `None` when it is not what is written here.
pub(crate) fn parse(json: &[u8]) -> Option<BTreeMap<String, Metadata>> {
    let file: File = serde_json::from_slice(json).ok().filter(|file: &File| file.version == VERSION)?;
    let said = file.families.into_iter().take(FAMILIES_MAX);
    let known = said.map(|(name, one)| {
        let metric_type = MetricType::from_name(&one.r#type).unwrap_or_default();
        (name, Metadata { metric_type, help: one.help, unit: one.unit })
    });
    Some(known.collect())
}

#[cfg(test)]
mod tests {
    use stdx::MemDir;

    use super::*;

    #[test]
    fn what_was_said_comes_back_and_damage_is_nothing_said() {
        let dir = MemDir::new();
        let mut families = Families::read(&dir);
        let said = |metric_type, help: &str| Metadata {
            metric_type,
            help: help.to_owned(),
            unit: "seconds".to_owned(),
        };
        families.hear("a_seconds", &said(MetricType::GaugeHistogram, "x\n\"y\""));
        families.hear("b", &said(MetricType::Counter, "old"));
        families.hear("b", &said(MetricType::Counter, "new"));
        families.write(&dir).unwrap();
        assert_eq!(Families::read(&dir).all(), families.all());
        assert_eq!(families.all()["b"].help, "new");
        let path = Path::new(FAMILIES_FILE);
        let bytes = dir.read(path).unwrap();
        for len in 0..bytes.len() - 1 {
            dir.create(path).unwrap().append(&bytes[..len]).unwrap();
            assert!(Families::read(&dir).all().is_empty(), "{len}");
        }
        assert_eq!(parse(br#"{"version":2,"families":{}}"#), None);
    }
}
