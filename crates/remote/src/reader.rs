//! Reads other servers beside the own store: the section `remote_read`.
//!
//! In: questions as every [`Queryable`] gets them; out: the own store's series with those of the others merged in, the own ones first where
//! both have a time. A server that cannot be asked is a warning of the answer, as in Prometheus: what is there is answered.
//! Blocks while it waits: questions are asked on threads that may. Names and values of labels come from the own store alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use model::{Labels, MatchOp, Matcher, TimeRange};
use net::{HttpClient, HttpError, Request, Streaming};
use parking_lot::RwLock;
use stdx::metrics::{Counter, Family, Registry};
use storage::{
    ChangeLog, HistogramSample, NewestAsk, NewestSet, QueryError, Queryable, SelectHints, Series, SeriesSet,
    VecSeriesSet, merge_sets,
};
use tokio::runtime::Handle;
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};
use wire::remote_write::{
    DecodeError, Frames, ReadQuery, TimeSeries, compress, decode_read_response, decompress_within,
    encode_read_request,
};

use crate::RemoteError;
use crate::chunked::Collector;
use crate::config::RemoteReadConfig;

/// Bytes of an answer that is not streamed, as sent and decompressed. Chosen: some ten million samples.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// What an answer of chunks calls itself.
const CHUNKS: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
/// Characters of an error that another server sends.
const SHOWN_CHARS_MAX: usize = 300;

/// One server to read from.
#[derive(Debug)]
struct Remote {
    config: RemoteReadConfig,
    client: HttpClient,
    /// Asked for, and taken off again; empty with `filter_external_labels: false`.
    external_labels: Labels,
}

/// Servers that a configuration names, ready to be asked.
#[derive(Debug)]
pub struct PreparedReads(Vec<Arc<Remote>>);

/// The own store, and others beside it.
pub struct ReadThrough {
    local: Arc<dyn Queryable>,
    /// First time in the own store, in Unix milliseconds.
    local_start_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    remotes: RwLock<Vec<Arc<Remote>>>,
    runtime: Handle,
    requests: Arc<Family<Counter>>,
}

impl std::fmt::Debug for ReadThrough {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadThrough").finish_non_exhaustive()
    }
}

impl ReadThrough {
    /// Reads `local` alone until [`ReadThrough::take`]. Within a tokio runtime.
    #[must_use]
    pub fn new(
        local: Arc<dyn Queryable>,
        local_start_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
        registry: &Registry,
    ) -> Self {
        let requests = registry.counters(
            "prometheus_remote_read_client_queries_total",
            "Questions to other servers, by remote_read entry and how they ended.",
            &["remote_name", "result"],
        );
        Self { local, local_start_ms, remotes: RwLock::default(), runtime: Handle::current(), requests }
    }

    /// Makes clients for `configs`; nothing changes yet.
    ///
    /// # Errors
    /// When a client cannot be made.
    pub fn prepare(configs: &[RemoteReadConfig], external: &Labels) -> Result<PreparedReads, RemoteError> {
        let remote = |config: &RemoteReadConfig| {
            let client = HttpClient::new(&config.http);
            let client = client
                .map_err(|source| RemoteError::ReadClient { url: net::client::shown(&config.url), source })?;
            let external_labels =
                if config.filter_external_labels { external.clone() } else { Labels::default() };
            Ok(Arc::new(Remote { config: config.clone(), client, external_labels }))
        };
        Ok(PreparedReads(configs.iter().map(remote).collect::<Result<_, _>>()?))
    }

    /// From now on these are read.
    pub fn take(&self, prepared: PreparedReads) {
        *self.remotes.write() = prepared.0;
    }

    /// Those that may know more than the own store of this question, with what each is to be asked.
    fn relevant(&self, matchers: &[Matcher], range: TimeRange) -> Vec<(Arc<Remote>, TimeRange)> {
        let remotes = self.remotes.read();
        let all = remotes.iter().filter_map(|remote| {
            let range = remote.range(range, &*self.local_start_ms)?;
            remote.config.is_meant(matchers).then(|| (Arc::clone(remote), range))
        });
        all.collect()
    }

