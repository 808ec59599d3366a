//! The report for machines: JUnit's XML, as promtool writes it.

use std::fmt::Write as _;

/// The tests of one file.
#[derive(Debug)]
pub(super) struct Suite {
    name: String,
    cases: Vec<(String, Vec<String>)>,
    n_failures: usize,
    /// Why nothing ran.
    error: Option<String>,
}

impl Suite {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), cases: Vec::new(), n_failures: 0, error: None }
    }

    /// The file cannot be read.
    pub(super) fn abort(&mut self, error: &str) {
        self.error = Some(error.to_owned());
    }

    /// A test that ran.
    pub(super) fn case(&mut self, name: &str, failures: &[String]) {
        self.n_failures += failures.len();
        self.cases.push((name.to_owned(), failures.to_vec()));
    }
}

/// Characters that XML cannot carry become the replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("&#xA;"),
            '\t' => out.push_str("&#x9;"),
            '\r' => out.push_str("&#xD;"),
            c if c < ' ' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// All files' tests.
pub(super) fn xml(suites: &[Suite]) -> String {
    let mut out = "<testsuites>".to_owned();
    for suite in suites {
        let n_errors = usize::from(suite.error.is_some());
        let n_cases = suite.cases.len() + n_errors;
        let _ = write!(
            out,
            "<testsuite name=\"{}\" tests=\"{n_cases}\" failures=\"{}\" errors=\"{n_errors}\" skipped=\"0\" timestamp=\"\">",
            escaped(&suite.name),
            suite.n_failures
        );
        if let Some(error) = &suite.error {
            let _ = write!(out, "<testcase name=\"load\"><error>{}</error></testcase>", escaped(error));
        }
        for (name, failures) in &suite.cases {
            let _ = write!(out, "<testcase name=\"{}\">", escaped(name));
            for failure in failures {
                let _ = write!(out, "<failure>{}</failure>", escaped(failure));
            }
            out.push_str("</testcase>");
        }
        out.push_str("</testsuite>");
    }
    out + "</testsuites>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_escaped() {
        let mut good = Suite::new("a.yml");
        good.case("one", &[]);
        good.case("t<o", &["a > b\n\u{1}".to_owned()]);
        let mut bad = Suite::new("b.yml");
        bad.abort("no");
        assert_eq!(
            xml(&[good, bad]),
            "<testsuites><testsuite name=\"a.yml\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\" timestamp=\"\">\
             <testcase name=\"one\"></testcase><testcase name=\"t&lt;o\"><failure>a &gt; b&#xA;\u{fffd}</failure></testcase>\
             </testsuite><testsuite name=\"b.yml\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" timestamp=\"\">\
             <testcase name=\"load\"><error>no</error></testcase></testsuite></testsuites>"
        );
    }
}
