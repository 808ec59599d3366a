//! Type and unit of a metric as labels of its series (`__type__`, `__unit__`), where a scrape asks for them.
//!
//! In: a page of the text formats; out: the same page with the labels in the braces of every sample line. Pure.
//! Semantics of Prometheus 3.14's `type-and-unit-labels`: what the page says of a family wins over labels of the same names, and an
//! unknown type is no label. The unit is that of the sample's own family, where Prometheus keeps the last one it met.

use model::labels::{METRIC_TYPE, METRIC_UNIT};
use model::metadata::MetricType;

use super::error::ParseError;
use super::native::{Translation, push_label};
use super::{Entry, Format, Parser};

/// Adds the labels of a family to those in `labels`, which are written already.
pub(super) fn push_type_and_unit(labels: &mut String, metric_type: MetricType, unit: &str) {
    if metric_type != MetricType::Unknown {
        push_label(labels, METRIC_TYPE, &metric_type.to_string());
    }
    if !unit.is_empty() {
        push_label(labels, METRIC_UNIT, unit);
    }
}

/// Whether a page's own label gives way to what the page says of the family.
pub(super) fn is_overridden(name: &str, metric_type: MetricType, unit: &str) -> bool {
    match name {
        METRIC_TYPE => metric_type != MetricType::Unknown,
        METRIC_UNIT => !unit.is_empty(),
        _ => false,
    }
}

/// Writes the page with types and units as labels to [`Translation::text`], to be read as `format`.
///
/// # Errors
/// Where [`Parser`] refuses the page.
pub fn with_type_and_unit(body: &[u8], format: Format, out: &mut Translation) -> Result<(), ParseError> {
    out.clear();
    let mut parser = Parser::new(body, format);
    let (mut family, mut unit, mut labels) = (String::new(), String::new(), String::new());
    loop {
        let start = parser.pos();
        let entry = parser.next_entry()?;
        let end = if entry.is_none() { body.len() } else { parser.pos() };
        // What is no UTF-8 can only be a remark.
        let Ok(line) = std::str::from_utf8(&body[start..end]) else { continue };
        let Some(entry) = entry else {
            out.text.push_str(line);
            return Ok(());
        };
        match &entry {
            Entry::Sample(sample) => {
                labels.clear();
                push_type_and_unit(&mut labels, sample.metric_type, &unit);
                let key = parser.key();
                let (before, after) = (&line[..key.start - start], &line[key.end - start..]);
                out.text.push_str(before);
                if labels.is_empty() {
                    out.text.push_str(sample.raw);
                } else {
                    push_key(&mut out.text, sample.raw, &labels, |name| {
                        is_overridden(name, sample.metric_type, &unit)
                    });
                }
                out.text.push_str(after);
            }
            Entry::Type { name, .. } | Entry::Help { name, .. } | Entry::Unit { name, .. } => {
                if *name != family {
                    name.as_ref().clone_into(&mut family);
                    unit.clear();
                }
                if let Entry::Unit { unit: said, .. } = &entry {
                    (*said).clone_into(&mut unit);
                }
                out.text.push_str(line);
            }
            Entry::Comment => out.text.push_str(line),
        }
        out.check(start).map_err(|fail| fail.place(body))?;
    }
}

/// Writes name and labels as they stand in the page, with `more` labels, and without those of which `is_left_out` says so.
fn push_key(out: &mut String, raw: &str, more: &str, is_left_out: impl Fn(&str) -> bool) {
    let Some(brace) = raw.find('{') else {
        out.push_str(raw);
        out.push('{');
        out.push_str(more);
        out.push('}');
        return;
    };
    let inside = raw[brace + 1..].trim_end_matches(['}', ' ', '\t', ',']);
    out.push_str(&raw[..=brace]);
    if raw.contains(METRIC_TYPE) || raw.contains(METRIC_UNIT) {
        for pair in pairs(inside).filter(|pair| !is_left_out(name_of(pair))) {
            out.push_str(pair);
            out.push(',');
        }
    } else if !inside.is_empty() {
        out.push_str(inside);
        out.push(',');
    }
    out.push_str(more);
    out.push('}');
}

