//! What rows add: the same samples as one by one, whatever the store answers and whatever befalls a batch.

use parking_lot::Mutex;
use std::collections::VecDeque;

use super::*;
use proptest::prelude::*;
use storage::{ColumnIdx, GroupRef, RowError, RowOutcome};

/// What a store is told to answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// The group is no longer known.
    Forgets,
    /// The row is refused.
    OutOfOrder,
    /// The commit fails.
    LosesBatch,
    /// Another writer has taken half of the series.
    Takes,
}

/// A store in trouble; counts what reaches it.
struct Troubled<'a> {
    inner: Box<dyn Appender + 'a>,
    trouble: Trouble,
    counts: &'a Mutex<Counts>,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Counts {
    n_single: usize,
    n_in_rows: usize,
    n_columns: usize,
    n_groups: usize,
}

impl Appender for Troubled<'_> {
    fn append(
        &mut self,
        known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        self.counts.lock().n_single += 1;
        self.inner.append(known, labels, t_ms, value)
    }

    fn append_exemplar(
        &mut self,
        known: Option<SeriesRef>,
        labels: &Labels,
        exemplar: &model::Exemplar,
    ) -> Result<(), AppendError> {
        self.inner.append_exemplar(known, labels, exemplar)
    }

    fn add_columns(
        &mut self,
        group: Option<GroupRef>,
        labels: &[Labels],
    ) -> Result<(GroupRef, Vec<Result<ColumnIdx, AppendError>>), RowError> {
        if group.is_some() && self.trouble == Trouble::Forgets {
            return Err(RowError::UnknownGroup);
        }
        self.counts.lock().n_groups += usize::from(group.is_none());
        self.counts.lock().n_columns += labels.len();
        self.inner.add_columns(group, labels)
    }

    fn append_row(
        &mut self,
        group: GroupRef,
        t_ms: i64,
        changed: &[(ColumnIdx, f64)],
    ) -> Result<RowOutcome, RowError> {
        match self.trouble {
            Trouble::Forgets => {
                self.trouble = Trouble::None;
                return Err(RowError::UnknownGroup);
            }
            Trouble::OutOfOrder => return Err(RowError::OutOfOrder),
            _ => {}
        }
        self.counts.lock().n_in_rows += changed.len();
        self.inner.append_row(group, t_ms, changed)
    }

    fn commit(self: Box<Self>) -> Result<AppendStats, StorageError> {
        if self.trouble == Trouble::LosesBatch {
            return Err(StorageError::Closed);
        }
        self.inner.commit()
    }
}

/// Scrapes `pages`, each with its trouble; an empty page is a target that does not answer.
fn scrape_all(bench: &mut Bench, pages: &[(String, Trouble)]) -> Counts {
    let counts = Mutex::new(Counts::default());
    let options = IngestOptions::new(&bench.config, &bench.labels);
    for (t_ms, (page, trouble)) in (1i64..).map(|i| i * 10).zip(pages) {
        if *trouble == Trouble::Takes {
            let all: Vec<Labels> = (0..6).map(|i| labels(bench, &format!("m{i}"))).collect();
            let mut other = bench.store.appender(t_ms);
            other.add_columns(None, &all).unwrap();
            other.commit().unwrap();
        }
        let begin = || Troubled { inner: bench.store.appender(t_ms), trouble: *trouble, counts: &counts };
        let mut appender = begin();
        let (cache, scratch) = (&mut bench.cache, &mut bench.scratch);
        let format = Format::Text004;
        let mut result = if page.is_empty() {
            Err(())
        } else {
            ingest(page.as_bytes(), format, t_ms, cache, scratch, &mut appender, &options).map_err(|_| ())
        };
        if result.is_err() {
            drop(appender);
            appender = begin();
            fail(t_ms, cache, scratch, &mut appender);
        }
        let mut ignored = IngestStats::default();
        let stats = result.as_mut().unwrap_or(&mut ignored);
        let report = Report {
            is_up: !page.is_empty(),
            duration_secs: 1.0,
            stats: *stats,
            body_bytes: 0.0,
            timeout_secs: 1.0,
            samples_max: 0,
        };
        finish(t_ms, cache, scratch, &mut appender, &options, Some(&report), stats);
        let committed = Box::new(appender).commit();
        cache.committed(committed.is_ok());
    }
    counts.into_inner()
}

fn labels(bench: &Bench, name: &str) -> Labels {
    let mut builder = bench.labels.to_builder();
    builder.set(METRIC_NAME, name);
    builder.build()
}

fn with_report(mut bench: Bench) -> Bench {
    let report = ReportSeries::new(&bench.labels, false);
    bench.cache = ScrapeCache::new(Arc::new(Blocks::new()), report);
    bench
}

/// Values of `m<i>` on lines of their own, which a page may leave out.
fn page(values: &[(usize, u32)]) -> String {
    values.iter().fold(String::new(), |page, (i, value)| page + &format!("# TYPE m{i} gauge\nm{i} {value}\n"))
}

