//! Pages into the reference store: values, conflicts, limits, staleness.

use std::fmt::Write as _;
use std::sync::Arc;

use model::labels::METRIC_NAME;
use model::{Matcher, TimeRange, is_stale};
use storage::{AppendStats, Appendable, MemStore, Queryable, SelectHints, StorageError};
use wire::exposition::diff::Blocks;

use super::*;

mod natives;
mod rows;
mod starts;

/// A store that takes single samples only.
struct NoRows<'a>(Box<dyn Appender + 'a>);

impl Appender for NoRows<'_> {
    fn append(
        &mut self,
        known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        self.0.append(known, labels, t_ms, value)
    }

    fn append_with_start(
        &mut self,
        known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        start_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        self.0.append_with_start(known, labels, t_ms, start_ms, value)
    }

    fn append_zero(&mut self, labels: &Labels, t_ms: i64, start_ms: i64) -> Result<(), AppendError> {
        self.0.append_zero(labels, t_ms, start_ms)
    }

    fn append_histogram(
        &mut self,
        known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        start_ms: i64,
        histogram: &model::Histogram,
    ) -> Result<SeriesRef, AppendError> {
        self.0.append_histogram(known, labels, t_ms, start_ms, histogram)
    }

    fn commit(self: Box<Self>) -> Result<AppendStats, StorageError> {
        self.0.commit()
    }
}

/// A target and its store, scraped by hand.
struct Bench {
    config: ScrapeConfig,
    labels: Labels,
    cache: ScrapeCache,
    scratch: Scratch,
    store: MemStore,
    takes_rows: bool,
    starts: StartOptions,
    type_and_unit_labels: bool,
}

impl Bench {
    fn new(job: &str) -> Self {
        Self {
            config: crate::config::tests::job(job),
            labels: Labels::from_pairs([("job", "a"), ("instance", "h:1")]),
            cache: ScrapeCache::new(Arc::new(Blocks::new()), ReportSeries::default()),
            scratch: Scratch::default(),
            store: MemStore::new(),
            takes_rows: true,
            starts: StartOptions::default(),
            type_and_unit_labels: false,
        }
    }

    /// One whose store takes single samples only.
    fn without_rows(job: &str) -> Self {
        Self { takes_rows: false, ..Self::new(job) }
    }

    /// Scrapes a page, as the driver would: a bad page ends all series.
    fn scrape(&mut self, t_ms: i64, page: &str) -> Result<IngestStats, String> {
        self.scrape_as(t_ms, page, Format::Text004)
    }

    fn scrape_as(&mut self, t_ms: i64, page: &str, format: Format) -> Result<IngestStats, String> {
        self.scrape_bytes(t_ms, page.as_bytes(), format)
    }

    fn scrape_bytes(&mut self, t_ms: i64, page: &[u8], format: Format) -> Result<IngestStats, String> {
        let options = IngestOptions {
            natives_beside: &[],
            starts: self.starts,
            type_and_unit_labels: self.type_and_unit_labels,
            ..IngestOptions::new(&self.config, &self.labels)
        };
        let begin = || -> Box<dyn Appender + '_> {
            let appender = self.store.appender(t_ms);
            if self.takes_rows { appender } else { Box::new(NoRows(appender)) }
        };
        let mut appender = begin();
        let (cache, scratch) = (&mut self.cache, &mut self.scratch);
        let result = ingest(page, format, t_ms, cache, scratch, &mut *appender, &options);
        let mut result = result.map_err(|refused| refused.error.to_string());
        if result.is_err() {
            drop(appender);
            appender = begin();
            fail(t_ms, cache, scratch, &mut *appender);
        }
        let mut ignored = IngestStats::default();
        let stats = result.as_mut().unwrap_or(&mut ignored);
        finish(t_ms, cache, scratch, &mut *appender, &options, None, stats);
        let committed = appender.commit();
        cache.committed(committed.is_ok());
        committed.unwrap();
        result
    }

    /// Every series on a line: labels without the target's, then `time:value`.
    fn stored(&self) -> String {
        let all = [Matcher::new(model::MatchOp::NotEqual, METRIC_NAME, "").unwrap()];
        let mut set = self.store.select(&all, TimeRange::ALL, &SelectHints::default()).unwrap();
        let mut text = String::new();
        while let Some(series) = set.next().unwrap() {
            let own = series.labels.iter().filter(|(n, v)| self.labels.get(n) != Some(v));
            let _ = write!(text, "{}", Labels::from_pairs(own));
            for (idx, (t_ms, value)) in series.timestamps.iter().zip(&series.values).enumerate() {
                if let Some(start_ms) = series.starts.get(idx).filter(|start_ms| **start_ms != 0) {
                    let _ = write!(text, " since {start_ms}");
                }
                let _ = if is_stale(*value) {
                    write!(text, " {t_ms}:stale")
                } else {
                    write!(text, " {t_ms}:{value}")
                };
            }
            for sample in &series.histograms {
                let _ = write!(text, " {}:{}", sample.t_ms, sample.histogram);
            }
            text.push('\n');
        }
        text
    }
}

