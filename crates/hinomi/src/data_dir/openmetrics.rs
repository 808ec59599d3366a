//! `hinomi tsdb dump-openmetrics`: families with type, help and unit, samples with times and exemplars, as `import openmetrics` and promtool
//! read them.
//!
//! A family stands together, and within it all samples of one label set by rising time, as OpenMetrics demands. Of families of several
//! names, such as histograms, one label set is held in memory; of others one series.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write};

use anyhow::Result;
use model::float::{format_g, push_g};
use model::labels::{METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use model::{Exemplar, Labels, Matcher, Metadata, MetricType, TimeRange, is_stale};
use storage::{Queryable as _, SelectHints, Series};

use super::Selected;

/// What OpenMetrics has no form for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub n_histograms: usize,
    pub n_exemplars: usize,
}

/// Names that are exported together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    said: Metadata,
    /// Of its series.
    names: BTreeSet<String>,
}

impl Family {
    /// The label that tells the series of one metric apart.
    fn inner_label(&self) -> &'static str {
        if self.said.metric_type == MetricType::Summary { "quantile" } else { "le" }
    }

    /// Whether a sample of this name may have an exemplar.
    fn has_exemplars(&self, name: &str) -> bool {
        match self.said.metric_type {
            MetricType::Counter => name.ends_with("_total"),
            MetricType::Histogram | MetricType::GaugeHistogram => name.ends_with("_bucket"),
            _ => false,
        }
    }
}

/// Endings of sample names, and types of families that have them.
const ENDINGS: [(&str, &[MetricType]); 8] = {
    use MetricType::{Counter, GaugeHistogram, Histogram, Info, Summary};
    [
        ("_total", &[Counter]),
        ("_created", &[Counter, Histogram, Summary]),
        ("_bucket", &[Histogram, GaugeHistogram]),
        ("_count", &[Histogram, Summary]),
        ("_sum", &[Histogram, Summary]),
        ("_gcount", &[GaugeHistogram]),
        ("_gsum", &[GaugeHistogram]),
        ("_info", &[Info]),
    ]
};

/// The family that a sample of this name belongs to, by what was said of families.
fn family_of(name: &str, said: &BTreeMap<String, Metadata>) -> (String, Metadata) {
    for (ending, types) in ENDINGS {
        let Some(base) = name.strip_suffix(ending).filter(|base| !base.is_empty()) else { continue };
        // OpenMetrics names a counter without its ending, the text format with it.
        let of_text = said.get(&format!("{base}_total")).filter(|one| one.metric_type == MetricType::Counter);
        let found = said.get(base).filter(|one| types.contains(&one.metric_type));
        if let Some(found) = found.or_else(|| of_text.filter(|_| types.contains(&MetricType::Counter))) {
            return (base.to_owned(), found.clone());
        }
    }
    let mut found = said.get(name).cloned().unwrap_or_default();
    // What these types demand of names does not hold.
    if matches!(found.metric_type, MetricType::Counter | MetricType::Info) {
        found.metric_type = MetricType::Unknown;
    }
    (name.to_owned(), found)
}

/// Which families these names make.
fn families(names: BTreeSet<String>, said: &BTreeMap<String, Metadata>) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for name in names {
        let (family, said) = family_of(&name, said);
        let of_name = families.entry(family).or_default();
        // A series that has the bare name of a counter is of no type that has a name for both.
        if of_name.names.is_empty() || of_name.said == said {
            of_name.said = said;
        } else {
            of_name.said.metric_type = MetricType::Unknown;
        }
        of_name.names.insert(name);
    }
    families
}

/// Prints what is selected.
///
/// # Errors
/// When the store cannot be read, or `out` written.
pub(super) fn write(out: &mut impl Write, selected: &Selected<'_>) -> Result<LeftOut> {
    let range = selected.selection.range;
    let mut names = BTreeSet::new();
    for matchers in &selected.matchers {
        names.extend(selected.db.label_values(METRIC_NAME, matchers, TimeRange::ALL, usize::MAX)?);
    }
    let mut exemplars: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
    for matchers in &selected.matchers {
        exemplars.extend(selected.db.exemplars(matchers, range));
    }
    let mut dump = Dump { out, exemplars, left_out: LeftOut::default(), line: String::new() };
    for (name, family) in families(names, &selected.db.families()) {
        dump.family(selected, &name, &family)?;
    }
    writeln!(dump.out, "# EOF")?;
    let Dump { exemplars, mut left_out, .. } = dump;
    left_out.n_exemplars += exemplars.values().map(Vec::len).sum::<usize>();
    Ok(left_out)
}

struct Dump<'a, W> {
    out: &'a mut W,
    /// Those that no sample has taken yet.
    exemplars: BTreeMap<Labels, Vec<Exemplar>>,
    left_out: LeftOut,
    /// Of one sample.
    line: String,
}