#[test]
fn only_changes_go_into_a_row() {
    let mut bench = with_report(Bench::new("job_name: a"));
    let pages = [
        [("a", 1), ("b", 1)],
        [("a", 2), ("b", 1)],
        [("a", 2), ("b", 1)],
        [("b", 1), ("c", 1)],
        [("a", 2), ("b", 1)],
    ];
    let lines = |page: &[(&str, u32); 2]| {
        page.iter().fold(String::new(), |page, (name, value)| {
            page + &format!("# TYPE {name} gauge\n{name} {value}\n")
        })
    };
    let pages: Vec<_> = pages.iter().map(|page| (lines(page), Trouble::None)).collect();
    let counts = scrape_all(&mut bench, &pages);
    // Columns: five of the report, a, b, c. In rows: seven; a and the report's count of new series; nothing; the end of a, c and one
    // new series; the end of c, a again, which is new again.
    assert_eq!(counts, Counts { n_single: 0, n_in_rows: 7 + 2 + 3 + 2, n_columns: 8, n_groups: 1 });
    let stored = bench.stored();
    assert!(
        stored.starts_with(
            "{__name__=\"a\"} 10:1 20:2 30:2 40:stale 50:2\n{__name__=\"b\"} 10:1 20:1 30:1 40:1 50:1\n\
         {__name__=\"c\"} 40:1 50:stale\n"
        ),
        "{stored}"
    );
}

#[test]
fn series_that_come_and_go_do_not_use_up_columns() {
    let mut bench = Bench::new("job_name: a");
    let pages: Vec<_> = (0..200)
        .map(|i| (if i % 2 == 0 { "a 1\nb 1\n" } else { "a 1\n" }.to_owned(), Trouble::None))
        .collect();
    let counts = scrape_all(&mut bench, &pages);
    assert_eq!((counts.n_columns, counts.n_groups, counts.n_single), (2, 1, 0));
    // Ever new ones do; then a new group takes the place of the old.
    let mut bench = Bench::new("job_name: a");
    let pages: Vec<_> = (0..1_300).map(|i| (format!("a 1\nb{i} 1\n"), Trouble::None)).collect();
    let counts = scrape_all(&mut bench, &pages);
    assert!(counts.n_groups == 2, "{counts:?}");
    assert!(bench.stored().lines().filter(|line| line.contains("stale")).count() == 1_299);
}

#[test]
fn exemplars_are_stored_when_they_change() {
    let mut bench = Bench::new("job_name: a");
    let pages = [
        "# TYPE a counter\na_total 1 # {id=\"x\"} 0.5 2\nb_total 1\n# EOF\n",
        "# TYPE a counter\na_total 1 # {id=\"x\"} 0.5 2\nb_total 2\n# EOF\n",
        "# TYPE a counter\na_total 1 # {id=\"y\"} 0.5\nb_total 2\n# EOF\n",
    ];
    for (t_ms, page) in (1..).map(|i| i * 1_000).zip(pages) {
        bench.scrape_as(t_ms, page, Format::OpenMetrics100).unwrap();
    }
    let shown: Vec<_> = bench
        .store
        .exemplars()
        .into_iter()
        .map(|(labels, exemplar)| format!("{} {} {}", labels.metric_name(), exemplar.labels, exemplar.t_ms))
        .collect();
    assert_eq!(shown, ["a_total {id=\"x\"} 2000", "a_total {id=\"y\"} 3000"]);
}

#[test]
fn timestamps_of_their_own_and_rows_live_together() {
    let pages =
        [(1_000, "a 1\nb 1 900\n"), (2_000, "a 1 1900\nb 2 1800\n"), (3_000, "a 2\nb 2\n"), (4_000, "b 3\n")];
    check(
        "job_name: a",
        &pages,
        "{__name__=\"a\"} 1000:1 1900:1 3000:2 4000:stale\n{__name__=\"b\"} 900:1 1800:2 3000:2 4000:3\n",
    );
}

#[test]
fn a_page_with_a_series_twice_is_stored_one_by_one_until_it_is_well_again() {
    let good = "a 1\nb 1\n";
    let mut pages = vec![(good.to_owned(), Trouble::None), ("a 1\nb 1\na 2\n".to_owned(), Trouble::None)];
    pages.extend((0..20).map(|_| (good.to_owned(), Trouble::None)));
    let mut bench = Bench::new("job_name: a");
    let counts = scrape_all(&mut bench, &pages);
    assert_eq!((counts.n_groups, counts.n_single), (2, 2 * 10));
    let times = |value: u32| (1..=22).fold(String::new(), |all, i| all + &format!(" {}:{value}", i * 10));
    assert_eq!(bench.stored(), format!("{{__name__=\"a\"}}{}\n{{__name__=\"b\"}}{}\n", times(1), times(1)));
}

fn any_trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        6 => Just(Trouble::None),
        1 => Just(Trouble::Forgets),
        1 => Just(Trouble::OutOfOrder),
        1 => Just(Trouble::Takes),
    ]
}