fn check(job: &str, pages: &[(i64, &str)], expected: &str) {
    for mut bench in [Bench::new(job), Bench::without_rows(job)] {
        for (t_ms, page) in pages {
            bench.scrape(*t_ms, page).unwrap();
        }
        assert_eq!(bench.stored(), expected, "{job} {pages:?} rows: {}", bench.takes_rows);
    }
}

#[test]
fn values_times_and_labels_are_stored() {
    check(
        "job_name: a",
        &[(1_000, "up_time{x=\"y\"} 1.5\nb 2 900\n")],
        "{__name__=\"b\"} 900:2\n{__name__=\"up_time\", x=\"y\"} 1000:1.5\n",
    );
    check("{job_name: a, honor_timestamps: false}", &[(1_000, "b 2 900\n")], "{__name__=\"b\"} 1000:2\n");
}

#[test]
fn conflicting_labels_move_or_stay() {
    let page = "m{job=\"own\",exported_job=\"taken\",z=\"1\"} 1\n";
    check(
        "job_name: a",
        &[(1, page)],
        "{__name__=\"m\", exported_exported_job=\"own\", exported_job=\"taken\", z=\"1\"} 1:1\n",
    );
    check(
        "{job_name: a, honor_labels: true}",
        &[(1, page)],
        "{__name__=\"m\", exported_job=\"taken\", job=\"own\", z=\"1\"} 1:1\n",
    );
}

