//! `series`, `labels`, `label/<name>/values`: what is stored, without samples.
//!
//! These read the index only, yet on a large store that takes a while: they run on blocking threads, too, under the
//! same permits as queries, until `--query.timeout`, and what they gather counts as memory of queries.

use std::collections::BTreeSet;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;
use http::StatusCode;
use model::{Labels, Matcher, TimeRange};
use promql::{CancelToken, Deadline, EvalError, LookUp};
use storage::{FirstTexts, QueryError, Queryable, SelectHints};

use crate::error::{ApiError, ErrorKind};
use crate::params::Params;
use crate::respond::{Remarks, envelope, json_response};
use crate::state::{Services, Shared};
use crate::v1::query::{StopOnDrop, eval_error};

/// Prefix of label names whose other characters are written as `_<hex>_`. From Prometheus.
const ESCAPED_PREFIX: &str = "U__";

/// Names or values asked for at first, where there is no lower limit; then twice as many, as long as there are more. Chosen: all of most stores.
const FIRST_TEXTS: usize = 1 << 18;
/// Memory that an entry takes beside its text: in the set, and in the answer. Chosen.
const ENTRY_BYTES: usize = 64;

/// `GET|POST /api/v1/series`
pub(crate) async fn series(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = params.limit()?;
    let range = params.range()?;
    let sets = params.matcher_sets().map_err(|why| ApiError::parameter("match[]", why))?;
    read(&api, move |queryable, look_up| {
        let mut found = BTreeSet::new();
        let hints =
            SelectHints { function: "series".to_owned(), labels_only: true, ..SelectHints::default() };
        for matchers in &sets {
            let mut set = queryable.select(matchers, range, &hints).map_err(EvalError::Storage)?;
            while let Some(series) = set.next().map_err(EvalError::Storage)? {
                look_up.take(bytes_of(&series.labels))?;
                if !keep_first(&mut found, series.labels, limit) {
                    break;
                }
            }
        }
        let mut found: Vec<Labels> = found.into_iter().collect();
        let remarks = truncate(&mut found, limit);
        Ok(envelope(&remarks, |json| json.array(|json| found.iter().for_each(|labels| json.labels(labels)))))
    })
    .await
}

/// `GET|POST /api/v1/labels`
pub(crate) async fn label_names(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let range = params.range()?;
    let sets = params.matcher_sets().map_err(ApiError::bad_data)?;
    read(&api, move |queryable, look_up| {
        let names =
            texts(limit, look_up, |n| union(&sets, n, |matchers| queryable.label_names(matchers, range, n)))?;
        Ok(encode_names(names, limit))
    })
    .await
}

/// `GET /api/v1/label/<name>/values`
pub(crate) async fn label_values(
    Shared(api): Shared,
    name: Result<Path<String>, PathRejection>,
    params: Params,
) -> Result<Response, ApiError> {
    let Path(name) =
        name.map_err(|why| ApiError::bad_data(format!("invalid label name: {}", why.body_text())))?;
    let name = unescape_name(&name);
    if name.is_empty() {
        return Err(ApiError::bad_data("invalid label name: \"\""));
    }
    let limit = params.limit()?;
    let range: TimeRange = params.range()?;
    let sets = params.matcher_sets().map_err(ApiError::bad_data)?;
    read(&api, move |queryable, look_up| {
        let values = texts(limit, look_up, |n| {
            union(&sets, n, |matchers| queryable.label_values(&name, matchers, range, n))
        })?;
        Ok(encode_names(values, limit))
    })
    .await
}

/// Adds `next` to the first of all, of which one more than `limit` are kept, so that it shows that there are more. `false`
/// when neither it nor anything greater will be among them: series come sorted, so the rest need not be read.
fn keep_first<T: Ord>(first: &mut BTreeSet<T>, next: T, limit: Option<usize>) -> bool {
    let is_full = limit.is_some_and(|limit| first.len() > limit);
    if is_full && first.last().is_some_and(|last| *last <= next) {
        return false;
    }
    let is_new = first.insert(next);
    if is_full && is_new {
        first.pop_last();
    }
    true
}

/// Memory for a label set, and for it in the answer.
pub(crate) fn bytes_of(labels: &Labels) -> u64 {
    let texts: usize = labels.iter().map(|(name, value)| 2 * (name.len() + value.len()) + 8).sum();
    (texts + ENTRY_BYTES) as u64
}

/// Runs `answer` on a blocking thread under a query permit.
async fn read(
    api: &Services,
    answer: impl FnOnce(&dyn Queryable, &LookUp) -> Result<String, EvalError> + Send + 'static,
) -> Result<Response, ApiError> {
    Ok(json_response(StatusCode::OK, read_text(api, answer).await?))
}

/// As [`read`], without a response around the text.
pub(crate) async fn read_text<T: Send + 'static>(
    api: &Services,
    answer: impl FnOnce(&dyn Queryable, &LookUp) -> Result<T, EvalError> + Send + 'static,
) -> Result<T, ApiError> {
    let engine = api.engine.load();
    let timeout = engine.options().timeout;
    let (cancel, deadline) = (CancelToken::new(), Deadline::after(api.clock.clone(), timeout));
    let look_up = engine.guard().look_up(deadline, cancel.clone());
    drop(engine);
    let permit = super::enter(api, timeout).await?;
    // When the client goes, this is dropped.
    let _stop = StopOnDrop::new(cancel);
    let queryable = api.queryable.clone();
    let body = tokio::task::spawn_blocking(move || {
        let _held = permit;
        look_up.take(0)?;
        answer(&*queryable, &look_up)
    });
    let body = body.await.map_err(|_| ApiError::new(ErrorKind::Internal, "the read ended by a panic"))?;
    body.map_err(|err| eval_error(&err))
}