impl<W: Write> Dump<'_, W> {
    fn family(&mut self, selected: &Selected<'_>, name: &str, family: &Family) -> Result<()> {
        let mut is_told = false;
        let range = selected.selection.range;
        if let [only] = &family.names.iter().collect::<Vec<_>>()[..]
            && family.said.metric_type != MetricType::Summary
        {
            let mut set = selected.select_also(
                &[Matcher::equal(METRIC_NAME, only.as_str())],
                range,
                &SelectHints::default(),
            )?;
            while let Some(series) = set.next()? {
                self.metric(name, family, &mut is_told, vec![series])?;
            }
            return Ok(());
        }
        for base in bases(selected, family)? {
            let own = self.series_of(selected, family, &base)?;
            self.metric(name, family, &mut is_told, own)?;
        }
        Ok(())
    }

    /// The series of a family that have these labels besides name and inner label.
    fn series_of(&self, selected: &Selected<'_>, family: &Family, base: &Labels) -> Result<Vec<Series>> {
        let mut own = Vec::new();
        for name in &family.names {
            let matchers: Vec<Matcher> = [(METRIC_NAME, name.as_str())]
                .into_iter()
                .chain(base.iter())
                .map(|(name, value)| Matcher::equal(name, value))
                .collect();
            let mut set =
                selected.select_also(&matchers, selected.selection.range, &SelectHints::default())?;
            while let Some(series) = set.next()? {
                // Others may have more labels.
                if base_of(&series.labels, family) == *base {
                    own.push(series);
                }
            }
        }
        own.sort_by(|a, b| place_of(&a.labels, family).total_cmp(&place_of(&b.labels, family)));
        Ok(own)
    }

    /// The series of one label set, by time; the head of the family before the first sample.
    fn metric(
        &mut self,
        name: &str,
        family: &Family,
        is_told: &mut bool,
        series: Vec<Series>,
    ) -> io::Result<()> {
        self.left_out.n_histograms += series.iter().map(|one| one.histograms.len()).sum::<usize>();
        let mut all: Vec<Points> = series
            .iter()
            .map(|one| {
                let may = family.has_exemplars(one.labels.metric_name());
                let exemplars = if may { self.exemplars.remove(&one.labels) } else { None };
                Points::new(one, exemplars.unwrap_or_default())
            })
            .collect();
        while let Some(t_ms) = all.iter().filter_map(Points::next_ms).min() {
            if !std::mem::replace(is_told, true) {
                self.head(name, &family.said)?;
            }
            for points in all.iter_mut().filter(|points| points.next_ms() == Some(t_ms)) {
                self.line.clear();
                points.put(&mut self.line);
                self.out.write_all(self.line.as_bytes())?;
            }
        }
        self.left_out.n_exemplars += all.iter().map(|points| points.exemplars.len()).sum::<usize>();
        Ok(())
    }

    fn head(&mut self, name: &str, said: &Metadata) -> io::Result<()> {
        let quoted =
            if is_legacy_metric_name(name) { name.to_owned() } else { format!("\"{}\"", escaped(name)) };
        writeln!(self.out, "# TYPE {quoted} {}", said.metric_type)?;
        // OpenMetrics demands that names end with their unit.
        let has_unit = name.strip_suffix(said.unit.as_str()).is_some_and(|base| base.ends_with('_'));
        if !said.unit.is_empty() && has_unit {
            writeln!(self.out, "# UNIT {quoted} {}", said.unit)?;
        }
        if !said.help.is_empty() {
            writeln!(self.out, "# HELP {quoted} {}", escaped(&said.help))?;
        }
        Ok(())
    }
}

/// A series' labels without its name and what tells it from others of its metric.
fn base_of(labels: &Labels, family: &Family) -> Labels {
    let mut builder = labels.to_builder();
    builder.remove(METRIC_NAME).remove(family.inner_label());
    builder.build()
}

/// Buckets and quantiles by their number, then the rest.
fn place_of(labels: &Labels, family: &Family) -> f64 {
    let number = labels.get(family.inner_label()).and_then(|text| model::float::parse(text).ok());
    // Greater than infinity by the total order.
    number.unwrap_or(f64::NAN)
}

fn bases(selected: &Selected<'_>, family: &Family) -> Result<BTreeSet<Labels>> {
    let mut bases = BTreeSet::new();
    let hints = SelectHints { labels_only: true, ..SelectHints::default() };
    for name in &family.names {
        let mut set =
            selected.select_also(&[Matcher::equal(METRIC_NAME, name)], selected.selection.range, &hints)?;
        while let Some(series) = set.next()? {
            bases.insert(base_of(&series.labels, family));
        }
    }
    Ok(bases)
}

/// A series on its way out.
struct Points<'a> {
    /// Name and labels, as they are written.
    head: String,
    series: &'a Series,
    next: usize,
    /// By falling time.
    exemplars: Vec<Exemplar>,
}

impl<'a> Points<'a> {
    fn new(series: &'a Series, mut exemplars: Vec<Exemplar>) -> Self {
        exemplars.sort_by_key(|one| std::cmp::Reverse(one.t_ms));
        let mut points = Self { head: head_of(&series.labels), series, next: 0, exemplars };
        points.skip_stale();
        points
    }

