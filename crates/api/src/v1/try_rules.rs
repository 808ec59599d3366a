//! `rules/try`: alerting rules over stored history. Ours; Prometheus has no such endpoint. Reads only, and costs what its queries cost.

use axum::response::Response;
use rules::{ReplayError, ReplayRequest, ReplayRules, Replayed};

use super::aside;
use crate::error::{ApiError, ErrorKind};
use crate::json::Json;
use crate::params::Params;
use crate::respond::success;
use crate::state::Shared;

/// How far back when nothing is said. Chosen: a week has every day of one.
const SINCE_MS: i64 = 7 * 24 * 3_600_000;
/// Longest rule file, in bytes. Chosen.
const RULES_BYTES_MAX: usize = 1 << 20;

/// `GET|POST /api/v1/rules/try`
pub(crate) async fn run(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let now_ms = api.clock.now_ms();
    let end_ms = params.time_or("end", now_ms)?.min(now_ms);
    let since_ms = params.duration("since")?.unwrap_or(SINCE_MS);
    let duration = |name: &str| Ok::<_, ApiError>(params.duration(name)?.unwrap_or(0));
    let rules = match (params.get("expr"), params.get("rules")) {
        ("", "") => {
            return Err(ApiError::parameter(
                "expr",
                "give an expression, or the text of a rule file as rules",
            ));
        }
        ("", text) if text.len() > RULES_BYTES_MAX => {
            return Err(ApiError::parameter("rules", format!("longer than {RULES_BYTES_MAX} bytes")));
        }
        ("", text) => ReplayRules::File { name: params.get("file").to_owned(), text: text.to_owned() },
        (expr, _) => ReplayRules::Expression {
            expr: expr.to_owned(),
            alert: params.get("alert").to_owned(),
            hold_ms: duration("for")?,
            keep_firing_ms: duration("keep_firing_for")?,
        },
    };
    let request = ReplayRequest {
        start_ms: params.time_or("start", end_ms.saturating_sub(since_ms))?,
        end_ms,
        rules,
        interval_ms: params.duration("interval")?,
    };
    if request.interval_ms.is_some_and(|interval_ms| interval_ms <= 0) {
        return Err(ApiError::parameter("interval", "must be above zero"));
    }
    let (start_ms, rules) = (request.start_ms, api.rules.clone());
    let replayed = aside(move || rules.replay(&request)).await?.map_err(|err| {
        let kind = match err {
            ReplayError::Bad(_) => ErrorKind::BadData,
            ReplayError::Busy | ReplayError::TooSlow => ErrorKind::Timeout,
        };
        ApiError::new(kind, err.to_string())
    })?;
    Ok(success(|json| {
        json.object(|json| {
            json.key("start").time(start_ms);
            json.key("end").time(end_ms);
            json.key("rules").array(|json| replayed.iter().for_each(|rule| push(json, rule)));
        });
    }))
}

fn push(json: &mut Json, rule: &Replayed) {
    json.object(|json| {
        json.key("group").text(&rule.group);
        json.key("name").text(&rule.name);
        json.key("query").text(&rule.query);
        json.key("intervalSeconds").number(rule.interval_ms as f64 / 1e3);
        json.key("evaluations").int(rule.n_evaluations);
        json.key("failed").int(rule.n_failed);
        if let Some(error) = &rule.error {
            json.key("error").text(error);
        }
        json.key("count").int(rule.n_firings);
        json.key("medianSeconds").number(rule.median_ms as f64 / 1e3);
        json.key("longestSeconds").number(rule.longest_ms as f64 / 1e3);
        json.key("firings").array(|json| {
            for firing in &rule.firings {
                json.object(|json| {
                    json.key("labels").labels(&firing.labels);
                    json.key("activeAt").time(firing.active_at_ms);
                    json.key("start").time(firing.start_ms);
                    if let Some(end_ms) = firing.end_ms {
                        json.key("end").time(end_ms);
                    }
                    json.key("peak").sample_value(firing.peak);
                });
            }
        });
    });
}
