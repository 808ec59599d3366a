//! What is odd about a metrics page: names, units and types that surprise whoever writes a query. Pure.
//!
//! In: a page in text format; out: problems as promtool words them, ordered. The checks and their words are those of
//! client_golang's `promlint`; each problem is told once for a metric, where promlint repeats some for each series.

use std::collections::{BTreeMap, BTreeSet};

use model::LabelsBuilder;
use model::metadata::MetricType;
use wire::exposition::{Entry, Format, Parser};

/// Units that are fine, and what they stand for with a prefix before them.
const BASE_UNITS: &[&str] =
    &["amperes", "bytes", "celsius", "grams", "joules", "kelvin", "meters", "metres", "seconds", "volts"];

/// Other units and the one to use.
const UNITS: &[(&str, &str)] = &[
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

const PREFIXES: &[&str] = &[
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi",
    "giga", "gibi", "tera", "tebi", "peta", "pebi",
];

const ABBREVIATIONS: &[&str] =
    &["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];

/// One thing that is odd.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    pub(super) metric: String,
    pub(super) text: String,
}

/// The families of a page by name.
#[derive(Debug, Default)]
pub(super) struct Page {
    families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
struct Family {
    metric_type: Option<MetricType>,
    has_help: bool,
    n_samples: usize,
    /// Name and labels of each sample.
    series: BTreeSet<String>,
    label_names: BTreeSet<String>,
    has_twice: bool,
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// Where it is not one.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let mut page = Self::default();
        let (mut parser, mut builder) = (Parser::new(body, Format::Text004), LabelsBuilder::default());
        while let Some(entry) = parser.next_entry().map_err(|err| err.to_string())? {
            match entry {
                Entry::Type { name, metric_type } => {
                    let family = page.families.entry(name.clone().into_owned()).or_default();
                    if family.metric_type.replace(metric_type).is_some() || family.n_samples > 0 {
                        return Err(format!(
                            "second TYPE line for metric name {name:?}, or TYPE reported after samples"
                        ));
                    }
                }
                Entry::Help { name, text } => {
                    page.families.entry(name.into_owned()).or_default().has_help = !text.is_empty();
                }
                Entry::Sample(sample) => {
                    sample.fill_labels(&mut builder).map_err(|err| err.to_string())?;
                    page.take(&builder);
                }
                Entry::Unit { .. } | Entry::Comment => {}
            }
        }
        Ok(page)
    }

    fn take(&mut self, builder: &LabelsBuilder) {
        let labels = builder.build();
        let name = labels.get("__name__").unwrap_or_default();
        let (base, part) = self.family_of(name);
        let own = match part {
            Some("_bucket") => "le",
            None if self.type_of(&base) == Some(MetricType::Summary) => "quantile",
            _ => "",
        };
        let family = self.families.entry(base).or_default();
        family.n_samples += 1;
        family.has_twice |= !family.series.insert(labels.to_string());
        let names = labels.iter().map(|(name, _)| name).filter(|name| *name != "__name__" && *name != own);
        family.label_names.extend(names.map(str::to_owned));
    }

    fn type_of(&self, family: &str) -> Option<MetricType> {
        self.families.get(family)?.metric_type
    }

    /// The family that a sample belongs to, and which part of it that is.
    fn family_of(&self, name: &str) -> (String, Option<&'static str>) {
        for part in ["_bucket", "_sum", "_count"] {
            let Some(base) = name.strip_suffix(part) else { continue };
            match self.type_of(base) {
                Some(MetricType::Histogram) => return (base.to_owned(), Some(part)),
                Some(MetricType::Summary) if part != "_bucket" => return (base.to_owned(), Some(part)),
                _ => {}
            }
        }
        (name.to_owned(), None)
    }

    /// How many samples each metric has.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.families.iter().map(|(name, family)| (name.as_str(), family.n_samples)).filter(|(_, n)| *n > 0)
    }

    /// What is odd, in order.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = BTreeSet::new();
        for (name, family) in self.families.iter().filter(|(_, family)| family.n_samples > 0) {
            let mut add = |text: String| problems.insert(Problem { metric: name.clone(), text });
            family.lint(name, &mut |text| {
                add(text);
            });
        }
        problems.into_iter().collect()
    }
}

impl Family {
    fn lint(&self, name: &str, add: &mut dyn FnMut(String)) {
        if !self.has_help {
            add("no help text".to_owned());
        }
        if self.has_twice {
            add("metric not unique".to_owned());
        }
        if name.contains(':') {
            add("metric names should not contain ':'".to_owned());
        }
        if is_camel_case(name) {
            add("metric names should be written in 'snake_case' not 'camelCase'".to_owned());
        }
        if self.label_names.iter().any(|name| is_camel_case(name)) {
            add("label names should be written in 'snake_case' not 'camelCase'".to_owned());
        }
        if let Some((unit, base)) = unit(name) {
            add(format!("use base unit {base:?} instead of {unit:?}"));
        }
        let lower = name.to_ascii_lowercase();
        let has_word =
            |word: &str| lower.contains(&format!("_{word}_")) || lower.ends_with(&format!("_{word}"));
        if ABBREVIATIONS.iter().any(|word| has_word(word)) {
            add("metric names should not contain abbreviated units".to_owned());
        }
        let Some((word, is)) = self.metric_type.and_then(type_name) else { return };
        if has_word(word) {
            add(format!("metric name should not include type '{word}'"));
        }
        self.lint_suffix(name, is, add);
    }