    /// The text cannot carry staleness markers.
    fn skip_stale(&mut self) {
        while self.series.values.get(self.next).is_some_and(|value| is_stale(*value)) {
            self.next += 1;
        }
    }

    fn next_ms(&self) -> Option<i64> {
        self.series.timestamps.get(self.next).copied()
    }

    /// Appends the next sample, with the oldest exemplar that is not newer; the last sample takes one that is.
    fn put(&mut self, line: &mut String) {
        let (Some(t_ms), Some(value)) = (self.next_ms(), self.series.values.get(self.next)) else { return };
        self.next += 1;
        self.skip_stale();
        line.push_str(&self.head);
        line.push(' ');
        push_g(line, *value);
        put_time(line, t_ms);
        let is_last = self.next_ms().is_none();
        if self.exemplars.last().is_some_and(|one| is_last || one.t_ms <= t_ms)
            && let Some(exemplar) = self.exemplars.pop()
        {
            line.push_str(" # ");
            put_labels(line, None, &exemplar.labels);
            line.push(' ');
            line.push_str(&format_g(exemplar.value));
            put_time(line, exemplar.t_ms);
        }
        line.push('\n');
    }
}

fn head_of(labels: &Labels) -> String {
    let (name, rest) = (labels.metric_name(), labels.without_metric_name());
    let mut out = String::new();
    if is_legacy_metric_name(name) {
        out.push_str(name);
        if !rest.is_empty() {
            put_labels(&mut out, None, &rest);
        }
    } else {
        put_labels(&mut out, Some(name), &rest);
    }
    out
}

/// In braces; a name that is none of the old kind stands among them, in quotes.
fn put_labels(out: &mut String, metric: Option<&str>, labels: &Labels) {
    out.push('{');
    let mut sep = "";
    if let Some(metric) = metric {
        let _ = write!(out, "\"{}\"", escaped(metric));
        sep = ",";
    }
    for (name, value) in labels {
        let quote = if is_legacy_label_name(name) { "" } else { "\"" };
        let _ = write!(out, "{sep}{quote}{}{quote}=\"{}\"", escaped(name), escaped(value));
        sep = ",";
    }
    out.push('}');
}

fn put_time(out: &mut String, t_ms: i64) {
    let sign = if t_ms < 0 { "-" } else { "" };
    let t_ms = t_ms.unsigned_abs();
    let _ = write!(out, " {sign}{}.{:03}", t_ms / 1000, t_ms % 1000);
}

/// OpenMetrics knows three escapes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_families_by_what_was_said() {
        use MetricType::{Counter, Gauge, Histogram, Info, Summary, Unknown};
        let said = [
            ("a", Counter),
            ("b_total", Counter),
            ("c", Counter),
            ("h", Histogram),
            ("s", Summary),
            ("g_count", Gauge),
            ("i", Info),
        ];
        let said: BTreeMap<String, Metadata> = said
            .into_iter()
            .map(|(name, metric_type)| (name.to_owned(), Metadata { metric_type, ..Metadata::default() }))
            .collect();
        for (name, family, metric_type) in [
            ("a_total", "a", Counter),
            ("a_created", "a", Counter),
            ("b_total", "b", Counter),
            ("b_created", "b", Counter),
            // A counter needs its ending.
            ("c", "c", Unknown),
            ("h_bucket", "h", Histogram),
            ("h_sum", "h", Histogram),
            ("h_created", "h", Histogram),
            ("h_total", "h_total", Unknown),
            ("s", "s", Summary),
            ("s_count", "s", Summary),
            ("s_bucket", "s_bucket", Unknown),
            ("g_count", "g_count", Gauge),
            ("i_info", "i", Info),
            ("z_total", "z_total", Unknown),
            ("_total", "_total", Unknown),
        ] {
            let (found, meta) = family_of(name, &said);
            assert_eq!((found.as_str(), meta.metric_type), (family, metric_type), "{name}");
        }
        let names = ["a", "a_total", "h_bucket", "h_count"].map(str::to_owned);
        let found = families(names.into_iter().collect(), &said);
        assert_eq!(found["a"].said.metric_type, Unknown, "a bare name beside a counter's");
        assert_eq!(found["h"].names.len(), 2);
    }

    #[test]
    fn times_and_names_are_written_so_that_they_can_be_read() {
        let time = |t_ms: i64| {
            let mut out = String::new();
            put_time(&mut out, t_ms);
            out
        };
        assert_eq!(
            [time(1_500), time(0), time(-1), time(-2_050)],
            [" 1.500", " 0.000", " -0.001", " -2.050"]
        );
        let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        assert_eq!(head_of(&labels(&[("__name__", "a"), ("x", "1\n\"\\")])), r#"a{x="1\n\"\\"}"#);
        assert_eq!(head_of(&labels(&[("__name__", "a.b"), ("x y", "1")])), r#"{"a.b","x y"="1"}"#);
        assert_eq!(head_of(&labels(&[("__name__", "a")])), "a");
    }
}
