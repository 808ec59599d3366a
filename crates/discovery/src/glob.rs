//! File names with wildcards, as Go's `filepath.Glob` reads them: `*`, `?`, `[a-z]`, `\` before a character.
//!
//! In from `file_sd_configs` (and `rule_files`); out paths, sorted. Wildcards stand in the last element only.

use std::path::{Path, PathBuf};

use stdx::dir::Dir;

/// The files that `pattern` names now: by itself when there is no wildcard in it, whether it exists or not.
#[must_use]
pub fn glob(dir: &dyn Dir, pattern: &str) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    if !name.contains(['*', '?', '[']) {
        return vec![path.to_owned()];
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    // A directory that is not there has no files; it may come later.
    let entries = dir.list(parent).unwrap_or_default();
    let matching = entries.into_iter().filter(|entry| !entry.is_dir && matches(name, &entry.name));
    matching.map(|entry| parent.join(entry.name)).collect()
}

/// Whether `name` is of the form `pattern`.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Linear with one step back: a later star makes earlier ones irrelevant.
    let (mut p, mut n) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            last_star = Some((p, n));
            p += 1;
        } else if let Some(width) = one(&pattern[p..], name[n]) {
            p += width;
            n += 1;
        } else if let Some((star, taken)) = last_star {
            last_star = Some((star, taken + 1));
            (p, n) = (star + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How much of `pattern` stands for the one character `c`; `None` when it does not.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match *pattern.first()? {
        '?' => Some(1),
        '[' => {
            let close = pattern.iter().skip(2).position(|p| *p == ']')? + 2;
            let (negated, set) = match pattern[1] {
                '^' => (true, &pattern[2..close]),
                _ => (false, &pattern[1..close]),
            };
            let mut rest = set;
            let mut found = false;
            while let Some(low) = rest.first() {
                if let [low, '-', high, ..] = rest {
                    found |= (*low..=*high).contains(&c);
                    rest = &rest[3..];
                } else {
                    found |= *low == c;
                    rest = &rest[1..];
                }
            }
            (found != negated).then_some(close + 1)
        }
        '\\' => (pattern.get(1) == Some(&c)).then_some(2),
        p => (p == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, name: &str, expected: bool) {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }

    #[test]
    fn matches_as_go_does() {
        check("*.yml", "a.yml", true);
        check("*.yml", "a.yaml", false);
        check("a*b*c", "aXbYbZc", true);
        check("a*b*c", "aXbYbZ", false);
        check("?.json", "ab.json", false);
        check("[a-c]x", "bx", true);
        check("[^a-c]x", "bx", false);
        check("\\*x", "*x", true);
        check("[", "[", false);
        check("", "", true);
        check("*", "", true);
    }
}