    /// Asks all of them at once.
    fn ask(
        &self,
        asked: Vec<(Arc<Remote>, TimeRange)>,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Answers {
        let mut asking = Vec::new();
        for (remote, range) in asked {
            let (question, added) = remote.question(matchers, range, hints);
            let (client, (done, answered)) = (Arc::clone(&remote), sync_channel(1));
            let span =
                info_span!("Remote Read", otel.kind = "client", url = client.shown_url(), error = Empty);
            self.runtime.spawn(async move {
                let answer = client.fetch(&question, added).instrument(span.clone()).await;
                if let Err(why) = &answer {
                    span.record("error", why.as_str());
                }
                // Before the query that waits for it.
                drop(span);
                // Nobody waits any more only when the process ends.
                let _ = done.send(answer);
            });
            asking.push((remote, answered));
        }
        let mut answers = Answers::default();
        for (remote, answered) in asking {
            let answered =
                answered.recv().unwrap_or_else(|_| Err("the question ended by a panic".to_owned()));
            let result = if answered.is_ok() { "success" } else { "failure" };
            self.requests.with(&[&remote.config.shown_name(), result]).inc();
            match answered {
                Ok(series) => answers.sets.push(series),
                Err(why) => {
                    tracing::warn!(
                        remote_name = remote.config.shown_name(),
                        error = why,
                        "cannot read another server"
                    );
                    answers.warnings.push(format!("remote_read: {why}"));
                }
            }
        }
        answers
    }
}

/// What came back.
#[derive(Debug, Default)]
struct Answers {
    sets: Vec<Vec<Series>>,
    warnings: Vec<String>,
}

impl Queryable for ReadThrough {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        let asked = self.relevant(matchers, range);
        if asked.is_empty() {
            return self.local.select(matchers, range, hints);
        }
        // Samples that stand for others cannot be merged with those of another server.
        let hints = SelectHints { summaries: false, ..hints.clone() };
        let Answers { sets, warnings } = self.ask(asked, matchers, &hints);
        let mut all = vec![self.local.select(matchers, range, &hints)?];
        all.extend(
            sets.into_iter().map(|series| -> Box<dyn SeriesSet> { Box::new(VecSeriesSet::new(series)) }),
        );
        all.push(Box::new(Missing(warnings)));
        Ok(merge_sets(all))
    }

    fn newest(&self, ask: &NewestAsk<'_>) -> Result<Option<Box<dyn NewestSet + '_>>, QueryError> {
        if self.remotes.read().is_empty() { self.local.newest(ask) } else { Ok(None) }
    }

    fn may_wait(&self) -> bool {
        !self.remotes.read().is_empty()
    }

    fn changes(&self) -> Option<&ChangeLog> {
        // Nobody tells what changes elsewhere.
        if self.remotes.read().is_empty() { self.local.changes() } else { None }
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        self.local.label_names(matchers, range, limit)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        self.local.label_values(name, matchers, range, limit)
    }
}

/// No series, and why.
struct Missing(Vec<String>);

impl SeriesSet for Missing {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        Ok(None)
    }

    fn warnings(&self) -> &[String] {
        &self.0
    }
}

impl Remote {
    /// What of `range` it is asked for; `None` when the own store has all of it.
    fn range(&self, range: TimeRange, local_start_ms: &dyn Fn() -> i64) -> Option<TimeRange> {
        if self.config.read_recent {
            return Some(range);
        }
        let start_ms = local_start_ms();
        (range.start_ms <= start_ms).then(|| TimeRange::new(range.start_ms, range.end_ms.min(start_ms)))
    }

