//! `search/metric_names`, `search/label_names`, `search/label_values`: names and values that are like what somebody types.
//!
//! In from the index, as [`super::series`] reads it; out lines of JSON: batches of results, then a line that says how it ended.
//! Semantics of Prometheus 3.14's experimental search API; the answer is complete before its first line is sent, so that it has no
//! line for an error in between.

mod score;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use model::labels::{METRIC_NAME, quoted};
use model::{Matcher, Metadata, TimeRange};

use super::series::{read_text, texts, union};
use crate::error::{ApiError, ErrorKind};
use crate::json::Json;
use crate::params::Params;
use crate::respond::typed_response;
use crate::state::{Services, Shared, Shell};
use score::{Algorithm, Terms};

/// Results of one answer, and of one line, where the request does not say. From Prometheus.
const RESULTS_DEFAULT: usize = 100;
/// Most `search[]` of one request. From Prometheus.
const TERMS_MAX: usize = 32;
/// How far back is searched where the request does not say, in milliseconds. From Prometheus.
const RANGE_MS: i64 = 3_600_000;

/// In which order results come.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    Alpha,
    AlphaDown,
    Score,
}

/// What all three endpoints are asked.
struct Search {
    range: TimeRange,
    sets: Vec<Vec<Matcher>>,
    terms: Terms,
    order: Order,
    shows_score: bool,
    limit: usize,
    batch: usize,
}

/// `GET|POST /api/v1/search/metric_names`
pub(crate) async fn metric_names(
    State(shell): State<Arc<Shell>>,
    Shared(api): Shared,
    params: Params,
) -> Result<Response, ApiError> {
    let search = Search::new(&shell, &params, "metric_names")?;
    let metadata = match boolean(&params, "include_metadata", false)? {
        true => known_metadata(&api).await?,
        false => BTreeMap::new(),
    };
    search.values(&api, METRIC_NAME.to_owned(), "name", metadata).await
}

/// `GET|POST /api/v1/search/label_names`
pub(crate) async fn label_names(
    State(shell): State<Arc<Shell>>,
    Shared(api): Shared,
    params: Params,
) -> Result<Response, ApiError> {
    let search = Search::new(&shell, &params, "label_names")?;
    let range = search.range;
    let text = read_text(&api, move |queryable, look_up| {
        let get = |n| union(&search.sets, n, |matchers| queryable.label_names(matchers, range, n));
        Ok(search.lines(texts(None, look_up, get)?, "name", &BTreeMap::new()))
    });
    Ok(lines_response(text.await?))
}

/// `GET|POST /api/v1/search/label_values`
pub(crate) async fn label_values(
    State(shell): State<Arc<Shell>>,
    Shared(api): Shared,
    params: Params,
) -> Result<Response, ApiError> {
    let search = Search::new(&shell, &params, "label_values")?;
    let label = params.get("label");
    if label.is_empty() {
        return Err(ApiError::bad_data("missing required parameter \"label\""));
    }
    search.values(&api, label.to_owned(), "value", BTreeMap::new()).await
}

/// What is known of each family; of several that differ one.
async fn known_metadata(api: &Services) -> Result<BTreeMap<String, Metadata>, ApiError> {
    let (view, pushed) = (api.targets.clone(), api.pushed_metadata.clone());
    super::aside(move || {
        let mut all = pushed();
        all.extend(view.metadata().into_iter().map(|entry| (entry.metric, entry.metadata)));
        all
    })
    .await
}

fn lines_response(text: String) -> Response {
    typed_response(StatusCode::OK, "application/x-ndjson; charset=utf-8", Body::from(text))
}

/// As Go's `ParseBool`.
fn boolean(params: &Params, name: &str, default: bool) -> Result<bool, ApiError> {
    match params.get(name) {
        "" => Ok(default),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        text => Err(ApiError::bad_data(format!("invalid {name} {}: must be boolean", quoted(text)))),
    }
}

fn positive(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    let text = params.get(name);
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse::<usize>().ok().filter(|number| *number > 0);
    let wrong = || ApiError::bad_data(format!("invalid {name} {}: must be a positive integer", quoted(text)));
    number.map(Some).ok_or_else(wrong)
}

impl Search {
    fn new(shell: &Shell, params: &Params, endpoint: &str) -> Result<Self, ApiError> {
        let Some(limit_max) = shell.options.search_limit_max else {
            let why = "search API disabled (start with --enable-feature=search-api)";
            return Err(ApiError::new(ErrorKind::Unavailable, why));
        };
        let now_ms = shell.clock.now_ms();
        let start_ms = params.time_or("start", now_ms.saturating_sub(RANGE_MS))?;
        let end_ms = params.time_or("end", now_ms)?;
        if end_ms < start_ms {
            return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
        }
        let sets = params.matcher_sets().map_err(ApiError::bad_data)?;
        let terms = terms(params)?;
        let shows_score = boolean(params, "include_score", false)?;
        let order = order(params, endpoint, terms.is_empty())?;
        let limit_max = if limit_max == 0 { usize::MAX } else { limit_max };
        let limit = positive(params, "limit")?;
        if let Some(limit) = limit.filter(|limit| *limit > limit_max) {
            return Err(ApiError::bad_data(format!(
                "limit {limit} exceeds the configured maximum ({limit_max}, see --web.search.max-limit)"
            )));
        }
        Ok(Self {
            range: TimeRange::new(start_ms, end_ms),
            sets,
            terms,
            order,
            shows_score,
            limit: limit.unwrap_or(RESULTS_DEFAULT.min(limit_max)),
            batch: positive(params, "batch_size")?.unwrap_or(RESULTS_DEFAULT),
        })
    }

