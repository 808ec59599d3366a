//! The layer table of ARCHITECTURE.md against `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::root;

/// Finds crates that use another crate the table does not grant them, and rows or crates without a partner.
pub fn check() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    let allowed = table(&text);
    let actual = dependencies()?;
    let mut findings = Vec::new();
    for (name, uses) in &actual {
        let Some(may_use) = allowed.get(name) else {
            findings.push(format!("crate {name} has no row in the layer table of ARCHITECTURE.md"));
            continue;
        };
        for used in uses.difference(may_use) {
            findings.push(format!("crate {name} uses {used}, which ARCHITECTURE.md does not grant it"));
        }
    }
    for name in allowed.keys().filter(|name| !actual.contains_key(*name)) {
        findings.push(format!("ARCHITECTURE.md has a row for {name}, but there is no such crate"));
    }
    Ok(findings)
}

/// Rows of the form «| `name` | L2 | `a` `b` | … |».
fn table(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, layer, uses, ..] = cells.as_slice() else { return None };
        let is_row = layer.starts_with('L') && layer.len() == 2 || *layer == "dev";
        is_row.then(|| (unquoted(name), uses.split_whitespace().map(unquoted).filter(|u| u != "–").collect()))
    });
    rows.collect()
}

fn unquoted(word: &str) -> String {
    word.trim_matches('`').to_owned()
}

/// Crate → our crates it uses, without those for tests only.
fn dependencies() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let out = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .context("cargo metadata")?;
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut all = BTreeMap::new();
    for package in packages {
        let uses = package["dependencies"].as_array().into_iter().flatten();
        let uses = uses
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| names.contains(name))
            .map(str::to_owned)
            .collect();
        all.insert(package["name"].as_str().unwrap_or_default().to_owned(), uses);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_table_are_read() {
        let table = table(
            "| crate | layer | may use | what |\n|---|---|---|---|\n| `a` | L1 | `b` `c` | x |\n| `b` | L0 | – | y |",
        );
        assert_eq!(table["a"], BTreeSet::from(["b".to_owned(), "c".to_owned()]));
        assert!(table["b"].is_empty());
    }
}
