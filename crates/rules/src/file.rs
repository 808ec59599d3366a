//! Rule files: YAML read strictly and checked, every error with file, line and column.
//!
//! In from the binary, one file at a time; out as [`GroupSpec`]s for [`crate::Manager`].
//! Format and wording: Prometheus' `model/rulefmt`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::labels::{METRIC_NAME, quoted};
use model::yaml::{YamlError, null_as_default};
use model::{Duration, Labels};
use promql::Expr;
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use crate::measure::Measure;
use crate::no_data::{NO_DATA_FOR_MS, NoData, NoDataSpec};
use crate::template::check_template;

/// Rules of one group, at most. Chosen: far above any known file.
pub const RULES_PER_GROUP_MAX: usize = 20_000;

/// An expression with the text it came from.
#[derive(Debug, Clone)]
pub struct Expression {
    /// As it was written.
    pub text: String,
    /// As it was read.
    pub expr: Arc<Expr>,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleSpec {
    /// Its result is stored under a name.
    Recording {
        /// The name.
        record: String,
        /// What is evaluated.
        expr: Expression,
        /// Set on every result; an empty value removes the label.
        labels: BTreeMap<String, String>,
    },
    /// Every series of its result is an alert.
    Alerting {
        /// The alert's name.
        alert: String,
        /// What is evaluated.
        expr: Expression,
        /// How long it must hold before it fires, milliseconds.
        hold_ms: i64,
        /// How long it goes on firing once it no longer holds, milliseconds.
        keep_firing_ms: i64,
        /// What happens to alerts whose series vanish.
        no_data: NoDataSpec,
        /// Templates.
        labels: BTreeMap<String, String>,
        /// Templates.
        annotations: BTreeMap<String, String>,
    },
}

impl RuleSpec {
    /// The name of the series or of the alert.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Recording { record, .. } => record,
            Self::Alerting { alert, .. } => alert,
        }
    }

    /// What is evaluated.
    #[must_use]
    pub fn expr(&self) -> &Expression {
        match self {
            Self::Recording { expr, .. } | Self::Alerting { expr, .. } => expr,
        }
    }

    /// Its labels as written.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Recording { labels, .. } | Self::Alerting { labels, .. } => labels,
        }
    }

    pub(crate) fn is_alerting(&self) -> bool {
        matches!(self, Self::Alerting { .. })
    }
}

/// One group: rules evaluated one after another at the same times.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSpec {
    /// The file it stands in.
    pub file: String,
    /// Its name, unique within the file.
    pub name: String,
    /// How often, milliseconds; `None` for the configuration's `evaluation_interval`.
    pub interval_ms: Option<i64>,
    /// How much earlier than now it is evaluated, milliseconds; `None` for `rule_query_offset`.
    pub query_offset_ms: Option<i64>,
    /// How many series or alerts a rule may make; 0 for any.
    pub limit: usize,
    /// The rules.
    pub rules: Vec<RuleSpec>,
}

