//! `--enable-feature`: Prometheus' names for what is off by default, and what each means here.

use alertmanager::MatcherMode;
use anyhow::{Result, bail};

/// What a feature's name does.
#[derive(Debug, Clone, Copy)]
enum Effect {
    /// Switches something of [`Features`] on.
    Switch(fn(&mut Features)),
    /// Nothing is left to switch; why.
    Always(&'static str),
}

use Effect::{Always, Switch};

/// What was switched on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// Parts of the query language.
    pub language: promql::Features,
    /// Metric names go at the end of a query.
    pub delayed_name_removal: bool,
    /// `rate` and its like look at start timestamps.
    pub use_start_timestamps: bool,
    /// What scrapes do with start timestamps.
    pub starts: scrape::StartOptions,
    /// What else scrapes do.
    pub scrapes: scrape::FeatureOptions,
    /// `/api/v1/search/` answers.
    pub search: bool,
    /// As `--config.auto-reload`.
    pub auto_reload: bool,
    /// What becomes of counts of OTLP since the point before.
    pub otlp_delta: api::OtlpDelta,
    /// How the Alertmanager inside reads matchers.
    pub matcher_mode: MatcherMode,
}

const SUMMED: &str = "otlp-deltatocumulative";
const STORED: &str = "otlp-native-delta-ingestion";
const CLASSIC: &str = "classic-mode";
const STRICT: &str = "utf8-strict-mode";
const OWN_STORE: &str = "the store is built differently";

const FEATURES: &[(&str, Effect)] = &[
    ("auto-reload-config", Switch(|on| on.auto_reload = true)),
    (CLASSIC, Switch(|on| on.matcher_mode = MatcherMode::Classic)),
    ("concurrent-rule-eval", Always("groups run side by side already, rules of one group in order")),
    ("created-timestamp-zero-ingestion", Switch(|on| on.starts.zeros = true)),
    ("delayed-compaction", Always(OWN_STORE)),
    ("exemplar-storage", Always("exemplars are always stored")),
    ("extra-scrape-metrics", Switch(|on| on.scrapes.extra_scrape_metrics = true)),
    ("fast-startup", Always(OWN_STORE)),
    ("histograms-st-encoding", Always(OWN_STORE)),
    ("memory-snapshot-on-shutdown", Always(OWN_STORE)),
    ("metadata-wal-records", Always("metadata is always stored")),
    ("native-histograms", Always("they are always stored and computed with")),
    ("old-ui", Always("there is one web page")),
    ("ooo-native-histograms", Always("late histograms are always taken")),
    (SUMMED, Switch(|on| on.otlp_delta = api::OtlpDelta::Summed)),
    (STORED, Switch(|on| on.otlp_delta = api::OtlpDelta::Stored)),
    ("promql-binop-fill-modifiers", Switch(|on| on.language.fill_modifiers = true)),
    ("promql-delayed-name-removal", Switch(|on| on.delayed_name_removal = true)),
    ("promql-duration-expr", Always("duration expressions are always there")),
    ("promql-experimental-functions", Switch(|on| on.language.experimental_functions = true)),
    ("promql-extended-range-selectors", Switch(|on| on.language.extended_range_selectors = true)),
    ("promql-per-step-stats", Always("stats=all counts each step already")),
    ("search-api", Switch(|on| on.search = true)),
    ("st-storage", Switch(|on| on.starts.stored = true)),
    ("st-synthesis", Switch(|on| on.starts.synthesized = true)),
    ("type-and-unit-labels", Switch(|on| on.scrapes.type_and_unit_labels = true)),
    ("use-start-timestamps", Switch(|on| on.use_start_timestamps = true)),
    ("use-uncached-io", Always(OWN_STORE)),
    (STRICT, Switch(|on| on.matcher_mode = MatcherMode::Utf8Strict)),
    ("xor2-encoding", Always(OWN_STORE)),
];

impl Features {
    /// From the values of `--enable-feature`, each a name or several with commas between, and remarks for the log.
    ///
    /// # Errors
    /// Two names that exclude each other. An unknown name is a remark, as there.
    pub(crate) fn parse(values: &[String]) -> Result<(Self, Vec<String>)> {
        let (mut on, mut remarks) = (Self::default(), Vec::new());
        let names = || values.iter().flat_map(|list| list.split(',')).filter(|name| !name.is_empty());
        for (one, other) in [(SUMMED, STORED), (CLASSIC, STRICT)] {
            if names().any(|name| name == one) && names().any(|name| name == other) {
                bail!("cannot enable {one} and {other} features at the same time");
            }
        }
        for name in names() {
            match FEATURES.iter().find(|(known, _)| *known == name) {
                Some((_, Switch(switch))) => switch(&mut on),
                Some((_, Always(why))) => {
                    remarks.push(format!("--enable-feature={name} has no effect: {why}"));
                }
                None => remarks.push(format!("--enable-feature={name} is not known")),
            }
        }
        Ok((on, remarks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> Result<(Features, Vec<String>)> {
        Features::parse(&values.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn names_come_one_by_one_or_with_commas() {
        let (on, remarks) =
            parse(&["promql-experimental-functions,auto-reload-config", "exemplar-storage", "x", ""])
                .unwrap();
        assert!(on.language.experimental_functions && on.auto_reload && !on.language.fill_modifiers);
        assert_eq!(
            remarks,
            [
                "--enable-feature=exemplar-storage has no effect: exemplars are always stored",
                "--enable-feature=x is not known"
            ]
        );
        let (on, _) = parse(&["classic-mode"]).unwrap();
        assert_eq!(on.matcher_mode, MatcherMode::Classic);
        assert!(
            parse(&["classic-mode,utf8-strict-mode"]).unwrap_err().to_string().contains("at the same time")
        );
        let err = parse(&["otlp-deltatocumulative", "otlp-native-delta-ingestion"]).unwrap_err().to_string();
        assert_eq!(
            err,
            "cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion features at the same time"
        );
    }
}