    /// What belongs to one type only.
    fn lint_suffix(&self, name: &str, is: MetricType, add: &mut dyn FnMut(String)) {
        match (is == MetricType::Counter, name.ends_with("_total")) {
            (true, false) => add("counter metrics should have \"_total\" suffix".to_owned()),
            (false, true) => add("non-counter metrics should not have \"_total\" suffix".to_owned()),
            _ => {}
        }
        let (is_histogram, is_summary) = (is == MetricType::Histogram, is == MetricType::Summary);
        if !is_histogram && name.ends_with("_bucket") {
            add("non-histogram metrics should not have \"_bucket\" suffix".to_owned());
        }
        for suffix in ["_count", "_sum"] {
            if !is_histogram && !is_summary && name.ends_with(suffix) {
                add(format!("non-histogram and non-summary metrics should not have {suffix:?} suffix"));
            }
        }
        if !is_histogram && self.label_names.contains("le") {
            add("non-histogram metrics should not have \"le\" label".to_owned());
        }
        if !is_summary && self.label_names.contains("quantile") {
            add("non-summary metrics should not have \"quantile\" label".to_owned());
        }
    }
}

/// Of the types that the text format knows; untyped metrics may be anything.
fn type_name(metric_type: MetricType) -> Option<(&'static str, MetricType)> {
    match metric_type {
        MetricType::Counter => Some(("counter", metric_type)),
        MetricType::Gauge => Some(("gauge", metric_type)),
        MetricType::Histogram => Some(("histogram", metric_type)),
        MetricType::Summary => Some(("summary", metric_type)),
        _ => None,
    }
}

fn is_camel_case(name: &str) -> bool {
    name.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// The first unit in a name, and the one to use, where they differ.
fn unit(name: &str) -> Option<(&str, &'static str)> {
    let known = |word: &str| {
        let base = BASE_UNITS.iter().find(|base| **base == word).copied();
        base.or_else(|| UNITS.iter().find(|(unit, _)| *unit == word).map(|(_, base)| *base))
    };
    let with_prefix = |word: &str| PREFIXES.iter().find_map(|prefix| known(word.strip_prefix(prefix)?));
    let found = name.split('_').find_map(|word| Some((word, known(word).or_else(|| with_prefix(word))?)));
    found.filter(|(word, base)| word != base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_oddity_has_promtools_words() {
        let check = |page: &str, expected: &[&str]| {
            let problems = Page::read(page.as_bytes()).expect(page).problems();
            let found: Vec<String> = problems.iter().map(|p| format!("{} {}", p.metric, p.text)).collect();
            assert_eq!(found, expected, "{page}");
        };
        let typed = |name: &str, kind: &str| format!("# HELP {name} h\n# TYPE {name} {kind}\n{name} 1\n");
        check(&typed("a_seconds", "gauge"), &[]);
        check("a 1\n", &["a no help text"]);
        check(&typed("a", "counter"), &["a counter metrics should have \"_total\" suffix"]);
        check(&typed("a_total", "gauge"), &["a_total non-counter metrics should not have \"_total\" suffix"]);
        check(&typed("a_total", "untyped"), &[]);
        check(&typed("x:y", "gauge"), &["x:y metric names should not contain ':'"]);
        check(&typed("aB", "gauge"), &["aB metric names should be written in 'snake_case' not 'camelCase'"]);
        check(&typed("my_gauge", "gauge"), &["my_gauge metric name should not include type 'gauge'"]);
        check(&typed("a_ms", "gauge"), &["a_ms metric names should not contain abbreviated units"]);
        check(
            &typed("a_milliseconds", "gauge"),
            &["a_milliseconds use base unit \"seconds\" instead of \"milliseconds\""],
        );
        check(&typed("a_bytes_days", "gauge"), &[]);
        check(
            &typed("a_bucket", "gauge"),
            &["a_bucket non-histogram metrics should not have \"_bucket\" suffix"],
        );
        check(
            &typed("a_sum", "gauge"),
            &["a_sum non-histogram and non-summary metrics should not have \"_sum\" suffix"],
        );
        check(
            "# HELP a h\n# TYPE a gauge\na{le=\"1\",quantile=\"1\",xY=\"z\"} 1\n",
            &[
                "a label names should be written in 'snake_case' not 'camelCase'",
                "a non-histogram metrics should not have \"le\" label",
                "a non-summary metrics should not have \"quantile\" label",
            ],
        );
        check("# HELP a h\na{x=\"1\"} 1\na{x=\"1\"} 2\n", &["a metric not unique"]);
        let histogram = "# HELP a h\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n";
        check(histogram, &[]);
        assert_eq!(Page::read(histogram.as_bytes()).expect("a page").sizes().collect::<Vec<_>>(), [("a", 3)]);
    }

    #[test]
    fn what_is_no_page_is_an_error() {
        for page in ["a b c 1\n", "a 1\n# TYPE a gauge\n", "# TYPE a gauge\n# TYPE a counter\n"] {
            assert!(Page::read(page.as_bytes()).is_err(), "{page}");
        }
    }
}