#[test]
fn a_label_said_to_be_empty_is_honoured_as_federation_needs() {
    let mut bench = Bench::new("{job_name: a, honor_labels: true}");
    bench.scrape(1, "m{instance=\"\",x=\"1\"} 1\n").unwrap();
    let all = [Matcher::new(model::MatchOp::Equal, METRIC_NAME, "m").unwrap()];
    let series =
        bench.store.select(&all, TimeRange::ALL, &SelectHints::default()).unwrap().next().unwrap().unwrap();
    assert_eq!(series.labels.to_string(), r#"{__name__="m", job="a", x="1"}"#);
}

#[test]
fn series_that_vanish_end_and_may_come_back() {
    let (both, one) = ("a 1\nb 2\n", "a 1\n");
    check(
        "job_name: a",
        &[(1, both), (2, one), (3, one), (4, both)],
        "{__name__=\"a\"} 1:1 2:1 3:1 4:1\n{__name__=\"b\"} 1:2 2:stale 4:2\n",
    );
}

#[test]
fn another_spelling_or_order_is_the_same_series() {
    check(
        "job_name: a",
        &[(1, "m{a=\"1\",b=\"2\"} 1\nn 1\n"), (2, "n 2\nm{b=\"2\",a=\"1\"} 2\n")],
        "{__name__=\"m\", a=\"1\", b=\"2\"} 1:1 2:2\n{__name__=\"n\"} 1:1 2:2\n",
    );
}

#[test]
fn own_timestamps_are_not_tracked_unless_told() {
    let pages = [(1_000, "a 1 500\n"), (2_000, "b 1\n")];
    check("job_name: a", &pages, "{__name__=\"a\"} 500:1\n{__name__=\"b\"} 2000:1\n");
    check(
        "{job_name: a, track_timestamps_staleness: true}",
        &pages,
        "{__name__=\"a\"} 500:1 2000:stale\n{__name__=\"b\"} 2000:1\n",
    );
}

#[test]
fn a_bad_page_stores_nothing_and_ends_everything() {
    let mut bench = Bench::new("job_name: a");
    bench.scrape(1, "a 1\nb 1\n").unwrap();
    assert_eq!(
        bench.scrape(2, "a 2\nb{ 2\n").unwrap_err(),
        "line 2, column 4: expected label name, got \"2\""
    );
    assert_eq!(bench.stored(), "{__name__=\"a\"} 1:1 2:stale\n{__name__=\"b\"} 1:1 2:stale\n");
    bench.scrape(3, "a 3\nb 3\n").unwrap();
    assert_eq!(bench.stored(), "{__name__=\"a\"} 1:1 2:stale 3:3\n{__name__=\"b\"} 1:1 2:stale 3:3\n");
}

#[test]
fn metric_relabelling_drops_and_renames() {
    let job = "job_name: a\nmetric_relabel_configs:\n\
        - {source_labels: [__name__], regex: 'go_.*', action: drop}\n\
        - {source_labels: [x], target_label: y}\n- {regex: x, action: labeldrop}\n";
    let mut bench = Bench::new(job);
    let stats = bench.scrape(1, "go_a 1\nm{x=\"1\"} 1\n").unwrap();
    assert_eq!((stats.n_scraped, stats.n_kept, stats.n_added), (2, 1, 1));
    let stats = bench.scrape(2, "go_a 1\nm{x=\"1\"} 2\n").unwrap();
    assert_eq!((stats.n_scraped, stats.n_kept, stats.n_added), (2, 1, 0));
    assert_eq!(bench.stored(), "{__name__=\"m\", y=\"1\"} 1:1 2:2\n");
    let nameless = Bench::new("job_name: a\nmetric_relabel_configs: [{regex: __name__, action: labeldrop}]")
        .scrape(1, "m 1\n");
    assert_eq!(
        nameless.unwrap_err(),
        "label set without a metric name: missing metric name (__name__ label)"
    );
}

#[test]
fn limits_fail_the_scrape_and_say_which() {
    let page = "m{label_name=\"value\"} 1\nn 1\n";
    for (limit, expected) in [
        ("sample_limit: 1", "sample limit exceeded"),
        ("label_limit: 3", "label_limit exceeded (metric: m, number of labels: 4, limit: 3)"),
        (
            "label_name_length_limit: 9",
            "label_name_length_limit exceeded (metric: m, label name: label_name, length: 10, limit: 9)",
        ),
        (
            "label_value_length_limit: 4",
            "label_value_length_limit exceeded (metric: m, label name: label_name, value: \"value\", length: 5, limit: 4)",
        ),
    ] {
        let mut bench = Bench::new(&format!("{{job_name: a, {limit}}}"));
        assert_eq!(bench.scrape(1, page).unwrap_err(), expected);
        assert_eq!(bench.stored(), "");
    }
    // Counted after relabelling, and of the whole page.
    let job = "job_name: a\nsample_limit: 1\nmetric_relabel_configs: [{source_labels: [__name__], regex: n, action: drop}]";
    assert_eq!(Bench::new(job).scrape(1, page).unwrap().n_kept, 1);
    let mut bench = Bench::new("{job_name: a, sample_limit: 1}");
    let mut appender = bench.store.appender(1);
    let options = IngestOptions::new(&bench.config, &bench.labels);
    let refused = ingest(
        page.as_bytes(),
        Format::Text004,
        1,
        &mut bench.cache,
        &mut bench.scratch,
        &mut *appender,
        &options,
    )
    .unwrap_err();
    assert_eq!((refused.stats.n_scraped, refused.stats.n_kept), (2, 2));
}

#[test]
fn doubled_and_old_samples_are_left_out_one_by_one() {
    let mut bench = Bench::new("job_name: a");
    let stats = bench.scrape(1_000, "a 1\na 2\nb 1\n").unwrap();
    assert_eq!((stats.n_duplicates, stats.n_scraped, stats.n_kept), (1, 3, 3));
    let stats = bench.scrape(2_000, "a 1 500\nb 2\n").unwrap();
    assert_eq!(stats.n_out_of_order, 1);
    // It is still in the page, so it has not ended.
    assert_eq!(bench.stored(), "{__name__=\"a\"} 1000:1\n{__name__=\"b\"} 1000:1 2000:2\n");
}

#[test]
fn names_outside_the_classic_alphabet_need_the_utf8_scheme() {
    let page = "{\"a.b\",\"c.d\"=\"1\"} 1\n";
    check("job_name: a", &[(1, page)], "{__name__=\"a.b\", \"c.d\"=\"1\"} 1:1\n");
    let err = Bench::new("{job_name: a, metric_name_validation_scheme: legacy}").scrape(1, page).unwrap_err();
    assert!(err.starts_with("invalid metric name or label names: "), "{err}");
}

#[test]
fn metadata_is_kept_and_forgotten() {
    let mut bench = Bench::new("job_name: a");
    let page = "# HELP a Help.\n# TYPE a counter\n# UNIT b_seconds seconds\na_total 1\n# EOF\n";
    bench.scrape_as(1, page, Format::OpenMetrics100).unwrap();
    let metadata = bench.cache.metadata();
    assert_eq!(metadata[0].0, "a");
    assert_eq!((metadata[0].1.help.as_str(), metadata[0].1.metric_type), ("Help.", MetricType::Counter));
    assert_eq!(metadata[1].1.unit, "seconds");
    for t_ms in 2..12 {
        bench.scrape(t_ms, "a_total 1\n").unwrap();
    }
    assert!(bench.cache.metadata().is_empty());
}

#[test]
fn changed_settings_keep_what_was_alive() {
    let mut bench = Bench::new("job_name: a");
    bench.scrape(1, "a 1\nb 1\n").unwrap();
    bench.cache.forget_series(&IngestOptions::new(&bench.config, &bench.labels));
    bench.config = crate::config::tests::job(
        "job_name: a\nmetric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]",
    );
    bench.scrape(2, "a 2\nb 2\n").unwrap();
    bench.scrape(3, "a 3\nb 3\n").unwrap();
    assert_eq!(bench.stored(), "{__name__=\"a\"} 1:1 2:2 3:3\n{__name__=\"b\"} 1:1 2:stale\n");
}

#[test]
fn the_cache_holds_no_more_than_the_page() {
    let mut bench = Bench::new("job_name: a");
    for t_ms in 0..50 {
        let page = (0..100).fold(String::new(), |text, i| text + &format!("m{{t=\"{t_ms}\",i=\"{i}\"}} 1\n"));
        bench.scrape(t_ms, &page).unwrap();
    }
    assert_eq!(bench.cache.len(), 100);
    // Bad pages, each with names of its own.
    for t_ms in 50..150 {
        let page = (0..100).fold(String::new(), |text, i| text + &format!("m{{t=\"{t_ms}\",i=\"{i}\"}} 1\n"));
        bench.scrape(t_ms, &(page + "broken{\n")).unwrap_err();
    }
    assert!(bench.cache.len() <= 1_300, "{}", bench.cache.len());
}

#[test]
fn reports_are_stored_and_end() {
    let mut bench = Bench::new("job_name: a");
    bench.cache = ScrapeCache::new(Arc::new(Blocks::new()), ReportSeries::new(&bench.labels, true));
    let stats = IngestStats { n_scraped: 3, n_kept: 2, n_added: 1, ..IngestStats::default() };
    let values = Report {
        is_up: true,
        duration_secs: 0.5,
        stats,
        body_bytes: 9.0,
        timeout_secs: 10.0,
        samples_max: 7,
    };
    let options = IngestOptions::new(&bench.config, &bench.labels);
    for (t_ms, report) in [(1, Some(&values)), (2, None)] {
        let mut appender = bench.store.appender(t_ms);
        let (cache, scratch) = (&mut bench.cache, &mut bench.scratch);
        fail(t_ms, cache, scratch, &mut *appender);
        finish(t_ms, cache, scratch, &mut *appender, &options, report, &mut IngestStats::default());
        appender.commit().unwrap();
        cache.committed(true);
    }
    let expected = [
        ("scrape_body_size_bytes", "9"),
        ("scrape_duration_seconds", "0.5"),
        ("scrape_sample_limit", "7"),
        ("scrape_samples_post_metric_relabeling", "2"),
        ("scrape_samples_scraped", "3"),
        ("scrape_series_added", "1"),
        ("scrape_timeout_seconds", "10"),
        ("up", "1"),
    ];
    let expected = expected
        .iter()
        .fold(String::new(), |text, (n, v)| text + &format!("{{__name__=\"{n}\"}} 1:{v} 2:stale\n"));
    assert_eq!(bench.stored(), expected);
}

mod properties {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Against a model: after each page a series holds its value there, and a marker where it first was gone.
        #[test]
        fn staleness_follows_the_pages(pages in proptest::collection::vec(proptest::collection::vec(0u8..12, 0..12), 1..12)) {
            let mut bench = Bench::new("job_name: a");
            let mut expected: BTreeMap<String, BTreeMap<i64, bool>> = BTreeMap::new();
            let mut alive: Vec<String> = Vec::new();
            for (t_ms, page) in (1i64..).zip(&pages) {
                let mut names: Vec<String> = page.iter().map(|i| format!("m{i:02}")).collect();
                let text = names.iter().fold(String::new(), |text, name| text + name + " 1\n");
                names.sort();
                names.dedup();
                bench.scrape(t_ms, &text).unwrap();
                for name in alive.iter().filter(|name| !names.contains(name)) {
                    expected.entry(name.clone()).or_default().insert(t_ms, true);
                }
                for name in &names {
                    expected.entry(name.clone()).or_default().insert(t_ms, false);
                }
                alive = names;
            }
            let mut text = String::new();
            for (name, samples) in expected {
                let _ = write!(text, "{{__name__=\"{name}\"}}");
                for (t_ms, stale) in samples {
                    let _ = write!(text, " {t_ms}:{}", if stale { "stale" } else { "1" });
                }
                text.push('\n');
            }
            prop_assert_eq!(bench.stored(), text);
        }

        #[test]
        fn hostile_pages_never_panic(page: Vec<u8>, format in prop_oneof![Just(Format::Text004), Just(Format::OpenMetrics100), Just(Format::Protobuf)]) {
            let mut bench = Bench::new("{job_name: a, sample_limit: 3, label_limit: 9}");
            let _ = bench.scrape_as(1, &String::from_utf8_lossy(&page), format);
        }
    }
}
