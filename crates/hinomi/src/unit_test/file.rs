//! The test file: YAML, read strictly.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use model::yaml::null_as_default;
use model::{Duration, Labels};
use rules::GroupSpec;
use serde::Deserialize;
use stdx::{Dir as _, DiskDir};

/// A minute. From promtool.
const INTERVAL_DEFAULT_MS: i64 = 60_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    #[serde(deserialize_with = "null_as_default")]
    rule_files: Vec<String>,
    evaluation_interval: Duration,
    #[serde(deserialize_with = "null_as_default")]
    group_eval_order: Vec<String>,
    fuzzy_compare: bool,
    #[serde(deserialize_with = "null_as_default")]
    tests: Vec<Test>,
}

/// One test.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Test {
    /// Empty when it has none.
    #[serde(deserialize_with = "null_as_default")]
    pub(super) name: String,
    /// Distance of samples.
    pub(super) interval: Duration,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) input_series: Vec<InputSeries>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) alert_rule_test: Vec<AlertTest>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) promql_expr_test: Vec<ExprTest>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) external_labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) external_url: String,
    /// RFC 3339 or Unix seconds; the epoch when empty.
    #[serde(deserialize_with = "null_as_default")]
    pub(super) start_timestamp: String,
}

/// A series in the notation of `promql::notation`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct InputSeries {
    #[serde(deserialize_with = "null_as_default")]
    pub(super) series: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) values: String,
}

/// Which alerts of a name fire at a time.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AlertTest {
    pub(super) eval_time: Duration,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) alertname: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) exp_alerts: Vec<ExpectedAlert>,
}

/// One of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExpectedAlert {
    #[serde(deserialize_with = "null_as_default")]
    pub(super) exp_labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) exp_annotations: BTreeMap<String, String>,
}

/// What an expression gives at a time.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExprTest {
    #[serde(deserialize_with = "null_as_default")]
    pub(super) expr: String,
    pub(super) eval_time: Duration,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) exp_samples: Vec<ExpectedSample>,
}

/// One series of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExpectedSample {
    #[serde(deserialize_with = "null_as_default")]
    pub(super) labels: String,
    pub(super) value: f64,
    /// In the notation of histograms; empty for none.
    #[serde(deserialize_with = "null_as_default")]
    pub(super) histogram: String,
}

/// A test file, ready to run.
#[derive(Debug)]
pub(super) struct TestFile {
    pub(super) rule_files: Vec<PathBuf>,
    pub(super) interval_ms: i64,
    pub(super) order: HashMap<String, usize>,
    pub(super) fuzzy_compare: bool,
    pub(super) tests: Vec<Test>,
}

fn text(path: &Path) -> Result<String, String> {
    let bytes = DiskDir::anywhere().read(path).map_err(|err| format!("{}: {err}", path.display()))?;
    String::from_utf8(bytes).map_err(|_| format!("{}: the file is not UTF-8 text", path.display()))
}

impl TestFile {
    /// On failure says what is wrong, and where.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let raw: Raw =
            model::yaml::parse(&path.display().to_string(), &text(path)?).map_err(|err| err.to_string())?;
        let mut order = HashMap::new();
        for (idx, name) in raw.group_eval_order.into_iter().enumerate() {
            if let Some(repeated) = order.insert(name.clone(), idx).map(|_| name) {
                return Err(format!("group name repeated in evaluation order: {repeated}"));
            }
        }
        let interval_ms = match raw.evaluation_interval.as_ms() {
            0 => INTERVAL_DEFAULT_MS,
            ms => ms,
        };
        let rule_files = super::rule_files(&raw.rule_files, path.parent().unwrap_or(Path::new("")));
        Ok(Self { rule_files, interval_ms, order, fuzzy_compare: raw.fuzzy_compare, tests: raw.tests })
    }

    /// The groups of all rule files, in the order of evaluation.
    pub(super) fn groups(&self, ignore_unknown_fields: bool) -> Result<Vec<GroupSpec>, Vec<String>> {
        let mut groups = Vec::new();
        for path in &self.rule_files {
            let name = path.display().to_string();
            let mut text = text(path).map_err(|why| vec![why])?;
            if ignore_unknown_fields {
                text = crate::config::known_fields(&name, &text).map_err(|why| vec![why])?;
            }
            groups.extend(
                rules::parse_file(&name, &text)
                    .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?,
            );
        }
        // Stable: groups that are not named keep the order of their files, before those that are named later.
        groups.sort_by_key(|group| self.order.get(&group.name).copied().unwrap_or(0));
        Ok(groups)
    }
}

impl Test {
    /// When the test begins, Unix milliseconds.
    pub(super) fn start_ms(&self) -> Result<i64, String> {
        match self.start_timestamp.as_str() {
            "" => Ok(0),
            text => api::parse_time(text).map_err(|why| format!("start_timestamp: {why}")),
        }
    }

    /// The last time that something is asked about, milliseconds after the start.
    pub(super) fn last_ms(&self) -> i64 {
        let alerts = self.alert_rule_test.iter().map(|test| test.eval_time.as_ms());
        let exprs = self.promql_expr_test.iter().map(|test| test.eval_time.as_ms());
        alerts.chain(exprs).max().unwrap_or(0)
    }

    /// For templates.
    pub(super) fn external_labels(&self) -> Labels {
        Labels::from_pairs(self.external_labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}