fn any_page() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => proptest::collection::btree_map(0usize..8, 0u32..4, 1..8)
            .prop_map(|values| page(&values.into_iter().collect::<Vec<_>>())),
        1 => Just(String::new()),
        1 => Just("m0 1\nbroken{\n".to_owned()),
        1 => Just("m0 1\nm0 2\nm1 1\n".to_owned()),
    ]
}

#[test]
fn a_known_series_costs_less_than_thirty_bytes() {
    let mut bench = Bench::new("job_name: a");
    for t_ms in 1..4 {
        let lines = (0..2_000)
            .map(|i| format!("m_total{{cpu=\"{}\",mode=\"{}\"}} {}.25\n", i / 8, i % 8, t_ms * 1_000 + i));
        bench.scrape(t_ms, &lines.collect::<String>()).unwrap();
    }
    let bytes = bench.cache.memory_bytes() / 2_000;
    assert!(bytes <= 30, "{bytes} bytes a series");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against the way sample by sample: the same series, times and values, whatever the store answers.
    #[test]
    fn rows_and_single_samples_store_the_same(
        pages in proptest::collection::vec((any_page(), any_trouble()), 1..25),
    ) {
        let mut by_rows = with_report(Bench::new("job_name: a"));
        scrape_all(&mut by_rows, &pages);
        let mut one_by_one = with_report(Bench::new("job_name: a"));
        let mut queue: VecDeque<_> = pages.iter().collect();
        let options = IngestOptions::new(&one_by_one.config, &one_by_one.labels);
        for t_ms in (1i64..).map(|i| i * 10) {
            let Some((page, _)) = queue.pop_front() else { break };
            let mut appender = NoRows(one_by_one.store.appender(t_ms));
            let (cache, scratch) = (&mut one_by_one.cache, &mut one_by_one.scratch);
            let mut result = if page.is_empty() {
                Err(())
            } else {
                ingest(page.as_bytes(), Format::Text004, t_ms, cache, scratch, &mut appender, &options).map_err(|_| ())
            };
            if result.is_err() {
                appender = NoRows(one_by_one.store.appender(t_ms));
                fail(t_ms, cache, scratch, &mut appender);
            }
            let mut ignored = IngestStats::default();
            let stats = result.as_mut().unwrap_or(&mut ignored);
            let report = Report { is_up: !page.is_empty(), duration_secs: 1.0, stats: *stats, body_bytes: 0.0, timeout_secs: 1.0, samples_max: 0 };
            finish(t_ms, cache, scratch, &mut appender, &options, Some(&report), stats);
            Box::new(appender).commit().unwrap();
            cache.committed(true);
        }
        prop_assert_eq!(without_counts(&by_rows.stored()), without_counts(&one_by_one.stored()), "{:?}", pages);
    }

    /// A batch that is lost leaves no wrong value behind: what is stored later is what the pages said then.
    #[test]
    fn after_a_lost_batch_values_are_right_again(
        pages in proptest::collection::vec((any_page(), prop_oneof![2 => Just(Trouble::None), 1 => Just(Trouble::LosesBatch)]), 1..25),
    ) {
        let mut bench = with_report(Bench::new("job_name: a"));
        scrape_all(&mut bench, &pages);
        let stored = bench.stored();
        for (t_ms, (page, trouble)) in (1i64..).map(|i| i * 10).zip(&pages) {
            if *trouble == Trouble::LosesBatch {
                prop_assert!(!stored.contains(&format!(" {t_ms}:")), "{} at {}", stored, t_ms);
                continue;
            }
            if page.is_empty() || page.contains("broken") {
                continue;
            }
            let mut seen = std::collections::HashSet::new();
            for line in page.lines().filter(|line| !line.starts_with('#')) {
                let (name, value) = line.split_once(' ').unwrap();
                if seen.insert(name) {
                    let series = stored.lines().find(|line| line.starts_with(&format!("{{__name__=\"{name}\"}}")));
                    let series = series.unwrap_or_default().to_owned() + " ";
                    prop_assert!(series.contains(&format!(" {t_ms}:{value} ")), "{} {} in {}", name, t_ms, stored);
                }
            }
        }
        // Nothing is alive that the last good page does not have.
        let last = pages.iter().rev().find(|(_, trouble)| *trouble == Trouble::None);
        if let Some((page, Trouble::None)) = last && pages.last().is_some_and(|(_, trouble)| *trouble == Trouble::None) {
            for series in stored.lines().filter(|line| line.starts_with("{__name__=\"m")) {
                let name = series.split('"').nth(1).unwrap();
                let is_there = !page.contains("broken") && page.contains(&format!("{name} "));
                prop_assert!(is_there || series.ends_with("stale"), "{} in {}", name, stored);
            }
        }
    }
}

/// A page refused in one way may count otherwise in the other, as the way sample by sample remembers its series.
fn without_counts(stored: &str) -> String {
    let lines = stored.lines().filter(|line| !line.contains("scrape_series_added"));
    lines.fold(String::new(), |all, line| all + line + "\n")
}