/// The first `limit` texts that `get` finds, and one more, so that it shows that there are more. Without a limit, ever more are asked for
/// until that is all, so that each time the memory for them is taken before.
pub(super) fn texts(
    limit: Option<usize>,
    look_up: &LookUp,
    get: impl Fn(usize) -> Result<Vec<String>, QueryError>,
) -> Result<Vec<String>, EvalError> {
    let most = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
    let mut n = most.min(FIRST_TEXTS);
    loop {
        let texts = get(n).map_err(EvalError::Storage)?;
        let n_bytes: usize = texts.iter().map(|text| 2 * text.len() + ENTRY_BYTES).sum();
        // What is found now, or as much again, since the next round finds twice as much.
        look_up.take(n_bytes as u64)?;
        if texts.len() < n || n == most {
            return Ok(texts);
        }
        n = n.saturating_mul(2).min(most);
    }
}

/// The first `n` of what `get` finds for any of `sets`, sorted; for everything when there is no set.
pub(super) fn union(
    sets: &[Vec<Matcher>],
    n: usize,
    get: impl Fn(&[Matcher]) -> Result<Vec<String>, QueryError>,
) -> Result<Vec<String>, QueryError> {
    if let [] | [_] = sets {
        return get(sets.first().map_or(&[], Vec::as_slice));
    }
    let mut first = FirstTexts::new(n);
    for matchers in sets {
        for text in get(matchers)? {
            if !first.put(&text) {
                break;
            }
        }
    }
    Ok(first.into_vec())
}

fn encode_names(mut names: Vec<String>, limit: Option<usize>) -> String {
    let remarks = truncate(&mut names, limit);
    envelope(&remarks, |json| json.texts(&names))
}

fn truncate<T>(list: &mut Vec<T>, limit: Option<usize>) -> Remarks {
    let mut remarks = Remarks::default();
    if let Some(limit) = limit
        && list.len() > limit
    {
        list.truncate(limit);
        remarks.warn("results truncated due to limit");
    }
    remarks
}

/// `U__a_2e_b` → `a.b`; a name not of that form stays as it is.
pub(super) fn unescape_name(name: &str) -> String {
    let Some(escaped) = name.strip_prefix(ESCAPED_PREFIX) else { return name.to_owned() };
    let mut out = String::new();
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('_') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let decoded = after.split_once('_').and_then(|(hex, after)| {
            let c = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?;
            Some((c, after))
        });
        let Some((c, after)) = decoded else { return name.to_owned() };
        out.push(c);
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_ends_the_reading() {
        let check = |limit, sets: &[&[u32]], expected: &[u32], n_read| {
            let (mut first, mut read) = (BTreeSet::new(), 0);
            for set in sets {
                for next in *set {
                    read += 1;
                    if !keep_first(&mut first, *next, limit) {
                        break;
                    }
                }
            }
            assert_eq!((first.into_iter().collect::<Vec<_>>().as_slice(), read), (expected, n_read));
        };
        check(None, &[&[1, 2, 3], &[2, 5]], &[1, 2, 3, 5], 5);
        check(Some(1), &[&[1, 2, 3, 4, 5]], &[1, 2], 3);
        check(Some(2), &[&[4, 6, 8, 9], &[1, 5, 7, 8], &[]], &[1, 4, 5], 7);
        check(Some(9), &[&[4, 6], &[1, 4]], &[1, 4, 6], 4);
    }

    #[test]
    fn more_texts_than_memory_are_refused_and_a_limit_asks_for_no_more() {
        use std::sync::Arc;
        use std::time::Duration;
        let check = |limit: Option<usize>, n_stored: usize, bytes_max: u64| {
            let dir = Arc::new(stdx::MemDir::new());
            let (guard, _) = promql::Guard::open(bytes_max, dir, &stdx::metrics::Registry::new());
            let deadline = Deadline::after(Arc::new(stdx::TestClock::new()), Duration::from_secs(9));
            let look_up = guard.look_up(deadline, CancelToken::new());
            let found = texts(limit, &look_up, |n| Ok(vec![String::new(); n.min(n_stored)]));
            (found.map(|texts| texts.len()).ok(), guard.memory_bytes() > 0)
        };
        let limit_bytes = 20 << 20;
        assert_eq!(check(None, FIRST_TEXTS - 1, limit_bytes), (Some(FIRST_TEXTS - 1), true));
        assert_eq!(check(None, 1 << 20, 1 << 30), (Some(1 << 20), true));
        assert_eq!(check(None, 1 << 20, limit_bytes), (None, true));
        assert_eq!(check(Some(9), 1 << 20, limit_bytes), (Some(10), true));
    }

    #[test]
    fn escaped_names_are_read() {
        for (name, expected) in [
            ("job", "job"),
            ("U__http_2e_status", "http.status"),
            ("U__a__b", "a_b"),
            ("U___e5__3042_", "å\u{3042}"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_2e", "U__a_2e"),
        ] {
            assert_eq!(unescape_name(name), expected, "{name}");
        }
    }
}
