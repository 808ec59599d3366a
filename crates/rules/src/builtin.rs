//! The rules that come with the program and watch any host; their text is in `builtin/*.yml`, to be read.
//!
//! In from the binary, with names that are switched off; out as groups like those of files.

use crate::file::{GroupSpec, parse_file};

/// Stands where rules of files name theirs.
pub const FILE: &str = "(built in)";

const TEXTS: [&str; 2] = [include_str!("builtin/hosts.yml"), include_str!("builtin/hinomi.yml")];

/// The built-in rules.
#[derive(Debug, Clone, Copy)]
pub struct BuiltinRules;

impl BuiltinRules {
    /// The groups without the rules named in `disabled`.
    #[must_use]
    pub fn groups(disabled: &[String]) -> Vec<GroupSpec> {
        let mut groups: Vec<GroupSpec> = TEXTS
            .iter()
            .flat_map(|text| parse_file(FILE, text).expect("a test reads the built-in rules"))
            .collect();
        for group in &mut groups {
            group.rules.retain(|rule| disabled.iter().all(|name| name != rule.name()));
        }
        groups.retain(|group| !group.rules.is_empty());
        groups
    }

    /// Names of all built-in rules, in order.
    #[must_use]
    pub fn names() -> Vec<String> {
        let groups = Self::groups(&[]);
        groups.iter().flat_map(|group| group.rules.iter().map(|rule| rule.name().to_owned())).collect()
    }

    /// Names in `disabled` that no built-in rule has, for an error that says so.
    #[must_use]
    pub fn unknown(disabled: &[String]) -> Vec<String> {
        let names = Self::names();
        disabled.iter().filter(|name| !names.contains(name)).cloned().collect()
    }
}