    /// The question, with external labels that it does not name, and the names of those.
    fn question(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> (ReadQuery, Vec<String>) {
        let mut matchers = matchers.to_vec();
        let mut added = Vec::new();
        for (name, value) in &self.external_labels {
            if matchers.iter().all(|matcher| matcher.name != name)
                && let Ok(matcher) = Matcher::new(MatchOp::Equal, name, value)
            {
                matchers.push(matcher);
                added.push(name.to_owned());
            }
        }
        let SelectHints { function, step_ms, range_ms, .. } = hints;
        let query = ReadQuery {
            start_ms: range.start_ms,
            end_ms: range.end_ms,
            matchers,
            function: function.clone(),
            step_ms: *step_ms,
            range_ms: *range_ms,
        };
        (query, added)
    }

    fn request(&self, question: &ReadQuery) -> Request {
        let body = compress(&encode_read_request(question));
        let mut request = Request::post(self.config.url.clone(), "application/x-protobuf", body);
        let own = [
            (CONTENT_ENCODING, "snappy"),
            (ACCEPT_ENCODING, "snappy"),
            (HeaderName::from_static("x-prometheus-remote-read-version"), "0.1.0"),
        ];
        for (name, value) in own {
            request.headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in &self.config.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value))
            {
                request.headers.insert(name, value);
            }
        }
        request
    }

    /// The answer, however it comes, without labels that were only `added` to the question.
    async fn fetch(&self, question: &ReadQuery, added: Vec<String>) -> Result<Vec<Series>, String> {
        let timeout = self.config.timeout.as_std();
        let answered = tokio::time::timeout(timeout, self.answer(question)).await;
        let series = answered.unwrap_or_else(|_| {
            Err(format!("{}: request timed out after {}", self.shown_url(), self.config.timeout))
        })?;
        Ok(series.into_iter().map(|one| without(one, &added)).collect())
    }

    async fn answer(&self, question: &ReadQuery) -> Result<Vec<Series>, String> {
        let timeout = self.config.timeout.as_std();
        let opened = self.client.open(self.request(question), timeout).await;
        let mut answer = opened.map_err(|err| err.to_string())?;
        if !answer.status.is_success() {
            let said = whole(&mut answer, timeout).await?;
            let said: String = String::from_utf8_lossy(&said).trim().chars().take(SHOWN_CHARS_MAX).collect();
            return Err(format!(
                "remote server {} returned http status {}: {said}",
                self.shown_url(),
                answer.status
            ));
        }
        let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default();
        if content_type.starts_with(CHUNKS) {
            return self.chunks(answer, question.range()).await;
        }
        if !content_type.starts_with("application/x-protobuf") {
            return Err(format!("unsupported content type: {content_type}"));
        }
        let body = whole(&mut answer, timeout).await?;
        let decoded = tokio::task::spawn_blocking(move || {
            let mut buffer = Vec::new();
            let message = decompress_within(&body, &mut buffer, ANSWER_BYTES_MAX)?;
            Ok::<_, DecodeError>(decode_read_response(message)?.into_iter().map(to_series).collect())
        });
        decoded.await.map_err(|err| err.to_string())?.map_err(|err| err.to_string())
    }

    /// An answer that is streamed: decoded as it comes, a piece at a time, where that may take its time.
    async fn chunks(&self, mut answer: Streaming, range: TimeRange) -> Result<Vec<Series>, String> {
        let mut state = (Frames::new(self.config.chunked_read_limit), Collector::new(range));
        while let Some(piece) =
            answer.next(self.config.timeout.as_std()).await.map_err(|err| err.to_string())?
        {
            let taken = tokio::task::spawn_blocking(move || {
                let (frames, collector) = (&mut state.0, &mut state.1);
                frames.push(&piece);
                while let Some(message) = frames.next().map_err(|err| err.to_string())? {
                    collector.take(message)?;
                }
                Ok::<_, String>(state)
            });
            state = taken.await.map_err(|err| err.to_string())??;
        }
        let (frames, collector) = state;
        frames.end().map_err(|err| err.to_string())?;
        Ok(collector.finish())
    }

    fn shown_url(&self) -> String {
        net::client::shown(&self.config.url)
    }
}

