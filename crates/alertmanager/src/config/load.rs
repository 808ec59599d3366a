//! The file and the template files it names.

use std::path::{Path, PathBuf};

use stdx::Dir;

use super::{Config, ConfigError, check};

/// How many template files one configuration may name. Chosen.
const TEMPLATE_FILES_MAX: usize = 1_000;

pub(super) fn load(files: &dyn Dir, path: &Path) -> Result<Config, ConfigError> {
    let text = read(files, path)?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let mut config = check::parse(&path.display().to_string(), &text, dir)?;
    for glob in std::mem::take(&mut config.template_globs) {
        for file in expand(files, &dir.join(&glob)) {
            if config.templates.len() >= TEMPLATE_FILES_MAX {
                let message = format!("more than {TEMPLATE_FILES_MAX} template files");
                return Err(ConfigError::Template { path: file, message });
            }
            let text = read(files, &file)?;
            config.templates.push((file, text));
        }
        config.template_globs.push(glob);
    }
    crate::notify::check_templates(&config)?;
    Ok(config)
}

fn read(files: &dyn Dir, path: &Path) -> Result<String, ConfigError> {
    let fail = |source| ConfigError::Read { path: path.to_owned(), source };
    let bytes = files.read(path).map_err(fail)?;
    String::from_utf8(bytes).map_err(|err| fail(std::io::Error::new(std::io::ErrorKind::InvalidData, err)))
}

/// The files that match `pattern`, sorted. A pattern that matches nothing gives nothing, as upstream has it.
fn expand(files: &dyn Dir, pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        found = found
            .into_iter()
            .flat_map(|dir| {
                let entries = files.list(&dir).unwrap_or_default();
                let names = entries.into_iter().map(|entry| entry.name).filter(|name| is_match(&text, name));
                names.map(|name| dir.join(name)).collect::<Vec<_>>()
            })
            .collect();
    }
    found.retain(|path| files.exists(path) && files.list(path).is_err());
    found
}

/// Shell patterns: `*`, `?`, `[abc]`, `[a-z]`, `[^a]`. Time linear in `text` for each `*`.
fn is_match(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last star takes one more character.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => class(&pattern, p, text[t]),
            Some(&c) if c == text[t] => Some(p + 1),
            _ => None,
        };
        match (step, retry) {
            (Some(next), _) => (p, t) = (next, t + 1),
            (None, Some((after_star, from))) => {
                retry = Some((after_star, from + 1));
                (p, t) = (after_star, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The place after the class at `p`, if `c` is in it.
fn class(pattern: &[char], p: usize, c: char) -> Option<usize> {
    let end = p + 1 + pattern.get(p + 2..)?.iter().position(|c| *c == ']')? + 1;
    let inner = &pattern[p + 1..end];
    let (is_negated, inner) = match inner.split_first() {
        Some(('^', rest)) => (true, rest),
        _ => (false, inner),
    };
    let mut is_in = false;
    let mut i = 0;
    while i < inner.len() {
        if inner.get(i + 1) == Some(&'-') && i + 2 < inner.len() {
            is_in |= (inner[i]..=inner[i + 2]).contains(&c);
            i += 3;
        } else {
            is_in |= inner[i] == c;
            i += 1;
        }
    }
    (is_in != is_negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_patterns() {
        let check = |pattern: &str, text: &str, expected| {
            assert_eq!(is_match(pattern, text), expected, "{pattern} {text}");
        };
        check("*.tmpl", "a.tmpl", true);
        check("*.tmpl", "a.tmpl.bak", false);
        check("a*b*c", "aXbYbZc", true);
        check("?.t", "ab.t", false);
        check("[a-c]x", "bx", true);
        check("[^a-c]x", "bx", false);
        check("[", "[", false);
        check("**", "", true);
    }

    #[test]
    fn template_files_are_found_beside_the_configuration() {
        let dir = stdx::MemDir::new();
        dir.create_dir_all(Path::new("etc/t")).unwrap();
        let text = b"templates: ['t/*.tmpl', 'none/*']\nroute: {receiver: a}\nreceivers: [{name: a}]\n";
        dir.write_atomic(Path::new("etc/am.yml"), text).unwrap();
        dir.write_atomic(Path::new("etc/t/b.tmpl"), b"{{ define \"b\" }}B{{ end }}").unwrap();
        dir.write_atomic(Path::new("etc/t/a.tmpl"), b"A").unwrap();
        dir.write_atomic(Path::new("etc/t/c.txt"), b"no").unwrap();
        let config = load(&dir, Path::new("etc/am.yml")).unwrap();
        let names: Vec<_> = config.templates.iter().map(|(path, _)| path.display().to_string()).collect();
        assert_eq!(names, ["etc/t/a.tmpl", "etc/t/b.tmpl"]);
    }
}