/// `name="value"` one by one, and a name in quotes, as they are written.
fn pairs(inside: &str) -> impl Iterator<Item = &str> {
    let mut rest = inside;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = rest.find(|c: char| {
            let is_end = c == ',' && !is_quoted;
            is_quoted ^= c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        let (pair, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        (!pair.is_empty()).then_some(pair)
    })
}

fn name_of(pair: &str) -> &str {
    let name = pair.split('=').next().unwrap_or(pair).trim_end_matches([' ', '\t']);
    name.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Format, page: &str, expected: &str) {
        let mut out = Translation::new();
        with_type_and_unit(page.as_bytes(), format, &mut out).expect("a page");
        assert_eq!(out.text, expected);
        // It is a page again.
        let mut parser = Parser::new(out.text.as_bytes(), format);
        while parser.next_entry().expect("a page").is_some() {}
    }

    #[test]
    fn types_and_units_become_labels() {
        check(
            Format::Text004,
            "x 1\n# TYPE a counter\na 1\na{b=\"c\"} 2 5\na { b = \"c,}\" , } 3\n# TYPE u untyped\nu 1\n",
            "x 1\n# TYPE a counter\na{__type__=\"counter\"} 1\na{b=\"c\",__type__=\"counter\"} 2 5\n\
             a { b = \"c,}\",__type__=\"counter\"} 3\n# TYPE u untyped\nu 1\n",
        );
        check(
            Format::OpenMetrics100,
            "# TYPE s_seconds summary\n# UNIT s_seconds seconds\ns_seconds_sum 1 # {} 1\n# TYPE g gauge\ng 2\n# EOF\n",
            "# TYPE s_seconds summary\n# UNIT s_seconds seconds\n\
             s_seconds_sum{__type__=\"summary\",__unit__=\"seconds\"} 1 # {} 1\n# TYPE g gauge\ng{__type__=\"gauge\"} 2\n# EOF\n",
        );
    }

    #[test]
    fn what_the_page_says_of_a_family_wins() {
        check(
            Format::Text004,
            "# TYPE a gauge\na{__type__=\"x\",b=\"__type__=\\\"\"} 1\n{\"a b\",__unit__=\"y\"} 1\n",
            "# TYPE a gauge\na{b=\"__type__=\\\"\",__type__=\"gauge\"} 1\n{\"a b\",__unit__=\"y\",__type__=\"gauge\"} 1\n",
        );
    }

    /// What the lines of a page say, without types and units; `None` for what is no page.
    fn samples(page: &str, format: Format) -> Option<Vec<(model::Labels, u64, Option<i64>)>> {
        let (mut parser, mut builder) = (Parser::new(page.as_bytes(), format), model::LabelsBuilder::new());
        let mut all = Vec::new();
        while let Some(entry) = parser.next_entry().ok()? {
            if let Entry::Sample(sample) = entry {
                sample.fill_labels(&mut builder).ok()?;
                builder.remove(METRIC_TYPE).remove(METRIC_UNIT);
                all.push((builder.build(), sample.value.to_bits(), sample.t_ms));
            }
        }
        Some(all)
    }

    proptest::proptest! {
        #[test]
        fn a_page_stays_the_page_it_was(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "# TYPE a counter\n", "# TYPE b_s gauge\n", "# UNIT b_s s\n", "# HELP a x\n", "# x\n", "\n", "a", "b_s", "{", "}", " ", "\t",
                    ",", "c=\"1\"", "d=\"{,}\\\"\\\\\"", "\"e f\"", "__type__=\"x\"", "__unit__ = \"y\"", "\"__type__\"=\"z\"",
                    " 1\n", " 2 5\n", "a 1\n", "a{c=\"1\"} 1\n", "a{c=\"1\",} 2\n", "{\"e f\",c=\"2\"} 3\n", "b_s { } 4\n",
                ]),
                0..40,
            ),
            is_open: bool,
        ) {
            let format = if is_open { Format::OpenMetrics100 } else { Format::Text004 };
            let page = parts.concat() + if is_open { "# EOF\n" } else { "" };
            let mut out = Translation::new();
            if let Some(before) = samples(&page, format) {
                with_type_and_unit(page.as_bytes(), format, &mut out).expect("a page");
                proptest::prop_assert_eq!(samples(&out.text, format), Some(before), "{}", out.text);
            }
        }
    }
}
