//! Expressions that may match anywhere in a text, as templates use them (`match`, `reReplaceAll`).

use regex_automata::meta;

use super::{Group, REGEX_BYTES_MAX, RegexError, expand_template, parse};

/// A compiled expression that is not anchored, and whose dot does not match a newline: as Go's `regexp.Compile`.
#[derive(Debug, Clone)]
pub struct SearchRegex {
    compiled: meta::Regex,
    names: Vec<Option<String>>,
}

impl SearchRegex {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// When RE2 would refuse it, or it is larger than [`REGEX_BYTES_MAX`].
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let refuse = |reason: &str, fragment: &str| RegexError {
            pattern: pattern.to_owned(),
            reason: reason.to_owned(),
            fragment: fragment.to_owned(),
        };
        // The parser's dot matches newlines, as in Prometheus' matchers.
        parse::parse(pattern).map_err(|err| refuse(err.reason, err.fragment))?;
        let plain = format!("(?-s:{pattern})");
        let parsed = parse::parse(&plain).map_err(|err| refuse(err.reason, err.fragment))?;
        let compiled = meta::Regex::builder()
            .configure(meta::Config::new().nfa_size_limit(Some(REGEX_BYTES_MAX)))
            .build_from_hir(&parsed.hir)
            .map_err(|_| refuse("expression too large", pattern))?;
        Ok(Self { compiled, names: parsed.names.into_iter().map(|name| name.map(str::to_owned)).collect() })
    }

    /// Whether some part of `text` matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// `text` with every match replaced by `template`, in which `$1`, `${1}` and `${name}` stand for groups: Go's
    /// `ReplaceAllString`.
    #[must_use]
    pub fn replace_all(&self, text: &str, template: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut end = 0;
        for captures in self.compiled.captures_iter(text) {
            let Some(span) = captures.get_group(0) else { continue };
            out.push_str(&text[end..span.start]);
            out.push_str(&expand_template(template, |wanted| {
                let span = match wanted {
                    Group::Number(number) => captures.get_group(number),
                    Group::Name(name) => {
                        let known = self.names.iter().enumerate();
                        let mut named = known.filter(|(_, known)| known.as_deref() == Some(name));
                        named.find_map(|(idx, _)| captures.get_group(idx))
                    }
                };
                span.map(|span| &text[span.range()])
            }));
            end = span.end;
        }
        out.push_str(&text[end..]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_as_go_does() {
        let check = |pattern: &str, text: &str, template: &str, expected: &str| {
            let regex = SearchRegex::new(pattern).unwrap();
            assert_eq!(regex.replace_all(text, template), expected, "{pattern}");
        };
        check("(.*):.*", "host:9100", "$1", "host");
        check("a*", "baac", "x", "xbxcx");
        check("(?P<x>b+)", "abbc", "<${x}>", "a<bb>c");
        check("o", "foo", "0", "f00");
        check("", "ab", "-", "-a-b-");
        check(".", "a\nb", "x", "x\nx");
        assert!(SearchRegex::new("b").unwrap().is_match("abc"));
        assert!(!SearchRegex::new("^b").unwrap().is_match("abc"));
        assert!(SearchRegex::new("(").is_err());
    }
}