impl GroupSpec {
    /// Where it is evaluated within its interval, milliseconds: the same at every start.
    #[must_use]
    pub fn phase_ms(&self, interval_ms: i64) -> i64 {
        crate::grid::phase_ms(interval_ms, &self.file, &self.name)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawFile {
    #[serde(deserialize_with = "without_nulls")]
    groups: Vec<RawGroup>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: Spanned<String>,
    interval: Option<Duration>,
    query_offset: Option<Duration>,
    /// Below zero as zero, which is no limit.
    #[serde(default, deserialize_with = "null_as_default")]
    limit: i64,
    #[serde(default, deserialize_with = "null_as_default")]
    labels: BTreeMap<String, Spanned<String>>,
    #[serde(default, deserialize_with = "without_nulls")]
    rules: Vec<Spanned<RawRule>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRule {
    record: Option<Spanned<String>>,
    alert: Option<Spanned<String>>,
    expr: Option<Spanned<String>>,
    #[serde(rename = "for")]
    hold: Option<Spanned<Duration>>,
    keep_firing_for: Option<Spanned<Duration>>,
    #[serde(deserialize_with = "null_as_default")]
    labels: BTreeMap<String, Spanned<String>>,
    annotations: Option<BTreeMap<String, Spanned<String>>>,
    hinomi: Option<Spanned<RawOwn>>,
}

/// `hinomi` of a rule: what Prometheus does not have, and refuses.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawOwn {
    no_data: Option<String>,
    no_data_for: Option<Duration>,
}

/// Elements without a value are none, as in Go's yaml.v3.
fn without_nulls<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let elements = Option::<Vec<Option<T>>>::deserialize(deserializer)?;
    Ok(elements.into_iter().flatten().flatten().collect())
}

/// Reads one file. `file` names it, in errors and in the API.
///
/// # Errors
/// Everything that is wrong with it, by line; when it is no YAML of this shape, the first such error alone.
pub fn parse_file(file: &str, text: &str) -> Result<Vec<GroupSpec>, Vec<YamlError>> {
    let raw: RawFile = model::yaml::parse(file, text).map_err(|err| vec![err])?;
    let mut checker = Checker { file, group: String::new(), rule: None, errors: Vec::new() };
    let mut names: Vec<String> = Vec::new();
    let mut groups = Vec::with_capacity(raw.groups.len());
    for group in raw.groups {
        if group.name.value.is_empty() {
            checker.fail(&group.name, "Groupname must not be empty".to_owned());
        }
        if names.contains(&group.name.value) {
            let message = format!("groupname: \"{}\" is repeated in the same file", group.name.value);
            checker.fail(&group.name, message);
        }
        names.push(group.name.value.clone());
        groups.push(checker.group(group));
    }
    let mut errors = checker.errors;
    if errors.is_empty() {
        return Ok(groups);
    }
    errors.sort_by_key(|err| (err.line, err.column));
    Err(errors)
}

struct Checker<'a> {
    file: &'a str,
    group: String,
    /// Number from 1 and name of the rule at hand.
    rule: Option<(usize, String)>,
    errors: Vec<YamlError>,
}

