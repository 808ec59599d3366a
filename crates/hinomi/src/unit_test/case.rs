//! One test: samples loaded step by step, rules evaluated, alerts compared on the way and expressions at the end.

use std::sync::Arc;

use model::{Labels, TimeRange};
use promql::notation::{self, Place, Sample};
use promql::{Engine, EngineOptions, QueryOptions};
use rules::{AlertState, Env, NoSink, Options, Trial};
use stdx::{Clock, MemDir, SystemClock};
use storage::{Appendable as _, Queryable as _, SelectHints};
use tsdb::Db;

use super::Settings;
use super::compare::{AlertOf, SampleOf, alerts_differ, samples_differ};
use super::file::{AlertTest, ExprTest, Test, TestFile};
use crate::say;

/// Samples of one series that are still to come.
struct Input {
    labels: Labels,
    places: std::iter::Enumerate<std::vec::IntoIter<Place>>,
    next: Option<(usize, Place)>,
}

/// A test under way.
struct Case<'a> {
    name: &'a str,
    test: &'a Test,
    file: &'a TestFile,
    settings: &'a Settings,
    start_ms: i64,
    store: Arc<Db>,
    engine: Engine,
    inputs: Vec<Input>,
}

/// Runs it. Returns what is wrong.
pub(super) fn run(name: &str, test: &Test, file: &TestFile, settings: &Settings) -> Vec<String> {
    match Case::begin(name, test, file, settings) {
        Ok(mut case) => case.run(),
        Err(errors) => errors,
    }
}

impl<'a> Case<'a> {
    fn begin(
        name: &'a str,
        test: &'a Test,
        file: &'a TestFile,
        settings: &'a Settings,
    ) -> Result<Self, Vec<String>> {
        let start_ms = test.start_ms().map_err(|why| vec![why])?;
        let mut inputs = Vec::new();
        for input in &test.input_series {
            let parsed = notation::labels(&input.series)
                .and_then(|labels| Ok((labels, notation::places(&input.values)?)))
                .map_err(|why| {
                    vec![format!("    series {:?}, values {:?}: {why}", input.series, input.values)]
                })?;
            let mut places = parsed.1.into_iter().enumerate();
            let next = places.next();
            inputs.push(Input { labels: parsed.0, places, next });
        }
        let options = tsdb::Options { retention_ms: 0, ..tsdb::Options::default() };
        let (store, _) =
            Db::open(Arc::new(MemDir::new()), options, start_ms).map_err(|err| vec![err.to_string()])?;
        let engine = Engine::new(EngineOptions {
            subquery_step_ms: file.interval_ms,
            delayed_name_removal: settings.delayed_name_removal,
            ..EngineOptions::default()
        });
        Ok(Self { name, test, file, settings, start_ms, store: Arc::new(store), engine, inputs })
    }

    fn run(&mut self) -> Vec<String> {
        if self.settings.debug {
            say(&format!("DEBUG: Starting test {}", self.name));
        }
        let errors = self.evaluate().unwrap_or_else(|errors| errors);
        if self.settings.debug {
            say(&format!("DEBUG: Test {} finished", self.name));
        }
        errors
    }

    /// `Err` when it could not go on to its end.
    fn evaluate(&mut self) -> Result<Vec<String>, Vec<String>> {
        let groups = self.file.groups(self.settings.ignore_unknown_fields)?;
        if let Some(test) = self.test.alert_rule_test.iter().find(|test| test.alertname.is_empty()) {
            let place = if self.test.name.is_empty() {
                String::new()
            } else {
                format!(" (in TestGroup {})", self.test.name)
            };
            return Err(vec![format!(
                "an item under alert_rule_test misses required attribute alertname at eval_time {}{place}",
                test.eval_time
            )]);
        }
        let env = Env {
            queryable: self.store.clone(),
            appendable: self.store.clone(),
            sink: Arc::new(NoSink),
            clock: Arc::new(SystemClock::new()) as Arc<dyn Clock>,
        };
        let options = Options {
            engine: self.engine.clone(),
            external_labels: self.test.external_labels(),
            external_url: Arc::from(self.test.external_url.as_str()),
            interval_ms: self.file.interval_ms,
            ..Options::default()
        };
        let mut trial = Trial::new(groups, env, options);
        let mut alert_tests: Vec<&AlertTest> = self.test.alert_rule_test.iter().collect();
        alert_tests.sort_by_key(|test| test.eval_time);
        let mut alert_tests = alert_tests.into_iter().peekable();
        let mut errors = Vec::new();
        let mut after_ms = 0;
        while after_ms <= self.test.last_ms() {
            self.load_until(after_ms).map_err(|why| vec![why])?;
            let failed = trial.evaluate(self.start_ms + after_ms);
            if !failed.is_empty() {
                let time = model::Duration::from_ms(after_ms);
                let text = |failure: &rules::RuleFailure| {
                    format!("    rule: {}, time: {time}, err: {}", failure.rule, failure.error)
                };
                errors.extend(failed.iter().map(text));
                return Err(errors);
            }
            // A time between two evaluations sees what the one before it left.
            while let Some(test) =
                alert_tests.next_if(|test| test.eval_time.as_ms() < after_ms + self.file.interval_ms)
            {
                errors.extend(self.alerts(test, &trial));
            }
            after_ms += self.file.interval_ms;
        }
        if self.settings.debug {
            self.dump();
        }
        errors.extend(self.test.promql_expr_test.iter().filter_map(|test| self.expression(test)));
        Ok(errors)
    }