    async fn values(
        self,
        api: &Services,
        label: String,
        key: &'static str,
        metadata: BTreeMap<String, Metadata>,
    ) -> Result<Response, ApiError> {
        let range = self.range;
        let text = read_text(api, move |queryable, look_up| {
            let get = |n| union(&self.sets, n, |matchers| queryable.label_values(&label, matchers, range, n));
            Ok(self.lines(texts(None, look_up, get)?, key, &metadata))
        });
        Ok(lines_response(text.await?))
    }

    /// The lines of the answer; `texts` are sorted.
    fn lines(&self, texts: Vec<String>, key: &'static str, metadata: &BTreeMap<String, Metadata>) -> String {
        let scored = texts.into_iter().filter_map(|text| Some((self.terms.score(&text)?, text)));
        let mut found: Vec<(f64, String)> = scored.collect();
        match self.order {
            Order::Alpha => {}
            Order::AlphaDown => found.reverse(),
            // Equal ones stay in the order of the alphabet.
            Order::Score => found.sort_by(|a, b| b.0.total_cmp(&a.0)),
        }
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        let mut out = String::new();
        let empty: &[(f64, String)] = &[];
        let batches = found.chunks(self.batch).chain(found.is_empty().then_some(empty));
        for batch in batches {
            let mut json = Json::new();
            json.object(|json| {
                json.key("results").array(|json| {
                    batch
                        .iter()
                        .for_each(|(score, text)| self.push(json, key, text, *score, metadata.get(text)));
                });
            });
            out.push_str(&json.finish());
            out.push('\n');
        }
        let mut json = Json::new();
        json.object(|json| {
            json.key("status").text("success");
            json.key("has_more").bool(has_more);
        });
        out + &json.finish() + "\n"
    }

    fn push(&self, json: &mut Json, key: &'static str, text: &str, score: f64, metadata: Option<&Metadata>) {
        json.object(|json| {
            json.key(key).text(text);
            if self.shows_score {
                json.key("score").number(score);
            }
            let Some(metadata) = metadata else { return };
            let metric_type = metadata.metric_type.to_string();
            for (key, said) in [("type", &metric_type), ("help", &metadata.help), ("unit", &metadata.unit)] {
                if !said.is_empty() {
                    json.key(key).text(said);
                }
            }
        });
    }
}

fn terms(params: &Params) -> Result<Terms, ApiError> {
    let all: Vec<&str> = params.all("search[]").collect();
    if all.len() > TERMS_MAX {
        let n = all.len();
        return Err(ApiError::bad_data(format!("too many search[] terms: got {n}, maximum is {TERMS_MAX}")));
    }
    let threshold = match params.get("fuzz_threshold") {
        "" => 0,
        text => text.parse::<u32>().ok().filter(|threshold| *threshold <= 100).ok_or_else(|| {
            ApiError::bad_data(format!("invalid fuzz_threshold {}: must be 0-100", quoted(text)))
        })?,
    };
    let algorithm = match params.get("fuzz_alg") {
        "" | "subsequence" => Algorithm::Subsequence,
        "jarowinkler" => Algorithm::JaroWinkler,
        text => {
            return Err(ApiError::bad_data(format!(
                "unsupported fuzz_alg {}: must be one of [subsequence jarowinkler]",
                quoted(text)
            )));
        }
    };
    let is_case_sensitive = boolean(params, "case_sensitive", true)?;
    Ok(Terms::new(&all, f64::from(threshold) / 100.0, algorithm, is_case_sensitive))
}

fn order(params: &Params, endpoint: &str, has_no_terms: bool) -> Result<Order, ApiError> {
    let bad = |text: String| Err(ApiError::bad_data(text));
    let (by, direction) = (params.get("sort_by"), params.get("sort_dir"));
    match (by, direction) {
        ("", "") => {}
        ("", _) => return bad("sort_dir is only valid when sort_by is set".to_owned()),
        ("score", text) if !text.is_empty() => {
            return bad("sort_dir is not supported for sort_by=score".to_owned());
        }
        (_, "" | "asc" | "dsc") => {}
        (_, text) => return bad(format!("invalid sort_dir {}: must be \"asc\" or \"dsc\"", quoted(text))),
    }
    match by {
        "" | "alpha" if direction == "dsc" => Ok(Order::AlphaDown),
        "" | "alpha" => Ok(Order::Alpha),
        "score" if has_no_terms => bad("sort_by=score requires search[] to be set".to_owned()),
        "score" => Ok(Order::Score),
        _ => bad(format!("invalid sort_by {} for {endpoint}: must be \"alpha\" or \"score\"", quoted(by))),
    }
}