impl Checker<'_> {
    fn fail<T>(&mut self, at: &Spanned<T>, message: String) {
        let message = match &self.rule {
            Some((number, name)) => {
                format!("group {}, rule {number}, {}: {message}", quoted(&self.group), quoted(name))
            }
            None => message,
        };
        let (line, column) = (at.referenced.line(), at.referenced.column());
        self.errors.push(YamlError { file: self.file.to_owned(), line, column, message });
    }

    fn group(&mut self, raw: RawGroup) -> GroupSpec {
        self.group.clone_from(&raw.name.value);
        for (name, value) in &raw.labels {
            if name.is_empty() || name == METRIC_NAME {
                self.fail(value, format!("invalid label name: {name}"));
            }
        }
        if raw.rules.len() > RULES_PER_GROUP_MAX {
            self.fail(&raw.name, format!("more than {RULES_PER_GROUP_MAX} rules in one group: split it"));
        }
        let mut rules = Vec::with_capacity(raw.rules.len());
        for (idx, mut rule) in raw.rules.into_iter().enumerate() {
            // A rule's own label wins over its group's.
            for (name, value) in &raw.labels {
                rule.value.labels.entry(name.clone()).or_insert_with(|| value.clone());
            }
            let name =
                rule.value.record.as_ref().or(rule.value.alert.as_ref()).map(|name| name.value.clone());
            self.rule = Some((idx + 1, name.unwrap_or_default()));
            rules.extend(self.rule(&rule));
            self.rule = None;
        }
        GroupSpec {
            file: self.file.to_owned(),
            name: raw.name.value,
            interval_ms: raw.interval.map(Duration::as_ms).filter(|ms| *ms > 0),
            query_offset_ms: raw.query_offset.map(Duration::as_ms),
            limit: usize::try_from(raw.limit).unwrap_or(0),
            rules,
        }
    }

    fn rule(&mut self, at: &Spanned<RawRule>) -> Option<RuleSpec> {
        let raw = &at.value;
        let given = |name: &Option<Spanned<String>>| name.clone().filter(|name| !name.value.is_empty());
        let (record, alert) = (given(&raw.record), given(&raw.alert));
        if record.is_some() && alert.is_some() {
            self.fail(at, "only one of 'record' and 'alert' must be set".to_owned());
        }
        if record.is_none() && alert.is_none() {
            self.fail(at, "one of 'record' or 'alert' must be set".to_owned());
        }
        let expr = self.expression(at);
        self.label_names(raw, alert.is_some());
        let labels = texts(&raw.labels);
        let no_data = self.no_data(at, expr.as_ref());
        if let Some(record) = record {
            self.recording(raw, &record);
            return Some(RuleSpec::Recording { record: record.value, expr: expr?, labels });
        }
        let annotations = raw.annotations.as_ref().map(texts).unwrap_or_default();
        self.templates(raw, "label", &raw.labels);
        if let Some(annotations) = &raw.annotations {
            self.templates(raw, "annotation", annotations);
        }
        Some(RuleSpec::Alerting {
            alert: alert?.value,
            expr: expr?,
            hold_ms: raw.hold.as_ref().map_or(0, |hold| hold.value.as_ms()),
            keep_firing_ms: raw.keep_firing_for.as_ref().map_or(0, |keep| keep.value.as_ms()),
            no_data,
            labels,
            annotations,
        })
    }

    /// What becomes of alerts without data, which only rules that compare can tell from those that ended.
    fn no_data(&mut self, at: &Spanned<RawRule>, expr: Option<&Expression>) -> NoDataSpec {
        let Some(own) = &at.value.hinomi else { return NoDataSpec::default() };
        let text = own.value.no_data.as_deref().unwrap_or("resolve");
        let Some(what) = NoData::parse(text) else {
            self.fail(own, format!("no_data must be resolve, keep or alert, not {}", quoted(text)));
            return NoDataSpec::default();
        };
        let is_known = expr.is_none_or(|expr| Measure::of(&expr.expr).expr.is_some());
        if what != NoData::Resolve && !is_known {
            self.fail(own, format!("no_data: {text} needs an expression that compares, as «x > 1»"));
        }
        let for_ms = own.value.no_data_for.map_or(NO_DATA_FOR_MS, Duration::as_ms);
        NoDataSpec { what, for_ms }
    }

    fn expression(&mut self, at: &Spanned<RawRule>) -> Option<Expression> {
        let Some(text) = at.value.expr.as_ref().filter(|expr| !expr.value.is_empty()) else {
            self.fail(at, "field 'expr' must be set in rule".to_owned());
            return None;
        };
        match promql::parse(&text.value) {
            Ok(expr) => Some(Expression { text: text.value.clone(), expr: Arc::new(expr) }),
            Err(err) => {
                self.fail(text, format!("could not parse expression: {err}"));
                None
            }
        }
    }

    fn label_names(&mut self, raw: &RawRule, is_alert: bool) {
        for (name, value) in &raw.labels {
            if name.is_empty() || name == METRIC_NAME {
                self.fail(value, format!("invalid label name: {name}"));
            }
        }
        for (name, value) in raw.annotations.iter().flatten() {
            if is_alert && name.is_empty() {
                self.fail(value, format!("invalid annotation name: {name}"));
            }
        }
    }

    fn recording(&mut self, raw: &RawRule, record: &Spanned<String>) {
        if let Some((_, value)) = raw.annotations.iter().flatten().next() {
            self.fail(value, "invalid field 'annotations' in recording rule".to_owned());
        }
        if let Some(hold) = raw.hold.as_ref().filter(|hold| !hold.value.is_zero()) {
            self.fail(hold, "invalid field 'for' in recording rule".to_owned());
        }
        if let Some(keep) = raw.keep_firing_for.as_ref().filter(|keep| !keep.value.is_zero()) {
            self.fail(keep, "invalid field 'keep_firing_for' in recording rule".to_owned());
        }
        if let Some(own) = &raw.hinomi {
            self.fail(own, "invalid field 'hinomi' in recording rule".to_owned());
        }
        if record.value.contains(['{', '}']) {
            let message =
                format!("braces present in the recording rule name; should it be in expr?: {}", record.value);
            self.fail(record, message);
        }
    }

    fn templates(&mut self, raw: &RawRule, what: &str, texts: &BTreeMap<String, Spanned<String>>) {
        let alert = raw.alert.as_ref().map_or("", |alert| alert.value.as_str());
        for (name, text) in texts {
            if let Err(err) = check_template(alert, &text.value) {
                self.fail(text, format!("{what} {}: {err}", quoted(name)));
            }
        }
    }
}

fn texts(raw: &BTreeMap<String, Spanned<String>>) -> BTreeMap<String, String> {
    raw.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect()
}

/// The labels as a set; those with an empty value are gone.
pub(crate) fn label_set(labels: &BTreeMap<String, String>) -> Labels {
    Labels::from_pairs(labels)
}