    /// Stores samples up to a time after the start.
    fn load_until(&mut self, after_ms: i64) -> Result<(), String> {
        let interval_ms = match self.test.interval.as_ms() {
            0 => self.file.interval_ms,
            ms => ms,
        };
        let now_ms = self.start_ms + after_ms;
        let mut appender = self.store.appender(now_ms);
        for input in &mut self.inputs {
            while let Some((idx, place)) = input.next.take() {
                let offset_ms = interval_ms.saturating_mul(idx as i64);
                if offset_ms > after_ms {
                    input.next = Some((idx, place));
                    break;
                }
                let t_ms = self.start_ms + offset_ms;
                let appended = match &place {
                    None => Ok(()),
                    Some(Sample::Float(value)) => {
                        appender.append(None, &input.labels, t_ms, *value).map(drop)
                    }
                    Some(Sample::Histogram(written)) => {
                        appender.append_histogram(None, &input.labels, t_ms, 0, &written.histogram).map(drop)
                    }
                };
                appended.map_err(|err| format!("    series {}: {err}", input.labels))?;
                input.next = input.places.next();
            }
        }
        appender.commit().map(drop).map_err(|err| err.to_string())
    }

    fn alerts(&self, test: &AlertTest, trial: &Trial) -> Option<String> {
        let views = trial.views();
        let alerting = views.iter().flat_map(|group| &group.rules).filter(|rule| rule.name == test.alertname);
        let alerts = alerting.filter_map(|rule| rule.alerting.as_ref()).flat_map(|alerting| &alerting.alerts);
        let firing = alerts.filter(|alert| alert.state == AlertState::Firing);
        let got = firing
            .map(|alert| AlertOf { labels: alert.labels.clone(), annotations: alert.annotations.clone() });
        let labels = |map: &std::collections::BTreeMap<String, String>| {
            Labels::from_pairs(map.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        };
        let expected = test.exp_alerts.iter().map(|alert| {
            let mut with_name = labels(&alert.exp_labels).to_builder();
            with_name.set(model::alert::ALERT_NAME, &test.alertname);
            AlertOf { labels: with_name.build(), annotations: labels(&alert.exp_annotations) }
        });
        let difference = alerts_differ(expected.collect(), got.collect(), self.settings.diff)?;
        let name = if self.test.name.is_empty() {
            String::new()
        } else {
            format!("    name: {},\n", self.test.name)
        };
        Some(format!("{name}    alertname: {}, time: {}, \n{difference}", test.alertname, test.eval_time))
    }

    fn expression(&self, test: &ExprTest) -> Option<String> {
        let fail = |why: String| {
            Some(format!("    expr: {}, time: {},{why}", model::labels::quoted(&test.expr), test.eval_time))
        };
        let got = match self.ask(&test.expr, test.eval_time.as_ms()) {
            Ok(got) => got,
            Err(why) => return fail(format!(" err: {why}")),
        };
        let mut expected = Vec::new();
        for sample in &test.exp_samples {
            match SampleOf::expected(sample) {
                Ok(sample) => expected.push(sample),
                Err(why) => {
                    let labels = model::labels::quoted(&sample.labels);
                    return fail(format!(" err: labels {labels}: {why}"));
                }
            }
        }
        samples_differ(expected, got, self.file.fuzzy_compare, self.settings.diff).and_then(fail)
    }

    fn ask(&self, expr: &str, after_ms: i64) -> Result<Vec<SampleOf>, String> {
        let expr = promql::parse(expr).map_err(|err| err.to_string())?;
        let output = self
            .engine
            .instant(&*self.store, &expr, self.start_ms + after_ms, &QueryOptions::default())
            .map_err(|err| err.to_string())?;
        match output.value {
            promql::Value::Vector(samples) => Ok(samples.into_iter().map(SampleOf::got).collect()),
            promql::Value::Scalar { value, .. } => {
                Ok(vec![SampleOf { labels: Labels::empty(), value, histogram: None }])
            }
            _ => Err("rule result is not a vector or scalar".to_owned()),
        }
    }

    /// Everything that is stored, as a query of all of it would show.
    fn dump(&self) {
        let until_ms = (self.test.last_ms() / 1000 + 1) * 1000;
        say(&format!(
            "DEBUG: Dump of all data (input_series and rules) at {}:",
            model::Duration::from_ms(until_ms)
        ));
        let range = TimeRange::new(i64::MIN, self.start_ms.saturating_add(until_ms));
        let Ok(mut set) = self.store.select(&[], range, &SelectHints::default()) else { return };
        while let Ok(Some(series)) = set.next() {
            say(&format!("{} =>", series.labels));
            let floats = series.timestamps.iter().zip(&series.values);
            let floats = floats.map(|(t_ms, value)| (*t_ms, model::float::format_g(*value)));
            let histograms = series
                .histograms
                .iter()
                .map(|sample| (sample.t_ms, notation::format_histogram(&sample.histogram)));
            let mut points: Vec<(i64, String)> = floats.chain(histograms).collect();
            points.sort();
            points.into_iter().for_each(|(t_ms, value)| say(&format!("{value} @[{t_ms}]")));
        }
    }
}