/// The rest of an answer.
async fn whole(answer: &mut Streaming, timeout: std::time::Duration) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = answer.next(timeout).await.map_err(|err| err.to_string())? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(HttpError::BodyTooLarge { limit_bytes: ANSWER_BYTES_MAX }.to_string());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// As the store has it, without labels that were only added to the question.
fn without(mut series: Series, added: &[String]) -> Series {
    if !added.is_empty() {
        let mut labels = series.labels.to_builder();
        for name in added {
            labels.remove(name);
        }
        series.labels = labels.build();
    }
    series
}

/// As the store has it.
fn to_series(one: TimeSeries) -> Series {
    let samples: BTreeMap<i64, f64> = one.samples.iter().map(|sample| (sample.t_ms, sample.value)).collect();
    let (timestamps, values): (Vec<i64>, Vec<f64>) = samples.into_iter().unzip();
    let mut series = Series::floats(one.labels, Arc::new(timestamps), values);
    series.histograms = one
        .histograms
        .into_iter()
        .map(|(t_ms, start_ms, histogram)| HistogramSample { t_ms, start_ms, histogram: Arc::new(histogram) })
        .collect();
    series.histograms.sort_by_key(|sample| sample.t_ms);
    series.histograms.dedup_by_key(|sample| sample.t_ms);
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(yaml: &str) -> Remote {
        let config: RemoteReadConfig = model::yaml::parse("c.yml", yaml).unwrap();
        let client = HttpClient::new(&config.http).unwrap();
        Remote { config, client, external_labels: Labels::from_pairs([("dc", "x"), ("job", "y")]) }
    }

    fn matchers(pairs: &[(&str, &str)]) -> Vec<Matcher> {
        pairs.iter().map(|(name, value)| Matcher::new(MatchOp::Equal, *name, *value).unwrap()).collect()
    }

    #[test]
    fn it_is_asked_for_what_is_meant_for_it_and_older_than_the_store() {
        let recent = remote("{url: 'http://h/', read_recent: true, required_matchers: {job: a}}");
        assert!(recent.config.is_meant(&matchers(&[("job", "a"), ("x", "y")])));
        assert!(!recent.config.is_meant(&matchers(&[("job", "b")])));
        let range = TimeRange::new(10, 90);
        assert_eq!(recent.range(range, &|| 50), Some(range));
        let old = remote("url: http://h/");
        assert!(old.config.is_meant(&[]));
        assert_eq!(old.range(range, &|| 50), Some(TimeRange::new(10, 50)));
        assert_eq!(old.range(range, &|| 5), None);
    }

    #[test]
    fn external_labels_are_asked_for_unless_the_selector_names_them() {
        let (query, added) = remote("url: http://h/").question(
            &matchers(&[("job", "a")]),
            TimeRange::new(1, 2),
            &SelectHints::default(),
        );
        let shown: Vec<String> = query.matchers.iter().map(ToString::to_string).collect();
        assert_eq!(
            (shown, added.clone()),
            (vec!["job=\"a\"".to_owned(), "dc=\"x\"".to_owned()], vec!["dc".to_owned()])
        );
        let labels = Labels::from_pairs([("dc", "x"), ("job", "a")]);
        let series = without(to_series(TimeSeries { labels, ..TimeSeries::default() }), &added);
        assert_eq!(series.labels, Labels::from_pairs([("job", "a")]));
    }

    #[test]
    fn what_is_wrong_in_the_section_is_refused() {
        fn check(yaml: &str, expected: &str) {
            let err = model::yaml::parse::<RemoteReadConfig>("c.yml", yaml).unwrap_err().to_string();
            assert!(err.contains(expected), "{err}");
        }
        check("name: x", "url for remote_read is empty");
        check("url: ftp://h/", "url of remote_read must begin with http:// or https://");
        check("{url: 'http://h/', headers: {X-Prometheus-Remote-Read-Version: x}}", "is a reserved header");
        check("{url: 'http://h/', read_recently: true}", "read_recently");
    }
}
